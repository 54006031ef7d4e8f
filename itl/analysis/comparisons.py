"""Contrasts: the comparisons that answer a question, made from its results and judged together."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from itl import ItlError, pick
from itl.analysis.statistics import Contrast, corrected, paired, ratio
from itl.analysis.wording import GIVEN, compared, interval, main_metric, signed
from itl.machine import Machine
from itl.presets import Preset
from itl.runs.question import Question
from itl.runs.questions import CLASSES_DOUBLED, IMAGES_DOUBLED, questions_of
from itl.runs.store import Store

NAMES = ["question", "compared", "task", "metric"]
NUMBERS = {"change": "mean", "low": "low", "high": "high", "boot_low": "boot_low", "boot_high": "boot_high",
           "n": "n", "p": "p", "p_holm": "p_holm", "detectable": "detectable", "verdict": "verdict"}


def contrast(
    results: pd.DataFrame, *, task: str, metric: str, of: Mapping[str, object], against: Mapping[str, object]
) -> Contrast:
    """Compare *metric* under one condition with another, paired by seed: of − against, with its verdict.

    Raises ItlError for a task that is not in *results*, and where no seed has both.
    """
    pick(dict.fromkeys(results["task"]), task, "task in these results")
    one, other = (_by_seed(results, task, metric, condition) for condition in (of, against))
    shared = [seed for seed in one if seed in other]
    if not shared:
        raise ItlError(f"no seed has {metric} of {task} for {dict(of)} and {dict(against)}; run both first")
    return paired([one[seed] for seed in shared], [other[seed] for seed in shared])


def _by_seed(
    results: pd.DataFrame, task: str, metric: str, condition: Mapping[str, object]
) -> dict[int, float]:
    rows = results[(results["task"] == task) & (results["metric"] == metric)]
    for column, value in condition.items():
        rows = rows[rows[column] == value]
    return dict(zip(rows["seed"], rows["value"], strict=True))


def contrasts(question: Question, results: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the comparisons of *question* on every task that has results for them, the main one first.

    Each task goes by its main metric; nets' own classes are compared only where they are the same classes.
    Columns: question, compared, task, metric; change in points with low and high (95 %, Student's t) and
    boot_low and boot_high (95 %, percentile bootstrap over seeds); n seeds; p, and p_holm among these rows;
    detectable, the true change that so many seeds and rows would have shown four times in five; verdict, by
    p_holm (`itl.analysis.statistics.corrected`).
    """
    found = doublings(results) if "design" in results else results
    tasks = sorted(found["task"].unique(), key=lambda task: task == "own")     # in their order, own last
    taught = {each.columns: (each.labels, each.classes) for each in question.conditions}
    rows = []
    for each in question.comparisons:
        same = taught.get(each.of) == taught.get(each.against)
        of, against = dict(each.of), dict(each.against)
        for task in [task for task in tasks if task in (each.tasks or tasks) and (same or task != "own")]:
            metric = main_metric(task)
            if _by_seed(found, task, metric, of).keys() & _by_seed(found, task, metric, against):
                change = contrast(found, task=task, metric=metric, of=of, against=against)
                rows.append((question.name, compared(of, against), task, metric, change))
    return tabulate(rows)


def tabulate(rows: Sequence[tuple]) -> pd.DataFrame:
    """Make the table of `contrasts` of *rows*: question, compared, task, metric and a Contrast each."""
    judged = corrected([change for *_, change in rows])
    table = pd.DataFrame([names for *names, _ in rows], columns=NAMES)
    return table.assign(**{column: [getattr(change, attribute) for change in judged]
                           for column, attribute in NUMBERS.items()})


