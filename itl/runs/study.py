"""The parameters of every question: the pydantic model that validates presets, notebooks and Python calls."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    StrictBool,
    StrictInt,
    ValidationError,
    field_validator,
)

from itl.errors import ItlError, pick
from itl.evaluation.methods import METHODS, main_metric
from itl.hierarchy.label_sets import split_method
from itl.runs.design import NAME, UNTRAINED, Comparison, Condition, Margin, Task
from itl.runs.own_weights import OwnWeights
from itl.runs.question import Question
from itl.settings import plain_error, plain_value, refuse_booleans, spec_of
from itl.sources.registry import SOURCES, reads_files
from itl.specs import DetectionRecipe, Packing, Recipe, hashed_labels, net_name

MIN_SEEDS = 3  # fewer decide nothing
T = TypeVar("T")


def _count(value: object) -> object:
    """Return *value*, a number of images per class; raise ItlError for what is none."""
    if value == "all" or (type(value) is int and value >= 0):
        return value
    raise ItlError(f"images per class are whole numbers from 0, or 'all'; got {value!r}")


def _learning(spec: T, what: str) -> T:
    """Return *spec*; raise ItlError if it is a recipe whose learning rate of 0 trains nothing."""
    if isinstance(spec, Recipe) and 0 in (spec.lr, *spec.lrs):
        raise ItlError(f"{what}: lr should be above 0, not 0: a net would learn nothing")
    return spec


def _tuning(fields: object, method: str) -> Recipe:
    """Return the recipe of *method* on a target; raise ItlError if it trains nothing."""
    kinds = {name: method.recipe for name, method in METHODS.items() if method.recipe}
    recipe = spec_of(pick(kinds, method, "method that trains the net"), fields, f"{method} recipe")
    if not recipe.total_steps(1):
        raise ItlError(
            f"{method} recipe: epochs or steps should be above 0, not 0: a net would learn nothing"
        )
    if isinstance(recipe, DetectionRecipe) and int(recipe.rois * recipe.foreground) < 1:
        raise ItlError(
            f"detection recipe: of {recipe.rois} rois, a foreground of {recipe.foreground:g} leaves none for "
            f"objects; give rois of at least {math.ceil(1 / recipe.foreground)}"
        )
    if method == "actions" and recipe.label_smoothing:
        raise ItlError(
            "actions recipe: several may be done at once, so there is no label_smoothing; leave it out"
        )
    return _learning(recipe, f"{method} recipe")


def _packing(value: object, what: str) -> Packing:
    """Return *value* as a packing; raise ItlError without a source, and for a path that would not be read."""
    if isinstance(value, Mapping) and "source" not in value:
        raise ItlError(f"{what} lacks its source, such as folder; `itl check SOURCE PATH` tries one")
    packing = spec_of(Packing, value, what)
    if packing.path is not None and not reads_files(packing.source):
        raise ItlError(
            f"{what}: source {packing.source} renders its images and reads no files, so not "
            f"{packing.path!r}; leave path out, or name the source of these files, such as folder"
        )
    return packing


def _as_written(default: object) -> object:
    """Return the *default* of a setting as presets write it: a list, a mapping, or what it is.

    >>> _as_written(()), _as_written(None), _as_written(Margin())
    ([], {}, {'share': 0.2})
    """
    if default is None:  # a spec none of whose settings is given
        return {}
    if isinstance(default, Margin):
        return {"share": default.share}
    return list(default) if isinstance(default, tuple) else default


WholeNumber = Annotated[StrictInt, Field(ge=0)]
Seed = Annotated[StrictInt, Field(ge=0, lt=2**32)]
Repeats = Annotated[PositiveInt, Field(le=10_000)]  # nets or fits of one kind
Count = Annotated[int | Literal["all"], BeforeValidator(_count)]


class Study(BaseModel):
    """What every question takes. Presets and notebooks hold it as plain values: a spec as a mapping."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: ClassVar[str]  #: as results show it

    images: Packing  #: what nets are pre-trained on
    targets: dict[str, Packing]  #: what features are evaluated on, by name
    net: Annotated[str, AfterValidator(net_name)]  #: as `itl.training.nets.build` takes it
    tasks: tuple[Annotated[Task, BeforeValidator(Task.read)], ...]  #: the first is the main one
    seeds: tuple[Seed, ...]  #: each condition is pre-trained with each of them
    recipe: Recipe  #: of the pre-training
    tuning: dict[str, Recipe] = {}  #: of each method of tasks that trains on a target
    margin: Margin = Margin()  #: the change that does not matter
    repeats: Repeats = 1  #: fits of each net to each target, which tell apart where noise comes from
    cap: WholeNumber = 0  #: seeds are added until it is decided, to at most so many: the tests allow for that
    leave_out_duplicates: StrictBool = False  #: pre-training images that are test images of a task too
    taxonomy: str = ""  #: the tree of labels: a CSV file or nltk@FOLDER; '': the snapshot
    weights: tuple[Annotated[OwnWeights, BeforeValidator(OwnWeights.read)], ...] = ()  #: more nets

    @classmethod
    def ask(cls, **settings: Any) -> Question:
        """Make the question of plain *settings*, the fields of its class and of `Study`.

        Raises:
            ItlError: for a name that is not known, with the nearest one, for settings that are missing, of
                another type or without a meaning, and for what the question's page could not show.
        """
        for name, value in settings.items():
            annotation = pick(cls.model_fields, name, f"parameter of {cls.name}").annotation
            settings[name] = plain_value(value, f"{name} of {cls.name}")
            refuse_booleans(annotation, settings[name], f"{name} of {cls.name}")
        try:
            return cls(**settings).question()
        except ValidationError as error:
            raise plain_error(error, cls, cls.name) from None

    @field_validator("images", mode="before")
    @classmethod
    def _read_images(cls, value: object) -> Packing:
        return _packing(value, "images")

    @field_validator("recipe", "margin", mode="before")
    @classmethod
    def _read_spec(cls, value: object, info: Any) -> object:
        kind: Any = cls.model_fields[info.field_name].annotation
        return _learning(spec_of(kind, value, info.field_name), info.field_name)

    @field_validator("weights")
    @classmethod
    def _once_each(cls, weights: tuple[OwnWeights, ...]) -> tuple[OwnWeights, ...]:
        first: dict[object, OwnWeights] = {}
        for own in weights:
            same = first.setdefault((own.weights, own.net, own.pixels), own)
            if same is not own:
                raise ItlError(f"the weights {same.name} and {own.name} are the same net; give it once")
        return weights

    @field_validator("targets", "tuning", mode="before")
    @classmethod
    def _read_each(cls, value: object, info: Any) -> object:
        if not isinstance(value, Mapping):
            return value
        if info.field_name == "tuning":
            return {name: _tuning(fields, name) for name, fields in value.items()}
        if "images" in value:
            raise ItlError(
                "a target called images would stand for the images that nets are pre-trained on; call it by "
                "another name, also in tasks"
            )
        if odd := [name for name in value if not NAME.fullmatch(str(name))]:
            raise ItlError(
                f"a target is called by letters, digits, - and _, as tasks name it; got {str(odd[0])!r}: "
                f"call it otherwise"
            )
        return {name: _packing(fields, f"target {name}") for name, fields in value.items()}

    @classmethod
    def plain_defaults(cls) -> dict[str, object]:
        """Return what settings that are left out are, as presets write them."""
        optional = {name: field for name, field in cls.model_fields.items() if not field.is_required()}
        return {name: _as_written(field.default) for name, field in optional.items()}

    @abstractmethod
    def conditions(self) -> list[Condition]:
        """Return what the question varies."""

    def comparisons(self, conditions: Sequence[Condition]) -> list[Comparison]:
        """Return which of *conditions* answer the question, the main comparison first."""
        return first_against_last(conditions)

    def check(self) -> None:
        """Raise ItlError for settings that this question refuses, and others take."""

    def all_tasks(self) -> tuple[Task, ...]:
        """Return the tasks, and those that this question adds."""
        return self.tasks

    def question(self) -> Question:
        """Return the question, checked.

        ItlError if tasks, seeds or values to compare are missing or repeated, a task, margin or cap is not
        allowed, the images have annotated objects, or the recipe trains for no step.
        """
        self.check()
        tasks, example = self.all_tasks(), f"one, such as probe@{next(iter(self.targets), 'images')}"
        for task in self._needed("a task", tasks, example):
            self._check_task(task)
        if not self.tasks[0].measures_transfer:
            raise ItlError(
                f"{self.name} is judged by its first task, and {self.tasks[0].name} measures no transfer; "
                f"put another first, such as probe@{self.tasks[0].target}"
            )
        self._check_margin()
        self._check_counts()
        seeds = self._needed("a seed", self.seeds, "one, such as 0")
        conditions = self._needed("values to compare", self.conditions(), "two or more")
        for condition in conditions:
            split_method(condition.labels)
        if pick(SOURCES, self.images.source, "source").annotates:
            raise ItlError(
                f"images of {self.name} are learned from, one class for each, and those of source "
                f"{self.images.source} have annotated objects instead; give images of another source"
            )
        comparisons = self.comparisons(conditions)
        if self.weights:
            beside = [beside_condition(own, conditions) for own in self.weights]
            comparisons = [*comparisons, *against_everything(beside, conditions)]
            conditions = [*conditions, *beside]
        self._refuse_repeated(conditions, tasks)
        made = Question(
            name=self.name,
            images=self.images,
            targets=tuple(self.targets.items()),
            net=self.net,
            conditions=tuple(conditions),
            tasks=tasks,
            seeds=tuple(seeds),
            recipe=self.recipe,
            tuning=tuple(self.tuning.items()),
            comparisons=tuple(comparisons),
            margin=self.margin,
            taxonomy=self.taxonomy,
            repeats=self.repeats,
            cap=self.cap,
            leave_out_duplicates=self.leave_out_duplicates,
        )
        for condition in conditions:
            for task in tasks:
                split_method(condition.labels_of(task, seed=0))
            if condition.trained != made.pretraining(condition, "", seeds[0]).trained:
                raise ItlError(
                    f"recipe trains for {self.recipe.total_steps(1)} steps; give epochs or steps of at least "
                    f"1 (no pre-training is 0 or none among the values that {self.name} compares)"
                )
        return made

    def _refuse_repeated(self, conditions: Sequence[Condition], tasks: Sequence[Task]) -> None:
        """Raise ItlError where a seed, a task or a value that is compared is given twice."""
        own = [weights.name for weights in {condition.weights for condition in conditions} if weights]
        if twice := [name for name in own if own.count(name) > 1]:
            raise ItlError(
                f"{self.name} has two weights called {twice[0]}; give one of them another "
                f"name, as in {{…, name: {twice[0].partition('.')[0]}-2}}"
            )
        given: dict[str, list[tuple[object, object]]] = {  # as written, and what that means
            "seed": [(seed, seed) for seed in self.seeds],
            "task": [
                (task.name, replace(task, name="", labels=hashed_labels(task.labels))) for task in tasks
            ],
            "value": [(" ".join(map(str, one.values)), _hashed_columns(one)) for one in conditions],
        }
        for what, pairs in given.items():
            for number, (written, meaning) in enumerate(pairs):
                if written in [earlier for earlier, _ in pairs[:number]]:
                    raise ItlError(f"{self.name} needs each {what} once; {written} is given twice")
                if meaning in [earlier for _, earlier in pairs[:number]]:
                    raise ItlError(
                        f"{self.name} needs each {what} once; {written} is another of them, written otherwise"
                    )

    def _needed(self, what: str, values: Sequence, example: str) -> Sequence:
        if not values:
            raise ItlError(f"{self.name} needs {what}, got none; give {example}")
        return values

    def _check_task(self, task: Task) -> None:
        """Raise ItlError for an unknown method or target, a missing recipe, and impossible labels."""
        method = pick(METHODS, task.method, "transfer method")
        packing = pick({"images": self.images, **self.targets}, task.target, f"target of task {task.name!r}")
        annotates = pick(SOURCES, packing.source, "source").annotates
        if annotates != method.annotated:
            kinds = {False: "one class for each image", True: "annotated objects"}
            suited = [name for name, other in METHODS.items() if other.annotated == annotates]
            others = " or ".join(f"{name}@{task.target}" for name in suited)
            raise ItlError(
                f"task {task.name} needs {kinds[method.annotated]}, and source {packing.source} of "
                f"{task.target} has {kinds[annotates]} instead; measure it by {others}"
            )
        self._check_recipe(task, packing)
        if method.annotated and task.labels != "original":
            raise ItlError(
                f"task {task.name} asks for labels {task.labels}, but {task.method} takes objects "
                f"as they are annotated; leave the labels out"
            )

    def _check_margin(self) -> None:
        """Raise ItlError for points of a metric that no task is judged by, and for a share that none is."""
        metrics = dict.fromkeys(main_metric(task.name) for task in self.tasks if task.measures_transfer)
        for metric, points in self.margin.points:
            given = f"margin of {self.name} has {points:g} {'point' if points == 1 else 'points'} of {metric}"
            if metric not in metrics:
                raise ItlError(
                    f"{given}, and no task of this question "
                    f"has {metric}; there is {' and '.join(metrics)}: name that, or leave {metric} out"
                )
        without_points = metrics.keys() - dict(self.margin.points).keys()
        if self.margin.share != Margin.share and not without_points:
            raise ItlError(
                f"margin of {self.name} has a share of {self.margin.share:g}, which no task is judged by: "
                f"points are declared for {' and '.join(metrics)}; leave the share out, or points"
            )

    def _check_counts(self) -> None:
        """Raise ItlError for a cap that decides nothing or is below the seeds, and for repeats of no task."""
        if 0 < self.cap < MIN_SEEDS:
            raise ItlError(
                f"cap of {self.name} should be 0, for a fixed number of seeds, or at least {MIN_SEEDS}, not "
                f"{self.cap}: fewer seeds decide nothing"
            )
        if 0 < self.cap < len(self.seeds):
            raise ItlError(
                f"cap of {self.name} is at most how many seeds there may be, and it is {self.cap} for "
                f"{len(self.seeds)} seeds; give {len(self.seeds)} or more, or 0 for a fixed number of seeds"
            )
        trainers = [name for name, method in METHODS.items() if method.recipe]
        if self.repeats > 1 and not any(task.method in trainers for task in self.tasks):
            raise ItlError(
                f"repeats of {self.name} are trainings of a net on a target, and none of its tasks trains "
                f"there; leave repeats out, or add a task by {' or '.join(trainers)}"
            )

    def _check_recipe(self, task: Task, packing: Packing) -> None:
        """Raise ItlError where *task* has no recipe, or its target, packed as *packing*, does not suit it."""
        if METHODS[task.method].recipe and task.method not in self.tuning:
            given = ", ".join(self.tuning) or "none"
            raise ItlError(f"task {task.name} needs a recipe; tuning has {given}: add {task.method}")
        recipe = self.tuning.get(task.method)
        if not isinstance(recipe, DetectionRecipe):
            return
        if packing.fit != "pad":
            fit = f"{task.target} has fit {packing.fit}"
            raise ItlError(f"task {task.name} needs whole images, and {fit}; give it fit: pad")
        if recipe.regions == "file" and "proposals" not in dict(packing.options):
            raise ItlError(
                f"task {task.name} takes regions from a file, and {task.target} has none; give it the option "
                f"proposals: FILE, or the recipe regions: windows"
            )


