"""Files that are whole or absent."""

import os
from collections.abc import Callable
from pathlib import Path

from itl import ItlError


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let *write* fill a temporary sibling, then rename it over *path*: whole or absent."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or error
        raise ItlError(f"cannot write {path}: {reason}; free space or allow writing, then repeat") from error
    finally:
        temporary.unlink(missing_ok=True)
