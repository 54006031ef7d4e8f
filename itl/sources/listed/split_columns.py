"""Columns of lists and tables that say the split of each image."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from itl.errors import ItlError
from itl.hierarchy.class_lists import is_missing
from itl.sources.records import is_image
from itl.sources.split_names import (
    LIKE_SPLITS,
    NEUTRAL,
    SPLIT_OF_SHORT_WORD,
    SPLIT_OF_WORD,
    WORDS_OF_SPLITS,
    may_have_codes,
    split_of_cell,
    words_of,
)

SPLIT_COLUMNS = ("split", "set", "subset", "partition", "phase", "usage", "fold", "stage")
CODED_COLUMNS = {*WORDS_OF_SPLITS, "set", "subset", "usage"}  # words of names; codes as 0, 1, 2 of CelebA
SHORT_WORDS = {*SPLIT_OF_SHORT_WORD, "t", "v"}  # of splits, where a column has nothing else
BESIDE_SPLITS = {*NEUTRAL, "is", "in", "for", "used", "flag", "mask", "or", "and", "vs"}  # in names of flags
MAX_CODES = 3  # different values of a column of codes, such as yes, no and empty
SETS_OF_CODES = ({*"01"}, {*"012"}, {*"12"}, {*"123"})  # of train and test, or val between
MAX_SPLIT_TEXTS = 3 * len(SPLIT_OF_WORD)  # different values of a column of splits, as Train, train and TRAIN


class UnclearListError(ItlError):
    """A list of images and labels has more, which may divide the images or be no part of the labels."""


def split_column(columns: Mapping[str, Iterable[object]], file: str) -> str:
    """Return the one of *columns* of *file* that says the split of each image; '' where there is none.

    That is one with a name of `SPLIT_COLUMNS` whose values are names of splits, or any other that has names
    of two splits and nothing else. *columns* are the values of all, but for images and labels.
    UnclearListError if two hold splits, or one seems to be of splits, but has other values.
    """
    few = {name: few_texts(values) for name, values in columns.items()}
    splits = {name: {split_of_cell(text) for text in texts} for name, texts in few.items()}
    holding = [
        name
        for name, named in splits.items()
        if "" not in named and (len(named) > 1 or (named and name.lower() in SPLIT_COLUMNS))
    ]
    if len(holding) > 1:
        raise UnclearListError(f"{file} may have its splits in {' or '.join(holding)}; leave one of them out")
    if holding:
        return holding[0]
    for name, texts in few.items():
        if any(texts) and (_is_named_after_splits(name, texts) or _has_words_of_splits(name, texts)):
            other = min([text for text in texts if not split_of_cell(text)] or texts)
            shown = repr(other) if other else "empty cells"
            raise UnclearListError(
                f"{file} has a column {name} with {shown}, which is no split; write train, val or test in a "
                f"column split, or leave {name} out"
            )
    return ""


def may_be_split_column(name: str) -> bool:
    """Say whether a column called *name* may be one of splits, of codes or of flags.

    >>> may_be_split_column("Split"), may_be_split_column("is_training_image"), may_be_split_column("caption")
    (True, True, False)
    """
    words = _words(name)
    return not words.isdisjoint({*SPLIT_COLUMNS, *CODED_COLUMNS}) or _is_flag(words)


def has_split_column(table: Sequence[Sequence[str]], file: str) -> bool:
    """Say whether the *table* in *file*, its header first, has a column of splits, codes or flags.

    >>> has_split_column([["image", "split"], ["0.jpg", "0"], ["1.jpg", "1"]], "split.csv")
    True
    """
    header, *rows = table
    rows = [row for row in rows if len(row) == len(header)]
    columns = {name: [row[number] for row in rows] for number, name in enumerate(header)}
    columns = {name: values for name, values in columns.items() if len(set(values)) > 1}
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
    kinds = ["image" if is_image(cell) else "split" if split_of_cell(cell) else "label" for cell in cells]
    numbers = [kinds[: number + 1].count(kind) for number, kind in enumerate(kinds)]
    return ",".join(
        kind if number == 1 else f"{kind}{number}" for kind, number in zip(kinds, numbers, strict=True)
    )


def _is_named_after_splits(name: str, texts: Collection[str]) -> bool:
    """Say whether a column is by its *name* one of splits, and its *texts* may be codes or flags of them.

    >>> _is_named_after_splits("split_id", {*"012"}), _is_named_after_splits("split_id", {*"0123"})
    (True, False)
    >>> _is_named_after_splits("test", {"x", ""}), _is_named_after_splits("test_score", {"low", "high"})
    (True, False)
    """
    words, are_few = _words(name), len(texts) <= MAX_CODES
    has_codes = are_few and len(texts) > 1 and not words.isdisjoint(CODED_COLUMNS)
    return name.lower() in WORDS_OF_SPLITS or has_codes or (_is_flag(words) and (are_few or "is" in words))


def _is_flag(words: Collection[str]) -> bool:
    """Say whether a column whose name has these *words* says yes or no of a split; valid may be a quality.

    >>> _is_flag({"is", "valid"}), _is_flag({"valid"}), _is_flag({"train", "or", "test"})
    (True, False, True)
    """
    of_splits = {*SPLIT_OF_WORD, *LIKE_SPLITS} - ({"valid"} if "is" not in words else set())
    return not of_splits.isdisjoint(words) and of_splits | BESIDE_SPLITS >= {*words}


def _has_words_of_splits(name: str, texts: Collection[str]) -> bool:
    """Say whether *texts*, of a column *name*, are or have words of splits, and something else.

    One that is a split is enough where the name is one of splits; otherwise another text has to name another
    split, or what is like one, as eval; or each of them names one split with other words. Short words alone,
    of several splits, are such too; where the name has a word of `SPLIT_COLUMNS`, also t and v, or of one.

    >>> _has_words_of_splits("phase", {"test", ""}), _has_words_of_splits("source", {"train", "web"})
    (True, False)
    >>> _has_words_of_splits("source", {"train", "eval"}), _has_words_of_splits("set", {"ISIC val", "test 1"})
    (True, True)
    >>> _has_words_of_splits("test_fold", {"tr", "te"}), _has_words_of_splits("test_kind", {*"tv"})
    (True, False)
    >>> _has_words_of_splits("stage", {*"TV"}), _has_words_of_splits("stage", {*"TNM"})
    (True, False)
    >>> _has_words_of_splits("mode", {"tr", "te"}), _has_words_of_splits("lang", {"tr", "trn"})
    (True, False)
    """
    if len(texts) > MAX_SPLIT_TEXTS:
        return False
    is_named = name.lower() in SPLIT_COLUMNS
    are_splits = any(map(split_of_cell, texts))
    lowered = {*map(str.lower, texts)}
    has_word = not _words(name).isdisjoint(SPLIT_COLUMNS)
    only_short = has_word and len(lowered) > 1 and lowered <= {*SHORT_WORDS, *SPLIT_OF_WORD, ""}
    of_short = {(SPLIT_OF_WORD | SPLIT_OF_SHORT_WORD).get(text) for text in lowered}
    only_short |= len(of_short) > 1 and None not in of_short
    named_short = is_named and not lowered.isdisjoint(SPLIT_OF_SHORT_WORD)
    are_short = named_short or (only_short and not lowered.isdisjoint(SHORT_WORDS))
    names = SPLIT_OF_WORD | dict.fromkeys(LIKE_SPLITS, "other")
    splits = [{names[word] for word in _words(text) & names.keys()} for text in texts]
    several = len(set().union(*splits)) > 1
    in_words = several and all(len(of_text) == 1 for of_text in splits)
    return in_words or are_short or (are_splits and (is_named or several))


def _words(text: str) -> set[str]:
    """Return the words in a column's name or a cell: holdout for hold_out, train and test for traintest."""
    text = re.sub(r"(hold|held)[\W_]?out", r"\1out", text, flags=re.IGNORECASE)
    return set(words_of(re.sub(r"(is|train|val|test)(?=train|val|test)", r"\1 ", text, flags=re.IGNORECASE)))


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
