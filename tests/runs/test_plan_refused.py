"""A plan refuses, before anything is measured, what could not be run or could not be learned from."""

import json
import re

import pytest

from itl import ItlError
from itl.packs import paths
from itl.runs import plan
from itl.runs.question import Question
from itl.runs.questions import class_count, data_size, granularity, influence
from itl.runs.store import Store
from tests.annotated import jpeg, written
from tests.worlds import FEW, FOUR, SCENES, SHARED, here, small_study, stated_rates

TUNED = {"tuning": {"finetune": {"steps": 2, "pixels": 24, "lrs": [0.1, 0.2]}}}


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (
            "knn@scenes:1",
            "knn asks 5 neighbours, and there are 3 training images of scenes in all; give it more",
        ),
        ("scores@few", "scores asks 5 neighbours, and there are 3 training images of few"),
        ("probe@few", "probe holds a part of the training images out, and there is one of each class of few"),
        ("probe@scenes:1", "probe holds a part of the training images out, and there is one of each class"),
        ("finetune@few", "finetune holds a part of the training images out, and there is one of each"),
        ("knn@images/bottom-up@0", "images has one class, n.*, and one alone tells nothing apart"),
        ("knn@scenes:9", "9 images per class were asked for; .* has 6 in train"),
    ],
)
def test_images_from_which_a_run_could_not_learn_are_refused_before_anything_is_measured(
    tmp_path, monkeypatch, task, says
):
    monkeypatch.setattr("itl.runs.plan.rates_of", lambda *_: pytest.fail("measured"))
    changes = {"targets": {"scenes": SCENES, "few": FEW}, "tasks": ["knn@scenes", task]}
    question = small_study(**FOUR | TUNED | changes)
    with pytest.raises(ItlError, match=f"data-size, {task}: {says}"):
        plan.plan([question], Store(tmp_path), here(tmp_path))


def coco_files(**splits: list[str]) -> dict[str, bytes]:
    """A data set of dogs and pigs: *splits* has the classes on each image."""
    files, ids = {}, {"dog": 1, "pig": 2}
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    for split, images in splits.items():
        listed = [{"id": number, "file_name": f"{split}/{number}.jpg"} for number in range(len(images))]
        objects = [
            {"image_id": number, "category_id": ids[name], "bbox": [1, 1, 30, 30]}
            for number, names in enumerate(images)
            for name in names.split()
        ]
        content = {"images": listed, "annotations": objects, "categories": categories}
        files[f"{split}.json"] = json.dumps(content).encode()
        files |= {row["file_name"]: jpeg() for row in listed}
    return files


def refusal_once_packed(question: Question, home) -> str:
    """Plan before pets is packed, which goes, and after: return why that is refused, '' if it is not."""
    machine, kind = here(home), question.tasks[0].method
    assert kind in set(plan.plan([question], Store(home), machine).runs["kind"])
    paths.build_or_open(question.packings()["pets"], "pets", machine)
    try:
        assert kind in set(plan.plan([question], Store(home), machine).runs["kind"])
    except ItlError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("train", "task", "says"),
    [
        (["dog", "dog"], "detection@pets", r"1 of 2 classes have no training image \(pig\); add images or"),
        (["dog", "pig dog"], "detection@pets", ""),
        (["dog", "pig dog"], "detection@pets:2", "2 images per class .*; class pig has 1 in train"),
    ],
)
def test_classes_of_objects_that_no_training_image_shows_are_refused(tmp_path, rated, train, task, says):
    """By the pack: a listing of the source does not tell which classes an image shows."""
    root = written(tmp_path / "pets", coco_files(train=train, test=["dog pig"]))
    changes = {"source": "coco", "path": str(root), "size": 32, "fit": "pad"}
    tuned = {"detection": {"steps": 2, "batch": 2, "pixels": 32, "longest": 32}}
    question = small_study(**FOUR, targets={"pets": changes}, tasks=[task], tuning=tuned)
    refusal = refusal_once_packed(question, tmp_path)
    assert re.search(f"data-size, {task}: {says}", refusal) if says else not refusal


