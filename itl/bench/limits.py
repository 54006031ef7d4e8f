"""What the machine can do at best: how fast it copies memory and multiplies matrices."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from itl.bench.work import Work

COPIED_BYTES = 256 << 20  # more than caches hold
SIDE = {"cpu": 2048, "cuda": 8192}  # of the square product; the inner dimension is that, or a quarter of it


@dataclass(frozen=True)
class Limits:
    """Rates that no kernel on this device exceeds for long."""

    copied: float  # bytes per second, read and written
    fp32: float  # operations per second of a matrix product; an addition and a product are two
    bf16: float

    def rate(self, work: Work) -> float | None:
        """Return the units of *work* per second at these limits; None if it states no least work.

        >>> Limits(copied=100, fp32=10, bf16=20).rate(Work("", "", 6, str, {}, moved=200, operations=30))
        2.0
        """
        seconds = max(work.moved / self.copied, work.operations / getattr(self, work.rate))
        return work.count / seconds if seconds else None


def measure(device: str) -> Limits:
    """Measure *device* with the number of threads that torch has now."""
    kind = torch.device(device).type
    source = torch.ones(COPIED_BYTES, dtype=torch.uint8, device=device)
    target, side = torch.empty_like(source), SIDE[kind]
    copied = 2 * COPIED_BYTES / seconds(lambda: target.copy_(source), device)

    def product(dtype: torch.dtype) -> float:
        rates = []
        for inner in (side, side // 4):
            one, other = (torch.randn(side, inner, device=device).to(dtype) for _ in range(2))
            rates.append(2 * side**2 * inner / seconds(partial(torch.matmul, one, other.T), device))
        return max(rates)

    return Limits(copied, product(torch.float32), product(torch.bfloat16))


def seconds(work: Callable[[], object], device: str) -> float:
    """Return the median seconds of seven calls of *work*, after one that does not count."""
    return statistics.median([once(work, device) for _ in range(8)][1:])


def once(work: Callable[[], object], device: str) -> float:
    """Return the seconds until *work* is done, on the device too."""
    _wait_for(device)
    started = time.perf_counter()
    work()
    _wait_for(device)
    return time.perf_counter() - started


def _wait_for(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
