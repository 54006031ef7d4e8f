"""What a question refuses, or sees, however its settings are spelt."""

import pytest

from itl import ItlError
from itl.runs import questions
from itl.specs import Subset
from tests.worlds import SHARED, small_study

ANIMALS, ARTIFACTS = "n00015388", "n00021939"
CUT, TURNED = f"cut@{ANIMALS},{ARTIFACTS}", f"cut@{ARTIFACTS},{ANIMALS}"


@pytest.mark.parametrize(
    ("ask", "changes", "says"),
    [
        (questions.class_count, {"label_sets": ["none", CUT, TURNED]}, f"value once; {TURNED}"),
        (
            questions.class_count,
            {"label_sets": ["none", "half-random-a@0", "original+half-random-a@0"]},
            r"value once; original\+half-random-a@0",
        ),
        (
            questions.coarse_or_fine,
            {"cuts": [CUT, TURNED], "images_per_class": 2},
            f"value once; {TURNED} none",
        ),
        (
            questions.class_count,
            {"label_sets": ["none", CUT], "tasks": [f"knn@images/{CUT}", f"knn@images/{TURNED}"]},
            f"task once; knn@images/{TURNED}",
        ),
    ],
)
def test_one_label_set_written_in_two_ways_is_given_twice(ask, changes, says):
    with pytest.raises(ItlError, match=f"needs each {says} is another of them, written otherwise$"):
        ask(**SHARED | changes)


def test_tasks_on_halves_of_another_kind_compare_with_both_halves_of_a_split():
    tasks = ["probe@images/half-balanced@0", "probe@images/half-along-tree@1", "probe@images/half-b:2"]
    split = questions.split(**SHARED | {"halves": ["random"], "tasks": tasks})
    assert [pair.tasks for pair in split.comparisons] == [tuple(tasks[:2]), tuple(tasks)] * 2
    scored = {"halves": ["random"], "tasks": ["knn@images/half-b", "scores@images/half-b", "scores@scenes"]}
    (pair, _) = questions.split(**SHARED | scored).comparisons
    assert (dict(pair.against)["pretrained_on"], pair.tasks) == ("B", ("knn@images/half-b",))


def test_passes_are_compared_with_equal_steps():
    says = "passes compares with equal steps, and a recipe of 3 epochs .*; give the recipe steps, or leave"
    with pytest.raises(ItlError, match=says):
        small_study(passes=2, recipe={"epochs": 3, "batch": 8, "pixels": 24})


def test_a_pack_named_in_a_subset_is_not_ignored():
    with pytest.raises(ItlError, match="subset names the pack 'nonsense', and its pack is that of images"):
        small_study(subset={"pack": "nonsense"})
    assert small_study(subset=Subset("nonsense", "bottom-up@5")).conditions[1].labels == "bottom-up@5"
