"""What itl says while it works: lines that it logs, and warnings as notes of one line."""

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from itl.words import one_line

_warning = threading.RLock()  # of one thread at a time
_logger = logging.getLogger("itl")


class LineHandler(logging.Handler):
    """Gives each line that itl logs to *write*. What *write* raises is not caught, as print's is not."""

    def __init__(self, write: Callable[[str], object]):
        super().__init__()
        self.write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message of *record*, without its level and origin."""
        self.write(self.format(record))


def warn(text: str) -> None:
    """Warn of *text*, which notebooks and scripts show as a note of one line, unlike other warnings."""
    with _warning:
        format_others = warnings.formatwarning
        warnings.formatwarning = _as_note
        try:
            warnings.warn(text, stacklevel=2)
        finally:
            warnings.formatwarning = format_others


def _as_note(message: object, *_: object, **__: object) -> str:
    return f"note: {one_line(message)}\n"


def warnings_as_notes(write: Callable[[str], object]) -> None:
    """Give each warning from now on, of libraries too, to *write* as a note, once: in processes of itl."""
    shown = set()

    def show(message: object, *_: object, **__: object) -> None:
        line = _as_note(message).rstrip()
        if line not in shown:
            shown.add(line)
            write(line)

    warnings.showwarning = show


@contextmanager
def log_lines(write: Callable[[str], object]) -> Iterator[None]:
    """Give each line that itl logs to *write* instead of printing it."""
    before = _logger.handlers
    _logger.handlers = [LineHandler(write)]
    try:
        yield
    finally:
        _logger.handlers = before


def _print_unless_configured(line: str) -> None:
    """Print *line*, as notebooks show it, unless the program that imports itl has configured logging."""
    if not logging.getLogger().handlers:
        print(line, flush=True)


def print_lines() -> None:
    """Print what itl logs, unless the program that imports it has configured logging."""
    _logger.setLevel(logging.INFO)
    _logger.handlers = [LineHandler(_print_unless_configured)]
