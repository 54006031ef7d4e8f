"""Machines: the environment read, settings that win, and what cannot be."""

import math
import os
import signal
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from itl import ItlError, machine
from itl.iteration import map_in_order
from itl.machine import (
    Machine,
    cpu_count,
    data_entry,
    describe_unused_data,
    free_disk,
    free_memory,
    project_folder,
    split_data,
)
from itl.processes import Terminated, stopping_on_signals
from itl.words import about, duration, readable


def test_a_closed_terminal_stops_work_once_and_nothing_under_nohup():
    ours = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup themselves

    def close_terminal():
        with stopping_on_signals():
            try:
                os.kill(os.getpid(), signal.SIGHUP)
            finally:
                os.kill(os.getpid(), signal.SIGHUP)  # as a shell passes it on

    with pytest.raises(Terminated):
        close_terminal()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stopping_on_signals():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.signal(signal.SIGHUP, ours) == signal.SIG_IGN


def test_machine_here_reads_the_environment_and_settings_win(monkeypatch, tmp_path):
    monkeypatch.setenv("ITL_DATA", "/data:scenes=/scenes")
    monkeypatch.setenv("ITL_HOME", str(tmp_path))
    monkeypatch.setenv("ITL_DEVICE", "cpu")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert Machine.from_environment().data == ("/data", "scenes=/scenes")
    assert Machine.from_environment().runs == tmp_path / "runs"
    assert Machine.from_environment(data=("/other",), workers=None).data == ("/other",)
    monkeypatch.chdir(tmp_path)
    for home in (Path("out"), "out"):
        assert Machine.from_environment(home=home).home == tmp_path / "out"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Machine.from_environment(home=Path("~/out")).home == tmp_path / "out", "no shell expands --home=~"
    (tmp_path / "file").touch()
    for home in ("file", "file/home"):
        with pytest.raises(ItlError, match="cannot be a folder: .*/file is a file; give another --home"):
            Machine.from_environment(home=Path(home))
    cores = cpu_count()
    assert Machine.from_environment(workers=1).threads == cores
    assert Machine.from_environment(workers=cores).threads == 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"workers": 0}, "whole number from 1; got 0"),
        ({"workers": -1}, "whole number from 1; got -1"),
        ({"workers": "2"}, "workers is a whole number from 1; got '2'"),
        ({"threads": 0}, "threads is a whole number from 1; got 0"),
        ({"shard": (1,)}, r"a shard is a part from 1 and of how many, as \(1, 4\); got \(1,\)"),
        ({"shard": "1/2"}, r"a shard is a part from 1 and of how many, as \(1, 4\); got '1/2'"),
        ({"shard": (3, 2)}, r"a shard is a part from 1 and of how many, .* got \(3, 2\)"),
        ({"data": "/data"}, r"got '/data'; give \['/data'\]"),
        ({"device": "gpu"}, "device 'gpu' was asked for; here are "),
        ({"device": 0}, "device '0' was asked for; here are "),
        ({"device": "cuda:99"}, "use cpu"),
    ],
)
def test_machines_that_cannot_be(settings, says):
    with pytest.raises(ItlError, match=says):
        Machine.from_environment(**settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"device": "gpu"}, "device is cpu, a GPU such as cuda:0, or several as cuda:0,2; got 'gpu'"),
        ({"device": 3}, "device is cpu, a GPU such as cuda:0, or several as cuda:0,2; got 3"),
        ({"device": "cuda:"}, "got 'cuda:'"),
        ({"compile": "no"}, "compile is true or false; got 'no'"),
        ({"device": "cuda:0,"}, "got 'cuda:0,'"),
        ({"checkpoint_seconds": math.nan}, "checkpoint_seconds is a number from 0; got nan"),
        ({"checkpoint_seconds": -1}, "got -1"),
        ({"checkpoint_seconds": None}, "checkpoint_seconds is a number from 0; got None"),
        ({"workers": True}, "workers is a whole number from 1; got True"),
        ({"threads": 1.0}, "threads is a whole number from 1; got 1.0"),
        ({"data": Path("/data")}, r"got '/data'; give \['/data'\]"),
    ],
)
def test_machines_made_in_python_that_cannot_be(settings, says):
    with pytest.raises(ItlError, match=says):
        Machine(**settings)


