"""Lists of images with their labels: lines of text, CSV, TSV and JSON lines."""

import re
from collections.abc import Collection, Iterable
from itertools import chain

from itl.errors import ItlError
from itl.sources.listed.labels import SEVERAL_LABELS
from itl.sources.listed.list_columns import MissingColumnError
from itl.sources.listed.list_files import (
    IMAGE_AND_LABEL,
    CodesOfSplitsError,
    ListedImage,
    ListFile,
    NoTextError,
    delimiter_of_header,
    delimiter_of_table,
    first_line,
    has_lines_of_text,
    is_utf16,
    text_of,
)
from itl.sources.listed.list_tables import add_objects, json_lines, objects_of_table, rows_of_cells
from itl.sources.listed.split_columns import UnclearListError, are_codes_of_splits, splits_of_labels
from itl.sources.records import is_image, stem_of, unquoted
from itl.sources.split_names import is_split_list, split_of_cell, split_of_path, stem_words
from itl.storage import text_lines
from itl.words import examples

LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson")
PEEKED_BYTES = 1 << 16  # of a text file, to see what it is
# Words of a file whose labels are no truth: placeholders of Kaggle, or what a model said.
_PREDICTION = re.compile(r"submission|predictions|predicted|(?<![a-z])preds?(?![a-z])")
# The same in names of files that are no lists of a source.
_OUTPUT = re.compile(r"results?|scores?|metrics?|logits?|outputs?")


def is_prediction(name: str, files: Iterable[str] = ()) -> bool:
    """Say whether the labels of a list are by its *name* those of a submission, or of a model's predictions.

    A prediction may also be the task, as in disease_prediction.csv, or where a training list among *files* is
    of one too.

    >>> is_prediction("sampleSubmission.csv"), is_prediction("test_prediction.csv"), is_prediction("test.csv")
    (True, True, False)
    >>> is_prediction("a_prediction_test.csv", ["a_prediction_train.csv"]), is_prediction("a_prediction.csv")
    (False, False)
    """
    last = name.rpartition("/")[2].casefold()
    if "prediction" not in last or _PREDICTION.search(last):
        return bool(_PREDICTION.search(last))
    if split_of_path(last) is None:
        return stem_words(last) == ["prediction"]
    training = (file.rpartition("/")[2].casefold() for file in files if split_of_path(file) == "train")
    return not any("prediction" in file and not _PREDICTION.search(file) for file in training)


def may_be_prediction(name: str) -> bool:
    """Say whether a file that is no list of a source may by its *name* have what a model said.

    >>> may_be_prediction("val_preds.txt"), may_be_prediction("results.csv"), may_be_prediction("val_map.txt")
    (True, True, False)
    """
    return is_prediction(name) or bool(_OUTPUT.search(name.rpartition("/")[2].casefold()))


def read_list_file(data: bytes, file: str) -> list[ListedImage]:
    """Return the images of a list, as `parse_list` reads them; ItlError for its fault.

    >>> read_list_file(b"my cats/1.jpg 3\\n", "train.txt")
    [ListedImage(image='my cats/1.jpg', label='3', line=1, split='')]
    """
    parsed = parse_list(data, file)
    if parsed.fault:
        raise parsed.fault
    return parsed.images


def parse_list(
    data: bytes, file: str, image: str | None = None, label: str | None = None, is_chosen: bool = False
) -> ListFile:
    """Read a list of images.

    A line of text is `IMAGE` or `IMAGE LABEL`, with spaces, a tab or a comma between, unless the first names
    columns; CSV and TSV have a header, or an image first and its label second; JSON lines are objects.

    Args:
        data: Content of the file.
        file: Its name: the suffix says what it is, and errors quote it.
        image: Column of the image; None finds it among `IMAGE_COLUMNS`, or else `ID_COLUMNS`.
        label: Column of the label; None finds it among `LABEL_COLUMNS`.
        is_chosen: Whether an option names the file as the list of a split, so that numbers are its labels.

    Returns:
        The images. The fault is a NoTextError if it is not text in UTF-8, a CodesOfSplitsError if numbers may
        be codes of splits, as 0, 1 and 2 of CelebA, an UnclearListError if lines may have more than a label,
        and another ItlError if a column is missing or unclear, or a line cannot be read.
    """
    parsed = ListFile(file)
    try:
        text = text_of(data, file)
    except NoTextError as error:
        parsed.fault, text = error, data.decode("utf-16" if is_utf16(data) else "utf-8-sig", "replace")
    parsed.header = first_line(text)
    try:
        _add_images(parsed, text, image, label, is_chosen)
    except ItlError as error:
        if not parsed.fault or isinstance(error, MissingColumnError):  # then it is no list, as text or not
            parsed.fault = error
    return parsed


