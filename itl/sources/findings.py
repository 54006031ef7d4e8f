"""Findings: what `itl check` has to say, line by line."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from itl import ItlError, counted, pick
from itl.sources.boxes import OUTSIDE

MAX_PROBLEMS_IN_ERROR = 3  # more are listed with the other lines


@dataclass(frozen=True)
class Finding:
    """One thing that a check found."""

    kind: Literal["problem", "note", "missing", "next", "count"]
    text: str  # of a count: the whole line

    def __str__(self) -> str:
        """Return the line that people read."""
        return self.text if self.kind == "count" else f"{self.kind}: {self.text}"


def check_options(kind: str, others: Iterable[str], outside: object, **paths: object) -> None:
    """Raise ItlError for *others* (no options of *kind*), another *outside*, or *paths* that are numbers."""
    for name in others:
        pick(dict.fromkeys([*paths, "outside"]), name, f"option of {kind}")
    pick(OUTSIDE, str(outside), "value of the option outside")
    for name, value in paths.items():
        if not isinstance(value, str | Path | None):
            raise ItlError(f"the option {name} is the name of a file or folder, not {value!r}")


def report(findings: list[Finding]) -> tuple[list[str], str]:
    """Return the lines to print, and an error on the problems: one line, empty without any.

    A few problems are in the error only; more are among the lines.

    >>> report([Finding("count", "train: 3 images"), Finding("problem", "no val")])
    (['train: 3 images'], 'no val')
    """
    texts = [finding.text for finding in findings if finding.kind == "problem"]
    if len(texts) > MAX_PROBLEMS_IN_ERROR:
        return [str(finding) for finding in findings], f"{counted(len(texts), 'problems')}, listed above"
    return [str(finding) for finding in findings if finding.kind != "problem"], "; ".join(texts)
