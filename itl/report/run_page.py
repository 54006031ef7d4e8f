"""The page of one run: its settings, how it was trained, images it learned from, and who uses it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from itl.machine import Machine
from itl.packs.pack import Pack
from itl.packs.paths import find_pack
from itl.packs.thumbnails import Gallery
from itl.report.html import render
from itl.report.run_index import RunEntry
from itl.runs.progress import log_rows
from itl.runs.store import Store
from itl.specs import Pretrain, Transfer, canonical

FACTS = ("device", "precision", "seconds", "finished", "commit", "command")  # of provenance, for the top
EXAMPLES = 24
CURVE_SIZE = (560, 180)  # of the picture of the loss, in CSS pixels


def run_pages(entries: Sequence[RunEntry], preset: str, machine: Machine) -> Iterator[tuple[str, str]]:
    """Yield the key and the HTML page of every finished run of *entries*, as `run_index` lists them."""
    store = Store(machine.runs)
    packs: dict[str, Pack | None] = {}
    for _, group in groupby(entries, lambda entry: entry.pretrain):
        related = [entry for entry in group if entry.done]
        for entry in related:
            spec = json.loads(canonical(entry.spec))[type(entry.spec).__name__]
            yield (
                entry.key,
                render(
                    "run.html.j2",
                    preset=preset,
                    entry=entry,
                    settings=flatten(spec),
                    facts=facts(entry.provenance),
                    related=[other for other in related if other is not entry],
                    curve=loss_curve(store.path(entry.spec) / "log.jsonl"),
                    curve_size=CURVE_SIZE,
                    examples=example_images(entry.spec, store, packs, machine),
                ),
            )


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

    Returns:
        points, as SVG's polyline takes them, in a box of CURVE_SIZE; first, last, lowest and highest loss;
        epochs.
    """
    losses = {row["epoch"]: row["loss"] for row in log_rows(log)}  # one taken up again counts once
    if len(losses) < 2:
        return {}
    low, high = min(losses.values()), max(losses.values())
    width, height = CURVE_SIZE
    across = width / (len(losses) - 1)
    down = height / ((high - low) or 1)
    points = " ".join(
        f"{across * at:.1f},{down * (high - loss):.1f}" for at, loss in enumerate(losses.values())
    )
    first, *_, last = losses.values()
    return {"points": points, "first": first, "last": last, "low": low, "high": high, "epochs": len(losses)}


def example_images(
    spec: Pretrain | Transfer, store: Store, packs: dict[str, Pack | None], machine: Machine
) -> list[tuple[str, str, str]]:
    """Return some images of a pre-training, evenly spread over its manifest: id, class, and a data URL.

    There are none where the pack is not on this machine. *packs* keeps open packs, by digest, for the next
    call.
    """
    path = store.path(spec) / "manifest.csv"
    if not isinstance(spec, Pretrain) or not spec.trained or not path.exists():
        return []
    digest = spec.subset.pack
    if digest not in packs:
        packs[digest] = find_pack(digest, machine)
    pack = packs[digest]
    if pack is None:
        return []
    manifest = pd.read_csv(path, dtype=str, keep_default_na=False)
    shown = manifest.iloc[:: max(1, len(manifest) // EXAMPLES)].head(EXAMPLES)
    shown = shown.assign(row=pd.Index(pack.table["image"]).get_indexer(shown["image"]))
    shown, gallery = shown[shown["row"] >= 0], Gallery(pack)
    urls = gallery.urls(shown["row"].to_numpy())
    return list(zip(shown["image"], shown["wnid"], urls, strict=True))
