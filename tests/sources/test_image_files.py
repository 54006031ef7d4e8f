"""Image files: damage is refused as Pillow refuses it, orientation and depth are those of the file."""

import io
import struct
import threading
import time
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from itl import ItlError
from itl.packs.fit import LOW_CONTRAST, decode
from itl.packs.pack import Pack
from itl.sources.files import image_files
from itl.sources.files.image_files import CORRUPT, FORMATS, LATE_EXIF, pixels_of, read_header
from itl.specs import Packing
from tests.pictures import encoded, smooth, with_late_exif

CASES = Path(__file__).parents[3] / "shared/cases/damaged-png"
PICTURE = smooth(24, 36) ^ np.random.default_rng(0).integers(0, 32, (24, 36, 3), dtype=np.uint8)
DEEP = PICTURE[:, :, 1].astype(np.uint16) << 8
MUTATIONS = 200  # of each kind


def with_orientation(format: str, orientation: int, **settings) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(PICTURE, format, exif=exif, **settings)


def tiff(samples: np.ndarray, bits: int, photometric: int = 1) -> bytes:
    """A grey TIFF of 12-bit or 16-bit samples, uncompressed."""
    height, width = samples.shape
    data = samples.astype("<u2").tobytes()
    if bits == 12:  # two samples in three bytes, the high bits first
        one, two = samples[:, ::2].astype(np.uint32), samples[:, 1::2].astype(np.uint32)
        data = np.stack([one >> 4, (one & 15) << 4 | two >> 8, two & 255], 2).astype(np.uint8).tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height}
    tags[279] = len(data)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory


@pytest.mark.parametrize(
    ("format", "settings"),
    [
        ("JPEG", {}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "jpeg"}),
    ],
)
def test_every_orientation_is_applied_once_and_the_header_agrees(format, settings):
    for orientation in range(1, 9):
        data = with_orientation(format, orientation, **settings)
        upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
        pixels, kinds = pixels_of(data, f"a.{format.lower()}")
        assert np.array_equal(pixels, upright), orientation
        assert ("EXIF-rotated" in kinds) == (orientation > 1)
        assert read_header(data) == (*upright.shape[1::-1], orientation)


def test_an_orientation_in_xmp_is_not_applied():
    """As in browsers."""
    xmp, described, of_png = '<rdf:Description tiff:Orientation="6"/>', Image.Exif(), PngInfo()
    described[0x010E] = "a picture"
    of_png.add_itxt("XML:com.adobe.xmp", xmp)
    settings = {"JPEG": {"xmp": xmp.encode()}, "WEBP": {"xmp": xmp.encode()}, "PNG": {"pnginfo": of_png}}
    for format, xmp_of_format in (settings | {"TIFF": {"tiffinfo": {700: xmp.encode()}}}).items():
        for exif in ({}, {"exif": described}):
            data = encoded(PICTURE, format, **xmp_of_format, **exif)
            assert pixels_of(data, "a")[0].shape == PICTURE.shape, format
            assert read_header(data) == (*PICTURE.shape[1::-1], 1), format


def test_a_png_tells_its_orientation_before_its_pixels_or_not_at_all():
    late = with_late_exif(with_orientation("PNG", 6))
    pixels, kinds = pixels_of(late, "a.png")
    assert np.array_equal(pixels, PICTURE)
    assert kinds == ("PNG", LATE_EXIF)
    assert read_header(late) == (36, 24, 1)


def test_sizes_are_read_without_decoding(monkeypatch):
    files = [with_orientation(format, 6) for format in ("JPEG", "PNG", "TIFF", "WEBP")]
    monkeypatch.setattr(Image.Image, "load", None)  # would fail if it were called
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    assert {read_header(data)[:2] for data in files} == {(24, 36)}


