"""How fast this machine trains each net, which `itl plan` reckons with; measured once and kept."""

import json
import time
from dataclasses import replace

from itl.config import Machine, Pretrain, Recipe, Transfer, canonical
from itl.files import write_atomic
from itl.provenance import device_name

STEPS = 3


def images_per_second(net: str, recipe: Recipe, machine: Machine) -> float:
    """Return how many images one run trains on per second, from the file of rates or a short calibration."""
    path = machine.runs / "rates.json"
    rates = json.loads(path.read_text()) if path.exists() else {}
    same_work = replace(recipe, epochs=0, steps=None, lr=0, weight_decay=0)
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
    model = build(net, 100, recipe.pixels, 0).to(device, memory_format=torch.channels_last)
    optimizer = sgd(model, recipe)
    images = torch.randn(recipe.batch, 3, recipe.pixels, recipe.pixels, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    started = 0.0
    for step in range(STEPS + 1):
        with autocast(device, recipe.precision):
            loss = model(images).logsumexp(1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()                                     # waits for the device
        started = time.perf_counter() if step == 0 else started
    return STEPS * recipe.batch / (time.perf_counter() - started)


def minutes(spec: Pretrain | Transfer, images: int, machine: Machine) -> float:
    """Reckon how long *spec* takes that trains on, or looks at, *images* images."""
    trained = spec if isinstance(spec, Pretrain) else spec.pretrain
    recipe = spec.recipe or trained.recipe
    rate = images_per_second(trained.net, recipe, machine)
    if spec.recipe is None:
        return images / (3 * rate) / 60                 # forward alone is about a third of a training step
    return recipe.total_steps(max(1, images // recipe.batch)) * min(recipe.batch, images) / rate / 60
