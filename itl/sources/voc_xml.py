"""PASCAL VOC's files: annotations in XML, lists of images, and where a year of the devkit lies."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from itl import ItlError, pick
from itl.sources import archives
from itl.sources.archives import Listing
from itl.sources.boxes import Box, Thing

SIDES = ("xmin", "ymin", "xmax", "ymax")
PARTS = ("Annotations", "ImageSets", "JPEGImages")
FLAGS = {"1": True, "true": True, "0": False, "false": False, "": False, "unspecified": False}


@dataclass(frozen=True)
class Annotation:
    """What one XML file says of its image."""

    width: int | None                       # None where the file does not say, or says 0
    height: int | None
    things: tuple[Thing, ...]               # in the file's order; parts of persons are no things
    actions: tuple[Mapping[str, bool], ...] = ()    # for each thing; empty where nothing is said


def read_annotation(data: bytes, name: str, outside: str = "refuse") -> Annotation:
    """Read one annotation file called *name*, as VOC's development kit has it.

    Boxes are 1-based and inclusive; the fractions that VOC2011 and later years hold are rounded. *outside*:
    cut brings boxes that reach out of their image back to its edges; refuse takes them for a mistake.
    Raises ItlError with one line: no XML, no box, a box without area or outside its image, no number.
    """
    annotation, trouble = look_at(data, name, outside)
    if trouble:
        raise ItlError(trouble[0])
    return annotation


def look_at(data: bytes, name: str, outside: str = "refuse") -> tuple[Annotation, list[str]]:
    """Read as `read_annotation` does, but go on: a line for each object that is no good, which is left out.

    Raises ItlError where the file as a whole cannot be read.
    """
    pick({"refuse": 0, "cut": 0}, outside, "way with boxes outside")
    root = _root(data, name)
    width, height = _side(root, "width", name), _side(root, "height", name)
    things, actions, trouble = [], [], []
    for number, element in enumerate(root.findall("object"), 1):
        where = f"{name}, object {number}"
        try:
            thing = _thing(element, (width, height), where)
            things.append(within(thing, width, height, where, outside))
            actions.append(_actions(element, where))
        except ItlError as error:
            trouble.append(str(error))
    return Annotation(width, height, tuple(things), tuple(actions)), trouble


def read_annotations(path: Path) -> Iterator[tuple[str, Annotation]]:
    """Yield image id and annotation for every XML under *path*: a folder of them, a devkit, or a tar of it.

    Raises ItlError where there is none, at the first that is malformed, and for two of one id.
    """
    listing = archives.listing(Path(path))
    files = {name: place for name, place in sorted(listing.files.items()) if name.lower().endswith(".xml")}
    below = {name: place for name, place in files.items() if "Annotations" in name.split("/")[:-1]}
    seen = {}
    for name, place in (below or files).items():
        image = name[:-4].rpartition("Annotations/")[2]
        if image in seen:
            raise ItlError(f"{path}: {seen[image]} and {name} annotate one image; give one year's folder")
        seen[image] = name
        yield image, read_annotation(archives.read(place), name)
    if not seen:
        raise ItlError(f"{path} holds no annotations; give a folder of XML files, as VOC2007/Annotations is")


def within(thing: Thing, width: int | None, height: int | None, where: str, outside: str) -> Thing:
    """Return *thing*, whose box lies in an image *width* × *height*; one that does not is cut or refused."""
    xmin, ymin, xmax, ymax = thing.box
    wide, high = width or math.inf, height or math.inf
    if xmin >= 1 and ymin >= 1 and xmax <= wide and ymax <= high:
        return thing
    if outside != "cut":
        size = f"{width} × {height} pixels" if width and height else "any size"
        raise ItlError(f"{where}: the box {told(thing.box)} of {thing.name!r} reaches outside its image of "
                       f"{size}, which count from 1; mend it, or set the option outside=cut")
    cut = (max(1, xmin), max(1, ymin), min(wide, xmax), min(high, ymax))
    return Thing(thing.name, _sound(cut, where, thing.name), thing.difficult, thing.truncated)


def told(box: Box) -> str:
    """A box for people.

    >>> told((1, 2, 30.0, 40.5))
    '(1, 2, 30, 40.5)'
    """
    return "(" + ", ".join(f"{side:g}" for side in box) + ")"


def read_list(data: bytes) -> list[str]:
    """The lines of a list of images, without byte-order mark and blank ones.

    >>> read_list(b"000005\\r\\n\\r\\n000007 \\n")
    ['000005', '000007']
    """
    lines = (line.strip() for line in data.decode("utf-8-sig", errors="replace").splitlines())
    return [line for line in lines if line]


def divided(lists: Mapping[str, list[str]], notes: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Say in which split, train, val or test, each name of *lists* (train, val, trainval, test) is.

    What only trainval holds is train, or val where train has a list of its own and val has none. Also returns
    the names that two splits claim, with those; *notes* take what is odd.

    >>> divided({"trainval": ["1", "2"], "val": ["2"], "test": ["3"]}, [])[0]
    {'1': 'train', '2': 'val', '3': 'test'}
    """
    rest = "val" if "train" in lists and "val" not in lists else "train"
    split_of, twice = {}, {}
    for name, listed in lists.items():
        if len(set(listed)) < len(listed):
            notes.append(f"the list {name} has {len(listed) - len(set(listed)):,} lines twice, counted once")
    known = {*lists.get("train", ()), *lists.get("val", ())}
    only = [each for each in lists.get("trainval", ()) if each not in known]
    claims = [(each, split) for split in ("train", "val", "test") for each in lists.get(split, ())]
    for each, split in [(each, rest) for each in only] + claims:
        if split_of.setdefault(each, split) != split:
            twice[each] = f"{split_of[each]} and {split}"
    return dict(sorted(split_of.items())), twice


