"""Archives among the files of a source: what to do about those that are still packed."""

import itertools
import shlex
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from posixpath import dirname, join

from itl.sources.files.archives import LABEL_SUFFIXES, Listing, Member, open_listing, split_name
from itl.sources.records import examples, is_image, suffix_of

MAX_PEEKED_MEMBERS, MAX_PEEKED_BYTES = 1000, 16 << 20  # of a tar; and of a file in a compressed one
MAX_PEEKED_TARS = 20  # to see what these hold
PACKED_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")


def is_archive(name: str) -> bool:
    """Say whether the file *name* is an archive, by its suffix."""
    return name.lower().endswith((*PACKED_SUFFIXES, ".tar"))


def describe_packed(files: Mapping[str, Member]) -> str:
    """Return what to do about compressed archives among *files*, first if not unpacked; empty without any.

    >>> describe_packed({"a.txt": Member("data/a.txt"), "cats.tar.gz": Member("data/cats.tar.gz")})[-44:]
    'unpack it: `tar xf data/cats.tar.gz -C data`'
    """
    compressed = [name for name in files if name.lower().endswith(PACKED_SUFFIXES)]
    if not compressed:
        return ""
    packed = next((name for name in compressed if not _is_unpacked(name, files)), compressed[0])
    member = files[packed]
    beside = [name for name in compressed if dirname(name) == dirname(packed)]
    if member.size is not None:
        way = f"unpack {member.path} to a folder, then {packed} in it"
        if len(beside) > 1:  # of which each may be a class: what is in the folder is looked at then
            way = f"unpack {member.path}, `{unpack_command(member.path, in_own_folder=True)}`"
        return f"{packed} is packed itself; {way}, and give that folder"
    why = "is compressed, so single images cannot be read in place"
    if packed.lower().endswith(".zip"):
        why = "is a zip inside the folder"
    if len(beside) > 1 and _is_flat(member.path):  # images of several classes would be mixed
        way = unpack_command(member.path, in_own_folder=True)
        return f"{packed} {why}; unpack each into a folder of its own: `{way}`"
    return f"{packed} {why}; unpack it: `{unpack_command(member.path)}`"


def describe_unopened(files: Mapping[str, Member]) -> str:
    """Say that archives among *files* were not opened, as images may be missing; empty without any."""
    if not (names := sorted(filter(is_archive, files))):
        return ""
    was, them = ("was", "it") if len(names) == 1 else ("were", "them")
    return f"{examples(names)} in this folder {was} not opened; unpack {them} if images are missing"


def describe_holder(wanted: str, files: Mapping[str, Member], path: Path) -> str:
    """Say which archive among *files* at *path* to unpack for the file *wanted*; empty without archives."""
    names = sorted(filter(is_archive, files))
    if names and path.is_dir() and len(files) == 1 and names[0].lower().endswith(".tar"):
        return f"{names[0]} was not opened: unpack it, or give {path / names[0]} itself"
    for name in names:
        inside = _members(files[name].path) if files[name].size is None else ()
        if any(f"/{member}".endswith(f"/{wanted}") for member in inside):
            return f"{name} holds it: unpack that, `{unpack_command(files[name].path)}`"
    if packed := describe_packed(files):
        return packed
    if len(names) > 1:
        return f"{examples(names)} were not opened: unpack each"
    return f"{names[0]} was not opened: unpack {'it' if path.is_dir() else 'it and that'}" if names else ""


