"""The CPU's tests with Machine(device="cuda"): batches, training and measuring say the same on a GPU."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from itl.evaluation.detection import detection
from itl.evaluation.fast_rcnn import Detector, detection_loss
from itl.evaluation.frozen import knn, probe
from itl.evaluation.target import Target, multilabel_target
from itl.machine import Machine
from itl.packs.subset import Selection
from itl.runs.question import run_all
from itl.runs.store import Store
from itl.specs import Pretrain, Recipe, Subset, Transfer
from itl.training import device_images
from itl.training.batches import Batches, crop_on
from itl.training.checkpoint import CHECKPOINT_FILE, load_tensors
from itl.training.crop_cpu import batch_crop
from itl.training.cuda_graph import RecordedSteps
from itl.training.detection_batches import DetectionBatches
from itl.training.detection_nets import align, detection_backbone, repeatable_roi_pool
from itl.training.loop import classify, fit_epoch, predict, recorded_steps, sgd, take_step, train
from itl.training.nets import build
from itl.training.numerics import has_bf16, repeatable
from tests.evaluation.test_detection import RECIPE as DETECTION
from tests.evaluation.test_detection import spec
from tests.training.test_loop import narrow
from tests.worlds import boxes_pack, here, small_study

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")

CPU, GPU = Machine(threads=1, checkpoint_seconds=0), Machine(device="cuda", threads=1, checkpoint_seconds=0)
RECIPE = Recipe(epochs=4, batch=16, pixels=32, lr=0.05)


def world() -> tuple[SimpleNamespace, SimpleNamespace]:
    """Noise around a colour that tells the class: a pack and a selection of all of it."""
    random = np.random.default_rng(0)
    labels = np.arange(72) % 4
    colours = random.integers(40, 216, (4, 1, 1, 3))
    pixels = np.clip(colours[labels] + random.integers(-40, 40, (72, 40, 40, 3)), 0, 255).astype(np.uint8)
    selection = SimpleNamespace(rows=np.arange(72), labels=labels, classes=("a", "b", "c", "d"))
    return SimpleNamespace(images=pixels), selection


def batches(machine: Machine, recipe: Recipe = RECIPE) -> Batches:
    """Batches of that world."""
    return Batches(*world(), recipe, 0, machine)


def test_the_crop_is_the_cpus():
    random = np.random.default_rng(0)
    arrays = random.integers(0, 256, (20, 40, 40, 3), dtype=np.uint8), random.integers(1, 20, (20, 4))
    images, boxes, flips = (torch.from_numpy(part) for part in (*arrays, random.random(20) < 0.5))
    crops = batch_crop(images.cuda(), boxes, flips, 32)
    assert crops.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(crops.cpu(), batch_crop(images, boxes, flips, 32), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("size", "pixels", "most"),
    [(40, 32, 40), (40, 17, 40), (23, 56, 23), (64, 56, 1), (256, 224, 256), (400, 56, 400)],
)
@pytest.mark.parametrize("count", [1, 20, 257])
def test_the_fused_crop_is_the_plain_one(size, pixels, most, count):
    """Shrunk and enlarged, one image and uneven counts, boxes of one pixel."""
    fused_crop = pytest.importorskip("itl.training.crop_triton", reason="Triton is not installed").fused_crop
    random = np.random.default_rng(count)
    sides = random.integers(1, most + 1, (count, 2))
    boxes = np.concatenate([np.floor(random.random((count, 2)) * (size - sides + 1)), sides], 1)
    images = random.integers(0, 256, (count + 3, size, size, 3), dtype=np.uint8)
    rows, flips = random.integers(0, count + 3, count), random.random(count) < 0.5
    arrays = images, rows, boxes.astype(np.float32), flips
    images, rows, boxes, flips = (torch.from_numpy(part).cuda() for part in arrays)
    expected = batch_crop(images.cpu()[rows.cpu()], boxes.cpu(), flips.cpu(), pixels)
    crops = fused_crop(images, rows, boxes, flips, pixels)
    assert crops.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(crops.cpu(), expected, rtol=1e-4, atol=1e-4)
    half = fused_crop(images, rows, boxes, flips, pixels, torch.bfloat16)
    torch.testing.assert_close(half.float(), crops, rtol=2**-8, atol=1e-5)


def test_a_large_batch_in_a_cuda_graph_is_cropped_as_alone():
    """Long strips, new boxes at each replay, the same bits each time."""
    fused_crop = pytest.importorskip("itl.training.crop_triton", reason="Triton is not installed").fused_crop
    count, size, pixels = 1200, 128, 112
    images = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, device="cuda")
    rows, flips = torch.randperm(count, device="cuda"), torch.rand(count, device="cuda") < 0.5
    boxes = torch.tensor([[0.0, 0.0, size, size]], device="cuda").repeat(count, 1)
    fused_crop(images, rows, boxes, flips, pixels, torch.bfloat16)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = fused_crop(images, rows, boxes, flips, pixels, torch.bfloat16)
    sides = torch.randint(1, size + 1, (count, 2), device="cuda")
    boxes.copy_(torch.cat([(torch.rand(count, 2, device="cuda") * (size - sides + 1)).floor(), sides], 1))
    graph.replay()
    assert torch.equal(captured, fused_crop(images, rows, boxes, flips, pixels, torch.bfloat16))
    expected = batch_crop(images[rows].cpu(), boxes.cpu(), flips.cpu(), pixels)
    torch.testing.assert_close(captured.float().cpu(), expected, rtol=2**-8, atol=1e-4)


def test_batches_are_cropped_by_the_fused_kernel():
    module = pytest.importorskip("itl.training.crop_triton", reason="Triton is not installed")
    assert crop_on(torch.device("cuda")) is module.fused_crop


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_batches_are_the_cpus_whether_the_pack_is_on_the_gpu_or_not(kept, precision, monkeypatch):
    monkeypatch.setattr(device_images, "fits", lambda *how: kept)
    recipe = Recipe(epochs=4, batch=16, pixels=32, precision=precision)
    loader, other = batches(GPU, recipe), batches(CPU, recipe)
    assert (loader.on_device is not None) == kept
    half = precision == "bf16" and has_bf16(loader.device)
    near = 2**-8 if half else 1e-4  # a bfloat16 has eight bits
    pairs = [*zip(loader.epoch(1), other.epoch(1), strict=True)]
    assert len(pairs) == 4
    assert pairs[0][0][0].dtype == (torch.bfloat16 if half else torch.float32)
    for (images, targets), (expected, labels) in pairs:
        assert images.is_cuda
        assert targets.tolist() == labels.tolist()
        torch.testing.assert_close(images.cpu().float(), expected, atol=near, rtol=near)
    for (images, targets), (expected, labels) in zip(loader.in_order(), other.in_order(), strict=True):
        assert targets.tolist() == labels.tolist()
        torch.testing.assert_close(images.cpu(), expected, atol=1e-4, rtol=1e-4)


def test_images_stay_on_the_gpu_where_they_and_the_other_workers_fit(monkeypatch):
    monkeypatch.setattr(device_images, "resident_packs", {})
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda where: 0)
    wanted, device, memory = 72 * 40 * 40 * 3, torch.device("cuda"), torch.cuda.memory_reserved()
    for free, total, workers, fit in (
        (3 * wanted, 100 * wanted, 1, True),
        (wanted, 100 * wanted, 1, False),
        (3 * wanted, 6 * wanted, 2, True),
        (3 * wanted, 6 * wanted, 4, False),
    ):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda where, sizes=(free - memory, total): sizes)
        assert device_images.fits(wanted, device, workers) == fit, (free, total, workers)


def test_a_pack_is_uploaded_once_for_all_runs_of_a_process(tmp_path):
    pack, selection = world()
    np.save(tmp_path / "images.npy", pack.images)
    mapped = SimpleNamespace(images=np.load(tmp_path / "images.npy", mmap_mode="r"), digest="mapped")
    half = SimpleNamespace(rows=selection.rows[::2], labels=selection.labels[::2], classes=selection.classes)
    first, second = (Batches(mapped, images, RECIPE, 0, GPU) for images in (half, selection))
    assert first.on_device is second.on_device
    assert torch.equal(second.on_device.cpu(), torch.from_numpy(pack.images))


def test_images_are_streamed_where_the_gpu_is_out_of_memory(monkeypatch):
    def full(*how):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(device_images, "empty_images", full)
    loader = batches(GPU)
    assert loader.on_device is None
    assert len(list(loader.epoch(0))) == len(loader)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("record", [True, False])
def test_a_step_does_not_wait_for_the_gpu(kept, record, monkeypatch):
    monkeypatch.setattr(device_images, "fits", lambda *how: kept)
    loader, net = batches(GPU), build("small", 4, 32, seed=0).cuda().train()
    optimizer = sgd(net, RECIPE)

    def step(images, targets):
        return take_step(net, optimizer, loader, RECIPE, classify, images, targets)

    recorded = RecordedSteps(net, optimizer, loader, RECIPE, step) if record else None
    fit_epoch(net, optimizer, loader, RECIPE, 0, classify, recorded)
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = fit_epoch(net, optimizer, loader, RECIPE, len(loader), classify, recorded)  # or raise
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert losses.isfinite().all()


class Waiting(torch.nn.Module):
    """Reads a value on the host in each step."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * images.mean().item()


