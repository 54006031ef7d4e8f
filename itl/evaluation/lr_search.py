"""Learning-rate search on val, so that the test images are looked at once, by the final training."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from itl import ItlError
from itl.specs import Recipe
from itl.storage import read_mapping, write_atomic
from itl.training.loop import Diverged

R = TypeVar("R", bound=Recipe)
LR_SCORES_FILE = "choice.json"  # in the run's folder: the score of every learning rate on val


def select_lr(recipe: R, folder: Path, score: Callable[[R, Path], float]) -> R:
    """Return *recipe* with the learning rate of its ``lrs`` that scores best; of equal ones the lower.

    Each score is written to *folder* at once, so an interrupted search goes on with the next learning rate.

    Args:
        recipe: Returned as it is where it has no ``lrs``.
        folder: The run's folder.
        score: Takes a recipe with one learning rate and a folder; trains there and returns the score on val.

    Raises:
        ItlError: Training diverges at each of the learning rates.
    """
    if not recipe.lrs:
        return recipe
    lrs = sorted(set(recipe.lrs))
    path = folder / LR_SCORES_FILE
    scores = read_mapping(path)
    for lr in lrs:
        if repr(lr) not in scores:
            lr_folder = folder / f"choose-{lr!r}"
            try:
                scores[repr(lr)] = score(replace(recipe, lr=lr, lrs=()), lr_folder)
            except Diverged:
                scores[repr(lr)] = None
            write_atomic(path, partial(Path.write_text, data=json.dumps(scores, indent=1)))
            shutil.rmtree(lr_folder, ignore_errors=True)
    converged = [lr for lr in lrs if scores[repr(lr)] is not None]
    if not converged:
        raise ItlError(f"training diverges at each of lrs {', '.join(map(str, lrs))}; give lower ones")
    return replace(recipe, lr=max(converged, key=lambda lr: scores[repr(lr)]), lrs=())
