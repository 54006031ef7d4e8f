"""Classes that are numbers in a data set, and the names of these numbers."""

import csv
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from itl import ItlError, counted
from itl.hierarchy.taxonomy import WNID
from itl.sources.folder_names import wnid_of
from itl.sources.records import examples, parse_json, plain_label
from itl.storage import python_literal, text_lines

CLASS_NAME_FILES = (  # searched for beside the images
    *("classes.txt", "class_names.txt", "classnames.txt", "categories.txt", "synsets.txt", "names.txt"),
)
HEADERS = {  # no names of classes, where they stand above such
    *("class", "classes", "class_name", "class_names", "classname", "label", "labels", "label_name"),
    *("name", "names", "category", "categories", "category_name", "synset", "wnid"),
}
NUMBER_HEADERS = {  # of numbers, beside names
    *("id", "class_id", "classid", "label", "label_id", "labelid", "category_id", "index", "class_index"),
    *("idx", "class_idx", "number", "class_number", "code", "target", "y"),
}
LONGEST_LINE = 500  # of a number and a name that may have signs and quotes
_WHOLE = re.compile(r"-?[0-9]+(\.0+)?")
_COMMENT = re.compile(r"(#|//|%)\s*[^\W\d]")
_OTHER_NUMBERED = re.compile(
    r"[0-9]+\s*[=|;)\]>]\s*\S.*|[0-9]+\s*[.-]\s+\S.*|[^\W\d].*[=|;:>([]\s*[0-9]+[)\]]?|"
    r"n[0-9]{8}\s*[;:_|]\s*[0-9]+([;:_|].*)?|[(\[]\s*[0-9]+\s*[)\]].*\S"
)
_KEYED = re.compile(  # label: 0, name: cat
    r"[^\W\d]\w*\s*[:=]\s*[0-9]+[\s,;]+[^\W\d]\w*\s*[:=].*|[^\W\d]\w*\s*[:=].*[\s,;][^\W\d]\w*\s*[:=]\s*[0-9]+"
)
_NUMBER = r"""(?P<quote>['"]?)(?P<number>-?[0-9]+)(?P=quote)"""
_SIGN = r"\s+(?:[:;=|]|[-=]?>)\s+"  # 0 : cat
_DASH = r"\s+[-–—]\s+"  # 0 - cat; beside a number on both sides it may be a range
_NUMBER_FIRST = re.compile(rf"{_NUMBER}(?:{_SIGN}|{_DASH}(?!\d)|[:;](?!\d)\s*|[\s,]+)(?P<name>\S.*)")
_NUMBER_LAST = re.compile(
    rf"""(?P<name>\S.*?)(?:{_SIGN}|(?<!\d){_DASH}|[:;=|]\s+|(?<=['"])[:;]|[\s,]+){_NUMBER}"""
)
_IN_QUOTES = re.compile(r"""'[^']+'|"[^"]+\"""")
_WITH_SIGNS = re.compile(r"""[-=|;:>'"].*|\[.*\s.*\]|.*(?:[=|;:]|[-=]>)""")  # no names, where all are so
_WITH_DASH = re.compile(r"[-–—]\s.*|.*\s[-–—]")  # no name
_NUMBER_NAME_NUMBER = re.compile(r"[0-9]+\s*,.*,\s*[0-9.]+")  # the second may be a count of images


def is_number(text: str) -> bool:
    """Say whether *text* is a whole number.

    >>> is_number("12"), is_number("-1"), is_number("n01440764")
    (True, True, False)
    """
    return re.fullmatch(r"-?[0-9]+", text) is not None


