"""Specs: all settings that change a number, frozen and hashed; what does not is in `itl.machine`."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TypeVar

from itl import ItlError, pick

T = TypeVar("T")


@dataclass(frozen=True)
class Packing:
    """Which images a pack is made of, and how they are brought to one size."""

    source: str = "demo"                    # a name that `itl pack` knows
    path: str | None = None                 # a path, or a glob in the data folders
    size: int = 64                          # side of the stored square, in pixels
    fit: str = "squash"                     # squash: both sides; crop: the short one; pad: the long one
    options: tuple[tuple[str, object], ...] = ()    # what else the source takes: sorted pairs

    def __post_init__(self) -> None:
        """Take options as a mapping too, and refuse what no pack can be."""
        object.__setattr__(self, "options", tuple(sorted(dict(self.options).items())))
        pick({"squash": 0, "crop": 0, "pad": 0}, self.fit, "fit")
        if self.size < 1:
            raise ItlError(f"a pack's images are at least 1 pixel wide, not {self.size}")


@dataclass(frozen=True)
class Subset:
    """Which images of a pack to learn from, and under which labels."""

    pack: str                               # digest of the pack: other pixels are another run
    labels: str = "original"                # a method of `itl labels`, such as bottom-up@9
    classes: int | None = None              # keep this many classes; None keeps all
    images_per_class: int | None = None     # keep this many images of each class; None keeps all
    seed: int = 0                           # picks classes and images when only some are kept


@dataclass(frozen=True)
class Recipe:
    """How a net is fitted. Zero epochs leave it as it was initialised."""

    epochs: int = 10
    steps: int | None = None                # given: so many, whatever the subset's size, not epochs
    batch: int = 128
    lr: float = 0.1
    schedule: str = "cosine"                # cosine: to zero; step: a tenth after each of `drops`
    drops: tuple[float, ...] = ()           # fractions of the training, for schedule step
    warmup: float = 0.05                    # fraction of the training over which lr rises from zero
    momentum: float = 0.9
    weight_decay: float = 5e-4              # on weights of two or more dimensions: not on norms and biases
    label_smoothing: float = 0.0
    precision: str = "bf16"                 # bf16: autocast where the device has it; fp32
    pixels: int = 56                        # side of the crop that the net sees
    augment: str = "resized-crop"           # resized-crop, crop (a random window) or centre
    flip: bool = True                       # mirror half of the training images
    lrs: tuple[float, ...] = field(default=(), metadata={"added": True})    # to choose lr from, on val
    clip: float | None = field(default=None, metadata={"added": True})      # longest gradient, or any

    def __post_init__(self) -> None:
        """Make 1 and 1.0 one spec, and refuse unknown names and impossible numbers."""
        for each in ("lr", "warmup", "momentum", "weight_decay", "label_smoothing"):
            object.__setattr__(self, each, float(getattr(self, each)))
        for each in ("drops", "lrs"):
            object.__setattr__(self, each, tuple(float(value) for value in getattr(self, each)))
        pick({"cosine": 0, "step": 0}, self.schedule, "schedule")
        pick({"bf16": 0, "fp32": 0}, self.precision, "precision")
        pick({"resized-crop": 0, "crop": 0, "centre": 0}, self.augment, "augmentation")
        if self.clip is not None:
            object.__setattr__(self, "clip", float(self.clip))
            if not self.clip > 0:
                raise ItlError(f"clip is the length of the longest gradient, above 0, not {self.clip}")
        if self.batch < 1 or self.pixels < 1 or self.epochs < 0 or (self.steps or 0) < 0:
            raise ItlError(f"batch and pixels are at least 1, epochs and steps at least 0; got {self}")

    def lr_at(self, progress: float) -> float:
        """Learning rate after the fraction *progress* of the training, 0 to 1."""
        if progress < self.warmup:
            return self.lr * progress / self.warmup
        if self.schedule == "step":
            return self.lr * 0.1 ** sum(progress >= drop for drop in self.drops)
        return self.lr * 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup)))

    def total_steps(self, steps_per_epoch: int) -> int:
        """How many optimizer steps the training takes, given the steps of one epoch."""
        return self.epochs * steps_per_epoch if self.steps is None else self.steps


@dataclass(frozen=True)
class Detection(Recipe):
    """How a detector is fitted to whole images; the defaults are Fast R-CNN's, as the paper trained it."""

    steps: int | None = 40_000
    batch: int = 2                          # images
    lr: float = 0.001
    schedule: str = "step"
    drops: tuple[float, ...] = (0.75,)
    warmup: float = 0.0
    pixels: int = 600                       # the short side of the image that the net sees
    augment: str = "centre"                 # all of it: nothing is cropped
    longest: int = 1000                     # but its long side is no longer than this
    regions: str = "windows"                # windows: built in; file: packed with the images; rpn: learned
    proposals: int = 2000                   # regions of an image, at most
    rois: int = 64                          # regions of an image that one step learns from
    foreground: float = 0.25                # of these, at most this part with an object
    overlap: float = 0.1                    # IoU with some object that the others have at least

    def __post_init__(self) -> None:
        """Refuse what no detector can be."""
        super().__post_init__()
        pick({"windows": 0, "file": 0, "rpn": 0}, self.regions, "kind of regions")
        if self.augment != "centre" or min(self.longest, self.proposals, self.rois) < 1:
            raise ItlError(f"a detector sees whole images (augment: centre), and longest, proposals and rois "
                           f"are at least 1; got {self}")
        if not (0 < self.foreground < 1 and 0 <= self.overlap < 0.5):
            raise ItlError(f"foreground lies between 0 and 1 and overlap from 0 to below 0.5; got {self}")


