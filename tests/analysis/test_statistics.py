"""Statistics against scipy, worked examples and simulated studies in which the truth is known."""

import math
import subprocess
import sys
from dataclasses import astuple
from functools import cache

import numpy as np
import pytest
from scipy import stats

from itl import ItlError
from itl.analysis import statistics
from itl.analysis.statistics import (
    GAIN,
    LOSS,
    NO_DIFFERENCE,
    TOO_FEW,
    corrected,
    holm,
    mean_interval,
    paired,
    power,
    ratio,
    verdict,
)

DATASETS = 2000


@cache
def contrasts(effect: float, n: int) -> list:
    """Simulated contrasts: the true difference is *effect* standard deviations of the differences."""
    random = np.random.default_rng(n)
    return [paired(60 + effect + random.normal(size=n), np.full(n, 60.0)) for _ in range(DATASETS)]


@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
def test_paired_is_scipys_paired_t_test(n):
    random = np.random.default_rng(n)
    of, against = random.normal(60, 2, n), random.normal(58, 2, n)
    change, oracle = paired(of, against), stats.ttest_rel(of, against)
    assert change.p == pytest.approx(oracle.pvalue, rel=1e-9)
    assert (change.low, change.high) == pytest.approx(tuple(oracle.confidence_interval(0.95)), rel=1e-9)
    assert change.mean == pytest.approx(np.mean(of - against))
    assert change.n == n


def test_the_bootstrap_is_scipys_percentile_bootstrap():
    values = np.array([1.13, 3.07, 4.41, 9.29, 5.83, 2.01, 7.77])
    change = paired(values, np.zeros(7))
    oracle = stats.bootstrap((values,), np.mean, n_resamples=100_000, method="percentile", rng=0)
    assert (change.boot_low, change.boot_high) == pytest.approx(tuple(oracle.confidence_interval), abs=0.15)
    assert change == paired(values, np.zeros(7))
    assert change != paired(values, np.zeros(7), seed=1)


def test_only_the_bootstrap_depends_on_the_seed():
    one, other = (paired([1.0, 3.0, 4.0, 9.0], [0.0, 0.0, 1.0, 0.0], seed=seed) for seed in (0, 1))
    assert (one.mean, one.low, one.high, one.p) == (other.mean, other.low, other.high, other.p)


def test_contrast_is_antisymmetric_and_pairs_in_order():
    of, against = [61.0, 64.0, 62.5], [60.0, 61.0, 60.5]
    one, other = paired(of, against), paired(against, of)
    assert (one.mean, one.low, one.high) == pytest.approx((-other.mean, -other.high, -other.low))
    assert one.p == other.p
    assert paired(of, against[::-1]).p != one.p


@pytest.mark.parametrize(
    ("n", "low", "high", "words"),
    [
        (3, 0.1, 2.0, GAIN),
        (3, -2.0, -0.1, LOSS),
        (3, -0.1, 2.0, NO_DIFFERENCE),
        (3, 0.0, 2.0, NO_DIFFERENCE),
        (2, 0.1, 2.0, TOO_FEW),
        (1, math.nan, math.nan, TOO_FEW),
    ],
)
def test_verdict_follows_its_rule(n, low, high, words):
    assert verdict(n, low, high) == words


def test_one_pair_has_a_mean_and_nothing_else():
    mean, *rest, n, p, detectable, words, p_holm = astuple(paired([61.5], [60.0]))
    assert (mean, n, words) == (1.5, 1, TOO_FEW)
    assert all(math.isnan(value) for value in [*rest, p, detectable, p_holm])


def test_no_difference_at_all_is_no_difference():
    change = paired([60.0, 61.0, 62.0], [60.0, 61.0, 62.0])
    assert (change.mean, change.low, change.high, change.boot_low, change.boot_high) == (0, 0, 0, 0, 0)
    assert (change.p, change.verdict) == (1.0, NO_DIFFERENCE)
    assert math.isnan(change.detectable)
    assert paired([60.0, 61.0], [60.0, 61.0]).verdict == TOO_FEW


@pytest.mark.parametrize("against", [[50.0, 51.0, 52.0], [51.2, 50.1, 49.3]])
def test_the_same_difference_in_every_seed_shows_no_noise_to_be_beyond(against):
    change = paired([value + 10 for value in against], against)  # 61.2 - 51.2 is not quite 10
    assert (change.mean, change.low, change.high) == pytest.approx((10, 10, 10))
    assert change.verdict == TOO_FEW
    assert math.isnan(change.p)
    assert math.isnan(change.detectable)


@pytest.mark.parametrize(
    ("of", "against", "words"),
    [
        ([1.0, 2.0], [1.0], "got 2 and 1"),
        ([], [], "at least one value"),
        ([1.0, math.nan, 2.0], [1.0, 2.0, 3.0], "1 of 3 values are nan"),
        ([1.0, 2.0], [math.inf, 2.0], "1 of 2 values are nan or infinite"),
        ([[1.0], [2.0]], [[1.0], [2.0]], "shape"),
    ],
)
def test_paired_refuses_what_cannot_be_paired(of, against, words):
    with pytest.raises(ItlError, match=words):
        paired(of, against)


def test_paired_leaves_its_arguments_alone():
    of = np.array([1.0, 2.0, 3.0])
    paired(of, of.copy())
    assert of.tolist() == [1.0, 2.0, 3.0]


def test_mean_interval_is_scipys():
    values = [50.0, 53.0, 52.5, 51.0]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert mean_interval(values) == pytest.approx((np.mean(values), low, high))
    assert mean_interval([50.0, 50.0]) == (50.0, 50.0, 50.0)
    mean, low, high = mean_interval([50.0])
    assert mean == 50.0
    assert math.isnan(low)
    assert math.isnan(high)