@pytest.mark.parametrize(
    ("data", "kind", "expected"),
    [
        (encoded(DEEP), "16-bit", DEEP >> 8),
        (tiff(DEEP, 16), "16-bit", DEEP >> 8),
        (tiff(DEEP, 16, photometric=0), "16-bit", 255 - (DEEP >> 8)),
        (tiff(DEEP >> 4, 12), "12-bit", DEEP >> 8),
        (encoded(DEEP, "PPM"), "16-bit", DEEP >> 8),
        (b"P5 36 24 4095\n" + (DEEP >> 4).astype(">u2").tobytes(), "16-bit", DEEP >> 8),
        (encoded(DEEP, "JPEG2000", irreversible=False), "16-bit", DEEP >> 8),
    ],
)
def test_deep_pixels_are_scaled_by_their_depth(data, kind, expected):
    pixels, kinds = pixels_of(data, "a.unknown")
    assert kind in kinds
    assert pixels.shape == (24, 36, 3)
    assert np.abs(pixels.astype(int) - expected[:, :, None]).max() <= 1


def planes(samples: np.ndarray, compression: int = 1) -> bytes:
    """A TIFF of *samples* (H, W, 3), uint8 or uint16, whose colours lie one after another."""
    strips = [samples[:, :, band].tobytes() for band in range(3)]
    strips = [zlib.compress(strip) for strip in strips] if compression != 1 else strips
    offsets = np.cumsum([8, *map(len, strips)])
    after = [int(offsets[3]), int(offsets[3]) + 12]  # where lists of three lie
    bits = 8 * samples.itemsize
    lists = struct.pack("<3H6x", bits, bits, bits) + struct.pack("<3I", *offsets[:3].tolist())
    lists += struct.pack("<3I", *map(len, strips))
    entries = [(256, 4, 1, samples.shape[1]), (257, 4, 1, samples.shape[0]), (258, 3, 3, after[0])]
    entries += [(259, 3, 1, compression), (262, 3, 1, 2), (273, 4, 3, after[1]), (277, 3, 1, 3)]
    entries += [(278, 4, 1, samples.shape[0]), (279, 4, 3, after[1] + 12), (284, 3, 1, 2)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (
        b"II*\0" + struct.pack("<I", after[0] + len(lists)) + b"".join(strips) + lists + directory + bytes(4)
    )


def test_deep_colours_one_after_another_are_decoded_or_refused():
    """Pillow reads those that are not compressed as of 8 bits."""
    deep = (PICTURE.astype(np.uint16) << 8) + 17
    for data in (planes(PICTURE), planes(PICTURE, 8), planes(deep, 8)):
        assert np.array_equal(pixels_of(data, "a.tif")[0], PICTURE)
    for read in (lambda data: pixels_of(data, "a.tif"), read_header):
        with pytest.raises(ItlError, match="its 16-bit colours lie one after another uncompressed"):
            read(planes(deep))


def test_a_tiff_that_states_no_bits_has_one():
    image = Image.fromarray(PICTURE).convert("1")  # Pillow leaves out what is TIFF's default
    pixels, kinds = pixels_of(encoded(np.asarray(image), "TIFF"), "a.tif")
    assert kinds == ("TIFF", "grey")
    assert np.array_equal(pixels[:, :, 0], np.asarray(image) * 255)


def test_deep_grey_that_is_named_transparent_becomes_white():
    image = Image.fromarray(DEEP)
    image.save(file := io.BytesIO(), "PNG", transparency=int(DEEP[3, 5]))
    expected = np.where(DEEP[3, 5] == DEEP, 255, DEEP >> 8)
    pixels, kinds = pixels_of(file.getvalue(), "a.png")
    assert (pixels == expected[:, :, None]).all()
    assert kinds == ("PNG", "grey", "alpha", "16-bit")


@pytest.mark.parametrize(
    ("bits", "colour_type", "rows", "transparent", "others"),
    [
        (1, 0, [0b01000000], (1,), (0, 0, 0)),
        (2, 0, [0b01000000], (0,), (85, 85, 85)),
        (2, 0, [0b00010000], (1,), (0, 0, 0)),
        (4, 0, [0x25], (5,), (34, 34, 34)),
        (8, 0, [9, 5], (5,), (9, 9, 9)),
        (8, 2, [18, 86, 154, 1, 2, 3], (1, 2, 3), (18, 86, 154)),
        (16, 2, [18, 52, 86, 120, 154, 188, 0, 1, 0, 2, 0, 3], (1, 2, 3), (18, 86, 154)),
        (
            16,
            2,
            [52, 52, 120, 120, 188, 188, 18, 52, 86, 120, 154, 188],
            (0x1234, 0x5678, 0x9ABC),
            (52, 120, 188),
        ),
    ],
)
def test_the_colour_that_a_png_names_transparent_becomes_white(bits, colour_type, rows, transparent, others):
    """Whatever its bits: of two pixels, one becomes white."""
    header = struct.pack(">IIBBBBB", 2, 1, bits, colour_type, 0, 0, 0)
    key = struct.pack(f">{len(transparent)}H", *transparent)
    parts = {b"IHDR": header, b"tRNS": key, b"IDAT": zlib.compress(bytes([0, *rows])), b"IEND": b""}
    chunks = [
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
        for name, part in parts.items()
    ]
    pixels, kinds = pixels_of(b"\x89PNG\r\n\x1a\n" + b"".join(chunks), "a.png")
    assert sorted(pixels[0].tolist()) == sorted([list(others), [255, 255, 255]])
    assert "alpha" in kinds


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bit_images_are_refused_by_their_header(dtype):
    with pytest.raises(ItlError, match="it has 32-bit pixels"):
        read_header(encoded(DEEP.astype(dtype), "TIFF"))


def test_what_is_not_read_says_what_it_is(monkeypatch):
    signed = struct.pack("<HHII", 339, 3, 1, 2)  # SampleFormat
    for bits, data in ((16, tiff(DEEP, 16)), (8, encoded(PICTURE[:, :, 0], "TIFF"))):
        count = struct.unpack_from("<H", data, start := struct.unpack_from("<I", data, 4)[0])[0]
        entries = data[start + 2 : start + 2 + 12 * count] + signed
        directory = struct.pack("<H", count + 1) + entries + bytes(4)
        moved = data[:4] + struct.pack("<I", len(data)) + data[8:] + directory
        with pytest.raises(ItlError, match=f"it has signed {bits}-bit pixels, whose range is unknown"):
            read_header(moved)
    for brand in (b"avif", b"heic", b"heix"):
        with pytest.raises(ItlError, match="^a HEIC or AVIF image, whatever its name; convert it to JPEG or"):
            read_header(bytes(3) + b"\x20ftyp" + brand + bytes(99))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ItlError, match="more than 200 pixels, which Pillow refuses; make it smaller"):
        read_header(encoded(PICTURE))


