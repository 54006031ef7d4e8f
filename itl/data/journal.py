"""The journal of a pack being built: which images are done, so that a killed build goes on from there."""

import json
import os
import zlib
from pathlib import Path

Row = list          # [width, height, checksum, kinds], or [reason] where unreadable


class Journal:
    """Rows in the order of the source's records, appended as they are done.

    The first line is the request that the rows answer. Each line carries its own checksum, so that one cut
    short by a kill is known and dropped; appending goes straight to the kernel, so that a kill loses no line.
    """

    def __init__(self, path: Path) -> None:
        """Read what *path* holds; a missing file is an empty journal."""
        self.path = path
        self.request: dict | None = None
        self.rows: list[Row] = []
        self._length = 0                        # bytes of sound lines
        self._handle: int | None = None
        if path.exists():
            self._replay(path.read_bytes())

    def begin(self, request: dict) -> None:
        """Write down *request*, if none is yet, and open the file to append."""
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        os.truncate(self._handle, self._length)             # what a kill cut short
        if self.request is None:
            self.request = request
            self._write(request)

    def append(self, rows: list[Row]) -> None:
        """Add *rows*; call it only when their pixels are written."""
        self._write(rows)
        self.rows += rows

    def cut(self, count: int) -> None:
        """Keep the first *count* rows only."""
        self.rows = self.rows[:count]
        text = _line(self.request) + _line(self.rows)
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.write_bytes(text)
        os.replace(fresh, self.path)
        self.close()
        self._handle, self._length = os.open(self.path, os.O_RDWR), len(text)

    def close(self) -> None:
        """Close the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _write(self, value: object) -> None:
        line = _line(value)
        written = os.pwrite(self._handle, line, self._length)
        if written != len(line):                            # a full disk takes a part and refuses the rest
            os.pwrite(self._handle, line[written:], self._length + written)
        self._length += len(line)

    def _replay(self, data: bytes) -> None:
        for line in data.splitlines(keepends=True):
            checksum, _, text = line.partition(b" ")
            if not text.endswith(b"\n") or checksum != _checksum(text[:-1]):
                break
            value = json.loads(text)
            if self.request is None:
                self.request = value
            else:
                self.rows += value
            self._length += len(line)


def _line(value: object) -> bytes:
    text = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
    return _checksum(text) + b" " + text + b"\n"


def _checksum(text: bytes) -> bytes:
    return f"{zlib.crc32(text):08x}".encode()
