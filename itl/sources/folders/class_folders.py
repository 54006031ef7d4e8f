"""Any folder, tar or zip with a folder for each class; its classes chosen, or merged, by a list in a file."""

import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from posixpath import basename
from typing import Literal

from itl.errors import ItlError
from itl.hierarchy.class_lists import read_class_list
from itl.hierarchy.taxonomy import Taxonomy
from itl.iteration import grouped
from itl.sources.files import archives
from itl.sources.files.archives import Listing, Member, foreign_format
from itl.sources.files.image_files import FORMATS_OF_SUFFIX, UNREAD_SUFFIXES
from itl.sources.folder_names import is_class_of_labels, is_image_folder, is_unlabelled
from itl.sources.folders.layout import Choice, Layout, Tree
from itl.sources.folders.layout_options import (
    FOLDERS_CURE,
    image_counts,
    offer_readings,
    options_for_layout,
    recognise,
)
from itl.sources.folders.no_class_folders import describe_no_classes
from itl.sources.held_out import describe_groups, refuse_group_alone, split_off_val
from itl.sources.listed import dividing_lists
from itl.sources.listed.image_lists import LIST_SUFFIXES
from itl.sources.listed.lists import Lists
from itl.sources.listed.numbered_classes import names_of_numbers
from itl.sources.listed.signs import other_source, surely_other_source
from itl.sources.records import Record, is_image, stem_of, suffix_of, validate_records
from itl.sources.scan import image_header
from itl.sources.source import Source
from itl.sources.split_names import (
    is_of_splits,
    is_split_list,
    may_be_split_list,
    may_have_codes,
    split_of_folders,
    split_of_path,
    splits_in_names,
)
from itl.sources.unopened_archives import describe_unopened, is_archive
from itl.storage import text_lines
from itl.words import counted, examples

ARRAYS = {".npy", ".npz"}  # no images to be read, but in their place
UNREAD_TABLES = ARRAYS | {
    *(".mat", ".pkl", ".pickle", ".pt", ".pth", ".h5", ".hdf5", ".xls", ".xlsx", ".xml", ".lst"),
    *(".parquet", ".feather", ".list"),
}
FOLDERS_ALONE = "; for the folders alone, "  # before the options that read these
NOT_CHOSEN = "images of classes that the list does not have"


