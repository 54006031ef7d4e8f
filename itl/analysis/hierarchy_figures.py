"""Figures of the tree and of images: classes by depth, what cutting leaves, contact sheets."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from itl import ItlError
from itl.analysis.figures import COLOURS, MARKERS, QUIET, STYLE
from itl.analysis.tables import depths, label_sets
from itl.hierarchy.taxonomy import Taxonomy

if TYPE_CHECKING:                           # a figure needs no decoder
    from itl.packs.pack import Pack


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
