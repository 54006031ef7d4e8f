"""Exact nearest neighbours: a quick pass proves which rows can be among them, and float64 ranks those few."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from itl import ItlError
from itl.training.batches import has_bf16

BLOCKS = {"cpu": (2048, 8192), "cuda": (16384, 65536)}      # queries and rows at once: 32 MiB, 2 GiB
AT_ONCE = {"cpu": 2**19, "cuda": 2**24}     # numbers in float64 at once: on a CPU they stay in its cache
GROUP = 32                  # rows of which the quick pass looks at the highest first
FEW = 8, 128, 1024          # groups worth ranking: up to 8 k, or a 128th of all rows, and no more than 1,024


def nearest(
    base: Tensor, queries: Tensor, k: int, block: tuple[int, int] | None = None
) -> tuple[Tensor, Tensor]:
    """Find the *k* rows of *base* (N, D) most cosine-similar to each of *queries* (M, D).

    Returns row numbers and similarities (M, k), float64, nearest first and the lower row first of equal ones,
    on the device of *base*. Exact: what float64 finds from the vectors as they are. A zero vector has
    similarity 0 to everything. Memory beyond arguments and results is that of one *block*, and of some 30
    candidates a query.

    A pass in bfloat16, where the device has it, bounds every similarity from both sides (see `Sieve`) and
    leaves the few rows that can be among the nearest. Queries for which those are not few (features that
    differ by less than bfloat16 shows) go through the same in float32, and what that cannot part is ranked
    whole. Raises ItlError where there are fewer than *k* rows, or a number is not finite.
    """
    if not 1 <= k <= len(base):
        raise ItlError(f"{k} neighbours were asked for among {len(base)} training images; "
                       f"give at least {k} images, or use probe")
    there, block = base.device, block or BLOCKS[base.device.type]
    ours, theirs = Measured.of(queries.to(there)), Measured.of(base)
    rows = torch.empty(len(queries), k, dtype=torch.int64, device=there)
    similarities = torch.empty(len(queries), k, dtype=torch.float64, device=there)
    left = torch.arange(len(queries), device=there)
    for dtype in _precisions(base, k):
        if len(left):
            sieves = _sift(base, ours.vectors[left], k, dtype, block)
            parts = left.split(block[0])
            for sieve, part in zip(sieves, parts, strict=True):
                query, row = sieve.pairs()
                few = part[sieve.few]
                rows[few], similarities[few] = _rank(ours, theirs, part[query], row, k)
            left = torch.cat([part[~sieve.few] for sieve, part in zip(sieves, parts, strict=True)])
    everything = torch.arange(len(base), device=there)
    for query in left:
        rows[query], similarities[query] = _rank(ours, theirs, query.expand_as(everything), everything, k)
    return rows, similarities


class Measured(NamedTuple):
    """Vectors (N, D) and their lengths (N,) in float64; that of a zero vector, which none is like, as 1."""

    vectors: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, vectors: Tensor) -> "Measured":
        """Measure *vectors*; raise ItlError for those that have no length."""
        chunk = max(1, AT_ONCE[vectors.device.type] // vectors.shape[1])
        lengths = torch.cat([some.double().norm(dim=1) for some in vectors.split(chunk)])
        if broken := int((~lengths.isfinite()).sum()):
            raise ItlError(f"{broken} of {len(vectors)} vectors are not finite, so they have no neighbours; "
                           "leave them out")
        return cls(vectors, lengths.masked_fill_(lengths == 0, 1.0))


def _precisions(base: Tensor, k: int) -> list[torch.dtype]:
    """The quick passes to try, the quickest first."""
    worth = len(base) >= FEW[0] * FEW[1] * k and has_bf16(base.device)
    return [torch.bfloat16, torch.float32] if worth else [torch.float32]


class Rounded(NamedTuple):
    """Vectors (N, D) of unit length less a centre, rounded; their lengths (N,) and rounding errors (N,)."""

    vectors: Tensor
    length: Tensor
    error: Tensor


class Sieve:
    """The rows that can be among the *k* nearest of a block of queries, as blocks of rows go by.

    With q and b exact, q' and b' rounded: |<q, b> - <q', b'>| <= |q| |b - b'| + |q - q'| |b'|, by Cauchy and
    Schwarz. Adding D products in float32 errs by at most D 2^-24 |q'| |b'| (Higham, Accuracy and Stability,
    3.1; four times that, for units that truncate and for the rounding of lengths), and the result is rounded
    to the nearest of its type. So a row whose product is too low by twice all that is not among the *k*.
    """

    def __init__(self, queries: Rounded, k: int, limit: int) -> None:
        self.queries, self.k, self.limit = queries, k, limit
        self.best = queries.error.new_full((len(queries.error), k), -torch.inf)     # bounds from below
        self.groups = torch.zeros_like(queries.error, dtype=torch.int64)
        self.found: list[tuple[Tensor, Tensor, Tensor]] = []

    @property
    def few(self) -> Tensor:
        """Queries (M,) of which the candidates were few enough to list."""
        return self.groups <= self.limit

    def sift(self, base: Rounded, first: int) -> None:
        """Let a block of rows go by, of which the first is number *first*."""
        alike = self.queries.vectors @ base.vectors.T
        size = max(1, min(GROUP, alike.shape[1] // (4 * self.k)))
        if short := -alike.shape[1] % size:
            alike = F.pad(alike, (0, short), value=-torch.inf)
        alike = alike.view(len(alike), size, -1)            # a group's rows lie far apart: quicker to reduce
        peaks, error = alike.amax(1), self._error(base)
        tops = peaks.topk(min(self.k, peaks.shape[1])).values.float()
        at_least = tops - self._last_place(tops) - error
        self.best = torch.cat([self.best, at_least], 1).topk(self.k).values
        floor = (self.best[:, -1:] - error).to(alike.dtype)
        high = peaks >= floor
        self.groups += high.sum(1)
        query, group = (high & self.few[:, None]).nonzero(as_tuple=True)
        values = alike[query, :, group]
        pair, member = (values >= floor[query]).nonzero(as_tuple=True)
        query, group, values = query[pair], group[pair], values[pair, member].float()
        at_most = values + self._last_place(values) + error[query, 0]
        self.found.append((query, first + member * peaks.shape[1] + group, at_most))

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Candidates (P,) and (P,): number of the query, in its block, and of the row."""
        query, row, at_most = (torch.cat(parts) for parts in zip(*self.found, strict=True))
        kept = (at_most >= self.best[query, -1]) & self.few[query]
        return query[kept], row[kept]

    def _error(self, base: Rounded) -> Tensor:
        """How far the products (M, 1) with *base* can be from the similarities, before they are rounded."""
        added = (self.queries.vectors.shape[1] + 16) * 2.0**-22
        ours, longest = self.queries, base.length.max()
        return (base.error.max() + ours.error * longest + added * (1 + longest))[:, None]

    def _last_place(self, products: Tensor) -> Tensor:
        """How far rounding to the nearest can have moved *products*."""
        return torch.finfo(self.queries.vectors.dtype).eps / 2 * products.abs()


