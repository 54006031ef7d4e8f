"""Check and time everything on a bare GPU machine in at most ten minutes: python tests/gpu/check.py.

It takes the checkout as it is, with any Python that has torch; kernels are compiled where they are first
used. A part that lacks something here says so and is left out. First come the tests of the GPU, then the rows
of `itl bench` that measure it, then the hours that presets would take, then tests of the CPU in the time that
is left. Last comes one table to paste: what was measured beside the goals.

Exit status: 0 nothing failed, 1 something failed or ran out of time, 2 nothing could be done. A goal that is
not met is no failure: the table says so.
"""

import argparse
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
MINUTES = 10
GRACE_S = 3  # for a part that is ended
MARGIN_S = 10  # for what comes last: the table is printed, whatever happened
KERNELS = [
    "torch",
    "torchvision",
    "numpy",
    "numba",
    "pandas",
    "pyarrow",
    "scipy",
    "PIL",
    "safetensors",
    "filelock",
]
SETTINGS = ["pydantic", "yaml"]  # who reads presets needs them too


@dataclass(frozen=True)
class Part:
    """Something to do here: what it needs, and its seconds at most."""

    needs: list[str]
    seconds: int


GPU_TESTS = {"tests/gpu": Part(["pytest", *KERNELS], 225)}
CPU_TESTS = {  # the GPU is hidden from these: some skip where they see one
    "tests/training/test_crop_triton.py": Part(["pytest", "triton", *KERNELS], 150),
    "tests/evaluation/test_knn_triton.py": Part(["pytest", "triton", *KERNELS], 150),
    "tests/evaluation/test_placement.py": Part(["pytest", *KERNELS], 150),
    "tests/training/test_loop.py": Part(["pytest", *KERNELS], 150),
    "tests/evaluation/test_frozen.py": Part(["pytest", "sklearn", *KERNELS], 150),
    "tests/training/test_batches.py": Part(["pytest", "hypothesis", *KERNELS], 150),
}
COLLECT = Part(["pytest"], 120)
PYTEST = ["-m", "pytest", "-rs", "--color=no", "-p", "no:cacheprovider"]
PYTEST += ["--continue-on-collection-errors"]  # a file that cannot be imported is one failure, no more
ROWS = [
    "crop",
    "step-small-56",
    "step-resnet18-112",
    "step-alexnet-112",
    "knn",
    "step-resnet18-56",
    "step-caffenet-227",
    "step-caffenet-227-streamed",
    "step-detection-600",
    "roi",
    "probe",
]
TABLE = Part(KERNELS, 240)
FIRST_ROW_S, ROW_S = 90, 60  # until a row has to be there: the first comes after the start
HOURS = Part([*KERNELS, *SETTINGS], 120)
NETS = Part(KERNELS, 150)
MPS_CONTROL = "nvidia-cuda-mps-control"  # starts what lets several processes compute at once
DEMO = Part([*KERNELS, *SETTINGS], 60 * MINUTES)

MACHINE = """
import json, sys
import torch
told = {"python": sys.version.split()[0], "torch": torch.__version__, "cuda": torch.version.cuda, "gpu": None}
if torch.cuda.is_available():
    told["gpu"] = torch.cuda.get_device_name()
try:
    import triton
    told["triton"] = triton.__version__
except ImportError:
    told["triton"] = "absent"
print(json.dumps(told))
"""


@dataclass
class Report:
    """What has been found out so far, written to *file* after every part."""

    file: Path | None = None
    machine: dict = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)  # how each part ended
    rows: dict[str, dict] = field(default_factory=dict)  # of the benchmark, by name
    measured: dict[str, float] = field(default_factory=dict)  # hours of presets; demo, as times two cores'
    missing: dict[str, str] = field(default_factory=dict)  # why a row or preset has no figure

    def table(self) -> list[dict[str, str]]:
        """What was measured beside the goals."""
        from tests.gpu.goals import compare

        return compare(self.rows, self.measured, self.missing) if self.machine.get("gpu") else []

    def write(self) -> None:
        """Write all of it as JSON."""
        if self.file:
            content = {name: getattr(self, name) for name in ("machine", "ended", "rows", "measured")}
            self.file.write_text(json.dumps(content | {"table": self.table()}, indent=1) + "\n")

    def status(self) -> int:
        """The exit status of this script."""
        if any(word in how for how in self.ended.values() for word in ("FAILED", "OUT OF TIME")):
            return 1
        return 0 if any(how.startswith("passed") for how in self.ended.values()) else 2


