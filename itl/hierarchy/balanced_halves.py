"""Halves of classes in a balanced design, for one net on each."""

from functools import cache

import numpy as np

from itl.errors import ItlError
from itl.hierarchy.halves import shuffle

BLOCK = 20  # halves, of which every class is in exactly 10
CANDIDATES = 32  # classes on each side that a swap is looked for among


def balanced_half(wnids: list[str], number: int) -> list[str]:
    """Return half *number* of an endless sequence of halves of *wnids*, in their order.

    Of an odd number of classes, halves with an even number have the one more. Every class is in exactly half
    of each BLOCK of halves. Beyond that each half is drawn at random, then changed by swaps of two classes
    until it is as nearly orthogonal as they make it to all halves before it. Any two classes, siblings too,
    are then together about as often as apart: the swaps lower the sum of squared correlations between
    classes, which is the criterion E(s²) of supersaturated designs (Booth and Cox 1962). The last halves of a
    block have little freedom: of 28 classes, halves 38 and 39 are the same, of 10 classes 8 of the first 80.

    ItlError for fewer than two classes, or a *number* below 0.
    """
    if len(wnids) < 2:
        raise ItlError(f"two halves need at least two classes, not {len(wnids)}")
    if number < 0:
        raise ItlError(f"balanced halves are numbered from 0; there is no half {number}")
    blocks = 4
    while blocks * BLOCK <= number:
        blocks *= 2
    signs = _design(len(wnids), blocks)[number]
    return [wnid for wnid, sign in zip(wnids, signs, strict=True) if sign > 0]


@cache
def _design(classes: int, blocks: int) -> np.ndarray:
    """Return (halves, classes) of 1 for the classes in each half and -1 for the others.

    A longer design begins with a shorter one. All numbers are whole, so it is the same on every machine.
    """
    design = np.zeros((blocks * BLOCK, classes))
    for number in range(len(design)):
        done = number % BLOCK
        sums = design[number - done : number].sum(0)
        forced = np.abs(sums) == BLOCK - done  # only one side still ends at a sum of 0
        order = np.array([int(position) for position in shuffle(map(str, range(classes)), number)])
        # Forced classes that must come in are first, those that must stay out last.
        order = order[np.argsort(np.where(forced, np.sign(sums), 0)[order], kind="stable")]
        row = np.full(classes, -1.0)
        row[order[: (classes + 1 - number % 2) // 2]] = 1
        design[number] = _orthogonal(row, design[:number], ~forced)
    return design


def _orthogonal(row: np.ndarray, earlier: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Swap *free* classes of *row* (classes,) while that lowers its squared products with *earlier* rows.

    With E the earlier rows and e_a the column of class a, a swap of a and b, now 1 and −1, changes the sum of
    squares of E · row by 4 |e_a − e_b|² − 4 (e_a − e_b) · E · row.
    """
    row = row.copy()
    while True:
        slopes = earlier.T @ (earlier @ row)
        inside = _lowest(np.flatnonzero(free & (row > 0)), -slopes)
        outside = _lowest(np.flatnonzero(free & (row < 0)), slopes)
        if not len(inside) or not len(outside):
            return row
        squares = 2 * len(earlier) - 2 * earlier[:, inside].T @ earlier[:, outside]
        changes = 4 * squares - 4 * (slopes[inside][:, None] - slopes[outside])
        a, b = np.unravel_index(changes.argmin(), changes.shape)
        if changes[a, b] >= 0:
            return row
        row[inside[a]], row[outside[b]] = -1, 1


def _lowest(classes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the CANDIDATES of *classes* with the lowest *values*."""
    values = values[classes]
    if len(classes) > CANDIDATES:  # sorting all takes most of the time
        low = values <= np.partition(values, CANDIDATES)[CANDIDATES]
        classes, values = classes[low], values[low]
    return classes[np.argsort(values, kind="stable")[:CANDIDATES]]
