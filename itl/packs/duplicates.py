"""Duplicates: images that occur twice, such as in pre-training and in the test split of a target.

Exact duplicates have the same pixels in two packs of one size and fit. Near ones look alike as thumbnails of
8 × 8 colours, upright or mirrored. So an image is recognised if it was encoded again, resized or mirrored,
but not if it was cropped. The difference of two thumbnails is taken relative to their contrast, within each
colour channel: otherwise one pale image would be a duplicate of every other, and so would one of many stained
slides or underwater photos, which share a tint.

Tables list each image with its nearest duplicate, not all pairs: thousands of frames of one camera trap, or
copies of one placeholder, have millions of these.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from itl.errors import ItlError
from itl.packs.pack import Pack, save_array
from itl.sources.boxes import padded_size
from itl.storage import read_cache, write_atomic

T = TypeVar("T")

SIDE = 8  # of a thumbnail, in cells
# Of the difference of two thumbnails to the contrast of the paler one. In 20,000 images of Tiny ImageNet the
# nearest two that differ have 0.24; 99 % of copies at half their size have less than 0.10.
MAX_DIFFERENCE = 0.17
MIN_CONTRAST = 4.0  # grey levels; plainer images are only compared exactly
# Without the means of their channels, thumbnails of contrasts a ≤ b that differ by d·a have a cosine of at
# least (a² + b² - d²a²) / 2ab. That is least where a = b, so with length 1 their squared distance is at most
# d².
MIN_PRODUCT = -(MAX_DIFFERENCE**2) / 2 - 1e-5  # and this is -1/2 of it
BLOCK = 1024  # images in memory at a time
# Of what tables list, in the names of kept ones. Where other images have duplicates than before,
# NUMERICS_OF_NETS of itl.specs is raised too.
VERSION = 4
_IN_MEMORY: dict[Path, Any] = {}  # tables and thumbnails, by the files that could not be written
COLUMNS = ["image", "split", "other", "other_split", "kind", "difference"]


def between(pack: Pack, split: str, other: Pack, other_split: str) -> pd.DataFrame:
    """List the images in a split of *pack* that are also in a split of *other*, which may be the same pack.

    The table is that of `between_rows`. It is kept in a file beside *pack*: to compare a million images takes
    minutes.
    """

    def compare() -> pd.DataFrame:
        rows = np.flatnonzero(pack.table["split"].to_numpy(str) == split)
        other_rows = np.flatnonzero(other.table["split"].to_numpy(str) == other_split)
        return between_rows(pack, rows, other, other_rows)

    path = table_path(pack, split, other.digest, other_split)
    return _kept(path, pd.read_parquet, compare, pd.DataFrame.to_parquet)


def _kept(
    path: Path, read: Callable[[Path], T], make: Callable[[], T], write: Callable[[T, Path], object]
) -> T:
    """Return what is kept in the file *path*, or *make* and keep it: in memory where none can be written."""
    if path in _IN_MEMORY:
        return _IN_MEMORY[path]
    if (kept := read_cache(path, read)) is not None:
        return kept
    made = make()
    if os.access(path.parent, os.W_OK):
        write_atomic(path, partial(write, made))
    else:
        _IN_MEMORY[path] = made
    return made


def is_compared(pack: Pack, split: str, other: str, other_split: str) -> bool:
    """Say whether `between` has its table already; *other* is the digest of that pack."""
    path = table_path(pack, split, other, other_split)
    return path in _IN_MEMORY or path.exists()


def between_rows(pack: Pack, rows: np.ndarray, other: Pack, other_rows: np.ndarray) -> pd.DataFrame:
    """List the images at *rows* of *pack* that are also at *other_rows* of *other*.

    Returns:
        image and split, in *pack*; other and other_split, in *other*; kind (exact or near); difference, 0 to
        MAX_DIFFERENCE. A row is a pair of which one is the nearest to the other, where exact duplicates are
        nearer than near ones: so each image with a duplicate is listed, at least once.
    """
    exact = pd.DataFrame(columns=["row", "other_row"], dtype=np.int64)
    fits = {one.summary["request"]["fit"] for one in (pack, other) if not _are_square(one)}
    if pack.size == other.size and len(fits) < 2:
        hashes, other_hashes = pack.table["checksum"].iloc[rows], other.table["checksum"].iloc[other_rows]
        left = pd.DataFrame({"row": rows, "checksum": hashes.to_numpy(str)})
        right = pd.DataFrame({"other_row": other_rows, "checksum": other_hashes.to_numpy(str)})
        first, other_first = (one.drop_duplicates("checksum") for one in (left, right))
        exact = pd.concat([left.merge(other_first), first.merge(right)])[["row", "other_row"]]
    view = "centre" if "crop" in fits else "whole"
    near = _near(thumbnails(pack, view), rows, thumbnails(other, view), other_rows)
    pairs = pd.concat([exact.assign(kind="exact", difference=0.0), near.assign(kind="near")])
    pairs = pairs.sort_values(["kind", "difference"], kind="stable")
    pairs = pairs[~(pairs.duplicated("row") & pairs.duplicated("other_row"))]
    pairs = pairs.sort_values(["other_row", "row"])
    one, two = pack.table.iloc[pairs["row"]], other.table.iloc[pairs["other_row"]]
    ids = [one["image"], one["split"], two["image"], two["split"]]
    columns = [*ids, pairs["kind"], pairs["difference"].round(4)]
    return pd.DataFrame(dict(zip(COLUMNS, map(np.asarray, columns), strict=True)))


def table_path(pack: Pack, split: str, other: str, other_split: str) -> Path:
    """Return the file beside *pack* in which `between` keeps its table, by the digest of the *other* pack."""
    return pack.folder.parent / f"duplicates-{pack.digest}-{split}-{other}-{other_split}-v{VERSION}.parquet"


def seen_images(pack: Pack, digests: Iterable[str]) -> set[str]:
    """Return the training images of *pack* with a duplicate among those that the packs of *digests* score.

    They are read from the tables that `between` has kept: of the other packs, the digests alone are known.

    Raises:
        ItlError: If a plan has not compared the packs yet.
    """
    images: set[str] = set()
    for digest in digests:
        # Of the split that is scored there is a table; a digest does not say which split that is.
        paths = [table_path(pack, "train", digest, split) for split in ("test", "val")]
        tables = [table for path in paths if (table := read_cache(path, pd.read_parquet)) is not None]
        if not tables:
            kept_in = pack.folder.parent
            way = "`itl plan` with the preset compares them"
            if not os.access(kept_in, os.W_OK):
                way = f"{way} where {kept_in}, which keeps the answer, may be written: allow that first"
            raise ItlError(
                f"the images of {pack.folder} were not compared with those of the pack with digest {digest}, "
                f"whose duplicates are to be left out; {way}"
            )
        images |= set(tables[0]["image"])
    return images


def across_splits(pack: Pack) -> pd.DataFrame:
    """List the images of *pack* that are in two of its splits, with the columns of `between`."""
    order = ("train", "val", "test")  # the one that is scored on comes second
    splits = sorted(pack.summary["splits"], key=order.index)
    tables = [between(pack, one, pack, two) for one, two in combinations(splits, 2)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def of_two_classes(pack: Pack) -> pd.DataFrame:
    """List the images of *pack* whose pixels come again in their split under another class; see `between`.

    The class that most of these copies have stands for all, and the images of others are listed in ``other``.
    """
    table = pack.table[pack.table.duplicated(["split", "checksum"], keep=False)]
    copies = table.groupby(["split", "checksum", "wnid"])["image"].transform("size")
    usual = copies.sort_values(ascending=False, kind="stable").index
    first = table.loc[usual].drop_duplicates(["split", "checksum"])
    pairs = first.merge(table, on=["split", "checksum"], suffixes=("", "_other"))
    pairs = pairs[pairs["wnid"] != pairs["wnid_other"]].rename(columns={"image_other": "other"})
    return pairs.assign(other_split=pairs["split"], kind="exact", difference=0.0)[COLUMNS]


def count_text(table: pd.DataFrame) -> str:
    """Say how many images in the column ``other`` of *table* have a duplicate.

    >>> count_text(pd.DataFrame({"other": ["a", "a", "b"], "kind": ["exact", "near", "near"]}))
    '2 (1 exact, 1 near)'
    """
    exact = set(table.loc[table["kind"] == "exact", "other"])
    near = set(table["other"]) - exact
    return f"{len(exact) + len(near):,} ({len(exact):,} exact, {len(near):,} near)"


def thumbnails(pack: Pack, view: str) -> np.ndarray:
    """Return the thumbnails of all images of *pack*, uint8 (N, SIDE, SIDE, 3); kept in the pack's folder.

    *view* "whole" is of the whole image, squashed; "centre" of its central square. A pack of fit "crop" has
    no more than that.
    """
    path = pack.folder / f"thumbnails-{pack.digest}-{view}.npy"  # the folder may hold another pack by now
    return _kept(path, np.load, partial(_make_thumbnails, pack, view), save_array)


def _make_thumbnails(pack: Pack, view: str) -> np.ndarray:
    result = np.empty((len(pack), SIDE, SIDE, 3), np.uint8)
    for rows, (columns, lines) in _same_frames(pack, view):
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            images = pack.images[part].astype(np.float32)
            count, size = len(part), pack.size
            narrow = (lines @ images.reshape(count, size, 3 * size)).reshape(count * SIDE, size, 3)
            result[part] = np.rint(columns @ narrow).reshape(count, SIDE, SIDE, 3)
    return result


def _same_frames(pack: Pack, view: str) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]]:
    """Yield rows whose images fill the same part of their squares, and the weights of columns and lines."""
    fit, size = pack.summary["request"]["fit"], pack.size
    if fit == "crop" or (fit == "squash" and view == "whole"):
        yield np.arange(len(pack)), (_cell_weights(size, 0, size), _cell_weights(size, 0, size))
        return
    for (width, height), rows in pack.table.groupby(["width", "height"]).indices.items():
        stored = padded_size(width, height, size) if fit == "pad" else (size, size)
        outside = 0.0 if view == "whole" else abs(width - height) / 2  # on each end of the long side
        margins = [outside * (side > min(width, height)) / side for side in (width, height)]
        ends = zip(margins, stored, strict=True)
        columns, lines = (_cell_weights(size, part * side, (1 - part) * side) for part, side in ends)
        yield rows, (columns, lines)


def _cell_weights(size: int, start: float, stop: float) -> np.ndarray:
    """Return the part that each of *size* pixels has in each of SIDE cells from *start* to *stop*.

    >>> _cell_weights(16, 0, 16)[0, :3].tolist()
    [0.5, 0.5, 0.0]
    """
    edges = np.linspace(start, stop, SIDE + 1)
    pixels = np.arange(size)
    shared = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.clip(shared, 0, None) / (edges[1] - edges[0])).astype(np.float32)


def _are_square(pack: Pack) -> bool:
    """Say whether all images are square: in packs of any fit they are the same, and so are the digests."""
    return bool((pack.table["width"] == pack.table["height"]).all())


def _near(thumbs: np.ndarray, rows: np.ndarray, others: np.ndarray, other_rows: np.ndarray) -> pd.DataFrame:
    """Compare the thumbnails at *rows* with those at *other_rows*, and with their mirror images.

    Returns:
        row, other_row and difference of the nearest to each image of either side, if it is near.
    """
    contrasts, other_contrasts = _contrast(thumbs[rows]), _contrast(others[other_rows])
    is_base, is_query = contrasts >= MIN_CONTRAST, other_contrasts >= MIN_CONTRAST
    base_rows, query_rows = rows[is_base], other_rows[is_query]
    contrasts, other_contrasts = contrasts[is_base], other_contrasts[is_query]
    base, upright = thumbs[base_rows], others[query_rows]
    of_base, of_query = _Nearest(len(base)), _Nearest(len(upright))
    for images in (upright, upright[:, :, ::-1]):
        for first, second in _candidates(base, images):
            paler = np.minimum(contrasts[first, None], other_contrasts[second])
            differences = _distances(base[first], images[second]) / paler
            of_base.update(first, second, differences)
            of_query.update(second, first, differences.T)
    near = pd.concat([of_base.near("row", "other_row"), of_query.near("other_row", "row")])
    return near.assign(row=base_rows[near["row"]], other_row=query_rows[near["other_row"]])


class _Nearest:
    """The nearest partner so far of each of some images."""

    def __init__(self, count: int) -> None:
        self._differences = np.full(count, np.inf, np.float32)
        self._partners = np.zeros(count, np.int64)

    def update(self, images: np.ndarray, partners: np.ndarray, differences: np.ndarray) -> None:
        """Take what is nearer of *partners* for *images*, of which *differences* has a row each."""
        least, nearest = differences.min(axis=1), partners[differences.argmin(axis=1)]
        nearer = least < self._differences[images]
        self._differences[images[nearer]] = least[nearer]
        self._partners[images[nearer]] = nearest[nearer]

    def near(self, image: str, partner: str) -> pd.DataFrame:
        """List the images whose partners are near: columns *image* and *partner*, numbers, and difference."""
        table = {image: np.arange(len(self._partners)), partner: self._partners}
        return pd.DataFrame(table | {"difference": self._differences})[self._differences <= MAX_DIFFERENCE]


def _candidates(base: np.ndarray, query: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the numbers of thumbnails of *base*, and of *query*, among which pairs may be alike.

    No pair that is so is missed. The products are -1/2 of the squared distances in `_coarse`, by
    |x - y|² = |x|² + |y|² - 2 xy.
    """
    one, two = _coarse(base), _coarse(query)
    ones, twos = (np.square(vectors).sum(axis=1, keepdims=True) / -2 for vectors in (one, two))
    left = np.hstack([one, ones, np.ones_like(ones)])
    right = np.hstack([two, np.ones_like(twos), twos]).T
    for start in range(0, len(base), BLOCK):
        for begin in range(0, len(query), 2 * BLOCK):
            products = left[start : start + BLOCK] @ right[:, begin : begin + 2 * BLOCK]
            first = np.flatnonzero(products.max(axis=1) >= MIN_PRODUCT)
            if len(first):
                second = np.flatnonzero(products[first].max(axis=0) >= MIN_PRODUCT)
                yield start + first, begin + second


