"""Questions: their conditions, runs and comparisons."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from itl import ItlError
from itl.hierarchy.taxonomy import Taxonomy
from itl.packs.subset import count_subset
from itl.presets import Preset
from itl.runs import questions
from itl.runs.design import Margin
from itl.runs.question import refuse_unknown_data
from itl.runs.store import Store
from itl.runs.study import MIN_SEEDS
from itl.specs import Pretrain, Transfer
from tests.worlds import SETTINGS, here, small_study

NOWHERE = here(Path("/nowhere"))


def test_runs_are_conditions_times_seeds_times_tasks():
    runs = small_study().runs(NOWHERE)
    trained = {run.spec for run in runs if isinstance(run.spec, Pretrain)}
    tried = {run.spec for run in runs if isinstance(run.spec, Transfer)}
    assert (len(trained), len(tried)) == (4, 6)  # sizes x seeds; with the untrained, x tasks
    untrained = [run.spec.pretrain for run in runs if dict(run.columns)["images_per_class"] == 0]
    assert {spec.recipe.total_steps(10) for spec in untrained} == {0}
    assert {spec.subset.images_per_class for spec in untrained} == {1}


def test_seeds_pair_the_conditions():
    runs = small_study().runs(NOWHERE)
    few, many = ([run for run in runs if dict(run.columns)["images_per_class"] == count] for count in (4, 12))
    assert [run.seed for run in few] == [run.seed for run in many]
    assert [run.spec.seed for run in few] == [run.seed for run in few]


def test_all_keeps_every_image():
    question = small_study(images_per_class=[], subset={"labels": "original"})
    assert {r.spec.subset.images_per_class for r in question.runs(NOWHERE) if r.task == "own"} == {None}
    question = small_study(subset={"leaves": 2, "at_most": True})
    nets = [run.spec.subset for run in question.runs(NOWHERE) if run.task == "own"]
    assert {(subset.leaves, subset.at_most) for subset in nets} == {(2, True)}


def granularity(**changes):
    settings = {name: value for name, value in SETTINGS.items() if name != "images_per_class"}
    usual = {"label_sets": ["none", "bottom-up@5", "original"], "tasks": ["induction@images"]}
    return questions.granularity(**settings | usual | changes)


def test_label_sets_are_conditions_and_share_nets_with_the_data_size():
    coarse = granularity(tasks=["induction@images", "induction@images/bottom-up@5:3"])
    runs = coarse.runs(NOWHERE)
    trained = [run for run in runs if run.task == "own"]
    assert [dict(run.columns)["label_set"] for run in trained] == ["bottom-up@5"] * 2 + ["original"] * 2
    assert [run.spec.subset.labels for run in trained] == ["bottom-up@5"] * 2 + ["original"] * 2
    assert {run.spec.subset.images_per_class for run in trained} == {None}
    assert {(run.spec.labels, run.spec.images_per_class) for run in runs if run.method == "induction"} == {
        ("original", None),
        ("bottom-up@5", 3),
    }
    nets = {run.spec.pretrain for run in runs if run.method == "induction"}
    sizes = small_study(images_per_class=[0, "all"]).runs(NOWHERE)
    others = {run.spec.pretrain for run in sizes if run.task != "own"}
    assert others < nets  # the untrained, and those of all images
    assert len(nets) == 6


def other(ask, **changes):
    """One of the other questions on the smallest world."""
    settings = {name: value for name, value in SETTINGS.items() if name != "images_per_class"}
    return ask(**settings | changes)


def test_class_count_shares_its_nets_with_granularity():
    sets = ["none", "bottom-up@5", "original"]
    one = other(questions.class_count, label_sets=sets, tasks=["induction@images"])
    assert one.runs(NOWHERE) == granularity().runs(NOWHERE)
    assert [dict(pair.against)["label_set"] for pair in one.comparisons] == ["original", "none"]
    compared = [(*dict(pair.of).values(), *dict(pair.against).values()) for pair in granularity().comparisons]
    assert compared == [("bottom-up@5", "original"), ("bottom-up@5", "none"), ("original", "none")]


@pytest.mark.parametrize(
    ("ask", "changes", "first"),
    [
        (questions.data_size, {"images_per_class": ["all", 4, 0]}, (4, "all")),
        (questions.data_size, {"images_per_class": [0, 12, 4, "all"]}, (4, "all")),
        (
            questions.class_count,
            {"label_sets": ["none", "original", "bottom-up@5"]},
            ("bottom-up@5", "original"),
        ),
        (
            questions.class_count,
            {"label_sets": ["bottom-up@9", "bottom-up@5", "original"]},
            ("bottom-up@5", "original"),
        ),
        (
            questions.class_count,
            {"label_sets": ["top-down@1", "original", "top-down@2"]},
            ("top-down@2", "original"),
        ),
        (
            questions.granularity,
            {"label_sets": ["original", "bottom-up@5", "none"], "tasks": ["induction@images"]},
            ("bottom-up@5", "original"),
        ),
    ],
)
def test_few_are_compared_with_many_whatever_the_order_they_are_given_in(ask, changes, first):
    main = other(ask, **changes).comparisons[0]
    assert (main.of[0][1], main.against[0][1]) == first


def test_designs_of_a_budget_go_from_many_classes_to_few_whatever_their_order():
    question = other(questions.budget, budgets=[["2 x 12", "4 x 6"], ["4 x 3", "2 x 6"]])
    ends = [(pair.of[0][1], pair.against[0][1]) for pair in question.comparisons[1:]]
    assert ends == [("2 × 12", "4 × 6"), ("2 × 6", "4 × 3")]


def test_of_one_label_set_class_count_compares_numbers_of_classes_first():
    fewer = other(questions.class_count, label_sets=["none", "original"], classes=[2, 3])
    compared = [(dict(pair.of)["label_set"], dict(pair.against)["label_set"]) for pair in fewer.comparisons]
    assert compared == [("2 classes", "original"), ("original", "none")]


def test_a_budget_is_a_grid_of_designs():
    question = other(questions.budget, budgets=[["all x 6", "2 x 12"], ["all x 3", "2 × 6"]])
    nets = [run.spec.subset for run in question.runs(NOWHERE) if run.task == "own" and run.seed == 1]
    assert [(subset.classes, subset.images_per_class) for subset in nets] == [
        (None, 6),
        (2, 12),
        (None, 3),
        (2, 6),
    ]
    assert {subset.seed for subset in nets} == {1}
    assert [dict(condition.columns)["design"] for condition in question.conditions][:3] == [
        "none",
        "all × 6",
        "2 × 12",
    ]
    assert [condition.trained for condition in question.conditions] == [False, True, True, True, True]
    ends = [(dict(pair.of)["design"], dict(pair.against)["design"]) for pair in question.comparisons[1:]]
    assert ends == [("2 × 12", "all × 6"), ("2 × 6", "all × 3")]
    sizes = small_study(images_per_class=[3, 6]).runs(NOWHERE)
    assert {run.spec for run in sizes} < {run.spec for run in question.runs(NOWHERE)}, "trained once for both"


@pytest.mark.parametrize(
    ("budgets", "says"),
    [
        ([["all x 6", "2 x 12"]], "two numbers of images or more"),
        ([["all x 6"], ["all x 3", "2 x 6"]], "each with two designs or more"),
        ([["4 x 6", "2 x 13"], ["4 x 3", "2 x 6"]], "4 × 6, 2 × 13 have 24 and 26"),
        ([["4 by 6", "2 x 12"], ["4 x 3", "2 x 6"]], "a design is CLASSES x IMAGES_PER_CLASS.*got '4 by 6'"),
        ([["0 x 6", "2 x 12"], ["4 x 3", "2 x 6"]], "got '0 x 6'"),
        ([["4 x 6", "2 x 12"], ["2 x 12", "1 x 24"]], "two numbers of images or more; all designs have 24"),
        ([["all x 6", "all x 12"], ["4 x 3", "2 x 6"]], "two numbers of classes in each budget"),
    ],
)
def test_budgets_that_are_none(budgets, says):
    with pytest.raises(ItlError, match=says):
        other(questions.budget, budgets=budgets)


def test_overlap_has_a_control_of_its_own_for_every_seed():
    runs = other(questions.overlap).runs(NOWHERE)
    labels = [
        (dict(run.columns)["pretrained_on"], run.seed, run.spec.subset.labels)
        for run in runs
        if run.task == "own"
    ]
    assert labels == [
        ("all classes", 0, "original"),
        ("all classes", 1, "original"),
        ("without as many others", 0, "without-matched@0"),
        ("without as many others", 1, "without-matched@1"),
        ("without PASCAL's", 0, "without-pascal"),
        ("without PASCAL's", 1, "without-pascal"),
    ]
    main = other(questions.overlap).comparisons[0]
    assert (dict(main.of), dict(main.against)) == (
        {"pretrained_on": "without PASCAL's"},
        {"pretrained_on": "without as many others"},
    )


def test_split_measures_every_net_on_both_halves():
    tasks = ["probe@images/half-a", "probe@images/half-b", "knn@scenes"]
    question = other(questions.split, halves=["random"], tasks=tasks)
    tried = [run for run in question.runs(NOWHERE) if run.method == "probe" and run.seed == 1]
    assert {(dict(run.columns)["pretrained_on"], run.spec.labels) for run in tried} == {
        (name, half)
        for name in ("none", "A", "B", "A + B", "A + B, as many passes")
        for half in ("half-random-a@1", "half-random-b@1")
    }
    assert {run.task for run in tried} == {"probe@images/half-a", "probe@images/half-b"}
    nets = {dict(run.columns)["pretrained_on"]: run.spec.pretrain for run in tried}
    assert {name: (net.subset.labels, net.recipe.total_steps(1)) for name, net in nets.items()} == {
        "none": ("original", 0),
        "A": ("half-random-a@1", 12),
        "B": ("half-random-b@1", 12),
        "A + B": ("original", 12),
        "A + B, as many passes": ("original", 24),
    }
    pairs = [
        (dict(pair.of)["pretrained_on"], dict(pair.against)["pretrained_on"]) for pair in question.comparisons
    ]
    both, longer = "A + B", "A + B, as many passes"
    assert pairs == [(both, "A"), (both, "B"), (longer, "A"), (longer, "B")]
    tasks_of_a, tasks_of_b = ("probe@images/half-a", "knn@scenes"), ("probe@images/half-b", "knn@scenes")
    assert [pair.tasks for pair in question.comparisons] == [tasks_of_a, tasks_of_b] * 2


def test_a_split_by_epochs_halves_them_for_equal_steps():
    question = other(questions.split, halves=["random"], recipe={"epochs": 4, "batch": 8, "pixels": 24})
    epochs = {
        condition.columns[1][1]: condition.recipe.epochs
        for condition in question.conditions
        if condition.recipe
    }
    assert epochs == {"A + B": 2, "A + B, as many passes": 4}
    with pytest.raises(ItlError, match="got 3 epochs; give an even number, or steps"):
        other(questions.split, halves=["random"], recipe={"epochs": 3})


def test_numbers_of_images_at_equal_steps_and_at_equal_passes():
    question = small_study(passes=2)
    trained = {
        condition.columns: (question.pretraining(condition, "", 0).recipe.steps, condition.trained)
        for condition in question.conditions
    }
    steps, passes = ("exposure", "equal steps"), ("exposure", "equal passes")
    assert trained == {
        (("images_per_class", 0), steps): (None, False),
        (("images_per_class", 4), steps): (12, True),
        (("images_per_class", 12), steps): (12, True),
        (("images_per_class", 4), passes): (None, True),
        (("images_per_class", 12), passes): (None, True),
    }
    pairs = [(*dict(pair.of).values(), *dict(pair.against).values()) for pair in question.comparisons]
    assert pairs == [
        (4, "equal steps", 12, "equal steps"),
        (12, "equal steps", 0, "equal steps"),
        (4, "equal passes", 12, "equal passes"),
    ]


def test_some_classes_with_all_their_images():
    question = other(questions.class_count, label_sets=["none", "bottom-up@5", "original"], classes=[2, 3])
    subsets = [question.pretraining(condition, "", 1).subset for condition in question.conditions[3:]]
    assert [(subset.labels, subset.classes, subset.images_per_class) for subset in subsets] == [
        ("original", 2, None),
        ("original", 3, None),
    ]
    last = question.comparisons[-1]
    assert (last.of, last.against) == ((("label_set", "2 classes"),), (("label_set", "original"),))
    with pytest.raises(ItlError, match="compares some classes with all: add original to label_sets"):
        other(questions.class_count, label_sets=["bottom-up@5", "bottom-up@9"], classes=[2])


def test_coarse_or_fine_has_as_many_classes_and_images_of_both():
    question = other(questions.coarse_or_fine, cuts=["bottom-up@5"], images_per_class=4)
    subsets = {
        condition.columns[1][1]: question.pretraining(condition, "", 1).subset
        for condition in question.conditions
    }
    coarse, fine, every = subsets["coarse"], subsets["fine"], subsets["coarse, all images"]
    assert (coarse.images_per_class, coarse.leaves) == (4, None)
    assert fine == replace(coarse, leaves=1)
    assert every == replace(coarse, images_per_class=None)
    pairs = [(pair.of[1][1], pair.against[1][1]) for pair in question.comparisons]
    assert pairs == [("coarse", "fine"), ("fine", "none"), ("coarse, all images", "coarse")]
    tree = Taxonomy.snapshot()
    counts = [count_subset(tree, dict.fromkeys(tree.leaves, 10), subset) for subset in (coarse, fine)]
    assert counts[0].images.keys() == counts[1].images.keys()
    assert set(counts[0].images.values()) == set(counts[1].images.values()) == {4}
    assert set(counts[1].leaves.values()) == {1}


def test_designs_of_at_most_so_many_images_and_of_all():
    question = other(questions.budget, budgets=[["all x at most 6", "2 x all"], ["all x 3", "2 x 6"]])
    first, second = question.conditions[1:3]
    assert (first.columns[0][1], first.classes, first.images_per_class, first.at_most) == (
        "all × at most 6",
        None,
        6,
        True,
    )
    assert (second.columns[0][1], second.classes, second.images_per_class) == ("2 × all", 2, None)
    with pytest.raises(ItlError, match="got 'at most 2 x 3'"):
        other(questions.budget, budgets=[["at most 2 x 3", "2 x all"], ["all x 3", "2 x 6"]])


def test_halves_are_of_a_kind_and_known_to_their_question_only():
    with pytest.raises(ItlError, match="no halves of split called 'ramdom'; did you mean 'random'"):
        other(questions.split, halves=["ramdom"])
    with pytest.raises(ItlError, match="no label method .*called 'half-a'"):
        small_study(tasks=["probe@images/half-a"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"tasks": ["probe@images/bottom-up@5", "induction@images"]},
            "got probe@images/bottom-up@5, and probe scores none; put a task of induction first, "
            "such as induction@images/bottom-up@5$",
        ),
        ({"label_sets": ["bottom-up@5", "original"]}, "give none and two others"),
        ({"label_sets": ["none", "original"]}, "got label_sets .'none', 'original'.; give none and two"),
        ({"tasks": []}, "granularity needs a task"),
        ({"tasks": ["prob@images"]}, "did you mean 'probe'"),
    ],
)
def test_what_the_page_on_granularity_needs_is_asked_before_the_first_run(changes, says):
    with pytest.raises(ItlError, match=says):
        granularity(**changes)


def test_a_preset_whose_page_would_have_nothing_to_compare():
    shared = {name: value for name, value in SETTINGS.items() if name != "images_per_class"}
    preset = Preset(
        name="mini", about="a test", notebooks={"02-class-count": shared | {"label_sets": ["none"]}}
    )
    with pytest.raises(ItlError, match="02-class-count in preset mini: class-count has nothing to compare"):
        questions.questions_of(preset)


def test_label_sets_that_are_none():
    with pytest.raises(ItlError, match="no label method .*called 'bottomup'; did you mean 'bottom-up'"):
        granularity(label_sets=["bottomup@5"])


def test_a_preset_asks_what_its_notebook_would():
    preset = Preset(name="mini", about="a test", notebooks={"01-data-size": SETTINGS, "99-summary": {}})
    assert questions.questions_of(preset) == [small_study()]


def test_no_results_yet_is_one_line(tmp_path):
    machine = here(tmp_path)
    with pytest.raises(ItlError, match="no run of data-size is done"):
        small_study().results(Store(machine.runs), machine)


def test_a_margin_is_declared_with_the_question():
    assert small_study().margin == Margin(0.2)
    margin = small_study(margin={"points": {"knn5": 2}}).margin
    assert (margin.share, dict(margin.points)) == (0.2, {"knn5": 2.0})
    both = small_study(tasks=["knn@scenes", "probe@scenes"], margin={"points": {"accuracy": 2, "knn5": 1}})
    assert dict(both.margin.points) == {"accuracy": 2.0, "knn5": 1.0}


def test_a_net_has_one_name_however_it_is_spelt():
    assert small_study(net="torchvision:resnet18") == small_study(net="resnet18")
    assert small_study(net="torchvision:vgg11").net == "torchvision:vgg11"


def test_a_data_folder_may_have_an_equals_sign(tmp_path):
    (odd := tmp_path / "x=y").mkdir()
    refuse_unknown_data([str(odd)], [small_study()])
    with pytest.raises(ItlError, match="no source in this preset called 'imges'; did you mean 'images'"):
        refuse_unknown_data([f"imges={odd}"], [small_study()])


@pytest.mark.parametrize("numbers", [np.arange, pd.RangeIndex, range, lambda n: map(np.int64, range(n))])
def test_numbers_may_be_numpys_and_in_anything_that_has_an_order(numbers):
    plain = small_study(seeds=[0, 1, 2], cap=3, images_per_class=[0, 4, "all"])
    given = small_study(seeds=numbers(3), cap=np.int64(3), images_per_class=[np.int64(0), np.int32(4), "all"])
    assert repr(given) == repr(plain)


@pytest.mark.parametrize("name", ["tasks", "seeds", "images_per_class"])
def test_a_set_has_no_first(name):
    with pytest.raises(ItlError, match=f"^{name} of data-size is a set, which has no order; give a list"):
        small_study(**{name: {1, 2}})


def test_a_cap_allows_for_the_seeds_that_decide():
    assert small_study(cap=MIN_SEEDS).cap == 3
