"""ImageNet downsampled to 64, 32, 16 or 8 pixels, as image-net.org has it: arrays in .npz or pickles."""

import re
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from filecmp import cmp
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from itl.errors import ItlError
from itl.hierarchy.taxonomy import WNID
from itl.sources.files.archives import Member, open_listing
from itl.sources.files.option_files import find_file, folder_around
from itl.sources.files.plain_pickle import load_plain
from itl.sources.files.untrusted_files import npz_arrays, refuse_large
from itl.sources.listed.numbered_classes import first_number, lists_names_alone, name_of, read_names
from itl.sources.published.cifar import describe_copies, image_array, label_list
from itl.sources.records import Record, validate_records
from itl.sources.source import Source
from itl.sources.unopened_archives import describe_unopened
from itl.words import counted, examples

BATCH = re.compile(r"(?:.*/)?(train_data(?:_batch_(\d+))?|val_data)(\.npz)?")
WNID_FILE = "map_clsloc.txt"  # lines `WNID NUMBER WORDS`; its numbers are not in the order of wnids
IMAGE_SIDES = (64, 32, 16, 8)
_loading = threading.Lock()  # a batch is loaded once, whatever the number of threads


@dataclass(frozen=True)
class DownsampledImageNet(Source):
    """Downsampled ImageNet in a folder of batches; the size of the arrays tells the side of an image."""

    path: Path
    names: str = WNID_FILE  # file with the wnid of each number
    kind = "imagenet-downsampled"
    expected = (
        f"a folder with train_data_batch_1 to 10 and val_data, pickles or .npz, from image-net.org, and "
        f"{WNID_FILE} of their authors' repository, which says which number is which wnid"
    )
    published_images = {"train": 1281167, "val": 50000}
    pack_options = "--size 32"

    @property
    def layout(self) -> str:
        """How many batches there are, and which numbers are missing."""
        numbers = {number for _, number in self._files}
        missing = [f"train_data_batch_{number}" for number in range(1, max(numbers)) if number not in numbers]
        without = f", without {examples(missing)}" if missing else ""
        return f"downsampled ImageNet in {len(self._files)} batches{without}"

    @property
    def notes(self) -> Sequence[str]:
        """Batches that are the same as others; ItlError if these are of two splits."""
        root = self.path
        split_of = {file.relative_to(root).as_posix(): split for (split, _), file in self._files.items()}
        return describe_copies(split_of, lambda one, other: cmp(root / one, root / other, False), root)

    @property
    def left_out(self) -> Counter:
        """How many pickles are not read, as an .npz has their batch."""
        pickles = (file.with_suffix("") for file in self._files.values() if file.suffix == ".npz")
        return Counter({"pickles beside an .npz of the same name": sum(file.exists() for file in pickles)})

    @property
    def labelled_by(self) -> str:
        """What says the class of an image."""
        return f"the labels in its batches, whose wnids {self.names} gives"

    def records(self) -> list[Record]:
        """Return one record for each image, sorted by id."""
        files, labels_of = self._files, {}
        names_file = find_file(self.names, self.path, folder_around(self.path), Path())
        if not names_file:
            raise ItlError(
                f"{self.path} has labels that are numbers, not in the order of wnids, but no {self.names}; "
                f"put {WNID_FILE} of the repository Imagenet32_Scripts beside the batches, or set the option "
                f"names=FILE with lines `WNID NUMBER`"
            )
        file_of_side: dict[int, Path] = {}
        for key, file in sorted(files.items()):
            pixels, labels_of[key] = _load(file)
            file_of_side.setdefault(pixels.shape[-1], file)
        if len(file_of_side) > 1:
            (side, file), (other_side, other) = list(file_of_side.items())[:2]
            raise ItlError(
                f"{file} has images of {side} pixels, but {other} of {other_side}; give batches of one size"
            )
        wnids = _wnids_of_labels(names_file, {label for labels in labels_of.values() for label in labels})
        records = []
        for (split, number), labels in labels_of.items():
            member = Member(str(self._files[split, number]))  # tells when it has changed
            for image, label in enumerate(labels):
                name = name_of(str(label), wnids, self.names)
                records.append(Record(f"{split}/{number:02d}/{image:06d}", name, split, member))
        _ = self.notes  # refuses copies
        return validate_records(records, self.path)

    def read(self, record: Record) -> np.ndarray:
        """Return the pixels of *record*: uint8 (side, side, 3)."""
        split, number, image = record.id.split("/")
        pixels = _load(self._files[split, int(number)])[0]
        return np.ascontiguousarray(pixels[int(image)].transpose(1, 2, 0))

    @cached_property
    def _files(self) -> dict[tuple[str, int], Path]:
        """The file of each batch, by split and number; an .npz goes before a pickle."""
        if not self.path.is_dir():
            raise ItlError(f"{self.path} is not a folder; {self.kind} takes {self.expected}")
        names: dict[tuple[str, int], str] = {}
        for name in sorted(open_listing(self.path).files):
            if match := BATCH.fullmatch(name):
                key = match[1].partition("_")[0], int(match[2] or 0)
                other = names.get(key, name)
                if other.removesuffix(".npz") != name.removesuffix(".npz"):
                    self._refuse_two(other, name)
                names[key] = name
        if not names:
            way = describe_unopened(open_listing(self.path).files) or f"{self.kind} takes {self.expected}"
            raise ItlError(f"{self.path} has no train_data_batch_1 or val_data; {way}")
        parts = [name for (split, number), name in names.items() if split == "train" and number]
        if parts and ("train", 0) in names:  # which is all of train
            self._refuse_two(names["train", 0], parts[0])
        return {key: self.path / name for key, name in names.items()}

    def _refuse_two(self, name: str, other: str) -> None:
        raise ItlError(
            f"{self.path}: {name} and {other} would be the same images; move one of them elsewhere, or give "
            f"the folder of one set"
        )


