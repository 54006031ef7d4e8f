"""How many seeds and repeats the questions of a preset need, and their hours, from results of a pilot."""

from collections.abc import Sequence

import pandas as pd

from itl import ItlError
from itl.analysis.noise import variances
from itl.analysis.seeds import Costs, cheapest
from itl.machine import Machine
from itl.runs.plan import Plan
from itl.runs.question import Question
from itl.runs.store import Store
from itl.specs import Pretrain


def seeds_needed(
    questions: Sequence[Question],
    planned: Plan,
    store: Store,
    machine: Machine,
    detect: float = 0.0,
    within: float = 0.0,
) -> pd.DataFrame:
    """Tabulate the cheapest design in which the main comparison of each question is decided.

    Args:
        questions: with some seeds done, which show how much scores vary.
        planned: their plan, whose minutes count for runs that are not done.
        store: of the runs.
        machine: that would do them.
        detect: a true change, in points, to be found four times in five.
        within: a margin, in points, within which no change should come out as the same.

    Returns:
        Columns question, task (its main one), seeds, repeats, hours (of all its runs, one after another) and
        note: why there is none.

    Raises:
        ItlError: give either *detect* or *within*.
    """
    if (detect > 0) == (within > 0):
        raise ItlError(f"give --detect or --within, with points above 0; got {detect:g} and {within:g}")
    rows = []
    for question in questions:
        task, trained = question.tasks[0].name, sum(condition.trained for condition in question.conditions)
        try:
            spread = variances(question, question.results(store, machine), task)
            if spread is None:
                raise ItlError("too few seeds are done to see how scores vary; run two of them first")
            costs = _costs(question, planned, store, machine)
            design = cheapest(spread, costs, trained, detect=detect, within=within)
            hours = f"{design.minutes / 60:.1f}"
            rows.append((question.name, task, str(design.seeds), str(design.repeats), hours, ""))
        except ItlError as error:
            rows.append((question.name, task, "", "", "", str(error)))
    return pd.DataFrame(rows, columns=["question", "task", "seeds", "repeats", "hours", "note"])


def _costs(question: Question, planned: Plan, store: Store, machine: Machine) -> Costs:
    """Average the minutes of a net, and of the fits of one net to all targets: as run, else as planned."""
    minutes = dict(zip(planned.runs["run"], planned.runs["minutes"], strict=True))
    nets, fits = [], []
    for run in question.runs(machine):
        if store.state(run.spec) == "done":
            taken = store.read(run.spec, "provenance.json")["seconds"] / 60
        else:
            taken = minutes.get(store.path(run.spec).name, 0.0)
        (nets if isinstance(run.spec, Pretrain) else fits).append(taken)
    per_net = len(question.tasks)
    return Costs(sum(nets) / max(1, len(nets)), per_net * sum(fits) / max(1, len(fits)))
