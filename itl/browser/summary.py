"""What a choice comes to, in words, for the page and for the picture that stays."""

from collections.abc import Mapping

from itl.hierarchy.taxonomy import Taxonomy
from itl.packs.subset import SubsetCounts


def facts(
    tree: Taxonomy, images: Mapping[str, int], kept: SubsetCounts, counted: bool
) -> list[tuple[str, str]]:
    """List names and values: classes, images (or leaves, where none are counted), the ends, what is left out.

    *images* is what there is of each class of the pack, *kept* what stays.
    """
    sizes, what = (kept.images, "images") if counted else (kept.leaves, "leaves")
    count = f"{len(sizes):,}"
    told = [("classes", count if len(sizes) == kept.offered else f"{count} of {kept.offered:,}")]
    told.append((what, f"{sum(sizes.values()):,}"))
    least, most = min(sizes.values()), max(sizes.values())
    if least == most:
        told += [("of each class", f"{most:,}")] if counted else []
    else:
        told += [("smallest", _those_with(tree, sizes, least)), ("largest", _those_with(tree, sizes, most))]
    if kept.left_out:
        gone = sum(kept.left_out.values())
        reasons = ", ".join(f"{reason} ({number:,})" for reason, number in kept.left_out.items())
        told.append(("left out", f"{gone:,} of {len(images):,} classes: {reasons}"))
    if outside := sum(wnid not in tree for wnid in images):
        told.append(("not in the tree", f"{outside:,} of the pack's classes; only original keeps them"))
    return told


def _those_with(tree: Taxonomy, sizes: Mapping[str, int], size: int) -> str:
    """Name one class of that size, and how many more there are."""
    names = [name for name in sizes if sizes[name] == size]
    called = tree.class_name(names[0]) if names[0] in tree else names[0]
    return f"{size:,}: {called}" + (f" and {len(names) - 1:,} more" if len(names) > 1 else "")
