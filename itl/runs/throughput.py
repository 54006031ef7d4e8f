"""What work costs on this machine: seconds, memory and weights of each net, measured once and kept."""

import json
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, Any

from itl.errors import ItlError
from itl.machine import Machine
from itl.processes import process_pool
from itl.runs.provenance import device_name
from itl.specs import DetectionRecipe, Recipe, canonical
from itl.storage import hold_lock, read_mapping, write_text

if TYPE_CHECKING:  # who only plans what is measured already needs no torch
    import torch

    from itl.training.nets import Classifier

    Work = tuple[torch.nn.Module, Callable[[], torch.Tensor], Callable[[], object]]

log = logging.getLogger(__name__)

KEPT = "rates.json"  # beside the runs
DETECTOR_PIXELS = 227  # that a net is built for at most where a detector is measured, which may see more
CLASSES = 100  # of the nets that are measured
REPEAT_S = 2.0  # in which work is done again by default; the fastest time counts
LEAST_REPEATS = 3  # however long they take: one alone may have met with others that compute
QUEUED = 20  # steps that a GPU is given before they are waited for
FIT = {"cpu": (1000, 256, 40), "cuda": (16384, 1024, 256)}  # rows, features and classes of a probe
SMALL = (200, 64, 8)  # of one that costs little but its start
CONTEXT_BYTES = 1 << 29  # of a GPU that a process takes before its first tensor


@dataclass(frozen=True)
class Rate:
    """What one run costs with a net and a recipe, with nothing else on its threads."""

    train_s_per_image: float
    infer_s_per_image: float
    memory: int  # bytes that its process takes at most
    device: int  # of the GPU's memory, in bytes; 0 on a CPU
    weights: int  # bytes of the net without its last layer
    features: int  # that the last layer takes


@dataclass(frozen=True)
class FrozenRate:
    """What it costs to measure features as they are, once they are there."""

    start: float  # seconds of a probe, however small
    fit: float  # seconds more for each row × feature × class
    compare: float  # seconds for each pair of images × feature, in k-NN


NetRecipe = tuple[str, Recipe]  # a net, and how it is trained
Rates = dict[str, Any]  # a Rate by `rate_key`, and FrozenRate by `frozen_rate_key`


def rates_of(works: Iterable[NetRecipe], machine: Machine, repeat_s: float = REPEAT_S) -> Rates:
    """Return the rates of frozen features and of every net and recipe of *works*, by their keys.

    They come from ``runs/rates.json``; what is missing is measured by a process of its own, as a worker would
    do it, for *repeat_s* or more a rate. If several processes start together, one measures and the others
    wait for its file.
    """
    works = list(works)
    rates = stored_rates(works, machine)
    if rates.keys() == _works_by_key(works, machine).keys():
        return rates
    if not machine.can_keep(machine.runs):
        return rates | _measure_missing(works, rates, machine, repeat_s)
    machine.runs.mkdir(parents=True, exist_ok=True)
    # Measured one after another: two measurements at once would slow each other, and one would be lost.
    with hold_lock(machine.runs / f"{KEPT}.lock", "measuring what work costs"):
        rates = stored_rates(works, machine)  # another process may have measured meanwhile
        if measured := _measure_missing(works, rates, machine, repeat_s):
            kept = read_mapping(machine.runs / KEPT) | {name: asdict(rate) for name, rate in measured.items()}
            write_text(machine.runs / KEPT, json.dumps(kept, indent=1))
    return rates | measured


def _measure_missing(works: list[NetRecipe], rates: Rates, machine: Machine, repeat_s: float) -> Rates:
    """Measure in a process of its own what *rates* lack of *works* and of frozen features."""
    missing = {name: work for name, work in _works_by_key(works, machine).items() if name not in rates}
    if not missing:
        return {}
    count = f"{len(missing)} kinds" if len(missing) > 1 else "one kind"
    once = ", once"
    if not machine.can_keep(machine.runs):
        why = "may only be read" if machine.home.is_dir() else "does not exist"
        once = f"; what it costs is not kept, since {machine.home} {why}"
    log.info(f"measuring {count} of work on this machine{once}")
    with process_pool(1, machine.threads, device=machine.device) as alone:
        try:
            measured = alone.submit(_measure_all, list(missing.values()), machine, repeat_s).result()
        except BrokenExecutor as error:
            raise ItlError(
                "the process that measures ended: it was killed (out of memory?), or says above what went "
                "wrong; measure again"
            ) from error
    return dict(zip(missing, measured, strict=True))


def is_resized(net: str, recipe: Recipe, built_for: int) -> bool:
    """Whether *recipe* shows *net* images of other pixels than *built_for*, and its build depends on these.

    Nets of timm alone may be built for images of one size, that of the pre-training; fine-tuning builds none.
    """
    return net.startswith("timm:") and not isinstance(recipe, DetectionRecipe) and recipe.pixels != built_for


