"""Where runs execute: on worker processes here or on a cluster; each run once, each resumable."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection

from itl import ItlError
from itl.machine import Machine
from itl.runs.store import Store
from itl.specs import Pretrain, Transfer, key

Spec = Pretrain | Transfer
Submit = Callable[[Spec, Store], Future]
PATIENCE = 30                               # seconds that a scheduler has to answer


def execute(
    specs: Iterable[Spec], store: Store, machine: Machine, watch: Callable[[], object] = lambda: None
) -> None:
    """Do every run of *specs* that is missing, each after the run it needs, `machine.workers` side by side.

    A run that fails does not stop those that do not need it; all failures are raised together at the end.
    *watch* is called about twice a second while runs are under way.
    """
    left = {spec: None for spec in with_needs(specs) if store.state(spec) != "done"}
    if not left:
        return
    if machine.ranks > 1:
        from itl.runs.perform import perform_together

        return perform_together(list(left), store, machine)
    machine = machine.replace(workers=min(machine.workers, len(left)))      # starting one takes seconds
    with (cluster if machine.scheduler else local_workers)(machine) as submit:
        failed = _do_all(left, lambda spec: submit(spec, store), watch)
    for spec, error in failed.items():
        said = str(error) if isinstance(error, ItlError) else f"{type(error).__name__}: {error}"
        raise ItlError(f"{len(failed)} of the runs failed, first {key(spec)}: {said}") from error


@contextmanager
def local_workers(machine: Machine) -> Iterator[Submit]:
    """Give a way to do runs in `machine.workers` processes of this machine."""
    context = get_context("spawn")
    lifeline, hold = context.Pipe(duplex=False)
    workers = ProcessPoolExecutor(machine.workers, context, start_worker, (machine.threads, lifeline))
    with hold, workers as pool:
        try:
            yield lambda spec, store: pool.submit(perform_here, spec, store, machine)
        except BaseException as error:
            hold.close()                    # an interrupt does not wait for hours of training
            if not isinstance(error, BrokenProcessPool):
                raise
            raise ItlError(
                "a worker died (killed, or out of memory?); what was finished is kept: "
                "repeat to resume, with fewer --workers if memory is short"
            ) from error


@contextmanager
def cluster(machine: Machine) -> Iterator[Submit]:
    """Give a way to do runs on a Dask cluster that shares `machine.home`, one at a time on each worker.

    Dask hands the run of a worker that died to another, which resumes it from its checkpoint.
    """
    from dask.distributed import Client

    try:
        client = Client(machine.scheduler, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        found = f"no Dask scheduler answers at {machine.scheduler} ({error})"
        raise ItlError(f"{found}; give the address that it prints, as tcp://HOST:PORT") from error
    with client, client.get_executor(pure=False) as pool:
        yield lambda spec, store: pool.submit(perform_there, spec, store, machine)


def _do_all(
    left: dict[Spec, None], submit: Callable[[Spec], Future], watch: Callable[[], object]
) -> dict[Spec, BaseException]:
    """Do all that is *left*, each run after those it needs; return what failed, in that order."""
    running: dict[Future, Spec] = {}
    failed: dict[Spec, BaseException] = {}
    while left or running:
        unfinished = left.keys() | set(running.values())
        for spec in [each for each in left if not unfinished & set(needs(each))]:
            del left[spec]
            if set(needs(spec)) & failed.keys():
                failed[spec] = ItlError(f"run {key(spec)} needs run {key(needs(spec)[0])}, which failed")
            else:
                running[submit(spec)] = spec
        done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
        for future in done:
            spec = running.pop(future)
            if error := future.exception():
                if isinstance(error, BrokenProcessPool):
                    raise error
                failed[spec] = error
        watch()
    return failed


def needs(spec: Spec) -> list[Spec]:
    """List the runs that must be done before *spec*."""
    return [spec.pretrain] if isinstance(spec, Transfer) else []


def with_needs(specs: Iterable[Spec]) -> list[Spec]:
    """List *specs* and all they need, each once, in an order that works."""
    ordered: dict[Spec, None] = {}
    for spec in specs:
        ordered |= dict.fromkeys([*needs(spec), spec])
    return list(ordered)


def perform_here(spec: Spec, store: Store, machine: Machine) -> dict:
    """Do one run in this process. Imported here: who only plans or reads needs no torch."""
    import torch

    from itl.runs.perform import perform

    torch.set_num_threads(machine.threads)
    return perform(spec, store, machine, log=str)


def perform_there(spec: Spec, store: Store, machine: Machine) -> dict:
    """Do one run on a worker of a cluster."""
    return perform_here(spec, store, machine.there())


def start_worker(threads: int, lifeline: Connection) -> None:
    """Prepare a worker process: its share of the cores, and an end once its parent lets go of the lifeline.

    The parent does so when it leaves `execute`, and the kernel does it for a parent that was killed.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)        # read when torch and numba are first imported

    def follow() -> None:
        lifeline.poll(None)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
