"""Atomic files, readers of JSON, YAML and lines of text, and one lock that says who holds it."""

import ast
import json
import logging
import os
import re
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import (
    EBADF,
    EDQUOT,
    EFBIG,
    EINVAL,
    EISDIR,
    ELOOP,
    ENAMETOOLONG,
    ENOENT,
    ENOLCK,
    ENOSPC,
    ENOSYS,
    ENOTDIR,
    EOPNOTSUPP,
)
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from itl.errors import ItlError
from itl.notes import warn
from itl.processes import refuse_while_main_is_imported

log = logging.getLogger(__name__)

T = TypeVar("T")
HOLDER_NAME = "process {} on {}"  # its number and its host
HEARTBEAT_S = 30.0  # between two signs of life of a lock's holder
SILENCE_S = 600.0  # without a sign of life from a holder on another host, a lock is given up
LOCK_POLL_S = 0.5
CHECKPOINT_FILE = "checkpoint.safetensors"  # of a training that is under way
FILE_ERRORS = (ENOENT, ENOTDIR, EISDIR, ELOOP, ENAMETOOLONG, EINVAL)  # what the system says of a file itself
NO_FOLDER_FSYNC = (EINVAL, EBADF, EOPNOTSUPP)  # the first two are those that PostgreSQL passes over too
YAML_VALUES = 100_000
PLAIN_NUMBERS = {  # by YAML's tag
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"
    ),
}


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let *write* fill a temporary sibling, then rename it to *path*: whole or absent, even after a crash.

    The temporary name has the host and random digits: processes on different hosts can have the same pid.
    ItlError if that fails with an OSError, such as a full disk.
    """
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{secrets.token_hex(4)}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        temporary.chmod(mode)  # that of the umask, which safetensors does not keep to
        flush_to_disk(temporary)
        os.replace(temporary, path)
        flush_to_disk(path.parent)
    except OSError as error:
        reason = error.strerror or error
        cure = "free space or allow writing" if path.parent.is_dir() else f"make the folder {path.parent}"
        raise ItlError(f"cannot write {path}: {reason}; {cure}, then repeat") from error
    finally:
        with suppress(OSError):  # nothing can be removed where nothing can be written, which is said above
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write *text* to *path* in UTF-8 by `write_atomic`, and raise as that does."""
    write_atomic(path, lambda temporary: temporary.write_text(text, "utf-8"))


def is_disk_full(error: Exception) -> bool:
    """Say whether *error* is of an output that found no space."""
    return isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT, EFBIG)


def system_error(error: Exception) -> OSError | None:
    """Return what *error* is, or was raised from, if that says nothing of the file; None otherwise.

    Permission, too many open files, or a network disk that does not answer are of the machine and its disks.
    """
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, OSError) and cause.errno not in (None, *FILE_ERRORS):  # None: a decoder's own
        return cause
    return None


def refuse_system_error(path: Path, error: Exception) -> None:
    """Raise ItlError if *error*, from reading *path*, says nothing of what it holds: it may be whole."""
    if cause := system_error(error):
        reason = os.strerror(cause.errno or 0)  # Arrow's own has several lines
        path = cause.filename or path
        raise ItlError(f"cannot read {path}: {reason}; correct that, then repeat") from error


def flush_to_disk(path: Path) -> None:
    """Wait until the file or folder *path* is on the disk, so that a power failure cannot lose it.

    Some file systems, as of folders that a virtual machine shares, cannot wait for a folder.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_FOLDER_FSYNC or not path.is_dir():
            raise
    finally:
        os.close(handle)


class DamagedFile(ItlError):
    """A file was read, and does not hold what it should."""


def read_json(path: Path, cure: str) -> Any:
    """Return the content of the JSON file *path*; None if there is no such file.

    Raises:
        DamagedFile: If it is not JSON, with *cure*, which says what to do.
        ItlError: If the file cannot be read, which says nothing of what it holds.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ItlError(f"cannot read {path}: {error.strerror}; allow reading it, then repeat") from error
    except ValueError as error:
        reason = "empty" if path.stat().st_size == 0 else f"damaged: {error}"
        raise DamagedFile(f"{path} is {reason}; {cure}") from error


def read_mapping(path: Path, cure: str = "it is made again") -> dict[str, Any]:
    """Return the object in the JSON file *path*; {} if there is none, or a damaged one, with a warning.

    ItlError if it cannot be read: it may be whole, and must not be made again.
    """
    try:
        content = read_json(path, cure)
    except DamagedFile as error:
        warn(str(error))
        return {}
    if isinstance(content, dict) and content:
        return content
    if path.exists():  # nothing of itl writes such a file
        warn(f"{path} is damaged: it holds no values by name; {cure}")
    return {}


