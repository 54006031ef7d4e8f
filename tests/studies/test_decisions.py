"""Verdicts on simulated questions, at reduced size; `python -m studies.decisions` prints whole tables."""

import numpy as np
import pytest

from studies.decisions import until_decided_table, verdict_table

STUDIES = 250


def rates(table, key: str):
    """A table's rates as numbers, by its rows' *key*."""
    return table.set_index(["seeds", key] if key != "seeds" else key).astype(float)


def above(rate: float) -> float:
    """The rate in percent that a true *rate* stays below in 999 of 1,000 simulations of this size."""
    return 100 * (rate + 3.1 * np.sqrt(rate * (1 - rate) / STUDIES))


@pytest.fixture(scope="module")
def verdicts():
    return rates(verdict_table(STUDIES), "seeds")


def test_false_verdicts_are_as_rare_as_they_should_be(verdicts):
    assert (verdicts["false gain or loss"] < above(0.05)).all()
    assert (verdicts["false same"] < above(0.05)).all()
    assert verdicts["one condition three times as noisy"][3] < above(0.10)
    assert verdicts["one condition three times as noisy"][5] < above(0.08)
    noisy = verdicts[["false same, one compared noisy", "false same, the reference noisy"]]
    assert (noisy.loc[3] < above(0.09)).all()
    assert (noisy.loc[10] < above(0.05)).all()


def test_true_changes_are_found(verdicts):
    assert verdicts["main, 2 SD found"][3] > 65
    assert verdicts["among nine, 2 SD found"][3] > 30
    assert (verdicts["main, 2 SD found"][[5, 10]] > 93).all()
    assert verdicts["main, same found"].is_monotonic_increasing
    assert verdicts["flagged"].is_monotonic_increasing


def test_seeds_added_until_it_is_decided_keep_the_rate():
    table = until_decided_table(STUDIES, caps=(6,)).set_index("true change")
    assert float(table["gain or loss"]["none"]) < above(0.05)
    assert float(table["gain or loss"]["none, a noisy one"]) < above(0.09)
    assert float(table["gain or loss"]["2 SD"]) > 85
    assert float(table["seeds on average"]["2 SD"]) < 5
    assert table["interval holds"].astype(float).between(85, 100).all()
