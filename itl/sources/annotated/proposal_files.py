"""Files of region proposals. Boxes are 1-based and inclusive, in pixels.

.mat (MATLAB, up to v7), as published with Fast R-CNN: `images`, a cell with each image's name ('000005'), and
`boxes`, a cell with K × 4 numbers for each image, ordered ymin, xmin, ymax, xmax; a fifth number is a score,
or `scores` is a cell with K numbers for each image.
Or one image a file, 000005_boxes.mat: `boxes`, K × 4 or K × 5, and perhaps `scores`; MCG calls them `bboxes`
and `bboxes_scores`. The option *order* says what the columns of a .mat are.

.npz (NumPy): `images` (N,) text, `offsets` (N + 1,) whole numbers, and `boxes` (M, 4), ordered xmin, ymin,
xmax, ymax: image n has the boxes from offsets[n] to offsets[n + 1]. It may have `scores` (M,).

The regions of an image keep their order, the best first, or are sorted by their scores, the highest first:
a detector that uses fewer uses the first. A folder stands for all such files in it, such as those of trainval
and test.
"""

import os
import shlex
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from pathlib import Path

import numpy as np

from itl.errors import ItlError, errors_about, pick
from itl.sources.boxes import first_invalid_box, refuse_normalised
from itl.sources.files.mat_files import load_mat
from itl.sources.files.option_files import folder_of, paths_named
from itl.sources.files.untrusted_files import explain_damage, npz_arrays
from itl.storage import write_atomic
from itl.words import counted

Regions = dict[str, np.ndarray]  # image -> float32 (n, 4), xmin, ymin, xmax, ymax
Arrays = Mapping[str, np.ndarray]  # of a file, by their names in it
PER_IMAGE_NAMES = (("boxes", "scores"), ("bboxes", "bboxes_scores"))  # variables of boxes and scores
PER_IMAGE_SUFFIX = "_boxes"  # of the file's name, after the image's
ORDERS = {  # columns of a .mat -> xmin, ymin, and xmax, ymax or width, height
    "yxyx": [1, 0, 3, 2],
    "xyxy": [0, 1, 2, 3],
    "xywh": [0, 1, 2, 3],
}
PICKLES = (".pkl", ".pickle", ".p")
TABLE_SUFFIX = ".parquet"
FORMAT_HINT = "`itl proposals --help` says what it should hold"


def read_regions(path: str | Path, order: str | None = None) -> Regions:
    """Read the regions of each image in the file *path*, or in all files of a folder.

    The *order* of the columns of boxes in a .mat is "yxyx" (ymin, xmin, ymax, xmax), also if it is not given,
    "xyxy", or "xywh" (xmin, ymin, width, height). ItlError for what is missing, damaged or invalid, and for
    an image with other regions in another file.
    """
    path = Path(path)
    if order is not None:
        pick(ORDERS, order, "order of boxes")
    if not path.exists():
        raise ItlError(f"there is nothing at {path}; give a .mat or .npz file, or a folder")
    regions: Regions = {}
    files = _files(path)
    if order is not None and not any(file.suffix.lower() == ".mat" for file in files):
        raise ItlError(
            f"the order {order} is of boxes in a .mat, and {path} has none: an .npz has xmin, ymin, "
            f"xmax, ymax; leave the order out"
        )
    for file in files:
        for image, boxes in _read(file, order or "yxyx").items():
            if image in regions and not np.array_equal(regions[image], boxes):
                raise ItlError(
                    f"{file} and another file in {path} have other regions of {image!r}; keep one, or name "
                    f"two images by their paths, as train/{image}"
                )
            regions[image] = boxes
    if not regions:
        raise ItlError(f"{path} holds no regions; {FORMAT_HINT}")
    first = next((image for image in regions if len(regions[image])), None)
    refuse_normalised(np.concatenate(list(regions.values())), f"{path}, image {first!r}, region 1")
    return regions


def describe_order(path: str | Path) -> str:
    """Return a note on how boxes in a .mat at *path* are read that is of one image, or has a fifth column.

    It is empty if there are none. These have no published order: selective search writes ymin, xmin, ymax,
    xmax, Fast R-CNN's demo has xmin, ymin, xmax, ymax, and EdgeBoxes has x, y, width, height and a score.
    """
    path = Path(path)
    files = _files(path) if path.exists() else []
    if not any(file.suffix.lower() == ".mat" and _has_assumed_order(file) for file in files):
        return ""
    return (
        f"boxes in {path} are taken as ymin, xmin, ymax, xmax, from 1; if xmin is first, convert them with "
        f"{_conversion(path)} (xywh if width and height come last, as of EdgeBoxes) and use regions.npz"
    )


def cure_of_exchanged(path: Path) -> str:
    """Say how regions at *path* are read whose x and y are in each other's place."""
    if any(file.suffix.lower() == ".mat" for file in _files(path)):
        return f"convert them with {_conversion(path)} and use regions.npz"
    return "save its boxes with the columns xmin, ymin, xmax, ymax"