def readable(told: pd.DataFrame) -> pd.DataFrame:
    """Write the table of `contrasts` for people: intervals as text, points to a tenth, p to a thousandth."""
    rows = [(row.question, row.compared, row.task, row.metric, signed(row.change),
             interval(row.low, row.high), interval(row.boot_low, row.boot_high), row.n, f"{row.p:.3f}",
             f"{row.p_holm:.3f}", f"{row.detectable:.1f}", row.verdict) for row in told.itertuples()]
    columns = [*NAMES, "change", "95 % interval", "bootstrap", "n", "p", "p_holm", "detectable", "verdict"]
    return pd.DataFrame(rows, columns=columns).replace("nan", "")


def every_contrast(preset: Preset, store: Store, machine: Machine) -> pd.DataFrame:
    """Tabulate the contrasts of all questions of *preset*, each question's judged among themselves."""
    asked = questions_of(preset)
    return pd.concat([contrasts(each, each.results(store, machine)) for each in asked], ignore_index=True)


def doublings(results: pd.DataFrame) -> pd.DataFrame:
    """Fit what doubling the classes, or the images of each, gives on every task, seed by seed.

    Least squares of value = a + b · log2(classes) + c · log2(images per class) over the designs of a budget
    question. Columns: design (which of the two is doubled), task, metric, seed, value (b or c, in points).
    Raises ItlError where no seed has designs of two numbers of images, with two numbers of classes.
    """
    rows = []
    tried = results[(results["task"] != "own") & ~results["metric"].isin(GIVEN)]
    for names, group in tried.groupby(["task", "metric", "seed"], sort=False):
        classes, images = group["classes"], group["images"] / group["classes"]
        design = np.stack([np.ones(len(group)), np.log2(classes), np.log2(images)], 1)
        if np.linalg.matrix_rank(design) == 3:
            _, *slopes = np.linalg.lstsq(design, group["value"].to_numpy(), rcond=None)[0]
            rows += [(name, *names, slope) for name, slope in
                     zip((CLASSES_DOUBLED, IMAGES_DOUBLED), slopes, strict=True)]
    if not rows:
        raise ItlError("no seed has designs of two numbers of images with two numbers of classes each, which "
                       "the fit needs; run more of the question first")
    return pd.DataFrame(rows, columns=["design", "task", "metric", "seed", "value"])


def exchange(results: pd.DataFrame) -> pd.DataFrame:
    """Say, for every task by its main metric, how many doublings of images per class one of classes is worth.

    Columns: task, metric, the mean points that each doubling gives, ratio (classes over images) with low and
    high, its 95 % interval (`itl.analysis.statistics.ratio`; none where images may give nothing), and n
    seeds.
    """
    fitted, rows = doublings(results), []
    for task in fitted["task"].unique():
        metric = main_metric(task)
        classes, images = (list(_by_seed(fitted, task, metric, {"design": name}).values())
                           for name in (CLASSES_DOUBLED, IMAGES_DOUBLED))
        rows.append((task, metric, np.mean(classes), np.mean(images), *ratio(classes, images), len(images)))
    columns = ["task", "metric", CLASSES_DOUBLED, IMAGES_DOUBLED, "ratio", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def baselines(question: Question, results: pd.DataFrame, task: str) -> pd.DataFrame:
    """Tabulate how far each condition of *question* lies above no pre-training and above chance on *task*.

    By linear probe and 5 neighbours, for a task of induction, whose results hold chance for every run.
    """
    chance = results[(results["task"] == task) & (results["metric"] == "chance")]
    rows = []
    for metric in ("accuracy", "knn5"):
        for condition in question.conditions:
            of = dict(condition.columns)
            level = chance[chance[list(of)].eq(pd.Series(of)).all(axis=1)]
            beside = pd.concat([results, level.assign(metric=metric, **dict.fromkeys(of, "chance"))])
            others = [dict(each.columns) for each in question.conditions if condition.trained > each.trained]
            for against in [*others, dict.fromkeys(of, "chance")]:
                change = contrast(beside, task=task, metric=metric, of=of, against=against)
                rows.append((question.name, compared(of, against), task, metric, change))
    return tabulate(rows)
