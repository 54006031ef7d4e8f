"""The one training loop, prediction, and weights on disk; nothing of ImageNet, stores or notebooks."""

import atexit
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from itl import ItlError
from itl.machine import Machine
from itl.specs import Recipe
from itl.training.batches import Batches, device, draws, use_device
from itl.training.checkpoint import checkpoints, fill, load_checkpoint, load_tensors, save_tensors
from itl.training.cuda_graph import RecordedSteps
from itl.training.numerics import autocast, repeatable

Objective = Callable[[nn.Module, Any, Any, Recipe], Tensor]


class Diverged(ItlError):
    """Raised when the loss is no longer a number."""


def classify(net: nn.Module, images: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
    """The loss of one batch where each of images (B, 3, P, P) is of one class, targets (B,)."""
    return cross_entropy(net(images).float(), targets, label_smoothing=recipe.label_smoothing)


def train(
    net: nn.Module, batches: Batches, recipe: Recipe, folder: Path, machine: Machine, *,
    seed: int = 0, log: Callable[[dict], object] | None = None, objective: Objective = classify,
) -> list[dict]:
    """Fit *net* to *batches*, in place; carry on from *folder* if an earlier try stopped there.

    Returns the history, a dict per epoch: epoch, step, loss, seconds, images_per_second; *log* gets each one
    as it is made. *seed* is for what the net draws, such as dropout. *objective* makes the mean loss of what
    *batches* yields: `Batches`, or whatever offers the same. Raises Diverged where the loss is not finite;
    the checkpoint before that stays.
    """
    total = recipe.total_steps(len(batches))
    net.to(device(machine), memory_format=torch.channels_last)
    optimizer = sgd(net, recipe)
    history = _resume(folder, net, optimizer, total, len(batches))
    step, saved = (history[-1]["step"] if history else 0), time.perf_counter()
    if machine.compile and step < total and isinstance(batches, Batches):   # a detector's images differ
        torch.compiler.reset()                  # else the ninth net of a process would run uncompiled
        net.compile(dynamic=False)                                          # in place: keys stay clean
    with _session(machine), checkpoints(folder) as save:
        wrapped = DistributedDataParallel(net) if machine.ranks > 1 else net
        recorded = None
        if step < total:
            recorded = recorded_steps(net.train(), optimizer, batches, recipe, objective)
        while step < total:
            epoch, started = step // len(batches), time.perf_counter()
            torch.manual_seed(int(draws(seed, epoch, 2**32 - 1 - machine.rank).integers(2**63)))
            losses = fit_epoch(wrapped, optimizer, batches, recipe, step, objective, recorded)
            step += len(losses)
            history.append(_row(losses, epoch, step, batches, started))
            if not math.isfinite(history[-1]["loss"]):
                raise Diverged(_diverged(losses, history[-1], recipe, folder))
            late = time.perf_counter() - saved > machine.checkpoint_seconds
            if machine.rank == 0 and (step == total or late):
                save(net, optimizer, history)                               # net, not its wrapper
                saved = time.perf_counter()
            if log and machine.rank == 0:
                log(history[-1])
    return history


def fit_epoch(
    net: nn.Module, optimizer: torch.optim.SGD, batches: Batches, recipe: Recipe, step: int,
    objective: Objective = classify, recorded: RecordedSteps | None = None,
) -> Tensor:
    """Take the steps of the epoch that begins at *step*, or those left of the training; return the losses.

    They stay on the device, (steps,): nothing waits for it. *recorded* steps, if any, are replayed.
    """
    total, ranks = recipe.total_steps(len(batches)), batches.machine.ranks
    count = min(len(batches), total - step)
    net.train()
    if recorded is not None:
        return recorded.epoch(step, count)
    losses = torch.zeros(count, device=batches.device)
    epoch = batches.epoch(step // len(batches))
    for at, (images, targets) in enumerate(islice(epoch, count)):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr_at((step + at + 0.5) / total)           # of mid-step: never quite zero
        losses[at] = take_step(net, optimizer, batches, recipe, objective, images, targets)
    if ranks > 1:
        distributed.all_reduce(losses)                                      # so that all of them decide alike
        losses /= ranks
    return losses


def take_step(
    net: nn.Module, optimizer: torch.optim.SGD, batches: Batches, recipe: Recipe, objective: Objective,
    images: Any, targets: Any,
) -> Tensor:
    """Forward, backward and optimizer on one batch; return the loss, a scalar on the device."""
    optimizer.zero_grad(set_to_none=True)                       # before the forward pass reuses their memory
    with autocast(batches.device, recipe.precision):
        loss = objective(net, images, targets, recipe)
    loss = loss * (len(targets) * batches.machine.ranks / batches.batch)    # ranks' shares may differ
    loss.backward()
    if recipe.clip:
        nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)             # on the device: no wait
    optimizer.step()
    return loss.detach()


def predict(
    net: nn.Module, batches: Batches, machine: Machine, precision: str = "fp32"
) -> tuple[Tensor, Tensor]:
    """What *net*, or its body, says of every image in order: outputs (N, C) float32, targets (N,), on CPU.

    The net is left in evaluation mode, and nothing in it changes.
    """
    outputs, targets = predict_on_device(net, batches, machine, precision)
    return outputs.cpu(), targets.cpu()


def predict_on_device(
    net: nn.Module, batches: Batches, machine: Machine, precision: str = "fp32"
) -> tuple[Tensor, Tensor]:
    """As `predict`, but outputs and targets stay on the device of *batches*, where memory is taken once."""
    net.to(batches.device, memory_format=torch.channels_last).eval()
    done, all_outputs, all_targets = 0, None, None
    with repeatable(machine), torch.no_grad(), autocast(batches.device, precision):
        for images, targets in batches.in_order():
            outputs = net.forward(images)       # not what training compiled, whose graphs reuse their outputs
            if done == 0:
                shape = len(batches.rows), *outputs.shape[1:]
                all_outputs = outputs.new_empty(shape, dtype=torch.float32)
                all_targets = targets.new_empty((len(batches.rows), *targets.shape[1:]))
            part = slice(done, done + len(targets))
            all_outputs[part], all_targets[part] = outputs, targets
            done += len(targets)
    return all_outputs, all_targets


def save_weights(net: nn.Module, path: Path) -> None:
    """Write the net's weights and buffers to *path* as safetensors, whole or not at all."""
    save_tensors(path, net.state_dict())


def load_weights(net: nn.Module, path: Path) -> None:
    """Read into *net* what save_weights wrote; raise ItlError for a damaged file or another net's."""
    fill(net, load_tensors(path)[0], path)


def sgd(net: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD over the weights that learn; only those of two or more dimensions decay, so no norm and no bias."""
    learning = [weight for weight in net.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in learning if weight.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [weight for weight in learning if weight.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, fused=True)


def join_ranks(machine: Machine, timeout: timedelta | None = None) -> None:
    """Join the process group of a torchrun: what is on GPUs goes over NCCL, all else, objects too, over gloo.

    The device is set before: to NCCL a rank is where its current device is, and no two may share one.
    """
    where = use_device(machine)
    if where.type == "cuda":
        distributed.init_process_group("cpu:gloo,cuda:nccl", timeout=timeout, device_id=where)
    else:
        distributed.init_process_group("gloo", timeout=timeout)


@contextmanager
def _session(machine: Machine) -> Iterator[None]:
    """Give training repeatable kernels, its process group, and random numbers of its own."""
    where = use_device(machine)
    if machine.ranks > 1 and not distributed.is_initialized():
        join_ranks(machine)
        atexit.register(distributed.destroy_process_group)      # once: no group is joined twice
    with (
        torch.random.fork_rng(devices=[where] if where.type == "cuda" else []),
        repeatable(machine),
    ):
        yield


def recorded_steps(
    net: nn.Module, optimizer: torch.optim.SGD, batches: Batches, recipe: Recipe, objective: Objective
) -> RecordedSteps | None:
    """Record the steps of this training as a CUDA graph, for `fit_epoch`.

    None where that cannot be: on a CPU, with several ranks, for a detector, whose images differ in shape,
    and, with a warning, for a net that waits for the device.
    """
    if batches.device.type != "cuda" or batches.machine.ranks > 1 or not isinstance(batches, Batches):
        return None

    def step(images: Tensor, targets: Tensor) -> Tensor:
        return take_step(net, optimizer, batches, recipe, objective, images, targets)

    try:
        return RecordedSteps(net, optimizer, batches, recipe, step)
    except RuntimeError as error:               # such as a net that looks at its values
        reason = str(error).splitlines()[0]
        warnings.warn(f"this net's steps cannot be a CUDA graph ({reason}); it trains slower", stacklevel=2)
        return None


def _resume(
    folder: Path, net: nn.Module, optimizer: torch.optim.SGD, total: int, steps_per_epoch: int
) -> list[dict]:
    """The history of the checkpoint in *folder*, put into *net* and *optimizer* if it is this training's."""
    history = load_checkpoint(folder, net, optimizer)
    step = history[-1]["step"] if history else 0
    if step > total or (step < total and step % steps_per_epoch):
        found = f"the checkpoint in {folder} is at step {step} of another training"
        raise ItlError(f"{found}, this one has {total} steps, {steps_per_epoch} an epoch; use another folder")
    return history


def _row(losses: Tensor, epoch: int, step: int, batches: Batches, started: float) -> dict:
    """The history's row of one epoch. Reading the loss waits for the device, so time is taken after it."""
    mean = losses.double().mean().item()
    seconds = time.perf_counter() - started
    speed = len(losses) * batches.batch / seconds
    return {"epoch": epoch + 1, "step": step, "loss": mean, "seconds": seconds, "images_per_second": speed}


def _diverged(losses: Tensor, row: dict, recipe: Recipe, folder: Path) -> str:
    """Say at which step the loss stopped being a number."""
    at = int((~losses.isfinite()).nonzero()[0])
    step = row["step"] - len(losses) + at + 1
    found = f"loss became {losses[at].item()} at step {step}, in epoch {row['epoch']}, of {folder}"
    return f"{found}; the last checkpoint is kept; an lr below {recipe.lr:g} or fp32 may work"
