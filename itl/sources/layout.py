"""What the folders of a tree stand for, splits and classes, recognised from the listing alone.

The rules are the tables at the top and the functions below them. A tree that fits two readings is refused,
with the readings and the option that chooses; nothing is read as something else without a word.
"""

import os
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from itl import ItlError, counted, did_you_mean
from itl.sources.records import examples

SPLITS = {  # words in the names of folders that hold a split, in any case
    "train": "train",
    "training": "train",
    "trainval": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
UNLABELLED = {"pred", "prediction", "predictions", "unlabeled", "unlabelled"}  # no split, but beside splits
FILE_FOLDERS = {  # beside masks; the last two are nnU-Net's
    *("data", "image", "images", "img", "imgs", "jpegimages", "jpg", "jpeg", "png", "imagestr", "imagests"),
}
MASK_FOLDERS = {  # beside those, in lower case without signs between words
    *("mask", "masks", "groundtruth", "gt", "annotation", "annotations", "label", "labels"),
    *("segmentation", "segmentations", "seg"),
}
CONTAINERS = FILE_FOLDERS | {"photos", "pictures", "all", "unknown"}  # n01440764/images, val/all: no class
NEUTRAL = {  # words beside them that say nothing: seg_train, ILSVRC2012_img_train, train.X1, train_set
    *("set", "data", "dataset", "image", "images", "img", "imgs", "jpg", "jpeg", "png", "folder", "dir"),
    *("split", "seg", "x", "ilsvrc", "imagenet", "cls", "loc"),
}
CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # trainA, GTSRBTest
SUFFIX_WORDS = re.compile(r"(?<=.)(set|data|images|imgs|img)$")  # trainset
WNID_FOLDER = re.compile(r"(n\d{8})(?:[ _.-]+(.+))?")  # n01440764, n01440764_tench, n02085620-Chihuahua


class Choice(NamedTuple):
    """The options that choose among readings of one tree."""

    # none; inside: cat/train/1.jpg; or folders: train=a,train=b,val=c, or bare: train
    splits: str | None = None
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

    def id_of(self, name: str) -> str:
        """Return the id of the image called *name*: without the folder around everything."""
        return name[len(self.root) + 1 :] if self.root else name


def split_of(name: str) -> str | None:
    """Return the split that a folder called *name* holds, None if the name is not that of a split.

    >>> [split_of(name) for name in ("Train", "seg_test", "train.X1", "trainset", "train_station")]
    ['train', 'test', 'train', 'train', None]
    """
    words = words_of(name)
    splits = splits_in(words)
    return splits.pop() if len(splits) == 1 and all(w in SPLITS or w in NEUTRAL for w in words) else None


def splits_in(words: Iterable[str]) -> set[str]:
    """Return the splits that some of *words*, in lower case, are names of."""
    return {SPLITS[word] for word in words if word in SPLITS}


def wnid_of(folder: str) -> str | None:
    """Return the wnid at the start of the name of a *folder*, None if there is none.

    >>> wnid_of("n02085620-Chihuahua"), wnid_of("n02085620"), wnid_of("dog")
    ('n02085620', 'n02085620', None)
    """
    match = WNID_FOLDER.fullmatch(folder)
    return match[1] if match else None


class Tree:
    """The folders that hold images, themselves or further down."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.counts = {folder: count for folder, count in counts.items() if count}
        self.children: dict[str, set[str]] = defaultdict(set)
        self.total: Counter[str] = Counter()
        for folder, count in self.counts.items():
            self.total[folder] += count
            while folder:
                parent = folder.rpartition("/")[0]
                self.children[parent].add(folder)
                self.total[parent] += count
                folder = parent

    def below(self, folder: str) -> dict[tuple[str, ...], int]:
        """Return the number of images in each folder at or below *folder*, by its relative parts."""
        start = f"{folder}/" if folder else ""
        inside = {name: n for name, n in self.counts.items() if name.startswith(start) or name == folder}
        return {tuple(filter(None, name[len(start) :].split("/"))): n for name, n in inside.items()}

    def only_child(self, folder: str) -> str | None:
        """Return the one folder inside *folder* that holds images, None if there are none or several."""
        children = self.children.get(folder, set())
        return next(iter(children)) if len(children) == 1 else None


def read_tree(tree: Tree, choice: Choice, flat_val: bool) -> Layout:
    """Read *tree* as *choice* says; ItlError, without advice, if that is not clear."""
    if not tree.total[""]:
        raise ItlError("no images")
    if choice.splits == "inside":
        return _splits_in_classes(tree)
    folders = _split_folders(tree, choice)
    below = {folder: tree.below(folder) for folder in folders}
    flat = _flat_splits(folders, below)
    for folder, split in flat.items():
        if split == "train" or (split == "val" and not flat_val) or len(flat) == len(folders):
            where = repr(folder) if folder else "it"
            raise ItlError(f"{where} holds {counted(tree.total[folder], 'images')}, but no class folders")
    inside = {folder: relative for folder, relative in below.items() if folder not in flat}
    merged = list(dict.fromkeys(parts for relative in inside.values() for parts in relative if parts))
    if choice.splits is None:
        _refuse_split_names(merged)
    if choice.class_level is None and not choice.nested:
        _refuse_half_sorted(inside)
    masks = _mask_folders(merged) if choice.class_level is not None or choice.nested else set()
    named = _classes([parts for parts in merged if parts not in masks], choice, set(folders) != {""})
    return _assemble(tree, folders, inside, flat, named, masks, choice)


def _assemble(
    tree: Tree,
    folders: Mapping[str, str],
    inside: Mapping[str, dict[tuple[str, ...], int]],
    flat: Mapping[str, str],
    named: Mapping[tuple[str, ...], tuple[tuple[str, ...], str]],
    masks: Collection[tuple[str, ...]],
    choice: Choice,
) -> Layout:
    """Put together what the folders are: *named* has the class folder and the class of each, in any split."""
    class_of, names, containers, beside, of_masks = {}, {}, set(), 0, 0
    seen: dict[tuple[str, str], str] = {}
    for folder, relative in inside.items():
        for parts, count in relative.items():
            if parts not in named:
                of_masks += count if parts in masks else 0
                beside += 0 if parts in masks else count
                continue
            top, name = named[parts]
            class_folder = _joined(folder, top)
            class_of[_joined(folder, parts)] = (folders[folder], name)
            containers.add(class_folder.rpartition("/")[0])
            other = seen.setdefault((class_folder.rpartition("/")[0], name), class_folder)
            if other != class_folder:
                raise ItlError(f"{other!r} and {class_folder!r} are two folders of one class, {name}")
            if (match := WNID_FOLDER.fullmatch(top[-1])) and match[2]:
                names[name] = match[2].replace("_", " ")
    images = sum(tree.counts[folder] for folder in class_of)
    if beside > images:
        raise ItlError(f"{counted(beside, 'images lie')} beside class folders, which hold only {images:,}")
    left_out = Counter({"images beside class folders": beside, "images in folders of masks": of_masks})
    for folder, split in flat.items():
        if split != "val":
            left_out[f"images of {split} without class folders"] += tree.total[folder]
    rest = tree.total[""] - images - beside - of_masks - sum(tree.total[folder] for folder in flat)
    left_out["images outside the splits"] = rest
    has_splits = set(folders) != {""} or choice.splits not in (None, "none")
    root = os.path.commonpath([folder.rpartition("/")[0] for folder in folders] if has_splits else containers)
    where = sorted((inside.keys() if has_splits else containers) - {""})
    words = "each folder a class" if choice.nested else "class folders"
    words += f" in {', '.join(where)}" if where and not (choice.nested and not has_splits) else ""
    return Layout(class_of, flat, names, left_out, root, frozenset(containers), has_splits, words)


def _split_folders(tree: Tree, choice: Choice) -> dict[str, str]:
    """Return the split of each folder that holds one; the outermost folder is train if there are none."""
    if choice.splits is not None:
        return _chosen_splits(tree, choice.splits)
    top = ""
    while (child := tree.only_child(top)) and not split_of(last_of(child)) and tree.children.get(child):
        top = child
    folders = {child: split for child in sorted(tree.children[top]) if (split := split_of(last_of(child)))}
    if not folders:
        return {"": "train"}
    others = [
        child
        for child in sorted(tree.children[top] - folders.keys())
        if not UNLABELLED.intersection(words_of(last_of(child)))
    ]
    if others:
        beside = f"folders named like splits, {_quoted(folders)}, lie beside others, {_quoted(others)}"
        raise ItlError(f"{beside}{_split_hint(tree, folders, others[0])}")
    refuse_two_of_one_split(tree, folders)
    return {_step_into_itself(tree, folder): split for folder, split in folders.items()}


def _split_hint(tree: Tree, folders: Mapping[str, str], other: str) -> str:
    """Say how the folder *other* is read as a split too, if it has class folders of the splits *folders*."""
    classes = {last_of(child) for folder in folders for child in tree.children.get(folder, ())}
    likely = splits_in(words_of(last_of(other))) or set(SPLITS.values())
    free = [split for split in ("val", "test", "train") if split in likely.difference(folders.values())]
    if not free or not classes & {last_of(child) for child in tree.children.get(other, ())}:
        return ""
    named = ",".join([*(f"{split}={folder}" for folder, split in folders.items()), f"{free[0]}={other}"])
    return f" (if {last_of(other)} is a split, name it: {Choice(named).words()})"


def _step_into_itself(tree: Tree, folder: str) -> str:
    """Step from train into train/train."""
    while (child := tree.only_child(folder)) and split_of(last_of(child)) == split_of(last_of(folder)):
        folder = child
    return folder


def refuse_two_of_one_split(tree: Tree, folders: Mapping[str, str]) -> None:
    """Raise ItlError for train and training side by side; train.X1 and train.X2 are parts of one split."""
    for split in set(folders.values()):
        parts = [folder for folder in folders if folders[folder] == split]
        stems = {re.sub(r"\d+", "", last_of(folder)).casefold() for folder in parts}
        if len(stems) > 1:
            raise ItlError(f"{_quoted(parts)} are both named like {split}")
        shared = Counter(parts for folder in parts for parts in tree.below(folder))
        if len(parts) > 1 and max(shared.values()) > 1:
            raise ItlError(f"{_quoted(parts)} hold the same folders, so they may be versions of one {split}")
    whole = [folder for folder in folders if "trainval" in words_of(last_of(folder))]
    if whole and "val" in folders.values():
        raise ItlError(f"{_quoted(whole)}, by its name, has the images of the folder of val too")


def _chosen_splits(tree: Tree, text: str) -> dict[str, str]:
    """Return the split of each folder that the option splits names."""
    if text == "none":
        return {"": "train"}
    folders = {}
    for entry in text.split(","):
        split, equals, folder = entry.partition("=")
        folder = "" if folder == "." else (folder if equals else entry).strip("/")
        split = split if equals else split_of(last_of(entry)) or ""
        if split not in SPLITS.values():
            raise ItlError(f"splits is none or SPLIT=FOLDER,…, SPLIT one of train, val, test; got {entry!r}")
        if folder not in tree.total:
            hint = did_you_mean(folder, tree.total)
            raise ItlError(f"splits names the folder {folder!r}, which holds no images; {hint}".rstrip("; "))
        folders[folder] = split
    for folder in folders:
        is_inside = any(name != folder and f"{folder}/".startswith(f"{name}/") for name in folders)
        if is_inside or ("" in folders and len(folders) > 1):
            raise ItlError(f"splits names {folder!r} and a folder that holds it")
    return folders


def _splits_in_classes(tree: Tree) -> Layout:
    """Read class folders that hold the splits, as cat/train/1.jpg; ItlError if there is anything else."""
    top = ""
    while (child := tree.only_child(top)) and child in tree.children:
        top = child
    class_of = {}
    for parts in tree.below(top):
        split = split_of(parts[1]) if len(parts) == 2 else None
        if split is None or split_of(parts[0]):
            raise ItlError(f"{'/'.join(parts)!r} is no split inside a class folder")
        class_of[_joined(top, parts)] = (split, wnid_of(parts[0]) or parts[0])
    return Layout(class_of, words="class folders that hold the splits")


def _flat_splits(
    folders: Mapping[str, str], inside: Mapping[str, dict[tuple[str, ...], int]]
) -> dict[str, str]:
    """Return the splits without class folders: all images lie in one folder that is no class of another."""
    flat = {}
    for folder, relative in inside.items():
        tops = {parts[:1] for parts in relative if parts}
        others = {parts[:1] for other in inside if other != folder for parts in inside[other] if parts}
        others = {part for part in others if not is_container(part[0])}
        one_folder = len(relative) == 1 and all(is_container(part) for (part,) in tops)
        if not tops or (one_folder and others):
            flat[folder] = folders[folder]
    return flat


def _mask_folders(folders: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Return those of *folders*, as parts of paths, that are in one of masks beside one of images.

    >>> _mask_folders([("cat", "images"), ("cat", "masks"), ("masks",), ("dog", "masks")])
    {('cat', 'masks')}
    """
    folders = set(folders)
    beside = {parts[:depth] for parts in folders for depth, name in enumerate(parts) if _holds_files(name)}
    return {
        parts
        for parts in folders
        for depth, name in enumerate(parts)
        if parts[:depth] in beside and re.sub(r"[\W_]", "", name.casefold()) in MASK_FOLDERS
    }


def _refuse_split_names(merged: Sequence[tuple[str, ...]]) -> None:
    """Raise ItlError for classes that are named like splits, or for splits further down."""
    if inner := next((parts for parts in merged if any(map(split_of, parts))), None):
        raise ItlError(f"{'/'.join(inner)!r} has the name of a split, where classes are expected")
    tops = {parts[0] for parts in merged}
    splits = {top: splits_in(words_of(top)) for top in tops if not wnid_of(top)}
    alike = sorted(top for top in splits if splits[top])
    if len(set().union(*(splits[top] for top in alike))) == 1:  # testTube is a class beside beaker
        alike = [top for top in alike if splits_in(words_of(top.casefold()))]
    if alike and 2 * len(alike) >= len(tops):
        raise ItlError(f"{_quoted(alike)} are named like splits, where classes are expected")


def _classes(
    merged: Sequence[tuple[str, ...]], choice: Choice, in_splits: bool
) -> dict[tuple[str, ...], tuple[tuple[str, ...], str]]:
    """Return the class folder and the class of each folder, relative to its split; ItlError if unclear."""
    if choice.class_level is not None:
        level = choice.class_level
        tops = {parts: parts[:level] for parts in merged if len(parts) >= level}
        if level < 1 or not tops:
            deepest = max(map(len, merged), default=0)
            raise ItlError(f"class_level is a level from 1 to {deepest} in this tree, not {level}")
        return {parts: (top, wnid_of(top[-1]) or top[-1]) for parts, top in tops.items()}
    start = _container(merged, choice.nested, in_splits)
    relative = {parts: parts[len(start) :] for parts in merged if len(parts) > len(start)}
    if choice.nested:
        return {parts: (parts, "/".join(inner)) for parts, inner in relative.items()}
    if _under_letters(set(relative.values())):
        return {parts: (parts, "/".join(inner[1:])) for parts, inner in relative.items()}
    folders = list(relative.values())
    inside = all(is_container(part) or part == parts[0] for parts in folders for part in parts[1:])
    same = len({len(parts) for parts in folders}) == 1 or all(wnid_of(parts[0]) for parts in folders)
    for name in sorted({parts[0] for parts in folders}):
        if _holds_files(name):
            raise ItlError(f"{name!r} is no class by its name, but where images of any class lie")
    if not inside or not same:
        deep = sorted("/".join(parts) for parts in folders if len(parts) > 1)
        raise ItlError(f"folders lie inside the folders that may be classes: {examples(deep)}")
    return {parts: ((*start, inner[0]), wnid_of(inner[0]) or inner[0]) for parts, inner in relative.items()}


def _refuse_half_sorted(inside: Mapping[str, dict[tuple[str, ...], int]]) -> None:
    """Raise ItlError if images lie in a folder of files beside class folders that another split has too.

    Or if they lie in a class folder and in one of its name in it, as where an archive was unpacked twice.
    """
    for folder, relative in inside.items():
        others = {parts[0] for other in inside if other != folder for parts in inside[other] if parts}
        classes = sorted({parts[0] for parts in relative if parts} & others)
        for parts, count in relative.items():
            if len(parts) > 1 and parts[-1] == parts[-2] and parts[:-1] in relative:
                outer, inner = _joined(folder, parts[:-1]), _joined(folder, parts)
                raise ItlError(f"{outer!r} and {inner!r} both hold images; if they are copies, move one away")
            if classes and len(parts) == 1 and parts[0] not in others and _holds_files(parts[0]):
                loose = _joined(folder, parts)
                raise ItlError(
                    f"{folder!r} is half sorted: {counted(count, 'images lie')} in {loose!r}, beside the "
                    f"class folders {examples(classes)} (if all are there too, as copies, move {loose!r} "
                    f"elsewhere)"
                )


def _holds_files(name: str) -> bool:
    """Say whether a folder called *name* is where images of any class lie."""
    words = words_of(name)
    return bool(words) and FILE_FOLDERS.issuperset(words)


def _container(merged: Sequence[tuple[str, ...]], nested: bool, in_splits: bool) -> tuple[str, ...]:
    """Return the folder around all class folders, as parts: it is the only one, and no class itself.

    It is named as such, as in images/cat, or it holds wnids, as archives of ImageNet do: bus/indoor and
    bus/outdoor may be one class.
    """
    start: tuple[str, ...] = ()
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
            raise ItlError(f"all images lie in {top!r}, which may be one class, or hold the class folders")
        start = (*start, top)


def _under_letters(folders: set[tuple[str, ...]]) -> bool:
    """Say whether classes lie under the letter that they start with, as in Places365 and SUN397."""
    if not all(len(parts) > 1 and len(parts[0]) == 1 < len(parts[1]) for parts in folders):
        return False
    nested = any(other[: len(one)] == one != other for one in folders for other in folders)
    return not nested and all(parts[1][0].casefold() == parts[0].casefold() for parts in folders)


def words_of(name: str) -> list[str]:
    """Return the words in the name of a folder or file, in lower case, without numbers.

    >>> words_of("ILSVRC2012_img_train"), words_of("trainset"), words_of("trainA"), words_of("TrainVal")
    (['ilsvrc', 'img', 'train'], ['train'], ['train', 'a'], ['trainval'])
    """
    words = []
    for word in filter(None, re.split(r"[\W\d_]+", name)):
        whole, parts = _without_suffix(word), [_without_suffix(part) for part in CAMEL_CASE.split(word)]
        words += [whole] if whole in SPLITS or SPLITS.keys().isdisjoint(parts) else parts
    return words


def _without_suffix(word: str) -> str:
    """Return *word* in lower case, that of a split alone: train for trainset."""
    stem = SUFFIX_WORDS.sub("", word := word.casefold())
    return stem if stem in SPLITS else word


def is_container(name: str) -> bool:
    """Say whether a folder called *name* is no class, but where the images of one or all classes lie."""
    words = words_of(name)
    return bool(words) and CONTAINERS.issuperset(words)


def last_of(folder: str) -> str:
    """Return the last part of the path *folder*."""
    return folder.rpartition("/")[2]


def _joined(folder: str, parts: tuple[str, ...]) -> str:
    return "/".join([folder, *parts] if folder else parts)


def _quoted(names: Iterable[str]) -> str:
    return examples([repr(name) for name in names])
