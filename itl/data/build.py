"""Building a pack from a source: one at a time, going on where a killed one stopped, published by rename."""

import contextlib
import csv
import errno
import hashlib
import json
import os
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from itl import ItlError, __version__
from itl.config import Packing
from itl.data.fill import Job, fill
from itl.data.journal import Journal
from itl.data.open import open_source
from itl.data.sources import Record, some

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class Order:
    """What is to be packed, from where, and how."""

    packing: Packing
    path: Path | None
    workers: int
    allow_unreadable: bool
    log: Callable[[str], object]


def build(order: Order, out: Path) -> None:
    """Make the pack of *order* at *out*, unless it is there; wait where another process is making it.

    Raises ItlError where *out* holds another pack, or disk, permissions or images do not allow it.
    """
    if _is_there(order, out):
        return
    with _explained(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with _alone(out, order.log):
            if not _is_there(order, out):
                _build(order, out)


def partial_of(out: Path) -> Path:
    """The folder of a pack that is not finished."""
    return out.with_name(out.name + ".partial")


def request(packing: Packing) -> dict:
    """What of *packing* decides the pixels; where the source lies does not."""
    return {"source": packing.source, "size": packing.size, "fit": packing.fit,
            "options": json.loads(json.dumps(dict(packing.options), default=str))}


def _is_there(order: Order, out: Path) -> bool:
    """Say whether *out* is the pack of *order*; refuse whatever else lies there."""
    if not out.exists():
        return False
    if not (out / "pack.json").is_file():
        raise ItlError(f"{out} was asked for as a pack, but something else lies there; pack to another place")
    there = json.loads((out / "pack.json").read_text())
    same = there["request"] == request(order.packing)
    if same and there["path"] != _shown(order.path):            # moved, or other images
        same = there["records"] == _digest(_records(order)[1])
    if not same:
        raise ItlError(
            f"{out} is the pack of {_told(there)}, not of {_told({'request': request(order.packing)})} from "
            f"{_shown(order.path)}; delete it, or pack to another place"
        )
    return True


def _build(order: Order, out: Path) -> None:
    started, folder = time.monotonic(), partial_of(out)
    source, records = _records(order)
    asked = {"request": request(order.packing), "records": _digest(records)}
    folder.mkdir(exist_ok=True)
    journal = Journal(folder / "journal")
    if not (folder / "pack.json").exists():
        if journal.request not in (None, asked):
            raise ItlError(
                f"{folder} is the unfinished pack of {_told(journal.request)}, or its images have changed since; "
                f"delete it, or pack to another place"
            )
        journal.begin(asked)
        job = Job(order.packing, source, records, folder, journal, order.workers, order.allow_unreadable, order.log)
        already = f", {len(journal.rows):,} of them done before" if journal.rows else ""
        order.log(f"packing {len(records):,} images of {source.kind} at {order.packing.size} pixels{already}")
        try:
            with _quiet_pillow(), _one_thread_each(source):
                fill(job)
        finally:
            journal.close()
            _write_unreadable(job)
        summary = _describe(job, asked, order.path)
