"""ImageNet as people have it, in folders, archives or the published tars; Tiny ImageNet and ImageNet-21k."""

import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from posixpath import basename, splitext
from typing import ClassVar

from itl.errors import ItlError, errors_about
from itl.hierarchy.taxonomy import WNID, Taxonomy
from itl.sources.files import archives
from itl.sources.files.archives import NAMED_AGAIN, Listing
from itl.sources.folder_names import wnid_of
from itl.sources.folders import class_folders
from itl.sources.folders.layout import Choice, Layout
from itl.sources.folders.layout_options import image_counts, recognise, way_to
from itl.sources.held_out import split_off_val
from itl.sources.published.inner_tars import has_images, innermost_wnid, open_class_tars, open_split_tar
from itl.sources.published.val_labels import (
    DEVKIT,
    LABELS_CURE,
    XML_FOLDERS,
    ValLabels,
    find_labels,
    read_labels,
    refuse_contradicted_folders,
    refuse_other_class,
)
from itl.sources.records import Record, is_image, stem_of, validate_records
from itl.sources.source import Source
from itl.sources.split_names import split_of_any_word, split_of_folders, split_of_name
from itl.sources.unopened_archives import describe_unopened, unpack_command
from itl.words import counted, examples

TRAIN_TAR, VAL_TAR = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
COMPRESSED_21K = ("winter21_whole.tar.gz", "fall11_whole.tar.gz")  # of ImageNet-21k
INNER_FOLDERS = ("ILSVRC", "Data", "CLS-LOC")  # of Kaggle's archive, one in the other
VAL_IMAGE = r"(?i)ILSVRC2012_val_\d{8}\.jpe?g$"
FILE_NAMES = {  # of images in class folders without splits: what they are, and their split
    r"n\d{8}_\d+\.jpe?g": ("training images", "train"),
    VAL_IMAGE: ("validation images", "val"),
    r"sketch_\d+\.jpeg": ("ImageNet-Sketch", "test"),
    r"(art|cartoon|deviantart|embroidery|graffiti|graphic|misc|origami|painting|sculpture|sketch|sticker|tattoo|toy"
    r"|videogame)_\d+\.jpg": ("ImageNet-R", "test"),
    r"[01]\.\d+_.*\.jpg": ("ImageNet-A or -O", "test"),
    r"[0-9a-f]{40}\.jpe?g": ("ImageNet-V2", "test"),
}


