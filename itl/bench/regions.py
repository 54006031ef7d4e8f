"""Cutting regions out of feature maps, as a detector does for each of its proposals."""

from collections.abc import Callable
from pathlib import Path

import torch

from itl.bench.work import Work
from itl.training.roi_align import SAMPLES_PER_SIDE, align

SIZES = {"cpu": (32, 5), "cuda": (512, 50)}     # regions of each map, and how often they are cut in one go


def cutting(folder: Path, device: str) -> Work:
    """RoI align of regions, 5 × 5 from 8 maps of 128 × 15 × 20, there and back; on a CPU on one core."""
    from torchvision.ops import roi_align

    del folder
    where = torch.device(device)
    count, repeats = SIZES[where.type]
    if where.type == "cpu":
        torch.set_num_threads(1)
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(8, 128, 15, 20, generator=random).to(where)
    maps = maps.to(memory_format=torch.channels_last).requires_grad_()
    corners = (torch.rand(8, count, 2, 2, generator=random) * torch.tensor([160, 120])).to(where)
    boxes = [torch.cat([pair.min(1).values, pair.max(1).values], 1) for pair in corners]

    def ours() -> torch.Tensor:
        return align(maps, boxes, 5, 1 / 8)

    def theirs() -> torch.Tensor:
        return roi_align(maps, boxes, 5, 1 / 8, sampling_ratio=SAMPLES_PER_SIDE, aligned=True)

    def back(cut: Callable[[], torch.Tensor]) -> None:
        for _ in range(repeats):
            torch.autograd.grad(cut().square().sum(), maps)

    def agree() -> str:
        return f"largest difference {(ours() - theirs()).abs().max().item():.1e}"

    what = f"cut 8 × {count} regions from 8 feature maps, there and back"
    what += ", on one core" if where.type == "cpu" else ""
    peers = {"torchvision's roi_align": lambda: back(theirs)}
    return Work(what, "regions", repeats * 8 * count, lambda: back(ours), peers, agree=agree)
