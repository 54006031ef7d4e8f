"""A pilot: nets are measured on one task one by one, each chosen by the results so far."""

import itertools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from itl.analysis.budget import NO_LIMIT, Budget, hours_text
from itl.analysis.expected_scores import Parameters, Posterior, expected_gains
from itl.analysis.option_grid import Grid, grid_of
from itl.analysis.task_values import rows_of
from itl.errors import ItlError, no_such
from itl.machine import Machine
from itl.runs.plan import plan
from itl.runs.question import Question, run_all
from itl.runs.store import Store
from itl.specs import Pretrain, pretraining_of

NEGLIGIBLE_GAIN = 0.02  # points: an experiment of which less is expected is not worth its time


@dataclass(frozen=True)
class Experiment:
    """One net to be measured on a task."""

    option: int  # number of a condition of the question
    name: str
    seed: int
    hours: float  # of training it, where no such net is there yet, and of measuring it
    gain: float  # points by which it raises the expected score of the choice; nan for a baseline

    @property
    def worthwhile(self) -> bool:
        """Whether it may change the choice for the better."""
        return not self.gain < NEGLIGIBLE_GAIN


def next_experiment(
    grid: Grid, task: int, posterior: Posterior, affordable: np.ndarray, failed: Collection[int] = ()
) -> Experiment | None:
    """Return the net whose measurement on *task* raises the expected score of the choice most, per hour.

    See `itl.analysis.expected_scores.expected_gains`. One that is worth its time goes before all others,
    which may take seconds. A net without pre-training comes first: it is the
    baseline of every share. Its other seeds come last. Nets of options that are not *affordable*, (options,)
    of bool, are measured where they are there already, and not trained; options that *failed* are left out.
    None where no net is left.
    """
    done, trials = measured_nets(grid, task), {}
    for option in range(len(grid.options)):
        left = [seed for seed in grid.seeds_of(option) if (option, seed) not in done]
        trained = [seed for seed in left if (option, seed) in grid.nets]
        if not affordable[option]:
            left = trained
        if left and option not in failed:
            trials[option] = (trained or left)[0]
    training = grid.options["hours"].to_numpy(float)
    hours = {
        option: float(grid.task_hours[task] + ((option, seed) not in grid.nets) * training[option])
        for option, seed in trials.items()
    }

    def experiment(option: int, gain: float) -> Experiment:
        name = str(grid.options["option"][option])
        return Experiment(option, name, trials[option], hours[option], gain)

    options = [option for option in trials if grid.trained[option]]
    is_first = not any(option == grid.baseline_option for option, _ in done)
    if grid.baseline_option in trials and (is_first or not options):
        return experiment(grid.baseline_option, math.nan)
    if not options:
        return None
    choices = grid.choices(task).rows(np.flatnonzero(affordable))
    points = grid.points_at([task] * len(options), options, [trials[option] for option in options])
    gains = expected_gains(posterior, choices, points)
    per_hour = gains / np.array([max(hours[option], 1e-9) for option in options])
    worth = gains >= NEGLIGIBLE_GAIN
    best = int(np.where(worth | ~worth.any(), per_hour, -math.inf).argmax())
    return experiment(options[best], float(gains[best]))


def measured_nets(grid: Grid, task: int) -> set[tuple[int, int]]:
    """Return the option and the seed of every net that is measured on *task*."""
    rows = grid.measurements[grid.measurements["task"] == task]
    return set(zip(rows["option"], rows["seed"], strict=True))


def task_of(question: Question, name: str, preset: str) -> str:
    """Return the task of *question* that is called *name*, or the only one on the target called so.

    ItlError, which names the question's *preset*, if there is none, and if *name* is the target of several.
    """
    tasks = {task.name: task.name for task in question.tasks}
    on_target = [task.name for task in question.tasks if task.target == name]
    if len(on_target) > 1:
        raise ItlError(f"{name} is the target of {', '.join(on_target)}; give one of these")
    known = tasks | {task.target: task.name for task in question.tasks}
    if name not in known:
        no_task = no_such(known, name, f"target or task of preset {preset}")
        raise ItlError(f"{no_task}; name another preset with --preset")
    return known[name]


