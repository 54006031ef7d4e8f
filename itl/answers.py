"""What results say: the sentence of one contrast, and every contrast of a preset in one table."""

import math

import pandas as pd

from itl.config import Machine
from itl.question import Question
from itl.settings import Preset
from itl.statistics import Contrast, holm
from itl.store import Store
from itl.study import GIVEN, contrast, questions_of, signed

COLUMNS = ("question", "compared", "task", "metric", "change", "low", "high", "n", "p", "verdict")


def extremes(question: Question) -> tuple[dict, dict]:
    """Return the first and the last condition that *question* trains on, as results name them.

    Where it trains on one only, that and no pre-training.

    >>> extremes(data_size(images_per_class=[0, 25, 200], ...))
    ({'images_per_class': 25}, {'images_per_class': 200})
    """
    trained, untrained = _conditions(question)
    return trained[0], ([*untrained, *trained][0] if len(trained) == 1 else trained[-1])


def _conditions(question: Question) -> tuple[list[dict], list[dict]]:
    """Conditions of *question* that are trained on, and those that are not, as results name them."""
    return tuple([dict(each.columns) for each in question.conditions if each.trained == trained]
                 for trained in (True, False))


def said(change: Contrast) -> str:
    """Say a change in points, with its interval, number of seeds and verdict, in Markdown.

    >>> said(paired([61.0, 62.5, 62.0], [51.0, 51.5, 53.0]))
    '**+10.0 points** (95 % interval +7.5 to +12.5, 3 seeds): a gain beyond seed noise'
    """
    seeds = f"{change.n} seed{'s' if change.n > 1 else ''}"
    known = math.isfinite(change.low) and math.isfinite(change.high)
    interval = f"95 % interval {signed(change.low)} to {signed(change.high)}, {seeds}" if known else seeds
    return f"**{signed(change.mean)} points** ({interval}): {change.verdict}"


def answers(preset: Preset, store: Store, machine: Machine) -> pd.DataFrame:
    """Contrast the ends of every question of *preset*, on every task and metric that has results.

    Columns: question, compared, task, metric, change, low, high, n, p, p_holm (adjusted for the number of
    rows), verdict. A question with a net that was not pre-trained is also held against that.
    """
    questions = questions_of(preset)
    return tabulate([row for each in questions for row in contrasts(each, each.results(store, machine))])


def tabulate(rows: list[tuple]) -> pd.DataFrame:
    """Make a table of contrasts, p adjusted for their number by Holm's rule in the column p_holm."""
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    tested = table["p"].notna()
    table.insert(table.columns.get_loc("p") + 1, "p_holm", float("nan"))
    if tested.any():
        table.loc[tested, "p_holm"] = holm(table.loc[tested, "p"].tolist())
    return table


def contrasts(question: Question, results: pd.DataFrame) -> list[tuple]:
    """List the contrasts of one question: its ends, and its last condition against no pre-training.

    On their own classes, nets are compared only where they have as many.
    """
    trained, untrained = _conditions(question)
    pairs = [(trained[0], trained[-1])] * (len(trained) > 1) + [(trained[-1], none) for none in untrained]
    rows = []
    for of, against in pairs:
        one, other = results[_holds(results, of)], results[_holds(results, against)]
        there = one.merge(other, on=["task", "metric", "seed"], suffixes=("", " against"))
        if "classes" in there:              # scores on other own classes are answers to another question
            there = there[(there["task"] != "own") | (there["classes"] == there["classes against"])]
        for task, metric in dict.fromkeys(zip(there["task"], there["metric"], strict=True)):
            if metric not in GIVEN:
                found = contrast(results, task=task, metric=metric, of=of, against=against)
                rows.append(_row(question, compared(of, against), task, metric, found))
    return rows


def baselines(question: Question, results: pd.DataFrame, task: str) -> list[tuple]:
    """List how far each condition of *question* lies above no pre-training and above chance on *task*.

    By linear probe and 5 neighbours, for a task of induction, whose results hold chance for every run.
    """
    level = results[(results["task"] == task) & (results["metric"] == "chance")]
    rows = []
    for metric in ("accuracy", "knn5"):
        for condition in question.conditions:
            of = dict(condition.columns)
            chance = dict.fromkeys(of, "chance")
            beside = pd.concat([results, level[_holds(level, of)].assign(metric=metric, **chance)])
            others = [dict(each.columns) for each in question.conditions if condition.trained > each.trained]
            for against in [*others, chance]:
                found = contrast(beside, task=task, metric=metric, of=of, against=against)
                rows.append(_row(question, compared(of, against), task, metric, found))
    return rows


def _row(question: Question, what: str, task: str, metric: str, found: Contrast) -> tuple:
    numbers = (found.mean, found.low, found.high, found.n, found.p, found.verdict)
    return question.name, what, task, metric, *numbers


def classes(results: pd.DataFrame, condition: dict) -> int:
    """How many classes the nets of *condition* were trained on."""
    return int(results.loc[_holds(results, condition), "classes"].iloc[0])


def main_metric(task: str) -> str:
    """Name the metric that a task is judged by.

    >>> main_metric("detection@voc2007"), main_metric("finetune@scenes")
    ('map', 'accuracy')
    """
    return {"knn": "knn5", "actions": "map", "detection": "map"}.get(task.partition("@")[0], "accuracy")


def measure(task: str) -> str:
    """Name for people what a task is judged by."""
    return "mean average precision" if main_metric(task) == "map" else "accuracy"


def compared(of: dict, against: dict) -> str:
    """Name two conditions for people.

    >>> compared({"images_per_class": 25}, {"images_per_class": 200})
    '25 instead of 200 images per class'
    """
    what = ", ".join(name.replace("_", " ") for name in of)
    one, other = (", ".join(map(str, condition.values())) for condition in (of, against))
    untrained = ("0", "none")
    if other in (*untrained, "chance"):
        first = "no pre-training" if one in untrained else f"{one} {what}"
        return f"{first} instead of {other if other == 'chance' else 'no pre-training'}"
    return f"{one} instead of {other} {what}"


def _holds(results: pd.DataFrame, condition: dict) -> pd.Series:
    return pd.Series([all(row[name] == value for name, value in condition.items())
                      for row in results.to_dict("records")], index=results.index, dtype=bool)
