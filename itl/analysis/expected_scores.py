"""What an option should score on a task, from what it and others score on this task and on others.

One Gaussian process (Rasmussen and Williams, Gaussian processes for machine learning, 2006, chapter 2) over
pairs of a task and an option. Its covariance is a sum of parts, each with a standard deviation in points::

    level                      of a task without pre-training
    gain, task_gain            of pre-training: what tasks share, and a task's own
    option, task_option        differences between options, which are alike where their features are near:
                               what tasks share, and a task's own
    common, rest               what features do not say of an option: what tasks share, and a task's own
    net                        of a net (its seed), on all tasks
    noise                      of one measurement, times a factor of the task

The parts that tasks share let one task speak for another (Bonilla et al., Multi-task Gaussian process
prediction, 2007). Scikit-learn's process has no such parts for pairs and no noise of each task.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import ndtr
from torch import Tensor

# Medians of the standard deviations before any measurement, in points of percent, and of the distance between
# options, in standard deviations of a feature, at which they are hardly alike.
MEDIANS = {
    "level": 15.0,
    "gain": 10.0,
    "task_gain": 4.0,
    "option": 4.0,
    "task_option": 3.0,
    "common": 2.0,
    "rest": 2.0,
    "net": 1.0,
    "noise": 2.0,
    "length": 0.8,
}
SPREAD = 0.5  # of their logarithms
NOISE_SPREAD = 0.4  # of the logarithm of the variance of a task's noise


@dataclass(frozen=True)
class Points:
    """Pairs of a task and an option.

    Args:
        task: (N,) int, its number.
        option: (N,) int, its number.
        net: (N,) int, the net that is measured; -1 for the mean over nets of the option.
        trained: (N,) bool, whether the option has any pre-training.
        features: (N, F) of the option on the task, standardised.
    """

    task: np.ndarray
    option: np.ndarray
    net: np.ndarray
    trained: np.ndarray
    features: np.ndarray

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
    """Logarithms of the parts' standard deviations, as in MEDIANS, and of the factors of tasks' noise."""

    parts: np.ndarray
    noise_of_task: np.ndarray

    @classmethod
    def before(cls, tasks: int) -> "Parameters":
        """Return the parameters before any measurement on so many *tasks*."""
        return cls(np.log(list(MEDIANS.values())), np.zeros(tasks))

    def noise(self, task: np.ndarray) -> np.ndarray:
        """Return the variance of one measurement on each *task* (N,)."""
        return np.exp(2 * self.parts[list(MEDIANS).index("noise")] + self.noise_of_task[task])

    @property
    def net(self) -> float:
        """Variance between the nets of one option."""
        return math.exp(2 * self.parts[list(MEDIANS).index("net")])


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

    With values y of pairs Z and nets W, the covariance is ``Z K Zᵀ + S``, where K is that of the pairs and
    S = net W Wᵀ + noise. S is inverted in closed form, and only matrices of pairs are factorised (Woodbury;
    Rasmussen and Williams, equations A.9 and A.10): 2,000 measurements of 200 pairs take a hundredth of the
    time that their own covariance takes.

    Args:
        pairs: the P pairs that are measured, as means over nets.
        counts: (nets, P), how often each net is measured on each pair.
        sums: (nets, P) of these values.
        squares: (P,), sums of squared values.
    """

    pairs: Points
    counts: Tensor
    sums: Tensor
    squares: Tensor

    @classmethod
    def of(cls, points: Points, values: np.ndarray) -> "Likelihood":
        """Sum *values* (N,), around their mean, of nets measured at *points*."""
        names = np.stack([points.task, points.option], axis=1)
        _, first, pair = np.unique(names, axis=0, return_index=True, return_inverse=True)
        nets, net = np.unique(points.net, return_inverse=True)
        counts, sums = np.zeros((2, len(nets), len(first)))
        np.add.at(counts, (net, pair), 1.0)
        np.add.at(sums, (net, pair), values)
        squares = np.bincount(pair, values**2)
        return cls(at_options(points.rows(first)), *map(torch.from_numpy, (counts, sums, squares)))

    def log(self, parts: Tensor, factors: Tensor) -> Tensor:
        """Return the logarithm of the likelihood, less its constant.

        Args:
            parts: (parts,), as in `Parameters`.
            factors: (tasks,), logarithms of the factors of tasks' noise.
        """
        deviations = dict(zip(MEDIANS, parts, strict=True))
        log_noise = 2 * deviations["noise"] + factors[self.pairs.task]
        precision, net = torch.exp(-log_noise), torch.exp(2 * deviations["net"])
        # Zᵀ S⁻¹ Z, Zᵀ S⁻¹ y and yᵀ S⁻¹ y: what noise alone gives, less what nets explain.
        of_net, sums = self.counts * precision, self.sums * precision
        of_nets, sums_of_nets = of_net.sum(1), sums.sum(1)
        shrunk = net / (1 + net * of_nets)
        information = torch.diag(of_net.sum(0)) - of_net.T @ (shrunk[:, None] * of_net)
        weighted = sums.sum(0) - of_net.T @ (shrunk * sums_of_nets)
        total = (self.squares * precision).sum() - (shrunk * sums_of_nets.square()).sum()
        root = torch.linalg.cholesky(information)
        means = torch.linalg.solve_triangular(root, weighted[:, None], upper=False)
        prior = root.T @ _covariance(parts, self.pairs, self.pairs) @ root
        factor = torch.linalg.cholesky(prior + torch.eye(len(self.pairs), dtype=prior.dtype))
        white = torch.linalg.solve_triangular(factor, means, upper=False)
        log_determinant = (self.counts.sum(0) * log_noise).sum() + torch.log1p(net * of_nets).sum()
        log_determinant = log_determinant + 2 * factor.diagonal().log().sum()
        return -(total - means.square().sum() + white.square().sum() + log_determinant) / 2


