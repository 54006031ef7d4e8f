"""Batches: a selection of a pack, cropped, flipped and normalised, in an order that seed and epoch decide."""

import functools
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np
import torch

from itl import ItlError
from itl.machine import Machine
from itl.specs import Recipe
from itl.training.crop_cpu import batch_crop, gather_crop
from itl.training.device_images import ImageStream, prefetch, resident
from itl.training.numerics import has_bf16

if TYPE_CHECKING:
    from itl.packs.pack import Pack
    from itl.packs.subset import Selection

SCALE = (0.25, 1.0)         # of the area: the usual 0.08 leaves 18 x 18 pixels of 64, too few to learn from
RATIO = (3 / 4, 4 / 3)      # width to height
TRIES = 10                  # as torchvision: then the whole image

Crops = tuple[np.ndarray, np.ndarray, np.ndarray]   # positions (B,), boxes (B, 4), flips (B,)


@dataclass(frozen=True)
class EpochPlan:
    """Which images the steps of an epoch take and how each is cropped: settled before a pixel is read."""

    positions: torch.Tensor             # int64 (N,), in the selection
    boxes: torch.Tensor                 # float32 (N, 4): top, left, height, width, in stored pixels
    flips: torch.Tensor                 # bool (N,)
    targets: torch.Tensor               # int64 (N,), or (N, C) where an image has C labels

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All four, in the order of the fields."""
        return self.positions, self.boxes, self.flips, self.targets

    def map(self, work: Callable[[torch.Tensor], torch.Tensor]) -> "EpochPlan":
        """Return the plan with *work* done to each of its tensors."""
        return EpochPlan(*map(work, self.tensors()))


def device(machine: Machine) -> torch.device:
    """The device of this process: the first of the machine's."""
    return torch.device(machine.devices[0])


def use_device(machine: Machine) -> torch.device:
    """Make the device of this process its current one, before anything is put on another; return it."""
    where = device(machine)
    if where.index is not None:
        torch.cuda.set_device(where)
    return where


def draws(seed: int, epoch: int, step: int) -> np.random.Generator:
    """The random numbers of one step of one epoch: the same in every process, whatever was drawn before.

    >>> draws(0, 1, 2).random() == draws(0, 1, 2).random()
    True
    """
    return np.random.Generator(np.random.Philox(key=np.array([seed % 2**64, epoch << 32 | step], np.uint64)))


