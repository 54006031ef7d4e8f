"""How good advice is on tasks that are left out: `python -m studies.advice HOME PRESET [PRESET ...]`.

PRESET's question of advice is measured whole in the store of HOME. Each task in turn is hidden except for a
pilot. The method itself chooses the nets of the pilot one by one, until they have taken a quarter of the time
of a grid of GRID_SEEDS seeds on this task. Trainings are counted, as if no net existed yet. The seeds of the
grid are drawn at random, anew for each task and split: pilots and other tasks have these seeds, and all other
seeds judge the choice. The whole grid shows what means alone can reach, at four times a pilot's cost. Tasks
of several presets are put in one table; each knows only those of its own preset.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from itl import ItlError
from itl.analysis.advice import PILOT_SHARE, quantile
from itl.analysis.expected_scores import Parameters, Posterior
from itl.analysis.option_grid import Grid, grid_of, nearness
from itl.analysis.pilot import next_experiment
from itl.analysis.task_values import task_values
from itl.machine import Machine
from itl.presets import load_preset
from itl.runs.questions import questions_of
from itl.runs.store import Store
from itl.runs.task_questions import Scores, score_task

ADVICE, EVERYTHING, NEAREST = "advice", "everything", "the nearest classes"
KNN, PILOT_MEAN = "5 neighbours, one net of each option", "the best mean of an even pilot"
CEILING = "the best mean of the whole grid of these seeds"
SPLITS = 8
GRID_SEEDS = 6  # that a pilot may take nets of; all nets of them on other tasks are known
FEWEST_JUDGING = 2  # seeds
CLOSE = 1.0  # points: a choice that loses less is as good as the best


def values_of(grid: Grid, task: str) -> pd.DataFrame:
    """Return the values on *task*: a row for each seed that has every option, and a column for each."""
    rows = grid.measurements[grid.measurements["task"] == grid.tasks.index(task)]
    table = rows.pivot(index="seed", columns="option", values="value")
    table = table.reindex(columns=np.flatnonzero(grid.trained)).dropna()
    return table.set_axis(grid.options.loc[grid.trained, "option"], axis=1)


def losses(values: pd.DataFrame, choice: str, random: np.random.Generator) -> dict[str, float]:
    """Judge *choice* by *values*, with a row for each seed and a column for each option; in points.

    Returns:
        regret: by how much the choice is behind the option of the highest mean. The highest of noisy means is
        too high, so this is too large: the best option would show some too. fair_regret: by how much it is
        behind the option that half of the seeds put first, on the others; the mean of both ways round. Below
        0 where half of the seeds choose less well. error: the standard error of the difference between the
        means of two options; seeds are pairs.
    """
    means, order, (seeds, options) = values.mean(), random.permutation(len(values)), values.shape
    halves = values.iloc[order[::2]].mean(), values.iloc[order[1::2]].mean()
    fair = [judge[chooser.idxmax()] - judge[choice] for chooser, judge in (halves, halves[::-1])]
    variance = values.sub(values.mean(axis=1), axis=0).var().mean() * options / (options - 1)
    return {
        "regret": float(means.max() - means[choice]),
        "fair_regret": float(np.mean(fair)),
        "error": math.sqrt(2 * variance / seeds),
    }


@dataclass(frozen=True)
class LeftOut:
    """A task that is hidden but for some seeds: pilots and other tasks have the *seen* seeds."""

    grid: Grid
    task: int
    seen: pd.DataFrame  # the values of these seeds, as `values_of` has them
    judging: pd.DataFrame  # those of the other seeds

    def pilot(self) -> tuple[Grid, Parameters, float]:
        """Choose and measure nets one by one, to a share of the grid's hours.

        Returned are what is known then, the parameters of the model, and the share of the hours it took.
        """
        rows, hours = self.grid.measurements, self.grid.options["hours"] + self.grid.task_hours[self.task]
        whole = float(hours[self.grid.trained].sum()) * len(self.seen)
        elsewhere = rows[(rows["task"] != self.task) & rows["seed"].isin(self.seen.index)]
        known = replace(self.grid, measurements=elsewhere, seeds=tuple(self.seen.index), nets=frozenset())
        parameters, any_option, taken = known.fit(), np.ones(len(hours), bool), 0.0
        while experiment := next_experiment(known, self.task, Posterior(parameters, *known.data), any_option):
            if taken + experiment.hours > whole / PILOT_SHARE:
                break
            taken += experiment.hours
            here = (rows["task"] == self.task) & (rows["option"] == experiment.option)
            for value in rows.loc[here & (rows["seed"] == experiment.seed), "value"]:
                known = known.with_value(self.task, experiment.option, experiment.seed, float(value))
        return known, known.fit(parameters), taken / whole


def validate(
    grid: Grid,
    splits: int = SPLITS,
    near: np.ndarray | None = None,
    quick: Mapping[tuple[int, int, int], float] | None = None,
    seen: int = GRID_SEEDS,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leave every task out in turn, for so many *splits* of the seeds: *seen* ones, and those that judge.

    One rival takes the option of the classes nearest to the task's by *near* (tasks, options), another the
    best of the k-NN accuracies *quick*, by task, option and seed.

    Returns:
        Choices, a row for each task, split and method: task, split, method, option, regret and fair_regret
        (points), error (see `losses`), nets and cost (share of a grid's hours) of the pilot. And intervals, a
        row for each task, split and option: task, split, option, mean, and the 90 % interval low to high of
        this mean.
    """
    tables = _complete(grid, seen)
    chosen, intervals = [], []
    for split in range(splits):
        random = np.random.default_rng(split)
        for task, values in tables.items():
            known = sorted(random.permutation(values.index)[:seen].tolist())
            left = LeftOut(grid, grid.tasks.index(task), values.loc[known], values.drop(known))
            choices, rows = _judged(left, near, quick, split)
            names = {"task": task, "split": split}
            chosen += [names | choice for choice in choices]
            intervals += [names | row for row in rows]
    return pd.DataFrame(chosen), pd.DataFrame(intervals)


