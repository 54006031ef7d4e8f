"""Writing images.npy: every image decoded once, in parallel, with a journal of what is done."""

import io
import logging
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EINVAL, EOPNOTSUPP
from functools import partial
from itertools import accumulate
from pathlib import Path

import numpy as np

from itl.errors import ItlError
from itl.iteration import map_in_order
from itl.packs.fit import import_decoders
from itl.packs.journal import Journal, JournalRow, checksum, decode_record, write_all
from itl.packs.source_state import UNREADABLE, EarlierPack
from itl.processes import process_pool
from itl.sources.records import Record
from itl.sources.source import Source
from itl.specs import Packing
from itl.words import counted

log = logging.getLogger(__name__)

CHUNK_BYTES, CHUNK_IMAGES = 2 << 20, 64  # at most, of pixels decoded by one task of the pool
PROGRESS_INTERVAL_S = 30  # between lines of progress where there is no terminal


@dataclass(frozen=True)
class ImageWriter:
    """Writes the images of a source, each once, in the order of its records."""

    source: Source
    records: list[Record]
    packing: Packing
    path: Path  # images.npy
    journal: Journal  # opened with `begin`
    workers: int
    earlier: EarlierPack | None = None  # which has some of the images

    def write(self) -> None:
        """Write all images that the journal does not have yet; ItlError if too many are unreadable."""
        if not self.source.rendered:
            import_decoders()
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._drop_damaged_rows(handle)
            if len(self.journal.rows) < len(self.records):
                self._reserve_space(handle)
                self._decode_remaining(handle)
            self._check_unreadable()
            count = self._packed_so_far()
            os.truncate(handle, self._offset(count))
            os.pwrite(handle, npy_header(count, self.packing.size), 0)
            os.fsync(handle)
        except BrokenExecutor as error:
            raise ItlError(
                "a packing process ended: it was killed (out of memory?), or says above what went wrong; run "
                "again to continue"
            ) from error
        finally:
            os.close(handle)

    def unreadable(self) -> list[tuple[str, str]]:
        """Return id and error of each image that could not be read so far."""
        pairs = zip(self.records, self.journal.rows, strict=False)
        return [(record.id, row.error) for record, row in pairs if row.error is not None]

    def _packed_so_far(self) -> int:
        return sum(row.error is None for row in self.journal.rows)

    @property
    def _image_bytes(self) -> int:
        return 3 * self.packing.size**2

    def _offset(self, image: int) -> int:
        """Byte at which image number *image* starts in images.npy."""
        return len(npy_header(image, self.packing.size)) + image * self._image_bytes

    def _drop_damaged_rows(self, handle: int) -> None:
        """Drop journal rows from the first one that does not agree with the pixels.

        A kill leaves none, but a crash of the machine may. Unreadable images are tried again: they may have
        been repaired.
        """
        rows = self.journal.rows
        packed_before = list(accumulate((row.error is None for row in rows), initial=0))

        def agrees(number: int) -> bool:
            if rows[number].error is not None:
                return decode_record(self.source, self.packing, self.records[number])[1] is None
            pixels = os.pread(handle, self._image_bytes, self._offset(packed_before[number]))
            return checksum(pixels) == rows[number].checksum

        def first_damaged(numbers: range) -> int | None:
            return next((number for number in numbers if not agrees(number)), None)

        starts = range(0, len(rows), CHUNK_IMAGES)
        blocks = (range(start, min(start + CHUNK_IMAGES, len(rows))) for start in starts)
        with ThreadPoolExecutor(self.workers) as pool:
            for damaged in map_in_order(pool, first_damaged, blocks, 2 * self.workers):
                if damaged is not None:
                    self.journal.keep_first(damaged)
                    break

    def _reserve_space(self, handle: int) -> None:
        """Allocate the whole file now, so that a disk that is too small fails before the work, not after."""
        size_before = os.fstat(handle).st_size
        if not hasattr(os, "posix_fallocate"):
            return
        try:
            os.posix_fallocate(handle, 0, self._offset(len(self.records)))
        except OSError as error:
            if error.errno not in (EINVAL, EOPNOTSUPP):  # these: the file system cannot reserve space
                os.truncate(handle, size_before)
                raise

    def _decode_remaining(self, handle: int) -> None:
        """Decode what the journal lacks: in parallel, written in order, journalled after the pixels."""
        from tqdm import tqdm

        done, total = len(self.journal.rows), len(self.records)
        image = self._packed_so_far()
        length = max(1, min(CHUNK_IMAGES, CHUNK_BYTES // self._image_bytes))
        starts = range(done, total, length)
        chunks = (self.records[start : start + length] for start in starts)
        os.pwrite(handle, npy_header(total, self.packing.size), 0)
        show_bar = sys.stderr.isatty()
        last_message = time.monotonic()
        work = partial(decode_chunk, self.source, self.packing, self.earlier)
        progress = tqdm(total=total, initial=done, unit="image", disable=not show_bar)
        with self._pool(len(starts)) as pool, progress:
            for rows, pixels in map_in_order(pool, work, chunks, 2 * self.workers):
                write_all(handle, pixels.reshape(-1).data, self._offset(image))
                self.journal.append(rows)
                image += len(pixels)
                progress.update(len(rows))
                if not show_bar and time.monotonic() - last_message > PROGRESS_INTERVAL_S:
                    last_message = time.monotonic()
                    log.info(f"{len(self.journal.rows):,} of {total:,} images packed")

    def _check_unreadable(self) -> None:
        unreadable, total = self.unreadable(), len(self.records)
        if not unreadable:
            return
        image, error = unreadable[0]
        example = f"such as {image} ({error}); {self.path.with_name(UNREADABLE)} lists all"
        if len(unreadable) == total:
            raise ItlError(
                f"none of {counted(total, 'images')} can be read, {example}; `itl check` shows how the "
                f"source was understood"
            )
        allowed = self.packing.unreadable
        if len(unreadable) > allowed * total:
            raise ItlError(
                f"{len(unreadable):,} of {counted(total, 'images')} cannot be read, more than "
                f"{100 * allowed:g} %, {example}; repair them, after which all are packed anew, or allow "
                f"more: `itl pack` takes --allow-unreadable, and a preset unreadable: 0.05 beside source:"
            )

    @contextmanager
    def _pool(self, chunks: int) -> Iterator[Executor]:
        """Yield threads, or processes where several *chunks* of images are rendered by Python code."""
        if self.source.rendered:
            workers = min(self.workers, chunks)
            with process_pool(workers, threads=1) if workers > 1 else ThreadPoolExecutor(1) as pool:
                yield pool
            return
        import torch

        threads_before = torch.get_num_threads()
        torch.set_num_threads(1)  # for each thread of the pool, which has one for each core
        try:
            with ThreadPoolExecutor(self.workers) as pool:
                yield pool
        finally:
            torch.set_num_threads(threads_before)


def npy_header(images: int, size: int) -> bytes:
    """Return the header of a .npy file of *images* squares; NumPy makes it equally long for any number."""
    file = io.BytesIO()
    shape = (images, size, size, 3)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


def decode_chunk(
    source: Source, packing: Packing, earlier: EarlierPack | None, records: list[Record]
) -> tuple[list[JournalRow], np.ndarray]:
    """Return a journal row for each of *records*, and the pixels of the readable ones, (n, size, size, 3)."""
    pixels = np.empty((len(records), packing.size, packing.size, 3), np.uint8)
    rows, count = [], 0
    for record in records:
        copied = earlier.copy(record) if earlier else None
        row, image = copied or decode_record(source, packing, record)
        if image is not None:
            pixels[count] = image
            count += 1
        rows.append(row)
    return rows, pixels[:count]
