"""Worker processes start as forks, know what their parent knows now, and leave nothing behind."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import psutil
import pytest

from itl import ItlError
from itl.processes import process_pool

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="processes are forks on Linux alone")
POOL_OF_ONE = """
import time
from itl.processes import process_pool
from tests.test_processes import describe_process
if __name__ == "__main__":
    with process_pool(1, threads=1) as pool:
        process = pool.submit(describe_process, "HOME").result()
        print(process["pid"], process["parent"], flush=True)
        pool.submit(time.sleep, float(input()))
"""
POOL_UNTIL_STOPPED = """
import signal, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests that nohup has started would ignore it
from itl.processes import Terminated, process_pool, stopping_on_signals
try:
    with stopping_on_signals(), process_pool(1, threads=1) as pool:
        print(pool.submit(abs, -3).result(), flush=True)
        pool.submit(time.sleep, 600).result()
except Terminated:
    print("stopped")
"""
COMMAND_WITH_A_WORKER = """
import sys, time, types
import itl
from itl.__main__ import script
def work(words):
    from itl.processes import process_pool
    with process_pool(1, threads=1) as pool:
        end = pool.shutdown
        def shutdown(**settings):
            print("stopping", flush=True)
            end(**settings)
        pool.shutdown = shutdown
        pool.submit(abs, -3).result()
        pool.submit(time.sleep, 600)
        print("working", flush=True)
        time.sleep(600)
if __name__ == "__main__":
    itl.commands = types.SimpleNamespace(main=work)
    sys.exit(script())
"""
SOCKET_AND_TEMPORARY_FOLDER = """
import tempfile
from multiprocessing import util
import itl.processes
itl.processes.PRELOADED = "os"  # a server without torch is faster
if __name__ == "__main__":
    with itl.processes.process_pool(1, threads=1) as pool:
        print(pool.submit(tempfile.gettempdir).result(), tempfile.gettempdir(), util.get_temp_dir())
"""
CHECKOUT = Path(__file__).parents[1]


def describe_process(variable: str) -> dict:
    """Say what a worker process is, and the value that an environment *variable* has in it."""
    import numpy  # noqa: F401, for its BLAS
    import torch
    from threadpoolctl import threadpool_info

    server = Path(f"/proc/{os.getppid()}/task")
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "folder": os.getcwd(),
        "variable": os.environ.get(variable),
        "threads": {library["num_threads"] for library in threadpool_info()},
        "prepared": "torch._dynamo" in sys.modules,
        "cuda": torch.cuda.is_initialized() or torch.cuda._is_in_bad_fork(),
        "server": {(thread / "comm").read_text().strip() for thread in server.glob("*")},
    }


def describe(threads: int, variable: str = "HOME", device: str = "cpu") -> dict:
    with process_pool(1, threads, device=device) as pool:
        return pool.submit(describe_process, variable).result()


def test_a_process_that_may_start_none_says_what_may(monkeypatch):
    monkeypatch.setattr("itl.processes.current_process", lambda: SimpleNamespace(daemon=True))
    with pytest.raises(
        ItlError, match=r"a worker of multiprocessing.Pool may start no processes.*main process"
    ):
        process_pool(1, threads=1)


def test_a_process_has_the_environment_folder_and_threads_of_its_call(tmp_path, monkeypatch):
    monkeypatch.delenv("ITL_PROBE", raising=False)
    assert describe(1, "ITL_PROBE")["variable"] is None
    monkeypatch.setenv("ITL_PROBE", "later")
    monkeypatch.chdir(tmp_path)
    process = describe(2, "ITL_PROBE")
    assert (process["variable"], process["folder"], process["threads"]) == ("later", str(tmp_path), {2})
    assert describe(3, "OMP_NUM_THREADS")["variable"] == "3"
    monkeypatch.delenv("ITL_PROBE")
    assert describe(1, "ITL_PROBE")["variable"] is None


@ON_LINUX
def test_a_process_is_a_fork_of_one_that_may_be_forked():
    one, other = describe(1), describe(1)
    assert one["pid"] != other["pid"]
    assert one["parent"] == other["parent"] != os.getpid()
    assert one["prepared"], "it must import torch itself"
    assert not one["cuda"], "the server has used a GPU, so that its forks cannot"
    assert one["server"] <= {"python", "python3", "jemalloc_bg_thd"}, "a fork has one thread"
    assert one["threads"] == {1}


def test_a_process_that_computes_on_a_gpu_is_no_fork(tmp_path, monkeypatch):
    monkeypatch.setenv("ITL_PROBE", "now")
    process = describe(1, "ITL_PROBE", device="cuda:0")
    assert (process["parent"], process["prepared"], process["cuda"]) == (os.getpid(), False, False)
    assert (process["variable"], process["threads"]) == ("now", {1})


def prepare(text: str) -> None:
    os.environ["ITL_PROBE"] = text


def test_a_process_is_prepared_before_its_work():
    with process_pool(1, 1, prepare, "ready") as pool:
        assert pool.submit(os.getenv, "ITL_PROBE").result() == "ready"


@ON_LINUX
def test_a_server_that_was_killed_is_replaced():
    server = psutil.Process(describe(1)["parent"])
    with process_pool(1, 1) as pool:
        run = pool.submit(time.sleep, 600)
        (worker,) = server.children()
        server.kill()
        with pytest.raises(BrokenProcessPool):
            run.result(timeout=60)
        worker.kill()
    # Not by its status: a zombie may have threads that still end, and is not known to be dead until then.
    os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
    assert describe(1)["parent"] != server.pid


@pytest.mark.timeout(120)
def test_a_script_may_come_by_standard_input_and_a_terminal_that_is_closed_leaves_no_tracebacks():
    """As in `python - <<END`: multiprocessing would run the file <stdin> in each process.

    As the terminal is closed, all processes of its group get SIGHUP; what they tell the tracker of semaphores
    then is not lost.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable], cwd=CHECKOUT, start_new_session=True, **pipes) as parent:
        parent.stdin.write(POOL_UNTIL_STOPPED)
        parent.stdin.close()
        assert parent.stdout.readline() == "3\n"
        os.killpg(parent.pid, signal.SIGHUP)
        parent.stdin = None  # it is closed
        out, errors = parent.communicate(timeout=60)
    assert (out, errors) == ("stopped\n", "")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("killed", [True, False])
