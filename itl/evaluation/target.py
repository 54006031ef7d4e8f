"""A target: the images to train on, those to choose settings by, and those to be scored on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from itl.errors import ItlError
from itl.hierarchy.taxonomy import Taxonomy
from itl.packs.pack import Pack, scored_split
from itl.packs.subset import Selection, check_enough, merge, ranked, select
from itl.sources.held_out import choose_groups
from itl.specs import Subset, Transfer
from itl.words import counted

CORRECT_FILE = "correct.npy"  # of a run of probe or knn: bool (N,), which test images it gets right
PERSON = r"#\d+$"  # at the end of the name of an image that shows one person of a photo
HELD_OUT_FRACTION = 0.2  # of each class's training images, to choose settings by where there is no val split


@dataclass(frozen=True)
class Target:
    """What a transfer is measured on: a pack, its training images and its test images.

    Labels are classes (N,), or (N, C) where an image has several: 1 yes, 0 no, -1 not scored.
    """

    pack: Pack
    train: Selection  # of the final fit: with val where there is a test split
    test: Selection
    val_rows: np.ndarray | None = None  # positions in train of the val images; None: a part is held out
    per_class: bool = False  # accuracy is the mean of the classes' accuracies, as in papers on the source
    groups: np.ndarray | None = None  # number, from 0, of each image of train's photo, patient or the like

    def __post_init__(self) -> None:
        """Refuse a target on which a score would mean nothing."""
        if self.train.classes != self.test.classes:
            names = sorted({*self.train.classes} ^ {*self.test.classes})
            which = f"; {len(names)} not in both, such as {', '.join(names[:3])}" if names else ""
            raise ItlError(f"a target's training and test classes must be the same, in one order{which}")
        shared = np.intersect1d(self.train.rows, self.test.rows).size
        if shared:
            raise ItlError(
                f"{shared:,} of {counted(len(self.test.rows), 'test images')} are among the training images; "
                "select the two from different splits"
            )
        if not len(self.test.rows):
            raise ItlError("the target has no test images; it needs at least one")
        if self.train.labels.ndim == 1:
            check_classes(self.train.labels, self.train.classes)

    def fit_and_val_rows(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Divide the positions in ``train``: to fit on, and to choose settings by (val, or by `hold_out`)."""
        if self.val_rows is None:
            return hold_out(self.train.labels, seed, self.groups)
        return np.setdiff1d(np.arange(len(self.train.rows)), self.val_rows), self.val_rows

    def validation_target(self, seed: int) -> "Target":
        """Return the target that settings are chosen on: its test images are training images of this one.

        ItlError if these have no object that is scored: then every setting is as good.
        """
        fit_rows, val_rows = self.fit_and_val_rows(seed)
        if self.train.labels.ndim == 2 and not (self.train.labels[val_rows] > 0).any():
            kind = "held-out training" if self.val_rows is None else "val"
            raise ItlError(
                f"lr cannot be chosen from lrs: {counted(len(val_rows), f'{kind} images have')} no object "
                f"that is scored; annotate some, or give one lr"
            )
        return Target(self.pack, self.train.at(fit_rows), self.train.at(val_rows), per_class=self.per_class)


def is_per_class(pack: Pack) -> bool:
    """Whether accuracy on *pack* is the mean of the classes' accuracies."""
    return pack.summary.get("metric") == "per_class"


def target_of(spec: Transfer, pack: Pack, tree: Taxonomy | None = None) -> Target:
    """Select the images of *pack* that *spec* asks for.

    Test images are those of the test split, or of val where there is no test split. With a test split the
    training images are train and val together, unless spec.images_per_class is given or the labels keep no
    image of val. Labels are made from *tree*, by default the snapshot. ItlError if the images have annotated
    objects but no class of their own.
    """
    subset = Subset(spec.pack, spec.labels, None, spec.images_per_class, spec.seed, spec.tree)
    train = select(pack, subset, "train", tree)
    test = select(pack, subset, scored_split(pack.summary["splits"]), tree)
    if train.classes == ("",):
        raise ItlError(
            f"the images of {spec.target} are of no one class, but have annotated objects; take "
            f"detection@{spec.target} or actions@{spec.target}, not {spec.method}"
        )
    per_class, table = is_per_class(pack), pack.table
    of_val = table.loc[table["split"] == "val", "wnid"]
    val_is_kept = of_val.isin(table["wnid"].iloc[train.rows]).any()
    if spec.images_per_class or not (has_val_beside_test(pack) and val_is_kept):
        return Target(pack, train, test, per_class=per_class, groups=_groups(pack, train.rows))
    both = merge(train, select(pack, subset, "val", tree))
    return Target(pack, both, test, np.flatnonzero(~np.isin(both.rows, train.rows)), per_class)


def _groups(pack: Pack, rows: np.ndarray) -> np.ndarray | None:
    """Number the groups of the images in *rows*, from 0; None if *pack* has none. One without is a group."""
    table = pack.table.iloc[rows]
    if "group" not in table:
        return None
    return table["image"].where(table["group"] == "", "\n" + table["group"]).factorize()[0]


