"""ImageNet as people have it, in folders or in the published ILSVRC tars; and Tiny ImageNet."""

import io
import tarfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from itl import ItlError
from itl.sources import archives
from itl.sources.archives import Listing
from itl.sources.records import (
    WNID,
    Record,
    examples,
    is_image,
    refuse_empty,
    refuse_plain,
    unwrap,
    validate_records,
)
from itl.sources.source import Source

TRAIN_TAR, VAL_TAR = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12"
TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
LABEL_LISTS = (
    "val_map.txt",
    "val_labels.txt",
    "ILSVRC2012_val_labels.txt",
    "LOC_val_solution.csv",
    "imagenet_2012_validation_synset_labels.txt",
    "val.txt",
)


@dataclass(frozen=True)
class ImageNet(Source):
    """ILSVRC-2012 in a folder, with train and val each as a folder or as the published tar."""

    path: Path
    val_labels: str | None = None  # file of `filename wnid` lines; without it, it is searched for
    kind = "imagenet"
    expected = (
        f"a folder with train/<wnid>/ and val/<wnid>/, or with {TRAIN_TAR}, {VAL_TAR} and {DEVKIT}.tar.gz, "
        "which image-net.org gives out after registration"
    )
    missing_splits = {
        "val": f"{VAL_TAR} and the devkit come from image-net.org, after registration; without them nets are "
        "trained, but not scored on ImageNet"
    }

    @cached_property
    def train(self) -> Listing:
        """Training files as wnid/name."""
        root = self._root
        if (root / "train").is_dir():
            listing = archives.list_files(root / "train")
        elif (root / TRAIN_TAR).is_file():
            listing = archives.list_files(root / TRAIN_TAR)
        else:
            raise ItlError(f"{root} has neither a folder train nor {TRAIN_TAR}; put one of them into it")
        return _open_class_tars(listing)

    @cached_property
    def val(self) -> Listing:
        """Validation files, as wnid/name or flat; empty if there is neither folder nor tar."""
        for path in (self._root / "val", self._root / VAL_TAR):
            if path.exists():
                return _open_class_tars(archives.list_files(path))
        return Listing()

    @cached_property
    def listing(self) -> Listing:
        """Files of train and val."""
        files = {f"train/{name}": member for name, member in self.train.files.items()}
        files |= {f"val/{name}": member for name, member in self.val.files.items()}
        return Listing(files, left_out=self.train.left_out + self.val.left_out)

    def records(self) -> list[Record]:
        """Return one record for each image, sorted by id; ItlError if labels of val are missing."""
        records = [
            Record(f"train/{name}", name.split("/")[0], "train", member)
            for name, member in self.train.files.items()
            if "/" in name and is_image(name)
        ]
        refuse_empty(self.train, [record.id.removeprefix("train/") for record in records])
        records += self._val_records()
        refuse_plain(records, self.path, self.kind)
        return validate_records(records, self.path)

    @cached_property
    def _root(self) -> Path:
        """The folder that holds train and val; in Kaggle's archive it is three levels down."""
        path = Path(self.path)
        if not path.is_dir():
            raise ItlError(f"imagenet is a folder with train and val or {TRAIN_TAR}; {path} is not a folder")
        inner = path / "ILSVRC" / "Data" / "CLS-LOC"
        return inner if inner.is_dir() else path

    def _val_records(self) -> list[Record]:
        images = {name: member for name, member in self.val.files.items() if is_image(name)}
        flat = [name for name in images if not WNID.fullmatch(name.split("/")[0])]
        labels = self._labels() if flat else {}
        unknown = sorted(name for name in flat if Path(name).name not in labels)
        if unknown:
            raise ItlError(
                f"{self.path}: {len(unknown)} of {len(images)} val images have no label, such as "
                f"{unknown[0]}; put {DEVKIT}.tar.gz beside them, or val_map.txt with lines "
                f"`{Path(unknown[0]).name} n01440764`"
            )
        return [
            Record(f"val/{name}", labels.get(Path(name).name, name.split("/")[0]), "val", member)
            for name, member in images.items()
        ]

    def _labels(self) -> dict[str, str]:
        """Return val labels by file name, from a list or from the devkit; empty if there is neither."""
        if self.val_labels:
            return read_labels(Path(self.val_labels))
        folders = dict.fromkeys((Path(self.path), self._root, self._root / "val"))
        for folder in folders:
            for name in LABEL_LISTS:
                if (folder / name).is_file():
                    return read_labels(folder / name)
        for folder in folders:
            if (folder / f"{DEVKIT}.tar.gz").is_file():
                return _labels_of_devkit(*_unpack_devkit(folder / f"{DEVKIT}.tar.gz"))
            for data in (folder / DEVKIT / "data", folder / "data", folder):
                if (data / TRUTH).is_file() and (data / META).is_file():
                    return _labels_of_devkit((data / TRUTH).read_bytes(), (data / META).read_bytes())
        return {}


