"""The questions of the study: the runs each one needs, and which of them it compares."""

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import NonNegativeInt, PositiveInt, ValidationInfo, field_validator

from itl.errors import ItlError, errors_about, pick
from itl.evaluation.methods import METHODS
from itl.machine import Machine
from itl.notes import warn
from itl.packs.paths import packed
from itl.runs.design import UNPACKED, Comparison, Condition, columns
from itl.runs.question import Question
from itl.runs.study import Count, Seed, Study, by_training, first_against_last
from itl.runs.task_questions import Advice, Influence, Scores
from itl.settings import spec_of
from itl.specs import Recipe, Subset
from itl.words import counted

if TYPE_CHECKING:
    from itl.presets import Preset

HALVES = {
    "minimal": ("half-minimal-a", "half-minimal-b"),
    "random": ("half-random-a@{seed}", "half-random-b@{seed}"),
}
EQUAL_STEPS, EQUAL_PASSES = "equal steps", "equal passes"
BOTH, AS_MANY_PASSES = "A + B", "as many passes"
COARSE, FINE, ALL_COARSE = "coarse", "fine", "coarse, all images"
IMAGES_DOUBLED, CLASSES_DOUBLED = "twice the images of each class", "twice the classes"
SUBSET_IGNORED = (
    "subset has {name} {own}, and {names} of data-size {given}, so that {own} would be ignored; add it "
    "there, or leave it out of subset"
)
EXAMPLE = "each with two designs or more, such as [['20 x 50', '10 x 100'], ['20 x 25', '10 x 50']]"


class DataSize(Study):
    """How many images per class are enough?"""

    name = "data-size"
    images_per_class: tuple[Count, ...] = ()  #: 0: no pre-training; left out: that of subset
    seeds: tuple[Seed, ...] = ()  #: left out: that of subset
    subset: Subset | None = None  #: under which labels and of which classes: a Subset, or fields of one
    passes: NonNegativeInt = 0  #: nets that see each of their images so often, too; 0: only equal steps

    @field_validator("subset", mode="before")
    @classmethod
    def _fields(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, Mapping):
            return value
        seeds = info.data.get("seeds")
        is_drawn = value.get("classes") or value.get("images_per_class")
        if is_drawn and value.get("seed") == 0 and seeds and 0 not in seeds:  # another: `_check_subset`
            raise ItlError(SUBSET_IGNORED.format(name="seed", names="seeds", own=0, given=list(seeds)))
        if pack := value.get("pack"):
            raise ItlError(f"subset names the pack {pack!r}, and its pack is that of images; leave pack out")
        return spec_of(Subset, {"pack": "", **value}, "subset")

    def question(self) -> Question:
        """Return the question; seeds that are left out are that of subset."""
        if self.subset and not self.seeds and "seeds" not in self.model_fields_set:
            return self.model_copy(update={"seeds": (self.subset.seed,)}).question()
        return super().question()

    def check(self) -> None:
        """Raise ItlError for a single number, which leaves nothing to compare, and for what subset denies."""
        if len(self.images_per_class) == 1:
            raise ItlError(
                f"data-size compares numbers of images; got images_per_class {list(self.images_per_class)}; "
                f"give two or more, or leave it out and give subset"
            )
        if self.subset and self.subset.tree and not self.taxonomy:
            raise ItlError("this subset is of another taxonomy; give that too, as taxonomy=browser.taxonomy")
        if self.subset:
            self._check_subset(self.subset)
            self._note_other_pack(self.subset)

    def _check_subset(self, subset: Subset) -> None:
        """Raise ItlError where numbers of images or seeds beside the subset leave out its own."""
        if subset.without:
            raise ItlError(
                "subset has without, which data-size does not take; set leave_out_duplicates beside subset"
            )
        for name, names, own, given in (
            ("images_per_class", "images_per_class", subset.images_per_class, self.images_per_class),
            ("seed", "seeds", subset.seed or None, self.seeds),
        ):
            if own is not None and given and own not in given:
                raise ItlError(SUBSET_IGNORED.format(name=name, names=names, own=own, given=list(given)))

    def _note_other_pack(self, subset: Subset) -> None:
        """Warn if *subset* is of another pack than the images: it may be meant, as images of another size."""
        if subset.pack in ("", UNPACKED):
            return
        pack = None
        with suppress(ItlError):  # images that are not here are looked for when they are needed
            pack = packed(self.images, "images", Machine.from_environment())
        if pack and pack.digest != subset.pack:
            warn(
                f"subset was made of the pack {subset.pack}, and images of data-size are packed as "
                f"{pack.digest}: its labels and numbers are taken, its images are not; give images of that "
                f"pack, as a preset that the browser saves does"
            )

    def conditions(self) -> list[Condition]:
        """Return one for each number of images, trained for equal steps and for equal passes."""
        within = self.subset or Subset("")
        given = self.images_per_class or ((within.images_per_class or "all",) if self.subset else ())
        counts = sorted(given, key=lambda count: math.inf if count == "all" else count)
        if not self.passes:
            return [self._condition(within, count) for count in counts]
        if self.recipe.steps is None:
            raise ItlError(
                f"passes compares with equal steps, and a recipe of {self.recipe.epochs} epochs takes fewer "
                f"of fewer images; give the recipe steps, or leave passes out"
            )
        conditions = [self._condition(within, count, EQUAL_STEPS) for count in counts]
        recipe = replace(self.recipe, epochs=self.passes, steps=None)
        trained = [count for count in counts if count != 0]
        return conditions + [self._condition(within, count, EQUAL_PASSES, recipe) for count in trained]

    def comparisons(self, conditions: Sequence[Condition]) -> list[Comparison]:
        """Compare few images with all, and all with none, at equal steps; few with all at equal passes."""
        of_passes = [condition for condition in conditions if condition.recipe]
        of_steps = [condition for condition in conditions if not condition.recipe]
        return first_against_last(of_steps) + first_against_last(of_passes)

    def _condition(
        self, within: Subset, count: Any, exposure: str = "", recipe: Recipe | None = None
    ) -> Condition:
        return Condition(
            columns(images_per_class=count, **({"exposure": exposure} if exposure else {})),
            labels=within.labels,
            classes=within.classes,
            images_per_class=None if count in ("all", 0) else count,
            trained=count != 0,
            leaves=within.leaves,
            at_most=within.at_most,
            recipe=recipe,
            tree=within.tree,
        )


