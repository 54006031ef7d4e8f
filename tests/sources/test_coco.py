"""COCO-style JSON as a target: where files lie, which image and box a row means, and what is wrong."""

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
    assert source.scan.notes[0] == (
        "1 object cut to what lies inside the image (outside=cut), such as on images/one.jpg; pixels count "
        "from 1, and sides may have another order, or be corners"
    )


OUTLINE = [[5, 6, 20, 6, 20, 20], [5, 20, 9, 20]]


@pytest.mark.parametrize(
    "corners",
    [
        [{"area": 15 * 14}] * 2,
        [{"area": 15 * 14, "segmentation": []}] * 2,
        [{"area": 99, "segmentation": OUTLINE}] * 2,
        [{"area": 15 * 14}, {"area": 15 * 14}, {"area": 400}],
        [{"area": 15 * 14}, {"bbox": [0, 0, 20, 20], "area": 400}],  # which tells nothing
    ],
)
def test_boxes_that_are_corners_by_areas_or_outlines_are_refused(tmp_path, corners):
    rows = [row(3, 1, [5, 6, 20, 20]) | more for more in corners]
    assert problems_of(Coco(written(tmp_path, PLAIN | {"train.json": one(*rows)}))) == [
        "train.json: the box [5, 6, 20, 20] and most others are two corners, as outlines or areas say; COCO "
        "has x, y, width, height: subtract the first number from the third, the second from the fourth"
    ]


@pytest.mark.parametrize(
    "sizes",
    [
        [{"area": 15 * 14}, {"area": 400}],
        [{"area": 15 * 14, "segmentation": {"counts": "x", "size": [40, 60]}}],
        [{"area": 15 * 14, "segmentation": [[5, 6, 25, 6, 25, 26]]}],
        [{"area": 15 * 14, "segmentation": [["5"]]}],
        [{"area": 123.4}],
        [{"area": "210"}],
        [{"area": 0, "bbox_mode": 1}],
        [{"bbox": [20, 20, 5, 6], "area": 15 * 14}],
        [{"area": 15 * 14}, {"bbox": [20, 20, 5, 6], "area": 21}],  # of masks; the second is of sizes
        *([{"bbox_mode": mode}] for mode in (None, 1.0, "BoxMode.XYWH_ABS", "<BoxMode.XYWH_ABS: 1>", "xywh")),
    ],
)
def test_boxes_that_may_be_of_sizes_are_read(tmp_path, sizes):
    rows = [row(3, 1, [5, 6, 20, 20]) | more for more in sizes]
    assert problems_of(Coco(written(tmp_path, PLAIN | {"train.json": one(*rows)}))) == []


def test_boxes_of_another_mode_are_refused(tmp_path):
    rows = [row(3, 1, [5, 6, 20, 20], bbox_mode=0)]
    assert problems_of(Coco(written(tmp_path, PLAIN | {"train.json": one(*rows)}))) == [
        "train.json: its bbox_mode is '0'; COCO has x, y, width, height: convert boxes with Detectron2's "
        "BoxMode.convert to XYWH_ABS, and set bbox_mode to 1 or leave it out"
    ]


def test_rotated_boxes_are_noted(tmp_path):
    rows = [row(3, 1, [5, 6, 20, 20], attributes={"rotation": angle}) for angle in (0.0, 180, 45.0, "359.5")]
    source = Coco(written(tmp_path, PLAIN | {"train.json": one(*rows)}))
    assert source.scan.notes[1] == (
        "1 object with a rotation, which is not read, such as on images/one.jpg; the box is taken as it is "
        "without it: write the upright box around the turned one"
    )


def test_that_other_classes_were_not_looked_for_is_noted(tmp_path):
    tables = json.loads(TRAIN)
    tables["images"][0]["neg_category_ids"] = [7]
    notes = Coco(written(tmp_path, PLAIN | {"train.json": json.dumps(tables).encode()})).scan.notes
    assert notes == [
        "train.json says which classes were looked for on an image, as in LVIS, which is not read: others "
        "count as absent, so detections of them as false"
    ]


def test_no_split_is_skipped_whole(tmp_path):
    root = written(tmp_path, PLAIN | {"images/two.jpg": b"no"})
    assert any(line.startswith("note: the option bad=skip") for line in check_lines("coco", root))
    (root / "images/one.jpg").unlink()
    assert not [line for line in check_lines("coco", root) if "bad=skip" in line]
    assert problems_of(Coco(root, bad="skip")) == [
        "the option bad=skip would leave out every image of train; without it `itl check` says what is wrong "
        "with them"
    ]


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
