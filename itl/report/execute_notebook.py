"""Execution of one notebook in its own kernel."""

import asyncio
import logging
import os
import re
import signal
import socket
import sys
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import papermill
import psutil
from jupyter_client import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from nbclient.exceptions import CellControlSignal, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from itl.analysis.tables import MAX_TEXT_LENGTH
from itl.errors import ItlError
from itl.machine import Machine
from itl.report.notebook_file import read_cells, tags

KERNEL_TIMEOUT_S = 300  # a machine that is busy with other runs is slow, not dead
HOST = f"{zlib.crc32(socket.gethostname().encode()):08x}"  # others may share the folder of temporary files
SOCKET_PATH_LENGTH = 80  # longer paths of IPC sockets are refused by the operating system
SHOW_WHOLE_TABLES = (
    "import pandas; pandas.set_option("
    f"'display.max_rows', 2000, 'display.max_columns', 60, 'display.max_colwidth', {MAX_TEXT_LENGTH})"
)


class Kernel(AsyncKernelManager):
    """A kernel of this Python, over IPC: no port can be taken, and nothing on the network reaches it."""

    running: ClassVar[set["Kernel"]] = set()  # shared, so that an interrupt reaches every kernel

    def __init__(self, **settings):
        super().__init__(**settings)
        remove_left_folders()
        self.socket_folder = tempfile.mkdtemp(prefix=f"itl-{os.getpid()}-{HOST}-")
        self.connection_file = os.path.join(self.socket_folder, "kernel.json")
        if os.name == "posix" and len(self.connection_file) < SOCKET_PATH_LENGTH:
            self.transport, self.ip = "ipc", os.path.join(self.socket_folder, "kernel")

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """Start this Python, whichever kernel of the same name the user has installed."""
        start = [sys.executable, "-m", "ipykernel_launcher", "-f", self.connection_file]
        quiet = "--IPKernelApp.log_level=50"  # the interrupt that ends a kernel is logged as an error
        lines = f"--IPKernelApp.exec_lines={SHOW_WHOLE_TABLES}"
        figures = "--InlineBackend.figure_formats={'svg', 'png'}"  # to take away
        return [*start, quiet, lines, figures, *(extra_arguments or [])]

    async def start_kernel(self, **settings) -> None:
        """Start the kernel and remember it."""
        await super().start_kernel(**settings)
        self.running.add(self)

    async def cleanup_resources(self, restart: bool = False) -> None:
        """Forget the kernel, and remove its sockets."""
        await super().cleanup_resources(restart)
        self.running.discard(self)
        remove_sockets(Path(self.socket_folder))


def remove_left_folders() -> None:
    """Remove the folders of sockets that killed processes of this host have left: a name has the process."""
    for folder in Path(tempfile.gettempdir()).glob(f"itl-*-{HOST}-*"):
        name = re.fullmatch(rf"itl-(\d+)-{HOST}-\w+", folder.name)
        if name and not psutil.pid_exists(int(name[1])):
            remove_sockets(folder)


def remove_sockets(folder: Path) -> None:
    """Remove the *folder* of a kernel's sockets, unless it also holds something else or belongs to others."""
    with suppress(OSError):
        for path in folder.glob("kernel*"):
            path.unlink()
        folder.rmdir()


def interrupt_all() -> None:
    """Interrupt every notebook that is executed now, as Ctrl-C in a notebook does."""
    for kernel in list(Kernel.running):
        if isinstance(kernel.provisioner, LocalProvisioner) and kernel.provisioner.pid is not None:
            os.kill(kernel.provisioner.pid, signal.SIGINT)


def kernel_for(machine: Machine, folder: Path) -> type[Kernel]:
    """Make the kernel class that works in *folder* and whose environment describes *machine*."""
    # Without the last one the debugger writes a warning to the page.
    environment = machine.environment | {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}

    class KernelInFolder(Kernel):
        async def start_kernel(self, **settings) -> None:
            await super().start_kernel(**settings, cwd=str(folder), env=os.environ | environment)

    return KernelInFolder


def execute_notebook(
    source: Path, target: Path, parameters: Mapping[str, object], kernel: type[Kernel]
) -> None:
    """Execute the notebook *source* into *target*, which after an ItlError holds what ran."""
    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        papermill.execute_notebook(
            source,
            target,
            dict(parameters),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            start_timeout=KERNEL_TIMEOUT_S,
            iopub_timeout=KERNEL_TIMEOUT_S,
            kernel_manager_class=kernel,
        )
    except PapermillExecutionError as error:
        lines = [line for line in error.evalue.splitlines() if line.strip()] or ["no message"]
        kind = "" if error.ename == "ItlError" else f"{error.ename}: "
        raise ItlError(f"{source.stem} failed in {cell_name(target, error)}: {kind}{lines[-1]}") from error
    except (DeadKernelError, CellControlSignal, RuntimeError, TimeoutError, asyncio.CancelledError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise ItlError(f"{source.stem} stopped: {reason}; was it killed, or out of memory?") from error


def cell_name(path: Path, error: PapermillExecutionError) -> str:
    """Name the cell of *error* as a person would look for it: by its tag, else by its number."""
    cells = [cell for cell in read_cells(path) if cell["cell_type"] == "code"]
    failed = [cell for cell in cells if cell["execution_count"] == error.exec_count]
    names = ", ".join(tags(failed[0])) if failed else ""
    return f"the {names} cell" if names else f"code cell {error.exec_count}"
