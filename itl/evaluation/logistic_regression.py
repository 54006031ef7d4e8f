"""Linear classifiers of frozen features: one solve for all strengths of the penalty at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from itl.errors import ItlError
from itl.evaluation.newton_cg import Product, lbfgs, newton_cg
from itl.training.numerics import has_bf16

L2_STRENGTHS = tuple(10.0 ** (exponent / 2) for exponent in range(2, -11, -1))  # 10 to 1e-5
TOLERANCE = 1e-6  # largest entry of a gradient at the solution
RELATIVE_TOLERANCE = 0.01  # the same in parts of the strength: weights are off by up to gradient / strength
BF16_TOLERANCE = 5e-5  # what bfloat16 can reach
OUTPUTS_AT_ONCE = {"cpu": 2**18, "cuda": 2**26}  # numbers held: on a CPU they stay in its cache
ALIGNMENT_COLUMNS = {"cpu": 1, "cuda": 8}  # matrix units are slow where rows start at odd addresses


class Features(NamedTuple):
    """Features of images, float32 (N, D), and their labels, int64 (N,)."""

    features: Tensor
    labels: Tensor


class LinearClassifier(NamedTuple):
    """A linear classifier of standardised features: weights (C, D), bias (C,), mean and scale (D,)."""

    weights: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor
    l2: float  # strength of the penalty it was fitted with

    def __call__(self, features: Tensor) -> Tensor:
        """Return outputs (N, C) for *features* (N, D), on the device of the weights."""
        standardised = (features.to(self.weights.device) - self.mean) / self.scale
        return F.linear(standardised, self.weights, self.bias)


def choose_l2(train: Features, classes: int, fitted: np.ndarray, held_out: np.ndarray) -> LinearClassifier:
    """Choose the penalty: fit on the rows *fitted* of *train*, score *held_out*; then fit all rows with it.

    The best has the highest accuracy; of equal ones the lowest cross-entropy, then the stronger penalty.
    """
    fit_part, test_part = (Features(train.features[rows], train.labels[rows]) for rows in (fitted, held_out))
    classifiers = fit_linear(fit_part, classes, L2_STRENGTHS)
    ranks = torch.stack([_held_out_rank(classify, test_part) for classify in classifiers]).tolist()
    best = classifiers[ranks.index(max(ranks))]
    return fit_linear(train, classes, [best.l2], best)[0]


def _held_out_rank(classify: LinearClassifier, test: Features) -> Tensor:
    """Return what classifiers are compared by, in this order: correct answers, negative loss, penalty."""
    outputs = classify(test.features)
    correct, loss = (outputs.argmax(1) == test.labels).sum(), F.cross_entropy(outputs, test.labels)
    return torch.stack([correct.double(), -loss.double(), torch.full_like(loss, classify.l2).double()])


def fit_linear(
    train: Features,
    classes: int,
    strengths: Sequence[float],
    start: LinearClassifier | None = None,
    tolerance: float | None = None,
) -> list[LinearClassifier]:
    """Minimise mean cross-entropy + l2 / 2 · |weights|² on all of *train*, for all *strengths* l2 at once.

    Features are standardised by their own mean and deviation; the bias is not penalised. L-BFGS starts, all
    strengths at once, in bfloat16 where the device has it. Newton's method finishes, by gradients in float32
    and Hessian-vector products in bfloat16. In the principal axes of the features the Hessian at zero weights
    is diagonal (Böhning, Multinomial logistic regression algorithm, 1992, has the bound), and both use it.
    Memory beyond the features is two and a half times theirs, 15 times the weights of all strengths, and a
    probability for each row and class.

    A *start* only saves time: the minimum is unique up to a constant in the bias. *tolerance* is the largest
    entry of the gradient at the solution, by default as TOLERANCE and RELATIVE_TOLERANCE have it.

    Raises:
        ItlError: A strength is not above zero: without a penalty there may be no minimum.
    """
    if not all(strength > 0 for strength in strengths):
        values = ", ".join(f"{strength:g}" for strength in strengths)
        raise ItlError(f"a probe's strength is above zero; got {values}")
    mean, scale = _mean_and_scale(train.features)
    axes, variance, rotated = _rotate((train.features - mean) / scale)
    features = _with_bias(rotated, ALIGNMENT_COLUMNS[rotated.device.type])
    del rotated
    l2, columns = features.new_tensor(strengths), features.shape[1]
    penalty = l2[:, None, None] * (torch.arange(columns, device=l2.device) < len(variance))
    exact = CrossEntropy(features, train.labels, penalty)
    rough = exact.to(torch.bfloat16 if has_bf16(l2.device) else torch.float32)
    diagonal = F.pad(variance, (0, columns - len(variance)), value=1.0) / classes + penalty
    weights = features.new_zeros(len(strengths), classes, columns)
    if start is not None:
        weights[:, :, : len(variance)], weights[:, :, len(variance)] = start.weights @ axes, start.bias
    strict = (RELATIVE_TOLERANCE * l2).clamp_max(TOLERANCE)
    tolerances = strict if tolerance is None else torch.full_like(strict, tolerance)
    weights = lbfgs(rough.gradient, weights, diagonal, (tolerances / 2).clamp_min(BF16_TOLERANCE))
    weights = newton_cg(exact.gradient, rough.hessian, weights, diagonal, tolerances)
    classifiers = []
    for solution, strength in zip(weights, strengths, strict=True):
        original = solution[:, : len(variance)] @ axes.T
        classifiers.append(LinearClassifier(original, solution[:, len(variance)], mean, scale, strength))
    return classifiers


def _mean_and_scale(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation (D,) of *features* (N, D); a constant feature gets deviation 1."""
    deviation, mean = torch.std_mean(features.double(), dim=0, correction=0)
    constant = deviation <= 1e-6 * mean.abs()  # a constant, but for rounding
    return mean.to(features.dtype), deviation.masked_fill(constant, 1.0).to(features.dtype)


