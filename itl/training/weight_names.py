"""Names of a net's tensors: those that torchvision and timm have for them, and how they stand in files."""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from itl.specs import net_name
from itl.training.checkpoint import tensors_below
from itl.training.nets import Classifier, Renormalised, last_linear, whole_names
from itl.training.weight_files import Tensors

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

OWN_NETS = {"small", "small-half", "caffenet"}  # of no library
ALEXNET = {"0.": "features.", "4.": "classifier.1.", "7.": "classifier.4."}  # its body: torchvision's names
COUNTER = "num_batches_tracked"  # of BatchNorm; files of old versions of torch have none
PARTS = {  # last words in names of tensors -> those of BatchNorm in torch, all of one shape
    **dict.fromkeys(("weight", "gamma", "scale"), "weight"),
    **dict.fromkeys(("bias", "beta"), "bias"),
    **dict.fromkeys(("running_mean", "moving_mean", "mean"), "running_mean"),
    **dict.fromkeys(("running_var", "moving_variance", "moving_var", "variance", "var"), "running_var"),
}
# Of DataParallel, torch.compile, FSDP and activation checkpoints
WRAPPER = re.compile(r"(?:^|(?<=\.))(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)")  # torchvision's names before 2017


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
    if net in OWN_NETS:
        return ("head",)
    if library != "timm":
        return (last_linear(net),)
    import timm  # not at the top: it takes seconds

    config = timm.get_pretrained_cfg(name)
    names = config.classifier if config and config.classifier else "head"
    return (names,) if isinstance(names, str) else tuple(names)


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Return the shape of each of *tensors*."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def plain_names(wanted: Shapes, tensors: Tensors) -> Tensors:
    """Name *tensors* as those of *wanted* where a wrapper inside the net or an old version named them.

    PyTorch's example saves AlexNet with features.module.0.weight. What stands before the net's own names is
    left to `prefixes_of`.
    """
    modules = "|".join({re.escape(name.partition(".")[0]) for name in wanted})
    own = re.compile(rf"(?:^|\.)(?:{modules})\.")
    wrapped = not any(WRAPPER.search(name) for name in wanted)  # some nets have a layer of that name
    named = {}
    for name, tensor in tensors.items():
        if wrapped and (first := own.search(name)):
            name = name[: first.end()] + WRAPPER.sub("", name[first.end() :])
        named[OLD_DENSENET.sub(r"\1\2", name)] = tensor
    return named if len(named) == len(tensors) else tensors


def prefixes_of(tensors: Tensors, wanted: Shapes) -> list[str]:
    """List what may stand before the net's names, that with most of them first; [''] where none is there."""
    first = next(name for name in wanted if not name.endswith(COUNTER))
    prefixes = [name.removesuffix(first) for name in tensors if name.endswith(first)]
    prefixes = [prefix for prefix in prefixes if not prefix or prefix.endswith(".")]
    return sorted(prefixes, key=lambda prefix: -sum(prefix + name in tensors for name in wanted)) or [""]


def misses(wanted: Shapes, given: Tensors) -> list[str]:
    """Describe each tensor of *wanted* that *given* lacks or has in another shape, the net's order first."""
    lines = []
    for name, shape in wanted.items():
        if name not in given and not name.endswith(COUNTER):
            lines.append(f"{name} {shape} is missing")
        elif name in given and tuple(given[name].shape) != shape:
            lines.append(f"{name} is {tuple(given[name].shape)}, not {shape}")
    return lines


def additions(net: str, wanted: Shapes, given: Tensors) -> list[str]:
    """List the tensors of *given* that *net* lacks, with its head or without.

    A head is what a body lacks of the library's whole model: in some, its last layers are more than one.
    """
    heads = tuple(f"{name}." for name in head_names(net))
    others = [name for name in given if name not in wanted and not name.startswith(heads)]
    return [name for name in others if name not in whole_names(net)] if others else []


def counted_names(names: Mapping[str, object], tensors: Tensors) -> list[str]:
    """List *names* of a net as a file of *tensors* has them: without counters where it has none."""
    has_counters = any(not (one.ndim or one.is_floating_point()) for one in tensors.values())
    return [name for name in names if has_counters or not name.endswith(COUNTER)]


def has_other_layers(wanted: Shapes, tensors: Tensors) -> bool:
    """Whether *tensors* have most of the names of *wanted*, but not all: then no order stands for names."""
    given = tensors_below(tensors, prefixes_of(tensors, wanted)[0])
    names = [name for name in wanted if not name.endswith(COUNTER)]
    return len(names) / 2 < sum(name in given for name in names) < len(names)


def first_other_part(names: Iterable[str], given: Iterable[str]) -> tuple[str, str] | None:
    """Return the first of *names* and of those *given* in its position that say to be other parts of a layer.

    >>> first_other_part(["conv.weight", "bn.weight", "bn.bias"], ["1.kernel", "2.beta", "2.gamma"])
    ('bn.weight', '2.beta')
    >>> first_other_part(["conv.weight", "bn.weight", "bn.bias"], ["0.weight", "1.weight", "2.weight"])
    """
    names, given = list(names), list(given)
    if len({other.rpartition(".")[2] for other in given}) == 1:  # which then says nothing
        return None
    for name, other in zip(names, given, strict=False):
        parts = {PARTS.get(one.rpartition(".")[2].lower()) for one in (name, other)} - {None}
        if len(parts) > 1:
            return name, other
    return None


def entries_in_order(wanted: Shapes, tensors: Tensors) -> list[str]:
    """List the entries whose tensors have the shapes of *wanted* in its order; '': those of the whole file.

    At the end they may have a head. Of names only `first_other_part` is looked at.
    """
    tops = dict.fromkeys(name.partition(".")[0] for name in tensors if "." in name)
    entries = []
    for entry in ("", *tops):
        below = tensors_below(tensors, f"{entry}." if entry else "")
        names = counted_names(wanted, below)
        expected = [wanted[name] for name in names]
        shapes = [*shapes_of(below).values()]
        body, rest = shapes[: len(expected)], shapes[len(expected) :]
        if first_other_part(names, below):
            continue
        if body == expected and (not rest or (len(rest) == 2 and len(rest[0]) > 1)):  # a weight and a bias
            entries.append(entry)
    return entries
