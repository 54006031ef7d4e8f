"""A store for panels, which make a new plan at every change of a control."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from itl.runs.store import RESULT, Store


@dataclass(frozen=True)
class FinishedRun:
    """What was read of a finished run."""

    written: int  # when its result was, in nanoseconds
    result: dict
    files: dict[str, dict] = field(default_factory=dict)  # what lies beside the result, by name


class QuickStore(Store):
    """A store that reads each file once: each change of a panel plans, and may judge, thousands of runs.

    Whether a result is still there, as it was read, it asks every time: a run that is removed is noticed.
    """

    def __init__(self, root: Path):
        super().__init__(root)
        self._paths: dict[object, Path] = {}
        self._finished: dict[str, FinishedRun] = {}  # by the path of the result

    def path(self, spec: object) -> Path:
        """Return where the run of *spec* lies; the key is made once."""
        path = self._paths.get(spec)  # asked once: of a spec with specs in it a hash takes a while
        if path is None:
            path = self._paths[spec] = super().path(spec)
        return path

    def result(self, spec: object) -> dict | None:
        """Return the numbers of a finished run; None if it is not done."""
        run = self._run(spec)
        return run.result if run else None

    def read(self, spec: object, name: str) -> dict:
        """Return what `write` kept as *name* beside the run's result; raises as `Store.read`."""
        run = self._run(spec)
        if run is None:
            return super().read(spec, name)
        if name not in run.files:
            run.files[name] = super().read(spec, name)
        return run.files[name]

    def _run(self, spec: object) -> FinishedRun | None:
        file = f"{self.path(spec)}/{RESULT}"
        try:
            written = os.stat(file).st_mtime_ns
        except FileNotFoundError:
            return None
        known = self._finished.get(file)
        if known is not None and known.written == written:
            return known
        result = super().result(spec)
        if result is None:
            return None
        self._finished[file] = FinishedRun(written, result)
        return self._finished[file]

    @property
    def is_current(self) -> bool:
        """Whether every result that was read is still there."""
        return all(map(os.path.exists, self._finished))
