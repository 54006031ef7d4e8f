"""What `itl check` says: what is there, what is missing, where people get it, and what works without it."""

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from itl import ItlError
from itl.hierarchy.taxonomy import Taxonomy
from itl.sources import detections_csv, proposals
from itl.sources.annotated import header_size
from itl.sources.records import WNID, Record, Source, missing_classes, some
from itl.sources.registry import EXPECTED, open_source

HARD = "\N{NO-BREAK SPACE}"                # keeps a name and its count on one line
FEW = 20                                    # classes that are counted one by one
LOOK = 50_000                               # images whose headers are read, of sources that have no survey
UNREADABLE = 0.01                           # of the images; a pack refuses more
OTHERS: dict[str, Callable[..., list[str]]] = {     # what is no source: KIND -> function of path and options
    "detections": detections_csv.look,
    "proposals": proposals.look,
}

ON_PAGE = "of PASCAL VOC's project page has it"
NO_FIT = "without it nothing can be fitted"
ON_VAL = "without it all works, but scores are measured on val"
MISSING = {                                 # source, split -> where people get it, what works without it
    ("voc2007", "train"): f"VOCtrainval_06-Nov-2007.tar {ON_PAGE}; {NO_FIT}",
    ("voc2007", "test"): f"VOCtest_06-Nov-2007.tar {ON_PAGE}; {ON_VAL}, not as papers give them",
    ("voc2012", "train"): f"VOCtrainval_11-May-2012.tar {ON_PAGE}; {NO_FIT}",
    ("voc2012", "test"): f"its annotations are not public, only PASCAL VOC's server scores it; {ON_VAL}",
    ("voc2012-action", "train"): f"VOCtrainval_11-May-2012.tar {ON_PAGE}; {NO_FIT}",
    ("voc2012-action", "test"): f"its labels are not public, only PASCAL VOC's server scores it; {ON_VAL}",
    ("coco", "train"): f"name its JSON file with the option annotations; {NO_FIT}",
    ("coco", "test"): ON_VAL,
    ("imagenet", "val"): "ILSVRC2012_img_val.tar and the devkit come from image-net.org, after "
                         "registration; without it nets are trained, but not scored on ImageNet",
}
PUBLISHED = {                               # images of each split
    "voc2007": {"train": 2501, "val": 2510, "test": 4952}, "voc2012": {"train": 5717, "val": 5823},
    "sun397": {"train": 19850, "test": 19850},
}
PACKED = {                                  # how the sources are usually packed
    "voc2007": "--size 500 --fit pad", "voc2012": "--size 500 --fit pad", "coco": "--size 640 --fit pad",
    "voc2012-action": "--size 256", "sun397": "--size 256",
}


def check(kind: str, path: str | Path | None = None, **options: object) -> list[str]:
    """Say in lines for people what is there, what is missing, and what to do; a line of trouble starts so.

    >>> check("folder", "nowhere")[0]
    'problem: nowhere was asked for, but there is nothing there; give a folder, a .tar or a .zip'
    """
    if kind in OTHERS:
        return OTHERS[kind](path, **options)
    try:
        source = open_source(kind, path, **options)
        survey = getattr(source, "survey", None)
        records = survey.records if survey else source.records()
        problems = source.problems() if survey else []
    except ItlError as error:
        return [f"problem: {error}", *_expected(kind)]
    except OSError as error:
        return [f"problem: {path} cannot be read ({error.strerror or error})", *_expected(kind)]
    lines = [f"problem: {text}" for text in problems]
    if not records:
        lines += [] if problems else [f"problem: {path} holds no images for {kind}"]
        lines += _expected(kind)
    by_split = {split: [each for each in records if each.split == split]
                for split in sorted({record.split for record in records}, reverse=True)}
    tell = _annotated if hasattr(source, "annotation") and survey else _classified
    lines += tell(source, by_split)
    lines += [f"note: {text}" for text in (source.notes() if survey else ())]
    lines += [f"missing: {split}: {MISSING[kind, split]}" for split in ("train", "val", "test")
              if records and split not in by_split and (kind, split) in MISSING]
    if set(by_split) == {"train"}:
        lines.append("note: no val or test images; nothing can be measured on this source alone")
    lines += _fewer(source, by_split)
    lines += _left_out(source, len(records))
    lines += _headers(source, records)
    if records:
        how = PACKED.get(kind, "--size 64")
        lines.append(f"next: itl pack {kind} {f'{path} ' if path else ''}{how} --out PACK")
    return lines


def _expected(kind: str) -> list[str]:
    return [f"{kind} takes {EXPECTED[kind]}"] if kind in EXPECTED else []


def _classified(source: Source, by_split: dict[str, list[Record]]) -> list[str]:
    """Lines on images of one class each."""
    records = [record for each in by_split.values() for record in each]
    if not records:
        return []
    lines = [_counts(split, each) for split, each in by_split.items()]
    lines += [_classes(sorted({record.wnid for record in records}))]
    for split, names in missing_classes(records).items():
        if names and "train" in by_split:
            lines.append(f"note: {split} has no image of {len(names)} classes, such as {some(names)}")
    for split, each in by_split.items():
        lines += _listed(f"  {split}: ", Counter(record.wnid for record in each))
    return lines


