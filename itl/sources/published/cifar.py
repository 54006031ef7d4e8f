"""CIFAR-10 and CIFAR-100 as published, with the wnids of those classes that ILSVRC has too."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import chain, combinations, pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from itl.errors import ItlError
from itl.sources.files.archives import FORMATS_BESIDE_ARCHIVES, Member, foreign_format, open_listing
from itl.sources.files.plain_pickle import load_plain
from itl.sources.files.untrusted_files import files_of_packed_tar, refuse_large
from itl.sources.records import Record, validate_records
from itl.sources.source import Source
from itl.sources.unopened_archives import describe_unopened
from itl.words import counted, examples

SIDE = 32  # pixels
# Each name in the sense of CIFAR's images: the computer keyboard, the army tank, the lamp as furniture. Other
# classes stay plain names: ILSVRC's tree has them only in another sense (cup: a punch; mouse: the computer's;
# plate: a meal; possum: the Australian one) or only as "person".
WNID_TABLE = """
    apple=n07739125 bear=n02131653 beaver=n02363005 bed=n02818832 bee=n02206856 beetle=n02164464
    bicycle=n02834778 bottle=n02876657 bowl=n02880940 bridge=n02898711 bus=n02924116 butterfly=n02274259
    camel=n02437136 can=n02946921 castle=n02980441 cattle=n02402425 chair=n03001627 chimpanzee=n02481823
    clock=n03046257 cockroach=n02233338 couch=n04256520 crab=n01976957 crocodile=n01697178
    dinosaur=n01699831 dolphin=n02068974 elephant=n02503517 fox=n02118333 hamster=n02342885
    house=n03544360 kangaroo=n01877134 keyboard=n03085013 lamp=n03636649 lawn_mower=n03649909
    leopard=n02128385 lion=n02129165 lizard=n01674464 lobster=n01982650 motorcycle=n03790512
    mountain=n09359803 mushroom=n07734744 orange=n07747607 orchid=n12041446 otter=n02444819
    pickup_truck=n03930630 porcupine=n02346627 rabbit=n02324045 ray=n01495701 rocket=n04099429
    seal=n02076196 shark=n01482330 skunk=n02445715 snail=n01944390 snake=n01726692 spider=n01772222
    squirrel=n02355227 streetcar=n04335435 sweet_pepper=n07720615 table=n04379243 tank=n04389033
    telephone=n04401088 television=n04404412 tiger=n02129604 tractor=n04465501 train=n04468005
    turtle=n01662784 wardrobe=n04550184 whale=n02062744 wolf=n02114100 worm=n01922303
