"""Beside the paper: its findings, the same comparison of ours, and what that makes of them."""

import math
from importlib.resources import files
from types import SimpleNamespace

import pandas as pd
import pytest
from scipy import stats

from itl.analysis import published
from itl.analysis.comparisons import Answer, contrasts
from itl.analysis.findings import findings, our_comparison
from itl.analysis.seeds import look_level
from itl.analysis.statistics import LEVEL
from itl.runs import questions
from itl.runs.design import Comparison, Condition, Task
from itl.sources.annotated.voc_detection import Voc2007
from tests.analysis.test_comparisons import noisy, question
from tests.worlds import SHARED

UNKNOWN = math.nan
QUARTER = "a quarter of the images of each class "


@pytest.mark.parametrize(
    ("sign", "verdict", "p_size", "holds_size", "word"),
    [
        ("-", "a loss", UNKNOWN, True, "supports it"),
        ("+", "a gain", UNKNOWN, True, "supports it"),
        ("-", "a loss", 0.4, True, "supports it"),
        ("-", "a loss", 0.001, True, "contradicts its size"),  # −30 points are not a published −1.5
        ("-", "the same", 0.001, True, "contradicts its size"),
        ("+", "a loss", UNKNOWN, True, "contradicts it"),
        ("-", "a gain", 0.001, True, "contradicts it"),
        ("-", "cannot tell", 0.4, True, "consistent in size"),
        ("-", "the same", 0.4, True, "consistent in size"),
        ("-", "cannot tell", LEVEL, True, "consistent in size"),
        ("-", "cannot tell", 0.4, False, "cannot tell"),  # an interval as wide holds nearly everything
        ("-", "cannot tell", UNKNOWN, True, "cannot tell"),
        ("-", "the same", UNKNOWN, True, "cannot tell"),
        ("-", "too few seeds to say", UNKNOWN, False, "too few seeds to say"),
        ("-", "too few seeds to say", 0.001, False, "too few seeds to say"),
        ("-", "too few seeds to say", 0.4, True, "too few seeds to say"),
    ],
)
def test_what_ours_makes_of_a_finding(sign, verdict, p_size, holds_size, word):
    p_adjusted = 0.01 if verdict in ("a gain", "a loss") else 0.5
    assert judged(sign, verdict, p_adjusted, p_size, holds_size) == word


def test_a_small_loss_supports_a_small_loss():
    assert judged("-", "the same", 0.01, 0.4, holds_size=True) == "supports it"


def judged(sign: str, verdict: str, p_adjusted: float, p_size: float, holds_size: bool) -> str:
    """What a comparison with so certain a change, and an interval of ±2 around it, makes of a finding."""
    change = 1.0 if verdict == "a gain" else -1.0
    row = pd.Series({"verdict": verdict, "control": "", "change": change, "p_adjusted": p_adjusted})
    row = pd.concat([row, pd.Series({"low": change - 2, "high": change + 2, "margin": 3.0})])
    finding = SimpleNamespace(sign=sign, size=change if holds_size else change - 3)
    return published.judge_finding(row, finding, p_size)


def test_every_finding_belongs_to_a_question_and_has_a_source():
    names = {entry.name for entry in questions.QUESTIONS.values()}
    known = [finding for name in sorted(names) for finding in findings(name)]
    assert len(known) == len(pd.read_csv(files("itl") / "analysis/published.csv")) == 9
    assert {finding.sign for finding in known} == {"+", "-"}
    assert sorted(finding.value for finding in known if finding.value) == [
        "-1.3",
        "-1.5",
        "-2.4",
        "-2.8",
        "-3.7",
    ]
    assert all(finding.source for finding in known)
    assert {finding.protocol for finding in known if finding.value} == {Voc2007.year}


def detection(levels: dict, **settings) -> tuple[SimpleNamespace, pd.DataFrame]:
    """A data-size question on four classes, and made-up results of detection and of own classes."""
    study = question(*levels)
    study.name, study.tasks = "data-size", (Task.read("detection@voc2007"),)
    table = noisy(levels, task="detection@voc2007", **settings).assign(metric="map", protocol="VOC2007")
    own = noisy({name: level + 20 for name, level in levels.items() if name}, task="own", **settings)
    results = pd.concat([table, own])
    results["images"] = 4 * results["images_per_class"].replace("all", 52).astype(int)
    return study, results


