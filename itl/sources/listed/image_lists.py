"""Lists of images with their labels: lines of text, CSV, TSV and JSON lines."""

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from itl import ItlError, counted, examples
from itl.hierarchy.class_lists import is_missing
from itl.sources.files.archives import Member
from itl.sources.files.image_files import FORMATS_OF_SUFFIX
from itl.sources.files.json_text import parse_json
from itl.sources.listed.labels import FLAGS, FLAGS_SET, LABEL_COLUMNS, SEVERAL_LABELS, refuse_several
from itl.sources.listed.list_columns import (
    RARE_IMAGE_COLUMNS,
    MissingColumnError,
    choose_column,
    choose_image_column,
    delimiter_of,
    without_repeated,
)
from itl.sources.listed.split_columns import (
    FewRowsError,
    UnclearListError,
    are_codes_of_splits,
    split_column,
    splits_of_labels,
)
from itl.sources.records import is_image, stem_of
from itl.sources.split_names import is_split_list, split_of_cell, split_of_path, stem_words
from itl.storage import text_lines

UNLABELLED_COLUMNS = {  # of metadata beside class folders
    *("license", "licence", "author", "url", "source", "width", "height", "md5", "sha256", "date"),
    *("caption", "text", "description", "id"),
}
LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson")
PEEKED_TREE_BYTES = 1 << 16  # of JSON or YAML, to see whether they name images and splits
PEEKED_BYTES = 1 << 16  # of a text file, to see whether it lists images
MAX_PEEKED_ROWS = 3  # at most so many rows of a file are looked at to see whether it is a list
Row = Mapping[str, object]  # of a table or of JSON lines, by column
# Words of a file whose labels are no truth: placeholders of Kaggle, or what a model said.
_MADE_UP = re.compile(r"submission|predictions|predicted|(?<![a-z])preds?(?![a-z])")
IMAGE_AND_LABEL = re.compile(
    rf"(.*?(?:{'|'.join(re.escape(suffix) for suffix in FORMATS_OF_SUFFIX)}))(?:[\s,;]+(.*))?", re.IGNORECASE
)


class CodesOfSplitsError(ItlError):
    """A list that is named after splits has numbers for them, and none of labels."""


class ListedImage(NamedTuple):
    """One image of a list."""

    image: str  # as the list names it
    label: str  # as the list has it; empty without one
    line: int = 0  # from 1; 0: not known
    split: str = ""  # train, val or test, where the list has a column of splits


def is_made_up(name: str, files: Iterable[str] = ()) -> bool:
    """Say whether the labels of a list are by its *name* those of a submission, or of a model's predictions.

    A prediction may also be the task, as in disease_prediction.csv, or where a training list among *files* is
    of one too.

    >>> is_made_up("sampleSubmission.csv"), is_made_up("test_prediction.csv"), is_made_up("test.csv")
    (True, True, False)
    >>> is_made_up("age_prediction_test.csv", ["age_prediction_train.csv"]), is_made_up("age_prediction.csv")
    (False, False)
    """
    last = name.rpartition("/")[2].casefold()
    if "prediction" not in last or _MADE_UP.search(last):
        return bool(_MADE_UP.search(last))
    if split_of_path(last) is None:
        return stem_words(last) == ["prediction"]
    training = (file.rpartition("/")[2].casefold() for file in files if split_of_path(file) == "train")
    return not any("prediction" in file and not _MADE_UP.search(file) for file in training)