@dataclass
class Pilot:
    """Choose nets to be measured on a task one by one, each the most useful after those before it."""

    question: Question  #: whose options are chosen among
    task: str
    store: Store
    machine: Machine  #: that hours are for
    measure: bool = True  #: False: no hours are measured before a result is there, see `grid_of`
    budget: Budget = NO_LIMIT  #: of one net: those over it are not trained
    command: str = "itl advise"  #: for errors
    failures: dict[int, str] = field(default_factory=dict, init=False)  #: by option: its net, and the error
    _parameters: Parameters | None = field(default=None, init=False)

    @cached_property
    def grid(self) -> Grid:
        """The options and all that is measured, read once and after a failure; `add` adds to it."""
        return grid_of(self.question, self.store, self.machine, self.measure, self.command)

    def next(self) -> Experiment | None:
        """Return the net to be measured next; None where all are. ItlError if none fits the budget."""
        grid, affordable = self.grid, self._affordable()
        task = grid.tasks.index(self.task)
        tasks, _, features = grid.features.shape
        before = Parameters.before(features, np.zeros(tasks))
        self._parameters = grid.fit(self._parameters) if len(grid.measurements) else before
        return next_experiment(grid, task, Posterior(self._parameters, *grid.data), affordable, self.failures)

    def run(self, count: int) -> Iterator[str]:
        """Measure *count* nets, one by one; those that are missing are trained.

        If a net's run fails, its option is left out from then on, and noted in `failures`. Yields a line on
        each net before it is measured, and on each failure. ItlError if *count* is negative, no option fits
        the budget, or the runs cannot be done here.
        """
        if count < 0:
            raise ItlError(f"--pilot takes a number of nets, such as 8; got {count}")
        if count:
            self._refuse_lacking_room(count)
            self.question.prepare(self.machine)  # how alike options are depends on the classes in the packs
        while count:
            experiment = self.next()
            if experiment is None:
                which = "every net of the other options" if self.failures else "every net"
                yield f"{which}{self.budget.within} is measured on {self.task}"
                return
            net = f"{experiment.name}, seed {experiment.seed}"
            yield f"measuring {net}: about {hours_text(experiment.hours)}"
            try:
                value = self._measured(experiment)
            except ItlError as error:
                self.failures[experiment.option] = f"{net} ({error})"
                del self.grid  # a net may be trained, and some of its fits done
                yield f"{net} failed; other options go on"
                continue
            self.add(experiment, value)
            count -= 1

    def add(self, experiment: Experiment, value: float) -> None:
        """Take note of the *value*, in percent, of a net that was measured."""
        task = self.grid.tasks.index(self.task)
        self.grid = self.grid.with_value(task, experiment.option, experiment.seed, value)

    def _affordable(self) -> np.ndarray:
        """Return which options fit the budget: (options,) of bool; ItlError if none does."""
        return self.budget.affordable(self.grid, self.grid.tasks.index(self.task))

    def _refuse_lacking_room(self, count: int) -> None:
        """Raise ItlError, one line, where the *count* largest nets, trained and measured in turn, do not fit.

        What fits the budget is known once all packs are built; before, all options count.
        """
        planned = plan([self.question], self.store, self.machine)
        method, _, target = self.task.partition("@")
        runs = planned.runs.assign(net=[pretraining_of(spec) for spec in planned.specs])
        on_task = (runs["kind"] == method) & runs["on"].map(lambda targets: target in targets.split(" = "))
        runs = runs[on_task | (runs["kind"] == "pretrain")]
        if (planned.packs["state"] == "done").all():
            runs = runs[~runs["net"].isin(self._nets_over_budget())]
        largest = runs.groupby("net", sort=False)["disk"].sum().nlargest(count).index
        in_turn = self.machine.replace(workers=min(self.machine.workers, self.question.repeats))
        replace(planned, runs=runs[runs["net"].isin(largest)], machine=in_turn).refuse()

    def _nets_over_budget(self) -> set[Pretrain]:
        """Return the nets of options that do not fit the budget."""
        over = itertools.compress(self.question.conditions, ~self._affordable())
        runs = replace(self.question, conditions=tuple(over)).runs(self.machine)
        return {pretraining_of(run.spec) for run in runs}

    def _measured(self, experiment: Experiment) -> float:
        """Do the runs that *experiment* takes, and return the main metric of its net, in percent."""
        condition = replace(self.question.conditions[experiment.option], seeds=(experiment.seed,))
        single = replace(self.question, conditions=(condition,), comparisons=())
        run_all([single], self.store, self.machine, task=self.task)
        return float(rows_of(single.results(self.store, self.machine), self.task)["value"].mean())
