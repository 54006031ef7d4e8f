"""What a plan takes, for people."""

import re

from itl.machine import duration
from itl.runs.plan import Plan


def few_seconds(text: str) -> str:
    """Write a time below ten seconds in *text* in words: to start and to load libraries takes as long.

    >>> few_seconds("15 runs to do: about 0 seconds with 2 side by side"), few_seconds("19 seconds")
    ('15 runs to do: a few seconds with 2 side by side', '19 seconds')
    """
    return re.sub(r"(about )?\b\d seconds?\b", "a few seconds", text)


def plan_facts(planned: Plan) -> dict[str, object]:
    """Say for people what a plan takes: its summary, what exists already, and its conditions."""
    runs, left, is_measured = planned.runs, planned.left, planned.is_measured
    rows = []
    for row in planned.by_condition().itertuples():
        condition, every = row.condition.replace("_", " "), row.nets + row.evaluations
        time = few_seconds(duration(row.minutes)) if is_measured else "not known"
        rows.append((condition, row.nets, row.evaluations, row.done, time if row.done < every else "none"))
    packs = planned.packs[planned.packs["reading"] != ""]
    readings = [f"{row.pack}: {row.reading.splitlines()[0]}" for row in packs.itertuples()]
    return {
        "shared": f"{len(runs) - len(left)} of {len(runs)} runs exist already",
        "summary": [*readings, *few_seconds(planned.summary()).split("\n")],
        "is_measured": is_measured,
        "rows": rows,
    }
