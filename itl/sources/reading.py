"""How a source was read, in a few lines: its layout, splits and classes, and what was left out or lacks."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from itl import counted, one_line
from itl.hierarchy.taxonomy import Taxonomy
from itl.sources.records import class_count, examples

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
            f"note: {split} has no image of {class_count(names)}, such as {examples(names)}"
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
