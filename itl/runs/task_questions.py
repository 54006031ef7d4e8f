"""Questions about one's own task: which pre-training classes help it, and which hurt it."""

from collections.abc import Sequence

from pydantic import PositiveInt

from itl import ItlError
from itl.hierarchy.label_sets import split_method
from itl.runs.question import Comparison, Condition, Question
from itl.runs.study import Study

HALF, EVERYTHING = "half of the classes", "all classes"
WITHOUT_HARMFUL, WITHOUT_OTHERS = "without the harmful", "without as many others"
HELPFUL_ALONE, OTHERS_ALONE = "the helpful alone", "as many others alone"


class Influence(Study):
    """Which classes help or hurt the target? One net on each of many halves of the classes.

    The halves are those of `itl.hierarchy.balanced_halves`. Half number N is that of seed N, so each has
    initial weights and an order of its own too. No pre-training and all classes have the seeds of the study.
    """

    name = "influence"
    halves: PositiveInt  # nets, one on each; every class is in exactly half of them where 20 divides it

    def question(self) -> Question:
        """Return the question; ItlError for seeds to be added and for too few halves."""
        if self.cap:
            raise ItlError(
                f"influence takes as many nets as halves says, so no seeds can be added until it is decided; "
                f"leave cap out (got {self.cap}) and give more halves"
            )
        if self.halves < 4:
            raise ItlError(f"influence needs 4 halves or more, and tells little below 40; got {self.halves}")
        return super().question()

    def conditions(self) -> list[Condition]:
        """Return none, half of the classes and all of them."""
        return [
            Condition((("pretrained_on", "none"),), trained=False),
            Condition(
                (("pretrained_on", HALF),), "half-balanced@{seed}", seeds=tuple(range(self.halves))
            ),
            Condition((("pretrained_on", EVERYTHING),)),
        ]


class Counterfactual(Study):
    """Do the classes said to hurt the target hurt it, and do those said to help it help? On fresh seeds.

    The first control leaves out as many other classes as are harmful, in whole subtrees of like sizes, the
    second keeps as many random classes as are helpful; each seed draws its own.
    """

    name = "counterfactual"
    harmful: tuple[str, ...] = ()  # nodes, as wnids
    helpful: tuple[str, ...] = ()
    helpful_classes: int = 0  # how many of the pack's classes are under the helpful nodes

    def question(self) -> Question:
        """Return the question; ItlError where there is no node to leave out or to keep."""
        if not self.harmful and not self.helpful:
            raise ItlError(
                "counterfactual has no node to leave out or keep; give harmful or helpful, as wnids of nodes"
            )
        if self.helpful and self.helpful_classes < 1:
            raise ItlError("counterfactual needs helpful_classes: how many are under the helpful nodes")
        return super().question()

    def conditions(self) -> list[Condition]:
        """Return none, all classes, then what is left out and what is kept, each beside its control."""
        nodes = ",".join(self.harmful), ",".join(self.helpful)
        labels = {}
        if self.harmful:
            labels[WITHOUT_OTHERS] = f"without-matched@{{seed}},{nodes[0]}"
            labels[WITHOUT_HARMFUL] = f"without@{nodes[0]}"
        if self.helpful:
            labels[HELPFUL_ALONE] = f"only@{nodes[1]}"
        for method in labels.values():
            split_method(method.replace("{seed}", "0"))
        made = [Condition((("pretrained_on", name),), method) for name, method in labels.items()]
        if self.helpful:
            made.append(Condition((("pretrained_on", OTHERS_ALONE),), classes=self.helpful_classes))
        none = Condition((("pretrained_on", "none"),), trained=False)
        return [none, Condition((("pretrained_on", EVERYTHING),)), *made]

    def comparisons(self, conditions: Sequence[Condition]) -> list[Comparison]:
        """Compare each with its control, then with all classes."""
        pairs = [
            (WITHOUT_HARMFUL, WITHOUT_OTHERS),
            (HELPFUL_ALONE, OTHERS_ALONE),
            (WITHOUT_HARMFUL, EVERYTHING),
            (HELPFUL_ALONE, EVERYTHING),
            (EVERYTHING, "none"),
        ]
        columns = {condition.columns[0][1]: condition.columns for condition in conditions}
        return [Comparison(columns[of], columns[to]) for of, to in pairs if of in columns and to in columns]
