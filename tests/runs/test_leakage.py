"""Leakage: a plan, provenance and the command count test images that nets have seen."""

import csv
import io

import pytest

from itl.__main__ import main
from itl.packs.paths import pack_folder
from itl.runs import plan
from itl.runs.questions import data_size
from itl.runs.store import Store
from tests.packs.test_duplicates import VARIANTS, picture, write
from tests.runs.test_plan import SHARED, made_up
from tests.worlds import FOUR, here


@pytest.fixture
def leaky_study(tmp_path):
    """Pre-training images and a target; two of its test images are copies of these, one of a scene."""
    write(tmp_path / "images", "train", {f"{seed}": picture(seed) for seed in range(12)})
    write(tmp_path / "images", "val", {f"{seed}": picture(seed) for seed in range(20, 24)})
    write(tmp_path / "scenes", "train", {f"{seed}": picture(seed) for seed in range(30, 38)})
    copies = {"exact": picture(0), "mirrored": VARIANTS["mirrored"](picture(1)), "own": picture(30)}
    write(tmp_path / "scenes", "test", copies | {f"{seed}": picture(seed) for seed in range(40, 45)})
    images, scenes = (
        {"source": "folder", "path": str(tmp_path / name), "size": 32} for name in ("images", "scenes")
    )
    return data_size(**SHARED | {"images": images, "targets": {"scenes": scenes}}, **FOUR)


def test_leakage_is_in_plan_provenance_and_command(leaky_study, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(plan, "calibrated", made_up)
    machine, store = here(tmp_path), Store(tmp_path / "runs")
    assert plan.plan([leaky_study], store, machine).duplicates == ()  # the packs are not built yet
    leaky_study.prepare(machine, log=str)
    none, one, two = "0 (0 exact, 0 near)", "1 (1 exact, 0 near)", "2 (1 exact, 1 near)"
    clean = f"of 4 val images of images, {none} are in the pre-training images, {none} in its other splits"
    leaky = f"of 8 test images of scenes, {two} are in the pre-training images, {one} in its other splits"
    folders = {name: pack_folder(packing, name, machine) for name, packing in leaky_study.packings().items()}
    command = f"itl duplicates {folders['scenes']} --pretraining {folders['images']}"
    lines = plan.plan([leaky_study], store, machine).duplicates
    assert lines == (f"duplicates: {clean}", f"duplicates: {leaky}; listed by {command}")
    items = leaky_study.provenance(store, machine).set_index("item")["value"]
    assert items["duplicates scenes"] == leaky
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
