"""Contrasts on invented numbers: every verdict, shares by hand, and silent about what is not there."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from itl import ItlError
from itl.analysis.comparisons import COLUMNS, LESS_OWN, contrasts, main_contrasts, readable
from itl.analysis.interim import failed_controls
from itl.analysis.seeds import look_level
from itl.analysis.statistics import LEVEL, MAIN_SHARE
from itl.analysis.tables import summary
from itl.analysis.verdicts import CANNOT_TELL, GAIN, LOSS, NO_NOISE, SAME, TOO_FEW, control_fault
from itl.runs.design import Comparison, Condition, Margin, Task
from itl.runs.study import MIN_SEEDS, first_against_last

NOISE = np.random.default_rng(0).normal(scale=0.4, size=(8, 5))  # of eight conditions with five seeds
NOISE -= NOISE.mean(axis=1, keepdims=True)  # so that levels are means


PLAIN = {"tasks": (Task.read("probe@x"),), "margin": Margin(), "cap": 0, "leave_out_duplicates": False}


def question(*counts, column: str = "images_per_class", **conditions) -> SimpleNamespace:
    """What contrasts look at of a question: name, conditions, comparisons and margin."""
    made = [Condition(((column, count),), trained=count not in (0, "none"), **conditions) for count in counts]
    pairs = tuple(first_against_last(made))
    return SimpleNamespace(name="test", conditions=tuple(made), comparisons=pairs, **PLAIN)


def frame(rows: dict, column: str = "images_per_class", task: str = "probe@x") -> pd.DataFrame:
    """Results of one task: condition -> a value for each seed; invented, for tests only."""
    records = [(count, seed, value) for count, values in rows.items() for seed, value in enumerate(values)]
    table = pd.DataFrame(records, columns=[column, "seed", "value"])
    return table.assign(task=task, metric="accuracy", classes=4, images=400)


def noisy(levels: dict, seeds: int = 5, size: float = 1.0, **settings) -> pd.DataFrame:
    """Results around *levels*, by condition, with noise of about half a point times *size*."""
    values = {name: level + size * NOISE[at, :seeds] for at, (name, level) in enumerate(levels.items())}
    return frame(values, **settings)


def main_row(levels: dict, margin: Margin | None = None, **settings) -> pd.Series:
    """The main contrast of made-up results: the first trained condition against the last."""
    study = question(*levels)
    study.margin = margin or Margin()
    return contrasts(study, noisy(levels, **settings)).iloc[0]


@pytest.mark.parametrize(
    ("levels", "settings", "word", "note"),
    [
        ({0: 30, 25: 55, 50: 60, "all": 70}, {}, LOSS, ""),
        ({0: 30, 25: 85, 50: 60, "all": 70}, {}, GAIN, ""),
        ({0: 30, 25: 70, 50: 60, "all": 70}, {}, SAME, ""),
        ({0: 30, 25: 68, 50: 60, "all": 70}, {}, SAME, "a loss, but a small one"),
        ({0: 30, 25: 64, 50: 60, "all": 70}, {}, SAME, "a loss, but a small one"),
        ({0: 30, 25: 76, 50: 60, "all": 70}, {}, SAME, "a gain, but a small one"),
        ({0: 30, 25: 65, 50: 60, "all": 70}, {"size": 10.0}, CANNOT_TELL, ""),
        ({0: 30, 25: 55, 50: 60, "all": 70}, {"seeds": 2}, TOO_FEW, ""),
        ({0: 30, 25: 55, 50: 60, "all": 70}, {"size": 0.0}, CANNOT_TELL, NO_NOISE),
        ({0: 1, 25: 1.5, 50: 1.4, "all": 1.5}, {"size": 0.1}, CANNOT_TELL, "a floor"),
        ({0: 97, 25: 98, 50: 98, "all": 98}, {"size": 0.1}, CANNOT_TELL, "a ceiling"),
        ({0: 40, 25: 99, 50: 99, "all": 99}, {"size": 0.1}, CANNOT_TELL, "a ceiling"),
        ({0: 70, 25: 70, 50: 70, "all": 70}, {"size": 0.1}, CANNOT_TELL, "the control fails"),
        ({0: 80, 25: 70, 50: 70, "all": 70}, {"size": 0.1}, CANNOT_TELL, "the control fails"),
        ({25: 70, 50: 70, "all": 70}, {"size": 0.1}, CANNOT_TELL, "what pre-training gives was not measured"),
    ],
)
def test_every_verdict(levels, settings, word, note):
    row = main_row(levels, **settings)
    assert row["verdict"] == word
    assert row["note"].startswith(note)
    assert bool(row["note"]) == bool(note)


def test_a_gain_within_noise_is_no_control():
    values = {0: [60, 80, 70], 25: [75, 76, 74], 50: [75, 74, 75], "all": [75, 75, 76]}
    row = contrasts(question(*values), frame(values)).iloc[0]
    assert row["verdict"] == CANNOT_TELL
    assert row["control"] == "the control fails: the gain from pre-training, +5.3 points, is not beyond noise"


def test_a_floor_and_its_numbers_in_words():
    row = main_row({0: 0.4, 25: 1.4, 50: 1.2, "all": 1.4}, size=0.1)
    assert row["note"] == "a floor: pre-training itself gives +1.0 points, and 2.0 are needed"


def test_what_would_only_pass_alone_is_a_hint():
    """Nine comparisons without an effect in the main one, and small ones in others."""
    study = question(0, 25, 50, 75, 100, "all")
    last = study.conditions[-1].columns
    study.comparisons = tuple(Comparison(condition.columns, last) for condition in study.conditions[1:-1])
    values = noisy({0: 30, 25: 70.0, 50: 69.2, 75: 70.1, 100: 69.9, "all": 70})
    values = pd.concat([values, values.assign(task="knn@x", metric="knn5")])
    study.margin = Margin(points=(("accuracy", 0.1), ("knn5", 0.1)))
    table = contrasts(study, values).set_index(["compared", "task"])
    row = table.loc[("50 instead of all images per class", "probe@x")]
    assert row["p"] < 0.05 < row["p_adjusted"]
    assert row["note"] == "a hint of a loss, not firm among 8 comparisons"
    wider = contrasts(study, values.assign(task="probe@x")[values["task"] == "probe@x"])
    assert wider["note"].str.startswith("a hint").sum() <= 1


def test_a_margin_may_be_points_for_a_metric():
    levels = {0: 30, 25: 68, 50: 60, "all": 70}
    assert main_row(levels, Margin(points=(("accuracy", 1.0),)))["verdict"] == LOSS
    row = main_row(levels, Margin(points=(("accuracy", 4.0),)))
    assert (row["verdict"], row["margin"]) == (SAME, 4.0)
    assert main_row(levels, Margin(points=(("map", 1.0),)))["margin"] == pytest.approx(0.2 * row["gain"])
    assert main_row(levels, Margin(share=0.01))["verdict"] == LOSS
    higher = {0: 30, 25: 72, 50: 60, "all": 70}
    assert main_row(higher, Margin(points=(("accuracy", 1.0),)))["verdict"] == GAIN
    assert main_row(higher, Margin(points=(("accuracy", 4.0),)))["verdict"] == SAME


def test_a_gain_of_less_than_a_point_is_shared_and_one_of_nothing_is_not():
    row = main_row({0: 30, 25: 30.3, 50: 30.4, "all": 30.5}, size=0.01)
    assert (row["share"], row["margin"]) == (pytest.approx(0.6, abs=0.02), pytest.approx(0.1, abs=0.002))
    for gain in (0, -1):
        row = main_row({0: 70, 25: 70, 50: 70, "all": 70 + gain}, size=0.0)
        assert np.isnan(row["margin"])
        assert np.isnan(row["share"])
        assert np.isnan(row["p_same"])


def test_a_gain_of_less_than_twice_the_margin_is_no_control():
    row = main_row({0: 64, 25: 70, 50: 70, "all": 70}, Margin(points=(("accuracy", 4.0),)))
    assert row["verdict"] == CANNOT_TELL
    assert "8.0 are needed" in row["control"]


def test_a_share_of_the_gain_by_hand():
    row = main_row({0: 30, 25: 60, 50: 60, "all": 70})
    gain, kept = row["gain"], row["change"] + row["gain"]
    assert row["share"] == pytest.approx(kept / gain)
    assert 0.7 < row["share_low"] < row["share"] < row["share_high"] < 0.8
    assert row["margin"] == pytest.approx(gain / 5)
    assert (row["gain_low"], row["gain_high"]) != (gain, gain)


def test_the_change_without_other_conditions_is_the_paired_t_test():
    values = {25: [20.0, 21.0, 23.0], 50: [30.0, 32.0, 33.0]}
    row, oracle = contrasts(question(25, 50), frame(values)).iloc[0], stats.ttest_rel(*values.values())
    assert row["p"] == row["p_adjusted"] == pytest.approx(oracle.pvalue)
    assert (row["low"], row["high"]) == pytest.approx(tuple(oracle.confidence_interval(0.95)))
    assert (row["change"], row["n"], row["verdict"]) == (pytest.approx(-31 / 3), 3, LOSS)


def test_contrasts_hold_the_ends_and_against_none():
    values = noisy({0: 10, 25: 20, 50: 25, "all": 30})
    table = contrasts(question(0, 25, 50, "all"), values.sample(frac=1, random_state=0))
    assert table.columns.tolist() == COLUMNS
    assert table["compared"].tolist() == [
        "25 instead of all images per class",
        "all images per class instead of no pre-training",
    ]
    assert table["verdict"].tolist() == [LOSS, GAIN]
    assert np.isnan(table["share"].iloc[1]), "all against none is the gain itself"
    pd.testing.assert_frame_equal(table, contrasts(question(0, 25, 50, "all"), values))


def test_ends_leave_out_the_untrained():
    first, second = question(0, 25, 50, "all").comparisons
    assert (first.of, first.against) == ((("images_per_class", 25),), (("images_per_class", "all"),))
    assert (second.of, second.against) == ((("images_per_class", "all"),), (("images_per_class", 0),))
    assert [comparison.of for comparison in question(0, "all").comparisons] == [
        (("images_per_class", "all"),)
    ]
    assert question(25).comparisons == ()


def test_conditions_that_are_not_compared_flag_nothing():
    study = question(25, 50, "all")
    results = noisy({25: 60, 50: 60, "all": 70}, seeds=4)
    results.loc[results["images_per_class"] == 50, "value"] += [20, -20, 10, -10]
    results["run"] = results["images_per_class"].astype(str) + results["seed"].astype(str)
    made = {run: {"commit": frozenset({"old" if run == "503" else "new"})} for run in results["run"]}
    (row,) = contrasts(study, results, made).to_dict("records")
    assert row["compared"] == "25 instead of all images per class"
    assert (row["unequal"], row["mixed"]) == (False, "")
    study.comparisons = (Comparison(study.conditions[1].columns, study.conditions[2].columns),)
    (row,) = contrasts(study, results, made).to_dict("records")
    assert (row["unequal"], row["mixed"]) == (True, "2 commits")
    study.comparisons = (Comparison(study.conditions[2].columns, study.conditions[1].columns),)
    (row,) = contrasts(study, results, made).to_dict("records")
    assert (row["unequal"], row["mixed"]) == (True, "2 commits")


def test_the_main_comparison_stays_the_main_one_where_only_others_have_results():
    study, results = question(25, 50, 100), frame({25: [20, 21, 23], 50: [30, 32, 33], 100: [40, 41, 44]})
    few, more, _ = (condition.columns for condition in study.conditions)
    study.comparisons = (*study.comparisons, Comparison(few, more))
    whole, partial = contrasts(study, results), contrasts(study, results[results["images_per_class"] < 100])
    assert main_contrasts(whole)["compared"].item() == "25 instead of 100 images per class"
    assert main_contrasts(partial)["compared"].item() == "25 instead of 100 images per class"
    assert partial["verdict"].tolist() == [TOO_FEW, LOSS]
    assert (partial["n"][0], math.isnan(partial["change"][0])) == (0, True)
    p = partial["p"][1]
    assert partial["p_adjusted"][1] == pytest.approx(p / (1 - MAIN_SHARE)), "the main one keeps its part"


def test_the_main_task_stays_the_main_one_where_only_others_have_results():
    study = question(25, 50)
    study.tasks = (Task.read("knn@x"), Task.read("probe@x"))
    table = contrasts(study, frame({25: [20, 21, 23], 50: [30, 32, 33]}))
    rows = table[["task", "metric", "n", "verdict"]].to_numpy().tolist()
    assert rows == [["knn@x", "knn5", 0, TOO_FEW], ["probe@x", "accuracy", 3, LOSS]]
    assert table["p_adjusted"][1] == pytest.approx(table["p"][1] / (1 - MAIN_SHARE))


def test_scores_which_only_predict_transfer_are_compared_with_nothing():
    study, results = question(25, 50), frame({25: [20, 21, 23], 50: [30, 32, 33]})
    both = pd.concat([results, results.assign(task="scores@x", metric="knn5")])
    pd.testing.assert_frame_equal(contrasts(study, both), contrasts(study, results))


def test_nets_on_halves_which_vary_by_their_classes_add_nothing_to_the_noise_of_others():
    """As in influence: nets on halves have seeds of their own, and other conditions the first of these."""
    study = question("none", "half", "all", column="pretrained_on")
    none, half, everything = study.conditions
    study.conditions = (none, replace(half, seeds=tuple(range(5))), everything)
    study.comparisons = (Comparison(everything.columns, none.columns),)
    values = {"none": [10.0, 11.0, 9.0], "half": [40.0, 12.0, 30.0, 5.0, 21.0], "all": [20.0, 21.5, 20.5]}
    (row,) = contrasts(study, frame(values, column="pretrained_on")).to_dict("records")
    paired = stats.ttest_rel(values["all"], values["none"])
    assert row["p"] == pytest.approx(paired.pvalue)
    assert (row["low"], row["high"]) == pytest.approx(paired.confidence_interval())


def test_a_condition_that_the_question_does_not_have_is_compared_with_nothing():
    study, unknown = question(25, 50), (("images_per_class", 75),)
    study.comparisons = (*study.comparisons, Comparison(study.conditions[0].columns, unknown))
    table = contrasts(study, frame({25: [20, 21, 23], 50: [30, 32, 33]}))
    assert table["compared"].tolist() == ["25 instead of 50 images per class"]


def test_the_gain_itself_has_the_margin_of_the_main_comparisons_reference():
    study = question(0, 25, 50, "all")
    none, few, half, every = (condition.columns for condition in study.conditions)
    study.comparisons = (Comparison(few, half), Comparison(every, none))
    table = contrasts(study, noisy({0: 30, 25: 60, 50: 65, "all": 70}))
    assert table["margin"].tolist() == pytest.approx([7, 7], abs=0.01), "a fifth of what 50 images give"


def test_contrasts_are_written_for_people():
    row = readable(contrasts(question(0, 25, 50, "all"), noisy({0: 30, 25: 60, 50: 60, "all": 70}))).iloc[0]
    assert row["share of the gain kept"].startswith("75 % (")
    assert (row["change"], row["n"], row["margin"], row["verdict"]) == ("−10.0", 5, "±8.0", "a loss")
    assert row["p of a change"] == "<0.001"
    no_gain = readable(contrasts(question(25, 50, "all"), noisy({25: 60, 50: 60, "all": 70}))).iloc[0]
    assert (no_gain["margin"], no_gain["p of equivalence"]) == ("", ""), "no margin to be within"
    alone = readable(contrasts(question(25, 50), frame({25: [1], 50: [2]}))).iloc[0]
    assert (alone["change"], alone["95 % interval"], alone["p of a change"], alone["margin"]) == (
        "−1.0",
        "",
        "",
        "",
    )


def test_what_nets_were_trained_on_stands_beside_a_change_where_it_differs():
    sizes = {"none": (0, 0), "coarse": (6, 8000), "few": (40, 1000), "original": (40, 8000)}
    results = noisy({"none": 20, "coarse": 60, "few": 50, "original": 70}, column="label_set")
    results[["classes", "images"]] = [sizes[name] for name in results["label_set"]]
    study = question(*sizes, column="label_set")
    study.comparisons = tuple(
        Comparison((("label_set", of),), (("label_set", against),))
        for of, against in [("coarse", "original"), ("few", "original"), ("coarse", "few"), ("few", "none")]
    )
    assert contrasts(study, results)["sizes"].tolist() == [
        "6 instead of 40 classes",
        "1,000 instead of 8,000 images",
        "6 instead of 40 classes, 8,000 instead of 1,000 images",
        "",
    ]


def test_fits_of_one_net_are_averaged():
    once = frame({25: [20, 21, 23], 50: [30, 32, 33]})
    repeated = pd.concat([once.assign(value=once["value"] - 1), once.assign(value=once["value"] + 1)])
    study = question(25, 50)
    pd.testing.assert_frame_equal(contrasts(study, once), contrasts(study, repeated))


def test_a_comparison_may_be_of_some_tasks_only():
    study = question(25, 50)
    study.comparisons = (Comparison(study.conditions[0].columns, study.conditions[1].columns, ("knn@x",)),)
    results = frame({25: [20, 21, 23], 50: [30, 32, 33]})
    both = pd.concat([results, results.assign(task="knn@x", metric="knn5")])
    assert contrasts(study, both)["task"].tolist() == ["knn@x"]


def test_what_the_target_gives_and_other_metrics_are_not_contrasted():
    results = frame({25: [20, 21, 23], 50: [30, 32, 33]})
    given = pd.concat([results, *(results.assign(metric=name) for name in ("recall", "chance", "top5"))])
    assert contrasts(question(25, 50), given)["metric"].tolist() == ["accuracy"]


def test_own_classes_are_compared_only_where_they_are_the_same():
    results = frame({25: [20, 21, 23], 50: [30, 32, 33]}, task="own")
    both = pd.concat([results, results.assign(task="probe@x")])
    assert contrasts(question(25, 50), both)["task"].tolist() == ["probe@x", "own"], "own comes last"
    halves = question(25, 50)
    halves.conditions[1].__dict__["labels"] = "half-minimal-a"
    assert contrasts(halves, both)["task"].tolist() == ["probe@x"]
    fine = question(25, 50)
    fine.conditions[1].__dict__["leaves"] = 1  # the same nodes, but of one leaf each: another val set
    assert contrasts(fine, both)["task"].tolist() == ["probe@x"]


@pytest.mark.parametrize("first", ["knn@x", "own", "probe@x"])
def test_the_main_task_is_the_first_of_the_question_however_results_are_sorted(first):
    """As where the run of its first condition is missing, or where someone sorted the table."""
    study = question(0, 25, "all")
    study.tasks = (Task.read("probe@x"), Task.read("knn@x"))
    tables = [noisy({0: 30, 25: 55, "all": 70}, task=task) for task in ("probe@x", "knn@x", "own")]
    tables[1] = tables[1].assign(metric="knn5")
    results = pd.concat(tables).sort_values("task", key=lambda tasks: tasks != first, kind="stable")
    table = contrasts(study, results)
    assert table["task"][:2].tolist() == ["probe@x", "knn@x"]
    ordered = contrasts(study, pd.concat(tables))
    pd.testing.assert_frame_equal(table, ordered)
    assert table["p_adjusted"][0] < table["p_adjusted"][1], "the main one is judged first"


def test_results_of_a_csv_file_whose_conditions_are_text_are_refused():
    results, study = frame({25: [20, 21, 24], "all": [30, 32, 33]}), question(25, "all")
    with pytest.raises(ItlError, match="^no row of these results is of a condition of test; take them from"):
        contrasts(question(25, 50), results.assign(images_per_class=results["images_per_class"].map(str)))
    as_text = results.assign(
        images_per_class=results["images_per_class"].map(str)
    )  # where "all" still is all
    with pytest.raises(
        ItlError, match="^not every row of these results is of a condition of test; take them"
    ):
        contrasts(study, as_text)
    assert len(contrasts(study, results)) == 1
    assert contrasts(study, results[:0]).empty
    two = pd.concat([results.assign(question="test"), results.assign(question="other", value=0.0)])
    assert contrasts(study, two)["change"].tolist() == contrasts(study, results)["change"].tolist()


def test_a_summary_counts_seeds_and_not_fits():
    once = frame({25: [20, 21, 24], 50: [30, 32, 33]}).assign(repeat=0)
    twice = pd.concat([once.assign(value=once["value"] + 1), once.assign(repeat=1, value=once["value"] - 1)])
    table = summary(twice)
    assert table["n"].tolist() == ["3"]
    pd.testing.assert_frame_equal(table, summary(once))


def test_one_condition_or_one_seed_breaks_nothing():
    empty = contrasts(question(25), frame({25: [1, 2, 3]}))
    assert empty.empty
    assert "verdict" in empty
    single = contrasts(question(25, 50), frame({25: [1], 50: [2]}))
    assert single["verdict"].tolist() == [TOO_FEW]
    assert single["p_adjusted"].isna().all()
    assert contrasts(question(25, 50), frame({25: [1, 2]})).empty, "nothing to compare with yet"


def test_seeds_that_only_one_condition_has_are_left_out():
    table = contrasts(question(25, 50), frame({25: [1, 2, 4, 9], 50: [2, 4, 5]}))
    assert table["n"].tolist() == [3]


def test_contrasts_say_where_results_are_of_different_origin():
    results = frame({25: [20, 21, 23], 50: [30, 32, 33]})
    results["run"] = [f"run{number}" for number in range(6)]
    made = {f"run{number}": {"commit": frozenset({"old" if number < 2 else "new"})} for number in range(6)}
    study = question(25, 50)
    table = contrasts(study, results, made)
    assert table["mixed"].tolist() == ["2 commits"]
    assert readable(table)["flags"].tolist() == ["results of 2 commits"]
    assert readable(table.assign(unequal=True, mixed=""))["flags"].tolist() == ["unequal spreads"]
    assert "flags" not in readable(table.assign(mixed=""))
    two = pd.concat([table, table.assign(mixed="")])
    assert readable(two)["flags"].tolist() == ["results of 2 commits", ""]
    assert contrasts(study, results[results["seed"] == 2], made)["mixed"].tolist() == [""]


def test_a_gain_rests_on_the_runs_without_pre_training_too():
    """Its share, the margin and the control do; a change less that on own classes has none of these."""
    study = question(0, 100, "all")
    study.name = "data-size"
    target, own = noisy({0: 30, 100: 68, "all": 70}), noisy({100: 55, "all": 70}, task="own")
    results = pd.concat([target, own]).assign(classes=4)
    results["images"] = 4 * results["images_per_class"].replace("all", 200).astype(int)
    results["run"] = results["task"] + results["images_per_class"].astype(str) + results["seed"].astype(str)
    runs = results["run"]
    made = {run: {"device": frozenset({"B" if run.startswith("probe@x00") else "A"})} for run in runs}
    table = contrasts(study, results, made).set_index(["compared", "task"])["mixed"]
    half = "100 instead of all images per class"
    assert table[half, "probe@x"] == "2 devices"
    assert table[half, "own"] == table[half + LESS_OWN, "probe@x"] == ""
    trained = results[results["images_per_class"] != 0]
    assert set(contrasts(study, trained, made)["mixed"]) == {""}, "without them there is no gain"


def test_the_change_is_set_beside_that_on_own_classes():
    """The paper's finding that the target lost less than ImageNet itself is a contrast of contrasts."""
    study = question(0, 100, "all")
    study.name = "data-size"
    target = noisy({0: 30, 100: 68, "all": 70})
    own = noisy({100: 55, "all": 70}, task="own")
    results = pd.concat([target, own]).assign(classes=4)
    results["images"] = 4 * results["images_per_class"].replace("all", 200).astype(int)
    table = contrasts(study, results)
    (row,) = table[table["compared"].str.endswith(LESS_OWN)].to_dict("records")
    changes = table[table["compared"] == "100 instead of all images per class"].set_index("task")["change"]
    assert row["change"] == pytest.approx(changes["probe@x"] - changes["own"])
    assert (row["task"], row["verdict"]) == ("probe@x", GAIN)
    errors = table[table["compared"] == "100 instead of all images per class"]["standard_error"]
    assert row["standard_error"] == pytest.approx(np.sqrt((errors**2).sum()))
    dfs = table[table["compared"] == "100 instead of all images per class"]["df"]
    assert row["df"] == pytest.approx((errors**2).sum() ** 2 / (errors**4 / dfs).sum()), "Satterthwaite's"
    right = pd.concat([target, noisy({100: 100, "all": 100}, size=0, task="own")]).assign(classes=4)
    exact = contrasts(study, right.assign(images=results["images"]))
    (row,) = exact[exact["compared"].str.endswith(LESS_OWN)].to_dict("records")
    alone = exact[(exact["compared"] == "100 instead of all images per class") & (exact["task"] == "probe@x")]
    assert (row["change"], row["df"]) == pytest.approx((alone["change"].item(), alone["df"].item()))
    assert row["note"] == "", "nets that are all right on their own classes have no noise there"
    fewer = contrasts(study, results[(results["task"] != "own") | (results["seed"] > 0)])
    assert fewer[fewer["compared"].str.endswith(LESS_OWN)]["n"].tolist() == [4]


