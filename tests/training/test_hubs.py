"""What published weights were trained on, as their names say it."""

import pytest

from itl.training.hubs import published

TRAINED_ON = {
    "timm:regnety_160.swag_ft_in1k": "Instagram (SWAG), then ImageNet-1k",
    "torchvision:regnet_y_16gf.IMAGENET1K_SWAG_E2E_V1": "Instagram (SWAG), then ImageNet-1k",
    "timm:regnety_320.seer_ft_in1k": "Instagram (SEER), then ImageNet-1k",
    "timm:convnext_base.clip_laiona_augreg_ft_in1k_384": "LAION-A, then ImageNet-1k",
    "timm:convnext_base.clip_laion2b_augreg_ft_in12k_in1k": "LAION-2B, then ImageNet-12k, then ImageNet-1k",
    "timm:eva02_large_patch14_448.mim_m38m_ft_in1k": "Merged-38M, then ImageNet-1k",
    "timm:eva_giant_patch14_224.clip_ft_in1k": (
        "data that timm's tag clip_ft_in1k does not name, then ImageNet-1k"
    ),
    "timm:vit_base_patch16_clip_224.openai": "OpenAI's WIT-400M",
    "timm:hgnetv2_b0.ssld_stage2_ft_in1k": (
        "data that timm's tag ssld_stage2_ft_in1k does not name, then ImageNet-1k"
    ),
    "timm:resnet10t.c3_in1k": "ImageNet-1k",
    "timm:vit_large_patch16_224.mae": "not said by timm's tag mae",
}


@pytest.mark.parametrize("name", TRAINED_ON)
def test_all_that_a_name_says_of_training_data_is_said(name):
    assert published(name).trained_on.partition(" (licence")[0] == TRAINED_ON[name]
