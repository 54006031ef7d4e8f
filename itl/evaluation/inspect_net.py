"""A close look at one net: its predictions, errors by node, and the neighbours of an image."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from itl.errors import ItlError
from itl.evaluation.frozen import extract_selection, vote
from itl.evaluation.induction import Branch, branches
from itl.evaluation.knn import nearest
from itl.evaluation.methods import KNN_NEIGHBOURS
from itl.evaluation.target import Target
from itl.hierarchy.taxonomy import Taxonomy
from itl.machine import Machine
from itl.packs.pack import Pack
from itl.packs.subset import Selection, select
from itl.specs import Pretrain
from itl.training.nets import Classifier
from itl.training.numerics import autocast, exact_float32

NEIGHBOURS = 12  # of an image that are listed
ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Inspection:
    """What a net makes of some images; features are extracted once and kept.

    Neighbours are looked up among the training images that `train` lists.
    """

    pack: Pack
    tree: Taxonomy
    images: Selection  # the N images that are looked at
    train: Selection  # M training images
    features: Tensor  # (N, D)
    train_features: Tensor  # (M, D)
    predicted: np.ndarray  # int64 (N,), a label in images.classes
    confidence: np.ndarray  # float64 (N,), 0 to 1: the probability, or the share of neighbours
    available: int  # images that could have been looked at
    train_available: int  # training images that could have been searched

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row an image: row (of the pack), image, wnid, label, predicted, confidence, correct."""
        rows, classes = self.images.rows, np.array(self.images.classes, object)
        table = self.pack.table.iloc[rows][["image", "wnid"]].reset_index(drop=True)
        table = table.astype(object)  # in which panels look up much faster than in Arrow's strings
        table.insert(0, "row", rows)
        return table.assign(
            label=classes[self.images.labels],
            predicted=classes[self.predicted],
            confidence=self.confidence,
            correct=self.predicted == self.images.labels,
        )

    def prepare(self) -> None:
        """Make now what is made once, such as neighbours, so that later calls answer at once."""
        self.nodes, self.positions, self._nearest, self._classes_under, self.groups()  # noqa: B018

    def name(self, wnid: str) -> str:
        """Name a node or a class for people."""
        return self.tree.class_name(wnid) if wnid in self.tree else wnid

    @cached_property
    def _wnids_under(self) -> dict[str, list[str]]:
        """The wnids of images that lie under each node."""
        return self._by_node(self.table["wnid"].unique())

    @cached_property
    def _classes_under(self) -> dict[str, list[str]]:
        """The classes that the net was trained on that lie under each node."""
        return self._by_node(self.images.classes)

    def _by_node(self, wnids: Collection[str]) -> dict[str, list[str]]:
        """List *wnids* under each node, by any path; one outside the tree is under itself."""
        outside = {wnid: [wnid] for wnid in wnids if wnid not in self.tree}
        return self.tree.group_by_ancestor(wnid for wnid in wnids if wnid in self.tree) | outside

    @cached_property
    def _branches(self) -> list[Branch]:
        """The inner nodes with classes under several children, the deepest first."""
        return branches(self.tree, self.images.classes)

    @cached_property
    def nodes(self) -> pd.DataFrame:
        """One row a node above the images, in the order of the tree, then the classes outside of it.

        Columns: node, name, depth, images, wrong (how many of them), accuracy (in percent).
        """
        by_class = self.table.groupby("wnid")["correct"]
        sizes, sums = by_class.size().to_dict(), by_class.sum().to_dict()
        rows = []
        outside = sorted(node for node in self._wnids_under if node not in self.tree)
        for node in [*self.tree.walk_open(self.tree, self._wnids_under), *outside]:
            wnids, depth = self._wnids_under[node], self.tree.depth(node) if node in self.tree else 0
            images, right = sum(sizes[wnid] for wnid in wnids), sum(sums[wnid] for wnid in wnids)
            rows.append((node, self.name(node), depth, images, images - right, 100.0 * right / images))
        return pd.DataFrame(rows, columns=["node", "name", "depth", "images", "wrong", "accuracy"])

    def wrong(self, node: str = "") -> pd.DataFrame:
        """Return the rows of `table` that the net gets wrong under *node*, the most confident first."""
        table = self.under(node)
        return table[~table["correct"]].sort_values("confidence", ascending=False, kind="stable")

    def under(self, node: str = "") -> pd.DataFrame:
        """Return the rows of `table` under *node*, by any path; '' takes all images.

        ItlError if none of the images is under it.
        """
        if not node:
            return self.table
        if node not in self._wnids_under:
            name = self.name(node) if node in self.tree else "no node of the tree"
            raise ItlError(
                f"none of the {len(self.table):,} images is under {node} ({name}); "
                f"Inspection.nodes lists {len(self._wnids_under):,} nodes that have some"
            )
        return self.table[self.table["wnid"].isin(self._wnids_under[node])]

    @cached_property
    def _nearest(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers in `train`, and similarities, of the training images nearest to each image: (N, K)."""
        k = min(NEIGHBOURS, len(self.train.rows))
        rows, similarities = nearest(self.train_features, self.features, k)
        return rows.cpu().numpy(), similarities.cpu().numpy()

    def neighbours(self, position: int) -> pd.DataFrame:
        """Return the at most 12 training images with the features most like those of image number *position*.

        Columns: row (of the pack), image, label and similarity (cosine), nearest first. ItlError if there is
        no such image.
        """
        if not 0 <= position < len(self.table):
            raise ItlError(f"there is no image number {position}; they run from 0 to {len(self.table) - 1}")
        at, similarity = (values[position] for values in self._nearest)
        rows = self.train.rows[at]
        labels = np.array(self.train.classes, object)[self.train.labels[at]]
        ids = self.pack.table["image"].iloc[rows].to_numpy(object)
        return pd.DataFrame({"row": rows, "image": ids, "label": labels, "similarity": similarity})

    @cached_property
    def positions(self) -> np.ndarray:
        """The two principal components of the features, float (N, 2): a flat map of them."""
        centred = (self.features - self.features.mean(0)).double().cpu()
        left, scales, _ = torch.linalg.svd(centred, full_matrices=False)
        flat = (left * scales)[:, :2].numpy()
        return np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))

    def confusion(self, node: str = "") -> pd.DataFrame:
        """Count which child of *node* images belong to (rows) and which the net takes them for (columns).

        What it takes for something outside *node* is counted as elsewhere. '' is the highest node with
        classes under several children, and a node that has them under one child only counts as the highest
        such node below it. Where there is none, and outside the tree, classes are counted by themselves.
        """
        own, taken_for = self._groups_of(node)
        kept = np.isin(self.images.labels, list(own))
        true = [own[label] for label in self.images.labels[kept]]
        taken = [taken_for.get(label, ELSEWHERE) for label in self.predicted[kept]]
        table = pd.crosstab(pd.Series(true, name="of"), pd.Series(taken, name="taken for"))
        last = [ELSEWHERE] if ELSEWHERE in table else []
        return table[[*sorted(set(table) - {ELSEWHERE}), *last]]

    def groups(self) -> list[str]:
        """Name for each image the group that it belongs to, as `confusion` does without a node."""
        own, _ = self._groups_of("")
        return [own.get(label, ELSEWHERE) for label in self.images.labels]

    def _groups_of(self, node: str) -> tuple[dict[int, str], dict[int, str]]:
        """Name the group of each label under *node*, and of each label that images may be taken for."""
        classes = self.images.classes
        under = set(self._classes_under.get(node, ()) if node else classes)
        labels = {label for label, wnid in enumerate(classes) if wnid in under}
        wanted = (one for one in reversed(self._branches) if not node or one.child_of.keys() == labels)
        branch = next(wanted, None)  # the highest
        if branch is not None:
            one_of = {child: label for label, child in branch.child_of.items()}  # a class under each child
            names = {child: self._child(branch.node, classes[label]) for child, label in one_of.items()}
            children = {label: names[child] for label, child in branch.child_of.items()}
            return children, children
        every = {label: self.name(wnid) for label, wnid in enumerate(classes)}
        return {label: every[label] for label in labels}, every

    def _child(self, node: str, wnid: str) -> str:
        """Name the child of *node* that *wnid* is under; a class is under itself."""
        path = self.tree.path(wnid)
        return self.name(path[max(0, path.index(node) - 1)])


def own_split(pack: Pack) -> str | None:
    """Return the split of *pack* that nets trained on it are judged on; None for training images alone."""
    return next((split for split in ("val", "test") if split in pack.summary["splits"]), None)


def inspect_own(
    net: Classifier, spec: Pretrain, pack: Pack, tree: Taxonomy, machine: Machine, limit: int = 5000
) -> Inspection:
    """Inspect *net*, of *spec*, on images of the classes that it was trained on, by its own head.

    The images are of the split `own_split`. At most *limit* of them, and of the training images, are looked
    at, evenly spread.
    """
    split = own_split(pack) or "val"  # which `select` refuses where there is none
    images, train = (select(pack, spec.subset, part, tree) for part in (split, "train"))
    available, train_available = len(images.rows), len(train.rows)
    images, train = spread(images, limit), spread(train, limit)
    features, train_features = _features(net, spec, pack, (images, train), machine)
    precision = autocast(features.device, spec.recipe.precision)  # as the run scored it
    with torch.no_grad(), exact_float32(), precision:
        outputs = net.to(features.device).head(features)
    confidence, predicted = outputs.float().softmax(1).max(1)
    return Inspection(
        pack,
        tree,
        images,
        train,
        features,
        train_features,
        predicted=predicted.cpu().numpy(),
        confidence=confidence.double().cpu().numpy(),
        available=available,
        train_available=train_available,
    )


def inspect_target(
    net: Classifier, spec: Pretrain, target: Target, tree: Taxonomy, machine: Machine, limit: int = 5000
) -> Inspection:
    """Inspect frozen features on a target: an image is taken for what its 5 nearest training images are.

    Arguments are as in `inspect_own`; ItlError for a target whose images have several labels each.
    """
    if target.train.labels.ndim > 1:
        raise ItlError(
            "images of this target have several labels each; inspect a target of one class an image"
        )
    images, train = spread(target.test, limit), spread(target.train, limit)
    features, train_features = _features(net, spec, target.pack, (images, train), machine)
    rows, _ = nearest(train_features, features, min(max(KNN_NEIGHBOURS), len(train.rows)))
    labels = torch.from_numpy(train.labels)[rows.cpu()]
    predicted = vote(labels)
    share = (labels == predicted[:, None]).double().mean(1)
    return Inspection(
        target.pack,
        tree,
        images,
        train,
        features,
        train_features,
        predicted=predicted.numpy(),
        confidence=share.numpy(),
        available=len(target.test.rows),
        train_available=len(target.train.rows),
    )


def _features(
    net: Classifier, spec: Pretrain, pack: Pack, selections: tuple[Selection, ...], machine: Machine
) -> list[Tensor]:
    """Return the features of *selections*; a GPU keeps nothing else.

    The process of a notebook lives long, and the runs that it starts are others, which need the memory.
    """
    parts = [extract_selection(net, spec, pack, part, machine, keep=False) for part in selections]
    torch.cuda.empty_cache()
    return [part.features for part in parts]


def spread(selection: Selection, limit: int) -> Selection:
    """Keep at most *limit* images of *selection*, evenly spread over its order."""
    if len(selection.rows) <= limit:
        return selection
    return selection.at(np.linspace(0, len(selection.rows) - 1, limit).astype(int))
