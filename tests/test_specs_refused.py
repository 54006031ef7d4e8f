"""What specs refuse: settings that cannot be, numbers beyond their limits, values of another type."""

import re
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

from itl import ItlError
from itl.errors import pick
from itl.runs.design import Margin
from itl.settings import plain_error, spec_of
from itl.specs import (
    IMAGENET_MEAN,
    DetectionRecipe,
    Packing,
    Pretrain,
    Recipe,
    Subset,
    Transfer,
    Weights,
    key,
)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"leraning_rate": 1}, "no setting of recipe called 'leraning_rate'"),
        ({"lr": 0, 5: None}, "recipe has the number 5 for a setting; write decimals with a dot, as 0.05"),
        ({True: 3}, "recipe has True for a setting, as YAML reads on, off, yes and no; quote it"),
        ({"steps": 10**400}, "recipe: steps should be a finite number at least 0, not 10{39}$"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"precision": "fp8"}, "no precision of recipe called 'fp8'; there are bf16, fp32"),
        ({"batch": 0}, "recipe: batch should be from 1 to 65,536, not 0"),
        ({"batch": 10**12}, "recipe: batch should be from 1 to 65,536"),
        ({"steps": "many"}, "steps of recipe should be a whole number, not 'many'"),
        ({"drops": 3}, "drops of recipe should be a list, not 3"),
        (
            {"epochs": 3, "steps": 50},
            "recipe: a recipe has either epochs or steps; got 3 epochs and 50 steps",
        ),
        ({"lr": 0.1, "lrs": [0.2, 0.3]}, "either lr or lrs, .*; got lr 0.1 and lrs .*0.2, 0.3.*; leave one"),
        ({"drops": [0.5]}, "schedule cosine has no drops; got .0.5.; leave them out, or give schedule: step"),
        ({"schedule": "step", "drops": [0.5, 50]}, "recipe: drops should be between 0 and 1, not 50"),
        ({"steps": -10}, "recipe: steps should be at least 0, not -10$"),
        ({"lr": -0.05}, "recipe: lr should be at least 0, not -0.05$"),
        ({"lr": float("nan")}, "recipe: lr should be a finite number at least 0, not nan$"),
        ({"lrs": [0.1, float("inf")]}, "recipe: lrs should be a finite number at least 0, not inf$"),
        ({"lr": np.float32("inf")}, "recipe: lr should be a finite number at least 0, not inf$"),
        ({"lrs": [0.1, "fast", 0.2]}, "^item 2 of lrs of recipe should be a number, not 'fast'$"),
        ({"lr": "5%"}, "^lr of recipe should be a number, not '5%'$"),
        ({"flip": "perhaps"}, "^flip of recipe should be true or false, not 'perhaps'$"),
    ],
)
def test_recipes_that_cannot_be(settings, says):
    with pytest.raises(ItlError, match=says):
        spec_of(Recipe, settings, "recipe")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"augment": "crop"}, "no augment of recipe called 'crop'; there are centre"),
        ({"regions": "window"}, "no regions of recipe called 'window'; did you mean 'windows'"),
        ({"overlap": 0.5}, "overlap should be at least 0 and below 0.5, not 0.5"),
        ({"overlap": -0.1}, "overlap should be at least 0 and below 0.5, not -0.1"),
        ({"foreground": 0.0}, "foreground should be between 0 and 1, not 0.0"),
        ({"foreground": 1.0}, "foreground should be between 0 and 1, not 1.0"),
        ({"rois": 0}, "rois should be at least 1, not 0"),
        ({"bias_lr": 0}, "bias_lr should be above 0, not 0"),
        ({"steps": -10}, "recipe: steps should be at least 0, not -10$"),
    ],
)
def test_detection_recipes_that_cannot_be(settings, says):
    with pytest.raises(ItlError, match=says):
        spec_of(DetectionRecipe, settings, "recipe")


def test_choices_are_checked_without_yaml_too():
    with pytest.raises(ItlError, match="no schedule called 'cosin'; did you mean 'cosine'"):
        Recipe(schedule="cosin")
    with pytest.raises(ItlError, match="no fit called 'sqash'; did you mean 'squash'"):
        Packing(fit="sqash")


