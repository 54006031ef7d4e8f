"""Files in a folder, a tar or a zip: listed once, then read where they lie from any thread."""

import os
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from itl import ItlError

STRAY = {"__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir", "lost+found"}
PACKED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}


@dataclass
class Listing:
    """What lies under one path: names are relative, with forward slashes."""

    files: dict[str, tuple] = field(default_factory=dict)       # name -> place, which `read` takes
    folders: set[str] = field(default_factory=set)              # every folder, empty ones too
    left_out: Counter = field(default_factory=Counter)          # reason -> how many members

    def add(self, name: str, place: tuple) -> None:
        """Take in the file *name*, unless it is one of those that systems strew about."""
        parts = tidy(name)
        if parts is None:
            self.left_out["names that leave the archive"] += 1
        elif is_stray(parts):
            self.left_out["stray files"] += 1
        else:
            self.files["/".join(parts)] = place
            self.folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))

    def add_folder(self, name: str) -> None:
        """Take in a folder, which may be empty."""
        parts = tidy(name)
        if parts and not is_stray(parts):
            self.folders.add("/".join(parts))

    def inside(self, folder: str) -> "Listing":
        """The part under *folder*, named relative to it; what was left out stays known."""
        cut = folder + "/"
        return Listing(
            {name[len(cut):]: place for name, place in self.files.items() if name.startswith(cut)},
            {name[len(cut):] for name in self.folders if name.startswith(cut)},
            self.left_out,
        )

    def tops(self) -> list[str]:
        """Names of the outermost folders, sorted.

        >>> Listing(folders={"train", "train/cat"}).tops()
        ['train']
        """
        return sorted({name.split("/", 1)[0] for name in self.folders})


def tidy(name: str) -> list[str] | None:
    """The parts of an archive member's *name*; None where it is absolute or climbs with ``..``.

    >>> tidy("./train/cat/1.jpg"), tidy("../x"), tidy("/etc/passwd")
    (['train', 'cat', '1.jpg'], None, None)
    """
    # Names that are no UTF-8 arrive with lone surrogates, which no table can hold.
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return None if name.startswith("/") or ".." in parts else parts


def is_stray(parts: list[str]) -> bool:
    """Say whether a path, given in parts, is the litter of an operating system or an editor."""
    return any(part.startswith(".") or part in STRAY for part in parts)


def listing(path: Path) -> Listing:
    """List the files under *path*: a folder, a tar (not compressed) or a zip.

    Raises ItlError where there is nothing, or an archive that is cut short or cannot be read in place.
    """
    if path.is_dir():
        found = Listing()
        _walk(path, "", found, frozenset())
        return found
    if not path.exists():
        raise ItlError(f"{path} was asked for, but there is nothing there; give a folder, a .tar or a .zip")
    with path.open("rb") as file:
        start = file.read(8)
        if start.startswith(b"PK"):
            return _list_zip(path)
        _refuse_compressed(path, start)
        file.seek(0)
        return _list_tar(str(path), file, os.fstat(file.fileno()).st_size)


def inner_tar(place: tuple, name: str) -> Listing:
    """List the tar that lies uncompressed at *place*, in a folder or in another tar."""
    path, start = place[0], place[1] if len(place) > 1 else 0
    if len(place) > 3:
        raise ItlError(f"{name} is a tar inside the zip {path}: not to be read in place; unpack the zip")
    with open(path, "rb") as file:
        size = place[2] if len(place) > 1 else os.fstat(file.fileno()).st_size
        file.seek(start)
        _refuse_compressed(Path(path) / name, file.read(8))
        file.seek(start)
        return _list_tar(path, file, start + size, name)


def read(place: tuple) -> bytes:
    """Return the bytes at *place*: (path,), (path, offset, size) in a tar, or a zip's with its checksum."""
    if len(place) == 1:
        return Path(place[0]).read_bytes()
    handle = os.open(place[0], os.O_RDONLY)
    try:
        if len(place) == 3:
            return _pread(handle, place[2], place[1])
        return _read_zipped(handle, *place[1:])
    finally:
        os.close(handle)


