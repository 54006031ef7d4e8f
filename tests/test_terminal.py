"""What commands say of full disks, closed streams, other encodings and an early Ctrl-C: one line at most."""

import contextlib
import logging
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from itl import ItlError
from itl import __main__ as command


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_is_named():
    words = [sys.executable, "-m", "itl", "labels", "original"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == (
        "itl: the output of labels could not be written: No space left on device; make room, or write it "
        "elsewhere\n"
    )


@pytest.mark.parametrize(("words", "status"), [(("init", "é−"), 0), (("labels", "file@list"), 1)])
def test_lines_for_people_are_printed_in_any_encoding_and_data_as_they_are(tmp_path, words, status):
    (tmp_path / "list").write_text("wnid,label\nn02085620,é−\n")
    done = subprocess.run(
        [sys.executable, "-m", "itl", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == status, done.stderr


@pytest.mark.parametrize(
    ("name", "status", "says"),
    [
        ("labels", 0, ""),
        ("run", 141, "itl: nothing reads the output any more; repeat the command to go on\n"),
    ],
)
def test_work_that_ends_with_its_reader_is_no_success(monkeypatch, capfd, name, status, says):
    def printing(args):
        raise BrokenPipeError

    monkeypatch.setattr(f"itl.commands.{name}", printing)
    printing.__name__, printing.__doc__ = name, "Print."
    words = {"labels": ["labels", "original"], "run": ["run", "demo"]}[name]
    out = os.dup(1)
    try:
        assert command.main(words) == status
    finally:
        os.dup2(out, 1)
    assert capfd.readouterr().err == says


def test_closed_streams_are_no_error(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert command.main(["labels", "original"]) == 0


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            UnicodeEncodeError("ascii", "\u2212", 0, 1, "no"),
            "has characters that ascii, .* lacks; set PYTHONIOENCODING=utf-8",
        ),
        (MemoryError(), "needs more memory than there is; give fewer --workers, or a smaller batch"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "needs more memory than there is"),
    ],
)
def test_what_the_machine_lacks_is_said_with_what_helps(capsys, monkeypatch, error, says):
    def fail(*_):
        raise error

    monkeypatch.setattr("itl.hierarchy.label_sets.label_set", fail)
    status = command.main(["labels", "original"])
    err = capsys.readouterr().err
    assert (status, err.count("\n")) == (1, 1)
    assert re.search(says, err)


class InterruptedImport:
    """A finder of modules during whose work Ctrl-C comes."""

    def find_spec(self, name, *_):
        if name == "itl.commands":
            raise KeyboardInterrupt


def test_an_interrupt_before_the_commands_are_loaded_shows_no_traceback(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, import_module("itl.commands").__name__)
    monkeypatch.delattr("itl.commands")
    monkeypatch.setattr(sys, "meta_path", [InterruptedImport(), *sys.meta_path])
    stopped = "itl: stopped; finished work is kept, repeat the command to go on\n"
    assert command.main(["labels", "original"]) == 130
    assert capsys.readouterr() == ("", stopped)


@pytest.mark.parametrize(("rank", "lines"), [(0, ["measuring"]), (1, [])])
def test_the_first_rank_of_a_torchrun_says_how_work_goes_on_and_each_why_it_ends(
    monkeypatch, capsys, tmp_path, rank, lines
):
    """An error of one rank ends all others, perhaps before they say it too."""
    for name, value in (("WORLD_SIZE", 2), ("RANK", rank), ("ITL_DEVICE", "cpu")):
        monkeypatch.setenv(name, str(value))

    def measure(*_: object) -> None:
        logging.getLogger("itl").info("measuring")
        raise ItlError("the disk is full")

    monkeypatch.setattr("itl.runs.plan.rates_of", measure)
    with (tmp_path / "output").open("w") as stdout, contextlib.redirect_stdout(stdout):
        assert command.main(["plan", "demo", "--home", str(tmp_path)]) == 1
    assert capsys.readouterr().err.splitlines() == [*lines, "itl: the disk is full"]
    assert (tmp_path / "output").read_text() == ""