def test_no_process_outlives_its_parent(killed):
    """Neither the worker, which sleeps, nor the server it is a fork of."""
    command, pipe = [sys.executable, "-c", POOL_OF_ONE], subprocess.PIPE
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=pipe, stdout=pipe, text=True) as parent:
        started = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.stdin.write(f"{600 if killed else 0}\n")
        parent.stdin.flush()
        if killed:
            time.sleep(0.2)  # until the worker sleeps
            parent.kill()
        parent.wait(60)
    _, left = psutil.wait_procs([one for one in started if one.pid != parent.pid], timeout=30)
    assert not left


@pytest.mark.timeout(120)
def test_a_second_interrupt_ends_a_command_whose_worker_is_busy(tmp_path):
    """As Ctrl-C twice: the first ends the command's own work, the second its wait for the worker."""
    file = tmp_path / "command.py"
    file.write_text(COMMAND_WITH_A_WORKER)
    command = [sys.executable, file]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=environment) as process:
        try:
            for line in ("working\n", "stopping\n"):
                assert process.stdout.readline() == line
                while psutil.Process(process.pid).status() != psutil.STATUS_SLEEPING:
                    time.sleep(0.01)  # on its way to where it waits, Python may let go of an interrupt
                process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, output) == (130, "")
    assert errors == "itl: stopped; finished work is kept, repeat the command to go on\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOENT, errno.EMFILE])
def test_where_no_semaphore_can_be_made_their_folder_is_named(monkeypatch, number):
    monkeypatch.setattr(
        ProcessPoolExecutor, "__init__", Mock(side_effect=OSError(number, os.strerror(number)))
    )
    kind, says = (
        (OSError, "Too many open files") if number == errno.EMFILE else (ItlError, "made in /dev/shm")
    )
    with pytest.raises(kind, match=says):
        process_pool(1, 1)


@ON_LINUX
@pytest.mark.parametrize(("length", "sockets"), [(75, ""), (76, "/tmp"), (200, "/tmp")])
def test_a_long_path_of_the_temporary_folder_is_none_of_a_socket(length, sockets):
    """A socket's path has at most 107 bytes; in a job of a cluster, TMPDIR is often longer."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        folder = Path(short, "x" * (length - len(short) - 1))
        folder.mkdir()
        command, environment = [sys.executable, "-c", SOCKET_AND_TEMPORARY_FOLDER], {"TMPDIR": str(folder)}
        out = subprocess.check_output(command, cwd=CHECKOUT, env=os.environ | environment, text=True).split()
        assert out[:2] == [str(folder)] * 2, "all but sockets stay in the temporary folder"
        assert str(Path(out[2]).parent) == (sockets or str(folder))
        assert not Path(out[2]).exists()


@ON_LINUX
def test_where_no_folder_is_short_enough_for_a_socket_it_is_said(monkeypatch):
    monkeypatch.setattr(
        "itl.processes.get_temp_dir", Mock(side_effect=PermissionError(13, "Permission denied"))
    )
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * 74)
    process_pool(1, 1).shutdown()
    monkeypatch.setattr(tempfile, "tempdir", long := "/" + "é" * 38)
    with pytest.raises(
        ItlError,
        match=f"TMPDIR, {long}, is too long .* /tmp cannot .*Permission denied.*; set TMPDIR .* 75 bytes",
    ):
        process_pool(1, 1)
    assert tempfile.tempdir == long
    process_pool(1, 1, device="cuda:0").shutdown()


@ON_LINUX
@pytest.mark.parametrize("error", [EOFError, ConnectionRefusedError])
def test_a_pool_is_broken_where_what_starts_its_processes_was_killed_and_the_next_may_start(
    monkeypatch, error
):
    """Python replaces a server once it can be reaped, which is after its socket has closed."""
    with (
        process_pool(1, 1) as pool,
        subprocess.Popen(["sleep", "0.3"]) as server,
        monkeypatch.context() as patch,
    ):
        patch.setattr(forkserver._forkserver, "_forkserver_pid", server.pid)
        patch.setattr(ProcessPoolExecutor, "submit", Mock(side_effect=error("refused")))
        with pytest.raises(BrokenProcessPool, match="what starts processes has ended .refused"):
            pool.submit(abs, -1)
        assert psutil.Process(server.pid).status() == psutil.STATUS_ZOMBIE
