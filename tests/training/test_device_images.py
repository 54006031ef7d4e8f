"""What stays on a GPU and what is sent to it; the device is the CPU here, `tests/gpu` has the real one."""

import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from itl.machine import Machine
from itl.packs.subset import Selection
from itl.specs import DetectionRecipe, Recipe
from itl.training import device_images
from itl.training.batches import Batches
from itl.training.checkpoint import CHECKPOINT_FILE, checkpoints, load_tensors
from itl.training.device_images import STEPS_QUEUED, ImageStream, fits, resident
from tests.evaluation.test_detection import batches_of
from tests.worlds import boxes_pack

CPU = torch.device("cpu")
GIB = 2**30


class Stream:
    """A stand-in for ImageStream that notes which rows are read, and how many at once."""

    device = CPU

    def __init__(self) -> None:
        self.read: list[int] = []
        self.counts: list[int] = []

    def send(self, source: np.ndarray, parts: Sequence[np.ndarray]) -> Iterator[torch.Tensor]:
        for rows in parts:
            self.read += rows.tolist()
            self.counts.append(len(rows))
            yield torch.from_numpy(source[rows])


@pytest.fixture
def pack(tmp_path, monkeypatch) -> SimpleNamespace:
    monkeypatch.setattr(device_images, "resident_packs", {})
    monkeypatch.setattr(device_images, "UPLOAD_BYTES", 3 * 48)
    return stored(tmp_path, seed=0)


def stored(folder: Path, seed: int) -> SimpleNamespace:
    """Put a pack of ten images of noise in the place of another one, as packing does."""
    images = np.random.default_rng(seed).integers(0, 256, (10, 4, 4, 3), dtype=np.uint8)
    np.save(folder / "new.npy", images)
    (folder / "new.npy").replace(folder / "images.npy")
    return SimpleNamespace(images=np.load(folder / "images.npy", mmap_mode="r"), digest=f"noise {seed}")


def test_a_pack_that_fits_is_sent_once_row_by_row_as_runs_need_it(pack, monkeypatch):
    monkeypatch.setattr(device_images, "fits", lambda *sizes: True)
    stream = Stream()
    first, positions = resident(pack, np.array([7, 1, 1, 4, 9]), stream, 1)
    assert positions.tolist() == [7, 1, 1, 4, 9]
    second, _ = resident(pack, np.arange(10), stream, 1)
    assert second is first
    assert sorted(stream.read) == list(range(10))
    assert torch.equal(second, torch.from_numpy(np.array(pack.images)))


def test_a_pack_that_was_replaced_keeps_its_images_and_gives_the_new_one_none_of_them(
    tmp_path, pack, monkeypatch
):
    """A process that lives long has the earlier map open, and may send what it holds after the change."""
    monkeypatch.setattr(device_images, "fits", lambda *sizes: True)
    rows = np.arange(10)
    resident(pack, rows[:5], Stream(), 1)
    new = stored(tmp_path, seed=1)
    for one in (pack, new, pack):
        images, _ = resident(one, rows, Stream(), 1)
        assert torch.equal(images, torch.from_numpy(np.array(one.images))), one.digest


def test_a_selection_that_fits_alone_is_read_a_part_at_a_time(pack, monkeypatch):
    monkeypatch.setattr(device_images, "fits", lambda wanted, *how: wanted <= 5 * 48)
    stream, rows = Stream(), np.array([8, 2, 5, 3, 0])
    images, positions = resident(pack, rows, stream, 1)
    assert torch.equal(images, torch.from_numpy(pack.images[rows]))
    assert positions.tolist() == [0, 1, 2, 3, 4]
    assert not device_images.resident_packs
    assert stream.counts == [3, 2]


@pytest.mark.parametrize(
    ("budget", "counts"), [(48 * 4, [4, 4, 2]), (48 * 4 - 1, [3, 3, 3, 1]), (5, [1] * 10)]
)
def test_parts_of_an_upload_are_of_so_many_bytes_or_of_one_image(pack, budget, counts, monkeypatch):
    monkeypatch.setattr(device_images, "fits", lambda *sizes: True)
    monkeypatch.setattr(device_images, "UPLOAD_BYTES", budget)
    images, _ = resident(pack, np.arange(10), stream := Stream(), 1)
    assert stream.counts == counts
    assert torch.equal(images, torch.from_numpy(np.array(pack.images)))