def test_the_untrained_net_of_the_same_halves_is_the_baseline():
    columns = [
        (("halves", kind), ("pretrained_on", name))
        for kind in ("minimal", "random")
        for name in ("none", "A", "A + B")
    ]
    conditions = tuple(Condition(labels, trained=labels[1][1] != "none") for labels in columns)
    pairs = (Comparison(columns[2], columns[1]), Comparison(columns[5], columns[4]))
    study = SimpleNamespace(name="split", conditions=conditions, comparisons=pairs, **PLAIN)
    levels = [10, 40, 43, 20, 40, 43]
    rows = [
        dict(labels) | {"seed": seed, "value": level + NOISE[at, seed], "task": "probe@x"}
        for at, (labels, level) in enumerate(zip(columns, levels, strict=True))
        for seed in range(5)
    ]
    table = contrasts(study, pd.DataFrame(rows).assign(metric="accuracy"))
    assert table["share"].tolist() == pytest.approx([33 / 30, 23 / 20], abs=0.03)

    floor = pd.DataFrame(rows).assign(metric="accuracy")
    floor.loc[(floor["halves"] == "minimal") & (floor["pretrained_on"] == "none"), "value"] += 29.5
    assert [line.partition(": pre")[0] for line in failed_controls(study, floor)] == [
        "probe@x: the control fails"
    ]
    study.comparisons = study.comparisons[::-1]
    assert failed_controls(study, floor) == [], "the other halves have another untrained net"
    study.comparisons = (replace(pairs[1], tasks=("knn@x",)), pairs[0])
    assert len(failed_controls(study, floor)) == 1, "the main comparison is not made on this task"


