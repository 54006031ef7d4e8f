"""Files in a folder, a tar or a zip: listed once, then read in place, from any thread."""

import contextlib
import os
import re
import shlex
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import dirname, join, normpath, splitext
from typing import BinaryIO

from itl.errors import ItlError, cannot_read
from itl.sources.files.image_files import FORMATS_OF_SUFFIX
from itl.sources.files.untrusted_files import explain_damage, inflate
from itl.words import counted

STRAY_NAMES = {  # and all that begin with a dot
    *("__MACOSX", "Thumbs.db", "desktop.ini", "lost+found", "$RECYCLE.BIN", "System Volume Information"),
    *("@eaDir", "#recycle", "@Recycle", "@Recently-Snapshot"),  # of network disks
}
KNOWN_HIDDEN = re.compile(  # folders of tools, which hold copies of images: no class is called so
    r"\.(_|@|ipynb_|thumb|trash|apple|git|svn|hg|dvc|cache|tmp|temp|snapshot|xvpics|picasa|spotlight|fsevents|"
    r"document|idea|vscode|venv|env$|huggingface|comments|sync|dropbox|streams|zfs|mypy_|pytest_|ruff_)",
    re.IGNORECASE,
)
COMPRESSION_TOOLS = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ": "unxz",
    b"\x28\xb5\x2f\xfd": "unzstd",
}
TOOL_OF_SUFFIX = {".gz": "gunzip", ".bz2": "bunzip2", ".xz": "unxz", ".zst": "unzstd"}  # what it takes off
TOOL_OF_TAR_SUFFIX = {".tgz": "gunzip", ".tbz2": "bunzip2", ".txz": "unxz", ".tzst": "unzstd"}
NAMED_AGAIN = "files whose name comes again"  # that are left out: of a tar the last one counts
FOREIGN_FORMATS = {  # names of files that hold images in a format of another tool, and the way from there
    r"\.beton": "FFCV's format, which only FFCV reads; give the images that it was written from",
    r"(.*/)?data\.mdb": "an LMDB database; write its images to class folders with the tool that made it",
    r"\.tfrecords?|-\d{5}-of-\d{5}": "TFRecord, which TensorFlow reads; write its images to class folders or "
    "to WebDataset shards",
    r"\.rec": "MXNet's RecordIO; MXNet's im2rec --unpack writes its images to folders",
    r"(.*/)?pack\.json": "of a pack that itl wrote; give the images that were packed, whose path it has",
    r"\.(h5|hdf5)": "HDF5; write its images to class folders with h5py",
}
FORMATS_BESIDE_ARCHIVES = {  # the same, but also of files beside archives of images, so these go first
    r"\.(h5|hdf5)\.gz": "compressed HDF5; unpack it with gunzip, and write its images to class folders with "
    "h5py",
    r"\.arrow": "Arrow, as save_to_disk of the library datasets writes it; datasets.load_from_disk(FOLDER) "
    "reads it, and to_parquet('train.parquet') of each of its splits writes a file for the source parquet",
    r"\.(rar|7z)": "packed in a format that is not read; unpack it, as with 7z x",
    r"\.(zip|7z|rar|tar)(\.gz)?\.\d{3}": "a part of an archive; join all with cat, and unpack the whole",
    r"\.z\d\d": "a part of a zip; join all with zip -s 0 NAME.zip --out whole.zip, and unpack that",
    r"idx\d-ubyte(\.gz)?": "in the format of MNIST; write its images to class folders, as after reading it "
    "with torchvision.datasets.MNIST",
    r"_X\.bin": "in the format of STL-10; write its images to class folders, as after reading it with "
    "torchvision.datasets.STL10",
    r"_batch(_\d)?\.bin|fine_label_names\.txt|cifar-100?-binary\.tar\.gz": "of CIFAR's binary version; "
    "get the Python version, cifar-10-python.tar.gz or cifar-100-python.tar.gz, which the source cifar10 or "
    "cifar100 reads",
    r"\.np[yz]": "a file of NumPy; write its images to class folders, as after reading it with numpy.load",
    r"\.mat": "a file of MATLAB; write its images to class folders, as after reading it with "
    "scipy.io.loadmat",
    r"\.nii(\.gz)?": "NIfTI; write its slices to class folders, as after reading it with nibabel",
    r"\.(avi|mp4|mov|mkv|webm|mpe?g|wmv)": "a video; write its frames to class folders, as with ffmpeg",
}
ZIP_UTF8_FLAG = 0x800
ZIP_LOCAL_HEADER, ZIP_LOCAL_HEADER_BYTES = b"PK\3\4", 30  # its start, and all before a member's name


