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
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from itl import ItlError, __version__
from itl.packs.writer import Job, Journal, Order, fill
from itl.sources.boxes import columns_of
from itl.sources.proposal_files import flat
from itl.sources.records import Record, Source
from itl.sources.registry import open_source
from itl.specs import Packing

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


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
        same = there["records"] == _digest(*_records(order))
    if not same:
        raise ItlError(
            f"{out} is the pack of {_told(there['request'])} from {there['path']}, not of "
            f"{_told(request(order.packing))} from {_shown(order.path)}; delete it, or pack to another place"
        )
    return True


def _build(order: Order, out: Path) -> None:
    folder = partial_of(out)
    source, records = _records(order)
    asked = {"request": request(order.packing), "records": _digest(source, records)}
    folder.mkdir(exist_ok=True)
    if (folder / "pack.json").exists():                         # killed just before the rename
        _refuse_other(folder, json.loads((folder / "pack.json").read_text()), asked)
    else:
        journal = Journal(folder / "journal")
        _refuse_other(folder, journal.request or asked, asked)
        job = Job(order, source, records, folder, journal)
        journal.begin(asked)
        try:
            _run(job)
        finally:
            journal.close()
        _describe(job, asked, order.path)
    (folder / "journal").unlink(missing_ok=True)
    os.rename(folder, out)
    _sync(out.parent)


def _run(job: Job) -> None:
    """Fill the pack, with the warnings of Pillow off, and say how it went."""
    before, started = len(job.journal.rows), time.monotonic()
    already = f", {before:,} of them done before" if before else ""
    job.order.log(f"packing {len(job.records):,} images of {job.source.kind} at {job.size} pixels{already}")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")             # big images, odd EXIF: read anyway
            warnings.filterwarnings("ignore", module="torchvision.io")  # its decoders will move to torchcodec
            fill(job)
    finally:
        bad = job.unreadable()
        if bad:
            _write_unreadable(job.folder / "unreadable.csv", bad)
            job.order.log(f"{len(bad):,} images cannot be read; unreadable.csv in the pack's folder says why")
    seconds = time.monotonic() - started
    job.order.log(f"packed {len(job.records) - before:,} images in {seconds:.0f} s")


def _describe(job: Job, asked: dict, path: Path | None) -> None:
    """Write the table, the list of unreadable images and, last, pack.json: its presence means whole."""
    kept = [(record, row) for record, row in zip(job.records, job.journal.rows, strict=True) if len(row) > 1]
    columns = {
        "image": pa.array([record.id for record, _ in kept]),
        "wnid": pa.array([record.wnid for record, _ in kept]),
        "split": pa.array([record.split for record, _ in kept]),
        "width": pa.array([row[0] for _, row in kept], pa.int32()),
        "height": pa.array([row[1] for _, row in kept], pa.int32()),
        "checksum": pa.array([row[2] for _, row in kept]),
    }
    pq.write_table(pa.table(columns), job.folder / "index.parquet")
    objects, regions = _objects(job, kept), _regions(job, kept)
    bad = job.unreadable()
    _write_unreadable(job.folder / "unreadable.csv", bad)
    summary = asked | {
        "digest": _digest_of(kept, job.size, objects, regions),
        "images": len(kept),
        "splits": dict(sorted(Counter(record.split for record, _ in kept).items())),
        "classes": len({record.wnid for record, _ in kept}),
        "kinds": dict(sorted(Counter(kind for _, row in kept for kind in row[3]).items())),
        "objects": objects and len(objects["row"]),
        "regions": regions and len(regions["boxes"]),
        "protocol": getattr(job.source, "protocol", ""),
        "unreadable": len(bad),
        "left_out": dict(getattr(getattr(job.source, "listing", None), "left_out", {})),
        "path": _shown(path),
        "itl": __version__,
    }
    fresh = job.folder / "pack.json.new"
    fresh.write_text(json.dumps(summary, indent=1))
    for name in ("index.parquet", "unreadable.csv", "pack.json.new"):
        _sync(job.folder / name)
    os.replace(fresh, job.folder / "pack.json")