def draw_boxes(random: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Boxes (count, 4) for random resized crops of size x size images, drawn as torchvision draws them.

    An image whose box does not fit is drawn again, TRIES times at most; then its box is the whole image.
    """
    height, width = np.full((2, count), float(size))
    misfits = np.arange(count)
    for _ in range(TRIES):
        area = size * size * random.uniform(*SCALE, len(misfits))
        ratio = np.exp(random.uniform(*np.log(RATIO), len(misfits)))
        tall, wide = np.round(np.sqrt(area / ratio)), np.round(np.sqrt(area * ratio))
        fits = (tall > 0) & (tall <= size) & (wide > 0) & (wide <= size)
        height[misfits[fits]], width[misfits[fits]] = tall[fits], wide[fits]
        misfits = misfits[~fits]
    return _place(random, height, width, size)


def window(size: int, pixels: int) -> int:
    """Side of the window that evaluation, and training without resized crops, take from a size x size image.

    *pixels*, so unscaled, where that is more than half the side; 7/8 of a larger image, shrunk; all of a
    smaller one, enlarged.

    >>> window(64, 56), window(256, 56), window(32, 56)
    (56, 224, 32)
    """
    return min(size, pixels) if size < 2 * pixels else size * 7 // 8


@functools.cache
def crop_on(where: torch.device) -> Callable[..., torch.Tensor]:
    """`fused_crop`, or plain torch where that does not work: Triton needs a C compiler."""
    try:
        from itl.training.crop_triton import fused_crop

        places, boxes = torch.zeros(1, dtype=torch.int64, device=where), torch.ones(1, 4, device=where)
        fused_crop(torch.zeros(1, 2, 2, 3, dtype=torch.uint8, device=where), places, boxes, places > 0, 1)
        return fused_crop
    except Exception as error:              # of many kinds: no module, no compiler, no Python.h, an old GPU
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        warnings.warn(f"no Triton on {where} ({reason}); plain torch crops the batches, slower", stacklevel=2)
        return lambda images, places, *how: batch_crop(images[places], *how[:3]).to(how[3])


class Batches:
    """Batches of *selection* of *pack*, augmented as *recipe* says, on the machine's device.

    With several ranks each gets every ranks-th image of the same global batch, which stays recipe.batch.
    Raises ItlError where nothing is selected, or fewer images than ranks.
    """

    def __init__(self, pack: "Pack", selection: "Selection", recipe: Recipe, seed: int, machine: Machine):
        """Keep what is needed to make any batch; bring the images to a GPU where they fit."""
        if len(selection.rows) == 0:
            raise ItlError("batches need an image, the selection holds none; select another split or class")
        self.rows, self.labels = np.asarray(selection.rows, np.int64), np.asarray(selection.labels, np.int64)
        if not 0 <= self.rows.min() <= self.rows.max() < len(pack.images):
            found = f"the selection has row {self.rows.max()}, the pack {len(pack.images)} images"
            raise ItlError(f"{found}; select from the pack that is read")
        self.recipe, self.seed, self.machine, self.device = recipe, seed, machine, device(machine)
        self.images, self.size = pack.images, pack.images.shape[1]
        self.batch = min(recipe.batch, len(self.rows))              # of all ranks together
        if self.batch < machine.ranks:
            asked = f"{machine.ranks} ranks cannot share a batch of {self.batch}"
            raise ItlError(f"{asked}; use fewer ranks, a larger batch or more images")
        self.threads = ThreadPoolExecutor(machine.threads, "crop")  # starts none before the first batch
        self.next = ThreadPoolExecutor(1, "batch")                  # shares a batch out over those threads
        self.spare: deque[np.ndarray] = deque(maxlen=3)             # memory of batches that were let go
        self.coming: dict[int, Future] = {}                         # the plan of the next epoch
        self.on_device: torch.Tensor | None = None                  # images uint8 (N, S, S, 3) on a GPU
        if self.device.type == "cuda":
            self.stream = ImageStream(self.device, self.threads)
            self._keep(resident(self.images, self.rows, self.stream, machine.workers))

    def __len__(self) -> int:
        """Steps per epoch: whole batches, and one where there are fewer images than a batch."""
        return len(self.rows) // self.batch

    @property
    def step_images(self) -> int:
        """How many images this rank has in each step."""
        return len(range(self.machine.rank, self.batch, self.machine.ranks))

    @property
    def dtype(self) -> torch.dtype:
        """Of the images that training gets: on a GPU what autocast would make of them, else float32."""
        half = self.device.type == "cuda" and self.recipe.precision == "bf16" and has_bf16(self.device)
        return torch.bfloat16 if half else torch.float32

    def epoch(self, number: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield this rank's batches, shuffled and augmented.

        Each is images (B, 3, P, P) of `dtype`, channels_last, and targets (B,), int64, or (B, C).
        """
        if self.device.type == "cpu":
            yield from prefetch(self.next, self._crop, self._steps(self.plan(number), self.step_images))
        else:
            yield from self._crop_on_gpu(self.plan(number), self.step_images, self.dtype)

    def in_order(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield every image once, its central window, in the selection's order; the last batch may be short.

        Every rank gets all of them, as float32.
        """
        count, side = len(self.rows), window(self.size, self.recipe.pixels)
        edge = (self.size - side) // 2
        boxes = np.tile(np.array([edge, edge, side, side], np.float32), (count, 1))
        plan = self._planned(np.arange(count), boxes, np.zeros(count, bool))
        if self.device.type == "cpu":
            yield from prefetch(self.next, self._crop, self._steps(plan, self.batch))
        else:
            yield from self._crop_on_gpu(plan, self.batch, torch.float32)

    def plan(self, epoch: int) -> EpochPlan:
        """What this rank does in *epoch*, on the host: pure in the seed and *epoch*.

        For a GPU the next epoch is drawn on a thread meanwhile.
        """
        if self.device.type == "cpu":
            return self._draw(epoch)
        drawn = self.coming.pop(epoch, None) or self.threads.submit(self._draw, epoch)
        self.coming = {epoch + 1: self.threads.submit(self._draw, epoch + 1)}
        return drawn.result()

    def streamed(self, plan: EpochPlan, count: int) -> Iterator[torch.Tensor]:
        """Yield the stored images of every *count* of *plan* on the GPU, uint8 (B, S, S, 3)."""
        parts = (self.rows[part.numpy()] for part in plan.positions.split(count))
        yield from self.stream.send(self.images, parts)

    def _draw(self, epoch: int) -> EpochPlan:
        """Draw the global batches of *epoch* and take this rank's part of each."""
        steps = len(self)
        count = steps * self.batch
        order = draws(self.seed, epoch, 0).permutation(len(self.rows))[:count]
        random = draws(self.seed, epoch, 1)
        if self.recipe.augment == "resized-crop":
            boxes = draw_boxes(random, count, self.size)
        else:
            side = np.full(count, window(self.size, self.recipe.pixels))
            boxes = _place(random, side, side, self.size, centred=self.recipe.augment == "centre")
        flips = random.random(count) < 0.5 * self.recipe.flip
        mine = slice(self.machine.rank, None, self.machine.ranks)
        order, flips = (part.reshape(steps, -1)[:, mine].ravel() for part in (order, flips))
        return self._planned(order, boxes.reshape(steps, -1, 4)[:, mine].reshape(-1, 4), flips)

    def _planned(self, positions: np.ndarray, boxes: np.ndarray, flips: np.ndarray) -> EpochPlan:
        parts = positions, boxes, flips, self.labels[positions]
        plan = EpochPlan(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))
        return plan.map(torch.Tensor.pin_memory) if self.device.type == "cuda" else plan

    def _steps(self, plan: EpochPlan, count: int) -> Iterator[Crops]:
        """Split *plan* into steps of *count* images, the last maybe shorter."""
        for positions, boxes, flips in zip(*(part.split(count) for part in plan.tensors()[:3]), strict=True):
            yield positions.numpy(), boxes.numpy(), flips.numpy()

    def _crop(self, crops: Crops) -> tuple[torch.Tensor, torch.Tensor]:
        """One batch, made on the CPU."""
        chosen, boxes, flips = crops
        memory = self._memory(len(chosen))
        images = gather_crop(self.images, self.rows[chosen], boxes, flips, memory, self.threads)
        return images, torch.from_numpy(self.labels[chosen])

    def _memory(self, count: int) -> np.ndarray:
        """Room for *count* crops, float32 (count, P, P, 3): that of a batch which nobody holds any more.

        New memory comes a page at a time, each cleared first: for large crops that was a fifth of the work.
        """
        try:
            whole = self.spare.pop()
        except IndexError:
            whole = np.empty((self.batch, self.recipe.pixels, self.recipe.pixels, 3), np.float32)
        lent = whole[:count]
        weakref.finalize(lent, self.spare.append, whole)        # when the last tensor that looks into it goes
        return lent

    def _keep(self, held: tuple[torch.Tensor, np.ndarray] | None) -> None:
        """Remember the images that are on the GPU and at which rows of them the selection lies."""
        if held is not None:
            self.on_device, rows = held
            self.device_rows = torch.from_numpy(rows).to(self.on_device.device)

    def _crop_on_gpu(
        self, plan: EpochPlan, count: int, dtype: torch.dtype
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Turn *plan* into tensors on the GPU, *count* images at once: no step waits, or sends but images."""
        sent = plan.map(lambda part: part.to(self.device, non_blocking=True))
        if self.on_device is not None:
            rows, images = self.device_rows[sent.positions].split(count), repeat(self.on_device)
        else:
            rows = [torch.arange(len(part), device=self.device) for part in sent.positions.split(count)]
            images = self.streamed(plan, count)
        parts = (part.split(count) for part in (sent.boxes, sent.flips, sent.targets))
        crop = crop_on(self.device)
        for held, at, boxes, flips, targets in zip(images, rows, *parts, strict=False):
            yield crop(held, at, boxes, flips, self.recipe.pixels, dtype), targets


def _place(
    random: np.random.Generator, height: np.ndarray, width: np.ndarray, size: int, centred: bool = False
) -> np.ndarray:
    """Boxes (B, 4) float32 of these sides at random whole places of the image, or in its middle."""
    free = np.stack([size - height, size - width])
    top, left = free // 2 if centred else np.floor(random.random(free.shape) * (free + 1))
    return np.stack([top, left, height, width], 1).astype(np.float32)
