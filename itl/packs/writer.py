"""Filling images.npy: every image decoded once, in parallel, with a journal, so that a kill loses nothing."""

import hashlib
import io
import json
import os
import sys
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EINVAL, EOPNOTSUPP
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

import numpy as np

from itl import ItlError
from itl.packs.fit import decode
from itl.runs.bar import bar
from itl.sources.records import Record, Source
from itl.specs import Packing

CHUNK_BYTES, CHUNK_IMAGES = 2 << 20, 64         # at most, of pixels decoded together
UNREADABLE = 0.01                               # more than this part of the images stops the build
TELL_SECONDS = 30                               # between lines of progress where there is no terminal

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


@dataclass(frozen=True)
class Order:
    """What is to be packed, from where, and how."""

    packing: Packing
    path: Path | None                           # where the source lies; None where images are rendered
    workers: int
    allow_unreadable: bool = False
    log: Callable[[str], object] = print


@dataclass(frozen=True)
class Job:
    """An order being carried out."""

    order: Order
    source: Source
    records: list[Record]
    folder: Path                                # holds images.npy and the journal
    journal: Journal

    @property
    def size(self) -> int:
        """Side of the images."""
        return self.order.packing.size

    @property
    def row_bytes(self) -> int:
        """Of one image."""
        return 3 * self.size**2

    def offset(self, image: int) -> int:
        """Byte at which image number *image* of images.npy starts."""
        return len(header(image, self.size)) + image * self.row_bytes

    def unreadable(self) -> list[tuple[str, str]]:
        """Ids and reasons of the images found unreadable so far."""
        pairs = zip(self.records, self.journal.rows, strict=False)
        return [(record.id, row[0]) for record, row in pairs if len(row) == 1]


def header(images: int, size: int) -> bytes:
    """The head of a .npy file of that many images; NumPy makes it equally long for any number."""
    file = io.BytesIO()
    shape = (images, size, size, 3)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


def checksum(pixels: np.ndarray | bytes) -> str:
    """16 hex digits that stand for the pixels of one image."""
    return hashlib.sha256(pixels).hexdigest()[:16]