class NoEndError(tarfile.ReadError):
    """A tar stops behind a file, without the empty blocks that end one."""


@dataclass(frozen=True, slots=True)
class Member:
    """Where one file is: on its own, or in a tar."""

    path: str  # of the file, or of the archive that holds it
    offset: int = 0  # first byte in the archive
    size: int | None = None  # in bytes, as stored in the archive; None: a file on its own

    def read(self) -> bytes:
        """Return the content of the file; ItlError if it is damaged in its archive."""
        return _read_range(self.path, self.offset, self.size)

    def file_size(self) -> int:
        """Return the number of bytes of the file."""
        return os.path.getsize(self.path) if self.size is None else self.size

    def read_start(self, size: int) -> bytes:
        """Return the first *size* bytes, or all if there are fewer."""
        return _read_range(self.path, self.offset, size if self.size is None else min(size, self.size))


@dataclass(frozen=True, slots=True)
class ZipMember(Member):
    """A file in a zip; its offset is that of the local header."""

    method: int = zipfile.ZIP_STORED
    crc: int = 0

    def read(self) -> bytes:
        """Return the content of the file; ItlError if it is damaged in its archive."""
        header = _read_range(self.path, self.offset, ZIP_LOCAL_HEADER_BYTES)
        if len(header) < ZIP_LOCAL_HEADER_BYTES or not header.startswith(ZIP_LOCAL_HEADER):
            raise ItlError("damaged in its zip: it is not where the zip's list of files says")
        name_length, extra_length = struct.unpack("<HH", header[26:30])
        start = self.offset + ZIP_LOCAL_HEADER_BYTES + name_length + extra_length
        data = _read_range(self.path, start, self.size)
        try:
            data = data if self.method == zipfile.ZIP_STORED else inflate(data)
        except zlib.error as error:
            raise ItlError(f"damaged in its zip: {error}") from error
        if zlib.crc32(data) != self.crc:
            raise ItlError("damaged in its zip: the checksum differs")
        return data

    def file_size(self) -> int:
        """Return the number of bytes of the file, unpacked; the member is read whole."""
        return len(self.read())

    def read_start(self, size: int) -> bytes:
        """Return the first *size* bytes, or all if there are fewer; the member is read whole."""
        return self.read()[:size]


@dataclass
class Listing:
    """The files under one path; names are relative, with forward slashes."""

    files: dict[str, Member] = field(default_factory=dict)  # by name
    folders: set[str] = field(default_factory=set)  # every folder, empty ones too
    left_out: Counter = field(default_factory=Counter)  # reason -> how many members
    prefix: str = ""  # of all names that are added
    repeated: list[str] = field(default_factory=list)  # names that came before

    def add(self, name: str, member: Member) -> None:
        """Add the file *name*, unless it is a stray file of an operating system."""
        parts = split_name(name)
        if parts is None:
            self.left_out["names that leave the archive"] += 1
        elif is_stray(parts):
            self.left_out[_reason_of_stray(parts)] += 1
        else:
            name = self.prefix + "/".join(parts)
            if name in self.files:
                self.left_out[NAMED_AGAIN] += 1
                self.repeated.append(name)
            self.files[name] = member
            self._add_folders(name.rpartition("/")[0])

    def add_links(self, links: dict[str, str]) -> None:
        """Add *links*, from names to the files of the same archive that they lead to."""
        targets = {name: self.prefix + "/".join(split_name(path) or ()) for name, path in links.items()}
        while ready := [name for name, target in targets.items() if target in self.files]:
            for name in ready:  # and then the links to these
                self.add(name, self.files[targets.pop(name)])
        for target in targets.values():
            to_folder = target in self.folders
            self.left_out["links to folders" if to_folder else "links that lead nowhere"] += 1

    def add_folder(self, name: str) -> None:
        """Add a folder, which may be empty."""
        parts = split_name(name)
        if parts and not is_stray(parts):
            self._add_folders(self.prefix + "/".join(parts))

    def _add_folders(self, folder: str) -> None:
        while folder and folder not in self.folders:
            self.folders.add(folder)
            folder = folder.rpartition("/")[0]

    def inside(self, folder: str) -> "Listing":
        """Return the part under *folder*, named relative to it; `left_out` stays."""
        prefix = folder + "/"
        return Listing(
            {name[len(prefix) :]: member for name, member in self.files.items() if name.startswith(prefix)},
            {name[len(prefix) :] for name in self.folders if name.startswith(prefix)},
            self.left_out,
        )

    def add_copies(self, files: Iterable[tuple[str, Member]]) -> None:
        """Add *files*, whose names may be there already, as those of copies: one is kept.

        They are compared by their sizes, and lists and annotations by their contents. ItlError where
        two differ, as nobody can know which counts.
        """
        for name, member in files:
            if _differ(name, first := self.files.setdefault(name, member), member):
                paths = [
                    copy.path if copy.path.lower().endswith(name.lower()) else f"that in {copy.path}"
                    for copy in (first, member)
                ]
                raise ItlError(
                    f"{name} is there twice, and differs: {' and '.join(paths)}; leave one of them"
                )
            self._add_folders(name.rpartition("/")[0])

    def top_folders(self) -> list[str]:
        """Return the names of the outermost folders, sorted.

        >>> Listing(folders={"train", "train/cat"}).top_folders()
        ['train']
        """
        return sorted({name.split("/", 1)[0] for name in self.folders})


