"""Weights of nets: taken from a file by the names of torchvision and timm, kept, and written."""

import io
import re
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from itl.errors import ItlError
from itl.specs import Weights, key
from itl.storage import write_atomic
from itl.training.checkpoint import load_tensors, separate, tensors_below
from itl.training.nets import Classifier, build, library_model, size_option
from itl.training.weight_advice import misfit
from itl.training.weight_files import Tensors, has_real_values, is_safetensors
from itl.training.weight_names import (
    OWN_NETS,
    Shapes,
    additions,
    counted_names,
    entries_in_order,
    first_other_part,
    has_other_layers,
    head_names,
    inner_body,
    library_tensors,
    misses,
    plain_names,
    prefixes_of,
    shapes_of,
)
from itl.words import counted

# Entries of a file that may all have the names of a net's tensors:
OF_OPTIMIZER = re.compile(r"grad|exp_avg|velocity")
# Of MoCo, BYOL and the like; and MMEngine saves the average as state_dict, the net as ema_state_dict.module.
NOT_EVALUATED = re.compile(r"momentum|target|encoder_k|_k(?=\.|$)|ema_state_dict\.module")
AVERAGE = re.compile(r"teacher|average|(?:^|[._])(?:ema|swa)(?:[._]|$)")


def body_tensors(net: str, tensors: Tensors, weights: Weights, pixels: int, path: Path) -> Tensors:
    """Select those of *tensors* that are the body of *net*, by the names of its library.

    What stands before the names, as in state_dict.module.conv1.weight, is left out. The head is not taken.
    *weights* says which entry of the file to take, whether tensors are taken by their order, and whether the
    net takes BGR: the result takes RGB. Errors name the *path* of the file. ItlError if there is no such
    entry, or the tensors are those of another net, or of several, or have values that are no real numbers,
    quantised or not finite, or variances below 0, or if a net of BGR has no convolution of three channels.
    """
    own = library_tensors(net, _without_values(net, pixels))
    wanted = shapes_of(own)
    if weights.entry:
        chosen = tensors_below(tensors, f"{weights.entry}.")
        if not chosen:
            entries = sorted({name.partition(".")[0] for name in tensors})
            raise ItlError(f"{path} has no entry {weights.entry!r}; it has {', '.join(entries)[:200]}")
        tensors = chosen
    tensors = plain_names(wanted, tensors)
    if weights.in_order:
        tensors = _renamed_in_order(net, wanted, tensors, weights.entry, path)
    taken = _with_values(own, _one_net(net, wanted, tensors, weights.entry, path), path)
    return _for_rgb(net, taken) if weights.bgr else taken


def _with_values(own: Tensors, taken: Tensors, path: Path) -> Tensors:
    """Return *taken* for the net's *own* tensors; raise ItlError for values that no trained net has."""
    if odd := [name for name, one in taken.items() if not has_real_values(one)]:
        raise ItlError(
            f"{path} has {counted(len(odd), 'tensors that are sparse, complex or without values')}, such as "
            f"{odd[0]}; load the net on a CPU and write torch.save(net.state_dict(), FILE)"
        )
    floating = [name for name, tensor in own.items() if tensor.is_floating_point()]
    if whole := [name for name in floating if not taken[name].is_floating_point()]:
        raise ItlError(
            f"{path} has whole numbers in {counted(len(whole), 'tensors')}, such as {whole[0]}: its net was "
            f"quantised; give its weights before that"
        )
    # torch compares no floats of 8 bits
    taken = {
        name: one.float() if name in floating and one.itemsize == 1 else one for name, one in taken.items()
    }
    if broken := [name for name, tensor in taken.items() if not torch.isfinite(tensor).all()]:
        raise ItlError(
            f"{path} has {counted(len(broken), 'tensors')} with values that are not finite, such as "
            f"{broken[0]}: its training had diverged; give earlier ones"
        )
    if negative := [name for name, one in taken.items() if name.endswith("running_var") and (one < 0).any()]:
        raise ItlError(f"{path} has a variance below 0 in {negative[0]}; it is damaged: write it again")
    return taken


def _for_rgb(net: str, tensors: Tensors) -> Tensors:
    """Turn the input channels of the first convolution of *net*, which was trained on images in BGR."""
    first = next((name for name, one in tensors.items() if one.ndim == 4 and one.shape[1] == 3), None)
    if first is None:
        raise ItlError(
            f"bgr turns the channels of a first convolution of three; {net} has none; leave it out"
        )
    return tensors | {first: tensors[first].flip(1)}


