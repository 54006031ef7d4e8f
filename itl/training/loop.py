"""The one training loop, prediction, and weights on disk."""

import atexit
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from itl.errors import ItlError
from itl.machine import Machine
from itl.notes import warn
from itl.specs import DetectionRecipe, Recipe
from itl.training.batches import Batches, device, step_rng, use_device
from itl.training.checkpoint import checkpoints, fill, load_checkpoint, load_tensors, save_tensors
from itl.training.cuda_graph import RecordedSteps
from itl.training.detection_batches import DetectionBatches
from itl.training.numerics import autocast, repeatable

Objective = Callable[[nn.Module, Any, Any, Recipe], Tensor]
TrainingBatches = Batches | DetectionBatches


class Diverged(ItlError):
    """Raised when the loss, a weight or a buffer is no longer a number."""


def classify(net: nn.Module, images: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
    """Return the cross-entropy of images (B, 3, P, P) of classes *targets* (B,): the mean, a scalar."""
    return cross_entropy(net(images).float(), targets, label_smoothing=recipe.label_smoothing)


def train(
    net: nn.Module,
    batches: TrainingBatches,
    recipe: Recipe,
    folder: Path,
    machine: Machine,
    *,
    seed: int = 0,
    log: Callable[[dict], object] | None = None,
    objective: Objective = classify,
) -> list[dict]:
    """Train *net* on *batches*, in place; resume from a checkpoint in *folder*, if there is one.

    Args:
        net: Anything that *objective* takes.
        seed: Of random numbers in the net, such as dropout.
        log: Gets each epoch's dict as it is made.
        objective: Returns the mean loss of what *batches* yields.

    Returns:
        The history, a dict for each epoch: epoch, step, loss, seconds and images_per_second.

    Raises:
        Diverged: The loss, a weight or a buffer is not finite after an epoch. The last checkpoint before that
            is kept.
    """
    total = recipe.total_steps(len(batches))
    net.to(device(machine), memory_format=torch.channels_last)
    optimizer = sgd(net, recipe)
    history = _resume(folder, net, optimizer, total, len(batches))
    step, saved = (history[-1]["step"] if history else 0), time.perf_counter()
    trained = net.train()
    if machine.compile and step < total and isinstance(batches, Batches):  # a detector's differ in shape
        torch.compiler.reset()  # else the ninth net of a process would not be compiled
        trained = cast(nn.Module, torch.compile(net, dynamic=False))  # not in place: it would never be freed
    with _session(machine), checkpoints(folder) as save:
        wrapped = DistributedDataParallel(trained) if machine.ranks > 1 else trained
        recorded = recorded_steps(trained, optimizer, batches, recipe, objective) if step < total else None
        while step < total:
            epoch, started = step // len(batches), time.perf_counter()
            torch.manual_seed(int(step_rng(seed, epoch, 2**32 - 1 - machine.rank).integers(2**63)))
            losses = fit_epoch(wrapped, optimizer, batches, recipe, step, objective, recorded)
            step += len(losses)
            history.append(_row(losses, epoch, step, batches, started))
            _refuse_diverged(net, losses, history[-1], recipe, folder, machine)
            due = time.perf_counter() - saved > machine.checkpoint_seconds
            if machine.rank == 0 and (step == total or due):
                save(net, optimizer, history)  # net, not its wrapper
                saved = time.perf_counter()
            if log and machine.rank == 0:
                log(history[-1])
    return history


def fit_epoch(
    net: nn.Module,
    optimizer: torch.optim.SGD,
    batches: TrainingBatches,
    recipe: Recipe,
    step: int,
    objective: Objective = classify,
    recorded: RecordedSteps | None = None,
) -> Tensor:
    """Take the steps of the epoch that begins at *step*, or those left of the training; return their losses.

    *recorded* steps, if given, are replayed. The losses (steps,) are on the device: nothing waits for it.
    """
    ranks, count = batches.machine.ranks, min(len(batches), recipe.total_steps(len(batches)) - step)
    net.train()
    if recorded is not None:
        return recorded.epoch(step, count)
    losses = torch.zeros(count, device=batches.device)
    epoch = batches.epoch(step // len(batches))
    for offset, (images, targets) in enumerate(islice(epoch, count)):
        for group in optimizer.param_groups:
            group["lr"] = group["lr_factor"] * recipe.lr_of_step(step + offset, len(batches))
        losses[offset] = take_step(net, optimizer, batches, recipe, objective, images, targets)
    if ranks > 1:
        distributed.all_reduce(losses)  # so that all ranks decide alike
        losses /= ranks
    return losses


def take_step(
    net: nn.Module,
    optimizer: torch.optim.SGD,
    batches: TrainingBatches,
    recipe: Recipe,
    objective: Objective,
    images: Any,
    targets: Any,
) -> Tensor:
    """Do forward, backward and optimizer step on one batch; return the loss, a scalar on the device."""
    optimizer.zero_grad(set_to_none=True)  # so that the forward pass can reuse their memory
    with autocast(batches.device, recipe.precision):
        loss = objective(net, images, targets, recipe)
    loss = loss * (len(targets) * batches.machine.ranks / batches.batch)  # ranks' shares may differ
    loss.backward()
    if recipe.clip:
        nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)  # on the device: no wait
    optimizer.step()
    return loss.detach()


def predict(
    net: nn.Module, batches: Batches, machine: Machine, precision: str = "fp32"
) -> tuple[Tensor, Tensor]:
    """Run *net*, or its body, on every image of *batches* in order.

    The net is left in evaluation mode; its parameters and buffers are unchanged.

    Returns:
        Outputs (N, C), float32, and targets (N,) or (N, C), on the device, in memory allocated once.
    """
    net.to(batches.device, memory_format=torch.channels_last).eval()
    done, all_outputs, all_targets = 0, torch.empty(0), torch.empty(0)
    with repeatable(machine), torch.no_grad(), autocast(batches.device, precision):
        for images, targets in batches.in_order():
            outputs = net(images)
            if done == 0:
                all_outputs = outputs.new_empty((len(batches.rows), *outputs.shape[1:]), dtype=torch.float32)
                all_targets = targets.new_empty((len(batches.rows), *targets.shape[1:]))
            part = slice(done, done + len(targets))
            all_outputs[part], all_targets[part] = outputs, targets
            done += len(targets)
    return all_outputs, all_targets


def save_weights(net: nn.Module, path: Path) -> None:
    """Write the net's weights and buffers to *path* as safetensors, whole or not at all."""
    save_tensors(path, net.state_dict())


def load_weights(net: nn.Module, path: Path) -> None:
    """Read into *net* what `save_weights` wrote; raise ItlError for a damaged file or another net's."""
    fill(net, load_tensors(path)[0], path)


def sgd(net: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """Make SGD over the trainable weights; biases and norms, of one dimension, get no weight decay.

    A detection recipe may give these another learning rate.
    """
    bias_lr = recipe.bias_lr if isinstance(recipe, DetectionRecipe) else 1.0
    trainable = [weight for weight in net.parameters() if weight.requires_grad]
    kernels = [weight for weight in trainable if weight.ndim >= 2]
    vectors = [weight for weight in trainable if weight.ndim < 2]
    groups: list[dict[str, Any]] = [
        {"params": kernels, "weight_decay": recipe.weight_decay, "lr_factor": 1.0},
        {"params": vectors, "weight_decay": 0.0, "lr_factor": bias_lr},
    ]
    return torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=recipe.lr or 0.0,  # every step sets it
        momentum=recipe.momentum,
        fused=True,
    )


def join_ranks(machine: Machine, timeout: timedelta | None = None) -> None:
    """Join the process group of a torchrun: NCCL for tensors on GPUs, gloo for all else, objects too.

    Once in a process: a second group, made after the first was destroyed, may wait without end. The device
    is set before: NCCL takes a rank's current device, and no two ranks may share one.
    """
    device = use_device(machine)
    if distributed.is_initialized():
        return
    if device.type == "cuda":
        distributed.init_process_group("cpu:gloo,cuda:nccl", timeout=timeout, device_id=device)
    else:
        distributed.init_process_group("gloo", timeout=timeout)


@contextmanager
def _session(machine: Machine) -> Iterator[None]:
    """Provide repeatable kernels, the process group, and a random state that is restored afterwards."""
    device = use_device(machine)
    if machine.ranks > 1 and not distributed.is_initialized():
        join_ranks(machine)
        atexit.register(distributed.destroy_process_group)  # registered once, as the group is joined once
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus), repeatable(machine):
        yield


