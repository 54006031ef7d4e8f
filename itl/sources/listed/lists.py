"""Images that text files, CSV or JSON lines divide and label."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain

from itl.errors import ItlError
from itl.sources.listed import dividing_lists, folder_labels
from itl.sources.listed.chosen_lists import ChosenLists
from itl.sources.listed.image_lists import is_list_of_labels, write_whole_numbers
from itl.sources.listed.labels import NO_LABEL, describe_labels, refuse_running_numbers
from itl.sources.listed.list_columns import AmbiguousError, describe_unread
from itl.sources.listed.list_files import CodesOfSplitsError, ListedImage
from itl.sources.listed.numbered_classes import (
    CLASS_NAME_FILES,
    describe_exceptions,
    describe_order,
    describe_zero,
    is_number,
    name_of,
    names_of_numbers,
    read_names,
)
from itl.sources.listed.signs import surely_other_source
from itl.sources.scan import Scan
from itl.sources.split_names import (
    SPLIT_ORDER,
    describe_joined_split,
    innermost_folder,
    joined_splits,
    split_of_folders,
    split_of_path,
    splits_in_names,
)
from itl.words import counted, examples


@dataclass(frozen=True)
class Lists(ChosenLists):
    """Images that text files, CSV or JSON lines divide and label, a file for each split."""

    val_fraction: float = 0.0  # of the training images of each class, used as val
    group: str | None = None  # column by which val_fraction holds images out together, as of a patient
    kind = "lists"
    expected = (
        "a folder, .tar or .zip with images and a list for each split: train.txt with lines `IMAGE LABEL`, "
        "train.csv, train.jsonl, or metadata.csv or metadata.jsonl in a folder of each split"
    )
    labelled_by = "the lists"
    labels_are_folders = False
    how_to_add_splits = (
        "a column split of train, val or test in the list divides it, or a second list, such as test.csv"
    )

    @property
    def layout(self) -> str:
        """The lists, by their names."""
        return f"images in lists ({', '.join(dict.fromkeys(self._list_of_split().values()))})"

    @cached_property
    def scan(self) -> Scan:
        """Records and problems; ItlError names the source of the data set, where that is known."""
        try:
            scan = super().scan
        except ItlError as error:
            if other := surely_other_source(self.listing.files, self.path):
                raise type(error)(f"{error}; {other}") from error
            raise
        self.hold_out(scan, self.group, (self.image, self.label))
        return scan

    def reads(self, name: str) -> bool:
        """Say whether the file *name* is one of lists that are read, of train too, perhaps by an option."""
        try:
            has_train = any(record.split == "train" for record in self.scan.records)
        except AmbiguousError:
            return True
        except ItlError:
            return False
        return has_train and name in self._list_of_split().values()

    def entries(self, scan: Scan) -> Iterator[tuple[str, str, list[ListedImage]]]:
        """Yield the images of each list, with the names of their classes."""
        file_of = self._list_of_split()
        lists: dict[tuple[str, str], list[ListedImage]] = defaultdict(list)  # by split and file
        others: dict[str, list[str]] = defaultdict(list)  # reason -> images that are left out
        content, joined = {}, joined_splits(file_of.values())
        for name in dict.fromkeys(file_of.values()):
            listed = self._read(name)
            content[name] = listed.images
            scan.notes += describe_unread([column for column in listed.unread if column != self.group], name)
        for file, images in self._label_bare(content, scan).items():
            named_for = [split for split in file_of if file_of[split] == file]
            has_column = any(entry.split for entry in images)
            if not (has_column or split_of_path(file) or file in joined or self._options):
                images = self._divided_by_folder(images, file, scan)
            elif has_column:
                scan.notes.append(f"{file} says the split of each image in a column")
                self._check_splits(images, file, named_for)
            for entry in images:
                if self._is_taken(entry, file, file_of):
                    for split in [entry.split] if entry.split else named_for:
                        lists[split, file].append(entry)
                else:
                    reason = f"{entry.split} images of {file}, which no option names for {entry.split}"
                    others[reason].append(entry.image)
        self._refuse_running_numbers(lists)
        write_whole_numbers(lists)
        self._leave_out_unlabelled(lists, scan)
        taken = [entry for images in lists.values() for entry in images]
        for reason, names in others.items():
            scan.left_out[reason] += len(set(names) - {entry.image for entry in taken})
        read = {split for split, _ in lists}
        train = [entry for (split, _), images in lists.items() if split == "train" for entry in images]
        describe = self._describe_unnamed if self._options else self._describe_unread
        scan.notes += describe(read, train)
        labelled = [entry for entry in taken if entry.label]  # but not what is not there, by folders
        scan.notes += describe_labels({entry.label for entry in labelled})
        class_of = self._class_of_label(labelled, scan)
        for (split, file), images in lists.items():
            images = [entry._replace(label=entry.label and class_of(entry.label)) for entry in images]
            yield split, file, images

    def _refuse_running_numbers(self, lists: Mapping[tuple[str, str], Sequence[ListedImage]]) -> None:
        """Raise ItlError if labels of a training list, of lines `IMAGE LABEL`, only count its lines."""
        for (split, file), images in lists.items():
            if split == "train" and file.lower().endswith(".txt"):
                names, labels = [entry.image for entry in images], [entry.label for entry in images]
                refuse_running_numbers(names, labels, file, is_chosen=bool(self._options))

    def _describe_unread(self, read: Collection[str], train: Sequence[ListedImage]) -> list[str]:
        """Return notes on unread files named after a split that is not *read*, or with labels or splits.

        ItlError if one is a list of labels in which something is wrong, or has codes of splits, or says of
        images taken as *train* that they are of another split, or divides them where no other split is read,
        as split.csv or test.txt may.
        """
        file_of = self._list_of_split()
        files = list(file_of.values())
        options = " and ".join(f"{split}={file}" for split, file in file_of.items())
        trained = {entry.image for entry in train}
        others = [name for name in self._unread if name not in {*files, *self._predictions}]
        unread: list[str] = []
        for name in others:
            split, has_splits = split_of_path(name), any(entry.split for entry in self._files[name].images)
            is_list = split and is_list_of_labels(self._files[name])
            unread += [name] if is_list or has_splits or split not in {None, *read} else []
            if is_list and split not in read:
                reason = self._unread[name]
                raise type(reason)(f"{reason}; to leave it out, set as options {options}")
        if read == {"train"} and (divider := self._divider(train, files)):
            raise dividing_lists.divided_by(divider, files[0])
        for file in map(self._files.__getitem__, others):
            for entry in file.images:
                if entry.split not in ("", "train") and entry.image in trained:
                    raise ItlError(
                        f"{file.name} says that {entry.image[:80]!r} is of {entry.split}, and it is read as "
                        f"train; correct one of these; to leave {file.name} out, set as options {options}"
                    )
        for name in others:
            if isinstance(fault := self._files[name].fault, CodesOfSplitsError):
                raise fault
        reasons = [self._unread[name] for name in dict.fromkeys([*self._predictions, *unread])]
        return [f"not read: {reason}" for reason in [*reasons, *self._describe_json()]]

    def _describe_unnamed(self, read: Collection[str], train: Sequence[ListedImage]) -> list[str]:
        """Return notes on lists that no option names, of splits not *read*, or that divide *train*."""
        unnamed: dict[str, list[str]] = defaultdict(list)
        for name in self._candidates:
            split = split_of_path(name)
            if split and split not in {*read, *self._options} and not self._why_no_list(self._files[name]):
                unnamed[split].append(name)
        notes = [
            f"not read: {examples(names)}, named as a list of {split}; the option {split}={names[0]} reads it"
            for split, names in unnamed.items()
        ]
        others = {*self._list_of_split().values(), *chain.from_iterable(unnamed.values())}
        if read == {"train"} and (divider := self._divider(train, others)):
            notes.append(f"not read: {divider}, which divides images that are all train by the options")
        return notes

    def _leave_out_unlabelled(self, lists: dict[tuple[str, str], list[ListedImage]], scan: Scan) -> None:
        """Leave out lists whose label is always -1, as that of an unlabelled test; a note on other -1."""
        for (split, file), images in list(lists.items()):
            count = sum(entry.label == NO_LABEL for entry in images)
            if count == len(images):
                scan.left_out[f"images of {split} that {file} does not label (-1)"] += count
                del lists[split, file]
            elif count:
                scan.notes.append(f"{file} has {counted(count, 'images')} of the class -1, taken as it is")

    def _label_bare(self, lists: dict[str, list[ListedImage]], scan: Scan) -> dict[str, list[ListedImage]]:
        """Return *lists*; in those without labels, folders are classes. ItlError if they are none."""
        bare = {file: self._with_paths(images, file) for file, images in lists.items() if not images[0].label}
        others = {entry.label for images in lists.values() for entry in images} - {""}
        labelled = folder_labels.label_by_folders(bare, others)
        for file, images in bare.items():
            if file not in labelled:
                raise folder_labels.without_label(folder_labels.first_outside(images) or images[0][0], file)
            scan.notes.append(folder_labels.describe_folders(images, file))
        return lists | labelled

    def _divided_by_folder(self, images: list[ListedImage], file: str, scan: Scan) -> list[ListedImage]:
        """Give each of *images* the split whose folder holds it, as *file* says none; ItlError if unclear."""
        names = [self._found(entry.image) for entry in images]
        cure = f"write a column split, or set the option train={file} to take all as train"
        for entry, name in zip(images, names, strict=True):
            alike = {name, *(self._found(entry.image, split) for split in self.finder.splits)} - {""}
            if name and len(alike) > 1:
                raise ItlError(
                    f"{file} names no split, and {entry.image[:80]!r} could be any of "
                    f"{examples(sorted(alike))}; {cure}"
                )
        splits = [split_of_folders(name) if name else "" for name in names]
        if not any(splits):
            outer = sorted({name.rpartition("/")[0] for name in names} - {""})
            folders = {split_of_path(folder): folder for folder in outer}
            if len(folders) > 1 and None not in folders:
                raise ItlError(
                    f"{file} names no split, and its images lie in folders that are named like splits, as "
                    f"{' and '.join(sorted(folders.values()))}; {cure}"
                )
            if len(named := splits_in_names(entry.image for entry in images)) > 1:
                raise ItlError(
                    f"{file} names no split, and all images have one in their names, as "
                    f"{' and '.join(sorted(named.values()))}; {cure}"
                )
            scan.notes += describe_joined_split(file)
            return images
        if None in splits:
            inside = next(entry.image for entry, split in zip(images, splits, strict=True) if split)
            raise ItlError(
                f"{file} names no split, and {counted(splits.count(None), 'images lie')} outside folders of "
                f"splits, others inside, such as {inside}; {cure}"
            )
        if set(splits) - {"", "train"}:
            scan.notes.append(f"{file} says no split; each image is in that of its folder")
        return [entry._replace(split=split or "train") for entry, split in zip(images, splits, strict=True)]

    def _check_splits(self, images: Sequence[ListedImage], file: str, named_for: Sequence[str]) -> None:
        """Raise ItlError where the options name *file* for a split that its column does not have."""
        in_column = {entry.split for entry in images}
        for split in named_for:
            if split in self._options and split not in in_column:
                present = [name for name in SPLIT_ORDER if name in in_column]
                raise ItlError(
                    f"the option {split} names {file}, but its column of splits has no {split}, only "
                    f"{' and '.join(present)}; name it with the option {present[0]}={file}, or correct the "
                    f"column"
                )

    def _is_taken(self, entry: ListedImage, file: str, file_of: Mapping[str, str]) -> bool:
        """Say whether a row of *file* is read.

        The column of splits decides alone, unless the options name another list for its split, or *file* for
        several splits: then for these alone.
        """
        if not entry.split or not self._options:
            return True
        only_once = list(file_of.values()).count(file) == 1
        return file_of.get(entry.split, file if only_once else "") == file

    def _class_of_label(self, images: Sequence[ListedImage], scan: Scan) -> Callable[[str], str]:
        """Return what turns the labels of *images* into names of classes; notes say what was taken."""
        labels = {entry.label for entry in images}
        if not all(map(is_number, labels)):
            if self.names:
                text = next(label for label in sorted(labels) if not is_number(label))
                raise ItlError(f"the option names is for labels that are numbers, but one is {text[:40]!r}")
            return str
        default = next((name for name in CLASS_NAME_FILES if name in self.listing.files), "")
        if file := str(self.names or default):
            names = read_names(data := self._member(file).read(), file)
            scan.notes += [f"classes are numbers, named by {file}", *describe_zero(data, file, labels)]
            scan.notes += describe_order(data, file)
            return partial(name_of, names=names, file=file)
        names = names_of_numbers((entry.label, innermost_folder(entry.image)) for entry in images)
        if names.keys() == labels and labels:
            scan.notes.append("classes are numbers; each has a folder of its own, whose name is taken")
            return names.__getitem__
        scan.notes.append("classes are numbers without names; the option names=FILE gives them")
        scan.notes += describe_exceptions([(entry.label, innermost_folder(entry.image)) for entry in images])
        return str
