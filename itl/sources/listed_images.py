"""Images that lists divide into splits and label: any such data set, and what the published ones share."""

import re
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import starmap
from pathlib import Path
from typing import ClassVar, Literal

from itl import ItlError, counted
from itl.sources import archives
from itl.sources.archives import Member
from itl.sources.image_names import ImageFinder
from itl.sources.labels import LABEL_COLUMNS, NO_LABEL, describe_labels
from itl.sources.layout import SPLITS
from itl.sources.list_files import (
    ID_COLUMNS,
    IMAGE_COLUMNS,
    LIST_SUFFIXES,
    MAX_PEEKED_ROWS,
    ListedImage,
    class_folder,
    divides,
    has_label,
    is_made_up,
    read_list_file,
    split_in_name,
    split_of_folder,
    text_of,
)
from itl.sources.numbered_classes import (
    CLASS_NAME_FILES,
    describe_exceptions,
    describe_zero,
    is_number,
    name_of,
    names_of_numbers,
    read_names,
)
from itl.sources.records import Record, examples, is_image, plain_line, short_name, validate_records
from itl.sources.scan import Scan
from itl.sources.source import SPLIT_ORDER, ScannedSource
from itl.storage import text_lines

PEEKED_BYTES = 4096  # of a text file, to see whether it lists images


Entries = Iterable[tuple[str, str] | ListedImage]  # image and class, perhaps with the line