@pytest.mark.parametrize(
    ("kind", "settings", "says"),
    [
        (Transfer, {}, "^x lacks 4 of its settings; add pretrain, method, target, pack$"),
        (Transfer, {"method": 3, "pack": "p"}, "^x lacks 2 of its settings; add pretrain, target$"),
        (Weights, {"net": 3}, "^net of x should be text, not 3$"),
        (Weights, {"net": "n", "mean": [0.5, "x"]}, "^item 2 of mean of x should be a number, not 'x'$"),
        (Weights, 3, "^x should be a mapping of settings, not 3$"),
        (Packing, {"size": 0}, "^x: size should be from 1 to 8,192, not 0$"),
        (Packing, {"unreadable": -0.01}, "^x: unreadable is a fraction of the images, 0 to 1, not -0.01$"),
        (Packing, {"unreadable": True}, "^unreadable of x should be a number, not True$"),
        (Packing, {"size": 10**12}, "^x: size should be from 1 to 8,192, not 1000000000000$"),
        (Packing, {"options": {"seed": [1]}}, "^x: the option seed should be text, a number, true or false"),
        (Packing, {"options": {"size": float("nan")}}, "^x: the option size should be text, a number, true"),
        (Packing, {"size": True}, "^size of x should be a whole number, not True$"),
        (Subset, {"pack": "p", "classes": False}, "^classes of x should be a whole number, not False$"),
        (Recipe, {"lr": True}, "^lr of x should be a number, not True$"),
        (Recipe, {"lrs": [0.1, True]}, "^item 2 of lrs of x should be a number, not True$"),
        (Weights, {"net": "n", "mean": [True, 1, 1]}, "^item 1 of mean of x should be a number, not True$"),
        (Packing, {"source": True}, "^source of x should be text, not True$"),
        (Packing, {"options": {5: "x"}}, "^a name in options of x should be text, not 5$"),
        (Margin, {"points": {"map": "x"}}, "^item map of points of x should be a number, not 'x'$"),
        (Margin, {"points": (("map",),)}, r"^points of x lacks its item 2; it is \('map',\)$"),
        (Margin, {"points": {"map": True}}, "^item map of points of x should be a number, not True$"),
        (Packing, {"unreadable": 1.01}, "^x: unreadable is a fraction of the images, 0 to 1, not 1.01$"),
    ],
)
def test_specs_that_cannot_be(kind, settings, says):
    with pytest.raises(ItlError, match=says):
        spec_of(kind, settings, "x")


def test_specs_at_their_ends():
    for settings in ({"size": 1}, {"unreadable": 0.0}, {"unreadable": 1.0}):
        assert spec_of(Packing, settings, "x") == Packing(**settings)
    assert spec_of(Packing, Packing(size=9), "x") == Packing(size=9)


@pytest.mark.parametrize(
    "kind", [Packing, Subset, Recipe, DetectionRecipe, Weights, Pretrain, Transfer, Margin]
)
def test_no_number_of_a_spec_may_be_yes_or_no(kind):
    for name, hint in get_type_hints(kind).items():
        if hint in (int, float, int | None, float | None):
            with pytest.raises(ItlError, match=f"^{name} of x should be a (whole )?number, not True$"):
                spec_of(kind, {name: True}, "x")
    assert spec_of(Recipe, {"flip": False}, "x") == Recipe(flip=False)
    with pytest.raises(ItlError, match="^flip of a recipe should be true or false, not 'no'$"):
        Recipe(flip="no")
    assert spec_of(Packing, {"options": {"flag": True}}, "x").options == (("flag", True),)


def test_limits_of_pydantic_are_told_as_ours():
    from pydantic import BaseModel, Field, ValidationError

    class Model(BaseModel):
        count: int = Field(1, ge=1)
        share: float = Field(0.5, gt=0)

    for settings, says in (
        ({"count": 0}, "count of x should be at least 1, not 0"),
        ({"share": 0.0}, "share of x should be above 0.0, not 0.0"),
        ({"share": 0.0, "count": "many"}, "count of x should be a whole number, not 'many'"),
    ):
        with pytest.raises(ValidationError) as error:
            Model(**settings)
        assert str(plain_error(error.value, Model, "x")) == says


