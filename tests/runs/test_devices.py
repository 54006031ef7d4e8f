"""Runs on all GPUs of a host, with devices made up and times that are known; and ranks that each have one."""

import json
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from unittest.mock import Mock

import pytest

from itl import ItlError
from itl.machine import Machine
from itl.runs import executors, worker_processes
from itl.runs.store import Store
from itl.specs import Pretrain, Subset, Transfer, key

# No torch up here: worker processes of these tests import this module.

EIGHT = "cuda:0,1,2,3,4,5,6,7"


@pytest.fixture
def two_gpus(monkeypatch):
    """A host where torch sees two GPUs, and nothing is set by the environment."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    for name in ("ITL_DEVICE", "ITL_WORKERS", "CUDA_VISIBLE_DEVICES", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("device", "devices"),
    [
        ("cpu", ("cpu",)),
        ("cuda", ("cuda:0", "cuda:1")),
        ("cuda:1", ("cuda:1",)),
        ("cuda:1,0", ("cuda:1", "cuda:0")),
    ],
)
def test_devices_that_are_asked_for(two_gpus, monkeypatch, device, devices):
    machine = Machine.from_environment(device=device, workers=2)
    monkeypatch.setenv("ITL_DEVICE", device)
    assert Machine.from_environment(workers=2) == machine
    assert (machine.devices, machine.slots) == (devices, 2 * len(devices))
    assert machine.threads == max(1, len(os.sched_getaffinity(0)) // machine.slots)
    assert Machine.from_environment(device=machine.device).devices == devices, "notebooks are told so"


@pytest.mark.parametrize(
    "device",
    [
        "cuda:7",
        "cuda:0,2",
        "cuda:0,0",
        "cuda:x",
        "cuda:",
        "cuda:0,",
        "cuda:-1",
        "cpu:0",
        "gpu",
    ],
)
def test_devices_that_cannot_be_are_refused_with_those_that_are_here(two_gpus, monkeypatch, device):
    with pytest.raises(
        ItlError, match=f"device '{device}' .* cuda:0, cuda:1; use cpu, cuda for all"
    ) as error:
        Machine.from_environment(device=device)
    assert "\n" not in str(error.value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    with pytest.raises(ItlError, match="cuda:0, cuda:1 with CUDA_VISIBLE_DEVICES=3,5;"):
        Machine.from_environment(device=device)


def test_where_there_is_no_gpu_none_can_be_had(two_gpus, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    for device in ("cuda", "cuda:0"):
        with pytest.raises(ItlError, match=f"'{device}' was asked for; here are no GPUs; use cpu"):
            Machine.from_environment(device=device)


def net(number: int) -> Pretrain:
    return Pretrain(Subset("pack"), seed=number)


class Host:
    """Stands in for worker processes: a run takes the *hours* it is said to, and no time passes otherwise."""

    def __init__(self, hours: dict, killed: Counter | None = None, failing: tuple = ()):
        self.hours, self.killed, self.failing = hours, killed or Counter(), failing
        self.now, self.under_way, self.past = 0.0, {}, []

    def pool(self, workers: int, *_: object, device: str) -> "Host":
        """Take the place of process_pool."""
        return self

    def shutdown(self) -> None:
        """Nothing is left behind."""

    def submit(self, work: object, spec: object, store: Store, machine: Machine) -> Future:
        future = Future()
        self.under_way[future] = self.now + self.hours[spec], self.now, spec, machine.device
        return future

    def wait(self, running: object, **_: object) -> tuple[list[Future], list[Future]]:
        """Let time pass until the next run ends."""
        future = min(self.under_way, key=lambda future: self.under_way[future][0], default=None)
        if future is None:
            return [], []
        self.now, began, spec, where = self.under_way.pop(future)
        self.past.append((began, self.now, spec, where))
        if self.killed[spec] > 0:
            self.killed[spec] -= 1
            future.set_exception(BrokenProcessPool("killed"))
        elif spec in self.failing:
            future.set_exception(ItlError("it failed"))
        else:
            future.set_result({})
        return [future], []


@pytest.fixture
def do(monkeypatch, tmp_path):
    """Give a way to execute runs on a made-up host; it returns begins, ends, specs and devices."""

    def do(host: Host, specs: list, *, workers: int = 1, device: str = EIGHT) -> list[tuple]:
        monkeypatch.setattr(worker_processes, "process_pool", host.pool)
        monkeypatch.setattr(executors, "wait", host.wait)
        machine = Machine(home=tmp_path, device=device, workers=workers)
        minutes = {key(spec): hours * 60 for spec, hours in host.hours.items()}
        executors.execute(executors.longest_first(specs, minutes), Store(tmp_path), machine)
        return host.past

    return do


def most_at_once(past: list[tuple]) -> dict[str, int]:
    """How many runs each device had at most."""
    most = Counter()
    for began, _, _, where in past:
        now = [run for run in past if run[0] <= began < run[1] and run[3] == where]
        most[where] = max(most[where], len(now))
    return dict(most)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_all_devices_work_until_nearly_the_end(do, seed, workers):
    dice = random.Random(seed)
    hours = {net(number): dice.uniform(1, 8) for number in range(40)}
    hours |= {
        Transfer(trained, "knn", f"target {number}", "pack"): dice.uniform(0.1, 2)
        for trained in hours
        for number in range(4)
    }
    past = do(Host(hours), dice.sample(list(hours), len(hours)), workers=workers)
    ends = {spec: end for _, end, spec, _ in past}
    assert ends.keys() == hours.keys()
    assert len(past) == len(hours)
    assert all(began >= ends[spec.pretrain] for began, _, spec, _ in past if isinstance(spec, Transfer))
    assert most_at_once(past) == dict.fromkeys(Machine(device=EIGHT).devices, workers)
    chains = [hours[spec] + hours[spec.pretrain] for spec in hours if isinstance(spec, Transfer)]
    assert max(ends.values()) <= 1.1 * max(sum(hours.values()) / (8 * workers), max(chains))


def test_the_longest_comes_first(do):
    hours = {net(number): 1.0 for number in range(56)} | {net(56): 7.0}
    assert max(end for _, end, _, _ in do(Host(hours), list(hours))) == 8, "in turn it would be 14"


def test_what_waits_for_a_run_counts_and_what_is_unknown_comes_last():
    measured = [Transfer(net(0), "knn", name, "pack") for name in ("near", "far")]
    known = {
        key(net(0)): 1.0,
        key(measured[0]): 0.9,
        key(measured[1]): 0.2,
        key(net(1)): 1.5,
        key(net(2)): 0.5,
    }
    specs = [net(4), net(3), net(2), net(1), net(0), *measured]
    ordered = executors.longest_first(specs, known)
    assert ordered == [net(0), net(1), measured[0], net(2), measured[1], net(4), net(3)]
    assert executors.longest_first(specs, {}) == specs
    assert executors.with_needs([measured[1], net(0), *measured]) == [net(0), measured[1], measured[0]]


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_parts_hold_each_net_with_what_is_measured_on_it(parts):
    specs = [
        spec for number in range(5) for spec in (net(number), Transfer(net(number), "knn", "target", "pack"))
    ]
    parted = [executors.shard_of(specs, (part, parts)) for part in range(1, parts + 1)]
    assert sorted(map(key, sum(parted, []))) == sorted(map(key, specs))
    assert sorted(len(part) for part in parted) == sorted(
        2 * len(range(part, 5, parts)) for part in range(parts)
    )
    assert all(
        {spec.seed for spec in part if isinstance(spec, Pretrain)}
        == {spec.pretrain.seed for spec in part if isinstance(spec, Transfer)}
        for part in parted
    )
    again = executors.shard_of(specs[::-1], (1, parts))
    assert set(again) == set(parted[0]), "whatever the order"


def test_ranks_share_each_run(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("itl.runs.perform.perform_together", lambda *arguments: calls.append(arguments))
    store, machine = Store(tmp_path), Machine(home=tmp_path, ranks=2, threads=1)
    executors.execute([net(0)], store, machine)
    assert calls == [([net(0)], store, machine)]


def test_fewer_runs_than_devices_are_spread(do):
    hours = {net(number): 1.0 for number in range(4)}
    past = do(Host(hours), list(hours), workers=2)
    assert most_at_once(past) == {"cuda:0": 1, "cuda:1": 1, "cuda:2": 1, "cuda:3": 1}
    past = do(Host({net(0): 1.0, net(1): 1.0}), [net(0), net(1)], device="cuda:1")
    assert [where for *_, where in past] == ["cuda:1", "cuda:1"]


@pytest.mark.parametrize(("scheduler", "workers"), [("slurm", 8), (None, 2)])
def test_a_cluster_has_as_many_workers_whatever_the_gpus_of_this_host(
    tmp_path, monkeypatch, scheduler, workers
):
    machines = []

    @contextmanager
    def stop(machine: Machine) -> Iterator[None]:
        machines.append(machine)
        raise InterruptedError
        yield

    for kind in ("cluster", "local_workers"):
        monkeypatch.setattr(executors, kind, stop)
    machine = Machine(home=tmp_path, device="cuda:0,1,2,3", workers=16, scheduler=scheduler)
    with pytest.raises(InterruptedError):
        executors.execute([net(number) for number in range(8)], Store(tmp_path), machine)
    assert [machine.workers for machine in machines] == [workers]


def test_what_fails_stops_only_what_needs_it(do):
    needing = Transfer(net(0), "knn", "target", "pack")
    host = Host({net(0): 1.0, needing: 1.0, net(1): 2.0, net(2): 3.0}, failing=(net(0),))
    says = (
        rf"1 of the runs failed \(1 more not done, which need one of these\), first {key(net(0))}: it failed"
    )
    with pytest.raises(ItlError, match=says):
        do(host, list(host.hours), device="cuda:0,1")
    assert {spec for _, _, spec, _ in host.past} == {net(0), net(1), net(2)}


def test_a_killed_process_is_replaced_once_for_each_run(do, monkeypatch):
    monkeypatch.delenv("ITL_COMMAND", raising=False)  # as in a script
    host = Host({net(0): 1.0, net(1): 1.0}, killed=Counter({net(0): 1, net(1): 1}))
    assert len(do(host, [net(0), net(1)], device="cuda:0,1")) == 4
    host = Host({net(0): 1.0, net(1): 9.0}, killed=Counter({net(0): 2}))
    with pytest.raises(
        ItlError, match=f"the process of run {key(net(0))} died twice .* fewer --workers .*; in a script, put"
    ):
        do(host, [net(0), net(1)], device="cuda:0,1")


def test_a_run_whose_process_dies_twice_stops_only_what_needs_it(do, tmp_path):
    """As one that is too large for memory, and the longest, and so the first."""
    needing = Transfer(net(0), "knn", "target", "pack")
    hours = {net(0): 9.0, net(1): 8.0, needing: 1.0, net(2): 1.0}
    host = Host(hours, killed=Counter({net(0): 2, net(1): 2}))
    with pytest.raises(ItlError, match=f"^the process of run {key(net(0))} died twice"):
        do(host, list(hours), device="cuda:0")
    assert {spec for _, _, spec, _ in host.past} == {net(0)}, "no process has begun a run, so none may start"
    for number in range(2):
        (Store(tmp_path).folder(net(number)) / "claim").touch()
    host = Host(hours, killed=Counter({net(0): 2, net(1): 2}))
    with pytest.raises(ItlError, match=r"^2 of the runs failed \(1 more not done.* died twice"):
        do(host, list(hours), device="cuda:0")
    assert {spec for _, _, spec, _ in host.past} == {net(0), net(1), net(2)}


def killed_once(spec: Pretrain, store: Store, machine: Machine) -> dict:
    """Count to three, and on in the next process: that of run 1 is killed at two."""
    counted = store.folder(spec) / "counted"
    for number in range(1 + counted.read_bytes().count(b"\n") if counted.exists() else 1, 4):
        with counted.open("a") as file:
            file.write(f"{number} on {machine.device}\n")
        if (spec.seed, number) == (1, 2):
            os.kill(os.getpid(), signal.SIGKILL)
    store.finish(spec, {"metrics": {}})
    return {}


def test_a_worker_that_is_killed_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_processes, "perform_here", killed_once)
    store, specs = Store(tmp_path), [net(number) for number in range(6)]
    executors.execute(specs, store, Machine(home=tmp_path, device="cuda:0,1", workers=1, threads=1))
    counted = [(store.path(spec) / "counted").read_text().split() for spec in specs]
    assert [parts[::3] for parts in counted] == [["1", "2", "3"]] * 6
    assert {where for parts in counted for where in parts[2::3]} == {"cuda:0", "cuda:1"}


def killed_beside_another(spec: Pretrain, store: Store, machine: Machine) -> dict:
    """Note each beginning; run 1 is killed once run 0 is under way, which ends after run 1 began twice."""
    (store.folder(spec) / "claim").touch()
    with (store.folder(spec) / "begun").open("a") as file:
        file.write("x")
    other = store.path(net(1 - spec.seed)) / "begun"
    while not other.exists() or other.stat().st_size < (1 if spec.seed else 2):
        time.sleep(0.01)
    if spec.seed:
        os.kill(os.getpid(), signal.SIGKILL)
    store.finish(spec, {"metrics": {}})
    return {}


@pytest.mark.timeout(60)
def test_a_run_beside_one_whose_process_is_killed_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_processes, "perform_here", killed_beside_another)
    store, machine = Store(tmp_path), Machine(home=tmp_path, workers=2, threads=1)
    with pytest.raises(ItlError, match=f"the process of run {key(net(1))} died twice"):
        executors.execute([net(0), net(1)], store, machine)
    assert [(store.path(net(number)) / "begun").read_text() for number in (0, 1)] == ["x", "xx"]
    assert store.is_done(net(0))


def server_killed_beside_an_idle_process(spec: Pretrain, store: Store, machine: Machine) -> dict:
    """Run 0 ends once run 1 has begun; run 1 then kills the server that both are forks of, once."""
    folder = store.folder(spec)
    (folder / "claim").touch()
    with (folder / "begun").open("a") as file:
        file.write("x")
    if spec.seed:
        while not store.is_done(net(0)):
            time.sleep(0.01)
        if (folder / "begun").read_text() == "x":
            time.sleep(1)  # until the other process waits for a run
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(600)
    else:
        while not (store.path(net(1)) / "begun").exists():
            time.sleep(0.01)
    store.finish(spec, {"metrics": {}})
    return {}


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forks of a server on Linux alone")
@pytest.mark.timeout(60)
def test_one_kill_of_what_starts_processes_costs_a_run_one_process(tmp_path, monkeypatch):
    """Of all pools at once, also of those that wait: a run that one of them took died for the same kill."""
    monkeypatch.setattr(worker_processes, "perform_here", server_killed_beside_an_idle_process)
    store = Store(tmp_path)
    executors.execute([net(0), net(1)], store, Machine(home=tmp_path, workers=2, threads=1))
    assert [(store.path(net(number)) / "begun").read_text() for number in (0, 1)] == ["x", "xx"]


@pytest.mark.parametrize(("allowed", "workers", "then"), [(600, 10, 600), (600, 20, 672)])
def test_many_processes_may_have_their_files_open(tmp_path, allowed, workers, then):
    """A host of 128 cores would exceed the usual limit of 1,024."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, before[1]))
    try:
        with worker_processes.local_workers(Machine(home=tmp_path, workers=workers, threads=1)):
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (then, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def noted(spec: Pretrain, store: Store, machine: Machine) -> dict:
    """Do nothing for a while, in a worker process, and note where and when."""
    began = time.monotonic()
    time.sleep(0.1)
    result = {"device": machine.device, "process": os.getpid(), "began": began, "ended": time.monotonic()}
    store.finish(spec, result | {"metrics": {}})
    return result


def test_processes_stay_on_their_device(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_processes, "perform_here", noted)
    machine = Machine(home=tmp_path, device="cuda:0,2", workers=2, threads=1)
    executors.execute([net(number) for number in range(24)], Store(tmp_path), machine)
    results = [json.loads(path.read_text()) for path in tmp_path.glob("pretrain/*/result.json")]
    assert len(results) == 24
    homes = {(result["process"], result["device"]) for result in results}
    assert len({process for process, _ in homes}) == len(homes), "a process went to another device"
    assert {where for _, where in homes} == {"cuda:0", "cuda:2"}
    for one, *others in combinations(results, 3):
        began, ended = (
            choose(result[when] for result in (one, *others))
            for choose, when in ((max, "began"), (min, "ended"))
        )
        assert began >= ended or len({result["device"] for result in (one, *others)}) > 1, (
            "three on one device"
        )


def test_a_run_begins_on_its_device(monkeypatch):
    order = []
    monkeypatch.setattr("torch.cuda.set_device", lambda where: order.append(str(where)))
    monkeypatch.setattr("itl.runs.perform.perform", lambda *given: order.append(given[2].device))
    worker_processes.perform_here(net(0), Store(Path()), Machine(device="cuda:2", threads=1))
    assert order == ["cuda:2", "cuda:2"]


@pytest.mark.parametrize(
    ("named", "rank", "own"),
    [
        ("cuda", 0, "cuda:0"),
        ("cuda", 1, "cuda:1"),
        ("cuda:1,0", 1, "cuda:0"),
        ("cpu", 1, "cpu"),
    ],
)
def test_each_rank_has_the_device_of_its_local_rank(two_gpus, monkeypatch, named, rank, own):
    for name, value in {"WORLD_SIZE": 4, "RANK": 2 + rank, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    from itl.training.batches import device
    from itl.training.loop import join_ranks

    machine = Machine.from_environment(device=named)
    assert (machine.device, machine.rank, machine.ranks) == (own, 2 + rank, 4)
    assert machine.threads == max(1, len(os.sched_getaffinity(0)) // 2)
    order = []
    monkeypatch.setattr("torch.cuda.set_device", lambda where: order.append(f"set {where}"))
    monkeypatch.setattr(
        "torch.distributed.init_process_group",
        lambda backend, timeout, device_id=None: order.append(f"{backend} on {device_id}"),
    )
    join_ranks(machine)
    assert order == (["gloo on None"] if named == "cpu" else [f"set {own}", f"cpu:gloo,cuda:nccl on {own}"])
    assert str(device(machine)) == own
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    join_ranks(machine)
    assert len([step for step in order if "gloo" in step]) == 1, "one group for all runs of a process"


def test_more_ranks_than_gpus_are_refused(two_gpus, monkeypatch):
    for name, value in {"WORLD_SIZE": 4, "RANK": 2, "LOCAL_RANK": 2}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(ItlError, match="at least 3 processes .* cuda:0,1; .* use --nproc-per-node 2"):
        Machine.from_environment(device="cuda")


@pytest.mark.parametrize("error", [EOFError, ConnectionResetError, BrokenProcessPool])
def test_where_a_process_cannot_start_another_pool_starts_it(tmp_path, monkeypatch, error):
    """As where the server that processes start from is killed meanwhile."""
    broken, whole = Mock(), Mock()
    broken.submit.side_effect = error("unexpected EOF")
    pools = iter([broken, whole])
    monkeypatch.setattr(worker_processes, "process_pool", lambda *_, **__: next(pools))
    with worker_processes.local_workers(Machine(home=tmp_path, workers=1, threads=1)) as workers:
        future = workers.submit(Pretrain(Subset("p")), Store(tmp_path))
    assert future is whole.submit.return_value
    broken.shutdown.assert_called_once_with()


def test_where_no_process_can_be_started_it_is_said(tmp_path, monkeypatch):
    broken = Mock()
    broken.submit.side_effect = BrokenProcessPool("what starts processes has ended")
    monkeypatch.setattr(worker_processes, "process_pool", lambda *_, **__: broken)
    with (
        worker_processes.local_workers(Machine(home=tmp_path, workers=1, threads=1)) as workers,
        pytest.raises(ItlError, match="no process can be started for runs: what starts them died twice"),
    ):
        workers.submit(Pretrain(Subset("p")), Store(tmp_path))
