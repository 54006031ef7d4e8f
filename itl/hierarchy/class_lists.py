"""Lists of classes in files: wnids or names in text, CSV or JSON, and the label of each."""

import csv
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

from itl.errors import ItlError, cannot_read, errors_about, nearest
from itl.hierarchy.taxonomy import WNID, Synset, Taxonomy, describe_alike
from itl.notes import warn
from itl.storage import python_literal, text_lines, unique_keys

LETTER = re.compile(r"[^\W\d_]")
KEY_COLUMNS = (  # the first of a header
    *("wnid", "synset", "name", "class", "class_name", "folder", "fine", "fine_label"),
)
RUNNING_NUMBERS = (  # before it, the last as pandas writes it
    *("id", "idx", "index", "number", "class_id", "class_idx", "class_index", ""),
)
LABEL_COLUMNS = ("label", "superclass", "wnid")
COARSE = re.compile("coarse|super|group|parent")  # in the header of what classes count as
OTHER_COLUMNS = (  # of a header, certainly not what a class counts as
    *("name", "names", "words", "description", "gloss", "index", "idx", "id", "number", "split"),
    *("count", "counts", "n", "images", "n_images", "num_images", "number of images", "frequency"),
)
MARKS = {  # columns that say which classes are taken; refused
    *("keep", "kept", "use", "used", "include", "included", "select", "selected"),
    *("drop", "exclude", "excluded", "remove", "removed", "skip", "ignore", "ignored"),
}
LIKE_MISSING = {"nan", "none", "null", "na", "n/a", "<na>", "?"}  # for no label; may be classes too
HEADER_CHARACTERS = 10_000  # of a first line that are looked at: it may have all wnids
SPLITS = {  # of images, or of the classes of few-shot benchmarks; no superclasses
    *("train", "training", "trainval", "val", "valid", "validation", "dev", "test", "testing"),
    *("base", "novel"),
}
YES_NO = {"1", "1.0", "true", "yes", "y", "x", "0", "0.0", "false", "no", "n", ""}


@dataclass(frozen=True)
class Row:
    """One class of a list.

    What stands in it   key        value      is_label  wnid       index
    n02085620           n02085620  -          -         -          -
    n02085620 dog       n02085620  dog        -         -          -
    5 n02085620         n02085620  5          -         -          5
    chihuahua           chihuahua  -          -         -          -
    chihuahua,n02085620 chihuahua  n02085620  yes       n02085620  -
    dog: [n02085620, …] n02085620  dog        yes       -          -

    Under a header the value is the cell of a column of labels, and wnid that of a column of wnids.
    """

    where: str  # such as: line 3
    key: str  # a wnid or a name
    value: str = ""  # what stands beside it: a label, a name or an index
    is_label: bool = False  # the value surely is what the class counts as, or the class that its name means
    columns: tuple[str, ...] = ()  # the cells beside a wnid in a line without a header
    wnid: str = ""  # which class the name is, or what it counts as
    index: str = ""  # before a wnid


class LabelColumn(NamedTuple):
    """A column of what classes count as."""

    number: int
    is_sure: bool  # by its header; else its values say whether it is, as of lines without a header


