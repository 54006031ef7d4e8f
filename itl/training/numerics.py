"""Precision and repeatability, set in one place for training, prediction and benchmarks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from itl.machine import Machine
from itl.notes import warn

Kernel = TypeVar("Kernel")
Setting = TypeVar("Setting")


def has_bf16(device: torch.device) -> bool:
    """Whether *device* has instructions for bfloat16; emulation would only be slower."""
    if device.type == "cuda":
        # torch.cuda.is_bf16_supported answers so for the current GPU, which may be another
        return bool(torch.version.hip) or torch.cuda.get_device_capability(device)[0] >= 8
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # no public API


def computes_bf16(device: torch.device, precision: str) -> bool:
    """Whether a forward pass of *precision* is really computed in bfloat16 on *device*."""
    return precision == "bf16" and has_bf16(device)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context of a forward pass: bfloat16 if *precision* is bf16 and *device* has it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=computes_bf16(device, precision))


def triton_kernel(make: Callable[[], Kernel], device: torch.device, instead: str) -> Kernel | None:
    """Return what *make* imports and tries on *device*; None where Triton does not work, with a warning.

    Triton needs a C compiler. *instead* says what is slower without it.
    """
    try:
        return make()
    except torch.OutOfMemoryError:  # other work on the GPU may end; callers keep the answer
        raise
    except Exception as error:  # of many kinds: no module, no compiler, no Python.h, an old GPU
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        warn(f"no Triton on {device} ({reason}); {instead}, slower")
        return None


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute products and convolutions of float32 in float32: TF32, of 10 bits, and bfloat16 are off.

    torch has two ways to allow those, and refuses to read the older one once the newer one contradicts it.
    So both are set: the newer counts, and torch.compile reads the older.
    """
    backends: Any = torch.backends  # whose types lack some
    settings = [backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn]
    settings += [backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn]
    before = [setting.fp32_precision for setting in settings]
    matmul = _unless_refused(torch.get_float32_matmul_precision, "highest")
    cudnn = _unless_refused(lambda: backends.cudnn.allow_tf32, False)
    torch.set_float32_matmul_precision("highest")
    backends.cudnn.allow_tf32 = False
    for setting in settings:
        setting.fp32_precision = "ieee"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        backends.cudnn.allow_tf32 = cudnn
        for setting, precision in zip(settings, before, strict=True):
            setting.fp32_precision = precision


def _unless_refused(read: Callable[[], Setting], refused: Setting) -> Setting:
    """Return what *read* returns; *refused* where torch refuses to read a setting."""
    try:
        return read()
    except RuntimeError:
        return refused


@contextmanager
def repeatable(machine: Machine) -> Iterator[None]:
    """Compute with the machine's threads, exact float32, and kernels that give the same bits each time.

    cuDNN takes deterministic algorithms without benchmarking. The exception is PyTorch's fused attention on a
    GPU, whose backward pass adds up in any order: its plain attention repeats, but keeps a matrix of all
    pairs of tokens for each head.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(machine.threads)
    kernels = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=None)
    try:
        with exact_float32(), kernels:
            yield
    finally:
        torch.set_num_threads(threads)


def described(machine: Machine, precision: str, compiles: bool) -> dict[str, str]:
    """Describe for a run's provenance how *precision* is really computed on *machine*.

    Of a run that *compiles* no net, whatever the machine would do, nothing is said of that.
    """
    device = torch.device(machine.devices[0])
    on_gpu = device.type == "cuda"
    return {
        "precision": "bf16" if computes_bf16(device, precision) else "fp32",
        "tf32": "off" if on_gpu else "",
        "cudnn": f"{torch.backends.cudnn.version()}, deterministic" if on_gpu else "",
    } | ({"compile": "yes" if machine.compile else "no"} if compiles else {})