@pytest.mark.parametrize(
    "start",
    [
        b"\xff\xd8\xff",
        encoded(PICTURE, "JPEG")[:20],  # and a whole block of JFIF
        b"\xff\xd8\xff" + b"\xff" * 40_000,
        encoded(PICTURE, "GIF", "P")[:6] + b"\1\0\1\0\0\0\0",
        b"P6" + b" " * 40_000,
    ],
)
def test_headers_that_do_not_end_are_refused_before_all_of_them_is_read(monkeypatch, start):
    monkeypatch.setattr(image_files, "MAX_READS", 10_000)
    for read in (read_header, lambda data: pixels_of(data, "a.jpg")):
        with pytest.raises(ItlError, match="^its header does not end"):
            read(start + bytes(40_000))


def test_a_jpeg_with_zeros_before_a_marker_is_read():
    whole = encoded(PICTURE, "JPEG")
    assert read_header(whole[:20] + bytes(50_000) + whole[20:]) == (36, 24, 1)


@pytest.mark.parametrize(
    ("samples", "mode", "settings"),
    [
        (PICTURE, None, {}),
        (PICTURE, None, {"transparency": (1, 2, 3)}),
        (PICTURE, "P", {"transparency": 3}),
        (PICTURE, "LA", {}),
        (np.dstack([PICTURE, PICTURE[:, :, 0]]), None, {}),
        (DEEP, None, {}),
    ],
)
def test_large_images_are_converted_in_strips_of_the_same_pixels(monkeypatch, samples, mode, settings):
    data = encoded(samples, "PNG", mode, **settings)
    whole, kinds = pixels_of(data, "a.png")
    monkeypatch.setattr(image_files, "STRIP_PIXELS", 36 * 5)
    pixels, kinds_of_strips = pixels_of(data, "a.png")
    assert kinds_of_strips == kinds
    assert np.array_equal(pixels, whole)


