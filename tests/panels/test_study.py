"""StudyPanel without a page: choose, plan, run in a process, stop, resume, answer, save."""

import asyncio
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml

from itl import ItlError
from itl.panels import answer_steps, study
from itl.panels.panel import ForestPicture
from itl.panels.study import StudyPanel
from itl.runs.plan import plan
from itl.runs.store import Store
from itl.specs import key
from tests.pictures import encoded, smooth
from tests.sources import containers
from tests.worlds import SETTINGS, run_here, small_study


def write_classes(folder: Path, *names: str, images: int) -> None:
    """Write so many images into a folder of each class."""
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(images):
            (folder / name / f"{number}.png").write_bytes(encoded(smooth(20, 20 + number)))


def test_it_begins_with_the_presets_question(panel):
    assert panel.question == "01-data-size"
    assert yaml.safe_load(panel.conditions) == {"images_per_class": [0, 4, 12], "subset": {}}
    assert (panel.tasks, panel.seeds, panel.margin) == (("knn@scenes",), "0, 1", 0.2)
    assert panel.ask() == small_study(subset={}, tuning={}, margin={"share": 0.2})
    panel.question = "02-class-count"
    assert yaml.safe_load(panel.conditions) == {"label_sets": ["none", "bottom-up@5", "original"]}
    assert panel.ask().name == "class-count"


def test_targets_and_recipes_of_one_name_are_those_of_the_questions_own_notebook(project, machine):
    preset = yaml.safe_load((project / "params/smallest.yaml").read_text())
    first, last = list(preset["notebooks"].values())[:2]
    tuned = {"finetune": SETTINGS["tuning"]["finetune"] | {"steps": 9}}
    last |= {"tuning": tuned, "targets": {"scenes": first["targets"]["scenes"] | {"size": 40}}}
    (project / "params/two.yaml").write_text(yaml.safe_dump(preset))
    panel = StudyPanel("two", machine=machine)
    panel.tasks = ("finetune@scenes",)
    for question, size, steps in (("01-data-size", 32, 4), ("02-class-count", 40, 9)):
        panel.question, panel.tasks = question, ("finetune@scenes",)
        made = panel.ask()
        assert (dict(made.targets)["scenes"].size, dict(made.tuning)["finetune"].steps) == (size, steps)


def test_a_preset_has_any_margin_that_a_question_takes(project, machine):
    preset = yaml.safe_load((project / "params/smallest.yaml").read_text())
    preset["notebooks"]["01-data-size"]["margin"] = {"share": 0.004}
    (project / "params/narrow.yaml").write_text(yaml.safe_dump(preset))
    assert StudyPanel("narrow", machine=machine).ask().margin.share == 0.004


def test_a_preset_without_seeds_begins_with_that_of_its_subset(project, machine):
    preset = yaml.safe_load((project / "params/smallest.yaml").read_text())
    first = preset["notebooks"]["01-data-size"]
    del first["seeds"]
    first |= {"subset": {"classes": 3, "seed": 7}}
    (project / "params/seedless.yaml").write_text(yaml.safe_dump(preset))
    assert StudyPanel("seedless", machine=machine).ask().seeds == (7,)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"tasks": None}, "tasks of data-size should be a list, not None"),
        ({"tasks": "knn@scenes"}, "tasks of data-size should be a list, not 'knn@scenes'"),
        ({"margin": 0.1}, "margin should be a mapping of settings, not 0.1"),
        ({"subset": "dogs"}, "subset of data-size should be a mapping, not 'dogs'"),
        ({"seeds": 3}, "seeds of data-size should be a list, not 3"),
    ],
)
def test_a_preset_that_cannot_be_asked_opens_no_panel(project, machine, settings, says):
    preset = yaml.safe_load((project / "params/smallest.yaml").read_text())
    preset["notebooks"]["01-data-size"] |= settings
    (project / "params/faulty.yaml").write_text(yaml.safe_dump(preset))
    with pytest.raises(ItlError, match=says):
        StudyPanel("faulty", machine=machine)


