"""The fused crop, run by Triton's interpreter on the CPU, is batch_crop; and it compiles for real GPUs."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from itl.machine import Machine
from itl.specs import Recipe
from itl.training import batches as module
from itl.training.batches import Batches
from itl.training.crop_cpu import plain_crop

pytest.importorskip("triton", reason="Triton is not installed; the fused crop is for GPUs")

COMPARE = """
import numpy as np, torch
from itl.training import crop_triton
from itl.training.crop_cpu import batch_crop
from itl.training.crop_triton import fused_crop

random = np.random.default_rng(0)
shapes = [(4, 23, 8), (7, 1, 5), (40, 40, 17), (6, 6, 15), (20, 20, 16), (25, 11, 9)]
shapes += [(1, 7, 5), (30, 30, 8), (1, 1, 3), (9, 9, 1), (2, 2, 1), (24, 24, 4), (9, 25, 4), (25, 9, 4)]
kernel = crop_triton.crop_kernel
for number, (height, width, pixels) in enumerate(shapes):
    size = np.array([height, width])
    images = torch.from_numpy(random.integers(0, 256, (6, height, width, 3), dtype=np.uint8))
    drawn, between = random.integers(1, size + 1, (1, 2)), 1 + random.random((1, 2)) * (size - 1)
    length = np.concatenate([drawn, size[None], np.ones((1, 2)), between])
    start = random.random((4, 2)) * (size - length)
    start[:3] = np.round(start[:3])
    boxes = torch.from_numpy(np.concatenate([start, length], 1).astype(np.float32))
    rows, flips = torch.from_numpy(random.integers(0, 6, 4)), torch.from_numpy(random.random(4) < 0.5)
    expected = batch_crop(images[rows], boxes, flips, pixels)
    crop_triton.FULL = number % 2 * 2**13                   # short strips and long ones
    plain = max(height, width) == 25 and pixels == 4        # 13 taps would be too many to compile
    crop_triton.crop_kernel = None if plain else kernel
    found = fused_crop(images, rows, boxes, flips, pixels)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    if number < 2:                                          # an even side and an odd one
        half = fused_crop(images, rows, boxes, flips, pixels, torch.bfloat16)
        assert half.dtype == torch.bfloat16
        cut = (found.contiguous().view(torch.int32) >> 16 << 16).view(torch.float32)    # a GPU rounds instead
        assert torch.equal(half.float(), cut)
crop_triton.crop_kernel = kernel
none = fused_crop(images, rows[:0], boxes[:0], flips[:0], 8)
print(len(shapes), tuple(none.shape))
"""
FAR = """
import torch
from itl.training.crop_cpu import batch_crop
from itl.training.crop_triton import fused_crop
images = torch.empty(2**31 // 3072 + 2, 32, 32, 3, dtype=torch.uint8)  # takes memory where it is touched
images[-1] = torch.arange(3072).reshape(32, 32, 3) % 251
boxes, flips = torch.tensor([[4.0, 0.0, 28.0, 32.0]]), torch.ones(1, dtype=torch.bool)
found = fused_crop(images[:1], torch.tensor([len(images) - 1]), boxes, flips, 24)  # it copies images
torch.testing.assert_close(found, batch_crop(images[-1:], boxes, flips, 24), rtol=1e-5, atol=1e-5)
print(images.numel() > 2**31)
"""
REFUSED = """
import torch
from itl import ItlError
from itl.training.crop_triton import fused_crop
images, rows, boxes = torch.zeros(2, 8, 8, 3, dtype=torch.uint8), torch.zeros(2).long(), torch.ones(2, 4)
for wrong in (
    (images.float(), rows, boxes), (images, rows.int(), boxes), (images, rows, boxes.double()),
    (images.transpose(1, 2), rows, boxes), (images, rows[:1], boxes), (images[..., 0], rows, boxes),
):
    try:
        fused_crop(*wrong, torch.zeros(2, dtype=torch.bool), 8)
    except ItlError as error:
        print(error)
"""
COMPILE = """
import re, subprocess, tempfile
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from itl.training.crop_triton import crop_kernel, launch_options

kinds = dict(images="*u8", rows="*i64", boxes="*fp32", flips="*i1", height="i32", width="i32")
kinds |= {f"{colour}_{part}": "fp32" for part in ("scale", "shift") for colour in ("red", "green", "blue")}
names = "images", "height", "width"
aligned = {(crop_kernel.arg_names.index(name),): [["tt.divisibility", 16]] for name in names}

def compiled(capability, out, size, pixels):
    constants, options = launch_options(2048, size, size, pixels)
    kind = {name: (kinds | {"out": out}).get(name, "constexpr") for name in crop_kernel.arg_names}
    source = ASTSource(crop_kernel, kind, constants, aligned)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)

