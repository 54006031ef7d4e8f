"""What one file says as a list of images, and its text."""

import codecs
import re
import unicodedata
from dataclasses import dataclass, field
from typing import NamedTuple

from itl.errors import ItlError
from itl.sources.files.image_files import FORMATS_OF_SUFFIX
from itl.sources.listed.labels import LABEL_COLUMNS, SEVERAL_LABELS, refuse_several
from itl.sources.listed.list_columns import ID_COLUMNS, IMAGE_COLUMNS, delimiter_of
from itl.sources.records import is_image, plain_label, unquoted

QUOTES = ("'", '"')
_SUFFIXES = "|".join(map(re.escape, FORMATS_OF_SUFFIX))
IMAGE_AND_LABEL = re.compile(rf"""(.*?(?:{_SUFFIXES})["']?)(?:[\s,;]+(.*))?""", re.IGNORECASE)


class NoTextError(ItlError):
    """A file is no text in UTF-8."""


class CodesOfSplitsError(ItlError):
    """A list that is named after splits has numbers for them, and none of labels."""


class NoLabelError(ItlError):
    """The first lines of a list name images, but no labels."""


class ListedImage(NamedTuple):
    """One image of a list."""

    image: str  # as the list names it
    label: str  # as the list has it; empty without one
    line: int = 0  # from 1; 0: not known
    split: str = ""  # train, val or test, where the list has a column of splits


@dataclass
class ListFile:
    """What a file says as a list of images, read once: its lines, up to the first that cannot be read."""

    name: str
    header: str = ""  # its first line
    images: list[ListedImage] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)  # columns
    fault: ItlError | None = None  # why the whole of it cannot be read
    line: int = 0  # that is being read, or has the fault; 0: its columns have it

    def add(self, entry: ListedImage) -> None:
        """Add the image of a line, without quotes, and with / in its path.

        UnclearListError if it has several labels.
        """
        if "\\" in entry.image:  # as Windows writes it
            entry = entry._replace(image=entry.image.replace("\\", "/"))
        if entry.image[:1] in QUOTES or entry.label[:1] in QUOTES:  # few of millions
            entry = entry._replace(image=unquoted(entry.image), label=unquoted(entry.label))
        if not entry.label.isascii():  # signs that nobody sees are no label
            entry = entry._replace(label=plain_label(entry.label))
        if SEVERAL_LABELS.fullmatch(entry.label):  # no text is made for each of a million lines
            refuse_several(entry.label, f"{self.name}, line {entry.line}")
        self.images.append(entry)


def text_of(data: bytes, file: str) -> str:
    """Return *data* as text, composed as names of files are; NoTextError if it is no text in UTF-8."""
    if is_utf16(data):
        raise NoTextError(f"{file} is not text in UTF-8, but in UTF-16; save it as UTF-8")
    try:
        text = unicodedata.normalize("NFC", data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise NoTextError(f"{file} is not text in UTF-8 ({error.reason}); save it as UTF-8") from None
    if "\0" in text:
        raise NoTextError(f"{file} is not text; give a list with an image and its label on each line")
    return text


def is_utf16(data: bytes) -> bool:
    """Say whether *data* begins as a text in UTF-16 does."""
    return data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def first_line(text: str) -> str:
    """Return the first line of *text* that has more than blanks, without those around it.

    >>> first_line(" image,label\\r0.jpg,cat\\r")
    'image,label'
    """
    return re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0].strip()


def has_lines_of_text(text: str) -> bool:
    """Say whether *text* is of lines `IMAGE LABEL` with a blank between, as Places205 has them in a CSV."""
    first = first_line(text)
    match = IMAGE_AND_LABEL.fullmatch(first)
    is_labelled = bool(match and match[2] and " " not in match[2])  # 0.png is blurred: a note
    return is_labelled and not re.search(r"[,;|\t\"]", first)


def delimiter_of_header(text: str, image: str | None = None, label: str | None = None) -> str:
    """Return what separates columns of images and of labels, called so or *image* and *label*, on line 1.

    That may be a blank. It is empty where the first line of *text* names none of these.

    >>> delimiter_of_header("image,label"), delimiter_of_header("id path kind", "path", "kind")
    (',', ' ')
    >>> delimiter_of_header("image.jpg,label")
    ''
    """
    first = first_line(text).lower()
    sign = next((sign for sign in ",\t;| " if sign in first), ",")
    cells = {cell.strip(' "') for cell in first.split(sign)}
    images = (image.lower(),) if image else (*IMAGE_COLUMNS, *ID_COLUMNS)
    labels = (label.lower(),) if label else LABEL_COLUMNS
    is_none = cells.isdisjoint(images) or cells.isdisjoint(labels) or any(map(is_image, cells))
    return "" if is_none else sign


def delimiter_of_table(text: str, suffix: str) -> str:
    """Return what separates the values of a table: a tab in a TSV, else what its first line tells."""
    return "\t" if suffix == "tsv" else delimiter_of(first_line(text))
