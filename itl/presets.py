"""Presets: one YAML file says at what scale every notebook runs."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from itl import ItlError, pick


class Preset(BaseModel):
    """A scale to run the study at: the parameters of each notebook."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    about: str
    shared: dict[str, object] = {}          # only a place for YAML anchors
    notebooks: dict[str, dict[str, object]]


def load_preset(name: str, folder: Path) -> Preset:
    """Read preset *name* from *folder*, or from a path ending in .yaml.

    Raises ItlError for a preset that is not there, is not YAML, or has a field that presets do not have.
    """
    found = {path.stem: path for path in sorted(Path(folder).glob("*.yaml"))}
    path = Path(name) if name.endswith(".yaml") else pick(found, name, "preset")
    try:
        told = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ItlError(f"cannot read preset {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ItlError(f"preset {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(told, dict):
        raise ItlError(f"preset {path} should hold about: and notebooks:; found {type(told).__name__}")
    try:
        return Preset(name=path.stem, **told)
    except ValidationError as error:
        raise ItlError(f"preset {path}: {'; '.join(map(_explain, error.errors()))}") from None


def write_preset(name: str, told: Mapping[str, object], folder: Path) -> Path:
    """Write *told*, the fields of a Preset but its name, where `load_preset` finds it; returns the path.

    Raises ItlError for a name that is no file's, and for one that is taken.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name):
        raise ItlError(f"a preset's name is of small letters, digits, - and _, such as no-dogs; got {name!r}")
    path = Path(folder) / f"{name}.yaml"
    Preset(name=name, **told)
    text = yaml.safe_dump(dict(told), sort_keys=False, allow_unicode=True, width=110)
    try:
        with open(path, "x", encoding="utf-8") as file:        # never over a preset that somebody wrote
            file.write(text)
    except FileExistsError:
        raise ItlError(f"{path} is there already; choose another name, or delete it first") from None
    except OSError as error:
        raise ItlError(f"cannot write {path}: {error.strerror}; allow writing there") from error
    return path


def _explain(error: dict) -> str:
    """Say in one phrase what pydantic found, with the near miss for a name it does not know."""
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        near = get_close_matches(place, Preset.model_fields, n=1)
        return f"no field called {place!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    return f"{place}: {error['msg'].lower()}"
