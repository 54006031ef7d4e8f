"""AdvicePanel without a page: the budget moves, and what is advised follows."""

import math
import re
from dataclasses import replace
from unittest.mock import Mock

import pytest
import yaml

from itl import ItlError
from itl.analysis.advice import advise
from itl.analysis.budget import UNITS, Budget
from itl.panels.advice import AdvicePanel
from itl.presets import Preset
from itl.runs.task_questions import Advice
from tests.accessible import faults
from tests.analysis.test_advice import BEST, world
from tests.worlds import SETTINGS, here, run_here

GRID = world(4, effect=8.0)[0]


@pytest.fixture
def panel() -> AdvicePanel:
    return AdvicePanel(GRID)


def test_a_smaller_budget_advises_what_fits_it(panel):
    assert panel.advice().choice["option"] == f"option {BEST}"
    assert "budget of one net: no limit" in panel.html()
    panel.number = 500.0
    advice = advise(GRID, panel.task, Budget(500, "images"))
    assert panel.advice().choice["option"] == advice.choice["option"] != f"option {BEST}"
    html = panel.html()
    assert "budget of one net: 500 images" in html
    assert html.count("<td") == 7 * 7, "all options stay in the table"
    assert html.count("over the budget</td>") == 3


def test_what_is_over_the_budget_begins_between_two_options(panel):
    panel.number = 400.0
    picture = panel.frontier_figure("images", panel.task)
    left = panel.over_budget(picture)["left"] / 100
    share = (left - picture.axes.x0) / picture.axes.width
    low, high = picture.costs
    edge = low * (high / low) ** share
    assert 400 < edge < 800
    panel.number = math.inf
    assert panel.over_budget(picture) == {}


def test_one_of_a_unit_is_singular_and_all_digits_are_written(panel):
    assert [str(Budget(1, unit)) for unit in UNITS] == ["1 hour", "1 image", "1 label"]
    assert str(Budget(1_281_167, "images")) == panel.budget_text(1_281_167) == "1,281,167 images"
    assert panel.budget_text(math.inf) == str(Budget()) == "no limit"


def test_no_rule_of_a_page_moves_the_figure_under_what_dims_it(panel):
    panel.number = 400.0
    image = re.search("<img .*>\n<div", panel.html())[0]
    assert "height:auto;margin:0;padding:0;" in image


def test_a_budget_that_only_weights_that_one_has_fit():
    options = GRID.options.assign(
        images=GRID.options["images"].where(GRID.options.index != 3, 0), one_net=False
    )
    options.loc[3, "one_net"] = True
    panel = AdvicePanel(replace(GRID, options=options))
    assert [value for _, value in panel.controls()[2].options] == [100, 200, 800, 1600, 3200, math.inf]
    panel.number = 50.0
    assert panel.html().count("over the budget</td>") == 5
    picture = panel.frontier_figure("images", panel.task)
    assert panel.over_budget(picture)["left"] == round(100 * picture.axes.x0, 1), "all of it"


def test_controls_offer_the_cost_of_each_option_and_follow_the_settings(panel):
    task, unit, number = panel.controls()
    assert [value for _, value in number.options] == [100, 200, 400, 800, 1600, 3200, math.inf]
    number.value = 200.0
    assert panel.number == 200
    unit.value = "hours"
    assert panel.number == number.value == math.inf
    assert [text for text, _ in number.options] == ["1.1 hours", "no limit"]
    panel.task = GRID.tasks[3]
    assert task.value == GRID.tasks[3]
    panel.number = 2.0
    assert ("2 hours", 2.0) in number.options, "a budget from Python is in the list"


def test_labels_are_images(panel):
    panel.unit, panel.number = "labels", 800.0
    assert panel.advice().choice["labels"] <= 800
    assert "budget of one net: 800 labels" in panel.html()


@pytest.mark.parametrize(("name", "value"), [("task", "probe@target"), ("unit", "days")])
def test_other_names_are_refused(panel, name, value):
    with pytest.raises(ItlError, match=f"no {name} of this advice called '{value}'"):
        setattr(panel, name, value)


def test_what_cannot_be_advised_is_said_in_the_picture(panel):
    panel.number = 5.0
    says = "pre-training fits 5 images; the smallest takes 100 images: raise the budget (number) to that"
    assert says in panel.picture()
    nothing = AdvicePanel(replace(GRID, measurements=GRID.measurements.iloc[:0]))
    picture = nothing.widget().children[-2].value
    assert "with --pilot 4 does it" in picture
    assert f"<code>itl advise {GRID.tasks[0].partition('@')[2]}</code>" in picture


def test_a_preset_is_read(tmp_path):
    settings = SETTINGS | {"images_per_class": [4, 12], "label_sets": ["original"]}
    machine = here(tmp_path)
    run_here(Advice.ask(**settings), machine)
    panel = AdvicePanel(Preset(name="smallest", about="", notebooks={"10-advice": settings}), machine)
    assert panel.task == "knn@scenes"
    assert panel.costs() == [16, 48]
    panel.grid = replace(panel.grid, measurements=panel.grid.measurements.iloc[:0])
    assert "<code>itl advise scenes --preset smallest</code> with --pilot" in panel.picture()
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"about": "", "notebooks": {"10-advice": settings}}))
    other = AdvicePanel(str(file), machine)
    other.grid = panel.grid
    assert f"--preset {file}</code> with --pilot" in other.picture()
    with pytest.raises(ItlError, match="no notebook of preset none called '10-advice'"):
        AdvicePanel(Preset(name="none", about="", notebooks={"01-data-size": SETTINGS}), machine)


def test_nothing_is_measured_to_say_that_no_run_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr("itl.runs.plan.rates_of", Mock(side_effect=AssertionError("measured")))
    settings = SETTINGS | {"images_per_class": [4, 12], "label_sets": ["original"]}
    preset = Preset(name="smallest", about="", notebooks={"10-advice": settings})
    panel = AdvicePanel(preset, here(tmp_path))
    panel.unit, panel.number = "hours", 1.0
    assert panel.costs() == []
    assert "nothing is known of knn@scenes; a pilot of 2 nets: <code>itl advise" in panel.picture()


def test_every_control_has_a_name_and_the_picture_can_be_read(panel):
    assert all(control.description for control in panel.controls())
    panel.number = 400.0
    assert faults(f'<html lang="en"><h1>advice</h1>{panel.html()}</html>') == []