def test_pretraining_does_not_choose_its_learning_rate():
    with pytest.raises(ItlError, match="pre-training has one learning rate; got lrs .0.1, 0.2.; give lr"):
        Pretrain(Subset("p"), recipe=Recipe(lrs=(0.1, 0.2)))


def test_pick_names_the_near_miss():
    with pytest.raises(ItlError, match="no colour called 'bleu'; did you mean 'blue'. There are blue, red"):
        pick({"red": 1, "blue": 2}, "bleu", "colour")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"lr": -1}, "lr should be at least 0, not -1"),
        ({"steps": 2.5}, "steps should be a whole number, not 2.5"),
        ({"lr": True}, "lr should be a number, not True"),
        ({"lrs": (0.1, -0.1)}, "lrs should be at least 0, not -0.1"),
        ({"weight_decay": -1e-4}, "weight_decay should be at least 0, not -0.0001"),
        ({"warmup": 1.0}, "warmup should be at least 0 and below 1, not 1.0"),
        ({"momentum": -0.1}, "momentum should be at least 0 and below 1, not -0.1"),
        ({"label_smoothing": 1.5}, "label_smoothing should be at least 0 and below 1, not 1.5"),
        ({"clip": 0}, "clip should be above 0, not 0"),
        ({"epochs": -1}, "epochs should be at least 0, not -1"),
        ({"pixels": 0}, "pixels should be from 1 to 8,192, not 0"),
    ],
)
def test_numbers_that_no_training_can_have_are_refused(setting, message):
    with pytest.raises(ItlError, match=f"^{message}$"):
        Recipe(**setting)


@pytest.mark.parametrize("kind", [Recipe, DetectionRecipe])
def test_every_number_of_a_recipe_has_a_limit(kind):
    numbers = {
        entry.name for entry in fields(kind) if {"int", "float"} & set(re.findall(r"\w+", str(entry.type)))
    }
    assert set(kind.limits) == numbers


def test_the_ends_of_what_numbers_may_be():
    least = {
        "warmup": 0,
        "momentum": 0,
        "label_smoothing": 0,
        "weight_decay": 0,
        "lr": 0,
        "batch": 1,
        "pixels": 1,
    }
    assert Recipe(**least, steps=0).warmup == 0
    assert DetectionRecipe(overlap=0, longest=1, proposals=1, rois=1).rois == 1


def test_what_counts_and_seeds_of_a_subset_cannot_be():
    for name in ("classes", "images_per_class", "leaves"):
        assert getattr(Subset("p", **{name: 1}), name) == 1
        with pytest.raises(ItlError, match=f"^{name} should be at least 1, not 0$"):
            Subset("p", **{name: 0})
    assert (Subset("p", seed=0).seed, Pretrain(Subset("p"), seed=0).seed) == (0, 0)
    with pytest.raises(ItlError, match="^seed should be from 0 to 4,294,967,295, not -1$"):
        Subset("p", seed=-1)
    with pytest.raises(ItlError, match="^seed should be from 0 to 4,294,967,295, not -1$"):
        Pretrain(Subset("p"), seed=-1)
    for spec in (Subset, lambda pack, seed: Pretrain(Subset(pack), seed=seed)):
        assert spec("p", seed=2**32 - 1)
        with pytest.raises(ItlError, match="^seed should be from 0 to 4,294,967,295, not 4294967296$"):
            spec("p", seed=2**32)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"mean": (123.7, 116.3, 103.5)}, "^mean should be from 0 to 1, as pixels are here .* not 123.7$"),
        (
            {"std": (58.4, 57.1, 57.4)},
            "^std should be above 0 and at most 1, of pixels from 0 to 1, not 58.4$",
        ),
        ({"std": (0.0, 0.2, 0.2)}, "^std should be above 0 and at most 1, of pixels from 0 to 1, not 0.0$"),
    ],
)
def test_weights_expect_pixels_from_0_to_1(settings, says):
    assert Weights("resnet18", mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.1)).std[0] == 1
    with pytest.raises(ItlError, match=says):
        Weights("resnet18", **settings)


