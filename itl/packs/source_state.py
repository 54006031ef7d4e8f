"""Whether the files of a source have changed since they were packed, and which images have."""

import csv
import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from itl import __version__
from itl.errors import ItlError
from itl.packs.journal import REFUSALS, JournalRow, checksum
from itl.sources.annotated.proposal_files import find_regions, region_files
from itl.sources.boxes import AnnotatedObject
from itl.sources.files.archives import ZipMember, is_stray
from itl.sources.files.option_files import folder_around, paths_named
from itl.sources.records import Record
from itl.sources.registry import SOURCES, open_source
from itl.sources.source import Source
from itl.specs import Packing
from itl.storage import read_mapping, refuse_system_error, try_lock, write_text
from itl.words import counted, examples

FILES = "files.parquet"  # of a pack
UNREADABLE = "unreadable.csv"  # in its folder: images that cannot be read, and why
CHECKED = ".checked.json"  # in its folder: its files when all of it was last found right
Table = Mapping[str, Sequence]  # columns
Stamp = tuple[int, int]  # bytes of a file, and when it was last changed, in nanoseconds
LABEL_SUFFIXES = (  # of files that may label images below them
    *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".mat", ".xml", ".md"),
    *(".zip", ".tar", ".gz", ".tgz"),  # with such files, as SUN397's Partitions.zip
)
UNKNOWN: Stamp = (-1, -1)  # of an image that is no file of its own: `is_unchanged` for none


@dataclass(frozen=True)
class PackRequest:
    """Which pack to build, from which images."""

    packing: Packing
    path: Path | None  # of the source's files; None where images are rendered

    def summary(self) -> dict:
        """Return the request as pack.json holds it: what decides the pixels, and where the source lies."""
        packing = self.packing
        options = json.loads(json.dumps(dict(packing.options), default=str))
        pixels = {"source": packing.source, "size": packing.size, "fit": packing.fit, "options": options}
        return {"request": pixels, "path": None if self.path is None else str(self.path.resolve())}

    def is_met_by(self, summary: Mapping) -> bool:
        """Say whether a pack with this *summary*, the content of pack.json, is of the same request."""
        return all(summary.get(name) == value for name, value in self.summary().items())

    def open_source(self) -> tuple[Source, list[Record]]:
        """Open the source and list its records; errors of the operating system become ItlError."""
        kind = self.packing.source
        try:
            source = open_source(kind, self.path, **dict(self.packing.options))
            return source, source.records()
        except OSError as error:
            raise ItlError(
                f"{self.path} cannot be read as {kind}: {error.strerror or error}; `itl check {kind} "
                f"{shlex.quote(str(self.path))}` says what is expected"
            ) from error

    def source_state(self) -> dict | None:
        """Return number, bytes and a digest of names, sizes and times of all files of the source, as of now.

        Files that an option names count too, those in a folder of region proposals, and lists in the folders
        around. None where images are rendered.
        """
        if self.path is None or not self.path.exists():  # the source says what is wrong with the path
            return None
        others = self._named_files()
        others += [path for path in self._region_files() if path not in others]
        own = self.path.absolute()
        source = SOURCES[self.packing.source]
        for folder in own.parents[: source.list_search_depth]:
            if os.access(folder, os.R_OK):
                lists = {
                    path for path in folder.iterdir() if path.suffix in LABEL_SUFFIXES and path.is_file()
                }
                folders = [path for name in source.label_folders for path in folder.glob(name)]
                readable = {path for path in folders if path.is_dir() and os.access(path, os.R_OK | os.X_OK)}
                others += sorted((lists | readable) - {own, *own.parents})
        digest, files, size = hashlib.sha256(), 0, 0
        for path in [self.path, *others]:
            for name, (file_bytes, time_ns) in _files(path):
                digest.update(f"{name}\t{file_bytes}\t{time_ns}\n".encode("utf-8", "surrogateescape"))
                files, size = files + 1, size + file_bytes
        return {"files": files, "bytes": size, "digest": digest.hexdigest()[:12]}

    def _named_files(self) -> list[Path]:
        """Return the files that options name, from wherever a source looks for them."""
        assert self.path is not None
        names = [value for _, value in self.packing.options if isinstance(value, str)]
        folders = (Path(), self.path, folder_around(self.path))
        paths = dict.fromkeys(path for name in names for path in paths_named(name, *folders))
        return [path for path in paths if os.path.isfile(path)]

    def _region_files(self) -> list[Path]:
        """Return the files of the region proposals, if the source was given any."""
        file = dict(self.packing.options).get("proposals")
        path = find_regions(str(file), self.path) if file and self.path else None
        return region_files(path) if path and os.access(path, os.R_OK) else []


