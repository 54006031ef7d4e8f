"""Building a pack from a source: one process at a time, resumed after a kill, published by rename."""

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

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from itl import ItlError, __version__
from itl.packs.journal import Journal, JournalRow
from itl.packs.writer import ImageWriter
from itl.sources.boxes import AnnotatedObject, object_columns
from itl.sources.image_files import CORRUPT, recognises_corrupt_jpegs
from itl.sources.proposal_files import concatenate_regions
from itl.sources.records import Record
from itl.sources.registry import open_source
from itl.sources.source import Source
from itl.specs import Packing
from itl.storage import file_sizes, flush_to_disk, hold_lock, read_json, write_atomic

AGAIN = "move that folder away and repeat"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_PERMISSION = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class PackRequest:
    """Which pack to build, from which images."""

    packing: Packing
    path: Path | None  # of the source's files; None where images are rendered

    def pixel_settings(self) -> dict:
        """Return what decides the pixels, as pack.json holds it; where the source lies does not."""
        packing = self.packing
        options = json.loads(json.dumps(dict(packing.options), default=str))
        return {"source": packing.source, "size": packing.size, "fit": packing.fit, "options": options}

    def open_source(self) -> tuple[Source, list[Record]]:
        """Open the source and list its records; errors of the operating system become ItlError."""
        kind = self.packing.source
        try:
            source = open_source(kind, self.path, **dict(self.packing.options))
            return source, source.records()
        except OSError as error:
            reason = error.strerror or error
            raise ItlError(
                f"{self.path} cannot be read as {kind}: {reason}; `itl check {kind} {self.path}` says what "
                f"is expected"
            ) from error

    def absolute_path(self) -> str | None:
        """Return the path as pack.json holds it."""
        return None if self.path is None else str(self.path.resolve())


def build_pack(
    request: PackRequest, out: Path, workers: int, allow_unreadable: bool, log: Callable[[str], object]
) -> None:
    """Build the pack of *request* in the folder *out*, unless it exists; wait if another process builds it.

    Raises:
        ItlError: If *out* holds something else, or disk, permissions or images do not allow the pack.
    """
    if _exists(request, out):
        return
    with _explain_os_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(out.with_name(out.name + ".lock"), f"packing {out}", log):
            if _exists(request, out):
                return
            folder = partial_of(out)
            folder.mkdir(exist_ok=True)
            _write_folder(request, folder, workers, allow_unreadable, log)
            (folder / "journal").unlink(missing_ok=True)
            os.rename(folder, out)
            flush_to_disk(out.parent)


def partial_of(out: Path) -> Path:
    """Return the folder in which the pack *out* is built."""
    return out.with_name(out.name + ".partial")


def _exists(request: PackRequest, out: Path) -> bool:
    """Say whether *out* is the pack of *request*; ItlError if something else is there."""
    if not out.exists():
        return False
    if not (out / "pack.json").is_file():
        raise ItlError(f"{out} should become a pack, but something else is there; choose another folder")
    summary = read_json(out / "pack.json", AGAIN)
    same = summary["request"] == request.pixel_settings()
    if same and summary["path"] != request.absolute_path():  # the same images moved, or other images
        same = summary["records"] == _listing_digest(*request.open_source())
    if not same:
        raise ItlError(
            f"{out} is the pack of {_describe(summary['request'])} from {summary['path']}, not of "
            f"{_describe(request.pixel_settings())} from {request.absolute_path()}; pack to another "
            f"folder"
        )
    return True


def _write_folder(
    request: PackRequest, folder: Path, workers: int, allow_unreadable: bool, log: Callable[[str], object]
) -> None:
    """Write or complete the unfinished pack in *folder*."""
    source, records = request.open_source()
    identity = {"request": request.pixel_settings(), "records": _listing_digest(source, records)}
    if (folder / "pack.json").exists():  # killed just before the rename
        _check_identity(folder, read_json(folder / "pack.json", AGAIN), identity)
        return
    journal = Journal(folder / "journal")
    _check_identity(folder, journal.identity or identity, identity)
    writer = ImageWriter(
        source, records, request.packing, folder / "images.npy", journal, workers, allow_unreadable, log
    )
    for line in source.reading(records).lines():
        log(line)
    journal.begin(identity)
    try:
        _write_images(writer, folder)
    finally:
        journal.close()
    _write_tables(writer, folder, identity, request.absolute_path())


def _write_images(writer: ImageWriter, folder: Path) -> None:
    """Write images.npy with Pillow's warnings off, and log how it went."""
    done, total = len(writer.journal.rows), len(writer.records)
    resumed = f", {done:,} of them done before" if done else ""
    writer.log(f"packing {total:,} images of {writer.source.kind} at {writer.packing.size} pixels{resumed}")
    started = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # large images, odd EXIF: read anyway
            warnings.filterwarnings("ignore", module="torchvision.io")  # its decoders will move to torchcodec
            writer.write()
    finally:
        unreadable = writer.unreadable()
        if unreadable:
            _write_unreadable(folder / "unreadable.csv", unreadable)
            writer.log(f"{len(unreadable):,} images cannot be read; unreadable.csv in the pack says why")
    writer.log(f"packed {total - done:,} images in {time.monotonic() - started:.0f} s")


