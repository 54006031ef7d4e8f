"""Exact nearest neighbours: a low-precision pass finds which rows can be among them; float64 ranks these."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from itl.errors import ItlError
from itl.evaluation.rounding import RoundedVectors, centre_of, product_error, round_vectors
from itl.training.numerics import exact_float32, has_bf16, triton_kernel

BLOCKS = {"cpu": (2048, 8192), "cuda": (16384, 65536)}  # queries and rows at once: 32 MiB, 2 GiB
FLOAT64_NUMBERS = {"cpu": 2**19, "cuda": 2**24}  # at once: on a CPU they stay in its cache
GROUP_ROWS = 32  # rows of which the quick pass looks at the highest first
GROUPS_PER_NEIGHBOUR, ROWS_PER_GROUP, MOST_GROUPS = 8, 128, 1024  # see _group_limit


def nearest(base: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the *k* rows of *base* (N, D) most cosine-similar to each of *queries* (M, D).

    The device of *base* searches. Exact for float32 and float64: what float64 finds from the vectors as they
    are. A zero vector has similarity 0 to everything.

    A pass in few bits bounds every similarity from both sides and leaves the few rows that can be among the
    nearest; float64 ranks these. On a Hopper or Blackwell GPU the pass is one kernel
    (`itl.evaluation.knn_triton`). Elsewhere it works in blocks, in bfloat16 where the device has it
    (`CandidateFilter`). Queries with too many candidates (their features differ by less than the bits show)
    go through the same in float32, and what that cannot separate is ranked whole.

    Memory beyond arguments and results is that of one block and some 30 candidates a query; of the kernel,
    half of *base*, and 1 GiB.

    Returns:
        Row numbers (M, k), int64, and similarities (M, k), float64, nearest first and the lower row first of
        equal ones, on the device of *base*.

    Raises:
        ItlError: There are fewer than *k* rows, or a number is not finite.
    """
    if not 1 <= k <= len(base):
        raise ItlError(
            f"{k} neighbours were asked for among {len(base)} training images; "
            f"give at least {k} images, or use probe"
        )
    queries = queries.to(base.device)
    if base.is_cuda and (search := fused_search(base.device)) and (result := search(base, queries, k)):
        rows, similarities, remaining = result
    else:
        rows = torch.empty(len(queries), k, dtype=torch.int64, device=base.device)
        similarities = torch.empty(len(queries), k, dtype=torch.float64, device=base.device)
        remaining = torch.arange(len(queries), device=base.device)
    if len(remaining):
        _search_in_blocks(base, queries, remaining, rows, similarities)
    return rows, similarities


def _search_in_blocks(
    base: Tensor, queries: Tensor, remaining: Tensor, rows: Tensor, similarities: Tensor
) -> None:
    """Fill *rows* and *similarities* (M, k) of the queries that are *remaining*, by plain torch."""
    query_norms, base_norms, k = WithNorms.of(queries), WithNorms.of(base), rows.shape[1]
    queries_at_once, rows_at_once = BLOCKS[base.device.type]
    for dtype in precisions_of_passes(base, k):
        if not len(remaining):
            return
        parts = remaining.split(queries_at_once)
        filters = _filter(base, [queries[part] for part in parts], k, dtype, rows_at_once)
        for candidates, part in zip(filters, parts, strict=True):
            query, row = candidates.pairs()
            ranked = part[candidates.listed]
            rows[ranked], similarities[ranked] = _rank(query_norms, base_norms, part[query], row, k)
        unlisted = [part[~candidates.listed] for candidates, part in zip(filters, parts, strict=True)]
        remaining = torch.cat(unlisted)
    every_row = torch.arange(len(base), device=base.device)
    for query in remaining:
        pairs = query.expand_as(every_row), every_row
        rows[query], similarities[query] = _rank(query_norms, base_norms, *pairs, k)


