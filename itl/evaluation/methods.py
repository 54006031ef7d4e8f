"""The transfer methods: each is one entry of METHODS and one evaluator.

This module imports no evaluator, so code that needs only words and names does not wait for one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name

from itl.specs import DetectionRecipe, Recipe

KNN_NEIGHBOURS = (1, 5)  # that vote, as in the paper; each gives a metric, knn1 and knn5
Metrics = dict[str, float]  # by name, as evaluators return them


@dataclass(frozen=True)
class Method:
    """How a pre-trained net is measured on a target.

    Its evaluator is called as ``evaluate(spec, net, target, folder, machine)`` and returns plain floats, by
    metric: in percent or, where the method only *predicts*, in the metric's own unit.
    *target* is an `itl.evaluation.target.Target`, *folder* is the run's own.
    """

    evaluator: str  # MODULE:FUNCTION, imported when a run needs it
    words: str  # for people, after the target's name
    main_metric: str  # that tasks are judged by
    recipe: type[Recipe] | None = None  # of the training on the target; None: the net stays frozen
    annotated: bool = False  # targets are annotated objects, not one class for each image
    nodes: bool = False  # scores inner nodes of the tree too, beside chance
    tree: bool = False  # reads the tree of the question, whatever the labels of its target are made from
    cost: tuple[str, ...] = ()  # pieces of `itl.runs.throughput.FrozenRate` that frozen features cost
    predicts: bool = False  # transfer, by scores of the features of training images: it measures none

    def load(self) -> Callable[..., Metrics]:
        """Import and return the evaluator."""
        return resolve_name(self.evaluator)


# Induction compares all images, then those under each node again where their neighbours lie elsewhere: with
# features that tell nothing, once more as many pairs.
METHODS = {
    "finetune": Method("itl.evaluation.finetune:finetune", "fine-tuned", "accuracy", Recipe),
    "actions": Method("itl.evaluation.finetune:actions", "fine-tuned", "map", Recipe, annotated=True),
    "detection": Method(
        "itl.evaluation.detection:detection", "R-CNN", "map", DetectionRecipe, annotated=True
    ),
    "probe": Method("itl.evaluation.frozen:probe", "linear probe", "accuracy", cost=("fit",)),
    "knn": Method("itl.evaluation.frozen:knn", "nearest neighbours", "knn5", cost=("compare",)),
    "induction": Method(
        "itl.evaluation.induction:induction",
        "frozen features",
        "accuracy",
        nodes=True,
        tree=True,
        cost=("fit", "compare", "compare"),
    ),
    "scores": Method(
        "itl.evaluation.transferability:transferability",
        "cheap scores",
        "knn5",
        cost=("compare", "compare"),
        predicts=True,
        tree=True,
    ),
}


def main_metric(task: str) -> str:
    """Return the metric that a task is judged by, as results name it; a net's own classes by accuracy.

    >>> main_metric("detection@voc2007"), main_metric("own")
    ('map', 'accuracy')
    """
    method = task.partition("@")[0]
    return METHODS[method].main_metric if method in METHODS else "accuracy"


def main_metrics() -> list[str]:
    """Return the main metric of every method, each once.

    >>> main_metrics()
    ['accuracy', 'map', 'knn5']
    """
    return list(dict.fromkeys(method.main_metric for method in METHODS.values()))


def is_share(metric: str) -> bool:
    """Say whether *metric* is a share of images that are classified correctly.

    >>> [metric for metric in ("accuracy", "knn5", "map", "strength") if is_share(metric)]
    ['accuracy', 'knn5']
    """
    return metric == "accuracy" or metric in [f"knn{k}" for k in KNN_NEIGHBOURS]
