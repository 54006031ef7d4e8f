"""Worker processes, which end with their parent and on a CPU start with all imports done; ends by signals."""

import errno
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import current_process, forkserver, get_context, parent_process, resource_tracker
from multiprocessing.context import BaseContext
from multiprocessing.util import get_temp_dir

from itl.errors import ItlError
from itl.machine import OPENMP_THREADS

PRELOADED = "itl.runs.preload"
SOCKETS = "/tmp"
TEMPORARY_FOLDER_BYTES = 75  # a socket's path has at most 107, 32 of them in the names multiprocessing gives
SERVER_ENDS_S = 10.0  # at most, after a kill
NO_SEMAPHORE = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOENT)
UNDER_MAIN = 'put what it does under `if __name__ == "__main__":`'


def process_pool(
    workers: int,
    threads: int,
    prepare: Callable[..., object] | None = None,
    *arguments: object,
    device: str = "cpu",
) -> ProcessPoolExecutor:
    """Return a pool of processes that have this process's environment, and end when it ends, even by a kill.

    Each has so many *threads* of OpenMP and BLAS (torch counts its own), and calls *prepare* with *arguments*
    before its first work.

    ItlError in a worker of `multiprocessing.Pool`, which may start no processes, where no semaphores can be
    made, and as of `refuse_while_main_is_imported`.
    """
    refuse_while_main_is_imported()
    if current_process().daemon:
        raise ItlError(
            "a worker of multiprocessing.Pool may start no processes, and runs need some; call this from the "
            "main process, or from a worker of concurrent.futures.ProcessPoolExecutor"
        )
    _forget_standard_input()
    _start_tracker()
    environment, context = os.environ | {OPENMP_THREADS: str(threads)}, process_context(device)
    initial = dict(environment), threads, prepare, arguments
    try:
        return _Pool(workers, context, start_process, initial)
    except OSError as error:
        if error.errno not in NO_SEMAPHORE:
            raise
        raise ItlError(
            f"no semaphore can be made in /dev/shm ({error.strerror}), and worker processes need some; make "
            f"room there, or mount it writable"
        ) from error


class _Pool(ProcessPoolExecutor):
    """A pool that is broken, as one whose process was killed, where what starts its processes was killed."""

    def submit(self, *work, **settings) -> Future:
        try:
            return super().submit(*work, **settings)
        except (EOFError, ConnectionError) as error:
            _wait_for_end_of_server()
            raise BrokenProcessPool(f"what starts processes has ended ({error})") from error


def _wait_for_end_of_server() -> None:
    """Wait until a killed server can be reaped: multiprocessing replaces it no earlier.

    Its pipes and its socket are closed before, so that the next process would not start either.
    """
    server = getattr(forkserver._forkserver, "_forkserver_pid", None)
    if server is None:  # as on macOS, whose Python may have no waitid
        return
    end = time.monotonic() + SERVER_ENDS_S
    with suppress(ChildProcessError):  # reaped by another thread
        while not os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            if time.monotonic() > end:
                break
            time.sleep(0.01)


def _forget_standard_input() -> None:
    """Let processes start where the script came by standard input, as in `python < script.py`.

    multiprocessing would run the file "<stdin>" in each; without a file of the script, it runs none.
    """
    main = sys.modules["__main__"]
    if getattr(main, "__file__", None) == "<stdin>":
        del main.__file__


def _start_tracker() -> None:
    """Start multiprocessing's tracker of semaphores where there is none, deaf to SIGHUP.

    It ignores SIGINT and SIGTERM itself. A closed terminal ended it as well, and all that the processes then
    told it was lost in tracebacks.
    """
    in_main = threading.current_thread() is threading.main_thread()  # another may set no handler
    if not in_main or signal.getsignal(signal.SIGHUP) is None:  # None: of C code, which Python cannot set
        return
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        resource_tracker.ensure_running()
    finally:
        signal.signal(signal.SIGHUP, earlier)


def process_context(device: str = "cpu") -> BaseContext:
    """Return how processes that compute on *device* start: on a CPU as forks of a server, on Linux.

    The server has imported torch. A fork of it is safe because it only imports: it has no threads of Python,
    OpenMP or BLAS. On macOS a process that has loaded the system's frameworks cannot be forked safely, and
    CUDA does not work in a fork of a process in which any import has asked for GPUs.
    """
    if sys.platform != "linux" or device != "cpu":
        return get_context("spawn")
    _make_folder_of_sockets()
    context = get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    return context


def _make_folder_of_sockets() -> None:
    """Let the server's socket be in /tmp where the path of TMPDIR, as in a job of a cluster, is too long."""
    temporary = tempfile.gettempdir()
    if len(os.fsencode(temporary)) <= TEMPORARY_FOLDER_BYTES:
        return
    tempfile.tempdir = SOCKETS
    try:
        get_temp_dir()  # which keeps it, and removes it at the end
    except OSError as error:
        raise ItlError(
            f"no worker process can be started: the path of TMPDIR, {temporary}, is too long for a socket, "
            f"and {SOCKETS} cannot be written ({error.strerror}); set TMPDIR to a folder whose path has at "
            f"most {TEMPORARY_FOLDER_BYTES} bytes"
        ) from error
    finally:
        tempfile.tempdir = temporary


def start_process(
    environment: dict[str, str], threads: int, prepare: Callable[..., object] | None, arguments: tuple
) -> None:
    """Prepare a process: its server may be older than the *environment*, and has one thread."""
    os.environ.clear()
    os.environ.update(environment)  # which libraries read when they are loaded
    if "torch" in sys.modules:  # loaded already, in the server
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads)
    threading.Thread(target=end_with_parent, daemon=True).start()
    if prepare:
        prepare(*arguments)


def refuse_while_main_is_imported() -> None:
    """Raise ItlError in a process that multiprocessing starts, while it imports the script of its parent.

    Its parent waits for this process, and may hold the lock that it would wait for. multiprocessing knows by
    the same attribute, but refuses only to start processes.
    """
    if getattr(current_process(), "_inheriting", False):
        raise ItlError(f"the script starts again in each process that is to help it; {UNDER_MAIN}")


def end_with_parent() -> None:
    """Wait until the parent of this process ends, then end this one too, whatever it does."""
    if parent := parent_process():
        parent.join()
        os._exit(1)


def failure_text(error: BaseException) -> str:
    """Say why a run failed: what ItlError says, or the kind of another error too."""
    return str(error) if isinstance(error, ItlError) else f"{type(error).__name__}: {error}"


def free_frames(error: BaseException) -> None:
    """Free what the frames that *error* ended hold, such as a net on a GPU; its traceback keeps their lines.

    The errors that led to it have frames of their own.
    """
    errors = [error]
    for link in errors:
        traceback.clear_frames(link.__traceback__)
        earlier = link.__cause__, link.__context__
        errors += [one for one in earlier if one is not None and one not in errors]


class Terminated(KeyboardInterrupt):
    """A signal, its first argument, that ends a job: work stops as it does after Ctrl-C."""


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise Terminated, so that worker processes and semaphores are cleared away.

    A job that is cancelled gets SIGTERM, one whose terminal is closed SIGHUP. What is ignored stays so, as
    SIGHUP under nohup, and so does what other than Python code handles. A second SIGTERM ends this process at
    once. In a thread, which gets no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: object) -> None:
        restore()
        if number == signal.SIGHUP:
            signal.signal(number, signal.SIG_IGN)  # the shell passes it on to jobs that have it already
        raise Terminated(number)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    before = {
        number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)
    }
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()
