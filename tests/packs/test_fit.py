"""Decoding: hostile images, each turned into pixels or refused with a reason."""

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms.v2 import functional

from itl import ItlError
from itl.packs.fit import LOW_CONTRAST, decode, resize, to_square
from itl.sources.files import image_files
from itl.sources.files.image_files import pixels_of
from itl.sources.folders.class_folders import ClassFolders
from tests.pictures import REAL, encoded, smooth

PICTURE = smooth(24, 36)
SIXTEEN = (PICTURE[:, :, 1].astype(np.uint16) << 8) + 255
CLEAR = np.dstack([PICTURE, np.zeros((24, 36), np.uint8)])
WITHOUT_MEMORY = """
import resource, sys
from pathlib import Path
from PIL import Image
from itl.sources.files.image_files import pixels_of
Image.init()
data = sys.stdin.buffer.read()
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20),) * 2)
try:
    pixels_of(data, "image")
except MemoryError:
    sys.exit(7)
"""


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(np.rot90(PICTURE), "JPEG", quality=95, exif=exif)  # stored lying, shown upright


@pytest.mark.parametrize(
    ("data", "name", "kinds", "expected"),
    [
        (encoded(PICTURE, "JPEG", quality=95), "a.JPEG", (), PICTURE),
        (encoded(PICTURE), "a.png", ("PNG",), PICTURE),
        (encoded(PICTURE), "a.JPEG", ("PNG", "misnamed"), PICTURE),
        (encoded(PICTURE, "JPEG", "L", quality=95), "a.jpg", ("grey",), None),
        (encoded(PICTURE, "JPEG", "CMYK", quality=95), "a.jpg", ("CMYK",), PICTURE),
        (encoded(PICTURE, "PNG", "P"), "a.png", ("PNG", "palette"), None),
        (encoded(PICTURE, "GIF"), "a.gif", ("GIF", "palette"), None),
        (encoded(SIXTEEN), "a.png", ("PNG", "grey", "16-bit"), np.repeat(PICTURE[:, :, 1:2], 3, axis=2)),
        (encoded(CLEAR), "a.png", ("PNG", "alpha", "low contrast"), np.full_like(PICTURE, 255)),
        (encoded(PICTURE[:1, :1]), "a.png", ("PNG",), None),
        (turned(), "a.jpg", ("EXIF-rotated",), PICTURE),
    ],
)
def test_hostile_images_decode_and_say_what_they_were(data, name, kinds, expected):
    image = decode(data, name, 16, "squash")
    assert image.pixels.shape == (16, 16, 3)
    assert image.pixels.dtype == np.uint8
    assert image.kinds == kinds
    if expected is not None:
        assert (image.width, image.height) == (36, 24)
        assert np.abs(image.pixels.astype(int) - to_square(expected, 16, "squash")).max() <= 8


def test_every_exif_orientation_as_pillow_has_it():
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(PICTURE, "JPEG", exif=exif)
        upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
        image = decode(data, "a.jpg", 12, "squash")
        assert (image.pixels == to_square(upright, 12, "squash")).all()
        assert (image.height, image.width) == upright.shape[:2]


@pytest.mark.parametrize(
    ("span", "bits", "is_low"), [(15, 8, True), (16, 8, False), (63, 16, True), (64, 16, False)]
)
def test_contrast_is_low_below_a_sixteenth_of_the_range_and_of_16_bits_below_a_quarter(span, bits, is_low):
    values = np.full((4, 5), 100)
    values[0, 0] += span
    data = encoded(values.astype(np.uint8) if bits == 8 else (values << 8).astype(np.uint16))
    assert (LOW_CONTRAST in decode(data, "a.png", 4, "squash").kinds) == is_low


@pytest.mark.parametrize(
    "data",
    [
        encoded(PICTURE, "JPEG", quality=95),
        encoded(PICTURE, "JPEG", subsampling=0),
        encoded(PICTURE, "JPEG", progressive=True),
        encoded(PICTURE, "JPEG", "L"),
        turned(),
        encoded(PICTURE, "JPEG")[:500] + bytes(64) + encoded(PICTURE, "JPEG")[564:],  # read, though damaged
        encoded(PICTURE, "JPEG") + b"more",
    ],
)
def test_pixels_are_the_same_with_and_without_simplejpeg(data, monkeypatch):
    with_it = pixels_of(data, "a.jpg")
    monkeypatch.setattr(image_files, "simplejpeg_decoder", lambda: None)
    without = pixels_of(data, "a.jpg")
    assert np.array_equal(with_it[0], without[0])
    assert with_it[1] == without[1]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"no image at all", "not an image that Pillow can read"),
        (encoded(PICTURE, "JPEG")[:-200], "[Tt]runcated"),
        (encoded(PICTURE)[:-60], "truncated|broken"),
        (encoded(SIXTEEN.astype(np.int32), "TIFF"), "32-bit pixels"),
        (encoded(SIXTEEN.astype(np.float32), "TIFF"), "32-bit pixels"),
    ],
)
def test_unreadable_images_say_why_the_same_way_each_time(data, reason):
    messages = set()
    for _ in range(2):
        with pytest.raises(ItlError, match=reason) as caught:
            decode(data, "a.jpg", 16, "squash")
        messages.add(str(caught.value))
    assert len(messages) == 1
    assert "\n" not in messages.pop()


