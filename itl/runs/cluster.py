"""Runs on the workers of a Dask cluster, which may be SLURM jobs."""

import logging
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from itl.errors import ItlError
from itl.machine import Machine
from itl.processes import failure_text
from itl.runs.store import Store
from itl.runs.worker_processes import OneProcess, print_line
from itl.specs import Spec, key, with_absolute_files
from itl.words import counted

if TYPE_CHECKING:
    from dask.distributed import Client
    from dask.distributed import Future as DaskFuture
    from dask_jobqueue import SLURMCluster

SCHEDULER_TIMEOUT_S = 30  # in which a scheduler answers
LONELY_S = 10  # without a worker, after which the wait is told
STOP_S = 10  # in which all workers end runs that nobody waits for
SHARED_FOLDER_S = 15  # until a file that another host wrote can be seen here
COMES_LATER = ("are busy", "down, drained or reserved")  # in what SLURM says of jobs that may still start
JOB_LOSSES = 100  # of a run's workers: SLURM may preempt a job any number of times
SLURM = {  # what jobqueue.slurm of Dask's configuration leaves open
    "cores": 1,
    "processes": 1,
    "memory": "8GB",
    "walltime": "24:00:00",
    "job-extra-directives": ["--no-requeue"],  # a job that ends is replaced by a new one
}


class _Work:
    """A run that a worker does, or is to do again where its worker was lost."""

    def __init__(self, spec: Spec, store: Store) -> None:
        self.spec, self.store, self.future = spec, store, Future[str]()
        self.run: DaskFuture | None = None
        self.lost = 0  # workers

    def settle(self, run: "DaskFuture") -> None:
        """Give the future the outcome of *run*, unless that was given up since."""
        try:
            host = host_of(run, self.spec, self.store)
        except BaseException as error:
            if run is self.run:
                self.future.set_exception(error)
        else:
            if run is self.run:
                self.future.set_result(host)

    def lose(self, allowed: int) -> None:
        """Give up what the worker that was lost did; that is an error after more than *allowed* workers."""
        run, self.run, self.lost = self.run, None, self.lost + 1
        if run is not None:
            run.cancel()
        if self.lost > allowed:
            self.future.set_exception(
                ItlError(
                    f"run {key(self.spec)} has lost {counted(self.lost, 'workers')} (killed, or out of "
                    f"memory?); what was finished is kept: repeat to resume"
                )
            )


class SlurmJobs:
    """The SLURM jobs in which workers start. Dask replaces a job whose worker it has seen, and no other."""

    def __init__(self, cluster: "SLURMCluster", logs: Path):
        """Take the *cluster* whose jobs write to files in the folder *logs*."""
        self.cluster, self.logs = cluster, logs
        self.ended: set[str] = set()  # jobs that SLURM no longer held at the last check, if it held none

    def check(self) -> None:
        """Raise ItlError where all jobs have ended, now and at the last check: no worker will come."""
        jobs = {job.job_id for job in list(self.cluster.workers.values())}
        command = ["squeue", "--me", "--noheader", "--format=%A"]
        queue = subprocess.run(command, text=True, capture_output=True, check=False)
        may_start = queue.returncode or not jobs or jobs & {None, *queue.stdout.split()}
        before, self.ended = self.ended, set() if may_start else jobs
        if self.ended and self.ended == before:
            raise ItlError(
                f"SLURM has ended all jobs ({', '.join(sorted(jobs))}) before a worker started in them"
                f"{self._last_words(jobs)}; correct what ends them, as in jobqueue.slurm of Dask's "
                f"configuration, and repeat; what they wrote is in {self.logs}"
            )

    def _last_words(self, jobs: set[str]) -> str:
        """Return the last line that one of *jobs* wrote as an error, in brackets; '' if none did."""
        for job in sorted(jobs):
            for path in self.logs.glob(f"*[!0-9]{job}.err"):
                if lines := path.read_text("utf-8", "replace").strip().splitlines():
                    return f" ({lines[-1].strip()})"
        return ""


