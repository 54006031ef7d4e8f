"""Rounded vectors and bounds of their products, by hand on vectors of a few numbers."""

import pytest
import torch

from itl.evaluation import rounding
from itl.evaluation.rounding import RoundedVectors, centre_of, product_error, round_vectors, unit


def test_vectors_have_length_1_and_zero_stays():
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0], [-3e38, 0.0]])
    assert unit(vectors).tolist() == [pytest.approx([0.6, 0.8]), [0, 0], [1, 0], [-1, 0]]


def test_what_float32_holds_is_rounded_by_nothing():
    rounded = round_vectors(torch.tensor([[3.0, 4.0], [0.0, 7.0]]), torch.float32)
    assert rounded.vectors.flatten().tolist() == pytest.approx([0.6, 0.8, 0, 1])
    assert rounded.length.tolist() == pytest.approx([1, 1])
    assert rounded.error.tolist() == [0, 0]


def test_lengths_are_those_less_the_centre():
    rounded = round_vectors(torch.tensor([[3.0, 4.0], [0.0, 7.0]]), torch.float32, torch.tensor([0.6, 0.0]))
    assert rounded.vectors.flatten().tolist() == pytest.approx([0, 0.8, -0.6, 1])
    assert rounded.length.tolist() == pytest.approx([0.8, 1.36**0.5])


def test_errors_are_those_of_the_rounded_numbers():
    """bfloat16 has 8 bits: a third becomes 171 / 512, too much by 1 / 1536, and two thirds by twice that."""
    rounded = round_vectors(torch.tensor([[1.0, 2.0, 2.0]]), torch.bfloat16)
    assert rounded.vectors.float().tolist() == [[171 / 512, 342 / 512, 342 / 512]]
    assert rounded.error.tolist() == pytest.approx([3 / 1536], rel=1e-3)


def test_the_centre_is_the_mean_direction_of_rows_at_equal_distances(monkeypatch):
    base = torch.tensor([[2.0, 0.0], [9.0, 9.0], [9.0, 9.0], [0.0, 5.0], [9.0, 9.0]])
    monkeypatch.setattr(rounding, "SAMPLE_ROWS", 2)
    assert centre_of(base).tolist() == [0.5, 0.5], "every third: the first and the fourth"
    assert centre_of(base[[0, 3]]).tolist() == [0.5, 0.5]
    assert centre_of(base[:1]).tolist() == [1, 0]


def test_the_bound_adds_the_errors_of_both_and_of_the_sum():
    def rounded(lengths: list[float], errors: list[float]) -> RoundedVectors:
        return RoundedVectors(torch.zeros(len(lengths), 48), torch.tensor(lengths), torch.tensor(errors))

    queries, base = rounded([1.0, 1.0], [0.25, 0.0]), rounded([0.5, 3.0], [0.125, 0.0625])
    sums = 64 / 2**22 * 4  # 48 numbers and 16 for the lengths, times 1 + the longest
    assert product_error(queries, base).tolist() == [0.125 + 0.25 * 3 + sums, 0.125 + sums]
