"""Expected scores of options on a task, from the scores of all options on this task and on others.

One Gaussian process (Rasmussen and Williams, Gaussian processes for machine learning, 2006, chapter 2) over
pairs of a task and an option. Its covariance is a sum of parts, each with a standard deviation in points::

    level                      of a task without pre-training
    gain, task_gain            of pre-training: what tasks share, and a task's own
    option, task_option        differences between options, which are alike where their features are near,
                               each by its own length: what tasks share, and a task's own
    common, rest               what features do not say of an option: what tasks share, and a task's own
    draw, task_draw            of the classes that a seed draws, for all options that draw them: what tasks
                               share, and a task's own
    net                        of a net (its option and seed), on all tasks
    noise                      of one measurement, times a factor of the task

Through the parts that tasks share, one task informs another (Bonilla et al., Multi-task Gaussian process
prediction, 2007). Scikit-learn's process has no such parts for pairs and no noise of each task.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri
from threadpoolctl import threadpool_limits
from torch import Tensor

from itl.analysis.statistics import LEVEL, critical

# Medians of the standard deviations before any measurement, in points of percent.
MEDIANS = {
    "level": 15.0,
    "gain": 10.0,
    "task_gain": 4.0,
    "option": 4.0,
    "task_option": 3.0,
    "common": 2.0,
    "rest": 2.0,
    "draw": 0.7,
    "task_draw": 0.7,
    "net": 1.0,
    "noise": 2.0,
}
LENGTH = 0.8  # median of the distance in a feature, in standard deviations, at which options are hardly alike
SPREAD, LENGTH_SPREAD = 0.5, 0.7  # of the logarithms of these
LEAST_NOISE = 0.01  # points; without noise, as where all nets are always right, nothing can be solved
JITTER = 1e-12  # share of a difference of matrices that keeps it positive definite where noise is tiny
NOISE_SPREAD = 0.4  # of the logarithm of the variance of a task's noise
NOISE_BOUND = NOISE_SPREAD * ndtri(1 - LEVEL)  # that is exceeded with a probability of LEVEL


@dataclass(frozen=True)
class Points:
    """Pairs of a task and an option, by their numbers."""

    task: np.ndarray  #: (N,) int
    option: np.ndarray  #: (N,) int
    seed: np.ndarray  #: (N,) int, of the net that is measured; -1 for the mean over nets of the option
    trained: np.ndarray  #: (N,) bool, whether the option has any pre-training
    drawn: np.ndarray  #: (N,) bool, whether the seed draws the option's classes
    features: np.ndarray  #: (N, F) of the option on the task, standardised

    def __len__(self) -> int:
        return len(self.task)

    def joined(self, other: "Points") -> "Points":
        """Return these points and then those of *other*."""
        return Points(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in vars(self)))

    def rows(self, rows: np.ndarray) -> "Points":
        """Return the points of some *rows*."""
        return Points(*(getattr(self, name)[rows] for name in vars(self)))


@dataclass(frozen=True)
class Parameters:
    """Logarithms of what the model estimates."""

    parts: np.ndarray  #: (parts,), standard deviations, as in MEDIANS
    lengths: np.ndarray  #: (F,), of the features
    noise_of_task: np.ndarray  #: (tasks,), factors of the variance of noise

    @classmethod
    def before(cls, features: int, noise: np.ndarray) -> "Parameters":
        """Return the parameters before any measurement, with so many *features*.

        *noise* (tasks,) has the medians of `noise_of_task`: see `noise_before`.
        """
        return cls(np.log(list(MEDIANS.values())), np.full(features, math.log(LENGTH)), noise)

    def variance(self, part: str) -> float:
        """Return the variance of a part, in squared points."""
        return math.exp(2 * self.parts[list(MEDIANS).index(part)])

    def noise(self, task: np.ndarray) -> np.ndarray:
        """Return the variance of one measurement on each *task* (N,)."""
        return self.variance("noise") * np.exp(self.noise_of_task[task])


@dataclass(frozen=True)
class Belief:
    """A normal distribution of the values at some points: mean (N,) and covariance (N, N)."""

    mean: np.ndarray
    covariance: np.ndarray

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation at each point."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    def difference(self, of: int, to: int) -> tuple[float, float]:
        """Return mean and standard deviation of the value at one point less that at another."""
        variance = self.covariance[of, of] + self.covariance[to, to] - 2 * self.covariance[of, to]
        return float(self.mean[of] - self.mean[to]), math.sqrt(max(0.0, float(variance)))


@dataclass(frozen=True)
class Likelihood:
    """The marginal likelihood of measurements, by pairs of a task and an option.

    With values y of pairs Z, the covariance is ``Z K Zᵀ + S``, where K is that of the pairs. S has the noise
    and the parts of nets and draws, of which two seeds have nothing in common. So only matrices of pairs and
    of the effects of one seed are factorised (Woodbury; Rasmussen and Williams, equations A.9 and A.10):
    2,000 measurements of 200 pairs take a small part of the time that their own covariance takes.
    """

    pairs: Points  #: the P that are measured, as means over nets
    counts: Tensor  #: (seeds, P), how often nets of each seed are measured on each pair
    sums: Tensor  #: (seeds, P) of these values
    squares: Tensor  #: (P,), sums of squared values

    @classmethod
    def of(cls, points: Points, values: np.ndarray) -> "Likelihood":
        """Sum *values* (N,), around their mean, of nets measured at *points*."""
        names = np.stack([points.task, points.option], axis=1)
        _, first, pair = np.unique(names, axis=0, return_index=True, return_inverse=True)
        seeds, seed = np.unique(points.seed, return_inverse=True)
        counts, sums = np.zeros((2, len(seeds), len(first)))
        np.add.at(counts, (seed, pair), 1.0)
        np.add.at(sums, (seed, pair), values)
        squares = np.bincount(pair, values**2)
        return cls(at_options(points.rows(first)), *map(torch.from_numpy, (counts, sums, squares)))

    @cached_property
    def _effects(self) -> dict[str, Tensor]:
        """Which effects of a seed are in a pair, (P, effects of this part) of 0 and 1, for each part."""
        pairs = self.pairs
        drawn, tasks = pairs.drawn[:, None], np.unique(pairs.task)
        effects = {
            "net": pairs.option[:, None] == np.unique(pairs.option),
            "draw": drawn,
            "task_draw": drawn & (pairs.task[:, None] == tasks),
        }
        return {part: torch.from_numpy(columns).double() for part, columns in effects.items()}

    def log(self, parts: Tensor, lengths: Tensor, factors: Tensor) -> Tensor:
        """Return the logarithm of the likelihood, less its constant, of the fields of `Parameters`."""
        deviations = dict(zip(MEDIANS, parts, strict=True))
        log_noise = 2 * deviations["noise"] + factors[self.pairs.task]
        precision = torch.exp(-log_noise)
        scaled = [columns * torch.exp(deviations[part]) for part, columns in self._effects.items()]
        effects = torch.cat(scaled, dim=1)
        # Zᵀ S⁻¹ Z, Zᵀ S⁻¹ y and yᵀ S⁻¹ y: what noise alone gives, less what effects of seeds explain.
        of_seed, sums = self.counts * precision, self.sums * precision
        loads = of_seed[:, None] * effects.T  # (seeds, effects, P)
        inner = torch.linalg.cholesky(torch.eye(effects.shape[1], dtype=effects.dtype) + loads @ effects)
        explained = torch.linalg.solve_triangular(inner, loads, upper=False).flatten(0, 1)
        scores = torch.linalg.solve_triangular(inner, (sums @ effects)[:, :, None], upper=False).flatten()
        information = torch.diag(of_seed.sum(0) * (1 + JITTER)) - explained.T @ explained
        weighted = sums.sum(0) - explained.T @ scores
        total = (self.squares * precision).sum() - scores.square().sum()
        root = torch.linalg.cholesky(information)
        means = torch.linalg.solve_triangular(root, weighted[:, None], upper=False)
        prior = root.T @ _covariance(parts, lengths, self.pairs, self.pairs) @ root
        factor = torch.linalg.cholesky(prior + torch.eye(len(self.pairs), dtype=prior.dtype))
        white = torch.linalg.solve_triangular(factor, means, upper=False)
        log_determinant = (self.counts.sum(0) * log_noise).sum()
        for matrix in (inner, factor):
            log_determinant = log_determinant + 2 * matrix.diagonal(dim1=-2, dim2=-1).log().sum()
        return -(total - means.square().sum() + white.square().sum() + log_determinant) / 2


def noise_before(task: np.ndarray, values: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """Return the medians of `Parameters.noise_of_task` (tasks,) that the numbers of scored images make.

    A score is as uncertain as a share of so many *scored* images (tasks,), by
    `itl.analysis.scored_images.ScoredImages`: nan where it is no accuracy. The median of its noise is
    that of MEDIANS or, where this is more, the standard deviation of a binomial distribution over so many
    images, by the mean of the *values* (N,), in percent, that are measured on each *task* (N,). With 625
    images or more it is always the former.

    >>> scores, images = np.array([60.0, 40.0, 50.0]), np.array([100.0, 1000.0])
    >>> np.exp(noise_before(np.array([0, 0, 1]), scores, images))  # of squares of 5 points beside 2
    array([6.25, 1.  ])
    """
    factors = np.zeros(len(scored))
    for number in np.unique(task):
        share = np.clip(values[task == number].mean() / 100, 0.0, 1.0)
        left = 100**2 * share * (1 - share) / scored[number]
        factors[number] = math.log(max(1.0, left / MEDIANS["noise"] ** 2))  # nan is not above 1
    return factors


def fit(points: Points, values: np.ndarray, noise: np.ndarray, start: Parameters | None = None) -> Parameters:
    """Estimate the parameters from *values* (N,), in percent, measured at *points*.

    They are the most likely ones. The marginal likelihood is that of Rasmussen and Williams (equation 5.8),
    times log-normal priors around MEDIANS, LENGTH and the *noise* of `Parameters.before`, so that few
    measurements do not make parts vanish. The search begins at *start*, by default at the medians.
    """
    features = points.features.shape[1]
    before = Parameters.before(features, noise)
    medians = torch.from_numpy(np.concatenate([*vars(before).values()]))
    sizes = [len(MEDIANS), features, len(noise)]
    spreads = torch.from_numpy(np.repeat([SPREAD, LENGTH_SPREAD, NOISE_SPREAD], sizes))
    likelihood = Likelihood.of(points, values - values.mean())

    def loss(vector: np.ndarray) -> tuple[float, np.ndarray]:
        theta = torch.tensor(vector, requires_grad=True)
        prior = ((theta - medians) / spreads).square().sum()
        total = prior / 2 - likelihood.log(*theta.split(sizes))
        (gradient,) = torch.autograd.grad(total, theta)
        return total.item(), gradient.numpy()

    vector = np.concatenate([*vars(start or before).values()])
    limits: list[tuple[float | None, None]] = [(None, None)] * sum(sizes)
    limits[list(MEDIANS).index("noise")] = (math.log(LEAST_NOISE), None)
    with threadpool_limits(1):  # on work this small, threads wait for each other
        best = minimize(loss, vector, jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": 60}).x
    return Parameters(*np.split(best, np.cumsum(sizes)[:-1]))


@dataclass(frozen=True)
class Posterior:
    """What is known of all points once *values* (N,) are measured at some *points*."""

    parameters: Parameters
    points: Points
    values: np.ndarray

    def at(self, wanted: Points) -> Belief:
        """Return what is known of the values at the *wanted* points, without noise."""
        factor, white = self._solved
        prior, between = self._between(wanted, wanted), self._between(self.points, wanted)
        gained = torch.linalg.solve_triangular(factor, between, upper=False)
        mean = self._centre + (gained.T @ white)[:, 0]
        return Belief(mean.numpy(), (prior - gained.T @ gained).numpy())

    def _between(self, first: Points, second: Points) -> Tensor:
        parts, lengths = map(torch.from_numpy, (self.parameters.parts, self.parameters.lengths))
        return _covariance(parts, lengths, first, second)

    @property
    def _centre(self) -> float:
        return float(self.values.mean()) if len(self.values) else 0.0

    @cached_property
    def _solved(self) -> tuple[Tensor, Tensor]:
        """The Cholesky factor (N, N) of the covariance with noise, and the values (N, 1) whitened by it."""
        noise = torch.diag(torch.from_numpy(self.parameters.noise(self.points.task)))
        factor = torch.linalg.cholesky(self._between(self.points, self.points) + noise)
        apart = torch.from_numpy(self.values - self._centre)[:, None]
        return factor, torch.linalg.solve_triangular(factor, apart, upper=False)


def _covariance(parts: Tensor, lengths: Tensor, first: Points, second: Points) -> Tensor:
    """Return the covariance (N, M) of the values at two lists of points, without noise."""
    squares = dict(zip(MEDIANS, torch.exp(2 * parts), strict=True))

    def same(name: str) -> Tensor:
        return torch.from_numpy(getattr(first, name)[:, None] == getattr(second, name)[None]).double()

    def both(name: str) -> Tensor:
        return torch.from_numpy(getattr(first, name)[:, None] & getattr(second, name)[None]).double()

    task, option = same("task"), same("option")
    differences = torch.from_numpy(first.features[:, None] - second.features[None]) / torch.exp(lengths)
    alike = torch.exp(-differences.square().sum(2) / 2)
    options = alike * (squares["option"] + squares["task_option"] * task)
    gains = squares["gain"] + squares["task_gain"] * task
    own = option * (squares["common"] + squares["rest"] * task)
    trained = both("trained") * (gains + options + own)
    of_seed = squares["net"] * option + both("drawn") * (squares["draw"] + squares["task_draw"] * task)
    seeds = same("seed") * torch.from_numpy(first.seed >= 0)[:, None]
    return squares["level"] * task + trained + seeds * of_seed


def verdict_quantile(tasks: float, repeats: int, options: int) -> float:
    """Return how many standard deviations the difference of two options has to lie from 0 for a verdict.

    What the model says is a normal distribution, with parameters estimated as if they were known. Either of
    two quantiles of Student's t (one-sided, at LEVEL) makes up for that, and the smaller one is enough:

    - With *tasks* − 1 degrees of freedom, as in the intervals: many tasks show how much options differ at
      all, and the model draws differences that are noise towards 0. Only those with results count: see
      `itl.analysis.option_grid.Grid.informative_tasks`.
    - With a few tasks it does not, and the highest of equal options is the one with the luckiest nets. So the
      level is divided by the number of *options* that the choice is made from (Bonferroni), and what noise is
      has as many degrees of freedom as there are *repeats*: see `itl.analysis.option_grid.Grid.repeats`.

    No more than the repeats count in the first one too. Without any it is infinite: nothing tells a
    difference between options from the noise of training.

    >>> [round(verdict_quantile(tasks, 18, 9), 2) for tasks in (1, 3, 9)], verdict_quantile(9, 0, 9)
    ([2.83, 2.83, 1.86], inf)
    """
    if repeats < 1:
        return math.inf
    of_tasks = critical(min(max(tasks - 1, 1), repeats), 2 * LEVEL)
    return min(of_tasks, critical(repeats, 2 * LEVEL / options))


def at_options(points: Points) -> Points:
    """Return *points* as means over nets."""
    return replace(points, seed=np.full(len(points), -1))


def expected_gains(posterior: Posterior, choices: Points, trials: Points) -> np.ndarray:
    """Return by how much one measurement at each of *trials* raises the expected value of the best choice.

    The knowledge gradient of Frazier, Powell and Dayanik, The knowledge-gradient policy for correlated normal
    beliefs, 2009: a measurement moves the means of all *choices* (as means over nets) by σ̃ Z, Z standard
    normal, and the best of them is chosen afterwards.

    Returns:
        (trials,), in points of percent.
    """
    joint = posterior.at(choices.joined(trials))
    count, gains = len(choices), np.empty(len(trials))
    noise = posterior.parameters.noise(trials.task)
    for number in range(len(trials)):
        row = count + number
        spread = math.sqrt(max(joint.covariance[row, row], 0.0) + noise[number])
        gains[number] = expected_rise(joint.mean[:count], joint.covariance[:count, row] / spread)
    return gains


def expected_rise(means: np.ndarray, slopes: np.ndarray) -> float:
    """Return E max(means + slopes Z) − max(means), Z standard normal, in closed form.

    Algorithm 1 of Frazier, Powell and Dayanik: of the lines means + slopes z only those on the upper envelope
    count; neighbours on it, whose slopes differ by d and which meet at z, add `d (φ(z) − |z| Φ(−|z|))`.

    >>> round(expected_rise(np.array([0.0, 0.0]), np.array([0.0, 1.0])), 4)  # E max(0, Z)
    0.3989
    """
    envelope: list[int] = []
    meets: list[float] = []  # where each line of the envelope overtakes the one before it; the first never
    for line in np.lexsort((means, slopes)).tolist():
        meet = -math.inf
        while envelope:
            last = envelope[-1]
            if slopes[line] > slopes[last]:
                meet = float((means[last] - means[line]) / (slopes[line] - slopes[last]))
                if meet > meets[-1]:
                    break
            envelope.pop()  # parallel and not above, or never the highest
            meets.pop()
            meet = -math.inf
        envelope.append(line)
        meets.append(meet)
    steps, z = np.diff(slopes[envelope]), -np.abs(np.array(meets[1:]))
    densities = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return float((steps * (densities + z * ndtr(z))).sum())
