"""Weights in files: what is read, by which names, what is refused and why, and what is written."""

import argparse
import re
import sys
from types import SimpleNamespace

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision import models

from itl import ItlError
from itl.specs import Weights
from itl.training.nets import build
from itl.training.weight_names import inner_body, library_tensors
from itl.training.weights import body_tensors, export_weights, loading
from tests.training.filled_nets import SIDES, filled, filled_from, read_tensors, resnet18_state, trained

LIBRARY = {  # the model that each net's weights are of, in the library's own words
    "alexnet": lambda: models.alexnet(num_classes=7),
    "resnet18": lambda: models.resnet18(num_classes=7),
    "timm:resnet10t": lambda: timm.create_model("resnet10t", num_classes=7),
    "torchvision:alexnet": lambda: models.alexnet(num_classes=7),
    "torchvision:mobilenet_v3_small": lambda: models.mobilenet_v3_small(num_classes=7),
}


@pytest.fixture(autouse=True, scope="module")
def narrow_alexnet():
    """AlexNet's first linear layer has 64 outputs: nothing here depends on its width, but 220 MB a file."""

    def linear(inputs, outputs):
        return nn.Linear(64 if inputs == 4096 == outputs else inputs, 64 if inputs == 9216 else outputs)

    with pytest.MonkeyPatch.context() as patch:
        layers = SimpleNamespace(**vars(nn) | {"Linear": linear})
        patch.setattr(sys.modules[models.AlexNet.__module__], "nn", layers)
        assert sum(weight.numel() for weight in models.alexnet(num_classes=7).parameters()) < 4e6
        yield


def images(name):
    return torch.randn(2, 3, SIDES[name], SIDES[name], generator=torch.Generator().manual_seed(1))


def tensors_and_features(net, name):
    """The tensors of the body of *net*, and what it makes of images."""
    with torch.no_grad():
        return [*net.body.state_dict().values(), net.body(images(name))]


@pytest.fixture(scope="module", params=LIBRARY)
def exported(request, tmp_path_factory):
    """A net, its name, and the file it was exported to."""
    net, path = trained(request.param), tmp_path_factory.mktemp("exported") / "net.safetensors"
    export_weights(net, request.param, SIDES[request.param], path)
    yield net, request.param, path
    path.unlink()


def test_what_is_exported_reads_back_to_the_same_features(exported):
    net, name, path = exported
    other = filled_from(name, path)
    assert all(map(torch.equal, tensors_and_features(net, name), tensors_and_features(other, name)))


# How a file is written does not depend on the net.
@pytest.mark.parametrize(("name", "suffix"), [("small", "safetensors"), ("small", "pth"), ("resnet18", "pt")])
def test_a_file_of_each_kind_reads_back_to_the_same_features(name, suffix, tmp_path):
    net, path = trained(name), tmp_path / f"net.{suffix}"
    export_weights(net, name, SIDES[name], path)
    other = filled_from(name, path)
    assert all(map(torch.equal, tensors_and_features(net, name), tensors_and_features(other, name)))


def test_the_librarys_own_model_loads_what_is_exported_and_scores_the_same(exported):
    net, name, path = exported
    model = LIBRARY[name]().eval()
    model.load_state_dict(load_file(path), strict=True)
    with torch.no_grad():
        assert torch.equal(model(images(name)), net(images(name)))


@pytest.mark.parametrize("name", LIBRARY)
def test_the_librarys_own_state_dict_fills_the_net(name, tmp_path):
    model, path = LIBRARY[name]().eval(), tmp_path / "net.pth"
    torch.save(model.state_dict(), path)
    net = filled_from(name, path)
    net.head = torch.nn.Linear(net.head.in_features, 7)
    head = list(model.state_dict().values())[-2:]
    net.head.load_state_dict(dict(zip(("weight", "bias"), head, strict=True)))
    with torch.no_grad():
        assert torch.equal(model(images(name)), net.eval()(images(name)))


def test_how_a_library_loads_an_export():
    assert loading("timm:resnet10t", 7, 64) == "timm.create_model('resnet10t', num_classes=7)"
    assert loading("torchvision:vgg11", 7, 64) == "torchvision.models.get_model('vgg11', num_classes=7)"
    size = "torchvision.models.get_model('vit_b_16', num_classes=7, image_size=64)"
    assert loading("torchvision:vit_b_16", 7, 64) == size
    assert loading("resnet18", 7, 64) == "torchvision.models.get_model('resnet18', num_classes=7)"


