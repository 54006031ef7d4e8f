"""Inner nodes: tables that runs left, and their differences, by hand."""

from pathlib import Path

import pandas as pd
import pytest

from itl import ItlError
from itl.analysis import node_accuracy
from itl.runs import questions
from itl.runs.executors import with_needs
from itl.runs.perform import perform
from itl.runs.store import Store
from itl.specs import Pretrain, Subset, Transfer
from tests.worlds import SETTINGS, here

COARSE, FINE = {"label_set": "bottom-up@5"}, {"label_set": "original"}


def made_up(values: dict) -> pd.DataFrame:
    """What `every_node` gathers: (label set, seed) -> fine_knn5 of dog and fish; invented, only for tests."""
    rows = [
        (node, node, depth, 2, 2, 10, 30.0, 50.0, number, 25.0, label_set, seed)
        for (label_set, seed), numbers in values.items()
        for node, depth, number in zip(("dog", "fish"), (3, 2), numbers, strict=True)
    ]
    about = ["node", "name", "depth", "children", "classes", "images", "coarse_knn5", "coarse_chance"]
    return pd.DataFrame(rows, columns=[*about, "fine_knn5", "fine_chance", "label_set", "seed"])


FOUND = made_up(
    {
        ("bottom-up@5", 0): (40, 60),
        ("bottom-up@5", 1): (42, 61),
        ("bottom-up@5", 2): (44, 65),
        ("original", 0): (50, 61),
        ("original", 1): (52, 60),
        ("original", 2): (55, 64),
        ("original", 3): (99, 99),
    }
)


def test_changes_are_paired_by_seed_and_the_largest_loss_comes_first():
    table = node_accuracy.changes(FOUND, "fine_knn5", of=COARSE, against=FINE)
    assert table["node"].tolist() == ["dog", "fish"]
    assert table["n"].tolist() == [3, 3]
    assert table["chance"].tolist() == [25.0, 25.0]
    assert table["bottom-up@5"].tolist() == [42.0, 62.0]
    assert table["original"].tolist() == pytest.approx([157 / 3, 185 / 3])
    assert table["change"].tolist() == pytest.approx([-31 / 3, 1 / 3])
    assert (table["low"] < table["change"]).all()
    assert (table["change"] < table["high"]).all()
    back = node_accuracy.changes(FOUND.sample(frac=1, random_state=0), "fine_knn5", of=FINE, against=COARSE)
    assert back["node"].tolist() == ["fish", "dog"]
    assert back["change"].tolist() == pytest.approx([-1 / 3, 31 / 3])


def test_a_node_counts_the_seeds_that_have_it():
    """Labels that depend on the seed may leave out all classes under a node."""
    lacking = (FOUND["node"] == "fish") & (FOUND["seed"] == 1) & (FOUND["label_set"] == "original")
    table = node_accuracy.changes(FOUND[~lacking], "fine_knn5", of=COARSE, against=FINE).set_index("node")
    assert table["n"].to_dict() == {"dog": 3, "fish": 2}
    assert table.loc["fish", ["bottom-up@5", "original", "change"]].tolist() == [62.5, 62.5, 0.0]
    never = FOUND[(FOUND["node"] == "dog") | (FOUND["seed"] == 2 * (FOUND["label_set"] == "original"))]
    assert node_accuracy.changes(never, "fine_knn5", of=COARSE, against=FINE)["node"].tolist() == ["dog"]


def test_what_gains_is_no_loss():
    values = {(COARSE["label_set"], seed): (51, 52) for seed in (0, 1)}
    values |= {(FINE["label_set"], seed): (50, 50) for seed in (0, 1)}
    table = node_accuracy.largest_changes(made_up(values), COARSE, FINE, count=1)
    assert table[["distinguished", "node", "change"]].values.tolist() == [["classes", "fish", 2.0]]


def test_chance_is_that_of_the_metric():
    table = node_accuracy.changes(FOUND, "coarse_knn5", of=COARSE, against=FINE)
    assert table["chance"].tolist() == [50.0, 50.0]


@pytest.mark.parametrize(
    ("metric", "of", "says"),
    [
        ("fine_knn9", COARSE, "nodes have no metric 'fine_knn9'; they have coarse_knn5, fine_knn5"),
        ("fine_knn5", {"label_set": "bottom-up@9"}, "no seed has nodes for both .*bottom-up@9"),
    ],
)
def test_changes_that_are_refused(metric, of, says):
    with pytest.raises(ItlError, match=says):
        node_accuracy.changes(FOUND, metric, of=of, against=FINE)


