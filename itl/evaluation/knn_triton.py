"""The k-NN search on a GPU as Triton kernels; imported only where there is a GPU.

The product of all queries and all rows, in float16, never reaches memory. Of each of its tiles a kernel keeps
the two highest values of every group of 32 rows that lie far apart. These values tell which rows can be among
the nearest (`product_error`), and another kernel ranks those few in float64. Only `search` waits, at its end.
"""

import functools

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from itl.evaluation.rounding import RoundedVectors, centre_of, product_error

QUERIES, ROWS, NUMBERS = 128, 256, 64  # of a tile of the product; numbers of a vector that are read at once
GROUPS = 8  # of a tile's rows: those of equal number modulo 8
UNIT = 2  # rows of a group of which only the higher value is looked at
UNITS = ROWS // GROUPS // UNIT
CANDIDATES = 256  # of a query at most
ROWS_PER_NEIGHBOUR = 512  # at the least, so that most groups hold no neighbour
MAX_WIDTH = 8192  # numbers of a vector
MAXIMA_BYTES = 2**30  # for the values kept of a block of queries


def search(base: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor] | None:
    """Find the *k* rows of *base* (N, D) most cosine-similar to each of *queries* (M, D), as `knn.nearest`.

    Returns:
        Rows (M, k), int64; similarities (M, k), float64; and the numbers (R,) of the queries that remain to
        be searched, because they have too many candidates, or because a vector is not finite. None where the
        kernels do not apply: few rows, very wide vectors, or vectors that are not float32.
    """
    if len(base) < ROWS_PER_NEIGHBOUR * k or base.shape[1] > MAX_WIDTH or not len(queries):
        return None
    if not base.dtype == queries.dtype == torch.float32:
        return None
    base, queries = base.contiguous(), queries.contiguous()
    rows = torch.empty(len(queries), k, dtype=torch.int64, device=base.device)
    similarities = torch.empty(len(queries), k, dtype=torch.float64, device=base.device)
    remain = torch.empty(len(queries), dtype=torch.bool, device=base.device)
    block = max(QUERIES, MAXIMA_BYTES // (len(base) * 8 // (UNITS * UNIT)) // QUERIES * QUERIES)
    with torch.cuda.device_of(base):  # where Triton launches
        rounded = _round(base, centre_of(base))
        parts = (part.split(block) for part in (queries, rows, similarities, remain))
        for query_block, *results in zip(*parts, strict=True):
            _search_block(base, rounded, query_block, *results)
    return rows, similarities, remain.nonzero().squeeze(1)


def _search_block(
    base: Tensor, rounded: RoundedVectors, queries: Tensor, rows: Tensor, similarities: Tensor, remain: Tensor
) -> None:
    """Fill *rows* and *similarities* (M, k) of *queries* (M, D), and which of them *remain* (M,)."""
    count, k = rows.shape
    rounded_queries = _round(queries)
    maxima = _group_maxima(rounded_queries.vectors, rounded.vectors)
    # The number of a unit stands in the lowest bits of its product, which is below 4
    margin = product_error(rounded_queries, rounded) + 4 * UNITS * 2.0**-23
    candidates = torch.empty(count, CANDIDATES, dtype=torch.int32, device=base.device)
    counts = torch.empty(count, dtype=torch.int32, device=base.device)
    cosines = torch.empty(count, CANDIDATES, dtype=torch.float64, device=base.device)
    # Chunks of 512 groups, and of 8 rows by 64 numbers, on one warp are the quickest on an H200
    sizes = len(rounded_queries.vectors), len(rounded.vectors) // ROWS
    constants = k, GROUPS, UNITS, UNIT, CANDIDATES, 512
    _select_kernel[(count,)](maxima, margin, candidates, counts, *sizes, *constants, num_warps=1)
    _cosines_kernel[(count,)](
        queries, base, candidates, counts, cosines, *base.shape, CANDIDATES, 8, 64, num_warps=1
    )
    _best_kernel[(count,)](cosines, candidates, counts, rows, similarities, k, CANDIDATES, num_warps=1)
    torch.logical_or(counts > CANDIDATES, margin.isnan().any(), out=remain)  # NaN: one is not finite


def _round(vectors: Tensor, centre: Tensor | None = None) -> RoundedVectors:
    """`rounding.round_vectors` to float16, padded to whole tiles.

    With a *centre*, vectors are the base. Row r of T tiles becomes row r // T of tile r % T, so that rows
    side by side, which often are of one class, are in different groups. What pads repeats a row of its group.
    """
    count, width = vectors.shape
    tile = QUERIES if centre is None else ROWS
    tiles, padded = triton.cdiv(count, tile), triton.cdiv(width, NUMBERS) * NUMBERS
    rounded = torch.empty(tiles * tile, padded, dtype=torch.float16, device=vectors.device)
    length, error = torch.empty(2, tiles * tile, device=vectors.device)
    block = triton.next_power_of_2(padded)
    at_once = max(1, min(tile, 4096 // block))
    tensors = vectors, vectors if centre is None else centre, rounded, length, error
    constants = centre is not None, tile, GROUPS, at_once, block
    _round_kernel[(tiles * tile // at_once,)](*tensors, count, tiles, width, padded, *constants)
    return RoundedVectors(rounded, length, error)


@triton.jit(do_not_specialize=["count", "tiles"])
def _round_kernel(
    vectors, centre, rounded, length, error, count, tiles, width, padded, IS_BASE: tl.constexpr,
    TILE: tl.constexpr, GROUPS: tl.constexpr, AT_ONCE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Round a few vectors, each read once."""
    position = tl.program_id(0) * AT_ONCE + tl.arange(0, AT_ONCE)
    number = tl.arange(0, BLOCK)[None, :]
    row = position
    if IS_BASE:
        row = position % TILE * tiles + position // TILE
        row -= tl.cdiv(tl.maximum(row - count + 1, 0), GROUPS * tiles) * GROUPS * tiles
    inside = number < tl.where(row < count, width, 0)[:, None]
    exact = tl.load(vectors + row.to(tl.int64)[:, None] * width + number, mask=inside, other=0.0)
    exact /= tl.maximum(tl.max(tl.abs(exact), 1), 1.2e-38)[:, None]  # so that no length overflows
    exact /= tl.maximum(tl.sqrt(tl.sum(exact * exact, 1)), 1e-12)[:, None]
    if IS_BASE:
        exact -= tl.load(centre + number, mask=number < width, other=0.0)
    half = exact.to(tl.float16)
    off = exact - half.to(tl.float32)
    tl.store(rounded + position.to(tl.int64)[:, None] * padded + number, half, mask=number < padded)
    tl.store(length + position, tl.sqrt(tl.sum(exact * exact, 1)))
    tl.store(error + position, tl.sqrt(tl.sum(off * off, 1)))


def _group_maxima(queries: Tensor, base: Tensor) -> Tensor:
    """The two highest products (2, M, tiles * GROUPS) of each query with the units of each group of rows.

    Their lowest bits are the number of the unit.
    """
    query_tiles, row_tiles = len(queries) // QUERIES, len(base) // ROWS
    maxima = torch.empty(2, len(queries), row_tiles * GROUPS, device=queries.device)
    descriptors = (
        TensorDescriptor.from_tensor(queries, [QUERIES, NUMBERS]),
        TensorDescriptor.from_tensor(base, [ROWS, NUMBERS]),
    )
    sizes, constants = (query_tiles, row_tiles, base.shape[1]), (QUERIES, ROWS, NUMBERS, GROUPS, UNITS, UNIT)
    grid = (min(multiprocessors(queries.device), query_tiles * row_tiles),)
    _group_maxima_kernel[grid](*descriptors, maxima, *sizes, *constants, num_warps=8, num_stages=4)
    return maxima


@functools.cache
def multiprocessors(device: torch.device) -> int:
    """Count the multiprocessors of a GPU."""
    return torch.cuda.get_device_properties(device).multi_processor_count


@triton.jit
def _two_highest(one, two, other, another):
    """The two highest of two pairs, of which each has the higher first."""
    return tl.maximum(one, other), tl.maximum(tl.minimum(one, other), tl.maximum(two, another))


@triton.jit(do_not_specialize=["query_tiles", "row_tiles"])
def _group_maxima_kernel(
    queries, base, maxima, query_tiles, row_tiles, width, QUERIES: tl.constexpr, ROWS: tl.constexpr,
    NUMBERS: tl.constexpr, GROUPS: tl.constexpr, UNITS: tl.constexpr, UNIT: tl.constexpr,
):  # fmt: skip
    """Multiply tile after tile; flattened loops fetch the numbers of the next while one is reduced."""
    groups = row_tiles * GROUPS
    second = maxima + query_tiles.to(tl.int64) * QUERIES * groups
    for tile in tl.range(tl.program_id(0), query_tiles * row_tiles, tl.num_programs(0), flatten=True):
        query_tile, row_tile = tile % query_tiles, tile // query_tiles  # reads rows once
        products = tl.zeros((QUERIES, ROWS), tl.float32)
        for number in range(0, width, NUMBERS):
            query_numbers = queries.load([query_tile * QUERIES, number])
            products = tl.dot(query_numbers, base.load([row_tile * ROWS, number]).T, products)
        # In the layout of matrix units all values of a group lie in one thread: nothing is exchanged
        units = tl.max(tl.reshape(products, (QUERIES, UNITS, UNIT, GROUPS)), 2)
        unit = tl.arange(0, UNITS)[None, :, None]
        units = ((units.to(tl.int32, bitcast=True) & -UNITS) | unit).to(tl.float32, bitcast=True)
        pairs = tl.reshape(units, (QUERIES, UNITS // 2, 2, GROUPS))
        highest, next_highest = tl.reduce((tl.max(pairs, 2), tl.min(pairs, 2)), 1, _two_highest)
        query = (query_tile * QUERIES + tl.arange(0, QUERIES)).to(tl.int64)
        at = query[:, None] * groups + row_tile * GROUPS + tl.arange(0, GROUPS)[None, :]
        tl.store(maxima + at, highest)
        tl.store(second + at, next_highest)


@triton.jit(do_not_specialize=["queries", "tiles"])
def _select_kernel(
    maxima, margin, candidates, counts, queries, tiles, K: tl.constexpr, GROUPS: tl.constexpr,
    UNITS: tl.constexpr, UNIT: tl.constexpr, CANDIDATES: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """List the rows that can be among the K nearest of one query.

    K groups, so K rows, have a product of at least *floor* + margin: a row below floor - margin is not among
    the nearest. Where two units of a group reach that, a third may, and the whole group is listed.
    """
    query = tl.program_id(0).to(tl.int64)
    groups = tiles * GROUPS
    first = maxima + query * groups
    second = first + queries.to(tl.int64) * groups
    candidates += query * CANDIDATES
    highest = tl.full((CHUNK,), float("-inf"), tl.float32)
    for start in range(0, groups, CHUNK):
        group = start + tl.arange(0, CHUNK)
        highest = tl.maximum(highest, tl.load(first + group, mask=group < groups, other=float("-inf")))
    best = tl.max(highest, 0)
    for _ in range(1, K):
        highest = tl.where(highest < best, highest, float("-inf"))
        best = tl.max(highest, 0)
    floor = best - 2 * tl.load(margin + query)
    count = 0
    for start in range(0, groups, CHUNK):
        group = start + tl.arange(0, CHUNK)
        top = tl.load(first + group, mask=group < groups, other=float("-inf"))
        whole = tl.load(second + group, mask=group < groups, other=float("-inf")) >= floor
        wanted = tl.where(top >= floor, tl.where(whole, UNITS * UNIT, UNIT), 0)
        if tl.max(wanted, 0) > 0:
            at = count + tl.cumsum(wanted, 0) - wanted
            corner = group % GROUPS * tiles + group // GROUPS  # where `_round` has put which row
            unit = tl.where(whole, 0, top.to(tl.int32, bitcast=True) & (UNITS - 1))
            for member in range(tl.max(wanted, 0)):
                row = (unit * UNIT + member) * GROUPS * tiles + corner
                tl.store(candidates + at + member, row, mask=(member < wanted) & (at + member < CANDIDATES))
            count += tl.sum(wanted, 0)
    tl.store(counts + query, count)


@triton.jit(do_not_specialize=["rows"])
def _cosines_kernel(
    queries, base, candidates, counts, cosines, rows, width,
    CANDIDATES: tl.constexpr, CHUNK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compare one query with its candidates, in float64; what pads a tile is no row."""
    query = tl.program_id(0).to(tl.int64)
    queries += query * width
    candidates += query * CANDIDATES
    cosines += query * CANDIDATES
    count = tl.load(counts + query)
    for start in range(0, tl.where(count > CANDIDATES, 0, count), CHUNK):
        position = start + tl.arange(0, CHUNK)
        row = tl.load(candidates + position, mask=position < count, other=rows)
        exists = row < rows
        source = base + row.to(tl.int64)[:, None] * width
        dot, square = tl.zeros((CHUNK, BLOCK), tl.float64), tl.zeros((CHUNK, BLOCK), tl.float64)
        own = tl.zeros((BLOCK,), tl.float64)
        for begin in range(0, width, BLOCK):
            number = begin + tl.arange(0, BLOCK)
            inside = tl.where(exists, width, 0)[:, None] > number[None, :]
            query_values = tl.load(queries + number, mask=number < width, other=0.0).to(tl.float64)
            stored = tl.load(source + number[None, :], mask=inside, other=0.0).to(tl.float64)
            dot += query_values[None, :] * stored
            square += stored * stored
            own += query_values * query_values
        lengths = tl.sqrt(tl.sum(square, 1)) * tl.sqrt(tl.sum(own, 0))
        cosine = tl.where(exists, tl.sum(dot, 1) / tl.where(lengths == 0, 1.0, lengths), float("-inf"))
        tl.store(cosines + position, cosine, mask=position < count)


@triton.jit
def _best_kernel(cosines, candidates, counts, rows, similarities, K: tl.constexpr, CANDIDATES: tl.constexpr):
    """Take the K best candidates of one query, one after the other; of equal ones the lower row first."""
    query = tl.program_id(0).to(tl.int64)
    position = tl.arange(0, CANDIDATES)
    listed = position < tl.load(counts + query)
    cosine = tl.load(cosines + query * CANDIDATES + position, mask=listed, other=float("-inf"))
    row = tl.load(candidates + query * CANDIDATES + position, mask=listed, other=0x7FFFFFFF)
    for rank in range(K):
        best = tl.max(cosine, 0)
        lowest = tl.min(tl.where(cosine == best, row, 0x7FFFFFFF), 0)
        tl.store(similarities + query * K + rank, best)
        tl.store(rows + query * K + rank, lowest.to(tl.int64))
        cosine = tl.where(row == lowest, float("-inf"), cosine)
