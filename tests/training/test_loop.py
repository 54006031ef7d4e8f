"""Training: it learns, resumes to the same bits, takes the steps of a slow loop, and says what went wrong."""

import copy
import gc
import os
import resource
import signal
import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from itl import ItlError
from itl.machine import Machine
from itl.specs import Recipe
from itl.training.batches import Batches
from itl.training.checkpoint import CHECKPOINT_FILE, load_checkpoint, load_tensors
from itl.training.loop import Diverged, load_weights, predict, save_weights, sgd, train
from itl.training.nets import NETS, Classifier, build
from itl.training.numerics import autocast, has_bf16, repeatable
from tests.worlds import no_more_files

MACHINE = Machine(threads=1, checkpoint_seconds=0)
RECIPE = Recipe(epochs=4, batch=16, pixels=16, lr=0.05)


def world(images: int = 64, classes: int = 4) -> tuple[SimpleNamespace, SimpleNamespace]:
    """Images of noise around a colour that tells the class."""
    rng = np.random.default_rng(0)
    labels = np.arange(images) % classes
    colours = rng.integers(40, 216, (classes, 1, 1, 3))
    pixels = np.clip(colours[labels] + rng.integers(-40, 40, (images, 20, 20, 3)), 0, 255).astype(np.uint8)
    selection = SimpleNamespace(rows=np.arange(images), labels=labels, classes=("a", "b", "c", "d"))
    return SimpleNamespace(images=pixels), selection


def batches(recipe: Recipe = RECIPE, machine: Machine = MACHINE, images: int = 64) -> Batches:
    """Batches of that world."""
    return Batches(*world(images), recipe, 0, machine)


def plain(dropout: float = 0.0) -> Classifier:
    """A net without BatchNorm, so that ranks see what one process sees."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Dropout(dropout), nn.AdaptiveAvgPool2d(2), nn.Flatten()
        )
        return Classifier(body, nn.Linear(32, 4))


def tied() -> Classifier:
    """A net with one layer under two names, as some of timm's have."""
    net = plain()
    net.body.again = net.body[0]
    net.body.forward = lambda images: net.body[4](net.body[3](net.body[0](images)))
    return net


