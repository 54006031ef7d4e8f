"""Beside the paper: its findings, the same comparison of ours, and what that makes of them."""

from importlib.resources import files
from types import SimpleNamespace

import pandas as pd
import pytest

from itl.analysis import published
from itl.analysis.comparisons import Answer, contrasts
from itl.runs import questions
from tests.analysis.test_comparisons import frame, question


@pytest.mark.parametrize(
    ("verdict", "sign", "word"),
    [
        ("a loss beyond seed noise", "-", "supports it"),
        ("a gain beyond seed noise", "+", "supports it"),
        ("a loss beyond seed noise", "+", "contradicts it"),
        ("a gain beyond seed noise", "-", "contradicts it"),
        ("a hint of a loss, not firm among 4 comparisons", "-", "cannot tell"),
        ("no difference beyond seed noise", "-", "cannot tell"),
        ("too few seeds to say", "+", "cannot tell"),
    ],
)
def test_a_finding_is_judged_by_what_is_beyond_noise(verdict, sign, word):
    assert published.judge(verdict, sign) == word


def test_every_finding_belongs_to_a_question_and_only_two_have_figures():
    names = {"data-size", "class-count", "granularity", "budget", "overlap", "split"}
    known = [finding for name in sorted(names) for finding in published.findings(name)]
    assert len(known) == len(pd.read_csv(files("itl") / "analysis/published.csv")) == 5
    assert {finding.sign for finding in known} == {"+", "-"}
    assert sorted(finding.value for finding in known if finding.value) == ["-1.5", "-2.8"]
    assert {name.partition("-")[2] for name in questions.QUESTIONS} == names


def sized(values: dict) -> pd.DataFrame:
    """Results of a data-size question on four classes."""
    results = frame(values).assign(classes=4)
    return results.assign(images=4 * results["images_per_class"].replace("all", 52).astype(int))


def beside(study: SimpleNamespace, results: pd.DataFrame) -> pd.DataFrame:
    return published.beside_paper(Answer(study, results, contrasts(study, results)))


def test_the_same_share_of_the_largest_stands_beside_the_published_one():
    table = beside(question(10, 26, "all"), sized({10: [4, 3, 5], 26: [50, 51, 52], "all": [55, 56, 57.5]}))
    assert table["whose"].tolist() == ["the paper", "ours"]
    assert table["compared"].tolist() == [
        "500 instead of 1000 images per class",
        "26 instead of all images per class",
    ]
    assert table["change"].tolist() == ["−1.5", "−5.2 (−5.9 to −4.4)"]
    assert table["finding"].iloc[1] == "supports it"


def test_nothing_of_ours_stands_beside_it_where_one_size_was_tried():
    assert beside(question(26), sized({26: [4, 5, 6]}))["whose"].tolist() == ["the paper"]


def test_classes_are_compared_by_their_number():
    study = question("bottom-up@4", "top-down@1", "original", column="label_set")
    study.name = "class-count"
    values = {"bottom-up@4": [1, 2, 4], "top-down@1": [20, 21, 22], "original": [20, 22, 24]}
    results = frame(values, "label_set")
    counts = {"bottom-up@4": 2, "top-down@1": 13, "original": 100}
    table = beside(study, results.assign(classes=results["label_set"].map(counts), images=800))
    assert table["compared"].tolist() == [
        "127 instead of 1000 classes",
        "top-down@1 instead of original label set",
    ]
    assert table["finding"].iloc[1] == "cannot tell"


def test_a_finding_without_figure_is_held_against_the_comparison_it_speaks_of():
    study = question("none", "bottom-up@5", "original", column="label_set")
    study.name, study.comparisons = "granularity", (study.comparisons[0], study.comparisons[1])
    results = frame({"none": [1, 2, 3], "bottom-up@5": [10, 11, 13], "original": [20, 22, 21]}, "label_set")
    table = beside(study, results)
    assert table["compared"].tolist() == ["", "original label set instead of no pre-training"]
    assert table["finding"].tolist()[1] == "supports it"


def test_a_question_without_a_finding_says_so():
    study = question(25, 50)
    study.name = "overlap"
    assert "no finding on this" in beside(study, frame({25: [1, 2], 50: [2, 3]}))["finding"].iloc[0]


def test_findings_are_counted():
    table = pd.DataFrame({"finding": ["supports it", "cannot tell", "cannot tell"]})
    text = "1 is supported, 0 contradicted, and these runs cannot tell for 2"
    assert published.count_findings(table) == text
