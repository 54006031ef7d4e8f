"""Questions about one's own task: their runs and comparisons."""

import warnings
from pathlib import Path

import pytest

from itl import ItlError
from itl.hierarchy.label_sets import label_set
from itl.hierarchy.taxonomy import Taxonomy
from itl.runs.plan import plan
from itl.runs.store import Store
from itl.runs.task_questions import Counterfactual, Influence, Scores
from itl.specs import Pretrain
from tests.worlds import SETTINGS, here

SHARED = {name: value for name, value in SETTINGS.items() if name != "images_per_class"}
NOWHERE = here(Path("/nowhere"))
DOG, CAT = "n02084071", "n02121620"


def test_each_half_has_one_net_with_a_seed_of_its_own():
    runs = Influence.ask(**SHARED, halves=20).runs(NOWHERE)
    nets = [run for run in runs if isinstance(run.spec, Pretrain)]
    halves = [run for run in nets if dict(run.columns)["pretrained_on"] == "half of the classes"]
    assert [(run.seed, run.spec.seed, run.spec.subset.labels) for run in halves] == [
        (number, number, f"half-balanced@{number}") for number in range(20)
    ]
    assert len(nets) == 20 + len(SETTINGS["seeds"]), "all classes have the seeds of the study"
    along = Influence.ask(**SHARED, halves=20, half_method="half-along-tree").runs(NOWHERE)
    assert {run.spec.subset.labels for run in along if isinstance(run.spec, Pretrain)} == {
        "original",
        *(f"half-along-tree@{number}" for number in range(20)),
    }
    scored = [run for run in runs if run.task == "knn@scenes"]
    assert len(scored) == 20 + 2 * len(SETTINGS["seeds"]), "no pre-training too"


def test_halves_are_compared_with_nothing_since_few_share_a_seed_with_all_classes():
    (comparison,) = Influence.ask(**SHARED, halves=4).comparisons
    assert [columns[0][1] for columns in (comparison.of, comparison.against)] == ["all classes", "none"]


def test_a_plan_says_what_comes_afterwards(tmp_path):
    question = Influence.ask(**SHARED, halves=4, fresh_seeds=3)
    planned = plan([question], Store(tmp_path / "runs"), here(tmp_path), measure=False)
    assert "influence: its notebook then trains up to 15 more nets, on fresh seeds" in planned.summary()
    nets = planned.runs[planned.runs["kind"] == "pretrain"]
    assert len(nets) == 4 + 2 * len(SETTINGS["seeds"])


def test_a_longer_study_does_the_runs_of_a_shorter_one():
    short, long = (Influence.ask(**SHARED, halves=count).runs(NOWHERE) for count in (6, 20))
    assert {run.spec for run in short} < {run.spec for run in long}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"halves": 2}, "4 halves or more"),
        ({"halves": 0}, "halves"),
        ({"halves": 20, "cap": 5}, "leave cap out"),
        ({"halves": 20, "half_method": "half-random-a"}, "half_method"),
        ({}, "lacks 1 of its settings; add halves"),
    ],
)
def test_influence_says_what_it_cannot_do(changes, says):
    with pytest.raises(ItlError, match=says):
        Influence.ask(**SHARED, **changes)


def test_counterfactuals_stand_beside_controls():
    question = Counterfactual.ask(**SHARED, harmful=[DOG], helpful=[CAT], helpful_classes=7)
    labels = {
        dict(condition.columns)["pretrained_on"]: (condition.labels, condition.classes)
        for condition in question.conditions
    }
    assert labels == {
        "none": ("original", None),
        "all classes": ("original", None),
        "without as many others": (f"without-matched@{{seed}},{DOG}", None),
        "without the harmful": (f"without@{DOG}", None),
        "the helpful alone": (f"only@{CAT}", None),
        "as many others alone": ("original", 7),
    }
    pairs = [
        (dict(pair.of)["pretrained_on"], dict(pair.against)["pretrained_on"]) for pair in question.comparisons
    ]
    assert pairs[:2] == [
        ("without the harmful", "without as many others"),
        ("the helpful alone", "as many others alone"),
    ]
    turned = Counterfactual.ask(
        **SHARED, harmful=[DOG], helpful=[CAT], helpful_classes=7, helpful_first=True
    ).comparisons
    assert [turned[1], turned[0], *turned[2:]] == list(question.comparisons)
    controls = [
        run.spec.subset.labels
        for run in question.runs(NOWHERE)
        if isinstance(run.spec, Pretrain) and "matched" in run.spec.subset.labels
    ]
    assert controls == [f"without-matched@{seed},{DOG}" for seed in SETTINGS["seeds"]]
    tree = Taxonomy.snapshot()
    assert len(label_set(tree, controls[0], tree.leaves).classes) == 1000 - 118


