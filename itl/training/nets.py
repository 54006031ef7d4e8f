"""Nets: a body, which turns images into features, and a linear head. None is pretrained."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, pad, pixel_unshuffle
from torch.nn.modules.batchnorm import _NormBase

from itl.errors import ItlError, did_you_mean, pick
from itl.specs import TORCHVISION_NETS, Pretrain, net_name
from itl.training.crop_cpu import MEAN, STD

Body = tuple[nn.Module, int]  # the module and the number of its features


class Classifier(nn.Module):
    """A net in two parts: the body gives features without the head, and the head can be replaced."""

    def __init__(self, body: nn.Module, head: nn.Linear):
        """Join *body*, which maps images (B, 3, P, P) to features (B, F), and *head*, F to the classes."""
        super().__init__()
        self.body, self.head = body, head

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores (B, classes) of *images* (B, 3, P, P)."""
        return self.head(self.body(images))


def build(name: str, classes: int, pixels: int, seed: int) -> Classifier:
    """Build the net called *name*, its weights a pure function of *seed*.

    Nothing is downloaded, and torch's random state is unchanged.

    Args:
        name: small, small-half (of its channels), alexnet (torchvision's), caffenet (the paper's), resnet18,
            resnet50, timm:NAME for any net of timm, or torchvision:NAME for a classifier of torchvision.
        classes: Outputs of the head.
        pixels: Side of the images.
        seed: Of the weights.

    Raises:
        ItlError: The name is unknown, the images are too small for the net, or there are no classes.

    >>> build("small", classes=10, pixels=56, seed=0).head.out_features
    10
    """
    if classes < 1:
        raise ItlError(f"a net needs at least one class, not {classes}; select some images first")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        name = net_name(name)
        make_body = {"timm": _timm, "torchvision": _torchvision}.get(name.rpartition(":")[0], _own)
        body, features = make_body(name, pixels)
        head = nn.Linear(features, classes)
        if name == "caffenet":
            _gaussian(head, std=0.01, bias=0)
    return Classifier(body, head)


def build_for(spec: Pretrain, classes: int) -> Classifier:
    """Build the net of *spec*, which normalises its images anew where its weights expect that."""
    net = build(spec.net, classes, spec.recipe.pixels, spec.seed)
    if spec.weights and (spec.weights.mean, spec.weights.std) != (MEAN, STD):
        if spec.net == "caffenet" and spec.weights.std != STD:
            # Their own std, such as Caffe's 1/255, makes the levels that the first convolution expects.
            net.body.set_submodule("0", nn.Identity(), strict=True)
        net.body = Renormalised(net.body, spec.weights.mean, spec.weights.std)
    return net


def norms(net: nn.Module) -> list[_NormBase]:
    """List the layers of *net* that keep running statistics."""
    return [layer for layer in net.modules() if isinstance(layer, _NormBase)]


def set_norm_statistics(net: nn.Module, batches: Iterable[Any], forward: Callable[[Any], object]) -> None:
    """Set the running statistics of *net* to their mean over *batches*; *forward* runs it on one.

    Batches are pairs; of the second, such as labels, each image has one. They count by their images. On maps
    of one value, a batch of a single image has no variance, and is refused by torch.

    One convention holds in every method: an untrained net has statistics from the images that a trained one
    would learn from, one of each class. Fine-tuning goes on from there; a detector takes both nets' from its
    target.
    """
    layers = norms(net)
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
    with torch.no_grad():
        images = 0
        for batch in batches if layers else ():
            images += len(batch[1])
            for layer in layers:
                layer.momentum = len(batch[1]) / images  # None, a plain mean, would wait for the device
            forward(batch)


