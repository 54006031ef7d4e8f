"""Pickles of arrays, lists and dicts, read without running anything that they name.

A pickle names functions, and `pickle.load` calls them. Here the few names that NumPy's arrays need stand for
two passive classes, and every other name is refused.
"""

import io
import math
import pickle
import sys
from typing import Any

import numpy as np

from itl.errors import ItlError
from itl.sources.files.untrusted_files import explain_damage, refuse_large

DTYPES = {"u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "b1"}


class _Dtype:
    """Stands for numpy.dtype: keeps its arguments."""

    def __init__(self, name: str = "", *_: object) -> None:
        self.name, self.order = name, "<"

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "<"


class _Array:
    """Stands for numpy.ndarray: keeps its shape, type and bytes."""

    def __init__(self, *_: object) -> None:
        self.state: tuple = ()

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    def to_numpy(self) -> np.ndarray:
        """Return the array; ItlError if its parts do not fit one another."""
        _, shape, dtype, is_fortran, data = self.state
        if not isinstance(dtype, _Dtype) or dtype.name not in DTYPES:
            raise ItlError(f"an array of {getattr(dtype, 'name', dtype)!r}, not of numbers")
        data = data.encode("latin1") if isinstance(data, str) else data
        numbers = np.frombuffer(data, np.dtype(dtype.order + dtype.name))
        if math.prod(shape) != len(numbers):
            raise ItlError(f"an array of {len(numbers):,} numbers whose shape is {shape}")
        return numbers.reshape(shape, order="F" if is_fortran else "C")


def _scalar(dtype: _Dtype, data: bytes) -> Any:
    return _from_buffer(data, dtype, (1,), "C").to_numpy()[0].item()


def _from_buffer(data: bytes, dtype: _Dtype, shape: tuple, order: str) -> _Array:
    array = _Array()
    array.state = (1, shape, dtype, order == "F", data)
    return array


def _encode(text: str, encoding: str) -> bytes:
    """Stand for _codecs.encode, by which Python 3 writes bytes in the older protocols."""
    if encoding != "latin1":
        raise ItlError(f"text in {encoding!r}")
    return text.encode("latin1")


_NAMES = {  # the outermost and the innermost part of a module, and a name in it
    ("numpy", "multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy", "multiarray", "scalar"): _scalar,
    ("numpy", "numeric", "_frombuffer"): _from_buffer,
    ("numpy", "numpy", "ndarray"): _Array,
    ("numpy", "numpy", "dtype"): _Dtype,
    ("_codecs", "_codecs", "encode"): _encode,
}


class _PlainUnpickler(pickle.Unpickler):
    """Knows no functions but the passive ones above."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for *module*.*name*; ItlError for all that arrays do not need."""
        parts = module.split(".")
        if (parts[0], parts[-1], name) not in _NAMES:
            raise ItlError(f"it names {module}.{name}, which would be run")
        return _NAMES[parts[0], parts[-1], name]


def load_plain(data: bytes, name: str) -> Any:
    """Return the content of the pickle *name*, of Python 2 or 3, whose bytes are *data*.

    It is of dicts, lists, numbers, text, bytes and NumPy arrays; anything else is an ItlError. Text of
    Python 2 is read as Latin-1.
    """
    refuse_large(len(data), name)
    limit = sys.getrecursionlimit()
    with explain_damage(name, "pickle"):
        try:
            return _plain(_PlainUnpickler(io.BytesIO(data), encoding="latin1").load(), limit // 4)
        except ItlError as error:
            raise ItlError(f"{name} is a pickle that itl does not read: {error}; copy it again") from None


def _plain(value: Any, depth: int) -> Any:
    """Replace what stands for arrays by arrays, in dicts and lists too."""
    if depth == 0:
        raise ItlError("lists in lists, too deep to be data")
    if isinstance(value, _Array):
        return value.to_numpy()
    if isinstance(value, dict):
        return {key: _plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple) and any(
        isinstance(item, _Array | dict | list | tuple) for item in value
    ):
        return [_plain(item, depth - 1) for item in value]
    return value
