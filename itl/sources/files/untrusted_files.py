"""How much memory a file may take when unpacked: files made to fill the memory are refused."""

import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

import numpy as np

from itl.errors import ItlError, cannot_read

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


def inflate(data: bytes) -> bytes:
    """Return raw deflated *data*, unpacked; ItlError above the limit, zlib.error for damage."""
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    unpacked = decompressor.decompress(data, MAX_UNPACKED_BYTES + 1)
    refuse_large(len(unpacked), "the file")
    if not decompressor.eof:
        raise zlib.error("incomplete or truncated stream")
    return unpacked


def npz_arrays(
    file: BinaryIO, name: str, wanted: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Read the arrays *wanted*, and the *optional* ones it has, of an open .npz file that errors call *name*.

    ItlError if it is none, or an array is missing, pickled, above the limit or damaged.
    """
    with explain_damage(name, ".npz file"), zipfile.ZipFile(file) as archive:
        infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if missing := [key for key in wanted if key not in infos]:
            raise ItlError(f"{name} has no {missing[0]}, but {', '.join(infos)[:80] or 'nothing'}")
        arrays = {}
        for key in (key for key in (*wanted, *optional) if key in infos):
            refuse_large(infos[key].file_size, f"{infos[key].filename} in {name}")
            with archive.open(infos[key]) as member:
                arrays[key] = _plain_array(member, f"{key} in {name}")
                if member.read(1):  # a damaged shape; only at its end is the checksum compared
                    raise ValueError(f"{key} has more bytes than its shape says")
        return arrays


def _plain_array(file: IO[bytes], name: str) -> np.ndarray:
    """Read an array of an open .npy file; ItlError, which calls it *name*, if it holds Python objects."""
    try:
        return np.lib.format.read_array(file, allow_pickle=False)
    except ValueError as error:
        if not str(error).startswith("Object arrays"):
            raise
    raise ItlError(
        f"{name} holds Python objects, which may run anything when they are read; where it was made, save it "
        f"as text or numbers, such as numpy.array(NAMES, str)"
    )


def files_of_packed_tar(path: Path, name: str, wanted: Sequence[str]) -> dict[str, bytes]:
    """Return the contents of the files *wanted*, in any folder, of a compressed tar that errors call *name*.

    ItlError if it is none, a file is missing or above the limit, or there is damage anywhere.
    """
    contents = {}
    with explain_damage(name, "compressed tar"), tarfile.open(path, "r:*") as tar:
        for member in tar:
            file = PurePosixPath(member.name).name
            if file in wanted and member.isreg():
                refuse_large(member.size, f"{member.name} in {name}")
                unpacked = tar.extractfile(member)
                assert unpacked
                contents[file] = unpacked.read()
        while tar.fileobj.read(1 << 20):  # to the end, where gzip has its checksum
            pass
    if missing := [file for file in wanted if file not in contents]:
        raise ItlError(f"{name} has no {missing[0]}; download it again")
    return contents
