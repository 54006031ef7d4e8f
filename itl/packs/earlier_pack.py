"""A pack that is replaced because its source has changed: images of unchanged files are copied from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from itl import __version__
from itl.packs.journal import JournalRow, checksum
from itl.packs.source_state import FILES, PackedFile, Stamp, read_files
from itl.sources.records import Record
from itl.storage import read_mapping


@dataclass(frozen=True)
class EarlierPack:
    """The images of a pack that need not be decoded again."""

    images: np.ndarray  # uint8 (N, size, size, 3)
    columns: Mapping[str, np.ndarray]  # (N,): width, height and checksum of the images
    files: Mapping[str, PackedFile]  # unchanged, by the image's id

    @classmethod
    def open(cls, folder: Path, records: Iterable[Record], stamps: Iterable[Stamp]) -> "EarlierPack":
        """Open the pack in *folder* for the images that have the same file among *records*, with *stamps*.

        What another version of itl decoded is decoded again. So is a part of an image: its box may differ.
        """
        images = np.load(folder / "images.npy", mmap_mode="r")
        table = pq.read_table(folder / "index.parquet", columns=["width", "height", "checksum"])
        columns = {name: table[name].to_numpy() for name in table.column_names}
        version = read_mapping(folder / "pack.json", "its images are decoded again").get("itl")
        same_code = version == __version__ and (folder / FILES).exists()
        files, unchanged = read_files(folder) if same_code else {}, {}
        for record, stamp in zip(records, stamps, strict=True):
            file = files.get(record.id)
            if file and file.row is not None and file.is_unchanged(stamp) and record.box is None:
                unchanged[record.id] = file
        return cls(images, columns, unchanged)

    def copy(self, record: Record) -> tuple[JournalRow, np.ndarray] | None:
        """Return the journal row of *record* and its pixels (size, size, 3); None if it must be decoded."""
        file = self.files.get(record.id)
        if file is None:
            return None
        pixels, stored = self.images[file.row], str(self.columns["checksum"][file.row])
        if checksum(pixels) != stored:  # damaged on the disk
            return None
        width, height = (int(self.columns[name][file.row]) for name in ("width", "height"))
        return JournalRow(width, height, stored, file.kinds), pixels
