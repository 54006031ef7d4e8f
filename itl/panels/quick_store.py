"""A store for panels, which plan anew at every change of a control."""

import os
from pathlib import Path

from itl.runs.store import RESULT, Store


class QuickStore(Store):
    """A store that reads each result once: each change of a panel plans thousands of runs.

    Whether the result is still there, as it was read, it asks every time: a run that is removed is noticed.
    """

    def __init__(self, root: Path):
        super().__init__(root)
        self._paths: dict[object, Path] = {}
        self._read: dict[str, int] = {}  # when the results of finished runs were written, by their path

    def path(self, spec: object) -> Path:
        """Return where the run of *spec* lies; the key is made once."""
        if spec not in self._paths:
            self._paths[spec] = super().path(spec)
        return self._paths[spec]

    def state(self, spec: object) -> str:
        """Say whether a run is done, partial or to do."""
        result = f"{self.path(spec)}/{RESULT}"
        try:
            written = os.stat(result).st_mtime_ns
        except FileNotFoundError:
            return "partial" if self.is_partial(spec) else "to do"
        if self._read.get(result) == written:
            return "done"
        if (state := super().state(spec)) == "done":
            self._read[result] = written
        return state

    @property
    def is_current(self) -> bool:
        """Whether every result that was read is still there."""
        return all(map(os.path.exists, self._read))
