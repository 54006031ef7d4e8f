"""Boxes and annotated objects as PASCAL VOC has them, how far boxes overlap, and their table in a pack."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

Box = tuple[float, float, float, float]      # xmin, ymin, xmax, ymax: 1-based, inclusive
SIDES = ["xmin", "ymin", "xmax", "ymax"]
COLUMNS = ("row", "name", "xmin", "ymin", "xmax", "ymax", "difficult", "truncated")


@dataclass(frozen=True)
class Thing:
    """One annotated object, as PASCAL VOC has it."""

    name: str
    box: Box
    difficult: bool = False                 # not scored, neither found nor missed; not trained on either
    truncated: bool = False


def columns_of(annotations: Iterable[Iterable[Thing]]) -> dict[str, list]:
    """Make the columns of a pack's table of objects; *annotations* holds the things of each image in turn.

    >>> columns_of([[], [Thing("dog", (1, 1, 9, 9))]])["row"]
    [1]
    """
    rows = [(row, thing.name, *map(float, thing.box), thing.difficult, thing.truncated)
            for row, things in enumerate(annotations) for thing in things]
    return {name: [row[place] for row in rows] for place, name in enumerate(COLUMNS)}


def shrunk(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height, in pixels, that fit "pad" gives an image of *width* × *height* in a square of *size*.

    >>> shrunk(500, 375, 100), shrunk(1, 4000, 100)
    ((100, 75), (1, 100))
    """
    longest = max(width, height)
    return max(1, round(width * size / longest)), max(1, round(height * size / longest))


def around(box: Box, context: float, width: int, height: int) -> tuple[slice, slice]:
    """Rows and columns of an image, *width* × *height*, that show *box* enlarged *context* times.

    The centre stays; what lies outside the image is cut off.

    >>> around((41, 41, 60, 60), 2.0, width=100, height=65)
    (slice(30, 65, None), slice(30, 70, None))
    """
    xmin, ymin, xmax, ymax = box
    spans = []
    for low, high, side in ((ymin - 1, ymax, height), (xmin - 1, xmax, width)):
        more = (context - 1) * (high - low) / 2
        spans.append(slice(max(0, round(low - more)), min(side, round(high + more))))
    return spans[0], spans[1]


def overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of *boxes* (..., 4) with *others* (..., 4), which broadcast; 1-based inclusive, in float64.

    A side is max − min + 1, as the VOC development kit counts.

    >>> overlap(np.array([1, 1, 10, 10]), np.array([[1, 1, 10, 5], [11, 1, 20, 10]]))
    array([0.5, 0. ])
    """
    boxes, others = np.asarray(boxes, np.float64), np.asarray(others, np.float64)
    low = np.maximum(boxes[..., :2], others[..., :2])
    high = np.minimum(boxes[..., 2:], others[..., 2:])
    shared = np.clip(high - low + 1, 0, None).prod(-1)
    return shared / (area(boxes) + area(others) - shared)


def area(boxes: np.ndarray) -> np.ndarray:
    """Pixels in each of *boxes* (..., 4), 1-based inclusive.

    >>> area(np.array([1, 1, 10, 5]))
    np.int64(50)
    """
    return (boxes[..., 2:] - boxes[..., :2] + 1).prod(-1)


def fault(boxes: np.ndarray) -> tuple[int, str] | None:
    """Find the first of *boxes* (n, 4) that is no box: its number from 0, and why.

    >>> fault(np.array([[1, 1, 10, 5], [3, 1, 2, 5]]))
    (1, 'the box (3, 1, 2, 5) has no area; xmax and ymax are at least xmin and ymin')
    """
    finite = np.isfinite(boxes).all(1)
    sound = finite & (boxes[:, 2:] - boxes[:, :2] > -1).all(1)      # inclusive: 3 to 3 is a pixel wide
    if sound.all():
        return None
    first = int(sound.argmin())
    told = "the box (" + ", ".join(f"{side:g}" for side in boxes[first]) + ")"
    why = "has no area; xmax and ymax are at least xmin and ymin" if finite[first] else "is not finite"
    return first, f"{told} {why}"