def test_a_large_image_is_in_memory_once_beside_what_pillow_has():
    data = encoded(np.zeros((4000, 4000, 3), np.uint8), "PNG")
    tracemalloc.start()
    pixels, _ = pixels_of(data, "a.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pixels.nbytes < peak < 1.8 * pixels.nbytes


def test_large_images_are_decoded_one_after_another(monkeypatch):
    running, most = set(), []
    crop = Image.Image.crop

    def slow_crop(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
        running.add(threading.get_ident())
        most.append(len(running))
        time.sleep(0.05)
        running.discard(threading.get_ident())
        return crop(image, box)

    monkeypatch.setattr(Image.Image, "crop", slow_crop)
    monkeypatch.setattr(image_files, "LARGE_PIXELS", 36 * 24 - 1)
    monkeypatch.setattr(image_files, "STRIP_PIXELS", 36 * 12)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(pixels_of, [encoded(PICTURE)] * 4, ["a.png"] * 4))
    assert most == 8 * [1], "each in two strips"


def test_only_reads_of_a_header_are_counted(monkeypatch):
    """A decoder of run lengths reads twice for each run."""
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    monkeypatch.setattr(image_files, "MAX_READS", 24)
    np.testing.assert_array_equal(pixels_of(encoded(noise), "a.png")[0], noise)
    monkeypatch.setattr(image_files, "MAX_READS", 2)
    with pytest.raises(ItlError, match="its header does not end"):
        pixels_of(encoded(noise), "a.png")


def test_formats_that_are_not_listed_are_not_opened():
    """Pillow would start Ghostscript for an EPS file."""
    with pytest.raises(ItlError, match="not an image that Pillow can read"):
        pixels_of(encoded(PICTURE, "EPS"), "a.jpg")
    with pytest.raises(ItlError, match="not an image that Pillow can read"):
        read_header(encoded(PICTURE, "TGA"))


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """Return *data* with one bit flipped, 64 bytes zeroed, the end cut off, or eight bytes replaced."""
    harmed, start = bytearray(data), int(random.integers(len(data)))
    kind = random.integers(4)
    if kind == 0:
        harmed[start] ^= 1 << int(random.integers(8))
    elif kind == 1:
        harmed[start : start + 64] = bytes(len(harmed[start : start + 64]))
    elif kind == 2:
        del harmed[start:]
    else:
        for position in random.integers(len(data), size=8):
            harmed[position] = random.integers(256)
    return bytes(harmed)


def pillow_reads(data: bytes) -> bool:
    try:
        Image.open(io.BytesIO(data), formats=FORMATS).load()
    except Exception:  # whatever it is: Pillow refuses
        return False
    return True


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(PICTURE, format, mode, **settings), id=f"{format} {mode} {settings}")
        for format, mode, settings in (
            ("JPEG", None, {}),
            ("JPEG", "L", {"progressive": True}),
            ("JPEG", "CMYK", {}),
            ("PNG", None, {}),
            ("PNG", "P", {}),
            ("BMP", None, {}),
            ("GIF", "P", {}),
            ("WEBP", None, {}),
            ("TIFF", None, {}),
            ("TIFF", None, {"compression": "tiff_lzw"}),
            ("PPM", None, {}),
            ("JPEG2000", None, {}),
        )
    ],
)
def test_damage_that_pillow_refuses_is_refused_and_nothing_else_escapes(data):
    random, refused = np.random.default_rng(1), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged EXIF, huge sizes
        for _ in range(MUTATIONS):
            harmed = mutated(data, random)
            try:
                pixels_of(harmed, "a.jpg")
                is_read = True
            except ItlError:
                is_read = False
                refused += 1
            assert is_read == pillow_reads(harmed)
    assert refused