@dataclass(frozen=True)
class ListedSource(ScannedSource):
    """A source whose lists say which images it has; a data set derives from it and overrides `entries`."""

    path: Path
    bad: Literal["refuse", "skip"] = "refuse"  # listed images that are missing
    unlisted: ClassVar[str] = "images in no list"
    labels_are_folders: ClassVar[bool] = True  # a label that is the folder of other images is a mistake

    @abstractmethod
    def entries(self, scan: Scan) -> Iterator[tuple[str, str, Entries]]:
        """Yield for each list its split, its name and its images with their classes."""

    @cached_property
    def scan(self) -> Scan:
        """Records and problems; reads the lists.

        ItlError if the images are still packed, a list is missing or cannot be read, or the images do not
        pass `validate_records`.
        """
        scan = Scan(self.kind, self.path)
        packed = archives.describe_packed(self.listing.files)
        if packed and not any(map(is_image, self.listing.files)):
            raise ItlError(f"{self.path} holds no images: {packed}")
        records: dict[str, Record] = {}  # by id
        labels: dict[str, str] = {}  # the class of an id, with its line
        repeated, two_classes, in_two = 0, {}, {}
        for record, label in self._listed(scan):
            first = records.setdefault(record.id, record)
            if first is record:
                labels[record.id] = label
            elif first.split != record.split:
                in_two[record.id] = f"{first.split} and {record.split}"
            else:
                repeated += 1
                if first.wnid != record.wnid:
                    both = f"{labels[record.id]} and of {label}"
                    two_classes[record.id] = f"{record.id} is of {both}; correct one of them"
        if by_id := len(self.finder.found_by_id):
            scan.notes.append(f"{counted(by_id, 'images are')} listed by ids: their names without suffix")
        scan.notes += self.finder.describe_elsewhere()
        if scan.problems and (inside := sorted(filter(archives.is_archive, self.listing.files))):
            scan.notes.append(
                f"{examples(inside)} in this folder was not opened; unpack it if images are missing"
            )
        if repeated:
            scan.notes.append(f"the lists have {counted(repeated, 'images')} twice, counted once")
        scan.records = list(records.values())
        self._compare_folders(scan)
        scan.add_problems(two_classes, f"{counted(len(two_classes), 'images are')} of two classes")
        scan.add_split_conflicts(in_two, "images")
        listed = len(records) + scan.left_out.total()  # what entries has left out is in a list too
        scan.left_out[self.unlisted] += sum(is_image(name) for name in self.listing.files) - listed
        scan.finish(self.bad)
        if scan.records and not scan.problems:
            validate_records(scan.records, self.path)
        return scan

    def _listed(self, scan: Scan) -> Iterator[tuple[Record, str]]:
        """Yield the record of each entry, and its class with its line; images not there become problems."""
        for split, name, entries in self.entries(scan):
            missing, images = {}, []
            for entry in starmap(ListedImage, entries):
                line = f"{name}, line {entry.line}" if entry.line else ""
                try:
                    image = self.find(entry.image, split)
                except ItlError as error:
                    missing[entry.image] = f"{line or name}: {error}"
                    continue
                images.append(image)
                wnid = plain_line(entry.label)
                record = Record(image, wnid, split, self.listing.files[image])
                yield record, f"{wnid} ({line})" if line else wnid
            scan.notes += self.finder.describe_other_split(images, split, name)
            count = counted(len(missing), "images that are")
            are_gone = all("no such image" in text for text in missing.values())
            what = f"{count} not there" if are_gone else f"{count} not found as listed"
            scan.add_problems(missing, f"{name} lists {what}", with_first=True)

    def _compare_folders(self, scan: Scan) -> None:
        """Tell of images whose label is the folder of other images."""
        names = {record.wnid for record in scan.records} - {*SPLITS}
        label_of: dict[str, str] = {}  # of each folder
        others = {}
        for record in scan.records:
            folder = record.id.rpartition("/")[0]
            if folder not in label_of:
                label_of[folder] = _label_of_folder(folder, names)
            if (named := label_of[folder]) and named != record.wnid:
                others[record.id] = (
                    f"{record.id} is {record.wnid!r} by its list, and {named!r} by its folder; correct one"
                )
        count = counted(len(others), "images have")
        if self.labels_are_folders:
            scan.add_problems(others, f"{count} another class by their lists than by their folders")
        elif others:
            scan.notes.append(
                f"{count} the name of another image's folder as a label, such as {examples(others)}; "
                f"the list is taken"
            )

    @cached_property
    def finder(self) -> ImageFinder:
        """What finds the images that lists name."""
        return ImageFinder(self.listing)

    def find(self, name: str, split: str) -> str:
        """Return the image that a list of *split* calls *name*; ItlError if there is none."""
        return self.finder.find(name, split)

    def file(self, name: str) -> Member:
        """Return the file *name* of the data set, in whatever folder; ItlError if it is absent."""
        if member := self.optional_file(name):
            return member
        packed = archives.describe_packed(self.listing.files)
        if not packed and (inside := sorted(filter(archives.is_archive, self.listing.files))):
            way = "it and that" if self.path.is_file() else f"it, or give {self.path}/{inside[0]} itself"
            packed = f"{inside[0]} was not opened: unpack {way}"
        raise ItlError(f"{self.path} has no {name}; {packed or f'{self.kind} takes {self.expected}'}")

    def optional_file(self, name: str) -> Member | None:
        """Return the file *name* in whatever folder, or beside the data set.

        ItlError if several folders have one, and they differ.
        """
        names = [one for one in self.listing.files if one == name or one.endswith(f"/{name}")]
        if names:
            first, *others = sorted(names, key=lambda one: (one.count("/"), one))
            content = self.listing.files[first].read() if others else b""
            if differing := [one for one in others if self.listing.files[one].read() != content]:
                raise ItlError(
                    f"{self.path}: {first} and {differing[0]} differ; remove the one that is wrong"
                )
            return self.listing.files[first]
        beside = self.path.parent / name
        return Member(str(beside)) if beside.is_file() else None

    def lines(self, name: str) -> list[str]:
        """Return the lines of the text file *name*, but blank ones; ItlError if it is empty or no text."""
        lines = [line.strip() for line in text_lines(text_of(self.file(name).read(), name)) if line.strip()]
        if not lines:
            raise ItlError(f"{self.path}: {name} is empty; copy it again")
        return lines


def _label_of_folder(folder: str, labels: Collection[str]) -> str:
    """Return the one of *labels* that *folder* is called after, by its last parts; empty if none is.

    >>> _label_of_folder("data_256/a/arch/outdoor", ["arch/outdoor", "abbey"])
    'arch/outdoor'
    """
    parts = folder.split("/")
    tails = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((tail for tail in tails if tail in labels), "")


