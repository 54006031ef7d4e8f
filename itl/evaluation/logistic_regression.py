"""Linear classifiers of features as they are: one solve for all strengths of the penalty at once."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from itl import ItlError
from itl.training.batches import has_bf16

STRENGTHS = tuple(10.0 ** (exponent / 2) for exponent in range(2, -11, -1))   # 10 to 1e-5
TOLERANCE = 1e-6            # the steepest slope that may be left
NEAR = 0.01                 # of the strength: the same, since weights are off by up to slope / strength
ROUGH = 5e-5                # what bfloat16 can reach of that
STEPS = 30                  # of each kind at most
MEMORY = 5                  # steps that tell L-BFGS how the slope bends
NEWTON = 0.3, 80            # how far the equations of a step are solved, and products that it may take
TRIES = 12                  # lengths of a step
OUTPUTS = {"cpu": 2**18, "cuda": 2**26}     # held at once: on a CPU they stay in its cache

Slope = Callable[[Tensor, Tensor], Tensor]


class Features(NamedTuple):
    """What a net makes of images: features float32 (N, D) and labels int64 (N,)."""

    features: Tensor
    labels: Tensor


class Linear(NamedTuple):
    """A linear classifier of standardised features: weights (C, D), bias (C,), mean and scale (D,)."""

    weights: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor
    strength: float

    def __call__(self, features: Tensor) -> Tensor:
        """Outputs (N, C) for *features* (N, D), on the device of the weights."""
        wide = (features.to(self.weights.device) - self.mean) / self.scale
        return F.linear(wide, self.weights, self.bias)


def choose_strength(train: Features, classes: int, fitted: np.ndarray, held: np.ndarray) -> Linear:
    """Fit on rows *fitted* with the strength that does best on those *held*, then again on all of *train*.

    Best is the highest accuracy; of equal ones the lowest cross-entropy.
    """
    part, rest = (Features(train.features[rows], train.labels[rows]) for rows in (fitted, held))
    found = fit_linear(part, classes, STRENGTHS)

    def held_out(classify: Linear) -> tuple[int, float, float]:
        outputs = classify(rest.features)
        right = (outputs.argmax(1) == rest.labels).sum().item()
        return right, -F.cross_entropy(outputs, rest.labels).item(), classify.strength

    best = max(found, key=held_out)
    return fit_linear(train, classes, [best.strength], best)[0]


def fit_linear(
    train: Features, classes: int, strengths: Sequence[float], start: Linear | None = None,
    tolerance: float | None = None,
) -> list[Linear]:
    """Minimise mean cross-entropy + strength / 2 · |weights|² on all of *train*, for all *strengths* at once.

    Features are standardised by their own mean and deviation; the bias is not penalised. The minimum is
    unique up to a constant in the bias, so *start* only saves time. Solved until no slope is above TOLERANCE
    or NEAR of the strength, or above *tolerance* instead. Raises ItlError for a strength that is not above
    zero: without a penalty there may be no minimum.

    L-BFGS goes most of the way, all strengths at once, in bfloat16 where the device has it. Newton's method
    goes the rest, by slopes in float32 and, in bfloat16 again, products with the curvature. In the axes of
    the features' covariance the curvature at zero weights is diagonal (Böhning, Multinomial logistic
    regression algorithm, 1992, has the bound), and both start from it. Memory beyond the features is two and
    a half times theirs, 15 times the weights of all strengths, and a chance for each row and class.
    """
    if not all(strength > 0 for strength in strengths):
        told = ", ".join(f"{each:g}" for each in strengths)
        raise ItlError(f"a probe's strength is above zero; got {told}")
    mean, scale = _mean_and_scale(train.features)
    wide = (train.features - mean) / scale
    axes, spread = _axes(wide)
    wide = F.pad(wide @ axes, (0, 1), value=1.0)            # the last weight is the bias
    penalty = wide.new_tensor(strengths)[:, None, None] * (torch.arange(wide.shape[1]) < len(spread)).to(wide)
    weights = wide.new_zeros(len(strengths), classes, wide.shape[1])
    if start is not None:
        weights[:] = torch.cat([start.weights @ axes, start.bias[:, None]], 1)
    curvature = F.pad(spread, (0, 1), value=1.0) / classes + penalty
    strict = (NEAR * penalty[:, 0, 0]).clamp_max(TOLERANCE)
    enough = strict if tolerance is None else torch.full_like(strict, tolerance)
    low = wide.to(torch.bfloat16 if has_bf16(wide.device) else torch.float32)
    rough, exact = (partial(_slope, each, train.labels, penalty) for each in (low, wide))
    weights = _descend(rough, weights, curvature, (enough / 2).clamp_min(ROUGH))     # as slopes are rough
    weights = _polish(exact, low, penalty, weights, curvature, enough)
    return [
        Linear(each[:, :-1] @ axes.T, each[:, -1], mean, scale, strength)
        for each, strength in zip(weights, strengths, strict=True)
    ]


def _mean_and_scale(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (D,) of *features* (N, D); a feature that never moves gets deviation 1."""
    deviation, mean = torch.std_mean(features.double(), dim=0, correction=0)
    still = deviation <= 1e-6 * mean.abs()  # what is left of a constant after rounding is not a feature
    return mean.to(features.dtype), deviation.masked_fill(still, 1.0).to(features.dtype)


