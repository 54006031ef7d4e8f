"""ImageNet as people have it: folders, or the ILSVRC tars as published; and Tiny ImageNet."""

import io
import tarfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from itl import ItlError
from itl.sources import archives
from itl.sources.archives import Listing
from itl.sources.records import WNID, Record, is_image, refuse_empty, refuse_plain, some, sound, unwrapped

TRAIN_TAR, VAL_TAR = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12"
TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
LABEL_LISTS = ("val_map.txt", "val_labels.txt", "ILSVRC2012_val_labels.txt", "LOC_val_solution.csv",
               "imagenet_2012_validation_synset_labels.txt", "val.txt")


@dataclass(frozen=True)
class ImageNet:
    """ILSVRC-2012 in a folder: train and val as folders or as the published tars, in any mixture."""

    path: Path
    val_labels: str | None = None           # file of `filename wnid` lines, for a flat val; else looked for
    kind = "imagenet"

    @cached_property
    def train(self) -> Listing:
        """Training files as wnid/name."""
        root = self._root
        if (root / "train").is_dir():
            listing = archives.listing(root / "train")
        elif (root / TRAIN_TAR).is_file():
            listing = archives.listing(root / TRAIN_TAR)
        else:
            raise ItlError(f"{root} has neither a folder train nor {TRAIN_TAR}; `itl check` says more")
        return _open_class_tars(listing)

    @cached_property
    def val(self) -> Listing:
        """Validation files, as wnid/name or flat; none where there is neither folder nor tar."""
        for place in (self._root / "val", self._root / VAL_TAR):
            if place.exists():
                return _open_class_tars(archives.listing(place))
        return Listing()

    @cached_property
    def listing(self) -> Listing:
        """Train and val together, for counting."""
        files = {f"{split}/{name}": place for split, part in (("train", self.train), ("val", self.val))
                 for name, place in part.files.items()}
        return Listing(files, left_out=self.train.left_out + self.val.left_out)

    def records(self) -> list[Record]:
        """One record for each image, sorted by id; raises ItlError where labels of val are missing."""
        found = [Record(f"train/{name}", name.split("/")[0], "train", place)
                 for name, place in self.train.files.items() if "/" in name and is_image(name)]
        refuse_empty(self.train, [record.id.removeprefix("train/") for record in found])
        found += self._val_records()
        refuse_plain(found, self.path, self.kind)
        return sound(found, self.path)

    def read(self, record: Record) -> bytes:
        """Return the file of *record*."""
        return archives.read(record.place)

    @cached_property
    def _root(self) -> Path:
        """The folder that holds train and val; Kaggle's archive has it three deep."""
        path = Path(self.path)
        if not path.is_dir():
            raise ItlError(f"imagenet is a folder with train and val or {TRAIN_TAR}; {path} is no folder")
        inner = path / "ILSVRC" / "Data" / "CLS-LOC"
        return inner if inner.is_dir() else path

    def _val_records(self) -> list[Record]:
        images = {name: place for name, place in self.val.files.items() if is_image(name)}
        flat = [name for name in images if not WNID.fullmatch(name.split("/")[0])]
        labels = self._labels() if flat else {}
        unknown = sorted(name for name in flat if Path(name).name not in labels)
        if unknown:
            raise ItlError(
                f"{self.path}: {len(unknown)} of {len(images)} val images have no label, such as "
                f"{unknown[0]}; put {DEVKIT}.tar.gz beside them, or val_map.txt with lines "
                f"`{Path(unknown[0]).name} n01440764`"
            )
        return [Record(f"val/{name}", labels.get(Path(name).name, name.split("/")[0]), "val", place)
                for name, place in images.items()]

    def _labels(self) -> dict[str, str]:
        """Val labels by file name, from a list or from the devkit; empty where there is neither."""
        if self.val_labels:
            return read_labels(Path(self.val_labels))
        folders = dict.fromkeys((Path(self.path), self._root, self._root / "val"))
        for place in (folder / name for folder in folders for name in LABEL_LISTS):
            if place.is_file():
                return read_labels(place)
        for folder in folders:
            if (folder / f"{DEVKIT}.tar.gz").is_file():
                return _from_devkit(*_unzip_devkit(folder / f"{DEVKIT}.tar.gz"))
            for data in (folder / DEVKIT / "data", folder / "data", folder):
                if (data / TRUTH).is_file() and (data / META).is_file():
                    return _from_devkit((data / TRUTH).read_bytes(), (data / META).read_bytes())
        return {}