@dataclass(frozen=True)
class Pretrain:
    """One pre-training: the data, the net and the recipe."""

    subset: Subset
    net: str = "small"
    recipe: Recipe = Recipe()
    seed: int = 0                           # initial weights, order and augmentation


@dataclass(frozen=True)
class Transfer:
    """One measurement of a pre-trained net on a target."""

    pretrain: Pretrain
    method: str                             # finetune, probe, knn, induction, actions or detection
    target: str                             # the target's name, as results show it
    pack: str                               # digest of the target's pack
    images_per_class: int | None = None     # of the target's training split; None keeps all
    recipe: Recipe | None = None            # of the tuning; frozen methods see the pre-training's centre crop
    seed: int = 0
    labels: str = field(default="original", metadata={"added": True})    # what the target's classes count as


def spec_of(kind: type[T], settings: Mapping[str, object], what: str) -> T:
    """Make a spec of *kind* from plain *settings*, as YAML holds them.

    Raises ItlError for a name that the spec does not have, with the near miss, and a value of another type.
    """
    from pydantic import TypeAdapter, ValidationError  # here: only settings of people need it

    if not isinstance(settings, Mapping):
        raise ItlError(f"{what} should be a mapping of settings, not {settings!r}")
    for name in settings:
        pick({each.name: each for each in fields(kind)}, name, f"setting of {what}")
    pairs = {name: tuple(value.items()) for name, value in settings.items() if isinstance(value, Mapping)}
    try:
        return TypeAdapter(kind).validate_python({**settings, **pairs})
    except ValidationError as error:
        found = error.errors()[0]
        cause = found.get("ctx", {}).get("error")
        if isinstance(cause, ItlError):
            raise cause from None
        name, asked = ".".join(map(str, found["loc"])), found["input"]
        raise ItlError(f"{name} of {what} is {asked!r}; {found['msg'].lower()}") from None


def canonical(spec: object) -> str:
    """The one text of *spec*: every field, sorted, no spaces.

    A field added later would rename every run, so it is marked ``metadata={"added": True}``, has a default
    that means "as before", and is left out while it has that default.
    """
    tree = {type(spec).__name__: _plain(spec)}
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)


def key(spec: object) -> str:
    """The name of the run: equal specs share it, any field that differs changes it."""
    return hashlib.sha256(canonical(spec).encode()).hexdigest()[:12]


def _plain(value: object) -> object:
    """*value* as JSON would hold it, without added fields that still have their default."""
    if not hasattr(value, "__dataclass_fields__"):
        return value
    return {
        each.name: _plain(getattr(value, each.name))
        for each in fields(value)
        if not (each.metadata.get("added") and getattr(value, each.name) == each.default)
    }
