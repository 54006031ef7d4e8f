"""Minimise S smooth convex functions of weights (S, C, A) at once: L-BFGS, then Newton's method.

A gradient is a function of weights (S', C, A) and of the numbers (S',) of the functions they belong to. A
diagonal, (S, 1, A), is that of the Hessian or near it. The host waits for one small result a step; everything
else is queued on a GPU.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

MAX_STEPS = 30  # of L-BFGS, and of Newton's method
HISTORY_STEPS = 5  # from which L-BFGS estimates the curvature
CG_TOLERANCE, CG_MAX_STEPS = 0.3, 80  # of a Newton step: the residual to reach, relative to the first
LINE_SEARCH_EVALUATIONS = 12

Gradient = Callable[[Tensor, Tensor], Tensor]
Product = Callable[[Tensor], Tensor]
Pair = tuple[Tensor, Tensor, Tensor]  # step, change of the gradient, and 1 / their inner product


def lbfgs(gradient: Gradient, weights: Tensor, diagonal: Tensor, tolerance: Tensor) -> Tensor:
    """Minimise from *weights* by L-BFGS until no entry of a gradient is above the *tolerance* (S,).

    Functions that have converged are left out of further steps, of which there are at most MAX_STEPS. So are
    those that a step no longer improves, in the precision of *gradient*.
    """
    solution, active = weights.clone(), torch.arange(len(weights), device=weights.device)
    slope, scale = gradient(weights, active), torch.ones_like(weights[:, :1, :1])
    history: list[Pair] = []
    moved = torch.ones_like(active, dtype=torch.bool)
    for _ in range(MAX_STEPS):
        kept = (moved & (slope.abs().amax((1, 2)) > tolerance[active])).nonzero().squeeze(1)
        if not len(kept):
            break
        if len(kept) < len(active):
            state = weights, slope, scale, diagonal, active
            weights, slope, scale, diagonal, active = (part[kept] for part in state)
            history = [(step[kept], change[kept], inverse[kept]) for step, change, inverse in history]
        direction = lbfgs_direction(slope, history, scale / diagonal)
        step, next_slope = line_search(gradient, weights, slope, direction, active)
        change, moved = next_slope - slope, step.any(2).any(1)
        curvature = _dot(step, change)
        scale = torch.where(curvature > 0, curvature / _dot(change, change / diagonal), scale)
        history = [*history, (step, change, torch.where(curvature > 0, 1 / curvature, 0.0))][-HISTORY_STEPS:]
        weights, slope = weights + step, next_slope
        solution[active] = weights
    return solution


def lbfgs_direction(slope: Tensor, history: Sequence[Pair], first: Tensor) -> Tensor:
    """Return the L-BFGS direction, *first* being a diagonal of the inverse Hessian.

    Source: Nocedal and Wright, Numerical Optimization, algorithm 7.4.
    """
    direction, shares = -slope, []
    for step, change, inverse in reversed(history):
        shares.append(inverse * _dot(step, direction))
        direction = direction - shares[-1] * change
    direction = first * direction
    for (step, change, inverse), share in zip(history, reversed(shares), strict=True):
        direction = direction + (share - inverse * _dot(change, direction)) * step
    return direction


def newton_cg(
    gradient: Gradient,
    hessian: Callable[[int, Tensor], Product],
    weights: Tensor,
    diagonal: Tensor,
    tolerance: Tensor,
) -> Tensor:
    """Minimise by Newton's method, one function after the other, until no entry of a gradient is too large.

    It also ends where a step no longer improves, and after MAX_STEPS steps. *hessian* takes the number of a
    function and its weights (C, A); it returns the function that multiplies a direction (1, C, A) by the
    Hessian there. An approximation will do.
    """
    weights, numbers = weights.clone(), torch.arange(len(weights), device=weights.device)
    slopes = gradient(weights, numbers)
    for number in range(len(weights)):
        one = slice(number, number + 1)
        slope = slopes[one]
        unfinished = slope.abs().max() > tolerance[number]
        for _ in range(MAX_STEPS):
            if not unfinished:
                break
            product = hessian(number, weights[number])
            direction = conjugate_gradients(product, -slope, diagonal[one])
            step, slope = line_search(gradient, weights[one], slope, direction, numbers[one])
            weights[one] += step
            unfinished = step.any() & (slope.abs().max() > tolerance[number])
    return weights


def conjugate_gradients(product: Product, target: Tensor, diagonal: Tensor) -> Tensor:
    """Solve product(solution) = *target* (1, C, A) roughly, preconditioned by *diagonal* (1, 1, A)."""
    solution, residual = torch.zeros_like(target), target
    direction = preconditioned = residual / diagonal
    size = first = _dot(residual, preconditioned)
    for _ in range(CG_MAX_STEPS):
        curved = product(direction)
        length = size / _dot(direction, curved)
        solution, residual = solution + length * direction, residual - length * curved
        preconditioned = residual / diagonal
        size, before = _dot(residual, preconditioned), size
        if not size > CG_TOLERANCE**2 * first:  # waits; testing only every fourth step gained nothing
            break
        direction = preconditioned + size / before * direction
    return solution


def line_search(
    gradient: Gradient, weights: Tensor, slope: Tensor, direction: Tensor, active: Tensor
) -> tuple[Tensor, Tensor]:
    """Find a step along *direction* at whose end the function rises by at most 0.8 of its first descent.

    The functions are convex, so gradients are enough to find the length; differences of values would be lost
    in rounding (as in Hager and Zhang, A new conjugate gradient method with guaranteed descent, 2005).

    Returns:
        Steps (S', C, A), zero where no length was accepted, and the gradients at their ends.
    """
    falls, lengths = -_dot(direction, slope), torch.ones_like(slope[:, :1, :1])
    after = gradient(weights + direction, active)
    for _ in range(LINE_SEARCH_EVALUATIONS):
        rises = _dot(direction, after)
        over = (~(rises <= 0.8 * falls)).flatten().nonzero().squeeze(1)  # NaN is over, too
        if not len(over):
            return lengths * direction, after
        lengths[over] *= (falls / (falls + rises))[over].nan_to_num(0.1).clamp(0.1, 0.7)
        after[over] = gradient((weights + lengths * direction)[over], active[over])
    over = ~(_dot(direction, after) <= 0.8 * falls)
    return lengths.masked_fill(over, 0.0) * direction, torch.where(over, slope, after)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """Return the inner products (S, 1, 1) of S pairs of matrices."""
    return (one * other).sum((1, 2), keepdim=True)
