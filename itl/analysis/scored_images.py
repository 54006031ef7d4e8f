"""The images that a task is scored on: those of the target's split whose classes its labels keep."""

import math
from collections.abc import Mapping

import numpy as np

from itl.evaluation.methods import METHODS, is_share, main_metric
from itl.evaluation.target import is_per_class
from itl.hierarchy.label_sets import needs_tree
from itl.machine import Machine
from itl.packs.pack import Pack, scored_split
from itl.packs.paths import packed
from itl.packs.subset import select
from itl.runs.design import Task
from itl.runs.question import Question
from itl.specs import Subset


def target_pack(question: Question, task: str, machine: Machine) -> Pack | None:
    """Return the pack of the target of *task*; None where it is not here."""
    target = Task.read(task).target
    return packed(question.packings()[target], target, machine)


def count_images_of_accuracy(
    question: Question, task: str, machine: Machine
) -> tuple[dict[str, int], Pack | None]:
    """Count the images that *task* is scored on by class; none, and no pack, if it has no accuracy."""
    pack = target_pack(question, task, machine)
    if pack is None or METHODS[Task.read(task).method].predicts or not is_share(main_metric(task)):
        return {}, None
    return count_scored_images(question, Task.read(task), pack, machine), pack


def count_scored_images(question: Question, task: Task, pack: Pack, machine: Machine) -> dict[str, int]:
    """Count the images of *pack*, the target's, that the main comparison is scored on by *task*, by class.

    Where seeds draw the classes, these are the classes of the draw with the fewest images. The images have a
    class each, and no annotated objects instead.
    """
    main = [side for pair in question.comparisons[:1] for side in (pair.of, pair.against)]
    compared = [condition for condition in question.conditions if condition.columns in main]
    conditions, draws = compared or question.conditions, []  # no condition is a doubling
    pairs = ((condition, seed) for condition in conditions for seed in condition.seeds or question.seeds)
    for labels in dict.fromkeys(condition.labels_of(task, seed) for condition, seed in pairs):
        tree = question.tree(machine) if needs_tree(labels) else None
        subset = Subset(pack.digest, labels, tree=tree.digest if tree else "")
        scored = select(pack, subset, scored_split(pack.summary["splits"]), tree)
        counts = np.bincount(scored.labels, minlength=len(scored.classes)).tolist()
        draws.append(dict(zip(scored.classes, counts, strict=True)))
    return min(draws, key=lambda counts: sum(counts.values()))


def one_class_score(counts: Mapping[str, int], pack: Pack) -> float:
    """Return the percent that always naming the largest class would score on *pack*; nan without *counts*.

    *counts* are images by class. Where the score is the mean over classes, every class gives the same.
    """
    images = [count for count in counts.values() if count]
    if not images:
        return math.nan
    return 100 / len(images) if is_per_class(pack) else 100 * max(images) / sum(images)


def effective_images(counts: Mapping[str, int], pack: Pack) -> float:
    """Return how many images a share would be of that is as uncertain as a score on *pack*; nan of none.

    A score that is a share of all images is of the sum of *counts*, the images by class. Where it is the mean
    of the accuracies p of C classes with n images each, its variance is Σ p (1 − p) / n / C². With every p
    approximated by the score, it is that of a share of C² / Σ 1 / n images: of classes that differ much in
    accuracy it may be less or more.
    """
    images = np.array([count for count in counts.values() if count], float)
    if not len(images):
        return math.nan
    return float(len(images) ** 2 / (1 / images).sum() if is_per_class(pack) else images.sum())
