"""How often effects of classes are claimed rightly: simulated nets whose true effects are known.

`python -m itl.bench.influence [WORLDS]` prints two tables for 40 classes of the demo world. First, how often
something is claimed where no class has an effect. Then, how well each estimator finds ten classes that help
and ten that hurt, in whole subtrees, from so many nets. The noise of a net's score is 1.

`python -m itl.bench.influence HOME PRESET [PERMUTATIONS]` takes the nets of PRESET's 08-influence in the
store of HOME and their own scores, but shuffled among the nets: no class has an effect, and noise is that of
nets.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, rankdata

from itl.analysis.influence import ESTIMATORS, HalvesScored, Mixture, Nodes, halves_scored, nodes_above
from itl.analysis.statistics import LEVEL
from itl.hierarchy.balanced_halves import balanced_half
from itl.hierarchy.taxonomy import Taxonomy
from itl.machine import Machine
from itl.presets import load_preset
from itl.runs.questions import questions_of
from itl.runs.store import Store
from itl.sources.synthetic.classes import spread_leaves
from itl.sources.synthetic.planted import HARMFUL, HELPFUL

CLASSES = 40
NETS = (40, 60, 80, 120, 160, 200)
EFFECT = 0.4  # of each class that helps or hurts, in the noise of a net
PLANTED_SHARE = 0.1  # of the worlds of the first table that the second takes for each number of nets


def halves(classes: list[str], nets: int) -> np.ndarray:
    """Return which of *classes* are in each of so many balanced halves, (nets, classes) of 0 and 1."""
    inclusion = np.zeros((nets, len(classes)))
    for number in range(nets):
        inclusion[number, np.isin(classes, balanced_half(classes, number))] = 1
    return inclusion


def planted(tree: Taxonomy, classes: list[str]) -> np.ndarray:
    """Return the sign of the effect of each class (classes,): 1 helps, -1 hurts, 0 does nothing."""
    signs = np.zeros(len(classes))
    for sign, nodes in ((1, HELPFUL), (-1, HARMFUL)):
        signs[[not tree.ancestors(wnid).isdisjoint(nodes) for wnid in classes]] = sign
    return signs


def auroc(values: np.ndarray, wanted: np.ndarray) -> float:
    """Return how often one of the *wanted* has a higher value than one of the others."""
    ranks, count = rankdata(values), wanted.sum()
    return float((ranks[wanted].sum() - count * (count + 1) / 2) / (count * (~wanted).sum()))


def without_effects(nodes: Nodes, classes: list[str], worlds: int) -> pd.DataFrame:
    """Count in what share of *worlds* without effects each estimator claims anything, by number of nets."""
    random, rows = np.random.default_rng(0), []
    for nets in NETS[::2]:
        inclusion = halves(classes, nets)
        claims = dict.fromkeys(ESTIMATORS, 0)
        for _ in range(worlds):
            scores = random.normal(size=nets)
            for name, estimate in ESTIMATORS.items():
                claims[name] += false_discovery_control(estimate(inclusion, scores, nodes).p).min() <= LEVEL
        rows.append({"nets": nets} | {name: count / worlds for name, count in claims.items()})
    return pd.DataFrame(rows)


def with_effects(nodes: Nodes, classes: list[str], signs: np.ndarray, worlds: int) -> pd.DataFrame:
    """Judge each estimator in *worlds* with the planted *signs*: AUROC, wrong claims, and coverage."""
    random, rows = np.random.default_rng(1), []
    for nets in NETS:
        inclusion = halves(classes, nets)
        judged: dict[str, list[tuple[float, ...]]] = {name: [] for name in ESTIMATORS}
        for _ in range(worlds):
            scores = inclusion @ (EFFECT * signs) + random.normal(size=nets)
            for name, estimate in ESTIMATORS.items():
                judged[name].append(_judged(estimate(inclusion, scores, nodes), nodes, signs))
        for name, values in judged.items():
            rows.append((nets, name, *np.mean(values, axis=0)))
    columns = ["nets", "estimator", "AUROC", "claims", "wrong claims", "coverage of 95 % intervals"]
    return pd.DataFrame(rows, columns=columns)


def _judged(effects: Mixture, nodes: Nodes, signs: np.ndarray) -> tuple[float, float, float, float]:
    """Return AUROC (mean of helping and of hurting), claims, share of wrong ones, and coverage."""
    true = np.round(nodes.contrasts @ (EFFECT * signs), 9)
    leaves = np.flatnonzero(nodes.member.sum(1) == 1)
    of_class = effects.mean[leaves[nodes.member[leaves].argmax(1).argsort()]]
    both = (auroc(of_class, signs > 0) + auroc(-of_class, signs < 0)) / 2
    claimed = false_discovery_control(effects.p) <= LEVEL
    wrong = (claimed & (np.sign(effects.mean) != np.sign(true))).sum() / max(1, claimed.sum())
    low, high = effects.interval(LEVEL)
    return both, float(claimed.sum()), float(wrong), float(((low <= true) & (true <= high)).mean())


def shuffled(scored: HalvesScored, permutations: int) -> pd.DataFrame:
    """Shuffle scores among nets, and count how often each estimator claims anything.

    Returns:
        Columns task, nets, estimator, claims (nodes with a verdict, of the scores as they are), and any
        (share of *permutations* in which a node has one).
    """
    random = np.random.default_rng(0)
    orders = [random.permutation(len(scored.scores)) for _ in range(permutations)]
    rows = []
    for name, estimate in ESTIMATORS.items():
        counts = [
            int((false_discovery_control(estimate(scored.inclusion, scores, scored.nodes).p) <= LEVEL).sum())
            for scores in (scored.scores, *(scored.scores[order] for order in orders))
        ]
        rows.append((scored.task, len(scored.scores), name, counts[0], np.mean(np.array(counts[1:]) > 0)))
    return pd.DataFrame(rows, columns=["task", "nets", "estimator", "claims", "any"])


def of_store(home: str, preset: str, permutations: int = 40) -> str:
    """Write `shuffled` for each task of the 08-influence of *preset*, whose runs lie in *home*."""
    machine = Machine.from_environment(home=Path(home))
    question, *_ = questions_of(load_preset(preset), "08-influence")
    tasks = [task.name for task in question.tasks]
    tables = [
        shuffled(halves_scored(question, Store(machine.runs), machine, task), permutations) for task in tasks
    ]
    return f"{permutations} permutations:\n{pd.concat(tables).round(3).to_string(index=False)}"


def main(worlds: int, show: Callable[[str], object] = print) -> None:
    """Print both tables."""
    tree = Taxonomy.snapshot()
    classes = spread_leaves(tree, CLASSES)
    nodes = nodes_above(tree, classes)
    show(f"Share of {worlds} worlds without effects in which anything is claimed, at {LEVEL}:")
    show(without_effects(nodes, classes, worlds).round(3).to_string(index=False))
    count = max(1, round(PLANTED_SHARE * worlds))
    show(f"\n{count} worlds with effects of ±{EFFECT} for each of 20 classes:")
    show(with_effects(nodes, classes, planted(tree, classes), count).round(3).to_string(index=False))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(of_store(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:4])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
