"""A gallery: pages of a pack's training images of some classes, drawn by a seed, as files a page can show."""

import io
import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from itl import ItlError
from itl.packs.pack import Pack

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
LOSSLESS = 96                               # pixels: up to here PNG, above it JPEG, which travels quicker


@dataclass(frozen=True)
class Page:
    """Some images of a draw."""

    number: int                             # from 0
    pages: int
    total: int                              # images in the draw
    images: list[tuple[str, str, bytes]]    # id, wnid, and the bytes of a file
    type: str                               # of the files: image/png or image/jpeg


class Gallery:
    """Pages of one pack's training images.

    Reads files, not the pack's memory map: touching what a lost file leaves of a map kills the process.
    """

    def __init__(self, pack: Pack) -> None:
        """Show images of *pack*."""
        self.pack = pack

    @cached_property
    def _codes(self) -> tuple[list[str], np.ndarray]:
        """The classes, and of every row the number of its class; -1 outside the training split."""
        table = self.pack.table
        split = "train" if "train" in self.pack.summary["splits"] else table["split"].iloc[0]
        wnids, codes = np.unique(table["wnid"].to_numpy(str), return_inverse=True)
        return wnids.tolist(), np.where(table["split"].to_numpy(str) == split, codes, -1)

    def counts(self) -> dict[str, int]:
        """How many training images each class has; classes without any are left out."""
        wnids, codes = self._codes
        counts = np.bincount(codes[codes >= 0], minlength=len(wnids)).tolist()
        return {wnid: count for wnid, count in zip(wnids, counts, strict=True) if count}

    def page(self, wnids: Collection[str], number: int, seed: int, size: int = 12) -> Page:
        """Return page *number* of the images of *wnids*, *size* a page, in the order that *seed* deals.

        Raises ItlError where the pack is no longer there or cannot be read.
        """
        names, codes = self._codes
        rows = np.flatnonzero(np.isin(codes, [place for place, name in enumerate(names) if name in wnids]))
        dealt = np.random.default_rng(abs(seed)).permutation(rows)
        pages = max(1, -(-len(rows) // size))
        number = min(max(0, number), pages - 1)
        shown = dealt[number * size:(number + 1) * size]
        ids = self.pack.table["image"]
        lossless = self.pack.size <= LOSSLESS
        files = [_file(pixels, lossless) for pixels in self._pixels(shown)]
        images = [(ids.iloc[row], names[codes[row]], file) for row, file in zip(shown, files, strict=True)]
        return Page(number, pages, len(rows), images, "image/png" if lossless else "image/jpeg")

    def _pixels(self, rows: np.ndarray) -> list[np.ndarray]:
        """Read images: uint8 (size, size, 3) each."""
        path, side = self.pack.folder / "images.npy", self.pack.size
        length = side * side * 3
        try:
            with open(path, "rb") as file:
                version = np.lib.format.read_magic(file)
                HEADERS[version](file)
                start = file.tell()
                found = [os.pread(file.fileno(), length, start + int(row) * length) for row in rows]
            if short := [len(each) for each in found if len(each) < length]:
                raise OSError(f"an image has {short[0]} of {length} bytes")
        except (OSError, ValueError, KeyError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ItlError(f"the images of {self.pack.folder} can no longer be read ({reason}); put the pack "
                           f"back where it was, or make it again with `itl pack`") from error
        return [np.frombuffer(each, np.uint8).reshape(side, side, 3) for each in found]


def _file(pixels: np.ndarray, lossless: bool) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG" if lossless else "JPEG", quality=90)
    return file.getvalue()
