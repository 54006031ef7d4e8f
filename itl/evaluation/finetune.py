"""Fine-tuning: train all of a net on the target's training images and score it once on the test images."""

import copy
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from itl import ItlError
from itl.evaluation.accuracy import scores
from itl.evaluation.lr_search import select_lr
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

    Checkpoints go to *folder*; an interrupted training resumes from there to the same numbers.

    Returns:
        accuracy, by `Target.per_class`, and, from six classes, top5, in percent; and lr, if it was chosen on
        val.
    """

    def score(candidate: Recipe, run_folder: Path) -> float:
        val_target = target.validation_target(spec.seed)
        outputs = finetune_and_predict(net, val_target, candidate, run_folder, machine, spec.fit_seed)
        return scores(*outputs, target.per_class)["accuracy"]

    recipe = select_lr(recipe_of(spec), folder, score)
    outputs, labels = finetune_and_predict(net, target, recipe, folder, machine, spec.fit_seed)
    return scores(outputs, labels, target.per_class) | chosen_lr(spec, recipe)


def recipe_of(spec: Transfer) -> Recipe:
    """Return the recipe of *spec*; raise ItlError where it has none."""
    if spec.recipe is None:
        raise ItlError(
            f"{spec.method} on {spec.target} needs a recipe, its spec has none; give one or use probe"
        )
    return spec.recipe


def chosen_lr(spec: Transfer, recipe: Recipe) -> dict[str, float]:
    """Return the learning rate of *recipe* as lr, if *spec* gave several to choose from."""
    return {"lr": recipe.lr} if recipe.lr is not None and recipe_of(spec).lrs else {}


def finetune_and_predict(
    net: Classifier,
    target: Target,
    recipe: Recipe,
    folder: Path,
    machine: Machine,
    seed: int,
    objective: Objective = classify,
) -> tuple[Tensor, Tensor]:
    """Train a copy of *net* with a new head on the training images of *target* and predict its test images.

    Returns:
        Outputs (N, C), float32, and labels (N,) or (N, C) of the test images, on the CPU.
    """
    copied = with_new_head(net, len(target.train.classes), seed)
    train_batches = Batches(target.pack, target.train, recipe, seed, machine)
    test_batches = Batches(target.pack, target.test, recipe, seed, machine)
    train(copied, train_batches, recipe, folder, machine, seed=seed, objective=objective)
    return predict(copied, test_batches, machine, recipe.precision)


def with_new_head(net: Classifier, classes: int, seed: int) -> Classifier:
    """Return a copy of *net* with a head for *classes* classes, initialised from *seed* alone."""
    copied = copy.deepcopy(net)
    width = net.head.in_features
    copied.head = nn.utils.skip_init(
        nn.Linear, width, classes
    )  # initialised below, by a generator of its own
    random = torch.Generator().manual_seed(seed)
    nn.init.uniform_(copied.head.weight, -1 / math.sqrt(width), 1 / math.sqrt(width), generator=random)
    nn.init.zeros_(copied.head.bias)
    return copied