def refuse_impossible(net: str, recipe: Recipe, built_for: int) -> None:
    """Raise ItlError where *net* is unknown, or cannot take the images of *recipe*: it is built once.

    *built_for* is the pixels of the pre-training, as in `is_resized`.
    """
    import torch

    from itl.training.nets import build, check_resized

    resized = is_resized(net, recipe, built_for)
    whole = build(net, CLASSES, built_for if resized else _pixels_of_build(recipe), 0)
    if resized:
        check_resized(net, whole, built_for, recipe.pixels)
    if isinstance(recipe, DetectionRecipe):
        from itl.training.detection_nets import detection_backbone  # it imports torchvision, which is slow

        detection_backbone(net, whole)
    elif recipe.batch == 1:
        try:
            whole.to("meta").train()(torch.empty(1, 3, recipe.pixels, recipe.pixels, device="meta"))
        except ValueError as error:
            raise ItlError(
                f"{net} has batch norm, and at {recipe.pixels} pixels one image leaves it one value to "
                f"normalise by; give a batch of 2 or more"
            ) from error


def _pixels_of_build(recipe: Recipe) -> int:
    """Return the pixels of the images that a net to be measured with *recipe* is built for."""
    return min(recipe.pixels, DETECTOR_PIXELS) if isinstance(recipe, DetectionRecipe) else recipe.pixels


def stored_rates(works: Iterable[NetRecipe], machine: Machine) -> Rates:
    """Return those of `rates_of` that are in ``runs/rates.json``; nothing is measured."""
    kept = read_mapping(machine.runs / KEPT)
    rates: Rates = {}
    for name, work in _works_by_key(works, machine).items():
        kind = Rate if work else FrozenRate
        rate = kept.get(name)
        if isinstance(rate, dict) and rate.keys() == {field.name for field in fields(kind)}:
            rates[name] = kind(**rate)
    return rates


def _works_by_key(works: Iterable[NetRecipe], machine: Machine) -> dict[str, NetRecipe | None]:
    return {rate_key(*work, machine): work for work in works} | {frozen_rate_key(machine): None}


def rate_key(net: str, recipe: Recipe, machine: Machine) -> str:
    """Return the key of a rate: one for all that takes as long, such as recipes that differ in lr alone."""
    time_settings = replace(
        recipe, epochs=0, steps=None, lr=0, lrs=(), schedule="cosine", drops=(), warmup=0, weight_decay=0
    )
    return f"{_here(machine)}, {net}, {canonical(time_settings)}"


def frozen_rate_key(machine: Machine) -> str:
    """Return the key of the rate of fitting and comparing frozen features."""
    return f"{_here(machine)}, frozen features"


def _here(machine: Machine) -> str:
    return f"{device_name(machine.devices[0])}, {machine.threads} threads"


def _measure_all(works: list[NetRecipe | None], machine: Machine, repeat_s: float) -> list[Rate | FrozenRate]:
    import torch

    import itl.runs.perform  # noqa: F401, as workers have it: its modules take memory too
    from itl.training.batches import use_device
    from itl.training.numerics import repeatable

    torch.set_num_threads(machine.threads)
    use_device(machine)
    with repeatable(machine):
        return [
            measure(*work, machine, repeat_s) if work else measure_frozen(machine, repeat_s) for work in works
        ]


def measure(net: str, recipe: Recipe, machine: Machine, repeat_s: float = REPEAT_S) -> Rate:
    """Time training and inference on a made-up batch, each for *repeat_s* seconds.

    ItlError if a batch does not fit the memory of the device.
    """
    import torch

    from itl.training.cuda_graph import replay_or_work, training_state
    from itl.training.loop import sgd
    from itl.training.nets import build
    from itl.training.numerics import autocast

    device = torch.device(machine.devices[0])
    whole = build(net, CLASSES, _pixels_of_build(recipe), 0)
    if isinstance(recipe, DetectionRecipe):
        model, loss_of, infer = _detector(whole, net, recipe, device)
    else:
        model, loss_of, infer = _classifier(whole, recipe, device)
    model.to(device, memory_format=torch.channels_last).train()
    optimizer = sgd(model, replace(recipe, lr=0.0, lrs=()))  # the rate is measured, whatever is learned
    sizes = [tensor.nbytes for tensor in whole.body.state_dict().values()]

    def train_step() -> None:
        with autocast(device, recipe.precision):
            loss = loss_of()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def infer_step() -> None:
        with torch.no_grad(), autocast(device, recipe.precision):
            infer()

    _forget_peak(device)
    try:
        if device.type == "cuda" and not isinstance(recipe, DetectionRecipe):  # as training does
            train_step = replay_or_work(train_step, training_state(model, optimizer))
        train_s = _seconds(train_step, device, repeat_s) / recipe.batch
        model.eval()
        infer_s = _seconds(infer_step, device, repeat_s) / recipe.batch
    except torch.OutOfMemoryError as error:
        raise ItlError(
            f"{net} with batches of {recipe.batch} at {recipe.pixels} pixels does not fit the "
            f"memory of {device_name(machine.devices[0])}; take a smaller batch or net"
        ) from error
    return Rate(train_s, infer_s, *_peak(device), sum(sizes), whole.head.in_features)


