"""The report of `itl check`: what a source holds, what is missing and where to get it."""

import json
import shlex
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from itl.errors import ItlError
from itl.hierarchy.taxonomy import WNID, Taxonomy
from itl.iteration import grouped
from itl.sources.annotated import detection_files, proposals
from itl.sources.check_lines import CheckLine
from itl.sources.records import Record
from itl.sources.registry import SOURCES, checked_options, open_source
from itl.sources.scan import image_header
from itl.sources.source import Source
from itl.specs import Packing
from itl.storage import read_yaml, system_error
from itl.words import counted, examples, quoted

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"  # keeps a name and its count on one line
MAX_LISTED_CLASSES = 20  # with more classes only the smallest and the largest are listed
MAX_HEADERS = 50_000  # image headers that are read, of sources without a scan
OTHER_KINDS: dict[str, Callable[..., Iterable[CheckLine]]] = {  # checked, but not sources of images
    "detections": detection_files.check_detections,
    "proposals": proposals.check_proposals,
}

Splits = dict[str, list[Record]]


def check(kind: str, path: str | Path | None = None, **options: object) -> list[CheckLine]:
    """Check the source *kind* at *path* before anything is packed.

    >>> str(check("folder", "nowhere")[0])
    'problem: there is nothing at nowhere; give a folder, a .tar or a .zip'
    """
    if kind in OTHER_KINDS:
        options = checked_options(OTHER_KINDS[kind], kind, options, Path(path or ""))
        return list(OTHER_KINDS[kind](None if path is None else Path(path), **options))
    try:
        source = open_source(kind, path, **options)
    except ItlError as error:  # of the kind, an option, or a path that is not given
        return [CheckLine("problem", str(error)), *(_expected(kind) if path is None else [])]
    try:
        scan = source.scan
        records = scan.records if scan else source.records()
    except ItlError as error:
        files = [value for value in options.values() if isinstance(value, str) and Path(value).suffix]
        of_an_option = any(file in str(error) for file in files)  # not of the layout of the path
        return [CheckLine("problem", str(error)), *([] if of_an_option else _expected(kind))]
    except OSError as error:
        return [CheckLine("problem", f"{path} cannot be read ({error.strerror or error})"), *_expected(kind)]
    lines = [CheckLine("problem", problem.text) for problem in scan.problems] if scan else []
    if not records:
        lines = lines or [CheckLine("problem", f"{path} holds no images for {kind}")]
        return [*lines, *_expected(kind), *(CheckLine("note", text) for text in source.notes)]
    splits = dict(sorted(grouped((record.split, record) for record in records).items(), reverse=True))
    lines += [CheckLine("count", line) for line in source.describe(records)]
    lines += _object_counts(source, splits) if source.annotates and scan else _class_counts(splits)
    lines += _missing_splits(source, splits)
    if path:
        opened = "no image was opened" if source.listing is None else "of images only headers were read"
        lines.append(CheckLine("note", f"{opened}; damage further in shows when they are packed"))
    headers = [*_check_headers(source, records)]
    return [*lines, *headers, *_next_step(source, path, options, [*lines, *headers])]


def _next_step(
    source: Source, path: str | Path | None, options: Mapping[str, object], lines: Iterable[CheckLine]
) -> Iterator[CheckLine]:
    """Yield the command that packs what was checked; with problems only if leaving images out helps."""
    problems = sum(line.kind == "problem" for line in lines)
    scan = source.scan
    if scan and problems == len(scan.problems) > 0 and scan.skippable:
        count = counted(len(scan.skippable), f"{source.nouns[0]} with problems")
        yield CheckLine("note", f"the option bad=skip leaves out {count}")
        options = {**options, "bad": "skip"}
    elif problems:
        return
    yield CheckLine("next", _pack_command(source, path, options))


def _pack_command(source: Source, path: str | Path | None, options: Mapping[str, object]) -> str:
    """Return the command that packs what was checked, with the same options."""
    given = [f"./{path}" if str(path).startswith("-") else str(path)] if path else []  # no option
    words = ["itl", "pack", source.kind, *given]
    for name, value in options.items():
        is_other = isinstance(value, str) and _differs_as_yaml(value)  # such as the column no
        words += ["--option", f"{name}={json.dumps(value) if isinstance(value, bool) or is_other else value}"]
    return f"{shlex.join(words)} {source.pack_options} --out PACK"


def _differs_as_yaml(text: str) -> bool:
    """Say whether YAML takes *text* for anything else.

    >>> _differs_as_yaml("no"), _differs_as_yaml("label")
    (True, False)
    """
    try:
        return read_yaml(text, "a text") != text
    except ItlError:
        return True


def _expected(kind: str) -> list[CheckLine]:
    expected = SOURCES[kind].expected if kind in SOURCES else ""
    return [CheckLine("count", f"{kind} takes {expected}")] if expected else []


def _class_counts(splits: Splits) -> Iterator[CheckLine]:
    """Count images of one class each."""
    counts = {split: Counter(record.wnid for record in records) for split, records in splits.items()}
    for split, of_split in counts.items():
        least, most = min(of_split.values()), max(of_split.values())
        of_class = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        images, classes = counted(of_split.total(), "images"), counted(len(of_split), "classes")
        yield CheckLine("count", f"{split}: {images} in {classes}, {of_class} for each class")
    names = sorted(set().union(*counts.values()))
    yield CheckLine("count", _wordnet_line(names))
    if len(names) == 1:
        yield CheckLine("note", f"there is one class alone, {quoted(names[0])}; a run needs two or more")
    for split, of_split in counts.items():
        yield from _list_counts(f"  {split}: ", of_split)
    if len(splits.get("train", ())) == len(counts.get("train", ())) > 2:
        text = "every training image has a class of its own"
        yield CheckLine("note", f"{text}; where these are captions or ids, give its classes")


