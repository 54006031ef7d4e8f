"""Figures of the tree and of images: classes by depth, classes left by each cut, contact sheets."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from itl.analysis.figures import AXIS_COLOUR, COLOURS, MARKERS, styled
from itl.analysis.tables import depths, label_sets
from itl.analysis.wording import CANNOT_TELL, HELPS, HURTS
from itl.errors import ItlError
from itl.hierarchy.taxonomy import Taxonomy
from itl.words import shortened

if TYPE_CHECKING:  # a figure needs no decoder
    from itl.packs.pack import Pack

CUTS = {"bottom-up": "cut at this depth", "top-down": "merged in rounds"}
VERDICT_COLOURS = {HELPS: COLOURS[0], HURTS: COLOURS[1], CANNOT_TELL: AXIS_COLOUR}
MAX_NAME_LENGTH = 15  # of a class above its image


def levels(tree: Taxonomy) -> Figure:
    """Draw how deep the leaves lie, and how many classes each way of cutting the tree leaves."""
    with styled():
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.5), width_ratios=(1, 1.15))
    style = {"color": COLOURS[0], "saturation": 1, "width": 0.8, "native_scale": True}
    sns.barplot(depths(tree), x="depth", y="leaves", ax=left, **style)
    left.set(xlabel="depth in WordNet (steps from entity)", ylabel="classes")
    left.set_title(f"The {len(tree.leaves):,} classes by depth", loc="left")
    sets = label_sets(tree)
    parts = sets["method"].str.partition("@")
    sets = sets.assign(cut=parts[0].map(CUTS), depth=pd.to_numeric(parts[2], errors="coerce"))
    style = {"hue": "cut", "palette": COLOURS[:2], "markers": dict(zip(CUTS.values(), MARKERS, strict=False))}
    cuts = sets.dropna(subset="cut")
    sns.lineplot(cuts, x="depth", y="classes", style="cut", dashes=False, ax=right, **style)
    right.set_yscale("log")
    right.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
    right.yaxis.set_minor_locator(NullLocator())
    right.set(xlabel="depth, or rounds", ylabel="classes left (log scale)")
    right.set_title("What cutting leaves", loc="left")
    right.legend(frameon=False, loc="lower right")
    for ax in (left, right):
        ax.grid(axis="y")
    return figure


def effects_on_tree(effects: pd.DataFrame, tree: Taxonomy, most: int = 80) -> Figure:
    """Draw the effect of every node on a task, with its interval: a line a node, in the order of the tree.

    Of *effects* (from `itl.analysis.influence`) at *most* this number, the surest to help or hurt, are drawn.
    """
    rows = effects.sort_values(["p", "classes"], kind="stable").head(most)  # nsmallest ties all without p
    paths = [tree.path(node)[::-1] if node in tree else [node] for node in rows["node"]]
    shown = set(rows["node"])
    rows = rows.assign(path=paths, level=[len(shown.intersection(path)) - 1 for path in paths])
    rows = rows.sort_values("path", ignore_index=True)
    with styled():
        figure, ax = plt.subplots(figsize=(7.6, 1 + 0.17 * len(rows)))
    for word, colour in VERDICT_COLOURS.items():
        part = rows[rows["verdict"] == word]
        reach = [part["effect"] - part["low"], part["high"] - part["effect"]]
        style: dict[str, Any] = {"fmt": "o", "color": colour, "markersize": 4, "linewidth": 1.2}
        ax.errorbar(part["effect"], part.index, xerr=reach, label=word, **style)
    ax.axvline(0, color=AXIS_COLOUR, linewidth=0.8)
    names = []
    for name, level, classes in rows[["name", "level", "classes"]].itertuples(index=False):
        names.append(f"{'    ' * level}{name}" + (f" ({classes})" if classes > 1 else ""))
    ax.set_yticks(rows.index, names, fontsize=7, ha="left")
    ax.tick_params(axis="y", length=0, pad=170)
    ax.set(ylim=(len(rows) - 0.5, -0.5), xlabel="points that its classes add, over as many others")
    ax.set_title(f"What each node does for {effects['task'].iloc[0]}", loc="left")
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    ax.grid(axis="x")
    return figure


def contact_sheet(
    pack: "Pack", rows: Sequence[int], tree: Taxonomy | None = None, columns: int = 8
) -> Figure:
    """Show the images at *rows* of *pack* in a grid, each above the name of its class.

    ItlError if there are no *rows*.
    """
    if not len(rows):
        raise ItlError("a contact sheet needs at least one row of the pack, got none")
    lines = -(-len(rows) // columns)
    with styled():
        figure, grid = plt.subplots(lines, columns, figsize=(7.6, 1.15 * lines), squeeze=False)
    for ax in grid.flat:
        ax.set_axis_off()
    for ax, row in zip(grid.flat, rows, strict=False):
        wnid = pack.table["wnid"].iloc[row]
        name = tree.class_name(wnid) if tree is not None and wnid in tree else wnid
        ax.imshow(pack.images[row])
        ax.set_title(shortened(name, MAX_NAME_LENGTH), fontsize=7.5, loc="center", y=-0.22)
    return figure


def one_of_each(pack: "Pack", classes: int = 24) -> list[int]:
    """Return the rows of one training image for each of *classes* classes, evenly over those of the pack."""
    table = pack.table.reset_index(drop=True)
    first = table[table["split"] == "train"].drop_duplicates("wnid").sort_values("wnid").index
    chosen = np.linspace(0, len(first) - 1, min(classes, len(first))).round().astype(int)
    return [int(row) for row in first[chosen]]
