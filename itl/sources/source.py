"""The interface of every source, and what is common to sources that are scanned before decoding."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from itl.hierarchy.taxonomy import Taxonomy, describe_alike
from itl.sources.boxes import AnnotatedObject, Outside
from itl.sources.files.archives import Listing, open_listing
from itl.sources.files.image_files import UNREAD_SUFFIXES
from itl.sources.records import Record, classes_by_split, describe_doubtful_names, suffix_of
from itl.sources.scan import Resized, Scan
from itl.sources.split_names import SPLIT_ORDER
from itl.words import counted, examples, one_line

NO_TRAINING = "without it nothing can be trained on this source"


class Source(ABC):
    """What every source offers; a source derives from it and overrides what it has.

    A source is a frozen dataclass whose fields are its options; a source of files has the field ``path``.
    To add one, write `records`, and `read` if images are no files or members of archives, and name the class
    in the table of `itl.sources.registry`.
    """

    kind: ClassVar[str]  # its name in the registry
    rendered: ClassVar[bool] = False  # drawn by Python code: packed by processes, and without a path
    annotates: ClassVar[bool] = False  # images have annotated objects
    nouns: ClassVar[tuple[str, str]] = ("images", "objects")  # what `itl check` counts
    expected: ClassVar[str] = ""  # the layout that it reads, for people
    missing_splits: ClassVar[Mapping[str, str]] = {}  # split -> where people get it, what works without
    how_to_add_splits: ClassVar[str] = ""  # to images of one split, in words; '': at most by an option
    published_classes: ClassVar[int] = 0  # 0: not known
    published_images: ClassVar[Mapping[str, int]] = {}  # split -> number of images, or people, as published
    metric: ClassVar[str] = "accuracy"  # by which papers compare; per_class: mean of the classes' accuracies
    label_folders: ClassVar[Sequence[str]] = ()  # patterns of folders of lists, beside the path or above it
    list_search_depth: ClassVar[int] = 1  # in how many folders around the path lists of its images may lie
    pack_options: ClassVar[str] = "--size 64"  # how it is usually packed

    val_fraction = 0.0  # of the training images of each class, used as val; a field where it is an option

    @classmethod
    def has_option(cls, option: str) -> bool:
        """Say whether the source has an *option*."""
        return option in signature(cls).parameters

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
    def comparable_images(self) -> Mapping[str, int]:
        """How many images each split should have, to be compared with papers; empty for own images."""
        return self.published_images

    @property
    def how_to_get_splits(self) -> Mapping[str, str]:
        """Where people get splits that are not there, and what works without; other words for own images."""
        return self.missing_splits

    @property
    def comparable_classes(self) -> int:
        """How many classes there should be, to be compared with papers; 0 where others were chosen."""
        return self.published_classes

    @property
    def layout(self) -> str:
        """The layout that was recognised, in words; a source that reads several says which."""
        return self.kind

    @property
    def labelled_by(self) -> str:
        """What says the class of an image, in words, such as: folders; val by LOC_val_solution.csv."""
        return ""

    @property
    def notes(self) -> Sequence[str]:
        """What is worth knowing about how this source was read, and no reason to stop."""
        return self.scan.notes if self.scan else ()

    @property
    def class_names(self) -> Mapping[str, str]:
        """Words for classes that are wnids, where the source itself has them."""
        return {}

    def describe(self, records: Sequence[Record], unreadable: int = 0) -> list[str]:
        """Return in two lines and notes how *records* were read, and *unreadable* others left out."""
        images, noun = Counter(record.split for record in records), self.nouns[0]
        splits = [f"{split} {counted(images[split], noun)}" for split in SPLIT_ORDER if images[split]]
        objects = self.scan.objects if self.annotates and self.scan else {}
        classes = {obj.name for record in records for obj in objects.get(record.id, ())}
        names = sorted(classes or {record.wnid for record in records} - {""})
        left_out = self.count_left_out(records, unreadable)
        reasons = ", ".join(counted(count, reason) for reason, count in left_out.items())
        parts = [
            f"{counted(len(names), 'classes')}, such as {self._with_words(names[0])}"
            if names
            else "no class",
            *([f"by {self.labelled_by}"] if self.labelled_by else []),
            f"left out: {reasons}" if reasons else "nothing left out",
        ]
        notes = [*self.describe_lacking(records), *self._compare_with_published(images, len(names))]
        notes += [*map(one_line, describe_alike(names)), *describe_doubtful_names(records)]
        notes += self.notes
        if unread := self._unread_formats.total():
            notes.append(f"{counted(unread, 'images are')} left out for their format; convert them to JPEG")
        layout = f"read as: {self.layout}: {', '.join(splits) or 'nothing'}"
        return [layout, f"labels: {'; '.join(parts)}", *(f"note: {note}" for note in notes)]

    def describe_lacking(self, records: Sequence[Record]) -> Iterable[str]:
        """Return a line for each split that lacks classes of train."""
        classes = classes_by_split(records)
        learned = classes.get("train", set())
        lacking = {split: sorted(learned - classes[split]) for split in sorted(classes, reverse=True)}
        return [
            f"{split} has no image of {counted(len(names), 'classes')}, such as {examples(names)}"
            for split, names in lacking.items()
            if names
        ]

    def _compare_with_published(self, images: Mapping[str, int], classes: int) -> Iterator[str]:
        """Yield notes if this is a part of what was published, or more, by its *images* of each split."""
        parts = [
            f"{images.get(split, 0):,} of {count:,} {split} {self.nouns[0]}"
            for split, count in self.comparable_images.items()
            if images.get(split, 0) != count and (split in images or split not in self.missing_splits)
        ]
        if parts:
            yield f"{', '.join(parts)} as published; scores cannot be compared with those of papers"
        if classes < self.comparable_classes:
            yield f"{classes:,} of {self.comparable_classes:,} classes"

    def _with_words(self, name: str) -> str:
        """Return the class *name*, with words for it if it is a wnid."""
        own = self.class_names.get(name)
        return one_line(f"{name} ({own})" if own else Taxonomy.snapshot().name_with_word(name))

    def count_left_out(self, records: Sequence[Record], unreadable: int = 0) -> Counter:
        """Count all files that are not among *records*, by reason; *unreadable* of them are images."""
        left_out = Counter(self.left_out)
        if self.listing is not None and self.scan is None:
            listed = left_out.total() - self.listing.left_out.total()  # the other reasons count listed files
            unread = self._unread_formats
            rest = len(self.listing.files) - len(records) - unreadable - listed - unread.total()
            left_out[f"images in formats that are not read ({', '.join(unread)})"] += unread.total()
            left_out["other files"] += max(0, rest)
        left_out["images that cannot be read"] += unreadable
        return +left_out

    @cached_property
    def _unread_formats(self) -> Counter[str]:
        """How many images are in formats that are not read, by suffix; a scan says what its lists have."""
        if self.listing is None or self.scan is not None:
            return Counter()
        suffixes = Counter(map(suffix_of, self.listing.files))
        return Counter({suffix: suffixes[suffix] for suffix in sorted(suffixes.keys() & UNREAD_SUFFIXES)})

    @property
    def listing(self) -> Listing | None:
        """All files of the source; None if images are not files of their own."""
        return None

    @property
    def left_out(self) -> Counter:
        """How many files are not records, by reason."""
        parts = [part.left_out for part in (self.listing, self.scan) if part is not None]
        return sum(parts, Counter())

    @property
    def scan(self) -> Scan | None:
        """Records, objects and problems, found before any image is decoded; None without such a scan."""
        return None

    @property
    def has_regions(self) -> bool:
        """Whether images have region proposals, which the option ``proposals`` names."""
        return bool(getattr(self, "proposals", None))

    def annotation(self, record: Record) -> list[AnnotatedObject]:
        """Return the objects on the image of *record*, in the order of their file."""
        return self.scan.objects.get(record.id, []) if self.scan else []

    def regions(self, record: Record) -> np.ndarray:
        """Return the region proposals of *record*, float32 (n, 4), where the source `has_regions`."""
        assert self.scan
        return self.scan.regions[record.id]


@dataclass(frozen=True)
class ScannedSource(Source):
    """A source that is scanned before anything is decoded; it overrides `scan`, and `listing` if it must."""

    path: Path
    bad: Literal["refuse", "skip"] = "refuse"  # images, or people on them, with problems

    @property
    @abstractmethod
    def scan(self) -> Scan:
        """Records, objects and problems, found once."""

    @cached_property
    def listing(self) -> Listing:
        """All files."""
        return open_listing(self.path)

    def records(self) -> list[Record]:
        """Return one record for each image, or person, sorted by id; ItlError if anything is wrong."""
        return self.scan.valid_records()


@dataclass(frozen=True)
class AnnotatedSource(ScannedSource):
    """A scanned source with objects on its images; it may have the option ``proposals``."""

    outside: Outside = "refuse"  # boxes that reach outside their image
    resized: Resized = "refuse"  # boxes of images that have another size than is stated
    annotates = True

    def describe_lacking(self, records: Sequence[Record]) -> Iterable[str]:
        """Yield lines on classes that train or what is scored has no objects of, but difficult ones."""
        shown: dict[str, set[str]] = {}
        for record in records:
            names = {obj.name for obj in self.annotation(record) if not obj.difficult}
            shown.setdefault(record.split, set()).update(names)
        learned = shown.pop("train", set())
        for split, scored in sorted(shown.items()) if learned else ():
            if unknown := sorted(scored - learned):
                yield f"{split} has objects of classes that train does not have: {examples(unknown)}"
            if unscored := sorted(learned - scored):
                count = counted(len(unscored), "classes")
                yield f"{split} has no object of {count} to be scored, such as {examples(unscored)}"
