"""Lists of the classes of validation images: Caffe's, the devkit's, Kaggle's, XML, or any list of wnids."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, pairwise
from operator import ne
from pathlib import Path
from typing import NamedTuple

from itl.errors import ItlError
from itl.hierarchy.taxonomy import WNID, Taxonomy
from itl.sources.files.archives import Member
from itl.sources.files.mat_files import load_mat
from itl.sources.files.untrusted_files import explain_damage, files_of_packed_tar
from itl.sources.listed.image_lists import may_be_prediction
from itl.sources.listed.numbered_classes import first_number
from itl.sources.records import is_image, stem_of
from itl.storage import text_lines
from itl.words import counted, examples

DEVKIT, OTHER_DEVKIT = "ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t3"
TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
CLASS_ORDERS = ("synsets.txt", "synset_words.txt", "LOC_synset_mapping.txt")  # the wnid of class 0, 1, …
PREFERRED = ("LOC_val_solution.csv", "val_map.txt", "val_annotations.txt", "val.txt")  # the rest by name
LABELS_CURE = f"put {DEVKIT}.tar.gz, LOC_val_solution.csv or val.txt with synsets.txt beside them"
XML_FOLDERS = ("Annotations/CLS-LOC/val", "ILSVRC/Annotations/CLS-LOC/val")
COMPARED_XML = 100  # files that are compared with a list; all 50,000 would take minutes on a network's disk
MAX_LIST_BYTES = 16 << 20  # of a list; the largest of 50,000 images has about 5 MB
ILSVRC_CLASSES = 1000
KNOWN_VAL_IMAGE = ("ILSVRC2012_val_00000001", "n01751748")  # a sea snake
WNID_AT_END = re.compile(r"_(n\d{8})\Z")  # ILSVRC2012_val_00000001_n01751748, as the Hugging Face hub has it
XML_NAME = re.compile(rb"<name>\s*(n\d{8})\s*</name>")


@dataclass(frozen=True)
class ValLabels:
    """The class of each validation image, and what said so."""

    wnids: Mapping[str, str]  # by file name without its suffix
    words: str  # for people, such as: val.txt and synsets.txt

    def wnid_of(self, stem: str) -> str:
        """Return the class of the image *stem*; '' if it has none. Lists may lack the wnid at its end."""
        return self.wnids.get(stem) or self.wnids.get(_without_wnid(stem), "")


class Candidate(NamedTuple):
    """What may have the labels of val."""

    words: str  # for people
    read: Callable[[], dict[str, str]]  # ItlError if it has none


def find_labels(
    images: Collection[str], folders: Iterable[Path], listed: Mapping[str, Member], cure: str
) -> ValLabels:
    """Return the labels of *images*, names of files, by the first list that fits: that has a wnid for each.

    Names that all end in a wnid are such a list. Others may lie in *folders*, the likeliest first, or be
    among the files *listed* of an archive. Those of text that fit must say the same, and devkits and some
    XML files too; these are read whole where no such list fits. Files of a model's predictions, by their
    names, are no lists.
    ItlError, with the *cure*, if none fits, or if two contradict each other.
    """
    folders, search = list(folders), _Search([stem_of(name) for name in images])
    if chosen := search.choose(chain(_names_as_list(search.stems), _text_lists(folders, listed))):
        _refuse_contradicting_others(chosen, search.stems, folders, listed)
    else:
        chosen = search.choose(chain(_devkits(folders), _xml_lists(folders, listed)))
    if not chosen:
        raise search.error(cure)
    if absent := sorted(chosen.wnids.keys() - {*search.stems, *map(_without_wnid, search.stems)}):
        note = f"{counted(len(absent), 'images')} in it not there: {examples(absent, 1)}"
        return ValLabels(chosen.wnids, f"{chosen.words} ({note})")
    return chosen


@dataclass
class _Search:
    """A search for a list that has a class for each of some images."""

    stems: list[str]  # of the names of the images
    faults: list[str] = field(default_factory=list)  # why what was tried does not fit
    is_partial: bool = False  # whether a list has some of them

    def choose(self, candidates: Iterable[Candidate]) -> ValLabels | None:
        """Return the first that fits; ItlError if another that fits contradicts it."""
        chosen: ValLabels | None = None
        for candidate in candidates:
            try:
                labels = ValLabels(candidate.read(), candidate.words)
            except ItlError as error:
                self.faults.append(f"{candidate.words}: {error}")
                continue
            missing = [stem for stem in self.stems if not labels.wnid_of(stem)]
            if not missing:
                chosen = chosen or labels
                _refuse_contradiction(chosen, labels, self.stems)
            elif len(missing) < len(self.stems):
                self.faults += [f"{labels.words} lacks {len(missing):,} of them, such as {examples(missing)}"]
                self.is_partial = True
        return chosen

    def error(self, cure: str) -> ItlError:
        """Return the error that nothing fits, with the *cure*."""
        reasons = "".join(f"; {fault}" for fault in [*dict.fromkeys(self.faults)][:3])
        images = counted(len(self.stems), "val images have")
        start, way = f"{images} no label, such as {min(self.stems, default='')}", f"{cure}, or name a list"
        if self.is_partial:
            start = f"no list has a class for each of {counted(len(self.stems), 'val images')}"
            way = "complete it, or name another"
        return ItlError(f"{start}{reasons}; {way} of `filename wnid` lines with the option val_labels")


def refuse_contradicted_folders(
    wnids: Mapping[str, str], folders: Iterable[Path], listed: Mapping[str, Member]
) -> None:
    """Raise ItlError if a list of val, as it is published, contradicts *wnids*, of the folder of each image.

    A folder may be of a class above that of the list, of which it holds all kinds. Where lists may be is as
    in `find_labels`.
    """
    folders = list(folders)
    lists = _text_lists(folders, listed, (*PREFERRED, *CLASS_ORDERS))
    for labels in _readable((*lists, *_devkits(folders))):
        refuse_other_class(wnids, labels, f"move {labels.words} elsewhere")


def refuse_other_class(wnids: Mapping[str, str], labels: ValLabels, cure: str) -> None:
    """Raise ItlError if *labels* contradict *wnids*, of folders of images; the *cure* keeps the folders."""
    if others := _of_another_class(wnids, labels):
        image, label = others[0]
        raise ItlError(
            f"{counted(len(others), 'val images are')} of another class by {labels.words} than by the class "
            f"folders, such as {image}, which is {label} there; to take the list, move the images of val "
            f"out of their class folders into the folder around these; to take the folders, {cure}"
        )


def _readable(candidates: Iterable[Candidate]) -> Iterator[ValLabels]:
    """Yield the labels of those *candidates* that are lists of the classes of val."""
    for candidate in candidates:
        with suppress(ItlError):
            yield ValLabels(candidate.read(), candidate.words)


def _of_another_class(wnids: Mapping[str, str], labels: ValLabels) -> list[tuple[str, str]]:
    """Return the images of *wnids* that *labels* give a class that is neither theirs nor below it."""
    tree = Taxonomy.snapshot()
    pairs = ((image, wnid, labels.wnid_of(stem_of(image)) or wnid) for image, wnid in wnids.items())
    return [
        (image, label)
        for image, wnid, label in pairs
        if label != wnid and not (label in tree and wnid in tree.ancestors(label))
    ]


def _refuse_contradicting_others(
    labels: ValLabels, stems: Iterable[str], folders: list[Path], listed: Mapping[str, Member]
) -> None:
    """Raise ItlError if a devkit, or one of the XML files that are compared, contradicts *labels*."""
    wnids = {stem: labels.wnid_of(stem) for stem in stems}
    xml_lists = _xml_lists(folders, listed, {*wnids, *map(_without_wnid, wnids)})
    for other in _readable((*_devkits(folders), *xml_lists)):
        if others := _of_another_class(wnids, other):
            _refuse_contradiction(labels, other, [others[0][0]])


def _refuse_contradiction(labels: ValLabels, other: ValLabels, stems: Iterable[str]) -> None:
    for stem in stems:
        wnid, other_wnid = labels.wnid_of(stem), other.wnid_of(stem)
        if wnid != other_wnid:
            raise ItlError(
                f"{labels.words} gives {stem} the class {wnid}, but {other.words} gives it {other_wnid}; "
                f"remove the wrong list, or name the right one by the option val_labels"
            )


def read_labels(data: bytes, order: Sequence[str] = ()) -> dict[str, str]:
    """Read a list: lines `filename wnid` (spaces, tabs or commas), or one wnid for each image in order.

    With *order*, the wnids of the classes, lines may be `filename number`, from 0 as Caffe has them, or
    from 1. ItlError if a line has no wnid or contradicts another, or it is unclear what numbers mean.

    Returns:
        Wnids by file name without its suffix.
    """
    lines = list(_class_lines(data, len(order) > 0))
    numbers = {name: int(word) for _, name, word in lines if word.isdecimal()}
    first = _number_of_first_class(numbers, order) if numbers else 0
    nameless = [number for number, name, _ in lines if not name]
    start, end = (nameless[0], nameless[-1]) if nameless else (1, 0)
    if len(nameless) != end - start + 1:
        raise ItlError(
            f"not each of its lines {start} to {end} is a wnid alone, so it is unclear which image each is of"
        )
    labels: dict[str, str] = {}
    for number, name, word in lines:
        wnid = order[int(word) - first] if word.isdecimal() else word
        image = name or f"ILSVRC2012_val_{number - start + 1:08d}"  # below a header
        if labels.setdefault(image, wnid) != wnid:
            raise ItlError(f"line {number} gives {image} the class {wnid}, after {labels[image]}")
    wnids = list(labels.values())
    in_order = not any(name for _, name, _ in lines)
    if in_order and len(wnids) > 2 and all(before < after for before, after in pairwise(wnids)):
        raise ItlError("its wnids are sorted, each once, as those of a list of classes")
    if first == 1:
        _refuse_numbers_of_devkit(labels, order)
    return labels


def _class_lines(data: bytes, has_order: bool) -> Iterator[tuple[int, str, str]]:
    """Yield the number of each line of a list, its image, '' if it has none, and its wnid or class number."""
    for number, line in enumerate(text_lines(data.decode("utf-8-sig", errors="replace")), 1):
        parts = re.sub(r'[,"]', " ", line).split()
        if not parts:
            continue
        wnids = dict.fromkeys(filter(WNID.fullmatch, parts))  # boxes repeat that of the image
        if len(wnids) > 1:
            raise ItlError(f"line {number} has several wnids, {' and '.join(wnids)}; leave that of the image")
        word = next(iter(wnids), None)
        if word is None and has_order and len(parts) == 2 and parts[1].isdecimal():
            word = parts[1]
        if word is None:
            if number == 1 and "," in line:  # a header
                continue
            raise ItlError(f"line {number}, {line.strip()[:50]!r}, has no wnid")
        images = [part for part in parts if is_image(part)] or [part for part in parts[:1] if part != word]
        if not images and len(parts) > 1:  # of classes, as words.txt: n00001740 entity
            raise ItlError(f"line {number}, {line.strip()[:50]!r}, names no image")
        yield number, stem_of(images[0]) if images else "", word


def _number_of_first_class(numbers: Mapping[str, int], order: Sequence[str]) -> int:
    """Return the number of the first class of *order*, 0 or 1.

    It is told by *numbers*, of images, that have the first or the last one, or by an image whose class is
    known. ItlError where none does.
    """
    present, classes = set(numbers.values()), len(order)
    if max(present) > classes or {0, classes} <= present:
        raise ItlError(f"it has the number {max(present)}, which stands for none of {classes:,} classes")
    if (shown := first_number(present, classes)) is not None:
        return shown
    image, wnid = KNOWN_VAL_IMAGE
    first = numbers.get(image, 0) - order.index(wnid) if wnid in order else -1
    if first not in (0, 1):
        raise ItlError(
            f"it has neither the number 0 nor {classes}, so it is unclear whether it counts from 0 or "
            f"from 1; write wnids for the numbers"
        )
    return first


def _refuse_numbers_of_devkit(labels: Mapping[str, str], order: Sequence[str]) -> None:
    """Raise ItlError if *labels* of numbers from 1 may be those of ILSVRC's devkit, and *order* is another.

    The devkit counts the 1,000 classes from 1, and not in the order of wnids; the class of its first image is
    known.
    """
    image, wnid = KNOWN_VAL_IMAGE
    if len(order) == ILSVRC_CLASSES and list(order) == sorted(order) and labels.get(image) != wnid:
        raise ItlError(
            f"its numbers from 1 may be in the order of ILSVRC's devkit, which is not that of wnids "
            f"({image} is {wnid}, here {labels.get(image, 'not listed')}); write wnids for the numbers"
        )


def _names_as_list(stems: Sequence[str]) -> Iterator[Candidate]:
    """Yield the names of the images, if all end in a wnid."""
    wnids = {stem: match[1] for stem in stems if (match := WNID_AT_END.search(stem))}
    if wnids and wnids.keys() == set(stems):
        yield Candidate("the name of each image", lambda: wnids)


def _without_wnid(stem: str) -> str:
    return WNID_AT_END.sub("", stem)


def _text_lists(
    folders: list[Path], listed: Mapping[str, Member], names: Collection[str] = ()
) -> Iterator[Candidate]:
    """Yield what may be a list of labels, one of *names* if given."""
    for folder in folders:
        lists = sorted(file for file in folder.glob("*.*") if _is_list(file.name, names))
        yield from _lists({file.name: Member(str(file)) for file in lists})
    by_name: dict[str, Member] = {}
    for name in sorted((name for name in listed if _is_list(name, names)), key=lambda name: -name.count("/")):
        if "ImageSets" not in name.split("/"):  # whose lines are images and their own numbers
            by_name[name.rpartition("/")[2]] = listed[name]
    yield from _lists(by_name)


def _xml_lists(
    folders: list[Path], listed: Mapping[str, Member], compared: Collection[str] = ()
) -> Iterator[Candidate]:
    """Yield the XML files of each folder of them; of the images *compared*, if given, a few evenly spread."""
    sets = [
        (name, {file.stem: Member(str(file)) for file in (folder / name).glob("*.xml")})
        for folder in folders
        for name in XML_FOLDERS
    ]
    names = [name for name in listed if name.endswith(".xml") and re.search(r"(^|/)val/[^/]+$", name)]
    sets.append(("val", {stem_of(name[:-4]): listed[name] for name in names}))
    for name, files in sets:
        if compared:
            stems = sorted(files.keys() & compared)
            files = {stem: files[stem] for stem in stems[:: len(stems) // COMPARED_XML + 1]}
        if files:
            yield Candidate(f"the XML in {name}", partial(_wnids_of_xml, files))


def _is_list(name: str, names: Collection[str]) -> bool:
    is_text = name.lower().endswith((".txt", ".csv")) and not may_be_prediction(name)
    return is_text and (not names or name.rpartition("/")[2] in names)


def _lists(files: Mapping[str, Member]) -> Iterator[Candidate]:
    orders = {name: _first_words(files[name]) for name in CLASS_ORDERS if name in files}
    of_wnids = {name: words for name, words in orders.items() if all(map(WNID.fullmatch, words))}
    order_file, order = max((of_wnids or orders).items(), key=lambda item: len(item[1]), default=("", []))
    wnids = order if of_wnids else []  # what else is there names no classes
    others = [name for name, other in of_wnids.items() if any(map(ne, order, other))]  # as far as both go
    for name in sorted(files, key=lambda name: (PREFERRED.index(name) if name in PREFERRED else 99, name)):
        data = files[name].read_start(MAX_LIST_BYTES)
        if name in (*CLASS_ORDERS, TRUTH) or len(data) == MAX_LIST_BYTES:
            continue
        numbered = order and not re.search(rb"n\d{8}", data[:4096])
        words = f"{name} and {order_file}" if numbered else name
        if numbered and wnids and others:
            text = f"its numbers are of classes in the order of {order_file} or of {others[0]}, which differ"
            yield Candidate(name, partial(_refuse, f"{text}; keep one"))
            continue
        yield Candidate(words, partial(read_labels, data, wnids))


def _first_words(file: Member) -> list[str]:
    lines = text_lines(file.read_start(MAX_LIST_BYTES).decode("utf-8-sig", "replace"))
    return [line.split()[0] for line in lines if line.strip()]


def _refuse(text: str) -> dict[str, str]:
    raise ItlError(text)


def _devkits(folders: Iterable[Path]) -> Iterator[Candidate]:
    """Yield the devkits in each of *folders* or in a folder in it, packed or not."""
    for folder in folders:
        inside = {file.parent for name in (DEVKIT, f"{DEVKIT}.tar.gz") for file in folder.glob(f"*/{name}")}
        for parent in (folder, *sorted(inside.union(folder.glob("*[dD]evkit*/")))):
            if OTHER_DEVKIT in parent.name:
                continue
            tar = parent / f"{DEVKIT}.tar.gz"
            if tar.is_file():
                yield Candidate(tar.name, partial(_labels_of_devkit, tar))
            for data in (parent / DEVKIT / "data", parent / "data", parent):
                if (data / TRUTH).is_file():
                    yield Candidate(f"the devkit's {TRUTH}", partial(_labels_of_devkit, data))
        text = f"it is of task 3, breeds of dogs; {DEVKIT} of tasks 1 and 2 has the classes of val"
        for other in sorted(folder.glob(f"{OTHER_DEVKIT}*")):
            yield Candidate(other.name, partial(_refuse, text))


def _wnids_of_xml(files: Mapping[str, Member]) -> dict[str, str]:
    """Return the wnid that all objects of an image have, for images where it is one."""
    names = ((stem, set(XML_NAME.findall(file.read()))) for stem, file in files.items())
    return {stem: wnids.pop().decode() for stem, wnids in names if len(wnids) == 1}


def _labels_of_devkit(path: Path) -> dict[str, str]:
    """Return labels by file name: `TRUTH` has class numbers, `META` their wnids, in a folder or tar."""
    if path.is_file():
        files = files_of_packed_tar(path, "it", (TRUTH, META))
    else:
        if not (path / META).is_file():
            raise ItlError(f"its numbers need {META} of the devkit beside it")
        files = {name: (path / name).read_bytes() for name in (TRUTH, META)}
    table = load_mat(files[META], META, ["synsets"])
    with explain_damage(f"{TRUTH} or {META}", "list of the devkit"):
        rows = table["synsets"].ravel()
        wnids = {int(row["ILSVRC2012_ID"].item()): str(row["WNID"].item()) for row in rows}
        numbers = [int(line) for line in files[TRUTH].split()]
    unknown = sorted({str(number) for number in numbers if number not in wnids})
    if unknown:
        raise ItlError(f"{TRUTH} names classes {examples(unknown)}, which {META} lacks; copy both again")
    return {f"ILSVRC2012_val_{image:08d}": wnids[number] for image, number in enumerate(numbers, 1)}