def beside(study: SimpleNamespace, results: pd.DataFrame) -> pd.DataFrame:
    return published.beside_paper(Answer(study, results, contrasts(study, results)))


def test_the_same_share_of_the_largest_stands_beside_each_published_number():
    table = beside(*detection({0: 20, 8: 40, 26: 58.6, "all": 60}))
    halves = table[table["compared"].str.contains("500 instead")]
    assert halves["change"].tolist() == ["−1.5", "−1.3", ""]
    assert halves["source"].str.contains("project page|reader's notes").all()
    ours = table[table["compared"] == "26 instead of all images per class"]
    assert ours["finding"].tolist() == ["supports it", "supports it"]
    assert ours["task"].unique().tolist() == ["detection@voc2007"], "nets' own classes are no target"
    assert "no comparable condition here" in table["finding"].tolist(), "for a quarter: 8 of 52 is less"


def test_one_seed_has_a_change_without_an_interval():
    table = beside(*detection({0: 20, 8: 40, 26: 58.6, "all": 60}, seeds=1))
    ours = table[table["compared"] == "26 instead of all images per class"]
    assert ours["change"].tolist() == ["−1.0", "−1.0"]


def test_a_large_loss_does_not_support_a_small_one():
    table = beside(*detection({0: 20, 8: 25, 26: 30, "all": 60}))
    ours = table[table["compared"] == "26 instead of all images per class"]
    assert ours["finding"].tolist() == ["contradicts its size", "contradicts its size"]


def test_two_seeds_say_nothing_of_a_finding_however_large_the_change():
    table = beside(*detection({0: 20, 8: 25, 26: 30, "all": 60}, seeds=2))
    ours = table[table["compared"] == "26 instead of all images per class"]
    assert ours["finding"].tolist() == ours["verdict"].tolist() == ["too few seeds to say"] * 2


def test_a_small_gain_beyond_noise_contradicts_a_loss():
    table = beside(*detection({0: 20, 8: 40, 26: 60.5, "all": 60}, size=0.1))
    ours = table[table["compared"] == "26 instead of all images per class"]
    assert ours["finding"].tolist() == ["contradicts it", "contradicts it"]


def test_beyond_noise_is_below_the_level():
    study, results = detection({0: 20, 8: 40, 26: 58.6, "all": 60})
    table = published.beside_paper(Answer(study, results, contrasts(study, results).assign(p_adjusted=LEVEL)))
    assert not {"supports it", "contradicts it"} & set(table["finding"])


def test_conditions_that_stand_beside_each_other_differ_in_the_number_alone():
    columns = [
        (("images_per_class", count), ("net", net)) for count, net in ((100, "a"), (60, "a"), (50, "b"))
    ]
    study = SimpleNamespace(conditions=tuple(Condition(pairs) for pairs in columns), comparisons=())
    results = pd.DataFrame([dict(pairs) for pairs in columns]).assign(classes=4)
    results["images"] = 4 * results["images_per_class"]
    comparison = our_comparison(findings("data-size")[0], study, results)
    assert (comparison.of, comparison.against) == (columns[1], columns[0])


def test_sizes_are_compared_only_where_the_task_is_measured_in_the_same_way():
    study, results = detection({0: 20, 8: 25, 26: 30, "all": 60})
    assert half_judged(study, results) == {"contradicts its size"}
    other_methods = {"detection@voc2007": "actions@voc2012"}
    assert half_judged(study, results.replace({"task": other_methods})) == {"supports it"}
    for protocol in ("", "VOC2012", "VOC2007, 135 of 9,963 images", "VOC2007 without 2 bad images"):
        assert half_judged(study, results.replace({"protocol": {"VOC2007": protocol}})) == {"supports it"}
    assert half_judged(study, results.drop(columns="protocol")) == {"supports it"}
    few_images = {"detection@voc2007": "detection@voc2007:10"}
    assert half_judged(study, results.replace({"task": few_images})) == {"supports it"}


