"""Specs and their keys."""

import os
import re
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

from itl import ItlError, pick
from itl.runs.question import Margin
from itl.settings import plain_error, spec_of
from itl.specs import (
    IMAGENET_MEAN,
    NUMERICS,
    NUMERICS_OF,
    DetectionRecipe,
    Packing,
    Pretrain,
    Recipe,
    Subset,
    Transfer,
    Weights,
    canonical,
    file_digest,
    hashed_labels,
    key,
)

SPEC = Transfer(Pretrain(Subset("0123456789ab", images_per_class=50)), "probe", "scenes", "ba9876543210")


def test_any_field_that_differs_changes_the_key():
    others = [
        replace(SPEC, seed=1),
        replace(SPEC, method="knn"),
        replace(SPEC, pretrain=replace(SPEC.pretrain, net="alexnet")),
        replace(SPEC, pretrain=replace(SPEC.pretrain, subset=replace(SPEC.pretrain.subset, seed=3))),
        replace(SPEC, pretrain=replace(SPEC.pretrain, recipe=Recipe(lr=0.2))),
    ]
    assert len({key(spec) for spec in [SPEC, *others]}) == 6


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Recipe(lr=1), Recipe(lr=1.0)),
        (Recipe(), Recipe(epochs=10, lr=0.1)),
        (Recipe(steps=0), Recipe(epochs=0)),
        (Recipe(flip=1), Recipe(flip=True)),
        (DetectionRecipe(freeze_first=1), DetectionRecipe(freeze_first=True)),
        (Weights("resnet18", in_order=1), Weights("resnet18", in_order=True)),
        (Recipe(clip=5), Recipe(clip=5.0)),
        (Recipe(lrs=(0.3, 0.1, 0.3)), Recipe(lrs=[0.1, 0.3])),
        (Recipe(lrs=(0.3,)), Recipe(lr=0.3)),
        (Recipe(schedule="step", drops=(0.75, 0.5)), Recipe(schedule="step", drops=[0.5, 0.75])),
        (DetectionRecipe(overlap=0), DetectionRecipe(overlap=0.0)),
        (DetectionRecipe(), DetectionRecipe(steps=40_000, lr=0.001, drops=(0.75,))),
        (Recipe(lr=np.float32(0.5), steps=np.int64(3)), Recipe(lr=0.5, steps=3)),
        (Pretrain(Subset("p"), seed=np.int64(3)), Pretrain(Subset("p"), seed=3)),
        (Subset("p", images_per_class=np.int64(7)), Subset("p", images_per_class=7)),
        (Pretrain(Subset("p", at_most=True)), Pretrain(Subset("p"))),
        (Subset("p", images_per_class=7, at_most=1), Subset("p", images_per_class=7, at_most=True)),
        (Packing(options={"b": 1, "a": 2}), Packing(options={"a": 2.0, "b": 1})),
        (
            Pretrain(Subset("p", images_per_class=7), recipe=Recipe(steps=0, lr=3, weight_decay=0)),
            Pretrain(Subset("p"), recipe=Recipe(epochs=0, schedule="step")),
        ),
    ],
)
def test_one_computation_has_one_key(one, other):
    assert one == other
    assert canonical(one) == canonical(other)


def test_a_setting_that_is_not_used_by_default_does_not_enter():
    """A detector's drops are those of schedule step, and its 40,000 steps those of no other length."""
    cosine = spec_of(DetectionRecipe, {"schedule": "cosine", "epochs": 3}, "recipe")
    assert (cosine.drops, cosine.steps, cosine.epochs) == ((), None, 3)
    assert spec_of(Recipe, {"lrs": [0.1, 0.2]}, "recipe").lr is None


def test_numerics_enter_the_keys_of_runs_but_not_the_folders_of_packs(monkeypatch):
    before = canonical(SPEC), canonical(SPEC.pretrain), canonical(Packing())
    monkeypatch.setattr("itl.specs.NUMERICS", 1000)
    after = canonical(SPEC), canonical(SPEC.pretrain), canonical(Packing())
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True]


def test_the_numerics_of_a_method_enter_the_keys_of_its_runs_alone(monkeypatch):
    before = canonical(SPEC), canonical(SPEC.pretrain), canonical(replace(SPEC, method="knn"))
    monkeypatch.setattr("itl.specs.NUMERICS_OF", {"probe": 1})
    after = canonical(SPEC), canonical(SPEC.pretrain), canonical(replace(SPEC, method="knn"))
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True, True]


