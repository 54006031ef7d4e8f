"""Region proposals: windows that need no pixels, how far boxes overlap, how many objects regions cover."""

import functools
from collections.abc import Callable, Hashable, Iterable

import numpy as np
import pandas as pd

from itl import ItlError

SIDES = ["xmin", "ymin", "xmax", "ymax"]
# Chosen on 350 images of VOC 2007 trainval: 2,000 windows cover 95 % of the objects not difficult.
STEP = 0.4                                  # from a window to its neighbour, in parts of the window's side
GROWTH = 1.6                                # from one scale to the next
SHAPES = (0.25, 0.5, 1.0, 2.0)              # width to height, both in parts of the image's
SMALLEST = (2**-1.5, 2**-0.5)               # at the smallest scale, which has most windows, fewer shapes
FINEST = 0.02                               # no window is smaller, however many may be had


def windows(width: int, height: int, count: int) -> np.ndarray:
    """Regions that any image of *width* × *height* may hold objects in, the largest first; no pixel is read.

    Returns float32 (n, 4), 1-based inclusive whole pixels, with n at most *count* and the same for every
    image: a grid at several scales and shapes, as fine as *count* allows.

    >>> windows(100, 50, 1)
    array([[  1.,   1., 100.,  50.]], dtype=float32)
    """
    if min(width, height, count) < 1:
        raise ItlError(f"windows take an image of at least 1 × 1 pixels and a count from 1; got {width} × "
                       f"{height} and {count}")
    size = np.array([width, height])
    corners = np.rint(_relative(count).reshape(-1, 2, 2) * size)
    low = np.minimum(corners[:, 0] + 1, size)
    return np.hstack([low, np.maximum(low, corners[:, 1])]).astype(np.float32)


@functools.cache
def _relative(count: int) -> np.ndarray:
    """At most *count* windows in an image of 1 × 1, (n, 4), the largest first."""
    scale = FINEST
    while scale < 1 and sum(np.prod(_steps(each)) for each in _sizes(scale)) > count:
        scale *= 1.01
    grids = []
    for width, height in sorted(_sizes(scale), key=np.prod, reverse=True):
        across, down = _steps((width, height))
        left, top = np.meshgrid(np.linspace(0, 1 - width, across), np.linspace(0, 1 - height, down))
        grids.append(np.stack([left, top, left + width, top + height], -1).reshape(-1, 4))
    return np.concatenate(grids)[:count]


def _sizes(smallest: float) -> set[tuple[float, float]]:
    """Widths and heights of windows from the scale *smallest* up to the whole image."""
    sizes, scale, shapes = {(1.0, 1.0)}, smallest, SMALLEST
    while scale < 1:
        sizes |= {(min(1.0, scale * shape**0.5), min(1.0, scale / shape**0.5)) for shape in shapes}
        scale, shapes = scale * GROWTH, SHAPES
    return sizes


def _steps(size: tuple[float, float]) -> tuple[int, int]:
    """How many windows of *size* stand side by side, across and down, to reach from edge to edge."""
    return tuple(int(np.ceil((1 - side) / (STEP * side) - 1e-9)) + 1 for side in size)


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


def best_overlaps(
    objects: pd.DataFrame, regions: Callable[[Hashable], np.ndarray], image: str = "row"
) -> np.ndarray:
    """How well each object that is not difficult is covered: its highest IoU with a region of its image.

    *objects* has the columns xmin to ymax and difficult, and *image*, whose values `regions` takes to give
    (m, 4) boxes, as `Pack.regions` does. Returns float64 (n,), in the order of *objects*.
    """
    scored = objects[~objects["difficult"].astype(bool)]
    best = np.zeros(len(scored))
    boxes = scored[SIDES].to_numpy(np.float64)
    for key, rows in scored.groupby(image, sort=False).indices.items():
        offered = regions(key)
        if len(offered):
            best[rows] = overlap(boxes[rows, None], offered[None]).max(1)
    return best


def recall(
    objects: pd.DataFrame, regions: Callable[[Hashable], np.ndarray], iou: float = 0.5, image: str = "row"
) -> float:
    """Part, 0 to 1, of the objects not difficult that some region overlaps with an IoU of *iou* or more.

    >>> one = pd.DataFrame([(0, 1, 1, 10, 10, False)], columns=["row", *SIDES, "difficult"])
    >>> recall(one, lambda row: np.array([[1, 1, 10, 5]])), recall(one, lambda row: np.zeros((0, 4)))
    (1.0, 0.0)
    """
    return float((_refuse_none(best_overlaps(objects, regions, image)) >= iou).mean())


def recall_table(
    objects: pd.DataFrame, regions: Callable[[Hashable, int], np.ndarray], counts: Iterable[int],
    image: str = "image",
) -> pd.DataFrame:
    """Recall by how many regions an image has and by IoU: columns count, iou, objects, recall.

    *regions* gives boxes (m, 4), with m at most its second argument, of an image; *objects* are as
    `best_overlaps` takes them. `objects` counts those that are not difficult.
    """
    rows, counts = [], list(counts)
    if min(counts, default=0) < 1:
        raise ItlError(f"recall takes a count from 1 of regions for an image, or several; got {counts}")
    for count in counts:
        best = _refuse_none(best_overlaps(objects, lambda key, count=count: regions(key, count), image))
        rows += [(count, iou, len(best), float((best >= iou).mean())) for iou in (0.5, 0.6, 0.7, 0.8, 0.9)]
    return pd.DataFrame(rows, columns=["count", "iou", "objects", "recall"])


def _refuse_none(best: np.ndarray) -> np.ndarray:
    if not len(best):
        raise ItlError("recall was asked for, but there is no object that is not difficult; annotate some")
    return best
