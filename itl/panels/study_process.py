"""The runs of one question, done by `itl run` in a process of its own and watched through the store."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from weakref import finalize

import yaml

from itl.errors import ItlError
from itl.machine import OPENMP_THREADS, Machine, project_folder
from itl.runs.design import is_packed
from itl.runs.executors import with_needs
from itl.runs.plan import plan
from itl.runs.progress import Progress
from itl.runs.question import Question
from itl.runs.store import Store
from itl.storage import HOLDER_NAME

NOT_STARTED, RUNNING, STOPPED, FAILED, DONE = "not started", "running", "stopped", "failed", "done"
RUNNING_ELSEWHERE = "running elsewhere"  # in a process that this panel did not start


class StudyProcess:
    """`itl run` of one question. It goes on where an earlier one was stopped, and when the kernel ends."""

    def __init__(self, question: Question, notebooks: Mapping[str, object], machine: Machine) -> None:
        """Prepare the runs of *question*; *notebooks* are the same as a preset holds it, by notebook."""
        self.question, self.machine, self.store = question, machine, Store(machine.runs)
        content = {"about": "A study of the panel.", "notebooks": dict(notebooks)}
        self._preset = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        self._log: Path | None = None
        self._process: subprocess.Popen | None = None
        self._was_stopped = False
        self._progress: Progress | None = None
        self._is_measured = False  # whether what the runs take was known when they were planned

    def start(self) -> None:
        """Start, or resume, doing the runs; ItlError on a machine that does only a part of them."""
        if self.machine.shard != (1, 1):
            raise ItlError(
                f"a panel does all runs of a study, and its machine part {self.machine.shard[0]} of "
                f"{self.machine.shard[1]}; leave the shard out"
            )
        self._was_stopped = False
        folder = Path(mkdtemp(prefix="itl-study-"))
        preset, self._log = folder / "study.yaml", folder / "log.txt"
        preset.write_text(self._preset, "utf-8")
        variables = {"PYTHONUNBUFFERED": "1", OPENMP_THREADS: str(self.machine.threads)}
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "itl", "run", str(preset)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=project_folder(),
                env=os.environ | self.machine.environment | variables,
                start_new_session=True,  # so that a signal reaches its workers, and not this kernel
            )
        finalize(self, _remove_unused, folder, self._process)

    def stop(self) -> None:
        """Ask the process to stop as a cluster does; what is finished and all checkpoints are kept.

        SIGINT could get lost: while the process imports what it needs, or where the server of the notebook
        was started in the background.
        """
        if self.state == RUNNING and self._process is not None:
            self._was_stopped = True
            self._process.terminate()

    def wait(self, seconds: float | None = None) -> str:
        """Wait until the process ends, at most so many seconds; returns its state."""
        if self._process is not None:
            self._process.wait(seconds)
        return self.state

    @property
    def state(self) -> str:
        """One of not started, running, stopped, failed and done."""
        if self._process is None:
            return NOT_STARTED
        status = self._process.poll()
        if status is None:
            return RUNNING
        if status == 0:
            return DONE
        return STOPPED if self._was_stopped else FAILED

    @property
    def last_line(self) -> str:
        """The last line that the process wrote, without its progress bar: what it does, or why it failed.

        '' once it is asked to stop: what it writes then is for a terminal.
        """
        if self._was_stopped:
            return ""
        text = self._log.read_text("utf-8", "replace") if self._log and self._log.exists() else ""
        lines = [line.rpartition("\r")[2].strip() for line in text.splitlines()]
        return next((line for line in reversed(lines) if line and "|" not in line), "")

    def progress(self) -> Progress | None:
        """Read how far the runs are.

        None while packs are built, before which runs have no keys, and while what runs take is measured.
        """
        if self._progress is None:
            if not all(is_packed(run.spec) for run in self.question.runs(self.machine)):
                return None
            self._progress = self._planned_progress()
        self._progress.refresh()
        if not self._is_measured:
            if self._progress.first_run_at is None:
                return None
            self._progress, self._is_measured = self._planned_progress(), True  # `itl run` measures at first
            self._progress.refresh()
        return self._progress

    def _planned_progress(self) -> Progress:
        made = plan([self.question], self.store, self.machine, measure=False, build_nets=False)
        self._is_measured = made.is_measured
        minutes = dict(zip(made.runs["run"], made.runs["minutes"], strict=True))
        specs = with_needs(run.spec for run in self.question.runs(self.machine))
        return Progress(specs, self.store, minutes, self.machine.slots)


def _remove_unused(folder: Path, process: subprocess.Popen) -> None:
    """Remove the *folder* of a *process*, unless it goes on: then it reads its preset and writes its log."""
    if process.poll() is not None:
        rmtree(folder, ignore_errors=True)


def of_others(names: Sequence[str]) -> str:
    """Say which processes do the runs, as after a restart of the kernel, and what ends them; '' for none."""
    if not names:
        return ""
    named = [re.fullmatch(HOLDER_NAME.format(r"(\d+)", "(.+)"), name) for name in names]
    ends = ", ".join(f"kill {name[1]} on {name[2]}" for name in named if name)
    advice = f". To end that in a terminal, and keep what is finished: {ends}" if ends else ""
    return f"These runs are done by {', '.join(names)}, which this panel did not start{advice}."
