"""How good advice is on tasks that are left out: `python -m itl.bench.advice HOME PRESET [SPLITS]`.

PRESET's question of advice is measured whole in the store of HOME. Each task in turn is hidden but for a
pilot, whose nets the method itself chooses one by one until they have taken a quarter of the time of a grid
of GRID_SEEDS seeds on this task, trainings counted, as if no net were there. The seeds are split at random:
pilots and other tasks have SEEN of them, and what was chosen is judged by all others. No method can do much
better than the whole grid of the seen seeds, which takes a third of that time: the noise of nets is in it.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from itl import ItlError
from itl.analysis.advice import PILOT_SHARE, next_experiment, quantile
from itl.analysis.comparisons import task_values
from itl.analysis.expected_scores import Parameters, Posterior, fit
from itl.analysis.option_grid import Grid, grid_of, nearness
from itl.machine import Machine
from itl.presets import load_preset
from itl.runs.questions import questions_of
from itl.runs.store import Store
from itl.runs.task_questions import Scores, score_task

ADVICE, EVERYTHING, NEAREST = "advice", "everything", "the nearest classes"
KNN, PILOT_MEAN = "5 neighbours, one net of each option", "the best mean of an even pilot"
CEILING = "the best mean of the whole grid of these seeds"
SPLITS = 4
SEEN = 2  # seeds before the choice
GRID_SEEDS = 6  # of the grid whose hours are counted
CLOSE = 1.0  # points: a choice that loses less is as good as the best


@dataclass(frozen=True)
class Judge:
    """The values (seeds, options) that choices on a task are judged by; none of them was seen before."""

    values: np.ndarray

    def regret(self, choice: int) -> float:
        """Return by how much *choice* is behind the option of the highest mean, in points.

        The highest of noisy means is too high, so this is too large: the best option would show some too.
        """
        means = self.values.mean(0)
        return float(means.max() - means[choice])

    @property
    def error(self) -> float:
        """Standard error of the difference between the means of two options, in points; seeds are pairs."""
        seeds, options = self.values.shape
        apart = self.values - self.values.mean(1, keepdims=True)
        variance = apart.var(0, ddof=1).mean() * options / (options - 1)
        return math.sqrt(2 * variance / seeds)

    def fair_regret(self, choice: int, random: np.random.Generator) -> float:
        """Return by how much *choice* is behind the option that half of the seeds put first, on the others.

        Below 0 where half of the seeds choose less well. The mean of both ways round.
        """
        order = random.permutation(len(self.values))
        halves = self.values[order[::2]].mean(0), self.values[order[1::2]].mean(0)
        losses = [judge[chooser.argmax()] - judge[choice] for chooser, judge in (halves, halves[::-1])]
        return float(np.mean(losses))


def complete_seeds(grid: Grid) -> dict[int, list[int]]:
    """Return the tasks on which every option is measured with two seeds or more, and these seeds."""
    seeds = {}
    for task, rows in grid.measured[grid.trained[grid.measured["option"]]].groupby("task"):
        counts = rows["seed"].value_counts()
        whole = sorted(counts[counts == grid.trained.sum()].index)
        if len(whole) >= 4:
            seeds[int(task)] = [int(seed) for seed in whole]
    return seeds


@dataclass(frozen=True)
class LeftOut:
    """A task that is hidden but for some seeds: pilots and other tasks have the *seen* seeds."""

    grid: Grid
    task: int
    seen: list[int]
    judging: list[int]

    def values(self, seeds: list[int]) -> np.ndarray:
        """Return the values (seeds, options with pre-training) on the task."""
        rows = self._on_task(seeds)
        table = rows.pivot(index="seed", columns="option", values="value")
        return table[np.flatnonzero(self.grid.trained)].to_numpy(float)

    def _on_task(self, seeds: list[int]) -> pd.DataFrame:
        rows = self.grid.measured
        return rows[(rows["task"] == self.task) & rows["seed"].isin(seeds)]

    def pilot(self) -> tuple[Grid, Parameters, float]:
        """Choose and measure nets one by one, to a share of the grid's hours.

        Returns:
            What is known then, the parameters of the model, and the share of the hours of a grid it took.
        """
        rows, hours = self.grid.measured, self.grid.options["hours"] + self.grid.task_hours[self.task]
        whole = float(hours[self.grid.trained].sum()) * GRID_SEEDS
        known = rows[(rows["task"] != self.task) & rows["seed"].isin(self.seen)]
        left = replace(self.grid, measured=known, seeds=tuple(self.seen), nets=frozenset())
        parameters, everywhere, taken = left.fit(), np.ones(len(hours), bool), 0.0
        while experiment := next_experiment(left, self.task, Posterior(parameters, *left.data), everywhere):
            if taken + experiment.hours > whole / PILOT_SHARE:
                break
            taken += experiment.hours
            rows = self._on_task([experiment.seed])
            for value in rows.loc[rows["option"] == experiment.option, "value"]:
                left = left.with_value(self.task, experiment.option, experiment.seed, float(value))
        return left, fit(*left.data, len(left.tasks), parameters), taken / whole


def validate(
    grid: Grid,
    splits: int = SPLITS,
    near: np.ndarray | None = None,
    quick: Mapping[tuple[int, int, int], float] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leave every task out in turn, for so many *splits* of the seeds: see the module.

    Args:
        grid: with all that is measured.
        splits: of the seeds into those that are seen and those that judge.
        near: (tasks, options), nearness of an option's classes to the task's, for the rival that takes the
            nearest; nan where it is not known.
        quick: k-NN accuracy by task, option and seed, for the rival that takes the best one.

    Returns:
        Choices, a row for each task, split and method: task, split, method, option, regret and fair_regret
        (points), error (see `Judge`), nets and cost (share of a grid's hours) of the pilot. And intervals, a
        row for each task, split and option: task, split, option, mean, and the 90 % interval low to high of
        this mean.

    Raises:
        ItlError: fewer than two tasks have every option with four seeds.
    """
    seeds_of = complete_seeds(grid)
    if len(seeds_of) < 2:
        raise ItlError(
            f"tasks are left out of two or more that have every option with four seeds; "
            f"{len(seeds_of)} have; run more of the question"
        )
    chosen, intervals = [], []
    for split in range(splits):
        random = np.random.default_rng(split)
        for task, seeds in seeds_of.items():
            order = random.permutation(seeds)
            left = LeftOut(grid, task, sorted(order[:SEEN].tolist()), sorted(order[SEEN:].tolist()))
            names = {"task": grid.tasks[task], "split": split}
            choices, rows = _judged(left, near, quick, split)
            chosen += [names | choice for choice in choices]
            intervals += [names | row for row in rows]
    return pd.DataFrame(chosen), pd.DataFrame(intervals)


