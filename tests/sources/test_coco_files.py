"""Which of the JSON files are COCO's of each split, by their names, content, fields and folders."""

import json

import pytest

from itl import ItlError
from itl.sources.annotated.coco import Coco
from tests.annotated import check_lines, jpeg, problems_of, written
from tests.sources.test_coco import PLAIN, TEST, TRAIN, coco_json, row


def test_one_file_is_of_all_splits_that_it_or_the_folders_of_its_images_tell(tmp_path):
    box = [0, 9, 20, 5]
    boxes = [row(number, 1, box) for number in (1, 2, 3)]
    names = {1: "train/a.jpg", 2: "val/b.jpg", 3: "test/c.jpg"}
    photos = {f"photos/{name}": jpeg() for name in names.values()}
    bare = {number: name.rpartition("/")[2] for number, name in names.items()}
    for number, listed in enumerate((names, bare)):
        source = Coco(written(tmp_path / f"{number}", photos | {"labels.json": coco_json(listed, *boxes)}))
        splits = {record.id: record.split for record in source.records()}
        assert splits == {f"photos/{name}": name.partition("/")[0] for name in names.values()}
        assert [len(source.annotation(record)) for record in source.records()] == [1, 1, 1]
        assert source.layout == (
            "COCO-style JSON (train in labels.json, val in labels.json, test in labels.json)"
        )
        assert source.scan.notes == ["labels.json is of no split; each image is in that of its folder"]
    tables = json.loads(coco_json(bare, *boxes))
    for image, split in zip(tables["images"], ("training", "Valid", "valid"), strict=True):
        image["split"] = split
    flat = {f"images/{name}": jpeg() for name in bare.values()}
    source = Coco(written(tmp_path / "field", flat | {"labels.json": json.dumps(tables).encode()}))
    assert [record.split for record in source.records()] == ["train", "val", "val"]
    assert source.scan.notes == ["labels.json is of no split; each image is in that of its field split"]


def test_a_json_whose_name_ends_in_a_split_without_a_sign_before_it_is_noted(tmp_path):
    files = {"a.jpg": jpeg(), "mytest.json": coco_json({1: "a.jpg"}, row(1, 1, [0, 0, 5, 5]))}
    source = Coco(written(tmp_path, files))
    assert [record.split for record in source.records()] == ["train"]
    assert source.scan.notes == ["mytest.json is read as train; if it is of test, call it test.json"]


def test_a_field_split_that_contradicts_the_name_of_its_file_is_refused(tmp_path):
    tables = json.loads(coco_json(names := {1: "a.jpg", 2: "b.jpg"}, row(1, 1, [0, 0, 5, 5])))
    tables["images"][1]["split"] = "test"
    files = {name: jpeg() for name in names.values()} | {"train.json": json.dumps(tables).encode()}
    says = (
        "train.json is of train by its name, but 1 image is of test by their field split; remove that field"
    )
    with pytest.raises(ItlError, match=says):
        Coco(written(tmp_path, files)).records()
    assert len(Coco(tmp_path, annotations="train=train.json").records()) == 2


def test_of_one_file_for_several_splits_no_image_is_left_without(tmp_path):
    names = {1: "train/a.jpg", 2: "val/b.jpg", 3: "c.jpg"}
    files = {name: jpeg() for name in names.values()} | {"labels.json": coco_json(names)}
    path = written(tmp_path / "folders", files)
    assert problems_of(Coco(path)) == [
        "labels.json has images of several splits, and its folder tells none for 'c.jpg'; correct that, or "
        "write a file for each split and set annotations=train=a.json,test=b.json"
    ]
    chosen = Coco(path, annotations="labels.json").scan.records
    assert [record.split for record in chosen] == ["train", "train", "train"]
    tables = json.loads(coco_json(names))
    for image, split in zip(tables["images"], ("train", "val", "unlabelled"), strict=True):
        image["split"] = split
    path = written(tmp_path / "field", files | {"labels.json": json.dumps(tables).encode()})
    with pytest.raises(ItlError, match="several splits, and its field split tells none for 'c.jpg'"):
        Coco(path).records()
    unlisted = coco_json({1: "train/a.jpg", 2: "val/b.jpg"}, row(3, 1, [0, 9, 20, 5]))
    path = written(tmp_path / "more", files | {"labels.json": unlisted})
    assert problems_of(Coco(path)) == [
        "labels.json: 1 annotation is of images that the file does not list, such as image_id 3; export it "
        "again"
    ]


