"""How fast this machine trains each net, which `itl plan` reckons with; measured once and kept."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from itl.config import Detection, Machine, Pretrain, Recipe, Transfer, canonical
from itl.files import write_atomic
from itl.provenance import device_name

if TYPE_CHECKING:                           # who only plans what is measured already needs no torch
    import torch

    from itl.learn.models import Classifier

    Work = tuple[torch.nn.Module, Callable[[], torch.Tensor]]

STEPS = 3
LARGEST = 227                               # pixels that a net is built for; detectors may see more


def images_per_second(net: str, recipe: Recipe, machine: Machine) -> float:
    """Return how many images one run trains on per second, from the file of rates or a short calibration."""
    path = machine.runs / "rates.json"
    rates = json.loads(path.read_text()) if path.exists() else {}
    same_work = replace(recipe, epochs=0, steps=None, lr=0, lrs=(), weight_decay=0)
    name = f"{device_name(machine.device)}, {machine.threads} threads, {net}, {canonical(same_work)}"
    if name not in rates:
        rates[name] = measure(net, recipe, machine)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, lambda temporary: temporary.write_text(json.dumps(rates, indent=1)))
    return rates[name]


def measure(net: str, recipe: Recipe, machine: Machine) -> float:
    """Time a few training steps on a made-up batch, after one to warm up."""
    import torch

    from itl.learn.models import build
    from itl.learn.train import autocast, sgd

    torch.set_num_threads(machine.threads)
    device = torch.device(machine.device)
    model, loss_of = (_detector if isinstance(recipe, Detection) else _classifier)(
        build(net, 100, min(recipe.pixels, LARGEST), 0), net, recipe, device)
    model.to(device, memory_format=torch.channels_last).train()
    optimizer = sgd(model, recipe)
    started = 0.0
    for step in range(STEPS + 1):
        with autocast(device, recipe.precision):
            loss = loss_of()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()                                     # waits for the device
        started = time.perf_counter() if step == 0 else started
    return STEPS * recipe.batch / (time.perf_counter() - started)


def _classifier(model: "Classifier", name: str, recipe: Recipe, device: "torch.device") -> "Work":
    """Give *model* a batch of noise to classify."""
    images = _noise((recipe.batch, 3, recipe.pixels, recipe.pixels), device)
    return model, lambda: model(images).logsumexp(1).mean()


def _detector(model: "Classifier", name: str, recipe: Recipe, device: "torch.device") -> "Work":
    """Give a detector on the parts of *model* a batch of noise in which to find one object each."""
    import torch

    from itl.data.pictures import View
    from itl.data.regions import windows
    from itl.learn.parts import parts
    from itl.transfer.rcnn import Detector, locate

    height, width = recipe.pixels, min(recipe.longest, recipe.pixels * 4 // 3)
    boxes = torch.from_numpy(windows(width, height, recipe.proposals)).to(device)
    view = View(_noise((recipe.batch, 3, height, width), device), [(height, width)] * recipe.batch,
                [boxes] * recipe.batch)
    thing = {"boxes": boxes[:1] / 2 + 1, "labels": torch.ones(1, dtype=torch.int64, device=device)}
    detector = Detector(parts(name, model), 20, recipe, 0)
    return detector, lambda: locate(detector, view, [thing] * recipe.batch, recipe)


def _noise(shape: tuple[int, ...], device: "torch.device") -> "torch.Tensor":
    import torch

    return torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)


def minutes(spec: Pretrain | Transfer, images: int, scored: int, machine: Machine) -> float:
    """Reckon how long *spec* takes that trains on *images* images and is scored on *scored* others."""
    trained = spec if isinstance(spec, Pretrain) else spec.pretrain
    recipe = spec.recipe or trained.recipe
    rate = images_per_second(trained.net, recipe, machine)
    steps = recipe.total_steps(max(1, images // recipe.batch)) if spec.recipe else 0
    learned = steps * min(recipe.batch, images) * (1 + len(recipe.lrs))
    # Forward alone is about a third of a training step, but of a detector it sees all regions, not a few.
    looked = (scored + (0 if spec.recipe else images)) / 3
    if isinstance(recipe, Detection):
        looked *= max(1.0, recipe.proposals / recipe.rois)
    return (learned + looked) / rate / 60
