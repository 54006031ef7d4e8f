"""Folders as the classes of the images of lists that have no labels."""

from collections.abc import Iterable, Mapping, Sequence

from itl import ItlError
from itl.sources.listed.image_lists import ListedImage
from itl.sources.split_names import class_folder

Images = Sequence[tuple[ListedImage, str]]  # of a list, each with its path; '' where it is not there


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
        folder = class_folder(image)
        if image and (not folder or class_folder(entry.image) not in ("", folder)):
            return entry
    return None


def label_by_folders(lists: Mapping[str, Images], labels: Iterable[str] = ()) -> dict[str, list[ListedImage]]:
    """Return *lists* with the folders of their images as labels: none for images that are not there.

    Lists of images outside of class folders are left out. So are those of one folder alone, which tells no
    classes, unless it is one of the *labels* of other lists, or another of *lists* has it beside others.
    """
    inside = {file: images for file, images in lists.items() if not first_outside(images)}
    classes = {file: {class_folder(image) for _, image in images if image} for file, images in inside.items()}
    known = {*labels}.union(*(names for names in classes.values() if len(names) > 1))
    labelled = {file: images for file, images in inside.items() if known and classes[file] <= known}
    return {
        file: [entry._replace(label=class_folder(image)) for entry, image in images]
        for file, images in labelled.items()
    }