def test_files_can_be_named(tmp_path):
    root = written(tmp_path, {"a.json": TRAIN, "deep/b.json": TEST, **PLAIN})
    assert [record.id for record in Coco(root, annotations="train=a.json").records()] == [
        "images/one.jpg",
        "images/two.jpg",
    ]
    assert len(Coco(root, annotations="train=a.json,val=b.json").records()) == 3
    written(root, {"deep/a.json": TEST})
    assert Coco(root, annotations="train=a.json").layout == "COCO-style JSON (train in a.json)"
    written(root, {"other/b.json": TEST})
    for option, message in (
        ("val=b.json", "has 2 files 'b.json', as the option annotations names; its JSON files are a.json"),
        ("train=c.json", "no files 'c.json', as the option annotations names; its JSON files are a.json"),
        ("train=a.json,train=b.json", "one file for each of"),
        ("tset=a.json", "such as train=a.json"),
    ):
        with pytest.raises(ItlError, match=message):
            Coco(root, annotations=option).records()


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train.json", "test_annotations.json"),
        ("coco_train2017.json", "coco_test2017.json"),
        ("train_set/_annotations.coco.json", "test_set/_annotations.coco.json"),
        ("instances_train.json", "testLabels.json"),
    ],
)
def test_the_split_of_a_json_file_is_a_word_of_its_name(tmp_path, train, test):
    files = {name: content for name, content in PLAIN.items() if not name.endswith("json")}
    others = dict.fromkeys(
        ("annotations/captions_val2017.json", "annotations/val_corrected.json", "splits.json"), b"{}"
    )
    path = written(tmp_path, files | {train: TRAIN, test: TEST} | others)
    assert Coco(path).layout == f"COCO-style JSON (train in {train}, test in {test})"
    note = (
        f"not read: annotations/captions_val2017.json, annotations/val_corrected.json, splits.json; the "
        f"option annotations names the files that are read, as annotations=train={train},test={test}"
    )
    assert note in Coco(path).scan.notes
    assert Coco(path, annotations=f"train={train}").scan.notes == []


BOTH = "train in train.json, test in test.json"
NO_BOXES = TEST.replace(b"bbox", b"area")
NO_OBJECTS = coco_json({3: "three.jpg"}).replace(b"annotations", b"captions")


@pytest.mark.parametrize(
    ("jsons", "layout"),
    [
        (
            {"instances_val.json": TEST, "person_keypoints_val.json": TEST, "captions_val.json": NO_OBJECTS},
            "val in instances_val.json",
        ),
        (
            {"person_keypoints_val.json": TEST, "captions_val.json": NO_OBJECTS},
            "val in person_keypoints_val.js",
        ),
        ({"val.json": b'{"epoch": 3}', "instances_val.json": TEST}, "val in instances_val.json"),
        ({"config.json": b"{}", "labels.json": TEST}, "train in labels.json"),
        (
            {"val/boats.json": TEST, "train/boats.json": TRAIN},
            "train in train/boats.json, val in val/boats.json",
        ),
        ({"val_predictions.json": TEST, "labels.json": TEST}, "train in labels.json"),
        ({"result.json": TEST, "notes.json": b"{}"}, "train in result.json"),
        (
            {"val/result.json": TEST, "train/result.json": TRAIN},
            "train in train/result.json, val in val/result",
        ),
        ({"result.json": TEST, "labels.json": TEST}, "train in labels.json"),
        ({"val.json": TEST, "coco_val.json": TEST}, ""),
        ({"val.json": TEST, "instances_val.json": TEST}, ""),
        ({"val.json": TEST, "all.json": TEST}, ""),
        ({"val.json": TEST, "val_v2.json": TEST}, ""),
        ({"instances_val2014.json": TEST, "instances_minival2014.json": TEST}, ""),
        ({"cars_train/labels.json": TEST, "people_val/labels.json": TEST}, ""),
        ({"val.json": b"{", "train.json": TRAIN}, "train in train.json, val in val.json"),  # and then refused
        ({"a_val.json": TEST[:9], "a_train.json": TRAIN}, "train in a_train.json, val in a_val.json"),
        ({"a_val.json": NO_BOXES, "a_train.json": TRAIN}, "train in a_train.json, val in a_val.json"),
        ({"a_val.json": NO_BOXES, "coco_train.json": TRAIN}, "train in coco_train.json"),
        ({"a_val.json": b"", "coco_train.json": TRAIN}, ""),
        ({"instances_val2017.json": TEST[:9], "val_coco.json": TEST}, ""),
        ({"train.json": TRAIN, "test.json": TEST, "train_log.json": b'{"loss": 1}\n{"loss": 2}\n'}, BOTH),
        ({"train.json": TRAIN, "test.json": TEST, "test_notes.json": b"", "train/meta.json": b"{"}, BOTH),
        ({"val.json": NO_BOXES, "coco_val.json": TEST}, ""),
        ({"val.json": TEST.decode().encode("utf-16"), "coco_val.json": TEST}, ""),
    ],
)
def test_json_files_with_boxes_are_read_if_there_is_one_for_each_split(tmp_path, jsons, layout):
    source = Coco(written(tmp_path, {"images/three.jpg": jpeg(), **jsons}))
    if layout:
        assert source.layout.startswith(f"COCO-style JSON ({layout}")
        return
    with pytest.raises(ItlError) as refused:
        source.records()
    assert str(refused.value) == (
        f"{tmp_path} has not one COCO-style JSON file for each split, such as train.json or "
        f"train/_annotations.coco.json, but {', '.join(sorted(jsons))}; name the files with the option "
        f"annotations=train=a.json,test=b.json"
    )


