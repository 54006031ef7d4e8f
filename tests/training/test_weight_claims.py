"""What files say of their nets beside the tensors: refused where it contradicts how they are read."""

import argparse
import json

import pytest
import timm
import torch

from itl import ItlError
from itl.machine import Machine
from itl.runs.own_weights import OwnWeights
from itl.specs import IMAGENET_MEAN, IMAGENET_STD
from tests.training.filled_nets import resnet18_state

CIFAR = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2023, 0.1994, 0.2010]}
IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}  # of 255


def check(content, path, net="resnet18", **entry):
    """Check a file of *content* as a plan does, and return what is read."""
    torch.save(content, path)
    own = OwnWeights.read({"net": net, "file": str(path), "pixels": 32} | entry)
    own.check(Machine(home=path.parent), 32)
    return own


def as_tensors(name, colours):
    return {f"normalizer.{name}{part}": torch.tensor(colours[part])[:, None, None] for part in colours}


def test_a_file_that_normalises_otherwise_is_refused_until_it_is_said_how(tmp_path):
    body = {f"model.{name}": value for name, value in resnet18_state().items()}
    content = {"state_dict": body | as_tensors("new_", CIFAR)}
    says = (
        r"a.pth says that its images have mean: \[0.4914, 0.4822, 0.4465\], std: \[0.2023, 0.1994, 0.201\]; "
    )
    message = says + "left out, they are mean: .0.485, 0.456, 0.406., .*; give those"
    with pytest.raises(ItlError, match=message):
        check(content, tmp_path / "a.pth")
    check(content, tmp_path / "a.pth", **CIFAR)
    check(content, tmp_path / "a.pth", mean=[0.5, 0.5, 0.5])  # it is said, so the file is not asked
    turned = {part: values[::-1] for part, values in CIFAR.items()}
    with pytest.raises(ItlError, match=says):
        check({"state_dict": body | as_tensors("", turned)}, tmp_path / "a.pth", bgr=True)


@pytest.mark.parametrize(
    "beside",
    [
        as_tensors("", IMAGENET),
        as_tensors("pixel_", {part: [value / 255 for value in IMAGENET[part]] for part in IMAGENET}),
        as_tensors("", CIFAR) | as_tensors("other_", IMAGENET),  # which of both?
        {"normalizer.mean": torch.tensor(CIFAR["mean"])},
        {"target.mean": torch.tensor([-3.0, 2.0, 9.0]), "target.std": torch.tensor([1.0, 2.0, 3.0])},
        {"target.mean": torch.zeros(4), "target.std": torch.ones(4)},
    ],
)
def test_a_file_that_normalises_alike_or_says_nothing_certain_is_read(beside, tmp_path):
    body = {f"model.{name}": value for name, value in resnet18_state().items()}
    read = check({"state_dict": body | beside}, tmp_path / "a.pth")
    assert (read.weights.mean, read.weights.std) == (IMAGENET_MEAN, IMAGENET_STD)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_file_of_the_hub_is_what_its_config_says(name, tmp_path):
    config = {"architecture": "resnet18", "num_classes": 9, "pretrained_cfg": {"tag": "mine"} | CIFAR}
    path, state = tmp_path / name, resnet18_state()
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ItlError, match=rf"{name} says that its images have mean: \[0.4914, "):
        check(state, path)
    check(state, path, **CIFAR)
    check(state, path.rename(tmp_path / "other.pth"))  # of which the config says nothing
    (tmp_path / "config.json").write_text('{"model_type": "vit", "pretrained_cfg": []}')  # of another library
    check(state, path)


def test_a_mean_and_std_beside_the_names_of_the_net_are_no_layers(tmp_path):
    state, path = resnet18_state(), tmp_path / "a.pth"
    check(state | {name: torch.tensor(IMAGENET[name]) for name in IMAGENET}, path)
    with pytest.raises(ItlError, match=r"its images have mean: \[0.4914"):
        check(state | {name: torch.tensor(CIFAR[name]) for name in CIFAR}, path)


def test_a_mean_in_the_order_of_bgr_says_so(tmp_path):
    turned = {f"pixel_{name}": torch.tensor(IMAGENET[name][::-1]) for name in IMAGENET}
    content, path = resnet18_state() | turned, tmp_path / "a.pth"
    with pytest.raises(ItlError, match="in the order blue, green and red: give bgr: true, or give mean and"):
        check(content, path)
    check(content, path, bgr=True)
    content |= {f"pixel_{name}": torch.tensor(IMAGENET[name]) for name in IMAGENET}
    check(content, path)
    with pytest.raises(ItlError, match="in the order red, green and blue: leave bgr out"):
        check(content, path, bgr=True)


def test_a_mean_of_caffe_is_said_to_be_of_bgr_though_its_std_is_another(tmp_path):
    mean, path = [103.53, 116.28, 123.675], tmp_path / "a.pth"
    colours = {"pixel_mean": torch.tensor(mean), "pixel_std": torch.ones(3)}
    with pytest.raises(ItlError) as refused:
        check(resnet18_state() | colours, path)
    way = "bgr: true and mean: [0.485, 0.456, 0.406], std: [0.003922, 0.003922, 0.003922], as its mean is in"
    assert f"; give {way} that order" in str(refused.value)
    check(resnet18_state() | colours, path, bgr=True, mean=[0.485, 0.456, 0.406], std=[0.003922] * 3)


def test_settings_of_the_training_script_are_heard(tmp_path):
    state = resnet18_state()
    for args in (argparse.Namespace(**CIFAR), CIFAR):
        with pytest.raises(ItlError, match=r"its images have mean: \[0.4914"):
            check({"model": state, "args": args}, tmp_path / "a.pth")
        with pytest.raises(ItlError, match=r"its images have mean: \[0.4914"):  # as of Lightning
            check({"state_dict": state, "hyper_parameters": args}, tmp_path / "a.pth")
    for args in (argparse.Namespace(mean=None, std=None, lr=0.1), {"model": "resnet18"}, ["--lr", "1"], None):
        check({"model": state, "args": args, "arch": "resnet18"}, tmp_path / "a.pth")


SAME_PADDING = "tf_efficientnet_b0"


def test_a_net_that_differs_in_padding_alone_is_refused_under_the_others_name(tmp_path):
    state = timm.create_model(SAME_PADDING, num_classes=3).state_dict()
    says = "says that it is of timm:tf_efficientnet_b0, which .* features; give net: timm:tf_efficientnet_b0$"
    for content in (
        {"arch": SAME_PADDING, "state_dict": state},
        {"args": argparse.Namespace(model=f"{SAME_PADDING}.in1k"), "state_dict": state},
    ):
        with pytest.raises(ItlError, match=says):
            check(content, tmp_path / "a.pth", "timm:efficientnet_b0")
        check(content, tmp_path / "a.pth", f"timm:{SAME_PADDING}")


def test_two_names_of_one_net_and_names_of_no_net_are_read(tmp_path):
    state = timm.create_model("deit_tiny_patch16_224", img_size=32).state_dict()
    for arch in ("deit_tiny_patch16_224", "vit_tiny_patch16_384", "vit_tiny", "resnet50", 3):
        read = check({"arch": arch, "state_dict": state}, tmp_path / "a.pth", "timm:vit_tiny_patch16_224")
        assert read.net == "timm:vit_tiny_patch16_224"