def test_a_question_that_cannot_be_is_refused_alone(project, machine):
    preset = yaml.safe_load((project / "params/smallest.yaml").read_text())
    preset["notebooks"]["02-class-count"]["label_sets"] = ["no-such-method", "original"]
    (project / "params/half.yaml").write_text(yaml.safe_dump(preset))
    panel = StudyPanel("half", machine=machine)
    with pytest.raises(ItlError, match="no-such-method"):
        panel.question = "02-class-count"
    assert panel.question == "01-data-size"
    assert panel.ask().name == "data-size"


def test_the_plan_follows_what_is_chosen_and_counts_what_exists(panel, machine, rates):
    panel.plan()
    assert "0 of 12 runs exist already" in panel.html()
    assert " seconds with 1 side by side" in panel.html()
    panel.seeds = "0"
    assert "0 of 6 runs exist already" in panel.html()
    run_here(small_study(images_per_class=[0, 4], seeds=[0]), machine)
    panel.refresh()
    assert "4 of 6 runs exist already" in panel.html()


def test_what_is_not_measured_is_not_called_short(panel, machine):
    html = panel.html()
    assert "how long they take is not known" in html
    assert html.count("not known") == 1 + 3, "of the plan, and of each condition"
    assert "about" not in html
    assert "memory" not in html
    run_here(small_study(), machine)
    panel.refresh()
    html = panel.html()
    assert html.count(">none</td>") == 3
    assert "not known" not in html


def test_a_change_reads_only_what_no_earlier_one_has_read(panel, machine, monkeypatch):
    """What takes long with thousands of runs: a plan, the key of a run, its file, and an answer's figure."""
    run_here(small_study(seeds=[0]), machine)
    panel.seeds = "0, 1"
    *_, picture, _ = panel.widget().children
    counts = dict.fromkeys(("plan", "key", "result", "figure"), 0)

    def count(name: str, function):
        def counted(*arguments, **named):
            counts[name] += 1
            return function(*arguments, **named)

        return counted

    monkeypatch.setattr("itl.panels.study.plan", count("plan", study.plan))
    monkeypatch.setattr("itl.runs.store.key", count("key", key))
    monkeypatch.setattr(Store, "result", count("result", Store.result))
    monkeypatch.setattr(
        "itl.panels.answer_steps.forest_picture", count("figure", answer_steps.forest_picture)
    )

    def counted_after(setting: str, value: object) -> tuple[int, ...]:
        counts.update(dict.fromkeys(counts, 0))
        setattr(panel, setting, value)
        return tuple(counts.values())

    assert counted_after("margin", 0.3) == (0, 0, 0, 0)
    assert counted_after("seeds", "0, 2") == (1, 6, 0, 0), "the keys of six runs of seed 2, none of seed 0"
    assert counted_after("seeds", "0, 1") == (1, 0, 0, 0), "what has no result is not read"

    async def change_in_a_notebook() -> tuple[int, ...]:
        at_once = counted_after("seeds", "0")
        assert "Verdict:" not in picture.value
        for step in ("results", "origins", "verdict", "figure"):
            panel.take_step()
            assert ("Verdict:" in picture.value) == (step in ("verdict", "figure"))
            assert ("<img" in picture.value) == (step == "figure")
        return at_once

    with ThreadPoolExecutor(1) as thread:  # Playwright's tests leave a running loop in this one
        at_once = thread.submit(asyncio.run, change_in_a_notebook()).result()
    assert at_once[3] == 0, "the figure is drawn once nothing changes any more"
    assert counts["figure"] == 1
    assert "<img" in picture.value
    assert "<b>done</b>" in picture.value, "though no process of this panel did it"


def test_a_change_while_an_answer_is_drawn_is_what_stays(panel, machine, monkeypatch):
    """JupyterLab handles clicks in another thread than that of the cells."""
    run_here(small_study(seeds=[0, 1]), machine)
    *_, picture, _ = panel.widget().children
    assert "12 of 12 runs exist already" in picture.value
    drawing, changed = threading.Event(), threading.Event()

    def draw_slowly_at_first(table):
        if not drawing.is_set():
            drawing.set()
            changed.wait(3)  # no longer: the change may wait for the drawing
        return ForestPicture("data:,", [])

    monkeypatch.setattr("itl.panels.answer_steps.forest_picture", draw_slowly_at_first)
    with ThreadPoolExecutor(1) as thread:
        drawn = thread.submit(panel.refresh)
        assert drawing.wait(60)
        panel.seeds = "0"
        changed.set()
        drawn.result()
    assert "6 of 6 runs exist already" in picture.value