def read_class_list(path: Path, tree: Taxonomy, classes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Read the list of classes at *path*, and what each counts as: itself, or a superclass.

    A line has a wnid or a name, or all wnids are on one line; or a CSV has them with a header such as
    ``wnid,label`` or ``name,wnid``; or it is a JSON list or mapping. Lines that start with # are comments.
    What stands beside a wnid is a superclass where it repeats (``n02085620 dog``), else a name or an index; a
    number that repeats is unclear.

    A wnid that *tree* lacks is taken as it is: it may be another noun of WordNet. *classes* has classes by
    further names, such as those of folders; '' stands for several of one name. Errors name the line.

    Raises:
        ItlError: If the file cannot be read or lists no class, a line is no class or contradicts another,
            or it is unclear which values are superclasses.
    """
    rows = _rows(path, tree, classes or ())
    if not rows:
        raise ItlError(f"{path} lists no class; give a wnid or a name on each line")
    names, known = [], classes or {}
    own = {_plain(name) for name, one in known.items() if one and not WNID.fullmatch(one)}
    for row in rows:
        with errors_about(f"{path}, {row.where}"):
            is_wnid = _is_of_wnid(row, tree, known, own)
            names.append(row.wnid if is_wnid else _class_of(row.key, tree, known))
    _refuse_repeated_names(rows, names, tree, path)
    with_labels = _has_labels(rows, names, tree, path)
    listed: dict[str, str] = {}
    for row, name in zip(rows, names, strict=True):
        label = row.value if with_labels else name
        if with_labels and is_missing(label):
            raise ItlError(
                f"{path}, {row.where}: {row.key} counts as {label!r}, as pandas writes an empty cell; leave "
                f"classes without a label out of the list"
            )
        if listed.setdefault(name, label) != label:
            raise ItlError(f"{path}, {row.where}: {row.key} counts as {label}, but as {listed[name]} above")
    if with_labels:
        _check_labels(sorted({*listed.values()}), path)
    return listed


def _check_labels(labels: Sequence[str], path: Path) -> None:
    """Raise ItlError where all *labels* are names of splits; warn of those that may be slips, or none."""
    if SPLITS.issuperset(map(str.casefold, labels)):
        raise ItlError(
            f"{path}: classes stand beside {' or '.join(labels)}, splits and no superclasses; list the "
            f"classes of one of them, without its name"
        )
    for label in (label for label in labels if label.lower() in LIKE_MISSING):
        warn(f"{path}: {label!r} is read as a class; leave classes without a label out of the list")
    if notes := describe_alike(labels):
        warn(f"{path}: {'; '.join(notes)}; correct it if that is not meant")


def is_missing(value: object) -> bool:
    """Say whether the *value* of a cell is none: pandas writes nan, as text, where a cell was empty."""
    return value is None or str(value).strip().lower() in ("", "nan")


def _is_of_wnid(row: Row, tree: Taxonomy, classes: Mapping[str, str], own: Collection[str]) -> bool:
    """Say whether the wnid of *row* is the class that its name means, not what the class counts as.

    It is not where the name certainly is a class: among the *own* names of *classes*, which are no wnids, or
    nearly one of them. ItlError if the name is that of other nouns alone.
    """
    key, wnid, word = row.key, row.wnid, _plain(row.key)
    if not wnid or word in own or WNID.fullmatch(key) or key in tree:
        return False
    if _is_name(key, wnid, tree):
        return True
    nouns = {synset.wnid for synset in tree.search(word) if word in _names(synset)}
    if not nouns and nearest(word, own):
        return False
    nouns |= {classes[key]} if classes.get(key) in tree else set()
    if nouns and wnid in tree and wnid not in nouns:
        raise ItlError(
            f"{key!r} stands beside {tree.name_with_word(wnid)}, and is the name of another noun; give the "
            f"wnids alone, or what each counts as under the header wnid,label"
        )
    return True


def _refuse_repeated_names(rows: Sequence[Row], names: Sequence[str], tree: Taxonomy, path: Path) -> None:
    """Raise ItlError if a name that is no word for its wnid has several, or a wnid several names."""
    both = zip(rows, names, strict=True)
    pairs = sorted({(row.key, name) for row, name in both if row.wnid == row.value == name})
    own = [key for key, name in pairs if not _is_name(key, name, tree)]  # crane is a word for two nouns
    if several := _repeated(own) or _repeated([name for _, name in pairs]):
        raise ItlError(
            f"{path}: {several[0]!r} stands beside several names or wnids; give the wnids alone, or what "
            f"each counts as under the header wnid,label"
        )


def _class_of(key: str, tree: Taxonomy, classes: Mapping[str, str]) -> str:
    """Return the class of a wnid or a name; ItlError, with what is near, if there is none, or several.

    Of several nouns with one name it is that of *classes*, else that of ImageNet's 1,000 classes. A name that
    is nearly one of *classes* is no other noun of WordNet that happens to be called so.
    """
    if classes.get(key):
        return classes[key]
    if WNID.fullmatch(key) or key in tree:
        return key
    word = _plain(key)
    same = [synset for synset in tree.search(word) if word in _names(synset)]
    of_images = [synset for synset in same if synset.wnid in classes.values()]
    if key in classes and len(of_images) < 2:
        raise ItlError(f"the images have several classes {key!r}; give the wnid of one")
    if of_images:
        same = of_images
    else:
        near = [name for name in classes if _plain(name) == word]
        near = near or ([] if same else nearest(key, classes))
        if near:
            raise ItlError(f"the images have no class {key!r}; did you mean {near[0]!r}?")
        same = [synset for synset in same if synset.wnid in Taxonomy.snapshot().leaves] or same
    if len(same) > 1:
        nouns = [f"{one.wnid} ({shorten(one.gloss, 40, placeholder=' …')})" for one in same[:4]]
        raise ItlError(f"{key!r} may be {' or '.join(nouns)}; give the wnid")
    if classes and not same:
        few = f"{', '.join(sorted(classes)[:3])}{' …' * (len(classes) > 3)}"
        raise ItlError(f"neither the images nor the tree have a class {key!r}; the images have {few}")
    return same[0].wnid if same else tree[key].wnid


def _names(synset: Synset) -> set[str]:
    return set(map(_plain, (synset.name, *synset.lemmas)))


def _plain(text: str) -> str:
    """Return the first name in *text* as names are compared: "Tinca_tinca, tench" is "tinca tinca"."""
    return text.partition(",")[0].replace("_", " ").strip().casefold()


def _has_labels(rows: list[Row], names: list[str], tree: Taxonomy, path: Path) -> bool:
    """Say whether the values of *rows* are what classes count as: a header says so, or they repeat."""
    if all(row.is_label for row in rows):
        return True
    pairs = [(row.value, name) for row, name in zip(rows, names, strict=True) if row.value]
    values = [value for value, name in pairs if not _is_name(value, name, tree)]
    if len(set(values)) == len(values):  # names, or indices, of the classes themselves
        _refuse_repeating_column(rows, names, tree, path)
        return False
    if len(values) == len(rows) and 2 * len(set(values)) <= len(values):
        return True
    raise ItlError(
        f"{path}: {_repeated(values)[0]!r} stands beside two classes, but too many others have a value of "
        "their own, or none; for superclasses give a CSV with the header wnid,label, for classes alone a "
        "wnid on each line"
    )


def _refuse_repeating_column(rows: list[Row], names: list[str], tree: Taxonomy, path: Path) -> None:
    """Raise ItlError where lines have several cells without a header, and words of one column repeat."""
    for column in zip(*(row.columns for row in rows), strict=False):
        pairs = zip(column, names, strict=True)
        words = [cell for cell, name in pairs if re.search(LETTER, cell) and not _is_name(cell, name, tree)]
        if 1 < len(set(words)) < len(words):
            raise ItlError(
                f"{path}: {_repeated(words)[0]!r} stands beside several classes, in one of several columns; "
                f"give these a header, such as wnid,label,name: each class counts as its label"
            )


def _repeated(values: Sequence[str]) -> list[str]:
    """Return those of *values* that are among them more than once, in their order."""
    return [value for value, count in Counter(values).items() if count > 1]


def _is_name(value: str, name: str, tree: Taxonomy) -> bool:
    """Say whether *value* is the name of the class *name* itself."""
    return name in tree and _plain(value) in _names(tree[name])


def _rows(path: Path, tree: Taxonomy, classes: Collection[str]) -> list[Row]:
    """Return the rows of the list at *path*, whatever its format; *classes* are those of the images."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from error
    try:
        text = unicodedata.normalize("NFC", data.decode("utf-8-sig"))  # as the names of folders are
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ItlError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from None
    if text.lstrip()[:1] in ("[", "{"):
        rows = list(_json_rows(text, path))
        _refuse_repeated_numbers(rows, path)
        return rows
    lines = [
        (number, line.rstrip().lstrip(" "))  # a tab before a header of pandas is the cell of running numbers
        for number, line in enumerate(text_lines(text), 1)
        if line.strip() and not _is_comment(line, tree, classes)
    ]
    header = [cell.casefold() for cell in _cells(lines[0][1][:HEADER_CHARACTERS])] if lines else []
    start = int(len(header) > 1 and header[0] in RUNNING_NUMBERS)
    if header and header[start] in KEY_COLUMNS:
        first = lines[0][1].strip()
        if first in classes and first not in (line.strip() for _, line in lines[1:]):
            raise ItlError(
                f"{path}, line {lines[0][0]}: {first!r} may be a header or that class; where it is the "
                f"class, put the line wnid above it, else rename the header to wnid"
            )
        return _csv_rows(lines, path, start)
    rows = [row for number, line in lines for row in _line_rows(number, line.strip(), path)]
    if len(lines) > 1 and (several := _repeated([row.where for row in rows])):
        raise ItlError(
            f"{path}, {several[0]}: several classes; with the header wnid,label (or name,label) the second "
            f"is what the first counts as; without it give one class on each line"
        )
    _refuse_repeated_numbers(rows, path)
    return rows


def _is_comment(line: str, tree: Taxonomy, classes: Collection[str]) -> bool:
    """Say whether *line* starts with #, and not with a class that does."""
    first = re.split("[\t,;]", line.strip(), maxsplit=1)[0].strip()
    return first.startswith("#") and first not in classes and first not in tree


def _refuse_repeated_numbers(rows: Sequence[Row], path: Path) -> None:
    """Raise ItlError if a number or mark stands beside several classes, and no header says what it is."""
    values = [row.value for row in rows if row.value and not row.is_label]
    first_words = {value: re.split(r"[\s,;]", value)[0] for value in values}  # a number has no letter there
    unclear = [one for one in values if not LETTER.search(first_words[one]) or one.casefold() in YES_NO]
    if repeated := _repeated(unclear) + _repeated([row.index for row in rows if row.index]):
        raise ItlError(
            f"{path}: {repeated[0]!r} stands beside several classes, and may be a count, a mark or what they "
            f"count as; give a CSV with the header wnid,count or wnid,label, or the wnids alone"
        )


def _refuse_marks(header: Sequence[str], rows: Sequence[Sequence[str]], path: Path) -> None:
    """Raise ItlError if a column may say which classes are taken, by its name or its cells, yes and no."""
    cells = [cell.casefold() for cell in header]
    has_label = not set(LABEL_COLUMNS).isdisjoint(cells[1:])
    for number, name in enumerate(cells[1:], 1):
        values = {row[number].casefold() for row in rows if number < len(row)}
        is_known = has_label or name in OTHER_COLUMNS or COARSE.search(name)
        if name in MARKS or (not is_known and any(values) and values <= YES_NO):
            raise ItlError(
                f"{path}: its column {header[number]!r} may say which classes are taken; list those alone, "
                f"without it"
            )


def _label_column(header: list[str], rows: Sequence[list[str]], path: Path) -> LabelColumn | None:
    """Return the column of what classes count as by the *header*: surely one of COARSE whose words repeat."""
    cells = [cell.casefold() for cell in header]
    others = [n for n, cell in enumerate(cells) if n and cell not in OTHER_COLUMNS]
    for number in others:
        if cells[number] in LABEL_COLUMNS:
            return LabelColumn(number, True)
    for number in others:
        if cells[number] not in KEY_COLUMNS and (near := nearest(cells[number], LABEL_COLUMNS)):
            raise ItlError(f"{path}: its header has a column {cells[number]!r}; did you mean {near[0]!r}?")
    if coarse := [number for number in others if COARSE.search(cells[number])]:
        others = coarse
    values = {number: [row[number] for row in rows if number < len(row)] for number in others}
    words = [number for number in others if re.search(LETTER, "".join(values[number]))]  # no counts
    repeating = [number for number in words if 1 < len(set(values[number])) < len(values[number])]
    if len(repeating) > 1 or (repeating and repeating[0] != words[0]):
        names = " or ".join(header[number] for number in repeating)
        alone = "" if len(repeating) > 1 else ", or each as itself"
        raise ItlError(f"{path}: classes may count as their {names}{alone}; call the one that you mean label")
    if not (candidates := words or coarse):
        return None
    number = candidates[0]
    return LabelColumn(number, number in coarse and number in repeating)


def _csv_rows(lines: Sequence[tuple[int, str]], path: Path, start: int) -> list[Row]:
    """Return the rows of numbered *lines* with a header, whose delimiter is that of all if it has one.

    Cells before that at *start* are of no meaning.
    """
    delimiter = _delimiter(lines[0][1])
    header, *rows = [_cells(line, delimiter)[start:] for _, line in lines]
    _refuse_marks(header, rows, path)
    label = _label_column(header, rows, path)
    is_label = label is not None and label.is_sure
    beside = next((n for n, cell in enumerate(header) if n and cell.casefold() in ("wnid", "synset")), 0)
    classes = []
    for (number, line), cells in zip(lines[1:], rows, strict=True):
        where = f"{path}, line {number}: {line[:50]!r}"
        if any(map(WNID.fullmatch, cells[len(header) :])):
            raise ItlError(f"{where} has several wnids; give one class on each line")
        value = cells[label.number] if label and label.number < len(cells) else ""
        if not any(cells[:1]) or (is_label and not value):
            raise ItlError(f"{where} lacks a class or its label")
        wnid = cells[beside].casefold() if beside and beside < len(cells) else ""
        wnid = wnid if WNID.fullmatch(wnid) else ""
        classes.append(Row(f"line {number}", cells[0], value, is_label, wnid=wnid))
    return classes


def _delimiter(line: str) -> str:
    """Return what separates the cells of *line*: tabs, commas or semicolons; empty if it has none."""
    return next((one for one in ("\t", ",", ";") if one in line), "")


def _cells(line: str, delimiter: str = "") -> list[str]:
    """Return the cells of a line of CSV; without a *delimiter* the line tells it."""
    delimiter = delimiter or _delimiter(line) or ","
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]


