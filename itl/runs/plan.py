"""A plan: every pack and run that some questions need, once, with its cost and whether it exists here."""

import logging
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from itl.errors import ItlError, errors_about
from itl.machine import Machine, cpu_count, device_memory, existing_part, free_disk, free_memory
from itl.packs.build import partial_of
from itl.packs.counts import ImageCounts, count_images
from itl.packs.pack import Pack, scored_split
from itl.packs.paths import pack_folder
from itl.runs.cost import Contents, Cost, check_images, chooses_lr, contents_of, cost, work_of
from itl.runs.design import Design, is_packed
from itl.runs.leakage import find_leakage, known_of_leakage, size_without
from itl.runs.planned_run import PlannedRun, describe_doubts, refuse_impossible_nets
from itl.runs.provenance import describe_devices, device_name
from itl.runs.store import Store
from itl.runs.throughput import Rates, frozen_rate_key, rate_key, rates_of, stored_rates
from itl.sources.registry import SOURCES
from itl.specs import Packing, Pretrain, Recipe, Spec, Transfer, pretraining_of
from itl.words import about, counted, one_line, readable

log = logging.getLogger(__name__)

STATES = ("done", "partial", "to do")
COST_COLUMNS = ["before", *(column.name for column in fields(Cost))]
RUN_COLUMNS = ["run", "kind", "questions", "condition", "on", "seed", "state", *COST_COLUMNS]
PACK_COLUMNS = ["pack", "source", "images", "pixels", "state", "minutes", "disk", "reading"]
VAL_FRACTION = 0.3  # of the images of a target without splits that may be held out
SMALLER = "take smaller batches, a smaller net or target"
WAITING = (
    "note: runs whose pack is not built yet are listed as to do; if the pack, once built, holds the same "
    "images as an earlier one, its finished runs are found again (on a target, if it has kept its name)"
)
ROW_BYTES, REGION_BYTES = 200, 16  # of an image in a pack's table, and of a region proposal


