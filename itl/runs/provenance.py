"""Where a number comes from: command, versions, device, commit and time."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from itl.machine import Machine

PACKAGES = ("itl", "torch", "torchvision", "timm", "numpy", "pandas", "nltk")


def provenance(machine: Machine) -> dict[str, str]:
    """Say what software and hardware is at work, and when."""
    return {
        "command": os.environ.get("ITL_COMMAND", "interactive"),
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


@cache
def commit() -> str:
    """Return the commit of the source tree, marked where it has changes; 'none' for an installed copy."""
    folder = Path(__file__).parents[1]

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
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
    lines = path.read_text().splitlines() if path.exists() else []
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


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
