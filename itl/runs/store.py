"""The run store: one folder per spec key. A run is done when its result.json and its files are whole."""

import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from itl.errors import ItlError
from itl.notes import warn
from itl.specs import canonical, key
from itl.storage import (
    CHECKPOINT_FILE,
    changed_file,
    file_sizes,
    hold_lock,
    read_json,
    read_mapping,
    write_text,
)

RESULT = "result.json"
PROVENANCE_FILE, MANIFEST_FILE = "provenance.json", "manifest.csv"
WEIGHTS_FILE = "weights.safetensors"
BEGUN = "begun.json"  # provenance of a run that is not done
LOG_FILE = "log.jsonl"  # a row an epoch; may be written by a rank that ends later
CLAIM = "claim"
HOLDER = f"{CLAIM}.holder"  # there while a process computes the run, or was killed doing so
RUN_AGAIN = "`itl run` does the run again"  # in each warning of a damaged run: workers drop these by it


class Store:
    """Runs on disk, found by their specs, not by the time when they ran."""

    def __init__(self, root: Path):
        self.root = Path(root)

    def folder(self, spec: object) -> Path:
        """Return the folder of *spec*, made on first use; it says which spec it holds.

        ItlError if it cannot be made.
        """
        folder, text = self.path(spec), canonical(spec)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / "spec.json"
            exists = file.exists()  # another process may write it right after
            current = file.read_text("utf-8", "replace") if exists else ""
        except OSError as error:
            reason = error.strerror
            raise ItlError(f"cannot make {folder}: {reason}; choose another place with --home") from error
        if current != text:
            try:
                is_other = json.loads(current) != json.loads(text)
            except ValueError:  # a power cut leaves a part, or zeros
                is_other = False
            if exists and not is_other:
                warn(f"{file} is damaged; it is made again")
            elif exists:  # as of a folder copied to the wrong place
                warn(f"{file} is that of another run; it is made again, and the run begins anew")
                for stale in (folder / BEGUN, *folder.glob(f"**/{CHECKPOINT_FILE}")):
                    stale.unlink(missing_ok=True)
            write_text(file, text)
        return folder

    def result(self, spec: object) -> dict | None:
        """Return the numbers of a finished run; None if it is not done.

        If a file is damaged, missing or another run's, it warns, and the run counts as not done.
        """
        folder = self.path(spec)
        result = read_mapping(folder / RESULT, RUN_AGAIN)
        if not result:
            return None
        files, run = result.pop("files", {}), result.pop("run", folder.name)  # older ones name no run
        result.pop("digests", {})
        if run != folder.name:  # as of a folder copied to the wrong place
            warn(f"{folder / RESULT} is that of run {run}; {RUN_AGAIN}")
            return None
        if not isinstance(files, dict) or not _numbers_by_name(result.get("metrics")):
            warn(f"{folder / RESULT} is damaged: it lacks files, or metrics that are numbers; {RUN_AGAIN}")
            return None
        if damaged := changed_file(folder, files):
            reason = "damaged: its size has changed" if (folder / damaged).exists() else "missing"
            warn(f"{folder / damaged} is {reason}; {RUN_AGAIN}")
            return None
        return result

    def finished(self, spec: object) -> dict:
        """Return the numbers of a run that is done; raise ItlError where it is not."""
        result = self.result(spec)
        if result is None:
            raise ItlError(f"run {key(spec)} is not done; run it first")
        return result

    def file(self, spec: object, name: str) -> Path:
        """Return the path of the file *name* (not JSON) of a finished run, whether it exists or not.

        ItlError if its content is not what the run wrote: an interrupted copy may have the same size.
        """
        path = self.path(spec) / name
        digest = read_mapping(path.with_name(RESULT), RUN_AGAIN).get("digests", {}).get(name)
        if digest is not None and path.exists() and _digest(path) != digest:
            result = path.with_name(RESULT)
            raise ItlError(f"{path} is damaged: its content has changed; remove {result}, then {RUN_AGAIN}")
        return path

    def read(self, spec: object, name: str) -> dict:
        """Return what `write` kept as *name* beside the run's result; ItlError if missing or damaged.

        Its advice removes the result: without it the run is not done, so it is done again.
        """
        folder = self.path(spec)
        content = read_json(folder / name, cure := f"remove {folder / RESULT}, then {RUN_AGAIN}")
        if content is None:
            raise ItlError(f"{folder / name} is missing; {cure}")
        return content

    def has_results(self) -> bool:
        """Say whether any run is done, of whatever question."""
        return any(self.root.glob(f"*/*/{RESULT}"))

    def is_done(self, spec: object) -> bool:
        """Say whether a run has its result."""
        return self.result(spec) is not None

    def state(self, spec: object) -> str:
        """Say whether a run is done, partial (a checkpoint waits) or to do."""
        if self.is_done(spec):
            return "done"
        return "partial" if self.has_checkpoint(spec) else "to do"

    def has_checkpoint(self, spec: object) -> bool:
        """Say whether a run has one: it is under way, or was killed before, or just after it was done."""
        return os.path.exists(f"{self.path(spec)}/{CHECKPOINT_FILE}")

    def write(self, spec: object, name: str, content: object) -> None:
        """Keep *content* as JSON beside the run's result."""
        text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False)
        write_text(self.folder(spec) / name, text)

    def finish(self, spec: object, result: dict) -> None:
        """Publish *result*: the last file of a run, so that its presence means done.

        It holds the run's key, and the sizes and digests of its other files, which are all on disk by then.
        ItlError if the run is finished already.
        """
        if self.result(spec) is not None:
            raise ItlError(f"run {key(spec)} is finished; delete {self.path(spec)} to redo it")
        temporary = (CHECKPOINT_FILE, BEGUN, CLAIM, HOLDER, LOG_FILE, RESULT)
        folder = self.folder(spec)
        files = {name: size for name, size in file_sizes(folder).items() if name not in temporary}
        digests = {name: _digest(folder / name) for name in files if not name.endswith(".json")}
        self.write(spec, RESULT, result | {"run": folder.name, "files": files, "digests": digests})

    def remove_temporary(self, spec: object) -> None:
        """Remove what a finished run does not need, also if a process was killed before it could."""
        for name in (BEGUN, CHECKPOINT_FILE):  # the latter last: it shows that something is left
            (self.path(spec) / name).unlink(missing_ok=True)

    @contextmanager
    def claim(self, spec: object) -> Iterator[Path]:
        """Hold the run of *spec* alone, waiting for whoever holds it; yields its folder.

        The claim is a lock that the kernel drops with its holder, so a killed process leaves none behind.
        """
        folder = self.folder(spec)
        with hold_lock(folder / CLAIM, f"computing run {key(spec)}"):
            for litter in folder.glob(".*.*.*"):  # half written by a holder that was killed
                if not litter.name.startswith(".spec.json."):  # written without the claim
                    litter.unlink()
            if self.result(spec) is None:  # damaged: it must not count as done while the run is done again
                (folder / RESULT).unlink(missing_ok=True)
            yield folder

    def path(self, spec: object) -> Path:
        """Return the folder of the run of *spec*, whether it exists or not."""
        return self.root / type(spec).__name__.lower() / key(spec)


def _digest(path: Path) -> str:
    """Return 16 hex digits that stand for the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _numbers_by_name(metrics: object) -> bool:
    """Whether *metrics*, which may be empty, are finite numbers by name."""
    numbers = metrics.values() if isinstance(metrics, dict) else [None]
    return all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
