"""The options with which `itl check` reads boxes that are in no source."""

from collections.abc import Iterable
from pathlib import Path

from itl.errors import ItlError, pick
from itl.sources.boxes import OUTSIDE


def check_options(kind: str, others: Iterable[str], outside: object, **paths: object) -> None:
    """Raise ItlError for *others* (no options of *kind*), another *outside*, or *paths* that are numbers."""
    for name in others:
        pick(dict.fromkeys([*paths, "outside"]), name, f"option of {kind}")
    pick(OUTSIDE, str(outside), "value of the option outside")
    for name, value in paths.items():
        if not isinstance(value, str | Path | None):
            raise ItlError(f"the option {name} is the name of a file or folder, not {value!r}")
