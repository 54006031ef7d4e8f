"""Lists of images that are tables or JSON lines: their rows, and what the columns of these are."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from itl.errors import ItlError
from itl.hierarchy.class_lists import is_missing
from itl.sources.files.json_text import parse_json
from itl.sources.listed.labels import FLAGS, FLAGS_SET, LABEL_COLUMNS, ranks_of_class
from itl.sources.listed.list_columns import (
    IMAGE_COLUMNS,
    RARE_IMAGE_COLUMNS,
    MissingColumnError,
    choose_column,
    choose_image_column,
    refuse_unlike,
    with_names,
    without_repeated,
)
from itl.sources.listed.list_files import (
    IMAGE_AND_LABEL,
    ListedImage,
    ListFile,
    delimiter_of_table,
    first_line,
    has_lines_of_text,
    text_of,
)
from itl.sources.listed.split_columns import UnclearListError, split_column
from itl.sources.records import unquoted
from itl.sources.split_names import split_of_cell
from itl.storage import text_lines
from itl.words import counted, examples

UNLABELLED_COLUMNS = {  # of metadata beside class folders
    *("license", "licence", "author", "url", "source", "width", "height", "md5", "sha256", "date"),
    *("caption", "text", "description", "id"),
}
Row = Mapping[str, object]  # of a table or of JSON lines, by column


def rows_of(data: bytes, file: str) -> list[tuple[int, Row]]:
    """Return lines and rows of a table or of JSON lines; [] without columns."""
    text, suffix = text_of(data, file), file.lower().rpartition(".")[2]
    if suffix in ("jsonl", "ndjson"):
        return list(json_lines(text, ListFile(file)))
    if suffix not in ("csv", "tsv") or has_lines_of_text(text):
        return []
    rows = list(rows_of_cells(text, delimiter_of_table(text, suffix), ListFile(file)))
    header = rows[0][1] if rows else [""]
    if IMAGE_AND_LABEL.fullmatch(header[0]):  # no header
        return []
    return [(line, dict(zip(header, row, strict=False))) for line, row in rows[1:]]


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
            rows = rows_of_cells(first_line(text), delimiter_of_table(text, "csv"), ListFile(name))
            columns = {cell for _, row in rows for cell in row}
        else:
            columns = {column for _, row in json_lines(text, ListFile(name)) for column in row}
    except ItlError:  # which the source lists says of it
        return False
    others = {column.strip().lower() for column in columns} - {*RARE_IMAGE_COLUMNS}
    return len(others) < len(columns) and others <= UNLABELLED_COLUMNS


def json_lines(text: str, parsed: ListFile) -> Iterator[tuple[int, Row]]:
    """Yield the number of each line of JSON, and its object; ItlError if it is none."""
    file = parsed.name
    for number, line in enumerate(text_lines(text), 1):
        if not line.strip():
            continue
        parsed.line = number
        try:
            row = parse_json(line)
        except (ValueError, RecursionError) as error:
            raise ItlError(f"{file}, line {number}: not valid JSON ({str(error)[:60]})") from None
        if not isinstance(row, dict):
            raise ItlError(
                f"{file}, line {number}: {line[:40]!r} is not an object with an image and its label"
            )
        yield number, row


def rows_of_cells(text: str, delimiter: str, parsed: ListFile) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line of each row of a table, and its cells; ItlError if it is none."""
    quoted = rf'{re.escape(delimiter)} +"'
    whole = re.findall(rf'{quoted}(?:[^"]|"")*"(?=[{re.escape(delimiter)}\r\n]|\Z)', text)
    are_whole = len(whole) == len(re.findall(quoted, text))  # else it is text: , "Big" Bird
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=are_whole, strict=True)
    parsed.line = 1
    try:
        for row in reader:
            if any(row):
                yield parsed.line, [unquoted(cell.strip()) if '"' in cell else cell.strip() for cell in row]
            parsed.line = reader.line_num + 1  # where the next row begins, as a value may have line ends
    except csv.Error as error:
        raise ItlError(f"{parsed.name} cannot be read as {delimiter!r}-separated values ({error})") from None


def objects_of_table(
    rows: Iterable[tuple[int, list[str]]], header: Sequence[str], file: str
) -> Iterator[tuple[int, Row]]:
    """Yield lines and rows of a table by column; ItlError if the header is unclear, or a row unlike it."""
    if twice := [name for name, count in Counter(header).items() if name and count > 1]:
        raise ItlError(f"{file} has the column {twice[0]} twice; rename one of them, or leave it out")
    for number, row in rows:
        if len(row) != len(header):
            raise ItlError(
                f"{file}, line {number}: {counted(len(row), 'values')}, but the header names {len(header)}"
            )
        yield number, dict(zip(header, row, strict=True))


