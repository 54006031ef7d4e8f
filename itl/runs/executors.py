"""Doing runs in an order that works: each once, each resumable, on this machine or on a cluster."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress

from itl.errors import ItlError
from itl.machine import Machine
from itl.processes import UNDER_MAIN, failure_text
from itl.runs.cluster import DaskWorkers, cluster
from itl.runs.store import CLAIM, Store
from itl.runs.worker_processes import LocalWorkers, local_workers, needs
from itl.specs import Spec, key, pretraining_of

log = logging.getLogger(__name__)

WATCH_S = 0.5  # between two looks at what has finished


def execute(
    specs: Iterable[Spec], store: Store, machine: Machine, watch: Callable[[], object] = lambda: None
) -> None:
    """Do every run of *specs* that is missing, in turn, `machine.workers` side by side on each device.

    A run comes after the run that it needs. A run that fails does not stop those that do not need it; all
    failures are raised together at the end, as one ItlError. *watch* is called about twice a second while
    runs are under way.
    """
    ordered = with_needs(specs)
    left = [spec for spec in ordered if not store.is_done(spec)]
    for spec in ordered:
        if store.has_checkpoint(spec) and store.is_done(spec):  # its process was killed just then
            with suppress(OSError):  # of a store that may only be read
                store.remove_temporary(spec)
    if machine.ranks > 1:  # all of them, or some would wait for one that sees nothing left
        from itl.runs.perform import perform_together

        failed = perform_together(left, store, machine)
    elif not left:
        return
    else:
        devices = 1 if machine.scheduler else len(machine.devices)  # those here are not those of jobs
        share = -(-len(left) // devices)
        machine = machine.replace(workers=min(machine.workers, share))  # starting one takes seconds
        with (cluster if machine.scheduler else local_workers)(machine) as workers:
            failed = _do_all(left, store, workers, watch)
    if failed:
        spec, error = next(iter(failed.items()))
        waited = sum(not failed.keys().isdisjoint(needs(run)) for run in failed)
        waiting = f" ({waited:,} more not done, which need one of these)" if waited else ""
        raise ItlError(
            f"{len(failed) - waited} of the runs failed{waiting}, first {key(spec)}: {failure_text(error)}"
        ) from error


def _do_all(
    specs: Iterable[Spec], store: Store, workers: LocalWorkers | DaskWorkers, watch: Callable[[], object]
) -> dict[Spec, BaseException]:
    """Do all of *specs*, in turn but each after those it needs; return what failed.

    A run whose process was killed resumes in another, once; then it has failed. ItlError if it never began,
    as where no process can start.
    """
    queue = _Queue(specs, store, workers)
    while queue.waiting or queue.running:
        queue.submit_ready()
        if not queue.running:  # a cluster whose workers have not come yet
            time.sleep(WATCH_S)
        done, _ = wait(queue.running, timeout=WATCH_S, return_when=FIRST_COMPLETED)
        workers.check()
        for future in done:
            queue.settle(future)
        watch()
    return queue.failed


class _Queue:
    """Runs that wait, those under way, and those that failed; see `_do_all`."""

    def __init__(self, specs: Iterable[Spec], store: Store, workers: LocalWorkers | DaskWorkers) -> None:
        self.store, self.workers = store, workers
        self.waiting = dict.fromkeys(specs)
        self.running: dict[Future, Spec] = {}
        self.failed: dict[Spec, BaseException] = {}
        self.killed: set[Spec] = set()  # once

    def submit_ready(self) -> None:
        """Start what waits and needs nothing that is unfinished, while workers are free."""
        unfinished = self.waiting.keys() | set(self.running.values())
        for spec in [spec for spec in self.waiting if not unfinished & set(needs(spec))]:
            if set(needs(spec)) & self.failed.keys():
                self.failed[spec] = ItlError(f"run {key(spec)} needs run {key(needs(spec)[0])}, which failed")
            elif (future := self.workers.submit(spec, self.store)) is None:
                break
            else:
                self.running[future] = spec
            del self.waiting[spec]

    def settle(self, future: Future) -> None:
        """Note how the run of *future* has ended; one whose process was killed is the next to start."""
        spec, error = self.running.pop(future), future.exception()
        if isinstance(error, BrokenProcessPool) and spec not in self.killed:
            self.killed.add(spec)
            self.waiting = {spec: None} | self.waiting
        elif error:
            if isinstance(error, BrokenProcessPool):
                error = _death(spec, str(error))
                if not (self.store.path(spec) / CLAIM).exists():
                    raise error from future.exception()
            self.failed[spec] = error
            log.info(f"run {key(spec)} failed: {failure_text(error)}")


def _death(spec: Spec, how: str) -> ItlError:
    """Say that the process of *spec* died twice; *how* begins with the host, as "on HOST:", of a cluster."""
    where, cure = "", "with fewer --workers"
    if how.startswith("on "):
        where, cure = f" {how.partition(':')[0]}", "with workers that have more"
    # A script that each process starts again says so above, but in the words of a traceback.
    guard = "" if "ITL_COMMAND" in os.environ else f"; in a script, {UNDER_MAIN}"
    return ItlError(
        f"the process of run {key(spec)} died twice{where} (killed, or out of memory?); what was finished is "
        f"kept: repeat to resume, {cure} if memory is short{guard}"
    )


def longest_first(specs: Sequence[Spec], minutes: Mapping[str, float]) -> list[Spec]:
    """Order *specs* so that none is left over when all else is done; as given where minutes are unknown.

    *minutes* says by key how long a run should take. What counts is the time to the end of the longest run
    that waits for a run.
    """
    own = {spec: minutes.get(key(spec), 0.0) for spec in specs}
    after = dict.fromkeys(specs, 0.0)
    for spec in specs:
        for needed in needs(spec):
            after[needed] = max(after.get(needed, 0.0), own[spec])
    return sorted(specs, key=lambda spec: -own[spec] - after[spec])


def with_needs(specs: Iterable[Spec]) -> list[Spec]:
    """List *specs* and all they need, each once, in an order that works."""
    ordered: dict[Spec, None] = {}
    for spec in specs:
        ordered |= dict.fromkeys([*needs(spec), spec])
    return list(ordered)


def shard_of(specs: Iterable[Spec], shard: tuple[int, int]) -> list[Spec]:
    """List those of *specs* that are of part I of N, for *shard* (I, N).

    A net and all that is measured on it are of one part. Parts do not depend on the order of *specs*, which
    differs between machines, so that the jobs of one array agree on them.
    """
    part, parts = shard
    specs = list(specs)
    nets = sorted(set(map(pretraining_of, specs)), key=key)
    ours = set(nets[part - 1 :: parts])
    return [spec for spec in specs if pretraining_of(spec) in ours]
