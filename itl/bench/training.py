"""Rows on training from stored images with the whole loop, beside the same net on a ready batch."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from itl.bench.work import Work
from itl.evaluation.fast_rcnn import Detector, detection_loss
from itl.machine import Machine
from itl.packs.subset import Selection
from itl.sources.boxes import SIDES
from itl.specs import DetectionRecipe, Recipe
from itl.training.batches import Batches
from itl.training.cuda_graph import record, training_state
from itl.training.detection_batches import DetectionBatches
from itl.training.detection_nets import detection_backbone
from itl.training.loop import Objective, classify, fit_epoch, recorded_steps, sgd, take_step
from itl.training.nets import build
from itl.training.numerics import autocast, computes_bf16, repeatable
from itl.words import counted

CLASSES = 100
NOISE_BYTES = 100 << 20  # of stored images
BATCHES = {"cpu": (4, 128), "cuda": (100, 256)}  # number and size
DETECTOR_STEPS = {"cpu": 4, "cuda": 100}
STORED, SHAPES = 500, 200  # the side of a pack of VOC; different widths and heights of its images
OBJECTS = tuple(f"object {number:02}" for number in range(20))
EPOCHS = 1000  # more than there are turns: a turn is one epoch
ALONE = "the net alone on a ready batch"


def step(
    folder: Path,
    device: str,
    net: str,
    size: int,
    pixels: int,
    longer: float = 1,
    batch: int | None = None,
    streamed: bool = False,
) -> Work:
    """Train *net* for an epoch on crops of images of noise, beside its steps on one ready batch.

    The peer is the least that training can be: forward, loss, backward and optimizer. A ratio of 0.95 says
    that loading and the rest of the loop cost 5 %. *size* and *pixels* are the sides of images and crops; an
    epoch is so many times *longer*, so that one of a fast net takes seconds. *streamed* images are read and
    sent for each step, as of packs that do not fit a GPU; here the system has them in memory.
    """
    where = torch.device(device)
    steps, usual = BATCHES[where.type]
    batch = batch or usual
    recipe, images = Recipe(epochs=EPOCHS, batch=batch, pixels=pixels, lr=0.001), noise(folder, size)
    again = np.arange(round(steps * longer) * batch)
    selection = Selection(again % len(images), again % CLASSES, tuple(map(str, range(CLASSES))))
    pack: Any = SimpleNamespace(images=images, digest=str(images.shape))  # all that batches take from one
    batches = Batches(pack, selection, recipe, 0, machine(device))
    if streamed:
        batches.stream_from_now_on()
    model = build(net, CLASSES, pixels, 0).to(where, memory_format=torch.channels_last)
    what = f"training {net}, {size} → {pixels} pixels, batches of {batch}, {recipe.precision}"
    what += ", images sent for each step" * streamed
    return beside_alone(what, model, batches, recipe, classify)


def detection_step(folder: Path, device: str, net: str = "caffenet") -> Work:
    """Train Fast R-CNN on *net* as published, two images of 600 pixels a step, beside one ready batch.

    Images differ in shape, as those of VOC do: for each shape its windows are made. Scaled, they are alike.
    """
    recipe, where = DetectionRecipe(), torch.device(device)
    pack = noisy_voc(folder, DETECTOR_STEPS[where.type] * recipe.batch)
    rows = np.arange(len(pack.images))
    selection = Selection(rows, np.zeros_like(rows), OBJECTS)
    pictures = DetectionBatches(pack, selection, recipe, 0, machine(device))
    model = Detector(detection_backbone(net, build(net, CLASSES, 227, 0)), len(OBJECTS), recipe, 0)
    model.to(where, memory_format=torch.channels_last)
    what = f"training Fast R-CNN on {net}, {recipe.pixels} pixels, {recipe.batch} × {recipe.rois} regions"
    what += f", images of {counted(len(pack.table.drop_duplicates()), 'shapes')}"
    return beside_alone(what, model, pictures, recipe, detection_loss)


def beside_alone(
    what: str, net: nn.Module, batches: Batches | DetectionBatches, recipe: Recipe, objective: Objective
) -> Work:
    """Train an epoch as `train` does, beside as many steps of *net* on the first of its batches.

    Both compute alike: where training replays a recorded step, so does the peer.
    """
    optimizer = sgd(net.train(), recipe)
    ready = next(batches.epoch(0))
    with FlopCounterMode(display=False) as flops, autocast(batches.device, recipe.precision):
        objective(net, *ready, recipe).backward()

    def step() -> None:
        take_step(net, optimizer, batches, recipe, objective, *ready)

    with repeatable(batches.machine):
        recorded = recorded_steps(net, optimizer, batches, recipe, objective)
        graph = None if recorded is None else record(step, training_state(net, optimizer))
    starts = count(step=len(batches))

    def alone() -> None:
        take = graph.replay if graph else step  # *step* keeps the batch, which the graph reads by its address
        with repeatable(batches.machine):
            for _ in range(len(batches)):
                take()

    def epoch() -> torch.Tensor:
        with repeatable(batches.machine):
            return fit_epoch(net, optimizer, batches, recipe, next(starts), objective, recorded)

    return Work(
        what,
        "images",
        len(batches) * batches.batch,
        epoch,
        {ALONE: alone},
        operations=len(batches) * flops.get_total_flops(),
        precision="bf16" if computes_bf16(batches.device, recipe.precision) else "fp32",
    )


def machine(device: str) -> Machine:
    """Return the machine with *device* and the number of threads that torch has now."""
    return Machine(device=device, threads=torch.get_num_threads())


def noise(folder: Path, size: int, number: int | None = None) -> np.ndarray:
    """Draw noise as a pack's memory map: uint8 (N, size, size, 3); N is *number*, or fills NOISE_BYTES."""
    number = number or max(1, NOISE_BYTES // (3 * size**2))
    images = np.random.default_rng(0).integers(0, 256, (number, size, size, 3), np.uint8)
    np.save(folder / "images.npy", images)
    return np.load(folder / "images.npy", mmap_mode="r")


def noisy_voc(folder: Path, number: int) -> Any:
    """Make what a detector's batches take of a pack: images of noise, 4 to 3, with two objects each."""
    random, rows = np.random.default_rng(0), np.repeat(np.arange(number), 2)
    widths = STORED - np.arange(number) % SHAPES
    table = pd.DataFrame({"width": widths, "height": np.rint(widths * 3 / 4).astype(int)})
    corners = np.sort(random.uniform(1, table.to_numpy()[rows, None], (2 * number, 2, 2)), axis=1)
    objects = pd.DataFrame(corners.reshape(-1, 4).round(), columns=SIDES)
    objects["row"], objects["difficult"] = rows, False
    objects["name"] = random.choice(OBJECTS, len(rows))
    return SimpleNamespace(
        images=noise(folder, STORED, number),
        digest=f"{number} for detection",
        size=STORED,
        folder=folder,
        objects=objects,
        table=table,
        summary={"request": {"fit": "pad"}},
    )
