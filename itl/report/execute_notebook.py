"""One run of a notebook in a kernel of its own."""

import asyncio
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import papermill
from jupyter_client import AsyncKernelManager
from nbclient.exceptions import CellControlSignal, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from itl import ItlError
from itl.machine import Machine
from itl.report.notebook_file import cells, tags

WHOLE = (                                   # tables on a page are whole, where a screen would leave rows out
    "import pandas; pandas.set_option("
    "'display.max_rows', 2000, 'display.max_columns', 60, 'display.max_colwidth', 400)"
)


class Kernel(AsyncKernelManager):
    """A kernel of this very Python, over IPC: no port to race for, nothing that a network could reach."""

    running: ClassVar[set["Kernel"]] = set()        # one for all: an interrupt reaches each

    def __init__(self, **given):
        super().__init__(**given)
        self.place = tempfile.mkdtemp(prefix="itl-")            # short: the path of a socket is limited
        self.connection_file = os.path.join(self.place, "kernel.json")
        if os.name == "posix" and len(self.connection_file) < 80:
            self.transport, self.ip = "ipc", os.path.join(self.place, "kernel")

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """Start this Python, whatever kernel of the same name the user has installed."""
        start = [sys.executable, "-m", "ipykernel_launcher", "-f", self.connection_file]
        quiet = "--IPKernelApp.log_level=50"        # it calls the interrupt that ends it an error
        return [*start, quiet, f"--IPKernelApp.exec_lines={WHOLE}", *(extra_arguments or [])]

    async def start_kernel(self, **given) -> None:
        """Start the kernel and remember it."""
        await super().start_kernel(**given)
        self.running.add(self)

    async def cleanup_resources(self, restart: bool = False) -> None:
        """Forget the kernel, and remove its sockets."""
        await super().cleanup_resources(restart)
        self.running.discard(self)
        shutil.rmtree(self.place, ignore_errors=True)


def interrupt_all() -> None:
    """Interrupt every notebook under way, as Ctrl-C in a notebook does."""
    for kernel in list(Kernel.running):
        os.kill(kernel.provisioner.pid, signal.SIGINT)


def kernel_for(machine: Machine, folder: Path) -> type[Kernel]:
    """Make the kind of kernel that works in *folder* and finds *machine* as its `Machine.here()`."""
    environment = {
        "ITL_HOME": str(machine.home.absolute()),
        "ITL_DATA": os.pathsep.join(_absolute(entry) for entry in machine.data),
        "ITL_DEVICE": machine.device,
        "ITL_WORKERS": str(machine.workers),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",                  # else the debugger warns on the page
    }

    class Here(Kernel):
        async def start_kernel(self, **given) -> None:
            await super().start_kernel(**given, cwd=str(folder), env=os.environ | environment)

    return Here


def _absolute(entry: str) -> str:
    """Make PATH or NAME=PATH independent of the working directory."""
    name, equals, path = entry.rpartition("=")
    return f"{name}{equals}{Path(path).expanduser().absolute()}"


def execute(source: Path, target: Path, parameters: Mapping[str, object], kernel: type[Kernel]) -> None:
    """Execute the notebook *source* into *target* with *parameters*.

    Raises ItlError naming the notebook, the cell and the error's last line; *target* then holds what ran.
    """
    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        papermill.execute_notebook(
            source,
            target,
            dict(parameters),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            start_timeout=300,
            iopub_timeout=300,              # a machine at work on other runs is slow, not dead
            kernel_manager_class=kernel,
        )
    except PapermillExecutionError as error:
        said = [line for line in error.evalue.splitlines() if line.strip()] or ["no message"]
        name = "" if error.ename == "ItlError" else f"{error.ename}: "
        raise ItlError(f"{source.stem} failed in {cell_name(target, error)}: {name}{said[-1]}") from error
    except (DeadKernelError, CellControlSignal, RuntimeError, TimeoutError, asyncio.CancelledError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise ItlError(f"{source.stem} stopped: {said}; was it killed, or out of memory?") from error


def cell_name(path: Path, error: PapermillExecutionError) -> str:
    """Name the cell of *error* as a person would look for it: its number in the notebook, and its tag."""
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    cell = next((each for each in code if each["execution_count"] == error.exec_count), None)
    known = ", ".join(tags(cell)) if cell else ""
    return f"the {known} cell" if known else f"code cell {error.exec_count}"
