"""Every GPU of a host gets its runs, and the ranks of a torchrun have one each; with one GPU or several."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from itl.machine import Machine
from itl.runs import executors, worker_processes
from itl.runs.store import Store
from itl.specs import Pretrain, Subset
from tests.gpu import ranks  # imported without a GPU too: a name it uses cannot go unnoticed

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")

CHECKOUT = Path(__file__).parents[2]


def uploaded(spec: Pretrain, store: Store, machine: Machine) -> dict:
    """Put something on the current device, as a run of *machine* finds it."""
    from itl.training.batches import use_device

    use_device(machine)
    kept = torch.ones(1 << 20, device="cuda")
    result = {"device": machine.device, "found": str(kept.device), "process": os.getpid()}
    store.finish(spec, result | {"metrics": {}})
    return result


def test_runs_go_to_every_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_processes, "perform_here", uploaded)
    machine = Machine.from_environment(home=tmp_path, device="cuda", workers=1)
    executors.execute(
        [Pretrain(Subset("p"), seed=seed) for seed in range(3 * machine.slots)], Store(tmp_path), machine
    )
    results = [json.loads(path.read_text()) for path in tmp_path.glob("pretrain/*/result.json")]
    assert all(result["found"] == result["device"] for result in results)
    assert {result["device"] for result in results} == set(machine.devices)
    assert len({result["process"] for result in results}) == machine.slots


def test_each_rank_has_a_gpu_of_its_own(tmp_path):
    count = str(min(2, torch.cuda.device_count()))
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        count,
        ranks.__file__,
        "cuda",
    ]
    paths = os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
