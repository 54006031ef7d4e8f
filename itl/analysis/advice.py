"""What to pre-train on for a task under a budget: every option's expected score, and what to measure next.

An option is a condition of the question `itl.runs.task_questions.Advice`; `itl.analysis.expected_scores`
computes its expected scores from all measurements, on this task and on others.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter
from scipy.special import ndtr, ndtri

from itl.analysis.budget import NO_LIMIT, Budget, hours_text
from itl.analysis.expected_scores import NOISE_BOUND, Belief, verdict_quantile
from itl.analysis.figures import AXIS_COLOUR, COLOURS, INK, new_axes
from itl.analysis.option_grid import Grid
from itl.analysis.pilot import NEGLIGIBLE_GAIN, Experiment, measured_nets, next_experiment
from itl.analysis.statistics import LEVEL, critical, fieller
from itl.analysis.verdicts import ceiling_text
from itl.analysis.wording import (
    CANNOT_TELL,
    NO_SHARE,
    SAME,
    in_markdown,
    leak_text,
    percent_interval,
    task_name,
    without_markup,
)
from itl.errors import ItlError, pick
from itl.words import counted

COVERAGE = 0.9  # of the intervals of expected scores
PILOT_SHARE = 4  # a pilot is one in so many of the question's nets
TIE_RATIO = 1.05  # of positions of options of the same cost, so that they do not cover each other
ALL_TIES_RATIO = 1.2  # of the last of these to the first, at most
LEAST_RANGE = 4.0  # of the axis of costs, from end to end
BEST, WORSE, NO_OTHER = "best", "worse", "none better by more than the margin"


class PilotSize(NamedTuple):
    """How many more nets a pilot has, and the hours of training and measuring them."""

    nets: int
    hours: float


@dataclass(frozen=True)
class Advice:
    """What `advise` returns.

    The columns of its table are option (words), expected, low, high (90 % interval; percent), share,
    share_low and share_high (of the gain of the option of the most images over no pre-training), hours,
    images, labels, measured (nets of it on this task; 0: predicted), affordable and verdict; the highest
    expected score comes first.
    """

    grid: Grid  #: whose options these are
    task: str
    budget: Budget  #: of one net
    table: pd.DataFrame
    margin: float  #: points that do not matter; nan where the gain is not known to be above 0
    verdict: str  #: BEST, NO_OTHER or CANNOT_TELL
    experiment: Experiment | None  #: the most useful next one; None where every net is measured
    pilot: PilotSize
    gain: float  #: of the option of the most images over no pre-training; nan before both kinds are measured

    @property
    def choice(self) -> pd.Series:
        """The affordable option with the highest expected score."""
        return self.table[self.table["affordable"]].iloc[0]


def advise(grid: Grid, task: str, budget: Budget = NO_LIMIT, command: str = "itl advise") -> Advice:
    """Rank the options of *grid* for *task*; one that does not fit the *budget* of one net is not chosen.

    Args:
        grid: from `itl.analysis.option_grid.grid_of`.
        command: that measures a pilot, for an error.

    Raises:
        ItlError: there is no such task, no option fits the budget, or nothing is measured yet: then it
            names the pilot.
    """
    if not isinstance(budget, Budget):
        raise ItlError(f"a budget is an advice.Budget, such as Budget(2, 'hours'); got {budget!r}")
    number = pick({name: number for number, name in enumerate(grid.tasks)}, task, "task of this advice")
    affordable = budget.affordable(grid, number)
    pilot = _pilot(grid, number, affordable)
    if not len(grid.measurements):
        time = "" if math.isnan(pilot.hours) else f" takes about {hours_text(pilot.hours)}"
        raise ItlError(
            f"no run on any task is done, so nothing is known of {task}; a pilot of {pilot.nets} nets{time}: "
            f"`{command}` with --pilot {pilot.nets} does it"
        )
    belief = grid.posterior.at(grid.choices(number))
    table = _table(grid, number, belief, affordable)
    gain, _ = belief.difference(grid.largest_option, grid.baseline_option)
    if len(set(grid.trained[grid.measurements["option"]])) < 2:  # it is what was believed before
        gain = math.nan
    declared = float(grid.declared_margins[number])
    margin = declared if math.isfinite(declared) else grid.share * gain if gain > 0 else math.nan
    effective = float(grid.effective_images[number])
    reach = verdict_quantile(grid.informative_tasks(number), grid.repeats, int(affordable.sum()))
    judged = belief
    if not grid.repeats_on(number):  # the noise on this task is known from others alone
        careful = grid.with_noise_at_bound(number).at(grid.choices(number))
        judged = replace(belief, covariance=careful.covariance)
    verdict, verdicts = _verdicts(judged, affordable, margin, effective, reach)
    table["verdict"] = verdicts
    table = table.sort_values("expected", ascending=False, kind="stable", ignore_index=True)
    percent = ["expected", "low", "high"]
    table[percent] = table[percent].clip(0, 100)  # bounds that a normal distribution does not know
    experiment = next_experiment(grid, number, grid.posterior, affordable)
    if experiment:  # whose gain cannot lead above 100 % either
        room = 100 - table.loc[table["affordable"], "expected"].max()
        experiment = replace(experiment, gain=min(experiment.gain, room))
    return Advice(grid, task, budget, table, margin, verdict, experiment, pilot, gain)


def _pilot(grid: Grid, task: int, affordable: np.ndarray) -> PilotSize:
    """Return the size of a pilot for *task*."""
    done, hours = measured_nets(grid, task), grid.options["hours"].to_numpy(float)
    all_nets = [(option, seed) for option in range(len(hours)) for seed in grid.seeds_of(option)]
    possible = {net for net in all_nets if affordable[net[0]] or net in grid.nets}
    nets = {net for net in possible if grid.trained[net[0]]}
    left, baseline = nets - done, possible - nets
    if baseline - done and (not left or not baseline & done):
        left.add(min(baseline - done))  # the baseline comes first, and its other seeds last
    training = [0.0 if net in grid.nets else hours[net[0]] for net in left]
    count = min(len(left), max(2, len(nets) // PILOT_SHARE))
    return PilotSize(count, float(count * (np.mean(training or [0.0]) + grid.task_hours[task])))


def _table(grid: Grid, task: int, belief: Belief, affordable: np.ndarray) -> pd.DataFrame:
    """Return the table of `Advice` in the order of the options, without verdicts."""
    mean, reach = belief.mean, quantile(grid.informative_tasks(task)) * belief.spread
    counts = grid.measurements.loc[grid.measurements["task"] == task, "option"].value_counts()
    shares = np.array([_share(belief, row, grid) for row in range(len(grid.options))])
    table = grid.options[["option"]].assign(expected=mean, low=mean - reach, high=mean + reach)
    if math.isnan(shares[grid.largest_option, 1]):  # of a gain that may be 0
        shares[grid.baseline_option] = math.nan
    table[["share", "share_low", "share_high"]] = shares
    return table.assign(
        hours=grid.options["hours"] + grid.task_hours[task],
        images=grid.options["images"],
        labels=grid.options["images"],
        measured=[int(counts.get(row, 0)) for row in range(len(grid.options))],
        affordable=affordable,
    )


def quantile(tasks: float) -> float:
    """Return how many standard deviations an interval reaches by Student's t, with *tasks* − 1 as df.

    These are the `itl.analysis.option_grid.Grid.informative_tasks`.
    """
    return critical(max(tasks - 1, 1), 1 - COVERAGE)


def _share(belief: Belief, option: int, grid: Grid) -> tuple[float, float, float]:
    """Return the share of the gain that *option* has, with its interval by Fieller's theorem; nan of none."""
    to, most = grid.baseline_option, grid.largest_option
    if option == to:
        return 0.0, 0.0, 0.0
    (first, sd), (second, gain_sd) = belief.difference(option, to), belief.difference(most, to)
    if second <= 0:  # a share of a loss would be high where an option is bad
        return math.nan, math.nan, math.nan
    between = belief.covariance
    covariance = float(between[option, most] - between[option, to] - between[most, to] + between[to, to])
    normal = 1e9  # degrees of freedom
    return fieller((first, second), (sd**2, gain_sd**2), covariance, normal, 1 - COVERAGE)


