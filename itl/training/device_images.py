"""Stored images on a GPU: kept in its memory between runs if they fit, else streamed batch by batch."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from itl.iteration import map_in_order

if TYPE_CHECKING:
    from itl.packs.pack import Pack

NET_BYTES = 12 * 2**30  # left free on the GPU for a net; or half of the free memory, if that is less
UPLOAD_BYTES = 2**25  # of images, read and sent at once
PARTS_AHEAD = 3  # read and sent while one is used, at least
AHEAD_BYTES = 2**30  # of more parts, up to one for each thread: memory of the host, pinned, and of the GPU
STEPS_QUEUED = 8  # that the GPU has not done: their images take its memory

resident_packs: dict[tuple, "ResidentImages"] = {}  # that this process has on a GPU, by digest and device


@dataclass
class ResidentImages:
    """Images of one pack in the memory of a GPU, read when a run first needs them."""

    images: torch.Tensor  # uint8 (N, S, S, 3)
    uploaded: np.ndarray  # bool (N,)

    def upload(
        self, source: np.ndarray, rows: np.ndarray, positions: np.ndarray, stream: "ImageStream"
    ) -> None:
        """Send *rows* (B,) of *source* to *positions* (B,) of the images, but those that were sent before."""
        positions, first = np.unique(positions, return_index=True)
        missing = ~self.uploaded[positions]
        positions, rows = positions[missing], rows[first[missing]]
        count = max(1, UPLOAD_BYTES // source[:1].nbytes)
        starts = range(0, len(rows), count)
        parts = [rows[start : start + count] for start in starts]
        for start, images in zip(starts, stream.send(source, parts), strict=True):
            at = torch.from_numpy(positions[start : start + count])
            self.images.index_copy_(0, at.to(self.images.device), images)
        self.uploaded[positions] = True


class ImageStream:
    """Sends images to a GPU while it computes: *count* *threads* read, a CUDA stream of its own copies."""

    def __init__(self, device: torch.device, threads: Executor, count: int) -> None:
        """Create the CUDA stream."""
        self.device, self.threads, self.count = device, threads, count
        self.copying = torch.cuda.Stream(device)

    def send(self, source: np.ndarray, parts: Sequence[np.ndarray]) -> Iterator[torch.Tensor]:
        """Yield the images of each of *parts*, row numbers (B,) of *source*: uint8 (B, S, S, 3) on the GPU.

        torch caches freed pinned memory and reuses it once the copy from it is done. The memory of images on
        the GPU is free once the work that used them is done there. What is asked for next waits for the work
        of STEPS_QUEUED parts ago: a replayed graph takes the host no time, and all parts would be sent.
        """

        def read(rows: np.ndarray) -> tuple[torch.Tensor, torch.cuda.Event]:
            pinned = torch.empty((len(rows), *source.shape[1:]), dtype=torch.uint8, pin_memory=True)
            np.take(source, rows, 0, pinned.numpy(), mode="clip")  # the default makes a copy first
            with torch.cuda.stream(self.copying):
                return pinned.to(self.device, non_blocking=True), self.copying.record_event()

        part_bytes = source[:1].nbytes * max(map(len, parts), default=1)
        ahead = max(PARTS_AHEAD, min(self.count, AHEAD_BYTES // part_bytes))
        queued: deque[torch.cuda.Event] = deque()
        for images, sent in map_in_order(self.threads, read, parts, ahead):
            using = torch.cuda.current_stream(self.device)
            using.wait_event(sent)
            images.record_stream(using)
            yield images
            queued.append(using.record_event(torch.cuda.Event(blocking=True)))
            if len(queued) > STEPS_QUEUED:
                queued.popleft().synchronize()


def resident(
    pack: "Pack", rows: np.ndarray, stream: ImageStream, workers: int, keep: bool = True
) -> tuple[torch.Tensor, np.ndarray] | None:
    """Copy *rows* of the images of *pack* to the GPU of *stream*, if they fit beside a net.

    If the whole pack fits, its memory is kept for later runs of a pack with its digest, and only missing
    images are sent; not so without *keep*. If only these rows fit, they are freed after use. So many
    *workers* share the memory.

    Returns:
        Images on the GPU, uint8 (M, S, S, 3), and the positions of *rows* among them, int64 (B,); None where
        they do not fit.
    """
    key = pack.digest if isinstance(pack.images, np.memmap) else None, stream.device
    try:
        if images := _uploaded(key, pack.images, rows, stream, workers, keep):
            return images
    except torch.OutOfMemoryError:  # another process took the memory: stream them
        resident_packs.pop(key, None)
    torch.cuda.empty_cache()  # out here: until the error is dealt with, it keeps the images
    return None


def _uploaded(
    key: tuple, source: np.ndarray, rows: np.ndarray, stream: ImageStream, workers: int, keep: bool
) -> tuple[torch.Tensor, np.ndarray] | None:
    """Do the work of `resident`; what is not kept is freed on return, before the cache is emptied."""
    image_bytes, device, keep = source[:1].nbytes, stream.device, keep and key[0] is not None
    if key not in resident_packs:
        wanted = (len(source) if keep else len(rows)) * image_bytes
        if not fits(wanted, device, workers):
            resident_packs.clear()  # frees the packs of earlier runs
        if keep and fits(wanted, device, workers):
            resident_packs[key] = empty_images(source, len(source), device)
    if key in resident_packs:
        resident_packs[key].upload(source, rows, rows, stream)
        return resident_packs[key].images, rows
    if fits(len(rows) * image_bytes, device, workers):
        own, positions = empty_images(source, len(rows), device), np.arange(len(rows))
        own.upload(source, rows, positions, stream)
        return own.images, positions
    return None


def fits(wanted_bytes: int, device: torch.device, workers: int) -> bool:
    """Whether *wanted_bytes* can stay on the GPU beside the net, other packs and what other workers keep."""
    free, total = torch.cuda.mem_get_info(device)
    allocated = torch.cuda.memory_allocated(device)
    free += torch.cuda.memory_reserved(device) - allocated
    free = min(free, total // workers - allocated)  # other workers may take their shares at any time
    kept = sum(pack.images.nbytes for (_, where), pack in resident_packs.items() if where == device)
    return free - wanted_bytes >= min((free + kept) // 2, NET_BYTES)


def empty_images(source: np.ndarray, count: int, device: torch.device) -> ResidentImages:
    """Take memory for *count* images like those of *source* on *device*; none is there yet."""
    images = torch.empty((count, *source.shape[1:]), dtype=torch.uint8, device=device)
    return ResidentImages(images, np.zeros(count, bool))