def _write_tables(writer: ImageWriter, folder: Path, identity: dict, path: str | None) -> None:
    """Write the tables and last pack.json, whose presence means that the pack is complete."""
    pairs = zip(writer.records, writer.journal.rows, strict=True)
    packed = [(record, row) for record, row in pairs if row.error is None]
    records = [record for record, _ in packed]
    columns = {
        "image": pa.array([record.id for record in records]),
        "wnid": pa.array([record.wnid for record in records]),
        "split": pa.array([record.split for record in records]),
        "width": pa.array([row.width for _, row in packed], pa.int32()),
        "height": pa.array([row.height for _, row in packed], pa.int32()),
        "checksum": pa.array([row.checksum for _, row in packed]),
    }
    pq.write_table(pa.table(columns), folder / "index.parquet")
    source = writer.source
    objects, regions = _write_objects(source, records, folder), _write_regions(source, records, folder)
    unreadable = writer.unreadable()
    _write_unreadable(folder / "unreadable.csv", unreadable)
    kinds = Counter(kind for _, row in packed for kind in row.kinds)
    corrupt = kinds[CORRUPT] if recognises_corrupt_jpegs() else None
    if corrupt:
        writer.log(f"{corrupt:,} JPEG files are corrupt, and packed as far as they can be decoded")
    summary = identity | {
        "digest": _pack_digest(packed, writer.packing.size, objects, regions),
        "images": len(packed),
        "splits": dict(sorted(Counter(record.split for record in records).items())),
        "classes": len({record.wnid for record in records}),
        "kinds": dict(sorted((+kinds).items())),
        "objects": objects and len(objects["row"]),
        "regions": regions and len(regions["boxes"]),
        "protocol": source.protocol,
        "unreadable": len(unreadable),
        "corrupt": corrupt,  # null: no strict decoder is installed
        "left_out": dict(source.left_out),
        "path": path,
        "itl": __version__,
    }
    for name in ("index.parquet", "unreadable.csv"):
        flush_to_disk(folder / name)
    text = json.dumps(summary | {"files": _sizes(folder)}, indent=1)
    write_atomic(folder / "pack.json", lambda part: part.write_text(text))


def _sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each file of the finished pack in *folder*."""
    return {name: size for name, size in file_sizes(folder).items() if name not in ("journal", "pack.json")}


def _write_objects(source: Source, records: list[Record], folder: Path) -> dict[str, list] | None:
    """Write the table of annotated objects, if the source annotates any, and return its columns."""
    if not source.annotates:
        return None
    columns = object_columns(source.annotation(record) for record in records)
    pq.write_table(pa.table(columns), folder / "objects.parquet")
    flush_to_disk(folder / "objects.parquet")
    return columns


def _write_regions(source: Source, records: list[Record], folder: Path) -> dict[str, np.ndarray] | None:
    """Write the region proposals, if the source was given any, and return boxes and offsets."""
    if not source.has_regions:
        return None
    regions = concatenate_regions(source.regions(record) for record in records)
    np.savez(folder / "regions.npz", boxes=regions["boxes"], offsets=regions["offsets"])
    flush_to_disk(folder / "regions.npz")
    return regions


def _pack_digest(
    packed: list[tuple[Record, JournalRow]],
    size: int,
    objects: dict[str, list] | None,
    regions: dict[str, np.ndarray] | None,
) -> str:
    """Return 12 hex digits that identify pixels and tables, wherever and whenever they were made."""
    digest = hashlib.sha256(f"{size}\n".encode())
    for record, row in packed:
        values = (record.id, record.wnid, record.split, row.width, row.height, row.checksum)
        digest.update(_text_line(values))
    for values in zip(*objects.values(), strict=True) if objects else ():
        digest.update(_text_line(values))
    for array in regions.values() if regions else ():
        digest.update(array.tobytes())
    return digest.hexdigest()[:12]


def _listing_digest(source: Source, records: list[Record]) -> str:
    """Return 12 hex digits that identify the listing, with the annotations where files hold them."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(_text_line((record.id, record.wnid, record.split)))
        if source.annotates and source.scan is not None:
            digest.update(_annotation_text(source.annotation(record)))
    return digest.hexdigest()[:12]


def _annotation_text(objects: list[AnnotatedObject]) -> bytes:
    """Return the text that stands for *objects* in the digest; earlier packs were made with the same text."""
    texts = (
        f"Thing(name={one.name!r}, box={one.box!r}, difficult={one.difficult!r}, truncated={one.truncated!r})"
        for one in objects
    )
    return f"[{', '.join(texts)}]\n".encode()


def _text_line(values: tuple) -> bytes:
    return ("\t".join(map(str, values)) + "\n").encode()


def _check_identity(folder: Path, present: dict, wanted: dict) -> None:
    """Raise ItlError unless the unfinished pack in *folder* is the *wanted* one."""
    if any(present[name] != wanted[name] for name in wanted):
        same_settings = present["request"] == wanted["request"]
        other = "other images" if same_settings else _describe(present["request"])
        raise ItlError(
            f"{folder} is the unfinished pack of {other}, not of {_describe(wanted['request'])} as it is "
            f"now; pack to another folder"
        )


def _describe(settings: dict) -> str:
    options = "".join(f" {name}={value}" for name, value in settings["options"].items())
    return f"{settings['source']}{options} at {settings['size']} pixels ({settings['fit']})"


def _write_unreadable(path: Path, unreadable: list[tuple[str, str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("image", "reason"), *unreadable])


@contextlib.contextmanager
def _explain_os_errors(out: Path) -> Iterator[None]:
    """Turn errors of the operating system into one line with what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            existing = next(folder for folder in out.parents if folder.exists())
            free_mib = shutil.disk_usage(existing).free / 2**20
            raise ItlError(
                f"the disk is too full to pack to {out} ({free_mib:,.0f} MiB are free); make room and run "
                f"the command again, it keeps what is done"
            ) from error
        if error.errno in NO_PERMISSION:
            raise ItlError(f"no permission to write {error.filename or out}; choose another") from error
        raise ItlError(f"{out} cannot be written: {error}; fix the cause and run again") from error
