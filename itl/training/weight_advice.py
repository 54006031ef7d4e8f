"""What to do about weights that do not fit a net: which differences there are, and what they mean."""

from difflib import get_close_matches
from pathlib import Path

import torch

from itl.errors import ItlError
from itl.training.checkpoint import tensors_below
from itl.training.nets import NETS, build, library_nets, size_option
from itl.training.weight_files import Tensors
from itl.training.weight_names import (
    Shapes,
    additions,
    entries_in_order,
    has_other_layers,
    library_tensors,
    misses,
    prefixes_of,
    shapes_of,
)

SHOWN = 2  # tensors that differ
SIMILAR_NETS = 8  # of a library, by name, that are tried where weights do not fit
USUAL_PIXELS = (224, 384, 448, 512, 518, 256, 240, 336, 320, 288, 192, 160, 128, 112, 96, 64, 56, 48, 32)


def misfit(net: str, wanted: Shapes, tensors: Tensors, entry: str, path: Path) -> ItlError:
    """Return the error that *tensors*, which lie below *entry* of the file *path*, are not those of *net*.

    It says what differs from *wanted*, and what would work, such as the net that they would fit.
    """
    given = tensors_below(tensors, prefixes_of(tensors, wanted)[0])
    lines = _differences(net, wanted, given)
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    advice = (
        _pooling_advice(wanted, given)
        or ("" if wanted.keys() <= given.keys() else _order_advice(wanted, tensors, entry))
        or _first_kernel_advice(wanted, given)
        or _pixels_advice(net, wanted, given)
        or _net_advice(net, tensors)
        or "give the net that was trained, as net"
    )
    if advice.endswith("as net") and (beside := _modules_beside(net, wanted, given)):
        advice = f"{advice}, or save the file without {', '.join(beside)} if these are no part of it"
    return ItlError(f"{path} does not fit {net}: {', '.join(lines[:SHOWN])}{more}; {advice}")


def _differences(net: str, wanted: Shapes, given: Tensors) -> list[str]:
    """Describe each of *given* that is not the net's, and each of *wanted* that is not there."""
    others = [f"{name} {tuple(given[name].shape)} is not the net's" for name in additions(net, wanted, given)]
    return misses(wanted, given) + others


def _order_advice(wanted: Shapes, tensors: Tensors, entry: str) -> str:
    below = entries_in_order(wanted, tensors)  # also where a block has a layer of the name of the first
    if not below:
        return ""
    if has_other_layers(wanted, tensors):  # in order, one of them would pass for another
        return (
            "most of its names are the net's: where the others are the same layers, give them its names too"
        )
    full = f"{entry}.{below[0]}".strip(".")
    way = f"in_order: true with entry: {full}" if below[0] else "in_order: true"
    return (
        f"its tensors are the net's in the same order, by other names: {way} takes them so, with "
        f"bgr: true if they were trained by Caffe or on other images of blue, green and red"
    )


def _first_kernel_advice(wanted: Shapes, given: Tensors) -> str:
    first = next((name for name, shape in wanted.items() if len(shape) == 4), "")
    shape = tuple(given[first].shape) if first in given else ()
    if shape == tuple(wanted[first][axis] for axis in (2, 3, 1, 0)):
        return "its kernels are (height, width, in, out), as those of TensorFlow: permute(3, 2, 0, 1) each"
    if len(shape) == 4 and shape[1] != wanted[first][1]:
        return f"its images have {shape[1]} channels, those of itl {wanted[first][1]}: take other weights"
    return ""


def _pooling_advice(wanted: Shapes, given: Tensors) -> str:
    if "norm.weight" in wanted.keys() - given.keys() and "fc_norm.weight" in given.keys() - wanted.keys():
        return (
            "with fc_norm for norm its net has the mean of all patches as features (global_pool='avg'), this "
            "one the class token; such weights cannot be read: take some that have norm"
        )
    return ""


def _pixels_advice(net: str, wanted: Shapes, given: Tensors) -> str:
    """Name the pixels of *net* for which it has the tensors of *given*, where shapes alone differ."""
    if not size_option(net, 1) or wanted.keys() - given.keys():
        return ""
    for pixels in USUAL_PIXELS:
        shapes = _shapes(net, pixels)
        if shapes and not _differences(net, shapes, given):
            return f"its images are of another size: give pixels: {pixels}"
    return ""


def _net_advice(net: str, tensors: Tensors) -> str:
    """Name the first net that *tensors* fit, of the house's and those named like *net*."""
    library, _, own_name = net.rpartition(":")
    library = library or "torchvision"
    similar = get_close_matches(own_name, library_nets(library), SIMILAR_NETS)
    for name in [*NETS, *(f"{library}:{name}" for name in similar)]:
        wanted = _shapes(name, 224)
        if not wanted or name == net:
            continue
        below = [tensors_below(tensors, prefix) for prefix in prefixes_of(tensors, wanted)]
        if not all(_differences(name, wanted, given) for given in below):
            return f"it fits net: {name}" + (", with pixels: 224" if size_option(name, 224) else "")
    return ""


def _shapes(net: str, pixels: int) -> Shapes:
    """Return the shapes of the body of *net*; {} if it is not made without values, or not for such images."""
    try:
        with torch.device("meta"):
            return shapes_of(library_tensors(net, build(net, 1, pixels, seed=0)))
    except (ItlError, NotImplementedError):
        return {}


def _modules_beside(net: str, wanted: Shapes, given: Tensors) -> list[str]:
    """List the modules of *given* that whole *net* lacks, such as a projector; [] where its own differ."""
    beside = {name.partition(".")[0] for name in additions(net, wanted, given)}
    own = {name.partition(".")[0] for name in wanted}
    return [] if beside & own or misses(wanted, given) else sorted(beside)
