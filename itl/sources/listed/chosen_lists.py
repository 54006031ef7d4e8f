"""Which files of a folder are lists of images, and which of them is the list of each split."""

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from itl.errors import ItlError
from itl.iteration import grouped
from itl.sources.files.archives import Member
from itl.sources.files.option_files import find_file, folder_around
from itl.sources.listed import dividing_lists, folder_labels
from itl.sources.listed.container_files import foreign_images
from itl.sources.listed.image_lists import (
    LIST_SUFFIXES,
    PEEKED_BYTES,
    is_prediction,
    names_images,
    parse_list,
)
from itl.sources.listed.list_columns import AmbiguousError, MissingColumnError, refuse_without_header
from itl.sources.listed.list_files import CodesOfSplitsError, ListedImage, ListFile, NoLabelError, NoTextError
from itl.sources.listed.listed_source import ListedSource
from itl.sources.listed.numbered_classes import is_number
from itl.sources.listed.split_columns import UnclearListError
from itl.sources.records import is_image
from itl.sources.split_names import (
    SPLIT_ORDER,
    is_split_list,
    joined_splits,
    one_for_each_split,
    split_of_path,
)
from itl.words import counted, examples

FIRST_LINES = 3  # of a file, which tell whether it is a list


@dataclass(frozen=True)
class ChosenLists(ListedSource):
    """The files of a source that may be lists, each read once, and which of them is that of each split."""

    train: str | None = None  # name of the list; None finds it by its name
    val: str | None = None
    test: str | None = None
    image: str | None = None  # column of the image
    label: str | None = None  # column of the label
    names: Path | None = None  # file with the names of numbered classes

    @property
    def _options(self) -> dict[str, str]:
        """The list that the options name for each split."""
        lists = {"train": self.train, "val": self.val, "test": self.test}
        return {split: name for split, name in lists.items() if name}

    def _list_of_split(self) -> dict[str, str]:
        """Return the list of each split: as the options say, or by the files' names."""
        if self._options:
            return {split: self._option_file(name, split) for split, name in self._options.items()}
        labelled = [name for name in self._candidates if name not in self._unread]
        names = labelled or self._labelled_by_folders()
        joined = joined_splits(names)
        by_split = grouped((split_of_path(name) or joined.get(name, "train"), name) for name in names)
        for split, files in by_split.items():
            if len(files) > 1:
                are_of_classes = self._are_of_classes(files)
                if len(by_split) == 1 and are_of_classes:
                    raise ItlError(
                        f"{self.path} has a list of the images of each class in their own folder, such as "
                        f"{files[0]}; the source folder reads these: "
                        f"`itl check folder {shlex.quote(str(self.path))}`"
                    )
                several = f"{self.path} has {counted(len(files), 'lists')} for {split}, {examples(files)}"
                if are_of_classes:
                    raise ItlError(f"{several}; {_joined_lists(by_split, split)}")
                raise self._choice_of_lists(by_split, split, several)
        if not by_split:
            others = [*self._describe_json(), *map(str, self._unread.values())]
            is_ambiguous = any(isinstance(reason, AmbiguousError) for reason in self._unread.values())
            reasons = f" ({examples(others)})" if others else ""
            cure = foreign_images(self.listing.files)
            cure = cure or "correct it, or name the lists with the options train=FILE and test=FILE"
            raise (AmbiguousError if is_ambiguous else ItlError)(
                f"{self.path} has no list of images with labels, such as train.txt with lines `IMAGE LABEL`"
                f"{reasons}; {cure}"
            )
        return {split: by_split[split][0] for split in SPLIT_ORDER if split in by_split}

    def _option_file(self, name: str, split: str) -> str:
        if name in self.listing.files:
            return name
        if file := find_file(name, Path(), folder_around(self.path)):
            return str(file)
        raise ItlError(
            f"there is no list {name!r}, which the option {split} names, in {self.path} or beside it; its "
            f"lists are {examples(self._candidates) or 'none'}"
        )

    def _are_of_classes(self, files: Sequence[str]) -> bool:
        """Say whether lists name only images of one label and of their own folder, as GTSRB's do."""
        labels: list[str] = []
        for file in files:
            with suppress(ItlError):  # which says itself what is wrong with the list
                images = self._read(file).images
                folders = {self._found(entry.image).rpartition("/")[0] for entry in images}
                if folders == {file.rpartition("/")[0]} != {""}:
                    labels += {entry.label for entry in images}
        return len(labels) == len(set(labels)) == len(files)

    def _choice_of_lists(self, by_split: Mapping[str, Sequence[str]], split: str, several: str) -> ItlError:
        """Return *several* as an error that says how to choose one, or what divides the images of one."""
        clear = {part: [*filter(self._can_read, files)] or files for part, files in by_split.items()}
        chosen = one_for_each_split(clear, split)
        images = self._files[chosen[split]].images
        all_train = {*chosen} == {"train"} and {entry.split for entry in images} <= {"", "train"}
        if all_train and (divider := self._divider(images, by_split[split])):
            return ItlError(f"{several}; {dividing_lists.divided_by(divider, chosen[split])}")
        options = " ".join(f"--option {shlex.quote(option)}" for option in self._options_of(chosen))
        return AmbiguousError(f"{several}; choose one with {options}")

    def _divider(self, images: Sequence[ListedImage], read: Collection[str]) -> str:
        """Return a file, none of the lists that are *read*, that divides *images*, all train; '' for none."""
        names = {*self._candidates}.difference(read, self._predictions)
        names |= {name for name in self.listing.files if name.lower().endswith(dividing_lists.TREE_SUFFIXES)}
        files = {name: self._member(name) for name in names}
        taken = [entry.image for entry in images]
        return dividing_lists.find_divider(files, taken, self.listing.files)

    def _can_read(self, name: str) -> bool:
        with suppress(ItlError):
            return bool(self._read(name))
        return False

    def _options_of(self, file_of: Mapping[str, str]) -> Iterator[str]:
        """Yield options that name lists, without those that have images of another, as PACS' test has."""
        images = set[str]()
        for split, file in file_of.items():
            listed = {entry.image for entry in self._files[file].images}
            if images.isdisjoint(listed):
                images |= listed
                yield f"{split}={file}"

    @cached_property
    def _candidates(self) -> list[str]:
        """Files that may be lists, by their suffix, but for names of classes and texts on one image each."""
        names = sorted(name for name in self.listing.files if name.lower().endswith(LIST_SUFFIXES))
        other = self.names.name if self.names else ""
        texts = [name for name in names if name.lower().endswith(".txt")]
        captions = {name for name in texts if dividing_lists.is_caption(name, self.finder.suffixes)}
        return [name for name in names if name.rpartition("/")[2] != other and name not in captions]

    @cached_property
    def _files(self) -> dict[str, ListFile]:
        """What each of the candidates says, read once."""
        return {name: self._parse(name) for name in self._candidates}

    def _parse(self, name: str) -> ListFile:
        """Return what a file says, with images named from the root where that is possible."""
        file = parse_list(self._member(name).read(), name, self.image, self.label, bool(self._options))
        try:
            if not isinstance(file.fault, NoTextError):
                refuse_without_header(file.header, name, self.finder.has_stem)
        except ItlError as error:  # of which the columns may be missing too
            kind = MissingColumnError if isinstance(file.fault, MissingColumnError) else ItlError
            return ListFile(name, file.header, fault=kind(str(error)))
        if folder := name.rpartition("/")[0]:
            for number, entry in enumerate(file.images):
                image = f"{folder}/{entry.image.replace(chr(92), '/').removeprefix('./')}"
                if image in self.listing.files:
                    file.images[number] = entry._replace(image=image)
        return file

    def _member(self, file: str) -> Member:
        return self.listing.files.get(file) or Member(file)

    def _read(self, name: str) -> ListFile:
        """Return the list *name*; ItlError if it cannot be read, or lists no images, or labels some alone."""
        file = self._files[name] if name in self._candidates else self._parse(name)
        if file.fault:
            raise file.fault
        if not file.images:
            raise ItlError(
                f"{name} lists no images: it is empty, or only a header; write it again, or leave it out"
            )
        if 0 < len(bare := [entry for entry in file.images if not entry.label]) < len(file.images):
            raise folder_labels.without_label(bare[0], name)
        return file

    @cached_property
    def _unread(self) -> dict[str, ItlError]:
        """Why some of the candidates are not lists."""
        reasons = {name: self._why_no_list(file) for name, file in self._files.items()}
        return {name: reason for name, reason in reasons.items() if reason} | self._predictions

    @cached_property
    def _predictions(self) -> dict[str, ItlError]:
        """Why candidates that may look like lists are not read: their labels are not ground truth."""
        return {
            name: ItlError(
                f"{name}, by its name a submission or predictions, not ground truth; to read it, name "
                f"every list by an option, such as {split_of_path(name) or 'test'}={name}"
            )
            for name in self._candidates
            if is_prediction(name, self._candidates)
            and (split_of_path(name) or not self._why_no_list(self._files[name]))
        }

    def _why_no_list(self, file: ListFile) -> ItlError | None:
        """Return why the first lines of a file do not name images and labels; None if they do.

        A fault in these says that it is no list, unless it is unclear what more it has; a later one does not.
        """
        name, split = file.name, split_of_path(file.name)
        if split and not (file.fault or file.images):
            return None  # read, and refused: its split would be missing
        is_text = not isinstance(file.fault, NoTextError)
        if file.fault and is_text and file.line <= FIRST_LINES:
            may_be_list = not split or not file.line or is_split_list(name)  # not lines of train_scores.txt
            is_unclear = isinstance(file.fault, UnclearListError) and may_be_list
            is_list = is_unclear or name.rpartition("/")[2].startswith("metadata.")
            return None if is_list else file.fault
        first = [one for one in file.images[:FIRST_LINES] if one.line <= FIRST_LINES] or file.images[:1]
        if not first:
            return file.fault or ItlError(f"{name} lists nothing")
        if not self._are_images(first, name):
            return self._no_image(first[0], name) if is_text else file.fault
        if isinstance(file.fault, CodesOfSplitsError):
            return file.fault
        is_labelled = any(entry.label for entry in first)
        return None if is_labelled else NoLabelError(f"{name}, line {first[0].line}: no label")

    def _are_images(self, first: Sequence[ListedImage], name: str) -> bool:
        """Say whether the *first* entries of the file *name* are of images, though one may be missing."""
        split, is_table = split_of_path(name), not name.lower().endswith(".txt")
        may_have_ids = is_table or split  # not classes.txt, with lines `1 cat`
        # The first may be missing, but not in classes.csv, with rows `1,cat`, nor in prose.
        may_be_missing = split or (is_table and not is_number(first[0].image))
        names = [entry.image for entry in (first if may_be_missing else first[:1])]
        return any(is_image(image) or (may_have_ids and self.finder.has_stem(image)) for image in names)

    def _no_image(self, entry: ListedImage, name: str) -> ItlError:
        """Return the error that the *entry* of the file *name* is no image."""
        suffix = "with its suffix" if name.lower().endswith(".txt") else "with its suffix or without"
        if entry.image in self.listing.files:
            suffix = "which ends as .jpg does; give each file of an image such a suffix"
        return ItlError(f"{name}, line {entry.line}: {entry.image[:60]!r} is no name of an image, {suffix}")

    def _describe_json(self) -> list[str]:
        """Say of JSON files that name images that they are no lists."""
        stems = self.finder.suffixes
        return [
            f"{name} is JSON; write JSON lines (.jsonl) instead, each an object with an image and its label"
            for name, member in sorted(self.listing.files.items())
            if name.lower().endswith(".json") and names_images(member.read_start(PEEKED_BYTES), stems)
        ]

    def _labelled_by_folders(self) -> list[str]:
        """Return lists of splits without labels, where the folders of their images are classes.

        These are named after a split, or tables with a column of splits.
        """
        lists, labelled = {}, []
        for name in sorted(self._unread.keys() - self._predictions.keys()):
            is_bare = isinstance(self._unread[name], NoLabelError)
            if is_bare or not name.lower().endswith(".txt"):
                with suppress(ItlError):  # which says why it is no list
                    images = self._read(name).images
                    if any(entry.split for entry in images) and images[0].label:
                        labelled.append(name)
                    elif (is_bare and split_of_path(name)) or any(entry.split for entry in images):
                        lists[name] = self._with_paths(images, name)
        return sorted([*labelled, *folder_labels.label_by_folders(lists)])

    def _with_paths(self, images: Sequence[ListedImage], file: str) -> list[tuple[ListedImage, str]]:
        """Return each of the *images* of a list with its path; '' for one that is not there."""
        chosen = [split for split, name in self._options.items() if self._option_file(name, split) == file]
        split = chosen[0] if chosen else split_of_path(file) or ""
        return [(entry, self._found(entry.image, entry.split or split)) for entry in images]

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


def _joined_lists(by_split: Mapping[str, Sequence[str]], split: str) -> str:
    """Say how the lists of *split*, of one class each, are read: as one, beside those of other splits."""
    files = {part: names[0] for part, names in by_split.items()} | {split: "FILE"}
    parts = [f"{part}={files[part]}" for part in SPLIT_ORDER if part in files]
    options = " ".join(f"--option {shlex.quote(part)}" for part in parts)
    return f"each is of one class: join them to one FILE, with the folders of its images, and set {options}"