def fit(points: Points, values: np.ndarray, tasks: int, start: Parameters | None = None) -> Parameters:
    """Estimate the parameters from *values* (N,) measured at *points*: the most likely ones.

    The marginal likelihood is that of Rasmussen and Williams (equation 5.8), times log-normal priors around
    MEDIANS, so that few measurements do not make parts vanish.

    Args:
        points: where it was measured.
        values: in percent.
        tasks: how many there are.
        start: where the search begins; by default at the medians.
    """
    medians = np.log(list(MEDIANS.values()))
    start = start or Parameters.before(tasks)
    likelihood = Likelihood.of(points, values - values.mean())

    def loss(vector: np.ndarray) -> tuple[float, np.ndarray]:
        theta = torch.tensor(vector, requires_grad=True)
        parts, factors = theta[: len(MEDIANS)], theta[len(MEDIANS) :]
        prior = ((parts - torch.from_numpy(medians)) / SPREAD).square().sum()
        prior = prior + (factors / NOISE_SPREAD).square().sum()
        total = prior / 2 - likelihood.log(parts, factors)
        (gradient,) = torch.autograd.grad(total, theta)
        return total.item(), gradient.numpy()

    vector = np.concatenate([start.parts, start.noise_of_task])
    best = minimize(loss, vector, jac=True, method="L-BFGS-B", options={"maxiter": 60}).x
    return Parameters(best[: len(MEDIANS)], best[len(MEDIANS) :])


@dataclass(frozen=True)
class Posterior:
    """What is known of all points once *values* (N,) are measured at some *points*.

    The covariance of what is measured is factorised once, whatever is asked of it then.
    """

    parameters: Parameters
    points: Points
    values: np.ndarray

    def at(self, wanted: Points) -> Belief:
        """Return what is known of the values at the *wanted* points, without noise."""
        parts, (factor, white) = torch.from_numpy(self.parameters.parts), self._solved
        prior, between = _covariance(parts, wanted, wanted), _covariance(parts, self.points, wanted)
        gained = torch.linalg.solve_triangular(factor, between, upper=False)
        mean = self._centre + (gained.T @ white)[:, 0]
        return Belief(mean.numpy(), (prior - gained.T @ gained).numpy())

    @property
    def _centre(self) -> float:
        return float(self.values.mean()) if len(self.values) else 0.0

    @cached_property
    def _solved(self) -> tuple[Tensor, Tensor]:
        """The Cholesky factor (N, N) of the covariance with noise, and the values (N, 1) whitened by it."""
        noise = torch.diag(torch.from_numpy(self.parameters.noise(self.points.task)))
        covariance = _covariance(torch.from_numpy(self.parameters.parts), self.points, self.points)
        factor = torch.linalg.cholesky(covariance + noise)
        apart = torch.from_numpy(self.values - self._centre)[:, None]
        return factor, torch.linalg.solve_triangular(factor, apart, upper=False)


def _covariance(parts: Tensor, first: Points, second: Points) -> Tensor:
    """Return the covariance (N, M) of the values at two lists of points, without noise."""
    squares = dict(zip(MEDIANS, torch.exp(2 * parts), strict=True))

    def same(name: str) -> Tensor:
        return torch.from_numpy(getattr(first, name)[:, None] == getattr(second, name)[None]).double()

    task, both = same("task"), torch.from_numpy(first.trained[:, None] & second.trained[None]).double()
    differences = torch.from_numpy(first.features[:, None] - second.features[None])
    alike = torch.exp(-differences.square().sum(2) / squares["length"] / 2)
    options = alike * (squares["option"] + squares["task_option"] * task)
    gains = squares["gain"] + squares["task_gain"] * task
    own = same("option") * (squares["common"] + squares["rest"] * task)
    trained = both * (gains + options + own)
    nets = same("net") * torch.from_numpy(first.net >= 0)[:, None]
    return squares["level"] * task + trained + squares["net"] * nets


def at_options(points: Points) -> Points:
    """Return *points* as means over nets."""
    return replace(points, net=np.full(len(points), -1))


def expected_gains(posterior: Posterior, choices: Points, trials: Points) -> np.ndarray:
    """Return by how much one measurement at each of *trials* raises the expected value of the best choice.

    The knowledge gradient of Frazier, Powell and Dayanik, The knowledge-gradient policy for correlated normal
    beliefs, 2009: a measurement moves the means of all choices by σ̃ Z, Z standard normal, and the best of
    them is chosen afterwards.

    Args:
        posterior: what is measured already, under the parameters from `fit`.
        choices: the options to choose among, as means over nets.
        trials: nets that could be measured.

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
    meets: list[float] = []  # where each line of the envelope overtakes the one before it
    order: Sequence[int] = np.lexsort((means, slopes)).tolist()
    for line in order:
        if envelope and slopes[line] == slopes[envelope[-1]]:  # parallel and not below: it takes its place
            envelope.pop()
            meets = meets[: max(len(envelope) - 1, 0)]
        while envelope:
            last = envelope[-1]
            meet = (means[last] - means[line]) / (slopes[line] - slopes[last])
            if meets and meet <= meets[-1]:
                envelope.pop()
                meets.pop()
                continue
            meets.append(float(meet))
            break
        envelope.append(line)
    steps, z = np.diff(slopes[envelope]), -np.abs(np.array(meets))
    densities = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return float((steps * (densities + z * ndtr(z))).sum())