def half_judged(study: SimpleNamespace, results: pd.DataFrame) -> set[str]:
    """What our change of half the images makes of the two published ones."""
    table = beside(study, results)
    return set(table.loc[table["compared"] == "26 instead of all images per class", "finding"])


def test_less_than_on_own_classes_is_a_contrast_of_contrasts():
    study, results = detection({0: 20, 8: 40, 26: 59, "all": 60})
    results.loc[(results["task"] == "own") & (results["images_per_class"] == 26), "value"] -= 10
    table = beside(study, results)
    row = table[table["compared"].str.contains("less the change on own classes")].iloc[0]
    assert (row["finding"], row["verdict"]) == ("supports it", "a gain")


@pytest.mark.parametrize(
    ("half", "word"),
    [
        (58.6, "supports it"),
        (40, "contradicts it"),
        (50.05, "cannot tell"),
        (None, "no comparable condition here"),
    ],
)
def test_that_a_quarter_gave_less_than_half_is_tested_by_these_two(half, word):
    """A quarter loses ten points of 60 beyond noise, also where half loses twenty."""
    levels = {0: 20, 13: 50, 26: half, "all": 60}
    study, results = detection({name: level for name, level in levels.items() if level is not None})
    results = results.drop(columns="protocol")  # no sizes: signs alone
    table = published.judged_findings([Answer(study, results, contrasts(study, results))])
    table = table.set_index("the paper found")
    assert table.loc[QUARTER + "lost accuracy on the target (−3.7 points)", "finding"] == "supports it"
    row = table.loc[QUARTER + "gave less accuracy than half of them (−2.4 points)"]
    assert row["finding"] == word
    assert row["ours"] == ("13 instead of 26 images per class" if half else "")


def test_a_share_that_is_not_comparable_stands_beside_nothing():
    """100 of 947 images of each class are not a half."""
    study, results = detection({0: 20, 5: 50, "all": 60})
    assert our_comparison(findings("data-size")[0], study, results) is None
    assert set(beside(study, results)["whose"]) == {"the paper", "ours"}
    assert (
        beside(study, results).query("whose == 'ours'")["finding"] == "no comparable condition here"
    ).all()


def test_classes_are_compared_by_their_number_on_the_same_images():
    levels = {"random": 20, "bottom-up@4": 10, "top-down@1": 21, "original": 22}
    study = question(*levels, column="label_set")
    study.name = "class-count"
    results = noisy(levels, column="label_set")
    counts = {"bottom-up@4": 2, "top-down@1": 13, "random": 13, "original": 100}
    images = {"bottom-up@4": 800, "top-down@1": 760, "random": 750, "original": 800}
    results = results.assign(
        classes=results["label_set"].map(counts), images=results["label_set"].map(images)
    )
    comparison = our_comparison(findings("class-count")[0], study, results)
    assert (comparison.of, comparison.against) == (
        (("label_set", "top-down@1"),),
        (("label_set", "original"),),
    )
    table = beside(study, results)
    assert table["compared"].tolist() == [
        "127 instead of 1000 classes",
        "labels merged upward 1 × instead of original labels",
    ]


def test_a_declared_comparison_is_taken_with_its_tasks():
    study, results = detection({0: 20, 26: 40, "all": 60})
    of, against = (condition.columns for condition in study.conditions[1:])
    study.comparisons = (Comparison(against, of), Comparison(of, against, ("detection@voc2007",)))
    for declared, expected in ((study.comparisons, study.comparisons[1]), ((), Comparison(of, against))):
        study.comparisons = declared
        comparisons = [our_comparison(finding, study, results) for finding in findings("data-size")]
        assert comparisons == [expected, expected, None, None, expected]
    assert [finding.beside_own for finding in findings("data-size")] == [False] * 4 + [True]


