"""Runs on a Dask cluster: the same numbers, and a worker that dies costs nothing."""

import os
import signal
import threading
import time

import pandas as pd
import pytest

from itl import ItlError
from itl.runs.executors import execute
from itl.runs.store import Store
from itl.specs import Pretrain
from tests.worlds import FOUR, here, small_study

distributed = pytest.importorskip("dask.distributed")


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
    ) as running:
        yield running


@pytest.mark.timeout(180)
def test_a_worker_that_dies_costs_nothing(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("ITL_DEVICE", "cpu")
    question = small_study(**FOUR, recipe={"steps": 120, "batch": 8, "pixels": 24})
    alone = here(tmp_path / "alone", checkpoint_seconds=20, workers=1)
    spread = here(tmp_path / "spread", scheduler=cluster.scheduler_address)
    question.run(Store(alone.runs), alone)

    def kill_one() -> None:
        while not list(spread.runs.glob("pretrain/*/log.jsonl")):
            time.sleep(0.05)
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    question.run(Store(spread.runs), spread)
    killer.join()
    pd.testing.assert_frame_equal(
        question.results(Store(spread.runs), spread), question.results(Store(alone.runs), alone)
    )


def test_no_scheduler_there_is_one_line(tmp_path, monkeypatch):
    machine = here(tmp_path, scheduler="tcp://127.0.0.1:9")
    monkeypatch.setattr("itl.runs.executors.PATIENCE", 1)
    question = small_study(**FOUR, seeds=[0])
    question.prepare(machine)
    specs = [run.spec for run in question.runs(machine) if isinstance(run.spec, Pretrain)]
    with pytest.raises(ItlError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
        execute(specs, Store(machine.runs), machine)
