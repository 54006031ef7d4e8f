"""Accuracy at inner nodes of the tree, and where in the tree two conditions differ most."""

from collections.abc import Mapping

import pandas as pd

from itl.analysis.statistics import mean_interval
from itl.errors import ItlError
from itl.machine import Machine
from itl.runs.question import Question
from itl.runs.store import Store
from itl.specs import Transfer, key

COUNTED = {"fine": "classes", "coarse": "children"}  # what each kind of metric distinguishes at a node


def nodes_of(store: Store, spec: Transfer) -> pd.DataFrame:
    """Read the nodes of the induction run of *spec*.

    Returns:
        One row an inner node, the highest first. Columns node, name, depth, children, classes, images (of
        the test split); coarse_knn1, coarse_knn5 and coarse_chance, the accuracy in percent of telling the
        node's children apart; fine_knn1, fine_knn5 and fine_chance, that of telling the classes under it
        apart. No rows where the target's classes are no wnids of WordNet's snapshot.

    Raises:
        ItlError: The run is not done, or is not of induction.
    """
    if not store.is_done(spec):
        raise ItlError(f"run {key(spec)} is not done, so it has no accuracy at nodes yet; run it first")
    path = store.file(spec, "nodes.csv")
    if not path.exists():
        raise ItlError(
            f"run {key(spec)} is of {spec.method} on {spec.target}, which does not measure inner nodes; "
            f"ask for induction@{spec.target}"
        )
    return pd.read_csv(path, dtype={"node": str})


def every_node(question: Question, store: Store, machine: Machine, task: str) -> pd.DataFrame:
    """Join `nodes_of` all finished runs of *task* in *question*, with condition and seed in columns.

    ItlError if no run of it is done.
    """
    tables = []
    for run in question.runs(machine):
        if run.task == task and isinstance(run.spec, Transfer) and store.is_done(run.spec):
            tables.append(nodes_of(store, run.spec).assign(**dict(run.columns), seed=run.seed))
    if not tables:
        raise ItlError(f"no run of {task} is done in {store.root}; question.run does the runs of a question")
    return pd.concat(tables, ignore_index=True)


def changes(nodes: pd.DataFrame, metric: str, of: Mapping, against: Mapping) -> pd.DataFrame:
    """Contrast a *metric* of `every_node` at every node under two conditions (by column), paired by seed.

    Returns:
        One row a node, the largest loss first. Columns node, name, depth, classes or children (what the
        metric distinguishes there), images, chance, the means under both conditions (named by their values),
        change (of − against) with low and high (its 95 % interval, for this node alone), and n, the seeds
        that have the node under both: labels that depend on the seed may lack it.

    Raises:
        ItlError: *nodes* has no such metric, or no seed has both conditions.
    """
    if metric not in nodes:
        metrics = ", ".join(nodes.filter(like="knn").columns)
        raise ItlError(f"nodes have no metric {metric!r}; they have {metrics}")
    pairs = pd.concat(
        {"of": _by_node(nodes, metric, of), "against": _by_node(nodes, metric, against)}, axis=1, join="inner"
    )
    if pairs.empty:
        raise ItlError(f"no seed has nodes for both {dict(of)} and {dict(against)}; run both first")
    rows = [
        (node, *pair.mean(), *mean_interval(pair["of"] - pair["against"]), len(pair))
        for node, pair in pairs.groupby("node")
    ]
    names = (", ".join(map(str, condition.values())) for condition in (of, against))
    table = pd.DataFrame(rows, columns=["node", *names, "change", "low", "high", "n"])
    kind = metric.partition("_")[0]
    columns = ["node", "name", "depth", COUNTED[kind], "images", f"{kind}_chance"]
    about = nodes[columns].drop_duplicates("node").rename(columns={f"{kind}_chance": "chance"})
    return about.merge(table, on="node").sort_values(["change", "node"], ignore_index=True)


def largest_changes(nodes: pd.DataFrame, coarse: Mapping, fine: Mapping, count: int = 8) -> pd.DataFrame:
    """List the nodes where nets trained on coarse labels lose and gain most against those with fine labels.

    Accuracies are those of 5 neighbours, for the classes under a node, which coarse labels do not
    distinguish, and for its children, which fine labels do not group.

    Returns:
        Columns distinguished (children or classes), then those of `changes` (coarse − fine); at most *count*
        rows with losses, and as many with gains, in ascending order. A node whose children give the numbers
        of its classes, since each is one, is in the rows of classes alone.
    """
    tables = {
        counted: changes(nodes, f"{kind}_knn5", of=coarse, against=fine).rename(columns={counted: "of them"})
        for kind, counted in COUNTED.items()
    }
    every = pd.concat(tables, names=["distinguished"]).droplevel(1)
    every, kept = every[~every.duplicated()], []
    for counted in tables:
        table = every[every.index == counted]
        kept += [table[table["change"] < 0].head(count), table[table["change"] > 0].tail(count)]
    return pd.concat(kept).reset_index()


def _by_node(nodes: pd.DataFrame, metric: str, condition: Mapping) -> pd.Series:
    """Return *metric* under *condition*, by node and seed."""
    for column, value in condition.items():
        nodes = nodes[nodes[column] == value]
    return nodes.set_index(["node", "seed"])[metric].dropna()
