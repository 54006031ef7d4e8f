"""Files by whose names a data set of another source is recognised, so that nobody reads half of it."""

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from itl.sources.records import is_image

SIGNS = {  # the end of a file's name -> the source that reads the data set
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
    r"metadata\.(csv|jsonl)": "lists",
}
SIGNS_WITHOUT_IMAGES = {  # the same, where no image lies on its own
    r"train_data_batch_1(\.npz)?": "imagenet-downsampled",
    r"cifar-100-(python|binary)/test(\.bin)?": "cifar100",
    r"test_batch(\.bin)?": "cifar10",
    r"n\d{8}\.tar": "imagenet21k",
    r"\.tar": "webdataset",
    r"\.parquet": "parquet",
}


def other_source(names: Iterable[str], path: Path) -> str:
    """Say which source reads the files *names* at *path*, if their names tell it; else empty.

    >>> other_source(["data/train-00000-of-00001.parquet"], Path("my set"))
    "data/train-00000-of-00001.parquet is a file of the source parquet: `itl check parquet 'my set'`"
    """
    names = list(names)
    signs = SIGNS if any(map(is_image, names)) else SIGNS | SIGNS_WITHOUT_IMAGES
    others = [name for name in names if not is_image(name)]
    for pattern, kind in signs.items():
        start = "" if pattern.startswith(r"\.") else "(^|/)"
        end = re.compile(f"{start}{pattern}$")
        for name in others:
            if end.search(name):
                return f"{name} is a file of the source {kind}: `itl check {kind} {shlex.quote(str(path))}`"
    return ""
