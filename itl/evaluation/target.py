"""A target: which images a net is fitted to, chosen by and scored on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from itl import ItlError
from itl.packs.pack import Pack
from itl.packs.subset import Selection, merge, ranked, select
from itl.specs import Subset, Transfer

HELD_OUT = 0.2              # part of each class's training images to choose on, where there is no val split


@dataclass(frozen=True)
class Target:
    """What features are tried on: a pack, the images to learn from and the images to be scored on.

    Labels are classes (N,), or for several answers to one image (N, C): 1 yes, 0 no, -1 not scored.
    """

    pack: Pack
    train: Selection                        # of the final fit: with val where there is a test split
    test: Selection
    held: np.ndarray | None = None          # places in train of the val images; None: a part is held out

    def __post_init__(self) -> None:
        """Refuse a target on which a score would mean nothing."""
        if self.train.classes != self.test.classes:
            raise ItlError(f"a target's training and test classes must be the same; {self._differing()}")
        shared = np.intersect1d(self.train.rows, self.test.rows).size
        if shared:
            raise ItlError(f"{shared} of {len(self.test.rows)} test images are training images too; "
                           "select the two from different splits")
        if not len(self.test.rows):
            raise ItlError("the target has no test images; it needs at least one")
        if self.train.labels.ndim == 1:
            check_classes(self.train.labels, self.train.classes)

    def _differing(self) -> str:
        """Say in which classes the two splits differ, a few of them by name."""
        train, test = set(self.train.classes), set(self.test.classes)
        parts = [
            f"{len(extra)} only in {name} ({', '.join(sorted(extra)[:3])}{', ...' * (len(extra) > 3)})"
            for name, extra in (("training", train - test), ("test", test - train)) if extra
        ]
        return "; ".join(parts) or "they are, but in another order"

    def divided(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Places in ``train`` to fit on and to choose by: train and val, or without val a part held out."""
        if self.held is None:
            return hold_out(self.train.labels, seed)
        return np.setdiff1d(np.arange(len(self.train.rows)), self.held), self.held

    def to_choose(self, seed: int) -> "Target":
        """The target on which settings are chosen: its test images are some of this one's training images."""
        fitted, held = self.divided(seed)
        return Target(self.pack, self.train.at(fitted), self.train.at(held))


def target_of(spec: Transfer, pack: Pack) -> Target:
    """Select the images of *pack* that *spec* asks for.

    Scored on test, or on val where there is no test split; then val is not learned from. With a test split
    the final fit is on train and val together, unless only some images of each class are wanted.
    """
    subset = Subset(spec.pack, spec.labels, None, spec.images_per_class, spec.seed)
    train, test = select(pack, subset), select(pack, subset, scored_split(pack))
    if train.classes == ("",):
        raise ItlError(f"the images of {spec.target} are of no one class, but have annotated objects; take "
                       f"detection@{spec.target} or actions@{spec.target}, not {spec.method}")
    if spec.images_per_class or not has_val_beside_test(pack):
        return Target(pack, train, test)
    both = merge(train, select(pack, subset, "val"))
    return Target(pack, both, test, np.flatnonzero(~np.isin(both.rows, train.rows)))


def annotated(spec: Transfer, pack: Pack) -> Target:
    """Select images, or persons, of *pack* by their annotated objects: each is of several classes or none.

    Splits are used as in `target_of`. With images_per_class, of each class those images are kept that rank
    first by a hash of the seed and their id, with whatever else they show.
    """
    names = tuple(sorted(set(pack.objects["name"])))
    labels = _labels(pack, names)
    splits = pack.table["split"].to_numpy(str)
    first, beside = np.flatnonzero(splits == "train"), has_val_beside_test(pack)
    both = np.flatnonzero(np.isin(splits, ["train", "val"])) if beside else first
    if spec.images_per_class:
        first = both = _few(pack, first, labels, spec)
    train, test = (Selection(rows, labels[rows], names)
                   for rows in (both, np.flatnonzero(splits == scored_split(pack))))
    check_classes(train.labels, names)
    if not (test.labels > 0).any():
        raise ItlError(f"{spec.target} has no test image with an object that is scored; annotate some")
    held = np.flatnonzero(~np.isin(both, first)) if len(both) > len(first) else None
    return Target(pack, train, test, held)


def _labels(pack: Pack, names: tuple[str, ...]) -> np.ndarray:
    """What each image shows, int64 (N, C): 1 there, 0 not there, -1 only difficult, so not scored."""
    labels = np.zeros((len(pack), len(names)), np.int64)
    rows, classes = pack.objects["row"].to_numpy(), np.searchsorted(names, pack.objects["name"].to_numpy(str))
    difficult = pack.objects["difficult"].to_numpy(bool)
    labels[rows[difficult], classes[difficult]] = -1
    labels[rows[~difficult], classes[~difficult]] = 1
    return labels


def _few(pack: Pack, rows: np.ndarray, labels: np.ndarray, spec: Transfer) -> np.ndarray:
    """The rows, ascending, of the first images of each class."""
    row_of = dict(zip(pack.table["image"].to_numpy(object)[rows], rows, strict=True))
    order = np.array([row_of[image] for image in ranked(row_of, spec.seed)])
    there = labels[order] > 0
    if there.sum(0).min() < spec.images_per_class:
        raise ItlError(f"{spec.images_per_class} images per class were asked for; {spec.target} has at least "
                       f"one class with {there.sum(0).min()}; ask for at most that")
    return np.sort(order[((there.cumsum(0) <= spec.images_per_class) & there).any(1)])


def scored_split(pack: Pack) -> str:
    """Name the split that results are measured on."""
    return "test" if "test" in pack.summary["splits"] else "val"


def has_val_beside_test(pack: Pack) -> bool:
    """Say whether settings can be chosen on a split of their own."""
    return {"val", "test"} <= pack.summary["splits"].keys()


def check_classes(labels: np.ndarray, classes: Sequence[str]) -> None:
    """Raise ItlError unless every one of *classes* has an image among *labels*."""
    counts = (labels > 0).sum(0) if labels.ndim == 2 else np.bincount(labels, minlength=len(classes))
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        names = ", ".join(classes[label] for label in empty[:3]) + ", ..." * (len(empty) > 3)
        raise ItlError(f"{len(empty)} of {len(classes)} classes have no training image ({names}); "
                       "add images or leave these classes out")


def hold_out(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide the rows of *labels*: to fit on, and a fifth of every class, at least one, to choose on.

    A class of one image is fitted on. Rows with several answers (N, C) count as of the rarest of theirs.
    Raises ItlError where no class has two.
    """
    groups = labels if labels.ndim == 1 else _rarest(labels)
    random = np.random.default_rng(seed)
    held = []
    for label in np.unique(groups):
        rows = random.permutation(np.flatnonzero(groups == label))
        held.append(rows[: max(1, round(HELD_OUT * len(rows))) if len(rows) > 1 else 0])
    held = np.sort(np.concatenate(held))
    if not len(held):
        raise ItlError("settings are chosen on images held out of the training split, but each of "
                       f"its {len(labels)} is the only one of its class; give two per class")
    return np.setdiff1d(np.arange(len(labels)), held), held


def _rarest(labels: np.ndarray) -> np.ndarray:
    """For each row of *labels* (N, C) the answer 1 that fewest rows have; C where it has none."""
    counts = np.append((labels > 0).sum(0), len(labels) + 1)
    wide = np.column_stack([labels > 0, np.ones(len(labels), bool)])
    return np.where(wide, counts, len(labels) + 2).argmin(1)
