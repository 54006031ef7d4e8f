"""Induction: what frozen features tell apart though the net was not taught to, overall and node by node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from itl.evaluation.accuracy import scores
from itl.evaluation.frozen import features_of, vote
from itl.evaluation.knn import nearest
from itl.evaluation.logistic_regression import Features, choose_l2
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
    classify = choose_l2(train, len(classes), *target.divided(spec.seed))
    probe = scores(classify(test.features), test.labels) | {"strength": classify.l2}
    inner_nodes = branches(tree, classes)
    *counts, overall = compare(train, test, inner_nodes)
    train_labels, test_labels = train.labels.cpu(), test.labels.cpu()
    nodes = nodes_table(tree, inner_nodes, counts, train_labels, test_labels)
    write_atomic(folder / "nodes.csv", lambda path: nodes.to_csv(path, index=False))
    knn = {f"knn{k}": percent(right, overall.images) for k, right in zip(KS, overall.fine, strict=True)}
    return probe | knn | {"chance": chance(train_labels, test_labels)}


@dataclass(frozen=True)
class Branch:
    """An inner node of the tree under which the classes part."""

    node: str
    child_of: Mapping[int, int]             # number of a class below -> number of the child that it is under

    @property
    def children(self) -> int:
        """How many children have classes."""
        return len(set(self.child_of.values()))

    def child_numbers(self, classes: int) -> Tensor:
        """The child (classes,) that each class is under, -1 for classes that are not under this node."""
        numbers = torch.full((classes,), -1)
        numbers[list(self.child_of)] = torch.tensor(list(self.child_of.values()))
        return numbers


def branches(tree: Taxonomy, classes: Sequence[str]) -> list[Branch]:
    """List the nodes of *tree* with at least two children that have some of *classes*, the deepest first.

    Children are those by parent paths. A class with others below it is one more child of itself; a class that
    is no wnid of the tree is under no node.

    >>> [branch.node for branch in branches(tree, ["car", "husky", "poodle", "trout"])]
    ['dog', 'animal', 'entity']
    """
    children: dict[str, dict[int, str]] = {}            # of each node: the child that a class is under
    for label, name in enumerate(classes):
        path = tree.path(name) if name in tree else []
        for child, node in zip(path[:1] + path, path, strict=False):
            children.setdefault(node, {})[label] = child
    inner_nodes = []
    for node in sorted(children, key=lambda wnid: (-tree.depth(wnid), wnid)):
        below = children[node]
        number = {child: place for place, child in enumerate(sorted(set(below.values())))}
        if len(number) > 1:
            inner_nodes.append(Branch(node, {label: number[child] for label, child in below.items()}))
    return inner_nodes


class CorrectCounts(NamedTuple):
    """Of the test images under a node, how many k-NN names right, for each k of KS."""

    images: int
    coarse: tuple[int, ...]                 # where the answer is the child of the node
    fine: tuple[int, ...]                   # where it is the class


def compare(train: Features, test: Features, inner_nodes: Sequence[Branch]) -> list[CorrectCounts]:
    """Count what k-NN names right at each of *inner_nodes*, deepest first, in its own images; and overall.

    Exact. Of equal neighbours the lower row is nearer; where there are fewer than k training images, all of
    them vote; a node without any has no images to count. Everything stays on the device of the features until
    the end. Memory beyond the features is that of `nearest` and one copy of the features.
    """
    labels = torch.cat([train.labels, test.labels])
    classes = 1 + max(int(labels.max()), *(max(branch.child_of) for branch in inner_nodes), 0)
    neighbours = _neighbours(train.features, test.features)
    votes = train.labels[neighbours[:, : len(train.labels)]]
    everywhere = torch.zeros(classes, dtype=torch.int64, device=labels.device)
    images, right = [len(test.labels)], [_count(votes, test.labels, everywhere)]
    for branch in reversed(inner_nodes):                    # parents before their children
        child = branch.child_numbers(classes).to(labels.device)
        rows, own = ((child[part.labels] >= 0).nonzero().squeeze(1) for part in (train, test))
        if not len(rows):
            own = own[:0]
        _search_below(train, test, rows, own, neighbours)
        images.append(len(own))
        right.append(_count(train.labels[neighbours[own, : len(rows)]], test.labels[own], child))
    k = len(KS)
    counts = zip(images, torch.stack(right).tolist(), strict=True)
    return [CorrectCounts(count, tuple(hits[:k]), tuple(hits[k:])) for count, hits in counts][::-1]


def _neighbours(base: Tensor, queries: Tensor) -> Tensor:
    """Rows (M, 5) of *base* nearest to *queries*, the nearest first; -1 where there are fewer rows."""
    k = min(max(KS), len(base))
    return F.pad(nearest(base, queries, k)[0], (0, max(KS) - k), value=-1)


def _search_below(train: Features, test: Features, rows: Tensor, own: Tensor, neighbours: Tensor) -> None:
    """Make *neighbours* (M, 5) of the test images *own* those among the training images *rows* under a node.

    So far they are those under some node above it. Where all of them are under this node too, they stay: they
    are the nearest of more images. Only the other test images are searched again.
    """
    below = torch.zeros(len(train.labels) + 1, dtype=torch.bool, device=rows.device)
    below[rows] = below[-1] = True                          # row -1 is no row
    searched = own[~below[neighbours[own]].all(1)]
    if len(searched):
        found = _neighbours(train.features[rows], test.features[searched])
        neighbours[searched] = torch.where(found < 0, -1, rows[found])


def _count(votes: Tensor, labels: Tensor, child: Tensor) -> Tensor:
    """Count the images, of classes *labels* (M,), whose neighbours of classes *votes* (M, k) name them right.

    First by the *child* (classes,) of a node that they name, then by the class, for each k of KS.
    """
    if not len(labels):
        return labels.new_zeros(2 * len(KS))
    answers = ((child[votes], child[labels]), (votes, labels))
    return torch.stack([(vote(names[:, :k]) == truth).sum() for names, truth in answers for k in KS])


def nodes_table(
    tree: Taxonomy, inner_nodes: Sequence[Branch], counts: Sequence[CorrectCounts], train: Tensor,
    test: Tensor,
) -> pd.DataFrame:
    """Tabulate *counts* for each of *inner_nodes* that has test images, the highest nodes first.

    Columns: node (its wnid), name, depth, children and classes (how many part there), images (of the test
    split); coarse_knn1, coarse_knn5 and coarse_chance: how well the node's children are told apart among its
    own images; fine_knn1, fine_knn5 and fine_chance: how well the classes under it are. All in percent, and
    k-NN looks at the node's own training images only. *train* and *test* are the images' classes, as numbers.
    """
    rows = [
        _node_row(tree, branch, correct, train, test)
        for branch, correct in zip(inner_nodes, counts, strict=True) if correct.images
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(["depth", "node"], ignore_index=True)


def _node_row(tree: Taxonomy, branch: Branch, correct: CorrectCounts, train: Tensor, test: Tensor) -> dict:
    """One row of `nodes_table`, by column."""
    child = branch.child_numbers(1 + max(int(train.max()), int(test.max()), *branch.child_of))
    train, test = (labels[child[labels] >= 0] for labels in (train, test))
    row = {
        "node": branch.node, "name": tree.class_name(branch.node), "depth": tree.depth(branch.node),
        "children": branch.children, "classes": len(branch.child_of), "images": correct.images,
        "coarse_chance": chance(child[train], child[test]), "fine_chance": chance(train, test),
    }
    for k, coarse, fine in zip(KS, correct.coarse, correct.fine, strict=True):
        row[f"coarse_knn{k}"] = percent(coarse, correct.images)
        row[f"fine_knn{k}"] = percent(fine, correct.images)
    return row


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