def start(place: tuple, size: int) -> bytes:
    """Return the first *size* bytes at *place*, or all where there are fewer; a zip's is read whole."""
    if len(place) == 1:
        with open(place[0], "rb") as file:
            return file.read(size)
    return read((*place[:2], min(size, place[2])) if len(place) == 3 else place)[:size]


def _pread(handle: int, size: int, offset: int) -> bytes:
    parts, left = [], size
    while left > 0:                                             # one call returns 2 GiB at most
        part = os.pread(handle, left, offset + size - left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _read_zipped(handle: int, offset: int, size: int, method: int, checksum: int) -> bytes:
    name_length, extra_length = struct.unpack("<HH", os.pread(handle, 4, offset + 26))
    data = _pread(handle, size, offset + 30 + name_length + extra_length)
    try:
        data = data if method == zipfile.ZIP_STORED else zlib.decompress(data, -zlib.MAX_WBITS)
    except zlib.error as error:
        raise ItlError(f"damaged in its zip: {error}") from error
    if zlib.crc32(data) != checksum:
        raise ItlError("damaged in its zip: the checksum differs")
    return data


def _walk(folder: Path, prefix: str, found: Listing, above: frozenset) -> None:
    """Add what lies under *folder*; links are followed, except back to a folder they are in."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    here = os.stat(folder)
    above |= {(here.st_dev, here.st_ino)}
    for entry in ordered:
        name = prefix + entry.name
        if not entry.is_dir():
            if entry.is_file():
                found.add(name, (entry.path,))
            else:
                found.left_out["broken links and devices"] += 1
        elif is_stray([entry.name]):
            found.left_out["stray files"] += 1
        elif (entry.stat().st_dev, entry.stat().st_ino) in above:
            found.left_out["links to a folder they are in"] += 1
        else:
            found.add_folder(name)
            _walk(Path(entry.path), name + "/", found, above)


def _refuse_compressed(path: Path, start: bytes) -> None:
    for magic, tool in PACKED.items():
        if start.startswith(magic):
            raise ItlError(
                f"{path} is compressed, so single images cannot be read in place; "
                f"`{tool} {path.name}` leaves the plain tar, which can"
            )


def _list_tar(path: str, file: BinaryIO, end: int, name: str = "") -> Listing:
    """List the tar that starts where *file* stands and may not go past *end*; *name* is an inner tar's."""
    found = Listing()
    shown = f"{path}:{name}" if name else path
    try:
        for member in _members(file, end):
            if member.isdir():
                found.add_folder(member.name)
            elif not member.isreg() or member.issparse():
                found.left_out["links, devices and sparse files"] += 1
            else:
                found.add(member.name, (path, member.offset_data, member.size))
    except tarfile.ReadError as error:
        raise ItlError(
            f"{shown} is no whole tar: {error} after {len(found.files):,} files; copy or download it again"
        ) from error
    return found


def _members(file: BinaryIO, end: int) -> Iterator[tarfile.TarInfo]:
    """Yield the headers of a tar one by one: tarfile would keep all of them, a gigabyte for ImageNet."""
    with tarfile.open(fileobj=file, mode="r:") as tar:
        member = tar.next()
        while member is not None:
            tar.members.clear()
            if member.offset_data + member.size > end and not member.issparse():
                raise tarfile.ReadError("cut short")
            yield member
            member = tar.next() if tar.offset < end else None   # past the end of an inner tar lies the outer
        file.seek(tar.offset)
        if file.read(max(0, min(512, end - tar.offset))).strip(b"\0"):
            raise tarfile.ReadError(f"damaged at byte {tar.offset:,}")     # tarfile would take it for the end


def _list_zip(path: Path) -> Listing:
    found = Listing()
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile as error:
        raise ItlError(f"{path} cannot be read as a zip ({error}); copy or download it again") from error
    for member in members:
        if member.is_dir():
            found.add_folder(member.filename)
        elif member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            found.left_out["encrypted or oddly compressed members"] += 1
        elif member.external_attr >> 16 & 0o170000 == 0o120000:
            found.left_out["links, devices and sparse files"] += 1
        else:
            place = (str(path), member.header_offset, member.compress_size, member.compress_type, member.CRC)
            found.add(member.filename, place)
    return found
