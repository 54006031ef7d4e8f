"""The CPU's tests of batches and training with Machine(device="cuda"): the same assertions on a GPU."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from itl.config import Machine, Recipe
from itl.data import batches as module
from itl.data.batches import Batches
from itl.data.crop import batch_crop
from itl.data.pictures import Pictures
from itl.learn.models import build
from itl.learn.roi import align
from itl.learn.train import predict, train
from itl.transfer.detection import detection
from itl.transfer.target import annotated
from tests.test_detection import RECIPE as DETECTION
from tests.test_detection import spec
from tests.worlds import boxes_pack

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")

CPU, GPU = Machine(threads=1, checkpoint_seconds=0), Machine(device="cuda", threads=1, checkpoint_seconds=0)
RECIPE = Recipe(epochs=4, batch=16, pixels=32, lr=0.05)


def batches(machine: Machine, recipe: Recipe = RECIPE) -> Batches:
    """Batches of noise around a colour that tells the class."""
    random = np.random.default_rng(0)
    labels = np.arange(72) % 4
    colours = random.integers(40, 216, (4, 1, 1, 3))
    pixels = np.clip(colours[labels] + random.integers(-40, 40, (72, 40, 40, 3)), 0, 255).astype(np.uint8)
    selection = SimpleNamespace(rows=np.arange(72), labels=labels, classes=("a", "b", "c", "d"))
    return Batches(SimpleNamespace(images=pixels), selection, recipe, 0, machine)


def test_the_crop_is_the_cpus():
    random = np.random.default_rng(0)
    arrays = random.integers(0, 256, (20, 40, 40, 3), dtype=np.uint8), random.integers(1, 20, (20, 4))
    images, boxes, flips = (torch.from_numpy(part) for part in (*arrays, random.random(20) < 0.5))
    there = batch_crop(images.cuda(), boxes, flips, 32)
    assert there.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(there.cpu(), batch_crop(images, boxes, flips, 32), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kept", [True, False])
def test_batches_are_the_cpus_whether_the_pack_is_on_the_gpu_or_not(kept, monkeypatch):
    monkeypatch.setattr(module, "ON_DEVICE", 0.5 if kept else 0.0)
    loader = batches(GPU)
    assert (loader.on_device is not None) == kept
    other = batches(CPU)
    for ours, theirs in ((loader.epoch(1), other.epoch(1)), (loader.in_order(), other.in_order())):
        for (images, targets), (expected, labels) in zip(ours, theirs, strict=True):
            assert images.is_cuda
            assert targets.cpu().tolist() == labels.tolist()
            torch.testing.assert_close(images.cpu(), expected, atol=1e-4, rtol=1e-4)


def test_a_step_does_not_wait_for_the_gpu(tmp_path):
    loader = batches(GPU)
    list(loader.epoch(0))
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert len(list(loader.epoch(1))) == len(loader)        # a wait would raise
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", ["small", "resnet18"])
def test_two_epochs_a_stop_and_two_more_equal_four(tmp_path, name):
    def stop(row: dict) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    straight, stopped, resumed = (build(name, 4, 32, seed=0) for _ in range(3))
    whole = train(straight, batches(GPU), RECIPE, tmp_path / "whole", GPU, seed=0)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, batches(GPU), RECIPE, tmp_path / "parts", GPU, seed=0, log=stop)
    parts = train(resumed, batches(GPU), RECIPE, tmp_path / "parts", GPU, seed=0)
    assert [row["loss"] for row in parts] == [row["loss"] for row in whole]
    one, other = straight.state_dict(), resumed.state_dict()
    assert all(torch.equal(one[each], other[each]) for each in one)


def test_training_and_prediction_are_near_the_cpus(tmp_path):
    recipe = Recipe(epochs=2, batch=16, pixels=32, lr=0.02, precision="fp32")
    seen = {}
    for machine in (CPU, GPU):
        net = build("small", 4, 32, seed=0)
        history = train(net, batches(machine, recipe), recipe, tmp_path / machine.device, machine, seed=0)
        outputs = predict(net, batches(machine, recipe), machine)
        seen[machine.device] = [row["loss"] for row in history], outputs
    assert seen["cuda"][0] == pytest.approx(seen["cpu"][0], rel=0.02)
    assert torch.equal(seen["cuda"][1][1], seen["cpu"][1][1])
    assert (seen["cuda"][1][0].argmax(1) == seen["cpu"][1][0].argmax(1)).float().mean() > 0.9


def test_regions_are_the_cpus_and_their_gradient_repeats():
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 16, 12, 17, generator=random)
    corners = torch.rand(2, 300, 2, 2, generator=random) * 110
    boxes = [torch.cat([each.min(1).values, each.max(1).values], 1) for each in corners]
    found, gradients = [], []
    for where in ("cpu", "cuda", "cuda"):
        there = maps.to(where).requires_grad_()
        cut = align(there, [each.to(where) for each in boxes], 7, 1 / 8)
        (cut * cut).sum().backward()
        found.append(cut.detach().cpu())
        gradients.append(there.grad.cpu())
    torch.testing.assert_close(found[1], found[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-2, rtol=1e-3)
    assert torch.equal(gradients[1], gradients[2])


def test_pictures_are_the_cpus():
    pack = boxes_pack({"train": 20, "test": 8})
    train = annotated(spec(), pack).train
    for (view, targets), (other, expected) in zip(
        Pictures(pack, train, DETECTION, 0, GPU).epoch(1), Pictures(pack, train, DETECTION, 0, CPU).epoch(1),
        strict=True,
    ):
        torch.testing.assert_close(view.pixels.cpu(), other.pixels, atol=1e-3, rtol=1e-3)
        assert view.sizes == other.sizes
        for ours, theirs in zip(targets, expected, strict=True):
            assert torch.equal(ours["boxes"].cpu(), theirs["boxes"])
            assert torch.equal(ours["labels"].cpu(), theirs["labels"])


def test_a_detector_finds_coloured_boxes(tmp_path):
    target = annotated(spec(), boxes_pack({"train": 60, "test": 40}))
    found = detection(spec(), build("small", 4, 32, seed=0).cuda(), target, tmp_path, GPU)
    assert found["map"] > 60