class DaskWorkers:
    """The workers of a Dask cluster that share `machine.home`: one run at a time on each."""

    def __init__(self, client: "Client", machine: Machine, jobs: SlurmJobs | None = None):
        """Take the *client* of a scheduler that answers, and the *jobs* in which its workers start."""
        import dask

        self.client, self.machine, self.jobs = client, machine, jobs
        self.losses: int = dask.config.get("distributed.scheduler.allowed-failures")
        self.address = client.scheduler.address
        self.call = uuid4().hex  # names what this call has started, so that only that is stopped
        self.running: dict[str, _Work] = {}  # by worker
        self.waiting: list[_Work] = []  # whose worker was lost
        self.seen, self.noted = time.monotonic(), False  # when a worker was; whether the wait was logged
        self.jobs_checked = 0.0
        client.subscribe_topic(self.call, lambda event: print_line(event[1]))  # what runs say

    def submit(self, spec: Spec, store: Store) -> Future | None:
        """Start the run of *spec* on a worker; None where each has one.

        ItlError if the scheduler no longer answers.
        """
        free = self._free(self._workers())
        if not free:
            return None
        store.folder(spec)  # which the worker must see
        work = _Work(spec, store)
        self._start(work, free[0])
        return work.future

    def check(self) -> None:
        """Start runs whose workers were lost on others, which resume them from their checkpoints.

        Dask would do that too, but never again start a run that waited while there was no worker at all.
        ItlError where the scheduler no longer answers, or all SLURM jobs ended before a worker started.
        """
        if self.client.status != "running":
            raise self._lost()
        workers = self._workers()
        self._tell_if_lonely(workers)
        for name in [name for name, work in self.running.items() if name not in workers]:
            work = self.running.pop(name)
            if not work.future.done():
                work.lose(self.losses)
                self.waiting.append(work)
        self.waiting = [work for work in self.waiting if not work.future.done()]
        for name in self._free(workers)[: len(self.waiting)]:
            self._start(self.waiting.pop(0), name)

    def _workers(self) -> list[str]:
        try:
            return list(self.client.nthreads())
        except OSError as error:
            raise self._lost() from error

    def _free(self, workers: list[str]) -> list[str]:
        """Return those of *workers* that have no run of this call."""
        return [name for name in workers if name not in self.running or self.running[name].future.done()]

    def _start(self, work: "_Work", worker: str) -> None:
        name = f"itl-{key(work.spec)}-{uuid4().hex[:8]}"
        spec = with_absolute_files(work.spec)  # a worker may stand in another folder
        given = spec, work.store, self.machine, self.call, key(spec)
        run = self.client.submit(perform_on_worker, *given, key=name, workers=[worker])
        work.run = run
        self.running[worker] = work
        run.add_done_callback(work.settle)

    def stop(self) -> None:
        """End the runs of this call on all workers."""
        try:
            if self.client.status == "running":
                self.client.run(stop_on_worker, self.call, on_error="ignore", callback_timeout=STOP_S)
        except OSError:
            print_line(f"{self.address} or a worker of it does not answer, which then finishes its run")

    def _lost(self) -> ItlError:
        return ItlError(
            f"the Dask scheduler at {self.address} no longer answers; what is finished is kept: start it "
            f"and its workers again, then repeat with its address"
        )

    def _tell_if_lonely(self, workers: list[str]) -> None:
        if workers:
            self.seen, self.noted = time.monotonic(), False
            return
        now = time.monotonic()
        if not self.noted and now - self.seen > LONELY_S:
            self.noted = True
            see = f"; squeue --me lists their jobs, which write to {self.jobs.logs}" if self.jobs else ""
            print_line(f"{self.address} has no workers; waiting for them{see}")
        if self.jobs and now - max(self.seen, self.jobs_checked) > LONELY_S:
            self.jobs_checked = now
            self.jobs.check()


@contextmanager
def cluster(machine: Machine) -> Iterator[DaskWorkers]:
    """Provide the workers of the Dask scheduler at `machine.scheduler`, or of SLURM jobs for ``slurm``.

    ItlError if no scheduler answers there.
    """
    slurm = slurm_jobs(machine) if machine.scheduler == "slurm" else nullcontext()
    with slurm as jobs, _client(jobs.cluster if jobs else machine.scheduler) as client:
        workers = DaskWorkers(client, machine, jobs)
        try:
            yield workers
        except BaseException:  # such as Ctrl-C: nobody waits for these runs any more
            workers.stop()
            raise


def refuse_unreachable(machine: Machine) -> None:
    """Raise ItlError where the scheduler of *machine* takes no runs, before anything is packed for them."""
    if machine.scheduler == "slurm":
        _refuse_without_slurm()
    elif machine.scheduler:
        _client(machine.scheduler).close()