def lacking(names: list[str]) -> list[str]:
    """Those of the packages *names* that cannot be imported here."""

    def found(name: str) -> bool:
        try:
            return importlib.util.find_spec(name) is not None
        except (ImportError, ValueError):  # an import hook may refuse it
            return False

    return [name for name in names if not found(name)]


def environment() -> dict[str, str]:
    """The environment of every part: this checkout comes first in the caller's PYTHONPATH."""
    carried = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = os.pathsep.join([str(ROOT), *carried])
    return os.environ | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}


@contextmanager
def started(command: list[str], hidden: bool = False, **options: object) -> Iterator[subprocess.Popen]:
    """Start python with *command* in a process group of its own; at the end nothing of the group is left.

    Each process has a moment to end what is not of the group, such as a daemon.
    """
    print(f"$ python {' '.join(command)}", flush=True)
    variables = environment() | ({"CUDA_VISIBLE_DEVICES": ""} if hidden else {})
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=variables, start_new_session=True, **options
    )
    try:
        yield process
    finally:
        for end, patience_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, None)):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, end)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)


def run(command: list[str], seconds: float, hidden: bool = False) -> str:
    """Run python with *command* for at most *seconds*, its output shown, and say how it ended.

    The GPU may be *hidden* from it.
    """
    began = time.monotonic()
    with started(command, hidden) as process:
        try:
            status = process.wait(max(1.0, seconds))
            ended = "passed" if status == 0 else f"FAILED, exit status {status}"
        except subprocess.TimeoutExpired:
            ended = f"OUT OF TIME after {seconds:.0f} s"
    return f"{ended} ({time.monotonic() - began:.0f} s)"


def attempt(report: Report, name: str, part: Part, deadline: float, work: Callable[[float], str]) -> str:
    """Do *work*, given its seconds, if time and what *part* needs are there; report and return how it ended.

    Whatever goes wrong is said too: the parts after it are still worth having.
    """
    left = min(part.seconds, deadline - time.monotonic())
    ended = "OUT OF TIME, ended by a signal"
    try:
        if absent := lacking(part.needs):
            ended = f"skipped: {', '.join(absent)} not installed"
        elif left < MARGIN_S:
            ended = "skipped: no time left"
        else:
            ended = work(left)
    except Exception as error:
        ended = f"FAILED, {type(error).__name__}: {error}"
    finally:
        report.ended[name] = ended
        print(f"{name}: {ended}", flush=True)
        report.write()
    return ended


def check_tests(tests: dict[str, Part], report: Report, deadline: float, hidden: bool = False) -> None:
    """Run *tests* in turn; the GPU may be *hidden* from them."""
    for name, part in tests.items():

        def work(seconds: float, name: str = name) -> str:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "tests.xml"
                command = [*PYTEST, "-vv", "--durations=5", f"--junitxml={file}", name]
                return with_skips(run(command, seconds, hidden), file)

        attempt(report, name, part, deadline, work)


def with_skips(ended: str, file: Path) -> str:
    """Add which tests in *file* were skipped to how pytest *ended*: if all were, nothing has passed."""
    if not file.exists() or not ended.startswith(("passed", "FAILED, exit status 5 ")):  # 5: no test was run
        return ended
    results = ElementTree.parse(file)
    # FILE:LINE: REASON of one test, ('FILE', LINE, 'Skipped: REASON') of a whole file; nothing of xfail
    texts = [skip.text for skip in results.iter("skipped") if skip.text]
    reasons = [re.search(r"(?s)(?::\d+: |Skipped: )(.*?)(?:['\"]\))?$", text)[1] for text in texts]
    if not reasons:
        return ended
    count = len(results.findall(".//testcase"))
    how = "skipped" if len(reasons) == count else f"passed, but {len(reasons)} of {count} tests skipped"
    return f"{how}: {'; '.join(dict.fromkeys(reasons))} {ended[ended.rindex('(') :]}"


def collect_tests(report: Report, deadline: float) -> None:
    """Import all tests that what is installed allows, and run none."""
    tests = [name for name, part in (GPU_TESTS | CPU_TESTS).items() if not lacking(part.needs)]
    command = [*PYTEST, "-q", "--collect-only", *tests]
    attempt(report, "collect", COLLECT, deadline, lambda seconds: run(command, seconds))


