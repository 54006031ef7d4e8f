"""Induction: exact where it can be drawn, equal to plain loops where it cannot, and the net does not move."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from itl.evaluation import induction as module
from itl.evaluation.frozen import knn, probe, vote
from itl.evaluation.induction import COLUMNS, KNN_COLUMNS, branches, chance, compare, induction, nodes_table
from itl.evaluation.knn import nearest
from itl.evaluation.logistic_regression import Features
from itl.evaluation.methods import KNN_NEIGHBOURS
from itl.evaluation.target import Target
from itl.hierarchy.taxonomy import Taxonomy
from itl.training.nets import build
from tests.evaluation.test_frozen import MACHINE, PIXELS, spec, world

CLASSES = ("car", "husky", "poodle", "trout")
# Fifteen leaves of ImageNet: dogs, cats, snakes, and things of all kinds
LEAVES = sorted([
    "n02110185", "n02113799", "n02085620", "n02123045", "n02123159", "n02129165",
    "n01728572", "n01728920", "n01530575", "n04285008", "n03100240", "n02701002",
    "n07753592", "n07747607", "n09246464",
])  # fmt: skip


def around(degrees: list[float]) -> torch.Tensor:
    """Features (N, 2): points on a circle, whose cosine similarity is that of their angles."""
    return torch.tensor([[math.cos(math.radians(angle)), math.sin(math.radians(angle))] for angle in degrees])


def scored(tree: Taxonomy, classes, train: Features, test: Features) -> pd.DataFrame:
    inner_nodes = branches(tree, classes)
    *counts, _ = compare(train, test, inner_nodes)
    return nodes_table(tree, inner_nodes, counts, train.labels, test.labels)


def test_branches_of_the_drawn_tree(tree):
    inner_nodes = branches(tree, CLASSES)
    assert [branch.node for branch in inner_nodes] == ["dog", "animal", "entity"]
    assert [branch.children for branch in inner_nodes] == [2, 2, 2]
    dog, animal, entity = (branch.child_of for branch in inner_nodes)
    assert dog == {1: 0, 2: 1}
    assert animal == {1: 0, 2: 0, 3: 1}  # dog, dog, fish
    assert entity == {0: 1, 1: 0, 2: 0, 3: 0}  # vehicle, and three times animal


def test_a_class_above_another_is_a_child_of_itself(tree):
    dog, animal = branches(tree, ["dog", "husky", "trout"])
    assert dog.child_of == {0: 0, 1: 1}
    assert animal.child_of == {0: 0, 1: 0, 2: 1}


def test_classes_outside_the_tree_are_under_no_node(tree):
    assert branches(tree, ["kitchen", "street"]) == []
    assert [branch.child_of for branch in branches(tree, ["husky", "kitchen", "poodle"])] == [{0: 0, 2: 1}]


def test_by_hand(tree):
    """One training image of each class, so that k = 5 means all there are, and ties go to the nearest."""
    train = Features(around([0, 90, 100, 180]), torch.tensor([0, 1, 2, 3]))
    # The nearest of all are a husky, a poodle, a poodle, a husky and a trout
    test = Features(around([92, 97, 130, 60, 145]), torch.tensor([1, 1, 3, 0, 2]))
    table = scored(tree, CLASSES, train, test).set_index("node").round(2)
    assert table.index.tolist() == ["entity", "animal", "dog"]
    assert table["depth"].tolist() == [0, 1, 2]
    assert table["classes"].tolist() == [4, 3, 2]
    assert table["images"].tolist() == [5, 4, 3]
    third, two_thirds = 33.33, 66.67
    assert table.loc["dog", "coarse_knn1":].tolist() == [two_thirds, two_thirds, 50.0] * 2
    assert table.loc["animal", "coarse_knn1":].tolist() == [50.0, 75.0, 58.33, 25.0, 25.0, third]
    assert table.loc["entity", "coarse_knn1":].tolist() == [80.0, 80.0, 65.0, 20.0, 20.0, 25.0]


def test_chance_by_hand():
    assert chance(torch.arange(8), torch.tensor([5, 5, 2])) == 12.5
    assert chance(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1])) == 50.0
    assert chance(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 1])) == 62.5
    assert chance(torch.tensor([0, 1]), torch.tensor([2])) == 0.0
    assert chance(torch.arange(100).repeat(7), torch.arange(100).repeat(3)) == 1.0


def slowly(tree: Taxonomy, classes, train: Features, test: Features) -> pd.DataFrame:
    """The same table by plain loops: every node, every test image, every training image under the node."""
    train_labels, test_labels = train.labels.tolist(), test.labels.tolist()
    base, queries = (torch.nn.functional.normalize(part.features.double()).float() for part in (train, test))
    alike = (queries @ base.T).tolist()
    rows = []
    for node in tree:
        child = {}
        for label, name in enumerate(classes):
            path = tree.path(name)
            if node in path:
                child[label] = path[max(0, path.index(node) - 1)]
        mine = [row for row, label in enumerate(test_labels) if label in child]
        if len(set(child.values())) < 2 or not mine:
            continue
        base = [row for row, label in enumerate(train_labels) if label in child]
        row = [node, tree.class_name(node), tree.depth(node), len(set(child.values())), len(child), len(mine)]
        for name_of in (child, {label: label for label in child}):
            for k in KNN_NEIGHBOURS:
                right = 0
                for query in mine:
                    closest = sorted(base, key=lambda neighbour: (-alike[query][neighbour], neighbour))[:k]
                    names = [name_of[train_labels[neighbour]] for neighbour in closest]
                    most = max(names.count(name) for name in names)
                    named = next(name for name in names if names.count(name) == most)
                    right += named == name_of[test_labels[query]]
                row.append(100 * right / len(mine))
            names = [name_of[train_labels[neighbour]] for neighbour in base]
            guesses = [names.count(name_of[test_labels[query]]) / len(names) for query in mine]
            row.append(100 * sum(guesses) / len(mine))
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(["depth", "node"], ignore_index=True)


@pytest.mark.parametrize("tied", [False, True])
def test_equal_to_plain_loops(tied):
    """Uneven classes, some of fewer than five images; features at random, or four directions full of ties."""
    random = torch.Generator().manual_seed(0)
    sizes = [1, 2, 3, 9, 20, 4, 11, 6, 1, 15, 5, 8, 2, 12, 7]
    labels = torch.arange(len(LEAVES)).repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=random)]
    test_labels = torch.randint(0, len(LEAVES), (60,), generator=random)
    if tied:
        directions = [torch.randint(0, 4, (len(part),), generator=random) for part in (labels, test_labels)]
        features = [torch.eye(4)[part] for part in directions]
    else:
        centres = torch.randn(len(LEAVES), 6, generator=random)
        features = [
            centres[part] + torch.randn(len(part), 6, generator=random) for part in (labels, test_labels)
        ]
    train, test = Features(features[0], labels), Features(features[1], test_labels)
    tree = Taxonomy.snapshot()
    fast, slow = scored(tree, LEAVES, train, test), slowly(tree, LEAVES, train, test)
    assert len(fast) > 8
    pd.testing.assert_frame_equal(fast, slow)
    *_, overall = compare(train, test, branches(tree, LEAVES))
    neighbours, _ = nearest(train.features, test.features, 5)
    for k in KNN_NEIGHBOURS:
        assert overall[f"fine_knn{k}"] == (vote(labels[neighbours[:, :k]]) == test_labels).sum()


@pytest.mark.parametrize(("noise", "expected"), [(0.0, 1), (9.0, 10)])
def test_images_are_searched_again_only_where_neighbours_lie_elsewhere(monkeypatch, noise, expected):
    """A call for all images, and at most one for each node: once they were one for each class and block."""
    calls = []

    def counted(base, queries, k):
        calls.append((len(base), len(queries)))
        return nearest(base, queries, k)

    monkeypatch.setattr(module, "nearest", counted)
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(len(LEAVES), 6, generator=random)
    labels = torch.arange(len(LEAVES)).repeat(8)
    noises = (noise * torch.randn(len(labels), 6, generator=random) for _ in range(2))
    train, test = (Features(centres[labels] + shift, labels) for shift in noises)
    inner_nodes = branches(Taxonomy.snapshot(), LEAVES)
    compare(train, test, inner_nodes)
    assert calls[0] == (len(labels), len(labels))
    assert len(calls) == expected <= len(inner_nodes) + 1
    assert sum(rows * queries for rows, queries in calls) <= 2 * len(labels) ** 2


def test_a_node_without_training_images_is_left_out(tree):
    train = Features(around([0, 180]), torch.tensor([0, 3]))
    test = Features(around([1, 90, 100, 175]), torch.tensor([0, 1, 2, 3]))
    table = scored(tree, CLASSES, train, test)
    assert table["node"].tolist() == ["entity", "animal"]
    assert table["fine_knn1"].round(1).tolist() == [50.0, 33.3]


def test_nodes_without_test_images_are_left_out(tree):
    train = Features(around([0, 90, 100, 180]), torch.tensor([0, 1, 2, 3]))
    test = Features(around([1, 175]), torch.tensor([0, 3]))
    table = scored(tree, CLASSES, train, test)
    assert table["node"].tolist() == ["entity", "animal"]
    assert table["images"].tolist() == [2, 1]
    assert table["fine_knn1"].tolist() == [100.0, 100.0]


def test_one_class_and_no_tree():
    train = Features(around([0, 90]), torch.tensor([0, 0]))
    (overall,) = compare(train, Features(around([5, 8, 9]), torch.tensor([0, 0, 0])), [])
    assert overall == dict.fromkeys(["images", *KNN_COLUMNS], 3)


def named(target: Target, classes: tuple[str, ...], test=slice(None)) -> Target:
    """*target* with other class names, and only some of its test images."""
    train = replace(target.train, classes=classes)
    rows, labels = target.test.rows[test], target.test.labels[test]
    return Target(target.pack, train, replace(target.test, rows=rows, labels=labels, classes=classes))


def test_the_evaluator_tells_colours_apart_and_leaves_its_nodes(tmp_path):
    net, target = build("small", 3, PIXELS, seed=0), named(world(7, 8), tuple(LEAVES[:7]))
    metrics = induction(spec("induction"), net, target, tmp_path, MACHINE)
    assert list(metrics) == ["accuracy", "top5", "strength", "knn1", "knn5", "chance"]
    assert metrics["accuracy"] > 80
    assert min(metrics["knn1"], metrics["knn5"]) > 80
    assert metrics["chance"] == pytest.approx(100 / 7)
    assert all(type(value) is float for value in metrics.values())
    table = pd.read_csv(tmp_path / "nodes.csv")
    assert list(table.columns) == COLUMNS
    assert table.loc[0, "images"] == 56
    assert table.loc[0, "fine_knn5"] == pytest.approx(metrics["knn5"])
    assert [path.name for path in tmp_path.iterdir()] == ["nodes.csv"]


@pytest.mark.parametrize("per_class", [False, True])
def test_the_evaluator_agrees_with_knn_and_probe(tmp_path, per_class):
    net, whole = build("small", 3, PIXELS, seed=0), world(6, 8, noise=70)
    kept = np.r_[0:32, 33:48:2]  # fewer images of some classes than of others
    target = replace(named(whole, whole.train.classes, test=kept), per_class=per_class)
    metrics = induction(spec("induction"), net, target, tmp_path, MACHINE)
    alone = knn(spec("knn"), net, target, tmp_path, MACHINE)
    alone |= probe(spec("probe"), net, target, tmp_path, MACHINE)
    assert {name: metrics[name] for name in alone} == alone
    assert metrics["chance"] == pytest.approx(100 / 6)


def test_classes_that_are_no_wnids_have_no_nodes(tmp_path):
    net, target = build("small", 3, PIXELS, seed=0), world(3, 4)
    metrics = induction(spec("induction"), net, target, tmp_path, MACHINE)
    assert metrics["chance"] == pytest.approx(100 / 3)
    table = pd.read_csv(tmp_path / "nodes.csv")
    assert list(table.columns) == COLUMNS
    assert table.empty


def test_classes_missing_from_the_test_split(tmp_path):
    target = world(7, 4)
    few = named(target, tuple(LEAVES[:7]), test=target.test.labels < 2)
    metrics = induction(spec("induction"), build("small", 7, PIXELS, seed=0), few, tmp_path, MACHINE)
    assert metrics["chance"] == pytest.approx(100 / 7)
    table = pd.read_csv(tmp_path / "nodes.csv")
    assert (table["images"] <= 8).all()
    assert np.isfinite(table.filter(regex="coarse|fine")).all(axis=None)


@pytest.mark.parametrize("net", ["small", "resnet18"])
@pytest.mark.parametrize("evaluate", [probe, knn, induction])
def test_every_buffer_and_weight_is_bit_identical_afterwards(tmp_path, net, evaluate):
    net, target = build(net, 3, PIXELS, seed=0).train(), named(world(3, 3), tuple(LEAVES[:3]))
    before = {name: value.numpy().tobytes() for name, value in net.state_dict().items()}
    assert any(name.endswith("num_batches_tracked") for name in before)
    evaluate(spec(evaluate.__name__), net, target, tmp_path, MACHINE)
    assert {name: value.numpy().tobytes() for name, value in net.state_dict().items()} == before
    assert all(weight.grad is None for weight in net.parameters())
