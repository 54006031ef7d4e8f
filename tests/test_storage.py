"""Files that are whole or absent, and a lock that names its holder."""

import errno
import math
import multiprocessing
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from itl import ItlError, storage
from itl.notes import log_lines
from itl.storage import (
    changed_file,
    file_sizes,
    hold_lock,
    python_literal,
    read_cache,
    read_json,
    read_mapping,
    read_yaml,
    write_atomic,
)

HOLD = """
import sys, time
from pathlib import Path
from itl.storage import hold_lock
with hold_lock(Path(sys.argv[1]), "testing"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder_of(path) -> subprocess.Popen:
    """Start a process that holds the lock *path* until its input ends."""
    command = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_who_waits_says_for_whom(tmp_path):
    process, messages = holder_of(tmp_path / "lock"), []

    def release(message: str) -> None:
        messages.append(message)
        process.stdin.close()

    with log_lines(release), hold_lock(tmp_path / "lock", "baking bread"):
        assert process.wait() == 0
    host = socket.gethostname()
    assert messages == [f"process {process.pid} on {host} is baking bread; waiting for it"]
    assert os.listdir(tmp_path) in (["lock"], [])


def test_a_killed_holder_leaves_no_lock(tmp_path, caplog):
    process = holder_of(tmp_path / "lock")
    process.kill()
    process.wait()
    with hold_lock(tmp_path / "lock", "testing"):
        assert (tmp_path / "lock.holder").read_text() == f"process {os.getpid()} on {socket.gethostname()}"
    assert caplog.messages == []


def hold_and_read(lock: Path, queue: multiprocessing.Queue) -> None:
    with hold_lock(lock, "testing"):
        queue.put(lock.with_name(f"{lock.name}.holder").read_text())


def test_the_holder_named_is_the_process_to_end_and_not_its_worker(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    worker = context.Process(target=hold_and_read, args=(tmp_path / "lock", queue))
    worker.start()
    assert queue.get(timeout=60) == f"process {os.getpid()} on {socket.gethostname()}"
    worker.join()


def test_a_lock_may_be_tried_without_waiting(tmp_path):
    with storage.try_lock(tmp_path / "lock") as is_mine:
        assert is_mine
        with storage.try_lock(tmp_path / "lock") as is_mine_too:
            assert not is_mine_too
    with hold_lock(tmp_path / "lock", "packing"), storage.try_lock(tmp_path / "lock") as is_mine:
        assert not is_mine
    with storage.try_lock(tmp_path) as is_mine:  # a folder
        assert not is_mine
    with storage.try_lock(tmp_path / "lock") as is_mine:
        assert is_mine, "it was released"


def test_a_lock_is_released_where_the_name_of_its_holder_stays(tmp_path, monkeypatch):
    def fail(path, missing_ok=False):
        raise OSError(errno.ESTALE, "stale file handle")

    with hold_lock(tmp_path / "lock", "packing"):
        monkeypatch.setattr(Path, "unlink", fail)
    monkeypatch.undo()
    with storage.try_lock(tmp_path / "lock") as is_mine:
        assert is_mine


def test_a_lock_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with (
        pytest.raises(ItlError, match="cannot write .*; choose another folder"),
        hold_lock(tmp_path / "file/lock", "x"),
    ):
        pass


def test_a_failed_write_leaves_what_was_there(tmp_path):
    (tmp_path / "a").write_text("old")

    def fail(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(ItlError, match="cannot write .*/a: No space left on device; free space"):
        write_atomic(tmp_path / "a", fail)

    def fail_without_a_number(path):
        raise OSError("odd size")

    with pytest.raises(ItlError, match="cannot write .*/a: odd size; free space"):
        write_atomic(tmp_path / "a", fail_without_a_number)
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_where_nothing_can_be_removed_either_the_file_that_was_asked_for_is_named(tmp_path, monkeypatch):
    def read_only(path, *_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.touch", read_only)
    monkeypatch.setattr("pathlib.Path.unlink", read_only)
    with pytest.raises(
        ItlError, match="cannot write .*/a: Read-only file system; free space or allow writing"
    ):
        write_atomic(tmp_path / "a", lambda path: path.write_text("new"))


def test_writers_of_one_name_never_meet(tmp_path, monkeypatch):
    """Two writers with one pid, as on two hosts: each write succeeds, and the file is one of them whole."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    texts = [letter * 4000 for letter in "abcdefgh"]

    def write(text: str) -> None:
        for _ in range(20):
            write_atomic(tmp_path / "file", lambda path: path.write_text(text))

    with ThreadPoolExecutor(len(texts)) as pool:
        list(pool.map(write, texts))  # raises what a writer raised
    assert (tmp_path / "file").read_text() in texts
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_and_its_folder_are_on_the_disk_before_the_write_ends(tmp_path, monkeypatch):
    events, replace = [], os.replace
    monkeypatch.setattr(storage, "flush_to_disk", lambda path: events.append(path.name))
    monkeypatch.setattr(os, "replace", lambda old, new: (events.append("rename"), replace(old, new)))
    write_atomic(tmp_path / "file", lambda path: path.write_text("x"))
    assert events[0].startswith(f".file.{socket.gethostname()}.")
    assert events[1:] == ["rename", tmp_path.name]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_need_not_know_how_to_wait_for_a_folder(tmp_path, monkeypatch, number):
    fsync, refused = os.fsync, stat.S_ISDIR

    def of_files_alone(handle):
        if refused(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", of_files_alone)
    if number == errno.EIO:
        with pytest.raises(ItlError, match="cannot write .*/file: Input/output error"):
            write_atomic(tmp_path / "file", lambda path: path.write_text("x"))
    else:
        write_atomic(tmp_path / "file", lambda path: path.write_text("x"))
    refused = stat.S_ISREG
    with pytest.raises(ItlError, match=f"cannot write .*/other: {os.strerror(number)}"):
        write_atomic(tmp_path / "other", lambda path: path.write_text("x"))
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "is empty; do"), ('{"a": 1', "is damaged: .*; do this"), ("\0", "is damaged")],
)
def test_one_reader_names_the_file_and_the_cure(tmp_path, text, says):
    path = tmp_path / "a.json"
    assert read_json(path, "do this") is None
    path.write_text(text)
    with pytest.raises(ItlError, match=f"{path} {says}"):
        read_json(path, "do this")
    with pytest.warns(UserWarning, match=f"{path} is .*; it is made again"):
        assert read_mapping(path) == {}


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO, errno.ESTALE, errno.ENOMEM])
def test_what_keeps_all_files_from_being_read_is_told_from_what_is_of_a_file(number):
    refusal = OSError(number, os.strerror(number))
    assert storage.system_error(refusal) is refusal
    behind = ItlError("cannot read it")
    behind.__cause__ = refusal
    assert storage.system_error(behind) is refusal


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(number, "x") for number in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)),
        *(OSError(number, "x") for number in (errno.ENAMETOOLONG, errno.EINVAL)),
        OSError("image file is truncated"),  # as Pillow raises it
        ItlError("not an image"),
    ],
)
def test_what_is_of_a_file_is_no_error_of_the_system(error):
    assert storage.system_error(error) is None


