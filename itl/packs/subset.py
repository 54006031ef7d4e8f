"""Subsets of a pack: index views, nested for one seed, with a manifest and counts."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from itl.errors import ItlError, one_of
from itl.hierarchy.label_sets import label_set, needs_tree, split_method
from itl.hierarchy.taxonomy import Taxonomy
from itl.packs.duplicates import seen_images
from itl.packs.pack import Pack
from itl.specs import Subset
from itl.words import counted, examples, shortened

MAX_LABELS_SHOWN = 100  # characters of a label set's name in a message: a cut may name 500 nodes


@dataclass(frozen=True)
class Selection:
    """Some rows of a pack, with a label for each."""

    rows: np.ndarray  #: int64 (n,), sorted: row numbers of the pack
    labels: np.ndarray  #: int64 (n,), positions in *classes*; or (n, classes) of 1, 0 and -1: not known
    classes: tuple[str, ...]  #: in label order: sorted

    def at(self, indices: np.ndarray) -> "Selection":
        """Return the part of it at *indices*, ascending."""
        return Selection(self.rows[indices], self.labels[indices], self.classes)


def merge(one: Selection, other: Selection) -> Selection:
    """Return both selections as one; ItlError if their classes differ."""
    if one.classes != other.classes:
        raise ItlError(
            f"two splits can be merged only if they have the same classes; one has {len(one.classes)}, the "
            f"other {len(other.classes)}; give both images of every class"
        )
    rows = np.concatenate([one.rows, other.rows])
    order = rows.argsort()
    return Selection(rows[order], np.concatenate([one.labels, other.labels])[order], one.classes)


def select(pack: Pack, subset: Subset, split: str = "train", tree: Taxonomy | None = None) -> Selection:
    """Choose and label the images of *split* that *subset* keeps.

    ``images_per_class`` limits only the training split; other splits keep every image of the kept classes.
    With the same seed, a subset of fewer images or classes is always part of one with more. Labels are made
    from *tree*, by default the snapshot.

    Raises:
        ItlError: For a subset of another pack or taxonomy, more classes or images than there are, an unknown
            split, an empty result, or a class whose training images are all left out as duplicates.
    """
    if not isinstance(subset, Subset):
        raise ItlError(f"subset is a Subset, such as Subset(pack.digest, {subset!r}); got {subset!r}")
    if subset.pack not in ("", digest := pack.summary.get("digest", subset.pack)):
        raise ItlError(
            f"the subset is of pack {subset.pack}, and {pack.folder} is {digest}; for the same choice "
            f"there, give dataclasses.replace(subset, pack={digest!r})"
        )
    splits = pack.table["split"].to_numpy(str)
    one_of(pack.summary["splits"], split, f"split of the pack {pack.folder}")
    tree = tree or Taxonomy.snapshot()
    if needs_tree(subset.labels) and tree.digest != subset.tree:
        raise ItlError(
            f"{subset.labels} is of taxonomy {subset.tree or 'of WordNet, as it comes with itl'}; got "
            f"{tree.digest or 'that one'}; give the taxonomy that the subset was made on"
        )
    wnids = pack.table["wnid"].to_numpy(object)
    reference = "train" if "train" in pack.summary["splits"] else split
    label_names = label_set(tree, subset.labels, sorted(set(wnids[splits == reference])))
    classes = keep_classes(list(label_names.classes), subset)
    names = pack.table["wnid"].map(dict(keep_leaves(label_names.class_of, subset)))
    labels = pd.Index(classes).get_indexer(names)  # -1: left out
    rows = np.flatnonzero((splits == split) & (labels >= 0))
    if split == "train" and subset.without:
        images = pack.table["image"].iloc[rows]
        rows = rows[~images.isin(seen_images(pack, subset.without)).to_numpy()]
        counts = np.bincount(labels[rows], minlength=len(classes)).tolist()
        refuse_emptied(dict(zip(classes, counts, strict=True)))
    if split == "train" and subset.images_per_class is not None:
        rows = _limit_images(pack, rows, labels, classes, subset)
    if not len(rows):
        count, name = (splits == split).sum(), shortened(subset.labels, MAX_LABELS_SHOWN)
        raise ItlError(
            f"{name} keeps none of the {count:,} {split} images of {pack.folder}; its classes are such as "
            f"{wnids[0]}; choose other labels"
        )
    return Selection(rows, labels[rows], tuple(classes))


def manifest(pack: Pack, selection: Selection) -> pd.DataFrame:
    """List *selection* as a table with the columns image, wnid and label (the class it is trained as)."""
    table = pack.table.iloc[selection.rows][["image", "wnid"]].reset_index(drop=True)
    return table.assign(label=np.array(selection.classes, object)[selection.labels])


def ranked(names: Iterable[str], seed: int) -> list[str]:
    """Shuffle *names* by a hash of *seed* and name: the order of any two never depends on the others.

    >>> [name for name in ranked(["a", "b", "c"], seed=0) if name != "c"] == ranked(["a", "b"], seed=0)
    True
    """
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def keep_classes(names: list[str], subset: Subset) -> list[str]:
    """Return as many of *names* as *subset* keeps, chosen by its seed; ItlError if there are fewer."""
    if subset.classes is None:
        return names
    if subset.classes > len(names):
        labels = shortened(subset.labels, MAX_LABELS_SHOWN)
        raise ItlError(
            f"{subset.classes} classes were asked for; with labels {labels} the pack has {len(names)}; ask "
            f"for {len(names)} at most"
        )
    return sorted(ranked(names, subset.seed)[: subset.classes])


def keep_leaves(class_of: Mapping[str, str], subset: Subset) -> Mapping[str, str]:
    """Keep as many of the pack's classes inside each class as *subset* does, chosen by its seed.

    >>> class_of = {"husky": "dog", "poodle": "dog", "trout": "fish"}
    >>> sorted(keep_leaves(class_of, Subset("", leaves=1)).values())
    ['dog', 'fish']
    """
    if subset.leaves is None:
        return class_of
    classes = pd.Series({wnid: class_of[wnid] for wnid in ranked(class_of, subset.seed)}, dtype=object)
    return classes.groupby(classes).head(subset.leaves).to_dict()


def check_enough(counts: Sequence[int], classes: Sequence[str], images_per_class: int) -> None:
    """Raise ItlError unless each of *classes*, with *counts* training images, has *images_per_class*."""
    fewest = min(counts)
    if fewest < images_per_class:
        short = sum(count < images_per_class for count in counts)
        fewer = ", or leave out the classes that have fewer" if short < len(classes) else ""
        raise ItlError(
            f"{counted(images_per_class, 'images')} per class were asked for; class "
            f"{classes[counts.index(fewest)]} has {fewest:,} in train ({short} of {len(classes)} classes "
            f"have too few); ask for at most {fewest:,}{fewer}"
        )


def refuse_emptied(counts: Mapping[str, int]) -> None:
    """Raise ItlError for classes that have no training image, by their *counts* without duplicates."""
    if emptied := [name for name, count in counts.items() if not count]:
        raise ItlError(
            f"leave_out_duplicates leaves out all training images of {examples(emptied)} "
            f"({len(emptied)} of {counted(len(counts), 'classes')}), as each is among the images that a "
            f"target is scored on; set it to false, or keep only classes that have other images"
        )


def _limit_images(
    pack: Pack, rows: np.ndarray, labels: np.ndarray, classes: list[str], subset: Subset
) -> np.ndarray:
    """Keep the images of each class that rank first; *labels* are of all rows of the pack."""
    limit = subset.images_per_class or 0
    if not subset.at_most:
        check_enough(np.bincount(labels[rows], minlength=len(classes)).tolist(), classes, limit)
    row_of = dict(zip(pack.table["image"].iloc[rows], rows, strict=True))
    ordered = pd.Series([row_of[image] for image in ranked(row_of, subset.seed)], dtype=np.int64)
    return np.sort(ordered.groupby(labels[ordered]).head(limit).to_numpy())


@dataclass(frozen=True)
class SubsetCounts:
    """What a subset keeps."""

    images: dict[str, int]  #: of each class that is kept, in label order
    wnids: dict[str, list[str]]  #: the pack's classes that each of them is made of
    offered: int  #: classes before some are chosen by seed
    left_out: dict[str, int]  #: the pack's classes that are not kept, by what leaves them out

    @property
    def leaves(self) -> dict[str, int]:
        """How many of the pack's classes each kept class is made of."""
        return {name: len(wnids) for name, wnids in self.wnids.items()}


