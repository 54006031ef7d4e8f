"""Where noise comes from, by hand on two conditions and two seeds."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from itl import ItlError
from itl.analysis import doubts, noise
from itl.analysis.noise import designs, variance_table, variances
from itl.analysis.seeds import Variances, cheapest, smallest_detectable
from itl.runs.design import Comparison, Task
from itl.specs import Pretrain, Recipe, Subset, Transfer
from tests.analysis.test_comparisons import frame, question
from tests.analysis.test_doublings import grid
from tests.analysis.test_doubts import answer_on, pack_of

FITS = {25: [[1, 3], [4, 6]], 50: [[10, 12], [8, 10]]}  # of each net, by condition and seed


def study(fits: dict = FITS, *untrained: object) -> tuple[SimpleNamespace, pd.DataFrame]:
    """A question on one task, and its results: a row for each fit."""
    data_size = question(*untrained, *fits)
    data_size.tasks = (Task.read("probe@x"),)
    rows = [
        frame({count: [fit]}).assign(seed=seed)
        for count, nets in fits.items()
        for seed, net in enumerate(nets)
        for fit in net
    ]
    return data_size, pd.concat(rows)


def test_nets_and_fits_by_hand():
    data_size, results = study()
    # Means of nets 2, 5 and 11, 9. Conditions differ by 9 and 4, with variance 12.5, half of which each has.
    # Fits of one net have variance 2, of which the mean of two has half.
    assert variances(data_size, results, "probe@x") == Variances(net=12.5 / 2 - 2 / 2, fit=2.0)
    once = results.groupby(["images_per_class", "seed"], as_index=False).first()
    assert variances(data_size, once, "probe@x") == Variances(net=12.5 / 2, fit=0.0)


def test_fits_are_pooled_by_their_number():
    data_size, results = study({25: [[1, 3, 5], [4, 6]], 50: [[10, 12], [9]]})
    # Means 3, 5 and 11, 9: differences 8 and 4 have variance 8. Fits have variances 4 (of three), 2 and 2.
    fit = (2 * 4 + 1 * 2 + 1 * 2) / (2 + 1 + 1)
    assert variances(data_size, results, "probe@x") == Variances(
        pytest.approx(8 / 2 - fit * (1 / 3 + 1 / 2 + 1 / 2 + 1) / 4), fit
    )


def test_nets_do_not_vary_less_than_nothing():
    data_size, results = study({25: [[0, 9], [1, 10]], 50: [[3, 12], [4, 13]]})
    assert variances(data_size, results, "probe@x") == Variances(net=0.0, fit=40.5)


def test_the_untrained_net_and_what_is_missing_stay_out():
    data_size, results = study(FITS, 0)
    wild = frame({0: [0, 99, 50, 7]}).assign(seed=[0, 0, 1, 1], classes=0)
    own = results.assign(task="own", value=range(8))
    given = pd.concat([results, wild, own, results.assign(metric="top5", value=range(8))])
    assert variances(data_size, given, "probe@x") == Variances(5.25, 2.0)
    for few in (given[given["seed"] == 0], given[given["images_per_class"] != 25]):
        spread = variances(data_size, few, "probe@x")
        assert (math.isnan(spread.net), spread.fit) == (True, 2.0)


def test_a_seed_that_only_some_conditions_have_hides_no_noise():
    data_size, results = study(FITS, 0)
    interrupted = pd.concat([results, frame({0: [50]}).assign(seed=2, classes=0)])
    assert variances(data_size, interrupted, "probe@x") == variances(data_size, results, "probe@x")
    more = pd.concat([interrupted, results.query("images_per_class == 25 and seed == 0").assign(seed=2)])
    assert variances(data_size, more, "probe@x").net == variances(data_size, results, "probe@x").net


def test_one_pretrained_condition_shows_no_noise_and_says_so():
    data_size, store = study_of_runs()
    data_size.conditions = [
        one for one in data_size.conditions if dict(one.columns)["images_per_class"] != 25
    ]
    (row,) = designs([data_size], store, None, detect=4.0).to_dict("records")
    assert row["note"] == "noise is known from two pre-trained conditions or more; add one"


def test_against_no_pretraining_noise_is_that_of_the_differences(monkeypatch):
    """An untrained net may vary by more or less than others, and what moves all others does not cancel."""
    monkeypatch.setattr(noise, "sampling_error", lambda *_: 1.26)
    data_size, results = study({25: [[1], [4]], 50: [[10], [8]], 0: [[1], [9]]})
    _, most, untrained = (condition.columns for condition in data_size.conditions)
    data_size.comparisons, data_size.repeats = (Comparison(most, untrained),), 1
    (row,) = variance_table([SimpleNamespace(question=data_size, results=results)], None).to_dict("records")
    # The means of both, 5.5 and 6, lie 4.5 and −3 above the untrained: variance 28.125. Of 50 beside that
    # mean, (1 − 1/2) of the variance 6.25 of a condition. Each side has half of the sum.
    assert row["3 seeds detect"] == f"{smallest_detectable((28.125 + 3.125) / 2, 3, 2):.1f}"
    one_seed = results[(results["images_per_class"] != 0) | (results["seed"] == 0)]
    (row,) = variance_table([SimpleNamespace(question=data_size, results=one_seed)], None).to_dict("records")
    assert (row["between nets"], row["3 seeds detect"]) == ("2.5", "")


def test_nets_on_halves_are_no_noise_of_others(monkeypatch):
    """As in influence, where all classes are compared with no pre-training."""
    monkeypatch.setattr(noise, "sampling_error", lambda *_: 1.26)
    data_size, results = study({25: [[1], [40]], 50: [[10], [8]], 0: [[1], [9]]})
    half, most, untrained = data_size.conditions
    data_size.conditions = (replace(half, seeds=(0, 1)), most, untrained)
    data_size.comparisons, data_size.repeats = (Comparison(most.columns, untrained.columns),), 1
    assert math.isnan(variances(data_size, results, "probe@x").net)
    (row,) = variance_table([SimpleNamespace(question=data_size, results=results)], None).to_dict("records")
    # Differences 9 and −1 have variance 50, half of which each side has.
    assert (row["between nets"], row["3 seeds detect"]) == ("", f"{smallest_detectable(25.0, 3, 2):.1f}")


def test_where_no_noise_is_seen_no_number_of_seeds_is_promised(monkeypatch):
    monkeypatch.setattr(noise, "sampling_error", lambda *_: 0.0)
    data_size, results = study({25: [[100], [100]], 50: [[100], [100]]})
    (row,) = variance_table([SimpleNamespace(question=data_size, results=results)], None).to_dict("records")
    assert (row["between nets"], row["3 seeds detect"]) == ("0.0", "")
    data_size, store = study_of_runs()
    alike = results.assign(task="finetune@x")
    data_size.results_so_far = lambda store, machine: alike
    (row,) = designs([data_size], store, None, detect=5.0).to_dict("records")
    assert (row["seeds"], row["note"]) == ("", noise.NO_NOISE_SEEN)


def test_fits_of_the_one_pretrained_condition_are_known_apart(monkeypatch):
    monkeypatch.setattr(noise, "sampling_error", lambda *_: 1.26)
    data_size, store = study_of_runs()
    few, results = study({50: FITS[50]}, 0)
    given = pd.concat([results, frame({0: [1, 11]}).assign(classes=0)]).assign(task="finetune@x")
    few.tasks, few.repeats, few.runs = data_size.tasks, 2, data_size.runs
    few.results_so_far = lambda store, machine: given
    # Nets of means 11 and 9 lie 10 and −2 above the untrained: variance 72. Each side has half of it, and of
    # that the mean of two fits has half of 2, the variance of fits of one net.
    known = Variances(net=72 / 2 - 2 / 2, fit=2.0)
    expected = cheapest(known, (390.0, 180.0), 2, detect=20.0)
    (row,) = designs([few], store, None, detect=20.0).to_dict("records")
    assert (row["between nets"], row["between fits"]) == ("", "1.4")
    assert (row["seeds"], row["repeats"]) == (expected.seeds, expected.repeats)
    (row,) = variance_table([SimpleNamespace(question=few, results=given)], None).to_dict("records")
    assert (row["between fits"], row["3 seeds detect"]) == ("1.4", f"{smallest_detectable(36.0, 3, 2):.1f}")


def test_a_task_is_planned_by_the_comparison_that_is_made_on_it(monkeypatch):
    """As in split, whose main comparison is not made on half B, though a task on it may come first."""
    monkeypatch.setattr(noise, "sampling_error", lambda *_: 1.26)
    data_size, store = study_of_runs()
    none, few, more = (condition.columns for condition in data_size.conditions)
    data_size.tasks = (Task.read("knn@y"), Task.read("finetune@x"))
    data_size.comparisons = (Comparison(few, more, ("finetune@x",)), Comparison(more, none, ("knn@y",)))
    fits = data_size.results_so_far(None, None)
    other = pd.concat([frame({25: [1, 4], 50: [10, 8]}), frame({0: [1, 9]}).assign(classes=0)])
    results = pd.concat([other.assign(task="knn@y", metric="knn5"), fits])
    data_size.results_so_far = lambda store, machine: results
    (row,) = designs([data_size], store, None, detect=4.0).to_dict("records")
    assert (row["task"], row["between nets"]) == ("finetune@x", "2.3")
    table = variance_table([SimpleNamespace(question=data_size, results=results)], None)
    assert table["task"].tolist() == ["knn@y", "finetune@x"]
    # As in test_against_no_pretraining_noise_is_that_of_the_differences, and test_nets_and_fits_by_hand.
    variances_of_seed = (28.125 + 3.125) / 2, 5.25 + 2 / 2
    detected = [smallest_detectable(variance, 3, 2) for variance in variances_of_seed]
    assert table["3 seeds detect"].tolist() == [f"{points:.1f}" for points in detected]


def test_scores_of_training_images_have_no_test_set(monkeypatch):
    pack = SimpleNamespace(table=pd.DataFrame({"split": ["test"] * 4}), summary={})
    monkeypatch.setattr("itl.analysis.scored_images.packed", lambda *_: pack)
    monkeypatch.setattr("itl.analysis.scored_images.count_scored_images", lambda *_: {"a": 4})
    results = pd.DataFrame({"task": ["knn@x", "scores@x"], "metric": "knn5", "value": 50.0})
    given = SimpleNamespace(question=SimpleNamespace(packings=lambda: {"x": None}), results=results)
    assert doubts.sampling_error(given, "knn@x", None) == 25.0
    assert math.isnan(doubts.sampling_error(given, "scores@x", None))


@pytest.mark.parametrize("cap", [0, 6])
def test_the_table_is_in_points(cap, monkeypatch):
    monkeypatch.setattr(noise, "sampling_error", lambda *_: 1.26)
    data_size, results = study(FITS, 0)
    one_seed = results[results["seed"] == 0].assign(task="knn@x", metric="knn5")
    once = results.groupby(["images_per_class", "seed"], as_index=False).first().assign(task="probe@y")
    scores = results.assign(task="scores@x", metric="knn5")  # they only predict transfer
    given = pd.concat([results, results.assign(task="own"), one_seed, once, scores])
    data_size.cap = cap
    table = variance_table([SimpleNamespace(question=data_size, results=given)], None)
    assert table["task"].tolist() == ["probe@x", "probe@y"]
    assert table["between nets"].tolist() == ["2.3", "2.5"]  # roots of 5.25 and 6.25
    assert table["between fits"].tolist() == ["1.4", ""]
    assert table["test set"].tolist() == ["1.3", "1.3"]
    for seeds in (3, 5, 10):
        expected = [f"{smallest_detectable(variance, seeds, 2, cap):.1f}" for variance in (7.25, 6.25)]
        expected = ["", ""] if cap and seeds > cap else expected  # more than the cap
        assert table[f"{seeds} seeds detect"].tolist() == expected


def test_a_doubling_varies_less_than_a_pair_of_its_designs(monkeypatch):
    """Least squares over two numbers of classes and of images: see `grid`."""
    monkeypatch.setattr(noise, "sampling_error", lambda *_: 1.26)
    budget, results = grid(2.0, 3.5, designs=((20, 50), (20, 100), (40, 50), (40, 100)))
    budget.repeats = 1
    spread = variances(budget, results, "probe@x")
    (row,) = variance_table([SimpleNamespace(question=budget, results=results)], None).to_dict("records")
    # The difference of the two has weights 0, 1, −1 and 0: those of a pair.
    assert row["3 seeds detect"] == f"{smallest_detectable(spread.net, 3, 4):.1f}"

    budget, results = grid(2.0, 3.5, designs=((20, 50), (20, 200), (80, 50), (80, 200)))
    budget.repeats = 1
    spread = variances(budget, results, "probe@x")
    (row,) = variance_table([SimpleNamespace(question=budget, results=results)], None).to_dict("records")
    # Over two doublings of each the weights are half as large, and so is the error.
    assert row["3 seeds detect"] == f"{smallest_detectable(spread.net, 3, 4) / 2:.1f}"


class Finished:
    """A store of runs that took so many seconds; other runs are not done."""

    def __init__(self, seconds: dict):
        self.seconds = seconds

    def state(self, spec) -> str:
        return "done" if spec in self.seconds else "to do"

    def read(self, spec, name: str) -> dict:
        assert name == "provenance.json"
        return {"seconds": self.seconds[spec]}


def study_of_runs() -> tuple[SimpleNamespace, Finished]:
    """The question of `study` with the runs of two seeds and two fits, and one that is not trained.

    Nets take 2 and 4 hours, a fit 1, and a run of another task, which is not repeated, 10 minutes.
    """
    data_size, results = study(FITS, 0)
    data_size.tasks, data_size.repeats = (Task.read("finetune@x"), Task.read("knn@y")), 2
    runs, seconds = [], {}
    for seed, hours in enumerate((2, 4)):
        for count in (0, *FITS):
            net = Pretrain(
                Subset("p", images_per_class=count or None), "small", Recipe(epochs=min(count, 1)), seed
            )
            specs = {Transfer(net, "finetune", "x", "p", seed=seed, repeat=fit): 3600.0 for fit in range(2)}
            specs |= {Transfer(net, "knn", "y", "p", seed=seed): 600.0} | (
                {net: 3600.0 * hours} if count else {}
            )
            tasks = [getattr(spec, "method", "own") for spec in specs]
            names = {"own": "own", "finetune": "finetune@x", "knn": "knn@y"}
            runs += [
                SimpleNamespace(
                    spec=spec, task=names[task], seed=seed, columns=(("images_per_class", count),)
                )
                for spec, task in zip(specs, tasks, strict=True)
            ]
            seconds |= specs
    data_size.runs = lambda machine: runs
    data_size.results_so_far = lambda store, machine: results.assign(task="finetune@x")
    return data_size, Finished(seconds)


def test_a_design_is_the_cheapest_for_the_noise_and_minutes_of_finished_runs():
    data_size, store = study_of_runs()
    # Of one seed: two nets of 180 minutes and three runs of 10; and in each repeat three fits of 60.
    expected = cheapest(Variances(5.25, 2.0), (390.0, 180.0), 2, detect=4.0)
    assert expected.minutes == expected.seeds * (390 + 180 * expected.repeats)
    (row,) = designs([data_size], store, None, detect=4.0).to_dict("records")
    assert row == {
        "question": "test",
        "task": "finetune@x",
        "between nets": "2.3",
        "between fits": "1.4",
        "seeds": expected.seeds,
        "repeats": expected.repeats,
        "hours": f"{expected.minutes / 60:.1f}",
        "note": "",
    }
    (row,) = designs([data_size], store, None, detect=0.5).to_dict("records")
    assert row["note"].startswith("0.5 points are too few for 100 seeds")
    (row,) = designs([data_size], store, None, within=0.01).to_dict("records")
    assert row["note"].startswith("0.01 points are too few for 100 seeds")
    assert (row["between nets"], row["seeds"]) == ("2.3", "")
    data_size.cap = 5
    (row,) = designs([data_size], store, None, detect=4.0).to_dict("records")
    assert row["note"].startswith("4 points are too few for 5 seeds, the cap: scores spread by 2.7 points")


def test_runs_of_conditions_with_seeds_of_their_own_take_the_same_hours_whatever_the_seeds():
    """As of influence, whose nets on halves are many more than its seeds."""
    data_size, store = study_of_runs()
    none, half, most = data_size.conditions
    data_size.conditions = (none, replace(half, seeds=(0, 7)), most)
    data_size.comparisons = (Comparison(most.columns, none.columns),)
    for run in data_size.runs(None):
        run.seed = 7 if run.columns == half.columns and run.seed else run.seed
    results = pd.concat([study()[1], frame({0: [1, 11]}).assign(classes=0)]).assign(task="finetune@x")
    data_size.results_so_far = lambda store, machine: results
    (row,) = designs([data_size], store, None, detect=20.0).to_dict("records")
    # Of one seed: a net of 180 minutes, two runs of 10, and in each repeat two fits of 60. Two halves take
    # two such nets, two runs, and in each repeat two fits.
    seeds, repeats = row["seeds"], row["repeats"]
    minutes = seeds * (180 + 20 + repeats * 120) + 360 + 20 + repeats * 120
    assert row["hours"] == f"{minutes / 60:.1f}"
    known = Variances(72 / 2 - 2 / 2, 2.0)
    fixed = {"fixed_minutes": (380.0, 120.0)}
    expected = cheapest(known, (200.0, 120.0), 2, detect=20.0, **fixed)
    assert (seeds, repeats, minutes) == (expected.seeds, expected.repeats, expected.minutes)


def test_a_design_for_doublings_counts_in_that_they_vary_less():
    data_size, store = study_of_runs()
    budget, results = grid(2.0, 3.5, designs=((20, 50), (20, 200), (80, 50), (80, 200)))
    budget.tasks, budget.repeats, budget.runs = data_size.tasks, 2, data_size.runs
    given = results.assign(task="finetune@x")
    budget.results_so_far = lambda store, machine: given
    spread = variances(budget, given, "finetune@x")
    expected = cheapest(spread, (390.0, 180.0), 4, detect=2 * 0.5)  # weights of 1/2 and −1/2
    (row,) = designs([budget], store, None, detect=0.5).to_dict("records")
    assert (row["seeds"], row["hours"]) == (expected.seeds, f"{expected.minutes / 60:.1f}")

    budget.results_so_far = lambda store, machine: given[given["classes"] == 20]
    (row,) = designs([budget], store, None, detect=0.5).to_dict("records")
    assert row["note"].startswith("no results of designs with two numbers of images and two numbers")


@pytest.mark.parametrize("missing", ["own", "finetune@x", "knn@y"])
def test_without_finished_nets_and_fits_there_is_no_design(missing):
    data_size, store = study_of_runs()
    method = missing.partition("@")[0]
    kept = {spec for spec in store.seconds if getattr(spec, "method", "own") != method}
    store.seconds = {spec: store.seconds[spec] for spec in kept}
    (row,) = designs([data_size], store, None, detect=4.0).to_dict("records")
    said = f"no run of {missing} is done yet, which would tell its hours; do one of each task"
    assert (row["note"], row["hours"]) == (said, "")


def test_runs_of_two_conditions_are_done_and_judged_once(monkeypatch):
    """As those of A + B, which both kinds of halves have."""
    monkeypatch.setattr(noise, "sampling_error", lambda *_: 1.26)
    data_size, store = study_of_runs()
    again, results = study({**FITS, "all": FITS[50]}, 0)
    again.tasks, again.repeats, again.runs = data_size.tasks, 2, data_size.runs
    names = results["images_per_class"].replace("all", 50).astype(str) + results["seed"].astype(str)
    given = results.assign(task="finetune@x", run=names)
    again.results_so_far = lambda store, machine: given
    columns = ["seeds", "repeats", "hours"]
    (one,), (other,) = (
        designs([each], store, None, detect=4.0)[columns].values for each in (data_size, again)
    )
    assert other.tolist() == one.tolist()
    made = SimpleNamespace(question=again, results=given, contrasts=None)
    (row,) = variance_table([made], None).to_dict("records")
    assert row["3 seeds detect"] == f"{smallest_detectable(5.25 + 2 / 2, 3, 2):.1f}", "two fits of each net"


@pytest.mark.parametrize("wanted", [{}, {"detect": 1.0, "within": 1.0}])
def test_one_of_two_aims_is_given(wanted):
    with pytest.raises(ItlError, match="give a change to detect or a margin, above 0; got"):
        designs([], Finished({}), None, **wanted)


def test_variances_separate_nets_from_fits():
    random = np.random.default_rng(0)
    counts, seeds, fits = (25, 50, 75, "all"), 200, 3
    nets = {count: 50 + 2.0 * random.normal(size=seeds) for count in counts}
    repeated = pd.concat(
        [frame({count: nets[count] + random.normal(size=seeds) for count in counts}) for _ in range(fits)]
    )
    study = question(*counts)
    spread = variances(study, repeated, "probe@x")
    assert (spread.net, spread.fit) == (pytest.approx(4.0, rel=0.15), pytest.approx(1.0, rel=0.15))
    once = variances(study, repeated.drop_duplicates(["images_per_class", "seed"]), "probe@x")
    assert (once.net, once.fit) == (pytest.approx(5.0, rel=0.15), 0.0)
    assert math.isnan(variances(study, frame({25: [1.0], 50: [2.0]}), "probe@x").net)


def test_the_variance_table_says_what_seeds_detect(monkeypatch):
    pack, levels = pack_of(["a"] * 400), {0: 30, 25: 50, 50: 50, "all": 50}
    table = variance_table([answer_on(pack, levels, monkeypatch)], None)
    row = table.iloc[0]
    assert row[["question", "task", "between fits"]].tolist() == ["test", "probe@x", ""]
    assert float(row["test set"]) == pytest.approx(100 * math.sqrt(0.45 * 0.55 / 400), abs=0.06)
    detected = [float(row[f"{seeds} seeds detect"]) for seeds in (3, 5, 10)]
    assert detected == sorted(detected, reverse=True)
