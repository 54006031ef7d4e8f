"""Tasks from their names to rows of results: every method, few shots, other labels, a named protocol."""

import re
import warnings
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from itl import ItlError
from itl.hierarchy import taxonomies
from itl.packs.paths import packed
from itl.packs.subset import select
from itl.runs.design import Task
from itl.runs.executors import with_needs
from itl.runs.perform import perform
from itl.runs.store import Store
from itl.specs import Transfer, key
from itl.training.batches import Batches
from itl.training.loop import load_weights, predict
from itl.training.nets import build, norms
from tests.annotated import written
from tests.pictures import encoded, smooth, tree
from tests.sources import containers
from tests.worlds import FOUR, IMAGES, SETTINGS, here, pretend, small_study

OBJECTS = {
    "source": "demo-detection",
    "size": 64,
    "fit": "pad",
    "options": {"train": 3, "test": 1, "size": 64},
}
PEOPLE = {"source": "demo-actions", "size": 32, "options": {"train": 4, "test": 2, "size": 48}}
TUNING = {
    "finetune": {"steps": 2, "batch": 4, "pixels": 24, "lrs": [0.01, 0.02]},
    "actions": {"steps": 2, "batch": 8, "pixels": 24},
    "detection": {"steps": 2, "batch": 4, "pixels": 64, "proposals": 20, "rois": 8},
}


@pytest.mark.parametrize(
    ("text", "method", "target", "labels", "few"),
    [
        ("knn@scenes", "knn", "scenes", "original", None),
        ("probe@scenes:5", "probe", "scenes", "original", 5),
        ("induction@images/bottom-up@9", "induction", "images", "bottom-up@9", None),
        (
            "induction@images/bottom-up@9+without@n02084071,n02121620:50",
            "induction",
            "images",
            "bottom-up@9+without@n02084071,n02121620",
            50,
        ),
    ],
)
def test_a_task_is_read_from_its_name(text, method, target, labels, few):
    assert Task.read(text) == Task(text, method, target, labels, few)


@pytest.mark.parametrize("text", ["knn", "@a", "knn@", "knn@a b", "knn@a:", "knn@a:-1", "knn@a/b/c"])
def test_what_is_no_task_is_refused(text):
    with pytest.raises(ItlError, match="is not METHOD@TARGET"):
        Task.read(text)


