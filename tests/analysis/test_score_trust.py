"""Which score can be trusted: planted good scores are assessment, and noise claims nothing."""

import math
from dataclasses import replace
from itertools import combinations, permutations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import weightedtau

from itl import ItlError
from itl.analysis import score_trust
from itl.analysis.score_trust import (
    BACKWARDS,
    BEST,
    NO_ORDER,
    NOT_TESTED,
    RANDOM,
    SIZE,
    WITHIN_NOISE,
    WORSE,
    Assessment,
    Nets,
    agreement,
    answer_text,
    bootstrap,
    judged,
    per_task,
    weighted_tau,
)
from itl.runs.design import Task

PREDICTORS = ("logme", "leep", "rankme", SIZE, RANDOM)


def world(
    seed: int, quality: tuple[float, ...] = (0, 0, 0, 0), tasks: int = 6, seeds: int = 6, conditions: int = 5
) -> Nets:
    """Simulate nets whose transfer varies by condition, seed and net; scores follow it by their *quality*."""
    random = np.random.default_rng(seed)
    net_seeds = np.repeat(np.arange(seeds), conditions)
    general = np.tile(random.normal(0, 2, conditions), seeds) + random.normal(0, 1, seeds)[net_seeds]
    transfer = 40 + general + random.normal(0, 2, (tasks, seeds * conditions))
    noise = random.normal(size=(tasks, seeds * conditions, 4))
    # Part of a useless score is shared by all targets, as that of a real one is: nets are the same.
    noise += random.normal(size=(1, seeds * conditions, 4))
    standard = (transfer - transfer.mean(1, keepdims=True)) / transfer.std(1, keepdims=True)
    scores = np.array(quality) * standard[:, :, None] + noise
    scores = np.concatenate([scores, np.zeros((*transfer.shape, 1))], axis=2)
    names = tuple(f"probe@{number}" for number in range(tasks))
    targets = tuple(str(number) for number in range(tasks))
    return Nets(scores, transfer, np.full(tasks, 25.0), net_seeds, names, targets, PREDICTORS)


def test_agreement_by_hand():
    transfer = np.array([50.0, 60.0, 70.0])
    scores = np.array([[1.0, 3.0, 2.0, 5.0], [2.0, 2.0, 2.0, math.nan], [3.0, 1.0, 2.0, 6.0]])
    tau, regret, gain = agreement(scores, transfer, untrained=30.0)
    assert tau[:2] == pytest.approx([1, -1])
    assert math.isnan(tau[2])  # the same score for all nets orders nothing
    assert regret[:3].tolist() == [0, 20, 10]  # the last picks at random
    assert gain[:3].tolist() == [40, 40, 40]
    assert np.isnan([tau[3], regret[3], gain[3]]).all()
    assert np.isnan(agreement(scores, transfer)[2]).all()  # without pre-training is not known


def test_weighted_tau_counts_mistakes_at_the_top_most():
    transfer = np.arange(10.0)
    top, bottom = transfer.copy(), transfer.copy()
    top[[8, 9]], bottom[[0, 1]] = top[[9, 8]], bottom[[1, 0]]
    tau = agreement(np.column_stack([top, bottom]), transfer)[0]
    assert 0 < tau[0] < tau[1] < 1


def test_weighted_tau_is_scipys_where_no_two_are_equal_and_else_has_mean_ranks():
    random = np.random.default_rng(0)
    for digits in (0, 1, 9):
        score, transfer = np.round(random.normal(size=(2, 15)), digits)
        assert weighted_tau(score, transfer) == pytest.approx(slow_tau(score, transfer), abs=1e-12)
        if digits == 9:
            assert weighted_tau(score, transfer) == pytest.approx(weightedtau(score, transfer).statistic)


def slow_tau(score: np.ndarray, transfer: np.ndarray) -> float:
    """By pairs of nets, each with the weight of both."""
    taus = []
    for values in (score, transfer):
        rank = [1 + sum(values > one) + (sum(values == one) - 1) / 2 for one in values]
        agree = by_score = by_transfer = 0.0
        for i, j in combinations(range(len(values)), 2):
            weight = 1 / rank[i] + 1 / rank[j]
            signs = np.sign(score[i] - score[j]), np.sign(transfer[i] - transfer[j])
            agree += weight * signs[0] * signs[1]
            by_score, by_transfer = by_score + weight * abs(signs[0]), by_transfer + weight * abs(signs[1])
        taus.append(agree / math.sqrt(by_score * by_transfer))
    return sum(taus) / 2