@pytest.mark.parametrize("margin", [Margin(), Margin(points=(("accuracy", 8.0),))])
def test_both_ends_of_the_margin_are_refuted_for_the_same(margin):
    near, low, high = (main_row({0: 30, 25: level, 50: 60, "all": 70}, margin) for level in (70, 55, 85))
    assert near["p_same"] < 0.01
    assert min(low["p_same"], high["p_same"]) > 0.99


def test_a_gain_from_pretraining_is_beyond_noise_below_the_level():
    gain = SimpleNamespace(mean=10.0, n=MIN_SEEDS, p=LEVEL)
    assert "is not beyond noise" in control_fault(gain, margin=2.0, score=50.0, untrained=40.0)
    gain.p = LEVEL / 2
    assert control_fault(gain, margin=2.0, score=50.0, untrained=40.0) == ""
    assert control_fault(gain, margin=5.0, score=50.0, untrained=40.0) == "", "twice the margin is enough"
    gain.p, gain.n = 1.0, MIN_SEEDS - 1
    assert control_fault(gain, margin=2.0, score=50.0, untrained=40.0) == "", "in a pilot the size decides"


def test_conditions_of_the_very_same_runs_count_once_in_the_model():
    levels = {1: 40.0, 2: 42.0, 3: 44.0}
    results = noisy(levels)
    results["run"] = [
        f"{count}-{seed}" for count, seed in zip(results.iloc[:, 0], results["seed"], strict=True)
    ]
    twice = pd.concat([results, results[results["images_per_class"] == 3].assign(images_per_class=4)])
    once, study = contrasts(question(*levels), results), question(*levels, 4)
    study.comparisons = (Comparison((("images_per_class", 1),), (("images_per_class", 4),)),)
    same = contrasts(study, twice)
    numbers = ["change", "low", "high", "p", "standard_error", "df"]
    assert same.loc[0, numbers].tolist() == once.loc[0, numbers].tolist()
    assert contrasts(study, twice.drop(columns="run")).loc[0, "df"] != once.loc[0, "df"], "of unknown runs"


def test_a_pilot_says_where_nothing_could_be_called_the_same():
    study = question(0, 25, 50, "all")
    fine = noisy({0: 30, "all": 70}, seeds=1)
    assert failed_controls(study, fine) == []
    floor = noisy({0: 0.4, "all": 1.4}, seeds=1, size=0.1, task="detection@y").assign(metric="map")
    (line,) = failed_controls(study, pd.concat([fine, floor]))
    assert line.startswith("detection@y: a floor: pre-training itself gives +")
    assert failed_controls(study, noisy({0: 97, 25: 98, 50: 98, "all": 98}))[0].startswith(
        "probe@x: a ceiling"
    )


def test_seeds_that_are_added_until_it_is_decided_need_more():
    study = question(0, 25, 50, "all")
    results = noisy({0: 30, 25: 66, 50: 60, "all": 70}, seeds=3, size=12.0)
    fixed = contrasts(study, results).iloc[0]
    study.cap = 10
    looked = contrasts(study, results).iloc[0]
    assert looked["p"] == fixed["p"]
    assert looked["p_adjusted"] == pytest.approx(min(1.0, fixed["p_adjusted"] * 0.05 / look_level(3, 10)))
