"""A notebook as a report sees it: declared parameters, and one run in a kernel of its own."""

import ast
import asyncio
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar

import nbformat
import papermill
from jupyter_client import AsyncKernelManager
from nbclient.exceptions import CellControlSignal, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from itl import ItlError
from itl.config import Machine

TYPES = {
    "str": (str, "text"),
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
    "list": (list, "a list"),
    "dict": (dict, "a mapping"),
}
SEVERAL = {"str": "texts", "int": "whole numbers", "float": "numbers", "dict": "mappings"}


def tags(cell: Mapping) -> list[str]:
    """Return the tags of a notebook cell."""
    return cell["metadata"].get("tags", [])


def tagged(cells: Iterable[Mapping], tag: str) -> dict:
    """Return the first cell that carries *tag*, or an empty one."""
    return next((cell for cell in cells if tag in tags(cell)), {"source": "", "outputs": [], "metadata": {}})


def declared(path: Path) -> dict[str, ast.expr]:
    """Return the annotation of every parameter that the notebook at *path* declares."""
    cell = tagged(nbformat.read(path, as_version=4).cells, "parameters")
    lines = ast.parse(cell["source"]).body
    return {line.target.id: line.annotation for line in lines if isinstance(line, ast.AnnAssign)}


def check_parameters(path: Path, given: Mapping[str, object]) -> None:
    """Refuse parameters that the notebook at *path* does not declare, or values of another type.

    Papermill itself only warns, after which the notebook runs on its defaults.
    """
    known = declared(path)
    for name, value in given.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? It" if near else "it"
            takes = ", ".join(known) or "none"
            raise ItlError(f"{path.stem} has no parameter {name!r}; {hint} takes {takes}")
        if not fits(value, known[name]):
            raise ItlError(f"{path.stem}: {name} should be {plain(known[name])}, not {value!r}")


def fits(value: object, annotation: ast.expr) -> bool:
    """Say whether *value* is what *annotation* declares: str, int, float, bool, list, dict, list[int], …"""
    outer, inner = _parts(annotation)
    if outer not in TYPES:
        return True
    if isinstance(value, bool) and outer != "bool":
        return False                        # Python counts True as an int; people do not
    if not isinstance(value, TYPES[outer][0]):
        return False
    return outer != "list" or inner is None or all(fits(each, inner) for each in value)


def plain(annotation: ast.expr) -> str:
    """Name a type for people: list[int] is a list of whole numbers."""
    outer, inner = _parts(annotation)
    words = TYPES[outer][1] if outer in TYPES else ast.unparse(annotation)
    many = SEVERAL.get(ast.unparse(inner)) if outer == "list" and inner is not None else None
    return f"{words} of {many}" if many else words


def _parts(annotation: ast.expr) -> tuple[str, ast.expr | None]:
    if isinstance(annotation, ast.Subscript):
        return ast.unparse(annotation.value), annotation.slice
    return ast.unparse(annotation), None


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
        return start + (extra_arguments or [])

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
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell["cell_type"] == "code"]
    cell = next((each for each in cells if each["execution_count"] == error.exec_count), None)
    known = ", ".join(tags(cell)) if cell else ""
    return f"the {known} cell" if known else f"code cell {error.exec_count}"
