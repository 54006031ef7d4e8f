"""Leakage: a plan, provenance and the command count test images that nets have seen."""

import csv
import io
import shutil

import pytest

from itl import ItlError
from itl.__main__ import main
from itl.packs.paths import pack_folder
from itl.packs.subset import select
from itl.runs import plan
from itl.runs.questions import data_size
from itl.runs.store import Store
from itl.specs import key
from tests.packs.test_duplicates import VARIANTS, picture, write
from tests.runs.test_plan import SHARED
from tests.worlds import FOUR, here


@pytest.fixture
def leaky(tmp_path):
    """Pre-training images and a target; two of its test images are copies of these, one of a scene."""
    write(tmp_path / "images", "train", {f"{seed}": picture(seed) for seed in range(12)})
    write(tmp_path / "images", "val", {f"{seed}": picture(seed) for seed in range(20, 24)})
    write(tmp_path / "scenes", "train", {f"{seed}": picture(seed) for seed in range(30, 38)})
    copies = {"exact": picture(0), "mirrored": VARIANTS["mirrored"](picture(1)), "own": picture(30)}
    write(tmp_path / "scenes", "test", copies | {f"{seed}": picture(seed) for seed in range(40, 45)})
    images, scenes = (
        {"source": "folder", "path": str(tmp_path / name), "size": 32} for name in ("images", "scenes")
    )
    return SHARED | {"images": images, "targets": {"scenes": scenes}}


def test_leakage_is_in_plan_provenance_and_command(leaky, tmp_path, rated, capsys):
    machine, store = here(tmp_path / "my home"), Store(tmp_path / "runs")
    study = data_size(**leaky, **FOUR)
    assert plan.plan([study], store, machine).duplicates == ()  # the packs are not built yet
    study.prepare(machine)
    none, one, two = "0 (0 exact, 0 near)", "1 (1 exact, 0 near)", "2 (1 exact, 1 near)"
    clean = f"of 4 val images of images, {none} are in the pre-training images, {none} in its other splits"
    seen = f"of 8 test images of scenes, {two} are in the pre-training images, {one} in its other splits"
    folders = {name: pack_folder(packing, name, machine) for name, packing in study.packings().items()}
    command = f"itl duplicates '{folders['scenes']}' --pretraining '{folders['images']}'"
    lines = plan.plan([study], store, machine).duplicates
    assert lines == (f"duplicates: {clean}", f"duplicates: {seen}; listed by\n  {command}")
    items = study.provenance(store, machine).set_index("item")["value"]
    assert items["duplicates scenes"] == seen
    assert {leak.target: leak.scored for leak in study.leakage(machine)} == {"images": 0, "scenes": 3}
    assert main(["duplicates", str(folders["scenes"]), "--pretraining", str(folders["images"])]) == 0
    out, err = capsys.readouterr()
    rows = [(row["image"], row["other"], row["kind"]) for row in csv.DictReader(io.StringIO(out))]
    assert rows == [
        ("train/a/30.png", "test/a/own.png", "exact"),
        ("train/a/0.png", "test/a/exact.png", "exact"),
        ("train/b/1.png", "test/b/mirrored.png", "near"),
    ]
    assert "1 (1 exact, 0 near) of 16 images are in two splits" in err
    assert "2 (1 exact, 1 near) of 16 images are in pre-training" in err