class Renormalised(nn.Module):
    """A body that expects images normalised by another mean and std than those of batches."""

    def __init__(self, body: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]):
        """Register what leads to the *mean* and *std*, of RGB from 0 to 1, that *body* expects.

        They are buffers, so that they follow the net to its device; they are not saved.
        """
        super().__init__()
        self.scale: Tensor
        self.shift: Tensor
        self.body = body
        ours, theirs = (torch.tensor(pair, dtype=torch.float64) for pair in ((MEAN, STD), (mean, std)))
        scale, shift = ours[1] / theirs[1], (ours[0] - theirs[0]) / theirs[1]
        self.register_buffer("scale", scale.float()[:, None, None], persistent=False)
        self.register_buffer("shift", shift.float()[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, F) of *images* (B, 3, P, P) of a batch."""
        return self.body(images * self.scale + self.shift)


def _own(name: str, pixels: int) -> Body:
    """Make a body of NETS, if the images are large enough for it."""
    make, least = pick(NETS, name, "net (or timm:NAME, torchvision:NAME)")
    if pixels < least:
        small = ", or take net small" if least > NETS["small"][1] else ""
        way = f"raise pixels of the recipe (of weights: their own pixels){small}"
        raise ItlError(f"{name} needs images of at least {least} pixels, not {pixels}; {way}")
    return make()


def check_net(name: str) -> None:
    """Raise ItlError, with the nearest name, unless there is a net called *name*; see `build`."""
    library, _, rest = name.rpartition(":")
    if library in ("timm", "torchvision"):
        check_known(library, rest.partition(".")[0])
    else:
        pick(NETS, name, "net (or timm:NAME, torchvision:NAME)")


def library_nets(library: str) -> list[str]:
    """List the classifiers of timm or torchvision."""
    if library == "timm":
        import timm  # not at the top: it takes seconds, and few runs need it

        return timm.list_models()
    from torchvision import models

    return models.list_models(module=models)


def check_known(library: str, name: str) -> None:
    """Raise ItlError, with the nearest name, unless *library* has a net called *name*."""
    known = library_nets(library)
    if name not in known:
        listed = f"{library}{'.models' * (library == 'torchvision')}.list_models() has {len(known)}"
        raise ItlError(f"no {library} net called {name!r}; {did_you_mean(name, known)}{listed}")


def _untrained_model(name: str, **options: Any) -> Any:
    """Make the model *name*, timm:NAME, torchvision:NAME or torchvision's NAME, with *options* of it."""
    library, _, rest = name.rpartition(":")
    if library == "timm":
        import timm  # not at the top: it takes seconds, and few runs need it

        return timm.create_model(rest, **options)
    from torchvision import models

    return models.get_model(rest, weights=None, **options)


def _timm(name: str, pixels: int) -> Body:
    """Make a net of timm without its classifier."""
    check_net(name)
    make = partial(_untrained_model, name, num_classes=0, **size_option(name, pixels))
    return _checked(make, name, pixels)


def size_option(net: str, pixels: int) -> dict[str, int]:
    """Return the option by which a library makes *net* for images of *pixels*, if its tensors depend on them.

    >>> size_option("torchvision:vit_b_16", 112), size_option("timm:resnet18", 112)
    ({'image_size': 112}, {})
    """
    library, _, name = net.rpartition(":")
    if library == "torchvision":
        return {"image_size": pixels} if name.startswith("vit_") else {}
    if library != "timm":
        return {}
    import timm

    config = timm.get_pretrained_cfg(name)
    return {"img_size": pixels} if config and config.fixed_input_size else {}


def _torchvision(name: str, pixels: int) -> Body:
    """Make a classifier of torchvision without its last linear layer."""
    head = last_linear(name)

    def headless() -> nn.Module:
        net = _untrained_model(name, **size_option(name, pixels))
        net.set_submodule(head, nn.Identity())
        return net

    return _checked(headless, name, pixels)


def library_model(name: str, classes: int, pixels: int | None = None) -> nn.Module:
    """Make the model of torchvision or timm called *name*, on the device meta where that can be.

    Without *pixels* it is of the library's own size.
    """
    options = {"num_classes": classes} | (size_option(name, pixels) if pixels else {})
    with torch.random.fork_rng(devices=[]):  # weights of a net do not depend on whether this was asked before
        try:
            with torch.device("meta"):
                return _untrained_model(name, **options)
        except RuntimeError:  # RegNets, for one, compute their widths with tensors
            return _untrained_model(name, **options)


@cache
def whole_names(net: str) -> frozenset[str]:
    """Return the names of all tensors of the model of *net* in its library, head included; of ours, none."""
    if ":" not in net and net not in TORCHVISION_NETS:
        return frozenset()
    return frozenset(library_model(net, classes=1000).state_dict())


@cache
def last_linear(name: str) -> str:
    """Return the name of the last linear layer of *name*, a classifier of torchvision, its head.

    ItlError if it has no such layer, or auxiliary heads, or torchvision has no such net.
    """
    check_known("torchvision", name.removeprefix("torchvision:"))
    net = library_model(name, classes=1000)
    linear = [layer for layer, module in net.named_modules() if isinstance(module, nn.Linear)]
    if not linear or hasattr(net, "aux_logits"):
        raise ItlError(f"{name} does not end in one linear layer; take timm:NAME of a like net")
    return linear[-1]


def _checked(make: Callable[[], nn.Module], name: str, pixels: int) -> Body:
    """Make a body; a pass on zeros shows its features, and that it takes images of so many *pixels*."""
    with _refuse_pixels(name, pixels, "try more pixels (of weights: their own pixels), or net small"):
        body = make()
        features = body.eval()(torch.zeros(2, 3, pixels, pixels))
    return body.train(), features.flatten(1).shape[1]


def check_resized(name: str, net: Classifier, built_for: int, pixels: int) -> None:
    """Raise ItlError unless *net*, built as *name* for *built_for* pixels, takes images of *pixels*."""
    cure = f"as it is pre-trained on {built_for} pixels, give tuning pixels: {built_for}"
    with _refuse_pixels(name, pixels, cure):
        net.eval()(torch.zeros(2, 3, pixels, pixels))


@contextmanager
def _refuse_pixels(name: str, pixels: int, cure: str) -> Iterator[None]:
    """Raise ItlError, with a *cure*, where the net *name* fails on images of so many *pixels*."""
    try:
        with torch.no_grad():
            yield
    except (RuntimeError, AssertionError, ValueError, TypeError, ZeroDivisionError) as error:
        reason = (str(error).splitlines() or ["it fails on them"])[0]
        raise ItlError(f"{name} cannot take images of {pixels} pixels ({reason}); {cure}") from error


class Block(nn.Module):
    """A residual block of two 3 x 3 convolutions; initially it is the identity and a ReLU."""

    def __init__(self, channels: int):
        """Make a block that keeps the number of *channels*."""
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.second_norm.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (B, C, H, W) of maps of the same shape."""
        inner = self.first_norm(self.first(maps)).relu_()
        return (self.second_norm(self.second(inner)) + maps).relu_()


def _small(width: int = 32) -> Body:
    """Make a net for 48 to 64 pixels: the most accurate one found after two minutes on one CPU core.

    *width* is the channels of the first layer; the last has eight times as many.
    """

    def halve(inputs: int, outputs: int) -> list[nn.Module]:
        layer = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        return [layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    stages = [*halve(3, width), *halve(width, 2 * width), *halve(2 * width, 4 * width), Block(4 * width)]
    last = halve(4 * width, 8 * width)
    return nn.Sequential(*stages, *last, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 8 * width


def _alexnet() -> Body:
    net = _untrained_model("alexnet")
    return nn.Sequential(net.features, net.avgpool, nn.Flatten(), *net.classifier[:-1]), 4096


class GreyLevels(nn.Module):
    """Undo the division of normalised images: Caffe's weights and LRN are meant for grey levels around 0."""

    levels: Tensor

    def __init__(self):
        """Register the factors as a buffer, so that they follow the net to its device; they are not saved."""
        super().__init__()
        self.register_buffer("levels", 255 * torch.tensor(STD)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return images (B, 3, P, P) in grey levels, of mean about zero."""
        return images * self.levels


class ResponseNorm(nn.LocalResponseNorm):
    """Caffe's LRN over an odd number of channels, always in float32: its 1 + 1e-4 x is 1 in bfloat16.

    The same values and gradients as torch's, but pooled along the last dimension of channels_last memory.
    torch pools in three dimensions. That copies the maps to another layout, reads and writes them 56 times
    instead of 41 for a forward and a backward pass, and on a GPU adds up gradients in an order that does not
    repeat.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the shape of *maps* (B, C, H, W), divided by a norm of neighbouring channels."""
        values = maps.float().permute(0, 2, 3, 1)
        mean = avg_pool2d(values.square(), (1, self.size), stride=1, padding=(0, self.size // 2))
        return (values * (self.k + self.alpha * mean).pow(-self.beta)).permute(0, 3, 1, 2)


class BlockConv2d(nn.Conv2d):
    """A strided convolution of few channels, such as the first of a net; without groups or dilation.

    On a GPU `convolve_blocks` computes it: for three channels at stride 4, cuDNN's repeatable kernels took as
    long as the rest of the net.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Return maps (B, O, h, w) of *images* (B, C, H, W)."""
        if images.device.type == "cpu":
            return super().forward(images)
        padding = int(self.padding[0])  # the same on all sides
        return convolve_blocks(images, self.weight, self.bias, self.stride[0], padding)


def convolve_blocks(images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Return ``conv2d(images, weight, bias, stride, padding)``, computed at stride 1 over blocks.

    The pixels of a block, stride x stride, become channels (space to depth), which makes enough channels for
    matrix products.
    """
    kernel, sides = weight.shape[-1], [side + padding for side in images.shape[2:]]  # padded on one side
    blocks = -(-kernel // stride)  # covered by a kernel, along each side; rounded up
    height, width = (((side + padding - kernel) // stride + blocks) * stride for side in sides)  # in all
    rest = blocks * stride - kernel
    weight = pixel_unshuffle(pad(weight, (0, rest, 0, rest)), stride)
    added = (padding, width - sides[1], padding, height - sides[0])  # a negative number crops
    images = pad(images, added)
    images = pixel_unshuffle(images, stride).contiguous(memory_format=torch.channels_last)
    return conv2d(images, weight, bias)


def _caffenet() -> Body:
    """Make Caffe's AlexNet, as in the paper: pooling before LRN, grouped convolutions, Gaussian weights.

    227 pixels give 6 x 6 maps before fc6, as in Caffe. Maps of smaller images are pooled adaptively to 6 x 6,
    which changes nothing at 227. Below 67 pixels there are no maps left.
    """

    def convolution(inputs: int, outputs: int, side: int, bias: float, **options: Any) -> list[nn.Module]:
        return [_gaussian(nn.Conv2d(inputs, outputs, side, **options), 0.01, bias), nn.ReLU(inplace=True)]

    def full(inputs: int) -> list[nn.Module]:
        return [_gaussian(nn.Linear(inputs, 4096), 0.005, 1), nn.ReLU(inplace=True), nn.Dropout(0.5)]

    pool, norm = nn.MaxPool2d(3, 2), ResponseNorm(5, alpha=1e-4, beta=0.75, k=1)
    first = _gaussian(BlockConv2d(3, 96, 11, stride=4), std=0.01, bias=0)
    return nn.Sequential(
        GreyLevels(),
        first,
        nn.ReLU(inplace=True),
        pool,
        norm,
        *convolution(96, 256, 5, bias=1, padding=2, groups=2),
        pool,
        norm,
        *convolution(256, 384, 3, bias=0, padding=1),
        *convolution(384, 384, 3, bias=1, padding=1, groups=2),
        *convolution(384, 256, 3, bias=1, padding=1, groups=2),
        pool,
        nn.AdaptiveAvgPool2d(6),
        nn.Flatten(),
        *full(256 * 6 * 6),
        *full(4096),
    ), 4096


def _gaussian(layer: nn.Conv2d | nn.Linear, std: float, bias: float) -> nn.Module:
    """Initialise *layer* as Caffe does, and return it."""
    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias)
    return layer


def _resnet(name: str) -> Body:
    net = _untrained_model(name)
    features, net.fc = net.fc.in_features, nn.Identity()
    return net, features


NETS: dict[str, tuple[Callable[[], Body], int]] = {  # makes the body; least side of its images, in pixels
    "small": (_small, 16),
    "small-half": (lambda: _small(width=16), 16),  # of the channels, a quarter of the arithmetic
    "alexnet": (_alexnet, 63),
    "caffenet": (_caffenet, 67),
    "resnet18": (lambda: _resnet("resnet18"), 32),
    "resnet50": (lambda: _resnet("resnet50"), 32),
}