def test_a_net_that_waits_for_the_gpu_trains_unrecorded_and_harms_no_later_net(monkeypatch):
    """It must not reach the capture: torch 2.11 keeps the memory of a streamed pack after one that failed."""
    monkeypatch.setattr(device_images, "fits", lambda *how: False)
    held = []
    for waits in (True, False):
        loader, net = batches(GPU), build("small", 4, 32, seed=0).cuda().train()
        net = torch.nn.Sequential(Waiting(), net) if waits else net
        optimizer = sgd(net, RECIPE)
        if waits:
            with pytest.warns(UserWarning, match="cannot be a CUDA graph .*synchronizing"):
                assert recorded_steps(net, optimizer, loader, RECIPE, classify) is None
        else:
            assert recorded_steps(net, optimizer, loader, RECIPE, classify) is not None
        assert torch.cuda.current_stream() == torch.cuda.default_stream()
        assert torch.cuda.get_sync_debug_mode() == 0
        for epoch in range(3):
            fit_epoch(net, optimizer, loader, RECIPE, epoch * len(loader), classify, None)
            torch.cuda.synchronize()
            torch.cuda.empty_cache()  # frees what waited for a stream; not so of a capture that failed
            held.append(torch.cuda.memory_stats()["active_bytes.all.current"])
        assert held[-1] - held[-2] < 1 << 16, "an epoch keeps none of its batches, of 300 KB"


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("name", ["small", "alexnet"])
def test_recorded_steps_are_those_taken_one_by_one(name, kept, monkeypatch):
    """Bit for bit, with dropout's masks (AlexNet), running statistics and momentum."""
    monkeypatch.setattr(device_images, "fits", lambda *how: kept)
    recipe, states = Recipe(epochs=2, batch=16, pixels=63, lr=0.01), []
    for record in (True, False):
        loader, net = batches(GPU, recipe), build(name, 4, 63, seed=0)
        net.to("cuda", memory_format=torch.channels_last).train()
        optimizer, recorded = sgd(net, recipe), None
        with repeatable(GPU):
            if record:

                def step(images, targets, net=net, optimizer=optimizer, loader=loader):
                    return take_step(net, optimizer, loader, recipe, classify, images, targets)

                recorded = RecordedSteps(net, optimizer, loader, recipe, step)
            losses = []
            for epoch in range(2):
                torch.manual_seed(epoch)
                begin = epoch * len(loader)
                losses.append(fit_epoch(net, optimizer, loader, recipe, begin, classify, recorded))
        states.append([*losses, *net.state_dict().values()])
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))


