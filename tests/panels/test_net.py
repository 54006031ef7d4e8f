"""NetPanel without a page: what it shows of a net of the smallest study."""

import re
import shutil
from dataclasses import replace
from itertools import product
from unittest.mock import Mock

import pytest

from itl import ItlError
from itl.panels.net import NetPanel
from itl.runs.nets import net_of, targets_of
from itl.runs.store import Store
from itl.specs import NUMERICS, Pretrain, Transfer, key
from tests.accessible import faults
from tests.pictures import encoded, smooth
from tests.worlds import here, pretend, run_here, small_study

QUESTION = {"seeds": [0], "images_per_class": [0, 4]}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A store with one trained net that was measured on scenes, and its question."""
    machine = here(tmp_path_factory.mktemp("home"))
    question = small_study(**QUESTION)
    run_here(question, machine)
    return question, machine


@pytest.fixture
def trained(done) -> Pretrain:
    question, machine = done
    return next(run.spec for run in question.runs(machine) if isinstance(run.spec, Pretrain))


@pytest.fixture
def panel(done, trained) -> NetPanel:
    return NetPanel(key(trained), done[1])


def test_a_net_is_found_by_its_key_the_beginning_of_it_and_what_was_measured_on_it(done, trained):
    question, machine = done
    store = Store(machine.runs)
    transfer = next(
        run.spec
        for run in question.runs(machine)
        if isinstance(run.spec, Transfer) and run.spec.pretrain == trained
    )
    for run in (trained, transfer, key(trained), key(trained)[:8], key(transfer)):
        assert net_of(run, store) == trained
    assert targets_of(trained, store).keys() == {"scenes"}
    with pytest.raises(ItlError, match=r"the run 'abcdef' was asked for; 0 of the 4 runs"):
        net_of("abcdef", store)
    with pytest.raises(ItlError, match="a run is called by its key or the beginning of it, .*; got 5"):
        net_of(5, store)
    with pytest.raises(ItlError, match="give its first 4 letters, or as many as no other run has; `itl plan"):
        net_of(key(trained)[:1], store)


def test_two_packs_that_a_target_was_called_after_are_told_apart(done, tmp_path):
    question, machine = done
    shutil.copytree(machine.runs, tmp_path / "runs")
    store = Store(tmp_path / "runs")
    spec = next(run.spec for run in question.runs(machine) if isinstance(run.spec, Transfer))
    pretend([replace(spec, pack="0123456789ab")], store)
    targets = targets_of(spec.pretrain, store)
    names = {f"scenes (pack {pack})": pack for pack in ("0123456789ab", spec.pack)}
    assert {name: target.pack for name, target in targets.items()} == names


def test_the_legend_of_the_map_shortens_long_names(panel, monkeypatch):
    groups = [("x" * 200, "short")[number % 2] for number in range(len(panel.inspection.positions))]
    monkeypatch.setattr(type(panel.inspection), "groups", lambda _: groups)
    (ax,) = panel.feature_map().axes
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"x" * 39 + "…", "short"}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"Pretrain": {"subset": 1}}', '{"Transfer": {"method": "knn"}}']
)
def test_runs_of_another_version_are_in_no_ones_way(done, trained, tmp_path, text):
    store = Store(shutil.copytree(done[1].runs, tmp_path / "runs"))
    foreign = store.root / "pretrain" / ("0" * 12)
    shutil.copytree(store.path(trained), foreign)
    (foreign / "spec.json").write_text(text)
    assert targets_of(trained, store).keys() == {"scenes"}
    with pytest.raises(ItlError, match="run 000000000000 is of another version of itl; repeat it"):
        net_of("0000", store)


def test_a_measurement_by_other_numerics_is_no_way_to_a_net(done, tmp_path):
    store = Store(shutil.copytree(done[1].runs, tmp_path / "runs"))
    file = next(store.root.glob("transfer/*/spec.json"))
    assert net_of(file.parent.name, store)
    file.write_text(file.read_text().replace(f'"numerics":{NUMERICS}', f'"numerics":{NUMERICS - 1}'))
    with pytest.raises(ItlError, match=f"run {file.parent.name} is of another version of itl; repeat it"):
        net_of(file.parent.name, store)


def test_a_target_measured_by_a_method_of_another_version_is_left_out(done, trained, tmp_path):
    store = Store(shutil.copytree(done[1].runs, tmp_path / "runs"))
    for file in store.root.glob("*/*/spec.json"):
        file.write_text(file.read_text().replace('"knn"', '"knnn"'))
    assert targets_of(trained, store) == {}


def test_its_own_validation_images_as_the_run_scored_them(done, trained, panel):
    result = Store(done[1].runs).result(trained)
    assert 100 * panel.inspection.table["correct"].mean() == pytest.approx(result["metrics"]["accuracy"])
    assert len(panel.inspection.table) == 16
    assert panel.curve["epochs"] > 1


def folder_study(home, **splits: int):
    """The question on images in class folders: so many of two classes in each split of *splits*."""
    for split, count in splits.items():
        for number, name in product(range(count), ("cup", "plate")):
            file = home / "mine" / split / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded(smooth(32, 32) // (number + 1), "PNG"))
    images = {"source": "folder", "path": str(home / "mine"), "size": 32}
    return small_study(**QUESTION | {"images": images})


@pytest.mark.parametrize(
    ("splits", "offered", "title"),
    [
        ({"train": 4, "val": 2}, ["own classes", "scenes"], "Validation images of its own classes."),
        ({"train": 4, "test": 2}, ["own classes", "scenes"], "Test images of its own classes."),
        ({"train": 4}, ["scenes"], "Target scenes."),
    ],
)
def test_own_classes_are_offered_where_there_are_images_to_look_at(tmp_path, splits, offered, title):
    """Photographs in class folders are often training images alone."""
    question, machine = folder_study(tmp_path, **splits), here(tmp_path)
    run_here(question, machine)
    panel = NetPanel(question.runs(machine)[0].spec, machine)
    assert panel.over == offered[0]
    assert panel.offered == offered
    assert title in panel.html()
    panel.widget()


def test_a_net_that_was_not_trained_is_called_so(done):
    question, machine = done
    nets = [run.spec.pretrain for run in question.runs(machine) if isinstance(run.spec, Transfer)]
    untrained = next(net for net in nets if not net.trained)
    assert ": small, as initialised, without pre-training; a head for " in NetPanel(untrained, machine).html()


def test_a_net_whose_packs_are_gone_says_so(done, trained, tmp_path):
    _, machine = done
    (home := here(tmp_path)).runs.parent.mkdir(exist_ok=True)
    shutil.copytree(machine.runs, home.runs)
    says = r"^the images of run \w+ and of its targets \(scenes\) are not packed here as they were then; put"
    with pytest.raises(ItlError, match=says):
        NetPanel(key(trained), home)


def test_a_net_without_images_to_look_at_is_one_line(tmp_path):
    question, machine = folder_study(tmp_path, train=4), here(tmp_path)
    run_here(question, machine)
    shutil.rmtree(machine.runs / "transfer")
    with pytest.raises(ItlError, match="its own are for training alone, and it is measured on no target"):
        NetPanel(question.runs(machine)[0].spec, machine)


def test_labels_from_a_file_are_those_of_the_file_that_the_run_read(tmp_path, monkeypatch):
    """A key, and so spec.json, has the digest of the file and not its path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "listed").write_text("cup\nplate\n")
    labels = "file@listed"
    question, machine = folder_study(tmp_path, train=5, val=2), here(tmp_path)
    settings = {"subset": {"labels": labels}, "tasks": [f"knn@images/{labels}"], "images": question.images}
    question = small_study(**QUESTION | settings)
    store = run_here(question, machine)
    run = next(run for run in question.runs(machine) if run.task == "own")
    assert net_of(key(run.spec), store) == run.spec
    panel = NetPanel(key(run.spec), machine)
    assert panel.offered[0] == "own classes"
    for over in panel.offered:
        panel.over = over
        assert panel.inspection.images.classes == ("cup", "plate")
    (tmp_path / "listed").write_text("cup\n")
    with pytest.raises(ItlError, match="listed is not as it was when its label set was chosen"):
        _ = NetPanel(key(run.spec), machine).inspection
    provenance = store.path(run.spec) / "provenance.json"
    provenance.write_text(provenance.read_text().replace('"labels"', '"unread"'))
    with pytest.raises(ItlError, match="is known by its digest alone, as its run did not record its path; "):
        _ = NetPanel(key(run.spec), machine).inspection


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        (
            10,
            "10 of 12 images, evenly spread. Judged by the 5 nearest training images, among 10 of 18, ev",
        ),
        (15, "</b>  Judged by the 5 nearest training images, among 15 of 18, evenly spread."),
        (18, "</b>  Judged by the 5 nearest training images."),
    ],
)
def test_a_limit_of_the_training_images_is_said_too(done, trained, limit, says):
    panel = NetPanel(trained, done[1], limit)
    panel.over = "scenes"
    assert says in panel.html()