def names_of_numbers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the name of each number; nothing if a number has two names, or two numbers have one.

    Args:
        pairs: A number and what the same image has as a name, such as its folder; empty without one.

    >>> names_of_numbers([("0", "cat"), ("1", "dog"), ("0", "cat"), ("1", "")])
    {'0': 'cat', '1': 'dog'}
    >>> names_of_numbers([("0", "cat"), ("0", "dog")])
    {}
    """
    names: dict[str, str] = {}
    for number, name in pairs:
        if name and names.setdefault(number, name) != name:
            return {}
    return names if len(set(names.values())) == len(names) else {}


def read_names(data: bytes, file: str) -> dict[str, str]:
    """Read which names numbers stand for.

    A line is `NAME` (numbered from 0), `NAME NUMBER`, `NUMBER NAME` or `NUMBER: NAME`, with spaces or commas,
    or `WNID NUMBER WORDS`. A name may be in quotes, and have a sign such as : or - between blanks beside it.
    JSON, or what Python prints, is a list of names, or an object of names by number or of numbers by name. A
    slash at the start of a name is dropped. A wnid with words is that wnid, as `WNID WORDS` on a line, or
    ``["n01440764", "tench"]`` in JSON. ItlError, about *file*, for any other content, for a header above
    names, and for a number or a name that is there twice.

    >>> read_names(b"/a/airfield 0\\n/a/alcove 1\\n", "categories.txt")
    {'0': 'a/airfield', '1': 'a/alcove'}
    """
    try:
        text = data.decode("utf-8-sig")
        pairs = _json_pairs(text) if _is_json(text, file) else _line_pairs(text, file)
    except (ValueError, SyntaxError, RecursionError) as error:
        if isinstance(error, ItlError):
            raise
        raise ItlError(f"{file} cannot be read as names of classes ({error}); write a name a line") from None
    if not pairs:
        raise ItlError(f"{file} is empty; write a name a line, or remove it")
    names: dict[str, str] = {}
    for number, words in pairs:
        words = unicodedata.normalize("NFC", words)  # as the names of folders are
        name = wnid_of(re.sub(r"[\s,;:]+", " ", words)) or words
        if names.setdefault(number, name) != name:
            raise ItlError(f"{file} names class {number} twice: {names[number]!r} and {name!r}; remove one")
    refuse_repeated(names, file)
    return names


def refuse_repeated(names: Mapping[str, str], file: str) -> None:
    """Raise ItlError if two numbers have one of *names*, read from *file*: they would be one class."""
    if repeated := sorted(name for name, count in Counter(names.values()).items() if count > 1):
        raise ItlError(f"{file} gives {repeated[0]!r} two numbers; give every class a name of its own")


def first_number(numbers: Collection[int], classes: int) -> int | None:
    """Return the number, 0 or 1, of the first of *classes* names without numbers; None where it is unclear.

    Only those from 0 have a 0, and only those from 1 have the last, the number of classes, or more.

    >>> first_number([0, 1], 3), first_number([1, 3], 3), first_number([1, 2], 3)
    (0, 1, None)
    """
    if 0 in numbers:
        return 0
    return 1 if max(numbers) >= classes else None


def lists_names_alone(data: bytes, file: str) -> bool:
    """Say whether *file*, whose content is *data*, which `read_names` reads, has names without numbers.

    >>> lists_names_alone(b"cat\\ndog\\n", "names.txt"), lists_names_alone(b"0 cat\\n", "names.txt")
    (True, False)
    """
    text = data.decode("utf-8-sig")
    if _is_json(text, file):
        return isinstance(_content(text), list)
    return not _table_pairs(text, file) and not any(map(_numbered_line, _lines(text)))


def describe_zero(data: bytes, file: str, numbers: Collection[str], what: str = "label") -> list[str]:
    """Return a note if *file*, whose content is *data*, lists names alone and none of *numbers* is 0.

    The first name then stands for 0, while some count from 1. The numbers are labels, or *what* they are
    called. ItlError as `read_names` raises it.

    >>> describe_zero(b"cat\\ndog\\n", "names.txt", ["1"])[0]
    "no label is 0, for which 'cat' stands in names.txt; if labels count from 1, write `1 cat` … there"
    >>> describe_zero(b"0 cat\\n1 dog\\n", "names.txt", ["1"])
    []
    """
    names = read_names(data, file)
    are_named = names.keys() >= set(numbers)  # others are refused elsewhere
    if not lists_names_alone(data, file) or not numbers or "0" in numbers or not are_named:
        return []
    first = names["0"]
    is_json = _is_json(data.decode("utf-8-sig"), file)
    way = "an object with their numbers" if is_json else f"`1 {first}` …"
    return [
        f"no {what} is 0, for which {first!r} stands in {file}; if {what}s count from 1, write {way} there"
    ]


def describe_exceptions(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Return a note if folders stand for numbers with few exceptions, of *pairs* of a number and a folder.

    >>> describe_exceptions([("0", "cat"), ("0", "cat"), ("1", "dog"), ("1", "cat")])
    ['1 image has another label than most of the folder: 1 in cat; the list is taken']
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for number, folder in pairs:
        counts[folder][number] += 1
    usual = {folder: of_folder.most_common(1)[0][0] for folder, of_folder in counts.items() if folder}
    others = [f"{number} in {folder}" for number, folder in pairs if folder and number != usual[folder]]
    numbers = {number for number, _ in pairs}
    if not others or len(set(usual.values())) < len(numbers) or 2 * len(others) > len(pairs):
        return []
    count = counted(len(others), "images have")
    such = examples(dict.fromkeys(others))
    return [f"{count} another label than most of the folder: {such}; the list is taken"]


def name_of(number: str, names: Mapping[str, str], file: str) -> str:
    """Return the name of the class *number*; ItlError if *names*, read from *file*, lack it."""
    if number not in names:
        raise ItlError(f"{file} names {counted(len(names), 'classes')}, but none has the number {number}")
    return names[number]


def _is_json(text: str, file: str) -> bool:
    """Say whether *text* is a list or an object of JSON, or of Python; [other] may be a class."""
    with suppress(ValueError, SyntaxError, RecursionError):
        return file.endswith(".json") or isinstance(_content(text), list | dict)
    return text.lstrip()[:1] == "{"


def _content(text: str) -> Any:
    """Return the content of the JSON *text*, or of what Python prints for a list or dict."""
    try:
        return parse_json(text)
    except json.JSONDecodeError:
        if text.lstrip()[:1] not in ("[", "{"):
            raise
        return python_literal(text)


def _lines(text: str) -> list[str]:
    """Return the lines of *text* that are not empty, without the dashes of a list in YAML and last commas."""
    lines = [line.strip() for line in text_lines(text)]
    lines = [line for line in lines if line.strip(", \t")]
    if all(line.startswith("- ") for line in lines):
        lines = [line[2:].strip() for line in lines]
    return [line.removesuffix(",").rstrip() for line in lines]


def _line_pairs(text: str, file: str) -> list[tuple[str, str]]:
    if table := _table_pairs(text, file):
        return table
    lines = _lines(text)
    if more := next((line for line in lines if _NUMBER_NAME_NUMBER.fullmatch(line)), ""):
        raise ItlError(
            f"{file}: {more[:60]!r} has a number on both sides; leave that of the class and its name"
        )
    pairs = [_numbered_line(line) for line in lines]
    numbered = [pair for pair in pairs if pair]
    if numbered and None in pairs:
        without = lines[pairs.index(None)]
        raise ItlError(
            f"{file}: {counted(len(numbered), 'lines have')} a number and a name, but {without[:60]!r} "
            f"does not; give every line both, or no line a number"
        )
    if not numbered:
        _refuse_heading(lines, file)
    is_other = not numbered and all(map(_OTHER_NUMBERED.fullmatch, lines))
    if lines and (is_other or all(map(_KEYED.fullmatch, lines))):
        raise ItlError(
            f"{file}: {lines[0][:60]!r} has a number and a name; write them as `0 cat`, on each line"
        )
    named = numbered or [(str(number), _unquoted(line)) for number, line in enumerate(lines)]
    unclear = [
        line for line, (_, name) in zip(lines, named, strict=True) if not name or _WITH_DASH.fullmatch(name)
    ]
    if all(_WITH_SIGNS.fullmatch(name) for _, name in named):
        unclear = lines
    if unclear:
        raise ItlError(
            f"{file}: {unclear[0][:60]!r} has more than a name; write `cat` or `0 cat` on each line"
        )
    return [(number, name.lstrip("/")) for number, name in named]


def _refuse_heading(lines: Sequence[str], file: str) -> None:
    """Raise ItlError if the first of *lines*, names without numbers, is none: others would move on."""
    first = lines[0] if lines else ""
    is_count = first == str(len(lines) - 1) and not any(map(is_number, lines[1:]))
    for is_so, what in (
        (first.strip('"[]<>: ').replace(" ", "_").casefold() in HEADERS, "a header"),
        (_COMMENT.match(first), "a comment"),
        (is_count, "their number"),
    ):
        if is_so:
            raise ItlError(f"{file}: {first[:60]!r}, its first line, is no class, but {what}; remove it")


def _table_pairs(text: str, file: str) -> list[tuple[str, str]]:
    """Return number and name of each row below a header that says which is which; nothing without one."""
    lines = [line.strip() for line in text_lines(text) if line.strip()]
    sign = next((sign for sign in ",;\t" if lines and sign in lines[0]), "")
    if not sign:
        return []
    header = next(csv.reader([lines[0][:100]], delimiter=sign, skipinitialspace=True))
    column = _column_of_numbers(header)
    if column is None:
        return []
    try:
        rows = list(csv.reader(lines[1:], delimiter=sign, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ItlError(f"{file} cannot be read as {sign!r}-separated values ({error})") from None
    for row in rows:
        if len(row) != 2 or not _WHOLE.fullmatch(row[column].strip()) or not row[1 - column].strip():
            raise ItlError(
                f"{file}: {sign.join(row)[:60]!r} is not a number and a name, as its header "
                f"{sign.join(header)!r} says; correct it, or remove the header"
            )
    return [(row[column].strip().partition(".")[0], row[1 - column].strip().lstrip("/")) for row in rows]


def _column_of_numbers(header: Sequence[str]) -> int | None:
    """Return which column of *header* is of numbers, the other being of names; None where that is unclear.

    >>> [_column_of_numbers(row) for row in (["ClassId", "Name"], ["class name", "y"], ["label", "label"])]
    [0, 1, None]
    """
    names = [re.sub(r"[\s_]+", "_", name.strip().casefold()) for name in header]
    if len(names) != 2:
        return None
    columns = [n for n in (0, 1) if names[n] in NUMBER_HEADERS and names[1 - n] in HEADERS]
    return columns[0] if len(columns) == 1 else None


def _numbered_line(line: str) -> tuple[str, str] | None:
    """Return number and name of a line that has both."""
    wnid, *parts = line.replace(",", " ").split() or [""]
    if WNID.fullmatch(wnid) and parts and is_number(parts[0]):
        return parts[0], wnid
    if len(line) > LONGEST_LINE:  # of a list of synonyms: patterns would take too long
        if is_number(wnid) and parts:
            return wnid, " ".join(parts)
        return (parts[-1], " ".join([wnid, *parts[:-1]])) if parts and is_number(parts[-1]) else None
    match = _NUMBER_FIRST.fullmatch(line) or _NUMBER_LAST.fullmatch(line)
    if not match:
        return None
    name = _unquoted(match["name"])
    return match["number"], name if name != match["name"] else " ".join(name.replace(",", " ").split())


def _unquoted(name: str) -> str:
    """Return *name* without the quotes around it, if it has any.

    >>> _unquoted("'cat, domestic'"), _unquoted("rock 'n' roll")
    ('cat, domestic', "rock 'n' roll")
    """
    return name[1:-1].strip() if _IN_QUOTES.fullmatch(name) else name


def _json_pairs(text: str) -> list[tuple[str, str]]:
    content = _content(text)
    if isinstance(content, list) and all(isinstance(_json_name(value), str) for value in content):
        return [(str(number), _json_name(value)) for number, value in enumerate(content)]
    if isinstance(content, dict):
        pairs = [(str(key), _json_name(value)) for key, value in content.items()]
        if all(is_number(key) and isinstance(value, str) for key, value in pairs):
            return pairs
        if all(isinstance(value, int) for _, value in pairs):
            return [(str(value), key) for key, value in pairs]
    raise ValueError("it is neither a list of names nor an object with numbers")


def _json_name(value: Any) -> Any:
    """Return the wnid of a list of it and its words, as imagenet_class_index.json has them."""
    is_words = isinstance(value, list) and all(isinstance(word, str) for word in value)
    return value[0] if is_words and value and WNID.fullmatch(value[0]) else value


def names_in_card(text: str, column: str) -> dict[str, str]:
    """Return the names of classes that the YAML at the start of a data set's README has for *column*."""
    import yaml  # a bare GPU machine, which reads no tables, may lack it

    parts = re.split(r"^---\s*$", text, flags=re.MULTILINE)
    try:  # a BaseLoader leaves names as they are written: no is not False
        info = yaml.load(parts[1], yaml.BaseLoader)["dataset_info"] if len(parts) > 2 else {}
        names = []  # of each configuration, which are not told apart here
        for configuration in info if isinstance(info, list) else [info]:
            features = {feature["name"]: feature for feature in configuration["features"]}
            if column in features:
                of_numbers = features[column]["dtype"]["class_label"]["names"]
                names.append({number: plain_label(str(name)) for number, name in of_numbers.items()})
        return names[0] if all(others == names[0] for others in names) else {}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return {}
