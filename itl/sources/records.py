"""Records, the images of a source: what one is, and what is checked and said of all."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from itl.errors import ItlError
from itl.hierarchy.taxonomy import WNID
from itl.sources.boxes import Box
from itl.sources.files.archives import Member
from itl.sources.files.image_files import FORMATS_OF_SUFFIX
from itl.sources.folder_names import wnid_of
from itl.words import counted, examples

MASK_PATTERN = r"masks?|seg|segmentations?|gt|ground_?truth|labels?|annotations?|superpixels?|parts?"
MASK = re.compile(rf"(.+)[_ -](?:{MASK_PATTERN})(?:_\d+)?\.\w+", re.IGNORECASE)  # of the image before it
HINT_OF_MASK = re.compile("mask|seg|gt|truth|label|anno|pixel|part")  # in all of these, and soon looked for
# Names of copied folders in Windows, browsers, macOS and GNOME.
COPY = re.compile(r"(?i:copy of (.+)|(.+?)( - copy( \(\d+\))?| copy( \d+)?| \(\d{1,2}\)| \((\w+ )?copy\)))")
IN_QUOTES = re.compile(r"""'[^']+'|"[^"]+\"""")
INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))  # soft hyphen, signs without width
NO_FILE = Member("")  # of images that are rendered, or held in arrays


@dataclass(frozen=True, slots=True)
class Record:
    """One image of a source."""

    id: str  # relative name, the same on every machine
    wnid: str  # its class: a wnid, or a plain class name
    split: str  # train, val or test
    member: Member = NO_FILE
    box: Box | None = None  # the part of the image that the record shows; None: all of it
    group: str = ""  # such as its patient: held out together with the images of the same; "" is none


def is_image(name: str) -> bool:
    """Say whether *name* has the suffix of an image file."""
    # Not by suffix_of, which is a further call for each of a million images.
    return name[name.rfind(".") :].lower() in FORMATS_OF_SUFFIX


def suffix_of(name: str) -> str:
    """Return the suffix of *name* in small letters, with its dot."""
    return name[name.rfind(".") :].lower()


def stem_of(image: str) -> str:
    """Return the name of *image* without its folders and the suffix of an image file.

    >>> stem_of("VOC2007/000005.jpg"), stem_of("2008.1")
    ('000005', '2008.1')
    """
    last = image.replace("\\", "/").rpartition("/")[2]
    return last.rpartition(".")[0] if is_image(last) else last


def validate_records(records: Iterable[Record], path: Path) -> list[Record]:
    """Return *records* sorted by id; ItlError if there are none, or one of these rules is broken.

    Train has all classes of the other splits. No link leads to a folder whose images are there already.
    """
    records = sorted(records, key=lambda record: record.id)
    if not records:
        raise ItlError(f"{path} holds no images that have a class in a way that this source reads")
    classes = classes_by_split(records)
    for split in sorted(classes):
        unknown = sorted(classes[split] - classes["train"]) if "train" in classes else []
        if unknown:
            raise ItlError(
                f"{path}: {split} has {counted(len(unknown), 'classes')} that train does not have, such as "
                f"{examples(unknown)}; give both splits the same classes (train has "
                f"{examples(sorted(classes['train']))})"
            )
    _refuse_folder_twice(records, path)
    return records


def _refuse_folder_twice(records: Iterable[Record], path: Path) -> None:
    """Raise ItlError if a link makes the files of one folder images of two classes, or of two splits."""
    folders = {
        record.member.path.rpartition(os.sep)[0]: None
        for record in records
        if type(record.member) is Member and record.member.path
    }
    seen: dict[tuple[int, int], str] = {}
    for folder in folders:
        status = os.stat(folder or os.curdir)
        other = seen.setdefault((status.st_dev, status.st_ino), folder)
        if other != folder:
            raise ItlError(
                f"{path}: {folder} and {other} are one folder, as one is a link, so each of its images would "
                f"be there twice; remove the link, or copy the images that should be there"
            )


def plain_label(text: str) -> str:
    """Return the class that *text* names: single blanks between words, accents as in names of folders.

    Signs that nobody sees, such as a space without width or a byte-order mark, are left out.

    >>> plain_label("grand\\n  cafe\u0301\u200b") == "grand caf\u00e9"
    True
    """
    visible = text if text.isascii() else text.translate(INVISIBLE)  # which takes longer than all else
    return unicodedata.normalize("NFC", " ".join(visible.split()))


def unquoted(name: str) -> str:
    """Return *name* without the quotes around it, if it has any.

    >>> unquoted("'cat, domestic'"), unquoted("rock 'n' roll")
    ('cat, domestic', "rock 'n' roll")
    """
    return name[1:-1].strip() if IN_QUOTES.fullmatch(name) else name


def classes_by_split(records: Iterable[Record]) -> dict[str, set[str]]:
    """Return the classes of each split."""
    classes = defaultdict(set)
    for record in records:
        classes[record.split].add(record.wnid)
    return dict(classes)


def describe_doubtful_names(records: Collection[Record]) -> list[str]:
    """Return notes on images whose names say that they are masks, copies, or of another class or split.

    >>> folder = "train/n01440764"
    >>> names = [f"{folder}/{name}_1.JPEG" for name in ("n01440764", "n02119022", "ILSVRC2012_val")]
    >>> for note in describe_doubtful_names([Record(name, "n01440764", "train") for name in names]):
    ...     print(note)
    1 image is named after another wnid than that of the folder: train/n01440764/n02119022_1.JPEG
    1 training image has the name of a validation image: train/n01440764/ILSVRC2012_val_1.JPEG
    """
    others, validation, like_masks = [], [], []
    for record in records:  # of which there may be millions: patterns only where names differ
        if HINT_OF_MASK.search(record.id[-24:].lower()) and (mask := MASK.fullmatch(record.id)):
            like_masks.append((record.id, mask[1]))
        folder, _, name = record.id.rpartition("/")
        if name[:1] == "n" and name[9:10] == "_" and folder[-9:] != name[:9]:
            wnids = [wnid for part in folder.split("/") if (wnid := wnid_of(part))]  # as n01440764/images
            if WNID.fullmatch(name[:9]) and wnids and wnids[-1] != name[:9]:
                others.append(record.id)
        elif record.split == "train" and name.startswith("ILSVRC2012_val_"):
            validation.append(record.id)
    images = {record.id.rpartition(".")[0] for record in records} if like_masks else set()
    masks = [name for name, image in like_masks if image in images]
    classes = {record.wnid for record in records}
    originals = {name: {*copy.group(1, 2)} for name in sorted(classes) if (copy := COPY.fullmatch(name))}
    copies = [name for name, original in originals.items() if original & classes]
    notes = (
        ("classes are named like a copy of another class", copies, "; move copies elsewhere"),
        ("images are named after another wnid than that of the folder", others, ""),
        ("training images have the name of a validation image", validation, ""),
        ("images are called like a mask of another image beside it", masks, "; move masks elsewhere"),
    )
    return [f"{counted(len(names), words)}: {examples(names)}{cure}" for words, names, cure in notes if names]
