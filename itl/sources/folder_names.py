"""What the names of folders tell beside splits: classes, and images or masks of any class."""

import re

from itl.sources.split_names import words_of

UNLABELLED = {"pred", "prediction", "predictions", "unlabeled", "unlabelled"}  # beside splits or classes
FILE_FOLDERS = {  # beside masks; the last two are nnU-Net's
    *("data", "image", "images", "img", "imgs", "jpegimages", "jpg", "jpeg", "png", "imagestr", "imagests"),
}
PHOTO_FOLDERS = {"photo", "photos", "pictures", "original", "originals", "frames", "raw"}  # beside masks too
PART_WORDS = {"part", "batch", "chunk", "fold", "shard"}  # of numbered folders that divide one set of images
MASK_FOLDERS = {  # beside those, in lower case without signs between words
    *("mask", "masks", "groundtruth", "gt", "annotation", "annotations", "label", "labels"),
    *("segmentation", "segmentations", "seg"),
}
CONTAINERS = FILE_FOLDERS | {"photos", "pictures", "all", "unknown"}  # n01440764/images, val/all: no class
WNID_FOLDER = re.compile(r"(n\d{8})(?:[ _.-]+(.+))?")  # n01440764, n01440764_tench, n02085620-Chihuahua


def wnid_of(folder: str) -> str | None:
    """Return the wnid at the start of the name of a *folder*, None if there is none.

    >>> wnid_of("n02085620-Chihuahua"), wnid_of("n02085620"), wnid_of("dog")
    ('n02085620', 'n02085620', None)
    """
    match = WNID_FOLDER.fullmatch(folder)
    return match[1] if match else None


def is_container(name: str) -> bool:
    """Say whether a folder called *name* is no class, but where the images of one or all classes lie."""
    words = words_of(name)
    return bool(words) and CONTAINERS.issuperset(words)


def holds_files(name: str) -> bool:
    """Say whether a folder called *name* is where images of any class lie."""
    words = words_of(name)
    return bool(words) and FILE_FOLDERS.issuperset(words)


def is_of_photos(name: str) -> bool:
    """Say whether a folder called *name*, beside one of masks, is where their images lie."""
    words = words_of(name)
    return bool(words) and (FILE_FOLDERS | PHOTO_FOLDERS).issuperset(words)


def is_of_masks(name: str) -> bool:
    """Say whether a folder called *name*, beside one of images, is where their masks lie."""
    return re.sub(r"[\W_]", "", name.casefold()) in MASK_FOLDERS


def is_unlabelled(name: str) -> bool:
    """Say whether a folder called *name* is where images without a label lie, as far as its words tell."""
    words = words_of(name)
    return bool(words) and UNLABELLED.issuperset(words)


def last_of(folder: str) -> str:
    """Return the last part of the path *folder*."""
    return folder.rpartition("/")[2]