def test_duplicates_are_left_out_on_request_and_that_is_another_run(leaky, tmp_path, rated):
    machine, store = here(tmp_path), Store(tmp_path / "runs")
    subset = {"images_per_class": []} | {"subset": {"seed": 0}}
    with_them = data_size(**leaky, **subset)
    without = data_size(**leaky, **subset, leave_out_duplicates=True)
    packs = with_them.prepare(machine)
    specs = [study.runs(machine)[0].spec for study in (with_them, without)]
    assert specs[0].subset.without == ()
    assert specs[1].subset.without == (packs["scenes"].digest,)
    assert key(specs[0]) != key(specs[1])
    with pytest.raises(ItlError, match="were not compared with those of the pack"):
        select(packs["images"], specs[1].subset)
    plan.plan([without], store, machine)
    rows = [set(select(packs["images"], spec.subset).rows) for spec in specs]
    images = packs["images"].table["image"]
    assert sorted(images[row] for row in rows[0] - rows[1]) == ["train/a/0.png", "train/b/1.png"]
    assert rows[1] < rows[0]
    items = without.provenance(store, machine).set_index("item")["value"]
    assert items["duplicates left out of pre-training"] == "yes"
    seen = "2 (1 exact, 1 near) are in the pre-training images and left out there, 1 (1 exact, 0 near) in its"
    assert seen in items["duplicates scenes"]
    assert seen in plan.plan([without], store, machine).duplicates[1]
    assert {leak.target: leak.scored for leak in without.leakage(machine)} == {"images": 0, "scenes": 1}


def test_a_plan_counts_without_duplicates_once_packs_are_built(leaky, tmp_path, rated):
    machine, store = here(tmp_path), Store(tmp_path / "runs")
    settings = {"images_per_class": [5, 6], "subset": {"seed": 0}, "leave_out_duplicates": True}
    study = data_size(**leaky, **settings)
    plan.plan([study], store, machine)  # nothing is packed: what is left out is not known
    study.prepare(machine)
    says = r"6 images per class were asked for; class a has 5 in train \(2 of 2 classes have too few\)"
    with pytest.raises(ItlError, match=says):
        plan.plan([study], store, machine)
    plan.plan([data_size(**leaky, **settings | {"leave_out_duplicates": False})], store, machine)
    fewer = data_size(**leaky, **settings | {"images_per_class": [4, 5]})
    plan.plan([fewer], store, machine)


def test_a_target_without_images_to_score_on_is_refused_before_it_is_compared(leaky, tmp_path, rated):
    shutil.rmtree(tmp_path / "scenes/test")
    study = data_size(**leaky, images_per_class=[], subset={"seed": 0}, leave_out_duplicates=True)
    study.prepare(here(tmp_path))
    with pytest.raises(ItlError, match="target scenes has training images alone"):
        plan.plan([study], Store(tmp_path / "runs"), here(tmp_path))


def test_a_list_of_training_images_alone_is_refused_with_what_divides_it(leaky, tmp_path, rated):
    images = sorted((tmp_path / "scenes/train").rglob("*.png"))
    rows = [f"train/{image.parent.name}/{image.name},{image.parent.name}" for image in images]
    (tmp_path / "scenes/all.csv").write_text("\n".join(["file,label", *rows]))
    target = {"source": "lists", "path": str(tmp_path / "scenes"), "size": 32}
    study = data_size(**leaky | {"targets": {"scenes": target}}, images_per_class=[], subset={"seed": 0})
    with pytest.raises(
        ItlError, match="give it a split val or test: a column split of train, val or test in"
    ):
        plan.plan([study], Store(tmp_path / "runs"), here(tmp_path))


def test_a_plan_refuses_a_class_that_duplicates_leave_without_images(leaky, tmp_path, rated):
    copies = {f"copy{seed}": picture(seed) for seed in range(0, 12, 2)}  # those of class a
    write(tmp_path / "scenes", "test", copies)
    machine, store = here(tmp_path), Store(tmp_path / "runs")
    study = data_size(**leaky, images_per_class=[], subset={"seed": 0}, leave_out_duplicates=True)
    packs = study.prepare(machine)
    with pytest.raises(ItlError, match=r"leaves out all training images of a \(1 of 2 classes\), as each is"):
        plan.plan([study], store, machine)
    with pytest.raises(ItlError, match=r"leaves out all training images of a \(1 of 2 classes\), as each is"):
        select(packs["images"], study.runs(machine)[0].spec.subset)
