"""COCO-style JSON as a target: where files lie, what boxes mean, and what is wrong with them."""

import json

import pytest

from itl import ItlError
from itl.packs.pack import Pack
from itl.sources.annotated.coco import Coco
from itl.sources.boxes import AnnotatedObject, voc_box
from itl.sources.files.archives import Listing, Member
from itl.sources.listed.image_finder import ImageNames
from itl.specs import Packing
from tests.annotated import check_lines, jpeg, problems_of, written
from tests.pictures import tarred

CATEGORIES = [{"id": 1, "name": "dog"}, {"id": 7, "name": "guinea pig"}]


def row(image: int, category: int, bbox: list, **more: object) -> dict:
    """One annotation."""
    return {"id": 1, "image_id": image, "category_id": category, "bbox": bbox, **more}


def coco_json(images: dict[int, str], *rows: dict, **more: object) -> bytes:
    """A JSON file."""
    listed = [{"id": number, "file_name": name, "width": 60, "height": 40} for number, name in images.items()]
    return json.dumps({"images": listed, "annotations": rows, "categories": CATEGORIES, **more}).encode()


def one(*rows: dict) -> bytes:
    """A JSON file on one image."""
    return coco_json({3: "one.jpg"}, *rows)


TRAIN = coco_json(
    {3: "one.jpg", 4: "two.jpg"}, row(3, 1, [0, 9, 20, 5.5]), row(3, 7, [1, 1, 2, 2], iscrowd=1)
)
TEST = coco_json({3: "three.jpg"}, row(3, 7, [0, 0, 60, 40]))
AS_COCO = {
    "annotations/instances_train2017.json": TRAIN,
    "annotations/instances_test2017.json": TEST,
    "annotations/captions_train2017.json": b"{}",
    "train2017/one.jpg": jpeg(),
    "train2017/two.jpg": jpeg(),
    "test2017/three.jpg": jpeg(),
    "test2017/four.jpg": jpeg(),
}
EXPORTED = {
    "train/_annotations.coco.json": TRAIN,
    "test/_annotations.coco.json": TEST,
    "train/one.jpg": jpeg(),
    "train/two.jpg": jpeg(),
    "test/three.jpg": jpeg(),
    "test/one.jpg": jpeg(),
}
PLAIN = {
    "train.json": TRAIN,
    "test.json": TEST,
    "images/one.jpg": jpeg(),
    "images/two.jpg": jpeg(),
    "images/three.jpg": jpeg(),
}


def test_wherever_images_and_json_lie(tmp_path):
    for number, files in enumerate((AS_COCO, EXPORTED, PLAIN)):
        for path in (written(tmp_path / f"{number}", files), tarred(tmp_path / f"{number}.tar", files)):
            source = Coco(path)
            objects = {
                record.id.rpartition("/")[2]: (record.split, source.annotation(record))
                for record in source.records()
            }
            assert objects == {
                "one.jpg": (
                    "train",
                    [
                        AnnotatedObject("dog", (1, 10, 20, 14.5)),
                        AnnotatedObject("guinea pig", (2, 2, 3, 3), difficult=True),
                    ],
                ),
                "two.jpg": ("train", []),
                "three.jpg": ("test", [AnnotatedObject("guinea pig", (1, 1, 60, 40))]),
            }
    assert Coco(tmp_path / "0").left_out == {"images in no JSON file that is read": 1}
    assert check_lines("coco", tmp_path / "0.tar")[2:9] == [
        "note: test has objects of classes that train does not have: guinea pig",
        "note: test has no object of 1 class to be scored, such as dog",
        "note: not read: annotations/captions_train2017.json; the option annotations names the files that "
        "are read, as annotations=train=annotations/instances_train2017.json,"
        "test=annotations/instances_test2017.json",
        "train: 2 images, 1 object and 1 difficult, 1 with none",
        "    dog 1, guinea pig 0 (+ 1)",
        "test: 1 image, 1 object",
        "    guinea pig 1",
    ]


def test_a_folder_and_a_tar_give_the_same_pack(tmp_path):
    paths = [written(tmp_path / "here", PLAIN), tarred(tmp_path / "coco.tar", PLAIN)]
    packs = [
        Pack.build(Packing("coco", size=30, fit="pad"), tmp_path / f"pack{number}", path=path)
        for number, path in enumerate(paths)
    ]
    assert packs[0].digest == packs[1].digest
    assert packs[0].objects["ymax"].tolist() == [14.5, 3, 40]


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


