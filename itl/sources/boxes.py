"""Boxes and annotated objects as PASCAL VOC has them: their overlap, and their table in a pack.

Boxes are 1-based and inclusive, in pixels: xmin, ymin, xmax, ymax.
"""

import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeGuard

import numpy as np

from itl.errors import ItlError

Box = tuple[float, float, float, float]
Size = tuple[int | None, int | None]  # width and height of an image, None where it is not known
SIDES = ["xmin", "ymin", "xmax", "ymax"]
NO_SIDE = -1e-6  # a side above it may be 0, rounded: detectors clip boxes to 0, and VOCevaldet scores these
Outside = Literal["refuse", "cut"]  # what is done with a box that reaches outside its image
FLAG_OF_TEXT = {  # as difficult in annotations
    **dict.fromkeys(("1", "1.0", "true"), True),
    **dict.fromkeys(("0", "0.0", "false", "", "unspecified"), False),
}
# Detectron2's modes but 1, XYWH_ABS, as numbers or names; what others write there is none.
OTHER_MODE = re.compile(r"[0234](\.0)?|.*(XYXY|REL|XYWHA).*", re.IGNORECASE)
CHECKED_ROWS = 2000  # annotations of a file whose outlines or areas are compared with their boxes
OBJECT_COLUMNS = ("row", "name", *SIDES, "difficult", "truncated")


@dataclass(frozen=True)
class AnnotatedObject:
    """One annotated object, as PASCAL VOC has it."""

    name: str  # of its class
    box: Box
    difficult: bool = False  # ignored in scoring, and not trained on
    truncated: bool = False
    is_cut: bool = field(default=False, compare=False)  # its box reached outside its image
    is_rotated: bool = field(default=False, compare=False)  # its box is that before a rotation


def object_columns(annotations: Iterable[Iterable[AnnotatedObject]]) -> dict[str, list]:
    """Return the columns of a pack's table of objects; *annotations* has the objects of each image in turn.

    >>> object_columns([[], [AnnotatedObject("dog", (1, 1, 9, 9))]])["row"]
    [1]
    """
    rows = [
        (row, obj.name, *map(float, obj.box), obj.difficult, obj.truncated)
        for row, objects in enumerate(annotations)
        for obj in objects
    ]
    return {name: [row[column] for row in rows] for column, name in enumerate(OBJECT_COLUMNS)}


def padded_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Return width and height that fit "pad" gives an image of *width* × *height* in a square of *size*.

    >>> padded_size(500, 375, 100), padded_size(1, 4000, 100)
    ((100, 75), (1, 100))
    """
    longest = max(width, height)
    return max(1, round(width * size / longest)), max(1, round(height * size / longest))


def check_context(context: float) -> None:
    """Raise ItlError for a *context* of `crop_with_context` that leaves nothing of a box."""
    if not (math.isfinite(context) and context > 0):
        raise ItlError(f"context enlarges a person's box, 1 is the box alone; it cannot be {context!r}")


def crop_with_context(box: Box, context: float, width: int, height: int) -> tuple[slice, slice]:
    """Return rows and columns of an image, *width* × *height*, that show *box* enlarged *context* times.

    The centre stays; the crop ends at the edges of the image.

    >>> crop_with_context((41, 41, 60, 60), 2.0, width=100, height=65)
    (slice(30, 65, None), slice(30, 70, None))
    """
    xmin, ymin, xmax, ymax = box
    slices = []
    for low, high, side in ((ymin - 1, ymax, height), (xmin - 1, xmax, width)):
        margin = (context - 1) * (high - low) / 2
        start = min(max(0, round(low - margin)), side - 1)  # a pixel at least
        slices.append(slice(start, max(start + 1, min(side, round(high + margin)))))
    return slices[0], slices[1]


def iou_of(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union of *boxes* (..., 4) with *others* (..., 4), which broadcast.

    A side is max − min + 1, as the VOC development kit counts. The result is float64.

    >>> iou_of(np.array([1, 1, 10, 10]), np.array([[1, 1, 10, 5], [11, 1, 20, 10]]))
    array([0.5, 0. ])
    """
    boxes, others = np.asarray(boxes, np.float64), np.asarray(others, np.float64)
    low = np.maximum(boxes[..., :2], others[..., :2])
    high = np.minimum(boxes[..., 2:], others[..., 2:])
    shared = np.clip(high - low + 1, 0, None).prod(-1)
    return shared / (area(boxes) + area(others) - shared)


