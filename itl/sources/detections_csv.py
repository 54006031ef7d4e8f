"""Detections in a CSV, and the annotated objects they are scored against."""

import csv
import io
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from itl import ItlError, pick
from itl.hierarchy.voc_classes import PASCAL
from itl.sources.boxes import SIDES, fault
from itl.sources.voc_xml import read_annotations, read_list

COLUMNS = ["image", "class", "score", *SIDES]


def read_detections(path: Path) -> pd.DataFrame:
    """Read a CSV of image, class, score, xmin, ymin, xmax, ymax: the columns, in the order of the file.

    Boxes are 1-based and inclusive, in pixels. Raises ItlError with one line, naming the row (the first
    below the header is 1): no such columns, too few or many values, a score or a side that is no finite
    number, a box without area.
    """
    path = Path(path)
    texts = _texts(path)
    numbers = {name: _numbers(texts[name], name, path) for name in ("score", *SIDES)}
    frame = pd.DataFrame({"image": texts["image"], "class": texts["class"], **numbers})
    if found := fault(frame[SIDES].to_numpy()):
        raise ItlError(f"{path}, row {found[0] + 1}: {found[1]}")
    return frame


def read_objects(
    path: Path, listed: Path | None = None
) -> tuple[pd.DataFrame, dict[str, tuple[int | None, int | None]]]:
    """Read VOC's annotations at *path*: the objects, as `voc_ap` takes them, and each image's size by id.

    With *listed*, a file such as ImageSets/Main/test.txt, only those of its images.
    """
    wanted = None if listed is None else _listed(Path(listed))
    rows, images = [], {}
    for image, annotation in read_annotations(Path(path)):
        if wanted is None or image in wanted:
            images[image] = annotation.width, annotation.height
            rows += [(image, thing.name, *thing.box, thing.difficult) for thing in annotation.things]
    if gone := sorted(set(wanted or ()) - images.keys()):
        raise ItlError(f"{listed} lists {len(gone):,} images that {path} does not annotate, such as "
                       f"{gone[0]!r}; give a list of these annotations")
    return pd.DataFrame(rows, columns=["image", "name", *SIDES, "difficult"]), images


def classes_of(objects: pd.DataFrame) -> list[str]:
    """Classes that detections may have: those of *objects*; all of PASCAL's where these are some of them."""
    found = set(objects["name"])
    return sorted(found | set(PASCAL) if found <= set(PASCAL) else found)


def look(path: Path | None, annotations: str | None = None, **other: object) -> list[str]:
    """Say in lines what the detections at *path* are, and what is wrong with them, as `itl check` does."""
    for name in other:
        pick({"annotations": 0}, name, "option of detections")
    if path is None or annotations is None:
        raise ItlError("detections are checked against annotations; give their CSV file, and name VOC's XML "
                       "files, a folder or tar, with --option annotations=PATH")
    try:
        objects, images = read_objects(Path(annotations))
        detections = read_detections(path)
    except ItlError as error:
        return [f"problem: {error}"]
    lines, classes = [], dict.fromkeys(classes_of(objects))
    try:
        refuse_other_images(detections, images, path)
    except ItlError as error:
        lines.append(f"problem: {error}")
    for name in sorted(set(detections["class"]) - set(classes)):
        row = 1 + (detections["class"] == name).to_numpy().argmax()
        try:
            pick(classes, name, "annotated class")
        except ItlError as error:
            lines.append(f"problem: {path}, row {row}: {error}")
    bare = len(images.keys() - set(detections["image"]))
    lines.append(f"detections: {len(detections):,} of {detections['class'].nunique()} classes on "
                 f"{detections['image'].nunique():,} images")
    lines.append(f"annotations: {len(objects):,} objects on {len(images):,} images; on {bare:,} of these "
                 f"nothing was detected")
    return [*lines, f"next: itl voc-ap --annotations {annotations} --detections {path}"]


def refuse_other_images(detections: pd.DataFrame, images: Collection[str], path: Path) -> None:
    """Raise ItlError where *detections*, read from *path*, are on an image that is not among *images*."""
    other = ~detections["image"].isin(list(images))
    if other.any():
        row = int(other.to_numpy().argmax())
        name = detections["image"].iloc[row]
        near = [name.zfill(6)] if name.zfill(6) in images else get_close_matches(name, images, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ItlError(f"{path}, row {row + 1}: no annotated image called {name!r}; {hint}{other.sum():,} of "
                       f"{len(detections):,} detections are on images without annotation")


def _listed(path: Path) -> set[str]:
    try:
        names = {line.split()[0] for line in read_list(path.read_bytes())}
    except OSError as error:
        raise ItlError(f"cannot read {path}: {error.strerror}") from error
    if not names:
        raise ItlError(f"{path} lists no image; it should hold an image's name on each line")
    return names


def _texts(path: Path) -> dict[str, tuple[str, ...]]:
    """The columns of the CSV as text, with spaces around values taken off."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except OSError as error:
        raise ItlError(f"cannot read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ItlError(f"{path} cannot be read as a CSV in UTF-8 ({error}); write it again") from None
    header = [name.strip() for name in rows[0]] if rows else []
    if wrong := [name for name in COLUMNS if header.count(name) != 1]:
        told = " ".join(",".join(header).split())[:80]
        raise ItlError(f"{path} should have one column {wrong[0]}; the header should be {','.join(COLUMNS)}, "
                       f"and is {told or 'empty'}")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise ItlError(f"{path}, row {number}: {len(row)} values, but the header names {len(header)}")
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    return {name: tuple(text.strip() for text in columns[name][1:]) for name in COLUMNS}


def _numbers(texts: tuple[str, ...], name: str, path: Path) -> np.ndarray:
    try:
        values = np.array([float(text) for text in texts])              # exact, unlike pandas' parser
    except ValueError:
        values = np.array([_number(text) for text in texts])
    if not np.isfinite(values).all():
        row = int(np.isfinite(values).argmin())
        raise ItlError(f"{path}, row {row + 1}: {name} is {texts[row][:40]!r}; it should be a finite number")
    return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