def test_a_file_that_was_cut_or_removed_is_named(tmp_path):
    for name in ("a", "b", ".hidden"):
        (tmp_path / name).write_text("text")
    sizes = file_sizes(tmp_path)
    assert sizes == {"a": 4, "b": 4}
    assert changed_file(tmp_path, sizes) == ""
    (tmp_path / "b").write_text("te")
    assert changed_file(tmp_path, sizes) == "b"
    (tmp_path / "a").unlink()
    assert changed_file(tmp_path, sizes) == "a"


def test_a_file_that_cannot_be_looked_at_for_now_is_not_called_changed(tmp_path, monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "of this test")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", refused)
        with pytest.raises(ItlError) as caught:
            changed_file(tmp_path, {"a": 4})
    reason = os.strerror(errno.ESTALE)
    assert str(caught.value) == f"cannot read {tmp_path / 'a'}: {reason}; correct that, then repeat"


@pytest.mark.parametrize("text", ["{}", "[]", "[1]", "null", "0"])
def test_json_without_values_is_damaged(tmp_path, text):
    path = tmp_path / "a.json"
    assert read_mapping(path) == {}, "and nothing is warned of"
    path.write_text(text)
    with pytest.warns(UserWarning, match=f"{path} is damaged: it holds no values by name; it is made again"):
        assert read_mapping(path) == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seeds: [0]\nnet: small\n'seeds': [1]", "has the key seeds twice, in lines 1 and 3"),
        ("a:\n  b: {c: 1, c: 1}", "has the key c twice, in lines 2 and 2"),
        ("- {1: a,\n   1: b}", "has the key 1 twice, in lines 1 and 2"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n  <<: *a", "has the key << twice, in lines 3 and 4"),
    ],
)
def test_a_repeated_key_is_refused_with_its_lines(text, says):
    with pytest.raises(ItlError, match=f"^x {says}; .* keep one of them$"):
        read_yaml(text, "x")


