"""Parquet tables with the bytes of images, as the Hugging Face hub stores data sets."""

import json
import shlex
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from itl.errors import ItlError
from itl.hierarchy.class_lists import is_missing
from itl.iteration import grouped
from itl.sources.files.archives import Member
from itl.sources.files.option_files import folder_around
from itl.sources.files.untrusted_files import explain_damage, refuse_large
from itl.sources.listed.container_files import ContainerSource, sample_id
from itl.sources.listed.groups import hold_out
from itl.sources.listed.labels import LABEL_COLUMNS, NO_LABEL, describe_labels, refuse_several
from itl.sources.listed.list_columns import choose_column, describe_unread
from itl.sources.listed.numbered_classes import names_in_card, read_names, refuse_repeated
from itl.sources.listed.split_columns import SPLIT_COLUMNS, few_texts, split_column
from itl.sources.records import Record, plain_label
from itl.sources.split_names import split_of_cell, split_of_path
from itl.words import counted

PARQUET_IMAGE_COLUMNS = ("image", "img", "jpg", "image_bytes", "bytes", "picture", "webp", "png")
MORE_LABEL_COLUMNS = (*LABEL_COLUMNS, "fine_label", "cls")
BYTES_OF_NO_PATH = 4096  # a row of more has bytes of an image
BATCH_ROWS = 64  # that are read at once to find the first image
CACHED_BYTES = 1 << 30  # of row groups that are kept while images are read
NOT_PLAIN = (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)


class Column(NamedTuple):
    """A column of a table, or one field of a struct that it holds; any name may have dots."""

    name: str
    field: str = ""

    def __str__(self) -> str:
        """The path, as Parquet has it."""
        return f"{self.name}.{self.field}" if self.field else self.name


class Columns(NamedTuple):
    """The columns that are read."""

    image: Column  # of the bytes of its file
    label: str


@dataclass(frozen=True, slots=True)
class RowGroup:
    """One row group of one file."""

    file: str  # relative to the source's path
    number: int
    rows: int
    unpacked_bytes: int
    time_ns: int  # of the file, as it was listed


