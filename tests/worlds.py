"""The smallest study that is a study: a few rendered classes, a few steps, two seeds."""

import json
import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from itl.machine import Machine
from itl.processes import process_context
from itl.runs.executors import with_needs
from itl.runs.question import Question
from itl.runs.store import Store
from itl.runs.throughput import FrozenRate, Rate, frozen_rate_key, rate_key
from itl.sources.boxes import OBJECT_COLUMNS
from itl.specs import Pretrain, Recipe, Transfer

ROOT = Path(__file__).parents[1]
PRESETS = sorted([*ROOT.glob("params/*.yaml"), *ROOT.glob("studies/params/*.yaml")], key=lambda p: p.name)
IMAGES = {"source": "demo", "size": 32, "options": {"classes": 4, "train": 12, "val": 4, "size": 32}}
SCENES = {"source": "demo-scenes", "size": 32, "options": {"classes": 3, "train": 6, "test": 4, "size": 32}}
SETTINGS = {
    "images": IMAGES,
    "targets": {"scenes": SCENES},
    "net": "small",
    "images_per_class": [0, 4, 12],
    "tasks": ["knn@scenes"],
    "seeds": [0, 1],
    "recipe": {"steps": 12, "batch": 8, "pixels": 24},
    "tuning": {"finetune": {"steps": 4, "batch": 8, "pixels": 24}},
}
SHARED = {name: value for name, value in SETTINGS.items() if name != "images_per_class"}
FEW = {
    "source": "demo-scenes",
    "size": 32,
    "options": {"classes": 3, "train": 1, "test": 4, "size": 32},
}  # one image of each class

FOUR = {"images_per_class": [], "subset": {"images_per_class": 4}}  # one condition alone


def small_study(**changes) -> Question:
    """The data-size question on the smallest world; the test is skipped where nothing can check settings."""
    pytest.importorskip("pydantic", reason="settings of a study are checked by pydantic, which is not here")
    from itl.runs.questions import data_size

    return data_size(**SETTINGS | changes)


