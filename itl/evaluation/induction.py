"""Induction: how well frozen features separate classes the net was not trained on, overall and by node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from itl.evaluation.frozen import features_of, knn_scores, probe_scores, vote
from itl.evaluation.knn import nearest
from itl.evaluation.logistic_regression import Features
from itl.evaluation.methods import KNN_NEIGHBOURS, Metrics
from itl.evaluation.target import Target
from itl.hierarchy.taxonomies import tree_of_digest
from itl.hierarchy.taxonomy import Taxonomy
from itl.machine import Machine
from itl.specs import Transfer
from itl.storage import write_atomic
from itl.training.nets import Classifier

COLUMNS = ["node", "name", "depth", "children", "classes", "images"]
COLUMNS += ["coarse_knn1", "coarse_knn5", "coarse_chance", "fine_knn1", "fine_knn5", "fine_chance"]
KNN_COLUMNS = [f"{level}_knn{k}" for level in ("coarse", "fine") for k in KNN_NEIGHBOURS]

Counts = dict[str, int]  # of the test images under a node, and of those that k-NN classifies correctly


def induction(spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine) -> Metrics:
    """Score frozen features on the target's classes, whatever classes the net was trained on.

    This is the paper's induction accuracy. The scores of k-NN at the inner nodes of the tree are written to
    nodes.csv in *folder*: see `nodes_table`.

    Returns:
        In percent: what `probe` and `knn` return, and `chance`, by `Target.per_class`. Nodes count images.
    """
    train, test = features_of(spec, net, target, machine)
    tree = tree_of_digest(spec.tree, machine.taxonomies)
    probe, _ = probe_scores(train, test, target, spec.seed)
    inner_nodes = branches(tree, target.train.classes)
    *counts, overall = compare(train, test, inner_nodes)
    train_labels, test_labels = train.labels.cpu(), test.labels.cpu()
    nodes = nodes_table(tree, inner_nodes, counts, train_labels, test_labels)
    write_atomic(folder / "nodes.csv", lambda path: nodes.to_csv(path, index=False))
    if target.per_class:  # which counts of all images do not tell
        knn, _ = knn_scores(train, test, per_class=True)
        return probe | knn | {"chance": chance(train_labels, test_labels.unique())}
    knn = {f"knn{k}": 100.0 * overall[f"fine_knn{k}"] / overall["images"] for k in KNN_NEIGHBOURS}
    return probe | knn | {"chance": chance(train_labels, test_labels)}


@dataclass(frozen=True)
class Branch:
    """An inner node of the tree with classes under at least two children."""

    node: str
    child_of: Mapping[int, int]  # number of a class under it -> number of the child

    @property
    def children(self) -> int:
        """The number of children that have classes."""
        return len(set(self.child_of.values()))

    def child_numbers(self, classes: int) -> Tensor:
        """Return the number of each class's child, int64 (classes,); -1 for classes not under this node."""
        numbers = torch.full((classes,), -1)
        numbers[list(self.child_of)] = torch.tensor(list(self.child_of.values()))
        return numbers


def branches(tree: Taxonomy, classes: Sequence[str]) -> list[Branch]:
    """List the nodes of *tree* with at least two children that have some of *classes*, the deepest first.

    Children are those on parent paths. A class with others below it is a child of itself; one that is not in
    the tree is under no node.

    >>> [branch.node for branch in branches(tree, ["car", "husky", "poodle", "trout"])]
    ['dog', 'animal', 'entity']
    """
    children: dict[str, dict[int, str]] = {}  # of each node: the child of each class under it
    for label, name in enumerate(classes):
        path = tree.path(name) if name in tree else []
        for child, node in zip(path[:1] + path, path, strict=False):
            children.setdefault(node, {})[label] = child
    inner_nodes = []
    for node in sorted(children, key=lambda wnid: (-tree.depth(wnid), wnid)):
        below = children[node]
        number = {child: index for index, child in enumerate(sorted(set(below.values())))}
        if len(number) > 1:
            inner_nodes.append(Branch(node, {label: number[child] for label, child in below.items()}))
    return inner_nodes


