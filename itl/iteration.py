"""Pairs grouped by their keys, and work that a pool does ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Return the values of *pairs* by their keys.

    >>> grouped([("a", 1), ("b", 2), ("a", 3)])
    {'a': [1, 3], 'b': [2]}
    """
    groups: dict[K, list[V]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def map_in_order(pool: Executor, work: Callable, parts: Iterable, prefetch: int = 1) -> Iterator:
    """Yield work(part) for each of *parts*, in order; *pool* computes the next *prefetch* meanwhile."""
    pending: deque[Future] = deque()
    try:
        for part in parts:
            pending.append(pool.submit(work, part))
            if len(pending) > prefetch:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