def recorded_steps(
    net: nn.Module, optimizer: torch.optim.SGD, batches: TrainingBatches, recipe: Recipe, objective: Objective
) -> RecordedSteps | None:
    """Record the steps of this training as a CUDA graph, for `fit_epoch`.

    None on a CPU, with several ranks, for a detector, whose images differ in shape, and, with a warning, for
    a net that waits for the device and where memory is short though no pack is kept on the device any more.
    """
    if not isinstance(batches, Batches) or batches.device.type != "cuda" or batches.machine.ranks > 1:
        return None

    def step(images: Tensor, targets: Tensor) -> Tensor:
        return take_step(net, optimizer, batches, recipe, objective, images, targets)

    try:
        return RecordedSteps(net, optimizer, batches, recipe, step)
    except torch.OutOfMemoryError:
        pass  # go on without the error, which holds what the steps took of the memory
    except RuntimeError as error:  # for example the net reads its values on the host
        reason = str(error).splitlines()[0]
        warn(f"this net's steps cannot be a CUDA graph ({reason}); it trains slower")
        return None
    if batches.stream_from_now_on():
        return recorded_steps(net, optimizer, batches, recipe, objective)
    advice = "; fewer --workers leave more" if batches.machine.workers > 1 else ""
    warn(f"too little GPU memory is free to record training as a CUDA graph; it trains slower{advice}")
    return None