def _annotated(source: Source, by_split: dict[str, list[Record]]) -> list[str]:
    """Lines on images with objects: how many count, and in brackets how many more are difficult."""
    lines, seen = [], {}
    for split, records in by_split.items():
        things = [thing for record in records for thing in source.annotation(record)]
        counts = Counter(thing.name for thing in things if not thing.difficult)
        difficult = Counter(thing.name for thing in things if thing.difficult)
        seen[split] = set(counts)
        bare = sum(not source.annotation(record) for record in records)
        what = getattr(source, "counted", ("images", "objects"))
        also = f" and {difficult.total():,} difficult" if difficult else ""
        none = f", {bare:,} with none" if bare else ""
        lines.append(f"{split}: {len(records):,} {what[0]}, {counts.total():,} {what[1]}{also}{none}")
        lines += _listed("    ", counts, difficult)
    for split in seen.keys() - {"train"} if "train" in seen else ():
        if other := sorted(seen[split] - seen["train"]):
            lines.append(f"note: {split} has objects of classes that train does not have: {some(other)}")
    return lines


def _listed(start: str, counts: Counter, difficult: Counter | None = None) -> list[str]:
    """Counts of few classes, each, on lines of a page's width; of many the smallest and the largest."""
    difficult = difficult or Counter()
    ranked = sorted(counts.keys() | difficult.keys(), key=lambda name: (counts[name], name))
    if len(ranked) > FEW:
        least = ", ".join(f"{name} {counts[name]:,}" for name in ranked[:3])
        return [f"{start}fewest: {least}; most: {ranked[-1]} {counts[ranked[-1]]:,}"]
    told = [f"{name} {counts[name]:,}" + (f" (+ {difficult[name]:,})" if difficult[name] else "")
            for name in sorted(ranked)]
    whole = ", ".join(each.replace(" ", HARD) for each in told)
    lines = textwrap.wrap(whole, 100, initial_indent=start, subsequent_indent="    ", break_on_hyphens=False)
    return [line.replace(HARD, " ") for line in lines]


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


def _fewer(source: Source, by_split: dict[str, list[Record]]) -> list[str]:
    """A line where this is a part of what was published, or more than that."""
    published = PUBLISHED.get(source.kind, {}) if getattr(source, "protocol", "") else {}
    told = [f"{len(by_split[split]):,} of {count:,} {split} images" for split, count in published.items()
            if split in by_split and len(by_split[split]) != count]
    beside = "scores cannot be set beside those of papers"
    return [f"note: {', '.join(told)} as published; {beside}"] if told else []


def _left_out(source: Source, count: int) -> list[str]:
    """Lines on the files that are no records."""
    listing = getattr(source, "listing", None)
    if listing is None:
        return []
    reasons = dict(listing.left_out)
    if not hasattr(source, "survey"):
        reasons["not images, unlabelled or outside class folders"] = len(listing.files) - count
    return [f"left out: {number:,} {reason}" for reason, number in reasons.items() if number]


def _headers(source: Source, records: list[Record]) -> list[str]:
    """Lines on images whose headers tell that they cannot be read, or that nothing can be seen on them."""
    if not hasattr(source, "listing") or hasattr(source, "annotation"):     # no files; looked at already
        return []
    step = -(-len(records) // LOOK) or 1
    looked, unreadable, narrow = records[::step], [], []
    for record in looked:
        try:
            if min(header_size(record.place)) < 2:
                narrow.append(record.id)
        except (ItlError, OSError) as error:
            unreadable.append(f"{record.id} ({error})")
    of = f"of {len(looked):,} images" + (f" (one in {step} was looked at)" if step > 1 else "")
    lines = []
    if narrow:
        lines.append(f"note: {len(narrow):,} {of} are only one pixel wide or high, such as {some(narrow)}")
    if unreadable:
        start = "problem" if len(unreadable) > UNREADABLE * len(looked) else "note"
        lines.append(f"{start}: {len(unreadable):,} {of} cannot be read, such as {some(unreadable, 1)}; a "
                     f"pack leaves them out, and takes no more than 1 % of them unless it is told to")
    return lines


def numbered(lines: Iterable[str]) -> tuple[list[str], str]:
    """Divide the *lines* of `check` in what to print, and one line on the problems: empty without any.

    >>> numbered(["train: 3 images", "problem: no val"])
    (['train: 3 images'], 'no val')
    """
    problems = [line.removeprefix("problem: ") for line in lines if line.startswith("problem: ")]
    if len(problems) > 3:
        return list(lines), f"{len(problems):,} problems, listed above"
    return [line for line in lines if not line.startswith("problem: ")], "; ".join(problems)
