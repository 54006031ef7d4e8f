"""Specs and their keys."""

from dataclasses import dataclass, field, replace

import pytest

from itl import ItlError, pick
from itl.specs import Packing, Pretrain, Recipe, Subset, Transfer, canonical, key, spec_of

SPEC = Transfer(Pretrain(Subset("0123456789ab", images_per_class=50)), "probe", "scenes", "ba9876543210")


def test_equal_specs_share_a_key_and_a_number_may_be_written_either_way():
    assert key(Recipe(lr=1)) == key(Recipe(lr=1.0))
    assert key(Packing(options={"b": 1, "a": 2})) == key(Packing(options={"a": 2, "b": 1}))


def test_any_field_that_differs_changes_the_key():
    others = [
        replace(SPEC, seed=1),
        replace(SPEC, method="knn"),
        replace(SPEC, pretrain=replace(SPEC.pretrain, net="alexnet")),
        replace(SPEC, pretrain=replace(SPEC.pretrain, subset=replace(SPEC.pretrain.subset, seed=3))),
        replace(SPEC, pretrain=replace(SPEC.pretrain, recipe=Recipe(lr=0.2))),
    ]
    assert len({key(spec) for spec in [SPEC, *others]}) == 6


def test_keys_are_what_they_were():
    """Keys name folders that users keep: a change of spec must not rename them."""
    assert key(Subset("0123456789ab")) == "a4d49e91f3a2"
    assert canonical(Subset("p", classes=5)) == (
        '{"Subset":{"classes":5,"images_per_class":null,"labels":"original","pack":"p","seed":0}}'
    )


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


def test_length_in_epochs_or_steps():
    assert Recipe(epochs=3).total_steps(7) == 21
    assert Recipe(epochs=3, steps=50).total_steps(7) == 50


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"leraning_rate": 1}, "no setting of recipe called 'leraning_rate'"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"precision": "fp8"}, "there are bf16, fp32|did you mean"),
        ({"batch": 0}, "at least 1"),
        ({"steps": "many"}, "steps of recipe is 'many'; input should be a valid integer"),
        ({"drops": 3}, "drops of recipe is 3; input should be a valid tuple"),
    ],
)
def test_recipes_that_cannot_be(settings, says):
    with pytest.raises(ItlError, match=says):
        spec_of(Recipe, settings, "recipe")


def test_pick_names_the_near_miss():
    with pytest.raises(ItlError, match="no colour called 'bleu'; did you mean 'blue'. There are blue, red"):
        pick({"red": 1, "blue": 2}, "bleu", "colour")