def test_how_duplicates_are_found_enters_the_keys_of_nets_that_leave_them_out(monkeypatch):
    subset = SPEC.pretrain.subset
    leaving = replace(SPEC, pretrain=replace(SPEC.pretrain, subset=replace(subset, without=("a" * 12,))))
    specs = [SPEC, SPEC.pretrain, leaving, leaving.pretrain]
    before = [canonical(spec) for spec in specs]
    monkeypatch.setitem(NUMERICS_OF, "duplicates", 1000)
    assert [canonical(spec) == text for spec, text in zip(specs, before, strict=True)] == [
        True,
        True,
        False,
        False,
    ]


def test_how_lists_of_classes_are_read_enters_the_keys_of_nets_with_labels_from_a_file(monkeypatch):
    labels = ("file@some.csv#01234567", "half-random-a@0+file@some.csv#01234567", "bottom-up@9")
    specs = [replace(SPEC.pretrain, subset=replace(SPEC.pretrain.subset, labels=one)) for one in labels]
    before = [canonical(spec) for spec in specs]
    monkeypatch.setitem(NUMERICS_OF, "file", 1000)
    after = [canonical(spec) for spec in specs]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True]


def test_keys_are_what_they_were():
    """Keys name folders that users keep: a change of spec must not rename them."""
    assert canonical(Subset("p", classes=5)) == (
        '{"Subset":{"classes":5,"images_per_class":null,"labels":"original","pack":"p","seed":0}}'
    )


RECIPE = (
    '{"augment":"resized-crop","batch":128,"drops":[],"epochs":10,"flip":true,"label_smoothing":0,"lr":0.1,'
    '"momentum":0.9,"pixels":56,"precision":"bf16","schedule":"cosine","steps":null,"warmup":0.05,'
    '"weight_decay":0.0005}'
)
DETECTION_RECIPE = (
    '{"augment":"centre","batch":2,"drops":[0.75],"epochs":null,"flip":true,"foreground":0.25,'
    '"label_smoothing":0,"longest":1000,"lr":0.001,"momentum":0.9,"overlap":0.1,"pixels":600,'
    '"precision":"bf16","proposals":2000,"regions":"windows","rois":64,"schedule":"step","steps":40000,'
    '"warmup":0,"weight_decay":0.0005}'
)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (Recipe(), f'{{"Recipe":{RECIPE}}}'),
        (DetectionRecipe(), f'{{"DetectionRecipe":{DETECTION_RECIPE}}}'),
        (Packing(), '{"Packing":{"fit":"squash","options":[],"path":null,"size":64,"source":"demo"}}'),
        (
            Weights("resnet18"),
            '{"Weights":{"digest":"","entry":"","in_order":false,"mean":[0.485,0.456,0.406],"net":"resnet18",'
            '"std":[0.229,0.224,0.225]}}',
        ),
        (
            SPEC,
            '{"Transfer":{"images_per_class":null,"method":"probe","pack":"ba9876543210","pretrain":{"net":'
            f'"small","recipe":{RECIPE},"seed":0,"subset":{{"classes":null,"images_per_class":50,"labels":'
            '"original","pack":"0123456789ab","seed":0}},"recipe":null,"seed":0,"target":"scenes"}'
            f',"numerics":{NUMERICS}}}',
        ),
    ],
)
def test_what_is_not_set_is_what_it_was(spec, text):
    assert canonical(spec) == text


def test_what_was_added_later_changes_nothing_unless_it_is_set():
    assert (Packing().unreadable, DetectionRecipe().bias_lr, Transfer.repeat) == (0.01, 1.0, 0)


def test_each_fit_of_a_net_has_a_seed_of_its_own():
    fits = [replace(SPEC, seed=seed, repeat=repeat).fit_seed for seed, repeat in ((2, 0), (2, 1), (2, 3))]
    assert fits == [2, 1_000_005, 3_000_011]


def test_a_net_that_is_not_trained_has_one_spec():
    untrained = Pretrain(Subset("p", classes=5, images_per_class=7), recipe=Recipe(epochs=0))
    assert (untrained.trained, untrained.subset.images_per_class, untrained.subset.classes) == (False, 1, 5)
    given = Pretrain(Subset("p", classes=5), seed=3, weights=Weights("resnet18"))
    assert (given.trained, given.seed, given.subset) == (False, 0, Subset("p", images_per_class=1))
    assert Pretrain(Subset("p"), recipe=Recipe(steps=1)).trained


