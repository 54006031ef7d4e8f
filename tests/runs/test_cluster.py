"""Runs on a Dask cluster: the same numbers, bit for bit, and each failure in one line."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace

import pandas as pd
import pytest

from itl import ItlError
from itl.runs import cluster as module
from itl.runs.executors import execute, shard_of, with_needs
from itl.runs.question import run_all
from itl.runs.store import Store
from itl.specs import Pretrain, Subset, key
from tests.worlds import FOUR, here, pretend, run_here, small_study

distributed = pytest.importorskip("dask.distributed")
HOST = socket.gethostname()
LONG = {"steps": 10**6, "batch": 8, "pixels": 24}


@pytest.fixture(autouse=True, scope="module")
def mark(tmp_path_factory):
    """Mark the processes of this file's tests, and of their children, in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ITL_DEVICE", "cpu")
        patch.setenv("ITL_TEST", str(tmp_path_factory.mktemp("mark")))
        yield


@pytest.fixture(scope="module")
def cluster(mark):
    """As people start it: each worker has several threads. One that is killed is replaced."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=4, host="127.0.0.1", dashboard_address=None, silence_logs=50
    ) as running:
        yield running


def weights(home: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in home.glob("runs/pretrain/*/weights.safetensors")}


def trainings(question, machine) -> list[Pretrain]:
    question.prepare(machine)
    return [run.spec for run in question.runs(machine) if isinstance(run.spec, Pretrain)]


def wait_for(condition) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "waited 90 s"
        time.sleep(0.05)


@pytest.fixture
def left_over():
    """Count the processes of runs that have the mark of this process and are still there."""
    psutil = pytest.importorskip("psutil")

    def count() -> int:
        number = 0
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                ours = process.environ().get("ITL_TEST") == os.environ["ITL_TEST"]
                number += ours and "itl.runs.worker_processes" in process.cmdline()
        return number

    return count


@pytest.mark.timeout(240)
def test_numbers_are_those_of_this_machine_and_a_worker_that_dies_costs_nothing(cluster, tmp_path):
    question = small_study(**FOUR, recipe={"steps": 60, "batch": 8, "pixels": 24})
    alone = here(tmp_path / "alone", checkpoint_seconds=20)
    spread = here(tmp_path / "spread", scheduler=cluster.scheduler_address)
    run_here(question, alone)
    copytree(alone.packs, spread.packs)

    def kill_one() -> None:
        wait_for(lambda: list(spread.runs.glob("pretrain/*/log.jsonl")))
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    question.run(Store(spread.runs), spread)
    killer.join()
    pd.testing.assert_frame_equal(
        question.results(Store(spread.runs), spread), question.results(Store(alone.runs), alone)
    )
    assert weights(spread.home) == weights(alone.home)
    assert len(weights(alone.home)) == 2


@pytest.mark.timeout(120)
def test_an_error_on_a_worker_names_the_host(cluster, tmp_path):
    machine = here(tmp_path, scheduler=cluster.scheduler_address)
    with pytest.raises(ItlError, match=f"1 of .* failed, first .*: on {HOST}: no pack with digest") as error:
        execute([a_run()], Store(machine.runs), machine)
    assert "\n" not in str(error.value)


@pytest.mark.timeout(120)
def test_what_a_run_on_a_worker_waits_for_is_said_here(cluster, tmp_path, capfd):
    machine = here(tmp_path, scheduler=cluster.scheduler_address)
    specs = trainings(small_study(**FOUR, seeds=[0]), machine)
    holder, lines = ExitStack(), []
    holder.enter_context(Store(machine.runs).claim(specs[0]))

    def release_when_said() -> None:
        lines.extend(capfd.readouterr().err.splitlines())
        if any(line.endswith("; waiting for it") for line in lines):
            holder.close()

    execute(specs, Store(machine.runs), machine, watch=release_when_said)
    wait = f"itl: on {HOST}: process {os.getpid()} on {HOST} is computing run .*; waiting for it"
    assert [line for line in lines if re.fullmatch(wait, line)]


@pytest.mark.timeout(120)
def test_a_scheduler_that_dies_is_one_line(left_over, tmp_path, monkeypatch):
    monkeypatch.setenv("ITL_TEST", str(tmp_path))  # not the mark of the cluster of the other tests
    scheduler, worker, address = start_by_hand()
    machine = here(tmp_path, scheduler=address)
    specs = trainings(small_study(**FOUR, seeds=[0], recipe=LONG), machine)

    def kill() -> None:
        wait_for(lambda: list(machine.runs.glob("pretrain/*/log.jsonl")))
        scheduler.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ItlError, match="Dask scheduler at tcp://127.0.0.1:.* no longer answers; what is f"):
        execute(specs, Store(machine.runs), machine)
    killer.join()
    worker.kill()
    worker.wait()
    wait_for(lambda: not left_over())


@pytest.mark.timeout(120)
def test_an_interrupt_ends_the_runs_on_workers(cluster, left_over, tmp_path):
    machine = here(tmp_path, scheduler=cluster.scheduler_address)
    specs = trainings(small_study(**FOUR, seeds=[0, 1], recipe=LONG), machine)

    def interrupt() -> None:
        if len(list(machine.runs.glob("pretrain/*/log.jsonl"))) == 2:
            assert left_over() == 2, "a process for each worker, not for each of its threads"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(specs, Store(machine.runs), machine, watch=interrupt)
    wait_for(lambda: not left_over())


class Workers:
    """Stands in for a Dask client: its workers come and go, and runs end when a test says so."""

    status, scheduler = "running", SimpleNamespace(address="tcp://made:1")

    def __init__(self, *names: str) -> None:
        self.names, self.runs = list(names), []

    def subscribe_topic(self, *_: object) -> None:
        pass

    def nthreads(self) -> dict[str, int]:
        return dict.fromkeys(self.names, 1)

    def submit(self, _: object, spec: Pretrain, *__: object, workers: list[str], **___: object) -> Future:
        self.runs.append((spec, *workers, run := Future()))
        return run


def test_runs_whose_workers_are_lost_start_again_even_where_none_is_left(tmp_path, monkeypatch, capsys):
    """Each on a worker of its own; no more often than Dask allows, as such a run may be what kills them."""
    monkeypatch.setattr(module, "LONELY_S", -1)
    client, store = Workers("a", "b"), Store(tmp_path)
    workers = module.DaskWorkers(client, here(tmp_path))
    first, second, third = (Pretrain(Subset("p"), seed=seed) for seed in range(3))
    futures = [workers.submit(spec, store) for spec in (first, second)]
    assert workers.submit(third, store) is None
    workers.check()
    assert [(spec, name) for spec, name, _ in client.runs] == [(first, "a"), (second, "b")]
    client.names = []
    workers.check()
    workers.check()
    assert capsys.readouterr().err == "itl: tcp://made:1 has no workers; waiting for them\n", "once"
    assert [run.cancelled() for *_, run in client.runs] == [True, True]
    assert not any(future.done() for future in futures), "they wait"
    client.names = ["c"]
    workers.check()
    assert workers.submit(third, store) is None, "what was lost comes first"
    client.names = ["c", "d"]
    workers.check()
    assert [(spec, name) for spec, name, _ in client.runs[2:]] == [(first, "c"), (second, "d")]
    pretend([second], store)
    client.runs[3][2].set_result("host")
    assert futures[1].result(1) == "host"
    for number in range(workers.losses):
        client.names = [f"e{number}"]
        workers.check()
    says = f"run .* has lost {workers.losses + 1} workers .killed, or out of memory.*: repeat to resume"
    with pytest.raises(ItlError, match=says):
        futures[0].result(1)
    assert workers.submit(third, store) is not None, "its worker is free"


@pytest.mark.parametrize("name", ["our lab", "50%", "bob's"])
def test_a_home_that_slurm_cannot_write_to_is_refused(tmp_path, monkeypatch, name):
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    monkeypatch.setattr("shutil.which", lambda name: name)  # sbatch is there
    handler = signal.getsignal(signal.SIGINT)
    machine = here(tmp_path / name)
    says = "SLURM cannot write the jobs' output to .*; choose another --home"
    with pytest.raises(ItlError, match=says), module.slurm_jobs(machine):
        pass
    assert not machine.home.exists()
    signal.signal(signal.SIGINT, handler)


def test_jobs_that_all_ended_before_a_worker_came_are_an_error(tmp_path, monkeypatch, capsys):
    """Not at once: Dask replaces a job whose worker it has seen. While a job waits, so do runs."""
    monkeypatch.setattr(module, "LONELY_S", -1)
    queue = tmp_path / "squeue"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def set_queue(script: str) -> None:
        queue.write_text(f"#!/bin/sh\n{script}\n")
        queue.chmod(0o755)

    jobs = SimpleNamespace(workers={0: SimpleNamespace(job_id="17"), 1: SimpleNamespace(job_id="18")})
    (tmp_path / "dask-worker-18.err").write_text("line 10\nmodule: command not found\n")
    (tmp_path / "dask-worker-17.err").touch()
    (tmp_path / "dask-worker-117.err").write_text("of another job\n")
    workers = module.DaskWorkers(Workers(), here(tmp_path), module.SlurmJobs(jobs, tmp_path))
    for script in ("echo 9; echo 18", "exit 0", "exit 1", "exit 0", "echo 17", "exit 0"):
        set_queue(script)
        workers.check()
    note = f"squeue --me lists their jobs, which write to {tmp_path}"
    assert capsys.readouterr().err == f"itl: tcp://made:1 has no workers; waiting for them; {note}\n"
    says = r"ended all jobs \(17, 18\) before a worker started in them \(module: command not found\); .* "
    with pytest.raises(ItlError, match=f"{says}what they wrote is in {tmp_path}$"):
        workers.check()
    workers.client.names = ["a"]
    workers.check()


def test_what_a_process_answers_is_never_taken_for_another_run(tmp_path):
    """As where its lines can be sent to no client any more."""
    machine, store, runs = here(tmp_path), Store(tmp_path), [Pretrain(Subset(name)) for name in ("p", "q")]

    def fail(line: str) -> None:
        raise RuntimeError(line)

    process = module.OneProcess(machine.device, machine.threads)
    try:
        with store.claim(runs[0]), pytest.raises(RuntimeError, match="is computing run .*; waiting for it"):
            process.perform(runs[0], store, machine, fail)
        with pytest.raises(BrokenProcessPool):
            process.perform(runs[1], store, machine, print)
        assert not process.fits(machine)
    finally:
        process.end()


def test_a_worker_that_does_not_answer_holds_up_no_interrupt(cluster, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "STOP_S", 0.2)
    machine = here(tmp_path).replace(scheduler=cluster.scheduler_address)
    with module.cluster(machine) as workers:
        process = next(iter(workers.client.run(os.getpid).values()))
        os.kill(process, signal.SIGSTOP)
        try:
            workers.stop()
        finally:
            os.kill(process, signal.SIGCONT)
    assert "or a worker of it does not answer, which then finishes its run" in capsys.readouterr().err


def test_an_interrupt_while_a_process_starts_is_not_lost(tmp_path, monkeypatch):
    done = []

    class Starting(SimpleNamespace):
        """Stands in for a process; the command of call b is interrupted while it starts."""

        def __init__(self, *_: object) -> None:
            module.stop_on_worker("b")
            super().__init__(
                fits=lambda _: False, perform=lambda spec, *_: done.append(spec), end=lambda: None
            )

    monkeypatch.setattr(module, "OneProcess", Starting)
    store = Store(tmp_path)
    store.folder(a_run())
    with pytest.raises(ItlError, match=f"on {HOST}: stopped"):
        module.perform_on_worker(a_run(), store, here(tmp_path), "b", key(a_run()))
    assert module.perform_on_worker(a_run(), store, here(tmp_path), "c", key(a_run())) == HOST
    assert done == [a_run()], "of the call that goes on"


def test_a_result_that_is_not_seen_here_names_host_and_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARED_FOLDER_S", 0.1)
    store, spec, done = Store(tmp_path), a_run(), Future()
    done.set_result("node7")
    with pytest.raises(ItlError, match=f"node7 has done run .* result is not in {tmp_path}.* on {HOST};"):
        module.host_of(done, spec, store)
    with pytest.raises(ItlError, match=f"on {HOST}: there is no {tmp_path}/pretrain/.*; give a --home that"):
        module.perform_on_worker(spec, store, here(tmp_path), "call", key(spec))
    with pytest.raises(ItlError, match=f"on {HOST}: another version of itl is installed here; install that"):
        module.perform_on_worker(spec, store, here(tmp_path), "call", "of another NUMERICS")


def test_no_scheduler_there_is_one_line(tmp_path, monkeypatch):
    machine = here(tmp_path, scheduler="tcp://127.0.0.1:9")
    monkeypatch.setattr(module, "SCHEDULER_TIMEOUT_S", 1)
    with pytest.raises(ItlError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
        execute([a_run()], Store(machine.runs), machine)
    with pytest.raises(ItlError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
        run_all([small_study()], Store(machine.runs), machine)
    assert not machine.packs.exists(), "before anything is packed"


def test_parts_of_an_array_cover_all_runs_once_and_keep_a_net_with_its_measurements():
    question = small_study()
    specs = with_needs(run.spec for run in question.runs_on({"images": "p", "scenes": "s"}))
    parts = [shard_of(specs, (part, 4)) for part in range(1, 5)]
    assert sorted(map(str, (spec for part in parts for spec in part))) == sorted(map(str, specs))
    assert all(with_needs(part) == part for part in parts)
    assert shard_of(specs, (1, 1)) == specs


def a_run() -> Pretrain:
    return Pretrain(Subset("p"))


def start_by_hand() -> tuple[subprocess.Popen, subprocess.Popen, str]:
    """Start a scheduler and a worker of two threads as people do; return its address too."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"], **quiet
    )
    address = f"tcp://127.0.0.1:{port}"
    worker = subprocess.Popen(
        [*dask, "worker", address, "--nthreads", "2", "--no-dashboard", "--no-nanny"], **quiet
    )
    return scheduler, worker, address
