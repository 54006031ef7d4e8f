"""A net looked at closely, on a tree that can be drawn and features on a circle."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from itl import ItlError
from itl.evaluation.accuracy import accuracy
from itl.evaluation.frozen import knn
from itl.evaluation.inspect_net import Inspection, inspect_own, inspect_target, spread
from itl.packs.subset import Selection
from itl.specs import Pretrain, Subset
from itl.training.batches import Batches
from itl.training.loop import predict
from itl.training.nets import build
from tests.evaluation.test_frozen import MACHINE, PIXELS, RECIPE, spec, world
from tests.evaluation.test_induction import around

CLASSES = ("car", "husky", "poodle", "trout")
CAR, HUSKY, POODLE, TROUT = range(4)
#         image 0      1       2       3      4    5
LABELS = [HUSKY, HUSKY, POODLE, TROUT, CAR, CAR]
TAKEN = [HUSKY, POODLE, TROUT, TROUT, CAR, HUSKY]
CONFIDENCE = [0.9, 0.5, 0.8, 0.7, 0.6, 0.4]


@pytest.fixture
def inspection(tree) -> Inspection:
    wnids = [CLASSES[label] for label in LABELS] + ["husky", "trout"]
    pack = SimpleNamespace(table=pd.DataFrame({"image": [f"image {row}" for row in range(8)], "wnid": wnids}))
    return Inspection(
        pack=pack,
        tree=tree,
        images=Selection(np.arange(6), np.array(LABELS), CLASSES),
        train=Selection(np.array([6, 7]), np.array([HUSKY, TROUT]), CLASSES),
        features=around([0, 10, 80, 90, 200, 30]),
        train_features=around([5, 85]),
        predicted=np.array(TAKEN),
        confidence=np.array(CONFIDENCE),
        available=6,
        train_available=2,
    )


def test_wrong_images_of_a_node_the_most_confident_first(inspection):
    assert inspection.wrong()["image"].tolist() == ["image 2", "image 1", "image 5"]
    dogs = inspection.wrong("dog")
    assert dogs[["image", "label", "predicted", "confidence"]].to_numpy().tolist() == [
        ["image 2", "poodle", "trout", 0.8],
        ["image 1", "husky", "poodle", 0.5],
    ]
    assert inspection.wrong("pet")["image"].tolist() == ["image 2"]  # a poodle is a pet, by its other path
    assert inspection.wrong("fish").empty


def test_a_node_without_images_is_refused(inspection):
    says = r"none of the 6 images is under cat \(no node of the tree\); .* lists 10 nodes"
    with pytest.raises(ItlError, match=says):
        inspection.wrong("cat")
    dogs = Selection(np.arange(3), np.array(LABELS[:3]), CLASSES)
    dogs_alone = replace(inspection, images=dogs, predicted=inspection.predicted[:3], confidence=np.ones(3))
    says = r"none of the 3 images is under vehicle \(vehicle\); .* lists 6 nodes"
    with pytest.raises(ItlError, match=says):
        dogs_alone.wrong("vehicle")


def test_nodes_count_images_and_errors_in_the_order_of_the_tree(inspection):
    table = inspection.nodes
    assert table[["node", "depth", "images", "wrong"]].to_numpy().tolist() == [
        ["entity", 0, 6, 3],
        ["animal", 1, 4, 2],
        ["dog", 2, 3, 2],
        ["husky", 3, 2, 1],
        ["poodle", 3, 1, 1],
        ["fish", 2, 1, 0],
        ["trout", 3, 1, 0],
        ["pet", 2, 1, 1],
        ["vehicle", 1, 2, 1],
        ["car", 2, 2, 1],
    ]
    assert table.set_index("node")["accuracy"]["dog"] == pytest.approx(100 / 3)


def test_classes_outside_the_tree_are_nodes_of_their_own(inspection, tree):
    wnids = ["kitchen"] * 3 + ["husky"] * 5
    pack = SimpleNamespace(table=inspection.pack.table.assign(wnid=wnids))
    other = replace(inspection, pack=pack)
    assert other.nodes["node"].tolist()[-1] == "kitchen"
    assert len(other.wrong("kitchen")) == 2
    assert other.name("kitchen") == "kitchen"


def test_neighbours_are_training_images_by_cosine(inspection):
    table = inspection.neighbours(1)
    assert table["image"].tolist() == ["image 6", "image 7"]
    assert table["label"].tolist() == ["husky", "trout"]
    assert table["similarity"].tolist() == pytest.approx(
        [math.cos(math.radians(5)), math.cos(math.radians(75))]
    )
    with pytest.raises(ItlError, match="no image number 6; they run from 0 to 5"):
        inspection.neighbours(6)


def test_the_map_is_the_features_turned(inspection):
    flat = inspection.positions
    assert flat.shape == (6, 2)
    distances = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    features = inspection.features.double().numpy()
    assert np.allclose(distances, np.linalg.norm(features[:, None] - features[None], axis=2), atol=1e-6)
    assert flat[:, 0].var() > flat[:, 1].var()


def test_confusion_by_node(inspection):
    top = inspection.confusion()
    assert top.to_dict("index") == {
        "animal": {"animal": 4, "vehicle": 0},
        "vehicle": {"animal": 1, "vehicle": 1},
    }
    animals = inspection.confusion("animal")
    assert animals.to_dict("index") == {"dog": {"dog": 2, "fish": 1}, "fish": {"dog": 0, "fish": 1}}
    dogs = inspection.confusion("dog")
    assert dogs.columns.tolist() == ["husky", "poodle", "elsewhere"]
    assert dogs.loc["poodle"].tolist() == [0, 0, 1]
    assert inspection.confusion("vehicle").to_dict("index") == {"car": {"car": 1, "husky": 1}}
    assert inspection.confusion("pet").to_dict("index") == {"poodle": {"trout": 1}}, "by its other path"


def test_confusion_under_a_node_with_one_child_is_that_of_the_branch_below(inspection):
    images = Selection(np.arange(4), np.array([0, 0, 1, 2]), CLASSES[1:])  # no car
    other = replace(inspection, images=images, predicted=np.array([0, 1, 2, 2]))
    assert other.confusion("entity").to_dict("index") == other.confusion("animal").to_dict("index")
    assert other.confusion("animal").to_dict("index") == {
        "dog": {"dog": 2, "fish": 1},
        "fish": {"dog": 0, "fish": 1},
    }


def test_spread_keeps_evenly(tree):
    selection = Selection(np.arange(10, 20), np.arange(10), tuple("abcdefghij"))
    assert spread(selection, 4).rows.tolist() == [10, 13, 16, 19]
    assert spread(selection, 10) is selection


ROWS = range(112)
TABLE = pd.DataFrame({"image": [str(row) for row in ROWS], "wnid": [f"colour {row % 7}" for row in ROWS]})


def test_a_target_is_judged_as_k_nn_judges_it(tree, tmp_path):
    net, target = build("small", 7, PIXELS, seed=0), world(7, 8, noise=60.0)
    target.pack.table = TABLE
    inspected = inspect_target(net, spec("knn").pretrain, target, tree, MACHINE)
    wanted = knn(spec("knn"), net, target, tmp_path, MACHINE)["knn5"]
    assert 100 * inspected.table["correct"].mean() == pytest.approx(wanted)
    assert set(inspected.confidence) <= {0.2, 0.4, 0.6, 0.8, 1.0}
    assert inspected.available == 56
    assert len(inspect_target(net, spec("knn").pretrain, target, tree, MACHINE, limit=20).table) == 20


def test_own_classes_are_judged_by_the_head(tree, monkeypatch):
    net, target = build("small", 7, PIXELS, seed=0), world(7, 8)
    target.pack.table = TABLE.assign(split=["train"] * 56 + ["val"] * 56)
    target.pack.summary, target.pack.folder = {"splits": {"train": 56, "val": 56}}, "colours"
    inspected = inspect_own(net, Pretrain(Subset("a pack"), recipe=RECIPE), target.pack, tree, MACHINE)
    outputs, labels = predict(net, Batches(target.pack, target.test, RECIPE, 0, MACHINE), MACHINE)
    assert 100 * inspected.table["correct"].mean() == pytest.approx(accuracy(outputs, labels))
    assert np.allclose(inspected.confidence, outputs.softmax(1).max(1).values.numpy(), atol=1e-5)
