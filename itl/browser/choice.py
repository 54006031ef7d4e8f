"""A choice on the tree, as one makes it by clicking; each is written as exactly one Subset."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from itl import ItlError, pick
from itl.hierarchy.label_sets import cut, label_set, split_method
from itl.hierarchy.taxonomy import Taxonomy
from itl.specs import Subset

OWN_CUT = "cut"
HALVES = ("half-random-a", "half-random-b", "half-minimal-a", "half-minimal-b")


@dataclass(frozen=True)
class Choice:
    """How the tree is cut into classes, what is left out of it, and how many images stay.

    *wnids*, where a method takes them, are the classes that are labelled: a pack's, or the tree's leaves.
    """

    base: str = "original"                  # original, bottom-up@L, top-down@R, or cut, which is at `nodes`
    nodes: frozenset[str] = frozenset()     # where a cut of one's own is made
    pascal: bool = True                     # False: without-pascal
    half: str = ""                          # one of HALVES, with its @SEED; '' keeps both
    unticked: frozenset[str] = frozenset()  # leaves of the tree
    classes: int | None = None
    images_per_class: int | None = None
    seed: int = 0

    @classmethod
    def read(cls, tree: Taxonomy, subset: Subset) -> "Choice":
        """Take *subset* apart, so that `subset` gives it again.

        >>> Choice.read(tree, Subset("", "bottom-up@2+without@fish")).unticked
        frozenset({'trout'})
        """
        choice = cls("", classes=subset.classes, images_per_class=subset.images_per_class, seed=subset.seed)
        parts = split_method(subset.labels)
        for part in parts:
            name, _, argument = part.partition("@")
            if name == OWN_CUT:
                choice = replace(choice, base=OWN_CUT, nodes=frozenset(argument.split(",")))
            elif name == "without-pascal":
                choice = replace(choice, pascal=False)
            elif name in HALVES:
                choice = replace(choice, half=part)
            elif name in ("only", "without"):
                gone = set(tree.leaves) - label_set(tree, part, tree.leaves).class_of.keys()
                choice = replace(choice, unticked=choice.unticked | gone)
            else:
                choice = replace(choice, base=part)
        return replace(choice, base=choice.base or "original")

    def toggle(self, tree: Taxonomy, wnid: str) -> "Choice":
        """Untick all leaves under *wnid*, by any path, if all are ticked; tick them all if any is not."""
        below = frozenset(tree.leaves_under(wnid))
        every = self.unticked.isdisjoint(below)
        return replace(self, unticked=self.unticked | below if every else self.unticked - below)

    def cut_at(self, tree: Taxonomy, wnid: str, wnids: Sequence[str]) -> "Choice":
        """Make *wnid* a class in place of all below it, or, where it is one, let the node above have them.

        The first such click makes the present classes a cut of one's own.
        """
        nodes = self.nodes if self.base == OWN_CUT else set(label_set(tree, self.base, wnids).classes)
        if wnid in nodes:
            return replace(self, base=OWN_CUT, nodes=frozenset(nodes) - {wnid})
        beside = {node for node in nodes if wnid not in tree.path(node)}
        return replace(self, base=OWN_CUT, nodes=frozenset(beside | {wnid}))

    def labels(self, tree: Taxonomy, wnids: Sequence[str]) -> str:
        """Write the choice as a method of `itl labels`, in the one spelling it has.

        >>> Choice().toggle(tree, "dog").labels(tree, tree.leaves)
        'without@dog'
        """
        parts = [self._cut(tree, wnids) if self.base == OWN_CUT else self.base]
        parts += ["without-pascal"] * (not self.pascal) + [self.half] * bool(self.half)
        parts += spelling(tree, self.unticked)
        return "+".join(part for part in parts if part != "original" or len(parts) == 1)

    def _cut(self, tree: Taxonomy, wnids: Sequence[str]) -> str:
        """Name the cut by those of its nodes that some class is labelled by."""
        above = set().union(*(tree.path(wnid) for wnid in wnids if wnid in tree))
        if not (nodes := sorted(self.nodes & above)):
            raise ItlError(f"the cut is at {len(self.nodes)} nodes, none above a class; choose one that is")
        used = cut(tree, [wnid for wnid in wnids if wnid in tree], nodes)
        return f"{OWN_CUT}@{','.join(used.classes)}"

    def subset(self, tree: Taxonomy, wnids: Sequence[str], pack: str) -> Subset:
        """Return the Subset of the pack with digest *pack* that is chosen."""
        return Subset(pack, self.labels(tree, wnids), self.classes, self.images_per_class, self.seed)

    def told(self) -> dict[str, object]:
        """Return the choice as plain values, sorted, as the browser's page holds it."""
        return {
            "base": self.base,
            "nodes": sorted(self.nodes),
            "pascal": self.pascal,
            "half": self.half,
            "unticked": sorted(self.unticked),
            "classes": self.classes,
            "images_per_class": self.images_per_class,
            "seed": self.seed,
        }

    @classmethod
    def untold(cls, told: Mapping[str, object]) -> "Choice":
        """Take what `told` gave; ItlError for a setting that choices do not have."""
        known = dict.fromkeys(cls.__dataclass_fields__)
        for name in told:
            pick(known, name, "setting of a choice")
        sets = {name: frozenset(told[name]) for name in ("nodes", "unticked") if name in told}
        return cls(**{**told, **sets})


