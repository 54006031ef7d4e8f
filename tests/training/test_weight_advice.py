"""Weights that do not fit as they are asked for: what is advised does read them, and reads them right."""

import re

import pytest
import timm
import torch
from timm.layers import weight_init

from itl import ItlError
from itl.specs import Weights
from itl.training.weight_names import additions, shapes_of
from itl.training.weights import body_tensors
from tests.training.filled_nets import filled_from, read_tensors, resnet18_state

VIT = "timm:vit_tiny_patch16_224"


@pytest.fixture(autouse=True, scope="module")
def no_values_on_meta():
    """To draw the values of nets on meta, which have none, takes a quarter of the time of advice."""
    draw = weight_init._trunc_normal_
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            weight_init, "_trunc_normal_", lambda part, *how: part if part.is_meta else draw(part, *how)
        )
        yield


def taken(net, content, path, pixels=224, **weights):
    """What is taken of a file of *content*."""
    torch.save(content, path)
    return body_tensors(net, read_tensors(path), Weights(net, **weights), pixels, path)


def vit_state(pixels=224, **options):
    return timm.create_model("vit_tiny_patch16_224", img_size=pixels, **options).state_dict()


@pytest.mark.parametrize("in_order", [False, True])
def test_a_transformer_that_pools_the_mean_is_no_matter_of_names(in_order, tmp_path):
    """It has fc_norm for norm, in the same order: other features."""
    state = vit_state(global_pool="avg", num_classes=10)
    says = r"norm.weight \(192,\) is missing.*; with fc_norm for norm .* read: take some that have norm$"
    with pytest.raises(ItlError, match=says):
        taken(VIT, {"model": state}, tmp_path / "mae.pth", in_order=in_order)
    renamed = {f"t.{number}": value for number, value in enumerate(vit_state().values())}
    kept = taken(VIT, renamed, tmp_path / "renamed.pth", in_order=True)
    assert len(kept) == 150
    assert torch.equal(kept["norm.bias"], renamed["t.149"])


def test_a_norm_beside_the_net_is_no_head(tmp_path):
    state = vit_state(num_classes=0) | {f"fc_norm.{part}": torch.ones(192) for part in ("weight", "bias")}
    with pytest.raises(ItlError, match="or save the file without fc_norm if these are no part of it$"):
        taken(VIT, state, tmp_path / "two.pth")


def test_a_net_of_which_some_layers_have_other_names_is_not_taken_in_order(tmp_path):
    state = resnet18_state()
    renamed = {name.replace("layer4.1.bn2", "last"): value for name, value in state.items()}
    says = r"layer4.1.bn2.weight \(512,\) is missing.*same layers, give them its names too$"
    for in_order in (False, True):
        with pytest.raises(ItlError, match=says):
            taken("resnet18", renamed, tmp_path / "part.pth", in_order=in_order)
    head = {name.replace("fc.", "classifier."): value for name, value in state.items()}
    assert len(taken("resnet18", head, tmp_path / "head.pth", in_order=True)) == 120


@pytest.mark.parametrize(("trained", "pixels"), [(224, 56), (384, 224), (96, 224)])
def test_weights_for_images_of_another_size_say_of_which(trained, pixels, tmp_path):
    state = vit_state(trained)
    says = rf"pos_embed is \(1, {1 + (trained // 16) ** 2}, 192\), .*size: give pixels: {trained}$"
    with pytest.raises(ItlError, match=says):
        taken(VIT, state, tmp_path / "vit.pth", pixels)
    assert torch.equal(taken(VIT, state, tmp_path / "vit.pth", trained)["pos_embed"], state["pos_embed"])


def test_another_transformer_is_named_with_the_size_of_its_images(tmp_path):
    state = timm.create_model("vit_small_patch16_224").state_dict()
    says = "it fits net: timm:vit_small_patch16_224, with pixels: 224$"
    with pytest.raises(ItlError, match=says):
        taken(VIT, state, tmp_path / "small.pth", 56)


def without_counters(state):
    return {name: value for name, value in state.items() if "num_batches" not in name}


def test_tensors_of_other_names_are_taken_in_order_without_counters_too(tmp_path):
    """Caffe and TensorFlow have none."""
    state = without_counters(resnet18_state())
    renamed = {f"t{number}": value for number, value in enumerate(state.values())}
    with pytest.raises(ItlError, match="in_order: true takes them so, with bgr"):
        taken("resnet18", renamed, tmp_path / "a.pth")
    kept = taken("resnet18", renamed, tmp_path / "a.pth", in_order=True)
    assert {name: value for name, value in kept.items() if name in state}.keys() == state.keys() - {
        "fc.weight",
        "fc.bias",
    }
    assert all(torch.equal(value, state.get(name, torch.tensor(0))) for name, value in kept.items())


def test_two_tensors_of_a_head_beside_all_of_the_net_are_no_other_order(tmp_path):
    """As many as a classifier has: SwAV's projection and prototypes."""
    body = {name: value for name, value in resnet18_state().items() if not name.startswith("fc.")}
    head = {"projection_head.0.weight": torch.zeros(8, 512), "prototypes.weight": torch.zeros(30, 8)}
    says = "save the file without projection_head, prototypes if these are no part of it"
    with pytest.raises(ItlError, match=says) as refused:
        taken("resnet18", body | head, tmp_path / "a.pth")
    assert "in_order" not in str(refused.value)