@pytest.mark.parametrize("limit", [0, -5, "a", 1.5])
def test_a_limit_is_a_number_of_images(done, trained, limit):
    with pytest.raises(
        ItlError, match=f"limit is the number of images that are looked at, from 1, not {limit!r}"
    ):
        NetPanel(trained, done[1], limit)


def test_node_image_and_target_are_chosen_in_python_or_by_the_controls_alike(panel):
    over, find, node, image, _ = panel.controls()
    table = panel.inspection.nodes
    worst = table.sort_values("wrong", ascending=False).iloc[0]
    node.value = worst["node"]
    assert panel.node == worst["node"]
    assert len(panel.wrong()) == worst["wrong"]
    image.value = panel.wrong()["image"].iloc[0]
    assert panel.image == image.value
    assert len(panel.neighbours()) == 12
    panel.over = "scenes"
    assert (over.value, panel.image, image.value) == ("scenes", "", "")
    assert len(panel.inspection.table) == 12
    with pytest.raises(
        ItlError, match="no target that this net was measured on called 'scene'; did you mean"
    ):
        panel.over = "scene"


def test_typing_narrows_the_nodes_and_keeps_the_one_that_is_chosen(panel):
    _, find, node, _, _ = panel.controls()
    chosen = panel.inspection.nodes["node"].iloc[-1]
    panel.node = chosen
    words = {value: text for text, value in node.options}[chosen]
    find.value = "nothing is called so"
    assert node.value == chosen
    (first, _), (second, _) = node.options
    assert first.startswith("no node has 'nothing is called so' in its name; all · ")
    assert second == words, "not only its wnid"
    find.value = "entity"
    assert [text for text, _ in node.options][1].startswith("entity · ")
    assert panel.nodes(panel.inspection.nodes["node"].iloc[1])[1][1] == panel.inspection.nodes["node"].iloc[1]


