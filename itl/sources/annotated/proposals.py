"""Region proposals of a source: files matched to its images, and recall of its objects."""

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from itl.errors import ItlError
from itl.machine import expand_home
from itl.sources.annotated.proposal_files import (
    Regions,
    cure_of_exchanged,
    describe_order,
    find_regions,
    read_regions,
)
from itl.sources.annotated.voc_xml import read_objects
from itl.sources.annotated.windows import windows
from itl.sources.boxes import SIDES, Outside, Size, clip_boxes, iou_of, reaching_outside
from itl.sources.check_lines import CheckLine
from itl.sources.files.option_files import folder_of
from itl.sources.records import stem_of
from itl.sources.scan import Scan
from itl.words import counted, examples

RECALL_IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)
SWAPPED = [1, 0, 3, 2]  # columns of boxes, x and y in each other's place
EXCHANGED_FACTOR = 20  # that many times fewer regions outside tell that x and y are exchanged
RECALL_COUNTS = (300, 1000, 2000)  # regions of an image


def best_ious(objects: pd.DataFrame, regions: Callable[[Any], np.ndarray], image: str = "row") -> np.ndarray:
    """Return the highest IoU of each object that is not difficult with a region of its image.

    Args:
        objects: Columns xmin to ymax, difficult, and *image*.
        regions: Returns the boxes (m, 4) of an image, as `Pack.regions` does.
        image: The column whose values *regions* takes.

    Returns:
        float64 (n,), in the order of *objects*.

    Raises:
        ItlError: If all are difficult.
    """
    scored = objects[~objects["difficult"].astype(bool)]
    if not len(scored):
        raise ItlError("recall needs objects that are not difficult, and there are none; annotate some")
    best = np.zeros(len(scored))
    boxes = scored[SIDES].to_numpy(np.float64)
    for key, rows in scored.groupby(image, sort=False).indices.items():
        proposed = regions(key)
        if len(proposed):
            best[rows] = iou_of(boxes[rows, None], proposed[None]).max(1)
    return best


def recall(objects: pd.DataFrame, regions: Callable[[Any], np.ndarray]) -> float:
    """Return the fraction of the objects, not difficult, that a region covers with an IoU of 0.5 or more.

    Arguments are as in `best_ious`.

    >>> one = pd.DataFrame([(0, 1, 1, 10, 10, False)], columns=["row", *SIDES, "difficult"])
    >>> recall(one, lambda row: np.array([[1, 1, 10, 5]])), recall(one, lambda row: np.zeros((0, 4)))
    (1.0, 0.0)
    """
    return float((best_ious(objects, regions) >= 0.5).mean())


def recall_table(
    objects: pd.DataFrame, regions: Callable[[Any, int], np.ndarray], counts: Iterable[int]
) -> pd.DataFrame:
    """Return recall by the number of regions of an image, in *counts*, and by IoU.

    *objects* are as in `best_ious`, with the column image; *regions* takes that, and the most boxes.

    Returns:
        Columns count, iou, objects (those that are not difficult) and recall.

    Raises:
        ItlError: If there is no count or one below 1, or no object that is not difficult.
    """
    rows, counts = [], list(counts)
    if min(counts, default=0) < 1:
        raise ItlError(f"recall takes counts, from 1, of the regions of an image; got {counts}")
    for count in counts:
        best = best_ious(objects, lambda key, count=count: regions(key, count), "image")  # type: ignore[misc]
        rows += [(count, iou, len(best), float((best >= iou).mean())) for iou in RECALL_IOUS]
    return pd.DataFrame(rows, columns=["count", "iou", "objects", "recall"])


