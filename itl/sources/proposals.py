"""Region proposals: windows that need no pixels, files matched to images, and recall of objects."""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from itl import ItlError, counted
from itl.sources.boxes import SIDES, iou_of, reaching_outside
from itl.sources.findings import Finding, check_options
from itl.sources.proposal_files import Regions, describe_order, find_regions, read_regions
from itl.sources.records import examples, short_name
from itl.sources.scan import Scan
from itl.sources.voc_xml import read_objects

# Chosen on 350 images of VOC 2007 trainval: 2,000 windows cover 95 % of the objects that are not difficult.
STEP = 0.4  # from a window to the next, as a fraction of the window's side
SCALE_FACTOR = 1.6  # from one scale to the next
SHAPES = (0.25, 0.5, 1.0, 2.0)  # width to height, both as fractions of the image's
SHAPES_AT_SMALLEST_SCALE = (2**-1.5, 2**-0.5)  # fewer, as this scale has most windows
MIN_SCALE = 0.02  # no window is smaller, whatever the count
RECALL_IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)
RECALL_COUNTS = (300, 1000, 2000)  # regions of an image


def windows(width: int, height: int, count: int) -> np.ndarray:
    """Return regions in which any image may have objects, the largest first; no pixel is read.

    They are a grid at several scales and shapes, as fine as *count*, the most windows, allows; the number is
    the same for every image.

    Returns:
        float32 (n, 4): xmin, ymin, xmax, ymax, 1-based inclusive whole pixels.

    Raises:
        ItlError: If *width*, *height* or *count* is below 1.

    >>> windows(100, 50, 1)
    array([[  1.,   1., 100.,  50.]], dtype=float32)
    """
    if min(width, height, count) < 1:
        raise ItlError(
            f"windows take an image of at least 1 × 1 pixels and a count from 1; got {width} × {height} and "
            f"{count}"
        )
    size = np.array([width, height])
    corners = np.rint(_relative_windows(count).reshape(-1, 2, 2) * size)
    low = np.minimum(corners[:, 0] + 1, size)
    return np.hstack([low, np.maximum(low, corners[:, 1])]).astype(np.float32)


@functools.cache
def _relative_windows(count: int) -> np.ndarray:
    """Return at most *count* windows in an image of 1 × 1, (n, 4), the largest first."""
    scale = MIN_SCALE
    while scale < 1 and sum(np.prod(_grid_shape(size)) for size in _window_sizes(scale)) > count:
        scale *= 1.01
    grids = []
    for width, height in sorted(_window_sizes(scale), key=np.prod, reverse=True):
        columns, rows = _grid_shape((width, height))
        left, top = np.meshgrid(np.linspace(0, 1 - width, columns), np.linspace(0, 1 - height, rows))
        grids.append(np.stack([left, top, left + width, top + height], -1).reshape(-1, 4))
    return np.concatenate(grids)[:count]


def _window_sizes(smallest_scale: float) -> set[tuple[float, float]]:
    """Return widths and heights of windows, from the smallest scale up to the whole image."""
    sizes, scale = {(1.0, 1.0)}, smallest_scale
    shapes: tuple[float, ...] = SHAPES_AT_SMALLEST_SCALE
    while scale < 1:
        for shape in shapes:
            sizes.add((min(1.0, scale * shape**0.5), min(1.0, scale / shape**0.5)))
        scale, shapes = scale * SCALE_FACTOR, SHAPES
    return sizes


def _grid_shape(size: tuple[float, float]) -> tuple[int, int]:
    """Return how many windows of *size*, across and down, reach from edge to edge."""
    columns, rows = (int(np.ceil((1 - side) / (STEP * side) - 1e-9)) + 1 for side in size)
    return columns, rows


def best_ious(objects: pd.DataFrame, regions: Callable[[Any], np.ndarray], image: str = "row") -> np.ndarray:
    """Return the highest IoU of each object that is not difficult with a region of its image.

    Args:
        objects: Columns xmin to ymax, difficult, and *image*.
        regions: Returns the boxes (m, 4) of an image, as `Pack.regions` does.
        image: The column whose values *regions* takes.

    Returns:
        float64 (n,), in the order of *objects*.
    """
    scored = objects[~objects["difficult"].astype(bool)]
    best = np.zeros(len(scored))
    boxes = scored[SIDES].to_numpy(np.float64)
    for key, rows in scored.groupby(image, sort=False).indices.items():
        proposed = regions(key)
        if len(proposed):
            best[rows] = iou_of(boxes[rows, None], proposed[None]).max(1)
    return best


