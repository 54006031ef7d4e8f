"""PASCAL VOC's files: annotations in XML, lists of images, and the folder of one year of the devkit."""

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from itl import ItlError, counted
from itl.sources import archives
from itl.sources.archives import Listing
from itl.sources.boxes import SIDES, AnnotatedObject, box_with_area, clip_box, float_or_nan
from itl.sources.records import short_name
from itl.storage import text_lines

YEAR_FOLDERS = ("Annotations", "ImageSets", "JPEGImages")
FLAGS = {"1": True, "true": True, "0": False, "false": False, "": False, "unspecified": False}


@dataclass(frozen=True)
class Annotation:
    """What one XML file says about its image."""

    width: int | None  # of the image that boxes are measured in, None if that is not known
    height: int | None
    objects: tuple[AnnotatedObject, ...]  # in the file's order; parts of persons are not objects
    actions: tuple[Mapping[str, bool], ...] = ()  # of each object; empty where the file says nothing
    image: str = ""  # the name that the file gives its image, without folders and suffix


def read_annotation(data: bytes, name: str, outside: str = "refuse") -> Annotation:
    """Read one annotation file, as VOC's development kit has it; ItlError, about *name*, for what is wrong.

    Boxes are 1-based and inclusive; the fractions that VOC2011 and later years hold are rounded. Those that
    reach outside their image are a mistake, unless *outside* is "cut", which clips them.
    """
    root = parse_xml(data, name)
    annotation, problems = parse_annotation(root, name, stated_size(root, name), outside)
    if problems:
        raise ItlError(problems[0])
    return annotation


def parse_annotation(
    root: ElementTree.Element, name: str, size: tuple[int | None, int | None], outside: str
) -> tuple[Annotation, list[str]]:
    """Read an annotation file as `read_annotation` does, but without invalid objects.

    *size* is width and height of the image that its boxes are measured in; None where it is not known.

    Returns:
        The annotation, and a line for each object that was left out.
    """
    objects, actions, problems = [], [], []
    for number, element in enumerate(root.findall("object"), 1):
        where = f"{name}, object {number}"
        try:
            one = _object(element, size, where)
            objects.append(clip_box(one, *size, where, outside))
            actions.append(_actions(element, where))
        except ItlError as error:
            problems.append(str(error))
    image = short_name(_text(root, "filename"))
    return Annotation(*size, tuple(objects), tuple(actions), image), problems


def read_annotations(path: Path, outside: str = "refuse") -> Iterator[tuple[str, Annotation]]:
    """Yield image id and annotation of every XML file under *path*: a folder of them, a devkit, or a tar.

    *outside* is as in `read_annotation`. ItlError if there is none, one is invalid, or two are of one image.
    """
    listing = archives.list_files(path)
    files = {name: file for name, file in sorted(listing.files.items()) if name.lower().endswith(".xml")}
    below = {name: file for name, file in files.items() if "Annotations" in name.split("/")[:-1]}
    names: dict[str, str] = {}
    for name, file in (below or files).items():
        image = name[:-4].rpartition("Annotations/")[2]
        if image in names:
            raise ItlError(f"{path}: {names[image]} and {name} annotate one image; give one year's folder")
        names[image] = name
        yield image, read_annotation(file.read(), name, outside)
    if not names:
        raise ItlError(f"{path} holds no annotations; give a folder of XML files, as VOC2007/Annotations")


def read_objects(
    path: Path, image_list: Path | None = None, outside: str = "refuse"
) -> tuple[pd.DataFrame, dict[str, tuple[int | None, int | None]]]:
    """Read VOC's annotations at *path*, as `read_annotations` does, of all images or those in *image_list*.

    Returns:
        The objects, with the columns image, name, xmin, ymin, xmax, ymax and difficult, and width and height
        of each image by id; None if its annotation does not tell them.

    Raises:
        ItlError: If an annotation is invalid, or *image_list* lists no image or one that is not annotated.
    """
    listed = None if image_list is None else _read_image_list(image_list)
    wanted = None if listed is None else {*listed, *map(short_name, listed)}
    rows, sizes = [], {}
    for image, annotation in read_annotations(path, outside):
        if wanted is None or image in wanted:
            sizes[image] = annotation.width, annotation.height
            rows += [(image, one.name, *one.box, one.difficult) for one in annotation.objects]
    if missing := sorted(name for name in listed or () if not {name, short_name(name)} & sizes.keys()):
        raise ItlError(
            f"{image_list} lists {counted(len(missing), 'images')} that {path} does not annotate, such as "
            f"{missing[0]!r}; give a list of these annotations"
        )
    return pd.DataFrame(rows, columns=["image", "name", *SIDES, "difficult"]), sizes