def _objects(job: Job, kept: list[tuple[Record, list]]) -> dict[str, list] | None:
    """Write the table of annotated objects, if the source has any, and return its columns."""
    if not hasattr(job.source, "annotation"):
        return None
    columns = columns_of(job.source.annotation(record) for record, _ in kept)
    pq.write_table(pa.table(columns), job.folder / "objects.parquet")
    _sync(job.folder / "objects.parquet")
    return columns


def _regions(job: Job, kept: list[tuple[Record, list]]) -> dict[str, np.ndarray] | None:
    """Write the region proposals, if the source was given any, and return boxes and offsets."""
    if getattr(job.source, "proposals", None) is None:
        return None
    regions = flat(job.source.regions(record) for record, _ in kept)
    np.savez(job.folder / "regions.npz", **regions)
    _sync(job.folder / "regions.npz")
    return regions


def _digest_of(
    kept: list[tuple[Record, list]], size: int, objects: dict[str, list] | None,
    regions: dict[str, np.ndarray] | None,
) -> str:
    """12 hex digits that stand for the pixels and the tables, wherever and whenever they were made."""
    found = hashlib.sha256(f"{size}\n".encode())
    for record, (width, height, pixels, _) in kept:
        found.update(f"{record.id}\t{record.wnid}\t{record.split}\t{width}\t{height}\t{pixels}\n".encode())
    for row in zip(*objects.values(), strict=True) if objects else ():
        found.update(("\t".join(map(str, row)) + "\n").encode())
    for values in regions.values() if regions else ():
        found.update(values.tobytes())
    return found.hexdigest()[:12]


def _records(order: Order) -> tuple[Source, list[Record]]:
    """Open the source and list it; what the system refuses there is told as the source's trouble."""
    try:
        source = open_source(order.packing.source, order.path, **dict(order.packing.options))
        return source, source.records()
    except OSError as error:
        raise ItlError(f"{order.path} cannot be read as {order.packing.source}: {error.strerror or error}; "
                       f"`itl check {order.packing.source} {order.path}` says what is expected") from error


def _digest(source: Source, records: list[Record]) -> str:
    """12 hex digits that stand for what is listed; with annotations, where these are read from files."""
    found = hashlib.sha256()
    annotated = hasattr(source, "survey") and hasattr(source, "annotation")
    for record in records:
        found.update(f"{record.id}\t{record.wnid}\t{record.split}\n".encode())
        if annotated:
            found.update(f"{source.annotation(record)}\n".encode())
    return found.hexdigest()[:12]


def _refuse_other(folder: Path, found: dict, asked: dict) -> None:
    if any(found[name] != asked[name] for name in asked):
        changed = "other images" if found["request"] == asked["request"] else _told(found["request"])
        raise ItlError(
            f"{folder} is the unfinished pack of {changed}, not of {_told(asked['request'])} as it is now; "
            f"delete it, or pack to another place"
        )


def _told(asked: dict) -> str:
    options = "".join(f" {name}={value}" for name, value in asked["options"].items())
    return f"{asked['source']}{options} at {asked['size']} pixels ({asked['fit']})"


def _shown(path: Path | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def _write_unreadable(path: Path, bad: list[tuple[str, str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("image", "reason"), *bad])


def _sync(path: Path) -> None:
    """Have *path* on the disk before what comes next, should the power fail."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _alone(out: Path, log: Callable[[str], object]) -> Iterator[None]:
    """Hold the lock of *out*; the system lets go of it when its process dies."""
    lock = FileLock(out.with_name(out.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log(f"another process is packing {out}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _explained(out: Path) -> Iterator[None]:
    """Tell what the system refuses in one line."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            free = shutil.disk_usage(next(each for each in out.parents if each.exists())).free
            raise ItlError(f"the disk is too full to pack to {out} ({free / 2**20:,.0f} MiB are free); "
                           f"make room and run again, what is done is kept") from error
        if error.errno in DENIED:
            raise ItlError(f"no permission to write {error.filename or out}; choose another place") from error
        raise ItlError(f"{out} cannot be written: {error}; mend that and run again") from error
