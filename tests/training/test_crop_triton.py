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
from itl.training.crop_cpu import batch_crop

pytest.importorskip("triton", reason="Triton is not installed; the fused crop is for GPUs")

COMPARE = """
import itertools
import numpy as np, torch
from itl.training.crop_cpu import batch_crop
from itl.training.crop_triton import fused_crop

def lengths(random, boxes, count, sides):
    return {
        "random": lambda: random.integers(1, sides + 1, (count, 2)),
        "whole": lambda: np.tile(sides, (count, 1)),
        "one pixel": lambda: np.ones((count, 2)),
        "fractions": lambda: 1 + random.random((count, 2)) * (sides - 1),
    }[boxes]()

random = np.random.default_rng(0)
shapes = [(5, 40, 40, 17), (3, 12, 12, 33), (1, 20, 20, 16), (4, 50, 23, 19), (4, 9, 70, 24), (3, 20, 20, 1)]
for (count, height, width, pixels), boxes in itertools.product(
    shapes, ("random", "whole", "one pixel", "fractions")
):
    images = torch.from_numpy(random.integers(0, 256, (count + 2, height, width, 3), dtype=np.uint8))
    length = lengths(random, boxes, count, np.array([height, width]))
    start = random.random((count, 2)) * (np.array([height, width]) - length)
    start = start if boxes == "fractions" else np.round(start)
    boxes = torch.from_numpy(np.concatenate([start, length], 1).astype(np.float32))
    rows = torch.from_numpy(random.integers(0, count + 2, count))
    flips = torch.from_numpy(random.random(count) < 0.5)
    expected = batch_crop(images[rows], boxes, flips, pixels)
    found = fused_crop(images, rows, boxes, flips, pixels)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)
    half = fused_crop(images, rows, boxes, flips, pixels, torch.bfloat16)
    assert half.dtype == torch.bfloat16
    cut = (found.contiguous().view(torch.int32) >> 16 << 16).view(torch.float32)    # a GPU rounds instead
    assert torch.equal(half.float(), cut)
none = fused_crop(images, rows[:0], boxes[:0], flips[:0], 8)
print(len(shapes) * 4, tuple(none.shape))
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
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from itl.training.crop_triton import COLUMNS, LINES, _crop
kinds = dict(images="*u8", rows="*i64", boxes="*fp32", flips="*i1", out="*bf16", height="i32", width="i32")
kinds |= {f"{colour}_{part}": "fp32" for part in ("scale", "shift") for colour in ("red", "green", "blue")}
fixed = dict(PIXELS=112, LINES=LINES, COLUMNS=COLUMNS)
kinds = {name: kinds.get(name, "constexpr") for name in _crop.arg_names}
for capability in (80, 90):
    made = triton.compile(
        ASTSource(_crop, kinds, fixed), target=GPUTarget("cuda", capability, 32), options={"num_warps": 1}
    )
    print(capability, len(made.asm["cubin"]) > 0)
"""


def run(code: str, **environment: str) -> str:
    """What *code* prints in a process of its own: Triton reads TRITON_INTERPRET once, when it is imported."""
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=kept | environment)
    if "only 0-dimensional arrays can be converted to Python scalars" in done.stderr:
        pytest.skip("this Triton's interpreter is too old for this NumPy; 3.9 is not")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_fused_crop_is_the_plain_one():
    """Uneven sizes, one image, boxes of a pixel, whole images, boxes between pixels, flips, either dtype."""
    assert run(COMPARE, TRITON_INTERPRET="1") == "24 (0, 3, 8, 8)\n"


def test_another_dtype_layout_or_count_is_refused():
    lines = run(REFUSED, TRITON_INTERPRET="1").splitlines()
    assert len(lines) == 6
    assert all(line.startswith("fused_crop takes ") for line in lines)


def test_the_fused_crop_compiles_for_gpus_that_are_not_here():
    assert run(COMPILE) == "80 True\n90 True\n"


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("ranks", [1, 3])
def test_the_choices_that_a_gpu_is_sent_make_the_cpus_batches(kept, ranks, monkeypatch):
    """All but the sending, which needs a GPU: `tests/gpu` tests that."""
    pixels = np.random.default_rng(0).integers(0, 256, (23, 20, 20, 3), dtype=np.uint8)
    rows, recipe = np.arange(1, 23), Recipe(batch=5, pixels=12)
    selection = SimpleNamespace(rows=rows, labels=rows % 3)
    machine = Machine(ranks=ranks, rank=ranks - 1)
    loader = Batches(SimpleNamespace(images=pixels), selection, recipe, 0, machine)

    def plain(held, places, boxes, flips, side, dtype):
        return batch_crop(held[places], boxes, flips, side).to(dtype)

    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda part: part)
    monkeypatch.setattr(module, "crop_on", lambda where: plain)
    if kept:
        loader.on_device, loader.device_rows = torch.from_numpy(pixels), torch.from_numpy(rows)
    else:
        send = lambda source, parts: (torch.from_numpy(source[at]) for at in parts)  # noqa: E731
        loader.stream = SimpleNamespace(send=send)
    sent = loader._crop_on_gpu(loader.plan(2), loader.step_images, torch.float32)
    for (images, labels), (expected, targets) in zip(sent, loader.epoch(2), strict=True):
        assert torch.equal(labels, targets)
        torch.testing.assert_close(images, expected, rtol=1e-4, atol=1e-4)
