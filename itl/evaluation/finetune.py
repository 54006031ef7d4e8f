"""Measure what a net is worth as a start: train all of it on the target and score it once."""

import copy
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from itl import ItlError
from itl.evaluation.accuracy import accuracy, scores
from itl.evaluation.lr_search import chosen
from itl.evaluation.target import Target
from itl.machine import Machine
from itl.specs import Recipe, Transfer
from itl.training.batches import Batches
from itl.training.loop import Objective, classify, predict, train
from itl.training.nets import Classifier


def finetune(
    spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine
) -> dict[str, float]:
    """Train a copy of *net* with a new head on the target's training images; score it once on the test ones.

    Checkpoints go to *folder*, and a try that was cut short carries on from there to the same numbers.
    Returns accuracy and, from six classes, top5, in percent, and the lr that was chosen on val, if any.
    """

    def score(recipe: Recipe, place: Path) -> float:
        return accuracy(*tuned(net, target.to_choose(spec.seed), recipe, place, machine, spec.seed))

    recipe = chosen(recipe_of(spec), folder, score)
    outputs, labels = tuned(net, target, recipe, folder, machine, spec.seed)
    return scores(outputs, labels) | chosen_lr(spec, recipe)


def recipe_of(spec: Transfer) -> Recipe:
    """The recipe of *spec*; ItlError where it has none."""
    if spec.recipe is None:
        raise ItlError(
            f"{spec.method} on {spec.target} needs a recipe, its spec has none; give one or use probe"
        )
    return spec.recipe


def chosen_lr(spec: Transfer, recipe: Recipe) -> dict[str, float]:
    """The learning rate of *recipe*, if *spec* gave several to choose from."""
    return {"lr": recipe.lr} if spec.recipe.lrs else {}


def tuned(
    net: Classifier, target: Target, recipe: Recipe, folder: Path, machine: Machine, seed: int,
    objective: Objective = classify,
) -> tuple[Tensor, Tensor]:
    """Train a copy of *net* on the training images; its outputs on the test images, and their labels."""
    copied = with_new_head(net, len(target.train.classes), seed)
    learn, test = (Batches(target.pack, each, recipe, seed, machine) for each in (target.train, target.test))
    train(copied, learn, recipe, folder, machine, seed=seed, objective=objective)
    return predict(copied, test, machine, recipe.precision)


def with_new_head(net: Classifier, classes: int, seed: int) -> Classifier:
    """A copy of *net* whose head tells *classes* classes apart and depends on *seed* alone."""
    tuned = copy.deepcopy(net)
    width = net.head.in_features
    tuned.head = nn.utils.skip_init(nn.Linear, width, classes)      # drawn below, from the seed's own numbers
    random = torch.Generator().manual_seed(seed)
    nn.init.uniform_(tuned.head.weight, -1 / math.sqrt(width), 1 / math.sqrt(width), generator=random)
    nn.init.zeros_(tuned.head.bias)
    return tuned