@contextmanager
def no_more_files() -> Iterator[None]:
    """Let this process open no file: too many are open."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def here(home: Path, **changes) -> Machine:
    """This machine, with everything under *home* and a checkpoint after every epoch."""
    return Machine(home=home, workers=2, threads=1, checkpoint_seconds=0).replace(**changes)


MADE = {"seconds": 90.0, "device": "A & B", "commit": "c0ffee", "finished": "2026-01-01T00:00:00+00:00"}


def pretend(specs: Sequence[Pretrain | Transfer], store: Store) -> None:
    """Finish the runs of *specs* in no time: made by MADE, from 3 images and one more for each seed."""
    for spec in specs:
        if isinstance(spec, Pretrain) and not (store.folder(spec) / "manifest.csv").exists():
            listed = "".join(f"train/{number},n1,n1\n" for number in range(3 + spec.seed))
            (store.folder(spec) / "manifest.csv").write_text("image,wnid,label\n" + listed)
        store.write(spec, "provenance.json", MADE)
        store.finish(spec, {"classes": 4, "images": 3, "metrics": {"accuracy": 51.25, "top5": 90.0}})


def execute_here(
    specs: Iterable[Pretrain | Transfer],
    store: Store,
    machine: Machine,
    watch: Callable[[], object] = lambda: None,
) -> None:
    """Stand in for `itl.runs.executors.execute` in this process: to start others takes seconds."""
    from itl.runs.perform import perform

    for spec in with_needs(specs):
        if store.state(spec) != "done":
            perform(spec, store, machine)
        watch()


def run_here(question: Question, machine: Machine) -> Store:
    """Do what is missing of *question* in this process; returns the store."""
    store = Store(machine.runs)
    question.prepare(machine)
    execute_here([run.spec for run in question.runs(machine)], store, machine)
    return store


def start_child(work: Callable[..., object], *arguments: object) -> BaseProcess:
    """Start *work* in another process, a fork that has imported torch, with as many threads as this one.

    Processes that it starts for its part are forks of the same server.
    """
    import torch

    child = process_context().Process(target=do_work, args=(torch.get_num_threads(), work, arguments))
    child.start()
    return child


def do_work(threads: int, work: Callable[..., object], arguments: tuple) -> None:
    """Do *work* in this other process: the sums of any number of threads differ from those of another."""
    import torch

    torch.set_num_threads(threads)
    share_server()
    work(*arguments)


def share_server() -> None:
    """In a fork of a server, let its own processes be forks of it too: Python would start another.

    From Python 3.14 on it does: only who started a server has the key to it.
    """
    if forkserver._forkserver._forkserver_address and sys.version_info < (3, 14):
        forkserver._forkserver.ensure_running = lambda: None


RATE = Rate(0.5, 0.125, memory=1000, device=0, weights=400, features=10)
FROZEN = FrozenRate(start=3.0, fit=0.25, compare=0.5)


def stated_rates(works: Iterable[tuple[str, Recipe]], machine: Machine) -> dict[str, Rate | FrozenRate]:
    """Stand in for `itl.runs.throughput.rates_of`, which measures for seconds."""
    return {rate_key(*work, machine): RATE for work in works} | {frozen_rate_key(machine): FROZEN}


def write_rates(machine: Machine, study: dict) -> None:
    """Add what the nets of *study* cost on *machine*, made up, so that its plan measures nothing."""
    net, recipe = SETTINGS["net"], Recipe(**study["recipe"])
    rates = {
        rate_key(net, recipe, machine): Rate(0.01, 0.01, 1 << 28, 0, 1 << 20, 256),
        frozen_rate_key(machine): FrozenRate(0.1, 1e-9, 1e-9),
    }
    file = machine.runs / "rates.json"
    machine.runs.mkdir(parents=True, exist_ok=True)
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({name: asdict(rate) for name, rate in rates.items()} | known))


SHADES = {"red": (210, 40, 40), "blue": (40, 60, 210)}


def boxes_pack(counts: dict[str, int], size: int = 48, seed: int = 0) -> "Boxes":
    """Stand in for a pack of grey pictures, 48 × 36 and stored at *size*, with one or two coloured boxes.

    *counts* says how many of each split. Every tenth picture is said to have a difficult red object too.
    """
    random = np.random.default_rng(seed)
    splits = [split for split, count in counts.items() for _ in range(count)]
    images = np.full((len(splits), size, size, 3), 128, np.uint8) + random.integers(
        0, 30, (len(splits), size, size, 3), dtype=np.uint8
    )
    images[:, size * 36 // 48 :] = 0
    rows = []
    for row in range(len(splits)):
        for part, name in enumerate(random.permutation(sorted(SHADES))[: 1 + row % 2]):
            wide, high = random.integers(9, 16, 2)
            left, top = 24 * part + random.integers(0, 25 - wide), random.integers(0, 37 - high)
            box = (left + 1, top + 1, left + wide, top + high)
            scale = size / 48
            low, high = (np.rint(np.array(edge) * scale).astype(int) for edge in (box[:2], box[2:]))
            images[row, low[1] - round(scale) : high[1], low[0] - round(scale) : high[0]] = SHADES[name]
            rows.append((row, name, *map(float, box), False, False))
        if row % 10 == 9:
            rows.append((row, "red", 1.0, 1.0, 4.0, 4.0, True, False))
    table = pd.DataFrame(
        {
            "image": [f"{split}/{row:04d}" for row, split in enumerate(splits)],
            "wnid": "",
            "split": splits,
            "width": 48,
            "height": 36,
        }
    )
    summary = {
        "splits": {split: count for split, count in counts.items() if count},
        "request": {"fit": "pad"},
    }
    return Boxes(
        images=images,
        table=table,
        size=size,
        digest="boxes",
        folder=Path("boxes"),
        summary=summary,
        objects=pd.DataFrame(rows, columns=list(OBJECT_COLUMNS)),
    )


class Boxes(SimpleNamespace):
    """A stand-in for a pack that knows its length."""

    def __len__(self) -> int:
        """How many pictures."""
        return len(self.images)
