"""One row of the benchmark: the same work, done by itl and by its peers, which people would use instead."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Work:
    """The same work done once by itl and by each peer."""

    what: str  # "exact 5-NN, 10,000 queries in 100,000 × 512"
    unit: str  # "queries"
    count: int  # of units that one call does
    ours: Callable[[], object]
    peers: Mapping[str, Callable[[], object]]  # by the name shown
    absent: Mapping[str, str] = field(default_factory=dict)  # peers that are not installed, and why
    moved: float = 0  # bytes that one call must move at the least
    operations: float = 0  # floating-point operations that one call must do at the least
    rate: str = "fp32"  # matrix products whose rate bounds the operations: fp32 or bf16
    agree: Callable[[], str] = str  # after timing: how far the results agree, in one line
