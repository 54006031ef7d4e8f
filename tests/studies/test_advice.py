"""Advice judged on tasks that are left out: a world with a planted best option, and hand-computed losses."""

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from itl import ItlError
from itl.analysis.option_grid import Grid
from itl.hierarchy.taxonomy import Taxonomy
from itl.presets import load_preset
from itl.sources.synthetic.classes import DemoKinds
from studies import advice
from studies.advice import ADVICE, CEILING, EVERYTHING, KNN, NEAREST, PILOT_MEAN, losses
from tests.worlds import PRESETS

TASKS, OPTIONS, SEEDS, BEST = 3, 5, 8, 2


@pytest.fixture(scope="module")
def grid() -> Grid:
    """Every option on every task with eight seeds; option BEST is better than the next one by 6 points."""
    random = np.random.default_rng(0)
    means = np.array([20.0, 30.0, 38.0, 32.0, 31.0])
    rows = [
        (task, option, seed, means[option] + 5 * task + random.normal(0, 1))
        for task in range(TASKS)
        for option in range(OPTIONS)
        for seed in range(SEEDS)
    ]
    images = np.array([0, 100, 100, 400, 400])
    options = pd.DataFrame(
        {
            "option": [f"option {number}" for number in range(OPTIONS)],
            "trained": images > 0,
            "drawn": False,
            "one_net": False,
            "images": images,
            "classes": [0, 5, 10, 5, 10],
            "hours": np.where(images > 0, 1.0, 0.0),
        }
    )
    features = np.broadcast_to(np.array([-1.5, -0.5, 0.0, 0.5, 1.0])[None, :, None], (TASKS, OPTIONS, 1))
    table = pd.DataFrame(rows, columns=["task", "option", "seed", "value"])
    unknown = np.full((4, TASKS), math.nan)  # margins and images
    seeds = tuple(range(SEEDS))
    return Grid(("a", "b", "c"), options, features, table, np.full(TASKS, 0.1), *unknown, seeds)


def test_losses_by_hand():
    values = pd.DataFrame([[1.0, 2.0], [3.0, 6.0]], columns=["first", "second"])
    first, second = (losses(values, name, np.random.default_rng(0)) for name in values)
    assert (first["regret"], second["regret"]) == (4.0 - 2.0, 0.0)
    differences = np.array([1.0, 3.0])  # of each seed
    assert first["error"] == second["error"] == pytest.approx(differences.std(ddof=1) / math.sqrt(2))
    assert first["fair_regret"] == pytest.approx(2.0), "the second wins either way"


def test_the_planted_option_is_chosen_within_a_quarter_of_the_hours(grid):
    near = np.tile([math.nan, 0.9, 0.1, 0.9, 0.5], (TASKS, 1))
    quick = {(task, option, seed): option for task in range(TASKS) for option in range(5) for seed in (1, 2)}
    chosen, intervals = advice.validate(grid, 2, near, quick)
    options = chosen.groupby("method")["option"].unique()
    assert list(options[ADVICE]) == list(options[CEILING]) == list(options[PILOT_MEAN]) == [f"option {BEST}"]
    assert list(options[EVERYTHING]) == ["option 4"], "the most classes among those of the most images"
    assert list(options[NEAREST]) == ["option 3"], "of the nearest the one of the most images"
    assert list(options[KNN]) == ["option 4"]
    assert (chosen["cost"] <= 0.25).all()
    assert (chosen["nets"] <= 6).all(), "a quarter of 4 options × 6 seeds, trained and measured"
    table, coverage = advice.summary(chosen, intervals)
    table = table.set_index("method")
    assert table.loc[ADVICE, ["regret", "close", "fair_close"]].tolist() == [0.0, 1.0, 1.0]
    assert table.loc[EVERYTHING, "close"] == 0
    assert len(intervals) == 2 * TASKS * 4
    assert coverage > 0.7
    assert "means" in advice.written(chosen, intervals)


def test_rivals_that_lack_what_they_need_are_left_out(grid):
    chosen, _ = advice.validate(grid, 1)
    assert set(chosen["method"]) == {ADVICE, EVERYTHING, PILOT_MEAN, CEILING}


def test_one_task_cannot_be_left_out(grid):
    alone = replace(grid, measurements=grid.measurements[grid.measurements["task"] == 0])
    with pytest.raises(ItlError, match="with 8 seeds; 1 have: run more"):
        advice.validate(alone)


def test_the_seeds_of_a_pilot_do_not_judge(grid):
    """Of the two seeds that are left of eight the planted option is as bad as any."""
    for split in range(2):
        random = np.random.default_rng(split)
        measured = grid.measurements.copy()
        for task in range(TASKS):
            seen = random.permutation(SEEDS)[: advice.GRID_SEEDS]
            judging = (measured["task"] == task) & ~measured["seed"].isin(seen)
            measured.loc[judging & (measured["option"] == BEST), "value"] = 0.0
        chosen, _ = advice.validate(replace(grid, measurements=measured), split + 1)
        chosen = chosen[(chosen["split"] == split) & (chosen["task"] == "a")]
        chosen = chosen.set_index("method")
        assert chosen.loc[CEILING, "option"] == f"option {BEST}"
        assert chosen.loc[CEILING, "regret"] > 20


def test_tasks_of_several_presets_come_into_one_table(grid, monkeypatch):
    monkeypatch.setattr(
        advice, "validated", lambda preset, machine, splits, seen: advice.validate(grid, splits)
    )
    text = advice.main(".", ["one", "other"], splits=1)
    assert [name in text for name in ("one a", "other a", "other c")] == [True] * 3
    assert re.search(rf"{ADVICE} +{2 * TASKS} ", text)
    assert f"% of {2 * TASKS * (OPTIONS - 1)} means" in text


def test_intervals_are_for_other_tasks():
    low, high = advice.over_tasks(pd.Series([0.0, 0.0, 1.0, 1.0]))
    assert (low, high) == (0.0, 1.0), "all four draws from one half: probability 1/16"
    assert advice.over_tasks(pd.Series([0.5, 0.5])) == (0.5, 0.5)
    low, high = advice.over_tasks(pd.Series(np.arange(100.0)))
    assert 49.5 - low == pytest.approx(1.96 * 28.9 / 10, abs=0.4)
    assert high - 49.5 == pytest.approx(1.96 * 28.9 / 10, abs=0.4)


def test_the_targets_of_the_fourth_set_follow_the_rule():
    """Inner nodes with four leaves, none under another preset's target, and no smaller such node below."""
    tree, under = Taxonomy.snapshot(), {}
    for path in PRESETS:
        for target in load_preset(path).notebooks.get("10-advice", {}).get("targets", {}).values():
            nodes = (
                target["options"].get("under", DemoKinds.under) if target["source"] == "demo-kinds" else ""
            )
            under.setdefault(path.stem, []).extend(filter(None, nodes.split(",")))
    fourth = set(under.pop("my-task-fourth"))
    others = {leaf for nodes in under.values() for node in nodes for leaf in tree.leaves_under(node)}
    inner = {node for leaf in tree.leaves for node in tree.path(leaf)[1:]}
    leaves = {node: set(tree.leaves_under(node)) for node in inner}
    fit = {node for node in inner if len(leaves[node]) >= 4 and leaves[node].isdisjoint(others)}
    above = {node for other in fit for node in tree.path(other)[1:]}
    assert fourth == fit - above
