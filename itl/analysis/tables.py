"""Tables for people: results by condition; the tree by depth, its label sets, and several parents."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from itl.analysis.statistics import mean_interval
from itl.hierarchy.halves import control_groups
from itl.hierarchy.label_sets import label_set
from itl.hierarchy.taxonomy import Taxonomy
from itl.machine import Machine
from itl.packs.paths import open_packed
from itl.runs.design import with_seed
from itl.runs.question import Question
from itl.runs.questions import EQUAL_PASSES, EQUAL_STEPS

LABEL_SETS = (
    *(f"bottom-up@{level}" for level in range(17, -1, -1)),
    *(f"top-down@{rounds}" for rounds in (1, 2, 3)),
    "without-pascal",
    "half-random-a@0",
    "half-random-b@0",
    "half-minimal-a",
    "half-minimal-b",
)

WAYS = {  # how a label set is made, by the first word of its method; none and original are no way
    "bottom": "cut at a depth",
    "top": "merged in rounds",
    "cut": "cut at chosen nodes",
    "file": "classes of a list",
    **dict.fromkeys(("only", "without", "half"), "some classes with all their images"),
}
MAX_TEXT_LENGTH = 400  # characters of a cell in notebooks and on pages
SAME_BUDGET = 1.02  # ratio of the numbers of images that two designs of one budget have, at most
SOME_CLASSES = r"\d+ classes"  # how results of `ClassCount` name these


def depths(tree: Taxonomy) -> pd.DataFrame:
    """Count nodes and leaves at each depth, 0 for the root: columns depth, nodes, leaves."""
    nodes = pd.Series([tree.depth(wnid) for wnid in tree]).value_counts()
    leaves = pd.Series([tree.depth(wnid) for wnid in tree.leaves]).value_counts()
    table = pd.DataFrame({"nodes": nodes, "leaves": leaves}).fillna(0).astype(int)
    return table.sort_index().rename_axis("depth").reset_index()


def label_sets(tree: Taxonomy) -> pd.DataFrame:
    """Describe every label set of the paper: columns method, classes, leaves, largest, largest_class."""
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
    rows = []
    for wnid in tree:
        if len(tree[wnid].hypernyms) > 1:
            hypernyms = ", ".join(map(tree.class_name, tree[wnid].hypernyms))
            parent, leaves = tree.class_name(tree.path(wnid)[1]), len(tree.leaves_under(wnid))
            rows.append((wnid, tree.class_name(wnid), hypernyms, parent, leaves))
    table = pd.DataFrame(rows, columns=["wnid", "name", "hypernyms", "parent", "leaves"])
    return table.sort_values(["leaves", "wnid"], ascending=[False, True], ignore_index=True)


def both_ends(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return *count* rows from each end of *table*, or all rows if it has no more."""
    return pd.concat([table[:count], table[count:].tail(count)])


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Round the numbers of *table* to two digits, and write no -0.00.

    >>> rounded(pd.DataFrame({"low": [-0.003, -1.234]}))["low"].tolist()
    [0.0, -1.23]
    """
    return table.round(2).replace(-0.0, 0.0)


def facts(values: Mapping[str, object]) -> pd.DataFrame:
    """Tabulate *values* by name: columns item and value."""
    return pd.DataFrame(list(values.items()), columns=["item", "value"])


def show_whole_texts() -> None:
    """Let a notebook show whole texts in tables, as on pages: pandas cuts them at 50 characters."""
    pd.set_option("display.max_colwidth", MAX_TEXT_LENGTH)


def summary(
    results: pd.DataFrame, rows: str | Sequence[str] = "task", columns: str = "images_per_class"
) -> pd.DataFrame:
    """Tabulate mean ± half the 95 % t interval over seeds, and n seeds, of every metric.

    In percent to one decimal; transferability scores, which have units of their own, to three.
    The columns *rows* of *results* name a row, beside the metric; values of the column *columns* go across.
    Several fits of one net count as their mean.
    """
    index = [*([rows] if isinstance(rows, str) else rows), "metric"]
    seeds = results.groupby([*index, columns, "seed"], sort=False)["value"].mean()
    groups = seeds.groupby([*index, columns], sort=False)
    table = groups.apply(_mean_and_half).unstack(columns)[list(dict.fromkeys(results[columns]))].fillna("")
    counts = groups.size().groupby(index, sort=False).agg(["min", "max"])
    table["n"] = [f"{low}" if low == high else f"{low} to {high}" for low, high in counts.to_numpy()]
    return table


def is_percent(metric: str) -> bool:
    """Say whether a *metric* is in percent; most transferability scores have units of their own."""
    from itl.evaluation.scores import SCORES  # here: it imports torch

    return metric not in SCORES or SCORES[metric].in_percent


def _mean_and_half(values: pd.Series) -> str:
    mean, low, high = mean_interval(values.tolist())
    decimals = 1 if is_percent(values.index.get_level_values("metric")[0]) else 3
    return f"{mean:.{decimals}f}" + (f" ± {(high - low) / 2:.{decimals}f}" if len(values) > 1 else "")


def with_exposure(results: pd.DataFrame, question: Question) -> pd.DataFrame:
    """Add a column exposure that says what nets have equally many of, if results do not show it.

    A recipe of steps gives all nets equally many steps; one of epochs gives equally many passes over their
    images.
    """
    if "exposure" in results:
        return results
    return results.assign(exposure=EQUAL_PASSES if question.recipe.steps is None else EQUAL_STEPS)


def without_passes(results: pd.DataFrame) -> pd.DataFrame:
    """Keep the results of nets trained by the recipe; if others are trained for passes, it has steps."""
    return results[results["exposure"] == EQUAL_STEPS] if "exposure" in results else results


def left_out(question: Question, machine: Machine) -> pd.DataFrame:
    """Tabulate what each condition with pre-training leaves out of the pack, with the first seed.

    Returns:
        Columns condition; classes left out and images left out; groups emptied, and groups in all
        (`itl.hierarchy.halves.control_groups`).
    """
    pack = open_packed(question.images, "images", machine)
    tree, wnids = question.tree(machine), pack.table.loc[pack.table["split"] == "train", "wnid"]
    in_tree = [wnid for wnid in wnids.unique() if wnid in tree]
    groups = control_groups(tree, in_tree)
    rows = []
    for condition in question.conditions:
        if condition.trained:
            labels = with_seed(condition.labels, question.seeds[0])
            gone = set(wnids) - label_set(tree, labels, sorted(set(wnids))).class_of.keys()
            emptied = sum(group <= gone for group in groups)
            name = ", ".join(str(value) for _, value in condition.columns)
            rows.append((name, len(gone), int(wnids.isin(gone).sum()), emptied, len(groups)))
    columns = ["condition", "classes left out", "images left out", "groups emptied", "groups"]
    return pd.DataFrame(rows, columns=columns)


def by_way(results: pd.DataFrame) -> pd.DataFrame:
    """Name in a column way how the classes are made; rows that belong to every way are repeated in each.

    These are the ends, no pre-training and all classes, and nets with weights of their own.
    """
    way = results["label_set"].astype(str).map(_way)
    if "weights" in results:
        way = way.where(results["weights"] == "")
    made = list(way.dropna().unique()) or ["all classes"]
    return pd.concat([results[way.isna() | (way == one)].assign(way=one) for one in made], ignore_index=True)


def _way(label_set: str) -> str | None:
    """Return how *label_set* makes its classes; None for no pre-training and for all classes.

    >>> _way("bottom-up@9"), _way("6 classes"), _way("my-method@3"), _way("original")
    ('cut at a depth', 'some classes with all their images', 'my-method', None)
    """
    if label_set in ("none", "original"):
        return None
    if re.fullmatch(SOME_CLASSES, label_set):
        return WAYS["only"]
    return WAYS.get(re.split("[^a-z]", label_set)[0], label_set.partition("@")[0])


def by_budget(results: pd.DataFrame) -> pd.DataFrame:
    """Name in a column budget how many images the nets of each design were trained on, to three digits.

    Designs with equal means over seeds are of one budget: "500 x all" has other classes with each seed.
    """
    names, smallest = {}, 0.0
    own = set(results.loc[results["weights"] != "", "design"]) if "weights" in results else set()
    for design, images in results.groupby("design")["images"].mean().sort_values().items():
        smallest = smallest if images <= SAME_BUDGET * smallest else images
        words = "own weights" if design in own else "no pre-training"
        names[design] = f"{float(f'{smallest:.3g}'):,.0f} images" if images else words
    return results.assign(budget=results["design"].map(names))
