"""Weights of nets in files: read without running code, and by the names of torchvision and timm."""

import argparse
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from itl import ItlError, counted
from itl.specs import Weights, key, net_name
from itl.storage import write_atomic
from itl.training.checkpoint import load_tensors, separate, tensors_below
from itl.training.nets import (
    NETS,
    Classifier,
    Renormalised,
    build,
    last_linear,
    library_model,
    library_nets,
    size_option,
)

Tensors = dict[str, Tensor]
Shape = tuple[int, ...]

OWN_NETS = {"small", "small-half", "caffenet"}  # of no library
HEADS = {"alexnet": "classifier.6", "resnet18": "fc", "resnet50": "fc"} | dict.fromkeys(OWN_NETS, "head")
ALEXNET = {"0.": "features.", "4.": "classifier.1.", "7.": "classifier.4."}  # its body: torchvision's names
COUNTER = "num_batches_tracked"  # of BatchNorm; files of old versions of torch have none
SHOWN = 2  # tensors that differ
SIMILAR_NETS = 8  # of a library, by name, that are tried where weights do not fit


def read_tensors(path: Path) -> Tensors:
    """Read every tensor of a .safetensors file, or of what torch.save wrote, without running its code.

    They are by name, in the file's order, on the CPU. Names of mappings in mappings are joined by dots:
    state_dict.conv1.weight. ItlError if *path* is no such file, is empty or damaged, or holds no tensors by
    name.
    """
    if path.is_dir():
        raise ItlError(f"{path} is a folder; give a file of weights in it, such as model.safetensors")
    if not path.exists():
        raise ItlError(f"no weights at {path}; give a .safetensors file, or a .pth or .pt file of torch.save")
    if not path.stat().st_size:
        raise ItlError(f"{path} is empty; copy it again")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    tensors = dict(_flattened(content))
    if not tensors:
        raise ItlError(f"{path} holds no tensors by name; give what torch.save(net.state_dict(), FILE) wrote")
    return tensors


def _read_safetensors(path: Path) -> Tensors:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        reason = reason_of(error)
        raise ItlError(f"{path} is damaged, or not safetensors ({reason}); copy it again") from error


def _read_pickle(path: Path) -> object:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith("/constants.pkl") for name in names):
            raise ItlError(f"{path} is TorchScript, which is code; write torch.save(net.state_dict(), FILE)")
        if all(name.endswith(".npy") for name in names):
            raise ItlError(f"{path} holds NumPy's arrays; write tensors by name, with torch.save(…, FILE)")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # plain data; many checkpoints hold it
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files make torch raise all kinds of errors
        if code := re.search(r"GLOBAL (\w+(?:\.\w+)+)", str(error)):
            raise ItlError(
                f"{path} names {code[1]}, code that would be run; none was; where you trust it, load it and "
                f"write torch.save(net.state_dict(), FILE)"
            ) from None
        raise ItlError(f"{path} is damaged, or no weights ({reason_of(error)}); copy it again") from error


def reason_of(error: Exception) -> str:
    """Return what *error* says, on one line and not at length; its type if it says nothing."""
    return " ".join(str(error).split())[:100] or type(error).__name__


