"""Sources by name: the one table to add a source to."""

import inspect
from collections.abc import Callable
from pathlib import Path

from itl import ItlError, pick
from itl.sources.cifar import Cifar10, Cifar100
from itl.sources.class_folders import ClassFolders
from itl.sources.coco import Coco
from itl.sources.downsampled import DownsampledImageNet
from itl.sources.imagenet import ImageNet, TinyImageNet
from itl.sources.imagenet21k import ImageNet21k
from itl.sources.listed_images import Lists
from itl.sources.parquet_images import ParquetImages
from itl.sources.shards import WebDataset
from itl.sources.source import Source
from itl.sources.sun397 import Sun397
from itl.sources.synthetic.classes import DemoClasses
from itl.sources.synthetic.targets import DemoActions, DemoDetection, DemoScenes
from itl.sources.target_sets import TARGET_SETS
from itl.sources.voc_action import VocAction
from itl.sources.voc_detection import Voc2007, Voc2012

SOURCES: dict[str, type[Source]] = {
    source.kind: source
    for source in (
        ImageNet,
        TinyImageNet,
        ClassFolders,
        ImageNet21k,
        DownsampledImageNet,
        WebDataset,
        ParquetImages,
        Lists,
        Cifar10,
        Cifar100,
        Voc2007,
        Voc2012,
        VocAction,
        Sun397,
        Coco,
        DemoClasses,
        DemoScenes,
        DemoDetection,
        DemoActions,
    )
}
SOURCES |= {target.kind: target for target in TARGET_SETS}


def reads_files(kind: str) -> bool:
    """Say whether the source *kind* takes a path; ItlError, with the nearest name, for an unknown source."""
    return "path" in inspect.signature(pick(SOURCES, kind, "source")).parameters


def open_source(kind: str, path: str | Path | None = None, **options: object) -> Source:
    """Make the source *kind* of the files at *path* (None where images are rendered); reads nothing yet.

    >>> open_source("folder", "pictures", val_fraction=0.1).kind
    'folder'

    Raises:
        ItlError: For an unknown kind or option, with the nearest name; for a missing path.
    """
    source: Callable[..., Source] = pick(SOURCES, kind, "source")
    known = dict(inspect.signature(source).parameters)
    needs_path = known.pop("path", None) is not None
    for name in options:
        pick(known, name, f"option of source {kind}")
    if not needs_path:
        return source(**options)
    if path is None:
        raise ItlError(f"source {kind} reads files, but no path was given; it takes {SOURCES[kind].expected}")
    return source(Path(path).expanduser(), **options)
