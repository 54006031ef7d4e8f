"""A choice on the tree, made by clicking; every choice is written as exactly one Subset.

page/choice.js has the same operations; a test runs both side by side.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from typing import Any

from itl.errors import ItlError, one_of
from itl.hierarchy.label_sets import cut, label_set, needs_tree, split_method
from itl.hierarchy.taxonomy import Taxonomy
from itl.specs import Subset

OWN_CUT = "cut"
BASES = ("original", "bottom-up", "top-down")
HALVES = ("half-random-a", "half-random-b", "half-minimal-a", "half-minimal-b")
SHOWN = (*BASES, OWN_CUT, "without-pascal", *HALVES, "only", "without")  # label methods


@dataclass(frozen=True)
class Choice:
    """How the tree is cut into classes, what is left out of it, and how many images stay.

    Methods that take *wnids* want the classes that are labelled: a pack's, or the tree's leaves.
    """

    base: str = "original"  # original, bottom-up@L, top-down@R, or cut, which is at `nodes`
    nodes: frozenset[str] = frozenset()  # of the user's own cut
    pascal: bool = True  # False: without-pascal
    half: str = ""  # one of HALVES, with its @SEED; '' keeps both
    unticked: frozenset[str] = frozenset()  # leaves of the tree
    classes: int | None = None
    images_per_class: int | None = None
    seed: int = 0

    @classmethod
    def read(cls, tree: Taxonomy, subset: Subset) -> "Choice":
        """Return the choice whose `subset` is *subset*; ItlError for one that no choice on *tree* is.

        >>> tree, dogs = Taxonomy.snapshot(), "n02084071"
        >>> len(Choice.read(tree, Subset("", f"bottom-up@9+without@{dogs}")).unticked)
        118
        """
        _refuse_unshown(tree, subset)
        choice = cls(classes=subset.classes, images_per_class=subset.images_per_class, seed=subset.seed)
        for part in split_method(subset.labels):
            name, _, argument = part.partition("@")
            if name == OWN_CUT:
                choice = replace(choice, base=OWN_CUT, nodes=frozenset(argument.split(",")))
            elif name == "without-pascal":
                choice = replace(choice, pascal=False)
            elif name in HALVES:
                choice = replace(choice, half=part)
            elif name in ("only", "without"):
                removed = set(tree.leaves) - label_set(tree, part, tree.leaves).class_of.keys()
                choice = replace(choice, unticked=choice.unticked | removed)
            else:
                choice = replace(choice, base=part)
        return choice

    def toggle(self, tree: Taxonomy, wnid: str) -> "Choice":
        """Untick all leaves under *wnid*, by any path, if all are ticked; tick them all if any is not."""
        leaves = frozenset(tree.leaves_under(wnid))
        all_ticked = self.unticked.isdisjoint(leaves)
        return replace(self, unticked=self.unticked | leaves if all_ticked else self.unticked - leaves)

    def labels(self, tree: Taxonomy, wnids: Sequence[str]) -> str:
        """Write the choice as a method of `itl labels`; equal choices are written alike.

        >>> tree = Taxonomy.snapshot()
        >>> Choice("bottom-up@9").toggle(tree, "n02084071").labels(tree, tree.leaves)
        'bottom-up@9+without@n02084071'
        """
        parts = [self._cut(tree, wnids) if self.base == OWN_CUT else self.base]
        if not self.pascal:
            parts.append("without-pascal")
        if self.half:
            parts.append(self.half)
        parts += label_expression(tree, self.unticked)
        return "+".join(part for part in parts if part != "original" or len(parts) == 1)

    def _cut(self, tree: Taxonomy, wnids: Sequence[str]) -> str:
        """Name the cut by those of its nodes that become the class of some of *wnids*."""
        ancestors = set().union(*(tree.path(wnid) for wnid in wnids if wnid in tree))
        if not (nodes := sorted(self.nodes & ancestors)):
            raise ItlError(f"the cut is at {len(self.nodes)} nodes, none above a class; choose one that is")
        used = cut(tree, [wnid for wnid in wnids if wnid in tree], nodes)
        return f"{OWN_CUT}@{_joined(used.classes)}"

    def subset(self, tree: Taxonomy, wnids: Sequence[str], pack: str) -> Subset:
        """Return the Subset of the pack with digest *pack* that is chosen."""
        labels = self.labels(tree, wnids)
        digest = tree.digest if needs_tree(labels) else ""
        return Subset(pack, labels, self.classes, self.images_per_class, self.seed, digest)

    def to_dict(self) -> dict[str, object]:
        """Return the choice as plain values, sorted, as the browser's page holds it."""
        return asdict(self) | {"nodes": sorted(self.nodes), "unticked": sorted(self.unticked)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Choice":
        """Return the choice that `to_dict` wrote; ItlError for a setting that choices do not have."""
        for name in values:
            one_of(cls.__dataclass_fields__, name, "setting of a choice")
        sets = {name: frozenset(values[name]) for name in ("nodes", "unticked") if name in values}
        return cls(**{**values, **sets})


def _refuse_unshown(tree: Taxonomy, subset: Subset) -> None:
    """Raise ItlError for a part of *subset* that choices do not have, and for one of another tree."""
    unshown = [part for part in split_method(subset.labels) if part.partition("@")[0] not in SHOWN]
    unshown += [name for name in ("leaves", "at_most", "without") if getattr(subset, name)]
    if unshown:
        raise ItlError(
            f"a browser does not show {unshown[0]} of a subset, only labels by {', '.join(SHOWN)}, and "
            f"classes, images_per_class and seed; leave it out, or give the subset to questions.data_size"
        )
    if subset.tree and subset.tree != tree.digest:
        raise ItlError(
            f"the subset is of taxonomy {subset.tree}, and the browser shows "
            f"{tree.digest or 'the snapshot'}; give HierarchyBrowser the taxonomy that the subset was made on"
        )


def label_expression(tree: Taxonomy, unticked: Iterable[str]) -> list[str]:
    """Write which leaves are ticked with few wnids: [], or one or both of only@… and without@….

    Label sets cannot express that a class is left out which lies below one that is ticked and above another,
    as may be in ImageNet-21k. ItlError then, and if no leaf is ticked.

    >>> tree = Taxonomy.snapshot()
    >>> label_expression(tree, tree.leaves_under("n02084071"))
    ['without@n02084071']
    """
    every = frozenset(tree.leaves)
    removed = frozenset(unticked)
    kept = every - removed
    if not kept:
        raise ItlError("no class is ticked; tick some")
    leaves = {wnid: frozenset(tree.leaves_under(wnid)) for wnid in tree}
    only, without = set(), minimal_cover(tree, leaves, removed)
    if len(without) > 1:  # nothing is shorter than one wnid
        ticked = fewest_ticks(tree, kept)
        exceptions = minimal_cover(tree, leaves, _union(leaves, ticked) - kept)
        if len(ticked) + len(exceptions) < len(without):
            only, without = ticked, exceptions
    if (_union(leaves, only) if only else every) - _union(leaves, without) != kept:
        only, without = _around_inner(tree, leaves, kept)
        if unlike := kept ^ (_union(leaves, only) - _union(leaves, without)):
            wnid = min(unlike)
            raise ItlError(
                f"{wnid} ({tree[wnid].name}) is ticked unlike a class above or below it, which label "
                f"sets cannot express; tick both or neither"
            )
    parts = (("only", only), ("without", without))
    return [f"{name}@{_joined(nodes)}" for name, nodes in parts if nodes]


def _around_inner(
    tree: Taxonomy, leaves: Mapping[str, frozenset[str]], kept: frozenset[str]
) -> tuple[set[str], set[str]]:
    """Choose nodes to tick that have no class which is left out though others below it are *kept*.

    Returns these and what is to be left out again under them.
    """
    inner = {wnid for wnid in set(tree.leaves) - kept if leaves[wnid] & kept}
    only = {node for node in minimal_cover(tree, leaves, set(tree.leaves) - inner) if leaves[node] & kept}
    return only, minimal_cover(tree, leaves, _union(leaves, only) - kept)


def _joined(nodes: Iterable[str]) -> str:
    """Return *nodes* as label sets name them; ItlError for one whose name would be divided there."""
    if divided := [node for node in sorted(nodes) if "," in node or "+" in node]:
        raise ItlError(
            f"label sets cannot name {divided[0]!r}, as , and + end names there; call it otherwise"
        )
    return ",".join(sorted(nodes))


def _union(leaves: Mapping[str, frozenset[str]], nodes: Iterable[str]) -> frozenset[str]:
    """Return the leaves under *nodes*."""
    return frozenset().union(*(leaves[node] for node in nodes))


def minimal_cover(tree: Taxonomy, leaves: Mapping[str, frozenset[str]], wanted: Set[str]) -> set[str]:
    """Choose few nodes that have all of *wanted* and no other *leaves* below them, the widest first.

    Of nodes with the same leaves it takes the deepest, which people would name.
    """
    candidates = [wnid for wnid in tree if leaves[wnid] and leaves[wnid] <= wanted]
    chosen: list[str] = []
    times_covered = Counter[str]()
    for wnid in sorted(candidates, key=lambda wnid: (-len(leaves[wnid]), -tree.depth(wnid), wnid)):
        if not all(times_covered[leaf] for leaf in leaves[wnid]):
            chosen.append(wnid)
            times_covered.update(leaves[wnid])
    needed = set(chosen)
    for wnid in reversed(chosen):  # leaves with several parents may be covered by other nodes together
        if all(times_covered[leaf] > 1 for leaf in leaves[wnid]):
            needed.remove(wnid)
            times_covered.subtract(leaves[wnid])
    return needed


def fewest_ticks(tree: Taxonomy, kept: frozenset[str]) -> set[str]:
    """Choose the nodes to tick, so that these and the nodes to leave out again under them are fewest.

    With the children c of a node v by parent paths, the fewest wnids that express what is kept under v are

        removals(v) = Σ removals(c)                         where v or a node above it is ticked,
        ticks(v)    = min(Σ ticks(c), 1 + removals(v))      where none is, the 1 being v itself,

    and removals(v) = 1, ticks(v) = 0 where no leaf under v is kept. A class that other classes lie under is
    removed or ticked with these, so removals(v) = ∞ where v is left out, and Σ ticks(c) = ∞ where it is kept.
    Leaves that lie under a ticked node by other paths are left out again by `label_expression`.
    """
    leaves = set(tree.leaves)
    with_leaves, with_kept = (set[str]().union(*map(tree.path, wnids)) for wnids in (leaves, kept))
    removals: dict[str, float] = {}
    ticks: dict[str, float] = {}
    ticked_below: dict[str, set[str]] = {}
    for wnid in sorted(tree, key=tree.depth, reverse=True):
        if wnid not in with_kept:
            removals[wnid], ticks[wnid], ticked_below[wnid] = int(wnid in with_leaves), 0, set()
            continue
        children = tree.children(wnid)
        removals[wnid] = sum(removals[child] for child in children)
        ticks[wnid] = sum(ticks[child] for child in children)
        if wnid in kept:
            ticks[wnid] = float("inf")
        elif wnid in leaves:
            removals[wnid] = float("inf")
        ticked_below[wnid] = set().union(*(ticked_below[child] for child in children))
        if 1 + removals[wnid] < ticks[wnid]:
            ticks[wnid], ticked_below[wnid] = 1 + removals[wnid], {wnid}
    roots = [wnid for wnid in tree if tree.parent(wnid) is None]
    ticked = set().union(*(ticked_below[root] for root in roots))
    return {wnid for wnid in ticked if len(tree.ancestors(wnid) & ticked) == 1}
