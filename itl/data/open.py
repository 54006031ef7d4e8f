"""Sources by name: open one, or check what is there before packing it."""

import inspect
from collections import Counter
from pathlib import Path

from itl import ItlError, pick
from itl.data.cifar import Cifar100
from itl.data.demo import DemoClasses
from itl.data.demo_targets import DemoActions, DemoDetection, DemoScenes
from itl.data.imagenet import DEVKIT, TRAIN_TAR, VAL_TAR, ImageNet, TinyImageNet
from itl.data.sources import WNID, ClassFolders, Record, Source, missing_classes, some
from itl.data.voc_action import VocAction
from itl.data.voc_detection import Voc2007, Voc2012
from itl.wordnet import Taxonomy

SOURCES = {
    "imagenet": ImageNet,
    "tiny-imagenet": TinyImageNet,
    "folder": ClassFolders,
    "cifar100": Cifar100,
    "voc2007": Voc2007,
    "voc2012": Voc2012,
    "voc2012-action": VocAction,
    "demo": DemoClasses,
    "demo-scenes": DemoScenes,
    "demo-detection": DemoDetection,
    "demo-actions": DemoActions,
}
EXPECTED = {
    "imagenet": f"a folder with train/<wnid>/ and val/<wnid>/, or with {TRAIN_TAR}, {VAL_TAR} and "
                f"{DEVKIT}.tar.gz as image-net.org hands them out after registration",
    "tiny-imagenet": "tiny-imagenet-200, unpacked or as the .zip of cs231n.stanford.edu",
    "folder": "a folder, .tar or .zip with train/<class>/, val/<class>/ and test/<class>/, or <class>/ alone",
    "cifar100": "the folder around cifar-100-python; the option download=true fetches it",
}


def reads_files(kind: str) -> bool:
    """Say whether the source *kind* takes a path; ItlError, with the near miss, for an unknown one."""
    return "path" in inspect.signature(pick(SOURCES, kind, "source")).parameters


def open_source(kind: str, path: str | Path | None = None, **options: object) -> Source:
    """Make the source *kind* of what lies at *path* (none where images are rendered); reads nothing yet.

    >>> open_source("folder", "pictures", val_fraction=0.1).kind
    'folder'

    Raises ItlError for an unknown kind or option, naming the nearest.
    """
    make = pick(SOURCES, kind, "source")
    known = inspect.signature(make).parameters
    for name in options:
        pick({each: each for each in known if each != "path"}, name, f"option of source {kind}")
    if not reads_files(kind):
        return make(**options)
    if path is None:
        raise ItlError(f"source {kind} reads files, but no path was given; it takes {EXPECTED[kind]}")
    return make(Path(path).expanduser(), **options)


def check(kind: str, path: str | Path | None = None, **options: object) -> list[str]:
    """Say in lines for people what is there, what is missing, and what to do; a line of trouble starts so.

    >>> check("folder", "nowhere")[0]
    'problem: nowhere was asked for, but there is nothing there; give a folder, a .tar or a .zip'
    """
    try:
        source = open_source(kind, path, **options)
        records = source.records()
    except ItlError as error:
        return [f"problem: {error}", *_expected(kind)]
    except OSError as error:
        return [f"problem: {path} cannot be read ({error.strerror or error})", *_expected(kind)]
    lines = [_counts(split, [each for each in records if each.split == split])
             for split in sorted({record.split for record in records}, reverse=True)]
    lines += [_classes(sorted({record.wnid for record in records}))]
    for split, names in missing_classes(records).items():
        if names:
            lines.append(f"note: {split} has no image of {len(names)} classes, such as {some(names)}")
    if {record.split for record in records} == {"train"}:
        lines.append("note: no val or test images; nothing can be measured on this source alone")
    lines += _left_out(source, len(records))
    return [*lines, f"next: itl pack {kind} {f'{path} ' if path else ''}--size 64 --out PACK"]


def _expected(kind: str) -> list[str]:
    return [f"{kind} takes {EXPECTED[kind]}"] if kind in EXPECTED else []


def _counts(split: str, records: list[Record]) -> str:
    """One line on one split."""
    per_class = Counter(record.wnid for record in records).values()
    least, most = min(per_class), max(per_class)
    each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    return f"{split}: {len(records):,} images in {len(per_class):,} classes, {each} for each class"


def _classes(names: list[str]) -> str:
    """One line on what the classes are to WordNet."""
    tree = Taxonomy.snapshot()
    leaves = set(tree.leaves)
    plain = [name for name in names if not WNID.fullmatch(name)]
    outside = [name for name in names if name not in tree and WNID.fullmatch(name)]
    counts = [
        (sum(name in leaves for name in names), "ILSVRC classes", []),
        (sum(name in tree and name not in leaves for name in names), "wnids above these", []),
        (len(outside), "other wnids", outside),
        (len(plain), "plain names", plain),
    ]
    told = [f"{count:,} {what}" + (f" ({some(few)})" if few else "") for count, what, few in counts if count]
    return "classes: " + ", ".join(told)


def _left_out(source: Source, count: int) -> list[str]:
    """Lines on the files that are no records."""
    listing = getattr(source, "listing", None)
    if listing is None:
        return []
    other = len(listing.files) - count
    reasons = {**listing.left_out, "not images, unlabelled or outside class folders": other}
    return [f"left out: {number:,} {reason}" for reason, number in reasons.items() if number]