class LabelSets(Study):
    """A question on all images under each of several label sets."""

    label_sets: tuple[str, ...]  #: methods of `itl labels`, from few classes to many; none: no pre-training

    def conditions(self) -> list[Condition]:
        """Return one for each label set, from few classes to many."""
        return [
            Condition(columns(label_set=name), "original" if name == "none" else name, trained=name != "none")
            for name in _from_few_classes(self.label_sets)
        ]


def _from_few_classes(label_sets: Sequence[str]) -> list[str]:
    """Return *label_sets* from few classes to many where their names tell it, else as they are.

    All have fewer classes than original; a cut of a higher level has more, and one of more rounds fewer.

    >>> _from_few_classes(["original", "bottom-up@9", "bottom-up@5", "none"])
    ['none', 'bottom-up@5', 'bottom-up@9', 'original']
    >>> _from_few_classes(["original", "top-down@1", "bottom-up@9", "top-down@2"])
    ['top-down@1', 'bottom-up@9', 'top-down@2', 'original']
    """
    ends = {"none": -math.inf, "original": math.inf}
    cuts = [re.fullmatch(r"(bottom-up|top-down)@(\d+)", name) for name in label_sets if name not in ends]
    is_of_one_kind = len({cut and cut[1] for cut in cuts}) == 1 and all(cuts)
    sign = -1 if any(labels.startswith("top-down") for labels in label_sets) else 1

    def rank(labels: str) -> float:
        if labels in ends or not is_of_one_kind:
            return ends.get(labels, 0)
        return sign * int(labels.partition("@")[2])

    return sorted(label_sets, key=rank)