@pytest.mark.parametrize("values", [2, 3, 6])
def test_a_score_of_few_values_has_no_tau_where_nothing_is_related(values):
    """As the number of images has; its mean was above 0.1 with ranks of equal scores by their transfer."""
    random, score = np.random.default_rng(0), np.repeat(np.arange(values), 36 // values).astype(float)
    taus = [weighted_tau(score, random.normal(size=len(score))) for _ in range(1000)]
    assert abs(np.mean(taus)) < 4 * np.std(taus) / math.sqrt(1000) < 0.03


def test_nets_that_transfer_alike_have_no_order_and_lose_nothing():
    tau, regret, gain = agreement(np.array([[1.0], [2.0]]), np.array([20.0, 20.0]), untrained=25.0)
    assert math.isnan(tau[0])
    assert (regret[0], gain[0]) == (0, -5)


def test_a_planted_good_score_is_the_best_and_beats_the_number_of_images():
    for seed in range(5):
        table = judged(world(seed, quality=(6, 0, 0, 0)), resamples=60).set_index("predictor")
        assert table["verdict"]["logme"] == BEST
        assert table["p_size"]["logme"] < 0.05
        assert table["tau"]["logme"] > 0.7
        assert table["regret"]["logme"] < table["regret"]["rankme"]


def test_two_scores_alike_are_within_noise_and_a_poor_one_is_worse():
    verdicts = [
        judged(world(seed, quality=(6, 6, 1, 0), tasks=10, seeds=10), resamples=60)
        .set_index("predictor")["verdict"]
        .to_dict()
        for seed in range(3)
    ]
    for verdict in verdicts:
        assert {verdict["logme"], verdict["leep"]} == {BEST, WITHIN_NOISE}
        assert verdict["rankme"] != WITHIN_NOISE
    assert WORSE in {verdict["rankme"] for verdict in verdicts}


def test_scores_that_are_noise_claim_nothing():
    """At most 5 % of worlds of useless scores may claim an order; 40 of them, so at most 5 by chance."""
    claims = sum((judged(world(seed), resamples=30)["p_order"] < 0.05).any() for seed in range(40))
    assert claims <= 5


def flat_world(seed: int, flat: int, quality: tuple[float, ...] = (0, 0, 0, 0)) -> Nets:
    """A `world` of six tasks; on so many all nets are always right."""
    nets = world(seed, quality)
    nets.transfer[:flat] = 100.0
    return nets


@pytest.mark.parametrize("flat", [3, 4, 5])
def test_tasks_on_which_all_nets_transfer_alike_make_no_order_of_noise(flat):
    tables = [judged(flat_world(seed, flat), resamples=30) for seed in range(40)]
    assert sum((table["p_order"] < 0.05).any() for table in tables) <= 5
    assert {name: tables[0].set_index("predictor")["tasks"][name] for name in ("logme", RANDOM)} == {
        "logme": 6 - flat,
        RANDOM: 0,
    }


def test_a_good_score_is_the_best_on_the_tasks_on_which_nets_differ():
    """On a single one there is no test."""
    for flat, verdict in ((2, BEST), (5, NOT_TESTED)):
        table = judged(flat_world(0, flat, (6, 0, 0, 0)), resamples=40).set_index("predictor")
        assert table["verdict"]["logme"] == verdict
        assert math.isnan(table["tau_low"]["logme"]) == math.isnan(table["p_order"]["logme"]) == (flat == 5)
        assert math.isfinite(table["regret_low"]["logme"])  # of all six


def test_a_score_is_judged_on_the_tasks_on_which_it_differs():
    nets = world(0, quality=(6, 6, 0, 0))
    nets.scores[1:, :, 1] = 7.0
    table = judged(nets, resamples=40).set_index("predictor")
    assert table["tasks"][["logme", "leep"]].tolist() == [6, 1]
    assert table["verdict"][["logme", "leep"]].tolist() == [BEST, NOT_TESTED]


def test_a_perfect_order_is_one_of_the_tasks_on_which_the_score_differs():
    """Of six nets with two values of three each 2 of 20 orders are perfect, whatever another task has."""
    nets = world(0, tasks=3, seeds=3, conditions=2)
    nets.transfer[:2] = np.tile([50.0, 60.0], 3)
    nets.scores[:2, :, 0], nets.scores[2, :, 0] = nets.transfer[:2], 7.0
    table = judged(nets, resamples=40).set_index("predictor")
    assert table["tau"]["logme"] == pytest.approx(1)
    assert table["p_order"]["logme"] >= 2 / 20


def test_the_share_lost_is_that_of_the_mean_gain():
    """A task without a gain made shares of thousands of percent."""
    nets = world(0, quality=(2, 0, 0, 0))
    nets.untrained[0] = nets.transfer[0].max() - 0.001
    table, tasks = judged(nets, resamples=60).set_index("predictor"), per_task(nets)
    means = tasks[tasks["predictor"] == "logme"][["regret", "gain"]].mean()
    row = table.loc["logme"]
    assert row["share"] == pytest.approx(means["regret"] / means["gain"])
    assert 0 <= row["share_low"] < row["share"] < row["share_high"] < 0.5


@pytest.mark.parametrize("gains", [[20, 0, 0, 0, 0, 0], [-9] * 6, [math.nan] * 6, [0.5, -0.5] * 3])
def test_where_the_gain_may_be_none_no_share_is_lost(gains):
    nets = world(0, quality=(2, 0, 0, 0))
    nets.untrained[:] = nets.transfer.max(1) - gains
    assessment = assessed(nets)
    assert assessment.table[["share", "share_low", "share_high"]].isna().all(axis=None)
    assert set(score_trust.readable(assessment)["share of the gain lost"]) == {""}
    assert "of the gain" not in answer_text(assessment)


def test_the_interval_holds_the_mean_of_many_worlds():
    quality = (2, 0, 0, 0)
    worlds = [world(seed, quality) for seed in range(1000, 1100)]
    truth = np.mean(
        [agreement(*task)[0, 0] for nets in worlds for task in zip(nets.scores, nets.transfer, strict=True)]
    )
    held = 0
    for seed in range(20):
        row = judged(world(seed, quality), resamples=30).set_index("predictor").loc["logme"]
        held += row["tau_low"] <= truth <= row["tau_high"]
    assert held >= 17  # of 20


def test_targets_are_resampled_with_all_their_tasks():
    nets = world(0, quality=(3, 0, 0, 0))
    doubled = Nets(
        np.concatenate([nets.scores, nets.scores]),
        np.concatenate([nets.transfer, nets.transfer]),
        np.concatenate([nets.untrained, nets.untrained]),
        nets.seeds,
        (*nets.tasks, *(f"finetune@{target}" for target in nets.targets)),
        (*nets.targets, *nets.targets),
        nets.predictors,
    )
    assert np.allclose(bootstrap(nets, 20), bootstrap(doubled, 20), equal_nan=True)


def test_a_score_that_a_target_lacks_is_judged_on_the_others():
    nets = world(0, quality=(6, 6, 0, 0))
    nets.scores[0, :, 1] = math.nan
    table = judged(nets, resamples=40).set_index("predictor")
    assert table["tasks"]["leep"] == 5
    assert table["tasks"]["logme"] == 6
    assert np.isfinite(table[["tau", "tau_low", "tau_high", "p_order"]].loc["leep"].to_numpy(float)).all()


def test_a_score_on_one_target_has_no_interval_and_no_test():
    nets = world(0, quality=(6, 6, 0, 0))
    nets.scores[1:, :, 1] = math.nan
    table = judged(nets, resamples=40).set_index("predictor")
    assert table["tasks"]["leep"] == 1
    assert table[["tau_low", "tau_high", "p_order", "p_size", "p_best"]].loc["leep"].isna().all()
    assert table["verdict"]["leep"] == NOT_TESTED
    assert table["verdict"]["logme"] == BEST


@pytest.mark.parametrize("tasks", [1, 2])
def test_scores_on_one_target_are_not_tested_however_well_they_order(tasks):
    nets = replace(world(0, quality=(6, 0, 0, 0), tasks=tasks), targets=("mine",) * tasks)
    assessment = assessed(nets)
    assert set(assessment.table["verdict"]) == {NOT_TESTED, ""}
    text = answer_text(assessment)
    assert text.startswith("**Not tested**: tests of scores are for other targets, and take two on which")
    assert "give a second one in targets and tasks (the highest weighted τ is that of LogME, 0." in text
    assert score_trust.index_entry(assessment) == {"n": 6, "verdict": "not tested"}
    assert score_trust.readable(assessment)["tasks"].tolist() == [str(tasks)] * 4 + [""]


def assessed(nets: Nets) -> Assessment:
    """The judgement of *nets*, as a page has it."""
    table = judged(nets, resamples=40).assign(seconds=0.01)
    return Assessment(
        table, per_task(nets), len(nets.seeds), len(set(nets.seeds)), {"features": 0.2, "probe": 1.0}
    )


def test_the_answer_names_the_best_and_says_where_it_cannot_tell():
    assessment = assessed(world(0, quality=(6, 0, 0, 0)))
    text = answer_text(assessment)
    assert text.startswith("**LogME** orders these 30 nets best: weighted τ 0.")
    assert "the number of images alone reaches" in text
    assert text.endswith(
        "and the difference is beyond noise. Tests are for other targets and seeds of the same options: "
        "others may be ordered otherwise."
    )
    assert score_trust.index_entry(assessment) == {"n": 6, "verdict": "best: LogME"}
    nothing = assessed(world(3))
    assert answer_text(nothing).startswith("**Cannot tell**: no score orders these 30 nets beyond chance")
    assert score_trust.index_entry(nothing)["verdict"] == "cannot tell"


@pytest.mark.parametrize(("tasks", "seeds", "conditions"), [(4, 5, 3), (6, 4, 2), (8, 3, 3)])
def test_a_perfect_order_is_judged_by_the_number_of_nets(tasks, seeds, conditions):
    """Not by its spread over resamples, which is that of rounding."""
    nets = world(0, tasks=tasks, seeds=seeds, conditions=conditions)
    nets.scores[:, :, 0], nets.scores[:, :, 1] = nets.transfer, -nets.transfer
    table = judged(nets, resamples=40).set_index("predictor")
    orders = 2 / math.factorial(seeds * conditions)
    assert table["p_order"][["logme", "leep"]].tolist() == pytest.approx([4 * orders] * 2, abs=0)
    assert table["verdict"][["logme", "leep"]].tolist() == [BEST, BACKWARDS]


def test_a_perfect_order_of_few_nets_is_chance():
    """Of three nets two of six orders are perfect, or the reverse of it."""
    nets = world(0, tasks=3, seeds=3, conditions=1)
    nets.scores[:, :, 0] = nets.transfer
    table = judged(nets, resamples=40).set_index("predictor")
    assert (table["tau"]["logme"], table["verdict"]["logme"]) == (pytest.approx(1), NO_ORDER)


def test_a_perfect_order_with_ties_is_judged_by_the_orders_that_differ():
    """Of six nets with two values of three each, 2 of 20 orders are perfect, or the reverse."""
    nets = world(0, tasks=3, seeds=3, conditions=2)
    nets.transfer[:] = np.tile([50.0, 60.0], 3)
    nets.scores[:, :, 0] = nets.transfer
    table = judged(nets, resamples=40).set_index("predictor")
    assert (table["tau"]["logme"], table["p_order"]["logme"]) == (pytest.approx(1), pytest.approx(4 * 2 / 20))
    assert (table["p_order"].dropna() >= 0.4).all()
    assert set(table["verdict"]) == {NO_ORDER, ""}


@pytest.mark.parametrize(
    "transfer", [[[1, 2, 3, 4]], [[1, 1, 2, 2]], [[1, 2, 2, 2]], [[1, 1, 2, 2], [5, 5, 6, 7]]]
)
def test_the_chance_of_a_perfect_order_is_that_of_all_orders(transfer):
    values = np.array(transfer, float)
    orders = [values[:, list(order)] for order in permutations(range(4))]
    best = np.sign(values[:, :, None] - values[:, None])
    signs = [np.sign(order[:, :, None] - order[:, None]) for order in orders]
    perfect = np.mean([(sign == best).all() or (sign == -best).all() for sign in signs])
    assert score_trust.perfect_order_p(values) == pytest.approx(perfect)


def test_two_sizes_that_order_six_nets_rightly_may_be_chance():
    """All resamples of three seeds have the larger above the smaller, and so have 2 of 20 random orders."""
    nets = world(0, tasks=4, seeds=3, conditions=2)
    nets.scores[:, :, 3] = np.tile([1.0, 2.0], 3)
    order = [0, 1, 2, 3, 4, 5]
    nets.transfer[:] = np.random.default_rng(0).normal(0, 0.01, (4, 6)) + np.tile([50.0, 60.0], 3) + order
    table = judged(nets, resamples=40).set_index("predictor")
    assert table["tau"][SIZE] > 0.7
    assert table["p_order"][SIZE] >= 0.3
    assert table["verdict"][SIZE] == NO_ORDER


def test_a_good_score_of_few_nets_is_found():
    nets = world(0, quality=(12, 0, 0, 0), seeds=5, conditions=2)
    table = judged(nets, resamples=40).set_index("predictor")
    assert table["verdict"]["logme"] == BEST
    assert 0.001 <= table["p_order"]["logme"] < 0.05


def test_of_two_scores_with_one_order_both_are_the_best():
    nets = world(0, quality=(6, 0, 0, 0))
    nets.scores[:, :, 1] = 2 * nets.scores[:, :, 0]
    assessment = assessed(nets)
    text = answer_text(assessment)
    assert text.startswith("**LogME** and **LEEP** order these 30 nets best: weighted τ 0.")
    assert "Picking by LogME loses" in text
    assert score_trust.index_entry(assessment)["verdict"] == "best: LogME and LEEP"


@pytest.mark.parametrize("quality", [(6, 0, 0, 0), (0, 0, 0, 0)])
def test_the_answer_says_on_how_many_tasks_a_score_is_that_some_lack(quality):
    nets = world(3, quality)
    assert "tasks" not in answer_text(assessed(nets))
    nets.scores[0, :, :3] = math.nan  # all but the number of images
    assert ", on 5 of 6 tasks" in answer_text(assessed(nets))


def test_the_answer_says_on_which_tasks_nets_differ():
    flat = "On 2 of 6 tasks all nets transfer alike, and no score is judged."
    for quality in ((6, 0, 0, 0), (0, 0, 0, 0)):
        text = answer_text(assessed(flat_world(3, 2, quality)))
        assert text.endswith(f". {flat}")
        assert ", on 4 of 6 tasks" in text


def test_nets_that_transfer_alike_everywhere_cannot_be_ordered():
    """Also where not all have as many images."""
    assessment = assessed(flat_world(0, 6))
    assert answer_text(assessment) == (
        "**Cannot tell**: these 30 nets transfer alike on every task, so no score can order them."
    )
    assert set(score_trust.readable(assessment)["tasks"]) == {""}
    score_trust.figure(assessment)


def test_scores_that_are_the_same_for_all_nets_have_no_highest():
    nets = world(0)
    nets.scores[:, :, 3] = 10.0
    text = answer_text(assessed(nets))
    assert "(the highest weighted τ is that of " in text
    assert text.endswith("; all nets have as many images, so that their number orders nothing.")
    nets.scores[:] = 10.0
    assert answer_text(assessed(nets)) == (
        "**Cannot tell**: no score orders these 30 nets beyond chance; all nets have as many images, so that "
        "their number orders nothing."
    )


def test_the_table_and_the_figure_show_every_predictor():
    assessment = assessed(world(0, quality=(6, 0, 0, 0)))
    table = score_trust.readable(assessment)
    assert table["score"].iloc[0] == "LogME"
    assert table["score"].iloc[-1] == "a net at random"
    assert table["weighted τ"].iloc[-1] == ""
    assert (table["seconds"] == "0.010").all()
    drawn = score_trust.figure(assessment)
    labels = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert labels == table["score"].tolist()
    assert "0.20 for the pass" in score_trust.cost_text(assessment)
    assert "probe 1.00" in score_trust.cost_text(assessment)


QUESTION = SimpleNamespace(
    conditions=(SimpleNamespace(columns=(("label_set", "original"),)),),
    tasks=(Task.read("probe@scenes"), Task.read("scores@scenes")),
)


def results_of(seeds: list[int]) -> pd.DataFrame:
    """Results of two kinds of trained nets, of untrained nets and of nets with weights from elsewhere."""
    rows = []
    for seed in seeds:
        for label, images, weights, probe in (
            ("a", 10, "", 50.0),
            ("b", 20, "", 60.0),
            ("none", 0, "", 20.0),
            ("mine", 0, "mine.pth", 90.0),
        ):
            net = {"label_set": label, "seed": seed, "images": images, "weights": weights}
            values = [("probe@scenes", "accuracy", probe + seed), ("scores@scenes", "logme", probe / 100)]
            values += [("own", "accuracy", probe / 2)] if images else []
            rows += [net | {"task": task, "metric": name, "value": value} for task, name, value in values]
    return pd.DataFrame(rows)


def test_nets_trained_here_are_ordered_and_untrained_ones_are_the_baseline():
    nets = score_trust.nets_of(QUESTION, results_of([0, 1]))
    assert nets.tasks == ("probe@scenes",)
    assert nets.targets == ("scenes",)
    assert nets.transfer.tolist() == [[50, 60, 51, 61]]
    assert nets.seeds.tolist() == [0, 0, 1, 1]
    assert nets.untrained.tolist() == [20.5]
    score = {name: nets.scores[0, :, number].tolist() for number, name in enumerate(nets.predictors)}
    assert score["logme"] == [0.5, 0.6, 0.5, 0.6]
    assert score["data_size"] == [10, 20, 10, 20]
    assert score["source_accuracy"] == [25, 30, 25, 30]
    assert score["random"] == [0, 0, 0, 0]
    assert np.isnan(score["leep"]).all(), "it was not computed"


def test_scores_that_differ_by_rounding_alone_order_nothing():
    """As H-scores of features of more dimensions than images: the number of classes less 1."""
    results, random = results_of([0, 1, 2]), np.random.default_rng(0)
    of_scores = results["task"] == "scores@scenes"
    before = per_task(score_trust.nets_of(QUESTION, results)).set_index("predictor")
    assert before["tau"]["logme"] > 0.7
    results.loc[of_scores, "value"] = 4 + random.integers(-4, 5, of_scores.sum()) * np.spacing(4.0)
    by_score = per_task(score_trust.nets_of(QUESTION, results)).set_index("predictor")
    assert math.isnan(by_score["tau"]["logme"])
    assert by_score["regret"]["logme"] == by_score["regret"]["random"]


def test_nets_without_every_run_are_left_out():
    results = results_of([0, 1, 2])
    missing = (results["task"] == "scores@scenes") & (results["seed"] == 2) & (results["label_set"] == "b")
    assert score_trust.nets_of(QUESTION, results[~missing]).transfer.tolist() == [[50, 60, 51, 61, 52]]


def test_results_that_two_homes_have_count_once():
    once, both = (
        score_trust.nets_of(QUESTION, pd.concat([results_of([0, 1])] * copies)) for copies in (1, 2)
    )
    assert both.transfer.tolist() == once.transfer.tolist()
    assert both.untrained.tolist() == once.untrained.tolist()
    assert np.array_equal(both.scores, once.scores, equal_nan=True)


def test_no_gain_is_known_before_an_untrained_net_has_every_task():
    question = SimpleNamespace(
        conditions=QUESTION.conditions, tasks=(*QUESTION.tasks, Task.read("knn@scenes"))
    )
    results = results_of([0, 1])
    knn = results[results["task"] == "probe@scenes"].assign(task="knn@scenes", metric="knn5")
    some = knn[(knn["label_set"] != "none") | (knn["seed"] == 1)]
    assert score_trust.nets_of(question, pd.concat([results, some])).untrained.tolist() == [21, 21]
    none = knn[knn["label_set"] != "none"]
    assert np.isnan(score_trust.nets_of(question, pd.concat([results, none])).untrained).all()


def test_one_seed_is_refused():
    with pytest.raises(ItlError, match="2 nets of 1 seeds have; run more of the question first"):
        score_trust.nets_of(QUESTION, results_of([0]))