def changes_since(folder: Path, summary: Mapping, request: PackRequest) -> str:
    """Say how the source of *request* differs from what the pack in *folder* was made of; '' if it does not.

    If all files have the names, sizes and times of then, nothing else is read. Otherwise the source is listed
    and each image compared. If none has changed, pack.json, whose content is *summary*, takes the state of
    now.
    """
    if refused := _refused_images(folder, summary):
        return _in_words({"left out that the system did not let be read": refused})
    names = pq.read_schema(folder / "index.parquet").names
    if "group" in summary["request"]["options"] and "group" not in names:
        return "the pack does not say which images the option group holds together"
    state = request.source_state()
    if state == summary.get("source_state", "unknown"):
        return ""
    if "source_state" not in summary:
        return "the pack does not say which files it was made of"
    source, records = request.open_source()
    changes = _compare(folder, records)
    if not changes and summary["records"] != listing_digest(source, records):
        changes = f"other annotations{' or region proposals' * source.has_regions}"
    if not changes and os.access(folder, os.W_OK):
        _keep_state(folder, summary, state)
    return changes


def _keep_state(folder: Path, summary: Mapping, state: dict | None) -> None:
    """Write *state* to pack.json in *folder*, so that the next comparison is quick again.

    Unless another process replaces the pack, or has done so since *summary* was read.
    """
    lock = lock_of(folder)  # where none can be made, no process can replace the pack either
    with try_lock(lock) if os.access(lock.parent, os.W_OK) else nullcontext(True) as is_free:
        if is_free and read_mapping(folder / "pack.json") == summary:
            write_text(folder / "pack.json", json.dumps({**summary, "source_state": state}, indent=1))


def lock_of(folder: Path) -> Path:
    """Return the lock file of the pack in *folder*, which lies beside it, and not beside links to it."""
    real = Path(os.path.realpath(folder))
    return real.with_name(f"{real.name}.lock")


def _refused_images(folder: Path, summary: Mapping) -> list[str]:
    """Return the images that the pack in *folder* lacks although nothing is known against them."""
    if not summary.get("unreadable"):
        return []
    with (folder / UNREADABLE).open(encoding="utf-8", newline="") as file:
        return [image for image, reason in csv.reader(file) if reason in REFUSALS]


def _in_words(images: Mapping[str, Sequence[str]]) -> str:
    """Say how many *images*, by their ids, differ in what way, and give an example of each."""
    return ", ".join(
        f"{counted(len(ids), 'images')} {what} ({examples(ids, 1)})" for what, ids in images.items() if ids
    )


def _compare(folder: Path, records: Sequence[Record]) -> str:
    """Compare each of *records* with the row of the pack in *folder* that has its id."""
    before = {image: label for image, *label in read_rows(folder / "index.parquet", "image", "wnid", "split")}
    files = read_files(folder)
    changed, labelled = [], []
    for record, stamp in zip(records, stamps_of(records), strict=True):
        if record.id not in files:
            continue
        file = files[record.id]
        if not file.is_unchanged(stamp):
            changed.append(record.id)
        if file.row is not None and before[record.id] != [record.wnid, record.split]:
            labelled.append(record.id)
    ids = {record.id for record in records}
    added, gone = sorted(ids - files.keys()), sorted(files.keys() - ids)
    return _in_words(
        {"added": added, "gone": gone, "changed": changed, "of another class or split": labelled}
    )


