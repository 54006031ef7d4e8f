"""Whether a pack still holds what was packed."""

import json
import logging
import os
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from itl.errors import ItlError
from itl.packs.pack import PACK_AGAIN, Pack
from itl.packs.source_state import CHECKED, lock_of, pack_digest
from itl.sources.source import Source
from itl.storage import hold_lock, read_mapping, write_atomic
from itl.words import counted

log = logging.getLogger(__name__)

SLOW_BYTES = 1e9  # of pixels, which take a second
CONTENT = ("images.npy", "index.parquet", "objects.parquet", "regions.npz")  # files; the last two may lack

_IN_MEMORY: dict[Path, dict[str, list[int]]] = {}  # states of packs that this process found right


def check_content(pack: Pack) -> None:
    """Raise ItlError unless *pack* holds what was packed: a copy that was interrupted may have its size.

    All of it is read, and again only once its files are others, by their sizes and times. Of processes that
    begin at once, as the jobs of an array do, one reads.
    """
    if _is_known(pack.folder):
        return
    lock = lock_of(pack.folder)
    writable = all(os.access(folder, os.W_OK) for folder in (pack.folder, lock.parent))
    with hold_lock(lock, f"checking {pack.folder}") if writable else nullcontext():  # else each process reads
        if not _is_known(pack.folder):
            _read_all(pack)


def _is_known(folder: Path) -> bool:
    """Whether the files of the pack in *folder* are those that were last found right."""
    state = _state(folder)
    return state == _IN_MEMORY.get(folder) or state == read_mapping(folder / CHECKED).get("files")


def _read_all(pack: Pack) -> None:
    """Raise ItlError unless *pack* holds what was packed, by its digests; keep beside it that it does."""
    state = _state(pack.folder)  # of before: a later change shows the next time
    if pack.images.nbytes > SLOW_BYTES:
        log.info(f"checking {counted(len(pack), 'images')} of {pack.folder}, as its files are new here")
    if _digest_now(pack) != pack.digest:
        raise ItlError(f"{pack.folder} is damaged: its tables are not those of what was packed; {PACK_AGAIN}")
    if damaged := pack.damaged():
        raise ItlError(
            f"{pack.folder} is damaged: {counted(len(damaged), 'images are')} not what was packed, such as "
            f"{damaged[0]}; {PACK_AGAIN}"
        )
    text = json.dumps({"files": state})
    _IN_MEMORY[pack.folder] = state
    with suppress(OSError, ItlError):  # where nothing can be written, each process checks it
        write_atomic(pack.folder / CHECKED, lambda path: path.write_text(text))


def _state(folder: Path) -> dict[str, list[int]]:
    """Return the size and the times of each file of the content; a copy differs in the last one."""
    stats = {name: (folder / name).stat() for name in CONTENT if (folder / name).exists()}
    return {name: [of.st_size, of.st_mtime_ns, of.st_ctime_ns] for name, of in stats.items()}


def _digest_now(pack: Pack) -> str:
    """Return the digest of the tables as they are on the disk."""
    tables = {name: pack.folder / name for name in CONTENT if (pack.folder / name).exists()}
    table = pq.read_table(tables["index.parquet"]).to_pydict()
    objects = pq.read_table(tables["objects.parquet"]).to_pydict() if "objects.parquet" in tables else None
    regions = None
    if "regions.npz" in tables:
        with np.load(tables["regions.npz"]) as arrays:
            regions = {name: arrays[name] for name in ("boxes", "offsets")}
    return pack_digest(pack.size, table, objects, regions, pack.summary.get("metric", Source.metric))