CROWD = {"iscrowd": 1}
NO_TEST = "pets has no test image with an object that is scored; annotate some$"
NO_VAL = (
    "lr cannot be chosen from lrs: 2 val images have no object that is scored; annotate some, or give one"
)


@pytest.mark.parametrize("task", ["detection@pets", "actions@pets"])
@pytest.mark.parametrize(
    ("crowded", "splits", "lrs", "says"),
    [
        (["test"], ["train", "test"], None, NO_TEST),
        (["val"], ["train", "val"], None, NO_TEST),  # which is scored
        (["val"], ["train", "val", "test"], [0.1, 0.2], NO_VAL),
        (["val"], ["train", "val", "test"], None, ""),
        ([], ["train", "val", "test"], [0.1, 0.2], ""),
    ],
)
def test_a_target_without_an_object_to_score_or_to_choose_by_is_refused(
    tmp_path, rated, task, crowded, splits, lrs, says
):
    files = coco_files(**dict.fromkeys(splits, ["dog pig", "pig"]))
    for split in crowded:
        tables = json.loads(files[f"{split}.json"])
        tables["annotations"] = [row | CROWD for row in tables["annotations"]]
        files[f"{split}.json"] = json.dumps(tables).encode()
    root = written(tmp_path / "pets", files)
    changes = {"source": "coco", "path": str(root), "size": 32, "fit": "pad"}
    steps = {"steps": 2, "batch": 2, "pixels": 32} | ({"lrs": lrs} if lrs else {})
    tuned = {"detection": steps | {"longest": 32}, "actions": steps}
    method = task.partition("@")[0]
    question = small_study(**FOUR, targets={"pets": changes}, tasks=[task], tuning={method: tuned[method]})
    refusal = refusal_once_packed(question, tmp_path)
    assert re.search(f"data-size, {task}: {says}", refusal) if says else not refusal


@pytest.mark.parametrize(
    ("train", "task", "lrs", "says"),
    [
        (
            ["dog", "dog", "pig", "pig"],
            "detection@pets:1",
            [0.1, 0.2],
            "each of its 2 is the only one of its",
        ),
        (["dog", "dog", "pig", "pig"], "detection@pets:1", None, ""),
        (["dog", "dog", "pig", "pig"], "detection@pets:2", [0.1, 0.2], ""),
        (
            ["dog", "pig"],
            "detection@pets",
            [0.1, 0.2],
            "each of its 2 is the only one of its rarest class; give two",
        ),
        (["dog pig", "", ""], "detection@pets", [0.1, 0.2], "1 held-out training images? ha. no object"),
        (
            ["dog pig", "dog pig"],
            "detection@pets:1",
            [0.1, 0.2],
            "each of its 1 is the only one of its rarest class",
        ),
    ],
)
def test_a_part_of_few_annotated_images_to_choose_an_lr_by_is_held_out_before_anything_is_trained(
    tmp_path, rated, train, task, lrs, says
):
    root = written(tmp_path / "pets", coco_files(train=train, test=["dog pig"]))
    changes = {"source": "coco", "path": str(root), "size": 32, "fit": "pad"}
    steps = {"steps": 2, "batch": 2, "pixels": 32, "longest": 32} | ({"lrs": lrs} if lrs else {})
    question = small_study(**FOUR, targets={"pets": changes}, tasks=[task], tuning={"detection": steps})
    refusal = refusal_once_packed(question, tmp_path)
    assert re.search(f"data-size, {task}: .*{says}", refusal) if says else not refusal


def test_what_a_method_can_learn_from_is_planned(tmp_path, rated):
    tasks = ["knn@scenes:2", "probe@scenes:2", "finetune@few", "scores@scenes"]
    planned = plan.plan(
        [small_study(targets={"scenes": SCENES, "few": FEW}, tasks=tasks, **FOUR)],
        Store(tmp_path),
        here(tmp_path),
    )
    assert set(planned.runs["kind"]) == {"pretrain", "knn", "probe", "finetune", "scores"}


