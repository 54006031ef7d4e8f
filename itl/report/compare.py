"""Two reports side by side: which answers differ, and what differs between their runs."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from itl.analysis.origins import ORIGINS
from itl.analysis.verdicts import verdicts_by_control
from itl.analysis.wording import signed, task_name
from itl.errors import ItlError
from itl.report.html import render
from itl.report.run_page import flatten
from itl.runs.task_questions import RANKED

COMPARISON = ["question", "compared", "task"]  # what names a comparison in contrasts.csv
ANSWER = [*COMPARISON, "verdict", "change"]  # columns of it that are compared
JUDGED_BY = ("margin", "cap")  # columns of it that say by what a verdict was reached
CONTRASTS = "contrasts.csv"  # of a finished report
ORIGIN = ("commit", "device")  # of ORIGINS, those that older reports have in runs.csv too
ONLY_OF_TASKS = ("method", "target", "seed")  # the seed of a net is that of its tasks
NETS = ("Transfer.pretrain.", "Pretrain.")  # before the settings of a net
SHOWN_VALUES = 4


@dataclass(frozen=True)
class Differences:
    """The answers of two reports side by side.

    The table has a row for each comparison: question, compared, task; verdict and change (points) of both, as
    verdict_1, verdict_2, change_1, change_2; answer ("alike", "changed", "only in 1", "only in 2"); and why:
    what differs between the runs of the question, the margins and caps that they are judged by, and its main
    comparison; empty where one report lacks it.
    """

    table: pd.DataFrame
    notes: list[str]  #: a line on rankings, which are not compared


def compare_reports(first: str | Path, second: str | Path, home: Path = Path()) -> Differences:
    """Compare two reports, given by their folders, or by presets whose reports are in *home*."""
    folders = [find_report(str(name), home) for name in (first, second)]
    tables = [_read_verdicts(folder) for folder in folders]
    settings = [_settings(folder, table) for folder, table in zip(folders, tables, strict=True)]
    answers = [table.loc[~table["question"].isin(RANKED), ANSWER] for table in tables]
    joined = answers[0].merge(answers[1], how="outer", on=COMPARISON, suffixes=("_1", "_2"), indicator=True)
    only_one, alike = joined["_merge"] != "both", joined["verdict_1"] == joined["verdict_2"]
    sides = joined["_merge"].map({"left_only": "only in 1", "right_only": "only in 2"})
    joined["answer"] = np.select([only_one, alike], [sides, "alike"], "changed")
    both = {*tables[0]["question"]} & {*tables[1]["question"]}
    reasons = {name: describe_difference(settings[0][name], settings[1][name]) for name in both}
    joined["why"] = joined["question"].map(reasons).fillna("").astype(str)
    joined = joined.drop(columns="_merge")
    ranked = sorted({*settings[0], *settings[1]} & {*RANKED})
    rankings = f"{', '.join(ranked)}: answered by rankings, which are on their pages and not compared"
    return Differences(joined, [rankings] if ranked else [])


def find_report(name: str, home: Path) -> Path:
    """Return the folder of the report *name*: of a preset, in *home*, or a folder itself.

    ItlError if there is no finished one, or one in either place.
    """
    preset = Path(name).stem if name.endswith((".yaml", ".yml")) else name
    folders = dict.fromkeys(folder.absolute() for folder in (Path(name), home / "reports" / preset))
    reports = [folder for folder in folders if (folder / CONTRASTS).exists()]
    if len(reports) == 1:
        return reports[0]
    looked = " and in ".join(map(str, folders))
    if reports:
        raise ItlError(f"there is a report {name} in {looked}; give the folder that is meant, with its path")
    done = sorted(path.parent.name for path in (home / "reports").glob(f"*/{CONTRASTS}"))
    raise ItlError(
        f"{name} has no finished report: there is no {CONTRASTS} in {looked}; `itl report PRESET` writes "
        f"one, and finished in {home / 'reports'} are {', '.join(done) or 'none'}"
    )


def _read(folder: Path, name: str, columns: Sequence[str]) -> pd.DataFrame:
    """Return the table *name* of the report in *folder*; ItlError if it is missing or lacks *columns*."""
    try:
        table = pd.read_csv(folder / name, dtype=str)  # a commit of digits is no number
    except FileNotFoundError as error:
        raise ItlError(f"{folder} is no finished report: it lacks {name}; repeat `itl report`") from error
    except ValueError as error:  # as pandas raises for what is no CSV
        raise ItlError(f"{folder / name} is damaged: {error}; repeat `itl report`") from error
    if lacking := [column for column in columns if column not in table]:
        raise ItlError(f"{folder / name} has no column {', '.join(lacking)}; repeat `itl report`")
    return table


def _read_verdicts(folder: Path) -> pd.DataFrame:
    """Return the comparisons of the report in *folder*; ItlError if one is cut off or repeated."""
    table = _read(folder, CONTRASTS, (*ANSWER, *JUDGED_BY))
    if table.empty:
        raise ItlError(f"{folder / CONTRASTS} has no comparison; repeat `itl report`")
    numbers = {name: pd.to_numeric(table[name], errors="coerce") for name in ("change", *JUDGED_BY)}
    if table["verdict"].isna().any() or not np.isfinite([numbers["change"], numbers["cap"]]).all():
        raise ItlError(
            f"{folder / CONTRASTS} is damaged: a verdict is missing, or a change or cap is no number; repeat "
            "`itl report`"
        )
    if table.duplicated(COMPARISON).any():
        raise ItlError(f"{folder / CONTRASTS} is damaged: it repeats a comparison; repeat `itl report`")
    if "control" in table:  # as the index says it; older reports have no such column
        table["verdict"] = verdicts_by_control(table)
    return table.assign(**numbers)


def _settings(folder: Path, verdicts: pd.DataFrame) -> dict[str, dict[str, set[str]]]:
    """Return, by question of the report in *folder*, every setting of its runs with all values of it.

    Settings are also where the runs were made, and by what the *verdicts* were reached. ItlError if a run has
    no settings.
    """
    runs = _read(folder, "runs.csv", ("state", "questions", "spec", *ORIGIN))
    runs["questions"] = runs["questions"].astype(str).str.split(", ")
    by_question: dict[str, dict[str, set[str]]] = {}
    for row in runs.explode("questions").itertuples():
        try:
            settings = _used(flatten(json.loads(row.spec)))
        except (TypeError, ValueError):  # cut off, or not there
            raise ItlError(
                f"{folder / 'runs.csv'} is damaged: a run has no spec as JSON; repeat `itl report`"
            ) from None
        values = by_question.setdefault(row.questions, {})
        if row.state == "done":
            made = {name: getattr(row, name) for name in ORIGINS if pd.notna(getattr(row, name, None))}
            for name, value in (settings | made).items():
                values.setdefault(_plain_name(name, settings), set()).add(str(value))
    for name, rows in verdicts.groupby("question"):
        values, main = by_question.setdefault(str(name), {}), rows.iloc[0]  # the first is the main one
        values["margin"] = {f"{margin:.1f} points" for margin in rows["margin"].dropna()}
        values["cap"] = {f"{cap:.0f}" for cap in rows["cap"]}
        values["main comparison"] = {f"{main['compared']}, {main['task']}"}
    return by_question


def _used(settings: dict[str, object]) -> dict[str, object]:
    """Leave out of the *settings* of a run the recipe and subset of a net that is not trained."""
    unused: tuple[str, ...] = ()
    for net in NETS:
        recipe = f"{net}recipe."
        if settings.get(f"{recipe}epochs") == 0 and not settings.get(f"{recipe}steps"):
            unused += (recipe, f"{net}subset.")
    return {name: value for name, value in settings.items() if not name.startswith(unused)}


def _plain_name(name: str, settings: Mapping[str, object]) -> str:
    """Name a setting of a run, one of *settings*: that of a net as it is, others with their method or target.

    >>> settings = {"Transfer.method": "finetune", "Transfer.target": "scenes"}
    >>> _plain_name("Transfer.pretrain.recipe.lr", settings), _plain_name("commit", settings)
    ('recipe.lr', 'commit')
    >>> _plain_name("Transfer.recipe.lr", settings), _plain_name("Transfer.pack", settings)
    ('recipe.lr of finetune', 'pack of scenes')
    """
    of_net = name.removeprefix(NETS[0]).removeprefix(NETS[1])
    of_task = of_net.removeprefix("Transfer.")
    if of_task in (of_net, *ONLY_OF_TASKS):
        return of_task
    owner = "method" if of_task.startswith("recipe.") else "target"
    return f"{of_task} of {settings.get(f'Transfer.{owner}', owner)}"


def describe_difference(first: Mapping[str, set[str]], second: Mapping[str, set[str]]) -> str:
    """Say in which settings two sets of runs differ, values of one alone first.

    What made the runs (ORIGINS) counts only where it is known of both: older reports lack some of it.

    >>> describe_difference({"seed": {"0", "1"}, "net": {"small"}}, {"seed": {"2"}, "net": {"small"}})
    'seed: 0, 1 → 2'
    """
    unknown = ORIGINS.keys() - (first.keys() & second.keys())
    names = [name for name in dict.fromkeys([*first, *second]) if name not in unknown]
    differing = [name for name in names if first.get(name) != second.get(name)]
    parts = []
    for name in differing:
        values, others = first.get(name, set()), second.get(name, set())
        parts.append(f"{name}: {_list(values, others)} → {_list(others, values)}")
    return "; ".join(parts)


def summary(differences: Differences) -> str:
    """Write *differences* for people: a line for each answer that differs."""
    table = differences.table
    counts = table["answer"].value_counts().sort_index()
    parts = [f"{count} {answer}" for answer, count in counts.items()]
    lines = [f"{len(table)} answers: {', '.join(parts) or 'nothing to compare'}"]
    for row in table[table["answer"] == "changed"].itertuples():
        lines.append(
            f"{row.question}: {row.compared}, {row.task}: {row.verdict_1} ({signed(row.change_1)} points) → "
            f"{row.verdict_2} ({signed(row.change_2)} points)"
        )
    reasons = table.drop_duplicates("question")
    lines += [f"{row.question} differs in {row.why}" for row in reasons.itertuples() if row.why]
    for answer in ("only in 1", "only in 2"):
        questions = [name for name, rows in table.groupby("question") if set(rows["answer"]) == {answer}]
        lines += [f"{', '.join(map(str, questions))}: {answer}"] if questions else []
    return "\n".join([*lines, *differences.notes])


def page(differences: Differences, first: str, second: str) -> str:
    """Write *differences* as a page of its own; *first* and *second* name the reports."""
    table = differences.table
    rows = [
        {
            "question": row.question,
            "compared": row.compared,
            "task": task_name(row.task),
            "changed": row.answer == "changed",
            "sides": [_side(row.verdict_1, row.change_1), _side(row.verdict_2, row.change_2)],
        }
        for row in table.itertuples()
    ]
    counts = {"answers": len(table)} | table["answer"].value_counts().to_dict()
    differing = table[table["why"] != ""].drop_duplicates("question")
    reasons = differing.groupby("why", sort=False)["question"].agg(", ".join)
    return render(
        "compare.html.j2",
        names=(first, second),
        counts=counts,
        changed=[row for row in rows if row["changed"]],
        others=[row for row in rows if not row["changed"]],
        reasons=reasons.to_dict(),
        notes=differences.notes,
    )


def _side(verdict: object, change: float) -> str:
    """Write the answer of one report; '' where it has none."""
    return f"{verdict} ({signed(change)})" if isinstance(verdict, str) else ""


def _list(values: set[str], others: set[str]) -> str:
    """Write *values*, the first few of them, and of these first those that *others* lack."""
    shown = sorted(values, key=lambda value: (value in others, _as_number(value), value))
    more = f" and {len(shown) - SHOWN_VALUES} more" if len(shown) > SHOWN_VALUES else ""
    return ", ".join(shown[:SHOWN_VALUES]) + more if shown else "none"


def _as_number(value: str) -> float:
    """Return the number that *value* writes; infinity, which comes after all, for one that is none."""
    try:
        return float(value)
    except ValueError:
        return math.inf
