"""Subsets of a pack: index views, nested for one seed, each with a manifest; and what one keeps, counted."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from itl import ItlError, pick
from itl.hierarchy.label_sets import in_order, label_set
from itl.hierarchy.taxonomy import Taxonomy
from itl.packs.pack import Pack
from itl.specs import Subset


@dataclass(frozen=True)
class Selection:
    """Which rows of a pack, and what each is labelled."""

    rows: np.ndarray                        # int64 (n,), sorted: row numbers of the pack
    labels: np.ndarray                      # int64 (n,), in 0 .. len(classes) - 1
    classes: tuple[str, ...]                # in label order: sorted


    def at(self, places: np.ndarray) -> "Selection":
        """The part of it at *places*, ascending."""
        return Selection(self.rows[places], self.labels[places], self.classes)


def joined(one: Selection, other: Selection) -> Selection:
    """Both selections as one; ItlError where their classes differ."""
    if one.classes != other.classes:
        raise ItlError(f"two splits to be joined must have the same classes; one has {len(one.classes)}, the "
                       f"other {len(other.classes)}; give both images of every class")
    rows = np.concatenate([one.rows, other.rows])
    order = rows.argsort()
    return Selection(rows[order], np.concatenate([one.labels, other.labels])[order], one.classes)


def select(pack: Pack, subset: Subset, split: str = "train") -> Selection:
    """Choose the images of *split* that *subset* asks for, and label them.

    Only the training split is thinned out by ``images_per_class``; the others keep every image of the classes
    kept. With one seed, fewer images or classes are always among the more.
    Raises ItlError for more classes or images than there are, an unknown split, or nothing left.
    """
    splits = pack.table["split"].to_numpy(str)
    pick(dict.fromkeys(pack.summary["splits"]), split, f"split of the pack {pack.folder}")
    wnids = pack.table["wnid"].to_numpy(object)
    known = "train" if "train" in pack.summary["splits"] else split
    labels = label_set(Taxonomy.snapshot(), subset.labels, sorted(set(wnids[splits == known])))
    classes = kept_classes(list(labels.classes), subset)
    number = {name: place for place, name in enumerate(classes)}
    label_of = {wnid: number.get(name, -1) for wnid, name in labels.class_of.items()}
    found = np.array([label_of.get(wnid, -1) for wnid in wnids], np.int64)
    rows = np.flatnonzero((splits == split) & (found >= 0))
    if split == "train" and subset.images_per_class is not None:
        rows = _thinned(pack, rows, found, classes, subset)
    if not len(rows):
        raise ItlError(f"{subset.labels} keeps none of the {(splits == split).sum():,} {split} images of "
                       f"{pack.folder}; its classes are such as {wnids[0]}; choose other labels")
    return Selection(rows, found[rows], tuple(classes))


def manifest(pack: Pack, selection: Selection) -> pd.DataFrame:
    """List *selection* for people and programs: image, wnid and label, the class that it is trained as."""
    chosen = pack.table.iloc[selection.rows][["image", "wnid"]].reset_index(drop=True)
    return chosen.assign(label=np.array(selection.classes, object)[selection.labels])


def ranked(names: Iterable[str], seed: int) -> list[str]:
    """Shuffle *names* by a hash of *seed* and name: the place of one against another never changes.

    >>> [name for name in ranked(["a", "b", "c"], seed=0) if name != "c"] == ranked(["a", "b"], seed=0)
    True
    """
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def kept_classes(names: list[str], subset: Subset) -> list[str]:
    """Pick as many of *names* as *subset* asks for, by its seed; ItlError where there are not so many."""
    if subset.classes is None:
        return names
    if not 1 <= subset.classes <= len(names):
        raise ItlError(f"{subset.classes} classes were asked for; with labels {subset.labels} the pack has "
                       f"{len(names)}; ask for 1 to {len(names)}")
    return sorted(ranked(names, subset.seed)[:subset.classes])


def check_enough(counts: Sequence[int], classes: Sequence[str], wanted: int) -> None:
    """Raise ItlError unless *wanted* images can be had of each of *classes*, which have *counts* in train."""
    if wanted < 1:
        raise ItlError(f"{wanted} images per class were asked for; ask for 1 or more")
    fewest = min(counts)
    if fewest < wanted:
        short = sum(count < wanted for count in counts)
        raise ItlError(
            f"{wanted:,} images per class were asked for; class {classes[counts.index(fewest)]} has "
            f"{fewest:,} in train ({short} of {len(classes)} classes have too few); ask for at most "
            f"{fewest:,}, or for fewer classes"
        )


def _thinned(
    pack: Pack, rows: np.ndarray, found: np.ndarray, classes: list[str], subset: Subset,
) -> np.ndarray:
    """Keep the images of each class that rank first."""
    check_enough(np.bincount(found[rows], minlength=len(classes)).tolist(), classes, subset.images_per_class)
    images = pack.table["image"].to_numpy(object)
    row_of = {images[row]: row for row in rows}
    kept, taken = [], np.zeros(len(classes), np.int64)
    for image in ranked(row_of, subset.seed):
        label = found[row_of[image]]
        if taken[label] < subset.images_per_class:
            taken[label] += 1
            kept.append(row_of[image])
    return np.sort(np.array(kept, np.int64))


@dataclass(frozen=True)
class Kept:
    """What a subset keeps."""

    images: dict[str, int]                  # of each class that is kept, in label order
    leaves: dict[str, int]                  # how many of the pack's classes each of them holds
    offered: int                            # classes before some are picked by seed
    left_out: dict[str, int]                # the pack's classes that are not kept, by what leaves them out


def keep(tree: Taxonomy, images: Mapping[str, int], subset: Subset) -> Kept:
    """Count what *subset* keeps where each class has as many training images as *images* says.

    Where no class has any, as without a pack, only classes are counted. Raises what `itl.packs.subset.select`
    would: ItlError for labels that do not fit, and for more classes or images than there are.
    """
    wnids = sorted(images)
    labels = label_set(tree, subset.labels, wnids)
    picked = kept_classes(labels.classes, subset)
    found, leaves = dict.fromkeys(picked, 0), dict.fromkeys(picked, 0)
    for wnid, name in labels.class_of.items():
        if name in found:
            found[name] += images[wnid]
            leaves[name] += 1
    if subset.images_per_class is not None and any(images.values()):
        check_enough(list(found.values()), picked, subset.images_per_class)
        found = dict.fromkeys(picked, subset.images_per_class)
    left_out = _left_out(tree, wnids, subset)
    if lost := sum(name not in found for name in labels.class_of.values()):
        left_out[f"{len(labels.classes) - len(picked)} classes not picked by seed {subset.seed}"] = lost
    return Kept(found, leaves, len(labels.classes), left_out)


def _left_out(tree: Taxonomy, wnids: list[str], subset: Subset) -> dict[str, int]:
    """Count the classes that each part of the labels leaves out, filters first; each counts once."""
    told, here = {}, set(wnids)
    for part in sorted(in_order(subset.labels), key=lambda part: part.startswith("cut@")):
        stay = label_set(tree, part, wnids).class_of.keys()
        if gone := here - stay:
            told[_named(tree, part)] = len(gone)
        here &= stay
    return told


def _named(tree: Taxonomy, part: str) -> str:
    """Write a part of a label set for people: without@n02084071 is 'without dog'."""
    name, _, argument = part.partition("@")
    if name == "cut":
        return "under no class of the cut"
    if name not in ("only", "without"):
        return part.replace("-", " ") if name == "without-pascal" else part
    names = [tree.class_name(wnid) for wnid in argument.split(",")]
    return f"{name} {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
