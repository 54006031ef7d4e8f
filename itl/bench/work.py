"""What one row of the benchmark is: the same work, done by itl and by what people would use instead."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Work:
    """One go at the same work by us and by each peer; `count` units of `unit` a go."""

    what: str  # "exact 5-NN, 10,000 queries in 100,000 × 512"
    unit: str  # "queries"
    count: int  # units that one go does
    ours: Callable[[], object]
    peers: Mapping[str, Callable[[], object]]  # by the name shown
    absent: Mapping[str, str] = field(default_factory=dict)  # peers that are not here, and why
    moved: float = 0  # bytes that one go has to move at the least
    operations: float = 0  # floating-point operations that one go has to do at the least
    rate: str = "fp32"  # whose rate bounds the operations: fp32 or bf16 matrix products
    agree: Callable[[], str] = str  # after timing: how far the results agree, in one line
