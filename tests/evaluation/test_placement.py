"""Every forward path runs on a device that is only pretended, and waits for it only where a table allows."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from itl.evaluation import logistic_regression
from itl.evaluation.accuracy import scores
from itl.evaluation.detection import detect
from itl.evaluation.fast_rcnn import Detector, detection_loss, reset_norm_statistics
from itl.evaluation.finetune import independent
from itl.evaluation.frozen import extract, knn, probe
from itl.evaluation.induction import induction
from itl.evaluation.inspect_net import inspect_target
from itl.evaluation.scores import SCORES, class_means
from itl.evaluation.target import Target, multilabel_target
from itl.machine import Machine
from itl.packs.subset import Selection
from itl.specs import DetectionRecipe, Pretrain, Recipe, Subset, Transfer
from itl.training import device_images
from itl.training.batches import Batches
from itl.training.crop_cpu import batch_crop
from itl.training.detection_batches import DetectionBatches
from itl.training.detection_nets import detection_backbone, repeatable_roi_pool
from itl.training.loop import classify, predict
from itl.training.nets import NETS, build
from tests.evaluation.test_detection import batches_of, spec
from tests.fake_cuda import FakeCuda, pretended
from tests.training.test_loop import narrow
from tests.worlds import Boxes, boxes_pack

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="a CUDA device is here, which the pretended one would be mixed up with"
)

CPU, GPU = Machine(threads=1), Machine(device="cuda", threads=1)
RECIPE = Recipe(batch=16, pixels=32, precision="fp32")
DETECTION = DetectionRecipe(
    batch=2, pixels=72, longest=96, proposals=20, rois=8, overlap=0.1, precision="fp32"
)
WNIDS = ("n02119022", "n02119789", "n04285008", "n02085620")

ALLOWED = {  # what waits for the device, and why it may
    ("training/crop_cpu", "upload"): "the normalisation, once in the life of a process",
    ("training/batches", "upload"): "where the rows of a selection lie among the images on the device, once",
    ("training/device_images", "upload"): "where images that stay on the device go, once for 32 MiB",
    ("training/loop", "value"): "outputs and targets of a whole split, once",
    ("evaluation/accuracy", "value"): "a score is for the host, as is whether outputs are finite",
    ("evaluation/frozen", "value"): "a score, and whether features are finite, once a split",
    ("evaluation/knn", "value"): "whether vectors are finite, once",
    ("evaluation/knn", "size"): "how many candidates a block of queries has, for which memory is taken",
    ("evaluation/logistic_regression", "upload"): "the strengths and rows of a fit, once",
    ("evaluation/logistic_regression", "value"): "how good each strength is, once",
    ("evaluation/newton_cg", "value"): "whether a minimum is reached, after a step",
    ("evaluation/newton_cg", "size"): "which functions are still to move, after a step",
    ("evaluation/induction", "value"): "the number of classes and all counts, once; labels, for the tables",
    ("evaluation/induction", "size"): "how many images are under a node, and are to be searched again",
    ("evaluation/induction", "upload"): "which classes are under a node",
    ("evaluation/inspect_net", "value"): "the neighbours, for the tables, once",
    ("evaluation/scores", "value"): "a score, for some of each class, and whether a round is the last",
    ("evaluation/scores", "size"): "an image's neighbours without itself, the images of a class, the rank",
    ("evaluation/scores", "upload"): "what the host has drawn or scikit-learn has fitted, once",
    ("evaluation/fast_rcnn", "size"): "how many regions torchvision draws and keeps, image by image",
    ("evaluation/fast_rcnn", "value"): "whether maps and class scores are finite, twice a batch",
    ("evaluation/fast_rcnn", "upload"): "torchvision's constants of coding boxes and of suppression",
    ("evaluation/detection", "value"): "labels and scores of what is found in an image, for the table",
    ("training/detection_batches", "value"): "boxes of what is found in an image, for the table",
}


@pytest.fixture
def cuda() -> Iterator[FakeCuda]:
    """A pretended device; afterwards, whether all that waited was allowed to."""
    with pretended() as device:
        yield device
    refused = sorted(line for line in device.lines if line[0] != "tests" and line[:2] not in ALLOWED)
    assert not refused, f"waits that no table allows (module, kind, line): {refused}"


def asked_by(device: FakeCuda) -> set[str]:
    """The modules of itl that waited for *device*."""
    return {module for module, _ in device.waits} - {"tests"}


def colours(images: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise around a colour that tells the class: uint8 (N, 40, 40, 3), labels (N,)."""
    random, labels = np.random.default_rng(0), np.arange(images) % 4
    means = random.uniform(40, 215, (4, 3))[labels][:, None, None]
    return (means + random.normal(0, 60, (images, 40, 40, 3))).clip(0, 255).astype(np.uint8), labels