def _complete(grid: Grid, seen: int) -> dict[str, pd.DataFrame]:
    """Return the values of the tasks that can be left out: see `values_of`."""
    tables = {task: values_of(grid, task) for task in grid.tasks}
    tables = {task: table for task, table in tables.items() if len(table) >= seen + FEWEST_JUDGING}
    if len(tables) < 2:
        raise ItlError(
            f"tasks are left out of two or more that have every option with {seen + FEWEST_JUDGING} seeds; "
            f"{len(tables)} have: run more of the question, or give --seen a number below {seen}"
        )
    return tables


def _judged(
    left: LeftOut, near: np.ndarray | None, quick: Mapping | None, split: int
) -> tuple[list[dict], list[dict]]:
    """Return the rows of `validate` of one task and split."""
    known, parameters, cost = left.pilot()
    points = known.choices(left.task)
    belief = Posterior(parameters, *known.data).at(points)
    judging, trained = left.judging, np.flatnonzero(known.trained)
    pilot = known.measurements[known.measurements["task"] == left.task]
    choices = {ADVICE: int(trained[belief.mean[trained].argmax()])}
    choices |= _rivals(left, len(pilot), near, quick, split)
    rows, chosen = [], []
    names = known.options["option"]
    for method, option in choices.items():
        words = {"method": method, "option": names[option]}
        points_lost = losses(judging, names[option], np.random.default_rng(split))
        chosen.append(words | points_lost | {"nets": len(pilot), "cost": cost})
    draws = parameters.variance("draw") + parameters.variance("task_draw")
    of_one_net = parameters.variance("net") + draws * points.drawn + parameters.noise(points.task)
    variances = belief.spread**2 + of_one_net / len(judging)
    for option in trained.tolist():
        reach = quantile(known.informative_tasks(left.task)) * math.sqrt(variances[option])
        ends = {"low": belief.mean[option] - reach, "high": belief.mean[option] + reach}
        rows.append({"option": names[option], "mean": float(judging[names[option]].mean()), **ends})
    return chosen, rows


def _rivals(
    left: LeftOut, nets: int, near: np.ndarray | None, quick: Mapping | None, split: int
) -> dict[str, int]:
    """Return what simpler ways choose; one that lacks what it needs is left out."""
    grid, task = left.grid, left.task
    trained, choices = np.flatnonzero(grid.trained), {EVERYTHING: grid.largest_option}
    images = grid.options["images"].to_numpy()
    if near is not None and np.isfinite(near[task, trained]).all():
        nearest = trained[near[task, trained] >= near[task, trained].max() - 1e-9]
        choices[NEAREST] = int(nearest[images[nearest].argmax()])
    scored = [seed for seed in grid.seeds if all((task, option, seed) in (quick or {}) for option in trained)]
    if quick and scored:
        seed = scored[split % len(scored)]
        choices[KNN] = int(max(trained.tolist(), key=lambda option: quick[task, option, seed]))
    values = left.seen.to_numpy(float)
    choices[CEILING] = int(trained[values.mean(0).argmax()])
    order = np.arange(values.size).reshape(values.shape)  # one net of each option, then a second, …
    even = pd.DataFrame(values).where(order < nets).mean()
    choices[PILOT_MEAN] = int(trained[even.idxmax()])
    return choices