def test_crop_keeps_the_centre_and_squash_keeps_all():
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255
    assert decode(wide, "a", 20, "crop").pixels.min() == 255
    assert decode(wide, "a", 20, "squash").pixels.min() == 0
    assert decode(np.zeros((1, 300_000, 3), np.uint8), "a", 256, "crop").pixels.shape == (256, 256, 3)


@pytest.mark.parametrize(("ends", "kept"), [(8, slice(0, 80)), (9, slice(5, 85)), (11, slice(15, 95))])
def test_crop_drops_the_ends_of_what_is_longer_than_eight_times_its_width(ends, kept):
    long = smooth(10, 10 * ends)
    expected = to_square(long[:, kept], 6, "crop")
    assert np.array_equal(to_square(long, 6, "crop"), expected)
    assert np.array_equal(to_square(long.transpose(1, 0, 2), 6, "crop"), expected.transpose(1, 0, 2))


def noise(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Grey levels of all kinds; where *height* is even, only black and white: the hardest to sum."""
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return pixels if height % 2 else pixels // 128 * 255


@pytest.mark.parametrize(
    ("height", "width"),
    [(40, 60), (61, 40), (7, 9), (5, 39), (24, 24), (50, 24), (1, 1), (900, 113), (375, 500)],
)
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
        assert np.array_equal(to_square(pixels, size, fit), square.permute(1, 2, 0).numpy()), fit


def test_resizing_keeps_its_integers():
    """The sums of bytes that packs were made with: torch's, in 16-bit weights, across and then down."""
    pixels = noise(np.random.default_rng(2), 33, 21)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    expected = torch.nn.functional.interpolate(tensor, (9, 8), mode="bilinear", antialias=True)[0]
    read_only = pixels.copy()
    read_only.flags.writeable = False
    for other in (pixels, read_only, np.asfortranarray(pixels), np.repeat(pixels, 2, axis=1)[:, ::2]):
        assert np.array_equal(resize(other, 9, 8), expected.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("shape", [(4, 4), (4, 0, 3), (4, 4, 4)])
def test_pixels_of_another_shape_are_refused(shape):
    with pytest.raises(ItlError, match=r"packs take uint8 \(H, W, 3\)"):
        decode(np.zeros(shape, np.uint8), "a", 8, "squash")
    with pytest.raises(ItlError, match="as float32"):
        decode(np.zeros((4, 4, 3), np.float32), "a", 8, "squash")


def test_resizing_is_pillows_to_a_grey_level():
    image = smooth(150, 97) ^ np.random.default_rng(0).integers(0, 64, (150, 97, 3), dtype=np.uint8)
    pillow = np.asarray(Image.fromarray(image).resize((48, 48), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(to_square(image, 48, "squash") - pillow).max() <= 1


@pytest.mark.skipif(not REAL.is_dir(), reason="no real images in ../shared/data")
def test_real_images_differ_from_pillows_by_less_than_a_grey_level():
    source = ClassFolders(REAL / "imagenet-samples-150.tar")
    for record in source.records()[::20]:
        data = source.read(record)
        pillow = Image.open(io.BytesIO(data)).convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
        pixels = decode(data, record.id, 64, "squash").pixels
        assert np.abs(pixels.astype(int) - np.asarray(pillow)).mean() < 0.1


@pytest.mark.parametrize("kind", ["WEBP", "JPEG2000"])
def test_a_lack_of_memory_is_not_taken_for_damage(kind):
    """Pillow's decoders say the same of both.

    The child is a new process: a fork frees what earlier tests left, which may be enough memory.
    """
    whole, small = (encoded(np.zeros((side, side, 3), np.uint8), kind) for side in (5000, 30))
    command = [sys.executable, "-c", WITHOUT_MEMORY]
    ended = subprocess.run(command, input=whole, stderr=subprocess.PIPE, check=False)
    assert ended.returncode == 7, ended.stderr.decode()
    assert pixels_of(whole, "image")[0].shape == (5000, 5000, 3)
    with pytest.raises(ItlError, match="OSError"):
        pixels_of(small[:-9], "image")
