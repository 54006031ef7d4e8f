"""How many hours the presets `paper` and `paper-128` take here: python -m itl.bench.paper_grid --device cuda.

It needs no image: sizes are the published ones, and it measures and plans as `itl plan` does. The goal is
that `paper-128` fits one night.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from itl.bench.goals import NIGHT_H
from itl.hierarchy.taxonomy import Taxonomy
from itl.machine import Machine
from itl.packs.paths import Size, pack_folder
from itl.presets import Preset, load_preset, shipped_folder
from itl.runs.cost import work_of
from itl.runs.executors import with_needs
from itl.runs.plan import Plan, plan
from itl.runs.question import Question
from itl.runs.questions import questions_of
from itl.runs.store import Store
from itl.runs.throughput import calibrated, name_of
from itl.sources.registry import SOURCES
from itl.specs import DetectionRecipe, Recipe

PRESETS = ("paper-128", "paper")        # the one with a goal first
NOTE = """hours of runs one after another, from rates of nets on ready batches, measured here; without packing
or loading (rows step-... of `itl bench` tell what that adds); sizes as published: ILSVRC-2012, of which each
class is given an equal share (they have 732 to 1300), VOC 2007, VOC 2012 actions, SUN397"""


def shared(images: int, classes: list[str]) -> dict[str, int]:
    """Share *images* out among *classes*, as equally as can be.

    >>> shared(5, ["a", "b"])
    {'a': 3, 'b': 2}
    """
    each, more = divmod(images, len(classes))
    return {name: each + (number < more) for number, name in enumerate(classes)}


def published() -> dict[str, Size]:
    """Sizes of the data sets by source, as those who made them tell; nobody packed them here."""
    def size(train: Mapping[str, int], **others: int) -> Size:
        return Size({"train": sum(train.values())} | others, train, packed=False)

    voc, sun = (dict(SOURCES[name].published_images) for name in ("voc2007", "sun397"))
    scenes = [f"scene {number}" for number in range(397)]
    return {
        "imagenet": size(shared(1_281_167, Taxonomy.snapshot().leaves), val=50_000),
        "voc2007": size({"": voc.pop("train")}, **voc),
        "voc2012-action": size({"": 3134}, val=3144),           # people; the labels of test are not public
        "sun397": size(shared(sun.pop("train"), scenes), **sun),
    }


def as_if_listed(
    preset: Preset, sizes: Mapping[str, Size], machine: Machine
) -> tuple[list[Question], Machine]:
    """The questions of *preset*, and *machine* as if it had data of *sizes*, by source.

    ``machine.home`` gets the files in which sizes are kept, as if the data had been listed.
    """
    questions = questions_of(preset)
    names = {name for question in questions for name in question.packings()}
    machine.home.mkdir(parents=True, exist_ok=True)
    machine = machine.replace(data=tuple(f"{name}={machine.home}" for name in sorted(names)), workers=1)
    for question in questions:
        for name, packing in question.packings().items():
            folder = pack_folder(packing, name, machine)
            folder.parent.mkdir(exist_ok=True)
            folder.with_name(f"{folder.name}.size.json").write_text(json.dumps(asdict(sizes[packing.source])))
    return questions, machine


def grid(preset: Preset, sizes: Mapping[str, Size], machine: Machine) -> tuple[Plan, list[tuple]]:
    """Plan *preset* where its data have *sizes* by source; also (net, recipe, rate) of each kind of work."""
    questions, machine = as_if_listed(preset, sizes, machine)
    found = plan(questions, Store(machine.runs), machine)
    works = {name_of(*work, machine): work for work in worked(questions, machine)}
    rates = calibrated(works.values(), machine)                             # kept: nothing is measured again
    return found, [(*work, rates[name]) for name, work in works.items()]


def measure_once(presets: Iterable[Preset], sizes: Mapping[str, Size], machine: Machine) -> None:
    """Measure every kind of work of all *presets* in one process; the plans find what it measured."""
    works = [work for preset in presets for work in worked(*as_if_listed(preset, sizes, machine))]
    calibrated(works, machine)


def worked(questions: list[Question], machine: Machine) -> Iterator[tuple[str, Recipe]]:
    """The net and recipe of every run, those that others need first."""
    for question in questions:
        for run in question.runs(machine):
            yield from map(work_of, with_needs([run.spec]))


def told(found: Plan, works: list[tuple]) -> list[str]:
    """Say in lines how fast each kind of work is and what all of it comes to."""
    lines = [f"    {'images a second':50}{'learned':>12}{'seen':>12}"]
    for net, recipe, rate in works:
        kind = "detector" if isinstance(recipe, DetectionRecipe) else "classifier"
        what = f"{net}, {kind}, {recipe.pixels} pixels, batches of {recipe.batch}"
        lines.append(f"    {what:50}{1 / rate.learn:12,.4g}{1 / rate.look:12,.4g}")
    nets = found.runs["kind"] == "pretrain"
    hours, trained = found.minutes / 60, found.runs.loc[nets, "minutes"].sum() / 60
    each = f"{nets.sum()} trainings {trained:,.1f} hours, {(~nets).sum()} evaluations {hours - trained:,.1f}"
    goal = f"a night has {NIGHT_H:g}, this is {hours / NIGHT_H:,.2f} times that"
    return [*lines, f"    {each}: {hours:,.1f} hours in all; {goal}"]


def main() -> int:
    """Print the hours of each preset; *--json* gets them by name, as they become known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", help="cpu, cuda or cuda:N; of several GPUs the first")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the hours there too")
    given = parser.parse_args()
    presets, hours = [load_preset(name, shipped_folder("params")) for name in PRESETS], {}
    print(NOTE, flush=True)
    with tempfile.TemporaryDirectory() as home:
        device = Machine.from_environment(device=given.device).devices[0]   # the hours are those of one
        machine = Machine.from_environment(home=Path(home), device=device, workers=1)
        measure_once(presets, published(), machine)
        for preset in presets:
            found, works = grid(preset, published(), machine)
            print("\n".join([f"{preset.name}: {preset.about}", *told(found, works)]), flush=True)
            hours[preset.name] = found.minutes / 60
            if given.json:
                given.json.write_text(json.dumps(hours))
    return 0


if __name__ == "__main__":
    sys.exit(main())
