"""The study: which runs each question needs, and which of them are compared."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from inspect import signature
from types import MappingProxyType
from typing import TYPE_CHECKING, get_origin

from itl import ItlError, pick
from itl.evaluation.methods import METHODS
from itl.hierarchy.label_sets import split_method
from itl.runs.question import Comparison, Condition, Margin, Question, Task
from itl.specs import Packing, Recipe, Subset, spec_of

if TYPE_CHECKING:  # reading one takes pydantic, which a bare GPU machine lacks
    from itl.presets import Preset

HALVES = {
    "minimal": ("half-minimal-a", "half-minimal-b"),
    "random": ("half-random-a@{seed}", "half-random-b@{seed}"),
}
IMAGES_DOUBLED, CLASSES_DOUBLED = "twice the images of each class", "twice the classes"
EXAMPLE = "each with two designs or more, such as [['20 x 50', '10 x 100'], ['20 x 25', '10 x 50']]"
TYPE_WORDS = {str: "text", Sequence: "a list", Mapping: "a mapping"}


def data_size(
    *, images_per_class: Sequence = (), seeds: Sequence = (), subset: Mapping = MappingProxyType({}), **shared
) -> Question:
    """Ask how many images per class are enough.

    Args:
        images_per_class: numbers to compare; "all" keeps every image, 0 is the net without pre-training.
            Left out, it is that of *subset*.
        seeds: as for every question. Left out, it is that of *subset*.
        subset: a Subset, or some fields of one: under which labels and of which classes.
        **shared: what every question takes, see `question`.

    Raises:
        ItlError: for a single number, which leaves nothing to compare, and as `question`.
    """
    if len(images_per_class) == 1:
        raise ItlError(
            f"data-size compares numbers of images; got images_per_class {list(images_per_class)}; give two "
            f"or more, or leave it out and give subset"
        )
    given = {name: value for name, value in fields_of(subset).items() if value is not None}
    counts = images_per_class or ([given.get("images_per_class", "all")] if subset else [])
    seeds = seeds or ([given.get("seed", 0)] if subset else [])
    labels, classes = given.get("labels", "original"), given.get("classes")
    conditions = []
    for count in counts:
        columns = (("images_per_class", count),)
        conditions.append(Condition(columns, labels, classes, _images_per_class(count), trained=count != 0))
    return question("data-size", conditions, first_against_last(conditions), seeds=seeds, **shared)


def fields_of(subset: Subset | Mapping) -> dict[str, object]:
    """Return the fields of *subset* that are given; raises ItlError for one that subsets do not have."""
    if isinstance(subset, Subset):
        return asdict(subset)
    spec_of(Subset, {"pack": "", **subset}, "subset")
    return dict(subset)


def class_count(*, label_sets: Sequence, **shared) -> Question:
    """Ask how many classes are enough: the same images under each of *label_sets*.

    Args:
        label_sets: methods of `itl labels`, from few classes to many; "none" is the net without pre-training.
        **shared: what every question takes, see `question`.
    """
    conditions = _label_sets(label_sets)
    return question("class-count", conditions, first_against_last(conditions), **shared)


def granularity(*, label_sets: Sequence, tasks: Sequence[str], **shared) -> Question:
    """Ask how fine labels must be: all images under each of *label_sets*.

    The coarsest are compared with the finest, and with no pre-training.

    Args:
        label_sets: as `class_count` takes them, from coarse to fine: "none" and at least two others.
        tasks: as `question` takes them; the first by a method that scores inner nodes of the tree.
        **shared: what every question takes, see `question`.

    Raises:
        ItlError: for label sets and a first task that leave one of these comparisons out, and as `question`.
    """
    conditions = _label_sets(label_sets)
    untrained, trained = _by_training(conditions)
    if not untrained or len(trained) < 2:
        raise ItlError(
            f"granularity compares none, coarse and fine label sets; got label_sets {list(label_sets)}; give "
            f"none and two others, such as none, bottom-up@5 and original"
        )
    suitable = [name for name, method in METHODS.items() if method.nodes]
    first = Task.read(tasks[0]) if tasks else None
    if first and first.method in METHODS and first.method not in suitable:
        example = first.name.replace(first.method, suitable[0], 1)
        raise ItlError(
            f"granularity looks at inner nodes of the tree on its first task; got {first.name}, and "
            f"{first.method} scores none; put a task of {' or '.join(suitable)} first, such as {example}"
        )
    comparisons = first_against_last(conditions)
    comparisons[1:1] = [Comparison(trained[0].columns, condition.columns) for condition in untrained]
    return question("granularity", conditions, comparisons, tasks=tasks, **shared)


def budget(*, budgets: Sequence, **shared) -> Question:
    """Ask whether a fixed number of images should be of more classes, or more of each class.

    What twice the classes and twice the images of each give is fitted over all designs: see
    `itl.analysis.comparisons.doublings`. Each seed draws its own classes.

    Args:
        budgets: for each number of images a list of designs, as texts CLASSES x IMAGES_PER_CLASS such as
            "500 x 250" or "all x 125".
        **shared: what every question takes, see `question`.

    Raises:
        ItlError: for designs that the fit cannot be made of, and as `question`.
    """
    if len(budgets) < 2 or any(len(designs) < 2 for designs in budgets):
        raise ItlError(f"a budget's fit needs two numbers of images or more, {EXAMPLE}; got {budgets}")
    conditions, totals = [], []
    for designs in budgets:
        made = [_design(str(text)) for text in designs]
        sizes = [(design.classes, design.images_per_class) for design in made]
        known = {classes * images for classes, images in sizes if classes and images}
        if len(known) > 1:
            raise ItlError(
                f"designs of one budget have one number of images; {', '.join(designs)} have "
                f"{' and '.join(map(str, sorted(known)))}"
            )
        if len({condition.classes for condition in made}) < 2:
            raise ItlError(
                f"a budget's fit needs two numbers of classes in each budget, {EXAMPLE}; got {designs}"
            )
        conditions += made
        totals.append(known)
    if all(totals) and len(set.union(*totals)) == 1:
        raise ItlError(
            f"a budget's fit needs two numbers of images or more; all designs have {totals[0].pop()}; give a "
            f"budget with another number"
        )
    doubled = Comparison((("design", IMAGES_DOUBLED),), (("design", CLASSES_DOUBLED),))
    return question("budget", conditions, [doubled], **shared)


def overlap(**shared) -> Question:
    """Ask whether the pre-training classes must include PASCAL's: without them, and without as many others.

    The control leaves out equally many classes by chance, none of them PASCAL's: what it loses is what fewer
    classes and images cost. *shared* is what every question takes, see `question`.
    """
    labels = {
        "all classes": "original",
        "without as many others": "without-random@{seed}",
        "without PASCAL's": "without-pascal",
    }
    conditions = [Condition((("pretrained_on", "none"),), trained=False)]
    conditions += [Condition((("pretrained_on", name),), labels=method) for name, method in labels.items()]
    none, everything, control, removed = (condition.columns for condition in conditions)
    pairs = [(removed, control), (removed, everything), (control, everything), (everything, none)]
    return question("overlap", conditions, [Comparison(*pair) for pair in pairs], **shared)


def split(*, halves: Sequence, tasks: Sequence[str], **shared) -> Question:
    """Ask whether adding images of *other* classes always helps: half A alone, B alone, and both together.

    Both together are compared with A on tasks that score A, with B on tasks that score B, and with either on
    all other tasks.

    Args:
        halves: kinds of halves, minimal or random.
        tasks: as `question` takes them. The labels half-a and half-b stand for the classes of the halves, as
            in probe@images/half-a.
        **shared: what every question takes, see `question`.
    """
    tasks_of_a = tuple(task for task in tasks if "/half-b" not in str(task))
    tasks_of_b = tuple(task for task in tasks if "/half-a" not in str(task))
    conditions, comparisons = [], []
    for kind in halves:
        a, b = pick(HALVES, str(kind), "kind of halves")
        names = (("half-a", a), ("half-b", b))
        columns = {name: (("halves", kind), ("pretrained_on", name)) for name in ("none", "A", "B", "A + B")}
        conditions += [
            Condition(columns["none"], trained=False, names=names),
            Condition(columns["A"], labels=a, names=names),
            Condition(columns["B"], labels=b, names=names),
            Condition(columns["A + B"], names=names),
        ]
        for name, scored in (("A", tasks_of_a), ("B", tasks_of_b)):
            if scored:
                comparisons.append(Comparison(columns["A + B"], columns[name], scored))
    return question("split", conditions, comparisons, tasks=tasks, **shared)


def first_against_last(conditions: Sequence[Condition]) -> list[Comparison]:
    """Compare the first condition that is trained on with the last, and the last with no pre-training."""
    untrained, trained = _by_training(conditions)
    comparisons = []
    if len(trained) > 1:
        comparisons.append(Comparison(trained[0].columns, trained[-1].columns))
    if trained:
        comparisons += [Comparison(trained[-1].columns, condition.columns) for condition in untrained]
    return comparisons


def _by_training(conditions: Sequence[Condition]) -> tuple[list[Condition], list[Condition]]:
    """Return the conditions without pre-training, and those with."""
    untrained = [condition for condition in conditions if not condition.trained]
    return untrained, [condition for condition in conditions if condition.trained]


def _label_sets(names: Sequence) -> list[Condition]:
    """Make a condition of each label method, and of "none" the net without pre-training."""
    conditions = []
    for name in names:
        if name == "none":
            conditions.append(Condition((("label_set", name),), trained=False))
        else:
            split_method(str(name))
            conditions.append(Condition((("label_set", name),), labels=name))
    return conditions


def _design(text: str) -> Condition:
    """Make a condition of a design, such as 20 x 50 or all x 25."""
    match = re.fullmatch(r"(all|[1-9]\d*) *[x×] *(all|[1-9]\d*)", text)
    if match is None:
        raise ItlError(f"a design is CLASSES x IMAGES_PER_CLASS, as 500 x 250 or all x 125; got {text!r}")
    classes, images = (None if part == "all" else int(part) for part in match.groups())
    name = " × ".join(match.groups())
    return Condition((("design", name),), classes=classes, images_per_class=images)


def question(
    name: str,
    conditions: Sequence[Condition],
    comparisons: Sequence[Comparison],
    *,
    images: Mapping,
    targets: Mapping,
    net: str,
    tasks: Sequence[str],
    seeds: Sequence[int],
    recipe: Mapping,
    tuning: Mapping,
    margin: Mapping = MappingProxyType({}),
) -> Question:
    """Make a question of plain values, as notebooks hold them.

    Args:
        name: as results show it.
        conditions: what the question varies.
        comparisons: of these conditions, the main one first.
        images: fields of Packing: what nets are pre-trained on.
        targets: for each target its fields of Packing, by name.
        net: as `itl.training.nets.build` takes it.
        tasks: texts METHOD@TARGET, see `Task`; the first is the main one.
        seeds: each condition is pre-trained with each of them.
        recipe: fields of Recipe, of the pre-training.
        tuning: for each method that trains on a target the fields of its recipe.
        margin: fields of Margin: the change that does not matter; by default a fifth of the gain.

    Raises:
        ItlError: for a name that is not there, with the nearest one, and for settings without a meaning.
    """
    if not tasks:
        raise ItlError(
            f"{name} needs a task, got none; give one, such as probe@{next(iter(targets), 'images')}"
        )
    tasks = [Task.read(task) for task in tasks]
    for task in tasks:
        _check_task(task, {"images": images, **targets}, tuning)
    packings = {target: spec_of(Packing, fields, f"target {target}") for target, fields in targets.items()}
    made = Question(
        name=name,
        images=spec_of(Packing, images, "images"),
        targets=tuple(packings.items()),
        net=net,
        conditions=tuple(conditions),
        tasks=tuple(tasks),
        seeds=tuple(seeds),
        recipe=spec_of(Recipe, recipe, "recipe"),
        tuning=tuple((method, _tuning_recipe(method, fields)) for method, fields in tuning.items()),
        comparisons=tuple(comparisons),
        margin=spec_of(Margin, margin, "margin"),
    )
    _check_conditions(made)
    return made


def _tuning_recipe(method: str, fields: Mapping[str, object]) -> Recipe:
    """Make the recipe of *method*, one that trains on a target."""
    kinds = {name: entry.recipe for name, entry in METHODS.items() if entry.recipe}
    return spec_of(pick(kinds, method, "method that trains the net"), fields, f"{method} recipe")


def _check_conditions(question: Question) -> None:
    """Raise ItlError for no values, repeated ones, unknown labels, and a recipe that trains nothing."""
    name, conditions, seeds = question.name, question.conditions, question.seeds
    if not conditions or not seeds or len(set(seeds)) < len(seeds):
        raise ItlError(f"{name} needs values, and no seed twice; got {len(conditions)} and {list(seeds)}")
    if not all(type(seed) is int for seed in seeds):
        raise ItlError(f"seeds are whole numbers; got {list(seeds)}; give some such as 0, 1, 2")
    if len({condition.columns for condition in conditions}) < len(conditions):
        values = [" ".join(str(value) for _, value in condition.columns) for condition in conditions]
        raise ItlError(f"{name} needs different values; got {', '.join(values)}; give each once")
    for condition in conditions:
        for task in question.tasks:
            split_method(condition.labels_of(task, seed=0))
        if condition.trained != question.pretraining(condition, "", seeds[0]).trained:
            raise ItlError(
                f"recipe trains for {question.recipe.total_steps(1)} steps; give epochs or steps of at least "
                f"1 (the net without pre-training is 0 or none among the values that {name} compares)"
            )


def _check_task(task: Task, targets: Mapping[str, object], tuning: Mapping[str, object]) -> None:
    """Raise ItlError for an unknown method or target, a missing recipe, and labels that cannot be taken."""
    method = pick(METHODS, task.method, "transfer method")
    if method.recipe and task.method not in tuning:
        given = ", ".join(tuning) or "none"
        raise ItlError(f"task {task.name} needs a recipe; tuning has {given}: add {task.method}")
    pick(targets, task.target, f"target of task {task.name!r}")
    if method.annotated and task.labels != "original":
        raise ItlError(
            f"task {task.name} asks for labels {task.labels}, but {task.method} takes objects "
            f"as they are annotated; leave the labels out"
        )


def _images_per_class(value: object) -> int | None:
    """Return *value* as a subset takes it: None for "all", and for 0, where nothing is trained."""
    if value == "all":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value or None
    raise ItlError(f"images per class are whole numbers from 0, or 'all'; got {value!r}")


DATA_SIZE = "01-data-size"
QUESTIONS = {  # by the notebook that asks it
    DATA_SIZE: data_size,
    "02-class-count": class_count,
    "03-granularity": granularity,
    "04-budget": budget,
    "05-overlap": overlap,
    "06-split": split,
}


def questions_of(preset: "Preset", only: str | None = None) -> list[Question]:
    """Return the questions of *preset* (or the one of notebook *only*), with its parameters.

    Raises:
        ItlError: for parameters that the question does not take or lacks, and for what its notebook could not
            show once all runs are done.
    """
    if only is not None:
        pick(preset.notebooks, only, f"notebook of preset {preset.name}")
    questions = []
    for stem, ask in QUESTIONS.items():
        if stem in preset.notebooks and only in (None, stem):
            where = f"{stem} in preset {preset.name}"
            _check_settings(preset.notebooks[stem], ask, where)
            questions.append(ask(**preset.notebooks[stem]))
            if not questions[-1].comparisons:
                raise ItlError(f"{where} has nothing to compare; give its question two values or more")
    return questions


def _check_settings(given: Mapping[str, object], ask: Callable, where: str) -> None:
    """Raise ItlError for unknown settings, those of another type, and missing ones."""
    parameters = {**signature(ask).parameters, **signature(question).parameters}
    parameters = {name: entry for name, entry in parameters.items() if entry.kind is entry.KEYWORD_ONLY}
    for name, value in given.items():
        annotation = pick(parameters, name, f"parameter of {where}").annotation
        wanted = get_origin(annotation) or annotation
        if not isinstance(value, wanted) or (isinstance(value, str) and wanted is not str):
            raise ItlError(f"{name} of {where} should be {TYPE_WORDS[wanted]}, not {value!r}")
    needed = [name for name, entry in parameters.items() if entry.default is entry.empty]
    if missing := [name for name in needed if name not in given]:
        raise ItlError(f"{where} lacks {len(missing)} of {len(needed)} parameters; add {', '.join(missing)}")
