"""A small part of `make chaos`: power cuts, and kills while a preset runs."""

import random
import signal
import time
from shutil import copytree

import pytest

from itl.machine import Machine
from tests import chaos
from tests.worlds import write_rates


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return chaos.small_home(tmp_path_factory.mktemp("finished"))


def test_what_a_power_cut_damages_is_named_and_made_again(finished, tmp_path):
    files = chaos.files_of(finished)
    names = {path.name for path in files}
    assert names >= {"result.json", "weights.safetensors", "pack.json", "images.npy", "index.parquet"}
    dice = random.Random(time.localtime().tm_yday)  # other files every day
    one_of_each_name = {path.name: path for path in dice.sample(files, len(files))}
    assert one_of_each_name.pop("rates.json"), "measuring takes 15 seconds: `make chaos` cuts it"
    for path in one_of_each_name.values():
        length = dice.choice([0, (finished / path).stat().st_size // 2])
        assert chaos.cut(finished, tmp_path / "cut", path, length) == ""


@pytest.mark.timeout(300)
def test_a_run_that_is_terminated_clears_away_what_it_shared(finished, tmp_path):
    recipe = {"steps": 100_000, "batch": 8, "pixels": 24}
    home = chaos.project(tmp_path / "terminated", recipe=recipe)
    copytree(finished / "packs", home / "packs")
    write_rates(Machine.from_environment(home=home, device="cpu", workers=2), {"recipe": recipe})
    process = chaos.start(home, chaos.TRAINING.command)
    while not list(home.glob("runs/pretrain/*/log.jsonl")):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate()
    assert "leaked" not in output, "semaphores of the worker processes"
    assert output.endswith("itl: stopped; finished work is kept, repeat the command to go on\n")
    assert process.returncode == 128 + signal.SIGTERM
    assert chaos.left_behind(home) == []


@pytest.mark.timeout(300)
def test_a_preset_that_is_killed_ends_the_same_and_leaves_nothing(finished, tmp_path):
    recipe = {"steps": 60, "batch": 8, "pixels": 24}
    study = {"images_per_class": [0, 12], "seeds": [0], "recipe": recipe}
    calm, home = tmp_path / "calm", chaos.project(tmp_path / "killed", **study)
    for folder in (calm, home):  # how these and rates are made is the other stages' topic
        copytree(finished / "packs", folder / "packs")
    chaos.small_home(calm, study)
    write_rates(Machine.from_environment(home=home, device="cpu", workers=2), study)
    process = chaos.start(home, chaos.TRAINING.command)
    while not list(home.glob("runs/pretrain/*/log.jsonl")):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    assert chaos.kill(home, process) == []
    done, in_all = (len(list(folder.glob("runs/*/*/result.json"))) for folder in (home, calm))
    assert done < in_all, "it was killed before its end"
    chaos.go_on(home, study)  # in this process: a command takes ten seconds to start
    assert chaos.content(home, chaos.WEIGHTS) == chaos.content(calm, chaos.WEIGHTS) != {}
