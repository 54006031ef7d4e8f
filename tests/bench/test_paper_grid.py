"""The hours of presets: those reckoned by hand, from published sizes."""

import json
import sys
from dataclasses import replace

import pytest

from itl.bench import paper_grid
from itl.machine import Machine
from itl.packs.counts import ImageCounts
from itl.presets import Preset, load_preset, shipped_folder
from itl.runs import plan
from itl.runs.design import Condition
from itl.runs.question import Question
from itl.runs.questions import questions_of
from itl.runs.throughput import FrozenRate, Rate, frozen_rate_key, rate_key
from itl.specs import DetectionRecipe
from tests.runs.test_cost import SIZE
from tests.worlds import RATE, stated_rates

SIZES = {
    "imagenet": SIZE,
    "sun397": ImageCounts({"train": 10, "test": 4}, {"attic": 5, "beach": 5}, packed=False),
}
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
TRAINED = 1 + (3600 * 16 * 0.5 + 1) + (3600 * 20 * 0.5 + 1)  # on none, 4 of each of 4 classes, all 40
TRIED = 3 * (3 * 2 * 5 * 0.5 + 4 * 0.125)


@pytest.fixture
def rated(monkeypatch):
    """Plans reckon with made-up rates; nothing is measured."""
    for module in (plan, paper_grid):
        monkeypatch.setattr(module, "rates_of", stated_rates)


def test_hours_are_those_of_all_runs_one_after_another(tmp_path, rated):
    preset = Preset(name="mini", about="", notebooks={"01-data-size": SETTINGS})
    planned, works = paper_grid.grid(preset, SIZES, Machine(home=tmp_path, workers=4, threads=1))
    assert planned.minutes * 60 == pytest.approx(TRAINED + TRIED)
    assert [(recipe.pixels, rate) for _, recipe, rate in works] == [(56, RATE), (24, RATE)]
    lines = [" ".join(line.split()) for line in paper_grid.describe(planned, works)]
    assert lines[1:3] == [
        "small, classifier, 56 pixels, batches of 20 2 8",
        "small, classifier, 24 pixels, batches of 5 2 8",
    ]
    assert lines[3:] == [
        "3 trainings 18.0 hours, 3 evaluations 0.0: 18.0 hours in all; "
        "a night has 12, this is 1.50 times that"
    ]


def test_the_papers_grid_can_be_had_of_the_published_sizes(tmp_path, rated):
    preset = load_preset("paper", shipped_folder("params"))
    planned, works = paper_grid.grid(preset, paper_grid.published(), Machine(home=tmp_path, threads=1))
    images = planned.packs.set_index("pack")["images"]
    assert images.to_dict() == {"images": 1_331_167, "voc2007": 9963, "actions": 6278, "sun397": 39_700}
    assert (set(planned.runs["state"]), planned.packs["minutes"].sum()) == ({"to do"}, 0)
    assert {recipe.pixels for _, recipe, _ in works} == {227, 600}


def stated(works, machine) -> dict[str, Rate | FrozenRate]:
    """The rates that paper-128.yaml states: images a second, trained on and looked at."""
    rates = {frozen_rate_key(machine): FrozenRate(start=0.1, fit=1e-12, compare=1e-15)}
    for net, recipe in works:
        train, look = (247, 311) if isinstance(recipe, DetectionRecipe) else (39_000, 39_000)
        rates[rate_key(net, recipe, machine)] = Rate(1 / train, 1 / look, 0, 0, weights=400, features=512)
    return rates


def test_paper_128_fits_a_night_by_the_rates_it_states(tmp_path, monkeypatch):
    for module in (plan, paper_grid):
        monkeypatch.setattr(module, "rates_of", stated)
    preset = load_preset("paper-128", shipped_folder("params"))
    planned, works = paper_grid.grid(preset, paper_grid.published(), Machine(home=tmp_path, threads=1))
    hours = planned.runs.groupby("kind")["minutes"].sum() / 60
    assert hours["pretrain"] == pytest.approx(66 * 80_000 * 256 / 39_000 / 3600, rel=0.01)
    assert hours["detection"] == pytest.approx(33 * (32_000 / 247 + 4952 / 311) / 3600)
    assert 11 < planned.minutes / 60 < paper_grid.NIGHT_H
    assert planned.runs["kind"].value_counts()[["pretrain", "detection", "finetune"]].to_list() == [
        66,  # three of them are not trained
        33,
        51,
    ]
    assert {(net, recipe.pixels) for net, recipe, _ in works} == {("resnet18", 112), ("resnet18", 375)}


def of_any_recipe(question: Question) -> set[Condition]:
    """The conditions of *question*, without the steps of those that have their own."""
    return {replace(condition, recipe=None) for condition in question.conditions}


def test_paper_128_asks_what_paper_asks_at_128_pixels():
    whole, small = (
        questions_of(load_preset(name, shipped_folder("params"))) for name in ("paper", "paper-128")
    )
    assert [question.name for question in small] == [question.name for question in whole]
    for one, other in zip(whole, small, strict=True):
        sizes = {name: packing.size for name, packing in other.packings().items()}
        assert sizes == {"images": 128, "actions": 128, "sun397": 128, "voc2007": 500}
        assert of_any_recipe(other) <= of_any_recipe(one)
        assert set(other.tasks) <= set(one.tasks)
        assert (other.seeds, other.recipe.pixels, other.net) == (one.seeds, 112, "resnet18")


def test_rates_are_measured_once_for_both_presets_and_hours_are_written(tmp_path, monkeypatch, capsys, rated):
    calls, file = [], tmp_path / "hours.json"

    def rates_of(works, machine):
        calls.append(list(works))
        return stated_rates(calls[-1], machine)

    monkeypatch.setattr(paper_grid, "rates_of", rates_of)
    monkeypatch.setattr(sys, "argv", ["paper_grid", "--device", "cpu", "--json", str(file)])
    paper_grid.main()
    hours, out = json.loads(file.read_text()), capsys.readouterr().out
    assert hours.keys() == {"paper", "paper-128"}
    assert {net for net, _ in calls[0]} == {"resnet18", "caffenet"}
    for name, number in hours.items():
        assert f"{name}: " in out
        assert f"{number:,.1f} hours in all" in out
