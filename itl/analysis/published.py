"""The paper's findings beside ours, and whether ours support or contradict them."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import pandas as pd

from itl.analysis.comparisons import Answer, contrast, tabulate
from itl.analysis.statistics import GAIN, LOSS
from itl.analysis.wording import condition_text, interval, signed
from itl.evaluation.methods import main_metric

TABLE_COLUMNS = ["whose", "finding", "compared", "task", "metric", "change", "verdict"]
SUPPORTS, CONTRADICTS, CANNOT_TELL = "supports it", "contradicts it", "cannot tell"


@dataclass(frozen=True)
class Finding:
    """One finding of the paper: a row of published.csv."""

    question: str
    finding: str
    sign: str  # of the change that it is about: + or -
    comparison: str  # number among the comparisons of the question, or '' where the conditions are numbers
    column: str  # what the conditions are numbers of: images_per_class or classes
    of: str
    against: str
    task: str
    metric: str
    value: str  # the change in points, where the paper gives it
    where: str  # in the paper

    @property
    def conditions(self) -> str:
        """The paper's conditions for people; '' where no numbers are known."""
        return _condition_text(self.of, self.against, self.column) if self.column else ""


def findings(question: str) -> list[Finding]:
    """Read what the paper found on *question*."""
    table = pd.read_csv(files("itl") / "analysis/published.csv", dtype=str, keep_default_na=False)
    return [Finding(**row) for row in table.to_dict("records") if row["question"] == question]


def judge(verdict: str, sign: str) -> str:
    """Say what a comparison with *verdict* makes of a finding that its change is + or −.

    >>> judge("a loss beyond seed noise", "-"), judge("no difference beyond seed noise", "-")
    ('supports it', 'cannot tell')
    """
    if verdict not in (GAIN, LOSS):
        return CANNOT_TELL
    return SUPPORTS if (verdict == GAIN) == (sign == "+") else CONTRADICTS


def beside_paper(answer: Answer) -> pd.DataFrame:
    """Tabulate what the paper found on a question, each finding above our same comparison on every task.

    Where the paper's conditions are numbers, ours are the largest and the one whose share of it is nearest to
    the paper's: 500 of 1000 images per class stand beside 100 of 200.

    Returns:
        Columns whose (the paper, or ours), finding, compared, task, metric, change, verdict; all texts.
    """
    rows = []
    for finding in findings(answer.question.name):
        change = signed(float(finding.value)) if finding.value else ""
        names = (finding.conditions, finding.task, finding.metric)
        rows.append(("the paper", finding.finding, *names, change, ""))
        for ours in _same_comparison(answer, finding).itertuples():
            change = f"{signed(ours.change)} ({interval(ours.low, ours.high)})"
            names = (ours.compared, ours.task, ours.metric)
            rows.append(("ours", judge(ours.verdict, finding.sign), *names, change, ours.verdict))
    if not rows:
        rows.append(("the paper", "no finding on this is known", *[""] * 5))
    return pd.DataFrame(rows, columns=TABLE_COLUMNS)


def judged_findings(answers: Sequence[Answer]) -> pd.DataFrame:
    """Tabulate the paper's finding on every question beside our comparison on the question's main task.

    Returns:
        Columns question, the paper found, finding (what ours makes of that), ours, task, change, verdict.
    """
    rows = []
    for answer in answers:
        table, main_task = beside_paper(answer), answer.question.tasks[0].name
        theirs = table[table["whose"] == "the paper"]["finding"].iloc[0]
        for ours in table[(table["whose"] == "ours") & (table["task"] == main_task)].itertuples():
            names = (answer.question.name, theirs, ours.finding, ours.compared, ours.task)
            rows.append((*names, ours.change, ours.verdict))
    columns = ["question", "the paper found", "finding", "ours", "task", "change", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def count_findings(table: pd.DataFrame) -> str:
    """Say how many findings of *table* are supported, contradicted, or neither.

    >>> count_findings(pd.DataFrame({"finding": ["supports it", "cannot tell", "cannot tell"]}))
    '1 is supported, 0 contradicted, and these runs cannot tell for 2'
    """
    counts = table["finding"].value_counts()
    supported, contradicted, unclear = (counts.get(word, 0) for word in (SUPPORTS, CONTRADICTS, CANNOT_TELL))
    verb = "is" if supported == 1 else "are"
    return (
        f"{supported} {verb} supported, {contradicted} contradicted, and these runs cannot tell for {unclear}"
    )


def _same_comparison(answer: Answer, finding: Finding) -> pd.DataFrame:
    """Return contrasts of ours, on every task, of the conditions that *finding* is about."""
    if finding.column:
        return _nearest_comparison(answer, finding)
    number, comparisons = int(finding.comparison), answer.question.comparisons
    if number >= len(comparisons):
        return tabulate([])
    text = condition_text(dict(comparisons[number].of), dict(comparisons[number].against))
    return answer.contrasts[answer.contrasts["compared"] == text]


def _nearest_comparison(answer: Answer, finding: Finding) -> pd.DataFrame:
    """Contrast our condition whose share of the largest is nearest to the paper's with that largest one."""
    results = answer.results
    sizes = _sizes(results, finding.column)
    against = max(sizes, key=sizes.get)
    share = float(finding.of) / float(finding.against)
    of = min(sizes, key=lambda condition: abs(sizes[condition] / sizes[against] - share))
    if of == against:
        return tabulate([])
    column = "label_set" if finding.column == "classes" else finding.column
    tasks = results[results[column].isin([of, against])]["task"].unique()
    rows = []
    for task in tasks:
        if task == "own" and column == "label_set":
            continue  # nets with other classes of their own
        metric = main_metric(task)
        change = contrast(results, task=task, metric=metric, of={column: of}, against={column: against})
        rows.append((answer.question.name, _condition_text(of, against, column), task, metric, change))
    return tabulate(rows)


def _sizes(results: pd.DataFrame, column: str) -> dict[object, float]:
    """Map each condition with pre-training to its number of classes, or of images in an average class."""
    trained = results[results["classes"] > 0]
    if column == "classes":
        return dict(zip(trained["label_set"], trained["classes"], strict=True))
    return dict(zip(trained[column], trained["images"] / trained["classes"], strict=True))


def _condition_text(of: object, against: object, column: str) -> str:
    if column == "classes":
        return f"{of} instead of {against} classes"
    return condition_text({column: of}, {column: against})
