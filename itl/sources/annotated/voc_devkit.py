"""The folder of one year of PASCAL VOC's devkit: its files, its lists of images, and their splits."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from itl.errors import ItlError
from itl.iteration import grouped
from itl.sources.files.archives import Listing, Member, open_listing
from itl.sources.records import is_image
from itl.sources.scan import Scan
from itl.sources.split_names import SPLIT_OF_WORD, SPLIT_ORDER
from itl.sources.unopened_archives import describe_unopened
from itl.storage import text_lines
from itl.words import counted, examples

QUOTED_START = re.compile(r"""(["'])(.+?)\1(?=\s|$)""")  # of a line
YEAR_FOLDERS = ("Annotations", "ImageSets", "JPEGImages")
LISTS = ("train", "val", "trainval", "test")
ImagesByName = dict[str, tuple[str, Member]]  # by the name in lists: the file's name, and where it is


def list_devkit(path: Path, year: str) -> Listing:
    """List the folder of *year*, such as VOC2007, with names relative to it; ItlError if there is none.

    It is at *path*, inside it or in a tar, or in the published tars side by side, whose contents are merged.
    """
    listings = [open_listing(path)]
    if path.is_dir():
        tars = [file for file in path.iterdir() if file.suffix == ".tar" and "voc" in file.name.lower()]
        listings += [open_listing(tar) for tar in sorted(tars)]
    merged, other_years = Listing(), set()
    for listing in listings:
        names = {root: root.rpartition("/")[2] or path.resolve().stem for root in _year_roots(listing)}
        pattern = rf"{year}([_-](train|val|trainval|test|train_val))?"  # Kaggle adds to the name
        matching = {root for root, name in names.items() if re.fullmatch(pattern, name, re.IGNORECASE)}
        other_years |= {name for root, name in names.items() if root not in matching}
        own = [root for root, name in names.items() if not re.match(r"VOC\d{4}", name, re.IGNORECASE)]
        for root in sorted(matching or (own if len(own) == 1 else ())):
            inner = listing.inside(root) if root else listing
            merged.add_copies(_files_of_year(inner))
            merged.folders |= inner.folders
        merged.left_out += listing.left_out
    if not merged.files:
        present = f"only {', '.join(sorted(other_years))}" if other_years else "no such folder"
        refuse_other_formats(path, listings[0])
        if not other_years and (unopened := describe_unopened(listings[0].files)):
            raise ItlError(f"{path} holds no folder {year}: {unopened}")
        raise ItlError(
            f"{path} should hold a folder {year} with {', '.join(YEAR_FOLDERS)}; found {present}; give "
            f"VOCdevkit, {year} itself, or the published tars in one folder"
        )
    return merged


def _files_of_year(listing: Listing) -> Iterator[tuple[str, Member]]:
    """Yield what is read of a year, named as in the devkit: other tools write 000005.XML and train.TXT."""
    for name, file in listing.files.items():
        stem, suffix = os.path.splitext(name)
        if name.startswith(YEAR_FOLDERS):
            yield stem + suffix.lower() if suffix.lower() in (".xml", ".txt") else name, file


def refuse_other_formats(path: Path, listing: Listing) -> None:
    """Raise ItlError for boxes in other layouts that annotation tools write."""
    names = {name.rpartition("/")[2] for name in listing.files}
    if names & {"data.yaml", "classes.txt"} and any(name.lower().endswith(".txt") for name in names):
        raise ItlError(
            f"{path} has boxes as YOLO's text files, which itl does not read; export them as COCO JSON and "
            f"read them with the source coco"
        )
    refuse_labelme(path, listing)
    beside = {name.rpartition(".")[0] for name in listing.files if not name.endswith(".xml")}
    if any(name.endswith(".xml") and name[:-4] in beside for name in listing.files):
        raise ItlError(
            f"{path} has XML files beside their images, in no layout of VOC; move the images to JPEGImages, "
            f"the XML to Annotations, and list images in ImageSets/Main/train.txt and test.txt, or export "
            f"them as COCO JSON and read them with the source coco"
        )


def refuse_labelme(path: Path, listing: Listing) -> None:
    """Raise ItlError for labelme's JSON files, one for each image."""
    first = min((name for name in listing.files if name.lower().endswith(".json")), default=None)
    data = listing.files[first].read() if first else b""
    if b'"shapes"' in data and b'"imagePath"' in data:
        raise ItlError(
            f"{path} has boxes as labelme's JSON files, such as {first}, which itl does not read; export "
            f"them as COCO JSON and read them with the source coco"
        )


def _year_roots(listing: Listing) -> set[str]:
    """Return the folders that hold `YEAR_FOLDERS`, and are not inside such a folder themselves."""
    paths = [folder.split("/") for folder in listing.folders]
    outermost = [parts for parts in paths if not set(YEAR_FOLDERS).intersection(parts[:-1])]
    return {"/".join(parts[:-1]) for parts in outermost if parts[-1] in YEAR_FOLDERS}


def images_by_name(files: Listing) -> ImagesByName:
    """Return file name and member of each image in JPEGImages, by the name that lists and annotations use.

    ItlError if two differ in their suffix alone.

    >>> files = {"JPEGImages/000005.jpg": Member("a"), "JPEGImages/notes.txt": Member("b")}
    >>> images_by_name(Listing(files))
    {'000005': ('JPEGImages/000005.jpg', Member(path='a', offset=0, size=None))}
    """
    images: ImagesByName = {}
    for name in sorted(files.files):
        if name.startswith("JPEGImages/") and is_image(name):
            stem = name.removeprefix("JPEGImages/").rpartition(".")[0]
            if (other := images.setdefault(stem, (name, files.files[name]))[0]) != name:
                raise ItlError(
                    f"lists and annotations call {other} and {name} both {stem!r}; leave one of them"
                )
    return images


def split_lists(files: Iterable[str]) -> dict[str, str]:
    """Return those of *files* that list images of a split, by the names of lists and in the order of `LISTS`.

    The names of splits may be spelt as those of folders. ItlError if two files are of one list.

    >>> split_lists(["ImageSets/Main/Train.txt", "ImageSets/Main/valid.txt", "ImageSets/Main/dog_val.txt"])
    {'train': 'ImageSets/Main/Train.txt', 'val': 'ImageSets/Main/valid.txt'}
    """
    files_of: dict[str, list[str]] = {name: [] for name in LISTS}
    for file in sorted(files):
        folder, _, last = file.rpartition("/")
        name, suffix = os.path.splitext(last.lower())
        if folder == "ImageSets/Main" and suffix == ".txt" and (split := list_of_word(name)):
            files_of[split].append(file)
    if several := next((names for names in files_of.values() if len(names) > 1), None):
        raise ItlError(f"{examples(several)} are lists of one split; leave one of them")
    return {name: names[0] for name, names in files_of.items() if names}


def list_of_word(word: str) -> str:
    """Return the list of `LISTS` that *word* names, in the spellings of folders; empty for none.

    >>> list_of_word("Train"), list_of_word("valid"), list_of_word("trainval"), list_of_word("dog")
    ('train', 'val', 'trainval', '')
    """
    name = word.lower()
    return name if name in LISTS else SPLIT_OF_WORD.get(name, "")


def read_list(data: bytes) -> list[str]:
    """Return the lines of a list of images, without byte-order mark, blank lines, and commas at their ends.

    >>> read_list(b"000005\\r\\n\\r\\n'000007' 1 \\n000009 ,")
    ['000005', "'000007' 1", '000009']
    """
    lines = (line.strip().rstrip(",; \t") for line in text_lines(data.decode("utf-8-sig", errors="replace")))
    return [line for line in lines if line]


def split_line(line: str) -> tuple[str, list[str]]:
    """Return the name that a line of a list starts with, in quotes or one word, and the words behind it.

    >>> split_line("000005 -1"), split_line("'my cat' 1")
    (('000005', ['-1']), ('my cat', ['1']))
    """
    if quoted := _quoted_start(line):
        return quoted[2], line[quoted.end() :].split()
    words = line.split()
    return (words[0], words[1:]) if words else (line, [])


def listed_images(lines: Iterable[str], images: Collection[str]) -> list[str]:
    """Return the image that each of the *lines* of a list means, as `images_named` does.

    That is what stands in quotes, or as many words as name an image; the first word where none does.

    >>> listed_images(["000005 -1", "my cat.jpg", "'my cat' 1", "000006 1"], ["000005", "my cat"])
    ['000005', 'my cat', 'my cat', '000006']
    """
    names_of = [_possible_names(line) for line in lines]
    named = images_named([name for names in names_of for name in names], images)
    return [next((named[name] for name in names if name in named), names[-1]) for names in names_of]


def _possible_names(line: str) -> list[str]:
    """Return what may be the name of the image on *line*, the likeliest first: names may have spaces.

    >>> _possible_names("my cat 1"), _possible_names("'my cat' 1")
    (['my cat 1', 'my cat', 'my'], ['my cat'])
    """
    if quoted := _quoted_start(line):
        return [_inside_images(quoted[2])]
    line = _inside_images(line)
    return [line, *(line.rsplit(None, count)[0] for count in range(1, len(line.split())))]


def _quoted_start(line: str) -> re.Match | None:
    return QUOTED_START.match(line) if line[:1] in ("'", '"') else None  # one test for most of many lines


def images_named(names: Iterable[str], images: Collection[str]) -> dict[str, str]:
    """Return which of *images*, called as their annotations, each of *names* means; some mean none.

    A name may have the suffix of an image file, or of its annotation. It may have more or fewer folders
    before it than the image, if no other image has the same last part and no other name means this image.

    >>> images_named(["/data/JPEGImages/000005.jpg", "a/7.png", "b/7.png", "1"], ["000005", "7", "c/1"])
    {'/data/JPEGImages/000005.jpg': '000005', '1': 'c/1'}
    >>> images_named(["a/1.jpg", "c/1.jpg", "1"], ["a/1", "b/1"])
    {'a/1.jpg': 'a/1'}
    """
    by_last_part = grouped((image.rpartition("/")[2], image) for image in images)
    claims: dict[str, list[str]] = defaultdict(list)
    named: dict[str, str] = {}
    for name in dict.fromkeys(names):
        path = unicodedata.normalize("NFC", _inside_images(name))  # as the names of files are
        plain = path.rpartition(".")[0] if is_image(path) or path.lower().endswith(".xml") else path
        alike = by_last_part.get(plain.rpartition("/")[2], [])
        if path in images or plain in images:
            named[name] = path if path in images else plain
        elif len(alike) == 1 and (f"/{plain}".endswith(f"/{alike[0]}") or alike[0].endswith(f"/{plain}")):
            claims[alike[0]].append(name)
    taken = set(named.values())
    free = {image: claimants for image, claimants in claims.items() if image not in taken}
    return named | {claimants[0]: image for image, claimants in free.items() if len(claimants) == 1}


def _inside_images(name: str) -> str:
    """Return *name* without the folder JPEGImages and what comes before it.

    >>> _inside_images("C:\\\\VOC2007\\\\JPEGImages\\\\a\\\\1.jpg")
    'a/1.jpg'
    """
    return name.replace("\\", "/").rpartition("JPEGImages/")[2]


@dataclass(frozen=True)
class Division:
    """How lists divide names into splits."""

    split_of: dict[str, str]
    in_two: dict[str, str]  # both splits of names that are in two, such as "train and test"
    notes: list[str]  # on lists that are empty or have repeated lines


def assign_splits(lists: Mapping[str, list[str]]) -> Division:
    """Assign each name of *lists*, by train, val, trainval or test, to a split.

    A name that only trainval has is in train, or in val if train has a list of its own and val has none.

    >>> assign_splits({"trainval": ["1", "2"], "val": ["2"], "test": ["3"]}).split_of
    {'1': 'train', '2': 'val', '3': 'test'}
    """
    notes = []
    for name, names in lists.items():
        if not names:
            notes.append(f"the list {name} is empty")
        if repeated := len(names) - len(set(names)):
            notes.append(f"the list {name} has {counted(repeated, 'lines')} twice, counted once")
    rest = "val" if "train" in lists and "val" not in lists else "train"
    in_train_or_val = {*lists.get("train", ()), *lists.get("val", ())}
    claims = [(name, rest) for name in lists.get("trainval", ()) if name not in in_train_or_val]
    for split in SPLIT_ORDER:
        claims += [(name, split) for name in lists.get(split, ())]
    split_of: dict[str, str] = {}
    in_two = {}
    for name, split in claims:
        if split_of.setdefault(name, split) != split:
            in_two[name] = f"{split_of[name]} and {split}"
    return Division(dict(sorted(split_of.items())), in_two, notes)


def splits_of_lists(scan: Scan, lists: Mapping[str, list[str]], what: str) -> dict[str, str]:
    """Return the split of each name of *lists*, as `assign_splits` does; what does not fit is a problem."""
    division = assign_splits(lists)
    scan.notes += division.notes
    scan.add_split_conflicts(division.in_two, what)
    if {"train", "val", "trainval"} <= lists.keys():  # of which one may be cut
        both, together = {*lists["train"], *lists["val"]}, set(lists["trainval"])
        if extra := sorted(together - both):
            scan.add_problem(
                f"the list trainval has {counted(len(extra), what)} that neither train nor val has, such as "
                f"{examples(extra)}; get all three from one release, or remove trainval.txt or the other two"
            )
        if missing := sorted(both - together):
            count = counted(len(missing), what)
            scan.notes += [f"the list trainval lacks {count} of train and val, such as {examples(missing)}"]
    return division.split_of
