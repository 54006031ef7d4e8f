"""Scores on outputs that fit on a sheet of paper, and targets that can and cannot be scored."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

from itl import ItlError
from itl.evaluation.accuracy import accuracy, percent_correct, scores, top_k
from itl.evaluation.target import Target
from itl.packs.subset import Selection

OUTPUTS = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.1, 0.4], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
LABELS = torch.tensor([1, 2, 2, 2])


def test_top_k_by_hand():
    assert accuracy(OUTPUTS, LABELS) == 50.0
    assert [top_k(OUTPUTS, LABELS, k) for k in (1, 2, 3)] == [50.0, 75.0, 100.0]


def test_of_equal_outputs_the_lower_class_ranks_first():
    collapsed, labels = torch.zeros(4, 4), torch.arange(4)
    assert accuracy(collapsed, labels) == 25.0  # chance, and the same on every device
    assert top_k(collapsed, labels, 2) == 50.0
    assert accuracy(torch.tensor([[1.0, 3.0, 3.0]]), torch.tensor([1])) == 100.0
    assert accuracy(torch.tensor([[1.0, 3.0, 3.0]]), torch.tensor([2])) == 0.0
    assert top_k(torch.tensor([[1.0, 3.0, 3.0]]), torch.tensor([2]), 2) == 100.0


def test_accuracy_is_argmax_even_with_ties():
    random = torch.Generator().manual_seed(0)
    outputs = torch.randint(0, 3, (500, 8), generator=random).bfloat16()
    labels = torch.randint(0, 8, (500,), generator=random)
    right = outputs.float().numpy().argmax(1) == labels.numpy()
    assert accuracy(outputs, labels) == pytest.approx(100 * right.mean())


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
def test_the_mean_of_classes_is_scikit_learns_balanced_accuracy():
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 9, (400,), generator=random) ** 2 // 9  # uneven, and some classes absent
    outputs = torch.randn(400, 10, generator=random) + torch.nn.functional.one_hot(labels, 10)
    metrics = scores(outputs, labels, per_class=True)
    expected = 100 * balanced_accuracy_score(labels, outputs.argmax(1))
    assert metrics["accuracy"] == pytest.approx(expected)
    assert metrics["images_correct"] == accuracy(outputs, labels) != metrics["accuracy"]
    assert percent_correct(outputs.argmax(1) == labels, labels) == pytest.approx(accuracy(outputs, labels))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k_is_scikit_learns(k):
    random = torch.Generator().manual_seed(k)
    outputs, labels = torch.randn(300, 9, generator=random), torch.randint(0, 9, (300,), generator=random)
    oracle = top_k_accuracy_score(labels.numpy(), outputs.numpy(), k=k, labels=range(9))
    assert top_k(outputs, labels, k) == pytest.approx(100 * oracle)


@pytest.mark.parametrize(("classes", "names"), [(5, ["accuracy"]), (6, ["accuracy", "top5"])])
def test_top5_is_shown_only_where_it_can_fail(classes, names):
    metrics = scores(torch.eye(classes), torch.arange(classes))
    assert list(metrics) == names
    assert all(type(value) is float and value == 100.0 for value in metrics.values())


def test_top_k_refuses_what_has_no_score():
    with pytest.raises(ItlError, match="4 of 4 rows of outputs are not finite"):
        top_k(OUTPUTS * torch.tensor([1, 1, torch.nan]), LABELS, 1)


def selection(rows: list[int], labels: list[int], classes: str = "ab") -> Selection:
    """A selection of *rows* with one class for every letter."""
    return Selection(np.array(rows, np.int64), np.array(labels, np.int64), tuple(classes))


def test_a_target_names_what_is_learnt_and_what_is_scored():
    target = Target(None, selection([0, 1], [0, 1]), selection([2], [1]))
    assert target.train.classes == target.test.classes


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        (
            selection([0, 1], [0, 1]),
            selection([2, 3], [0, 1], "ac"),
            r"in one order; 2 not in both, such as b, c$",
        ),
        (selection([0, 1], [0, 1]), selection([2, 3], [0, 1], "ba"), "must be the same, in one order$"),
        (
            selection([0, 1], [0, 1]),
            selection([1, 2], [0, 1]),
            "1 of 2 test images are among the training images",
        ),
        (selection([0, 1], [0, 1]), selection([], []), "no test images"),
        (
            selection([0, 1], [1, 1]),
            selection([2, 3], [0, 1]),
            r"1 of 2 classes have no training image \(a\)",
        ),
        (
            selection([0, 1], [0, 1], "abcdef"),
            selection([2], [0], "abcdef"),
            r"4 of 6 .* \(c, d, e, \.\.\.\)",
        ),
        (selection([], []), selection([2, 3], [0, 1]), "2 of 2 classes have no training image"),
    ],
)
def test_a_target_refuses_what_would_mean_nothing(train, test, words):
    with pytest.raises(ItlError, match=words):
        Target(None, train, test)
