"""Measure features as they are: a linear probe and exact k-NN on a net that does not move."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from itl import ItlError
from itl.config import Machine, Transfer
from itl.data.batches import Batches, device
from itl.learn.models import Classifier
from itl.learn.train import predict
from itl.transfer.metrics import scores
from itl.transfer.target import Target

STRENGTHS = tuple(10.0 ** (exponent / 2) for exponent in range(2, -11, -1))   # 10 to 1e-5, strongest first
CPU = torch.device("cpu")
BLOCK = 2048, 4096          # queries and base vectors compared at once: 32 MiB of similarities


class Features(NamedTuple):
    """What a net makes of images, on the CPU: features float32 (N, D) and labels int64 (N,)."""

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


def extract(net: Classifier, batches: Batches, machine: Machine, precision: str) -> Features:
    """Run the body of *net* over the centre crops of *batches*, in order, with every statistic frozen.

    The net is left in eval mode, its parameters and buffers as they were. *precision* is bf16 or fp32.
    """
    net.eval()                              # a frozen net is not frozen while BatchNorm follows the target
    found = Features(*predict(net.body, batches, machine, precision))
    broken = int((~torch.isfinite(found.features).all(1)).sum())
    if broken:
        raise ItlError(f"features of {broken} of {len(found.labels)} images are not finite; "
                       "the net has diverged: train it with a lower lr or in fp32")
    return found


def probe(
    spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine
) -> dict[str, float]:
    """Fit a linear classifier to frozen features of the training split and score it on the test split.

    Returns accuracy and, from six classes, top5, in percent, and the strength that was chosen.
    """
    train, test = features_of(spec, net, target, machine)
    train = Features(*(part.to(device(machine)) for part in train))
    classify = choose_strength(train, len(target.train.classes), *target.divided(spec.seed))
    return scores(classify(test.features).cpu(), test.labels) | {"strength": classify.strength}


def knn(
    spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine
) -> dict[str, float]:
    """Score the test split by the vote of its nearest training images, cosine: knn1 and knn5, in percent."""
    train, test = features_of(spec, net, target, machine)
    neighbours, _ = nearest(train.features, test.features, 5, device(machine))
    found = {k: vote(train.labels[neighbours[:, :k]]) for k in (1, 5)}
    return {f"knn{k}": 100.0 * (named == test.labels).sum().item() / len(named) for k, named in found.items()}


def features_of(
    spec: Transfer, net: Classifier, target: Target, machine: Machine
) -> tuple[Features, Features]:
    """Features of the training and of the test split, as the pre-training's centre crop shows them."""
    recipe = spec.pretrain.recipe
    train, test = (
        extract(net, Batches(target.pack, each, recipe, spec.seed, machine), machine, recipe.precision)
        for each in (target.train, target.test)
    )
    return train, test


def choose_strength(train: Features, classes: int, fitted: np.ndarray, held: np.ndarray) -> Linear:
    """Fit on rows *fitted* with the strength that does best on those *held*, then again on all of *train*.

    Best is the highest accuracy; of equal ones the lowest cross-entropy.
    """
    part, rest = (Features(train.features[rows], train.labels[rows]) for rows in (fitted, held))
    found, start = [], None
    for strength in STRENGTHS:              # strongest first: each is a good start for the next
        start = fit_linear(part, classes, strength, start)
        outputs = start(rest.features)
        right = (outputs.argmax(1) == rest.labels).sum().item()
        found.append((right, -F.cross_entropy(outputs, rest.labels).item(), strength))
    return fit_linear(train, classes, max(found)[2])