def _differ(name: str, member: Member, other: Member) -> bool:
    if member == other:
        return False
    if member.file_size() != other.file_size():
        return True
    return name.endswith((".txt", ".xml")) and member.read() != other.read()


def split_name(name: str) -> list[str] | None:
    """Split the *name* of an archive's member into parts; None if it is absolute or climbs with ``..``.

    >>> split_name("./train/cat/1.jpg"), split_name("../x"), split_name("/etc/passwd")
    (['train', 'cat', '1.jpg'], None, None)
    """
    # Zips made on Windows have backslashes; Macs decompose accents. Both would split one class in two.
    name = name.replace("\\", "/") if "\\" in name else name
    name = name if name.isascii() else unicodedata.normalize("NFC", name)
    # Names that are not UTF-8 arrive with lone surrogates, which no table can hold.
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return None if name.startswith("/") or ".." in parts else parts


def is_stray(parts: list[str]) -> bool:
    """Say whether a path, given in parts, was left by an operating system or an editor."""
    return not STRAY_NAMES.isdisjoint(parts) or "/." in f"/{'/'.join(parts)}"  # quicker than part by part


def _reason_of_stray(parts: list[str]) -> str:
    """Return why a stray file is left out; an image in a hidden folder of no known tool, by it.

    >>> _reason_of_stray([".22 LR", "0.jpg"])
    'images in the hidden folder .22 LR (if it is a class, rename it and them, without a first dot)'
    >>> _reason_of_stray([".cache", "0.jpg"])
    'stray files'
    """
    hidden = [part for part in parts[:-1] if part.startswith(".") and part != "."]
    is_stray_file = parts[-1].startswith("._") or splitext(parts[-1])[1].lower() not in FORMATS_OF_SUFFIX
    is_known = not STRAY_NAMES.isdisjoint(parts) or any(map(KNOWN_HIDDEN.match, hidden))
    if not hidden or is_stray_file or is_known:
        return "stray files"
    return (
        f"images in the hidden folder {hidden[0]} (if it is a class, rename it and them, without a first dot)"
    )


def foreign_format(names: Iterable[str], formats: Mapping[str, str] = FOREIGN_FORMATS) -> str:
    """Say which of *formats*, the first that any of *names* has, and the way from there; else empty.

    >>> foreign_format(["readme.txt", "train.beton"])
    "train.beton is FFCV's format, which only FFCV reads; give the images that it was written from"
    """
    names = list(names)
    for pattern, words in formats.items():
        if name := next((name for name in names if re.search(f"({pattern})$", name, re.IGNORECASE)), ""):
            return f"{name} is {words}"
    return ""