def test_rows_that_are_not_to_be_kept_take_no_memory_for_the_others(tmp_path, pack, monkeypatch):
    wanted = []
    monkeypatch.setattr(device_images, "fits", lambda size, *how: wanted.append(size) or True)
    images, positions = resident(pack, np.array([8, 2]), Stream(), 1, keep=False)
    assert torch.equal(images, torch.from_numpy(pack.images[[8, 2]]))
    assert positions.tolist() == [0, 1]
    assert set(wanted) == {2 * 48}
    assert not device_images.resident_packs
    kept, _ = resident(pack, np.array([2]), Stream(), 1)
    again, positions = resident(pack, np.array([8, 2]), stream := Stream(), 1, keep=False)
    assert again is kept, "what is kept already is used"
    assert (positions.tolist(), stream.read) == ([8, 2], [8])


def test_images_that_do_not_fit_are_streamed(pack, monkeypatch):
    monkeypatch.setattr(device_images, "fits", lambda *sizes: False)
    assert resident(pack, np.arange(10), Stream(), 1) is None


def test_a_gpu_out_of_memory_streams_and_keeps_nothing(pack, monkeypatch):
    class Full(Stream):
        def send(self, source, parts):
            raise torch.OutOfMemoryError("full")

    taken, freed, empty_images = [], [], device_images.empty_images

    def take(*what):
        taken.append(weakref.ref(own := empty_images(*what)))
        return own

    monkeypatch.setattr(device_images, "fits", lambda *sizes: True)
    monkeypatch.setattr(device_images, "empty_images", take)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(taken[-1]() is None))
    for keep in (True, False):
        assert resident(pack, np.arange(10), Full(), 1, keep) is None
    assert not device_images.resident_packs
    assert freed == [True, True], "the cache is emptied when the images are freed"


@pytest.mark.parametrize(
    ("free", "kept", "wanted", "workers", "answer"),
    [
        (80, 0, 65, 1, True),       # 15 GiB are left for the net
        (80, 0, 69, 1, False),      # 11 are too few
        (16, 0, 8, 1, True),        # of a small GPU half is left
        (16, 0, 9, 1, False),
        (8, 8, 1, 1, False),        # half of it is taken by a pack that is kept already
        (80, 0, 30, 2, False),      # two workers share 80 GiB
        (68, 12, 16, 2, True),      # of its 40 this one keeps 12 already
        (68, 12, 17, 2, False),
        (20, 60, 1, 2, False),      # it keeps more than its share, as it began alone
    ],
)  # fmt: skip
def test_a_pack_leaves_room_for_the_net(monkeypatch, free, kept, wanted, workers, answer):
    pack = SimpleNamespace(images=SimpleNamespace(nbytes=kept * GIB))
    monkeypatch.setattr(device_images, "resident_packs", {("a pack", CPU): pack} if kept else {})
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free * GIB, 80 * GIB))
    for name in ("memory_reserved", "memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda device: kept * GIB)
    assert fits(wanted * GIB, CPU, workers) == answer


def test_images_are_sent_only_some_steps_ahead_of_a_gpu_that_is_slow(pack, monkeypatch):
    """This GPU does nothing until it is waited for: then all that was queued before that event."""
    queued, done, ahead, empty = [], [0], [], torch.empty

    class Event:
        def __init__(self, blocking: bool = False) -> None:
            self.after = len(queued)

        def synchronize(self) -> None:
            done[0] = self.after

    stream = SimpleNamespace(wait_event=Mock(), record_event=lambda event=None: event or Event())
    replaced = {"Event": Event, "Stream": lambda device: stream, "stream": nullcontext}
    for name, value in (replaced | {"current_stream": lambda device: stream}).items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.Tensor, "record_stream", Mock())
    monkeypatch.setattr(torch, "empty", lambda shape, dtype, pin_memory: empty(shape, dtype=dtype))
    parts = [np.array([step % 10, 3]) for step in range(40)]
    with ThreadPoolExecutor(2) as threads:
        for rows, images in zip(parts, ImageStream(CPU, threads, 2).send(pack.images, parts), strict=True):
            assert torch.equal(images, torch.from_numpy(pack.images[rows]))
            queued.append("a step")
            ahead.append(len(queued) - done[0])
    assert ahead == [*range(1, STEPS_QUEUED + 1)] + [STEPS_QUEUED + 1] * (40 - STEPS_QUEUED)


