"""The goals for a GPU: each is judged by the figure it names, and the table can be pasted."""

import json

import pytest

from itl.bench.table import ROWS
from tests.gpu import check, goals

STEP = {"rates": {"itl": 41_000.0, "alone": 42_000.0}, "ratio": 0.976, "reached": 0.13}


def line(row: str, figure: str, table: list[dict[str, str]]) -> dict[str, str]:
    """The line of *table* on that figure, which is named by its unit."""
    (judged,) = [line for line in table if line["row"] == row and line["unit"] == figure]
    return judged


@pytest.mark.parametrize(
    ("row", "unit", "measured", "figure", "met"),
    [
        ("crop", "of the copy's rate", {"reached": 0.0544}, "5.44 %", "not met"),
        ("crop", "of the copy's rate", {"reached": 0.6}, "60 %", "met"),
        ("knn", "of the product's rate", {"reached": 0.142}, "14.2 %", "not met"),
        ("step-resnet18-112", "images/s", STEP, "41,000", "met"),
        ("step-resnet18-112", "images/s", {"rates": {"itl": 36_080}}, "36,080", "not met, below the range"),
        ("step-resnet18-112", "images/s", {"rates": {"itl": 50_000}}, "50,000", "met, above the range"),
        ("step-resnet18-112", "of the net on a ready batch", STEP, "97.6 %", "met"),
        ("step-alexnet-112", "images/s", {"rates": {"itl": 70_305}}, "70,305", "not met, below the range"),
        ("step-small-56", "images/s", {"rates": {"itl": 64_688}}, "64,688", "below the range"),
        ("step-small-56", "of the net on a ready batch", {"ratio": 0.949}, "94.9 %", "not met"),
        ("step-detection-600", "images/s", {"rates": {"itl": 247}}, "247", ""),
        ("four-small-56", "times one alone", {"ratio": 2.4}, "2.4", "met"),
    ],
)
def test_a_figure_is_judged_by_its_goal(row, unit, measured, figure, met):
    judged = line(row, unit, goals.compare({row: measured}, {}, {}))
    assert (judged["figure"], judged["met"]) == (figure, met)


@pytest.mark.parametrize(
    ("row", "measured", "figure", "goal", "met"),
    [
        ("paper-128", 11.58, "11.6", "≤ 12", "met"),
        ("paper-128", 14.0, "14", "≤ 12", "not met"),
        ("paper", 142.1, "142", "", ""),
        ("demo", 0.7, "0.7", "≤ 1", "met"),
    ],
)
def test_hours_and_the_demo_are_judged_too(row, measured, figure, goal, met):
    (judged,) = goals.compare({}, {row: measured}, {})
    assert (judged["figure"], judged["goal"], judged["met"]) == (figure, goal, met)


def test_what_has_no_figure_says_why_and_what_nobody_asked_for_is_left_out():
    rows = {"knn": {"failed": "RuntimeError: a | b"}}
    table = goals.compare(rows, {}, {"probe": "OUT OF TIME", "paper-128": "skipped: pydantic not installed"})
    assert {line["row"]: line["met"] for line in table} == {
        "knn": "RuntimeError: a | b",
        "probe": "OUT OF TIME",
        "paper-128": "skipped: pydantic not installed",
    }
    head, rule, *lines = goals.markdown(table)
    assert {text.count("|") for text in (head, rule, *lines)} == {len(goals.COLUMNS) + 1}
    assert "| RuntimeError: a / b |" in lines[0]
    json.dumps(table)


def test_goals_are_of_rows_and_presets_that_there_are():
    named = {goal.row for goal in goals.GOALS} - {"demo", "four-small-56"}
    assert {name for name in named if not name.startswith("paper")} == set(check.ROWS)
    assert set(check.ROWS) <= set(ROWS)
