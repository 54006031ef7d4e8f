"""Batches: a selection of a pack, cropped, flipped and normalised, in an order that seed and epoch decide."""

import functools
import os
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from itl import ItlError
from itl.machine import Machine
from itl.specs import Recipe
from itl.training.crop_cpu import batch_crop, gather_crop

if TYPE_CHECKING:
    from itl.packs.pack import Pack
    from itl.packs.subset import Selection

SCALE = (0.25, 1.0)         # of the area: the usual 0.08 leaves 18 x 18 pixels of 64, too few to learn from
RATIO = (3 / 4, 4 / 3)      # width to height
TRIES = 10                  # as torchvision: then the whole image
BESIDE = 12 * 2**30         # bytes that a net may need on the GPU beside the images; or half of what is free

Choice = tuple[np.ndarray, np.ndarray, np.ndarray]    # places in the selection (B,), boxes (B, 4), flips (B,)
Drawn = tuple[list[int], list[torch.Tensor]]          # counts of an epoch's choices; all of them, and targets


def device(machine: Machine) -> torch.device:
    """The device of this process: under torchrun each rank has the GPU of its local rank."""
    if machine.device == "cuda" and machine.ranks > 1:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", machine.rank)))
    return torch.device(machine.device)


def has_bf16(where: torch.device) -> bool:
    """Whether the device itself computes in bfloat16; emulated, it would only be slower."""
    if where.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()   # nothing public


def draws(seed: int, epoch: int, step: int) -> np.random.Generator:
    """The random numbers of one step of one epoch: the same in every process, whatever was drawn before.

    >>> draws(0, 1, 2).random() == draws(0, 1, 2).random()
    True
    """
    return np.random.Generator(np.random.Philox(key=np.array([seed % 2**64, epoch << 32 | step], np.uint64)))


