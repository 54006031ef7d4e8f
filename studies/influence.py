"""How often claims about effects of classes are right: simulated nets whose true effects are known.

`python -m studies.influence` prints three tables for 40 classes of the demo world. First, how
often something is claimed where no class has an effect. Then, how well each estimator finds ten classes that
help and ten that hurt, in whole subtrees, from so many nets; and the same with effects of half the size for
both kinds of halves. The noise of a net's score is 1.

`python -m studies.influence HOME PRESET` uses the nets of PRESET's 08-influence in the store of HOME in two
ways without any effect. First, their own scores are shuffled among the nets, so that the noise is real.
Second, their k-NN is scored on the images of the target under labels drawn at random, where no class can
help, but nets of similar classes make similar errors.

`python -m studies.influence HOME PRESET --train` trains the nets of PRESET's 08-influence anew in every
world, whose images are drawn from a seed of its own, and counts the worlds in which anything is claimed. If
the source of PRESET plants nothing, as in studies/params/my-task-nothing.yaml, all these claims are false.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest, false_discovery_control
from sklearn.metrics import roc_auc_score

from itl import ItlError
from itl.analysis.influence import (
    ESTIMATORS,
    Estimator,
    Mixture,
    NetsOnHalves,
    Nodes,
    nets_on_halves,
    nodes_above,
    runs_on_halves,
)
from itl.analysis.statistics import LEVEL
from itl.analysis.wording import CANNOT_TELL
from itl.evaluation.frozen import features_of, vote
from itl.evaluation.knn import nearest
from itl.evaluation.target import target_of
from itl.hierarchy.label_sets import label_set
from itl.hierarchy.taxonomy import Taxonomy
from itl.machine import Machine
from itl.packs.paths import build_or_open
from itl.presets import load_preset
from itl.runs.design import Condition
from itl.runs.perform import load_net
from itl.runs.question import Question, run_all
from itl.runs.questions import questions_of
from itl.runs.store import Store
from itl.sources.synthetic.classes import spread_leaves
from itl.sources.synthetic.planted import HARMFUL, HELPFUL
from itl.specs import Packing

CLASSES = 40
NETS = (40, 60, 80, 120, 160, 200)
EFFECT = 0.4  # of each class that helps or hurts, in the noise of a net
PLANTED_SHARE = 0.1  # of the worlds of the first table that the others take for each number of nets


def halves(tree: Taxonomy, classes: list[str], nets: int, method: str = "half-balanced") -> np.ndarray:
    """Return which of *classes* are in each of so many halves by a label method, (nets, classes) of 0, 1."""
    label_sets = [label_set(tree, f"{method}@{number}", classes) for number in range(nets)]
    return np.array([np.isin(classes, list(labels.class_of)) for labels in label_sets], float)


def planted(tree: Taxonomy, classes: list[str]) -> np.ndarray:
    """Return the sign of the effect of each class (classes,): 1 helps, -1 hurts, 0 does nothing."""
    signs = np.zeros(len(classes))
    for sign, nodes in ((1, HELPFUL), (-1, HARMFUL)):
        signs[[not tree.ancestors(wnid).isdisjoint(nodes) for wnid in classes]] = sign
    return signs


def without_effects(tree: Taxonomy, nodes: Nodes, classes: list[str], worlds: int) -> pd.DataFrame:
    """Count in what share of *worlds* without effects each estimator claims anything, by number of nets."""
    random, rows = np.random.default_rng(0), []
    for nets in NETS[::2]:
        inclusion, scores = halves(tree, classes, nets), random.normal(size=(worlds, nets))
        shares = {name: (claims_in_worlds(name, inclusion, scores, nodes) > 0).mean() for name in ESTIMATORS}
        rows.append({"nets": nets} | shares)
    return pd.DataFrame(rows)


def claims_in_worlds(estimator: str, inclusion: np.ndarray, worlds: np.ndarray, nodes: Nodes) -> np.ndarray:
    """Count the nodes with a verdict in each of *worlds*, scores (worlds, nets)."""
    effects = (ESTIMATORS[estimator](inclusion, scores, nodes) for scores in worlds)
    return np.array([(false_discovery_control(mixture.p) <= LEVEL).sum() for mixture in effects])


def with_effects(
    inclusions: Sequence[np.ndarray],
    nodes: Nodes,
    class_effects: np.ndarray,
    worlds: int,
    estimators: Mapping[str, Estimator] = ESTIMATORS,
) -> pd.DataFrame:
    """Judge each estimator in *worlds* of *class_effects* (classes,): AUROC, wrong claims, and coverage.

    *inclusions* has the classes (nets, classes) of 0 and 1 in each half, for each number of nets; effects are
    in the noise of a net.
    """
    random, rows = np.random.default_rng(1), []
    for inclusion in inclusions:
        nets = len(inclusion)
        judged: dict[str, list[tuple[float, ...]]] = {name: [] for name in estimators}
        for _ in range(worlds):
            scores = inclusion @ class_effects + random.normal(size=nets)
            for name, estimate in estimators.items():
                judged[name].append(_judged(estimate(inclusion, scores, nodes), nodes, class_effects))
        for name, values in judged.items():
            rows.append((nets, name, *np.mean(values, axis=0)))
    columns = ["nets", "estimator", "AUROC", "claims", "wrong claims", "coverage of 95 % intervals"]
    return pd.DataFrame(rows, columns=columns)


def _judged(effects: Mixture, nodes: Nodes, true_classes: np.ndarray) -> tuple[float, float, float, float]:
    """Return AUROC (mean of helping and of hurting), claims, share of wrong ones, and coverage."""
    true = np.round(nodes.contrasts @ true_classes, 9)
    leaves = np.flatnonzero(nodes.member.sum(1) == 1)
    of_class = effects.mean[leaves[nodes.member[leaves].argmax(1).argsort()]]
    both = roc_auc_score(true_classes > 0, of_class) + roc_auc_score(true_classes < 0, -of_class)
    claimed = false_discovery_control(effects.p) <= LEVEL
    wrong = (claimed & (np.sign(effects.mean) != np.sign(true))).sum() / max(1, claimed.sum())
    low, high = effects.interval(LEVEL)
    return both / 2, float(claimed.sum()), float(wrong), float(((low <= true) & (true <= high)).mean())


def by_halves(
    tree: Taxonomy, nodes: Nodes, classes: list[str], class_effects: np.ndarray, worlds: int
) -> pd.DataFrame:
    """Put both label methods of halves side by side, by the estimator along the tree; see `with_effects`."""
    shrunk, tables = {"tree-shrunk": ESTIMATORS["tree-shrunk"]}, []
    for method in ("half-balanced", "half-along-tree"):
        inclusions = [halves(tree, classes, nets, method) for nets in NETS]
        table = with_effects(inclusions, nodes, class_effects, worlds, shrunk)
        tables.append(table.drop(columns="estimator").assign(halves=method))
    return pd.concat(tables, ignore_index=True)


def claims(scored: NetsOnHalves, without_effects: np.ndarray) -> pd.DataFrame:
    """Count what each estimator claims of *scored*, and of scores (worlds, nets) of which any claim is wrong.

    Returns:
        Columns task, nets, estimator, claims (nodes with a verdict, of the scores as they are), and any
        (share of the worlds in which a node has one).
    """
    rows = []
    worlds = np.vstack([scored.scores, without_effects])
    for name in ESTIMATORS:
        tables = (replace(scored, scores=world).effects(name) for world in worlds)
        count, *others = ((table["verdict"] != CANNOT_TELL).sum() for table in tables)
        rows.append((scored.task, len(scored.scores), name, count, np.mean(np.array(others) > 0)))
    return pd.DataFrame(rows, columns=["task", "nets", "estimator", "claims", "any"])


def shuffled(scores: np.ndarray, worlds: int) -> np.ndarray:
    """Shuffle *scores* (nets,) among the nets, (worlds, nets)."""
    return np.random.default_rng(0).permuted(np.tile(scores, (worlds, 1)), axis=1)


def random_labels(question: Question, store: Store, machine: Machine, worlds: int) -> np.ndarray:
    """Score the nets on halves of *question*, by seed, where labels of the target are drawn at random.

    Every class keeps its number of images, but which they are is drawn: k-NN is right by chance. Returned is
    knn5 in percent, (worlds, nets). ItlError if the first task of *question* is not of k-NN.
    """
    task = question.tasks[0]
    if task.method != "knn":
        raise ItlError(f"labels are drawn at random for k-NN; {question.name} has {task.name} first, not knn")
    pack, tree = build_or_open(question.packings()[task.target], task.target, machine), question.tree(machine)
    specs = runs_on_halves(question, machine, task.name)
    scores = np.empty((worlds, len(specs)))
    for net, (_, spec) in enumerate(sorted(specs.items())):
        target = target_of(spec, pack, tree)
        train, test = features_of(spec, load_net(spec.pretrain, store), target, machine)
        neighbours, _ = nearest(train.features, test.features, 5)
        for world in range(worlds):
            random = torch.Generator().manual_seed(world)
            labels = [
                part.labels[torch.randperm(len(part.labels), generator=random)] for part in (train, test)
            ]
            scores[world, net] = 100 * (vote(labels[0][neighbours]) == labels[1]).float().mean()
    return scores


def of_store(home: str, preset: str, worlds: int) -> str:
    """Write `claims` of the 08-influence of *preset*, whose runs lie in *home*, in both kinds of worlds."""
    machine = Machine.from_environment(home=Path(home))
    question, *_ = questions_of(load_preset(preset), "08-influence")
    store, tables = Store(machine.runs), []
    for number, task in enumerate(question.tasks):
        scored = nets_on_halves(question, store, machine, task.name)
        tables.append(claims(scored, shuffled(scored.scores, worlds)).assign(worlds="shuffled scores"))
        if number == 0 and task.method == "knn":
            values = random_labels(question, store, machine, worlds)
            tables.append(claims(scored, values).assign(worlds="labels at random"))
    return f"{worlds} worlds of each kind:\n{pd.concat(tables).round(3).to_string(index=False)}"


def in_world(question: Question, number: int) -> Question:
    """Return *question* with all images drawn from the seed *number*, and with nets of other seeds."""

    def drawn(packing: Packing) -> Packing:
        return replace(packing, options=tuple({**dict(packing.options), "seed": number}.items()))

    def with_own_seeds(condition: Condition) -> Condition:
        first = number * len(condition.seeds)
        return replace(condition, seeds=tuple(first + seed for seed in condition.seeds))

    targets = tuple((name, drawn(packing)) for name, packing in question.targets)
    conditions = tuple(map(with_own_seeds, question.conditions))
    return replace(question, images=drawn(question.images), targets=targets, conditions=conditions)


def trained(home: str, preset: str, worlds: int) -> str:
    """Train the nets of the 08-influence of *preset* in so many *worlds*; count those with any claim."""
    machine = Machine.from_environment(home=Path(home))
    question, *_ = questions_of(load_preset(preset), "08-influence")
    questions, store = [in_world(question, number) for number in range(worlds)], Store(machine.runs)
    run_all(questions, store, machine)
    scored = [nets_on_halves(world, store, machine) for world in questions]
    rows = []
    for name in ESTIMATORS:
        counts = [int((world.effects(name)["verdict"] != CANNOT_TELL).sum()) for world in scored]
        claimed = sum(count > 0 for count in counts)
        ends = binomtest(claimed, worlds).proportion_ci()
        rows.append((name, sum(counts), claimed, claimed / worlds, f"{ends.low:.3f} to {ends.high:.3f}"))
    table = pd.DataFrame(rows, columns=["estimator", "claims", "worlds with any", "share", "95 % (exact)"])
    nets = len(scored[0].scores)
    return f"Worlds: {worlds}, with {nets} trained nets each\n{table.round(3).to_string(index=False)}"


def main(worlds: int, show: Callable[[str], object] = print) -> None:
    """Print the three tables."""
    tree = Taxonomy.snapshot()
    classes = spread_leaves(tree, CLASSES)
    nodes = nodes_above(tree, classes)
    show(f"Share of {worlds} worlds without effects in which anything is claimed, at {LEVEL}:")
    show(without_effects(tree, nodes, classes, worlds).round(3).to_string(index=False))
    count, true = max(1, round(PLANTED_SHARE * worlds)), EFFECT * planted(tree, classes)
    show(f"\n{count} worlds with effects of ±{EFFECT} for each of 20 classes:")
    balanced = [halves(tree, classes, nets) for nets in NETS]
    show(with_effects(balanced, nodes, true, count).round(3).to_string(index=False))
    show(f"\n{count} worlds with effects of ±{EFFECT / 2} for each of 20 classes, by kind of halves:")
    show(by_halves(tree, nodes, classes, true / 2, count).round(3).to_string(index=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m studies.influence")
    parser.add_argument("home", nargs="?", help="where runs/ and packs/ lie, such as .")
    parser.add_argument("preset", nargs="?", help="with 08-influence, such as my-task")
    parser.add_argument("--worlds", type=int, help="how many (40; 400 that are simulated without nets)")
    parser.add_argument("--train", action="store_true", help="the preset's nets in every world")
    options = parser.parse_args()
    if options.preset:
        count_claims = trained if options.train else of_store
        print(count_claims(options.home, options.preset, options.worlds or 40))
    elif options.home or options.train:
        parser.error("give HOME and PRESET, or neither")
    else:
        main(options.worlds or 400)
