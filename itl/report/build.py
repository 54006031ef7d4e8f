"""A report: a preset's runs, a page as soon as the runs of its question are done, and one index."""

import logging
import math
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pandas as pd

from itl import __version__
from itl.analysis.comparisons import COLUMNS, main_contrasts
from itl.errors import ItlError, pick
from itl.machine import Machine, existing_part
from itl.packs.paths import pack_folder
from itl.presets import Preset, find_presets, load_preset, working_folder
from itl.report.html import Overview, PageSummary, index_html
from itl.report.notebook_file import notebooks_of
from itl.report.notebook_page import NotebookPage
from itl.report.overview import answers_by_opening, main_figure
from itl.report.run_index import RunEntry, run_index
from itl.report.run_page import publish_runs
from itl.runs.plan import plan
from itl.runs.provenance import commit, describe_devices
from itl.runs.question import Question, run_all
from itl.runs.questions import QUESTIONS, questions_of
from itl.runs.store import Store
from itl.storage import hold_lock, write_text
from itl.words import counted

log = logging.getLogger(__name__)

SUMMARY = "99-summary"  # the notebook over all questions
JOINED = {"results.csv": ".csv", "contrasts.csv": "-contrasts.csv"}  # from the files of questions
PRESET_FILE = ".preset"  # holds the path of the preset's file, from the folder of the report
INDEX_SECONDS = 15  # between two states of the index while runs are under way


def report(
    preset: Preset, out: Path, machine: Machine, notebooks: Path | None = None, only: str | None = None
) -> Path:
    """Do the runs of *preset* that are missing, and write its pages and their index to *out*.

    A page is made as soon as the runs of its question are done. The index is there before the first run:
    until all is done it says what is to come, and browsers load it again by themselves. Parameters, data and
    the plan are checked before, and leave an earlier report as it is. Where runs or notebooks fail, the
    other pages stay, and half-run notebooks lie in failed/.

    Args:
        notebooks: folder of the notebooks; by default the project's and those that ship with itl.
        only: the one notebook to do.

    Returns:
        The path of the index.

    Raises:
        ItlError: The preset names no notebooks, not *only*, or a summary but no question; the machine has a
            shard, or torchrun started it; or runs or notebooks failed.
    """
    out = Path(out)
    _refuse_parts(preset, machine)
    pages = pages_of(preset, out, machine, notebooks)
    if not pages:
        raise ItlError(f"preset {preset.name} names no notebooks; list some under notebooks:")
    if only is not None:
        pick(preset.notebooks, only, f"notebook of preset {preset.name}")
    if SUMMARY in preset.notebooks and not QUESTIONS.keys() & preset.notebooks.keys():
        raise ItlError(
            f"{SUMMARY} is over questions, and preset {preset.name} asks none; list some beside it"
        )
    for page in pages:
        given = preset.notebooks[page.stem].get("preset", preset.name)
        if given not in (preset.name, preset.reference):
            log.info(f"{page.stem}: this report is of preset {preset.name}, so `preset: {given}` is not used")
    _refuse_read_only(out)
    questions, store = questions_of(preset, only), Store(machine.runs)
    plan(questions, store, machine).refuse()  # before anything is written
    with report_lock(out), PageMaker(pages, only, machine) as maker:
        note_preset_file(preset, out)
        run_all(questions, store, machine, watch=maker.update)
        maker.finish()
    for path in sorted(out.glob("*.ipynb")):
        if path.stem not in preset.notebooks:
            log.info(f"{path.stem}: preset {preset.name} does not list it any more; {path} stays, unlinked")
    if maker.failed:
        reasons = "; ".join(maker.failed.values())
        raise ItlError(
            f"{reasons}; half-run in {out / 'failed'}, pages made earlier stay; "
            f"correct the cause, then run the report again"
        )
    return out / "index.html"


def _refuse_parts(preset: Preset, machine: Machine) -> None:
    """Raise ItlError for a *machine* that does only a part of the runs, or does them in several processes."""
    if machine.shard != (1, 1):
        part, parts = machine.shard
        raise ItlError(
            f"a report needs all runs of {preset.name}, and this machine does part {part} of {parts}; do the "
            f"runs of every part with `itl run`, then leave the shard out"
        )
    if machine.ranks > 1:
        raise ItlError(
            f"a report is made by one process, and torchrun starts {machine.ranks}; do the runs with "
            f"`torchrun … -m itl run {preset.reference}`, then the report without torchrun"
        )


