"""Cutting regions out of feature maps, as a detector does for each of its proposals."""

from collections.abc import Callable
from pathlib import Path

import torch

from itl.bench.work import Work
from itl.training.roi_align import SAMPLES, align


def cutting(folder: Path, device: str) -> Work:
    """RoI align of 8 × 32 regions, 5 × 5 from maps of 128 × 15 × 20, there and back, on one core."""
    from torchvision.ops import roi_align

    del folder, device
    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(8, 128, 15, 20, generator=random)
    maps = maps.to(memory_format=torch.channels_last).requires_grad_()
    corners = torch.rand(8, 32, 2, 2, generator=random) * torch.tensor([160, 120])
    boxes = [torch.cat([each.min(1).values, each.max(1).values], 1) for each in corners]

    def ours() -> torch.Tensor:
        return align(maps, boxes, 5, 1 / 8)

    def theirs() -> torch.Tensor:
        return roi_align(maps, boxes, 5, 1 / 8, sampling_ratio=SAMPLES, aligned=True)

    def back(cut: Callable[[], torch.Tensor]) -> None:
        for _ in range(5):
            torch.autograd.grad(cut().square().sum(), maps)

    def agree() -> str:
        return f"largest difference {(ours() - theirs()).abs().max().item():.1e}"

    what = "cut 8 × 32 regions from 8 feature maps, there and back, on one core"
    peers = {"torchvision's roi_align": lambda: back(theirs)}
    return Work(what, "regions", 5 * 8 * 32, lambda: back(ours), peers, agree=agree)
