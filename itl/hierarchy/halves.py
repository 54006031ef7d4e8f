"""Groups of classes: by an ancestor at depth four, their most even division in two, or an order by chance."""

import hashlib
from collections.abc import Iterable, Mapping

from itl.hierarchy.taxonomy import Taxonomy

GROUP_DEPTH = 4             # minimal halves share no ancestor at this depth or deeper


def minimal_groups(tree: Taxonomy, wnids: Iterable[str]) -> dict[str, list[str]]:
    """Group classes by their ancestor at depth 4, the largest group first.

    Classes above that depth are each a group of their own. Minimal halves keep groups whole.
    """
    paths = [tree.path(wnid) for wnid in sorted(set(wnids))]
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(path[max(0, len(path) - 1 - GROUP_DEPTH)], []).append(path[0])
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))


def nearest_half(sizes: Mapping[str, int]) -> set[str]:
    """Choose names whose sizes add up to the least sum of at least half; of equal choices always the same.

    Exact: bit s of ``reachable[i]`` says whether some of the first i sizes add up to s.
    """
    reachable = [1]
    for size in sizes.values():
        reachable.append(reachable[-1] | reachable[-1] << size)
    half = (sum(sizes.values()) + 1) // 2
    above = reachable[-1] >> half
    left = half + (above & -above).bit_length() - 1
    chosen = set()
    for before, (name, size) in reversed(list(zip(reachable, sizes.items(), strict=False))):
        if not before >> left & 1:                      # without this one the sum is out of reach
            chosen.add(name)
            left -= size
    return chosen


def shuffled(wnids: Iterable[str], seed: int) -> list[str]:
    """Put *wnids* in an order by chance, which depends on them and *seed* alone."""
    return sorted(wnids, key=lambda wnid: hashlib.sha256(f"{seed} {wnid}".encode()).digest())