def _read_image_list(path: Path) -> set[str]:
    names = {line.split()[0] for line in read_list(archives.read_file(path))}
    if not names:
        raise ItlError(f"{path} lists no image; it should hold an image's name on each line")
    return names


def read_list(data: bytes) -> list[str]:
    """Return the lines of a list of images, without byte-order mark and blank lines.

    >>> read_list(b"000005\\r\\n\\r\\n000007 \\n")
    ['000005', '000007']
    """
    lines = (line.strip() for line in text_lines(data.decode("utf-8-sig", errors="replace")))
    return [line for line in lines if line]


def assign_splits(lists: Mapping[str, list[str]], notes: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Assign each name of some lists to train, val or test.

    A name that only trainval has is in train, or in val if train has a list of its own and val has none.

    Args:
        lists: Names by list: train, val, trainval, test.
        notes: Receives a note on each list that is empty or has repeated lines.

    Returns:
        The split of each name, and for names that are in two splits both, such as "train and test".

    >>> assign_splits({"trainval": ["1", "2"], "val": ["2"], "test": ["3"]}, [])[0]
    {'1': 'train', '2': 'val', '3': 'test'}
    """
    for name, names in lists.items():
        if not names:
            notes.append(f"the list {name} is empty")
        if repeated := len(names) - len(set(names)):
            notes.append(f"the list {name} has {counted(repeated, 'lines')} twice, counted once")
    rest = "val" if "train" in lists and "val" not in lists else "train"
    in_train_or_val = {*lists.get("train", ()), *lists.get("val", ())}
    claims = [(name, rest) for name in lists.get("trainval", ()) if name not in in_train_or_val]
    for split in ("train", "val", "test"):
        claims += [(name, split) for name in lists.get(split, ())]
    split_of: dict[str, str] = {}
    in_two = {}
    for name, split in claims:
        if split_of.setdefault(name, split) != split:
            in_two[name] = f"{split_of[name]} and {split}"
    return dict(sorted(split_of.items())), in_two


def list_devkit(path: Path, year: str) -> Listing:
    """List the folder of *year*, such as VOC2007, with names relative to it; ItlError if there is none.

    It is at *path*, inside it or in a tar, or in the published tars side by side, whose contents are merged.
    """
    listings = [archives.list_files(path)]
    if path.is_dir():
        tars = [file for file in path.iterdir() if file.suffix == ".tar" and "voc" in file.name.lower()]
        listings += [archives.list_files(tar) for tar in sorted(tars)]
    merged, other_years = Listing(), set()
    for listing in listings:
        names = {root: root.rpartition("/")[2] or path.resolve().stem for root in _year_roots(listing)}
        matching = {root for root, name in names.items() if _is_year(name, year)}
        other_years |= {name for root, name in names.items() if root not in matching}
        own = [root for root, name in names.items() if not re.match(r"VOC\d{4}", name, re.IGNORECASE)]
        for root in sorted(matching or (own if len(own) == 1 else ())):
            inner = listing.inside(root) if root else listing
            merged.add_copies(_files_of_year(inner))
            merged.folders |= inner.folders
        merged.left_out += listing.left_out
    if not merged.files:
        present = f"only {', '.join(sorted(other_years))}" if other_years else "no such folder"
        _refuse_other_formats(path, listings[0])
        raise ItlError(
            f"{path} should hold a folder {year} with {', '.join(YEAR_FOLDERS)}; found {present}; give "
            f"VOCdevkit, {year} itself, or the published tars in one folder"
        )
    return merged


def _files_of_year(listing: Listing) -> Iterator[tuple[str, archives.Member]]:
    """Yield what is read of a year, named as in the devkit: other tools write 000005.XML and train.TXT."""
    for name, file in listing.files.items():
        stem, suffix = os.path.splitext(name)
        if name.startswith(YEAR_FOLDERS):
            yield stem + suffix.lower() if suffix.lower() in (".xml", ".txt") else name, file


def _is_year(folder: str, year: str) -> bool:
    """Say whether the folder of a devkit is that of *year*; Kaggle adds to its name.

    >>> _is_year("VOC2012_train_val", "VOC2012"), _is_year("VOC2012", "VOC2007")
    (True, False)
    """
    pattern = rf"{year}([_-](train|val|trainval|test|train_val))?"
    return re.fullmatch(pattern, folder, re.IGNORECASE) is not None


def _refuse_other_formats(path: Path, listing: Listing) -> None:
    """Raise ItlError for boxes in other layouts that annotation tools write."""
    names = {name.rpartition("/")[2] for name in listing.files}
    if names & {"data.yaml", "classes.txt"} and any(name.lower().endswith(".txt") for name in names):
        raise ItlError(
            f"{path} has boxes as YOLO's text files, which itl does not read; export them as COCO JSON and "
            f"read them with the source coco"
        )
    beside = {name.rpartition(".")[0] for name in listing.files if not name.endswith(".xml")}
    if any(name.endswith(".xml") and name[:-4] in beside for name in listing.files):
        raise ItlError(
            f"{path} has XML files beside their images, in no layout of VOC; move the images to JPEGImages, "
            f"the XML to Annotations, and list images in ImageSets/Main/train.txt and test.txt, or export "
            f"them as COCO JSON and read them with the source coco"
        )


def _year_roots(listing: Listing) -> set[str]:
    """Return the folders that hold `YEAR_FOLDERS`, and are not inside such a folder themselves."""
    paths = [folder.split("/") for folder in listing.folders]
    outermost = [parts for parts in paths if not set(YEAR_FOLDERS).intersection(parts[:-1])]
    return {"/".join(parts[:-1]) for parts in outermost if parts[-1] in YEAR_FOLDERS}


def parse_xml(data: bytes, name: str) -> ElementTree.Element:
    """Parse the file *name*; ItlError if it is no annotation.

    Entities are refused: annotations have none, and expat alone limits their expansion.
    """
    if b"<!ENTITY" in data:
        raise ItlError(f"{name} declares XML entities, which annotations do not need; remove them")
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        reason = str(error).partition(":")[0]
        raise ItlError(f"{name}, line {error.position[0]}: not valid XML ({reason}); write it anew") from None
    except (LookupError, ValueError) as error:  # encodings that expat does not know
        raise ItlError(f"{name}: XML that cannot be read ({error}); save it as UTF-8") from None
    if root.tag != "annotation":
        raise ItlError(f"{name} holds <{root.tag[:40]}>, not the <annotation> of VOC; copy the file again")
    return root


def stated_size(root: ElementTree.Element, name: str) -> tuple[int | None, int | None]:
    """Return width and height of the image that an annotation states; some tools write 0 or nothing."""
    return _image_side(root, "width", name), _image_side(root, "height", name)


def _image_side(root: ElementTree.Element, tag: str, name: str) -> int | None:
    size = root.find("size")
    if size is None or not _text(size, tag):
        return None
    value = _pixel(_number(size, tag, name), None)
    if value < 0:
        raise ItlError(f"{name}: {tag} is {value}; it should be a number of pixels")
    return value or None


def _object(element: ElementTree.Element, size: tuple[int | None, int | None], where: str) -> AnnotatedObject:
    name = _text(element, "name")
    box = element.find("bndbox")
    if not name:
        raise ItlError(f"{where} has no name; write the class in <name>")
    if box is None:
        raise ItlError(f"{where}, {name!r}, has no box; write <bndbox> with {', '.join(SIDES)}")
    numbers = [_number(box, side, where) for side in SIDES]
    xmin, ymin, xmax, ymax = (_pixel(value, last) for value, last in zip(numbers, size * 2, strict=True))
    difficult, truncated = _flag(element, "difficult", where), _flag(element, "truncated", where)
    return AnnotatedObject(name, box_with_area((xmin, ymin, xmax, ymax), where, name), difficult, truncated)


def _pixel(value: float, last: int | None) -> int:
    """Round to a pixel from 1 to *last*; less than one pixel outside is a fraction, not a mistake."""
    if 0 < value < 1:
        return 1
    if last and last < value < last + 1:
        return last
    return math.floor(value + 0.5)


def _number(element: ElementTree.Element, tag: str, where: str) -> float:
    text = _text(element, tag)
    if not math.isfinite(value := float_or_nan(text)):
        raise ItlError(f"{where}: {tag} is {text[:40]!r}; it should be a number of pixels")
    return value


def _flag(element: ElementTree.Element, tag: str, where: str) -> bool:
    text = _text(element, tag)
    if text.lower() not in FLAGS:
        raise ItlError(f"{where}: {tag} is {text[:40]!r}; give 0 or 1")
    return FLAGS[text.lower()]


def _actions(element: ElementTree.Element, where: str) -> Mapping[str, bool]:
    actions = element.find("actions")
    if actions is None:
        return {}
    return {child.tag: _flag(actions, child.tag, where) for child in actions}


def _text(element: ElementTree.Element, tag: str) -> str:
    return " ".join((element.findtext(tag) or "").split())
