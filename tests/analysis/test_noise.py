"""Where noise comes from, by hand on two conditions and two seeds."""

from types import SimpleNamespace

import pandas as pd
import pytest

from itl import ItlError
from itl.analysis import noise
from itl.analysis.noise import designs, variance_table, variances
from itl.analysis.seeds import Costs, Variances, cheapest, smallest_detectable
from itl.runs.question import Task
from itl.specs import Pretrain, Subset, Transfer
from tests.analysis.test_comparisons import frame, question

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
    assert variances(data_size, results, "probe@x") == Variances(pytest.approx(8 / 2 - fit / (8 / 4)), fit)


def test_nets_do_not_vary_less_than_nothing():
    data_size, results = study({25: [[0, 9], [1, 10]], 50: [[3, 12], [4, 13]]})
    assert variances(data_size, results, "probe@x") == Variances(net=0.0, fit=40.5)


def test_the_untrained_net_and_what_is_missing_stay_out():
    data_size, results = study(FITS, 0)
    wild = frame({0: [0, 99, 50, 7]}).assign(seed=[0, 0, 1, 1], classes=0)
    own = results.assign(task="own", value=range(8))
    given = pd.concat([results, wild, own, results.assign(metric="top5", value=range(8))])
    assert variances(data_size, given, "probe@x") == Variances(5.25, 2.0)
    assert variances(data_size, given[given["seed"] == 0], "probe@x") is None
    assert variances(data_size, given[given["images_per_class"] != 25], "probe@x") is None


def test_the_table_is_in_points(monkeypatch):
    monkeypatch.setattr(noise, "sampling_error", lambda *_: (1.26, 100))
    data_size, results = study(FITS, 0)
    one_seed = results[results["seed"] == 0].assign(task="knn@x", metric="knn5")
    once = results.groupby(["images_per_class", "seed"], as_index=False).first().assign(task="probe@y")
    given = pd.concat([results, results.assign(task="own"), one_seed, once])
    table = variance_table([SimpleNamespace(question=data_size, results=given)], None)
    assert table["task"].tolist() == ["probe@x", "probe@y"]
    assert table["between nets"].tolist() == ["2.3", "2.5"]  # roots of 5.25 and 6.25
    assert table["between fits"].tolist() == ["1.4", ""]
    assert table["test set"].tolist() == ["1.3", "1.3"]
    for seeds in (3, 5, 10):
        expected = [f"{smallest_detectable(variance, seeds, 2):.1f}" for variance in (7.25, 6.25)]
        assert table[f"{seeds} seeds detect"].tolist() == expected


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
    """The question of `study` with runs: nets of 2 and 4 hours, a fit of 1, and one of another task."""
    data_size, results = study()
    nets = [Pretrain(Subset("p"), seed=seed) for seed in range(3)]
    fits = [Transfer(nets[0], "probe", name, "pack") for name in ("x", "other", "unfinished")]
    tasks = dict.fromkeys(nets, "own") | dict(zip(fits, ("probe@x", "probe@other", "probe@x"), strict=True))
    data_size.runs = lambda machine: [SimpleNamespace(spec=spec, task=task) for spec, task in tasks.items()]
    data_size.results_so_far = lambda store, machine: results
    return data_size, Finished({nets[0]: 7200.0, nets[1]: 14400.0, fits[0]: 3600.0, fits[1]: 6000.0})


def test_a_design_is_the_cheapest_for_the_noise_and_minutes_of_finished_runs():
    data_size, store = study_of_runs()
    expected = cheapest(Variances(5.25, 2.0), Costs(180.0, 60.0), 2, detect=4.0)
    (row,) = designs([data_size], store, None, detect=4.0).to_dict("records")
    assert row == {
        "question": "test",
        "task": "probe@x",
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


@pytest.mark.parametrize("missing", [Pretrain, Transfer])
def test_without_finished_nets_and_fits_there_is_no_design(missing):
    data_size, store = study_of_runs()
    store.seconds = {
        spec: seconds for spec, seconds in store.seconds.items() if not isinstance(spec, missing)
    }
    (row,) = designs([data_size], store, None, detect=4.0).to_dict("records")
    assert (row["note"], row["between nets"]) == ("run two seeds or more of it first", "")


@pytest.mark.parametrize("wanted", [{}, {"detect": 1.0, "within": 1.0}])
def test_one_of_two_aims_is_given(wanted):
    with pytest.raises(ItlError, match="give a change to detect or a margin, above 0; got"):
        designs([], Finished({}), None, **wanted)
