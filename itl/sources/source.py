"""What every source offers, and what sources share that are scanned before anything is decoded."""

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from itl import counted, one_line
from itl.hierarchy.taxonomy import Taxonomy
from itl.sources.archives import Listing, list_files
from itl.sources.boxes import AnnotatedObject
from itl.sources.image_files import UNREAD_SUFFIXES
from itl.sources.records import Record, examples, lacking_classes, suffix_of
from itl.sources.scan import Scan

SPLIT_ORDER = ("train", "val", "test")


@dataclass(frozen=True)
class Reading:
    """What was understood of a source; nobody should have to guess it from a result."""

    layout: str  # in words, such as: class folders in train, val
    splits: Mapping[str, int]  # images of each split
    classes: tuple[str, ...]  # sorted wnids or names
    labelled_by: str = ""  # what says the class of an image, in words
    class_names: Mapping[str, str] | None = None  # words for wnids that the source itself gives
    left_out: Mapping[str, int] | None = None  # reason -> how many files
    noun: str = "images"  # what is counted
    lacking: Mapping[str, tuple[str, ...]] | None = None  # split -> classes of train that it has no image of

    def lines(self) -> list[str]:
        """Return two lines for people, and a note for each split that lacks classes of train.

        >>> for line in Reading("class folders", {"train": 3}, ("cat", "dog"), "folders").lines():
        ...     print(line)
        read as: class folders: train 3 images
        labels: 2 classes, such as cat; by folders; nothing left out
        """
        ordered = [split for split in SPLIT_ORDER if self.splits.get(split)]
        counts = ", ".join(f"{split} {counted(self.splits[split], self.noun)}" for split in ordered)
        left_out = ", ".join(
            counted(count, reason) for reason, count in (self.left_out or {}).items() if count
        )
        parts = [
            f"{counted(len(self.classes), 'classes')}, such as {self._example()}"
            if self.classes
            else "no class",
            f"by {self.labelled_by}" if self.labelled_by else "",
            f"left out: {left_out}" if left_out else "nothing left out",
        ]
        notes = [
            f"note: {split} has no image of {counted(len(names), 'classes')}, such as {examples(names)}"
            for split, names in (self.lacking or {}).items()
        ]
        alike: dict[str, list[str]] = defaultdict(list)
        for name in self.classes:
            alike[" ".join(name.casefold().split())].append(repr(name))
        notes += [
            f"note: {' and '.join(names)} are classes of their own, and differ in case or blanks alone"
            for names in alike.values()
            if len(names) > 1
        ]
        labels = "labels: " + "; ".join(filter(None, parts))
        return [f"read as: {self.layout}: {counts or 'nothing'}", labels, *notes]

    def _example(self) -> str:
        """Return the first class, with its name if it is a wnid."""
        first, tree = self.classes[0], Taxonomy.snapshot()
        name = (self.class_names or {}).get(first) or (tree.class_name(first) if first in tree else "")
        return one_line(f"{first} ({name})" if name else first)


