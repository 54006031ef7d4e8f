"""What this machine has left of disk and memory, and amounts written for people."""

import shutil
from pathlib import Path


def free_disk(home: Path) -> int:
    """Bytes that are free where *home* is or will be."""
    there = next(each for each in (home, *home.parents) if each.exists())
    return shutil.disk_usage(there).free


def free_memory() -> int:
    """Bytes of memory that can still be had, of the machine's or a container's, whichever has less."""
    told = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(told["MemAvailable"].split()[0]) << 10
    group = Path("/proc/self/cgroup").read_text().rpartition("::/")[2].strip()
    folder = Path("/sys/fs/cgroup") / group
    limit = folder / "memory.max"
    if limit.exists() and limit.read_text().strip().isdecimal():
        used = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        free = min(free, int(limit.read_text()) - int(used["anon"]))    # files in memory can be dropped
    return max(0, free)


def device_memory(device: str) -> int:
    """Bytes of a GPU's memory."""
    import torch

    return torch.cuda.get_device_properties(device).total_memory


def readable(count: int) -> str:
    """Write bytes for people.

    >>> readable(3 * 2**30), readable(5 * 2**20)
    ('3.0 GiB', '5 MiB')
    """
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 / 10 else f"{count / 2**20:.0f} MiB"


def duration(minutes: float) -> str:
    """Write a time for people.

    >>> duration(7.26), duration(300), duration(10_000)
    ('7.3 minutes', '5.0 hours', '6.9 days')
    """
    if minutes < 120:
        return f"{minutes:.1f} minutes"
    return f"{minutes / 60:.1f} hours" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"
