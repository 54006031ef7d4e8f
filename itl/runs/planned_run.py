"""One run of a plan, and what users may not have meant by the runs of a plan."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from itl.errors import errors_about
from itl.machine import Machine
from itl.packs.counts import ImageCounts
from itl.runs.cost import Cost, cost_settings, work_of
from itl.runs.throughput import Rates, is_resized, rate_key, refuse_impossible
from itl.specs import DetectionRecipe, Pretrain, Spec, pretraining_of

NO_COST = Cost(0.0, 0, 0, 0, 0)  # what is left of a run that is done


@dataclass
class PlannedRun:
    """One run, with every question and condition that needs it."""

    spec: Spec
    kind: str
    seed: int
    size: ImageCounts  # of the pack that it learns from
    pack: str  # the name of that pack
    side: int  # of its images, in pixels
    folder: Path  # of that pack
    key: str = "after packing"
    uses: list[tuple[str, str]] = field(default_factory=list)  # a question, and what the run is to it
    targets: list[str] = field(default_factory=list)
    state: str = "to do"
    cost: Cost = NO_COST
    before: float = 0.0  # minutes of the net that it waits for

    def add(self, question: str, condition: str, target: str) -> None:
        """Note who needs the run, each once."""
        if (question, condition) not in self.uses:
            self.uses.append((question, condition))
        if target not in self.targets:
            self.targets.append(target)

    @cached_property
    def alike(self) -> tuple:
        """What runs have in common that differ in their seed alone."""
        return self.folder, cost_settings(self.spec)

    @property
    def questions(self) -> list[str]:
        """Names of the questions that need the run, each once."""
        return [*dict.fromkeys(question for question, _ in self.uses)]

    @property
    def conditions(self) -> list[str]:
        """What the run is to these questions, each once."""
        return [*dict.fromkeys(condition for _, condition in self.uses)]

    def row(self) -> dict[str, object]:
        """Return the run's row in `Plan.runs`."""
        return {
            "run": self.key,
            "kind": self.kind,
            "questions": ", ".join(self.questions),
            "condition": " = ".join(self.conditions),
            "on": " = ".join(self.targets),
            "seed": self.seed,
            "state": self.state,
            "before": self.before,
            **vars(self.cost),
        }


def refuse_impossible_nets(runs: Iterable[PlannedRun], rates: Rates, machine: Machine) -> None:
    """Raise ItlError, with its question, for a net of *runs* that cannot be built; those in *rates* can.

    A net that sees images of other pixels than it is built for was measured as one built for them.
    """
    known: set[tuple[str, int | None]] = {(name, None) for name in rates}
    for run in runs:
        net, recipe = work_of(run.spec)
        built_for = pretraining_of(run.spec).recipe.pixels
        resized_from = built_for if is_resized(net, recipe, built_for) else None
        work = rate_key(net, recipe, machine), resized_from
        if work not in known:
            known.add(work)
            method = "" if run.kind == "pretrain" else f", {run.kind}"
            with errors_about(f"{', '.join(run.questions)}{method}"):
                refuse_impossible(net, recipe, built_for)


def describe_doubts(runs: Collection[PlannedRun], packs: Iterable[str]) -> tuple[str, ...]:
    """Return lines on what users may not have meant: *packs* that no run uses, images that are enlarged."""
    used = {run.pack for run in runs} | {"images"}
    unused = [
        f"note: no run is on {pack}, so its pack is built for nothing; name it in tasks, or leave it out"
        for pack in packs
        if pack not in used
    ]
    return tuple(dict.fromkeys([*unused, *_enlarged(runs)]))  # each once


def _enlarged(runs: Iterable[PlannedRun]) -> Iterator[str]:
    """Yield a line for each run that enlarges its images; detectors scale whole images as they need.

    Own weights see no image of the pack that nets are trained on.
    """
    for run in runs:
        _, recipe = work_of(run.spec)
        sees_none = isinstance(run.spec, Pretrain) and run.spec.weights
        if recipe.pixels > run.side and not sees_none and not isinstance(recipe, DetectionRecipe):
            yield (
                f"note: {run.pack}, packed at {run.side} pixels, is enlarged to {recipe.pixels} for nets, "
                f"which adds no detail; pack it at {recipe.pixels} pixels, or let nets take {run.side}"
            )
