"""What is shown while runs are under way."""

import errno
import os
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from itl.machine import Machine
from itl.runs.perform import perform
from itl.runs.progress import Progress, last_epoch, last_row, log_rows, worse_than_guessing
from itl.runs.store import Store
from itl.specs import Pretrain, Recipe, Subset, Transfer, key

ROW = '{"epoch": %d, "step": 7, "loss": 0.5}'


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (None, ""),
        ("", ""),
        (ROW % 1, ""),  # its end is not written yet
        (ROW % 1 + "\n", "a1b2c epoch 1 loss 0.50"),
        (ROW % 1 + "\n" + ROW % 2 + "\n", "a1b2c epoch 2 loss 0.50"),
        ('{"epoch": 3, "step": 7, "loss": 0.5, "device": "cpu"}\n', "a1b2c epoch 3 loss 0.50"),
        ('{"epoch": 3, "step": 7, "loss": 0.5, "device": "cuda:1"}\n', "a1b2c cuda:1 epoch 3 loss 0.50"),
        (ROW % 1 + "\n" + '{"epo', "a1b2c epoch 1 loss 0.50"),
        (ROW % 1 + "\n" + '{"epo\n', ""),  # cut by a power cut
    ],
)
def test_the_last_epoch_is_the_last_whole_line(tmp_path, log, says):
    folder = tmp_path / "a1b2c3d4e5f6"
    folder.mkdir()
    if log is not None:
        (folder / "log.jsonl").write_text(log)
    assert last_epoch(folder) == says


@pytest.mark.parametrize(
    ("log", "classes", "says"),
    [
        (None, 4, ""),
        (ROW % 1 + "\n", 4, ""),
        ('{"epoch": 1, "step": 7, "loss": 1.5}\n', 4, ""),  # guessing has 1.39
        (
            '{"epoch": 1, "step": 7, "loss": 1.6}\n',
            4,
            "a loss of 1.6 in its last epoch, and guessing among 4 classes has 1.39",
        ),
        ('{"epoch": 1, "step": 7, "loss": 9e18}\n' + ROW % 2 + "\n", 4, ""),  # it has recovered
        ('{"epoch": 1, "step": 7, "loss": 1e-9}\n', 1, ""),
    ],
)
def test_a_training_that_ends_worse_than_guessing(tmp_path, log, classes, says):
    if log is not None:
        (tmp_path / "log.jsonl").write_text(log)
    assert worse_than_guessing(tmp_path, classes) == says


