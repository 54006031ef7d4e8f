"""Presets: one YAML file each sets the scale of every notebook; both are found from anywhere."""

import os
import re
import shutil
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from itl.errors import ItlError, one_of, pick
from itl.machine import project_folder
from itl.settings import plain_error
from itl.storage import read_yaml

FIELDS = ("about", "shared", "notebooks")  # of a preset file
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
PACKAGE = Path(__file__).parent


class Preset(BaseModel):
    """A scale to run the study at: the parameters of each notebook."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    about: str
    shared: dict[str, Any] = {}  #: holds YAML anchors, and is not read
    notebooks: dict[str, dict[str, Any]]
    path: Path | None = None  #: given where the preset was named by its file

    @property
    def reference(self) -> str:
        """What the user writes to name this preset: its name, or its file."""
        return str(self.path or self.name)


def shipped_folder(kind: str) -> Path:
    """Return the folder of the presets ("params") or notebooks ("notebooks") that come with itl.

    They lie inside an installed package, and beside the package in a checkout of the source.
    """
    inside = PACKAGE / kind
    return inside if inside.is_dir() else PACKAGE.parent / kind


def find_presets(folder: Path | None = None) -> dict[str, Path]:
    """Map the name of every preset to its file; the project's own go before those that come with itl.

    With *folder*, only those in it.
    """
    return _files("params", "yaml", folder)


def find_notebooks(folder: Path | None = None) -> dict[str, Path]:
    """Map the name of every notebook to its file, as `find_presets` does."""
    return _files("notebooks", "ipynb", folder)


def _files(kind: str, ending: str, folder: Path | None = None) -> dict[str, Path]:
    folders = [shipped_folder(kind), project_folder() / kind] if folder is None else [Path(folder)]
    for folder in folders:
        if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
            raise ItlError(f"the {kind} in {folder} cannot be listed; allow reading that folder")
    paths = chain.from_iterable(sorted(folder.glob(f"*.{ending}")) for folder in folders)
    return {path.stem: path.absolute() for path in paths}


def working_folder(notebook: Path) -> Path:
    """Return the folder that *notebook* runs in: its project; the user's for one that comes with itl."""
    return project_folder() if notebook.parent == shipped_folder("notebooks") else notebook.parents[1]


def copy_shipped(folder: Path) -> list[Path]:
    """Copy the presets and notebooks that come with itl to *folder*, to be edited; returns both folders.

    ItlError if one of them exists there already, or they cannot be written: then nothing is left of them.
    """
    targets = [Path(folder) / kind for kind in ("params", "notebooks")]
    for target in targets:
        if os.path.lexists(target):  # a link that leads nowhere too
            raise ItlError(f"{target} exists already and is not overwritten; name another folder")
    partial = Path(folder) / ".itl-init"  # so that what is there is whole, or nothing
    try:
        shutil.rmtree(partial, ignore_errors=True)  # what a kill has left
        for target in targets:
            copy = partial / target.name
            shutil.copytree(shipped_folder(target.name), copy, ignore=shutil.ignore_patterns(".*", "__*"))
        for target in targets:
            (partial / target.name).rename(target)
    except OSError as error:
        why = error.strerror or error.args[0][0][2]  # shutil's own: source, target and why, of each file
        raise ItlError(f"cannot copy to {folder}: {why}; free space or allow writing, then repeat") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return targets


def load_preset(name: str | Path, folder: Path | None = None) -> Preset:
    """Read preset *name*, or the preset in a file whose path ends in .yaml or .yml.

    Presets are those in *folder*; by default those in the project's ``params``, and those that come with itl.

    Raises:
        ItlError: the preset does not exist, is not YAML, or has a field that presets do not have.
    """
    if not isinstance(name, str | Path):
        raise ItlError(f"a preset is called by its name, such as demo, or the path of its file; got {name!r}")
    name = str(name)
    by_path = name.endswith((".yaml", ".yml"))
    presets = {name: Path(name).absolute()} if by_path else find_presets(folder)
    try:
        path = pick(presets, name, "preset")
    except ItlError as error:
        raise ItlError(f"{error} (in {folder or project_folder() / 'params'}, or coming with itl)") from None
    try:
        fields = read_yaml(path.read_text("utf-8"), f"preset {path}")
    except OSError as error:
        hint = f"give its path, or the name of one in {project_folder() / 'params'}"
        if isinstance(error, PermissionError):
            hint = "allow reading it"
        elif path.stem in find_presets(folder):
            hint = f"the preset in {find_presets(folder)[path.stem]} is called by its name, {path.stem}"
        raise ItlError(f"cannot read preset {path}: {error.strerror}; {hint}") from error
    except UnicodeDecodeError as error:
        raise ItlError(f"preset {path} is not text in UTF-8: {error}; save it so") from error
    if not isinstance(fields, dict):
        words = "a list" if isinstance(fields, list) else "empty" if fields is None else "one value"
        raise ItlError(f"preset {path} should hold about: and notebooks:; it is {words}")
    for field in fields:
        one_of(FIELDS, field, f"field of preset {path}")
    try:
        return Preset(name=path.stem, path=path if by_path else None, **fields)
    except ValidationError as error:
        raise plain_error(error, Preset, f"preset {path}") from None


def write_preset(name: str, fields: Mapping[str, Any], folder: Path) -> Path:
    """Write preset *name* with *fields* (about, notebooks, shared) to *folder*; returns its path.

    ItlError if the name has other characters than small letters, digits, - and _, a preset of that name with
    other fields exists there or comes with itl, or it cannot be written.
    """
    if not NAME.fullmatch(name):
        raise ItlError(
            f"a preset's name has small letters, digits, - and _ only, as in no-dogs; got {name!r}"
        )
    path = Path(folder) / f"{name}.yaml"
    if name in find_presets(shipped_folder("params")) and not path.exists():
        raise ItlError(f"{name} is a preset that comes with itl; choose another name")
    Preset(name=name, **fields)
    text = yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=True, width=110)
    try:
        path.parent.mkdir(exist_ok=True)
        with open(path, "x", encoding="utf-8") as file:  # never over a preset that somebody wrote
            _write_whole(file, text)
    except FileExistsError:
        if path.read_text("utf-8") == text:  # written a moment ago, by the first of two clicks
            return path
        raise ItlError(f"{path} exists already; choose another name, or delete it first") from None
    except OSError as error:
        raise ItlError(f"cannot write {path}: {error.strerror}; free space or allow writing there") from error
    return path


def _write_whole(file: TextIO, text: str) -> None:
    """Write *text* to a new *file*, or remove that, as where the disk is full."""
    try:
        file.write(text)
        file.flush()
    except OSError:
        os.unlink(file.name)
        raise