def _wnids_of_labels(file: Path, labels: Collection[int]) -> dict[str, str]:
    """Return the wnid of each number, which *file* lists.

    Names without numbers count from 0 if a label is 0, else from 1, as published, if the last one occurs.
    ItlError where neither occurs, or labels count from 1 and wnids are sorted, as the published are not.
    """
    data = Member(str(file)).read()
    wnids = read_names(data, str(file))
    names = list(wnids.values())
    first = first_number(labels, len(names)) if labels and lists_names_alone(data, str(file)) else 0
    are_sorted = len(names) > 2 and names == sorted(names) and all(map(WNID.fullmatch, names))
    if first == 0:
        may_be_published = labels and 0 not in labels and all(str(label) in wnids for label in labels)
        if are_sorted and "0" in wnids and may_be_published:
            raise ItlError(
                f"{file} lists wnids in their order from 0, and no label is 0; published labels count from 1 "
                f"in another order; give the published {WNID_FILE}, or, if yours count from 0, remove class "
                f"0 from {file}"
            )
        return wnids
    way = f"write the number of each before it, such as `1 {names[0]}`"
    if first is None:
        raise ItlError(
            f"{file} names {counted(len(names), 'classes')} without numbers, and no label is 0 or "
            f"{len(names)}: they may count from 0, or from 1 as published; {way}"
        )
    if are_sorted:
        raise ItlError(
            f"{file} lists wnids in their order, without numbers, but labels that count from 1, as "
            f"published, are not in that order; give {WNID_FILE}, or {way}"
        )
    return {str(number): name for number, name in enumerate(names, 1)}


def _load(file: Path) -> tuple[np.ndarray, list[int]]:
    with _loading:
        return load_batch(str(file), file.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def load_batch(file: str, time_ns: int) -> tuple[np.ndarray, list[int]]:
    """Return the pixels of a batch, uint8 (N, 3, side, side), and its labels, from 1; ItlError if damaged.

    A file which has changed has another *time_ns*, so that it is read again.
    """
    if file.endswith(".npz"):
        with open(file, "rb") as opened:
            content: object = npz_arrays(opened, file, ("data", "labels"))
    else:
        refuse_large(Path(file).stat().st_size, file)
        content = load_plain(Path(file).read_bytes(), file)
    if not isinstance(content, dict) or not {"data", "labels"} <= content.keys():
        raise ItlError(f"{file} has no data and labels; download it again")
    data = content["data"]
    size = data.size // max(1, len(data)) if isinstance(data, np.ndarray) and data.ndim else 0
    side = next((side for side in IMAGE_SIDES if 3 * side * side == size), None)
    if side is None:
        raise ItlError(
            f"{file} holds no images of {', '.join(map(str, IMAGE_SIDES))} pixels; download it again"
        )
    pixels = image_array(data, side, file)
    return pixels, label_list(content["labels"], len(pixels), file)
