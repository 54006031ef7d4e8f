"""Detections in files, and the annotated objects they are scored against."""

import csv
import io
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from itl import ItlError, counted, did_you_mean, no_such, pick
from itl.hierarchy.voc_classes import PASCAL
from itl.sources.boxes import SIDES, box_text, first_invalid_box
from itl.sources.detection_results import (
    DETECTION_COLUMNS,
    KIT_FILE,
    annotated_name,
    read_coco_results,
    read_kit_results,
)
from itl.sources.findings import Finding
from itl.sources.voc_xml import read_objects


@dataclass(frozen=True)
class Annotations:
    """What detections are scored against."""

    objects: pd.DataFrame  # as `itl.sources.voc_xml.read_objects` returns them
    images: Mapping[str, tuple[int | None, int | None]]  # width and height by image

    @property
    def classes(self) -> list[str]:
        """The classes that detections may have: those of the objects, and PASCAL's if these are of them."""
        classes = set(self.objects["name"])
        return sorted(classes | set(PASCAL) if classes <= set(PASCAL) else classes)


def load_detections(
    path: Path, annotations: Annotations, categories: Path | None = None
) -> tuple[pd.DataFrame, str]:
    """Read detections of annotated images: a CSV, a folder of the VOC kit's results, or COCO results JSON.

    Images may be named with their suffix, or by their path. *categories* are as in `read_coco_results`.

    Returns:
        The columns `DETECTION_COLUMNS`, and a note on what was taken for what; empty without one.

    Raises:
        ItlError: If it is none of these, holds no detection, has boxes from 0 to 1, or is on other images.
    """
    path, note = Path(path), ""
    annotated = sorted(set(annotations.objects["name"]))
    if KIT_FILE.fullmatch(path.name) and path.is_file():
        raise ItlError(
            f"{path} is the VOC kit's file of one class; give the folder with those of all classes"
        )
    if path.is_dir():
        detections = read_kit_results(path, annotated)
    elif path.suffix.lower() == ".json":
        detections, note = read_coco_results(path, annotations.images, annotated, categories)
    else:
        detections = read_detections(path)
    if not len(detections):
        raise ItlError(f"{path} holds no detections, so there is nothing to score; every class would be 0")
    refuse_normalised(detections, path)
    if invalid := first_invalid_box(detections[SIDES].to_numpy()):
        raise ItlError(f"{path}, row {invalid[0] + 1}: {invalid[1]}")
    names = {name: annotated_name(name, annotations.images) for name in detections["image"].unique()}
    detections["image"] = detections["image"].map(names)
    refuse_other_images(detections, annotations.images, path)
    return detections, note


def refuse_normalised(detections: pd.DataFrame, path: Path) -> None:
    """Raise ItlError if all boxes lie between 0 and 1, with fractions: parts of the image, not pixels."""
    sides = detections[SIDES].to_numpy()
    if (sides <= 1).all() and (sides >= 0).all() and (sides % 1 != 0).any():
        raise ItlError(
            f"{path}, row 1: the box {box_text(sides[0])} and all others lie between 0 and 1, as parts of "
            f"the image; give pixels: multiply by width and height, and add 1 to xmin and ymin"
        )


def read_detections(path: Path) -> pd.DataFrame:
    """Read a CSV of detections.

    Returns:
        image, class, score, xmin, ymin, xmax, ymax, in the order of the file; boxes are 1-based and
        inclusive, in pixels.

    Raises:
        ItlError: In one line that names the row (the first below the header is 1): a column is missing, a
            row has too few or too many values, a score or side is not a finite number, a box has no area.
    """
    path = Path(path)
    texts = _columns_as_text(path)
    numbers = {name: _numbers(texts[name], name, path) for name in ("score", *SIDES)}
    frame = pd.DataFrame({"image": texts["image"], "class": texts["class"], **numbers})
    if invalid := first_invalid_box(frame[SIDES].to_numpy()):
        raise ItlError(f"{path}, row {invalid[0] + 1}: {invalid[1]}")
    return frame


def check_detections(
    path: Path | None, annotations: str | None = None, categories: str | None = None, **others: object
) -> list[Finding]:
    """Check the detections at *path* against the VOC *annotations*, for `itl check`."""
    for name in others:
        pick({"annotations": 0, "categories": 0}, name, "option of detections")
    if path is None or annotations is None:
        raise ItlError(
            "detections are checked against annotations: `itl check detections FILE --option "
            "annotations=PATH`, where PATH is VOC's XML files, a folder or tar"
        )
    try:
        ground_truth = Annotations(*read_objects(Path(annotations)))
        detections, note = load_detections(path, ground_truth, Path(categories) if categories else None)
    except ItlError as error:
        return [Finding("problem", str(error))]
    objects, images = ground_truth.objects, ground_truth.images
    findings, classes = [Finding("note", note)] if note else [], ground_truth.classes
    for name in sorted(set(detections["class"]) - set(classes)):
        row = 1 + (detections["class"] == name).to_numpy().argmax()
        text = f"{path}, row {row}: {no_such(classes, name, 'annotated class')}"
        findings.append(Finding("problem", text))
    bare = len(images.keys() - set(detections["image"]))
    words = ["itl", "voc-ap", "--annotations", str(annotations), "--detections", str(path)]
    words += ["--categories", str(categories)] if categories else []
    return [
        *findings,
        Finding(
            "count",
            f"detections: {len(detections):,} of {detections['class'].nunique()} classes on "
            f"{counted(detections['image'].nunique(), 'images')}",
        ),
        Finding(
            "count",
            f"annotations: {counted(len(objects), 'objects')} on {counted(len(images), 'images')}; "
            f"{bare:,} of these images have no detection",
        ),
        Finding("next", shlex.join(words)),
    ]


def refuse_other_images(detections: pd.DataFrame, images: Collection[str], path: Path) -> None:
    """Raise ItlError if *detections*, read from *path*, are on an image that is not among *images*."""
    unknown = ~detections["image"].isin(list(images))
    if unknown.any():
        row = int(unknown.to_numpy().argmax())
        name = detections["image"].iloc[row]
        padded = name.zfill(6)  # 5 for 000005: someone's program took ids for numbers
        hint = f"did you mean {padded!r}? " if padded in images else did_you_mean(name, images)
        raise ItlError(
            f"{path}, row {row + 1}: no annotated image called {name!r}; {hint}{unknown.sum():,} of "
            f"{counted(len(detections), 'detections are')} on images without annotation"
        )


def _columns_as_text(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the columns of the CSV as text, without spaces around values."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except OSError as error:
        raise ItlError(f"cannot read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ItlError(f"{path} cannot be read as a CSV in UTF-8 ({error}); write it again") from None
    header = [name.strip() for name in rows[0]] if rows else []
    if wrong := [name for name in DETECTION_COLUMNS if header.count(name) != 1]:
        present = " ".join(",".join(header).split())[:80]
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
    values = np.array([_number(text) for text in texts])  # exact, unlike pandas' parser
    if not np.isfinite(values).all():
        row = int(np.isfinite(values).argmin())
        raise ItlError(f"{path}, row {row + 1}: {name} is {texts[row][:40]!r}; it should be a finite number")
    return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
