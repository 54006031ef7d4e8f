"""One image, decoded and fitted to a square of pixels."""

from dataclasses import dataclass

import numpy as np

from itl.errors import ItlError
from itl.sources.boxes import padded_size
from itl.sources.files.image_files import pixels_of

LOW_CONTRAST = "low contrast"
LEAST_CONTRAST, LEAST_CONTRAST_16_BIT = 16, 64  # of 256: between the darkest and the brightest value
MAX_ASPECT_RATIO = 8  # fit crop drops the ends of longer images before it resizes them


@dataclass(frozen=True)
class Decoded:
    """The pixels of one image, and what its file was like."""

    pixels: np.ndarray  # uint8 (size, size, 3)
    width: int  # of the original, upright, in pixels
    height: int
    kinds: tuple[str, ...]  # such as ("grey",) or ("PNG", "alpha", "misnamed")


def decode(data: bytes | np.ndarray, name: str, size: int, fit: str) -> Decoded:
    """Turn an image file, or pixels, uint8 (H, W, 3), into a square of side *size*, as `to_square` does.

    Transparent parts become white, 12-bit and 16-bit grey keep their upper byte, orientation is applied. The
    suffix of *name* tells whether the file is misnamed.
    """
    pixels, kinds = (_checked(data, name), ()) if isinstance(data, np.ndarray) else pixels_of(data, name)
    height, width = pixels.shape[:2]
    # Files that state 16 bits often hold the 10 to 14 of a sensor, in the lower bits: these come out dark.
    least = LEAST_CONTRAST_16_BIT if "16-bit" in kinds else LEAST_CONTRAST
    kinds += (LOW_CONTRAST,) if np.ptp(pixels) < least else ()
    return Decoded(to_square(pixels, size, fit), width, height, kinds)


def to_square(pixels: np.ndarray, size: int, fit: str) -> np.ndarray:
    """Resize *pixels*, uint8 (H, W, 3), antialiased, to a square: uint8 (size, size, 3), contiguous.

    *fit* "squash" brings both sides to *size*; "crop" brings the short side to *size* and keeps the centre;
    "pad" brings the long side to *size*, in the upper left corner of a black square.
    """
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return np.ascontiguousarray(pixels)
    if fit == "squash":
        return resize(pixels, size, size)
    if fit == "pad":
        new_width, new_height = padded_size(width, height, size)
        square = np.zeros((size, size, 3), np.uint8)
        square[:new_height, :new_width] = resize(pixels, new_height, new_width)
        return square
    resized = resize(_limit_aspect_ratio(pixels), size)
    top, left = (round((side - size) / 2) for side in resized.shape[:2])
    return np.ascontiguousarray(resized[top : top + size, left : left + size])


def resize(pixels: np.ndarray, *size: int) -> np.ndarray:
    """Resize *pixels*, uint8 (H, W, 3), as torchvision does, bilinear and antialiased.

    To a height and a width, or to one number, which the short side becomes.

    >>> resize(np.arange(12, dtype=np.uint8).reshape(1, 4, 3), 1, 2).tolist()
    [[[2, 3, 4], [7, 8, 9]]]
    """
    import torch
    from torchvision.transforms.v2 import functional  # slow to import, and only decoding needs it

    image = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1)
    return functional.resize(image, list(size), antialias=True).permute(1, 2, 0).numpy()


def import_decoders() -> None:
    """Import what `decode` uses. Threads that import two parts of torchvision at once may see half of it."""
    import torchvision.io
    import torchvision.transforms.v2.functional  # noqa: F401


def _limit_aspect_ratio(pixels: np.ndarray) -> np.ndarray:
    """Cut off the ends of a very long image: one by a million pixels would not fit into memory resized."""
    longest = MAX_ASPECT_RATIO * min(pixels.shape[:2])
    top, left = (max(0, side - longest) // 2 for side in pixels.shape[:2])
    return pixels[top : top + longest, left : left + longest]


def _checked(pixels: np.ndarray, name: str) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ItlError(f"the source gave {name} as {pixels.dtype} {pixels.shape}; packs take uint8 (H, W, 3)")
    return pixels
