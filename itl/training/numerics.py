"""How a device computes, set in one place: for training, prediction, calibration and the benchmark alike."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from itl.machine import Machine


def has_bf16(where: torch.device) -> bool:
    """Whether the device itself computes in bfloat16; emulated, it would only be slower."""
    if where.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()   # nothing public


def autocast(where: torch.device, precision: str) -> torch.autocast:
    """The context of a forward pass: bfloat16 if *precision* is bf16 and the device computes in it."""
    return torch.autocast(where.type, torch.bfloat16, enabled=precision == "bf16" and has_bf16(where))


@contextmanager
def repeatable(machine: Machine) -> Iterator[None]:
    """Compute with the machine's threads and kernels that give the same bits each time; float32 is float32.

    cuDNN neither tries algorithms nor takes those that add in any order, and TF32, of 10 bits, is off.
    """
    torch.set_num_threads(machine.threads)
    matmul_tf32 = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul_tf32


def described(machine: Machine, precision: str) -> dict[str, str]:
    """Say for a run's provenance how *precision* was really computed on *machine*."""
    where = torch.device(machine.devices[0])
    half = precision == "bf16" and has_bf16(where)
    on_gpu = where.type == "cuda"
    return {
        "precision": "bf16" if half else "fp32",
        "tf32": "off" if on_gpu else "",
        "cudnn": f"{torch.backends.cudnn.version()}, deterministic" if on_gpu else "",
        "compile": "yes" if machine.compile else "no",
    }
