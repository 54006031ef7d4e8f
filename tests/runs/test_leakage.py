"""Leakage: a plan, provenance and the command count test images that nets have seen."""

import csv
import io
import os
import shutil
from dataclasses import replace

import pytest

from itl import ItlError
from itl.__main__ import main
from itl.evaluation.target import target_of
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
    clean = f"of 4 val images of images, {none} are in the pre-training images, {none} in its training images"
    seen = f"of 8 test images of scenes, {two} are in the pre-training images, {one} in its other splits"
    folders = {name: pack_folder(packing, name, machine) for name, packing in study.packings().items()}
    command = f"itl duplicates '{folders['scenes']}' --pretraining '{folders['images']}'"
    lines = plan.plan([study], store, machine).duplicates
    assert lines == (f"duplicates: {clean}", f"duplicates: {seen}; listed by\n  {command}")
    items = study.provenance(store, machine).set_index("item")["value"]
    assert items["duplicates scenes"] == seen
    leaks = study.run_leakage(machine).leaks
    assert {leak.target: leak.scored for leak in leaks} == {"images": 0, "scenes": 3}
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


def test_duplicates_are_left_out_on_request_and_that_is_another_run(leaky, tmp_path, rated, monkeypatch):
    machine, store = here(tmp_path), Store(tmp_path / "runs")
    subset = {"images_per_class": []} | {"subset": {"seed": 0}}
    with_them = data_size(**leaky, **subset)
    without = data_size(**leaky, **subset, leave_out_duplicates=True)
    packs = with_them.prepare(machine)
    specs = [study.runs(machine)[0].spec for study in (with_them, without)]
    assert specs[0].subset.without == ()
    assert specs[1].subset.without == (packs["scenes"].digest,)
    assert key(specs[0]) != key(specs[1])
    with pytest.raises(ItlError, match="were not compared with those of the pack .*compares them$"):
        select(packs["images"], specs[1].subset)
    with monkeypatch.context() as patch:
        patch.setattr("os.access", lambda path, mode: mode != os.W_OK)
        with pytest.raises(ItlError, match="where .*/packs, which keeps the answer, may be written: "):
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
    leaks = without.run_leakage(machine).leaks
    assert {leak.target: leak.scored for leak in leaks} == {"images": 0, "scenes": 1}


def test_a_plan_names_the_questions_where_only_some_leave_duplicates_out(leaky, tmp_path, rated):
    machine, store = here(tmp_path), Store(tmp_path / "runs")
    whole = {"images_per_class": [], "subset": {"seed": 0}}
    with_them = data_size(**leaky, **whole)
    without = replace(data_size(**leaky, **whole, leave_out_duplicates=True), name="another")
    without.prepare(machine)
    lines = plan.plan([with_them, without], store, machine).duplicates
    begins = [line.split(" of ")[0] for line in lines]
    assert begins == ["duplicates in data-size:"] * 2 + ["duplicates in another:"] * 2


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


def picked(study, machine, task: str) -> dict[int, list[int | None]]:
    """How many images that the runs of *task* are scored on were seen, by seed."""
    seen, by_seed = study.run_leakage(machine), {}
    for run in study.runs(machine):
        if run.task == task:
            by_seed.setdefault(run.seed, []).append(seen.scored(run))
    return by_seed


def test_what_is_seen_is_counted_among_what_a_task_is_scored_on(leaky, tmp_path, rated):
    """Two of the three copies are of class a, one of class b: half of the classes are scored in each half."""
    machine, tasks = here(tmp_path), ["knn@scenes", "knn@scenes/without@b", "knn@scenes/without@a"]
    (tmp_path / "tree.csv").write_text("child,parent\na,both\nb,both\n")
    settings = leaky | FOUR | {"tasks": tasks, "seeds": [0], "taxonomy": str(tmp_path / "tree.csv")}
    study = data_size(**settings)
    study.prepare(machine)
    counts = {task: picked(study, machine, task) for task in tasks}
    assert counts == {tasks[0]: {0: [3]}, tasks[1]: {0: [2]}, tasks[2]: {0: [1]}}
    worst = study.run_leakage(machine).by_task(study.runs(machine))
    assert {task: (leak.scored, leak.images) for task, leak in worst.items()} == {
        tasks[0]: (3, 8),
        tasks[1]: (2, 4),
        tasks[2]: (1, 4),
    }


def test_of_few_training_images_only_those_that_are_drawn_are_seen(leaky, tmp_path, rated):
    """The copy of a training image counts for the seeds that learn from it: one of four of its class."""
    shutil.rmtree(tmp_path / "images/train")
    write(tmp_path / "images", "train", {f"{seed}": picture(seed) for seed in range(50, 62)})
    machine, seeds = here(tmp_path), list(range(12))
    study = data_size(**leaky | FOUR | {"tasks": ["knn@scenes:1", "knn@scenes:4"], "seeds": seeds})
    packs = study.prepare(machine)
    spec = {run.seed: run.spec for run in study.runs(machine) if run.task == "knn@scenes:1"}
    drawn = {seed: target_of(of, packs["scenes"]).train.rows for seed, of in spec.items()}
    images = packs["scenes"].table["image"]
    learns = {seed: [int("train/a/30.png" in set(images.iloc[rows]))] for seed, rows in drawn.items()}
    assert {count for (count,) in learns.values()} == {0, 1}
    assert picked(study, machine, "knn@scenes:1") == learns
    assert picked(study, machine, "knn@scenes:4") == {seed: [1] for seed in seeds}


