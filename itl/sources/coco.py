"""Detection on one's own images, with boxes in COCO-style JSON as annotation tools export it."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from itl import ItlError
from itl.sources import archives
from itl.sources.annotated import Annotated, Survey, size_at
from itl.sources.archives import Listing
from itl.sources.boxes import Box, Thing
from itl.sources.proposals import find_regions
from itl.sources.records import SPLITS, Record, is_image, some
from itl.sources.voc_xml import within

EXPORTED = "_annotations.coco"          # what some tools call the file in each split's folder
KINDS = {                                   # tables of the JSON, and what their rows must have
    "images": ("id", "file_name"), "annotations": ("image_id", "category_id"), "categories": ("id", "name"),
}


@dataclass(frozen=True)
class Coco(Annotated):
    """Images in a folder, tar or zip, with COCO-style JSON for each split.

    Without *annotations* the files are found by name: annotations/instances_train2017.json, val.json,
    test/_annotations.coco.json and the like. A record's class is empty; `annotation` has its objects.
    """

    path: Path
    annotations: str | Mapping[str, str] | None = None      # train=a.json,test=b.json: names inside path
    bad: str = "refuse"                     # refuse or skip: what to do about images with problems
    outside: str = "refuse"                 # refuse or cut: what to do about boxes that leave their image
    proposals: str | None = None            # file of region proposals, to be packed with the images
    kind = "coco"

    @cached_property
    def survey(self) -> Survey:
        """All that was found, good and bad; reads the JSON and the images' headers, once."""
        found = Survey(self.kind, Path(self.path))
        by_name = defaultdict(list)
        for name in sorted(filter(is_image, self._files.files)):
            by_name[name.rpartition("/")[2]].append(name)
        taken = {}
        for split, name in self._names(found).items():
            try:
                tables = read_tables(archives.read(self._files.files[name]), name)
            except ItlError as error:
                found.refuse(str(error))
                continue
            if split == "test" and not tables["annotations"]:
                found.left_out["images of a test split without annotations"] += len(tables["images"])
                found.notes.append(f"{name} has no annotations, so test is left out; scores are measured "
                                   f"on val")
                continue
            self._take(found, split, name, tables, by_name, taken)
        images = sum(map(len, by_name.values()))
        found.left_out["images in no JSON file"] += max(0, images - len(taken))
        if self.proposals:
            found.regions = find_regions(found, self.proposals, self.outside)
        return found.settled(self.bad)

    @cached_property
    def _files(self) -> Listing:
        return archives.listing(Path(self.path))

    def _names(self, found: Survey) -> dict[str, str]:
        """The JSON file of each split: those asked for, or those whose names say so."""
        files = sorted(name for name in self._files.files if name.lower().endswith(".json"))
        if self.annotations is not None:
            return {split: self._asked(name, files) for split, name in asked_files(self.annotations).items()}
        named = defaultdict(list)
        for name in files:
            named[split_of(name)].append(name)
        unsplit = named.pop(None, [])
        if not named and len(unsplit) == 1:
            found.notes.append(f"{unsplit[0]} is taken for train; there is no other JSON file")
            return {"train": unsplit[0]}
        for split, several in named.items():
            if len(several) > 1:
                raise ItlError(f"{self.path} has {len(several)} JSON files for {split}, {some(several)}; "
                               f"choose with the option annotations={split}={several[0]}")
        if not named:
            raise ItlError(f"{self.path} has no annotations/instances_train.json, train.json or "
                           f"train/{EXPORTED}.json but {some(unsplit) or 'no JSON file'}; name the "
                           f"files with the option annotations=train=a.json,test=b.json")
        return {split: named[split][0] for split in ("train", "val", "test") if split in named}

    def _asked(self, name: str, files: list[str]) -> str:
        match = [each for each in files if each == name or each.endswith(f"/{name}")]
        if len(match) != 1:
            raise ItlError(f"{self.path} has {len(match) or 'no'} files {name!r} as asked for; its JSON "
                           f"files are {some(files, 5) or 'none'}")
        return match[0]

    def _take(self, found: Survey, split: str, name: str, tables: dict, by_name: dict, taken: dict) -> None:
        """Take in the images of one JSON file with their objects, or what is wrong with them."""
        classes = {row["id"]: " ".join(str(row["name"]).split()) for row in tables["categories"]}
        rows = defaultdict(list)
        for number, row in enumerate(tables["annotations"], 1):
            rows[row["image_id"]].append((number, row))
        for row in tables["images"]:
            mine = rows.pop(row["id"], [])
            try:
                file = find_file(str(row["file_name"]), split, by_name)
            except ItlError as error:
                found.refuse(f"{name}: {error}", str(row["file_name"]))
                continue
            if taken.setdefault(file, name) != name or file in found.things:
                found.refuse(f"{file} is in {taken[file]} and again in {name}; leave it in one place")
                continue
            found.add(Record(file, "", split, self._files.files[file]), [])
            try:
                found.sizes[file] = size = size_at(self._files.files[file], file)
            except ItlError as error:
                found.refuse(str(error), file)
                continue
            for number, annotation in mine:
                where = f"{name}, annotation {number} ({file})"
                try:
                    thing = thing_of(annotation, classes, size, where)
                    found.things[file].append(within(thing, *size, where, self.outside))
                except ItlError as error:
                    found.refuse(str(error), file)
        if rows:
            found.refuse(f"{name}: {sum(map(len, rows.values())):,} annotations are of images that the file "
                         f"does not list, such as image_id {some([repr(each)[:30] for each in rows])}; "
                         f"export it again")


