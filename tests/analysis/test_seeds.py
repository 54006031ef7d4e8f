"""Planning seeds: power against simulations with the model itself, and the rule for seeds that are added."""

from functools import cache

import numpy as np
import pytest
from scipy import stats

from itl import ItlError
from itl.analysis.model import fit
from itl.analysis.seeds import (
    POWER,
    Variances,
    cheapest,
    look_level,
    power_different,
    power_same,
    smallest_detectable,
)
from itl.analysis.statistics import LEVEL, MAIN_SHARE

STUDIES = 3000
DESIGNS = [(3, 2.83, 3), (5, 2.0, 3), (3, 2.83, 6), (10, 1.0, 6), (5, 2.0, 2)]  # seeds, points and conditions


@cache
def simulated(seeds: int, change: float, conditions: int = 6, studies: int = STUDIES) -> list:
    """Models and the weights of their first comparison: noise of 1, the first condition changed.

    Kept, as several tests look at the same studies: to fit 3,000 takes half a second.
    """
    random, weights = np.random.default_rng(0), np.zeros(conditions)
    weights[0], weights[-1] = 1, -1
    models = []
    for _ in range(studies):
        values = random.normal(size=(seeds, conditions))
        values[:, 0] += change
        models.append(fit(values, np.ones(conditions, bool), np.array([0, conditions - 1])))
    return [(model, weights) for model in models]


def p_same_sides(model, weights: np.ndarray, margin: float) -> tuple[float, float]:
    """The p values of the change being *margin* or more, up and down."""
    return model.estimate(weights).p_above(-margin), model.estimate(-weights).p_above(-margin)


@pytest.mark.parametrize(("seeds", "change", "conditions"), DESIGNS)
def test_power_is_how_often_simulated_studies_show_it(seeds, change, conditions):
    studies = simulated(seeds, change, conditions)
    hits = sum(model.estimate(weights).p < MAIN_SHARE * LEVEL for model, weights in studies)
    assert hits / STUDIES == pytest.approx(power_different(change, 1.0, seeds, conditions), abs=0.025)


def test_power_of_few_runs_counts_no_more_degrees_of_freedom_than_residuals():
    """As in 8,000 simulated questions of three seeds of three conditions, 64.5 and 39.0 %; else 67 and 41."""
    planned = [power_different(change, 1.0, 3, 3) for change in (2.83, 2.0)]
    assert planned == pytest.approx([0.645, 0.390], abs=0.01)


@pytest.mark.parametrize(("seeds", "margin", "conditions"), DESIGNS)
def test_power_of_the_same_is_how_often_simulated_studies_show_it(seeds, margin, conditions):
    studies = simulated(seeds, 0.0, conditions)
    hits = sum(max(p_same_sides(*study, margin)) < MAIN_SHARE * LEVEL for study in studies)
    assert hits / STUDIES == pytest.approx(power_same(margin, 1.0, seeds, conditions), abs=0.025)


@pytest.mark.parametrize(("seeds", "points", "conditions"), DESIGNS[1:4])
def test_power_of_a_look_is_how_often_simulated_studies_show_it_at_its_level(seeds, points, conditions):
    level = MAIN_SHARE * look_level(seeds, 10)
    hits = [model.estimate(weights).p < level for model, weights in simulated(seeds, points, conditions)]
    assert np.mean(hits) == pytest.approx(power_different(points, 1.0, seeds, conditions, 10), abs=0.025)
    same = [
        max(p_same_sides(model, weights, points)) < level
        for model, weights in simulated(seeds, 0.0, conditions)
    ]
    assert np.mean(same) == pytest.approx(power_same(points, 1.0, seeds, conditions, 10), abs=0.025)
    change = smallest_detectable(1.0, seeds, conditions, 10)
    assert power_different(change, 1.0, seeds, conditions, 10) == pytest.approx(POWER, abs=1e-6)
    assert change > smallest_detectable(1.0, seeds, conditions)


def test_a_design_of_a_capped_study_has_at_most_so_many_seeds():
    minutes = 30.0, 3.0
    fixed, capped = (cheapest(Variances(1.0), minutes, 3, detect=2.0, cap=cap).seeds for cap in (0, 12))
    assert (fixed, capped) == (7, 10)
    with pytest.raises(ItlError, match="2 points are too few for 8 seeds, the cap: .* or raise the cap"):
        cheapest(Variances(1.0), minutes, 3, detect=2.0, cap=8)


def test_the_cheapest_design_is_the_cheapest_of_all():
    variances, minutes = Variances(net=1.0, fit=4.0), (40.0, 2.0)
    design = cheapest(variances, minutes, 4, detect=2.0)
    possible = {
        seeds * (40.0 + repeats * 2.0)
        for repeats in range(1, 11)
        for seeds in range(3, 40)
        if power_different(2.0, variances.of_seed(repeats), seeds, 4) >= POWER
    }
    assert design.minutes == min(possible)
    assert design.repeats > 1, "fits are cheap here, and noisy"
    assert cheapest(Variances(1.0), minutes, 4, within=3.0).repeats == 1, "what fits add is not known apart"


