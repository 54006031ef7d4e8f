"""What the folders of a tree mean, splits or classes, recognised from the list of files alone.

The rules are the functions below, and the tables of names in `folder_names` and `split_names`. A tree that
can be read in two ways is refused, with both readings and the option that chooses; nothing is reinterpreted
silently.
"""

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from posixpath import basename, commonpath, join
from typing import NamedTuple

from itl.errors import ItlError, did_you_mean
from itl.sources.files.archives import Member
from itl.sources.folder_names import (
    PART_WORDS,
    UNLABELLED,
    WNID_FOLDER,
    is_container,
    is_image_folder,
    is_of_masks,
    is_of_photos,
    wnid_of,
)
from itl.sources.folders.left_out import Parts, folders_left_out
from itl.sources.records import Record, is_image
from itl.sources.split_names import (
    LIKE_SPLITS,
    SPLIT_ORDER,
    split_of_last,
    split_of_name,
    splits_of_words,
    words_of,
)
from itl.words import counted, examples


class Choice(NamedTuple):
    """The options that choose among readings of one tree."""

    splits: str | None = None  # none · inside (cat/train/1.jpg) · FOLDER,SPLIT=FOLDER,…
    class_level: int | None = None  # 1: folders in a split, or at the top, are classes; 2: those in them
    nested: bool = False  # a class is the whole path, such as church/outdoor

    def words(self) -> str:
        """Return the options as the command line takes them."""
        options = self._asdict() | {"nested": "true" if self.nested else None}
        given = [f"{name}={value}" for name, value in options.items() if value is not None]
        return " ".join(f"--option {shlex.quote(text)}" for text in given)


@dataclass(frozen=True)
class Layout:
    """What the folders of one tree stand for."""

    class_of: Mapping[str, tuple[str, str]]  # folder that holds images of a class -> split, class
    flat: Mapping[str, str] = field(default_factory=dict)  # folder of a split without class folders -> split
    class_names: Mapping[str, str] = field(default_factory=dict)  # wnid -> name, from n01440764_tench
    left_out: Counter[str] = field(default_factory=Counter)  # reason -> how many images
    root: str = ""  # the folder around all splits or classes, as archives have it; not in the ids of images
    containers: frozenset[str] = frozenset()  # folders that hold class folders
    has_splits: bool = True  # not: all images are train, as nothing says another split
    words: str = ""  # for people
    chosen_by: str = ""  # the file that lists the classes, in words

    @property
    def classes(self) -> list[str]:
        """All classes, sorted."""
        return sorted({name for _, name in self.class_of.values()})

    @property
    def unknown_classes(self) -> set[str]:
        """The classes of other splits that train, if it is there, does not have."""
        of_train = {name for split, name in self.class_of.values() if split == "train"}
        return {*self.classes} - of_train if of_train else set()

    def records(self, files: Mapping[str, Member]) -> list[Record]:
        """Return one record for each image among *files* that lies in a class folder."""
        records = []
        for name, member in files.items():
            split, label = self.class_of.get(name.rpartition("/")[0], ("", ""))
            if split and is_image(name):
                records.append(Record(self.id_of(name), label, split, member))
        return records

    def id_of(self, name: str) -> str:
        """Return the id of the image called *name*: without the folder around everything."""
        return name.removeprefix(f"{self.root}/")


class ClassFolder(NamedTuple):
    """The folder of a class, which may hold folders of its images, relative to the folder of its split."""

    folder: Parts
    name: str