def recall(
    objects: pd.DataFrame, regions: Callable[[Any], np.ndarray], iou: float = 0.5, image: str = "row"
) -> float:
    """Return the fraction of the objects, not difficult, that a region covers with an IoU of *iou* or more.

    Other arguments are as in `best_ious`. Raises ItlError if all objects are difficult.

    >>> one = pd.DataFrame([(0, 1, 1, 10, 10, False)], columns=["row", *SIDES, "difficult"])
    >>> recall(one, lambda row: np.array([[1, 1, 10, 5]])), recall(one, lambda row: np.zeros((0, 4)))
    (1.0, 0.0)
    """
    return float((_refuse_empty(best_ious(objects, regions, image)) >= iou).mean())


def recall_table(
    objects: pd.DataFrame,
    regions: Callable[[Any, int], np.ndarray],
    counts: Iterable[int],
    image: str = "image",
) -> pd.DataFrame:
    """Return recall by the number of regions of an image, in *counts*, and by IoU.

    Arguments are as in `best_ious`; the second one of *regions* is the most boxes there may be.

    Returns:
        Columns count, iou, objects (those that are not difficult) and recall.

    Raises:
        ItlError: If there is no count or one below 1, or no object that is not difficult.
    """
    rows, counts = [], list(counts)
    if min(counts, default=0) < 1:
        raise ItlError(f"recall takes counts, from 1, of the regions of an image; got {counts}")

    def best_of(count: int) -> np.ndarray:
        return _refuse_empty(best_ious(objects, lambda key: regions(key, count), image))

    for count in counts:
        best = best_of(count)
        rows += [(count, iou, len(best), float((best >= iou).mean())) for iou in RECALL_IOUS]
    return pd.DataFrame(rows, columns=["count", "iou", "objects", "recall"])


def _refuse_empty(best: np.ndarray) -> np.ndarray:
    if not len(best):
        raise ItlError("recall needs objects that are not difficult, and there are none; annotate some")
    return best


def add_regions(scan: Scan, file: str | None, outside: str) -> None:
    """Add to *scan* the regions of its images, from the *file*, which may be relative to the images' folder.

    Without a *file* there are none. What reaches outside an image by less than a pixel is clipped. Images
    without regions, and those whose regions reach further, become problems; *outside*="cut" clips any.
    """
    if not file:
        return
    try:
        path = _regions_path(file, scan.path)
        from_file, note = read_regions(path), describe_order(path)
    except ItlError as error:
        scan.add_problem(str(error))
        return
    scan.notes += [note] if note else []
    matched = match_images([record.id for record in scan.records], from_file)
    split_of_bare, outside_counts = {}, {}
    for record in scan.records:
        boxes = matched.get(record.id)
        if boxes is None or not len(boxes):
            split_of_bare[record.id] = record.split
        elif record.id in scan.sizes:
            clipped = np.clip(boxes, 1, np.array(2 * scan.sizes[record.id], np.float32))
            scan.regions[record.id] = clipped
            reaching = reaching_outside(boxes, scan.sizes[record.id])
            if outside != "cut" and reaching.any():
                outside_counts[record.id] = f"{reaching.sum():,} of {len(boxes):,}"
    if split_of_bare:
        counts = sorted(Counter(split_of_bare.values()).items())
        splits = ", ".join(f"{count:,} of {split}" for split, count in counts)
        scan.add_problem(
            f"{path} has no regions of {len(split_of_bare):,} of {len(scan.records):,} images ({splits}), "
            f"such as {examples(split_of_bare)}; it is on {counted(len(from_file), 'images')}, "
            f"{examples(from_file)}; give the file made for these images, or a folder with the files "
            f"of all splits",
            *split_of_bare,
        )
    if outside_counts:
        first = next(iter(outside_counts))
        width, height = scan.sizes[first]
        scan.add_problem(
            f"{path} has regions that reach outside {counted(len(outside_counts), 'images')}, such as "
            f"{outside_counts[first]} on {first}, {width} × {height} pixels; count pixels from 1, or set the "
            f"option outside=cut",
            *outside_counts,
        )


def match_images(images: Iterable[str], regions: Mapping[str, np.ndarray]) -> Regions:
    """Return the regions of those of *images* that *regions* has.

    An image is matched by its id, or by its name without folders and suffix if that is unique on both sides.

    >>> file = {"000005.jpg": np.ones((1, 4)), "9": np.ones((1, 4))}
    >>> list(match_images(["VOC2007/000005", "000007"], file))
    ['VOC2007/000005']
    """
    images = list(images)
    keys_by_name = _by_unique_name(regions)
    unique_names = {image: name for name, image in _by_unique_name(images).items()}
    matched = {}
    for image in images:
        key = image if image in regions else keys_by_name.get(unique_names.get(image, ""))
        if key is not None:
            matched[image] = regions[key]
    return matched