def fill(job: Job) -> None:
    """Write all images of *job* to images.npy, in the records' order, going on where its journal ends.

    Raises ItlError where more than 1 % of the images are unreadable, unless *job* allows it.
    """
    handle = os.open(job.folder / "images.npy", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _forget_unsound(job, handle)
        if len(job.journal.rows) < len(job.records):
            _reserve(job, handle)
            _decode_rest(job, handle)
        _refuse_unreadable(job)
        count = sum(len(row) > 1 for row in job.journal.rows)
        os.truncate(handle, job.offset(count))
        os.pwrite(handle, header(count, job.size), 0)
        os.fsync(handle)
    except BrokenExecutor as error:
        raise ItlError("a packing process was killed (out of memory?); run again, it goes on") from error
    finally:
        os.close(handle)


def _forget_unsound(job: Job, handle: int) -> None:
    """Cut the journal before the first image that is not as it says.

    A kill leaves none; a crash of the machine may, and what was unreadable may have been mended since.
    """
    rows = job.journal.rows
    places = np.cumsum([0] + [len(row) > 1 for row in rows]).tolist()

    def is_sound(number: int) -> bool:
        if len(rows[number]) == 1:
            return _decode_one(job.source, job.order.packing, job.records[number])[1] is None
        return checksum(os.pread(handle, job.row_bytes, job.offset(places[number]))) == rows[number][2]

    def first_unsound(numbers: range) -> int | None:
        return next((number for number in numbers if not is_sound(number)), None)

    starts = range(0, len(rows), CHUNK_IMAGES)
    blocks = (range(start, min(start + CHUNK_IMAGES, len(rows))) for start in starts)
    with ThreadPoolExecutor(job.order.workers) as pool:
        for unsound in _in_order(pool, first_unsound, blocks, 2 * job.order.workers):
            if unsound is not None:
                job.journal.cut(unsound)
                break


def _reserve(job: Job, handle: int) -> None:
    """Take the whole space now: a disk that is too small says so before the work, not after it."""
    before = os.fstat(handle).st_size
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(handle, 0, job.offset(len(job.records)))
    except OSError as error:
        if error.errno not in (EINVAL, EOPNOTSUPP):         # a file system without it: the writes will tell
            os.truncate(handle, before)
            raise


def _decode_rest(job: Job, handle: int) -> None:
    """Decode what the journal lacks: chunks side by side, written in order, journalled after their pixels."""
    done, total = len(job.journal.rows), len(job.records)
    place = sum(len(row) > 1 for row in job.journal.rows)
    length = max(1, min(CHUNK_IMAGES, CHUNK_BYTES // job.row_bytes))
    chunks = (job.records[start:start + length] for start in range(done, total, length))
    os.pwrite(handle, header(total, job.size), 0)
    quiet = job.order.log is not print or not sys.stderr.isatty()
    told = time.monotonic()
    with _pool(job) as pool, bar(total, done, "image", hidden=quiet) as shown:
        work = partial(_decode_chunk, job.source, job.order.packing)
        for rows, pixels in _in_order(pool, work, chunks, 2 * job.order.workers):
            _write(handle, pixels, job.offset(place))
            job.journal.append(rows)
            place += len(pixels)
            shown.update(len(rows))
            if quiet and time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                job.order.log(f"{len(job.journal.rows):,} of {total:,} images packed")
            if any(len(row) == 1 for row in rows):
                _refuse_unreadable(job)


def _write(handle: int, pixels: np.ndarray, offset: int) -> None:
    view = memoryview(pixels.reshape(-1))
    while len(view):                                        # a nearly full disk takes a part, then refuses
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written


def _refuse_unreadable(job: Job) -> None:
    bad = job.unreadable()
    if len(bad) == len(job.records):
        raise ItlError(f"none of {len(bad):,} images can be read, such as {bad[0][0]} ({bad[0][1]}); "
                       f"`itl check` says what the source is taken for")
    if len(bad) > UNREADABLE * len(job.records) and not job.order.allow_unreadable:
        raise ItlError(
            f"{len(bad):,} of {len(job.journal.rows):,} images so far cannot be read, more than 1 % of "
            f"{len(job.records):,}, such as {bad[0][0]} ({bad[0][1]}); mend them, or allow unreadable images"
        )


@contextmanager
def _pool(job: Job) -> Iterator[Executor]:
    """Threads where decoders work outside Python; processes where images are rendered, by Python code."""
    workers = job.order.workers
    if job.order.path is None:
        rendering = partial(ProcessPoolExecutor, mp_context=get_context("spawn"), initializer=_start_renderer)
        with (rendering if workers > 1 else ThreadPoolExecutor)(workers) as pool:
            yield pool
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)                                # of each thread: they are as many as the cores
    try:
        with ThreadPoolExecutor(workers) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


def _start_renderer() -> None:
    """Keep to one core, and end when the process that started this one is killed."""
    os.environ["OMP_NUM_THREADS"] = "1"

    def end_with_parent() -> None:
        parent_process().join()
        os._exit(1)

    Thread(target=end_with_parent, daemon=True).start()


def _in_order(pool: Executor, work: Callable, parts: Iterable, ahead: int) -> Iterator:
    """Yield work(part) for each of *parts*, in order, with at most *ahead* waiting: memory stays bounded."""
    waiting = deque()
    try:
        for part in parts:
            waiting.append(pool.submit(work, part))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _decode_chunk(source: Source, packing: Packing, records: list[Record]) -> tuple[list[Row], np.ndarray]:
    """Return a journal row for each of *records*, and the pixels of those that can be read."""
    pixels = np.empty((len(records), packing.size, packing.size, 3), np.uint8)
    rows, count = [], 0
    for record in records:
        row, decoded = _decode_one(source, packing, record)
        if decoded is not None:
            pixels[count] = decoded
            count += 1
        rows.append(row)
    return rows, pixels[:count]


def _decode_one(source: Source, packing: Packing, record: Record) -> tuple[Row, np.ndarray | None]:
    """Return the journal row of *record*, and its pixels (size, size, 3), or None where it is unreadable."""
    try:
        found = decode(source.read(record), record.id, packing.size, packing.fit)
    except ItlError as error:
        return [str(error)], None
    except OSError as error:
        return [f"the file cannot be read: {error.strerror or error}"], None
    return [found.width, found.height, checksum(found.pixels), list(found.kinds)], found.pixels