class PackedFile(NamedTuple):
    """The file of one image as it was packed, a row of files.parquet."""

    image: str
    bytes: int
    time_ns: int  # when it was last changed
    row: int | None  # of the pack; None where the image could not be read
    kinds: str  # as `itl.packs.fit.decode` names them, joined with commas

    def is_unchanged(self, stamp: Stamp) -> bool:
        """Say whether the file is as it was, by its *stamp* of now."""
        return stamp != UNKNOWN and stamp == (self.bytes, self.time_ns)


def write_files(
    folder: Path, records: Sequence[Record], rows: Sequence[JournalRow], stamps: Sequence[Stamp]
) -> None:
    """Write files.parquet of the pack in *folder*: the files that its images were made of."""
    files, packed = [], 0
    for record, row, stamp in zip(records, rows, stamps, strict=True):
        is_packed = row.error is None
        files.append(PackedFile(record.id, *stamp, packed if is_packed else None, ",".join(row.kinds)))
        packed += is_packed
    types = (pa.string(), pa.int64(), pa.int64(), pa.int32(), pa.string())
    columns = map(pa.array, zip(*files, strict=True), types)
    pq.write_table(pa.table(dict(zip(PackedFile._fields, columns, strict=True))), folder / FILES)


def read_files(folder: Path) -> dict[str, PackedFile]:
    """Return the file of each image of the pack in *folder*, by the image's id."""
    files = map(PackedFile._make, read_rows(folder / FILES, *PackedFile._fields))
    return {file.image: file for file in files}


