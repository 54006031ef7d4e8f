"""The run index: every run of a preset's questions once, with the questions it serves and its provenance."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import pandas as pd

from itl.analysis.origins import ORIGINS
from itl.analysis.wording import condition_text
from itl.evaluation.methods import main_metrics
from itl.machine import Machine
from itl.report.html import render
from itl.runs.executors import with_needs
from itl.runs.question import Question
from itl.runs.store import MANIFEST_FILE, PROVENANCE_FILE, Store
from itl.specs import Pretrain, Spec, canonical, key, pretraining_of

LONG_MANIFEST_BYTES = 1_000_000  # longer ones are compressed: ILSVRC's lists 1.28 M images
PROVENANCE = ("seconds", *ORIGINS, "finished")
HEADINGS = ("run", "state", "result (%)", "minutes", "asked by", "device", "commit", "key", "manifest")


@dataclass(frozen=True)
class RunEntry:
    """One run: a pre-training, or a measurement of one on a target."""

    spec: Spec
    task: str  # as results name it; pre-training, no pre-training or own weights
    conditions: tuple[str, ...]  # QUESTION: CONDITION, of every question that needs the run
    state: str
    result: dict  # {} until the run is done
    provenance: dict  # {} until the run is done
    manifest: str = ""  # file in the folder runs/ that lists a pre-training's images

    @property
    def pretrain(self) -> Pretrain:
        """The pre-training that the run is, or that it measures."""
        return pretraining_of(self.spec)

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
    def learned_from(self) -> dict[str, int | None]:
        """The classes and images that the run learned from: 0 of an untrained net, as in results."""
        untrained = self.done and isinstance(self.spec, Pretrain) and not self.spec.trained
        return {name: 0 if untrained else self.result.get(name) for name in ("classes", "images")}

    @property
    def minutes(self) -> float:
        """Minutes that the run took; 0 until it is done."""
        return self.provenance.get("seconds", 0) / 60


def run_index(questions: Iterable[Question], machine: Machine) -> list[RunEntry]:
    """List every run that *questions* need, each once: a pre-training, then all that is measured on it."""
    conditions: dict[Spec, dict[str, None]] = {}
    tasks: dict[Spec, str] = {}
    for question in questions:
        for run in question.runs(machine):
            for spec in with_needs([run.spec]):
                conditions.setdefault(spec, {})[f"{question.name}: {condition_text(run.columns)}"] = None
                tasks[spec] = run.task
    store = Store(machine.runs)
    groups: dict[Pretrain, list[RunEntry]] = {}
    for spec in conditions:
        entry = _entry(spec, tasks[spec], conditions[spec], store)
        groups.setdefault(entry.pretrain, []).append(entry)
    return [entry for group in groups.values() for entry in group]


def _entry(spec: Spec, task: str, conditions: Iterable[str], store: Store) -> RunEntry:
    if isinstance(spec, Pretrain):
        task = "pre-training" if spec.trained else "own weights" if spec.weights else "no pre-training"
    state = store.state(spec)
    if state != "done":
        return RunEntry(spec, task, tuple(conditions), state, {}, {})
    manifest, name = store.path(spec) / MANIFEST_FILE, ""
    if isinstance(spec, Pretrain) and spec.trained and manifest.exists():  # others learned from no image
        name = f"{key(spec)}.csv" + (".gz" if manifest.stat().st_size > LONG_MANIFEST_BYTES else "")
    provenance = store.read(spec, PROVENANCE_FILE)
    return RunEntry(spec, task, tuple(conditions), state, store.finished(spec), provenance, name)


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
            **entry.learned_from,
            **{name: entry.provenance.get(name) for name in PROVENANCE},
            "manifest": entry.manifest and f"runs/{entry.manifest}",
            "spec": canonical(entry.spec),
        }
        for entry in entries
    ]
    return pd.DataFrame(rows).to_csv(index=False)


def run_names(entries: Sequence[RunEntry]) -> dict[str, str]:
    """Name runs, by key: where a net has several of one task, as of two divisions, with their conditions."""
    counts = Counter((entry.pretrain, entry.task) for entry in entries)
    alike = [entry for entry in entries if counts[entry.pretrain, entry.task] > 1]
    names = {entry.key: entry.task for entry in entries}
    return names | {entry.key: f"{entry.task}, of {'; '.join(entry.conditions)}" for entry in alike}


def runs_html(entries: Sequence[RunEntry], preset: str) -> str:
    """Write the page of all runs: one table, in which what is measured on a pre-training stands below it."""
    pretrains = [entry.task for entry in entries if isinstance(entry.spec, Pretrain)]
    trained, own = pretrains.count("pre-training"), pretrains.count("own weights")
    others = f" and {own} with own weights" if own else ""
    facts = {
        "runs": f"{len(entries)}, {sum(entry.done for entry in entries)} of them done",
        "pre-trainings": f"{trained}, {len(pretrains) - trained - own} nets left untrained{others}",
        "shared by several questions": sum("," in entry.questions for entry in entries),
        "time spent": f"{sum(entry.minutes for entry in entries):,.1f} minutes, summed over runs",
    }
    groups = [list(group) for _, group in groupby(entries, lambda entry: entry.pretrain)]
    questions: dict[str, list[RunEntry]] = {}
    for entry in entries:
        for name in entry.questions.split(", "):
            questions.setdefault(name, []).append(entry)
    values = {"facts": facts, "columns": HEADINGS, "groups": groups, "questions": questions}
    return render("runs.html.j2", preset=preset, names=run_names(entries), **values)