@dataclass(frozen=True)
class ImageNet(Source):
    """ILSVRC-2012, or a part of it: train and val as folders or as the published tars, or a test-only set."""

    path: Path
    val_labels: Path | None = None  # file of `filename wnid` lines; without it, it is searched for
    classes: Path | None = None  # a list of the wnids to keep, or of what each counts as
    splits: str | None = None  # the folder of each split: train=a,val=b
    kind = "imagenet"
    title: ClassVar[str] = "ImageNet"
    label_folders = (f"{DEVKIT}*", f"*/{DEVKIT}*", *XML_FOLDERS)
    list_search_depth = 1 + len(INNER_FOLDERS)  # the path may be any folder of Kaggle's archive
    published_classes: ClassVar[int] = 1000
    val_cure: ClassVar[str] = LABELS_CURE  # where val has no class folders, and no list
    expected = (
        f"a folder with train/<wnid>/ and val/<wnid>/, or with {TRAIN_TAR}, {VAL_TAR} and {DEVKIT}.tar.gz, "
        "which image-net.org gives out after registration; or Kaggle's folder; or V2, R, A or Sketch"
    )
    missing_splits: ClassVar[Mapping[str, str]] = {
        "val": f"{VAL_TAR} and the devkit come from image-net.org, after registration; without them nets are "
        "trained, but not scored on ImageNet"
    }

    @cached_property
    def listing(self) -> Listing:
        """Files of all splits, relative to the folder that holds these."""
        root = self._root
        if not root.is_dir():
            return _inside_wrapper(archives.open_listing(root))
        parts = list(_split_paths(root))
        if not parts:
            return archives.open_listing(root)
        joined = Listing(left_out=_count_beside(root, {path for _, path in parts}))
        if root.name not in INNER_FOLDERS and root != self.path:
            joined.left_out += _count_beside(root.parent, {root})
        for prefix, path in parts:
            listing = open_class_tars(open_split_tar(archives.open_listing(path, f"{prefix}/"), prefix))
            again = len(joined.files.keys() & listing.files.keys())  # of two tars of one split
            joined.left_out += listing.left_out + Counter({NAMED_AGAIN: again})
            joined.files = listing.files | joined.files
            joined.folders |= listing.folders
        return joined

    @cached_property
    def folders(self) -> Layout:
        """What the folders stand for; ItlError if that is unclear, or a list of val contradicts them."""
        counts = image_counts(self.listing)
        self._refuse_unopened(counts)
        if not counts:
            raise self._error(class_folders.no_images(self.listing, self.path))
        try:
            layout = recognise(counts, Choice(self.splits), flat_val=True, path=self._root)
            layout = layout if layout.has_splits else self._without_splits(layout)
            class_folders.refuse_empty_classes(self.listing, layout, counts, "copy their images again")
            self._refuse_contradicted(layout)
            self._refuse_half_sorted(layout)
        except ItlError as error:
            raise self._error(f"{self.path}: {error}") from None
        if plain := [name for name in layout.classes if not WNID.fullmatch(name)]:
            raise ItlError(
                f"{self.path}: classes of {self.kind} are wnids, not {examples(plain)}; the source folder "
                f"reads others"
            )
        return class_folders.choose_classes(layout, self.classes, counts)

    def _error(self, text: str) -> ItlError:
        """Return the error to raise: *text*, unless the path holds a part or several of it."""
        if several := self._describe_several():
            return ItlError(several)
        if self.path.name in (TRAIN_TAR, VAL_TAR) and self.path.is_file():
            folder = shlex.quote(str(self.path.absolute().parent))
            return ItlError(f"{self.path} has one split alone; give the folder that holds it: {folder}")
        return ItlError(text)

    @property
    def comparable_classes(self) -> int:
        """How many classes there should be; with own ones this is another data set."""
        return 0 if self.classes else self.published_classes

    @property
    def layout(self) -> str:
        """Where the class folders lie."""
        flat = f", val flat in {', '.join(self._flat)}" if self._flat else ""
        return f"{self.title}, {self.folders.words}{flat}"

    @property
    def labelled_by(self) -> str:
        """What says the class of an image."""
        val = f", val by {self._labels.words}" if self._flat else ""
        return "their folders" + val + (f", and {self.folders.chosen_by}" if self.classes else "")

    @property
    def class_names(self) -> Mapping[str, str]:
        """Names from folders such as n01440764_tench."""
        return self.folders.class_names

    @property
    def notes(self) -> Sequence[str]:
        """Folders beside those of splits that hold splits of their own."""
        root = self._root
        read = list(_split_paths(root)) if root.is_dir() else []
        inner = [folder for folder in sorted(root.iterdir()) if folder.is_dir()] if read else []
        return [
            f"{folder.name} beside {read[0][0]} holds splits of its own ({names}), which are not read; move "
            f"what is to be read beside {read[0][0]}, or give {folder} as the path"
            for folder in inner
            if not (split_of_name(folder.name) or archives.is_stray([folder.name]))
            and _holds_splits(folder)
            and (names := ", ".join(name for name, _ in _split_paths(folder)))
        ]

    @property
    def left_out(self) -> Counter:
        """How many files are not records, by reason."""
        not_chosen = Counter({class_folders.NOT_CHOSEN: len(self._flat_names) - len(self._flat_images)})
        return self.listing.left_out + self.folders.left_out + not_chosen

    def records(self) -> list[Record]:
        """Return one record for each image, sorted by id; ItlError if labels of val are missing."""
        files, records = self.listing.files, self.folders.records(self.listing.files)
        for name, wnid in self._flat_images.items():
            records.append(Record(self.folders.id_of(name), wnid, "val", files[name]))
        return validate_records(records, self.path)

    def _refuse_contradicted(self, layout: Layout) -> None:
        """Raise ItlError if a list of val contradicts the class folders that val has by *layout*."""
        wnids = {
            folder: wnid
            for folder, (split, _) in layout.class_of.items()
            if split == "val" and (wnid := innermost_wnid(folder))
        }
        images = {
            name: wnids[folder]
            for name in self.listing.files
            if (folder := name.rpartition("/")[0]) in wnids and is_image(name)
        }
        if self.val_labels and images:
            refuse_other_class(images, self._labels_of_option, "leave the option val_labels out")
        elif images:
            root = self._root
            folders = dict.fromkeys(self._list_folders(sorted({name.rpartition("/")[0] for name in wnids})))
            around = [] if layout.has_splits or not root.is_dir() else [root.absolute().parent]
            texts = {} if root.is_dir() else self.listing.files
            refuse_contradicted_folders(images, [*folders, *around], texts)

    def _refuse_half_sorted(self, layout: Layout) -> None:
        """Raise ItlError if images of val lie beside its class folders, and are not in one of these too."""
        if not layout.left_out["images beside class folders"]:
            return
        tops = {folder.rpartition("/")[0] for folder, (split, _) in layout.class_of.items() if split == "val"}
        images = [name.rpartition("/")[::2] for name in self.listing.files if re.search(VAL_IMAGE, name)]
        in_classes = {name for folder, name in images if folder in layout.class_of}
        loose = [(folder, name) for folder, name in images if folder in tops and name not in in_classes]
        if len(loose) > 1:  # one may be a stray copy
            folder, name = loose[0]
            raise ItlError(
                f"{folder!r} is half sorted: {counted(len(loose), 'images lie')} in it, such as {name}, "
                f"beside its class folders; move them into these, or the images of these beside them"
            )

    @property
    def _flat(self) -> list[str]:
        return sorted(folder for folder, split in self.folders.flat.items() if split == "val")

    @cached_property
    def _flat_images(self) -> dict[str, str]:
        """The classes of val images that do not lie in class folders, by name, without those not chosen."""
        wnids = {name: self._labels.wnid_of(stem_of(name)) for name in self._flat_names}
        if not self.classes or not wnids:
            return wnids
        chosen, _ = class_folders.class_map(self.classes, sorted(set(wnids.values())), {})
        return {name: chosen[wnid] for name, wnid in wnids.items() if wnid in chosen}

    @cached_property
    def _flat_names(self) -> list[str]:
        starts = tuple(f"{folder}/" for folder in self._flat)
        return [name for name in self.listing.files if name.startswith(starts) and is_image(name)]

    @cached_property
    def _labels(self) -> ValLabels:
        """The labels of the flat val images."""
        if self.val_labels:
            labels = self._labels_of_option
            if missing := [name for name in self._flat_names if not labels.wnid_of(stem_of(name))]:
                count = counted(len(missing), "val images")
                raise ItlError(f"{self.val_labels} lacks {count}, such as {examples(missing)}")
            return labels
        texts = {} if self._root.is_dir() else self.listing.files
        with errors_about(str(self.path)):
            return find_labels(self._flat_names, self._list_folders(self._flat), texts, self.val_cure)

    @cached_property
    def _labels_of_option(self) -> ValLabels:
        """What the file of the option val_labels says."""
        assert self.val_labels
        try:
            return ValLabels(read_labels(Path(self.val_labels).read_bytes()), str(self.val_labels))
        except (OSError, ItlError) as error:
            raise ItlError(f"{self.val_labels}: {error}") from None

    def _list_folders(self, inner: Iterable[str]) -> Iterator[Path]:
        """Yield where lists of labels may lie: in the folders *inner*, which hold images, then upwards."""
        root = self._root
        if not root.is_dir():
            yield root.parent
            return
        for folder in inner:
            while folder:
                if (root / folder).is_dir():
                    yield root / folder
                folder = folder.rpartition("/")[0]
        yield root
        inside = root.relative_to(self.path).parts
        yield from [self.path.joinpath(*inside[:depth]) for depth in range(len(inside) - 1, -1, -1)]
        if root.name == INNER_FOLDERS[-1]:  # the path may be any folder of Kaggle's archive
            yield from root.absolute().parents[: len(INNER_FOLDERS)]

    @cached_property
    def _root(self) -> Path:
        """The folder that holds the splits; in Kaggle's archive it is three levels down."""
        path = self.path
        if not path.exists():
            raise ItlError(f"there is nothing at {path}; {self.kind} takes {self.expected}")
        while path.is_dir() and not any(_split_paths(path)):
            folders = _folders_in(path)
            step = [folder for folder in folders if folder.name in INNER_FOLDERS] or folders
            if len(step) > 1 and not any(map(_holds_classes, [path, *folders])):
                step = [folder for folder in step if _holds_splits(folder)]
            if len(step) != 1 or WNID.match(step[0].name):
                break
            path = step[0]
        return path

    def _refuse_unopened(self, folders: Iterable[str]) -> None:
        """Raise ItlError if a published tar lies where it is not opened, and its split would be missing.

        It is there all the same if *folders*, which hold images, are of all splits side by side.
        """
        root = self._root
        tars = [name for name in self.listing.files if basename(name) in (TRAIN_TAR, VAL_TAR)]
        if not tars or (root.is_dir() and any(_split_paths(root))):
            return
        splits = {folder: split for folder in folders if (split := split_of_folders(f"{folder}/"))}
        around = {(*takewhile(lambda part: not split_of_name(part), name.split("/")),) for name in splits}
        if len(around) > 1 or not {*splits.values()} >= {split_of_name(basename(tar)[:-4]) for tar in tars}:
            folder = tars[0].rpartition("/")[0]
            way = f"give {root / folder} as the path"
            if root.is_file():
                way = f"unpack {root}, `{unpack_command(str(root))}`, and give that folder"
            text = f"{root}: {tars[0]} is opened in the folder of its splits alone; {way}"
            raise ItlError(self._describe_several() or text)

    def _describe_several(self) -> str:
        """Say that several folders side by side hold splits, as copies of one data set do; '' if not."""
        tars = [name.removesuffix(".tar") for name in self.listing.files if name.endswith(".tar")]
        pairs = (name.partition("/")[::2] for name in (*self.listing.folders, *tars))
        sets = sorted({top for top, inner in pairs if split_of_name(inner) and not split_of_name(top)})
        if len(sets) < 2:
            return ""
        count, way = counted(len(sets), "folders"), way_to(sets[0], self._root)
        return f"{self._root} holds {count} with splits of their own, {examples(sets)}; {way}"

    def _without_splits(self, layout: Layout) -> Layout:
        """Say which split class folders alone are, by the names of their images."""
        files = {name.rpartition("/")[2] for name in self.listing.files if is_image(name)}
        for pattern, (words, split) in FILE_NAMES.items():
            if all(re.fullmatch(pattern, name, re.IGNORECASE) for name in files):
                class_of = {folder: (split, name) for folder, (_, name) in layout.class_of.items()}
                if words == "ImageNet-V2":
                    class_of = {folder: (split, _wnid_of_v2(name)) for folder, (_, name) in class_of.items()}
                return replace(layout, class_of=class_of, words=f"{layout.words} of {words}")
        raise ItlError(
            "class folders without splits, and the names of the images do not say which split this is; "
            "choose --option splits=train=. or --option splits=test=."
        )


