"""Exact neighbours: what float64 finds by brute force, also where bfloat16 and float32 cannot tell."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from itl import ItlError
from itl.evaluation import knn
from itl.evaluation.knn import nearest
from itl.evaluation.rounding import centre_of, product_error, round_vectors
from itl.training.numerics import has_bf16
from tests.evaluation.vectors import slowly, world

torch.set_num_threads(1)  # scikit-learn, torch and other tests would fight over the cores
PASSES = {"both": [torch.bfloat16, torch.float32], "float32": [torch.float32], "none": []}


@pytest.mark.parametrize("passes", PASSES)
@pytest.mark.parametrize(
    "kind",
    [
        "random",
        "clusters",
        "one direction",
        "below bfloat16",
        "below float32",
        "twice",
        "all alike",
        "many zeros",
        "all lengths",
    ],
)
def test_fast_is_slow(monkeypatch, kind, passes):
    """Exactly, similarities bit for bit, whatever passes go before, in blocks of uneven sizes."""
    monkeypatch.setattr(knn, "precisions_of_passes", lambda base, k: PASSES[passes])
    monkeypatch.setitem(knn.BLOCKS, "cpu", (16, 300))
    base, queries = world(kind, 1001, 24, seed=1), world(kind, 37, 24, seed=2)
    queries[3] = base[500]
    rows, similarities = nearest(base, queries, 5)
    exact, values = slowly(base, queries, 5)
    assert torch.equal(rows, exact)
    assert torch.equal(similarities, values)


def cut_to_tf32(vectors: torch.Tensor) -> torch.Tensor:
    """Round float32 to 10 bits, as the matrix units of a GPU do where TF32 is allowed."""
    return ((vectors.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


@pytest.mark.parametrize("way", ["set_float32_matmul_precision", "fp32_precision"])
def test_neighbours_are_exact_where_the_caller_allows_tf32(monkeypatch, way):
    """No bound covers its 10 bits. The products are those of a GPU that takes what it is allowed."""
    matmul, product = torch.backends.cuda.matmul, torch.Tensor.__matmul__

    def of_gpu(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
        allowed = ours.dtype == torch.float32 and matmul.fp32_precision == "tf32"
        return product(*map(cut_to_tf32, (ours, theirs))) if allowed else product(ours, theirs)

    monkeypatch.setattr(torch.Tensor, "__matmul__", of_gpu)
    base, queries = world("clusters", 1001, 3, seed=1), world("clusters", 200, 3, seed=2)
    before = matmul.fp32_precision
    try:
        if way == "fp32_precision":
            matmul.fp32_precision = "tf32"
        else:
            torch.set_float32_matmul_precision("high")
        rows, similarities = nearest(base, queries, 5)
        assert matmul.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision("highest")
        matmul.fp32_precision = before
    exact, values = slowly(base, queries, 5)
    assert torch.equal(rows, exact)
    assert torch.equal(similarities, values)


@pytest.mark.parametrize(
    ("rows", "queries", "width", "k"),
    [
        (1, 1, 1, 1),
        (5, 1, 3, 5),
        (33, 1, 700, 7),
        (64, 3, 2, 64),
        (7000, 50, 65, 1),
        (9000, 40, 16, 6),
    ],
)
def test_fast_is_slow_at_any_size(rows, queries, width, k):
    base, vectors = world("random", rows, width, seed=3), world("random", queries, width, seed=4)
    result, exact = nearest(base, vectors, k), slowly(base, vectors, k)
    assert torch.equal(result[0], exact[0])
    torch.testing.assert_close(result[1], exact[1], rtol=0, atol=1e-14)
    assert nearest(base, vectors[:0], k)[0].shape == (0, k)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize(("rows", "queries", "width"), [(300, 1, 5000), (1, 300, 64), (500, 200, 512)])
@pytest.mark.parametrize("kind", ["random", "one direction", "all lengths"])
def test_products_err_by_less_than_the_bound(kind, rows, queries, width, dtype):
    """The proof rests on it: products are within the bound of what float64 makes of them."""
    base, vectors = world(kind, rows, width, seed=5), world(kind, queries, width, seed=6)
    centre = centre_of(base)
    ours, theirs = round_vectors(vectors, dtype), round_vectors(base, dtype, centre)
    products = (ours.vectors @ theirs.vectors.T).float()
    exact = [part.double() / part.double().norm(dim=1, keepdim=True) for part in (vectors, base)]
    errors = (products - exact[0] @ (exact[1] - centre).T).abs()
    bound = product_error(ours, theirs)[:, None] + torch.finfo(dtype).eps / 2 * products.abs()
    assert (errors <= bound).all()
    assert bound.max() < (0.03 if dtype == torch.bfloat16 else 0.005)


def test_the_quick_pass_is_the_devices(monkeypatch):
    many, few = torch.zeros(10_000, 2), torch.zeros(1000, 2)
    quick = [torch.bfloat16] if has_bf16(torch.device("cpu")) else []
    assert knn.precisions_of_passes(many, 5) == [*quick, torch.float32]
    assert knn.precisions_of_passes(few, 5) == [torch.float32]
    monkeypatch.setattr(knn, "has_bf16", lambda where: False)
    assert knn.precisions_of_passes(many, 5) == [torch.float32]


def test_vectors_that_are_not_numbers_are_refused():
    broken = torch.tensor([[1.0, 2.0], [torch.nan, 0.0], [torch.inf, 0.0]])
    for base, queries, count in ((broken, torch.eye(2), 2), (torch.eye(2), broken[:2], 1)):
        with pytest.raises(ItlError, match=f"{count} of {len(broken[: count + 1])} vectors are not finite"):
            nearest(base, queries, 1)


@pytest.mark.parametrize("block", [(1, 1), (7, 3), (64, 40), (2048, 4096)])
def test_nearest_is_scikit_learns_brute_force_in_any_blocks(block, monkeypatch):
    monkeypatch.setitem(knn.BLOCKS, "cpu", block)
    random = torch.Generator().manual_seed(0)
    base, queries = torch.randn(150, 12, generator=random), torch.randn(70, 12, generator=random)
    rows, similarities = nearest(base, queries, 5)
    oracle = NearestNeighbors(metric="cosine", algorithm="brute").fit(base.numpy())
    distances, expected = oracle.kneighbors(queries.numpy(), 5)
    assert rows.tolist() == expected.tolist()
    np.testing.assert_allclose(similarities, 1 - distances, atol=1e-6)


@pytest.mark.parametrize("block", [(1, 1), (2, 3), (5, 4), (8, 100)])
def test_of_equal_neighbours_the_lower_row_is_nearer(block, monkeypatch):
    monkeypatch.setitem(knn.BLOCKS, "cpu", block)
    random = torch.Generator().manual_seed(0)
    base = torch.eye(4)[torch.randint(0, 4, (40,), generator=random)]
    base *= torch.tensor([1.0, 2, 4, 8]).repeat(10)[:, None]
    rows, similarities = nearest(base, torch.eye(4), 12)
    exact = (base / base.norm(dim=1, keepdim=True)).T
    assert torch.equal(rows, exact.sort(dim=1, descending=True, stable=True).indices[:, :12])
    assert set(similarities.unique().tolist()) == {0.0, 1.0}


def test_zero_and_huge_vectors_have_a_place():
    base = torch.tensor([[0.0, 0.0], [-1e30, 0.0], [1e30, 1e30], [1e-30, 0.0]])
    rows, similarities = nearest(base, torch.tensor([[1.0, 0.0], [0.0, 0.0]]), 4)
    assert rows.tolist() == [[3, 2, 0, 1], [0, 1, 2, 3]]
    assert similarities[0].tolist() == pytest.approx([1.0, 0.5**0.5, 0.0, -1.0])
    assert similarities[1].tolist() == [0.0] * 4


def test_more_neighbours_than_images_are_refused():
    with pytest.raises(ItlError, match="5 neighbours were asked for among 4 training images"):
        nearest(torch.eye(4), torch.eye(4), 5)
