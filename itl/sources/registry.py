"""Sources by name: the one table to add a source to."""

import inspect
import re
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

from itl.errors import ItlError, pick
from itl.machine import expand_home
from itl.sources.annotated.coco import Coco
from itl.sources.annotated.voc_action import VocAction
from itl.sources.annotated.voc_detection import Voc0712, Voc2007, Voc2012
from itl.sources.files.option_files import find_file, folder_of
from itl.sources.folders.class_folders import ClassFolders
from itl.sources.listed.lists import Lists
from itl.sources.listed.parquet_images import ParquetImages
from itl.sources.listed.shards import WebDataset
from itl.sources.published.cifar import Cifar10, Cifar100
from itl.sources.published.downsampled import DownsampledImageNet
from itl.sources.published.imagenet import ImageNet, ImageNet21k, TinyImageNet
from itl.sources.published.sun397 import Sun397
from itl.sources.published.target_sets import TARGET_SETS
from itl.sources.source import Source
from itl.sources.synthetic.classes import DemoClasses, DemoKinds
from itl.sources.synthetic.planted import DemoPlanted, DemoSurfaces
from itl.sources.synthetic.targets import DemoActions, DemoDetection, DemoScenes

_ALL: tuple[type[Source], ...] = (
    *(ImageNet, TinyImageNet, ClassFolders, ImageNet21k, DownsampledImageNet),
    *(WebDataset, ParquetImages, Lists, Cifar10, Cifar100),
    *(Voc2007, Voc2012, Voc0712, VocAction, Sun397, Coco),
    *(DemoClasses, DemoScenes, DemoDetection, DemoActions, DemoKinds, DemoPlanted, DemoSurfaces),
    *TARGET_SETS,
)
SOURCES = {source.kind: source for source in _ALL}

OPTION_TYPES = {  # in words
    **{bool: "true or false", int: "a whole number", float: "a number", str: "a text"},
    Path: "the name of a file",
}


def reads_files(kind: str) -> bool:
    """Say whether the source *kind* takes a path; ItlError, with the nearest name, for an unknown source."""
    return pick(SOURCES, kind, "source").has_option("path")


def open_source(kind: str, path: str | Path | None = None, **options: object) -> Source:
    """Make the source *kind* of the files at *path* (None where images are rendered); reads nothing yet.

    >>> open_source("folder", "pictures", val_fraction=0.1).kind
    'folder'

    A file among the options is looked for as it is named, then in the folder *path*, or beside
    the tar or zip. What the source does not take is an ItlError, with the nearest name.
    """
    source: Callable[..., Source] = pick(SOURCES, kind, "source")
    if "classes" in options and not SOURCES[kind].has_option("classes") and not SOURCES[kind].annotates:
        raise ItlError(
            f"source {kind} has no option classes; pack all of it, and choose classes by the label set "
            f"file@FILE: `itl subset --labels file@FILE`, or labels in a preset"
        )
    near = expand_home(path) if path is not None else Path()
    options = checked_options(source, f"source {kind}", options, near)
    if not SOURCES[kind].has_option("path"):
        if path is not None:
            raise ItlError(
                f"source {kind} renders its images and reads no files, so not {path}; leave it out"
            )
        return source(**options)
    if path is None:
        raise ItlError(f"source {kind} reads files, but no path was given; it takes {SOURCES[kind].expected}")
    return source(expand_home(path), **options)


def checked_options(
    function: Callable, what: str, options: Mapping[str, object], near: Path
) -> dict[str, object]:
    """Return *options* of *function*, called *what*, as `check_option` returns them; ItlError for others."""
    known = {name: one for name, one in inspect.signature(function).parameters.items() if name != "path"}
    for name in options:
        pick(known, name, f"option of {what}")
    hints = get_type_hints(function)
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    return {name: check_option(name, value, hints[name], near) for name, value in plain.items()}


def check_option(name: str, value: object, hint: object, path: Path) -> object:
    """Return the *value* of the option *name*, whose type is *hint*, for a source at *path*.

    ItlError if it is of another type, no choice of a Literal, or the name of a file that does not exist.

    >>> check_option("seed", 3.0, int | None, Path()), check_option("val_fraction", "1e-1", float, Path())
    (3, 0.1)
    >>> check_option("label", 3, str | None, Path())
    '3'
    """
    kinds = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if get_origin(kinds[0]) is Literal:
        choices = {str(choice): choice for choice in get_args(kinds[0])}
        return pick(choices, str(value), f"value of the option {name}")
    if Path in kinds and isinstance(value, str | Path):
        folder = folder_of(path)
        if file := find_file(value, Path(), folder):
            return file
        raise ItlError(
            f"the option {name} names the file {expand_home(value)}, which is neither in {Path.cwd()} nor in "
            f"{folder}"
        )
    is_exponential = isinstance(value, str) and re.fullmatch(r"[-+]?\d+e[-+]?\d+", value)  # to YAML a text
    if float in kinds and (type(value) is int or is_exponential):
        return float(value)  # type: ignore[arg-type]
    if int in kinds and isinstance(value, float) and value.is_integer():  # 4.0 and 4 have one key
        return int(value)
    if str in kinds and type(value) is int:  # the column 0, as pandas writes it
        return str(value)
    is_of_kind = any(isinstance(value, get_origin(kind) or kind) for kind in kinds)
    if not is_of_kind or (isinstance(value, bool) and bool not in kinds):  # in Python True is a number
        way = f"; in quotes any value is a text: --option '{name}=\"TEXT\"'" if str in kinds else ""
        raise ItlError(
            f"the option {name} is {OPTION_TYPES[get_origin(kinds[0]) or kinds[0]]}, not {value!r}{way}"
        )
    return value
