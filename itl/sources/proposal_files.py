"""Files of region proposals. Boxes are 1-based and inclusive, in pixels.

.mat (MATLAB, up to v7), as published with Fast R-CNN: `images`, a cell with each image's name ('000005'), and
`boxes`, a cell with K × 4 numbers for each image, ordered ymin, xmin, ymax, xmax.

.npz (NumPy): `images` (N,) text, `offsets` (N + 1,) whole numbers, and `boxes` (M, 4), ordered xmin, ymin,
xmax, ymax: image n has the boxes from offsets[n] to offsets[n + 1].

.parquet: one row per region, with the columns image, xmin, ymin, xmax, ymax.

The regions of an image keep their order, the best first: a detector that uses fewer uses the first. A folder
stands for all such files in it, such as those of trainval and test.
"""

import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from itl import ItlError, pick
from itl.sources.boxes import SIDES, first_invalid_box
from itl.storage import write_atomic

Regions = dict[str, np.ndarray]  # image -> float32 (n, 4), xmin, ymin, xmax, ymax
FORMAT_HINT = "`itl proposals --help` says what it should hold"


def read_regions(path: str | Path) -> Regions:
    """Read the regions of each image in the file *path*, or in all files of a folder.

    Raises:
        ItlError: In one line: no such file, another kind of file or content, an invalid box, an image for
            which two files have different regions.
    """
    path = Path(path)
    if not path.exists():
        raise ItlError(f"there is nothing at {path}; give a .mat, .npz or .parquet file, or a folder")
    regions: Regions = {}
    for file in _files(path):
        for image, boxes in _read(file).items():
            if image in regions and not np.array_equal(regions[image], boxes):
                raise ItlError(f"{file} and another file in {path} have other regions of {image!r}; keep one")
            regions[image] = boxes
    if not regions:
        raise ItlError(f"{path} holds no regions; {FORMAT_HINT}")
    return regions


def write_regions(path: str | Path, regions: Mapping[str, np.ndarray]) -> None:
    """Write *regions*, boxes (n, 4) by image, in the format of the suffix: .mat, .npz or .parquet."""
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


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in READERS)
    if not files:
        raise ItlError(f"the folder {path} has no file of regions; give .mat, .npz or .parquet")
    return files


def _read(path: Path) -> Regions:
    """Read one file; an error of its library becomes one line."""
    read = pick(READERS, path.suffix.lower(), f"kind of file for regions ({path.name})")
    try:
        regions = read(path)
    except ItlError as error:
        raise ItlError(f"{path}: {error}") from None
    except Exception as error:  # damaged files make these libraries raise all kinds of errors
        if isinstance(error, OSError) and error.strerror:
            raise ItlError(f"cannot read {path}: {error.strerror}") from error
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ItlError(f"{path} is damaged, or not a {path.suffix} file ({reason}); {FORMAT_HINT}") from error
    for image, boxes in regions.items():
        if invalid := first_invalid_box(boxes):
            raise ItlError(f"{path}, image {image!r}, region {invalid[0] + 1}: {invalid[1]}")
    return regions


def _read_mat(path: Path) -> Regions:
    import scipy.io  # slow to import, and only this kind of file needs it

    try:
        arrays = scipy.io.loadmat(path, variable_names=["images", "boxes"])
    except NotImplementedError:
        raise ItlError("saved as MATLAB v7.3, which cannot be read here; save it again with -v7") from None
    if missing := [name for name in ("images", "boxes") if name not in arrays]:
        present = ", ".join(name for name, *_ in scipy.io.whosmat(path)) or "nothing"
        raise ItlError(
            f"has no {missing[0]}, but {present}; a file of regions has images and boxes, as published with "
            f"Fast R-CNN"
        )
    images = [_image_name(cell) for cell in arrays["images"].ravel()]
    cells = [_boxes(cell) for cell in arrays["boxes"].ravel()]
    if len(images) != len(cells):
        raise ItlError(f"{len(images):,} images, but boxes of {len(cells):,}; {FORMAT_HINT}")
    return _by_image(images, [cell[:, [1, 0, 3, 2]] for cell in cells])


