"""Any tree, tar or zip with a folder for each class."""

import csv
import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from itl import ItlError, pick
from itl.sources import archives
from itl.sources.archives import Listing
from itl.sources.records import SPLITS, WNID, Record, is_image, refuse_empty, sound, unwrapped


@dataclass(frozen=True)
class ClassFolders:
    """Any tree, tar or zip with a folder for each class, below folders for the splits if there are any."""

    path: Path
    classes: str | None = None              # CSV of name,wnid: what folders are called, and what they mean
    val_fraction: float = 0.0               # of the training images of each class, set apart as val
    empty: str = "refuse"                   # refuse or skip: what to do about classes without images
    nested: bool = False                    # a class is all folders, as church/outdoor; else the outermost
    kind = "folder"

    @cached_property
    def listing(self) -> Listing:
        """Files and folders, named from the folder that holds the splits or the classes."""
        return unwrapped(archives.listing(Path(self.path)))

    def records(self) -> list[Record]:
        """One record for each image, sorted by id."""
        return sound(_set_apart(self._found(), self.val_fraction), self.path)

    def read(self, record: Record) -> bytes:
        """Return the file of *record*."""
        return archives.read(record.place)

    def _found(self) -> list[Record]:
        pick({"refuse": 0, "skip": 0}, self.empty, "way with empty classes")
        meaning = read_classes(Path(self.classes), Path(self.path)) if self.classes else {}
        depth = 1 if has_splits(self.listing) else 0
        found = []
        for name, place in self.listing.files.items():
            parts = name.split("/")
            split = SPLITS.get(parts[0]) if depth else "train"
            if len(parts) > depth + 1 and split and is_image(name):
                folder = "/".join(parts[depth:-1]) if self.nested else parts[depth]
                found.append(Record(name, meaning.get(folder, folder), split, place))
        if self.empty == "refuse":
            names = [record.id for record in found]
            refuse_empty(self.listing, names, SPLITS if depth else (), ", or set the option empty=skip")
        return found


def has_splits(listing: Listing) -> bool:
    """Say whether the top folders are splits, not classes (one class of VOC is called train)."""
    tops = [name for name in listing.tops() if name in SPLITS]
    holding_images = {name.split("/")[0] for name in listing.files if name.count("/") == 1 and is_image(name)}
    return bool(tops) and not holding_images.intersection(tops)


def read_classes(path: Path, beside: Path) -> dict[str, str]:
    """Read a CSV of name,wnid, at *path* or in the folder *beside*; the header is optional."""
    places = [path, beside / path] if beside.is_dir() else [path, beside.parent / path]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise ItlError(f"the mapping file {path} was asked for, but there is none; give a CSV of name,wnid")
    rows = list(csv.reader(file.read_text(encoding="utf-8-sig").splitlines()))
    rows = [[cell.strip() for cell in row] for row in rows if row]
    rows = rows[1:] if rows and rows[0] == ["name", "wnid"] else rows
    for number, row in enumerate(rows, 1):
        if len(row) != 2 or not WNID.fullmatch(row[1]):
            raise ItlError(f"{file}, row {number}: {','.join(row)!r} is not name,wnid, as in dog,n02084071")
    return dict(rows)


def _set_apart(records: list[Record], fraction: float) -> list[Record]:
    """Move *fraction* of each class from train to val: those whose ids hash lowest."""
    if not fraction:
        return records
    if not 0 < fraction < 1:
        raise ItlError(f"val_fraction is a part of the training images, between 0 and 1, not {fraction}")
    counts = Counter(record.split for record in records)
    if counts["val"]:
        raise ItlError(
            f"val_fraction={fraction} was asked for, but there are {counts['val']} val images; leave it out"
        )
    ranked = sorted(records, key=lambda record: hashlib.sha256(record.id.encode()).digest())
    left = {wnid: min(count - 1, max(1, round(fraction * count)))
            for wnid, count in Counter(each.wnid for each in records if each.split == "train").items()}
    kept = []
    for record in ranked:
        if record.split == "train" and left[record.wnid]:
            left[record.wnid] -= 1
            record = Record(record.id, record.wnid, "val", record.place)
        kept.append(record)
    return kept
