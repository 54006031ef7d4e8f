"""What a plan takes, for people."""

from itl.machine import duration
from itl.runs.plan import Plan


def plan_facts(planned: Plan) -> dict[str, object]:
    """Say for people what a plan takes: its summary, what exists already, and its conditions."""
    runs, left, is_measured = planned.runs, planned.left, planned.is_measured
    rows = []
    for row in planned.by_condition().itertuples():
        condition, every = row.condition.replace("_", " "), row.nets + row.evaluations
        time = duration(row.minutes) if is_measured else "not known"
        rows.append((condition, row.nets, row.evaluations, row.done, time if row.done < every else "none"))
    packs = planned.packs[planned.packs["reading"] != ""]
    readings = [f"{row.pack}: {row.reading.splitlines()[0]}" for row in packs.itertuples()]
    return {
        "shared": f"{len(runs) - len(left)} of {len(runs)} runs exist already",
        "summary": [*readings, *planned.summary().split("\n")],
        "is_measured": is_measured,
        "rows": rows,
    }