class ClassCount(LabelSets):
    """How many classes are enough? The same images under each of several label sets.

    In addition, nets of some classes see only the images of these: do more classes help?
    """

    name = "class-count"
    classes: tuple[PositiveInt, ...] = ()  #: numbers of classes to keep, from few to many

    def conditions(self) -> list[Condition]:
        """Return one for each label set, then one for each number of classes."""
        fewer = [
            Condition(columns(label_set=counted(count, "classes")), classes=count) for count in self.classes
        ]
        return [*super().conditions(), *fewer]

    def comparisons(self, conditions: Sequence[Condition]) -> list[Comparison]:
        """Compare few classes with many, many with none, and the fewest of all classes with all of them.

        ItlError if classes are given and label_sets lacks original.
        """
        sets = [condition for condition in conditions if condition.classes is None]
        comparisons = first_against_last(sets)
        if self.classes:
            every = [condition.columns for condition in sets if condition.values == ["original"]]
            if not every:
                raise ItlError("class-count compares some classes with all: add original to label_sets")
            fewest = min(conditions, key=lambda condition: condition.classes or math.inf)
            _, trained = by_training(sets)  # of one label set, numbers of classes are what is asked
            position = len(comparisons) if len(trained) > 1 else 0
            comparisons.insert(position, Comparison(fewest.columns, every[0]))
        return comparisons


class Granularity(LabelSets):
    """How fine must labels be? The coarsest are compared with the finest, and with no pre-training.

    The label sets go from coarse to fine: none and at least two others. The first task is by a method that
    scores inner nodes of the tree.
    """

    name = "granularity"

    def question(self) -> Question:
        """Return the question; its page shows nodes above the classes of the first task."""
        return replace(super().question(), nodes_of=self.tasks[0].target)

    def comparisons(self, conditions: Sequence[Condition]) -> list[Comparison]:
        """Compare coarse with fine, coarse with none, and fine with none; ItlError where one lacks."""
        untrained, trained = by_training(conditions)
        if not untrained or len(trained) < 2:
            raise ItlError(
                f"granularity compares none, coarse and fine label sets; got label_sets "
                f"{list(self.label_sets)}; give none and two others, such as none, bottom-up@5 and original"
            )
        suitable = [name for name, method in METHODS.items() if method.nodes]
        first = self.tasks[0]
        if first.method not in suitable:
            example = first.name.replace(first.method, suitable[0], 1)
            raise ItlError(
                f"granularity looks at inner nodes of the tree on its first task; got {first.name}, and "
                f"{first.method} scores none; put a task of {' or '.join(suitable)} first, such as {example}"
            )
        coarse_with_none = [Comparison(trained[0].columns, condition.columns) for condition in untrained]
        main, *others = first_against_last(conditions)
        return [main, *coarse_with_none, *others]


class Budget(Study):
    """For a fixed number of images: more classes, or more images of each class?

    The gains from twice the classes and from twice the images of each are fitted over all designs: see
    `itl.analysis.comparisons.exchange`. Each seed draws its own classes.
    """

    name = "budget"
    budgets: tuple[tuple[str, ...], ...]  #: for each number of images its designs, from many classes to few

    def conditions(self) -> list[Condition]:
        """Return none, and one for each design; ItlError for designs that the fit cannot use."""
        if len(self.budgets) < 2 or any(len(designs) < 2 for designs in self.budgets):
            given = [list(designs) for designs in self.budgets]
            raise ItlError(f"a budget's fit needs two numbers of images or more, {EXAMPLE}; got {given}")
        budgets = self._designs()
        totals = [_total(conditions) for conditions in budgets]
        if None not in totals and len(set(totals)) == 1:
            raise ItlError(
                f"a budget's fit needs two numbers of images or more; all designs have {totals[0]}; give a "
                f"budget with another number"
            )
        none = Condition(columns(design="none"), trained=False)
        return [none, *(condition for conditions in budgets for condition in conditions)]

    def comparisons(self, conditions: Sequence[Condition]) -> list[Comparison]:
        """Compare the two doublings, then in each budget its last design with its first."""
        doublings = Comparison(columns(design=IMAGES_DOUBLED), columns(design=CLASSES_DOUBLED))
        ends = [(designs[-1].columns, designs[0].columns) for designs in self._designs()]
        return [doublings, *(Comparison(*pair) for pair in ends)]

    def _designs(self) -> list[list[Condition]]:
        """Return the designs of each number of images, from many classes to few."""
        budgets = ([_design(text) for text in designs] for designs in self.budgets)
        return [sorted(designs, key=lambda design: -(design.classes or math.inf)) for designs in budgets]