def asked_files(told: str | Mapping[str, str]) -> dict[str, str]:
    """Read the option annotations: SPLIT=FILE, several with commas; a file alone says its split by its name.

    >>> asked_files("train=a.json,instances_val2017.json")
    {'train': 'a.json', 'val': 'instances_val2017.json'}
    """
    pairs = list(told.items()) if isinstance(told, Mapping) else [
        part.strip().partition("=")[::2] if "=" in part else (split_of(part.strip()) or "train", part.strip())
        for part in str(told).split(",")]
    found = {SPLITS.get(split, split): name for split, name in pairs}
    if len(found) < len(pairs) or not set(found) <= {"train", "val", "test"}:
        raise ItlError(f"annotations takes one file for each of train, val and test, as in "
                       f"train=a.json,test=b.json; got {told!r}")
    return found


def split_of(name: str) -> str | None:
    """The split that a JSON file's name tells, if any.

    >>> split_of("instances_train2017.json"), split_of("valid/_annotations.coco.json"), split_of("a.json")
    ('train', 'val', None)
    """
    *folders, last = name.split("/")
    stem = last.rpartition(".")[0].lower()
    if stem == EXPORTED:
        return SPLITS.get(folders[-1].lower()) if folders else None
    match = re.fullmatch(r"(?:instances_|annotations_)?([a-z]+?)\d*", stem)
    return SPLITS.get(match[1]) if match else None


def read_tables(data: bytes, name: str) -> dict[str, list[dict]]:
    """Read images, annotations and categories of the JSON file *name*.

    Raises ItlError where it is no JSON, lacks one of the three or a row lacks what it needs.
    """
    try:
        told = json.loads(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ItlError(f"{name}, line {error.lineno}: no whole JSON ({error.msg}); export it again") from None
    except (ValueError, RecursionError) as error:
        raise ItlError(f"{name} cannot be read as JSON ({type(error).__name__}); export it again") from None
    if not isinstance(told, dict) or "images" not in told:
        raise ItlError(f"{name} is no COCO-style JSON, an object with {', '.join(KINDS)}; export it as COCO")
    tables = {}
    for table, needed in KINDS.items():
        rows = told.get(table, [])
        rows = rows if isinstance(rows, list) else [rows]
        for number, row in enumerate(rows, 1):
            if not isinstance(row, dict) or not all(isinstance(row.get(each), str | int) for each in needed):
                raise ItlError(f"{name}: number {number} of its {table} is without {' or '.join(needed)}; "
                               f"export it again")
        tables[table] = rows
    for table in ("images", "categories"):
        if len({row["id"] for row in tables[table]}) < len(tables[table]):
            raise ItlError(f"{name}: two of its {table} have the same id; export it again")
    return tables


def find_file(told: str, split: str, by_name: Mapping[str, list[str]]) -> str:
    """The image that a JSON file calls *told*, wherever it lies: the folder it tells, or that of its split.

    Raises ItlError where it is not there, or several could be meant.
    """
    parts = [part for part in told.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    found = by_name.get(parts[-1] if parts else "", [])
    for depth in range(len(parts), 0, -1):
        tail = "/".join(parts[-depth:])
        match = [name for name in found if name == tail or name.endswith(f"/{tail}")]
        if len(match) > 1:
            folders = [name for name in match if any(_is_of(part, split) for part in name.split("/")[:-1])]
            match = folders or match
        if len(match) == 1:
            return match[0]
        if match:
            raise ItlError(f"{told[:80]!r} could be any of {some(match)}; tell folders apart in file_name")
    raise ItlError(f"lists {told[:80]!r}, but there is no such image; copy it again, or take it off")


def thing_of(row: Mapping, classes: Mapping, size: tuple[int, int], where: str) -> Thing:
    """Make a thing of one annotation; ItlError for an unknown category, or a box that is none."""
    if row["category_id"] not in classes:
        raise ItlError(f"{where}: no category has the id {row['category_id']!r}; categories are "
                       f"{some([f'{key} {name}' for key, name in classes.items()], 5) or 'none'}")
    name = classes[row["category_id"]]
    return Thing(name, voc_box(row.get("bbox"), size, f"{where}, {name!r}"), bool(row.get("iscrowd", 0)))


def voc_box(bbox: object, size: tuple[int, int], where: str) -> Box:
    """Turn COCO's x, y, width, height into VOC's 1-based inclusive box, fractions kept.

    COCO measures from the image's corner: pixel n reaches from n − 1 to n. So xmin = x + 1, xmax = x + width.
    Less than a pixel outside is a fraction, not a mistake.

    >>> voc_box([0, 10, 20, 5.5], (100, 100), "here")
    (1, 11, 20, 15.5)
    """
    sound = isinstance(bbox, list) and len(bbox) == 4 and all(
        isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each) for each in bbox)
    if not sound:
        raise ItlError(f"{where}: bbox is {str(bbox)[:60]}; it should be [x, y, width, height] in pixels")
    x, y, wide, high = bbox
    if wide <= 0 or high <= 0:
        raise ItlError(f"{where}: the box {str(bbox)[:60]} has no area; width and height are to be above 0")
    sides = []
    for start, length, last in ((x, wide, size[0]), (y, high, size[1])):
        low, high = start + 1, start + length
        low = 1 if 0 < low < 1 else low
        sides.append((low, max(low, last if last < high < last + 1 else high)))
    return sides[0][0], sides[1][0], sides[0][1], sides[1][1]


def _is_of(folder: str, split: str) -> bool:
    return SPLITS.get(folder.lower().rstrip("0123456789")) == split
