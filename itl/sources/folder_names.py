"""What the names of folders tell: splits, classes, and images or masks of any class."""

import re
from collections.abc import Iterable

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
NEUTRAL = {  # words beside them that say nothing: seg_train, ILSVRC2012_img_train, train.X1, train_set
    *("set", "data", "dataset", "image", "images", "img", "imgs", "jpg", "jpeg", "png", "folder", "dir"),
    *("split", "seg", "x", "ilsvrc", "imagenet", "cls", "loc"),
}
CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # trainA, GTSRBTest
SUFFIX_WORDS = re.compile(r"(?<=.)(set|data|images|imgs|img)$")  # trainset
WNID_FOLDER = re.compile(r"(n\d{8})(?:[ _.-]+(.+))?")  # n01440764, n01440764_tench, n02085620-Chihuahua


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
