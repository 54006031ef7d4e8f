"""Frozen features: a linear probe and exact k-NN on the outputs of a net's body, which is not trained."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from itl.errors import ItlError
from itl.evaluation.accuracy import DIVERGED, percent_correct, scores
from itl.evaluation.knn import nearest
from itl.evaluation.logistic_regression import Features, choose_l2
from itl.evaluation.methods import KNN_NEIGHBOURS, Metrics
from itl.evaluation.target import CORRECT_FILE, Target
from itl.machine import Machine
from itl.packs.pack import Pack, save_array
from itl.packs.subset import Selection
from itl.specs import Pretrain, Transfer
from itl.storage import write_atomic
from itl.training.batches import Batches
from itl.training.loop import predict
from itl.training.nets import Classifier


def extract(net: Classifier, batches: Batches, machine: Machine, precision: str) -> Features:
    """Run the body of *net* over the center crops of *batches*, in order; ItlError for what is not finite.

    The net is left in eval mode, its parameters and buffers unchanged. Features stay on the device.
    """
    net.eval()  # in training mode BatchNorm statistics would follow the target
    features, labels = predict(net.body, batches, machine, precision)
    broken = int((~torch.isfinite(features).all(1)).sum())
    if broken:
        raise ItlError(f"features of {broken} of {len(labels)} images are not finite; {DIVERGED}")
    return Features(features, labels)


def extract_selection(
    net: Classifier, spec: Pretrain, pack: Pack, selection: Selection, machine: Machine, keep: bool = True
) -> Features:
    """Do as `extract` with images of *pack*, as the center crop of the pre-training *spec* shows them.

    Whether images stay on a GPU for later runs is *keep*.
    """
    batches = Batches(pack, selection, spec.recipe, spec.seed, machine, keep)
    return extract(net, batches, machine, spec.recipe.precision)


def probe(spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine) -> Metrics:
    """Fit a linear classifier to frozen features of the training split and score it on the test split.

    Returns:
        accuracy, by `Target.per_class`, and, from six classes, top5, in percent; strength: the L2 penalty.
    """
    train, test = features_of(spec, net, target, machine)
    metrics, correct = probe_scores(train, test, target, spec.seed)
    _keep_correct(correct, folder)
    return metrics


def probe_scores(train: Features, test: Features, target: Target, seed: int) -> tuple[Metrics, Tensor]:
    """Return what `probe` does, and which of the images of *test* the classifier gets right, (N,)."""
    classify = choose_l2(train, len(target.train.classes), *target.fit_and_val_rows(seed))
    outputs = classify(test.features)
    metrics = scores(outputs, test.labels, target.per_class) | {"strength": classify.l2}
    return metrics, outputs.argmax(1) == test.labels


def knn(spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine) -> Metrics:
    """Classify test images by the vote of the nearest training image (knn1), and of five (knn5).

    Returns:
        knn1 and knn5: accuracy in percent, by `Target.per_class`.
    """
    train, test = features_of(spec, net, target, machine)
    metrics, correct = knn_scores(train, test, target.per_class)
    _keep_correct(correct, folder)
    return metrics


def knn_scores(train: Features, test: Features, per_class: bool) -> tuple[Metrics, Tensor]:
    """Return knn1 and knn5, in percent, and which of the images of *test* five neighbours get right, (N,)."""
    neighbours, _ = nearest(train.features, test.features, max(KNN_NEIGHBOURS))
    metrics = {}
    for k in KNN_NEIGHBOURS:  # the most come last: what they get right is returned
        correct = vote(train.labels[neighbours[:, :k]]) == test.labels
        metrics[f"knn{k}"] = percent_correct(correct, test.labels, per_class)
    return metrics, correct


def _keep_correct(correct: Tensor, folder: Path) -> None:
    """Write which test images (N,) are classified correctly, in their order, to the run's *folder*."""
    write_atomic(folder / CORRECT_FILE, partial(save_array, correct.cpu().numpy()))


def features_of(
    spec: Transfer, net: Classifier, target: Target, machine: Machine
) -> tuple[Features, Features]:
    """Extract the features of the training and of the test split, on the pre-training's center crop."""
    train = extract_selection(net, spec.pretrain, target.pack, target.train, machine)
    return train, extract_selection(net, spec.pretrain, target.pack, target.test, machine)


def vote(labels: Tensor) -> Tensor:
    """Return the most frequent class (M,) of the neighbours' *labels* (M, k), nearest first.

    Of equally frequent classes the one of the nearest neighbour wins.

    >>> vote(torch.tensor([[4, 7, 7, 4, 9]]))
    tensor([4])
    """
    votes = (labels[:, :, None] == labels[:, None, :]).sum(2)
    return labels.gather(1, votes.argmax(1, keepdim=True)).squeeze(1)  # argmax takes the first, the nearest
