"""Figures: a tidy frame in, Axes out; colours that colour-blind readers can tell apart."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from scipy import stats

from itl import ItlError
from itl.analysis.statistics import GAIN, LOSS
from itl.analysis.wording import main_metric, task_name
from itl.runs.question import Task

AXIS = {
    "images_per_class": "images per class (log scale)",
    "classes": "classes (log scale)",
    "accuracy": "accuracy (%)",
    "top5": "top-5 accuracy (%)",
    "knn1": "1-nearest-neighbour accuracy (%)",
    "knn5": "5-nearest-neighbours accuracy (%)",
    "map": "mean average precision (%)",
}
MIXED = "accuracy, or mean average precision (%)"
METRIC = {
    "knn1": "1 neighbour",
    "knn5": "5 neighbours",
    "top5": "top 5",
    "map": "mAP",
    "map_area": "mAP by area",
}
INDUCED = {"accuracy": "linear probe", "knn5": "5 neighbours"}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")     # Okabe and Ito's
MARKERS = "osD^vP"                          # so that tasks differ in a grey print too
INK, QUIET = "#222222", "#d8d8d8"
STYLE = {
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#8a8a8a",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "white",
    "figure.dpi": 180,                      # twice what a 700-pixel column shows, for sharp text
    "figure.constrained_layout.use": True,
}


def curve(
    results: pd.DataFrame, x: str, metric: str | None = None, task: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw *metric* against *x*: a line through the means, a dot for every seed, a colour for every task.

    Without *metric* each task shows the one that it is judged by. Bars are 95 % intervals of the mean over
    seeds (Student's t), left out where there is one seed only. A net that was not pre-trained (0 on the axis)
    stands apart on the left, its mean dotted through the figure.
    """
    judged = results["task"].map(main_metric) if metric is None else metric
    data = results[(results["metric"] == judged) & (results["task"].isin([task]) if task else True)]
    if data.empty:
        there = ", ".join(sorted({f"{row.metric} of {row.task}" for row in results.itertuples()}))
        asked = f"{metric or 'main metric'} of {task}" if task else metric
        raise ItlError(f"no {asked} to draw; results hold {there or 'nothing'}")
    ax = ax or axes(7.2, 4.3)
    tasks = sorted(data["task"].unique(), key=lambda name: name != "own")
    ends = lines(ax, {task_name(name): data[data["task"] == name] for name in tasks}, x)
    shown = data["metric"].unique()
    mixed = MIXED if "map" in shown else "accuracy (%)"
    ax.set_ylabel(AXIS.get(shown[0], shown[0]) if len(shown) == 1 else mixed)
    label_ends(ax, ends)
    return ax


def induced(results: pd.DataFrame, x: str = "classes") -> Figure:
    """Draw a panel for each task of induction: linear probe and 5 neighbours against *x*, chance dashed.

    Dots, bars and the net without pre-training are as in `curve`.
    """
    found = results[results["method"] == "induction"]
    if found.empty:
        raise ItlError("no induction to draw; give a task such as induction@images, and run it first")
    tasks = {task: found[found["task"] == task] for task in found["task"].unique()}
    return _side_by_side(
        {f"scored on {Task.read(task).labels} classes":
         {name: data[data["metric"] == metric] for metric, name in INDUCED.items()}
         for task, data in tasks.items()}, x,
        [data.loc[data["metric"] == "chance", "value"].mean() for data in tasks.values()],
    )


def panels(results: pd.DataFrame, x: str, by: str) -> Figure:
    """Draw a panel for each task but nets' own: its main metric against *x*, a line for each value of *by*.

    Dots, bars and the net without pre-training are as in `curve`.
    """
    found = results[(results["task"] != "own") & (results["metric"] == results["task"].map(main_metric))]
    if found.empty:
        raise ItlError("no task to draw; run the question first")
    return _side_by_side(
        {task_name(task): {str(value): data[data[by] == value] for value in sorted(data[by].unique())}
         for task, data in found.groupby("task", sort=False)}, x,
    )


def _side_by_side(
    groups: Mapping[str, Mapping[str, pd.DataFrame]], x: str, chance: Sequence[float] = ()
) -> Figure:
    """Draw a panel for each of *groups*, by title, with its lines by name, and where given a chance level."""
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(1, len(groups), figsize=(7.6, 3.7), squeeze=False)
    for ax, (title, each), level in zip_longest(grid.flat, groups.items(), chance):
        known = {} if level is None else {"chance": (level, INK)}
        for height, colour in known.values():
            ax.axhline(height, color=colour, ls="--", lw=1)
        ends = lines(ax, each, x)
        ax.set_title(title, loc="left")
        ax.set(xlabel=AXIS.get(x, x))
        ax.tick_params("x", labelsize=9)        # panels are narrow, and numbers of classes may lie close
        if known:
            ax.set(ylim=(0, 1.1 * ax.get_ylim()[1]), xlabel="classes trained on (log scale)")
        label_ends(ax, ends | known)
    shown = pd.concat([data for each in groups.values() for data in each.values()])["metric"].unique()
    grid[0, 0].set_ylabel(MIXED if "map" in shown else "accuracy (%)")
    return figure


