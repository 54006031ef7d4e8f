"""Verdicts of made-up evidence at every bound."""

import math
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from itl.analysis.model import Estimate
from itl.analysis.seeds import look_level
from itl.analysis.statistics import LEVEL
from itl.analysis.verdicts import (
    CANNOT_TELL,
    GAIN,
    LOSS,
    SAME,
    TOO_FEW,
    Evidence,
    control_fault,
    judge,
)
from itl.runs.study import MIN_SEEDS

BELOW = 0.999 * LEVEL
NOTHING_GAINED = "the control fails: pre-training itself gives +0.6 points, and 2.0 are needed"


def evidence(
    p: float, p_same: float = 1.0, mean: float = 2.0, n: int = MIN_SEEDS, fault: str = ""
) -> Evidence:
    change = SimpleNamespace(n=n, p=p, mean=mean, testable=True)
    return Evidence(change, margin=2.0, p_same=p_same, control_fault=fault)


@pytest.mark.parametrize(
    ("made", "word", "note"),
    [
        (evidence(BELOW), GAIN, ""),
        (evidence(BELOW, mean=0.5), GAIN, ""),
        (evidence(BELOW, mean=-0.5), LOSS, ""),
        (evidence(LEVEL), CANNOT_TELL, ""),
        (evidence(1.0, BELOW), SAME, ""),
        (evidence(1.0, LEVEL), CANNOT_TELL, ""),
        (evidence(BELOW, BELOW), SAME, "a gain, but a small one"),
        (evidence(LEVEL, BELOW), SAME, ""),
        (evidence(1.0, BELOW, fault="a ceiling"), CANNOT_TELL, "a ceiling"),
        (evidence(BELOW, BELOW, fault="a ceiling"), GAIN, ""),
        (evidence(BELOW, BELOW, fault="what pre-training gives was not measured"), GAIN, ""),
        (evidence(BELOW, BELOW, fault=NOTHING_GAINED), GAIN, NOTHING_GAINED),
        (evidence(BELOW, mean=-0.5, fault="a floor: as low"), LOSS, "a floor: as low"),
        (evidence(BELOW, n=MIN_SEEDS - 1), TOO_FEW, ""),
    ],
)
def test_a_comparison_alone(made, word, note):
    (verdict,) = judge([made])
    assert (verdict.word, verdict.note) == (word, note)


@pytest.mark.parametrize(
    ("second", "note"),
    [
        (evidence(BELOW), "a hint of a gain, not firm among 2 comparisons"),
        (evidence(BELOW, mean=-2.0, fault="a floor"), "a hint of a loss, not firm among 2 comparisons"),
        (evidence(LEVEL), ""),
        (evidence(0.9, BELOW), "a hint of the same, not firm among 2 comparisons"),
        (evidence(0.9, LEVEL), ""),
        (evidence(0.9, BELOW, fault="a floor"), "a floor"),
    ],
)
def test_what_would_pass_alone_is_a_hint_among_two(second, note):
    verdict = judge([evidence(0.9, 0.9), second])[1]
    assert (verdict.word, verdict.note) == (CANNOT_TELL, note)


def test_no_noise_is_said_where_there_are_seeds_enough():
    silent = Evidence(SimpleNamespace(n=MIN_SEEDS, p=float("nan"), mean=2.0, testable=False))
    says = "the seeds show no noise at all: identical data, or nets that guess"
    assert [(verdict.word, verdict.note) for verdict in judge([silent])] == [(CANNOT_TELL, says)]
    ceiling = "a ceiling: scores of 100 % leave no room for a difference"
    (verdict,) = judge([replace(silent, control_fault=ceiling)])
    assert (verdict.word, verdict.note) == (CANNOT_TELL, ceiling)


