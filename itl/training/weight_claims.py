"""What a file of weights says of its net beside the tensors; what contradicts how it is read is refused."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from itl.errors import ItlError
from itl.specs import Weights
from itl.training.nets import build, library_nets
from itl.training.weight_files import Tensors, has_real_values
from itl.training.weight_names import library_tensors, shapes_of
from itl.training.weights import fill_body

Colours = tuple[float, ...]  # of RGB from 0 to 1
SAME_COLOUR = 0.005  # as of one rounded to whole grey levels


def colour_tensors(tensors: Tensors) -> Tensors:
    """Return those of *tensors* that are no layer's: a mean and a std of three values, called so.

    >>> [*colour_tensors({name: torch.ones(3) for name in ("net.mean", "net.std", "bn.running_mean")})]
    ['net.mean', 'net.std']
    """
    stems = [name.removesuffix("mean") for name in tensors if re.search(r"(^|[._])mean$", name)]
    names = [(f"{stem}mean", f"{stem}std") for stem in stems]
    pairs = [pair for pair in names if all(_three(tensors.get(name)) for name in pair)]
    return {name: tensors[name] for pair in pairs for name in pair}


def refuse_other_colours(
    colours: Tensors, settings: Mapping[str, object], weights: Weights, path: Path
) -> None:
    """Raise ItlError if the file *path* has another mean or std of images than *weights*.

    It has them as *colours*, see `colour_tensors`, or in its *settings*.
    """
    values = [*colours.values()]
    candidates = [(settings.get("mean"), settings.get("std")), *zip(values[::2], values[1::2], strict=True)]
    pairs = {pair for mean, std in candidates if (pair := _colours(mean, std))}
    if len(pairs) != 1:  # it says nothing, or contradicts itself
        return
    (pair,) = pairs
    said = tuple(values[::-1] for values in pair) if weights.bgr else pair
    ours = weights.mean, weights.std
    if np.allclose(said, ours, rtol=0, atol=SAME_COLOUR):
        return
    if np.allclose([values[::-1] for values in said], ours, rtol=0, atol=SAME_COLOUR):
        order = "red, green and blue: leave bgr out" if weights.bgr else "blue, green and red: give bgr: true"
        raise ItlError(f"{path} has mean and std in the order {order}, or give mean and std, in RGB")
    way = "those that its net expects"
    if np.allclose(said[0][::-1], ours[0], rtol=0, atol=SAME_COLOUR) and said[0] != said[0][::-1]:
        turned = _listed(*(values[::-1] for values in said))
        way = f"{'no bgr' if weights.bgr else 'bgr: true'} and {turned}, as its mean is in that order"
    raise ItlError(
        f"{path} says that its images have {_listed(*said)}; left out, they are {_listed(*ours)}; give {way}"
    )


def _colours(mean: object, std: object) -> tuple[Colours, Colours] | None:
    """Return *mean* and *std* as of pixels from 0 to 1; None where they cannot be of images."""
    values = [*_three(mean), *_three(std)]
    if len(values) != 6:
        return None
    if max(values) > 1:  # of pixels from 0 to 255
        values = [value / 255 for value in values]
    means, stds = tuple(values[:3]), tuple(values[3:])
    return (means, stds) if min(means) >= 0 < min(stds) and max(values) <= 1 else None


def _three(values: object) -> list[float]:
    """Return three numbers of a tensor or a list; [] where *values* are no such."""
    if isinstance(values, Tensor):
        values = values.flatten().tolist() if has_real_values(values) and values.numel() == 3 else []
    if not isinstance(values, list | tuple) or len(values) != 3:
        return []
    return [float(value) for value in values if isinstance(value, int | float)]


def _listed(mean: Colours, std: Colours) -> str:
    lists = (", ".join(f"{value:.4g}" for value in values) for values in (mean, std))
    return "mean: [{}], std: [{}]".format(*lists)


def refuse_other_net(
    net: str, body: Tensors, settings: Mapping[str, object], pixels: int, path: Path
) -> None:
    """Raise ItlError if *settings* of the file *path* name another net, which computes other features.

    *body* holds the tensors, which are *net*'s by name. Several names of a library stand for one net, and
    some nets differ in padding or a constant alone, so features are compared.
    """
    library, _, name = net.rpartition(":")
    library = library or "torchvision"
    for value in (settings.get("arch"), settings.get("model")):
        other = value.partition(".")[0] if isinstance(value, str) else name
        if other == name or not {other, name} <= set(library_nets(library)):
            continue
        other = f"{library}:{other}"
        ours, theirs = _features(net, body, pixels), _features(other, body, pixels)
        if ours is None or theirs is None:
            continue
        if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(ours.std())):
            raise ItlError(
                f"{path} says that it is of {other}, which has tensors of the names of {net} and computes "
                f"other features; give net: {other}"
            )


def _features(net: str, body: Tensors, pixels: int) -> Tensor | None:
    """Return what *net* with the tensors *body* makes of two images; None where they are not its tensors."""
    try:
        built = build(net, 1, pixels, seed=0).eval()
    except ItlError:
        return None
    own = shapes_of(library_tensors(net, built))
    if own != {name: shape for name, shape in shapes_of(body).items() if name in own}:
        return None
    fill_body(built, net, body)
    images = torch.rand(2, 3, pixels, pixels, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return built.body(images)