def test_a_merge_may_be_overridden_and_mappings_may_share_keys():
    text = "a: &a {b: 1}\nc: &c {<<: *a, b: 2}\nd: {<<: [*c, *a], e: 3}\nf: [*a, *a]\n1: x\n'1': y"
    assert read_yaml(text, "x") == {
        "a": {"b": 1},
        "c": {"b": 2},
        "d": {"b": 2, "e": 3},
        "f": [{"b": 1}, {"b": 1}],
        1: "x",
        "1": "y",
    }


def test_a_folder_that_takes_no_files_is_told_at_once():
    with (
        pytest.raises(ItlError, match="cannot write /proc/nope.lock: /proc takes no files"),
        hold_lock(Path("/proc/nope.lock"), "x"),
    ):
        pass


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def no_flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_flock)
    mounts = [
        SimpleNamespace(mountpoint=str(path), fstype=name)
        for path, name in (("/", "ext4"), (tmp_path, "nfs"))
    ]
    for order in (1, -1):
        monkeypatch.setattr("psutil.disk_partitions", lambda all, order=order: mounts[::order])
        with (
            pytest.raises(
                ItlError, match=r"cannot be locked: its file system \(nfs\) has no flock; .* --home"
            ),
            hold_lock(tmp_path / "lock", "x"),
        ):
            pass


def test_a_silent_holder_on_this_host_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "SILENCE_S", 0.1)
    monkeypatch.setattr(storage, "LOCK_POLL_S", 0.05)
    process = holder_of(tmp_path / "lock")
    threading.Timer(0.5, process.stdin.close).start()
    with hold_lock(tmp_path / "lock", "testing"):
        assert process.wait() == 0


@pytest.mark.parametrize("name", ["stat", "read_text"])
def test_a_holder_that_has_just_removed_its_name_on_nfs_is_waited_for(tmp_path, monkeypatch, name):
    monkeypatch.setattr(storage, "LOCK_POLL_S", 0.05)
    process, call = holder_of(tmp_path / "lock"), getattr(Path, name)

    def on_nfs(path: Path, *given: object, **settings: object) -> object:
        if path.suffix == ".holder":
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return call(path, *given, **settings)

    monkeypatch.setattr(Path, name, on_nfs)
    threading.Timer(0.5, process.stdin.close).start()
    with hold_lock(tmp_path / "lock", "testing"):
        assert process.wait() == 0


def test_a_holder_on_another_host_that_is_silent_ends_the_wait(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(storage, "SILENCE_S", 1.0)
    process = holder_of(tmp_path / "lock")
    (tmp_path / "lock.holder").write_text("process 7 on node3")
    with (
        pytest.raises(ItlError, match="process 7 on node3 was testing and has given no sign of life"),
        hold_lock(tmp_path / "lock", "testing"),
    ):
        pass
    assert caplog.messages == ["process 7 on node3 is testing; waiting for it"]
    process.kill()
    process.wait()


def test_a_holder_on_another_host_that_lives_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "SILENCE_S", 2.0)
    monkeypatch.setattr(storage, "LOCK_POLL_S", 0.05)
    process = holder_of(tmp_path / "lock")
    holder, ended = tmp_path / "lock.holder", threading.Event()
    holder.write_text("process 7 on node3")

    def live() -> None:
        for second in range(30):  # for 3 seconds
            os.utime(holder, (second, second))
            ended.wait(0.1)
        process.stdin.close()

    thread = threading.Thread(target=live)
    thread.start()
    try:
        with hold_lock(tmp_path / "lock", "testing"):
            assert process.wait() == 0
    finally:
        ended.set()
        thread.join()