def measure_rows(report: Report, file: Path, deadline: float) -> None:
    """Measure ROWS in one process. Where one fails to come in time, those after it go on in another."""

    def measure(seconds: float) -> str:
        began, left = time.monotonic(), list(ROWS)
        until = began + seconds
        while left and until - time.monotonic() > MARGIN_S:
            reason = measure_some(left, report, file, until)
            left = [name for name in left if name not in report.rows]
            if left:  # the first of them is where it ended
                report.missing[left.pop(0)] = reason
        report.missing |= dict.fromkeys(left, "no time left")
        failed = [name for name in ROWS if name in report.missing or "failed" in report.rows[name]]
        ended = f"FAILED, without {', '.join(failed)}" if failed else "passed"
        return f"{ended} ({time.monotonic() - began:.0f} s)"

    ended = attempt(report, "table", TABLE, deadline, measure)
    if ended.startswith("skipped"):
        report.missing |= dict.fromkeys(ROWS, ended)


def measure_some(names: list[str], report: Report, file: Path, until: float) -> str:
    """Measure rows *names* in one process as far as it comes; why it came no further."""
    file.unlink(missing_ok=True)
    command = ["-m", "itl", "bench", "--device", "cuda", "--only", ",".join(names), "--json", str(file)]
    try:
        with started(command) as process:
            due = min(until, time.monotonic() + FIRST_ROW_S)
            count = 0
            while process.poll() is None and time.monotonic() < due:
                time.sleep(0.2)
                if (now := len(rows_of(file))) > count:
                    count, due = now, min(until, time.monotonic() + ROW_S)
            status = process.poll()
    finally:  # a signal may end it
        report.rows |= rows_of(file)
    return "OUT OF TIME" if status is None else f"FAILED, exit status {status}"


def rows_of(file: Path) -> dict[str, dict]:
    """The rows of the benchmark that *file* holds so far, by name."""
    return {row["name"]: row for row in json.loads(file.read_text())["rows"]} if file.exists() else {}


def plan_hours(report: Report, file: Path, deadline: float) -> None:
    """Have the hours of presets reckoned from rates of this device."""

    def reckon(seconds: float) -> str:
        ended = run(["-m", "itl.bench.paper_grid", "--device", "cuda", "--json", str(file)], seconds)
        report.measured |= json.loads(file.read_text()) if file.exists() else {}
        return ended

    ended = attempt(report, "hours", HOURS, deadline, reckon)
    if not ended.startswith("passed"):
        unknown = {"paper", "paper-128"} - report.measured.keys()
        report.missing |= dict.fromkeys(unknown, ended)


def measure_several_nets(report: Report, file: Path, deadline: float) -> None:
    """Measure what is gained by several small nets at once on this device."""

    def measure(seconds: float) -> str:
        if shutil.which(MPS_CONTROL) is None:  # often so in containers
            return f"skipped: {MPS_CONTROL} not installed"
        ended = run(["tests/gpu/several_nets.py", str(file)], seconds)
        report.measured |= json.loads(file.read_text()) if file.exists() else {}
        return ended

    ended = attempt(report, "several nets", NETS, deadline, measure)
    if "four-small-56" not in report.measured:
        report.missing["four-small-56"] = ended


def compare_demo(report: Report, folder: Path, deadline: float) -> None:
    """Run preset demo on the GPU and on two cores at once; stop as soon as it is known which is quicker."""
    cores = sorted(os.sched_getaffinity(0))
    two, others = cores[:2], cores[2:] or cores

    def command(device: str) -> list[str]:
        return ["-m", "itl", "run", "demo", "--device", device, "--home", str(folder / device)]

    def race(seconds: float) -> str:
        began, took = time.monotonic(), {}
        with (
            started(command("cuda"), preexec_fn=lambda: os.sched_setaffinity(0, others)) as gpu,
            started(command("cpu"), preexec_fn=lambda: os.sched_setaffinity(0, two)) as cpu,
        ):
            while "cuda" not in took and (now := time.monotonic() - began) < seconds:
                time.sleep(0.2)
                took |= {
                    name: now
                    for name, process in (("cuda", gpu), ("cpu", cpu))
                    if name not in took and process.poll() is not None
                }
            statuses = [status for process in (gpu, cpu) if (status := process.poll())]
        if statuses:
            return f"FAILED, exit status {statuses[0]}"
        if "cuda" not in took:
            return f"OUT OF TIME after {seconds:.0f} s"
        report.measured["demo"] = took["cuda"] / took.get("cpu", took["cuda"])
        beside = f"{took['cpu']:.0f} s" if "cpu" in took else "longer"
        return f"passed: {took['cuda']:.0f} s on the GPU, {beside} on two cores"

    ended = attempt(report, "demo", DEMO, deadline, race)
    report.missing["demo"] = ended


