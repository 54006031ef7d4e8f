"""Tests and intervals over seeds: Student's t, Holm's rule, Fieller's ratio."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtr, stdtrit

from itl.errors import ItlError

LEVEL = 0.05  # of the tests; the intervals are at 1 - LEVEL
ORDERS_AT_ONCE = 500  # of the random ones of a permutation test
MAIN_SHARE = 0.8  # of LEVEL that a question's main comparison has before the others are known


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of one condition's values over seeds and its 95 % Student t interval; nan around a single value.

    ItlError if one of the values is not finite.

    >>> [round(value, 2) for value in mean_interval([50.0, 51.0, 52.0])]
    [51.0, 48.52, 53.48]
    """
    array = np.array(values, dtype=float)
    missing = int((~np.isfinite(array)).sum())
    if missing:
        raise ItlError(f"{missing} of {len(array)} values are nan or infinite; leave these seeds out")
    mean, n = float(array.mean()), len(array)
    if n == 1:
        return mean, math.nan, math.nan
    reach = critical(n - 1) * float(array.std(ddof=1)) / math.sqrt(n)
    return mean, mean - reach, mean + reach


def critical(df: float, level: float = LEVEL) -> float:
    """Quantile of Student's t that a two-sided test with *df* degrees of freedom at *level* has to pass."""
    return float(stdtrit(df, 1 - level / 2))


def p_above(t: float, df: float) -> float:
    """One-sided p value of *t* standard errors above what the null hypothesis says."""
    return float(stdtr(df, -t))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust those of *p_values* that are known for their number, by Holm's step-down rule; nan stays.

    >>> holm([0.01, math.nan, 0.04, 0.03])
    array([0.03,  nan, 0.06, 0.06])
    """
    values = np.array(p_values, dtype=float)
    order = values.argsort(kind="stable")  # nan last
    steps = np.isfinite(values).sum() - np.arange(len(values))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * steps), 1.0)
    return adjusted


def main_first(p_values: Sequence[float]) -> list[float]:
    """Adjust *p_values* of one question together, the main comparison's first.

    The main comparison has MAIN_SHARE of the level, and the others the rest, by Holm's rule. Once the main
    one is decided the others have the whole level, and once all others are, it has (a graphical procedure of
    Bretz et al. 2009). If the main one had all of it, no other could be decided before it.

    >>> [round(p, 3) for p in main_first([0.03, 0.01, 0.04])], main_first([0.03])
    ([0.037, 0.037, 0.04], [0.03])
    """
    if len(p_values) < 2:
        return holm(p_values).tolist()
    main, others = p_values[0], holm(p_values[1:]).tolist()
    alone = [p / (1 - MAIN_SHARE) for p in others]  # before the main one is decided
    after = [min(before, max(main / MAIN_SHARE, p)) for before, p in zip(alone, others, strict=True)]
    return [min(p, 1.0) for p in (min(main / MAIN_SHARE, max(main, *alone)), *after)]


def fieller(
    means: tuple[float, float],
    variances: tuple[float, float],
    covariance: float,
    df: float,
    level: float = LEVEL,
) -> tuple[float, float, float]:
    """Ratio of two means and its interval by Fieller's theorem (1954).

    The interval holds every ratio r for which first − r · second could be 0; where the second itself could
    be, it has no end, and both are nan. *variances* and *covariance* are those of the *means*.

    >>> [round(value, 3) for value in fieller((8.0, 10.0), (1.0, 1.0), 0.5, 10.0)]
    [0.8, 0.606, 1.026]
    """
    (of, to), (a, b) = means, variances
    middle, factor = of / to if to else math.nan, critical(df, level) ** 2
    square, linear, constant = to**2 - factor * b, of * to - factor * covariance, of**2 - factor * a
    if not square > 0:
        return middle, math.nan, math.nan
    reach = math.sqrt(max(0.0, linear**2 - square * constant))
    return middle, (linear - reach) / square, (linear + reach) / square


def permutation_p(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Two-sided p value (K,) of no relation of *values* (N,) to each of *columns* (N, K).

    How often the values in a random order have as large a covariance with the column. There are enough orders
    that one of them is less than LEVEL shared by all columns.
    """
    random, apart = np.random.default_rng(0), values - values.mean()
    columns = columns - columns.mean(0)
    reached = np.zeros(columns.shape[1])
    least = np.abs(apart @ columns) * (1 - 1e-9)  # equal but for rounding
    blocks = math.ceil(2 * len(least) / LEVEL / ORDERS_AT_ONCE)
    for _ in range(blocks):
        orders = random.permuted(np.tile(apart, (ORDERS_AT_ONCE, 1)), axis=1)
        reached += (np.abs(orders @ columns) >= least).sum(0)
    return (1 + reached) / (1 + blocks * ORDERS_AT_ONCE)
