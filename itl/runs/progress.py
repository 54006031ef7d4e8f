"""What a person sees while runs are under way: a bar in the terminal, a table that updates in a notebook."""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from itl.runs.store import Store


class Progress:
    """Watch the runs of *specs*; `update` is cheap enough to call twice a second."""

    def __init__(self, specs: Iterable[object], store: Store, table: Callable[[], object] | None = None):
        self.specs, self.store, self.table = list(specs), store, table
        self.left = [spec for spec in self.specs if store.state(spec) != "done"]
        self.handle = None

    def __enter__(self) -> "Progress":
        """Show where things stand."""
        from tqdm import tqdm  # here: who only asks for results needs none

        done = len(self.specs) - len(self.left)
        if self.table and _in_notebook():
            from IPython.display import display

            self.handle = display(self.table(), display_id=True)
        self.bar = tqdm(
            total=len(self.specs),
            initial=done,
            unit="run",
            disable=not self.left or self.handle is not None,
            mininterval=0.5 if sys.stderr.isatty() else 60,  # a log file wants few lines
        )
        return self

    def update(self) -> None:
        """Show what has finished since, and how far those under way are."""
        finished = [spec for spec in self.left if self.store.state(spec) == "done"]
        if finished:
            self.left = [spec for spec in self.left if spec not in finished]
            self.bar.update(len(finished))
            if self.handle:
                self.handle.update(self.table())
        under_way = [at for spec in self.left if (at := last_epoch(self.store.path(spec)))]
        more = [f"{len(under_way) - 4} more"] if len(under_way) > 4 else []
        self.bar.set_postfix_str("; ".join(under_way[:4] + more), refresh=sys.stderr.isatty())

    def __exit__(self, *_: object) -> None:
        """Leave the last state standing: an executed notebook keeps it."""
        self.update()
        self.bar.close()


def last_epoch(folder: Path) -> str:
    """Say how far the run in *folder* has come, and on which GPU; '' before its first epoch ends."""
    log = folder / "log.jsonl"
    lines = log.read_bytes().rpartition(b"\n")[0] if log.exists() else b""      # a line may be under way
    if not lines:
        return ""
    row = json.loads(lines.rpartition(b"\n")[2])
    where = f" {row['device']}" if row.get("device", "cpu") != "cpu" else ""
    return f"{folder.name[:5]}{where} epoch {row['epoch']} loss {row['loss']:.2f}"


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")
