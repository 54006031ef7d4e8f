"""A plan: every pack and run that some questions need, once, with what it takes and whether that is here."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol

import pandas as pd

from itl import ItlError
from itl.machine import Machine, device_memory, duration, free_disk, free_memory, readable
from itl.packs.build import partial_of
from itl.packs.paths import Size, pack_folder, size_of
from itl.runs.cost import Cost, cost, work_of
from itl.runs.executors import with_needs
from itl.runs.provenance import describe_devices, device_name
from itl.runs.store import Store
from itl.runs.throughput import Rates, calibrated, frozen_name, measured_before, name_of
from itl.specs import Packing, Pretrain, Transfer, key

UNPACKED = "unpacked"  # begins what stands for the digest of a pack to be built
STATES = ("done", "partial", "to do")
NOTHING = Cost(0.0, 0, 0, 0, 0)  # what is left of a run that is done
NUMBERS = ["before", *(each.name for each in fields(Cost))]
COLUMNS = ["run", "kind", "questions", "condition", "on", "seed", "state", *NUMBERS]
SMALLER = "take smaller batches, a smaller net or target"
ROW = 200  # bytes of an image in a pack's table


class Asked(Protocol):
    """What a plan takes of a question."""

    name: str

    def packings(self) -> dict[str, Packing]:
        """Name every pack the question needs."""

    def runs(self, machine: Machine) -> Sequence:
        """List its runs: each a spec with columns, seed, task, target and method."""


@dataclass(frozen=True)
class Plan:
    """The packs and the runs of some questions, a row each.

    ``packs`` has pack, source, images, pixels, state, minutes, and disk: the bytes to be written. ``runs``
    has run (its key), kind (its method), questions, condition, on, seed, state, the fields of `Cost`, and
    before: the minutes of the net that it waits for. What is done costs nothing.
    """

    packs: pd.DataFrame
    runs: pd.DataFrame
    machine: Machine

    @property
    def left(self) -> pd.DataFrame:
        """The runs that are not done."""
        return self.runs[self.runs["state"] != "done"]

    def table(self) -> pd.DataFrame:
        """Packs and runs in one table, as notebooks show it: run, kind, what, seed, state and minutes."""
        columns = ["run", "kind", "what", "seed", "state", "minutes"]
        packs = [
            (
                "",
                "pack",
                f"{each.pack}: {each.source}, {each.images:,} images of {each.pixels} px",
                "",
                each.state,
                each.minutes,
            )
            for each in self.packs.itertuples()
        ]
        runs = [
            (each.run, each.kind, f"{each.condition}, on {each.on}", each.seed, each.state, each.minutes)
            for each in self.runs.itertuples()
        ]
        return pd.DataFrame(packs + runs, columns=columns).round(2)

    def by_condition(self) -> pd.DataFrame:
        """Count and add up the runs of each condition; what several questions share stands apart, once."""
        nets = self.runs["kind"] == "pretrain"
        states = {state: self.runs["state"] == state for state in STATES}
        counted = self.runs.assign(nets=nets, tries=~nets, **states)
        groups = counted.groupby(["questions", "condition"], sort=False)
        return groups[["nets", "tries", *STATES, "minutes"]].sum().round(1).reset_index()

    @property
    def minutes(self) -> float:
        """How long all that is left takes: packs in turn, then runs side by side, each after its net.

        Of a GPU it is thought that a single run fills it.
        """
        beside = self.machine.workers if self.machine.device == "cpu" else len(self.machine.devices)
        longest = (self.left["before"] + self.left["minutes"]).max() if len(self.left) else 0.0
        return self.packs["minutes"].sum() + max(self.left["minutes"].sum() / beside, longest)

    @property
    def disk(self) -> tuple[int, int]:
        """Bytes that packs take, and runs with the checkpoints of those side by side."""
        checkpoints = self.runs["checkpoint"].nlargest(self.machine.slots)
        return int(self.packs["disk"].sum()), int(self.runs["disk"].sum() + checkpoints.sum())

    def side_by_side(self, kind: str, workers: int) -> int:
        """Bytes of *kind*, memory or device, that so many runs take at once where the greediest meet."""
        return int(self.runs[kind].nlargest(workers).sum())

    def memories(self) -> list[tuple[str, str, int, int]]:
        """Each kind of memory needed here: its key, its name for people, its bytes, how many runs share it.

        Of several GPUs the smallest counts: any run may come to it.
        """
        if self.machine.scheduler or not len(self.left):  # a cluster's workers have their own
            return []
        kinds = [("memory", "memory", free_memory(), self.machine.slots)]
        if self.machine.device != "cpu":
            smallest = min(self.machine.devices, key=device_memory)
            kinds += [
                (
                    "device",
                    f"the memory of {device_name(smallest)}",
                    device_memory(smallest),
                    self.machine.workers,
                )
            ]
        return kinds

    def refuse(self) -> None:
        """Raise ItlError, one line, where there is less disk or memory than the plan takes."""
        (packs, runs), free = self.disk, free_disk(self.machine.home)
        if packs + runs > free:
            raise ItlError(
                f"this takes {readable(packs + runs)} of disk in {self.machine.home}, packs "
                f"{readable(packs)} and runs {readable(runs)}; {readable(free)} are free; make "
                f"room, or choose a place on a larger disk with --home"
            )
        for kind, name, found, sharing in self.memories():
            if (asked := self.side_by_side(kind, sharing)) > found:
                fits = [count for count in range(1, sharing) if self.side_by_side(kind, count) <= found]
                way = self._fewer(fits[-1], sharing) if fits else SMALLER
                raise ItlError(
                    f"{sharing} runs side by side take up to {readable(asked)} of {name}; "
                    f"{readable(found)} are there; {way}"
                )

    def _fewer(self, runs: int, sharing: int) -> str:
        """Say how to have at most *runs* side by side where *sharing* were to be."""
        devices = sharing // self.machine.workers  # 1: each device has a memory of this kind
        if runs >= devices:
            return f"use --workers {runs // devices}"
        some = ",".join(self.machine.device.split(",")[:runs])  # cuda:0,2,3 -> cuda:0,2
        return f"use --workers 1 --device {some}"

    def summary(self) -> str:
        """Say for people what is left to do, for how long, and what of disk and memory it takes."""
        nets, slots = int((self.left["kind"] == "pretrain").sum()), self.machine.slots
        where = "" if self.machine.device == "cpu" else f" on {describe_devices(self.machine)}"
        kinds = f"{nets} trainings and {len(self.left) - nets} tries"
        lines = [
            f"{(self.packs['state'] != 'done').sum()} packs to build, {len(self.left)} runs to do ({kinds}): "
            f"about {duration(self.minutes)} with {slots} side by side{where}",
            f"disk: packs {readable(self.disk[0])}, runs {readable(self.disk[1])}; "
            f"{readable(free_disk(self.machine.home))} are free in {self.machine.home}",
        ]
        for kind, name, found, sharing in self.memories():
            asked = readable(self.side_by_side(kind, sharing))
            lines.append(f"{name}: up to {asked}; {readable(found)} are there")
        return "\n".join(lines)


def plan(
    questions: Iterable[Asked],
    store: Store,
    machine: Machine,
    log: Callable[[str], object] = lambda _: None,
    measure: bool = True,
) -> Plan:
    """Plan *questions* together: what they share is one row. *log* hears of what takes a while.

    Without *measure* a run whose rates are not known yet has no cost. Raises ItlError that names all data
    that are missing, and for subsets that cannot be had.
    """
    questions = list(questions)
    sizes, packs = _packs(questions, machine)
    rows, size_for = {}, {}
    for question in questions:
        folders = {name: pack_folder(each, name, machine) for name, each in question.packings().items()}
        runs = question.runs(machine)
        for run, spec in [(each, spec) for each in runs for spec in with_needs([each.spec])]:
            net = isinstance(spec, Pretrain)  # of those without pre-training too, made once as well
            row = rows.setdefault(
                spec,
                {
                    "kind": "pretrain" if net else run.method,
                    "questions": {},
                    "condition": {},
                    "on": {},
                    "seed": run.seed,
                },
            )
            on = "own classes" if net else run.task.partition("@")[2]
            told = ", ".join(f"{name} {value}" for name, value in run.columns)
            for column, value in (("questions", question.name), ("condition", told), ("on", on)):
                row[column][value] = None
            size_for[spec] = sizes[folders["images" if net else run.target]]
    left = _add_states(rows, store)
    works = map(work_of, left)
    rates = (calibrated(works, machine, log) if measure else measured_before(works, machine)) if left else {}
    _add_costs(rows, size_for, rates, machine)
    runs = pd.DataFrame([_shown(spec, row) for spec, row in rows.items()], columns=COLUMNS)
    return Plan(packs, runs.astype(dict.fromkeys(NUMBERS, float)), machine)


def _packs(questions: Sequence[Asked], machine: Machine) -> tuple[dict[Path, Size], pd.DataFrame]:
    """Size every pack once, by folder, and tabulate them; ItlError for all data that are missing."""
    sizes, rows, missing = {}, [], {}
    for name, packing in dict.fromkeys(pair for each in questions for pair in each.packings().items()):
        try:
            folder = pack_folder(packing, name, machine)
            sizes[folder] = found = size_of(packing, name, machine)
        except ItlError as error:
            missing[name] = str(error)
            continue
        state = "done" if found.packed else "to do"
        minutes = 0.0 if found.packed else found.images * found.seconds / len(os.sched_getaffinity(0)) / 60
        disk = 0 if found.packed else found.images * (3 * packing.size**2 + ROW) - _written(folder)
        rows.append((name, packing.source, found.images, packing.size, state, minutes, max(0, disk)))
    if len(missing) > 1:
        raise ItlError(
            f"{len(missing)} data sets cannot be planned ({', '.join(missing)}): "
            + "; ".join(missing.values())
        )
    if missing:
        raise ItlError(*missing.values())
    return sizes, pd.DataFrame(
        rows, columns=["pack", "source", "images", "pixels", "state", "minutes", "disk"]
    )


def _written(folder: Path) -> int:
    """Bytes on the disk of a pack that is not finished."""
    file = partial_of(folder) / "images.npy"
    return file.stat().st_blocks * 512 if file.exists() else 0


def _add_states(rows: dict[Pretrain | Transfer, dict], store: Store) -> list[Pretrain | Transfer]:
    """Put into each row its state; return the runs that are left."""
    for spec, row in rows.items():
        row["state"] = "to do" if UNPACKED in str(spec) else store.state(spec)
    return [spec for spec, row in rows.items() if row["state"] != "done"]


def _add_costs(
    rows: dict[Pretrain | Transfer, dict],
    size_for: Mapping[Pretrain | Transfer, Size],
    rates: Rates,
    machine: Machine,
) -> None:
    """Put into each row what is left of its cost, as far as *rates* tell, and the minutes of its net."""
    for spec, row in rows.items():
        known = {name_of(*work_of(spec), machine), frozen_name(machine)} <= rates.keys()
        left = row["state"] != "done"
        row |= asdict(cost(spec, size_for[spec], rates, machine) if left and known else NOTHING)
    for spec, row in rows.items():
        net = rows.get(spec.pretrain) if isinstance(spec, Transfer) else None
        row["before"] = net["minutes"] if net else 0.0


def _shown(spec: Pretrain | Transfer, row: dict) -> dict[str, object]:
    """The row of *spec*, its key first; what shares the run stands joined."""
    name = "after packing" if UNPACKED in str(spec) else key(spec)
    joined = {
        "questions": ", ".join(row["questions"]),
        "condition": " = ".join(row["condition"]),
        "on": " = ".join(row["on"]),
    }
    return {"run": name} | row | joined


def told(found: Plan, each: bool = False) -> str:
    """Write the plan for a terminal: packs, conditions (with *each*, every run) and the summary."""
    if found.runs.empty:
        return "no question is asked: no runs to do"
    packs = found.packs.assign(disk=found.packs["disk"].map(readable)).round(1)
    columns = ["run", "kind", "questions", "condition", "on", "seed", "state", "minutes"]
    runs = found.runs[columns].round(1) if each else found.by_condition()
    return "\n\n".join([packs.to_string(index=False), runs.to_string(index=False), found.summary()])
