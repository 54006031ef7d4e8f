"""What is done with frozen features on a GPU is exact or near the CPU's, and the host hardly waits for it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from itl import ItlError
from itl.evaluation import knn as module
from itl.evaluation.induction import branches, compare
from itl.evaluation.knn import nearest
from itl.evaluation.logistic_regression import Features, fit_linear
from itl.evaluation.rounding import centre_of, product_error, round_vectors
from itl.hierarchy.taxonomy import Taxonomy
from tests.evaluation.test_induction import LEAVES
from tests.evaluation.vectors import slowly
from tests.evaluation.vectors import world as vectors

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")

KINDS = ("random", "clusters", "one direction", "below bfloat16", "twice", "many zeros", "all lengths")


@contextmanager
def counted_waits() -> Iterator[list]:
    """The times that the host waits for the GPU inside."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            yield waits
    finally:
        torch.cuda.set_sync_debug_mode("default")


def skip_unless_fused() -> None:
    """Skip a test of the kernels where they are not used."""
    if module.fused_search(torch.device("cuda", torch.cuda.current_device())) is None:
        pytest.skip("the fused search needs Triton and a Hopper or Blackwell GPU")


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_neighbours_are_what_float64_finds(kind, fused, monkeypatch):
    """By the kernels and by plain torch, also where few bits cannot tell vectors apart."""
    if fused:
        skip_unless_fused()
    else:
        monkeypatch.setattr(module, "fused_search", lambda device: None)
    base, queries = vectors(kind, 9001, 70, seed=1), vectors(kind, 133, 70, seed=2)
    queries[3] = base[500]
    rows, similarities = nearest(base.cuda(), queries.cuda(), 5)
    exact, values = slowly(base, queries, 5)
    assert torch.equal(rows.cpu(), exact)
    torch.testing.assert_close(similarities.cpu(), values, rtol=0, atol=1e-14)


@pytest.mark.parametrize("fused", [True, False])
def test_neighbours_are_exact_where_the_caller_allows_tf32(fused, monkeypatch):
    if fused:
        skip_unless_fused()
    else:
        monkeypatch.setattr(module, "fused_search", lambda device: None)
    base, queries = vectors("clusters", 2000, 3, seed=1), vectors("clusters", 200, 3, seed=2)
    torch.set_float32_matmul_precision("high")
    try:
        rows, _ = nearest(base.cuda(), queries.cuda(), 5)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(rows.cpu(), slowly(base, queries, 5)[0])


def test_sorted_classes_of_uneven_sizes_in_several_blocks(monkeypatch):
    skip_unless_fused()
    from itl.evaluation import knn_triton as kernels

    monkeypatch.setattr(kernels, "MAXIMA_BYTES", 128 * 64 * 120)  # 128 queries at once
    random = torch.Generator().manual_seed(0)
    labels = torch.repeat_interleave(torch.arange(50), torch.arange(50) ** 2 // 2)[:20_000]
    centres = torch.randn(50, 200, generator=random)
    base = (centres[labels] + 0.5 * torch.randn(len(labels), 200, generator=random)).relu()
    queries = (centres[torch.arange(500) % 50] + 0.5 * torch.randn(500, 200, generator=random)).relu()
    rows, similarities, remaining = kernels.search(base.cuda(), queries.cuda(), 7)
    assert not len(remaining)
    exact, values = slowly(base, queries, 7)
    assert torch.equal(rows.cpu(), exact)
    torch.testing.assert_close(similarities.cpu(), values, rtol=0, atol=1e-14)


def test_a_search_waits_once():
    skip_unless_fused()
    base, queries = torch.randn(20_000, 64, device="cuda"), torch.randn(3000, 64, device="cuda")
    nearest(base, queries, 5)
    with counted_waits() as waits:
        nearest(base, queries, 5)
    assert len(waits) == 1


def test_vectors_that_are_not_finite_are_refused():
    base, queries = torch.randn(5000, 20, device="cuda"), torch.randn(50, 20, device="cuda")
    base[77, 3], queries[5, 5] = torch.nan, torch.inf
    with pytest.raises(ItlError, match="1 of 5000 vectors are not finite"):
        nearest(base, queries[:5], 5)
    with pytest.raises(ItlError, match="1 of 50 vectors are not finite"):
        nearest(base[:77].repeat(60, 1), queries, 5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("kind", "width"), [("random", 5000), ("one direction", 512), ("all lengths", 64)])
def test_products_of_matrix_units_err_by_less_than_the_bound(kind, width, dtype):
    """The proof rests on it; products come out in float32, so that only the sums are looked at."""
    base, queries = vectors(kind, 700, width, seed=5), vectors(kind, 300, width, seed=6)
    ours = round_vectors(queries.cuda(), dtype)
    theirs = round_vectors(base.cuda(), dtype, centre_of(base).cuda())
    products = torch.mm(ours.vectors, theirs.vectors.T, out_dtype=torch.float32).double()
    unit_queries, unit_base = (
        part.double() / part.double().norm(dim=1, keepdim=True) for part in (queries, base)
    )
    exact = unit_queries @ (unit_base - centre_of(base)).T
    assert ((products.cpu() - exact).abs() <= product_error(ours, theirs).cpu()[:, None]).all()


@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_induction_counts_what_the_cpu_counts(noise):
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(len(LEAVES), 32, generator=random)
    labels = torch.arange(len(LEAVES)).repeat(400)
    parts = [centres[labels] + noise * torch.randn(len(labels), 32, generator=random) for _ in range(2)]
    inner_nodes = branches(Taxonomy.snapshot(), LEAVES)
    on_cpu, on_gpu = (
        compare(*(Features(part.to(device), labels.to(device)) for part in parts), inner_nodes)
        for device in ("cpu", "cuda")
    )
    assert on_gpu == on_cpu


@pytest.mark.parametrize("width", [40, 63, 600])
def test_the_probe_is_the_cpus(width):
    """Also where rows are fewer than features, and columns are padded."""
    random, labels = torch.Generator().manual_seed(0), torch.arange(500) % 7
    features = torch.randn(7, width, generator=random)[labels] / 3 + torch.randn(500, width, generator=random)
    on_cpu, on_gpu = (
        fit_linear(Features(features.to(device), labels.to(device)), 7, [1.0, 1e-2])
        for device in ("cpu", "cuda")
    )
    for expected, fitted in zip(on_cpu, on_gpu, strict=True):
        torch.testing.assert_close(fitted.weights.cpu(), expected.weights, atol=2e-3, rtol=0)
        assert fitted(features.cuda()).is_cuda


def test_the_probe_waits_a_few_times_a_step():
    random, labels = torch.Generator().manual_seed(0), torch.arange(2000) % 10
    features = torch.randn(10, 64, generator=random)[labels] / 3 + torch.randn(2000, 64, generator=random)
    train = Features(features.cuda(), labels.cuda())
    fit_linear(train, 10, [1.0, 1e-2, 1e-4])
    with counted_waits() as waits:
        fit_linear(train, 10, [1.0, 1e-2, 1e-4])
    assert len(waits) < 200  # of some 40 steps; indices on the CPU alone were as many
