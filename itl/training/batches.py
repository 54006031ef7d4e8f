"""Batches: images of a pack, cropped, flipped and normalised, in an order that seed and epoch determine."""

import functools
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from itl.errors import ItlError
from itl.iteration import map_in_order
from itl.machine import Machine
from itl.specs import Recipe
from itl.training.crop_cpu import gather_crop, plain_crop
from itl.training.device_images import ImageStream, resident, resident_packs
from itl.training.numerics import computes_bf16, triton_kernel

if TYPE_CHECKING:
    from itl.packs.pack import Pack
    from itl.packs.subset import Selection

SCALE = (0.25, 1.0)  # parts of the area: the usual 0.08 leaves 18 x 18 pixels of 64, too few to learn from
RATIO = (3 / 4, 4 / 3)  # width to height
MAX_DRAWS = 10  # of a box, as in torchvision: then the whole image is taken

Batch = tuple[torch.Tensor, torch.Tensor]  # images (B, 3, P, P), and targets (B,) or (B, C)


class EpochPlan(NamedTuple):
    """The images of an epoch's steps and how each is cropped, determined before a pixel is read."""

    positions: torch.Tensor  # int64 (N,), in the selection
    boxes: torch.Tensor  # float32 (N, 4): top, left, height, width, in stored pixels
    flips: torch.Tensor  # bool (N,)
    targets: torch.Tensor  # int64 (N,), or (N, C) where an image has C labels

    def map(self, work: Callable[[torch.Tensor], torch.Tensor]) -> "EpochPlan":
        """Return the plan with *work* applied to each of its tensors."""
        return EpochPlan(*map(work, self))


def device(machine: Machine) -> torch.device:
    """Return the device of this process: the first of the machine's."""
    return torch.device(machine.devices[0])


def use_device(machine: Machine) -> torch.device:
    """Make the device of this process the current one, before anything is put on another; return it.

    That is for one thread: others begin with the first GPU, which would give this process memory there too.
    """
    own = device(machine)
    if own.index is not None:
        torch.cuda.set_device(own)
    return own


def step_rng(seed: int, epoch: int, step: int) -> np.random.Generator:
    """Return the generator of one step of one epoch: the same in every process, whatever was drawn before.

    >>> step_rng(0, 1, 2).random() == step_rng(0, 1, 2).random()
    True
    """
    return np.random.Generator(np.random.Philox(key=np.array([seed % 2**64, epoch << 32 | step], np.uint64)))


