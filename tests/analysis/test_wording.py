"""Results in words, exact."""

import math

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbconvert.filters import markdown2html

from itl.analysis.comparisons import contrasts
from itl.analysis.tables import show_whole_texts
from itl.analysis.verdicts import count_text
from itl.analysis.wording import (
    answer_text,
    comparison_text,
    index_entry,
    main_metric,
    p_text,
    task_name,
    without_markup,
)
from tests.analysis.test_comparisons import noisy, question


def row(levels: dict, **settings) -> pd.Series:
    """The main contrast of made-up results."""
    return contrasts(question(*levels), noisy(levels, **settings)).iloc[0]


def test_the_share_of_the_gain_comes_first():
    loss = row({0: 30, 25: 60, 50: 60, "all": 70})
    assert answer_text(loss).startswith(
        "25 instead of all images per class: nets keep **75 % (73 to 77 %)** of the gain from "
        "pre-training on\nx, linear probe; that is −10.0 points (95 % interval −10.7 to −9.3, "
    )
    assert answer_text(loss).endswith("5 seeds). Verdict: **a loss**.")
    assert index_entry(loss) == {"n": 5, "verdict": "a loss"}


def test_names_that_users_gave_are_shown_as_they_are():
    given = row({0: 30, 25: 60, 50: 60, "all": 70})
    given["compared"], given["task"] = "<b>a_b *x* instead of `y`", "probe@[z_0]"
    markdown, without = answer_text(given), without_markup(answer_text(given))
    text = " ".join(BeautifulSoup(markdown2html(markdown), "html.parser").get_text().split())
    assert " ".join(without.split()) == text
    assert text.startswith("<b>a_b *x* instead of `y`: nets keep 75 % (73 to 77 %) of the gain from pre-")
    assert "on [z_0], linear probe; that" in text


def test_the_same_names_its_margin():
    same = row({0: 30, 25: 70, 50: 60, "all": 70})
    assert answer_text(same).endswith("Verdict: **the same within ±8.0 points**.")
    assert index_entry(same)["verdict"] == "the same within ±8.0 points"


def test_without_an_untrained_net_only_points_are_known():
    text = answer_text(row({25: 60, 50: 62, "all": 70}))
    assert text.startswith(
        "25 instead of all images per class: accuracy on\nx, linear probe changes by −10.0 points"
    )
    detected = row({25: 60, 50: 62, "all": 70})
    detected["task"] = "detection@x"
    assert ": mean average precision on\nx, R-CNN changes by −10.0 points" in answer_text(detected)
    single = answer_text(row({25: 60, 50: 62, "all": 70}, seeds=1))
    assert "(1 seed). Verdict: **too few seeds to say**." in single


def test_a_share_of_an_uncertain_gain_has_no_interval():
    values = row({0: 69.9, 25: 70, 50: 70, "all": 70}, size=5.0)
    assert answer_text(values).endswith(" No share of the gain is given: the gain itself may be 0.")
    assert "nets keep" not in answer_text(values)
    assert math.isnan(values["share_low"])


def test_verdicts_are_counted():
    assert count_text({"a loss": 2, "cannot tell": 1, "the same": 3}) == "2 a loss, 3 the same, 1 cannot tell"


@pytest.mark.parametrize(
    ("of", "against", "words"),
    [
        ({"images_per_class": 25}, {"images_per_class": "all"}, "25 instead of all images per class"),
        ({"images_per_class": 25}, {"images_per_class": 0}, "25 images per class instead of no pre-training"),
        (
            {"label_set": "top-down@1"},
            {"label_set": "original"},
            "labels merged upward 1 × instead of original labels",
        ),
        ({"label_set": "none"}, {"label_set": "chance"}, "no pre-training instead of chance"),
        (
            {"halves": "minimal", "pretrained_on": "A + B"},
            {"halves": "minimal", "pretrained_on": "A"},
            "A + B instead of A, minimal halves",
        ),
        (
            {"halves": "minimal", "pretrained_on": "A"},
            {"halves": "minimal", "pretrained_on": "none"},
            "A instead of no pre-training, minimal halves",
        ),
    ],
)
def test_conditions_in_words(of, against, words):
    assert comparison_text(of, against) == words


def test_tasks_in_words():
    tasks = ("knn@x:5", "probe@x", "own", "detection@x", "actions@x")
    assert [main_metric(task) for task in tasks] == ["knn5", "accuracy", "accuracy", "map", "map"]
    assert task_name("own") == "own classes"
    assert task_name("probe@images/half-a") == "half-a classes of images, linear probe"


def test_tables_that_differ_after_fifty_characters_do_not_look_alike():
    table = pd.DataFrame({"compared": [f"{'x' * 60} {end}" for end in ("equal steps", "equal passes")]})
    with pd.option_context("display.max_colwidth", 50, "display.width", 200):
        assert "equal" not in repr(table)
        show_whole_texts()
        assert all(text in repr(table) for text in table["compared"])


def test_a_p_value_is_not_rounded_across_the_level_of_the_tests():
    """Beside *the same*, 0.049992 was shown as 0.050."""
    texts = {
        0.0494: "0.049",
        0.049992: "<0.05",
        0.05: "0.050",
        0.050001: ">0.05",
        0.0506: "0.051",
        1: "1.000",
    }
    assert {p: p_text(p) for p in texts} == texts
