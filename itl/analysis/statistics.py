"""Is a difference more than seed noise? Paired over seeds, by rules that are stated here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.special import nctdtr, nctdtrinc, stdtr, stdtrit

from itl import ItlError

LEVEL = 0.05  # of the tests; the intervals are at 1 - LEVEL
POWER = 0.8  # with which a difference counts as detectable
RESAMPLES = 10_000

TOO_FEW = "too few seeds to say"
GAIN = "a gain beyond seed noise"
LOSS = "a loss beyond seed noise"
NO_DIFFERENCE = "no difference beyond seed noise"
HINT = "a hint of a {0}, not firm among {1} comparisons"


@dataclass(frozen=True)
class Contrast:
    """A difference of two conditions, paired by seed, in the units of its values.

    The verdict follows the t interval. With three seeds a percentile bootstrap of the mean excludes 0
    whenever all three differences have one sign, a quarter of the time without any true difference (a test
    measures it), so the bootstrap is shown beside the t interval and decides nothing.
    """

    mean: float
    low: float  # Student t interval of the mean
    high: float
    boot_low: float  # percentile bootstrap of the mean over seeds
    boot_high: float
    n: int  # paired seeds
    p: float  # two-sided paired t test
    detectable: float  # true difference found with power 0.8, at this n and spread
    verdict: str
    p_holm: float = math.nan  # p among the comparisons of a question: see `corrected`


def paired(of: Sequence[float], against: Sequence[float], seed: int = 0) -> Contrast:
    """Contrast the values *of* one condition with those *against* it, seed by seed in the same order.

    >>> change = paired([61.0, 62.5, 62.0], [51.0, 51.5, 53.0])
    >>> change.mean, round(change.low, 2), round(change.high, 2), change.verdict
    (10.0, 7.52, 12.48, 'a gain beyond seed noise')

    One pair has no spread: all but its mean is nan. Pairs that differ by the same amount have none either:
    where they do not differ at all, that is p = 1 and no difference; where all differ by the same amount,
    seed noise was not seen (scores on few test images come in coarse steps), so the intervals shrink to the
    mean, p and detectable are nan, and the verdict is that there are too few seeds to say.
    """
    of, against = _values(of), _values(against)
    if len(of) != len(against):
        raise ItlError(
            f"a paired contrast takes one value a seed from both conditions, got {len(of)} and "
            f"{len(against)}; leave out the seeds that only one has"
        )
    differences = of - against
    steps = max(np.abs(of).max(), np.abs(against).max()) * 1e-12  # of rounding: 61.2 - 51.2 is not quite 10
    differences[np.abs(differences) <= steps] = 0.0
    n, mean = len(differences), float(differences.mean())
    spread = _spread(differences, steps)
    if not spread > 0:
        return _without_spread(n, mean)
    mean, low, high = _t_interval(differences)
    boot_low, boot_high = np.quantile(
        differences[_resamples(n, seed)].mean(1), [LEVEL / 2, 1 - LEVEL / 2]
    ).tolist()
    standard_error = spread / math.sqrt(n)
    p = 2 * float(stdtr(n - 1, -abs(mean) / standard_error))
    detectable = _detectable(n) * standard_error
    return Contrast(mean, low, high, boot_low, boot_high, n, p, detectable, verdict(n, low, high))


def verdict(n: int, low: float, high: float) -> str:
    """Say in words what the interval from *low* to *high* over *n* seeds allows to say.

    >>> verdict(3, -2.5, -0.5), verdict(3, -2.5, 0.5), verdict(2, -2.5, -0.5)
    ('a loss beyond seed noise', 'no difference beyond seed noise', 'too few seeds to say')
    """
    if n < 3:
        return TOO_FEW
    if low > 0:
        return GAIN
    return LOSS if high < 0 else NO_DIFFERENCE


def corrected(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """Judge the comparisons of one question together, so that all are right in 95 of 100 such questions.

    p_holm is adjusted by Holm's rule for how many have a p value. A gain or loss stays beyond seed noise
    where p_holm is below 0.05 too, and is a hint otherwise; detectable is what a test at 0.05 / number finds.

    >>> change = paired([61.0, 62.5, 62.0], [51.0, 51.5, 53.0])
    >>> [round(judged.p_holm, 4) for judged in (*corrected([change]), *corrected([change] * 4))]
    [0.0033, 0.0133, 0.0133, 0.0133, 0.0133]
    """
    p_values = [contrast.p for contrast in contrasts if not math.isnan(contrast.p)]
    adjusted = iter(holm(p_values) if p_values else [])
    judged = []
    for contrast in contrasts:
        if not math.isnan(contrast.p):
            contrast = _among(contrast, next(adjusted), len(p_values))
        judged.append(contrast)
    return judged


def _among(alone: Contrast, p_holm: float, number: int) -> Contrast:
    words = alone.verdict
    if words in (GAIN, LOSS) and p_holm >= LEVEL:
        words = HINT.format("gain" if words == GAIN else "loss", number)
    wider = _detectable(alone.n, LEVEL / number) / _detectable(alone.n)
    return replace(alone, p_holm=p_holm, verdict=words, detectable=alone.detectable * wider)


def ratio(of: Sequence[float], to: Sequence[float]) -> tuple[float, float, float]:
    """Mean *of* over mean *to*, paired by seed, and its 95 % interval by Fieller's theorem (1954).

    The interval holds every ratio r for which the differences of − r · to could be 0 on average; where *to*
    itself could be, it has no end, and both are nan.

    >>> [round(value, 2) for value in ratio([4.0, 5.0, 6.0], [2.0, 2.1, 1.9])]
    [2.5, 1.18, 4.06]
    """
    of, to = _values(of), _values(to)
    n = len(of)
    middle = float(of.mean() / to.mean()) if to.mean() else math.nan
    if n < 2:
        return middle, math.nan, math.nan
    (a, c), (_, b) = np.cov(of, to) * _critical(n) ** 2 / n
    square, linear, constant = map(float, (to.mean() ** 2 - b, of.mean() * to.mean() - c, of.mean() ** 2 - a))
    if square <= 0:
        return middle, math.nan, math.nan
    reach = math.sqrt(max(0.0, linear**2 - square * constant))
    return middle, (linear - reach) / square, (linear + reach) / square


def power(n: int, effect: float, among: int = 1) -> float:
    """Chance to find a true difference of *effect* standard deviations (of the paired differences).

    By a paired t test of *n* seeds at 0.05 / *among*, with the right sign.
    """
    return float(1 - nctdtr(n - 1, effect * math.sqrt(n), _critical(n, LEVEL / among)))


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of one condition's values over seeds and its 95 % Student t interval; nan around a single value.

    >>> [round(value, 2) for value in mean_interval([50.0, 51.0, 52.0])]
    [51.0, 48.52, 53.48]
    """
    return _t_interval(_values(values))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust *p_values* for their number, by Holm's step-down rule, in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    values = _values(p_values)
    if values.min() < 0 or values.max() > 1:
        raise ItlError(
            f"Holm's rule adjusts p values, and {values.min():g} to {values.max():g} are not all "
            "between 0 and 1; give those of tests"
        )
    order = values.argsort(kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted.tolist()


def _values(values: Sequence[float]) -> np.ndarray:
    """*values* as a fresh float array of one dimension, at least one of them, all finite."""
    array = np.array(values, dtype=float)
    if array.ndim != 1 or not len(array):
        raise ItlError(f"statistics over seeds take a list of at least one value, got shape {array.shape}")
    missing = int((~np.isfinite(array)).sum())
    if missing:
        raise ItlError(f"{missing} of {len(array)} values are nan or infinite; leave these seeds out")
    return array


def _spread(values: np.ndarray, steps: float = 0.0) -> float:
    """Standard deviation over seeds: nan for a single one, 0 where they differ by no more than *steps*."""
    if len(values) == 1:
        return math.nan
    return float(values.std(ddof=1)) if np.ptp(values) > 4 * steps else 0.0


def _t_interval(values: np.ndarray) -> tuple[float, float, float]:
    mean, n = float(values.mean()), len(values)
    if n == 1:
        return mean, math.nan, math.nan
    reach = _critical(n) * _spread(values) / math.sqrt(n)
    return mean, mean - reach, mean + reach


def _without_spread(n: int, mean: float) -> Contrast:
    """The contrast of differences whose noise is unknown; see `paired`."""
    if n == 1 or mean:
        edge = math.nan if n == 1 else mean
        return Contrast(mean, edge, edge, edge, edge, n, math.nan, math.nan, TOO_FEW)
    return Contrast(0.0, 0.0, 0.0, 0.0, 0.0, n, 1.0, math.nan, verdict(n, 0.0, 0.0))


def _critical(n: int, level: float = LEVEL) -> float:
    """Quantile of Student's t that a two-sided test of *n* differences at *level* has to pass."""
    return float(stdtrit(n - 1, 1 - level / 2))


def _detectable(n: int, level: float = LEVEL) -> float:
    """True difference, in standard errors, that a paired t test of *n* finds with POWER: by noncentral t."""
    return float(nctdtrinc(n - 1, 1 - POWER, _critical(n, level)))  # one of the wrong sign: below 1e-9 here


@lru_cache(maxsize=64)
def _resamples(n: int, seed: int) -> np.ndarray:
    """RESAMPLES draws of *n* among *n* seeds, with replacement; the same for every contrast of one report."""
    return np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