@pytest.mark.parametrize(
    ("name", "pixels"), [("small", 32), ("alexnet", 112), ("caffenet", 112), ("resnet18", 32)]
)
def test_two_epochs_a_stop_and_two_more_equal_four(tmp_path, name, pixels):
    def stop(row: dict) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    recipe = replace(RECIPE, pixels=pixels, lr=0.01)
    straight, stopped, resumed = (narrow(build(name, 4, pixels, seed=0)) for _ in range(3))
    whole = train(straight, batches(GPU, recipe), recipe, tmp_path / "whole", GPU, seed=0)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, batches(GPU, recipe), recipe, tmp_path / "parts", GPU, seed=0, log=stop)
    resumed_history = train(resumed, batches(GPU, recipe), recipe, tmp_path / "parts", GPU, seed=0)
    assert [row["loss"] for row in resumed_history] == [row["loss"] for row in whole]
    one, other = straight.state_dict(), resumed.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_training_and_prediction_are_near_the_cpus(tmp_path):
    recipe = Recipe(epochs=2, batch=16, pixels=32, lr=0.02, precision="fp32")
    seen = {}
    for machine in (CPU, GPU):
        net = build("small", 4, 32, seed=0)
        history = train(net, batches(machine, recipe), recipe, tmp_path / machine.device, machine, seed=0)
        outputs = [part.cpu() for part in predict(net, batches(machine, recipe), machine)]
        seen[machine.device] = [row["loss"] for row in history], outputs
    assert seen["cuda"][0] == pytest.approx(seen["cpu"][0], rel=0.02)
    assert torch.equal(seen["cuda"][1][1], seen["cpu"][1][1])
    assert (seen["cuda"][1][0].argmax(1) == seen["cpu"][1][0].argmax(1)).float().mean() > 0.9


