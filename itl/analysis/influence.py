"""Which pre-training classes help a target: effects of classes and nodes, from nets on halves of the classes.

The effect of a node is what its classes add to the score compared with as many average other classes: m ·
(mean effect of its m classes − mean effect of all others), in points. Scores are assumed to be additive in
the classes; counterfactual runs test this.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from itl.analysis import wording
from itl.analysis.comparisons import Answer
from itl.analysis.model import ROUNDING
from itl.analysis.statistics import LEVEL, permutation_p
from itl.analysis.tables import both_ends
from itl.analysis.task_values import rows_of, task_values
from itl.analysis.wording import interval, p_text, percent, signed, signed_interval, task_name
from itl.errors import ItlError, one_of, pick
from itl.hierarchy.label_sets import label_set
from itl.hierarchy.taxonomy import Taxonomy
from itl.machine import Machine
from itl.packs.paths import open_packed
from itl.runs.design import with_seed
from itl.runs.question import Question
from itl.runs.store import Store
from itl.runs.task_questions import EVERYTHING, HALF, Counterfactual
from itl.specs import Transfer

EXPLAINED = np.arange(0, 1, 0.05)  # shares of the variance of scores that the classes may explain
LARGEST = 0.75  # share of the classes that a node may have: the effect of more is over few others
MAX_SHARE = 0.5  # of the classes; counterfactual runs leave out, or keep alone, fewer
FEW_HALVES = 12  # from so many on, a net that scores far below the others makes no class seem to matter
NEGLIGIBLE_LIKELIHOOD = 1e-6  # likelihood of a part of a mixture, over that of the likeliest
NO_TRIAL = "Not tried on fresh seeds: no node of under half the classes has a control, or two to keep alone."
SAME_IN_TRIAL = ("images", "net", "recipe", "margin", "repeats", "leave_out_duplicates", "taxonomy")
SHARED = (0.0, 0.25, 0.5, 0.75, 1.0)  # shares of the variance of class effects that their ancestors may have


@dataclass(frozen=True)
class Nodes:
    """Nodes of a tree that differ in the classes under them; those with almost all classes are left out."""

    wnids: tuple[str, ...]  #: the highest first; of nodes with the same classes the deepest
    member: np.ndarray  #: bool (nodes, classes)

    @property
    def contrasts(self) -> np.ndarray:
        """Weights (nodes, classes) of class effects that make the effect of each node: see the module."""
        inside = self.member.astype(float)
        size = inside.sum(1, keepdims=True)
        return inside - (1 - inside) * size / (inside.shape[1] - size)


def nodes_above(tree: Taxonomy, classes: list[str]) -> Nodes:
    """Return the nodes that *classes*, wnids or other names, are under by any path, and the classes."""
    under: dict[str, set[int]] = {}
    for number, wnid in enumerate(classes):
        for node in tree.ancestors(wnid) if wnid in tree else {wnid}:
            under.setdefault(node, set()).add(number)
    deepest: dict[frozenset[int], str] = {}
    for node in sorted(under, key=lambda node: (tree.depth(node) if node in tree else math.inf, node)):
        deepest[frozenset(under[node])] = node
    small = [item for item in deepest.items() if len(item[0]) <= LARGEST * len(classes)]
    ordered = sorted(small, key=lambda item: (-len(item[0]), item[1]))
    member = np.zeros((len(ordered), len(classes)), bool)
    for row, (numbers, _) in enumerate(ordered):
        member[row, list(numbers)] = True
    return Nodes(tuple(node for _, node in ordered), member)


@dataclass(frozen=True)
class Mixture:
    """The posterior of the effects of nodes: for each a mixture of Student's t distributions, in points."""

    weights: np.ndarray  #: (parts,), which add up to 1
    means: np.ndarray  #: (parts, nodes)
    deviations: np.ndarray  #: (parts, nodes); 0: the effect is exactly the mean; nan: not known
    df: float
    p_least: np.ndarray | float = 0.0  #: of p (nodes,)

    @property
    def mean(self) -> np.ndarray:
        """Mean effect of each node (nodes,)."""
        return self.weights @ self.means

    @property
    def p(self) -> np.ndarray:
        """Twice the probability that the effect does not have the more likely sign, at most 1 (nodes,).

        nan where the deviation is not known.
        """
        twice = 2 * np.minimum(self._at_most(-self.means), self._at_most(self.means))
        return np.minimum(1.0, np.maximum(twice, self.p_least))

    def _at_most(self, reach: np.ndarray) -> np.ndarray:
        """Probability of at most *reach* (parts, nodes) above the mean of each part."""
        exact = self.deviations == 0
        with np.errstate(invalid="ignore"):  # of inf / inf, for nodes of which nothing is known
            below = stdtr(self.df, reach / np.where(exact, 1, self.deviations))
        return self.weights @ np.where(exact, reach >= 0, below)

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Interval of each node that holds its effect with 1 − *level*, with equal tails."""
        return self._quantile(level / 2), self._quantile(1 - level / 2)

    def _quantile(self, share: float) -> np.ndarray:
        """Find the *share* quantile of each node by bisection between those of its parts."""
        ends = self.means + stdtrit(self.df, share) * self.deviations
        if len(ends) == 1:
            return ends[0]
        low, high = ends.min(0), ends.max(0)
        for _ in range(50):
            middle = (low + high) / 2
            enough = self._at_most(middle - self.means) >= share
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high


Estimator = Callable[[np.ndarray, np.ndarray, Nodes], Mixture]  # of inclusion, scores and nodes


def difference_of_means(inclusion: np.ndarray, scores: np.ndarray, nodes: Nodes) -> Mixture:
    """Regress scores on how many classes of each node a net has: of a class, the difference of two means.

    If scores follow a node exactly, no noise is seen, and its effect has no deviation (nan) and no test. If
    nets have equal scores, as with few test images, or are fewer than FEW_HALVES, of which one may have
    failed, Student's t tests find too much: p is then at least `permutation_p`.
    """
    included = inclusion @ nodes.member.T.astype(float)
    included = included - included.mean(0)
    apart = scores - scores.mean()
    squares, df = (included**2).sum(0), len(scores) - 2
    known = squares > 0  # not of a class that all nets have, or none
    slopes = np.divide(included.T @ apart, squares, out=np.zeros(len(squares)), where=known)
    noise = ((apart[:, None] - included * slopes) ** 2).sum(0) / df
    errors = np.sqrt(np.divide(noise, squares, out=np.full(len(squares), math.inf), where=known))
    errors[errors < ROUNDING] = math.nan
    size = nodes.member.sum(1)
    too_few = len(np.unique(scores.round(9))) < max(len(scores), FEW_HALVES)
    least = permutation_p(apart, included) if too_few else np.zeros(len(size))
    return Mixture(np.ones(1), (slopes * size)[None], (errors * size)[None], df, least)


def tree_shrunk(
    inclusion: np.ndarray, scores: np.ndarray, nodes: Nodes, shared: tuple[float, ...] = SHARED
) -> Mixture:
    """Shrink class effects along the tree: each is the sum of effects of the nodes above it and its own.

    All are Gaussian, as in the phylogenetic mixed model (Lynch 1991), so the effect that all classes under a
    node share is estimated from all of them. The inner nodes' share of the variance is learned too.

    Scores are y = a + X b + e, with b ~ N(0, g K) and e ~ N(0, s). Posteriors are averaged over a grid of two
    shares: that of X b in the variance of y, including 0, and that of inner nodes against classes in K,
    *shared*. The weight of each grid point is its restricted likelihood (Patterson and Thompson 1971), with
    the variance integrated out (Jeffreys' prior). Effects then have a t distribution with one degree of
    freedom less than the number of nets.
    """
    n = len(scores)
    design, apart = inclusion - inclusion.mean(0), scores - scores.mean()
    logs, means, deviations = [], [], []
    ancestry = _ancestry(nodes.member)
    for share in shared:
        kernel = (1 - share) * np.eye(design.shape[1]) + share * ancestry
        covariance = design @ kernel @ design.T
        scale = np.trace(covariance) / (n - 1)
        if scale < 1e-9 * design.shape[1]:  # such as share 1 where no classes have an inner node in common
            continue
        # The mean is not random. Adding 1 lifts its eigenvalue from 0 to n; all others add up to n − 1.
        values, vectors = np.linalg.eigh(covariance / scale + 1)
        values, vectors = values[:-1], vectors[:, :-1]
        rotated, reached = vectors.T @ apart, nodes.contrasts @ kernel @ design.T @ vectors / scale
        prior = np.einsum("nc,cd,nd->n", nodes.contrasts, kernel, nodes.contrasts) / scale
        for explained in EXPLAINED:
            spread = 1 - explained + explained * values
            variance = (rotated**2 / spread).sum() / (n - 1)
            logs.append(-0.5 * np.log(spread).sum() - 0.5 * (n - 1) * math.log(variance))
            means.append(explained * reached @ (rotated / spread))
            left = explained * prior - explained**2 * (reached**2 / spread).sum(1)
            deviations.append(np.sqrt(variance * np.maximum(left, 0)))
    weights = np.exp(np.array(logs) - max(logs))
    used = weights > NEGLIGIBLE_LIKELIHOOD
    weights = weights[used] / weights[used].sum()
    return Mixture(weights, np.array(means)[used], np.array(deviations)[used], n - 1)


def _ancestry(member: np.ndarray) -> np.ndarray:
    """Covariance (classes, classes) of sums of inner nodes' effects: in how many nodes both lie, scaled."""
    inner = member[member.sum(1) > 1].astype(float)
    shared = inner.T @ inner
    return shared * len(shared) / max(np.trace(shared), 1.0)


ESTIMATORS: dict[str, Estimator] = {
    "tree-shrunk": tree_shrunk,
    "ridge": partial(tree_shrunk, shared=(0.0,)),  # toward each other, all alike; its strength by REML
    "difference of means": difference_of_means,
}


@dataclass(frozen=True)
class NetsOnHalves:
    """Nets on halves of the classes, and how each scored on one task."""

    task: str
    nodes: Nodes
    names: tuple[str, ...]  #: of the nodes, for people
    depths: np.ndarray  #: (nodes,) in the tree; -1 for classes outside it
    inclusion: np.ndarray  #: (nets, classes) of 0 and 1
    seeds: tuple[int, ...]  #: of the nets
    scores: np.ndarray  #: (nets,) in percent, by the task's main metric
    gain: float  #: points that all classes gain over no pre-training; nan where that may be 0
    along_tree: bool = False  #: whether classes near in the tree go together in the halves

    def effects(self, estimator: str = "tree-shrunk") -> pd.DataFrame:
        """Estimate the effect of every node and class; see `effects`.

        ItlError if all nets have the same score.
        """
        if np.ptp(self.scores) == 0:
            raise ItlError(
                f"all {len(self.scores)} nets score {self.scores[0]:g} on {self.task}, which says nothing of "
                f"their classes; take a task with more test images, or train for more steps"
            )
        from scipy.stats import false_discovery_control  # takes 1.5 s to import, and each page imports this

        estimate = pick(ESTIMATORS, estimator, "estimator")
        effects = estimate(self.inclusion, self.scores, self.nodes)
        if self.along_tree and estimate is difference_of_means:  # a class's has part of its neighbours'
            effects = replace(effects, deviations=np.full_like(effects.deviations, math.nan))
        q = false_discovery_control(np.nan_to_num(effects.p, nan=1.0))
        q[np.isnan(effects.p)] = math.nan
        claimed = q <= LEVEL
        low, high = effects.interval(LEVEL * max(1, claimed.sum()) / len(q))
        words = np.where(effects.mean > 0, wording.HELPS, wording.HURTS)
        table = {
            "task": self.task,
            "node": self.nodes.wnids,
            "name": self.names,
            "depth": self.depths,
            "classes": self.nodes.member.sum(1),
            "all_classes": self.nodes.member.shape[1],
            "effect": effects.mean,
            "low": low,
            "high": high,
            "share": effects.mean / self.gain if self.gain > 0 else math.nan,
            "p": effects.p,
            "q": q,
            "verdict": np.where(claimed, words, wording.CANNOT_TELL),
        }
        return pd.DataFrame(table).sort_values(["effect", "node"], ignore_index=True)


def nets_on_halves(question: Question, store: Store, machine: Machine, task: str = "") -> NetsOnHalves:
    """Read how the nets of *question*, an influence, scored on *task* (by default its first).

    ItlError if fewer than 4 halves are scored, or the question has no halves or no such task.
    """
    if not any(("pretrained_on", HALF) in condition.columns for condition in question.conditions):
        raise ItlError(
            f"{question.name} has no nets on halves of the classes, which effects are estimated from; ask "
            f"questions.influence"
        )
    task = task or question.tasks[0].name
    one_of((known.name for known in question.tasks), task, f"task of {question.name}")
    results, tree = question.results(store, machine), question.tree(machine)
    fits = rows_of(results, task).groupby(["pretrained_on", "seed"], as_index=False)
    rows = fits["value"].mean()
    halves = rows[rows["pretrained_on"] == HALF]
    if len(halves) < 4:
        raise ItlError(
            f"{len(halves)} nets on halves of the classes are scored on {task}, and effects need 4 or more; "
            f"`itl run` with the preset of {question.name} does the others"
        )
    table = open_packed(question.images, "images", machine).table
    classes = sorted(set(table.loc[table["split"] == "train", "wnid"]))
    (labels,) = (condition.labels for condition in question.conditions if condition.seeds)
    inclusion = np.zeros((len(halves), len(classes)))
    for net, seed in enumerate(halves["seed"]):
        kept = label_set(tree, with_seed(labels, seed), classes).class_of
        inclusion[net] = [wnid in kept for wnid in classes]
    nodes = nodes_above(tree, classes)
    return NetsOnHalves(
        task,
        nodes,
        tuple(tree.class_name(node) if node in tree else node for node in nodes.wnids),
        np.array([tree.depth(node) if node in tree else -1 for node in nodes.wnids]),
        inclusion,
        tuple(halves["seed"]),
        halves["value"].to_numpy(float),
        gain_of_all(question, results, task),
        "half-along-tree" in labels,
    )


def gain_of_all(question: Question, results: pd.DataFrame, task: str) -> float:
    """Return what all classes gain over no pre-training, in points; nan if its interval holds 0."""
    data = task_values(question, results, task)
    everything, none = (data.weights_of((("pretrained_on", name),)) for name in (EVERYTHING, "none"))
    model = data.fit(everything, none)
    if model is None:
        return math.nan
    gain = model.estimate(everything - none)
    return gain.mean if gain.interval()[0] > 0 else math.nan


def effects(
    question: Question, store: Store, machine: Machine, task: str = "", estimator: str = "tree-shrunk"
) -> pd.DataFrame:
    """Tabulate the effect of every node and every class on *task*, the most harmful first.

    Returns:
        Columns task, node, name, depth, classes (under it), all_classes, effect (in points; see the
        module) with low and high, share (the effect as a share of the gain from pre-training, which is taken
        as known; nan where by its interval that may be 0), p (two-sided; nan, as are low and high, where no
        noise is seen, and for the difference of means where halves follow the tree), q (p adjusted by
        Benjamini and Hochberg) and verdict: helps or hurts where q is at most 5 %, else cannot tell. Of the
        nodes with a verdict, at most 5 % are expected to have the wrong one.
        Intervals are at 1 − 5 % · (nodes with a verdict) / (all nodes): of those of nodes with a verdict, at
        most 5 % are expected to miss the effect (Benjamini and Yekutieli 2005). Where no node has one, the
        level is Bonferroni's, but one class that alone matters is drawn toward its kin:
        see docs/my-task-measured.md.
    """
    return nets_on_halves(question, store, machine, task).effects(estimator)


def estimators(question: Question, store: Store, machine: Machine, task: str = "") -> pd.DataFrame:
    """Put the estimators side by side: the columns of `effects` by each, and its name as estimator."""
    scored = nets_on_halves(question, store, machine, task)
    return pd.concat([scored.effects(name).assign(estimator=name) for name in ESTIMATORS], ignore_index=True)


def readable(table: pd.DataFrame, count: int = 6) -> pd.DataFrame:
    """Write *count* of the most harmful and of the most helpful rows of `effects` for people."""
    rows = both_ends(table, count)
    columns = {
        "node": rows["name"] + " (" + rows["node"] + ")",
        "classes": rows["classes"],
        "effect": rows["effect"].map(signed),
        "interval": [interval(row.low, row.high) for row in rows.itertuples()],
        "share of the gain": rows["share"].map(percent),
        "q": rows["q"].map(p_text),
        "verdict": rows["verdict"],
    }
    return pd.DataFrame(columns).reset_index(drop=True)  # pages leave out 0, 1, 2 …, which name no row


def beside_each_other(table: pd.DataFrame, count: int = 4) -> pd.DataFrame:
    """Put `estimators` in columns: the strongest nodes by the first of them, and how many have a verdict."""
    texts = [signed_interval(row.effect, row.low, row.high) for row in table.itertuples()]
    shown = both_ends(table[table["estimator"] == next(iter(ESTIMATORS))], count)
    wide = table.assign(text=texts).pivot(index="node", columns="estimator", values="text").loc[shown["node"]]
    wide.index = pd.Index(shown["name"], name="node")
    counts = table[table["verdict"] != wording.CANNOT_TELL].groupby("estimator").size()
    wide.loc["nodes with a verdict"] = [str(counts.get(name, 0)) for name in wide.columns]
    return wide[[*ESTIMATORS]].rename_axis(columns=None)


def answer_text(table: pd.DataFrame, trial: Answer | None) -> str:
    """Answer with the strongest verdicts of `effects` and the main comparison of the runs that tried them."""
    known = table[table["verdict"] != wording.CANNOT_TELL]  # sorted by effect
    helping, hurting = [int((known["verdict"] == word).sum()) for word in (wording.HELPS, wording.HURTS)]
    verdicts = f"none of {len(table)} nodes and classes can be said to help or to hurt."
    if helping or hurting:
        ends = [f" Most helpful: {_row_text(known.iloc[-1])}."] if helping else []
        ends += [f" Most harmful: {_row_text(known.iloc[0])}."] if hurting else []
        verdicts = (
            f"{helping} of {len(table)} nodes and classes help and {hurting} hurt; of these verdicts at most "
            f"5 % are expected to be wrong.{''.join(ends)}"
        )
        if table["share"].isna().all():
            verdicts += f" {wording.NO_SHARE}"
    task = wording.in_markdown(task_name(table["task"].iloc[0]))
    return f"On {task}, {verdicts}\n\n{_trial_text(known, trial) if trial else NO_TRIAL}"


def _trial_text(known: pd.DataFrame, trial: Answer) -> str:
    """Write the main comparison of *trial*, and whether any of its nodes are *known*: have a verdict."""
    of = trial.question.comparisons[0].of
    (labels,) = [one.labels for one in trial.question.conditions if one.columns == of]
    decided = set(labels.partition("@")[2].split(",")) & set(known["node"])
    nodes = "" if decided else ", with the likeliest nodes, as these have no verdict"
    return f"Tried on fresh seeds{nodes}: {wording.answer_text(trial.main)}"


def _row_text(row: pd.Series) -> str:
    share = f", {percent(row['share'])} of the gain" if math.isfinite(row["share"]) else ""
    name = wording.in_markdown(row["name"])
    return f"**{name}** ({signed(row['effect'])} points, {interval(row['low'], row['high'])}{share})"


def strongest(
    table: pd.DataFrame,
    tree: Taxonomy,
    sign: int,
    count: int,
    *,
    only_decided: bool = False,
    controlled: Callable[[list[str]], bool] = lambda nodes: True,
) -> list[str]:
    """Return up to *count* nodes with the surest effects of one *sign*, none under another, sorted by wnid.

    If some have a verdict, or with *only_decided*, only those are returned. Together they have fewer than
    half of the classes, so that as many others are left for a control, and are *controlled*.
    """
    rows = table[np.sign(table["effect"]) == sign]
    order = rows.assign(size=rows["effect"].abs()).sort_values(["p", "size"], ascending=[True, False])
    undecided = order["verdict"] == wording.CANNOT_TELL
    nodes = _first_apart(order[~undecided], tree, count, controlled)
    return nodes if nodes or only_decided else _first_apart(order[undecided], tree, count, controlled)


def _first_apart(
    rows: pd.DataFrame, tree: Taxonomy, count: int, controlled: Callable[[list[str]], bool]
) -> list[str]:
    """Return the nodes of the first *count* of *rows* that `strongest` can take together."""
    nodes: list[str] = []
    classes = 0
    for row in rows.itertuples():
        if (
            len(nodes) == count
            or classes + row.classes >= MAX_SHARE * row.all_classes
            or row.node not in tree
        ):
            continue
        if any(row.node in tree.ancestors(node) or node in tree.ancestors(row.node) for node in nodes):
            continue
        if controlled(sorted([*nodes, row.node])):
            nodes.append(row.node)
            classes += row.classes
    return sorted(nodes)


def tried_text(table: pd.DataFrame, trial: Question) -> str:
    """Name the nodes of *table* that the nets of *trial*, a `counterfactual`, leave out and have alone."""
    names, words = table.set_index("node")["name"], {"without": "Left out", "only": "Kept alone"}
    parts = [condition.labels.partition("@") for condition in trial.conditions]
    text = " ".join(
        f"{words[way]}: {', '.join(names[nodes.split(',')])}." for way, _, nodes in parts if way in words
    )
    return text if "Kept alone:" in text else f"{text} None kept alone: no two classes that help can be."


def runs_on_halves(question: Question, machine: Machine, task: str) -> dict[int, Transfer]:
    """Return the runs of *question* that score nets on halves of the classes on *task*, by seed."""
    runs = [run for run in question.runs(machine) if ("pretrained_on", HALF) in run.columns]
    return {run.seed: run.spec for run in runs if run.task == task and isinstance(run.spec, Transfer)}


def counterfactual(
    question: Question, table: pd.DataFrame, machine: Machine, nodes: int = 3, seeds: int = 5
) -> Question | None:
    """Make the question that tests the effects in *table* on seeds that *question* has not used.

    At most *nodes* nodes with the surest harm are left out, and as many with the surest help are kept alone
    (`strongest`), with *seeds* seeds of each condition. Harmful nodes are passed over where a seed has no
    control `without-matched` of them. One class is not kept alone: nets learn nothing from it. The main
    comparison is that of the harmful nodes. If none of them has the verdict that it hurts, but a helpful one
    that it helps, it is that of the helpful nodes. None if no node can be tried.
    """
    tree = question.tree(machine)
    used = {seed for condition in question.conditions for seed in condition.seeds or question.seeds}
    fresh = range(max(used) + 1, max(used) + 1 + seeds)
    pack = open_packed(question.images, "images", machine).table
    classes = sorted(set(pack.loc[pack["split"] == "train", "wnid"]))
    harmful = strongest(table, tree, -1, nodes, controlled=partial(_have_controls, tree, classes, fresh))
    helpful = strongest(table, tree, 1, nodes)
    helpful_classes = sum(not tree.ancestors(wnid).isdisjoint(helpful) for wnid in classes)
    if helpful_classes == 1:
        helpful, helpful_classes = [], 0
    if not harmful and not helpful:
        return None
    verdicts = table.set_index("node")["verdict"]
    return Counterfactual.ask(
        **{name: getattr(question, name) for name in SAME_IN_TRIAL},
        targets=dict(question.targets),
        tasks=[task.name for task in question.tasks],
        seeds=fresh,
        tuning=dict(question.tuning),
        harmful=harmful,
        helpful=helpful,
        helpful_classes=helpful_classes,
        helpful_first=wording.HURTS not in set(verdicts[harmful]) and wording.HELPS in set(verdicts[helpful]),
    )


def _have_controls(tree: Taxonomy, classes: list[str], seeds: Sequence[int], nodes: list[str]) -> bool:
    """Whether each of *seeds* has other *classes* to leave out in place of those under *nodes*."""
    with suppress(ItlError):
        for seed in seeds:
            label_set(tree, f"without-matched@{seed},{','.join(nodes)}", classes)
        return True
    return False