def open_listing(path: Path, prefix: str = "") -> Listing:
    """List the files under *path*: a folder, a tar (not compressed) or a zip; names begin with *prefix*.

    ItlError if nothing is there, or it has another format, is compressed or is damaged.
    """
    if path.is_dir():
        listing = Listing(prefix=prefix)
        roots = (os.path.join(path, ""), os.path.join(os.path.realpath(path), ""))  # as given; real
        _add_folder_tree(str(path), "", listing, frozenset(), roots)
        return listing
    if not path.exists():
        raise ItlError(f"there is nothing at {path}; give a folder, a .tar or a .zip")
    if words := foreign_format([path.name], FOREIGN_FORMATS | FORMATS_BESIDE_ARCHIVES):
        raise ItlError(f"{path.parent}/{words}")
    with path.open("rb") as file:
        start = file.read(8)
        if start.startswith((ZIP_LOCAL_HEADER, b"PK\5\6", b"PK\7\x08")):
            return _list_zip(path, prefix)
        _refuse_compressed(path, start)
        file.seek(0)
        return _list_tar(str(path), file, os.fstat(file.fileno()).st_size, prefix=prefix)


def read_file(path: Path) -> bytes:
    """Return the content of the file *path*, which is in no archive; ItlError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from error


def list_inner_tar(member: Member, name: str, prefix: str = "") -> Listing:
    """List the tar called *name*, stored uncompressed as *member* of a folder or a tar; else ItlError."""
    if isinstance(member, ZipMember):
        raise ItlError(f"{name} is a tar inside the zip {member.path}, not readable in place; unpack the zip")
    with open(member.path, "rb") as file:
        file.seek(member.offset)
        _refuse_compressed(Path(member.path) / name, file.read(8))
        file.seek(member.offset)
        inner_name = "" if member.size is None else name  # else a file of its own
        return _list_tar(member.path, file, member.offset + member.file_size(), inner_name, prefix)


def _read_range(path: str, offset: int, size: int | None) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


def _add_folder_tree(
    folder: str, prefix: str, listing: Listing, ancestors: frozenset, roots: tuple[str, str]
) -> None:
    """Add everything under *folder*; links are followed, except to a folder that contains them."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    status = os.stat(folder)
    ancestors |= {(status.st_dev, status.st_ino)}
    _refuse_one_name([entry.path for entry in ordered if not entry.name.isascii()])
    for entry in ordered:
        name = prefix + entry.name
        if not entry.is_dir():
            if entry.is_file():
                path = _path_of_link(entry.path, roots) if entry.is_symlink() else entry.path
                listing.add(name, Member(path))  # of two links to one file it is the same
            else:
                listing.left_out["links that lead nowhere" if entry.is_symlink() else "devices"] += 1
        elif is_stray([entry.name]):
            for path, _, files in os.walk(entry.path):
                parts = [entry.name, *os.path.relpath(path, entry.path).split(os.sep)]
                listing.left_out.update(_reason_of_stray([*parts, file]) for file in files)
        elif (entry.stat().st_dev, entry.stat().st_ino) in ancestors:
            listing.left_out["links to a folder they are in"] += 1
        else:
            listing.add_folder(name)
            _add_folder_tree(entry.path, name + "/", listing, ancestors, roots)


def _path_of_link(path: str, roots: tuple[str, str]) -> str:
    """Return the path that the link *path* leads to; below the second of *roots* from the first, as files."""
    target, (root, real_root) = os.path.realpath(path), roots
    return root + target.removeprefix(real_root) if target.startswith(real_root) else target


def _refuse_one_name(paths: list[str]) -> None:
    """Raise ItlError where two of *paths* differ in how their accents are written alone."""
    seen: dict[str, str] = {}
    for path in paths:
        if (other := seen.setdefault(unicodedata.normalize("NFC", path), path)) != path:
            raise ItlError(
                f"{other!a} and {path!a} are one name, with accents written in two ways; rename one"
            )


def _refuse_compressed(path: Path, start: bytes) -> None:
    for magic, tool in COMPRESSION_TOOLS.items():
        if start.startswith(magic):
            quoted = shlex.quote(str(path))
            command = f"{tool} -k {quoted}"
            if path.suffix.lower() not in TOOL_OF_SUFFIX | TOOL_OF_TAR_SUFFIX:  # which the tools refuse
                command = f"{tool} < {quoted} > {shlex.quote(str(path.with_suffix('.plain.tar')))}"
            raise ItlError(
                f"{path} is compressed, so single images cannot be read in place; "
                f"`{command}` writes the plain tar beside it, which can"
            )


