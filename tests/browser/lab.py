"""A JupyterLab of its own, and a page of it in Debian's Chromium: what a user has, driven by a program."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--in-process-gpu",
    "--disable-software-rasterizer",
)
SECONDS = 60  # for a page or a cell; a busy machine is slow, not broken


@contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """Serve *folder*, with settings, kernels and sockets of its own in it; yields the address."""
    private = folder / ".jupyter"
    settings = private / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    still = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(still))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kinds = ("JUPYTER_CONFIG", "JUPYTER_DATA", "JUPYTER_RUNTIME", "JUPYTERLAB_WORKSPACES")
    own = {f"{kind}_DIR": str(private / kind.lower()) for kind in kinds}
    own |= {"IPYTHONDIR": str(private / "ipython")}
    own |= {"JUPYTERLAB_SETTINGS_DIR": str(private / "settings"), "PYTHONPATH": str(ROOT)}
    own |= {"ITL_HOME": str(folder), "ITL_WORKERS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": folder,
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,
        "IdentityProvider.token": "",
        "LabApp.expose_app_in_browser": True,
        "LabApp.extension_manager": "readonly",
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    with open(folder / ".jupyter" / "log.txt", "w") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=os.environ | own, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api/status", server, private / "log.txt")
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # the server takes its kernels along
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start: {log.read_text()[-2000:]}")


# A kernel that is shared looks for garbage at each reset: not among the half a million objects of modules.
SHARE = """import gc
import itl.panels.panel  # what its modules make stays
from comm import get_comm_manager
get_ipython().comms_of_modules = {*get_comm_manager().comms}
gc.freeze()"""
FORGET = """from comm import get_comm_manager
for name, comm in [*get_comm_manager().comms.items()]:
    if name not in get_ipython().comms_of_modules:
        comm.close()
%reset -f
__import__("gc").freeze()  # what was imported meanwhile
__spec__ = None  # multiprocessing asks it of __main__, and a reset removes it"""


def close_notebook(page) -> None:
    """Close the notebook on top without a word, and end its kernel."""
    page.evaluate(
        """async () => {
            const open = window.jupyterapp.shell.currentWidget;
            await open.sessionContext.shutdown();
            open.context.model.dirty = false;
            open.dispose();
        }"""
    )


class Notebook:
    """A notebook, open in a page of a lab; its cells run one after the other."""

    def __init__(self, page, folder: Path, name: str, cells: Sequence[str], kernel: str = "") -> None:
        """Write *cells* to *name* in the lab's *folder* and open it, with *kernel* or one of its own."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, folder / name)
        self.page, self.ran = page, 0
        self.kernel: str = page.evaluate(
            """async ([path, id]) => {
                const options = {path, kernel: id ? {id} : undefined};
                const opened = await window.jupyterapp.commands.execute("docmanager:open", options);
                await opened.context.ready;
                await opened.sessionContext.ready;
                await opened.sessionContext.session.kernel.info;
                return opened.sessionContext.session.kernel.id;
            }""",
            [name, kernel],
        )

    def share_kernel(self) -> str:
        """Import what tests need into the kernel, which is to be given to others; returns its id."""
        assert self.execute(SHARE) == ""
        return self.kernel

    def close(self) -> None:
        """Close the notebook without a word; its shared kernel forgets names and widgets, and stays."""
        assert self.execute(FORGET) == ""
        self.page.evaluate(
            """() => {
                const open = window.jupyterapp.shell.currentWidget;
                open.context.model.dirty = false;
                open.dispose();
            }"""
        )

    def run(self) -> str:
        """Run the next cell and wait for its end; returns what it printed or its value, as text."""
        self.ran += 1
        return self.page.evaluate(
            """async (nth) => {
                const {content} = window.jupyterapp.shell.currentWidget, cell = content.widgets[nth];
                content.activeCellIndex = nth;
                await window.jupyterapp.commands.execute("notebook:run-cell-and-select-next");
                return cell.model.outputs.toJSON()
                  .map((each) => each.text ?? each.data?.['text/plain'] ?? each.traceback?.join('') ?? '')
                  .flat().join('');
            }""",
            self.ran - 1,
        )

    def execute(self, code: str) -> str:
        """Run *code* in the notebook's kernel beside its cells; returns what it printed."""
        return self.page.evaluate(
            """async (code) => {
                const {kernel} = window.jupyterapp.shell.currentWidget.sessionContext.session;
                const future = kernel.requestExecute({code}), said = [];
                future.onIOPub = ({content}) => said.push(content.text ?? content.traceback?.join('') ?? '');
                await future.done;
                return said.join('');
            }""",
            code,
        )

    def theme(self, name: str) -> None:
        """Change to JupyterLab Light or JupyterLab Dark."""
        self.page.evaluate(
            "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", name
        )
        self.page.wait_for_function(
            "(light) => document.body.dataset.jpThemeLight === light", arg=str("Light" in name).lower()
        )
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")  # it covers the change


def open_lab(page, address: str) -> None:
    """Open the lab at *address* in *page*, with nothing beside the notebook."""
    page.set_default_timeout(1000 * SECONDS)
    page.goto(f"{address}/lab?reset")
    page.wait_for_function("window.jupyterapp?.shell?.currentWidget")
    page.evaluate(
        "async () => { await window.jupyterapp.restored; window.jupyterapp.shell.collapseLeft();"
        " window.jupyterapp.shell.currentWidget.dispose(); }"
    )


@contextmanager
def chromium() -> Iterator:
    """Yield Debian's Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            yield browser
        finally:
            browser.close()