def area(boxes: np.ndarray) -> np.ndarray:
    """Return the number of pixels in each of *boxes* (..., 4).

    >>> area(np.array([1, 1, 10, 5]))
    np.int64(50)
    """
    return (boxes[..., 2:] - boxes[..., :2] + 1).prod(-1)


def first_invalid_box(boxes: np.ndarray, above: float = 0) -> tuple[int, str] | None:
    """Return the number, from 0, of the first of *boxes* (n, 4) that is not a box, and the reason.

    Sides have more than *above* pixels, as in `has_area`.

    >>> first_invalid_box(np.array([[1, 1, 10, 5], [3, 1, 2, 5]]))
    (1, 'the box (3, 1, 2, 5) has no area; xmax and ymax must be at least xmin and ymin')
    """
    finite = np.isfinite(boxes).all(1)
    valid = finite & (boxes[:, 2:] - boxes[:, :2] + 1 > above).all(1)
    if valid.all():
        return None
    first = int(valid.argmin())
    reason = "has no area; xmax and ymax must be at least xmin and ymin" if finite[first] else "is not finite"
    return first, f"the box {box_text(boxes[first])} {reason}"


def reaching_outside(boxes: np.ndarray, size: Sequence[int | None] | Sequence[Size]) -> np.ndarray:
    """Return which of *boxes* (n, 4) reach a pixel or more outside their image, (n,) of bool.

    *size* is width and height, (2,) or (n, 2); None where it is not known.

    >>> reaching_outside(np.array([[1, 1, 9.5, 9], [0, 1, 9, 9], [1, 1, 9, 10]]), (9, 9))
    array([False,  True,  True])
    """
    last = np.asarray(size, float)
    return np.logical_or((boxes[:, :2] <= 0).any(1), (boxes[:, 2:] >= last + 1).any(1))


def are_normalised(sides: np.ndarray) -> bool:
    """Say whether all *sides* of boxes are parts of their image: between 0 and 1, with fractions."""
    return bool(sides.size and (sides <= 1).all() and (sides >= 0).all() and (sides % 1 != 0).any())


def refuse_normalised(boxes: np.ndarray, where: str) -> None:
    """Raise ItlError, about *where* the first is, if all *boxes* (n, 4) are parts of their image."""
    if are_normalised(boxes):
        raise ItlError(
            f"{where}: the box {box_text(boxes[0])} and all others lie between 0 and 1, as parts of the "
            f"image; give pixels: multiply by width and height, and add 1 to xmin and ymin"
        )


def refuse_normalised_bboxes(rows: Sequence[Mapping], name: str) -> None:
    """Raise ItlError if all boxes in *rows* of the file *name* lie between 0 and 1, with fractions."""
    boxes = [box for row in rows if isinstance(box := row.get("bbox"), list) and box]
    if are_normalised(np.array([side for box in boxes for side in box if is_finite_number(side)], float)):
        raise ItlError(
            f"{name}: the box {str(boxes[0])[:60]} and all others lie between 0 and 1, as parts of "
            f"the image; COCO has pixels: multiply by width and height"
        )


