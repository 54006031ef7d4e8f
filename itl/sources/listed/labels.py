"""What the labels of a list or table say, beside a class: nothing, yes or no, or several classes."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from posixpath import dirname

from itl.errors import ItlError
from itl.hierarchy.class_lists import LIKE_MISSING
from itl.hierarchy.taxonomy import WNID
from itl.sources.listed.split_columns import UnclearListError
from itl.words import counted, examples

LABEL_COLUMNS = (
    *("label", "class", "wnid", "category", "class_name", "target", "labels", "classname", "label_name"),
)
RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")  # columns; class is one of them
FLAGS_SET = {"1", "1.0", "true", "yes"}
FLAGS = FLAGS_SET | {"0", "0.0", "false", "no"}
NO_LABEL = "-1"  # of a test whose labels are not public
# 0 1, of several classes or flags; ['cat'] or [0, 1], as pandas writes lists; [other] may be a class.
SEVERAL_LABELS = re.compile(r"-?\d+(?:[\s,;|]+-?\d+)+|\[(?:\s*['\"\d-].*)?\]")


def ranks_of_class(columns: Collection[str]) -> list[str]:
    """Return those of *columns* that are ranks from class on, if class is one and two others are there.

    >>> ranks_of_class(["Phylum", "Class", "Species", "url"]), ranks_of_class(["class", "order", "url"])
    (['Class', 'Species'], [])
    """
    ranks = [column for rank in RANKS for column in columns if column.lower() == rank]
    of_classes = [column for column in ranks if column.lower() not in ("kingdom", "phylum")]
    return of_classes if len(ranks) > 2 and any(column.lower() == "class" for column in ranks) else []


def refuse_several(label: str, where: str) -> None:
    """Raise UnclearListError, about the line *where*, if *label* is several numbers, or a list of labels."""
    if SEVERAL_LABELS.fullmatch(label):
        what = "is a list of labels" if label[0] == "[" else "are several numbers"
        raise UnclearListError(
            f"{where}: {label[:40]!r} {what}, but an image is of one class; leave one label in each line, or "
            f"name the column in a CSV with the option label"
        )


def refuse_running_numbers(images: Sequence[str], labels: Sequence[str], file: str, is_chosen: bool) -> None:
    """Raise ItlError if the *labels* of a training list only count its lines, as in ILSVRC's train_cls.txt.

    That is where *images* lie in several folders, of which one has several labels: it is the class. A list
    that an option has chosen is refused only if folders are wnids.

    >>> refuse_running_numbers(["a/0.jpg", "b/0.jpg"], ["0", "1"], "train.txt", is_chosen=False)
    """
    folders = {dirname(image) for image in images}
    are_wnids = all(WNID.fullmatch(folder.rpartition("/")[2]) for folder in folders)
    first = int(labels[0]) if labels[0] in ("0", "1") else None
    if first is None or not 1 < len(folders) < len(images) or (is_chosen and not are_wnids):
        return
    if all(label == str(number) for number, label in enumerate(labels, first)):
        choice = "" if are_wnids else f", or, if these are classes, set the option train={file}"
        raise ItlError(
            f"{file}: the labels only count its lines, from {first} to {labels[-1]}; write the class of each "
            f"image instead{choice}"
        )


def describe_labels(labels: Collection[str]) -> list[str]:
    """Return notes on *labels* that may be no classes."""
    return [*describe_joined(labels), *describe_missing(labels)]


def describe_joined(labels: Collection[str]) -> list[str]:
    """Return notes if some of *labels* are several, as of an image of several classes.

    These are others together, or have parts, with | or ; between, that other labels have too.

    >>> describe_joined({"cat", "dog", "cat|dog", "big cat"})
    ["1 label is others together, such as 'cat|dog'; it is read as a class of its own"]
    >>> describe_joined({"cat|dog", "dog|cow"})
    ["2 labels have parts of others, such as 'cat|dog', 'dog|cow'; each is read as a class of its own"]
    """
    known = set(labels)
    joined = {
        label
        for label in known
        for parts in (re.split(r"\s*[,;|/+&]\s*", label), label.split())
        if len(set(parts)) > 1 and known.issuperset(parts)
    }
    parts_of = {label: set(re.split(r"\s*[;|]\s*", label)) for label in known}
    uses = Counter(part for parts in parts_of.values() for part in parts)
    shared = {
        label for label, parts in parts_of.items() if len(parts) > 1 and max(map(uses.__getitem__, parts)) > 1
    }
    notes = []
    kinds = (joined, "labels are others together"), (shared - joined, "labels have parts of others")
    for several, what in kinds:
        if several:
            classes = "each is read" if len(several) > 1 else "it is read"
            such = examples([repr(label) for label in sorted(several)])
            notes.append(f"{counted(len(several), what)}, such as {such}; {classes} as a class of its own")
    return notes


def describe_missing(labels: Collection[str]) -> list[str]:
    """Return a note if some of *labels* are words for no label.

    >>> describe_missing({"cat", "None"}), describe_missing({"cat", "nun"})
    (["'None' is read as a class; leave images without a label out of the list"], [])
    """
    words = [repr(label) for label in sorted(labels) if label.lower() in LIKE_MISSING]
    if not words:
        return []
    are = "is read as a class" if len(words) == 1 else "are read as classes"
    return [f"{examples(words)} {are}; leave images without a label out of the list"]
