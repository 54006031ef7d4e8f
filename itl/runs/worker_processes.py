"""Worker processes of this machine: each stays on one device and ends with the process that started it."""

import gc
import logging
import os
import pickle
import resource
import subprocess
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from queue import SimpleQueue
from subprocess import PIPE

from itl.errors import ItlError
from itl.machine import OPENMP_THREADS, Machine
from itl.notes import LineHandler, log_lines, warnings_as_notes
from itl.processes import failure_text, free_frames, process_pool
from itl.runs.store import RUN_AGAIN, Store
from itl.specs import Spec, Transfer

LINE, END = "line", "end"  # kinds of answers of a process that serves runs
FILES_OF_POOL = 8  # that are open here for a pool of one process
OTHER_FILES = 512


class LocalWorkers:
    """Processes of this machine, `machine.workers` on each of its devices.

    A run goes to the device with the fewest under way. A process stays on one device, so that what it keeps
    there serves its next run. Each is a pool of its own: a pool ends all its processes where one dies.
    """

    def __init__(self, machine: Machine, lifeline: Connection):
        """Start no process yet: they start when runs need them, and end when *lifeline* is closed."""
        self.machine, self.lifeline = machine, lifeline
        self.devices = machine.devices * machine.workers  # of each process
        _allow_open_files(FILES_OF_POOL * len(self.devices))
        self.pools = [self._start() for _ in self.devices]
        self.running: dict[int, Future] = {}  # by process

    def _start(self) -> ProcessPoolExecutor:
        machine = self.machine
        return process_pool(1, machine.threads, start_worker, self.lifeline, device=machine.device)

    def _restart(self, number: int) -> None:
        self.pools[number].shutdown()
        self.pools[number] = self._start()

    def submit(self, spec: Spec, store: Store) -> Future | None:
        """Start the run of *spec*; None where every process is busy.

        ItlError if no process can be started.
        """
        done = {number: future for number, future in self.running.items() if future.done()}
        self.running = {number: future for number, future in self.running.items() if number not in done}
        free = [number for number in range(len(self.pools)) if number not in self.running]
        if any(isinstance(future.exception(), BrokenProcessPool) for future in done.values()):
            for number in free:  # the kill may be of what starts processes: all break, idle ones unnoticed
                self._restart(number)
        if not free:
            return None
        load = Counter(self.devices[number] for number in self.running)
        number = min(free, key=lambda number: load[self.devices[number]])
        machine = self.machine.replace(device=self.devices[number])
        try:
            future = self.pools[number].submit(perform_here, spec, store, machine)
        except (BrokenProcessPool, EOFError, ConnectionError):  # it, or what starts it, was killed
            self._restart(number)
            try:
                future = self.pools[number].submit(perform_here, spec, store, machine)
            except BrokenProcessPool as error:
                raise ItlError(
                    "no process can be started for runs: what starts them died twice (killed, out of memory, "
                    "or a limit that `ulimit -a` shows); what was finished is kept: repeat to resume"
                ) from error
        self.running[number] = future
        return future

    def check(self) -> None:
        """Do nothing: a process that dies fails its own run."""


