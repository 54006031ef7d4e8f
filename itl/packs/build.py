"""Building a pack from a source: one process at a time, resumed after a kill, published by rename."""

import contextlib
import csv
import errno
import json
import logging
import os
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from itl import __version__
from itl.errors import ItlError
from itl.machine import free_disk
from itl.packs import source_state
from itl.packs.fit import LOW_CONTRAST
from itl.packs.journal import Journal
from itl.packs.source_state import CHECKED, FILES, UNREADABLE, PackRequest
from itl.packs.writer import ImageWriter
from itl.sources.annotated.proposal_files import concatenate_regions
from itl.sources.boxes import object_columns
from itl.sources.files.image_files import CORRUPT
from itl.sources.registry import open_source
from itl.storage import file_sizes, flush_to_disk, hold_lock, is_disk_full, read_json, write_text
from itl.words import counted

log = logging.getLogger(__name__)

MOVE_AWAY = "move that folder away and repeat"
BEGUN_ANEW_FOR = {"records", "stamps", "itl"}  # of a pack's identity: what its source holds, what decodes it
OWN_FILES = (  # of a pack, done or not; what else is in its folder, somebody has put there
    *("images.npy", "index.parquet", "objects.parquet", FILES, "regions.npz", "thumbnails-*.npy"),
    *(UNREADABLE, "journal", "pack.json", CHECKED, ".DS_Store"),
)
INDEX = {name: pa.string() for name in ("image", "wnid", "split", "group")}  # group: if any is known
INDEX |= {"width": pa.int32(), "height": pa.int32(), "checksum": pa.string()}


def build_pack(request: PackRequest, out: Path, workers: int) -> None:
    """Build the pack of *request* in the folder *out*, unless it exists; wait if another process builds it.

    Where the source has changed since, the pack is replaced: unchanged images are copied, others decoded.

    Raises:
        ItlError: If *out* holds something else, or disk, permissions or images do not allow the pack.
    """
    open_source(request.packing.source, request.path, **dict(request.packing.options))  # its options, first
    if out.exists() and not _changes(request, out):
        for folder in (partial_of(out), _replaced_by(out)):
            if folder.is_dir():
                log.info(f"{folder} is no part of this pack: a killed packing left it, or it is another's")
        return
    if request.path and request.path.is_dir() and out.resolve().is_relative_to(request.path.resolve()):
        raise ItlError(
            f"{out} lies in {request.path}, whose images are to be packed, and would be one of its folders; "
            f"pack to a folder outside"
        )
    if outer := next((folder for folder in out.resolve().parents if (folder / "pack.json").exists()), None):
        raise ItlError(f"{out} lies in {outer}, which is a pack itself; pack to a folder outside")
    with _explain_os_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(source_state.lock_of(out), f"packing {out}"):
            if out.exists():  # made, or outdated, during the wait
                changes = _changes(request, out)
                if not changes:
                    return
                log.info(f"the source has changed since {out} was packed: {changes}; packing these anew")
            _refuse_others(request, out)
            folder = partial_of(out)
            _write_folder(request, folder, out if out.exists() else None, workers)
            (folder / "journal").unlink(missing_ok=True)
            _publish(folder, out)


def _publish(folder: Path, out: Path) -> None:
    """Rename *folder* to *out*. A pack that is replaced stays readable for those who have it open."""
    replaced = _replaced_by(out)
    if out.exists():
        if replaced.exists():  # left by a kill before it was removed
            _remove(replaced)
        os.rename(out, replaced)
    os.rename(folder, out)
    flush_to_disk(out.parent)
    if replaced.exists():
        _remove(replaced)


def _refuse_others(request: PackRequest, out: Path) -> None:
    """Raise ItlError if what is to be replaced, or is in the way of that, may be somebody's own."""
    replaced = _replaced_by(out)
    summary = _read_summary(replaced) if replaced.is_dir() and not replaced.is_symlink() else {}
    if os.path.lexists(replaced) and not request.is_met_by(summary):
        raise ItlError(
            f"{replaced} is in the way, where an earlier pack lies while it is replaced; move that, or pack "
            f"to another folder"
        )
    if out.is_dir() and (others := others_in(out)):
        raise ItlError(
            f"{out} has {others[0].name}, which is no file of a pack, and is to be replaced, as its source "
            f"has changed; move that out of it and repeat"
        )


def _remove(pack: Path) -> None:
    """Remove the folder of a *pack*, and pack.json last: after a kill it still says which pack it is."""
    for path in {*pack.iterdir()} - {*others_in(pack), pack / "pack.json"}:
        path.unlink()
    (pack / "pack.json").unlink(missing_ok=True)
    pack.rmdir()  # which fails if somebody has put a file there meanwhile


