"""Figures: a tidy frame in, Axes out; colours that colour-blind readers can tell apart."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from scipy import stats

from itl import ItlError
from itl.answers import main_metric
from itl.question import Task
from itl.tables import depths, label_sets
from itl.wordnet import Taxonomy

if TYPE_CHECKING:                           # a figure needs no decoder
    from itl.data.pack import Pack

AXIS = {
    "images_per_class": "images per class (log scale)",
    "classes": "classes (log scale)",
    "accuracy": "accuracy (%)",
    "top5": "top-5 accuracy (%)",
    "knn1": "1-nearest-neighbour accuracy (%)",
    "knn5": "5-nearest-neighbours accuracy (%)",
    "map": "mean average precision (%)",
}
METRIC = {
    "knn1": "1 neighbour",
    "knn5": "5 neighbours",
    "top5": "top 5",
    "map": "mAP",
    "map_area": "mAP by area",
}
INDUCED = {"accuracy": "linear probe", "knn5": "5 neighbours"}
METHOD = {
    "finetune": "fine-tuned",
    "probe": "linear probe",
    "knn": "nearest neighbours",
    "induction": "frozen",
    "actions": "fine-tuned",
    "detection": "R-CNN",
}
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
    mixed = "accuracy, or mean average precision (%)" if "map" in shown else "accuracy (%)"
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
    tasks = list(dict.fromkeys(found["task"]))
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(1, len(tasks), figsize=(7.6, 3.7), squeeze=False)
    for task, ax in zip(tasks, grid.flat, strict=True):
        data = found[found["task"] == task]
        level = data.loc[data["metric"] == "chance", "value"].mean()
        ax.axhline(level, color=INK, ls="--", lw=1)
        ends = lines(ax, {name: data[data["metric"] == metric] for metric, name in INDUCED.items()}, x)
        ax.set_title(f"scored on {Task.read(task).labels} classes", loc="left")
        ax.set(ylim=(0, 1.1 * ax.get_ylim()[1]), xlabel="classes trained on (log scale)")
        label_ends(ax, ends | {"chance": (level, INK)})
    grid[0, 0].set_ylabel("accuracy (%)")
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


def task_name(task: str) -> str:
    """Name a task for people.

    >>> task_name("finetune@scenes")
    'scenes, fine-tuned'
    """
    method, _, target = task.partition("@")
    if target:
        return f"{target}, {METHOD.get(method, method)}"
    return "own classes" if task == "own" else task


def label_ends(ax: Axes, ends: dict[str, tuple[float, str]]) -> None:
    """Write each line's name right of its end, moved apart where they would overlap."""
    low, high = ax.get_ylim()
    floor = -np.inf
    for name, (height, colour) in sorted(ends.items(), key=lambda item: item[1][0]):
        floor = max(height, floor + 0.065 * (high - low))
        place = {"xycoords": ("axes fraction", "data"), "va": "center", "annotation_clip": False}
        ax.annotate(name, (1.01, floor), color=colour, fontweight="bold", fontsize=10, **place)


def levels(tree: Taxonomy) -> Figure:
    """Draw how deep the leaves lie, and how many classes each way of cutting the tree leaves."""
    counts, sets = depths(tree), label_sets(tree)
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.5), width_ratios=(1, 1.15))
    left.bar(counts["depth"], counts["leaves"], color=COLOURS[0], width=0.8)
    left.set(xlabel="depth in WordNet (steps from entity)", ylabel="classes")
    left.set_title(f"The {len(tree.leaves):,} classes by depth", loc="left")
    kinds = (("bottom-up@", "cut at this depth"), ("top-down@", "merged in rounds"))
    for number, (prefix, label) in enumerate(kinds):
        some = sets[sets["method"].str.startswith(prefix)]
        along = some["method"].str.removeprefix(prefix).astype(int)
        right.plot(along, some["classes"], f"{MARKERS[number]}-", color=COLOURS[number], ms=5, label=label)
    right.set_yscale("log")
    right.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
    right.yaxis.set_minor_locator(NullLocator())
    right.set(xlabel="depth, or rounds", ylabel="classes left (log scale)")
    right.set_title("What cutting leaves", loc="left")
    right.legend(frameon=False, loc="lower right")
    for ax in (left, right):
        ax.grid(axis="y", color=QUIET, lw=0.7)
    return figure


def forest(table: pd.DataFrame) -> Axes:
    """Draw a row for each contrast of *table* (see itl.answers): the mean change and its 95 % interval."""
    if table.empty:
        raise ItlError("no contrast to draw; a question needs two conditions with results")
    ax = axes(7.6, 1.4 + 0.3 * len(table))
    groups = list(dict.fromkeys(table["compared"]))
    for height, row in enumerate(table.itertuples()):
        colour = COLOURS[groups.index(row.compared) % len(COLOURS)]
        sure = row.verdict.endswith("beyond seed noise") and not row.verdict.startswith("no ")
        ax.plot([row.low, row.high], [height, height], color=colour, lw=2)
        ax.plot(row.change, height, "o", ms=8, mec=colour, mew=2, color=colour if sure else "white")
    for number, name in enumerate(groups):
        ax.plot([], [], "o-", color=COLOURS[number % len(COLOURS)], label=name)
    ax.axvline(0, color="#8a8a8a", lw=1, zorder=0)
    labels = [f"{task_name(row.task)}: {METRIC.get(row.metric, row.metric)}" for row in table.itertuples()]
    ax.set_yticks(range(len(table)), labels)
    ax.set_ylim(len(table) - 0.4, -0.6)     # the first row on top, and room at both ends
    ax.grid(axis="x", color=QUIET, lw=0.7)
    ax.set(xlabel="change (percentage points)")
    ax.figure.legend(loc="outside upper left", frameon=False, fontsize=10)
    return ax


def contact_sheet(
    pack: "Pack", rows: Sequence[int], tree: Taxonomy | None = None, columns: int = 8
) -> Figure:
    """Show the images at *rows* of *pack* in a grid, each above the name of its class."""
    if not len(rows):
        raise ItlError("a contact sheet needs at least one row of the pack, got none")
    lines = -(-len(rows) // columns)
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(lines, columns, figsize=(7.6, 1.15 * lines), squeeze=False)
    for ax in grid.flat:
        ax.set_axis_off()
    for ax, row in zip(grid.flat, rows, strict=False):
        wnid = pack.table["wnid"].iloc[row]
        name = tree.class_name(wnid) if tree is not None and wnid in tree else wnid
        ax.imshow(pack.images[row])
        ax.set_title(name if len(name) < 16 else f"{name[:14]}…", fontsize=7.5, loc="center", y=-0.22)
    return figure


def one_of_each(pack: "Pack", classes: int = 24) -> list[int]:
    """Pick the first training image of each of *classes* classes, spread evenly over the pack's classes."""
    table = pack.table.reset_index(drop=True)
    first = table[table["split"] == "train"].drop_duplicates("wnid").sort_values("wnid").index
    chosen = np.linspace(0, len(first) - 1, min(classes, len(first))).round().astype(int)
    return [int(row) for row in first[chosen]]


def axes(width: float, height: float) -> Axes:
    """Make one styled figure of that many inches and return its Axes."""
    with plt.rc_context(STYLE):
        return plt.subplots(figsize=(width, height))[1]