def test_boxes_become_vocs():
    assert voc_box([10, 20, 1, 1], (60, 40), "") == (11, 21, 11, 21)  # one pixel
    assert voc_box([10.25, 20, 0.5, 1], (60, 40), "") == (11.25, 21, 11.25, 21)
    assert voc_box([59.25, 20, 0.75, 1], (60, 40), "") == (60, 21, 60, 21)  # and at the edges
    assert voc_box([10, 39.5, 1, 1], (60, 40), "") == (11, 40, 11, 40)
    assert voc_box([60, 0, 0.5, 1], (60, 40), "") == (61, 1, 61, 1)  # behind the image
    assert voc_box([-0.5, 0, 60.75, 40.5], (60, 40), "") == (1, 1, 60, 40)
    assert voc_box([-2, 0, 70, 40], (60, 40), "") == (-1, 1, 68, 40)  # for `within` to refuse or cut


def test_file_names_are_found_by_as_much_as_they_tell():
    names = names_of("train/1.jpg", "val/1.jpg", "val/x/1.jpg")
    assert names.find("C:\\photos\\x\\1.jpg", "train") == "val/x/1.jpg"
    assert names.find("1.jpg", "train") == "train/1.jpg"
    with pytest.raises(ItlError, match="could be any of train/1.jpg, val/1.jpg"):
        names.find("1.jpg", "test")


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
    others = dict.fromkeys(("annotations/captions_val2017.json", "annotations/val_corrected.json"), b"{}")
    path = written(tmp_path, files | {train: TRAIN, test: TEST} | others)
    assert Coco(path).layout == f"COCO-style JSON (train in {train}, test in {test})"
    note = (
        f"not read: annotations/captions_val2017.json, annotations/val_corrected.json; the option "
        f"annotations names the files that are read, as annotations=train={train},test={test}"
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


def test_an_image_of_the_same_name_in_another_split_is_not_taken(tmp_path):
    bare = {"annotations/instances_train.json": coco_json({3: "1.jpg", 4: "2.jpg"}, row(3, 1, [0, 0, 9, 9]))}
    there = dict.fromkeys(("train/1.jpg", "test/1.jpg", "test/2.jpg"), jpeg())
    for name, images in (("part", there), ("none", {"test/2.jpg": jpeg()})):
        with pytest.raises(
            ItlError, match="lists '2.jpg', but of that name there is only test/2.jpg, in a fol"
        ):
            Coco(written(tmp_path / name, bare | images)).records()
    val = {"train.json": TRAIN, "val.json": TEST, "train/three.jpg": jpeg()}
    source = Coco(written(tmp_path / "val", PLAIN | val), annotations="train=train.json,val=val.json")
    (tmp_path / "val/images/three.jpg").unlink()
    assert {record.id: record.split for record in source.records()}["train/three.jpg"] == "val"
    assert source.scan.notes == [
        "val.json: 1 image is in a folder of another split, such as train/three.jpg; they are val images, as "
        "the list says"
    ]


def names_of(*files: str) -> ImageNames:
    listing = Listing()
    for name in files:
        listing.add(name, Member(name))
    return ImageNames(listing)


@pytest.mark.parametrize(
    ("files", "name", "message"),
    [
        (
            ["train/1.jpg", "val/2.jpg"],
            "val/1.jpg",
            "lists 'val/1.jpg', which is not there, though train/1.jpg is",
        ),
        (["cats/1.jpg", "dogs/2.jpg"], "/home/me/dogs/1.jpg", "though cats/1.jpg is; correct the list"),
        (["train/1.jpg"], "val2017/1.jpg", "though train/1.jpg is"),
        (["photos/train/1.jpg"], "photos/1.jpg", ""),  # in the folder, only deeper
        (["photos/1.jpg"], "train/1.jpg", ""),
        (["photos/1.jpg"], "/home/me/images/1.jpg", ""),
    ],
)
def test_an_image_of_another_folder_is_not_taken(files, name, message):
    if not message:
        assert names_of(*files).find(name, "train") == files[0]
    else:
        with pytest.raises(ItlError, match=message):
            names_of(*files).find(name, "train")


def test_the_name_that_was_meant_is_offered():
    for name in ("1.JPG", "1.png", "/data/cat/1.jpeg"):
        with pytest.raises(ItlError, match=r"there is no such image; did you mean cat/1.jpg\?"):
            names_of("cat/1.jpg").find(name, "train")


def test_two_names_are_two_images():
    names = names_of("all/1.jpg", "all/2.jpg")
    assert names.find("siteA/1.jpg", "train") == names.find("/data/siteA/1.jpg", "val") == "all/1.jpg"
    with pytest.raises(ItlError, match="lists 'siteB/1.jpg' and 'siteA/1.jpg', but there is all/1.jpg alone"):
        names.find("siteB/1.jpg", "train")
    assert names.describe_elsewhere() == [
        "1 image is not in the folder that a list names, such as siteA/1.jpg, taken to be all/1.jpg"
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.json": TRAIN[:-9]}, "train.json, line 1: not valid JSON"),
        ({"train.json": b"[1]"}, "train.json is not COCO-style JSON"),
        ({"train.json": b'{"images": [],' + TRAIN[1:]}, "JSON (the key 'images' is twice in one object); ex"),
        ({"train.json": b"\xff\xfe{"}, "train.json cannot be read as JSON"),
        ({"train.json": b"[" * 100_000}, "train.json cannot be read as JSON (RecursionError)"),
        ({"train.json": one({"image_id": 3})}, "number 1 of its annotations lacks image_id or"),
        (
            {"train.json": one(row(3, 1, [0, 0, 9, 9], iscrowd="2"))},
            "'dog': iscrowd is '2'; it should be 0 or 1",
        ),
        ({"train.json": one(row(3, 9, [0, 0, 9, 9]))}, "no category has the id 9; categories are 1 dog"),
        ({"train.json": one(row(8, 1, [0, 0, 9, 9]))}, "1 annotation is of images that the file does"),
        ({"train.json": one(row(3, 1, [0, 0, 0, 9]))}, "'dog': the box [0, 0, 0, 9] has no area"),
        ({"train.json": one(row(3, 1, [0, 0, 61, 9]))}, "the box (1, 1, 61, 9) of 'dog' reaches outside"),
        ({"train.json": one(row(3, 1, [0, 0, float("nan"), 9]))}, "bbox is [0, 0, nan, 9]; it should"),
        ({"train.json": one(row(3, 1, None))}, "bbox is None; it should be [x, y, width, height]"),
        (
            {
                "train.json": one(row(3, 1, [0, 0, 9, 9]), row(3, 7, [0, 0, 9, 9])).replace(
                    b"guinea pig", b"dog "
                )
            },
            "train.json: categories 1 and 7 are both 'dog'; rename one, or give its annotations the",
        ),
        (
            {"train.json": one(row(3, 7, [0, 0, 9, 9])).replace(b"guinea pig", b" ")},
            "train.json: category 7 of its annotations has no name; give it one",
        ),
        ({"train.json": one(row(3, 1, [0, 0.5, 0.5, 1]))}, "0.5, 1] and all others lie between 0 and 1, as"),
        (
            {"train.json": one(row(3, 1, None), row(3, 1, [0, 0.5, 0.5, 1]))},
            "the box [0, 0.5, 0.5, 1] and all others lie between 0 and 1, as",
        ),
        (
            {"train.json": one(row(3, 1, [0, 0, 9, 9])).replace(b'"dog"', b'"\\udead"')},
            "train.json cannot be read as JSON ('\\udead' is half of a character); export it again",
        ),
        ({"train.json": one()}, "no training image has an annotation, so nothing can be learned; add them"),
        (
            {"train.json": coco_json({3: "gone.jpg"})},
            "train.json: lists 'gone.jpg', but there is no such image",
        ),
        (
            {"train.json": coco_json({3: "one.jpg", 4: "one.jpg"})},
            "one.jpg is listed twice in train.json; give the annotations of both one image_id, and leave",
        ),
        ({"test.json": TRAIN}, "images/one.jpg is in train.json and again in test.json"),
        ({"images/one.jpg": jpeg(1, 1)}, "images/one.jpg is 1 × 1 pixels"),
        ({"images/one.jpg": b"no"}, "images/one.jpg cannot be read: not an image"),
        (
            {"a/train.json": TRAIN},
            "but a/train.json, test.json, train.json; name the files with the option annotations=train",
        ),
    ],
)
def test_trouble_is_a_line(tmp_path, changes, message):
    root = written(tmp_path, PLAIN | changes)
    with pytest.raises(ItlError) as caught:
        Coco(root).records()
    assert message in str(caught.value)
    lines = check_lines("coco", root)
    assert message in lines[0]
    assert all("\n" not in line for line in lines)


