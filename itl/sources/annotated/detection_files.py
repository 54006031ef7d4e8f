"""Detections in a CSV, the VOC development kit's results or COCO's; the objects to score them against."""

import csv
import io
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from itl.errors import ItlError, did_you_mean, no_such
from itl.hierarchy.voc_classes import COCO_IDS, PASCAL
from itl.iteration import grouped
from itl.machine import expand_home
from itl.sources.annotated.coco import category_names, read_tables
from itl.sources.annotated.voc_devkit import images_named
from itl.sources.annotated.voc_xml import read_objects
from itl.sources.boxes import (
    NO_SIDE,
    SIDES,
    Outside,
    Size,
    clip_boxes,
    first_invalid_box,
    float_or_nan,
    is_finite_number,
    reaching_outside,
    refuse_normalised,
    refuse_normalised_bboxes,
    voc_corners,
)
from itl.sources.check_lines import CheckLine
from itl.sources.files.archives import read_file
from itl.sources.files.json_text import int_if_whole, parse_json
from itl.sources.listed.numbered_classes import describe_zero, read_names
from itl.sources.records import plain_label
from itl.storage import text_lines
from itl.words import counted, examples

DETECTION_COLUMNS = ["image", "class", "score", *SIDES]
KIT_FILE = re.compile(  # Fast R-CNN adds a salt, others leave out comp4
    r"((?:comp\d+(?:[_-][A-Za-z0-9-]+)?_)?det_[A-Za-z0-9]+)_(.+)\.txt"
)
KIT_LINE = "IMAGE SCORE XMIN YMIN XMAX YMAX"
FEW_WITHOUT = 0.1  # part of the images on which a detector may well find nothing
COCO_KEYS = ("image_id", "category_id", "bbox", "score")


@dataclass(frozen=True)
class Annotations:
    """What detections are scored against."""

    objects: pd.DataFrame  # as `itl.sources.annotated.voc_xml.read_objects` returns them
    images: Mapping[str, Size]  # by image
    listed: Path | None = None  # the file that says which of the annotated images are scored

    @property
    def classes(self) -> list[str]:
        """The classes that detections may have: those of the objects, and PASCAL's if these are of them."""
        classes = set(self.objects["name"])
        return sorted(classes | set(PASCAL) if classes <= set(PASCAL) else classes)


def load_detections(
    path: Path, annotations: Annotations, categories: Path | None = None, outside: str = "refuse"
) -> tuple[pd.DataFrame, list[str]]:
    """Read detections of annotated images: a CSV, a folder of the VOC kit's results, or COCO results JSON.

    Images may be named with their suffix, or by their path. *categories* are as in `read_coco_results`.
    Boxes that reach *outside* their image stay as they are, unless that is "cut", as for the annotations.
    ItlError if *path* is none of these, a box is invalid, or an image is not annotated.

    Returns:
        The columns `DETECTION_COLUMNS`, and notes on what was taken for what, and on odd boxes.
    """
    notes: list[str] = []
    annotated = sorted(set(annotations.objects["name"]))
    if KIT_FILE.fullmatch(path.name) and path.is_file():
        raise ItlError(
            f"{path} is the VOC kit's file of one class; give the folder with those of all classes"
        )
    if categories is not None and (path.is_dir() or path.suffix.lower() != ".json"):
        raise ItlError(
            f"categories say what COCO's category ids are, and {path} is no COCO results JSON: its classes "
            f"have names; leave categories out"
        )
    if path.is_dir():
        detections = read_kit_results(path, annotated)
    elif path.suffix.lower() == ".json":
        detections, notes = read_coco_results(path, annotations.images, annotated, categories)
    else:
        detections = read_detections(path)
    if not len(detections):
        raise ItlError(f"{path} holds no detections, so there is nothing to score; every class would be 0")
    refuse_normalised(detections[SIDES].to_numpy(), f"{path}, row 1")
    if invalid := first_invalid_box(detections[SIDES].to_numpy(), NO_SIDE):
        raise ItlError(f"{path}, row {invalid[0] + 1}: {invalid[1]}")
    names = images_named(detections["image"].unique(), annotations.images)
    detections["image"] = [names.get(name, name) for name in detections["image"]]
    refuse_other_images(detections, annotations, path)
    detections[SIDES], doubts = _scored_boxes(detections, annotations, outside)
    return detections, [*notes, *doubts, *_describe_classes(detections, annotations)]


