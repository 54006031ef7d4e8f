"""How many seeds and repeats a comparison needs, and when seeds that are added one by one may stop."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr, stdtr, stdtrit

from itl.analysis.model import PRIOR_DF
from itl.analysis.statistics import LEVEL, MAIN_SHARE
from itl.errors import ItlError
from itl.runs.study import MIN_SEEDS

POWER = 0.8  # with which a change counts as detectable, and no change as shown to be the same
MAX_SEEDS, MAX_REPEATS = 100, 10
MOST_ERRORS = 1e4  # standard errors: a change of as many is detected by three seeds at any look
STUDIES = 200_000  # simulated, that the levels of the looks are taken from
VARIANCES = 5_000  # simulated, that power is averaged over
Minutes = Sequence[float]  # of what is done once, and of each repeat of the fits


@dataclass(frozen=True)
class Variances:
    """Where the noise of one score comes from, in squared points."""

    net: float  #: between nets of other seeds
    fit: float = 0.0  #: between fits of one net to the target; 0 where it is not known apart

    def of_seed(self, repeats: int) -> float:
        """Variance of the mean of so many fits of one net."""
        return self.net + self.fit / repeats


@dataclass(frozen=True)
class SeedsAndFits:
    """So many seeds, with so many fits of each net."""

    seeds: int
    repeats: int
    minutes: float


def cheapest(
    variances: Variances,
    minutes: Minutes,
    conditions: int,
    *,
    detect: float = 0.0,
    within: float = 0.0,
    cap: int = 0,
    squares: float = 2.0,
    fixed_minutes: Minutes = (0.0, 0.0),
) -> SeedsAndFits:
    """Return the cheapest seeds and repeats with which the main comparison is decided four times in five.

    Either a true change of *detect* points comes out as a gain or a loss, or conditions without one as the
    same *within* so many points, of so many *conditions* that are pre-trained and judged together. Where
    seeds are added up to a *cap*, that is the power of the look at so many: earlier looks only add to it.
    The squared weights of conditions in the main comparison add up to *squares*: 2 for a pair. All runs of a
    seed take so many *minutes*: what is done once, and each repeat of the fits. Whatever the number of seeds,
    other runs take *fixed_minutes*.

    Raises:
        ItlError: no number of seeds up to *cap*, or MAX_SEEDS, is enough.
    """
    chance, points = (power_same, within) if within else (power_different, detect)
    most, designs = cap or MAX_SEEDS, []
    for repeats in range(1, (MAX_REPEATS if variances.fit else 1) + 1):
        variance = variances.of_seed(repeats) * squares / 2
        for seeds in range(MIN_SEEDS, most + 1):
            if chance(points, variance, seeds, conditions, cap) >= POWER:
                once, in_each = seeds * np.array(minutes) + fixed_minutes
                designs.append(SeedsAndFits(seeds, repeats, float(once + repeats * in_each)))
                break
    if not designs:
        spread = math.sqrt(variances.of_seed(1))
        words = "point is" if points == 1 else "points are"
        raise ItlError(
            f"{points:g} {words} too few for {most} seeds{', the cap' if cap else ''}: scores spread by "
            f"{spread:.1f} points between seeds; ask for more points{' or raise the cap' if cap else ''}"
        )
    return min(designs, key=lambda design: design.minutes)


def power_different(change: float, variance: float, seeds: int, conditions: int, cap: int = 0) -> float:
    """Chance that a true *change* of the main comparison comes out as a gain or a loss of the right sign.

    The *variance* is half of what the comparison varies by within a seed: where it is of two conditions, that
    of one score. *conditions* are judged together, at `level_of`. Means are independent of estimated
    variances: it is the average of normal probabilities over these.
    """
    error = math.sqrt(2 * variance / seeds)
    two_sided, _ = _thresholds(seeds, conditions, level_of(seeds, cap))
    return float(np.mean(ndtr(abs(change) / error - two_sided))) if error else 1.0


def power_same(margin: float, variance: float, seeds: int, conditions: int, cap: int = 0) -> float:
    """Chance that two conditions without a true change come out the same within *margin* points.

    It is the average over how large the estimated error may be.
    """
    error = math.sqrt(2 * variance / seeds)
    if error == 0:
        return 1.0
    _, one_sided = _thresholds(seeds, conditions, level_of(seeds, cap))
    room = margin / error - one_sided
    return float(np.mean(np.where(room > 0, 2 * ndtr(room) - 1, 0.0)))


def smallest_detectable(variance: float, seeds: int, conditions: int, cap: int = 0) -> float:
    """Return the true change in points that `power_different` finds with POWER; 0 where nothing varies."""

    def surplus(change: float) -> float:
        return power_different(change, variance, seeds, conditions, cap) - POWER

    most = MOST_ERRORS * math.sqrt(2 * variance / seeds)
    return brentq(surplus, 0.0, most) if most else 0.0


@lru_cache(maxsize=1024)
def _thresholds(seeds: int, conditions: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """What a change has to pass in VARIANCES studies: quantile of t × estimated error, by the true error.

    See `itl.analysis.model`, of conditions that spread alike. Two alone have the paired t test. Of more, each
    has a variance of its own, and how these happen to differ sets Satterthwaite's degrees of freedom.

    Returns:
        (VARIANCES,) of the two-sided test of a change, and of each of the one-sided tests of the same.
    """
    if conditions > 2:
        first, second = _two_variances(seeds, conditions)
        own_df = (seeds - 1) * (conditions - 1) / conditions + PRIOR_DF
        variance, df = (first + second) / 2, own_df * (first + second) ** 2 / (first**2 + second**2)
        df = np.minimum(df, (seeds - 1) * (conditions - 1))  # as `TaskModel.estimate`
    else:
        df = np.full(VARIANCES, seeds - 1.0)
        variance = chdtri(df, (np.arange(VARIANCES) + 0.5) / VARIANCES) / df
    knots = np.linspace(df.min(), df.max(), 100)
    two_sided, one_sided = (
        np.interp(df, knots, stdtrit(knots, 1 - tail)) * np.sqrt(variance)
        for tail in (MAIN_SHARE * level / 2, MAIN_SHARE * level)
    )
    return two_sided, one_sided


def _two_variances(seeds: int, conditions: int) -> np.ndarray:
    """Draw what the model estimates as the variances, truly 1, of two of three *conditions* or more.

    Of the others only their mean, and what they vary around it, counts. So drawn are a Wishart matrix of
    three columns, the two and the sum of the others over the root of their number (by Bartlett's
    decomposition), and a chi-squared sum of squares within the others.

    Returns:
        (2, VARIANCES).
    """
    random, df, k = np.random.default_rng(0), seeds - 1, conditions
    root = np.zeros((3, 3, VARIANCES))
    for row in range(3):
        root[row, row] = np.sqrt(random.chisquare(df - row, VARIANCES)) if df > row else 0.0
        root[row, :row] = random.standard_normal((row, VARIANCES))
    within = random.chisquare(df * (k - 3), VARIANCES) if k > 3 else 0.0

    def squares(*weights: float) -> np.ndarray:
        """Sum of squares over seeds of a weighted sum of the columns, (VARIANCES,)."""
        return (np.tensordot(weights, root, 1) ** 2).sum(0)

    side, total = math.sqrt(k - 2), (root**2).sum((0, 1)) + within
    pooled = (total - squares(1, 1, side) / k) / (df * (k - 1))
    variances = []
    for x, y in ((1, 0), (0, 1)):
        spread = squares(x - y / (k - 1), y - x / (k - 1), -side / (k - 1)) / df
        rest = (total - squares(x, y, 0) - squares(y, x, side) / (k - 1)) / (df * (k - 2))
        own = np.maximum(spread - rest / (k - 1), 0.0)
        variances.append((PRIOR_DF * pooled + df * own) / (PRIOR_DF + df))
    return np.array(variances)


def level_of(seeds: int, cap: int) -> float:
    """Return the level of verdicts: `look_level` where *seeds* are added up to *cap*, else LEVEL.

    With a cap of MIN_SEEDS there is one look, as without a cap.
    """
    return look_level(seeds, cap) if MIN_SEEDS <= seeds <= cap > MIN_SEEDS else LEVEL


def look_level(seeds: int, cap: int) -> float:
    """Return the level of a test at *seeds* when a seed is added at a time, from MIN_SEEDS to at most *cap*.

    The chance of a false verdict at any look stays LEVEL: by a look at fraction t of the seeds,
    LEVEL · ln(1 + (e − 1) t) of it is spent (Lan and DeMets 1983, Pocock's type).

    >>> [round(look_level(seeds, cap=6), 3) for seeds in (3, 4, 5, 6)]
    [0.03, 0.016, 0.013, 0.013]
    """
    return _look_levels(cap)[seeds - MIN_SEEDS]


@lru_cache(maxsize=32)
def _look_levels(cap: int) -> tuple[float, ...]:
    """Levels of the looks from MIN_SEEDS to *cap* seeds: quantiles of p values in studies that got there.

    Of simulated paired t tests without a true change. The normal approximation would be wrong too often with
    few seeds (6.5 times in 100 for 3 to 6 seeds of three conditions).
    """
    differences = np.random.default_rng(0).standard_normal((cap, STUDIES), dtype=np.float32)
    going, spent, levels = np.ones(STUDIES, dtype=bool), 0.0, []
    for seeds in range(MIN_SEEDS, cap + 1):
        seen = differences[:seeds]
        t = np.abs(seen.mean(axis=0)) / (seen.std(axis=0, ddof=1) / math.sqrt(seeds))
        p = np.where(going, 2 * stdtr(seeds - 1, -t.astype(float)), 1.0)
        budget = LEVEL * math.log1p((math.e - 1) * seeds / cap)
        stopping = round((budget - spent) * STUDIES)
        levels.append(float(np.partition(p, stopping)[stopping]))
        going &= p >= levels[-1]
        spent = budget
    return tuple(levels)
