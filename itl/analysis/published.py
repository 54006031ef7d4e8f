"""What the paper found, beside what came out here, and which of its findings that supports or contradicts."""

from importlib.resources import files

import pandas as pd

from itl.analysis.comparisons import contrast, contrasts, tabulate
from itl.analysis.statistics import GAIN, LOSS
from itl.analysis.wording import compared, interval, main_metric, signed
from itl.machine import Machine
from itl.presets import Preset
from itl.runs.question import Question
from itl.runs.questions import questions_of
from itl.runs.store import Store

COLUMNS = ["whose", "finding", "compared", "task", "metric", "change", "verdict"]
SUPPORTS, CONTRADICTS, CANNOT_TELL = "supports it", "contradicts it", "cannot tell"


def published() -> pd.DataFrame:
    """Read the paper's findings: one a row, with the figure where one is at hand.

    Columns: question, finding, sign (of the change that it speaks of), comparison (number among those of the
    question), column, of, against, task, metric, value, where.
    """
    return pd.read_csv(files("itl") / "analysis/published.csv", keep_default_na=False)


def judged(verdict: str, sign: str) -> str:
    """Say what a comparison with *verdict* makes of a finding that its change is + or −.

    >>> judged("a loss beyond seed noise", "-"), judged("no difference beyond seed noise", "-")
    ('supports it', 'cannot tell')
    """
    if verdict not in (GAIN, LOSS):
        return CANNOT_TELL
    return SUPPORTS if (verdict == GAIN) == (sign == "+") else CONTRADICTS


def beside_paper(question: Question, told: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Set what the paper found on *question* above the same comparison of ours, on every task.

    *told* are the contrasts of *results*. Where the paper's conditions are numbers, ours are the largest and
    the one whose share of it is nearest to the paper's: 500 of 1000 images per class beside 100 of 200.
    """
    found = published().query("question == @question.name")
    rows = []
    for paper in found.itertuples():
        theirs = _words(paper.of, paper.against, paper.column) if paper.column else ""
        change = signed(float(paper.value)) if paper.value else ""
        rows.append(("the paper", paper.finding, theirs, paper.task, paper.metric, change, ""))
        ours = _nearest(question, results, paper) if paper.column else _numbered(question, told, paper)
        rows += [("ours", judged(each.verdict, paper.sign), each.compared, each.task, each.metric,
                  f"{signed(each.change)} ({interval(each.low, each.high)})", each.verdict)
                 for each in ours.itertuples()]
    if not rows:
        rows.append(("the paper", "none of its findings on this is at hand", *[""] * 5))
    return pd.DataFrame(rows, columns=COLUMNS)


def findings(preset: Preset, store: Store, machine: Machine) -> pd.DataFrame:
    """Set beside every finding of the paper our comparison on the main task of that question of *preset*.

    Columns: question, the paper found, finding (what ours makes of that), ours, task, change, verdict.
    """
    rows = []
    for question in questions_of(preset):
        results = question.results(store, machine)
        table = beside_paper(question, contrasts(question, results), results)
        theirs, ours = table.query("whose == 'the paper'").iloc[0], table.query("whose == 'ours'")
        for each in ours[ours["task"] == question.tasks[0].name].itertuples():
            names = (question.name, theirs["finding"], each.finding, each.compared, each.task)
            rows.append((*names, each.change, each.verdict))
    columns = ["question", "the paper found", "finding", "ours", "task", "change", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def counted(found: pd.DataFrame) -> str:
    """Say how many of *found* are supported, contradicted, or neither.

    >>> counted(pd.DataFrame({"finding": ["supports it", "cannot tell", "cannot tell"]}))
    '1 is supported, 0 contradicted, and of 2 these runs cannot tell'
    """
    count = {word: int((found["finding"] == word).sum()) for word in (SUPPORTS, CONTRADICTS, CANNOT_TELL)}
    return (f"{count[SUPPORTS]} {'is' if count[SUPPORTS] == 1 else 'are'} supported, {count[CONTRADICTS]} "
            f"contradicted, and of {count[CANNOT_TELL]} these runs cannot tell")


def _numbered(question: Question, told: pd.DataFrame, paper: tuple) -> pd.DataFrame:
    """The rows of *told* that are of the comparison which *paper* names by its number."""
    asked = question.comparisons[int(paper.comparison):][:1]
    return told[told["compared"].isin([compared(dict(each.of), dict(each.against)) for each in asked])]


def _nearest(question: Question, results: pd.DataFrame, paper: tuple) -> pd.DataFrame:
    """Contrast the condition of ours whose share of the largest is nearest to the paper's, on every task."""
    sizes = _sizes(results, paper.column)
    against = max(sizes, key=sizes.get)
    share = float(paper.of) / float(paper.against)
    of = min(sizes, key=lambda each: abs(sizes[each] / sizes[against] - share))
    if of == against:
        return tabulate([])
    name = "label_set" if paper.column == "classes" else paper.column
    pair = {"of": {name: of}, "against": {name: against}}
    there = results[results[name].isin([of, against])]
    tasks = [task for task in there["task"].unique() if task != "own" or name != "label_set"]
    return tabulate([
        (question.name, _words(of, against, name), task, main_metric(task),
         contrast(results, task=task, metric=main_metric(task), **pair)) for task in tasks
    ])


def _sizes(results: pd.DataFrame, column: str) -> dict[object, float]:
    """Map each condition that was trained on to its number, of classes or of images in an average class."""
    trained = results[results["classes"] > 0]
    if column == "classes":
        return dict(zip(trained["label_set"], trained["classes"], strict=True))
    return dict(zip(trained[column], trained["images"] / trained["classes"], strict=True))


def _words(of: object, against: object, column: str) -> str:
    if column == "classes":
        return f"{of} instead of {against} classes"
    return compared({column: of}, {column: against})
