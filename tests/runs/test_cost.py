"""What a run costs is estimated from the images that it works through; exact sums."""

from dataclasses import replace

import pytest
import torch

from itl import ItlError
from itl.evaluation import induction
from itl.evaluation.logistic_regression import Features
from itl.evaluation.methods import METHODS
from itl.hierarchy.taxonomy import Taxonomy
from itl.machine import Machine
from itl.packs.counts import ImageCounts
from itl.runs import cost
from itl.specs import DetectionRecipe, Pretrain, Recipe, Subset, Transfer
from tests.worlds import stated_rates

BIRDS, TOOLS = ("n01530575", "n01531178"), ("n02749479", "n02769748")
SIZE = ImageCounts({"train": 40, "val": 8, "test": 4}, dict.fromkeys((*BIRDS, *TOOLS), 10), packed=True)


def reckoned(spec, size=SIZE) -> cost.Cost:
    machine = Machine()
    return cost.cost(spec, size, stated_rates([cost.work_of(spec)], machine), machine)


@pytest.mark.parametrize(
    ("subset", "images"),
    [
        ({}, (40, 8, 4)),
        ({"images_per_class": 3}, (12, 8, 4)),
        ({"classes": 3}, (30, 6, 3)),
        ({"classes": 2, "images_per_class": 5}, (10, 4, 2)),
        ({"labels": "bottom-up@4"}, (40, 8, 2)),
        ({"labels": "bottom-up@4", "images_per_class": 20}, (40, 8, 2)),
        ({"labels": f"only@{BIRDS[0]}"}, (10, 2, 1)),
    ],
)
def test_images_of_a_subset_are_counted_by_its_classes(subset, images):
    counts = cost.images_of(Pretrain(Subset("p", **subset)), SIZE, Machine())
    assert (counts.n_train, counts.n_test, counts.classes) == images


def test_a_subset_that_cannot_be_had_is_refused_before_anything_runs():
    with pytest.raises(ItlError, match="11 images per class were asked for"):
        cost.images_of(Pretrain(Subset("p", images_per_class=11)), SIZE, Machine())


@pytest.mark.parametrize(
    ("labels", "n_train", "n_val"),
    [
        ("original", 40 + 8, 8),
        (f"only@{','.join(TOOLS)}", 20 + 2, 2),
        (f"only@{BIRDS[0]},{TOOLS[0]}", 20 + 8, 8),
        (f"only@{BIRDS[1]},{TOOLS[1]}", 20, 4),  # none of val: a fifth is held out
    ],
)
def test_images_of_val_are_counted_by_the_classes_that_labels_keep(labels, n_train, n_val):
    size = replace(SIZE, val={BIRDS[0]: 6, TOOLS[0]: 2})
    images = cost.images_of(Transfer(NET, "probe", "t", "q", labels=labels), size, Machine())
    assert (images.n_train, images.n_val) == (n_train, n_val)


def test_classes_of_one_image_that_val_has_none_of_are_nothing_to_choose_by():
    size = replace(SIZE, train=dict.fromkeys((*BIRDS, *TOOLS), 1), val={BIRDS[0]: 6, TOOLS[0]: 2})
    spec = Transfer(NET, "probe", "t", "q", labels=f"only@{BIRDS[0]},{TOOLS[1]}")
    assert cost.images_of(spec, size, Machine()).n_val == 6
    with pytest.raises(ItlError, match="probe holds a part of the training images out, and there is one of"):
        cost.images_of(replace(spec, labels=f"only@{BIRDS[1]},{TOOLS[1]}"), size, Machine())


def test_the_images_of_some_leaves_are_those_of_the_seed_that_draws_them():
    size = replace(SIZE, train=SIZE.train | {BIRDS[0]: 4})
    subsets = [Subset("p", "bottom-up@4", images_per_class=5, leaves=1, seed=seed) for seed in range(9)]
    refused = set()
    for subset in subsets:
        few = cost.images_of(Pretrain(replace(subset, images_per_class=None)), size, Machine()).n_train < 20
        refused.add(few)
        if few:
            with pytest.raises(ItlError, match="5 images per class were asked for"):
                cost.images_of(Pretrain(subset), size, Machine())
        else:
            assert cost.images_of(Pretrain(subset), size, Machine()).n_train == 10
    assert refused == {True, False}
    assert len({cost.cost_settings(Pretrain(subset)) for subset in subsets}) == 9