@dataclass(frozen=True)
class ParquetImages(ContainerSource):
    """Parquet files with a column of images and one of labels; the names of files tell the splits.

    An image is called as its ``path`` says, below its class. Where that is not the order of the rows,
    and the table is too large for memory, images are called by the number of their row.
    """

    image: str | None = None  # column; None finds it by its name
    label: str | None = None  # column; None finds it by its name
    group: str | None = None  # column by which val_fraction holds images out together, as of a patient
    kind = "parquet"
    suffix = ".parquet"
    expected = (
        "a folder of .parquet files, such as data/train-00000-of-00002.parquet, with the columns image (its "
        "bytes) and label, as the Hugging Face hub stores them"
    )
    how_to_add_splits = (
        "a column split of train, val or test divides files whose names tell none, or write further "
        "files, such as test-00000-of-00001.parquet"
    )

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Those that are read; ItlError where folders alone say the labels."""
        for name in sorted(self._listed):
            if "=" in name and name.lower().endswith(self.suffix):
                self._refuse_partition(name)
        return super()._files

    def _refuse_partition(self, name: str) -> None:
        """Raise ItlError where the label of a file is in the name of a folder, as in Hive's tables."""
        folders = name.split("/")[:-1]
        first = next((number for number, folder in enumerate(folders) if "=" in folder), len(folders))
        columns = [folder.partition("=")[0] for folder in folders[first:]]
        label = next((column for column in columns if column.lower() in MORE_LABEL_COLUMNS), "")
        own = open_table(self._listed[name]).schema_arrow.names if label else []
        if not label or self.label in own or any(column.lower() in MORE_LABEL_COLUMNS for column in own):
            return
        split = split_of_path("/".join(folders[:first]))
        way = f"write one file for each split, with a column {label}"
        if split or not split_of_path(name.rpartition("/")[2]):
            table, file = str(self.path.resolve().joinpath(*folders[:first])), f"{split or 'images'}.parquet"
            table, file = (json.dumps(text, ensure_ascii=False) for text in (table, file))
            code = f"import pandas; pandas.read_parquet({table}).to_parquet({file})"
            others = f", and so for the splits other than {split}," if split else ""
            run = f"run `python -c {shlex.quote(code)}` in an empty folder"
            way = f"to make a column of it, {run}{others} and give that folder"
        raise ItlError(
            f"{self.path}: {name} has its {label} in the name of a folder, which is not read; {way}"
        )

    @property
    def layout(self) -> str:
        """How many files there are."""
        by_column = f", split by the column {self._split_column}" if self._split_column else ""
        return f"Parquet in {counted(len(self._files), 'files')}{self._missing_parts}{by_column}"

    @cached_property
    def notes(self) -> Sequence[str]:
        """Labels that may be no classes, names that may be of other numbers, and unread columns."""
        labels = {record.wnid for record, _, _ in self._rows.values()}
        notes = [*describe_labels(labels), *self._division[1]]
        read = (self._columns.image.name, self._columns.label, self._split_column, self.group)
        unread = [name for name in self._first_schema.names if name not in read]
        notes += describe_unread(unread, next(iter(self._files)))
        if not self.names:
            return notes
        numbers = set(map(str, self._column(self._all_groups, self._columns.label))) - {NO_LABEL}
        return [*self._describe_zero(numbers), *notes]

    @property
    def labelled_by(self) -> str:
        """What says the class of an image, and where names of numbers come from."""
        (names, file), label = self._class_names, self._columns.label
        if names:
            return f"the column {label}, named by {file}"
        is_number = pa.types.is_integer(self._first_schema.field(label).type)
        without_names = ", numbers without names (the option names=FILE gives them)" if is_number else ""
        return f"the column {label}{without_names}"

    @cached_property
    def _schemas(self) -> dict[str, pa.Schema]:
        """The schema of each file."""
        return {name: open_table(file).schema_arrow for name, file in self._files.items()}

    @property
    def _first_schema(self) -> pa.Schema:
        """The schema of the first file; all have the same columns."""
        return next(iter(self._schemas.values()))

    def records(self) -> list[Record]:
        """Return one record for each labelled image, sorted by id."""
        return self._division[0]

    def read(self, record: Record) -> bytes:
        """Return the file of *record*; ItlError if its row has no bytes, or the table is damaged."""
        _, group, row = self._rows[record.id]
        values = _ROW_GROUPS.read(self._files[group.file], group, self._columns.image)
        value = values[row].as_py() if row < len(values) else None  # a damaged group may have fewer
        if not value or not isinstance(value, bytes):  # a damaged schema may make them text
            raise ItlError("its row has no bytes of an image")
        return value

    @property
    def left_out(self) -> Counter:
        """Rows without a label, and files of other kinds."""
        rows = sum(group.rows for group in self._all_groups)
        return Counter({"unlabelled rows": rows - len(self._rows)}) + self._count_others()

    @cached_property
    def _groups(self) -> dict[str, list[RowGroup]]:
        """The row groups of each split."""
        groups: dict[str, list[RowGroup]] = {}
        for name, file in self._files.items():
            metadata = open_table(file).metadata
            of_split = groups.setdefault(self._split_of[name], [])
            for number in range(metadata.num_row_groups):
                group = metadata.row_group(number)
                size, time_ns = group.total_byte_size, file.stat().st_mtime_ns
                refuse_large(size, f"row group {number} of {file}")
                of_split.append(RowGroup(name, number, group.num_rows, size, time_ns))
        return groups

    @property
    def _all_groups(self) -> list[RowGroup]:
        return [group for of_split in self._groups.values() for group in of_split]

    @cached_property
    def _columns(self) -> Columns:
        """The columns of images and labels; ItlError if files differ in them, or one holds something else."""
        schema, columns, first = self._first_schema, self._first_schema.names, next(iter(self._files))
        for name, other in self._schemas.items():
            if (others := other.names) != columns:
                raise ItlError(
                    f"{self.path}: {name} has the columns {', '.join(others)[:80]}, but {first} has "
                    f"{', '.join(columns)[:80]}; give files of one data set"
                )
        image = choose_column(columns, self.image, PARQUET_IMAGE_COLUMNS, "image", first)
        label = choose_column(columns, self.label, MORE_LABEL_COLUMNS, "label", first)
        kind = schema.field(label).type
        if pa.types.is_nested(kind) or pa.types.is_floating(kind):
            way = "" if pa.types.is_nested(kind) else "write whole numbers or names, or "
            raise ItlError(
                f"{first}: the column {label} is {kind}, not one class for each image; {way}set the option "
                f"label=COLUMN"
            )
        self._refuse_other_kinds(label)
        kind = schema.field(image).type
        if column := _column_of_bytes(schema.field(image)):
            return Columns(column, label)
        ways = [f"set the option image={field.name}" for field in schema if _column_of_bytes(field)][:1]
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            table = f"{split_of_path(first) or 'train'}.csv"
            ways.append(
                f"if it has paths, write a CSV beside the images for the source lists: "
                f"pandas.read_parquet({str(self._files[first])!r}).to_csv({table!r}, index=False)"
            )
        way = ", or ".join(ways) or "write the bytes of each image's file"
        raise ItlError(f"{first}: the column {image} is {kind}, not the bytes of images; {way}")

    def _refuse_other_kinds(self, label: str) -> None:
        """Raise ItlError where the column *label* is of numbers in one file, and of text in another."""
        types = {name: schema.field(label).type for name, schema in self._schemas.items()}
        kinds = {name: _kind(kind) for name, kind in types.items() if not pa.types.is_null(kind)}
        first = next(iter(kinds), "")
        if other := next((name for name in kinds if kinds[name] != kinds[first]), ""):
            raise ItlError(
                f"{self.path}: the column {label} is {types[first]} in {first}, but {types[other]} in "
                f"{other}; give files of one data set"
            )

    @cached_property
    def _rows(self) -> dict[str, tuple[Record, RowGroup, int]]:
        """Each record, its row group and its row in that, by id."""
        self._refuse_without_bytes()
        rows: dict[str, tuple[Record, RowGroup, int]] = {}
        files = {name: Member(str(path)) for name, path in self._files.items()}  # tells when it has changed
        for split, groups in self._groups.items():
            labels, paths = self._labels(groups), self._paths(groups)
            splits = self._splits(groups, split)
            ids = self._named_ids(splits, labels, paths)
            positions = ((group, row) for group in groups for row in range(group.rows))
            for number, (label, (group, row)) in enumerate(zip(labels, positions, strict=True)):
                if label:
                    name = ids[number] if ids else f"{splits[number]}/{number:08d}"
                    rows[name] = Record(name, label, splits[number], files[group.file]), group, row
        return rows

    @cached_property
    def _division(self) -> tuple[list[Record], list[str]]:
        """Records, of which the option val_fraction has made some val, and notes on that."""
        records = [record for record, _, _ in self._rows.values()]
        columns, group, schema = [*self._plain_columns], self.group, self._first_schema
        if group and group in schema.names and not pa.types.is_nested(schema.field(group).type):
            columns.append(group)  # also of bytes, as which some tools write texts
        divided, notes = hold_out(records, self.val_fraction, self.group, columns, self._cells)
        return self._validate(divided), notes

    def _cells(self, column: str) -> dict[str, object]:
        """Return the value of *column* of each image, by ids."""
        rows = [(group, row) for group in self._all_groups for row in range(group.rows)]
        value_of = dict(zip(rows, self._column(self._all_groups, column), strict=True))
        return {record.id: value_of[group, row] for record, group, row in self._rows.values()}

    def _refuse_without_bytes(self) -> None:
        """Raise ItlError where a file has paths of images alone."""
        for name, groups in grouped((group.file, group) for group in self._all_groups).items():
            least = sum(group.rows for group in groups) * BYTES_OF_NO_PATH
            is_small = sum(group.unpacked_bytes for group in groups) < least
            if is_small and not has_values(self._files[name], self._columns.image):
                raise ItlError(
                    f"{self.path}: {name} has no bytes of images, only their paths; save it with the bytes, "
                    f"or read the image files themselves as lists or folder"
                )

    @cached_property
    def _split_column(self) -> str:
        """The column that says the split of each row; '' without one."""
        return split_column(self._texts_of_others, str(self.path))

    @cached_property
    def _plain_columns(self) -> list[str]:
        """The columns but those of images and labels, and of other bytes and lists of values."""
        image, label = self._columns
        kinds = {name: self._first_schema.field(name).type for name in self._first_schema.names}
        return [
            name
            for name, kind in kinds.items()
            if name not in (image.name, label)
            and (name.lower() in SPLIT_COLUMNS or not any(is_kind(kind) for is_kind in NOT_PLAIN))
        ]

    @cached_property
    def _texts_of_others(self) -> dict[str, set[str]]:
        """The different values, or the first of them, of each column that may say a split."""
        by_file = grouped((group.file, group) for group in self._all_groups)

        def values(column: str) -> Iterator[object]:  # of as many files as are looked at
            return (value for groups in by_file.values() for value in self._column(groups, column))

        return {name: few_texts(values(name)) for name in self._plain_columns}

    def _splits(self, groups: list[RowGroup], split: str) -> list[str]:
        """Return the split of each row of *groups*, whose files are of *split* by their names."""
        if not self._split_column:
            return [split] * sum(group.rows for group in groups)
        splits = [split_of_cell(value) for value in self._column(groups, self._split_column)]
        named = split_of_path(groups[0].file)
        if other := next((part for part in splits if named and part != named), ""):
            raise ItlError(
                f"{groups[0].file} is of {named} by its name, and has rows of {other} by its column "
                f"{self._split_column}; rename it, or leave the column out"
            )
        return splits

    def _named_ids(self, splits: list[str], labels: list[str], paths: list[str]) -> list[str]:
        """Return ids by the names of images; empty where these are missing, repeated or costly."""
        if not all(paths):
            return []
        if not self._split_column and not any(map(split_of_path, self._files)):
            self._refuse_folders_of_splits(paths)
            splits = [""] * len(splits)
        ids = [sample_id(*parts) for parts in zip(paths, splits, labels, strict=True)]
        total = sum(group.unpacked_bytes for group in self._all_groups)
        in_order = all(before < after for before, after in pairwise(ids))
        return ids if in_order or (len(set(ids)) == len(ids) and total <= CACHED_BYTES) else []

    def _labels(self, groups: list[RowGroup]) -> list[str]:
        """Return the class of each row; empty for a row without one."""
        label = self._columns.label
        values = ["" if value is None else str(value) for value in self._column(groups, label)]
        files = [group.file for group in groups for _ in range(group.rows)]
        file_of = dict(zip(reversed(values), reversed(files), strict=True))  # the first that has a value
        for value in dict.fromkeys(values):
            refuse_several(value, f"{file_of[value]}, column {label}")
        values = ["" if value == NO_LABEL or is_missing(value) else plain_label(value) for value in values]
        if bare := values.count(""):
            if bare < len(values):
                raise ItlError(
                    f"{self.path}: {bare:,} of {len(values):,} rows of {groups[0].file} and its like have no "
                    f"label; label all or none of a split"
                )
            return values
        names, source = self._class_names
        if names and (unknown := next((value for value in values if value not in names), "")):
            raise ItlError(
                f"{self.path}: {file_of[unknown]} has the label {unknown}, but {source} names "
                f"{counted(len(names), 'classes')} and none has that number; correct the names, or the label"
            )
        return [names[value] for value in values] if names else values

    def _paths(self, groups: list[RowGroup]) -> list[str]:
        name, field = self._columns.image
        if not field or self._schemas[groups[0].file].field(name).type.get_field_index("path") < 0:
            return [""] * sum(group.rows for group in groups)
        return [value or "" for value in self._column(groups, name, "path")]

    def _column(self, groups: list[RowGroup], name: str, field: str = "") -> list[Any]:
        column = Column(name, field)
        values: list[Any] = []
        for file in dict.fromkeys(group.file for group in groups):
            part = read_column(self._files[file], column)
            with explain_damage(f"the column {column} of {file}", "valid one"):  # text may not be UTF-8
                values += [cell.decode() if isinstance(cell, bytes) else cell for cell in part.to_pylist()]
        if len(values) != (rows := sum(group.rows for group in groups)):
            raise ItlError(
                f"{groups[0].file} and its like have {counted(len(values), 'values')} of {column}, but "
                f"{counted(rows, 'rows')}; download them again"
            )
        return values

    @cached_property
    def _class_names(self) -> tuple[dict[str, str], str]:
        """Names of numbered classes and the file that has them; empty if labels are names or unnamed."""
        column = self._columns.label
        if self.names:
            file = str(self.names)
            return read_names(self.names.read_bytes(), file), file
        if not pa.types.is_integer(self._first_schema.field(column).type):
            return {}, ""
        if names := _names_in_metadata(self._first_schema, column):
            first = next(iter(self._files))
            refuse_repeated(names, first)
            self._refuse_other_names(names, first, column)
            return names, first
        for card in (self.path / "README.md", folder_around(self.path) / "README.md"):
            text = card.read_text("utf-8-sig", errors="replace") if card.is_file() else ""
            if names := names_in_card(text, column):
                refuse_repeated(names, str(card))
                return names, str(card)
        return {}, ""

    def _refuse_other_names(self, names: Mapping[str, str], first: str, column: str) -> None:
        """Raise ItlError where a file names the numbers of its classes otherwise than the *first*."""
        for file, schema in self._schemas.items():
            others = _names_in_metadata(schema, column)
            if others and others != names:
                number = min(key for key in others.keys() | names if others.get(key) != names.get(key))
                raise ItlError(
                    f"{self.path}: class {number} of {column} is {names.get(number)} in {first}, and "
                    f"{others.get(number)} in {file}; give files of one data set"
                )


