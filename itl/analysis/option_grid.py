"""The options × tasks of a question of advice: what is measured, what each takes, and its features."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from itl.analysis.expected_scores import (
    NOISE_BOUND,
    Parameters,
    Points,
    Posterior,
    at_options,
    fit,
    noise_before,
)
from itl.analysis.scored_images import images_of_accuracy, target_pack
from itl.analysis.task_values import task_values
from itl.errors import ItlError
from itl.evaluation.methods import main_metric
from itl.evaluation.scores import similarities
from itl.hierarchy.label_sets import label_set
from itl.hierarchy.taxonomy import Taxonomy
from itl.machine import Machine
from itl.packs.counts import count_images
from itl.packs.paths import packed
from itl.runs.cost import images_of, images_trained_on
from itl.runs.design import Condition, with_seed
from itl.runs.leakage import Leakage
from itl.runs.plan import Plan, plan
from itl.runs.question import Question
from itl.runs.results import changed_sources
from itl.runs.store import PROVENANCE_FILE, Store
from itl.specs import Pretrain

OWN_WEIGHTS_DISTANCE = 3.0  # of nets that others have trained from those of the question, as a feature


@dataclass(frozen=True)
class Grid:
    """Options × tasks: what is measured, the features of each, and what each takes.

    The options have a row for each condition of the question, with the columns option (words), trained, drawn
    (whether the seed draws the classes), one_net (whether it is weights that one has: one net for all seeds),
    images, classes and hours (of one training); where seeds draw classes of other sizes, those of the seed
    with the most.
    """

    tasks: tuple[str, ...]
    options: pd.DataFrame
    features: np.ndarray  #: (tasks, options, F), standardised
    measurements: pd.DataFrame  #: columns task, option (numbers), seed and value (percent)
    task_hours: np.ndarray  #: (tasks,), of measuring one net
    declared_margins: np.ndarray  #: (tasks,), margins that the question declares, else nan
    scored_images: np.ndarray  #: (tasks,), the images that are scored; nan where not known
    effective_images: np.ndarray  #: (tasks,), `ScoredImages.effective` of these
    one_class: np.ndarray  #: (tasks,), `ScoredImages.one_class_score` of these
    seeds: tuple[int, ...]  #: of the question
    nets: frozenset[tuple[int, int]] = frozenset()  #: the option and seed of every net that is trained
    share: float = 0.2  #: the margin as a share of the gain
    leaks: Mapping[str, Leakage] = field(default_factory=dict)  #: by task: scored images that nets have seen

    def points_at(self, task: Sequence[int], option: Sequence[int], seed: Sequence[int]) -> Points:
        """Return the points of tasks, options and seeds of nets (N,)."""
        tasks, options, seeds = np.array(task, int), np.array(option, int), np.array(seed, int)
        drawn = self.options["drawn"].to_numpy(bool)[options]
        return Points(tasks, options, seeds, self.trained[options], drawn, self.features[tasks, options])

    @cached_property
    def trained(self) -> np.ndarray:
        """(options,) of bool, whether they have any pre-training."""
        return self.options["trained"].to_numpy(bool)

    @cached_property
    def data(self) -> tuple[Points, np.ndarray]:
        """The points that are measured, and the value at each."""
        rows = self.measurements
        return self.points_at(rows["task"], rows["option"], rows["seed"]), rows["value"].to_numpy(float)

    def seeds_of(self, option: int) -> tuple[int, ...]:
        """Return the seeds of the nets of *option*."""
        return self.seeds[:1] if self.options["one_net"][option] else self.seeds

    def choices(self, task: int) -> Points:
        """Return every option on *task*, as means over nets."""
        count = len(self.options)
        return at_options(self.points_at([task] * count, range(count), [0] * count))

    @cached_property
    def repeats(self) -> int:
        """How many measurements are of one more net of a pre-trained option on the same task.

        Only these tell the noise between nets from the differences between options.
        """
        return sum(self.repeats_on(task) for task in range(len(self.tasks)))

    def repeats_on(self, task: int) -> int:
        """Return how many of these `repeats` are on *task*."""
        options = self.measurements.loc[self.measurements["task"] == task, "option"].to_numpy(int)
        trained = options[self.trained[options]]
        return len(trained) - len(np.unique(trained))

    def informative_tasks(self, task: int) -> float:
        """Return how many tasks show how much pre-trained options differ: *task*, and parts of others.

        One with results of every pre-trained option counts fully, and one with those of a single option, or
        that is only declared, not at all.
        """
        rows = self.measurements[self.trained[self.measurements["option"].to_numpy(int)]]
        options = rows[rows["task"] != task].groupby("task")["option"].nunique()
        return 1 + float((options - 1).sum() / max(self.trained.sum() - 1, 1))

    @cached_property
    def posterior(self) -> Posterior:
        """What all that is measured says, under the parameters estimated from it."""
        return Posterior(self.fit(), *self.data)

    def with_noise_at_bound(self, task: int) -> Posterior:
        """Return the `posterior` with the noise of *task* as large as it may be: see NOISE_BOUND."""
        parameters = self.posterior.parameters
        factors = parameters.noise_of_task.copy()
        factors[task] += NOISE_BOUND
        return replace(self.posterior, parameters=replace(parameters, noise_of_task=factors))

    def fit(self, start: Parameters | None = None) -> Parameters:
        """Estimate the parameters; the search begins at *start*."""
        points, values = self.data
        noise = noise_before(points.task, values, self.effective_images)
        return fit(points, values, noise, start)

    def with_value(self, task: int, option: int, seed: int, value: float) -> "Grid":
        """Return the grid with one more net measured: its *value* on *task*, in percent."""
        row = pd.DataFrame([(task, option, seed, value)], columns=self.measurements.columns)
        known = pd.concat([self.measurements, row], ignore_index=True) if len(self.measurements) else row
        nets = self.nets | {(option, seed)} if self.trained[option] else self.nets
        return replace(self, measurements=known, nets=nets)

    @cached_property
    def baseline_option(self) -> int:
        """The option of no pre-training."""
        return int(np.flatnonzero(~self.trained)[0])

    @cached_property
    def largest_option(self) -> int:
        """The option with the most images, and the most classes among these."""
        return int(self.options.sort_values(["images", "classes"], kind="stable").index[-1])


def grid_of(
    question: Question, store: Store, machine: Machine, measure: bool = True, command: str = "itl advise"
) -> Grid:
    """Gather what *store* has of *question*, an `itl.runs.task_questions.Advice`, and what options take.

    Hours are from finished runs, or estimates of `itl plan` for *machine* if none is finished. Without
    *measure* nothing is measured for these estimates until a result exists: hours may then be nan. Features
    are the logarithms of images and classes, and how near the classes are to those of the task.

    ItlError if a source has changed since it was packed: the measurements are not of its images.
    """
    if changed := changed_sources([question], machine):
        raise ItlError(
            f"{'; '.join(changed)}; to be advised on what is there now, measure it: `itl run` with the "
            f"preset, or `{command}` with --pilot"
        )
    conditions, tasks = question.conditions, tuple(task.name for task in question.tasks)
    tree, results = question.tree(machine), read_measured(question, store, machine)
    runs = _runs(question, store, machine, plan([question], store, machine, measure or len(results) > 0))
    nets, fits = runs[runs["task"] == "own"], runs[runs["task"] != "own"]
    options = pd.DataFrame(
        {
            "option": [option_text(condition, tree) for condition in conditions],
            "trained": [not condition.untrained for condition in conditions],
            "drawn": ["{seed}" in condition.labels for condition in conditions],
            "one_net": [condition.weights is not None for condition in conditions],
        }
    ).join(_most_of_nets(nets, len(conditions)))
    seconds = fits.groupby(["task", "done"])["seconds"].median().groupby("task").last()  # of done, if any
    margins = dict(question.margin.points)
    scored, effective, one_class = _scored(question, machine)
    return Grid(
        tasks=tasks,
        options=options,
        features=_features(question, options[["images", "classes"]].to_numpy(), machine),
        measurements=results,
        task_hours=seconds[list(tasks)].to_numpy() / 3600,
        declared_margins=np.array([margins.get(main_metric(task), math.nan) for task in tasks]),
        scored_images=scored,
        effective_images=effective,
        one_class=one_class,
        seeds=question.seeds,
        nets=frozenset(nets.loc[nets["done"], ["option", "seed"]].itertuples(index=False, name=None)),
        share=question.margin.share,
        leaks=question.run_leakage(machine).by_task(question.runs(machine)),
    )


def _scored(question: Question, machine: Machine) -> np.ndarray:
    """Return (3, tasks) how many images each task is scored on, and what `Grid` says of them."""
    scored = [images_of_accuracy(question, task.name, machine) for task in question.tasks]
    return np.array([(one.total or math.nan, one.effective, one.one_class_score) for one in scored]).T


def option_text(condition: Condition, tree: Taxonomy) -> str:
    """Name an option for people: the label set with the words of its nodes, and the images of each class.

    >>> dogs = Condition((("label_set", "only@n02084071"), ("images_per_class", 50)), labels="only@n02084071")
    >>> option_text(dogs, Taxonomy.snapshot())
    'only@n02084071 (dog), 50 images per class'
    """
    if condition.untrained:
        return "no pre-training"
    (_, labels), *others = condition.columns
    if condition.weights:
        return str(labels)
    notes = [tree.class_name(node) for node in re.findall(r"\bn\d{8}\b", str(labels)) if node in tree]
    if "{seed}" in str(labels):
        notes.append("other classes for each seed")
    words = f" ({', '.join(notes)})" if notes else ""
    return ", ".join([f"{labels}{words}", *(f"{value} images per class" for _, value in others)])


def read_measured(question: Question, store: Store, machine: Machine) -> pd.DataFrame:
    """Return the main metric of every finished run: columns task, option (numbers), seed and value.

    Existing weights are one net; its value, under the first seed, is the mean over seeds.
    """
    rows: list[tuple[int, int, int, float]] = []
    results = question.results_so_far(store, machine)
    for number, task in enumerate(question.tasks):
        if results.empty or task.name not in set(results["task"]):
            continue
        data = task_values(question, results, task.name)
        for row, option in np.argwhere(np.isfinite(data.values)).tolist():
            rows.append((number, option, data.seeds[row], float(data.values[row, option])))
    values = pd.DataFrame(rows, columns=["task", "option", "seed", "value"])
    one_net = [number for number, condition in enumerate(question.conditions) if condition.weights]
    values.loc[values["option"].isin(one_net), "seed"] = question.seeds[0]
    return values.groupby(["task", "option", "seed"], sort=False, as_index=False)["value"].mean()


def _runs(question: Question, store: Store, machine: Machine, planned: Plan) -> pd.DataFrame:
    """Tabulate the runs: option (number), seed, task, done, and seconds, as they took or are *planned*.

    Nets also have the images and classes that they are trained on, and seen, the images of all their steps.
    """
    minutes = planned.runs["minutes"] if planned.is_measured else planned.runs["minutes"] * math.nan
    estimates = dict(zip(planned.specs, minutes * 60, strict=True))
    number = {condition.columns: row for row, condition in enumerate(question.conditions)}
    counts, rows = count_images(question.images, "images", machine), []
    for run in question.runs(machine):
        done = store.is_done(run.spec)
        seconds = store.read(run.spec, PROVENANCE_FILE)["seconds"] if done else estimates.get(run.spec, 0.0)
        row = {"option": number[run.columns], "seed": run.seed, "task": run.task, "done": done}
        if isinstance(run.spec, Pretrain):
            net = images_of(run.spec, counts, machine)
            seen = images_trained_on(run.spec.recipe, net.n_train)
            row |= {"images": net.n_train, "classes": net.classes, "seen": seen}
        rows.append(row | {"seconds": seconds})
    return pd.DataFrame(rows)


def _most_of_nets(nets: pd.DataFrame, options: int) -> pd.DataFrame:
    """Return the most images, classes and hours that a net of each option takes; 0 where none is trained.

    A training takes the median time of an image in all trainings that are done, times the images of all its
    steps: how busy the machine was while an option was trained says nothing about the option.
    """
    most = nets.groupby("option")[["images", "classes", "seen", "seconds"]].max()
    most = most.reindex(range(options)).fillna(0).astype({"images": int, "classes": int})
    of_an_image = (nets["seconds"] / nets["seen"])[nets["done"] & (nets["seen"] > 0)]
    seconds = of_an_image.median() * most["seen"] if len(of_an_image) else most["seconds"]
    return most[["images", "classes"]].assign(hours=seconds / 3600)


def _features(question: Question, counts: np.ndarray, machine: Machine) -> np.ndarray:
    """Return the features (tasks, options, F), standardised; 0, the mean, stands for what is not known."""
    near = nearness(question, machine)
    sizes = np.log10(np.where(counts > 0, counts, math.nan))
    sizes = np.broadcast_to(sizes, (len(question.tasks), *sizes.shape))
    features = np.concatenate([sizes, near], axis=2)
    flat = pd.DataFrame(features.reshape(-1, features.shape[2]))
    mean, spread = flat.mean().to_numpy(), flat.std(ddof=0).to_numpy()
    scaled = np.where(np.isfinite(features), (features - mean) / np.where(spread > 1e-9, spread, 1.0), 0.0)
    own = [OWN_WEIGHTS_DISTANCE * (condition.weights is not None) for condition in question.conditions]
    own_column = np.broadcast_to(np.array(own)[None, :, None], (*scaled.shape[:2], 1))
    return np.concatenate([scaled, own_column], axis=2)


def nearness(question: Question, machine: Machine) -> np.ndarray:
    """Return how near in the tree the classes of each option lie to those of each task.

    Similarities are Wu and Palmer's (see `itl.evaluation.scores.class_overlap`).

    Returns:
        (tasks, options, 2): the mean over the task's classes of the highest similarity to a class of the
        option; and the mean over the option's classes of the highest similarity to a class of the task; the
        mean over the seeds where these draw the classes. nan where a pack is not built, its classes are not
        in the tree, or the option has no classes of its own.
    """
    values = np.full((len(question.tasks), len(question.conditions), 2), math.nan)
    source = packed(question.images, "images", machine)
    if source is None:
        return values
    tree = question.tree(machine)
    classes = sorted(set(source.table["wnid"]))
    wnids = [name for name in classes if name in tree]
    if not wnids:
        return values
    kept: dict[int, np.ndarray] = {}  # (draws, wnids) of bool
    for number, condition in enumerate(question.conditions):
        if condition.trained:  # halves depend on all classes, those that are not in the tree too
            draws = dict.fromkeys(with_seed(condition.labels, seed) for seed in question.seeds)
            drawn = [label_set(tree, labels, classes).class_of for labels in draws]
            kept[number] = np.array([[wnid in class_of for wnid in wnids] for class_of in drawn])
    for row, task in enumerate(question.tasks):
        pack = source if task.target == "images" else target_pack(question, task.name, machine)
        if pack is None:
            continue
        matrix = np.array(similarities(tree, sorted(set(pack.table["wnid"])), wnids)).reshape(-1, len(wnids))
        for option, masks in kept.items():
            parts = [part for columns in masks if (part := matrix[:, columns]).size]
            if parts:
                values[row, option] = np.mean([(part.max(1).mean(), part.max(0).mean()) for part in parts], 0)
    return values
