"""The benchmark's table: what is printed is what is measured, and a peer that is not here is named."""

import json
import time

import pytest
import torch

from itl import ItlError
from itl.bench import table
from itl.bench import work as work_module
from itl.bench.work import SIDE, Limits, Work, measure, turn

LIMITS = Limits(copied=8e6, fp32=1e9, bf16=2e9)


def sleeping(seconds: float):
    return lambda: time.sleep(seconds)


def toy(folder, device) -> Work:
    """Ten naps, ours five times as short as the slower peer's."""
    assert device == "cpu"
    assert not list(folder.iterdir())

    def broken() -> None:
        raise RuntimeError("no such driver\nand a long story")

    return Work(
        "ten naps",
        "naps",
        10,
        sleeping(0.004),
        {"slow": sleeping(0.02), "quick": sleeping(0.01), "broken": broken},
        {"elsewhere": "No module named 'elsewhere'"},
        moved=8000,
        agree=lambda: "all awake",
    )


def diverging(folder, device) -> Work:
    raise ItlError("loss became nan at step 3")


def wrong(folder, device) -> Work:
    raise ZeroDivisionError("division by zero")


@pytest.fixture(autouse=True)
def rows(monkeypatch):
    monkeypatch.setattr(table, "measure", lambda device: LIMITS)
    for name, row in {"toy": toy, "nap": toy, "wrong": wrong}.items():
        monkeypatch.setitem(table.ROWS, name, row)


def test_the_table_says_what_it_measured(tmp_path, capsys):
    table.bench("toy", tmp_path / "table.json", "cpu")
    with pytest.raises(ItlError, match="is a folder; give --json a file, such as .*bench.json"):
        table.bench("toy", tmp_path, "cpu")
    written = json.loads((tmp_path / "table.json").read_text())
    out = capsys.readouterr().out
    (row,) = written["rows"]
    assert row["rates"].keys() == {"itl", "slow", "quick"}
    assert row["ratio"] == row["ratios"]["quick"] < row["ratios"]["slow"]
    assert row["limit"] == 10 / (8000 / 8e6)
    assert row["reached"] == row["rates"]["itl"] / row["limit"]
    absent = {"elsewhere": "No module named 'elsewhere'", "broken": "RuntimeError: no such driver"}
    assert row["absent"] == absent
    assert written["limits"] == {"copied": 8e6, "fp32": 1e9, "bf16": 2e9}
    for figure in (row["what"], row["agree"], *absent.values(), f"{row['ratio']:.2f}", "0.008 GB/s"):
        assert figure in out
    for rate in row["rates"].values():
        assert f"{rate:,.0f}" in out
    assert "\n".join(table.lines(row)) in out


def test_rows_that_fail_do_not_end_the_table(monkeypatch, capsys):
    monkeypatch.setattr(table, "ROWS", {"wrong": wrong, "diverging": diverging, "toy": toy})
    with pytest.raises(ItlError, match="^wrong, diverging of the table failed"):
        table.bench(None, None, "cpu")
    out = capsys.readouterr().out
    assert "wrong: FAILED, ZeroDivisionError: division by zero" in out
    assert "diverging: FAILED, ItlError: loss became nan at step 3" in out
    assert "toy: ten naps" in out


def test_a_row_that_does_not_exist_is_an_error():
    with pytest.raises(ItlError, match="did you mean 'batches-64'"):
        table.bench("batches64", None, "cpu")


def test_a_row_for_gpus_is_refused_on_the_cpu():
    with pytest.raises(ItlError, match="the fused crop is for GPUs, .*; use --device cuda"):
        table.bench("nap,crop", None, "cpu")


def test_several_rows_are_named_with_commas_and_come_in_that_order(tmp_path, capsys):
    table.bench("nap,toy", tmp_path / "table.json", "cpu")
    written = json.loads((tmp_path / "table.json").read_text())
    assert [row["name"] for row in written["rows"]] == ["nap", "toy"]