def compare(train: Features, test: Features, inner_nodes: Sequence[Branch]) -> list[Counts]:
    """Count what k-NN classifies correctly in the images under each of *inner_nodes*, the deepest first.

    Exact. Of equal neighbours the lower row is nearer. Where there are fewer than k training images, all of
    them vote; a node without any has no images to count. Everything stays on the device of the features until
    the end. Memory beyond the features is that of `nearest` and one copy of the features.

    Returns:
        For each of *inner_nodes*, in order, and at the end for all: images, and by KNN_COLUMNS how many of
        these are classified correctly: coarse into children of the node, fine into classes.
    """
    labels = torch.cat([train.labels, test.labels])
    classes = 1 + max(int(labels.max()), *(max(branch.child_of) for branch in inner_nodes), 0)
    neighbours = _neighbours(train.features, test.features)
    votes = train.labels[neighbours[:, : len(train.labels)]]
    everywhere = torch.zeros(classes, dtype=torch.int64, device=labels.device)
    images, correct = [len(test.labels)], [_count(votes, test.labels, everywhere)]
    for branch in reversed(inner_nodes):  # parents before their children
        child = branch.child_numbers(classes).to(labels.device)
        rows, own = ((child[part.labels] >= 0).nonzero().squeeze(1) for part in (train, test))
        if not len(rows):
            own = own[:0]
        _search_below(train, test, rows, own, neighbours)
        images.append(len(own))
        correct.append(_count(train.labels[neighbours[own, : len(rows)]], test.labels[own], child))
    pairs = zip(images, torch.stack(correct).tolist(), strict=True)
    return [{"images": count} | dict(zip(KNN_COLUMNS, by_k, strict=True)) for count, by_k in pairs][::-1]


def _neighbours(base: Tensor, queries: Tensor) -> Tensor:
    """Return the rows (M, 5) of *base* nearest to *queries*, nearest first; -1 where there are fewer rows."""
    k = min(max(KNN_NEIGHBOURS), len(base))
    return F.pad(nearest(base, queries, k)[0], (0, max(KNN_NEIGHBOURS) - k), value=-1)


def _search_below(train: Features, test: Features, rows: Tensor, own: Tensor, neighbours: Tensor) -> None:
    """Update *neighbours* (M, 5), in place, to the nearest training images under a node.

    So far they are the nearest under a node above. Where all of these are under this node too, they stay, as
    they are the nearest of more images. Only the other test images are searched again. *rows* are the
    training images under the node, *own* its test images.
    """
    below = torch.zeros(len(train.labels) + 1, dtype=torch.bool, device=rows.device)
    below[rows] = below[-1] = True  # -1 is not a row
    searched = own[~below[neighbours[own]].all(1)]
    if len(searched):
        nearest_below = _neighbours(train.features[rows], test.features[searched])
        neighbours[searched] = torch.where(nearest_below < 0, -1, rows[nearest_below])


def _count(votes: Tensor, labels: Tensor, child: Tensor) -> Tensor:
    """Count the images of classes *labels* (M,) that neighbours of classes *votes* (M, k) classify correctly.

    int64, in the order of KNN_COLUMNS. *child* has the child of each class.
    """
    if not len(labels):
        return labels.new_zeros(len(KNN_COLUMNS))
    counts = [(vote(child[votes][:, :k]) == child[labels]).sum() for k in KNN_NEIGHBOURS]
    counts += [(vote(votes[:, :k]) == labels).sum() for k in KNN_NEIGHBOURS]
    return torch.stack(counts)


def nodes_table(
    tree: Taxonomy, inner_nodes: Sequence[Branch], counts: Sequence[Counts], train: Tensor, test: Tensor
) -> pd.DataFrame:
    """Tabulate *counts* for each of *inner_nodes* that has test images, the highest nodes first.

    *train* (N,) and *test* (M,) are the classes of all images.

    Returns:
        Columns node (wnid), name, depth, children and classes (their numbers), images (of the test split);
        in percent, coarse_knn1, coarse_knn5 and coarse_chance: accuracy among the node's children; fine_knn1,
        fine_knn5 and fine_chance: accuracy among the classes under it.
    """
    pairs = zip(inner_nodes, counts, strict=True)
    rows = [_node_row(tree, branch, correct, train, test) for branch, correct in pairs if correct["images"]]
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(["depth", "node"], ignore_index=True)


def _node_row(tree: Taxonomy, branch: Branch, correct: Counts, train: Tensor, test: Tensor) -> dict:
    """Return one row of `nodes_table`, by column."""
    child = branch.child_numbers(1 + max(int(train.max()), int(test.max()), *branch.child_of))
    train, test = (labels[child[labels] >= 0] for labels in (train, test))
    return {
        "node": branch.node,
        "name": tree.class_name(branch.node),
        "depth": tree.depth(branch.node),
        "children": branch.children,
        "classes": len(branch.child_of),
        "images": correct["images"],
        "coarse_chance": chance(child[train], child[test]),
        "fine_chance": chance(train, test),
        **{name: 100.0 * correct[name] / correct["images"] for name in KNN_COLUMNS},
    }


def chance(train: Tensor, test: Tensor) -> float:
    """Return the accuracy, in percent, of a single neighbour by features without information.

    That is of the class of a random training image: 100 / classes where all have equally many images. *train*
    (N,) and *test* (M,) are classes.

    >>> chance(torch.tensor([0, 1, 2, 3]), torch.tensor([2, 2]))
    25.0
    >>> chance(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1]))
    50.0
    >>> chance(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 1]))
    62.5
    """
    classes = int(max(train.max(), test.max())) + 1
    counts = [torch.bincount(labels, minlength=classes) for labels in (train, test)]
    return 100.0 * int(counts[0] @ counts[1]) / (len(train) * len(test))
