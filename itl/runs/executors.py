"""Where runs execute: on worker processes here or on a cluster; each run once, each resumable."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
Submit = Callable[[Spec, Store], Future | None]     # None: nothing is free to do it
PATIENCE = 30                               # seconds that a scheduler has to answer


def execute(
    specs: Iterable[Spec], store: Store, machine: Machine, watch: Callable[[], object] = lambda: None
) -> None:
    """Do every run of *specs* that is missing, in turn, `machine.workers` side by side on each device.

    A run comes after the run that it needs. A run that fails does not stop those that do not need it; all
    failures are raised together at the end. *watch* is called about twice a second while runs are under way.
    """
    left = [spec for spec in with_needs(specs) if store.state(spec) != "done"]
    if not left:
        return
    if machine.ranks > 1:
        from itl.runs.perform import perform_together

        return perform_together(left, store, machine)
    share = -(-len(left) // len(machine.devices))
    machine = machine.replace(workers=min(machine.workers, share))      # starting one takes seconds
    with (cluster if machine.scheduler else local_workers)(machine) as submit:
        failed = _do_all(left, lambda spec: submit(spec, store), watch)
    for spec, error in failed.items():
        said = str(error) if isinstance(error, ItlError) else f"{type(error).__name__}: {error}"
        raise ItlError(f"{len(failed)} of the runs failed, first {key(spec)}: {said}") from error


@contextmanager
def local_workers(machine: Machine) -> Iterator[Submit]:
    """Give a way to do runs in processes of this machine, `machine.workers` on each of its devices.

    A run goes to the device with the fewest under way. A process stays on one device, so that what it keeps
    there serves its next run.
    """
    context = get_context("spawn")
    lifeline, hold = context.Pipe(duplex=False)

    def start() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(machine.workers, context, start_worker, (machine.threads, lifeline))

    pools = {device: start() for device in machine.devices}     # processes start when runs need them
    running: dict[str, list[Future]] = {device: [] for device in pools}

    def submit(spec: Spec, store: Store) -> Future | None:
        for device, futures in running.items():
            running[device] = [future for future in futures if not future.done()]
        device = min(running, key=lambda name: len(running[name]))
        if len(running[device]) == machine.workers:
            return None
        run = perform_here, spec, store, machine.replace(device=device)
        try:
            running[device].append(pools[device].submit(*run))
        except BrokenProcessPool:           # a process of it was killed, and the others with it
            pools[device].shutdown()
            pools[device] = start()
            running[device].append(pools[device].submit(*run))
        return running[device][-1]

    with hold:
        try:
            yield submit
        except BaseException:
            hold.close()                    # an interrupt does not wait for hours of training
            raise
        finally:
            for pool in pools.values():
                pool.shutdown()


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
    specs: Iterable[Spec], submit: Callable[[Spec], Future | None], watch: Callable[[], object]
) -> dict[Spec, BaseException]:
    """Do all of *specs*, in turn but each after those it needs; return what failed.

    A run whose process was killed resumes in another, once.
    """
    left = dict.fromkeys(specs)
    running: dict[Future, Spec] = {}
    failed: dict[Spec, BaseException] = {}
    killed: set[Spec] = set()
    while left or running:
        unfinished = left.keys() | set(running.values())
        for spec in [waiting for waiting in left if not unfinished & set(needs(waiting))]:
            if set(needs(spec)) & failed.keys():
                failed[spec] = ItlError(f"run {key(spec)} needs run {key(needs(spec)[0])}, which failed")
            elif (future := submit(spec)) is None:
                break
            else:
                running[future] = spec
            del left[spec]
        done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
        for future in done:
            spec, error = running.pop(future), future.exception()
            if isinstance(error, BrokenProcessPool):
                if spec in killed:
                    raise ItlError(
                        f"the process of run {key(spec)} died twice (killed, or out of memory?); what was "
                        f"finished is kept: repeat to resume, with fewer --workers if memory is short"
                    ) from error
                killed.add(spec)
                left = {spec: None} | left
            elif error:
                failed[spec] = error
        watch()
    return failed


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
    from itl.training.batches import use_device

    torch.set_num_threads(machine.threads)
    use_device(machine)
    return perform(spec, store, machine, log=str)


def perform_there(spec: Spec, store: Store, machine: Machine) -> dict:
    """Do one run on a worker of a cluster, on the first of the devices that the worker sees."""
    there = machine.for_worker()
    return perform_here(spec, store, there.replace(device=there.devices[0]))


def start_worker(threads: int, lifeline: Connection) -> None:
    """Prepare a worker process: its share of the cores, and an end once its parent lets go of the lifeline.

    The parent does so when it leaves `execute`, and the kernel does it for a parent that was killed.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)        # read when torch and numba are first imported

    def follow() -> None:
        lifeline.poll(None)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
