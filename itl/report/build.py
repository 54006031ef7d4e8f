"""A report: a preset's notebooks executed side by side, their pages, and one index over them."""

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pandas as pd

from itl import ItlError, __version__, pick
from itl.machine import Machine
from itl.presets import Preset, find_notebooks, working_folder
from itl.report.html import index_html
from itl.report.notebook_file import check_parameters
from itl.report.notebook_page import NotebookPage
from itl.report.run_index import publish_runs, run_index
from itl.runs.provenance import commit, describe_devices
from itl.runs.questions import questions_of
from itl.storage import hold_lock, write_atomic

Log = Callable[[str], object]


def report(
    preset: Preset,
    out: Path,
    machine: Machine,
    notebooks: Path | None = None,
    only: str | None = None,
    log: Log = print,
) -> Path:
    """Execute the notebooks of *preset* whose pages are out of date, and write pages and index to *out*.

    Returns the path of the index.

    Args:
        notebooks: folder of the notebooks; by default the project's and those that ship with itl.
        only: execute this notebook alone.
        log: called with each line of progress.

    Raises:
        ItlError: a parameter is wrong, which is checked before anything runs, or notebooks failed. Pages that
            were made earlier stay, and notebooks that failed half-way lie in ``failed/``.
    """
    out = Path(out)
    pages = pages_of(preset, out, machine, notebooks)
    if only is not None:
        pick(preset.notebooks, only, f"notebook of preset {preset.name}")
    for page in pages:
        given = preset.notebooks[page.stem].get("preset", preset.name)
        if given not in (preset.name, preset.reference):
            log(f"{page.stem}: this report is of preset {preset.name}, so `preset: {given}` is not used")
    with report_lock(out, log):
        wanted = [page for page in pages if only in (None, page.stem)]
        failed = make_pages([page for page in wanted if not page.is_summary], machine, log)
        failed |= make_pages([page for page in wanted if page.is_summary], machine, log)
        write_index(pages, failed, log)
    if failed:
        reasons = "; ".join(failed.values())
        raise ItlError(
            f"{reasons}; half-run in {out / 'failed'}, pages made earlier stay; "
            f"correct the cause, then run the report again"
        )
    return out / "index.html"


def pages_of(
    preset: Preset, out: Path, machine: Machine, notebooks: Path | None = None
) -> list[NotebookPage]:
    """List the notebooks of *preset* with their parameters checked; see `report`."""
    questions_of(preset)  # checks the parameters of questions; those of other notebooks are checked below
    paths = find_notebooks(notebooks)
    for stem, parameters in preset.notebooks.items():
        check_parameters(pick(paths, stem, "notebook"), parameters)
    return [NotebookPage(preset, paths[stem], Path(out), machine) for stem in sorted(preset.notebooks)]


@contextmanager
def report_lock(out: Path, log: Log) -> Iterator[None]:
    """Hold the report's folder; a second report of the same preset waits, so that their pages do not mix."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ItlError(f"cannot write {out}: {error.strerror}; choose another folder with --home") from error
    with hold_lock(out / ".lock", f"writing the report {out}", log):
        for folder in out.glob(".work-*"):  # left by a report that was killed
            shutil.rmtree(folder)
        yield


def make_pages(pages: list[NotebookPage], machine: Machine, log: Log) -> dict[str, str]:
    """Execute those of *pages* that are out of date, side by side; returns the reason of each failure."""
    stale = [page for page in pages if not page.is_current()]
    for page in pages:
        if page not in stale:
            log(f"{page.stem}: unchanged")
    if not stale:
        return {}
    from itl.report.execute_notebook import interrupt_all  # imports papermill, which is slow

    failed = {}
    with ThreadPoolExecutor(min(len(stale), machine.workers)) as pool:
        running = {pool.submit(make_page, page): page for page in stale}
        try:
            for future, page in running.items():
                if reason := future.result():
                    failed[page.stem] = reason
                log(reason or f"{page.stem}: done")
        except BaseException:  # Ctrl-C must reach the notebooks before this process ends
            pool.shutdown(wait=False, cancel_futures=True)
            interrupt_all()
            raise
    return failed


def make_page(page: NotebookPage) -> str:
    """Execute one notebook in a temporary folder and publish its page; returns '' or why that failed."""
    from itl.report.execute_notebook import execute_notebook, kernel_for

    folder = page.folder / f".work-{os.getpid()}-{page.stem}"
    folder.mkdir()
    executed = folder / page.source.name
    failed = page.folder / "failed" / page.source.name
    try:
        kernel = kernel_for(page.machine, working_folder(page.source))
        execute_notebook(page.source, executed, page.parameters, kernel)
        page.publish(executed)
        failed.unlink(missing_ok=True)
        return ""
    except ItlError as error:
        if executed.exists():
            failed.parent.mkdir(exist_ok=True)
            os.replace(executed, failed)
        return str(error)
    finally:
        shutil.rmtree(folder)


def write_index(pages: list[NotebookPage], failed: dict[str, str], log: Log) -> None:
    """Write the index of all runs, and the index over every published page, with what has failed."""
    if not pages:
        raise ItlError("this preset names no notebooks; list some under notebooks:")
    preset, out, machine = pages[0].preset, pages[0].folder, pages[0].machine
    entries = run_index(questions_of(preset), machine)
    publish_runs(entries, out, preset.name, machine)
    join_tables(pages)
    summaries = [page.index_summary(failed.get(page.stem, "")) for page in pages]
    summaries = [summary for summary in summaries if summary is not None]
    seeds = sorted({entry.spec.seed for entry in entries})
    done, minutes = sum(entry.done for entry in entries), sum(entry.minutes for entry in entries)
    facts = {
        "preset": preset.name,
        "seeds": ", ".join(map(str, seeds)) or "none",
        "runs": f"{done} of {len(entries)} done, {minutes:,.1f} minutes in all",
        "machine": f"{describe_devices(machine)}, {machine.slots} runs side by side",
        "made": datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        "itl": f"{__version__}, commit {commit()}",
        "to repeat": f"itl report {preset.reference}",
    }
    html = index_html(summaries, preset.name, preset.about, facts)
    write_atomic(out / "index.html", lambda path: path.write_text(html, "utf-8"))
    log(f"{len(summaries)} pages: {out / 'index.html'}")


def join_tables(pages: list[NotebookPage]) -> None:
    """Join the CSV files of all questions into one results.csv and one contrasts.csv."""
    for ending, name in ((".csv", "results.csv"), ("-contrasts.csv", "contrasts.csv")):
        paths = [page.published(ending) for page in pages if page.published(ending).exists()]
        if paths:  # read as text, so that no number is rounded
            tables = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths]
            joined = pd.concat(tables).to_csv(index=False)
            write_atomic(pages[0].folder / name, lambda path, text=joined: path.write_text(text, "utf-8"))