def _axes(wide: Tensor) -> tuple[Tensor, Tensor]:
    """The main axes (D, A) of standardised features (N, D) and the variance (A,) along each, A <= D, N."""
    within = torch.linalg.qr(wide.T).Q if len(wide) < wide.shape[1] else None       # weights lie in there
    inside = wide if within is None else wide @ within
    variance, axes = torch.linalg.eigh(inside.T @ inside / len(wide))
    return axes if within is None else within @ axes, variance.clamp_min(0)


def _slope(wide: Tensor, labels: Tensor, penalty: Tensor, weights: Tensor, which: Tensor) -> Tensor:
    """Gradients (S, C, A) at *weights* (S, C, A) of the objectives that *which* (S,) numbers."""
    count, classes, _ = weights.shape
    flat = weights.flatten(0, 1)
    total, pieces = torch.zeros_like(flat), [flat.to(wide.dtype)]
    if wide.dtype != flat.dtype:            # weights that move by less than bfloat16 shows would never arrive
        pieces.append((flat - pieces[0]).to(wide.dtype))
    rows = max(1, OUTPUTS[wide.device.type] // len(flat))
    for some, own in zip(wide.split(rows), labels.split(rows), strict=True):
        outputs = sum((some @ piece.T).float() for piece in pieces)
        residual = outputs.view(-1, count, classes).softmax(2)
        residual[torch.arange(len(some)), :, own] -= 1
        total += residual.flatten(1).to(wide.dtype).T @ some
    return (total / len(wide)).view_as(weights) + penalty[which] * weights


def _descend(slope: Slope, weights: Tensor, curvature: Tensor, enough: Tensor) -> Tensor:
    """Go down from *weights* (S, C, A), S at once by L-BFGS, until no *slope* is above its *enough* (S,).

    Objectives that are there drop out. So do those that no step brings further, to the precision of *slope*.
    """
    ended, moving = weights.clone(), torch.arange(len(weights), device=weights.device)
    gradient, scale = slope(weights, moving), torch.ones_like(weights[:, :1, :1])
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    going = torch.ones_like(moving, dtype=torch.bool)
    for _ in range(STEPS):
        going &= gradient.abs().amax((1, 2)) > enough[moving]
        if not going.all():
            weights, gradient, scale, curvature, moving = (
                each[going] for each in (weights, gradient, scale, curvature, moving)
            )
            pairs = [tuple(each[going] for each in pair) for pair in pairs]
        if not len(moving):
            break
        direction = _direction(gradient, pairs, scale / curvature)
        step, after = _step(slope, weights, gradient, direction, moving)
        change, going = after - gradient, step.any(2).any(1)
        bend = _dot(step, change)
        scale = torch.where(bend > 0, bend / _dot(change, change / curvature), scale)
        pairs = [*pairs, (step, change, torch.where(bend > 0, 1 / bend, 0.0))][-MEMORY:]
        weights, gradient = weights + step, after
        ended[moving] = weights
    return ended


def _direction(gradient: Tensor, pairs: Sequence[tuple[Tensor, Tensor, Tensor]], first: Tensor) -> Tensor:
    """L-BFGS's two loops, from the diagonal *first* (Nocedal and Wright, Numerical Optimization, 7.4)."""
    direction, shares = -gradient, []
    for step, change, inverse in reversed(pairs):
        shares.append(inverse * _dot(step, direction))
        direction = direction - shares[-1] * change
    direction = first * direction
    for (step, change, inverse), share in zip(pairs, reversed(shares), strict=True):
        direction = direction + (share - inverse * _dot(change, direction)) * step
    return direction


def _polish(
    slope: Slope, low: Tensor, penalty: Tensor, weights: Tensor, curvature: Tensor, enough: Tensor
) -> Tensor:
    """Go on from *weights* (S, C, A), one after the other, by Newton's steps to slopes that are *enough*.

    The step solves its equations with the curvature of rows *low* (N, A) roughly, as there is another after
    it. Ends, too, where no step brings further.
    """
    numbers = torch.arange(len(weights), device=weights.device)
    gradients = slope(weights, numbers)
    for each, gradient in zip(numbers.split(1), gradients.split(1), strict=True):
        for _ in range(STEPS):
            if not gradient.abs().max() > enough[each]:
                break
            bend = partial(_bend, low, _chances(low, weights[each[0]]), penalty[each])
            direction = _solve(bend, -gradient, curvature[each])
            step, gradient = _step(slope, weights[each], gradient, direction, each)
            if not step.any():
                break
            weights[each] += step
    return weights


def _chances(low: Tensor, weights: Tensor) -> Tensor:
    """What *weights* (C, A) make each class of each row of *low* (N, A) to be: (N, C), in its precision."""
    chances = low.new_empty(len(low), len(weights))
    rows = max(1, OUTPUTS[low.device.type] // len(weights))
    for some, to in zip(low.split(rows), chances.split(rows), strict=True):
        to[:] = (some @ weights.to(low.dtype).T).float().softmax(1)
    return chances


def _bend(low: Tensor, chances: Tensor, penalty: Tensor, direction: Tensor) -> Tensor:
    """How the slope changes along *direction* (1, C, A): the curvature's product with it."""
    flat, total = direction[0].to(low.dtype), torch.zeros_like(direction[0])
    rows = max(1, OUTPUTS[low.device.type] // len(flat))
    for some, chance in zip(low.split(rows), chances.split(rows), strict=True):
        weighed = (some @ flat.T).float() * chance
        mean = weighed.sum(1, keepdim=True) / chance.float().sum(1, keepdim=True)       # rounded, not 1
        total += (weighed - chance * mean).to(low.dtype).T @ some
    return total / len(low) + penalty * direction


def _solve(bend: Callable[[Tensor], Tensor], wanted: Tensor, curvature: Tensor) -> Tensor:
    """Find what *bend* takes near to *wanted*: conjugate gradients, from the diagonal *curvature* on."""
    enough, most = NEWTON
    found, left = torch.zeros_like(wanted), wanted
    along = nearer = left / curvature
    size = first = _dot(left, nearer)
    for _ in range(most):
        bent = bend(along)
        length = size / _dot(along, bent)
        found, left = found + length * along, left - length * bent
        nearer = left / curvature
        size, before = _dot(left, nearer), size
        if not size > enough**2 * first:
            break
        along = nearer + size / before * along
    return found


def _step(
    slope: Slope, weights: Tensor, gradient: Tensor, direction: Tensor, moving: Tensor
) -> tuple[Tensor, Tensor]:
    """Find a step along *direction* at whose end it rises by at most 0.8 of what it falls at first.

    Objectives are convex, so slopes alone tell how far to go, where the loss would drown in rounding (as in
    Hager and Zhang, A new conjugate gradient method with guaranteed descent, 2005). Returns steps, zero where
    none was found, and the gradients there.
    """
    falls, lengths = -_dot(direction, gradient), torch.ones_like(gradient[:, :1, :1])
    after = slope(weights + direction, moving)
    for _ in range(TRIES):
        rises = _dot(direction, after)
        over = ~(rises <= 0.8 * falls).flatten()            # what is not a number is over, too
        if not over.any():
            break
        lengths[over] *= (falls / (falls + rises))[over].nan_to_num(0.1).clamp(0.1, 0.7)
        after[over] = slope((weights + lengths * direction)[over], moving[over])
    over = ~(_dot(direction, after) <= 0.8 * falls).flatten()
    lengths[over], after[over] = 0.0, gradient[over]
    return lengths * direction, after


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """Inner product (S, 1, 1) of each of S matrices."""
    return (one * other).sum((1, 2), keepdim=True)
