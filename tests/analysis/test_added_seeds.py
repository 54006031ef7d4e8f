"""Seeds that are added until a question is decided, and what a pilot of few seeds says before."""

from dataclasses import replace

import pandas as pd
import pytest

from itl import ItlError
from itl.analysis import added_seeds
from itl.analysis.added_seeds import run_each_until_decided, run_until_decided
from itl.analysis.interim import control_lines, few_seeds_lines
from itl.analysis.noise import designs
from itl.analysis.option_grid import read_measured
from itl.runs.design import Margin
from itl.runs.questions import class_count
from itl.runs.store import Store
from tests.analysis.test_comparisons import noisy
from tests.analysis.test_doubts import pretended
from tests.worlds import MADE, SHARED, here, run_here, small_study


@pytest.mark.parametrize(
    ("none", "few", "count", "words"),
    [(30.0, 50.0, 3, "decided"), (30.0, 69.0, 6, "not decided"), (69.9, 50.0, 6, "not decided")],
)
def test_seeds_are_added_until_the_question_is_decided(tmp_path, monkeypatch, none, few, count, words):
    """Made-up scores that differ from the start, that never do, and on which pre-training gives nothing."""
    study, looks = small_study(seeds=list(range(6)), cap=6, margin={"points": {"knn5": 0.01}}), []
    data_size = replace(study, seeds=tuple(range(8)))
    table = noisy({0: none, 4: few, 12: 70.0}, size=4.0, task="knn@scenes")
    more = table[table["seed"] == 0].assign(seed=5)
    results = pd.concat([table, more]).assign(metric="knn5", run="")
    monkeypatch.setattr(
        type(data_size), "results", lambda part, *_: results[results["seed"].isin(part.seeds)]
    )
    machine = here(tmp_path)
    monkeypatch.setattr(added_seeds, "run_all", lambda parts, *_: looks.append(parts[0].seeds))
    line = run_until_decided(data_size, Store(tmp_path), machine)
    assert [len(seeds) for seeds in looks] == list(range(3, count + 1))
    assert line.startswith(f"data-size: {words} with {count} seeds. 4 instead of 12 images per class: ")
    assert {run.seed for run in data_size.runs(machine)} == set(range(count)), "and no more is planned"
    other = replace(data_size, margin=Margin())
    assert {run.seed for run in other.runs(machine)} == set(range(8)), "judged in another way"


def test_runs_that_fail_keep_no_other_question_from_being_decided(tmp_path, monkeypatch):
    studies = [small_study(seeds=[0, 1, 2], cap=3, net=net) for net in ("small", "small-half")]

    def decide(question, *_):
        if question is studies[0]:
            raise ItlError("1 of the runs failed")
        return "decided"

    monkeypatch.setattr(added_seeds, "run_until_decided", decide)
    lines = run_each_until_decided(studies, Store(tmp_path), here(tmp_path))
    assert next(lines) == "decided"
    with pytest.raises(ItlError, match="^data-size: 1 of the runs failed$"):
        next(lines)


def test_the_last_look_has_all_seeds_whatever_stopped_an_earlier_one(tmp_path, monkeypatch):
    study = small_study(seeds=list(range(4)), cap=4, margin={"points": {"knn5": 0.01}})
    machine, last = here(tmp_path), []
    table = noisy({0: 30.0, 4: 69.0, 12: 70.0}, seeds=4, size=4.0, task="knn@scenes")
    results = table.assign(metric="knn5", run="")
    monkeypatch.setattr(type(study), "results", lambda part, *_: results[results["seed"].isin(part.seeds)])
    monkeypatch.setattr(
        added_seeds, "run_all", lambda parts, *_: last.append({run.seed for run in parts[0].runs(machine)})
    )
    study.stop_at(3, machine)
    assert "not decided with 4 seeds" in run_until_decided(study, Store(tmp_path), machine)
    assert last == [{0, 1, 2}, {0, 1, 2, 3}]


