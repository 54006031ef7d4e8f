"""Files that options name, and the folders in which they are looked for."""

import os
from pathlib import Path

from itl.machine import expand_home


def folder_of(source: Path) -> Path:
    """Return the folder of the *source* at a path: itself, or the one that its tar or zip lies in."""
    return source if source.is_dir() else source.parent


def folder_around(source: Path) -> Path:
    """Return the folder in which *source* lies, also of a path such as . or .., which does not name it.

    >>> folder_around(Path("data/cat")), folder_around(Path(".")) == Path.cwd().parent
    (PosixPath('data'), True)
    """
    return source.resolve().parent if source.name in ("", "..") else source.parent


def paths_named(name: str | Path, *folders: Path) -> list[Path]:
    """Return the path of *name*, which an option has, in each of *folders*; `Path()` is the current one.

    The caller gives the order. Most look in the current folder, and then in that of the source. Two options
    mean a file of the data set first: a list of the source lists, and names of imagenet-downsampled.
    """
    return [folder / expand_home(name) for folder in folders]


def find_file(name: str | Path, *folders: Path) -> Path | None:
    """Return the first of `paths_named` that is a file; None if there is none."""
    # Path.is_file would raise for a name that is too long.
    return next((path for path in paths_named(name, *folders) if os.path.isfile(path)), None)