def test_labels_of_a_file_hold_its_digest(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_bytes(b"")
    assert file_digest(str(path)) == "e3b0c442", "8 digits of SHA-256 of nothing"
    assert hashed_labels(f"file@{path}+without@dog") == f"file@{path}#e3b0c442+without@dog"
    assert hashed_labels(f"file@{path}#01234567") == f"file@{path}#01234567"
    alike, others = {file_digest(str(path), is_list=True)}, set()
    for content in (b"wnid,label\na,1\nb,2\n", b"wnid,label\r\nb,2\r\n\r\na,1", b"wnid,label\rb,2\ra,1\r"):
        path.write_bytes(content)
        alike.add(file_digest(str(path), is_list=True))
        others.add(file_digest(str(path)))
    assert len(alike) == 2, "of nothing, and of this list"
    assert len(others) == 3
    for content in (b'{"x": [\n"a"\n],\n"y": [\n"b"\n]}', b'{"x": [\n"b"\n],\n"y": [\n"a"\n]}'):
        path.write_bytes(content)
        alike.add(file_digest(str(path), is_list=True))
    assert len(alike) == 4, "in JSON lines have an order"
    for content in (b'\xef\xbb\xbf{"x": [\n"a"\n]}', b'\xef\xbb\xbf]}\n"a"\n{"x": ['):
        path.write_bytes(content)
        alike.add(file_digest(str(path), is_list=True))
    assert len(alike) == 6, "also behind a byte order mark"
    for content in (b"a\nb\n", b"\xef\xbb\xbfb\r\na"):
        path.write_bytes(content)
        alike.add(file_digest(str(path), is_list=True))
    assert len(alike) == 7, "which is no part of a line"
    with pytest.raises(ItlError, match=f"cannot read {re.escape(os.getcwd())}/nothing.csv: No such file"):
        hashed_labels("file@nothing.csv")


def test_a_list_of_classes_lies_in_the_projects_folder_and_its_place_is_no_part_of_a_key(
    tmp_path, monkeypatch
):
    for folder in ("params", "notebooks", "lists"):
        (tmp_path / folder).mkdir()
    (tmp_path / "lists" / "some.csv").write_text("n02084071\n")
    monkeypatch.chdir(tmp_path / "lists")
    named, other = (
        Subset("p", "file@lists/some.csv"),
        Subset("p", f"file@{tmp_path}/lists/some.csv+without@dog"),
    )
    assert key(named) == key(Subset("p", f"file@{tmp_path}/lists/../lists/some.csv"))
    assert '"labels":"file@#' in canonical(named)
    assert "some" not in canonical(other)
    (tmp_path / "lists" / "some.csv").write_text("n02084072\n")
    assert key(Subset("p", "file@lists/some.csv")) != key(named), "its content is"


def test_an_added_field_is_left_out_while_it_has_its_default():
    @dataclass(frozen=True)
    class Old:
        seed: int = 0

    @dataclass(frozen=True)
    class New:
        seed: int = 0
        extra: str = field(default="as before", metadata={"added": True})

    assert canonical(New()).replace("New", "Old") == canonical(Old())
    assert "extra" in canonical(New(extra="else"))


def test_learning_rate_over_the_training():
    cosine = Recipe(lr=1, warmup=0.1)
    assert [round(cosine.lr_at(progress), 6) for progress in (0, 0.05, 0.1, 0.55, 1)] == [0, 0.5, 1, 0.5, 0]
    steps = Recipe(lr=1, warmup=0, schedule="step", drops=(0.5, 0.75))
    assert [round(steps.lr_at(progress), 6) for progress in (0, 0.5, 0.8)] == [1, 0.1, 0.01]
    middles = replace(cosine, epochs=2), replace(cosine, epochs=None, steps=10)
    assert [[recipe.lr_of_step(step, 5) for step in (0, 5)] for recipe in middles] == [
        [cosine.lr_at(0.05), cosine.lr_at(0.55)]
    ] * 2


def test_length_in_epochs_or_steps():
    assert Recipe(epochs=3).total_steps(7) == 21
    assert Recipe(steps=50).total_steps(7) == 50
    assert Recipe().total_steps(7) == 70
    assert DetectionRecipe().total_steps(7) == 40_000
    assert spec_of(DetectionRecipe, {"epochs": 5}, "recipe").total_steps(7) == 35


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
    with pytest.raises(ItlError, match="^seed should be at least 0, not -1$"):
        Subset("p", seed=-1)
    with pytest.raises(ItlError, match="^seed should be at least 0, not -1$"):
        Pretrain(Subset("p"), seed=-1)
    for spec in (Subset, lambda pack, seed: Pretrain(Subset(pack), seed=seed)):
        assert spec("p", seed=2**32 - 1)
        with pytest.raises(ItlError, match="^seed should be below 4,294,967,296, not 4294967296$"):
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