def _hashed_columns(condition: Condition) -> list[object]:
    """Return the values that *condition* has in results, label sets in the one spelling that runs have."""
    return [hashed_labels(value) if isinstance(value, str) else value for value in condition.values]


def beside_condition(own: OwnWeights, conditions: Sequence[Condition]) -> Condition:
    """Return the condition of the net with *own* weights: named where the others say no pre-training."""
    like = next((condition for condition in conditions if condition.untrained), conditions[0])
    varied = next((name for name, value in like.columns if value in UNTRAINED), like.columns[0][0])
    columns = tuple((name, own.name if name == varied else value) for name, value in like.columns)
    return Condition(columns, trained=False, names=like.names, weights=own)


def against_everything(beside: Sequence[Condition], conditions: Sequence[Condition]) -> list[Comparison]:
    """Compare each net with own weights with the first that is trained on all there is, or on the most."""

    def limits(condition: Condition) -> tuple[float, ...]:
        numbers = (condition.classes, condition.images_per_class, condition.leaves)
        limited = (condition.labels != "original") + sum(number is not None for number in numbers)
        return limited, *(-(number or math.inf) for number in numbers)

    trained = [condition for condition in conditions if condition.trained]
    if not trained:
        return []
    everything = min(trained, key=limits).columns
    return [Comparison(condition.columns, everything) for condition in beside]


def first_against_last(conditions: Sequence[Condition]) -> list[Comparison]:
    """Compare the first condition that is trained on with the last, and the last with no pre-training."""
    untrained, trained = by_training(conditions)
    comparisons = []
    if len(trained) > 1:
        comparisons.append(Comparison(trained[0].columns, trained[-1].columns))
    if trained:
        comparisons += [Comparison(trained[-1].columns, condition.columns) for condition in untrained]
    return comparisons


def by_training(conditions: Sequence[Condition]) -> tuple[list[Condition], list[Condition]]:
    """Return the conditions without pre-training, and those with."""
    untrained = [condition for condition in conditions if condition.untrained]
    return untrained, [condition for condition in conditions if condition.trained]
