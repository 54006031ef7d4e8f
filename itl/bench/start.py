"""The row on starting: how long `itl --help` takes."""

import subprocess
import sys
from functools import partial
from pathlib import Path

from itl.bench.limits import seconds
from itl.bench.work import Work

HELP = ["-m", "itl", "--help"]


def starting(folder: Path, device: str) -> Work:
    """Run `itl --help` in a fresh interpreter, beside interpreters that import nothing, NumPy or torch."""
    del folder, device

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
