"""Frozen features: nothing of the net moves, and probe and k-NN tell apart what can be told."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from itl import ItlError
from itl.evaluation.frozen import extract, knn, probe, vote
from itl.evaluation.logistic_regression import L2_STRENGTHS
from itl.evaluation.target import CORRECT_FILE, Target, hold_out
from itl.machine import Machine
from itl.packs.subset import Selection
from itl.specs import Pretrain, Recipe, Subset, Transfer
from itl.training.batches import Batches
from itl.training.nets import build

torch.set_num_threads(1)  # scikit-learn, torch and other tests would fight over the cores
PIXELS = 32
MACHINE = Machine(threads=1)
RECIPE = Recipe(batch=16, pixels=PIXELS, precision="fp32")


def spec(method: str) -> Transfer:
    """The spec of one measurement on the world below."""
    return Transfer(Pretrain(Subset("a pack"), recipe=RECIPE), method, "colours", "a pack")


def world(classes: int, images_per_class: int, noise: float = 20.0, side: int = PIXELS) -> Target:
    """A target of *classes* colours; half of the images to learn from, half to be scored on."""
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(classes), 2 * images_per_class)
    colours = random.uniform(40, 215, (classes, 3))
    images = colours[labels][:, None, None] + random.normal(0, noise, (len(labels), side, side, 3))
    rows = np.split(np.arange(len(labels)), 2)
    names = tuple(f"colour {label}" for label in range(classes))
    pack = SimpleNamespace(images=images.clip(0, 255).astype(np.uint8))
    return Target(pack, *(Selection(part, labels[part], names) for part in rows))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_extract_moves_nothing(precision):
    net, target = build("resnet18", 3, PIXELS, seed=0).train(), world(3, 6)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert any("running_mean" in name for name in before)
    batches = Batches(target.pack, target.train, RECIPE, 0, MACHINE)
    features = extract(net, batches, MACHINE, precision)
    assert features.features.shape == (18, net.head.in_features)
    assert features.features.dtype == torch.float32
    assert features.labels.tolist() == target.train.labels.tolist()
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    again = extract(net, batches, MACHINE, precision)
    assert torch.equal(features.features, again.features)
    assert not features.features.requires_grad


def test_features_do_not_depend_on_the_company_in_the_batch():
    net, target = build("resnet18", 3, PIXELS, seed=0), world(3, 6)
    recipes = [Recipe(batch=batch, pixels=PIXELS) for batch in (18, 5)]
    batches = [Batches(target.pack, target.train, recipe, 0, MACHINE) for recipe in recipes]
    features = [extract(net, part, MACHINE, "fp32") for part in batches]
    torch.testing.assert_close(features[0].features, features[1].features, rtol=1e-4, atol=1e-5)


def test_a_diverged_net_is_refused():
    net, target = build("small", 3, PIXELS, seed=0), world(3, 2)
    with torch.no_grad():
        next(net.body.parameters()).fill_(torch.nan)
    with pytest.raises(ItlError, match="features of 6 of 6 images are not finite"):
        extract(net, Batches(target.pack, target.train, RECIPE, 0, MACHINE), MACHINE, "fp32")


def test_both_evaluators_tell_colours_apart(tmp_path):
    net, target = build("small", 7, PIXELS, seed=0), world(7, 8)
    metrics = probe(spec("probe"), net, target, tmp_path, MACHINE)
    assert list(metrics) == ["accuracy", "top5", "strength"]
    assert metrics["accuracy"] > 80
    assert metrics["top5"] > 95
    assert metrics["strength"] in L2_STRENGTHS
    assert metrics == probe(spec("probe"), net, target, tmp_path, MACHINE)
    assert 100 * np.load(tmp_path / CORRECT_FILE).mean() == pytest.approx(metrics["accuracy"])
    neighbours = knn(spec("knn"), net, target, tmp_path, MACHINE)
    assert list(neighbours) == ["knn1", "knn5"]
    assert min(neighbours.values()) > 80
    assert all(type(value) is float for value in [*metrics.values(), *neighbours.values()])
    assert 100 * np.load(tmp_path / CORRECT_FILE).mean() == pytest.approx(neighbours["knn5"])
    assert [path.name for path in tmp_path.iterdir()] == [CORRECT_FILE]


def test_neither_evaluator_learns_from_the_test_split(tmp_path):
    net, target = build("small", 3, PIXELS, seed=0), world(3, 8, noise=60)
    metrics = probe(spec("probe"), net, target, tmp_path, MACHINE)
    one = Selection(target.test.rows[:1], target.test.labels[:1], target.test.classes)
    alone = probe(spec("probe"), net, Target(target.pack, target.train, one), tmp_path, MACHINE)
    assert alone["strength"] == metrics["strength"]
    assert alone["accuracy"] in (0.0, 100.0)


def test_hold_out_takes_a_fifth_of_every_class():
    labels = np.repeat([0, 1, 2, 3], [10, 5, 2, 1])
    fitted, held = hold_out(labels, seed=0)
    assert np.bincount(labels[held], minlength=4).tolist() == [2, 1, 1, 0]
    assert sorted([*fitted, *held]) == list(range(18))
    assert hold_out(labels, seed=0)[1].tolist() == held.tolist()
    assert any(hold_out(labels, seed=seed)[1].tolist() != held.tolist() for seed in (1, 2, 3))


def test_a_probe_needs_two_images_of_some_class():
    with pytest.raises(ItlError, match="each of its 3 is the only one of its class"):
        hold_out(np.arange(3), seed=0)


def test_vote_by_hand():
    assert vote(torch.tensor([[1, 2, 2, 0, 0], [3, 1, 1, 1, 3], [5, 4, 3, 2, 1]])).tolist() == [2, 1, 5]
    assert vote(torch.tensor([[9], [4]])).tolist() == [9, 4]


def test_classes_are_those_of_the_training_split(tmp_path):
    net, target = build("small", 7, PIXELS, seed=0), world(7, 4)
    first = target.test.labels < 2
    few = Selection(target.test.rows[first], target.test.labels[first], target.test.classes)
    part = Target(target.pack, target.train, few)
    assert probe(spec("probe"), net, part, tmp_path, MACHINE).keys() >= {"accuracy", "top5"}
    assert knn(spec("knn"), net, part, tmp_path, MACHINE)["knn1"] > 50