def refuse_corners(rows: Sequence[Mapping], name: str) -> None:
    """Raise ItlError if boxes in *rows* of the file *name* are two corners.

    Their bbox_mode may say so, or the outlines of most objects, or areas without outlines.
    """
    for row in rows:
        if OTHER_MODE.fullmatch(str(mode := row.get("bbox_mode"))):
            raise ItlError(
                f"{name}: its bbox_mode is {str(mode)[:20]!r}; COCO has x, y, width, height: convert boxes "
                f"with Detectron2's BoxMode.convert to XYWH_ABS, and set bbox_mode to 1 or leave it out"
            )
    sample = rows[:: len(rows) // CHECKED_ROWS + 1]
    corners = {number: fits for number, row in enumerate(sample) if (fits := _fits_corners(row)) is not None}
    if 2 * sum(corners.values()) > len(corners):
        bbox = sample[next(number for number, fits in corners.items() if fits)]["bbox"]
        raise ItlError(
            f"{name}: the box {str(bbox)[:60]} and most others are two corners, as outlines or areas say; "
            f"COCO has x, y, width, height: subtract the first number from the third, the second from the "
            f"fourth"
        )


def _fits_corners(row: Mapping) -> bool | None:
    """Say whether outline, or else area, fit a bbox as corners alone; None where they cannot tell.

    >>> _fits_corners({"bbox": [5, 6, 20, 20], "area": 15 * 14}), _fits_corners({"bbox": [0, 0, 9, 9]})
    (True, None)
    """
    bbox, outline = row.get("bbox"), row.get("segmentation") or []
    if not _are_numbers(bbox, 4) or not isinstance(outline, list):  # but a mask
        return None
    x, y, width, height = bbox
    if width <= x or height <= y:  # no second corner lies before the first
        return False
    points = [side for part in outline if isinstance(part, list) for side in part]
    if _are_numbers(points, len(points)) and len(points) > 3:
        measured = [min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])]
        as_size, as_corners = [x, y, x + width, y + height], bbox
    elif not outline and _are_numbers([row.get("area")], 1):
        measured, as_size, as_corners = [row["area"]], [width * height], [(width - x) * (height - y)]
    else:
        return None
    if _are_near(as_size, as_corners):
        return None
    return _are_near(measured, as_corners) and not _are_near(measured, as_size)


def _are_numbers(values: object, count: int) -> TypeGuard[list]:
    return isinstance(values, list) and len(values) == count and all(map(is_finite_number, values))


def _are_near(values: Sequence[float], others: Sequence[float]) -> bool:
    pairs = zip(values, others, strict=True)
    return all(abs(value - other) <= max(1, 0.02 * abs(other)) for value, other in pairs)


def clip_box(
    obj: AnnotatedObject, width: int | None, height: int | None, where: str, outside: str
) -> AnnotatedObject:
    """Return *obj* with its box inside an image; a *width* or *height* of None is not known.

    Raises:
        ItlError: About *where*, if the box reaches *outside*, unless that is "cut" and something is inside.
    """
    xmin, ymin, xmax, ymax = obj.box
    last_x, last_y = width or math.inf, height or math.inf
    if xmin >= 1 and ymin >= 1 and xmax <= last_x and ymax <= last_y:
        return obj
    if outside != "cut":
        size = f"{width} × {height} pixels" if width and height else "any size"
        raise ItlError(
            f"{where}: the box {box_text(obj.box)} of {obj.name!r} reaches outside its image of {size}, "
            f"whose pixels count from 1; correct it, or set the option outside=cut"
        )
    box = (max(1, xmin), max(1, ymin), min(last_x, xmax), min(last_y, ymax))
    if not has_area(box):
        raise ItlError(
            f"{where}: of the box {box_text(obj.box)} of {obj.name!r} nothing lies inside its image of "
            f"{width or 'any'} × {height or 'any'} pixels; correct or remove it"
        )
    return replace(obj, box=box, is_cut=True)


def clip_boxes(boxes: np.ndarray, size: Sequence[int | None] | Sequence[Size]) -> np.ndarray:
    """Return *boxes* (n, 4) cut to their image as `clip_box` does; those entirely outside as they are.

    *size* is as in `reaching_outside`.

    >>> clip_boxes(np.array([[0, 2, 9.5, 9], [10, 1, 12, 9]]), (9, None))
    array([[ 1.,  2.,  9.,  9.],
           [10.,  1., 12.,  9.]])
    """
    low, high = np.maximum(boxes[:, :2], 1), np.fmin(boxes[:, 2:], np.asarray(size, float))  # None is NaN
    is_visible = (high - low > -1).all(1)  # as in `has_area`
    return np.where(is_visible[:, None], np.hstack([low, high]), boxes)


def turn_box(box: Box, orientation: int, width: int, height: int) -> Box:
    """Return the upright form of *box* on an image stored as *width* × *height* with an EXIF *orientation*.

    >>> turn_box((1, 1, 10, 5), 6, width=100, height=50)  # stored lying on its left side
    (46, 1, 50, 10)
    """
    xmin, ymin, xmax, ymax = box
    if orientation in (2, 3, 7, 8):  # to the right is to the left
        xmin, xmax = width + 1 - xmax, width + 1 - xmin
    if orientation in (3, 4, 6, 7):  # down is up
        ymin, ymax = height + 1 - ymax, height + 1 - ymin
    return (ymin, xmin, ymax, xmax) if orientation >= 5 else (xmin, ymin, xmax, ymax)


