"""Training from stored images, loader and all, beside the same net alone on a batch that is ready."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from itl.bench.work import Work
from itl.machine import Machine
from itl.packs.subset import Selection
from itl.specs import Recipe
from itl.training.batches import Batches
from itl.training.loop import fit_epoch, sgd
from itl.training.nets import build
from itl.training.numerics import autocast, has_bf16

CLASSES, IMAGES = 100, 2048
BATCHES = {"cpu": (4, 128), "cuda": (100, 256)}         # how many, and images in each


def step(folder: Path, device: str, net: str, size: int, pixels: int, longer: int = 1) -> Work:
    """An epoch of *net* on crops of *pixels* from images of *size*, beside its steps on one ready batch.

    The peer is the least that training can be: forward, loss, backward and optimizer. A ratio of 0.95 says
    that loading and the rest of the loop cost 5 %. An epoch is *longer* where the net is fast, so that a go
    takes seconds.
    """
    where = torch.device(device)
    count, batch = BATCHES[where.type]
    count *= longer
    recipe, again = Recipe(batch=batch, pixels=pixels, lr=0.001), np.arange(count * batch)
    selection = Selection(again % IMAGES, again % CLASSES, tuple(map(str, range(CLASSES))))
    machine = Machine(device=device, threads=torch.get_num_threads())
    batches = Batches(noise(folder, size), selection, recipe, 0, machine)
    model = build(net, CLASSES, pixels, 0).to(where, memory_format=torch.channels_last).train()
    optimizer = sgd(model, recipe)
    images, targets = next(batches.epoch(0))

    def loss() -> torch.Tensor:
        with autocast(where, recipe.precision):
            return cross_entropy(model(images).float(), targets)

    def alone() -> None:
        for _ in range(count):
            optimizer.zero_grad(set_to_none=True)
            loss().backward()
            optimizer.step()

    with FlopCounterMode(display=False) as counted:
        loss().backward()
    return Work(
        f"training {net}, {size} → {pixels} pixels, batches of {batch}, {recipe.precision}", "images",
        len(again), lambda: fit_epoch(model, optimizer, batches, recipe, 0),
        {"the net alone on a ready batch": alone},
        operations=count * counted.get_total_flops(), rate="bf16" if has_bf16(where) else "fp32",
    )


def noise(folder: Path, size: int) -> SimpleNamespace:
    """What a loader needs of a pack of noise: IMAGES images of *size*, as a memory map."""
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, size, size, 3), np.uint8)
    np.save(folder / "images.npy", images)
    return SimpleNamespace(images=np.load(folder / "images.npy", mmap_mode="r"))
