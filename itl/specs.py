"""Specs: all settings that change a number, frozen and hashed; what does not is in `itl.machine`."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any, ClassVar, Literal

from itl.errors import ItlError, cannot_read
from itl.machine import in_project
from itl.spec_checks import (
    ABOVE_0,
    AT_LEAST_0,
    AT_LEAST_1,
    BATCH,
    BELOW_1,
    BELOW_HALF,
    COLOUR,
    FRACTION,
    SEED,
    SIDE,
    SPREAD,
    Limit,
    check_limits,
    check_types,
)

# Enters the key of every run. Raise it by one in the commit that changes the numbers of runs whose spec stays
# the same: another order of images, another crop, another solver, a mended metric. Old results stay on disk
# under their old keys. Do not raise it for what is only faster, or what a new field of a spec tells apart.
NUMERICS = 2
# The same for the numbers of one transfer method alone: of what nets are measured by it.
NUMERICS_OF = {"scores": 2, "induction": 1, "detection": 1, "actions": 1}
# The same for some nets and what is measured of them: untrained, without duplicates, with labels of a file,
# and without-matched on another tree than the usual one.
NUMERICS_OF_NETS = {"untrained": 1, "duplicates": 2, "file": 2, "control": 1}
FILE_NAME = re.compile(r"file@[^+]*(?=#)")  # in labels
FILES: dict[str, str] = {}  # that labels name, by digest: of equal ones the first, so that specs are equal
REPEAT_STRIDE = 1_000_003  # between the seeds of two fits of one net; larger than seeds that people give


def added(default: Any) -> Any:
    """Declare a field that a spec got later: its *default* means "as before", see `canonical`."""
    return field(default=default, metadata={"added": True})


@dataclass(frozen=True)
class Packing:
    """Which images a pack is made from, and how they are brought to one size."""

    source: str = "demo"  #: a name that `itl pack` knows
    path: str | None = None  #: a path, or a glob in the data folders
    size: int = 64  #: side of the stored square, in pixels
    fit: Literal["squash", "crop", "pad"] = "squash"  #: both sides; the short one; the long one
    options: tuple[tuple[str, object], ...] = ()  #: what else the source takes: sorted pairs
    unreadable: float = added(0.01)  #: fraction of images, at most

    limits: ClassVar[Mapping[str, Limit]] = {"size": SIDE}

    def __post_init__(self) -> None:
        """Accept options as a mapping too, and a path that is no text; refuse what cannot be."""
        if isinstance(self.options, Mapping):
            object.__setattr__(self, "options", tuple(self.options.items()))
        if isinstance(self.path, PurePath):
            object.__setattr__(self, "path", str(self.path))
        check_types(self)
        object.__setattr__(self, "options", tuple(sorted(dict(self.options).items())))
        check_limits(self)
        if not (isinstance(self.unreadable, Real) and 0 <= self.unreadable <= 1):
            raise ItlError(f"unreadable is a fraction of the images, 0 to 1, not {self.unreadable!r}")
        for name, value in self.options:
            finite = not isinstance(value, float) or math.isfinite(value)
            if not (finite and isinstance(value, str | int | float | None)):
                raise ItlError(f"the option {name} should be text, a number, true or false, not {value!r}")


@dataclass(frozen=True)
class Subset:
    """Which images of a pack to learn from, and under which labels."""

    pack: str  #: digest of the pack: other pixels are another run
    labels: str = "original"  #: a method of `itl labels`, such as bottom-up@9
    classes: int | None = None  #: keep this many classes; None keeps all
    images_per_class: int | None = None  #: keep this many images of each class; None keeps all
    seed: int = 0  #: picks classes and images when only some are kept
    tree: str = added("")  #: digest of the taxonomy, if not the usual one
    leaves: int | None = added(None)  #: of the pack's classes in each class
    at_most: bool = added(False)  #: a class may have fewer images_per_class
    without: tuple[str, ...] = added(())  #: no duplicate of these packs

    limits: ClassVar[Mapping[str, Limit]] = {
        **dict.fromkeys(("classes", "images_per_class", "leaves"), AT_LEAST_1),
        "seed": SEED,
    }

    def __post_init__(self) -> None:
        """Give the labels one spelling, which holds the content of files that they name."""
        check_types(self)
        check_limits(self)
        object.__setattr__(self, "labels", hashed_labels(self.labels))


@dataclass(frozen=True)
class Recipe:
    """How a net is trained. Zero epochs leave it as it was initialised.

    Its length is given as epochs or as steps, its learning rate as lr or as lrs; the other one is None. If
    neither of the two is given, the one in `defaults` is used.
    """

    epochs: int | None = None  #: passes over the training images, in whole batches
    steps: int | None = None  #: optimizer steps, however many images there are
    batch: int = 128  #: images of each step
    lr: float | None = None  #: the learning rate at its highest
    schedule: Literal["cosine", "step"] = "cosine"  #: to zero; or a tenth after each of `drops`
    drops: tuple[float, ...] | None = None  #: fractions of the training, for schedule step
    warmup: float = 0.05  #: fraction of the training over which lr rises from zero
    momentum: float = 0.9
    weight_decay: float = 5e-4  #: on weights of two or more dimensions: not on norms and biases
    label_smoothing: float = 0.0
    precision: Literal["bf16", "fp32"] = "bf16"  #: bf16: autocast where the device has it
    pixels: int = 56  #: side of the crop that the net sees
    augment: Literal["resized-crop", "crop", "centre"] = "resized-crop"  #: crop: a random window
    flip: bool = True  #: mirror half of the training images
    lrs: tuple[float, ...] = added(())  #: to choose lr from, on val
    clip: float | None = added(None)  #: longest gradient; None: any

    defaults: ClassVar[Mapping[str, Any]] = {"epochs": 10, "lr": 0.1, "drops": ()}
    limits: ClassVar[Mapping[str, Limit]] = {
        **dict.fromkeys(("epochs", "steps", "lr", "lrs", "weight_decay"), AT_LEAST_0),
        "batch": BATCH,
        "pixels": SIDE,
        **dict.fromkeys(("warmup", "momentum", "label_smoothing"), BELOW_1),
        "drops": FRACTION,
        "clip": ABOVE_0,
    }

    def __post_init__(self) -> None:
        """Give every computation one spelling; refuse settings that another one overrides."""
        check_types(self, " of a recipe")
        if self.epochs is not None and self.steps is not None:
            raise ItlError(
                f"a recipe has either epochs or steps; got {self.epochs} epochs and {self.steps} "
                f"steps; leave one of them out"
            )
        if self.lr is not None and self.lrs:
            raise ItlError(
                f"a recipe has either lr or lrs, to choose from; got lr {self.lr} and lrs "
                f"{list(self.lrs)}; leave one of them out"
            )
        if self.schedule == "cosine" and self.drops:
            raise ItlError(
                f"schedule cosine has no drops; got {list(self.drops)}; leave them out, or give "
                f"schedule: step"
            )
        check_limits(self)
        for name, value in self._settled().items():
            object.__setattr__(self, name, value)

    def _settled(self) -> dict[str, Any]:
        """Return the fields that have several spellings, each with the one that is hashed."""
        lrs = tuple(sorted({float(lr) for lr in self.lrs}))
        settled: dict[str, Any] = {"lrs": lrs}
        if len(lrs) == 1:  # nothing to choose
            settled |= {"lr": lrs[0], "lrs": ()}
        elif self.lr is None and not self.lrs:
            settled["lr"] = self.defaults["lr"]
        if self.epochs is None and self.steps is None:
            settled |= {name: self.defaults.get(name) for name in ("epochs", "steps")}
        elif self.steps == 0:
            settled |= {"epochs": 0, "steps": None}
        drops = self.defaults["drops"] if self.drops is None and self.schedule == "step" else self.drops or ()
        return settled | {"drops": tuple(sorted(float(drop) for drop in drops))}

    def lr_at(self, progress: float) -> float:
        """Learning rate after the fraction *progress* of the training, 0 to 1.

        ItlError if none of several rates is chosen yet.
        """
        if self.lr is None:
            raise ItlError(f"a net is trained at one learning rate; choose one of lrs {list(self.lrs)}")
        if progress < self.warmup:
            return self.lr * progress / self.warmup
        if self.schedule == "step":
            return self.lr * 0.1 ** sum(progress >= drop for drop in self.drops or ())
        return self.lr * 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup)))

    def lr_of_step(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of *step*, counted from 0: that of its middle, never quite zero."""
        return self.lr_at((step + 0.5) / self.total_steps(steps_per_epoch))

    def total_steps(self, steps_per_epoch: int) -> int:
        """How many optimizer steps the training takes, given the steps of one epoch."""
        return (self.epochs or 0) * steps_per_epoch if self.steps is None else self.steps

    def untrained(self) -> "Recipe":
        """Return the recipe of zero epochs that presents images as this one, whatever training would be."""
        return Recipe(epochs=0, batch=self.batch, pixels=self.pixels, precision=self.precision)


