"""Action classification: what a person, given by its box, does; an independent output an action, mean AP."""

from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from itl.evaluation.finetune import chosen_lr, finetune_and_predict, recipe_of
from itl.evaluation.lr_search import select_lr
from itl.evaluation.target import Target
from itl.evaluation.voc_ap import action_ap, mean_ap
from itl.machine import Machine
from itl.specs import Recipe, Transfer
from itl.training.nets import Classifier


def actions(
    spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine
) -> dict[str, float]:
    """Train a copy of *net* with an output for each action on crops of persons; score the test ones once.

    Returns:
        map, the mean average precision over actions, in percent, as the VOC 2012 development kit defines it
        (see `action_ap`); and lr, if it was chosen on val.
    """

    def score(candidate: Recipe, run_folder: Path) -> float:
        val_target = target.validation_target(spec.seed)
        return map_percent(
            *finetune_and_predict(net, val_target, candidate, run_folder, machine, spec.fit_seed, independent)
        )

    recipe = select_lr(recipe_of(spec), folder, score)
    outputs, labels = finetune_and_predict(net, target, recipe, folder, machine, spec.fit_seed, independent)
    return {"map": map_percent(outputs, labels)} | chosen_lr(spec, recipe)


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
