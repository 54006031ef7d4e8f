"""Resizing: the very pixels of torch's antialiased resize, of any size and any part, and of each fit."""

import doctest

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from itl import ItlError
from itl.packs import resize
from itl.packs.fit import fitted
from itl.packs.resize import resized


def by_torch(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    found = torch.nn.functional.interpolate(images, shape, mode="bilinear", antialias=True)
    return found[0].permute(1, 2, 0).numpy()


def noise(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Grey levels of all kinds; where *height* is even, only black and white: the hardest to sum."""
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return pixels if height % 2 else pixels // 128 * 255


@pytest.mark.parametrize(("source", "shape"), [
    ((375, 500), (256, 256)), ((375, 500), (64, 64)), ((64, 64), (256, 256)), ((40, 40), (40, 40)),
    ((1, 1), (1, 1)), ((1, 1), (7, 5)), ((1, 900), (13, 13)), ((900, 1), (13, 13)), ((2, 3), (1, 2)),
    ((17, 2000), (3, 5)), ((30, 31), (29, 31)), ((5, 4), (4, 3)),
])
def test_every_pixel_is_torchs(source, shape):
    pixels = noise(np.random.default_rng(0), *source)
    assert np.array_equal(resized(pixels, shape, (0, 0, *shape)), by_torch(pixels, shape))


def test_every_pixel_of_any_part_is_torchs():
    random = np.random.default_rng(1)
    for _ in range(150):
        height, width, high, wide = random.integers(1, 90, 4).tolist()
        top, left = int(random.integers(high)), int(random.integers(wide))
        part = int(random.integers(1, high - top + 1)), int(random.integers(1, wide - left + 1))
        pixels = noise(random, height, width)
        expected = by_torch(pixels, (high, wide))[top:top + part[0], left:left + part[1]]
        assert np.array_equal(resized(pixels, (high, wide), (top, left, *part)), expected)


def test_what_lies_in_memory_otherwise_gives_the_same():
    pixels = noise(np.random.default_rng(2), 33, 21)
    locked = pixels.copy()
    locked.flags.writeable = False
    for other in (locked, np.asfortranarray(pixels), np.repeat(pixels, 2, axis=1)[:, ::2]):
        assert np.array_equal(resized(other, (9, 8), (0, 0, 9, 8)), by_torch(pixels, (9, 8)))


@pytest.mark.parametrize(("height", "width"), [(40, 60), (61, 40), (7, 9), (5, 39), (24, 24), (50, 24)])
def test_each_fit_is_torchvisions(height, width):
    pixels, size = noise(np.random.default_rng(3), height, width), 24
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    wide, high = (max(1, round(side * size / max(height, width))) for side in (width, height))
    padding = [0, 0, size - wide, size - high]
    expected = {
        "squash": functional.resize(tensor, [size, size], antialias=True),
        "crop": functional.center_crop(functional.resize(tensor, [size], antialias=True), [size, size]),
        "pad": functional.pad(functional.resize(tensor, [high, wide], antialias=True), padding),
    }
    for fit, square in expected.items():
        assert np.array_equal(fitted(pixels, size, fit), square.permute(1, 2, 0).numpy()), fit


@pytest.mark.parametrize(("pixels", "window", "message"), [
    (np.zeros((4, 4, 3), np.float32), (0, 0, 2, 2), "takes uint8"),
    (np.zeros((4, 4), np.uint8), (0, 0, 2, 2), "takes uint8"),
    (np.zeros((4, 0, 3), np.uint8), (0, 0, 2, 2), "takes uint8"),
    (np.zeros((4, 4, 3), np.uint8), (1, 0, 2, 2), "is not on an image of"),
    (np.zeros((4, 4, 3), np.uint8), (0, -1, 2, 2), "is not on an image of"),
    (np.zeros((4, 4, 3), np.uint8), (0, 0, 0, 2), "is not on an image of"),
])
def test_what_the_kernel_would_read_outside_of_is_refused(pixels, window, message):
    with pytest.raises(ItlError, match=message):
        resized(pixels, (2, 2), window)


def test_the_example_is_true():
    assert doctest.testmod(resize).attempted == 1
    assert doctest.testmod(resize).failed == 0
