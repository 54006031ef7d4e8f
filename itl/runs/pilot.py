"""A pilot: nets measured on one task one by one, each chosen by what those before it showed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from itl import ItlError
from itl.evaluation.methods import main_metric
from itl.machine import Machine
from itl.runs.plan import plan
from itl.runs.question import Question, run_all
from itl.runs.store import Store

NEGLIGIBLE = 0.02  # points: an experiment of which less is expected is not worth its time


@dataclass(frozen=True)
class Experiment:
    """One net to be measured on a task."""

    option: int  # number of a condition of the question
    name: str
    seed: int
    hours: float  # of training it, where no such net is there yet, and of measuring it
    gain: float  # points by which it raises the expected score of the choice; nan for a yardstick

    @property
    def worthwhile(self) -> bool:
        """Whether it may change the choice for the better."""
        return not self.gain < NEGLIGIBLE


class Chooser(Protocol):
    """What chooses the nets of a pilot, such as `itl.analysis.advice.Pilot`."""

    task: str  # that they are measured on

    def next(self) -> Experiment | None:
        """Return the net to be measured next; None where all are."""
        ...

    def add(self, experiment: Experiment, value: float) -> None:
        """Take note of the *value*, in percent, of a net that was measured."""
        ...


def run_pilot(
    question: Question, chooser: Chooser, count: int, store: Store, machine: Machine
) -> Iterator[str]:
    """Measure *count* nets, one by one, on the task of *chooser*; nets that are missing are trained.

    Yields a line on each net before it is measured. ItlError if *count* is negative, or the runs cannot be
    done here.
    """
    if count < 0:
        raise ItlError(f"--pilot takes a number of nets, such as 8; got {count}")
    if count:
        rounds = math.ceil(count / len(question.conditions))  # of which each has a net of every option
        plan([replace(question, seeds=question.seeds[:rounds])], store, machine).refuse()
        question.prepare(machine)  # how alike options are depends on the classes in the packs
    for _ in range(count):
        experiment = chooser.next()
        if experiment is None:
            yield f"every net of the question is measured on {chooser.task}"
            return
        yield f"measuring {experiment.name}, seed {experiment.seed}: about {hours_text(experiment.hours)}"
        chooser.add(experiment, _measure(question, chooser.task, experiment, store, machine))


def _measure(question: Question, task: str, experiment: Experiment, store: Store, machine: Machine) -> float:
    """Return the main metric of *task* for the net of *experiment*, in percent; do the runs it takes."""
    condition = replace(question.conditions[experiment.option], seeds=(experiment.seed,))
    tasks = tuple(known for known in question.tasks if known.name == task)
    if question.leave_out_duplicates:  # what is left out, and so the net, depends on all tasks
        tasks = question.tasks
    single = replace(question, tasks=tasks, conditions=(condition,), comparisons=())
    run_all([single], store, machine)
    rows = single.results(store, machine)
    values = rows.loc[(rows["task"] == task) & (rows["metric"] == main_metric(task)), "value"]
    return float(values.mean())


def hours_text(hours: float) -> str:
    """Write a time for people.

    >>> hours_text(2.5), hours_text(0.9999), hours_text(0.2), hours_text(0.01), hours_text(1234)
    ('2.5 hours', '1 hour', '12 minutes', '36 seconds', '1,234 hours')
    """
    number, unit = 3600 * hours, "second"
    if number >= 59.5:
        number, unit = 60 * hours, "minute"
    if number >= 59.5:
        number, unit = hours, "hour"
    text = f"{number:,.0f}" if number >= 9.95 else f"{number:.2g}"
    return f"{text} {unit}" if text == "1" else f"{text} {unit}s"