def test_largest_changes_keep_the_ends_of_each_question():
    both = FOUND.assign(coarse_knn5=FOUND["fine_knn5"])
    table = node_accuracy.largest_changes(both, COARSE, FINE)
    assert table["distinguished"].tolist() == ["classes", "classes", "children", "children"]
    assert table["of them"].tolist() == [2, 2, 2, 2]
    classes = table[table["distinguished"] == "classes"]
    assert classes["node"].tolist() == ["dog", "fish"]
    assert classes["change"].tolist() == pytest.approx([-31 / 3, 1 / 3])
    many = pd.concat([both.assign(node=both["node"] + str(number)) for number in range(5)])
    assert len(node_accuracy.largest_changes(many, COARSE, FINE, count=2)) == 8
    assert (
        not node_accuracy.largest_changes(many, COARSE, FINE, count=2)[["distinguished", "node"]]
        .duplicated()
        .any()
    )


def test_a_node_whose_children_are_its_classes_is_listed_once():
    same = FOUND.assign(coarse_knn5=FOUND["fine_knn5"], coarse_chance=FOUND["fine_chance"])
    same.loc[same["node"] == "fish", "children"] = 1
    table = node_accuracy.largest_changes(same, COARSE, FINE)
    assert table[["distinguished", "node"]].values.tolist() == [
        ["classes", "dog"],
        ["classes", "fish"],
        ["children", "fish"],
    ]


def spec(method: str) -> Transfer:
    return Transfer(Pretrain(Subset("a pack")), method, "images", "a pack")


def test_nodes_of_a_run(tmp_path):
    store, run = Store(tmp_path), spec("induction")
    with pytest.raises(ItlError, match="is not done"):
        node_accuracy.nodes_of(store, run)
    table = FOUND.loc[:1, "node":"fine_chance"]
    table.to_csv(Path(store.folder(run)) / "nodes.csv", index=False)
    store.finish(run, {"metrics": {}})
    pd.testing.assert_frame_equal(node_accuracy.nodes_of(store, run), table, check_dtype=False)
    store.finish(spec("knn"), {"metrics": {}})
    with pytest.raises(ItlError, match="is of knn on images, .* ask for induction@images"):
        node_accuracy.nodes_of(store, spec("knn"))


def test_from_the_question_to_its_nodes(tmp_path):
    """One small study: coarse labels, fine ones and none, scored on the fine classes, a run at a time."""
    settings = {name: value for name, value in SETTINGS.items() if name != "images_per_class"}
    settings |= {"seeds": [0], "tasks": ["induction@images:6", "induction@images/bottom-up@4"]}
    question = questions.granularity(**settings, label_sets=["none", "bottom-up@4", "original"])
    machine = here(tmp_path)
    store = Store(machine.runs)
    with pytest.raises(ItlError, match="no run of induction@images:6 is done"):
        node_accuracy.every_node(question, store, machine, "induction@images:6")
    question.prepare(machine)
    for needed in with_needs(run.spec for run in question.runs(machine)):
        perform(needed, store, machine)
    results = question.results(store, machine)
    assert results.groupby("label_set")["classes"].unique().map(list).to_dict() == {
        "none": [0],
        "bottom-up@4": [2],
        "original": [4],
    }
    assert results.groupby("label_set")["images"].unique().map(list).to_dict() == {
        "none": [0],
        "bottom-up@4": [48],
        "original": [48],
    }
    chance = results[results["metric"] == "chance"].groupby("task")["value"].unique().map(list).to_dict()
    assert chance == {"induction@images:6": [25.0], "induction@images/bottom-up@4": [50.0]}
    nodes = node_accuracy.every_node(question, store, machine, "induction@images:6")
    assert set(nodes["label_set"]) == {"none", "bottom-up@4", "original"}
    assert nodes["images"].max() == 16  # the root: four of each of four classes
    whole = nodes[nodes["classes"] == 4].set_index("label_set")["fine_knn5"]
    expected = results.query("task == 'induction@images:6' and metric == 'knn5'").set_index("label_set")[
        "value"
    ]
    assert whole.sort_index().to_dict() == expected.sort_index().to_dict()
