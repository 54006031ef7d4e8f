"""Which reading of a tree of folders is meant: the one that options choose, or else the clear one."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from posixpath import basename

from itl.errors import ItlError
from itl.iteration import grouped
from itl.sources.files.archives import Listing
from itl.sources.folder_names import is_container, is_of_masks, is_of_photos, wnid_of
from itl.sources.folders.layout import Choice, Layout, Tree, outer_folders, read_tree, refuse_two_of_one_split
from itl.sources.folders.left_out import OF_MASKS
from itl.sources.records import is_image
from itl.sources.split_names import (
    LIKE_SPLITS,
    beside_split,
    split_of_any_word,
    split_of_last,
    split_of_name,
    words_of,
)
from itl.sources.unopened_archives import unpack_command
from itl.words import counted, examples

FOLDERS_CURE = (
    "put the images of each class into a folder of its own, or list each image with its class: source lists"
)
MAX_READINGS = 4  # quoted in a refusal
MAX_LEVEL = 6  # of class folders, that is tried
DEFAULT = Choice()


def image_counts(listing: Listing) -> Counter[str]:
    """Count the images that lie directly in each folder of *listing*; the outermost is the empty name."""
    return Counter(name.rpartition("/")[0] for name in listing.files if is_image(name))


def recognise(
    counts: Mapping[str, int], choice: Choice = DEFAULT, flat_val: bool = False, path: Path | None = None
) -> Layout:
    """Say what the folders of a tree stand for; ItlError, with the readings that options choose, if unclear.

    *counts* are of the images that lie directly in each folder; *path*, for advice, is where the tree is.
    With *flat_val* a val may be without class folders, as something else says the classes of its images;
    such a source has the option splits alone.
    """
    try:
        return read_tree(Tree(counts), choice, flat_val)
    except ItlError as error:
        readings = offer_readings(counts, flat_val)
        advice = "; ".join(filter(None, [readings, _describe_same_classes(Tree(counts), path)]))
        raise ItlError(f"{error}; {advice or FOLDERS_CURE}") from None


def options_for_layout(counts: Mapping[str, int], choice: Choice, layout: Layout) -> str:
    """Return the options with which *counts* are read as *layout*, beside those of *choice*."""
    tree = Tree(counts)
    for level in range(1, MAX_LEVEL + 1):
        option = choice._replace(class_level=level)
        with suppress(ItlError):
            if read_tree(tree, option, flat_val=False).class_of == layout.class_of:
                return option.words()
    return choice._replace(nested=True).words()


def _describe_same_classes(tree: Tree, path: Path | None) -> str:
    """Say that one folder of wnids is read, if several hold the same, such as severities of a corruption."""
    first_of: dict[frozenset[str], str] = {}
    for folder in sorted(tree.children):
        inside = frozenset(map(basename, tree.children[folder]))
        if len(inside) > 1 and all(map(wnid_of, inside)) and not any(map(split_of_name, folder.split("/"))):
            first = first_of.setdefault(inside, folder)
            if first != folder:
                return f"several folders hold the same classes: {way_to(first, path)}"
    return ""


def way_to(folder: str, path: Path | None) -> str:
    """Say how one takes a *folder* inside *path*, a folder or an archive, alone."""
    if path is None or path.is_dir():
        return f"give one, such as {folder if path is None else path / folder}, as the path"
    command = unpack_command(str(path))
    return f"unpack the archive, `{command}`, and give one, such as {folder} in it, as the path"


def offer_readings(counts: Mapping[str, int], flat_val: bool = False) -> str:
    """Return in words the readings of a tree, of several classes, that options choose; '' without any."""
    tree = Tree(counts)
    depth = min(MAX_LEVEL, max((folder.count("/") + 1 for folder in tree.counts), default=0))
    levels = [Choice(class_level=level) for level in range(1, depth + 1)]
    shapes = [] if flat_val else [*levels, Choice(nested=True)]
    offered = [Choice(splits) for splits in dict.fromkeys(_splits_offered(tree))]
    divided = {split_of_last(folder) for folder in tree.total} - {None}
    of_words = [Choice("inside"), *([] if len(divided) > 1 else [Choice("none")])]
    candidates = [*offered, *shapes, *of_words]
    candidates += [shape._replace(splits=option.splits) for option in offered + of_words for shape in shapes]
    readings: dict[frozenset, str] = {}
    for candidate in candidates:
        try:
            layout = read_tree(tree, candidate, flat_val)
        except ItlError:
            continue
        is_refused = layout.unknown_classes and candidate.splits != "inside"  # of which no other is right
        around = {part for folder in layout.containers for part in folder.split("/")}
        mixes_splits = candidate.splits == "none" and len({*map(split_of_any_word, around)} - {None}) > 1
        if is_refused or mixes_splits or _is_unwanted(layout.classes, layout.left_out[OF_MASKS] > 0):
            continue
        images = Counter[str]()
        for folder, (split, _) in layout.class_of.items():
            images[split] += tree.counts[folder]
        splits_text = ", ".join(f"{split} {counted(count, 'images')}" for split, count in images.items())
        classes = f"{counted(len(layout.classes), 'classes')}, {examples(layout.classes)}"
        text = f"{candidate.words()} ({classes}; {splits_text})"
        readings.setdefault(frozenset(layout.class_of.items()), text)
    chosen = [*readings.values()][:MAX_READINGS]
    return f"choose how to read it: {' or '.join(chosen)}" if chosen else ""


def _is_unwanted(classes: list[str], with_masks: bool = False) -> bool:
    """Say whether *classes* are one, or all called like splits, or query, or folders of all images or masks.

    Of one split alone, in names that have other words too, they are classes. *with_masks* says that folders
    of masks beside them are left out.

    >>> _is_unwanted(["blood_test", "urine_test"]), _is_unwanted(["horse_train", "horse_test"])
    (False, True)
    >>> _is_unwanted(["bounding_box_train", "query"]), _is_unwanted(["query", "cat"])
    (True, False)
    >>> _is_unwanted(["masks", "original"]), _is_unwanted(["cat", "original"]), _is_unwanted(["cat"])
    (True, False, True)
    """
    if len(classes) < 2:
        return True
    splits = {split_of_any_word(name, short=True) for name in classes}
    if len(splits) == 1 and None not in splits and not any(map(split_of_name, classes)):
        return False
    others = [name for name in classes if not is_of_masks(name)]
    with_masks |= len(others) < len(classes)
    return bool(others) and all(
        split_of_any_word(name, short=True)
        or not LIKE_SPLITS.isdisjoint(words_of(name))
        or is_container(name)
        or (with_masks and is_of_photos(name))
        for name in others
    )


def _splits_offered(tree: Tree) -> Iterator[str]:
    """Yield values of the option splits for which the folders of *tree* are named.

    Each has one folder for each split, side by side; or all folders of splits, where those of one split are
    parts of it, as train.X1 and train.X2, and no versions of the same images, as the folds of a division.
    """
    of_splits = {folder for folder in tree.total if split_of_last(folder)}
    named = [folder for folder in sorted(of_splits) if of_splits.isdisjoint(outer_folders(folder))]
    labelled = [folder for folder in named if len(tree.children.get(folder, ())) > 1]
    for folders in (named, labelled):
        try:
            refuse_two_of_one_split(tree, {folder: split_of_last(folder) or "" for folder in folders})
        except ItlError:
            continue
        if folders:
            yield ",".join(folders)
    for siblings in tree.children.values():
        yield from _one_folder_a_split(tree, sorted(siblings))


def _one_folder_a_split(tree: Tree, siblings: list[str]) -> Iterator[str]:
    """Yield values of the option splits with one of *siblings* for each split, by words of their names.

    Those that differ by these words alone belong together, as train1 and test1; trainval holds what train and
    val do. If none do, and one folder has no such word, that is train.
    """
    pairs = ((folder, split_of_any_word(basename(folder), short=True)) for folder in siblings)
    split_by = {folder: split for folder, split in pairs if split}
    together = grouped((tuple(beside_split(basename(folder), short=True)), folder) for folder in split_by)
    options = []
    for folders in together.values():
        whole = [folder for folder in folders if "trainval" in words_of(basename(folder))]
        parts = [folder for folder in folders if folder not in whole]
        of_test = [folder for folder in parts if split_by[folder] == "test"]
        options += [parts, [*whole, *of_test] if whole else []]
    unnamed = [folder for folder in siblings if folder not in split_by]
    if not any(len(folders) > 1 for folders in together.values()) and len(unnamed) < 2:
        split_by |= dict.fromkeys(unnamed, "train")
        options.append(siblings)
    is_alone = len(siblings) - len(unnamed) == 1 and any(map(split_of_last, siblings))
    for option in options:
        labelled = [folder for folder in option if tree.children.get(folder)]  # not a test of images alone
        splits = [split_by[folder] for folder in labelled]
        folders = [  # rps/rps instead of rps, as where an archive was unpacked into a folder of its name
            tree.descend(
                folder, lambda outer, inner: basename(outer) == basename(inner) and inner in tree.children
            )
            for folder in labelled
        ]
        classes = [{basename(child) for child in tree.children.get(folder, ())} for folder in folders]
        least = 2 - (is_alone and labelled == option)
        if len(set(splits)) == len(splits) >= least and set.intersection(*classes):
            yield ",".join(
                folder if split_of_last(folder) == split else f"{split}={folder}"
                for folder, split in zip(folders, splits, strict=True)
            )
