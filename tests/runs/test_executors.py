"""Runs survive what happens to processes: each is done once, and a rerun ends with the same numbers."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
import weakref
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event
from unittest.mock import Mock

import pandas as pd
import psutil
import pytest
import torch

from itl import ItlError
from itl.evaluation.finetune import select_lr
from itl.machine import Machine
from itl.runs.executors import execute, with_needs
from itl.runs.perform import fit, perform, perform_together
from itl.runs.store import Store
from itl.runs.worker_processes import perform_here
from itl.specs import Pretrain, Recipe, Subset, Transfer, key
from itl.training.checkpoint import load_tensors, save_tensors
from itl.training.loop import Diverged
from tests.worlds import (
    FOUR,
    SETTINGS,
    SHARED,
    execute_here,
    here,
    run_here,
    small_study,
    start_child,
    write_rates,
)


def run_study(home: Path, recipe: dict | None = None) -> None:
    """Do the runs of the small study in *home*, as a script does; one worker: test_chaos.py kills two."""
    machine = here(home, workers=1)
    try:
        small_study(**{"recipe": recipe} if recipe else {}).run(Store(machine.runs), machine)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def kill(child: BaseProcess) -> None:
    """Kill *child* and what it started, at once; all of them are forks of one server."""
    killed = psutil.Process(child.pid)
    for process in killed.parent().children():
        if process.create_time() >= killed.create_time():
            process.kill()
    child.join()


def with_packs(other: Path, home: Path) -> Path:
    """Give *home* the packs of *other*: packing is not the question."""
    shutil.copytree(other / "packs", home / "packs")
    return home


def numbers(home: Path) -> pd.DataFrame:
    machine = here(home)
    return small_study().results(Store(machine.runs), machine)


def trained_epochs(home: Path) -> int:
    """How many epochs the nets in *home* were trained for."""
    return sum(len(log.read_text().splitlines()) for log in home.glob("runs/pretrain/*/log.jsonl"))


def weights(home: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in home.glob("runs/pretrain/*/weights.safetensors")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("undisturbed")
    run_here(small_study(), here(home))
    return home


def test_a_plan_is_done_once_and_only_what_is_deleted_is_done_again(undisturbed, in_this_process):
    machine = here(undisturbed)
    store, question = Store(machine.runs), small_study()
    plan = question.plan(store, machine)
    assert plan["state"].eq("done").all()
    assert len(plan) == 2 + 3 * 2 * 2  # packs; sizes x seeds x (the net, knn)
    assert set(plan.loc[plan["kind"] == "pretrain", "run"]) == {
        folder.name for folder in (machine.runs / "pretrain").iterdir()
    }
    before, times = numbers(undisturbed), {p: p.stat().st_mtime_ns for p in undisturbed.rglob("result.json")}
    victim = store.path(question.runs(machine)[-2].spec)
    assert victim.parent.name == "pretrain"
    for file in victim.iterdir():
        file.unlink()
    question.run(store, machine)
    changed = [p for p in undisturbed.rglob("result.json") if p.stat().st_mtime_ns != times[p]]
    assert changed == [victim / "result.json"]
    pd.testing.assert_frame_equal(numbers(undisturbed), before)


def test_what_a_run_keeps(undisturbed):
    machine = here(undisturbed)
    run = next(run for run in small_study().runs(machine) if run.columns == (("images_per_class", 4),))
    folder = Store(machine.runs).path(run.spec)
    manifest = pd.read_csv(folder / "manifest.csv")
    assert list(manifest.columns) == ["image", "wnid", "label"]
    assert manifest.groupby("wnid").size().tolist() == [4, 4, 4, 4]
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance.keys() >= {"commit", "device", "torch", "finished", "seconds"}
    assert provenance["device_index"] == "cpu"
    assert not (folder / "checkpoint.safetensors").exists()
    assert len((folder / "log.jsonl").read_text().splitlines()) == 6  # 12 steps, 2 an epoch


@pytest.mark.timeout(240)
def test_killed_at_random_moments_it_ends_with_the_same_numbers(undisturbed, tmp_path):
    with_packs(undisturbed, tmp_path)
    moments = random.Random(0)
    for _ in range(4):
        epochs = trained_epochs(tmp_path) + moments.randint(1, 2)  # of 16
        child = start_child(run_study, tmp_path)
        while trained_epochs(tmp_path) < epochs:
            assert child.is_alive()
            time.sleep(0.002)
        kill(child)
        assert child.exitcode == -signal.SIGKILL, "it was killed before its end"
        for result in tmp_path.glob("runs/*/*/result.json"):
            assert json.loads(result.read_text())["metrics"] is not None  # whole, or not there
    child = start_child(run_study, tmp_path)
    child.join()
    assert child.exitcode == 0
    pd.testing.assert_frame_equal(numbers(tmp_path), numbers(undisturbed))
    assert weights(tmp_path) == weights(undisturbed)


def a_training(undisturbed: Path, home: Path) -> tuple[Pretrain, Store, Machine]:
    """A pre-training that is to be done, its store and the machine with the packs."""
    machine = here(with_packs(undisturbed, home))
    question = small_study()
    question.prepare(machine)
    trained = next(run.spec for run in question.runs(machine) if run.method == "pretrain")
    return trained, Store(machine.runs), machine


def stop_before_the_result(spec: Pretrain, store: Store, machine: Machine) -> None:
    Store.finish = lambda *_: os._exit(9)  # of this process, which is another one
    perform(spec, store, machine)


def test_killed_between_checkpoint_and_result(undisturbed, tmp_path):
    trained, store, machine = a_training(undisturbed, tmp_path)
    child = start_child(stop_before_the_result, trained, store, machine)
    child.join()
    assert child.exitcode == 9
    assert store.state(trained) == "partial"
    execute_here([trained], store, machine)
    assert store.result(trained) == Store(here(undisturbed).runs).result(trained)


def stop_after_the_result(spec: Pretrain, store: Store, machine: Machine) -> None:
    finish = Store.finish
    Store.finish = lambda *run: (finish(*run), os._exit(9))
    perform(spec, store, machine)


def test_killed_just_after_the_result_its_checkpoint_goes_and_nothing_is_done_again(undisturbed, tmp_path):
    """Its checkpoint has twice the bytes of the net."""
    trained, store, machine = a_training(undisturbed, tmp_path)
    names = ("checkpoint.safetensors", "begun.json", "result.json")
    checkpoint, begun, result = (store.path(trained) / name for name in names)
    child = start_child(stop_after_the_result, trained, store, machine)
    child.join()
    assert (child.exitcode, store.state(trained), checkpoint.exists()) == (9, "done", True)
    assert begun.exists()
    written = result.stat().st_mtime_ns
    with pytest.MonkeyPatch.context() as patch:  # as in the store of a colleague, that may only be read
        patch.setattr(Path, "unlink", lambda path, **_: os.unlink(f"{path}/of a folder that may be written"))
        execute([trained], store, machine)
    assert checkpoint.exists()
    execute([trained], store, machine)
    assert (store.state(trained), checkpoint.exists(), begun.exists()) == ("done", False, False)
    assert result.stat().st_mtime_ns == written


def stop_before_the_provenance(spec: Pretrain, store: Store, machine: Machine) -> None:
    write = Store.write
    Store.write = lambda self, spec, name, content: (
        os._exit(9) if name == "provenance.json" else write(self, spec, name, content)
    )
    perform(spec, store, machine)


def test_a_run_that_goes_on_took_the_seconds_of_all_its_processes(undisturbed, tmp_path):
    """Whatever the clock was meanwhile."""
    trained, store, machine = a_training(undisturbed, tmp_path)
    checkpoint = store.path(trained) / "checkpoint.safetensors"
    for _ in range(2):
        child = start_child(stop_before_the_provenance, trained, store, machine)
        child.join()
        assert (child.exitcode, store.state(trained)) == (9, "partial")
        tensors, history = load_tensors(checkpoint)
        save_tensors(checkpoint, tensors, [row | {"seconds": 1000.0} for row in history])
    later = time.time() + 1e9
    os.utime(checkpoint, (later, later))
    execute_here([trained], store, machine)
    assert 0 <= store.read(trained, "provenance.json")["seconds"] - 1000 * len(history) < 100


def test_a_search_of_learning_rates_that_goes_on_keeps_its_seconds_and_says_mixed(tmp_path, monkeypatch):
    """It is interrupted at its first learning rate, which has a checkpoint, and at its second, before one.

    Then the first one's folder is still there, as where a kill comes before it is removed.
    """
    store, machine, interrupted = Store(tmp_path), here(tmp_path), []
    spec = Transfer(Pretrain(Subset("p")), "finetune", "images", "p", recipe=Recipe(lrs=(0.1, 0.2)))

    def score(recipe: Recipe, folder: Path) -> float:
        if recipe.lr in interrupted or len(interrupted) == 2:
            return 50.0
        interrupted.append(recipe.lr)
        first = folder.with_name("choose-0.1")
        first.mkdir(exist_ok=True)
        save_tensors(first / "checkpoint.safetensors", {}, [{"seconds": 1000.0}, {"seconds": 500.0}])
        raise KeyboardInterrupt

    def search(spec: Transfer, store: Store, folder: Path, machine: Machine) -> dict:
        return {"metrics": {"accuracy": select_lr(spec.recipe, folder, score).lr}}

    monkeypatch.setattr("itl.runs.perform.transfer", search)
    for commit in ("old", "new"):
        monkeypatch.setattr("itl.runs.provenance.commit", lambda commit=commit: commit)
        precision = {"precision": "bf16" if commit == "old" else "fp32"}
        monkeypatch.setattr("itl.runs.perform.described", lambda *_, made=precision: made)
        with pytest.raises(KeyboardInterrupt):
            perform(spec, store, machine)
    assert (perform(spec, store, machine)["metrics"], interrupted) == ({"accuracy": 0.1}, [0.1, 0.2])
    provenance = store.read(spec, "provenance.json")
    assert provenance["commit"] == "mixed: old then new"
    assert provenance["precision"] == "mixed: bf16 then fp32"
    assert 1500 <= provenance["seconds"] < 1600


def test_a_finished_run_that_is_done_again_searches_its_learning_rate_again(tmp_path, monkeypatch):
    """Its result is removed, as the message on a damaged file says; the code is another by then."""
    store, machine, searched = Store(tmp_path), here(tmp_path), []
    spec = Transfer(Pretrain(Subset("p")), "finetune", "images", "p", recipe=Recipe(lrs=(0.1, 0.2)))

    def score(recipe: Recipe, folder: Path) -> float:
        searched.append(recipe.lr)
        return 50.0 + len(searched)

    def search(spec: Transfer, store: Store, folder: Path, machine: Machine) -> dict:
        return {"metrics": {"accuracy": select_lr(spec.recipe, folder, score).lr}}

    monkeypatch.setattr("itl.runs.perform.transfer", search)
    for commit in ("old", "new"):
        monkeypatch.setattr("itl.runs.provenance.commit", lambda commit=commit: commit)
        assert perform(spec, store, machine)["metrics"] == {"accuracy": 0.2}
        assert store.read(spec, "provenance.json")["commit"] == commit
        (store.path(spec) / "result.json").unlink()
    assert searched == [0.1, 0.2, 0.1, 0.2]


def test_a_run_that_ends_at_its_result_goes_on_as_what_it_was(tmp_path, monkeypatch):
    """The disk is full there: its search for a learning rate is not done again, and the code is another."""
    store, machine, searched = Store(tmp_path), here(tmp_path), []
    spec = Transfer(Pretrain(Subset("p")), "finetune", "images", "p", recipe=Recipe(lrs=(0.1, 0.2)))

    def search(spec: Transfer, store: Store, folder: Path, machine: Machine) -> dict:
        lr = select_lr(spec.recipe, folder, lambda recipe, _: searched.append(recipe.lr) or recipe.lr).lr
        return {"metrics": {"accuracy": lr}}

    monkeypatch.setattr("itl.runs.perform.transfer", search)
    monkeypatch.setattr("itl.runs.provenance.commit", lambda: "old")
    with monkeypatch.context() as full:
        full.setattr(Store, "finish", Mock(side_effect=OSError("no space")))
        with pytest.raises(ItlError, match="stopped: no space"):
            perform(spec, store, machine)
    monkeypatch.setattr("itl.runs.provenance.commit", lambda: "new")
    assert (perform(spec, store, machine)["metrics"], searched) == ({"accuracy": 0.2}, [0.1, 0.2])
    assert store.read(spec, "provenance.json")["commit"] == "mixed: old then new"


@pytest.mark.timeout(120)
def test_two_processes_that_want_one_run_train_it_once(undisturbed, tmp_path):
    with_packs(undisturbed, tmp_path)
    both = [start_child(run_study, tmp_path) for _ in range(2)]
    assert [child.join() or child.exitcode for child in both] == [0, 0]
    for log in tmp_path.glob("runs/pretrain/*/log.jsonl"):
        steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
        assert len(steps) == len(set(steps)), "an epoch was trained twice"
    pd.testing.assert_frame_equal(numbers(tmp_path), numbers(undisturbed))


def test_a_run_that_fails_does_not_stop_the_others(undisturbed, tmp_path):
    machine = here(with_packs(undisturbed, tmp_path), workers=1)
    store = Store(machine.runs)
    good = small_study(**FOUR, seeds=[0])
    bad = small_study(**FOUR, seeds=[0], net="alexnet")  # needs larger images than these
    specs = [run.spec for question in (bad, good) for run in question.runs(machine)]
    with pytest.raises(
        ItlError, match=r"1 of the runs failed \(1 more not .*alexnet needs images of at least 63"
    ):
        execute(specs, store, machine)
    assert [store.state(spec) for spec in specs] == ["to do", "to do", "done", "done"]


@pytest.mark.timeout(120)
def test_an_interrupt_does_not_wait_for_training(undisturbed, tmp_path):
    with_packs(undisturbed, tmp_path)
    child = start_child(run_study, tmp_path, {"steps": 10**6, "batch": 8, "pixels": 24})
    while not list(tmp_path.glob("runs/pretrain/*/checkpoint.safetensors")):
        assert child.is_alive()
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGINT)
    child.join(timeout=60)
    assert child.exitcode == 128 + signal.SIGINT


def test_needs_come_first_and_each_run_once():
    machine = here(Path("/nowhere"))
    specs = with_needs(run.spec for run in small_study().runs(machine) if isinstance(run.spec, Transfer))
    assert len(specs) == len(set(specs)) == 12
    assert all(specs.index(spec.pretrain) < specs.index(spec) for spec in specs if isinstance(spec, Transfer))
    assert sum(isinstance(spec, Pretrain) for spec in specs) == 6


@pytest.mark.timeout(120)
def test_one_run_on_two_ranks_is_the_run_on_one_and_a_question_that_diverges_ends_no_other(
    undisturbed, tmp_path
):
    with_packs(undisturbed, tmp_path)
    (tmp_path / "params").mkdir()
    (tmp_path / "notebooks").mkdir()
    seeds = {"seeds": [0, 1, 2], "cap": 3}
    settings = SHARED | {"label_sets": ["bottom-up@5", "original"]} | seeds
    fast = {"steps": 14, "batch": 8, "pixels": 24, "lr": 1e30, "warmup": 0.0}
    diverging = SETTINGS | {"images_per_class": [0, 4], "recipe": fast} | seeds
    notebooks = {"01-data-size": diverging, "02-class-count": settings}
    preset = {"about": "two ranks", "notebooks": notebooks}
    (tmp_path / "params/two.yaml").write_text(json.dumps(preset))
    write_rates(here(tmp_path), settings)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "itl", "run", "two", "--until-decided"]
    environment = os.environ | {"ITL_HOME": str(tmp_path), "ITL_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    failures = re.findall(r"itl: data-size: [^\r\n]*", done.stderr)  # perhaps behind the other rank's bar
    assert len(set(failures)) == 1, done.stderr  # of one rank or both: torchrun ends the other when one fails
    failure = failures[0]
    assert "3 of the runs failed (3 more not done, which need one of these), first" in failure
    assert "loss became nan at step" in failure
    assert "class-count" not in failure
    assert done.returncode == 1
    decided = re.findall(r"^(\S+): (?:not )?decided with", done.stdout, re.M)
    assert decided in ([], ["class-count"]), "rank 0 alone prints, if rank 1 does not end before"
    assert done.stderr.count("12 of 12 runs done") <= 1
    assert len(list(tmp_path.glob("runs/*/*/result.json"))) == 6 + 12
    for kind, ranks in (("pretrain", "2"), ("transfer", "1")):
        made = next(tmp_path.glob(f"runs/{kind}/*/provenance.json"))
        assert json.loads(made.read_text())["ranks"] == ranks
    log = next(tmp_path.glob("runs/pretrain/*/log.jsonl")).read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log] == [1, 2]  # 12 steps, 6 an epoch


@pytest.mark.parametrize(("ranks", "joined"), [(1, []), (2, [[]])])
def test_a_rank_that_sees_all_done_joins_those_that_do_not(tmp_path, monkeypatch, ranks, joined):
    calls = []
    monkeypatch.setattr("itl.runs.perform.perform_together", lambda left, *_: calls.append(left) or {})
    machine = here(tmp_path).replace(ranks=ranks)
    execute([], Store(machine.runs), machine)
    assert calls == joined


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_loses_another_says_that_repeating_resumes(tmp_path, monkeypatch, rank):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(reason)

    for name in ("join_ranks", "perform"):
        monkeypatch.setattr(f"itl.runs.perform.{name}", lambda *_: None)
    monkeypatch.setattr("itl.runs.perform.distributed.broadcast_object_list", broken)
    machine = here(tmp_path).replace(rank=rank, ranks=2)
    reason = "[third_party/gloo/gloo/transport/tcp/pair.cc:545] Read error: Connection reset by peer"
    with pytest.raises(ItlError, match=rf"^rank {rank} has lost another one, .* repeat the command"):
        perform_together([Pretrain(Subset("a pack"))], Store(machine.runs), machine)
    reason = "of this rank itself"
    with pytest.raises(RuntimeError, match=reason):
        perform_together([Pretrain(Subset("a pack"))], Store(machine.runs), machine)


def test_the_other_ranks_learn_what_failed_and_raise_as_the_first(tmp_path, monkeypatch):
    specs = [Pretrain(Subset("a pack"), seed=seed) for seed in (0, 1)]
    sent, errors = [], []

    def broadcast(box: list, **_: object) -> None:
        if box == [None]:
            box[:] = sent
        else:
            sent[:] = box

    def perform(spec: Pretrain, *_: object) -> None:
        if spec.seed == 0:
            raise OSError("the disk is full")

    for name in ("join_ranks", "distributed.barrier", "distributed.destroy_process_group"):
        monkeypatch.setattr(f"itl.runs.perform.{name}", Mock())
    monkeypatch.setattr("itl.runs.perform.distributed.broadcast_object_list", broadcast)
    monkeypatch.setattr("itl.runs.perform.perform", perform)
    for rank in (0, 1):
        machine = here(tmp_path).replace(rank=rank, ranks=2)
        with pytest.raises(ItlError) as caught:
            execute(specs, Store(machine.runs), machine)
        errors.append(str(caught.value))
    assert sent == [{specs[0]: "OSError: the disk is full"}]
    assert errors == [f"1 of the runs failed, first {key(specs[0])}: OSError: the disk is full"] * 2


@pytest.mark.parametrize(
    ("fails", "error", "stops"),
    [
        ("before", OSError, False),
        ("training", OSError, True),
        ("training", Diverged, False),
        ("after", OSError, False),
    ],
)
def test_a_run_of_several_ranks_that_fails_stops_the_others_only_in_mid_training(
    tmp_path, monkeypatch, fails, error, stops
):
    """Before and after, the others wait for the next training. Run 1 fails, run 2 does not need it."""
    steps = []

    def step(name: str, seed: int) -> None:
        steps.append((name, seed))
        if (name, seed) == (fails, 1):
            raise error("the disk is full")

    def perform(spec: Pretrain, store: Store, machine: Machine) -> None:
        step("before", spec.seed)
        fit(spec, Mock(), Mock(classes=()), tmp_path, machine)
        step("after", spec.seed)

    for name in ("distributed", "build_for", "Batches"):
        monkeypatch.setattr(f"itl.runs.perform.{name}", Mock())
    monkeypatch.setattr("itl.runs.perform.TRAINING_TOGETHER", Event())
    monkeypatch.setattr("itl.runs.perform.join_ranks", joins := Mock())
    monkeypatch.setattr("itl.runs.perform.distributed.DistError", torch.distributed.DistError)
    monkeypatch.setattr("itl.runs.perform.train", lambda *_, seed, log: step("training", seed))
    monkeypatch.setattr("itl.runs.perform.perform", perform)
    specs = [Pretrain(Subset("a pack"), seed=seed) for seed in (0, 1, 2)]
    machine = here(tmp_path).replace(ranks=2)
    if stops:
        with pytest.raises(error, match="the disk is full"):
            perform_together(specs, Store(machine.runs), machine)
        assert steps[-1] == (fails, 1)
        with pytest.raises(ItlError, match="^the other ranks still wait in a training that failed; repeat"):
            perform_together(specs, Store(machine.runs), machine)  # of another question
    else:
        assert list(perform_together(specs, Store(machine.runs), machine)) == [specs[1]]
        assert steps[-3:] == [("before", 2), ("training", 2), ("after", 2)]
        _, timeout = joins.call_args.args
        assert timeout > timedelta(days=365), "rank 0 may evaluate for days"


@pytest.mark.parametrize("chain", ["alone", "caused", "replaced"])
@pytest.mark.parametrize("together", [False, True])
def test_the_error_of_a_run_holds_neither_its_net_nor_that_of_what_led_to_it(
    tmp_path, monkeypatch, together, chain
):
    """A worker's pool keeps it until another run fails, a torchrun to its end: a GPU would fill up."""
    nets: list[weakref.ref] = []

    def failing(*_: object) -> None:
        def train(error: type[Exception]) -> None:
            net = torch.nn.Linear(1, 1)
            nets.append(weakref.ref(net))
            raise error("the disk is full")

        if chain == "alone":
            train(ItlError)
        try:
            train(OSError)
        except OSError as error:
            raise ItlError("the disk is full") from (error if chain == "caused" else None)

    for name in ("perform", "join_ranks", "distributed.broadcast_object_list"):
        monkeypatch.setattr(f"itl.runs.perform.{name}", failing if name == "perform" else Mock())
    for name in ("barrier", "destroy_process_group"):
        monkeypatch.setattr(f"itl.runs.perform.distributed.{name}", Mock())
    machine = here(tmp_path).replace(ranks=2 if together else 1)
    spec = Transfer(Pretrain(Subset("a pack")), "knn", "a target", "a pack")
    if together:
        error = perform_together([spec], Store(machine.runs), machine)[spec]
    else:
        with pytest.raises(ItlError) as caught:
            perform_here(spec, Store(machine.runs), machine)
        error = caught.value
    assert [net() for net in nets] == [None]
    assert "raise error" in "".join(traceback.format_exception(error.__context__ or error))