@dataclass(frozen=True)
class Plan:
    """The packs and the runs of some questions, a row each.

    ``packs`` has pack, source, images, pixels, state, minutes, disk (the bytes to be written) and reading.
    ``runs`` has run (its key), kind (its method), questions, condition, on, seed, state, the fields of
    `Cost`, and before: the minutes of the net that it waits for. What is done costs nothing.
    """

    packs: pd.DataFrame
    runs: pd.DataFrame
    machine: Machine
    specs: tuple[Spec, ...] = ()  # of the rows of runs
    duplicates: tuple[str, ...] = ()  # lines on test images that nets have seen, where all packs are built
    afterwards: tuple[str, ...] = ()  # lines on runs that are not known before these are done
    notes: tuple[str, ...] = ()  # lines on what users may not have meant
    unfinished: frozenset[str] = frozenset()  # names of the questions that have runs left

    @cached_property
    def left(self) -> pd.DataFrame:
        """The runs that are not done."""
        return self.runs[self.runs["state"] != "done"]

    def table(self) -> pd.DataFrame:
        """Packs and runs in one table, as notebooks show it: run, kind, what, seed, state and minutes."""
        columns = ["run", "kind", "what", "seed", "state", "minutes"]
        packs, runs = [], []
        for row in self.packs.itertuples():
            what = f"{row.pack}: {row.source}, {counted(row.images, 'images')} of {row.pixels} px"
            packs.append(("", "pack", what, "", row.state, row.minutes))
        for row in self.runs.itertuples():
            what = f"{row.condition}, on {row.on}"
            runs.append((row.run, row.kind, what, row.seed, row.state, row.minutes))
        return pd.DataFrame(packs + runs, columns=columns).round(2)

    def by_condition(self) -> pd.DataFrame:
        """Return a row for each condition: its runs counted by kind and by state, and their minutes.

        Runs that several questions share have rows of their own, so nothing is counted twice.
        """
        nets = self.runs["kind"] == "pretrain"
        states = {state: self.runs["state"] == state for state in STATES}
        table = self.runs.assign(nets=nets, evaluations=~nets, **states)
        groups = table.groupby(["questions", "condition"], sort=False)
        return groups[["nets", "evaluations", *STATES, "minutes"]].sum().reset_index()

    @property
    def is_measured(self) -> bool:
        """Whether it is known what every run that is left takes here; each takes some memory."""
        return bool((self.left["memory"] > 0).all())

    @property
    def minutes(self) -> float:
        """Minutes that all that is left takes: packs in turn, then runs side by side, each after its net.

        A single run is assumed to fill a GPU.
        """
        beside = self.machine.workers if self.machine.device == "cpu" else len(self.machine.devices)
        longest = (self.left["before"] + self.left["minutes"]).max() if len(self.left) else 0.0
        return self.packs["minutes"].sum() + max(self.left["minutes"].sum() / beside, longest)

    @property
    def disk(self) -> tuple[int, int]:
        """Bytes that packs take, and runs with the checkpoints of those side by side."""
        checkpoints = self.runs["checkpoint"].nlargest(self.machine.slots)
        return int(self.packs["disk"].sum()), int(self.runs["disk"].sum() + checkpoints.sum())

    def disks(self) -> list[tuple[Path, int, int]]:
        """Return folders on other disks, the bytes that each takes, and those that are free there.

        That is the home, or packs and runs in it where these are links to two disks.
        """
        needed, folders = self.disk, (self.machine.packs, self.machine.runs)
        if len({existing_part(folder).stat().st_dev for folder in folders}) == 1:
            return [(self.machine.home, sum(needed), free_disk(folders[0]))]
        return [(folder, size, free_disk(folder)) for folder, size in zip(folders, needed, strict=True)]

    def side_by_side(self, kind: str, workers: int) -> int:
        """Bytes of *kind*, memory or device, that the so many largest runs take together."""
        return int(self.runs[kind].nlargest(workers).sum())

    def memories(self) -> list[tuple[str, str, int, int]]:
        """Return each kind of memory needed here: its column, its name, its bytes, how many runs share it.

        Of several GPUs the smallest counts: any run may come to it.
        """
        if self.machine.scheduler or not len(self.left):  # a cluster's workers have their own
            return []
        kinds = [("memory", "memory", free_memory(), self.machine.slots)]
        if self.machine.device != "cpu":
            smallest = min(self.machine.devices, key=device_memory)
            name = f"the memory of {device_name(smallest)}"
            kinds.append(("device", name, device_memory(smallest), self.machine.workers))
        return kinds

    def refuse(self) -> None:
        """Raise ItlError, one line, where there is less disk or memory than the plan takes."""
        packs, runs = map(readable, self.disk)
        for folder, needed, free in self.disks():
            if needed > free:
                raise ItlError(
                    f"this takes {readable(needed)} of disk in {folder}, packs {packs} and runs {runs}; "
                    f"{readable(free)} are free; make room, or choose a place on a larger disk with --home"
                )
        for kind, name, available, sharing in self.memories():
            needed = self.side_by_side(kind, sharing)
            if needed > available:
                fitting = [n for n in range(1, sharing) if self.side_by_side(kind, n) <= available]
                advice = self._fewer(fitting[-1], sharing) if fitting else SMALLER
                who = f"{counted(sharing, 'runs')} side by side take" if sharing > 1 else "one run takes"
                raise ItlError(
                    f"{who} up to {readable(needed)} of {name}; {readable(available)} are there; {advice}"
                )

    def _fewer(self, runs: int, sharing: int) -> str:
        """Say how to have at most *runs* side by side where *sharing* were to be."""
        devices = sharing // self.machine.workers  # 1: each device has a memory of this kind
        if runs >= devices:
            return f"use --workers {runs // devices}"
        fewer = ",".join(self.machine.device.split(",")[:runs])  # cuda:0,2,3 -> cuda:0,2
        return f"use --workers 1 --device {fewer}"

    def summary(self) -> str:
        """Say for people what is left to do, for how long, and what of disk and memory it takes."""
        nets, slots = int((self.left["kind"] == "pretrain").sum()), self.machine.slots
        packs = int((self.packs["state"] != "done").sum())
        where = "" if self.machine.device == "cpu" else f" on {describe_devices(self.machine)}"
        kinds = f"{counted(nets, 'nets')} and {counted(len(self.left) - nets, 'evaluations')}"
        time = f": {about(self.minutes)} with {slots} side by side{where}"
        if not self.is_measured:
            time = ", which are not measured here yet: how long they take is not known"
        elif not packs and self.left.empty:
            time = ""
        if self.machine.scheduler and len(self.left):
            time = ", by a cluster's workers: how long they take is not known"
        packing, running = self.disk
        runs = f", runs {readable(running)}" if self.is_measured else ""
        free = ", ".join(f"{readable(free)} are free in {folder}" for folder, _, free in self.disks())
        lines = [
            f"{counted(packs, 'packs')} to build, {counted(len(self.left), 'runs')} to do ({kinds}){time}",
            f"disk: packs {readable(packing)}{runs}; {free}",
        ]
        for kind, name, available, sharing in self.memories() if self.is_measured else []:
            needed = readable(self.side_by_side(kind, sharing))
            lines.append(f"{name}: up to {needed}; {readable(available)} are there")
        return "\n".join([*lines, *self.notes, *self.duplicates, *self.afterwards])


