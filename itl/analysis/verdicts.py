"""Verdicts on comparisons: a gain, a loss, the same within a margin declared before, or cannot tell."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from itl.analysis.model import Estimate
from itl.analysis.seeds import level_of
from itl.analysis.statistics import LEVEL, main_first
from itl.analysis.wording import CANNOT_TELL, GAIN, LOSS, SAME, TOO_FEW, signed
from itl.runs.study import MIN_SEEDS

NO_NOISE = "the seeds show no noise at all: identical data, or nets that guess"
DECIDED = (GAIN, LOSS, SAME)
A_CEILING = "a ceiling"
A_FLOOR, CONTROL_FAILS = "a floor", "the control fails"
NO_GAIN = (A_FLOOR, CONTROL_FAILS)  # pre-training itself gives too little

MIN_GAIN = 2.0  # points: a smaller gain from pre-training is no measure for what a condition keeps
CEILING = 95.0  # percent: scores above leave no room for a difference
FLOOR = 20.0  # percent: where scores below gain nothing from pre-training, nothing was learned


@dataclass(frozen=True)
class Evidence:
    """The numbers that one comparison is judged by, all in points."""

    change: Estimate
    margin: float = math.nan  #: within which a change does not matter; nan where none can be said
    p_same: float = math.nan  #: of a change of the margin or more (two one-sided tests)
    control_fault: str = ""  #: why conditions cannot be called the same on this task; '' where they can


@dataclass(frozen=True)
class Verdict:
    """The words for one comparison, and the p values that they follow."""

    word: str
    note: str = ""
    p_adjusted: float = math.nan  #: of no change, adjusted for all comparisons of the question
    p_same_adjusted: float = math.nan  #: of a change of the margin or more, adjusted as *p_adjusted* is


def control_fault(gain: Estimate | None, margin: float, score: float, untrained: float) -> str:
    """Say why a task cannot show that conditions are the same; '' where its positive control passes.

    It can if pre-training itself is a gain beyond noise, of at least twice the margin, and scores are below
    the ceiling: a difference would then have been seen.

    Args:
        gain: of the reference condition over no pre-training; None where one of them is missing, which a
            ceiling does not need.
        margin: points within which a change does not matter.
        score: mean of the reference condition, in percent, as is that of nets *untrained*.
    """
    if ceiling := ceiling_text(max(score, untrained)):
        return ceiling
    if gain is None:
        return "what pre-training gives was not measured"
    needed = max(MIN_GAIN, 2 * margin)  # in this order: a margin that is not known needs no more
    if gain.mean < needed:
        kind = A_FLOOR if score < FLOOR else CONTROL_FAILS
        almost = "just under " if signed(gain.mean) == signed(needed) else ""
        points = f"{almost}{signed(gain.mean)} points"
        return f"{kind}: pre-training itself gives {points}, and {needed:.1f} are needed"
    if gain.n >= MIN_SEEDS and not gain.p < LEVEL:  # of fewer, as in a pilot, only the size is judged
        points = f"{signed(gain.mean)} points"
        return f"{CONTROL_FAILS}: the gain from pre-training, {points}, is not beyond noise"
    return ""


def shows_no_gain(control: object) -> bool:
    """Say whether *control*, as `control_fault` writes it, is that pre-training itself gives too little."""
    return str(control).startswith(NO_GAIN)  # read from a file, '' is nan


def ceiling_text(score: float) -> str:
    """Say that the *score*, in percent, leaves no room for a difference; '' where it does.

    >>> ceiling_text(99.0)
    'a ceiling: scores of 99 % leave no room for a difference'
    """
    return f"{A_CEILING}: scores of {score:.0f} % leave no room for a difference" if score >= CEILING else ""


def judge(family: Sequence[Evidence], cap: int = 0) -> list[Verdict]:
    """Judge the comparisons of one question together, the main one first.

    A change is a gain or a loss if its p value, adjusted among all comparisons, is below 0.05. Two conditions
    are the same if a change of the margin or more is refuted at that level and the task's positive control
    passes. If both hold, the verdict is the same, since a change below the margin does not matter. If seeds
    are added one by one, up to *cap*, p values are also adjusted for the looks at fewer seeds.
    """
    seeds = [evidence.change.n for evidence in family]
    looks = [LEVEL / level_of(n, cap) for n in seeds]
    different = _adjusted([evidence.change.p for evidence in family], looks)
    same = _adjusted([1.0 if evidence.control_fault else evidence.p_same for evidence in family], looks)
    among = [_among(len(family), cap if n <= cap else 0) for n in seeds]
    return [_verdict(*row) for row in zip(family, different, same, among, strict=True)]


def _adjusted(p_values: Sequence[float], factors: Sequence[float]) -> list[float]:
    """Adjust those of *p_values* that are known: by *factors*, then by `main_first`.

    A main comparison that cannot be tested keeps its part of the level, as it is not decided.
    """
    values = np.minimum(np.multiply(p_values, factors), 1.0)
    tested = np.isfinite(values)
    counted = tested | (np.arange(len(values)) == 0)
    values[counted] = main_first(np.where(tested, values, 1.0)[counted].tolist())
    return np.where(tested, values, math.nan).tolist()


def _among(comparisons: int, cap: int) -> str:
    """Say what p values are adjusted for, where that is anything: the comparisons, the looks up to *cap*."""
    counts = [f"{comparisons} comparisons"] if comparisons > 1 else []
    counts += [f"looks at {MIN_SEEDS} to {cap} seeds"] if cap > MIN_SEEDS else []
    return " and ".join(counts)


def _verdict(evidence: Evidence, different: float, same: float, among: str) -> Verdict:
    change = evidence.change
    if change.n < MIN_SEEDS:
        return Verdict(TOO_FEW)
    if not change.testable:
        at_ceiling = evidence.control_fault.startswith(A_CEILING)
        return Verdict(CANNOT_TELL, evidence.control_fault if at_ceiling else NO_NOISE)
    direction = GAIN if change.mean > 0 else LOSS
    if same < LEVEL:
        return Verdict(SAME, f"{direction}, but a small one" if different < LEVEL else "", different, same)
    note = evidence.control_fault
    if different < LEVEL:
        return Verdict(direction, note if shows_no_gain(note) else "", different, same)
    if change.p < LEVEL:
        note = f"a hint of {direction}, not firm among {among}"
    elif not note and evidence.p_same < LEVEL:
        note = f"a hint of the same, not firm among {among}"
    return Verdict(CANNOT_TELL, note, different, same)


def verdicts_by_control(rows: pd.DataFrame) -> pd.Series:
    """Return the verdicts of *rows* of contrasts; where pre-training gives too little, a change is no answer.

    >>> rows = {"verdict": ["a loss", "a loss", "the same"], "control": ["", "a floor", ""]}
    >>> verdicts_by_control(pd.DataFrame(rows)).tolist()
    ['a loss', 'cannot tell', 'the same']
    """
    no_gain = rows["control"].map(shows_no_gain).astype(bool)
    return rows["verdict"].mask(no_gain & rows["verdict"].isin([GAIN, LOSS]), CANNOT_TELL)


def count_text(counts: Mapping[str, int]) -> str:
    """Say how many comparisons have each verdict, decided ones first.

    >>> count_text({"cannot tell": 3, "a loss": 1})
    '1 a loss, 3 cannot tell'
    """
    words = (*DECIDED, CANNOT_TELL, TOO_FEW)
    return ", ".join(f"{counts[word]} {word}" for word in words if counts.get(word))
