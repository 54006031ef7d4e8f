"""The comparisons that answer a question, computed from its results and judged together."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from itl.analysis.findings import findings, our_comparison
from itl.analysis.model import Estimate, TaskModel
from itl.analysis.origins import Origins, mixed, origins
from itl.analysis.task_values import (
    CHANCE,
    DOUBLINGS,
    TaskValues,
    is_chance,
    is_doubling,
    main_task,
    rows_by_condition,
    task_values,
    tasks_in_order,
)
from itl.analysis.verdicts import Evidence, control_fault, judge
from itl.analysis.wording import (
    comparison_text,
    interval,
    p_text,
    percent_interval,
    signed,
    sizes_text,
    verdict_text,
)
from itl.errors import ItlError
from itl.evaluation.methods import main_metric
from itl.machine import Machine
from itl.presets import Preset
from itl.runs.design import Columns, Comparison, Condition
from itl.runs.leakage import Leakage
from itl.runs.question import Question
from itl.runs.questions import questions_of
from itl.runs.store import Store
from itl.runs.task_questions import RANKED

LESS_OWN = ", less the change on own classes"
COLUMNS = [
    *("question", "compared", "sizes", "task", "metric"),
    *("share", "share_low", "share_high", "change", "low", "high"),
    *("n", "margin", "gain", "gain_low", "gain_high", "p", "p_adjusted", "p_same", "p_same_adjusted"),
    *("standard_error", "df", "unequal", "control", "mixed", "cap"),
    *("verdict", "note"),
]


@dataclass(frozen=True)
class Answer:
    """A question with its numbers: the frame of results, and the contrasts made from it."""

    question: Question
    results: pd.DataFrame
    contrasts: pd.DataFrame

    @property
    def main(self) -> pd.Series:
        """The main comparison on the first task; ItlError where nothing is compared."""
        if self.contrasts.empty:
            raise ItlError(f"{self.question.name} has nothing to compare; give two values or more")
        return self.contrasts.iloc[0]

    def contrasts_of(self, comparison: Comparison, beside_own: bool = False) -> pd.DataFrame:
        """Return the rows of *comparison*, one a task; with *beside_own* less that on own classes."""
        compared = comparison_text(dict(comparison.of), dict(comparison.against))
        compared += LESS_OWN if beside_own else ""
        return self.contrasts[self.contrasts["compared"] == compared]


@dataclass(frozen=True)
class Contrast:
    """One comparison on one task, before it is judged among the others."""

    compared: str
    task: str
    metric: str
    evidence: Evidence
    sizes: str = ""  #: classes and images that the nets of both conditions were trained on, where they differ
    share: tuple[float, float, float] = (math.nan, math.nan, math.nan)  #: of the gain kept, with its interval
    gain: Estimate | None = None  #: of the reference condition over no pre-training
    unequal: bool = False  #: one of the conditions spreads more than the others
    runs: frozenset[str] = frozenset()  #: keys of the runs that the change rests on
    gain_runs: frozenset[str] = frozenset()  #: of the gain: share, margin and control rest on them


def answer(question: Question, store: Store, machine: Machine) -> Answer:
    """Read the results of *question* and contrast them, for pages, CSV files and summaries alike."""
    return answer_of(question, question.results(store, machine), origins(question, store, machine), machine)


def answer_of(question: Question, results: pd.DataFrame, made: Origins, machine: Machine) -> Answer:
    """Contrast the *results* of *question*, whose runs have the origins *made*."""
    leaks = question.run_leakage(machine).by_task(question.runs(machine))
    return Answer(question, results, contrasts(question, results, made, leaks))


def answers(preset: Preset, store: Store, machine: Machine) -> list[Answer]:
    """Answer every question of *preset*."""
    return [answer(question, store, machine) for question in questions_of(preset)]


def contrasts(
    question: Question,
    results: pd.DataFrame,
    made: Origins = MappingProxyType({}),
    leaks: Mapping[str, Leakage] = MappingProxyType({}),
) -> pd.DataFrame:
    """Tabulate the comparisons of *question* on every task that has results for them, the main one first.

    Each task that measures transfer is judged by its main metric, and by one model of all its runs
    (`itl.analysis.model`). The main comparison has a row on its first task, with its part of the error rate,
    even where others alone have results yet.
    Comparisons that the paper has a finding on belong to the same family. Accuracies on nets' own classes
    are compared only where both conditions have the same classes.

    Returns:
        One row a comparison and task. Columns: question, compared, sizes (the numbers of classes and images
        in which it differs, as text), task, metric; share of the gain from pre-training that the first
        condition keeps of the second's (95 %, Fieller); change in points (95 %); n seeds; margin in points
        within which a change does not matter; gain from pre-training; p of no
        change, and p_same of a change of the margin or more, both also adjusted for all rows
        (`itl.analysis.statistics.main_first`); standard_error and df of the change; unequal (whether a
        condition spreads more than the others); control (why conditions cannot be called the same on this
        task, or ''); mixed (what differs between the origins *made* of the runs, those of the gain too, or
        ''); cap (of the question's seeds, or 0); verdict; and note, which also says what *leaks*, by task,
        nets have seen.
    """
    results = _of_question(question, results)
    table = tabulate(question, _compare_all(question, results), made)
    for index, task in table["task"].items():
        if (leak := leaks.get(task)) and leak.matters:
            those = "the target's other splits have" if leak.only_own else "nets have seen"
            text = f"{those} {leak.scored:,} of the {leak.images:,} {leak.split} images"
            table.loc[index, "note"] = "; ".join(filter(None, [table["note"][index], text]))
    return table


def _of_question(question: Question, results: pd.DataFrame) -> pd.DataFrame:
    """Return the *results* of *question* among those of several; ItlError if conditions are not its own."""
    if results.empty:
        return results
    if "question" in results:
        results = results[results["question"] == question.name]
    own = {condition.columns for condition in question.conditions}
    conditions = rows_by_condition(results, question.conditions).keys()
    if not (conditions and conditions <= own):
        which = "no row" if own.isdisjoint(conditions) else "not every row"
        raise ItlError(
            f"{which} of these results is of a condition of {question.name}; take them from its method "
            f"results: a CSV file does not tell numbers from words"
        )
    return results


def _compare_all(question: Question, results: pd.DataFrame) -> list[Contrast]:
    """Make every comparison on every task; the first has a row on the main task even without results of it.

    None is made where nothing can be compared yet.
    """
    data = {task: task_values(question, results, task) for task in tasks_in_order(question, results)}
    rows: list[Contrast] = []
    for comparison, beside_own in _pairs(question, results):
        of, against = comparison.of, comparison.against
        wanted = [task for task in comparison.tasks or data if task in data]
        if not _same_classes(question, of, against):
            wanted = [task for task in wanted if task != "own"]
        by_task = {task: row for task in wanted if (row := compare(question, data[task], of, against))}
        if not rows:
            main = main_task(question)
            by_task = {main: _not_measured(main, of, against)} | by_task
        rows += _less_own(by_task) if beside_own else by_task.values()
    return rows if any(row.evidence.change.n for row in rows) else []


def _pairs(question: Question, results: pd.DataFrame) -> Iterable[tuple[Comparison, bool]]:
    """List the comparisons declared and of the paper's findings, and whether less that on own classes."""
    pairs = [(comparison, False) for comparison in question.comparisons]
    for finding in findings(question.name):
        if comparison := our_comparison(finding, question, results):
            pairs.append((comparison, finding.beside_own))
    return dict.fromkeys(pairs)


def compare(question: Question, data: TaskValues, of: Columns, against: Columns) -> Contrast | None:
    """Compare two conditions on one task: of − against; None where no seed has both.

    The margin is a share of the gain of the reference, which is the second condition. If that is not
    pre-trained, the reference is the second of the main comparison, or if that is not either, the first
    condition. For doublings it is the mean over all designs. Its gain is over no pre-training, even against
    chance.
    """
    first, second = data.weights_of(of), data.weights_of(against)
    untrained = data.weights_of_baseline(of if is_chance(against) else against)
    model = data.fit(first, second)
    if model is None:
        return None
    against_trained = not np.any(second[~data.trained])
    fitted = is_doubling(of)
    reference = data.trained / data.trained.sum() if fitted else second
    if not against_trained:
        main = next((comparison.against for comparison in question.comparisons), None)
        trained = [condition.columns for condition in data.conditions if condition.trained]
        reference = data.weights_of(main) if main in trained else first
    change = model.estimate(first - second)
    added = reference - untrained  # by pre-training
    is_known = untrained.any() and np.isfinite(model.means[np.flatnonzero(added)]).all()
    gain = model.estimate(added) if is_known else None
    share = (math.nan,) * 3
    if gain is not None and gain.mean > 0 and against_trained and not fitted:
        share = model.ratio(first - untrained, second - untrained)
    margin, p = _margin(question, data.metric, model, first - second, added, gain)
    scores = (float(np.nansum(side * model.means)) for side in (reference, untrained))
    evidence = Evidence(change, margin, p, control_fault(gain, margin, *scores))
    used = (first != 0) | (second != 0)
    unequal, runs, gain_runs = bool(model.unequal[used].any()), data.runs_of(used), data.runs_of(added)
    compared = comparison_text(dict(of), dict(against))
    sizes = "" if fitted else sizes_text(*(data.sizes[side == 1][0] for side in (first, second)))
    return Contrast(compared, data.task, data.metric, evidence, sizes, share, gain, unequal, runs, gain_runs)


def _not_measured(task: str, of: Columns, against: Columns) -> Contrast:
    change = Estimate(math.nan, math.nan, math.nan, 0)
    return Contrast(comparison_text(dict(of), dict(against)), task, main_metric(task), Evidence(change))


def _margin(
    question: Question,
    metric: str,
    model: TaskModel,
    change: np.ndarray,
    gain: np.ndarray,
    known: Estimate | None,
) -> tuple[float, float]:
    """Return the margin in points, and the p value of a change of as much or more; nan where none is known.

    A margin that is a share of the gain is as uncertain as the gain, which the test of the contrasts
    share · gain ± change (by their weights) counts in.
    """
    points = dict(question.margin.points).get(metric)
    if points is not None:
        return points, max(model.estimate(sign * change).p_above(-points) for sign in (1, -1))
    if known is None or known.mean <= 0:
        return math.nan, math.nan
    share = question.margin.share
    ends = (model.estimate(share * gain + sign * change) for sign in (1, -1))
    return share * known.mean, max(end.p_above(0.0) for end in ends)


def _less_own(by_task: Mapping[str, Contrast]) -> list[Contrast]:
    """Contrast the change on each transfer task with that on nets' own classes: a contrast of contrasts.

    The two are taken as independent; nets that are good at both make the true error smaller.
    """
    own, rows = by_task.get("own"), []
    for task, row in by_task.items():
        if own is None or task == "own":
            continue
        changes = row.evidence.change, own.evidence.change
        squares = np.array([change.standard_error for change in changes]) ** 2
        noisy, dfs = squares > 0, np.array([change.df for change in changes])  # own classes may all be right
        df = squares.sum() ** 2 / (squares**2 / dfs)[noisy].sum() if noisy.any() else math.nan
        mean, n = changes[0].mean - changes[1].mean, min(change.n for change in changes)
        evidence = Evidence(Estimate(mean, math.sqrt(squares.sum()), df, n))
        runs = row.runs | own.runs
        rows.append(Contrast(row.compared + LESS_OWN, task, row.metric, evidence, row.sizes, runs=runs))
    return rows


def _same_classes(question: Question, of: Columns, against: Columns) -> bool:
    """Whether the nets of two conditions are trained on the same classes of their own."""
    own = {
        condition.columns: (condition.labels, condition.classes, condition.leaves)
        for condition in question.conditions
    }
    return of in own and own[of] == own.get(against)


def tabulate(
    question: Question, rows: Sequence[Contrast], made: Origins = MappingProxyType({})
) -> pd.DataFrame:
    """Judge *rows* of *question* together; see `contrasts`."""
    records = []
    for row, verdict in zip(rows, judge([row.evidence for row in rows], question.cap), strict=True):
        evidence, change = row.evidence, row.evidence.change
        record = {
            "question": question.name,
            "compared": row.compared,
            "sizes": row.sizes,
            "task": row.task,
            "metric": row.metric,
            "change": change.mean,
            "n": change.n,
            "margin": evidence.margin,
            "p": change.p,
            "p_adjusted": verdict.p_adjusted,
            "p_same": evidence.p_same,
            "p_same_adjusted": verdict.p_same_adjusted,
            "standard_error": change.standard_error,
            "df": change.df,
            "unequal": row.unequal,
            "control": evidence.control_fault,
            "mixed": mixed(row.runs | row.gain_runs, made),
            "cap": question.cap,
            "verdict": verdict.word,
            "note": verdict.note,
        }
        record["share"], record["share_low"], record["share_high"] = row.share
        record["low"], record["high"] = change.interval()
        if row.gain:
            record["gain"] = row.gain.mean
            record["gain_low"], record["gain_high"] = row.gain.interval()
        records.append(record)
    return pd.DataFrame(records, columns=COLUMNS)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Write the table of `contrasts` for people: intervals as text, points to a tenth, p to a thousandth."""
    columns = {
        "share of the gain kept": [
            percent_interval(row.share, row.share_low, row.share_high) for row in table.itertuples()
        ],
        "change": table["change"].map(signed),
        "95 % interval": [interval(row.low, row.high) for row in table.itertuples()],
        "n": table["n"],
        "margin": table["margin"].map("±{:.1f}".format),
        "p of a change": table["p_adjusted"].map(p_text),
        "p of equivalence": table["p_same_adjusted"].where(table["margin"].notna()).map(p_text),
        "verdict": [verdict_text(row) for _, row in table.iterrows()],
    }
    flags = [_flags(row) for row in table.itertuples()]
    if any(flags):
        columns["flags"] = flags
    return table[["question", "compared", "task", "metric"]].assign(**columns).replace("±nan", "")


def _flags(row: Any) -> str:
    """Say what speaks against a row of contrasts beside its verdict; '' for nothing."""
    flags = {
        "unequal spreads": row.unequal,
        f"results of {row.mixed}": row.mixed,
        "no share: the gain may be 0": math.isnan(row.share_low) and not math.isnan(row.share),
    }
    return ", ".join(flag for flag, applies in flags.items() if applies)


def every_contrast(answers: Sequence[Answer]) -> pd.DataFrame:
    """Join the contrasts of *answers*; those of each question were judged among themselves."""
    return pd.concat([answer.contrasts for answer in answers], ignore_index=True)


def main_contrasts(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Return the main comparison of each question in *contrasts* that a comparison answers.

    Influence, scores and advice are answered by a ranking; influence also has the comparison of its trial.
    """
    return contrasts[~contrasts["question"].isin(RANKED)].groupby("question", sort=False).head(1)


def exchange(question: Question, results: pd.DataFrame) -> pd.DataFrame:
    """Say how many doublings of images per class one doubling of classes is worth, on every transfer task.

    Returns:
        Columns task, metric (its main one), the points that each doubling gives, ratio (classes over images)
        with low and high, its 95 % interval (Fieller; nan where images may give nothing), and n seeds.
    """
    rows = []
    for task in tasks_in_order(question, results, own=False):
        data = task_values(question, results, task)
        classes, images = (data.weights_of((("design", which),)) for which in DOUBLINGS)
        model = data.fit(classes, images)
        if model is not None:
            means = model.estimate(classes).mean, model.estimate(images).mean
            rows.append((task, data.metric, *means, *model.ratio(classes, images), model.n))
    return pd.DataFrame(rows, columns=["task", "metric", *DOUBLINGS, "ratio", "low", "high", "n"])


def baselines(question: Question, results: pd.DataFrame, task: str) -> pd.DataFrame:
    """Contrast each condition of *question* with no pre-training and with chance on *task*, an induction.

    By linear probe and 5 neighbours, with the columns of `contrasts`. *results* hold chance for every run.
    The main comparison is that of the first pre-trained condition, which has the coarsest labels. Gain,
    margin and control are those of pre-training in every row, also in those against chance.
    """
    rows = []
    for metric in ("accuracy", "knn5"):
        data = task_values(question, results, task, metric)
        chance = task_values(question, results, task, "chance")
        pairs = zip(question.conditions, chance.values.T, strict=True)
        for condition, level in sorted(pairs, key=lambda pair: pair[0].untrained):
            rows += _above(question, data, condition, level)
    return tabulate(question, rows)


def _above(question: Question, data: TaskValues, condition: Condition, chance: np.ndarray) -> list[Contrast]:
    """Contrast *condition* with the untrained net, if it is another, and with *chance* (seeds,)."""
    columns = tuple((name, CHANCE) for name, _ in condition.columns)
    level = Condition(columns, trained=False)
    values = np.column_stack([data.values, chance])
    sizes, runs = np.vstack([data.sizes, [math.nan, math.nan]]), (*data.runs, frozenset())
    beside = replace(data, conditions=(*data.conditions, level), values=values, sizes=sizes, runs=runs)
    untrained = [other.columns for other in data.conditions if other.untrained and not condition.untrained]
    made = [compare(question, beside, condition.columns, against) for against in (*untrained, columns)]
    return [row for row in made if row]