def text_of(data: bytes, file: str) -> str:
    """Return *data* as text, composed as names of files are; ItlError if it is no text in UTF-8."""
    try:
        text = unicodedata.normalize("NFC", data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ItlError(f"{file} is not text in UTF-8 ({error.reason}); save it as UTF-8") from None
    if "\0" in text:
        raise ItlError(f"{file} is not text; give a list with an image and its label on each line")
    return text


def read_list_file(
    data: bytes,
    file: str,
    image: str | None = None,
    label: str | None = None,
    is_chosen: bool = False,
    unread: list[str] | None = None,
) -> list[ListedImage]:
    """Read a list of images.

    A line of text is `IMAGE` or `IMAGE LABEL`, with spaces, a tab or a comma between; CSV and TSV have a
    header, or an image first and its label second; JSON lines are objects.

    Args:
        data: Content of the file.
        file: Its name: the suffix says what it is, and errors quote it.
        image: Column of the image; None finds it among `IMAGE_COLUMNS`, or else `ID_COLUMNS`.
        label: Column of the label; None finds it among `LABEL_COLUMNS`.
        is_chosen: Whether an option names the file as the list of a split, so that numbers are its labels.
        unread: Gets the columns that are not read.

    Raises:
        CodesOfSplitsError: If numbers may be codes of splits, as 0, 1 and 2 of CelebA.
        ItlError: If it is not text in UTF-8, a column is missing or unclear, or a line cannot be read or has
            several labels.

    >>> read_list_file(b"my cats/1.jpg 3\\n", "train.txt")
    [ListedImage(image='my cats/1.jpg', label='3', line=1, split='')]
    """
    text, unread = text_of(data, file), [] if unread is None else unread
    suffix = "txt" if _has_lines_of_text(text) else file.lower().rpartition(".")[2]
    if suffix in ("jsonl", "ndjson"):
        images = _from_objects(_json_lines(text, file), file, image, label, unread)
    elif suffix in ("csv", "tsv"):
        delimiter = delimiter_of_table(text, suffix)
        images = _from_table(text, delimiter, file, image, label, is_chosen, unread)
    else:
        lines = enumerate(text_lines(text), 1)
        images = [_from_line(line.strip(), number) for number, line in lines if line.strip()]
        _refuse_more_values(images, text, file)
        images = _with_splits(images, file, is_chosen)
    for entry in images:
        refuse_several(entry.label, f"{file}, line {entry.line}")
    return images


def read_start_of_list(member: Member) -> bytes:
    """Return the start of a list: whole lines, at least as many as tell whether it is one."""
    start = member.read_start(PEEKED_BYTES)
    if len(start) < PEEKED_BYTES:
        return start
    whole, _, _ = start.rpartition(b"\n" if b"\n" in start else b"\r")
    return whole if len(whole.splitlines()) >= MAX_PEEKED_ROWS else member.read()


def first_rows(data: bytes, file: str) -> bytes:
    r"""Return the first `MAX_PEEKED_ROWS` rows of a list, header included; cells may have line ends.

    >>> first_rows(b'image,caption\n0.jpg,"a\nb"\n1.jpg,c\n2.jpg,d\n', "a.csv")
    b'image,caption\n0.jpg,"a\nb"\n1.jpg,c\n'
    """
    suffix, count = file.lower().rpartition(".")[2], MAX_PEEKED_ROWS
    if suffix in ("csv", "tsv"):
        text = data.decode("utf-8-sig", "replace")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of_table(text, suffix))
        with suppress(csv.Error):  # of which reading the list says more
            list(islice(reader, MAX_PEEKED_ROWS))
        count = max(count, reader.line_num)
    return b"".join(data.splitlines(keepends=True)[:count])


def first_line(text: str) -> str:
    """Return the first line of *text* that has more than blanks, without those around it.

    >>> first_line(" image,label\\r0.jpg,cat\\r")
    'image,label'
    """
    return re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0].strip()


def _has_lines_of_text(text: str) -> bool:
    """Say whether *text* is of lines `IMAGE LABEL` with a blank between, as Places205 has them in a CSV."""
    first = first_line(text)
    match = IMAGE_AND_LABEL.fullmatch(first)
    is_labelled = bool(match and match[2] and " " not in match[2])  # 0.png is blurred: a note
    return is_labelled and not re.search(r"[,;|\t\"]", first)


def delimiter_of_table(text: str, suffix: str) -> str:
    """Return what separates the values of a table: a tab in a TSV, else what its first line tells."""
    return "\t" if suffix == "tsv" else delimiter_of(first_line(text))


def _from_line(line: str, number: int) -> ListedImage:
    if match := IMAGE_AND_LABEL.fullmatch(line):
        return ListedImage(match[1], (match[2] or "").strip(), number)
    words = re.split(r"\s*[\t,]\s*|\s+", line, maxsplit=1)
    return ListedImage(words[0], words[1] if len(words) > 1 else "", number)