def _flattened(content: object, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of mappings in mappings, their names joined by dots."""
    if isinstance(content, Mapping):
        for name, value in content.items():
            yield from _flattened(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(content, Tensor) and prefix:
        yield prefix, content


def body_tensors(net: str, tensors: Tensors, weights: Weights, pixels: int, path: Path) -> Tensors:
    """Select those of *tensors* that are the body of *net*, by the names of its library.

    What stands before the names, as in state_dict.module.conv1.weight, is left out. The head is not taken.
    *weights* says which entry of the file to take, whether tensors are taken by their order, and whether the
    net takes BGR: the result takes RGB. Errors name the *path* of the file. ItlError if there is no such
    entry, or the tensors are those of another net, or of several, or have values that are no real numbers,
    quantised or not finite, or variances below 0, or if a net of BGR has no convolution of three channels.
    """
    own = _without_values(net, pixels)
    if weights.entry:
        chosen = tensors_below(tensors, f"{weights.entry}.")
        if not chosen:
            entries = sorted({name.partition(".")[0] for name in tensors})
            raise ItlError(f"{path} has no entry {weights.entry!r}; it has {', '.join(entries)[:200]}")
        tensors = chosen
    if weights.in_order:
        tensors = _renamed_in_order(net, own, tensors, path)
    own_tensors = library_tensors(net, own)
    taken = _one_net(net, _shapes(own_tensors), tensors, weights.entry, path)
    if odd := [name for name, one in taken.items() if not _has_real_values(one)]:
        raise ItlError(
            f"{path} has {counted(len(odd), 'tensors that are sparse, complex or without values')}, such as "
            f"{odd[0]}; load the net on a CPU and write torch.save(net.state_dict(), FILE)"
        )
    floating = [name for name, tensor in own_tensors.items() if tensor.is_floating_point()]
    if whole := [name for name in floating if not taken[name].is_floating_point()]:
        raise ItlError(
            f"{path} has whole numbers in {counted(len(whole), 'tensors')}, such as {whole[0]}: its net was "
            f"quantised; give its weights before that"
        )
    if broken := [name for name, tensor in taken.items() if not torch.isfinite(tensor).all()]:
        raise ItlError(
            f"{path} has {counted(len(broken), 'tensors')} with values that are not finite, such as "
            f"{broken[0]}: its training had diverged; give earlier ones"
        )
    if negative := [name for name, one in taken.items() if name.endswith("running_var") and (one < 0).any()]:
        raise ItlError(f"{path} has a variance below 0 in {negative[0]}; it is damaged: write it again")
    return _for_rgb(net, taken) if weights.bgr else taken


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


def _has_real_values(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not (tensor.is_meta or tensor.is_complex())


def _one_net(net: str, wanted: Mapping[str, Shape], tensors: Tensors, entry: str, path: Path) -> Tensors:
    """Return the tensors of *wanted*, those of the only *net* among *tensors*, which lie below *entry*."""
    prefixes = _prefixes(tensors, wanted)
    nets = _nets(net, wanted, tensors, prefixes)
    if entry and "" in nets:  # it is named, whatever lies below it
        nets = {"": nets[""]}
    additions = {prefix: _additions(net, wanted, below) for prefix, below in nets.items()}
    if len(nets) > 1:
        entries = {prefix: ".".join(filter(None, (entry, prefix.rstrip(".")))) for prefix in nets}
        named = [prefix for prefix in nets if entries[prefix]]
        usable = [prefix for prefix in named if not additions[prefix]] or named
        listed = ", ".join(name or "''" for name in entries.values())
        # A teacher, or an average over the training, comes last; of MoCo the encoder of queries is the net.
        best = next((prefix for prefix in usable if "encoder_q" in prefix), usable[-1])
        raise ItlError(f"{path} holds {len(nets)} nets, {listed}; choose with entry: {entries[best]}")
    if not nets or any(additions.values()):
        raise _misfit(net, wanted, tensors, next(iter(nets), prefixes[0]), path)
    missing_counter = torch.tensor(0)
    (below,) = nets.values()
    return {name: below.get(name, missing_counter) for name in wanted}


def _nets(net: str, wanted: Mapping[str, Shape], tensors: Tensors, prefixes: list[str]) -> dict[str, Tensors]:
    """Return the tensors of each *net* in a file, by what stands before their names.

    It may have modules that *wanted* lacks, such as a projector. With more tensors in the same modules it is
    another, larger net. Tensors of a net that lies below another one are not the outer net's.
    """
    complete = [prefix for prefix in prefixes if not _misses(wanted, tensors_below(tensors, prefix))]
    modules = {name.partition(".")[0] for name in wanted}
    nets = {}
    for prefix in complete:
        inner = tuple(
            other.removeprefix(prefix) for other in complete if other != prefix and other.startswith(prefix)
        )
        below = tensors_below(tensors, prefix)
        below = {name: tensor for name, tensor in below.items() if not name.startswith(inner)}
        if not modules & {name.partition(".")[0] for name in _additions(net, wanted, below)}:
            nets[prefix] = below
    return nets


def _renamed_in_order(net: str, own: Classifier, tensors: Tensors, path: Path) -> Tensors:
    """Give *tensors* the names of the net's, head included or not, one after the other."""
    if path.suffix == ".safetensors":
        raise ItlError(f"{path} keeps tensors by name, in no order: in_order is for files of torch.save")
    body = list(library_tensors(net, own))
    names = [*body, *(f"{head_names(net)[0]}.{part}" for part in ("weight", "bias"))]
    if len(tensors) not in (len(body), len(names)):
        raise ItlError(
            f"in_order takes as many tensors as {net} has, {len(names)}, or {len(body)} without its head; "
            f"{path} has {len(tensors)}; give the net that they are of"
        )
    return dict(zip(names, tensors.values(), strict=False))


def library_tensors(net: str, own: Classifier) -> Tensors:
    """Return the tensors of the body of *own*, built as *net*, by the names that its library has for them."""
    tensors = inner_body(own).state_dict()
    if net in OWN_NETS:
        return {f"body.{name}": tensor for name, tensor in tensors.items()}
    if net_name(net) == "alexnet":
        return {ALEXNET[name[:2]] + name[2:]: tensor for name, tensor in tensors.items()}
    return dict(tensors)


def inner_body(net: Classifier) -> nn.Module:
    """Return the body of *net* as `itl.training.nets.build` made it, with no normalisation before it."""
    return net.body.body if isinstance(net.body, Renormalised) else net.body


def head_names(net: str) -> tuple[str, ...]:
    """Return the names of the last layers of *net* in its library, which a body lacks."""
    library, _, name = net.rpartition(":")
    if library == "torchvision":
        return (last_linear(name),)
    if library != "timm":
        return (HEADS[net],)
    import timm  # not at the top: it takes seconds

    config = timm.get_pretrained_cfg(name)
    names = config.classifier if config and config.classifier else "head"
    return (names,) if isinstance(names, str) else tuple(names)


def _shapes(tensors: Tensors) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _prefixes(tensors: Tensors, wanted: Mapping[str, Shape]) -> list[str]:
    """List what may stand before the net's names, that with most of them first; [''] where none is there."""
    first = next(name for name in wanted if not name.endswith(COUNTER))
    prefixes = [name.removesuffix(first) for name in tensors if name.endswith(first)]
    prefixes = [prefix for prefix in prefixes if not prefix or prefix.endswith(".")]
    return sorted(prefixes, key=lambda prefix: -sum(prefix + name in tensors for name in wanted)) or [""]


def _misses(wanted: Mapping[str, Shape], given: Tensors) -> list[str]:
    """Describe each tensor of *wanted* that *given* lacks or has in another shape, the net's order first."""
    lines = []
    for name, shape in wanted.items():
        if name not in given and not name.endswith(COUNTER):
            lines.append(f"{name} {shape} is missing")
        elif name in given and tuple(given[name].shape) != shape:
            lines.append(f"{name} is {tuple(given[name].shape)}, not {shape}")
    return lines


def _additions(net: str, wanted: Mapping[str, Shape], given: Tensors) -> list[str]:
    """List the tensors of *given* that *net* lacks, with its head or without."""
    heads = tuple(f"{name}." for name in head_names(net))
    return [name for name in given if name not in wanted and not name.startswith(heads)]


def _differences(wanted: Mapping[str, Shape], tensors: Tensors, prefix: str, net: str) -> list[str]:
    """Describe each tensor below *prefix* that is not the net's, or not there."""
    given = tensors_below(tensors, prefix)
    others = [
        f"{name} {tuple(given[name].shape)} is not the net's" for name in _additions(net, wanted, given)
    ]
    return _misses(wanted, given) + others


def _misfit(net: str, wanted: Mapping[str, Shape], tensors: Tensors, prefix: str, path: Path) -> ItlError:
    """Return the error that *tensors* are not those of *net*: what differs, and which net they would fit."""
    lines = _differences(wanted, tensors, prefix, net)
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    first = next(name for name, shape in wanted.items() if len(shape) == 4)
    given = tensors.get(prefix + first)
    advice = "give the net that was trained, as net"
    if _same_order(wanted, tensors):  # also where a block has a layer of the name of the first
        advice = (
            "its tensors are the net's in the same order, by other names: in_order: true takes them so, with "
            "bgr: true if they were trained by Caffe or on other images of blue, green and red"
        )
    elif given is not None and tuple(given.shape) == tuple(wanted[first][axis] for axis in (2, 3, 1, 0)):
        advice = "its kernels are (height, width, in, out), as those of TensorFlow: permute(3, 2, 0, 1) each"
    elif given is not None and given.ndim == 4 and given.shape[1] != wanted[first][1]:
        channels = f"{given.shape[1]} channels, those of itl {wanted[first][1]}"
        advice = f"its images have {channels}: take other weights"
    elif other := _fitting_net(net, tensors):
        advice = f"it fits net: {other}"
    elif beside := _modules_beside(net, wanted, tensors_below(tensors, prefix)):
        advice = f"{advice}, or save the file without {', '.join(beside)} if these are no part of it"
    return ItlError(f"{path} does not fit {net}: {', '.join(lines[:SHOWN])}{more}; {advice}")


def _modules_beside(net: str, wanted: Mapping[str, Shape], given: Tensors) -> list[str]:
    """List the modules of *given* that whole *net* lacks, such as a projector; [] where its own differ."""
    beside = {name.partition(".")[0] for name in _additions(net, wanted, given)}
    own = {name.partition(".")[0] for name in wanted}
    return [] if beside & own or _misses(wanted, given) else sorted(beside)


def _same_order(wanted: Mapping[str, Shape], tensors: Tensors) -> bool:
    """Whether *tensors* begin with shapes of the net's body, in its order, and end with at most a head."""
    shapes = list(_shapes(tensors).values())
    return shapes[: len(wanted)] == list(wanted.values()) and len(shapes) - len(wanted) in (0, 2)


def _fitting_net(net: str, tensors: Tensors) -> str:
    """Return the first net that *tensors* fit, of the house's and those named like *net*; or nothing."""
    library, _, own_name = net.rpartition(":")
    library = library or "torchvision"
    similar = get_close_matches(own_name, library_nets(library), SIMILAR_NETS)
    for name in [*NETS, *(f"{library}:{name}" for name in similar)]:
        try:
            with torch.device("meta"):  # shapes alone
                wanted = _shapes(library_tensors(name, build(name, 1, 224, seed=0)))
        except (ItlError, NotImplementedError):  # it is not made without values, or not for such images
            continue
        if not all(_differences(wanted, tensors, prefix, name) for prefix in _prefixes(tensors, wanted)):
            return name
    return ""


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
    if lines := _misses(_shapes(library_tensors(net, _without_values(net, pixels))), tensors):
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
    shapes = _shapes(state)
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
