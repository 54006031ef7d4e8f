"""Where images come from: every source lists its records and reads one of them, in place."""

import csv
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from itl import ItlError, pick
from itl.data import archives
from itl.data.archives import Listing

WNID = re.compile(r"n\d{8}")
IMAGES = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
          ".jp2"}
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
          "test": "test", "testing": "test"}


@dataclass(frozen=True, slots=True)
class Record:
    """One image of a source."""

    id: str                                 # relative name, the same wherever the source lies
    wnid: str                               # its class: a wnid, or a plain class name
    split: str
    place: tuple                            # where its source finds it; nobody else's business


class Source(Protocol):
    """What every source offers.

    One that annotates objects has ``annotation(record) -> list[Thing]`` too, and one that follows a published
    division of its images names it as ``protocol``. One that lists images in files of their own has a
    ``survey``, and tells it by ``problems()``, which `records` refuses, and ``notes()``, which it does not.
    """

    kind: str

    def records(self) -> list[Record]:
        """List the images, sorted by id; ItlError where they cannot be used."""

    def read(self, record: Record) -> bytes | np.ndarray:
        """Return the file of *record*, or its pixels, uint8 (H, W, 3)."""


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


def is_image(name: str) -> bool:
    """Say whether *name* ends as image files do."""
    return Path(name).suffix.lower() in IMAGES


def has_splits(listing: Listing) -> bool:
    """Say whether the top folders are splits, not classes (one class of VOC is called train)."""
    tops = [name for name in listing.tops() if name in SPLITS]
    holding_images = {name.split("/")[0] for name in listing.files if name.count("/") == 1 and is_image(name)}
    return bool(tops) and not holding_images.intersection(tops)


def unwrapped(listing: Listing) -> Listing:
    """Step into the one folder around everything, as archives have it, if it is neither split nor class."""
    tops = listing.tops()
    images = [name for name in listing.files if is_image(name)]
    if len(tops) == 1 and tops[0] not in SPLITS and images and all(name.count("/") > 1 for name in images):
        return listing.inside(tops[0])
    return listing


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


def sound(records: Iterable[Record], path: Path) -> list[Record]:
    """Sort *records*; refuse none at all, and splits with classes that train does not have."""
    records = sorted(records, key=lambda record: record.id)
    if not records:
        raise ItlError(f"{path} holds no images in class folders; `itl check` says what it expects")
    classes = defaultdict(set)
    for record in records:
        classes[record.split].add(record.wnid)
    for split, found in sorted(classes.items()):
        other = sorted(found - classes["train"]) if "train" in classes else []
        if other:
            raise ItlError(
                f"{path}: {split} has {len(other)} classes that train does not have, such as {some(other)}; "
                f"give both splits the same classes (train has {some(sorted(classes['train']))})"
            )
    return records


def some(names: list[str], limit: int = 3) -> str:
    """The first few of *names*, for people.

    >>> some(["a", "b", "c", "d"])
    'a, b, c …'
    """
    return ", ".join(names[:limit]) + (" …" if len(names) > limit else "")


def missing_classes(records: Iterable[Record]) -> Mapping[str, list[str]]:
    """For each split but train, the classes of train that have no image in it."""
    classes = defaultdict(set)
    for record in records:
        classes[record.split].add(record.wnid)
    return {split: sorted(classes["train"] - classes[split]) for split in list(classes) if split != "train"}


def refuse_empty(listing: Listing, images: Iterable[str], splits: Iterable[str] = (), hint: str = "") -> None:
    """Refuse class folders that hold none of *images*: those in *splits*, or the outermost if there are none.

    Raises ItlError that names some; *hint* is what else can be done than fill or remove them.
    """
    depth = 2 if splits else 1
    filled = {"/".join(name.split("/")[:depth]) for name in images}
    folders = {name for name in listing.folders if name.count("/") == depth - 1}
    if splits:
        folders = {name for name in folders if name.split("/")[0] in splits}
    empty = sorted(folders - filled)
    if empty and filled:
        raise ItlError(
            f"{len(empty)} of {len(folders)} class folders hold no images, such as {some(empty)}; "
            f"fill or remove them{hint}"
        )


def refuse_plain(records: Iterable[Record], path: Path, kind: str) -> None:
    """Refuse classes that are no wnids, for a source whose classes are."""
    plain = sorted({record.wnid for record in records if not WNID.fullmatch(record.wnid)})
    if plain:
        raise ItlError(f"{path}: {some(plain)} is no wnid, as classes of {kind} are; try the source folder")


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