class WithNorms(NamedTuple):
    """Vectors (N, D) and their norms (N,) in float64, 1 for a zero vector, which has no direction."""

    vectors: Tensor
    norms: Tensor

    @classmethod
    def of(cls, vectors: Tensor) -> "WithNorms":
        """Take the norms of *vectors*. ItlError if a number is not finite."""
        chunk = max(1, FLOAT64_NUMBERS[vectors.device.type] // vectors.shape[1])
        norms = torch.cat([part.double().norm(dim=1) for part in vectors.split(chunk)])
        if broken := int((~norms.isfinite()).sum()):
            raise ItlError(
                f"{broken} of {len(vectors)} vectors are not finite, so they have no neighbours; "
                "leave them out"
            )
        return cls(vectors, norms.masked_fill_(norms == 0, 1.0))


@functools.cache
def fused_search(device: torch.device) -> Callable[..., tuple[Tensor, Tensor, Tensor] | None] | None:
    """Return the search as Triton kernels, or None where they do not work.

    They are for GPUs whose matrix units take tiles from shared memory, Hopper and the Blackwell of servers.
    On others they would spill registers and wait for their loads.
    """
    if torch.cuda.get_device_capability(device)[0] not in (9, 10):
        return None

    def tried() -> Callable[..., tuple[Tensor, Tensor, Tensor] | None]:
        from itl.evaluation.knn_triton import ROWS_PER_NEIGHBOUR, search

        search(torch.randn(ROWS_PER_NEIGHBOUR, 8, device=device), torch.randn(1, 8, device=device), 1)
        return search

    return triton_kernel(tried, device, "plain torch finds neighbours")


def precisions_of_passes(base: Tensor, k: int) -> list[torch.dtype]:
    """Return the dtypes of the low-precision passes to do, the fastest first."""
    worthwhile = len(base) >= GROUPS_PER_NEIGHBOUR * ROWS_PER_GROUP * k and has_bf16(base.device)
    return [torch.bfloat16, torch.float32] if worthwhile else [torch.float32]


def _group_limit(rows: int, k: int) -> int:
    """Return how many groups of a query are worth ranking: 8 k, or a 128th of all rows up to 1,024."""
    return max(GROUPS_PER_NEIGHBOUR * k, min(rows // ROWS_PER_GROUP, MOST_GROUPS))


class CandidateFilter:
    """Collects the rows that can be among the *k* nearest of some queries, block of rows by block.

    `product_error` bounds how far a product of rounded vectors can be from the similarity; the product is
    itself rounded to the nearest of its type. So the *k*-th best product less its error is a lower bound of
    the *k*-th best similarity, and a row whose product plus error is below it is not among the nearest.
    """

    def __init__(self, queries: RoundedVectors, k: int, limit: int) -> None:
        self.queries, self.k, self.limit = queries, k, limit
        self.lower_bounds = queries.error.new_full((len(queries.error), k), -torch.inf)  # of the k best
        self.group_counts = torch.zeros_like(queries.error, dtype=torch.int64)
        self.blocks: list[tuple[Tensor, Tensor, Tensor]] = []  # query, row and upper bound of candidates

    @property
    def listed(self) -> Tensor:
        """Whether each query (M,) had few enough candidates to list."""
        return self.group_counts <= self.limit

    def update(self, base: RoundedVectors, first_row: int) -> None:
        """Take in a block of rows, of which the first is number *first_row*."""
        similarities = self._grouped(self.queries.vectors @ base.vectors.T)
        maxima, error = similarities.amax(1), product_error(self.queries, base)[:, None]
        best = maxima.topk(min(self.k, maxima.shape[1])).values.float()
        lower_bounds = torch.cat([self.lower_bounds, best - self._rounding(best) - error], 1)
        self.lower_bounds = lower_bounds.topk(self.k).values
        self._collect(similarities, maxima, error, first_row)

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Return the candidates as pairs (P,) and (P,): number among these queries, and row."""
        query, row, upper_bound = (torch.cat(parts) for parts in zip(*self.blocks, strict=True))
        kept = (upper_bound >= self.lower_bounds[query, -1]) & self.listed[query]
        return query[kept], row[kept]

    def _grouped(self, similarities: Tensor) -> Tensor:
        """View *similarities* (M, N) as (M, members, groups); a group's rows lie apart: quicker to reduce."""
        rows = similarities.shape[1]
        members = max(1, min(GROUP_ROWS, rows // (4 * self.k)))
        if missing := -rows % members:
            similarities = F.pad(similarities, (0, missing), value=-torch.inf)
        return similarities.view(len(similarities), members, -1)

    def _collect(self, similarities: Tensor, maxima: Tensor, error: Tensor, first_row: int) -> None:
        """List the rows whose *similarities* (M, members, groups) reach the bound, group by group."""
        floor = (self.lower_bounds[:, -1:] - error).to(maxima.dtype)
        high = maxima >= floor
        self.group_counts += high.sum(1)
        query, group = (high & self.listed[:, None]).nonzero(as_tuple=True)
        values = similarities[query, :, group]
        pair, member = (values >= floor[query]).nonzero(as_tuple=True)
        query, group, values = query[pair], group[pair], values[pair, member].float()
        upper_bound = values + self._rounding(values) + error[query, 0]
        self.blocks.append((query, first_row + member * maxima.shape[1] + group, upper_bound))

    def _rounding(self, products: Tensor) -> Tensor:
        """Return how far rounding to the nearest can have changed *products*."""
        return torch.finfo(self.queries.vectors.dtype).eps / 2 * products.abs()


def _filter(
    base: Tensor, queries: list[Tensor], k: int, dtype: torch.dtype, block: int
) -> list[CandidateFilter]:
    """Pass all of *base*, *block* rows at once, through a filter for each part of the queries."""
    centre, limit = centre_of(base), _group_limit(len(base), k)
    filters = [CandidateFilter(round_vectors(part, dtype), k, limit) for part in queries]
    with _sums_in_float32():
        for first in range(0, len(base), block):
            rows = round_vectors(base[first : first + block], dtype, centre)
            for candidates in filters:
                candidates.update(rows, first)
    return filters


def _rank(queries: WithNorms, base: WithNorms, query: Tensor, row: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the *k* best rows and their similarities for every query in the pairs *query*, *row* (P,)."""
    chunk = max(1, FLOAT64_NUMBERS[row.device.type] // base.vectors.shape[1])
    parts = zip(query.split(chunk), row.split(chunk), strict=True)
    dots = [_dots(queries.vectors, query_part, base.vectors, row_part) for query_part, row_part in parts]
    similarities = torch.cat(dots)
    similarities /= queries.norms[query] * base.norms[row]
    order = _lexsort(query, -similarities, row)  # of equal ones the lower row first
    counts = query[order].unique_consecutive(return_counts=True)[1]
    starts = counts.cumsum(0) - counts
    best = order[starts[:, None] + torch.arange(k, device=order.device)]
    return row[best], similarities[best]


def _lexsort(*keys: Tensor) -> Tensor:
    """Return the order (P,) that sorts by the first of *keys*, each (P,), then by the next, and so on.

    >>> _lexsort(torch.tensor([1, 0, 1, 0]), torch.tensor([5, 7, 4, 6]))
    tensor([3, 1, 2, 0])
    """
    order = torch.arange(len(keys[0]), device=keys[0].device)
    for key in reversed(keys):
        order = order[key[order].argsort(stable=True)]
    return order


def _dots(queries: Tensor, query: Tensor, base: Tensor, row: Tensor) -> Tensor:
    """Return dot products (P,) of pairs of rows, in float64, where products of float32 numbers are exact."""
    return queries.index_select(0, query).double().mul_(base.index_select(0, row)).sum(1)


@contextmanager
def _sums_in_float32() -> Iterator[None]:
    """Keep torch from TF32 and from sums of bfloat16 products in bfloat16: no bound covers them."""
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_bf16_reduced_precision_reduction
    matmul.allow_bf16_reduced_precision_reduction = False
    try:
        with exact_float32():
            yield
    finally:
        matmul.allow_bf16_reduced_precision_reduction = before
