"""The imports that worker processes need, done once by the server that they are forks of."""

import atexit
import gc
import os
import signal
import sys
import threading
from importlib import import_module

from itl.machine import OPENMP_THREADS

MODULES = (
    "itl.runs.perform",
    "torch._dynamo",  # which the first optimizer of a process imports
)
WATCH_S = 0.1  # between two looks at the parent


def preload() -> None:
    """Import all, with the libraries at one thread: they start threads as they load, and a fork has none.

    Meanwhile Ctrl-C is left to the parent, and this process ends if the parent does.
    """
    parent, done = os.getppid(), threading.Event()

    def watch_parent() -> None:
        while not done.wait(WATCH_S):
            if os.getppid() != parent:
                os._exit(1)

    watch = threading.Thread(target=watch_parent)
    watch.start()
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ[OPENMP_THREADS] = "1"
    gc.disable()  # what is imported stays: to look through it again and again takes a fifth of the time
    for module in MODULES:
        import_module(module)
    import_module("numba").njit(lambda: None)()  # at its first compilation it imports most of itself
    gc.enable()
    atexit.register(end_server, os.getpid())
    signal.signal(signal.SIGINT, on_interrupt)
    done.set()
    watch.join()


def end_server(pid: int) -> None:
    """End process *pid*, if this is it, at once: to take apart what it has imported takes seconds."""
    if os.getpid() == pid:
        os._exit(0)


if any("multiprocessing.forkserver" in word for word in sys.orig_argv):
    preload()
