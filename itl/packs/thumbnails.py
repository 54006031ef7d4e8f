"""Thumbnails: pages of a pack's training images of some classes, in random order, as image files."""

import base64
import io
import os
from collections.abc import Collection
from functools import cached_property

import numpy as np
import pandas as pd
from PIL import Image

from itl.errors import ItlError
from itl.packs.pack import Pack

MAX_PNG_SIDE = 96  # pixels; larger images are JPEGs, which are smaller files


class Gallery:
    """Pages of one pack's training images.

    It reads files, not the pack's memory map: reading a map whose file was lost kills the process.
    """

    def __init__(self, pack: Pack) -> None:
        self.pack = pack

    @cached_property
    def _wnids(self) -> pd.Series:
        """The class of each training image, by its row."""
        table = self.pack.table
        split = "train" if "train" in self.pack.summary["splits"] else table["split"].iloc[0]
        return table.loc[table["split"] == split, "wnid"].astype("category")  # quick to search

    def counts(self) -> dict[str, int]:
        """Return the number of training images of each class that has any."""
        return self._wnids.value_counts().sort_index().to_dict()

    def page(
        self, wnids: Collection[str], number: int, seed: int, size: int = 12
    ) -> tuple[dict[str, object], list[tuple[str, str, bytes]]]:
        """Return a page of the images of *wnids*, *size* per page, in the order of *seed*.

        Returns:
            Its facts: page (from 0; *number*, or the nearest that there is), pages, total (images on all of
            them) and type (of the files); and of each of its images id, wnid and the content of a file.
        """
        rows = self._wnids.index[self._wnids.isin(list(wnids))]
        shuffled = np.random.default_rng(abs(seed)).permutation(rows)
        pages = max(1, -(-len(rows) // size))
        number = min(max(0, number), pages - 1)
        shown = shuffled[number * size : (number + 1) * size]
        ids, files = self.pack.table["image"], self.files(shown)
        images = list(zip(ids[shown], self._wnids[shown], files, strict=True))
        return {"page": number, "pages": pages, "total": len(rows), "type": self.type}, images

    @property
    def type(self) -> str:
        """The media type of `files`."""
        return "image/png" if self.pack.size <= MAX_PNG_SIDE else "image/jpeg"

    def files(self, rows: np.ndarray) -> list[bytes]:
        """Return the images in *rows* of the pack, each as the content of a file.

        Raises:
            ItlError: If the pack no longer exists or cannot be read.
        """
        return [_encode(pixels, self.type == "image/png") for pixels in self._pixels(rows)]

    def urls(self, rows: np.ndarray) -> list[str]:
        """Return the images in *rows* of the pack, each as a data URL for a page; raises as `files`."""
        return [f"data:{self.type};base64,{base64.b64encode(file).decode()}" for file in self.files(rows)]

    def _pixels(self, rows: np.ndarray) -> list[np.ndarray]:
        """Read images, each uint8 (size, size, 3)."""
        path, side = self.pack.folder / "images.npy", self.pack.size
        length = side * side * 3
        try:
            with open(path, "rb") as file:
                np.lib.format.read_magic(file)
                np.lib.format.read_array_header_1_0(file)  # as `itl.packs.writer.npy_header` writes it
                start = file.tell()
                images = [os.pread(file.fileno(), length, start + int(row) * length) for row in rows]
            if short := [len(image) for image in images if len(image) < length]:
                raise OSError(f"an image has {short[0]} of {length} bytes")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ItlError(
                f"the images of {self.pack.folder} can no longer be read ({reason}); put the pack back where "
                f"it was, or build it again with `itl pack`"
            ) from error
        self.pack.file("images.npy")  # refuses the images of another pack that is in the folder by now
        return [np.frombuffer(image, np.uint8).reshape(side, side, 3) for image in images]


def _encode(pixels: np.ndarray, lossless: bool) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG" if lossless else "JPEG", quality=90)
    return file.getvalue()
