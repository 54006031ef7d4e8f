"""A small part of `make chaos`: power cuts, and kills while a preset runs."""

import random
import time

import pytest

from tests import chaos


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return chaos.small_home(tmp_path_factory.mktemp("finished"))


def test_what_a_power_cut_damages_is_named_and_made_again(finished, tmp_path):
    files = chaos.files_of(finished)
    names = {path.name for path in files}
    assert names >= {"result.json", "weights.safetensors", "pack.json", "images.npy", "index.parquet"}
    dice = random.Random(time.localtime().tm_yday)  # other files every day
    one_of_each_name = {path.name: path for path in dice.sample(files, len(files))}
    for path in one_of_each_name.values():
        length = dice.choice([0, (finished / path).stat().st_size // 2])
        assert chaos.cut(finished, tmp_path / "cut", path, length) == ""


@pytest.mark.timeout(300)
def test_a_preset_that_is_killed_ends_the_same_and_leaves_nothing(tmp_path):
    stage = chaos.STAGES[2]
    calm = chaos.project(tmp_path / "calm")
    started = time.monotonic()
    chaos.finish(calm, stage.command)
    home = chaos.project(tmp_path / "killed")
    outcome = chaos.disturb(stage, home, 1, time.monotonic() - started, random.Random(0))
    assert (outcome.kills, outcome.orphans) == (1, 0)
    assert chaos.content(home, stage.made) == chaos.content(calm, stage.made) != {}
