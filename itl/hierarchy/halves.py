"""Groups of classes by an ancestor, their most even division in two, and a random order."""

import hashlib
from collections.abc import Iterable, Mapping

from itl.hierarchy.taxonomy import Taxonomy

GROUP_DEPTH = 4  # minimal halves share no ancestor at this depth or deeper


def minimal_groups(tree: Taxonomy, wnids: Iterable[str]) -> dict[str, list[str]]:
    """Group classes by their ancestor at depth 4, the largest group first.

    A class above that depth is a group of its own. Minimal halves keep groups whole.
    """
    groups: dict[str, list[str]] = {}
    for wnid in sorted(set(wnids)):
        path = tree.path(wnid)
        groups.setdefault(path[max(0, len(path) - 1 - GROUP_DEPTH)], []).append(wnid)
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))


def most_even_split(sizes: Mapping[str, int]) -> set[str]:
    """Choose names whose sizes have the smallest sum that is at least half of the total.

    The choice is exact, and always the same one of several equal choices.

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


def shuffle(wnids: Iterable[str], seed: int) -> list[str]:
    """Return *wnids* in a random order that depends on them and *seed* alone."""
    return sorted(wnids, key=lambda wnid: hashlib.sha256(f"{seed} {wnid}".encode()).digest())