def _coarse(thumbs: np.ndarray) -> np.ndarray:
    """Return *thumbs* without the means of their channels, of length 1, four cells summed up in one.

    The result is float32 (n, 48). Divided by 2, such sums are coordinates in an orthonormal basis, so they
    lie no farther apart.
    """
    result = np.empty((len(thumbs), 3 * (SIDE // 2) ** 2), np.float32)
    for start in range(0, len(thumbs), BLOCK):
        part = thumbs[start : start + BLOCK].astype(np.float32)
        part -= part.mean(axis=(1, 2), keepdims=True)
        part /= np.sqrt(np.square(part).sum(axis=(1, 2, 3), keepdims=True))
        sums = part.reshape(-1, SIDE // 2, 2, SIDE // 2, 2, 3).sum(axis=(2, 4)) / 2
        result[start : start + BLOCK] = sums.reshape(len(part), -1)
    return result


def _contrast(thumbs: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each of *thumbs* within its channels, in grey levels."""
    return np.sqrt(thumbs.reshape(len(thumbs), -1, 3).var(axis=1, dtype=np.float32).mean(axis=1))


def _distances(base: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the root mean square of *base* - *query*, both uint8 (n, …) and (m, …), as (n, m).

    The products of 8-bit samples of a thumbnail sum up to integers below 2 ** 24, which float32 has exactly.
    """
    one, two = (images.reshape(len(images), -1).astype(np.float32) for images in (base, query))
    products = one @ two.T
    ones, twos = (np.square(vectors).sum(axis=1) for vectors in (one, two))
    return np.sqrt(((ones[:, None] - products) + (twos - products)) / one.shape[1])
