"""Simulated effects of classes at reduced size; `python -m studies.influence` prints whole tables."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from itl import ItlError
from itl.analysis.influence import NetsOnHalves, nodes_above, runs_on_halves
from itl.hierarchy.taxonomy import Taxonomy
from itl.presets import load_preset, write_preset
from itl.runs.executors import with_needs
from itl.runs.perform import perform
from itl.runs.store import Store
from itl.runs.task_questions import Influence
from itl.sources.synthetic.classes import spread_leaves
from studies import influence
from tests.worlds import SETTINGS, here

PRESET = Path(__file__).parents[2] / "studies/params/my-task-nothing.yaml"
PLANTED = {"size": 16, "classes": 8, "train": 4, "val": 2, "planted": False}


def test_worlds_with_and_without_effects(monkeypatch):
    monkeypatch.setattr(influence, "NETS", (80,))
    tree, lines = Taxonomy.snapshot(), []
    classes = spread_leaves(tree, 40)
    nodes, signs = nodes_above(tree, classes), influence.planted(tree, classes)
    assert (signs > 0).sum() == (signs < 0).sum() == 10
    empty = influence.without_effects(tree, nodes, classes, 10)
    assert empty["tree-shrunk"].item() <= 0.1
    true = influence.EFFECT * signs
    judged = influence.with_effects([influence.halves(tree, classes, 80)], nodes, true, 4)
    judged = judged.set_index("estimator")
    assert judged.loc["tree-shrunk", "AUROC"] > max(0.95, judged.loc["difference of means", "AUROC"])
    assert judged.loc["tree-shrunk", "claims"] > 5
    assert judged["wrong claims"].max() < 0.2
    influence.main(2, lines.append)
    assert len(lines) == 6
    beside = influence.by_halves(tree, nodes, classes, true / 2, 6).set_index("halves")
    assert beside.loc["half-along-tree", "claims"] > 1.5 * beside.loc["half-balanced", "claims"]
    assert beside["wrong claims"].max() < 0.2


def test_neighbours_that_go_together_mislead_the_difference_of_means_alone():
    """Twenty nets on halves along the tree: so it has no verdict there."""
    tree = Taxonomy.snapshot()
    classes = spread_leaves(tree, 40)
    nodes, inclusion = nodes_above(tree, classes), influence.halves(tree, classes, 20, "half-along-tree")
    true = influence.planted(tree, classes)
    wrong = influence.with_effects([inclusion], nodes, true, 8).set_index("estimator")["wrong claims"]
    assert wrong["difference of means"] > 0.2
    assert wrong.drop("difference of means").max() < 0.05
    scores, depths = inclusion @ true, np.zeros(len(nodes.wnids))
    scored = NetsOnHalves("knn@x", nodes, nodes.wnids, depths, inclusion, tuple(range(20)), scores, 10.0)
    for along_tree in (False, True):
        table = influence.claims(replace(scored, along_tree=along_tree), np.array([scores]))
        claims = table.set_index("estimator").loc["difference of means", "claims"]
        assert (claims == 0) == along_tree


def test_claims_where_scores_have_lost_their_link_to_classes():
    tree = Taxonomy.snapshot()
    classes = spread_leaves(tree, 40)
    nodes, inclusion = nodes_above(tree, classes), influence.halves(tree, classes, 40)
    noise = np.random.default_rng(0).normal(size=40)
    scores = inclusion @ (2 * influence.planted(tree, classes)) + noise
    names, depths = tuple(nodes.wnids), np.zeros(len(nodes.wnids))
    scored = NetsOnHalves("knn@x", nodes, names, depths, inclusion, tuple(range(40)), scores, 10.0)
    worlds = influence.shuffled(scores, 10)
    assert [sorted(row) for row in worlds.tolist()] == [sorted(scores.tolist())] * 10
    table = influence.claims(scored, worlds).set_index("estimator")
    assert table.loc["tree-shrunk", "claims"] > 10
    assert table["any"].max() <= 0.2
    assert influence.claims(scored, np.array([scores])).set_index("estimator").loc["tree-shrunk", "any"] == 1


def test_labels_at_random_are_known_by_chance_alone(tmp_path):
    settings = {name: value for name, value in SETTINGS.items() if name != "images_per_class"}
    question, machine = Influence.ask(**settings, halves=4), here(tmp_path, workers=1)
    store = Store(machine.runs)
    question.prepare(machine)
    for spec in with_needs(runs_on_halves(question, machine, "knn@scenes").values()):
        perform(spec, store, machine)
    scores = influence.random_labels(question, store, machine, 60)
    assert scores.shape == (60, 4)
    assert np.allclose(scores * 12 / 100, np.round(scores * 12 / 100)), "of 12 test images"
    assert abs(scores.mean() - 100 / 3) < 8
    assert scores.std() > 8, "every world draws other labels"
    probed = Influence.ask(**settings | {"tasks": ["probe@scenes"]}, halves=4)
    with pytest.raises(ItlError, match="influence has probe@scenes first, not knn"):
        influence.random_labels(probed, store, machine, 1)


def test_worlds_have_images_and_nets_of_their_own():
    settings = {name: value for name, value in SETTINGS.items() if name != "images_per_class"}
    question = Influence.ask(**settings, halves=4)
    worlds = [influence.in_world(question, number) for number in range(3)]
    assert [dict(world.images.options)["seed"] for world in worlds] == [0, 1, 2]
    assert [dict(packing.options)["seed"] for _, packing in worlds[2].targets] == [2]
    assert [world.conditions[1].seeds for world in worlds] == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)]
    assert [world.conditions[0] for world in worlds] == [question.conditions[0]] * 3


def test_trained_worlds_are_counted(tmp_path, monkeypatch, in_this_process):
    """A world of twenty nets that have learned nothing, so that there is nothing to be claimed."""
    monkeypatch.setenv("ITL_WORKERS", "1")
    study = dict(load_preset(PRESET).notebooks["08-influence"], halves=20)
    study["images"] = {"source": "demo-planted", "size": 16, "options": PLANTED}
    surfaces = {"source": "demo-surfaces", "size": 16, "options": {"train": 4, "test": 4}}
    study["targets"] = {"surfaces": surfaces}
    study["recipe"] = {"steps": 2, "batch": 8, "pixels": 16}
    preset = write_preset("nothing", {"about": "", "notebooks": {"08-influence": study}}, tmp_path)
    text = influence.trained(str(tmp_path), str(preset), 1)
    assert text.startswith("Worlds: 1, with 20 trained nets each")
    rows = [line.split() for line in text.splitlines()[2:]]
    assert [row[0] for row in rows] == ["tree-shrunk", "ridge", "difference"]
    assert rows[0][1:] == ["0", "0", "0.0", "0.000", "to", "0.975"]