def _without_values(net: str, pixels: int) -> Classifier:
    """Build *net* on the device meta, to see what its tensors are; with values where it needs them."""
    try:
        with torch.device("meta"):
            return build(net, 1, pixels, seed=0)
    except (ItlError, RuntimeError):  # a value is asked for, as of a rate of dropout
        return build(net, 1, pixels, seed=0)


def _one_net(net: str, wanted: Shapes, tensors: Tensors, entry: str, path: Path) -> Tensors:
    """Return the tensors of *wanted*, those of the only *net* among *tensors*, which lie below *entry*."""
    nets = _nets(net, wanted, tensors)
    if entry and "" in nets:  # it is named, whatever lies below it
        nets = {"": nets[""]}
    others = {prefix: additions(net, wanted, below) for prefix, below in nets.items()}
    if len(nets) > 1:
        entries = {prefix: f"{entry}.{prefix}".strip(".") for prefix in nets}
        named = [prefix for prefix in nets if entries[prefix]]
        usable = [prefix for prefix in named if not others[prefix]] or named
        listed = ", ".join(name or "''" for name in entries.values())
        best = max(reversed(usable), key=_rank_of_entry)  # of several of a kind, the last
        raise ItlError(f"{path} holds {len(nets)} nets, {listed}; choose with entry: {entries[best]}")
    if not nets or any(others.values()):
        raise misfit(net, wanted, tensors, entry, path)
    missing_counter = torch.tensor(0)
    (below,) = nets.values()
    return {name: below.get(name, missing_counter) for name in wanted}


def _rank_of_entry(entry: str) -> int:
    """Return how likely *entry* is by its name what the authors of its net evaluate, from 0 to 3."""
    if OF_OPTIMIZER.search(entry):
        return 0
    if NOT_EVALUATED.search(entry):
        return 1
    return 3 if AVERAGE.search(entry) else 2


def _nets(net: str, wanted: Shapes, tensors: Tensors) -> dict[str, Tensors]:
    """Return the tensors of each *net* in a file, by what stands before their names.

    It may have modules that *wanted* lacks, such as a projector. With more tensors in the same modules it is
    another, larger net. Tensors of a net that lies below another one are not the outer net's.
    """
    prefixes = prefixes_of(tensors, wanted)
    complete = [prefix for prefix in prefixes if not misses(wanted, tensors_below(tensors, prefix))]
    modules = {name.partition(".")[0] for name in wanted}
    nets = {}
    for prefix in complete:
        inner = tuple(
            other.removeprefix(prefix) for other in complete if other != prefix and other.startswith(prefix)
        )
        below = tensors_below(tensors, prefix)
        below = {name: tensor for name, tensor in below.items() if not name.startswith(inner)}
        if not modules & {name.partition(".")[0] for name in additions(net, wanted, below)}:
            nets[prefix] = below
    return nets


def _renamed_in_order(net: str, wanted: Shapes, tensors: Tensors, entry: str, path: Path) -> Tensors:
    """Give *tensors* the names of the net's, head included or not, one after the other."""
    if is_safetensors(path):
        raise ItlError(f"{path} keeps tensors by name, in no order: in_order is for files of torch.save")
    if has_other_layers(wanted, tensors):
        raise misfit(net, wanted, tensors, entry, path)
    body = counted_names(wanted, tensors)
    names = [*body, *(f"{head_names(net)[0]}.{part}" for part in ("weight", "bias"))]
    if len(tensors) not in (len(body), len(names)):
        entries = [f"{entry}.{below}".strip(".") for below in entries_in_order(wanted, tensors)]
        advice = f"give entry: {entries[0]}" if entries else "give the net that they are of"
        raise ItlError(
            f"in_order takes as many tensors as {net} has, {len(wanted) + 2}, or {len(wanted)} without its "
            f"head; {path} has {len(tensors)}; {advice}"
        )
    if other := first_other_part(names, tensors):
        raise ItlError(
            f"{path} has {other[1]} where {net} has {other[0]}, so its tensors are in another order; write "
            f"them by the names of {net}"
        )
    return dict(zip(names, tensors.values(), strict=False))


def fill_body(own: Classifier, net: str, tensors: Tensors) -> None:
    """Copy *tensors*, which `body_tensors` returned, into the body of *own*, built as *net*."""
    with torch.no_grad():
        for name, tensor in library_tensors(net, own).items():
            tensor.copy_(tensors[name])


def kept_file(weights: Weights, folder: Path) -> Path:
    """Return where the tensors of *weights* are kept in *folder*, read and checked."""
    return folder / f"{key(weights)}.safetensors"


