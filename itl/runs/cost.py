"""What a run costs, reckoned from what was measured: images it works through, minutes, disk and memory."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from itl.evaluation.methods import METHODS
from itl.hierarchy.taxonomy import Taxonomy
from itl.machine import Machine
from itl.packs.paths import Size
from itl.packs.subset import count_subset
from itl.runs.throughput import Frozen, Rate, Rates, frozen_name, name_of
from itl.specs import DetectionRecipe, Pretrain, Recipe, Subset, Transfer

OBJECTS = 20  # classes of a target whose images show several each
LISTED = 60  # bytes of an image in a manifest
FOUND = 8000  # bytes of what a detector finds in an image
TABLE = 300  # bytes of memory for an image's row in the open pack
FEATURE = 16  # bytes of a feature in a probe: float32 twice, and float64


@dataclass(frozen=True)
class Cost:
    """What one run takes, besides what it shares with others."""

    minutes: float
    disk: int  # bytes that stay
    checkpoint: int  # bytes on disk while it is under way
    memory: int  # bytes of the machine's memory
    device: int  # bytes of the GPU's; 0 on a CPU


@dataclass(frozen=True)
class Images:
    """How many images a run works through."""

    learned: int  # in one epoch
    chosen: int  # held out of these, where settings are chosen
    scored: int
    classes: int


def work_of(spec: Pretrain | Transfer) -> tuple[str, Recipe]:
    """Name the net and the recipe whose rate counts: frozen features are seen as in the pre-training."""
    pretrain = spec if isinstance(spec, Pretrain) else spec.pretrain
    return pretrain.net, spec.recipe or pretrain.recipe


def cost(spec: Pretrain | Transfer, size: Size, rates: Rates, machine: Machine) -> Cost:
    """Reckon what *spec* costs; *size* is that of the pack it learns from."""
    net, recipe = work_of(spec)
    rate, frozen = rates[name_of(net, recipe, machine)], rates[frozen_name(machine)]
    images = images_of(spec, size)
    memory, device = rate.memory + TABLE * size.images, rate.device
    if isinstance(spec, Pretrain):
        weights = rate.weights + 4 * images.classes * (rate.features + 1)
        seconds = _trained(recipe, images.learned, images.scored, rate)
        return Cost(seconds / 60, weights + LISTED * images.learned, 2 * weights, memory, device)
    if spec.recipe is None:
        features = FEATURE * rate.features * (images.learned + images.scored)
        on_gpu = features if device else 0
        seconds = _measured(spec.method, images, rate, frozen)
        return Cost(seconds / 60, 0, 0, memory + features, device + on_gpu)
    seconds = _trained(recipe, images.learned, images.scored, rate)
    seconds += len(recipe.lrs) * _trained(recipe, images.learned - images.chosen, images.chosen, rate)
    disk = FOUND * images.scored if isinstance(recipe, DetectionRecipe) else 0
    return Cost(seconds / 60, disk, 2 * rate.weights, memory, device)


def _trained(recipe: Recipe, images: int, scored: int, rate: Rate) -> float:
    """Seconds of one training on *images* images, and of its scoring."""
    steps = recipe.total_steps(max(1, images // recipe.batch))
    return steps * min(recipe.batch, images) * rate.learn + scored * rate.look


def _measured(method: str, images: Images, rate: Rate, frozen: Frozen) -> float:
    """Seconds of extracting features and of what *method* does with them."""
    times = {
        "fit": frozen.start + frozen.fit * images.learned * rate.features * images.classes,
        "compare": frozen.compare * images.learned * images.scored * rate.features,
    }
    return (images.learned + images.scored) * rate.look + sum(times[piece] for piece in METHODS[method].cost)


def images_of(spec: Pretrain | Transfer, size: Size) -> Images:
    """Count the images that *spec* works through; ItlError where its subset cannot be had.

    Of a target they are those of `itl.evaluation.target`: val is learned from too where there is a test
    split, unless only some images of each class are wanted.
    """
    splits, train = {"train": 0, "val": 0, "test": 0} | dict(size.splits), tuple(size.train.items())
    if isinstance(spec, Pretrain):
        kept = _kept(train, _plain(spec.subset))
        under = sum(_kept(train, replace(_plain(spec.subset), images_per_class=None)).values())
        scored = splits["val"] * under // max(1, splits["train"])
        return Images(sum(kept.values()), 0, scored, len(kept))
    beside = splits["val"] if splits["test"] and not spec.images_per_class else 0
    scored = splits["test"] or splits["val"]
    if set(size.train) == {""}:  # annotated: which classes an image shows is not known yet
        few = (spec.images_per_class or splits["train"]) * OBJECTS
        learned, classes = min(splits["train"], few), OBJECTS
    else:
        kept = _kept(train, Subset("", spec.labels, None, spec.images_per_class))
        learned, classes = sum(kept.values()), len(kept)
    return Images(learned + beside, beside or learned // 5, scored, classes)


def _plain(subset: Subset) -> Subset:
    """*subset* without what does not change how many images it keeps."""
    return replace(subset, pack="", seed=0 if subset.classes is None else subset.seed)


@cache
def _kept(train: tuple[tuple[str, int], ...], subset: Subset) -> Mapping[str, int]:
    """Training images of each class that *subset* keeps; a plan asks the same hundreds of times."""
    return count_subset(Taxonomy.snapshot(), dict(train), subset).images