def test_minutes_are_those_of_nets_and_all_their_fits():
    design = cheapest(Variances(1.0), (12.0, 2.0), 4, detect=50.0)
    assert (design.seeds, design.repeats, design.minutes) == (3, 1, 3 * 12.0 + 3 * 2.0)
    assert Variances(net=3.0, fit=0.5).of_seed(repeats=2) == 3.25


def test_seeds_are_at_least_three_and_repeats_at_most_ten():
    assert cheapest(Variances(1.0, 1.0), (4.0, 4.0), 4, detect=50.0).seeds == 3
    free_fits = cheapest(Variances(net=0.2, fit=8.0), (4.0, 0.0), 4, detect=1.0)
    assert (free_fits.seeds, free_fits.repeats) == (19, 10), "eleven would do with 17 seeds"


@pytest.mark.parametrize("seeds", [3, 4, 10])
def test_power_of_two_conditions_is_that_of_a_paired_t_test_at_the_main_comparisons_level(seeds):
    variance, points, df = 1.5, 3.0, seeds - 1
    error = np.sqrt(2 * variance / seeds)
    detected = stats.nct.sf(stats.t.ppf(1 - 0.04 / 2, df), df, points / error)
    assert power_different(points, variance, seeds, 2) == pytest.approx(detected, abs=1e-5)
    assert power_different(-points, variance, seeds, 2) == power_different(points, variance, seeds, 2)

    errors = error * np.sqrt(stats.chi2.ppf((np.arange(20_000) + 0.5) / 20_000, df) / df)  # as estimated
    room = points - stats.t.ppf(1 - 0.04, df) * errors
    average = np.where(room > 0, 2 * stats.norm.cdf(room / error) - 1, 0.0).mean()
    assert power_same(points, variance, seeds, 2) == pytest.approx(average, abs=2e-4)


@pytest.mark.parametrize("conditions", [3, 4, 12])
def test_variances_of_many_conditions_hold_what_is_known_of_two_and_no_more(conditions):
    """A third one adds to what is known, at most as much as if all variances were one."""
    seeds, change, error = 4, 3.0, np.sqrt(2 / 4)
    pooled = (seeds - 1) * (conditions - 1)
    at_most = stats.nct.sf(stats.t.ppf(1 - 0.04 / 2, pooled), pooled, change / error)
    power = power_different(change, 1.0, seeds, conditions)
    assert power_different(change, 1.0, seeds, 2) < power < at_most


def test_more_seeds_have_more_power():
    designs = [power_different(1.0, 1.0, seeds, 7) for seeds in range(3, 13)]
    assert designs == sorted(designs)


def test_without_noise_everything_is_shown():
    assert power_different(1.0, 0.0, 3, 4) == power_same(1.0, 0.0, 3, 4) == 1.0
    assert smallest_detectable(0.0, 3, 4) == 0.0


def test_what_no_design_can_show_is_refused():
    words = "0.01 points are too few for 100 seeds: scores spread by 2.0 points between seeds"
    with pytest.raises(ItlError, match=words):
        cheapest(Variances(1.0, 3.0), (4.0, 4.0), 4, detect=0.01)


def test_the_smallest_detectable_change_is_found_four_times_in_five():
    change = smallest_detectable(2.0, 4, 5)
    assert power_different(change, 2.0, 4, 5) == pytest.approx(POWER, abs=1e-6)


@pytest.mark.parametrize("conditions", [3, 6])
def test_seeds_added_until_it_is_decided_keep_the_error_rate(conditions):
    random, cap, wrong, studies = np.random.default_rng(7), 6, 0, 1500
    weights = np.eye(conditions)[0] - np.eye(conditions)[-1]
    for _ in range(studies):
        values = random.normal(size=(cap, conditions))
        wrong += any(
            fit(values[:seeds], np.ones(conditions, bool), np.array([0, conditions - 1])).estimate(weights).p
            < look_level(seeds, cap)
            for seeds in range(3, cap + 1)
        )
    assert wrong / studies < 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / studies)
    assert wrong / studies > 0.015


def test_looks_spend_the_level_and_no_more():
    levels = [look_level(seeds, cap=8) for seeds in range(3, 9)]
    assert all(0 < level < LEVEL for level in levels)
    assert sum(levels) > LEVEL, "looks at the same seeds overlap, so that their levels may add up to more"
    assert look_level(3, cap=3) == pytest.approx(LEVEL, rel=0.03)


def test_levels_of_looks_stay_as_they_are():
    """Pages hold p values that are adjusted by them."""
    levels = [0.030058691283976424, 0.015531654304164892, 0.01313582608533877, 0.013217861027203905]
    assert [look_level(seeds, cap=6) for seeds in (3, 4, 5, 6)] == pytest.approx(levels, rel=1e-9)