@dataclass(frozen=True)
class Lists(ListedSource):
    """Images that text files, CSV or JSON lines divide and label, a file for each split."""

    train: str | None = None  # name of the list; None finds it by its name
    val: str | None = None
    test: str | None = None
    image: str | None = None  # column of the image
    label: str | None = None  # column of the label
    names: Path | None = None  # file with the names of numbered classes
    kind = "lists"
    expected = (
        "a folder, .tar or .zip with images and a list for each split: train.txt with lines `IMAGE LABEL`, "
        "train.csv, train.jsonl, or metadata.csv or metadata.jsonl in a folder of each split"
    )
    labelled_by = "the lists"
    labels_are_folders = False
    dividing = (
        "a column split of train, val or test in the list divides it, or a second list, such as test.csv"
    )

    @property
    def layout(self) -> str:
        """The lists, by their names."""
        return f"images in lists ({', '.join(dict.fromkeys(self._list_of_split().values()))})"

    def entries(self, scan: Scan) -> Iterator[tuple[str, str, Entries]]:
        """Yield the images of each list, with the names of their classes."""
        file_of = self._list_of_split()
        lists: dict[tuple[str, str], list[ListedImage]] = defaultdict(list)  # by split and file
        others: dict[str, list[str]] = defaultdict(list)  # reason -> images that are left out
        for file in dict.fromkeys(file_of.values()):
            images, named_for = self._read(file), [split for split in file_of if file_of[split] == file]
            has_column = any(one.split for one in images)
            if not (has_column or split_in_name(file) or self._options):
                images = self._divided_by_folder(images, file, scan)
            elif has_column:
                scan.notes.append(f"{file} says the split of each image in a column")
                self._check_splits(images, file, named_for)
            for one in images:
                if self._is_taken(one, file, file_of):
                    for split in [one.split] if one.split else named_for:
                        lists[split, file].append(one)
                else:
                    reason = f"{one.split} images of {file}, which no option names for {one.split}"
                    others[reason].append(one.image)
        self._leave_out_unlabelled(lists, scan)
        taken = [one for images in lists.values() for one in images]
        for reason, names in others.items():
            scan.left_out[reason] += len(set(names) - {one.image for one in taken})
        if not self._options:
            scan.notes += self._describe_unread({split for split, _ in lists}, taken)
        labels = {one.label for one in taken}
        scan.notes += describe_labels(labels, self.label)
        class_of = self._class_of_label(taken, scan)
        for (split, file), images in lists.items():
            yield split, file, [one._replace(label=class_of(one.label)) for one in images]

    def _describe_unread(self, read: Collection[str], taken: Sequence[ListedImage]) -> list[str]:
        """Return notes on unread files named after a split that is not *read*.

        ItlError if one has labels, or divides the images *taken*, all train, as split.csv or test.txt may.
        """
        stems = {short_name(one.image) for one in taken} if read == {"train"} else set()
        for name in self._unread.keys() - self._made_up.keys():
            start = self._member(name).read_start(PEEKED_BYTES)
            if split_in_name(name) not in {None, *read} and has_label(start):
                raise ItlError(self._unread[name])
            if divides(start, name, stems):
                raise ItlError(
                    f"{name} divides images, but their labels are in another list, which would all be train; "
                    f"write a column split beside the labels, or a list with labels for each split"
                )
        unread = [name for name in self._unread if split_in_name(name) not in {None, *read}]
        return [f"not read: {self._unread[name]}" for name in dict.fromkeys([*self._made_up, *unread])]

    def _leave_out_unlabelled(self, lists: dict[tuple[str, str], list[ListedImage]], scan: Scan) -> None:
        """Leave out lists whose label is always -1, as that of an unlabelled test; a note on other -1."""
        for (split, file), images in list(lists.items()):
            count = sum(one.label == NO_LABEL for one in images)
            if count == len(images):
                scan.left_out[f"images of {split} that {file} does not label (-1)"] += count
                del lists[split, file]
            elif count:
                scan.notes.append(f"{file} has {counted(count, 'images')} of the class -1, taken as it is")

    def _read(self, file: str) -> list[ListedImage]:
        """Return the images of the list *file*, which name them from the root where that is possible."""
        data = self._member(file).read()
        self._refuse_without_header(data, file)
        images = read_list_file(data, file, self.image, self.label)
        if not images:
            raise ItlError(
                f"{file} lists no images: it is empty, or only a header; write it again, or leave it out"
            )
        if bare := [one for one in images if not one.label]:
            raise ItlError(
                f"{file}, line {bare[0].line}: {bare[0].image[:60]!r} has no label; write `IMAGE LABEL`"
            )
        folder = file.rpartition("/")[0]
        return [self._rooted(one, folder) for one in images]

    def _divided_by_folder(self, images: list[ListedImage], file: str, scan: Scan) -> list[ListedImage]:
        """Give each of *images* the split whose folder holds it, where *file* says none.

        Raises:
            ItlError: If some lie in folders of splits, others not; or in folders named like several.
        """
        names = [self._found(one.image) for one in images]
        splits = [split_of_folder(name) if name else "" for name in names]
        cure = f"write a column split, or set the option train={file} to take all as train"
        if not any(splits):
            outer = sorted({name.rpartition("/")[0] for name in names} - {""})
            folders = {split_in_name(folder): folder for folder in outer}
            if len(folders) > 1 and None not in folders:
                raise ItlError(
                    f"{file} names no split, and its images lie in folders that are named like splits, as "
                    f"{' and '.join(sorted(folders.values()))}; {cure}"
                )
            return images
        if None in splits:
            inside = next(one.image for one, split in zip(images, splits, strict=True) if split)
            raise ItlError(
                f"{file} names no split, and {counted(splits.count(None), 'images lie')} outside folders of "
                f"splits, others inside, such as {inside}; {cure}"
            )
        if set(splits) - {"", "train"}:
            scan.notes.append(f"{file} says no split; each image is in that of its folder")
        return [one._replace(split=split or "train") for one, split in zip(images, splits, strict=True)]

    def find(self, name: str, split: str) -> str:
        """Return the image that a list of *split* calls *name*, unless it may be another split's."""
        image = self.finder.find(name, split)
        if not self._options:  # which say what is meant
            self.finder.refuse_other_split(image, name, split)
        return image

    def _found(self, name: str) -> str:
        """Return the image that a list of no split calls *name*; '' for one that is not there."""
        try:
            return self.find(name, "train" if "train" in self.finder.splits else "")
        except ItlError:  # which names its line where the list is read
            return ""

    def _check_splits(self, images: Sequence[ListedImage], file: str, named_for: Sequence[str]) -> None:
        """Raise ItlError where the options name *file* for a split that its column does not have."""
        in_column = {one.split for one in images}
        for split in named_for:
            if split in self._options and split not in in_column:
                present = [name for name in SPLIT_ORDER if name in in_column]
                raise ItlError(
                    f"the option {split} names {file}, but its column of splits has no {split}, only "
                    f"{' and '.join(present)}; name it with the option {present[0]}={file}, or correct the "
                    f"column"
                )

    @property
    def _options(self) -> dict[str, str]:
        """The list that the options name for each split."""
        lists = {"train": self.train, "val": self.val, "test": self.test}
        return {split: name for split, name in lists.items() if name}

    def _is_taken(self, one: ListedImage, file: str, file_of: Mapping[str, str]) -> bool:
        """Say whether a row of *file* is read.

        The column of splits decides alone, unless the options name another list for its split, or *file* for
        several splits: then for these alone.
        """
        if not one.split or not self._options:
            return True
        only_once = list(file_of.values()).count(file) == 1
        return file_of.get(one.split, file if only_once else "") == file

    def _rooted(self, one: ListedImage, folder: str) -> ListedImage:
        """Name an image from the root where a list names it from its own folder."""
        name = f"{folder}/{one.image.replace(chr(92), '/').removeprefix('./')}" if folder else one.image
        return one._replace(image=name) if name in self.listing.files else one

    def _member(self, file: str) -> Member:
        return self.listing.files.get(file) or Member(file)

    def _list_of_split(self) -> dict[str, str]:
        """Return the list of each split: as the options say, or by the files' names."""
        if self._options:
            return {split: self._option_file(name, split) for split, name in self._options.items()}
        by_split: dict[str, list[str]] = defaultdict(list)
        for name in self._candidates:
            if name not in self._unread:
                by_split[split_in_name(name) or "train"].append(name)
        for split, files in by_split.items():
            if len(files) > 1:
                best = min(files, key=lambda file: not split_in_name(file))
                raise ItlError(
                    f"{self.path} has {counted(len(files), 'lists')} for {split}, {examples(files)}; "
                    f"choose one with the option {split}={best}"
                )
        if not by_split:
            reasons = f" ({examples(self._unread.values())})" if self._unread else ""
            raise ItlError(
                f"{self.path} has no list of images with labels, such as train.txt with lines `IMAGE LABEL`"
                f"{reasons}; correct it, or name the lists with the options train=FILE and test=FILE"
            )
        return {split: by_split[split][0] for split in SPLIT_ORDER if split in by_split}

    @cached_property
    def _candidates(self) -> list[str]:
        """Files that may be lists, by their suffix."""
        return sorted(name for name in self.listing.files if name.lower().endswith(LIST_SUFFIXES))

    @cached_property
    def _unread(self) -> dict[str, str]:
        """Why some of the candidates are not lists."""
        reasons = {name: self._why_no_list(name) for name in self._candidates}
        return {name: reason for name, reason in reasons.items() if reason} | self._made_up

    @cached_property
    def _made_up(self) -> dict[str, str]:
        """Likewise of candidates whose labels are no truth, though they may look like lists."""
        return {
            name: f"{name}, by its name a submission or predictions, whose labels are no truth; it is read "
            f"if options name all lists, {split_in_name(name) or 'test'}={name} among them"
            for name in self._candidates
            if is_made_up(name, self._candidates) and (split_in_name(name) or not self._why_no_list(name))
        }

    def _option_file(self, name: str, split: str) -> str:
        if name in self.listing.files:
            return name
        for file in (Path(name), self.path.parent / name):
            if file.is_file():
                return str(file)
        raise ItlError(
            f"there is no list {name!r}, which the option {split} names, in {self.path} or beside it; its "
            f"lists are {examples(self._candidates) or 'none'}"
        )

    def _why_no_list(self, name: str) -> str:
        """Say why the first lines of a file do not name images of this source and labels; '' if they do."""
        start = self.listing.files[name].read_start(PEEKED_BYTES)
        lines = start.splitlines()[:-1] if len(start) == PEEKED_BYTES else start.splitlines()
        data = b"\n".join(lines[:MAX_PEEKED_ROWS])
        try:
            text_of(data, name)
        except ItlError as error:
            return "" if split_in_name(name) else str(error)  # read, and refused: its split would be missing
        try:
            self._refuse_without_header(data, name)
            rows = read_list_file(data, name, self.image, self.label)
        except ItlError as error:
            is_metadata = name.rpartition("/")[2].startswith("metadata.")  # read, and refused, for its name
            return "" if is_metadata else str(error)
        if not rows:  # likewise
            return "" if split_in_name(name) else f"{name} lists nothing"
        is_table = not name.lower().endswith(".txt")
        may_have_ids = is_table or split_in_name(name)  # not classes.txt, with lines `1 cat`
        if not is_image(rows[0].image) and not (may_have_ids and self.finder.has_id(rows[0].image)):
            suffix = "with its suffix or without" if is_table else "with its suffix"
            return f"{name}, line {rows[0].line}: {rows[0].image[:60]!r} is no name of an image, {suffix}"
        return "" if rows[0].label else f"{name}, line {rows[0].line}: no label"

    def _refuse_without_header(self, data: bytes, file: str) -> None:
        """Raise ItlError for a table of ids whose first line is one of them, as it would be the header."""
        if not file.lower().endswith((".csv", ".tsv")):
            return
        first = re.split("[,;\t]", text_of(data.lstrip().partition(b"\n")[0], file))[0].strip(' "')
        if first.lower() not in (*IMAGE_COLUMNS, *ID_COLUMNS, *LABEL_COLUMNS) and self.finder.has_id(first):
            raise ItlError(
                f"{file} has no header: its first line names the image {first[:60]!r}; write one above it, "
                f"such as id,label"
            )

    def _class_of_label(self, images: Sequence[ListedImage], scan: Scan) -> Callable[[str], str]:
        """Return what turns the labels of *images* into names of classes; notes say what was taken."""
        labels = {one.label for one in images}
        if not all(map(is_number, labels)):
            if self.names:
                text = next(label for label in sorted(labels) if not is_number(label))
                raise ItlError(f"the option names is for labels that are numbers, but one is {text[:40]!r}")
            return str
        default = next((name for name in CLASS_NAME_FILES if name in self.listing.files), "")
        if file := str(self.names or default):
            names = read_names(data := self._member(file).read(), file)
            scan.notes += [f"classes are numbers, named by {file}", *describe_zero(data, file, labels)]
            return partial(name_of, names=names, file=file)
        names = names_of_numbers((one.label, class_folder(one.image)) for one in images)
        if names.keys() == labels and labels:
            scan.notes.append("classes are numbers; each has a folder of its own, whose name is taken")
            return names.__getitem__
        scan.notes.append("classes are numbers without names; the option names=FILE gives them")
        scan.notes += describe_exceptions([(one.label, class_folder(one.image)) for one in images])
        return str
