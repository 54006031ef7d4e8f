"""What people type into the fields of a StudyPanel: conditions, seeds, and options of their own folders."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from itl.errors import ItlError
from itl.storage import read_yaml

FOLDERS = ("images", "target")  # of one's own, that options may be of


def read_conditions(text: str) -> dict[str, Any]:
    """Return the parameters that *text* has as YAML; ItlError if it is no mapping of names."""
    values = read_yaml(text, "the text of conditions") or {}
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise ItlError(f"conditions are NAME: VALUES, as in images_per_class: [0, 25, all]; got {values!r}")
    return dict(values)


def read_seeds(text: str) -> list[int]:
    """Return the whole numbers in *text*; ItlError for anything else.

    >>> read_seeds(" 0, 1,2")
    [0, 1, 2]
    """
    words = re.split(r"[\s,]+", text.strip())
    if not all(re.fullmatch(r"\d+", word) for word in words):
        raise ItlError(f"seeds are whole numbers with commas, such as 0, 1, 2; got {text!r}")
    return [int(word) for word in words]


def read_options(text: str) -> dict[str, dict[str, Any]]:
    """Return the options of each of FOLDERS that *text* has as YAML; ItlError if it has them of nothing else.

    >>> read_options("target: {empty: skip}")
    {'images': {}, 'target': {'empty': 'skip'}}
    """
    values = read_yaml(text, "the text of options") or {}
    if not isinstance(values, Mapping) or not all(
        isinstance(options, Mapping) for options in values.values()
    ):
        raise ItlError(f"options are of the folders, as in target: {{empty: skip}}; got {values!r}")
    if others := values.keys() - set(FOLDERS):
        raise ItlError(f"options are those of {' or '.join(FOLDERS)}, not of {min(map(str, others))}")
    return {folder: dict(values.get(folder, {})) for folder in FOLDERS}


def options_of_target(text: str) -> str:
    """Return the options of the target's folder alone that *text* has, as people type them; '' for none.

    >>> options_of_target("{images: {empty: skip}, target: {val_fraction: 0.1}}"), options_of_target("")
    ('target: {val_fraction: 0.1}', '')
    """
    options = read_options(text)["target"]
    return yaml.safe_dump({"target": options}, default_flow_style=None).strip() if options else ""