def _add_images(parsed: ListFile, text: str, image: str | None, label: str | None, is_chosen: bool) -> None:
    """Add the images of *text* to what is *parsed* of a file; arguments are as in `parse_list`."""
    file = parsed.name
    suffix = "txt" if has_lines_of_text(text) else file.lower().rpartition(".")[2]
    may_be_list = is_chosen or split_of_path(file) is not None
    delimiter = ""
    if suffix in ("csv", "tsv"):
        delimiter = delimiter_of_table(text, suffix)
    elif may_be_list:
        delimiter = delimiter_of_header(text, image, label)
    if suffix in ("jsonl", "ndjson"):
        add_objects(parsed, json_lines(text, parsed), image, label)
    elif delimiter:
        rows = rows_of_cells(text, delimiter, parsed)
        number, header = next(rows, (0, [""]))
        if IMAGE_AND_LABEL.fullmatch(header[0]) and image is None and label is None:
            _add_pairs(parsed, chain([(number, header)], rows), is_chosen)
        elif number:
            add_objects(parsed, objects_of_table(rows, header, file), image, label, header)
    else:
        for number, line in enumerate(text_lines(text), 1):
            if line := line.strip():
                parsed.line = number
                parsed.add(_from_line(line, number, file))
                if not (may_be_list := may_be_list or is_image(parsed.images[0].image)):
                    break  # perhaps a large log
        _take_splits(parsed, is_chosen)


def _from_line(line: str, number: int, file: str) -> ListedImage:
    """Return the image and label of a *line*; UnclearListError if it has more, as a fold or score.

    That is what follows a second comma or tab, and a label of several words of which one is a number or a
    split. Several numbers alone are refused as such.
    """
    match = IMAGE_AND_LABEL.fullmatch(line)
    image, *others = (match[1], match[2] or "") if match else re.split(r"\s*[\t,]\s*|\s+", line, maxsplit=1)
    label = "".join(others).strip()
    words = re.split(r"[\s,;|]+", label)
    has_value = len(words) > 1 and any(map(_may_be_value, words))
    sign = line[len(image) :].lstrip(" ")[:1]
    is_unclear = has_value or (sign in (*",;\t",) and sign in label)
    if is_unclear and not SEVERAL_LABELS.fullmatch(label) and unquoted(label) == label:
        raise UnclearListError(
            f"{file}, line {number}: {label[:40]!r} may be more than a label; write a CSV with a header that "
            f"says which is which, such as image,label,other"
        )
    return ListedImage(image, label, number)


def _may_be_value(word: str) -> bool:
    return bool(re.fullmatch(r"-?\d+(?:\.\d+)?", word) or split_of_cell(word))


def _add_pairs(parsed: ListFile, rows: Iterable[tuple[int, list[str]]], is_chosen: bool) -> None:
    """Add the images of a table without a header."""
    for number, row in rows:
        parsed.line = number
        if any(row[2:]):
            raise ItlError(
                f"{parsed.name}, line {number}: more than an image and its label, and no header says which "
                f"is which; write one above, such as image,label,other"
            )
        parsed.add(ListedImage(row[0], "".join(row[1:2]), number))
    _take_splits(parsed, is_chosen)


def _take_splits(parsed: ListFile, is_chosen: bool) -> None:
    """Take what no header calls labels for splits, where all are, and several: lines `IMAGE train`.

    CodesOfSplitsError where they are numbers, as 0, 1 and 2 of CelebA, unless the list *is_chosen*.
    """
    file, images = parsed.name, parsed.images
    labels = {entry.label for entry in images}
    if not is_chosen and are_codes_of_splits(labels, file) and is_image(images[0].image):
        raise CodesOfSplitsError(
            f"{file} is by its name a list of splits, and {examples(sorted(labels))} may be their codes; "
            f"write train, val or test instead, or, if these are classes, name the list with an option, such "
            f"as train={file}"
        )
    if split_of := splits_of_labels(labels):
        parsed.images = [entry._replace(label="", split=split_of[entry.label]) for entry in images]


def is_list_of_labels(parsed: ListFile) -> bool:
    r"""Say whether a file that is not read lists the labels of a split, so that the split would be missing.

    That is lines with an image and more, a table or JSON lines with a column of labels, or one that is called
    almost so, and whatever is called the list of train.

    >>> [is_list_of_labels(parse_list(line, "val.txt")) for line in (b"0.jpg dog 0.5", b"0.jpg")]
    [True, False]
    >>> [is_list_of_labels(parse_list(table, "val.csv")) for table in (b"id,label\n0,\n1,a\n", b"id\n0\n")]
    [True, False]
    """
    match = IMAGE_AND_LABEL.fullmatch(parsed.header)
    last = parsed.name.rpartition("/")[2]
    if (match and match[2]) or (is_split_list(last) and split_of_path(last) == "train"):
        return True
    if last.lower().endswith(".txt") or not split_of_path(last):
        return False
    if parsed.fault:  # of a test whose labels are not public, a column is missing
        return not isinstance(parsed.fault, MissingColumnError)
    return any(entry.label for entry in parsed.images)


def names_images(data: bytes, stems: Collection[str]) -> bool:
    """Say whether a JSON names several images, of *stems*, unless it has annotations as COCO's.

    >>> names_images(b'{"0.jpg": "cat", "1.jpg": "dog"}', {"0", "1"}), names_images(b'["0.jpg"]', {"0"})
    (True, False)
    """
    texts = {text.decode("utf-8", "replace") for text in re.findall(rb'"([^"]+)"', data)}
    return "annotations" not in texts and sum(is_image(text) and stem_of(text) in stems for text in texts) > 1


def write_whole_numbers(lists: dict[tuple[str, str], list[ListedImage]]) -> None:
    """Write labels 0.0, 1.0 … of *lists*, as pandas has them, as whole numbers, where all are such."""
    labels = {entry.label for images in lists.values() for entry in images}
    if all(re.fullmatch(r"-?[0-9]+\.0", label) for label in labels):
        for key, images in lists.items():
            lists[key] = [entry._replace(label=entry.label.partition(".")[0]) for entry in images]
