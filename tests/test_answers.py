"""Sentences and contrasts: exact on invented numbers, and silent about none."""

from types import SimpleNamespace

import pandas as pd
import pytest

from itl.answers import compared, contrasts, extremes, main_metric, said, tabulate
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
    assert [main_metric(task) for task in ("knn@x", "probe@x", "own")] == ["knn5", "accuracy", "accuracy"]


def test_ends_leave_out_the_untrained():
    assert extremes(question(0, 25, 50, "all")) == ({"images_per_class": 25}, {"images_per_class": "all"})


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
