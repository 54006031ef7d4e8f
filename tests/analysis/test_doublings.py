"""Budgets: what a doubling of classes, or of the images of each, gives over a grid of designs."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from itl import ItlError
from itl.analysis.comparisons import contrasts, exchange
from itl.analysis.interim import failed_controls
from itl.analysis.task_values import task_values
from itl.analysis.verdicts import CANNOT_TELL, GAIN, SAME
from itl.runs.design import Comparison, Condition
from itl.runs.questions import CLASSES_DOUBLED, IMAGES_DOUBLED
from tests.analysis.test_comparisons import NOISE, PLAIN

GRID = ((40, 50), (20, 100), (10, 200), (40, 25), (20, 50))  # classes, and images of each


def grid(
    classes_give: float, images_give: float, noise: float = 0.3, designs: Sequence[tuple[int, int]] = GRID
) -> tuple[SimpleNamespace, pd.DataFrame]:
    """A budget question and results of a grid that lies on a plane: points for a doubling of each."""
    random, rows = np.random.default_rng(0), []
    for classes, images in designs:
        level = 30 + classes_give * np.log2(classes) + images_give * np.log2(images)
        for seed in range(5):
            value = level + noise * random.normal()
            rows.append(
                (f"{classes} × {images}", seed, "probe@x", "accuracy", classes, classes * images, value)
            )
    columns = ["design", "seed", "task", "metric", "classes", "images", "value"]
    conditions = tuple(Condition((("design", f"{classes} × {images}"),)) for classes, images in designs)
    doubled = Comparison((("design", IMAGES_DOUBLED),), (("design", CLASSES_DOUBLED),))
    study = SimpleNamespace(name="budget", conditions=conditions, comparisons=(doubled,), **PLAIN)
    return study, pd.DataFrame(rows, columns=columns)


def test_doublings_find_the_plane_that_made_the_grid():
    study, results = grid(2.0, 3.5, noise=0.0)
    row = exchange(study, results).iloc[0]
    assert (row[CLASSES_DOUBLED], row[IMAGES_DOUBLED], row["ratio"]) == pytest.approx((2, 3.5, 2 / 3.5))


def test_doublings_are_least_squares_over_all_designs():
    study, results = grid(2.0, 3.5)
    data = task_values(study, results, "probe@x")
    predictors = np.column_stack([np.ones(5), np.log2(data.sizes)])
    oracle = np.linalg.lstsq(predictors, data.values.mean(axis=0), rcond=None)[0]
    row = exchange(study, results).iloc[0]
    assert [row[CLASSES_DOUBLED], row[IMAGES_DOUBLED]] == pytest.approx(oracle[1:].tolist())
    assert row["low"] < 2 / 3.5 < row["high"]


def test_a_budget_is_answered_by_its_fit():
    study, results = grid(2.0, 3.5)
    table = contrasts(study, pd.concat([results, results.assign(task="own")]))
    assert table["task"].tolist() == ["probe@x"]
    assert table["compared"].tolist() == ["twice the images of each class instead of twice the classes"]
    assert table["change"].iloc[0] == pytest.approx(1.5, abs=0.3)
    assert table["verdict"].tolist() == [GAIN]


def test_a_budget_that_knows_the_untrained_net_can_say_the_same():
    study, results = grid(2.0, 2.0)
    none = Condition((("design", "none"),), trained=False)
    ends = Comparison((("design", "10 × 200"),), (("design", "40 × 50"),))
    study.conditions, study.comparisons = (none, *study.conditions), (*study.comparisons, ends)
    assert contrasts(study, results)["verdict"].tolist() == [CANNOT_TELL, CANNOT_TELL]
    untrained = pd.DataFrame({"seed": range(5), "value": 10.0 + NOISE[0]})
    untrained = untrained.assign(design="none", task="probe@x", metric="accuracy", classes=0, images=0)
    table = contrasts(study, pd.concat([results, untrained]))
    assert table["verdict"].tolist() == [SAME, SAME]
    assert failed_controls(study, pd.concat([results, untrained])) == []
    (line,) = failed_controls(study, pd.concat([results, untrained.assign(value=100.0)]))
    assert line.startswith("probe@x: a ceiling")
    first = results[results["design"] == "40 × 50"]
    (line,) = failed_controls(study, pd.concat([first, untrained.assign(value=first["value"].max())]))
    assert line.startswith("probe@x: the control fails"), "of one design, before the grid is whole"
    assert np.isnan(table["share"].iloc[0])
    assert table["share"].iloc[1] == pytest.approx(1, abs=0.03)


def test_a_pilot_of_doublings_looks_at_all_designs_as_the_main_comparison_does():
    """Designs of twice the images lie 4 points higher; the first of the smaller is 1 above the untrained."""
    study, results = grid(4.0, 4.0, designs=((40, 25), (20, 50), (40, 50), (20, 100)))
    none = Condition((("design", "none"),), trained=False)
    study.conditions = (none, *study.conditions)
    first = results[results["design"] == "40 × 25"]
    for added, says in ((-1.0, []), (1.5, ["probe@x: the control fails: pre-training itself gives +0."])):
        untrained = first.assign(design="none", classes=0, images=0, value=first["value"] + added)
        given = pd.concat([results, untrained])
        assert [line[: len(says[0])] for line in failed_controls(study, given)] == says
        control = contrasts(study, given)["control"].iloc[0]
        assert [f"probe@x: {control}"[: len(says[0])] for _ in says] == says
        assert bool(control) == bool(says)
        assert failed_controls(study, given[given["design"].isin(["none", "40 × 25"])])


def test_one_number_of_images_is_no_grid():
    study, results = grid(1.0, 1.0)
    with pytest.raises(ItlError, match="no results of designs with two numbers of images"):
        exchange(study, results[results["images"] == 2000])