@pytest.mark.parametrize("name", ["latest.json", "intervals.json"])
def test_letters_inside_of_a_word_are_no_split(tmp_path, name):
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 60, "height": 40, "split": "train"} for n in (1, 2)]
    images[1]["split"] = "test"
    boxes = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 0, "area": 81}
        for n in (1, 2)
    ]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "boat"}]}
    path = written(tmp_path, {name: json.dumps(content).encode(), "1.jpg": jpeg(), "2.jpg": jpeg()})
    assert {record.id: record.split for record in Coco(path).records()} == {"1.jpg": "train", "2.jpg": "test"}


@pytest.mark.parametrize("name", ["test_tubes.json", "testBoxes.json", "instances_minival2014.json"])
def test_one_json_file_with_an_unclear_split_is_refused(tmp_path, name):
    path = written(tmp_path, {name: TEST, "images/three.jpg": jpeg()})
    for options in ({}, {"annotations": name}):
        with pytest.raises(ItlError) as refused:
            Coco(path, **options).records()
        assert str(refused.value) == (
            f"the split of {name} is unclear by its name; call it all.json if a field split of its images "
            f"or their folders divide it, else say its split: annotations=train={name}"
        )
    assert Coco(path, annotations=f"test={name}").layout == f"COCO-style JSON (test in {name})"


def test_one_json_file_is_of_the_split_that_its_name_or_folder_tells(tmp_path):
    for name in ("boats_test.json", "test/boats.json", "test_annotations.json"):
        path = written(tmp_path / name.replace("/", "-"), {name: TEST, "images/three.jpg": jpeg()})
        assert Coco(path).layout == f"COCO-style JSON (test in {name})"
        assert Coco(path, annotations=name).layout == Coco(path).layout


def test_one_json_file_of_any_name_is_train(tmp_path):
    files = {name: content for name, content in PLAIN.items() if not name.endswith("json")}
    source = Coco(written(tmp_path, files | {"labels.json": TRAIN}))
    assert {record.split for record in source.records()} == {"train"}
    with pytest.raises(ItlError, match="but no JSON file; export the boxes as COCO JSON, a file"):
        Coco(written(tmp_path / "none", files)).records()


def test_one_file_for_two_splits_is_no_option(tmp_path):
    with pytest.raises(
        ItlError, match="names one file for several splits; write a file for each, or leave the"
    ):
        Coco(written(tmp_path, PLAIN), annotations="train=train.json,val=train.json").records()


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["one.jpg", "two.jpg"], "two of its images have the same id; export it again"),
        (["gone.jpg"], "lists 'gone.jpg', but there is no such image; copy it again, or remove it"),
    ],
)
def test_a_json_file_with_a_problem_is_not_said_to_be_missing(tmp_path, split, names, problem):
    """Nor are its images in no file; a split without a file is missing all the same."""
    tables = json.loads(PLAIN[f"{split}.json"])
    tables["images"] = [{"id": 3, "file_name": name} for name in names]
    tables["annotations"] = [row(3, 1, [0, 0, 9, 9])]
    broken = PLAIN | {f"{split}.json": json.dumps(tables).encode()}
    lines = check_lines("coco", written(tmp_path / "broken", broken))
    assert lines[0] == f"problem: {split}.json: {problem}"
    assert not [line for line in lines if "missing: " in line or "no val or test" in line]
    assert any("in no JSON file" in line for line in lines) == (names == ["gone.jpg"])
    gone = PLAIN | {"images/other.jpg": jpeg()}
    gone.pop(f"{split}.json")
    lines = check_lines("coco", written(tmp_path / "gone", gone))
    assert [line for line in lines if line.startswith(f"missing: {split}: ")]
    assert any("no val or test" in line for line in lines) == (split == "test")
    assert any("in no JSON file" in line for line in lines)


@pytest.mark.parametrize("table", ["images", "annotations", "categories"])
def test_ids_are_numbers_also_as_text(tmp_path, table):
    """As tools write them whose ids are keys of objects: the annotations' others stay numbers."""
    tables = json.loads(PLAIN["train.json"])
    for line in tables[table]:
        line |= {key: str(value) for key, value in line.items() if key.endswith("id")}
    texts = PLAIN | {"train.json": json.dumps(tables).encode()}
    plain, scan = (Coco(written(tmp_path / name, files)).scan for name, files in [("a", PLAIN), ("b", texts)])
    assert (scan.objects, scan.problems) == (plain.objects, [])
    assert any(plain.objects.values())
