"""One image to a square of pixels."""

from typing import NamedTuple

import numpy as np

from itl import ItlError, pick
from itl.packs.resize import resized
from itl.sources.boxes import shrunk
from itl.sources.image_files import pixels_of

LONG = 8                                        # beyond this many times the short side only the middle counts


class Decoded(NamedTuple):
    """The pixels of one image, and what its file was like."""

    pixels: np.ndarray                          # uint8 (size, size, 3)
    width: int                                  # of the original, upright
    height: int
    kinds: tuple[str, ...]                      # such as ("grey",) or ("PNG", "alpha", "misnamed")


def decode(data: bytes | np.ndarray, name: str, size: int, fit: str) -> Decoded:
    """Turn an image file (or an array H, W, 3) called *name* into *size* x *size* pixels.

    *fit* squash brings both sides to size; crop brings the short one there and keeps the centre; pad brings
    the long one there, in the upper left corner of a black square. Transparent parts become white, 16-bit
    grey keeps its upper byte, EXIF orientation is applied.
    Raises ItlError, with the reason, for what cannot be read.
    """
    pick({"squash": 0, "crop": 0, "pad": 0}, fit, "fit")
    if isinstance(data, np.ndarray):
        return Decoded(fitted(_checked(data, name), size, fit), data.shape[1], data.shape[0], ())
    pixels, kinds = pixels_of(data, name)
    return Decoded(fitted(pixels, size, fit), pixels.shape[1], pixels.shape[0], kinds)


def fitted(pixels: np.ndarray, size: int, fit: str) -> np.ndarray:
    """Resize *pixels* (H, W, 3), antialiased, to (size, size, 3)."""
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return np.ascontiguousarray(pixels)
    if fit == "squash":
        return resized(pixels, (size, size), (0, 0, size, size))
    if fit == "pad":
        wide, high = shrunk(width, height, size)
        square = np.zeros((size, size, 3), np.uint8)
        square[:high, :wide] = resized(pixels, (high, wide), (0, 0, high, wide))
        return square
    pixels = _middle(pixels, LONG * min(height, width))
    short = min(pixels.shape[:2])
    high, wide = (size * side // short for side in pixels.shape[:2])
    return resized(pixels, (high, wide), (round((high - size) / 2), round((wide - size) / 2), size, size))


def _middle(pixels: np.ndarray, longest: int) -> np.ndarray:
    """Cut *pixels* to *longest* at most: a strip of one by a million would fill the memory when resized."""
    top, left = (max(0, side - longest) // 2 for side in pixels.shape[:2])
    return pixels[top:top + longest, left:left + longest]


def _checked(pixels: np.ndarray, name: str) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ItlError(f"the source gave {name} as {pixels.dtype} {pixels.shape}; packs take uint8 (H, W, 3)")
    return pixels
