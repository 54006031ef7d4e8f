"""What can be said of questions before all of their runs are done: too few seeds, and controls that fail."""

from collections.abc import Collection, Sequence
from contextlib import suppress

import pandas as pd

from itl.analysis.comparisons import compare
from itl.analysis.task_values import baseline_of, comparison_on, task_values, tasks_in_order
from itl.errors import ItlError
from itl.machine import Machine
from itl.runs.question import Question
from itl.runs.store import Store
from itl.runs.study import MIN_SEEDS
from itl.words import counted


def control_lines(
    unfinished: Collection[str], questions: Sequence[Question], store: Store, machine: Machine
) -> list[str]:
    """Say what finished runs show of the *unfinished* among *questions*, by name: see `failed_controls`."""
    lines = []
    for question in questions:
        if question.name not in unfinished:
            continue
        results = question.results_so_far(store, machine)
        if not results.empty:  # an untrained net that is done has no scores yet
            lines += [f"pilot: {question.name}, {line}" for line in failed_controls(question, results)]
    return lines


def few_seeds_lines(questions: Sequence[Question]) -> list[str]:
    """Name the *questions* whose seeds are too few to decide any comparison, or fewer than their cap."""
    lines = []
    for question in questions:
        if not question.comparisons:
            continue
        has = f"note: {question.name} has {counted(len(question.seeds), 'seeds')}"
        if len(question.seeds) < MIN_SEEDS:
            lines.append(f"{has}; a comparison is decided by {MIN_SEEDS} or more")
        if len(question.seeds) < question.cap:
            lines.append(
                f"{has} and cap {question.cap}; `itl run --until-decided` takes as many seeds as the cap, "
                f"given before any result"
            )
    return lines


def failed_controls(question: Question, results: pd.DataFrame) -> list[str]:
    """Say on which tasks nothing could be called the same, and why: what a pilot shows before a long run.

    It looks at the untrained net and the condition that the first comparison on a task is against, for
    doublings at all designs, or the first until all have results. What is not compared, it says nothing of.
    """
    lines = []
    trained = [condition.columns for condition in question.conditions if condition.trained]
    for task in tasks_in_order(question, results, own=False):
        if (main := comparison_on(question, task)) is None:
            continue
        reference = next(columns for columns in (main.against, main.of, *trained) if columns in trained)
        data = task_values(question, results, task)
        row = compare(question, data, reference, baseline_of(reference, question.conditions) or reference)
        with suppress(ItlError):  # too few designs for doublings
            whole = compare(question, data, main.of, main.against)
            row = whole if whole and whole.gain else row
        if row and (fault := row.evidence.control_fault):
            seeds = counted(row.evidence.change.n, "seeds")
            lines.append(f"{task}: {fault}; by {seeds} so far, nothing on it can be called the same")
    return lines