def lines(
    ax: Axes, groups: Mapping[str, pd.DataFrame], x: str
) -> dict[str, tuple[float, str]]:
    """Draw *value* against *x* for each of *groups*, by name, on a log axis (see `curve`).

    Returns where each line ends and its colour, for `label_ends` once the limits are set.
    """
    ends, places = {}, positions(pd.concat(groups.values())[x])
    for number, (name, group) in enumerate(groups.items()):
        aside = 2 ** (0.07 * (number - (len(groups) - 1) / 2))  # so that bars do not cover each other
        rows = group.assign(place=group[x].map(places) * aside)
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        middle = means(rows, "place")
        zero = middle.index == places.get(0, -1) * aside
        bars = {"yerr": middle["half"], "elinewidth": 1.6, "capsize": 4, "color": colour}
        ax.errorbar(middle.index, middle["mean"], ls="", marker="_", ms=10, **bars)
        ax.plot(middle.index[~zero], middle["mean"][~zero], color=colour, lw=2)
        ax.plot(rows["place"], rows["value"], marker, color=colour, ms=6, alpha=0.55, mec="white", ls="")
        for height in middle["mean"][zero]:
            ax.axhline(height, color=colour, ls=(0, (1, 3)), lw=1.4)
        ends[name] = (float(middle["mean"].iloc[-1]), colour)
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(places.values()), [tick(value) for value in places])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(axis="y", color=QUIET, lw=0.7)
    ax.set_xlabel(AXIS.get(x, x))
    return ends


def means(rows: pd.DataFrame, x: str) -> pd.DataFrame:
    """Return mean, n and half the 95 % t interval of *value* at each *x*; half is NaN for one seed."""
    table = rows.groupby(x)["value"].agg(["mean", "std", "count"])
    factor = stats.t.ppf(0.975, (table["count"] - 1).clip(lower=1))
    half = factor * table["std"] / np.sqrt(table["count"])
    return pd.DataFrame({"mean": table["mean"], "n": table["count"], "half": half})


def positions(values: Iterable[object]) -> dict[object, float]:
    """Map each value to its place on a log axis: 0 half an octave before the first, all one past the last.

    >>> positions([25, 50, 0, "all"])
    {0: 12.5, 25: 25.0, 50: 50.0, 'all': 100.0}
    """
    given = set(values)
    known = sorted(value for value in given if value not in (0, "all"))
    low, high = (known[0], known[-1]) if known else (2, 2)
    ends = ({0: low / 2} if 0 in given else {}), ({"all": 2.0 * high} if "all" in given else {})
    return ends[0] | {value: float(value) for value in known} | ends[1]


def tick(value: object) -> str:
    """Write an axis value as a person would: 1,300, all, or none for 0."""
    if value == 0:
        return "none"
    return value if isinstance(value, str) else f"{value:,g}"


def label_ends(ax: Axes, ends: dict[str, tuple[float, str]]) -> None:
    """Write each line's name right of its end, moved apart where they would overlap."""
    low, high = ax.get_ylim()
    floor = -np.inf
    for name, (height, colour) in sorted(ends.items(), key=lambda item: item[1][0]):
        floor = max(height, floor + 0.065 * (high - low))
        place = {"xycoords": ("axes fraction", "data"), "va": "center", "annotation_clip": False}
        ax.annotate(name, (1.01, floor), color=colour, fontweight="bold", fontsize=10, **place)


def forest(table: pd.DataFrame, by: str = "compared") -> Axes:
    """Draw a row for each of *table* (see `comparisons`): mean change and 95 % interval, coloured *by*.

    Filled where the verdict is beyond seed noise.
    """
    if table.empty:
        raise ItlError("no contrast to draw; a question needs two conditions with results")
    ax = axes(7.6, 1.4 + (0.3 if by == "compared" else 0.5) * len(table))
    groups = list(dict.fromkeys(table[by]))
    for height, row in enumerate(table.itertuples()):
        colour = COLOURS[groups.index(getattr(row, by)) % len(COLOURS)]
        sure = row.verdict in (GAIN, LOSS)
        ax.plot([row.low, row.high], [height, height], color=colour, lw=2)
        ax.plot(row.change, height, "o", ms=8, mec=colour, mew=2, color=colour if sure else "white")
    for number, name in enumerate(groups):
        ax.plot([], [], "o-", color=COLOURS[number % len(COLOURS)], label=name)
    ax.axvline(0, color="#8a8a8a", lw=1, zorder=0)
    labels = [f"{task_name(row.task)}: {METRIC.get(row.metric, row.metric)}" for row in table.itertuples()]
    if by != "compared":                    # else the legend says what is compared
        labels = [f"{row.compared}\n{label}" for row, label in zip(table.itertuples(), labels, strict=True)]
    ax.set_yticks(range(len(table)), labels)
    ax.set_ylim(len(table) - 0.4, -0.6)     # the first row on top, and room at both ends
    ax.grid(axis="x", color=QUIET, lw=0.7)
    ax.set(xlabel="change (percentage points)")
    ax.figure.legend(loc="outside upper left", frameon=False, fontsize=10)
    return ax


def axes(width: float, height: float) -> Axes:
    """Make one styled figure of that many inches and return its Axes."""
    with plt.rc_context(STYLE):
        return plt.subplots(figsize=(width, height))[1]
