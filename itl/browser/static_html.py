"""The browser's last state where no kernel runs, in pages and in mail; a choice described in words."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from itl.analysis.wording import signed_interval
from itl.hierarchy.taxonomy import Taxonomy
from itl.packs.subset import SubsetCounts
from itl.report.html import render

Counts = Mapping[str, Mapping[str, int]]  # what is counted -> node -> how many are under it
MAX_ROWS = 300
STATES = (("☐", "unticked"), ("◪", "some below unticked"), ("☑", "ticked"))


def tree_html(
    tree: Taxonomy,
    opened: Sequence[str],
    shown: str,
    unticked: frozenset[str],
    counts: Counts,
    summary: Mapping[str, Any],
) -> str:
    """Write the open part of the tree, the selection and the counts as HTML without script or style sheet.

    Args:
        opened: nodes whose children are shown.
        shown: the node whose images are shown, in bold.
        unticked: leaves that are left out.
        counts: classes and images of the pack under every node, before any cut, or without one leaves; by
            these words. Nodes without images are left out.
        summary: the browser's summary: facts, perhaps problem, classes (leaves of each) and colours.
    """
    headings = ["synset", "", *counts]
    if colours := summary.get("colours"):
        headings.append(f"{colours['label']} ({colours['unit']})")
    among = {wnid for wnid, count in counts["images"].items() if count} if "images" in counts else tree
    nodes = tree.walk_open(set(opened), among)
    first = islice(nodes, MAX_ROWS)
    rows = [_row(tree, wnid, unticked, counts, summary) | {"shown": wnid == shown} for wnid in first]
    table = {"headings": headings, "rows": rows, "hidden": sum(1 for _ in nodes)}
    return render("tree.html.j2", facts=summary.get("facts", ()), problem=summary.get("problem"), **table)


def _row(
    tree: Taxonomy, wnid: str, unticked: frozenset[str], counts: Counts, summary: Mapping[str, Any]
) -> dict[str, object]:
    """Return what one row of the table shows."""
    leaves = tree.leaves_under(wnid)
    n_unticked = sum(leaf in unticked for leaf in leaves)
    box, state = STATES[2 if not n_unticked else int(n_unticked < len(leaves))]
    size = summary.get("classes", {}).get(wnid)
    cells = [f"◆ {size}" if size else "", *(f"{column[wnid]:,}" for column in counts.values())]
    if colours := summary.get("colours"):
        value = colours["values"].get(wnid)
        low, high = colours.get("intervals", {}).get(wnid, (math.nan, math.nan))
        write = partial(signed_interval, low=low, high=high) if colours["change"] else "{:.1f}".format
        cells.append("" if value is None else write(value))
    parents = len(tree[wnid].hypernyms)
    return {
        "depth": tree.depth(wnid),
        "box": box,
        "state": state,
        "name": tree.class_name(wnid),
        "parents": f" ↑{parents}" if parents > 1 else "",
        "cells": cells,
    }


def summary_text(summary: Mapping[str, Any]) -> str:
    """Write the browser's summary as one line of plain text."""
    parts = [f"{name}: {value}" for name, value in summary.get("facts", ())]
    if summary.get("problem"):
        parts.append(summary["problem"])
    return "HierarchyBrowser · " + " · ".join(parts)


def facts(
    tree: Taxonomy, images: Mapping[str, int], kept: SubsetCounts, counted: bool
) -> Iterator[tuple[str, str]]:
    """Yield names and values: classes, images or leaves, smallest and largest class, and what is left out.

    *images* are those of each class of the pack, *kept* what the choice keeps of them; not *counted* without
    a pack, and then leaves are.
    """
    sizes, unit = (kept.images, "images") if counted else (kept.leaves, "leaves")
    count = f"{len(sizes):,}"
    yield "classes", count if len(sizes) == kept.offered else f"{count} of {kept.offered:,}"
    yield unit, f"{sum(sizes.values()):,}"
    smallest, largest = min(sizes.values()), max(sizes.values())
    if smallest < largest:
        yield "smallest", _classes_with(tree, sizes, smallest)
        yield "largest", _classes_with(tree, sizes, largest)
    elif counted:
        yield "of each class", f"{largest:,}"
    if kept.left_out:
        total = sum(kept.left_out.values())
        reasons = ", ".join(f"{reason} ({number:,})" for reason, number in kept.left_out.items())
        yield "left out", f"{total:,} of {len(images):,} classes: {reasons}"
    if outside := sum(wnid not in tree for wnid in images):
        yield (
            "not in the tree",
            f"{outside:,} of the pack's classes; only original and random halves take them",
        )


def _classes_with(tree: Taxonomy, sizes: Mapping[str, int], size: int) -> str:
    """Name one class of that size, and how many more there are."""
    wnids = [wnid for wnid in sizes if sizes[wnid] == size]
    name = tree.class_name(wnids[0]) if wnids[0] in tree else wnids[0]
    return f"{size:,}: {name}" + (f" and {len(wnids) - 1:,} more" if len(wnids) > 1 else "")
