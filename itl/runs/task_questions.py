"""Questions about a task of your own: which classes help or hurt it, and which cheap scores to trust."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import PositiveInt

from itl.errors import ItlError, pick
from itl.evaluation.methods import METHODS
from itl.notes import warn
from itl.runs.design import Comparison, Condition, Task, columns
from itl.runs.question import Question
from itl.runs.study import Count, Repeats, Study

HALF, EVERYTHING = "half of the classes", "all classes"
WITHOUT_HARMFUL, WITHOUT_OTHERS = "without the harmful", "without as many others"
HELPFUL_ALONE, OTHERS_ALONE = "the helpful alone", "as many others alone"
ONE_TARGET = (
    "tests of scores are for other targets, and take two on which nets differ; give a second one in targets "
    "and tasks"
)


class Influence(Study):
    """Which classes help or hurt the target? One net on each of many halves of the classes.

    Half number N is that of seed N, so each has initial weights and an order of its own too. No pre-training
    and all classes have the seeds of the study.
    """

    name = "influence"
    halves: Repeats  #: nets, one on each; every class is in exactly half of them where 20 divides it
    half_method: Literal["half-balanced", "half-along-tree"] = "half-balanced"  #: label method of each half
    nodes: PositiveInt = 3  #: most harmful, and most helpful, that runs on fresh seeds try afterwards
    fresh_seeds: Repeats = 5  #: nets of each condition of these

    def check(self) -> None:
        """Raise ItlError for seeds to be added and for too few halves."""
        if self.cap:
            raise ItlError(
                f"influence takes as many nets as halves says, so no seeds can be added until it is decided; "
                f"leave cap out (got {self.cap}) and give more halves"
            )
        if self.halves < 4:
            raise ItlError(f"influence needs 4 halves or more, and tells little below 40; got {self.halves}")

    def question(self) -> Question:
        """Return the question; its page looks at nodes, and its notebook trains more nets."""
        nets = 5 * self.fresh_seeds  # of the pre-trained conditions of `Counterfactual`
        afterwards = (
            f"{self.name}: its notebook then trains up to {nets} more nets, on fresh seeds: without the most "
            f"harmful classes and with the most helpful alone, which are not known before"
        )
        return replace(super().question(), afterwards=afterwards, nodes_of="images")

    def conditions(self) -> list[Condition]:
        """Return none, half of the classes and all of them."""
        labels, seeds = f"{self.half_method}@{{seed}}", tuple(range(self.halves))
        return [
            Condition(columns(pretrained_on="none"), trained=False),
            Condition(columns(pretrained_on=HALF), labels, seeds=seeds),
            Condition(columns(pretrained_on=EVERYTHING)),
        ]

    def comparisons(self, conditions: Sequence[Condition]) -> list[Comparison]:
        """Compare all classes with none; halves say what single classes do, and few share a seed with all."""
        none, _, everything = conditions
        return [Comparison(everything.columns, none.columns)]


class Counterfactual(Study):
    """Do the classes said to hurt the target hurt it, and do those said to help it help? On fresh seeds.

    The first control leaves out as many other classes as are harmful, in whole subtrees of like sizes, the
    second keeps as many random classes as are helpful; each seed draws its own.
    """

    name = "counterfactual"
    harmful: tuple[str, ...] = ()  #: nodes, as wnids
    helpful: tuple[str, ...] = ()
    helpful_classes: int = 0  #: how many of the pack's classes are under the helpful nodes
    helpful_first: bool = False  #: whether the main comparison is that of the helpful

    def check(self) -> None:
        """Raise ItlError where there is no node to leave out or to keep."""
        if not self.harmful and not self.helpful:
            raise ItlError(
                "counterfactual has no node to leave out or keep; give harmful or helpful, as wnids of nodes"
            )
        if self.helpful and self.helpful_classes < 2:
            raise ItlError(
                f"counterfactual needs helpful_classes, how many are under the helpful nodes: 2 or more, as "
                f"nets learn nothing from one class; got {self.helpful_classes}"
            )

    def conditions(self) -> list[Condition]:
        """Return none, all classes, then what is left out and what is kept, each beside its control."""
        harmful, helpful = ",".join(self.harmful), ",".join(self.helpful)
        labels = {}
        if self.harmful:
            labels[WITHOUT_OTHERS] = f"without-matched@{{seed}},{harmful}"
            labels[WITHOUT_HARMFUL] = f"without@{harmful}"
        if self.helpful:
            labels[HELPFUL_ALONE] = f"only@{helpful}"
        made = [Condition(columns(pretrained_on=name), method) for name, method in labels.items()]
        if self.helpful:
            made.append(Condition(columns(pretrained_on=OTHERS_ALONE), classes=self.helpful_classes))
        none = Condition(columns(pretrained_on="none"), trained=False)
        return [none, Condition(columns(pretrained_on=EVERYTHING)), *made]

    def comparisons(self, conditions: Sequence[Condition]) -> list[Comparison]:
        """Compare each with its control, then with all classes."""
        controlled = [(WITHOUT_HARMFUL, WITHOUT_OTHERS), (HELPFUL_ALONE, OTHERS_ALONE)]
        pairs = [
            *(controlled[::-1] if self.helpful_first else controlled),
            (WITHOUT_HARMFUL, EVERYTHING),
            (HELPFUL_ALONE, EVERYTHING),
            (EVERYTHING, "none"),
        ]
        named = {condition.values[0]: condition.columns for condition in conditions}
        return [Comparison(named[of], named[to]) for of, to in pairs if of in named and to in named]


class NetGrid(Study):
    """Nets that differ in their pre-training data: one for each label set, number of images and seed."""

    label_sets: tuple[str, ...]  #: methods of `itl labels`; {seed} in one is the seed of the net
    images_per_class: tuple[Count, ...]

    def check(self) -> None:
        """Raise ItlError for what is no net to be trained."""
        if self.repeats > 1 or self.cap:
            raise ItlError(
                f"{self.name} takes each net as it is: leave repeats and cap out, and give more seeds"
            )
        if 0 in self.images_per_class or "none" in self.label_sets:
            raise ItlError(f"{self.name} has a net without pre-training already; leave 0 and none out")

    def conditions(self) -> list[Condition]:
        """Return none, and one for each label set and number of images."""
        conditions = [Condition(columns(label_set="none", images_per_class=0), trained=False)]
        for labels in self.label_sets:
            for count in self.images_per_class:
                named = columns(label_set=labels, images_per_class=count)
                images = None if count == "all" else count
                conditions.append(Condition(named, labels, images_per_class=images))
        return conditions

    def comparisons(self, conditions: Sequence[Condition]) -> list[Comparison]:
        """Compare the most that nets are trained on with no pre-training: what there is to gain.

        That is all classes, if they are among the label sets, with the most images; whatever the order.
        """
        measured = tuple(task.name for task in self.tasks if task.measures_transfer)
        none, *trained = conditions
        most = max(trained, key=lambda one: (one.labels == "original", one.images_per_class or math.inf))
        return [Comparison(most.columns, none.columns, measured)]


class Scores(NetGrid):
    """Which cheap score of a net can be trusted to say how well it transfers to the target?

    Each net is measured on the tasks, and its scores are computed on the same targets (method scores).
    """

    name = "scores"

    def all_tasks(self) -> tuple[Task, ...]:
        """Return the tasks, then one of scores for each."""
        return *self.tasks, *dict.fromkeys(map(score_task, self.tasks))

    def check(self) -> None:
        """Raise ItlError for nets that cannot be ordered and for tasks that scores do not belong to."""
        for task in self.tasks:
            method = pick(METHODS, task.method, "transfer method")
            if method.predicts:
                raise ItlError(f"scores adds {task.name} itself; give others, as probe@{task.target}")
            if method.annotated:
                raise ItlError(
                    f"scores need one class for each image; {task.name} takes annotated objects: leave it out"
                )
        trained = len(self.label_sets) * len(self.images_per_class)
        if trained < 2 or len(self.seeds) < 2:
            raise ItlError(
                f"scores orders nets of two options or more, each a label set and a number of images, and of "
                f"two seeds or more; got label_sets {list(self.label_sets)}, images_per_class "
                f"{list(self.images_per_class)} and seeds {list(self.seeds)}; give more of what lacks, such "
                f"as seeds [0, 1, 2]"
            )
        super().check()
        if len({task.target for task in self.tasks}) == 1:
            warn(f"scores on {self.tasks[0].target} alone get values and no verdict: {ONE_TARGET}")


class Advice(NetGrid):
    """What should nets be pre-trained on for a target, under a budget? Its options are conditions.

    The same options on other targets say what to expect of those that are not measured on this one.
    """

    name = "advice"

    def check(self) -> None:
        """Raise ItlError where there is nothing to choose from, and for a task that measures no transfer."""
        if len(self.label_sets) * len(self.images_per_class) < 2:
            raise ItlError(
                f"advice chooses among two options or more, each a label set and a number of images; got "
                f"label_sets {list(self.label_sets)} and images_per_class {list(self.images_per_class)}"
            )
        for task in self.tasks:
            if pick(METHODS, task.method, "transfer method").predicts:
                raise ItlError(f"{task.name} measures no transfer; give tasks such as probe@{task.target}")
        super().check()


RANKED = tuple(kind.name for kind in (Influence, Scores, Advice))  # answered by rankings, not comparisons


def score_task(task: Task) -> Task:
    """Return the task that computes the cheap scores for *task*: on the same target, labels and images.

    >>> score_task(Task.read("probe@images/half-a:5")).name
    'scores@images/half-a:5'
    """
    return Task.read(task.name.replace(task.method, "scores", 1))
