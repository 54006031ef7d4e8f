"""Training needs the memory of its net and a few batches, however long it is and however large its pack."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from itl.machine import Machine
from itl.packs.subset import Selection
from itl.specs import Recipe
from itl.training.batches import Batches
from itl.training.loop import classify, train

MIB = 2**20
IMAGES, SIZE = 2500, 64  # 29 MiB of pixels


def held() -> int:
    """Bytes of this process that the kernel cannot take back, as it can the pages of a memory map."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


def most_held(folder: Path, images: int, steps: int) -> int:
    """The most that any step of a training held; its pack is a memory map of *images* noisy images."""
    path, peak = folder / f"{images}.npy", [0]
    stored = np.lib.format.open_memmap(path, "w+", np.uint8, (images, SIZE, SIZE, 3))
    for part in np.array_split(stored, images // 500):
        part[:] = np.random.default_rng(0).integers(0, 256, part.shape, np.uint8)
    pack = SimpleNamespace(images=np.load(path, mmap_mode="r"))
    selection = Selection(np.arange(images), np.arange(images) % 2, ("even", "odd"))
    recipe, machine = Recipe(batch=100, pixels=16, steps=steps, precision="fp32"), Machine(threads=1)

    def watched(*step: object) -> torch.Tensor:
        peak[0] = max(peak[0], held())
        return classify(*step)

    train(
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 2)),
        Batches(pack, selection, recipe, 0, machine),
        recipe,
        folder / f"run {images} {steps}",
        machine,
        objective=watched,
    )
    return peak[0]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells what a process holds")
def test_memory_of_training_grows_neither_with_steps_nor_with_images(tmp_path):
    few = most_held(tmp_path, IMAGES, steps=25)
    longer = most_held(tmp_path, IMAGES, steps=100)
    larger = most_held(tmp_path, 4 * IMAGES, steps=100)  # reads each of 117 MiB once
    # The heap takes some steps to settle, 10 MiB here; a batch kept at each would be 22, its pixels 88.
    assert longer - few < 18 * MIB
    assert larger - longer < 18 * MIB
