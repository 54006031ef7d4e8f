"""A census: what a subset keeps of a pack, or of the tree alone, counted without touching an image."""

from collections.abc import Mapping
from dataclasses import dataclass

from itl.config import Subset
from itl.data.subset import check_enough, kept_classes
from itl.labels import in_order, label_set
from itl.wordnet import Taxonomy


@dataclass(frozen=True)
class Kept:
    """What a subset keeps."""

    images: dict[str, int]                  # of each class that is kept, in label order
    leaves: dict[str, int]                  # how many of the pack's classes each of them holds
    offered: int                            # classes before some are picked by seed
    left_out: dict[str, int]                # the pack's classes that are not kept, by what leaves them out


def keep(tree: Taxonomy, images: Mapping[str, int], subset: Subset) -> Kept:
    """Count what *subset* keeps where each class has as many training images as *images* says.

    Where no class has any, as without a pack, only classes are counted. Raises what `itl.data.subset.select`
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
