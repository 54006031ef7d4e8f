"""The files of a report's runs: their index, a page of each, and settings, results and manifests."""

import gzip
import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from itl.analysis.tables import is_percent
from itl.machine import Machine
from itl.packs.pack import Pack
from itl.packs.paths import find_by_digest
from itl.packs.thumbnails import Gallery
from itl.report.html import render
from itl.report.run_index import RunEntry, run_names, runs_csv, runs_html
from itl.runs.progress import log_rows
from itl.runs.store import LOG_FILE, MANIFEST_FILE, Store
from itl.specs import Pretrain, Spec, canonical
from itl.storage import write_atomic

FACTS = ("device", "precision", "seconds", "finished", "commit", "command")  # of provenance, for the top
EXAMPLES = 24
CURVE_SIZE = (560, 180)  # of the picture of the loss, in CSS pixels


def publish_runs(entries: Sequence[RunEntry], out: Path, preset: str, machine: Machine) -> None:
    """Write runs.html and runs.csv to *out* and, in runs/, the files of every finished run; remove others.

    These are KEY.html, the run's page, KEY.json, with spec, result and provenance, and for a pre-training its
    manifest, KEY.csv or, where that is long, KEY.csv.gz: image, wnid and label of every image.
    """
    folder, store = out / "runs", Store(machine.runs)
    folder.mkdir(parents=True, exist_ok=True)
    current = set()
    for entry in entries:
        if entry.done:
            current |= {f"{entry.key}.json", entry.manifest}
            _publish(entry, folder, store.file(entry.spec, MANIFEST_FILE))
    for run, page in run_pages(entries, preset, machine):
        current.add(f"{run}.html")
        _write(folder / f"{run}.html", page.encode())
    for path in {*folder.glob("*.json"), *folder.glob("*.csv*"), *folder.glob("*.html")}:
        if path.name not in current:
            path.unlink()
    _write(out / "runs.csv", runs_csv(entries).encode())
    _write(out / "runs.html", runs_html(entries, preset).encode())


def _write(path: Path, content: bytes) -> None:
    """Write *content* to *path*, unless that is there."""
    if not path.exists() or path.read_bytes() != content:
        write_atomic(path, lambda part: part.write_bytes(content))


def _publish(entry: RunEntry, folder: Path, images: Path) -> None:
    """Write the files of one finished run to *folder*, unless they are there with the same content.

    *images* is its manifest, if it has one.
    """
    record = {
        "run": entry.key,
        "spec": json.loads(canonical(entry.spec)),
        "result": entry.result,
        "provenance": entry.provenance,
    }
    _write(folder / f"{entry.key}.json", json.dumps(record, indent=1, ensure_ascii=False).encode())
    if not entry.manifest:
        return
    target, manifest = folder / entry.manifest, images.read_bytes()
    if target.suffix != ".gz":
        _write(target, manifest)
        return
    trailer = struct.pack("<II", zlib.crc32(manifest), len(manifest) % 2**32)  # which gzip files end with
    if not target.exists() or target.read_bytes()[-8:] != trailer:
        write_atomic(target, lambda path: path.write_bytes(gzip.compress(manifest, 6)))


def run_pages(entries: Sequence[RunEntry], preset: str, machine: Machine) -> Iterator[tuple[str, str]]:
    """Yield the key and the HTML page of every finished run of *entries*, as `run_index` lists them."""
    store, names = Store(machine.runs), run_names(entries)
    pack_of = cache(partial(find_by_digest, machine=machine))
    for _, group in groupby(entries, lambda entry: entry.pretrain):
        related = [entry for entry in group if entry.done]
        for entry in related:
            page = render(
                "run.html.j2",
                preset=preset,
                entry=entry,
                is_percent=is_percent,
                settings=flatten_spec(entry.spec),
                facts=facts(entry.provenance),
                related=[other for other in related if other is not entry],
                names=names,
                curve=loss_curve(store.path(entry.spec) / LOG_FILE),
                curve_size=CURVE_SIZE,
                examples=example_images(entry.spec, store, pack_of),
            )
            yield entry.key, page


def facts(provenance: Mapping[str, Any]) -> dict[str, object]:
    """Return of *provenance* what stands at the top of a run's page, by name.

    >>> facts({"seconds": 0.1886818, "finished": "2026-11-26T16:51:58+00:00", "torch": "2.15"})
    {'seconds': '0.2', 'finished': '26 November 2026, 16:51 UTC'}
    """
    shown = {name: provenance[name] for name in FACTS if provenance.get(name)}
    if "seconds" in shown:
        shown["seconds"] = f"{shown['seconds']:,.1f}"
    if "finished" in shown:
        shown["finished"] = f"{datetime.fromisoformat(shown['finished']):%d %B %Y, %H:%M %Z}"
    return shown


def flatten_spec(spec: Spec) -> dict[str, object]:
    """Return the settings of a run by dotted name."""
    return flatten(json.loads(canonical(spec))[type(spec).__name__])


def flatten(settings: Mapping[str, object], above: str = "") -> dict[str, object]:
    """Return nested *settings* by dotted name.

    >>> flatten({"seed": 0, "recipe": {"lr": 0.1}})
    {'seed': 0, 'recipe.lr': 0.1}
    """
    flat: dict[str, object] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{above}{name}.")
        elif value is not None:
            flat[f"{above}{name}"] = value
    return flat


def loss_curve(log: Path) -> dict[str, object]:
    """Return the loss of every epoch in the file *log* as a line; {} where there are not two epochs.

    Its points are as SVG's polyline takes them, in a box of CURVE_SIZE.
    """
    losses = {row["epoch"]: row["loss"] for row in log_rows(log)}  # one taken up again counts once
    if len(losses) < 2:
        return {}
    low, high = min(losses.values()), max(losses.values())
    width, height = CURVE_SIZE
    across = width / (len(losses) - 1)
    down = height / ((high - low) or 1)
    values = list(losses.values())
    points = " ".join(f"{across * at:.1f},{down * (high - loss):.1f}" for at, loss in enumerate(values))
    ends = {"first": values[0], "last": values[-1], "low": low, "high": high}
    return ends | {"points": points, "epochs": len(values)}


def example_images(
    spec: Spec, store: Store, pack_of: Callable[[str], Pack | None]
) -> list[tuple[str, str, str]]:
    """Return some images of a pre-training, evenly spread over its manifest: id, class, and a data URL.

    *pack_of* opens a pack by its digest, as `find_by_digest` does: none where that is not on this machine.
    """
    path = store.file(spec, MANIFEST_FILE)
    if not isinstance(spec, Pretrain) or not spec.trained or not path.exists():
        return []
    if (pack := pack_of(spec.subset.pack)) is None:
        return []
    manifest = pd.read_csv(path, dtype=str, keep_default_na=False)
    last, count = len(manifest) - 1, min(EXAMPLES, len(manifest))
    shown = manifest.iloc[np.linspace(0, last, count).astype(int)]
    shown = shown.assign(row=pd.Index(pack.table["image"]).get_indexer(shown["image"]))
    shown, gallery = shown[shown["row"] >= 0], Gallery(pack)
    urls = gallery.urls(shown["row"].to_numpy())
    return list(zip(shown["image"], shown["wnid"], urls, strict=True))
