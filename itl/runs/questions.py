"""The study: which runs each question needs, and which of them are held against each other."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from inspect import signature
from types import MappingProxyType
from typing import TYPE_CHECKING, get_origin

from itl import ItlError, pick
from itl.hierarchy.label_sets import in_order
from itl.runs.question import Comparison, Condition, Question, Task
from itl.specs import DetectionRecipe, Packing, Recipe, Subset, spec_of

if TYPE_CHECKING:  # reading one takes pydantic, which a bare GPU machine lacks
    from itl.presets import Preset

TUNED = {"finetune": Recipe, "actions": Recipe, "detection": DetectionRecipe}  # methods that train the net
METHODS = dict.fromkeys(("probe", "knn", "induction", *TUNED))
HALVES = {
    "minimal": ("half-minimal-a", "half-minimal-b"),
    "random": ("half-random-a@{seed}", "half-random-b@{seed}"),
}
IMAGES_DOUBLED, CLASSES_DOUBLED = "twice the images of each class", "twice the classes"
PLAIN = {str: "text", Sequence: "a list", Mapping: "a mapping"}


def data_size(
    *, images_per_class: Sequence = (), seeds: Sequence = (), subset: Mapping = MappingProxyType({}), **shared
) -> Question:
    """Ask how many images per class are enough: `all` keeps every one, 0 is the net without pre-training.

    *subset* (a Subset, or some fields of one) says under which labels and of which classes; where
    *images_per_class* or *seeds* are not given, its own are taken. The images are those of *shared*, which is
    what every question takes: see `question`.
    """
    within = {"images_per_class": "all", "seed": 0}
    within |= {name: value for name, value in fields_of(subset).items() if value is not None}
    counts = images_per_class or ([within["images_per_class"]] if subset else [])
    kept = {name: within[name] for name in ("labels", "classes") if name in within}
    conditions = [
        Condition((("images_per_class", count),), images_per_class=_count(count), trained=count != 0, **kept)
        for count in counts
    ]
    seeds = seeds or ([within["seed"]] if subset else [])
    return question("data-size", conditions, ends(conditions), seeds=seeds, **shared)


def fields_of(subset: Subset | Mapping) -> dict[str, object]:
    """Return the fields of *subset* that are given; ItlError for one that subsets do not have."""
    if isinstance(subset, Subset):
        return asdict(subset)
    spec_of(Subset, {"pack": "", **subset}, "subset")
    return dict(subset)


def class_count(*, label_sets: Sequence, **shared) -> Question:
    """Ask how many classes are enough: the same images under each of *label_sets*, from few classes to many.

    They are methods of `itl labels`, bottom-up@L and top-down@R; `none` is the net without pre-training.
    *shared* is what every question takes: see `question`.
    """
    conditions = _label_sets(label_sets)
    return question("class-count", conditions, ends(conditions), **shared)


def granularity(*, label_sets: Sequence, **shared) -> Question:
    """Ask how fine labels must be: all images under each of *label_sets*, as `class_count` takes them.

    The coarsest are held against the finest, and against no pre-training. *shared*: see `question`.
    """
    conditions = _label_sets(label_sets)
    comparisons = ends(conditions)
    untrained, trained = _by_training(conditions)
    if len(trained) > 1:
        comparisons[1:1] = [Comparison(trained[0].columns, none.columns) for none in untrained]
    return question("granularity", conditions, comparisons, **shared)


def budget(*, budgets: Sequence, **shared) -> Question:
    """Ask whether a fixed number of images should be of more classes, or more of each class.

    *budgets* has a list of designs for each number of images, as texts CLASSES x IMAGES_PER_CLASS such as
    "500 x 250", or "all x 125"; each seed picks its own classes. What is compared is what twice the classes
    and twice the images of each give, fitted over all designs: see
    `itl.analysis.comparisons.doublings`. *shared*: see `question`. Raises ItlError where the designs of a
    budget differ in their images, or there is only one.
    """
    if len(budgets) < 2 or any(len(designs) < 2 for designs in budgets):
        raise ItlError(
            f"a budget's fit needs two numbers of images or more, each with two designs or more, "
            f"such as [['20 x 50', '10 x 100'], ['20 x 25', '10 x 50']]; got {budgets}"
        )
    conditions = [_design(str(text)) for designs in budgets for text in designs]
    for designs in budgets:
        made = [(each.classes, each.images_per_class) for each in map(_design, map(str, designs))]
        totals = {count * images for count, images in made if count and images}
        if len(totals) > 1:
            raise ItlError(
                f"designs of one budget have one number of images; {', '.join(designs)} have "
                f"{' and '.join(map(str, sorted(totals)))}"
            )
    doubled = Comparison((("design", IMAGES_DOUBLED),), (("design", CLASSES_DOUBLED),))
    return question("budget", conditions, [doubled], **shared)


def overlap(**shared) -> Question:
    """Ask whether the pre-training classes must include PASCAL's: without them, and without as many others.

    The control leaves out equally many classes by chance, none of them PASCAL's, so that what it loses is
    what fewer classes and images cost. *shared* is what every question takes: see `question`.
    """
    labels = {
        "all classes": "original",
        "without as many others": "without-random@{seed}",
        "without PASCAL's": "without-pascal",
    }
    conditions = [Condition((("pretrained_on", "none"),), trained=False)]
    conditions += [Condition((("pretrained_on", name),), labels=method) for name, method in labels.items()]
    none, everything, control, removed = (each.columns for each in conditions)
    pairs = [(removed, control), (removed, everything), (control, everything), (everything, none)]
    return question("overlap", conditions, [Comparison(*pair) for pair in pairs], **shared)


def split(*, halves: Sequence, **shared) -> Question:
    """Ask whether adding images of *other* classes always helps: half A alone, B alone, and both together.

    *halves* are kinds of halves, minimal or random. In a task, the labels half-a and half-b stand for the
    classes of the halves, as in probe@images/half-a. Both together are held against A where A is scored, and
    against B where B is; on other targets against either. *shared*: see `question`.
    """
    conditions, comparisons = [], []
    tasks = {
        name: [task for task in shared.get("tasks", ()) if f"/half-{other}" not in str(task)]
        for name, other in (("A", "b"), ("B", "a"))
    }
    for kind in halves:
        a, b = pick(HALVES, str(kind), "kind of halves")
        labels = {"none": "original", "A": a, "B": b, "A + B": "original"}
        columns = {name: (("halves", kind), ("pretrained_on", name)) for name in labels}
        conditions += [
            Condition(
                columns[name], labels=method, trained=name != "none", names=(("half-a", a), ("half-b", b))
            )
            for name, method in labels.items()
        ]
        comparisons += [Comparison(columns["A + B"], columns[name], tuple(tasks[name])) for name in tasks]
    return question("split", conditions, comparisons, **shared)


def ends(conditions: Sequence[Condition]) -> list[Comparison]:
    """Hold the first condition that is trained on against the last, and the last against no pre-training."""
    untrained, trained = _by_training(conditions)
    outer = [Comparison(trained[0].columns, trained[-1].columns)] if len(trained) > 1 else []
    return outer + [Comparison(trained[-1].columns, none.columns) for none in untrained if trained]


def _by_training(conditions: Sequence[Condition]) -> tuple[list[Condition], list[Condition]]:
    return tuple([each for each in conditions if each.trained == trained] for trained in (False, True))


def _label_sets(names: Sequence) -> list[Condition]:
    """A condition for each of these label methods, or the net without pre-training."""
    for name in names:
        if name != "none":
            in_order(str(name))
    return [
        Condition((("label_set", name),), "original" if name == "none" else name, trained=name != "none")
        for name in names
    ]


def _design(text: str) -> Condition:
    """Read a design, such as 20 x 50 or all x 25."""
    found = re.fullmatch(r"(all|[1-9]\d*) *[x×] *(all|[1-9]\d*)", text)
    if found is None:
        raise ItlError(f"a design is CLASSES x IMAGES_PER_CLASS, as 500 x 250 or all x 125; got {text!r}")
    classes, images = (None if part == "all" else int(part) for part in found.groups())
    name = " × ".join(found.groups())
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
) -> Question:
    """Make a question of plain values, as notebooks hold them.

    *images* and each of *targets* are fields of Packing, *recipe* of Recipe; *tuning* has the recipe of each
    method that trains the net: fields of Recipe or, for detection, of DetectionRecipe. A task is
    METHOD@TARGET, see `Task`. Raises ItlError for a name that is not there, with the near miss.
    """
    tasks = [Task.read(task) for task in tasks]
    for task in tasks:
        pick(METHODS, task.method, "transfer method")
        if task.method in TUNED and task.method not in tuning:
            there = ", ".join(tuning) or "none"
            raise ItlError(f"task {task.name} needs a recipe; tuning has {there}: add {task.method}")
        pick({"images": images, **targets}, task.target, f"target of task {task.name!r}")
        if task.labels != "original" and task.method in ("actions", "detection"):
            raise ItlError(
                f"task {task.name} asks for labels {task.labels}, but {task.method} takes objects "
                f"as they are annotated; leave the labels out"
            )
        for condition in conditions:
            in_order(condition.labels_of(task, seed=0))
    if not conditions or not seeds or len(set(seeds)) < len(seeds):
        raise ItlError(f"{name} needs values, and no seed twice; got {len(conditions)} and {seeds}")
    asked = Question(
        name=name,
        images=spec_of(Packing, images, "images"),
        targets=tuple((each, spec_of(Packing, told, f"target {each}")) for each, told in targets.items()),
        net=net,
        conditions=tuple(conditions),
        tasks=tuple(tasks),
        seeds=tuple(seeds),
        recipe=spec_of(Recipe, recipe, "recipe"),
        tuning=tuple(
            (method, spec_of(pick(TUNED, method, "method that trains the net"), told, f"{method} recipe"))
            for method, told in tuning.items()
        ),
        comparisons=tuple(comparisons),
    )
    for condition in asked.conditions:
        if condition.trained != asked.pretraining(condition, "", seeds[0]).trained:
            raise ItlError(
                f"recipe trains for {asked.recipe.total_steps(1)} steps; give epochs or steps of at least 1 (the "
                f"net without pre-training is 0 or none among the values that {name} compares)"
            )
    return asked


def _count(value: object) -> int | None:
    """Return images per class as a subset takes it: None for all, and for 0, where nothing is trained."""
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
    """List the questions of *preset* (or the one of notebook *only*), with its parameters."""
    if only is not None:
        pick(preset.notebooks, only, f"notebook of preset {preset.name}")
    asked = [stem for stem in QUESTIONS if stem in preset.notebooks and only in (None, stem)]
    for stem in asked:
        _check_settings(preset.notebooks[stem], QUESTIONS[stem], f"{stem} in preset {preset.name}")
    return [QUESTIONS[stem](**preset.notebooks[stem]) for stem in asked]


def _check_settings(given: Mapping[str, object], ask: Callable, where: str) -> None:
    """Refuse settings that the question does not take, of another type, and too few of them."""
    takes = {**signature(ask).parameters, **signature(question).parameters}
    takes = {name: each for name, each in takes.items() if each.kind is each.KEYWORD_ONLY}
    for name, value in given.items():
        wanted = pick(takes, name, f"parameter of {where}").annotation
        wanted = get_origin(wanted) or wanted
        if not isinstance(value, wanted) or (isinstance(value, str) and wanted is not str):
            raise ItlError(f"{name} of {where} should be {PLAIN[wanted]}, not {value!r}")
    needed = [name for name, each in takes.items() if each.default is each.empty]
    if missing := [name for name in needed if name not in given]:
        raise ItlError(f"{where} lacks {len(missing)} of {len(needed)} parameters; add {', '.join(missing)}")