"""
WNIDS = dict(pair.split("=") for pair in WNID_TABLE.split())


@dataclass(frozen=True)
class Batch:
    """The images of one split."""

    pixels: np.ndarray  # uint8 (N, 3, 32, 32)
    labels: list[int]
    names: list[str]  # of the classes
    notes: tuple[str, ...] = ()  # on what is not as published


@dataclass(frozen=True)
class Cifar100(Source):
    """CIFAR-100, 32 × 32 pixels: its Python version, unpacked or as the published .tar.gz."""

    path: Path
    download: bool = False  # let torchvision download it (169 MB) if it is missing
    plain: Literal["keep", "drop"] = "keep"  # the classes without a wnid (31 of CIFAR-100)
    kind = "cifar100"
    expected = (
        "the folder that contains cifar-100-python, or its .tar.gz, or one of these itself; the option "
        "download=true downloads it"
    )
    layout = "CIFAR-100"
    folder: ClassVar[str] = "cifar-100-python"
    archive: ClassVar[str] = "cifar-100-python.tar.gz"
    files: ClassVar[Mapping[str, tuple[str, ...]]] = {"train": ("train",), "test": ("test",)}
    label: ClassVar[str] = "fine_labels"  # key of the labels in a pickle
    names: ClassVar[tuple[str, str]] = ("meta", "fine_label_names")  # pickle of class names, and its key
    wnids: ClassVar[Mapping[str, str]] = WNIDS
    list_search_depth = 0  # its labels are beside the pixels
    published_images = {"train": 50000, "test": 10000}
    published_classes = 100
    labelled_by = "the labels in its files"

    @property
    def notes(self) -> Sequence[str]:
        """What differs from the published files."""
        return tuple(dict.fromkeys(note for split in self.files for note in self._batch(split).notes))

    def records(self) -> list[Record]:
        """Return one record for each image, sorted by id, in the published splits train and test."""
        records = []
        for split in ("train", "test"):
            batch = self._batch(split)
            for number, label in enumerate(batch.labels):
                name = batch.names[label]
                if self.plain == "keep" or name in self.wnids:
                    records.append(Record(f"{split}/{name}/{number:05d}", self.wnids.get(name, name), split))
        if not records:
            raise ItlError(
                f"{self.kind} has no class with a wnid, so plain=drop leaves no image; leave it out"
            )
        return validate_records(records, self.path)

    def read(self, record: Record) -> np.ndarray:
        """Return the pixels of *record*: uint8 (32, 32, 3)."""
        number = int(record.id.rpartition("/")[2])
        return np.ascontiguousarray(self._batch(record.split).pixels[number].transpose(1, 2, 0))

    def _batch(self, split: str) -> Batch:
        if self.download:
            _download(str(self.path), self.layout.replace("-", ""))
        source = type(self)(self.path.absolute())  # its other options change no file
        return load_split(source, split, self._times)

    @cached_property
    def _times(self) -> tuple[int, ...]:
        """The times of the files that may be read; a source opened later sees those that have changed."""
        names = [*_names(self), self.archive]
        files = [self.path, *(folder / name for folder in _folders(self) for name in names)]
        return tuple(file.stat().st_mtime_ns for file in files if file.is_file())


@dataclass(frozen=True)
class Cifar10(Cifar100):
    """CIFAR-10, in the same layouts as CIFAR-100; its classes are plain names."""

    kind = "cifar10"
    expected = (
        "the folder that contains cifar-10-batches-py, or its .tar.gz, or one of these itself; the option "
        "download=true downloads it"
    )
    layout = "CIFAR-10"
    folder = "cifar-10-batches-py"
    archive = "cifar-10-python.tar.gz"
    files = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
    label = "labels"
    names = ("batches.meta", "label_names")
    wnids = {}
    published_classes = 10


@lru_cache(maxsize=2)
def _download(path: str, name: str) -> None:
    """Let torchvision download a data set that is missing, once per process; it compares the checksum."""
    import torchvision.datasets

    try:
        getattr(torchvision.datasets, name)(path, download=True)
    except (RuntimeError, OSError) as error:
        raise ItlError(f"{name} cannot be downloaded to {path} ({type(error).__name__}: {error})") from error


@lru_cache(maxsize=4)
def load_split(source: Cifar100, split: str, _times: tuple[int, ...]) -> Batch:
    """Load one split of *source*, once per process: kept in it, its 150 MB would be pickled with it.

    Files which have changed have other times, so that they are read again.
    """
    files, path = _files(source), source.path
    batch = _from_pickles([files[name] for name in source.files[split]], files[source.names[0]], source)
    if not batch.labels or max(batch.labels) >= len(batch.names) or min(batch.labels) < 0:
        raise ItlError(
            f"{path}: labels of {split} do not fit its {counted(len(batch.names), 'names')}; get it again"
        )
    split_of = {name: of for of, names in source.files.items() for name in names}
    notes = describe_copies(split_of, lambda one, other: files[one] == files[other], path)
    if later := next((name for before, name in pairwise(batch.names) if name < before), ""):
        order = f"in the published, alphabetical order from {later!r} on"
        notes.append(f"the names of the classes are not {order}, so numbers may have the names of others")
    return replace(batch, notes=tuple(notes))


def describe_copies(
    split_of: Mapping[str, str], is_same: Callable[[str, str], bool], path: Path
) -> list[str]:
    """Return a note on the batches of *split_of* that others repeat; ItlError if these are of two splits."""
    pairs = [pair for pair in combinations(split_of, 2) if is_same(*pair)]
    for one, other in pairs:
        if split_of[one] != split_of[other]:
            raise ItlError(
                f"{path}: {one} and {other} are the same, byte by byte, so that {split_of[one]} and "
                f"{split_of[other]} have the same images; get both again"
            )
    copies = list(dict.fromkeys(copy for _, copy in pairs))
    words = "files are the same as an earlier one, byte by byte, so that images count more than once"
    return [f"{counted(len(copies), words)}: {examples(copies)}"] if copies else []


def _names(source: Cifar100) -> list[str]:
    """Return the names of all files of the data set."""
    return [*chain.from_iterable(source.files.values()), source.names[0]]


def _folders(source: Cifar100) -> list[Path]:
    """Return the folders that may have the files; the name of the published one may be in capitals."""
    path = source.path
    return [*sorted(folder for folder in path.glob("*/") if folder.name.lower() == source.folder), path]


def _files(source: Cifar100) -> Mapping[str, bytes]:
    """Return the files of the data set by name."""
    path, names, lacking = source.path, _names(source), ""
    for folder in _folders(source):
        missing = [name for name in names if not (folder / name).is_file()]
        if not missing:
            return {name: _read(folder / name) for name in names}
        if len(missing) < len(names):
            lacking = f": {folder} lacks {examples(missing)}"
    for file in (path / source.archive, path):
        if file.is_file() and file.name == source.archive:
            return files_of_packed_tar(file, str(file), names)
    raise ItlError(
        f"no complete {source.layout} in {path}{lacking}; {_describe_others(path)}give the folder that "
        f"contains {source.folder}, or set the option download=true"
    )


def _describe_others(path: Path) -> str:
    """Say of another version at *path* what it is, and how to unpack what has no published name."""
    files = open_listing(path).files if path.is_dir() else {path.name: Member(str(path))}
    if foreign := foreign_format(files, FORMATS_BESIDE_ARCHIVES):
        return f"{foreign}; "
    others = {name: file for name, file in files.items() if not name.startswith("cifar-10")}
    return f"{unopened}, then " if (unopened := describe_unopened(others)) else ""


def _read(file: Path) -> bytes:
    refuse_large(file.stat().st_size, str(file))
    return file.read_bytes()


def _from_pickles(parts: list[bytes], meta: bytes, source: Cifar100) -> Batch:
    pixels, labels = [], []
    file, key = source.names
    names = _field(load_plain(meta, file), key, file)
    for number, part in enumerate(parts, 1):
        what = f"pickle {number} of {source.folder}"
        content = load_plain(part, what)
        pixels.append(image_array(_field(content, "data", what), SIDE, what))
        labels += label_list(_field(content, source.label, what), len(pixels[-1]), what)
    return Batch(np.concatenate(pixels), labels, [_text(name) for name in names])


def image_array(data: object, side: int, what: str) -> np.ndarray:
    """Return *data* as uint8 (N, 3, side, side); ItlError, about *what*, for another shape or type.

    It may be uint8 (N, 3 · side · side), as published, (N, 3, side, side) or (N, side, side, 3).
    """
    if isinstance(data, np.ndarray) and data.dtype == np.uint8:
        if data.shape[1:] == (side, side, 3):
            return data.transpose(0, 3, 1, 2)
        if data.shape[1:] in ((3 * side * side,), (3, side, side)):
            return data.reshape(-1, 3, side, side)
    shape = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
    raise ItlError(f"{what} holds {shape}, not uint8 images of {side} × {side} pixels; download it again")


def label_list(labels: object, count: int, what: str) -> list[int]:
    """Return *labels* as a list of *count* numbers; ItlError, about *what*, otherwise."""
    values: Any = labels.tolist() if isinstance(labels, np.ndarray) else labels
    are_numbers = isinstance(values, list) and all(type(value) is int for value in values)
    if not are_numbers or len(values) != count:
        raise ItlError(f"{what} has no label for each of its {counted(count, 'images')}; download it again")
    return values


def _text(name: object) -> str:
    return name.decode("utf-8", errors="replace") if isinstance(name, bytes) else str(name)


def _field(content: object, key: str, what: str) -> Any:
    if isinstance(content, dict):
        for name in (key, key.encode()):  # bytes, where Python 2's pickle was pickled anew
            if name in content:
                return content[name]
    raise ItlError(f"{what} has no {key}; download it again")
