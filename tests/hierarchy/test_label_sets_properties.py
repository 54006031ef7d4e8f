"""Label sets on random trees: each method against its definition, spelt out slowly."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itl import ItlError
from itl.hierarchy.halves import GROUP_DEPTH, groups_at
from itl.hierarchy.label_sets import LabelSet, bottom_up, cut, halves_minimal, halves_random, top_down
from itl.hierarchy.taxonomy import Synset, Taxonomy


@st.composite
def labelled_trees(draw):
    """A random tree with one hypernym a node, and some of its nodes to label."""
    count = draw(st.integers(2, 24))
    above = [draw(st.integers(max(0, number - 4), number - 1)) for number in range(1, count)]
    wnids = [f"w{number:02d}" for number in range(count)]
    hypernyms = [(), *((wnids[number],) for number in above)]
    synsets = [Synset(wnid, wnid, (wnid,), "", up) for wnid, up in zip(wnids, hypernyms, strict=True)]
    leaves = draw(st.lists(st.sampled_from(wnids), min_size=1, unique=True))
    return Taxonomy(synsets, leaves), leaves


def deep_ancestors(tree: Taxonomy, half: LabelSet) -> set[str]:
    """The ancestors of a half at depth four and deeper, on the parent paths."""
    return {above for wnid in half.class_of for above in tree.path(wnid) if tree.depth(above) >= 4}


def walk(tree: Taxonomy, labels: list[str]) -> list[str]:
    """One round of top-down as published: the parents, each in turn in the place of all below it."""
    labels = [tree.parent(label) or label for label in labels]
    for position in range(len(labels)):
        here = labels[position]
        labels = [here if here in tree.path(label) else label for label in labels]
    return labels


@given(labelled_trees())
@settings(max_examples=60, deadline=None)
def test_top_down_is_the_published_walk(case):
    tree, wnids = case
    labels = wnids
    for rounds in range(1, 30):
        before, labels = labels, walk(tree, labels)
        if labels == before:
            with pytest.raises(ItlError, match=f"top-down takes from 1 to {rounds - 1} rounds"):
                top_down(tree, wnids, rounds)
            return
        assert top_down(tree, wnids, rounds).class_of == dict(zip(wnids, labels, strict=True))


@given(labelled_trees())
@settings(max_examples=60, deadline=None)
def test_bottom_up_levels_are_coarser_and_coarser(case):
    tree, wnids = case
    deepest = max(map(tree.depth, wnids))
    finer = bottom_up(tree, wnids, deepest)
    assert finer.class_of == {wnid: wnid for wnid in wnids}
    for level in range(deepest - 1, -1, -1):
        labels = bottom_up(tree, wnids, level)
        for wnid, label in labels.class_of.items():
            assert label in tree.path(wnid)
            assert tree.depth(label) == min(level, tree.depth(wnid))
            assert labels.class_of[wnid] in tree.path(finer.class_of[wnid])
        finer = labels
    assert finer.classes == ["w00"]


@given(labelled_trees(), st.data())
@settings(max_examples=60, deadline=None)
def test_cut_takes_the_nearest(case, data):
    tree, wnids = case
    above = sorted(set().union(*map(tree.path, wnids)))
    nodes = data.draw(st.lists(st.sampled_from(above), min_size=1))
    class_of = cut(tree, wnids, nodes).class_of
    for wnid in wnids:
        given_above = [node for node in nodes if node in tree.path(wnid)]
        assert class_of.get(wnid) == max(given_above, key=tree.depth, default=None)


@given(labelled_trees())
@settings(max_examples=100, deadline=None)
def test_minimal_halves_are_as_even_as_the_tree_allows(case):
    tree, wnids = case
    sizes = [len(group) for group in groups_at(tree, wnids, GROUP_DEPTH).values()]
    too_flat = max(map(tree.depth, wnids)) < GROUP_DEPTH
    if too_flat or len(sizes) < 2:
        with pytest.raises(
            ItlError, match="share a node at depth 4" if too_flat else "need classes of two groups"
        ):
            halves_minimal(tree, wnids)
        return
    a, b = halves_minimal(tree, wnids)
    assert sorted(a.classes + b.classes) == sorted(wnids)
    assert deep_ancestors(tree, a).isdisjoint(deep_ancestors(tree, b))
    sums = (sum(leaves) for count in range(len(sizes) + 1) for leaves in combinations(sizes, count))
    assert len(a.classes) == min(total for total in sums if 2 * total >= len(wnids))


@given(st.sets(st.text(min_size=1), min_size=2), st.integers(-5, 5))
@settings(max_examples=30, deadline=None)
def test_random_halves_part_the_classes(wnids, seed):
    a, b = halves_random(wnids, seed)
    assert sorted(a.classes + b.classes) == sorted(wnids)
    assert len(a.classes) - len(b.classes) in (0, 1)
    assert halves_random(sorted(wnids, reverse=True), seed) == (a, b)