def describe_machine() -> dict:
    """Versions and devices, found out by a process of its own: this one must not take the GPU's memory."""
    done = subprocess.run(
        [sys.executable, "-c", MACHINE],
        env=environment(),
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=120,
        check=True,
    )
    sys.stderr.write(done.stderr)  # torch's warnings say why it sees no GPU
    machine = json.loads(done.stdout.splitlines()[-1])
    machine["cores"] = len(os.sched_getaffinity(0))
    machine["driver"] = output_of(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
    machine["commit"] = output_of(["git", "rev-parse", "--short=12", "HEAD"])
    if output_of(["git", "status", "--porcelain", "--", "itl"]) not in ("", "unknown"):
        machine["commit"] += " with changes"
    return machine


def reason_of(error: subprocess.SubprocessError) -> str:
    """Why a process failed, in one line: the last that it wrote to stderr."""
    if isinstance(error, subprocess.CalledProcessError):
        return (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[-1]
    return f"no answer after {error.timeout} s"


def output_of(command: list[str]) -> str:
    """The first line that *command* prints; 'unknown' where it cannot be run."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return (done.stdout.splitlines() or [""])[0].strip()


def heading(machine: dict) -> str:
    """One line on the machine and its software."""
    device = f"{machine['gpu']}, driver {machine['driver']}, " if machine["gpu"] else "no CUDA device, "
    return (
        f"{device}CUDA {machine['cuda']}, torch {machine['torch']}, triton {machine['triton']}, Python "
        f"{machine['python']}, {machine['cores']} cores, commit {machine['commit']}"
    )


def main() -> int:
    """Do all that can be done here, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found there too")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="time for all of it")
    parser.add_argument("--demo", action="store_true", help="only: preset demo on the GPU and on two cores")
    parser.add_argument("--collect", action="store_true", help="import the tests, and run none")
    options = parser.parse_args()
    deadline = time.monotonic() + 60 * options.minutes - MARGIN_S
    if lacking(["torch"]):
        print("torch is not installed here, and all parts need it; pip install torch torchvision and repeat")
        return 2
    try:
        report = Report(options.json, describe_machine())
        report.write()
    except OSError as error:
        parser.error(f"cannot write {options.json}: {error.strerror}")
    except subprocess.SubprocessError as error:
        print(f"torch does not work here, and all parts need it: {reason_of(error)}")
        return 2
    print(heading(report.machine))
    parts = [*GPU_TESTS.values(), *CPU_TESTS.values(), TABLE, HOURS]
    if absent := lacking(list(dict.fromkeys(name for part in parts for name in part.needs))):
        print(f"not installed here: {', '.join(absent)}; the parts that need them are left out")
    try:
        with tempfile.TemporaryDirectory() as folder:
            check_all(report, Path(folder), deadline, options)
    finally:
        finish(report)
    return report.status()


def check_all(report: Report, folder: Path, deadline: float, options: argparse.Namespace) -> None:
    """Go through the parts in turn, most wanted first."""
    gpu = report.machine["gpu"] is not None
    if not gpu:
        print("torch sees no CUDA device: what needs one is left out")
    if options.collect:
        collect_tests(report, deadline)
        return
    if not gpu:
        parts = ["demo"] if options.demo else [*GPU_TESTS, "table", "hours", "several nets"]
        report.ended |= dict.fromkeys(parts, "skipped: torch sees no CUDA device")
    elif options.demo:
        compare_demo(report, folder, deadline)
    else:
        reserved, half = HOURS.seconds + TABLE.seconds, (deadline - time.monotonic()) / 2
        check_tests(GPU_TESTS, report, deadline - min(reserved, half))
        measure_rows(report, folder / "rows.json", deadline - HOURS.seconds)
        plan_hours(report, folder / "hours.json", deadline)
        measure_several_nets(report, folder / "nets.json", deadline)
    if not options.demo:
        check_tests(CPU_TESTS, report, deadline, hidden=True)


def finish(report: Report) -> None:
    """Print how each part ended and the table; write both."""
    from tests.gpu.goals import markdown

    print("\n" + "\n".join(f"{name}: {how}" for name, how in report.ended.items()))
    if table := report.table():
        print("\n".join(["", heading(report.machine), "", *markdown(table)]))
    sys.stdout.flush()
    report.write()


def stop(*_: object) -> None:
    """End this script at a SIGTERM: what it started ends with it, and what is known so far is printed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    signal.signal(signal.SIGTERM, stop)
    sys.exit(main())
