"""A detector finds coloured boxes in batches that show what the pack holds; a kill loses nothing."""

import gc
import time
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from itl import ItlError
from itl.evaluation import detection as module
from itl.evaluation.detection import detection
from itl.evaluation.fast_rcnn import Anchors, Detector, detection_loss, norms, reset_norm_statistics
from itl.evaluation.target import multilabel_target
from itl.machine import Machine
from itl.specs import DetectionRecipe, Pretrain, Recipe, Subset, Transfer
from itl.training import detection_batches
from itl.training.batches import step_rng
from itl.training.crop_cpu import normalised
from itl.training.detection_batches import DetectionBatches
from itl.training.detection_nets import detection_backbone
from itl.training.loop import Diverged, train
from itl.training.nets import build
from tests.training.test_loop import narrow
from tests.worlds import SHADES, Boxes, boxes_pack, start_child

torch.set_num_threads(1)
MACHINE = Machine(threads=1, checkpoint_seconds=0.0)
RECIPE = DetectionRecipe(
    steps=80,
    batch=8,
    lr=0.03,
    schedule="cosine",
    pixels=36,
    longest=48,
    proposals=150,
    rois=16,
    overlap=0.0,
    precision="fp32",
    clip=5,
)


def spec(recipe: Recipe | None = RECIPE, few: int | None = None) -> Transfer:
    """The spec of one detection on the world of coloured boxes."""
    pretrain = Pretrain(Subset("a pack"), "small", Recipe(pixels=32, precision="fp32"))
    return Transfer(pretrain, "detection", "boxes", "boxes", few, recipe)


def net() -> torch.nn.Module:
    """A net as a pre-training would leave one."""
    return build("small", 4, 32, seed=0)


def pictures(recipe: DetectionRecipe = RECIPE, **counts: int) -> DetectionBatches:
    """Views of the training images of a small world."""
    return batches_of(boxes_pack(counts or {"train": 24, "test": 8}), recipe)


def batches_of(pack: Boxes, recipe: DetectionRecipe = RECIPE, machine: Machine = MACHINE) -> DetectionBatches:
    """Views of the training images of *pack*."""
    return DetectionBatches(pack, multilabel_target(spec(recipe), pack).train, recipe, 0, machine)


def new_detector(recipe: DetectionRecipe = RECIPE) -> Detector:
    """A detector of two classes that starts as that net."""
    return Detector(detection_backbone("small", net()), len(SHADES), recipe, seed=0)


