"""A plan written for a terminal."""

from collections.abc import Sequence
from textwrap import TextWrapper

import pandas as pd

from itl.machine import readable
from itl.runs.plan import Plan

TERMINAL_COLUMNS = 100
QUESTIONS_WIDTH = 24  # of the questions that share a run, which leaves room for its conditions


def describe(plan: Plan, every_run: bool = False) -> str:
    """Write *plan* for a terminal: packs, conditions (or *every_run*) and the summary."""
    if plan.runs.empty:
        return "no question is asked: no runs to do"
    packs = plan.packs.assign(disk=plan.packs["disk"].map(readable)).round(1).drop(columns="reading")
    readings = [f"{row.pack}: {line}" for row in plan.packs.itertuples() for line in row.reading.splitlines()]
    columns = ["run", "kind", "questions", "condition", "on", "seed", "state", "minutes"]
    runs = plan.runs[columns].round(1) if every_run else plan.by_condition().round(1)
    if "partial" in runs and not runs["partial"].any():
        runs = runs.drop(columns="partial")
    width = QUESTIONS_WIDTH // 2 if every_run else QUESTIONS_WIDTH
    runs["questions"] = [shortened(names, width) for names in runs["questions"]]
    tables = [terminal_table(packs), _wrapped(readings), terminal_table(runs)]
    return "\n\n".join([*filter(None, tables), _wrapped(plan.summary().splitlines())])


def terminal_table(table: pd.DataFrame) -> str:
    """Write *table* in at most TERMINAL_COLUMNS: the widest columns are cut, which … marks."""
    text = table.astype(str)
    widths = {name: max(len(name), *text[name].str.len()) for name in text} if len(text) else {}
    while sum(widths.values()) + len(widths) - 1 > TERMINAL_COLUMNS:
        widths[max(widths, key=widths.__getitem__)] -= 1
    for name, width in widths.items():
        text[name] = text[name].map(lambda cell, width=width: shortened(cell, width))
    return text.to_string(index=False)


def shortened(text: str, width: int) -> str:
    """Return *text* in at most *width* characters.

    >>> shortened("bottom-up@9", 11), shortened("bottom-up@9", 7)
    ('bottom-up@9', 'bottom…')
    """
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _wrapped(lines: Sequence[str]) -> str:
    """Break *lines* at TERMINAL_COLUMNS, but no word, so that commands and paths can be copied."""
    wrapper = TextWrapper(
        TERMINAL_COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(map(wrapper.fill, lines))
