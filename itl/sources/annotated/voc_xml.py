"""PASCAL VOC's annotations in XML, whose boxes are 1-based and inclusive, in pixels."""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from itl.errors import ItlError
from itl.iteration import grouped
from itl.sources.annotated.voc_devkit import listed_images, read_list
from itl.sources.boxes import (
    FLAG_OF_TEXT,
    SIDES,
    AnnotatedObject,
    Size,
    box_with_area,
    clip_box,
    float_or_nan,
    is_turned,
    whole_pixel,
)
from itl.sources.files import archives
from itl.sources.records import plain_label, stem_of
from itl.words import counted


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
    annotation, problems = parse_annotation(root, name, size_in_xml(root, name), outside)
    if problems:
        raise ItlError(problems[0])
    return annotation


def parse_annotation(
    root: ElementTree.Element, name: str, size: Size, outside: str
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
            if _flag(element, "deleted", where):  # in LabelMe, which keeps it
                continue
            obj = _object(element, size, where)
            objects.append(clip_box(obj, *size, where, outside))
            actions.append(_actions(element, where))
        except ItlError as error:
            problems.append(str(error))
    return Annotation(*size, tuple(objects), tuple(actions), stem_of(_text(root, "filename"))), problems


def read_annotations(
    path: Path, outside: str = "refuse", image_list: Path | None = None
) -> Iterator[tuple[str, Annotation]]:
    """Yield image id and annotation of every XML file under *path*: a folder of them, a devkit, or a tar.

    *outside* is as in `read_annotation`; XML of images that are not in *image_list* is not read. ItlError if
    no XML is there, one is invalid, two are of one image, or the list has no image or one without XML.
    """
    listing = archives.open_listing(path)
    files = {name: file for name, file in sorted(listing.files.items()) if name.lower().endswith(".xml")}
    if not files:
        raise ItlError(f"{path} holds no annotations; give a folder of XML files, as VOC2007/Annotations")
    below = {name: file for name, file in files.items() if "Annotations" in name.split("/")[:-1]}
    names = grouped((name[:-4].rpartition("Annotations/")[2], name) for name in below or files)  # by image
    wanted = names.keys() if image_list is None else _images_of_list(image_list, names, path)
    for image in filter(wanted.__contains__, names):
        if len(names[image]) > 1:
            raise ItlError(
                f"{path}: {' and '.join(names[image][:2])} annotate one image; give one year's folder"
            )
        yield image, read_annotation(files[names[image][0]].read(), names[image][0], outside)


def read_objects(
    path: Path, image_list: Path | None = None, outside: str = "refuse"
) -> tuple[pd.DataFrame, dict[str, Size]]:
    """Read VOC's annotations at *path* as `read_annotations` does, which says what is an ItlError.

    Returns:
        The objects, with the columns image, name, xmin, ymin, xmax, ymax and difficult, and width and height
        of each image by id; None if its annotation does not tell them.
    """
    rows, sizes = [], {}
    for image, annotation in read_annotations(path, outside, image_list):
        sizes[image] = annotation.width, annotation.height
        rows += [(image, obj.name, *obj.box, obj.difficult) for obj in annotation.objects]
    return pd.DataFrame(rows, columns=["image", "name", *SIDES, "difficult"]), sizes


def _images_of_list(image_list: Path, images: Collection[str], path: Path) -> set[str]:
    """Return those of *images*, annotated at *path*, that the file *image_list* lists."""
    listed = set(listed_images(read_list(archives.read_file(image_list)), images))
    if not listed:
        raise ItlError(f"{image_list} lists no image; it should hold an image's name on each line")
    if missing := sorted(listed.difference(images)):
        raise ItlError(
            f"{image_list} lists {counted(len(missing), 'images')} that {path} does not annotate, such as "
            f"{missing[0]!r}; give a list of these annotations"
        )
    return listed


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
    _refuse_objects_elsewhere(root, name)
    return root


def _refuse_objects_elsewhere(root: ElementTree.Element, name: str) -> None:
    """Raise ItlError if *root* has objects with boxes further in, with capitals or in a namespace."""
    read = {element for element in root.findall("object") for element in element.iter()}
    for parent in root.iter():
        for child in parent:
            if child not in read and _plain_tag(child) == "object" and "bndbox" in map(_plain_tag, child):
                raise ItlError(
                    f"{name} has <{child.tag}> in <{parent.tag[:40]}>, which is not read; write objects as "
                    f"<object>, directly in <annotation>"
                )


def _plain_tag(element: ElementTree.Element) -> str:
    """Return the tag of *element* in lower case, without a namespace."""
    return element.tag.rpartition("}")[2].lower()


def size_in_xml(root: ElementTree.Element, name: str) -> Size:
    """Return width and height of the image that an annotation states; some tools write 0 or nothing."""
    return _image_side(root, "width", name), _image_side(root, "height", name)


def _image_side(root: ElementTree.Element, tag: str, name: str) -> int | None:
    size = root.find("size")
    if size is None or not _text(size, tag):
        return None
    value = whole_pixel(_number(size, tag, name))
    if value < 0:
        raise ItlError(f"{name}: {tag} is {value}; it should be a number of pixels")
    return value or None


def _object(element: ElementTree.Element, size: Size, where: str) -> AnnotatedObject:
    name = _text(element, "name")
    bndbox = element.find("bndbox")
    names = {(one.text or "").strip() for one in element.findall("name")} - {""}
    for tag, count in (("name", len(names)), ("bndbox", len(element.findall("bndbox")))):
        if count > 1:
            raise ItlError(f"{where} has more than one <{tag}>; write an <object> for each")
    if not name:
        raise ItlError(f"{where} has no name; write the class in <name>")
    if bndbox is None:
        raise ItlError(f"{where}, {name!r}, has no box; write <bndbox> with {', '.join(SIDES)}")
    numbers = [_number(bndbox, side, where) for side in SIDES]
    xmin, ymin, xmax, ymax = (whole_pixel(value, last) for value, last in zip(numbers, size * 2, strict=True))
    difficult, truncated = _flag(element, "difficult", where), _flag(element, "truncated", where)
    box = box_with_area((xmin, ymin, xmax, ymax), where, name)
    attributes = {one.findtext("name"): one.findtext("value") for one in element.findall(".//attribute")}
    is_rotated = is_turned(attributes.get("rotation"))  # by CVAT, whose box is that before it
    return AnnotatedObject(name, box, difficult, truncated, is_rotated=is_rotated)


def _number(element: ElementTree.Element, tag: str, where: str) -> float:
    text = _text(element, tag)
    if not math.isfinite(value := float_or_nan(text)):
        raise ItlError(f"{where}: {tag} is {text[:40]!r}; it should be a number of pixels")
    return value


def _flag(element: ElementTree.Element, tag: str, where: str) -> bool:
    text = _text(element, tag)
    if text.lower() not in FLAG_OF_TEXT:
        raise ItlError(f"{where}: {tag} is {text[:40]!r}; give 0 or 1")
    return FLAG_OF_TEXT[text.lower()]


def _actions(element: ElementTree.Element, where: str) -> Mapping[str, bool]:
    actions = element.find("actions")
    if actions is None:
        return {}
    return {child.tag: _flag(actions, child.tag, where) for child in actions}


def _text(element: ElementTree.Element, tag: str) -> str:
    return plain_label(element.findtext(tag) or "")
