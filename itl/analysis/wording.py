"""What is said of results: conditions, metrics and changes in words that people read."""

import math
from collections.abc import Mapping

import pandas as pd

UNITS = {"images_per_class": " images per class", "label_set": " label set", "halves": " halves"}
METHOD = {
    "finetune": "fine-tuned",
    "probe": "linear probe",
    "knn": "nearest neighbours",
    "induction": "frozen",
    "actions": "fine-tuned",
    "detection": "R-CNN",
}
GIVEN = ("chance", "recall")                # metrics that the target gives, to read the others by
UNTRAINED = (0, "none")                     # how conditions name the net without pre-training


def said(row: pd.Series) -> str:
    """Say a row of `itl.analysis.comparisons.contrasts` in Markdown: change, interval, seeds and verdict.

    >>> said(contrasts(question, results).iloc[0])
    '**+10.0 points** (95 % interval +7.5 to +12.5, 3 seeds): a gain beyond seed noise'
    """
    seeds = f"{row['n']} seed{'s' if row['n'] > 1 else ''}"
    known = interval(row["low"], row["high"])
    around = f"95 % interval {known}, {seeds}" if known else seeds
    return f"**{signed(row['change'])} points** ({around}): {row['verdict']}"


def on(row: pd.Series) -> str:
    """Say what a row of `itl.analysis.comparisons.contrasts` measures, and on what.

    >>> on(pd.Series({"task": "detection@voc2007"}))
    'mean average precision on voc2007, R-CNN'
    """
    return f"{measure(row['task'])} on {task_name(row['task'])}"


def could_show(row: pd.Series) -> str:
    """Say the smallest true change that the seeds of a row would have shown four times in five.

    >>> could_show(pd.Series({"detectable": 2.34}))
    'These seeds could have shown 2.3 points or more.'
    """
    if not math.isfinite(row["detectable"]):
        return "How small a change these seeds could have shown cannot be told: they show no spread."
    return f"These seeds could have shown {row['detectable']:.1f} points or more."


def card(row: pd.Series) -> dict[str, object]:
    """Give what the index shows beside an answer: seeds and verdict."""
    return {"n": int(row["n"]), "verdict": row["verdict"]}


def compared(of: Mapping[str, object], against: Mapping[str, object]) -> str:
    """Name two conditions for people; what they share comes last.

    >>> compared({"images_per_class": 25}, {"images_per_class": 200})
    '25 instead of 200 images per class'
    >>> compared({"halves": "random", "trained_on": "A + B"}, {"halves": "random", "trained_on": "A"})
    'A + B instead of A, random halves'
    """
    apart = [name for name in of if of[name] != against[name]] or list(of)
    shared = "".join(f", {of[name]}{UNITS.get(name, '')}" for name in of if name not in apart)
    unit = "".join(UNITS.get(name, "") for name in apart)
    one, other = (", ".join(str(each[name]) for name in apart) for each in (of, against))
    if all(against[name] in (*UNTRAINED, "chance") for name in apart):
        one = "no pre-training" if all(of[name] in UNTRAINED for name in apart) else one + unit
        return f"{one} instead of {other if other == 'chance' else 'no pre-training'}{shared}"
    return f"{one} instead of {other}{unit}{shared}"


def classes(results: pd.DataFrame, condition: Mapping[str, object]) -> int:
    """How many classes the nets of *condition* were trained on."""
    for name, value in condition.items():
        results = results[results[name] == value]
    return int(results["classes"].iloc[0])


def main_metric(task: str) -> str:
    """Name the metric that a task is judged by.

    >>> main_metric("detection@voc2007"), main_metric("finetune@scenes")
    ('map', 'accuracy')
    """
    return {"knn": "knn5", "actions": "map", "detection": "map"}.get(task.partition("@")[0], "accuracy")


def measure(task: str) -> str:
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
    if target:
        where, _, labels = target.partition("/")
        what = f"{labels} classes of {where}" if labels else where
        return f"{what}, {METHOD.get(method, method)}"
    return "own classes" if task == "own" else task


def interval(low: float, high: float) -> str:
    """Write an interval in points; nothing where it is not known.

    >>> interval(-1.25, 3)
    '−1.2 to +3.0'
    """
    return f"{signed(low)} to {signed(high)}" if math.isfinite(low) and math.isfinite(high) else ""


def signed(value: float) -> str:
    """Write a change in points with its sign."""
    return f"{value:+.1f}".replace("-", "−")