def _conversion(path: Path) -> str:
    return f"`itl proposals {shlex.quote(str(path))} regions.npz --order xyxy`"


def _has_assumed_order(file: Path) -> bool:
    """Say whether a .mat is of one image alone, or has a fifth column, unlike published ones."""
    arrays = load_mat(file.read_bytes(), str(file), ["images", "boxes"])
    return "images" not in arrays or any(
        np.asarray(cell).shape[1:] == (5,) for cell in arrays["boxes"].ravel()
    )


def refuse_target(path: Path) -> None:
    """Raise ItlError where regions cannot be written to *path*: it is there, or of no known format."""
    pick(WRITERS, path.suffix.lower(), "kind of file for regions")
    if path.exists():
        raise ItlError(f"{path} exists already and is not overwritten; name another file")


def write_regions(path: str | Path, regions: Mapping[str, np.ndarray]) -> None:
    """Write *regions*, boxes (n, 4) by image, in the format of the suffix: .mat or .npz."""
    path = Path(path)
    write = pick(WRITERS, path.suffix.lower(), "kind of file for regions")
    boxes_of = {image: np.asarray(boxes, np.float32).reshape(-1, 4) for image, boxes in regions.items()}
    write_atomic(path, lambda temporary: write(temporary, boxes_of))


def concatenate_regions(boxes: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Concatenate the boxes of N images: `boxes` float32 (M, 4) and `offsets` int64 (N + 1,).

    >>> concatenate_regions([np.ones((2, 4)), np.ones((1, 4))])["offsets"]
    array([0, 2, 3])
    """
    parts = [np.zeros((0, 4), np.float32), *boxes]
    return {
        "boxes": np.concatenate(parts).astype(np.float32),
        "offsets": np.cumsum([len(part) for part in parts]),
    }


def find_regions(file: str, source: Path) -> Path | None:
    """Return the path of *file*, from the current folder or from that of *source*; None if neither has it."""
    return next(filter(os.path.exists, paths_named(file, Path(), folder_of(source))), None)


def region_files(path: Path) -> list[Path]:
    """Return the files of regions, and tables, in the folder *path*, sorted; any other *path* as it is."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix.lower() in (*READERS, TABLE_SUFFIX))


def _files(path: Path) -> list[Path]:
    files = region_files(path)
    if not files:
        raise ItlError(f"the folder {path} has no file of regions; give .mat or .npz")
    return files


def _read(path: Path, order: str) -> Regions:
    """Read one file; each error becomes one line with its name."""
    if path.suffix.lower() in (*PICKLES, TABLE_SUFFIX):
        what = "a pickle, which may run anything when it is read"
        if path.suffix.lower() == TABLE_SUFFIX:
            what = "a table, which is not read"
        raise ItlError(
            f"{path} is {what}; where it was made, save it with numpy.savez(FILE, images=NAMES, "
            f"offsets=OFFSETS, boxes=BOXES); {FORMAT_HINT}"
        )
    load, regions_of = pick(READERS, path.suffix.lower(), f"kind of file for regions ({path.name})")
    with explain_damage(str(path), f"{path.suffix} file"):
        arrays = load(path)
        with errors_about(str(path)):
            regions = regions_of(arrays, path, order)
    for image, boxes in regions.items():
        if invalid := first_invalid_box(boxes):
            takes = f"; --order of `itl proposals` takes other columns than {order}"
            cure = takes if path.suffix.lower() == ".mat" else ""
            raise ItlError(f"{path}, image {image!r}, region {invalid[0] + 1}: {invalid[1]}{cure}")
    return regions


def _load_mat(path: Path) -> Arrays:
    return {name: array for name, array in load_mat(path.read_bytes(), str(path)).items() if name[0] != "_"}


def _regions_of_mat(arrays: Arrays, path: Path, order: str) -> Regions:
    if "images" not in arrays:
        for boxes_name, scores_name in PER_IMAGE_NAMES:
            if boxes_name in arrays and arrays[boxes_name].dtype != object:
                boxes = _boxes(arrays[boxes_name], arrays.get(scores_name))
                return _by_image([path.stem.removesuffix(PER_IMAGE_SUFFIX)], [_corners(boxes, order)])
    if missing := [name for name in ("images", "boxes") if name not in arrays]:
        raise ItlError(
            f"has no {missing[0]}, but {', '.join(arrays) or 'nothing'}; a file of regions has images and "
            f"boxes, as published with Fast R-CNN"
        )
    images = [_image_name(cell) for cell in arrays["images"].ravel()]
    boxes = arrays["boxes"].ravel()
    scores = arrays["scores"].ravel() if "scores" in arrays else [None] * len(boxes)
    cells = [_boxes(*pair) for pair in zip_longest(boxes, scores[: len(boxes)])]
    for what, values in (("boxes", cells), ("scores", scores)):
        if len(images) != len(values):
            raise ItlError(f"{counted(len(images), 'images')}, but {what} of {len(values):,}; {FORMAT_HINT}")
    return _by_image(images, [_corners(cell, order) for cell in cells])


def _corners(boxes: np.ndarray, order: str) -> np.ndarray:
    """Return *boxes* (K, 4), with columns in this *order*, as xmin, ymin, xmax, ymax.

    >>> _corners(np.array([[2, 1, 40, 30]], np.uint8), "yxyx"), _corners(np.array([[1, 2, 30, 40]]), "xywh")
    (array([[ 1.,  2., 30., 40.]]), array([[ 1.,  2., 30., 41.]]))
    """
    corners = boxes[:, ORDERS[order]].astype(np.float64)
    if order == "xywh":
        corners[:, 2:] += corners[:, :2] - 1
    return corners


def _image_name(cell: object) -> str:
    """Return the name in a cell: MATLAB wraps each name in an array of its own."""
    name = np.asarray(cell).ravel()
    if name.size != 1 or name.dtype.kind != "U":
        raise ItlError(f"each cell of images should hold a name, as '000005'; one holds {str(cell)[:40]}")
    return str(name[0])


def _boxes(cell: object, scores: object = None) -> np.ndarray:
    """Return the boxes of an image (K, 4), those of the highest score first if there are scores.

    The *cell* has K × 4 numbers, or K × 5 with a score last.
    """
    boxes = np.asarray(cell)
    if boxes.size == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] not in (4, 5) or boxes.dtype.kind not in "iuf":
        raise ItlError(f"boxes should hold K × 4 numbers for each image; one is {boxes.dtype} {boxes.shape}")
    ranks = boxes[:, 4] if boxes.shape[1] == 5 else scores
    return boxes[:, :4] if ranks is None else boxes[_by_score(ranks, len(boxes)), :4]


