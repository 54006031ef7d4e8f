"""The comparisons that answer a question, made from its results and judged together."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from itl import ItlError, pick
from itl.analysis.statistics import Contrast, corrected, paired, ratio
from itl.analysis.wording import REFERENCE_METRICS, condition_text, interval, signed
from itl.evaluation.methods import main_metric
from itl.machine import Machine
from itl.presets import Preset
from itl.runs.question import Question
from itl.runs.questions import CLASSES_DOUBLED, IMAGES_DOUBLED, questions_of
from itl.runs.store import Store

NAMES = ["question", "compared", "task", "metric"]
NUMBERS = ["change", "low", "high", "boot_low", "boot_high", "n", "p", "p_holm", "detectable", "verdict"]


@dataclass(frozen=True)
class Answer:
    """A question with its numbers: the frame of results, and the contrasts made from it."""

    question: Question
    results: pd.DataFrame
    contrasts: pd.DataFrame


def answer(question: Question, store: Store, machine: Machine) -> Answer:
    """Read the results of *question* and contrast them; pages, CSV files and summaries all come from here."""
    results = question.results(store, machine)
    return Answer(question, results, contrasts(question, results))


def answers(preset: Preset, store: Store, machine: Machine) -> list[Answer]:
    """Answer every question of *preset*."""
    return [answer(question, store, machine) for question in questions_of(preset)]


def contrast(
    results: pd.DataFrame, *, task: str, metric: str, of: Mapping[str, object], against: Mapping[str, object]
) -> Contrast:
    """Contrast *metric* of *task* under two conditions, by column and value, paired by seed: of − against.

    Raises:
        ItlError: the results do not have the task, or no seed has both conditions.
    """
    pick(dict.fromkeys(results["task"]), task, "task in these results")
    minuend = _by_seed(results, task, metric, of)
    subtrahend = _by_seed(results, task, metric, against)
    shared = [seed for seed in minuend if seed in subtrahend]
    if not shared:
        raise ItlError(f"no seed has {metric} of {task} for {dict(of)} and {dict(against)}; run both first")
    return paired([minuend[seed] for seed in shared], [subtrahend[seed] for seed in shared])


def _by_seed(
    results: pd.DataFrame, task: str, metric: str, condition: Mapping[str, object]
) -> dict[int, float]:
    rows = results[(results["task"] == task) & (results["metric"] == metric)]
    for column, value in condition.items():
        rows = rows[rows[column] == value]
    return dict(zip(rows["seed"], rows["value"], strict=True))


def contrasts(question: Question, results: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the comparisons of *question* on every task that has results for them, the main one first.

    Each task is judged by its main metric. Accuracies on nets' own classes are compared only where both
    conditions have the same classes.

    Returns:
        One row a comparison and task. Columns: question, compared, task, metric; change in points with low
        and high (95 %, Student's t) and boot_low and boot_high (95 %, percentile bootstrap over seeds); n
        seeds; p, and p_holm among these rows; detectable, the true change that so many seeds and rows would
        have shown four times in five; verdict, by p_holm (`itl.analysis.statistics.corrected`).
    """
    values = doublings(results) if "design" in results else results
    tasks = sorted(values["task"].unique(), key=lambda task: task == "own")  # own last, else in their order
    own_classes = {
        condition.columns: (condition.labels, condition.classes) for condition in question.conditions
    }
    rows = []
    for comparison in question.comparisons:
        of, against = dict(comparison.of), dict(comparison.against)
        same_classes = own_classes.get(comparison.of) == own_classes.get(comparison.against)
        for task in tasks:
            metric = main_metric(task)
            applies = task in (comparison.tasks or tasks) and (same_classes or task != "own")
            if applies and (
                _by_seed(values, task, metric, of).keys() & _by_seed(values, task, metric, against)
            ):
                change = contrast(values, task=task, metric=metric, of=of, against=against)
                rows.append((question.name, condition_text(of, against), task, metric, change))
    return tabulate(rows)