def test_every_control_has_a_name_and_the_picture_can_be_read(panel):
    for control in panel.controls():
        for part in getattr(control, "children", [control]):
            assert part.description
    panel.image = panel.wrong()["image"].iloc[0] if len(panel.wrong()) else ""
    page = panel.html()
    assert faults(f'<html lang="en"><h1>net</h1>{page}</html>') == []
    assert "<script" not in page
    assert len(re.findall("<img ", page)) == len(panel.wrong()) + 12 * bool(panel.image) + 1


def test_the_picture_is_all_that_a_program_leaves_and_follows_python(panel, monkeypatch):
    monkeypatch.setattr("itl.panels.panel.is_executed_by_program", lambda: True)
    monkeypatch.setattr("itl.panels.panel.display", display := Mock())
    panel._ipython_display_()
    assert set(display.call_args.args[0]) == {"text/plain", "text/html"}
    panel.over = "scenes"
    display.return_value.update.assert_called_once()
    assert "Target scenes." in display.return_value.update.call_args.args[0]["text/html"]


def test_the_picture_beside_live_controls_says_of_when_it_is(panel, monkeypatch):
    shown = []
    monkeypatch.setattr("itl.panels.panel.display", lambda data, **_: shown.append(data))
    panel._ipython_display_()
    note = "<p>As it was when the cell was run; changes by clicks since then are not shown here.</p>"
    assert shown[-1]["text/html"] == note + panel.picture()


def test_a_node_without_images_is_refused_and_changes_nothing(panel):
    with pytest.raises(ItlError, match="none of the 16 images is under n00000000"):
        panel.node = "n00000000"
    assert panel.node == ""


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("image", "nothing", r"image 'nothing' is not among those looked at; NetPanel.wrong\(\) lists some"),
        ("page", 99, "there is no page 99 of images that are wrong; pages are 0 to 0"),
        ("page", -1, "there is no page -1 of images that are wrong; pages are 0 to 0"),
    ],
)
def test_an_image_or_page_that_is_not_there_is_refused_and_changes_nothing(panel, name, value, says):
    before = getattr(panel, name)
    with pytest.raises(ItlError, match=says):
        setattr(panel, name, value)
    assert getattr(panel, name) == before


def test_a_live_panel_shows_what_cannot_be_shown_as_a_message(panel, monkeypatch):
    picture = panel.widget().children[-2]
    monkeypatch.setattr(panel.store, "result", lambda spec: panel.inspection.under("n00000000"))
    panel.redraw()
    assert "none of the 16 images is under n00000000" in picture.value
