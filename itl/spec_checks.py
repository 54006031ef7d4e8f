"""What fields of specs may hold: values of their type, and numbers within limits."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import cache
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from itl.errors import ItlError, one_of

# What numbers may be: in words, and whether one is that.
Limit = tuple[str, Callable[[float], bool]]
AT_LEAST_0: Limit = ("at least 0", lambda number: number >= 0)
AT_LEAST_1: Limit = ("at least 1", lambda number: number >= 1)
SEED: Limit = ("from 0 to 4,294,967,295", lambda number: 0 <= number < 2**32)  # as random generators take
SIDE: Limit = ("from 1 to 8,192", lambda number: 1 <= number <= 8192)  # pixels
BATCH: Limit = ("from 1 to 65,536", lambda number: 1 <= number <= 65_536)
ABOVE_0: Limit = ("above 0", lambda number: number > 0)
BELOW_1: Limit = ("at least 0 and below 1", lambda number: 0 <= number < 1)
FRACTION: Limit = ("between 0 and 1", lambda number: 0 < number < 1)
COLOUR: Limit = ("from 0 to 1, as pixels are here (of 255, divide by that)", lambda number: 0 <= number <= 1)
SPREAD: Limit = ("above 0 and at most 1, of pixels from 0 to 1", lambda number: 0 < number <= 1)
BELOW_HALF: Limit = ("at least 0 and below 0.5", lambda number: 0 <= number < 0.5)

TYPE_WORDS = {
    "bool": "true or false",
    "str": "text",
    "tuple": "a list",
    "int": "a whole number",
    "float": "a number",
}


def check_types(spec: Any, what: str = "") -> None:
    """Raise ItlError for a field of *spec*, which is *what*, that holds nothing of its type.

    That is none of the values that its Literal lists, no text, no list, not true or false, or another spec;
    numbers are those of `check_limits`. Lists become tuples, 0 and 1 false and true.
    """
    for name, (kinds, choices) in _types_of(spec.__class__).items():
        value = getattr(spec, name)
        if choices:
            one_of(choices, value, name)
        elif isinstance(value, kinds):
            continue
        elif kinds[0] in (tuple, bool) and _is_of(kinds[0], value):
            object.__setattr__(spec, name, kinds[0](value))
        elif not any(_is_of(kind, value) for kind in kinds):
            words = TYPE_WORDS.get(kinds[0].__name__, f"a {kinds[0].__name__}")
            raise ItlError(f"{name}{what} should be {words}, not {value!r}")


def _is_of(kind: type, value: object) -> bool:
    """Say whether *value* counts as of a *kind*: numbers do, and what is iterated over for a list."""
    if kind is bool:
        return value in (True, False)  # NumPy's too, and 0 and 1
    if kind is tuple:
        return isinstance(value, Iterable) and not isinstance(value, str | Mapping)
    if kind in (int, float):
        return value is not None
    return isinstance(value, kind)


@cache
def _types_of(kind: Any) -> dict[str, tuple[tuple[type, ...], tuple[str, ...]]]:
    """Return the types that each field of a spec may have, and the choices of a Literal."""
    listed = {}
    for entry in fields(kind):
        choices = get_args(entry.type) if get_origin(entry.type) is Literal else ()
        parts = get_args(entry.type) if isinstance(entry.type, UnionType) else (entry.type,)
        listed[entry.name] = tuple(get_origin(part) or part for part in parts), choices
    return listed


def check_limits(spec: Any) -> None:
    """Raise ItlError for a field of *spec* that is no number of its type, or breaks one of its limits."""
    types = _types_of(spec.__class__)
    for name, (words, holds) in spec.limits.items():
        value, (kinds, _) = getattr(spec, name), types[name]
        if value is None:
            continue
        whole = int in kinds
        numbers = (int, Integral) if whole else (int, float, Real)  # Python's own are quick to ask
        for number in value if tuple in kinds else (value,):
            if isinstance(number, bool) or not isinstance(number, numbers):
                raise ItlError(f"{name} should be a {'whole ' if whole else ''}number, not {number!r}")
            try:
                finite = math.isfinite(number)
            except OverflowError:  # of a whole number of more than 308 digits
                finite = False
            if not (finite and holds(number)):
                kind = "" if finite else "a finite number "
                raise ItlError(f"{name} should be {kind}{words}, not {str(number)[:40]}")
        # NumPy's cannot hold the sums that seeds enter, nor what a rate is multiplied by.
        if type(value) not in (int, float, tuple) and isinstance(value, Integral):
            object.__setattr__(spec, name, int(value))
