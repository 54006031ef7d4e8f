"""Images that lists divide into splits and label: the parts shared by published and other data sets."""

from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import ClassVar

from itl.errors import ItlError
from itl.sources.files.archives import Member
from itl.sources.files.option_files import folder_around
from itl.sources.listed.groups import hold_out
from itl.sources.listed.image_finder import COPY_AGAIN, ImageFinder, NoSuchImageError
from itl.sources.listed.list_files import ListedImage, text_of
from itl.sources.listed.list_tables import rows_of
from itl.sources.records import Record, is_image, plain_label, validate_records
from itl.sources.scan import Scan
from itl.sources.source import ScannedSource
from itl.sources.split_names import SPLIT_OF_WORD
from itl.sources.unopened_archives import describe_unopened
from itl.storage import text_lines
from itl.words import counted, examples


@dataclass(frozen=True)
class ListedSource(ScannedSource):
    """A source whose lists say which images it has; a data set derives from it and overrides `entries`."""

    unlisted: ClassVar[str] = "images in no list"
    labels_are_folders: ClassVar[bool] = True  # a label that is the folder of other images is a mistake

    @abstractmethod
    def entries(self, scan: Scan) -> Iterator[tuple[str, str, Iterable[ListedImage]]]:
        """Yield for each list its split, its name and its images, whose labels are their classes."""

    @cached_property
    def scan(self) -> Scan:
        """Records and problems; reads the lists. ItlError if one is missing, or images are in archives."""
        scan = Scan(self.kind, self.path)
        has_images = any(map(is_image, self.listing.files))
        if not has_images and (unopened := describe_unopened(self.listing.files)):
            raise ItlError(f"{self.path} holds no images: {unopened}")
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
        if by_stem := len(self.finder.found_by_stem):
            scan.notes.append(f"{counted(by_stem, 'images are')} listed by ids: their names without suffix")
        scan.notes += self.finder.describe_elsewhere()
        if scan.problems and (text := describe_unopened(self.listing.files)):
            scan.notes.append(text)
        if repeated:
            scan.notes.append(f"the lists have {counted(repeated, 'images')} twice, counted once")
        scan.records = list(records.values())
        self._compare_folders(scan)
        scan.add_problems(two_classes, "images of two classes")
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
            missing, images, are_gone = {}, [], True
            for entry in entries:
                line = f"{name}, line {entry.line}" if entry.line else ""
                try:
                    image = self.find(entry.image, split)
                except ItlError as error:
                    missing[entry.image] = f"{line or name}: {error}"
                    are_gone &= isinstance(error, NoSuchImageError)
                    continue
                images.append(image)
                if self.val_fraction:
                    scan.lines.setdefault(image, (name, entry.line))
                wnid = plain_label(entry.label)
                record = Record(image, wnid, split, self.listing.files[image])
                yield record, f"{wnid} ({line})" if line else wnid
            scan.notes += self.finder.describe_other_split(images, split, name)
            if are_gone and not images and (unopened := describe_unopened(self.listing.files)):
                missing = {image: text.replace(COPY_AGAIN, unopened) for image, text in missing.items()}
            scan.add_problems(missing, f"missing images of {name}")
            scan.refused_splits |= {split} if missing else set()

    def hold_out(self, scan: Scan, group: str | None, others: Collection[str | None]) -> None:
        """Make a part of the training images of *scan* val, as the options val_fraction and *group* say.

        *others* are the options that name columns of images and labels.
        """
        if scan.problems:  # which come first, and without which there would be more images
            return
        tables = {}
        for file in {file for file, _ in scan.lines.values()} if group is not None else ():
            tables[file] = dict(rows_of((self.listing.files.get(file) or Member(file)).read(), file))
        rows = {image: tables.get(file, {}).get(line, {}) for image, (file, line) in scan.lines.items()}
        of_train = [rows.get(record.id, {}) for record in scan.records if record.split == "train"]
        scan.records, notes = hold_out(
            scan.records,
            self.val_fraction,
            group,
            [name for name in dict.fromkeys(chain.from_iterable(of_train)) if name not in others],
            lambda column: {image: row.get(column) for image, row in rows.items()},
        )
        scan.notes += notes

    def _compare_folders(self, scan: Scan) -> None:
        """Add problems, or a note, on images whose label is the folder of other images."""
        names = {record.wnid for record in scan.records} - {*SPLIT_OF_WORD}
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
        if self.labels_are_folders:
            scan.add_problems(others, "images of another class by their folders")
        elif others:
            count = counted(len(others), "images are")
            scan.notes.append(
                f"{count} of another class by the list than by the folder, such as {examples(others)}; the "
                f"list is taken"
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
        way = describe_unopened(self.listing.files) or f"{self.kind} takes {self.expected}"
        raise ItlError(f"{self.path} has no {name}; {way}")

    def optional_file(self, name: str) -> Member | None:
        """Return the file *name* in whatever folder, or beside the data set; ItlError if several differ."""
        names = [file for file in self.listing.files if file == name or file.endswith(f"/{name}")]
        if names:
            first, *others = sorted(names, key=lambda file: (file.count("/"), file))
            content = self.listing.files[first].read() if others else b""
            if differing := [file for file in others if self.listing.files[file].read() != content]:
                raise ItlError(
                    f"{self.path}: {first} and {differing[0]} differ; remove the one that is wrong"
                )
            return self.listing.files[first]
        beside = folder_around(self.path) / name
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