@pytest.mark.parametrize(("pixels", "size"), [(36, 48), (36, 96), (72, 48)])
def test_boxes_lie_where_the_colours_are_flipped_or_not(pixels, size):
    pack = boxes_pack({"train": 24, "test": 8}, size=size)
    loader = batches_of(pack, replace(RECIPE, pixels=pixels, longest=500))
    names, checked = sorted(SHADES), 0
    for image_batch, targets in loader.epoch(0):
        assert image_batch.sizes == [(pixels, pixels * 48 // 36)] * 8
        assert image_batch.pixels.is_contiguous(memory_format=torch.channels_last)
        for image, target in zip(image_batch.pixels, targets, strict=True):
            for box, label in zip(target["boxes"], target["labels"], strict=True):
                x0, y0, x1, y1 = box.round().int().tolist()
                colour = torch.tensor(SHADES[names[label - 1]], dtype=torch.uint8)[None, :, None, None]
                inside = image[:, y0 + 1 : y1 - 1, x0 + 1 : x1 - 1]
                torch.testing.assert_close(inside, normalised(colour)[0].expand_as(inside), atol=0.02, rtol=0)
                checked += 1
    assert checked == 36  # 24 pictures, every second has two; no difficult one


def test_an_epoch_is_pure_in_seed_epoch_and_step():
    def order(loader: DetectionBatches, epoch: int) -> list[float]:
        return [image.sum().item() for image_batch, _ in loader.epoch(epoch) for image in image_batch.pixels]

    one, again = pictures(), pictures()
    assert order(one, 0) == order(again, 0)
    assert order(one, 0) != order(one, 1)
    assert sorted(order(replaced(one, flip=False), 0)) == pytest.approx(sorted(order(one, 0)), abs=0.1)


def replaced(loader: DetectionBatches, **changes) -> DetectionBatches:
    """The same pictures by a recipe that differs."""
    loader.recipe = replace(loader.recipe, **changes)
    return loader


def test_regions_follow_the_images_scale_and_are_mirrored_with_it():
    loader = pictures(replace(RECIPE, pixels=72, longest=500))
    for image_batch, _ in loader.in_order():
        assert all(0 < len(regions) <= 150 for regions in image_batch.regions)
        assert all(regions[0].tolist() == [0, 0, 96, 72] for regions in image_batch.regions)
    position = 3
    _, targets = next(loader.in_order())
    back = loader.to_file_boxes(position, targets[position]["boxes"])
    objects = loader.pack.objects.query("row == @position and not difficult")
    assert back.tolist() == objects[["xmin", "ymin", "xmax", "ymax"]].to_numpy().tolist()


def test_windows_are_made_once_for_each_shape_mirrored_or_not(monkeypatch):
    made, make = [], detection_batches.windows
    monkeypatch.setattr(detection_batches, "windows", lambda *shape: made.append(shape) or make(*shape))
    detection_batches.scaled_windows.cache_clear()
    loader = pictures()
    assert len(set(map(tuple, loader.shapes.tolist()))) == 1
    for epoch in range(2):
        assert len(list(loader.epoch(epoch))) == 3
    assert made == [(*loader.shapes[0], RECIPE.proposals)] * 2


@pytest.mark.parametrize("regions", ["windows", "rpn"])
def test_boxes_and_regions_are_mirrored_with_their_images(regions):
    """Against the images as they are, in the order and with the flips that seed, epoch and step decide."""
    loader = pictures(replace(RECIPE, pixels=72, longest=500, regions=regions))
    straight = [
        (image_batch, targets, at)
        for image_batch, targets in loader.in_order()
        for at in range(len(image_batch))
    ]
    order = step_rng(0, 2, 0).permutation(24)
    flips = [step_rng(0, 2, step + 1).random(8) < 0.5 for step in range(3)]
    assert 0 < np.sum(flips) < 24
    for step, (image_batch, targets) in enumerate(loader.epoch(2)):
        assert (image_batch.regions is None) == (regions == "rpn")
        for at, position in enumerate(order[step * 8 : step * 8 + 8]):
            other, expected, number = straight[position]
            pairs = [(targets[at]["boxes"], expected[number]["boxes"])]
            if image_batch.regions:
                pairs.append((image_batch.regions[at], other.regions[number]))
            pixels = other.pixels[number]
            for boxes, unflipped in pairs:
                x0, y0, x1, y1 = unflipped.unbind(1)
                mirrored = torch.stack([96 - x1, y0, 96 - x0, y1], 1)
                assert torch.equal(boxes, mirrored if flips[step][at] else unflipped)
            assert torch.equal(image_batch.pixels[at], pixels.flip(2) if flips[step][at] else pixels)
            assert torch.equal(targets[at]["labels"], expected[number]["labels"])


def test_boxes_end_at_the_image_and_smaller_images_are_padded_with_the_mean_colour():
    loader = pictures(replace(RECIPE, pixels=36, longest=500))
    loader.sizes[1] = (30, 40)  # as if the second were smaller
    image_batch, _ = next(loader.in_order())
    assert image_batch.sizes[:2] == [(36, 48), (30, 40)]
    assert not image_batch.pixels[1, :, 30:].any()
    assert not image_batch.pixels[1, :, :, 40:].any()
    assert image_batch.pixels[1, :, :30, :40].all(0).any()
    assert image_batch.regions[0][0].tolist() == [0, 0, 48, 36]
    assert image_batch.regions[1][0].tolist() == [0, 0, 40, 30]  # scaled as before, and clipped


def test_an_object_in_the_part_of_a_pixel_that_scaling_rounds_off_has_a_side():
    """48 pixels become 13, not 13.33, and the last of them lies from 13.06 to 13.33."""
    pack = boxes_pack({"train": 4, "test": 4})
    pack.objects.loc[pack.objects["row"] == 0, ["xmin", "ymin", "xmax", "ymax"]] = 48, 10, 48, 20
    loader = batches_of(pack, replace(RECIPE, pixels=10))
    _, targets = next(loader.in_order())
    (x0, y0, x1, y1), *_ = targets[0]["boxes"].tolist()
    assert (x0, x1) == (12, 13)
    assert (y0, y1) == (pytest.approx(9 * 10 / 36), pytest.approx(20 * 10 / 36))
    flipped = detection_batches.clipped(loader.objects[0], loader.sizes[0], flip=True)
    assert flipped[0, [0, 2]].tolist() == [0, 1]


def test_regions_of_a_file_are_scaled_and_the_first_are_taken():
    loader = pictures(replace(RECIPE, pixels=72, longest=500, regions="file", proposals=2))
    rows = []

    def regions(row: int) -> np.ndarray:
        rows.append(int(row))
        return np.array([[1, 1, 48, 36], [13, 7, 24, 18], [1, 1, 2, 2]], np.float32)

    loader.pack.regions = regions
    image_batch, _ = next(loader.in_order())
    assert rows[:8] == list(range(8))
    assert image_batch.regions[0].tolist() == [[0, 0, 96, 72], [24, 12, 48, 36]]


def test_packs_without_whole_images_are_refused():
    pack = boxes_pack({"train": 4, "test": 2})
    pack.summary["request"]["fit"] = "squash"
    with pytest.raises(ItlError, match="packed with fit squash; pack it with fit pad"):
        batches_of(pack)
    pack.table["height"] = pack.table["width"]  # the same images, and digest, whatever the fit
    assert batches_of(pack).sizes == [(RECIPE.pixels, RECIPE.pixels)] * 4


def test_a_detector_finds_coloured_boxes_and_leaves_its_net_alone(tmp_path):
    given, pack = net(), boxes_pack({"train": 60, "val": 4, "test": 20})
    before = {name: value.clone() for name, value in given.state_dict().items()}
    recipe = replace(RECIPE, steps=50)
    target = multilabel_target(spec(recipe), pack)
    metrics = detection(spec(recipe), given, target, tmp_path, MACHINE)
    assert list(metrics) == ["map", "map_area", "recall"]
    assert metrics["map"] > 60
    assert metrics["recall"] > 80
    assert all(torch.equal(before[name], value) for name, value in given.state_dict().items())
    kept = pd.read_parquet(tmp_path / "detections.parquet")
    assert set(kept["image"]) <= set(target.test.rows)
    assert set(kept["class"]) == set(SHADES)
    surest = kept.sort_values("score").iloc[-1]
    truth = pack.objects[(pack.objects["row"] == surest["image"]) & (pack.objects["name"] == surest["class"])]
    assert np.abs(truth[["xmin", "xmax"]].to_numpy() - surest[["xmin", "xmax"]].to_numpy(float)).max() < 5


def test_regions_may_be_learned(tmp_path):
    recipe = replace(RECIPE, regions="rpn", steps=40, pixels=48, longest=64)
    pack = boxes_pack({"train": 80, "test": 20})
    metrics = detection(spec(recipe), net(), multilabel_target(spec(recipe), pack), tmp_path, MACHINE)
    assert metrics["map"] > 60
    assert metrics["recall"] > 80


def test_statistics_are_the_targets_and_then_stay(tmp_path):
    loader = pictures()
    detector = new_detector()
    reset_norm_statistics(detector, loader, 0)
    layers = norms(detector)
    kept = [layer.running_mean.clone() for layer in layers]
    assert not any(torch.equal(mean, torch.zeros_like(mean)) for mean in kept)
    assert not any(layer.training for layer in layers)
    image_batch, targets = next(loader.epoch(0))
    detection_loss(detector, image_batch, targets, RECIPE).backward()
    detector.eval()
    detector(image_batch)
    assert all(torch.equal(layer.running_mean, mean) for layer, mean in zip(layers, kept, strict=True))


@pytest.mark.parametrize("regions", ["windows", "rpn"])
@pytest.mark.parametrize("name", ["alexnet", "caffenet", "resnet18"])
def test_every_net_learns_and_finds(name, regions):
    recipe = replace(RECIPE, pixels=72, longest=96, batch=2, rois=4, proposals=10, regions=regions)
    loader = pictures(recipe, train=4, test=2)
    detector = Detector(detection_backbone(name, narrow(build(name, 3, 96, seed=0))), 2, recipe, seed=0)
    reset_norm_statistics(detector, loader, 0)
    image_batch, targets = next(loader.epoch(0))
    loss = detection_loss(detector, image_batch, targets, recipe)
    loss.backward()
    assert torch.isfinite(loss)
    gradients = [weight.grad for weight in detector.parameters() if weight.grad is not None]
    assert len(gradients) > 10
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    with torch.no_grad():
        detections = detector.eval()(image_batch)
    assert [len(detection["boxes"]) == len(detection["scores"]) for detection in detections] == [True, True]
    assert all(0 < len(detection["regions"]) <= 10 for detection in detections)


def test_anchors_stand_around_every_value():
    anchors = Anchors(8, (16.0,), (1.0,))
    images = type("Images", (), {"image_sizes": [(20, 30)], "tensors": torch.zeros(1, 3, 20, 30)})()
    [boxes] = anchors(images, [torch.zeros(1, 4, 3, 4)])
    assert boxes[:2].tolist() == [[-8, -8, 8, 8], [0, -8, 16, 8]]
    assert boxes[-1].tolist() == [16, 8, 32, 24]


def weights_after_a_step(tmp_path, **changes) -> dict[str, torch.Tensor]:
    """The weights of a detector after one step, less those before it."""
    recipe = replace(RECIPE, steps=1, momentum=0.0, weight_decay=0.0, clip=None, **changes)
    detector = new_detector(recipe)
    before = {name: weight.detach().clone() for name, weight in detector.named_parameters()}
    folder = tmp_path / str(changes)
    folder.mkdir()
    train(detector, pictures(recipe), recipe, folder, MACHINE, seed=0, objective=detection_loss)
    return {name: weight.detach() - before[name] for name, weight in detector.named_parameters()}


def test_the_first_convolution_may_be_frozen_and_biases_have_their_own_rate(tmp_path):
    plain = weights_after_a_step(tmp_path)
    frozen = weights_after_a_step(tmp_path, freeze_first=True)
    assert [name for name in plain if plain[name].any() and not frozen[name].any()] == [
        first := next(iter(plain))
    ]
    assert all(torch.equal(plain[name], frozen[name]) for name in plain if name != first)
    fast = weights_after_a_step(tmp_path, bias_lr=2.0)
    for name, change in plain.items():
        torch.testing.assert_close(fast[name], change * (2 if change.ndim < 2 else 1), rtol=1e-3, atol=1e-6)
    with pytest.raises(ItlError, match="bias_lr should be above 0, not 0"):
        replace(RECIPE, bias_lr=0.0)


def test_images_without_objects_teach_the_background():
    image_batch, targets = next(pictures().epoch(0))
    none = [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)} for _ in targets]
    for regions in ("windows", "rpn"):
        recipe = replace(RECIPE, regions=regions, overlap=0.1)
        detector = new_detector(recipe).train()
        loss = detection_loss(detector, image_batch, none, recipe)
        loss.backward()
        assert torch.isfinite(loss)