@dataclass(frozen=True)
class TinyImageNet:
    """Tiny ImageNet as its authors publish it, a folder, tar or zip: val is flat, with annotations."""

    path: Path
    kind = "tiny-imagenet"

    @cached_property
    def listing(self) -> Listing:
        """Files and folders, named from the folder that holds train and val."""
        return unwrapped(archives.listing(Path(self.path)))

    def records(self) -> list[Record]:
        """One record for each labelled image, sorted by id; the unlabelled test images are left out."""
        labels = self._val_labels()
        found = []
        for name, place in self.listing.files.items():
            parts = name.split("/")
            if parts[0] not in ("train", "val") or len(parts) < 3 or not is_image(name):
                continue
            wnid = labels.get(parts[-1]) if parts[:2] == ["val", "images"] else parts[1]
            if wnid is None:
                raise ItlError(f"{self.path}: val_annotations.txt has no line for {name}; download it again")
            found.append(Record(name, wnid, parts[0], place))
        refuse_empty(self.listing, [record.id for record in found], ("train",))
        refuse_plain(found, self.path, self.kind)
        return sound(found, self.path)

    def read(self, record: Record) -> bytes:
        """Return the file of *record*."""
        return archives.read(record.place)

    def _val_labels(self) -> dict[str, str]:
        place = self.listing.files.get("val/val_annotations.txt")
        lines = archives.read(place).decode(errors="replace").splitlines() if place else ()
        return {parts[0]: parts[1] for parts in map(str.split, lines) if len(parts) > 1}


def read_labels(path: Path) -> dict[str, str]:
    """Read a per-line label list: `filename wnid`, by spaces or commas, or one wnid for each image in order.

    Returns wnids by file name. Raises ItlError where a line has no wnid, such as one with a class number.
    """
    if not path.is_file():
        raise ItlError(f"the label list {path} was asked for, but there is none; give lines `filename wnid`")
    labels = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        parts = line.replace(",", " ").split()
        wnids = [part for part in parts if WNID.fullmatch(part)]
        if wnids:
            name = _numbered(number) if parts[0] == wnids[0] else Path(parts[0]).name
            labels[name if Path(name).suffix else f"{name}.JPEG"] = wnids[0]
        elif parts and number > 1:                              # the first may be a header
            raise ItlError(f"{path}, line {number}: {line.strip()[:50]!r} has no wnid; give `filename wnid`")
    return labels


def _numbered(number: int) -> str:
    return f"ILSVRC2012_val_{number:08d}.JPEG"


def _open_class_tars(listing: Listing) -> Listing:
    """Replace each wnid.tar in *listing* by what it holds."""
    opened = Listing(folders=set(listing.folders), left_out=listing.left_out.copy())
    for name, place in listing.files.items():
        wnid = Path(name).stem
        if not (name.endswith(".tar") and WNID.fullmatch(wnid)):
            opened.files[name] = place
            continue
        opened.folders.add(wnid)
        inner = archives.inner_tar(place, name)
        opened.files.update({f"{wnid}/{Path(member).name}": where for member, where in inner.files.items()})
        opened.left_out += inner.left_out
    return opened


def _unzip_devkit(path: Path) -> tuple[bytes, bytes]:
    """Return ground truth and class table out of the devkit's archive, a few megabytes."""
    try:
        with tarfile.open(path, "r:*") as tar:
            members = {Path(member.name).name: member for member in tar if member.isreg()}
            if TRUTH not in members or META not in members:
                raise ItlError(f"{path} holds no {TRUTH} and {META}; get the devkit of tasks 1 and 2 again")
            return tuple(tar.extractfile(members[name]).read() for name in (TRUTH, META))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ItlError(f"{path} cannot be read ({error}); download it again") from error


def _from_devkit(truth: bytes, meta: bytes) -> dict[str, str]:
    """Labels by file name: the ground truth holds class numbers, one a line, and meta.mat their wnids."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
        numbers = [int(line) for line in truth.split()]
    except (MatReadError, ValueError, KeyError, TypeError) as error:
        raise ItlError(f"{TRUTH} or {META} of the devkit cannot be read ({error}); get both again") from error
    strange = sorted({str(number) for number in numbers if number not in wnids})
    if strange:
        raise ItlError(f"{TRUTH} names classes {some(strange)}, which {META} does not have; get both again")
    return {_numbered(place): wnids[number] for place, number in enumerate(numbers, 1)}