def measure_frozen(machine: Machine, repeat_s: float = REPEAT_S) -> FrozenRate:
    """Time a small and a larger probe, and k-NN, on made-up features, each for *repeat_s* seconds."""
    import torch

    from itl.evaluation.knn import nearest

    device = torch.device(machine.devices[0])
    rows, width, classes = FIT[device.type]
    sizes = FIT[device.type], SMALL
    large, small = (_seconds(_probe(*size, device), device, repeat_s, queued=1) for size in sizes)
    base, queries = (torch.randn(count, width, device=device) for count in (8 * rows, rows))
    compare = _seconds(lambda: nearest(base, queries, 5), device, repeat_s, queued=1)
    fit = max(0.0, large - small) / (rows * width * classes)
    return FrozenRate(small, fit, compare / (len(base) * len(queries) * width))


def _probe(rows: int, width: int, classes: int, device: "torch.device") -> Callable[[], object]:
    """Give a way to fit a probe to features that say little, as those of real images do."""
    import torch

    from itl.evaluation.logistic_regression import Features, choose_l2
    from itl.evaluation.target import hold_out

    random = torch.Generator().manual_seed(0)
    labels = torch.arange(rows) % classes
    middles = torch.randn(classes, width, generator=random) / 20
    features = middles[labels] + torch.randn(rows, width, generator=random)
    train, (fitted, held) = Features(features.to(device), labels.to(device)), hold_out(labels.numpy(), 0)
    return lambda: choose_l2(train, classes, fitted, held)


def _classifier(model: "Classifier", recipe: Recipe, device: "torch.device") -> "Work":
    """Give *model* a batch of noise to classify."""
    images = _noise((recipe.batch, 3, recipe.pixels, recipe.pixels), device)
    return model, lambda: model(images).logsumexp(1).mean(), lambda: model(images)


def _detector(model: "Classifier", name: str, recipe: DetectionRecipe, device: "torch.device") -> "Work":
    """Give a detector on the parts of *model* a batch of noise in which to find one object each."""
    import torch

    from itl.evaluation.fast_rcnn import Detector, detection_loss
    from itl.sources.annotated.windows import windows
    from itl.training.detection_batches import ImageBatch
    from itl.training.detection_nets import detection_backbone

    height, width = recipe.pixels, min(recipe.longest, recipe.pixels * 4 // 3)
    boxes = torch.from_numpy(windows(width, height, recipe.proposals)).to(device)
    noise = _noise((recipe.batch, 3, height, width), device)
    images = ImageBatch(noise, [(height, width)] * recipe.batch, [boxes] * recipe.batch)
    one_object = {"boxes": boxes[:1] / 2 + 1, "labels": torch.ones(1, dtype=torch.int64, device=device)}
    detector = Detector(detection_backbone(name, model), 20, recipe, 0)
    targets = [one_object] * recipe.batch
    return detector, lambda: detection_loss(detector, images, targets, recipe), lambda: detector(images)


def _noise(shape: tuple[int, ...], device: "torch.device") -> "torch.Tensor":
    import torch

    return torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)


def _seconds(
    work: Callable[[], object], device: "torch.device", repeat_s: float, queued: int = QUEUED
) -> float:
    """Seconds that *work* takes, after once to warm up: the least in *repeat_s*, with least disturbance.

    On a CPU those of this thread, which takes part in everything: what other processes take is not counted.
    But this thread computes while it waits for the others of its process, and other processes make that
    longer. So it is done a few times, however long it takes.
    """
    import torch

    on_gpu = device.type == "cuda"
    queued, clock = (queued, time.perf_counter) if on_gpu else (1, time.thread_time)
    wait = partial(torch.cuda.synchronize, device) if on_gpu else bool
    work()
    began, seconds = time.perf_counter(), list[float]()
    while len(seconds) < LEAST_REPEATS or time.perf_counter() - began < repeat_s:
        wait()
        started = clock()
        for _ in range(queued):
            work()
        wait()
        seconds.append((clock() - started) / queued)
    return min(seconds)


def _forget_peak(device: "torch.device") -> None:
    """Let `_peak` tell of what follows only; where the system does not allow it, of all so far."""
    import torch

    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: "torch.device") -> tuple[int, int]:
    """Bytes that this process took at most: of the machine's memory, and of the GPU's.

    Without the pages of files, such as libraries, which processes share.
    """
    import torch

    own = Path("/proc/self/status")
    if own.exists():
        status = dict(line.split(":") for line in own.read_text(encoding="utf-8").splitlines())
        highest, shared = (int(status[name].split()[0]) << 10 for name in ("VmHWM", "RssFile"))
    else:  # macOS counts in bytes, and does not tell shared pages
        highest, shared = getrusage(RUSAGE_SELF).ru_maxrss, 0
    on_gpu = torch.cuda.max_memory_reserved(device) + CONTEXT_BYTES if device.type == "cuda" else 0
    return highest - shared, on_gpu
