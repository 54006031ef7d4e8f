"""Presets: read whole or refused in one line."""

import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from itl import ItlError
from itl.presets import copy_shipped, find_notebooks, find_presets, load_preset, working_folder, write_preset
from tests.pictures import forked

GOOD = "about: a test\nnotebooks:\n  01-data-size: {seeds: [0]}\n"


def test_a_preset(tmp_path):
    (tmp_path / "mine.yaml").write_text(GOOD)
    preset = load_preset("mine", tmp_path)
    assert (preset.name, preset.notebooks) == ("mine", {"01-data-size": {"seeds": [0]}})
    by_path = load_preset(str(tmp_path / "mine.yaml"), tmp_path / "nowhere")
    assert (by_path.name, by_path.notebooks) == (preset.name, preset.notebooks)
    assert (preset.reference, by_path.reference) == ("mine", str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("mime", GOOD, "no preset called 'mime'; did you mean 'mine'"),
        ("mine", GOOD.replace("notebooks", "notebook"), "called 'notebook'; did you mean 'notebooks'"),
        ("mine", GOOD + "name: other\n", "no field of preset .* called 'name'"),
        ("mine", "about: [", "not YAML"),
        ("mine", "just words", "should hold about: and notebooks:; it is one value$"),
        ("mine", "- a", "should hold about: and notebooks:; it is a list$"),
        ("mine", "", "mine.yaml should hold about: and notebooks:; it is empty$"),
        (
            "mine",
            GOOD + "  01-data-size: {}\n",
            "has the key 01-data-size twice, in lines 3 and 4; .* keep one",
        ),
        (
            "mine",
            "about: x\nnotebooks: {1: {}}\n",
            "^a name in notebooks of preset .* should be text, not 1$",
        ),
        (
            "mine",
            "about: x\nnotebooks: {01-data-size: {5: 1}}\n",
            "^a name in item 01-data-size of notebooks of preset .* should be text, not 5$",
        ),
        ("mine", "about: x\nnotebooks: {01-data-size: 3}\n", "item 01-data-size of notebooks .* not 3"),
        ("/nowhere/else.yaml", GOOD, "cannot read preset"),
    ],
)
def test_presets_that_cannot_be(tmp_path, name, text, says):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ItlError, match=says) as raised:
        load_preset(name, tmp_path)
    assert "\n" not in str(raised.value)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty folder, in which we stand."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_presets_and_notebooks_are_found_from_anywhere(elsewhere):
    assert load_preset("demo").notebooks.keys() <= find_notebooks().keys()
    with pytest.raises(ItlError, match="no preset called 'dmeo'; did you mean 'demo'"):
        load_preset("dmeo")


def test_those_of_the_project_go_first(elsewhere):
    shipped = find_notebooks()
    (elsewhere / "params").mkdir()
    (elsewhere / "params/demo.yaml").write_text(GOOD)
    (elsewhere / "notebooks").mkdir()
    (elsewhere / "notebooks/01-data-size.ipynb").touch()
    assert load_preset("demo").about == "a test"
    assert load_preset("tiny").about != "a test"
    assert find_presets()["demo"] == elsewhere / "params/demo.yaml"
    own = {"01-data-size": elsewhere / "notebooks/01-data-size.ipynb"}
    assert find_notebooks() == shipped | own
    assert find_notebooks(elsewhere / "notebooks") == own
    assert working_folder(own["01-data-size"]) == working_folder(shipped["01-data-size"]) == elsewhere


def test_half_a_copy_is_not_left(elsewhere, monkeypatch):
    def full(source, target, **_):
        Path(target).mkdir(parents=True)
        if Path(target).name == "notebooks":
            raise shutil.Error([(source, target, "[Errno 28] No space left on device")])

    monkeypatch.setattr("shutil.copytree", full)
    with pytest.raises(
        ItlError, match=r"cannot copy to .*/mine: \[Errno 28\] No space left on device; free space"
    ):
        copy_shipped(elsewhere / "mine")
    assert list((elsewhere / "mine").iterdir()) == []


@pytest.mark.parametrize("copied", [0, 1, 20])
def test_a_copy_that_is_killed_is_no_copy(elsewhere, monkeypatch, copied):
    def work():
        copy2, calls = shutil.copy2, iter(range(copied + 1))

        def kill_at_last(*arguments, **options):
            if next(calls) == copied:
                os.kill(os.getpid(), signal.SIGKILL)
            return copy2(*arguments, **options)

        monkeypatch.setattr(
            "itl.presets.shutil.copytree", partial(shutil.copytree, copy_function=kill_at_last)
        )
        copy_shipped(elsewhere / "mine")

    _, status = os.waitpid(forked(work), 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    made = copy_shipped(elsewhere / "mine")
    assert sorted((elsewhere / "mine").iterdir()) == sorted(made)
    assert len(list(made[0].iterdir())) == len(find_presets())


def test_a_preset_may_be_a_path_and_nothing_that_is_no_name(tmp_path):
    (tmp_path / "mine.yaml").write_text(GOOD)
    assert load_preset(tmp_path / "mine.yaml").name == "mine"
    (tmp_path / "mine.yaml").rename(tmp_path / "mine.yml")
    assert load_preset(tmp_path / "mine.yml").name == "mine"
    for name in (3, None, ["demo"]):
        with pytest.raises(
            ItlError, match="a preset is called by its name, such as demo, or the path of its"
        ):
            load_preset(name)


def test_a_shipped_preset_is_not_hidden_by_a_saved_one(elsewhere):
    with pytest.raises(ItlError, match="demo is a preset that comes with itl; choose another name"):
        write_preset("demo", {"about": "mine", "notebooks": {}}, elsewhere / "params")
    assert not (elsewhere / "params").exists()


def test_a_disk_that_gets_full_leaves_no_half_preset(elsewhere):
    write = f"""
import resource, signal
from itl.presets import write_preset
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_preset("long", {{"about": "x" * 5000, "notebooks": {{}}}}, {str(elsewhere / "params")!r})
"""
    ended = subprocess.run([sys.executable, "-c", write], capture_output=True, text=True, check=False)
    assert ended.stderr.endswith("long.yaml: File too large; free space or allow writing there\n")
    assert not list((elsewhere / "params").iterdir())


def test_copies_are_whole_and_never_written_over(elsewhere):
    made = copy_shipped(elsewhere / "mine")
    assert made == [elsewhere / "mine/params", elsewhere / "mine/notebooks"]
    copies = {path.name: path.read_bytes() for folder in made for path in folder.iterdir()}
    shipped = [*find_presets().values(), *find_notebooks().values()]
    assert copies == {path.name: path.read_bytes() for path in shipped}
    (made[0] / "demo.yaml").write_text(GOOD)
    with pytest.raises(ItlError, match="mine/params exists already and is not overwritten; name another"):
        copy_shipped(elsewhere / "mine")
    assert (made[0] / "demo.yaml").read_text() == GOOD


def test_a_preset_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text(GOOD)
    denied = PermissionError(13, "Permission denied")
    monkeypatch.setattr(Path, "read_text", lambda *_: (_ for _ in ()).throw(denied))
    with pytest.raises(ItlError, match=r"mine.yaml: Permission denied; allow reading it$"):
        load_preset("mine", tmp_path)
    monkeypatch.setattr("itl.presets.os.access", lambda folder, mode: False)
    with pytest.raises(ItlError, match=r"^the params in .* cannot be listed; allow reading that folder$"):
        load_preset("mine", tmp_path)