def _by_unique_name(images: Iterable[str]) -> dict[str, str]:
    """Return *images* by their names without folders and suffix, those whose names are unique."""
    names = {image: short_name(image) for image in images}
    counts = Counter(names.values())
    return {name: image for image, name in names.items() if counts[name] == 1}


def check_proposals(
    path: Path | None, annotations: str | None = None, outside: str = "refuse", **others: object
) -> list[Finding]:
    """Check the region proposals at *path*, for `itl check`.

    With *annotations*, VOC's XML files, it also reports how many of the objects they cover.

    ItlError without *path*, and for other options; what is wrong in the files is a finding.
    """
    check_options("proposals", others, outside, annotations=annotations)
    if path is None:
        raise ItlError("proposals are read from a file, or all files of a folder; give its path")
    try:
        regions = read_regions(path)
        counts = [len(boxes) for boxes in regions.values()]
        text = (
            f"{sum(counts):,} on {counted(len(regions), 'images')}, {min(counts):,} to "
            f"{max(counts):,} on each"
        )
        findings = [Finding("count", f"regions: {text}")]
        findings += [Finding("note", note)] if (note := describe_order(path)) else []
        before = Counter({image: int((boxes < 1).any(1).sum()) for image, boxes in regions.items()})
        if annotations is None and before.total():
            text = f"{counted(before.total(), 'regions are')} partly before pixel 1, such as on"
            findings.append(Finding("note", f"{text} {next(iter(+before))}; pixels count from 1"))
        if annotations is not None:
            table, notes = measure_recall(regions, Path(annotations), [max(counts)], outside=outside)
            findings += [Finding("note", note) for note in notes]
            half = table.iloc[0]
            text = f"{half['recall']:.1%} of {half['objects']:,.0f} objects that are not difficult"
            findings.append(Finding("count", f"recall at IoU 0.5: {text}"))
    except ItlError as error:
        return [Finding("problem", str(error))]
    command = f"itl pack voc2007 PATH --size 500 --fit pad --option proposals={path}"
    command += f" --option outside={outside}" if outside != "refuse" else ""
    return [*findings, Finding("next", f"{command} --out PACK")]


def _regions_path(file: str, source: Path) -> Path:
    """Return the path of *file*, from the current folder or from that of *source*.

    ItlError if neither has it.
    """
    if (regions := find_regions(file, source)) is not None:
        return regions
    path, folder = Path(file).expanduser(), source if source.is_dir() else source.parent
    text = f"there is no {path}" if path.is_absolute() else f"neither {Path.cwd()} nor {folder} has {path}"
    raise ItlError(f"{text}; the option proposals takes a .mat, .npz or .parquet file, or a folder")


def measure_recall(
    regions: Regions | None,
    annotations: Path,
    counts: Iterable[int],
    image_list: Path | None = None,
    outside: str = "refuse",
) -> tuple[pd.DataFrame, list[str]]:
    """Measure how many of VOC's objects are covered by *regions*, or by windows if these are None.

    *annotations*, *image_list* and *outside* are as in `read_objects`, *counts* as in `recall_table`.

    Returns:
        The table of `recall_table`, and notes: on images without regions, which do not count, and on regions
        that reach outside their image.

    Raises:
        ItlError: If no annotated image has regions, or windows need a size that an annotation does not tell;
            also as `read_objects` and `recall_table` raise it.
    """
    objects, sizes = read_objects(annotations, image_list, outside)
    if regions is None:
        if unsized := [image for image, size in sizes.items() if None in size]:
            raise ItlError(
                f"{annotations} tells no size of {len(unsized):,} images, {examples(unsized)}, which windows "
                f"need: write <size> with width and height"
            )
        shapes = {image: (width or 0, height or 0) for image, (width, height) in sizes.items()}
        return recall_table(objects, lambda image, count: windows(*shapes[image], count), counts), []
    matched = match_images(sizes, regions)
    bare = [image for image in sizes if image not in matched]
    if not matched:
        raise ItlError(
            f"no annotated image, such as {examples(bare)}, has regions: they are of {len(regions):,} "
            f"others, {examples(regions)}; give the file made for these images"
        )
    notes = []
    if bare:
        notes.append(f"{len(bare):,} of {len(sizes):,} annotated images have no regions, and are left out")
    reaching = Counter(
        {image: int(reaching_outside(boxes, sizes[image]).sum()) for image, boxes in matched.items()}
    )
    if reaching.total():
        first = next(iter(+reaching))
        notes.append(
            f"{reaching.total():,} of {sum(map(len, matched.values())):,} regions reach outside their image, "
            f"such as {reaching[first]:,} on {first}; pixels count from 1, and sides may have another order"
        )
    objects = objects[objects["image"].isin(list(matched))]
    table = recall_table(objects, lambda image, count: matched[image][:count], counts)
    return table, notes
