"""Whether a pack still holds what was packed."""

import json
import logging
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from itl import ItlError, counted
from itl.packs.pack import PACK_AGAIN, Pack
from itl.packs.source_state import pack_digest
from itl.storage import read_mapping, write_atomic

log = logging.getLogger(__name__)

CHECKED = ".checked.json"  # in the folder of a pack: its files when all of it was last found right
SLOW_BYTES = 1e9  # of pixels, which take a second
CONTENT = ("images.npy", "index.parquet", "objects.parquet", "regions.npz")  # files; the last two may lack


def check_content(pack: Pack) -> None:
    """Raise ItlError unless *pack* holds what was packed: a copy that was interrupted may have its size.

    All of it is read, and again only once its files are others, by their times and numbers on the disk.
    """
    state = _state(pack.folder)
    if read_mapping(pack.folder / CHECKED).get("files") == state:
        return
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
    with suppress(OSError):  # where nothing can be written, it is checked again
        write_atomic(pack.folder / CHECKED, lambda path: path.write_text(text))


def _state(folder: Path) -> dict[str, list[int]]:
    """Return size, number and times of each file of the content: a copy has another number."""
    stats = {name: (folder / name).stat() for name in CONTENT if (folder / name).exists()}
    return {name: [of.st_size, of.st_ino, of.st_mtime_ns, of.st_ctime_ns] for name, of in stats.items()}


def _digest_now(pack: Pack) -> str:
    """Return the digest of the tables as they are on the disk."""
    tables = {name: pack.folder / name for name in CONTENT if (pack.folder / name).exists()}
    table = pq.read_table(tables["index.parquet"]).to_pydict()
    objects = pq.read_table(tables["objects.parquet"]).to_pydict() if "objects.parquet" in tables else None
    if "regions.npz" not in tables:
        return pack_digest(pack.size, table, objects, None)
    with np.load(tables["regions.npz"]) as regions:
        return pack_digest(pack.size, table, objects, {name: regions[name] for name in ("boxes", "offsets")})
