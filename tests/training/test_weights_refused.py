"""Weights in files that are refused, and why."""

import os
import pickle

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision import models

from itl import ItlError
from itl.specs import Weights
from itl.training.nets import build
from itl.training.weight_names import library_tensors
from itl.training.weights import body_tensors, export_weights
from tests.training.filled_nets import filled, filled_from, read_tensors, resnet18_state, trained


def refuse(content, path, says, net="resnet18"):
    """Check that a file of *content* at *path* is refused for *net*, and what is said."""
    torch.save(content, path)
    with pytest.raises(ItlError, match=says):
        filled_from(net, path)


def test_weights_of_another_net_name_what_differs_and_the_net_that_fits(tmp_path):
    path = tmp_path / "other.pth"
    says = (
        r"other.pth does not fit resnet18: layer1.0.conv1.weight is \(64, 64, 1, 1\), not \(64, 64, 3, 3\), "
        r"layer1.1.conv1.weight is \(64, 256, 1, 1\), .* and \d+ more; it fits net: resnet50$"
    )
    refuse(models.resnet50().state_dict(), path, says)
    resnet14t = timm.create_model("resnet14t").state_dict()
    refuse(resnet14t, path, r"it fits net: timm:resnet14t$", "timm:resnet10t")
    says = r"does not fit resnet18: .*; give the net that was trained, as net$"
    refuse({"conv1.weight": torch.zeros(1, 1)}, path, says)


def test_a_larger_net_does_not_pass_for_a_smaller_one(tmp_path):
    larger = models.resnet34().state_dict()  # has every tensor of resnet18, and more
    says = r"layer1.2.conv1.weight \(64, 64, 3, 3\) is not the net's.* it fits net: torchvision:resnet34$"
    refuse(larger, tmp_path / "resnet34.pth", says)


def test_kernels_in_the_order_of_tensorflow_are_told(tmp_path):
    turned = {
        name: value.permute(2, 3, 1, 0) if value.ndim == 4 else value
        for name, value in resnet18_state().items()
    }
    refuse(turned, tmp_path / "flax.pth", r"as those of TensorFlow: permute\(3, 2, 0, 1\) each$")


def test_a_module_beside_the_whole_net_is_named(tmp_path):
    content = resnet18_state() | {"projector.0.weight": torch.ones(4, 4)}
    says = "as net, or save the file without projector if these are no part of it$"
    refuse(content, tmp_path / "simclr.pth", says)


def test_weights_for_grey_images_are_refused(tmp_path):
    grey = {"conv1.weight": resnet18_state()["conv1.weight"][:, :1]}
    says = r"not \(64, 3, 7, 7\); its images have 1 channels, those of itl 3"
    refuse(resnet18_state() | grey, tmp_path / "grey.pth", says)