def test_images_with_trouble_can_be_skipped_and_boxes_cut(tmp_path):
    rows = row(3, 1, [0, 0, 61.5, 9]), row(4, 1, [5, 5, 0, 9])
    root = written(tmp_path, PLAIN | {"train.json": coco_json({3: "one.jpg", 4: "two.jpg"}, *rows)})
    assert len(problems_of(Coco(root))) == 2
    source = Coco(root, bad="skip", outside="cut")
    assert [record.id for record in source.records()] == ["images/one.jpg", "images/three.jpg"]
    assert source.annotation(source.records()[0]) == [AnnotatedObject("dog", (1, 1, 60, 9))]


def test_classes_of_skipped_images_alone_are_not_counted(tmp_path):
    rows = row(3, 1, [0, 0, 9, 9]), row(4, 7, [0, 0, 9, 9]), row(4, 7, [0, 0, 0, 9])
    root = written(tmp_path, PLAIN | {"train.json": coco_json({3: "one.jpg", 4: "two.jpg"}, *rows)})
    source = Coco(root, bad="skip", annotations="train=train.json")
    assert [
        line for line in source.describe(source.records()) if line.startswith("labels: 1 class, such as dog")
    ]


def test_a_test_split_without_annotations_is_left_out(tmp_path):
    files = {
        "test.json": coco_json({3: "three.jpg"}),
        "val.json": coco_json({5: "five.jpg"}),
        "images/five.jpg": jpeg(),
    }
    lines = check_lines("coco", written(tmp_path, PLAIN | files))
    assert "note: test.json has no annotations, so test is left out; val is scored" in lines
    assert "missing: test: without it scores are measured on val, if there is one" in lines