def narrow(net: Classifier) -> Classifier:
    """*net* with fully connected layers of 16 outputs, so that a checkpoint takes little to write."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        inputs = None
        for name, layer in [*net.body.named_children()]:
            if isinstance(layer, nn.Linear):
                setattr(net.body, name, nn.Linear(inputs or layer.in_features, 16))
                inputs = 16
        if inputs:
            net.head = nn.Linear(inputs, net.head.out_features)
    return net


def losses(history: list[dict]) -> list[tuple]:
    """What must be equal in two histories: all but the time it took."""
    return [(row["epoch"], row["step"], row["loss"]) for row in history]


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    """Whether two nets are equal bit for bit."""
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Stop(Exception):
    """A stand-in for a kill at a known moment."""


def test_training_learns_the_classes(tmp_path):
    net, loader = build("small", 4, 16, seed=0), batches()
    history = train(net, loader, RECIPE, tmp_path, MACHINE, seed=0)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert [row["step"] for row in history] == [4, 8, 12, 16]
    assert history[-1]["loss"] < history[0]["loss"] / 2
    outputs, targets = predict(net, loader, MACHINE)
    assert (outputs.argmax(1) == targets).float().mean() > 0.9
    assert outputs.dtype == torch.float32
    assert all(row["seconds"] > 0 and row["images_per_second"] > 0 for row in history)


@pytest.mark.parametrize("make", [lambda: build("small", 4, 16, seed=0), lambda: plain(dropout=0.5), tied])
def test_two_epochs_a_stop_and_two_more_equal_four(tmp_path, make):
    straight, stopped, resumed = make(), make(), make()
    whole = train(straight, batches(), RECIPE, tmp_path / "whole", MACHINE, seed=3)

    def stop(row: dict) -> None:
        if row["epoch"] == 2:
            raise Stop

    with pytest.raises(Stop):
        train(stopped, batches(), RECIPE, tmp_path / "parts", MACHINE, seed=3, log=stop)
    torch.manual_seed(99)
    logged = []
    parts = train(resumed, batches(), RECIPE, tmp_path / "parts", MACHINE, seed=3, log=logged.append)
    assert losses(parts) == losses(whole)
    assert [row["epoch"] for row in logged] == [3, 4]
    assert same_weights(straight, resumed)
    again = make()
    assert losses(train(again, batches(), RECIPE, tmp_path / "parts", MACHINE, seed=3)) == losses(whole)
    assert same_weights(straight, again)  # a finished run is only read


@pytest.mark.parametrize(("name", "pixels"), [(name, max(32, least)) for name, (_, least) in NETS.items()])
def test_every_net_goes_on_to_the_same_bits(tmp_path, name, pixels):
    recipe = Recipe(epochs=2, batch=4, pixels=pixels, lr=0.01)
    straight = narrow(build(name, 4, pixels, seed=0))
    stopped, resumed = copy.deepcopy(straight), copy.deepcopy(straight)
    whole = train(straight, batches(recipe, images=8), recipe, tmp_path / "whole", MACHINE, seed=3)

    def stop(row: dict) -> None:
        raise Stop

    with pytest.raises(Stop):
        train(stopped, batches(recipe, images=8), recipe, tmp_path / "parts", MACHINE, seed=3, log=stop)
    parts = train(resumed, batches(recipe, images=8), recipe, tmp_path / "parts", MACHINE, seed=3)
    assert losses(parts) == losses(whole)
    assert same_weights(straight, resumed)
    assert not same_weights(stopped, resumed)


def test_dropout_follows_the_seed_and_leaves_the_random_state_alone(tmp_path):
    before = torch.get_rng_state()
    first, second, other = (
        train(plain(0.5), batches(), RECIPE, tmp_path / str(at), MACHINE, seed=seed)
        for at, seed in enumerate((1, 1, 2))
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert losses(first) == losses(second) != losses(other)


def test_steps_may_end_in_the_middle_of_an_epoch(tmp_path):
    recipe = Recipe(steps=6, batch=16, pixels=16)
    history = train(plain(), batches(recipe), recipe, tmp_path, MACHINE, seed=0)
    assert [row["step"] for row in history] == [4, 6]


def test_no_epochs_leave_the_net_as_it_was(tmp_path):
    net, recipe = plain(), Recipe(epochs=0, batch=16, pixels=16)
    assert train(net, batches(recipe), recipe, tmp_path, MACHINE, seed=0) == []
    assert same_weights(net, plain())
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_wait_but_the_last_is_always_written(tmp_path):
    seen, patient = [], MACHINE.replace(checkpoint_seconds=1000)

    def look(row: dict) -> None:
        seen.append((tmp_path / CHECKPOINT_FILE).exists())

    train(plain(), batches(), RECIPE, tmp_path, patient, seed=0, log=look)
    assert seen == [False, False, False, True]


def test_a_loss_that_is_no_number_stops_with_its_step_and_keeps_the_checkpoint(tmp_path):
    net, kept = plain(), []

    def poison(row: dict) -> None:
        kept.append((tmp_path / CHECKPOINT_FILE).read_bytes())
        if row["epoch"] == 2:
            net.head.weight.data.fill_(float("nan"))

    with pytest.raises(ItlError, match="loss became nan at step 9, in epoch 3") as error:
        train(net, batches(), RECIPE, tmp_path, MACHINE, seed=0, log=poison)
    assert "\n" not in str(error.value)
    assert (tmp_path / CHECKPOINT_FILE).read_bytes() == kept[-1]
    resumed = train(plain(), batches(), RECIPE, tmp_path, MACHINE, seed=0)
    assert losses(resumed) == losses(train(plain(), batches(), RECIPE, tmp_path / "whole", MACHINE, seed=0))


def test_statistics_that_overflow_while_the_loss_is_finite_stop_the_training(tmp_path):
    net = build("small", 4, 16, seed=0)
    name = next(name for name in net.state_dict() if name.endswith("running_var"))

    def overflow(row: dict) -> None:
        if row["epoch"] == 2:
            net.state_dict()[name][0] = float("inf")

    count = sum(tensor.is_floating_point() for tensor in net.state_dict().values())
    says = (
        rf"^1 of {count} tensors of the net \({name}\) are not finite after epoch 3 of .*; an lr below 0.05"
    )
    with pytest.raises(Diverged, match=says):
        train(net, batches(), RECIPE, tmp_path, MACHINE, seed=0, log=overflow)
    assert load_tensors(tmp_path / CHECKPOINT_FILE)[1][-1]["epoch"] == 2, "the last that was finite"


def damage(path: Path, how: str) -> None:
    """Spoil a checkpoint."""
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    zeros = whole[:-500] + bytes(500)
    noise = os.urandom(500)
    path.write_bytes(
        {"cut": whole[: len(whole) // 2], "empty": b"", "noise": noise, "bit": flipped, "zeros": zeros}[how]
    )


@pytest.mark.parametrize("how", ["cut", "empty", "noise", "bit", "zeros"])
def test_a_damaged_checkpoint_is_named_and_training_starts_again(tmp_path, how):
    train(plain(), batches(), RECIPE, tmp_path, MACHINE, seed=0)
    damage(tmp_path / CHECKPOINT_FILE, how)
    with pytest.warns(UserWarning, match=f"{CHECKPOINT_FILE} is damaged .*; training starts again"):
        again = train(plain(), batches(), RECIPE, tmp_path, MACHINE, seed=0)
    assert losses(again) == losses(train(plain(), batches(), RECIPE, tmp_path / "whole", MACHINE, seed=0))


def test_weights_that_cannot_be_opened_for_now_are_neither_missing_nor_damaged(tmp_path):
    """Nobody may train again over the checkpoint of hours, as where it is another user's."""
    net = plain()
    train(net, batches(), RECIPE, tmp_path, MACHINE, seed=0)
    path = tmp_path / CHECKPOINT_FILE
    message = f"^cannot read {path}: Too many open files; correct that, then repeat$"
    for read in (lambda: load_checkpoint(tmp_path, net, sgd(net, RECIPE)), lambda: load_weights(net, path)):
        with no_more_files(), pytest.raises(ItlError, match=message):
            read()
    assert len(load_checkpoint(tmp_path, net, sgd(net, RECIPE))) == RECIPE.epochs


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    train(plain(), batches(), RECIPE, tmp_path, MACHINE, seed=0)
    with pytest.raises(ItlError, match="another net"):
        train(build("small", 4, 16, seed=0), batches(), RECIPE, tmp_path, MACHINE, seed=0)
    shorter = Recipe(epochs=2, batch=16, pixels=16)
    with pytest.raises(ItlError, match="step 16 of another training"):
        train(plain(), batches(shorter), shorter, tmp_path, MACHINE, seed=0)