def _allow_open_files(count: int) -> None:
    """Raise this process's limit of open files, often 1,024, where *count* more may not fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count += OTHER_FILES
    if resource.RLIM_INFINITY != soft < count:
        allowed = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


@contextmanager
def local_workers(machine: Machine) -> Iterator[LocalWorkers]:
    """Provide worker processes; those that compute are ended when the context ends with an error."""
    lifeline, hold = Pipe(duplex=False)
    workers = LocalWorkers(machine, lifeline)
    with hold:
        try:
            yield workers
        except BaseException:
            hold.close()  # an interrupt does not wait for hours of training
            raise
        finally:
            for pool in workers.pools:
                pool.shutdown()


class OneProcess:
    """A process that does one run after another, and ends with the process that started it.

    Workers of Dask are daemons, which cannot have children of multiprocessing.
    """

    def __init__(self, device: str, threads: int):
        """Start the process, whose runs are all on *device*, each with *threads*."""
        self.device, self.threads = device, threads
        command = [sys.executable, "-m", "itl.runs.worker_processes"]
        environment = os.environ | {OPENMP_THREADS: str(threads)}
        self.process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, env=environment)

    def fits(self, machine: Machine) -> bool:
        """Whether runs of *machine* can be done here; none can once the process has ended."""
        alive = self.process.poll() is None
        return alive and (self.device, self.threads) == (machine.device, machine.threads)

    def perform(self, spec: Spec, store: Store, machine: Machine, log: Callable[[str], object]) -> None:
        """Do the run of *spec* for a *machine* that fits; *log* is called with each line that it says.

        ItlError says what went wrong in the process; BrokenProcessPool, that it died. An error of *log* ends
        the process: what it still answers would be taken for answers of the next run.
        """
        assert self.process.stdin
        assert self.process.stdout
        try:
            pickle.dump((spec, store, machine), self.process.stdin)
            self.process.stdin.flush()
            while (answer := pickle.load(self.process.stdout))[0] == LINE:
                log(answer[1])
        except BaseException as end:
            self.end()
            if isinstance(end, OSError | EOFError):
                raise BrokenProcessPool(f"process {self.process.pid} ended") from end
            raise
        if error := answer[1]:
            raise ItlError(error)

    def end(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.wait()


def serve_runs() -> None:
    """Do the runs that arrive at standard input, and answer each: its lines, then what went wrong, or ''."""
    gc.set_threshold(50_000)  # by default 700 new objects: the imports of a first run took a tenth longer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    runs: SimpleQueue[tuple] = SimpleQueue()

    def read() -> None:
        with suppress(EOFError):
            while True:
                runs.put(pickle.load(sys.stdin.buffer))
        os._exit(1)  # whoever started this process has ended

    def answer(kind: str, text: str) -> None:
        pickle.dump((kind, text), answers)
        answers.flush()

    threading.Thread(target=read, daemon=True).start()
    _warn_as_notes(partial(answer, LINE))
    while True:
        spec, store, machine = runs.get()
        try:
            with log_lines(partial(answer, LINE)):
                perform_here(spec, store, machine)
            error = ""
        except Exception as reason:
            error = failure_text(reason)
        answer(END, error)


def print_line(line: str) -> None:
    """Print what a run says, where the bar of the runs is."""
    print(f"itl: {line}", file=sys.stderr, flush=True)


def perform_here(spec: Spec, store: Store, machine: Machine) -> dict:
    """Do one run in this process. Imported here: who only plans or reads needs no torch.

    A pool keeps the error of a run that failed until another fails: it must hold no memory of the GPU.
    """
    import torch

    from itl.runs.perform import perform
    from itl.training.batches import use_device

    torch.set_num_threads(machine.threads)
    use_device(machine)
    try:
        return perform(spec, store, machine)
    except BaseException as error:
        free_frames(error)
        raise


def start_worker(lifeline: Connection) -> None:
    """Prepare a worker process: it ends with the *lifeline*, and prints what its runs say."""

    def follow() -> None:
        lifeline.poll(None)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    logging.getLogger("itl").handlers = [LineHandler(print_line)]
    _warn_as_notes(print_line)


def _warn_as_notes(write: Callable[[str], object]) -> None:
    """Give the warnings of runs to *write*, but for those that whoever started the runs has shown."""
    warnings.filterwarnings("ignore", message=f".*{RUN_AGAIN}")
    warnings_as_notes(write)


def needs(spec: Spec) -> list[Spec]:
    """List the runs that must be done before *spec*."""
    return [spec.pretrain] if isinstance(spec, Transfer) else []


if __name__ == "__main__":
    serve_runs()
