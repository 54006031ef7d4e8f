"""Tables for people: results by condition, and the tree: classes by depth, label sets, several parents."""

from collections.abc import Mapping

import pandas as pd

from itl.labels import label_set
from itl.statistics import mean_interval
from itl.wordnet import Taxonomy

LABEL_SETS = (
    *(f"bottom-up@{level}" for level in range(17, -1, -1)),
    *(f"top-down@{rounds}" for rounds in (1, 2, 3)),
    "without-pascal",
    "half-random-a@0",
    "half-random-b@0",
    "half-minimal-a",
    "half-minimal-b",
)


def depths(tree: Taxonomy) -> pd.DataFrame:
    """Count nodes and leaves at each depth, the root's being 0: columns depth, nodes, leaves."""
    nodes = pd.Series([tree.depth(wnid) for wnid in tree]).value_counts()
    leaves = pd.Series([tree.depth(wnid) for wnid in tree.leaves]).value_counts()
    table = pd.DataFrame({"nodes": nodes, "leaves": leaves}).fillna(0).astype(int)
    return table.sort_index().rename_axis("depth").reset_index()


def label_sets(tree: Taxonomy) -> pd.DataFrame:
    """Describe every label set of the paper: columns method, classes, leaves, largest, largest_class.

    *leaves* is how many of the tree's leaves keep a label, *largest* how many the widest class holds.
    """
    rows = []
    for method in LABEL_SETS:
        class_of = pd.Series(dict(label_set(tree, method, tree.leaves).class_of))
        sizes = class_of.value_counts()
        biggest = sizes[sizes == sizes.max()].index.min()
        name = tree.class_name(biggest) if sizes.max() > 1 else ""
        rows.append((method, len(sizes), len(class_of), int(sizes.max()), name))
    return pd.DataFrame(rows, columns=["method", "classes", "leaves", "largest", "largest_class"])


def several_parents(tree: Taxonomy) -> pd.DataFrame:
    """List nodes that have more than one hypernym: columns wnid, name, hypernyms, parent, leaves."""
    rows = [
        (
            wnid,
            tree.class_name(wnid),
            ", ".join(tree.class_name(each) for each in tree[wnid].hypernyms if each in tree),
            tree.class_name(tree.parent(wnid)),
            len(tree.leaves_under(wnid)),
        )
        for wnid in tree
        if len(tree[wnid].hypernyms) > 1
    ]
    table = pd.DataFrame(rows, columns=["wnid", "name", "hypernyms", "parent", "leaves"])
    return table.sort_values(["leaves", "wnid"], ascending=[False, True], ignore_index=True)


def facts(told: Mapping[str, object]) -> pd.DataFrame:
    """Make a table of *told*: columns item and value."""
    return pd.DataFrame(list(told.items()), columns=["item", "value"])


def summary(
    results: pd.DataFrame, rows: str = "task", columns: str = "images_per_class", metric: str | None = None
) -> pd.DataFrame:
    """Tabulate mean ± half the 95 % t interval over seeds, and n; all metrics where *metric* is None."""
    chosen = results if metric is None else results.query("metric == @metric")
    index = [rows] if metric else [rows, "metric"]
    groups = chosen.groupby([*index, columns], sort=False)["value"]
    table = groups.agg(_mean_and_half).unstack(columns)[list(dict.fromkeys(chosen[columns]))].fillna("")
    counts = groups.size().groupby(index, sort=False).agg(["min", "max"])
    table["n"] = [f"{low}" if low == high else f"{low} to {high}" for low, high in counts.to_numpy()]
    return table


def _mean_and_half(values: pd.Series) -> str:
    mean, low, high = mean_interval(values.tolist())
    return f"{mean:.1f}" + (f" ± {(high - low) / 2:.1f}" if len(values) > 1 else "")