WRAPPERS = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 90, "best": torch.tensor(76.1)},
    "model, with the optimizer": lambda state: {
        "model": state,
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]},
        "args": argparse.Namespace(lr=0.1),
    },
    "module.": lambda state: {f"module.{name}": value for name, value in state.items()},
    "state_dict and module.": lambda state: {"state_dict": {f"module.{n}": v for n, v in state.items()}},
    "compiled": lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
    "backbone beside another head": lambda state: {
        **{f"backbone.{name}": value for name, value in state.items() if not name.startswith("fc.")},
        "head.mlp.weight": torch.zeros(2, 2),
    },
    "without counters": lambda state: {n: v for n, v in state.items() if "num_batches" not in n},
    "half": lambda state: {n: v.half() if v.is_floating_point() else v for n, v in state.items()},
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_checkpoints_that_wrap_the_state_dict_are_read(wrapper, tmp_path):
    state, path = resnet18_state(), tmp_path / "checkpoint.pth"
    torch.save(WRAPPERS[wrapper](state), path)
    net = filled_from("resnet18", path)
    tolerance = {"atol": 1e-3, "rtol": 1e-3} if wrapper == "half" else {"atol": 0, "rtol": 0}
    for name, tensor in library_tensors("resnet18", net).items():
        torch.testing.assert_close(tensor, state[name], **tolerance)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_alexnet_as_pytorchs_example_saves_it_is_read(prefix, tmp_path):
    """DataParallel is around its features alone, and other tensors lie beside."""
    model, path = models.alexnet(num_classes=7), tmp_path / "checkpoint.pth.tar"
    state = model.state_dict()
    model.features = nn.DataParallel(model.features)
    saved = {f"{prefix}{name}": value for name, value in model.state_dict().items()}
    assert f"{prefix}features.module.0.weight" in saved
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(3)}}}
    best = torch.tensor(56.5)
    torch.save({"arch": "alexnet", "state_dict": saved, "best_acc1": best, "optimizer": optimizer}, path)
    net = filled_from("alexnet", path)
    assert all(torch.equal(value, state[name]) for name, value in library_tensors("alexnet", net).items())


def test_of_several_nets_in_a_file_one_is_chosen(tmp_path):
    path, states = tmp_path / "two.pth", [resnet18_state(seed) for seed in range(2)]
    torch.save(dict(zip(("model", "model_ema"), states, strict=True)), path)
    with pytest.raises(ItlError, match=r"holds 2 nets, model, model_ema; choose with entry: model_ema"):
        filled_from("resnet18", path)
    net = filled_from("resnet18", path, entry="model_ema")
    assert torch.equal(net.body.conv1.weight, states[1]["conv1.weight"])
    with pytest.raises(ItlError, match=r"no entry 'teacher'; it has model, model_ema"):
        filled_from("resnet18", path, entry="teacher")


TWO_NETS = {  # the file, of an online net and its moving average; what is listed; entries that are taken
    "a projector in the online net": (
        lambda online, mean: {"online": online | {"projector.0.weight": torch.ones(4, 4)}, "target": mean},
        "online, target; choose with entry: target",
        {"target": "mean"},
    ),
    "a projector in the mean": (
        lambda online, mean: {"online": online, "target": mean | {"projector.0.weight": torch.ones(4, 4)}},
        "online, target; choose with entry: online",
        {"online": "online"},
    ),
    "the mean below the net": (
        lambda online, mean: online | {f"momentum_net.{name}": value for name, value in mean.items()},
        "'', momentum_net; choose with entry: momentum_net",
        {"momentum_net": "mean"},
    ),
    "the mean with a projector below the net": (
        lambda online, mean: (
            {f"ema.{name}": value for name, value in mean.items()}
            | {"ema.projector.0.weight": torch.ones(4, 4)}
            | online
        ),
        "ema, ''; choose with entry: ema",
        {},
    ),
    "both below an entry": (
        lambda online, mean: {
            "state_dict": {f"net.{name}": value for name, value in online.items()}
            | {f"net.ema.{name}": value for name, value in mean.items()}
        },
        "state_dict.net, state_dict.net.ema; choose with entry: state_dict.net.ema",
        {"state_dict.net": "online", "state_dict.net.ema": "mean"},
    ),
}


