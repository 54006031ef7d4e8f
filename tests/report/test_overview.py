"""What the index of a report opens with."""

import base64
import math

import pandas as pd
from bs4 import BeautifulSoup

from itl.analysis.comparisons import COLUMNS, main_contrasts
from itl.report.html import Overview, index_html
from itl.report.overview import answers_by_opening, main_figure
from tests.accessible import faults

ROW = dict.fromkeys(COLUMNS, math.nan) | {
    "task": "probe@scenes",
    "sizes": "",
    "metric": "accuracy",
    "margin": 2.0,
}


def table(question: str, compared: str, verdict: str, **values: float) -> pd.DataFrame:
    """The contrasts of a question: its main one, and another that the overview does not tell."""
    row = ROW | {"question": question, "compared": compared, "verdict": verdict, **values}
    return pd.DataFrame([row, row | {"compared": "another", "verdict": "a gain"}])


TABLES = [
    table(
        "a", "4 instead of 12 images", "the same", change=-1, low=-2, high=0.5, gain=10, gain_low=5, share=0.9
    ),
    table("b", "6 instead of 40 classes", "a loss", change=-5, low=-7, high=-3, gain=10, gain_low=5),
    table("c", "coarse instead of fine", "cannot tell", change=0, low=-9, high=9, gain=0.1, gain_low=-5),
    table("d", "A + B instead of A", "a loss", change=-8, low=-9, high=-7, gain=10, gain_low=5),
]


def main_rows(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """The rows that the overview of a report is made of."""
    return main_contrasts(pd.concat(tables, ignore_index=True))


def paragraph(rows: pd.DataFrame) -> str:
    """What is said in place of the figure."""
    return Overview(answers_by_opening(rows)).text


def test_the_paragraph_tells_the_main_comparison_of_every_question_by_verdict():
    assert paragraph(main_rows(TABLES)) == (
        "Features transfer worse with 6 instead of 40 classes (scenes, linear probe); A + B instead of A "
        "(scenes, linear probe). "
        "Features transfer as well, within the margins declared beforehand, with 4 instead of 12 images "
        "(scenes, linear probe). "
        "These runs cannot tell about coarse instead of fine (scenes, linear probe)."
    )


def test_the_index_lists_the_comparisons_with_each_verdict_under_what_is_said_of_them():
    rows = main_rows(TABLES)
    assert list(answers_by_opening(rows).values())[0] == [
        "6 instead of 40 classes (scenes, linear probe)",
        "A + B instead of A (scenes, linear probe)",
    ]
    html = index_html([], "test", "", {}, overview=Overview(answers_by_opening(rows)))
    assert faults(html) == []
    listed = BeautifulSoup(html, "html.parser").select_one("dl.overview").find_all(["dt", "dd"])
    assert [line.name for line in listed] == ["dt", "dd", "dd", "dt", "dd", "dt", "dd"]


def test_a_change_where_pretraining_gives_too_little_is_no_answer():
    rows = main_rows(
        [table("b", "6 instead of 40 classes", "a gain", control="a floor: pre-training gives 0")]
    )
    assert paragraph(rows) == "These runs cannot tell about 6 instead of 40 classes (scenes, linear probe)."
    rows = main_rows([table("b", "6 instead of 40 classes", "a gain", control="a ceiling: no room")])
    assert paragraph(rows) == "Features transfer better with 6 instead of 40 classes (scenes, linear probe)."


def test_of_influence_scores_and_advice_no_comparison_is_the_answer_but_that_of_a_trial():
    """Theirs are rankings, which cards and pages tell."""
    ranked = [
        table(name, "all classes instead of none", "a gain") for name in ("influence", "scores", "advice")
    ]
    assert main_rows(ranked).empty
    trial = table("counterfactual", "without the harmful", "cannot tell")
    rows = main_rows([pd.concat([ranked[0], trial]), *ranked[1:], TABLES[1]])
    assert rows["question"].tolist() == ["counterfactual", "b"]


def test_the_figure_has_a_row_for_every_question_whose_gain_is_known():
    svg = base64.b64decode(main_figure(main_rows(TABLES))).decode()
    assert svg.startswith("<?xml")
    assert main_figure(main_rows(TABLES[2:3])) == ""
    apart = {"change": 6, "low": 1, "high": 11, "gain": 12, "gain_low": 1}
    given = table("e", "both, not one", "a gain", share=1.5, share_low=1.1, share_high=2.0, **apart)
    withheld = table("e", "both, not one", "a gain", share=1.5, share_low=math.nan, **apart)
    assert main_figure(main_rows([given]))
    assert main_figure(main_rows([withheld])) == "", "its text gives no share either"