def _rotate(standardised: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return principal axes (D, A) of features (N, D), their variances (A,), and the features in them (N, A).

    A is D, or N where there are fewer rows than features: weights of the minimum lie in the span of the rows.
    """
    rows, width = standardised.shape
    span = torch.linalg.qr(standardised.T).Q if rows < width else None
    inside = standardised if span is None else standardised @ span
    covariance = inside.T @ inside / rows
    try:
        variance, axes = torch.linalg.eigh(covariance)
    except torch.linalg.LinAlgError:  # it may not converge where nearly all features are constant
        _, scales, axes = torch.linalg.svd(inside.double(), full_matrices=False)
        variance, axes = (scales**2 / rows).to(inside.dtype), axes.T.to(inside.dtype)
    axes = axes if span is None else span @ axes
    return axes, variance.clamp_min(0), standardised @ axes


def _with_bias(rotated: Tensor, alignment: int) -> Tensor:
    """Append to *rotated* (N, A) a column of ones, for the bias, and zeros to a multiple of *alignment*."""
    columns = rotated.shape[1] + 1
    features = rotated.new_zeros(len(rotated), columns + -columns % alignment)
    features[:, : rotated.shape[1]], features[:, rotated.shape[1]] = rotated, 1.0
    return features


@dataclass(frozen=True)
class CrossEntropy:
    """Mean cross-entropy + l2 / 2 · |weights|², on the same rows for S strengths; weights are (S, C, A)."""

    features: Tensor  # (N, A), of the precision of the products
    labels: Tensor  # (N,)
    penalty: Tensor  # (S, 1, A): the l2 of each weight

    def to(self, dtype: torch.dtype) -> "CrossEntropy":
        """Return the same with products in another precision; sums are float32."""
        return CrossEntropy(self.features.to(dtype), self.labels, self.penalty)

    def gradient(self, weights: Tensor, active: Tensor) -> Tensor:
        """Return gradients (S', C, A) at *weights* (S', C, A), of the strengths of numbers *active* (S',)."""
        count, classes, _ = weights.shape
        flat = weights.flatten(0, 1)
        total, parts = torch.zeros_like(flat), [flat.to(self.features.dtype)]
        if parts[0].dtype != flat.dtype:  # else changes smaller than bfloat16 shows would be lost
            parts.append((flat - parts[0]).to(parts[0].dtype))
        for features, labels in self._chunks(len(flat), self.labels):
            outputs = sum((features @ part.T).float() for part in parts)
            residual = outputs.view(-1, count, classes).softmax(2)
            own = labels[:, None, None].expand(-1, count, 1)
            residual.scatter_add_(2, own, residual.new_full((1, 1, 1), -1.0).expand_as(own))
            total += residual.flatten(1).to(features.dtype).T @ features
        return (total / len(self.features)).view_as(weights) + self.penalty[active] * weights

    def probabilities(self, weights: Tensor) -> Tensor:
        """Return the probabilities (N, C) of the classes under *weights* (C, A), in the features' dtype."""
        probabilities = self.features.new_empty(len(self.features), len(weights))
        for features, part in self._chunks(len(weights), probabilities):
            part[:] = (features @ weights.to(features.dtype).T).float().softmax(1)
        return probabilities

    def hessian(self, number: int, weights: Tensor) -> Product:
        """Return the function that multiplies by the Hessian of strength *number* at *weights* (C, A)."""
        penalty = self.penalty[number : number + 1]
        return partial(self.hessian_vector_product, self.probabilities(weights), penalty)

    def hessian_vector_product(self, probabilities: Tensor, penalty: Tensor, direction: Tensor) -> Tensor:
        """Return the Hessian times *direction* (1, C, A), where rows have *probabilities* (N, C)."""
        flat, total = direction[0].to(self.features.dtype), torch.zeros_like(direction[0])
        for features, chance in self._chunks(len(flat), probabilities):
            weighted = (features @ flat.T).float() * chance
            mean = weighted.sum(1, keepdim=True) / chance.float().sum(1, keepdim=True)  # rounded, not 1
            total += (weighted - chance * mean).to(features.dtype).T @ features
        return total / len(self.features) + penalty * direction

    def _chunks(self, outputs: int, other: Tensor) -> zip:
        """Split the features and *other* so that a chunk has OUTPUTS_AT_ONCE numbers, *outputs* a row."""
        rows = max(1, OUTPUTS_AT_ONCE[self.features.device.type] // outputs)
        return zip(self.features.split(rows), other.split(rows), strict=True)
