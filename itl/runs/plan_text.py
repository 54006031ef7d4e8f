"""A plan written for a terminal."""

from collections.abc import Mapping, Sequence
from textwrap import TextWrapper

import pandas as pd

from itl.runs.plan import Plan
from itl.words import readable, shortened

TERMINAL_COLUMNS = 100
QUESTIONS_WIDTH = 24  # of the questions that share a run, which leaves room for its conditions


def describe(plan: Plan, every_run: bool = False) -> str:
    """Write *plan* for a terminal: packs, conditions (or *every_run*) and the summary."""
    if plan.runs.empty:
        return "no question is asked: no runs to do"
    packs = plan.packs.assign(disk=plan.packs["disk"].map(readable)).round(1).drop(columns="reading")
    readings = [f"{row.pack}: {line}" for row in plan.packs.itertuples() for line in row.reading.splitlines()]
    if every_run:
        columns = ["run", "kind", "questions", "condition", "on", "seed", "state", "minutes"]
        table, widest = plan.runs[columns].round(1), {"questions": QUESTIONS_WIDTH // 2}
        runs = terminal_table(table, widest=widest, columns=None)  # for grep and the like: no more is cut
    else:
        table = plan.by_condition().round(1)
        table = table if table["partial"].any() else table.drop(columns="partial")
        runs = terminal_table(table, ("questions", "condition"), {"questions": QUESTIONS_WIDTH})
    tables = [terminal_table(packs), _wrapped(readings), runs]
    return "\n\n".join([*filter(None, tables), _wrapped(plan.summary().splitlines())])


def describe_designs(table: pd.DataFrame) -> str:
    """Write the *table* of `itl.analysis.noise.designs` for a terminal, its notes whole below it."""
    by_note = table[table["note"] != ""].groupby("note", sort=False)["question"]
    notes = [f"{', '.join(questions)}: {note}" for note, questions in by_note]
    return "\n\n".join(filter(None, [terminal_table(table.drop(columns="note")), _wrapped(notes)]))


def terminal_table(
    table: pd.DataFrame,
    key: Sequence[str] = (),
    widest: Mapping[str, int] | None = None,
    columns: int | None = TERMINAL_COLUMNS,
) -> str:
    """Write *table* in at most so many *columns* of characters: its widest ones are cut, which … marks.

    The columns *key* tell its rows apart: of rows that are alike when cut, these are written whole below.
    *widest* is how many characters a column may have.
    """
    text = table.astype(str)
    widths = {name: max(len(name), *text[name].str.len()) for name in text} if len(text) else {}
    widths |= {name: min(widths[name], width) for name, width in (widest or {}).items() if widths}
    while columns is not None and sum(widths.values()) + len(widths) - 1 > columns:
        widths[max(widths, key=widths.__getitem__)] -= 1
    cut = text.copy()
    for name, width in widths.items():
        cut[name] = text[name].map(lambda cell, width=width: shortened(cell, width))
    lines: list[str] = []
    for row in cut.index[cut.duplicated(list(key), keep=False)] if key else ():
        mark = f" [{len(lines) + 1}]"
        lines.append(f"{mark.strip()} {': '.join(text.loc[row, list(key)])}")
        cut.loc[row, key[0]] = shortened(text.loc[row, key[0]], widths[key[0]] - len(mark)) + mark
    return "\n".join([cut.to_string(index=False), *([_wrapped(lines)] if lines else [])])


def _wrapped(lines: Sequence[str]) -> str:
    """Break *lines* at TERMINAL_COLUMNS, but neither words nor indented lines: commands and paths to copy."""
    wrapper = TextWrapper(
        TERMINAL_COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(line if line.startswith("  ") else wrapper.fill(line) for line in lines)