@dataclass(frozen=True)
class ClassFolders(Source):
    """Any folder, tar or zip with a folder for each class, inside folders for the splits if there are any."""

    path: Path
    classes: Path | None = None  # a list of the classes to keep, or of what each counts as
    val_fraction: float = 0.0  # of the training images of each class, used as val
    group: str | None = None  # a regular expression: images with one match in their paths go together
    empty: Literal["refuse", "skip"] = "refuse"  # classes without images
    nested: bool = False  # a class is the whole path, such as church/outdoor
    class_level: int | None = None  # of the class folders below a split, or below the path; 1: the first
    splits: str | None = None  # none, or the folder of each split: train=a,train=b,val=c
    kind = "folder"
    expected = "a folder, .tar or .zip with train/<class>/, val/<class>/ and test/<class>/, or <class>/ alone"

    @cached_property
    def listing(self) -> Listing:
        """Files and folders, relative to the path."""
        return archives.open_listing(self.path)

    @cached_property
    def folders(self) -> Layout:
        """What the folders stand for; ItlError if that is unclear, or another source reads them."""
        counts = image_counts(self.listing)
        if not counts:
            raise ItlError(no_images(self.listing, self.path))
        choice = Choice(self.splits, self.class_level, self.nested)
        if choice == Choice() and (other := other_source(self.listing.files, self.path)):
            raise ItlError(FOLDERS_ALONE.join(filter(None, [other, offer_readings(counts)])))
        try:
            layout = self._recognised(counts, choice)
            if self.empty == "refuse":
                refuse_empty_classes(self.listing, layout, counts, "fill them, or set the option empty=skip")
        except ItlError as error:
            raise ItlError(self._refusal(str(error), counts)) from None
        all_train = {split for split, _ in layout.class_of.values()} == {"train"}
        reason = _describe_names(self.listing, layout.class_of) if choice == Choice() and all_train else ""
        if choice == Choice() and all_train and len(self.listing.files) > counts.total():
            reason = reason or self._describe_divider(layout.class_of)
        if reason:
            parts = [f"{self.path}: {reason}", offer_readings(counts)]
            raise ItlError(FOLDERS_ALONE.join(filter(None, parts)))
        return choose_classes(layout, self.classes, counts)

    def _recognised(self, counts: Mapping[str, int], choice: Choice) -> Layout:
        """Return what the folders stand for; ItlError if that is unclear, or their files say no classes."""
        of_level = choice.class_level is not None or choice.nested
        try:
            layout = recognise(counts, choice, path=self.path)
        except ItlError as error:
            folders = {folder: basename(folder) for folder in counts}
            reason = "" if of_level else describe_no_classes(self.listing.files, folders)
            raise ItlError("; ".join(filter(None, [str(error), reason]))) from None
        class_of = {folder: name for folder, (_, name) in layout.class_of.items()}
        if not of_level and (reason := describe_no_classes(self.listing.files, class_of)):
            both = "both" if len(layout.classes) == 2 else "they"
            option = options_for_layout(counts, choice, layout)
            raise ItlError(f"{reason} (if {both} are classes: {option}); {FOLDERS_CURE}")
        return layout

    def _refusal(self, reason: str, counts: Mapping[str, int]) -> str:
        """Write what is not read, the *reason*, unopened archives, and which list or source reads it all."""
        files, are_splits = self.listing.files, any(split_of_folders(f"{folder}/") for folder in counts)
        divider = "" if are_splits else self._describe_divider(counts)
        parts = [describe_unread(self.listing, counts), reason, describe_unopened(files)]
        parts.append(divider or surely_other_source(files, self.path))
        return f"{self.path}: {'; '.join(filter(None, parts))}"

    def _describe_divider(self, folders: Collection[str]) -> str:
        """Say which list divides the images in *folders*, which are train without it; '' if none does."""
        if not (file := _dividing_list(self.listing, folders)):
            return ""
        way, option = "", ""
        if not Lists(self.path).reads(file):
            way, option = "write a CSV with the columns image, label and split, and ", " --option train=FILE"
        return (
            f"{file} divides the images, which by their folders alone would all be train; {way}the source "
            f"lists reads it: `itl check lists {shlex.quote(str(self.path))}{option}`"
        )

    @property
    def layout(self) -> str:
        """Where the class folders lie."""
        return self.folders.words

    @property
    def labelled_by(self) -> str:
        """What says the class of an image."""
        return "their folders" + (f" and {self.folders.chosen_by}" if self.classes else "")

    @property
    def class_names(self) -> Mapping[str, str]:
        """Names from folders such as n01440764_tench."""
        return self.folders.class_names

    @property
    def left_out(self) -> Counter:
        """How many files are not records, by reason."""
        unopened = sorted(filter(is_archive, self.listing.files))
        reason = f"archives that are not opened ({examples(unopened, 1)})"
        return self.listing.left_out + self.folders.left_out + Counter({reason: len(unopened)})

    def records(self) -> list[Record]:
        """Return one record for each image, sorted by id."""
        return list(self._records)

    @cached_property
    def _records(self) -> list[Record]:
        """The records, of which val_fraction has made some val; notes are on them too."""
        records = self.folders.records(self.listing.files)
        return validate_records(split_off_val(records, self.val_fraction, self._groups(records)), self.path)

    def _groups(self, records: Iterable[Record]) -> dict[str, str]:
        """Return what the option group matches in the id of each image that it matches in, by ids."""
        if self.group is None:
            return {}
        refuse_group_alone(self.group, self.val_fraction)
        try:
            pattern = re.compile(self.group)
        except re.error as error:
            raise ItlError(f"the option group={self.group} is no regular expression: {error}") from None
        ids = [record.id for record in records]
        groups = {name: match[0] for name in ids if (match := pattern.search(name)) and match[0]}
        if ids and not groups:
            raise ItlError(
                f"the option group={self.group}, a regular expression, matches no image, such as {ids[0]}"
            )
        return groups

    @cached_property
    def notes(self) -> Sequence[str]:
        """Folders that may be no class, files that are not read, and what group does not divide."""
        classes = set(self.folders.classes)
        others = [name for name in classes if not is_unlabelled(basename(name))]
        notes = [
            f"{name!r} is a class of its own; if its images have no label, move it elsewhere"
            for name in sorted(classes.difference(others))
            if len(others) > 1 and not is_class_of_labels(basename(name), others)
        ]
        notes += self._describe_unread_splits()
        if self.group is not None:
            notes += describe_groups(self._records, self._groups(self._records), self.group)
        return [*notes, *self._describe_nameless()]

    def _describe_nameless(self) -> list[str]:
        """Return a note if files in class folders are images, but have no suffix of one."""
        others = {
            name: file
            for name, file in self.listing.files.items()
            if not is_image(name)
            and name.rpartition("/")[0] in self.folders.class_of
            and suffix_of(name) not in {*LIST_SUFFIXES, *UNREAD_SUFFIXES, *UNREAD_TABLES, ".json"}
        }
        if not (images := list(_nameless(others))):
            return []
        limit = dividing_lists.MAX_OPENED
        opened = f" (of {len(others):,} such files {limit} were opened)" if len(others) > limit else ""
        return [
            f"without a suffix such as .jpg, {counted(len(images), 'images are')} left out{opened}; give "
            f"each one, as in {images[0] + '.jpg'!r}"
        ]

    def _describe_unread_splits(self) -> list[str]:
        """Return a note on files that may divide the images, by their names, otherwise than their folders."""
        splits = {split for split, _ in self.folders.class_of.values()}
        others, unread = {"val", "test"} - splits, []
        for name in sorted(self.listing.files):
            is_table = suffix_of(name) in UNREAD_TABLES
            if not is_table and suffix_of(name) not in LIST_SUFFIXES:
                continue
            is_of_other = split_of_path(name) in others and (is_table or is_split_list(name))
            may_be_other = splits == {"train"} and may_be_split_list(name)
            if is_of_splits(name) or is_of_other or may_be_other:
                unread.append(name)
        if not unread:
            return []
        are = "all train" if splits == {"train"} else f"{' and '.join(sorted(splits))} by folder"
        return [f"not read: {examples(unread)}, by the name a division of the images, which are {are}"]


