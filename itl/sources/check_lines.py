"""The lines of `itl check`: problems, notes and counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from itl.words import counted

MAX_PROBLEMS_IN_ERROR = 3  # more are listed with the other lines


@dataclass(frozen=True)
class CheckLine:
    """One thing that a check has to say."""

    kind: Literal["problem", "note", "missing", "next", "count"]
    text: str  # of a count: the whole line

    def __str__(self) -> str:
        """Return the line that people read."""
        return self.text if self.kind == "count" else f"{self.kind}: {self.text}"


def split_problems(lines: Sequence[CheckLine]) -> tuple[list[str], str]:
    """Return the lines to print, and an error on the problems: one line, empty without any.

    A few problems are in the error only; more are among the lines.

    >>> split_problems([CheckLine("count", "train: 3 images"), CheckLine("problem", "no val")])
    (['train: 3 images'], 'no val')
    """
    texts = [line.text for line in lines if line.kind == "problem"]
    if len(texts) > MAX_PROBLEMS_IN_ERROR:
        return [str(line) for line in lines], f"{counted(len(texts), 'problems')}, listed above"
    return [str(line) for line in lines if line.kind != "problem"], "; ".join(texts)
