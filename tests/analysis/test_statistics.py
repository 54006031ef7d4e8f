"""Tests and intervals against scipy and worked examples."""

import math
import subprocess
import sys
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from itl import ItlError
from itl.analysis.statistics import (
    MAIN_SHARE,
    critical,
    fieller,
    holm,
    main_first,
    mean_interval,
    p_above,
    permutation_p,
)


def test_quantiles_and_p_values_are_scipys():
    assert critical(3) == pytest.approx(stats.t.ppf(0.975, 3))
    assert critical(4.5, level=0.1) == pytest.approx(stats.t.ppf(0.95, 4.5))
    for t in (-1.5, 0.0, 2.0):
        assert p_above(t, 4.5) == pytest.approx(stats.t.sf(t, 4.5))


def test_a_permutation_test_is_that_of_all_orders():
    values, columns = np.array([0.0, 0, 1, 2, 2, 2]), np.array([[1.0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1]]).T
    covariance = np.abs((values - values.mean()) @ columns)
    orders = np.array(list(permutations(values - values.mean())))
    exact = (np.abs(orders @ columns) >= covariance - 1e-9).mean(0)
    assert permutation_p(values, np.tile(columns, 250)) == pytest.approx(np.tile(exact, 250), abs=0.01)


def test_mean_interval_is_scipys():
    values = [50.0, 53.0, 52.5, 51.0]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert mean_interval(values) == pytest.approx((np.mean(values), low, high))
    assert mean_interval([50.0, 50.0]) == (50.0, 50.0, 50.0)
    mean, low, high = mean_interval([50.0])
    assert mean == 50.0
    assert math.isnan(low)
    assert math.isnan(high)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, math.nan, 2.0], "1 of 3 values are nan"),
        ([math.inf, 2.0], "1 of 2 values are nan or infinite"),
    ],
)
def test_what_is_no_list_of_numbers_is_refused(values, words):
    with pytest.raises(ItlError, match=words):
        mean_interval(values)


def test_holm_by_hand():
    # Sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04, and never less than the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0]
    assert holm([0.02]).tolist() == [0.02]
    assert holm([1.0, 0.0]).tolist() == [1.0, 0.0]
    assert holm([math.nan, 0.01, 0.04]) == pytest.approx([math.nan, 0.02, 0.04], nan_ok=True)
    assert not len(holm([]))


def rejected(p_values: list[float], level: float) -> set[int]:
    """The literal procedure: the main hypothesis has MAIN_SHARE of the level until one side is done."""
    done, others = set(), sorted(range(1, len(p_values)), key=lambda index: p_values[index])
    while True:
        left = [index for index in others if index not in done]
        for_main = level if not left else MAIN_SHARE * level
        for_others = level if 0 in done else (1 - MAIN_SHARE) * level
        if 0 not in done and p_values[0] <= for_main:
            done.add(0)
        elif left and p_values[left[0]] <= for_others / len(left):
            done.add(left[0])
        else:
            return done


def test_main_first_rejects_what_the_literal_procedure_rejects():
    random = np.random.default_rng(0)
    for _ in range(300):
        p_values = (random.random(random.integers(2, 6)) ** 4).tolist()
        adjusted = main_first(p_values)
        for level in (0.01, 0.05, 0.2):
            assert {index for index, p in enumerate(adjusted) if p <= level} == rejected(p_values, level)
    assert main_first([]) == []
    assert main_first([0.04]) == [0.04]


def test_fieller_holds_what_a_test_at_its_ends_says():
    means, variances, covariance, df = (8.0, 10.0), (1.2, 0.8), 0.4, 5.0
    middle, low, high = fieller(means, variances, covariance, df)
    assert middle == pytest.approx(0.8)
    for end in (low, high):  # at its ends, first − r · second is just not different from 0
        error = math.sqrt(variances[0] + end**2 * variances[1] - 2 * end * covariance)
        assert abs(means[0] - end * means[1]) / error == pytest.approx(stats.t.ppf(0.975, df))
    assert all(math.isnan(end) for end in fieller((8.0, 1.0), variances, covariance, df)[1:])
    assert math.isnan(fieller((8.0, 0.0), variances, covariance, df)[0])


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_a_ratio_has_no_unit(scale):
    means, variances = (8.0 * scale, 10.0 * scale), (1.2 * scale**2, 0.8 * scale**2)
    interval = fieller(means, variances, 0.4 * scale**2, 5.0)
    assert interval == pytest.approx(fieller((8.0, 10.0), (1.2, 0.8), 0.4, 5.0))


def test_a_ratio_without_noise_is_itself_and_one_to_nothing_is_none():
    assert fieller((8.0, 10.0), (0.0, 0.0), 0.0, 5.0) == (0.8, 0.8, 0.8)
    assert all(math.isnan(end) for end in fieller((8.0, 0.0), (0.0, 0.0), 0.0, 5.0))


def test_statistics_needs_neither_torch_nor_pandas():
    code = "import sys, itl.analysis.model; sys.exit(bool({'torch', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