def describe_tar(listing: Listing) -> str:
    """Say how to unpack a tar of *listing* with archives, or images without labels; else empty.

    Shards have labels beside images. A tar beside a folder of its name is unpacked already.
    """
    tars = [name for name in sorted(listing.files) if suffix_of(name) == ".tar"]
    tars = [name for name in tars if unpacked_folder(name) not in listing.folders]
    for tar in tars[:MAX_PEEKED_TARS]:
        member = listing.files[tar]
        if member.size is not None:
            return ""
        inner = _members(member.path)
        images = sorted(filter(is_image, inner), key=lambda name: "/" not in name)
        labels = {_key(name) for name in inner if name.lower().endswith(LABEL_SUFFIXES)}
        if not labels.isdisjoint(map(_key, images)):
            return ""
        if images or any(map(is_archive, inner)):
            return _describe_inner(tar, member.path, images, sorted(filter(is_archive, inner)))
    return ""


def _key(name: str) -> str:
    """Return what files of one sample in a shard share: the path *name* before the first dot of the file."""
    return join(dirname(name), name.rpartition("/")[2].partition(".")[0])


def _describe_inner(tar: str, path: str, images: Sequence[str], packed: Sequence[str]) -> str:
    """Say how to unpack the *tar* at *path*, which has *images*, those in folders first, or else archives."""
    if not images:
        command = unpack_command(path, in_own_folder=True)
        return (
            f"{tar} is a tar inside the folder, with archives, such as {packed[0]}; unpack each: `{command}`"
        )
    command = unpack_command(path, in_own_folder="/" not in images[0])
    if "/" in images[0]:
        what, way = "images in folders", "unpack each tar"
    else:
        what, way = "images without labels", "if each tar is a class, unpack each into a folder of its own"
    return f"{tar} is a tar inside the folder, with {what}, such as {images[0]}; {way}: `{command}`"


def _members(path: str) -> list[str]:
    """Return the names of files in the archive *path*, of a tar the first ones, and those before damage.

    Behind a large file in a compressed tar, nothing is looked at, as all of it would be inflated.
    """
    names: list[str] = []
    with suppress(Exception):  # whatever is wrong with an archive that is not read
        if path.lower().endswith(".zip"):
            return list(open_listing(Path(path)).files)
        with tarfile.open(path) as tar:
            for member in itertools.islice(tar, MAX_PEEKED_MEMBERS):
                names += ["/".join(split_name(member.name) or ())] if member.isfile() else []
                if member.size > MAX_PEEKED_BYTES and not path.lower().endswith(".tar"):
                    break
    return names


def _is_unpacked(name: str, files: Mapping[str, Member]) -> bool:
    """Say whether the archive *name* is unpacked among *files*: beside it, or to a folder of its name."""
    if files[name].size is not None:  # itself in an archive
        return False
    inside = _members(files[name].path)
    folders = (dirname(name), unpacked_folder(name))
    return bool(inside) and any(all(join(folder, file) in files for file in inside) for folder in folders)


def _is_flat(path: str) -> bool:
    """Say whether the archive *path* begins with files in no folders, without labels of WebDataset."""
    names = _members(path)
    return bool(names) and all(
        "/" not in name and not name.lower().endswith(LABEL_SUFFIXES) for name in names
    )


def unpack_command(path: str, in_own_folder: bool = False) -> str:
    """Return the command that unpacks the archive *path* beside it, or there in a folder of its name.

    >>> unpack_command("my data/a.zip"), unpack_command("a.tar", in_own_folder=True)
    ("unzip 'my data/a.zip' -d 'my data'", 'mkdir -p a && tar xf a.tar -C a')
    """
    file = shlex.quote(path)
    folder = shlex.quote(unpacked_folder(path) if in_own_folder else dirname(path) or ".")
    if path.lower().endswith(".zip"):
        return f"unzip {file} -d {folder}"
    return f"{f'mkdir -p {folder} && ' if in_own_folder else ''}tar xf {file} -C {folder}"


def unpacked_folder(path: str) -> str:
    """Return the folder that the archive *path* is unpacked to, beside it: its name without the suffix."""
    suffix = next((end for end in (*PACKED_SUFFIXES, ".tar") if path.lower().endswith(end)), "")
    return path[: len(path) - len(suffix)] if suffix else f"{path}-unpacked"