def test_weights_come_back_bit_for_bit(tmp_path):
    net, other = build("small", 4, 16, seed=0), build("small", 4, 16, seed=1)
    save_weights(net.to(memory_format=torch.channels_last), tmp_path / "net.safetensors")
    load_weights(other, tmp_path / "net.safetensors")
    assert same_weights(net, other)
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]
    with pytest.raises(ItlError, match="another net"):
        load_weights(plain(), tmp_path / "net.safetensors")
    with pytest.raises(ItlError, match="no weights at"):
        load_weights(plain(), tmp_path / "none")
    for name in ("net.safetensors", "result.json"):
        (tmp_path / name).write_text("damaged")
    says = r"is damaged \(.*\); remove it and result.json beside it, then repeat$"
    with pytest.raises(ItlError, match=says):
        load_weights(other, tmp_path / "net.safetensors")


def test_saving_twice_gives_the_same_bytes(tmp_path):
    for name in "ab":
        save_weights(build("small", 4, 16, seed=0), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_full_disk_is_one_line_and_the_file_before_stays(tmp_path):
    path, net = tmp_path / "weights.safetensors", nn.Linear(1000, 100)
    save_weights(net, path)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(ItlError, match="cannot write .*weights.safetensors.*free space"):
            save_weights(nn.Linear(1000, 100), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_only_weights_of_two_dimensions_decay():
    groups = sgd(build("small", 4, 16, seed=0), RECIPE).param_groups
    assert [group["weight_decay"] for group in groups] == [5e-4, 0.0]
    assert all(weight.ndim >= 2 for weight in groups[0]["params"])
    assert all(weight.ndim < 2 for weight in groups[1]["params"])


def test_steps_are_those_of_the_slow_loop(tmp_path):
    recipe = Recipe(epochs=2, batch=16, pixels=16, lr=0.1, precision="fp32", label_smoothing=0.1)
    net, slow = plain(), plain()
    history = train(net, batches(recipe), recipe, tmp_path, MACHINE, seed=0)
    momentum, step, seen = {}, 0, []
    for epoch in range(2):
        for images, targets in batches(recipe).epoch(epoch):
            loss = nn.functional.cross_entropy(slow(images), targets, label_smoothing=0.1)
            gradients = torch.autograd.grad(loss, list(slow.parameters()))
            for weight, gradient in zip(slow.parameters(), gradients, strict=True):
                gradient = gradient + (5e-4 if weight.ndim >= 2 else 0) * weight.detach()
                momentum[weight] = 0.9 * momentum.get(weight, 0) + gradient
                weight.data -= recipe.lr_at((step + 0.5) / 8) * momentum[weight]
            seen.append(loss.item())
            step += 1
    assert [row["loss"] for row in history] == pytest.approx([np.mean(seen[:4]), np.mean(seen[4:])], rel=1e-5)
    for weight, other in zip(net.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-4, atol=1e-5)


def test_predicting_changes_nothing(tmp_path):
    net = build("small", 4, 16, seed=0)
    train(net, batches(), RECIPE, tmp_path, MACHINE, seed=0)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    outputs, targets = predict(net, batches(images=37), MACHINE)
    assert outputs.shape == (37, 4)
    assert targets.tolist() == [n % 4 for n in range(37)]
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert not outputs.requires_grad
    (nn.Linear(4, 2)(outputs).sum()).backward()  # features must be fit to learn a probe from
    features, _ = predict(net.body, batches(images=37), MACHINE)
    torch.testing.assert_close(net.head(features), outputs)


def test_outputs_take_their_memory_once():
    """Features of ImageNet can take 21 GB: not twice, a list of them and their concatenation."""
    made: list[int] = []

    class Memory(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            result = operation(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.shape[:1] == (37,) and not operation.is_view:
                made.append(result.numel())
            return result

    loader, net = batches(images=37), build("small", 4, 16, seed=0)
    with Memory():
        outputs, targets = predict(net, loader, MACHINE)
    assert sorted(made) == [targets.numel(), outputs.numel()]
    assert torch.equal(outputs, torch.cat([net(images) for images, _ in loader.in_order()]))


def test_bf16_is_near_fp32(tmp_path):
    if not has_bf16(torch.device("cpu")):
        pytest.skip("this processor does not compute in bfloat16")
    with autocast(torch.device("cpu"), "bf16"):
        assert plain()(torch.zeros(1, 3, 16, 16)).dtype == torch.bfloat16
    history = {}
    for precision in ("bf16", "fp32"):
        recipe = Recipe(epochs=4, batch=16, pixels=16, lr=0.05, precision=precision)
        net = build("small", 4, 16, seed=0)
        rows = train(net, batches(recipe), recipe, tmp_path / precision, MACHINE)
        history[precision] = [row["loss"] for row in rows]
        full, _ = predict(net, batches(), MACHINE, "fp32")
        half, _ = predict(net, batches(), MACHINE, "bf16")
        assert (full - half).abs().max() < 0.05 * full.abs().max()
    assert history["bf16"] != history["fp32"]
    assert history["bf16"] == pytest.approx(history["fp32"], abs=0.15)


def test_kernels_that_repeat_leave_torch_the_threads_that_it_had():
    before = torch.get_num_threads()
    with repeatable(Machine(threads=1)):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_a_compiled_net_learns_the_same_and_is_freed_with_its_last_use(tmp_path, monkeypatch):
    """Compiled in place it would hold itself until the garbage collector runs: on a GPU, net after net."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # in a second
    machine, recipe = MACHINE.replace(compile=True), replace(RECIPE, epochs=1)
    compiled, plain = build("small", 4, 16, seed=0), build("small", 4, 16, seed=0)
    rows = [
        train(net, batches(recipe, where), recipe, tmp_path / where.device / str(where.compile), where)
        for net, where in ((compiled, machine), (plain, MACHINE))
    ]
    assert [row["loss"] for row in rows[0]] == [row["loss"] for row in rows[1]]
    assert all(torch.equal(*pair) for pair in zip(compiled.parameters(), plain.parameters(), strict=True))
    torch.compiler.reset()
    last_use = weakref.ref(compiled)
    gc.disable()
    try:
        del compiled
        assert last_use() is None
    finally:
        gc.enable()