def read_cache(path: Path, read: Callable[[Path], T]) -> T | None:
    """Return what *read* makes of *path*; None if there is no such file or, with a warning, it is damaged."""
    try:
        return read(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError):  # as NumPy and Arrow raise them
        warn(f"{path} is damaged; it is made again")
        return None


def text_lines(text: str) -> list[str]:
    """Return the lines of *text*, without their ends.

    Unlike those of `str.splitlines`, they go on behind a form feed and Unicode's line separators, which texts
    in JSON and names may have.

    >>> text_lines("a\\r\\nb\\u2028c\\n")
    ['a', 'b\\u2028c', '']
    """
    return re.split(r"\r\n?|\n", text)


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return *pairs* of a JSON object as a dict, for `json.loads`, which would keep the last of two alike.

    Raises:
        ValueError: If a key is there twice.
    """
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r} is twice in one object")
    return row


def python_literal(text: str) -> Any:
    """Return the value of a literal of Python, such as the dict that a script printed.

    Raises:
        SyntaxError: If *text* is none.
        ValueError: If a key is there twice.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
        content = ast.literal_eval(tree)
    except (ValueError, TypeError):
        raise SyntaxError("a word has no quotes, or a key is a list") from None
    for mapping in (node for node in ast.walk(tree) if isinstance(node, ast.Dict)):
        unique_keys([(ast.literal_eval(key), None) for key in mapping.keys if key])
    return content


def read_yaml(text: str, name: str) -> Any:
    """Return the content of the YAML *text*, which people call *name*.

    Refused are keys that a mapping has twice, and aliases and nesting that stand for more than people write.
    What YAML 1.1 takes for numbers and nobody else does, 010 and 1:30, is text.
    """
    import yaml  # here: who only reads runs needs none

    class Loader(yaml.SafeLoader):
        """PyYAML's, without octal and sexagesimal numbers."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, PLAIN_NUMBERS.get(tag, pattern)) for tag, pattern in resolvers]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        loader = Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        if _values(root, {}, name) > YAML_VALUES:
            raise ItlError(f"{name} stands for over {YAML_VALUES:,} values; use fewer aliases (*name)")
        return loader.construct_document(root)  # of what was checked: parsing takes longest
    except RecursionError:
        raise ItlError(f"{name} is nested too deeply, or contains itself; write it flat") from None
    except ItlError:
        raise
    except (yaml.YAMLError, ValueError) as error:  # ValueError: such as a date with month 13
        reason = " ".join(str(error).replace('"<unicode string>", ', "").split())  # where it is read from
        raise ItlError(f"{name} is not YAML: {reason}") from error


def _values(node: Any, counts: dict[int, int], name: str) -> int:
    """Return how many values a YAML *node* stands for, an alias as many as what it refers to.

    ItlError if a mapping in it, which is in what people call *name*, has a key twice.
    """
    if id(node) not in counts:
        children = node.value if isinstance(node.value, list) else []
        pairs = [child for child in children if isinstance(child, tuple)]  # of a mapping
        _refuse_repeated_key(pairs, name)
        parts = [part for pair in pairs for part in pair] or children
        counts[id(node)] = 1 + sum(_values(part, counts, name) for part in parts)
    return counts[id(node)]


def _refuse_repeated_key(pairs: list[tuple], name: str) -> None:
    """Raise ItlError if a YAML mapping, *pairs* of nodes, has a key twice; what a merge brings is none."""
    lines: dict[tuple[str, str], int] = {}
    for key, _ in pairs:
        identity, line = (key.tag, str(key.value)), key.start_mark.line + 1
        if identity in lines:
            raise ItlError(
                f"{name} has the key {key.value} twice, in lines {lines[identity]} and {line}; PyYAML would "
                "take the last: keep one of them"
            )
        lines[identity] = line


def file_sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each file in *folder* by name, without hidden files."""
    paths = (path for path in sorted(folder.iterdir()) if not path.name.startswith("."))
    return {path.name: path.stat().st_size for path in paths if path.is_file()}


def changed_file(folder: Path, sizes: Mapping[str, int]) -> str:
    """Name the first file in *folder* that is missing or no longer has its size of *sizes*; '' for none.

    A power cut shortens files, and people remove them. ItlError if the system does not let one be looked at.
    """
    for name, size in sizes.items():
        try:
            if (folder / name).stat().st_size != size:
                return name
        except (OSError, ValueError) as error:
            refuse_system_error(folder / name, error)
            # Missing, or a name that no file can have: the sizes are damaged.
            return name
    return ""


