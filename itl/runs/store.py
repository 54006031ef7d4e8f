"""The run store: one folder per spec key. A run is done when its result.json exists."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from itl import ItlError
from itl.specs import canonical, key
from itl.storage import hold_lock, write_atomic


class Store:
    """Runs on disk, found by what they are, not by when they ran."""

    def __init__(self, root: Path):
        self.root = Path(root)

    def folder(self, spec: object) -> Path:
        """Return the folder of *spec*, made on first use; it says which spec it holds."""
        folder = self.path(spec)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror
            raise ItlError(f"cannot make {folder}: {reason}; choose another place with --home") from error
        if not (folder / "spec.json").exists():
            write_atomic(folder / "spec.json", lambda path: path.write_text(canonical(spec)))
        return folder

    def result(self, spec: object) -> dict | None:
        """Return the numbers of a finished run, or None."""
        path = self.path(spec) / "result.json"
        return json.loads(path.read_text()) if path.exists() else None

    def read(self, spec: object, name: str) -> dict:
        """Return what `write` kept as *name* beside the run's result."""
        return json.loads((self.path(spec) / name).read_text())

    def state(self, spec: object) -> str:
        """Say whether a run is done, partial (a checkpoint waits) or to do."""
        folder = self.path(spec)
        if (folder / "result.json").exists():
            return "done"
        return "partial" if (folder / "checkpoint.safetensors").exists() else "to do"

    def write(self, spec: object, name: str, content: object) -> None:
        """Keep *content* as JSON beside the run's result."""
        text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False)
        write_atomic(self.folder(spec) / name, lambda path: path.write_text(text))

    def finish(self, spec: object, result: dict) -> None:
        """Publish *result*: the last file of a run, so that its presence means done."""
        if self.result(spec) is not None:
            raise ItlError(f"run {key(spec)} is finished; delete {self.path(spec)} to redo it")
        self.write(spec, "result.json", result)

    @contextmanager
    def claim(self, spec: object, log: Callable[[str], object] = print) -> Iterator[Path]:
        """Hold the run of *spec* alone, waiting for whoever holds it; yields its folder.

        The claim is a lock that the kernel drops with its holder, so a killed process leaves none behind.
        """
        folder = self.folder(spec)
        with hold_lock(folder / "claim", f"computing run {key(spec)}", log):
            for litter in folder.glob(".*.safetensors.*"):      # half written by a holder that was killed
                litter.unlink()
            yield folder

    def under_way(self, spec: object) -> bool:
        """Say whether a process is computing the run of *spec*, or was when it was killed."""
        return (self.path(spec) / "claim.holder").exists()

    def path(self, spec: object) -> Path:
        """Return where the run of *spec* lies, whether it exists or not."""
        return self.root / type(spec).__name__.lower() / key(spec)