@pytest.mark.parametrize("case", TWO_NETS)
def test_a_net_with_tensors_of_its_own_beside_counts_as_one_of_several(case, tmp_path):
    write, says, entries = TWO_NETS[case]
    states = {"online": resnet18_state(0), "mean": resnet18_state(1)}
    torch.save(write(**states), tmp_path / "two.pth")
    tensors = read_tensors(tmp_path / "two.pth")
    with pytest.raises(ItlError, match=rf"two.pth holds 2 nets, {re.escape(says)}$"):
        filled("resnet18", tensors, tmp_path / "two.pth")
    for entry, state in entries.items():
        net = filled("resnet18", tensors, tmp_path / "two.pth", entry=entry)
        assert torch.equal(net.body.conv1.weight, states[state]["conv1.weight"])


def test_the_nets_below_an_entry_are_listed_as_entries_of_the_file(tmp_path):
    state = resnet18_state()
    tensors = {f"state_dict.{net}.{name}": value for net in ("a", "b") for name, value in state.items()}
    says = r"2 nets, state_dict.a, state_dict.b; choose with entry: state_dict.b$"
    with pytest.raises(ItlError, match=says):
        filled("resnet18", tensors, tmp_path / "two.pth", entry="state_dict")


def test_a_larger_net_beside_it_is_no_second_net(tmp_path):
    student, teacher = resnet18_state(), models.resnet34().state_dict()
    torch.save({"teacher": teacher, "student": student}, tmp_path / "distilled.pth")
    net = filled_from("resnet18", tmp_path / "distilled.pth")
    assert torch.equal(net.body.conv1.weight, student["conv1.weight"])


def test_tensors_by_other_names_are_taken_in_order_where_that_is_asked(tmp_path):
    state, path = resnet18_state(), tmp_path / "renamed.pth"
    torch.save({f"t{number}": value for number, value in enumerate(state.values())}, path)
    with pytest.raises(
        ItlError,
        match=r"conv1.weight \(64, 3, 7, 7\) is missing.*in_order: true takes them so, with bgr: true if",
    ):
        filled_from("resnet18", path)
    net = filled_from("resnet18", path, in_order=True)
    assert all(torch.equal(value, state[name]) for name, value in library_tensors("resnet18", net).items())
    backbone = nn.Sequential(*list(models.resnet18().children())[:-1])  # its names begin with numbers
    torch.save(backbone.state_dict(), tmp_path / "backbone.pth")
    with pytest.raises(ItlError, match=r"conv1.weight is \(64, 64, 3, 3\), .* in_order: true takes them so"):
        filled_from("resnet18", tmp_path / "backbone.pth")
    with pytest.raises(ItlError, match=r"in_order takes as many tensors as timm:resnet10t has"):
        filled_from("timm:resnet10t", path, in_order=True)
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(ItlError, match=r"keeps tensors by name, in no order"):
        filled_from("resnet18", tmp_path / "a.safetensors", in_order=True)


@pytest.mark.parametrize("name", ["small", "alexnet", "resnet18"])
def test_a_net_of_blue_green_and_red_is_turned_to_red_green_and_blue(name, tmp_path):
    """By names, and by order, as Caffe's own weights have other names."""
    net, path = trained(name), tmp_path / "caffe.pth"
    export_weights(net, name, SIDES[name], path)
    with torch.no_grad():
        of_bgr = net.body(images(name).flip(1))
        assert not torch.equal(of_bgr, net.body(images(name)))
        tensors = read_tensors(path)
        renamed = {f"t{number}": tensor for number, tensor in enumerate(tensors.values())}
        for given, how in ((tensors, {}), (renamed, {"in_order": True})):
            turned = filled(name, given, path, bgr=True, **how)
            assert torch.allclose(turned.body(images(name)), of_bgr, rtol=1e-4)
            assert torch.equal(filled(name, given, path, **how).body(images(name)), net.body(images(name)))


def test_of_moco_the_encoder_of_queries_is_the_net(tmp_path):
    path = tmp_path / "moco.pth"
    names = (f"module.encoder_{kind}.{name}" for kind in "qk" for name in resnet18_state())
    values = [*resnet18_state(0).values(), *resnet18_state(1).values()]
    torch.save({"state_dict": dict(zip(names, values, strict=True))}, path)
    with pytest.raises(ItlError, match="choose with entry: .*encoder_q$"):
        filled_from("resnet18", path)