def spelling(tree: Taxonomy, unticked: Iterable[str]) -> list[str]:
    """Say which leaves are ticked with the fewest wnids: [], or parts only@… and without@….

    >>> spelling(tree, ["husky", "poodle"]), spelling(tree, ["trout", "car"])
    (['without@dog'], ['only@dog'])
    """
    out = frozenset(unticked)
    kept = frozenset(tree.leaves) - out
    if not kept:
        raise ItlError(f"none of the {len(tree.leaves)} classes is ticked; tick some")
    below = {wnid: frozenset(tree.leaves_under(wnid)) for wnid in tree}
    plain = cover(tree, below, out)
    only, without = set(), plain
    if len(plain) > 1:                      # nothing is shorter than one
        ticked = _ticked(tree, kept)
        rest = cover(tree, below, frozenset().union(*(below[node] for node in ticked)) - kept)
        only, without = (set(), plain) if len(plain) <= len(ticked) + len(rest) else (ticked, rest)
    said = frozenset().union(*(below[node] for node in only)) if only else frozenset(tree.leaves)
    said = said.difference(*(below[node] for node in without))
    if said != kept:                        # only where a class lies under another, as in ImageNet-21k
        both = min(said ^ kept)
        raise ItlError(f"{both} ({tree[both].name}) is ticked unlike a class above or below it, which label "
                       f"sets cannot say; tick both or neither")
    parts = (("only", only), ("without", without))
    return [f"{name}@{','.join(sorted(nodes))}" for name, nodes in parts if nodes]


def cover(tree: Taxonomy, below: Mapping[str, frozenset[str]], wanted: frozenset[str]) -> set[str]:
    """Choose few nodes that have all of *wanted* below them and nothing else: the widest that add to it.

    Of nodes with the same leaves it takes the deepest, which people would name.
    """
    full = [wnid for wnid in tree if below[wnid] and below[wnid] <= wanted]
    chosen, covered = [], set()
    for wnid in sorted(full, key=lambda wnid: (-len(below[wnid]), -tree.depth(wnid), wnid)):
        if not below[wnid] <= covered:
            chosen.append(wnid)
            covered |= below[wnid]
    for wnid in reversed(chosen):           # a node with several parents may be covered by both
        others = frozenset().union(*(below[each] for each in chosen if each != wnid))
        if below[wnid] <= others:
            chosen.remove(wnid)
    return set(chosen)


def _ticked(tree: Taxonomy, kept: frozenset[str]) -> set[str]:
    """Choose the nodes to tick so that they and the nodes to leave out under them are fewest.

    Counts parent paths only, in one walk up the tree; what other paths add is left out again by `spelling`.
    """
    leaves, never = set(tree.leaves), len(tree) + 1
    outside: dict[str, tuple[int, set[str]]] = {}       # nothing above is ticked: cost, and which to tick
    inside: dict[str, int] = {}                         # something above is ticked: cost
    has: dict[str, bool] = {}                           # whether a kept leaf is below
    some: dict[str, bool] = {}                          # whether a leaf is below
    for wnid in sorted(tree, key=tree.depth, reverse=True):
        children = tree.children(wnid)
        has[wnid] = wnid in kept or any(has[child] for child in children)
        some[wnid] = wnid in leaves or any(some[child] for child in children)
        if not has[wnid]:
            outside[wnid], inside[wnid] = (0, set()), int(some[wnid])
            continue
        own_out = wnid in leaves and wnid not in kept
        inside[wnid] = never if own_out else sum(inside[child] for child in children)
        apart = never if wnid in kept else sum(outside[child][0] for child in children)
        if apart <= 1 + inside[wnid]:
            outside[wnid] = (apart, set().union(*(outside[child][1] for child in children)))
        else:
            outside[wnid] = (1 + inside[wnid], {wnid})
    roots = [wnid for wnid in tree if tree.parent(wnid) is None]
    ticked = set().union(*(outside[root][1] for root in roots))
    return {wnid for wnid in ticked if len(tree.ancestors(wnid) & ticked) == 1}
