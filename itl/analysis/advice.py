"""What to pre-train on for a task under a budget: every option's expected score, and what to measure next.

An option is a condition of the question `itl.runs.task_questions.Advice`; what scores it should have is
computed by `itl.analysis.expected_scores` from all that is measured, on this task and on the others.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from itl import ItlError
from itl.analysis.expected_scores import Belief, Parameters, expected_gains, predict
from itl.analysis.option_grid import Grid
from itl.analysis.statistics import LEVEL, fieller
from itl.analysis.verdicts import CANNOT_TELL, SAME

COVERAGE = 0.9  # of the intervals of expected scores
PILOT_SHARE = 4  # a pilot is one in so many of the question's nets
NEGLIGIBLE = 0.02  # points: an experiment of which less is expected is not worth its time
UNITS = ("hours", "images", "labels")
BEST, WORSE = "the best", "worse"
ENOUGH, NO_OTHER = "best", "none better by more than the margin"


@dataclass(frozen=True)
class Budget:
    """What one net of an option may take: so many hours, images or labels.

    Every image that a net is trained on has one label here, so labels differ from images for none.
    """

    number: float = math.inf
    unit: str = "hours"

    @classmethod
    def read(cls, number: str, unit: str) -> "Budget":
        """Make a budget of two words.

        >>> Budget.read("50,000", "images")
        Budget(number=50000.0, unit='images')
        """
        example = f"--budget takes a number and one of {', '.join(UNITS)}, as in --budget 2 hours"
        try:
            value = float(number.replace(",", ""))
        except ValueError:
            value = math.nan
        unit = unit if unit in UNITS or f"{unit}s" not in UNITS else f"{unit}s"
        if unit not in UNITS or not value > 0:
            raise ItlError(f"{example}; got {number} {unit}")
        return cls(value, unit)

    def __str__(self) -> str:
        return f"{self.number:,g} {self.unit}" if math.isfinite(self.number) else "no limit"


@dataclass(frozen=True)
class Experiment:
    """One net to be measured on the task."""

    option: int
    name: str
    seed: int
    hours: float  # of training it, where no such net is there yet, and of measuring it
    gain: float  # points by which it raises the expected score of the choice; nan for a yardstick

    @property
    def worthwhile(self) -> bool:
        """Whether it may change the choice for the better."""
        return not self.gain < NEGLIGIBLE


@dataclass(frozen=True)
class Advice:
    """What `advise` returns.

    Args:
        task: its name.
        budget: of one net.
        table: columns option (words), expected, low, high (90 % interval; percent), share, share_low and
            share_high (of the gain of everything over no pre-training), hours, images, labels, measured (nets
            of it on this task; 0: predicted), affordable and verdict; the highest expected score first.
        margin: points that do not matter; nan where the gain is not known to be above 0.
        verdict: ENOUGH (the best option is), NO_OTHER (none is better by more than the margin) or CANNOT_TELL.
        experiment: the most useful next one; None where every net is measured.
        pilot: nets of a pilot, and its hours.
    """

    task: str
    budget: Budget
    table: pd.DataFrame
    margin: float
    verdict: str
    experiment: Experiment | None
    pilot: tuple[int, float]

    @property
    def choice(self) -> pd.Series:
        """The affordable option of the highest expected score."""
        return self.table[self.table["affordable"]].iloc[0]


def advise(
    grid: Grid, task: str, budget: Budget = Budget(), parameters: Parameters | None = None
) -> Advice:
    """Rank the options of *grid* for *task* under *budget*.

    Args:
        grid: from `itl.analysis.option_grid.grid_of`.
        task: one of its tasks.
        budget: of one net; what does not fit it is ranked, but not chosen.
        parameters: of the model; by default they are estimated.

    Raises:
        ItlError: no option fits the budget, or nothing is measured yet: then it names the pilot.
    """
    number, pilot = grid.tasks.index(task), _pilot(grid, task)
    affordable = _affordable(grid, number, budget)
    if not len(grid.measured):
        raise ItlError(
            f"no run on any task is done, so nothing is known of {task}; a pilot of {pilot[0]} nets takes "
            f"about {pilot[1]:.2g} hours: add --pilot {pilot[0]}"
        )
    parameters = parameters or grid.fit()
    belief = predict(parameters, *grid.data, grid.choices(number))
    table = _table(grid, number, belief, affordable)
    gain, _ = belief.difference(grid.everything, grid.untrained)
    declared = math.nan if grid.points is None else float(grid.points[number])
    margin = declared if math.isfinite(declared) else grid.share * gain if gain > 0 else math.nan
    verdict, verdicts = _verdicts(belief, affordable, margin)
    table["verdict"] = verdicts
    table = table.sort_values("expected", ascending=False, kind="stable", ignore_index=True)
    experiment = next_experiment(grid, number, parameters, affordable)
    return Advice(task, budget, table, margin, verdict, experiment, pilot)


def _pilot(grid: Grid, task: str) -> tuple[int, float]:
    """Return how many nets a pilot for *task* has, and the hours of training and measuring them."""
    count = max(2, int(grid.trained.sum()) * len(grid.seeds) // PILOT_SHARE)
    each = float(grid.options.loc[grid.trained, "hours"].mean() + grid.task_hours[grid.tasks.index(task)])
    return count, count * each


def _affordable(grid: Grid, task: int, budget: Budget) -> np.ndarray:
    """Return which options fit *budget*, (options,) of bool; ItlError if none does."""
    takes = grid.options["hours"] + grid.task_hours[task] if budget.unit == "hours" else grid.options["images"]
    affordable = (takes <= budget.number).to_numpy()
    if not affordable[grid.trained].any():
        raise ItlError(
            f"no option fits {budget}; the smallest takes {takes[grid.trained].min():,.2g} {budget.unit}: "
            f"raise --budget to that, or give smaller options in the preset"
        )
    return affordable


def _table(grid: Grid, task: int, belief: Belief, affordable: np.ndarray) -> pd.DataFrame:
    """Return the table of `Advice` in the order of the options, without verdicts."""
    reach = float(ndtri((1 + COVERAGE) / 2)) * belief.spread
    counts = grid.measured.loc[grid.measured["task"] == task, "option"].value_counts()
    shares = np.array([_share(belief, row, grid) for row in range(len(grid.options))])
    table = pd.DataFrame(
        {
            "option": grid.options["option"],
            "expected": belief.mean,
            "low": belief.mean - reach,
            "high": belief.mean + reach,
        }
    )
    table[["share", "share_low", "share_high"]] = shares
    return table.assign(
        hours=grid.options["hours"] + grid.task_hours[task],
        images=grid.options["images"],
        labels=grid.options["images"],
        measured=[int(counts.get(row, 0)) for row in range(len(grid.options))],
        affordable=affordable,
    )


def _share(belief: Belief, option: int, grid: Grid) -> tuple[float, float, float]:
    """Return the share of the gain that *option* has, with its interval by Fieller's theorem."""
    to, most = grid.untrained, grid.everything
    if option == to:
        return 0.0, 0.0, 0.0
    (first, sd), (second, gain_sd) = belief.difference(option, to), belief.difference(most, to)
    between = belief.covariance
    covariance = float(between[option, most] - between[option, to] - between[most, to] + between[to, to])
    normal = 1e9  # degrees of freedom
    return fieller((first, second), (sd**2, gain_sd**2), covariance, normal, 1 - COVERAGE)