def _with_splits(images: list[ListedImage], file: str, is_chosen: bool) -> list[ListedImage]:
    """Take what no header calls labels for splits, where all are, and several: lines `IMAGE train`.

    CodesOfSplitsError where they are numbers, as 0, 1 and 2 of CelebA, unless the list *is_chosen*.
    """
    labels = {entry.label for entry in images}
    if not is_chosen and are_codes_of_splits(labels, file) and is_image(images[0].image):
        raise CodesOfSplitsError(
            f"{file} is by its name a list of splits, and {examples(sorted(labels))} may be their codes; "
            f"write train, val or test instead, or, if these are classes, name the list with an option, such "
            f"as train={file}"
        )
    split_of = splits_of_labels(labels)
    return [entry._replace(label="", split=split_of[entry.label]) for entry in images] if split_of else images


def has_no_labels(data: bytes, name: str) -> bool:
    r"""Say whether a CSV or JSON lines have a column of images, and others of `UNLABELLED_COLUMNS` alone.

    >>> has_no_labels(b"file_name,license\n0.jpg,CC\n", "metadata.csv")
    True
    >>> has_no_labels(b'{"file_name": "0.jpg", "breed": "tabby"}\n', "metadata.jsonl")
    False
    """
    try:
        text = text_of(data, name)
        if name.lower().endswith(".csv"):
            columns = set(next(csv.reader([first_line(text)], delimiter=delimiter_of_table(text, "csv")), []))
        else:
            columns = {column for _, row in _json_lines(text, name) for column in row}
    except (ItlError, csv.Error):  # which the source lists says of it
        return False
    others = {column.strip().lower() for column in columns} - {*RARE_IMAGE_COLUMNS}
    return len(others) < len(columns) and others <= UNLABELLED_COLUMNS


def names_images(data: bytes, stems: Collection[str]) -> bool:
    """Say whether a JSON names several images, of *stems*, unless it has annotations as COCO's.

    >>> names_images(b'{"0.jpg": "cat", "1.jpg": "dog"}', {"0", "1"}), names_images(b'["0.jpg"]', {"0"})
    (True, False)
    """
    texts = {text.decode("utf-8", "replace") for text in re.findall(rb'"([^"]+)"', data)}
    return "annotations" not in texts and sum(is_image(text) and stem_of(text) in stems for text in texts) > 1


def is_list_of_labels(data: bytes, name: str, image: str | None = None, label: str | None = None) -> bool:
    r"""Say whether a file that is not read lists the labels of a split, so that the split would be missing.

    That is lines with an image and more, a table or JSON lines with a column of labels, or one that is called
    almost so, and whatever is called the list of train. Arguments are as in `read_list_file`.

    >>> is_list_of_labels(b"0.jpg dog 0.5", "val.txt"), is_list_of_labels(b"0.jpg", "test.txt")
    (True, False)
    >>> is_list_of_labels(b"id,label\n0,\n1,a\n", "a/val.csv"), is_list_of_labels(b"id\n0\n", "test.csv")
    (True, False)
    """
    match = IMAGE_AND_LABEL.fullmatch(first_line(data.decode("utf-8-sig", "replace")))
    last = name.rpartition("/")[2]
    if (match and match[2]) or (is_split_list(last) and split_of_path(last) == "train"):
        return True
    if last.lower().endswith(".txt") or not split_of_path(last):
        return False
    try:
        images = read_list_file(data, name, image, label)
    except MissingColumnError:  # as of a test whose labels are not public
        return False
    except ItlError:
        return True
    return any(entry.label for entry in images)


def _refuse_more_values(images: Sequence[ListedImage], text: str, file: str) -> None:
    """Raise UnclearListError if lines of *text* have more than an image and its label, as a fold or score.

    That is what follows a second comma or tab, and a label of several words of which one is a number or a
    split. Several numbers alone are refused as such.
    """
    lines = list(text_lines(text))
    for entry in images:
        rest = lines[entry.line - 1].strip()[len(entry.image) :].lstrip(" ")
        words = re.split(r"[\s,;|]+", entry.label)
        has_value = len(words) > 1 and any(map(_may_be_value, words))
        if (has_value or rest[:1] in {*",;\t"} & {*entry.label}) and not SEVERAL_LABELS.fullmatch(
            entry.label
        ):
            raise UnclearListError(
                f"{file}, line {entry.line}: {entry.label[:40]!r} may be more than a label; write a CSV with "
                f"a header that says which is which, such as image,label,other"
            )