@pytest.mark.parametrize("regions", ["windows", "rpn"])
def test_a_detector_is_freed_with_its_last_use(regions):
    """A GPU's memory does not make the garbage collector run, which alone frees what holds itself."""
    recipe = replace(RECIPE, regions=regions)
    batch, targets = next(pictures(recipe).epoch(0))
    gc.disable()
    try:
        detector = new_detector(recipe).train()
        detection_loss(detector, batch, targets, recipe).backward()
        detector.eval()(batch)
        last_use = weakref.ref(detector)
        del detector
        assert last_use() is None
    finally:
        gc.enable()


def test_the_learning_rate_is_chosen_on_val_and_test_is_looked_at_once(tmp_path, monkeypatch):
    seen = []

    def detect(net, loader, *rest):
        seen.append(list(loader.rows))
        box = {"xmin": 1.0, "ymin": 1.0, "xmax": 9.0, "ymax": 9.0}
        detections = pd.DataFrame({"image": loader.rows[:1], "class": "red", "score": 0.5} | box)
        return detections, {row: np.ones((1, 4)) for row in loader.rows}

    def recall(objects: pd.DataFrame, regions) -> float:
        covered.append(sorted(set(objects["row"])))
        return 0.5

    covered = []
    monkeypatch.setattr(module, "detect", detect)
    monkeypatch.setattr(module, "recall", recall)
    recipe = replace(RECIPE, steps=2, lr=None, lrs=(0.01, 0.02))
    pack = boxes_pack({"train": 16, "val": 8, "test": 8})
    metrics = detection(spec(recipe), net(), multilabel_target(spec(recipe), pack), tmp_path, MACHINE)
    assert seen == [list(range(16, 24))] * 2 + [list(range(24, 32))]
    assert covered == [list(range(24, 32))], "val may lack objects that count"
    assert (metrics["recall"], metrics["lr"]) == (50, 0.01)  # equal scores: the lower