def tabulate(rows: Sequence[tuple[str, str, str, str, Contrast]]) -> pd.DataFrame:
    """Judge *rows*, each question, compared, task, metric and Contrast, together; see `contrasts`."""
    judged = corrected([change for *_, change in rows])
    records = []
    for (*names, _), change in zip(rows, judged, strict=True):
        records.append(dict(zip(NAMES, names, strict=True)) | asdict(change) | {"change": change.mean})
    return pd.DataFrame(records, columns=[*NAMES, *NUMBERS])


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Write the table of `contrasts` for people: intervals as text, points to a tenth, p to a thousandth."""
    columns = {
        "change": table["change"].map(signed),
        "95 % interval": list(map(interval, table["low"], table["high"])),
        "bootstrap": list(map(interval, table["boot_low"], table["boot_high"])),
        "n": table["n"],
        "p": table["p"].map("{:.3f}".format),
        "p_holm": table["p_holm"].map("{:.3f}".format),
        "detectable": table["detectable"].map("{:.1f}".format),
        "verdict": table["verdict"],
    }
    return table[NAMES].assign(**columns).replace("nan", "")


def every_contrast(answers: Sequence[Answer]) -> pd.DataFrame:
    """Join the contrasts of *answers*; those of each question were judged among themselves."""
    return pd.concat([answer.contrasts for answer in answers], ignore_index=True)


def doublings(results: pd.DataFrame) -> pd.DataFrame:
    """Fit what doubling the classes, or the images of each, gives on every task, seed by seed.

    Least squares of value = a + b · log2(classes) + c · log2(images per class) over the designs of a budget
    question.

    Returns:
        Columns design (which of the two is doubled), task, metric, seed, value (b or c, in points).

    Raises:
        ItlError: no seed has designs of two numbers of images with two numbers of classes each.
    """
    rows = []
    transfer = results[(results["task"] != "own") & ~results["metric"].isin(REFERENCE_METRICS)]
    for (task, metric, seed), group in transfer.groupby(["task", "metric", "seed"], sort=False):
        classes, images = group["classes"], group["images"] / group["classes"]
        design = np.stack([np.ones(len(group)), np.log2(classes), np.log2(images)], 1)
        if np.linalg.matrix_rank(design) == 3:
            _, by_classes, by_images = np.linalg.lstsq(design, group["value"].to_numpy(), rcond=None)[0]
            rows.append((CLASSES_DOUBLED, task, metric, seed, by_classes))
            rows.append((IMAGES_DOUBLED, task, metric, seed, by_images))
    if not rows:
        raise ItlError(
            "no seed has designs of two numbers of images with two numbers of classes each, which "
            "the fit needs; run more of the question first"
        )
    return pd.DataFrame(rows, columns=["design", "task", "metric", "seed", "value"])


def exchange(results: pd.DataFrame) -> pd.DataFrame:
    """Say how many doublings of images per class one doubling of classes is worth, on every task.

    Returns:
        Columns task, metric (its main one), the mean points that each doubling gives, ratio (classes over
        images) with low and high, its 95 % interval (`itl.analysis.statistics.ratio`; nan where images may
        give nothing), and n seeds.
    """
    fits, rows = doublings(results), []
    for task in fits["task"].unique():
        metric = main_metric(task)
        classes = list(_by_seed(fits, task, metric, {"design": CLASSES_DOUBLED}).values())
        images = list(_by_seed(fits, task, metric, {"design": IMAGES_DOUBLED}).values())
        rows.append((task, metric, np.mean(classes), np.mean(images), *ratio(classes, images), len(images)))
    columns = ["task", "metric", CLASSES_DOUBLED, IMAGES_DOUBLED, "ratio", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def baselines(question: Question, results: pd.DataFrame, task: str) -> pd.DataFrame:
    """Contrast each condition of *question* with no pre-training and with chance on *task*, of induction.

    By linear probe and 5 neighbours, in the columns of `contrasts`. *results* hold chance for every run.
    """
    chance = results[(results["task"] == task) & (results["metric"] == "chance")]
    rows = []
    for metric in ("accuracy", "knn5"):
        for condition in question.conditions:
            of = dict(condition.columns)
            as_chance = dict.fromkeys(of, "chance")
            level = chance[chance[list(of)].eq(pd.Series(of)).all(axis=1)]
            values = pd.concat([results, level.assign(metric=metric, **as_chance)])
            untrained = [dict(other.columns) for other in question.conditions if not other.trained]
            for against in [*(untrained if condition.trained else []), as_chance]:
                change = contrast(values, task=task, metric=metric, of=of, against=against)
                rows.append((question.name, condition_text(of, against), task, metric, change))
    return tabulate(rows)