def summary(chosen: pd.DataFrame, intervals: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Summarise what `validate` returns.

    Returns:
        Columns method, tasks, regret (mean, points), close (share of choices within CLOSE of the best), the
        same for fair_regret, error, nets and cost of the pilot, close_95 (the 95 % interval of close for
        other tasks), behind and behind_95 (regret beyond that of the advice, and its interval); and the share
        of intervals that hold the mean that they are judged by.
    """
    chosen = chosen.assign(close=chosen["regret"] <= CLOSE, fair_close=chosen["fair_regret"] <= CLOSE)
    columns = ["regret", "close", "fair_regret", "fair_close", "error", "nets", "cost"]
    of_tasks = chosen.groupby(["method", "task"], sort=False)[columns].mean()  # equally many splits of each
    rows = []
    for method, table in of_tasks.groupby(level="method", sort=False):
        table = table.droplevel("method")
        behind = table["regret"] - of_tasks.loc[ADVICE, "regret"].reindex(table.index)
        compared = {"behind": behind.mean(), "behind_95": over_tasks(behind)}
        close = {"close_95": over_tasks(table["close"])}
        rows.append({"method": method, "tasks": len(table)} | table.mean().to_dict() | close | compared)
    held = (intervals["low"] <= intervals["mean"]) & (intervals["mean"] <= intervals["high"])
    return pd.DataFrame(rows), float(held.mean())


def over_tasks(values: pd.Series) -> tuple[float, float]:
    """Return the 95 % interval of the mean of *values* (tasks,): a percentile bootstrap over tasks."""
    if values.nunique() == 1:  # which SciPy warns of
        return float(values.iloc[0]), float(values.iloc[0])
    ends = bootstrap((values.to_numpy(float),), np.mean, method="percentile", rng=0).confidence_interval
    return round(float(ends.low), 2), round(float(ends.high), 2)


def main(home: str, presets: Sequence[str], splits: int = SPLITS, seen: int = GRID_SEEDS) -> str:
    """Write one table of the questions of advice of *presets*, whose runs lie in *home*."""
    machine = Machine.from_environment(home=Path(home))
    tables = [validated(preset, machine, splits, seen) for preset in presets]
    if len(presets) > 1:  # in which tasks may have the same name
        tables = [
            tuple(table.assign(task=f"{preset} " + table["task"]) for table in pair)
            for preset, pair in zip(presets, tables, strict=True)
        ]
    return written(*map(pd.concat, zip(*tables, strict=True)))


def validated(preset: str, machine: Machine, splits: int, seen: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what `validate` does for the question of advice of *preset*."""
    loaded, store = load_preset(preset), Store(machine.runs)
    question, *_ = questions_of(loaded, "10-advice")
    grid, near = grid_of(question, store, machine), nearness(question, machine)[:, :, 1]
    results = Scores.ask(**loaded.notebooks["10-advice"]).results(store, machine)
    quick = {}
    for number, task in enumerate(question.tasks):
        name = score_task(task).name
        data = task_values(question, results, name, "knn5")
        for row, option in np.argwhere(np.isfinite(data.values)).tolist():
            quick[number, option, data.seeds[row]] = float(data.values[row, option])
    return validate(grid, splits, near, quick, seen)


def written(chosen: pd.DataFrame, intervals: pd.DataFrame) -> str:
    """Write the tables for a terminal."""
    table, coverage = summary(chosen, intervals)
    by_task = chosen.pivot_table(index="task", columns="method", values="regret", sort=False)
    ends = {"close_95": "{0[0]:.2f} to {0[1]:.2f}".format, "behind_95": "{0[0]:+.2f} to {0[1]:+.2f}".format}
    text = [table.round(2).to_string(index=False, formatters=ends), by_task.round(1).to_string()]
    return "\n\n".join([*text, f"90 % intervals hold {100 * coverage:.0f} % of {len(intervals)} means"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m studies.advice")
    parser.add_argument("home", help="where runs/ and packs/ lie, such as .")
    parser.add_argument("presets", nargs="+", help="whose 10-advice is done, such as my-task")
    parser.add_argument("--splits", type=int, default=SPLITS, help="of the seeds (%(default)s)")
    parser.add_argument("--seen", type=int, default=GRID_SEEDS, help="seeds of the grid (%(default)s)")
    print(main(**vars(parser.parse_args())))
