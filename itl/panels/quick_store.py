"""A store for panels, which make a new plan at every change of a control."""

import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from itl.runs.store import RESULT, Store


class QuickStore(Store):
    """A store that reads each file once: each change of a panel plans, and may judge, thousands of runs.

    Whether a result is still there, as it was read, it asks every time: a run that is removed is noticed.
    """

    def __init__(self, root: Path):
        super().__init__(root)
        self.path = cache(super().path)  # type: ignore[method-assign]  # the key of a run is made once
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
            return None if name == RESULT else read()
        if version not in self._known:
            content = read()
            if content is None:  # damaged
                return content
            self._known[version] = content
        return self._known[version]

    @property
    def is_current(self) -> bool:
        """Whether every result that was read is still there."""
        return all(os.path.exists(file) for file, *_ in self._known)
