"""Where images come from: every source lists its records and reads one of them, in place."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from itl import ItlError
from itl.sources.archives import Listing

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


def is_image(name: str) -> bool:
    """Say whether *name* ends as image files do."""
    return Path(name).suffix.lower() in IMAGES


def unwrapped(listing: Listing) -> Listing:
    """Step into the one folder around everything, as archives have it, if it is neither split nor class."""
    tops = listing.tops()
    images = [name for name in listing.files if is_image(name)]
    if len(tops) == 1 and tops[0] not in SPLITS and images and all(name.count("/") > 1 for name in images):
        return listing.inside(tops[0])
    return listing


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