class TinyImageNet(ImageNet):
    """Tiny ImageNet, a folder, tar or zip, as published or with val sorted into class folders."""

    kind = "tiny-imagenet"
    title = "Tiny ImageNet"
    published_classes = 200
    val_cure = "put val/val_annotations.txt of tiny-imagenet-200 there"
    expected = "tiny-imagenet-200, unpacked or as the .zip of cs231n.stanford.edu"
    missing_splits: ClassVar[Mapping[str, str]] = {}


@dataclass(frozen=True)
class ImageNet21k(Source):
    """ImageNet-21k as published, without splits: without val_fraction all images are training images."""

    path: Path
    val_fraction: float = 0.0  # of the images of each class, used as val
    kind = "imagenet21k"
    expected = (
        "the folder winter21_whole with n00004475.tar and so on, fall11_whole.tar, or a folder of wnid "
        "folders; image-net.org gives them out after registration"
    )
    layout = "ImageNet-21k, a tar or a folder for each wnid"
    labelled_by = "tars or folders"

    @cached_property
    def listing(self) -> Listing:
        """All images, as WNID/NAME; ItlError if they are in a compressed archive."""
        outer = archives.open_listing(self.path)
        if compressed := [name for name in outer.files if name.rpartition("/")[2] in COMPRESSED_21K]:
            command = unpack_command(outer.files[compressed[0]].path)
            raise ItlError(
                f"{self.path} has {compressed[0]} compressed; `{command}` leaves a plain tar for each wnid; "
                f"then give that folder"
            )
        return open_class_tars(outer)

    @property
    def left_out(self) -> Counter:
        """How many files are not records, by reason."""
        images = [(name.rpartition("/")[0], name) for name in sorted(filter(is_image, self.listing.files))]
        outside = [name for folder, name in images if not innermost_wnid(folder)]
        beside = [name for folder, name in images if innermost_wnid(folder) and not self._split_of[folder]]
        reasons = {
            f"images in no folder or tar of a wnid ({examples(outside, 1)})": len(outside),
            f"images beside the folders of splits ({examples(beside, 1)})": len(beside),
        }
        return self.listing.left_out + Counter(reasons)

    @cached_property
    def _split_of(self) -> Mapping[str, str]:
        """The split of each folder of images; '' beside folders of train, as imagenet21k_small_classes."""
        splits = {}
        for folder in {name.rpartition("/")[0] for name in self.listing.files if is_image(name)}:
            # Not of a folder such as n04417809_test_tube, which is a class.
            around = (part for part in folder.split("/") if not wnid_of(part))
            splits[folder] = next(filter(None, map(split_of_any_word, around)), "")
        unnamed = "" if "train" in splits.values() else "train"
        return {folder: split or unnamed for folder, split in splits.items()}

    def records(self) -> list[Record]:
        """Return one record for each image, sorted by id; ItlError if one may be there twice."""
        names: dict[str, str] = {}
        records = []
        for name, member in self.listing.files.items():
            folder, _, image = name.rpartition("/")
            wnid = innermost_wnid(folder)
            if is_image(name) and wnid and (split := self._split_of[folder]):
                short = f"{wnid}/{image}" if split == "train" else f"{split}/{wnid}/{image}"
                other = names.setdefault(splitext(short)[0], name)  # masks and small copies, too
                if other.rpartition("/")[0] != folder:
                    raise ItlError(
                        f"{self.path} has {other} and {name}, which are one image by their names; leave the "
                        f"folder of one of them out"
                    )
                records.append(Record(short, wnid, split, member))
        if not records:
            unopened = describe_unopened(self.listing.files)
            raise ItlError(
                f"{self.path} has no images in tars or folders of wnids; "
                f"{unopened or f'{self.kind} takes {self.expected}'}"
            )
        return validate_records(split_off_val(records, self.val_fraction), self.path)