class Source(ABC):
    """What every source offers; a source derives from it and overrides what it has.

    A source is a frozen dataclass whose fields are its options; a source of files has the field ``path``.
    To add one, write `records` and `read` and name the class in `itl.sources.registry.SOURCES`.
    """

    kind: ClassVar[str]  # its name in the registry
    rendered: ClassVar[bool] = False  # drawn by Python code: packed by processes, and without a path
    annotates: ClassVar[bool] = False  # images have annotated objects
    counted: ClassVar[tuple[str, str]] = ("images", "objects")  # what `itl check` counts
    expected: ClassVar[str] = ""  # the layout that it reads, for people
    missing_splits: ClassVar[Mapping[str, str]] = {}  # split -> where people get it, what works without
    published_images: ClassVar[Mapping[str, int]] = {}  # split -> number of images as published
    metric: ClassVar[str] = (
        "accuracy"  # by which papers compare; per_class: the mean of each class's accuracy
    )
    pack_options: ClassVar[str] = "--size 64"  # how it is usually packed

    @abstractmethod
    def records(self) -> list[Record]:
        """Return one record for each image, sorted by id; ItlError if the source cannot be used."""

    def read(self, record: Record) -> bytes | np.ndarray:
        """Return the file of *record*, or its pixels, uint8 (H, W, 3)."""
        return record.member.read()

    @property
    def protocol(self) -> str:
        """The name of the published division into splits; empty if there is none."""
        return ""

    @property
    def layout(self) -> str:
        """The layout that was recognised, in words; a source that reads several says which."""
        return self.kind

    @property
    def labelled_by(self) -> str:
        """What says the class of an image, in words, such as: folders; val by LOC_val_solution.csv."""
        return ""

    @property
    def class_names(self) -> Mapping[str, str]:
        """Words for classes that are wnids, where the source itself has them."""
        return {}

    def reading(self, records: Sequence[Record], unreadable: int = 0) -> Reading:
        """Return what was understood of this source, for people to judge.

        Args:
            records: Of this source.
            unreadable: How many more there were, which a pack leaves out.
        """
        left_out = Counter(self.left_out)
        if self.listing is not None and self.scan is None:
            listed = left_out.total() - self.listing.left_out.total()  # the other reasons count listed files
            unread = Counter(
                suffix for suffix in map(suffix_of, self.listing.files) if suffix in UNREAD_SUFFIXES
            )
            left_out[f"images in formats that are not read ({', '.join(sorted(unread))})"] += unread.total()
            left_out["other files"] += max(
                0, len(self.listing.files) - len(records) - unreadable - listed - unread.total()
            )
        left_out["images that cannot be read"] += unreadable
        objects = self.scan.objects.values() if self.annotates and self.scan else ()
        names = {one.name for image in objects for one in image} or {record.wnid for record in records} - {""}
        splits = Counter(record.split for record in records)
        return Reading(
            self.layout,
            splits,
            tuple(sorted(names)),
            self.labelled_by,
            self.class_names,
            +left_out,
            self.counted[0],
            {} if self.annotates else lacking_classes(records),
        )

    @property
    def listing(self) -> Listing | None:
        """All files of the source; None if images are not files of their own."""
        return None

    @property
    def left_out(self) -> Counter:
        """How many files are not records, by reason."""
        return Counter() if self.listing is None else self.listing.left_out

    @property
    def scan(self) -> Scan | None:
        """Records, objects and problems, found before any image is decoded; None without such a scan."""
        return None

    @property
    def has_regions(self) -> bool:
        """Whether images have region proposals."""
        return False

    def annotation(self, record: Record) -> list[AnnotatedObject]:
        """Return the objects on the image of *record*, in the order of their file; none by default."""
        return []

    def regions(self, record: Record) -> np.ndarray:
        """Return the region proposals of *record*, float32 (n, 4); none by default."""
        return np.empty((0, 4), np.float32)


class ScannedSource(Source):
    """A source that is scanned before anything is decoded; it overrides `scan`, and `listing` if it must."""

    path: Path  # a field of each

    @property
    @abstractmethod
    def scan(self) -> Scan:
        """Records, objects and problems, found once."""

    @cached_property
    def listing(self) -> Listing:
        """All files."""
        return list_files(Path(self.path))

    @property
    def left_out(self) -> Counter:
        """How many files are not records, by reason."""
        return self.listing.left_out + self.scan.left_out

    def records(self) -> list[Record]:
        """Return one record for each image, or person, sorted by id; ItlError if anything is wrong."""
        return self.scan.valid_records()


class AnnotatedSource(ScannedSource):
    """A scanned source with objects on its images; it may have the option ``proposals``."""

    annotates = True
    proposals: str | None = None

    @property
    def has_regions(self) -> bool:
        """Whether images have region proposals."""
        return bool(self.proposals)

    def annotation(self, record: Record) -> list[AnnotatedObject]:
        """Return the objects on the image of *record*, in the order of their file."""
        return self.scan.objects[record.id]

    def regions(self, record: Record) -> np.ndarray:
        """Return the region proposals of *record*, float32 (n, 4)."""
        return self.scan.regions[record.id]