def test_a_detector_that_its_last_step_blows_up_is_an_error_not_a_map_of_zero(tmp_path):
    target = multilabel_target(spec(), boxes_pack({"train": 24, "test": 8}))
    diverged = replace(RECIPE, steps=1, lr=1e8, clip=None)
    with pytest.raises(Diverged, match=r"are not finite after training with lr 1e\+08; a lower lr or"):
        detection(spec(diverged), net(), target, tmp_path / "one", MACHINE)
    (tmp_path / "search").mkdir()
    search = spec(replace(diverged, lr=None, lrs=(0.03, 1e8)))
    assert detection(search, net(), target, tmp_path / "search", MACHINE)["lr"] == 0.03


def test_a_spec_without_a_recipe_is_refused(tmp_path):
    target = multilabel_target(spec(None), boxes_pack({"train": 8, "test": 4}))
    with pytest.raises(ItlError, match="needs a recipe"):
        detection(spec(None), net(), target, tmp_path, MACHINE)


SHORT = replace(RECIPE, steps=20, proposals=30)


def detect_shortly(folder: Path) -> dict[str, float]:
    target = multilabel_target(spec(SHORT), boxes_pack({"train": 16, "test": 8}))
    return detection(spec(SHORT), net(), target, folder, MACHINE)


def test_a_kill_in_mid_training_changes_no_number(tmp_path):
    whole = detect_shortly(tmp_path / "whole")
    killed = start_child(detect_shortly, tmp_path / "killed")
    checkpoint = tmp_path / "killed/checkpoint.safetensors"
    while not checkpoint.exists():
        assert killed.is_alive(), "it ended before its first checkpoint"
        time.sleep(0.02)
    killed.kill()
    killed.join()
    assert not (tmp_path / "killed/detections.parquet").exists()
    assert detect_shortly(tmp_path / "killed") == whole