def has_area(box: Box, above: float = 0) -> bool:
    """Say whether *box* has sides of more than *above* pixels; from 3 to 3, inclusive, is one pixel."""
    return min(box[2] - box[0], box[3] - box[1]) + 1 > above


def box_with_area(box: Box, where: str, name: str) -> Box:
    """Return *box* of XML, in whole pixels; ItlError, about the object *name* at *where*, if it has no area.

    A side of one pixel is a mistake there: tools write the same number twice.
    """
    if not has_area(box, above=1):
        raise ItlError(
            f"{where}: the box {box_text(box)} of {name!r} has no area; xmin and ymin must be smaller than "
            f"xmax and ymax"
        )
    return box


def box_text(box: Iterable[float]) -> str:
    """Return *box* as text.

    >>> box_text((1, 2, 30.0, 40.5))
    '(1, 2, 30, 40.5)'
    """
    return "(" + ", ".join(f"{side:g}" for side in box) + ")"


def voc_box(bbox: object, size: tuple[int, int], where: str) -> Box:
    """Turn COCO's x, y, width, height into VOC's 1-based inclusive box, fractions kept.

    COCO measures from the image's corner: pixel n reaches from n − 1 to n. So xmin = x + 1, xmax = x + width.
    Less than a pixel outside is a fraction, not a mistake.

    >>> voc_box([0, 10, 20, 5.5], (100, 100), "here")
    (1, 11, 20, 15.5)
    """
    xmin, ymin, xmax, ymax = voc_corners(bbox, where)
    xmin, xmax = to_last_pixel(from_first_pixel(xmin), size[0]), to_last_pixel(xmax, size[0])
    ymin, ymax = to_last_pixel(from_first_pixel(ymin), size[1]), to_last_pixel(ymax, size[1])
    return xmin, ymin, max(xmin, xmax), max(ymin, ymax)  # a pixel at least


def voc_corners(bbox: object, where: str, above: float = 0) -> Box:
    """Turn COCO's x, y, width, height into VOC's box, wherever it lies.

    ItlError, about *where*, if *bbox* is not four finite numbers, or width or height is not *above* that.

    >>> voc_corners([9, 9, 41, 51], "here")
    (10, 10, 50, 60)
    """
    if not _are_numbers(bbox, 4):
        raise ItlError(f"{where}: bbox is {str(bbox)[:60]}; it should be [x, y, width, height] in pixels")
    x, y, width, height = bbox
    if min(width, height) <= above:
        raise ItlError(f"{where}: the box {str(bbox)[:60]} has no area; width and height must be above 0")
    return x + 1, y + 1, x + width, y + height


def from_first_pixel(side: float) -> float:
    """Return *side* of a box; 1 if it is less than a pixel before, which is a fraction, not a mistake."""
    return 1 if 0 < side < 1 else side


def to_last_pixel(side: float, last: int | None) -> float:
    """Return *side* of a box; *last*, of the image's pixels, if it is less than a pixel behind that."""
    return last if last and last < side < last + 1 else side


def whole_pixel(side: float, last: int | None = None) -> int:
    """Round *side* of a box to a pixel from 1 to *last*."""
    return math.floor(to_last_pixel(from_first_pixel(side), last) + 0.5)


def is_turned(angle: object) -> bool:
    """Say whether *angle*, degrees in an annotation, turns a box by a degree or more.

    >>> is_turned("45.0"), is_turned(180.0), is_turned(None)
    (True, False, False)
    """
    return 1 <= float_or_nan(str(angle)) % 180 <= 179


def float_or_nan(text: str) -> float:
    """Return the number that *text* is; NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def is_finite_number(value: object) -> bool:
    """Say whether *value* is a finite number; an integer too large for a float is none.

    >>> is_finite_number(3), is_finite_number(True), is_finite_number(10**400)
    (True, False, False)
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max  # type: ignore[arg-type]
