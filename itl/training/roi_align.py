"""RoI align as two matrix products: torchvision's values, many times faster on a CPU, repeatable on a GPU."""

import torch
from torch import Tensor

SAMPLES = 2                                 # along each side of a cell, averaged
TOGETHER = 256                              # regions cut at once: what they need grows with maps and regions


def align(maps: Tensor, boxes: list[Tensor], side: int, scale: float) -> Tensor:
    """Cut regions (R, C, side, side) out of *maps* (B, C, h, w), whose pixels are 1 / *scale* of the image's.

    *boxes* holds (n, 4) for each image: x0, y0, x1, y1 in its pixels. Equal to ``torchvision.ops.roi_align``
    with ``aligned=True`` and two samples: bilinear samples averaged over a grid are a weighting of rows times
    one of columns. torchvision's own adds up gradients in an order that a GPU does not repeat.
    """
    maps = maps.permute(0, 2, 3, 1).contiguous()                # no copy where they are channels_last
    height, width, channels = maps.shape[1:]
    cut = [maps.new_empty(0, side, side, channels)]
    x0, y0, x1, y1 = (torch.cat(boxes) * scale - 0.5).unbind(1)
    counts = [len(each) for each in boxes]
    rows, columns = _weights(y0, y1, side, height).split(counts), _weights(x0, x1, side, width).split(counts)
    for image, down, across in zip(maps, rows, columns, strict=True):
        for part, other in zip(down.split(TOGETHER), across.split(TOGETHER), strict=True):
            lines = (part.flatten(0, 1) @ image.flatten(1)).view(-1, side, width, channels)
            cut.append(other[:, None] @ lines)
    return torch.cat(cut).permute(0, 3, 1, 2)


def _weights(start: Tensor, stop: Tensor, side: int, size: int) -> Tensor:
    """Weights (n, side, size) of *size* values in the *side* cells between *start* (n,) and *stop* (n,)."""
    step = (stop - start)[:, None] / (side * SAMPLES)
    places = start[:, None] + (torch.arange(side * SAMPLES, device=start.device) + 0.5) * step
    inside = (places >= -1) & (places <= size)                  # farther out there is nothing: zeros
    places = places.clamp(0, size - 1)[..., None]
    weights = (1 - (places - torch.arange(size, device=start.device)).abs()).clamp(min=0) * inside[..., None]
    return weights.reshape(len(start), side, SAMPLES, size).mean(2)