def _folders_in(path: Path) -> list[Path]:
    """Return the folders in *path*, but for those of an operating system."""
    return [folder for folder in path.iterdir() if folder.is_dir() and not archives.is_stray([folder.name])]


def _holds_splits(folder: Path) -> bool:
    """Say whether *folder* can be read, and holds a split that has images or tars, not code or XML alone."""
    with suppress(PermissionError):
        return any(map(has_images, (path for _, path in _split_paths(folder))))
    return False


def _holds_classes(folder: Path) -> bool:
    """Say whether *folder* can be read, and holds folders of wnids that have images or tars."""
    with suppress(PermissionError):
        return any(map(has_images, (path for path in folder.iterdir() if WNID.match(path.name))))
    return False


def _count_beside(root: Path, read: Collection[Path]) -> Counter[str]:
    """Count what lies in *root* beside the folders and tars of splits that are *read* and may have images."""
    others = [
        path for path in sorted(root.iterdir()) if path not in read and not archives.is_stray([path.name])
    ]
    kinds = {
        "tars beside folders of the same split": lambda tar: tar.suffix == ".tar" and split_of_name(tar.stem),
        "images beside the folders of splits": lambda path: is_image(path.name),
        "folders beside those of splits": lambda path: path.is_dir() and "devkit" not in path.name.casefold(),
    }
    counts: Counter[str] = Counter()
    for reason, is_kind in kinds.items():
        if names := [path.name for path in others if is_kind(path)]:
            counts[f"{reason} ({examples(names, 1)})"] = len(names)
    return counts


