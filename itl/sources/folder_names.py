"""What names of folders mean besides splits: classes, and images or masks of any class."""

import re
from collections.abc import Iterable

from itl.sources.split_names import CAMEL_CASE, words_of

UNLABELLED = {  # beside splits or classes
    *("pred", "prediction", "predictions", "unlabeled", "unlabelled", "unannotated", "unclassified"),
    "unsorted",
}
FILE_FOLDERS = {  # beside masks; the last two are nnU-Net's
    *("data", "image", "images", "img", "imgs", "jpegimages", "jpg", "jpeg", "png", "imagestr", "imagests"),
}
PHOTO_FOLDERS = {"photo", "photos", "pictures", "original", "originals", "frames", "raw"}  # beside masks too
PART_WORDS = {"part", "batch", "chunk", "fold", "shard"}  # of numbered folders that divide one set of images
MASK_FOLDERS = {  # beside those, in lower case without signs between words
    *("mask", "masks", "groundtruth", "gt", "annotation", "annotations", "label", "labels"),
    *("segmentation", "segmentations", "seg"),
}
MASK_WORDS = MASK_FOLDERS | {"anno", "annos", "depth", "matte", "mattes"}  # in longer names
CONTAINERS = FILE_FOLDERS | {"photos", "pictures", "all", "unknown"}  # n01440764/images, val/all: no class
_NO_LABEL = re.compile(r"(?<![^\W_])(no|without)[\W_]?labels?(?![^\W_])", re.IGNORECASE)
WNID_FOLDER = re.compile(r"(n\d{8})(?:[ _.-]+(.+))?")  # n01440764, n01440764_tench, n02085620-Chihuahua


def wnid_of(folder: str) -> str | None:
    """Return the wnid at the start of the name of a *folder*, None if there is none.

    >>> wnid_of("n02085620-Chihuahua"), wnid_of("n02085620"), wnid_of("dog")
    ('n02085620', 'n02085620', None)
    """
    return match[1] if (match := WNID_FOLDER.fullmatch(folder)) else None


def is_container(name: str) -> bool:
    """Say whether a folder called *name* is no class, but where the images of one or all classes lie."""
    words = words_of(name)
    return bool(words) and CONTAINERS.issuperset(words)


def is_image_folder(name: str) -> bool:
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


def folder_of_masked(name: str) -> str:
    """Return the folder whose masks one called *name* has, if it is called after that; '' if not.

    >>> folder_of_masked("Trout GT"), folder_of_masked("cat_ground_truth"), folder_of_masked("cat_2")
    ('Trout', 'cat', '')
    """
    ends = (match.start() for match in re.finditer(r"[\W_]+", name))
    return next((name[:end] for end in ends if is_of_masks(name[end:])), "")


def has_word_of_masks(name: str) -> bool:
    """Say whether the *name* of a folder has a word of masks beside others.

    >>> has_word_of_masks("pixelwiseGT-new"), has_word_of_masks("GroundTruth_BMP"), has_word_of_masks("agt")
    (True, True, False)
    """
    words = [part.casefold() for word in re.split(r"[\W\d_]+", name) for part in CAMEL_CASE.split(word)]
    pairs = map("".join, zip(words, words[1:], strict=False))  # ground truth
    return not MASK_WORDS.isdisjoint([*words, *pairs])


def is_unlabelled(name: str) -> bool:
    """Say whether a folder called *name* is where images without a label lie, as far as its words tell."""
    words = words_of(_NO_LABEL.sub("unlabelled", name))
    others = FILE_FOLDERS | {"photo", "photos", "set", "dataset"}  # unlabelled_images
    return not UNLABELLED.isdisjoint(words) and (UNLABELLED | others).issuperset(words)


def is_class_of_labels(name: str, others: Iterable[str]) -> bool:
    """Say whether a folder called *name* is a class like *others*, of labels that may be missing.

    >>> is_class_of_labels("no label", ["good label", "torn"]), is_class_of_labels("no label", ["cat", "dog"])
    (True, False)
    """
    return bool(_NO_LABEL.search(name)) and any({"label", "labels"} & {*words_of(other)} for other in others)