def plan(
    questions: Iterable[Design],
    store: Store,
    machine: Machine,
    measure: bool = True,
    build_nets: bool = True,
    sizes_of: Mapping[str, ImageCounts] | None = None,
) -> Plan:
    """Plan *questions* together: what they share is one row.

    With *measure*, this machine's speed is measured where it is not known; else, and where this host cannot
    do what a scheduler's workers perhaps can, such runs cost nothing. With *sizes_of*, by source, data have
    these sizes, and none is listed.
    Before that, ItlError is raised for data that are missing, all in one line, for subsets that cannot be
    had, for weights that runs would refuse and, with *build_nets*, for nets.
    """
    questions = list(questions)
    _refuse_unknown_nets(questions, machine)
    sizes, packs = _packs(questions, machine, sizes_of)
    planned = _planned_runs(questions, sizes, store, machine)
    left = [run for run in planned.values() if run.state != "done"]
    for question in questions:
        for own in question.own_weights():
            own.check(machine, question.recipe.pixels)
    _refuse_lacking_images(left, machine)
    _refuse_same_images(planned.values(), machine)
    _add_costs(planned, left, _rates(left, machine, measure, build_nets), machine)
    runs = pd.DataFrame([run.row() for run in planned.values()], columns=RUN_COLUMNS)
    runs = runs.astype(dict.fromkeys(COST_COLUMNS, float))
    duplicates = _duplicates(questions, sizes, machine)
    afterwards = tuple(question.afterwards for question in questions if question.afterwards)
    notes = describe_doubts(planned.values(), packs["pack"])
    if store.has_results() and not all(map(is_packed, planned)):
        notes += (WAITING,)
    unfinished = frozenset(name for run in left for name in run.questions)
    return Plan(packs, runs, machine, tuple(planned), duplicates, afterwards, notes, unfinished)


def _refuse_unknown_nets(questions: Sequence[Design], machine: Machine) -> None:
    """Raise ItlError for a net that there is not, before data are listed; one that was measured is there."""
    for question in questions:
        work = question.net, question.recipe
        if rate_key(*work, machine) not in stored_rates([work], machine):
            from itl.training.nets import check_net  # here: it imports torch

            with errors_about(question.name):
                check_net(question.net)


def _rates(left: Sequence[PlannedRun], machine: Machine, measure: bool, build_nets: bool) -> Rates:
    """Return what work takes here of the runs that are *left*, as far as that is known or measured now."""
    if not left:
        return {}
    works = list(dict.fromkeys(work_of(run.spec) for run in left))
    rates = stored_rates(works, machine)
    if build_nets:
        refuse_impossible_nets(left, rates, machine)
    if not measure:
        return rates
    try:
        return rates_of(works, machine)
    except Exception as error:
        if not machine.scheduler:  # whose workers may have more memory
            raise
        log.info(f"not measured on this host: {one_line(error) or type(error).__name__}")
        return rates


def _refuse_lacking_images(runs: Sequence[PlannedRun], machine: Machine) -> None:
    """Raise ItlError, with its question, where one of *runs* cannot have its images, or learn from so few.

    Runs that differ in their seed alone are looked at once, unless it draws what an lr is chosen on.
    """
    seen = set()
    for run in runs:
        seed = run.spec.seed if chooses_lr(run.spec) else None
        if (run.alike, seed) in seen:
            continue
        seen.add((run.alike, seed))
        task = run.conditions[0] if run.kind == "pretrain" else f"{run.kind}@{run.targets[0]}"
        with errors_about(f"{', '.join(run.questions)}, {task}"):
            check_images(run.spec, run.size, machine)