def _verdicts(
    belief: Belief, affordable: np.ndarray, margin: float, scored: float, reach: float
) -> tuple[str, list[str]]:
    """Judge each option beside the affordable one of the highest mean, and that one beside all others.

    An option is worse, or the same within the margin, if that has a probability of 95 %: if the difference
    lies *reach* standard deviations from 0, or from both ends of the margin (see `verdict_quantile`). The
    choice is the best if all others are worse; that none is better by more than the margin has to be 95 %
    sure of each. The standard deviation of a difference has two parts: that of the model, and what
    `chance_in_images` says of so many *scored* images, the effective ones.
    """
    choice = int(np.flatnonzero(affordable)[belief.mean[affordable].argmax()])
    words, better = [], []
    for option in range(len(belief.mean)):
        if option == choice:
            words.append(BEST)
            continue
        mean, spread = belief.difference(option, choice)
        spread = math.hypot(spread, chance_in_images(mean, scored)) * reach / ndtri(1 - LEVEL)
        above, below = (ndtr((mean - end) / max(spread, 1e-9)) for end in (margin, -margin))
        if ndtr(-mean / max(spread, 1e-9)) >= 1 - LEVEL:
            words.append(WORSE)
        else:
            words.append(SAME if below - above >= 1 - LEVEL else CANNOT_TELL)
        if affordable[option]:
            better.append(not above <= LEVEL)  # a margin that is not known is nan, and settles nothing
    others = [word for word, fits in zip(words, affordable, strict=True) if fits and word != BEST]
    if all(word == WORSE for word in others):
        return BEST, words
    verdict = CANNOT_TELL if any(better) else NO_OTHER
    return verdict, [verdict if word == BEST else word for word in words]


