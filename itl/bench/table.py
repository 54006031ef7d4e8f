"""The benchmark table: in each row itl and its peers do the same work in turn, beside the machine's limit."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from itl.bench.batches import batches, crop, read_images
from itl.bench.evaluation import align_regions, probe, score_detections, search_neighbours
from itl.bench.packing import packing
from itl.bench.training import detection_step, step
from itl.bench.work import Limits, Work, measure, seconds, turn
from itl.errors import ItlError, pick
from itl.machine import Machine
from itl.runs.provenance import provenance
from itl.storage import write_text
from itl.training.batches import use_device

ROUNDS = 5  # after a first, which compiles, starts workers and fills caches
SLOW_S = {"cpu": float("inf"), "cuda": 3.0}  # a peer whose first turn takes longer has no other
LINE = "    {:34}{:>14}{:>8}  {}"
HELP = ["-m", "itl", "--help"]


def start_up(folder: Path, device: str) -> Work:
    """Run `itl --help` in a fresh interpreter, beside interpreters that import nothing, NumPy or torch."""

    def python(*words: str) -> None:
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)

    def goals() -> str:
        python_s, import_s = (seconds(partial(python, "-c", code), "cpu") for code in ("", "import itl"))
        help_s = seconds(partial(python, *HELP), "cpu")
        itl_s = max(0, import_s - python_s)
        return f"import itl takes {itl_s:.3f} s (goal: < 0.1), itl --help {help_s:.2f} s (goal: < 0.3)"

    codes = {"Python alone": "", "import numpy": "import numpy", "import torch": "import torch"}
    peers = {name: partial(python, "-c", code) for name, code in codes.items()}
    return Work("itl --help in a fresh interpreter", "starts", 1, partial(python, *HELP), peers, agree=goals)


ROWS: dict[str, Callable[[Path, str], Work]] = {  # each takes a folder and a device, used or not
    "start": start_up,
    "pack": packing,
    "read": read_images,
    "batches-64": partial(batches, size=64, pixels=56),
    "batches-128": partial(batches, size=128, pixels=112),
    "crop": crop,
    "crop-256": partial(crop, size=64, pixels=56, batch=256),
    "step-small-56": partial(step, net="small", size=64, pixels=56, longer=5),
    "step-alexnet-112": partial(step, net="alexnet", size=128, pixels=112),
    "step-resnet18-56": partial(step, net="resnet18", size=64, pixels=56),
    "step-resnet18-112": partial(step, net="resnet18", size=128, pixels=112),
    "step-caffenet-227": partial(step, net="caffenet", size=256, pixels=227, longer=0.5),
    "step-caffenet-227-streamed": partial(
        step, net="caffenet", size=256, pixels=227, longer=0.5, streamed=True
    ),
    "step-detection-600": detection_step,
    "knn": search_neighbours,
    "probe": probe,
    "roi": align_regions,
    "voc-ap": score_detections,
}
ON_CPU = ["start", "pack", "read", "batches-64", "batches-128", "voc-ap"]  # measured there always
# Too slow on a CPU
FOR_GPU = ["crop", "step-caffenet-227", "step-caffenet-227-streamed", "step-detection-600"]


def bench(only: str | None, file: Path | None, device: str | None) -> None:
    """Print the table, and write it as JSON, row by row.

    A peer that is absent or fails is named with the reason. Where itl's own work fails, ItlError says so once
    all is printed.

    Args:
        only: names of rows, separated by commas. Without it, rows that measure the CPU are left out for a
            GPU, and rows that take minutes on a CPU are left out there.
        file: where the JSON is written.
        device: as the command line takes it; of several, the first.
    """
    if file and not file.parent.is_dir():
        raise ItlError(f"there is no folder {file.parent} to write {file.name} to; make it first")
    if file and file.is_dir():
        raise ItlError(f"{file} is a folder; give --json a file, such as {file / 'bench.json'}")
    one_device = Machine.from_environment(device=device).devices[0]
    machine = Machine.from_environment(device=one_device, workers=1)
    rows = rows_for(only, machine.device)
    use_device(machine)  # a CUDA graph records what is done on the current device, and only that
    torch.set_num_threads(machine.threads)
    limits = measure(machine.device)
    results: list[dict[str, Any]] = []
    table = {"machine": provenance(machine), "limits": asdict(limits), "rows": results}
    print(heading(table), flush=True)
    for name, row in rows.items():
        torch.set_num_threads(machine.threads)
        results.append({"name": name} | try_row(row, machine.device, limits))
        print("\n".join(lines(results[-1])), flush=True)
        if file:
            write_text(file, json.dumps(table, indent=1))
    if failed := [result["name"] for result in results if result.get("failed")]:
        raise ItlError(f"{', '.join(failed)} of the table failed; the reasons are in their rows")


def rows_for(only: str | None, device: str) -> dict[str, Callable[[Path, str], Work]]:
    """Return the rows that *only* names, in its order; without it those that measure *device*.

    ItlError for a row that there is not, or not on *device*.

    >>> list(rows_for("knn,crop", "cuda")), "voc-ap" in rows_for(None, "cuda")
    (['knn', 'crop'], False)
    """
    if only is not None:
        if "crop" in only.split(",") and not device.startswith("cuda"):
            raise ItlError("the fused crop is for GPUs, and this is measured on the CPU; use --device cuda")
        return {name: pick(ROWS, name, "row of the table") for name in only.split(",")}
    left_out = ON_CPU if device.startswith("cuda") else FOR_GPU
    return {name: row for name, row in ROWS.items() if name not in left_out}


def try_row(row: Callable[[Path, str], Work], device: str, limits: Limits) -> dict:
    """Measure one row; if that fails, return only the reason."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            return measured(row(Path(folder), device), device, limits)
    except Exception as error:  # the other rows are measured all the same
        return {"failed": _reason(error)}


