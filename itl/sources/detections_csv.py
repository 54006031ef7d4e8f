"""Detections in a CSV, and the annotated objects they are scored against."""

import csv
import io
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from itl import ItlError, did_you_mean, pick
from itl.hierarchy.voc_classes import PASCAL
from itl.sources.boxes import SIDES, first_invalid_box
from itl.sources.findings import Finding
from itl.sources.voc_xml import read_annotations, read_list

DETECTION_COLUMNS = ["image", "class", "score", *SIDES]


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


def read_objects(
    path: Path, image_list: Path | None = None
) -> tuple[pd.DataFrame, dict[str, tuple[int | None, int | None]]]:
    """Read VOC's annotations.

    Args:
        path: The XML files, as `itl.sources.voc_xml.read_annotations` takes them.
        image_list: A file such as ImageSets/Main/test.txt; only its images are read.

    Returns:
        The objects, with the columns image, name, xmin, ymin, xmax, ymax and difficult, and width and height
        of each image by id; None if its annotation does not tell them.

    Raises:
        ItlError: If an annotation is invalid, or *image_list* lists images that are not annotated.
    """
    wanted = None if image_list is None else _read_image_list(Path(image_list))
    rows, sizes = [], {}
    for image, annotation in read_annotations(Path(path)):
        if wanted is None or image in wanted:
            sizes[image] = annotation.width, annotation.height
            rows += [(image, one.name, *one.box, one.difficult) for one in annotation.objects]
    if missing := sorted(set(wanted or ()) - sizes.keys()):
        raise ItlError(
            f"{image_list} lists {len(missing):,} images that {path} does not annotate, such as "
            f"{missing[0]!r}; give a list of these annotations"
        )
    return pd.DataFrame(rows, columns=["image", "name", *SIDES, "difficult"]), sizes


def classes_of(objects: pd.DataFrame) -> list[str]:
    """Return the classes that detections may have: those of *objects*, and PASCAL's if these are of them."""
    classes = set(objects["name"])
    return sorted(classes | set(PASCAL) if classes <= set(PASCAL) else classes)


def check_detections(path: Path | None, annotations: str | None = None, **others: object) -> list[Finding]:
    """Check the detections at *path* against the VOC *annotations*, for `itl check`."""
    for name in others:
        pick({"annotations": 0}, name, "option of detections")
    if path is None or annotations is None:
        raise ItlError(
            "detections are checked against annotations; give their CSV file, and VOC's XML files, a folder "
            "or tar, with --option annotations=PATH"
        )
    try:
        objects, images = read_objects(Path(annotations))
        detections = read_detections(path)
    except ItlError as error:
        return [Finding("problem", str(error))]
    findings, classes = [], dict.fromkeys(classes_of(objects))
    try:
        refuse_other_images(detections, images, path)
    except ItlError as error:
        findings.append(Finding("problem", str(error)))
    for name in sorted(set(detections["class"]) - set(classes)):
        row = 1 + (detections["class"] == name).to_numpy().argmax()
        try:
            pick(classes, name, "annotated class")
        except ItlError as error:
            findings.append(Finding("problem", f"{path}, row {row}: {error}"))
    bare = len(images.keys() - set(detections["image"]))
    return [
        *findings,
        Finding(
            "count",
            f"detections: {len(detections):,} of {detections['class'].nunique()} classes on "
            f"{detections['image'].nunique():,} images",
        ),
        Finding(
            "count",
            f"annotations: {len(objects):,} objects on {len(images):,} images; {bare:,} of these images have "
            f"no detection",
        ),
        Finding("next", f"itl voc-ap --annotations {annotations} --detections {path}"),
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
            f"{len(detections):,} detections are on images without annotation"
        )


def _read_image_list(path: Path) -> set[str]:
    try:
        names = {line.split()[0] for line in read_list(path.read_bytes())}
    except OSError as error:
        raise ItlError(f"cannot read {path}: {error.strerror}") from error
    if not names:
        raise ItlError(f"{path} lists no image; it should hold an image's name on each line")
    return names


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
            raise ItlError(f"{path}, row {number}: {len(row)} values, but the header names {len(header)}")
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
