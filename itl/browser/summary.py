"""What a choice amounts to, in words, for the page and for the static picture."""

from collections.abc import Mapping

from itl.hierarchy.taxonomy import Taxonomy
from itl.packs.subset import SubsetCounts


def facts(
    tree: Taxonomy, images: Mapping[str, int], kept: SubsetCounts, counted: bool
) -> list[tuple[str, str]]:
    """List names and values: classes, images or leaves, smallest and largest class, and what is left out.

    *images* are those of each class of the pack, *kept* what the choice keeps of them, *counted* says whether
    there is a pack; without one, leaves are counted.
    """
    sizes, unit = (kept.images, "images") if counted else (kept.leaves, "leaves")
    count = f"{len(sizes):,}"
    rows = [("classes", count if len(sizes) == kept.offered else f"{count} of {kept.offered:,}")]
    rows.append((unit, f"{sum(sizes.values()):,}"))
    smallest, largest = min(sizes.values()), max(sizes.values())
    if smallest < largest:
        rows.append(("smallest", _classes_with(tree, sizes, smallest)))
        rows.append(("largest", _classes_with(tree, sizes, largest)))
    elif counted:
        rows.append(("of each class", f"{largest:,}"))
    if kept.left_out:
        total = sum(kept.left_out.values())
        reasons = ", ".join(f"{reason} ({number:,})" for reason, number in kept.left_out.items())
        rows.append(("left out", f"{total:,} of {len(images):,} classes: {reasons}"))
    if outside := sum(wnid not in tree for wnid in images):
        rows.append(("not in the tree", f"{outside:,} of the pack's classes; only original keeps them"))
    return rows


def _classes_with(tree: Taxonomy, sizes: Mapping[str, int], size: int) -> str:
    """Name one class of that size, and how many more there are."""
    wnids = [wnid for wnid in sizes if sizes[wnid] == size]
    name = tree.class_name(wnids[0]) if wnids[0] in tree else wnids[0]
    return f"{size:,}: {name}" + (f" and {len(wnids) - 1:,} more" if len(wnids) > 1 else "")