def test_parts_of_layers_in_another_order_are_not_taken_in_order(tmp_path):
    """All four tensors of a BatchNorm have one shape, so names alone tell them apart."""
    tensors = without_counters(resnet18_state())
    layers = {name: f"layer{number}" for number, name in enumerate(dict.fromkeys(map(layer_of, tensors)))}
    names = sorted(tensors, key=lambda name: (int(layers[layer_of(name)][5:]), name))
    renamed = {f"{layers[layer_of(name)]}.{name.rpartition('.')[2]}": tensors[name] for name in names}
    with pytest.raises(ItlError, match="conv1.weight .* is missing") as refused:
        taken("resnet18", renamed, tmp_path / "a.pth")
    assert "in_order" not in str(refused.value)
    message = (
        "a.pth has layer1.bias where resnet18 has bn1.weight, so its tensors are in another order; write"
    )
    with pytest.raises(ItlError, match=message):
        taken("resnet18", renamed, tmp_path / "a.pth", in_order=True)


def layer_of(name: str) -> str:
    """The layer of a tensor."""
    return name.rpartition(".")[0]


def test_an_entry_in_the_nets_order_is_named_where_other_tensors_lie_beside(tmp_path):
    state = resnet18_state()
    renamed = {f"t{number}": value for number, value in enumerate(state.values())}
    content = {"best": torch.tensor(1.0), "states": renamed, "optimizer": {"momentum": torch.zeros(3)}}
    with pytest.raises(ItlError, match="other names: in_order: true with entry: states takes them so"):
        taken("resnet18", content, tmp_path / "a.pth")
    with pytest.raises(ItlError, match="in_order takes .* has 124; give entry: states$"):
        taken("resnet18", content, tmp_path / "a.pth", in_order=True)
    kept = taken("resnet18", content, tmp_path / "a.pth", in_order=True, entry="states")
    assert torch.equal(kept["layer4.1.bn2.bias"], state["layer4.1.bn2.bias"])


@pytest.mark.parametrize(
    "wrapped", ["layer1._orig_mod.", "layer1._checkpoint_wrapped_module.", "layer1._fsdp_wrapped_module."]
)
def test_a_part_of_the_net_that_is_wrapped_keeps_its_names(tmp_path, wrapped):
    state = resnet18_state()
    compiled = {name.replace("layer1.", wrapped): value for name, value in state.items()}
    wrapped = {"state_dict": {f"module.{name}": value for name, value in compiled.items()}}
    for content in (compiled, wrapped):
        kept = taken("resnet18", content, tmp_path / "net.pth")
        assert torch.equal(kept["layer1.0.conv1.weight"], state["layer1.0.conv1.weight"])


def test_a_layer_that_its_net_calls_module_keeps_its_name(tmp_path):
    state = timm.create_model("iformer_t").state_dict()
    assert any(".module." in name for name in state)
    kept = taken("timm:iformer_t", state, tmp_path / "iformer.pth")
    assert all(torch.equal(value, state[name]) for name, value in kept.items())


@pytest.mark.parametrize("name", ["efficientvit_m0", "caformer_s18"])
def test_heads_of_more_than_one_layer_are_left_out(name, tmp_path):
    state = timm.create_model(name, num_classes=3).state_dict()
    kept = taken(f"timm:{name}", state, tmp_path / "net.pth")
    assert all(torch.equal(value, state[key]) for key, value in kept.items())
    assert all(key.startswith("head.") for key in state.keys() - kept.keys())
    shapes, more = shapes_of(kept), {"head.of_another": torch.ones(2)}
    assert additions(f"timm:{name}", shapes, state | more) == ["head.of_another"]


@pytest.mark.parametrize(
    ("online", "average"),
    [
        ("module.base_encoder", "module.momentum_encoder"),
        ("online_network", "target_network"),
        ("backbone", "momentum_backbone"),
        ("module.encoder_q", "module.encoder_k"),
        ("model", "exp_avg_sq"),  # a moment of the optimizer
        ("model", "grads"),
        ("model_ema", "model"),  # an average over the training, which is evaluated
        ("state_dict_ema", "state_dict"),
        ("ema_state_dict", "state_dict"),
        ("state_dict", "ema_state_dict.module"),  # as MMEngine exchanges them
        ("average_model.module", "model"),
        ("teacher.backbone", "student.backbone"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_the_net_that_its_authors_evaluate_is_advised(online, average, is_first, tmp_path):
    nets = {average: resnet18_state(1), online: resnet18_state(0)}
    order = reversed(nets) if is_first else nets
    content = {"state_dict": {f"{net}.{name}": value for net in order for name, value in nets[net].items()}}
    with pytest.raises(ItlError, match=f"; choose with entry: {re.escape(f'state_dict.{online}')}$"):
        taken("resnet18", content, tmp_path / "two.pth")


def test_floats_of_eight_bits_are_read_as_the_numbers_that_they_are(tmp_path):
    state = {n: v.to(torch.float8_e4m3fn) if v.ndim > 1 else v for n, v in resnet18_state().items()}
    torch.save(state, tmp_path / "small.pth")
    net = filled_from("resnet18", tmp_path / "small.pth")
    assert torch.equal(net.body.conv1.weight, state["conv1.weight"].float())