def _judged(
    left: LeftOut, near: np.ndarray | None, quick: Mapping | None, split: int
) -> tuple[list[dict], list[dict]]:
    """Return the rows of `validate` of one task and split."""
    known, parameters, cost = left.pilot()
    belief = Posterior(parameters, *known.data).at(known.choices(left.task))
    judge, trained = Judge(left.values(left.judging)), np.flatnonzero(known.trained)
    pilot = known.measured[known.measured["task"] == left.task]
    choices = {ADVICE: int(trained[belief.mean[trained].argmax()])}
    choices |= _rivals(left, len(pilot), near, quick)
    rows, chosen = [], []
    for method, option in choices.items():
        position, random = int(np.flatnonzero(trained == option)[0]), np.random.default_rng(split)
        losses = {"regret": judge.regret(position), "fair_regret": judge.fair_regret(position, random)}
        losses["error"] = judge.error
        words = {"method": method, "option": known.options["option"][option]}
        chosen.append(words | losses | {"nets": len(pilot), "cost": cost})
    of_one = parameters.net + parameters.noise(np.array([left.task]))[0]  # variance of one net's value
    variances = belief.spread**2 + of_one / len(left.judging)
    for option, mean in zip(trained.tolist(), judge.values.mean(0), strict=True):
        reach = quantile(len(known.tasks)) * math.sqrt(variances[option])
        ends = {"low": belief.mean[option] - reach, "high": belief.mean[option] + reach}
        rows.append({"option": known.options["option"][option], "mean": float(mean), **ends})
    return chosen, rows


