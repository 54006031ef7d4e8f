"""The benchmark table: each row the same work by itl and by its peers, in turn, beside what is possible."""

import json
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from itl import ItlError, pick
from itl.bench.batches import batches, reading
from itl.bench.device import crop
from itl.bench.limits import Limits, measure, once
from itl.bench.linear import probe
from itl.bench.neighbours import neighbours
from itl.bench.packing import packing
from itl.bench.regions import cutting
from itl.bench.scoring import scoring
from itl.bench.start import starting
from itl.bench.training import step
from itl.bench.work import Work
from itl.machine import Machine
from itl.runs.provenance import provenance
from itl.storage import write_atomic

ROUNDS = 5                              # after a first, which compiles, starts workers and fills caches
LINE = "    {:34}{:>14}{:>8}  {}"

ROWS: dict[str, Callable[[Path, str], Work]] = {
    "start": starting,
    "pack": packing,
    "read": reading,
    "batches-64": partial(batches, size=64, pixels=56),
    "batches-128": partial(batches, size=128, pixels=112),
    "crop": crop,
    "step-small-56": partial(step, net="small", size=64, pixels=56, longer=5),
    "step-alexnet-112": partial(step, net="alexnet", size=128, pixels=112),
    "step-resnet18-56": partial(step, net="resnet18", size=64, pixels=56),
    "step-resnet18-112": partial(step, net="resnet18", size=128, pixels=112),
    "knn": neighbours,
    "probe": probe,
    "roi": cutting,
    "voc-ap": scoring,
}


def bench(only: str | None, file: Path | None, device: str | None) -> None:
    """Print the table, all of it or one row, and write the same as JSON to *file*.

    A peer that is absent or fails is named with the reason, and so is a row that this machine cannot run.
    Raises ItlError where *only* is no row and, when all is printed, where our own work failed.
    """
    machine = Machine.here(device=Machine.here(device=device).devices[0], workers=1)     # one, however many
    chosen = {only: pick(ROWS, only, "row of the table")} if only else ROWS
    torch.set_num_threads(machine.threads)
    limits = measure(machine.device)
    told = {"machine": provenance(machine), "limits": asdict(limits), "rows": []}
    print(heading(told), flush=True)
    for name, row in chosen.items():
        torch.set_num_threads(machine.threads)
        told["rows"].append({"name": name} | filled(row, machine.device, limits))
        print("\n".join(lines(told["rows"][-1])), flush=True)
        if file:
            write_atomic(file, lambda temporary: temporary.write_text(json.dumps(told, indent=1)))
    if failed := [row["name"] for row in told["rows"] if row.get("failed")]:
        raise ItlError(f"{', '.join(failed)} of the table failed; the reasons stand in their rows")


def filled(row: Callable[[Path, str], Work], device: str, limits: Limits) -> dict:
    """What the table says of one row; the reason alone where it cannot be measured."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            return measured(row(Path(folder), device), device, limits)
    except ItlError as error:                       # such as a row that needs a GPU
        return {"not_here": str(error)}
    except Exception as error:                      # the other rows are still worth having
        return {"failed": _reason(error)}


def measured(work: Work, device: str, limits: Limits) -> dict:
    """Rates of *work*, ours and its peers', as medians over turns; ratios are taken turn by turn."""
    once(work.ours, device)
    ready, absent = {}, dict(work.absent)
    for name, peer in work.peers.items():
        try:
            once(peer, device)
            ready[name] = peer
        except Exception as error:                  # a peer that is installed may still not run here
            absent[name] = _reason(error)
    everyone = {"itl": work.ours, **ready}
    turns = [{name: once(each, device) for name, each in everyone.items()} for _ in range(ROUNDS)]
    rates = {name: work.count / statistics.median(turn[name] for turn in turns) for name in everyone}
    ratios = {name: statistics.median(turn[name] / turn["itl"] for turn in turns) for name in ready}
    limit = limits.rate(work)
    return {
        "what": work.what, "unit": work.unit, "rates": rates, "ratios": ratios,
        "ratio": ratios[max(ready, key=rates.get)] if ready else None,
        "limit": limit, "reached": limit and rates["itl"] / limit,
        "agree": work.agree(), "absent": absent,
    }


def heading(told: dict) -> str:
    """Where and with what the table was measured."""
    machine, limits = told["machine"], told["limits"]
    return (
        f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}, "
        f"commit {machine['commit']}\n"
        f"measured at most: {limits['copied'] / 1e9:.3g} GB/s read and written, matrix products "
        f"{limits['fp32'] / 1e12:.3g} (fp32) and {limits['bf16'] / 1e12:.3g} (bf16) TFLOP/s\n"
        f"rates are medians of {ROUNDS} turns; × is how many times as fast itl is"
    )


def lines(row: dict) -> list[str]:
    """One row as it is printed.

    >>> lines({"name": "gpu", "not_here": "no CUDA device"})
    ['gpu: not measured, no CUDA device']
    """
    if why := row.get("not_here") or row.get("failed"):
        return [f"{row['name']}: {'not measured' if 'not_here' in row else 'FAILED'}, {why}"]
    rates, told = dict(row["rates"]), [f"{row['name']}: {row['what']}, {row['unit']}/s"]
    limit = f"{row['reached']:.1%} of {_figure(row['limit'])}, the machine's limit" if row["limit"] else ""
    told.append(LINE.format("itl", _figure(rates.pop("itl")), "×", limit))
    for name, rate in sorted(rates.items(), key=lambda pair: -pair[1]):
        told.append(LINE.format(name, _figure(rate), f"{row['ratios'][name]:.2f}", ""))
    told += [LINE.format(name, "absent", "", why) for name, why in row["absent"].items()]
    return [line.rstrip() for line in [*told, f"    {row['agree']}"] if line.strip()]


def _figure(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _reason(error: Exception) -> str:
    told = str(error).strip().splitlines()
    return f"{type(error).__name__}: {told[0]}" if told else type(error).__name__