@pytest.mark.parametrize(("device", "used"), [("cuda:1", 1), ("cuda:1,0", 1), ("cuda", 0)])
def test_rows_are_measured_with_their_gpu_as_the_current_one(device, used, monkeypatch):
    """Else a CUDA graph records nothing: it is of the current device."""
    current = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    described = dict.fromkeys(("device", "threads", "torch", "commit"), "")
    monkeypatch.setattr(table, "provenance", lambda machine: described)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    gpu = torch.device("cuda", used)

    def limits(name: str) -> Limits:
        assert (current, torch.device(name)) == ([gpu], gpu)
        return LIMITS

    monkeypatch.setattr(table, "measure", limits)
    monkeypatch.setattr(table, "turn", lambda work, device: 1.0)
    monkeypatch.setitem(table.ROWS, "nap", lambda folder, device: toy(folder, "cpu"))
    table.bench("nap", None, device)
    assert current == [gpu]


def test_without_names_rows_that_measure_another_device_are_left_out():
    on_gpu, on_cpu = table.rows_for(None, "cuda:1"), table.rows_for(None, "cpu")
    assert set(table.ROWS) - set(on_gpu) == set(table.ON_CPU)
    assert set(table.ROWS) - set(on_cpu) == set(table.FOR_GPU)


def test_a_slow_peer_has_one_turn_and_the_row_says_so(monkeypatch):
    monkeypatch.setattr(table, "turn", lambda work, device: work())  # a go gives its seconds
    turns = {"slow": [], "quick": []}

    def peer(name: str, seconds: float):
        return lambda: turns[name].append(seconds) or seconds

    monkeypatch.setitem(table.SLOW_S, "cpu", 3.0)
    peers = {"slow": peer("slow", 20.0), "quick": peer("quick", 2.5)}
    work = Work("ten naps", "naps", 10, lambda: 0.5, peers)
    row = {"name": "toy"} | table.measured(work, "cpu", LIMITS)
    assert {name: len(gone) for name, gone in turns.items()} == {"slow": 1, "quick": 1 + table.ROUNDS}
    assert row["rates"] == {"itl": 20.0, "slow": 0.5, "quick": 4.0}
    assert (row["ratios"], row["ratio"], row["one_turn"]) == ({"slow": 40.0, "quick": 5.0}, 5.0, ["slow"])
    (line,) = [line for line in table.lines(row) if line.split()[0] == "slow"]
    assert line.endswith("one turn")


def test_the_limit_is_the_slower_of_memory_and_arithmetic():
    def work(**least) -> Work:
        return Work("", "", 10, str, {}, **least)

    assert LIMITS.rate(work()) is None
    assert LIMITS.rate(work(moved=8e6)) == 10
    assert LIMITS.rate(work(moved=8e6, operations=2e9)) == 5
    assert LIMITS.rate(work(moved=8e6, operations=2e9, precision="bf16")) == 10


@pytest.mark.parametrize(
    ("device", "takes", "calls"), [("cuda", 3, 1 + 5), ("cuda", 20, 1), ("cuda", 30, 1), ("cpu", 3, 1)]
)
def test_a_turn_on_a_gpu_queues_short_calls(monkeypatch, device, takes, calls):
    """Milliseconds, of which one more passes before each wait ends: the host is slow to begin."""
    now, done = [0], []
    monkeypatch.setattr(work_module, "TURN_S", 20)
    monkeypatch.setattr(work_module.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: now.append(now.pop() + 1))

    def call():
        now[0] += takes
        done.append(takes)

    seconds = turn(call, device)
    assert len(done) == calls
    assert seconds == pytest.approx(takes + (device == "cuda") / max(1, calls - 1))


def test_limits_are_measured(monkeypatch):
    monkeypatch.setitem(SIDE, "cpu", 256)  # a CPU without bfloat16 takes seconds for more
    limits = measure("cpu")
    assert limits.copied > 1e8
    assert limits.fp32 > 1e8
    assert limits.bf16 > 1e7