def others_in(folder: Path) -> list[Path]:
    """List what is in the *folder* of a pack, done or not, and is none of its files."""
    patterns = [*OWN_FILES, *(f".{name}.*" for name in OWN_FILES)]  # `write_atomic` leaves the latter
    return [path for path in sorted(folder.iterdir()) if path.is_dir() or not any(map(path.match, patterns))]


def partial_of(out: Path) -> Path:
    """Return the folder in which the pack *out* is built."""
    return out.with_name(out.name + ".partial")


def _replaced_by(out: Path) -> Path:
    """Return the folder of the earlier pack, while *out* takes its place."""
    return out.with_name(out.name + ".replaced")


def _changes(request: PackRequest, out: Path) -> str:
    """Say how the source has changed since *out* was packed; ItlError if *out* is another pack."""
    if not (out / "pack.json").is_file():
        raise ItlError(f"{out} should become a pack, but something else is there; choose another folder")
    summary = _read_summary(out)
    if not request.is_met_by(summary):
        raise ItlError(
            f"{out} is the pack of {_describe(summary['request'], summary['path'])}, not of "
            f"{_describe(**request.summary())}; pack to another folder"
        )
    return source_state.changes_since(out, summary, request)


def _read_summary(folder: Path) -> dict:
    """Return the content of pack.json in *folder*; {} if there is none, and ItlError if it is damaged."""
    content = read_json(folder / "pack.json", MOVE_AWAY)
    if content is not None and not (isinstance(content, dict) and "request" in content):
        raise ItlError(f"{folder / 'pack.json'} is damaged: it does not say what was packed; {MOVE_AWAY}")
    return content or {}


def _write_folder(request: PackRequest, folder: Path, replaced: Path | None, workers: int) -> None:
    """Write or complete the unfinished pack in *folder*; the pack that it replaces may have images of it."""
    state = request.source_state()  # before anything is read: a later change shows the next time
    source, records = request.open_source()
    stamps = list(source_state.stamps_of(records))
    identity = request.summary() | {
        "records": source_state.listing_digest(source, records),
        "stamps": source_state.stamps_digest(stamps),
        "itl": __version__,
    }
    folder.mkdir(exist_ok=True)  # not before: what is refused is not begun
    _check_unfinished(folder, identity)
    if (folder / "pack.json").exists():  # killed just before the rename
        return
    journal = Journal(folder / "journal")
    earlier = source_state.EarlierPack.open(replaced, records, stamps) if replaced else None
    writer = ImageWriter(source, records, request.packing, folder / "images.npy", journal, workers, earlier)
    for line in source.describe(records):
        log.info(line)
    journal.begin(identity)
    try:
        _write_images(writer, folder)
    finally:
        journal.close()
    source_state.write_files(folder, records, journal.rows, stamps)
    _write_tables(writer, folder, identity | {"source_state": state})


def _write_images(writer: ImageWriter, folder: Path) -> None:
    """Write images.npy with Pillow's warnings off, and log how it went."""
    done, total = len(writer.journal.rows), len(writer.records)
    resumed = f", {done:,} of them done before" if done else ""
    what = f"{counted(total, 'images')} of {writer.source.kind}"
    log.info(f"packing {what} at {writer.packing.size} pixels{resumed}")
    started = time.monotonic()
    reasons = str(folder / UNREADABLE)  # where it lies until the pack is complete
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # large images, odd EXIF: read anyway
            warnings.filterwarnings("ignore", module="torchvision.io")  # its decoders will move to torchcodec
            writer.write()
        reasons = f"{UNREADABLE} in the pack"
    finally:
        unreadable = writer.unreadable()
        with (folder / UNREADABLE).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([("image", "reason"), *unreadable])
        if unreadable:
            log.info(f"{counted(len(unreadable), 'images')} cannot be read; {reasons} says why")
    packed = total - len(unreadable)
    log.info(f"{packed:,} of {counted(total, 'images are')} packed, after {time.monotonic() - started:.0f} s")


def _check_unfinished(folder: Path, wanted: dict) -> None:
    """Raise ItlError if *folder* has another pack than *wanted*; empty it if only source or itl changed."""
    present = _read_summary(folder) or Journal(folder / "journal").identity
    if not present:  # nothing is begun
        if others := others_in(folder):
            raise ItlError(
                f"{folder} is in the way, where the pack is built until it is whole: it holds "
                f"{others[0].name}; move that folder, or pack to another one"
            )
        return
    differing = {name for name, value in wanted.items() if present.get(name) != value}
    if not differing:
        return
    if differing <= BEGUN_ANEW_FOR:
        what = "itl" if differing == {"itl"} else "its source"
        log.info(f"{folder} was begun, and {what} has changed since; it is begun anew")
        for path in {*folder.iterdir()} - {*others_in(folder)}:
            path.unlink()
        return
    other = _describe(present["request"]) if "request" in differing else "other images"
    raise ItlError(
        f"{folder} is the unfinished pack of {other}, not of {_describe(wanted['request'])} as it is "
        f"now; pack to another folder"
    )