def chance_in_images(difference: float, scored: float) -> float:
    """Return the least standard deviation, in points, that chance in the images gives a *difference*.

    It is reached if one net is right on all images that the other is right on, and on some more. Then the
    difference is a share of the images (McNemar, Note on the sampling error of the difference between
    correlated proportions, 1947), or, with the same difference in each class, of the effective ones. It is 0
    if *scored*, the number of images, is nan (not known).

    >>> chance_in_images(4.0, 24), chance_in_images(4.0, 2400)
    (4.0, 0.4)
    """
    share = min(abs(difference) / 100, 1.0)
    return 100 * math.sqrt(share * (1 - share) / scored) if scored > 0 else 0.0


def describe(grid: Grid, task: str, budget: Budget = NO_LIMIT, command: str = "itl advise") -> str:
    """Write what `itl advise` prints for *task*: the ranked options, the answer, and what a pilot takes."""
    made = advise(grid, task, budget, command)
    lines = [f"{task}, budget of one net: {budget}", "", readable(made).to_string(index=False), ""]
    lines.append(without_markup(answer_text(made)))
    if made.experiment and (made.experiment.worthwhile or made.grid.repeats < 1):
        nets = counted(made.pilot.nets, "more nets")
        lines.append(
            f"A pilot of {nets} takes about {hours_text(made.pilot.hours)}: --pilot {made.pilot.nets}"
        )
    return "\n".join(lines)


def readable(advice: Advice) -> pd.DataFrame:
    """Write the table of an advice for people."""
    table = advice.table
    rows = list(table.itertuples())
    return pd.DataFrame(
        {
            "option": table["option"],
            "expected %": [f"{row.expected:.1f} ({row.low:.1f} to {row.high:.1f})" for row in rows],
            "share of gain": [percent_interval(row.share, row.share_low, row.share_high) for row in rows],
            "time": table["hours"].map(hours_text),
            "images": table["images"].map("{:,}".format),
            "nets": [row.measured or "predicted" for row in rows],
            "verdict": table["verdict"].where(table["affordable"], "over the budget"),
        }
    )