def _line_rows(number: int, line: str, path: Path) -> Iterator[Row]:
    """Yield the classes of one line without a header; *path* is for errors."""
    where = f"line {number}"
    words = [word for word in re.split(r"[\s,;]+", line) if word]
    wnids = list(filter(WNID.fullmatch, words))
    if words and len(wnids) == len(words):
        yield from (Row(where, wnid) for wnid in wnids)
        return
    if len(wnids) > 1:
        raise ItlError(
            f"{path}, {where}: {line[:50]!r} has several wnids and more; give one class on each line"
        )
    if numbered := re.match(rf"(\d+)[\s,;]+(?={WNID.pattern}\b)", line):
        line = line[numbered.end() :]
    index = numbered[1] if numbered else ""
    first, _, rest = re.sub(r"[,;\t]", " ", line, count=1).partition(" ")
    cells = [cell.strip() for cell in line.split(",")]
    if WNID.fullmatch(first):
        key, *columns = _cells(line)
        yield Row(
            where, first, rest.strip() or index, columns=tuple(columns) if key == first else (), index=index
        )
    elif len(cells) == 2 and WNID.fullmatch(cells[1]):  # name,wnid: the folder of a class
        yield Row(where, cells[0], cells[1], is_label=True, wnid=cells[1])
    elif len(cells) > 1 and all(cells):
        yield from (Row(where, cell) for cell in cells)
    else:
        yield Row(where, line)