@dataclass(frozen=True)
class DetectionRecipe(Recipe):
    """How a detector is trained on whole images; the defaults are Fast R-CNN's, as the paper trained it."""

    batch: int = 2  #: images of each step
    schedule: Literal["cosine", "step"] = "step"
    warmup: float = 0.0
    pixels: int = 600  #: the short side of the image that the net sees
    augment: Literal["centre"] = "centre"  #: all of it: nothing is cropped
    longest: int = 1000  #: but its long side is no longer than this
    regions: Literal["windows", "file", "rpn"] = "windows"  #: built in; packed with the images; learned
    proposals: int = 2000  #: regions of an image, at most
    rois: int = 64  #: regions of an image that one step learns from
    foreground: float = 0.25  #: of these, at most this part with an object
    overlap: float = 0.1  #: IoU with some object that the others have at least
    freeze_first: bool = added(False)  #: the first convolution stays
    bias_lr: float = added(1.0)  #: of biases and norms, as a factor of lr

    defaults: ClassVar[Mapping[str, Any]] = {"steps": 40_000, "lr": 0.001, "drops": (0.75,)}
    limits: ClassVar[Mapping[str, Limit]] = {
        **Recipe.limits,
        **dict.fromkeys(("longest", "proposals", "rois"), AT_LEAST_1),
        "foreground": FRACTION,
        "overlap": BELOW_HALF,
        "bias_lr": ABOVE_0,
    }

    def __post_init__(self) -> None:
        """Do as `Recipe`; refuse or settle what a detector does not use."""
        super().__post_init__()
        if self.label_smoothing:
            raise ItlError(f"detection has no label_smoothing; got {self.label_smoothing}; leave it out")
        if self.regions == "rpn":  # which has no regions that an overlap could choose from
            object.__setattr__(self, "overlap", type(self).overlap)


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB from 0 to 1


