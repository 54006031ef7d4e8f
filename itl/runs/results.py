"""The results of several questions in one table, and what is missing from it."""

from collections.abc import Sequence
from contextlib import suppress

import pandas as pd
from pandas.api.types import infer_dtype

from itl.errors import ItlError
from itl.machine import Machine
from itl.packs.paths import find_source, packed
from itl.packs.source_state import PackRequest, changes_since
from itl.runs.plan import describe_changes
from itl.runs.question import Question, nothing_done
from itl.runs.store import Store
from itl.specs import pretraining_of
from itl.words import counted


def results_of(questions: Sequence[Question], store: Store, machine: Machine) -> pd.DataFrame:
    """Return every number of the finished runs of *questions* (at least one): see `Question.results`.

    ItlError if there is none, or no run of any is finished.
    """
    if isinstance(questions, Question) or not questions:
        raise ItlError("results are those of a list of questions, one at least: results_of([question], …)")
    tables = [question.results_so_far(store, machine) for question in questions]
    if all(table.empty for table in tables):
        raise nothing_done(questions, store, machine)
    return pd.concat([table for table in tables if not table.empty])


def notes_on(
    results: pd.DataFrame, questions: Sequence[Question], store: Store, machine: Machine, command: str
) -> list[str]:
    """Say what the *results* of *questions* are not of, a line each; the *command* does missing runs."""
    trials = [
        f"runs on fresh seeds that the page of {question.name} tries are in the report's results.csv alone"
        for question in questions
        if question.afterwards
    ]
    missing = describe_missing(questions, results, store, machine)
    left = [f"{missing}; `{command}` does them"] if missing else []
    return [*changed_sources(questions, machine), *trials, *left]


def describe_missing(
    questions: Sequence[Question], results: pd.DataFrame, store: Store, machine: Machine
) -> str:
    """Say how many runs of *questions* are not in their *results*, and which have none; '' where all are."""
    done = {spec: store.is_done(spec) for question in questions for spec in question.specs(machine)}
    left = len(done) - sum(done.values())
    if not left:
        return ""
    nets = [pretraining_of(spec) for spec in done if done[spec]]
    lost = sum(net.trained and not done[net] for net in nets)  # whose measurements are not in the table
    empty = [question.name for question in questions if question.name not in set(results["question"])]
    of_which = f", which has nothing of {', '.join(empty)}" if empty else ""
    verb = "is" if left == 1 else "are"
    finished = f", nor {counted(lost, 'finished runs')} on lost nets" if lost else ""
    return f"{left} of {len(done)} runs {verb} not done and not in this table{finished}{of_which}"


def changed_sources(questions: Sequence[Question], machine: Machine) -> list[str]:
    """Return a line on each pack of *questions* whose source has changed since, where that is here."""
    packings = dict.fromkeys(pair for question in questions for pair in question.packings().items())
    lines = []
    for name, packing in packings:
        pack = packed(packing, name, machine)
        with suppress(ItlError, OSError):  # results need no data
            request = PackRequest(packing, find_source(packing, name, machine))
            if pack and (changes := str(changes_since(pack.folder, pack.summary, request))):
                lines.append(f"{describe_changes(name, changes)}; these results are of what was packed")
    return lines


def words_as_text(results: pd.DataFrame) -> pd.DataFrame:
    """Return *results* with each column of both numbers and words as text, which columnar files ask for."""
    mixed = [name for name in results if infer_dtype(results[name], skipna=True).startswith("mixed")]
    return results.assign(**{name: results[name].map(str, na_action="ignore") for name in mixed})