def _verdicts(belief: Belief, affordable: np.ndarray, margin: float) -> tuple[str, list[str]]:
    """Judge each option beside the affordable one of the highest mean, and that one beside all others.

    An option is worse, or the same within the margin, if that has a probability of 95 %. The choice is the
    best if all others are worse; that none is better by more than the margin has to be 95 % sure of each.
    """
    choice = int(np.flatnonzero(affordable)[belief.mean[affordable].argmax()])
    words, better = [], []
    for option in range(len(belief.mean)):
        if option == choice:
            words.append(BEST)
            continue
        mean, spread = belief.difference(option, choice)
        above, below = (ndtr((mean - end) / max(spread, 1e-9)) for end in (margin, -margin))
        if ndtr(-mean / max(spread, 1e-9)) >= 1 - LEVEL:
            words.append(WORSE)
        else:
            words.append(SAME if below - above >= 1 - LEVEL else CANNOT_TELL)
        if affordable[option]:
            better.append(not above <= LEVEL)  # a margin that is not known is nan, and settles nothing
    others = [word for word, fits in zip(words, affordable, strict=True) if fits and word != BEST]
    if all(word == WORSE for word in others):
        return ENOUGH, words
    verdict = CANNOT_TELL if any(better) else NO_OTHER
    return verdict, [verdict if word == BEST else word for word in words]


def next_experiment(
    grid: Grid, task: int, parameters: Parameters, affordable: np.ndarray
) -> Experiment | None:
    """Return the net whose measurement on *task* raises the expected score of the choice most, per hour.

    See `itl.analysis.expected_scores.expected_gains`. The net without pre-training comes first: it is the
    yardstick of every share. None where every net of the question is measured.
    """
    done = set(grid.measured.loc[grid.measured["task"] == task, ["option", "seed"]].itertuples(index=False, name=None))
    trials = {}
    for option in range(len(grid.options)):
        left = [seed for seed in grid.seeds if (option, seed) not in done]
        if left:
            trials[option] = min(left, key=lambda seed: ((option, seed) not in grid.nets, grid.seeds.index(seed)))
    hours = {
        option: float(grid.task_hours[task])
        + (0.0 if (option, seed) in grid.nets else float(grid.options["hours"][option]))
        for option, seed in trials.items()
    }

    def experiment(option: int, gain: float) -> Experiment:
        return Experiment(option, grid.options["option"][option], trials[option], hours[option], gain)

    if grid.untrained in trials and not any(option == grid.untrained for option, _ in done):
        return experiment(grid.untrained, math.nan)
    options = [option for option in trials if grid.trained[option]]
    if not options:
        return None
    choices = grid.choices(task).rows(np.flatnonzero(affordable))
    points = grid.of([task] * len(options), options, [trials[option] for option in options])
    gains = expected_gains(parameters, *grid.data, choices, points)
    best = int((gains / np.array([max(hours[option], 1e-9) for option in options])).argmax())
    return experiment(options[best], float(gains[best]))