def measured(work: Work, device: str, limits: Limits) -> dict:
    """Measure the rates of itl and its peers at *work*, as medians over turns; ratios are taken turn by turn.

    A peer that is slow, such as one on the CPU beside a GPU, has one turn, compared with itl's median.

    Returns:
        A row of the table: rates in units per second and ratios, itl's rate over the peer's, by name; ratio,
        that to the fastest peer; limit, the machine's, and reached, itl's rate over it; and what is printed.
    """
    turn(work.ours, device)
    first, absent = {}, dict(work.absent)
    for name, peer in work.peers.items():
        try:
            first[name] = turn(peer, device)
        except Exception as error:  # a peer that is installed may still not run here
            absent[name] = _reason(error)
    longest = SLOW_S[torch.device(device).type]
    slow = {name: seconds for name, seconds in first.items() if seconds > longest}
    everyone = {"itl": work.ours} | {name: work.peers[name] for name in first if name not in slow}
    turns = pd.DataFrame([{name: turn(run, device) for name, run in everyone.items()} for _ in range(ROUNDS)])
    medians = turns.median().to_dict() | slow
    ratios = turns.div(turns["itl"], axis=0).median().drop("itl").to_dict()
    ratios |= {name: slow[name] / medians["itl"] for name in slow}
    rates = {name: work.count / duration for name, duration in medians.items()}
    limit = limits.rate(work)
    return {
        "what": work.what,
        "unit": work.unit,
        "rates": rates,
        "ratios": ratios,
        "ratio": ratios[max(first, key=lambda name: rates[name])] if first else None,
        "limit": limit,
        "reached": limit and rates["itl"] / limit,
        "agree": work.agree(),
        "absent": absent,
        "one_turn": sorted(slow),
    }


def heading(table: dict) -> str:
    """Say on which machine, and with what, *table* was measured."""
    machine, limits = table["machine"], table["limits"]
    return (
        f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}, "
        f"commit {machine['commit']}\n"
        f"measured at most: {limits['copied'] / 1e9:.3g} GB/s read and written, matrix products "
        f"{limits['fp32'] / 1e12:.3g} (fp32) and {limits['bf16'] / 1e12:.3g} (bf16) TFLOP/s\n"
        f"rates are medians of {ROUNDS} turns; × is how many times as fast itl is"
    )


def lines(row: dict) -> list[str]:
    """Return a row as it is printed.

    >>> lines({"name": "knn", "failed": "RuntimeError: out of memory"})
    ['knn: FAILED, RuntimeError: out of memory']
    """
    if "failed" in row:
        return [f"{row['name']}: FAILED, {row['failed']}"]
    rates, texts = dict(row["rates"]), [f"{row['name']}: {row['what']}, {row['unit']}/s"]
    limit = f"{row['reached']:.1%} of {_figure(row['limit'])}, the machine's limit" if row["limit"] else ""
    texts.append(LINE.format("itl", _figure(rates.pop("itl")), "×", limit))
    for name, rate in sorted(rates.items(), key=lambda pair: -pair[1]):
        turns = "one turn" if name in row["one_turn"] else ""
        texts.append(LINE.format(name, _figure(rate), f"{row['ratios'][name]:.2f}", turns))
    texts += [LINE.format(name, "absent", "", why) for name, why in row["absent"].items()]
    return [line.rstrip() for line in [*texts, f"    {row['agree']}"] if line.strip()]


def _figure(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _reason(error: Exception) -> str:
    message = str(error).strip().splitlines()
    return f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
