"""A report: a preset's notebooks executed side by side, published whole, and one index over them."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import nbformat
from filelock import FileLock, Timeout

from itl import ItlError, __version__, pick
from itl.config import Machine
from itl.files import write_atomic
from itl.notebook import check_parameters, execute, interrupt_all, kernel_for
from itl.provenance import commit, device_name
from itl.settings import Preset
from itl.site import Page, index_html, page_html, read_page
from itl.store import Store
from itl.study import QUESTIONS, questions_of

Log = Callable[[str], object]


@dataclass(frozen=True)
class Job:
    """A notebook to execute, and all that its page depends on."""

    preset: Preset
    source: Path
    out: Path
    machine: Machine

    @property
    def stem(self) -> str:
        """The notebook's name without its ending."""
        return self.source.stem

    def published(self, ending: str) -> Path:
        """Return where a file of this notebook's page lies."""
        return self.out / f"{self.stem}{ending}"

    def fingerprint(self) -> str:
        """Digest all that the page shows: notebook, parameters, code of itl, packs, and results it may read.

        A summary may read every question's results, a question its own, any other notebook the packs' names.
        """
        asked = list(QUESTIONS) if _last(self.source) else [self.stem]
        parameters = json.dumps(self.preset.notebooks[self.stem], sort_keys=True)
        facts = [self.source.read_text(), parameters, code()]
        facts += [evidence(self.preset, stem, self.machine) for stem in asked]
        if self.stem not in QUESTIONS:
            facts += sorted(folder.parent.name for folder in self.machine.packs.glob("*/pack.json"))
        return sha256("\0".join(facts).encode()).hexdigest()

    def fresh(self) -> bool:
        """Say whether the page that lies there is what executing again would give."""
        told = self.published(".json")
        if not all(self.published(ending).exists() for ending in (".ipynb", ".html", ".json")):
            return False
        return json.loads(told.read_text())["fingerprint"] == self.fingerprint()


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
            failed |= make([job for job in wanted if _last(job.source) == last], machine, log)
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
        lock = FileLock(out / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log(f"another report writes {out}; waiting for it")
            lock.acquire()
    except OSError as error:
        raise ItlError(f"cannot write {out}: {error.strerror}; choose another place with --home") from error
    try:
        for left in out.glob(".work-*"):                        # of a report that was killed
            shutil.rmtree(left)
        yield
    finally:
        lock.release()


def make(jobs: list[Job], machine: Machine, log: Log) -> dict[str, str]:
    """Execute those of *jobs* that are out of date, side by side; returns what failed, and why."""
    stale = [job for job in jobs if not job.fresh()]
    for job in jobs:
        if job not in stale:
            log(f"{job.stem}: unchanged")
    failed = {}
    with ThreadPoolExecutor(max(1, min(len(stale), machine.workers))) as pool:
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


def publish(job: Job, done: Path) -> None:
    """Put the executed *done* and its page in place, the fingerprint last: it says all is whole."""
    table = results_csv(job)
    notebook = nbformat.read(done, as_version=4)
    page = read_page(notebook, job.stem, table=bool(table))
    html = page_html(notebook, page, job.preset.name)
    told = {"fingerprint": job.fingerprint(), "made": datetime.now().astimezone().isoformat()}
    job.published(".json").unlink(missing_ok=True)
    os.replace(done, job.published(".ipynb"))
    for ending, text in ((".csv", table), (".html", html), (".json", json.dumps(told))):
        if text:
            write_atomic(job.published(ending), lambda path, text=text: path.write_text(text, "utf-8"))


def results_csv(job: Job) -> str:
    """Write every number of the notebook's question as CSV; '' where it asks none."""
    if job.stem not in QUESTIONS:
        return ""
    (question,) = questions_of(job.preset, job.stem)
    return question.results(Store(job.machine.runs), job.machine).to_csv(index=False)


def write_index(jobs: list[Job], failed: dict[str, str], log: Log) -> None:
    """Write the index over every page that lies there, with a word on those that failed."""
    if not jobs:
        raise ItlError("this preset names no notebooks; list some under notebooks:")
    preset, out, machine = jobs[0].preset, jobs[0].out, jobs[0].machine
    pages = [page for job in jobs if (page := page_of(job, failed.get(job.stem, "")))]
    seeds = sorted({seed for told in preset.notebooks.values() for seed in told.get("seeds", [])})
    facts = {
        "preset": preset.name,
        "seeds": ", ".join(map(str, seeds)) or "none",
        "machine": f"{device_name(machine.device)}, {machine.workers} runs side by side",
        "made": datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        "itl": f"{__version__}, commit {commit()}",
        "to repeat": f"make report PRESET={preset.name}",
    }
    html = index_html(pages, preset.name, preset.about, facts)
    write_atomic(out / "index.html", lambda path: path.write_text(html, "utf-8"))
    log(f"{len(pages)} pages: {out / 'index.html'}")


def page_of(job: Job, trouble: str) -> Page | None:
    """Read what the index shows of *job*; None where it has never been executed and has not failed either."""
    path = job.published(".ipynb")
    if path.exists() and job.published(".html").exists():
        word = f"This page was made earlier; the last try did not finish: {trouble}" if trouble else ""
        return read_page(nbformat.read(path, as_version=4), job.stem, job.published(".csv").exists(), word)
    if not trouble:
        return None
    return replace(read_page(nbformat.read(job.source, as_version=4), job.stem, trouble=trouble), made=False)


def evidence(preset: Preset, stem: str, machine: Machine) -> str:
    """Digest the plan and the numbers of the question that notebook *stem* asks; '' where it asks none."""
    if stem not in QUESTIONS or stem not in preset.notebooks:
        return ""
    (question,) = questions_of(preset, stem)
    store = Store(machine.runs)
    specs = [run.spec for run in question.runs(machine)]
    states = [(str(spec), store.state(spec), store.result(spec)) for spec in specs]
    return sha256(repr(states).encode()).hexdigest()


def code() -> str:
    """Digest the code and the tables of itl: another version may draw another page."""
    root = Path(__file__).parent
    found = sorted(path for path in root.rglob("*") if path.suffix in (".py", ".csv", ".css", ".js", ".tsv"))
    parts = (str(path.relative_to(root)).encode() + path.read_bytes() for path in found)
    return sha256(b"\0".join(parts)).hexdigest()


def _last(source: Path) -> bool:
    return source.stem.endswith("-summary")