def test_a_run_that_is_removed_meanwhile_is_noticed(panel, machine, monkeypatch):
    monkeypatch.setattr(study, "running_loop", lambda: None)  # Playwright's tests leave one in this thread
    run_here(small_study(seeds=[0]), machine)
    panel.seeds = "0"
    *_, picture, _ = panel.widget().children
    assert "6 of 6 runs exist already" in picture.value
    assert "Verdict:" in picture.value
    shutil.rmtree(next((machine.runs / "transfer").iterdir()))
    panel.margin = 0.3
    assert "5 of 6 runs exist already" in picture.value
    assert "Verdict:" not in picture.value


def test_what_other_processes_do_is_shown_and_followed(panel, machine, monkeypatch):
    monkeypatch.setattr(study, "POLL_SECONDS", 0.01)
    panel.seeds = "0"

    async def follow() -> None:
        widget = panel.widget()
        *_, picture, _ = widget.children

        async def shows(*texts: str) -> bool:
            for _ in range(1000):
                if all(text in picture.value for text in texts):
                    return True
                await asyncio.sleep(0.01)
            return False

        assert await shows("0 of 6 runs exist already", "<b>not started</b>")
        run_here(small_study(images_per_class=[0, 4], seeds=[0]), machine)
        assert await shows("4 of 6 runs exist already", "<b>not started</b>"), "the packs were made too"
        spec = next(spec for spec in panel.ask().specs(machine) if not panel.store.is_done(spec))
        holder = panel.store.folder(spec) / "claim.holder"
        holder.write_text("process 7 on a-host")
        assert await shows("<b>running elsewhere: process 7 on a-host</b>: 4 of 6 runs done", "<progress")
        assert (panel.state, panel.others) == ("running elsewhere", ["process 7 on a-host"])
        panel.seeds = "x"
        assert await shows("<b>not started</b>", "seeds are whole numbers")
        panel.seeds = "0"
        assert await shows("<b>running elsewhere")
        holder.unlink()
        assert await shows("4 of 6 runs exist already", "<b>not started</b>")
        run_here(panel.ask(), machine)
        assert await shows("6 of 6 runs exist already", "<b>done</b>", "Verdict:")
        widget.close()
        holder.write_text("process 7 on a-host")
        shutil.rmtree(next((machine.runs / "transfer").iterdir()))
        await asyncio.sleep(1)
        assert "<b>done</b>" in picture.value, "nobody looks any more"
        *_, picture, _ = panel.widget().children
        assert await shows("5 of 6 runs"), "shown again, it is another widget"

    with ThreadPoolExecutor(1) as thread:  # Playwright's tests leave a running loop in this one
        thread.submit(asyncio.run, follow()).result()


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("seeds", "0 - 3", "seeds are whole numbers with commas"),
        ("conditions", "images_per_class: [0, 4", "the text of conditions is not YAML"),
        ("conditions", "images_per_class: [4]", "data-size compares numbers of images"),
        ("conditions", "image_per_class: [4, 5]", "did you mean 'images_per_class'"),
        ("tasks", (), "data-size needs a task"),
        (
            "tasks",
            ("knn@own",),
            "knn@own needs images to measure on; give their target folder, or leave it out",
        ),
        (
            "target_folder",
            "/nowhere/mine",
            "there is no /nowhere/mine; give the path of a folder of images by",
        ),
        (
            "images_folder",
            "/nowhere/mine",
            "there is no /nowhere/mine; give the path of a folder of images by",
        ),
        (
            "conditions",
            "images_per_class: [0, 4]\nseeds: [7]",
            "not seeds: tasks, seeds and margin have",
        ),
        (
            "conditions",
            "5: 3",
            "conditions are NAME: VALUES, as in images_per_class: ",
        ),
        ("conditions", "on: 3", "all]; got {True: 3}"),
        (
            "conditions",
            "images_per_class: [4, 12]\nimages_per_class: [0, 12]",
            "the text of conditions has the key images_per_class",
        ),
        ("conditions", "images_per_class: [0, 010, all]", "or 'all'; got '010'"),
        (
            "conditions",
            "images_per_class: &a [*a]",
            "the text of conditions is nested too deeply, or contains itself",
        ),
        ("conditions", "margin: {share: 0.1}\ntargets: {}", "not margin and targets: tasks, seeds"),
    ],
)
def test_what_cannot_be_asked_is_a_message_and_nothing_is_saved_or_run(panel, project, setting, value, says):
    setattr(panel, setting, value)
    assert says in panel.picture().replace("&#39;", "'")
    for action in (panel.run, lambda: panel.save("other")):
        with pytest.raises(ItlError, match=says):
            action()
    assert not (project / "params/other.yaml").exists()


