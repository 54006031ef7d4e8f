"""Folders as the classes of the images of lists that have no labels."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from itl.errors import ItlError
from itl.sources.folder_names import CONTAINERS, PART_WORDS
from itl.sources.listed.list_files import ListedImage
from itl.sources.split_names import (
    LIKE_SPLITS,
    NEUTRAL,
    SPLIT_OF_SHORT_WORD,
    SPLIT_OF_WORD,
    innermost_folder,
    words_of,
)

Images = Sequence[tuple[ListedImage, str]]  # of a list, each with its path; '' where it is not there
_NUMBERED = {*PART_WORDS, *SPLIT_OF_WORD, *CONTAINERS}  # words of folders whose number is of a part
_OF_ANY_CLASS = {*_NUMBERED, *SPLIT_OF_SHORT_WORD, *LIKE_SPLITS, *NEUTRAL}  # of folders around classes


def without_label(entry: ListedImage, file: str) -> ItlError:
    """Return the error that an image of the list *file* has no label."""
    return ItlError(f"{file}, line {entry.line}: {entry.image[:60]!r} has no label; write `IMAGE LABEL`")


def first_outside(images: Images) -> ListedImage | None:
    """Return the first of *images* that lies in no class folder, or not in that which its list names.

    Those that are not there are not judged: what reads the list says so of each.

    >>> entry = ListedImage("3 cat/1.jpg", "", 1)  # its label first
    >>> first_outside([(ListedImage("cat/2.jpg", "", 2), ""), (entry, "cat/1.jpg")]) == entry
    True
    """
    for entry, image in images:
        folder = innermost_folder(image)
        if image and (not folder or innermost_folder(entry.image) not in ("", folder)):
            return entry
    return None


def label_by_folders(lists: Mapping[str, Images], labels: Iterable[str] = ()) -> dict[str, list[ListedImage]]:
    """Return *lists* with the folders of their images as labels: none for images that are not there.

    Lists of images outside of class folders are left out. So are those of one folder alone, which tells no
    classes, unless it is one of the *labels* of other lists, or another of *lists* has it beside others.
    ItlError if it is not certain whether two folders are one class.
    """
    inside = {file: images for file, images in lists.items() if not first_outside(images)}
    classes = {
        file: {innermost_folder(image) for _, image in images if image} for file, images in inside.items()
    }
    known = {*labels}.union(*(names for names in classes.values() if len(names) > 1))
    labelled = {file: images for file, images in inside.items() if known and classes[file] <= known}
    paths = (image.rpartition("/")[0] for images in labelled.values() for _, image in images if image)
    _refuse_alike({*paths}, next(iter(labelled), ""))
    return {
        file: [entry._replace(label=innermost_folder(image)) for entry, image in images]
        for file, images in labelled.items()
    }


def describe_folders(images: Images, file: str) -> str:
    """Return the note that folders are the classes of *images*; it names one where others lie around them.

    >>> images = ("benign/case1/0.jpg", "nevus/case2/1.jpg")
    >>> describe_folders([(ListedImage(image, ""), image) for image in images], "a.txt")
    'a.txt has no labels: the class of an image is its folder, the innermost, such as case1 in benign'
    """
    folders = sorted({image.rpartition("/")[0] for _, image in images if image})
    outer, _, last = max(folders, key=lambda folder: folder.count("/"), default="").rpartition("/")
    are_several = len({_class_key(folder)[:-1] for folder in folders}) > 1
    such = f", the innermost, such as {last} in {outer}" if are_several else ""
    return f"{file} has no labels: the class of an image is its folder{such}"


def _refuse_alike(folders: Collection[str], file: str) -> None:
    """Raise ItlError if two of *folders*, of the images of lists such as *file*, have one last name.

    Or if one lies in another. In either case they may be one class or two, but not in folders of two splits.
    """
    key_of = {folder: _class_key(folder) for folder in sorted(folders)}
    path_of = {key: folder for folder, key in key_of.items()}
    first_of: dict[str, str] = {}  # folder of each last name
    for folder, key in key_of.items():
        parts = folder.split("/")
        outer_keys = [_class_key("/".join(parts[:depth])) for depth in range(1, len(parts))]
        around = [path_of[outer_key] for outer_key in outer_keys if outer_key in path_of]
        first = first_of.setdefault(parts[-1], folder)
        if alike := [first] if key_of[first] != key else around:
            raise ItlError(
                f"{file} has no labels, and images of lists lie in {alike[0]} and {folder}, which may be "
                f"one class or two; write `IMAGE LABEL`, or a column label"
            )


def _class_key(folder: str) -> tuple[str, ...]:
    """Return the last part of *folder*, after the words of others that may be of a class: not of splits.

    >>> _class_key("train_images/church/indoor"), _class_key("birds_part2/crow"), _class_key("SOB/40X/1")
    (('church', 'indoor'), ('birds', 'crow'), ('sob', '40', '1'))
    >>> _class_key("images_001/cat"), _class_key("JPEGImages_2/cat")
    (('cat',), ('cat',))
    """
    *outer, last = folder.split("/")
    kept: list[str] = []
    for name in outer:
        words = words_of(name) or [name]
        kept += [word for word in words if word not in _OF_ANY_CLASS]
        kept += re.findall(r"\d+", name) if _NUMBERED.isdisjoint(words) else []
    return (*kept, last)
