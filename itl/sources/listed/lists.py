"""Images that text files, CSV or JSON lines divide and label."""

import shlex
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path

from itl import ItlError, counted, examples, grouped
from itl.sources.files.archives import Member
from itl.sources.files.option_files import find_file, folder_around
from itl.sources.listed import dividing_lists, folder_labels
from itl.sources.listed.container_files import foreign_images
from itl.sources.listed.image_lists import (
    LIST_SUFFIXES,
    PEEKED_TREE_BYTES,
    CodesOfSplitsError,
    ListedImage,
    first_line,
    first_rows,
    is_list_of_labels,
    is_made_up,
    names_images,
    read_list_file,
    read_start_of_list,
    text_of,
    write_whole_numbers,
)
from itl.sources.listed.labels import NO_LABEL, describe_labels, refuse_running_numbers
from itl.sources.listed.list_columns import describe_unread, refuse_without_header
from itl.sources.listed.listed_source import Entries, ListedSource
from itl.sources.listed.numbered_classes import (
    CLASS_NAME_FILES,
    describe_exceptions,
    describe_zero,
    is_number,
    name_of,
    names_of_numbers,
    read_names,
)
from itl.sources.listed.signs import surely_other_source
from itl.sources.listed.split_columns import FewRowsError, UnclearListError
from itl.sources.records import is_image, stem_of
from itl.sources.scan import Scan
from itl.sources.split_names import (
    SPLIT_ORDER,
    class_folder,
    is_split_list,
    may_have_codes,
    one_for_each_split,
    split_of_folders,
    split_of_path,
)

WITHOUT_LABEL = ": no label"  # the end of why a file is no list