def _by_score(scores: object, count: int) -> np.ndarray:
    """Return the order of *count* *scores*, the highest first, equal ones as they are."""
    values = np.asarray(scores).ravel()
    if len(values) != count or values.dtype.kind not in "iuf" or np.isnan(values).any():
        raise ItlError(
            f"{counted(len(values), 'scores')} of {count:,} boxes, or one is no number; {FORMAT_HINT}"
        )
    return np.argsort(-values.astype(np.float64), kind="stable")


def _load_npz(path: Path) -> Arrays:
    with path.open("rb") as file:
        return npz_arrays(file, str(path), ("images", "offsets", "boxes"), optional=["scores"])


def _regions_of_npz(arrays: Arrays, path: Path, order: str) -> Regions:
    images, offsets, boxes = arrays["images"], arrays["offsets"], np.asarray(arrays["boxes"])
    offsets = offsets.astype(int) if offsets.dtype.kind in "iu" else np.zeros(0, int)
    ends = offsets[[0, -1]].tolist() if offsets.shape == (len(images) + 1,) else []
    if ends != [0, len(boxes)] or (np.diff(offsets) < 0).any():
        raise ItlError(
            f"offsets should be {len(images) + 1:,} whole numbers, one more than images, rising "
            f"from 0 to {len(boxes):,}, the number of boxes; {FORMAT_HINT}"
        )
    scores = arrays.get("scores")
    if scores is not None and scores.shape != (len(boxes),):
        raise ItlError(f"scores are {scores.shape}, not one for each of {len(boxes):,} boxes; {FORMAT_HINT}")
    parts = [
        _boxes(boxes[start:stop], None if scores is None else scores[start:stop])
        for start, stop in zip(offsets[:-1], offsets[1:], strict=True)
    ]
    return _by_image(images.astype(str).tolist(), parts)


def _by_image(names: list[str], boxes: list[np.ndarray]) -> Regions:
    images = [unicodedata.normalize("NFC", name) for name in names]  # as those of the images are
    if twice := [image for image, count in Counter(images).items() if count > 1]:
        raise ItlError(f"it has {twice[0]!r} twice; {FORMAT_HINT}")
    return {image: array.astype(np.float32) for image, array in zip(images, boxes, strict=True)}


def _write_mat(path: Path, regions: Regions) -> None:
    import scipy.io

    images, boxes = (np.empty(len(regions), object) for _ in range(2))
    images[:] = list(regions)
    for number, array in enumerate(regions.values()):
        boxes[number] = array[:, ORDERS["yxyx"]]  # its own inverse
    with path.open("wb") as file:
        scipy.io.savemat(file, {"images": images[:, None], "boxes": boxes[None]}, do_compression=True)


def _write_npz(path: Path, regions: Regions) -> None:
    with path.open("wb") as file:  # given a path, NumPy would append a suffix
        arrays = concatenate_regions(regions.values())
        images = np.array(list(regions), str)
        np.savez_compressed(file, images=images, boxes=arrays["boxes"], offsets=arrays["offsets"])


READERS = {".mat": (_load_mat, _regions_of_mat), ".npz": (_load_npz, _regions_of_npz)}
WRITERS = {".mat": _write_mat, ".npz": _write_npz}