def _client(scheduler: object) -> "Client":
    """Connect to the Dask *scheduler* at an address, or of a cluster; ItlError if none answers there."""
    from dask.distributed import Client

    # one line of ours says what happened; Dask and tornado would add dozens
    for name in ("distributed", "distributed.client", "distributed.scheduler", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return Client(scheduler, timeout=SCHEDULER_TIMEOUT_S)
    except (OSError, ValueError) as error:
        reason = f"no Dask scheduler answers at {scheduler} ({error})"
        raise ItlError(f"{reason}; give the address that it prints, as tcp://HOST:PORT, or slurm") from error


def _refuse_without_slurm() -> None:
    """Raise ItlError if dask-jobqueue or sbatch is not installed."""
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        import dask_jobqueue  # noqa: F401
    except ImportError as error:
        raise ItlError("--scheduler slurm needs dask-jobqueue; pip install 'itl[slurm]'") from error
    signal.signal(signal.SIGINT, on_interrupt)  # dask_jobqueue sets one that ends with status 0
    if not shutil.which("sbatch"):
        raise ItlError("--scheduler slurm needs sbatch, which is not here; use a login node of the cluster")


@contextmanager
def slurm_jobs(machine: Machine) -> Iterator[SlurmJobs]:
    """Provide a Dask cluster of `machine.workers` SLURM jobs; a job that ends early is replaced.

    ItlError if dask-jobqueue or sbatch is not installed, or SLURM takes no such job.
    """
    import dask

    _refuse_without_slurm()
    from dask_jobqueue import SLURMCluster

    defaults = {f"jobqueue.slurm.{name}": value for name, value in SLURM.items()}
    settings = {name: value for name, value in defaults.items() if not dask.config.get(name, None)}
    with dask.config.set(settings | {"distributed.scheduler.allowed-failures": JOB_LOSSES}):
        logs = machine.home / "runs" / "slurm"
        if unwritten := re.search(r"[\s%'\"\\]", str(logs)):
            raise ItlError(
                f"SLURM cannot write the jobs' output to {logs}, whose name has {unwritten[0]!r}; choose "
                f"another --home, such as a link to this one"
            )
        logs.mkdir(parents=True, exist_ok=True)
        with SLURMCluster(python=sys.executable, log_directory=str(logs)) as cluster:
            _refuse_impossible_jobs(cluster.job_script())
            cluster.adapt(minimum_jobs=machine.workers, maximum_jobs=machine.workers)
            yield SlurmJobs(cluster, logs)


def _refuse_impossible_jobs(script: str) -> None:
    """Raise ItlError where SLURM would not take the job of *script*: Dask would go on waiting for it."""
    command = ["sbatch", "--test-only"]
    tried = subprocess.run(command, input=script, text=True, capture_output=True, check=False)
    said = " ".join(tried.stderr.split()) or f"sbatch ends with status {tried.returncode}"
    if tried.returncode and not any(words in said for words in COMES_LATER):
        raise ItlError(f"SLURM takes no such job ({said}); set it in jobqueue.slurm of Dask's configuration")


def host_of(run: "DaskFuture", spec: Spec, store: Store) -> str:
    """Return the host that has done *run*, once its result is in the store of this machine."""
    host = run.result()
    where = f"{store.path(spec)} on {socket.gethostname()}"
    absent = f"{host} has done run {key(spec)}, but its result is not in {where}"
    _wait_for(lambda: store.is_done(spec), absent)
    return host


def _wait_for(is_there: Callable[[], bool], absent: str) -> None:
    """Wait until a file that another host wrote can be seen here; ItlError that it is *absent* else."""
    deadline = time.monotonic() + SHARED_FOLDER_S
    while not is_there():
        if time.monotonic() > deadline:
            raise ItlError(f"{absent}; give a --home that all hosts share")
        time.sleep(0.5)


class _WorkerState:
    """What a worker of the cluster computes: one run at a time, whatever its number of threads."""

    def __init__(self) -> None:
        self.alone = threading.Lock()
        self.process: OneProcess | None = None
        self.call = ""  # that the run under way is of
        self.stopped: set[str] = set()  # calls that were interrupted

    def perform(self, spec: Spec, store: Store, machine: Machine, call: str) -> None:
        """Do the run of *spec* when no other is under way. ItlError if the command *call* was stopped."""
        with self.alone:
            if self.process is None or not self.process.fits(machine):
                if self.process:
                    self.process.end()
                self.process = OneProcess(machine.device, machine.threads)
            self.call = call  # from here on, `stop` ends the process
            try:
                if call in self.stopped:  # before, as while the process started
                    raise ItlError("stopped")
                self.process.perform(spec, store, machine, partial(_tell_client, call))
            finally:
                self.call = ""

    def stop(self, call: str) -> None:
        """End the run of *call* that is under way, and start none that waits."""
        self.stopped.add(call)
        if self.call == call and self.process:
            self.process.end()


_state = _WorkerState()


def _tell_client(call: str, line: str) -> None:
    """Send a *line* of the run that this thread of a worker does to the client of *call*."""
    from dask.distributed import get_worker

    get_worker().log_event(call, f"on {socket.gethostname()}: {line}")


def perform_on_worker(spec: Spec, store: Store, machine: Machine, call: str, run: str) -> str:
    """Do one run in a process of its own, on the first of the devices that this worker sees; return the host.

    The caller gives the key of the *run*: an itl of another version may have another.

    torch's random state is one for a process, so runs in threads would disturb each other's numbers. ItlError
    says what went wrong, and on which host; BrokenProcessPool, that the process of the run was killed.
    """
    host = socket.gethostname()
    try:
        if key(spec) != run:
            raise ItlError("another version of itl is installed here; install that of the command everywhere")
        own = machine.for_worker()
        folder = store.path(spec)  # which the caller of the run has made
        _wait_for((folder / "spec.json").exists, f"there is no {folder}")
        _state.perform(spec, store, own.replace(device=own.devices[0]), call)
        return host
    except BrokenProcessPool as error:
        raise BrokenProcessPool(f"on {host}: {error}") from None
    except Exception as error:
        raise ItlError(f"on {host}: {' '.join(failure_text(error).split())}") from None


def stop_on_worker(call: str) -> None:
    """End the run of *call* that this worker computes, and start none that waits."""
    _state.stop(call)