def test_a_checkpoint_holds_the_moment_it_was_made_though_it_is_written_later(tmp_path):
    kept, net = [], build("small", 4, 32, seed=0)

    def look(row: dict) -> None:
        kept.append({name: tensor.clone() for name, tensor in net.state_dict().items()})

    half = Recipe(steps=8, batch=16, pixels=32, lr=0.05)
    train(net, batches(GPU, half), half, tmp_path, GPU, log=look)
    tensors, history = load_tensors(tmp_path / CHECKPOINT_FILE)
    assert [row["step"] for row in history] == [4, 8]
    assert all(torch.equal(tensors[f"net.{name}"], tensor.cpu()) for name, tensor in kept[-1].items())
    assert any(name.startswith("momentum.") for name in tensors)


def test_compiled_it_learns_the_same_and_goes_on_from_a_checkpoint(tmp_path):
    recipe, seen = Recipe(epochs=2, batch=16, pixels=32, lr=0.02, precision="fp32"), {}
    for compiled in (False, True):
        net, machine = build("small", 4, 32, seed=0), GPU.replace(compile=compiled)
        history = train(net, batches(machine, recipe), recipe, tmp_path / str(compiled), machine)
        again = build("small", 4, 32, seed=0)
        resumed = train(again, batches(machine, recipe), recipe, tmp_path / str(compiled), machine)
        assert resumed == history
        seen[compiled] = [row["loss"] for row in history], predict(net, batches(machine, recipe), machine)[0]
    assert seen[True][0] == pytest.approx(seen[False][0], rel=0.02)
    assert (seen[True][1].argmax(1) == seen[False][1].argmax(1)).float().mean() > 0.9


def test_nearest_neighbours_are_exact():
    from itl.evaluation.knn import nearest

    random = torch.Generator().manual_seed(0)
    base, queries = (torch.randn(count, 64, generator=random) for count in (3001, 77))
    exact = (
        torch.nn.functional.normalize(queries.double(), dim=1)
        @ torch.nn.functional.normalize(base.double(), dim=1).T
    )
    rows, similar = nearest(base.cuda(), queries.cuda(), 5)
    assert torch.equal(rows.cpu(), exact.topk(5).indices)
    torch.testing.assert_close(similar.cpu(), exact.topk(5).values, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("evaluate", "metric", "near"), [(knn, "knn5", 2.0), (probe, "accuracy", 2.0)])
