"""Where and how runs execute, which changes no number: device, workers, folders; and what this host has."""

import os
import re
import resource
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from itl.errors import ItlError, errors_about
from itl.notes import warn

GPU_DRIVERS = ("/dev/nvidiactl", "/dev/dxg")  # of Linux, and of Linux under Windows (WSL2)
CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # of Linux
OPENMP_THREADS = "OMP_NUM_THREADS"

VARIABLES = {
    f"ITL_{name}" for name in ("COMMAND", "COMPILE", "DATA", "DEVICE", "HOME", "SCHEDULER", "WORKERS")
}
NO_LIMIT = 1 << 60  # bytes; cgroup v1 writes a number above it


def cpu_count() -> int:
    """Return the number of CPU cores that this process may use.

    The least counts of the cores that it may run on, the quota of its container, and what SLURM gave a task.
    """
    cores = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    cores.append(_number("SLURM_CPUS_PER_TASK", cores[0]))
    for folder in _cgroup_folders("cpu"):
        quota, period = _cpu_quota(folder)
        if quota > 0 and period > 0:
            cores.append(max(1, quota // period))
    return min(cores)


def _cpu_quota(folder: Path) -> tuple[int, int]:
    """Return the microseconds of CPU time in each period that a cgroup has; 0, 0 without a limit."""
    if (folder / "cpu.max").exists():  # version 2
        quota, period = (folder / "cpu.max").read_text().split()
        return (0, 0) if quota == "max" else (int(quota), int(period))
    quota_file, period_file = folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"
    if not (quota_file.exists() and period_file.exists()):
        return 0, 0
    return int(quota_file.read_text()), int(period_file.read_text())  # a quota of -1 is no limit


def _cgroup_folders(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's cgroups, version 1 and 2, that may limit *controller*.

    Limits of a parent hold for its children. Inside a container the root is often the container's own group,
    and the path that the kernel names is not to be seen.
    """
    lines = OWN_CGROUPS.read_text(encoding="utf-8").splitlines() if OWN_CGROUPS.exists() else []
    for line in lines:
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        roots = [CGROUPS / names, CGROUPS / controller] if names else [CGROUPS, CGROUPS / "unified"]
        root = next((root for root in roots if root.is_dir()), None)
        if root is not None:
            own = root / path.lstrip("/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(root))


def _flag(variable: str) -> bool:
    """Return what an environment variable says: 1 or 0, as which it counts where it is not set."""
    text = os.environ.get(variable, "")
    if text not in ("", "0", "1"):
        raise ItlError(f"{variable} is {text!r}; give 1 or 0, or unset it")
    return text == "1"


def _number(variable: str, default: int, least: int = 1) -> int:
    """Return the number from *least* in an environment variable; *default* where it is not set."""
    text = os.environ.get(variable, "").split(",")[0]  # OMP_NUM_THREADS may list a number for each level
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        raise ItlError(f"{variable} is {text!r}; give a whole number from {least}, or unset it")
    return int(text)


@dataclass(frozen=True)
class Machine:
    """Where and how runs execute; nothing here enters a key.

    Device and threads change the order of float sums, so numbers repeat bit for bit if both are the same, but
    for those of transformers trained on a GPU. ItlError for impossible numbers and devices, and for data
    given as one text.
    """

    home: Path = Path()  #: holds runs/, packs/ and reports/
    data: tuple[str, ...] = ()  #: folders to search for data, or NAME=PATH
    device: str = "cpu"  #: or GPUs: cuda:1, or several of this host as in cuda:0,2
    workers: int = 1  #: runs side by side on each device
    scheduler: str | None = None  #: of Dask, whose workers do the runs: its address, or slurm for jobs
    shard: tuple[int, int] = (1, 1)  #: which part of the runs to do, of how many (array jobs)
    threads: int = field(default_factory=cpu_count)  #: of each run
    compile: bool = False  #: a minute at a run's start, for faster steps
    checkpoint_seconds: float = 20.0  #: at least this long between two checkpoints
    rank: int = 0  #: this process among the `ranks` that share one run (torchrun)
    ranks: int = 1
    command: str = field(default_factory=lambda: os.environ.get("ITL_COMMAND", "interactive"))  #: of the user

    def __post_init__(self) -> None:
        """Check what was given; a home may be text, and data a mapping of names to paths."""
        object.__setattr__(self, "home", expand_home(self.home))
        if re.search("[\ud800-\udfff]", str(self.home)):  # other bytes; no Parquet file can be there
            raise ItlError(f"the name of home {str(self.home)!r} is not in UTF-8; choose another with --home")
        if isinstance(self.data, str | Path):
            raise ItlError(
                f"data is a list of folders or NAME=PATH; got {str(self.data)!r}; give [{str(self.data)!r}]"
            )
        data: Any = self.data
        entries = [f"{name}={data[name]}" for name in data] if isinstance(data, Mapping) else map(str, data)
        object.__setattr__(self, "data", tuple(entries))
        for name in ("workers", "threads"):
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
                raise ItlError(f"{name} is a whole number from 1; got {count!r}")
            object.__setattr__(self, name, int(count))
        if not re.fullmatch(r"cpu|cuda(:\d+(,\d+)*)?", str(self.device)):
            raise ItlError(
                f"device is cpu, a GPU such as cuda:0, or several as cuda:0,2; got {self.device!r}"
            )
        if self.compile not in (True, False):
            raise ItlError(f"compile is true or false; got {self.compile!r}")
        if not (isinstance(self.checkpoint_seconds, Real) and self.checkpoint_seconds >= 0):
            raise ItlError(f"checkpoint_seconds is a number from 0; got {self.checkpoint_seconds!r}")
        numbers = self.shard if isinstance(self.shard, tuple | list) else ()
        is_pair = len(numbers) == 2 and all(isinstance(number, Integral) for number in numbers)
        if not (is_pair and 1 <= numbers[0] <= numbers[1]):
            raise ItlError(f"a shard is a part from 1 and of how many, as (1, 4); got {self.shard!r}")
        if self.scheduler and self.ranks > 1:
            raise ItlError(
                f"torchrun starts {self.ranks} processes that share each run, which workers of the scheduler "
                f"{self.scheduler} do alone; leave out torchrun, or --scheduler and ITL_SCHEDULER"
            )

    @classmethod
    def from_environment(cls, **settings) -> "Machine":
        """Return this machine, as the variables ITL_HOME, ITL_DATA and so on describe it.

        Without ITL_HOME, home is the nearest folder upwards that holds ``params`` and ``notebooks``, else
        the current one. ITL_DATA lists folders or NAME=PATH, separated as PATH is. The device cuda, the
        default where there is a GPU, means all GPUs of this host; under torchrun each rank has one of them.

        Args:
            **settings: fields that override the environment where they are not None.

        Raises:
            ItlError: for a device that is not here, more ranks than GPUs, a bad number of workers, data
                without a path, and a home that cannot be a folder.
        """
        given = {name: value for name, value in settings.items() if value is not None}
        _note_misspelt_variables()
        cores = cpu_count()
        ranks = _number("WORLD_SIZE", 1)
        rank = _number("RANK", 0, least=0) if ranks > 1 else 0  # which others than torchrun may set
        with errors_about("--device" if given.get("device") else "ITL_DEVICE"):
            device = _device(str(given.get("device", "")) or os.environ.get("ITL_DEVICE") or None)
        if ranks > 1:
            device = _of_local_rank(device, _number("LOCAL_RANK", rank, least=0))
        defaults: dict[str, Any] = {
            "home": Path(os.environ.get("ITL_HOME") or project_folder()),
            "data": split_data(os.environ.get("ITL_DATA", "")),
            "device": device,
            "workers": given.get("workers") or _number("ITL_WORKERS", cores if device == "cpu" else 1),
            "scheduler": os.environ.get("ITL_SCHEDULER") or None,
            "compile": _flag("ITL_COMPILE"),
            "rank": rank,
            "ranks": ranks,
        }
        _refuse_empty_data(given.get("data", ()), "--data")
        _refuse_empty_data(defaults["data"], "ITL_DATA")
        machine = cls(**defaults | given | {"device": device})
        runs = machine.slots if ranks == 1 else _number("LOCAL_WORLD_SIZE", 1)
        threads = given.get("threads", max(1, min(cores // runs, _number(OPENMP_THREADS, cores))))
        home = machine.home.absolute()  # a shell keeps --home=~/x; workers may stand elsewhere
        if not (existing := existing_part(home)).is_dir():
            raise ItlError(f"the home {home} cannot be a folder: {existing} is a file; give another --home")
        for folder in (home, home / "runs", home / "packs"):
            if folder.is_symlink() and not folder.exists():
                raise ItlError(
                    f"{folder} is a link to {folder.readlink()}, which does not exist; mount that disk or "
                    f"make the folder, or give another --home"
                )
        return machine.replace(threads=threads, home=home)

    def for_worker(self) -> "Machine":
        """Return the machine of a cluster's worker: this one, but with the worker's device and cores."""
        given = {"compile": self.compile or None, "checkpoint_seconds": self.checkpoint_seconds}
        return Machine.from_environment(home=self.home, data=self.data, command=self.command, **given)

    def replace(self, **settings) -> "Machine":
        """Return a copy with some settings changed."""
        return replace(self, **settings)

    @property
    def devices(self) -> tuple[str, ...]:
        """Name the devices one by one. Runs go to all of them; a process computes on the first of its own.

        >>> Machine(device="cuda:0,2").devices, Machine(device="cpu").devices
        (('cuda:0', 'cuda:2'), ('cpu',))
        """
        kind, _, numbers = self.device.partition(":")
        return tuple(f"{kind}:{number}" for number in numbers.split(",")) if numbers else (kind,)

    def can_keep(self, folder: Path) -> bool:
        """Say whether files can be kept in *folder*, which is in the home.

        Not where the home may only be read or does not exist: a plan for another home makes no folders.
        """
        return self.home.is_dir() and os.access(existing_part(folder), os.W_OK)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which `from_environment` describes this machine to a process in any folder."""
        return {
            "ITL_HOME": str(self.home.absolute()),
            "ITL_DATA": os.pathsep.join(_absolute(entry) for entry in self.data),
            "ITL_DEVICE": self.device,
            "ITL_WORKERS": str(self.workers),
            "ITL_COMPILE": str(int(self.compile)),
            "ITL_SCHEDULER": self.scheduler or "",
        }

    @property
    def options(self) -> list[str]:
        """What `itl` takes on its command line to find the same images and runs, in any folder."""
        data = [word for entry in self.data for word in ("--data", _absolute(entry))]
        return data + ([] if self.home == project_folder() else ["--home", str(self.home.absolute())])

    @property
    def slots(self) -> int:
        """Count the runs that go side by side: `workers` on each device here, or in total on a cluster."""
        return self.workers * (1 if self.scheduler else len(self.devices))

    @property
    def runs(self) -> Path:
        """Folder of the run store."""
        return self.home / "runs"

    @property
    def packs(self) -> Path:
        """Folder of the packs."""
        return self.home / "packs"

    @property
    def weights(self) -> Path:
        """Folder of the weights of nets that are not trained here."""
        return self.home / "weights"

    @property
    def taxonomies(self) -> Path:
        """Folder of the taxonomies that runs name by digest."""
        return self.home / "taxonomies"


def _note_misspelt_variables() -> None:
    """Warn of each variable of the environment that is nearly called as one of `VARIABLES`."""
    for name in os.environ.keys() - VARIABLES:
        for near in get_close_matches(name.upper(), VARIABLES, n=1, cutoff=0.8):
            warn(f"the environment's {name} is not used; did you mean {near}?")


def split_data(text: str) -> tuple[str, ...]:
    """Split the value of ITL_DATA at ``:``, but not inside a path that exists and has one.

    >>> split_data("/data:scenes=/scenes")
    ('/data', 'scenes=/scenes')
    """
    parts, entries = [part for part in text.split(os.pathsep) if part], []
    while parts:
        joined = [os.pathsep.join(parts[:length]) for length in range(len(parts), 1, -1)]
        entry = next((one for one in joined if expand_home(data_entry(one)[1]).exists()), parts[0])
        entries.append(entry)
        parts = parts[entry.count(os.pathsep) + 1 :]
    return tuple(entries)


def data_entry(entry: str) -> tuple[str, str]:
    """Return name and path of NAME=PATH, a data entry; the name is '' for a folder.

    >>> data_entry("scenes=/a=b"), data_entry("/a=b")
    (('scenes', '/a=b'), ('', '/a=b'))
    """
    name, equals, path = entry.partition("=")
    named = equals and re.fullmatch(r"[\w.-]+", name) and not Path(entry).exists()
    return (name, path) if named else ("", entry)


def _absolute(entry: str) -> str:
    """Make PATH or NAME=PATH independent of the working directory."""
    name, path = data_entry(entry)
    return f"{name}{'=' if name else ''}{expand_home(path).absolute()}"


def expand_home(path: str | Path) -> Path:
    """Return *path* with ~ at its start as the home folder; a name that begins so, of no user, as it is.

    >>> str(expand_home("~no-user.csv"))  # for which Path.expanduser raises RuntimeError
    '~no-user.csv'
    """
    return Path(os.path.expanduser(path))


def _refuse_empty_data(entries: Iterable[str], setting: str) -> None:
    """Raise ItlError for an entry without a path, which would stand for the current folder."""
    for entry in entries:
        if not data_entry(entry)[1].strip():
            raise ItlError(f"{setting} has {entry!r}, with no path; give a folder, or NAME=PATH")


def describe_unused_data(data: Sequence[str]) -> str:
    """Say what ITL_DATA lists that *data*, given instead of it, lacks; empty where it lacks nothing."""
    unused = [entry for entry in split_data(os.environ.get("ITL_DATA", "")) if entry not in data]
    options = " ".join(f"--data {shlex.quote(entry)}" for entry in unused)
    return f"; --data stands instead of ITL_DATA; to use that too, add {options}" if unused else ""


def project_folder() -> Path:
    """Find the nearest folder upwards that holds ``params`` and ``notebooks``; else the current one."""
    start = Path.cwd()
    for folder in (start, *start.parents):
        if (folder / "params").is_dir() and (folder / "notebooks").is_dir():
            return folder
    return start


def in_project(path: str) -> Path:
    """Return *path*, ~ expanded; a relative one is in the project's folder."""
    return project_folder() / expand_home(path)


def _device(name: str | None) -> str:
    """Return the device *name*, or the default for None, with GPUs numbered one by one, as in cuda:0,1.

    torch respects CUDA_VISIBLE_DEVICES, but its import is slow, so it is imported only if a GPU may be there.
    """
    if name == "cpu" or (name is None and not any(Path(path).exists() for path in GPU_DRIVERS)):
        return "cpu"
    import torch

    if name is None and not torch.cuda.is_available():
        return "cpu"
    available = [str(number) for number in range(torch.cuda.device_count())]
    kind, colon, numbers = (name or "cuda").partition(":")
    chosen = numbers.split(",") if colon else available
    repeated = len(set(chosen)) < len(chosen)
    if kind != "cuda" or not chosen or repeated or not set(chosen) <= set(available):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = ", ".join(f"cuda:{number}" for number in available) or "no GPUs"
        reason = "" if visible is None else f" with CUDA_VISIBLE_DEVICES={visible}"
        advice = "use cpu, cuda for all GPUs, or some, each once, as in cuda:0,1" if available else "use cpu"
        raise ItlError(f"device {name!r} was asked for; here are {gpus}{reason}; {advice}")
    return f"cuda:{','.join(chosen)}"


def _of_local_rank(device: str, rank: int) -> str:
    """Return the one GPU of *device* that this host's process *rank* computes on; no two share one."""
    devices = Machine(device=device).devices
    if device != "cpu" and rank >= len(devices):
        started = f"torchrun started at least {rank + 1} processes here, and the device is {device}"
        raise ItlError(f"{started}; each needs a GPU of its own: use --nproc-per-node {len(devices)}")
    return "cpu" if device == "cpu" else devices[rank]


def free_disk(home: Path) -> int:
    """Return the bytes that are free where *home* is or will be."""
    return shutil.disk_usage(existing_part(home)).free


def existing_part(path: Path) -> Path:
    """Return *path*, or the innermost folder around it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def free_memory() -> int:
    """Return the bytes that are available: of the machine, the container, the job or a process, the least."""
    import psutil  # a GPU machine that only trains may lack it

    # MiB; 0: all of the node's
    job = _number("SLURM_MEM_PER_NODE", 0, least=0) or _number("SLURM_MEM_PER_CPU", 0, least=0) * cpu_count()
    free = [psutil.virtual_memory().available, job << 20 if job else NO_LIMIT]
    of_process, _ = resource.getrlimit(resource.RLIMIT_AS)  # `ulimit -v`
    free += [of_process] if of_process != resource.RLIM_INFINITY else []
    for folder in _cgroup_folders("memory"):
        limits = [folder / name for name in ("memory.max", "memory.limit_in_bytes")]  # versions 2 and 1
        texts = [limit.read_text().strip() for limit in limits if limit.exists()]
        if texts and texts[0].isdecimal() and int(texts[0]) < NO_LIMIT:
            used = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            anonymous = used.get("anon") or used.get("total_rss") or used.get("rss", "0")
            free.append(int(texts[0]) - int(anonymous))  # files in memory can be dropped
    return max(0, min(free))


def device_memory(device: str) -> int:
    """Return the bytes of a GPU's memory."""
    import torch

    return torch.cuda.get_device_properties(device).total_memory