class _RowGroupCache:
    """The row groups read last, up to `CACHED_BYTES`; for any number of threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.columns: dict[tuple[Path, RowGroup, Column], Any] = {}  # the one that was read last comes last

    def read(self, file: Path, group: RowGroup, column: Column) -> Any:
        """Return the *column* of a row group, read once by whichever thread comes first."""
        key = (file, group, column)
        with self.lock:
            data = self.columns.pop(key, None)
            if data is None:
                data = read_column(file, column, group.number)
            self.columns[key] = data
            while sum(part.nbytes for part in self.columns.values()) > CACHED_BYTES and len(self.columns) > 1:
                del self.columns[next(iter(self.columns))]
            return data


_ROW_GROUPS = _RowGroupCache()


def _column_of_bytes(field: pa.Field) -> Column | None:
    """Return where the column *field* holds bytes, itself or in a field; None if it holds none."""
    kind = field.type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return Column(field.name, "bytes")
    return Column(field.name) if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else None


def _kind(kind: pa.DataType) -> str:
    """Return what labels of a type of Arrow are; texts have several types."""
    plain = {"integer": pa.types.is_integer, "number": pa.types.is_floating, "flag": pa.types.is_boolean}
    return next((name for name, is_kind in plain.items() if is_kind(kind)), "text")


def open_table(file: Path) -> pq.ParquetFile:
    """Open a Parquet file; ItlError if it is none."""
    with explain_damage(str(file), "Parquet file"):
        return pq.ParquetFile(file)


def has_values(file: Path, column: Column) -> bool:
    """Say whether *column* is not null in all rows of a file; reads up to the first value.

    Statistics say so too, but pyarrow ends the process where they are damaged.
    """
    opened = open_table(file)
    with explain_damage(f"the column {column} of {file}", "valid one"):
        parts = (_values(batch, column) for batch in opened.iter_batches(BATCH_ROWS, columns=[str(column)]))
        return any(part.null_count < len(part) for part in parts)


def read_column(file: Path, column: Column, group: int | None = None) -> Any:
    """Read one *column* of a file or of its row *group*, as a chunked array; ItlError if it is damaged."""
    opened = open_table(file)
    with explain_damage(f"the column {column} of {file}", "valid one"):
        paths = [str(column)]
        table = opened.read(paths) if group is None else opened.read_row_group(group, paths)
        return _values(table, column)


def _values(table: Any, column: Column) -> Any:
    """Return the values of *column* of a *table*, which may have others whose names begin like it."""
    values = table.column(column.name)
    return pc.struct_field(values, column.field) if column.field else values


def _names_in_metadata(schema: pa.Schema, column: str) -> dict[str, str]:
    """Return the names of classes that the hub's metadata has for *column*."""
    try:
        names = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][column]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return {str(number): plain_label(name) for number, name in enumerate(names)} if is_list else {}