def test_a_main_comparison_without_noise_leaves_the_others_their_fifth_of_the_level():
    """Its four fifths go to them once it is decided, and it is not."""
    silent = Evidence(SimpleNamespace(n=MIN_SEEDS, p=float("nan"), mean=2.0, testable=False))
    main, second, _, third = judge([silent, evidence(0.002), silent, evidence(0.03)])
    assert math.isnan(main.p_adjusted)
    assert [second.p_adjusted, third.p_adjusted] == pytest.approx([2 * 0.002 / 0.2, 0.03 / 0.2])


@pytest.mark.parametrize(("seeds", "cap"), [(MIN_SEEDS, 5), (4, 5), (5, 5)])
def test_looks_at_fewer_seeds_count_up_to_the_cap(seeds, cap):
    (verdict,) = judge([evidence(0.001, n=seeds)], cap)
    assert verdict.p_adjusted == pytest.approx(0.001 * LEVEL / look_level(seeds, cap))
    assert verdict.p_adjusted > 0.001
    (verdict,) = judge([evidence(0.9, n=seeds)], cap)
    assert verdict.p_adjusted == 1.0


def test_one_look_at_as_many_seeds_as_the_cap_is_no_stricter():
    for cap in (0, MIN_SEEDS):
        (verdict,) = judge([evidence(0.0499, n=MIN_SEEDS)], cap)
        assert (verdict.word, verdict.p_adjusted) == (GAIN, 0.0499)


def test_a_hint_among_looks_says_so():
    hint = evidence(0.03, n=4)
    assert judge([hint], 5)[0].note == "a hint of a gain, not firm among looks at 3 to 5 seeds"
    assert judge([evidence(0.9, 0.03, n=4)], 5)[0].note.startswith("a hint of the same, not firm among looks")
    among = "not firm among 2 comparisons and looks at 3 to 5 seeds"
    assert [row.note for row in judge([hint, hint], 5)] == [f"a hint of a gain, {among}"] * 2
    beyond = [evidence(0.9, n=6), evidence(0.03, n=6)]  # as if there were no cap
    assert judge(beyond, 5)[1].note == "a hint of a gain, not firm among 2 comparisons"


def test_beyond_the_cap_and_without_one_there_was_one_look():
    for cap in (0, 5):
        (verdict,) = judge([evidence(0.001, n=6)], cap)
        assert verdict.p_adjusted == 0.001


def test_a_ceiling_is_said_where_nothing_is_without_pre_training():
    fault = control_fault(None, math.nan, score=100.0, untrained=0.0)
    assert fault == "a ceiling: scores of 100 % leave no room for a difference"
    assert control_fault(None, math.nan, 90.0, 0.0) == "what pre-training gives was not measured"
    constant = Estimate(mean=0.0, standard_error=0.0, df=4, n=MIN_SEEDS)
    (verdict,) = judge([Evidence(constant, control_fault=fault)])
    assert (verdict.word, verdict.note) == (CANNOT_TELL, fault)


@pytest.mark.parametrize(
    ("gain", "score", "untrained", "says"),
    [
        (10.0, 95.0, 40.0, "a ceiling: scores of 95 % leave no room for a difference"),
        (10.0, 40.0, 95.0, "a ceiling: scores of 95 % leave no room for a difference"),
        (10.0, 94.9, 40.0, ""),
        (2.0, 50.0, 40.0, ""),
        (1.9, 20.0, 19.0, r"the control fails: pre-training itself gives \+1.9 points, and 2.0 are needed"),
        (
            1.96,
            20.0,
            18.0,
            r"the control fails: pre-training itself gives just under \+2.0 points, and 2.0 are needed",
        ),
        (1.9, 19.9, 18.0, r"a floor: pre-training itself gives \+1.9 points, and 2.0 are needed"),
    ],
)
def test_a_control_needs_room_on_both_sides(gain, score, untrained, says):
    known = SimpleNamespace(mean=gain, n=MIN_SEEDS, p=0.0)
    fault = control_fault(known, margin=1.0, score=score, untrained=untrained)
    assert re.fullmatch(says, fault)