def _json_rows(text: str, path: Path) -> Iterator[Row]:
    """Yield the classes of a JSON list or mapping, or of the Python literal that a script printed.

    Lists under numbers, or in a list, are a wnid and its name, or the classes of a superclass.
    """
    content = _json_content(text, path)
    is_mapping = isinstance(content, dict)
    entries = list(content.items() if is_mapping else enumerate(content))
    groups = [value for _, value in entries if isinstance(value, list | tuple) and not _has_names(value)]
    merged = any(len(group) > 1 for group in groups)
    for number, (key, value) in enumerate(entries, 1):
        where, key = f"entry {number}", str(key)
        values = list(value) if isinstance(value, list | tuple) else [value]
        is_named = is_mapping and not key.isdecimal()
        if not values or not all(isinstance(one, str) or (is_named and type(one) is int) for one in values):
            raise ItlError(f"{path}, {where}: {value!r} is no class; give wnids or names")
        if is_named and (_has_names([key, *values]) or not isinstance(value, list | tuple)):
            of_name = bool(WNID.fullmatch(str(value))) and not WNID.fullmatch(key)  # as name,wnid in CSV
            wnid = str(value) if of_name else ""
            yield Row(where, key, str(values[0]) if len(values) == 1 else "", of_name, wnid=wnid)
        elif is_named or (merged and value in groups):  # a superclass and its classes
            yield from (Row(where, str(one), key, is_label=True) for one in values)
        else:
            yield Row(where, values[0], values[1] if len(values) == 2 else "")


def _json_content(text: str, path: Path) -> Any:
    try:
        try:
            return json.loads(text, object_pairs_hook=unique_keys)
        except json.JSONDecodeError:
            return python_literal(text)
    except SyntaxError as error:
        where = f", line {error.lineno}" if error.lineno else ""
        raise ItlError(
            f"{path} begins like JSON, but is not: {error.msg}{where}; give one list or mapping, or a CSV"
        ) from None
    except RecursionError:
        raise ItlError(f"{path} is nested too deeply; give a list or a mapping of classes") from None
    except ValueError as error:
        raise ItlError(f"{path}: {error}; keep one of them") from None


def _has_names(values: Sequence[object]) -> bool:
    """Say whether *values* are a wnid and then its names, as in imagenet_class_index.json."""
    wnid, *names = map(str, values or [""])
    return bool(names and WNID.fullmatch(wnid)) and not any(map(WNID.fullmatch, names))
