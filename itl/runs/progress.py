"""Progress of runs: a bar in the terminal, a table that updates in a notebook."""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from itl.notes import warn
from itl.runs.store import HOLDER, LOG_FILE, RESULT, Store
from itl.specs import Pretrain, Transfer, key
from itl.storage import HEARTBEAT_S, has_ended, read_holder
from itl.words import about

PLAN_WEIGHT = 0.1  # what was planned counts like so large a part of the work, measured
LEAST_MINUTES = 1e-3  # of a run whose time is not known
WORSE_THAN_GUESSING = 0.2  # nats above the loss of guessing; a net that has learned nothing yet has less
ROW_NUMBERS = ("epoch", "step", "loss")
TAIL_BYTES = 4096  # of a log that is read; a row is shorter


class Progress:
    """Watch the runs of *specs*; `update` is cheap enough to call twice a second.

    Progress is counted in work, not in runs: a run weighs what `itl.runs.plan` expects it to take. What
    finished runs really took corrects the time that is left.

    Args:
        specs: the runs, finished ones too.
        store: where they lie.
        minutes: by key, what a run should take; runs that are not named weigh alike.
        slots: how many runs are done side by side.
        table: what a notebook shows.
        clock: seconds.
    """

    def __init__(
        self,
        specs: Iterable[object],
        store: Store,
        minutes: Mapping[str, float] | None = None,
        slots: int = 1,
        table: Callable[[], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.specs, self.store, self.slots = list(specs), store, slots
        self.table, self.clock = table, clock
        # Folders by run: thousands of runs are looked for twice a second, and a key takes long to make
        self.left = {spec: str(store.path(spec)) for spec in self.specs if not store.is_done(spec)}
        known = minutes or {}
        self.minutes = {spec: max(known.get(key(spec), 0.0), LEAST_MINUTES) for spec in self.left}
        self.planned_minutes = sum(self.minutes.values())  # of one slot
        self.minutes_to_end = dict(self.minutes)  # of a run that is left, with those of what waits for it
        for spec, own in self.minutes.items():
            if isinstance(spec, Transfer) and (net := spec.pretrain) in self.left:
                self.minutes_to_end[net] = max(self.minutes_to_end[net], self.minutes[net] + own)
        self.done_minutes = 0.0  # of these, those of finished runs
        self.opened_at = clock()
        self.first_run_at: float | None = None  # when the first run was: starting workers is not work
        self.under_way: dict[object, float] = {}  # when each was first seen
        self.handle = None

    def __enter__(self) -> "Progress":
        """Show where things stand."""
        from tqdm import tqdm  # here: who only asks for results needs none

        if self.table and _in_notebook():
            from IPython.display import display

            self.handle = display(self.table(), display_id=True)
        what = "the work" if len(self.left) == len(self.specs) else "what was left"
        self.bar = tqdm(
            total=1.0,
            bar_format=f"{{percentage:3.0f}}% of {what} |{{bar:24}}| {{desc}}",  # runs are not equally long
            disable=not self.left or self.handle is not None,
            mininterval=0.5 if sys.stderr.isatty() else 60,  # a log file wants few lines
        )
        return self

    @property
    def done(self) -> float:
        """The part of the work that is done, 0 to 1; runs under way count by their epochs, or by time."""
        if not self.left:
            return 1.0
        return (self.done_minutes + sum(map(self._done_of, self.under_way))) / self.planned_minutes

    def _done_of(self, spec: object) -> float:
        """Minutes of work of a run under way that are done, as planned."""
        row = last_row(self.store.path(spec))
        if row and isinstance(spec, Pretrain):
            steps, epochs = spec.recipe.steps, spec.recipe.epochs
            part = row["step"] / steps if steps else row["epoch"] / epochs
        else:
            part = (self.clock() - self.under_way[spec]) / 60 / self.minutes[spec]
        return min(part, 0.95) * self.minutes[spec]

    @property
    def minutes_left(self) -> float:
        """Minutes until all is done: by the plan at first, then more and more by what was measured.

        However many slots there are, it takes as long as a run that is left and what waits for it.
        """
        planned = self.planned_minutes / self.slots
        passed = 0.0 if self.first_run_at is None else (self.clock() - self.first_run_at) / 60
        pace = (passed + PLAN_WEIGHT * planned) / (self.done + PLAN_WEIGHT)  # minutes for all of the work
        of_started = {spec: self.minutes_to_end[spec] - self._done_of(spec) for spec in self.under_way}
        longest = max((self.minutes_to_end | of_started).values(), default=0.0)
        faster = min(1.0, pace / planned) if planned else 1.0  # slower: idle slots look the same
        return max(pace * (1 - self.done), faster * longest)

    def __str__(self) -> str:
        count = len(self.specs) - len(self.left)
        more = f"; {about(self.minutes_left)} left" if self.left else ""
        return f"{count} of {len(self.specs)} runs done{more}"

    def refresh(self) -> bool:
        """Read from the store what has finished since, and what is under way; say whether anything has."""
        written = [spec for spec, folder in self.left.items() if os.path.exists(f"{folder}/{RESULT}")]
        finished = [spec for spec in written if self.store.is_done(spec)]
        for spec in finished:
            del self.left[spec], self.minutes_to_end[spec]
            self.done_minutes += self.minutes[spec]
        alive = [spec for spec, folder in self.left.items() if _living_holder(f"{folder}/{HOLDER}")]
        self.under_way = {spec: self.under_way.get(spec, self.clock()) for spec in alive}
        if self.first_run_at is None and (finished or self.under_way):
            self.first_run_at = self.opened_at if finished else self.clock()
        return bool(finished)

    def update(self) -> None:
        """Show what has finished since, and how far those under way are."""
        if self.refresh() and self.handle:
            self.handle.update(self.table())
        epochs = [text for spec in self.under_way if (text := last_epoch(self.store.path(spec)))]
        more = [f"{len(epochs) - 4} more"] if len(epochs) > 4 else []
        self.bar.n = self.done
        self.bar.set_description_str("; ".join([str(self), *epochs[:4], *more]), refresh=False)
        self.bar.update(0)

    def __exit__(self, *_: object) -> None:
        """Leave the last state standing: an executed notebook keeps it."""
        self.update()
        self.bar.close()


def last_row(folder: Path) -> dict:
    """Return the last whole row of the log of the run in *folder*; {} before its first epoch ends."""
    try:
        with open(folder / LOG_FILE, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().rpartition(b"\n")[0]  # what follows is still being written
    except OSError:  # no file, or ESTALE: one that another host has just removed, on NFS
        return {}
    return _row(lines.rpartition(b"\n")[2])


def worse_than_guessing(folder: Path, classes: int) -> str:
    """Say so where the pre-training in *folder* ended clearly worse than guessing among *classes*; '' else.

    Guessing has a cross-entropy of log(classes), with smoothed labels too. The loss is the last epoch's mean.
    """
    loss, guessing = last_row(folder).get("loss", 0.0), math.log(classes)
    if loss <= guessing + WORSE_THAN_GUESSING:
        return ""
    return f"a loss of {loss:.4g} in its last epoch, and guessing among {classes} classes has {guessing:.2f}"


def log_rows(log: Path) -> list[dict]:
    """Return the rows of the file *log* of a run, in order; [] without it.

    A line that a power cut has damaged lacks some of ROW_NUMBERS. It is warned of and left out: the run's
    numbers do not depend on it.
    """
    lines = log.read_bytes().splitlines() if log.exists() else []
    rows = [row for line in lines if (row := _row(line))]
    if len(rows) < len(lines):
        warn(f"{log} is damaged: {len(lines) - len(rows)} of its lines are left out")
    return rows


def _row(line: bytes) -> dict:
    """Return the row that *line* of a log holds; {} for one that is not whole, with all of ROW_NUMBERS."""
    try:
        row = json.loads(line or b"{}")
    except ValueError:  # a power cut has shortened it
        return {}
    whole = isinstance(row, dict) and all(isinstance(row.get(name), int | float) for name in ROW_NUMBERS)
    return row if whole else {}


def last_epoch(folder: Path) -> str:
    """Say how far the run in *folder* has come, and on which GPU; '' before its first epoch ends."""
    row = last_row(folder)
    if not row:
        return ""
    where = f" {row['device']}" if row.get("device", "cpu") != "cpu" else ""
    return f"{folder.name[:5]}{where} epoch {row['epoch']} loss {row['loss']:.2f}"


def holders(folders: Iterable[str]) -> list[str]:
    """Name the processes, wherever they were started, that are computing runs in any of *folders*."""
    return sorted({_living_holder(f"{folder}/{HOLDER}") for folder in folders} - {""})


def _living_holder(file: str) -> str:
    """Name the process in a holder's *file*; '' if it has ended: a run that was killed leaves the file."""
    try:
        silent_s = time.time() - os.stat(file).st_mtime
    except OSError:  # no file, or ESTALE, as in `last_row`
        return ""
    name = read_holder(Path(file)) if silent_s < 2 * HEARTBEAT_S else ""
    return "" if has_ended(name) else name


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")
