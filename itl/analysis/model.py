"""One model of all runs of a question on one task: the means of its conditions and their uncertainty.

Value = mean of the condition + effect of the seed + noise, whose spread may differ between conditions. Each
condition's variance is estimated from what its values add to those of the other conditions with the same
seeds. It is moderated by the variance pooled over all conditions, which counts PRIOR_DF degrees of freedom
(Smyth 2004). The net without pre-training is not pooled: what it varies by is that of its differences from
the mean of the others.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import fdtrc

from itl.analysis.statistics import LEVEL, critical, fieller, p_above

PRIOR_DF = 1.2  # chosen by simulation: docs/statistics.md
FLAG_LEVEL = 0.1  # of the test for unequal spreads
ROUNDING = 1e-9  # points: 61.2 - 51.2 is not quite 10


@dataclass(frozen=True)
class Estimate:
    """A weighted sum of the means of conditions, in points."""

    mean: float
    standard_error: float
    df: float
    n: int  #: seeds

    @property
    def testable(self) -> bool:
        """Whether noise was seen, which a test needs: more than what rounding leaves."""
        return self.standard_error > ROUNDING and self.df > 0

    @property
    def p(self) -> float:
        """Two-sided p value of the sum being 0; nan where no noise was seen."""
        return 2 * p_above(abs(self.mean) / self.standard_error, self.df) if self.testable else math.nan

    def p_above(self, bound: float) -> float:
        """One-sided p value of the sum being at most *bound*; nan where no noise was seen."""
        return p_above((self.mean - bound) / self.standard_error, self.df) if self.testable else math.nan

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Interval that covers the true sum with 1 − *level*; nan where no noise was seen."""
        reach = critical(self.df, level) * self.standard_error if self.testable else math.nan
        return self.mean - reach, self.mean + reach


@dataclass(frozen=True)
class TaskModel:
    """Means and variances of conditions on one task, over the same seeds."""

    means: np.ndarray  #: (conditions,), nan for those that are left out
    variances: np.ndarray  #: (conditions,) of single values, within a seed; nan of those out of the pool
    df: np.ndarray  #: (conditions,) degrees of freedom of the variances
    n: int  #: seeds
    spread_p: np.ndarray  #: (conditions,) p value of as large a spread as this one's, were all alike
    values: np.ndarray  #: (seeds, conditions), nan for those that are left out
    outside: np.ndarray  #: (conditions,) of bool: which stay out of the pool

    @cached_property
    def pool(self) -> np.ndarray:
        """Which conditions are in the pool, (conditions,) of bool."""
        return np.isfinite(self.means) & ~self.outside

    @property
    def unequal(self) -> np.ndarray:
        """Which conditions spread more than the others, (conditions,) of bool, by FLAG_LEVEL."""
        return self.spread_p < FLAG_LEVEL / max(1, np.isfinite(self.spread_p).sum())

    def estimate(self, weights: np.ndarray) -> Estimate:
        """Estimate the sum of the conditions' means by *weights* (conditions,), which add up to 0.

        The sum is taken apart: what the mean of the pool differs from the conditions outside is measured in
        each seed, as by a paired t test, and what the pooled conditions add to their mean has their
        variances. Degrees of freedom are Satterthwaite's, of the pooled conditions at most those of the
        residuals that all their variances are estimated from.
        """
        used = weights != 0
        mean = float(weights[used] @ self.means[used])
        if self.n < 2 or math.isnan(mean):
            return Estimate(mean, math.nan, math.nan, self.n)
        within = max(self._within(weights, weights), 0.0)
        variance = within + float(self._between(weights).var(ddof=1))
        if not variance > 0:
            return Estimate(mean, 0.0, math.nan, self.n)
        share, unknown = within / variance, 0.0
        if within:
            parts = (weights**2 * self.variances)[self.pool]
            of_parts = float((parts**2 / self.df[self.pool]).sum()) / float(parts.sum()) ** 2
            residual_df = max(1, (self.n - 1) * (int(self.pool.sum()) - 1))  # that all variances are from
            unknown = share**2 * max(of_parts, 1 / residual_df)
        df = 1 / (unknown + (1 - share) ** 2 / (self.n - 1))
        return Estimate(mean, math.sqrt(variance / self.n), df, self.n)

    def _between(self, weights: np.ndarray) -> np.ndarray:
        """What conditions outside differ from the mean of the pool by *weights*, (seeds,)."""
        outside = self.outside & (weights != 0)
        of_pool = weights[self.pool].sum() * self.values[:, self.pool].sum(axis=1) / max(1, self.pool.sum())
        return of_pool + self.values[:, outside] @ weights[outside]

    def _within(self, weights: np.ndarray, others: np.ndarray) -> float:
        """Covariance within a seed of what two sums, by their weights, have beside the mean of the pool."""
        ours, theirs = weights[self.pool], others[self.pool]
        of_mean = ours.sum() * theirs.sum() / max(1, len(ours)) ** 2
        return float(((ours * theirs - of_mean) * self.variances[self.pool]).sum())

    def ratio(self, of: np.ndarray, to: np.ndarray) -> tuple[float, float, float]:
        """Ratio of two contrasts, by their weights, with its 95 % interval by Fieller's theorem.

        There is no interval where the second may be 0, by its own interval, and no ratio to what is 0. Where
        the first has only conditions out of the pool, both vary as their differences in each seed do.
        """
        first, second = self.estimate(of), self.estimate(to)
        if abs(second.mean) < ROUNDING:
            return math.nan, math.nan, math.nan
        middle = first.mean / second.mean
        low, high = second.interval()
        if low <= 0 <= high:
            return middle, math.nan, math.nan
        if self.outside[of != 0].all():
            sums = [self.values[:, weights != 0] @ weights[weights != 0] for weights in (of, to)]
            (a, covariance), (_, b) = np.cov(sums) / self.n
            return fieller((first.mean, second.mean), (a, b), covariance, self.n - 1.0)
        remainder = self.estimate(of - middle * to)  # what the theorem tests, at the ratio itself
        if not remainder.testable:
            return middle, math.nan, math.nan
        between = float(np.cov(self._between(of), self._between(to))[0, 1])
        squares = first.standard_error**2, second.standard_error**2
        most = math.sqrt(squares[0] * squares[1])  # more than the two variances, which are cut at 0, allow
        covariance = min(max((self._within(of, to) + between) / self.n, -most), most)
        return fieller((first.mean, second.mean), squares, covariance, remainder.df)