def batches(machine: Machine, recipe: Recipe = RECIPE, images: int = 40) -> Batches:
    """Batches of such images."""
    pixels, labels = colours(images)
    pack = Boxes(images=pixels)
    return Batches(pack, Selection(np.arange(images), labels, WNIDS), recipe, 0, machine)


def on_device(net: nn.Module) -> nn.Module:
    """*net* moved here, so that its weights are not counted among what a forward path uploads."""
    return net.to("cuda", memory_format=torch.channels_last)


def test_the_device_tells_what_waits_and_refuses_what_cuda_would():
    with pretended() as device:
        numbers = torch.arange(6.0, device="cuda")
        assert numbers.device == torch.device("cuda:0")
        assert (numbers.view(2, 3) @ numbers[:3] + 1).sum() * torch.tensor(2) > 0
        assert numbers[numbers > 2].tolist() == [3, 4, 5]
        assert numbers[torch.tensor([1, 2])].cpu().tolist() == [1, 2]
        pinned = torch.ones(6).pin_memory()
        assert (numbers + pinned.to("cuda", non_blocking=True))[0] == 1
        numbers[numbers > 2] = 0.0
        torch.zeros(6, device="cuda").copy_(pinned)
        assert device.waits == {
            ("tests", "value"): 4,
            ("tests", "size"): 1,
            ("tests", "index"): 1,
            ("tests", "upload"): 1,
        }
        with pytest.raises(AssertionError, match="add.*devices,? cuda:0(,| and) cpu"):
            numbers + torch.ones(6)
        with pytest.raises(AssertionError, match="cat"):
            torch.cat([numbers, torch.ones(6)])


def test_crop(cuda):
    random = np.random.default_rng(0)
    arrays = random.integers(0, 256, (20, 40, 40, 3), dtype=np.uint8), random.integers(1, 20, (20, 4))
    images, boxes, flips = (torch.from_numpy(part) for part in (*arrays, random.random(20) < 0.5))
    sent = (part.pin_memory().to("cuda", non_blocking=True) for part in (images, boxes, flips))
    crops = batch_crop(*sent, 32)
    assert crops.is_cuda
    assert torch.equal(crops.cpu(), batch_crop(images, boxes, flips, 32))


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_batches(cuda, precision, kept, monkeypatch):
    monkeypatch.setattr(device_images, "fits", lambda *_: kept)
    recipe = replace(RECIPE, precision=precision)
    loader, other = batches(GPU, recipe), batches(CPU, recipe)
    cuda.waits.clear()
    for images, targets in [*loader.epoch(0), *loader.in_order()]:
        assert images.is_cuda
        assert targets.is_cuda
    assert asked_by(cuda) <= {"training/crop_cpu"}
    for (images, targets), (expected, labels) in zip(loader.in_order(), other.in_order(), strict=True):
        assert targets.tolist() == labels.tolist()
        torch.testing.assert_close(images.cpu(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "pixels"), [(name, max(32, least)) for name, (_, least) in NETS.items()])
def test_prediction_and_its_scores(cuda, name, pixels, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)  # both round to bfloat16
    recipe, net = replace(RECIPE, pixels=pixels), narrow(build(name, 4, pixels, seed=0))
    expected, _ = predict(net, batches(CPU, recipe), CPU, "bf16")
    outputs, labels = predict(on_device(net), batches(GPU, recipe), GPU, "bf16")
    torch.testing.assert_close(outputs.cpu(), expected, atol=0.03, rtol=0.03)
    assert scores(outputs, labels).keys() == {"accuracy"}


def test_prediction_waits_as_often_for_many_batches_as_for_few(cuda):
    waits, net = [], on_device(build("small", 4, 32, seed=0))
    for images in (32, 96):
        cuda.waits.clear()
        extract(net, batches(GPU, images=images), GPU, "fp32")
        waits.append({key: count for key, count in cuda.waits.items() if key[0] != "training/crop_cpu"})
    assert waits[0] == waits[1]


def test_losses(cuda):
    net = on_device(build("small", 4, 32, seed=0)).train()
    loader = batches(GPU)
    cuda.waits.clear()
    for images, targets in loader.epoch(0):
        assert classify(net, images, targets, RECIPE).is_cuda
        several = torch.stack([targets == label for label in range(4)], 1).long()
        assert independent(net, images, several, RECIPE).is_cuda
    assert asked_by(cuda) <= {"training/crop_cpu"}


