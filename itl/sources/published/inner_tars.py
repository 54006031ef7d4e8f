"""Tars inside the folders and tars of ImageNet: of a split, and of each class."""

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from posixpath import basename

from itl.errors import ItlError
from itl.sources.files import archives
from itl.sources.files.archives import Listing
from itl.sources.folder_names import wnid_of
from itl.sources.records import is_image
from itl.sources.split_names import split_of_name
from itl.words import counted, examples


def has_images(path: Path) -> bool:
    """Say whether *path* is a tar or an image, or a folder with any; reads up to the first."""
    entered: set[str] = set()
    for folder, folders, files in os.walk(path, followlinks=True):
        if (real := os.path.realpath(folder)) in entered:  # a link to a folder around it
            folders.clear()
            continue
        entered.add(real)
        if any(is_image(name) or name.endswith(".tar") for name in files):
            return True
    return is_image(path.name) or path.name.endswith(".tar")  # a file, in which nothing is walked


@cache
def innermost_wnid(folder: str) -> str:
    """Return the wnid of the innermost folder of a wnid in the path *folder*; '' without one.

    >>> innermost_wnid("train/n01440764_tench/images"), innermost_wnid("train")
    ('n01440764', '')
    """
    return next(filter(None, map(wnid_of, reversed(folder.split("/")))), "")


def open_split_tar(listing: Listing, folder: str) -> Listing:
    """Replace the tar of a split by its files if it lies alone in the *folder* of that split.

    ItlError if it has class tars that the folder, where others are, lacks: it is not all unpacked.
    """
    tars = [name for name in listing.files if name.endswith(".tar")]
    own = [name for name in tars if split_of_name(basename(name)[:-4]) == split_of_name(folder)]
    if len(own) != 1:
        return listing
    if len(tars) > 1 or any(map(is_image, listing.files)):
        _refuse_half_unpacked(listing, own[0], folder)
        return listing
    inner = archives.list_inner_tar(listing.files[own[0]], own[0], f"{folder}/")
    files = {name: member for name, member in listing.files.items() if name != own[0]}
    return Listing(files | inner.files, listing.folders | inner.folders, listing.left_out + inner.left_out)


def _refuse_half_unpacked(listing: Listing, tar: str, folder: str) -> None:
    """Raise ItlError if the *tar* of the split in *folder* has classes that *listing*, of this, lacks."""
    inside: list[str] = []
    with suppress(ItlError):  # of a damaged tar, which nobody reads
        inside += archives.list_inner_tar(listing.files[tar], tar).files
    names = (name.removesuffix(".tar") for name in (*listing.files, *listing.folders))
    unpacked = set(map(innermost_wnid, names))
    wnids = {wnid for name in inside if name.endswith(".tar") and (wnid := innermost_wnid(name[:-4]))}
    if missing := sorted(wnids - unpacked):
        raise ItlError(
            f"{folder!r} lacks {counted(len(missing), 'classes')} of {tar}, such as {examples(missing, 1)}; "
            f"unpack the rest, or move the tar out of {folder!r} to read what is unpacked"
        )


def open_class_tars(listing: Listing) -> Listing:
    """Replace each wnid.tar, or n01440764_tench.tar, in *listing* by its files."""
    opened = Listing(folders=listing.folders, left_out=listing.left_out)
    for name, member in listing.files.items():
        folder = name.removesuffix(".tar")
        if folder != name and wnid_of(basename(folder)):
            inner = archives.list_inner_tar(member, name, f"{folder}/")
            opened.files |= inner.files
            opened.folders |= inner.folders | {folder}
            opened.left_out += inner.left_out
        else:
            opened.files[name] = member
    return opened
