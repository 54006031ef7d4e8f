"""Specs and their keys."""

import os
import re
import shlex
import shutil
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from itl import ItlError
from itl.settings import options_as_settings, spec_of
from itl.specs import (
    NUMERICS,
    NUMERICS_OF_NETS,
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
    with_absolute_files,
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
    monkeypatch.setitem(NUMERICS_OF_NETS, "duplicates", 1000)
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
    monkeypatch.setitem(NUMERICS_OF_NETS, "file", 1000)
    after = [canonical(spec) for spec in specs]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True]


def test_how_controls_are_chosen_enters_the_keys_of_those_on_another_tree(monkeypatch):
    control, net = "half-random-a@0+without-matched@0", SPEC.pretrain
    specs = [
        replace(net, subset=replace(net.subset, labels=labels, tree=tree))
        for labels, tree in ((control, "0" * 12), (control, ""), ("without-random@0", "0" * 12))
    ]
    specs += [replace(SPEC, labels=control, tree=tree) for tree in ("0" * 12, "")]
    before = [canonical(spec) for spec in specs]
    monkeypatch.setitem(NUMERICS_OF_NETS, "control", 1000)
    changed = [canonical(spec) != text for spec, text in zip(specs, before, strict=True)]
    assert changed == [True, False, False, True, False]


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
    unseen = Recipe(epochs=0, augment="crop", flip=False, clip=1.0)  # it sees the centres of images alone
    assert Pretrain(Subset("p", classes=5), recipe=unseen) == untrained
    given = [
        Pretrain(Subset(pack, classes=5), recipe=recipe, seed=seed, weights=Weights("resnet18"))
        for pack, recipe, seed in (
            ("p", Recipe(pixels=96), 3),
            ("q", Recipe(pixels=96, flip=False, augment="crop", lr=0.3), 0),
            ("q", Recipe(), 0),
        )
    ]
    assert (given[0].trained, given[0].seed, given[0].recipe.pixels) == (False, 0, 96)
    assert given[0] == given[1] != given[2], "it sees the same pixels, whatever other nets are trained on"
    assert Weights("torchvision:resnet18", "d") == Weights("resnet18", "d")
    assert Pretrain(Subset("p"), "torchvision:resnet18") == Pretrain(Subset("p"), "resnet18")
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
    copy = shutil.copy(tmp_path / "lists" / "some.csv", tmp_path / "copy.csv")
    assert Subset("p", f"file@{copy}") == named, "one key is one spec"
    net = Transfer(Pretrain(named), "knn", "t", "q", labels="file@copy.csv+without@dog")
    away = with_absolute_files(net)
    assert away.pretrain.subset.labels == f"file@{tmp_path}/lists/some.csv#{named.labels.partition('#')[2]}"
    assert away.labels == f"{away.pretrain.subset.labels}+without@dog"
    assert key(away) == key(net)
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
    ("value", "written"),
    [
        ("train=a/train,val=b", "'train=a/train,val=b'"),
        ("a b", "a b"),
        ("Ann's fold/train", "Ann's fold/train"),
        ('the "best" of Ann\'s', 'the "best" of Ann\'s'),
        ("a;b`c)", "a;b`c)"),
        ("2", "2"),
        ("010", "'010'"),  # 8 for YAML 1.1, but text on the command line
    ],
)
def test_options_of_commands_as_presets_write_them(value, written):
    word = shlex.quote(f"splits={value}")
    text = f"choose (`--option {word}`), or --option nested=true --option {word}; give one"
    expected = f"choose (`options: {{splits: {written}}}`), or options: {{nested: true, splits: {written}}}; "
    assert options_as_settings(text) == f"{expected}give one"


def test_an_apostrophe_behind_an_option_begins_no_word():
    assert options_as_settings("--option size=64's pack") == "options: {size: 64}'s pack"
