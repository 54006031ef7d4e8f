"""Simulated effects of classes at reduced size; `python -m itl.bench.influence` prints whole tables."""

import numpy as np

from itl.analysis.influence import HalvesScored, nodes_above
from itl.bench import influence
from itl.hierarchy.taxonomy import Taxonomy
from itl.sources.synthetic.classes import spread_leaves


def test_worlds_with_and_without_effects(monkeypatch):
    monkeypatch.setattr(influence, "NETS", (80,))
    tree, lines = Taxonomy.snapshot(), []
    classes = spread_leaves(tree, 40)
    nodes, signs = nodes_above(tree, classes), influence.planted(tree, classes)
    assert (signs > 0).sum() == (signs < 0).sum() == 10
    empty = influence.without_effects(nodes, classes, 10)
    assert empty["tree-shrunk"].item() <= 0.1
    judged = influence.with_effects(nodes, classes, signs, 4).set_index("estimator")
    assert judged.loc["tree-shrunk", "AUROC"] > max(0.95, judged.loc["difference of means", "AUROC"])
    assert judged.loc["tree-shrunk", "claims"] > 5
    assert judged["wrong claims"].max() < 0.2
    influence.main(2, lines.append)
    assert len(lines) == 4


def test_shuffled_scores_break_the_link_of_classes_and_scores():
    tree = Taxonomy.snapshot()
    classes = spread_leaves(tree, 40)
    nodes, inclusion = nodes_above(tree, classes), influence.halves(classes, 40)
    noise = np.random.default_rng(0).normal(size=40)
    scores = inclusion @ (2 * influence.planted(tree, classes)) + noise
    names = tuple(nodes.wnids)
    depths = np.zeros(len(names))
    scored = HalvesScored("knn@x", nodes, names, depths, inclusion, tuple(range(40)), scores, 10.0)
    table = influence.shuffled(scored, permutations=10).set_index("estimator")
    assert table.loc["tree-shrunk", "claims"] > 10
    assert table["any"].max() <= 0.2
