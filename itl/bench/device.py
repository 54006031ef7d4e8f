"""The row on batches made by a GPU: random-resized crops of images that it holds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from itl import ItlError
from itl.bench.work import Work
from itl.training.batches import crop_on, draw_boxes, step_rng
from itl.training.crop_cpu import MEAN, STD, batch_crop

IMAGES = 8192


def crop(folder: Path, device: str, size: int = 128, pixels: int = 112, batch: int = 2048) -> Work:
    """Crop uint8 images that the GPU holds to normalised bfloat16, beside plain torch and torchvision.

    Ours is a CUDA graph, as a training step is: the time is the GPU's. The least to move is the box that each
    crop shows, one byte a value, and the crop, two bytes a value.

    Raises:
        ItlError: *device* is no GPU.
    """
    del folder
    if not device.startswith("cuda"):
        raise ItlError("the fused crop is for GPUs, and this is measured on the CPU; use --device cuda")
    count, random = IMAGES, step_rng(0, 0, 0)
    stored = random.integers(0, 256, (count, size, size, 3), np.uint8)
    boxes = draw_boxes(random, count, size)
    drawn = random.permutation(count), boxes, random.random(count) < 0.5
    images, *parts = (torch.from_numpy(part).to(device) for part in (stored, *drawn))
    batches = list(zip(*(part.split(batch) for part in parts), strict=True))
    fused = crop_on(images.device)

    def ours() -> None:
        for choice in batches:
            fused(images, *choice, pixels, torch.bfloat16)

    ours()  # compiles, which a graph cannot capture
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        ours()

    def plain() -> None:
        for rows, cuts, flips in batches:
            batch_crop(images[rows], cuts, flips, pixels).to(torch.bfloat16)

    def agree() -> str:
        rows, cuts, flips = (part[:64] for part in batches[0])
        ours = fused(images, rows, cuts, flips, pixels, torch.float32)
        difference = (ours - batch_crop(images[rows], cuts, flips, pixels)).abs().max().item()
        return f"in float32 at most {difference:.1e} from plain torch, of normalised values"

    one_by_one = _torchvision(images, *drawn, pixels, batch)
    peers = {"plain torch, a batch at a time": plain, "torchvision, image by image": one_by_one}
    return Work(
        f"{size} → {pixels} random-resized crops of images that the GPU holds, to bfloat16, by {batch}",
        "images",
        count,
        graph.replay,
        peers,
        moved=3 * float((boxes[:, 2] * boxes[:, 3]).sum()) + count * 3 * pixels**2 * 2,
        agree=agree,
    )


def _torchvision(
    images: torch.Tensor, rows: np.ndarray, boxes: np.ndarray, flips: np.ndarray, pixels: int, batch: int
) -> Callable[[], None]:
    """Return torchvision's antialiased crop and flip of each image, normalised a batch at a time."""
    from torchvision.transforms.v2.functional import horizontal_flip, normalize, resized_crop

    def work() -> None:
        for start in range(0, len(rows), batch):
            part = slice(start, start + batch)
            images_shown, choices = [], (rows[part].tolist(), boxes[part].astype(int).tolist(), flips[part])
            for row, box, flip in zip(*choices, strict=True):
                image = resized_crop(images[row].permute(2, 0, 1), *box, [pixels, pixels], antialias=True)
                images_shown.append(horizontal_flip(image) if flip else image)
            crops = torch.stack(images_shown).contiguous(memory_format=torch.channels_last).float() / 255
            normalize(crops, MEAN, STD, inplace=True).to(torch.bfloat16)

    return work
