"""The files of a report's runs: their index, a page of each, and settings, results and manifests."""

import filecmp
import gzip
import json
import shutil
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

from itl.machine import Machine
from itl.report.run_index import RunEntry, runs_csv, runs_html
from itl.report.run_page import run_pages
from itl.runs.store import Store
from itl.specs import canonical
from itl.storage import write_atomic


def publish_runs(entries: Sequence[RunEntry], out: Path, preset: str, machine: Machine) -> None:
    """Write runs.html and runs.csv to *out* and, in runs/, the files of every finished run.

    These are KEY.html, the run's page, KEY.json, with spec, result and provenance, and for a pre-training its
    manifest, KEY.csv or, where that is long, KEY.csv.gz: image, wnid and label of every image. Files of runs
    that are no longer needed are removed.
    """
    folder, store = out / "runs", Store(machine.runs)
    folder.mkdir(parents=True, exist_ok=True)
    current = set()
    for entry in entries:
        if entry.done:
            current |= {f"{entry.key}.json", entry.manifest}
            _publish(entry, folder, store.path(entry.spec))
    for run, page in run_pages(entries, preset, machine):
        current.add(f"{run}.html")
        _write(folder / f"{run}.html", page)
    for path in {*folder.glob("*.json"), *folder.glob("*.csv*"), *folder.glob("*.html")}:
        if path.name not in current:
            path.unlink()
    _write(out / "runs.csv", runs_csv(entries))
    _write(out / "runs.html", runs_html(entries, preset))


def _write(path: Path, text: str) -> None:
    """Write *text* to *path*, unless that is there."""
    if not path.exists() or path.read_bytes() != text.encode():
        write_atomic(path, lambda part: part.write_text(text, "utf-8"))


def _publish(entry: RunEntry, folder: Path, source: Path) -> None:
    """Write the files of one finished run to *folder*, unless they are there with the same content."""
    content = {
        "run": entry.key,
        "spec": json.loads(canonical(entry.spec)),
        "result": entry.result,
        "provenance": entry.provenance,
    }
    _write(folder / f"{entry.key}.json", json.dumps(content, indent=1, ensure_ascii=False))
    target, manifest = folder / entry.manifest, source / "manifest.csv"
    if not entry.manifest:
        return
    if target.suffix == ".gz":
        if not target.exists() or target.read_bytes()[-8:] != _gzip_trailer(manifest):
            write_atomic(target, lambda path: _compress(manifest, path))
    elif not target.exists() or not filecmp.cmp(manifest, target, shallow=False):
        write_atomic(target, lambda path: shutil.copyfile(manifest, path))


def _gzip_trailer(path: Path) -> bytes:
    """Return the last 8 bytes of a gzip file of *path*: CRC-32 and length of the content."""
    content = path.read_bytes()
    return struct.pack("<II", zlib.crc32(content), len(content) % 2**32)


def _compress(source: Path, target: Path) -> None:
    with open(source, "rb") as read, gzip.open(target, "wb", compresslevel=6) as write:
        shutil.copyfileobj(read, write, 1 << 20)
