"""The kernel of a notebook: what it leaves where it is killed."""

import asyncio
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from itl.machine import Machine
from itl.report.execute_notebook import HOST, Kernel, kernel_for


def test_folders_of_processes_that_are_dead_are_removed_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / f"itl-{ended.pid}-{HOST}-abcd_123"
    others = [
        tmp_path / f"itl-{os.getpid()}-abcd_123",
        tmp_path / f"itl-study-{ended.pid}",
        tmp_path / f"itl-{ended.pid}-0badcafe-abcd_123",  # of another host
        tmp_path / f"itl-{ended.pid}-results",  # somebody's
        tmp_path / "itl-x",
    ]
    for folder in (left, *others):
        folder.mkdir()
        (folder / "kernel.json").touch()
        (folder / "kernel-1").touch()
    others.append(tmp_path / f"itl-{ended.pid}-{HOST}-photos")
    others[-1].mkdir()
    (others[-1] / "1.jpg").touch()
    folder = Kernel().socket_folder
    assert sorted(map(str, tmp_path.iterdir())) == sorted([folder, *map(str, others)])
    assert os.path.basename(folder).startswith(f"itl-{os.getpid()}-")
    assert (others[-1] / "1.jpg").exists()


def test_the_machine_of_a_notebook_is_that_of_the_report(tmp_path, monkeypatch):
    """Notebook 08 trains nets itself: they are to be compiled, and sent to the scheduler, as all others."""
    machine = Machine(
        home=tmp_path,
        data=(str(tmp_path / "a"), f"images={tmp_path / 'b'}"),
        workers=3,
        scheduler="tcp://login:8786",
        compile=True,
    )
    given = {}

    async def start(kernel, env, **settings):
        given.update(env)

    monkeypatch.setattr(Kernel, "start_kernel", start)
    kernel = kernel_for(machine, tmp_path)()
    with ThreadPoolExecutor(1) as pool:  # browsers of other tests leave a loop running in this thread
        pool.submit(asyncio.run, kernel.start_kernel()).result()
    monkeypatch.setattr(os, "environ", given)
    found = Machine.from_environment()
    assert found == machine.replace(threads=found.threads)
