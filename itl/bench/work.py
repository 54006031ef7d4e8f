"""One row of the benchmark: work done by itl and by its peers, and what the machine can do at best."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

COPIED_BYTES = 256 << 20  # more than caches hold
TURN_S = 0.02  # of a turn on a GPU at least: a shorter one times how quickly the host begins
SIDE = {"cpu": 2048, "cuda": 8192}  # of the square product; the inner dimension is that, or a quarter of it


@dataclass(frozen=True)
class Work:
    """The same work done once by itl and by each peer, which people would use instead."""

    what: str  # "exact 5-NN, 10,000 queries in 100,000 × 512"
    unit: str  # "queries"
    count: int  # of units that one call does
    ours: Callable[[], object]
    peers: Mapping[str, Callable[[], Any]]  # by the name shown
    absent: Mapping[str, str] = field(default_factory=dict)  # peers that are not installed, and why
    moved: float = 0  # bytes that one call must move at the least
    operations: float = 0  # floating-point operations that one call must do at the least
    precision: str = "fp32"  # matrix products whose rate bounds the operations: fp32 or bf16
    agree: Callable[[], str] = str  # after timing: how far the results agree, in one line


def installed(factories: Mapping[str, Callable[[], Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    """Make each peer; return those that are here, and why the others are absent."""
    peers, absent = {}, {}
    for name, make in factories.items():
        try:
            peers[name] = make()
        except (ImportError, OSError) as error:  # OSError: a library that it links to is missing
            absent[name] = str(error)
    return peers, absent


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
        seconds = max(work.moved / self.copied, work.operations / getattr(self, work.precision))
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
    """Return the median seconds of seven turns of *work*, after one that does not count."""
    return statistics.median([turn(work, device) for _ in range(8)][1:])


def turn(work: Callable[[], object], device: str) -> float:
    """Return the seconds until *work* is done, on the device too: on a GPU the mean of calls for TURN_S."""
    took = calls(work, 1, device)
    if not device.startswith("cuda") or took >= TURN_S:
        return took
    count = math.ceil(TURN_S / took)
    return calls(work, count, device) / count


def calls(work: Callable[[], object], count: int, device: str) -> float:
    """Return the seconds until *count* calls of *work*, one after another, are done, on the device too."""
    _wait_for(device)
    started = time.perf_counter()
    for _ in range(count):
        work()
    _wait_for(device)
    return time.perf_counter() - started


def _wait_for(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
