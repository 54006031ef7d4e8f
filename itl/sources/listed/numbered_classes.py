"""Classes that are numbers in a data set, and the names of these numbers."""

import csv
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from itl.errors import ItlError
from itl.hierarchy.taxonomy import WNID
from itl.iteration import grouped
from itl.sources.files.json_text import parse_json
from itl.sources.folder_names import wnid_of
from itl.sources.records import IN_QUOTES, plain_label, unquoted
from itl.storage import python_literal, text_lines
from itl.words import counted, examples

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
_WHOLE = re.compile(r"-?[0-9]+(\.0+)?")
_NO_NAME = re.compile(  # but perhaps a name with a number, others or a comment beside it
    rf"""[-–—#%].*|//.*|.*[-–—]|.*[=|;:>{{}}"].*|'[^']*('.*')?|\[.*[\s,].*|{WNID.pattern}_[0-9].*"""
)
_NUMBER_NAME_NUMBER = re.compile(r"[0-9]+\s*,.*,\s*[0-9.]+")  # the second may be a count of images
_WITH_NUMBER = re.compile(
    r".*[(\[]\s*[0-9]+\s*[)\]]|[(\[]?\s*[0-9]+\s*(?:[)\]].*|[.-]\s.*)"
)  # (0) cat, 0. cat


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
    pairs = list(pairs)
    return {} if contradiction(pairs) else {number: name for number, name in pairs if name}


def contradiction(pairs: Iterable[tuple[str, str]]) -> str:
    """Say which number has two names among *pairs*, or which name two numbers; '' if none has.

    Empty names are none.

    >>> contradiction([("0", "cat"), ("1", "dog"), ("0", "dog")]), contradiction([("0", "cat"), ("1", "cat")])
    ('0 is cat and dog', '0 and 1 are cat')
    >>> contradiction([("0", ""), ("0", "cat"), ("1", "")])
    ''
    """
    names: dict[str, str] = {}
    numbers: dict[str, str] = {}
    for number, name in ((number, name) for number, name in pairs if name):
        if (other := names.setdefault(number, name)) != name:
            return f"{number} is {other} and {name}"
        if (other := numbers.setdefault(name, number)) != number:
            return f"{other} and {number} are {name}"
    return ""


def read_names(data: bytes, file: str) -> dict[str, str]:
    """Read which names numbers stand for.

    A line is `NAME` (numbered from 0), `NAME NUMBER`, `NUMBER NAME`, with spaces, a comma or a colon and a
    space between, or `WNID NUMBER WORDS`. A name may be in quotes. JSON, or what Python prints, is a list of
    names, or an object of names by number or of numbers by name. A slash at the start of a name is dropped. A
    wnid with words is that wnid, as `WNID WORDS` on a line, or ``["n01440764", "tench"]`` in JSON. ItlError,
    about *file*, for any other content, for a header above names, and for a number or a name that is there
    twice.

    >>> read_names(b"/a/airfield 0\\n/a/alcove 1\\n", "categories.txt")
    {'0': 'a/airfield', '1': 'a/alcove'}
    """
    try:
        text = data.decode("utf-8-sig")
        pairs = _json_pairs(text) if _is_json(text, file) else _line_pairs(text, file)
    except (ValueError, SyntaxError, RecursionError, csv.Error) as error:
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


def refuse_repeated(names: Mapping[str, str], file: str, cure: str = "") -> None:
    """Raise ItlError if two numbers have one of *names*, read from *file*: they would be one class."""
    if repeated := sorted(name for name, count in Counter(names.values()).items() if count > 1):
        raise ItlError(f"{file} gives {repeated[0]!r} two numbers; give every class a name of its own{cure}")


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


def describe_order(data: bytes, file: str) -> list[str]:
    """Return a note if blanks join names to numbers that do not rise: they may be parts of the names.

    >>> describe_order(b"Tank 2\\nTank 0\\n", "a.txt")[0]
    "the numbers of a.txt do not rise: 'Tank 2' is class 2; if they are of names, write `0 Tank 2` …"
    >>> describe_order(b"cat 0\\ndog 1\\n", "names.txt"), describe_order(b"cat: 1\\ndog: 0\\n", "names.txt")
    ([], [])
    """
    text = data.decode("utf-8-sig")
    lines = [] if _is_json(text, file) or _table_pairs(text, file) else _lines(text)
    numbers = [pair[0] for pair in map(_numbered_line, lines) if pair]
    if numbers == sorted(numbers, key=int) or not _are_joined_by_blanks(lines):
        return []
    return [
        f"the numbers of {file} do not rise: {lines[0][:60]!r} is class {numbers[0]}; if they are of names, "
        f"write `0 {lines[0][:60]}` …"
    ]