@pytest.mark.parametrize(
    ("net", "says"),
    [
        ("smal", "data-size: no net .*called 'smal'; did you mean 'small'"),
        ("timm:resnet81", "data-size: no timm net called 'resnet81'; did you mean 'resnet18"),
        ("torchvision:resnet81", "data-size: no torchvision net called 'resnet81'; did you mean 'resnet18"),
    ],
)
def test_a_misspelt_net_is_refused_before_data_are_listed(tmp_path, monkeypatch, net, says):
    monkeypatch.setattr("itl.runs.plan.count_images", lambda *_: pytest.fail("listed"))
    with pytest.raises(ItlError, match=says):
        small_study(**FOUR, net=net).plan(Store(tmp_path), here(tmp_path))


def test_a_page_of_nodes_is_refused_where_the_tree_lacks_the_classes(tmp_path, rated):
    scenes = {"tasks": ["induction@scenes"], "label_sets": ["none", "bottom-up@5", "original"]}
    lacks = " looks at nodes of the tree above classes of {}, and the tree lacks 3 classes, such as concert"
    for built in (False, True):
        question, machine = granularity(**SHARED | scenes), here(tmp_path)
        if built:
            question.prepare(machine)
        with pytest.raises(ItlError, match="granularity" + lacks.format("scenes")):
            plan.plan([question], Store(tmp_path), machine)
    own = granularity(**SHARED | scenes | {"tasks": ["induction@images", "induction@scenes"]})
    assert len(plan.plan([own], Store(tmp_path), here(tmp_path)).runs)
    halves = influence(**SHARED | {"images": SCENES, "tasks": ["knn@images"], "targets": {}, "halves": 4})
    with pytest.raises(ItlError, match="influence" + lacks.format("images")):
        plan.plan([halves], Store(tmp_path), here(tmp_path))


def test_images_too_small_for_a_net_are_refused_before_they_are_packed(tmp_path):
    study, machine = small_study(**FOUR, net="alexnet"), here(tmp_path)
    with pytest.raises(ItlError, match="alexnet .*pixels") as by_plan:
        study.plan(Store(machine.runs), machine)
    with pytest.raises(ItlError) as by_run:
        study.run(Store(machine.runs), machine)
    assert str(by_run.value) == str(by_plan.value)
    assert not list(machine.packs.glob("**/images.npy"))


@pytest.mark.parametrize("ask", [class_count, granularity])
def test_label_sets_from_many_classes_to_few_are_refused(tmp_path, rated, ask):
    """The fewest are compared with the most; where names do not tell which these are, the classes do."""
    sets = ["none", "half-random-a@3", "bottom-up@0", "original"]
    given = SHARED | {"tasks": ["induction@images"]}
    with pytest.raises(
        ItlError,
        match="of 4 classes, half-random-a@3 2, bottom-up@0 1, original 4; give them as bottom-up@0, half-r",
    ):
        plan.plan([ask(**given, label_sets=sets)], Store(tmp_path), here(tmp_path))
    with pytest.raises(ItlError, match="bottom-up@0: a net learns nothing from 48 images of one class; keep"):
        plan.plan([ask(**given, label_sets=sorted(sets))], Store(tmp_path), here(tmp_path))
    sets.remove("bottom-up@0")
    assert len(plan.plan([ask(**given, label_sets=sorted(sets))], Store(tmp_path), here(tmp_path)).runs)


@pytest.mark.parametrize("name", ["salt, pepper", "c++"])
def test_a_class_whose_name_a_label_method_would_divide_is_refused_before_the_first_run(tmp_path, name):
    (tmp_path / "mine.csv").write_text(f'child,parent\nplain,all\n"{name}",all\n')
    names = {"images": ["plain", name]}
    shared = SHARED | {"taxonomy": str(tmp_path / "mine.csv")}
    halves, machine = influence(**shared, halves=4), here(tmp_path)
    says = f"influence .* divides names there; got '{re.escape(name)}': rename the folder, and its node in"
    with pytest.raises(ItlError, match=says):
        halves.check_classes(names, machine)
    halves.check_classes({"images": ["plain"]}, machine)
    own = {"tasks": ["induction@images"], "label_sets": ["none", "bottom-up@0", "original"]}
    granularity(**shared | own).check_classes(names, machine)


