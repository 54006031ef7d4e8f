"""The script for GPU machines: what it runs is there, and the hours of a grid are those reckoned by hand."""

import pytest

from itl.bench import paper_grid
from itl.machine import Machine
from itl.packs.paths import Size
from itl.presets import Preset, load_preset
from itl.runs import plan
from itl.runs.questions import questions_of
from tests.gpu import check
from tests.runs.test_plan import RATE, SIZE, made_up

SIZES = {"imagenet": SIZE, "sun397": Size({"train": 10, "test": 4}, {"attic": 5, "beach": 5}, packed=False)}
SETTINGS = {
    "images": {"source": "imagenet", "path": "ILSVRC2012*", "size": 256},
    "targets": {"scenes": {"source": "sun397", "path": "SUN397", "size": 256, "options": {"partition": 1}}},
    "images_per_class": [0, 4, "all"],
    "net": "small",
    "tasks": ["finetune@scenes"],
    "seeds": [0],
    "recipe": {"steps": 3600, "batch": 20},
    "tuning": {"finetune": {"epochs": 3, "batch": 5, "pixels": 24}},
}
TRAINED = 1 + (3600 * 16 * 0.5 + 1) + (3600 * 20 * 0.5 + 1)     # on none, 4 of each of 4 classes, all 40
TRIED = 3 * (3 * 2 * 5 * 0.5 + 4 * 0.125)


@pytest.fixture
def rated(monkeypatch):
    """Plans reckon with made-up rates; nothing is measured."""
    for module in (plan, paper_grid):
        monkeypatch.setattr(module, "calibrated", made_up)


def test_what_the_script_runs_is_there():
    assert all((check.ROOT / name).exists() for name in check.TESTS)
    assert check.lacking([check.GRID]) == []


def test_hours_are_those_of_all_runs_one_after_another(tmp_path, rated):
    preset = Preset(name="mini", about="", notebooks={"01-data-size": SETTINGS})
    found, works = paper_grid.grid(preset, SIZES, Machine(home=tmp_path, workers=4, threads=1))
    assert found.minutes * 60 == pytest.approx(TRAINED + TRIED)
    assert [(recipe.pixels, rate) for _, recipe, rate in works] == [(56, RATE), (24, RATE)]
    lines = [" ".join(line.split()) for line in paper_grid.told(found, works)]
    assert lines[1:3] == ["small, classifier, 56 pixels, batches of 20 2 8",
                          "small, classifier, 24 pixels, batches of 5 2 8"]
    assert lines[3:] == ["3 trainings 18.0 hours, 3 tries 0.0: 18.0 hours in all; "
                         "goal 12 (one night), this is 1.50 times that"]


def test_the_papers_grid_can_be_had_of_the_published_sizes(tmp_path, rated):
    preset = load_preset("paper", paper_grid.ROOT / "params")
    found, works = paper_grid.grid(preset, paper_grid.published(), Machine(home=tmp_path, threads=1))
    images = found.packs.set_index("pack")["images"]
    assert images.to_dict() == {"images": 1_331_167, "voc2007": 9963, "actions": 6278, "sun397": 39_700}
    assert (set(found.runs["state"]), found.packs["minutes"].sum()) == ({"to do"}, 0)
    assert {recipe.pixels for _, recipe, _ in works} == {227, 600}


def test_at_128_pixels_nothing_but_pixels_is_other():
    before = load_preset("paper", paper_grid.ROOT / "params")
    after = before.model_copy(update={"notebooks": paper_grid.smaller(before.notebooks)})
    for one, other in zip(questions_of(before), questions_of(after), strict=True):
        sizes = {name: packing.size for name, packing in other.packings().items()}
        assert sizes["images"] == 128
        assert {size for name, size in sizes.items() if name != "voc2007"} == {128}
        assert (one.recipe.pixels, other.recipe.pixels) == (227, 112)
        assert (one.conditions, one.seeds, one.tasks) == (other.conditions, other.seeds, other.tasks)
        assert (one.recipe.steps, one.recipe.batch) == (other.recipe.steps, other.recipe.batch)