def test_of_several_training_images_like_one_those_that_are_drawn_count(leaky, tmp_path, rated):
    """Two test images are like seven training images; the list has the nearest, which few seeds draw."""
    shutil.rmtree(tmp_path / "images/train")
    write(tmp_path / "images", "train", {f"{seed}": picture(seed) for seed in range(50, 62)})
    ways = [VARIANTS["exact"], VARIANTS["larger"], VARIANTS["mirrored"]] * 2
    copies = {f"{1000 + number}": way(picture(30)) for number, way in enumerate(ways)}
    write(tmp_path / "scenes", "train", copies)
    write(tmp_path / "scenes", "test", {"smaller": VARIANTS["smaller"](picture(30))})
    machine, seeds = here(tmp_path), list(range(12))
    study = data_size(**leaky | FOUR | {"tasks": ["knn@scenes:1"], "seeds": seeds})
    packs = study.prepare(machine)
    images, expected, kinds = packs["scenes"].table["image"], {}, set()
    near = {f"train/{name}/100{number}.png" for number, name in enumerate("ababab") if number % 3}
    exact = {"train/a/30.png", "train/a/1000.png", "train/b/1003.png"}
    leakage = study.run_leakage(machine)
    for run in study.runs(machine):
        if run.task == "knn@scenes:1":
            drawn = set(images.iloc[target_of(run.spec, packs["scenes"]).train.rows])
            expected[run.seed] = [2 * bool(drawn & (exact | near))]
            if own := leakage.of(run).own["kind"].tolist():
                kinds.add((bool(drawn & exact), "exact" in own))
    assert {count for (count,) in expected.values()} == {0, 2}
    assert picked(study, machine, "knn@scenes:1") == expected
    assert kinds == {(True, True), (False, False)}


@pytest.mark.parametrize(
    ("left_out", "tasks", "own", "knn"),
    [
        (False, ["knn@images"], 1, 1),
        (True, ["knn@images"], 0, 1),  # a target learns from its own training images all the same
        (True, ["knn@scenes"], 1, None),
    ],
)
def test_validation_images_that_training_leaves_out_are_not_seen(
    leaky, tmp_path, rated, left_out, tasks, own, knn
):
    write(tmp_path / "images", "val", {"copy": picture(2)})
    machine = here(tmp_path)
    whole = {"images_per_class": [], "subset": {"seed": 0}, "tasks": tasks, "leave_out_duplicates": left_out}
    study = data_size(**leaky | whole | {"seeds": [0]})
    study.prepare(machine)
    assert picked(study, machine, "own") == {0: [own]}
    assert picked(study, machine, "knn@images") == ({0: [knn]} if knn is not None else {})


@pytest.mark.parametrize("left_out", [False, True])  # leaves out what targets score: the copies in test
def test_own_classes_are_scored_on_val_where_there_is_a_test_split_too(leaky, tmp_path, rated, left_out):
    write(tmp_path / "images", "val", {"copy": picture(2), "of_test": picture(70)})
    write(tmp_path / "images", "test", {f"{seed}": picture(seed) for seed in (3, 4, 70, 71)})
    machine, store = here(tmp_path), Store(tmp_path / "runs")
    study = data_size(
        **leaky | {"images_per_class": [], "subset": {"seed": 0}, "tasks": ["knn@images"], "seeds": [0]},
        leave_out_duplicates=left_out,
    )
    study.prepare(machine)
    assert picked(study, machine, "own") == {0: [1]}
    assert picked(study, machine, "knn@images") == {0: [3]}
    assert [(leak.target, leak.split) for leak in study.run_leakage(machine).leaks] == [
        ("images", "val"),
        ("images", "test"),
        ("scenes", "test"),
    ]
    val = "of 6 val images of images, 0 (0 exact, 0 near) are in the pre-training images"
    test = "of 4 test images of images, 0 (0 exact, 0 near) are in the pre-training images"
    left = " and left out there" * left_out
    texts = [
        f"{val}, 1 (1 exact, 0 near) in its training images",
        f"{test}{left}, 3 (3 exact, 0 near) in its other splits",
    ]
    items = study.provenance(store, machine).set_index("item")["value"]
    assert items["duplicates images"] == "; ".join(texts)
    lines = plan.plan([study], store, machine).duplicates
    assert [line.splitlines()[0] for line in lines[:2]] == [
        f"duplicates: {text}; listed by" for text in texts
    ]


def test_questions_that_may_write_nothing_compare_their_packs_once(
    leaky, tmp_path, rated, caplog, monkeypatch
):
    caplog.set_level("INFO", "itl")
    machine = here(tmp_path)
    study = data_size(**leaky, **FOUR)
    study.prepare(machine)
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    for _question in range(2):
        assert [leak.scored for leak in study.run_leakage(machine).leaks] == [0, 3]
    assert [line.split(" among ")[0] for line in caplog.messages if line.startswith("looking")] == [
        "looking for the val images of images",
        "looking for the test images of scenes",
    ]