def of_split(halves: list[str]) -> Comparison | None:
    study = questions.split(**SHARED | {"tasks": ["probe@scenes"]}, halves=halves)
    return our_comparison(findings("split")[0], study, pd.DataFrame())


@pytest.mark.parametrize("halves", [["minimal"], ["minimal", "random"], ["random", "minimal"]])
def test_far_classes_are_those_of_minimal_halves(halves):
    comparison = of_split(halves)
    of, against = dict(comparison.of), dict(comparison.against)
    assert (of["halves"], of["pretrained_on"], against["pretrained_on"]) == ("minimal", "A + B", "A")
    assert of_split(["random"]) is None


def test_a_summary_counts_what_is_decided_and_leaves_out_what_is_not_asked():
    rows = [("a", "a gain"), ("a", "cannot tell"), ("b", "the same"), ("advice", "a gain"), ("c", "a loss")]
    table = pd.DataFrame(rows, columns=["question", "verdict"])
    table["control"] = ["", "", "", "", "the control fails: pre-training itself gives +0.6 points"]
    judged = pd.DataFrame({"finding": ["supports it", "cannot tell"]})
    assert published.summary_text(table, judged) == (
        "**3 comparisons are decided** of 5. The main ones of 3 questions: 1 a gain, 1 the same, 1 cannot "
        "tell. Of the paper's findings, 1 supported, 0 contradicted, 0 consistent in size; these runs cannot "
        "tell for 1."
    )
    text = published.summary_text(table[table["question"] == "advice"], judged.head(0))
    assert text == "**1 comparison is decided** of 1."


def half_lost(**contrast: float) -> Answer:
    """An answer in which each contrast has the columns as given."""
    study, results = detection({0: 20, 8: 40, 26: 58.6, "all": 60})
    return Answer(study, results, contrasts(study, results).assign(p_adjusted=0.5, **contrast))


def half_findings(**contrast: float) -> list[str]:
    """What our loss of half the images, with columns as given, makes of the two published ones."""
    ours = published.beside_paper(half_lost(**contrast))
    return ours[ours["compared"] == "26 instead of all images per class"]["finding"].tolist()


@pytest.mark.parametrize(
    "control", ["the control fails: as pre-training gives too little", "a floor: as low"]
)
def test_where_pretraining_gives_too_little_nothing_is_supported_or_contradicted(control):
    judged = {"p_adjusted": 0.001, "verdict": "a loss", "change": -1.5, "standard_error": 0.1, "df": 9.0}
    study, results = detection({0: 20, 8: 40, 26: 58.6, "all": 60})
    made = contrasts(study, results).assign(**judged)
    known = published.beside_paper(Answer(study, results, made))
    shown = published.beside_paper(Answer(study, results, made.assign(control=control)))
    words = known.loc[known["whose"] == "ours", "finding"]
    assert "supports it" in set(words)
    assert set(shown.loc[words.index, "finding"]) == {"cannot tell", "no comparable condition here"}


def test_sizes_are_held_against_our_interval_and_margin():
    known = {"change": -1.5, "standard_error": 1.0, "df": 1e6}
    assert half_findings(**known, low=-4.5, high=1.5, margin=3.0) == ["consistent in size"] * 2
    assert half_findings(**known, low=-4.5, high=1.5, margin=2.9) == ["cannot tell"] * 2
    # A size outside the interval is not consistent with it, also where its p, adjusted for two, is large.
    assert half_findings(**known, low=-1.4, high=0.8, margin=3.0) == ["cannot tell", "consistent in size"]
    # 2.326 standard errors from −1.5: p of 0.02, adjusted for two 0.04; from −1.3 it is no larger then.
    known["change"] = -1.5 + 2.326
    assert half_findings(**known, low=-1.0, high=3.0, margin=9.0) == ["contradicts its size"] * 2
    floor = {"control": "a floor: pre-training itself gives +0.3 points, and 2.0 are needed", "gain": 0.3}
    assert half_findings(**known, **floor, low=-1.0, high=3.0, margin=9.0) == ["cannot tell"] * 2
    for nothing in (0.0, UNKNOWN):
        known["standard_error"] = nothing
        assert half_findings(**known, low=-1.0, high=3.0, margin=9.0) == ["cannot tell"] * 2


