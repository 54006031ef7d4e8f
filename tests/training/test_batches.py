"""Batches: the fast crop equals torchvision's, and order is pure in (seed, epoch, step)."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core import caching
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from itl import ItlError
from itl.machine import Machine
from itl.specs import Recipe
from itl.training import crop_cpu
from itl.training.batches import SCALE, Batches, center_crop_side, draw_boxes, step_rng
from itl.training.crop_cpu import MEAN, STD, batch_crop, compiled, gather_crop
from tests.memory import needs_statm, resident

GREY = 255 * torch.tensor(STD).view(3, 1, 1)  # one normalised unit in grey levels


def world(images: int = 10, size: int = 16, classes: int = 3) -> tuple[SimpleNamespace, SimpleNamespace]:
    """A pack of noise and a selection of all of it."""
    random = np.random.default_rng(0)
    pack = SimpleNamespace(images=random.integers(0, 256, (images, size, size, 3), dtype=np.uint8))
    rows = np.arange(images)
    return pack, SimpleNamespace(rows=rows, labels=rows % classes, classes=("a", "b", "c"))


def batches(images: int = 10, seed: int = 0, machine: Machine | None = None, **recipe) -> Batches:
    """Batches of that world."""
    recipe = Recipe(**{"batch": 4, "pixels": 12} | recipe)
    return Batches(*world(images), recipe, seed, machine or Machine(threads=1))


def oracle(image: np.ndarray, box: np.ndarray, flip: bool, pixels: int) -> torch.Tensor:
    """torchvision's antialiased crop of one image, in grey levels before rounding."""
    grey = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
    cut = functional.resized_crop(grey, *(int(side) for side in box), size=[pixels, pixels], antialias=True)
    return cut.flip(2) if flip else cut


def cropped(images, rows, boxes, flips, pixels: int, threads=None) -> torch.Tensor:
    """What the kernel makes of them, in memory that held something else."""
    memory = np.full((len(rows), pixels, pixels, 3), np.nan, np.float32)
    return gather_crop(images, rows, boxes, flips, memory, threads)


def in_grey(batch: torch.Tensor) -> torch.Tensor:
    """Normalised images back in grey levels."""
    return batch * GREY + 255 * torch.tensor(MEAN).view(3, 1, 1)


@pytest.mark.parametrize(("size", "pixels"), [(64, 56), (64, 16), (20, 48), (7, 1), (1, 3), (64, 64)])
def test_both_crops_equal_a_loop_over_torchvision(size, pixels):
    pack, _ = world(40, size)
    random = np.random.default_rng(1)
    sides = random.integers(1, size + 1, (40, 2))
    boxes = np.concatenate([np.floor(random.random((40, 2)) * (size - sides + 1)), sides], 1)
    flips, rows = random.random(40) < 0.5, random.permutation(40)
    with ThreadPoolExecutor(2) as threads:
        fast = cropped(pack.images, rows, boxes, flips, pixels, threads)
    slow = batch_crop(*(torch.from_numpy(part) for part in (pack.images[rows], boxes, flips)), pixels)
    loop = [oracle(pack.images[row], *how, pixels) for row, *how in zip(rows, boxes, flips, strict=True)]
    for batch in (fast, slow):
        assert (in_grey(batch) - torch.stack(loop)).abs().max() < 1e-2
        assert batch.shape == (40, 3, pixels, pixels)
        assert batch.is_contiguous(memory_format=torch.channels_last)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_fast_crop_equals_the_reference_for_any_box(size, pixels, seed):
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (5, size, size, 3), dtype=np.uint8)
    sides = random.uniform(0.5, size, (5, 2)).astype(np.float32)
    boxes = np.concatenate([random.random((5, 2)) * (size - sides) * 0.999, sides], 1).astype(np.float32)
    flips = random.random(5) < 0.5
    slow = batch_crop(*(torch.from_numpy(part) for part in (images, boxes, flips)), pixels)
    assert (cropped(images, np.arange(5), boxes, flips, pixels) - slow).abs().max() < 2e-3


def test_the_number_of_threads_changes_no_bit():
    pack, _ = world(50)
    boxes, flips = np.tile([1, 2, 9, 11], (50, 1)), np.ones(50, bool)
    alone = cropped(pack.images, np.arange(50), boxes, flips, 8)
    with ThreadPoolExecutor(3) as threads:
        assert torch.equal(alone, cropped(pack.images, np.arange(50), boxes, flips, 8, threads))
    assert pack.images.flags.writeable


