"""Files without labels that divide images: lists of splits, and JSON or YAML of them."""

import csv
import io
import re
import unicodedata
from collections.abc import Collection, Container, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import PurePosixPath

from itl.errors import ItlError
from itl.sources.files.archives import Member
from itl.sources.listed.image_lists import PEEKED_BYTES, may_be_prediction
from itl.sources.listed.list_columns import ID_COLUMNS, RARE_IMAGE_COLUMNS
from itl.sources.listed.list_files import IMAGE_AND_LABEL, delimiter_of_table, first_line
from itl.sources.listed.numbered_classes import is_number
from itl.sources.listed.split_columns import are_codes_of_splits, has_split_column, may_be_split_column
from itl.sources.records import is_image, stem_of, unquoted
from itl.sources.split_names import (
    SPLIT_OF_WORD,
    is_of_splits,
    is_split_list,
    split_of_cell,
    split_of_folders,
    split_of_path,
)
from itl.storage import text_lines

PEEKED_LINES = 3  # at least
MAX_OPENED = 20  # files whose content is looked at to know what they are
TREE_SUFFIXES = (".json", ".yaml", ".yml")  # which may divide images, but are no lists
_TREE_VALUE = re.compile(r'"((?:[^"\\]|\\.)*)"|([^"\[\]{},:\n]+)')  # of JSON or YAML, or a key
_KEY_OF_LIST = re.compile(r"""["']?([A-Za-z]+)["']?\s*:\s*(?:\[|\{|\n\s*-)""")  # or of a mapping
_CELL_ENDS = re.compile(r"[\s,;|:{}\"']+")
_NAMES_OF_IMAGES = {*RARE_IMAGE_COLUMNS, *ID_COLUMNS}


def is_caption(name: str, stems: Container[str]) -> bool:
    """Say whether a file is called as one of images, whose *stems* these are, and not after splits.

    >>> is_caption("a/0.txt", {"0"}), is_caption("test_1.txt", {"test_1"}), is_caption("test.csv", {"test"})
    (True, True, False)
    """
    stem = PurePosixPath(name).stem
    return stem in stems and not split_of_cell(stem) and not is_of_splits(name)


def read_divider(member: Member, name: str) -> bytes:
    """Return as much of a list as `divides` needs: its start, or all of one of splits, or of train.

    Its *name* tells that, or that of a column: CelebA's has the code of train in its first 162,770 lines.
    """
    start = member.read_start(PEEKED_BYTES)
    if len(start) == PEEKED_BYTES:
        start, _, _ = start.rpartition(b"\n" if b"\n" in start else b"\r")
        start = start if len(start.splitlines()) >= PEEKED_LINES else member.read()
    header = _CELL_ENDS.split(first_line(_text_of(start)))
    is_whole = is_of_splits(name) or _is_of_train(name) or any(map(may_be_split_column, header))
    return member.read() if is_whole else start


def _is_of_train(name: str) -> bool:
    """Say whether a file is by its *name* the list of train: no train_log.txt."""
    return split_of_path(name) == "train" and is_split_list(name)


def divides(data: bytes, name: str, stems: Collection[str]) -> bool:
    r"""Say whether a list without labels divides images into splits.

    Args:
        data: Its content, or the first lines of it.
        name: Its name. One named after a split may list images alone.
        stems: The names, without suffix, of the images that another list labels. Numbers may be of epochs:
            they are images if the first cell is one, or the header names a column of images.

    >>> divides(b"image,split\n0.jpg,val\n", "split.csv", {"0"}), divides(b"0.jpg\n", "test.txt", {"0"})
    (True, True)
    >>> divides(b"image,camera\n0.jpg,left\n", "cameras.csv", {"0"})
    False
    >>> divides(b"epoch,phase\n0,train\n0,val\n", "log.csv", {"0"})
    False
    """
    suffix = name.lower().rpartition(".")[2]
    rows = _cells_of_rows(_text_of(data), suffix, stems) or [[""]]
    cells = [cell for row in rows for cell in row]
    tells_splits = split_of_path(name) in ("val", "test")  # a word in a cell alone may be prose
    if suffix in ("csv", "tsv"):
        tells_splits |= has_split_column(rows, name)
    elif suffix == "txt":
        tells_splits |= are_codes_of_splits({"".join(row[1:]) for row in rows}, name)
    listed = [cell for cell in cells if stem_of(cell) in stems]
    if _is_of_train(name):  # and others are not train
        tells_splits |= len({stem_of(cell) for cell in listed}) < len(stems)
    if not tells_splits and not any(map(split_of_cell, cells)):
        return False
    if not tells_splits and suffix == "txt":
        with_both = [row for row in rows if {*row} & {*listed} and any(map(split_of_cell, row))]
        is_list = len(rows) - 1 <= len(with_both) > 1  # perhaps with a header
        if len({*listed}) < 2 or not (is_list or is_of_splits(name)):
            return False  # prose about images, or their labels
    are_ids = stem_of(rows[0][0]) in stems or any(cell.lower() in _NAMES_OF_IMAGES for cell in rows[0])
    return any(are_ids or is_image(cell) or not is_number(stem_of(cell)) for cell in listed)


