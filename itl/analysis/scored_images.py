"""The images that a task is scored on: those of the target's split whose classes its labels keep."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class ScoredImages:
    """The images that an accuracy is computed on."""

    counts: Mapping[str, int]  #: of each class
    per_class: bool = False  #: the accuracy is the mean of the accuracies of classes

    @property
    def total(self) -> int:
        """How many images there are."""
        return sum(self.counts.values())

    @property
    def one_class_score(self) -> float:
        """The accuracy in percent of always naming the largest class; nan without images.

        For a mean over classes every class gives the same.
        """
        images = [count for count in self.counts.values() if count]
        if not images:
            return math.nan
        return 100 / len(images) if self.per_class else 100 * max(images) / sum(images)

    @property
    def effective(self) -> float:
        """How many images a plain share would need to be as uncertain as this accuracy; nan without images.

        A share of all images needs all of them. The mean of the accuracies p of C classes with n images each
        has the variance Σ p (1 − p) / n / C². With every p approximated by the score, it is that of a share
        of C² / Σ 1 / n images: of classes that differ much in accuracy it may be less or more.
        """
        images = np.array([count for count in self.counts.values() if count], float)
        if not len(images):
            return math.nan
        return float(len(images) ** 2 / (1 / images).sum() if self.per_class else images.sum())


def target_pack(question: Question, task: str, machine: Machine) -> Pack | None:
    """Return the pack of the target of *task*; None where it is not here."""
    target = Task.read(task).target
    return packed(question.packings()[target], target, machine)


def images_of_accuracy(question: Question, task: str, machine: Machine) -> ScoredImages:
    """Count the images that *task* is scored on; none if it has no accuracy, or its pack is not here."""
    pack = target_pack(question, task, machine)
    if pack is None or METHODS[Task.read(task).method].predicts or not is_share(main_metric(task)):
        return ScoredImages({})
    return ScoredImages(count_scored_images(question, Task.read(task), pack, machine), is_per_class(pack))


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