def test_a_category_without_annotations_may_have_the_name_of_another(tmp_path):
    content = one(row(3, 7, [0, 0, 9, 9])).replace(
        b"guinea pig", b"dog"
    )  # as tools export a class and its group
    source = Coco(
        written(tmp_path, PLAIN | {"train.json": content, "test.json": content}), annotations="train.json"
    )
    assert [one.name for one in source.annotation(source.records()[0])] == ["dog"]


def test_one_json_file_of_any_name_is_train(tmp_path):
    files = {name: content for name, content in PLAIN.items() if not name.endswith("json")}
    source = Coco(written(tmp_path, files | {"labels.json": TRAIN}))
    assert {record.split for record in source.records()} == {"train"}
    with pytest.raises(ItlError, match="but no JSON file; export the boxes as COCO JSON, a file"):
        Coco(written(tmp_path / "none", files)).records()


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (
            {"segments_info": []},
            "lacks image_id or category_id; it is of panoptic segments without a box, so give",
        ),
        (
            {"caption": "a dog"},
            "it is a caption without a box, so give the file with objects, such as instances_",
        ),
        (
            {"category_id": 1},
            "so they label whole images; write a CSV with the columns file_name, label and split",
        ),
        ({"category_id": 1, "bbox": []}, "no annotation has a bbox, so they label whole images; write"),
        ({"category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]}, "outlines without a bbox; add to each"),
    ],
)
def test_files_without_boxes_are_called_what_they_are(tmp_path, annotation, message):
    files = PLAIN | {"train.json": one({"image_id": 3} | annotation)}
    assert message in problems_of(Coco(written(tmp_path, files)))[0]


def test_images_of_lvis_are_said_to_lack_their_names(tmp_path):
    content = {
        "images": [{"id": 3, "coco_url": "http://x/train2017/1.jpg"}],
        "annotations": [],
        "categories": [],
    }
    files = PLAIN | {"train.json": json.dumps(content).encode()}
    assert problems_of(Coco(written(tmp_path, files))) == [
        "train.json: number 1 of its images lacks id or file_name; it has a coco_url alone, as in LVIS: add "
        "to each image its end, file_name 'train2017/1.jpg'"
    ]


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
