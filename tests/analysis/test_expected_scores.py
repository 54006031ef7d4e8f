"""The likelihood by pairs of a task and an option beside the normal density of every measurement."""

import numpy as np
import pytest
import torch
from scipy.optimize import check_grad
from scipy.stats import multivariate_normal

from itl.analysis.expected_scores import MEDIANS, Likelihood, Parameters, Points
from tests.analysis.test_advice import world

TASKS = 9


def covariance(parameters: Parameters, points: Points) -> np.ndarray:
    """The covariance of measurements, entry by entry, as the docstring of the module lists its parts."""
    sd = dict(zip(MEDIANS, np.exp(parameters.parts), strict=True))
    matrix = np.diag(parameters.noise(points.task))
    for row, column in np.ndindex(matrix.shape):
        same = {
            name: float(getattr(points, name)[row] == getattr(points, name)[column])
            for name in ("task", "option", "seed")
        }
        apart = (points.features[row] - points.features[column]) / np.exp(parameters.lengths)
        alike = np.exp(-(apart**2).sum() / 2)
        value = sd["level"] ** 2 * same["task"] + sd["net"] ** 2 * same["option"] * same["seed"]
        if points.drawn[row] and points.drawn[column]:
            value += same["seed"] * (sd["draw"] ** 2 + sd["task_draw"] ** 2 * same["task"])
        if points.trained[row] and points.trained[column]:
            value += sd["gain"] ** 2 + sd["task_gain"] ** 2 * same["task"]
            value += alike * (sd["option"] ** 2 + sd["task_option"] ** 2 * same["task"])
            value += same["option"] * (sd["common"] ** 2 + sd["rest"] ** 2 * same["task"])
        matrix[row, column] += value
    return matrix


@pytest.mark.parametrize("measured", [0, 1, 3])
def test_the_likelihood_is_the_normal_density_of_all_measurements(measured):
    grid, _ = world(0, effect=4.0, measured=measured)
    points, values = grid.data
    values = values - values.mean()
    likelihood, constant = Likelihood.of(points, values), len(values) * np.log(2 * np.pi) / 2
    random = np.random.default_rng(measured)
    for scale in (0.0, 1.0):
        parts = np.log(list(MEDIANS.values())) + scale * random.normal(size=len(MEDIANS))
        parameters = Parameters(parts, scale * random.normal(size=1), scale * random.normal(size=TASKS))
        density = multivariate_normal(cov=covariance(parameters, points)).logpdf(values)
        log = likelihood.log(*map(torch.from_numpy, vars(parameters).values()))
        assert log.item() == pytest.approx(density + constant, rel=1e-9)


def test_its_gradient_is_that_of_finite_differences():
    likelihood = Likelihood.of(*world(1, effect=4.0)[0].data)

    def log(vector: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        theta = torch.tensor(vector, requires_grad=True)
        return theta, likelihood.log(*theta.split([len(MEDIANS), 1, TASKS]))

    def gradient(vector: np.ndarray) -> np.ndarray:
        theta, value = log(vector)
        return torch.autograd.grad(value, theta)[0].numpy()

    vector = np.concatenate([*vars(Parameters.before(1, np.zeros(TASKS))).values()])
    error = check_grad(lambda vector: log(vector)[1].item(), gradient, vector, epsilon=1e-6)
    assert error < 1e-4 * np.linalg.norm(gradient(vector))
