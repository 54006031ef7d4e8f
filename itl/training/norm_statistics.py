"""Running statistics of normalisation layers, taken from images where training does not give them.

One convention holds in every method: an untrained net has statistics from the images that a trained one would
learn from, one of each class. Fine-tuning goes on from there; a detector takes both nets' from its target.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase


def norms(net: nn.Module) -> list[_NormBase]:
    """List the layers of *net* that keep running statistics."""
    return [layer for layer in net.modules() if isinstance(layer, _NormBase)]


def set_norm_statistics(net: nn.Module, batches: Iterable[Any], forward: Callable[[Any], object]) -> None:
    """Set the running statistics of *net* to their plain mean over *batches*; *forward* runs it on one."""
    layers = norms(net)
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
    with torch.no_grad():
        for count, batch in enumerate(batches if layers else (), start=1):
            for layer in layers:
                layer.momentum = 1 / count  # a plain mean; None would wait for the device
            forward(batch)
