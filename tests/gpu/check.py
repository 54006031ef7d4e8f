"""Check and time everything on a bare GPU machine in at most ten minutes: python tests/gpu/check.py.

It takes the checkout as it is, with any Python that has torch and what else itl's core imports; kernels are
compiled where they are first used. What this machine lacks is said and left out. Last come the hours that the
preset `paper` would take here, which `itl.bench.paper_grid` reckons, and then the table.
"""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
MINUTES = 10
CORE = [
    "torch", "torchvision", "numpy", "numba", "pandas", "pyarrow", "scipy", "PIL", "safetensors", "filelock",
    "pydantic", "yaml",
]
TESTS = {                               # what each needs beyond pytest, and its seconds at most
    "tests/gpu": ([], 240),
    "tests/training/test_crop_triton.py": (["triton"], 60),
    "tests/training/test_loop.py": ([], 60),
    "tests/evaluation/test_frozen.py": (["sklearn"], 60),
    "tests/training/test_batches.py": (["hypothesis"], 60),
}
GRID = "itl.bench.paper_grid"           # tells the hours of the paper's grid
HOURS, TABLE = 90, 240                  # seconds that are kept for these hours, and for the table


def lacking(names: list[str]) -> list[str]:
    """Those of the packages *names* that are not installed."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def run(command: list[str], seconds: float) -> str:
    """Run python with *command*, its output shown, and say how it ended: it and its children, in time."""
    print(f"$ python {' '.join(command)}", flush=True)
    started = time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, start_new_session=True)
    try:
        status = process.wait(max(1.0, seconds))
        ended = "passed" if status == 0 else f"FAILED, exit status {status}"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        ended = f"OUT OF TIME after {seconds:.0f} s"
    return f"{ended} ({time.monotonic() - started:.0f} s)"


def checked(deadline: float) -> dict[str, str]:
    """How each file of tests went, in the time that hours and table leave."""
    told = {}
    for tests, (needed, most) in TESTS.items():
        left = deadline - HOURS - TABLE - time.monotonic()
        absent = lacking(["pytest", *needed])
        if absent or left < 10:
            told[tests] = f"skipped: {', '.join(absent)} not installed" if absent else "skipped: no time left"
        else:
            command = ["-m", "pytest", "-q", "-rs", "--color=no", "-p", "no:cacheprovider", tests]
            told[tests] = run(command, min(most, left))
    return told


def main() -> int:
    """Do all that can be done here; 0 where nothing failed, 1 where something did, 2 where nothing can."""
    deadline = time.monotonic() + 60 * MINUTES - 10
    if absent := lacking(CORE):
        print(f"not installed here, and needed: {', '.join(absent)}; pip install them, then repeat")
        return 2
    import torch

    if not torch.cuda.is_available():
        print(f"torch {torch.__version__} sees no CUDA device; this script checks GPUs, make test the rest")
        return 2
    print(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, torch {torch.__version__}, "
          f"Python {sys.version.split()[0]}, {len(os.sched_getaffinity(0))} cores")
    told = checked(deadline)
    print("\n".join(f"{name}: {how}" for name, how in told.items()))
    hours = run(["-m", GRID, "--device", "cuda"], HOURS)
    table = run(["-m", "itl", "bench", "--device", "cuda"], deadline - time.monotonic())
    for name, how in (("hours", hours), ("table", table)):
        if not how.startswith("passed"):
            print(f"{name}: {how}")
    ended = [*told.values(), hours, table]
    return int(any(word in how for how in ended for word in ("FAILED", "OUT OF TIME")))


if __name__ == "__main__":
    sys.exit(main())
