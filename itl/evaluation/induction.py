"""Induction: what frozen features tell apart though the net was not taught to, overall and node by node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from itl.evaluation.accuracy import scores
from itl.evaluation.frozen import features_of, vote
from itl.evaluation.knn import nearest
from itl.evaluation.logistic_regression import Features, choose_strength
from itl.evaluation.target import Target
from itl.hierarchy.taxonomy import Taxonomy
from itl.machine import Machine
from itl.specs import Transfer
from itl.storage import write_atomic
from itl.training.nets import Classifier

KS = 1, 5                                   # neighbours that vote, as the paper has it
COLUMNS = (
    "node", "name", "depth", "children", "classes", "images",
    "coarse_knn1", "coarse_knn5", "coarse_chance", "fine_knn1", "fine_knn5", "fine_chance",
)


def induction(
    spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine
) -> dict[str, float]:
    """Score frozen features on the target's classes, whatever classes the net was trained on.

    The paper's induction accuracy. Returns, in percent: accuracy and, from six classes, top5 of a linear
    probe (as `probe`); knn1 and knn5, the vote of the nearest training images, cosine (as `knn`); chance, see
    there; and the probe's strength. What k-NN scores at the inner nodes of WordNet goes to ``nodes.csv`` in
    *folder*: see `nodes_table`.
    """
    train, test = features_of(spec, net, target, machine)
    tree, classes = Taxonomy.snapshot(), target.train.classes
    classify = choose_strength(train, len(classes), *target.divided(spec.seed))
    own = scores(classify(test.features), test.labels) | {"strength": classify.strength}
    train, test = (Features(each.features, each.labels.cpu()) for each in (train, test))    # counted there
    parted = branches(tree, classes)
    *found, overall = compare(train, test, parted)
    nodes = nodes_table(tree, parted, found, train.labels, test.labels)
    write_atomic(folder / "nodes.csv", lambda path: nodes.to_csv(path, index=False))
    knn = {f"knn{k}": percent(right, len(test.labels)) for k, right in zip(KS, overall.fine, strict=True)}
    return own | knn | {"chance": chance(train.labels, test.labels)}


@dataclass(frozen=True)
class Branch:
    """An inner node of the tree under which the classes part."""

    node: str
    child_of: Mapping[int, int]             # number of a class below -> number of the child that it is under

    @property
    def children(self) -> int:
        """How many children have classes."""
        return len(set(self.child_of.values()))


def branches(tree: Taxonomy, classes: Sequence[str]) -> list[Branch]:
    """List the nodes of *tree* with at least two children that have some of *classes*, the deepest first.

    Children are those by parent paths. A class with others below it is one more child of itself; a class that
    is no wnid of the tree is under no node.

    >>> [branch.node for branch in branches(tree, ["car", "husky", "poodle", "trout"])]
    ['dog', 'animal', 'entity']
    """
    below: dict[str, dict[int, str]] = {}
    for label, name in enumerate(classes):
        path = tree.path(name) if name in tree else []
        for child, node in zip(path[:1] + path, path, strict=False):
            below.setdefault(node, {})[label] = child
    found = []
    for node in sorted(below, key=lambda wnid: (-tree.depth(wnid), wnid)):
        number = {child: place for place, child in enumerate(sorted(set(below[node].values())))}
        if len(number) > 1:
            found.append(Branch(node, {label: number[child] for label, child in below[node].items()}))
    return found


class Right(NamedTuple):
    """Of the test images under a node, how many k-NN names right, for each k of KS."""

    images: int
    coarse: tuple[int, ...]                 # where the answer is the child of the node
    fine: tuple[int, ...]                   # where it is the class


def compare(
    train: Features, test: Features, parted: Sequence[Branch], block: int = 2048
) -> list[Right]:
    """Count what k-NN names right at each branch of *parted*, deepest first, in its own images; and overall.

    Exact, in one pass: the nearest images under a node are among the nearest under its children, so
    similarities are taken once, class by class, and only the few nearest are merged up the tree. Of equal
    neighbours the lower row is nearer; where there are fewer than k training images, all of them vote.
    20,000 training and 5,000 test images of 100 classes, 256 features, take 3 s on one core, the 53 nodes
    together. Memory beyond the features is that of *block* test images × classes × 5.
    """
    rows_of = {int(label): (train.labels == label).nonzero().squeeze(1) for label in train.labels.unique()}
    counts = torch.zeros(len(parted) + 1, 1 + 2 * len(KS), dtype=torch.int64)
    for features, labels in zip(test.features.split(block), test.labels.split(block), strict=True):
        lists = {label: _nearest_among(train, rows, features) for label, rows in rows_of.items()}
        holder = {label: label for label in lists}          # whose list a class's images are in by now
        for number, branch in enumerate(parted):
            first = min(branch.child_of)
            lists[first] = _merge([lists.pop(each) for each in {holder[label] for label in branch.child_of}])
            holder |= dict.fromkeys(branch.child_of, first)
            counts[number] += _count(train.labels[lists[first].rows], labels, branch.child_of)
        everywhere = _merge(list(lists.values()))
        counts[-1] += _count(train.labels[everywhere.rows], labels, dict.fromkeys(rows_of, 0))
    k = len(KS)
    return [Right(row[0], tuple(row[1 : 1 + k]), tuple(row[1 + k :])) for row in counts.tolist()]


class Nearest(NamedTuple):
    """Rows of training images and their similarities, both (M, at most 5), the nearest first."""

    rows: Tensor
    similarities: Tensor


def _nearest_among(train: Features, rows: Tensor, queries: Tensor) -> Nearest:
    """The nearest of *rows*, ascending, to each of *queries*."""
    found, similarities = nearest(train.features[rows], queries, min(max(KS), len(rows)))
    return Nearest(rows[found.cpu()], similarities.cpu())


def _merge(lists: Sequence[Nearest]) -> Nearest:
    """The nearest of several lists for the same queries; of equal ones the lower row first."""
    rows, similarities = (torch.cat(parts, 1) for parts in zip(*lists, strict=True))
    rows, order = rows.sort(dim=1)          # so that the stable sort below keeps the lower row first
    similarities, order = similarities.gather(1, order).sort(dim=1, descending=True, stable=True)
    return Nearest(rows.gather(1, order)[:, : max(KS)], similarities[:, : max(KS)])


def _count(named: Tensor, labels: Tensor, child_of: Mapping[int, int]) -> Tensor:
    """Count the images under a node and, of these, those that neighbours *named* (M, k) name right."""
    child = torch.full((int(max(named.max(), labels.max(), *child_of)) + 1,), -1)
    child[list(child_of)] = torch.tensor(list(child_of.values()))
    mine = child[labels] >= 0
    named, labels = named[mine], labels[mine]
    answers = ((child[named], child[labels]), (named, labels))
    right = [(vote(each[:, :k]) == answer).sum() for each, answer in answers for k in KS]
    return torch.stack([mine.sum(), *right])


def nodes_table(
    tree: Taxonomy, parted: Sequence[Branch], found: Sequence[Right], train: Tensor, test: Tensor
) -> pd.DataFrame:
    """Tabulate *found* for each branch of *parted* that has test images, the highest nodes first.

    Columns: node (its wnid), name, depth, children and classes (how many part there), images (of the test
    split); coarse_knn1, coarse_knn5 and coarse_chance: how well the node's children are told apart among its
    own images; fine_knn1, fine_knn5 and fine_chance: how well the classes under it are. All in percent, and
    k-NN looks at the node's own training images only. *train* and *test* are the images' classes, as numbers.
    """
    rows = []
    for branch, right in zip(parted, found, strict=True):
        if right.images:
            mine = torch.tensor(sorted(branch.child_of))
            under = [labels[torch.isin(labels, mine)] for labels in (train, test)]
            above = [torch.tensor([branch.child_of[label] for label in each.tolist()]) for each in under]
            where = (branch.node, tree.class_name(branch.node), tree.depth(branch.node))
            scored = [
                each
                for hits, labels in ((right.coarse, above), (right.fine, under))
                for each in (*(percent(hit, right.images) for hit in hits), chance(*labels))
            ]
            rows.append((*where, branch.children, len(branch.child_of), right.images, *scored))
    return pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(["depth", "node"], ignore_index=True)


def chance(train: Tensor, test: Tensor) -> float:
    """Percent right of one who names the class of a training image drawn at random.

    That is what features that say nothing give a single neighbour. With equally many images of every class it
    is 100 / classes; where some are more frequent, more.

    >>> chance(torch.tensor([0, 1, 2, 3]), torch.tensor([2, 2]))
    25.0
    >>> chance(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1]))
    50.0
    >>> chance(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 1]))
    62.5
    """
    classes = int(max(train.max(), test.max())) + 1
    counts = [torch.bincount(labels, minlength=classes) for labels in (train, test)]
    return percent(int(counts[0] @ counts[1]), len(train) * len(test))


def percent(right: int, images: int) -> float:
    """How many of *images* are *right*, in percent."""
    return 100.0 * right / images