def test_a_holder_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "HEARTBEAT_S", 0.05)
    with hold_lock(tmp_path / "lock", "testing"):
        os.utime(tmp_path / "lock.holder", (0, 0))
        deadline = time.monotonic() + 5
        while (tmp_path / "lock.holder").stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (tmp_path / "lock.holder").stat().st_mtime > 0


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "the file stands for over 100,000 values"),
        ("a: &a [*a]", "contains itself"),
        ("[" * 390, "nested too deeply|is not YAML"),
        ("a: 2001-13-01", "is not YAML: month must be in 1..12"),
        ("a: [", "is not YAML: while parsing"),
        ("a: 1\n\tb: 2", "cannot start any token in line 2, column 1: "),
        ("a: !!python/object/apply:os.system [x]", "is not YAML: could not determine a constructor"),
    ],
)
def test_yaml_that_nobody_wrote_by_hand_is_refused_at_once(text, says):
    assert len(BOMB) < 400
    started = time.process_time()
    with pytest.raises(ItlError, match=says) as error:
        read_yaml(text, "the file")
    assert time.process_time() - started < 10, "what it stands for was built"
    assert "\n" not in str(error.value)


def test_aliases_that_people_write_are_read():
    assert read_yaml("a: &a {b: 1}\nc: {<<: *a, d: 2}", "x") == {"a": {"b": 1}, "c": {"b": 1, "d": 2}}
    assert read_yaml("", "x") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("010", "010"), ("20:30", "20:30"), ("1:30.5", "1:30.5"), ("-07", "-07")),  # not 8, 1230, 90.5, -7
        *(
            ("0", 0),
            ("-17", -17),
            ("1_000", 1000),
            ("0x1f", 31),
            ("0.05", 0.05),
            (".5", 0.5),
            ("1.5e-3", 1.5e-3),
        ),
        *(("1.", 1.0), ("-.inf", -math.inf), ("yes", True), ("~", None)),
    ],
)
def test_what_only_yaml_takes_for_numbers_is_text(text, value):
    assert read_yaml(text, "x") == value


def test_yaml_stands_for_a_number_of_values(monkeypatch):
    monkeypatch.setattr(storage, "YAML_VALUES", 9)  # a mapping, two names, and twice a list of two numbers
    assert read_yaml("a: &a [1, 2]\nb: *a", "x") == {"a": [1, 2], "b": [1, 2]}
    with pytest.raises(ItlError, match="x stands for over 9 values; use fewer aliases"):
        read_yaml("a: &a [1, 2]\nb: *a\nc: 3", "x")


def test_a_cache_that_is_damaged_or_missing_is_none(tmp_path):
    path = tmp_path / "cache"
    assert read_cache(path, Path.read_text) is None
    path.write_text("7")
    assert read_cache(path, lambda cache: int(cache.read_text())) == 7
    path.write_text("x")
    with pytest.warns(UserWarning, match="cache is damaged; it is made again"):
        assert read_cache(path, lambda cache: int(cache.read_text())) is None


def test_files_have_the_mode_of_the_umask_whatever_writes_them(tmp_path):
    def write(path: Path) -> None:
        path.write_text("weights")
        path.chmod(0o600)  # as safetensors does

    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "net", write)
    finally:
        os.umask(before)
    assert (tmp_path / "net").stat().st_mode & 0o777 == 0o640


def test_a_literal_of_python_is_read_and_nothing_else():
    assert python_literal(" {0: 'cat', 'a': [1, ('b',)]}\n") == {0: "cat", "a": [1, ("b",)]}
    with pytest.raises(ValueError, match="the key 0 is twice in one object"):
        python_literal("[{0: 'cat', 0: 'dog'}]")
    for text in ("{0: cat}", "{[0]: 1}", "{0: 'cat'", "print(1)", ""):
        with pytest.raises(SyntaxError):
            python_literal(text)


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(ItlError, match=f"make the folder {tmp_path / 'no'}, then repeat"):
        write_atomic(tmp_path / "no/net", lambda path: path.write_text("weights"))
