"""Inner nodes: what an induction run says of each, and where in the tree two conditions differ most."""

from collections.abc import Mapping

import pandas as pd

from itl import ItlError
from itl.analysis.statistics import paired
from itl.machine import Machine
from itl.runs.question import Question
from itl.runs.store import Store
from itl.specs import Transfer, key

APART = {"coarse": "children", "fine": "classes"}               # what is told apart, by the kind of metric


def nodes_of(store: Store, spec: Transfer) -> pd.DataFrame:
    """Read what the induction run of *spec* left: a row for each inner node, the highest first.

    Columns: node, name, depth, children, classes, images (of the test split); coarse_knn1, coarse_knn5 and
    coarse_chance, in percent, of telling the node's children apart; fine_knn1, fine_knn5 and fine_chance of
    telling the classes under it apart. No rows where the target's classes are no wnids of WordNet's snapshot.
    Raises ItlError where the run is not done, or is none of induction.
    """
    if store.state(spec) != "done":
        raise ItlError(f"run {key(spec)} is not done, so there is nothing of its nodes yet; run it first")
    path = store.path(spec) / "nodes.csv"
    if not path.exists():
        raise ItlError(f"run {key(spec)} is of {spec.method} on {spec.target}, which looks at no inner "
                       f"nodes; ask for induction@{spec.target}")
    return pd.read_csv(path, dtype={"node": str})


def every_node(question: Question, store: Store, machine: Machine, task: str) -> pd.DataFrame:
    """Gather the nodes' tables of *task* from every finished run of *question*, condition and seed first."""
    runs = [run for run in question.runs(machine) if run.task == task and store.state(run.spec) == "done"]
    if not runs:
        raise ItlError(f"no run of {task} is done in {store.root}; question.run does those that it asks for")
    return pd.concat([
        nodes_of(store, run.spec).assign(**dict(run.columns), seed=run.seed) for run in runs
    ], ignore_index=True)


def changes(found: pd.DataFrame, metric: str, of: Mapping, against: Mapping) -> pd.DataFrame:
    """Contrast *metric* of every node under two conditions, paired by seed: the largest loss first.

    *found* is what `every_node` gathers, *metric* one of `nodes_of`, such as fine_knn5. Columns: node, name,
    depth, classes or children (what is told apart there), images, chance, the means under both conditions
    (named by their values), change (of − against) with low and high (its 95 % interval, for this node alone),
    and n seeds. Raises ItlError where no seed has both.
    """
    if metric not in found:
        raise ItlError(f"nodes have no {metric!r}; there are {', '.join(found.filter(like='knn').columns)}")
    one, other = (_by_node(found, metric, condition) for condition in (of, against))
    seeds = one.columns.intersection(other.columns)
    if not len(seeds):
        raise ItlError(f"no seed has nodes for both {dict(of)} and {dict(against)}; run both first")
    rows = []
    for node in one.index.intersection(other.index):
        change = paired(one.loc[node, seeds], other.loc[node, seeds])
        means = (one.loc[node, seeds].mean(), other.loc[node, seeds].mean())
        rows.append((node, *means, change.mean, change.low, change.high, change.n))
    names = (", ".join(map(str, condition.values())) for condition in (of, against))
    table = pd.DataFrame(rows, columns=["node", *names, "change", "low", "high", "n"])
    kind = metric.partition("_")[0]
    about = found[["node", "name", "depth", APART[kind], "images", f"{kind}_chance"]].drop_duplicates("node")
    about = about.rename(columns={f"{kind}_chance": "chance"})
    return about.merge(table, on="node").sort_values(["change", "node"], ignore_index=True)


def both_ways(found: pd.DataFrame, coarse: Mapping, fine: Mapping, count: int = 8) -> pd.DataFrame:
    """List the nodes where nets taught coarse labels lose and gain most against those taught *fine* ones.

    By 5 neighbours, at most *count* rows of each: for what stands under the node (its classes), which coarse
    labels do not tell apart, and for its children, which fine labels were not said to belong together.
    Columns: told apart, then those of `changes` (coarse − fine).
    """
    kinds = {}
    for kind, apart in APART.items():
        table = changes(found, f"{kind}_knn5", of=coarse, against=fine).rename(columns={apart: "of them"})
        kinds[apart] = table if len(table) <= 2 * count else pd.concat([table.head(count), table.tail(count)])
    return pd.concat(kinds, names=["told apart"]).droplevel(1).reset_index()


def _by_node(found: pd.DataFrame, metric: str, condition: Mapping) -> pd.DataFrame:
    """*metric* under *condition*: a row for each node, a column for each seed."""
    for column, value in condition.items():
        found = found[found[column] == value]
    return found.pivot(index="node", columns="seed", values=metric)
