"""Recorded steps on the CPU, where a graph is only pretended: the numbers, the memory, and what is said."""

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from itl.machine import Machine
from itl.specs import Recipe
from itl.training import cuda_graph, loop
from itl.training.batches import Batches
from itl.training.crop_cpu import batch_crop
from itl.training.cuda_graph import RecordedSteps
from itl.training.device_images import ResidentImages
from itl.training.loop import classify, fit_epoch, recorded_steps, sgd, take_step
from tests.training.test_loop import batches, plain

RECIPE = Recipe(epochs=2, batch=16, pixels=16, lr=0.1, momentum=0.5, precision="fp32")


@pytest.fixture
def pretended(monkeypatch):
    """A graph that calls what it recorded, and a crop in plain torch."""

    def crop(images, rows, boxes, flips, pixels, dtype):
        return batch_crop(images[rows], boxes, flips, pixels).to(dtype)

    monkeypatch.setattr(cuda_graph, "record", lambda work, state: SimpleNamespace(replay=work))
    monkeypatch.setattr(cuda_graph, "crop_on", lambda device: crop)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)


def resident() -> Batches:
    """Batches whose images are where a GPU would have them."""
    loader = batches(RECIPE)
    loader.on_device = torch.from_numpy(loader.images)
    loader.device_rows = torch.from_numpy(loader.rows)
    return loader


def streamed() -> Batches:
    """Batches whose images are sent for each step."""
    loader = batches(RECIPE)
    loader.stream = SimpleNamespace(
        send=lambda images, parts: (torch.from_numpy(images[rows]) for rows in parts)
    )
    return loader


def two_epochs(loader: Batches, record: bool) -> tuple[list[float], list[weakref.ref]]:
    """The losses of all steps, and references to the net and its batches."""
    net, recorded = plain(), None
    optimizer = sgd(net, RECIPE)

    def step(images, targets):
        return take_step(net, optimizer, loader, RECIPE, classify, images, targets)

    if record:
        recorded = RecordedSteps(net, optimizer, loader, RECIPE, step)
    losses = [fit_epoch(net, optimizer, loader, RECIPE, start, classify, recorded) for start in (0, 4)]
    return torch.cat(losses).tolist(), [weakref.ref(net), weakref.ref(loader)]


@pytest.mark.parametrize("make", [resident, streamed])
def test_recorded_steps_are_those_of_the_loop_and_end_with_it(make, pretended):
    slow, _ = two_epochs(batches(RECIPE), record=False)
    gc.collect()
    gc.disable()
    try:
        fast, kept = two_epochs(make(), record=True)
        alive = [reference() for reference in kept]
    finally:
        gc.enable()
    assert fast == pytest.approx(slow, rel=1e-5)
    assert len(fast) == 8
    assert alive == [None, None], "net and images wait for the collector, beside the next training's"


class PretendedCuda:
    """What `record` asks of torch.cuda, written down; a capture of torch 2.11 that fails keeps its stream."""

    def __init__(self) -> None:
        self.mode, self.current = 0, "own"

    def set_stream(self, stream: object) -> None:
        self.current = getattr(stream, "name", stream)

    def set_sync_debug_mode(self, mode: object) -> None:
        self.mode = mode

    @contextmanager
    def stream(self, stream: SimpleNamespace) -> Iterator[None]:
        self.current = stream.name
        yield
        self.current = "own"

    @contextmanager
    def graph(self, graph: object, stream: SimpleNamespace, capture_error_mode: str) -> Iterator[None]:
        self.current = f"capture on {stream.name}"
        yield  # and without finally
        self.current = "own"