def test_every_kind_of_task_runs_from_its_name_to_its_rows(tmp_path, rated, in_this_process):
    machine, store = here(tmp_path, workers=1), Store(tmp_path / "runs")
    tasks = [
        "finetune@scenes:4",
        "probe@scenes",
        "knn@scenes:5",
        "induction@images",
        "detection@objects",
        "actions@people",
        "actions@people:2",
    ]
    targets = SETTINGS["targets"] | {"objects": OBJECTS, "people": PEOPLE}
    question = small_study(targets=targets, tasks=tasks, tuning=TUNING, **FOUR, seeds=[0])
    assert set(question.plan(store, machine)["state"]) == {"to do"}
    question.run(store, machine)
    assert set(question.plan(store, machine)["state"]) == {"done"}
    results = question.results(store, machine).set_index(["task", "metric"])
    metrics = {task: list(results.loc[task].index) for task in results.index.get_level_values(0).unique()}
    assert metrics == {
        "own": ["accuracy"],
        "finetune@scenes:4": ["accuracy"],
        "probe@scenes": ["accuracy"],
        "knn@scenes:5": ["knn1", "knn5"],
        "induction@images": ["accuracy", "chance", "knn1", "knn5"],
        "detection@objects": ["map", "map_area", "recall"],
        "actions@people": ["map"],
        "actions@people:2": ["map"],
    }
    assert results["value"].between(0, 100).all()
    runs = [run for run in question.runs(machine) if isinstance(run.spec, Transfer)]
    done = {run.task: store.result(run.spec) for run in runs}
    images = {task: result["images"] for task, result in done.items()}
    assert (images["finetune@scenes:4"], images["probe@scenes"], images["knn@scenes:5"]) == (12, 18, 15)
    assert (images["actions@people"], images["actions@people:2"]) == (40, 20)
    assert done["finetune@scenes:4"]["chosen"]["lr"] in (0.01, 0.02)
    assert {run["split"] for task, run in done.items() if task != "induction@images"} == {"test"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"net": "smal"}, "data-size: no net .*called 'smal'; did you mean 'small'"),
        ({"images_per_class": [4, 99]}, "data-size, images_per_class 99: 99 images per class were asked for"),
        ({"tasks": ["knn@scenes:9"]}, "9 images per class were asked for; .* has 6 in train"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_packed(tmp_path, in_this_process, change, says):
    with pytest.raises(ItlError, match=says):
        small_study(**change).run(Store(tmp_path / "runs"), here(tmp_path))
    assert not list(tmp_path.glob("packs/*/pack.json"))


def test_a_published_division_is_named_in_every_row(tmp_path, in_this_process):
    root = tmp_path / "SUN397"
    for name in ("a/abbey", "b/beach/sandy"):
        (root / name).mkdir(parents=True)
        for number in range(12):
            colour = (number * 20, 90, 200 * (name[0] == "b"))
            Image.new("RGB", (24, 20), colour).save(root / name / f"{number}.jpg")
    for part, numbers in (("Training", range(6)), ("Testing", range(6, 10))):
        lines = [f"/{name}/{number}.jpg" for name in ("a/abbey", "b/beach/sandy") for number in numbers]
        (root / f"{part}_03.txt").write_text("\n".join(lines))
    target = {"source": "sun397", "size": 24, "options": {"partition": 3}}
    machine, store = here(tmp_path, data=(f"sun={root}",)), Store(tmp_path / "runs")
    question = small_study(targets={"sun": target}, tasks=["probe@sun:4"], **FOUR, seeds=[0])
    question.run(store, machine)
    row = question.results(store, machine).query("task == 'probe@sun:4'").iloc[0]
    assert (row["protocol"], row["split"], row["metric"]) == (
        "SUN397 partition 03, 20 of 39,700 images",
        "test",
        "accuracy",
    )


def test_a_question_on_a_tree_of_the_user(tmp_path):
    """Runs whose labels need the tree name it by digest, find it in another process, and use it."""
    machine, store = here(tmp_path, data=(str(tmp_path),)), Store(tmp_path / "runs")
    plain = small_study(tasks=["knn@scenes", "induction@images"], **FOUR, seeds=[0])
    plain.prepare(machine)
    wnids = sorted(set(packed(plain.images, "images", machine).table["wnid"]))
    pairs = [f"{wnid},{'first' if wnid in wnids[:2] else 'second'}" for wnid in wnids]
    (tmp_path / "mine.csv").write_text("\n".join(["child,parent", *pairs, "first,all", "second,all"]))
    own = replace(
        plain, taxonomy="mine.csv", conditions=(replace(plain.conditions[0], labels="bottom-up@1"),)
    )
    scored = replace(plain, tasks=(*plain.tasks, Task.read("scores@scenes")))
    before, after = scored.runs(machine), replace(scored, taxonomy="mine.csv").runs(machine)
    same = {run.task: run.spec in {run.spec for run in before} for run in after}
    assert same == {"own": True, "knn@scenes": True, "induction@images": False, "scores@scenes": False}
    assert {run.spec.subset.tree for run in own.runs(machine) if run.task == "own"} == {
        own.tree(machine).digest
    }
    coarse = small_study(
        tasks=["probe@images/bottom-up@1:8", "induction@images/only@first"], **FOUR, seeds=[0]
    )
    own = replace(own, tasks=(*own.tasks, *coarse.tasks))
    own.prepare(machine)
    taxonomies.opened.clear()
    specs = [run.spec for run in own.runs(machine)]
    for spec in specs:
        perform(spec, store, machine)
    assert store.result(specs[0])["classes"] == 2
    *_, probe, induction = (store.result(spec) for spec in specs)
    assert (probe["classes"], probe["images"], induction["classes"]) == (2, 16, 2)
    nodes = pd.read_csv(store.path(specs[2]) / "nodes.csv")
    assert nodes["node"].tolist() == ["all", "first", "second"]


def test_a_list_of_classes_has_the_names_of_the_user_s_tree(tmp_path):
    machine = here(tmp_path, data=(str(tmp_path),))
    plain = small_study(**FOUR, seeds=[0])
    plain.prepare(machine)
    wnids = sorted(set(packed(plain.images, "images", machine).table["wnid"]))
    lines = [f"{wnid},all,mine {number}" for number, wnid in enumerate(wnids)]
    (tmp_path / "mine.csv").write_text("\n".join(["child,parent,name", *lines]))
    (tmp_path / "list").write_text("mine 0\nmine 3\n")
    subset = FOUR["subset"] | {"labels": f"file@{tmp_path / 'list'}"}
    question = small_study(**FOUR | {"subset": subset}, seeds=[0], taxonomy="mine.csv")
    question.prepare(machine)
    (spec,) = {run.spec for run in question.runs(machine) if run.task == "own"}
    pack = packed(question.images, "images", machine)
    assert list(select(pack, spec.subset, tree=question.tree(machine)).classes) == [wnids[0], wnids[3]]
    with pytest.raises(ItlError, match="is of taxonomy .* give the taxonomy that the subset was made on"):
        select(pack, spec.subset)
    chosen = small_study(
        **FOUR | {"subset": subset | {"tree": spec.subset.tree}}, seeds=[0], taxonomy="mine.csv"
    )
    assert chosen.runs(machine) == question.runs(machine)
    (tmp_path / "mine.csv").write_text("\n".join(["child,parent,name", *lines[::-1]]).replace("mine", "your"))
    with pytest.raises(ItlError, match=f"chosen on the taxonomy {spec.subset.tree}, and mine.csv is .* now"):
        chosen.runs(machine)


# Of 4 images and a batch of 3 one would be left alone, which has no variance on maps of one value.
@pytest.mark.parametrize(("classes", "batch", "pixels"), [(4, 8, 24), (5, 3, 24), (4, 3, 16)])
def test_an_untrained_net_has_statistics_of_one_image_of_each_class(tmp_path, classes, batch, pixels):
    machine, store = here(tmp_path), Store(tmp_path / "runs")
    images = IMAGES | {"options": IMAGES["options"] | {"classes": classes}}
    recipe = {"steps": 12, "batch": batch, "pixels": pixels}
    question = small_study(tasks=["knn@scenes"], seeds=[0], images=images, recipe=recipe)
    question.prepare(machine)
    (untrained,) = {run.spec.pretrain for run in question.runs(machine) if run.columns[0][1] == 0}
    assert perform(untrained, store, machine)["images"] == classes
    net = build("small", classes, pixels, 0)
    outputs = []
    load_weights(net, store.path(untrained) / "weights.safetensors")
    first = norms(net)[0]
    hook = next(layer for layer in net.modules() if isinstance(layer, torch.nn.Conv2d))
    hook.register_forward_hook(lambda layer, inputs, output: outputs.append(output))
    pack = packed(question.images, "images", machine)
    batches = Batches(pack, select(pack, untrained.subset), untrained.recipe, 0, machine)
    predict(net, batches, machine, "fp32")
    expected = torch.cat(outputs).mean((0, 2, 3))
    assert torch.allclose(first.running_mean, expected, atol=0.02), "of the images themselves, not of nothing"
    assert first.running_mean.abs().max() > 0.1


@pytest.mark.parametrize(("lr", "says"), [(0.05, None), (20, "; an lr below 20 may do better$")])
def test_a_net_that_ends_worse_than_guessing_is_finished_with_a_warning(tmp_path, lr, says):
    machine, store = here(tmp_path), Store(tmp_path / "runs")
    question = small_study(recipe=SETTINGS["recipe"] | {"lr": lr})
    question.prepare(machine)
    spec = next(run.spec for run in question.runs(machine) if run.task == "own")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        perform(spec, store, machine)
    lines = [str(warning.message) for warning in caught if "guessing" in str(warning.message)]
    assert len(lines) == bool(says)
    assert not says or re.search(rf"^run {key(spec)} ended with a loss of .*{says}", lines[0])
    assert store.state(spec) == "done"


def test_a_net_that_diverges_is_not_finished(tmp_path):
    machine, store = here(tmp_path), Store(tmp_path / "runs")
    question = small_study(recipe=SETTINGS["recipe"] | {"lr": 5000})
    question.prepare(machine)
    spec = next(run.spec for run in question.runs(machine) if run.task == "own")
    with pytest.raises(
        ItlError, match=r"of 32 tensors of the net .* after epoch . .*an lr below 5000"
    ) as error:
        perform(spec, store, machine)
    assert "\n" not in str(error.value)
    assert store.result(spec) is None


def test_repeats_are_fits_of_one_net_with_seeds_of_their_own(tmp_path):
    machine, store = here(tmp_path), Store(tmp_path / "runs")
    once = small_study(tasks=["finetune@scenes", "knn@scenes"], **FOUR, seeds=[0])
    twice = replace(once, repeats=2)
    once.prepare(machine)
    assert [run.spec for run in twice.runs(machine)][:2] == [run.spec for run in once.runs(machine)][:2]
    fits = [run.spec for run in twice.runs(machine) if run.method == "finetune"]
    assert [(fit.repeat, fit.fit_seed) for fit in fits] == [(0, 0), (1, 1_000_003)]
    assert len({fit.pretrain for fit in fits}) == 1
    assert len([run for run in twice.runs(machine) if run.method == "knn"]) == 1, "it has no noise of fits"
    for run in twice.runs(machine):
        perform(run.spec, store, machine)
    weights = [store.result(fit)["metrics"]["accuracy"] for fit in fits]
    rows = twice.results(store, machine).query("task == 'finetune@scenes' and metric == 'accuracy'")
    assert rows[["repeat", "value"]].to_numpy().tolist() == [[0, weights[0]], [1, weights[1]]]


def test_own_images_are_a_target_in_whatever_source_they_lie(tmp_path, in_this_process):
    """A folder, lists and Parquet files of the same images are measured to the same scores."""
    made = {"folder": written(tmp_path / "folder", containers.IMAGES)}
    made |= {name: getattr(containers, name)(tmp_path / name) for name in ("lists", "parquet")}
    targets = {name: {"source": name, "path": str(path), "size": 32} for name, path in made.items()}
    tasks = [f"{method}@{name}" for name in targets for method in ("knn", "probe")]
    machine, store = here(tmp_path), Store(tmp_path / "runs")
    question = small_study(targets=targets, tasks=tasks, **FOUR, seeds=[0])
    question.run(store, machine)
    results = question.results(store, machine)
    rows = results[results["task"] != "own"]
    values = rows.pivot(index="target", columns=["method", "metric"], values="value")
    assert set(values.index) == {"folder", "lists", "parquet"}
    assert (values.nunique() == 1).all()


def photographs(folder: Path) -> dict:
    """Two classes of two pictures in *folder*, and the settings of a question on them."""
    tree(folder / "photos", "train/cat/a.png", "train/cat/b.png", "train/dog/c.png", "train/dog/d.png")
    for path in folder.rglob("*.png"):
        path.write_bytes(encoded(smooth(32, 32)))
    images = {"source": "folder", "path": "photos", "size": 32}
    return {"images": images, "images_per_class": [0, 1, "all"], "seeds": [0]}


def test_results_need_no_data_where_the_packs_are_built_and_runs_do(tmp_path):
    question = small_study(**photographs(tmp_path / "data"))
    machine = here(tmp_path / "home", data=(str(tmp_path / "data"),))
    store = Store(machine.runs)
    question.prepare(machine)
    pretend(with_needs(run.spec for run in question.runs(machine)), store)
    results = question.results(store, machine)
    nowhere = machine.replace(data=())
    pd.testing.assert_frame_equal(question.results(store, nowhere), results)
    for data in (str(tmp_path / "home"), f"scenes={tmp_path}"):  # which says nothing of these images
        pd.testing.assert_frame_equal(question.results(store, machine.replace(data=(data,))), results)
    with pytest.raises(ItlError, match="looked for images as photos in no folder"):
        question.plan(store, nowhere)
    with pytest.raises(ItlError, match="images should lie at .*gone, but nothing is there"):
        question.results(store, machine.replace(data=(f"images={tmp_path / 'gone'}",)))
    for name in ("moved", "other"):  # of the same name elsewhere
        pd.testing.assert_frame_equal(question.results(store, nowhere), results)
        photographs(tmp_path / name)
        if name == "other":
            (tmp_path / "other/photos/train/cat/a.png").write_bytes(encoded(smooth(32, 30)))
        question.prepare(machine.replace(data=(str(tmp_path / name),)))
    with pytest.raises(
        ItlError, match="looked for images .*; images-32-.*, images-32-.* are built, of other"
    ):
        question.results(store, nowhere)


def test_results_of_data_that_were_never_packed_say_what_was_looked_for(tmp_path):
    question, machine = small_study(**photographs(tmp_path / "data")), here(tmp_path / "home")
    with pytest.raises(ItlError, match="looked for images as photos in no folder .*; give --data FOLDER or"):
        question.results(Store(machine.runs), machine)
