"""How quick the panels answer with 21,841 nodes and 2,000 runs: `python -m tests.panels.figures`.

It takes a minute of one core. The slowest of a row draws what later ones only show.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pandas as pd
import torch

from itl.analysis.budget import UNITS
from itl.analysis.image_effects import CorrectImages
from itl.analysis.influence import NetsOnHalves, nodes_above
from itl.browser.widget import HierarchyBrowser
from itl.evaluation.inspect_net import Inspection
from itl.panels.advice import AdvicePanel
from itl.panels.influence import InfluencePanel
from itl.panels.net import OWN, NetPanel
from itl.panels.results import ResultsPanel
from itl.panels.study import StudyPanel
from itl.presets import Preset
from itl.runs.executors import with_needs
from itl.runs.questions import questions_of
from itl.runs.store import Store
from itl.specs import Pretrain, key
from tests.analysis import test_advice
from tests.browser.worlds import wide_tree
from tests.pictures import encoded, smooth
from tests.worlds import SETTINGS, here, pretend, write_rates

IMAGES, FEATURES, PIXELS = 5000, 512, 64
SEEDS, SIZES = 50, 20  # 50 × 20 nets, and as many measurements: 2,000 runs
NETS = 2000
TIMES = 7


def measure(
    name: str, act: Callable[[int], object], before: Callable[[int], object] = lambda number: None
) -> None:
    """Print the middle and the slowest of several times of *act*, and of its CPU time: milliseconds.

    What is done *before* is not measured.
    """
    walls, cores = [], []
    for number in range(TIMES):
        before(number)
        between_changes = [[] for _ in range(1000)]  # as messages make them; then Python may collect garbage
        del between_changes
        wall, core = time.perf_counter(), time.thread_time()
        act(number)
        walls.append(1000 * (time.perf_counter() - wall))
        cores.append(1000 * (time.thread_time() - core))
    print(f"{name:52}{median(walls):9.1f}{max(walls):9.1f}{median(cores):9.1f}{max(cores):9.1f}", flush=True)


def inspection(folder: Path) -> Inspection:
    """Return random predictions of images of a tree with 21,841 nodes."""
    tree, random = wide_tree(), np.random.default_rng(0)
    classes = tuple(tree.leaves)
    labels = random.integers(0, len(classes), 2 * IMAGES)
    images = random.integers(0, 255, (2 * IMAGES, PIXELS, PIXELS, 3), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    table = pd.DataFrame({"image": [f"image {row}" for row in range(2 * IMAGES)]})
    pack = SimpleNamespace(
        table=table.assign(wnid=np.array(classes, object)[labels]),
        size=PIXELS,
        summary={"splits": {"train": IMAGES, "val": IMAGES}},
        folder=folder,
        file=folder.joinpath,
    )
    rows = np.split(np.arange(2 * IMAGES), 2)
    selections = [SimpleNamespace(rows=part, labels=labels[part], classes=classes) for part in rows]
    features = torch.from_numpy(random.normal(size=(2 * IMAGES, FEATURES)).astype(np.float32))
    predicted = np.where(
        random.random(IMAGES) < 0.5, labels[:IMAGES], random.integers(0, len(classes), IMAGES)
    )
    return Inspection(
        pack,
        tree,
        *selections,
        features[:IMAGES],
        features[IMAGES:],
        predicted,
        random.random(IMAGES),
        IMAGES,
        IMAGES,
    )


def measure_net(panel: NetPanel, made: Inspection) -> None:
    panel.inspections[OWN] = made
    measure(
        "NetPanel: tables made on first use",
        lambda number: made.prepare(),
    )
    _, find, node, image, pages = panel.controls()
    panel.widget()
    wnids = [wnid for _, wnid in panel.nodes()]
    measure("NetPanel: another node", lambda number: setattr(panel, "node", wnids[number + 1]))
    panel.node = ""
    ids = panel.wrong()["image"].tolist()
    measure("NetPanel: neighbours of another image", lambda number: setattr(panel, "image", ids[number]))
    measure("NetPanel: more images", lambda number: pages.children[1].click())
    texts = ["b", "ba", "bac", "lo", "wo", "vi", "te"]
    measure("NetPanel: a letter in find node", lambda number: setattr(find, "value", texts[number]))


def measure_results(preset: Preset, machine) -> None:
    started = time.perf_counter()
    panel = ResultsPanel(preset, machine)
    panel.widget()
    print(f"ResultsPanel: opened in {time.perf_counter() - started:.1f} s")
    for setting in ("question", "task", "metric", "axis"):
        values = [value for _, value in panel.options(setting)]
        measure(
            f"ResultsPanel: another {setting}",
            lambda number, setting=setting, values=values: setattr(
                panel, setting, values[(number + 1) % len(values)]
            ),
        )
        setattr(panel, setting, "")
    rows = panel.contrasts().index.tolist()
    measure(
        "ResultsPanel: another comparison",
        lambda number: setattr(panel, "row", [*rows, -1][number % (len(rows) + 1)]),
    )
    panel.row = rows[0]
    keys = panel.runs()["run"].tolist()
    measure("ResultsPanel: another run", lambda number: setattr(panel, "run", keys[number]))


def measure_advice() -> None:
    """Measure 2,000 measurements: 8 targets × 25 options × 10 seeds."""
    with mock.patch.multiple(test_advice, TASKS=8, OPTIONS=25, SEEDS=10):
        grid, _ = test_advice.world(0, effect=8.0, measured=10)
    assert len(grid.measurements) == NETS
    started = time.perf_counter()
    panel = AdvicePanel(grid)
    panel.widget()
    print(f"AdvicePanel: opened in {time.perf_counter() - started:.1f} s")
    budgets = panel.costs()
    measure("AdvicePanel: another target", lambda number: setattr(panel, "task", grid.tasks[number + 1]))
    measure("AdvicePanel: another budget", lambda number: setattr(panel, "number", budgets[-1 - number]))
    measure("AdvicePanel: budget in another unit", lambda number: setattr(panel, "unit", UNITS[number % 3]))


def measure_influence(made: Inspection) -> None:
    """Measure 2,000 nets on halves of 1,000 classes in a tree of 21,841 nodes, and 5,000 test images."""
    tree, random = made.tree, np.random.default_rng(0)
    classes = list(tree.leaves)[:1000]
    nodes = nodes_above(tree, classes)
    inclusion = (random.random((NETS, len(classes))) < 0.5).astype(float)
    names, depths = tuple(map(made.name, nodes.wnids)), np.array(list(map(tree.depth, nodes.wnids)))
    scores = inclusion[:, 0] + random.normal(50, 1, NETS)
    halves = NetsOnHalves("knn@scenes", nodes, names, depths, inclusion, tuple(range(NETS)), scores, 20.0)
    correct = (100 * (random.random((NETS, IMAGES)) < 0.5)).astype(np.float32)
    images = made.pack.table.iloc[:IMAGES][["image", "wnid"]].assign(row=np.arange(IMAGES))
    question = SimpleNamespace(packings=lambda: {"scenes": None}, tree=lambda machine: tree)
    started = time.perf_counter()
    effects = halves.effects("difference of means")
    panel = InfluencePanel(question, effects, HierarchyBrowser(tree=tree), here(made.pack.folder))
    panel.scored = CorrectImages(halves, correct, images)
    with mock.patch("itl.panels.influence.open_packed", return_value=made.pack):
        find, _ = panel.controls()
        panel.widget()
    print(f"InfluencePanel: opened with {len(nodes.wnids):,} nodes in {time.perf_counter() - started:.1f} s")
    measure("InfluencePanel: another node", lambda number: setattr(panel, "node", nodes.wnids[number + 1]))
    texts = ["b", "ba", "bac", "lo", "wo", "vi", "te"]
    measure("InfluencePanel: a letter in find node", lambda number: setattr(find, "value", texts[number]))


async def measure_study(preset: Preset, machine, folder: Path) -> None:
    """Measure with an event loop, as a notebook has one: the answer is drawn a moment after a change."""
    photos = []
    for number in range(TIMES):
        photos.append(folder / f"photos {number}")
        for part in ("train/mug", "train/plate", "test/mug", "test/plate"):
            (photos[-1] / part).mkdir(parents=True)
            for image in range(20):
                (photos[-1] / part / f"{image}.png").write_bytes(encoded(smooth(20, 20 + image)))
    with mock.patch("itl.panels.study.load_preset", return_value=preset):
        panel = StudyPanel(machine=machine, browser=HierarchyBrowser(tree=wide_tree()))
    panel.widget()
    every, wide = ", ".join(map(str, range(SEEDS))), panel.conditions
    stems, tasks = list(preset.notebooks), [("knn@scenes",), ("probe@scenes",)]
    panel.seeds = f"{every}, {SEEDS}"
    acts = {
        "2,000 runs, another seed": lambda number: setattr(panel, "seeds", f"{every}, {60 + number}"),
        "2,000 runs, another margin": lambda number: setattr(panel, "margin", 0.1 + number / 100),
        "2,000 runs, other conditions": lambda number: setattr(
            panel, "conditions", f"images_per_class: {[0, *range(1, SIZES - number)]}"
        ),
        "2,000 runs, another task": lambda number: setattr(panel, "tasks", tasks[(number + 1) % 2]),
        "another question": lambda number: setattr(panel, "question", stems[(number + 1) % len(stems)]),
        "target folder": lambda number: setattr(panel, "target_folder", str(photos[number])),
        "images folder": lambda number: setattr(panel, "images_folder", str(photos[number])),
        "target source": lambda number: setattr(panel, "target_source", ("parquet", "folder")[number % 2]),
    }
    for name, act in acts.items():
        measure(f"StudyPanel: {name}", act)
    panel.images_folder = panel.target_folder = ""
    panel.question, panel.conditions, panel.seeds = stems[0], wide, every
    measure("StudyPanel: 2,000 runs, all done", lambda number: setattr(panel, "margin", 0.2 + number / 100))

    steps = ["its results are read 0.2 s later", "what made them", "it is judged", "its figure is drawn"]
    for taken, step in enumerate(steps):

        def take_earlier_steps(number: int, taken: int = taken) -> None:
            panel.refresh()
            for _ in range(taken):
                panel.take_step()

        measure(f"  {step}", lambda number: panel.take_step(), take_earlier_steps)


def main() -> None:
    """Print the table, in milliseconds; each is to be below 100."""
    sizes = [0, *range(1, SIZES)]
    images = {"source": "demo", "size": 32, "options": {"classes": 4, "train": SIZES, "val": 4, "size": 32}}
    settings = SETTINGS | {
        "images": images,
        "images_per_class": sizes,
        "seeds": list(range(SEEDS)),
        "subset": {},
    }
    coarse = {name: value for name, value in settings.items() if name not in ("images_per_class", "subset")}
    coarse |= {"label_sets": ["none", "bottom-up@5", "original"]}
    preset = Preset(name="wide", about="", notebooks={"01-data-size": settings, "02-class-count": coarse})
    question, _ = questions_of(preset)
    with tempfile.TemporaryDirectory() as folder:
        machine = here(Path(folder))
        write_rates(machine, settings)
        question.prepare(machine)
        store, specs = Store(machine.runs), list(with_needs(run.spec for run in question.runs(machine)))
        pretend(specs, store)
        print(
            f"{len(specs):,} runs{'':42}{'middle':>9}{'slowest':>9}{'CPU':>9}{'slowest':>9}   (milliseconds)"
        )
        net = next(spec for spec in specs if isinstance(spec, Pretrain) and spec.trained)
        with mock.patch("itl.panels.net.load_net", return_value=None):
            panel = NetPanel(key(net), machine)
        made = inspection(Path(folder))
        measure_net(panel, made)
        measure_influence(made)
        measure_advice()
        measure_results(preset, machine)
        asyncio.run(measure_study(preset, machine, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
