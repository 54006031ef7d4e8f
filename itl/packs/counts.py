"""How many images a packing has: counted in its pack, or by listing its source."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path

from itl.errors import ItlError, cannot_read
from itl.machine import Machine
from itl.packs.pack import PACK_AGAIN, Pack, scored_split
from itl.packs.paths import find_source, pack_folder
from itl.packs.source_state import PackRequest, changes_since, read_rows
from itl.settings import options_as_settings
from itl.sources.registry import open_source
from itl.specs import Packing
from itl.storage import read_mapping

TIMED_IMAGES = 24  # decoded to measure how long packing takes


@dataclass(frozen=True)
class ImageCounts:
    """How many images there are to pack, or are packed."""

    splits: Mapping[str, int]  #: images of each split
    train: Mapping[str, int]  #: training images of each class
    packed: bool
    seconds: float = 0.0  #: to pack one image on one core; 0 if it is packed
    reading: str = ""  #: how the source was read, in lines; empty where images are rendered
    changes: str = ""  #: of the source since it was packed, in words: the pack is to be replaced
    scored: Sequence[str] = ()  #: classes of the images that targets are scored on: test, or val without test
    val: Mapping[str, int] = field(default_factory=dict)  #: images of val of each class
    regions: int = 0  #: region proposals that are to be packed

    @property
    def images(self) -> int:
        """How many images, of all splits."""
        return sum(self.splits.values())


def count_images(packing: Packing, name: str, machine: Machine) -> ImageCounts:
    """Count the images of *packing*: in its pack, or by listing the source if it is not packed as it is now.

    In a process, a source is listed once while its files stay the same: to look at the times of a million
    files is quicker than to list them with their classes.
    """
    folder, changes = pack_folder(packing, name, machine), ""
    request = PackRequest(packing, find_source(packing, name, machine))
    summary = folder / "pack.json"
    if summary.exists():
        changes = changes_since(folder, Pack.open(folder).summary, request)
        if not changes:
            return _count_pack(folder, summary.stat().st_mtime_ns)
    try:
        state = json.dumps(request.source_state())
        return replace(_count_source(packing, request.path, state), changes=changes)
    except ItlError as error:
        raise ItlError(options_as_settings(str(error))) from error
    except OSError as error:
        raise cannot_read(error.filename or request.path, error) from error


@cache
def _count_pack(folder: Path, version: int) -> ImageCounts:
    """Count the images of the pack in *folder*; *version* differs once it is replaced."""
    images = read_rows(folder / "index.parquet", "split", "wnid")
    reading = str(read_mapping(folder / "pack.json", PACK_AGAIN).get("reading", ""))
    return replace(_count(images, packed=True), reading=reading)


@lru_cache(maxsize=32)
def _count_source(packing: Packing, path: Path | None, _state: str) -> ImageCounts:
    """List the source of *packing*, and decode a few of its images to measure how long that takes.

    The state only keeps the cache from answering for files that have changed since.
    """
    from itl.packs.journal import decode_record  # reading a pack does not need decoders

    source = open_source(packing.source, path, **dict(packing.options))
    records = source.records()
    times = []
    for record in records[:: len(records) // TIMED_IMAGES + 1]:
        started = time.perf_counter()
        with suppress(ItlError):  # packing reports images that cannot be read
            decode_record(source, packing, record)
        times.append(time.perf_counter() - started)
    seconds = sorted(times)[len(times) // 2] if times else 0.0  # the first include imports
    counts = _count(((record.split, record.wnid) for record in records), packed=False, seconds=seconds)
    if source.rendered:
        return counts
    reading = options_as_settings("\n".join(source.describe(records)))
    regions = sum(len(source.regions(record)) for record in records) if source.has_regions else 0
    return replace(counts, reading=reading, regions=regions)


def _count(images: Iterable[tuple[str, str]], packed: bool, seconds: float = 0.0) -> ImageCounts:
    """Count *images*, given as split and class."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)  # of each class, by split
    for (split, wnid), count in Counter(images).items():
        counts[split][wnid] = count
    splits = {split: by_class.total() for split, by_class in counts.items()}
    train, val = (dict(sorted(counts[split].items())) for split in ("train", "val"))
    return ImageCounts(splits, train, packed, seconds, scored=sorted(counts[scored_split(splits)]), val=val)
