"""The results of several questions: in one table, and what is missing in it."""

from collections.abc import Sequence

import pandas as pd
from pandas.api.types import infer_dtype

from itl.machine import Machine
from itl.runs.question import Question
from itl.runs.store import Store


def results_of(questions: Sequence[Question], store: Store, machine: Machine) -> pd.DataFrame:
    """Return every number of the finished runs of *questions*: see `Question.results`.

    Raises:
        ItlError: where no run of a question is done.
    """
    return pd.concat([question.results(store, machine) for question in questions])


def describe_missing(questions: Sequence[Question], store: Store, machine: Machine) -> str:
    """Say how many runs of *questions* are not in their results; '' where all are."""
    specs = dict.fromkeys(spec for question in questions for spec in question.specs(machine))
    left = sum(store.state(spec) != "done" for spec in specs)
    are = "is" if left == 1 else "are"
    return f"{left} of {len(specs)} runs {are} not done and not in this table" if left else ""


def words_as_text(results: pd.DataFrame) -> pd.DataFrame:
    """Return *results* with each column of both numbers and words as text, which columnar files ask for."""
    mixed = [name for name in results if infer_dtype(results[name], skipna=True).startswith("mixed")]
    return results.assign(**{name: results[name].map(str, na_action="ignore") for name in mixed})