def images_without_detection(detections: pd.DataFrame, annotations: Annotations) -> set[str]:
    """Return the annotated images that *detections* have nothing on."""
    return annotations.images.keys() - set(detections["image"])


def describe_without_detection(detections: pd.DataFrame, annotations: Annotations) -> list[str]:
    """Return a note if many images have no detection, though an object is to be found, as those of train."""
    bare, total = images_without_detection(detections, annotations), len(annotations.images)
    objects = annotations.objects[~annotations.objects["difficult"].astype(bool)]
    if len(bare & set(objects["image"])) <= FEW_WITHOUT * total:
        return []
    kind, cure = "annotated", "the list of those that were with --images FILE"
    if annotations.listed:
        kind, cure = "listed", "--images a list without them"
    return [
        f"{len(bare):,} of {total:,} {kind} images have no detection, and "
        f"their objects count as missed; if these were not to be scored, give {cure}"
    ]


def _scored_boxes(
    detections: pd.DataFrame, annotations: Annotations, outside: str
) -> tuple[np.ndarray, list[str]]:
    """Return the boxes to score, (n, 4), and notes on those that are there twice or reach outside."""
    boxes, sizes = detections[SIDES].to_numpy(), [annotations.images[image] for image in detections["image"]]
    reaching, doubts = reaching_outside(boxes, sizes), {"are there twice": detections.duplicated()}
    doubts["have no width or height"] = (boxes[:, 2:] - boxes[:, :2] + 1 <= -NO_SIDE).any(1)
    if outside == "cut":
        inside = clip_boxes(boxes, sizes)
        is_cut = (inside != boxes).any(1)
        doubts |= {"are cut to the image": is_cut, "are entirely outside the image": reaching & ~is_cut}
    else:
        inside = boxes
        doubts["are partly outside the image"] = reaching
    notes = [
        f"{counted(int(np.sum(rows)), f'detections {words}')}, such as number {int(np.argmax(rows)) + 1:,}; "
        f"all are scored"
        for words, rows in doubts.items()
        if np.any(rows)
    ]
    return inside, notes


def _describe_classes(detections: pd.DataFrame, annotations: Annotations) -> Iterator[str]:
    """Yield notes on classes without detections or objects."""
    objects = annotations.objects
    detected, scored = set(detections["class"]), set(objects.loc[~objects["difficult"].astype(bool), "name"])
    if others := sorted(detected - scored):
        yield f"no object of {examples(others)} is scored: detections of it are in no mean"
    if missed := sorted(scored - detected):
        yield f"nothing is detected as {examples(missed)}, which then has an AP of 0"


def read_detections(path: Path) -> pd.DataFrame:
    """Read a CSV of detections: the columns `DETECTION_COLUMNS`, in the order of the file.

    Each ItlError names the row; the first below the header is 1.
    """
    texts = _columns_as_text(path)
    numbers = {name: _numbers(texts[name], name, path) for name in ("score", *SIDES)}
    return pd.DataFrame({"image": texts["image"], "class": [*map(plain_label, texts["class"])], **numbers})