class Pool(Executor):
    """Works at once, and counts how often it is asked to."""

    submitted = 0

    def submit(self, work, *given):
        self.submitted += 1
        future: Future = Future()
        future.set_result(work(*given))
        return future


@pytest.mark.parametrize(
    ("threads", "budget", "ahead"),
    [
        (16, 96 * 100, 16),         # each thread reads a part of two images
        (16, 96 * 6 + 95, 6),       # of these not all: the parts would be too large together
        (16, 5, 3),                 # large parts
        (1, 96 * 100, 3),           # one thread
    ],
)  # fmt: skip
def test_all_threads_read_ahead_as_far_as_memory_goes(pack, threads, budget, ahead, monkeypatch):
    monkeypatch.setattr(device_images, "AHEAD_BYTES", budget)
    empty, stream = torch.empty, Mock()
    for name, value in {"Stream": lambda device: stream, "stream": nullcontext, "Event": Mock()}.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(torch.Tensor, "record_stream", Mock())
    monkeypatch.setattr(torch, "empty", lambda shape, dtype, pin_memory: empty(shape, dtype=dtype))
    parts = [np.array([1, 3])] * 40
    next(ImageStream(CPU, pool := Pool(), threads).send(pack.images, parts))
    assert pool.submitted == 1 + ahead


@pytest.fixture
def devices(monkeypatch) -> dict[str, str]:
    """The GPU that each thread has chosen; a new one begins with the first."""
    chosen: dict[str, str] = {}

    def choose(device: torch.device) -> None:
        chosen[threading.current_thread().name] = str(device)

    monkeypatch.setattr(torch.cuda, "set_device", choose)
    return chosen


def test_threads_that_read_for_a_gpu_begin_with_it(pack, devices, monkeypatch):
    for name in ("ImageStream", "resident"):
        monkeypatch.setattr(f"itl.training.batches.{name}", lambda *given: None)
    machine = Machine(device="cuda:1", threads=1)
    everything = Selection(np.arange(10), np.arange(10) % 2, ("a", "b"))
    loader = Batches(pack, everything, Recipe(batch=5, pixels=4), 0, machine)
    pictures = batches_of(boxes_pack({"train": 4, "test": 2}), DetectionRecipe(), machine)
    for threads in (loader.threads, pictures.threads):
        threads.submit(int).result()
    assert devices == {"crop_0": "cuda:1", "detection-batch_0": "cuda:1"}


def test_the_thread_that_writes_a_checkpoint_waits_on_the_gpu_of_its_tensors(tmp_path, devices, monkeypatch):
    event = Mock(device=torch.device("cuda", 1))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Mock(record_event=lambda: event))
    pinned = {"copy_": lambda tensor, non_blocking: torch.ones(tensor.shape)}
    monkeypatch.setattr(torch, "empty_like", lambda tensor, device, pin_memory: SimpleNamespace(**pinned))
    net = torch.nn.Linear(2, 1, device="meta")  # as one that is not on the CPU
    with checkpoints(tmp_path) as save:
        save(net, torch.optim.SGD(net.parameters(), 0.1), [{"step": 1}])
    tensors, history = load_tensors(tmp_path / CHECKPOINT_FILE)
    assert history == [{"step": 1}]
    assert tensors["net.weight"].tolist() == [[1, 1]]
    assert devices == {"checkpoint_0": "cuda:1"}
    event.synchronize.assert_called_once_with()