@pytest.mark.parametrize("setting", ["images_folder", "target_folder", "conditions"])
def test_a_path_that_the_system_refuses_is_a_message_and_the_panel_goes_on(panel, machine, setting):
    path = "x" * 300
    run_here(small_study(seeds=[0]), machine)
    panel.seeds = "0"
    *_, picture, _ = panel.widget().children
    assert "6 of 6 runs exist already" in picture.value
    usual = getattr(panel, setting)
    setattr(panel, setting, f"{usual}taxonomy: {path}.csv" if setting == "conditions" else path)
    assert "File name too long" in picture.value
    assert "runs exist already" not in picture.value
    panel.receive(Mock(), kind="press", button="Run or resume")
    assert "File name too long" in panel.message
    setattr(panel, setting, usual)
    assert "6 of 6 runs exist already" in picture.value


def test_own_folders_become_images_and_a_target(panel, project):
    write_classes(project / "things", "train/mug", "train/plate", "test/mug", "test/plate", images=4)
    panel.target_folder = "things"
    assert {"finetune@own", "probe@own", "knn@own"} < set(panel.offered_tasks())
    assert "The images in things are not used yet" in panel.html()
    panel.tasks = ("knn@own",)
    assert "not used yet" not in panel.html()
    question = panel.ask()
    assert dict(question.targets).keys() == {"own"}
    assert dict(question.targets)["own"].path == str(project / "things")
    assert len(panel.plan().packs) == 2
    panel.target_folder = ""
    assert "knn@own" not in panel.offered_tasks()


def test_own_images_are_not_taken_for_the_nets_own_classes(panel, project, machine, monkeypatch):
    write_classes(project / "things", "train/mug", "train/plate", "test/mug", "test/plate", images=4)
    panel.target_folder, panel.tasks, panel.seeds = "things", ("knn@own",), "0"
    tasks = panel.controls()[-3]
    assert ("knn@own: your images", "knn@own") in tasks.options
    assert ("knn@scenes", "knn@scenes") in tasks.options
    run_here(panel.ask(), machine)
    panel.refresh()
    html = panel.html()
    assert ">your images (own), nearest neighbours: 5 neighbours</small>" in html
    assert ">own classes: accuracy</small>" in html
    assert "on own, nearest neighbours" not in " ".join(html.split())
    assert "The question is answered by" not in html
    monkeypatch.setitem(answer_steps.ANSWERED_BY, panel.study, "a page")
    assert "The question is answered by <b>a page</b>. What pre-training gives here:" in panel.html()
    assert {study.name for study in answer_steps.ANSWERED_BY} >= {"influence", "scores", "advice"}
    (project / "things/train/mug/new.png").write_bytes(encoded(smooth(20, 50)))
    with pytest.warns(UserWarning, match="the source of own has changed since it was packed: 1 image added"):
        panel.answer()


def test_a_margin_that_cannot_be_is_said(panel):
    panel.widget()
    said = "margin is a share of the gain, from 0.0001 to 0.5: 2 became 0.5"
    for typed, margin, message in (
        ("0.25", 0.25, ""),
        ("2", 0.5, said),
        ("x", 0.5, said),
        ("0.2", 0.2, ""),
    ):
        panel.receive(Mock(), kind="text", control="margin", text=typed)
        assert (panel.margin, panel.message) == (margin, message)


def test_what_is_measured_says_so(panel, rates):
    panel.widget()
    panel.receive(Mock(), kind="press", button="Measure how long")
    assert panel.message == "The times in the plan are from what was measured on this machine before."


