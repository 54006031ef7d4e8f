"""Runs as jobs of a real SLURM of one node."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace

import pytest

from itl import ItlError
from itl.runs.cluster import SlurmJobs
from itl.runs.store import Store
from tests import slurm
from tests.worlds import SETTINGS, here, run_here, small_study, write_rates

pytest.importorskip("dask_jobqueue")
pytestmark = [pytest.mark.skipif(bool(slurm.why_not()), reason=slurm.why_not()), pytest.mark.timeout(600)]
CHECKOUT = Path(__file__).parents[2]
STUDY = {"images_per_class": [4, 12], "seeds": [0], "recipe": {"steps": 100, "batch": 8, "pixels": 24}}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    with slurm.running(folder):
        yield folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """A home in which the study was done in this process alone."""
    machine = here(tmp_path_factory.mktemp("undisturbed"), checkpoint_seconds=20)
    run_here(small_study(**STUDY), machine)
    return machine.home


@pytest.fixture
def home(undisturbed, tmp_path) -> Path:
    """A project with a preset of the study, its packs, and what its runs cost."""
    for name in ("params", "notebooks"):
        (tmp_path / name).mkdir()
    write_preset(tmp_path, STUDY)
    copytree(undisturbed / "packs", tmp_path / "packs")
    write_rates(here(tmp_path), STUDY)  # for one thread; to measure them takes longer than the runs
    return tmp_path


def write_preset(home: Path, study: dict) -> None:
    preset = {"about": "a test", "notebooks": {"01-data-size": SETTINGS | study}}
    (home / "params/mini.yaml").write_text(json.dumps(preset))


def start(home: Path, workers: int = 2, **settings: str) -> subprocess.Popen:
    """Start `itl run` on the preset in *home*, in as many jobs as *workers*, by Dask's *settings*."""
    environment = os.environ | {
        "PYTHONPATH": str(CHECKOUT),
        "ITL_DEVICE": "cpu",
        "OMP_NUM_THREADS": "1",
        "DASK_JOBQUEUE__SLURM__INTERFACE": "lo",
        "DASK_JOBQUEUE__SLURM__MEMORY": "1GB",
        **{f"DASK_JOBQUEUE__SLURM__{name}": value for name, value in settings.items()},
    }
    command = [sys.executable, "-m", "itl", "run", "mini", "--scheduler", "slurm", "--workers", str(workers)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=home, env=environment, stdout=pipe, stderr=pipe, text=True)


def outcome(process: subprocess.Popen) -> tuple[int, str]:
    """Wait for *process*: its status, and what it wrote."""
    out, error = process.communicate(timeout=400)
    return process.returncode, out + error


def jobs() -> list[str]:
    return slurm.text_of("squeue", "--noheader", "--format=%i").split()


def wait_for_epochs(home: Path) -> None:
    """Wait until a run writes to its log from now on."""
    began = time.time()
    logs = lambda: [path.stat().st_mtime for path in home.glob("runs/pretrain/*/log.jsonl")]  # noqa: E731
    slurm.wait_for(lambda: max(logs(), default=0) > began, home, 90)


def results(home: Path) -> str:
    """Every number of the study, exactly, as CSV."""
    return small_study(**STUDY).results(Store(here(home).runs), here(home)).to_csv()


def weights(home: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in home.glob("runs/pretrain/*/weights.safetensors")}


def test_whatever_ends_jobs_early_the_store_resumes(cluster, undisturbed, home):
    """Ctrl-C cancels all jobs; a killed scheduler leaves none; the only job, cancelled, is replaced."""
    process = start(home)
    wait_for_epochs(home)
    assert len(ids := sorted(jobs())) == 2
    workers = {job: SimpleNamespace(job_id=job) for job in ids}
    held = SlurmJobs(SimpleNamespace(workers=workers), home / "runs/slurm")
    for _ in range(3):
        held.check()  # squeue lists them
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert [line for line in error.splitlines() if line.startswith("itl: stopped")]
    slurm.wait_for(lambda: not jobs(), cluster)
    held.check()
    says = (
        rf"ended all jobs \({', '.join(ids)}\) before a worker started in them \(.+\); .* {home}/runs/slurm$"
    )
    with pytest.raises(ItlError, match=says):  # the words in brackets are of their logs
        held.check()

    process = start(home, workers=1)
    wait_for_epochs(home)
    process.send_signal(signal.SIGKILL)  # the scheduler was in it
    process.communicate()
    subprocess.run(["scancel", "--user", "root"], check=True)
    slurm.wait_for(lambda: not jobs(), cluster)
    assert not weights(home), "nothing was done yet, so there is something to resume"

    process = start(home, workers=1)
    wait_for_epochs(home)
    subprocess.run(["scancel", *jobs()], check=True)
    status, output = outcome(process)
    assert status == 0, output
    assert results(home) == results(undisturbed)
    assert weights(home) == weights(undisturbed)
    slurm.wait_for(lambda: not jobs(), cluster)


def test_a_job_that_slurm_would_not_take_is_one_line(cluster, home):
    status, output = outcome(start(home, QUEUE="nowhere"))
    assert status == 1, output
    [line] = [line for line in output.splitlines() if line.startswith("itl: SLURM")]
    assert re.search(
        "SLURM takes no such job .*invalid partition.*; set it in jobqueue.slurm of Dask's", line
    )
    assert "Traceback" not in output


def test_an_array_of_jobs_needs_no_daemon(cluster, undisturbed, home):
    command = [sys.executable, "-m", "itl", "run", "mini", "--shard"]
    script = (
        f"#!/bin/sh\ncd {home}\nexport PYTHONPATH={CHECKOUT} ITL_DEVICE=cpu OMP_NUM_THREADS=1\n"
        f"exec {' '.join(command)} $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT\n"
    )
    subprocess.run(["sbatch", "--array=1-2", f"--output={home}/%a.out"], input=script, text=True, check=True)
    time.sleep(1)
    slurm.wait_for(lambda: not jobs(), cluster, 120)
    assert results(home) == results(undisturbed)
    assert weights(home) == weights(undisturbed)
