"""Accuracy and top-k accuracy, in percent."""

import torch
from torch import Tensor

from itl.errors import ItlError

DIVERGED = "the net has diverged: train it with a lower lr or in fp32; weights from elsewhere are damaged"


def accuracy(outputs: Tensor, labels: Tensor) -> float:
    """Return the percentage of rows of *outputs* (N, C) that are highest at their label; ties as in `top_k`.

    >>> accuracy(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    50.0
    """
    return top_k(outputs, labels, 1)


def top_k(outputs: Tensor, labels: Tensor, k: int) -> float:
    """Return the percentage of rows of *outputs* (N, C) in which the label (N,) is among the *k* highest.

    Of equal outputs the lower class ranks first, as in argmax. So a net whose outputs are all equal scores
    at chance, not at 100. ItlError where an output is not finite.

    >>> top_k(torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), torch.tensor([1, 2]), 2)
    50.0
    """
    if not torch.isfinite(outputs).all():
        rows = int((~torch.isfinite(outputs).all(1)).sum())
        raise ItlError(
            f"{rows} of {len(labels)} rows of outputs are not finite, so they have no order; {DIVERGED}"
        )
    own = outputs.gather(1, labels[:, None])
    lower = torch.arange(outputs.shape[1], device=outputs.device) < labels[:, None]
    higher = (outputs > own) | ((outputs == own) & lower)
    return 100.0 * (higher.sum(1) < k).sum().item() / len(labels)


def percent_correct(correct: Tensor, labels: Tensor, per_class: bool = False) -> float:
    """Return the percentage of True in *correct* (N,), or the mean of this over the classes in *labels* (N,).

    >>> correct, labels = torch.tensor([True, True, True, False]), torch.tensor([0, 0, 0, 1])
    >>> percent_correct(correct, labels), percent_correct(correct, labels, per_class=True)
    (75.0, 50.0)
    """
    if not per_class:
        return 100.0 * correct.sum().item() / len(labels)
    totals = torch.bincount(labels)
    hits = torch.bincount(labels, weights=correct.double(), minlength=len(totals))
    return 100.0 * (hits / totals)[totals > 0].mean().item()


def scores(outputs: Tensor, labels: Tensor, per_class: bool = False) -> dict[str, float]:
    """Return the accuracy of *outputs* (N, C) and, from six classes on, top5, in percent.

    With *per_class* accuracy is the mean of the classes' accuracies, and images_correct that of all images.
    """
    metrics = {"accuracy": accuracy(outputs, labels)}
    if per_class:
        correct = outputs.argmax(1) == labels
        metrics = {"accuracy": percent_correct(correct, labels, True), "images_correct": metrics["accuracy"]}
    if outputs.shape[1] >= 6:
        metrics["top5"] = top_k(outputs, labels, 5)
    return metrics
