"""Groups of classes by an ancestor, their most even division in two, controls and a random order."""

import hashlib
from collections.abc import Iterable, Mapping

from itl.errors import ItlError
from itl.hierarchy.taxonomy import Taxonomy
from itl.iteration import grouped
from itl.words import counted

GROUP_DEPTH = 4  # minimal halves share no ancestor at this depth or deeper: they keep groups there whole
CONTROL_DEPTH = 9  # a control empties as many groups of classes under one node at this depth


def groups_at(tree: Taxonomy, wnids: Iterable[str], depth: int) -> dict[str, list[str]]:
    """Group classes by their ancestor at *depth*, or themselves where they lie above it, largest first."""
    paths = map(tree.path, sorted(set(wnids)))  # class first, root last
    groups = grouped((path[max(0, len(path) - 1 - depth)], path[0]) for path in paths)
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))


def control_groups(tree: Taxonomy, wnids: Iterable[str]) -> list[set[str]]:
    """Group classes as a control leaves them out: by their ancestor at depth 9.

    Another tree than the usual one may end above it: its depth is the deepest, up to 9, at which half of the
    classes or more have another in their group, and there are two groups or more. Where no depth makes such
    groups, each class is one.
    """
    wnids = set(wnids)
    for depth in range(CONTROL_DEPTH, 0, -1):
        groups = [set(group) for group in groups_at(tree, wnids, depth).values()]
        alone = sum(len(group) == 1 for group in groups)
        if not tree.digest or (2 * alone <= len(wnids) and len(groups) > 1):
            return groups
    return [{wnid} for wnid in sorted(wnids)]


def matched_control(tree: Taxonomy, wnids: Iterable[str], removed: set[str], seed: int) -> set[str]:
    """Choose whole subtrees of *wnids* to leave out that are like *removed*, but have none of these.

    For each of the `control_groups` that *removed* empties, the largest first, the other group nearest in
    size is left out, by *seed* among equals. The rest are subtrees of the groups that *removed* touches, then
    whole other groups, the largest that fit first. There are as many classes as in *removed*, or the few
    less, in a small tree the few more, that whole subtrees allow.
    """
    groups = control_groups(tree, wnids)
    untouched = {min(group): group for group in groups if not group & removed}
    touched = [group for group in groups if group & removed]
    order = shuffle(untouched, seed)
    control: set[str] = set()
    for size in (len(group) for group in touched if group <= removed):
        if order:
            nearest = min(order, key=lambda name: abs(len(untouched[name]) - size))
            order.remove(nearest)
            control |= untouched[nearest]
    parts = [part for group in touched for part in _subtrees(tree, group, removed)]
    others = sorted((untouched[name] for name in order), key=len, reverse=True)
    for subtree in [*sorted(parts, key=len, reverse=True), *others]:
        if len(control) + len(subtree) <= len(removed):
            control |= subtree
    return control


def _subtrees(tree: Taxonomy, group: set[str], removed: set[str]) -> list[set[str]]:
    """Divide the classes of *group* that are not *removed* into the largest subtrees of such classes."""
    above_removed = {node for wnid in group & removed for node in tree.path(wnid)}
    subtrees: dict[str, set[str]] = {}
    for wnid in sorted(group - removed):
        tops = [node for node in tree.path(wnid) if node not in above_removed]
        subtrees.setdefault(tops[-1] if tops else wnid, set()).add(wnid)
    return list(subtrees.values())


def most_even_split(sizes: Mapping[str, int]) -> set[str]:
    """Choose names whose sizes have the smallest sum that is at least half of the total, exactly.

    >>> sorted(most_even_split({"a": 5, "b": 3, "c": 2, "d": 1}))
    ['a', 'd']
    """
    last_name = {0: ""}  # sum -> the last name of the first choice that has this sum
    for name, size in sizes.items():
        for reached in list(last_name):
            last_name.setdefault(reached + size, name)
    half = (sum(sizes.values()) + 1) // 2
    remaining = min(reached for reached in last_name if reached >= half)
    chosen = set()
    while remaining:
        name = last_name[remaining]
        chosen.add(name)
        remaining -= sizes[name]
    return chosen


def minimal_halves(tree: Taxonomy, wnids: Iterable[str]) -> tuple[list[str], list[str]]:
    """Divide the classes, the larger part first, without a common ancestor at depth 4 or deeper.

    ItlError if all classes are in one group, or none lies as deep.
    """
    groups = groups_at(tree, wnids, GROUP_DEPTH)
    if (deepest := max(map(tree.depth, groups), default=0)) < GROUP_DEPTH:
        raise ItlError(
            f"minimal halves keep classes together that share a node at depth {GROUP_DEPTH}, and the deepest "
            f"of these {counted(len(groups), 'classes')} lies at depth {deepest}; take random halves"
        )
    if len(groups) < 2:
        raise ItlError(
            f"minimal halves need classes of two groups, but all are under {', '.join(groups)} "
            f"at depth {GROUP_DEPTH}; take random halves, or add classes of another kind"
        )
    larger = most_even_split({node: len(group) for node, group in groups.items()})
    sides: tuple[list[str], list[str]] = [], []
    for node, group in groups.items():
        sides[node not in larger].extend(group)
    return sides


def half_along_tree(tree: Taxonomy, wnids: Iterable[str], number: int) -> list[str]:
    """Return half *number* of an endless sequence of halves in which classes near in the tree go together.

    Each node has a random number, and each class the sum of those of all nodes that it is under, its own
    too; nodes with the same classes count once. Half 2 n has the classes of the highest sums, and half
    2 n + 1 all others. What a node of many classes does shows in fewer nets than with halves in which every
    class is drawn for itself, of which all have about as many classes of that node.

    ItlError for fewer than two classes.
    """
    wnids = sorted(set(wnids))
    if len(wnids) < 2:
        raise ItlError(f"two halves need at least two classes, not {len(wnids)}")
    sums = dict.fromkeys(wnids, 0)
    for classes in set(map(tuple, tree.group_by_ancestor(wnids).values())):
        digest = hashlib.sha256(f"{number // 2} {' '.join(classes)}".encode()).digest()
        drawn = int.from_bytes(digest[:4]) - 2**31  # whole numbers: the same on every machine
        for wnid in classes:
            sums[wnid] += drawn
    ordered = sorted(wnids, key=lambda wnid: (-sums[wnid], wnid))
    upper = set(ordered[: (len(ordered) + 1) // 2])
    return [wnid for wnid in wnids if (wnid in upper) == (number % 2 == 0)]


def shuffle(wnids: Iterable[str], seed: int) -> list[str]:
    """Return *wnids* in a random order that depends on them and *seed* alone."""
    return sorted(wnids, key=lambda wnid: hashlib.sha256(f"{seed} {wnid}".encode()).digest())
