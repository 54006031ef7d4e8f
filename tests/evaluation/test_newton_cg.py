"""The minimisers end where SciPy's do, several functions at once, and look at the device once a step."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch.utils._python_dispatch import TorchDispatchMode

from itl.evaluation import newton_cg as module
from itl.evaluation.newton_cg import conjugate_gradients, lbfgs, line_search, newton_cg

C, A = 3, 4  # weights of a function


class Functions:
    """logsumexp(M w + b) + l2 / 2 |w|²: smooth and convex, one for each l2, w the C * A weights in a row."""

    def __init__(self, strengths: list[float], rows: int = 40) -> None:
        random = torch.Generator().manual_seed(0)
        self.matrix = torch.randn(rows, C * A, generator=random)
        self.offset, self.l2 = torch.randn(rows, generator=random), torch.tensor(strengths)

    def value(self, flat: np.ndarray, number: int) -> float:
        outputs = self.matrix.double().numpy() @ flat + self.offset.double().numpy()
        return float(np.logaddexp.reduce(outputs) + float(self.l2[number]) / 2 * flat @ flat)

    def gradient(self, weights: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
        shares = (weights.flatten(1) @ self.matrix.T + self.offset).softmax(1)
        return (shares @ self.matrix).view_as(weights) + self.l2[active][:, None, None] * weights

    def hessian(self, number: int, weights: torch.Tensor):
        shares = (self.matrix @ weights.flatten() + self.offset).softmax(0)

        def product(direction: torch.Tensor) -> torch.Tensor:
            moved = self.matrix @ direction.flatten()
            bent = self.matrix.T @ (shares * (moved - shares @ moved))
            return bent.view_as(direction) + self.l2[number] * direction

        return product


def start(count: int) -> torch.Tensor:
    return torch.randn(count, C, A, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", ["lbfgs", "newton_cg", "both"])
def test_each_function_ends_where_scipys_does(method):
    functions, tolerance = Functions([1.0, 0.3, 0.1]), torch.full((3,), 1e-5)
    weights, diagonal = start(3), functions.l2[:, None, None] + torch.ones(3, 1, A)
    if method != "newton_cg":
        weights = lbfgs(functions.gradient, weights, diagonal, tolerance)
    if method != "lbfgs":
        weights = newton_cg(functions.gradient, functions.hessian, weights, diagonal, tolerance)
    assert functions.gradient(weights, torch.arange(3)).abs().max() <= 1e-5
    for number, solution in enumerate(weights):
        oracle = minimize(functions.value, np.zeros(C * A), (number,), method="BFGS", options={"gtol": 1e-8})
        np.testing.assert_allclose(solution.flatten(), oracle.x, atol=1e-3)


def test_a_function_that_is_there_is_left_alone():
    functions, tolerance = Functions([1.0, 0.3]), torch.full((2,), 1e-5)
    weights = lbfgs(functions.gradient, start(2), torch.ones(2, 1, A), tolerance)
    weights[1] += 1
    again = lbfgs(functions.gradient, weights, torch.ones(2, 1, A), tolerance)
    assert torch.equal(again[0], weights[0])
    assert functions.gradient(again, torch.arange(2)).abs().max() <= 1e-5


def test_a_step_that_would_overshoot_is_shortened():
    functions, weights, first = Functions([1.0]), start(1), torch.tensor([0])
    slope = functions.gradient(weights, first)
    step, after = line_search(functions.gradient, weights, slope, -100 * slope, first)
    assert 0 < step.norm() < 100 * slope.norm()
    assert (-(step * after).sum()) >= -0.8 * (step * -slope).sum()
    assert torch.equal(after, functions.gradient(weights + step, first))


def test_where_no_step_helps_none_is_taken():
    weights, slope, first = torch.zeros(1, 1, 1), torch.ones(1, 1, 1), torch.tensor([0])
    step, after = line_search(lambda at, active: torch.full_like(at, -1e9), weights, slope, -slope, first)
    assert (step.item(), after.item()) == (0.0, 1.0)


def test_conjugate_gradients_solve_what_a_dense_solver_does(monkeypatch):
    monkeypatch.setattr(module, "CG_TOLERANCE", 1e-6)
    random = torch.Generator().manual_seed(0)
    root, target = torch.randn(12, 12, generator=random), torch.randn(1, C, A, generator=random)
    matrix = root @ root.T + torch.eye(12)
    solution = conjugate_gradients(
        lambda direction: (matrix @ direction.flatten()).view(1, C, A), target, matrix.diag().view(1, C, A)
    )
    exact = torch.linalg.solve(matrix, target.flatten())
    torch.testing.assert_close(solution.flatten(), exact, atol=1e-4, rtol=1e-3)


def test_a_step_of_lbfgs_asks_the_device_at_most_twice(monkeypatch):
    """What is left to do, and whether a step is too long: each is one `nonzero`; there is no other wait."""
    waits, steps, real = [], [], module.lbfgs_direction
    monkeypatch.setattr(module, "lbfgs_direction", lambda *state: steps.append(1) or real(*state))
    functions = Functions([1.0, 0.3, 0.1])

    class Waits(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            name = operation._schema.name
            if name in ("aten::nonzero", "aten::_local_scalar_dense", "aten::is_nonzero"):
                waits.append(name)
            indices = args[1] if name in ("aten::index", "aten::index_put_") else ()
            assert all(index is None or index.dtype != torch.bool for index in indices)
            return operation(*args, **(kwargs or {}))

    with Waits():
        lbfgs(functions.gradient, start(3), torch.ones(3, 1, A), torch.full((3,), 1e-5))
    assert set(waits) == {"aten::nonzero"}
    assert len(waits) <= 2.5 * len(steps) + 1