def test_counterfactuals_of_one_sign_leave_the_other_out():
    question = Counterfactual.ask(**SHARED, harmful=[DOG])
    assert len(question.conditions) == 4
    assert len(question.comparisons) == 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "no node"),
        ({"helpful": [CAT]}, "helpful_classes, .*: 2 or more, as nets learn nothing from one class; got 0"),
        ({"helpful": [CAT], "helpful_classes": 1}, "2 or more, as nets learn nothing from one class; got 1"),
        ({"harmful": ["dog,cat+x"]}, "no label method"),
    ],
)
def test_counterfactuals_that_are_none(changes, says):
    with pytest.raises(ItlError, match=says):
        Counterfactual.ask(**SHARED, **changes)


pytestmark = pytest.mark.filterwarnings("ignore:scores on scenes alone:UserWarning")
SCORES = SHARED | {"label_sets": ["half-balanced@{seed}", "original"], "images_per_class": [4, "all"]}


def test_scores_stand_beside_every_task_and_share_nets_with_the_question_of_influence():
    question = Scores.ask(**SCORES)
    assert [task.name for task in question.tasks] == ["knn@scenes", "scores@scenes"]
    assert [condition.columns for condition in question.conditions] == [
        (("label_set", "none"), ("images_per_class", 0)),
        (("label_set", "half-balanced@{seed}"), ("images_per_class", 4)),
        (("label_set", "half-balanced@{seed}"), ("images_per_class", "all")),
        (("label_set", "original"), ("images_per_class", 4)),
        (("label_set", "original"), ("images_per_class", "all")),
    ]
    nets = {run.spec for run in question.runs(NOWHERE) if isinstance(run.spec, Pretrain)}
    influence = {run.spec for run in Influence.ask(**SHARED, halves=20).runs(NOWHERE)}
    assert len(nets) == 4 * len(SETTINGS["seeds"])
    assert len(nets & influence) == 2 * len(SETTINGS["seeds"]), "halves, and all classes, with all images"
    [comparison] = question.comparisons
    assert comparison.tasks == ("knn@scenes",), "scores are not transfer"
    for label_sets in (["original", "half-balanced"], ["half-balanced", "original"]):
        for counts in (["all", 4], [4, "all"]):
            turned = Scores.ask(**SCORES | {"label_sets": label_sets, "images_per_class": counts})
            (comparison,) = turned.comparisons
            assert comparison.of == (("label_set", "original"), ("images_per_class", "all"))


def test_scores_on_one_target_are_noted_before_nets_are_trained():
    alone = "^scores on scenes alone get values and no verdict: .*; give a second one in targets and tasks$"
    with pytest.warns(UserWarning, match=alone):
        Scores.ask(**SCORES | {"tasks": ["knn@scenes", "probe@scenes"]})
    with warnings.catch_warnings(action="error"):
        two = {"scenes": SETTINGS["targets"]["scenes"], "more": SETTINGS["targets"]["scenes"]}
        Scores.ask(**SCORES | {"targets": two, "tasks": ["knn@scenes", "knn@more"]})


def test_two_tasks_on_one_target_have_one_run_of_scores():
    tasks = ["knn@scenes", "probe@scenes", "probe@scenes:2"]
    question = Scores.ask(**SCORES | {"tasks": tasks})
    assert [task.name for task in question.tasks] == [*tasks, "scores@scenes", "scores@scenes:2"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ["knn@scenes", "scores@scenes"]}, "scores adds scores@scenes itself"),
        ({"images_per_class": [0, 4]}, "leave 0 and none out"),
        ({"label_sets": ["none", "original"]}, "leave 0 and none out"),
        ({"label_sets": ["orginal"]}, "did you mean 'original'"),
        ({"label_sets": []}, "scores orders nets of two options or more, .* got label_sets .., images"),
        ({"label_sets": ["original"], "images_per_class": ["all"]}, "two options or more"),
        (
            {"label_sets": [], "weights": ["torchvision:resnet18", "torchvision:alexnet"]},
            "two options or more",
        ),
        ({"seeds": [0]}, r"two seeds or more; .* seeds .0.; give more of what lacks"),
        ({"tasks": ["detection@scenes"]}, "detection@scenes takes annotated objects: leave it out"),
        ({"tasks": ["prob@scenes"]}, "no transfer method called 'prob'; did you mean 'probe'"),
        ({"repeats": 2}, "leave repeats and cap out"),
        ({"cap": 5}, "leave repeats and cap out"),
    ],
)
def test_scores_refuse_what_they_cannot_judge(changes, message):
    with pytest.raises(ItlError, match=message):
        Scores.ask(**SCORES | changes)
