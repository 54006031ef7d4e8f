"""ResultsPanel without a page: comparisons, and what stands behind them."""

from dataclasses import replace
from unittest.mock import Mock

import pytest

from itl import ItlError
from itl.panels.results import ResultsPanel
from itl.presets import Preset
from itl.report.html import render
from itl.runs.questions import questions_of
from itl.specs import Pretrain, key
from tests.accessible import faults
from tests.pictures import encoded, smooth
from tests.worlds import SETTINGS, here, run_here, small_study

COARSE = {name: value for name, value in SETTINGS.items() if name != "images_per_class"}
PRESET = Preset(
    name="smallest",
    about="",
    notebooks={
        "01-data-size": {**SETTINGS, "tasks": ["knn@scenes"]},
        "02-class-count": {**COARSE, "label_sets": ["bottom-up@5", "original"], "seeds": [5]},
    },
)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A store in which the first question of PRESET is answered, and the second is not begun."""
    machine = here(tmp_path_factory.mktemp("home"))
    run_here(small_study(tasks=["knn@scenes"]), machine)
    return machine


@pytest.fixture
def panel(machine) -> ResultsPanel:
    return ResultsPanel(PRESET, machine)


def test_what_is_done_is_shown_and_what_is_not_is_said(panel):
    table = panel.contrasts()
    assert table[["compared", "task"]].to_numpy().tolist()[0] == [
        "4 instead of 12 images per class",
        "knn@scenes",
    ]
    assert set(table["question"]) == {"data-size"}
    assert list(panel.pending) == ["class-count"]
    assert "Not run yet" in panel.html()
    assert "Values by condition</b> of data-size, in percent:" in panel.html()


def test_values_in_units_of_their_own_are_not_called_percent(panel):
    given = panel.answers["data-size"]
    results = given.results[given.results["task"] == "own"].assign(task="scores@scenes", metric="logme")
    panel.answers = {"data-size": replace(given, results=results)}
    panel.metric = "logme"
    assert "Values by condition</b> of data-size, in units of their own:" in panel.values_html()


def test_a_source_that_has_changed_since_is_said(tmp_path):
    photos, machine = tmp_path / "photos", here(tmp_path)
    for number, name in enumerate(["train/cat", "train/dog", "val/cat", "val/dog"] * 12):
        (photos / name).mkdir(parents=True, exist_ok=True)
        (photos / name / f"{number}.png").write_bytes(encoded(smooth(20, 20 + number)))
    settings = {
        **SETTINGS,
        "tasks": ["knn@scenes"],
        "images": {"source": "folder", "path": str(photos), "size": 20},
    }
    run_here(small_study(tasks=["knn@scenes"], images=settings["images"]), machine)
    preset = Preset(name="photos", about="", notebooks={"01-data-size": settings})
    assert "has changed" not in ResultsPanel(preset, machine).html()
    (photos / "train/cat/new.png").write_bytes(encoded(smooth(20, 99)))
    assert (
        "the source of images has changed since it was packed: 1 image added"
        in ResultsPanel(preset, machine).html()
    )


def test_nothing_done_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(ItlError, match="no run of data-size is done in .*; `itl run`"):
        ResultsPanel(PRESET, here(tmp_path))


def test_a_notebook_says_what_is_done_until_it_is(machine, monkeypatch):
    display = Mock()
    monkeypatch.setattr("itl.panels.panel.get_ipython", Mock())
    monkeypatch.setattr("itl.panels.panel.display", display)
    ResultsPanel(PRESET, machine)
    ((line,), _) = display.call_args
    assert line["text/plain"] == "Reading and judging the runs of preset smallest …"
    ((after,), _) = display.return_value.update.call_args
    assert set(after.values()) == {""}


def test_task_metric_and_axis_choose(panel):
    assert [value for _, value in panel.options("task")] == ["", "knn@scenes", "own"]
    assert [value for _, value in panel.options("axis")] == ["", "images_per_class"]
    panel.axis, panel.task, panel.metric = "images_per_class", "knn@scenes", "knn1"
    assert panel.contrasts().index.tolist() == [0, 2]
    values = panel.values()
    assert values.index.tolist() == [("knn@scenes", "knn1")]
    assert list(values.columns) == [0, 4, 12, "n"]
    with pytest.raises(ItlError, match="no axis in these results called 'image'"):
        panel.axis = "image"


def test_what_is_offered_fits_what_is_chosen(panel):
    """What no comparison of the question has would draw nothing."""
    given = panel.answers["data-size"]
    own = given.contrasts[given.contrasts["task"] == "own"].assign(question="other")
    of_own = given.results[given.results["task"] == "own"]
    panel.answers = {**panel.answers, "other": replace(given, results=of_own, contrasts=own)}
    panel.task, panel.metric = "knn@scenes", "knn1"
    panel.question = "other"
    assert (panel.task, panel.metric) == ("", "")
    assert panel.options("task") == [("all", ""), ("own classes", "own")]
    assert panel.contrasts()["task"].unique().tolist() == ["own"]
    panel.question, panel.axis = "data-size", "images_per_class"
    assert [value for _, value in panel.options("task")] == ["", "knn@scenes", "own"]
    assert panel.axis == "images_per_class"


def test_without_a_metric_each_task_has_its_main_one(panel):
    assert panel.values().index.tolist() == [("knn@scenes", "knn5"), ("own", "accuracy")]


def test_a_comparison_says_its_verdict_and_the_figure_what_its_marks_mean(panel):
    row = panel.contrasts().iloc[0]
    assert "squares the same within the margin" in panel.html()
    panel.row = int(row.name)
    assert f"Verdict: <b>{row['verdict']}" in panel.html()
    (text,) = [words for words, value in panel.controls()[-1].options if value == row.name]
    assert f"), {row['verdict']}: 4 instead of 12 images per class" in text


def test_values_are_of_a_question_that_has_the_axis_and_the_task(panel):
    """Where no comparison is chosen by them, too: the first question may lack the axis."""
    given = panel.answers["data-size"]
    other = replace(given, results=given.results[:0], contrasts=given.contrasts.assign(question="other"))
    panel.answers = {"other": other, **panel.answers}
    panel.task, panel.axis = "own", "images_per_class"
    assert [task for task, *_ in panel.values().index] == ["own"] * len(panel.values())
    panel.task = ""
    panel.question = "other"
    with pytest.raises(
        ItlError, match="other has no values of a task by images_per_class; choose another task"
    ):
        panel.values()


def test_values_of_runs_have_the_unit_of_their_metric(panel, monkeypatch):
    panel.row = int(panel.contrasts().index[0])
    assert " %" in panel.runs_html()
    monkeypatch.setattr("itl.panels.results.is_percent", lambda metric: False)
    assert " %<" not in panel.runs_html()


def test_behind_a_comparison_are_its_runs_seed_by_seed(panel, machine):
    with pytest.raises(
        ItlError, match=r"no comparison here has the row 99; ResultsPanel.contrasts\(\) has \["
    ):
        panel.row = 99
    panel.row = int(panel.contrasts().index[0])
    runs = panel.runs()
    assert runs[["side", "condition", "seed"]].to_numpy().tolist() == [
        ["this", "images per class 4", 0],
        ["this", "images per class 4", 1],
        ["instead of", "images per class 12", 0],
        ["instead of", "images per class 12", 1],
    ]
    (question, _) = questions_of(PRESET)
    wanted = {
        key(run.spec)
        for run in question.runs(machine)
        if run.task == "knn@scenes" and dict(run.columns)["images_per_class"] == 4
    }
    assert set(runs["run"][:2]) == wanted
    results = panel.answers["data-size"].results
    value = results[(results["run"] == runs["run"][0]) & (results["metric"] == "knn5")]["value"].item()
    assert runs["value"][0] == value
    assert all((machine.home / path).exists() for path in runs["manifest"])
    differing = panel.settings_that_differ()
    assert differing.to_numpy().tolist() == [["pretrain.subset.images_per_class", 4, 12]]


def test_a_run_shows_images_and_its_net_opens_on_the_task(panel):
    *controls, row = panel.controls()
    row.value = int(panel.contrasts().index[0])
    run = panel.runs()["run"][0]
    html = panel.html()
    assert f'data-setting="run" data-value="{run}"' in html
    assert f'data-setting="opened" data-value="{run}"' in html
    assert "Images that the net of run" not in html
    panel.run = run
    assert "Images that the net of run" in panel.html()
    panel.opened = run
    assert "Target scenes." in panel.below.children[0].children[-2].value
    assert isinstance(panel.net().spec, Pretrain)
    controls[1].value = "knn@scenes"
    assert (panel.row, panel.run, row.value) == (-1, "", -1)


def test_values_of_another_metric_than_the_change_say_so(panel):
    panel.row = int(panel.contrasts().index[0])
    assert "The change is of" not in panel.html()
    panel.metric = "knn1"
    assert "<p>The change is of knn5; the values below are knn1.</p>" in panel.html()
    assert ">knn1</th>" in panel.html()


def test_a_run_that_is_not_there_is_refused_and_changes_nothing(panel):
    with pytest.raises(ItlError, match="the run '0000' was asked for"):
        panel.run = "0000"
    panel.row = int(panel.contrasts().index[1])
    assert (panel.run, "Runs of this comparison" in panel.html()) == ("", True)


def test_a_run_is_one_of_the_chosen_comparison(panel):
    first, other = (int(index) for index in panel.contrasts().index[:2])
    panel.row = other
    foreign = panel.runs()["run"]
    panel.row = first
    foreign = next(run for run in foreign if run not in set(panel.runs()["run"]))
    with pytest.raises(ItlError, match=rf"run {foreign} is not of the chosen comparison; ResultsPanel.runs"):
        panel.run = foreign
    run = panel.runs()["run"][0]
    panel.run = run[:6]
    assert panel.run == run
    panel.row = -1
    with pytest.raises(ItlError, match="no comparison is chosen; set row to one of the index of"):
        panel.run = run
    assert panel.run == ""


def test_a_net_that_cannot_be_opened_says_why(panel):
    panel.opened = "0000"
    assert "the run &#39;0000&#39; was asked for" in panel.below.children[0].value


def test_a_click_in_the_picture_sets_what_it_names(panel):
    index = int(panel.contrasts().index[1])
    assert f'data-setting="row" data-value="{index}"' in panel.html()
    panel.click("row", str(index))
    assert panel.row == index


def test_a_change_draws_only_the_parts_that_show_it(panel, monkeypatch):
    *_, runs, images, first, values, _ = panel.widget().children
    panel.row = int(panel.contrasts().index[0])
    before = (first.value, values.value, runs.value)
    drawn = []

    def record(template: str, part: str, **content: object) -> str:
        drawn.append(part)
        return render(template, part=part, **content)

    monkeypatch.setattr("itl.panels.results.render", record)
    panel.run = panel.runs()["run"][0]
    assert drawn == ["images"]
    assert (first.value, values.value, runs.value) == before
    assert "Images that the net of run" in images.value
    drawn.clear()
    panel.task = "knn@scenes"
    assert drawn == ["comparisons", "values"]
    assert runs.value == images.value == "", "no comparison is chosen any more"


def test_every_control_has_a_name_and_the_picture_can_be_read(panel):
    assert all(control.description for control in panel.controls())
    panel.row = int(panel.contrasts().index[0])
    panel.run = panel.runs()["run"][0]
    assert faults(f'<html lang="en"><h1>results</h1>{panel.html()}</html>') == []
