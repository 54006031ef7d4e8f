"""The journal of a pack that is being written: which images are done, so that a kill loses nothing."""

import hashlib
import json
import os
import zlib
from dataclasses import astuple, dataclass
from errno import errorcode
from pathlib import Path

import numpy as np

from itl.errors import ItlError
from itl.packs.fit import decode
from itl.sources.records import Record
from itl.sources.source import Source
from itl.specs import Packing
from itl.storage import FILE_ERRORS, system_error, write_atomic

UNREADABLE_FILE = "the file cannot be read: {}"  # a reason that the system gives
REFUSALS = {  # for which earlier versions left images out
    UNREADABLE_FILE.format(os.strerror(number)) for number in errorcode if number not in FILE_ERRORS
}


@dataclass(frozen=True, slots=True)
class JournalRow:
    """What became of one image: its original size and the checksum of its pixels, or an error."""

    width: int = 0  # of the original image, upright, in pixels
    height: int = 0
    checksum: str = ""  # of the packed pixels
    kinds: tuple[str, ...] = ()  # as `itl.packs.fit.decode` names them
    error: str | None = None  # why the image cannot be read; None where it was packed


def decode_record(source: Source, packing: Packing, record: Record) -> tuple[JournalRow, np.ndarray | None]:
    """Return the journal row of *record*, and its pixels (size, size, 3); None where it is unreadable.

    ItlError where the system does not let it be read, or memory is short, which says nothing of the image.
    """
    try:
        image = decode(source.read(record), record.id, packing.size, packing.fit)
    except (ItlError, OSError) as error:
        if refusal := system_error(error):
            raise ItlError(
                f"{record.id} cannot be read: {refusal.strerror}; this says nothing of the image, so it is "
                f"not left out: correct the cause, or move the image elsewhere (of an archive, read a copy "
                f"on another disk), then repeat, which keeps what is done"
            ) from error
        if isinstance(error, OSError):
            return JournalRow(error=UNREADABLE_FILE.format(error.strerror or error)), None
        return JournalRow(error=str(error)), None
    except MemoryError as error:
        raise ItlError(
            f"{record.id} needs more memory than there is; use fewer --workers, or make the image smaller, "
            f"then repeat, which keeps what is done"
        ) from error
    return JournalRow(image.width, image.height, checksum(image.pixels), image.kinds), image.pixels


class Journal:
    """Rows in the order of the source's records, appended as images are packed.

    The first line is the identity of the pack, as `begin` takes it. Each line starts with a checksum of its
    own, so that a line cut short by a kill is recognised and dropped. Lines go straight to the operating
    system, so that a kill loses no complete line.
    """

    def __init__(self, path: Path) -> None:
        """Read the file *path*; a missing file is an empty journal."""
        self.path = path
        self.identity: dict | None = None
        self.rows: list[JournalRow] = []
        self._length = 0  # bytes of valid lines
        self._handle = -1  # of the open file
        if path.exists():
            self._replay(path.read_bytes())

    def begin(self, identity: dict) -> None:
        """Open the file for appending, and write *identity* first if the journal is new."""
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        os.truncate(self._handle, self._length)  # drop a line that a kill cut short
        if self.identity is None:
            self.identity = identity
            self._write_line(identity)

    def append(self, rows: list[JournalRow]) -> None:
        """Add *rows*; call it only after their pixels are written."""
        self._write_line([astuple(row) for row in rows])
        self.rows += rows

    def keep_first(self, count: int) -> None:
        """Drop all but the first *count* rows."""
        self.rows = self.rows[:count]
        data = _line(self.identity) + _line([astuple(row) for row in self.rows])
        write_atomic(self.path, lambda part: part.write_bytes(data))
        self.close()
        self._handle, self._length = os.open(self.path, os.O_RDWR), len(data)

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _write_line(self, value: object) -> None:
        line = _line(value)
        write_all(self._handle, memoryview(line), self._length)
        self._length += len(line)

    def _replay(self, data: bytes) -> None:
        for line in data.splitlines(keepends=True):
            checksum, _, text = line.partition(b" ")
            if not text.endswith(b"\n") or checksum != _line_checksum(text[:-1]):
                break
            value = json.loads(text)
            if self.identity is None:
                self.identity = value
            else:
                self.rows += [JournalRow(*values) for values in value]
            self._length += len(line)


def write_all(handle: int, data: memoryview, offset: int) -> None:
    """Write all of *data*, bytes, at *offset* of a file."""
    while len(data):  # a nearly full disk accepts a part, then raises an error
        written = os.pwrite(handle, data, offset)
        data, offset = data[written:], offset + written


def checksum(pixels: np.ndarray | bytes) -> str:
    """Return 16 hex digits that identify the pixels of one image."""
    data = pixels if isinstance(pixels, bytes) else np.ascontiguousarray(pixels).data
    return hashlib.sha256(data).hexdigest()[:16]


def _line(value: object) -> bytes:
    text = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
    return _line_checksum(text) + b" " + text + b"\n"


def _line_checksum(text: bytes) -> bytes:
    return f"{zlib.crc32(text):08x}".encode()