@pytest.mark.parametrize(("images_at_once", "sizes"), [(2.9, [2, 2, 1]), (5, [5]), (0.1, 5 * [1])])
def test_plain_torch_crops_some_images_at_once_in_float32(images_at_once, sizes, monkeypatch):
    """Also inside a forward pass in bfloat16, whose images differ by up to a grey level otherwise."""
    counts = []

    def counted(images, *how):
        counts.append(len(images))
        return batch_crop(images, *how)

    monkeypatch.setattr(crop_cpu, "PLAIN_BYTES", int(images_at_once * 4 * 16 * 16 * 3))
    monkeypatch.setattr(crop_cpu, "batch_crop", counted)
    images, rows = torch.from_numpy(world(9)[0].images), torch.tensor([3, 8, 0, 3, 1])
    boxes, flips = torch.tensor([[1.0, 2, 9, 11]] * 5), torch.arange(5) > 2
    expected = batch_crop(images[rows], boxes, flips, 7)
    with torch.autocast("cpu", torch.bfloat16):
        crops = crop_cpu.plain_crop(images, rows, boxes, flips, 7)
    assert counts == sizes
    torch.testing.assert_close(crops, expected, atol=1e-6, rtol=1e-6)
    assert crops.is_contiguous(memory_format=torch.channels_last)
    half = crop_cpu.plain_crop(images, rows, boxes, flips, 7, torch.bfloat16)
    assert torch.equal(half, crops.bfloat16())


@pytest.mark.parametrize("box", [[0, 0, 17, 4], [-1, 0, 4, 4], [0, 13, 4, 4], [0, 0, 0, 4]])
def test_a_box_outside_its_image_is_refused(box):
    pack, _ = world(1)
    with pytest.raises(ItlError, match="16 x 16 image"):
        cropped(pack.images, np.zeros(1, int), np.array([box]), np.zeros(1, bool), 8)
    with pytest.raises(ItlError, match="16 x 16 image"):
        batch_crop(torch.from_numpy(pack.images), torch.tensor([box]), torch.zeros(1, dtype=torch.bool), 8)


def test_other_rows_are_refused():
    with pytest.raises(ItlError, match="take 0 to 0"):
        cropped(world(1)[0].images, np.array([1]), np.array([[0, 0, 8, 8]]), np.zeros(1, bool), 8)


def test_boxes_are_distributed_as_torchvision_draws_them():
    ours = draw_boxes(np.random.default_rng(0), 4000, 64)
    transform = v2.RandomResizedCrop(56, scale=SCALE)
    torch.manual_seed(0)
    theirs = [transform.make_params([torch.zeros(3, 64, 64)]) for _ in range(4000)]
    theirs = np.array([[box[name] for name in ("top", "left", "height", "width")] for box in theirs])
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, :2] + ours[:, 2:] <= 64).all()
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=0.8)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), atol=0.8)
    np.testing.assert_allclose(np.corrcoef(ours.T), np.corrcoef(theirs.T), atol=0.06)


def same(first: list, second: list) -> bool:
    """Whether two runs gave the same batches, bit for bit."""
    first, second = ([tensor for batch in run for tensor in batch] for run in (first, second))
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_order_is_pure_in_seed_and_epoch():
    loader = batches()
    second = list(loader.epoch(1))
    assert same(second, list(batches().epoch(1)))  # another object, nothing drawn before
    assert not same(second, list(loader.epoch(0)))
    assert not same(second, list(batches(seed=1).epoch(1)))
    np.random.seed(3)  # noqa: NPY002, that is the point
    torch.manual_seed(3)
    assert same(second, list(loader.epoch(1)))
    assert step_rng(0, 0, 1).random() != step_rng(0, 1, 0).random()


def test_an_epoch_shows_each_image_at_most_once_in_whole_batches():
    loader = batches(10, augment="centre", flip=False, pixels=16)
    pixels = [image for images, _ in loader.epoch(0) for image in images]
    assert len(loader) == 2
    assert len(pixels) == 8
    assert len({image.numpy().tobytes() for image in pixels}) == 8


