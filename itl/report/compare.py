"""Two reports side by side: which answers differ, and what differs between their runs."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from itl import ItlError, counted
from itl.analysis.wording import signed, task_name
from itl.machine import Machine
from itl.presets import load_preset
from itl.report.build import pages_of, repeating_command
from itl.report.html import render
from itl.report.run_page import flatten
from itl.runs.questions import QUESTIONS
from itl.runs.task_questions import RANKED
from itl.storage import read_mapping

COMPARISON = ["question", "compared", "task"]  # what names a comparison in contrasts.csv
COMPARED = [*COMPARISON, "verdict", "change"]  # columns of it that are read
JUDGED_BY = ["margin", "gain", "cap"]  # those that are read where it has them
VERDICTS = "contrasts.csv"  # of a finished report
NOTES = "notes"  # name of an attribute of a frame
NETS = ("Pretrain.", "Transfer.pretrain.")  # what the names of settings of a net begin with
DIGEST = re.compile(r"\b[0-9a-f]{12}\b")
ORIGIN = ("commit", "device")  # columns of runs.csv that are not settings
ONLY_OF_TASKS = ("method", "target", "seed")  # the seed of a net is that of its tasks
SHOWN_VALUES = 4
LEAST_MOVE = 0.05  # points between two changes that are not written alike
LEAST_SHARE = 1e-6  # between the margins of two settings, as shares of the gain


def compare_reports(first: str | Path, second: str | Path, home: Path = Path()) -> pd.DataFrame:
    """Compare two reports, given by their folders, or by presets whose reports are in *home*.

    Returns:
        A row for each comparison: question, compared, task; verdict and change (points) of both, as
        verdict_1, verdict_2, change_1, change_2; answer ("alike", "changed", "only in 1", "only in 2"); and
        why: what differs between the runs of the question, empty where one report lacks it. Its attrs have,
        as NOTES, a line on each report of settings that its preset has no longer, and on each answer that is
        missing or is a ranking, which is not compared.
    """
    given = [str(name) for name in (first, second)]
    folders = [find_report(name, home) for name in given]
    every = [_read_verdicts(folder) for folder in folders]
    tables = [table[~table["question"].isin(RANKED)] for table in every]
    joined = tables[0].merge(tables[1], how="outer", on=COMPARISON, suffixes=("_1", "_2"), indicator=True)
    only_one, alike = joined["_merge"] != "both", joined["verdict_1"] == joined["verdict_2"]
    sides = joined["_merge"].map({"left_only": "only in 1", "right_only": "only in 2"})
    joined["answer"] = np.select([only_one, alike], [sides, "alike"], "changed")
    runs = [_read_runs(folder) for folder in folders]
    settings, names = [_settings(table) for table in runs], _pack_names(folders, runs)
    has_caps = all(table["cap"].notna().all() for table in tables)
    judging = [_judging(table, has_caps) for table in tables]
    reasons = {}
    for name, rows in joined.groupby("question"):
        if all(name in made for made in (*settings, *judging)):
            parts = [describe_difference(made[0][name], made[1][name]) for made in (settings, judging)]
            text = "; ".join(filter(None, [*parts, _describe_margins(rows)]))
            reasons[name] = DIGEST.sub(lambda digest: names.get(digest[0], digest[0]), text)
    joined["why"] = joined["question"].map(reasons).fillna("").astype(str)
    joined = joined.drop(columns=["_merge", *(f"{name}_{side}" for name in JUDGED_BY for side in (1, 2))])
    notes = [_outdated(name, folder, home) for name, folder in zip(given, folders, strict=True)]
    notes += _not_compared(runs, [set(table["question"]) for table in every])
    joined.attrs[NOTES] = list(filter(None, notes))
    return joined


def find_report(name: str, home: Path) -> Path:
    """Return the folder of the report *name*: of a preset, in *home*, or a folder itself.

    ItlError if there is no finished one, or one in either place.
    """
    preset = Path(name).stem if name.endswith((".yaml", ".yml")) else name
    folders = dict.fromkeys(folder.absolute() for folder in (Path(name), home / "reports" / preset))
    reports = [folder for folder in folders if (folder / VERDICTS).exists()]
    if len(reports) == 1:
        return reports[0]
    looked = " and in ".join(map(str, folders))
    if reports:
        raise ItlError(f"there is a report {name} in {looked}; give the folder that is meant, with its path")
    done = sorted(path.parent.name for path in (home / "reports").glob(f"*/{VERDICTS}"))
    raise ItlError(
        f"{name} has no finished report: there is no {VERDICTS} in {looked}; `itl report PRESET` writes "
        f"one, and finished in {home / 'reports'} are {', '.join(done) or 'none'}"
    )


def _outdated(name: str, folder: Path, home: Path) -> str:
    """Say if pages in *folder*, the report of the preset *name*, are of settings that this has no longer.

    '' where none is, and where *name* is no preset that can be read.
    """
    try:
        preset, machine = load_preset(name), Machine(home=home)
        pages = pages_of(preset, folder, machine)
    except ItlError:
        return ""
    if folder != (home / "reports" / preset.name).absolute():
        return ""
    other = []
    for page in pages:
        made = _parameters(folder, page.stem)
        if made and not (made | {"preset": preset.reference}).items() >= page.parameters.items():
            other.append(page.stem)
    if not other:
        return ""
    return (
        f"{folder} is of other settings than preset {preset.reference} has now ({', '.join(other)}); "
        f"`{repeating_command(preset, machine)}` makes it again"
    )


def _parameters(folder: Path, stem: str) -> dict[str, Any]:
    """Return what the page *stem* of the report in *folder* was made with; {} without such a page."""
    facts = read_mapping(folder / f"{stem}.ipynb").get("metadata", {})
    return facts.get("papermill", {}).get("parameters", {})


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
    """Return the comparisons of the report in *folder*; ItlError too for a row that is cut or repeated."""
    table = _read(folder, VERDICTS, COMPARED).reindex(columns=[*COMPARED, *JUDGED_BY])
    if table.empty:
        raise ItlError(f"{folder / VERDICTS} has no comparison; repeat `itl report`")
    numbers = pd.to_numeric(table["change"], errors="coerce")
    for faulty, what in (
        (table["verdict"].isna() | ~np.isfinite(numbers), "has no verdict or no change that is a number"),
        (table.duplicated(COMPARISON), "repeats a comparison"),
    ):
        if faulty.any():
            line = int(faulty.argmax()) + 2  # below the header
            raise ItlError(f"{folder / VERDICTS} is damaged: line {line} {what}; repeat `itl report`")
    judged_by = {name: pd.to_numeric(table[name], errors="coerce") for name in JUDGED_BY}
    return table.assign(change=numbers, **judged_by)


def _read_runs(folder: Path) -> pd.DataFrame:
    """Return the runs of the report in *folder*, with the questions of each and its settings by name.

    ItlError if a run has no settings.
    """
    runs = _read(folder, "runs.csv", ("state", "questions", "spec", *ORIGIN))
    settings: list[dict[str, object]] = []
    for row in runs.itertuples():
        try:
            settings.append(_used(flatten(json.loads(row.spec))))
        except (TypeError, ValueError):  # cut off, or not there
            line = row.Index + 2  # below the header
            raise ItlError(
                f"{folder / 'runs.csv'} is damaged: line {line} has no spec as JSON; repeat `itl report`"
            ) from None
    return runs.assign(settings=settings, questions=runs["questions"].astype(str).str.split(", "))


def _settings(runs: pd.DataFrame) -> dict[str, dict[str, set[str]]]:
    """Return by question every setting of its *runs*, and where these were made, with all its values."""
    by_question: dict[str, dict[str, set[str]]] = {}
    for row in runs[runs["state"] == "done"].explode("questions").itertuples():
        values = by_question.setdefault(row.questions, {})
        for name, value in (row.settings | {name: getattr(row, name) for name in ORIGIN}).items():
            values.setdefault(_plain_name(name, row.settings), set()).add(str(value))
    return by_question


def _pack_names(folders: Sequence[Path], runs: Sequence[pd.DataFrame]) -> dict[str, str]:
    """Return the packs of *runs*, by digest, in words: the digest, the target, its source and its path.

    Sources are parameters of the pages in *folders*; a pack without one is left out.
    """
    names: dict[str, str] = {}
    for folder, table in zip(folders, runs, strict=True):
        sources = _sources(folder)
        for row in table.explode("questions").itertuples():
            pairs = [("images", row.settings.get(f"{net}subset.pack")) for net in NETS]
            pairs.append((row.settings.get("Transfer.target"), row.settings.get("Transfer.pack")))
            for target, digest in pairs:
                if digest and (source := sources.get((row.questions, target))):  # '': of own weights
                    names.setdefault(digest, f"{digest} ({target}: {source})")
    return names


def _sources(folder: Path) -> dict[tuple[str, str], str]:
    """Return the source of the images of each target, by question and target, from the pages in *folder*."""
    sources = {}
    for stem, kind in QUESTIONS.items():
        given = _parameters(folder, stem)
        for target, packing in {"images": given.get("images", {}), **given.get("targets", {})}.items():
            words = [str(packing[name]) for name in ("source", "path") if packing.get(name)]
            sources[kind.name, target] = " ".join(words)
    return sources


def _not_compared(runs: Sequence[pd.DataFrame], answered: Sequence[set[str]]) -> list[str]:
    """Name the questions of *runs* that a report has not *answered*, and those that rankings answer.

    A question whose runs are all done may compare nothing; it counts if the other report has its answer.
    """
    lines, ranked = [], set()
    for side, table in enumerate(runs):
        for name, rows in table.explode("questions").groupby("questions", sort=False):
            done = (rows["state"] == "done").sum()
            ranked |= {name} & {*RANKED}
            if name not in answered[side] and (done < len(rows) or name in answered[1 - side]):
                why = "its page is missing, or is of other settings or runs"
                if done < len(rows):
                    why = f"{done} of {counted(len(rows), 'runs')} are done"
                lines.append(f"{name}: report {side + 1} asks it and has no answer, as {why}")
    if ranked:
        lines.append(
            f"{', '.join(sorted(ranked))}: answered by rankings, which are on their pages and not compared"
        )
    return lines


def _judging(table: pd.DataFrame, has_caps: bool) -> dict[str, dict[str, set[str]]]:
    """Return by question how its verdicts were reached: the cap of its seeds, and the main comparison."""
    judging = {}
    for row in table.drop_duplicates("question").itertuples():  # the main comparison is the first
        cap = {"cap": {f"{row.cap:.0f}"}} if has_caps else {}
        judging[row.question] = cap | {"main comparison": {f"{row.compared}, {row.task}"}}
    return judging


def _plain_name(name: str, settings: Mapping[str, object]) -> str:
    """Name a setting of a run, one of *settings*: that of a net as it is, others with their method or target.

    >>> settings = {"Transfer.method": "finetune", "Transfer.target": "scenes"}
    >>> _plain_name("Transfer.pretrain.recipe.lr", settings), _plain_name("commit", settings)
    ('recipe.lr', 'commit')
    >>> _plain_name("Transfer.recipe.lr", settings), _plain_name("Transfer.pack", settings)
    ('recipe.lr of finetune', 'pack of scenes')
    """
    of_net = name.removeprefix("Transfer.pretrain.").removeprefix("Pretrain.")
    of_task = of_net.removeprefix("Transfer.")
    if of_task in (of_net, *ONLY_OF_TASKS):
        return of_task
    owner = "method" if of_task.startswith("recipe.") else "target"
    return f"{of_task} of {settings.get(f'Transfer.{owner}', owner)}"


def _used(settings: dict[str, object]) -> dict[str, object]:
    """Leave out of the *settings* of a run the recipe and subset of a net that is not trained."""
    unused: tuple[str, ...] = ()
    for net in NETS:
        recipe = f"{net}recipe."
        if settings.get(f"{recipe}epochs") == 0 and not settings.get(f"{recipe}steps"):
            unused += (recipe, f"{net}subset.")
    return {name: value for name, value in settings.items() if not name.startswith(unused)}


def describe_difference(first: Mapping[str, set[str]], second: Mapping[str, set[str]]) -> str:
    """Say in which settings two sets of runs differ, values of one alone first.

    >>> describe_difference({"seed": {"0", "1"}, "net": {"small"}}, {"seed": {"2"}, "net": {"small"}})
    'seed: 0, 1 → 2'
    """
    differing = [name for name in dict.fromkeys([*first, *second]) if first.get(name) != second.get(name)]
    parts = []
    for name in differing:
        values, others = first.get(name, set()), second.get(name, set())
        parts.append(f"{name}: {_list(values, others)} → {_list(others, values)}")
    return "; ".join(parts)


def _describe_margins(rows: pd.DataFrame) -> str:
    """Say how the margin of the first of *rows* differs whose margins do; '' where all are alike.

    The same share of gains that differ is no other margin: that is of the runs.
    """
    shares = [rows[f"margin_{side}"] / rows[f"gain_{side}"] for side in (1, 2)]
    same_share = (shares[0] - shares[1]).abs() < LEAST_SHARE  # False where a gain is not known
    moved = rows[((rows["margin_1"] - rows["margin_2"]).abs() >= LEAST_MOVE) & ~same_share]
    if moved.empty:
        return ""
    first = moved.iloc[0]
    return f"margin: {first['margin_1']:.1f} → {first['margin_2']:.1f} points"


def summary(table: pd.DataFrame) -> str:
    """Write what `compare_reports` returns for people: a line for each answer that differs."""
    counts = table["answer"].value_counts().sort_index()
    parts = [f"{count} {answer}" for answer, count in counts.items()]
    lines = [f"{len(table)} answers: {', '.join(parts) or 'nothing to compare'}"]
    for row in table[table["answer"] == "changed"].itertuples():
        lines.append(
            f"{row.question}: {row.compared}, {row.task}: {row.verdict_1} ({row.change_1:+.1f} points) → "
            f"{row.verdict_2} ({row.change_2:+.1f} points)"
        )
    alike = table[table["answer"] == "alike"]
    moved = (alike["change_1"] - alike["change_2"]).abs()
    if len(alike) and moved.max() >= LEAST_MOVE:
        most = alike.loc[moved.idxmax()]
        lines.append(
            f"alike are verdicts; changes under them differ by up to {moved.max():.1f} points, from "
            f"{most['change_1']:+.1f} to {most['change_2']:+.1f} in {most['question']}: {most['compared']}, "
            f"{most['task']}"
        )
    reasons = table.drop_duplicates("question")
    lines += [f"{row.question} differs in {row.why}" for row in reasons.itertuples() if row.why]
    for answer in ("only in 1", "only in 2"):
        questions = [name for name, rows in table.groupby("question") if set(rows["answer"]) == {answer}]
        lines += [f"{', '.join(map(str, questions))}: {answer}"] if questions else []
    return "\n".join([*lines, *table.attrs.get(NOTES, [])])


def page(table: pd.DataFrame, first: str, second: str) -> str:
    """Write what `compare_reports` returns as a page of its own; *first* and *second* name the reports."""
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
        notes=table.attrs.get(NOTES, []),
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
