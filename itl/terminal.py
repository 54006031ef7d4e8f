"""What commands print for people: notes beside their output, and what went wrong in one line."""

import io
import sys

from itl.errors import ItlError
from itl.storage import is_disk_full


def print_notes(*texts: str) -> None:
    """Print each of *texts* that is not empty beside the output."""
    for text in filter(None, texts):
        print(f"note: {text}", file=sys.stderr)


def print_all_characters() -> None:
    """Have lines for people escape what the terminal's encoding lacks: hours of work must not end for a −."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def print_beside_bar(line: str) -> None:
    """Print *line* on stderr, where it spares the bar of the runs."""
    from tqdm import tqdm  # here: few commands have anything to warn of

    tqdm.write(f"itl: {line}", file=sys.stderr)


def explain(error: Exception, command: str) -> str:
    """Say in a line what went wrong; the last resort for errors that no part of itl expected."""
    if isinstance(error, ItlError):
        return str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        reason = f"{error.strerror.lower()} (while doing {command})"
        return f"cannot use {error.filename}: {reason}; correct the path or what may be done there"
    if isinstance(error, OSError) and is_disk_full(error):
        lost = f"the output of {command} could not be written: {error.strerror}"
        return f"{lost}; make room, or write it elsewhere"
    if isinstance(error, UnicodeEncodeError):
        return (
            f"the output of {command} has characters that {error.encoding}, the encoding of this terminal or "
            f"file, lacks; set PYTHONIOENCODING=utf-8, then repeat"
        )
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # numpy, or torch
        return (
            f"{command} needs more memory than there is; give fewer --workers, or a smaller batch, pixels or "
            f"size of the images"
        )
    return f"{type(error).__name__} while doing {command}: {error}; itl --debug {command} … shows where"
