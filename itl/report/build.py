"""A report: a preset's notebooks executed side by side, published whole, and one index over them."""

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
from itl.presets import Preset
from itl.report.notebook_file import check_parameters
from itl.report.notebook_page import Job, page_of, publish
from itl.report.render import index_html
from itl.report.run_index import publish_runs, register
from itl.runs.provenance import commit, describe_devices
from itl.runs.questions import questions_of
from itl.storage import hold_lock, write_atomic

Log = Callable[[str], object]


def report(
    preset: Preset,
    notebooks_folder: Path,
    out: Path,
    machine: Machine,
    only: str | None = None,
    log: Log = print,
) -> Path:
    """Execute the notebooks of *preset* whose pages are out of date, write pages and index to *out*.

    Returns the index. Parameters are checked before anything runs. Raises ItlError naming every notebook that
    failed: its earlier page stays, its half-run copy lies in ``failed/``.
    """
    jobs = chosen(preset, Path(notebooks_folder).absolute(), Path(out), machine)
    if only is not None:
        pick(preset.notebooks, only, f"notebook of preset {preset.name}")
    with alone(Path(out), log):
        failed = {}
        wanted = [job for job in jobs if only in (None, job.stem)]
        for last in (False, True):                              # a summary reads what the others have made
            failed |= make([job for job in wanted if job.last == last], machine, log)
        write_index(jobs, failed, log)
    if failed:
        aside = Path(out) / "failed"
        reasons = "; ".join(failed.values())
        raise ItlError(f"{reasons}; half-run in {aside}, pages made earlier stay; mend the cause and repeat")
    return Path(out) / "index.html"


def chosen(preset: Preset, notebooks_folder: Path, out: Path, machine: Machine) -> list[Job]:
    """List the notebooks of *preset*, their parameters checked; raises ItlError for what is not there."""
    there = {path.stem: path for path in sorted(notebooks_folder.glob("*.ipynb"))}
    for stem, parameters in preset.notebooks.items():
        check_parameters(pick(there, stem, f"notebook in {notebooks_folder}"), parameters)
    return [Job(preset, there[stem], out, machine) for stem in sorted(preset.notebooks)]


@contextmanager
def alone(out: Path, log: Log) -> Iterator[None]:
    """Hold the report's folder; a second report of the same preset waits, so that their pages do not mix."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ItlError(f"cannot write {out}: {error.strerror}; choose another place with --home") from error
    with hold_lock(out / ".lock", f"writing the report {out}", log):
        for left in out.glob(".work-*"):                        # of a report that was killed
            shutil.rmtree(left)
        yield


def make(jobs: list[Job], machine: Machine, log: Log) -> dict[str, str]:
    """Execute those of *jobs* that are out of date, side by side; returns what failed, and why."""
    stale = [job for job in jobs if not job.fresh()]
    for job in jobs:
        if job not in stale:
            log(f"{job.stem}: unchanged")
    failed = {}
    if not stale:
        return failed
    from itl.report.execute_notebook import (
        interrupt_all,  # here: only who executes waits for papermill's import
    )

    with ThreadPoolExecutor(min(len(stale), machine.workers)) as pool:
        running = {pool.submit(make_one, job): job for job in stale}
        try:
            for future, job in running.items():
                if trouble := future.result():
                    failed[job.stem] = trouble
                    log(trouble)
                else:
                    log(f"{job.stem}: done")
        except BaseException:                                   # Ctrl-C reaches the notebooks, then we leave
            pool.shutdown(wait=False, cancel_futures=True)
            interrupt_all()
            raise
    return failed


def make_one(job: Job) -> str:
    """Execute one notebook aside and publish its page; returns '' or, in one line, why there is none."""
    from itl.report.execute_notebook import execute, kernel_for

    aside = job.out / f".work-{os.getpid()}-{job.stem}"
    aside.mkdir()
    done = aside / job.source.name
    try:
        kernel = kernel_for(job.machine, job.source.parents[1])
        execute(job.source, done, job.preset.notebooks[job.stem], kernel)
        publish(job, done)
        (job.out / "failed" / job.source.name).unlink(missing_ok=True)
        return ""
    except ItlError as error:
        if done.exists():
            (job.out / "failed").mkdir(exist_ok=True)
            os.replace(done, job.out / "failed" / job.source.name)
        return str(error)
    finally:
        shutil.rmtree(aside)


def write_index(jobs: list[Job], failed: dict[str, str], log: Log) -> None:
    """Write the register of all runs, and the index over every page that lies there, with what has failed."""
    if not jobs:
        raise ItlError("this preset names no notebooks; list some under notebooks:")
    preset, out, machine = jobs[0].preset, jobs[0].out, jobs[0].machine
    entries = register(questions_of(preset), machine)
    publish_runs(entries, out, preset.name, machine)
    join_tables(jobs)
    pages = [page for job in jobs if (page := page_of(job, failed.get(job.stem, "")))]
    seeds = sorted({entry.spec.seed for entry in entries})
    done, minutes = sum(entry.state == "done" for entry in entries), sum(entry.minutes for entry in entries)
    facts = {
        "preset": preset.name,
        "seeds": ", ".join(map(str, seeds)) or "none",
        "runs": f"{done} of {len(entries)} done, {minutes:,.1f} minutes in all",
        "machine": f"{describe_devices(machine)}, {machine.slots} runs side by side",
        "made": datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        "itl": f"{__version__}, commit {commit()}",
        "to repeat": f"make report PRESET={preset.name}",
    }
    html = index_html(pages, preset.name, preset.about, facts)
    write_atomic(out / "index.html", lambda path: path.write_text(html, "utf-8"))
    log(f"{len(pages)} pages: {out / 'index.html'}")


def join_tables(jobs: list[Job]) -> None:
    """Put what every question's page has as CSV into one results.csv and one contrasts.csv."""
    for ending, name in ((".csv", "results.csv"), ("-contrasts.csv", "contrasts.csv")):
        paths = [job.published(ending) for job in jobs if job.published(ending).exists()]
        if paths:                           # as text: every number stays as it stands there
            tables = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths]
            joined = pd.concat(tables).to_csv(index=False)
            write_atomic(jobs[0].out / name, lambda path, joined=joined: path.write_text(joined, "utf-8"))
