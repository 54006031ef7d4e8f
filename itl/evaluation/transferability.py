"""All cheap scores of a net on a target, from one pass over the target's training images."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from itl.evaluation.frozen import extract, extract_selection
from itl.evaluation.logistic_regression import Features
from itl.evaluation.scores import SCORES, class_means
from itl.evaluation.target import Target
from itl.hierarchy.taxonomies import tree_of_digest
from itl.hierarchy.taxonomy import Taxonomy
from itl.machine import Machine
from itl.packs.pack import Pack
from itl.packs.paths import open_by_digest
from itl.packs.subset import select
from itl.specs import Pretrain, Transfer
from itl.storage import write_text
from itl.training.batches import Batches
from itl.training.nets import Classifier

SECONDS = "seconds.json"  # beside a run's result, which is the same however long it took
EXTRACTION = "features"  # in it: the pass of the net over the training images
OF_OWN_CLASSES = {"probabilities", "source_means", "source_classes"}  # what weights from elsewhere lack
SOURCE_IMAGES_PER_CLASS = 10  # that make the mean feature of a class that the net was trained on


@dataclass(frozen=True)
class Evidence:
    """What scores are computed from. No test image of the target is among it."""

    spec: Pretrain  # of the net
    net: Classifier
    train: Features  # of the target's training images
    target_classes: tuple[str, ...]
    machine: Machine
    tree: Taxonomy = field(default_factory=Taxonomy.snapshot)  # of the question, and of the net's labels

    @cached_property
    def features(self) -> Tensor:
        """Features of the target's training images, float64 (N, D)."""
        return self.train.features.double()

    @property
    def labels(self) -> Tensor:
        """Labels of the target's training images, int64 (N,)."""
        return self.train.labels

    @cached_property
    def probabilities(self) -> Tensor:
        """What the net's own last layer says of these images, float64 (N, S)."""
        with torch.no_grad():
            return self.net.head(self.train.features).double().softmax(1)

    @cached_property
    def target_means(self) -> Tensor:
        """Mean feature of each class of the target, float64 (C, D)."""
        return class_means(self.features, self.labels)

    @cached_property
    def source_means(self) -> Tensor:
        """Mean feature of each class that the net was trained on, of a few images each, float64 (S, D)."""
        count = min(SOURCE_IMAGES_PER_CLASS, self.spec.subset.images_per_class or SOURCE_IMAGES_PER_CLASS)
        subset = replace(self.spec.subset, images_per_class=count, at_most=True)
        selection = select(self._pack, subset, "train", self.tree)
        source = extract_selection(self.net, self.spec, self._pack, selection, self.machine)
        return class_means(source.features.double(), source.labels)

    @cached_property
    def source_classes(self) -> list[str]:
        """The pack's classes, such as wnids, whose images the net was trained on."""
        selection = select(self._pack, self.spec.subset, "train", self.tree)
        return sorted(set(self._pack.table["wnid"].to_numpy(object)[selection.rows]))

    @cached_property
    def _pack(self) -> Pack:
        return open_by_digest(self.spec.subset.pack, self.machine)


def transferability(
    spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine
) -> dict[str, float]:
    """Compute every score of `itl.evaluation.scores.SCORES` on the training split of *target*.

    Those that are not defined for this net and target are left out, such as the overlap with classes that are
    not in the tree, and what is about the classes of a net whose weights are from elsewhere. How many seconds
    each took, without the pass of the net that all share, is kept in SECONDS of *folder*.
    """
    recipe = spec.pretrain.recipe
    batches = Batches(target.pack, target.train, recipe, spec.seed, machine)
    train, seconds = timed(lambda: extract(net, batches, machine, recipe.precision), machine)
    tree = tree_of_digest(spec.tree or spec.pretrain.subset.tree, machine.taxonomies)
    evidence = Evidence(spec.pretrain, net, train, target.train.classes, machine, tree)
    metrics, took = {}, {EXTRACTION: seconds}
    for name, score in SCORES.items():
        if spec.pretrain.weights and OF_OWN_CLASSES & set(score.needs):
            continue
        value, took[name] = timed(
            lambda score=score: score.compute(*(getattr(evidence, need) for need in score.needs)), machine
        )
        if math.isfinite(value):
            metrics[name] = value
    write_text(folder / SECONDS, json.dumps(took))
    return metrics


def timed(work: Callable, machine: Machine) -> tuple:
    """Return the result of *work*, and the seconds that it took."""
    started = time.perf_counter()
    result = work()
    if machine.devices[0].startswith("cuda"):
        torch.cuda.synchronize(machine.devices[0])
    return result, time.perf_counter() - started
