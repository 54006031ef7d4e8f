"""Figures of results: a tidy frame in, Axes out; colours that colour-blind readers can distinguish."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle, zip_longest
from textwrap import fill
from typing import Any, NamedTuple

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator

from itl.analysis.statistics import mean_interval
from itl.analysis.wording import GAIN, LOSS, SAME, task_name
from itl.errors import ItlError, one_of
from itl.evaluation.methods import METHODS, main_metric
from itl.runs.design import UNTRAINED, Task

AXIS_LABELS = {
    "images_per_class": "images per class (log scale)",
    "classes": "classes (log scale)",
    "accuracy": "accuracy (%)",
    "top5": "top-5 accuracy (%)",
    "knn1": "1-nearest-neighbour accuracy (%)",
    "knn5": "5-nearest-neighbours accuracy (%)",
    "map": "mean average precision (%)",
}
METRIC_NAMES = {"knn1": "1 neighbour", "knn5": "5 neighbours", "top5": "top 5", "map": "mAP"}
METRIC_NAMES |= {"map_area": "mAP by area"}
INDUCTION_METRICS = {"accuracy": "linear probe", "knn5": "5 neighbours"}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe and Ito's
MARKERS = "osD^vPX"  # so that lines differ in a grey print too; one more than there are colours
INK, QUIET, AXIS_COLOUR = "#222222", "#d8d8d8", "#8a8a8a"
GROUP_SHIFT = 0.07  # octaves between the bars of two lines, so that they do not cover each other
LABEL_INCHES = 0.28  # between the names of two lines
LEVEL_INCHES = 0.2  # between the names of two levels, which are smaller
PANEL_HEIGHT, PANELS_BESIDE = 3.7, 2  # in inches; more go below
TITLE_WIDTH = 76  # characters across a figure
LABEL_WIDTH = 20  # characters of a line's name, in which it is broken
LEGEND_WIDTH = 58  # characters of a line of a forest's legend: as many as the narrowest has room for
ROW_LABEL_WIDTH = 50  # characters of a line beside a row of a forest; the longest names are 70
TALL_FOREST = 15  # rows, above which numbers stand at both ends of the axis
TICK_SPACING = 0.4  # octaves between values that are written
plt.rcParams["text.parse_math"] = False  # names may have dollars; STYLE would miss later labels
STYLE = {
    **sns.axes_style("ticks"),
    "font.size": 11,
    "axes.edgecolor": AXIS_COLOUR,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "grid.color": QUIET,
    "grid.linewidth": 0.7,
    "figure.dpi": 180,  # twice what a 700-pixel column shows, for sharp text
    "figure.constrained_layout.use": True,
}


def curve(results: pd.DataFrame, x: str, metric: str | None = None, task: str | None = None) -> Axes:
    """Draw *metric* against *x*: a line through the means, a dot for every seed, a colour for every task.

    Bars are 95 % intervals of the mean over seeds (Student's t), left out for a single seed. A net without
    pre-training (0 or none on the axis) is drawn separately on the left, with its mean as a dotted line
    through the figure.

    Args:
        results: columns *x*, task, metric, seed, value.
        x: a column of numbers; ``"all"`` in it is the last.
        metric: by default the main metric of each task that measures transfer: scores only predict it.
        task: the only one to be drawn.

    Raises:
        ItlError: There are no such results.
    """
    one_of(results.columns, x, "column of these results")
    is_drawn = _is_main(results, task) if metric is None else results["metric"] == metric
    data = results[is_drawn & (results["task"].isin([task]) if task else True)]
    if data.empty:
        held = ", ".join(sorted({f"{row.metric} of {row.task}" for row in results.itertuples()}))
        wanted = (metric or "main metric") + (f" of {task}" if task else "")
        raise ItlError(f"no {wanted} to draw; results hold {held or 'nothing'}")
    tasks = sorted(data["task"].unique(), key=lambda name: name != "own")
    lines = sum(_broken(task_name(name)).count("\n") + 1 for name in tasks)
    ax = new_axes(7.2, max(PANEL_HEIGHT + 0.6, 1.2 + LABEL_INCHES * lines))
    ends = draw_lines(ax, {task_name(name): data[data["task"] == name] for name in tasks}, x)
    names = data["metric"].unique()
    ax.set_ylabel(AXIS_LABELS.get(names[0], names[0]) if len(names) == 1 else _shared_label(names))
    label_ends(ax, ends)
    return ax


def induced(results: pd.DataFrame) -> Figure:
    """Draw a panel, as `curve`, for each task of induction: linear probe and 5 neighbours, chance dashed.

    ItlError if there are no results of induction.
    """
    results = results[results["method"] == "induction"]
    if results.empty:
        raise ItlError("no induction to draw; give a task such as induction@images, and run it first")
    panels, chance = {}, []
    labels = [Task.read(task).labels for task in results["task"].unique()]
    for (task, data), scored in zip(results.groupby("task", sort=False), labels, strict=True):
        lines = {name: data[data["metric"] == metric] for metric, name in INDUCTION_METRICS.items()}
        panels[f"scored on {scored} classes" if labels.count(scored) == 1 else task_name(task)] = lines
        chance.append(data.loc[data["metric"] == "chance", "value"].mean())
    return _side_by_side(panels, "classes", chance)


def panels(results: pd.DataFrame, x: str, by: str) -> Figure:
    """Draw a panel, as `curve`, for each transfer task: its main metric, a line for each value of *by*.

    ItlError if there are no results of transfer.
    """
    results = results[(results["task"] != "own") & _is_main(results)]
    if results.empty:
        raise ItlError("no task to draw; run the question first")
    groups = {}
    for task, data in results.groupby("task", sort=False):
        groups[task_name(task)] = {str(value): rows for value, rows in data.groupby(by)}
    return _side_by_side(groups, x)


def _is_main(results: pd.DataFrame, task: str | None = None) -> pd.Series:
    """Say which rows of *results* have the main metric of *task*, by default of all that measure transfer."""
    names = results["task"].unique()
    predicted = [name for name, method in METHODS.items() if method.predicts]
    measured = [name for name in names if name == task or name.partition("@")[0] not in predicted]
    return results["task"].isin(measured) & (results["metric"] == results["task"].map(main_metric))


def _side_by_side(
    panels: Mapping[str, Mapping[str, pd.DataFrame]], x: str, chance: Sequence[float] = ()
) -> Figure:
    """Draw *panels*, by title, each with its lines by name and, where given, a level of chance."""
    columns = min(len(panels), PANELS_BESIDE)
    rows = math.ceil(len(panels) / columns)
    with styled():
        figure, grid = plt.subplots(rows, columns, figsize=(7.6, PANEL_HEIGHT * rows), squeeze=False)
    for ax in grid.flat[len(panels) :]:
        ax.remove()
    alike = len({frozenset(lines) for lines in panels.values()}) == 1
    for ax, (title, lines), level in zip_longest(grid.flat[: len(panels)], panels.items(), chance):
        ends = draw_lines(ax, lines, x, level)
        ax.set_title(fill(title, TITLE_WIDTH // columns), loc="left")
        ax.tick_params("x", labelsize=9)  # panels are narrow, and numbers of classes may lie close
        if level is not None:
            ax.set_xlabel("classes trained on (log scale)")
        if ax in grid[:, -1] or not alike:  # names take the room of panels
            label_ends(ax, ends)
    metrics = [data["metric"] for lines in panels.values() for data in lines.values()]
    for ax in grid[:, 0]:
        ax.set_ylabel(_shared_label(pd.concat(metrics)))
    return figure


def _shared_label(metrics: pd.Series) -> str:
    """Label an axis that shows several tasks, each by its main metric."""
    return "accuracy, or mean average precision (%)" if "map" in set(metrics) else "accuracy (%)"


class Label(NamedTuple):
    """The name of a line, at a height in units of the axis."""

    text: str
    height: float
    colour: str


def draw_lines(
    ax: Axes, groups: Mapping[str, pd.DataFrame], x: str, chance: float | None = None
) -> list[Label]:
    """Draw *value* against *x* for each of *groups*, by name, on a log axis (see `curve`).

    With a level of *chance*, which is dashed, the axis begins at 0.

    Nets with weights of their own have no place on the axis: each is a dashed line through the figure, with
    its name.

    Returns:
        The name of each line, at its end, for `label_ends` once the limits are set.
    """
    in_percent = all("%" in AXIS_LABELS.get(name, "") for rows in groups.values() for name in rows["metric"])
    levels, groups = _own_weights_apart(groups)
    colours = dict(zip(groups, cycle(COLOURS)))
    ends = _draw_trained(ax, groups, x, colours) if groups else {}
    lines_at: dict[tuple[str, float], list[str]] = {}
    for line, name, height in levels:
        lines_at.setdefault((name, height), []).append(line)
    own = [  # of several lines the same net is one level, in the colour of none
        Label(f"{name}, own weights", height, colours.get(lines[0], INK) if len(lines) == 1 else INK)
        for (name, height), lines in lines_at.items()
    ]
    for _, height, colour in own:
        ax.axhline(height, color=colour, ls=(0, (7, 3)), lw=1.4)
    if not groups:
        ax.set_xticks([])
    if in_percent:  # the interval of two seeds may be wider than 0 to 100
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, -2), min(high, 102))
    drawn = [Label(name, height, colours[name]) for name, height in ends.items()]
    if chance is not None:
        ax.axhline(chance, color=INK, ls="--", lw=1)
        ax.set_ylim(0, 1.1 * ax.get_ylim()[1])
        drawn.append(Label("chance", chance, INK))
    _name_levels(ax, own)
    ax.grid(axis="y")
    ax.set(xlabel=AXIS_LABELS.get(x, x), ylabel="")
    return drawn


def _name_levels(ax: Axes, levels: Sequence[Label]) -> None:
    """Write names above *levels*, moved apart where names would overlap."""
    levels = sorted(levels, key=lambda level: level.height)
    step = _in_units(ax, LEVEL_INCHES)
    heights = _moved_apart([level.height for level in levels], step, ax.get_ylim()[1] - step)
    for level, height in zip(levels, heights, strict=True):
        text: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "bottom", "fontsize": 8}
        text["path_effects"] = [withStroke(linewidth=3, foreground="white")]  # dots may lie under it
        ax.annotate(level.text, (0.01, height), color=level.colour, **text)


def _draw_trained(
    ax: Axes, groups: Mapping[str, pd.DataFrame], x: str, colours: Mapping[str, str]
) -> dict[str, float]:
    """Draw the results of nets that were trained here, or are untrained; return where each line ends."""
    ticks, tables = positions(pd.concat(groups.values())[x]), []
    for number, (name, rows) in enumerate(groups.items()):
        shift = 2 ** (GROUP_SHIFT * (number - (len(groups) - 1) / 2))
        of_net = [column for column in rows if column not in ("value", "repeat", "run")]
        fits = rows.groupby(of_net, sort=False, dropna=False, as_index=False)["value"]
        rows = fits.mean()  # a net is one dot, however often it was fitted
        table = rows.assign(line=name, position=rows[x].map(ticks) * shift, trained=~rows[x].isin(UNTRAINED))
        tables.append(table[["line", "position", "value", "trained"]])
    data = pd.concat(tables, ignore_index=True)
    style = {"x": "position", "y": "value", "hue": "line", "palette": colours, "legend": False, "ax": ax}
    # of one seed the interval is nan, which seaborn does not draw
    bars: dict[str, Any] = {"errorbar": lambda values: mean_interval(values.tolist())[1:]}
    bars |= {"err_style": "bars", "err_kws": {"elinewidth": 1.6, "capsize": 4}}
    sns.lineplot(data, **style, **bars, ls="", marker="_", ms=10, mec=None)
    sns.lineplot(data[data["trained"]], **style, lw=2, errorbar=None)
    markers = dict(zip(groups, cycle(MARKERS)))
    sns.scatterplot(data, **style, style="line", markers=markers, s=36, alpha=0.55, edgecolor="white")
    for (name, _), height in data[~data["trained"]].groupby(["line", "position"])["value"].mean().items():
        ax.axhline(height, color=colours[name], ls=(0, (1, 3)), lw=1.4)
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(ticks.values()), legible(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    last = data.groupby(["line", "position"])["value"].mean().groupby("line").last()
    return {name: float(last[name]) for name in groups}


def _own_weights_apart(
    groups: Mapping[str, pd.DataFrame],
) -> tuple[list[tuple[str, str, float]], dict[str, pd.DataFrame]]:
    """Take the results of nets with own weights out of *groups*.

    Returns:
        For each line and weights their names and the mean value; and what is left of the groups.
    """
    levels, kept = [], {}
    for line, rows in groups.items():
        names = rows["weights"] if "weights" in rows else pd.Series("", rows.index)
        own = names != ""
        means = rows.loc[own, "value"].groupby(names[own], sort=False).mean()
        levels += [(line, name, mean) for name, mean in means.items()]
        if not own.all():
            kept[line] = rows[~own]
    return levels, kept


def figure_of(ax: Axes) -> Figure:
    """Return the figure that *ax* is drawn in, which pyplot made."""
    assert isinstance(ax.figure, Figure)  # and not a part of one
    return ax.figure


def positions(values: Iterable[Any]) -> dict[Any, float]:
    """Map each value to its position on a log axis: 0 an octave below the first, all one above the last.

    >>> positions([25, 50, 0, "all"]), positions(["none", 2])
    ({0: 12.5, 25: 25.0, 50: 50.0, 'all': 100.0}, {'none': 1.0, 2: 2.0})
    """
    present = set(values)
    numbers = sorted(value for value in present if value not in (*UNTRAINED, "all"))
    low, high = (numbers[0], numbers[-1]) if numbers else (2, 2)
    ticks = {value: low / 2 for value in UNTRAINED if value in present}
    ticks |= {value: float(value) for value in numbers}
    return ticks | ({"all": 2.0 * high} if "all" in present else {})


def legible(ticks: Mapping[Any, float]) -> list[str]:
    """Write the values of *ticks*, in order, by their positions; '' for one too near to the next.

    >>> legible({0: 3.5, 7: 7, 18: 18, 20: 20, 28: 28})
    ['none', '7', '', '20', '28']
    """
    texts: list[str] = []
    right = np.inf
    for value, position in reversed(list(ticks.items())):
        texts.append(tick_text(value) if np.log2(right / position) >= TICK_SPACING else "")
        right = position if texts[-1] else right
    return texts[::-1]


def tick_text(value: object) -> str:
    """Write an axis value as a person would: 1,300, all, or none for 0."""
    if value == 0:
        return "none"
    return value if isinstance(value, str) else f"{value:,g}"


def label_ends(ax: Axes, ends: Sequence[Label]) -> None:
    """Write each line's name to the right of its end, moved apart where names would overlap."""
    step = _in_units(ax, LABEL_INCHES)
    ends = sorted(ends, key=lambda end: end.height)
    texts = [_broken(end.text) for end in ends]
    halves = [text.count("\n") / 2 * step for text in texts]  # what more lines add to either side
    heights = _moved_apart([end.height for end in ends], step, ax.get_ylim()[1], halves)
    for end, text, height in zip(ends, texts, heights, strict=True):
        style: dict[str, Any] = {"va": "center", "color": end.colour, "fontweight": "bold", "fontsize": 10}
        style |= {"xycoords": ("axes fraction", "data"), "annotation_clip": False}
        ax.annotate(text, (1.01, height), **style)


def _in_units(ax: Axes, inches: float) -> float:
    """Return how much of the vertical axis of *ax* so many *inches* are."""
    low, high = ax.get_ylim()
    spec = ax.get_subplotspec()
    height = figure_of(ax).get_figheight() / (spec.get_gridspec().nrows if spec else 1)
    return inches / height * (high - low)


def _moved_apart(
    heights: Sequence[float], step: float, high: float, halves: Sequence[float] = ()
) -> list[float]:
    """Move *heights*, the lowest first, *step* apart or more, none above *high*.

    What has more than one line reaches one of *halves* further to either side.
    """
    halves = halves or [0.0] * len(heights)
    moved, free = [], -np.inf
    for height, half in zip(heights, halves, strict=True):
        moved.append(max(height, free + half))
        free = moved[-1] + half + step
    free = high
    for number in reversed(range(len(moved))):
        moved[number] = min(moved[number], free - halves[number])
        free = moved[number] - halves[number] - step
    return moved


def _broken(name: str) -> str:
    """Break the *name* of a line, which stands to the right of its end."""
    return fill(name, LABEL_WIDTH, break_long_words=False)


def forest(table: pd.DataFrame, by: str | None = "compared", named: bool = True) -> Axes:
    """Draw a row for each contrast: change, 95 % interval, and the margin as a grey band.

    Filled dots are gains or losses, filled squares are the same, hollow dots are all others.

    Args:
        table: contrasts, as `itl.analysis.comparisons.contrasts` returns them.
        by: the column that colours show; None, or where it has more values than there are colours: all rows
            have one colour and say what they compare, and no legend is needed.
        named: write `forest_labels` beside the rows; without, a page writes them itself, which is quicker.

    Raises:
        ItlError: *table* is empty.
    """
    if table.empty:
        raise ItlError("no contrast to draw; a question needs two conditions with results")
    by = _coloured_by(table, by)
    labels = forest_labels(table, by)
    lines = max(label.count("\n") + 1 for label in labels)
    width = (7.6 if by == "compared" else 9.2) if named else 5.4
    ax = new_axes(width, 1.4 + (0.14 + 0.15 * lines) * len(table))
    table = table.assign(row=range(len(table)))
    groups = table[by] if by else pd.Series("", table.index)
    palette = dict(zip(groups.unique(), cycle(COLOURS)))
    ax.barh(table["row"], 2 * table["margin"], left=-table["margin"], height=0.8, color=QUIET, zorder=0)
    ax.hlines(table["row"], table["low"], table["high"], colors=groups.map(palette), lw=2)
    known = table.dropna(subset="change")  # the main comparison may have no results yet
    for same, rows in known.groupby(known["verdict"] == SAME):
        colours = groups[rows.index].map(palette)
        faces = colours.where(rows["verdict"].isin([GAIN, LOSS, SAME]), "white")
        dots = {"s": 64, "facecolor": faces, "edgecolor": colours, "linewidth": 2}
        sns.scatterplot(rows, x="change", y="row", ax=ax, marker="s" if same else "o", **dots)
    for name, colour in palette.items():
        ax.plot([], [], "o-", color=colour, label=fill(name, LEGEND_WIDTH, break_on_hyphens=False))
    ax.axvline(0, color=AXIS_COLOUR, lw=1, zorder=0)
    ax.set_yticks(table["row"] if named else [], labels if named else [], fontsize=10)
    ax.set_ylim(len(table) - 0.4, -0.6)  # the first row on top, and space at both ends
    ax.grid(axis="x")
    ax.tick_params("x", labeltop=len(table) > TALL_FOREST)
    ax.set(xlabel="change (percentage points)", ylabel="")
    if by:
        ax.figure.legend(loc="outside upper left", frameon=False, fontsize=10)
    return ax


def forest_labels(table: pd.DataFrame, by: str | None = "compared") -> list[str]:
    """Write what each row of `forest` shows, in lines; what it compares only if no legend says it."""
    labels, in_legend = [], _coloured_by(table, by) == "compared"
    for row in table.itertuples():
        parts = [f"{task_name(row.task)}: {METRIC_NAMES.get(row.metric, row.metric)}"]
        parts = parts if in_legend else [row.compared, *parts]
        labels.append("\n".join(fill(part, ROW_LABEL_WIDTH, break_on_hyphens=False) for part in parts))
    return labels


def _coloured_by(table: pd.DataFrame, by: str | None) -> str | None:
    """Return the column *by* if there are colours enough for its values, else None."""
    return by if by and table[by].nunique() <= len(COLOURS) else None


@contextmanager
def styled() -> Iterator[None]:
    """Draw in STYLE. In a notebook the first figure makes pyplot interactive, and it stays so."""
    with plt.rc_context(STYLE):
        yield
        interactive = plt.isinteractive()
    matplotlib.interactive(interactive)


def new_axes(width: float, height: float) -> Axes:
    """Make one styled figure of *width* × *height* inches and return its Axes."""
    with styled():
        return plt.subplots(figsize=(width, height))[1]
