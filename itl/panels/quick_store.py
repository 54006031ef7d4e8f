"""A store for panels, which make a new plan at every change of a control."""

import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from itl.runs.store import RESULT, Store


class QuickStore(Store):
    """A store that reads each file once: each change of a panel plans, and may judge, thousands of runs.

    Whether a result is still there, or still missing, it asks every time: runs that other processes finish,
    or that are removed, are noticed.
    """

    def __init__(self, root: Path):
        super().__init__(root)
        self.path = cache(super().path)  # type: ignore[method-assign]  # the key of a run is made once
        #: Whether results were there when they were last asked for, by path; clear it before a new plan.
        self.seen: dict[str, bool] = {}
        # By the path of a result, when it was written, and the name of a file beside it: what the file has.
        self._known: dict[tuple[str, int, str], Any] = {}

    def result(self, spec: object) -> dict | None:
        """Return the numbers of a finished run; None if it is not done."""
        return self._once(spec, RESULT, partial(super().result, spec))

    def read(self, spec: object, name: str) -> dict:
        """Return what `write` kept as *name* beside the run's result; raises as `Store.read`."""
        return self._once(spec, name, partial(super().read, spec, name))

    def _once(self, spec: object, name: str, read: Callable[[], Any]) -> Any:
        """Return what *read* gives of the file *name*; read once as long as the run's result is the same."""
        file = f"{self.path(spec)}/{RESULT}"
        try:
            version = file, os.stat(file).st_mtime_ns, name
        except FileNotFoundError:
            self.seen[file] = False
            return None if name == RESULT else read()
        self.seen[file] = True
        if self._known.get(version) is None:  # not read yet, or damaged
            self._known[version] = read()
        return self._known[version]

    @property
    def is_current(self) -> bool:
        """Whether every result that was asked for is there, or missing, as it was then."""
        return all(os.path.exists(file) is existed for file, existed in list(self.seen.items()))

    @property
    def missing(self) -> list[str]:
        """The folders of the runs whose results were missing."""
        return [file.removesuffix(f"/{RESULT}") for file, existed in list(self.seen.items()) if not existed]