def add_regions(scan: Scan, file: str | None, outside: str, resized: str) -> None:
    """Add to *scan* the regions of its images, from the *file*, which may be relative to the images' folder.

    Without a *file* there are none. What reaches outside an image by less than a pixel is clipped. Images
    without regions, and those whose regions reach further, become problems; *outside*="cut" clips any. So do
    images whose boxes were turned or scaled to the file, as regions may be of either.
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
    changed = {image: boxes for image, boxes in scan.size_doubts.items() if boxes.are_changed}
    measured = {
        image: boxes for image, boxes in matched.items() if image in scan.sizes and image not in changed
    }
    counts = _counts_outside(measured, scan.sizes)
    if counts and outside == "cut":
        scan.notes.append(_describe_outside(counts, measured, "cut"))
        measured |= {image: _cut(measured[image], scan.sizes[image]) for image in counts}
    _add_images_without_regions(scan, path, matched | measured, from_file)
    refused = {image for image, boxes in changed.items() if boxes.stated and resized == "refuse"}
    if unclear := sorted(changed.keys() & matched.keys() - refused):
        scan.add_problem(
            f"boxes of {counted(len(unclear), 'images')}, such as {examples(unclear)}, are turned or scaled "
            f"to the image's file, and {path} does not tell whether its regions are of the file or of what "
            f"the annotation states; save these images upright and in the stated size",
            *unclear,
        )
    for image, boxes in measured.items():
        if len(boxes):
            scan.regions[image] = np.clip(boxes, 1, np.array(2 * scan.sizes[image], np.float32))
    if counts and outside != "cut":
        first = next(iter(counts))
        width, height = scan.sizes[first]
        cure = "count pixels from 1, or set the option outside=cut"
        if inside := _describe_exchanged(measured, scan.sizes):
            cure = f"if x and y are exchanged, as {inside}, {cure_of_exchanged(path)}; else {cure}"
        scan.add_problem(
            f"{path} has regions that reach outside {counted(len(counts), 'images')}, such as "
            f"{counts[first]:,} of {len(measured[first]):,} on {first}, {width} × {height} pixels; {cure}",
            *counts,
        )


def _describe_exchanged(regions: Regions, sizes: Mapping[str, Size]) -> str:
    """Say that nearly all *regions* would lie inside with x and y exchanged; empty if not far more would.

    Where pixels count from 0, both ways are compared as if they counted from 1.
    """
    counts_from_0 = bool(min(boxes.min() for boxes in regions.values() if len(boxes)) == 0)
    from_1 = {image: boxes + counts_from_0 for image, boxes in regions.items()}
    exchanged = {image: boxes[:, SWAPPED] for image, boxes in from_1.items()}
    before, after = (sum(_counts_outside(boxes, sizes).values()) for boxes in (from_1, exchanged))
    if after * EXCHANGED_FACTOR >= before:
        return ""
    return f"{'nearly all' if after else 'all'} would lie inside{', counted from 1' if counts_from_0 else ''}"


def _counts_outside(regions: Regions, sizes: Mapping[str, Size]) -> dict[str, int]:
    """Return how many *regions* reach outside their image, of images where any do."""
    counts = {image: int(reaching_outside(boxes, sizes[image]).sum()) for image, boxes in regions.items()}
    return {image: count for image, count in counts.items() if count}


def _cut(boxes: np.ndarray, size: Size) -> np.ndarray:
    """Return *boxes* (n, 4) cut to their image of *size*, without those entirely outside."""
    inside = clip_boxes(boxes, size).astype(boxes.dtype)
    return inside[~reaching_outside(inside, size)]


def _describe_outside(counts: Mapping[str, int], regions: Regions, outside: str) -> str:
    """Return a note on regions that reach outside: their *counts*, as of `_counts_outside`."""
    first = next(iter(counts))
    return (
        f"{sum(counts.values()):,} of {sum(map(len, regions.values())):,} regions reach outside their image, "
        f"such as {counts[first]:,} on {first}; pixels count from 1, and sides may have another order"
        f"{'; only what lies inside counts' if outside == 'cut' else ''}"
    )


def _add_images_without_regions(scan: Scan, path: Path, matched: Regions, from_file: Regions) -> None:
    """Add a problem to *scan* for images without a region among the *matched* ones of the file *path*."""
    bare = {record.id: record.split for record in scan.records if not len(matched.get(record.id, ()))}
    if bare:
        counts = sorted(Counter(bare.values()).items())
        splits = ", ".join(f"{count:,} of {split}" for split, count in counts)
        names = {stem_of(image) for image in from_file}
        shared = [image for image in bare if image not in matched and stem_of(image) in names]
        cure = "give the file made for these images, or a folder with the files of all splits"
        if shared:
            cure = f"images share this name, so let the file name them by their paths, as {shared[0]}"
        scan.add_problem(
            f"{path} has no regions of {len(bare):,} of {len(scan.records):,} images ({splits}), "
            f"such as {examples(bare)}; it is on {counted(len(from_file), 'images')}, "
            f"{examples(from_file)}; {cure}",
            *bare,
        )


def match_images(images: Iterable[str], regions: Mapping[str, np.ndarray]) -> Regions:
    """Return the regions of those of *images* that *regions* has.

    An image is matched by its id, by that without the suffix of a file, or by its name without folders and
    suffix; the latter two if they are unique on both sides.

    >>> file = {"000005.jpg": np.ones((1, 4)), "9": np.ones((1, 4))}
    >>> list(match_images(["VOC2007/000005", "000007"], file))
    ['VOC2007/000005']
    """
    images, matched = list(images), Regions()
    for name_of in (stem_of, _without_suffix, str):  # the surest last
        keys, names = _by_unique_name(regions, name_of), _by_unique_name(images, name_of)
        matched |= {image: regions[keys[name]] for name, image in names.items() if name in keys}
    return {image: matched[image] for image in images if image in matched}


def _without_suffix(image: str) -> str:
    return f"{image.rpartition('/')[0]}/{stem_of(image)}"


def _by_unique_name(images: Iterable[str], name_of: Callable[[str], str]) -> dict[str, str]:
    """Return *images* by the names that *name_of* gives them, those whose names are unique."""
    names = {image: name_of(image) for image in images}
    counts = Counter(names.values())
    return {name: image for image, name in names.items() if counts[name] == 1}


def check_proposals(
    path: Path | None, annotations: str | None = None, outside: Outside = "refuse"
) -> list[CheckLine]:
    """Check the region proposals at *path*, for `itl check`.

    With *annotations*, VOC's XML files, it also reports how many of the objects they cover.

    ItlError without *path*; what is wrong in the files is a problem.
    """
    if path is None:
        raise ItlError("proposals are read from a file, or all files of a folder; give its path")
    try:
        regions = read_regions(path)
        counts = [len(boxes) for boxes in regions.values()]
        text = (
            f"{sum(counts):,} on {counted(len(regions), 'images')}, {min(counts):,} to "
            f"{max(counts):,} on each"
        )
        lines = [CheckLine("count", f"regions: {text}")]
        lines += [CheckLine("note", note)] if (note := describe_order(path)) else []
        before = Counter({image: int((boxes < 1).any(1).sum()) for image, boxes in regions.items()})
        if annotations is None and before.total():
            text = f"{counted(before.total(), 'regions are')} partly before pixel 1, such as on"
            lines.append(CheckLine("note", f"{text} {next(iter(+before))}; pixels count from 1"))
        if annotations is not None:
            table, notes = measure_recall(regions, expand_home(annotations), [max(counts)], outside=outside)
            lines += [CheckLine("note", note) for note in notes]
            half = table.iloc[0]
            text = f"{half['recall']:.1%} of {half['objects']:,.0f} objects that are not difficult"
            lines.append(CheckLine("count", f"recall at IoU 0.5: {text}"))
    except ItlError as error:
        return [CheckLine("problem", str(error))]
    command = f"itl pack voc2007 PATH --size 500 --fit pad --option {shlex.quote(f'proposals={path}')}"
    command += f" --option outside={outside}" if outside != "refuse" else ""
    return [*lines, CheckLine("next", f"{command} --out PACK")]


def _regions_path(file: str, source: Path) -> Path:
    """Return what `find_regions` does; ItlError where that is None."""
    if (regions := find_regions(file, source)) is not None:
        return regions
    path = expand_home(file)
    folders = f"neither {Path.cwd()} nor {folder_of(source)} has {path}"
    text = f"there is no {path}" if path.is_absolute() else folders
    raise ItlError(f"{text}; the option proposals takes a .mat or .npz file, or a folder")


def measure_recall(
    regions: Regions | None,
    annotations: Path,
    counts: Iterable[int],
    image_list: Path | None = None,
    outside: str = "refuse",
) -> tuple[pd.DataFrame, list[str]]:
    """Measure how many of VOC's objects are covered by *regions*, or by windows if these are None.

    *annotations*, *image_list* and *outside* are as in `read_objects`, *counts* as in `recall_table`. If
    *outside* is "cut", regions are cut to their image as objects are.

    ItlError if no annotated image has regions, or windows need a size that an annotation does not tell.

    Returns:
        The table of `recall_table`, and notes: on images without regions, which do not count, and on regions
        that reach outside their image.
    """
    objects, sizes = read_objects(annotations, image_list, outside)
    if regions is None:
        return _recall_of_windows(objects, sizes, counts, annotations), []
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
    if reaching := _counts_outside(matched, sizes):
        notes.append(_describe_outside(reaching, matched, outside))
    if outside == "cut":
        matched = {image: _cut(boxes, sizes[image]) for image, boxes in matched.items()}
    objects = objects[objects["image"].isin(list(matched))]
    return recall_table(objects, lambda image, count: matched[image][:count], counts), notes


def _recall_of_windows(
    objects: pd.DataFrame, sizes: Mapping[str, Size], counts: Iterable[int], annotations: Path
) -> pd.DataFrame:
    """Return the table of `recall_table` for windows in images of *sizes*, which *annotations* tell."""
    if unsized := [image for image, size in sizes.items() if None in size]:
        raise ItlError(
            f"{annotations} tells no size of {len(unsized):,} images, {examples(unsized)}, which windows "
            f"need: write <size> with width and height"
        )
    shapes = {image: (width or 0, height or 0) for image, (width, height) in sizes.items()}
    return recall_table(objects, lambda image, count: windows(*shapes[image], count), counts)