def test_a_repetition_that_is_interrupted_undoes_no_decision(tmp_path, monkeypatch):
    study = small_study(seeds=list(range(6)), cap=6)
    machine = here(tmp_path)
    study.stop_at(3, machine)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(added_seeds, "run_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_until_decided(study, Store(tmp_path), machine)
    assert {run.seed for run in study.runs(machine)} == {0, 1, 2}


def test_seeds_are_only_added_where_a_cap_was_declared(tmp_path):
    for settings in ({}, {"cap": 10}):
        questions = [small_study(cap=3, seeds=[0, 1, 2]), small_study(**settings)]
        with pytest.raises(
            ItlError, match="its preset as many seeds as its cap, such as"
        ):  # before the first runs
            list(run_each_until_decided(questions, Store(tmp_path), here(tmp_path)))
    with pytest.raises(ItlError, match="looks at the results of all runs; leave --shard out"):
        list(run_each_until_decided([], Store(tmp_path), here(tmp_path, shard=(1, 2))))


def test_without_a_comparison_no_pilot_speaks_and_no_seed_is_added(tmp_path, in_this_process):
    alone = class_count(**SHARED | {"seeds": [0, 1, 2]}, label_sets=["original"], cap=3)
    machine = here(tmp_path)
    store = run_here(replace(alone, seeds=(0,)), machine)
    assert control_lines(["class-count"], [alone], store, machine) == []
    says = "class-count has nothing to compare; give two values or more"
    with pytest.raises(ItlError, match=says):
        list(run_each_until_decided([alone], store, machine))
    assert len(list((tmp_path / "runs/pretrain").iterdir())) == 1, "no net of another seed was trained"
    assert few_seeds_lines([replace(alone, seeds=(0,))]) == []


def test_seeds_that_are_too_few_for_any_verdict_are_said():
    compared = class_count(**SHARED | {"seeds": [0, 1, 2]}, label_sets=["bottom-up@5", "original"])
    fewer = [replace(compared, seeds=compared.seeds[:count]) for count in (2, 1)]
    said = [
        f"note: class-count has {seeds}; a comparison is decided by 3 or more"
        for seeds in ("2 seeds", "1 seed")
    ]
    assert few_seeds_lines([compared, *fewer]) == said
    capped = replace(compared, cap=10)
    assert few_seeds_lines([capped, replace(capped, seeds=tuple(range(10)))]) == [
        "note: class-count has 3 seeds and cap 10; `itl run --until-decided` takes as many seeds as the cap, "
        "given before any result"
    ]


def test_a_pilot_says_which_controls_fail_before_the_long_run(tmp_path, monkeypatch):
    data_size, store, machine, runs = pretended(tmp_path)
    results = noisy({0: 0.5, 4: 0.9, 12: 1.0}, seeds=1, size=0.1, task="knn@scenes")
    monkeypatch.setattr(type(data_size), "results_so_far", lambda *_: results.assign(metric="knn5", run=""))
    assert control_lines([], [data_size], store, machine) == [], "all runs are done"
    (line,) = control_lines(["data-size"], [data_size], store, machine)
    assert line.startswith(
        "pilot: data-size, knn@scenes: a floor: pre-training itself gives +0.5 points, and 2.0"
    )
    assert line.endswith("; by 1 seed so far, nothing on it can be called the same")


def test_nets_without_scores_are_no_pilot_and_no_failure(tmp_path):
    """As where a first call was stopped after the nets without pre-training."""
    data_size, _, machine, runs = pretended(tmp_path / "all")
    nets = Store(tmp_path / "nets")
    for spec in {run.spec for run in runs if run.task == "own" and not run.spec.trained}:
        nets.write(spec, "provenance.json", MADE)
        nets.finish(spec, {"classes": 0, "images": 0, "metrics": {}})
    assert control_lines(["data-size"], [data_size], nets, machine) == []
    assert control_lines(["data-size"], [data_size], Store(tmp_path / "empty"), machine) == [], (
        "nothing is known"
    )
    assert list(designs([data_size], nets, machine, detect=2.0)["note"]) == [
        "run two seeds or more of it first"
    ]
    assert read_measured(data_size, nets, machine).empty


def test_a_pilot_says_how_many_seeds_it_takes(tmp_path, monkeypatch):
    data_size, store, machine, runs = pretended(tmp_path)
    results = noisy({0: 30.0, 4: 50.0, 12: 70.0}, seeds=3, task="knn@scenes").assign(metric="knn5", run="")
    monkeypatch.setattr(type(data_size), "results_so_far", lambda *_: results)
    one, two = (designs([data_size], store, machine, detect=points).iloc[0] for points in (1.0, 2.0))
    assert one["seeds"] > two["seeds"] >= 3
    runs = one["seeds"] * (2 + 3)  # two nets are trained, and three are measured
    assert float(one["hours"]) == pytest.approx(1.5 * runs / 60, abs=0.06), "90 seconds a run"
    assert "too few" in designs([data_size], store, machine, within=0.01).iloc[0]["note"]
    for run in data_size.runs(machine):
        if run.task == "knn@scenes":
            (store.folder(run.spec) / "result.json").unlink()
    (note,) = designs([data_size], store, machine, detect=2.0)["note"]
    assert note == "no run of knn@scenes is done yet, which would tell its hours; do one of each task"
    monkeypatch.undo()
    none = designs([data_size], Store(tmp_path / "empty"), machine, detect=1.0).iloc[0]
    assert none["note"] == "run two seeds or more of it first"
    with pytest.raises(ItlError, match="give a change to detect or a margin"):
        designs([data_size], store, machine, detect=1.0, within=1.0)
