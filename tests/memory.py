"""What a process holds in memory now; its peak, which only rises, could not show that memory is freed."""

import resource
from pathlib import Path

import pytest

STATM = Path("/proc/self/statm")
needs_statm = pytest.mark.skipif(not STATM.exists(), reason="no /proc/self/statm: memory is not known")


def resident() -> int:
    """Bytes of memory that this process holds, without pages of files."""
    _, pages, shared, *_ = map(int, STATM.read_text().split())
    return (pages - shared) * resource.getpagesize()
