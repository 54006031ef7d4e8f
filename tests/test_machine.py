"""Machines: the environment read, settings that win, and what cannot be."""

import os
from pathlib import Path

import pytest

from itl import ItlError
from itl.machine import Machine


def test_machine_here_reads_the_environment_and_settings_win(monkeypatch, tmp_path):
    monkeypatch.setenv("ITL_DATA", "/data:scenes=/scenes")
    monkeypatch.setenv("ITL_HOME", str(tmp_path))
    monkeypatch.setenv("ITL_DEVICE", "cpu")
    assert Machine.from_environment().data == ("/data", "scenes=/scenes")
    assert Machine.from_environment().runs == tmp_path / "runs"
    assert Machine.from_environment(data=("/other",), workers=None).data == ("/other",)
    monkeypatch.chdir(tmp_path)
    assert Machine.from_environment(home=Path("out")).home == tmp_path / "out"
    cores = len(os.sched_getaffinity(0))
    assert Machine.from_environment(workers=1).threads == cores
    assert Machine.from_environment(workers=cores).threads == 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"workers": 0}, "whole number from 1; got 0"),
        ({"workers": -1}, "whole number from 1; got -1"),
        ({"device": "gpu"}, "device 'gpu' was asked for; here are "),
        ({"device": "cuda:99"}, "use cpu"),
    ],
)
def test_machines_that_cannot_be(settings, says):
    with pytest.raises(ItlError, match=says):
        Machine.from_environment(**settings)