@dataclass(frozen=True)
class Weights:
    """Weights that exist already, which a net has instead of being trained."""

    net: str  #: their architecture; timm:NAME.TAG and torchvision:NAME.WEIGHTS say which of the library's
    digest: str = ""  #: of the file that holds them; '': the library fetches them
    entry: str = ""  #: of the file, where it holds several nets
    in_order: bool = False  #: the file's tensors are the net's in the same order, by other names
    mean: tuple[float, ...] = IMAGENET_MEAN  #: that the net expects to be subtracted, RGB from 0 to 1
    std: tuple[float, ...] = IMAGENET_STD  #: by which it expects to be divided
    bgr: bool = added(False)  #: trained on blue, green and red, as by Caffe

    limits: ClassVar[Mapping[str, Limit]] = {"mean": COLOUR, "std": SPREAD}

    def __post_init__(self) -> None:
        """Give the net its one name; refuse means and standard deviations of pixels from 0 to 255."""
        check_types(self)
        object.__setattr__(self, "net", net_name(self.net))
        check_limits(self)


TORCHVISION_NETS = ("alexnet", "resnet18", "resnet50")  # whose names need no torchvision: before them


def net_name(net: str) -> str:
    """Return the one name of *net* in specs: one net is one run, however it is spelt.

    >>> net_name("torchvision:resnet18"), net_name("torchvision:vgg11"), net_name("small")
    ('resnet18', 'torchvision:vgg11', 'small')
    """
    library, _, name = net.rpartition(":")
    return name if library == "torchvision" and name in TORCHVISION_NETS else net