def test_all_data_that_are_missing_are_named_at_once(tmp_path):
    gone = {"source": "folder", "path": "/gone"}
    question = data_size(**SHARED | {"images": gone, "targets": {"scenes": gone}}, **FOUR)
    with pytest.raises(ItlError, match="2 data sets .* .images, scenes.: images should lie at /gone"):
        plan.plan([question], Store(tmp_path), here(tmp_path))
    question = data_size(**SHARED | {"images": gone}, **FOUR)
    with pytest.raises(ItlError, match="^images should lie at /gone"):
        plan.plan([question], Store(tmp_path), here(tmp_path))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"net": "smal"}, "data-size: no net .* called 'smal'; did you mean 'small'"),
        ({"net": "timm:resnet81"}, "data-size: no timm net called 'resnet81'"),
        ({"net": "alexnet"}, "data-size: alexnet needs images of at least 63 pixels, not 24"),
        (
            {"net": "small", "recipe": {"steps": 3, "batch": 1, "pixels": 16}},
            "data-size: small has batch norm, and at 16 pixels one image leaves it one value",
        ),
        (
            {"subset": {"labels": "bottom-up@0"}},
            "data-size, images_per_class 0: a net learns nothing from 1 image of one class; keep two",
        ),
        (
            {
                "net": "torchvision:mnasnet0_5",
                "recipe": {"steps": 3, "pixels": 64},
                "tasks": ["detection@objects"],
            }
            | {"targets": {"objects": {"source": "demo-detection", "size": 64, "fit": "pad"}}}
            | {"tuning": {"detection": {"pixels": 64, "longest": 64}}},
            "data-size, detection: no net for detection .* called 'torchvision:mnasnet0_5'",
        ),
    ],
)
def test_nets_that_cannot_be_are_refused_before_anything_is_measured(tmp_path, changes, says, caplog):
    caplog.set_level("INFO")
    machine = here(tmp_path)
    with pytest.raises(ItlError, match=says):
        plan.plan([small_study(**changes)], Store(machine.runs), machine)
    assert "measuring" not in caplog.text
    assert not (machine.runs / "rates.json").exists()


VIT = {"net": "timm:vit_tiny_patch16_224", "recipe": {"steps": 2, "batch": 4, "pixels": 64}} | FOUR


def finetuned_at(pixels: int, **changes) -> Question:
    """A study that fine-tunes nets on images of so many *pixels*."""
    tuning = {"finetune": {"steps": 2, "batch": 4, "pixels": pixels}}
    return small_study(**{"tasks": ["finetune@scenes"], "tuning": tuning} | changes)


@pytest.mark.parametrize(
    ("changes", "built_for"),
    [(VIT, 64), ({"weights": ["timm:vit_tiny_patch16_224"]} | FOUR, 224)],
)
def test_a_net_built_for_other_pixels_than_it_is_tuned_on_is_refused(
    tmp_path, rated, monkeypatch, changes, built_for
):
    """Even where each size was measured before, with a net built for it."""
    says = (
        r"^data-size, finetune: timm:vit_tiny_patch16_224 cannot take images of 96 pixels \(.*\); "
        f"as it is pre-trained on {built_for} pixels, give tuning pixels: {built_for}$"
    )
    for _ in range(2):
        with pytest.raises(ItlError, match=says):
            plan.plan([finetuned_at(96, **changes)], Store(tmp_path), here(tmp_path))
        monkeypatch.setattr("itl.runs.plan.stored_rates", stated_rates)


@pytest.mark.parametrize(("net", "pixels"), [(VIT["net"], 64), ("timm:resnet10t", 96), ("small", 96)])
def test_a_net_that_takes_the_pixels_that_it_is_tuned_on_is_planned(tmp_path, rated, net, pixels):
    question = finetuned_at(pixels, **VIT | {"net": net})
    assert "finetune" in set(plan.plan([question], Store(tmp_path), here(tmp_path)).runs["kind"])


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"tasks": ["knn@scenes:1000"]}, "data-size, knn@scenes:1000"),
        ({"images_per_class": [0, 1000]}, "data-size, images_per_class 1000"),
    ],
)
def test_too_many_images_are_refused_with_the_question_and_the_task(tmp_path, rated, changes, where):
    with pytest.raises(ItlError, match=f"^{where}: 1,000 images per class were asked for"):
        small_study(**changes).plan(Store(tmp_path), here(tmp_path))


