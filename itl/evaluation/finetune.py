"""Fine-tuning: a whole net is trained on a target, with a learning rate chosen on val, and scored once.

Targets have classes, or actions of a person in a box, with an independent output for each action.
"""

import copy
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from itl.errors import ItlError
from itl.evaluation.accuracy import scores
from itl.evaluation.methods import METHODS, Metrics
from itl.evaluation.target import Target
from itl.evaluation.voc_ap import action_ap, mean_ap
from itl.machine import Machine
from itl.specs import Recipe, Transfer
from itl.storage import read_mapping, write_text
from itl.training.batches import Batches
from itl.training.checkpoint import trained_seconds
from itl.training.loop import Diverged, Objective, classify, predict, train
from itl.training.nets import Classifier
from itl.words import counted

R = TypeVar("R", bound=Recipe)
LR_SCORES_FILE = "choice.json"  # in the run's folder: scores of learning rates on val, and the seconds


def finetune(spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine) -> Metrics:
    """Train a copy of *net* with a new head on the classes of *target*.

    Returns:
        accuracy, by `Target.per_class`, and, from six classes, top5, in percent; see `choose_recipe`.
    """

    def evaluate(part: Target, recipe: Recipe, run_folder: Path) -> Metrics:
        outputs, labels = finetune_and_predict(net, part, recipe, run_folder, machine, spec.fit_seed)
        return scores(outputs, labels, target.per_class)

    recipe, chosen = choose_recipe(spec, target, folder, evaluate)
    return evaluate(target, recipe, folder) | chosen


def actions(spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine) -> Metrics:
    """Train a copy of *net* with an output for each action on crops of persons.

    Returns:
        map, the mean over actions of `action_ap`, in percent; see `choose_recipe`.
    """

    def evaluate(part: Target, recipe: Recipe, run_folder: Path) -> Metrics:
        predicted = finetune_and_predict(net, part, recipe, run_folder, machine, spec.fit_seed, independent)
        return {"map": map_percent(*predicted)}

    recipe, chosen = choose_recipe(spec, target, folder, evaluate)
    return evaluate(target, recipe, folder) | chosen


def independent(net: nn.Module, images: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
    """Return the binary cross-entropy summed over the outputs, averaged over the images: a scalar.

    targets (B, C): 1, 0, or -1 for what is not known, which is left out.
    """
    outputs, known = net(images).float(), (targets >= 0).float()
    zero_or_one = targets.clamp(min=0).float()
    return binary_cross_entropy_with_logits(outputs, zero_or_one, known, reduction="sum") / len(targets)


def map_percent(outputs: Tensor, labels: Tensor) -> float:
    """Return the mean AP, in percent, of outputs (N, C) over the classes that have a 1 in *labels* (N, C)."""
    return 100 * mean_ap(action_ap(outputs.numpy(), labels.numpy()).tolist())


def choose_recipe(
    spec: Transfer, target: Target, folder: Path, evaluate: Callable[[Target, Any, Path], Metrics]
) -> tuple[Any, Metrics]:
    """Return the recipe of *spec* with one learning rate, and that as ``lr`` where it has several.

    Of several, that of the highest main metric on val is taken: no test image of *target* is looked at.

    Args:
        spec: Has the recipe; ItlError where it has none.
        target: Its training images are divided for the search.
        folder: The run's. An interrupted search resumes from there to the same numbers.
        evaluate: Trains by a recipe on a target, with checkpoints in a folder; returns metrics.
    """
    if spec.recipe is None:
        raise ItlError(
            f"{spec.method} on {spec.target} needs a recipe, its spec has none; give one or use probe"
        )

    def score(candidate: Recipe, run_folder: Path) -> float:
        metrics = evaluate(target.validation_target(spec.seed), candidate, run_folder)
        return metrics[METHODS[spec.method].main_metric]

    recipe = select_lr(spec.recipe, folder, score)
    return recipe, {"lr": recipe.lr} if spec.recipe.lrs and recipe.lr is not None else {}


def select_lr(recipe: R, folder: Path, score: Callable[[R, Path], float]) -> R:
    """Return *recipe* with the learning rate of its ``lrs``, if any, that scores best; of equals the lower.

    *score* trains by a recipe with one learning rate, in a folder; NaN is no score. Each is written to
    *folder* at once, so an interrupted search goes on with the next learning rate.

    Raises:
        ItlError: Training diverges at each of the learning rates.
    """
    if not recipe.lrs:
        return recipe
    path = folder / LR_SCORES_FILE
    lr_scores = read_mapping(path)
    for lr in recipe.lrs:
        lr_folder = folder / f"choose-{lr!r}"
        if repr(lr) not in lr_scores:
            try:
                lr_scores[repr(lr)] = score(replace(recipe, lr=lr, lrs=()), lr_folder)
            except Diverged:
                lr_scores[repr(lr)] = None
            lr_scores["seconds"] = lr_scores.get("seconds", 0.0) + trained_seconds(lr_folder)
            write_text(path, json.dumps(lr_scores, indent=1))
        shutil.rmtree(lr_folder, ignore_errors=True)  # or what a kill left of it
    scored = ((lr, lr_scores[repr(lr)]) for lr in recipe.lrs)  # the lowest first
    converged = {lr: value for lr, value in scored if value is not None and not math.isnan(value)}
    if not converged:
        raise ItlError(f"training diverges at each of lrs {', '.join(map(str, recipe.lrs))}; give lower ones")
    return replace(recipe, lr=max(converged, key=converged.__getitem__), lrs=())


def search_so_far(folder: Path) -> tuple[float, set[Path]]:
    """Return what `select_lr` has kept in *folder*: its seconds, and the folders that it trained in."""
    search = read_mapping(folder / LR_SCORES_FILE)
    return search.pop("seconds", 0.0), {folder / f"choose-{lr}" for lr in search}


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

    Raises:
        Diverged: Training diverges, or its last steps leave weights whose outputs overflow.
    """
    copied = with_new_head(net, len(target.train.classes), seed)
    train_batches = Batches(target.pack, target.train, recipe, seed, machine)
    train(copied, train_batches, recipe, folder, machine, seed=seed, objective=objective)
    test_batches = Batches(target.pack, target.test, recipe, seed, machine)  # its images come after the net's
    outputs, labels = predict(copied, test_batches, machine, recipe.precision)
    if broken := int((~outputs.isfinite().all(1)).sum()):
        raise Diverged(
            f"the outputs for {broken:,} of {counted(len(outputs), 'images')} are not finite after training "
            f"with lr {recipe.lr:g}; a lower lr or fp32 may work"
        )
    return outputs.cpu(), labels.cpu()


def with_new_head(net: Classifier, classes: int, seed: int) -> Classifier:
    """Return a copy of *net* with a head for *classes* classes, initialised from *seed* alone."""
    copied, width = copy.deepcopy(net), net.head.in_features
    copied.head = nn.utils.skip_init(nn.Linear, width, classes)  # initialised by a generator of its own
    random = torch.Generator().manual_seed(seed)
    nn.init.uniform_(copied.head.weight, -1 / math.sqrt(width), 1 / math.sqrt(width), generator=random)
    nn.init.zeros_(copied.head.bias)
    return copied