def _describe_names(listing: Listing, folders: Collection[str]) -> str:
    """Say which splits the images in *folders*, all train by these, have in their names; '' for none."""
    images = (name for name in listing.files if name.rpartition("/")[0] in folders and is_image(name))
    if len(named := splits_in_names(images)) < 2:
        return ""
    return (
        f"by their names images are of several splits, as {' and '.join(named.values())}, and by their "
        f"folders alone all would be train; move them to folders of splits"
    )


def _dividing_list(listing: Listing, folders: Collection[str]) -> str:
    """Return the first list that says a split of images which lie directly in *folders*; '' without one."""
    suffixes = (*LIST_SUFFIXES, *dividing_lists.TREE_SUFFIXES)
    lists = {name: file for name, file in listing.files.items() if suffix_of(name) in suffixes}
    images = [name for name in listing.files if is_image(name)] if lists else []
    taken = [name for name in images if name.rpartition("/")[0] in folders]
    stems = {stem_of(name) for name in images}
    for name in [*lists]:
        if dividing_lists.is_caption(name, stems) or _numbers_folders(lists[name], name, taken):
            del lists[name]
    return dividing_lists.find_divider(lists, taken, images)


def _numbers_folders(file: Member, name: str, images: Iterable[str]) -> bool:
    """Say whether lines `IMAGE NUMBER` have classes, not splits: each folder of *images* has a number."""
    if not (name.endswith(".txt") and may_have_codes(name)):
        return False
    named = ((image, name) for image in images for name in {image, basename(image)})  # by path, or alone
    folders = grouped((name, image.rpartition("/")[0]) for image, name in named)
    pairs = []
    data = dividing_lists.read_divider(file, name)
    for line in text_lines(data.decode("utf-8-sig", "replace")):
        image, *numbers = re.split(r"[\s,;]+(?=[0-9]+$)", line.strip())
        of_image = folders.get(image.removeprefix("./"))
        if numbers and not of_image:
            return False
        pairs += [(number, folder) for number in numbers for folder in of_image or ()]
    return bool(pairs) and names_of_numbers(pairs).keys() == {number for number, _ in pairs}


def describe_unread(listing: Listing, counts: Mapping[str, int]) -> str:
    """Say which formats are not read of the files in folders without a readable image; empty without any.

    *counts* are of the images that lie directly in each folder.
    """
    suffixes = (UNREAD_SUFFIXES | ARRAYS) - {".pdf"}  # which is more often a paper about the images
    unread = sorted(
        name
        for name in listing.files
        if suffix_of(name) in suffixes and "/" in name and name.rpartition("/")[0] not in counts
    )
    if not unread:
        return ""
    count = counted(len(unread), "files are")
    read = ", ".join(sorted(FORMATS_OF_SUFFIX))
    return f"{count} in formats that are not read, such as {unread[0]} (convert them to one of {read})"