@pytest.mark.parametrize("evaluate", [knn, probe, induction])
def test_frozen_features(cuda, evaluate, tmp_path, monkeypatch):
    monkeypatch.setattr(logistic_regression, "L2_STRENGTHS", (1.0, 0.1))  # weaker ones take many more steps
    images, labels = colours(100)
    split = [Selection(rows, labels[rows], WNIDS) for rows in np.split(np.arange(100), 2)]
    target, net = Target(Boxes(images=images), *split), build("small", 4, 32, seed=0)
    transfer = Transfer(Pretrain(Subset("a pack"), recipe=RECIPE), evaluate.__name__, "colours", "a pack")
    expected = evaluate(transfer, net, target, tmp_path, CPU)
    metrics = evaluate(transfer, on_device(net), target, tmp_path, GPU)
    assert metrics == pytest.approx(expected, abs=2.0)
    assert metrics.get("knn5", metrics.get("accuracy")) > 60


def test_cheap_scores(cuda, tree):
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(48) % 4
    features = torch.randn(48, 12, generator=random).double() + 2 * torch.eye(12)[labels]
    evidence = {"features": features, "labels": labels, "probabilities": features[:, :7].softmax(1)}
    evidence["target_means"], evidence["source_means"] = (
        class_means(part, labels[:24]) for part in (features[:24], features[24:])
    )
    on_host = {"tree": tree, "target_classes": ["poodle", "car"], "source_classes": ["husky"]}
    sent = on_host | {name: values.to("cuda") for name, values in evidence.items()}
    for name, score in SCORES.items():
        cuda.waits.clear()
        expected = score.compute(*((evidence | on_host)[need] for need in score.needs))
        assert score.compute(*(sent[need] for need in score.needs)) == pytest.approx(expected), name
        if name == "few_shot":  # however many classes and draws
            assert cuda.waits == {("evaluation/scores", "value"): 2, ("evaluation/scores", "upload"): 1}


def test_inspection_keeps_no_images_on_the_device(cuda, tree, tmp_path, monkeypatch):
    pixels, labels = colours(60)
    np.save(tmp_path / "images.npy", pixels)
    pack = Boxes(images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    pack.digest = "colours"
    parts = [Selection(rows, labels[rows], WNIDS) for rows in (np.arange(40), np.arange(40, 60))]
    kept, emptied, net = {}, [], build("small", 4, 32, seed=0)
    monkeypatch.setattr(device_images, "resident_packs", kept)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(kept.copy()))
    target = Target(pack, *parts)
    spec = Pretrain(Subset("a pack"), recipe=RECIPE)
    inspected = inspect_target(on_device(net), spec, target, tree, GPU)
    assert emptied == [{}]
    expected = inspect_target(net.to("cpu"), spec, target, tree, CPU)
    assert inspected.predicted.tolist() == expected.predicted.tolist()


def detector(name: str, regions: str) -> tuple[Detector, Boxes, DetectionRecipe]:
    """A detector on the parts of *name*, its recipe, and pictures of coloured boxes."""
    recipe = replace(DETECTION, regions=regions)
    net = Detector(detection_backbone(name, narrow(build(name, 4, 72, seed=0))), 2, recipe, seed=0)
    return on_device(net), boxes_pack({"train": 6, "test": 4}), recipe


KINDS = pytest.mark.parametrize(
    ("name", "regions"), [("small", "windows"), ("small", "rpn"), ("alexnet", "windows"), ("resnet18", "rpn")]
)


@KINDS
def test_calibrating_a_detector_and_its_loss(cuda, name, regions):
    net, pack, recipe = detector(name, regions)
    loader = batches_of(pack, recipe, GPU)
    reset_norm_statistics(net, loader, 0)
    for image_batch, targets in loader.epoch(0):
        assert detection_loss(net, image_batch, targets, recipe).is_cuda


@KINDS
def test_finding_objects(cuda, name, regions):
    net, pack, recipe = detector(name, regions)
    target = multilabel_target(spec(recipe), pack)
    batches = DetectionBatches(pack, target.test, recipe, 0, GPU)
    detections, looked = detect(net, batches, target.test.classes, GPU)
    assert set(detections["image"]) <= set(looked) == set(target.test.rows)


def test_batches_of_a_detector_wait_for_nothing(cuda):
    loader = batches_of(boxes_pack({"train": 6, "test": 4}), DETECTION, GPU)
    for image_batch, targets in [*loader.epoch(0), *loader.in_order()]:
        assert all(part.is_cuda for part in (image_batch.pixels, *image_batch.regions))
        assert all(part.is_cuda for target in targets for part in target.values())
    assert asked_by(cuda) <= {"training/crop_cpu"}


def test_pooling_of_regions_that_repeats_waits_for_nothing(cuda):
    maps, boxes = torch.rand(2, 4, 9, 9, device="cuda"), torch.rand(3, 4, device="cuda").cumsum(1) * 40
    assert repeatable_roi_pool(maps, [boxes, boxes[:1]], 6, 1 / 16).shape == (4, 4, 6, 6)
    assert not asked_by(cuda)
