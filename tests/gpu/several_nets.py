"""How fast several `small` nets train at once on one GPU, each in a process of its own, under NVIDIA's MPS.

python tests/gpu/several_nets.py [FILE] prints images per second of one net and of four, by batch, and writes
FILE as JSON: {"four-small-56": how many times as fast four are as one}. `itl run --workers 4` runs them so.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

NETS, BATCHES = 4, (64, 256)  # batches of preset demo, and of the benchmark's rows
MEASURED_S, LIMIT_S = 2.5, 60
READY = "ready\n"


def train_for_a_while(batch: int) -> float:
    """Images per second of one net in this process, once it is told to start."""
    import torch

    from itl.bench.training import step

    with tempfile.TemporaryDirectory() as folder:
        epoch = step(Path(folder), "cuda", "small", 64, 56, batch=batch).ours
        epoch()
        torch.cuda.synchronize()
        print(READY, end="", flush=True)
        sys.stdin.readline()
        began, images = time.monotonic(), 0
        while time.monotonic() - began < MEASURED_S:
            images += len(epoch()) * batch
            torch.cuda.synchronize()
        return images / (time.monotonic() - began)


@contextmanager
def mps():
    """NVIDIA's Multi-Process Service, as this user's, while the context lasts, or until a SIGTERM.

    Its daemon leaves the process group of whoever starts it, and would outlive a kill of the group.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        try:
            subprocess.run(["nvidia-cuda-mps-control", "-d"], env=environment, check=True)
            yield environment
        finally:
            subprocess.run(["nvidia-cuda-mps-control"], input=b"quit\n", env=environment, check=False)


def measure(processes: int, batch: int, environment: dict[str, str]) -> float:
    """Images per second of so many processes together, which start once all of them are ready."""
    command = [sys.executable, __file__, "--one", str(batch)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, env=environment, **pipes) for _ in range(processes)]
    if {process.stdout.readline() for process in running} != {READY}:
        sys.exit("a net could not be trained; its process says why")
    for process in running:
        process.stdin.write("start\n")
        process.stdin.flush()
    return sum(float(process.communicate(timeout=LIMIT_S)[0]) for process in running)


def main() -> None:
    """Measure one and four, and print and write what comes out."""
    if sys.argv[1:2] == ["--one"]:
        print(train_for_a_while(int(sys.argv[2])))
        return
    with mps() as environment:
        for batch in BATCHES:
            one, all_nets = (measure(count, batch, environment) for count in (1, NETS))
            print(
                f"batches of {batch}: one net {one:,.0f} images/s, {NETS} nets {all_nets:,.0f}, "
                f"{all_nets / one:.2f} times as fast",
                flush=True,
            )
            if batch == BATCHES[0] and sys.argv[1:]:
                Path(sys.argv[1]).write_text(json.dumps({"four-small-56": all_nets / one}))


if __name__ == "__main__":
    main()
