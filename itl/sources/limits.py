"""How much memory a file may take once it is unpacked: one that was made to fill the memory is refused."""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np

from itl import ItlError, cannot_read

MAX_UNPACKED_BYTES = 2 << 30  # of one array, one row group of a table, one member of an archive, one .mat


def refuse_large(size: int, what: str) -> None:
    """Raise ItlError if *what* takes more than `MAX_UNPACKED_BYTES`; *size* is in bytes."""
    if size > MAX_UNPACKED_BYTES:
        raise ItlError(
            f"{what} takes more than {MAX_UNPACKED_BYTES >> 20:,} MiB when it is unpacked, which is the "
            f"limit; write it in smaller parts"
        )


@contextmanager
def explain_damage(name: str, kind: str) -> Iterator[None]:
    """Turn what a library raises about the file *name*, which should be a *kind*, into an ItlError."""
    try:
        yield
    except ItlError:
        raise
    except MemoryError:
        raise ItlError(f"{name} does not fit the memory; it is damaged, or too large") from None
    except Exception as error:  # damaged files make libraries raise all kinds of errors
        if isinstance(error, OSError) and error.strerror:
            raise cannot_read(name, error) from error
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise ItlError(f"{name} is damaged, or not a {kind} ({reason}); copy it again") from error


def inflate(data: bytes, what: str) -> bytes:
    """Return raw deflated *data*, unpacked; ItlError, about *what*, above the limit.

    Raises:
        zlib.error: If *data* is damaged.
    """
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    unpacked = decompressor.decompress(data, MAX_UNPACKED_BYTES + 1)
    refuse_large(len(unpacked), what)
    if not decompressor.eof:
        raise zlib.error("incomplete or truncated stream")
    return unpacked


def npz_arrays(
    file: BinaryIO, name: str, wanted: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Read the arrays *wanted*, and the *optional* ones it has, of an open .npz file that errors call *name*.

    Raises:
        ItlError: In one line: not a .npz, an array is missing, pickled, above the limit or damaged.
    """
    with explain_damage(name, ".npz file"):
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                if info.filename.removesuffix(".npy") in (*wanted, *optional):
                    refuse_large(info.file_size, f"{info.filename} in {name}")
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            if missing := [key for key in wanted if key not in arrays]:
                raise ItlError(f"{name} has no {missing[0]}, but {', '.join(arrays)[:80] or 'nothing'}")
            return {key: arrays[key] for key in (*wanted, *optional) if key in arrays}