def pages_of(
    preset: Preset, out: Path, machine: Machine, notebooks: Path | None = None
) -> list[NotebookPage]:
    """List the notebooks of *preset* with their parameters checked; see `report`."""
    questions_of(preset)  # checks the parameters of questions; those of other notebooks are checked below
    paths = notebooks_of(preset, notebooks)
    return [NotebookPage(preset, paths[stem], Path(out), machine) for stem in sorted(preset.notebooks)]


@contextmanager
def report_lock(out: Path) -> Iterator[None]:
    """Hold the report's folder; a second report of the same preset waits, so that their pages do not mix.

    ItlError if it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(out, error.strerror) from error
    with hold_lock(out / ".lock", f"writing the report {out}"):
        for folder in out.glob(".work-*"):  # left by a report that was killed
            shutil.rmtree(folder)
        yield


def _refuse_read_only(out: Path) -> None:
    """Raise ItlError where the folder *out* cannot be written or made, before anything is measured for it."""
    try:
        writable = os.access(existing_part(out), os.W_OK)
    except OSError as error:  # of a folder that may not be entered
        raise _cannot_write(out, error.strerror) from error
    if not writable:
        raise _cannot_write(out, "it may only be read")


def _cannot_write(out: Path, why: str | None) -> ItlError:
    return ItlError(
        f"cannot write {out}: {why}; where runs may only be read, make a folder with links to their runs/ "
        f"and packs/, and give it as --home"
    )


def note_preset_file(preset: Preset, out: Path) -> None:
    """Keep in *out* which file the *preset* of its report is from; say so if that was another file until now.

    Presets of one name share a report. The path is relative, so that a project can be moved or copied with
    its reports. A file that is gone or has the same content is no other; a preset made in Python has none.
    """
    file, note = preset.path or find_presets().get(preset.name), out / PRESET_FILE
    if file is None:
        return
    if note.exists():
        earlier = Path(os.path.normpath(out.absolute() / note.read_text("utf-8", "replace")))
        if earlier.is_file() and earlier.read_bytes() != file.read_bytes() and not earlier.samefile(file):
            log.info(
                f"{out} holds the report of {earlier}, which that of {file} now replaces; to keep both, give "
                f"one preset another name"
            )
    write_text(note, os.path.relpath(file, out))


class PageMaker:
    """Makes the pages of a report beside its runs, each as soon as its question's runs are done."""

    def __init__(self, pages: list[NotebookPage], only: str | None, machine: Machine):
        self.pages = pages
        self.waiting = [page for page in pages if only in (None, page.stem)]
        self.only = ["--only", only] if only else []
        self.running: dict[Future, NotebookPage] = {}
        self.failed: dict[str, str] = {}  # by notebook, why its page could not be made
        self.why_stopped = ""  # why the pages that wait were not made
        self.current: set[str] = set()  # notebooks whose page was made now, or is as it would be made now
        self.pool = ThreadPoolExecutor(max(1, min(len(self.waiting), machine.workers)))
        self.index_written_at = -math.inf  # when the index was last written

    def __enter__(self) -> "PageMaker":
        self.write_index("starting")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Wait for the pages that are being made, and leave an index of all that is there."""
        if isinstance(error, ItlError):
            self.why_stopped = str(error)
        elif error is not None:  # Ctrl-C must reach the notebooks
            command = repeating_command(self.pages[0].preset, self.pages[0].machine, *self.only)
            self.why_stopped = f"the report was stopped; `{command}` goes on"
            self.pool.shutdown(wait=False, cancel_futures=True)
            if self.running:
                from itl.report.execute_notebook import interrupt_all

                interrupt_all()
        self.pool.shutdown()
        self.collect()
        self.write_index()

    def update(self, progress: object) -> None:
        """Start the pages that can be made, and show those that are made; called twice a second."""
        for page in self.waiting.copy():
            if not self.can_make(page):
                continue
            self.waiting.remove(page)
            if page.is_current():
                self.current.add(page.stem)
                log.info(f"{page.stem}: unchanged")
            else:
                self.running[self.pool.submit(make_page, page)] = page
        if self.collect() or time.monotonic() - self.index_written_at > INDEX_SECONDS:
            self.write_index(str(progress))

    def can_make(self, page: NotebookPage) -> bool:
        """Say whether all that *page* shows is there; summaries come one by one, after all other pages."""
        others_first = self.running or not all(other.is_summary for other in self.waiting)
        if page.is_summary and (others_first or page is not self.waiting[0]):
            return False
        return page.has_results()

    def collect(self) -> bool:
        """Say what became of the pages that have ended since; return whether there are any."""
        ended = [future for future in self.running if future.done() and not future.cancelled()]
        for future in ended:
            page, reason = self.running.pop(future), future.result()
            if reason:
                self.failed[page.stem] = reason
            else:
                self.current.add(page.stem)
            log.info(reason or f"{page.stem}: {page.answer_text()}")
        return bool(ended)

    def finish(self) -> None:
        """Make all pages that are left, now that all runs are done."""
        while self.waiting or self.running:
            self.update("all runs are done")
            if not self.running and not any(self.can_make(page) for page in self.waiting):
                reason = "its runs are not all done, so there is no page; `itl run` does them"
                self.failed |= {page.stem: f"{page.stem}: {reason}" for page in self.waiting}
                self.waiting.clear()  # some were removed meanwhile
            wait(self.running, timeout=0.5, return_when=FIRST_COMPLETED)
            self.collect()

    def write_index(self, under_way: str = "") -> None:
        """Write the index over every page and, once the report has ended, its runs and joined tables.

        *under_way* says how far the report is, and is empty once it has ended. Pages that are not current are
        left out of what sums up all of them: their settings, runs or code were others.
        """
        preset, out, machine = self.pages[0].preset, self.pages[0].folder, self.pages[0].machine
        absent = {page.stem for page in self.pages if page.question and not has_data(page.question, machine)}
        questions = [page.question for page in self.pages if page.question and page.stem not in absent]
        if not under_way:
            questions += self._settle_earlier_pages(absent)
        entries = run_index(questions, machine)
        current = [page for page in self.pages if page.stem in self.current]
        if not under_way:
            join_tables(current, out)
        cards = [card for page in self.pages if (card := self._card(page, is_done=not under_way))]
        facts = self._facts(entries, questions, absent)
        overview = overview_of(current, out, under_way)
        why_stopped = self.why_stopped if self.waiting or self.running else ""
        html = index_html(cards, preset.name, preset.about, facts, under_way, overview, why_stopped)
        write_text(out / "index.html", html)
        self.index_written_at = time.monotonic()
        if not under_way:  # last: a damaged run leaves an index that says how the report ended
            publish_runs(entries, out, preset.name, machine)

    def _settle_earlier_pages(self, absent: set[str]) -> list[Question]:
        """Note which pages of an earlier report are current, and return the trials that all pages show.

        Pages are of an earlier one where one notebook alone was to be done, or some failed. Those over
        questions whose data are *absent*, by notebook, are not looked at.
        """
        published = [
            page
            for page in self.pages
            if page.published_facts() and not (absent if page.is_summary else page.stem in absent)
        ]
        self.current |= {one.stem for one in published if one.stem not in self.current and one.is_current()}
        done = [page for page in published if page.has_results()]  # what a trial needs is slow to compute
        return [trial for page in done if (trial := page.trial)]

    def _card(self, page: NotebookPage, is_done: bool) -> PageSummary | None:
        """Return what the index shows of *page* now; *is_done* says whether the report has ended."""
        is_current = page.stem in self.current
        trouble = self.failed.get(page.stem, "")
        if not trouble and not is_current and page in (*self.waiting, *self.running.values()):
            trouble = self.why_stopped
        if is_done:
            outdated = "" if is_current else repeating_command(page.preset, page.machine)
            return page.index_summary(trouble, outdated=outdated)
        status = "being written" if page in self.running.values() else ""
        return page.index_summary(trouble, "to come" if page in self.waiting else status)

    def _facts(self, entries: list[RunEntry], questions: list[Question], absent: set[str]) -> dict[str, str]:
        """Return what the top of the index says, by name."""
        preset, machine = self.pages[0].preset, self.pages[0].machine
        seeds = sorted({_count_seeds(question, machine) for question in questions})
        done, minutes = sum(entry.done for entry in entries), sum(entry.minutes for entry in entries)
        without = f"; not counted: {', '.join(sorted(absent))}, whose data are not here" if absent else ""
        return {
            "preset": preset.name,
            "seeds": " to ".join(map(str, dict.fromkeys([*seeds[:1], *seeds[-1:]]))) or "none",
            "runs": f"{done} of {len(entries)} done, {minutes:,.1f} minutes of computing{without}",
            "machine": f"{describe_devices(machine)}, {counted(machine.slots, 'runs')} at a time",
            "made": datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
            "itl": f"{__version__}, commit {commit()}",
            "to repeat": repeating_command(preset, machine),
        }


def _count_seeds(question: Question, machine: Machine) -> int:
    """Return how many of its seeds *question* has taken; halves, one for each seed, are not counted."""
    return len({run.seed for run in question.runs(machine)} & {*question.seeds})


def has_data(question: Question, machine: Machine) -> bool:
    """Say whether the data of *question*, or their packs, are here: one alone may have been asked for."""
    try:
        for name, packing in question.packings().items():
            pack_folder(packing, name, machine)
    except ItlError:
        return False
    return True


def make_page(page: NotebookPage) -> str:
    """Execute one notebook in a temporary folder and publish its page; returns '' or why that failed."""
    from itl.report.execute_notebook import execute_notebook, kernel_for

    folder = page.folder / f".work-{os.getpid()}-{page.stem}"
    folder.mkdir()
    executed = folder / page.source.name
    failed = page.folder / "failed" / page.source.name
    try:
        fingerprint = page.fingerprint()  # before: what changes meanwhile makes the page outdated
        kernel = kernel_for(page.machine, working_folder(page.source))
        execute_notebook(page.source, executed, page.parameters, kernel)
        if page.is_summary and preset_is_another(page.preset):
            return (
                f"{page.stem}: preset {page.preset.name} was changed while the report was made; make it again"
            )
        if page.asks:  # until they are joined again, tables of all questions would have its earlier rows
            for name in JOINED:
                (page.folder / name).unlink(missing_ok=True)
        page.publish(executed, fingerprint)
        failed.unlink(missing_ok=True)
        return ""
    except ItlError as error:
        if executed.exists():
            failed.parent.mkdir(exist_ok=True)
            os.replace(executed, failed)
        return str(error)
    finally:
        shutil.rmtree(folder)


def preset_is_another(preset: Preset) -> bool:
    """Say whether the file of *preset*, which notebooks may read themselves, says something else by now."""
    file = preset.path or find_presets().get(preset.name)
    return file is not None and load_preset(preset.reference) != preset


def repeating_command(preset: Preset, machine: Machine, *options: str) -> str:
    """Return the command that does the runs of *preset* and writes their report again."""
    return shlex.join(["itl", "report", preset.reference, *options, *machine.options])


def overview_of(pages: list[NotebookPage], out: Path, under_way: str) -> Overview:
    """Return what the index in *out* opens with; with a figure once the report has ended."""
    joined = {name: f"All {name.removesuffix('.csv')} (CSV)" for name in JOINED if (out / name).exists()}
    tables = [pd.read_csv(path) for page in pages if (path := page.intact_table("-contrasts.csv"))]
    rows = main_contrasts(pd.concat(tables, ignore_index=True)) if tables else pd.DataFrame()
    if rows.empty:
        return Overview(tables=joined)
    rows = rows.reindex(columns=COLUMNS).astype({"sizes": object})  # some may be of an earlier report
    rows = rows.fillna({"sizes": ""})
    return Overview(answers_by_opening(rows), "" if under_way else main_figure(rows), joined)


def join_tables(pages: list[NotebookPage], out: Path) -> None:
    """Join the CSV files of all questions into one results.csv and one contrasts.csv; none without any."""
    for name, ending in JOINED.items():
        paths = [path for page in pages if (path := page.intact_table(ending))]
        if paths:  # read as text, so that no number is rounded
            tables = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths]
            joined = pd.concat(tables).to_csv(index=False)
            write_text(out / name, joined)
        else:  # those that are there are of other settings
            (out / name).unlink(missing_ok=True)