@contextmanager
def hold_lock(path: Path, task: str) -> Iterator[None]:
    """Hold the lock file *path*; wait while another process holds it, after logging which one.

    The operating system releases the lock when its holder ends, so a killed process leaves no lock behind. On
    a network file system that may fail where the holder's host died: the wait ends when a holder on another
    host gives no sign of life for SILENCE_S seconds.

    Args:
        path: The lock file; its folder must exist. The holder's name is kept beside it, in ``PATH.holder``.
        task: What the holder does, such as "packing photos": completes the message "process 7 on host is ".

    Raises:
        ItlError: The file system has no locks, or the file cannot be written.
    """
    refuse_while_main_is_imported()
    holder = path.with_name(f"{path.name}.holder")
    lock = FileLock(path, fallback_to_soft=False)
    try:
        _acquire(lock, path, holder, task)
    except OSError as error:
        if error.errno in (ENOSYS, ENOLCK, EOPNOTSUPP):
            raise ItlError(
                f"{path} cannot be locked: its file system ({_file_system(path)}) has no flock; mount it "
                f"with flock (Lustre: -o flock; NFS: version 4, or with lockd), or choose another with --home"
            ) from error
        raise ItlError(
            f"cannot write {path}: {error.strerror}; choose another folder, as with --home or --out"
        ) from error
    released = threading.Event()
    try:
        with suppress(OSError):  # a full disk: the holder is not named, but work may still be possible
            holder.write_text(HOLDER_NAME.format(_process_to_end(), socket.gethostname()))
        threading.Thread(target=_keep_alive, args=(holder, released), daemon=True).start()
        yield
    finally:
        released.set()
        with suppress(OSError):  # whatever the file system says: else this process would wait for itself
            holder.unlink(missing_ok=True)
        lock.release()


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold the lock file *path* for a moment, unless another does or it cannot be; yields whether it does."""
    lock = FileLock(path, fallback_to_soft=False)
    with suppress(Timeout, OSError):
        lock.acquire(timeout=0)
    try:
        yield lock.is_locked
    finally:
        lock.release()


def _process_to_end() -> int:
    """Return the id of the process whose end ends this work: of a worker, the one that started it."""
    from multiprocessing import parent_process  # here: `itl.__main__` has to register its end before

    starter = parent_process()
    return starter.pid if starter and starter.pid else os.getpid()


def _acquire(lock: FileLock, path: Path, holder: Path, task: str) -> None:
    """Acquire *lock*, waiting for its holder as long as that one is alive."""
    with suppress(Timeout):
        lock.acquire(timeout=0)
        return
    if not path.exists():  # filelock repeats for ever where a folder such as /proc takes no files
        raise ItlError(
            f"cannot write {path}: {path.parent} takes no files; choose another folder, as with --home or "
            f"--out"
        )
    log.info(f"{read_holder(holder)} is {task}; waiting for it")
    last_sign, since = _sign_of_life(holder), time.monotonic()
    while not lock.is_locked:
        with suppress(Timeout):
            lock.acquire(timeout=LOCK_POLL_S)
        if (sign := _sign_of_life(holder)) != last_sign:
            last_sign, since = sign, time.monotonic()
        name = read_holder(holder)
        elsewhere = " on " in name and not name.endswith(f" on {socket.gethostname()}")
        if not lock.is_locked and elsewhere and time.monotonic() - since > SILENCE_S:
            raise ItlError(
                f"{name} was {task} and has given no sign of life for {SILENCE_S / 60:.0f} minutes; if it "
                f"has ended, remove {path} and {holder}, then repeat"
            )


def _keep_alive(holder: Path, released: threading.Event) -> None:
    """Renew the time of the file *holder* until the lock is *released*."""
    while not released.wait(HEARTBEAT_S):
        with suppress(OSError):  # a file system that does not answer now may do so later
            os.utime(holder)


def _sign_of_life(holder: Path) -> int:
    try:
        return holder.stat().st_mtime_ns
    except OSError:  # none; on NFS, ESTALE for one that another host has just removed
        return 0


def read_holder(path: Path) -> str:
    """Return what the file *path* of a lock's holder says: the process and its host."""
    try:
        return path.read_text("utf-8", "replace") or "another process"
    except OSError:  # the holder has not written its name yet, or has just removed it
        return "another process"


def has_ended(holder: str) -> bool:
    """Say whether *holder*, as `read_holder` returns it, was a process of this host and is no more."""
    import psutil  # here: a GPU machine that only trains may lack it

    named = re.fullmatch(HOLDER_NAME.format(r"(\d+)", re.escape(socket.gethostname())), holder)
    return named is not None and not psutil.pid_exists(int(named[1]))


def _file_system(path: Path) -> str:
    """Return the type of the file system that *path* is on, such as nfs4 or lustre."""
    import psutil  # here: only errors need it

    real, disks = path.resolve(), psutil.disk_partitions(all=True)
    mounts = [disk for disk in disks if real.is_relative_to(disk.mountpoint)]
    return max(mounts, key=lambda disk: len(disk.mountpoint)).fstype if mounts else "unknown"
