"""Region proposals and the images they are for: matched by name, cut to size, measured by annotations."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from itl import ItlError, pick
from itl.data.detections import read_objects
from itl.data.region_files import Regions, read_regions
from itl.data.regions import recall_table, windows
from itl.data.sources import is_image, some
from itl.data.survey import Survey


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