@pytest.mark.skipif(not CASES.is_dir(), reason="no folder shared/cases/damaged-png beside the checkout")
def test_damaged_pngs_are_unreadable_and_counted(tmp_path):
    damaged = sorted(CASES.glob("*.png"))
    assert damaged
    for path in damaged:
        with pytest.raises(ItlError):
            decode(path.read_bytes(), path.name, 64, "squash")


def test_a_corrupt_jpeg_is_counted(tmp_path, caplog):
    good = encoded(PICTURE, "JPEG")
    corrupt = good[:-40] + bytes(20) + good[-20:]
    for name, data in (("good", good), ("bad", corrupt)):
        path = tmp_path / "photos/cat" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    packing = Packing("folder", size=8, options={"class_level": 1})
    pack = Pack.build(packing, tmp_path / "strict", path=tmp_path / "photos")
    assert pack.summary["kinds"][CORRUPT] == 1
    line = "1 of 2 images are corrupt, packed as far as they decode"
    assert line in caplog.messages
    assert f"note: {line}" in pack.summary["reading"].splitlines()
    assert len(pack) == 2


DIM = DEEP >> 4  # 12-bit values


@pytest.mark.parametrize(
    ("data", "is_low"),
    [
        (encoded(DIM), True),
        (tiff(DIM, 16), True),
        (tiff(DIM, 16, photometric=0), True),  # comes out nearly white
        (tiff(DIM, 12), False),
        (encoded(DEEP >> 2), True),  # 14 bits
        (encoded(DEEP), False),
        (encoded((PICTURE // 16).astype(np.uint8)), True),
        (encoded((PICTURE // 4).astype(np.uint8)), False),  # dark, as 8-bit images may be
        (encoded(np.full((24, 36, 3), 255, np.uint8), "JPEG"), True),
        (encoded(PICTURE, "JPEG"), False),
        (np.zeros((24, 36, 3), np.uint8), True),  # pixels that a source decodes
    ],
)
def test_images_without_contrast_are_recognised(data, is_low):
    assert (LOW_CONTRAST in decode(data, "a", 8, "squash").kinds) == is_low


@pytest.mark.parametrize("bits", [8, 16])
def test_values_of_twelve_bits_in_files_of_sixteen_are_not_packed_silently(tmp_path, caplog, bits):
    """Four of five images come out nearly black: the pack says so, and so does each later plan."""
    dark = DIM if bits == 16 else DIM.astype(np.uint8) // 16
    for number, samples in enumerate([dark, dark, dark, dark, PICTURE]):
        path = tmp_path / "cells/train" / ("round" if number % 2 else "long") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(samples))
    caplog.set_level("INFO")
    packing = Packing("folder", size=8)
    pack = Pack.build(packing, tmp_path / "pack", path=tmp_path / "cells")
    advice = "; where 16-bit files hold values of 10 to 14 bits, scale these to 16 bits and pack again"
    line = f"4 of 5 images have almost no contrast{advice if bits == 16 else ''}"
    assert line in caplog.messages
    assert pack.summary["reading"].splitlines()[-1] == f"note: {line}"
    assert pack.summary["kinds"][LOW_CONTRAST] == 4
