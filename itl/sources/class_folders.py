"""Any folder, tar or zip with a folder for each class."""

import csv
import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from itl import ItlError, pick
from itl.sources import archives
from itl.sources.archives import Listing
from itl.sources.records import SPLITS, WNID, Record, is_image, refuse_empty, unwrap, validate_records
from itl.sources.source import Source


@dataclass(frozen=True)
class ClassFolders(Source):
    """Any folder, tar or zip with a folder for each class, inside folders for the splits if there are any."""

    path: Path
    classes: str | None = None  # CSV of name,wnid: the wnids of folders
    val_fraction: float = 0.0  # of the training images of each class, used as val
    empty: str = "refuse"  # refuse or skip: classes without images
    nested: bool = False  # a class is the whole path, such as church/outdoor
    kind = "folder"
    expected = "a folder, .tar or .zip with train/<class>/, val/<class>/ and test/<class>/, or <class>/ alone"

    @cached_property
    def listing(self) -> Listing:
        """Files and folders, relative to the folder that holds the splits or the classes."""
        return unwrap(archives.list_files(Path(self.path)))

    def records(self) -> list[Record]:
        """Return one record for each image, sorted by id."""
        return validate_records(split_off_val(self._images(), self.val_fraction), self.path)

    def _images(self) -> list[Record]:
        pick(dict.fromkeys(("refuse", "skip")), self.empty, "value of the option empty")
        wnids = read_classes(Path(self.classes), Path(self.path)) if self.classes else {}
        depth = 1 if has_splits(self.listing) else 0
        records = []
        for name, member in self.listing.files.items():
            parts = name.split("/")
            split = SPLITS.get(parts[0]) if depth else "train"
            if len(parts) > depth + 1 and split and is_image(name):
                folder = "/".join(parts[depth:-1]) if self.nested else parts[depth]
                records.append(Record(name, wnids.get(folder, folder), split, member))
        if self.empty == "refuse":
            names = [record.id for record in records]
            refuse_empty(self.listing, names, SPLITS if depth else (), ", or set the option empty=skip")
        return records


def has_splits(listing: Listing) -> bool:
    """Say whether the top folders are splits, not classes: there may be a class called train."""
    splits = [name for name in listing.top_folders() if name in SPLITS]
    with_images = {name.split("/")[0] for name in listing.files if name.count("/") == 1 and is_image(name)}
    return bool(splits) and not with_images.intersection(splits)


def read_classes(path: Path, source: Path) -> dict[str, str]:
    """Read a CSV of name,wnid, at *path* or relative to the folder of *source*; the header is optional.

    Returns:
        Wnids by the names of folders.

    Raises:
        ItlError: If there is no such file, or a row is not name,wnid.
    """
    candidates = [path, (source if source.is_dir() else source.parent) / path]
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        raise ItlError(f"there is no mapping file {path}; give a CSV of name,wnid")
    rows = list(csv.reader(file.read_text(encoding="utf-8-sig").splitlines()))
    rows = [[cell.strip() for cell in row] for row in rows if row]
    rows = rows[1:] if rows and rows[0] == ["name", "wnid"] else rows
    for number, row in enumerate(rows, 1):
        if len(row) != 2 or not WNID.fullmatch(row[1]):
            raise ItlError(f"{file}, row {number}: {','.join(row)!r} is not name,wnid, as in dog,n02084071")
    return dict(rows)


def split_off_val(records: list[Record], fraction: float) -> list[Record]:
    """Move *fraction* of each class from train to val: the images whose ids have the lowest hashes."""
    if not fraction:
        return records
    if not 0 < fraction < 1:
        raise ItlError(f"val_fraction is a fraction of the training images, between 0 and 1, not {fraction}")
    counts = Counter(record.split for record in records)
    if counts["val"]:
        raise ItlError(
            f"val_fraction={fraction} is set, but there are {counts['val']} val images; leave it out"
        )
    ranked = sorted(records, key=lambda record: hashlib.sha256(record.id.encode()).digest())
    train = Counter(record.wnid for record in records if record.split == "train")
    to_move = {wnid: min(count - 1, max(1, round(fraction * count))) for wnid, count in train.items()}
    result = []
    for record in ranked:
        if record.split == "train" and to_move[record.wnid]:
            to_move[record.wnid] -= 1
            record = replace(record, split="val")
        result.append(record)
    return result
