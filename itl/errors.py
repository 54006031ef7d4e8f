"""The error of itl, and names that are looked up among those there are."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TypeVar

T = TypeVar("T")


class ItlError(ValueError):
    """Raised when something asked of itl cannot be done; the message says what can."""

    __module__ = "itl"  # from which it is imported

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows of it: the message has one line, and %debug the way to it."""
        return [f"ItlError: {self}"]


def cannot_read(path: object, error: OSError) -> ItlError:
    """Return the error that the file *path* cannot be read, and where it was looked for."""
    is_relative = not os.path.isabs(str(path)) and isinstance(error, FileNotFoundError)
    where = f" in {os.getcwd()}" if is_relative else ""
    return ItlError(f"cannot read {path}{where}: {error.strerror or error}")


def pick(options: Mapping[str, T], name: str, what: str) -> T:
    """Look *name* up in *options*, or say which names there are, the nearest first.

    >>> pick({"red": 1, "blue": 2}, "bleu", "colour")
    Traceback (most recent call last):
    itl.ItlError: no colour called 'bleu'; did you mean 'blue'? There are blue, red
    """
    if name in options:
        return options[name]
    raise no_such(options, name, what)


def one_of(values: Iterable[str], value: str, what: str) -> str:
    """Return *value*, some *what*; ItlError, with the nearest, if it is none of *values*."""
    return pick({known: known for known in values}, value, what)


def no_such(options: Iterable[str], name: str, what: str) -> ItlError:
    """Return the error that *name*, of some *what*, is none of *options*, with the nearest of these."""
    hint = did_you_mean(str(name), options)
    known = f"{'There' if hint else 'there'} are {', '.join(sorted(options)) or 'none'}"
    return ItlError(f"no {what} called {name!r}; {hint}{known}")


@contextmanager
def errors_about(what: str) -> Iterator[None]:
    """Let the text of an ItlError begin with *what* it is about."""
    try:
        yield
    except ItlError as error:
        raise ItlError(f"{what}: {error}") from error


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return a question that suggests the one of *options* most like *name*; empty if none is like it.

    >>> did_you_mean("bleu", ["red", "blue"])
    "did you mean 'blue'? "
    """
    return "".join(f"did you mean {near!r}? " for near in nearest(name, options))


def nearest(name: str, options: Iterable[str]) -> list[str]:
    """Return the one of *options* most like *name*; none, if none is like it.

    >>> nearest("bleu", ["red", "blue"]), nearest("CAT", ["cart", "cat"]), nearest("green", ["red"])
    (['blue'], ['cat'], [])
    """
    options = list(options)
    same = [option for option in options if option.casefold() == name.casefold()]
    return same[:1] or get_close_matches(name, options, n=1)
