"""Halves along the tree: each class once in two halves, near classes together more often than far ones."""

import pytest

from itl import ItlError
from itl.hierarchy.halves import half_along_tree
from itl.hierarchy.label_sets import label_set
from itl.hierarchy.taxonomy import Taxonomy
from itl.sources.synthetic.classes import spread_leaves

IMAGENET = Taxonomy.snapshot()
CLASSES = spread_leaves(IMAGENET, 41)
HALVES_OF_FOUR = [["car", "poodle"], ["husky", "trout"], ["husky", "poodle"], ["husky", "poodle"]]


def test_two_halves_have_every_class_once_and_half_of_them_each():
    for number in range(0, 20, 2):
        first, second = (half_along_tree(IMAGENET, CLASSES, number + more) for more in (0, 1))
        assert (len(first), len(second)) == (21, 20)
        assert sorted(first + second) == sorted(CLASSES)
        assert first == sorted(first)


def test_near_classes_go_together_and_far_ones_apart(tree):
    names = ["car", "husky", "poodle", "trout"]
    drawn = [half_along_tree(tree, names, 2 * number) for number in range(300)]
    both = sum(("husky" in half) == ("poodle" in half) for half in drawn)
    far = sum(("husky" in half) == ("car" in half) for half in drawn)
    assert both > 130 > far, "two of four classes are together in a third of all halves: 100"
    assert len(set(map(tuple, drawn))) == 6, "every half of four classes is drawn"


def test_a_node_of_many_classes_varies_more_than_in_halves_drawn_class_by_class():
    animals = {wnid for wnid in CLASSES if "n00015388" in IMAGENET.ancestors(wnid)}
    for method, least, most in (("half-along-tree", 3.5, 9.0), ("half-random-a", 0.5, 2.5)):
        counts = [
            len(animals & set(label_set(IMAGENET, f"{method}@{number}", CLASSES).class_of))
            for number in range(60)
        ]
        mean = sum(counts) / len(counts)
        spread = (sum((count - mean) ** 2 for count in counts) / len(counts)) ** 0.5
        assert least < spread < most, method


def test_one_sequence_on_every_machine_whatever_the_order_of_the_classes(tree):
    names = ["trout", "car", "poodle", "husky", "car"]
    assert [half_along_tree(tree, names, number) for number in (0, 1, 2, 5)] == HALVES_OF_FOUR


def test_one_class_has_no_halves(tree):
    with pytest.raises(ItlError, match="at least two classes, not 1"):
        half_along_tree(tree, ["car", "car"], 0)
