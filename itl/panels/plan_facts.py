"""What a plan takes and how far its runs are, in words for people."""

from itl.panels.study_process import FAILED, NOT_STARTED, RUNNING, StudyProcess
from itl.report.run_page import loss_curve
from itl.runs.plan import Plan
from itl.runs.store import LOG_FILE
from itl.specs import Pretrain
from itl.words import duration

CURVES = 3  # of runs under way


def plan_facts(planned: Plan) -> dict[str, object]:
    """Say for people what a plan takes: its summary, what exists already, and its conditions."""
    runs, left, is_measured = planned.runs, planned.left, planned.is_measured
    rows = []
    for row in planned.by_condition().itertuples():
        condition, every = row.condition.replace("_", " "), row.nets + row.evaluations
        time = duration(row.minutes) if is_measured else "not known"
        rows.append((condition, row.nets, row.evaluations, row.done, time if row.done < every else "none"))
    packs = planned.packs[planned.packs["reading"] != ""]
    readings = [f"{row.pack}: {_reading(row.reading)}" for row in packs.itertuples()]
    return {
        "shared": f"{len(runs) - len(left)} of {len(runs)} runs exist already",
        "summary": [*readings, *planned.summary().split("\n")],
        "is_measured": is_measured,
        "rows": rows,
    }


def _reading(reading: str) -> str:
    """Return the first line of how images are *read*, and what is left out."""
    lines = reading.splitlines()
    left_out = [part for part in "; ".join(lines[1:2]).split("; ") if part.startswith("left out: ")]
    return "; ".join([lines[0], *left_out])


def progress_facts(process: StudyProcess) -> dict[str, object]:
    """Say how far the runs of *process* are: text, percent, and loss curves of runs under way.

    One that was not started watches the runs of others.
    """
    watched = process.progress()
    if watched is None:
        return {"text": process.last_line, "percent": 0, "curves": []}
    under_way = watched.under_way if process.state in (RUNNING, NOT_STARTED) else []
    folders = [process.store.path(spec) for spec in under_way if isinstance(spec, Pretrain)]
    curves = [(folder.name, curve) for folder in folders if (curve := loss_curve(folder / LOG_FILE))]
    text = str(watched) if process.state != FAILED else process.last_line
    return {"text": text, "percent": round(100 * watched.done), "curves": curves[:CURVES]}