class Overlap(Study):
    """Must the pre-training classes include PASCAL's? Without them, and without as many others.

    The control leaves out as many classes in whole subtrees of similar sizes, none of them PASCAL's: its loss
    is the cost of fewer classes and images. See `itl.hierarchy.halves.matched_control`.
    """

    name = "overlap"

    def conditions(self) -> list[Condition]:
        """Return none, all classes, the control, and those without PASCAL's."""
        labels = {
            "all classes": "original",
            "without as many others": "without-matched@{seed}",
            "without PASCAL's": "without-pascal",
        }
        trained = [Condition(columns(pretrained_on=name), labels=method) for name, method in labels.items()]
        return [Condition(columns(pretrained_on="none"), trained=False), *trained]

    def comparisons(self, conditions: Sequence[Condition]) -> list[Comparison]:
        """Compare PASCAL's classes with the control first."""
        none, everything, control, removed = (condition.columns for condition in conditions)
        pairs = [(removed, control), (removed, everything), (control, everything), (everything, none)]
        return [Comparison(*pair) for pair in pairs]


class Split(Study):
    """Does adding images of *other* classes always help? Half A alone, B alone, and both together.

    Both together are compared with A on tasks that score A, with B on tasks that score B, and with each of
    them on all other tasks. In tasks, the labels half-a and half-b mean the classes of the halves.
    """

    name = "split"
    halves: tuple[Literal["minimal", "random"], ...]  #: the first is the main one

    def conditions(self) -> list[Condition]:
        """Return none, A, B and both, for each kind of halves."""
        conditions, (equal_steps, equal_passes) = [], self._recipes()
        for kind in self.halves:
            a, b = HALVES[kind]
            names = (("half-a", a), ("half-b", b))
            trained_on = ("none", "A", "B", BOTH, f"{BOTH}, {AS_MANY_PASSES}")
            named = {name: columns(halves=kind, pretrained_on=name) for name in trained_on}
            conditions += [
                Condition(named["none"], trained=False, names=names),
                Condition(named["A"], labels=a, names=names),
                Condition(named["B"], labels=b, names=names),
                Condition(named[BOTH], names=names, recipe=equal_steps),
                Condition(named[f"{BOTH}, {AS_MANY_PASSES}"], names=names, recipe=equal_passes),
            ]
        return conditions

    def comparisons(self, conditions: Sequence[Condition]) -> list[Comparison]:
        """Compare both halves with each, on the tasks that score it: equal steps, then as many passes."""
        comparisons = []
        for kind in self.halves:
            for both in (BOTH, f"{BOTH}, {AS_MANY_PASSES}"):
                for name, other in (("A", "half-b"), ("B", "half-a")):
                    measured = (task for task in self.tasks if task.measures_transfer)
                    if scored := tuple(task.name for task in measured if task.labels != other):
                        of, against = (columns(halves=kind, pretrained_on=on) for on in (both, name))
                        comparisons.append(Comparison(of, against, scored))
        return comparisons

    def _recipes(self) -> tuple[Recipe, Recipe]:
        """Return the recipes of A + B: of as many steps as a half, and of as many passes over its images."""
        epochs, steps = self.recipe.epochs, self.recipe.steps
        if steps is not None:
            return self.recipe, replace(self.recipe, steps=2 * steps)
        if epochs is None or epochs % 2:
            raise ItlError(
                f"split trains A + B for as many steps as A too, which is half as many epochs; got "
                f"{epochs} epochs; give an even number, or steps"
            )
        return replace(self.recipe, epochs=epochs // 2), self.recipe


class CoarseOrFine(Study):
    """Given the same number of classes: coarse or fine ones?

    The coarse classes are those of a cut of the tree; the fine ones are as many leaves, one from under each
    of them, drawn by seed. Both have the same number of images of each class, and so in total. A third net
    learns the coarse classes from all their images.
    """

    name = "coarse-or-fine"
    cuts: tuple[str, ...]  #: label sets, such as bottom-up@5; the first is the main one
    images_per_class: PositiveInt  #: of each class, coarse or fine

    def conditions(self) -> list[Condition]:
        """Return none, coarse, fine, and coarse with all images, for each cut."""
        conditions = []
        for cut in self.cuts:
            names = ("none", COARSE, FINE, ALL_COARSE)
            none, coarse, fine, every = (columns(cut=cut, pretrained_on=name) for name in names)
            conditions += [
                Condition(none, trained=False),
                Condition(coarse, cut, images_per_class=self.images_per_class),
                Condition(fine, cut, images_per_class=self.images_per_class, leaves=1),
                Condition(every, cut),
            ]
        return conditions

    def comparisons(self, conditions: Sequence[Condition]) -> list[Comparison]:
        """Compare coarse with fine, fine with none, and coarse with all its images with coarse."""
        comparisons = []
        for cut in self.cuts:
            for names in ((COARSE, FINE), (FINE, "none"), (ALL_COARSE, COARSE)):
                of, against = (columns(cut=cut, pretrained_on=name) for name in names)
                comparisons.append(Comparison(of, against))
        return comparisons


def _design(text: str) -> Condition:
    """Make a condition of a design, such as 20 x 50 or all x 25."""
    match = re.fullmatch(r"(all|[1-9]\d*) *[x×] *(?:all|(at most )?([1-9]\d*))", text)
    if match is None:
        raise ItlError(
            f"a design is CLASSES x IMAGES_PER_CLASS, as 500 x 250, 500 x all, all x at most 9; got {text!r}"
        )
    classes, at_most, images = match.groups()
    name = f"{classes} × {at_most or ''}{images or 'all'}"
    count = None if classes == "all" else int(classes)
    of_each = int(images) if images else None
    return Condition(columns(design=name), classes=count, images_per_class=of_each, at_most=bool(at_most))


def _total(designs: Sequence[Condition]) -> int | None:
    """Return the number of images of one budget's *designs*, None where only packs tell; see `Budget`."""
    names = ", ".join(str(value) for design in designs for value in design.values)
    exact = [design for design in designs if not design.at_most]
    sizes = {(design.classes or 0) * (design.images_per_class or 0) for design in exact}
    totals = sorted(sizes - {0})
    if len(totals) > 1:
        raise ItlError(
            f"designs of one budget have one number of images; {names} have {' and '.join(map(str, totals))}"
        )
    if len({design.classes for design in designs}) < 2:
        raise ItlError(f"a budget's fit needs two numbers of classes in each budget, {EXAMPLE}; got {names}")
    return totals[0] if totals else None


DATA_SIZE = "01-data-size"
QUESTIONS: dict[str, type[Study]] = {  # by the notebook that asks it
    DATA_SIZE: DataSize,
    "02-class-count": ClassCount,
    "03-granularity": Granularity,
    "04-budget": Budget,
    "05-overlap": Overlap,
    "06-split": Split,
    "07-coarse-or-fine": CoarseOrFine,
    "08-influence": Influence,
    "09-scores": Scores,
    "10-advice": Advice,
}


def _question_function(study: type[Study]) -> Callable[..., Question]:
    """Return `Study.ask` of *study* as a function whose help is on this question and its parameters."""

    def ask(**settings: Any) -> Question:
        return study.ask(**settings)

    parameters = inspect.signature(study).parameters.values()
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    ask.__signature__ = inspect.Signature(plain, return_annotation="Question")  # type: ignore[attr-defined]
    ask.__name__ = ask.__qualname__ = study.name.replace("-", "_")
    ask.__doc__ = f"{inspect.getdoc(study)}\n\n{inspect.getdoc(Study.ask)}"
    return ask


data_size, class_count, granularity, budget, overlap, split, coarse_or_fine, influence, scores, advice = map(
    _question_function, QUESTIONS.values()
)


def questions_of(preset: "Preset", only: str | None = None) -> list[Question]:
    """Return the questions of *preset* (or the one of notebook *only*), with its parameters.

    Raises:
        ItlError: for parameters that the question does not take or lacks, and for what its notebook could not
            show once all runs are done.
    """
    if only is not None:
        pick(preset.notebooks, only, f"notebook of preset {preset.name}")
    questions = []
    for stem, study in QUESTIONS.items():
        if stem in preset.notebooks and only in (None, stem):
            with errors_about(f"{stem} in preset {preset.name}"):
                questions.append(study.ask(**preset.notebooks[stem]))
                questions[-1].check_comparisons()
    return questions