class Tree:
    """The folders that hold images, themselves or further down."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.counts = {folder: count for folder, count in counts.items() if count}
        self.children: dict[str, set[str]] = defaultdict(set)
        self.inside: dict[str, list[str]] = defaultdict(list)  # all with images of their own, at any depth
        self.total: Counter[str] = Counter()
        for name, count in self.counts.items():
            folder = name
            self.total[folder] += count
            self.inside[folder].append(name)
            while folder:
                parent = folder.rpartition("/")[0]
                self.children[parent].add(folder)
                self.total[parent] += count
                self.inside[parent].append(name)
                folder = parent

    def below(self, folder: str) -> dict[Parts, int]:
        """Return the number of images in each folder at or below *folder*, by its relative parts."""
        start = len(folder) + 1 if folder else 0
        inside = self.inside.get(folder, ())
        return {tuple(filter(None, name[start:].split("/"))): self.counts[name] for name in inside}

    def descend(self, folder: str, is_step: Callable[[str, str], object]) -> str:
        """Step from *folder* into the only folder inside that holds images, while *is_step* of both."""
        while len(inside := self.children.get(folder, set())) == 1 and is_step(folder, *inside):
            (folder,) = inside
        return folder


def outer_folders(folder: str) -> list[str]:
    """Return the folders around *folder*, the outermost first, without that of all.

    >>> outer_folders("a/b/c")
    ['a', 'a/b']
    """
    return [folder[:end] for end, letter in enumerate(folder) if letter == "/"]


def read_tree(tree: Tree, choice: Choice, flat_val: bool) -> Layout:
    """Read *tree* as *choice* says; ItlError, without advice, if that is not clear."""
    if choice.splits == "inside":
        return _splits_in_classes(tree)
    if choice.splits == "none":
        split_of = {"": "train"}
    elif choice.splits is None:
        split_of = _recognised_splits(tree)
    else:
        split_of = _named_splits(tree, choice.splits)
    counts_in = {folder: tree.below(folder) for folder in split_of}
    flat = _flat_splits(split_of, counts_in)
    for folder, split in flat.items():
        if split == "train" or (split == "val" and not flat_val) or len(flat) == len(split_of):
            where = repr(folder) if folder else "it"
            raise ItlError(f"{where} holds {counted(tree.total[folder], 'images')}, but no class folders")
    labelled = {folder: counts for folder, counts in counts_in.items() if folder not in flat}
    merged = Counter[Parts]()  # the images of each folder in all splits
    for counts in labelled.values():
        merged.update({parts: count for parts, count in counts.items() if parts})
    if choice.splits is None:
        _refuse_split_names(list(merged))
    if choice.class_level is None and not choice.nested:
        _refuse_half_sorted(labelled)
    reasons = folders_left_out(merged, choice.class_level, choice.nested)
    class_at = _classes([parts for parts in merged if parts not in reasons], choice, set(split_of) != {""})
    for folder, counts in labelled.items():
        _refuse_unsorted(folder, counts, class_at, reasons)
    return _assemble(tree, split_of, labelled, flat, class_at, reasons, choice)


def _refuse_unsorted(
    folder: str, counts: Mapping[Parts, int], class_at: Collection[Parts], reasons: Collection[Parts]
) -> None:
    """Raise ItlError if more images of a split lie beside class folders than in them: not all are sorted."""
    images = sum(count for parts, count in counts.items() if parts in class_at)
    beside = sum(count for parts, count in counts.items() if parts not in class_at and parts not in reasons)
    if 0 < images < beside:
        where = f" in {folder!r}" if folder else ""
        raise ItlError(
            f"{counted(beside, 'images lie')} beside class folders{where}, which hold only {images:,}"
        )


def _assemble(
    tree: Tree,
    split_of: Mapping[str, str],
    labelled: Mapping[str, dict[Parts, int]],
    flat: Mapping[str, str],
    class_at: Mapping[Parts, ClassFolder],
    reasons: Mapping[Parts, str],
    choice: Choice,
) -> Layout:
    """Put together what the folders are.

    In any split, *class_at* has the class of each folder of images, and *reasons* why others are left out.
    """
    class_of, names, containers = {}, {}, set()
    left_out = Counter({"images beside class folders": 0})
    seen: dict[tuple[str, str], str] = {}
    for folder, counts in labelled.items():
        for parts, count in counts.items():
            if parts not in class_at:
                left_out[reasons.get(parts, "images beside class folders")] += count
                continue
            top, name = class_at[parts]
            class_folder = join(folder, *top)
            class_of[join(folder, *parts)] = (split_of[folder], name)
            containers.add(class_folder.rpartition("/")[0])
            other = seen.setdefault((class_folder.rpartition("/")[0], name), class_folder)
            if other != class_folder:
                raise ItlError(f"{other!r} and {class_folder!r} are two folders of one class, {name}")
            if (match := WNID_FOLDER.fullmatch(top[-1])) and match[2]:
                names[name] = match[2].replace("_", " ")
    images = sum(tree.counts[folder] for folder in class_of)
    rest = tree.total[""] - images - left_out.total() - sum(tree.total[folder] for folder in flat)
    for folder, split in flat.items():
        if split != "val":
            left_out[f"images of {split} without class folders"] += tree.total[folder]
    left_out["images outside the splits"] = rest
    has_splits = set(split_of) != {""} or choice.splits not in (None, "none")
    root = commonpath([folder.rpartition("/")[0] for folder in split_of] if has_splits else containers)
    where = sorted((labelled.keys() if has_splits else containers) - {""})
    words = "each folder a class" if choice.nested else "class folders"
    words += f" in {', '.join(where)}" if where and not (choice.nested and not has_splits) else ""
    return Layout(class_of, flat, names, left_out, root, frozenset(containers), has_splits, words)


def _recognised_splits(tree: Tree) -> dict[str, str]:
    """Return the split of each folder that is named like one; the outermost folder is train if none is."""
    top = tree.descend("", lambda _, child: not split_of_last(child) and child in tree.children)
    folders = {child: split for child in sorted(tree.children[top]) if (split := split_of_last(child))}
    if not folders:
        return {"": "train"}
    others = [
        child
        for child in sorted(tree.children[top] - folders.keys())
        if UNLABELLED.isdisjoint(words_of(basename(child)))
    ]
    if others:
        beside = f"folders named like splits, {_quoted(folders)}, lie beside others, {_quoted(others)}"
        raise ItlError(f"{beside}{_split_hint(tree, folders, others)}")
    refuse_two_of_one_split(tree, folders)
    classes = {basename(child) for folder in folders for child in tree.children.get(folder, ())}

    def is_same_split(outer: str, inner: str) -> bool:  # train/train; or val/images/cat beside train/cat
        inside = map(basename, tree.children.get(inner, ()))
        around_classes = is_container(basename(inner)) and not classes.isdisjoint(inside)
        return split_of_last(outer) == split_of_last(inner) or around_classes

    return {tree.descend(folder, is_same_split): split for folder, split in folders.items()}


def _split_hint(tree: Tree, folders: Mapping[str, str], others: Sequence[str]) -> str:
    """Say how the first of *others* is read as a split too, if it has class folders of the splits *folders*.

    Others that differ from it in a number alone, as train_part1 and train_part2, are parts of that split.
    """
    other, stem = others[0], _without_numbers(others[0])
    parts = [folder for folder in others if _without_numbers(folder) == stem]
    words = words_of(basename(other))
    possible = {"val", "test"} if LIKE_SPLITS.intersection(words) else {*SPLIT_ORDER}
    likely = splits_of_words(words) or possible
    free = [split for split in SPLIT_ORDER if split in likely.difference(folders.values())]
    if not free or is_of_masks(basename(other)):
        return ""
    splits = {**folders, **dict.fromkeys(parts, free[0])}
    named = ",".join(f"{split}={folder}" for folder, split in splits.items())
    try:
        layout = read_tree(tree, Choice(named), flat_val=True)
    except ItlError:
        return ""
    is_read = any(f"{folder}/".startswith(f"{other}/") for folder in layout.class_of)
    is_read = is_read and not layout.unknown_classes
    if_split = (
        f"{basename(other)} is a split, name it" if len(parts) == 1 else f"{_quoted(parts)} are one split"
    )
    return f" (if {if_split}: {Choice(named).words()})" if is_read else ""


def refuse_two_of_one_split(tree: Tree, folders: Mapping[str, str]) -> None:
    """Raise ItlError for train and training side by side; train.X1 and train.X2 are parts of one split."""
    for split in sorted(set(folders.values())):
        parts = [folder for folder in folders if folders[folder] == split]
        stems = {_without_numbers(basename(folder)) for folder in parts}
        if len(stems) > 1:
            raise ItlError(f"{_quoted(parts)} are both named like {split}")
        shared = Counter(parts for folder in parts for parts in tree.below(folder))
        if len(parts) > 1 and max(shared.values()) > 1:
            are_folds = len(parts) < len(folders) and len({*Counter(folders.values()).values()}) == 1
            way = "" if are_folds else f" (if they are parts of it: {Choice(','.join(folders)).words()})"
            raise ItlError(
                f"{_quoted(parts)} hold the same folders, so they may be versions of one {split}{way}"
            )
    whole = [folder for folder in folders if "trainval" in words_of(basename(folder))]
    if whole and "val" in folders.values():
        raise ItlError(f"{_quoted(whole)}, by its name, has the images of the folder of val too")


def _named_splits(tree: Tree, text: str) -> dict[str, str]:
    """Return the split of each folder that the option splits names."""
    folders = {}
    for entry in text.split(","):
        split, equals, folder = entry.partition("=")
        folder = "" if folder == "." else (folder if equals else entry).strip("/")
        split = split if equals else split_of_last(entry) or ""
        if split not in SPLIT_ORDER:
            raise ItlError(f"splits is none or SPLIT=FOLDER,…, SPLIT one of train, val, test; got {entry!r}")
        if folder not in tree.total:
            hint = did_you_mean(folder, tree.total)
            raise ItlError(f"splits names the folder {folder!r}, which holds no images; {hint}".rstrip("; "))
        folders[folder] = split
    for folder in folders:
        if not folders.keys().isdisjoint(outer_folders(folder)) or ("" in folders and len(folders) > 1):
            raise ItlError(f"splits names {folder!r} and a folder that holds it")
    return folders


def _splits_in_classes(tree: Tree) -> Layout:
    """Read class folders that hold the splits, as cat/train/1.jpg; ItlError if there is anything else."""
    top = tree.descend("", lambda _, child: child in tree.children)
    class_of = {}
    for parts in tree.below(top):
        split = split_of_name(parts[1]) if len(parts) == 2 else None
        if split is None or split_of_name(parts[0]):
            raise ItlError(f"{'/'.join(parts)!r} is no split inside a class folder")
        class_of[join(top, *parts)] = (split, wnid_of(parts[0]) or parts[0])
    return Layout(class_of, words="class folders that hold the splits")


def _flat_splits(split_of: Mapping[str, str], counts_in: Mapping[str, dict[Parts, int]]) -> dict[str, str]:
    """Return the splits without class folders: all images lie in one folder that is no class of another."""
    flat = {}
    tops_of = {folder: {parts[0] for parts in counts if parts} for folder, counts in counts_in.items()}
    uses = Counter(chain(*tops_of.values()))
    beside = Counter(chain(*(tops for tops in tops_of.values() if len(tops) > 1)))
    classes = [name for name in uses if not is_container(name)]
    for folder, tops in tops_of.items():
        has_classes = any(uses[name] > (name in tops) for name in classes)  # in another split
        is_class = any(beside[name] > (len(tops) > 1) for name in tops)  # of another split, called unknown
        in_one_folder = len(counts_in[folder]) == 1 and all(
            is_container(name) and (is_image_folder(name) or not is_class) for name in tops
        )
        if not tops or (in_one_folder and has_classes):
            flat[folder] = split_of[folder]
    return flat


def _refuse_split_names(merged: Sequence[Parts]) -> None:
    """Raise ItlError for classes that are named like splits, or for splits further down."""
    if inner := next((parts for parts in merged if any(map(split_of_name, parts))), None):
        raise ItlError(f"{'/'.join(inner)!r} has the name of a split, where classes are expected")
    tops = {parts[0] for parts in merged}
    splits = {top: splits_of_words(words_of(top)) for top in tops if not wnid_of(top)}
    alike = sorted(top for top in splits if splits[top])
    if len(set().union(*(splits[top] for top in alike))) == 1:  # testTube is a class beside beaker
        alike = [top for top in alike if splits_of_words(words_of(top.casefold()))]
    if alike and 2 * len(alike) >= len(tops):
        are_named = "are named like splits" if len(alike) > 1 else "is named like a split"
        raise ItlError(f"{_quoted(alike)} {are_named}, where classes are expected")


def _classes(merged: Sequence[Parts], choice: Choice, in_splits: bool) -> dict[Parts, ClassFolder]:
    """Return the class of each folder of images, relative to its split; ItlError if that is unclear."""
    if choice.class_level is not None:
        level = choice.class_level
        tops = {parts: parts[:level] for parts in merged if len(parts) >= level}
        if level < 1 or not tops:
            deepest = max(map(len, merged), default=0)
            raise ItlError(f"class_level is a level from 1 to {deepest} in this tree, not {level}")
        return {parts: ClassFolder(top, wnid_of(top[-1]) or top[-1]) for parts, top in tops.items()}
    start = _container(merged, choice.nested, in_splits)
    relative = {parts: parts[len(start) :] for parts in merged if len(parts) > len(start)}
    if choice.nested:
        return {parts: ClassFolder(parts, "/".join(inner)) for parts, inner in relative.items()}
    if _under_letters(set(relative.values())):
        return {parts: ClassFolder(parts, "/".join(inner[1:])) for parts, inner in relative.items()}
    folders = list(relative.values())
    inside = all(is_container(part) or part == parts[0] for parts in folders for part in parts[1:])
    same = len({len(parts) for parts in folders}) == 1 or all(wnid_of(parts[0]) for parts in folders)
    _refuse_no_classes({parts[0] for parts in folders}, len(start) + 1)
    if not inside or not same:
        deep = sorted("/".join(parts) for parts in folders if len(parts) > 1)
        raise ItlError(f"folders lie inside the folders that may be classes: {examples(deep)}")
    return {
        parts: ClassFolder((*start, inner[0]), wnid_of(inner[0]) or inner[0])
        for parts, inner in relative.items()
    }


def _refuse_no_classes(names: Collection[str], level: int) -> None:
    """Raise ItlError if *names*, of the folders on a *level*, are those of all images, masks, or parts."""
    if name := next(filter(is_image_folder, sorted(names)), ""):
        raise ItlError(f"{name!r} is no class by its name, but where images of any class lie")
    photos, masks = (next(filter(test, sorted(names)), "") for test in (is_of_photos, is_of_masks))
    if photos and masks:
        way = f"if both are classes: {Choice(class_level=level).words()}"
        raise ItlError(f"{masks!r} is no class by its name, but where masks of {photos!r} lie ({way})")
    stems = set(map(_without_numbers, names))
    first = min(names, key=len).casefold()
    of_first = re.escape(first) + r"(?:[ _-]+(?:part)?[ _-]*\d+)?"  # x, x_2, x_part3, but not 5, 5-10
    are_parts = len(stems) == 1 and not PART_WORDS.isdisjoint(words_of(stems.pop()))
    are_parts |= bool(words_of(first)) and all(re.fullmatch(of_first, name.casefold()) for name in names)
    if len(names) > 1 and are_parts and _are_counted(names):
        way = "in case" if len(set(map(str.casefold, names))) == 1 else "by a number"
        raise ItlError(
            f"{_quoted(sorted(names))} differ {way} alone, as parts of one set of images do (whose classes a "
            f"list may have: source lists)"
        )


def _are_counted(names: Collection[str]) -> bool:
    """Say whether *names* have a word of parts, or count on from 1 or 2: no covid and covid-19.

    >>> _are_counted(["vg", "vg_2"]), _are_counted(["covid", "covid-19"]), _are_counted(["part_7", "part_9"])
    (True, False, True)
    """
    numbers = sorted(int(match[0]) for name in names if (match := re.search(r"\d+$", name)))
    counts = (list(range(start, start + len(numbers))) for start in (1, 2))
    return numbers in counts or any(not PART_WORDS.isdisjoint(words_of(name)) for name in names)


def _refuse_half_sorted(labelled: Mapping[str, dict[Parts, int]]) -> None:
    """Raise ItlError if images lie in a folder of files beside class folders that another split has too.

    Or if they lie in a class folder and in one of its name in it, as where an archive was unpacked twice.
    """
    tops_of = {folder: {parts[0] for parts in counts if parts} for folder, counts in labelled.items()}
    uses = Counter(chain(*tops_of.values()))
    for folder, counts in labelled.items():
        classes = sorted(name for name in tops_of[folder] if uses[name] > 1)
        for parts, count in counts.items():
            if len(parts) > 1 and parts[-1] == parts[-2] and parts[:-1] in counts:
                outer, inner = join(folder, *parts[:-1]), join(folder, *parts)
                raise ItlError(f"{outer!r} and {inner!r} both hold images; if they are copies, move one away")
            if classes and len(parts) == 1 == uses[parts[0]] and is_image_folder(parts[0]):
                loose = join(folder, *parts)
                raise ItlError(
                    f"{folder!r} is half sorted: {counted(count, 'images lie')} in {loose!r}, beside the "
                    f"class folders {examples(classes)} (if all are there too, as copies, move {loose!r} "
                    f"elsewhere)"
                )


def _container(merged: Sequence[Parts], nested: bool, in_splits: bool) -> Parts:
    """Return the folder around all class folders, as parts: it is the only one, and no class itself.

    It is named as such, as in images/cat, or it holds wnids, as archives of ImageNet do: bus/indoor and
    bus/outdoor may be one class.
    """
    start: Parts = ()
    while True:
        inside = [parts[len(start) :] for parts in merged if len(parts) > len(start)]
        tops = {parts[0] for parts in inside}
        if len(tops) != 1:
            return start
        top = tops.pop()
        direct = any(len(parts) == 1 for parts in inside)
        deeper = any(len(parts) > 1 for parts in inside)
        if nested and direct:
            return start
        if not deeper or wnid_of(top):
            raise ItlError(f"all images are of one class, {top!r}")
        holds_wnids = not direct and not in_splits and all(wnid_of(parts[1]) for parts in inside)
        if not (holds_wnids or nested or is_container(top)):
            raise ItlError(
                f"all images lie in {top!r}, which may be one class, have its labels in a list (which the "
                f"source lists reads), or hold the class folders"
            )
        start = (*start, top)


def _under_letters(folders: set[Parts]) -> bool:
    """Say whether classes lie under the letter that they start with, as in Places365 and SUN397.

    Names with no word that does, as A_user1 and A2, may be of people or sessions in classes that are letters.
    """
    if not all(len(parts) > 1 and len(parts[0]) == 1 < len(parts[1]) for parts in folders):
        return False
    nested = any(parts[:depth] in folders for parts in folders for depth in range(len(parts)))
    has_words = any(parts[1][:2].isalpha() for parts in folders)
    are_under_first = all(parts[1][0].casefold() == parts[0].casefold() for parts in folders)
    return are_under_first and has_words and not nested


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "", name).casefold()


def _quoted(names: Iterable[str]) -> str:
    return examples([repr(name) for name in names])