def _resume(
    folder: Path, net: nn.Module, optimizer: torch.optim.SGD, total: int, steps_per_epoch: int
) -> list[dict]:
    """Restore *net* and *optimizer* from a checkpoint of this training in *folder*; return its history."""
    history = load_checkpoint(folder, net, optimizer)
    step = history[-1]["step"] if history else 0
    if step > total or (step < total and step % steps_per_epoch):
        raise ItlError(
            f"the checkpoint in {folder} is at step {step} of another training, this one has "
            f"{total} steps, {steps_per_epoch} an epoch; use another folder"
        )
    return history


def _row(losses: Tensor, epoch: int, step: int, batches: TrainingBatches, started: float) -> dict:
    """Return the history's row of one epoch; the time is taken after the loss, which waits for the device."""
    mean = losses.double().mean().item()
    seconds = time.perf_counter() - started
    speed = len(losses) * batches.batch / seconds
    return {"epoch": epoch + 1, "step": step, "loss": mean, "seconds": seconds, "images_per_second": speed}


def _refuse_diverged(
    net: nn.Module, losses: Tensor, row: dict, recipe: Recipe, folder: Path, machine: Machine
) -> None:
    """Raise Diverged, on all ranks, where a loss of the epoch of *row* or a tensor of *net* is not finite.

    A finite loss is not enough: statistics of BatchNorm overflow before it does, and then every output is 0.
    """
    cure = f"of {folder}; the last checkpoint is kept; an lr below {recipe.lr:g} or fp32 may work"
    if not math.isfinite(row["loss"]):
        first = int((~losses.isfinite()).nonzero()[0])
        step = row["step"] - len(losses) + first + 1
        raise Diverged(f"loss became {losses[first].item()} at step {step}, in epoch {row['epoch']}, {cure}")
    state = net.state_dict().items()
    tensors = {name: tensor for name, tensor in state if tensor.is_floating_point() and tensor.numel()}
    largest = nn.utils.get_total_norm(tensors.values(), math.inf)  # in two kernels on a GPU
    if machine.ranks > 1:
        distributed.all_reduce(largest)  # buffers of ranks differ
    if not math.isfinite(largest.item()):
        broken = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
        where = f"{len(broken)} of {len(tensors)} tensors of the net ({', '.join(broken[:1])})"
        raise Diverged(f"{where} are not finite after epoch {row['epoch']} {cure}")
