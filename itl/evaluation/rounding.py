"""Vectors rounded to few bits, and how far products of them can be from the cosine similarities."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SAMPLE_ROWS = 4096  # whose mean is the centre


class RoundedVectors(NamedTuple):
    """Vectors of unit length less a centre, rounded: (N, D); their lengths and rounding errors, both (N,)."""

    vectors: Tensor
    length: Tensor
    error: Tensor


def round_vectors(vectors: Tensor, dtype: torch.dtype, centre: Tensor | float = 0.0) -> RoundedVectors:
    """Scale *vectors* (N, D) to unit length, subtract *centre* (D,), and round to *dtype*."""
    exact = unit(vectors) - centre
    rounded = exact.to(dtype)
    return RoundedVectors(rounded, exact.norm(dim=1), (exact - rounded).norm(dim=1))


def unit(vectors: Tensor) -> Tensor:
    """Scale *vectors* (N, D) to length 1, zero vectors unchanged, in float32, so that no length overflows."""
    scaled = vectors / vectors.abs().amax(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    return F.normalize(scaled, dim=1)


def centre_of(base: Tensor) -> Tensor:
    """Return the mean direction (D,) of a sample of the rows of *base* (N, D).

    Similarities less <query, centre>, which is the same for all rows, order the rows alike. They are smaller,
    and so are their errors. Any centre is valid: this one ignores rows whose length overflows.
    """
    return F.normalize(base[:: -(-len(base) // SAMPLE_ROWS)], dim=1).mean(0)


def product_error(queries: RoundedVectors, base: RoundedVectors) -> Tensor:
    """Return bounds (M,) of the error of float32 products of rounded queries with any rounded row of *base*.

    With q and b exact, q' and b' rounded: |<q, b> - <q', b'>| <= |q| |b - b'| + |q - q'| |b'|, by Cauchy and
    Schwarz. Adding D products in float32 errs by at most D 2^-24 |q'| |b'| (Higham, Accuracy and Stability,
    3.1); four times that is taken, for units that truncate and for the rounding of lengths.
    """
    longest, sums = base.length.max(), (queries.vectors.shape[1] + 16) * 2.0**-22
    return base.error.max() + queries.error * longest + sums * (1 + longest)
