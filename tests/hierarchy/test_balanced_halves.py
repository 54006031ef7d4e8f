"""Balanced halves: exact counts of each class, and pairs that are as little correlated as swaps make them."""

import hashlib

import numpy as np
import pytest

from itl import ItlError
from itl.hierarchy.balanced_halves import BLOCK, balanced_half
from itl.hierarchy.label_sets import label_set
from itl.hierarchy.taxonomy import Taxonomy

HALVES_OF_EIGHT = ["-++-+-+-", "-+-+-++-", "+-+--++-", "----++++"]


def signs(classes: int, halves: int) -> np.ndarray:
    """1 for each class that is in each half and -1 for the others: (halves, classes)."""
    names = [f"class {number:04}" for number in range(classes)]
    chosen = [set(balanced_half(names, number)) for number in range(halves)]
    return np.array([[1 if name in half else -1 for name in names] for half in chosen])


def correlation(design: np.ndarray) -> float:
    """Root mean square correlation between two columns of a design that is balanced."""
    products = design.T @ design / len(design)
    return float(np.sqrt((products**2)[~np.eye(len(products), dtype=bool)].mean()))


@pytest.mark.parametrize("classes", [2, 3, 5, 8, 40, 101])
def test_every_class_is_in_half_of_each_block_and_every_half_has_half_of_the_classes(classes):
    design = signs(classes, 5 * BLOCK)
    for start in range(0, len(design), BLOCK):
        assert (design[start : start + BLOCK].sum(0) == 0).all()
    assert (design[0::2].sum(1) == classes % 2).all()
    assert (design[1::2].sum(1) == -(classes % 2)).all()


def test_two_classes_are_together_as_often_as_apart_more_nearly_than_by_luck():
    design, random = signs(40, 120), np.random.default_rng(0)
    luck = np.array([random.permutation(np.arange(40) < 20) * 2 - 1 for _ in range(120)])
    assert correlation(design) < 0.6 * correlation(luck)
    together = (120 + design.T @ design) / 2  # nets that have both classes or neither
    pairs = together[~np.eye(40, dtype=bool)]
    assert pairs.min() >= 48, "60 is exactly half"
    assert pairs.max() <= 70


def test_a_longer_sequence_begins_with_the_shorter_one():
    names = [str(number) for number in range(10)]
    before = balanced_half(names, 3)
    balanced_half(names, 700)
    assert balanced_half(names, 3) == before == sorted(before)


def test_one_sequence_on_every_machine():
    halves = ["".join("+" if sign > 0 else "-" for sign in row) for row in signs(8, 4)]
    assert halves == HALVES_OF_EIGHT
    names = [f"class {number:04}" for number in range(40)]
    halves = repr([balanced_half(names, number) for number in range(120)])
    assert hashlib.sha256(halves.encode()).hexdigest().startswith("42c9bd3f9a48")


def test_a_label_method_of_any_classes_in_any_order():
    wnids = ["b", "d", "a", "c"]
    labels = label_set(Taxonomy.snapshot(), "half-balanced@5", wnids)
    assert list(labels.class_of) == balanced_half(sorted(wnids), 5)


@pytest.mark.parametrize(
    ("names", "number", "says"), [(["a"], 0, "at least two"), (["a", "b"], -1, "from 0")]
)
def test_halves_that_are_none(names, number, says):
    with pytest.raises(ItlError, match=says):
        balanced_half(names, number)
