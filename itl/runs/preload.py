"""Importing this imports what worker processes need. The server that they are forks of does it, once."""

import os
import signal
from importlib import import_module

from itl.machine import OPENMP_THREADS

MODULES = (
    "itl.runs.perform",
    "torch._dynamo",  # which the first optimizer of a process imports
)

os.environ[OPENMP_THREADS] = "1"  # libraries start threads as they load, and a fork has none of them
on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this process
for module in MODULES:
    import_module(module)
signal.signal(signal.SIGINT, on_interrupt)
