"""Where the noise of scores comes from: between nets, between fits of one net, and from a finite test set."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from itl.analysis.comparisons import Answer
from itl.analysis.doubts import sampling_error
from itl.analysis.model import ROUNDING, residual_variance
from itl.analysis.seeds import Minutes, Variances, cheapest, smallest_detectable
from itl.analysis.task_values import comparison_on, main_task, rows_of, task_values, tasks_in_order
from itl.errors import ItlError
from itl.evaluation.methods import METHODS
from itl.machine import Machine
from itl.runs.question import Question
from itl.runs.store import PROVENANCE_FILE, Store
from itl.specs import Spec, Transfer

SEEDS_SHOWN = (3, 5, 10)
NEEDS_TWO = "noise is known from two pre-trained conditions or more; add one"
RUN_FIRST = "run two seeds or more of it first"
NO_NOISE_SEEN = (
    "no noise is seen in so few runs: scores are at a ceiling or in steps of few test images; run more seeds"
)


def variances(question: Question, results: pd.DataFrame, task: str) -> Variances:
    """Estimate the variances of a score on *task*, pooled over pre-trained conditions.

    That between nets is nan for too few runs. If each net was fitted once, the variance between fits is part
    of it.
    """
    data = task_values(question, results, task)
    values = data.values[:, data.trained & data.first_with_its_runs & data.pooled]
    values = values[:, (~pd.isna(values)).sum(axis=0) > 1]  # a condition of one seed tells nothing
    per_seed = float(residual_variance(values[~pd.isna(values).any(axis=1)]))
    rows = rows_of(results, task)
    rows = rows[rows["classes"] > 0]
    names = [name for name, _ in question.conditions[0].columns]
    fits = rows.groupby([*names, "seed"])["value"].agg(["var", "count"])
    repeated = fits[fits["count"] > 1]
    if repeated.empty:
        return Variances(per_seed)
    fit = float((repeated["var"] * (repeated["count"] - 1)).sum() / (repeated["count"] - 1).sum())
    return Variances(max(per_seed - fit * (1 / fits["count"]).mean(), 0.0), fit)  # in this order nan stays


def variance_table(answers: Sequence[Answer], machine: Machine) -> pd.DataFrame:
    """Tabulate the spread of scores of every question and transfer task, in points.

    Returns:
        Columns question, task; between nets and between fits, standard deviations (the latter '' where each
        net was fitted once: it is then part of the former); test set, the standard error that a finite test
        set leaves in an accuracy; and for several numbers of seeds, up to the question's cap, the change of
        the first comparison on the task that they detect four times in five.
    """
    rows = []
    for answer in answers:
        for task in tasks_in_order(answer.question, answer.results, own=False):
            spread = variances(answer.question, answer.results, task)
            detectable = _detectable(answer.question, answer.results, task, spread)
            if all(map(math.isnan, (spread.net, *detectable))):
                continue
            noises = [math.sqrt(spread.net), math.sqrt(spread.fit) or math.nan]
            shown = [*noises, sampling_error(answer, task, machine), *detectable]
            rows.append((answer.question.name, task, *(_points(value) for value in shown)))
    columns = ["question", "task", "between nets", "between fits", "test set"]
    return pd.DataFrame(rows, columns=[*columns, *(f"{seeds} seeds detect" for seeds in SEEDS_SHOWN)])


def _detectable(question: Question, results: pd.DataFrame, task: str, spread: Variances) -> list[float]:
    """Return the smallest detectable change with each of SEEDS_SHOWN; nan where that is not known."""
    try:
        noise, judged, squares = _main_contrast(question, results, task, spread)
    except ItlError:  # what is missing, the main comparison says itself
        return [math.nan] * len(SEEDS_SHOWN)
    fits = question.repeats if METHODS[task.partition("@")[0]].recipe else 1
    variance, cap = noise.of_seed(fits) * squares / 2, question.cap
    return [
        smallest_detectable(variance, seeds, judged, cap) if seeds <= (cap or seeds) else math.nan
        for seeds in SEEDS_SHOWN
    ]


def _points(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1f}"


def designs(
    questions: Sequence[Question], store: Store, machine: Machine, *, detect: float = 0.0, within: float = 0.0
) -> pd.DataFrame:
    """Say how many seeds and repeats each question takes, from the noise and minutes of its finished runs.

    Four times in five, a true change of *detect* points should come out as a gain or a loss, or no change as
    the same within *within* points: give one of the two.

    Returns:
        Columns question, task (the main one), between nets and between fits (standard deviations in points),
        seeds, repeats, hours of all its runs, and note, which says why there is no design.

    Raises:
        ItlError: Both of *detect* and *within* are above 0, or neither is.
    """
    if (detect > 0) == (within > 0):
        raise ItlError(f"give a change to detect or a margin, above 0; got {detect:g} and {within:g}")
    rows: list[dict[str, object]] = []
    for question in questions:
        task = main_task(question)
        row: dict[str, object] = {"question": question.name, "task": task}
        rows.append(row)
        results = question.results_so_far(store, machine)
        if results.empty:
            row["note"] = RUN_FIRST
            continue
        spread = variances(question, results, task)
        row["between nets"] = _points(math.sqrt(spread.net))
        row["between fits"] = _points(math.sqrt(spread.fit) or math.nan)
        aim = {"detect": detect, "within": within}
        try:
            noise, judged, squares = _main_contrast(question, results, task, spread)
            minutes, fixed = _minutes(question, store, machine)
            design = cheapest(
                noise, minutes, judged, **aim, cap=question.cap, squares=squares, fixed_minutes=fixed
            )
            row |= {"seeds": design.seeds, "repeats": design.repeats, "hours": f"{design.minutes / 60:.1f}"}
        except ItlError as error:
            row["note"] = str(error)
    columns = ["question", "task", "between nets", "between fits", "seeds", "repeats", "hours", "note"]
    return pd.DataFrame(rows, columns=columns, dtype=object).fillna("")


def _main_contrast(
    question: Question, results: pd.DataFrame, task: str, spread: Variances
) -> tuple[Variances, int, float]:
    """Return what the error of the first comparison on *task* follows from.

    Conditions that are not pre-trained are not pooled: of a comparison with one, what its differences vary by
    between seeds counts, as in a paired t test of two conditions.

    Args:
        spread: of pre-trained conditions; see `variances`.

    Returns:
        The variances of one condition; how many pre-trained conditions the model pools, those of the very
        same runs once; and the sum of the squared weights of the comparison: 2 for two conditions, less for a
        doubling over many designs.

    Raises:
        ItlError: If the designs or seeds are too few for that, or no noise was seen.
    """
    data = task_values(question, results, task)
    judged, squares = int((data.trained & data.first_with_its_runs & data.pooled).sum()), 2.0
    if main := comparison_on(question, task):
        of, against = data.weights_of(main.of), data.weights_of(main.against)
        weights = of - against
        if np.any(weights[~data.trained]):
            model = data.fit(of, against)
            if model is None or model.n < 2:
                raise ItlError(RUN_FIRST)
            per_seed = model.n * model.estimate(weights).standard_error ** 2 / 2
            spread = replace(spread, net=max(0.0, per_seed - spread.fit / question.repeats))
            judged = 2
        else:
            squares = float(weights @ weights)
    if math.isnan(spread.net):
        raise ItlError(NEEDS_TWO if judged < 2 else RUN_FIRST)
    if math.sqrt(spread.of_seed(1)) <= ROUNDING:
        raise ItlError(NO_NOISE_SEEN)
    return spread, judged, squares


def _minutes(question: Question, store: Store, machine: Machine) -> tuple[Minutes, Minutes]:
    """Estimate the minutes of all runs of one seed, and of those whose conditions have seeds of their own.

    By the mean of the finished nets, and of the finished runs of each task; ItlError where one has none.
    """
    own = {condition.columns for condition in question.conditions if condition.seeds}
    specs: dict[str, dict[Spec, bool]] = {}  # of each task, once: whether of own seeds
    runs = question.runs(machine)
    for run in runs:
        specs.setdefault(run.task, {})[run.spec] = run.columns in own
    seeds = len({run.seed for run in runs if run.columns not in own})
    minutes = np.zeros((2, 2))  # of a seed, and fixed; done once, and in each repeat
    for task, every in specs.items():
        done = [spec for spec in every if store.state(spec) == "done"]
        seconds = [store.read(spec, PROVENANCE_FILE)["seconds"] for spec in done]
        if not seconds:
            raise ItlError(f"no run of {task} is done yet, which would tell its hours; do one of each task")
        fixed = sum(every.values())
        of_runs = np.array([(len(every) - fixed) / seeds, fixed]) * sum(seconds) / len(seconds) / 60
        if any(isinstance(spec, Transfer) and METHODS[spec.method].recipe for spec in every):
            minutes[:, 1] += of_runs / question.repeats
        else:
            minutes[:, 0] += of_runs
    per_seed, fixed_minutes = minutes.tolist()
    return per_seed, fixed_minutes
