"""Where data lies on this machine, and the pack that each packing has there."""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from functools import cache
from hashlib import sha256
from pathlib import Path

import pyarrow.parquet as pq

from itl import ItlError
from itl.machine import Machine
from itl.packs.pack import Pack
from itl.sources.registry import open_source, reads_files
from itl.specs import Packing, canonical
from itl.storage import write_atomic

TIMED = 24                                  # images decoded to see how long packing takes


def locate(packing: Packing, name: str, machine: Machine) -> Path | None:
    """Find the images of *packing*, known to the user as *name*; None where they are rendered.

    ``machine.data`` decides: an entry NAME=PATH, else the one match of its glob in the folders listed.
    """
    if not reads_files(packing.source):
        return None
    named = dict(entry.split("=", 1) for entry in machine.data if "=" in entry)
    if name in named:
        return _there(Path(named[name]).expanduser(), name)
    if packing.path is None:
        raise ItlError(f"no place is given for {name}; use --data {name}=PATH")
    if Path(packing.path).is_absolute():
        return _there(Path(packing.path), name)
    folders = [Path(entry).expanduser() for entry in machine.data if "=" not in entry]
    found = [folder for folder in folders if fnmatch(folder.name, packing.path) and folder.exists()]
    found += [match for folder in folders if folder.is_dir() for match in sorted(folder.glob(packing.path))]
    if len(found) == 1:
        return found[0]
    looked = ", ".join(map(str, folders)) or "no folder (ITL_DATA and --data are empty)"
    what = f"{len(found)} matches ({', '.join(map(str, found[:3]))})" if found else "nothing"
    hint = f"give --data FOLDER or --data {name}=PATH"
    raise ItlError(f"looked for {name} as {packing.path} in {looked}; found {what}; {hint}")


def _there(path: Path, name: str) -> Path:
    if path.exists():
        return path
    raise ItlError(f"{name} should lie at {path}; nothing is there; give --data {name}=PATH")


def pack_folder(packing: Packing, name: str, machine: Machine) -> Path:
    """Return the folder of the pack of *packing* here: another source, size or archive is another folder."""
    path = locate(packing, name, machine)
    told = [canonical(packing), str(path and path.resolve())]
    if path and path.is_file():
        told += [str(path.stat().st_size), str(path.stat().st_mtime_ns)]
    return machine.packs / f"{name}-{packing.size}-{sha256(os.fsencode(chr(10).join(told))).hexdigest()[:8]}"


def packed(packing: Packing, name: str, machine: Machine) -> Pack | None:
    """Open the pack of *packing*, or return None where it is not built yet."""
    folder = pack_folder(packing, name, machine)
    return Pack.open(folder) if (folder / "pack.json").exists() else None


def pack_for(packing: Packing, name: str, machine: Machine, log: Callable = print) -> Pack:
    """Open the pack of *packing*, building it first where need be."""
    done = packed(packing, name, machine)
    if done is not None:
        return done
    folder = pack_folder(packing, name, machine)
    return Pack.build(packing, folder, path=locate(packing, name, machine), log=log)


@dataclass(frozen=True)
class Size:
    """How much there is to pack, or is packed."""

    splits: Mapping[str, int]               # images of each split
    train: Mapping[str, int]                # training images of each class
    packed: bool
    seconds: float = 0.0                    # that one core takes to pack an image, where it is not packed

    @property
    def images(self) -> int:
        """How many images, of all splits."""
        return sum(self.splits.values())


def size_of(packing: Packing, name: str, machine: Machine) -> Size:
    """Count the images of *packing*: in its pack, or by listing the source where it is not packed yet.

    What was listed is kept beside the packs, as listing a million files takes a while.
    """
    folder = pack_folder(packing, name, machine)
    if (folder / "pack.json").exists():
        return _packed_size(folder)
    kept = folder.with_name(f"{folder.name}.size.json")
    if not kept.exists():
        told = json.dumps(asdict(_listed_size(packing, locate(packing, name, machine))))
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(kept, lambda path: path.write_text(told))
    return Size(**json.loads(kept.read_text()))


@cache
def _packed_size(folder: Path) -> Size:
    rows = pq.read_table(folder / "index.parquet", columns=["split", "wnid"])
    return _size(zip(*(rows[name].to_pylist() for name in ("split", "wnid")), strict=True), packed=True)


def _listed_size(packing: Packing, path: Path | None) -> Size:
    """List the source of *packing*, and decode a few of its images to see how long that takes."""
    from itl.packs.fit import decode  # reading a pack does without decoders

    source = open_source(packing.source, path, **dict(packing.options))
    records = source.records()
    times = []
    for record in records[:: len(records) // TIMED + 1]:
        started = time.perf_counter()
        with suppress(ItlError):            # packing will tell of those that cannot be read
            decode(source.read(record), record.id, packing.size, packing.fit)
        times.append(time.perf_counter() - started)
    seconds = sorted(times)[len(times) // 2] if times else 0.0      # the first have modules to load
    return _size(((record.split, record.wnid) for record in records), packed=False, seconds=seconds)


def _size(images: Iterable[tuple[str, str]], **told: object) -> Size:
    """Count *images*, each given as split and class."""
    counts = Counter(images)
    splits = Counter()
    for (split, _), count in counts.items():
        splits[split] += count
    train = {wnid: count for (split, wnid), count in sorted(counts.items()) if split == "train"}
    return Size(dict(splits), train, **told)


def pack_of_digest(digest: str, machine: Machine) -> Pack:
    """Open the pack here that has *digest*, as specs name it."""
    for told in sorted(machine.packs.glob("*/pack.json")):
        if json.loads(told.read_text()).get("digest") == digest:
            return Pack.open(told.parent)
    raise ItlError(f"no pack with digest {digest} in {machine.packs}; build it with `itl run` or `itl pack`")
