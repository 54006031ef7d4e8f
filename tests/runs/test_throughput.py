"""What work costs on this machine is measured once, by one process, and kept."""

import json
import subprocess
import sys
from concurrent.futures import Future
from itertools import cycle

from itl.notes import log_lines
from itl.processes import process_pool
from itl.runs import throughput
from itl.specs import Recipe
from tests.worlds import FROZEN, RATE, here, share_server


def calibrate_and_listen(works, machine) -> tuple[throughput.Rates, list[str]]:
    messages: list[str] = []
    with log_lines(messages.append):
        return throughput.rates_of(works, machine, repeat_s=0.1), messages


def test_of_two_processes_at_once_one_measures_and_what_it_measured_is_kept(tmp_path, monkeypatch):
    machine = here(tmp_path)
    works = [("small", Recipe(batch=4, pixels=24, lr=lr)) for lr in (0.1, 0.2)]
    with process_pool(2, 1, share_server) as processes:
        both = [processes.submit(calibrate_and_listen, works, machine) for _ in range(2)]
        (rates, messages), (other, other_messages) = (one.result() for one in both)
    rate = rates[throughput.rate_key(*works[0], machine)]
    frozen = rates[throughput.frozen_rate_key(machine)]
    assert other == rates
    assert (messages + other_messages).count("measuring 2 kinds of work on this machine, once") == 1
    assert 0 < rate.infer_s_per_image < rate.train_s_per_image
    assert rate.memory > rate.weights > 0
    assert (rate.device, rate.features) == (0, 256)
    assert min(frozen.start, frozen.fit, frozen.compare) > 0
    monkeypatch.setattr(throughput, "process_pool", None)  # to measure again would fail
    assert throughput.stored_rates(works, machine) == rates
    assert throughput.stored_rates([("alexnet", Recipe()), *works], machine) == rates
    assert throughput.rates_of(works, machine) == rates
    kept = json.loads((tmp_path / "runs/rates.json").read_text())
    assert kept.keys() == rates.keys()


def test_a_net_that_takes_images_of_one_size_is_measured_at_any(tmp_path):
    recipe = Recipe(batch=2, pixels=256)
    rate = throughput.measure("timm:vit_tiny_patch16_224", recipe, here(tmp_path), repeat_s=0)
    assert rate.features == 192


def test_the_least_of_three_counts_however_long_each_takes(tmp_path, monkeypatch):
    """Others may compute meanwhile: after the warm-up, the second of these repetitions is the least."""
    clock, durations = [0.0], cycle([9.0, 4.0, 0.5, 2.0])

    def work(*_: object) -> None:
        clock[0] += next(durations)

    monkeypatch.setattr("time.thread_time", lambda: clock[0])
    monkeypatch.setattr("itl.evaluation.logistic_regression.choose_l2", work)
    monkeypatch.setattr("itl.evaluation.knn.nearest", work)
    rate = throughput.measure_frozen(here(tmp_path, device="cpu"), repeat_s=0)
    assert (rate.start, rate.fit) == (0.5, 0.0)
    assert rate.compare == 0.5 / (8 * 1000 * 1000 * 256)


class NoProcess:
    """Stands in for the process that measures: what works cost is made up."""

    def __init__(self, *_, device):
        self.future = Future()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, _, works, *settings) -> Future:
        self.future.set_result([RATE if work else FROZEN for work in works])
        return self.future


def test_kinds_of_work_are_counted_in_english(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(throughput, "process_pool", NoProcess)
    caplog.set_level("INFO")
    machine = here(tmp_path)
    throughput.rates_of([], machine)
    throughput.rates_of([("small", Recipe()), ("small", Recipe(pixels=32))], machine)
    assert caplog.messages == [
        "measuring one kind of work on this machine, once",
        "measuring 2 kinds of work on this machine, once",
    ]


def test_what_cannot_be_kept_is_not_measured_once(tmp_path, monkeypatch, caplog):
    """A plan for a home that does not exist makes no folder, so the next plan measures again."""
    monkeypatch.setattr(throughput, "process_pool", NoProcess)
    caplog.set_level("INFO")
    home = tmp_path / "absent"
    for _ in range(2):
        throughput.rates_of([], here(home))
    assert not home.exists()
    home.mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    throughput.rates_of([], here(home))
    measuring = f"measuring one kind of work on this machine; what it costs is not kept, since {home}"
    assert caplog.messages == [f"{measuring} does not exist"] * 2 + [f"{measuring} may only be read"]


UNGUARDED = """
import sys
from itl import Machine
from itl.runs.throughput import rates_of
from itl.specs import Recipe
rates_of([("small", Recipe(batch=4, pixels=24))], Machine(home=sys.argv[1], threads=1))
"""


def test_a_script_without_an_import_guard_that_measures_says_why(tmp_path):
    (tmp_path / "script.py").write_text(UNGUARDED)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 1
    assert 'put what it does under `if __name__ == "__main__":`' in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(
        "itl.ItlError: the process that measures ended: it was killed"
    )