def _image_name(cell: object) -> str:
    """Return the name in a cell: MATLAB wraps each name in an array of its own."""
    name = np.asarray(cell).ravel()
    if name.size != 1 or name.dtype.kind != "U":
        raise ItlError(f"each cell of images should hold a name, as '000005'; one holds {str(cell)[:40]}")
    return str(name[0])


def _boxes(cell: object) -> np.ndarray:
    boxes = np.asarray(cell)
    if boxes.size == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype.kind not in "iuf":
        raise ItlError(f"boxes should hold K × 4 numbers for each image; one is {boxes.dtype} {boxes.shape}")
    return boxes


def _read_npz(path: Path) -> Regions:
    if not zipfile.is_zipfile(path):
        raise ItlError(f"not a .npz file, or cut short; {FORMAT_HINT}")
    with np.load(path, allow_pickle=False) as arrays:
        if missing := [name for name in ("images", "offsets", "boxes") if name not in arrays]:
            raise ItlError(f"has no {missing[0]}, but {', '.join(arrays) or 'nothing'}; {FORMAT_HINT}")
        images, offsets, boxes = arrays["images"], arrays["offsets"], _boxes(arrays["boxes"])
    offsets = offsets.astype(int) if offsets.dtype.kind in "iu" else np.zeros(0, int)
    ends = offsets[[0, -1]].tolist() if offsets.shape == (len(images) + 1,) else []
    if ends != [0, len(boxes)] or (np.diff(offsets) < 0).any():
        raise ItlError(
            f"offsets should be {len(images) + 1:,} whole numbers, one more than images, rising "
            f"from 0 to {len(boxes):,}, the number of boxes; {FORMAT_HINT}"
        )
    parts = [boxes[start:stop] for start, stop in zip(offsets[:-1], offsets[1:], strict=True)]
    return _by_image(images.astype(str).tolist(), parts)


def _read_parquet(path: Path) -> Regions:
    table = pq.read_table(path)
    if missing := [name for name in ("image", *SIDES) if table.column_names.count(name) != 1]:
        raise ItlError(f"should have one column {missing[0]}, but has {', '.join(table.column_names)[:80]}")
    frame = table.select(["image", *SIDES]).to_pandas()
    if frame["image"].isna().any():
        raise ItlError(f"row {int(frame['image'].isna().argmax()) + 1} names no image; {FORMAT_HINT}")
    boxes = frame[SIDES].to_numpy(np.float64)
    groups = frame["image"].astype(str).groupby(frame["image"], sort=False).indices
    return _by_image([str(image) for image in groups], [boxes[rows] for rows in groups.values()])


def _by_image(images: list[str], boxes: list[np.ndarray]) -> Regions:
    if twice := [image for image, count in Counter(images).items() if count > 1]:
        raise ItlError(f"it has {twice[0]!r} twice; {FORMAT_HINT}")
    return {image: array.astype(np.float32) for image, array in zip(images, boxes, strict=True)}


def _write_mat(path: Path, regions: Regions) -> None:
    import scipy.io

    images, boxes = (np.empty(len(regions), object) for _ in range(2))
    images[:] = list(regions)
    for number, array in enumerate(regions.values()):
        boxes[number] = array[:, [1, 0, 3, 2]]
    with path.open("wb") as file:
        scipy.io.savemat(file, {"images": images[:, None], "boxes": boxes[None]}, do_compression=True)


def _write_npz(path: Path, regions: Regions) -> None:
    with path.open("wb") as file:  # given a path, NumPy would append a suffix
        arrays = concatenate_regions(regions.values())
        images = np.array(list(regions), str)
        np.savez_compressed(file, images=images, boxes=arrays["boxes"], offsets=arrays["offsets"])


def _write_parquet(path: Path, regions: Regions) -> None:
    arrays = concatenate_regions(regions.values())
    images = np.repeat(np.array(list(regions), object), np.diff(arrays["offsets"]))
    columns = {"image": pa.array(images, pa.string())}
    columns |= {side: pa.array(values) for side, values in zip(SIDES, arrays["boxes"].T, strict=True)}
    pq.write_table(pa.table(columns), path)


READERS = {".mat": _read_mat, ".npz": _read_npz, ".parquet": _read_parquet}
WRITERS = {".mat": _write_mat, ".npz": _write_npz, ".parquet": _write_parquet}