def _write_tables(writer: ImageWriter, folder: Path, identity: dict) -> None:
    """Write the tables and last pack.json, whose presence means that the pack is complete."""
    pairs = zip(writer.records, writer.journal.rows, strict=True)
    packed = [(record, row) for record, row in pairs if row.error is None]
    records = [record for record, _ in packed]
    columns: dict[str, list] = {
        "image": [record.id for record in records],
        "wnid": [record.wnid for record in records],
        "split": [record.split for record in records],
        "width": [row.width for _, row in packed],
        "height": [row.height for _, row in packed],
        "checksum": [row.checksum for _, row in packed],
    }
    if "group" in identity["request"]["options"]:
        columns["group"] = [record.group for record in records]
    schema = pa.schema([(name, INDEX[name]) for name in columns])
    pq.write_table(pa.table(columns, schema), folder / "index.parquet")
    source = writer.source
    objects, regions = None, None
    if source.annotates:
        objects = object_columns(source.annotation(record) for record in records)
        pq.write_table(pa.table(objects), folder / "objects.parquet")
    if source.has_regions:
        regions = concatenate_regions(source.regions(record) for record in records)
        np.savez(folder / "regions.npz", boxes=regions["boxes"], offsets=regions["offsets"])
    unreadable = len(writer.unreadable())
    kinds = Counter(kind for _, row in packed for kind in row.kinds)
    oddities = list(_describe_kinds(kinds, len(packed)))
    for text in oddities:
        log.info(text)
    reading = [*source.describe(records, unreadable), *(f"note: {text}" for text in oddities)]
    summary = identity | {
        "digest": source_state.pack_digest(writer.packing.size, columns, objects, regions, source.metric),
        "images": len(packed),
        "splits": dict(sorted(Counter(record.split for record in records).items())),
        "classes": len({record.wnid for record in records}),
        "kinds": dict(sorted((+kinds).items())),
        "objects": objects and len(objects["row"]),
        "regions": regions and len(regions["boxes"]),
        "protocol": source.protocol,
        "metric": source.metric,
        "unreadable": unreadable,
        "left_out": dict(source.count_left_out(records, unreadable)),
        "reading": "" if source.rendered else "\n".join(reading),
    }
    sizes = {name: size for name, size in file_sizes(folder).items() if name not in ("journal", "pack.json")}
    for name in sizes:
        flush_to_disk(folder / name)
    write_text(folder / "pack.json", json.dumps(summary | {"files": sizes}, indent=1))


def _describe_kinds(kinds: Counter[str], images: int) -> Iterator[str]:
    """Say which of so many packed *images* are not what a user may think, if any are."""
    if count := kinds[CORRUPT]:
        yield f"{count:,} of {counted(images, 'images')} are corrupt, packed as far as they decode"
    if count := kinds[LOW_CONTRAST]:
        text = f"{count:,} of {counted(images, 'images')} have almost no contrast"
        if kinds["16-bit"]:
            text += "; where 16-bit files hold values of 10 to 14 bits, scale these to 16 bits and pack again"
        yield text


def _describe(request: dict, path: object = None) -> str:
    """Say what was, or is to be, packed, by the values of pack.json; an empty *path* is left out."""
    options = "".join(f" {name}={value}" for name, value in request["options"].items())
    origin = f" from {path}" if path else ""  # what is rendered has none
    return f"{request['source']}{options} at {request['size']} pixels ({request['fit']}){origin}"


@contextlib.contextmanager
def _explain_os_errors(out: Path) -> Iterator[None]:
    """Turn errors of the operating system into one line with what to do."""
    try:
        yield
    except BrokenPipeError:  # of the output: it says nothing of the pack
        raise
    except OSError as error:
        if is_disk_full(error):
            free_mib = free_disk(out.parent) / 2**20
            raise ItlError(
                f"cannot pack to {out}: {error.strerror} ({free_mib:,.0f} MiB are free); make room, or raise "
                f"your quota or ulimit -f, and run the command again, it keeps what is done"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ItlError(f"no permission to write {error.filename or out}; choose another") from error
        raise ItlError(f"{out} cannot be written: {error}; fix the cause and run again") from error
