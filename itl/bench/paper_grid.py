"""Hours of the presets `paper` and `paper-128` on this machine: python -m itl.bench.paper_grid --device cuda.

It needs no images: sizes are the published ones, and it measures and plans as `itl plan` does. The goal is
that `paper-128` takes one night.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from itl.hierarchy.taxonomy import Taxonomy
from itl.machine import Machine
from itl.packs.counts import ImageCounts
from itl.presets import Preset, load_preset, shipped_folder
from itl.runs.cost import work_of
from itl.runs.executors import with_needs
from itl.runs.plan import Plan, plan
from itl.runs.question import Question
from itl.runs.questions import questions_of
from itl.runs.store import Store
from itl.runs.throughput import rate_key, rates_of
from itl.sources.registry import SOURCES
from itl.specs import DetectionRecipe, Recipe

PRESETS = ("paper-128", "paper")  # the one with a goal first
NIGHT_H = 12.0
NOTE = """hours of runs one after another, from rates of nets on ready batches, measured here; without packing
or loading (rows step-... of `itl bench` say what that adds); sizes as published: ILSVRC-2012, of which each
class is given an equal share (they have 732 to 1300), VOC 2007, VOC 2012 actions, SUN397"""


def shared(images: int, classes: Sequence[str]) -> dict[str, int]:
    """Divide *images* among *classes* as equally as possible.

    >>> shared(5, ["a", "b"])
    {'a': 3, 'b': 2}
    """
    share, rest = divmod(images, len(classes))
    return {name: share + (number < rest) for number, name in enumerate(classes)}


def published() -> dict[str, ImageCounts]:
    """Return the published sizes of the data sets, by source."""

    def size(train: Mapping[str, int], **others: int) -> ImageCounts:
        return ImageCounts({"train": sum(train.values())} | others, train, packed=False)

    names = ("voc2007", "voc2012-action", "sun397")
    voc, actions, sun = (dict(SOURCES[name].published_images) for name in names)
    scenes = [f"scene {number}" for number in range(397)]
    return {
        "imagenet": size(shared(1_281_167, Taxonomy.snapshot().leaves), val=50_000),
        "voc2007": size({"": voc.pop("train")}, **voc),
        "voc2012-action": size({"": actions.pop("train")}, **actions),  # people
        "sun397": size(shared(sun.pop("train"), scenes), **sun),
    }


def with_data(preset: Preset, machine: Machine) -> tuple[list[Question], Machine]:
    """Return the questions of *preset*, and *machine* with an empty folder in its home as data of each."""
    questions = questions_of(preset)
    names = {name for question in questions for name in question.packings()}
    images = machine.home / "listed" / "images"
    images.mkdir(parents=True, exist_ok=True)
    return questions, machine.replace(data=tuple(f"{name}={images}" for name in sorted(names)), workers=1)


def grid(preset: Preset, sizes: Mapping[str, ImageCounts], machine: Machine) -> tuple[Plan, list[tuple]]:
    """Plan *preset* for data of *sizes*, by source; also return (net, recipe, rate) of each kind of work."""
    questions, machine = with_data(preset, machine)
    made = plan(questions, Store(machine.runs), machine, sizes_of=sizes)
    works = {rate_key(*work, machine): work for work in worked(questions, machine)}
    rates = rates_of(works.values(), machine)  # measured once, and kept
    return made, [(*work, rates[name]) for name, work in works.items()]


def worked(questions: list[Question], machine: Machine) -> Iterator[tuple[str, Recipe]]:
    """Yield the net and recipe of every run, those that others need first."""
    for question in questions:
        for run in question.runs(machine):
            yield from map(work_of, with_needs([run.spec]))


def describe(made: Plan, works: list[tuple]) -> list[str]:
    """Return lines on how fast each kind of work is, and on the hours of all of it."""
    lines = [f"    {'images a second':50}{'learned':>12}{'seen':>12}"]
    for net, recipe, rate in works:
        kind = "detector" if isinstance(recipe, DetectionRecipe) else "classifier"
        what = f"{net}, {kind}, {recipe.pixels} pixels, batches of {recipe.batch}"
        rates = 1 / rate.train_s_per_image, 1 / rate.infer_s_per_image
        lines.append(f"    {what:50}{rates[0]:12,.4g}{rates[1]:12,.4g}")
    nets = made.runs["kind"] == "pretrain"
    hours, trained = made.minutes / 60, made.runs.loc[nets, "minutes"].sum() / 60
    parts = f"{nets.sum()} trainings {trained:,.1f} hours, {(~nets).sum()} evaluations {hours - trained:,.1f}"
    goal = f"a night has {NIGHT_H:g}, this is {hours / NIGHT_H:,.2f} times that"
    return [*lines, f"    {parts}: {hours:,.1f} hours in all; {goal}"]


def main() -> None:
    """Print the hours of each preset and write them by name, one by one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", help="cpu, cuda or cuda:N; of several GPUs the first")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the hours there too")
    args = parser.parse_args()
    presets, hours = [load_preset(name, shipped_folder("params")) for name in PRESETS], {}
    print(NOTE, flush=True)
    with tempfile.TemporaryDirectory() as home:
        device = Machine.from_environment(device=args.device).devices[0]  # hours of a single one
        machine = Machine.from_environment(home=Path(home), device=device, workers=1)
        sizes = published()
        works = [work for preset in presets for work in worked(*with_data(preset, machine))]
        rates_of(works, machine)  # in one process; the plans then take what it measured
        for preset in presets:
            made, rated = grid(preset, sizes, machine)
            print("\n".join([f"{preset.name}: {preset.about}", *describe(made, rated)]), flush=True)
            hours[preset.name] = made.minutes / 60
            if args.json:
                args.json.write_text(json.dumps(hours))


if __name__ == "__main__":
    main()
