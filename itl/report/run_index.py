"""The run index: every run of a preset's questions once, with the questions it serves and its provenance."""

import filecmp
import gzip
import json
import shutil
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import pandas as pd

from itl.evaluation.methods import main_metrics
from itl.machine import Machine
from itl.report.html import render
from itl.runs.executors import with_needs
from itl.runs.question import Question
from itl.runs.store import Store
from itl.specs import Pretrain, Transfer, canonical, key
from itl.storage import write_atomic

LONG_MANIFEST_BYTES = 1_000_000  # longer ones are compressed: ILSVRC's lists 1.28 M images
PROVENANCE = ("seconds", "device", "commit", "finished")
HEADINGS = ("run", "state", "result (%)", "minutes", "asked by", "device", "commit", "key", "manifest")


@dataclass(frozen=True)
class RunEntry:
    """One run: a pre-training, or a measurement of one on a target."""

    spec: Pretrain | Transfer
    task: str  # as results name it; pre-training or no pre-training
    conditions: tuple[str, ...]  # QUESTION: CONDITION, of every question that needs the run
    state: str
    result: dict  # {} until the run is done
    provenance: dict  # {} until the run is done
    manifest: str = ""  # file in the folder runs/ that lists a pre-training's images

    @property
    def pretrain(self) -> Pretrain:
        """The pre-training that the run is, or that it measures."""
        return self.spec if isinstance(self.spec, Pretrain) else self.spec.pretrain

    @cached_property
    def key(self) -> str:
        """The run's name in the store."""
        return key(self.spec)

    @property
    def done(self) -> bool:
        """Whether the run has a result."""
        return self.state == "done"

    @property
    def questions(self) -> str:
        """The questions that need the run."""
        return ", ".join(dict.fromkeys(condition.partition(":")[0] for condition in self.conditions))

    @property
    def main_metrics(self) -> str:
        """The numbers that a page shows, in percent."""
        metrics = self.result.get("metrics", {})
        return ", ".join(f"{name} {metrics[name]:.1f}" for name in main_metrics() if name in metrics)

    @property
    def minutes(self) -> float:
        """Minutes that the run took; 0 until it is done."""
        return self.provenance.get("seconds", 0) / 60


def run_index(questions: Iterable[Question], machine: Machine) -> list[RunEntry]:
    """List every run that *questions* need, each once: a pre-training, then all that is measured on it."""
    conditions, tasks = {}, {}
    for question in questions:
        for run in question.runs(machine):
            columns = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in run.columns)
            for spec in with_needs([run.spec]):
                conditions.setdefault(spec, {})[f"{question.name}: {columns}"] = None
                tasks[spec] = run.task
    store, groups = Store(machine.runs), {}
    for spec in conditions:
        entry = _entry(spec, tasks[spec], conditions[spec], store)
        groups.setdefault(entry.pretrain, []).append(entry)
    return [entry for group in groups.values() for entry in group]


def _entry(spec: Pretrain | Transfer, task: str, conditions: Iterable[str], store: Store) -> RunEntry:
    if isinstance(spec, Pretrain):
        task = "pre-training" if spec.trained else "no pre-training"
    state = store.state(spec)
    if state != "done":
        return RunEntry(spec, task, tuple(conditions), state, {}, {})
    manifest, name = store.path(spec) / "manifest.csv", ""
    if manifest.exists():
        name = f"{key(spec)}.csv" + (".gz" if manifest.stat().st_size > LONG_MANIFEST_BYTES else "")
    provenance = store.read(spec, "provenance.json")
    return RunEntry(spec, task, tuple(conditions), state, store.result(spec), provenance, name)


def publish_runs(entries: Sequence[RunEntry], out: Path, preset: str, machine: Machine) -> None:
    """Write runs.html and runs.csv to *out* and, in runs/, the files of every finished run.

    These are KEY.json, with spec, result and provenance, and for a pre-training its manifest, KEY.csv or,
    where that is long, KEY.csv.gz: image, wnid and label of every image. Files of runs that are no longer
    needed are removed.
    """
    folder, store = out / "runs", Store(machine.runs)
    folder.mkdir(parents=True, exist_ok=True)
    current = set()
    for entry in entries:
        if entry.done:
            current |= {f"{entry.key}.json", entry.manifest}
            _publish(entry, folder, store.path(entry.spec))
    for path in {*folder.glob("*.json"), *folder.glob("*.csv*")}:
        if path.name not in current:
            path.unlink()
    table, html = runs_csv(entries), runs_html(entries, preset)
    write_atomic(out / "runs.csv", lambda path: path.write_text(table, "utf-8"))
    write_atomic(out / "runs.html", lambda path: path.write_text(html, "utf-8"))


def _publish(entry: RunEntry, folder: Path, source: Path) -> None:
    """Write the files of one finished run to *folder*, unless they are there with the same content."""
    path = folder / f"{entry.key}.json"
    content = {
        "run": entry.key,
        "spec": json.loads(canonical(entry.spec)),
        "result": entry.result,
        "provenance": entry.provenance,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    if not path.exists() or path.read_bytes() != text.encode():
        write_atomic(path, lambda path: path.write_text(text, "utf-8"))
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


def runs_csv(entries: Iterable[RunEntry]) -> str:
    """Write the run index as CSV: one run a row, its spec as the canonical JSON that its key is made of."""
    rows = [
        {
            "run": entry.key,
            "kind": type(entry.spec).__name__.lower(),
            "task": entry.task,
            "questions": entry.questions,
            "conditions": "; ".join(entry.conditions),
            "seed": entry.spec.seed,
            "state": entry.state,
            **{name: entry.result.get("metrics", {}).get(name) for name in main_metrics()},
            **{name: entry.result.get(name) for name in ("classes", "images")},
            **{name: entry.provenance.get(name) for name in PROVENANCE},
            "manifest": entry.manifest and f"runs/{entry.manifest}",
            "spec": canonical(entry.spec),
        }
        for entry in entries
    ]
    return pd.DataFrame(rows).to_csv(index=False)


def runs_html(entries: Sequence[RunEntry], preset: str) -> str:
    """Write the page of all runs: one table, in which what is measured on a pre-training stands below it."""
    pretrains = [entry.task for entry in entries if isinstance(entry.spec, Pretrain)]
    trained = pretrains.count("pre-training")
    facts = {
        "runs": f"{len(entries)}, {sum(entry.done for entry in entries)} of them done",
        "pre-trainings": f"{trained} and {len(pretrains) - trained} nets left untrained",
        "shared by several questions": sum("," in entry.questions for entry in entries),
        "time spent": f"{sum(entry.minutes for entry in entries):,.1f} minutes, summed over runs",
    }
    groups = [list(group) for _, group in groupby(entries, lambda entry: entry.pretrain)]
    return render("runs.html.j2", preset=preset, facts=facts, columns=HEADINGS, groups=groups)
