"""Action classification: what persons do, each given by its box; ten independent outputs, mean AP."""

from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from itl.evaluation.finetune import chosen_lr, recipe_of, tuned
from itl.evaluation.lr_search import chosen
from itl.evaluation.target import Target
from itl.evaluation.voc_ap import action_ap, mean_ap
from itl.machine import Machine
from itl.specs import Recipe, Transfer
from itl.training.nets import Classifier


def actions(
    spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine
) -> dict[str, float]:
    """Train a copy of *net* with an output for each action on crops of persons; score the test ones once.

    Returns the mean average precision over actions, in percent, as the VOC 2012 development kit defines it
    (`action_ap`), and the lr that was chosen on val, if any.
    """

    def score(recipe: Recipe, place: Path) -> float:
        part = target.to_choose(spec.seed)
        return percent(*tuned(net, part, recipe, place, machine, spec.seed, independent))

    recipe = chosen(recipe_of(spec), folder, score)
    outputs, labels = tuned(net, target, recipe, folder, machine, spec.seed, independent)
    return {"map": percent(outputs, labels)} | chosen_lr(spec, recipe)


def independent(net: nn.Module, images: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
    """The loss of outputs that do not compete: each one's cross-entropy against 1 or 0, summed over them.

    targets (B, C); what is -1 there is not known, and not learned from.
    """
    outputs, known = net(images).float(), (targets >= 0).float()
    wanted = targets.clamp(min=0).float()
    return binary_cross_entropy_with_logits(outputs, wanted, known, reduction="sum") / len(targets)


def percent(outputs: Tensor, labels: Tensor) -> float:
    """Mean AP in percent of outputs (N, C), over the classes that *labels* (N, C) has examples of."""
    return 100 * mean_ap(action_ap(outputs.numpy(), labels.numpy()).tolist())