NET = Pretrain(Subset("p"), recipe=Recipe(steps=6, batch=20))
TUNING = Recipe(epochs=3, batch=16)
COSTS = [
    (NET, 6 * 20 * 0.5 + 8 * 0.125),
    (replace(NET, recipe=Recipe(epochs=2, batch=15)), 2 * (40 // 15) * 15 * 0.5 + 8 * 0.125),
    (replace(NET, recipe=Recipe(epochs=0)), 8 * 0.125),
    (Transfer(NET, "finetune", "t", "q", None, TUNING), 3 * (48 // 16) * 16 * 0.5 + 4 * 0.125),
    (Transfer(NET, "finetune", "t", "q", 4, TUNING), 3 * 1 * 16 * 0.5 + 4 * 0.125),
    (
        Transfer(NET, "finetune", "t", "q", None, replace(TUNING, lr=None, lrs=(0.1, 0.2))),
        3 * 3 * 16 * 0.5 + 4 * 0.125 + 2 * (3 * 2 * 16 * 0.5 + 8 * 0.125),
    ),
    (Transfer(NET, "knn", "t", "q"), 52 * 0.125 + 0.5 * 48 * 4 * 10),
    (Transfer(NET, "probe", "t", "q", 2), 12 * 0.125 + 3 + 0.25 * 8 * 4 * 10),
    (Transfer(NET, "induction", "t", "q"), 52 * 0.125 + 3 + 0.25 * 48 * 4 * 10 + 2 * 0.5 * 48 * 4 * 10),
]


@pytest.mark.parametrize(("spec", "seconds"), COSTS)
def test_time_is_images_learned_looked_at_and_fitted(spec, seconds):
    assert reckoned(spec).minutes * 60 == pytest.approx(seconds)


def test_disk_and_memory_of_runs():
    """Two checkpoints of two nets each while one is written, or two beside the weights that stay."""
    weights = 400 + 4 * 4 * (10 + 1)
    memory = 1000 + 52 * cost.TABLE_BYTES_PER_IMAGE
    assert reckoned(NET) == cost.Cost(
        61 / 60, weights + 40 * cost.MANIFEST_BYTES_PER_IMAGE, 3 * weights, memory, 0
    )
    knn = reckoned(Transfer(NET, "knn", "t", "q"))
    assert (knn.disk, knn.memory) == (0, memory + cost.FEATURE_BYTES * 52 * 10)
    boxes = ImageCounts({"train": 40, "test": 4}, {"": 40}, packed=True)
    work = reckoned(Transfer(NET, "detection", "t", "q", None, DetectionRecipe(steps=5, batch=2)), boxes)
    assert (work.minutes * 60, work.disk, work.checkpoint) == (
        pytest.approx(5 * 2 * 0.5 + 4 * 0.125),
        4 * cost.DETECTION_BYTES_PER_IMAGE,
        4 * 400,
    )
    assert cost.images_of(Transfer(NET, "actions", "t", "q", 1, TUNING), boxes, Machine()).n_train == 20


@pytest.mark.parametrize("signal", [0.0, 3.0])
def test_induction_compares_no_more_pairs_than_it_is_planned_for(signal, monkeypatch):
    """Whether features tell the classes apart or nothing at all."""
    pairs, search, random = [], induction.nearest, torch.Generator().manual_seed(0)

    def counted(base: torch.Tensor, queries: torch.Tensor, *how: int) -> tuple[torch.Tensor, torch.Tensor]:
        pairs.append(len(base) * len(queries))
        return search(base, queries, *how)

    monkeypatch.setattr(induction, "nearest", counted)
    tree = Taxonomy.snapshot()
    classes = tree.leaves[::10]
    means = signal * torch.randn(len(classes), 8, generator=random)
    train, test = (
        Features(means[labels] + torch.randn(len(labels), 8, generator=random), labels)
        for labels in (torch.arange(len(classes)).repeat(count) for count in (10, 2))
    )
    induction.compare(train, test, induction.branches(tree, classes))
    most = METHODS["induction"].cost.count("compare") * len(train.labels) * len(test.labels)
    assert most / 2 <= sum(pairs) <= 1.05 * most


def test_seeds_that_draw_other_classes_are_counted_apart():
    """Of a class with 9 images or of one with 3, by the seed."""
    size = ImageCounts(
        {"train": 24, "val": 8}, dict(zip((*BIRDS, *TOOLS), (9, 3, 9, 3), strict=True)), packed=True
    )
    for some in ({"classes": 1}, {"labels": "bottom-up@4", "leaves": 1}):
        specs = [Pretrain(Subset("p", **some, seed=seed), seed=seed) for seed in range(8)]
        assert len({cost.images_of(spec, size, Machine()).n_train for spec in specs}) > 1
        assert len({cost.cost_settings(spec) for spec in specs}) == len(specs)
    alike = {cost.cost_settings(Pretrain(Subset("p", seed=seed), seed=seed)) for seed in range(8)}
    assert len(alike) == 1