def fit_linear(train: Features, classes: int, strength: float, start: Linear | None = None) -> Linear:
    """Minimise mean cross-entropy + strength / 2 · |weights|² by L-BFGS on all of *train* at once.

    Features are standardised by their own mean and deviation; the bias is not penalised. The minimum is
    unique up to a constant in the bias, so *start* only saves time.
    """
    features, labels = train
    mean, scale = _mean_and_scale(features)
    wide = (features - mean) / scale
    shapes = (classes, features.shape[1]), (classes,)
    weights, bias = (wide.new_zeros(shape) for shape in shapes)
    if start is not None:
        weights.copy_(start.weights)
        bias.copy_(start.bias)
    weights.requires_grad_()
    bias.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weights, bias], max_iter=500, history_size=20, line_search_fn="strong_wolfe",
        tolerance_grad=1e-6, tolerance_change=1e-9,
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(wide, weights, bias), labels) + strength / 2 * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(objective)
    return Linear(weights.detach(), bias.detach(), mean, scale, strength)


def _mean_and_scale(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (D,) of *features* (N, D); a feature that never moves gets deviation 1."""
    deviation, mean = torch.std_mean(features.double(), dim=0, correction=0)
    still = deviation <= 1e-6 * mean.abs()  # what is left of a constant after rounding is not a feature
    return mean.to(features.dtype), deviation.masked_fill(still, 1.0).to(features.dtype)


def nearest(
    base: Tensor, queries: Tensor, k: int, where: torch.device = CPU, block: tuple[int, int] = BLOCK
) -> tuple[Tensor, Tensor]:
    """Find the *k* rows of *base* (N, D) most cosine-similar to each of *queries* (M, D).

    Returns row numbers and similarities (M, k) on the CPU, nearest first, the lower row first of equal ones.
    A zero vector has similarity 0 to everything. Memory beyond the arguments is that of one *block*.
    """
    if not 1 <= k <= len(base):
        raise ItlError(f"{k} neighbours were asked for among {len(base)} training images; "
                       f"give at least {k} images, or use probe")
    found = [_nearest(base, some, k, where, block[1]) for some in queries.split(block[0])]
    rows, similarities = zip(*found, strict=True)
    return torch.cat(rows), torch.cat(similarities)


def _nearest(base: Tensor, queries: Tensor, k: int, where: torch.device, size: int) -> tuple[Tensor, Tensor]:
    """`nearest` for one block of queries: the best so far against one block of *base* after the other."""
    queries = _unit(queries.to(where))
    best = queries.new_empty(len(queries), 0)
    rows = torch.empty(len(queries), 0, dtype=torch.int64, device=where)
    for first in range(0, len(base), size):
        similarities = queries @ _unit(base[first : first + size].to(where)).T
        columns = _highest(similarities, min(k, similarities.shape[1]))
        # All rows found before are lower than these, so a stable sort keeps the lower row first
        together = torch.cat([best, similarities.gather(1, columns)], 1)
        order = together.sort(dim=1, descending=True, stable=True).indices[:, :k]
        best, rows = together.gather(1, order), torch.cat([rows, columns + first], 1).gather(1, order)
    return rows.cpu(), best.cpu()


def _unit(vectors: Tensor) -> Tensor:
    """*vectors* (N, D) at length 1, zero ones as they are; in float64, where no float32 length overflows."""
    wide = vectors.double()
    length = wide.norm(dim=1, keepdim=True)
    return (wide / length.masked_fill(length == 0, 1.0)).float()


def _highest(similarities: Tensor, k: int) -> Tensor:
    """Columns (M, k) of the *k* highest of each row, ascending; the lower ones where the last is tied."""
    values, columns = similarities.topk(k, dim=1)
    tied = ((similarities >= values[:, -1:]).sum(1) > k).nonzero().squeeze(1)
    if len(tied):                           # topk takes any of equal ones; the slow sort takes the first
        columns[tied] = similarities[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    return columns.sort(1).values


def vote(labels: Tensor) -> Tensor:
    """Class (M,) that most of the neighbours' *labels* (M, k), nearest first, name; if tied the nearest's.

    >>> vote(torch.tensor([[4, 7, 7, 4, 9]]))
    tensor([4])
    """
    votes = (labels[:, :, None] == labels[:, None, :]).sum(2)
    return labels.gather(1, votes.argmax(1, keepdim=True)).squeeze(1)   # argmax takes the first, the nearest
