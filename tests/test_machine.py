"""Machines: the environment read, settings that win, and what cannot be."""

import os
from pathlib import Path

import pytest

from itl import ItlError, machine
from itl.machine import Machine, cpu_count, data_entry, free_memory, split_data


def test_machine_here_reads_the_environment_and_settings_win(monkeypatch, tmp_path):
    monkeypatch.setenv("ITL_DATA", "/data:scenes=/scenes")
    monkeypatch.setenv("ITL_HOME", str(tmp_path))
    monkeypatch.setenv("ITL_DEVICE", "cpu")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert Machine.from_environment().data == ("/data", "scenes=/scenes")
    assert Machine.from_environment().runs == tmp_path / "runs"
    assert Machine.from_environment(data=("/other",), workers=None).data == ("/other",)
    monkeypatch.chdir(tmp_path)
    assert Machine.from_environment(home=Path("out")).home == tmp_path / "out"
    cores = cpu_count()
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


@pytest.fixture
def host(monkeypatch, tmp_path):
    """A Linux host of 16 cores whose cgroup files a test writes."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
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


def test_a_machine_without_affinity_counts_its_cores(host, monkeypatch):
    host("")
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert cpu_count() == 10


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
    ],
)
def test_memory_is_that_of_the_container(host, own, files, free):
    host("")
    all_of_it = free_memory()
    host(own, **files)
    assert free_memory() == free if free is not None else free_memory() > all_of_it / 2


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ITL_WORKERS", "x"), ("ITL_WORKERS", "0"), ("ITL_DEVICE", "gpu"), ("WORLD_SIZE", "-1")],
)
def test_a_wrong_variable_is_named(monkeypatch, variable, value):
    monkeypatch.setenv("ITL_DEVICE", "cpu")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ItlError, match=f"^{variable}.*{value}"):
        Machine.from_environment()


def test_data_folders_may_have_any_name(tmp_path):
    odd = tmp_path / "a=b: c"
    odd.mkdir()
    entries = str(odd), f"scenes={odd}", "/data"
    assert split_data(os.pathsep.join(entries)) == entries
    assert [data_entry(entry) for entry in entries] == [("", str(odd)), ("scenes", str(odd)), ("", "/data")]
