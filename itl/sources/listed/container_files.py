"""Shards and tables, files that hold many images: which ones there are, and the split of each."""

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from itl.errors import ItlError
from itl.sources.files import archives
from itl.sources.listed.numbered_classes import describe_order, describe_zero
from itl.sources.records import Record, is_image, validate_records
from itl.sources.source import Source
from itl.sources.split_names import (
    LIKE_SPLITS,
    joined_splits,
    split_of_any_word,
    split_of_folders,
    split_of_name,
    split_of_path,
    splits_in_names,
    words_of,
)
from itl.sources.unopened_archives import describe_unopened, is_archive
from itl.words import examples

# The prefix, number and count of a name such as train-00000-of-00002.parquet.
PART = re.compile(r"(.*?)(\d+)(?:-of-(\d+)(?:-[0-9a-f]+)?)?\.[a-z]+$", re.IGNORECASE)
DOCUMENTS = ("README.md", "LICENSE", "LICENSE.txt")  # beside the files of a data set


@dataclass(frozen=True)
class ContainerSource(Source):
    """A source whose images are in files of one suffix, in a folder or one alone, such as shards."""

    path: Path
    names: Path | None = None  # file with the names of numbered classes
    val_fraction: float = 0.0  # of the training images of each class, used as val
    suffix: ClassVar[str]  # of the files that are read, in any case

    @cached_property
    def _listed(self) -> dict[str, Path]:
        """All files at the path, by their names relative to it."""
        if not self.path.exists():
            raise ItlError(f"there is nothing at {self.path}; give a folder of {self.suffix} files")
        if self.path.is_file():
            return {self.path.name: self.path}
        return {name: Path(file.path) for name, file in archives.open_listing(self.path).files.items()}

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Those that are read; ItlError if there are none, or compressed ones."""
        if self.path.is_file():
            return self._listed
        if {"pack.json", "index.parquet"} <= self._listed.keys():
            raise ItlError(f"{self.path}: {archives.foreign_format(['pack.json'])}")
        tools = {f"{self.suffix}{ending}": tool for ending, tool in archives.TOOL_OF_SUFFIX.items()}
        tools |= archives.TOOL_OF_TAR_SUFFIX if self.suffix == ".tar" else {}
        if compressed := sorted(name for name in self._listed if name.lower().endswith((*tools,))):
            tool = next(tool for ending, tool in tools.items() if compressed[0].lower().endswith(ending))
            raise ItlError(
                f"{self.path} has compressed files, such as {compressed[0]}, whose images cannot be read in "
                f"place; `{tool} {shlex.quote(str(self._listed[compressed[0]]))}` leaves a plain "
                f"{self.suffix}"
            )
        names = sorted(name for name in self._listed if name.lower().endswith(self.suffix))
        if not names:
            members = {name: archives.Member(str(file)) for name, file in self._listed.items()}
            way = foreign_images(members) or describe_unopened(members) or f"give {self.expected}"
            raise ItlError(f"{self.path} has no {self.suffix} files; {way}")
        files = {name: self._listed[name] for name in names}
        _refuse_two_versions(files, self.path)
        return files

    @cached_property
    def _split_of(self) -> dict[str, str]:
        """The split of each file that is read."""
        return splits_by_name(self._files, self.path)

    def _describe_zero(self, numbers: Collection[str]) -> list[str]:
        """Return notes if it is doubtful which of *numbers* a name of the option names stands for."""
        if not self.names:
            return []
        data, file = self.names.read_bytes(), str(self.names)
        return [*describe_zero(data, file, numbers), *describe_order(data, file)]

    @property
    def _missing_parts(self) -> str:
        """What is lacking of numbered files, by their own numbers, in words; '' where nothing is."""
        numbers: dict[tuple[str, int], set[int]] = defaultdict(set)  # by prefix and count; 0: not stated
        for name in self._files:
            if match := PART.search(name):
                numbers[match[1].rstrip("-_."), int(match[3] or 0)].add(int(match[2]))
        lacking = []
        for (prefix, parts), present in numbers.items():
            total = parts or max(present) - min(present) + 1
            if (missing := total - len(present)) > 0:
                words = "parts" if parts else "numbers"
                lacking.append(f"{missing:,} of the {total:,} {words} of {prefix or 'its files'}")
        return f", without {' and '.join(lacking)}" if lacking else ""

    def _validate(self, records: list[Record]) -> list[Record]:
        """Return *records* as `validate_records` does; its ItlError then says which files are missing."""
        try:
            return validate_records(records, self.path)
        except ItlError as error:
            parts = self._missing_parts.removeprefix(", ")
            raise ItlError(
                f"{error}; the files were read {parts}: get all" if parts else str(error)
            ) from None

    def _refuse_folders_of_splits(self, images: Iterable[str]) -> None:
        """Raise ItlError if *images* of files without splits in their names are of several by their own."""
        images = list(images)
        in_folder = {image.rpartition("/")[0]: image for image in images if "/" in image}
        of_split = {split_of_folders(image): image for image in in_folder.values()}
        of_split.pop(None, None)
        if len(named := of_split if len(of_split) > 1 else splits_in_names(images)) > 1:
            (split, image), (other, another), *_ = named.items()
            raise ItlError(
                f"{self.path}: the names of its files tell no split, so all images would be train, but by "
                f"its name {image} is of {split} and {another} of {other}; write files for each split, "
                f"named so"
            )

    def _count_others(self) -> Counter:
        """Count the files that are not read, documents and the file of the option names aside.

        The reason shows one of them, whose name tells a split if that of any does.
        """
        used = self.names.resolve() if self.names else None
        others = [
            name
            for name in self._listed.keys() - self._files.keys()
            if name.rpartition("/")[2] not in DOCUMENTS and self._listed[name].resolve() != used
        ]
        if not others:
            return Counter()
        example = min(others, key=lambda name: (split_of_path(name) is None, name))
        more = " …" if len(others) > 1 else ""
        return Counter({f"files other than {self.suffix} ({example}{more})": len(others)})


def foreign_images(names: Collection[str]) -> str:
    """Say which format holds the images of files *names*, and the way from there; '' if others may.

    >>> foreign_images(["train/data-00000-of-00001.arrow"])[:41], foreign_images(["a.mat", "0.jpg"])
    ('train/data-00000-of-00001.arrow is Arrow,', '')
    """
    if any(is_image(name) or is_archive(name) or name.endswith(".parquet") for name in names):
        return ""
    return archives.foreign_format(names, archives.FOREIGN_FORMATS | archives.FORMATS_BESIDE_ARCHIVES)


def _refuse_two_versions(files: Mapping[str, Path], path: Path) -> None:
    """Raise ItlError if *files* may be two versions of a data set, whose images would be there twice.

    As in a cache with two versions, or where a hub has fine and coarse labels in folders of their own: two
    files are one by a link, or, folders aside, have one name, one number of the parts of one name, or
    numbers of other divisions, as 00000-of-00002 and 00001-of-00005. Folders of splits belong to the name.
    """
    way = "move one elsewhere, or, to read all, give the files other names"
    first: dict[object, tuple[object, str]] = {}
    for name, file in files.items():
        *folders, last = name.split("/")
        inside = "/".join([*filter(split_of_name, folders), last])
        match = PART.search(inside)
        prefix, number, count = match.groups() if match and match[3] else (inside, 0, 1)
        prefix, status = prefix.rstrip("-_."), file.stat()
        for key, value, are, cure in (
            ((status.st_dev, status.st_ino), name, "are one file, as one is a link", "remove the link"),
            (prefix, int(count), "are of two divisions into parts", way),
            ((prefix, int(number)), name, "may be of two versions of one data set", way),
        ):
            other_value, other = first.setdefault(key, (value, name))
            if value != other_value:
                raise ItlError(
                    f"{path}: {other} and {name} {are}, so images would be there twice; give the folder of "
                    f"one as the path, or {cure}"
                )


def splits_by_name(names: Iterable[str], path: Path) -> dict[str, str]:
    """Return the split of each of the files *names* at *path*: all are train if no name tells any.

    ItlError if the names of some tell their split, or may do so by eval or te, and those of others do not.
    """
    names = [*names]
    split_of = {name: split_of_path(name) for name in names}
    telling = {name for name in names if split_of[name]}
    if not telling and (joined := joined_splits(names)):
        raise ItlError(
            f"{path}: the names of {examples([*joined])} tell no split, but may mean "
            f"{examples([*dict.fromkeys(joined.values())])}; put a sign before and behind it, as in a-train-0"
        )
    if not telling:
        short = {name: split_of_any_word(name, short=True) for name in names}  # te may be Telugu beside en
        telling = {name for name in names if not LIKE_SPLITS.isdisjoint(words_of(name))}
        telling |= {name for name in names if short[name] != "train" and None not in short.values()}
    unclear = [name for name in names if name not in telling]
    if telling and unclear:
        example = min(telling)
        raise ItlError(
            f"{path}: the name of {examples(unclear)} tells no split, though that of {example} "
            f"{'does' if split_of[example] else 'may'}; put train, val or test into it"
        )
    return {name: split or "train" for name, split in split_of.items()}


def sample_id(image: str, split: str, wnid: str) -> str:
    """Return the id of an image in a container: as it would be called in folders of its split and class.

    >>> sample_id("cat/1.jpg", "train", "cat"), sample_id("n01440764_1.jpg", "", "n01440764")
    ('train/cat/1.jpg', 'n01440764/n01440764_1.jpg')
    >>> sample_id("train/cat/1.jpg", "train", "cat"), sample_id("train/1.jpg", "train", "train")  # trains
    ('train/cat/1.jpg', 'train/train/1.jpg')
    """
    inside = image if "/" in image else f"{wnid}/{image}"
    first, _, rest = inside.partition("/")
    has_split = "/" in rest and first != wnid and split_of_name(first) == split
    return f"{split}/{inside}" if split and not has_split else inside
