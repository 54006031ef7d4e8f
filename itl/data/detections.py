"""Detections in a CSV, and the annotated objects they are scored against."""

from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from itl import ItlError
from itl.data.regions import SIDES, fault
from itl.data.voc import read_annotations

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


def read_objects(path: Path) -> tuple[pd.DataFrame, set[str]]:
    """Read VOC's annotations at *path*: the objects, as `voc_ap` takes them, and the ids of all images."""
    rows, images = [], set()
    for image, annotation in read_annotations(Path(path)):
        images.add(image)
        rows += [(image, thing.name, *thing.box, thing.difficult) for thing in annotation.things]
    return pd.DataFrame(rows, columns=["image", "name", *SIDES, "difficult"]), images


def refuse_other_images(detections: pd.DataFrame, images: Collection[str], path: Path) -> None:
    """Raise ItlError where *detections*, read from *path*, are on an image that is not among *images*."""
    other = ~detections["image"].isin(images)
    if other.any():
        row = int(other.to_numpy().argmax())
        name = detections["image"].iloc[row]
        near = [name.zfill(6)] if name.zfill(6) in images else get_close_matches(name, images, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ItlError(f"{path}, row {row + 1}: no annotated image called {name!r}; {hint}{other.sum():,} of "
                       f"{len(detections):,} detections are on images without annotation")


def _texts(path: Path) -> dict[str, list[str]]:
    """The columns of the CSV as text; arrow is strict about the number of values in a row."""
    short = []

    def refuse(row: pyarrow.csv.InvalidRow) -> str:
        short.append(row)
        return "skip"

    options = {
        "read_options": pyarrow.csv.ReadOptions(use_threads=False),     # so that rows have numbers
        "parse_options": pyarrow.csv.ParseOptions(invalid_row_handler=refuse),
        "convert_options": pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string())),
    }
    try:
        table = pyarrow.csv.read_csv(pa.BufferReader(path.read_bytes()), **options)
    except OSError as error:
        raise ItlError(f"cannot read {path}: {error.strerror or error}") from error
    except pa.ArrowInvalid as error:
        raise ItlError(f"{path} cannot be read as a CSV of {','.join(COLUMNS)}: {error}") from error
    if wrong := [name for name in COLUMNS if table.column_names.count(name) != 1]:
        raise ItlError(f"{path} should have one column {wrong[0]}; the header should be {','.join(COLUMNS)}, "
                       f"and is {','.join(table.column_names)[:80]}")
    if short:
        raise ItlError(f"{path}, row {short[0].number - 1}: {short[0].actual_columns} values, but the header "
                       f"names {short[0].expected_columns}")
    return {name: table[name].to_pylist() for name in COLUMNS}


def _numbers(texts: list[str], name: str, path: Path) -> np.ndarray:
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
