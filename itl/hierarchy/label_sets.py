"""Label sets: mappings from fine wnids to the classes they are trained as."""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from itl.errors import ItlError, did_you_mean, pick
from itl.hierarchy.class_lists import read_class_list
from itl.hierarchy.halves import half_along_tree, matched_control, minimal_halves, shuffle
from itl.hierarchy.taxonomy import ANOTHER_TREE, Taxonomy
from itl.hierarchy.voc_classes import PASCAL
from itl.machine import in_project
from itl.notes import warn
from itl.specs import file_digest
from itl.words import counted

CONTROL_TOLERANCE = 0.1  # by how much of what is removed a control may leave out more or less


@dataclass(frozen=True)
class LabelSet:
    """A way to label images; wnids that it does not have are left out of training."""

    class_of: Mapping[str, str]  #: fine wnid -> wnid of its class

    @classmethod
    def of_itself(cls, wnids: Iterable[str]) -> "LabelSet":
        """Label each of *wnids* by itself."""
        return cls({wnid: wnid for wnid in wnids})

    @property
    def classes(self) -> list[str]:
        """Classes in label order: sorted, so that no label depends on hashing."""
        return sorted(set(self.class_of.values()))

    def to_csv(self) -> str:
        """Return CSV with the header ``wnid,label`` and a line for every wnid, sorted by wnid."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("wnid", "label"), *sorted(self.class_of.items())])
        return text.getvalue()


@dataclass(frozen=True)
class Method:
    """How `label_set` makes one kind of label set."""

    make: Callable[..., LabelSet]  #: from the tree, the wnids and the argument
    argument: "Argument | None" = None  #: what must follow the @
    rank: int = 0  #: order among parts joined by +; one of each rank
    tree: bool = True  #: whether what it makes depends on the tree
    any_class: bool = False  #: whether classes may be outside of the tree nevertheless


@dataclass(frozen=True)
class Argument:
    """What follows the @ of a method."""

    words: str
    example: str
    pattern: str  #: a regular expression; one spelling of each value: 09 and 9 would be two runs
    parse: Callable[[str], object] = str


def label_set(tree: Taxonomy, method: str, wnids: Sequence[str]) -> LabelSet:
    """Label *wnids* by *method*, as `itl labels` and the presets write it.

    Methods are `original`, `bottom-up@LEVEL`, `top-down@ROUNDS`, `cut@WNID,WNID`, `without-pascal`,
    `without@WNID,WNID`, `without-random@SEED`, `without-matched@SEED` (or `@SEED,WNID,WNID`),
    `only@WNID,WNID`, `half-minimal-a`, `half-random-a@SEED` (both with `-b`), `half-balanced@NUMBER`,
    `half-along-tree@NUMBER`, and `file@FILE`: a list of classes, or of what they count as. `METHOD+METHOD`
    labels by the first and keeps only what all the others keep, as `bottom-up@9+without-pascal` does.

    Raises:
        ItlError: For other methods, for classes that are not in the tree, and if no class would be left.

    >>> label_set(tree, "bottom-up@2+without@fish", ["husky", "poodle", "trout", "car"]).class_of
    {'car': 'car', 'husky': 'dog', 'poodle': 'dog'}
    """
    if isinstance(wnids, str):
        raise ItlError(f"classes are given as a list; got {wnids!r}: give [{wnids!r}]")
    first, *filters = (_label_part(tree, part, method, wnids) for part in split_method(method))
    labelled = first.class_of.items()
    kept = {wnid: label for wnid, label in labelled if all(wnid in part.class_of for part in filters)}
    if not kept:
        raise ItlError(f"{method} keeps none of the {len(set(wnids))} classes; leave a part of it out")
    return LabelSet(kept)


def split_method(method: str) -> list[str]:
    """Split *method* at its +; ItlError for another spelling of the same method, which would be another run.

    Only original, which every class without other labels has, may stand before other parts: it is left out.

    >>> split_method("bottom-up@9+without-pascal+without@n02084071")
    ['bottom-up@9', 'without-pascal', 'without@n02084071']
    """
    parts = method.split("+")
    if parts[0] == "original" and len(parts) > 1 and parts[1] != "original":
        del parts[0]
    names = [part.partition("@")[0] for part in parts]
    for before, name in zip(parts, names[1:], strict=False):
        if before.startswith("file@") and name not in LABEL_METHODS:
            raise ItlError(
                f"no label method called {name!r}; {did_you_mean(name, LABEL_METHODS)}a + begins another "
                f"method: name a file without + in its path"
            )
    ranks = [pick(LABEL_METHODS, name, "label method").rank for name in names]
    repeated = sorted(rank for rank, count in Counter(ranks).items() if count > 1)
    if repeated:
        same = [part for part, rank in zip(parts, ranks, strict=True) if rank == repeated[0]]
        raise ItlError(f"{method!r} has two parts of one kind, {' and '.join(same)}; keep one")
    if ranks != sorted(ranks):
        ordered = [part for _, part in sorted(zip(ranks, parts, strict=True))]
        raise ItlError(f"{method!r} is spelt {'+'.join(ordered)}")
    return parts


def describe_methods() -> str:
    """List every label method with an example of its argument, for help."""
    arguments = {name: method.argument for name, method in LABEL_METHODS.items()}
    methods = [f"{name}@{one.example}" if one else name for name, one in arguments.items()]
    return f"{', '.join(methods)}, or several: bottom-up@9+without@n02084071"


def check_from_few_to_many(tree: Taxonomy, methods: Sequence[str], wnids: Sequence[str]) -> None:
    """Raise ItlError where *methods* do not give *wnids* labels from few classes to many."""
    counts = {method: len(label_set(tree, method, wnids).classes) for method in methods}
    ordered = sorted(counts, key=counts.__getitem__)  # equal ones stay as they are
    if [*counts] != ordered:
        numbers = ", ".join(f"{method} {count}" for method, count in counts.items())
        raise ItlError(
            f"label sets are compared from few classes to many, and these have, of {len(wnids)} classes, "
            f"{numbers}; give them as {', '.join(ordered)}"
        )


@cache
def needs_tree(method: str) -> bool:
    """Whether what *method* makes depends on the tree: original labels and random halves do not.

    >>> needs_tree("bottom-up@9+half-random-a@0"), needs_tree("half-random-a@0")
    (True, False)
    """
    return any(LABEL_METHODS[part.partition("@")[0]].tree for part in split_method(method))


def _label_part(tree: Taxonomy, part: str, method: str, wnids: Sequence[str]) -> LabelSet:
    """Make the label set of one *part* of *method*."""
    name, at, text = part.partition("@")
    kind, wanted = LABEL_METHODS[name], LABEL_METHODS[name].argument
    if at and not wanted:
        raise ItlError(f"{name} takes nothing after it, but got {'@' + text!r}; write {name}")
    if wanted and not re.fullmatch(wanted.pattern, text, re.DOTALL):
        raise ItlError(f"{name} needs {wanted.words}, as in {name}@{wanted.example}; got {part!r}")
    arguments = [wanted.parse(text)] if wanted else []
    wnids = sorted(set(wnids))  # the order of the classes does not matter
    if not wnids:
        raise ItlError(f"{method} has no class to label; give at least one wnid")
    unknown = [wnid for wnid in wnids if wnid not in tree]
    if unknown and kind.tree and not kind.any_class:
        names = ", ".join(map(repr, unknown[:3])) + (", ..." if len(unknown) > 3 else "")
        raise ItlError(
            f"{method} needs wnids of the tree; {len(unknown)} of {len(wnids)} are not: "
            f"{names}; original and random halves take any class; {ANOTHER_TREE}"
        )
    return kind.make(tree, wnids, *arguments)


def bottom_up(tree: Taxonomy, wnids: Iterable[str], level: int) -> LabelSet:
    """Label every class deeper than *level* by its ancestor at that depth; leave the others.

    ItlError for a *level* below 0, or deeper than all classes.

    >>> bottom_up(tree, ["husky", "poodle", "trout", "car"], level=2).classes
    ['car', 'dog', 'fish']
    """
    paths = {wnid: tree.path(wnid) for wnid in wnids}  # wnid first, root last
    deepest = max(map(len, paths.values())) - 1
    if not 0 <= level <= deepest:
        raise ItlError(f"bottom-up takes a level from 0 to {deepest} on these classes, not {level}")
    return LabelSet({wnid: path[max(0, len(path) - 1 - level)] for wnid, path in paths.items()})


def top_down(tree: Taxonomy, wnids: Iterable[str], rounds: int) -> LabelSet:
    """Replace every label by its parent, then by the topmost label above it, *rounds* times.

    ItlError for fewer than one round, or for more than change a label.

    >>> top_down(tree, ["husky", "poodle", "trout", "car"], rounds=1).class_of
    {'husky': 'dog', 'poodle': 'dog', 'trout': 'fish', 'car': 'vehicle'}
    """
    sets = top_down_rounds(tree, wnids)
    if not 1 <= rounds < len(sets):
        raise ItlError(f"top-down takes from 1 to {len(sets) - 1} rounds on these classes, not {rounds}")
    return LabelSet(sets[rounds])


def top_down_rounds(tree: Taxonomy, wnids: Iterable[str]) -> list[dict[str, str]]:
    """Return the labels of *wnids* after 0, 1, ... rounds of top-down, until a round changes nothing."""
    sets = [{wnid: wnid for wnid in wnids}]
    while (coarser := _one_round(tree, sets[-1])) != sets[-1]:
        sets.append(coarser)
    return sets


def without(tree: Taxonomy, wnids: Iterable[str], nodes: Iterable[str], name: str = "without") -> LabelSet:
    """Leave out every class that is a kind of any of *nodes*, by any path; the others label themselves.

    ItlError if no class is left.

    >>> without(tree, ["husky", "poodle", "trout", "car"], ["dog"]).classes
    ['car', 'trout']
    """
    nodes = {tree[node].wnid for node in nodes}
    wnids = list(wnids)
    kept = [wnid for wnid in wnids if nodes.isdisjoint(tree.ancestors(wnid))]
    if not kept:
        raise ItlError(f"{name} leaves none of the {len(wnids)} classes; give some of another kind too")
    return LabelSet.of_itself(kept)


def only(tree: Taxonomy, wnids: Iterable[str], nodes: Iterable[str]) -> LabelSet:
    """Keep every class that is a kind of one of *nodes*, by any path, labelled by itself.

    ItlError if no class is left, *nodes* are not sorted, or one is under another.

    >>> only(tree, ["husky", "poodle", "trout", "car"], ["dog", "vehicle"]).classes
    ['car', 'husky', 'poodle']
    """
    wnids, name = list(wnids), _checked_name(tree, "only@", nodes)
    kept = [wnid for wnid in wnids if not tree.ancestors(wnid).isdisjoint(nodes)]
    if not kept:
        raise ItlError(f"{name} keeps none of the {len(wnids)} classes; name a node above some of them")
    return LabelSet.of_itself(kept)


def cut(tree: Taxonomy, wnids: Iterable[str], nodes: Iterable[str]) -> LabelSet:
    """Label each class by the nearest of *nodes* on its parent path; leave out classes under none.

    ItlError for a node that is on the parent path of no class.

    >>> cut(tree, ["husky", "poodle", "trout", "car"], ["animal", "dog"]).class_of
    {'husky': 'dog', 'poodle': 'dog', 'trout': 'animal'}
    """
    paths, chosen = {wnid: tree.path(wnid) for wnid in wnids}, {tree[node].wnid for node in nodes}
    on_a_path = set().union(*paths.values())
    for node in sorted(chosen):
        if node not in on_a_path:
            below = sum(node in tree.ancestors(wnid) for wnid in paths)
            reason = f"{below} are below it, but not by their parents" if below else "none is below it"
            raise ItlError(
                f"cut at {node} ({tree[node].name}) labels none of the {len(paths)} classes: "
                f"{reason}; give a wnid on their parent paths"
            )
    nearest = {wnid: next((node for node in path if node in chosen), "") for wnid, path in paths.items()}
    return LabelSet({wnid: node for wnid, node in nearest.items() if node})


def from_file(tree: Taxonomy, wnids: Sequence[str], argument: str) -> LabelSet:
    """Label each class as the list in a file says; leave out the classes that it does not have.

    The *argument* is the path of a list as `read_class_list` reads it, in the project's folder if it is
    relative; a spec adds # and its digest.

    ItlError if the file has another digest, has none of *wnids*, or is none that `read_class_list` reads.
    """
    path, _, digest = argument.partition("#")
    if not path:
        raise ItlError(
            f"the file of file@{argument} is known by its digest alone, as its run did not record its path; "
            f"give the run as a spec of its question, as in question.runs(machine)[0].spec"
        )
    if digest and digest not in (file_digest(path, is_list=True), file_digest(path)):  # the last: of before
        raise ItlError(
            f"{path} is not as it was when its label set was chosen; give the file back, or choose again"
        )
    listed = read_class_list(in_project(path), tree, {wnid: wnid for wnid in wnids})
    class_of = {wnid: listed[wnid] for wnid in wnids if wnid in listed}
    if not class_of:
        raise ItlError(f"file@{path} keeps none of the {len(wnids)} classes; list some of them")
    if others := sorted(listed.keys() - set(wnids)):
        several, these = counted(len(others), "classes are"), counted(len(wnids), "classes")
        first = tree.name_with_word(others[0])
        warn(f"{several} in {path} but not among these {these}, such as {first}")
    return LabelSet(class_of)


def halves_random(wnids: Iterable[str], seed: int) -> tuple[LabelSet, LabelSet]:
    """Divide the classes into two random halves; the first has one more if their number is odd."""
    shuffled = shuffle(set(wnids), seed)
    if len(shuffled) < 2:
        raise ItlError(f"two halves need at least two classes, not {len(shuffled)}")
    half = (len(shuffled) + 1) // 2
    return LabelSet.of_itself(sorted(shuffled[:half])), LabelSet.of_itself(sorted(shuffled[half:]))


def halves_minimal(tree: Taxonomy, wnids: Iterable[str]) -> tuple[LabelSet, LabelSet]:
    """Divide the classes as `minimal_halves` does, the larger part first."""
    larger, smaller = minimal_halves(tree, wnids)
    return LabelSet.of_itself(sorted(larger)), LabelSet.of_itself(sorted(smaller))


def _one_round(tree: Taxonomy, class_of: Mapping[str, str]) -> dict[str, str]:
    parents = {label: tree.parent(label) or label for label in class_of.values()}
    labels = set(parents.values())
    # The published rule goes through the labels in order and replaces all labels below each by it. In any
    # order, the topmost labels remain.
    topmost = {label: [node for node in tree.path(label) if node in labels][-1] for label in labels}
    return {wnid: topmost[parents[label]] for wnid, label in class_of.items()}


def _without_pascal(tree: Taxonomy, wnids: Sequence[str]) -> LabelSet:
    # The snapshot has no node for cow, as none of ImageNet's 1000 classes is a kind of cow.
    return without(tree, wnids, [node for node in PASCAL.values() if node in tree], "without-pascal")


def _without_random(tree: Taxonomy, wnids: Sequence[str], seed: int) -> LabelSet:
    """Leave out as many random classes, none of them PASCAL's, as without-pascal does: its control."""
    others = _without_pascal(tree, wnids).classes
    count = len(wnids) - len(others)
    if count >= len(others):
        raise ItlError(
            f"without-random@{seed} leaves out {count} other classes, as many as are PASCAL's, but of the "
            f"{len(wnids)} only {len(others)} are others; add classes that are not PASCAL's"
        )
    return LabelSet.of_itself(sorted(set(wnids) - set(shuffle(others, seed)[:count])))