def _refuse_same_images(runs: Iterable[PlannedRun], machine: Machine) -> None:
    """Raise ItlError where two nets of a question differ in nothing that they are trained on, in any seed.

    Such as 30 images per class beside all where there are 30: one condition would be compared with itself,
    and count twice in the spread that all comparisons are judged by. In some seeds, draws may be the same.
    """
    trained_on: dict[tuple, tuple[Contents, Recipe]] = {}  # of nets that differ in their seed alone
    first: dict[tuple, tuple[str, Pretrain]] = {}  # condition of each training
    seeds: dict[tuple[str, str], set[int]] = defaultdict(set)  # of a condition
    same: dict[tuple[str, ...], dict[int, frozenset]] = defaultdict(dict)  # what a pair shares, by seed
    for run in runs:
        spec = run.spec
        if not isinstance(spec, Pretrain) or not spec.trained:
            continue
        if run.alike not in trained_on:
            contents = contents_of(spec, run.size, machine)
            steps = spec.recipe.total_steps(max(1, sum(count for _, count in contents) // spec.recipe.batch))
            # As many passes are the same training.
            trained_on[run.alike] = contents, replace(spec.recipe, epochs=None, steps=steps)
        contents, recipe = trained_on[run.alike]
        shared = (spec.subset.pack, spec.seed, spec.net, recipe, contents)
        for question, condition in run.uses:
            seeds[question, condition].add(spec.seed)
            other, of_other = first.setdefault((question, *shared), (condition, spec))
            alike = of_other.recipe == spec.recipe
            cure = "leave one of them out" if alike else "train one of them for longer"
            if other != condition and of_other != spec:  # one net under two names is meant so: A + B
                same[question, other, condition, cure][spec.seed] = contents
    for (question, *pair, cure), by_seed in same.items():
        if by_seed.keys() >= seeds[question, pair[0]] & seeds[question, pair[1]]:
            contents = next(iter(by_seed.values()))
            images = counted(sum(count for _, count in contents), "images")
            raise ItlError(
                f"{question}: {' and '.join(pair)} are the same {images} of the same "
                f"{counted(len(contents), 'classes')}; {cure}"
            )


def _packs(
    questions: Sequence[Design], machine: Machine, sizes_of: Mapping[str, ImageCounts] | None
) -> tuple[dict[Path, ImageCounts], pd.DataFrame]:
    """Return the size of every pack, by its folder, and the table of packs; log which are outdated."""
    packings = dict.fromkeys(pair for question in questions for pair in question.packings().items())
    sizes, rows, missing = {}, [], {}
    for name, packing in packings:
        try:
            folder = pack_folder(packing, name, machine)
            size = sizes_of[packing.source] if sizes_of else count_images(packing, name, machine)
        except ItlError as error:
            missing[name] = str(error)
            continue
        sizes[folder] = size
        if size.changes:
            log.info(f"{describe_changes(name, size.changes)}; it is packed anew")
        state, minutes, disk = "done", 0.0, 0
        if not size.packed:
            state, minutes = "to do", size.images * size.seconds / cpu_count() / 60
            written = size.images * (3 * packing.size**2 + ROW_BYTES) + REGION_BYTES * size.regions
            disk = max(0, written - _written(folder))
        rows.append((name, packing.source, size.images, packing.size, state, minutes, disk, size.reading))
    if missing:
        several = f"{len(missing)} data sets cannot be planned ({', '.join(missing)}): "
        raise ItlError(f"{several if len(missing) > 1 else ''}{'; '.join(missing.values())}")
    return sizes, pd.DataFrame(rows, columns=PACK_COLUMNS)


def describe_changes(name: str, changes: str) -> str:
    """Say that the source of the pack *name* is no longer what was packed."""
    return f"the source of {name} has changed since it was packed: {changes}"


def _duplicates(
    questions: Sequence[Design], sizes: dict[Path, ImageCounts], machine: Machine
) -> tuple[str, ...]:
    """Return a line on the duplicates of each target, of the questions whose packs are built."""
    weights: dict[str, None] = {}  # each once
    lines: dict[tuple[str, str, str], list[str]] = defaultdict(list)  # the questions of a split and its text
    for question in questions:
        folders = {name: pack_folder(packing, name, machine) for name, packing in question.packings().items()}
        if all(sizes[folder].packed for folder in folders.values()):
            packs = {name: Pack.open(folder) for name, folder in folders.items()}
            for own in question.own_weights():
                weights[f"weights: {known_of_leakage(own.name, own.trained_on, packs)}"] = None
            for leak in find_leakage(packs, question.leave_out_duplicates):
                words = ["itl", "duplicates", folders[leak.target], "--pretraining", folders["images"]]
                command = f"; listed by\n  {shlex.join(map(str, words))}"  # its own line, to be copied
                lines[leak.target, leak.split, f"{leak}{command if leak else ''}"].append(question.name)
    # Of a split there are two texts where only some questions leave duplicates out.
    texts = Counter((target, split) for target, split, _ in lines)
    return *weights, *(
        f"duplicates{' in ' + ', '.join(names) if texts[target, split] > 1 else ''}: {text}"
        for (target, split, text), names in lines.items()
    )


def _written(folder: Path) -> int:
    """Return the bytes on the disk of a pack that is not finished."""
    file = partial_of(folder) / "images.npy"
    return file.stat().st_blocks * 512 if file.exists() else 0


def _planned_runs(
    questions: Sequence[Design], sizes: dict[Path, ImageCounts], store: Store, machine: Machine
) -> dict[Spec, PlannedRun]:
    """Return every run once, by its spec, and every net that one needs, trained or not."""
    planned: dict[Spec, PlannedRun] = {}
    outdated = {folder for folder, size in sizes.items() if size.changes}
    for question in questions:
        packings = question.packings()
        folders = {name: pack_folder(packing, name, machine) for name, packing in packings.items()}
        question.check_classes({name: sizes[folder].train for name, folder in folders.items()}, machine)
        splits = {name: sizes[folder].splits for name, folder in folders.items()}
        scored = {name for name, known in splits.items() if scored_split(known) in known}
        runs = question.runs(machine, outdated)
        targets = (run.target for run in runs if isinstance(run.spec, Transfer))
        if unscored := next((target for target in targets if target not in scored), None):
            raise _nothing_to_score_on(unscored, packings[unscored])
        reduced = sizes[folders["images"]]  # without duplicates, which all nets of a question leave out alike
        nets = (pretraining_of(run.spec) for run in runs)
        if without := next((net.subset.without for net in nets if net.subset.without and is_packed(net)), ()):
            built = {name: Pack.open(folder) for name, folder in folders.items() if sizes[folder].packed}
            reduced = size_without(reduced, built, without)
        for run in runs:
            (first, value), *others = run.columns
            condition = ", ".join([f"{first} {value}", *(str(value) for _, value in others)])
            net = pretraining_of(run.spec)
            needed: list[tuple[Spec, str, str, str]] = [(net, "pretrain", "images", "own classes")]
            if isinstance(run.spec, Transfer):
                needed.append((run.spec, run.method, run.target, run.task.partition("@")[2]))
            for spec, kind, pack, target in needed:
                if (entry := planned.get(spec)) is None:
                    size = reduced if spec is net and net.subset.without else sizes[folders[pack]]
                    side, folder = packings[pack].size, folders[pack]
                    entry = planned[spec] = PlannedRun(spec, kind, run.seed, size, pack, side, folder)
                    if is_packed(spec):
                        entry.key, entry.state = store.path(spec).name, store.state(spec)
                entry.add(question.name, condition, target)
    return planned


def _nothing_to_score_on(name: str, packing: Packing) -> ItlError:
    """Return the error for a target that has training images alone."""
    source, cure = SOURCES[packing.source], "give it a split val or test"
    cure += f": {source.how_to_add_splits}" if source.how_to_add_splits else ""
    if source.has_option("val_fraction"):
        cure += (
            f", or the option val_fraction: {VAL_FRACTION} in the preset (`itl init FOLDER` copies it out), "
            f"which holds some of its images out"
        )
    return ItlError(f"target {name} has training images alone, and nets are scored on others; {cure}")


def _add_costs(
    planned: dict[Spec, PlannedRun], left: list[PlannedRun], rates: Rates, machine: Machine
) -> None:
    """Set the costs of the runs that are *left*, where *rates* are known, and the minutes of their nets.

    Runs that differ in their seed alone cost the same, so each cost is estimated once.
    """
    costs: dict[tuple, Cost] = {}
    for run in left:
        if run.alike not in costs:
            known = {rate_key(*work_of(run.spec), machine), frozen_rate_key(machine)} <= rates.keys()
            costs[run.alike] = cost(run.spec, run.size, rates, machine) if known else run.cost
        run.cost = costs[run.alike]
    for run in planned.values():
        if isinstance(run.spec, Transfer):
            run.before = planned[run.spec.pretrain].cost.minutes
