"""Measure what a net is worth as a start: train all of it on the target and score it once."""

import copy
import math
from pathlib import Path

import torch
from torch import nn

from itl import ItlError
from itl.config import Machine, Transfer
from itl.data.batches import Batches
from itl.learn.models import Classifier
from itl.learn.train import predict, train
from itl.transfer.metrics import scores
from itl.transfer.target import Target


def finetune(
    spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine
) -> dict[str, float]:
    """Train a copy of *net* with a new head on the target's training split; score it once on the test split.

    Checkpoints go to *folder*, and a try that was cut short carries on from there to the same numbers.
    Returns accuracy and, from six classes, top5, in percent.
    """
    recipe = spec.recipe
    if recipe is None:
        raise ItlError(
            f"fine-tuning on {spec.target} needs a recipe, its spec has none; give one or use probe"
        )
    tuned = with_new_head(net, len(target.train.classes), spec.seed)
    learn, test = (
        Batches(target.pack, each, recipe, spec.seed, machine) for each in (target.train, target.test)
    )
    train(tuned, learn, recipe, folder, machine, seed=spec.seed)
    outputs, labels = predict(tuned, test, machine, recipe.precision)
    return scores(outputs, labels)


def with_new_head(net: Classifier, classes: int, seed: int) -> Classifier:
    """A copy of *net* whose head tells *classes* classes apart and depends on *seed* alone."""
    tuned = copy.deepcopy(net)
    width = net.head.in_features
    tuned.head = nn.utils.skip_init(nn.Linear, width, classes)      # drawn below, from the seed's own numbers
    random = torch.Generator().manual_seed(seed)
    nn.init.uniform_(tuned.head.weight, -1 / math.sqrt(width), 1 / math.sqrt(width), generator=random)
    nn.init.zeros_(tuned.head.bias)
    return tuned