def _list_tar(path: str, file: BinaryIO, end: int, inner_name: str = "", prefix: str = "") -> Listing:
    """List the tar that starts at the position of *file* and ends before byte *end*."""
    listing, links = Listing(prefix=prefix), {}
    try:
        for member in _tar_headers(file, end):
            if member.isreg() and not member.issparse():
                listing.add(member.name, Member(path, member.offset_data, member.size))
            elif member.isdir():
                listing.add_folder(member.name)
            elif member.islnk():
                links[member.name] = member.linkname
            elif member.issym():
                links[member.name] = normpath(join(dirname(member.name), member.linkname))
            else:
                listing.left_out["special files"] += 1
    except tarfile.ReadError as error:
        name, count = f"{path}:{inner_name}" if inner_name else path, len(listing.files)
        if not listing.files and not listing.folders and not listing.left_out:
            raise ItlError(
                f"{name} is no tar, or damaged from its first byte ({error}); give a folder, a .tar or a .zip"
            ) from error
        way = "; copy it again"
        if isinstance(error, NoEndError) and not inner_name:
            way += f", or, if it was written so, `head -c 1024 /dev/zero >> {shlex.quote(path)}` ends it"
        raise ItlError(f"{name} is not a whole tar: {error} after {counted(count, 'files')}{way}") from error
    _refuse_second_tar(path, file, end)
    listing.add_links(links)
    return listing


def _tar_headers(file: BinaryIO, end: int) -> Iterator[tarfile.TarInfo]:
    """Yield the headers of a tar one by one: tarfile would keep all of them, 1 GB for ImageNet."""
    start = file.tell()
    with tarfile.open(fileobj=file, mode="r:") as tar:
        member = tar.next()
        while member is not None:
            tar.members.clear()  # type: ignore[attr-defined]
            if member.offset_data + member.size > end and not member.issparse():
                raise tarfile.ReadError("cut short")
            yield member
            member = tar.next() if tar.offset < end else None  # beyond an inner tar's end is the outer tar
        file.seek(tar.offset)
        if (end - start) % tarfile.BLOCKSIZE:  # in the padding behind a file
            raise tarfile.ReadError("cut short")
        block = file.read(max(0, min(tarfile.BLOCKSIZE, end - tar.offset)))
        if block.strip(b"\0"):
            raise tarfile.ReadError(f"damaged at byte {tar.offset:,}")  # tarfile takes this for the end
        if not block:  # as where it was cut between two files
            raise NoEndError("no end mark")


def _refuse_second_tar(path: str, file: BinaryIO, end: int) -> None:
    """Raise ItlError if another tar begins between the position of *file*, behind one, and byte *end*."""
    while (start := file.tell()) < end and (chunk := file.read(min(2**20, end - start))):
        if rest := chunk.lstrip(b"\0"):
            block = (len(chunk) - len(rest)) // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
            with contextlib.suppress(tarfile.HeaderError):
                tarfile.TarInfo.frombuf(chunk[block : block + tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
                raise ItlError(
                    f"{path} is several tars in one file, of which most tools read the first alone; "
                    f"`tar --ignore-zeros -xf {shlex.quote(path)}` unpacks all"
                )
            return


def _list_zip(path: Path, prefix: str) -> Listing:
    listing, links, odd = Listing(prefix=prefix), {}, []
    with explain_damage(str(path), "zip"), zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    for info in infos:
        name = _name_in_zip(info)
        if info.is_dir():
            listing.add_folder(name)
            continue
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            listing.left_out["encrypted or oddly compressed members"] += 1
            odd += [name] if splitext(name)[1].lower() in FORMATS_OF_SUFFIX else []
            continue
        member = ZipMember(str(path), info.header_offset, info.compress_size, info.compress_type, info.CRC)
        if stat.S_ISLNK(info.external_attr >> 16):
            target = member.read().decode("utf-8", "surrogateescape")
            links[name] = normpath(join(dirname(name), target))
        else:
            listing.add(name, member)
    listing.add_links(links)
    if odd:
        raise ItlError(
            f"{path} holds {counted(len(odd), 'images')} that cannot be read here, such as {odd[0]}: they "
            f"are encrypted, or compressed otherwise than by deflate; unpack it"
        )
    return listing


def _name_in_zip(info: zipfile.ZipInfo) -> str:
    """Return the name of a zip's member: macOS writes UTF-8 without the flag that says so."""
    if info.flag_bits & ZIP_UTF8_FLAG or info.filename.isascii():
        return info.filename
    with contextlib.suppress(UnicodeError):  # not UTF-8, but the code page of DOS, as zipfile takes it to be
        return info.filename.encode("cp437").decode("utf-8")
    return info.filename
