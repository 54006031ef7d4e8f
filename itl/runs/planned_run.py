"""One run of a plan, and what users may not have meant by the runs of a plan."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import mean
from typing import NamedTuple

from itl import ItlError, counted, errors_about
from itl.hierarchy.label_sets import describe_in_vain
from itl.hierarchy.taxonomies import tree_of_digest
from itl.machine import Machine
from itl.packs.paths import Size
from itl.runs.cost import Cost, cost_settings, images_of, work_of
from itl.runs.throughput import Rates, is_resized, name_of, refuse_impossible
from itl.specs import DetectionRecipe, Pretrain, Spec, Subset, pretraining_of

SAME_BUDGET = 1.02  # ratio of the numbers of images that two designs of one budget have, at most
NO_COST = Cost(0.0, 0, 0, 0, 0)  # what is left of a run that is done


class Design(NamedTuple):
    """A design of `Budget`: its name in results, and whether a class of it may have fewer images."""

    name: str
    at_most: bool


@dataclass
class PlannedRun:
    """One run, with every question and condition that needs it."""

    spec: Spec
    kind: str
    seed: int
    size: Size  # of the pack that it learns from
    pack: str  # the name of that pack
    side: int  # of its images, in pixels
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
        work = name_of(net, recipe, machine), resized_from
        if work not in known:
            known.add(work)
            method = "" if run.kind == "pretrain" else f", {run.kind}"
            with errors_about(f"{', '.join(run.questions)}{method}"):
                refuse_impossible(net, recipe, built_for)


def compare_budgets(
    budgets: Mapping[str, tuple[tuple[Design, ...], ...]], runs: Iterable[PlannedRun], machine: Machine
) -> tuple[str, ...]:
    """Return a line for each budget with a design of at most so many images that has another number.

    Numbers of images are means over seeds.

    Args:
        budgets: designs that are to have the same number, by question: see `Question.budgets`.

    Raises:
        ItlError: two other designs of one budget have different numbers.
    """
    counts: dict[tuple[str, str], list[int]] = defaultdict(list)  # of a question and a condition
    for run in runs:
        if isinstance(run.spec, Pretrain) and run.spec.trained and budgets.keys() & set(run.questions):
            n_train = images_of(run.spec, run.size, machine).n_train
            for pair in run.uses:
                counts[pair].append(n_train)
    lines = []
    for question, designs in ((name, designs) for name, of_name in budgets.items() for designs in of_name):
        sizes = {design: mean(counts[question, f"design {design.name}"]) for design in designs}
        exact = {design: size for design, size in sizes.items() if not design.at_most}
        if apart := _apart(exact):
            raise ItlError(
                f"{question}: designs of one budget have one number of images; {apart}; change the images "
                f"of each class in one of them"
            )
        if apart := _apart(sizes):
            lines.append(f"note: {question}: in one budget {apart} images, so they differ in that number too")
    return tuple(lines)


def _apart(sizes: Mapping[Design, float]) -> str:
    """Say which designs have the fewest and the most images; '' where these are one budget."""
    in_order = sorted(sizes, key=sizes.__getitem__)
    if not sizes or sizes[in_order[-1]] <= SAME_BUDGET * sizes[in_order[0]]:
        return ""
    fewest, most = (f"{design.name} has {sizes[design]:,.0f}" for design in (in_order[0], in_order[-1]))
    return f"{fewest} and {most}"


def describe_doubts(runs: Collection[PlannedRun], packs: Iterable[str], machine: Machine) -> tuple[str, ...]:
    """Return lines on what users may not have meant: *packs* that no run uses, images that are enlarged."""
    used = {run.pack for run in runs} | {"images"}
    unused = [
        f"note: no run is on {pack}, so its pack is built for nothing; name it in tasks, or leave it out"
        for pack in packs
        if pack not in used
    ]
    lines = [*unused, *_enlarged(runs), *_labelled_in_vain(runs, machine), *_too_little(runs, machine)]
    return tuple(dict.fromkeys(lines))  # each once


def _enlarged(runs: Iterable[PlannedRun]) -> Iterator[str]:
    """Yield a line for each run that enlarges its images; detectors scale whole images as they need."""
    for run in runs:
        _, recipe = work_of(run.spec)
        if recipe.pixels > run.side and not isinstance(recipe, DetectionRecipe):
            yield (
                f"note: {run.pack}, packed at {run.side} pixels, is enlarged to {recipe.pixels} for nets, "
                f"which adds no detail; pack it at {recipe.pixels} pixels, or let nets take {run.side}"
            )


def _labelled_in_vain(runs: Iterable[PlannedRun], machine: Machine) -> Iterator[str]:
    """Yield a line for each list that has classes without training images, and each part that keeps all."""
    alike: dict[tuple[str, int], tuple[PlannedRun, Subset]] = {}  # seeds share labels and a pack
    for run in runs:
        if isinstance(run.spec, Pretrain) and run.spec.trained:
            alike[run.spec.subset.labels, id(run.size)] = run, run.spec.subset
    for run, subset in alike.values():
        tree = tree_of_digest(subset.tree, machine.taxonomies)
        for line in describe_in_vain(tree, subset.labels, list(run.size.train)):
            yield f"note: {run.pack}: {line}"


def _too_little(runs: Iterable[PlannedRun], machine: Machine) -> Iterator[str]:
    """Yield a line for each condition of one class, and each pack of which a net gets less than a batch."""
    trained = [run for run in runs if isinstance(run.spec, Pretrain) and run.spec.trained]
    alike = {(id(run.size), cost_settings(run.spec)): run for run in trained}  # seeds share their numbers
    single: dict[str, None] = {}
    fewest: dict[tuple[str, int], tuple[int, str]] = {}  # pack and batch -> images, condition
    for run in alike.values():
        _, recipe = work_of(run.spec)
        images, condition = images_of(run.spec, run.size, machine), run.conditions[0]
        if images.classes == 1:
            single[condition] = None
        if images.n_train < recipe.batch:
            least = (images.n_train, condition)
            fewest[run.pack, recipe.batch] = min(fewest.get((run.pack, recipe.batch), least), least)
    for condition in single:
        yield f"note: {condition} is a single class, from which a net learns nothing"
    for (pack, batch), (count, condition) in fewest.items():
        yield (
            f"note: a batch of {batch:,} is more than the {counted(count, 'images')} of {pack} for "
            f"{condition}; each step there takes all of them"
        )
