"""Records, the images of a source: listed, checked and described."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from itl import ItlError
from itl.sources.archives import Listing, Member
from itl.sources.boxes import Box
from itl.sources.image_files import FORMATS_OF_SUFFIX

WNID = re.compile(r"n\d{8}")
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


NO_FILE = Member("")  # of images that are rendered, or held in arrays


@dataclass(frozen=True, slots=True)
class Record:
    """One image of a source."""

    id: str  # relative name, the same on every machine
    wnid: str  # its class: a wnid, or a plain class name
    split: str  # train, val or test
    member: Member = NO_FILE
    box: Box | None = None  # the part of the image that the record shows; None: all of it


def is_image(name: str) -> bool:
    """Say whether *name* has the suffix of an image file."""
    return Path(name).suffix.lower() in FORMATS_OF_SUFFIX


def unwrap(listing: Listing) -> Listing:
    """Step into the one folder around everything, as archives have it, if it is neither split nor class."""
    tops = listing.top_folders()
    images = [name for name in listing.files if is_image(name)]
    if len(tops) == 1 and tops[0] not in SPLITS and images and all(name.count("/") > 1 for name in images):
        return listing.inside(tops[0])
    return listing


def validate_records(records: Iterable[Record], path: Path) -> list[Record]:
    """Return *records* sorted by id.

    Raises:
        ItlError: If there are none, or a split has classes that train does not have.
    """
    records = sorted(records, key=lambda record: record.id)
    if not records:
        raise ItlError(f"{path} holds no images in class folders; put each image into a folder of its class")
    classes = classes_by_split(records)
    for split in sorted(classes):
        unknown = sorted(classes[split] - classes["train"]) if "train" in classes else []
        if unknown:
            raise ItlError(
                f"{path}: {split} has {len(unknown)} classes that train does not have, such as "
                f"{examples(unknown)}; give both splits the same classes (train has "
                f"{examples(sorted(classes['train']))})"
            )
    return records


def examples(names: list[str], limit: int = 3) -> str:
    """Return the first few of *names* as text.

    >>> examples(["a", "b", "c", "d"])
    'a, b, c …'
    """
    return ", ".join(names[:limit]) + (" …" if len(names) > limit else "")


def classes_by_split(records: Iterable[Record]) -> dict[str, set[str]]:
    """Return the classes of each split."""
    classes = defaultdict(set)
    for record in records:
        classes[record.split].add(record.wnid)
    return dict(classes)


def refuse_empty(listing: Listing, images: Iterable[str], splits: Iterable[str] = (), hint: str = "") -> None:
    """Raise ItlError if class folders hold no images.

    Args:
        listing: All files and folders.
        images: Names of the images that are records.
        splits: Folders that hold class folders; without any, the outermost folders are classes.
        hint: What can be done other than fill or remove the folders.
    """
    depth = 2 if splits else 1
    filled = {"/".join(name.split("/")[:depth]) for name in images}
    folders = {name for name in listing.folders if name.count("/") == depth - 1}
    if splits:
        folders = {name for name in folders if name.split("/")[0] in splits}
    empty = sorted(folders - filled)
    if empty and filled:
        raise ItlError(
            f"{len(empty)} of {len(folders)} class folders hold no images, such as {examples(empty)}; "
            f"fill or remove them{hint}"
        )


def refuse_plain(records: Iterable[Record], path: Path, kind: str) -> None:
    """Raise ItlError for classes that are not wnids, for a source whose classes are."""
    plain = sorted({record.wnid for record in records if not WNID.fullmatch(record.wnid)})
    if plain:
        raise ItlError(f"{path}: classes of {kind} are wnids, not {examples(plain)}; try the source folder")
