"""Files that are whole or absent, and the one lock that says who holds it."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

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


def flush_to_disk(path: Path) -> None:
    """Wait until the file or folder *path* is on the disk, so that a power failure cannot lose it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def hold_lock(path: Path, task: str, log: Callable[[str], object] = print) -> Iterator[None]:
    """Hold the lock file *path*; wait while another process holds it, after saying which one.

    The operating system releases the lock when its holder ends, so a killed process leaves no lock behind.

    Args:
        path: The lock file; its folder must exist. The holder's name is kept beside it, in ``PATH.holder``.
        task: What the holder does, such as "packing photos": completes the message "process 7 on host is ".
        log: Called with that message once, if there is a wait.

    Raises:
        ItlError: If the lock file cannot be written.
    """
    lock, holder = FileLock(path), path.with_name(f"{path.name}.holder")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log(f"{_read_holder(holder)} is {task}; waiting for it")
        lock.acquire()
    except OSError as error:
        raise ItlError(f"cannot write {path}: {error.strerror}; choose another folder") from error
    try:
        with suppress(OSError):  # a full disk: the holder is not named, but work may still be possible
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _read_holder(path: Path) -> str:
    try:
        return path.read_text() or "another process"
    except FileNotFoundError:  # the holder has the lock, but has not written its name yet
        return "another process"
