"""What the machine can do at best, measured: how fast it copies memory and multiplies matrices."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from itl.bench.work import Work

COPIED = 256 << 20  # bytes of the array that is copied: more than caches hold
SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices multiplied, square and with a quarter of it inside


@dataclass(frozen=True)
class Limits:
    """Rates that no kernel on this device exceeds for long."""

    copied: float  # bytes per second, those read and those written
    fp32: float  # operations per second of a matrix product; an addition and a product are two
    bf16: float

    def rate(self, work: Work) -> float | None:
        """Units of *work* per second at these limits; None where its author states no least work.

        >>> Limits(copied=100, fp32=10, bf16=20).rate(Work("", "", 6, str, {}, moved=200, operations=30))
        2.0
        """
        seconds = max(work.moved / self.copied, work.operations / getattr(self, work.rate))
        return work.count / seconds if seconds else None


def measure(device: str) -> Limits:
    """Measure *device*, with the threads that torch has now."""
    here = torch.device(device)
    source = torch.ones(COPIED, dtype=torch.uint8, device=here)
    target, side = torch.empty_like(source), SIDE[here.type]
    copied = 2 * COPIED / seconds(lambda: target.copy_(source), device)

    def product(dtype: torch.dtype) -> float:
        rates = []
        for inner in (side, side // 4):
            one, other = (torch.randn(side, inner, device=here).to(dtype) for _ in range(2))
            rates.append(2 * side**2 * inner / seconds(lambda one=one, other=other: one @ other.T, device))
        return max(rates)

    return Limits(copied, product(torch.float32), product(torch.bfloat16))


def seconds(work: Callable[[], object], device: str, rounds: int = 7) -> float:
    """Median time of one go at *work*, without the first."""
    return statistics.median([once(work, device) for _ in range(rounds + 1)][1:])


def once(work: Callable[[], object], device: str) -> float:
    """Seconds until *work* is done, on the device too."""
    wait = torch.cuda.synchronize if device.startswith("cuda") else str
    wait()
    started = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - started
