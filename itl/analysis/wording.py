"""Results in words: conditions, metrics and changes as people read them."""

import math
from collections.abc import Mapping

import pandas as pd

from itl.evaluation.methods import METHODS, main_metric

UNITS = {"images_per_class": " images per class", "label_set": " label set", "halves": " halves"}
REFERENCE_METRICS = ("chance", "recall")  # given by the target, to judge the others by
UNTRAINED = (0, "none")  # how conditions name the net without pre-training


def describe_change(row: pd.Series) -> str:
    """Describe a row of `itl.analysis.comparisons.contrasts` in Markdown: change, interval, seeds, verdict.

    >>> row = {"change": 10, "low": 7.5, "high": 12.5, "n": 3, "verdict": "a gain beyond seed noise"}
    >>> describe_change(pd.Series(row))
    '**+10.0 points** (95 % interval +7.5 to +12.5, 3 seeds): a gain beyond seed noise'
    """
    seeds = f"{row['n']} seed{'s' if row['n'] > 1 else ''}"
    limits = interval(row["low"], row["high"])
    note = f"95 % interval {limits}, {seeds}" if limits else seeds
    return f"**{signed(row['change'])} points** ({note}): {row['verdict']}"


def describe_metric(row: pd.Series) -> str:
    """Name what a row of `itl.analysis.comparisons.contrasts` measures, and on what.

    >>> describe_metric(pd.Series({"task": "detection@voc2007"}))
    'mean average precision on voc2007, R-CNN'
    """
    return f"{metric_name(row['task'])} on {task_name(row['task'])}"


def detectable_text(row: pd.Series) -> str:
    """Give the smallest true change that the seeds of a row would have shown four times in five.

    >>> detectable_text(pd.Series({"detectable": 2.34}))
    'These seeds would have shown a change of 2.3 points or more.'
    """
    if not math.isfinite(row["detectable"]):
        return "How small a change these seeds would have shown is unknown: they do not vary."
    return f"These seeds would have shown a change of {row['detectable']:.1f} points or more."


def index_entry(row: pd.Series) -> dict[str, object]:
    """Return what the report's index shows beside an answer: seeds and verdict."""
    return {"n": int(row["n"]), "verdict": row["verdict"]}


def condition_text(of: Mapping[str, object], against: Mapping[str, object]) -> str:
    """Name two conditions, by column and value, for people; what they share comes last.

    >>> condition_text({"images_per_class": 25}, {"images_per_class": 200})
    '25 instead of 200 images per class'
    >>> condition_text({"halves": "random", "trained_on": "A + B"}, {"halves": "random", "trained_on": "A"})
    'A + B instead of A, random halves'
    """
    differing = [name for name in of if of[name] != against[name]] or list(of)
    shared = "".join(f", {of[name]}{UNITS.get(name, '')}" for name in of if name not in differing)
    unit = "".join(UNITS.get(name, "") for name in differing)
    first = ", ".join(str(of[name]) for name in differing)
    second = ", ".join(str(against[name]) for name in differing)
    if any(against[name] not in (*UNTRAINED, "chance") for name in differing):
        return f"{first} instead of {second}{unit}{shared}"
    untrained = all(of[name] in UNTRAINED for name in differing)
    first = "no pre-training" if untrained else f"{first}{unit}"
    return f"{first} instead of {second if second == 'chance' else 'no pre-training'}{shared}"


def classes(results: pd.DataFrame, condition: Mapping[str, object]) -> int:
    """Return how many classes the nets of *condition*, by column and value, were trained on."""
    for name, value in condition.items():
        results = results[results[name] == value]
    return int(results["classes"].iloc[0])


def metric_name(task: str) -> str:
    """Name for people what a task is judged by."""
    return "mean average precision" if main_metric(task) == "map" else "accuracy"


def task_name(task: str) -> str:
    """Name a task for people.

    >>> task_name("finetune@scenes")
    'scenes, fine-tuned'
    >>> task_name("probe@images/half-a")
    'half-a classes of images, linear probe'
    """
    method, _, target = task.partition("@")
    if not target:
        return "own classes" if task == "own" else task
    pack, _, labels = target.partition("/")
    name = f"{labels} classes of {pack}" if labels else pack
    return f"{name}, {METHODS[method].words if method in METHODS else method}"


def interval(low: float, high: float) -> str:
    """Write an interval in points, or '' where it is not known.

    >>> interval(-1.25, 3)
    '−1.2 to +3.0'
    """
    return f"{signed(low)} to {signed(high)}" if math.isfinite(low) and math.isfinite(high) else ""


def signed(value: float) -> str:
    """Write a change in points with its sign."""
    return f"{value:+.1f}".replace("-", "−")
