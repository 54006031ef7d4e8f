"""Measure features as they are: a linear probe and exact k-NN on a net that does not move."""

from pathlib import Path

import torch
from torch import Tensor

from itl import ItlError
from itl.evaluation.accuracy import scores
from itl.evaluation.knn import nearest
from itl.evaluation.logistic_regression import Features, choose_l2
from itl.evaluation.target import Target
from itl.machine import Machine
from itl.specs import Transfer
from itl.training.batches import Batches
from itl.training.loop import predict_on_device
from itl.training.nets import Classifier


def extract(net: Classifier, batches: Batches, machine: Machine, precision: str) -> Features:
    """Run the body of *net* over the centre crops of *batches*, in order, with every statistic frozen.

    They stay on the machine's device. The net is left in eval mode, its parameters and buffers as they were.
    *precision* is bf16 or fp32.
    """
    net.eval()                              # a frozen net is not frozen while BatchNorm follows the target
    features, labels = predict_on_device(net.body, batches, machine, precision)
    broken = int((~torch.isfinite(features).all(1)).sum())
    if broken:
        raise ItlError(f"features of {broken} of {len(labels)} images are not finite; "
                       "the net has diverged: train it with a lower lr or in fp32")
    return Features(features, labels)


def probe(
    spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine
) -> dict[str, float]:
    """Fit a linear classifier to frozen features of the training split and score it on the test split.

    Returns accuracy and, from six classes, top5, in percent, and the strength that was chosen.
    """
    train, test = features_of(spec, net, target, machine)
    classify = choose_l2(train, len(target.train.classes), *target.divided(spec.seed))
    return scores(classify(test.features), test.labels) | {"strength": classify.l2}


def knn(
    spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine
) -> dict[str, float]:
    """Score the test split by the vote of its nearest training images, cosine: knn1 and knn5, in percent."""
    train, test = features_of(spec, net, target, machine)
    neighbours, _ = nearest(train.features, test.features, 5)
    right = [(vote(train.labels[neighbours[:, :k]]) == test.labels).sum() for k in (1, 5)]
    return {f"knn{k}": 100.0 * hits.item() / len(test.labels) for k, hits in zip((1, 5), right, strict=True)}


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


def vote(labels: Tensor) -> Tensor:
    """Class (M,) that most of the neighbours' *labels* (M, k), nearest first, name; if tied the nearest's.

    >>> vote(torch.tensor([[4, 7, 7, 4, 9]]))
    tensor([4])
    """
    votes = (labels[:, :, None] == labels[:, None, :]).sum(2)
    return labels.gather(1, votes.argmax(1, keepdim=True)).squeeze(1)   # argmax takes the first, the nearest
