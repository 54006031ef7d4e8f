"""Annotated objects: what PASCAL VOC says of the things in a picture, and their table in a pack."""

from collections.abc import Iterable
from dataclasses import dataclass

Box = tuple[float, float, float, float]      # xmin, ymin, xmax, ymax: 1-based, inclusive
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
