"""The study: which runs each question needs, and what can be said from their results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from inspect import signature
from types import MappingProxyType
from typing import get_origin

import pandas as pd

from itl import ItlError, pick
from itl.config import Detection, Packing, Recipe, Subset, spec_of
from itl.labels import in_order
from itl.question import Condition, Question, Task
from itl.settings import Preset
from itl.statistics import Contrast, mean_interval, paired

TUNED = {"finetune": Recipe, "actions": Recipe, "detection": Detection}     # methods that train the net
METHODS = dict.fromkeys(("probe", "knn", "induction", *TUNED))
GIVEN = ("chance", "recall")                # metrics that the target gives, to read the others by
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
    return question("data-size", conditions, seeds=seeds or ([within["seed"]] if subset else []), **shared)


def fields_of(subset: Subset | Mapping) -> dict[str, object]:
    """Return the fields of *subset* that are given; ItlError for one that subsets do not have."""
    if isinstance(subset, Subset):
        return asdict(subset)
    spec_of(Subset, {"pack": "", **subset}, "subset")
    return dict(subset)


def granularity(*, label_sets: Sequence, **shared) -> Question:
    """Ask how fine labels must be: all images under each of *label_sets*, methods of `itl labels`.

    They go from coarse to fine; `none` is the net without pre-training. *shared* is what every question
    takes: see `question`.
    """
    for name in label_sets:
        if name != "none":
            in_order(str(name))
    untrained = {"images_per_class": 1, "trained": False}       # it needs only its classes, so one of each
    conditions = [
        Condition((("label_set", name),), **(untrained if name == "none" else {"labels": name}))
        for name in label_sets
    ]
    return question("granularity", conditions, **shared)


def question(
    name: str, conditions: Sequence[Condition], *, images: Mapping, targets: Mapping, net: str,
    tasks: Sequence[str], seeds: Sequence[int], recipe: Mapping, tuning: Mapping,
) -> Question:
    """Make a question of plain values, as notebooks hold them.

    *images* and each of *targets* are fields of Packing, *recipe* of Recipe; *tuning* has the recipe of each
    method that trains the net: fields of Recipe or, for detection, of Detection. A task is METHOD@TARGET, see
    `Task`. Raises ItlError for a name that is not there, with the near miss.
    """
    tasks = [Task.read(task) for task in tasks]
    for task in tasks:
        pick(METHODS, task.method, "transfer method")
        if task.method in TUNED and task.method not in tuning:
            there = ", ".join(tuning) or "none"
            raise ItlError(f"task {task.name} needs a recipe; tuning has {there}: add {task.method}")
        pick({"images": images, **targets}, task.target, f"target of task {task.name!r}")
        if task.labels != "original" and task.method in ("actions", "detection"):
            raise ItlError(f"task {task.name} asks for labels {task.labels}, but {task.method} takes objects "
                           f"as they are annotated; leave the labels out")
    if not conditions or not seeds or len(set(seeds)) < len(seeds):
        raise ItlError(f"{name} needs values, and no seed twice; got {len(conditions)} and {seeds}")
    return Question(
        name=name,
        images=spec_of(Packing, images, "images"),
        targets=tuple((each, spec_of(Packing, told, f"target {each}")) for each, told in targets.items()),
        net=net,
        conditions=tuple(conditions),
        tasks=tuple(tasks),
        seeds=tuple(seeds),
        recipe=spec_of(Recipe, recipe, "recipe"),
        tuning=tuple((method, spec_of(pick(TUNED, method, "method that trains the net"), told,
                                      f"{method} recipe")) for method, told in tuning.items()),
    )


def _count(value: object) -> int | None:
    """Images per class as a subset takes it; the untrained net needs only its classes, so one of each."""
    if value == "all":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value or 1
    raise ItlError(f"images per class are whole numbers from 0, or 'all'; got {value!r}")


DATA_SIZE = "01-data-size"
QUESTIONS = {                               # by the notebook that asks it
    DATA_SIZE: data_size,
    "03-granularity": granularity,
}


def questions_of(preset: Preset, only: str | None = None) -> list[Question]:
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


def summary(
    results: pd.DataFrame, rows: str = "task", columns: str = "images_per_class", metric: str | None = None
) -> pd.DataFrame:
    """Tabulate mean ± half the 95 % t interval over seeds, and n; all metrics where *metric* is None."""
    chosen = results if metric is None else results.query("metric == @metric")
    index = [rows] if metric else [rows, "metric"]
    groups = chosen.groupby([*index, columns], sort=False)["value"]
    table = groups.agg(_mean_and_half).unstack(columns)[list(dict.fromkeys(chosen[columns]))].fillna("")
    counts = groups.size().groupby(index, sort=False).agg(["min", "max"])
    table["n"] = [f"{low}" if low == high else f"{low} to {high}" for low, high in counts.to_numpy()]
    return table


def _mean_and_half(values: pd.Series) -> str:
    mean, low, high = mean_interval(values.tolist())
    return f"{mean:.1f}" + (f" ± {(high - low) / 2:.1f}" if len(values) > 1 else "")


def contrast(
    results: pd.DataFrame, *, task: str, metric: str, of: Mapping[str, object], against: Mapping[str, object]
) -> Contrast:
    """Compare *metric* under one condition with another, paired by seed: of − against, with its verdict."""
    pick(dict.fromkeys(results["task"]), task, "task in these results")
    rows = results[(results["task"] == task) & (results["metric"] == metric)]
    one, other = (_by_seed(rows, condition, metric) for condition in (of, against))
    shared = [seed for seed in one if seed in other]
    if not shared:
        raise ItlError(f"no seed has {metric} of {task} for {dict(of)} and {dict(against)}; run both first")
    return paired([one[seed] for seed in shared], [other[seed] for seed in shared])


def _by_seed(rows: pd.DataFrame, condition: Mapping[str, object], metric: str) -> dict[int, float]:
    for column, value in condition.items():
        rows = rows[rows[column] == value]
    return dict(zip(rows["seed"], rows["value"], strict=True))


def beside_paper(results: pd.DataFrame, name: str) -> pd.DataFrame:
    """Put a change that the paper published on question *name* beside the same change of ours, on every task.

    The same change is that from our largest condition to the one whose share of it is nearest to the paper's:
    500 of 1000 images per class beside 100 of 200. With one condition only there is none.
    """
    published = pd.read_csv(files("itl") / "paper.csv").query("question == @name")
    rows = []
    for paper in published.itertuples():
        compared = _compared(paper.of, paper.against, paper.column)
        rows.append(("paper", compared, paper.task, paper.metric, signed(paper.value), paper.where))
        sizes = _sizes(results, paper.column)
        against = max(sizes, key=sizes.get)
        of = min(sizes, key=lambda value: abs(sizes[value] / sizes[against] - paper.of / paper.against))
        pair = {"of": {paper.column: of}, "against": {paper.column: against}}
        both = zip(results["task"], results["metric"], strict=True) if of != against else ()
        for task, metric in dict.fromkeys(each for each in both if each[1] not in GIVEN):
            ours = contrast(results, task=task, metric=metric, **pair)
            change = f"{signed(ours.mean)} ({signed(ours.low)} to {signed(ours.high)})"
            rows.append(("ours", _compared(of, against, paper.column), task, metric, change, ours.verdict))
    return pd.DataFrame(rows, columns=["whose", "compared", "task", "metric", "change", "source or verdict"])


def _sizes(results: pd.DataFrame, column: str) -> dict[object, float]:
    """Map each condition that was trained on to its number; all is what a class has on average."""
    sizes = {value: value for value in set(results[column]) if not isinstance(value, str) and value > 0}
    every = results[results[column] == "all"]
    return sizes | ({"all": (every["images"] / every["classes"]).iloc[0]} if len(every) else {})


def _compared(of: object, against: object, column: str) -> str:
    return f"{of} instead of {against} {column.replace('_', ' ')}"


def signed(value: float) -> str:
    """Write a change in points with its sign."""
    return f"{value:+.1f}".replace("-", "−")