def test_of_an_own_folder_without_splits_some_images_are_held_out(panel, project):
    write_classes(project / "things", "mug", "plate", images=10)
    (project / "things/.unsorted").mkdir()
    shutil.copy(project / "things/mug/0.png", project / "things/.unsorted")
    panel.target_folder, panel.tasks = "things", ("knn@own",)
    assert dict(panel.ask().targets)["own"].options == (("val_fraction", 0.3),)
    read = "own: read as: class folders: train 14 images, val 6 images"
    assert f"{read}; left out: 1 image in the hidden folder .unsorted (" in panel.html()
    plain = dict(panel.ask().targets)["own"]
    question = replace(panel.ask(), targets=(("own", replace(plain, options=())),))
    with pytest.raises(ItlError, match="target own has training images alone.* option val_fraction: 0.3"):
        plan([question], panel.store, panel.machine, measure=False)


def test_an_own_target_is_read_by_the_source_that_is_chosen(panel, project):
    panel.target_folder, panel.target_source = str(containers.parquet(project / "pets")), "parquet"
    panel.tasks = ("knn@own",)
    own = dict(panel.ask().targets)["own"]
    assert (own.source, own.path) == ("parquet", str(project / "pets"))
    assert list(panel.plan().packs["images"]) == [64, 10]
    assert "target_source" in panel.settings
    with pytest.raises(ItlError, match="no source of images of one class each called 'parket'; did you mean"):
        panel.target_source = "parket"
    with pytest.raises(ItlError, match="called 'coco'"):  # boxes, which need a recipe of detection
        panel.target_source = "coco"


def test_what_is_typed_twice_or_in_vain_is_refused(project, panel):
    write_classes(project / "cups", "mug", "cup", images=4)
    for settings, says in (
        ({"options": "target: {empty: skip}"}, "options of target are for its folder, which is not given"),
        ({"options": "images: {empty: skip}"}, "options of images are for its folder, which is not given"),
        ({"options": "{"}, "the text of options"),
        (
            {"images_folder": "cups", "conditions": "images: {source: demo}\nimages_per_class: [4]"},
            "images are said twice, by conditions and by their folder",
        ),
    ):
        for name, value in settings.items():
            setattr(panel, name, value)
        with pytest.raises(ItlError, match=re.escape(says)):
            panel.ask()
        panel.options = panel.images_folder = ""


def test_a_folder_that_needs_an_option_is_read_with_it(project, panel):
    write_classes(project / "cups", "mug", "cup", images=4)
    (project / "cups/empty").mkdir()
    panel.target_folder, panel.tasks = "cups", ("knn@own",)
    with pytest.raises(ItlError, match="the option empty=skip"):
        panel.ask()
    panel.options = "target: {empty: skip}"
    (own,) = [packing for name, packing in panel.ask().targets if name == "own"]
    assert dict(own.options) == {"empty": "skip", "val_fraction": 0.3}
    panel.options = "target: {empty: skip, val_fraction: 0.5}"
    (own,) = [packing for name, packing in panel.ask().targets if name == "own"]
    assert dict(own.options)["val_fraction"] == 0.5
    for typed, says in (
        ("empty: skip", "options are of the folders, as in target: {empty: skip}; got {'empty': 'skip'}"),
        ("own: {empty: skip}", "options are those of images or target, not of own"),
        ("target: {emty: skip}", "no option of source folder called 'emty'"),
    ):
        panel.options = typed
        with pytest.raises(ItlError, match=re.escape(says)):
            panel.ask()


def test_every_control_has_a_name_and_sets_what_python_reads(panel):
    *named, tasks, margin, last = panel.controls()
    seeds = named[2]
    for control in (*named, tasks, margin, *last.children[1].children):
        assert control.description
    seeds.value = "7"
    tasks.value = ("knn@scenes", "probe@scenes")
    margin.value = 0.25
    assert (panel.ask().seeds, panel.ask().margin.share) == ((7,), 0.25)
    panel.seeds = "8, 9"
    assert seeds.value == "8, 9"
    name, buttons = last.children
    name.value = "Not A Name"
    next(button for button in buttons.children if button.description == "Save preset").click()
    assert "a preset's name has small letters" in panel.message