def answer_text(advice: Advice) -> str:
    """Answer in Markdown: what to take, how sure that is, and what to measure next."""
    choice, within, grid = advice.choice, advice.budget.within, advice.grid
    number = grid.tasks.index(advice.task)
    name, option = in_markdown(task_name(advice.task)), in_markdown(choice["option"])
    score = f"{choice['expected']:.1f} % ({choice['low']:.1f} to {choice['high']:.1f})"
    unclear = advice.table[advice.table["affordable"] & (advice.table["verdict"] != WORSE)]
    first = {
        BEST: f"**{option}** is the best option for {name}{within}",
        NO_OTHER: f"**{option}** for {name}{within}: no other is likely better by {advice.margin:.1f} points",
        CANNOT_TELL: f"**Cannot tell** which of {len(unclear)} options is the best for {name}{within}; the "
        f"highest expected score has {option}",
    }[advice.verdict]
    following = in_markdown(experiment_text(advice))
    text = f"{first}: {score} expected. {following}{_verdict_text(advice)}"
    shares = advice.table[["share", "share_low"]].isna().sum()
    if math.isnan(advice.gain):
        text += " There are no shares of a gain before a net with and one without pre-training are measured."
    elif advice.gain <= 0:
        most = str(grid.options["option"][grid.largest_option])
        text += (
            f" The option of the most images, {in_markdown(most)}, is expected to be no better than "
            f"no pre-training: there are no shares of a gain."
        )
    elif shares["share_low"] > shares["share"]:
        text += f" {NO_SHARE}"
    if ceiling := _ceiling_of(advice):
        text += f" This is {ceiling}, which a target with harder images may show."
    if grid.repeats < 1:
        text += (
            " No option has two nets on a task yet: differences may be noise of training, and there is no "
            "verdict before a second seed."
        )
    elif grid.repeats_on(number) < 1 and (advice.table["verdict"] != CANNOT_TELL).any():
        text += (
            f" No option has a second net on this task yet, so verdicts take the noise of training here to "
            f"be at most about {math.exp(NOISE_BOUND / 2):.1f} times that on the other tasks."
        )
    if grid.scored_images[number] > 0:
        text += f" All nets are scored on the same {counted(int(grid.scored_images[number]), 'images')}."
    if grid.one_class[number] > 0:
        text += f" Always naming one class would score {grid.one_class[number]:.1f} %."
    if leak := grid.leaks.get(advice.task):
        text += f" {leak_text(leak, 'scored')}"
    return text


def _verdict_text(advice: Advice) -> str:
    """Say what NO_OTHER means, and what else could tell where every net is measured; '' otherwise."""
    if advice.verdict == NO_OTHER:
        return (
            f' The verdict "{NO_OTHER}" means that each other option{advice.budget.within}, looked at alone, '
            f"is better by more than {advice.margin:.1f} points with a probability of at most 5 %."
        )
    is_measured = advice.experiment is None and advice.grid.repeats >= 1
    if advice.verdict == CANNOT_TELL and is_measured and not _ceiling_of(advice):
        return (
            " What may still tell: more seeds in the preset, whose nets `itl advise` can then measure, and "
            "more images to score them on."
        )
    return ""


def _ceiling_of(advice: Advice) -> str:
    """Say that the score of the choice leaves no room for a difference; '' where it does."""
    return ceiling_text(advice.choice["expected"]) if advice.choice["measured"] else ""


def experiment_text(advice: Advice) -> str:
    """Say what to measure next, what that takes, and what is expected of it."""
    experiment = advice.experiment
    if experiment is None:
        return f"Every net{advice.budget.within} is measured."
    what = f"{experiment.name}, seed {experiment.seed}, {hours_text(experiment.hours)}"
    if math.isnan(experiment.gain):
        another = "another net of " if advice.table.set_index("option")["measured"][experiment.name] else ""
        return f"Next: {what}, {another}the baseline of every gain."
    if advice.grid.repeats < 1:  # the model knows no noise, and so no gain
        return f"Next: {what}."
    if not experiment.worthwhile:
        return f"No experiment is worth its time: none adds {NEGLIGIBLE_GAIN} points."
    return f"Next: {what}, expected to improve the choice by {experiment.gain:.2g} points."


def overview(grid: Grid, budget: Budget = NO_LIMIT) -> pd.DataFrame:
    """Tabulate the advice for every task: columns task, option, expected %, verdict and next."""
    rows = []
    for task in grid.tasks:
        advice = advise(grid, task, budget)
        best = readable(advice)[advice.table["affordable"]].iloc[0]
        columns = (task_name(task), best["option"], best["expected %"], advice.verdict)
        rows.append((*columns, experiment_text(advice)))
    return pd.DataFrame(rows, columns=["task", "option", "expected %", "verdict", "next"])


