"""Contrasts: exact on invented numbers, judged together, and silent about what is not there."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from itl import ItlError
from itl.analysis.comparisons import baselines, contrast, contrasts, doublings, exchange, readable, tabulate
from itl.analysis.statistics import paired
from itl.runs.question import Comparison, Condition
from itl.runs.questions import CLASSES_DOUBLED, IMAGES_DOUBLED
from itl.runs.study import first_against_last


def question(*counts, column: str = "images_per_class", **conditions) -> SimpleNamespace:
    """What contrasts look at of a question: its name, conditions and comparisons."""
    made = [Condition(((column, count),), trained=count not in (0, "none"), **conditions) for count in counts]
    pairs = first_against_last(made)
    return SimpleNamespace(name="data-size", conditions=tuple(made), comparisons=tuple(pairs))


def frame(rows: dict, column: str = "images_per_class", task: str = "probe@x") -> pd.DataFrame:
    """Results of one task: condition -> a value for each seed; invented, for tests only."""
    records = [(count, seed, value) for count, values in rows.items() for seed, value in enumerate(values)]
    table = pd.DataFrame(records, columns=[column, "seed", "value"])
    return table.assign(task=task, metric="accuracy")


def compare(results: pd.DataFrame):
    conditions = {"of": {"images_per_class": 25}, "against": {"images_per_class": 50}}
    return contrast(results, task="probe@x", metric="accuracy", **conditions)


@pytest.mark.parametrize(
    ("few", "many", "verdict"),
    [
        ([50, 51, 52], [55, 56, 57.5], "a loss beyond seed noise"),
        ([55, 56, 57.5], [50, 51, 52], "a gain beyond seed noise"),
        ([50, 51, 52], [51, 50, 52], "no difference beyond seed noise"),
        ([50, 51], [60, 61.5], "too few seeds to say"),
    ],
)
def test_verdict_follows_the_numbers(few, many, verdict):
    assert compare(frame({25: few, 50: many})).verdict == verdict


def test_contrast_pairs_by_seed_and_leaves_out_the_unpaired():
    results = frame({25: [50.0, 52.0, 99.0], 50: [51.0, 54.0]})
    assert (compare(results).n, compare(results).mean) == (2, -1.5)
    assert compare(results.sample(frac=1, random_state=0)) == compare(results)


def test_contrast_of_what_is_not_there():
    with pytest.raises(ItlError, match="no seed has accuracy"):
        compare(frame({50: [50.0]}))
    with pytest.raises(ItlError, match="no task in these results called 'knn@x'"):
        contrast(frame({25: [1.0]}), task="knn@x", metric="accuracy", of={}, against={})


def test_ends_leave_out_the_untrained():
    first, second = question(0, 25, 50, "all").comparisons
    assert (first.of, first.against) == ((("images_per_class", 25),), (("images_per_class", "all"),))
    assert (second.of, second.against) == ((("images_per_class", "all"),), (("images_per_class", 0),))
    assert [comparison.of for comparison in question(0, "all").comparisons] == [
        (("images_per_class", "all"),)
    ]
    assert question(25).comparisons == ()


def test_contrasts_hold_the_ends_and_against_none():
    table = contrasts(question(0, 25, "all"), frame({0: [10, 11, 12], 25: [20, 21, 23], "all": [30, 32, 33]}))
    assert table["change"].tolist() == pytest.approx([-31 / 3, 62 / 3])
    assert table["compared"].tolist() == [
        "25 instead of all images per class",
        "all images per class instead of no pre-training",
    ]
    assert table["p_holm"].tolist() == pytest.approx([max(table["p"]), 2 * min(table["p"])])
    assert table["verdict"].tolist() == ["a loss beyond seed noise", "a gain beyond seed noise"]
    alone = paired([20, 21, 23], [30, 32, 33])
    assert (table["boot_low"].iloc[0], table["boot_high"].iloc[0]) == (alone.boot_low, alone.boot_high)
    assert table["detectable"].iloc[0] > alone.detectable, "two need a clearer difference than one"


def test_contrasts_are_written_for_people():
    table = readable(contrasts(question(25, 50), frame({25: [20, 21, 23], 50: [30, 32, 33]})))
    row = table.iloc[0]
    assert (row["change"], row["95 % interval"], row["n"]) == ("−10.3", "−11.8 to −8.9", 3)
    assert row["p"] == row["p_holm"] == "0.001"
    alone = readable(contrasts(question(25, 50), frame({25: [1], 50: [2]}))).iloc[0]
    assert (alone["change"], alone["95 % interval"], alone["p"], alone["detectable"]) == ("−1.0", "", "", "")


def test_what_would_only_pass_alone_is_a_hint():
    rows = [
        ("q", "a instead of b", f"probe@{at}", "accuracy", paired([1.0, 2.1, 3.2], [3.0, 4.0, 6.0]))
        for at in range(4)
    ]
    alone, among = tabulate(rows[:1]), tabulate(rows)
    assert alone["verdict"].tolist() == ["a loss beyond seed noise"]
    assert among["verdict"].tolist() == ["a hint of a loss, not firm among 4 comparisons"] * 4
    assert among["p_holm"].tolist() == pytest.approx([4 * rows[0][-1].p] * 4)


def test_a_comparison_may_be_of_some_tasks_only():
    study = question(25, 50)
    study.comparisons = (Comparison(study.conditions[0].columns, study.conditions[1].columns, ("knn@x",)),)
    results = frame({25: [20, 21, 23], 50: [30, 32, 33]})
    both = pd.concat([results, results.assign(task="knn@x", metric="knn5")])
    assert contrasts(study, both)["task"].tolist() == ["knn@x"]


def test_what_the_target_gives_and_other_metrics_are_not_contrasted():
    results = frame({25: [20, 21, 23], 50: [30, 32, 33]})
    given = pd.concat([results, *(results.assign(metric=name) for name in ("recall", "chance", "top5"))])
    assert contrasts(question(25, 50), given)["metric"].tolist() == ["accuracy"]


def test_own_classes_are_compared_only_where_they_are_the_same():
    results = frame({25: [20, 21, 23], 50: [30, 32, 33]}, task="own")
    both = pd.concat([results, results.assign(task="probe@x")])
    assert contrasts(question(25, 50), both)["task"].tolist() == ["probe@x", "own"], "own comes last"
    halves = question(25, 50)
    halves.conditions[1].__dict__["labels"] = "half-minimal-a"
    assert contrasts(halves, both)["task"].tolist() == ["probe@x"]


def test_one_condition_or_one_seed_breaks_nothing():
    empty = contrasts(question(25), frame({25: [1, 2, 3]}))
    assert empty.empty
    assert "verdict" in empty
    single = contrasts(question(25, 50), frame({25: [1], 50: [2]}))
    assert single["verdict"].tolist() == ["too few seeds to say"]
    assert single["p_holm"].isna().all()
    assert contrasts(question(25, 50), frame({25: [1, 2]})).empty, "nothing to compare with yet"


def test_seeds_that_only_one_condition_has_are_left_out():
    table = contrasts(question(25, 50), frame({25: [1, 2, 4, 9], 50: [2, 4, 5]}))
    assert table["n"].tolist() == [3]


def test_baselines_hold_every_net_against_none_and_chance():
    values = {"none": [10, 11, 9], "bottom-up@5": [20, 22, 21], "original": [30, 31, 33]}
    study = question(*values, column="label_set")
    results = frame(values, column="label_set", task="induction@images")
    results = pd.concat([results, results.assign(metric="knn5"), results.assign(metric="chance", value=10.0)])
    table = baselines(study, results, "induction@images").query("metric == 'accuracy'")
    assert dict(zip(table["compared"], table["change"].round(2), strict=True)) == {
        "no pre-training instead of chance": 0.0,
        "bottom-up@5 label set instead of no pre-training": 11.0,
        "bottom-up@5 label set instead of chance": 11.0,
        "original label set instead of no pre-training": 21.33,
        "original label set instead of chance": 21.33,
    }
    assert table["verdict"].iloc[0] == "no difference beyond seed noise"


def grid(classes_give: float, images_give: list[float]) -> pd.DataFrame:
    """Results of a grid that lies on a plane: points for a doubling of classes, and of images by seed."""
    rows = [
        (
            f"{classes} × {images}",
            seed,
            "probe@x",
            "accuracy",
            classes,
            classes * images,
            30 + classes_give * np.log2(classes) + slope * np.log2(images),
        )
        for classes, images in ((40, 50), (20, 100), (10, 200), (40, 25), (20, 50))
        for seed, slope in enumerate(images_give)
    ]
    return pd.DataFrame(rows, columns=["design", "seed", "task", "metric", "classes", "images", "value"])


def test_doublings_find_the_plane_that_made_the_grid():
    fitted = doublings(grid(2.0, [3.0, 3.5, 4.0])).pivot(index="seed", columns="design", values="value")
    assert fitted[CLASSES_DOUBLED].tolist() == pytest.approx([2, 2, 2])
    assert fitted[IMAGES_DOUBLED].tolist() == pytest.approx([3, 3.5, 4])


def test_a_budget_is_answered_by_its_fit():
    doubled = Comparison((("design", IMAGES_DOUBLED),), (("design", CLASSES_DOUBLED),))
    study = SimpleNamespace(name="budget", conditions=(), comparisons=(doubled,))
    results = grid(2.0, [3.0, 3.5, 4.0])
    table = contrasts(study, pd.concat([results, results.assign(task="own")]))
    assert table["task"].tolist() == ["probe@x"]
    assert table["compared"].tolist() == ["twice the images of each class instead of twice the classes"]
    assert table["change"].iloc[0] == pytest.approx(1.5)
    row = exchange(results).iloc[0]
    assert (row[CLASSES_DOUBLED], row[IMAGES_DOUBLED]) == pytest.approx((2, 3.5))
    assert row["ratio"] == pytest.approx(2 / 3.5)
    assert row["low"] < row["ratio"] < row["high"]


def test_one_number_of_images_is_no_grid():
    with pytest.raises(ItlError, match="no seed has designs of two numbers of images"):
        doublings(grid(1.0, [1.0]).iloc[:3])
