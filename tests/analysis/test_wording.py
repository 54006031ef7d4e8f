"""Results in words, exact."""

import doctest

import pandas as pd
import pytest

import itl.analysis.wording
from itl.analysis.comparisons import tabulate
from itl.analysis.statistics import paired
from itl.analysis.wording import (
    classes,
    condition_text,
    describe_change,
    detectable_text,
    index_entry,
    main_metric,
    metric_name,
    task_name,
)


def row(of: list[float], against: list[float]) -> pd.Series:
    """One row of contrasts."""
    return tabulate([("data-size", "few instead of many", "probe@x", "accuracy", paired(of, against))]).loc[0]


def test_a_change_in_words():
    change = row([51.0, 51.5, 53.0], [61.0, 62.5, 62.0])
    assert (
        describe_change(change)
        == "**−10.0 points** (95 % interval −12.5 to −7.5, 3 seeds): a loss beyond seed noise"
    )
    assert index_entry(change) == {"n": 3, "verdict": "a loss beyond seed noise"}
    assert describe_change(row([3.0], [1.0])) == "**+2.0 points** (1 seed): too few seeds to say"


def test_the_smallest_change_that_could_be_seen():
    change = row([51.0, 51.5, 53.0], [61.0, 62.5, 62.0])
    points = f"{change['detectable']:.1f}"
    assert detectable_text(change) == f"These seeds would have shown a change of {points} points or more."
    assert "is unknown" in detectable_text(row([3.0], [1.0]))


@pytest.mark.parametrize(
    ("of", "against", "words"),
    [
        ({"images_per_class": 25}, {"images_per_class": "all"}, "25 instead of all images per class"),
        ({"images_per_class": 25}, {"images_per_class": 0}, "25 images per class instead of no pre-training"),
        ({"label_set": "top-down@1"}, {"label_set": "original"}, "top-down@1 instead of original label set"),
        ({"label_set": "none"}, {"label_set": "chance"}, "no pre-training instead of chance"),
        (
            {"halves": "minimal", "pretrained_on": "A + B"},
            {"halves": "minimal", "pretrained_on": "A"},
            "A + B instead of A, minimal halves",
        ),
        (
            {"halves": "minimal", "pretrained_on": "A"},
            {"halves": "minimal", "pretrained_on": "none"},
            "A instead of no pre-training, minimal halves",
        ),
    ],
)
def test_conditions_in_words(of, against, words):
    assert condition_text(of, against) == words


def test_tasks_in_words():
    tasks = ("knn@x:5", "probe@x", "own", "detection@x", "actions@x")
    assert [main_metric(task) for task in tasks] == ["knn5", "accuracy", "accuracy", "map", "map"]
    assert [metric_name(task) for task in tasks[2:4]] == ["accuracy", "mean average precision"]
    assert task_name("own") == "own classes"
    assert task_name("probe@images/half-a") == "half-a classes of images, linear probe"


def test_classes_of_a_condition():
    results = pd.DataFrame({"label_set": ["bottom-up@5", "original"], "classes": [6, 40]})
    assert classes(results, {"label_set": "original"}) == 40


def test_examples_are_true():
    result = doctest.testmod(itl.analysis.wording)
    assert result.attempted == 9
    assert not result.failed
