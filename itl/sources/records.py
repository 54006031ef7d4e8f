"""Records, the images of a source: listed, checked, described and held out."""

import hashlib
import json
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from itl import ItlError, counted, one_line
from itl.hierarchy.taxonomy import WNID
from itl.sources.boxes import Box
from itl.sources.files.archives import Member
from itl.sources.files.image_files import FORMATS_OF_SUFFIX
from itl.sources.folder_names import wnid_of
from itl.storage import unique_keys

K = TypeVar("K")
V = TypeVar("V")
MASK_PATTERN = r"masks?|seg|segmentations?|gt|ground_?truth|labels?|annotations?|superpixels?|parts?"
MASK = re.compile(rf"(.+)[_ -](?:{MASK_PATTERN})(?:_\d+)?\.\w+", re.IGNORECASE)  # of the image before it
HINT_OF_MASK = re.compile("mask|seg|gt|truth|label|anno|pixel|part")  # in all of these, and soon looked for
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # half of a character, as JSON writes it
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


def parse_json(text: str) -> Any:
    """Return the content of the JSON *text*.

    ValueError if it is not valid, an object has a key twice, or a text is no whole characters, which no table
    can hold.
    """
    content = json.loads(text, object_pairs_hook=unique_keys)
    if SURROGATE.search(text):
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{error.object[error.start]!r} is half of a character") from None
    return content


def int_if_whole(value: Any) -> Any:
    """Return the *value* of JSON; as an integer if it is a float without fraction, as pandas writes numbers.

    >>> int_if_whole(3.0), int_if_whole(0.5), int_if_whole("3.0")
    (3, 0.5, '3.0')
    """
    return int(value) if isinstance(value, float) and value.is_integer() else value


def plain_line(text: str) -> str:
    """Return *text* with single blanks between words, and with escapes for what no terminal shows.

    >>> plain_line("line 1\\n  line 2")
    'line 1 line 2'
    """
    return one_line(" ".join(text.split()))


def plain_label(text: str) -> str:
    """Return the class that *text* names: single blanks between words, accents as in names of folders.

    >>> plain_label("grand\\n  cafe\u0301") == "grand caf\u00e9"
    True
    """
    return unicodedata.normalize("NFC", " ".join(text.split()))


def examples(names: Collection[str], limit: int = 3) -> str:
    """Return the first few of *names* as text.

    >>> examples(["a", "b", "c", "d"])
    'a, b, c …'
    """
    first = list(names)[:limit]
    shown = [one_line(name) if name == name.strip() else repr(name) for name in first]  # 'cat '
    return ", ".join(shown) + (" …" if len(names) > limit else "")


def quoted(name: str) -> str:
    """Return *name* for a list of names and counts: in quotation marks where it would be misread.

    >>> quoted("cat"), quoted("cat "), quoted("dog, big")
    ('cat', "'cat '", "'dog, big'")
    """
    return one_line(name) if name == name.strip() and ", " not in name else repr(name)


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Return the values of *pairs* by their keys.

    >>> grouped([("a", 1), ("b", 2), ("a", 3)])
    {'a': [1, 3], 'b': [2]}
    """
    groups: dict[K, list[V]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def classes_by_split(records: Iterable[Record]) -> dict[str, set[str]]:
    """Return the classes of each split."""
    classes = defaultdict(set)
    for record in records:
        classes[record.split].add(record.wnid)
    return dict(classes)


def describe_doubtful_names(records: Collection[Record]) -> list[str]:
    """Return notes on images whose names say that they are masks, or of another class or split in ImageNet.

    >>> folder = "train/n01440764"
    >>> names = [f"{folder}/{name}_1.JPEG" for name in ("n01440764", "n02119022", "ILSVRC2012_val")]
    >>> for note in describe_doubtful_names([Record(name, "n01440764", "train") for name in names]):
    ...     print(note)
    1 image is named after another wnid than that of the folder: train/n01440764/n02119022_1.JPEG
    1 image has the name of a validation image, but is in train: train/n01440764/ILSVRC2012_val_1.JPEG
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
    notes = (
        ("images are named after another wnid than that of the folder", others, ""),
        ("images have the name of a validation image, but is in train", validation, ""),
        ("images are called like a mask of another image beside it", masks, "; move masks elsewhere"),
    )
    return [f"{counted(len(names), words)}: {examples(names)}{cure}" for words, names, cure in notes if names]