def read_rows(path: Path, *columns: str) -> Iterator[tuple]:
    """Return the rows of *columns* of a pack's table; ItlError if the file is missing or damaged."""
    try:
        table = pq.read_table(path, columns=list(columns)).select(columns)
        return zip(*(column.to_pylist() for column in table.columns), strict=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        refuse_system_error(path, error)
        reason = " ".join(str(error).split())  # Arrow's errors have several lines
        raise ItlError(
            f"{path} is missing or damaged ({reason}); move {path.parent} away and repeat: it is packed again"
        ) from error


@dataclass(frozen=True)
class EarlierPack:
    """The images of a pack that need not be decoded again."""

    images: np.ndarray  # uint8 (N, size, size, 3)
    rows: Sequence[tuple[int, int, str]]  # width, height and checksum of the images
    files: Mapping[str, PackedFile]  # unchanged, by the image's id

    @classmethod
    def open(cls, folder: Path, records: Iterable[Record], stamps: Iterable[Stamp]) -> "EarlierPack":
        """Open the pack in *folder* for the images that have the same file among *records*, with *stamps*.

        What another version of itl decoded is decoded again. So is a part of an image: its box may differ.
        """
        images = np.load(folder / "images.npy", mmap_mode="r")
        rows = list(read_rows(folder / "index.parquet", "width", "height", "checksum"))
        version = read_mapping(folder / "pack.json", "its images are decoded again").get("itl")
        same_code = version == __version__ and (folder / FILES).exists()
        files, unchanged = read_files(folder) if same_code else {}, {}
        for record, stamp in zip(records, stamps, strict=True):
            file = files.get(record.id)
            if file and file.row is not None and file.is_unchanged(stamp) and record.box is None:
                unchanged[record.id] = file
        return cls(images, rows, unchanged)

    def copy(self, record: Record) -> tuple[JournalRow, np.ndarray] | None:
        """Return the journal row of *record* and its pixels (size, size, 3); None if it must be decoded."""
        file = self.files.get(record.id)
        if file is None or file.row is None:
            return None
        kinds = tuple(filter(None, file.kinds.split(",")))
        pixels, row = self.images[file.row], JournalRow(*self.rows[file.row], kinds)
        return (row, pixels) if checksum(pixels) == row.checksum else None  # else damaged on the disk


def stamps_of(records: Iterable[Record]) -> Iterator[Stamp]:
    """Yield the stamp of each record's file.

    A file in a tar has the time of the tar. A file in a zip has its CRC instead.
    """

    @cache
    def archive_time_ns(path: str) -> int:
        return os.stat(path).st_mtime_ns

    for record in records:
        member = record.member
        if not member.path:
            yield UNKNOWN
        elif isinstance(member, ZipMember):
            yield member.size or 0, member.crc
        elif member.size is None:
            status = os.stat(member.path)
            yield status.st_size, status.st_mtime_ns
        else:
            yield member.size, archive_time_ns(member.path)


def stamps_digest(stamps: Iterable[Stamp]) -> str:
    """Return 12 hex digits that identify sizes and times of all images' files."""
    return hashlib.sha256(b"".join(map(text_line, stamps))).hexdigest()[:12]


def listing_digest(source: Source, records: list[Record]) -> str:
    """Return 12 hex digits that identify the listing, with annotations and regions where files hold them."""
    digest = hashlib.sha256()
    for record in records:
        # A person who does none of the actions has a box, but no object.
        digest.update(text_line((record.id, record.wnid, record.split, *(record.box or ()))))
        if source.annotates and source.scan is not None:
            digest.update(_annotation_text(source.annotation(record)))
        if source.has_regions:
            regions = source.regions(record)
            digest.update(text_line((len(regions),)) + regions.tobytes())
        if record.group:
            digest.update(text_line((record.group,)))
    return digest.hexdigest()[:12]


def pack_digest(
    size: int, table: Table, objects: Table | None, regions: Mapping[str, np.ndarray] | None, metric: str
) -> str:
    """Return 12 hex digits that identify pixels and tables, wherever and whenever they were made.

    So do they tell images that two sources score differently, since a run knows its pack by them.

    Args:
        size: pixels of the stored squares.
        table: the columns of `Pack.table`, with a checksum of the pixels of each image.
        objects: the columns of `Pack.objects`; None where nothing is annotated.
        regions: boxes and offsets of region proposals; None where there are none.
        metric: by which the images are scored, as `itl.sources.source.Source` has it.
    """
    digest = hashlib.sha256(f"{size}\n".encode())
    if metric != Source.metric:
        digest.update(text_line((metric,)))
    for values in zip(*table.values(), strict=True):
        digest.update(text_line(values))
    for values in zip(*(objects or {}).values(), strict=True):
        digest.update(text_line(values))
    for array in regions.values() if regions else ():
        digest.update(array.tobytes())
    return digest.hexdigest()[:12]


def text_line(values: tuple) -> bytes:
    """Return *values* as one line, as digests take it."""
    return ("\t".join(map(str, values)) + "\n").encode()


def _annotation_text(objects: list[AnnotatedObject]) -> bytes:
    """Return the text that stands for *objects* in the digest; earlier packs were made with the same text."""
    texts = (
        f"Thing(name={one.name!r}, box={one.box!r}, difficult={one.difficult!r}, truncated={one.truncated!r})"
        for one in objects
    )
    return f"[{', '.join(texts)}]\n".encode()


def _files(path: Path, name: str = "", ancestors: frozenset = frozenset()) -> Iterator[tuple[str, Stamp]]:
    """Yield relative name and stamp of every file under *path*, or of *path* itself; links are followed."""
    status = os.stat(path)
    identity = (status.st_dev, status.st_ino)
    if not path.is_dir():
        yield name or path.name, (status.st_size, status.st_mtime_ns)
        return
    if identity in ancestors:
        return
    with os.scandir(path) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if is_stray([entry.name]):
            continue
        if entry.is_dir():
            yield from _files(Path(entry.path), f"{name}{entry.name}/", ancestors | {identity})
        elif entry.is_file():
            inside = entry.stat()
            yield name + entry.name, (inside.st_size, inside.st_mtime_ns)
