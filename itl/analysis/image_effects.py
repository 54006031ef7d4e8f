"""Which test images of a target nets get right more or less often with a node's classes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from itl.analysis.influence import NetsOnHalves, nets_on_halves, runs_on_halves
from itl.errors import ItlError, pick
from itl.evaluation.target import CORRECT_FILE, target_of
from itl.machine import Machine
from itl.packs.paths import open_packed
from itl.runs.design import Task
from itl.runs.question import Question
from itl.runs.store import Store


@dataclass(frozen=True)
class CorrectImages:
    """Which test images of a target nets on halves of the classes get right."""

    halves: NetsOnHalves
    correct: np.ndarray  #: float32 (nets, images): 100 where a net is right, else 0
    images: pd.DataFrame  #: columns row (of the target's pack), image, wnid

    def effects(self, node: str) -> pd.DataFrame:
        """Say of which images nets are right more or less often with the classes of *node*.

        Effects are the difference of means of each image, as in `itl.analysis.influence.difference_of_means`,
        without any shrinking: with few nets most of it is noise, and where halves follow the tree part of it
        is of the node's neighbours.

        Returns:
            Columns row, image, wnid, correct (how often all nets on halves are right, in percent), effect (of
            the node, in percent of nets, at most 100) with standard_error; the most surely hurt image first:
            by the effect in standard errors, as effects of many images are 100 or more where nets are few.
        """
        halves = self.halves
        number = pick({wnid: row for row, wnid in enumerate(halves.nodes.wnids)}, node, "node with classes")
        member = halves.nodes.member[number]
        included = halves.inclusion @ member
        included = (included - included.mean()).astype(np.float32)
        squares, df = float(included @ included), len(included) - 2
        if not squares:
            raise ItlError(f"all nets have {node}, or none has, so nothing is known of it; run more halves")
        means, apart, spread = self._moments
        slopes = included @ apart / squares
        noise = np.maximum(spread - slopes**2 * squares, 0) / df
        errors = np.sqrt(noise / squares) * member.sum()
        effects = np.round(slopes * member.sum(), 3) + 0.0  # float32 makes no sign where there is no effect
        with np.errstate(divide="ignore"):  # nets may differ by the node alone
            surely = np.divide(effects, errors, out=np.zeros(len(effects)), where=effects != 0)
        effects = effects.clip(-100, 100)  # halves have few of a node's classes more than others
        table = self.images.assign(correct=means, effect=effects, standard_error=errors, surely=surely)
        return table.sort_values(["surely", "effect", "row"], ignore_index=True).drop(columns="surely")

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Means of the images (images,), what nets are above these (nets, images), and sums of squares."""
        means = self.correct.mean(0, dtype=float)
        apart = self.correct - means.astype(np.float32)
        return means, apart, (apart**2).sum(0)


def images_scored(question: Question, store: Store, machine: Machine, task: str = "") -> CorrectImages:
    """Read which test images of *task* (by default its first) the nets of *question* get right.

    ItlError as in `nets_on_halves`, and if a finished run of the task keeps no predictions.
    """
    halves = nets_on_halves(question, store, machine, task)
    runs = runs_on_halves(question, machine, halves.task)
    kept = [store.file(runs[seed], CORRECT_FILE) for seed in halves.seeds]
    lacking = [path for path in kept if not path.exists()]
    if lacking:
        raise ItlError(
            f"{len(lacking)} of {len(kept)} runs of {halves.task} keep no predictions, as only runs of probe "
            f"and knn of this version of itl do; look at effects of nodes instead, or run such a task"
        )
    correct = 100 * np.array([np.load(path) for path in kept], np.float32)
    spec = runs[halves.seeds[0]]
    name = Task.read(halves.task).target
    target = target_of(spec, open_packed(question.packings()[name], name, machine), question.tree(machine))
    images = target.pack.table.iloc[target.test.rows][["image", "wnid"]].reset_index(drop=True)
    images.insert(0, "row", target.test.rows)
    return CorrectImages(halves, correct, images)