def count_subset(tree: Taxonomy, images: Mapping[str, int], subset: Subset) -> SubsetCounts:
    """Count what *subset* keeps.

    *images* are the training images of each class; all 0 without a pack: then only classes are counted.

    Raises:
        ItlError: As `select` does: for labels that do not fit, and more classes or images than there are.
    """
    labels = label_set(tree, subset.labels, sorted(images))
    classes = keep_classes(labels.classes, subset)
    wnids: dict[str, list[str]] = {name: [] for name in classes}
    for wnid, name in keep_leaves(labels.class_of, subset).items():
        if name in wnids:
            wnids[name].append(wnid)
    counts = {name: sum(images[wnid] for wnid in of_class) for name, of_class in wnids.items()}
    if subset.images_per_class is not None and any(images.values()):
        if not subset.at_most:
            check_enough(list(counts.values()), classes, subset.images_per_class)
        counts = {name: min(count, subset.images_per_class) for name, count in counts.items()}
    left_out = _left_out(tree, sorted(images), subset)
    if not_chosen := sum(name not in counts for name in labels.class_of.values()):
        reason = f"{counted(len(labels.classes) - len(classes), 'classes')} not picked by seed {subset.seed}"
        left_out[reason] = not_chosen
    return SubsetCounts(counts, wnids, len(labels.classes), left_out)


def class_contents(
    tree: Taxonomy, images: Mapping[str, int], subset: Subset
) -> frozenset[tuple[frozenset[str], int]]:
    """Return, for each class that *subset* keeps, the pack's classes in it and its number of images.

    Subsets of one seed whose contents are equal are the same images under the same labels, whatever these are
    called.
    """
    kept = count_subset(tree, images, subset)
    return frozenset((frozenset(kept.wnids[name]), count) for name, count in kept.images.items())


def _left_out(tree: Taxonomy, wnids: list[str], subset: Subset) -> dict[str, int]:
    """Count the classes that each part of the labels leaves out, filters first; each class counts once."""
    counts, remaining = {}, set(wnids)
    for part in sorted(split_method(subset.labels), key=lambda part: part.startswith("cut@")):
        kept = label_set(tree, part, wnids).class_of.keys()
        if dropped := remaining - kept:
            counts[_part_text(tree, part)] = len(dropped)
        remaining &= kept
    return counts


def _part_text(tree: Taxonomy, part: str) -> str:
    """Return a part of a label set in words: without@n02084071 is 'without dog'."""
    name, _, argument = part.partition("@")
    if name == "cut":
        return "under no class of the cut"
    if name == "without-pascal":
        return "without pascal"
    if name not in ("only", "without"):
        return part
    names = [tree.class_name(wnid) for wnid in argument.split(",")]
    return f"{name} {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
