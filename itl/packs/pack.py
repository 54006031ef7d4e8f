"""A pack: every image of a source once, as equally large uint8 squares in one file, with a table."""

import json
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from itl import ItlError
from itl.specs import Packing

COLUMNS = ["image", "wnid", "split", "width", "height", "checksum"]


class Pack:
    """A finished pack, opened for reading; takes NumPy, not torch.

    ``images`` is a memory map, uint8 (N, size, size, 3); row n of ``table`` describes image n.
    """

    def __init__(self, folder: Path, summary: dict) -> None:
        """Take what `open` found; use that, or `build`."""
        self.folder = folder
        self.summary = summary
        self.digest: str = summary["digest"]
        self.size: int = summary["request"]["size"]

    def __reduce__(self) -> tuple:
        """Pickle as the folder, not as its gigabytes."""
        return Pack.open, (self.folder,)

    def __len__(self) -> int:
        """How many images."""
        return self.summary["images"]

    @cached_property
    def images(self) -> np.memmap:
        """All images: uint8 (N, size, size, 3), read from the disk as they are touched."""
        return np.load(self.folder / "images.npy", mmap_mode="r")

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each image: image (its id), wnid, split, width and height of the original, checksum."""
        return pq.read_table(self.folder / "index.parquet").to_pandas()

    @cached_property
    def objects(self) -> pd.DataFrame:
        """A row for each annotated object: row (of its image), name, xmin to ymax, difficult, truncated.

        Boxes are 1-based and inclusive, in pixels of the original. ItlError where the source annotates none.
        """
        if self.summary.get("objects") is None:
            raise ItlError(f"{self.folder} holds no annotated objects, as detection and actions need; pack a "
                           f"source that has them, such as voc2007 or voc2012-action")
        return pq.read_table(self.folder / "objects.parquet").to_pandas()

    def regions(self, row: int) -> np.ndarray:
        """Region proposals of the image in *row*, the best first: float32 (n, 4), xmin, ymin, xmax, ymax.

        Boxes are as those of `objects`. ItlError where the source was packed without a file of regions.
        """
        boxes, offsets = self._regions
        return boxes[offsets[row]:offsets[row + 1]]

    @cached_property
    def _regions(self) -> tuple[np.ndarray, np.ndarray]:
        if self.summary.get("regions") is None:
            raise ItlError(f"regions: file was asked for, but {self.folder} holds none; pack the source with "
                           f"the option proposals=FILE, or use regions: windows")
        with np.load(self.folder / "regions.npz") as held:
            return held["boxes"], held["offsets"]

    @classmethod
    def open(cls, out: str | Path) -> "Pack":
        """Open the finished pack at *out*; raises ItlError, with what to do, where there is none."""
        out = Path(out)
        if out.name.endswith(".partial") or not out.exists():
            _refuse_unfinished(out)
        try:
            summary = json.loads((out / "pack.json").read_text())
            pack = cls(out, summary)
            shape, rows = pack.images.shape, pq.read_metadata(out / "index.parquet").num_rows
        except PermissionError as error:
            raise ItlError(f"no permission to read {error.filename}; ask its owner, or pack again") from error
        except (OSError, ValueError, KeyError) as error:
            raise ItlError(f"{out} was asked for as a pack but is none, or is damaged ({error}); "
                           f"delete it and run `itl pack` again") from error
        if shape != (len(pack), pack.size, pack.size, 3) or rows != len(pack):
            raise ItlError(f"{out} is damaged: {len(pack):,} images were packed, images.npy is {shape}, the "
                           f"table has {rows:,} rows; delete it and run `itl pack` again")
        return pack

    @classmethod
    def build(
        cls, packing: Packing, out: str | Path, *, path: str | Path | None = None, workers: int | None = None,
        allow_unreadable: bool = False, log: Callable[[str], object] = print,
    ) -> "Pack":
        """Make the pack of *packing* at *out*, or open it where it is made already.

        *path* is where the source really lies. Killed at any moment, the next call goes on and ends with
        the same bytes. Raises ItlError where *out* is another pack, or more than 1 % of the images are
        unreadable and that is not allowed.
        """
        from itl.packs.build import build  # the decoders: reading a pack does without
        from itl.packs.writer import Order

        cores = len(os.sched_getaffinity(0))
        build(Order(packing, path and Path(path), workers or cores, allow_unreadable, log), Path(out))
        return cls.open(out)

    def damaged(self) -> list[str]:
        """Compare all pixels with their checksums; returns the ids of the images that differ."""
        from itl.packs.writer import checksum

        pairs = zip(self.images, self.table["image"], self.table["checksum"], strict=True)
        return [image for pixels, image, stored in pairs if checksum(pixels) != stored]


def _refuse_unfinished(out: Path) -> None:
    finished = out.with_name(out.name.removesuffix(".partial"))
    if finished.with_name(finished.name + ".partial").exists():
        raise ItlError(f"the packing of {finished} was interrupted or is still running; run the same "
                       f"`itl pack` again: it keeps what is done and finishes it")
    raise ItlError(f"no pack at {finished}; make one with `itl pack SOURCE PATH --size S --out {finished}`")
