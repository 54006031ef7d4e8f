"""Names of files that show which source reads a data set."""

import re
import shlex
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path, PurePosixPath

from itl.sources.files.archives import Member
from itl.sources.listed.image_lists import PEEKED_BYTES
from itl.sources.listed.list_tables import has_no_labels
from itl.sources.records import is_image, stem_of, suffix_of
from itl.sources.unopened_archives import describe_unopened, unpack_command, unpacked_folder

SIGNS = {  # the end of the name of a file -> the source that reads its data set, so that nobody reads half
    r"places365_train_standard\.txt": "places365",
    r"meta/train\.txt": "food101",
    r"labels/train1\.txt": "dtd",
    r"annotations/trainval\.txt": "pets",
    r"train_test_split\.txt": "cub200",
    r"setid\.mat": "flowers102",
    r"train_list\.mat": "stanford-dogs",
    r"cars_train_annos\.mat": "stanford-cars",
    r"images_variant_train\.txt": "aircraft",
    r"TrainImages\.txt": "mit67",
    r"Training_01\.txt": "sun397",
    r"VOC2007.*/Annotations/[^/]+\.xml": "voc2007",
    r"VOC2012.*/Annotations/[^/]+\.xml": "voc2012",
    r"(instances_\w+|_annotations\.coco)\.json": "coco",
    r"metadata\.(csv|jsonl|parquet)": "lists",  # with a column of labels or splits
}
SIGNS_OF_REFUSED = {  # the same, but named only with a refusal: class folders beside these may be read
    r"ImageSets/CLS-LOC/train_cls\.txt": "imagenet",
    r"val_annotations\.txt": "tiny-imagenet",
    r"train\.csv": "mini-imagenet",
    r"metadata\.parquet": "lists",
}
FIRST_LINES = {  # of files of these sources whose names others have too; of a table, the first two
    "food101": r"[^\s/.]+/\d+",
    "dtd": r"([^/\s]+)/\1_\d+\.jpg",
    "pets": r"[^\s/]+_\d+( \d+){3}",
    "cub200": r"(\d+|[0-9a-f-]{20,}) [01]",
    "tiny-imagenet": r"val_\d+\.JPEG\tn\d{8}\t.*",
    "mini-imagenet": r"filename,label\s+n\d{16}\.jpg,n\d{8}",
}
SIGNS_WITHOUT_IMAGES = {  # the same, where no image lies on its own
    r"ILSVRC2012_img_(train|val)\.tar": "imagenet",
    r"VOC(trainval|test)_[\w-]+-2007\.tar": "voc2007",
    r"VOCtrainval_[\w-]+-2012\.tar": "voc2012",
    r"train_data_batch_1(\.npz)?": "imagenet-downsampled",
    r"cifar-100-python/test": "cifar100",
    r"test_batch": "cifar10",
    r"n\d{8}([ _.-][^/]*)?\.tar": "imagenet21k",
    r"\.tar": "webdataset",
    r"\.parquet": "parquet",
}
UNPACKED_SOURCES = {"webdataset", "parquet", "cifar10", "cifar100", "imagenet-downsampled"}  # not in archives


def other_source(files: Mapping[str, Member], path: Path) -> str:
    """Say which source reads *files*, by name, at *path*, if one of them tells it; else empty.

    Of files in an archive that the source reads in a folder alone, say how to unpack it.

    >>> other_source({"data/train-00000-of-00001.parquet": Member("")}, Path("my set"))
    "data/train-00000-of-00001.parquet is a file of the source parquet: `itl check parquet 'my set'`"
    """
    signs = SIGNS if any(map(is_image, files)) else SIGNS | SIGNS_WITHOUT_IMAGES
    return _first_sign(signs, files, path, lambda kind, name: not _is_own(kind, name, files))


def surely_other_source(files: Mapping[str, Member], path: Path) -> str:
    """Say which source reads *files* that another one refuses, by a name of its own or a first line."""
    signs = {pattern: kind for pattern, kind in SIGNS.items() if kind != "lists"} | SIGNS_OF_REFUSED
    return _first_sign(signs, files, path, lambda kind, name: _is_first_line(kind, files[name]))


def _first_sign(
    signs: Mapping[str, str], files: Mapping[str, Member], path: Path, is_sign: Callable[[str, str], bool]
) -> str:
    """Say which source reads *files*, by the first of *signs* whose kind and file *is_sign*; else empty."""
    others = [name for name in files if not is_image(name)]
    stems = cache(lambda: {stem_of(name) for name in files if is_image(name)})  # as captions are called too
    for pattern, kind in signs.items():
        start = "" if pattern.startswith(r"\.") else "(^|/)"
        end = re.compile(f"{start}{pattern}$")
        for name in filter(end.search, others):
            is_caption = suffix_of(name) == ".txt" and PurePosixPath(name).stem in stems()
            if not is_caption and is_sign(kind, name):
                return _advise_source(name, kind, files, path)
    return ""


def _is_own(kind: str, name: str, files: Mapping[str, Member]) -> bool:
    """Say whether a file whose *name* is a sign of the source *kind* surely is a user's own.

    Its first line begins with one of the images, or is unlike the source's and begins with another image.
    """
    if kind == "lists":
        return has_no_labels(files[name].read(), name)
    first = re.split(r"[\s,;]", _start(files[name]))[0] if kind in FIRST_LINES else ""
    return first in files or (is_image(first) and not _is_first_line(kind, files[name]))


def _is_first_line(kind: str, member: Member) -> bool:
    """Say whether a file begins as in the source *kind*, where others are called so too."""
    pattern = FIRST_LINES.get(kind)
    return pattern is None or bool(re.match(rf"{pattern}[ \t\r]*$", _start(member), re.MULTILINE))


def _start(member: Member) -> str:
    return member.read_start(PEEKED_BYTES).decode("utf-8-sig", "replace").lstrip()


def _advise_source(name: str, kind: str, files: Mapping[str, Member], path: Path) -> str:
    """Say that *kind* reads *name*, one of the *files* at *path*, or in the folder that this unpacks to."""
    if kind == "lists" and suffix_of(name) == ".parquet":
        return (
            f"{name} may have labels: write it as a CSV (pandas: read_parquet, to_csv) for the source lists"
        )
    unopened = describe_unopened(files) if kind == "webdataset" else ""  # may also be tars of class folders
    if unopened and path.is_file():
        return unopened
    start = f"{name} is a file of the source {kind}"
    is_packed = kind in UNPACKED_SOURCES or suffix_of(name) == ".tar"
    if kind == "imagenet21k" and path.suffix.lower() != ".zip":  # whose tars are read in a tar
        is_packed = False
    if not (path.is_file() and is_packed):
        otherwise = f"; if that is no shard, {unopened}" if unopened else ""
        return f"{start}: `itl check {kind} {shlex.quote(str(path))}`{otherwise}"
    command = unpack_command(str(path))
    folder = shlex.quote(unpacked_folder(str(path)))
    return f"{start}, which reads it unpacked: `{command} && itl check {kind} {folder}`"