def test_what_a_detector_does_not_use_is_refused_or_has_one_spelling():
    with pytest.raises(ItlError, match="detection has no label_smoothing; got 0.1; leave it out"):
        DetectionRecipe(label_smoothing=0.1)
    assert DetectionRecipe(regions="rpn", overlap=0.0) == DetectionRecipe(regions="rpn")
    assert DetectionRecipe(overlap=0.0) != DetectionRecipe()


@pytest.mark.parametrize(
    ("kind", "settings", "says"),
    [
        (Recipe, {"lrs": "0.1"}, "lrs of a recipe should be a list, not '0.1'"),
        (Recipe, {"lrs": ["0.1"]}, "lrs should be a number, not '0.1'"),
        (Recipe, {"schedule": "step", "drops": 0.5}, "drops of a recipe should be a list, not 0.5"),
        (Recipe, {"warmup": None}, "warmup of a recipe should be a number, not None"),
        (Recipe, {"batch": None}, "batch of a recipe should be a whole number, not None"),
        (Recipe, {"lr": (0.1, 0.2)}, r"lr should be a number, not \(0.1, 0.2\)"),
        (Subset, {"pack": "", "seed": None}, "seed should be a whole number, not None"),
        (Recipe, {"pixels": [32]}, r"pixels should be a whole number, not \[32\]"),
        (
            DetectionRecipe,
            {"freeze_first": "no"},
            "freeze_first of a recipe should be true or false, not 'no'",
        ),
        (Packing, {"source": 3}, "source should be text, not 3"),
        (Packing, {"path": b"x"}, "path should be text, not b'x'"),
        (Recipe, {"lrs": {0.1: 1}}, r"lrs of a recipe should be a list, not \{0.1: 1\}"),
        (Packing, {"unreadable": "1%"}, "unreadable is a fraction of the images, 0 to 1, not '1%'"),
        (Subset, {"pack": 3}, "pack should be text, not 3"),
        (Subset, {"pack": "", "labels": ["original"]}, r"labels should be text, not \['original'\]"),
        (Subset, {"pack": "", "without": "abc"}, "without should be a list, not 'abc'"),
        (Weights, {"net": "resnet18", "mean": 0.5}, "mean should be a list, not 0.5"),
        (partial(Transfer, Pretrain(Subset("")), "knn", "x", "x"), {"seed": "a"}, "seed .* not 'a'"),
        (Pretrain, {"subset": "demo"}, "subset should be a Subset, not 'demo'"),
        (Pretrain, {"subset": Subset(""), "recipe": {}}, r"recipe should be a Recipe, not \{\}"),
    ],
)
def test_values_of_another_type_are_refused_in_python_too(kind, settings, says):
    with pytest.raises(ItlError, match=f"^{says}$"):
        kind(**settings)


def test_arrays_and_single_numbers_of_numpy_are_taken():
    assert Recipe(lrs=np.array([0.1])) == Recipe(lr=0.1)
    assert Recipe(lrs=(rate for rate in (0.1, 0.2))).lrs == (0.1, 0.2)
    assert key(Weights("small", mean=np.array(IMAGENET_MEAN))) == key(Weights("small"))
    assert Packing("folder", Path("x")) == Packing("folder", "x")
    assert Recipe(batch=np.int64(32), flip=np.True_) == Recipe(batch=32)
    net = Pretrain(Subset("p", seed=np.uint8(3)), seed=np.int64(3), recipe=Recipe(steps=np.int32(2)))
    measured = Transfer(net, "knn", "t", "q", seed=np.int64(3))
    numbers = [net.seed, net.subset.seed, net.recipe.steps, measured.fit_seed]
    assert [(number, type(number)) for number in numbers] == [(3, int), (3, int), (2, int), (3, int)]


@pytest.mark.parametrize("value", ["no", None, 2])
def test_at_most_is_true_or_false(value):
    with pytest.raises(ItlError, match=f"^at_most should be true or false, not {value!r}$"):
        Subset("pack", images_per_class=2, at_most=value)
    assert Subset("pack", images_per_class=2, at_most=np.True_).at_most is True
