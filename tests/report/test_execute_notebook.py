"""The kernel of a notebook: what it leaves where it is killed."""

import os
import subprocess
import sys
import tempfile

from itl.report.execute_notebook import Kernel


def test_folders_of_processes_that_are_dead_are_removed_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / f"itl-{ended.pid}-abcd_123"
    others = [
        tmp_path / f"itl-{os.getpid()}-abcd_123",
        tmp_path / f"itl-study-{ended.pid}",
        tmp_path / "itl-x",
    ]
    for folder in (left, *others):
        folder.mkdir()
        (folder / "kernel.json").touch()
    folder = Kernel().socket_folder
    assert sorted(map(str, tmp_path.iterdir())) == sorted([folder, *map(str, others)])
    assert os.path.basename(folder).startswith(f"itl-{os.getpid()}-")
