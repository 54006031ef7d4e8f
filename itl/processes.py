"""Worker processes of this machine: they start with everything imported, and end with their parent."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import current_process, get_context, parent_process
from multiprocessing.context import BaseContext

from itl import ItlError
from itl.machine import OPENMP_THREADS

PRELOADED = "itl.runs.preload"


def process_pool(
    workers: int, threads: int, prepare: Callable[..., object] | None = None, *arguments: object
) -> ProcessPoolExecutor:
    """Return a pool of processes that have this process's environment, and end when it ends, even by a kill.

    Args:
        workers: Processes at most; each starts when there is work for it.
        threads: Of OpenMP and BLAS in each. torch counts its own.
        prepare: Called in each process before its first work, with *arguments*.
    """
    environment = os.environ | {OPENMP_THREADS: str(threads)}
    initial = dict(environment), threads, prepare, arguments
    return ProcessPoolExecutor(workers, process_context(), start_process, initial)


def process_context() -> BaseContext:
    """Return how processes start: as forks of a server that has imported torch, on Linux.

    A fork is safe because the server only imports: it has no threads of Python, OpenMP or BLAS, and uses no
    GPU. On macOS a process that has loaded the system's frameworks cannot be forked safely.
    """
    if sys.platform != "linux":
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    return context


def start_process(
    environment: dict[str, str], threads: int, prepare: Callable[..., object] | None, arguments: tuple
) -> None:
    """Prepare a process: its server may be older than the *environment*, and has one thread."""
    from threadpoolctl import threadpool_limits

    os.environ.clear()
    os.environ.update(environment)
    threadpool_limits(threads)  # of what is loaded already; what is loaded later reads the environment
    threading.Thread(target=end_with_parent, daemon=True).start()
    if prepare:
        prepare(*arguments)


def refuse_while_main_is_imported() -> None:
    """Raise ItlError in a process that multiprocessing starts, while it imports the script of its parent.

    Its parent waits for this process, and may hold the lock that it would wait for. multiprocessing knows by
    the same attribute, but refuses only to start processes.
    """
    if getattr(current_process(), "_inheriting", False):
        raise ItlError(
            "the script starts again in each process that is to help it; put what it does under "
            '`if __name__ == "__main__":`'
        )


def end_with_parent() -> None:
    """Wait until the parent of this process ends, then end this one too, whatever it does."""
    if parent := parent_process():
        parent.join()
        os._exit(1)