def _split_paths(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield what holds a split in *root*: folders, and tars where no folder of the split holds anything.

    The name of a tar is that of its split, so that images have the same ids wherever it was unpacked.
    """
    folders = [entry for entry in sorted(root.iterdir()) if split_of_name(entry.name) and entry.is_dir()]
    yield from ((folder.name, folder) for folder in folders)
    for tar in sorted(root.glob("*.tar")):
        split = split_of_name(tar.stem)
        beside = [folder for folder in folders if split_of_name(folder.name) == split]
        inside = (entry.name for folder in beside for entry in folder.iterdir())
        if split and all(archives.is_stray([name]) for name in inside):
            yield split, tar


def _inside_wrapper(listing: Listing) -> Listing:
    """Step into the folder around everything that archives have; classes of ImageNet have no parts."""
    tops = listing.top_folders()
    if len(tops) != 1 or WNID.match(tops[0]) or split_of_name(tops[0]):
        return listing
    is_wrapper = all(name.startswith(f"{tops[0]}/") for name in listing.files)
    return _inside_wrapper(listing.inside(tops[0])) if is_wrapper else listing


def _wnid_of_v2(name: str) -> str:
    """Return the wnid of the class folder *name* of ImageNet-V2: its number in the order of wnids."""
    leaves = Taxonomy.snapshot().leaves
    if name.isdecimal() and int(name) < len(leaves):
        return leaves[int(name)]
    raise ItlError(f"class folders of ImageNet-V2 are numbers from 0 to {len(leaves) - 1}, not {name!r}")
