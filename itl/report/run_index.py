"""The register: every run of a preset's questions once, with who asked for it and what made it."""

import gzip
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import groupby
from pathlib import Path

import pandas as pd

from itl.machine import Machine
from itl.report.render import facts_html, shell
from itl.runs.executors import with_needs
from itl.runs.question import Question
from itl.runs.store import Store
from itl.specs import Pretrain, Transfer, canonical, key
from itl.storage import write_atomic

MAIN = ("accuracy", "map", "knn5")          # metrics that a page has room for
LARGE = 1_000_000                           # bytes; a longer manifest is compressed: ILSVRC's has 1.28 M rows
MADE = ("seconds", "device", "commit", "finished")


@dataclass(frozen=True)
class Entry:
    """One run: a pre-training, or a measurement of one on a target."""

    spec: Pretrain | Transfer
    task: str                               # as results name it; of a pre-training, what it is
    asked: tuple[str, ...]                  # QUESTION: CONDITION, of every question that it serves
    state: str
    result: dict                            # {} until it is done, as is made
    made: dict                              # its provenance
    manifest: str = ""                      # file that lists a pre-training's images, in the folder runs/

    @cached_property
    def key(self) -> str:
        """The run's name in the store."""
        return key(self.spec)

    @property
    def questions(self) -> str:
        """The questions that the run serves."""
        return ", ".join(dict.fromkeys(each.partition(":")[0] for each in self.asked))

    @property
    def minutes(self) -> float:
        """Minutes that the run took; 0 until it is done."""
        return self.made.get("seconds", 0) / 60


def register(questions: Iterable[Question], machine: Machine) -> list[Entry]:
    """List every run that *questions* need, each once: a pre-training, then all that is measured on it."""
    store, asked, tasks = Store(machine.runs), {}, {}
    for question in questions:
        for run in question.runs(machine):
            condition = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in run.columns)
            for spec in with_needs([run.spec]):
                asked.setdefault(spec, {})[f"{question.name}: {condition}"] = None
                tasks[spec] = _kind(spec) if isinstance(spec, Pretrain) else run.task
    groups = {}
    for spec in asked:
        groups.setdefault(_pretraining(spec), []).append(spec)
    return [_entry(spec, tasks[spec], asked[spec], store) for group in groups.values() for spec in group]


def _pretraining(spec: Pretrain | Transfer) -> Pretrain:
    return spec if isinstance(spec, Pretrain) else spec.pretrain


def _kind(spec: Pretrain) -> str:
    return "pre-training" if spec.trained else "no pre-training"


def _entry(spec: Pretrain | Transfer, task: str, asked: Iterable[str], store: Store) -> Entry:
    state = store.state(spec)
    done = state == "done"
    listed = store.path(spec) / "manifest.csv"
    name = ""
    if done and listed.exists():
        name = f"{key(spec)}.csv" + (".gz" if listed.stat().st_size > LARGE else "")
    result, made = (store.result(spec), store.read(spec, "provenance.json")) if done else ({}, {})
    return Entry(spec, task, tuple(asked), state, result, made, name)


def publish_runs(entries: Sequence[Entry], out: Path, preset: str, machine: Machine) -> None:
    """Write runs.html and runs.csv to *out* and, in runs/, what each finished run is made of.

    That is KEY.json, with spec, result and provenance, and of a pre-training its manifest, KEY.csv or, where
    that is long, KEY.csv.gz: image, wnid and label of every image. Files of runs that are no longer asked for
    are removed.
    """
    folder, store = out / "runs", Store(machine.runs)
    folder.mkdir(parents=True, exist_ok=True)
    kept = set()
    for entry in entries:
        if entry.state == "done":
            kept |= {f"{entry.key}.json", entry.manifest}
            _publish(entry, folder, store.path(entry.spec))
    for path in {*folder.glob("*.json"), *folder.glob("*.csv*")}:
        if path.name not in kept:
            path.unlink()
    table, html = runs_csv(entries), runs_html(entries, preset)
    write_atomic(out / "runs.csv", lambda path: path.write_text(table, "utf-8"))
    write_atomic(out / "runs.html", lambda path: path.write_text(html, "utf-8"))


def _publish(entry: Entry, folder: Path, source: Path) -> None:
    """Put what one finished run is made of into *folder*, unless it lies there since the run was done."""
    path = folder / f"{entry.key}.json"
    if _older(path, source / "result.json"):
        told = {"run": entry.key, "spec": json.loads(canonical(entry.spec)), "result": entry.result,
                "provenance": entry.made}
        text = json.dumps(told, indent=1, ensure_ascii=False)
        write_atomic(path, lambda path: path.write_text(text, "utf-8"))
    target, listed = folder / entry.manifest, source / "manifest.csv"
    if entry.manifest and _older(target, listed):
        copy = _compress if target.suffix == ".gz" else shutil.copyfile
        write_atomic(target, lambda path: copy(listed, path))


