"""Where data is on this machine, and the pack of each packing there."""

import os
from dataclasses import replace
from fnmatch import fnmatch
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path

from itl.errors import ItlError, nearest
from itl.machine import Machine, data_entry, describe_unused_data, expand_home
from itl.packs.content import check_content
from itl.packs.pack import PACK_AGAIN, Pack
from itl.sources.registry import reads_files
from itl.specs import Packing, canonical
from itl.storage import read_mapping

MOST_COMPARED = 1000  # names in the data folders, where none is the one that is looked for


class NoSource(ItlError):
    """Raised where nothing here has the images of a packing: a pack of them may be here all the same."""


def find_source(packing: Packing, name: str, machine: Machine) -> Path | None:
    """Return the path of the images of *packing*; None if they are rendered.

    The ``data`` of *machine* has the entry NAME=PATH, or folders with one match of the glob of *packing*.

    ItlError if nothing is at the path of NAME=PATH, or several folders match; `NoSource`, which is one, if
    no data given has the images.
    """
    if not reads_files(packing.source):
        return None
    entries = [data_entry(entry) for entry in machine.data]
    paths = dict.fromkeys(expand_home(path) for given, path in entries if given == name)
    if len(paths) > 1:
        raise ItlError(f"{name} has {len(paths)} paths, {' and '.join(map(str, paths))}; leave one of them")
    if paths:
        return _existing(next(iter(paths)), name, ItlError)
    if not packing.path:
        unused = describe_unused_data(machine.data)
        raise NoSource(f"no path is given for {name}; use --data {name}=PATH{unused}")
    path = expand_home(packing.path)
    if path.is_absolute():
        return _existing(path, name, NoSource)
    folders = [expand_home(path) for name, path in entries if not name]
    matches = [folder for folder in folders if fnmatch(folder.name, packing.path) and folder.exists()]
    for folder in folders:
        if folder.is_dir():
            matches += [folder] if path == Path() else sorted(folder.glob(packing.path))
    if len({match.resolve() for match in matches}) == 1:  # several folders of data may lead to it
        return matches[0]
    named = [f"{folder}{'' if folder.exists() else ' (which does not exist)'}" for folder in folders]
    nowhere = "--data names no folder alone" if entries else "ITL_DATA and --data are empty"
    searched = ", ".join(named) or f"no folder ({nowhere})"
    result = f"{len(matches)} matches ({', '.join(map(str, matches[:3]))})" if matches else "nothing"
    kind = ItlError if matches else NoSource
    inside = chain.from_iterable(folder.iterdir() for folder in folders if folder.is_dir())
    present = [] if matches else [path.name for path in islice(inside, MOST_COMPARED)]
    if near := nearest(packing.path, present):
        result += f" (did you mean {near[0]!r}?)"
    here = not matches and path.exists()
    raise kind(
        f"looked for {name} as {packing.path} in {searched}; found {result}; give --data FOLDER or --data "
        f"{name}={f'{path}, which is in this folder' if here else 'PATH'}{describe_unused_data(machine.data)}"
    )


def _existing(path: Path, name: str, kind: type[ItlError]) -> Path:
    if path.exists():
        return path
    raise kind(f"{name} should lie at {path}, but nothing is there; give --data {name}=PATH")


def pack_folder(packing: Packing, name: str, machine: Machine) -> Path:
    """Return the folder of the pack of *packing* here; another source, path or size has another folder.

    Where no data given has its images, it is that of the only pack here that was built of *packing*, wherever
    its source lay, or of several with one content: results of runs that are done need no data.

    ItlError as in `find_source`; where no data has the images, only if there is no such pack, or several.
    """
    try:
        return machine.packs / _folder_name(packing, name, find_source(packing, name, machine))
    except NoSource as error:
        built = [path.parent for path in machine.packs.glob("*/pack.json")]
        ours = [folder for folder in built if is_built_of(folder, packing, name)]
        if len({read_mapping(folder / "pack.json", PACK_AGAIN).get("digest") for folder in ours}) == 1:
            return min(ours)  # of several with the same content, as where the data were moved
        several = f"; {', '.join(folder.name for folder in ours)} are built, of other paths" if ours else ""
        raise ItlError(f"{error}{several}") from error


def is_built_of(folder: Path, packing: Packing, name: str) -> bool:
    """Say whether the pack in *folder* is the one that runs have of *packing*, wherever its source lay."""
    path = read_mapping(folder / "pack.json", PACK_AGAIN).get("path")
    return isinstance(path, str) and folder.name == _folder_name(packing, name, Path(path))


def _folder_name(packing: Packing, name: str, path: Path | None) -> str:
    pixels = replace(packing, unreadable=Packing.unreadable)  # which decides whether there is a pack
    identity = [canonical(pixels), str(path and path.resolve())]
    digest = sha256(os.fsencode("\n".join(identity))).hexdigest()[:8]
    return f"{name}-{packing.size}-{digest}"


def packed(packing: Packing, name: str, machine: Machine) -> Pack | None:
    """Open the pack of *packing* as it is, even if its source has changed; None if it is not built yet."""
    folder = pack_folder(packing, name, machine)
    return Pack.open(folder) if folder.exists() else None


def open_packed(packing: Packing, name: str, machine: Machine) -> Pack:
    """Open the pack that finished runs on *packing* are of, as `packed`; ItlError if it is not built."""
    if pack := packed(packing, name, machine):
        return pack
    raise ItlError(
        f"{name} is not packed at {pack_folder(packing, name, machine)}; `itl run PRESET` packs it anew"
    )


def build_or_open(packing: Packing, name: str, machine: Machine) -> Pack:
    """Open the pack of *packing*, after building it if it is missing or its source has changed.

    ItlError if it no longer holds what was packed.
    """
    pack = Pack.build(packing, pack_folder(packing, name, machine), path=find_source(packing, name, machine))
    check_content(pack)
    return pack


def open_by_digest(digest: str, machine: Machine) -> Pack:
    """Open the pack here with the *digest* that specs hold; other packs may be damaged or unfinished.

    ItlError if no pack here has it.
    """
    pack = find_by_digest(digest, machine)
    if pack is None:
        raise ItlError(
            f"no pack with digest {digest} in {machine.packs}; build it with `itl run` or `itl pack`"
        )
    return pack


def find_by_digest(digest: str, machine: Machine) -> Pack | None:
    """Open a pack here with the *digest* of specs; None if there is none, ItlError if all are damaged.

    Of several, as where the data were moved, it is the first that holds what was packed: `build_or_open`
    checks only that of the data's path now.
    """
    summaries = [
        path
        for path in sorted(machine.packs.glob("*/pack.json"))
        if path.parent.suffix not in (".partial", ".replaced")  # killed just before it was published
        and read_mapping(path, PACK_AGAIN).get("digest") == digest
    ]
    damage = None
    for summary in summaries:
        try:
            pack = Pack.open(summary.parent)
            if len(summaries) > 1:
                check_content(pack)
            return pack
        except ItlError as error:
            damage = error
    if damage:
        raise damage
    return None
