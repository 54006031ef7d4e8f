"""Detections in the files of other tools: the VOC development kit's, one a class, and COCO's results JSON."""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from itl import ItlError
from itl.hierarchy.voc_classes import PASCAL
from itl.sources.boxes import SIDES
from itl.sources.coco import is_finite_number, read_tables, refuse_normalised, voc_corners
from itl.sources.numbered_classes import read_names
from itl.sources.records import examples, short_name

DETECTION_COLUMNS = ["image", "class", "score", *SIDES]
KIT_FILE = re.compile(r"(comp\d+_det_[A-Za-z0-9]+)_(.+)\.txt")
KIT_LINE = "IMAGE SCORE XMIN YMIN XMAX YMAX"
COCO_KEYS = ("image_id", "category_id", "bbox", "score")


def read_kit_results(folder: Path, classes: Collection[str]) -> pd.DataFrame:
    """Read the development kit's results: a folder of comp4_det_test_CLASS.txt, lines `IMAGE SCORE` and box.

    Each of the annotated *classes* needs a file, which may be empty.

    Returns:
        The columns `DETECTION_COLUMNS`, classes by name, lines in the order of the files.
    """
    files = {file.name: file for file in sorted(folder.iterdir())}
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
        text = files[name].read_text("utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                rows.append(_kit_row(line, match[2], f"{files[name]}, line {number}"))
    return _frame(rows)


def read_coco_results(
    path: Path, images: Collection[str], classes: Collection[str], categories: Path | None
) -> tuple[pd.DataFrame, str]:
    """Read COCO results JSON: a list of objects with image_id, category_id, bbox and score.

    Args:
        path: The file.
        images: The annotated images; an image_id that is a number is that of their digits.
        classes: The annotated classes.
        categories: COCO-style JSON, or a list of names, that says which category has which id. Without it ids
            are names of classes; numbers are taken where all *classes* are PASCAL's and one order fits them.

    Returns:
        The columns `DETECTION_COLUMNS`, boxes as VOC has them; and what the ids were taken for.
    """
    rows = _result_rows(path)
    if categories is None:
        names, note = _pascal_numbers({str(row["category_id"]) for row in rows} - set(classes), classes)
        image_names: dict[str, str] = {}
    else:
        (names, image_names), note = _read_categories(categories, images), ""
    numbered = {_digits(name): name for name in images}
    result = []
    for number, row in enumerate(rows, 1):
        where = f"{path}, number {number}"
        image = str(row["image_id"])
        if image not in images and image not in image_names and (digits := _digits(image)) is not None:
            image = numbered.get(digits, image)
        image = image_names.get(image, image)
        category = str(row["category_id"])
        if category not in names and category not in classes:
            known = f"ids are {_id_text(names)}" if names else "nothing says which class has which id"
            raise ItlError(
                f"{where}: no class has the category_id {category}; {known}; give the JSON of the "
                f"annotations, or a list of names, with --categories FILE"
            )
        bbox, score = row["bbox"], row["score"]
        if not is_finite_number(score):
            raise ItlError(f"{where}: score is {str(score)[:40]!r}; it should be a finite number")
        result.append((image, names.get(category, category), score, *voc_corners(bbox, where)))
    return _frame(result), note


def _kit_row(line: str, label: str, where: str) -> tuple:
    words = line.split()
    try:
        numbers = [float(word) for word in words[1:]]
    except ValueError:
        numbers = []
    if len(numbers) != 5 or not np.isfinite(numbers).all():
        raise ItlError(f"{where}: {line.strip()[:60]!r} is not {KIT_LINE}")
    return (words[0], label, *numbers)


def _frame(rows: list[tuple]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=DETECTION_COLUMNS)
    return frame.astype(dict.fromkeys(("score", *SIDES), float))


def _result_rows(path: Path) -> list[Mapping]:
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
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
    refuse_normalised(content, str(path))
    return content


def _pascal_numbers(ids: Collection[str], classes: Collection[str]) -> tuple[dict[str, str], str]:
    """Return what the numbers *ids* stand for where all *classes* are PASCAL's, and what to tell about it.

    People number PASCAL's 20 classes from 1, or those that are annotated. An order fits if it has all ids and
    at least one stands for an annotated class. Where none or both fit, nothing is taken.
    """
    fitting: dict[tuple[str, ...], dict[str, str]] = {}  # by what the ids stand for
    for order in (list(PASCAL), sorted(classes)) if set(classes) <= set(PASCAL) else ():
        names = {str(number): name for number, name in enumerate(order, 1)}
        if set(ids) <= names.keys() and not set(classes).isdisjoint(names[number] for number in ids):
            fitting.setdefault(tuple(names[number] for number in sorted(ids)), names)
    if len(fitting) != 1:
        return {}, ""
    names = next(iter(fitting.values()))
    return names, f"category ids are taken for {_id_text(names)}; --categories FILE gives others"


def _read_categories(file: Path, images: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the names of categories, and of images if *file* has them, by id."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ItlError(f"cannot read {file}: {error.strerror}") from error
    if file.suffix.lower() != ".json" or b'"categories"' not in data:
        return read_names(data, str(file)), {}
    tables = read_tables(data, str(file))
    names = {str(row["id"]): str(row["name"]) for row in tables["categories"]}
    files = {str(row["id"]): str(row["file_name"]) for row in tables["images"]}
    return names, {number: annotated_name(name, images) for number, name in files.items()}


def annotated_name(name: str, images: Collection[str]) -> str:
    """Return the one of the annotated *images* that *name*, which may have folders and suffix, means."""
    short = short_name(name)
    return short if name not in images and short in images else name


def _digits(name: str) -> int | None:
    """Return the number that COCO gives an image of VOC, such as 2008000001 for 2008_000001."""
    digits = name.replace("_", "")
    return int(digits) if re.fullmatch("[0-9]{1,18}", digits) else None


def _id_text(names: Mapping[str, str]) -> str:
    pairs = [f"{number} {name}" for number, name in names.items()]
    return ", ".join(pairs[:3]) + (f" … {pairs[-1]}" if len(pairs) > 3 else "")
