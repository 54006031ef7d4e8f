"""Training in processes of its own: killed at any moment it resumes to the same bits; ranks add up to one."""

import json
import os
import random
import signal
import socket
import time
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import numpy as np
import pytest
import torch

from itl.machine import Machine
from itl.processes import process_context
from itl.specs import Recipe
from itl.training.checkpoint import CHECKPOINT_FILE, load_tensors
from itl.training.loop import load_weights, save_weights, train
from itl.training.nets import build
from tests.training.test_loop import MACHINE, batches, losses, plain, same_weights
from tests.worlds import start_child


def in_child(folder: Path, how: dict, environment: dict, epochs: Synchronized) -> None:
    """Train in this other process, count its epochs, and write down what came of it."""
    os.environ.update(environment)
    machine = Machine.from_environment(device="cpu", threads=1, checkpoint_seconds=0)
    recipe = Recipe(**how)
    net = plain() if environment else build("small", 4, 16, seed=0)

    def count(row: dict) -> None:
        epochs.value += 1

    history = train(net, batches(recipe, machine), recipe, folder, machine, seed=0, log=count)
    if machine.rank == 0:
        save_weights(net, folder / "net.safetensors")
        (folder / "history.json").write_text(json.dumps(history))


def start(folder: Path, how: dict, **environment: str) -> tuple[BaseProcess, Synchronized]:
    """Start training in another process; return it and the count of its epochs."""
    epochs = process_context().Value("i")
    return start_child(in_child, folder, how, environment, epochs), epochs


def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path):
    how = {"epochs": 40, "batch": 16, "pixels": 16, "lr": 0.05}
    straight, recipe = build("small", 4, 16, seed=0), Recipe(**how)
    whole = train(straight, batches(recipe), recipe, tmp_path / "whole", MACHINE, seed=0)
    usual, dice, steps = np.median([row["seconds"] for row in whole]), random.Random(0), []
    for _ in range(5):
        child, epochs = start(tmp_path / "killed", how)
        while epochs.value < 1 and child.is_alive():
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 4) * usual)  # in a step, or while a checkpoint is written
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL, "it ended before it was killed"
        _, history = load_tensors(tmp_path / "killed" / CHECKPOINT_FILE)  # whole, whenever it died
        steps.append(history[-1]["step"])
    resumed = build("small", 4, 16, seed=0)
    history = train(resumed, batches(recipe), recipe, tmp_path / "killed", MACHINE, seed=0)
    assert steps == sorted(set(steps))
    assert losses(history) == losses(whole)
    assert same_weights(straight, resumed)


def test_two_ranks_train_as_one_process(tmp_path):
    how = {"epochs": 3, "batch": 15, "pixels": 16, "lr": 0.05, "precision": "fp32"}
    recipe = Recipe(**how)
    whole = train(plain(), batches(recipe), recipe, tmp_path / "one", MACHINE, seed=0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ITL_DEVICE": "cpu"}
    ranks = [start(tmp_path / "two", how, RANK=str(rank), **shared) for rank in (0, 1)]
    for rank, _ in ranks:
        rank.join(60)
        assert rank.exitcode == 0
    history = json.loads((tmp_path / "two" / "history.json").read_text())
    assert [row["loss"] for row in history] == pytest.approx([row["loss"] for row in whole], rel=1e-5)
    alone, together = plain(), plain()
    train(alone, batches(recipe), recipe, tmp_path / "one", MACHINE, seed=0)
    load_weights(together, tmp_path / "two" / "net.safetensors")
    for weight, other in zip(alone.parameters(), together.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-4, atol=1e-5)