def _may_be_value(word: str) -> bool:
    return bool(re.fullmatch(r"-?\d+(?:\.\d+)?", word) or split_of_cell(word))


def _rows_of_cells(text: str, delimiter: str, file: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line of each row of a table, and its cells; ItlError if it is none."""
    reader, line = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), 1
    try:
        for row in reader:
            if any(row):
                yield line, [cell.strip() for cell in row]
            line = reader.line_num + 1  # where the next row begins, as a value may have line ends
    except csv.Error as error:
        raise ItlError(f"{file} cannot be read as {delimiter!r}-separated values ({error})") from None


def _from_table(
    text: str,
    delimiter: str,
    file: str,
    image: str | None,
    label: str | None,
    is_chosen: bool,
    unread: list[str],
) -> list[ListedImage]:
    numbered = list(_rows_of_cells(text, delimiter, file))
    if not numbered:
        return []
    header = numbered[0][1]
    if IMAGE_AND_LABEL.fullmatch(header[0]) and image is None and label is None:  # no header
        if more := next((number for number, row in numbered if any(row[2:])), 0):
            raise ItlError(
                f"{file}, line {more}: more than an image and its label, and no header says which is which; "
                f"write one above, such as image,label,other"
            )
        images = [ListedImage(row[0], row[1] if len(row) > 1 else "", number) for number, row in numbered]
        return _with_splits(images, file, is_chosen)
    if twice := [name for name, count in Counter(header).items() if name and count > 1]:
        raise ItlError(f"{file} has the column {twice[0]} twice; rename one of them, or leave it out")
    for number, row in numbered[1:]:
        if len(row) != len(header):
            raise ItlError(
                f"{file}, line {number}: {counted(len(row), 'values')}, but the header names {len(header)}"
            )
    objects = ((number, dict(zip(header, row, strict=True))) for number, row in numbered[1:])
    return _from_objects(objects, file, image, label, unread, header)


def rows_of(data: bytes, file: str) -> list[tuple[int, Row]]:
    """Return lines and rows of a table or of JSON lines; [] without columns."""
    text, suffix = text_of(data, file), file.lower().rpartition(".")[2]
    if suffix in ("jsonl", "ndjson"):
        return list(_json_lines(text, file))
    if suffix not in ("csv", "tsv") or _has_lines_of_text(text):
        return []
    rows = list(_rows_of_cells(text, delimiter_of_table(text, suffix), file))
    header = rows[0][1] if rows else [""]
    if IMAGE_AND_LABEL.fullmatch(header[0]):  # no header
        return []
    return [(line, dict(zip(header, row, strict=False))) for line, row in rows[1:]]


def write_whole_numbers(lists: dict[tuple[str, str], list[ListedImage]]) -> None:
    """Write labels 0.0, 1.0 … of *lists*, as pandas has them, as whole numbers, where all are such."""
    labels = {entry.label for images in lists.values() for entry in images}
    if all(re.fullmatch(r"-?[0-9]+\.0", label) for label in labels):
        for key, images in lists.items():
            lists[key] = [entry._replace(label=entry.label.partition(".")[0]) for entry in images]


def _json_lines(text: str, file: str) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(text_lines(text), 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except (ValueError, RecursionError) as error:
            raise ItlError(f"{file}, line {number}: not valid JSON ({str(error)[:60]})") from None
        if not isinstance(row, dict):
            raise ItlError(
                f"{file}, line {number}: {line[:40]!r} is not an object with an image and its label"
            )
        yield number, row


def _from_objects(
    rows: Iterator[tuple[int, Row]],
    file: str,
    image: str | None,
    label: str | None,
    unread: list[str],
    columns: Sequence[str] | None = None,
) -> list[ListedImage]:
    numbered = list(rows)
    names = list(columns or dict.fromkeys(name for _, row in numbered for name in row))
    if not names:
        return []
    objects = [row for _, row in numbered]
    image_column = choose_image_column(names, image, objects, file)
    others = [name for name in names if name != image_column]
    _refuse_class_columns(objects, others, label, file)

    def values_of(column: str) -> Iterator[object]:  # of as many rows as are looked at
        return (row.get(column, "") for row in objects)

    is_split = len(others) == 1 and label is None and others[0].lower() not in LABEL_COLUMNS
    label_column = ""
    try:
        is_bare = is_split and split_column({others[0]: values_of(others[0])}, file)
    except UnclearListError as error:
        raise FewRowsError(str(error)) from None  # a table without labels is no list
    if not is_bare:
        once = names if label else without_repeated(names, LABEL_COLUMNS, objects)
        label_column = choose_column(once, label, LABEL_COLUMNS, "label", file)
    others = [name for name in others if name != label_column]
    _refuse_denied(numbered, others, file)
    of_split = split_column({name: values_of(name) for name in others}, file)
    unread += [name for name in others if name not in (of_split, "")]
    images = []
    columns = [column for column in (image_column, label_column) if column]
    for number, row in numbered:
        values = [row.get(column) for column in columns]
        if not all(isinstance(value, str | int) and not is_missing(value) for value in values):
            shown = [f"{column} is {str(row.get(column))[:40]!r}" for column in columns]
            cure = "an image and its label are text or a whole number"
            if any(map(is_missing, values)):
                cure = (
                    "an empty cell (nan, as pandas writes it) says nothing; leave such lines out of the list"
                )
            is_empty = bool(label_column) and all(map(is_missing, values_of(label_column)))
            raise (MissingColumnError if is_empty else ItlError)(
                f"{file}, line {number}: {' and '.join(shown)}; {cure}"
            )
        split = split_of_cell(row[of_split]) if of_split else ""
        images.append(ListedImage(str(values[0]), str(values[1]) if label_column else "", number, split))
    return images


def _refuse_denied(numbered: Sequence[tuple[int, Row]], columns: Sequence[str], file: str) -> None:
    """Raise ItlError if lines deny their label: those of Open Images whose Confidence is 0, not 1."""
    for column in columns:
        if column.lower() != "confidence" or any(_flag(row, column) not in FLAGS for _, row in numbered):
            continue
        denied = [(number, row[column]) for number, row in numbered if _flag(row, column) not in FLAGS_SET]
        if denied:
            raise ItlError(
                f"{file}, line {denied[0][0]}: {column} {denied[0][1]} says that the image is not of this "
                f"label; remove such lines, here {len(denied):,} of {len(numbered):,}"
            )


def _refuse_class_columns(rows: Sequence[Row], columns: Sequence[str], label: str | None, file: str) -> None:
    """Raise FewRowsError if *columns* of 0 and 1 seem to be classes: one is 1 in each row, or all are such.

    A column of splits may be beside them. Where *label* chooses one of them, it is a class only if one of
    three or more is 1 in each row.
    """
    if not rows or (label is None and not {*LABEL_COLUMNS}.isdisjoint(map(str.lower, columns))):
        return
    flags = {
        name: [_flag(row, name) in FLAGS_SET for row in rows]
        for name in columns
        if name and all(_flag(row, name) in FLAGS for row in rows)
    }
    others = {name: [row.get(name, "") for row in rows] for name in columns if name and name not in flags}
    is_one = set(map(sum, zip(*flags.values(), strict=True))) == {1}
    are_classes = label in flags and len(flags) > 2 and is_one
    if label is None and len(flags) > 1:
        are_classes = is_one or {*others} <= {split_column(others, file)}
    if are_classes:
        raise FewRowsError(
            f"{file} has a column of 0 and 1 for each class, {examples(flags)}; write one column label with "
            f"the name of the one that is 1 (pandas: table[columns].idxmax(axis=1)), and leave out images of "
            f"none or several, or give all classes of an image as boxes in COCO-style JSON (source coco), "
            f"for tasks actions@ or detection@"
        )


def _flag(row: Row, column: str) -> str:
    return str(row.get(column, "")).strip().lower()