def resources(cubin):
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        tool = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", file.name]
        told = subprocess.run(tool, capture_output=True, text=True, check=True)
    return re.search(r"REG:(\\d+) STACK:(\\d+)", told.stdout + told.stderr).groups()

for case in (80, "*bf16", 128, 112), (90, "*bf16", 128, 112), (100, "*bf16", 128, 112), (90, "*fp32", 64, 56):
    print(*case, *resources(compiled(*case).asm["cubin"]))
"""


def run(code: str, **environment: str) -> str:
    """What *code* prints in a process of its own: Triton reads TRITON_INTERPRET once, when it is imported.

    The process neither looks for garbage nor takes apart what it has imported: that takes a second.
    """
    code = f"import gc; gc.disable()\n{code}\nimport os, sys; sys.stdout.flush(); os._exit(0)"
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=kept | environment)
    if "only 0-dimensional arrays can be converted to Python scalars" in done.stderr:
        pytest.skip("this Triton's interpreter is too old for this NumPy; 3.9 is not")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def interpreted() -> list[str]:
    """What COMPARE, FAR and REFUSED print, in one process: Triton takes seconds to import."""
    return run("\nprint('---')\n".join((COMPARE, FAR, REFUSED)), TRITON_INTERPRET="1").split("---\n")


def test_the_fused_crop_is_the_plain_one(interpreted):
    """Uneven sizes, one row, a box of a pixel, all of an image, boxes between pixels, many taps, no crop."""
    assert interpreted[0] == "14 (0, 3, 8, 8)\n"


def test_images_may_be_more_than_two_to_the_31_bytes(interpreted):
    assert interpreted[1] == "True\n"


def test_another_dtype_layout_or_count_is_refused(interpreted):
    lines = interpreted[2].splitlines()
    assert len(lines) == 6
    assert all(line.startswith("fused_crop takes ") for line in lines)


def test_the_fused_crop_compiles_for_gpus_that_are_not_here():
    """For A100, H100 and B200: 72 registers a thread at most, so that 28 warps share a multiprocessor."""
    lines = [line.split() for line in run(COMPILE).splitlines()]
    assert [line[0] for line in lines] == ["80", "90", "100", "90"]
    for *_, registers, spilled in lines:
        assert int(registers) <= 72, lines
        assert int(spilled) == 0, lines


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("ranks", [1, 3])
def test_the_choices_that_a_gpu_is_sent_make_the_cpus_batches(kept, ranks, monkeypatch):
    """All but the sending, which needs a GPU: `tests/gpu` tests that."""
    pixels = np.random.default_rng(0).integers(0, 256, (23, 20, 20, 3), dtype=np.uint8)
    rows, recipe = np.arange(1, 23), Recipe(batch=5, pixels=12)
    selection = SimpleNamespace(rows=rows, labels=rows % 3)
    machine = Machine(ranks=ranks, rank=ranks - 1)
    loader = Batches(SimpleNamespace(images=pixels), selection, recipe, 0, machine)

    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda part: part)
    monkeypatch.setattr(module, "crop_on", lambda where: plain_crop)
    if kept:
        loader.on_device, loader.device_rows = torch.from_numpy(pixels), torch.from_numpy(rows)
    else:
        send = lambda source, parts: (torch.from_numpy(source[at]) for at in parts)  # noqa: E731
        loader.stream = SimpleNamespace(send=send)
    sent = loader.crop_on_gpu(loader.plan(2), loader.step_images, torch.float32)
    for (images, labels), (expected, targets) in zip(sent, loader.epoch(2), strict=True):
        assert torch.equal(labels, targets)
        torch.testing.assert_close(images, expected, rtol=1e-4, atol=1e-4)
