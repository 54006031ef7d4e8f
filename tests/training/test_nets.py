"""Nets: their shapes, the paper's layers, weights from the seed alone, and what is refused."""

from itertools import groupby

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from itl import ItlError
from itl.specs import IMAGENET_MEAN, IMAGENET_STD, Pretrain, Recipe, Subset, Weights
from itl.training.nets import (
    BlockConv2d,
    ResponseNorm,
    build,
    build_for,
    check_resized,
    convolve_blocks,
    set_norm_statistics,
)
from itl.training.weights import export_weights

SIDES = {"small": 16, "alexnet": 63, "caffenet": 67, "resnet18": 32, "resnet50": 32, "timm:resnet10t": 32}


@pytest.mark.parametrize(("name", "pixels"), SIDES.items())
def test_a_net_is_a_body_and_a_head(name, pixels):
    net = build(name, 7, pixels, seed=0).eval()
    images = torch.randn(2, 3, pixels, pixels)
    with torch.no_grad():
        features = net.body(images)
        assert features.shape == (2, net.head.in_features)
        assert torch.equal(net(images), net.head(features))
    assert net.head.out_features == 7
    assert net.training is False
    assert all(weight.requires_grad for weight in net.parameters())


@pytest.mark.parametrize("name", ["small", "resnet18", "timm:resnet10t"])
def test_weights_are_pure_in_the_seed_and_leave_the_random_state_alone(name):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build(name, 3, 56, seed=0).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = build(name, 3, 56, seed=0).state_dict(), build(name, 3, 56, seed=1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])
    assert build(name, 3, 56, seed=0).training


@pytest.fixture(scope="module")
def caffenet() -> nn.Module:
    """The paper's net at the paper's size."""
    return build("caffenet", 1000, 227, seed=0)


def test_caffenet_has_the_layers_and_maps_of_the_paper(caffenet):
    layers = [layer for layer in caffenet.body if not isinstance(layer, nn.ReLU)]
    assert " ".join(type(layer).__name__ for layer in layers) == (
        "GreyLevels BlockConv2d MaxPool2d ResponseNorm Conv2d MaxPool2d ResponseNorm Conv2d Conv2d Conv2d"
        " MaxPool2d AdaptiveAvgPool2d Flatten Linear Dropout Linear Dropout"
    )
    maps, sides = torch.zeros(1, 3, 227, 227), []
    for layer in caffenet.eval().body[:18]:
        maps = layer(maps)
        sides.append(tuple(maps.shape[1:]))
    caffenet.train()
    assert [shape for shape, _ in groupby(sides)] == [
        (3, 227, 227),
        (96, 55, 55),
        (96, 27, 27),
        (256, 27, 27),
        (256, 13, 13),
        (384, 13, 13),
        (256, 13, 13),
        (256, 6, 6),
        (9216,),
    ]
    assert sum(weight.numel() for weight in caffenet.parameters()) == 60_965_224  # as Caffe's model file


def test_caffenet_starts_as_caffe_starts_it(caffenet):
    convolutions = [layer for layer in caffenet.body if isinstance(layer, nn.Conv2d)]
    linear = [layer for layer in caffenet.modules() if isinstance(layer, nn.Linear)]
    assert [layer.groups for layer in convolutions] == [1, 2, 1, 2, 2]
    assert [layer.bias[0].item() for layer in convolutions + linear] == [0, 1, 0, 1, 1, 1, 1, 0]
    for layer, std in zip(convolutions + linear, [0.01] * 5 + [0.005, 0.005, 0.01], strict=True):
        assert layer.weight.std().item() == pytest.approx(std, rel=0.05)
        assert abs(layer.weight.mean().item()) < std / 20