def add_objects(
    parsed: ListFile,
    rows: Iterator[tuple[int, Row]],
    image: str | None,
    label: str | None,
    columns: Sequence[str] = (),
) -> None:
    """Add the images of *rows*, those above the first that cannot be read; their columns say what each is."""
    file = parsed.name
    has_labels = label is not None or with_names(columns, LABEL_COLUMNS) or ranks_of_class(columns)
    numbered, fault = _rows_before_fault(rows, columns if not has_labels else ())
    last, parsed.line = parsed.line, 0
    names = list(columns or dict.fromkeys(name for _, row in numbered for name in row))
    if not names:
        return
    objects = [row for _, row in numbered]
    try:
        chosen = _choose_columns(names, objects, image, label, file)
    except MissingColumnError as error:  # perhaps for want of the rows that cannot be read
        parsed.line = last if fault else 0
        raise (fault or error) from None
    others = [name for name in names if name not in chosen]
    of_split = split_column({name: [row.get(name, "") for row in objects] for name in others}, file)
    parsed.unread += [name for name in others if name not in (of_split, "")]
    usual_of = {"image": () if image else IMAGE_COLUMNS, "label": () if label else LABEL_COLUMNS}
    repeated = {what: usual for what, usual in usual_of.items() if len(with_names(names, usual)) > 1}
    denied = _denied_lines(numbered, others)
    for number, row in numbered:
        parsed.line = number
        for what, usual in repeated.items():
            refuse_unlike(names, usual, row, what, file)
        if number in denied:
            raise ItlError(
                f"{file}, line {number}: {denied[number]} says that the image is not of this label; remove "
                f"such lines, here {len(denied):,} of {len(numbered):,}"
            )
        image_name, *labels = _values_of(row, chosen, f"{file}, line {number}", objects)
        split = split_of_cell(row[of_split]) if of_split else ""
        parsed.add(ListedImage(image_name, "".join(labels), number, split))
    if fault:
        parsed.line = last
        raise fault


def _rows_before_fault(
    rows: Iterable[tuple[int, Row]], unlabelled: Sequence[str]
) -> tuple[list[tuple[int, Row]], ItlError | None]:
    """Return the rows above the first that cannot be read, and its fault, which is raised if there are none.

    Of a table of more than two columns that are *unlabelled*, and not one of 0 and 1 for each class, the rest
    is not read: it may be large.
    """
    numbered: list[tuple[int, Row]] = []
    try:
        for number, row in rows:
            numbered.append((number, row))
            if len(unlabelled) > 2 and sum(_flag(row, column) in FLAGS for column in unlabelled) < 2:
                break
    except ItlError as error:
        if not numbered:
            raise
        return numbered, error
    return numbered, None


def _choose_columns(
    names: Sequence[str], rows: Sequence[Row], image: str | None, label: str | None, file: str
) -> list[str]:
    """Return the columns of images and of labels; the former alone, where the only other has splits."""
    image_column = choose_image_column(names, image, rows, file)
    others = [name for name in names if name != image_column]
    _refuse_class_columns(rows, others, label, file)
    if len(others) == 1 and label is None and others[0].lower() not in LABEL_COLUMNS:
        try:
            is_bare = split_column({others[0]: [row.get(others[0], "") for row in rows]}, file)
        except UnclearListError as error:
            raise ItlError(str(error)) from None  # a table without labels is no list
        if is_bare:
            return [image_column]
    once = names if label else without_repeated(names, LABEL_COLUMNS)
    return [image_column, choose_column(once, label, LABEL_COLUMNS, "label", file)]


def _values_of(row: Row, columns: Sequence[str], where: str, rows: Iterable[Row]) -> list[str]:
    """Return what a *row* has in the *columns* of images and labels, as text; ItlError if that is nothing.

    A MissingColumnError if none of *rows* has a label.
    """
    values = [row.get(column) for column in columns]
    if all(isinstance(value, str | int) and not is_missing(value) for value in values):
        return list(map(str, values))
    shown = [f"{column} is {str(value)[:40]!r}" for column, value in zip(columns, values, strict=True)]
    cure = "an image and its label are text or a whole number"
    if any(map(is_missing, values)):
        cure = "an empty cell (nan, as pandas writes it) says nothing; leave such lines out of the list"
    is_empty = len(columns) > 1 and all(is_missing(other.get(columns[1], "")) for other in rows)
    raise (MissingColumnError if is_empty else ItlError)(f"{where}: {' and '.join(shown)}; {cure}")


def _denied_lines(numbered: Sequence[tuple[int, Row]], columns: Sequence[str]) -> dict[int, str]:
    """Return what denies the label of lines, as in Open Images, whose column Confidence is 0, not 1."""
    denied: dict[int, str] = {}
    for column in columns:
        if column.lower() == "confidence" and all(_flag(row, column) in FLAGS for _, row in numbered):
            others = [(number, row) for number, row in numbered if _flag(row, column) not in FLAGS_SET]
            denied |= {number: f"{column} {row[column]}" for number, row in others}
    return denied


def _refuse_class_columns(rows: Sequence[Row], columns: Sequence[str], label: str | None, file: str) -> None:
    """Raise ItlError if *columns* of 0 and 1 seem to be classes: one is 1 in each row, or all are such.

    A column of splits may be beside them. Where *label* chooses one of them, it is a class only if one of
    three or more is 1 in each row.
    """
    if not rows or (label is None and not {*LABEL_COLUMNS}.isdisjoint(map(str.lower, columns))):
        return
    flags = [name for name in columns if name and all(_flag(row, name) in FLAGS for row in rows)]
    others = {name: [row.get(name, "") for row in rows] for name in columns if name and name not in flags}
    is_one = all(sum(_flag(row, name) in FLAGS_SET for name in flags) == 1 for row in rows)
    are_classes = label in flags and len(flags) > 2 and is_one
    if label is None and len(flags) > 1:
        uses = [name for name in flags if any(_flag(row, name) in FLAGS_SET for row in rows)]
        are_classes = (is_one and len(uses) > 1) or {*others} <= {split_column(others, file)}
    if are_classes:
        raise ItlError(
            f"{file} has a column of 0 and 1 for each class, {examples(flags)}; write one column label with "
            f"the name of the one that is 1 (pandas: table[columns].idxmax(axis=1)), and leave out images of "
            f"none or several, or give all classes of an image as boxes in COCO-style JSON (source coco), "
            f"for tasks actions@ or detection@"
        )


def _flag(row: Row, column: str) -> str:
    return str(row.get(column, "")).strip().lower()