@pytest.mark.parametrize("fails_in", [None, 0, 2, 3])
def test_a_step_that_waits_is_found_before_it_is_captured(fails_in, monkeypatch):
    """Whatever fails, the stream, the mode and the tensors are what they were."""
    cuda, runs = PretendedCuda(), []
    own = SimpleNamespace(name="own", wait_stream=lambda other: None)
    side = SimpleNamespace(name="side", wait_stream=lambda other: None)
    pretended = {
        "CUDAGraph": object,
        "Stream": lambda: side,
        "current_stream": lambda: own,
        "get_sync_debug_mode": lambda: cuda.mode,
        **{name: getattr(cuda, name) for name in ("set_stream", "set_sync_debug_mode", "stream", "graph")},
    }
    for name, value in pretended.items():
        monkeypatch.setattr(torch.cuda, name, value)
    number = torch.zeros(1)

    def work():
        number.add_(1)
        runs.append((cuda.current, cuda.mode))
        if len(runs) - 1 == fails_in:
            raise RuntimeError("it waits")

    if fails_in is None:
        cuda_graph.record(work, [number])
        assert runs == [("side", 0), ("side", 0), ("side", "error"), ("capture on side", 0)]
    else:
        with pytest.raises(RuntimeError, match="it waits"):
            cuda_graph.record(work, [number])
    assert (cuda.current, cuda.mode, number.item()) == ("own", 0, 0)


def test_a_step_that_waits_is_measured_unrecorded(monkeypatch):
    def failing(error):
        def fail(work, state):
            raise error

        return fail

    monkeypatch.setattr(cuda_graph, "record", lambda work, state: SimpleNamespace(replay=str))
    assert cuda_graph.replay_or_work(list, []) is str
    monkeypatch.setattr(cuda_graph, "record", failing(RuntimeError("it waits")))
    assert cuda_graph.replay_or_work(list, []) is list
    monkeypatch.setattr(cuda_graph, "record", failing(torch.OutOfMemoryError("no memory")))
    with pytest.raises(torch.OutOfMemoryError):
        cuda_graph.replay_or_work(list, [])


def refused_steps(error: Exception, machine: Machine, monkeypatch) -> None:
    """Ask for the recorded steps of a training on a GPU whose recording ends with *error*."""

    def fail(*how):
        raise error

    loader, net = batches(RECIPE), plain()
    loader.device, loader.machine = torch.device("cuda"), machine
    monkeypatch.setattr(loop, "RecordedSteps", fail)
    assert recorded_steps(net, sgd(net, RECIPE), loader, RECIPE, classify) is None


@pytest.mark.parametrize(("workers", "advice"), [(1, ""), (2, "; fewer --workers leave more")])
def test_too_little_memory_for_a_graph_is_said_with_what_leaves_more(workers, advice, monkeypatch):
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee documentation")
    says = "^too little GPU memory is free to record training as a CUDA graph; it trains slower"
    with pytest.warns(UserWarning, match=f"{says}{advice}$"):
        refused_steps(error, Machine(workers=workers), monkeypatch)


def test_where_steps_cannot_be_recorded_the_reason_is_said(monkeypatch):
    says = r"^this net's steps cannot be a CUDA graph \(cannot wait\); it trains slower$"
    with pytest.warns(UserWarning, match=says):
        refused_steps(RuntimeError("cannot wait\nand more"), Machine(), monkeypatch)


def test_steps_that_lack_memory_beside_a_pack_are_recorded_without_it(monkeypatch):
    """The pack's images, and what the first attempt took, are freed before the second."""
    loader, net, taken = resident(), plain(), []
    loader.device = torch.device("cuda")
    kept = {("a pack", loader.device): ResidentImages(loader.on_device, np.ones(len(loader.images), bool))}
    monkeypatch.setattr("itl.training.batches.resident_packs", kept)

    class Steps(torch.nn.Module):
        def __init__(self, net, optimizer, batches, *how):
            super().__init__()
            assert [reference() for reference in taken] == [None] * len(taken)
            taken.extend(weakref.ref(part) for part in (self, batches.on_device) if part is not None)
            if batches.on_device is not None:
                raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loop, "RecordedSteps", Steps)
    gc.disable()
    try:
        steps = recorded_steps(net, sgd(net, RECIPE), loader, RECIPE, classify)
    finally:
        gc.enable()
    assert isinstance(steps, Steps)
    assert (loader.on_device, kept, len(taken)) == (None, {}, 3)