@pytest.mark.parametrize(
    ("ask", "changes", "says"),
    [
        (
            data_size,
            {"images_per_class": [0, 4, 12, "all"]},
            "data-size: images_per_class 12 and images_per_class all",
        ),
        (
            class_count,
            {"label_sets": ["original"], "classes": [2, 4]},
            "class-count: label_set original and label_set 4 classes",
        ),
        (
            class_count,
            {"label_sets": ["none", "bottom-up@16", "original"]},
            "class-count: label_set bottom-up@16 and label_set original",
        ),
    ],
)
def test_conditions_that_are_the_same_images_and_labels_are_refused(tmp_path, rated, ask, changes, says):
    with pytest.raises(
        ItlError, match=f"^{says} are the same 48 images of the same 4 classes; leave one of them out$"
    ):
        plan.plan([ask(**SHARED | changes)], Store(tmp_path), here(tmp_path))


def test_conditions_that_are_the_same_are_called_as_their_question_calls_them(tmp_path, rated):
    """Both questions share the net of all images, and the first has it under another name."""
    other = data_size(**SHARED, images_per_class=[0, 4, "all"])
    same = class_count(**SHARED, label_sets=["none", "bottom-up@16", "original"])
    names = "label_set original", "label_set bottom-up@16"
    for questions, (first, second) in (([other, same], names), ([same, other], names[::-1])):
        with pytest.raises(ItlError, match=f"^class-count: {first} and {second} are the same 48 images"):
            plan.plan(questions, Store(tmp_path), here(tmp_path))


def test_as_many_passes_as_steps_are_the_same_training(tmp_path, rated):
    same = "all, equal steps and .* all, equal passes are the same 48 images of the same 4 classes"
    with pytest.raises(ItlError, match=f"{same}; train one of them for longer$"):
        plan.plan(
            [data_size(**SHARED, images_per_class=[0, 4, "all"], passes=2)], Store(tmp_path), here(tmp_path)
        )


def test_labels_that_keep_no_scored_image_are_refused_at_once(tmp_path, monkeypatch, rated):
    folders = ("train/a", "train/b", "train/c", "train/d", "test/a", "test/b")
    images = {f"{folder}/{number}.jpg": jpeg() for folder in folders for number in range(6)}
    target = {"source": "folder", "path": str(written(tmp_path / "t", images)), "size": 16}
    (tmp_path / "cd.csv").write_text("c\nd\n")
    monkeypatch.chdir(tmp_path)
    shared = SHARED | {"targets": {"t": target}, "tasks": ["knn@t/file@cd.csv"]}
    with pytest.raises(
        ItlError, match="keeps none of the 12 images that t is scored on, of a, b; choose other labels"
    ):
        plan.plan([data_size(**shared, **FOUR)], Store(tmp_path), here(tmp_path))


def test_draws_may_be_the_same_in_some_seeds(tmp_path, rated):
    """With seed 1 the two halves have the same classes, with seed 2 others."""
    sets = {"label_sets": ["half-random-a@{seed}", "half-random-a@0", "original"]}
    for seeds in ([1, 2], [2, 1]):
        question = class_count(**SHARED | sets | {"seeds": seeds})
        assert len(plan.plan([question], Store(tmp_path), here(tmp_path)).runs) == 12
    same = "label_set half-random-a@{seed} and label_set half-random-a@0 are the same 24 images"
    with pytest.raises(ItlError, match=same):
        plan.plan([class_count(**SHARED | sets | {"seeds": [1]})], Store(tmp_path), here(tmp_path))


def test_the_same_images_for_other_steps_or_another_seed_are_another_condition(tmp_path, rated):
    passes = data_size(**SHARED, images_per_class=[0, 4, "all"], passes=3)
    assert plan.plan([passes], Store(tmp_path), here(tmp_path)).by_condition()["nets"].sum() == 10