@dataclass(frozen=True)
class Pretrain:
    """One pre-training: the data, the net and the recipe. With weights, what stands for one."""

    subset: Subset
    net: str = "small"
    recipe: Recipe = Recipe()
    seed: int = 0  #: initial weights, order and augmentation
    weights: Weights | None = added(None)  #: instead of training

    limits: ClassVar[Mapping[str, Limit]] = {"seed": SEED}

    def __post_init__(self) -> None:
        """Give the net as initialised one spec, whatever it would have been trained on and how.

        So has a net with weights, which depend on no seed either. The net gets its one name.
        """
        check_types(self)
        check_limits(self)
        object.__setattr__(self, "net", net_name(self.net))
        if self.weights:
            object.__setattr__(self, "recipe", self.recipe.untrained())
            object.__setattr__(self, "subset", Subset(""))
            object.__setattr__(self, "seed", 0)
        if self.subset.at_most and self.subset.images_per_class is None:  # so it limits nothing
            object.__setattr__(self, "subset", replace(self.subset, at_most=False))
        if self.recipe.lrs:
            raise ItlError(
                f"pre-training has one learning rate; got lrs {list(self.recipe.lrs)}; give lr (lrs "
                f"are for methods that train on a target, which choose among them on val)"
            )
        if not self.trained:  # it needs only its classes, so one image of each
            object.__setattr__(self, "recipe", self.recipe.untrained())
            one_image = replace(self.subset, images_per_class=1, at_most=False, without=())
            object.__setattr__(self, "subset", one_image)

    @property
    def trained(self) -> bool:
        """Whether the net is trained at all."""
        return self.recipe.total_steps(1) > 0


@dataclass(frozen=True)
class Transfer:
    """One measurement of a pre-trained net on a target."""

    pretrain: Pretrain
    method: str  #: a name in `itl.evaluation.methods.METHODS`
    target: str  #: the target's name, as results show it
    pack: str  #: digest of the target's pack
    images_per_class: int | None = None  #: of the target's training split; None keeps all
    recipe: Recipe | None = None  #: of the tuning; frozen methods see the pre-training's centre crop
    seed: int = 0
    labels: str = added("original")  #: what the target's classes count as
    tree: str = added("")  #: as that of a subset
    repeat: int = added(0)  #: number of this fit among those of one net

    limits: ClassVar[Mapping[str, Limit]] = {
        "images_per_class": AT_LEAST_1,
        **dict.fromkeys(("seed", "repeat"), AT_LEAST_0),
    }

    @property
    def fit_seed(self) -> int:
        """Seed of the head, the order and the augmentation: each repeat has its own, on the same images."""
        return self.seed + REPEAT_STRIDE * self.repeat

    def __post_init__(self) -> None:
        """Give the labels one spelling, which holds the content of files that they name."""
        check_types(self)
        check_limits(self)
        object.__setattr__(self, "labels", hashed_labels(self.labels))


Spec = Pretrain | Transfer  # of one run


def pretraining_of(spec: Spec) -> Pretrain:
    """Return the pre-training that *spec* is, or measures."""
    return spec if isinstance(spec, Pretrain) else spec.pretrain


def hashed_labels(labels: str) -> str:
    """Return the label method *labels* as keys hold it.

    Each file that it names has its digest, since its content changes numbers and its name does not; original,
    which changes nothing before another part, is left out there; the wnids of a cut have no order.

    >>> hashed_labels("bottom-up@9"), hashed_labels("original+without-pascal"), hashed_labels("cut@b,a,b")
    ('bottom-up@9', 'without-pascal', 'cut@a,b')
    """
    return "+".join(map(_hashed_part, labels.removeprefix("original+").split("+")))