def check_detections(
    path: Path | None,
    annotations: str | None = None,
    categories: str | None = None,
    outside: Outside = "refuse",
) -> Iterator[CheckLine]:
    """Check the detections at *path* against the VOC *annotations*, for `itl check`.

    ItlError without *path* or *annotations*; what is wrong in the files is a problem.
    """
    if path is None or annotations is None:
        raise ItlError(
            "detections are checked against annotations: `itl check detections FILE --option "
            "annotations=PATH`, where PATH is VOC's XML files, a folder or tar"
        )
    xml_files, names = expand_home(annotations), expand_home(categories) if categories else None
    try:
        ground_truth = Annotations(*read_objects(xml_files, outside=outside))
        detections, notes = load_detections(path, ground_truth, names, outside)
    except ItlError as error:
        yield CheckLine("problem", str(error))
        return
    classes, images = ground_truth.classes, ground_truth.images
    yield from (CheckLine("note", note) for note in notes)
    for name in (unknown := sorted(set(detections["class"]) - set(classes))):
        row = 1 + (detections["class"] == name).to_numpy().argmax()
        yield CheckLine("problem", f"{path}, row {row}: {no_such(classes, name, 'annotated class')}")
    seen = counted(detections["image"].nunique(), "images")
    text = f"{len(detections):,} of {detections['class'].nunique()} classes on {seen}"
    yield CheckLine("count", f"detections: {text}")
    bare = len(images_without_detection(detections, ground_truth))
    text = f"{counted(len(ground_truth.objects), 'objects')} on {counted(len(images), 'images')}"
    yield CheckLine("count", f"annotations: {text}; {bare:,} of these images have no detection")
    if unknown:
        return
    words = ["itl", "voc-ap", "--annotations", str(xml_files), "--detections", str(path)]
    words += ["--categories", str(names)] if names else []
    words += ["--outside", outside] if outside != "refuse" else []
    yield CheckLine("next", shlex.join(words))


def refuse_other_images(detections: pd.DataFrame, annotations: Annotations, path: Path) -> None:
    """Raise ItlError if *detections*, read from *path*, are on an image that is not to be scored."""
    images, listed = annotations.images, annotations.listed
    unknown = ~detections["image"].isin(list(images))
    if unknown.any():
        row = int(unknown.to_numpy().argmax())
        name = detections["image"].iloc[row]
        padded = name.zfill(6)  # 5 for 000005: someone's program took ids for numbers
        kind, cure = (f"in {listed}", "list") if listed else ("annotated", "annotate")
        hint = "" if listed else did_you_mean(name, images)  # what is not listed may well be annotated
        hint = f"did you mean {padded!r}? " if padded in images else hint
        raise ItlError(
            f"{path}, row {row + 1}: no image called {name!r} is {kind}; {hint}{unknown.sum():,} of "
            f"{counted(len(detections), 'detections are')} on such images; {cure} these, or leave them out"
        )