class Clock:
    """A clock that stands still until it is moved; nothing began at its 0."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self) -> float:
        return 5000.0 + self.seconds


def test_finished_runs_are_counted_once(tmp_path):
    store, specs = Store(tmp_path), [Subset("a"), Subset("b")]
    store.finish(specs[0], {"metrics": {}})
    with Progress(specs, store) as progress:
        assert str(progress).startswith("1 of 2 runs done; a few seconds left")
        store.finish(specs[1], {"metrics": {}})
        progress.update()
        progress.update()
        assert (str(progress), progress.done, progress.minutes_left) == ("2 of 2 runs done", 1, 0)


def test_the_bar_says_that_it_counts_work_and_its_text_runs(tmp_path, capsys):
    store, specs = Store(tmp_path), [Subset("a"), Subset("b")]
    with Progress(specs, store, {key(specs[0]): 9.0, key(specs[1]): 1.0}):
        store.finish(specs[0], {"metrics": {}})
    last = capsys.readouterr().err.rpartition("\r")[2]
    assert last.startswith(" 90% of the work |")
    assert "| 1 of 2 runs done" in last
    with Progress([*specs, Subset("c")], store):
        pass
    assert capsys.readouterr().err.rpartition("\r")[2].startswith("  0% of what was left |")


def test_a_run_of_unknown_length_hardly_counts_beside_one_that_is_known(tmp_path):
    store, specs = Store(tmp_path), [Subset("a"), Subset("b")]
    with Progress(specs, store, {key(specs[0]): 2.0}) as progress:
        store.finish(specs[0], {"metrics": {}})
        progress.update()
        assert progress.done == pytest.approx(2 / 2.001)


def under_way(store: Store, spec: object, log: str = "") -> None:
    store.folder(spec)
    (store.path(spec) / "claim.holder").write_text("process 7")
    (store.path(spec) / "log.jsonl").write_text(log)


@pytest.mark.parametrize(("count", "more"), [(4, ""), (5, "; 1 more"), (6, "; 2 more")])
def test_four_runs_under_way_are_shown(tmp_path, count, more):
    store, specs = Store(tmp_path), [Pretrain(Subset(name)) for name in "abcdef"]
    with Progress(specs, store, clock=Clock()) as progress:
        for spec in specs[:count]:
            under_way(store, spec, ROW % 1 + "\n")
        progress.update()
        shown = "; ".join(f"{key(spec)[:5]} epoch 1 loss 0.50" for spec in specs[:4]) + more
        assert progress.bar.desc.endswith(f" left; {shown}")


def test_a_training_of_so_many_epochs_counts_by_these(tmp_path):
    store, clock, net = Store(tmp_path), Clock(), Pretrain(Subset("a"), recipe=Recipe(epochs=4))
    with Progress([net], store, clock=clock) as progress:
        under_way(store, net, ROW % 1 + "\n")
        progress.update()
        assert progress.done == 0.25


def test_nothing_is_shown_where_nothing_is_left_and_no_table_outside_of_notebooks(tmp_path, capsys):
    store, spec = Store(tmp_path), Subset("a")
    with Progress([spec], store, table=lambda: "a table"):
        store.finish(spec, {"metrics": {}})
    assert "a table" not in "".join(capsys.readouterr())
    with Progress([spec], store):
        pass
    assert capsys.readouterr() == ("", "")


def test_in_a_notebook_a_table_stands_and_changes(tmp_path, monkeypatch, capsys):
    shown = []
    handle = SimpleNamespace(update=shown.append)
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1))
    display = SimpleNamespace(display=lambda table, display_id: shown.append(table) or handle)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    store, specs = Store(tmp_path), [Subset("a"), Subset("b")]
    with Progress(specs, store, table=lambda: len(list(tmp_path.glob("*/*/result.json")))) as progress:
        progress.update()
        store.finish(specs[0], {"metrics": {}})
        progress.update()
        progress.update()
    assert shown == [0, 1]
    assert capsys.readouterr() == ("", ""), "a bar beside the table would be a second one"


def test_progress_is_counted_in_work_and_corrected_by_what_runs_took(tmp_path):
    store, clock = Store(tmp_path), Clock()
    long, *short = specs = [Subset(name) for name in "abcde"]
    minutes = {key(long): 6.0} | {key(spec): 1.0 for spec in short}
    with Progress(specs, store, minutes, slots=2, clock=clock) as progress:
        assert (progress.done, progress.minutes_left) == (0, 6), "as long as the longest run"
        clock.seconds = 600  # the machine is half as fast as was planned
        store.finish(long, {"metrics": {}})
        progress.update()
        assert progress.done == 0.6
        assert progress.minutes_left == pytest.approx((10 + 0.1 * 5) / (0.6 + 0.1) * 0.4)


def test_a_run_and_what_waits_for_it_take_as_long_however_many_slots_there_are(tmp_path):
    store, clock = Store(tmp_path), Clock()
    net = Pretrain(Subset("a"), "small", Recipe(steps=400))
    waiting = [Transfer(net, "probe", "images", "a", seed=seed) for seed in (0, 1)]
    minutes = dict(zip(map(key, (net, *waiting)), (60.0, 10.0, 30.0), strict=True))
    with Progress([net, *waiting], store, minutes, slots=8, clock=clock) as progress:
        assert progress.minutes_left == 90
        under_way(store, net, '{"epoch": 1, "step": 100, "loss": 0.5}\n')
        progress.update()
        clock.seconds = 15 * 60
        assert progress.minutes_left == 75
        store.finish(net, {"metrics": {}})
        progress.update()
        assert progress.minutes_left == 30


def test_a_longest_run_is_as_much_faster_than_planned_as_all_work(tmp_path):
    store, clock, run = Store(tmp_path), Clock(), Pretrain(Subset("a"), recipe=Recipe(steps=4))
    with Progress([run], store, {key(run): 60.0}, clock=clock) as progress:
        under_way(store, run)
        progress.update()
        clock.seconds = 15 * 60
        under_way(store, run, '{"epoch": 1, "step": 2, "loss": 0.5}\n')
        assert progress.minutes_left == pytest.approx((15 + 6) / 0.6 * 0.5)


def test_a_file_that_another_host_has_just_removed_is_none(tmp_path, monkeypatch):
    """On NFS that is no FileNotFoundError but ESTALE, here by both files of a run under way."""
    store, net = Store(tmp_path), Pretrain(Subset("a"), recipe=Recipe(epochs=4))
    under_way(store, net, ROW % 1 + "\n")
    stale = {str(store.path(net) / name) for name in ("claim.holder", "log.jsonl")}

    def on_nfs(call: Callable) -> Callable:
        def stale_call(path: object, *given: object, **settings: object) -> object:
            if str(path) in stale:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)
            return call(path, *given, **settings)

        return stale_call

    with Progress([net], store, clock=Clock()) as progress, monkeypatch.context() as patch:
        progress.refresh()
        assert progress.done == 0.25
        patch.setattr("builtins.open", on_nfs(open))
        patch.setattr(os, "stat", on_nfs(os.stat))
        assert (progress.done, last_epoch(store.path(net))) == (0, "")
        progress.refresh()
        assert not progress.under_way


def test_runs_that_were_killed_are_not_under_way(tmp_path):
    store, clock = Store(tmp_path), Clock()
    specs = killed, alive = Pretrain(Subset("a")), Pretrain(Subset("b"))
    with Progress(specs, store, {key(spec): 10.0 for spec in specs}, clock=clock) as progress:
        for spec in specs:
            under_way(store, spec)
        progress.refresh()
        assert list(progress.under_way) == [killed, alive]
        ended = subprocess.Popen(["true"])
        ended.wait()
        holder = store.path(killed) / "claim.holder"
        holder.write_text(f"process {ended.pid} on {socket.gethostname()}")
        progress.refresh()
        assert list(progress.under_way) == [alive]
        holder.write_text("process 7 on a-host")
        progress.refresh()
        assert list(progress.under_way) == [killed, alive]
        silent = time.time() - 61
        os.utime(holder, (silent, silent))
        clock.seconds = 300
        progress.refresh()
        assert list(progress.under_way) == [alive]
        assert progress.done == 0.25


def test_a_training_under_way_counts_by_its_steps_and_another_run_by_time(tmp_path):
    store, clock = Store(tmp_path), Clock()
    net = Pretrain(Subset("a"), "small", Recipe(steps=400), seed=0)
    specs = [net, Transfer(net, "probe", "images", "a")]
    with Progress(specs, store, {key(spec): 2.0 for spec in specs}, clock=clock) as progress:
        for spec in specs:
            store.folder(spec)
            (store.path(spec) / "claim.holder").write_text("process 7")
        progress.update()
        (store.path(net) / "log.jsonl").write_text('{"epoch": 1, "step": 100, "loss": 0.5}\n')
        clock.seconds = 60
        assert progress.done == pytest.approx((2 * 100 / 400 + 1) / 4)
        clock.seconds = 6000
        assert progress.done == pytest.approx((0.5 + 0.95 * 2) / 4), "not done before its result is there"


@pytest.mark.parametrize(("checkpoint", "done"), [(False, 0), (True, 0.25)])
def test_a_run_that_starts_anew_does_not_show_the_epochs_of_before(tmp_path, monkeypatch, checkpoint, done):
    """As one whose result was damaged; one that has a checkpoint goes on from there."""
    store, net, seen = Store(tmp_path), Pretrain(Subset("a"), recipe=Recipe(epochs=4)), []
    under_way(store, net, ROW % 1 + "\n")
    if checkpoint:
        (store.path(net) / "checkpoint.safetensors").touch()

    def pretrain(*_: object) -> dict:
        with Progress([net], store, clock=Clock()) as progress:
            progress.refresh()
            seen.append(progress.done)
        return {"metrics": {}}

    monkeypatch.setattr("itl.runs.perform.pretrain", pretrain)
    perform(net, store, Machine(home=tmp_path, threads=1))
    assert seen == [done]


def test_only_the_end_of_a_log_is_read(tmp_path):
    (tmp_path / "log.jsonl").write_text((ROW % 1 + "\n") * 100_000 + ROW % 2 + "\n" + '{"ep')
    assert last_row(tmp_path) == {"epoch": 2, "step": 7, "loss": 0.5}


def test_rows_of_a_log_that_a_power_cut_damaged_are_left_out_and_named(tmp_path):
    log = tmp_path / "log.jsonl"
    assert log_rows(log) == []
    log.write_text(ROW % 1 + "\n" + ROW % 2 + "\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [row["epoch"] for row in log_rows(log)] == [1, 2]
    log.write_text(ROW % 1 + "\n" + '{"epo\n' + ROW % 2 + "\n" + "\xff[]\n" + '{"epoch": 3, "loss": 0.1}\n')
    with pytest.warns(UserWarning, match=f"{log} is damaged: 3 of its lines are left out"):
        assert [row["epoch"] for row in log_rows(log)] == [1, 2]


def test_starting_workers_is_not_taken_for_slow_work(tmp_path):
    store, clock, run = Store(tmp_path), Clock(), Subset("a")
    with Progress([run], store, {key(run): 2.0}, clock=clock) as progress:
        clock.seconds = 600
        progress.update()
        assert progress.minutes_left == 2
        store.folder(run)
        (store.path(run) / "claim.holder").write_text("process 7")
        progress.update()
        clock.seconds = 660
        progress.update()
        assert (progress.done, progress.minutes_left) == (0.5, pytest.approx((1 + 0.2) / 0.6 * 0.5))


def test_the_time_left_is_planned_at_first_and_then_measured(tmp_path):
    store, clock, specs = Store(tmp_path), Clock(), [Subset(name) for name in "ab"]
    with Progress(specs, store, {key(spec): 1.0 for spec in specs}, clock=clock) as progress:
        progress.update()
        assert (progress.done, progress.minutes_left) == (0, 2)
        clock.seconds = 180
        store.finish(specs[0], {"metrics": {}})
        progress.update()
        assert (progress.done, progress.minutes_left) == (0.5, pytest.approx((3 + 0.2) / 0.6 * 0.5))
        clock.seconds = 300
        store.finish(specs[1], {"metrics": {}})
        progress.update()
        assert (progress.done, progress.minutes_left) == (1, 0)