def draw_boxes(random: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Draw boxes for random resized crops of *count* images of size x size pixels, as torchvision does.

    A box that does not fit is drawn again, up to MAX_DRAWS times; then it is the whole image. The result is
    float32 (count, 4): top, left, height, width, in whole pixels.
    """
    height, width = np.full((2, count), float(size))
    misfits = np.arange(count)
    low, high = np.log(RATIO)
    for _ in range(MAX_DRAWS):
        area = size * size * random.uniform(*SCALE, len(misfits))
        ratio = np.exp(random.uniform(low, high, len(misfits)))
        heights, widths = np.round(np.sqrt(area / ratio)), np.round(np.sqrt(area * ratio))
        fits = (heights > 0) & (heights <= size) & (widths > 0) & (widths <= size)
        height[misfits[fits]], width[misfits[fits]] = heights[fits], widths[fits]
        misfits = misfits[~fits]
    return _positioned(random, height, width, size)


def center_crop_side(size: int, pixels: int) -> int:
    """Return the side, in pixels, of the center crop of a size x size image that becomes *pixels* wide.

    Evaluation and training without resized crops take it. It is *pixels*, so unscaled, where that is more
    than half the side; 7/8 of a larger image; all of a smaller one.

    >>> center_crop_side(64, 56), center_crop_side(256, 56), center_crop_side(32, 56)
    (56, 224, 32)
    """
    return min(size, pixels) if size < 2 * pixels else size * 7 // 8


@functools.cache
def crop_on(device: torch.device) -> Callable[..., torch.Tensor]:
    """Return `fused_crop`, or `plain_crop` where Triton does not work."""

    def tried() -> Callable[..., torch.Tensor]:
        from itl.training.crop_triton import fused_crop

        rows, boxes = torch.zeros(1, dtype=torch.int64, device=device), torch.ones(1, 4, device=device)
        fused_crop(torch.zeros(1, 2, 2, 3, dtype=torch.uint8, device=device), rows, boxes, rows > 0, 1)
        return fused_crop

    return triton_kernel(tried, device, "plain torch crops the batches") or plain_crop


class Batches:
    """Batches of *selection* of *pack*, augmented as *recipe* says, on the machine's device.

    Of several ranks, each takes every ranks-th image of the same global batch of recipe.batch images.
    """

    def __init__(
        self,
        pack: "Pack",
        selection: "Selection",
        recipe: Recipe,
        seed: int,
        machine: Machine,
        keep: bool = True,
    ) -> None:
        """Check the selection, and copy its images to the GPU where they fit.

        Images of a pack stay for later runs of this process; without *keep* they are freed with the batches.
        """
        if len(selection.rows) == 0:
            raise ItlError("batches need an image, the selection holds none; select another split or class")
        self.rows, self.labels = np.asarray(selection.rows, np.int64), np.asarray(selection.labels, np.int64)
        if not 0 <= self.rows.min() <= self.rows.max() < len(pack.images):
            raise ItlError(
                f"the selection has row {self.rows.max()}, the pack {len(pack.images)} images; "
                "select from the pack that is read"
            )
        self.recipe, self.seed, self.machine, self.device = recipe, seed, machine, device(machine)
        self.images, self.size = pack.images, pack.images.shape[1]
        self.batch = min(recipe.batch, len(self.rows))  # of all ranks together
        if self.batch < machine.ranks:
            raise ItlError(
                f"{machine.ranks} ranks cannot share a batch of {self.batch}; use fewer ranks, "
                "a larger batch or more images"
            )
        # Starts none before the first batch
        self.threads = ThreadPoolExecutor(machine.threads, "crop", use_device, (machine,))
        self.next = ThreadPoolExecutor(1, "batch")  # distributes a batch over those threads
        self.free_buffers: deque[np.ndarray] = deque(maxlen=3)  # memory of batches that are no longer used
        self.plans: dict[int, Future] = {}  # of this epoch and the next, by number
        self.on_device: torch.Tensor | None = None  # images uint8 (N, S, S, 3) on a GPU
        if self.device.type == "cuda":
            self.stream = ImageStream(self.device, self.threads, machine.threads)
            if kept := resident(pack, self.rows, self.stream, machine.workers, keep):
                self.on_device, rows = kept
                self.device_rows = torch.from_numpy(rows).to(self.on_device.device)

    def __len__(self) -> int:
        """Return the steps of an epoch: whole batches, and one where there are fewer images than a batch."""
        return len(self.rows) // self.batch

    @property
    def step_images(self) -> int:
        """The number of images of this rank in each step."""
        return len(range(self.machine.rank, self.batch, self.machine.ranks))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of training images: on a GPU what autocast would convert them to, else float32."""
        half = self.device.type == "cuda" and computes_bf16(self.device, self.recipe.precision)
        return torch.bfloat16 if half else torch.float32

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield this rank's batches, shuffled and augmented.

        Each is images (B, 3, P, P) of `dtype`, channels_last, and targets (B,), int64, or (B, C).
        """
        yield from self._cropped(self.plan(number), self.step_images, self.dtype)

    def in_order(self) -> Iterator[Batch]:
        """Yield the center crop of every image once, in the selection's order; the last batch may be short.

        Every rank gets all images, as float32 (B, 3, P, P), and their targets.
        """
        count, side = len(self.rows), center_crop_side(self.size, self.recipe.pixels)
        edge = (self.size - side) // 2
        boxes = np.tile(np.array([edge, edge, side, side], np.float32), (count, 1))
        plan = self._plan_of(np.arange(count), boxes, np.zeros(count, bool))
        yield from self._cropped(plan, self.batch, torch.float32)

    def _cropped(self, plan: EpochPlan, count: int, dtype: torch.dtype) -> Iterator[Batch]:
        """Return the batches of *plan*, *count* images each: of *dtype* on a GPU, float32 on a CPU."""
        if self.device.type == "cpu":
            parts = zip(*(part.split(count) for part in plan[:3]), strict=True)
            return map_in_order(self.next, self._crop, parts)
        return self.crop_on_gpu(plan, count, dtype)

    def plan(self, epoch: int) -> EpochPlan:
        """Return what this rank does in *epoch*, on the host: a pure function of the seed and *epoch*.

        For a GPU a thread draws the next epoch meanwhile.
        """
        if self.device.type == "cpu":
            return self._draw(epoch)
        both = epoch, epoch + 1
        self.plans = {one: self.plans.get(one) or self.threads.submit(self._draw, one) for one in both}
        return self.plans[epoch].result()

    def stream_from_now_on(self) -> bool:
        """Free the images that this process keeps on the GPU; False where it keeps none."""
        if self.on_device is None and not resident_packs:
            return False
        self.on_device = None
        resident_packs.clear()
        torch.cuda.empty_cache()  # other processes may need it
        return True

    def streamed(self, plan: EpochPlan, count: int) -> Iterator[torch.Tensor]:
        """Yield the stored images of *plan*, *count* at a time, on the GPU: uint8 (B, S, S, 3)."""
        parts = [self.rows[part.numpy()] for part in plan.positions.split(count)]
        yield from self.stream.send(self.images, parts)

    def _draw(self, epoch: int) -> EpochPlan:
        """Draw the global batches of *epoch* and take this rank's part of each."""
        steps = len(self)
        count = steps * self.batch
        order = step_rng(self.seed, epoch, 0).permutation(len(self.rows))[:count]
        random = step_rng(self.seed, epoch, 1)
        if self.recipe.augment == "resized-crop":
            boxes = draw_boxes(random, count, self.size)
        else:
            side = np.full(count, center_crop_side(self.size, self.recipe.pixels))
            boxes = _positioned(random, side, side, self.size, centred=self.recipe.augment == "centre")
        flips = random.random(count) < 0.5 * self.recipe.flip
        own = slice(self.machine.rank, None, self.machine.ranks)
        return self._plan_of(
            order.reshape(steps, -1)[:, own].ravel(),
            boxes.reshape(steps, -1, 4)[:, own].reshape(-1, 4),
            flips.reshape(steps, -1)[:, own].ravel(),
        )

    def _plan_of(self, positions: np.ndarray, boxes: np.ndarray, flips: np.ndarray) -> EpochPlan:
        parts = positions, boxes, flips, self.labels[positions]
        plan = EpochPlan(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))
        return plan.map(torch.Tensor.pin_memory) if self.device.type == "cuda" else plan

    def _crop(self, part: tuple[torch.Tensor, ...]) -> Batch:
        """Make one batch on the CPU: of positions (B,), boxes (B, 4) and flips (B,)."""
        positions, boxes, flips = (tensor.numpy() for tensor in part)
        buffer = self._buffer(len(positions))
        images = gather_crop(self.images, self.rows[positions], boxes, flips, buffer, self.threads)
        return images, torch.from_numpy(self.labels[positions])

    def _buffer(self, count: int) -> np.ndarray:
        """Return memory for *count* crops, float32 (count, P, P, 3), of a batch no longer in use, if any.

        The system clears each page of new memory first: for large crops that was a fifth of the work.
        """
        try:
            whole = self.free_buffers.pop()
        except IndexError:
            whole = np.empty((self.batch, self.recipe.pixels, self.recipe.pixels, 3), np.float32)
        part = whole[:count]
        weakref.finalize(part, self.free_buffers.append, whole)  # when its last tensor is freed
        return part

    def crop_on_gpu(self, plan: EpochPlan, count: int, dtype: torch.dtype) -> Iterator[Batch]:
        """Yield batches of *count* images of *plan*, cropped on the GPU.

        No step waits for the GPU, and none sends anything but images to it.
        """
        sent = plan.map(lambda part: part.to(self.device, non_blocking=True))
        images: Iterator[torch.Tensor]
        if self.on_device is not None:
            rows, images = self.device_rows[sent.positions].split(count), repeat(self.on_device)
        else:
            rows = [torch.arange(len(part), device=self.device) for part in sent.positions.split(count)]
            images = self.streamed(plan, count)
        parts = (part.split(count) for part in (sent.boxes, sent.flips, sent.targets))
        crop = crop_on(self.device)
        for stored, step_rows, boxes, flips, targets in zip(images, rows, *parts, strict=False):
            yield crop(stored, step_rows, boxes, flips, self.recipe.pixels, dtype), targets


def _positioned(
    random: np.random.Generator, height: np.ndarray, width: np.ndarray, size: int, centred: bool = False
) -> np.ndarray:
    """Return boxes (B, 4), float32, of these sides at random whole pixels of the image, or in its center."""
    free = np.stack([size - height, size - width])
    top, left = free // 2 if centred else np.floor(random.random(free.shape) * (free + 1))
    return np.stack([top, left, height, width], 1).astype(np.float32)
