"""Sentences and contrasts: exact on invented numbers, and silent about none."""

from types import SimpleNamespace

import pandas as pd
import pytest

from itl.answers import (
    baselines,
    classes,
    compared,
    contrasts,
    extremes,
    main_metric,
    measure,
    said,
    tabulate,
)
from itl.question import Condition
from itl.statistics import paired


def question(*counts) -> SimpleNamespace:
    """What contrasts look at of a question: its name and conditions."""
    conditions = [Condition((("images_per_class", count),), trained=count != 0) for count in counts]
    return SimpleNamespace(name="data-size", conditions=tuple(conditions))


def frame(rows: dict) -> pd.DataFrame:
    """Results of one task: images per class -> a value for each seed; invented, for tests only."""
    told = [(count, seed, value) for count, values in rows.items() for seed, value in enumerate(values)]
    table = pd.DataFrame(told, columns=["images_per_class", "seed", "value"])
    return table.assign(task="probe@x", metric="accuracy")


def test_a_change_in_words():
    change = paired([51.0, 51.5, 53.0], [61.0, 62.5, 62.0])
    assert said(change) == "**−10.0 points** (95 % interval −12.5 to −7.5, 3 seeds): a loss beyond seed noise"
    assert said(paired([3.0], [1.0])) == "**+2.0 points** (1 seed): too few seeds to say"


def test_conditions_in_words():
    few, many = {"images_per_class": 25}, {"images_per_class": "all"}
    assert compared(few, many) == "25 instead of all images per class"
    assert compared(few, {"images_per_class": 0}) == "25 images per class instead of no pre-training"
    tasks = ("knn@x:5", "probe@x", "own", "detection@x", "actions@x")
    assert [main_metric(task) for task in tasks] == ["knn5", "accuracy", "accuracy", "map", "map"]
    assert [measure(task) for task in tasks[2:4]] == ["accuracy", "mean average precision"]


def test_ends_leave_out_the_untrained():
    assert extremes(question(0, 25, 50, "all")) == ({"images_per_class": 25}, {"images_per_class": "all"})


def test_a_single_trained_condition_is_held_against_none():
    assert extremes(question(0, "all")) == ({"images_per_class": "all"}, {"images_per_class": 0})
    assert extremes(question(25)) == ({"images_per_class": 25}, {"images_per_class": 25})
    table = tabulate(contrasts(question(0, "all"), frame({0: [10, 11, 12], "all": [30, 32, 33]})))
    assert table["compared"].tolist() == ["all images per class instead of no pre-training"]


def test_what_the_target_gives_is_not_contrasted():
    results = frame({25: [20, 21, 23], 50: [30, 32, 33]})
    given = pd.concat([results, results.assign(metric="recall"), results.assign(metric="chance")])
    assert tabulate(contrasts(question(25, 50), given))["metric"].tolist() == ["accuracy"]


def test_contrasts_hold_the_ends_and_against_none():
    results = frame({0: [10, 11, 12], 25: [20, 21, 23], "all": [30, 32, 33]})
    table = tabulate(contrasts(question(0, 25, "all"), results))
    assert table["metric"].tolist() == ["accuracy", "accuracy"]
    assert table["change"].tolist() == pytest.approx([-31 / 3, 62 / 3])
    assert table["compared"].tolist() == [
        "25 instead of all images per class", "all images per class instead of no pre-training"
    ]
    assert (table["p_holm"] >= table["p"]).all()
    assert table["verdict"].tolist() == ["a loss beyond seed noise", "a gain beyond seed noise"]


def test_one_condition_or_one_seed_breaks_nothing():
    assert tabulate(contrasts(question(25), frame({25: [1, 2, 3]}))).empty
    single = tabulate(contrasts(question(25, 50), frame({25: [1], 50: [2]})))
    assert single["verdict"].tolist() == ["too few seeds to say"]
    assert single["p_holm"].isna().all()


def test_seeds_that_only_one_condition_has_are_left_out():
    table = tabulate(contrasts(question(25, 50), frame({25: [1, 2, 4, 9], 50: [2, 4, 5]})))
    assert table["n"].tolist() == [3]


def induction(values: dict) -> tuple[SimpleNamespace, pd.DataFrame]:
    """A question of label sets and its results: label set -> accuracy for each seed; chance is 10."""
    conditions = [Condition((("label_set", name),), trained=name != "none") for name in values]
    rows = [(name, number, seed, metric, value if metric != "chance" else 10.0)
            for number, (name, told) in enumerate(values.items())
            for seed, value in enumerate(told) for metric in ("accuracy", "knn5", "chance")]
    table = pd.DataFrame(rows, columns=["label_set", "classes", "seed", "metric", "value"])
    asked = SimpleNamespace(name="granularity", conditions=tuple(conditions))
    return asked, table.assign(task="induction@images")


def test_chance_is_a_level_and_not_a_contrast():
    asked, results = induction({"none": [12, 13, 11], "bottom-up@5": [20, 22, 21], "original": [30, 31, 33]})
    table = tabulate(contrasts(asked, results))
    assert sorted(set(table["metric"])) == ["accuracy", "knn5"]
    assert set(table["compared"]) == {
        "bottom-up@5 instead of original label set", "original label set instead of no pre-training",
    }


def test_own_classes_are_compared_only_where_they_are_as_many():
    asked, results = induction({"bottom-up@5": [20, 22, 21], "original": [30, 31, 33]})
    both = pd.concat([results, results.assign(task="own")])
    assert set(tabulate(contrasts(asked, both))["task"]) == {"induction@images"}
    assert set(tabulate(contrasts(asked, both.assign(classes=40)))["task"]) == {"own", "induction@images"}


def test_baselines_hold_every_net_against_none_and_chance():
    asked, results = induction({"none": [10, 11, 9], "bottom-up@5": [20, 22, 21], "original": [30, 31, 33]})
    table = tabulate(baselines(asked, results, "induction@images")).query("metric == 'accuracy'")
    assert dict(zip(table["compared"], table["change"].round(2), strict=True)) == {
        "no pre-training instead of chance": 0.0,
        "bottom-up@5 label set instead of no pre-training": 11.0,
        "bottom-up@5 label set instead of chance": 11.0,
        "original label set instead of no pre-training": 21.33,
        "original label set instead of chance": 21.33,
    }
    assert table["verdict"].iloc[0] == "no difference beyond seed noise"
    assert set(table["verdict"].iloc[1:]) == {"a gain beyond seed noise"}
    assert classes(results, {"label_set": "original"}) == 2
