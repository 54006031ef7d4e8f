"""Frozen features: nothing of the net moves, and probe and k-NN find what scikit-learn finds."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from itl import ItlError
from itl.config import Machine, Pretrain, Recipe, Subset, Transfer
from itl.data.batches import Batches
from itl.data.subset import Selection
from itl.learn.models import build
from itl.transfer.frozen import (
    STRENGTHS,
    Features,
    choose_strength,
    extract,
    fit_linear,
    knn,
    nearest,
    probe,
    vote,
)
from itl.transfer.target import Target, hold_out

torch.set_num_threads(1)     # scikit-learn, torch and other tests would fight over the cores
PIXELS = 32
MACHINE = Machine(threads=1)
RECIPE = Recipe(batch=16, pixels=PIXELS, precision="fp32")


def spec(method: str) -> Transfer:
    """The spec of one measurement on the world below."""
    return Transfer(Pretrain(Subset("a pack"), recipe=RECIPE), method, "colours", "a pack")


def world(classes: int, images_per_class: int, noise: float = 20.0) -> Target:
    """A target of *classes* colours; half of the images to learn from, half to be scored on."""
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(classes), 2 * images_per_class)
    colours = random.uniform(40, 215, (classes, 3))
    images = colours[labels][:, None, None] + random.normal(0, noise, (len(labels), PIXELS, PIXELS, 3))
    rows = np.split(np.arange(len(labels)), 2)
    names = tuple(f"colour {label}" for label in range(classes))
    pack = SimpleNamespace(images=images.clip(0, 255).astype(np.uint8))
    return Target(pack, *(Selection(part, labels[part], names) for part in rows))


def gaussians(rows: int, width: int, classes: int, spread: float = 0.4) -> Features:
    """Features of overlapping classes, each of its own scale and offset, as nets make them."""
    random = np.random.default_rng(1)
    labels = random.permutation(np.arange(rows) % classes)
    features = spread * random.normal(size=(classes, width))[labels] + random.normal(size=(rows, width))
    features = features * random.uniform(0.01, 30, width) + random.normal(0, 50, width)
    return Features(torch.tensor(features, dtype=torch.float32), torch.tensor(labels))


def apart(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit on and to choose by."""
    return hold_out(features.labels.numpy(), seed=0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_extract_moves_nothing(precision):
    net, target = build("resnet18", 3, PIXELS, seed=0).train(), world(3, 6)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert any("running_mean" in name for name in before)
    batches = Batches(target.pack, target.train, RECIPE, 0, MACHINE)
    found = extract(net, batches, MACHINE, precision)
    assert found.features.shape == (18, net.head.in_features)
    assert found.features.dtype == torch.float32
    assert found.labels.tolist() == target.train.labels.tolist()
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    again = extract(net, batches, MACHINE, precision)
    assert torch.equal(found.features, again.features)
    assert not found.features.requires_grad


def test_features_do_not_depend_on_the_company_in_the_batch():
    net, target = build("resnet18", 3, PIXELS, seed=0), world(3, 6)
    recipes = [Recipe(batch=batch, pixels=PIXELS) for batch in (18, 5)]
    batches = [Batches(target.pack, target.train, recipe, 0, MACHINE) for recipe in recipes]
    found = [extract(net, each, MACHINE, "fp32") for each in batches]
    torch.testing.assert_close(found[0].features, found[1].features, rtol=1e-4, atol=1e-5)


def test_a_diverged_net_is_refused():
    net, target = build("small", 3, PIXELS, seed=0), world(3, 2)
    with torch.no_grad():
        next(net.body.parameters()).fill_(torch.nan)
    with pytest.raises(ItlError, match="features of 6 of 6 images are not finite"):
        extract(net, Batches(target.pack, target.train, RECIPE, 0, MACHINE), MACHINE, "fp32")


def test_both_evaluators_tell_colours_apart(tmp_path):
    net, target = build("small", 7, PIXELS, seed=0), world(7, 8)
    found = probe(spec("probe"), net, target, tmp_path, MACHINE)
    assert list(found) == ["accuracy", "top5", "strength"]
    assert found["accuracy"] > 80
    assert found["top5"] > 95
    assert found["strength"] in STRENGTHS
    assert found == probe(spec("probe"), net, target, tmp_path, MACHINE)
    neighbours = knn(spec("knn"), net, target, tmp_path, MACHINE)
    assert list(neighbours) == ["knn1", "knn5"]
    assert min(neighbours.values()) > 80
    assert all(type(value) is float for value in [*found.values(), *neighbours.values()])
    assert not any(tmp_path.iterdir())


def test_neither_evaluator_learns_from_the_test_split(tmp_path):
    net, target = build("small", 3, PIXELS, seed=0), world(3, 8, noise=60)
    found = probe(spec("probe"), net, target, tmp_path, MACHINE)
    one = Selection(target.test.rows[:1], target.test.labels[:1], target.test.classes)
    alone = probe(spec("probe"), net, Target(target.pack, target.train, one), tmp_path, MACHINE)
    assert alone["strength"] == found["strength"]
    assert alone["accuracy"] in (0.0, 100.0)


def objective(model, train: Features, strength: float) -> float:
    """What the probe minimises, in float64, for weights and bias in standardised features."""
    features = train.features.double().numpy()
    wide = (features - features.mean(0)) / features.std(0)
    outputs = wide @ np.asarray(model[0], float).T + np.asarray(model[1], float)
    outputs -= outputs.max(1, keepdims=True)
    right = outputs[np.arange(len(wide)), train.labels.numpy()] - np.log(np.exp(outputs).sum(1))
    return -right.mean() + strength / 2 * np.square(np.asarray(model[0], float)).sum()


@pytest.mark.parametrize(("classes", "strength"), [(2, 1e-2), (6, 1.0), (6, 1e-2), (6, 1e-4)])
def test_fit_linear_reaches_scikit_learns_optimum(classes, strength):
    train = gaussians(400, 40, classes)
    mine = fit_linear(train, classes, strength)
    features = train.features.double().numpy()
    wide = (features - features.mean(0)) / features.std(0)
    oracle = LogisticRegression(C=1 / (strength * len(wide)), tol=1e-10, max_iter=10_000)
    if classes == 2:                        # scikit-learn's binary form penalises half of what two rows pay
        oracle.set_params(C=2 / (strength * len(wide)))
    oracle.fit(wide, train.labels.numpy())
    coefficients, intercept = found = oracle.coef_, oracle.intercept_
    if classes == 2:
        coefficients, intercept = (np.concatenate([-part / 2, part / 2]) for part in found)
    best = objective((coefficients, intercept), train, strength)
    assert objective((mine.weights, mine.bias), train, strength) - best == pytest.approx(0, abs=1e-6)
    predicted = mine(train.features).argmax(1).numpy()
    assert np.mean(predicted == oracle.predict(wide)) >= 0.995


def test_fit_linear_ends_where_it_would_have_from_zero():
    train = gaussians(200, 20, 4)
    start = fit_linear(train, 4, 1.0)
    cold, warm = fit_linear(train, 4, 1e-2), fit_linear(train, 4, 1e-2, start)
    torch.testing.assert_close(cold.weights, warm.weights, atol=2e-3, rtol=0)
    assert start.strength == 1.0


def test_dead_and_constant_features_are_harmless():
    train = gaussians(100, 5, 3)
    still = torch.stack([torch.zeros(100), torch.full((100,), 0.1), torch.full((100,), 1e6)], 1)
    plain, padded = (fit_linear(Features(each, train.labels), 3, 0.1)
                     for each in (train.features, torch.cat([train.features, still], 1)))
    assert torch.isfinite(padded.weights).all()
    torch.testing.assert_close(padded.weights[:, :5], plain.weights, atol=1e-3, rtol=0)
    assert padded.weights[:, 5:].abs().max() < 1e-3


def test_strength_is_chosen_for_held_out_images():
    noisy, clear = gaussians(120, 60, 3, spread=0.15), gaussians(3000, 10, 3, spread=0.6)
    classify = choose_strength(noisy, 3, *apart(noisy))
    assert classify.strength > choose_strength(clear, 3, *apart(clear)).strength
    assert classify.strength == choose_strength(noisy, 3, *apart(noisy)).strength
    refit = fit_linear(noisy, 3, classify.strength)
    assert torch.equal(classify.weights, refit.weights)     # on all of the training split


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


@pytest.mark.parametrize("block", [(1, 1), (7, 3), (64, 40), (2048, 4096)])
def test_nearest_is_scikit_learns_brute_force_in_any_blocks(block):
    random = torch.Generator().manual_seed(0)
    base, queries = torch.randn(150, 12, generator=random), torch.randn(70, 12, generator=random)
    rows, similarities = nearest(base, queries, 5, block=block)
    oracle = NearestNeighbors(metric="cosine", algorithm="brute").fit(base.numpy())
    distances, neighbours = oracle.kneighbors(queries.numpy(), 5)
    assert rows.tolist() == neighbours.tolist()
    np.testing.assert_allclose(similarities, 1 - distances, atol=1e-6)


@pytest.mark.parametrize("block", [(1, 1), (2, 3), (5, 4), (8, 100)])
def test_of_equal_neighbours_the_lower_row_is_nearer(block):
    random = torch.Generator().manual_seed(0)
    base = torch.eye(4)[torch.randint(0, 4, (40,), generator=random)]
    base *= torch.tensor([1.0, 2, 4, 8]).repeat(10)[:, None]
    rows, similarities = nearest(base, torch.eye(4), 12, block=block)
    exact = (base / base.norm(dim=1, keepdim=True)).T
    assert torch.equal(rows, exact.sort(dim=1, descending=True, stable=True).indices[:, :12])
    assert set(similarities.unique().tolist()) == {0.0, 1.0}


def test_zero_and_huge_vectors_have_a_place():
    base = torch.tensor([[0.0, 0.0], [-1e30, 0.0], [1e30, 1e30], [1e-30, 0.0]])
    rows, similarities = nearest(base, torch.tensor([[1.0, 0.0], [0.0, 0.0]]), 4)
    assert rows.tolist() == [[3, 2, 0, 1], [0, 1, 2, 3]]
    assert similarities[0].tolist() == pytest.approx([1.0, 0.5**0.5, 0.0, -1.0])
    assert similarities[1].tolist() == [0.0] * 4


def test_more_neighbours_than_images_are_refused():
    with pytest.raises(ItlError, match="5 neighbours were asked for among 4 training images"):
        nearest(torch.eye(4), torch.eye(4), 5)


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