@dataclass(frozen=True)
class TinyImageNet(Source):
    """Tiny ImageNet as published, a folder, tar or zip: val is flat, with a file of annotations."""

    path: Path
    kind = "tiny-imagenet"
    expected = "tiny-imagenet-200, unpacked or as the .zip of cs231n.stanford.edu"

    @cached_property
    def listing(self) -> Listing:
        """Files and folders, relative to the folder that holds train and val."""
        return unwrap(archives.list_files(Path(self.path)))

    def records(self) -> list[Record]:
        """Return one record for each labelled image, sorted by id; test images are left out: no labels."""
        labels = self._val_labels()
        records = []
        for name, member in self.listing.files.items():
            parts = name.split("/")
            if parts[0] not in ("train", "val") or len(parts) < 3 or not is_image(name):
                continue
            wnid = labels.get(parts[-1]) if parts[:2] == ["val", "images"] else parts[1]
            if wnid is None:
                raise ItlError(f"{self.path}: val_annotations.txt has no line for {name}; download it again")
            records.append(Record(name, wnid, parts[0], member))
        refuse_empty(self.listing, [record.id for record in records], ("train",))
        refuse_plain(records, self.path, self.kind)
        return validate_records(records, self.path)

    def _val_labels(self) -> dict[str, str]:
        member = self.listing.files.get("val/val_annotations.txt")
        lines = member.read().decode(errors="replace").splitlines() if member else ()
        return {parts[0]: parts[1] for parts in map(str.split, lines) if len(parts) > 1}


def read_labels(path: Path) -> dict[str, str]:
    """Read a label list: lines `filename wnid`, with spaces or commas, or one wnid per image in order.

    Returns:
        Wnids by file name.

    Raises:
        ItlError: If there is no such file, or a line has no wnid.
    """
    if not path.is_file():
        raise ItlError(f"there is no label list {path}; give lines `filename wnid`")
    labels = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        parts = line.replace(",", " ").split()
        wnids = [part for part in parts if WNID.fullmatch(part)]
        if wnids:
            name = _val_name(number) if parts[0] == wnids[0] else Path(parts[0]).name
            labels[name if Path(name).suffix else f"{name}.JPEG"] = wnids[0]
        elif parts and number > 1:  # the first may be a header
            raise ItlError(f"{path}, line {number}: {line.strip()[:50]!r} has no wnid; give `filename wnid`")
    return labels


def _val_name(number: int) -> str:
    return f"ILSVRC2012_val_{number:08d}.JPEG"


def _open_class_tars(listing: Listing) -> Listing:
    """Replace each wnid.tar in *listing* by its files."""
    opened = Listing(folders=set(listing.folders), left_out=listing.left_out.copy())
    for name, member in listing.files.items():
        wnid = Path(name).stem
        if not (name.endswith(".tar") and WNID.fullmatch(wnid)):
            opened.files[name] = member
            continue
        opened.folders.add(wnid)
        inner = archives.list_inner_tar(member, name)
        opened.files.update({f"{wnid}/{Path(image).name}": file for image, file in inner.files.items()})
        opened.left_out += inner.left_out
    return opened


def _unpack_devkit(path: Path) -> tuple[bytes, bytes]:
    """Return ground truth and class table from the devkit's archive, a few megabytes."""
    try:
        with tarfile.open(path, "r:*") as tar:
            members = {Path(member.name).name: member for member in tar if member.isreg()}
            if TRUTH not in members or META not in members:
                raise ItlError(f"{path} lacks {TRUTH} or {META}; download the devkit of tasks 1 and 2 again")
            truth, meta = (tar.extractfile(members[name]) for name in (TRUTH, META))
            assert truth
            assert meta
            return truth.read(), meta.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ItlError(f"{path} cannot be read ({error}); download it again") from error


def _labels_of_devkit(truth: bytes, meta: bytes) -> dict[str, str]:
    """Return labels by file name: *truth* has one class number per line, *meta* (meta.mat) their wnids."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
        numbers = [int(line) for line in truth.split()]
    except (MatReadError, ValueError, KeyError, TypeError) as error:
        raise ItlError(
            f"{TRUTH} or {META} of the devkit cannot be read ({error}); copy both again"
        ) from error
    unknown = sorted({str(number) for number in numbers if number not in wnids})
    if unknown:
        raise ItlError(f"{TRUTH} names classes {examples(unknown)}, which {META} lacks; copy both again")
    return {_val_name(image): wnids[number] for image, number in enumerate(numbers, 1)}