def no_images(listing: Listing, path: Path) -> str:
    """Say that *listing* has no images, what was looked for, and what there is instead."""
    other = other_source(listing.files, path)
    if foreign := foreign_format(listing.files) or other:
        return f"{path} holds no images in class folders; {foreign}"
    if unopened := describe_unopened(listing.files):
        return f"{path} holds no images: {unopened}"
    read = ", ".join(sorted(FORMATS_OF_SUFFIX))
    if unread := sorted(name for name in listing.files if suffix_of(name) in UNREAD_SUFFIXES):
        count = counted(len(unread), "images in formats that are not read")
        return f"{path} holds {count}, such as {unread[0]}; convert them to one of {read}"
    if foreign := foreign_format(listing.files, archives.FORMATS_BESIDE_ARCHIVES):
        return f"{path} holds no images in class folders; {foreign}"
    if nameless := next(_nameless(listing.files), ""):
        return (
            f"{path} holds no images by their names; {nameless!r} is an image without such a suffix; give "
            f"each image one, as in {nameless + '.jpg'!r}"
        )
    names = sorted(listing.files)
    has = f"{counted(len(names), 'other files')}, such as {names[0]}" if names else "nothing"
    has = f"only {names[0]}" if len(names) == 1 else has
    rest = ", ".join(counted(count, reason) for reason, count in listing.left_out.items() if count)
    return (
        f"{path} holds no images: looked for {read} in folders of classes "
        f"and found {has}{f'; left out: {rest}' if rest else ''}; give another path, or put each image into "
        f"a folder of its class"
    )


def _nameless(files: Mapping[str, Member]) -> Iterator[str]:
    """Yield the names of those of *files* that are images, of the first few."""
    for name in sorted(files)[: dividing_lists.MAX_OPENED]:
        with suppress(ItlError, OSError):
            image_header(files[name])
            yield name


def choose_classes(layout: Layout, file: Path | None, counts: Mapping[str, int]) -> Layout:
    """Return *layout* with the classes of the list in *file* alone (None: all), named as what they count as.

    *counts* are of the images that lie directly in each folder; errors are those of `class_map`.
    """
    if file is None:
        return layout
    chosen, lacking = class_map(file, layout.classes, layout.class_names)
    chosen_by = str(file)
    if lacking:
        chosen_by += f" (no images of {counted(len(lacking), 'classes')} that it lists: {examples(lacking)})"
    class_of, left_out = {}, Counter(layout.left_out)
    for folder, (split, name) in layout.class_of.items():
        if name in chosen:
            class_of[folder] = (split, chosen[name])
        else:
            left_out[NOT_CHOSEN] += counts[folder]
    return replace(layout, class_of=class_of, left_out=left_out, chosen_by=chosen_by)


def class_map(file: Path, classes: list[str], names: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the class that each of *classes* in the list *file* counts as, and what else that lists.

    *names* are words for wnids. ItlError if a line is no class, or of several *classes* not two are left.
    """
    counts = Counter(names.values())
    known = {name: wnid if counts[name] == 1 else "" for wnid, name in names.items()}
    known |= {name: name for name in classes}
    tree = Taxonomy.snapshot()
    listed = read_class_list(file, tree, known)
    chosen = {name: listed[name] for name in classes if name in listed}
    if not chosen:
        raise ItlError(f"{file} lists {counted(len(listed), 'classes')}, of which the images have none")
    if len(chosen) == 1 < len(classes):  # several that count as one are said to
        raise ItlError(
            f"{file} keeps one class of {len(classes):,}, {next(iter(chosen))}, and one alone tells nothing "
            f"apart; list two or more"
        )
    return chosen, [tree.name_with_word(name) for name in listed if name not in chosen]


def refuse_empty_classes(listing: Listing, layout: Layout, counts: Mapping[str, int], cure: str) -> None:
    """Raise ItlError, with the *cure*, if folders beside class folders hold no images.

    What sorted the images of val may have left val/images behind, which is no class.
    """
    beside = {folder for folder in listing.folders if folder.rpartition("/")[0] in layout.containers}
    classes = {*layout.classes}
    beside = {name for name in beside if not is_image_folder(basename(name)) or basename(name) in classes}
    if empty := sorted(beside - layout.class_of.keys() - Tree(counts).total.keys()):
        raise ItlError(
            f"{counted(len(empty), 'class folders hold')} no images, such as {examples(empty)}; {cure}"
        )
