"""Annotated images as other tools write them: names of files, flags, ids and elements, read or named."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from itl import ItlError
from itl.sources.annotated.coco import Coco
from itl.sources.annotated.proposal_files import describe_order
from itl.sources.annotated.voc_action import VocAction
from itl.sources.annotated.voc_xml import read_annotation
from itl.sources.published.sun397 import Sun397
from itl.sources.registry import open_source
from itl.sources.scan import Scan
from tests.annotated import changed, jpeg, problems_of, thing, voc2007, voc2012, written, xml
from tests.sources.test_sun397 import EXPECTED, IMAGES, LISTS

DOG = thing("dog", (5, 5, 20, 20))


def coco_file(image: str, **more: object) -> bytes:
    """A JSON file of one image with one dog."""
    row = {"image_id": 1, "category_id": 2, "bbox": [1, 1, 9, 9], **more}
    tables = {"images": [{"id": 1, "file_name": image}], "annotations": [row]}
    return json.dumps(tables | {"categories": [{"id": 2, "name": "dog"}]}).encode()


def coco_world(*names: str) -> dict[str, bytes]:
    """A JSON file of each name, of one image each."""
    images = {f"images/{number}.jpg": jpeg() for number, _ in enumerate(names)}
    return images | {f"annotations/{name}": coco_file(f"{n}.jpg") for n, name in enumerate(names)}


@pytest.mark.parametrize(
    ("flags", "difficult"),
    [
        ({"iscrowd": 0, "ignore": 0, "difficult": False}, False),
        ({"iscrowd": 0, "ignore": 1}, True),
        ({"difficult": True}, True),
        ({"difficult": "1", "ignore": None}, True),
        ({"difficult": "", "ignore": "false"}, False),
        ({"iscrowd": None}, False),
        ({"iscrowd": "0"}, False),
        ({"iscrowd": "1"}, True),
    ],
)
def test_objects_to_be_ignored_are_difficult(tmp_path, flags, difficult):
    files = coco_world("train.json", "val.json") | {"annotations/val.json": coco_file("1.jpg", **flags)}
    source = Coco(written(tmp_path, files))
    (record,) = (record for record in source.records() if record.split == "val")
    assert [one.difficult for one in source.annotation(record)] == [difficult]


def test_training_images_with_difficult_objects_alone_teach_nothing(tmp_path):
    files = coco_world("train.json", "val.json") | {"annotations/train.json": coco_file("0.jpg", ignore=1)}
    assert problems_of(Coco(written(tmp_path, files))) == [
        "every object of the training images is difficult, so nothing can be learned; correct their flags "
        "(difficult, ignore or iscrowd)"
    ]


def test_flags_of_objects_are_0_or_1(tmp_path):
    files = {"train.json": coco_file("a.jpg", ignore="yes"), "a.jpg": jpeg()}
    assert any(
        "ignore is 'yes'; it should be 0 or 1" in text for text in problems_of(Coco(written(tmp_path, files)))
    )


def scan_of_stated(folder: Path, width: object, height: object) -> Scan:
    """Scan an image of 60 × 40 pixels, for which the JSON states *width* and *height*."""
    tables = json.loads(coco_file("a.jpg"))
    tables["images"][0] |= {"width": width, "height": height}
    return Coco(written(folder, {"train.json": json.dumps(tables).encode(), "a.jpg": jpeg()})).scan


@pytest.mark.parametrize("width", [float("nan"), "NaN", "None", "?", None, "", 0, -1, "60", "60.0", 60.0])
@pytest.mark.parametrize("height", [40, "40", None])
def test_a_stated_size_is_a_number_text_or_nothing(tmp_path, width, height):
    scan = scan_of_stated(tmp_path, width, height)
    assert scan.objects["a.jpg"][0].box == (2, 2, 10, 10)
    assert scan.problems == scan.notes == []


@pytest.mark.parametrize(
    "stated", [(120, 80), ("120", "80"), ("120.0", 80), (119.5, 79.6), (120, None), (None, "80")]
)
def test_boxes_of_another_size_are_refused_however_it_is_stated(tmp_path, stated):
    (problem,) = scan_of_stated(tmp_path, *stated).problems
    assert problem.text.startswith(
        "1 image has another size than annotations state, such as a.jpg, 60 × 40 pixels, not 120 × 80; set"
    )


@pytest.mark.parametrize(
    ("width", "says"),
    [("wide", "'wide'"), (float("inf"), "'inf'"), ("60px", "'60px'"), (True, "'True'"), ([60], "'[60]'")],
)
def test_a_stated_size_that_is_no_number_of_pixels_is_refused(tmp_path, width, says):
    (problem,) = scan_of_stated(tmp_path, width, 40).problems
    assert problem.text == f"train.json, a.jpg: width is {says}; it should be a number of pixels"
    assert problem.images == ("a.jpg",)


@pytest.mark.parametrize(("number", "is_read"), [(1.0, True), (1.5, False)])
def test_ids_may_be_whole_floats(tmp_path, number, is_read):
    files = {"train.json": coco_file("a.jpg", image_id=number, category_id=2.0), "a.jpg": jpeg()}
    texts = problems_of(Coco(written(tmp_path, files)))
    assert is_read != any("lacks image_id or category_id" in text for text in texts)


@pytest.mark.parametrize(
    "names",
    [
        ("pascal_train2012.json", "pascal_val2012.json"),
        ("lvis_v1_train.json", "lvis_v1_val.json"),
        ("person_keypoints_train2017.json", "person_keypoints_val2017.json"),
        ("train_v2.json", "val_v2.json"),
    ],
)
def test_pairs_of_json_files_whose_names_tell_splits(tmp_path, names):
    source = Coco(written(tmp_path, coco_world(*names)))
    assert [record.split for record in source.records()] == ["train", "val"]
    assert not any("not read" in note for note in source.scan.notes)


@pytest.mark.parametrize(
    "names",
    [
        ("cars_train.json", "people_val.json"),  # two data sets
        ("pascal_train_val.json", "pascal_test.json"),  # two splits in one name
        ("instances_train2014.json", "instances_val2014.json", "instances_minival2014.json"),
        ("train_a.json", "train_b.json", "val_a.json"),
        ("a.json", "b.json"),
    ],
)
def test_json_files_that_may_be_of_several_sets_or_splits_are_not_paired(tmp_path, names):
    with pytest.raises(ItlError, match="name the files with the option annotations="):
        Coco(written(tmp_path, coco_world(*names))).records()


def test_json_files_of_predictions_are_not_read(tmp_path):
    names = ("predictions_train.json", "predictions_val.json")
    with pytest.raises(ItlError, match="export the boxes as COCO JSON, a file for each split"):
        Coco(written(tmp_path, coco_world(*names))).records()


def mat(path, **variables):
    """A folder with a .mat of *variables*."""
    path.mkdir()
    scipy.io.savemat(path / "000005.mat", variables)
    return path


def test_the_order_of_boxes_is_said_wherever_it_is_not_published(tmp_path):
    boxes, cell = np.array([[2, 3, 8, 14]], float), np.empty(1, object)
    cell[0] = boxes
    images = np.array(["000005"], object)
    assert describe_order(mat(tmp_path / "published", images=images, boxes=cell)) == ""
    assert "ymin, xmin" in describe_order(mat(tmp_path / "one image", boxes=boxes))
    cell[0] = np.hstack([boxes, [[0.5]]])
    assert "ymin, xmin" in describe_order(mat(tmp_path / "scores", images=images, boxes=cell))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"<objects>{DOG}</objects>", "a.xml has <object> in <objects>, which is not read; write objects as"),
        (DOG.replace("object>", "Object>"), "a.xml has <Object> in <annotation>, which is not read"),
        (DOG + DOG.replace("object>", "Object>"), "a.xml has <Object> in <annotation>, which is not read"),
        (f"{DOG}<objects>{DOG}</objects>", "a.xml has <object> in <objects>, which is not read"),
        (f'<v:set xmlns:v="x">{DOG}</v:set>', "a.xml has <object> in <.*set>, which is not read"),
    ],
)
def test_objects_that_are_not_directly_in_the_annotation_are_named(content, message):
    with pytest.raises(ItlError, match=message):
        read_annotation(xml(content), "a.xml")
    assert read_annotation(xml(), "a.xml").objects == ()
    assert read_annotation(xml("<source><object>scanned</object></source>"), "a.xml").objects == ()
    assert len(read_annotation(xml(DOG), "a.xml").objects) == 1


@pytest.mark.parametrize(("text", "difficult"), [("1.0", True), ("0.0", False), ("1", True), ("0.5", None)])
def test_flags_in_xml_may_be_whole_floats(text, difficult):
    data = xml(thing("dog", (5, 5, 20, 20), difficult=text))
    if difficult is None:
        with pytest.raises(ItlError, match="difficult is '0.5'; give 0 or 1"):
            read_annotation(data, "a.xml")
    else:
        assert read_annotation(data, "a.xml").objects[0].difficult == difficult


def test_lists_may_name_images_by_their_path(tmp_path):
    lines = b"JPEGImages/000001.jpg\n/data/VOC2007/JPEGImages/000002\n"
    source = open_source("voc2007", written(tmp_path, changed(voc2007(), Main__train=lines)))
    assert [one.id for one in source.records() if one.split == "train"] == [
        "VOC2007/000001",
        "VOC2007/000002",
    ]


def test_lists_of_people_are_spelt_as_those_of_images(tmp_path):
    folder = "VOCdevkit/VOC2012/ImageSets/Action"
    files = {name.replace("/train.txt", "/Train.txt"): data for name, data in voc2012().items()}
    files |= {
        f"{folder}/Train.txt": b"2010_1.jpg 2\n2010_1.jpg 3\n",
        f"{folder}/jumping_train.txt": b"2010_1.jpg 2 1\n",
    }
    source = VocAction(written(tmp_path, files))
    assert [one.id for one in source.records() if one.split == "train"] == [
        "VOC2012/2010_1#2",
        "VOC2012/2010_1#3",
    ]
    with pytest.raises(
        ItlError, match="Train.txt, ImageSets/Action/train.txt are lists of one split; leave one"
    ):
        VocAction(written(tmp_path, voc2012())).records()


def test_the_zip_of_sun397_is_read_where_no_image_is_unpacked(tmp_path):
    with zipfile.ZipFile(written(tmp_path, LISTS) / "SUN397.zip", "w") as archive:
        for name, data in IMAGES.items():
            archive.writestr(name, data)
    assert [(one.id, one.wnid, one.split) for one in Sun397(tmp_path).records()] == EXPECTED
    written(tmp_path, {name: data for name, data in IMAGES.items() if "sun_1" not in name})
    assert any("1 of 6 images" in text or "sun_1.jpg" in text for text in problems_of(Sun397(tmp_path)))


def test_zips_of_sun397_are_joined_beside_a_picture_of_it(tmp_path):
    root = written(tmp_path, LISTS | {"preview.png": jpeg()})
    for number, name in enumerate(IMAGES):
        with zipfile.ZipFile(root / f"SUN397_{number}.zip", "w") as archive:
            archive.writestr(name, IMAGES[name])
    assert [(one.id, one.wnid, one.split) for one in Sun397(root).records()] == EXPECTED
