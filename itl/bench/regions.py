"""The row on RoI align: regions pooled from feature maps, as a detector does for its proposals."""

from collections.abc import Callable
from pathlib import Path

import torch

from itl.bench.work import Work
from itl.training.roi_align import SAMPLES_PER_SIDE, align

SIZES = {"cpu": (32, 5), "cuda": (512, 50)}  # regions of each map, and how often a call pools them


def cutting(folder: Path, device: str) -> Work:
    """Pool regions, 5 × 5 from 8 maps of 128 × 15 × 20, forward and backward; on a CPU on one core."""
    from torchvision.ops import roi_align

    del folder
    target_device = torch.device(device)
    count, repeats = SIZES[target_device.type]
    if target_device.type == "cpu":
        torch.set_num_threads(1)
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(8, 128, 15, 20, generator=random).to(target_device)
    maps = maps.to(memory_format=torch.channels_last).requires_grad_()
    corners = (torch.rand(8, count, 2, 2, generator=random) * torch.tensor([160, 120])).to(target_device)
    boxes = [torch.cat([pair.min(1).values, pair.max(1).values], 1) for pair in corners]

    def ours() -> torch.Tensor:
        return align(maps, boxes, 5, 1 / 8)

    def theirs() -> torch.Tensor:
        return roi_align(maps, boxes, 5, 1 / 8, sampling_ratio=SAMPLES_PER_SIDE, aligned=True)

    def forward_and_backward(pool: Callable[[], torch.Tensor]) -> None:
        for _ in range(repeats):
            torch.autograd.grad(pool().square().sum(), maps)

    def agree() -> str:
        return f"largest difference {(ours() - theirs()).abs().max().item():.1e}"

    what = f"cut 8 × {count} regions from 8 feature maps, there and back"
    what += ", on one core" if target_device.type == "cpu" else ""
    peers = {"torchvision's roi_align": lambda: forward_and_backward(theirs)}
    return Work(what, "regions", repeats * 8 * count, lambda: forward_and_backward(ours), peers, agree=agree)