@pytest.mark.parametrize("name", ["torchvision:swin_t", "timm:efficientformer_l1"])
def test_positions_that_a_net_keeps_as_whole_numbers_are_its_own(name, tmp_path):
    net = build(name, 2, 224, seed=0)
    tensors = library_tensors(name, net)
    whole = [key for key, value in tensors.items() if value.dtype == torch.int64 and value.dim()]
    assert len(whole) == {"torchvision:swin_t": 12, "timm:efficientformer_l1": 1}[name]
    taken = body_tensors(name, tensors, Weights(name), 224, tmp_path / "a.pth")
    assert all(torch.equal(taken[key], value) for key, value in tensors.items())


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_an_export_to_a_full_disk_names_the_disk(tmp_path, monkeypatch, suffix):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(ItlError, match=f"cannot write .*/net.{suffix}: No space left on device; free space"):
        export_weights(trained("small"), "small", 24, tmp_path / f"net.{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_an_export_overwrites_nothing_and_needs_a_known_ending(tmp_path):
    (tmp_path / "net.pth").write_bytes(b"mine")
    with pytest.raises(ItlError, match="exists already"):
        export_weights(trained("small"), "small", 24, tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == b"mine"
    with pytest.raises(ItlError, match="FILE.safetensors, FILE.pth or FILE.pt, not net.onnx"):
        export_weights(trained("small"), "small", 24, tmp_path / "net.onnx")
    distilled = build("timm:deit_tiny_distilled_patch16_224", 3, 32, 0)
    with pytest.raises(ItlError, match="has 2 heads"):
        export_weights(distilled, "timm:deit_tiny_distilled_patch16_224", 32, tmp_path / "two.pth")


TO_TIMM = {  # whose files need more than the names: a convolution as head, positions of a size, tied tensors
    "timm:coat_tiny": lambda: timm.create_model("coat_tiny", num_classes=7, img_size=32),
    "timm:dla34": lambda: timm.create_model("dla34", num_classes=7),
    "timm:resnetv2_18": lambda: timm.create_model("resnetv2_18", num_classes=7),
    "timm:vit_tiny_patch16_224": lambda: timm.create_model(
        "vit_tiny_patch16_224", num_classes=7, img_size=32
    ),
}


@pytest.mark.parametrize("name", TO_TIMM)
def test_timms_models_load_what_is_exported_of_nets_that_differ_from_most(name, tmp_path):
    net, model = build(name, 7, 32, seed=0).eval(), TO_TIMM[name]().eval()
    size = ", img_size=32" if name in ("timm:coat_tiny", "timm:vit_tiny_patch16_224") else ""
    says = f"timm.create_model({name.removeprefix('timm:')!r}, num_classes=7{size})"
    assert export_weights(net, name, 32, tmp_path / "net.safetensors") == says
    model.load_state_dict(load_file(tmp_path / "net.safetensors"), strict=True)
    drawn = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(model(drawn), net(drawn), atol=1e-4, rtol=1e-4)


def test_a_file_that_the_librarys_model_would_not_load_is_not_written(tmp_path):
    net, name = build("torchvision:mnasnet0_5", 7, 32, seed=0).eval(), "torchvision:mnasnet0_5"
    says = r"net.safetensors is not written: .*get_model\('mnasnet0_5', num_classes=7\) would not load it "
    message = says + r"\(version .*\); name a FILE.pth, which keeps versions of layers"
    with pytest.raises(ItlError, match=message):
        export_weights(net, name, 32, tmp_path / "net.safetensors")
    export_weights(net, name, 32, tmp_path / "net.pth")
    model = models.mnasnet0_5(num_classes=7).eval()
    model.load_state_dict(torch.load(tmp_path / "net.pth"), strict=True)
    drawn = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(model(drawn), net(drawn))
    net, name = build("torchvision:maxvit_t", 7, 224, seed=0), "torchvision:maxvit_t"  # no bias in its head
    says = (
        r'would not load it \(Unexpected key\(s\) in state_dict: "classifier.5.bias"\); it has no such file$'
    )
    with pytest.raises(ItlError, match=says):
        export_weights(net, name, 224, tmp_path / "max.pth")
    assert [file.name for file in tmp_path.iterdir()] == ["net.pth"]


def test_the_body_is_found_behind_a_normalisation():
    net = build("small", 3, 24, 0)
    assert inner_body(net) is net.body