def draw_boxes(random: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Boxes (count, 4) for random resized crops of size x size images, drawn as torchvision draws them."""
    area = size * size * random.uniform(*SCALE, (count, TRIES))
    ratio = np.exp(random.uniform(*np.log(RATIO), (count, TRIES)))
    height, width = np.round(np.sqrt(area / ratio)), np.round(np.sqrt(area * ratio))
    fits = (height > 0) & (height <= size) & (width > 0) & (width <= size)
    each, first = np.arange(count), fits.argmax(1)
    height, width = (np.where(fits.any(1), side[each, first], size) for side in (height, width))
    return _place(random, height, width, size)


def ahead(threads: Executor, work: Callable[[Any], Any], parts: Iterable) -> Iterator:
    """Yield work(part) for each of *parts* in turn, done on a thread while the one before is used."""
    coming = None
    for part in parts:
        ready, coming = coming, threads.submit(work, part)
        if ready is not None:
            yield ready.result()
    if coming is not None:
        yield coming.result()


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
        """Keep what is needed to make any batch; upload the images where they fit on a GPU."""
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
        self.coming: dict[int, Future] = {}                         # what is drawn of the epoch to come
        self.on_device = self._upload() if self.device.type == "cuda" and self._fits() else None

    def __len__(self) -> int:
        """Steps per epoch: whole batches, and one where there are fewer images than a batch."""
        return len(self.rows) // self.batch

    def epoch(self, number: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield this rank's batches, shuffled and augmented.

        Each is images (B, 3, P, P), channels_last, and targets (B,), int64. The images are float32, but on a
        GPU what autocast would make of them: bfloat16 where the recipe computes in it.
        """
        if self.device.type == "cpu":
            yield from self._load(self._mine(number))
            return
        drawn = self.coming.pop(number, None) or self.threads.submit(self._draw, self._mine(number))
        self.coming = {number + 1: self.threads.submit(self._draw, self._mine(number + 1))}
        half = self.recipe.precision == "bf16" and has_bf16(self.device)
        yield from self._crop_on_gpu(drawn.result(), torch.bfloat16 if half else torch.float32)

    def in_order(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield every image once, its central window, in the selection's order; the last batch may be short.

        Every rank gets all of them.
        """
        side = window(self.size, self.recipe.pixels)
        edge = (self.size - side) // 2

        def choices() -> Iterator[Choice]:
            for start in range(0, len(self.rows), self.batch):
                chosen = np.arange(start, min(start + self.batch, len(self.rows)))
                boxes = np.tile(np.array([edge, edge, side, side], np.float32), (len(chosen), 1))
                yield chosen, boxes, np.zeros(len(chosen), bool)

        if self.device.type == "cpu":
            yield from self._load(choices())
        else:
            yield from self._crop_on_gpu(self._draw(choices()), torch.float32)

    def _mine(self, epoch: int) -> Iterator[Choice]:
        """This rank's part of each batch of *epoch*."""
        mine = slice(self.machine.rank, None, self.machine.ranks)
        return (tuple(part[mine] for part in choice) for choice in self._choices(epoch))

    def _choices(self, epoch: int) -> Iterator[Choice]:
        """The global batches of *epoch*, before a pixel is read: pure in (seed, epoch, step)."""
        order = draws(self.seed, epoch, 0).permutation(len(self.rows))
        for step in range(len(self)):
            random = draws(self.seed, epoch, step + 1)
            if self.recipe.augment == "resized-crop":
                boxes = draw_boxes(random, self.batch, self.size)
            else:
                side = np.full(self.batch, window(self.size, self.recipe.pixels))
                boxes = _place(random, side, side, self.size, centred=self.recipe.augment == "centre")
            flips = random.random(self.batch) < 0.5 * self.recipe.flip
            yield order[step * self.batch : (step + 1) * self.batch], boxes, flips

    def _load(self, choices: Iterator[Choice]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Turn choices into tensors on the CPU, one ahead."""
        yield from ahead(self.next, self._crop, choices)

    def _crop(self, choice: Choice) -> tuple[torch.Tensor, torch.Tensor]:
        """One batch, made on the CPU."""
        chosen, boxes, flips = choice
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

    def _draw(self, choices: Iterator[Choice]) -> Drawn:
        """All choices of an epoch, small beside its images, ready to be sent: on a thread, an epoch ahead."""
        choices = list(choices)
        chosen, boxes, flips = (np.concatenate(part) for part in zip(*choices, strict=True))
        parts = (chosen, boxes, flips, self.labels[chosen])
        return [len(each) for each, _, _ in choices], [torch.from_numpy(part).pin_memory() for part in parts]

    def _crop_on_gpu(
        self, drawn: Drawn, dtype: torch.dtype
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Turn choices into tensors on the GPU: nothing waits for it, no step sends more than its images."""
        counts, parts = drawn
        places, boxes, flips, targets = (
            part.to(self.device, non_blocking=True).split(counts) for part in parts
        )
        images: Iterable[torch.Tensor] = repeat(self.on_device)
        if self.on_device is None:
            images = self._stream(self.rows[chosen.numpy()] for chosen in parts[0].split(counts))
            places = (torch.arange(count, device=self.device) for count in counts)
        for *how, labels, held in zip(places, boxes, flips, targets, images, strict=False):
            yield crop_on(self.device)(held, *how, self.recipe.pixels, dtype), labels

    def _stream(self, parts: Iterable[np.ndarray]) -> Iterator[torch.Tensor]:
        """Yield the images of each of these rows on the GPU, sent while it computes with those before.

        torch keeps freed pinned memory, and gives it out again once the copy from it is done.
        """
        copying = torch.cuda.Stream(self.device)

        def send(rows: np.ndarray) -> tuple[torch.Tensor, torch.cuda.Event]:
            read = torch.empty((len(rows), *self.images.shape[1:]), dtype=torch.uint8, pin_memory=True)
            np.take(self.images, rows, 0, read.numpy(), mode="clip")        # the default makes a copy first
            with torch.cuda.stream(copying):
                return read.to(self.device, non_blocking=True), copying.record_event()

        for images, sent in ahead(self.threads, send, parts):
            using = torch.cuda.current_stream(self.device)
            using.wait_event(sent)
            images.record_stream(using)
            yield images

    def _fits(self) -> bool:
        """Whether this selection can stay on the GPU, beside the net and what other workers keep there."""
        free, total = torch.cuda.mem_get_info(self.device)
        free += torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        free = min(free, total // self.machine.workers)         # those that start at once see the same free
        return free - len(self.rows) * self.images[0].nbytes >= min(free // 2, BESIDE)

    def _upload(self) -> torch.Tensor:
        """The selection's images, uint8 (N, S, S, 3), on the GPU; read a small part at a time."""
        kept = torch.empty((len(self.rows), *self.images.shape[1:]), dtype=torch.uint8, device=self.device)
        starts = range(0, len(self.rows), 1024)
        parts = self._stream(self.rows[start : start + 1024] for start in starts)
        for start, part in zip(starts, parts, strict=True):
            kept[start : start + len(part)] = part
        return kept


def _place(
    random: np.random.Generator, height: np.ndarray, width: np.ndarray, size: int, centred: bool = False
) -> np.ndarray:
    """Boxes (B, 4) float32 of these sides at random whole places of the image, or in its middle."""
    free = np.stack([size - height, size - width])
    top, left = free // 2 if centred else np.floor(random.random(free.shape) * (free + 1))
    return np.stack([top, left, height, width], 1).astype(np.float32)