def test_holm_by_hand():
    # Sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04, and never less than the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]


@pytest.mark.parametrize("p_values", [[], [0.1, math.nan], [1.2], [-0.1]])
def test_holm_refuses_what_is_no_p_value(p_values):
    with pytest.raises(ItlError):
        holm(p_values)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_a_verdict_beyond_seed_noise_is_wrong_one_time_in_twenty(n):
    wrong = sum(contrast.verdict in (GAIN, LOSS) for contrast in contrasts(0.0, n))
    assert stats.binom.cdf(wrong, DATASETS, 0.05) < 0.999  # not above 5 % beyond chance
    assert stats.binom.cdf(wrong, DATASETS, 0.05) > 0.001  # nor so rare that real ones go unseen


@pytest.fixture
def few_resamples(monkeypatch):
    """The bootstrap decides nothing; in simulations of thousands of questions it only takes time."""
    monkeypatch.setattr(statistics, "RESAMPLES", 10)
    statistics._resamples.cache_clear()
    yield
    statistics._resamples.cache_clear()


def questions(effect: float, n: int, count: int) -> list[list]:
    """Simulated questions: five conditions, each held against the same sixth, judged together."""
    random = np.random.default_rng(n)
    made = []
    for _ in range(count):
        base = 60 + random.normal(size=n)
        of = [60 + effect + random.normal(size=n) for _ in range(5)]
        made.append(corrected([paired(values, base) for values in of]))
    return made


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.usefixtures("few_resamples")
def test_a_question_without_effect_says_beyond_seed_noise_one_time_in_twenty_at_most(n):
    families = questions(0.0, n, DATASETS)
    wrong = sum(any(contrast.verdict in (GAIN, LOSS) for contrast in family) for family in families)
    alone = sum(any(contrast.p < 0.05 for contrast in family) for family in families)
    hints = sum(any(contrast.verdict.startswith("a hint") for contrast in family) for family in families)
    print(f"{n} seeds: {wrong / DATASETS:.3f} of questions wrong, uncorrected {alone / DATASETS:.3f}")
    assert stats.binom.cdf(wrong, DATASETS, 0.05) < 0.999
    assert alone > 2 * wrong, "each comparison by itself would be wrong far more often"
    assert hints > 0


@pytest.mark.parametrize(("n", "effect", "among"), [(3, 5.0, 1), (5, 2.0, 1), (10, 2.0, 5)])
@pytest.mark.usefixtures("few_resamples")
def test_power_is_how_often_simulations_find_it(n, effect, among):
    random = np.random.default_rng(0)
    given = [paired(effect + random.normal(size=n), np.zeros(n)).p < 0.05 / among for _ in range(DATASETS)]
    assert 0.001 < stats.binom.cdf(sum(given), DATASETS, power(n, effect, among)) < 0.999


def test_what_is_corrected_is_judged_by_holm():
    loss, same = paired([1.0, 2.1, 3.2], [3.0, 4.0, 6.0]), paired([1.0, 2.1, 3.2], [1.0, 2.5, 3.0])
    single = paired([3.0], [1.0])
    judged = corrected([loss, loss, loss, same, single])
    assert [contrast.p_holm for contrast in judged[:4]] == pytest.approx(
        holm([loss.p, loss.p, loss.p, same.p])
    )
    assert judged[0].verdict == "a hint of a loss, not firm among 4 comparisons"
    assert (judged[3].verdict, judged[4]) == (NO_DIFFERENCE, single)
    assert judged[0].detectable > loss.detectable
    assert corrected([]) == []
    assert corrected([loss])[0].verdict == LOSS


def test_ratio_holds_what_fieller_says():
    of, to = np.array([4.0, 5.0, 6.0, 5.5]), np.array([2.0, 2.1, 1.9, 2.4])
    middle, low, high = ratio(of, to)
    assert middle == pytest.approx(of.mean() / to.mean())
    for edge in (low, high):  # at its ends, of − r · to is just not different from 0
        assert stats.ttest_1samp(of - edge * to, 0).pvalue == pytest.approx(0.05, abs=1e-6)
    assert all(math.isnan(edge) for edge in ratio([4.0, 5.0, 6.0], [2.0, -2.1, 1.9])[1:])
    assert math.isnan(ratio([4.0], [2.0])[1])
    assert math.isnan(ratio([1.0, 2.0], [1.0, -1.0])[0])


def test_the_bootstrap_alone_would_be_wrong_a_quarter_of_the_time():
    wrong = sum(contrast.boot_low > 0 or contrast.boot_high < 0 for contrast in contrasts(0.0, 3))
    assert 0.20 < wrong / DATASETS < 0.30  # why `verdict` follows the t interval


def test_more_seeds_find_more():
    power = [sum(contrast.verdict == GAIN for contrast in contrasts(2.0, n)) / DATASETS for n in (3, 5, 10)]
    print("power for a difference of two standard deviations at 3, 5, 10 seeds:", power)
    assert power == sorted(power)
    assert power[0] < 0.6
    assert power[2] > 0.99


@pytest.mark.parametrize("n", [3, 5])
def test_a_detectable_difference_is_found_with_power_eighty(n):
    of = np.linspace(-1, 1, n)
    effect = paired(of, np.zeros(n)).detectable / of.std(ddof=1)
    hits = sum(contrast.verdict == GAIN for contrast in contrasts(effect, n))
    assert 0.001 < stats.binom.cdf(hits, DATASETS, 0.8) < 0.999


def test_statistics_needs_neither_torch_nor_pandas():
    code = "import sys, itl.analysis.statistics; sys.exit(bool({'torch', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
