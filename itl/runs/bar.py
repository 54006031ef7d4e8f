"""A bar that shows how far something is: tqdm's, or none on a machine without tqdm."""


class Unseen:
    """What a bar is to its user, but for showing anything."""

    def __init__(self, initial: int = 0):
        """Start at *initial*."""
        self.n = initial

    def __enter__(self) -> "Unseen":
        """As tqdm does."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is shown, so nothing is left."""

    def update(self, count: int) -> None:
        """Go on by *count*."""
        self.n += count

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        """What would stand behind the bar."""

    def close(self) -> None:
        """As `__exit__`."""


def bar(total: int, initial: int, unit: str, hidden: bool, pause: float = 0.1):
    """Make a bar from *initial* to *total*, drawn again after *pause* seconds at the soonest.

    >>> bar(total=3, initial=1, unit="run", hidden=True).n
    1
    """
    try:
        from tqdm import tqdm
    except ImportError:                     # a bare GPU machine: it computes as well without
        return Unseen(initial)
    return tqdm(total=total, initial=initial, unit=unit, disable=hidden, mininterval=pause)
