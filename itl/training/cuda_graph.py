"""A training step recorded as a CUDA graph: small nets are slowed by the launch of each kernel."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice, repeat

import torch
from torch import Tensor, nn

from itl.specs import Recipe
from itl.training.batches import Batches, crop_on

WARMUP_RUNS = 3  # of a step before it is recorded: libraries initialise, kernels are compiled

Step = Callable[[Tensor, Tensor], Tensor]  # images (B, 3, P, P) and targets (B,) to the loss


def record(work: Callable[[], object], state: Iterable[Tensor]) -> torch.cuda.CUDAGraph:
    """Record *work* as a CUDA graph to be replayed, after a few warm-up runs.

    Source: CUDA graphs in PyTorch's notes on CUDA semantics, "whole-network capture".

    Args:
        work: Must read and write the same memory each time.
        state: The tensors that *work* changes; they get their values back.

    Raises:
        RuntimeError: If *work* waits for the device. It is raised by the last warm-up run: torch's allocator
            does not recover from a capture that fails (until 2.12, github.com/pytorch/pytorch/pull/180395).
    """
    saved = [(tensor, tensor.clone()) for tensor in state]
    graph, warmup, current = torch.cuda.CUDAGraph(), torch.cuda.Stream(), torch.cuda.current_stream()
    warmup.wait_stream(current)
    try:
        with torch.cuda.stream(warmup):
            for _ in range(WARMUP_RUNS - 1):
                work()
            with waits_refused():
                work()
        current.wait_stream(warmup)
        # Its default stream is of the GPU of the process's first capture. Other threads may use the device
        with torch.cuda.graph(graph, stream=warmup, capture_error_mode="thread_local"):
            work()
    finally:
        torch.cuda.set_stream(current)  # a capture that fails leaves its own
        current.wait_stream(warmup)  # a warm-up that fails has work left there
        with torch.no_grad():
            for tensor, before in saved:
                tensor.copy_(before)
    return graph


def replay_or_work(work: Callable[[], None], state: Iterable[Tensor]) -> Callable[[], None]:
    """Return the replay of *work* recorded as `record` does; *work* itself where it waits for the device."""
    try:
        return record(work, state).replay
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        return work


@contextmanager
def waits_refused() -> Iterator[None]:
    """Make what waits for the device raise RuntimeError, in all threads, while the context lasts."""
    mode = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype")
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(mode)


def training_state(net: nn.Module, optimizer: torch.optim.SGD) -> list[Tensor]:
    """List the tensors that a training step changes: weights, buffers and momentum, which starts at zero."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if group["momentum"] and optimizer.state[weight].get("momentum_buffer") is None:
                optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
    momentum = [state["momentum_buffer"] for state in optimizer.state.values() if "momentum_buffer" in state]
    return [*(tensor.detach() for tensor in net.state_dict().values()), *momentum]


class RecordedSteps:
    """Crop, forward, backward and optimizer of *step* on *batches* as one graph, replayed for every step.

    What differs between steps (rows, boxes, flips, targets, learning rate) is copied to the GPU once an
    epoch, and the graph counts the steps itself. Only images of a streamed pack are sent for each step.
    """

    def __init__(
        self, net: nn.Module, optimizer: torch.optim.SGD, batches: Batches, recipe: Recipe, step: Step
    ) -> None:
        """Record the graph. The net, its buffers and the momentum keep their values and their memory."""
        self.batches, self.recipe, steps = batches, recipe, len(batches)
        device, count = batches.device, batches.step_images
        plan = self.plan = batches.plan(0).map(lambda part: part.to(device))  # any epoch's, for its shapes
        learning_rates, losses = self.learning_rates, self.losses = torch.zeros(2, steps, device=device)
        number = self.number = torch.zeros(1, dtype=torch.int64, device=device)
        shape = count, *batches.images.shape[1:]  # of the images of a step, which a streamed pack sends
        streams = batches.on_device is None
        sent = self.sent = torch.zeros(shape, dtype=torch.uint8, device=device) if streams else None
        crop, within = crop_on(device), torch.arange(count, device=device)
        rate = torch.zeros((), device=device)
        for group in optimizer.param_groups:
            group["lr"] = rate

        def one_step() -> None:  # without self: a cycle would keep net and images on the GPU after training
            index = number * count + within
            positions, *boxes_and_flips, targets = (part.index_select(0, index) for part in plan)
            rate.copy_(learning_rates.index_select(0, number)[0])
            if sent is None:
                images, rows = batches.on_device, batches.device_rows.index_select(0, positions)
            else:
                images, rows = sent, within
            loss = step(crop(images, rows, *boxes_and_flips, recipe.pixels, batches.dtype), targets)
            losses.index_copy_(0, number, loss.view(1))
            number.add_(1).remainder_(steps)  # there may be more warm-up runs than steps in an epoch

        self.one_step = one_step  # keeps the tensors whose memory the graph reads and writes
        self.graph = record(one_step, [*training_state(net, optimizer), number])

    def epoch(self, step: int, count: int) -> Tensor:
        """Take the *count* steps of an epoch from *step* on; return their losses (count,), on the GPU."""
        steps = len(self.batches)
        plan = self.batches.plan(step // steps)
        rates = [self.recipe.lr_of_step(step + offset, steps) for offset in range(count)]
        self.learning_rates[:count].copy_(torch.tensor(rates).pin_memory(), non_blocking=True)
        for recorded, part in zip(self.plan, plan, strict=True):
            recorded.copy_(part, non_blocking=True)
        self.number.zero_()
        images: Iterable[Tensor | None] = repeat(None)
        if self.sent is not None:
            images = self.batches.streamed(plan, self.batches.step_images)
        for stored in islice(images, count):
            if self.sent is not None and stored is not None:
                self.sent.copy_(stored, non_blocking=True)
            self.graph.replay()
        return self.losses[:count].clone()