def _rivals(left: LeftOut, nets: int, near: np.ndarray | None, quick: Mapping | None) -> dict[str, int]:
    """Return what simpler ways choose; one that lacks what it needs is left out."""
    grid, task = left.grid, left.task
    trained, choices = np.flatnonzero(grid.trained), {EVERYTHING: grid.everything}
    images = grid.options["images"].to_numpy()
    if near is not None and np.isfinite(near[task, trained]).all():
        nearest = trained[near[task, trained] >= near[task, trained].max() - 1e-9]
        choices[NEAREST] = int(nearest[images[nearest].argmax()])
    first = left.seen[0]
    if quick and all((task, option, first) in quick for option in trained):
        choices[KNN] = int(max(trained.tolist(), key=lambda option: quick[task, option, first]))
    choices[CEILING] = int(trained[left.values(left.seen).mean(0).argmax()])
    even = left.values(left.seen).ravel()[:nets]  # one net of each option, then a second, …
    counts = np.bincount(np.arange(len(even)) % len(trained), minlength=len(trained))
    sums = np.bincount(np.arange(len(even)) % len(trained), even, minlength=len(trained))
    choices[PILOT_MEAN] = int(trained[np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf).argmax()])
    return choices


def summary(chosen: pd.DataFrame, intervals: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Summarise what `validate` returns.

    Returns:
        Columns method, tasks, regret, fair_regret (means, points), close and fair_close (share of choices
        within CLOSE of the best, by each of them), error, nets and cost of the pilot; and the share of
        intervals that hold the mean that they are judged by.
    """
    groups = chosen.assign(
        close=chosen["regret"] <= CLOSE, fair_close=chosen["fair_regret"] <= CLOSE
    ).groupby("method", sort=False)
    columns = ["regret", "fair_regret", "close", "fair_close", "error", "nets", "cost"]
    table = groups[columns].mean().reset_index()
    table.insert(1, "tasks", groups["task"].nunique().to_numpy())
    held = (intervals["low"] <= intervals["mean"]) & (intervals["mean"] <= intervals["high"])
    return table, float(held.mean())


def main(home: str, preset: str, splits: int = SPLITS) -> str:
    """Write the table of the question of advice of *preset*, whose runs lie in *home*."""
    machine = Machine.from_environment(home=Path(home))
    loaded, store = load_preset(preset), Store(machine.runs)
    question, *_ = questions_of(loaded, "10-advice")
    grid, near = grid_of(question, store, machine), nearness(question, machine)[:, :, 1]
    results = Scores.ask(**loaded.notebooks["10-advice"]).results(store, machine)
    quick = {}
    for number, task in enumerate(question.tasks):
        name = score_task(task).name
        rows = results[(results["task"] == name) & (results["metric"] == "knn5")]
        data = task_values(results, question.conditions, name, "knn5")
        seeds = sorted(rows["seed"].unique())
        for row, option in np.argwhere(np.isfinite(data.values)).tolist():
            quick[number, option, int(seeds[row])] = float(data.values[row, option])
    return written(*validate(grid, splits, near, quick))


def written(chosen: pd.DataFrame, intervals: pd.DataFrame) -> str:
    """Write the tables for a terminal."""
    table, coverage = summary(chosen, intervals)
    by_task = chosen.pivot_table(index="task", columns="method", values="regret", sort=False)
    text = [table.round(2).to_string(index=False), by_task.round(1).to_string()]
    return "\n\n".join([*text, f"90 % intervals hold {100 * coverage:.0f} % of {len(intervals)} means"])


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit("give HOME and PRESET, and how often seeds are split, such as: . my-task 4")
    print(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else SPLITS))
