"""One image file to pixels: fast where it can, Pillow for the rest, and what kind it was."""

import functools
import io
import re
from collections.abc import Callable
from contextlib import suppress
from os.path import splitext

import numpy as np
from PIL import Image, UnidentifiedImageError

from itl import ItlError

JPEGS = ("JPEG", "MPO")                         # MPO: a JPEG that more pictures follow
SUFFIXES = {
    ".jpg": JPEGS, ".jpeg": JPEGS, ".jpe": JPEGS, ".png": ("PNG",), ".bmp": ("BMP",), ".gif": ("GIF",),
    ".webp": ("WEBP",), ".tif": ("TIFF",), ".tiff": ("TIFF",), ".ppm": ("PPM",), ".pgm": ("PPM",),
    ".pbm": ("PPM",), ".jp2": ("JPEG2000",),
}
ORIENTATION = 0x0112                            # EXIF's tag
UPRIGHT = {                                     # what to do with pixels (H, W, 3) of each orientation
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}


def pixels_of(data: bytes, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Decode an image file called *name*, upright, to uint8 (H, W, 3); also says what kinds it is of.

    Raises ItlError, with the reason, for what cannot be read.
    """
    image = _opened(data)
    kinds, plain = _kinds(image, data, name), image.format in JPEGS and image.mode in ("L", "RGB")
    pixels = _jpeg(data) if plain else None
    if pixels is None:
        kinds += ("refused by torchvision",) if plain else ()
        pixels = _by_pillow(image)
    return np.ascontiguousarray(UPRIGHT[_orientation(image)](pixels)), kinds


def dimensions(data: bytes) -> tuple[int, int]:
    """Width and height that an image file will have, upright, by its header alone.

    *data* may be the file's start. Raises ItlError, with the reason, where the header is not in it.
    """
    image = _opened(data)
    width, height = image.size
    return (width, height) if _orientation(image) < 5 else (height, width)


def _opened(data: bytes) -> Image.Image:
    """Open by content, whatever the name; reads the header only."""
    if not data:
        raise ItlError("the file is empty")
    try:
        return Image.open(io.BytesIO(data))
    except MemoryError:
        raise
    except Exception as error:                  # Pillow's readers raise whatever they stumble on
        raise ItlError(_reason(error)) from error


def _kinds(image: Image.Image, data: bytes, name: str) -> tuple[str, ...]:
    """What is out of the ordinary, in words that the pack's summary counts."""
    sixteen = image.mode.startswith("I") or (image.format == "PNG" and data[24:25] == b"\x10")
    seen = {
        image.format: image.format not in JPEGS,
        "grey": image.mode in ("1", "L", "LA", "I") or image.mode.startswith("I;"),
        "CMYK": image.mode == "CMYK",
        "palette": image.mode in ("P", "PA"),
        "alpha": _has_alpha(image),
        "16-bit": sixteen,
        "EXIF-rotated": _orientation(image) != 1,
        "misnamed": _is_misnamed(image.format, name),
    }
    return tuple(kind for kind, is_so in seen.items() if is_so)


def _is_misnamed(format: str, name: str) -> bool:
    suffix = splitext(name)[1].lower()
    return suffix in SUFFIXES and format not in SUFFIXES[suffix]


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info


def _orientation(image: Image.Image) -> int:
    if image.format in JPEGS and "exif" not in image.info:
        return 1                                # the common case, without parsing
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:                           # a damaged EXIF block does not make the picture unreadable
        return 1
    return found if found in UPRIGHT else 1


def _jpeg(data: bytes) -> np.ndarray | None:
    """Decode with torchvision, at twice Pillow's speed; None for what it refuses.

    Where simplejpeg is installed it is asked first: the same pixels, a little sooner. It is strict, so that
    what is damaged goes the same way with and without it. At a reduced scale (as ``draft`` of Pillow decodes)
    nothing is gained on files of ImageNet's size, at an error of 0.2 to 1.5 grey levels.
    """
    if quick := _simplejpeg():
        with suppress(ValueError):
            return quick(data, colorspace="RGB", strict=True)
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    try:
        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        pixels = decode_jpeg(encoded, mode=ImageReadMode.RGB)
    except RuntimeError:                        # Pillow decides, and says why it cannot either
        return None
    return pixels.permute(1, 2, 0).numpy()


@functools.cache
def _simplejpeg() -> Callable | None:
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        return None
    return decode_jpeg


def _by_pillow(image: Image.Image) -> np.ndarray:
    """Decode with Pillow to (H, W, 3): transparent parts white, the upper byte of 16."""
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        raise ItlError("32-bit pixels, whose range is unknown; convert it to 8 or 16 bit")
    try:
        image.load()
        if image.mode.startswith("I"):
            return np.repeat((np.asarray(image)[:, :, None] >> 8).astype(np.uint8), 3, axis=2)
        if _has_alpha(image):
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return np.array(image.convert("RGB"))
    except MemoryError:
        raise
    except Exception as error:
        raise ItlError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Say in one line why Pillow failed; without addresses, so that it is the same every time."""
    if isinstance(error, UnidentifiedImageError):
        return "no image that Pillow knows"
    text = " ".join(re.sub(r"0x[0-9a-f]+", "", str(error)).split())
    return f"{text or 'damaged'} ({type(error).__name__})"