def devkit(path: Path, year: str) -> Listing:
    """List the folder of *year*, such as VOC2007, named from inside it.

    *path* is that folder, one around it, a tar of it, or a folder with the tars as published, side by side;
    what lies in several of them is merged. Raises ItlError where there is no such folder.
    """
    path = Path(path)
    found, others = Listing(), set()
    listings = [archives.listing(path)]
    if path.is_dir():
        tars = [each for each in path.iterdir() if each.suffix == ".tar" and "voc" in each.name.lower()]
        listings += [archives.listing(each) for each in sorted(tars)]
    for listing in listings:
        named = {root: root.rpartition("/")[2] or path.resolve().stem for root in _roots(listing)}
        years = {root for root, name in named.items() if name.upper() == year}
        others |= {name for root, name in named.items() if root not in years}
        own = [root for root, name in named.items() if not re.fullmatch(r"VOC\d{4}", name, re.IGNORECASE)]
        for root in sorted(years or (own if len(own) == 1 else ())):
            inner = listing.inside(root) if root else listing
            found = Listing(inner.files | found.files, found.folders | inner.folders)
        found.left_out += listing.left_out
    if not found.files:
        there = f"only {', '.join(sorted(others))}" if others else "none such"
        raise ItlError(f"{path} should hold a folder {year} with {', '.join(PARTS)}; found {there}; give "
                       f"VOCdevkit, {year} itself, or the published tars in one folder")
    return found


def _roots(listing: Listing) -> set[str]:
    """Folders that hold the parts of a year, and lie in no such part themselves."""
    split = (folder.split("/") for folder in listing.folders)
    return {"/".join(parts[:-1]) for parts in split
            if parts[-1] in PARTS and not set(PARTS).intersection(parts[:-1])}


def _root(data: bytes, name: str) -> ElementTree.Element:
    """Parse; entities are refused: annotations have none, and expat alone guards against bombs of them."""
    if b"<!ENTITY" in data:
        raise ItlError(f"{name} declares XML entities, which annotations have no use for; remove them")
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        reason = str(error).partition(":")[0]
        raise ItlError(f"{name}, line {error.position[0]}: no whole XML ({reason}); write it again") from None
    except (LookupError, ValueError) as error:              # encodings that expat does not know
        raise ItlError(f"{name}: no XML that can be read ({error}); save it as UTF-8") from None
    if root.tag != "annotation":
        raise ItlError(f"{name} holds <{root.tag[:40]}>, not the <annotation> of VOC; get the file again")
    return root


def _thing(element: ElementTree.Element, size: tuple[int | None, int | None], where: str) -> Thing:
    name = _text(element, "name")
    box = element.find("bndbox")
    if not name:
        raise ItlError(f"{where} has no name; write the class in <name>")
    if box is None:
        raise ItlError(f"{where}, {name!r}, has no box; write <bndbox> with {', '.join(SIDES)}")
    sides = tuple(_pixel(_number(box, side, where), ends) for side, ends in zip(SIDES, size * 2, strict=True))
    return Thing(name, _sound(sides, where, name),
                 _flag(element, "difficult", where), _flag(element, "truncated", where))


def _sound(box: Box, where: str, name: str) -> Box:
    if box[0] >= box[2] or box[1] >= box[3]:
        raise ItlError(f"{where}: the box {told(box)} of {name!r} has no area; xmin and ymin are to be "
                       f"smaller than xmax and ymax")
    return box


def _pixel(value: float, last: int | None) -> int:
    """Round to a pixel from 1 to *last*; less than one outside is a fraction, not a mistake."""
    if 0 < value < 1:
        return 1
    if last and last < value < last + 1:
        return last
    return math.floor(value + 0.5)


def _number(element: ElementTree.Element, tag: str, where: str) -> float:
    text = _text(element, tag)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ItlError(f"{where}: {tag} is {text[:40]!r}; it should be a number of pixels")
    return value


def _side(root: ElementTree.Element, tag: str, name: str) -> int | None:
    """Width or height; some tools write 0 or nothing where they do not know."""
    size = root.find("size")
    if size is None or not _text(size, tag):
        return None
    value = _pixel(_number(size, tag, name), None)
    if value < 0:
        raise ItlError(f"{name}: {tag} is {value}; it should be a number of pixels")
    return value or None


def _flag(element: ElementTree.Element, tag: str, where: str) -> bool:
    text = _text(element, tag)
    if text.lower() not in FLAGS:
        raise ItlError(f"{where}: {tag} is {text[:40]!r}; give 0 or 1")
    return FLAGS[text.lower()]


def _actions(element: ElementTree.Element, where: str) -> Mapping[str, bool]:
    found = element.find("actions")
    names = [child.tag for child in found] if found is not None else []
    return {name: _flag(found, name, where) for name in names}


def _text(element: ElementTree.Element, tag: str) -> str:
    return " ".join((element.findtext(tag) or "").split())