def _older(target: Path, source: Path) -> bool:
    """Say whether *target* was not made since *source* was."""
    return not target.exists() or target.stat().st_mtime_ns < source.stat().st_mtime_ns


def _compress(source: Path, target: Path) -> None:
    with open(source, "rb") as read, gzip.open(target, "wb", compresslevel=6) as write:
        shutil.copyfileobj(read, write, 1 << 20)


def runs_csv(entries: Iterable[Entry]) -> str:
    """Write the register as CSV: a run a row, its spec as the canonical JSON that its key is made of."""
    rows = [
        {
            "run": entry.key,
            "kind": type(entry.spec).__name__.lower(),
            "task": entry.task,
            "questions": entry.questions,
            "conditions": "; ".join(entry.asked),
            "seed": entry.spec.seed,
            "state": entry.state,
            **{name: entry.result.get("metrics", {}).get(name) for name in MAIN},
            **{name: entry.result.get(name) for name in ("classes", "images")},
            **{name: entry.made.get(name) for name in MADE},
            "manifest": entry.manifest and f"runs/{entry.manifest}",
            "spec": canonical(entry.spec),
        }
        for entry in entries
    ]
    return pd.DataFrame(rows).to_csv(index=False)


COLUMNS = ("run", "state", "result (%)", "minutes", "asked by", "device", "commit", "key", "manifest")


def runs_html(entries: Sequence[Entry], preset: str) -> str:
    """Write the page of all runs: one table, in which what is measured on a pre-training stands below it."""
    trained = [entry for entry in entries if isinstance(entry.spec, Pretrain)]
    facts = {
        "runs": f"{len(entries)}, {sum(entry.state == 'done' for entry in entries)} of them done",
        "pre-trainings": f"{sum(entry.task == 'pre-training' for entry in trained)} "
                         f"and {sum(entry.task != 'pre-training' for entry in trained)} nets left untrained",
        "shared by several questions": str(sum("," in entry.questions for entry in entries)),
        "time spent": f"{sum(entry.minutes for entry in entries):,.1f} minutes, summed over runs",
    }
    head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    groups = groupby(entries, lambda entry: _pretraining(entry.spec))
    body = "".join(_group(list(group)) for _, group in groups)
    table = f'<table aria-label="All runs"><thead><tr>{head}</tr></thead>{body}</table>'
    return shell(
        f"All runs · itl {preset}",
        '<header class="top wide-top"><nav aria-label="report"><a href="index.html">All questions</a> '
        '<a href="runs.csv" download>Runs (CSV)</a></nav>'
        f'<p class="kicker">itl · preset {escape(preset)}</p><h1>All runs</h1>'
        '<p class="about">Every run of every question, once: a net is trained once and serves all who ask '
        "for it. A key leads to the run's settings, results and provenance; a manifest lists the images that "
        "a pre-training learned from (image, wnid, label), compressed by gzip where it is long.</p>"
        f'{facts_html(facts)}</header>\n<main id="main" class="page wide-top"><div class="wide runs" '
        f'tabindex="0" role="region" aria-label="All runs">{table}</div></main>',
    )


def _group(entries: Sequence[Entry]) -> str:
    """Write one pre-training and what is measured on it, under the conditions that it stands for."""
    first = entries[0]
    what = escape(f"{'; '.join(first.asked)}; seed {first.spec.seed}")
    head = f'<tr><th scope="rowgroup" colspan="{len(COLUMNS)}"><span>{what}</span></th></tr>'
    return f"<tbody>{head}{''.join(map(_row, entries))}</tbody>"


def _row(entry: Entry) -> str:
    metrics = entry.result.get("metrics", {})
    done = entry.state == "done"
    manifest = ""
    if entry.manifest:
        manifest = (f'<a href="runs/{entry.manifest}" download>{entry.result["images"]:,} images'
                    f'<span class="unseen"> of run {entry.key}</span></a>')
    cells = (
        entry.state,
        ", ".join(f"{name} {metrics[name]:.1f}" for name in MAIN if name in metrics),
        f"{entry.minutes:.1f}" if done else "",
        entry.questions,
        escape(entry.made.get("device", "")),
        escape(entry.made.get("commit", "")),
        f'<a href="runs/{entry.key}.json">{entry.key}</a>' if done else entry.key,
        manifest,
    )
    told = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row">{escape(entry.task)}</th>{told}</tr>'