def _sift(base: Tensor, queries: Tensor, k: int, dtype: torch.dtype, block: tuple[int, int]) -> list[Sieve]:
    """Let all of *base* go by the queries, in blocks of both."""
    few, share, most = FEW
    limit = max(few * k, min(len(base) // share, most))
    # Similarities less <q, centre>, the same for all rows, order the rows too, and are smaller: so are errors
    centre = _unit(base[:: -(-len(base) // 4096)]).mean(0)
    sieves = [Sieve(_rounded(some, dtype), k, limit) for some in queries.split(block[0])]
    with _sums_in_float32():
        for first in range(0, len(base), block[1]):
            rows = _rounded(base[first : first + block[1]], dtype, centre)
            for sieve in sieves:
                sieve.sift(rows, first)
    return sieves


def _rounded(vectors: Tensor, dtype: torch.dtype, centre: Tensor | float = 0.0) -> Rounded:
    exact = _unit(vectors) - centre
    rounded = exact.to(dtype)
    return Rounded(rounded, exact.norm(dim=1), (exact - rounded).norm(dim=1))


def _unit(vectors: Tensor) -> Tensor:
    """*vectors* (N, D) at length 1, zero ones as they are, in float32, where no length overflows."""
    scaled = vectors / vectors.abs().amax(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    return F.normalize(scaled, dim=1)


def _rank(ours: Measured, theirs: Measured, query: Tensor, row: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The *k* best rows and their similarities for every query that is in the pairs *query*, *row* (P,)."""
    chunk = max(1, AT_ONCE[row.device.type] // theirs.vectors.shape[1])
    parts = zip(query.split(chunk), row.split(chunk), strict=True)
    alike = torch.cat([_dots(ours.vectors, asked, theirs.vectors, rows) for asked, rows in parts])
    alike /= ours.lengths[query] * theirs.lengths[row]
    order = row.argsort(stable=True)                        # the lower row first, which stable sorts keep
    order = order[alike[order].argsort(descending=True, stable=True)]
    order = order[query[order].argsort(stable=True)]
    counts = query[order].unique_consecutive(return_counts=True)[1]
    best = order[(counts.cumsum(0) - counts)[:, None] + torch.arange(k, device=order.device)]
    return row[best], alike[best]


def _dots(ours: Tensor, asked: Tensor, theirs: Tensor, rows: Tensor) -> Tensor:
    """Dot products (P,) of pairs of rows, in float64, where products of float32 numbers are exact."""
    return ours.index_select(0, asked).double().mul_(theirs.index_select(0, rows)).sum(1)


@contextmanager
def _sums_in_float32() -> Iterator[None]:
    """Keep CUDA from adding up parts of a bfloat16 product in bfloat16, which no bound here covers."""
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_bf16_reduced_precision_reduction
    matmul.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        matmul.allow_bf16_reduced_precision_reduction = before