@dataclass(frozen=True)
class Lists(ListedSource):
    """Images that text files, CSV or JSON lines divide and label, a file for each split."""

    train: str | None = None  # name of the list; None finds it by its name
    val: str | None = None
    test: str | None = None
    image: str | None = None  # column of the image
    label: str | None = None  # column of the label
    names: Path | None = None  # file with the names of numbered classes
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
                raise ItlError(f"{error}; {other}") from error
            raise
        self.hold_out(scan, self.group, (self.image, self.label))
        return scan

    def reads(self, name: str) -> bool:
        """Say whether the file *name* is a list, perhaps by an option, or with folders as labels."""
        reason = self._unread.get(name, "") if name in self._candidates else "no list by its suffix"
        is_list = not reason or "; choose one with the option" in reason
        with suppress(ItlError):  # where folders of one name are perhaps one class
            is_list = is_list or name in self._labelled_by_folders()
        return is_list

    def entries(self, scan: Scan) -> Iterator[tuple[str, str, Entries]]:
        """Yield the images of each list, with the names of their classes."""
        file_of = self._list_of_split()
        lists: dict[tuple[str, str], list[ListedImage]] = defaultdict(list)  # by split and file
        others: dict[str, list[str]] = defaultdict(list)  # reason -> images that are left out
        content = {file: self._read(file, scan) for file in dict.fromkeys(file_of.values())}
        for file, images in self._label_bare(content, scan).items():
            named_for = [split for split in file_of if file_of[split] == file]
            has_column = any(entry.split for entry in images)
            if not (has_column or split_of_path(file) or self._options):
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
        scan.notes += self._describe_unnamed(read) if self._options else self._describe_unread(read, taken)
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

    def _describe_unread(self, read: Collection[str], taken: Sequence[ListedImage]) -> list[str]:
        """Return notes on unread files named after a split that is not *read*, or with labels of one that is.

        ItlError if one is a list of labels in which something is wrong, or has codes of splits, or divides
        the images *taken*, all train, as split.csv or test.txt may.
        """
        all_train = [entry.image for entry in taken] if read == {"train"} else []
        stems = cache(lambda split: dividing_lists.stems_outside(split, all_train, self.listing.files))
        files = list(self._list_of_split().values())
        others = [name for name in self._unread if name not in {*files, *self._made_up}]
        unread: list[str] = []
        for name in others:
            start, split = dividing_lists.read_divider(self._member(name), name), split_of_path(name)
            is_list = split and is_list_of_labels(self._member(name).read(), name, self.image, self.label)
            unread += [name] if is_list or split not in {None, *read} else []
            if is_list and split not in read:
                options = " and ".join(f"{part}={file}" for part, file in self._list_of_split().items())
                raise ItlError(f"{self._unread[name]}; to leave it out, set as options {options}")
            if all_train and dividing_lists.divides(start, name, stems(split)):
                raise dividing_lists.divided_by(name, files[0])
            if codes := self._why_codes(name):
                raise ItlError(codes)
        if all_train and (name := dividing_lists.tree_that_divides(self.listing.files, stems)):
            raise dividing_lists.divided_by(name, files[0])
        reasons = [self._unread[name] for name in dict.fromkeys([*self._made_up, *unread])]
        return [f"not read: {reason}" for reason in [*reasons, *self._describe_json()]]

    def _describe_unnamed(self, read: Collection[str]) -> list[str]:
        """Return notes on lists of splits that are not *read*, as no option names them."""
        unnamed: dict[str, list[str]] = defaultdict(list)
        for name in self._candidates:
            split = split_of_path(name)
            if split and split not in {*read, *self._options} and not self._why_no_list(name):
                unnamed[split].append(name)
        return [
            f"not read: {examples(names)}, named as a list of {split}; the option {split}={names[0]} reads it"
            for split, names in unnamed.items()
        ]

    def _leave_out_unlabelled(self, lists: dict[tuple[str, str], list[ListedImage]], scan: Scan) -> None:
        """Leave out lists whose label is always -1, as that of an unlabelled test; a note on other -1."""
        for (split, file), images in list(lists.items()):
            count = sum(entry.label == NO_LABEL for entry in images)
            if count == len(images):
                scan.left_out[f"images of {split} that {file} does not label (-1)"] += count
                del lists[split, file]
            elif count:
                scan.notes.append(f"{file} has {counted(count, 'images')} of the class -1, taken as it is")

    def _read(self, file: str, scan: Scan) -> list[ListedImage]:
        """Return the images of the list *file*, which name them from the root where that is possible."""
        data = self._member(file).read()
        header = first_line(text_of(data, file))
        refuse_without_header(header, file, self.finder.has_stem)
        unread: list[str] = []
        images = read_list_file(data, file, self.image, self.label, bool(self._options), unread)
        scan.notes += describe_unread([name for name in unread if name != self.group], file)
        if not images:
            raise ItlError(
                f"{file} lists no images: it is empty, or only a header; write it again, or leave it out"
            )
        folder = file.rpartition("/")[0]
        images = [self._rooted(entry, folder) for entry in images]
        if 0 < len(bare := [entry for entry in images if not entry.label]) < len(images):
            raise folder_labels.without_label(bare[0], file)
        return images

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

    def _with_paths(self, images: Sequence[ListedImage], file: str) -> list[tuple[ListedImage, str]]:
        """Return each of the *images* of a list with its path; '' for one that is not there."""
        chosen = [split for split, name in self._options.items() if self._option_file(name, split) == file]
        split = chosen[0] if chosen else split_of_path(file) or ""
        return [(entry, self._found(entry.image, entry.split or split)) for entry in images]

    def _labelled_by_folders(self) -> list[str]:
        """Return lists of splits without labels, where the folders of their images are classes.

        These are named after a split, or tables with a column of splits.
        """
        lists, labelled = {}, []
        for name in sorted(self._unread.keys() - self._made_up.keys()):
            is_bare = self._unread[name].endswith(WITHOUT_LABEL)
            if is_bare or not name.lower().endswith(".txt"):
                with suppress(ItlError):  # which says why it is no list
                    images = self._read(name, Scan(self.kind, self.path))
                    if any(entry.split for entry in images) and images[0].label:
                        labelled.append(name)
                    elif (is_bare and split_of_path(name)) or any(entry.split for entry in images):
                        lists[name] = self._with_paths(images, name)
        return sorted([*labelled, *folder_labels.label_by_folders(lists)])

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

    def find(self, name: str, split: str) -> str:
        """Return the image that a list of *split* calls *name*, unless it may be another split's."""
        image = self.finder.find(name, split)
        if not self._options:  # which say what is meant
            self.finder.refuse_other_split(image, name, split)
        return image

    def _found(self, name: str, split: str = "") -> str:
        """Return the image that a list of *split*, or of none, calls *name*; '' if it is not there."""
        try:
            return self.find(name, split) if split else self.finder.find(name, "train")
        except ItlError:  # which names its line where the list is read
            return ""

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

    @property
    def _options(self) -> dict[str, str]:
        """The list that the options name for each split."""
        lists = {"train": self.train, "val": self.val, "test": self.test}
        return {split: name for split, name in lists.items() if name}

    def _is_taken(self, entry: ListedImage, file: str, file_of: Mapping[str, str]) -> bool:
        """Say whether a row of *file* is read.

        The column of splits decides alone, unless the options name another list for its split, or *file* for
        several splits: then for these alone.
        """
        if not entry.split or not self._options:
            return True
        only_once = list(file_of.values()).count(file) == 1
        return file_of.get(entry.split, file if only_once else "") == file

    def _rooted(self, entry: ListedImage, folder: str) -> ListedImage:
        """Name an image from the root where a list names it from its own folder."""
        name = f"{folder}/{entry.image.replace(chr(92), '/').removeprefix('./')}" if folder else entry.image
        return entry._replace(image=name) if name in self.listing.files else entry

    def _member(self, file: str) -> Member:
        return self.listing.files.get(file) or Member(file)

    def _list_of_split(self) -> dict[str, str]:
        """Return the list of each split: as the options say, or by the files' names."""
        if self._options:
            return {split: self._option_file(name, split) for split, name in self._options.items()}
        labelled = [name for name in self._candidates if name not in self._unread]
        names = labelled or self._labelled_by_folders()
        by_split = grouped((split_of_path(name) or "train", name) for name in names)
        for split, files in by_split.items():
            if len(files) > 1:
                if len(by_split) == 1 and self._are_of_classes(files):
                    raise ItlError(
                        f"{self.path} has a list of the images of each class in their own folder, such as "
                        f"{files[0]}; the source folder reads these: "
                        f"`itl check folder {shlex.quote(str(self.path))}`"
                    )
                options = self._options_of(one_for_each_split(by_split, split))
                raise ItlError(
                    f"{self.path} has {counted(len(files), 'lists')} for {split}, {examples(files)}; choose "
                    f"one with {' '.join(f'--option {shlex.quote(option)}' for option in options)}"
                )
        if not by_split:
            others = [*self._describe_json(), *self._unread.values()]
            reasons = f" ({examples(others)})" if others else ""
            cure = foreign_images(self.listing.files)
            cure = cure or "correct it, or name the lists with the options train=FILE and test=FILE"
            raise ItlError(
                f"{self.path} has no list of images with labels, such as train.txt with lines `IMAGE LABEL`"
                f"{reasons}; {cure}"
            )
        return {split: by_split[split][0] for split in SPLIT_ORDER if split in by_split}

    def _are_of_classes(self, files: Sequence[str]) -> bool:
        """Say whether lists name only images of one label and of their own folder, as GTSRB's do."""
        labels: list[str] = []
        for file in files:
            with suppress(ItlError):  # which says itself what is wrong with the list
                images = self._read(file, Scan(self.kind, self.path))
                folders = {self._found(entry.image).rpartition("/")[0] for entry in images}
                if folders == {file.rpartition("/")[0]} != {""}:
                    labels += {entry.label for entry in images}
        return len(labels) == len(set(labels)) == len(files)

    def _describe_json(self) -> list[str]:
        """Say of JSON files that name images that they are no lists."""
        stems = {stem_of(name) for name in self.listing.files if is_image(name)}
        return [
            f"{name} is JSON; write JSON lines (.jsonl) instead, each an object with an image and its label"
            for name, member in sorted(self.listing.files.items())
            if name.lower().endswith(".json") and names_images(member.read_start(PEEKED_TREE_BYTES), stems)
        ]

    def _options_of(self, file_of: Mapping[str, str]) -> Iterator[str]:
        """Yield options that name lists, without those that have images of another, as PACS' test has."""
        images = set[str]()
        for split, file in file_of.items():
            with suppress(ItlError):  # which says itself what is wrong with the list
                listed = {entry.image for entry in self._read(file, Scan(self.kind, self.path))}
                if images & listed:
                    continue
                images |= listed
            yield f"{split}={file}"

    @cached_property
    def _candidates(self) -> list[str]:
        """Files that may be lists, by their suffix, but for names of classes and texts on one image each."""
        names = sorted(name for name in self.listing.files if name.lower().endswith(LIST_SUFFIXES))
        other = self.names.name if self.names else ""
        stems = {stem_of(name) for name in self.listing.files if is_image(name)}
        captions = {
            name for name in names if name.lower().endswith(".txt") and dividing_lists.is_caption(name, stems)
        }
        return [name for name in names if name.rpartition("/")[2] != other and name not in captions]

    @cached_property
    def _unread(self) -> dict[str, str]:
        """Why some of the candidates are not lists."""
        reasons = {name: self._why_no_list(name) for name in self._candidates}
        return {name: reason for name, reason in reasons.items() if reason} | self._made_up

    @cached_property
    def _made_up(self) -> dict[str, str]:
        """Why candidates that may look like lists are not read: their labels are not ground truth."""
        return {
            name: f"{name}, by its name a submission or predictions, not ground truth; to read it, name "
            f"every list by an option, such as {split_of_path(name) or 'test'}={name}"
            for name in self._candidates
            if is_made_up(name, self._candidates) and (split_of_path(name) or not self._why_no_list(name))
        }

    def _option_file(self, name: str, split: str) -> str:
        if name in self.listing.files:
            return name
        if file := find_file(name, Path(), folder_around(self.path)):
            return str(file)
        raise ItlError(
            f"there is no list {name!r}, which the option {split} names, in {self.path} or beside it; its "
            f"lists are {examples(self._candidates) or 'none'}"
        )

    def _why_no_list(self, name: str) -> str:
        """Say why the first rows of a file do not name images of this source and labels; '' if they do."""
        data = first_rows(read_start_of_list(self.listing.files[name]), name)
        try:
            text_of(data, name)
        except ItlError as error:
            return "" if split_of_path(name) else str(error)  # read, and refused: its split would be missing
        try:
            refuse_without_header(first_line(text_of(data, name)), name, self.finder.has_stem)
            try:
                rows = read_list_file(data, name, self.image, self.label)
            except FewRowsError:
                rows = read_list_file(self.listing.files[name].read(), name, self.image, self.label)
        except CodesOfSplitsError:  # of which the first lines may not tell all
            return self._why_codes(name)
        except ItlError as error:
            is_metadata = name.rpartition("/")[2].startswith("metadata.")
            may_be_list = not split_of_path(name) or is_split_list(name)  # not train_scores.txt
            is_list = is_metadata or (isinstance(error, UnclearListError) and may_be_list)
            return "" if is_list else str(error)  # read, and refused
        if not rows:  # of a split, it is read and refused
            return "" if split_of_path(name) else f"{name} lists nothing"
        is_table = not name.lower().endswith(".txt")
        may_have_ids = is_table or split_of_path(name)  # not classes.txt, with lines `1 cat`
        first = rows[0].image  # which may be missing, but not in classes.csv, with rows `1,cat`, nor in prose
        may_be_missing = split_of_path(name) or (is_table and not is_number(first))
        names = [entry.image for entry in (rows if may_be_missing else rows[:1])]
        if not any(is_image(image) or (may_have_ids and self.finder.has_stem(image)) for image in names):
            suffix = "with its suffix or without" if is_table else "with its suffix"
            if first in self.listing.files:
                suffix = "which ends as .jpg does; give each file of an image such a suffix"
            return f"{name}, line {rows[0].line}: {first[:60]!r} is no name of an image, {suffix}"
        has_labels = any(entry.label for entry in rows)
        return self._why_codes(name) if has_labels else f"{name}, line {rows[0].line}{WITHOUT_LABEL}"

    def _why_codes(self, name: str) -> str:
        """Say that the labels of a list are codes of splits, which few lines do not tell; '' if not."""
        fault = self._fault_of(name) if may_have_codes(name) else None
        return str(fault) if isinstance(fault, CodesOfSplitsError) else ""

    def _fault_of(self, name: str) -> ItlError | None:
        """Return what is wrong with the whole of a list; None if it can be read."""
        try:
            read_list_file(self.listing.files[name].read(), name, self.image, self.label)
        except ItlError as error:
            return error
        return None

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
            return partial(name_of, names=names, file=file)
        names = names_of_numbers((entry.label, class_folder(entry.image)) for entry in images)
        if names.keys() == labels and labels:
            scan.notes.append("classes are numbers; each has a folder of its own, whose name is taken")
            return names.__getitem__
        scan.notes.append("classes are numbers without names; the option names=FILE gives them")
        scan.notes += describe_exceptions([(entry.label, class_folder(entry.image)) for entry in images])
        return str
