"""Folders that are not classes, recognised by the files in or beside them: masks, parts of one set."""

import re
from collections.abc import Collection, Mapping
from posixpath import basename

from itl.iteration import grouped
from itl.sources.folder_names import FILE_FOLDERS, has_word_of_masks, is_of_masks, is_of_photos
from itl.sources.records import is_image, stem_of
from itl.sources.split_names import words_of
from itl.words import examples


def describe_no_classes(files: Collection[str], class_of: Mapping[str, str]) -> str:
    """Say why the folders of images are no classes; '' if the names of *files* do not tell that.

    *class_of* has each folder of images, and the class that it would be of.
    """
    return _describe_parts(files, class_of) or _describe_masks(files, class_of)


def _describe_parts(files: Collection[str], folders: Collection[str]) -> str:
    """Say that *folders* are parts of one set, as img2dataset writes them: a table lies beside a number.

    Its images are called after their folder and a number.

    >>> _describe_parts({"0/01.jpg", "1/12.jpg", "0.parquet", "1_stats.json"}, ["0", "1"])
    "'0', '1' are parts of one set of images, as 0.parquet beside them tells"
    """
    numbered = sorted(folder for folder in folders if basename(folder).isdecimal())
    tables = [f"{folder}{end}" for folder in numbered for end in (".parquet", "_stats.json")]
    if not (table := next((name for name in tables if name in files), "")):
        return ""
    images = [name for name in files if is_image(name) and name.rpartition("/")[0] in numbered]
    if not all(stem_of(image).startswith(basename(image.rpartition("/")[0])) for image in images):
        return ""
    names = examples([repr(basename(folder)) for folder in numbered])
    return f"{names} are parts of one set of images, as {table} beside them tells"


def _describe_masks(files: Collection[str], class_of: Mapping[str, str]) -> str:
    """Say that all but one of the classes are masks, by a word of their names and one for each image.

    Folders called images and masks alone are not looked at: these the layout refuses by their names.

    >>> class_of = {"a_img": "a_img", "a_gt": "a_gt"}
    >>> _describe_masks(["a_img/0.jpg", "a_img/1.jpg", "a_gt/0.png", "a_gt/1.png"], class_of)
    "'a_gt' is no class by its name, but where masks of 'a_img' lie"
    >>> _describe_masks(["a_img/0.jpg", "a_img/1.jpg", "a_gt/0.png"], class_of)
    ''
    """
    classes = set(class_of.values())
    masks = set(filter(has_word_of_masks, classes))
    others = classes - masks
    if not masks or len(others) != 1 or (all(map(is_of_masks, masks)) and all(map(is_of_photos, others))):
        return ""
    images = filter(is_image, files)
    stems = grouped((class_of.get(name.rpartition("/")[0], ""), stem_of(name)) for name in images)
    photos = set(stems[photo := others.pop()])
    if "mask" in photo.casefold() and FILE_FOLDERS.isdisjoint(words_of(photo)):  # nomask: what people wear
        return ""
    if masks == {"mask"} and photo == "face":  # what people wear, too
        return ""
    for mask in masks:
        if len(photos) < 2 or {_image_of(stem, photos) for stem in stems[mask]} != photos:
            return ""
    return f"{min(masks)!r} is no class by its name, but where masks of {photo!r} lie"


def _image_of(stem: str, images: Collection[str]) -> str:
    """Return the one of *images* that a mask is called after; '' if none is.

    >>> _image_of("im_1.ah", {"im_1"}), _image_of("im_1", {"im_1"}), _image_of("im_10", {"im_1"})
    ('im_1', 'im_1', '')
    """
    starts = (stem[: match.start()] for match in re.finditer(r"[\W_]|$", stem))
    return next((start for start in starts if start in images), "")