def _without_matched(tree: Taxonomy, wnids: Sequence[str], removed: tuple[int, list[str]]) -> LabelSet:
    """Leave out whole subtrees of other classes, as many and as large as `without` does: its control.

    *removed* are a seed and the nodes that the control is of; without nodes it is that of without-pascal.
    """
    seed, nodes = removed
    name = _checked_name(tree, f"without-matched@{seed},", nodes) if nodes else f"without-matched@{seed}"
    others = (_without(tree, wnids, nodes) if nodes else _without_pascal(tree, wnids)).classes
    left_out = matched_control(tree, wnids, set(wnids) - set(others), seed)
    count, whose = len(wnids) - len(others), "under these nodes" if nodes else "PASCAL's"
    if not count:
        raise ItlError(f"{name} has nothing to match: none of the {len(wnids)} classes is {whose}")
    if not left_out or len(left_out) == len(others):
        raise ItlError(
            f"{name} leaves out {count} other classes, as many as are {whose}, but of the "
            f"{len(wnids)} only {len(others)} are others; add more of these"
        )
    if abs(len(left_out) - count) > max(1, CONTROL_TOLERANCE * count):
        advice = "name smaller nodes" if nodes else f"take without-random@{seed}"
        raise ItlError(
            f"{name} should leave out about {count} other classes, as many as are {whose}, but the "
            f"subtrees of the {len(others)} others allow {len(left_out)}; {advice}"
        )
    return LabelSet.of_itself([wnid for wnid in wnids if wnid not in left_out])