def _object_counts(source: Source, splits: Splits) -> Iterator[CheckLine]:
    """Count objects: those that are scored, and in brackets the difficult ones."""
    images_noun, objects_noun = source.nouns
    for split, records in splits.items():
        objects = [obj for record in records for obj in source.annotation(record)]
        scored = Counter(obj.name for obj in objects if not obj.difficult)
        difficult = Counter(obj.name for obj in objects if obj.difficult)
        bare = sum(not source.annotation(record) for record in records)
        line = f"{split}: {counted(len(records), images_noun)}, {counted(scored.total(), objects_noun)}"
        line += f" and {difficult.total():,} difficult" if difficult else ""
        line += f", {bare:,} with none" if bare else ""
        yield CheckLine("count", line)
        yield from _list_counts("    ", scored, difficult)


def _list_counts(start: str, counts: Counter, difficult: Counter | None = None) -> list[CheckLine]:
    """List the counts of all classes, wrapped; of many classes only the smallest and the largest."""
    difficult = difficult or Counter()
    ranked = sorted(counts.keys() | difficult.keys(), key=lambda name: (counts[name], name))
    if len(ranked) > MAX_LISTED_CLASSES:
        fewest = ", ".join(f"{quoted(name)} {counts[name]:,}" for name in ranked[:3])
        most = f"{quoted(ranked[-1])} {counts[ranked[-1]]:,}"
        return [CheckLine("count", f"{start}fewest: {fewest}; most: {most}")]
    parts = []
    for name in sorted(ranked):
        also = f" (+ {difficult[name]:,})" if difficult[name] else ""
        parts.append(f"{quoted(name)} {counts[name]:,}{also}".replace(" ", NO_BREAK_SPACE))
    lines = textwrap.wrap(
        ", ".join(parts), 100, initial_indent=start, subsequent_indent="    ", break_on_hyphens=False
    )
    return [CheckLine("count", line.replace(NO_BREAK_SPACE, " ")) for line in lines]


def _wordnet_line(names: list[str]) -> str:
    """Return one line on which of the class *names* are in WordNet."""
    tree = Taxonomy.snapshot()
    leaves = set(tree.leaves)
    groups = {
        "ILSVRC classes": [name for name in names if name in leaves],
        "wnids above these": [name for name in names if name in tree and name not in leaves],
        "other wnids": [name for name in names if name not in tree and WNID.fullmatch(name)],
        "plain names": [name for name in names if not WNID.fullmatch(name)],
    }
    shown = ("other wnids", "plain names")
    parts = [
        counted(len(group), what) + (f" ({examples(group)})" if what in shown else "")
        for what, group in groups.items()
        if group
    ]
    return "classes: " + ", ".join(parts)


def _missing_splits(source: Source, splits: Splits) -> Iterator[CheckLine]:
    """Say where people get splits that are not there, and what works without them."""
    refused = source.scan.refused_splits if source.scan else set()  # a problem says what is wrong there
    for split, cure in source.how_to_get_splits.items():
        if split not in {*splits, *refused}:
            yield CheckLine("missing", f"{split}: {cure}")
    if {*splits, *refused} == {"train"}:
        of_option = "the option val_fraction=0.1 makes a tenth of each class val"
        cures = [source.how_to_add_splits, of_option if source.has_option("val_fraction") else ""]
        text = "no val or test images; nothing can be measured on this source alone"
        yield CheckLine("note", "; ".join(filter(None, [text, ", or ".join(filter(None, cures))])))


def _check_headers(source: Source, records: list[Record]) -> Iterator[CheckLine]:
    """Report images that cannot be read, or are too narrow to show anything, by their headers."""
    if source.listing is None or source.annotates:  # no files, or the scan has read the headers
        return
    step = -(-len(records) // MAX_HEADERS)
    sample, narrow = records[::step], []
    unreadable: list[str] = []
    refused: list[str] = []
    for record in sample:
        try:
            header = image_header(record.member)
            if min(header.width, header.height) < 2:
                narrow.append(record.id)
        except (ItlError, OSError) as error:
            reasons = refused if system_error(error) else unreadable
            reasons.append(f"{record.id} ({error})")
    of = f"of {counted(len(sample), 'images')}" + (f" (one in {step} was checked)" if step > 1 else "")
    if narrow:
        text = f"{len(narrow):,} {of} are only one pixel wide or high, such as {examples(narrow)}"
        yield CheckLine("note", text)
    if refused:
        text = f"{len(refused):,} {of} cannot be read, such as {examples(refused, 1)}; this says nothing of "
        yield CheckLine(
            "problem", f"{text}them, so packing ends there: correct the cause, or move them elsewhere"
        )
    if unreadable:
        too_many = len(unreadable) > Packing.unreadable * len(sample)
        text = (
            f"{len(unreadable):,} {of} cannot be read, such as {examples(unreadable, 1)}; a pack leaves them "
            f"out, but refuses more than {100 * Packing.unreadable:g} % of them unless `itl pack` has the "
            f"option --allow-unreadable, or a preset unreadable: 0.05 beside source:"
        )
        yield CheckLine("problem" if too_many else "note", text)
