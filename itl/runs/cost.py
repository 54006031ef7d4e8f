"""What a run costs, estimated from what was measured: images it works through, minutes, disk and memory."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from itl.errors import ItlError
from itl.evaluation.methods import KNN_NEIGHBOURS, METHODS
from itl.evaluation.target import HELD_OUT_FRACTION, multilabel_target
from itl.hierarchy.taxonomies import tree_of_digest
from itl.machine import Machine
from itl.packs.counts import ImageCounts
from itl.packs.pack import scored_split
from itl.packs.paths import find_by_digest
from itl.packs.subset import class_contents, count_subset, refuse_emptied
from itl.runs.throughput import FrozenRate, Rate, Rates, frozen_rate_key, rate_key
from itl.specs import DetectionRecipe, Pretrain, Recipe, Spec, Subset, Transfer, pretraining_of
from itl.words import counted, examples

ANNOTATED_CLASSES = 20  # of a target whose images show several objects each
MANIFEST_BYTES_PER_IMAGE = 60
DETECTION_BYTES_PER_IMAGE = 8000  # of the boxes that a detector reports
TABLE_BYTES_PER_IMAGE = 300  # of memory, for an image's row in the open pack
FEATURE_BYTES = 16  # of each feature in a probe: float32 twice, and float64

Train = tuple[tuple[str, int], ...]  # training images of each class
Contents = frozenset[tuple[frozenset[str], int]]


@dataclass(frozen=True)
class Cost:
    """What one run takes, besides what it shares with others."""

    minutes: float
    disk: int  # bytes that stay
    checkpoint: int  # bytes on disk while it is under way, also while another replaces it
    memory: int  # bytes of the machine's memory
    device: int  # bytes of the GPU's; 0 on a CPU


@dataclass(frozen=True)
class Images:
    """How many images a run works through."""

    n_train: int  # in one epoch
    n_val: int  # held out of these where settings are chosen
    n_test: int
    classes: int


def work_of(spec: Spec) -> tuple[str, Recipe]:
    """Return the net and the recipe whose rate counts: for frozen features, those of the pre-training."""
    pretrain = pretraining_of(spec)
    return pretrain.net, spec.recipe or pretrain.recipe


def cost_settings(spec: Spec) -> tuple:
    """Return all that the cost of *spec* depends on, beside its data and the machine."""
    if isinstance(spec, Transfer):
        return work_of(spec), spec.method, spec.labels, spec.tree, spec.images_per_class
    subset = spec.subset
    sizes = (subset.classes, subset.images_per_class, subset.leaves, subset.at_most)
    return work_of(spec), subset.labels, subset.tree, subset.without, _seed_of_classes(subset), *sizes


def cost(spec: Spec, size: ImageCounts, rates: Rates, machine: Machine) -> Cost:
    """Estimate what *spec*, which learns from a pack of this *size*, costs at the *rates* of *machine*."""
    net, recipe = work_of(spec)
    rate: Rate = rates[rate_key(net, recipe, machine)]
    frozen: FrozenRate = rates[frozen_rate_key(machine)]
    images = images_of(spec, size, machine)
    memory, device = rate.memory + TABLE_BYTES_PER_IMAGE * size.images, rate.device
    if isinstance(spec, Pretrain):
        weights = rate.weights + 4 * images.classes * (rate.features + 1)
        seconds = _training_seconds(recipe, images.n_train, images.n_test, rate)
        disk = weights + MANIFEST_BYTES_PER_IMAGE * images.n_train
        return Cost(seconds / 60, disk, 3 * weights, memory, device)  # the fourth stays
    if spec.recipe is None:
        features = FEATURE_BYTES * rate.features * (images.n_train + images.n_test)
        on_gpu = features if device else 0
        seconds = _frozen_seconds(spec.method, images, rate, frozen)
        return Cost(seconds / 60, 0, 0, memory + features, device + on_gpu)
    seconds = _training_seconds(recipe, images.n_train, images.n_test, rate)
    if recipe.lrs:
        one_lr = _training_seconds(recipe, images.n_train - images.n_val, images.n_val, rate)
        seconds += len(recipe.lrs) * one_lr
    disk = DETECTION_BYTES_PER_IMAGE * images.n_test if isinstance(recipe, DetectionRecipe) else 0
    return Cost(seconds / 60, disk, 4 * rate.weights, memory, device)


def _training_seconds(recipe: Recipe, n_train: int, n_test: int, rate: Rate) -> float:
    """Return the seconds of one training on *n_train* images, and of its scoring."""
    return images_trained_on(recipe, n_train) * rate.train_s_per_image + n_test * rate.infer_s_per_image


def images_trained_on(recipe: Recipe, n_train: int) -> int:
    """Count the images of all steps of one training on *n_train* different ones."""
    return recipe.total_steps(max(1, n_train // recipe.batch)) * min(recipe.batch, n_train)


def _frozen_seconds(method: str, images: Images, rate: Rate, frozen: FrozenRate) -> float:
    """Return the seconds of extracting features and of what *method* does with them."""
    seconds = {
        "fit": frozen.start + frozen.fit * images.n_train * rate.features * images.classes,
        "compare": frozen.compare * images.n_train * images.n_test * rate.features,
    }
    extraction = (images.n_train + images.n_test) * rate.infer_s_per_image
    return extraction + sum(seconds[piece] for piece in METHODS[method].cost)


def check_images(spec: Spec, size: ImageCounts, machine: Machine) -> None:
    """Raise ItlError where *spec* cannot have its images of a pack of this *size*, or learn from so few."""
    if isinstance(spec, Pretrain) and spec.subset.without:
        all_images = replace(_plain(spec.subset), images_per_class=None)
        refuse_emptied(_kept(tuple(size.train.items()), all_images, machine.taxonomies))
    images = images_of(spec, size, machine)
    if isinstance(spec, Pretrain) and images.classes == 1 and (spec.trained or images.n_train == 1):
        what = counted(images.n_train, "images")
        raise ItlError(f"a net learns nothing from {what} of one class; keep two classes or more")
    if isinstance(spec, Transfer) and METHODS[spec.method].annotated:
        _check_annotated(spec, machine)


@cache
def _check_annotated(spec: Transfer, machine: Machine) -> None:
    """Raise ItlError where *spec* cannot learn from annotated images, or be scored on them; COCO takes 2 s.

    Before they are packed, it is not known which classes an image shows.
    """
    if pack := find_by_digest(spec.pack, machine):
        target = multilabel_target(spec, pack)
        if chooses_lr(spec):
            target.validation_target(spec.seed)


def chooses_lr(spec: Spec) -> bool:
    """Say whether a learning rate is chosen, maybe on images that the seed of *spec* draws."""
    return bool(spec.recipe and spec.recipe.lrs)


def images_of(spec: Spec, size: ImageCounts, machine: Machine) -> Images:
    """Count the images that *spec* works through.

    Those of a target are as in `itl.evaluation.target`: where there is a test split, what its labels keep of
    val is trained on too, unless only some images of each class are wanted. ItlError where its subset cannot
    be had.
    """
    splits, train = {"train": 0, "val": 0, "test": 0} | dict(size.splits), tuple(size.train.items())
    if isinstance(spec, Pretrain):
        kept = _kept(train, subset := _plain(spec.subset), machine.taxonomies)
        all_images = _kept(train, replace(subset, images_per_class=None), machine.taxonomies)
        of_these_classes = sum(all_images.values())
        n_test = splits["val"] * of_these_classes // max(1, splits["train"])
        return Images(sum(kept.values()), 0, n_test, len(kept))
    n_val = splits["val"] if splits["test"] and not spec.images_per_class else 0
    n_test = splits[scored_split(size.splits)]
    if set(size.train) == {""}:  # annotated: which classes an image shows is not known yet
        most = (spec.images_per_class or splits["train"]) * ANNOTATED_CLASSES
        n_train, classes = min(splits["train"], most), ANNOTATED_CLASSES
    else:
        subset = Subset("", spec.labels, None, spec.images_per_class, tree=spec.tree)
        kept = _kept(train, subset, machine.taxonomies)
        n_train, classes = sum(kept.values()), len(kept)
        wnids = frozenset().union(*(wnids for wnids, _ in _contents(train, subset, machine.taxonomies)))
        if n_val and size.val:  # else what is in val is not known by class
            n_val = sum(count for wnid, count in size.val.items() if wnid in wnids)
        if size.scored and wnids.isdisjoint(size.scored):
            raise ItlError(
                f"{spec.labels} keeps none of the {n_test:,} images that {spec.target} is scored on, of "
                f"{examples(size.scored)}; choose other labels"
            )
        _refuse_too_few(spec, kept, n_train + n_val, chosen_on_val=n_val > 0)
    return Images(n_train + n_val, n_val or round(HELD_OUT_FRACTION * n_train), n_test, classes)


def _refuse_too_few(spec: Transfer, kept: Mapping[str, int], n_train: int, chosen_on_val: bool) -> None:
    """Raise ItlError where the method of *spec* cannot learn from these images, *kept* of each class."""
    method, name = METHODS[spec.method], spec.target
    if len(kept) < 2:
        raise ItlError(f"{name} has one class, {next(iter(kept), '')}, and one alone tells nothing apart")
    if "compare" in method.cost and n_train < max(KNN_NEIGHBOURS):
        raise ItlError(
            f"{spec.method} asks {max(KNN_NEIGHBOURS)} neighbours, and there are "
            f"{counted(n_train, 'training images')} of {name} in all; give it more"
        )
    chooses = "fit" in method.cost or method.predicts or chooses_lr(spec)
    if chooses and not chosen_on_val and max(kept.values()) < 2:
        raise ItlError(
            f"{spec.method} holds a part of the training images out, and there is one of each class of "
            f"{name}; give it two or more, or a split val beside test"
        )


def _plain(subset: Subset) -> Subset:
    """Return *subset* without what does not change how many images it keeps."""
    return replace(subset, pack="", seed=_seed_of_classes(subset))


def _seed_of_classes(subset: Subset) -> int:
    """Return the seed that draws the classes of *subset*, which differ in size; 0 where it keeps all."""
    return 0 if subset.classes is None and subset.leaves is None else subset.seed


@cache
def _kept(train: Train, subset: Subset, taxonomies: Path) -> Mapping[str, int]:
    """Count the training images of each class that *subset* keeps; a plan does so hundreds of times."""
    return count_subset(tree_of_digest(subset.tree, taxonomies), dict(train), subset).images


def contents_of(spec: Pretrain, size: ImageCounts, machine: Machine) -> Contents:
    """Return what *spec* is trained on: see `itl.packs.subset.class_contents`; of a pack of this *size*."""
    return _contents(tuple(size.train.items()), _plain(spec.subset), machine.taxonomies)


@cache
def _contents(train: Train, subset: Subset, taxonomies: Path) -> Contents:
    return class_contents(tree_of_digest(subset.tree, taxonomies), dict(train), subset)
