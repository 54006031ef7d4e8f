"""Archives among the files of a source, which are not opened, and the command that unpacks one."""

import shlex
from collections.abc import Mapping
from pathlib import PurePosixPath
from posixpath import dirname

from itl.sources.files.archives import Member
from itl.words import examples

SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".tar")


def is_archive(name: str) -> bool:
    """Say whether the file *name* is an archive, by its suffix."""
    return name.lower().endswith(SUFFIXES)


def describe_unopened(files: Mapping[str, Member]) -> str:
    """Name archives among *files* that have no folder of their name, and how to unpack one; empty without.

    >>> describe_unopened({"a.txt": Member("data/a.txt"), "cats.zip": Member("data/cats.zip")})
    'cats.zip in this folder is not opened; unpack it: `unzip data/cats.zip -d data/cats`'
    """
    archives = sorted(filter(is_archive, files))
    folders = {dirname(file) for file in files} if archives else set()
    folders |= {str(parent) for folder in folders for parent in PurePosixPath(folder).parents}
    if not (names := [name for name in archives if unpacked_folder(name) not in folders]):
        return ""
    member, are = files[names[0]], "is" if len(names) == 1 else "are"
    command = unpack_command(member.path)
    if member.size is not None:
        way = f"unpack that, `{command}`, and give that folder"
        return f"{examples(names)} {are} packed in {member.path}; {way}"
    them = "it" if len(names) == 1 else "each"
    return f"{examples(names)} in this folder {are} not opened; unpack {them}: `{command}`"


def unpack_command(path: str) -> str:
    """Return the command that unpacks the archive *path* to a folder of its name, beside it.

    There, what archives of one class each hold does not get mixed.

    >>> unpack_command("my data/a.zip"), unpack_command("a.tar")
    ("unzip 'my data/a.zip' -d 'my data/a'", 'mkdir -p a && tar xf a.tar -C a')
    """
    file, folder = shlex.quote(path), shlex.quote(unpacked_folder(path))
    if path.lower().endswith(".zip"):
        return f"unzip {file} -d {folder}"
    return f"mkdir -p {folder} && tar xf {file} -C {folder}"


def unpacked_folder(path: str) -> str:
    """Return the folder that the archive *path* is unpacked to, beside it: its name without the suffix."""
    suffix = next((end for end in SUFFIXES if path.lower().endswith(end)), "")
    return path[: len(path) - len(suffix)] if suffix else f"{path}-unpacked"