def multilabel_target(spec: Transfer, pack: Pack) -> Target:
    """Select images, or persons, of *pack* by their annotated objects: each is of several classes or none.

    Splits are used as in `target_of`. With spec.images_per_class, the images of each class that rank first
    by a hash of the seed and their id are kept, with all their labels. ItlError if no test image has an
    object that is scored, or a class has no images to train on.
    """
    names = tuple(sorted(set(pack.objects["name"])))
    labels = _labels(pack, names)
    splits = pack.table["split"].to_numpy(str)
    train_rows = np.flatnonzero(splits == "train")
    test_rows = np.flatnonzero(splits == scored_split(pack.summary["splits"]))
    test = Selection(test_rows, labels[test_rows], names)
    if not (test.labels > 0).any():
        raise ItlError(f"{spec.target} has no test image with an object that is scored; annotate some")
    fit_rows, val_rows = train_rows, None
    if spec.images_per_class:
        check_enough((labels[train_rows] > 0).sum(0).tolist(), names, spec.images_per_class)
        fit_rows = _first_of_each_class(pack, train_rows, labels, spec)
    elif has_val_beside_test(pack):
        fit_rows = np.flatnonzero(np.isin(splits, ["train", "val"]))
        val_rows = np.flatnonzero(splits[fit_rows] == "val")
    train = Selection(fit_rows, labels[fit_rows], names)
    check_classes(train.labels, names)
    images = pack.table["image"].iloc[fit_rows]
    if spec.method == "actions":  # names of other images may end in a number too
        images = images.str.replace(PERSON, "", regex=True)
    return Target(pack, train, test, val_rows, groups=images.factorize()[0])


def _labels(pack: Pack, names: tuple[str, ...]) -> np.ndarray:
    """Return all images' labels, int64 (N, C): 1 present, 0 absent, -1 only difficult, so not scored."""
    labels = np.zeros((len(pack), len(names)), np.int64)
    rows, classes = pack.objects["row"].to_numpy(), np.searchsorted(names, pack.objects["name"].to_numpy(str))
    difficult = pack.objects["difficult"].to_numpy(bool)
    labels[rows[difficult], classes[difficult]] = -1
    labels[rows[~difficult], classes[~difficult]] = 1
    return labels


def _first_of_each_class(pack: Pack, rows: np.ndarray, labels: np.ndarray, spec: Transfer) -> np.ndarray:
    """Return the rows, ascending, of the spec.images_per_class images of each class that rank first."""
    row_of = dict(zip(pack.table["image"].to_numpy(object)[rows], rows, strict=True))
    order = np.array([row_of[image] for image in ranked(row_of, spec.seed)])
    present = labels[order] > 0
    return np.sort(order[((present.cumsum(0) <= spec.images_per_class) & present).any(1)])


def has_val_beside_test(pack: Pack) -> bool:
    """Whether settings can be chosen on a split of their own."""
    return {"val", "test"} <= pack.summary["splits"].keys()


def check_classes(labels: np.ndarray, classes: Sequence[str]) -> None:
    """Raise ItlError unless every one of *classes* has an image among *labels*."""
    counts = (labels > 0).sum(0) if labels.ndim == 2 else np.bincount(labels, minlength=len(classes))
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        names = ", ".join(classes[label] for label in empty[:3]) + ", ..." * (len(empty) > 3)
        raise ItlError(
            f"{len(empty)} of {len(classes)} classes have no training image ({names}); "
            "add images or leave these classes out"
        )


def hold_out(
    labels: np.ndarray, seed: int, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Divide the rows of *labels*: those to fit on, and a fifth of every class, at least one, held out.

    Both are sorted. A class of one image is fitted on. A row with several classes (N, C) counts as of its
    rarest. Rows of one number in *groups* (N,) stay together, but for those of one class (N,) of which no
    group fits. ItlError where no class has two images.
    """
    if groups is not None and labels.ndim == 2:
        of_groups = np.zeros((groups.max() + 1, labels.shape[1]), labels.dtype)
        np.maximum.at(of_groups, groups, labels)
        fitted, held = (np.isin(groups, part) for part in hold_out(of_groups, seed))
        return np.flatnonzero(fitted), np.flatnonzero(held)
    classes = labels if labels.ndim == 1 else _rarest(labels)
    is_held = np.zeros(len(labels), bool) if groups is None else _in_held_groups(classes, seed, groups)
    random = np.random.default_rng(seed)
    for label in np.unique(classes):
        rows = random.permutation(np.flatnonzero(classes == label))
        if not is_held[rows].any():
            is_held[rows[: max(1, round(HELD_OUT_FRACTION * len(rows))) if len(rows) > 1 else 0]] = True
    if not is_held.any():
        rarest = "rarest " if labels.ndim == 2 else ""
        raise ItlError(
            "settings are chosen on images held out of the training split, but each of "
            f"its {len(labels)} is the only one of its {rarest}class; give two per class"
        )
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


def _in_held_groups(labels: np.ndarray, seed: int, groups: np.ndarray) -> np.ndarray:
    """Say which rows are of *groups* that are held out, (N,) of bool, as `choose_groups` chooses them.

    Of a class of which it takes none, the smallest group that leaves every class an image to fit on.
    """
    order = np.random.default_rng(seed).permutation(groups.max() + 1)
    images: list[Counter[int]] = [Counter() for _ in order]
    for group, label in zip(groups.tolist(), labels.tolist(), strict=True):
        images[group][label] += 1
    chosen = choose_groups([images[group] for group in order], HELD_OUT_FRACTION)
    is_held = np.isin(groups, order[list(chosen)])
    left = Counter(labels[~is_held].tolist())
    for label in np.unique(labels[~is_held]):
        of_class = labels == label
        if is_held[of_class].any():
            continue
        for group in sorted(np.unique(groups[of_class]), key=lambda group: images[group].total()):
            if all(left[other] > count for other, count in images[group].items()):
                is_held |= groups == group
                left.subtract(images[group])
                break
    return is_held


def _rarest(labels: np.ndarray) -> np.ndarray:
    """Return for each row of *labels* (N, C) its class that fewest rows have; C for a row without a class."""
    counts = np.append((labels > 0).sum(0), len(labels) + 1)
    wide = np.column_stack([labels > 0, np.ones(len(labels), bool)])
    return np.where(wide, counts, len(labels) + 2).argmin(1)