def test_a_machine_takes_what_notebooks_have(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    made = Machine(home="~/out", data=[Path("/data"), "photos=/p"], workers=np.int64(2))
    assert made == Machine(home=Path("/home/me/out"), data=("/data", "photos=/p"), workers=2)
    assert Machine(data={"photos": Path("/p")}).data == ("photos=/p",)
    assert Machine(data=(str(number) for number in range(2))).data == ("0", "1")
    assert type(made.workers) is int


@pytest.mark.parametrize("name", ["", "runs", "packs"])
def test_a_link_to_a_disk_that_is_not_mounted_is_named(tmp_path, name):
    home = tmp_path / "home"
    if name:
        home.mkdir()
    disk, link = tmp_path / "disk", home / name
    link.symlink_to(disk)
    with pytest.raises(ItlError, match=f"{link} is a link to {disk}, which does not exist; mount that disk"):
        Machine.from_environment(home=home)
    disk.mkdir()
    assert Machine.from_environment(home=home).home == home


@pytest.fixture
def host(monkeypatch, tmp_path):
    """A Linux host of 16 cores whose cgroup files a test writes."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0: set(range(16))}[process])
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "own")
    for name in ("SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS", "SLURM_MEM_PER_NODE", "ITL_WORKERS"):
        monkeypatch.delenv(name, raising=False)

    def write(own: str, **files: str) -> None:
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/\n", {}, 16),
        ("0::/\n", {"cpu_DOT_max": "max 100000"}, 16),
        ("0::/\n", {"cpu_DOT_max": "250000 100000"}, 2),
        ("0::/\n", {"cpu_DOT_max": "50000 100000"}, 1),
        ("0::/job/step\n", {"job__cpu_DOT_max": "400000 100000", "job__step__cpu_DOT_max": "max 100000"}, 4),
        ("0::/host/path\n", {"cpu_DOT_max": "300000 100000"}, 3),  # inside a container
        ("4:cpu,cpuacct:/\n", {"cpu__cpu.cfs_quota_us": "-1", "cpu__cpu.cfs_period_us": "100000"}, 16),
        ("4:cpu,cpuacct:/\n", {"cpu__cpu.cfs_quota_us": "800000", "cpu__cpu.cfs_period_us": "100000"}, 8),
    ],
)
def test_cores_are_those_of_the_container(host, own, files, cores):
    host(own, **files)
    assert cpu_count() == cores


def test_cores_and_threads_are_those_of_slurm_and_openmp(host, monkeypatch):
    host("")
    monkeypatch.setenv("ITL_DEVICE", "cpu")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "6")
    assert cpu_count() == 6
    assert Machine.from_environment(workers=1).threads == 6
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    assert Machine.from_environment(workers=1).threads == 2
    assert Machine.from_environment().workers == 6
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "many")
    with pytest.raises(ItlError, match="SLURM_CPUS_PER_TASK is 'many'; give a whole number from 1"):
        cpu_count()


@pytest.mark.parametrize(("count", "cores"), [(10, 10), (None, 1)])
def test_a_machine_without_affinity_counts_its_cores(host, monkeypatch, count, cores):
    host("")
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert cpu_count() == cores


@pytest.mark.parametrize(
    ("own", "files", "free"),
    [
        (
            "0::/a\n",
            {"a__memory_DOT_max": "max", "memory_DOT_max": "900", "memory_DOT_stat": "anon 200"},
            700,
        ),
        ("9:memory:/\n", {"memory__memory_DOT_limit_in_bytes": f"{2**63 - 4096}"}, None),
        (
            "9:memory:/\n",
            {"memory__memory_DOT_limit_in_bytes": "500", "memory__memory_DOT_stat": "cache 9\ntotal_rss 100"},
            400,
        ),
        (
            "9:memory:/\n",
            {"memory__memory_DOT_limit_in_bytes": "500", "memory__memory_DOT_stat": "rss 70"},
            430,
        ),
        (
            "9:memory:/\n",
            {"memory__memory_DOT_limit_in_bytes": "500", "memory__memory_DOT_stat": "cache 9"},
            500,
        ),
        ("0::/\n", {"memory_DOT_max": "100", "memory_DOT_stat": "anon 200"}, 0),
    ],
)
def test_memory_is_that_of_the_container(host, own, files, free):
    host("")
    all_of_it = free_memory()
    host(own, **files)
    assert free_memory() == free if free is not None else free_memory() > all_of_it / 2


def test_memory_is_that_of_a_process(host, monkeypatch):
    host("")
    assert free_memory() > 7 * 2**20
    monkeypatch.setattr("resource.getrlimit", lambda kind: (7 * 2**20, 2**40))
    assert free_memory() == 7 * 2**20


def test_a_home_whose_name_is_not_in_utf_8_is_refused():
    with pytest.raises(ItlError, match=r"the name of home '/x/caf\\udce9' is not in UTF-8"):
        Machine(home=Path("/x/caf\udce9"))


def test_memory_is_that_of_the_job(host, monkeypatch):
    host("")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "7")
    assert free_memory() == 7 * 2**20
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")  # as --mem=0 sets it: all memory of the node
    assert free_memory() > 7 * 2**20
    monkeypatch.delenv("SLURM_MEM_PER_NODE")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "5")
    assert free_memory() == 10 * 2**20


@pytest.mark.parametrize("name", ["ITL_DEVICE", "ITL_WORKERS", "ITL_COMPILE", "ITL_DATA", "ITL_HOME"])
def test_a_variable_without_a_value_is_none(monkeypatch, name):
    monkeypatch.delenv(name, raising=False)
    unset = Machine.from_environment()
    monkeypatch.setenv(name, "")
    assert Machine.from_environment() == unset


def test_a_process_alone_does_every_run_itself(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "ITL_WORKERS", "ITL_COMPILE"):
        monkeypatch.delenv(name, raising=False)
    machine = Machine.from_environment(device="cpu")
    assert (machine.rank, machine.ranks, machine.shard, machine.compile) == (0, 1, (1, 1), False)
    monkeypatch.setenv("RANK", "3")  # of no torchrun: there is one process
    assert Machine.from_environment(device="cpu") == machine
    assert Machine(threads=1).slots == 1
    assert Machine(device="cuda:0,1", workers=3).slots == 6
    assert Machine(device="cuda:0,1", workers=3, scheduler="slurm").slots == 3


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ITL_WORKERS", "x"), ("ITL_WORKERS", "0"), ("ITL_DEVICE", "gpu"), ("WORLD_SIZE", "-1")]
    + [("RANK", "x"), ("RANK", "-1"), ("LOCAL_RANK", "x")],
)
def test_a_wrong_variable_is_named(monkeypatch, variable, value):
    monkeypatch.setenv("ITL_DEVICE", "cpu")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ItlError, match=f"^{variable}.*{value}"):
        Machine.from_environment()


@pytest.mark.parametrize("given", [{"scheduler": "slurm"}, {}])
def test_a_scheduler_is_refused_under_torchrun(monkeypatch, given):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert Machine.from_environment(device="cpu").ranks == 2
    if not given:
        monkeypatch.setenv("ITL_SCHEDULER", "slurm")
    says = "^torchrun starts 2 processes .* slurm do alone; leave out torchrun, or --scheduler and ITL_SCHED"
    with pytest.raises(ItlError, match=says):
        Machine.from_environment(device="cpu", **given)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert Machine.from_environment(device="cpu", **given).scheduler == "slurm"


@pytest.mark.parametrize(
    ("variable", "near"), [("ITL_WORKER", "ITL_WORKERS"), ("itl_data", "ITL_DATA"), ("ITL_TEST", None)]
)
def test_a_misspelt_variable_is_named_with_the_one_that_is_meant(monkeypatch, recwarn, variable, near):
    monkeypatch.setenv("ITL_DEVICE", "cpu")
    monkeypatch.setenv(variable, "3")
    Machine.from_environment()
    said = [str(warning.message) for warning in recwarn if variable in str(warning.message)]
    assert said == ([f"the environment's {variable} is not used; did you mean {near}?"] if near else [])


@pytest.mark.parametrize(
    ("drivers", "gpus", "device"),
    [((), 2, "cpu"), (("nvidiactl",), 2, "cuda:0,1"), (("dxg",), 1, "cuda:0"), (("dxg",), 0, "cpu")],
)
def test_a_gpu_is_the_default_where_it_has_a_driver(monkeypatch, tmp_path, drivers, gpus, device):
    import torch

    monkeypatch.delenv("ITL_DEVICE", raising=False)
    monkeypatch.setattr(machine, "GPU_DRIVERS", [tmp_path / Path(path).name for path in machine.GPU_DRIVERS])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    for name in drivers:
        (tmp_path / name).touch()
    assert Machine.from_environment().device == device


def test_a_cluster_s_worker_has_a_device_of_its_own_and_compiles_as_it_is_told(monkeypatch):
    monkeypatch.setenv("ITL_COMMAND", "itl run x")
    told = Machine(home=Path("/runs"), device="cuda:7", compile=True, checkpoint_seconds=0.5)
    monkeypatch.delenv("ITL_COMMAND")
    for name, value in {"ITL_DEVICE": "cpu", "ITL_WORKERS": "3"}.items():
        monkeypatch.setenv(name, value)
    assert told.for_worker() == Machine.from_environment(
        home=Path("/runs"), data=(), device="cpu", compile=True, checkpoint_seconds=0.5, command="itl run x"
    )
    monkeypatch.setenv("ITL_COMPILE", "1")
    assert Machine().for_worker().compile, "as the worker's own environment says"
    monkeypatch.setenv("ITL_COMPILE", "0")
    assert not Machine().for_worker().compile
    monkeypatch.setenv("ITL_COMPILE", "false")
    with pytest.raises(ItlError, match="^ITL_COMPILE is 'false'; give 1 or 0, or unset it$"):
        Machine.from_environment()


def test_data_folders_may_have_any_name(tmp_path):
    odd = tmp_path / "a=b: c"
    odd.mkdir()
    entries = str(odd), f"scenes={odd}", "/data"
    assert split_data(os.pathsep.join(entries)) == entries
    assert [data_entry(entry) for entry in entries] == [("", str(odd)), ("scenes", str(odd)), ("", "/data")]


@pytest.mark.parametrize(
    ("entries", "exist"),
    [
        (("a:b", "c"), ("a:b",)),
        (("a", "b:c:d"), ("b:c:d",)),
        (("a:b", "c:d"), ("a:b", "c:d")),
        (("a", "b", "c"), ()),
    ],
)
def test_data_folders_are_split_at_the_longest_that_exist(tmp_path, entries, exist):
    for name in exist:
        (tmp_path / name).mkdir()
    paths = tuple(str(tmp_path / name) for name in entries)
    assert split_data(os.pathsep.join(paths)) == paths
    assert split_data("") == ()


def test_a_project_has_presets_and_notebooks(tmp_path, monkeypatch):
    inside = tmp_path / "project/notebooks/deeper"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert project_folder() == inside, "notebooks alone are no project"
    (tmp_path / "project/params").mkdir()
    assert project_folder() == tmp_path / "project"


def test_the_disk_is_that_of_the_nearest_folder(tmp_path):
    assert free_disk(tmp_path / "to/come") == pytest.approx(free_disk(tmp_path), rel=0.1)


MEBIBYTE, GIBIBYTE = 2**20, 2**30


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 MiB"),
        (MEBIBYTE, "1 MiB"),
        (102 * MEBIBYTE, "102 MiB"),
        (103 * MEBIBYTE, "0.1 GiB"),
        (GIBIBYTE, "1.0 GiB"),
        (5 * GIBIBYTE // 2, "2.5 GiB"),
    ],
)
def test_bytes_for_people(count, text):
    assert readable(count) == text


@pytest.mark.parametrize(
    ("minutes", "text"),
    [
        (0, "a few seconds"),
        (9.4 / 60, "a few seconds"),
        (9.6 / 60, "10 seconds"),
        (0.99, "59 seconds"),
        (1, "1.0 minutes"),
        (119.9, "119.9 minutes"),
        (120, "2.0 hours"),
        (300, "5.0 hours"),
        (47 * 60 + 30, "47.5 hours"),
        (48 * 60, "2.0 days"),
        (10_000, "6.9 days"),
        (144_000, "100.0 days"),
    ],
)
def test_times_for_people(minutes, text):
    assert duration(minutes) == text
    assert about(minutes) == ("a few seconds" if minutes < 9.5 / 60 else f"about {text}")


class Inline:
    """Stands in for a pool: computes when asked to, and lists what was asked for."""

    def __init__(self):
        self.begun = []

    def submit(self, work, part):
        self.begun.append(part)
        future = Future()
        future.set_result(work(part))
        return future


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_a_pool_computes_ahead_and_in_order(ahead):
    pool, results = Inline(), []
    for result in map_in_order(pool, lambda part: part * part, range(6), ahead):
        results.append(result)
        assert len(pool.begun) == min(6, len(results) + ahead)
    assert results == [0, 1, 4, 9, 16, 25]
    assert next(map_in_order(pool := Inline(), str, range(6))) == "0"
    assert pool.begun == [0, 1], "one ahead by default"


def test_options_lead_to_the_same_files_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    machine = Machine.from_environment(data=("../photos", "scenes=here"), home="out")
    data = ["--data", f"{tmp_path}/../photos", "--data", f"scenes={tmp_path}/here"]
    assert machine.options == [*data, "--home", f"{tmp_path}/out"]


def test_data_on_the_command_line_stand_instead_of_those_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ITL_DATA", f"{tmp_path}:scenes={tmp_path}")
    assert describe_unused_data(Machine.from_environment().data) == ""
    machine = Machine.from_environment(data=(str(tmp_path), "photos=/my photos"))
    unused = describe_unused_data(machine.data)
    assert unused.startswith("; --data stands instead of ITL_DATA;")
    assert unused.endswith(f" add --data scenes={tmp_path}")


@pytest.mark.parametrize("entry", ["photos=", "", "photos= "])
def test_data_without_a_path_are_refused(monkeypatch, entry):
    with pytest.raises(ItlError, match=f"--data has '{entry}', with no path; give a folder, or NAME=PATH"):
        Machine.from_environment(data=(entry,))
    if entry:
        monkeypatch.setenv("ITL_DATA", entry)
        with pytest.raises(ItlError, match=f"ITL_DATA has '{entry}', with no path"):
            Machine.from_environment()


def test_memory_is_that_of_this_machine():
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < free_memory() <= whole
