"""Starting: what a person waits for before the first word of `itl --help`."""

import subprocess
import sys
from pathlib import Path

from itl.bench.limits import seconds
from itl.bench.work import Work

HELP = ["-m", "itl", "--help"]


def starting(folder: Path, device: str) -> Work:
    """`itl --help` in a fresh interpreter, beside interpreters that import nothing, NumPy or torch."""
    del folder, device

    def python(*words: str) -> None:
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)

    def told() -> str:
        alone, ours = (seconds(lambda code=code: python("-c", code), "cpu") for code in ("", "import itl"))
        help_ = seconds(lambda: python(*HELP), "cpu")
        ours = max(0, ours - alone)
        return f"import itl takes {ours:.3f} s (goal: < 0.1), itl --help {help_:.2f} s (goal: < 0.3)"

    codes = {"Python alone": "", "import numpy": "import numpy", "import torch": "import torch"}
    peers = {name: lambda code=code: python("-c", code) for name, code in codes.items()}
    return Work("itl --help in a fresh interpreter", "starts", 1, lambda: python(*HELP), peers, agree=told)