def test_ranks_share_the_same_global_batch():
    whole = list(batches().epoch(5))
    parts = [list(batches(machine=Machine(threads=1, rank=rank, ranks=2)).epoch(5)) for rank in (0, 1)]
    for step, (images, targets) in enumerate(whole):
        for rank in (0, 1):
            assert torch.equal(parts[rank][step][0], images[rank::2])
            assert torch.equal(parts[rank][step][1], targets[rank::2])


def test_a_batch_that_is_held_is_not_written_over():
    loader = batches(10, batch=2)
    held = [(images[:, :, 3:].transpose(2, 3), images.clone()) for images, _ in loader.epoch(0)]
    for _ in loader.epoch(1):
        pass
    assert all(torch.equal(view, copy[:, :, 3:].transpose(2, 3)) for view, copy in held)
    assert len({view.untyped_storage().data_ptr() for view, _ in held}) == 5


def test_the_memory_of_a_batch_let_go_is_used_again():
    loader = batches(40, batch=2)
    addresses = {images.data_ptr() for images, _ in loader.epoch(0)}
    assert len(addresses) <= 4  # one is used, one waits, one is made
    assert len(loader.free_buffers) <= 3


def test_in_order_shows_all_images_with_their_labels():
    loader = batches(10, pixels=16)
    outputs = list(loader.in_order())
    assert [len(targets) for _, targets in outputs] == [4, 4, 2]
    assert torch.cat([targets for _, targets in outputs]).tolist() == [n % 3 for n in range(10)]
    grey = in_grey(torch.cat([images for images, _ in outputs])).permute(0, 2, 3, 1)
    np.testing.assert_allclose(grey, loader.images, atol=1e-3)


@pytest.mark.parametrize(("size", "pixels", "side"), [(64, 56, 56), (64, 32, 56), (64, 33, 33), (32, 56, 32)])
def test_the_window_covers_more_than_half_the_side(size, pixels, side):
    assert center_crop_side(size, pixels) == side


def test_augmentations_take_the_windows_they_say():
    whole = in_grey(next(iter(batches(1, augment="centre", flip=False).epoch(0)))[0])[0]
    images = world(1)[0].images[0].transpose(2, 0, 1)
    np.testing.assert_allclose(whole, images[:, 2:14, 2:14], atol=1e-3)
    random = [next(iter(batches(1, augment="crop").epoch(epoch)))[0] for epoch in range(40)]
    assert len({image.numpy().tobytes() for image in random}) > 20  # of 25 places, each mirrored or not
    mirrored = [next(iter(batches(1, augment="centre").epoch(epoch)))[0][0] for epoch in range(40)]
    flipped = sum(not torch.allclose(in_grey(image), whole, atol=1e-3) for image in mirrored)
    assert 8 < flipped < 32


@pytest.mark.parametrize("images", [1, 3])
def test_fewer_images_than_a_batch_are_one_batch(images):
    loader = batches(images)
    assert len(loader) == 1
    assert [len(targets) for _, targets in loader.epoch(0)] == [images]


def test_nothing_to_batch_is_an_error():
    pack, selection = world()
    nothing = SimpleNamespace(rows=np.zeros(0, int), labels=np.zeros(0, int), classes=())
    beyond = SimpleNamespace(rows=np.array([99]), labels=np.array([0]), classes=("a",))
    with pytest.raises(ItlError, match="holds none"):
        Batches(pack, nothing, Recipe(), 0, Machine())
    with pytest.raises(ItlError, match="row 99"):
        Batches(pack, beyond, Recipe(), 0, Machine())
    with pytest.raises(ItlError, match="16 ranks"):
        Batches(pack, selection, Recipe(), 0, Machine(ranks=16))


@needs_statm
def test_memory_is_flat_over_epochs():
    loader = batches(200, batch=50, pixels=56)

    def read(epochs: range) -> int:
        for epoch in epochs:
            for _ in loader.epoch(epoch):
                pass
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    before, held = read(range(5)), resident()
    after = read(range(5, 40))
    tracemalloc.stop()
    assert after - before < 100_000
    kept = 35 * 200 * 3 * 56**2 * 4  # 263 MB, were the batches of 35 epochs kept
    assert resident() - held < kept / 4


def test_a_kernel_is_compiled_where_no_folder_for_its_code_can_be_written(monkeypatch):
    """As for a package and a home that may only be read: numba itself raises there."""
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator available"):
        numba.njit(cache=True)(double)
    assert compiled(double)(4) == 8


def double(number: int) -> int:
    return 2 * number