def load_kept(weights: Weights, folder: Path) -> tuple[Tensors, object]:
    """Return the tensors of *weights* that *folder* keeps, and what is known of them.

    ItlError if they are not there.
    """
    path = kept_file(weights, folder)
    if not path.exists():
        raise ItlError(f"the weights of {weights.net} are not in {path}; `itl run PRESET` puts them there")
    return load_tensors(path)


@lru_cache(maxsize=64)
def check_kept(net: str, weights: Weights, folder: Path, pixels: int) -> None:
    """Raise ItlError if *weights* that *folder* keeps do not fit *net* for images of *pixels*.

    Transformers have a weight for each part of an image, so those for other sizes have other shapes.
    """
    tensors, _ = load_kept(weights, folder)
    if lines := misses(shapes_of(library_tensors(net, _without_values(net, pixels))), tensors):
        raise ItlError(
            f"the weights of {net} are for images of another size than {pixels} pixels: {lines[0]}; give the "
            f"pixels that they were trained for"
        )


def export_weights(own: Classifier, net: str, pixels: int, path: Path) -> str:
    """Write *own*, built as *net* for images of *pixels*, to *path* as its library's model loads it.

    Returns how that is done. ItlError if *path* exists or ends in another suffix than .safetensors, .pth and
    .pt, or that model does not load the net, as it has several heads or one without a bias.
    """
    if path.exists():
        raise ItlError(f"{path} exists already and is not overwritten; name another file")
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise ItlError(f"weights are written to FILE.safetensors, FILE.pth or FILE.pt, not {path.name}")
    if len(heads := head_names(net)) > 1:
        raise ItlError(
            f"{net} has {len(heads)} heads ({', '.join(heads)}), a net of itl one; it has no such file"
        )
    head = {f"{heads[0]}.{part}": value for part, value in own.head.state_dict().items()}
    tensors = separate(library_tensors(net, own) | head)
    if net not in OWN_NETS:
        tensors = _as_library_has(net, tensors, own.head.out_features, pixels, path)

    def write(part: Path) -> None:
        if path.suffix == ".safetensors":
            part.write_bytes(save(tensors, {"format": "pt"}))
        else:
            torch.save(tensors, whole := io.BytesIO())  # to a full disk it raises what names no disk
            part.write_bytes(whole.getbuffer())

    write_atomic(path, write)
    model = loading(net, own.head.out_features, pixels)
    scaled = net == "caffenet" and isinstance(inner_body(own).get_submodule("0"), nn.Identity)
    return f"{model} with body[0] = torch.nn.Identity()" if scaled else model  # see build_for


def _as_library_has(net: str, tensors: Tensors, classes: int, pixels: int, path: Path) -> Tensors:
    """Return *tensors* as the model of the library of *net* loads them from a file at *path*."""
    model = library_model(net, classes, pixels)
    state = model.state_dict()
    shapes = shapes_of(state)
    state.clear()  # of the tensors; versions of layers, which torch.save keeps, stay
    for name, tensor in tensors.items():
        shape = shapes.get(name, ())  # some heads are convolutions of 1 x 1
        state[name] = tensor.reshape(shape) if shape == (*tensor.shape, 1, 1) else tensor
    tries = [(state, "it has no such file")]
    if path.suffix == ".safetensors":
        tries.append((dict(state), "name a FILE.pth, which keeps versions of layers"))
    for content, advice in tries:
        try:
            model.load_state_dict(content, assign=True)
        except (RuntimeError, ValueError) as error:
            reason, model_text = str(error).splitlines()[-1].strip(" \t."), loading(net, classes, pixels)
            raise ItlError(
                f"{path} is not written: {model_text} would not load it ({reason}); {advice}"
            ) from None
    return state


def loading(net: str, classes: int, pixels: int) -> str:
    """Say how the library of *net* makes a model that takes exported weights.

    >>> loading("timm:resnet10t", 40, 56), loading("small", 40, 56)
    ("timm.create_model('resnet10t', num_classes=40)", "itl.training.nets.build('small', 40, 56, seed=0)")
    """
    if net in OWN_NETS:
        return f"itl.training.nets.build({net!r}, {classes}, {pixels}, seed=0)"
    library, _, name = net.rpartition(":")
    make = "timm.create_model" if library == "timm" else "torchvision.models.get_model"
    size = "".join(f", {option}={value}" for option, value in size_option(net, pixels).items())
    return f"{make}({name!r}, num_classes={classes}{size})"
