"""Columns of lists and tables that say the split of each image."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from itl import ItlError
from itl.hierarchy.class_lists import is_missing
from itl.sources.listed.labels import FLAGS
from itl.sources.listed.numbered_classes import is_number
from itl.sources.records import is_image
from itl.sources.split_names import (
    LIKE_SPLITS,
    NEUTRAL,
    SPLIT_OF_WORD,
    may_have_codes,
    split_of_cell,
    splits_of_words,
    words_of,
)

SPLIT_COLUMNS = ("split", "set", "subset", "partition", "phase", "usage", "fold", "stage")
CODED_SPLIT_COLUMNS = {"partition", "partitions", "split", "splits", "set"}  # words; 0, 1, 2 in CelebA
SPLIT_FLAGS = {f"{start}{split}" for start in ("is", "is_") for split in SPLIT_OF_WORD}  # columns: refused
# Columns with these words are refused too, if they hold FLAGS: train, is_training_image, holdout.
BARE_SPLIT_FLAGS = {"train", "training", "val", "validation", "test", "testing", *LIKE_SPLITS}
CODES = {"tr", "trn", "t", "te", "ts", "tst", "va", "vl", "v", "public", "private"}  # the last two of Kaggle
FLAG_CELLS = FLAGS | {*"xyntf", ""}  # of a column for one split: a mark, letters for yes and no, empty cells
SETS_OF_CODES = ({*"01"}, {*"012"}, {*"12"}, {*"123"})  # of train and test, or val between
BESIDE_SPLIT_FLAGS = {*NEUTRAL, "is", "in", "for", "used", "flag", "mask", "or", "and", "vs"}
MAX_SPLIT_TEXTS = 3 * len(SPLIT_OF_WORD)  # different values of a column of splits, as Train, train and TRAIN


def split_column(columns: Mapping[str, Iterable[object]], file: str) -> str:
    """Return the one of *columns* of *file* that says the split of each image; '' where there is none.

    That is one with a name of `SPLIT_COLUMNS` whose values are names of splits, or any other that has names
    of two splits and nothing else. *columns* are the values of all, but for images and labels. ItlError if a
    column of splits holds something else, two hold splits, or flags of one split divide the images alone.
    """
    few = {name: few_texts(values) for name, values in columns.items()}
    splits = {name: {split_of_cell(text) for text in texts} for name, texts in few.items()}
    holding = [
        name
        for name, named in splits.items()
        if "" not in named and (len(named) > 1 or (named and name.lower() in SPLIT_COLUMNS))
    ]
    if len(holding) > 1:
        raise ItlError(f"{file} may have its splits in {' or '.join(holding)}; leave one of them out")
    if holding:
        return holding[0]
    for name, texts in few.items():
        other = _value_of_no_split(name, texts)
        if other is not None:
            shown = repr(other) if other else "empty cells"
            raise ItlError(
                f"{file} has a column {name} with {shown}, which is no split; write train, val or test, "
                f"{'or name the column otherwise' if name.lower() == 'split' else 'or leave the column out'}"
            )
        if _is_flag(name, texts):
            raise ItlError(
                f"{file} has a column {name}, whose images would all be train; write a column split with "
                f"train, val or test, or leave {name} out"
            )
    return ""


def may_be_split_column(name: str) -> bool:
    """Say whether a column called *name* may be one of splits, of codes or of flags.

    >>> may_be_split_column("Split"), may_be_split_column("is_training_image"), may_be_split_column("caption")
    (True, True, False)
    """
    words = _words_of_flag(name)
    return name.lower() in SPLIT_FLAGS or not words.isdisjoint({*SPLIT_COLUMNS, *BARE_SPLIT_FLAGS, "splits"})


def has_split_column(table: Sequence[Sequence[str]], file: str) -> bool:
    """Say whether the *table* in *file*, its header first, has a column of splits, codes or flags.

    >>> has_split_column([["image", "split"], ["0.jpg", "0"], ["1.jpg", "1"]], "split.csv")
    True
    """
    header, *rows = table
    rows = [row for row in rows if len(row) == len(header)]
    columns = {name: [row[number] for row in rows] for number, name in enumerate(header)}
    columns = {  # of one value divide nothing, and sets may be of cameras
        name: values
        for name, values in columns.items()
        if len(set(values)) > 1
        and (name.strip().lower() != "set" or any(map(split_of_cell, values)) or _has_letters(values))
    }
    try:
        return bool(split_column(columns, file))
    except ItlError:  # which says why no list may have that column
        return True


def splits_of_labels(labels: Iterable[str]) -> dict[str, str]:
    """Return the split of each of *labels* where all are splits, and several; empty where they are classes.

    >>> splits_of_labels(["train", "Test"]), splits_of_labels(["train", "bus"]), splits_of_labels(["test"])
    ({'train': 'train', 'Test': 'test'}, {}, {})
    """
    splits = {label: split_of_cell(label) for label in labels}
    several = len(set(splits.values())) > 1
    return splits if several and "" not in splits.values() else {}


def are_codes_of_splits(labels: Collection[str], file: str) -> bool:
    """Say whether *labels* of lines `IMAGE LABEL` are codes of splits: 0, 1 … or 1, 2 …, as *file* is named.

    >>> are_codes_of_splits({"0", "1", "2"}, "partition.txt"), are_codes_of_splits({"0", "1"}, "splits.txt")
    (True, True)
    >>> are_codes_of_splits({"0", "1"}, "train_split.txt"), are_codes_of_splits({"0"}, "splits.txt")
    (False, False)
    >>> are_codes_of_splits({*"0123"}, "splits.txt"), are_codes_of_splits({"4", "5"}, "splits.txt")
    (False, False)
    """
    return {*labels} in SETS_OF_CODES and may_have_codes(file)


def likely_header(cells: Iterable[str]) -> str:
    """Return a header for a table whose first line, without one, has these *cells*.

    >>> likely_header(["TRAIN", "0.png", "cat", "0.5"])
    'split,image,label,label2'
    """
    kinds: list[str] = []
    for cell in cells:
        kinds.append("image" if is_image(cell) else "split" if split_of_cell(cell) else "label")
    numbers = [kinds[: number + 1].count(kind) for number, kind in enumerate(kinds)]
    return ",".join(
        kind if number == 1 else f"{kind}{number}" for kind, number in zip(kinds, numbers, strict=True)
    )


def _value_of_no_split(name: str, texts: Collection[str]) -> str | None:
    """Return one of *texts*, the values of the column *name* of splits, that is none; None if all are.

    It is one of splits if it is called split, if its name says splits and it has codes of them, two or three
    numbers or `CODES`, or if one of few values is a split, and its name, another split or a word such as eval
    says so too, or all have the words of one split each, as train_1 and test_1.

    >>> _value_of_no_split("phase", ["train", "eval"]), _value_of_no_split("split", ["test", "val", ""])
    ('eval', '')
    >>> _value_of_no_split("source", ["train", "web"])  # a column of something else
    """
    others = sorted(text for text in texts if not split_of_cell(text))
    if name.lower() != "split":
        words = {word for text in texts for word in _words_of_flag(text)}
        is_named = name.lower() in SPLIT_COLUMNS or not LIKE_SPLITS.isdisjoint(words)
        several = len(splits_of_words(words)) > 1
        in_words = several and all(len(splits_of_words(words_of(text))) == 1 for text in texts)
        if _has_codes(name, texts):
            return others[0]
        if len(texts) > MAX_SPLIT_TEXTS or not (is_named or several):
            return None
        if len(others) == len(texts) and not in_words:
            return None
    return others[0] if others and any(texts) else None


def _has_codes(name: str, texts: Collection[str]) -> bool:
    """Say whether the column *name* of splits has a code of each, as numbers or letters.

    >>> _has_codes("split_id", {"0", "1"}), _has_codes("set", {"trn", "tst"}), _has_codes("fold", {"0", "1"})
    (True, True, False)
    """
    words = set(words_of(name))
    has_numbers = 1 < len(texts) <= 3 and all(map(is_number, texts)) and words & CODED_SPLIT_COLUMNS
    of_splits = words & {*SPLIT_COLUMNS} or len(splits_of_words(words)) > 1
    return bool(has_numbers or (of_splits and len(texts) > 1 and _has_letters(texts)))


def _has_letters(values: Iterable[str]) -> bool:
    """Say whether all *values* are letters or words for a split, as tr and te, or tr and val."""
    lowered = {*map(str.lower, values)}
    return bool(lowered & CODES) and lowered <= CODES | SPLIT_OF_WORD.keys()


def _is_flag(name: str, texts: Collection[str]) -> bool:
    """Say whether the column *name*, with the values *texts*, says yes or no of one split."""
    words = _words_of_flag(name)
    is_of_split = words & BARE_SPLIT_FLAGS and words <= BARE_SPLIT_FLAGS | BESIDE_SPLIT_FLAGS
    return name.lower() in SPLIT_FLAGS or bool(_holds_flags(texts) and is_of_split)


def _holds_flags(texts: Collection[str]) -> bool:
    """Say whether *texts*, the values of a column, are flags alone, of which not all are empty.

    >>> _holds_flags({"x", ""}), _holds_flags({"N", "Y"}), _holds_flags({""}), _holds_flags({"x", "2"})
    (True, True, False, False)
    """
    return any(texts) and FLAG_CELLS.issuperset(map(str.lower, texts))


def _words_of_flag(name: str) -> set[str]:
    """Return the words in a column's *name* or a cell: holdout for hold_out, train and test for traintest."""
    name = re.sub(r"(hold|held)[\W_]?out", r"\1out", name.lower())
    return set(words_of(re.sub(r"(train|val|test)(?=train|val|test)", r"\1 ", name)))


def few_texts(values: Iterable[object]) -> set[str]:
    """Return the different texts among *values*, or the first of these where they are more than splits.

    >>> sorted(few_texts(["x ", None, float("nan")]))
    ['', 'x']
    """
    texts: set[str] = set()
    for value in values:
        texts.add("" if is_missing(value) else str(value).strip())
        if len(texts) > MAX_SPLIT_TEXTS:
            break
    return texts