@pytest.mark.parametrize(("cap", "level"), [(0, LEVEL), (10, look_level(5, 10))])
def test_a_size_is_tested_at_the_level_of_the_look(cap, level):
    errors = stats.norm.isf(level / 4)  # two-sided, and of two sizes
    for beyond, word in ((0.999, "cannot tell"), (1.001, "contradicts its size")):
        known = {"change": -1.5 + beyond * errors, "standard_error": 1.0, "df": 1e9, "cap": cap}
        assert half_findings(**known, low=-1.0, high=3.0, margin=9.0) == [word] * 2


def test_a_finding_without_figure_is_held_against_the_comparison_it_speaks_of():
    study = question("none", "bottom-up@5", "original", column="label_set")
    study.name = "granularity"
    table = beside(study, noisy({"none": 2, "bottom-up@5": 11, "original": 21}, column="label_set"))
    assert table["compared"].tolist() == ["", "original labels instead of no pre-training"]
    assert table["finding"].tolist()[1] == "supports it"


def test_a_question_without_a_finding_says_so():
    study = question(25, 50)
    study.name = "overlap"
    assert "no finding on this" in beside(study, noisy({25: 1, 50: 2}))["finding"].iloc[0]


def test_the_summary_has_the_main_task_of_each_question():
    study, results = detection({0: 20, 8: 40, 26: 58.6, "all": 60})
    other = results[results["task"] != "own"].assign(task="detection@other")
    both = pd.concat([results, other])
    main, beside_it = Task.read("detection@voc2007"), Task.read("detection@other")
    for tasks in ((beside_it, main), (main, beside_it)):
        study.tasks = tasks
        table = published.judged_findings([Answer(study, both, contrasts(study, both))])
        assert set(table["task"]) == {tasks[0].name, ""}
    half = "half of the images of each class lost accuracy on the target (−1.5 or −1.3 points)"
    assert len(table) == 4, "a row for each finding, though two sources tell the size of one"
    assert table["the paper found"].tolist() == [
        half,
        "a quarter of the images of each class lost accuracy on the target (−3.7 points)",
        "a quarter of the images of each class gave less accuracy than half of them (−2.4 points)",
        "the target lost less than ImageNet itself",
    ]
    assert table["finding"].iloc[0] == "supports it"
    study.tasks = (Task.read("knn@elsewhere"),)
    table = published.judged_findings([Answer(study, both, contrasts(study, both))])
    assert len(table) == 4, "of the first task that it was compared on"
    assert set(table["task"]) == {both["task"][both["task"] != "own"].iloc[0], ""}
    assert table["the paper found"].str.contains("half of the images").any()


def test_two_sizes_of_one_finding_are_two_rows_where_ours_is_judged_otherwise():
    answer = half_lost(change=-1.2, standard_error=0.1, df=1e6, low=-1.4, high=-1.0, margin=3.0)
    table = published.judged_findings([answer]).set_index("the paper found")
    half = "half of the images of each class lost accuracy on the target"
    assert table.loc[f"{half} (−1.5 points)", "finding"] == "contradicts its size"
    assert table.loc[f"{half} (−1.3 points)", "finding"] == "consistent in size"


def test_findings_are_counted():
    words = ["supports it", "contradicts it", "contradicts its size", "consistent in size", "cannot tell"]
    text = "1 supported, 2 contradicted, 1 consistent in size; these runs cannot tell for 1"
    assert published.count_findings(pd.DataFrame({"finding": words})) == text
    words = ["no comparable condition here", "cannot tell", "cannot tell"]
    text = (
        "0 supported, 0 contradicted, 0 consistent in size; these runs cannot tell for 2 and have no "
        "comparable condition for 1"
    )
    assert published.count_findings(pd.DataFrame({"finding": words})) == text
    text = "0 supported, 0 contradicted, 0 consistent in size; these runs cannot tell for 0"
    assert published.count_findings(pd.DataFrame({"finding": []})) == text