def _hashed_part(part: str) -> str:
    method, _, argument = part.partition("@")
    if method == "cut":
        return f"cut@{','.join(sorted(set(argument.split(','))))}"
    if method != "file" or "#" in argument:
        return part
    digest = file_digest(argument, is_list=True)
    if (earlier := FILES.get(digest, argument)) != argument:
        with suppress(ItlError):  # which may have gone, or changed
            argument = earlier if file_digest(earlier, is_list=True) == digest else argument
    FILES[digest] = argument
    return f"file@{argument}#{digest}"


def with_absolute_files(spec: Spec) -> Spec:
    """Return *spec*, whose key stays, with the absolute paths of label files: for a process elsewhere."""

    def absolute(labels: str) -> str:
        return re.sub(r"file@([^+#]+)(?=#)", lambda match: f"file@{in_project(match[1]).absolute()}", labels)

    net = pretraining_of(spec)
    net = replace(net, subset=replace(net.subset, labels=absolute(net.subset.labels)))
    return replace(spec, pretrain=net, labels=absolute(spec.labels)) if isinstance(spec, Transfer) else net


def file_digest(path: str, is_list: bool = False) -> str:
    """Return 8 hex digits that stand for the content of a file; ItlError if it cannot be read.

    A relative path is one in the project's folder. Lines of a list count in any order, but JSON's.
    """
    file = in_project(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise cannot_read(file, error) from error
    if is_list and not (text := content.removeprefix(b"\xef\xbb\xbf")).lstrip().startswith((b"[", b"{")):
        content = b"\n".join(sorted(filter(None, map(bytes.strip, text.splitlines()))))
    return hashlib.sha256(content).hexdigest()[:8]


def canonical(spec: object) -> str:
    """Return the one text of *spec* as JSON: every field, sorted, no spaces, 1.0 written as 1.

    The text of a run holds NUMERICS too, what NUMERICS_OF has of its method, and NUMERICS_OF_NETS of its net.
    That of a packing does not: a pack's digest names its pixels.
    A field that is `added` later would rename every run, so it is left out while it has its default. Of a
    file that labels come from it has the digest alone: where the file lies changes no number.
    """
    tree = {type(spec).__name__: _plain(spec)}
    if isinstance(spec, Spec):
        tree["numerics"], net = NUMERICS, pretraining_of(spec)
        labelled: list[Subset | Transfer] = [net.subset, *([spec] if isinstance(spec, Transfer) else [])]
        applies = {
            "untrained": not net.trained and net.weights is None,
            "duplicates": bool(net.subset.without),
            "file": any(FILE_NAME.search(one.labels) for one in labelled),
            "control": any(one.tree and "without-matched@" in one.labels for one in labelled),
        }
        tree |= {f"numerics of {name}": NUMERICS_OF_NETS[name] for name in applies if applies[name]}
    if isinstance(spec, Transfer) and spec.method in NUMERICS_OF:
        tree["numerics of method"] = NUMERICS_OF[spec.method]
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)


def key(spec: object) -> str:
    """Return the name of the run of *spec*: equal specs share it, any field that differs changes it."""
    return hashlib.sha256(canonical(spec).encode()).hexdigest()[:12]


def _plain(value: object) -> object:
    """Return *value* as JSON would hold it, without added fields that still have their default."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Integral):  # NumPy's too
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return int(number) if number.is_integer() else number
    if not is_dataclass(value):
        return value
    plain = {}
    for name, is_added, default in _fields_of(value.__class__):
        content = getattr(value, name)
        if not is_added or content != default:
            plain[name] = _plain(FILE_NAME.sub("file@", content) if name == "labels" else content)
    return plain


@cache
def _fields_of(kind: Any) -> tuple[tuple[str, bool, object], ...]:
    """Return the fields of a spec: name, whether it was added later, and default; plans ask 100,000 times."""
    return tuple((entry.name, entry.metadata.get("added", False), entry.default) for entry in fields(kind))
