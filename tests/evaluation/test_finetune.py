"""Fine-tuning learns a small world, leaves the net it was given alone, and survives being killed."""

import json
import math
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from itl import ItlError
from itl.evaluation import finetune as module
from itl.evaluation.finetune import LR_SCORES_FILE, finetune, with_new_head
from itl.evaluation.target import Target
from itl.machine import Machine
from itl.specs import Pretrain, Recipe, Subset, Transfer
from itl.training.batches import Batches
from itl.training.checkpoint import CHECKPOINT_FILE, load_tensors
from itl.training.loop import Diverged
from itl.training.nets import build
from tests.evaluation.test_frozen import world as colours
from tests.worlds import start_child

PIXELS = 16
MACHINE = Machine(threads=1, checkpoint_seconds=0.0)
RECIPE = Recipe(epochs=3, batch=16, lr=0.05, pixels=PIXELS, precision="fp32", augment="crop")


def spec(recipe: Recipe | None = RECIPE, seed: int = 0) -> Transfer:
    """The spec of one fine-tuning on the world below."""
    return Transfer(Pretrain(Subset("a pack")), "finetune", "colours", "a pack", recipe=recipe, seed=seed)


def world() -> Target:
    """A target of six colours, with 96 images to learn from and as many to be scored on."""
    return colours(6, 16, side=20)


def net() -> torch.nn.Module:
    """A net of ten classes, as a pre-training would leave one."""
    return build("small", 10, PIXELS, seed=0)


def test_finetune_learns_and_leaves_its_net_alone(tmp_path):
    given = net()
    before = {name: value.clone() for name, value in given.state_dict().items()}
    metrics = finetune(spec(), given, world(), tmp_path, MACHINE)
    assert list(metrics) == ["accuracy", "top5"]
    assert all(type(value) is float for value in metrics.values())
    assert metrics["accuracy"] > 60  # of 17 by chance
    assert given.head.out_features == 10
    assert all(torch.equal(before[name], value) for name, value in given.state_dict().items())
    assert metrics == finetune(spec(), given, world(), tmp_path / "again", MACHINE)


def test_the_start_matters_and_zero_epochs_leave_it_at_chance(tmp_path):
    untrained = finetune(spec(Recipe(epochs=0, batch=16, pixels=PIXELS)), net(), world(), tmp_path, MACHINE)
    assert untrained["accuracy"] < 60


def test_the_test_split_is_looked_at_once_and_after_training(tmp_path, monkeypatch):
    looks = []

    def watched(kind):
        real = getattr(module, kind)

        def call(net, batches, *rest, **options):
            looks.append((kind, batches.rows.tolist()))
            return real(net, batches, *rest, **options)

        return call

    def load(pack, selection, *rest):
        looks.append(("load", selection.rows.tolist()))
        return Batches(pack, selection, *rest)

    monkeypatch.setattr(module, "Batches", load)
    for kind in ("train", "predict"):
        monkeypatch.setattr(module, kind, watched(kind))
    target = world()
    finetune(spec(), net(), target, tmp_path, MACHINE)
    train, test = target.train.rows.tolist(), target.test.rows.tolist()
    assert looks == [("load", train), ("train", train), ("load", test), ("predict", test)]


def test_a_new_head_is_the_seeds_alone():
    given = net()
    state = torch.get_rng_state()
    one, same, other = (with_new_head(given, 4, seed) for seed in (3, 3, 4))
    assert torch.equal(state, torch.get_rng_state())
    assert one.head.weight.shape == (4, given.head.in_features)
    assert torch.equal(one.head.weight, same.head.weight)
    assert not torch.equal(one.head.weight, other.head.weight)
    assert one.head.weight.abs().max() <= given.head.in_features**-0.5
    assert not any(mine is theirs for mine, theirs in zip(one.parameters(), given.parameters(), strict=True))


def test_finetune_without_a_recipe_says_so(tmp_path):
    with pytest.raises(ItlError, match="finetune on colours needs a recipe"):
        finetune(spec(recipe=None), net(), world(), tmp_path, MACHINE)


def test_a_learning_rate_whose_last_step_blows_the_net_up_is_not_chosen(tmp_path):
    # The second leaves finite weights
    recipe = replace(RECIPE, epochs=None, steps=2, lr=None, lrs=(0.05, 1e4))
    metrics = finetune(spec(recipe), net(), world(), tmp_path, MACHINE)
    assert metrics["lr"] == 0.05
    chosen = json.loads((tmp_path / LR_SCORES_FILE).read_text())
    assert chosen["10000.0"] is None
    assert math.isfinite(chosen["0.05"])
    alone = replace(recipe, lr=1e4, lrs=())
    with pytest.raises(Diverged, match=r"are not finite after training with lr 10000; a lower lr or"):
        finetune(spec(alone), net(), world(), tmp_path / "alone", MACHINE)


LONG = replace(RECIPE, epochs=6)


def finetune_long(folder: Path) -> dict[str, float]:
    return finetune(spec(LONG), net(), world(), folder, MACHINE)


def test_a_killed_finetuning_carries_on_to_the_same_numbers(tmp_path):
    undisturbed = finetune_long(tmp_path / "whole")
    folder = tmp_path / "killed"
    child = start_child(finetune_long, folder)
    while child.is_alive() and not (folder / CHECKPOINT_FILE).exists():
        time.sleep(0.01)
    child.kill()  # SIGKILL: nothing in the child gets to tidy up
    child.join()
    assert child.exitcode == -9, "the child finished before it could be killed"
    assert 0 < len(load_tensors(folder / CHECKPOINT_FILE)[1]) < LONG.epochs
    assert finetune_long(folder) == undisturbed
    whole, killed = (load_tensors(tmp_path / name / CHECKPOINT_FILE)[0] for name in ("whole", "killed"))
    assert whole.keys() == killed.keys()
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    assert finetune_long(folder) == undisturbed