def index_entry(advice: Advice) -> dict[str, object]:
    """Return what the report's index shows beside the answer: seeds of the option, and verdict."""
    return {"n": int(advice.choice["measured"]), "verdict": advice.verdict}


class CostFormatter(LogFormatter):
    """Write costs as people say them, at the ticks that a LogFormatter names."""

    def __init__(self, text: Callable[[float], str], **settings: Any) -> None:
        """Write a cost by *text*; *settings* are those of a LogFormatter."""
        super().__init__(**settings)
        self._text = text

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the text at *x*; '' at a tick without one."""
        return self._text(x) if super().__call__(x, pos) else ""


def frontier(advice: Advice, cost: str = "images") -> Axes:
    """Draw the expected score of every option, with its interval, against what it takes.

    The line joins options that no other of the same or a lower *cost* (hours, images or labels) is expected
    to beat; letters name them. Dots are filled if the option is measured on this task, and grey if it is over
    the budget. Dashed lines are options that take no images: no pre-training, and existing weights;
    the dotted one is what always naming one class would score.
    """
    free = advice.table["images"] == 0
    table = advice.table[~free].sort_values([cost, "expected"], ascending=[True, False])
    last = table.groupby(cost)[cost].transform("size") - 1  # of the options of the same cost, from 0
    ratio = np.minimum(TIE_RATIO, ALL_TIES_RATIO ** (1 / last.clip(lower=1)))
    table["position"] = table[cost] * ratio ** (table.groupby(cost).cumcount() - last / 2)
    leading = table[table["expected"] > table["expected"].cummax().shift(fill_value=-math.inf)]
    colours = np.where(table["affordable"], COLOURS[0], AXIS_COLOUR)
    faces = np.where(table["measured"] > 0, colours, "white")
    ax = new_axes(7.6, 4.4)
    style = {"x": "position", "y": "expected", "ax": ax}
    sns.lineplot(leading, **style, drawstyle="steps-post", errorbar=None, color=INK, lw=1, zorder=0)
    ax.vlines(table["position"], table["low"], table["high"], colors=colours.tolist(), lw=1.6, alpha=0.6)
    sns.scatterplot(table, **style, s=48, facecolor=faces, edgecolor=colours, linewidth=1.6, zorder=3)
    names = []
    for letter, row in zip(ascii_uppercase, leading.itertuples(), strict=False):
        bold: dict[str, Any] = {"fontweight": "bold", "fontsize": 10, "textcoords": "offset points"}
        ax.annotate(letter, (row.position, row.high), (0, 3), ha="center", **bold)  # above its own interval
        names.append(f"{letter}  {row.option}")
    ax.set_title("\n".join(names), fontsize=9, loc="left")
    right: Any = ax.get_yaxis_transform()  # x from 0 to 1
    for row in advice.table[free].itertuples():
        ax.axhline(row.expected, color=AXIS_COLOUR, lw=1, ls="--", zorder=0)
        ax.annotate(row.option, (1, row.expected), (-2, 2), right, "offset points", ha="right", fontsize=8)
    if (one_class := advice.grid.one_class[advice.grid.tasks.index(advice.task)]) > 0:
        ax.axhline(one_class, color=AXIS_COLOUR, lw=1, ls=":", zorder=0)
        # Outside, where no line of a budget cuts it.
        ax.annotate(
            "always\none class", (1, one_class), (4, 0), right, "offset points", va="center", fontsize=8
        )
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    wider = max(1.0, math.sqrt(LEAST_RANGE * low / high))  # else options of one cost would seem to differ
    ax.set_xlim(low / wider, high * wider)
    in_hours = cost == "hours"
    text = hours_text if in_hours else "{:,g}".format
    ax.xaxis.set_major_formatter(CostFormatter(text))
    ax.xaxis.set_minor_formatter(CostFormatter(text, minor_thresholds=(1, 0.4)))  # less than a power of ten
    ax.grid(axis="y")
    what = "time of one net" if in_hours else cost
    ax.set(xlabel=f"{what} (log scale)", ylabel=f"expected on {task_name(advice.task)} (%)")
    return ax
