"""The paper's findings beside ours, in tables, and whether ours supports them."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from itl.analysis.comparisons import Answer, main_contrasts
from itl.analysis.findings import Finding, findings, our_comparison
from itl.analysis.seeds import level_of
from itl.analysis.statistics import LEVEL, holm, p_above
from itl.analysis.verdicts import DECIDED, count_text, shows_no_gain, verdicts_by_control
from itl.analysis.wording import CANNOT_TELL, TOO_FEW, change_text, verdict_text
from itl.words import counted

SUPPORTS, CONTRADICTS = "supports it", "contradicts it"  # or CANNOT_TELL, TOO_FEW
CONSISTENT, OTHER_SIZE = "consistent in size", "contradicts its size"
TABLE_COLUMNS = ["whose", "finding", "compared", "task", "metric", "change", "verdict", "source"]
NOTHING_COMPARABLE = "no comparable condition here"


def beside_paper(answer: Answer) -> pd.DataFrame:
    """Tabulate the paper's findings on a question, each above the same comparison of ours on every task.

    Returns:
        All texts: whose (the paper, or ours), finding, compared, task, metric, change, verdict, source.
    """
    rows: list[tuple[str, ...]] = []
    for finding, ours in compared_findings(answer):
        names = (finding.conditions, finding.task, finding.metric)
        rows.append(("the paper", finding.finding, *names, finding.size_text, "", finding.source))
        if ours.empty:
            rows.append(("ours", NOTHING_COMPARABLE, *[""] * 6))
        for _, row in ours.iterrows():
            names = (row["compared"], row["task"], row["metric"])
            rows.append(("ours", row["finding"], *names, change_text(row), verdict_text(row), ""))
    if not rows:
        rows.append(("the paper", "no finding on this is known", *[""] * 6))
    return pd.DataFrame(rows, columns=TABLE_COLUMNS)


def compared_findings(answer: Answer) -> list[tuple[Finding, pd.DataFrame]]:
    """Return each finding of the paper with our contrasts on the same comparison, one row a task.

    Their column finding says what ours makes of it. Whether ours may be as large as a published change is
    tested where the task is measured in the same way (`Finding.is_measured_so`); these tests are adjusted
    together.
    """
    known = findings(answer.question.name)
    if not known:
        return []
    ours = pd.concat([_our_rows(answer, one).assign(number=number) for number, one in enumerate(known)])
    ours["p_size"] = holm([_p_size(row, known[row.number], answer.results) for row in ours.itertuples()])
    ours["finding"] = [judge_finding(row, known[row["number"]], row["p_size"]) for _, row in ours.iterrows()]
    return [(finding, ours[ours["number"] == number]) for number, finding in enumerate(known)]


def _our_rows(answer: Answer, finding: Finding) -> pd.DataFrame:
    """Return the contrasts of ours, on every task, that *finding* is held against."""
    comparison = our_comparison(finding, answer.question, answer.results)
    if comparison is None:
        return answer.contrasts.head(0)
    rows = answer.contrasts_of(comparison, finding.beside_own)
    return rows[rows["task"] != "own"]


def judge_finding(row: pd.Series, finding: Finding, p_size: float) -> str:
    """Say what a row of contrasts, a comparison of ours, makes of *finding*.

    Args:
        p_size: p value of our change being the published one, adjusted for all such findings; nan where the
            size is not known, or was measured in another way.

    Returns:
        Supports it: our change has its sign beyond noise, also where the verdict on it is the same within the
        margin, and, where the size is known, may be as large. Contradicts it: our change has the other sign
        beyond noise. Contradicts its size: the published change is tested to be another. Consistent in size:
        it lies within our 95 % interval, which is no wider than the margin to either side. Too few seeds to
        say, as our verdict. Cannot tell: anything else, and where pre-training itself gives too little: a
        change then says nothing of what makes features transfer.
    """
    if row["verdict"] == TOO_FEW:
        return TOO_FEW
    if shows_no_gain(row["control"]):
        return CANNOT_TELL
    beyond = ("+" if row["change"] > 0 else "-") if row["p_adjusted"] < LEVEL else ""
    if beyond and beyond != finding.sign:
        return CONTRADICTS
    if p_size < LEVEL:
        return OTHER_SIZE
    if beyond:
        return SUPPORTS
    is_narrow = (row["high"] - row["low"]) / 2 <= row["margin"]
    holds_size = is_narrow and row["low"] <= finding.size <= row["high"]
    return CONSISTENT if math.isfinite(p_size) and holds_size else CANNOT_TELL


def _p_size(row: Any, finding: Finding, results: pd.DataFrame) -> float:
    """Return the p value of the change of a row of contrasts being that of *finding*, adjusted for looks.

    It is nan where one of them is not known or measured in another way, and where scores could not show it:
    at a floor or ceiling, or without a gain from pre-training.
    """
    shows_none = bool(row.control) and not math.isnan(row.gain)
    if not finding.is_measured_so(row.task, row.metric, results) or shows_none or not row.standard_error > 0:
        return math.nan
    p = 2 * p_above(abs(row.change - finding.size) / row.standard_error, row.df)
    return min(1.0, p * LEVEL / level_of(row.n, row.cap))


def judged_findings(answers: Sequence[Answer]) -> pd.DataFrame:
    """Tabulate the paper's findings on every question beside our comparison on the question's main task.

    A finding whose size is known from two sources is one row, unless ours is judged differently beside each.

    Returns:
        Columns question, the paper found, finding (what ours makes of that), ours, task, change, verdict.
    """
    sizes: dict[tuple[str, ...], list[str]] = {}  # the published ones, of each row
    for answer in answers:
        main_task = answer.question.tasks[0].name
        for finding, ours in compared_findings(answer):
            task = main_task if main_task in set(ours["task"]) else next(iter(ours["task"]), "")
            texts = [
                (row["finding"], row["compared"], row["task"], change_text(row), verdict_text(row))
                for _, row in ours[ours["task"] == task].iterrows()
            ]
            for text in texts or [(NOTHING_COMPARABLE, "", "", "", "")]:
                of_row = sizes.setdefault((answer.question.name, finding.finding, *text), [])
                of_row += [finding.size_text] if finding.value else []
    rows = [
        (question, f"{text} ({' or '.join(known)} points)" if known else text, *ours)
        for (question, text, *ours), known in sizes.items()
    ]
    columns = ["question", "the paper found", "finding", "ours", "task", "change", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def summary_text(contrasts: pd.DataFrame, judged: pd.DataFrame) -> str:
    """Count the answers of *contrasts*, of the main ones among them, and of *judged* findings."""
    contrasts = contrasts.assign(verdict=verdicts_by_control(contrasts))
    decided, main = contrasts["verdict"].isin(DECIDED).sum(), main_contrasts(contrasts)
    parts = [f"**{counted(decided, 'comparisons are')} decided** of {len(contrasts)}."]
    if len(main):
        verdicts = count_text(main["verdict"].value_counts())
        parts.append(f"The main ones of {counted(len(main), 'questions')}: {verdicts}.")
    if len(judged):
        parts.append(f"Of the paper's findings, {count_findings(judged)}.")
    return " ".join(parts)


def count_findings(table: pd.DataFrame) -> str:
    """Say how many findings of *table* are supported, contradicted, or neither.

    Those that no condition of ours can be held against are counted apart.

    >>> count_findings(pd.DataFrame({"finding": ["supports it", "cannot tell", "too few seeds to say"]}))
    '1 supported, 0 contradicted, 0 consistent in size; these runs cannot tell for 2'
    """
    counts = table["finding"].value_counts()
    contradicted = counts.get(CONTRADICTS, 0) + counts.get(OTHER_SIZE, 0)
    unclear = sum(counts.get(word, 0) for word in (CANNOT_TELL, TOO_FEW))
    lacking = counts.get(NOTHING_COMPARABLE, 0)
    return (
        f"{counts.get(SUPPORTS, 0)} supported, {contradicted} contradicted, {counts.get(CONSISTENT, 0)} "
        f"consistent in size; these runs cannot tell for {unclear}"
        + (f" and have no comparable condition for {lacking}" if lacking else "")
    )
