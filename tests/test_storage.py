"""Files that are whole or absent, and a lock that names its holder."""

import os
import socket
import subprocess
import sys

import pytest

from itl import ItlError
from itl.storage import hold_lock, write_atomic

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

    with hold_lock(tmp_path / "lock", "baking bread", release):
        assert process.wait() == 0
    host = socket.gethostname()
    assert messages == [f"process {process.pid} on {host} is baking bread; waiting for it"]
    assert os.listdir(tmp_path) in (["lock"], [])


def test_a_killed_holder_leaves_no_lock(tmp_path):
    process, messages = holder_of(tmp_path / "lock"), []
    process.kill()
    process.wait()
    with hold_lock(tmp_path / "lock", "testing", messages.append):
        assert (tmp_path / "lock.holder").read_text() == f"process {os.getpid()} on {socket.gethostname()}"
    assert messages == []


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

    with pytest.raises(ItlError, match="cannot write .*No space left on device; free space"):
        write_atomic(tmp_path / "a", fail)
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"
