"""Where a number comes from: command, versions, device, commit and time."""

import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from itl.machine import Machine

ONE_PROCESS = ("command", "finished")  # differ between the processes of one run, and change no number
PACKAGES = ("itl", "torch", "torchvision", "timm", "numpy", "pandas", "nltk", "scikit-learn")


def provenance(machine: Machine) -> dict[str, str]:
    """Return the software and hardware in use, and the time."""
    return {
        "command": machine.command,
        "commit": commit(),
        "device": device_name(machine.devices[0]),
        "device_index": ", ".join(machine.devices),
        "ranks": str(machine.ranks),
        "threads": str(machine.threads),
        "python": platform.python_version(),
        "wordnet": "3.0",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        **{name: _version(name) for name in PACKAGES},
    }


def mixed(earlier: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Return the provenance *now* of a run that was begun with *earlier*; what changed is marked as mixed.

    >>> mixed({"torch": "2.11", "finished": "at noon"}, {"torch": "2.12", "finished": "at night"})
    {'torch': 'mixed: 2.11 then 2.12', 'finished': 'at night'}
    """

    def join(name: str, value: str) -> str:
        before = earlier.get(name, value)
        values = before.removeprefix("mixed: ").split(" then ")
        if name in ONE_PROCESS or values == [value]:
            return value
        return before if values[-1] == value else f"mixed: {' then '.join([*values, value])}"

    return {name: join(name, value) for name, value in now.items()}


@cache
def commit() -> str:
    """Return the commit of the source tree, marked where it has changes.

    It is 'none' for an installed copy, which may lie in a repository that does not have its files.
    """
    folder = Path(__file__).parents[1]

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        if not git("ls-files", "--", "__init__.py"):
            return "none"
        head = git("rev-parse", "--short=12", "HEAD")
        return (head + (" with changes" if git("status", "--porcelain", "--", ".") else "")) or "none"
    except FileNotFoundError:
        return "none"


@cache
def device_name(device: str) -> str:
    """Name the device as a person would: the CPU's model, or the GPU's."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def describe_devices(machine: Machine) -> str:
    """Name the devices of *machine* for people: each kind of GPU once, with those that are of it."""
    if machine.device == "cpu":
        return device_name("cpu")
    kinds: dict[str, list[str]] = {}
    for device in machine.devices:
        kinds.setdefault(device_name(device), []).append(device)
    return ", ".join(f"{name} ({', '.join(devices)})" for name, devices in kinds.items())


@cache  # each is read and parsed from a file: for 8 packages, a sixth of the time of a tiny run
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