@pytest.mark.parametrize("std", [IMAGENET_STD, (1 / 255,) * 3, (0.5, 0.5, 0.5)])
def test_weights_of_caffenet_get_images_of_their_own_mean_and_std(std, tmp_path):
    """By default the net expects grey levels from 0 to 255 less the mean, as Caffe does."""
    mean, pixels = (123 / 255, 117 / 255, 104 / 255), 67
    spec = Pretrain(
        Subset("d"), "caffenet", Recipe(pixels=pixels), weights=Weights("caffenet", "f", mean=mean, std=std)
    )
    net = build_for(spec, 1).eval()
    images = torch.rand(2, 3, pixels, pixels)
    less_mean = images - torch.tensor(mean)[:, None, None]
    levels = 2 * less_mean if std[0] == 0.5 else 255 * less_mean
    of_batches = (images - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[
        :, None, None
    ]
    plain = build("caffenet", 1, pixels, seed=0).eval()
    with torch.no_grad():
        torch.testing.assert_close(net.body(of_batches), plain.body[1:](levels), rtol=1e-4, atol=1e-4)
    said = export_weights(net, "caffenet", pixels, tmp_path / "net.pth")
    assert said.endswith("seed=0)" if std == IMAGENET_STD else "seed=0) with body[0] = torch.nn.Identity()")


def test_response_norm_is_caffes_formula():
    maps = 50 * torch.rand(1, 9, 2, 2)
    ours = ResponseNorm(5, alpha=1e-4, beta=0.75, k=1)(maps.bfloat16())
    assert ours.dtype == torch.float32
    for channel in range(9):
        near = maps.bfloat16().float()[0, max(0, channel - 2) : channel + 3]
        expected = maps.bfloat16().float()[0, channel] / (1 + 1e-4 / 5 * near.square().sum(0)) ** 0.75
        torch.testing.assert_close(ours[0, channel], expected)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("shape", [(2, 96, 27, 27), (3, 7, 5, 1), (2, 2, 1, 1)])
def test_response_norm_is_torchs_and_so_is_its_gradient(shape, layout):
    random = torch.Generator().manual_seed(0)
    maps, weights = (50 * torch.randn(shape, generator=random).to(memory_format=layout) for _ in range(2))
    ours, theirs = maps.clone().requires_grad_(), maps.clone().requires_grad_()
    maps = ResponseNorm(5, alpha=1e-2, beta=0.75, k=1)(ours)
    expected = nn.LocalResponseNorm(5, alpha=1e-2, beta=0.75, k=1)(theirs)
    torch.testing.assert_close(maps, expected, rtol=1e-6, atol=0)
    for part in (maps, expected):
        (part * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6 * theirs.grad.abs().max().item())
    assert maps.is_contiguous(memory_format=layout)
    assert ours.grad.is_contiguous(memory_format=layout)


@pytest.mark.parametrize(
    ("name", "pixels", "says"),
    [
        ("resnet81", 56, "did you mean 'resnet18'"),
        ("timm:resnet10tt", 56, "did you mean 'resnet10t'"),
        ("timm:", 56, "no timm net"),
        ("alexnet", 56, "alexnet needs images of at least 63 pixels, not 56"),
        ("caffenet", 66, "at least 67"),
        ("timm:mobilenetv3_small_050", 0, "cannot take images of 0 pixels"),
        ("timm:vit_tiny_patch16_224", 8, "cannot take images of 8 pixels"),
    ],
)
def test_what_cannot_be_built_says_what_can(name, pixels, says):
    with pytest.raises(ItlError, match=says):
        build(name, 5, pixels, seed=0)


def test_a_net_needs_a_class():
    with pytest.raises(ItlError, match="at least one class"):
        build("small", 0, 56, seed=0)


def test_timm_nets_of_fixed_size_are_built_for_the_size_asked():
    assert build("timm:vit_tiny_patch16_224", 5, 64, seed=0)(torch.zeros(2, 3, 64, 64)).shape == (2, 5)


@pytest.mark.parametrize("pixels", [64, 384])
def test_torchvisions_transformers_are_built_for_the_size_asked(pixels):
    net = build("torchvision:vit_b_16", 5, pixels, seed=0)
    assert net.body.encoder.pos_embedding.shape == (1, 1 + (pixels // 16) ** 2, 768)
    with pytest.raises(ItlError, match=r"vit_b_16 cannot take images of 56 pixels \(.*indivisible by patch"):
        build("torchvision:vit_b_16", 5, 56, seed=0)


def test_a_net_built_for_one_size_takes_no_other():
    """One of which nothing depends on the size takes any that is large enough."""
    vit, resnet = (build(f"timm:{name}", 5, 64, seed=0) for name in ("vit_tiny_patch16_224", "resnet10t"))
    check_resized("timm:vit_tiny_patch16_224", vit, 64, 64)
    check_resized("timm:resnet10t", resnet, 64, 96)
    says = r"^timm:vit\w+ cannot take images of 96 pixels \(Input height .*\); .* give tuning pixels: 64$"
    with pytest.raises(ItlError, match=says):
        check_resized("timm:vit_tiny_patch16_224", vit, 64, 96)


@pytest.mark.parametrize("sides", [(227, 227), (112, 113), (11, 14), (12, 11)])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(11, 4, 0), (7, 2, 0), (4, 4, 0), (3, 1, 0), (11, 4, 5), (7, 2, 3), (4, 4, 1), (3, 1, 1)],
)
def test_a_convolution_over_blocks_is_the_strided_one(sides, kernel, stride, padding):
    """With its gradients, where blocks fit the image and where they do not."""
    random = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, *sides, generator=random, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 3, kernel, kernel, generator=random, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(5, generator=random, dtype=torch.float64, requires_grad=True)
    gradients = []
    options = images, weight, bias, stride, padding
    for maps in (convolve_blocks(*options), conv2d(*options)):
        gradients.append((maps, *torch.autograd.grad(maps.sin().sum(), (images, weight, bias))))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("padding", [0, 5])
def test_off_the_cpu_a_convolution_over_blocks_pads_too(padding):
    layer = BlockConv2d(3, 5, 11, stride=4, padding=padding)
    images = torch.rand(1, 3, 60, 81)
    expected = layer(images).shape
    assert layer.to("meta")(images.to("meta")).shape == expected


def test_norm_statistics_count_batches_by_their_images():
    net = torch.nn.BatchNorm2d(1)
    batches = [(torch.full((count, 1, 2, 2), value), [0] * count) for count, value in ((3, 1.0), (1, 5.0))]
    set_norm_statistics(net, batches, lambda batch: net(batch[0]))
    assert net.running_mean.item() == pytest.approx(2.0)