class RunsCode:
    """A pickle of it creates a file when it is loaded as usual."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_runs_nothing(zipped, tmp_path):
    path, made = tmp_path / "evil.pth", tmp_path / "made"
    content = {"state_dict": resnet18_state(), "extra": RunsCode(made)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ItlError, match=r"evil.pth names posix.mkdir, code that would be run; none was"):
        read_tensors(path)
    assert not made.exists()


@pytest.mark.parametrize(
    ("protocol", "says"),
    [(2, "names posix.mkdir, code that would"), (4, "is a pickle of protocol 4, which is")],
)
def test_a_plain_pickle_is_refused_as_code_without_torchs_warnings(protocol, says, tmp_path, recwarn):
    path, made = tmp_path / "evil.pkl", tmp_path / "made"
    path.write_bytes(pickle.dumps({"a": RunsCode(made)}, protocol))
    with pytest.raises(ItlError, match=rf"evil.pkl {says}.*none was; where you trust it, load it and write"):
        read_tensors(path)
    assert not made.exists()
    assert not recwarn.list
    path.write_bytes(pickle.dumps(eval, 2))
    with pytest.raises(ItlError, match=r"evil.pkl names eval, code"):
        read_tensors(path)


def test_a_whole_pickled_net_says_how_to_write_its_weights(tmp_path):
    torch.save(models.resnet18(), tmp_path / "net.pth")
    with pytest.raises(ItlError, match=r"names torchvision.models.resnet.ResNet, code.*net.state_dict\(\)"):
        read_tensors(tmp_path / "net.pth")


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_damaged_files_are_refused(suffix, tmp_path):
    path = tmp_path / f"net.{suffix}"
    export_weights(trained("small"), "small", 24, path)
    whole = path.read_bytes()
    for part in (whole[:-1], whole[: len(whole) // 2], whole[:7], whole[:100] + b"\xff" * 100 + whole[200:]):
        path.write_bytes(part)
        with pytest.raises(ItlError, match=rf"net.{suffix} (is damaged|does not fit small|names)") as error:
            filled_from("small", path)
        assert "\n" not in str(error.value)


def test_values_that_changed_after_they_were_written_are_told_by_their_checksum(tmp_path):
    """torch compares none. Without checksums, as torch.save can be told to write, nothing is known."""
    path, state = tmp_path / "net.pth", {"weight": torch.ones(64)}
    torch.save(state, path)
    changed = path.read_bytes().replace(torch.ones(2).numpy().tobytes(), bytes(8), 1)
    assert torch.equal(read_tensors(path)["weight"], state["weight"])
    path.write_bytes(changed)
    says = "net.pth is damaged: net/data/0 in it differs from its checksum; copy"
    with pytest.raises(ItlError, match=says):
        read_tensors(path)
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_tensors(path)["weight"], state["weight"])


def test_what_is_no_file_of_weights_is_refused(tmp_path):
    for name, content, says in (
        ("missing.pth", None, "no weights at .*missing.pth"),
        ("empty.pth", b"", "is empty"),
        ("empty.safetensors", b"", "is empty"),
        ("text.pth", b"hello", "is damaged, or no weights"),
        ("text.safetensors", b"hello hello", "is damaged, or not safetensors"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ItlError, match=says):
            read_tensors(tmp_path / name)
    with pytest.raises(ItlError, match="is a folder; give a file"):
        read_tensors(tmp_path)
    for number, content in enumerate([torch.zeros(3), [torch.zeros(3)], {"lr": 0.1}, {}]):
        torch.save(content, tmp_path / f"{number}.pth")
        with pytest.raises(ItlError, match=rf"{number}.pth holds no tensors by name"):
            read_tensors(tmp_path / f"{number}.pth")


def test_files_that_cannot_be_read_for_now_are_not_called_damaged(tmp_path, monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("itl.training.weight_files.load_file", refused)
    monkeypatch.setattr("torch.load", refused)
    for path in (tmp_path / "net.safetensors", tmp_path / "net.pth"):
        path.write_bytes(b"whole")
        says = f"^cannot read {path}: Cannot allocate memory; correct that, then"
        with pytest.raises(ItlError, match=says):
            read_tensors(path)


def test_the_content_of_a_file_says_what_it_is_and_not_its_name(tmp_path):
    state = resnet18_state()
    save_file(state, tmp_path / "named.pth")
    torch.save(state, tmp_path / "named.safetensors")
    for name in ("named.pth", "named.safetensors"):
        tensors = read_tensors(tmp_path / name)
        assert all(torch.equal(tensors[key], value) for key, value in state.items())
    with pytest.raises(ItlError, match="named.pth keeps tensors by name, in no order"):
        filled_from("resnet18", tmp_path / "named.pth", in_order=True)
    for name in ("pointer.pth", "pointer.safetensors"):
        (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n")
        says = f"{name} is a pointer of Git LFS, not the file; fetch it with git"
        with pytest.raises(ItlError, match=says):
            read_tensors(tmp_path / name)
    (tmp_path / "keras.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(ItlError, match="keras.h5 is HDF5, as Keras writes; write tensors by name"):
        read_tensors(tmp_path / "keras.h5")


def test_a_net_without_three_channels_to_turn_is_refused(tmp_path):
    """TResNet moves blocks of 4 x 4 pixels into channels first."""
    name = "timm:tresnet_m"
    state = build(name, 1, 64, seed=0).body.state_dict()
    assert body_tensors(name, state, Weights(name), 64, tmp_path).keys() == state.keys()
    says = "bgr turns the channels of a first convolution of three; timm:tresnet"
    with pytest.raises(ItlError, match=says):
        body_tensors(name, state, Weights(name, bgr=True), 64, tmp_path)


def test_a_variance_below_0_is_refused(tmp_path):
    tensors = library_tensors("small", trained("small"))
    name = next(name for name in tensors if name.endswith("running_var"))
    tensors[name][1] = -0.5
    with pytest.raises(ItlError, match=f"a.pth has a variance below 0 in {name}; it is damaged"):
        filled("small", tensors, tmp_path / "a.pth")


def test_weights_of_a_quantised_net_are_refused(tmp_path):
    tensors = library_tensors("small", trained("small"))
    name = next(name for name in tensors if tensors[name].dim() > 1)
    tensors[name] = (100 * tensors[name]).to(torch.int8)
    with pytest.raises(ItlError, match=f"a.pth has whole numbers in 1 tensor, such as {name}: its net was q"):
        filled("small", tensors, tmp_path / "a.pth")


def test_weights_of_a_training_that_diverged_are_refused(tmp_path):
    tensors = library_tensors("small", trained("small"))
    name = next(name for name in tensors if tensors[name].dim() > 1)
    tensors[name].view(-1)[3] = float("nan")
    says = f"a.pth has 1 tensor with values that are not finite, such as {name}: its"
    with pytest.raises(ItlError, match=says):
        filled("small", tensors, tmp_path / "a.pth")


@pytest.mark.parametrize(
    "change",
    [lambda tensor: tensor.to("meta"), torch.Tensor.to_sparse, lambda tensor: tensor.to(torch.complex64)],
)
def test_tensors_without_plain_values_are_refused_in_one_line(tmp_path, change):
    tensors = library_tensors("small", trained("small"))
    tensors["body.0.weight"] = change(tensors["body.0.weight"])
    says = "a.pth has 1 tensor that is sparse, complex or without values, such as body.0.weight; load the net"
    refuse(tensors, tmp_path / "a.pth", says, "small")


def test_code_with_weights_and_arrays_are_told_apart_from_damage(tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "script.pt")
    with pytest.raises(ItlError, match="script.pt is TorchScript, which is code; write torch.save"):
        read_tensors(tmp_path / "script.pt")
    with open(tmp_path / "arrays.pth", "wb") as file:
        np.savez(file, a=np.zeros(2))
    with pytest.raises(ItlError, match="arrays.pth holds NumPy's arrays; write tensors by name"):
        read_tensors(tmp_path / "arrays.pth")
