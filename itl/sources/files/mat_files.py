"""MATLAB's .mat files, read by SciPy after a check of their structure, since a damaged one can crash it.

The structure is that of "MAT-File Format, Version 7" by The MathWorks: a header of 128 bytes, then elements,
each a tag (type and size) and its data; a matrix is an element that holds elements.
"""

import io
import math
import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from itl.errors import ItlError
from itl.sources.files.untrusted_files import MAX_UNPACKED_BYTES, explain_damage, refuse_large

MAT_HEADER_BYTES = 128
MATRIX, COMPRESSED = 14, 15  # types of elements; others are numbers, and these their bytes:
NUMBER_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
CELL, STRUCT, CHAR = 1, 2, 4  # classes of matrices
NUMERIC = range(6, 16)
IS_COMPLEX = 0x0800
MAX_DEPTH = 20  # of cells in cells


def load_mat(data: bytes, name: str, variables: Sequence[str] | None = None) -> Mapping[str, np.ndarray]:
    """Read the *variables* (None: all) of a .mat file (MATLAB, up to v7), which an ItlError calls *name*."""
    import scipy.io  # slow to import, and only these files need it

    if data[:10] == b"MATLAB 7.3":
        raise ItlError(f"{name} was saved as MATLAB v7.3, which cannot be read here; save it again with -v7")
    with explain_damage(name, ".mat file"):
        return scipy.io.loadmat(io.BytesIO(_unpack(data, name)), variable_names=variables)


def _unpack(data: bytes, name: str) -> bytes:
    """Return the file with its compressed elements unpacked, after a check of every element."""
    if len(data) < MAT_HEADER_BYTES or data[126:128] not in (b"IM", b"MI"):
        raise ValueError("no header of MATLAB v5 to v7")
    order = "<" if data[126:128] == b"IM" else ">"
    parts, total, position = [data[:MAT_HEADER_BYTES]], 0, MAT_HEADER_BYTES
    while position < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, position)
        end = position + 8 + size
        if end > len(data):
            raise ValueError("cut short")
        part = data[position:end]
        if kind == COMPRESSED:
            decompressor = zlib.decompressobj()
            part = decompressor.decompress(part[8:], MAX_UNPACKED_BYTES - total + 1)
            refuse_large(total + len(part), name)
            if not decompressor.eof:
                raise ValueError("a compressed part is cut short")
        total += len(part)
        _Elements(part, order).check_matrix(0, len(part), 0)
        parts.append(part)
        position = end
    return b"".join(parts)


class _Elements:
    """Checks that the elements of a matrix fit one another."""

    def __init__(self, data: bytes, order: str) -> None:
        self.data, self.order = data, order

    def tag(self, position: int, end: int) -> tuple[int, int, int, int]:
        """Return type, first byte and size of the data of an element, and where the next one starts.

        ValueError if it is cut short, of an unknown type, or reaches beyond *end*.
        """
        if position + 8 > end:
            raise ValueError("cut short")
        kind, size = struct.unpack_from(f"{self.order}II", self.data, position)
        if kind >> 16:  # a small element: the size is in the upper half of the type
            kind, size, start, following = kind & 0xFFFF, kind >> 16, position + 4, position + 8
            if size > 4:
                raise ValueError("a small element is too large")
        else:
            start = position + 8
            following = start + size if kind == MATRIX else start + (size + 7) // 8 * 8
        if start + size > end or (kind != MATRIX and kind not in NUMBER_BYTES):
            raise ValueError("an element is not inside its matrix")
        return kind, start, size, following

    def numbers(self, position: int, end: int, count: int | None = None) -> tuple[int, int, int]:
        """Return first byte and size of an element of *count* numbers, and where the next one starts.

        ValueError if it is no whole element, or has another count.
        """
        kind, start, size, following = self.tag(position, end)
        if kind == MATRIX or size % NUMBER_BYTES[kind] or count not in (None, size // NUMBER_BYTES[kind]):
            raise ValueError("an array has another size than its data")
        return start, size, following

    def check_matrix(self, position: int, end: int, depth: int) -> int:
        """Check the matrix at *position*; return where the next element starts.

        ValueError if it is damaged, nested too deep, or an object, a sparse matrix or a function.
        """
        kind, start, size, following = self.tag(position, end)
        if kind != MATRIX or depth > MAX_DEPTH:
            raise ValueError("no matrix where one should be")
        end = start + size
        if not size:
            return following  # an empty one, as in a cell without content
        flags_at, flags_size, position = self.numbers(start, end, 2)
        if flags_size != 8:
            raise ValueError("flags of another size")
        flags = struct.unpack_from(f"{self.order}I", self.data, flags_at)[0]
        sides_at, sides_size, position = self.numbers(position, end)
        sides = struct.unpack_from(f"{self.order}{sides_size // 4}i", self.data, sides_at)
        if sides_size % 4 or len(sides) < 2 or min(sides) < 0:
            raise ValueError("an array without size")
        _, _, position = self.numbers(position, end)  # its name
        count, kind = math.prod(sides), flags & 0xFF
        if kind == CELL:
            self._check_all(position, end, count, depth)
        elif kind == STRUCT:
            fields, position = self._count_fields(position, end)
            self._check_all(position, end, count * fields, depth)
        elif kind == CHAR:
            self.numbers(position, end)
        elif kind in NUMERIC:
            for _ in range(2 if flags & IS_COMPLEX else 1):
                _, _, position = self.numbers(position, end, count)
        else:
            raise ValueError("an object, a sparse matrix or a function")
        return following

    def _count_fields(self, position: int, end: int) -> tuple[int, int]:
        """Return how many fields the names at *position* are, and where the first field starts."""
        length_at, length_size, position = self.numbers(position, end, 1)
        length = struct.unpack_from(f"{self.order}i", self.data, length_at)[0] if length_size == 4 else 0
        _, names_size, position = self.numbers(position, end)
        if length < 1 or names_size % length:
            raise ValueError("fields without names")
        return names_size // length, position

    def _check_all(self, position: int, end: int, count: int, depth: int) -> None:
        if count > (end - position) // 8:
            raise ValueError("more cells than there is room for")
        for _ in range(count):
            position = self.check_matrix(position, end, depth + 1)