def describe_exceptions(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Return a note if folders stand for numbers with few exceptions, of *pairs* of a number and a folder.

    >>> describe_exceptions([("0", "cat"), ("0", "cat"), ("1", "dog"), ("1", "cat")])
    ['1 image has another label than most of the folder: 1 in cat; the list is taken']
    """
    numbers_in = grouped((folder, number) for number, folder in pairs if folder)
    usual = {folder: Counter(inside).most_common(1)[0][0] for folder, inside in numbers_in.items()}
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
        count = counted(len(names), "classes")
        raise ItlError(
            f"{file} names {count}, but none has the number {number}; write the number of each into it, on "
            f"every line, as `{number} NAME`"
        )
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
    pairs = [_numbered_line(line) for line in lines]
    numbered = [pair for pair in pairs if pair]
    if numbered and None in pairs:
        without = lines[pairs.index(None)]
        header = "" if pairs[0] else "; if it is a header, remove it"
        raise ItlError(
            f"{file}: {counted(len(numbered), 'lines have')} a number and a name, but {without[:60]!r} "
            f"does not; give every line both, or no line a number{header}"
        )
    if numbered and _are_joined_by_blanks(lines):
        same = {name for _, name in numbered}
        in_order = [number for number, _ in numbered] == [*map(str, range(len(lines)))]
        if in_order and len(same) == 1 < len(lines):
            numbered = [(number, line) for (number, _), line in zip(numbered, lines, strict=True)]
        cure = f", or, if the numbers are of names, write `0 {lines[0][:60]}` …"
        refuse_repeated(dict(numbered), file, cure)
    named = numbered or [(str(number), unquoted(line)) for number, line in enumerate(lines)]
    if not numbered:
        _refuse_heading(lines, file)
    unclear = [
        line
        for line, (_, name) in zip(lines, named, strict=True)
        if not name
        or _NO_NAME.fullmatch(name)
        or _NUMBER_NAME_NUMBER.fullmatch(line)
        or (numbered and _has_third_cell(line))
    ]
    if not numbered and all(map(_WITH_NUMBER.fullmatch, lines)):
        unclear = lines
    if unclear:
        raise ItlError(
            f"{file}: {unclear[0][:60]!r} is not plainly a name, or a number and a name; write `cat` or "
            f"`0 cat` on each line, or a list of names in JSON"
        )
    return [(number, name.lstrip("/")) for number, name in named]


def _refuse_heading(lines: Sequence[str], file: str) -> None:
    """Raise ItlError if the first of *lines*, names without numbers, is none: others would move on."""
    first = lines[0] if lines else ""
    is_header = first.strip('"[]<>: ').replace(" ", "_").casefold() in HEADERS
    if is_header or (first == str(len(lines) - 1) and not any(map(is_number, lines[1:]))):
        what = "a header" if is_header else "their number"
        raise ItlError(f"{file}: {first[:60]!r}, its first line, is no class, but {what}; remove it")


def _table_pairs(text: str, file: str) -> list[tuple[str, str]]:
    """Return number and name of each row below a header that says which is which; nothing without one."""
    lines = [line.strip() for line in text_lines(text) if line.strip(", \t")]
    sign = next((sign for sign in ",;\t" if lines and sign in lines[0]), ",")
    header = [re.sub(r"[\s_]+", "_", cell.strip('" ').casefold()) for cell in "".join(lines[:1]).split(sign)]
    of_numbers = [
        column for column, cell in enumerate(header) if cell in NUMBER_HEADERS or (not cell and column == 0)
    ]
    of_names = [column for column, cell in enumerate(header) if cell in HEADERS]
    both = [(number, name) for number in of_numbers for name in of_names if number != name]
    is_known = len(both) == 1
    if not both and len(of_numbers) == 1 and len(header) == 2:  # ClassId,SignName
        both = [(of_numbers[0], 1 - of_numbers[0])]
    if len(both) != 1:
        return []
    (number, name), pairs = both[0], []
    for row in csv.reader(lines[1:], delimiter=sign, skipinitialspace=True, strict=True):
        if len(row) != len(header) or not _WHOLE.fullmatch(row[number].strip()) or not row[name].strip():
            if not is_known:
                return []
            raise ItlError(
                f"{file}: {sign.join(row)[:60]!r} is not a number and a name, as its header "
                f"{lines[0]!r} says; correct it, or remove the header"
            )
        pairs.append((row[number].strip().partition(".")[0], row[name].strip().lstrip("/")))
    return pairs


def _are_joined_by_blanks(lines: Iterable[str]) -> bool:
    """Say whether nothing but blanks joins the numbers of *lines* to names that are no wnids."""
    return not any(re.search(rf"""[\t,:"']|{WNID.pattern}""", line) for line in lines)


def _has_third_cell(line: str) -> bool:
    r"""Say whether a *line* has another cell beside a number and a name: not a comma of words, nor a wnid.

    >>> [_has_third_cell(line) for line in ("0\tcat\t513", "cat,mammal,0", "0,cat, domestic", "0,'1,4'")]
    [True, True, False, False]
    """
    rows = [re.split(sign, IN_QUOTES.sub("name", line)) for sign in (r"\t+", r",(?!\s)")]
    return any(
        len(row) > 2 and (is_number(row[0]) or is_number(row[-1])) and not any(map(WNID.fullmatch, row))
        for row in rows
    )


def _numbered_line(line: str) -> tuple[str, str] | None:
    """Return number and name of a line that has both: the number first, or behind a wnid, or else last.

    >>> [_numbered_line(line) for line in ("0: 'cat, domestic'", "sea lion, 1", "n02119789 1 kit fox", "cat")]
    [('0', 'cat, domestic'), ('1', 'sea lion'), ('1', 'n02119789'), None]
    """
    words = line.replace(",", " ").split()
    if len(words) < 2:
        return None
    first, last = words[0], words[-1]
    if WNID.fullmatch(first) and is_number(words[1]):
        return words[1], first
    for number, name in (
        (first.removesuffix(":"), line[len(first) :]),
        (last, line[: -len(last)].rstrip().removesuffix(":")),
    ):
        if is_number(unquoted(number)):
            name = name.strip(", \t")
            whole = unquoted(name)
            return unquoted(number), whole if whole != name else " ".join(name.replace(",", " ").split())
    return None


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
