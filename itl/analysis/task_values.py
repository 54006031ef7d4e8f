"""The results of a question by task and condition: its tasks in order, and the values of one as an array."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from itl.analysis.model import TaskModel, fit
from itl.errors import ItlError
from itl.evaluation.methods import main_metric
from itl.runs.design import Columns, Comparison, Condition, Task
from itl.runs.question import Question
from itl.runs.questions import CLASSES_DOUBLED, IMAGES_DOUBLED

DOUBLINGS = (CLASSES_DOUBLED, IMAGES_DOUBLED)
CHANCE = "chance"  # in every column of a condition: what guessing scores


@dataclass(frozen=True)
class TaskValues:
    """The values of one task by one metric."""

    task: str
    metric: str
    conditions: tuple[Condition, ...]
    values: np.ndarray  #: (seeds, conditions), nan where a run is missing
    sizes: np.ndarray  #: (conditions, 2) classes, and images of each, that nets were trained on
    runs: tuple[frozenset[str], ...]  #: keys of the runs of each condition
    seeds: tuple[int, ...]  #: of the rows of *values*

    @property
    def trained(self) -> np.ndarray:
        """Which conditions are pre-trained, (conditions,) of bool."""
        return np.array([condition.trained for condition in self.conditions])

    @property
    def pooled(self) -> np.ndarray:
        """Which conditions have the question's seeds, (conditions,) of bool, and so are pooled.

        Nets on halves, which have seeds of their own, also vary by their classes.
        """
        return np.array([not condition.seeds for condition in self.conditions])

    @property
    def first_alike(self) -> np.ndarray:
        """Index of the first condition with the same runs, (conditions,); it represents all of them."""
        first: dict[object, int] = {}
        return np.array([first.setdefault(runs or index, index) for index, runs in enumerate(self.runs)])

    @property
    def first_with_its_runs(self) -> np.ndarray:
        """Which conditions are the first with their runs, (conditions,) of bool."""
        return self.first_alike == np.arange(len(self.conditions))

    def weights_of(self, columns: Columns) -> np.ndarray:
        """Weights (conditions,) of one side of a comparison: a condition, or a doubling fitted to designs."""
        if is_doubling(columns):
            return self._weights_of_doubling(DOUBLINGS.index(columns[0][1]))
        weights = np.zeros(len(self.conditions))
        weights[self.first_alike[[one.columns == columns for one in self.conditions]]] = 1
        return weights

    def weights_of_baseline(self, columns: Columns) -> np.ndarray:
        """Weights of the net without pre-training that is most like the condition with *columns*."""
        nearest = baseline_of(columns, self.conditions)
        return np.zeros(len(self.conditions)) if nearest is None else self.weights_of(nearest)

    def runs_of(self, weights: np.ndarray) -> frozenset[str]:
        """Return the keys of the runs of the conditions that have *weights* (conditions,)."""
        return frozenset().union(*(self.runs[index] for index in np.flatnonzero(weights)))

    def fit(self, *sides: np.ndarray) -> TaskModel | None:
        """Fit the model to the seeds that have all *sides*; None where no seed has."""
        compared = np.any(sides, axis=0)
        is_measured = np.isfinite(self.values[:, compared]).all(axis=1).any()
        if not is_measured or not all(side.any() for side in sides):
            return None
        used = self.first_with_its_runs & (self.pooled | compared)
        return fit(np.where(used, self.values, math.nan), self.trained, compared)

    def _weights_of_doubling(self, which: int) -> np.ndarray:
        """Weights that give what doubling the classes (0), or the images of each (1), adds to the value.

        Least squares of value = a + b · log2(classes) + c · log2(images of each) over the designs.
        """
        designs = np.flatnonzero(self.trained & np.isfinite(self.values).any(axis=0))
        matrix = np.column_stack([np.ones(len(designs)), np.log2(self.sizes[designs])])
        if np.linalg.matrix_rank(matrix) < 3:
            raise ItlError(
                "no results of designs with two numbers of images and two numbers of classes each, which the "
                "fit needs; run more of the question first"
            )
        weights = np.zeros(len(self.conditions))
        weights[designs] = np.linalg.pinv(matrix)[1 + which]
        return weights

    def trade_by_budget(self) -> dict[int, np.ndarray]:
        """Weights that give, at each budget alone, the gain from twice the images of half the classes.

        Least squares over the designs of each number of images (the keys, from few to many) of which there
        are two or more.
        """
        designs = np.flatnonzero(self.trained & np.isfinite(self.values).any(axis=0))
        logs = np.log2(self.sizes[designs])
        sums, weights = logs.sum(axis=1), {}
        ordered = np.sort(sums)  # designs of one budget differ by up to 2 %: SAME_BUDGET of tables
        starts = ordered[1:][np.diff(ordered) > 0.05]
        totals = np.searchsorted(starts, sums, side="right")  # which budget each design is of
        for total in np.unique(totals):
            alike = designs[totals == total]
            steps = logs[totals == total] @ [-0.5, 0.5]
            if np.ptp(steps) > 0:
                row = np.zeros(len(self.conditions))
                row[alike] = (steps - steps.mean()) / np.square(steps - steps.mean()).sum()
                weights[round(self.sizes[alike].prod(axis=1).mean())] = row
        return weights


def task_values(question: Question, results: pd.DataFrame, task: str, metric: str = "") -> TaskValues:
    """Arrange values of *task*, by default of its main *metric*, as (seeds, conditions); of fits the mean."""
    rows, conditions = rows_of(results, task, metric), question.conditions
    seeds = sorted(rows["seed"].unique())
    values, sizes = np.full((len(seeds), len(conditions)), math.nan), np.full((len(conditions), 2), math.nan)
    runs = [frozenset[str]()] * len(conditions)
    groups = rows_by_condition(rows, conditions)
    for column, condition in enumerate(conditions):
        if (group := groups.get(condition.columns)) is None:
            continue
        by_seed = group.groupby("seed")["value"].mean()
        values[np.searchsorted(seeds, by_seed.index), column] = by_seed
        if "run" in rows:
            runs[column] = frozenset(group["run"]) - {""}
        if {"classes", "images"} <= {*rows.columns}:
            classes, images = group["classes"].mean(), group["images"].mean()
            sizes[column] = classes, images / classes if classes else math.nan
    metric = metric or main_metric(task)
    return TaskValues(task, metric, conditions, values, sizes, tuple(runs), tuple(map(int, seeds)))


def rows_of(results: pd.DataFrame, task: str, metric: str = "") -> pd.DataFrame:
    """Return the *results* on *task* by a *metric*, by default its main one."""
    return results[(results["task"] == task) & (results["metric"] == (metric or main_metric(task)))]


def rows_by_condition(results: pd.DataFrame, conditions: Sequence[Condition]) -> dict[Columns, pd.DataFrame]:
    """Divide *results* among *conditions*, which have the same columns; one without results is left out."""
    names = [name for name, _ in conditions[0].columns]
    groups = results.groupby(names, sort=False, dropna=False)
    return {tuple(zip(names, key, strict=True)): rows for key, rows in groups}


def tasks_in_order(question: Question, results: pd.DataFrame, own: bool = True) -> list[str]:
    """List the tasks with *results* that measure transfer, in the order of *question*; *own* classes last."""
    order = [task.name for task in question.tasks]
    tasks = [task for task in results["task"].unique() if task != "own" and Task.read(task).measures_transfer]
    tasks.sort(key=lambda task: order.index(task) if task in order else len(order))
    return [*tasks, *(["own"] if own and "own" in set(results["task"]) else [])]


def main_task(question: Question) -> str:
    """Return the first task of the main comparison, which may be on some of the tasks of *question* alone."""
    own = question.comparisons[0].tasks if question.comparisons else ()
    return own[0] if own else question.tasks[0].name


def comparison_on(question: Question, task: str) -> Comparison | None:
    """Return the first comparison of *question* that is made on *task*; None where none is."""
    return next((pair for pair in question.comparisons if task in (pair.tasks or [task])), None)


def baseline_of(columns: Columns, conditions: Sequence[Condition]) -> Columns | None:
    """Return that of *conditions* without pre-training which is most like the one with *columns*."""
    untrained = [one.columns for one in conditions if one.untrained and not is_chance(one.columns)]
    return max(untrained, key=lambda other: len({*other} & {*columns}), default=None)


def is_chance(columns: Columns) -> bool:
    """Say whether *columns* are those of guessing, which is no net."""
    return all(value == CHANCE for _, value in columns)


def is_doubling(columns: Columns) -> bool:
    """Say whether *columns* are those of a doubling, which is fitted to all designs, and of no condition."""
    return columns[0][1] in DOUBLINGS
