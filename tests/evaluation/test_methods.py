"""Transfer methods: each stands in one table, and another one is an entry and an evaluator."""

from inspect import signature

import pytest

from itl import ItlError
from itl.analysis.wording import task_name
from itl.evaluation.methods import METHODS, Method
from itl.evaluation.target import Target
from itl.machine import Machine
from itl.runs.perform import perform
from itl.runs.store import Store
from itl.specs import Pretrain, Recipe, Subset, Transfer
from itl.training.nets import Classifier
from tests.worlds import FOUR, here, small_study


@pytest.mark.parametrize("name", METHODS)
def test_every_evaluator_is_there_and_takes_the_same(name):
    assert list(signature(METHODS[name].load()).parameters) == ["spec", "net", "target", "folder", "machine"]


def test_a_recipe_that_would_not_be_used_is_refused(tmp_path):
    spec = Transfer(Pretrain(Subset("p")), "knn", "scenes", "q", recipe=Recipe())
    with pytest.raises(ItlError, match="knn keeps the net frozen and uses no recipe; .*; leave it out"):
        perform(spec, Store(tmp_path), here(tmp_path))


def test_a_method_trains_or_says_what_frozen_features_cost():
    assert all((method.recipe is None) == bool(method.cost) for method in METHODS.values())


# A method of a user's own, whole: what is below and nothing elsewhere.


def majority(spec: Transfer, net: Classifier, target: Target, folder: object, machine: Machine) -> dict:
    """Score always saying the class that most training images have; the net is not asked."""
    labels = list(target.train.labels)
    guess = max(set(labels), key=labels.count)
    return {"accuracy": 100 * float((target.test.labels == guess).mean())}


def test_a_method_is_one_entry_and_one_evaluator(tmp_path, monkeypatch, rated):
    method = Method(f"{__name__}:majority", "always the largest class", "accuracy", cost=("compare",))
    monkeypatch.setitem(METHODS, "majority", method)
    machine, store = here(tmp_path), Store(tmp_path / "runs")
    question = small_study(**FOUR, tasks=["majority@scenes"], seeds=[0])
    question.prepare(machine)
    assert set(question.plan(store, machine)["kind"]) == {"pack", "pretrain", "majority"}
    for run in question.runs(machine):
        perform(run.spec, store, machine)
    assert task_name("majority@scenes") == "scenes, always the largest class"
    row = question.results(store, machine).query("method == 'majority'").iloc[0]
    assert (row["task"], row["metric"], row["value"]) == (
        "majority@scenes",
        "accuracy",
        pytest.approx(100 / 3),
    )
