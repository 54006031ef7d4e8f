"""Region proposals: windows that need no pixels, files matched to images, how many objects are covered."""

import functools
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from itl import ItlError, pick
from itl.sources.annotated import Survey
from itl.sources.boxes import SIDES, overlap
from itl.sources.detections_csv import read_objects
from itl.sources.proposal_files import Regions, read_regions
from itl.sources.records import is_image, some

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


def find_regions(found: Survey, told: str, outside: str = "refuse") -> Regions:
    """Read the regions of the images in *found* from the file *told*, which may lie beside the images.

    Images are found as `match` does. What reaches out of an image by less than a pixel is cut off. Images
    without regions, and those whose regions reach farther out, are told to *found* as problems; *outside*:
    cut takes off what is outside, however far.
    """
    try:
        path = _beside(told, found.path)
        held = read_regions(path)
    except ItlError as error:
        found.refuse(str(error))
        return {}
    there = match([record.id for record in found.records], held)
    regions, bare, out = {}, {}, {}
    for record in found.records:
        boxes = there.get(record.id, ())
        if not len(boxes):
            bare[record.id] = record.split
        elif record.id in found.sizes:
            regions[record.id] = cut = _cut(boxes, found.sizes[record.id])
            far = (np.abs(cut - boxes) >= 1).any(1)
            if outside != "cut" and far.any():
                out[record.id] = f"{far.sum():,} of {len(boxes):,}"
    if bare:
        splits = ", ".join(f"{count:,} of {split}" for split, count in sorted(Counter(bare.values()).items()))
        found.refuse(f"{path} has no regions of {len(bare):,} of {len(found.records):,} images ({splits}), "
                     f"such as {some(list(bare))}; it is on {len(held):,} images, {some(list(held))}; give "
                     f"the file made for these images, or a folder with the files of all splits", *bare)
    if out:
        first = next(iter(out))
        size = " × ".join(map(str, found.sizes[first]))
        found.refuse(f"{path} has regions that reach outside {len(out):,} images, such as {out[first]} on "
                     f"{first}, {size} pixels; count pixels from 1, or set the option outside=cut", *out)
    return regions


def match(images: Iterable[str], held: Mapping[str, np.ndarray]) -> Regions:
    """The regions in *held* of each of *images* that it has.

    An image goes by its id, or by its name without folders and suffix where no other image has that.

    >>> list(match(["VOC2007/000005", "000007"], {"000005.jpg": np.ones((1, 4)), "9": np.ones((1, 4))}))
    ['VOC2007/000005']
    """
    images = list(images)
    owners, names = ([_short(name) for name in each] for each in (images, held))
    once = {name for name, count in Counter(owners).items() if count == 1}
    once &= {name for name, count in Counter(names).items() if count == 1}
    by_name = {name: key for name, key in zip(names, held, strict=True) if name in once}
    keys = {image: image if image in held else by_name.get(name)
            for image, name in zip(images, owners, strict=True)}
    return {image: held[key] for image, key in keys.items() if key is not None}


def _short(name: str) -> str:
    last = name.rpartition("/")[2]
    return last.rpartition(".")[0] if is_image(last) else last


def look(path: Path | None, annotations: str | None = None, **other: object) -> list[str]:
    """Say in lines what the regions at *path* are, and what is wrong with them, as `itl check` does.

    With *annotations*, VOC's XML files, also how many of the objects they cover.
    """
    for name in other:
        pick({"annotations": 0}, name, "option of proposals")
    if path is None:
        raise ItlError("proposals are read from a file, or all files of a folder; none was given")
    try:
        held = read_regions(path)
        counts = [len(boxes) for boxes in held.values()]
        each = f"{min(counts):,} to {max(counts):,} on each"
        lines = [f"regions: {sum(counts):,} on {len(held):,} images, {each}"]
        if annotations is not None:
            table, note = measured(held, Path(annotations), [max(counts)])
            lines += [f"note: {note}"] if note else []
            half = table.iloc[0]
            lines.append(f"recall at IoU 0.5: {half['recall']:.1%} of {half['objects']:,.0f} objects "
                         f"that are not difficult")
    except ItlError as error:
        return [f"problem: {error}"]
    return [*lines, f"next: itl pack voc2007 PATH --size 500 --fit pad --option proposals={path} --out PACK"]


def _beside(told: str, source: Path) -> Path:
    """The path *told*, from here or from the folder of *source*."""
    here = Path(str(told)).expanduser()
    there = (source if source.is_dir() else source.parent) / here
    return there if there.exists() and not here.exists() else here


def _cut(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What of *boxes* lies inside an image of *size*, width and height."""
    last = np.array(size, np.float32)
    return np.hstack([np.clip(boxes[:, :2], 1, last), np.clip(boxes[:, 2:], 1, last)])


def measured(
    regions: Regions | None, annotations: Path, counts: Iterable[int], listed: Path | None = None
) -> tuple[pd.DataFrame, str]:
    """Measure how many of VOC's objects *regions*, or windows without any, cover: `recall_table`, and a note.

    Images that have no regions are left out, and the note, else empty, says how many. Raises ItlError where
    no annotated image has any, or windows are asked for and an annotation tells no size.
    """
    objects, sizes = read_objects(annotations, listed)
    if regions is None:
        if unsized := [image for image, size in sizes.items() if None in size]:
            raise ItlError(f"{annotations} tells no size of {len(unsized):,} images, {some(unsized)}, which "
                           f"windows need: write <size> with width and height")
        return recall_table(objects, lambda image, count: windows(*sizes[image], count), counts), ""
    there = match(sizes, regions)
    bare = [image for image in sizes if image not in there]
    if not there:
        raise ItlError(f"no annotated image, such as {some(bare)}, has regions: they are of {len(regions):,} "
                       f"others, {some(list(regions))}; give the file made for these images")
    note = f"{len(bare):,} of {len(sizes):,} annotated images have no regions, and are left out"
    objects = objects[objects["image"].isin(list(there))]
    return recall_table(objects, lambda image, count: there[image][:count], counts), note if bare else ""