def test_frozen_features_score_as_on_the_cpu(evaluate, metric, near, tmp_path):
    random, labels = np.random.default_rng(0), np.arange(200) % 4
    colours = random.uniform(40, 215, (4, 3))[labels][:, None, None]
    images = (colours + random.normal(0, 60, (200, 32, 32, 3))).clip(0, 255).astype(np.uint8)
    splits = [Selection(rows, labels[rows], tuple("abcd")) for rows in np.split(np.arange(200), 2)]
    recipe = Recipe(batch=16, pixels=32, precision="fp32")
    spec = Transfer(Pretrain(Subset("a pack"), recipe=recipe), evaluate.__name__, "colours", "a pack")
    scores = [
        evaluate(
            spec,
            build("small", 4, 32, seed=0).to(machine.device),
            Target(SimpleNamespace(images=images), *splits),
            tmp_path,
            machine,
        )[metric]
        for machine in (CPU, GPU)
    ]
    assert scores[1] == pytest.approx(scores[0], abs=near)
    assert scores[1] > 60


def test_two_workers_share_the_gpu(tmp_path):
    question, machine = small_study(), here(tmp_path, device="cuda")
    run_all([question], Store(machine.runs), machine)
    assert {Store(machine.runs).state(run.spec) for run in question.runs(machine)} == {"done"}


@pytest.mark.parametrize("cut", [align, repeatable_roi_pool])
def test_regions_are_the_cpus_and_their_gradient_repeats(cut):
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 16, 12, 17, generator=random)
    corners = torch.rand(2, 300, 2, 2, generator=random) * 110
    boxes = [torch.cat([points.min(1).values, points.max(1).values], 1) for points in corners]
    outputs, gradients = [], []
    for where in ("cpu", "cuda", "cuda"):
        on_device = maps.detach().to(where).clone().requires_grad_()
        regions = cut(on_device, [image_boxes.to(where) for image_boxes in boxes], 7, 1 / 8)
        (regions * regions).sum().backward()
        outputs.append(regions.detach().cpu())
        gradients.append(on_device.grad.cpu())
    torch.testing.assert_close(outputs[1], outputs[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-2, rtol=1e-3)
    assert torch.equal(gradients[1], gradients[2])


@pytest.mark.parametrize("name", ["small", "alexnet", "resnet18"])
def test_a_detectors_gradient_repeats(name):
    recipe, pack = replace(DETECTION, pixels=72, longest=96, batch=4), boxes_pack({"train": 4, "test": 2})
    train = multilabel_target(spec(), pack).train
    images, targets = next(DetectionBatches(pack, train, recipe, 0, GPU).epoch(0))
    gradients = []
    for _ in range(2):
        net = Detector(detection_backbone(name, build(name, 4, 96, seed=0)), 2, recipe, seed=0).cuda().train()
        torch.manual_seed(0)  # what is drawn of the regions, and dropout
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            detection_loss(net, images, targets, recipe).backward()
        gradients.append([weight.grad for weight in net.parameters() if weight.grad is not None])
    assert len(gradients[0]) > 10
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_pictures_are_the_cpus():
    pack = boxes_pack({"train": 20, "test": 8})
    train = multilabel_target(spec(), pack).train
    batches = (DetectionBatches(pack, train, DETECTION, 0, machine).epoch(1) for machine in (GPU, CPU))
    for (images, targets), (other, expected) in zip(*batches, strict=True):
        torch.testing.assert_close(images.pixels.cpu(), other.pixels, atol=1e-3, rtol=1e-3)
        assert images.sizes == other.sizes
        for ours, theirs in zip(targets, expected, strict=True):
            assert torch.equal(ours["boxes"].cpu(), theirs["boxes"])
            assert torch.equal(ours["labels"].cpu(), theirs["labels"])


def test_a_detector_finds_coloured_boxes(tmp_path):
    target = multilabel_target(spec(), boxes_pack({"train": 60, "test": 40}))
    scores = detection(spec(), build("small", 4, 32, seed=0).cuda(), target, tmp_path, GPU)
    assert scores["map"] > 60