def _columns_as_text(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the columns of the CSV as text, without spaces around values."""
    data = read_file(path)
    try:
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        rows = [row for row in csv.reader(text, strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ItlError(f"{path} cannot be read as a CSV in UTF-8 ({error}); write it again") from None
    header = [name.strip() for name in rows[0]] if rows else []
    if wrong := [name for name in DETECTION_COLUMNS if header.count(name) != 1]:
        present = " ".join(",".join(header).split())[:80]
        signs = [name for sign, name in (("\t", "tabs"), (";", "semicolons")) if sign in "".join(header)]
        present += f", with {signs[0]} for commas" if signs else ""
        raise ItlError(
            f"{path} should have one column {wrong[0]}; the header should be {','.join(DETECTION_COLUMNS)}, "
            f"and is {present or 'empty'}"
        )
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise ItlError(
                f"{path}, row {number}: {counted(len(row), 'values')}, but the header names {len(header)}"
            )
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    return {name: tuple(text.strip() for text in columns[name][1:]) for name in DETECTION_COLUMNS}


def _numbers(texts: tuple[str, ...], name: str, path: Path) -> np.ndarray:
    values = np.array([float_or_nan(text) for text in texts])  # exact, unlike pandas' parser
    if not np.isfinite(values).all():
        row = int(np.isfinite(values).argmin())
        raise ItlError(f"{path}, row {row + 1}: {name} is {texts[row][:40]!r}; it should be a finite number")
    return values


def read_kit_results(folder: Path, classes: Collection[str]) -> pd.DataFrame:
    """Read the development kit's results: a folder of comp4_det_test_CLASS.txt, lines `IMAGE SCORE` and box.

    Each of the annotated *classes* needs a file, which may be empty; ItlError if one is missing or invalid.

    Returns:
        The columns `DETECTION_COLUMNS`, classes by name, lines in the order of the files.
    """
    files = {plain_label(file.name): file for file in sorted(folder.iterdir())}
    matches = {name: match for name in files if (match := KIT_FILE.fullmatch(name))}
    if not matches:
        raise ItlError(
            f"{folder} has no results of the VOC development kit, such as comp4_det_test_cat.txt; give a "
            f"folder of them, a CSV or COCO results JSON"
        )
    starts = sorted({match[1] for match in matches.values()})
    if len(starts) > 1:
        raise ItlError(f"{folder} has results of {' and '.join(starts)}; give a folder with those of one")
    without = sorted(set(classes) - {match[2] for match in matches.values()})
    if without:
        raise ItlError(
            f"{folder} has no {starts[0]}_{without[0]}.txt; {len(without)} of {len(classes)} annotated "
            f"classes have no file ({examples(without)}), which is empty for a class without detections"
        )
    rows = []
    for name, match in matches.items():
        text = read_file(files[name]).decode("utf-8", errors="replace")
        for number, line in enumerate(text_lines(text), 1):
            if line.strip():
                rows.append(_kit_row(line, match[2], f"{files[name]}, line {number}"))
    return _frame(rows)


def read_coco_results(
    path: Path, images: Collection[str], classes: Collection[str], categories: Path | None
) -> tuple[pd.DataFrame, list[str]]:
    """Read COCO results JSON: a list of objects with image_id, category_id, bbox and score.

    *images* and *classes* are those annotated; an image_id that is a number is that of their digits.
    *categories*, COCO-style JSON or a list of names, says which category has which id. Without it ids are
    names of classes; numbers are taken where all *classes* are PASCAL's and one order fits them. ItlError if
    one stands for no class, or a score or box is invalid.

    Returns:
        The columns `DETECTION_COLUMNS`, boxes as VOC has them; and notes on what the ids were taken for.
    """
    rows = _result_rows(path)
    used = {plain_label(str(row["category_id"])) for row in rows} - set(classes)
    image_names: dict[str, str] = {}
    if categories is None:
        names, notes = _pascal_numbers(used, classes)
    else:
        (names, image_names), notes = _read_categories(categories, images, used), []
    numbered = grouped((_digits(name), name) for name in sorted(images))
    result, by_digits = [], dict[str, str]()
    for number, row in enumerate(rows, 1):
        where, image_id = f"{path}, number {number}", str(row["image_id"])
        image = image_names.get(image_id, image_id)
        if image_id not in images and image_id not in image_names:
            image = _image_of_digits(image_id, numbered, where)
            by_digits |= {image_id: image} if image != image_id else {}
        category = plain_label(str(row["category_id"]))
        if category not in names and category not in classes:
            known = f"ids are {_id_text(names)}" if names else "nothing says which class has which id"
            raise ItlError(
                f"{where}: no class has the category_id {category}; {known}; give the JSON of the "
                f"annotations, or a list of names, with --categories FILE"
            )
        bbox, score = row["bbox"], row["score"]
        if not is_finite_number(score):
            raise ItlError(f"{where}: score is {str(score)[:40]!r}; it should be a finite number")
        result.append((image, names.get(category, category), score, *voc_corners(bbox, where, NO_SIDE)))
    if by_digits:
        image_id, image = next(iter(by_digits.items()))
        notes.append(
            f"image ids are taken for the digits of names, such as {image_id} for {image}; --categories FILE "
            f"with the images of the annotations' JSON gives others"
        )
    return _frame(result), notes


def _image_of_digits(image_id: str, numbered: Mapping[int | None, list[str]], where: str) -> str:
    """Return the one of the images *numbered* by their digits that has those of *image_id*, or this."""
    same = numbered.get(_digits(image_id), [])
    if _digits(image_id) is None or not same:
        return image_id
    if len(same) > 1:
        raise ItlError(
            f"{where}: the image_id {image_id} may be {same[0]} or {same[1]}; give the JSON of the "
            f"annotations with --categories FILE"
        )
    return same[0]


def _kit_row(line: str, label: str, where: str) -> tuple:
    words = line.split()
    numbers = [float_or_nan(word) for word in words[1:]]
    if len(numbers) != 5 or not np.isfinite(numbers).all():
        raise ItlError(f"{where}: {line.strip()[:60]!r} is not {KIT_LINE}")
    return (words[0], label, *numbers)


def _frame(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=DETECTION_COLUMNS).astype(dict.fromkeys(("score", *SIDES), float))


def _result_rows(path: Path) -> list[dict]:
    data = read_file(path)
    try:
        content = parse_json(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ItlError(f"{path} is not valid JSON ({str(error)[:80]}); write it again") from None
    if isinstance(content, dict) and "annotations" in content:
        raise ItlError(
            f"{path} is COCO-style annotations, not results; give a list of {', '.join(COCO_KEYS)}"
        )
    if not isinstance(content, list):
        raise ItlError(f"{path} is not COCO results, a list of objects with {', '.join(COCO_KEYS)}")
    for number, row in enumerate(content, 1):
        if not isinstance(row, dict) or not set(COCO_KEYS) <= row.keys():
            raise ItlError(
                f"{path}, number {number}: {str(row)[:60]} is no object with {', '.join(COCO_KEYS)}"
            )
        row |= {key: int_if_whole(row[key]) for key in ("image_id", "category_id")}
    refuse_normalised_bboxes(content, str(path))
    return content


def _pascal_numbers(ids: Collection[str], classes: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Return what the numbers *ids* stand for where all *classes* are PASCAL's, and a note on it.

    People number PASCAL's 20 classes from 1 or 0, or those that are annotated: from 1, unless an id is 0;
    detectors trained on COCO have its numbers, or count its 80 classes from 0 or 1. An order fits if it has
    all ids, and most stand for annotated classes, or it has no others. Where none or several fit, nothing
    is taken.
    """
    fitting: dict[tuple[str, ...], dict[str, str]] = {}  # by what the ids stand for
    counted_orders = [(list(PASCAL), 1), (list(PASCAL), 0), (sorted(classes), 0 if "0" in ids else 1)]
    orders = [{str(number): name for number, name in enumerate(*order)} for order in counted_orders]
    for which, first in ((0, 0), (1, 0), (1, 1)):
        orders.append({str(pair[which] + first): name for name, pair in COCO_IDS.items()})
    for names in orders if set(classes) <= set(PASCAL) else ():
        known = [number for number in ids if names.get(number) in classes]
        if set(ids) == names.keys() or (set(ids) < names.keys() and len(known) > len(ids) / 2):
            fitting.setdefault(tuple(names[number] for number in sorted(ids)), names)
    if len(fitting) != 1:
        return {}, []
    names = next(iter(fitting.values()))
    return names, [f"category ids are taken for {_id_text(names)}; --categories FILE gives others"]


def _read_categories(
    file: Path, images: Collection[str], ids: Collection[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the names of categories, and of images if *file* has them, by id.

    ItlError if a list of names says not whether it counts from 0 or 1, as none of the used *ids* is 0.
    """
    data = read_file(file)
    if file.suffix.lower() != ".json" or b'"categories"' not in data:
        if doubts := describe_zero(data, str(file), ids, "category_id"):
            raise ItlError(doubts[0])
        return read_names(data, str(file)), {}
    tables = read_tables(data, str(file), needed=("categories",))
    names = {str(number): name for number, name in category_names(tables).items()}
    files = {str(row["id"]): str(row["file_name"]) for row in tables["images"]}
    named = images_named(files.values(), images)
    return names, {number: named.get(name, name) for number, name in files.items()}


def _digits(name: str) -> int | None:
    """Return the number that COCO gives an image of VOC, such as 2008000001 for 2008_000001."""
    digits = name.replace("_", "")
    return int(digits) if re.fullmatch("[0-9]{1,18}", digits) else None


def _id_text(names: Mapping[str, str]) -> str:
    pairs = [f"{number} {name}" for number, name in names.items()]
    return ", ".join(pairs[:3]) + (f" … {pairs[-1]}" if len(pairs) > 3 else "")
