"""itl: what in the pre-training images makes features transfer? Specs, runs and reports."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

__version__ = "0.1.0"

T = TypeVar("T")


class ItlError(ValueError):
    """Raised when something asked of itl cannot be done; the message says what can."""


def pick(options: Mapping[str, T], name: str, what: str) -> T:
    """Look *name* up in *options*, or say which names there are, the nearest first.

    >>> pick({"red": 1, "blue": 2}, "bleu", "colour")
    Traceback (most recent call last):
    itl.ItlError: no colour called 'bleu'; did you mean 'blue'? There are blue, red
    """
    if name in options:
        return options[name]
    hint = did_you_mean(str(name), options)
    there = "There" if hint else "there"
    raise ItlError(f"no {what} called {name!r}; {hint}{there} are {', '.join(sorted(options)) or 'none'}")


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return a question that suggests the one of *options* most like *name*; empty if none is like it.

    >>> did_you_mean("bleu", ["red", "blue"])
    "did you mean 'blue'? "
    """
    near = get_close_matches(name, options, n=1)
    return f"did you mean {near[0]!r}? " if near else ""