def fit(values: np.ndarray, trained: np.ndarray, needed: np.ndarray) -> TaskModel:
    """Fit the model to the seeds, one or more, that have every condition that is *needed*: indices or bools.

    Conditions that lack one of these seeds are left out. Two conditions alone have the paired t test.

    Args:
        values: (seeds, conditions) of one task, nan where a run is missing.
        trained: (conditions,) of bool; the others stay out of the pool.
    """
    rows = values[np.isfinite(values[:, needed]).all(axis=1)]
    complete = np.isfinite(rows).all(axis=0)
    pool, n = np.flatnonzero(complete & trained), len(rows)
    variances, df, spread_p = (np.full(values.shape[1], math.nan) for _ in range(3))
    pooled = residual_variance(rows[:, pool])
    if n > 1 and len(pool):
        variances[pool], df[pool], spread_p[pool] = _moderated(rows[:, pool], pooled)
    means = np.where(complete, rows.mean(axis=0), math.nan)
    known = np.where(complete, rows, math.nan)
    return TaskModel(means, variances, df, n, spread_p, known, complete & ~trained)


def residual_variance(values: np.ndarray) -> np.ndarray:
    """Variance within a seed, pooled over conditions: of the residuals of *values* (..., seeds, conditions).

    The residual mean square of a two-way analysis of variance without interaction; nan where there is none.
    """
    n, k = values.shape[-2:]
    if n < 2 or k < 2:
        return np.full(values.shape[:-2], math.nan)
    of_seeds, of_conditions = values.mean(axis=-1, keepdims=True), values.mean(axis=-2, keepdims=True)
    residuals = values - of_conditions - of_seeds + of_seeds.mean(axis=-2, keepdims=True)
    return (residuals**2).sum(axis=(-2, -1)) / ((n - 1) * (k - 1))


def _moderated(values: np.ndarray, pooled: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variance of each condition of *values* (seeds, conditions), its degrees of freedom and p of its spread.

    A condition's own variance is that of its differences from the mean of the others, less what that mean
    varies (Grubbs 1948). Residuals leave it (n − 1) (k − 1) / k degrees of freedom. Two conditions share one
    estimate, of what their differences vary, and n − 1 degrees of freedom. A single one has none: what varies
    is then its difference from the untrained.
    """
    n, k = values.shape
    df = np.full(k, (n - 1) * (k - 1) / k)
    if k == 2:
        return np.full(k, pooled), np.full(k, n - 1.0), np.full(k, math.nan)
    if k == 1:
        return np.zeros(k), np.full(k, 1e-9), np.full(k, math.nan)
    columns = np.arange(k - 1)
    columns = columns + (columns >= np.arange(k)[:, None])  # (k, k - 1), of all conditions but one
    others = np.ascontiguousarray(values[:, columns].swapaxes(0, 1))  # (k, n, k - 1)
    spread = (values.T - others.mean(axis=2)).var(axis=1, ddof=1)
    rest = residual_variance(others)
    own = np.maximum(spread - rest / (k - 1), 0.0)
    variances = (PRIOR_DF * pooled + (n - 1) * own) / (PRIOR_DF + n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(spread > 0, spread / (rest * k / (k - 1)), 0.0)
    return variances, df + PRIOR_DF, fdtrc(n - 1, (n - 1) * (k - 2), ratio)
