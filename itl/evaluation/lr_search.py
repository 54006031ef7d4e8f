"""Choosing settings on val, so that the test images are looked at once, by the final fit."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from itl import ItlError
from itl.specs import Recipe
from itl.storage import write_atomic
from itl.training.loop import Diverged

R = TypeVar("R", bound=Recipe)
NAME = "choice.json"                        # in the run's folder: what every learning rate scored on val


def chosen(recipe: R, folder: Path, score: Callable[[R, Path], float]) -> R:
    """Give *recipe* the learning rate of its ``lrs`` that scores best; of equal ones the lower.

    *score* fits by a recipe in a folder of its own and scores on the images to choose by. What is scored is
    kept in *folder* at once, so a choice that was cut short goes on with the next learning rate. One by which
    training diverges is not chosen; ItlError where all are such.
    """
    if not recipe.lrs:
        return recipe
    lrs = sorted(set(recipe.lrs))
    path = folder / NAME
    scores = json.loads(path.read_text()) if path.exists() else {}
    for lr in lrs:
        if repr(lr) not in scores:
            place = folder / f"choose-{lr!r}"
            try:
                scores[repr(lr)] = score(replace(recipe, lr=lr, lrs=()), place)
            except Diverged:
                scores[repr(lr)] = None
            text = json.dumps(scores, indent=1)
            write_atomic(path, lambda part, text=text: part.write_text(text))
            shutil.rmtree(place, ignore_errors=True)
    sound = [lr for lr in lrs if scores[repr(lr)] is not None]
    if not sound:
        raise ItlError(f"training diverges at each of lrs {', '.join(map(str, lrs))}; give lower ones")
    return replace(recipe, lr=max(sound, key=lambda lr: scores[repr(lr)]), lrs=())