def _text_of(data: bytes) -> str:
    """Return *data* as text, composed as names of files are, whatever bytes it has."""
    return unicodedata.normalize("NFC", data.decode("utf-8-sig", "replace"))


def _cells_of_rows(text: str, suffix: str, stems: Collection[str]) -> list[list[str]]:
    r"""Return the cells of each row of a table, of JSON lines, or of lines, where blanks may divide them.

    >>> _cells_of_rows("my 0.jpg train\nmy 1.jpg test\n", "txt", {"my 0", "my 1"})
    [['my 0.jpg', 'train'], ['my 1.jpg', 'test']]
    """
    sign, first = delimiter_of_table(text, suffix), first_line(text)
    if suffix in ("csv", "tsv") and (sign in first or " " not in first):
        rows: list[list[str]] = []
        with suppress(csv.Error):  # a cell without end: the rows above it tell
            rows += csv.reader(io.StringIO(text, newline=""), delimiter=sign, skipinitialspace=True)
        return [[cell.strip() for cell in row] for row in rows if any(row)]
    lines, rows = [line.strip() for line in text_lines(text) if line.strip()], []
    if suffix in ("jsonl", "ndjson"):
        return [values for line in lines if (values := _values_of_tree(line))]
    for line in lines:
        match = IMAGE_AND_LABEL.fullmatch(line)
        image, rest = (unquoted(match[1]), match[2] or "") if match else (line, "")
        is_named = stem_of(image) in stems  # not as in "train 0.jpg"
        rows.append([image, *_CELL_ENDS.split(rest)] if is_named else _CELL_ENDS.split(line.strip("\"' ")))
    return rows


def _values_of_tree(text: str) -> list[str]:
    """Return the keys and values of JSON or YAML."""
    return [quoted or bare.strip(" \t\r'-") for quoted, bare in _TREE_VALUE.findall(text.replace("\\/", "/"))]


def tree_divides(data: bytes, name: str, stems: Collection[str]) -> bool:
    """Say whether a JSON or YAML names several images, of *stems*, and splits, or is called after one.

    Arguments are as in `divides`. What a model said of test images divides nothing, nor does COCO, nor a
    file that says train of all images, or has the word among others: a train may also be an object.

    >>> tree_divides(b'{"train": [["a/0.jpg", 0]], "test": [["a/1.jpg", 0]]}', "split.json", {"0", "1"})
    True
    >>> tree_divides(b'[{"file": "0.jpg", "text": "a train"}, {"file": "1.jpg"}]', "a.json", {"0", "1"})
    False
    """
    text = _text_of(data)
    if '"bbox"' in text or may_be_prediction(name):
        return False
    values = _values_of_tree(text)
    splits = {SPLIT_OF_WORD[value.lower()] for value in values if value.lower() in SPLIT_OF_WORD}
    of_lists = {SPLIT_OF_WORD.get(key.lower()) for key in _KEY_OF_LIST.findall(text)} - {None}
    is_cut = len(data) >= PEEKED_BYTES  # and what follows may be another split
    is_of_split = is_split_list(name) and split_of_path(name) != "train"
    if not (is_of_split or len(splits) > 1 or of_lists - {"train"} or (of_lists and is_cut)):
        return False
    listed = {value for value in values if stem_of(value) in stems}
    return sum(is_image(value) or "/" in value or not is_number(stem_of(value)) for value in listed) > 1


def stems_outside(split: str | None, taken: Iterable[str], images: Iterable[str]) -> set[str]:
    """Return the names without suffix of the images *taken* that none of *images* in a folder of *split* has.

    A list of test that names 0.jpg means test_images/0.jpg, not train_images/0.jpg.
    """
    inside = {stem_of(image) for image in images if split and split_of_folders(image) == split}
    return {stem_of(image) for image in taken} - inside


def find_divider(files: Mapping[str, Member], taken: Collection[str], images: Collection[str]) -> str:
    """Return the first of *files* that says a split of images *taken*; '' for none.

    Args:
        files: Lists, of which `divides` says that, and JSON and YAML, of which `tree_divides` does.
        taken: Images that are all train without it.
        images: All images.
    """
    stems = cache(lambda split: stems_outside(split, taken, images))
    trees = sorted(name for name in files if name.lower().endswith(TREE_SUFFIXES))
    for name in sorted(files.keys() - {*trees}):
        of_split = stems(split_of_path(name))
        if of_split and divides(read_divider(files[name], name), name, of_split):
            return name
    named = {name for name in trees if is_split_list(name.rpartition("/")[2]) or is_of_splits(name)}
    for name in sorted(trees, key=lambda name: (name not in named, name.count("/")))[:MAX_OPENED]:
        if tree_divides(files[name].read_start(PEEKED_BYTES), name, stems(split_of_path(name))):
            return name
    return ""


def divided_by(name: str, train: str) -> ItlError:
    """Return the error that the file *name* divides images whose labels, all *train*, are in another list."""
    return ItlError(
        f"{name} divides images, but their labels are in another list, which would all be train; write a "
        f"column split beside the labels, or a list with labels for each split, or set the option "
        f"train={train} to take all as train"
    )