def _half_balanced(_: Taxonomy, wnids: Sequence[str], number: int) -> LabelSet:
    from itl.hierarchy.balanced_halves import balanced_half  # here: the command line starts without numpy

    return LabelSet.of_itself(balanced_half(list(wnids), number))


def _without(tree: Taxonomy, wnids: Sequence[str], nodes: Sequence[str]) -> LabelSet:
    return without(tree, wnids, nodes, _checked_name(tree, "without@", nodes))


def _checked_name(tree: Taxonomy, start: str, nodes: Iterable[str]) -> str:
    """Return *start* with *nodes*; ItlError unless sorted, with none under another: one spelling per set."""
    nodes = [tree[node].wnid for node in nodes]
    topmost = sorted(node for node in set(nodes) if len(tree.ancestors(node).intersection(nodes)) == 1)
    if nodes != topmost:
        raise ItlError(f"{start}{','.join(nodes)} is spelt {start}{','.join(topmost)}")
    return start + ",".join(nodes)


def _split_control(text: str) -> tuple[int, list[str]]:
    seed, *wnids = text.split(",")
    return int(seed), wnids


FILE = r"[^#]+(#[0-9a-f]{8})?|#[0-9a-f]{8}"  # a spec adds the digest of its content; a key has this alone
LIST = Argument("a file without # in its path", "superclasses.csv", FILE)
WHOLE, WNIDS = r"(0|-?[1-9][0-9]{0,17})", r"[^,]+(,[^,]+)*"
SEED = Argument("a seed", "0", WHOLE, int)
NUMBER = Argument("a number from 0 to 9,999", "0", r"0|[1-9][0-9]{0,3}", int)  # all before it are made too
NODES = Argument("wnids", "n00015388,n00021939", WNIDS, lambda text: text.split(","))
CONTROL = Argument("a seed, or a seed and wnids", "0", f"{WHOLE}(,{WNIDS})?", _split_control)
LABEL_METHODS = {  # by the name before the @
    "original": Method(lambda tree, wnids: LabelSet.of_itself(wnids), tree=False),
    "bottom-up": Method(bottom_up, Argument("a level", "9", WHOLE, int)),
    "top-down": Method(top_down, Argument("a number of rounds", "1", WHOLE, int)),
    "cut": Method(cut, NODES),
    "file": Method(from_file, LIST, any_class=True),
    "without-pascal": Method(_without_pascal, rank=1),
    "without-matched": Method(_without_matched, CONTROL, 1),
    "without-random": Method(_without_random, SEED, 1),
    "half-random-a": Method(lambda _, wnids, seed: halves_random(wnids, seed)[0], SEED, 2, tree=False),
    "half-random-b": Method(lambda _, wnids, seed: halves_random(wnids, seed)[1], SEED, 2, tree=False),
    "half-balanced": Method(_half_balanced, NUMBER, 2, tree=False),
    "half-along-tree": Method(lambda *given: LabelSet.of_itself(half_along_tree(*given)), NUMBER, 2),
    "half-minimal-a": Method(lambda tree, wnids: halves_minimal(tree, wnids)[0], rank=2),
    "half-minimal-b": Method(lambda tree, wnids: halves_minimal(tree, wnids)[1], rank=2),
    "only": Method(only, NODES, 3),
    "without": Method(_without, replace(NODES, example="n02084071,n02121620"), 4),
}