def refuse_group_alone(group: str | None, fraction: float) -> None:
    """Raise ItlError for an option *group* without val_fraction, whose value is *fraction*."""
    if group is not None and not fraction:
        raise ItlError(
            f"the option group={group} says what val_fraction holds out together, which is not set; set "
            f"val_fraction=0.1, or leave group out"
        )


def split_off_val(
    records: list[Record], fraction: float, groups: Mapping[str, str] = MappingProxyType({})
) -> list[Record]:
    """Move *fraction* of each class from train to val: the images whose ids have the lowest hashes.

    Images of one of *groups*, by their ids, go together whatever their classes: where val has too few of one
    of these, but not with more than twice its part of any, or all of it; groups of several classes until val
    has its part of all images. Records keep their group.
    ItlError for a *fraction* that is none, or above 0 where some *records* are val already, or none would be.

    >>> cats = [Record(f"{number}.jpg", "cat", "train") for number in range(4)]
    >>> group_of = {"0.jpg": "a", "1.jpg": "b", "2.jpg": "a", "3.jpg": "c"}
    >>> [record.split for record in split_off_val(cats, 0.5, group_of)]
    ['val', 'train', 'val', 'train']
    """
    if not 0 <= fraction < 1:
        raise ItlError(
            f"val_fraction is a part of the training images, 0 or more and less than 1, not {fraction}"
        )
    if not fraction:
        return records
    counts = Counter(record.split for record in records)
    if counts["val"]:
        raise ItlError(
            f"val_fraction={fraction} is set, but there are {counted(counts['val'], 'val images')}; "
            f"leave it out"
        )
    train = [record for record in records if record.split == "train"]
    together: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in sorted(train, key=lambda record: hashlib.sha256(record.id.encode()).digest()):
        group = groups.get(record.id, "")
        together[group, "" if group else record.id].append(record)
    images = [
        Counter(record.wnid for record in group) if len(group) > 1 else {group[0].wnid: 1}  # of a million
        for group in together.values()
    ]
    chosen = choose_groups(images, fraction)
    val = {
        record.id for number, group in enumerate(together.values()) if number in chosen for record in group
    }
    if train and not val:
        why, cure = "every class has one alone", "leave it out"
        if max(Counter(record.wnid for record in train).values()) > 1:
            why, cure = "every group has too much of a class", "set another group, or leave both out"
        raise ItlError(f"val_fraction={fraction} holds out no image, as {why}; {cure}")
    return [
        replace(record, split="val" if record.id in val else record.split, group=groups.get(record.id, ""))
        if record.id in val or record.id in groups
        else record
        for record in records
    ]


def choose_groups(groups: Sequence[Mapping[K, int]], fraction: float) -> set[int]:
    """Return which of *groups*, in this order, make up a *fraction* of each class: see `split_off_val`.

    Each group has its images of each class.

    >>> choose_groups([{"cat": 9}, {"cat": 2}, {"cat": 2, "dog": 1}, {"dog": 1}, {"cat": 7}], 0.2)
    {1, 2}
    """
    totals = Counter[K]()
    for group in groups:
        totals.update(group)
    parts = {label: min(count - 1, max(1, round(fraction * count))) for label, count in totals.items()}
    most = {label: min(2 * part, totals[label] - 1) for label, part in parts.items()}
    wanted, taken, chosen = sum(parts.values()), Counter[K](), set()
    for number, group in enumerate(groups):
        is_short = any(taken[label] < parts[label] for label in group)
        is_short &= len(group) == 1 or taken.total() < wanted
        if is_short and all(taken[label] + count <= most[label] for label, count in group.items()):
            taken.update(group)
            chosen.add(number)
    return chosen
