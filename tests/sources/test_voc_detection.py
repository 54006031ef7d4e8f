"""VOC's files: annotations, lists and layouts, and detection as a source."""

import os
import pickle
import re
from collections import Counter
from pathlib import Path
from tarfile import open as open_tar
from xml.etree import ElementTree

import pytest
from PIL import Image

from itl import ItlError
from itl.packs.pack import Pack
from itl.sources.annotated.voc_detection import Voc2007, Voc2012
from itl.sources.annotated.voc_devkit import assign_splits, read_list
from itl.sources.annotated.voc_xml import read_annotation, read_annotations
from itl.sources.boxes import AnnotatedObject
from itl.sources.registry import open_source
from itl.specs import Packing
from tests.annotated import (
    CAR,
    DOG,
    changed,
    check_lines,
    jpeg,
    problems_of,
    thing,
    voc2007,
    voc2012,
    written,
    xml,
)
from tests.pictures import REAL, encoded, smooth, tarred

VOC500 = REAL / "voc2007-500.tar"


def test_an_annotation_has_objects_flags_and_actions_but_no_parts():
    part = "<part><name>head</name><bndbox><xmin>900</xmin></bndbox></part>"
    person = thing(
        "person",
        ("10.6", "1.5e1", 20, "30.2"),
        truncated=1,
        part=part,
        actions="<jumping>1</jumping><reading>0</reading>",
    )
    result = read_annotation(xml(person, thing("dog", (1, 1, 60, 40), difficult=1)), "x.xml")
    assert (result.width, result.height) == (60, 40)
    assert result.objects == (
        AnnotatedObject("person", (11, 15, 20, 30), False, True),
        AnnotatedObject("dog", (1, 1, 60, 40), True),
    )
    assert result.actions == ({"jumping": True, "reading": False}, {})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (xml(thing(*DOG))[:-5], "x.xml, line 1: not valid XML"),
        (b"<annotation>\n\n<object></annotation>", "x.xml, line 3: not valid XML .mismatched tag"),
        (b"<html/>", "holds <html>, not the <annotation>"),
        (xml("<object><name>dog</name></object>"), "object 1, 'dog', has no box"),
        (xml(thing(" ", DOG[1])), "object 1 has no name"),
        (
            xml(thing(*DOG).replace("</name>", "</name><name>cat</name>")),
            "object 1 has more than one <name>; write an <object> for",
        ),
        (xml(thing(*DOG, bndbox="")), "object 1 has more than one <bndbox>"),
        (xml(thing(*DOG, deleted="maybe")), "deleted is 'maybe'; give 0 or 1"),
        (xml(thing("dog", (5, 5, 5, 9))), r"the box \(5, 5, 5, 9\) of 'dog' has no area"),
        (xml(thing("dog", (5, 9, 6, 2))), r"the box \(5, 9, 6, 2\) of 'dog' has no area"),
        (xml(thing("dog", (5, 5, 61, 9))), r"\(5, 5, 61, 9\) of 'dog' reaches outside its image of 60 × 40"),
        (xml(thing("dog", (0, 5, 6, 9))), "whose pixels count from 1"),
        (xml(thing("dog", (1, 1, "nan", 9))), "xmax is 'nan'; it should be a number of pixels"),
        (xml(thing("dog", (1, 1, "1e999", 9))), "xmax is '1e999'; it should be a number"),
        (xml(thing("dog", (1, "", 3, 9))), "ymin is ''; it should be a number"),
        (xml(thing(*DOG, difficult="maybe")), "difficult is 'maybe'; give 0 or 1"),
        (xml(thing(*DOG), size=("wide", 40)), "width is 'wide'"),
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "x.xml"),
        (
            b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]><annotation>&e;</annotation>',
            "XML entities",
        ),
    ],
)
def test_what_is_wrong_with_an_annotation_is_one_line(data, message):
    with pytest.raises(ItlError, match=message) as caught:
        read_annotation(data, "x.xml")
    assert "\n" not in str(caught.value)


def test_entities_neither_grow_nor_are_fetched_in_any_encoding(tmp_path):
    """Where the plain look for them is blind, expat limits what grows and fetches nothing."""
    (tmp_path / "secret").write_text("secret")
    lol = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE a [<!ENTITY a0 "lol">{lol}]><annotation>&a9;</annotation>'
    fetch = f'<!DOCTYPE a [<!ENTITY e SYSTEM "file://{tmp_path}/secret">]><annotation>&e;</annotation>'
    for text in (bomb, fetch):
        for data in (text.encode(), text.encode("utf-16")):
            with pytest.raises(ItlError) as caught:
                read_annotation(data, "x.xml")
            assert "secret" not in str(caught.value)


def test_sizes_and_flags_may_be_missing_and_fractions_reach_over_the_edge():
    unsized = b"<annotation>" + thing("dog", (1, 1, 900, 900)).encode() + b"</annotation>"
    assert read_annotation(unsized, "x").width is None
    assert read_annotation(xml(thing("dog", (1, 1, 900, 900)), size=(0, 0)), "x").objects[0].box[2] == 900
    edges = xml(thing("dog", (0.3, 0.5, 60.6, 40.99), truncated="Unspecified"))
    assert read_annotation(edges, "x").objects[0] == AnnotatedObject("dog", (1, 1, 60, 40))
    cut = read_annotation(xml(thing("dog", (-5, 0, 99, 40))), "x", outside="cut").objects[0]
    assert cut.box == (1, 1, 60, 40)
    with pytest.raises(
        ItlError, match=r"of the box \(70, 1, 99, 40\) of 'dog' nothing lies inside its image"
    ):
        read_annotation(xml(thing("dog", (70, 1, 99, 40))), "x", outside="cut")


def test_lists_are_read_and_divided():
    assert read_list(b"\xef\xbb\xbfa\r\n\r\n b \r\n\x00\xff") == ["a", "b", "\x00\ufffd"]
    lists = {"train": ["1", "1"], "trainval": ["1", "2"], "test": ["2", "3"]}
    division = assign_splits(lists)
    assert division.split_of == {"1": "train", "2": "val", "3": "test"}
    assert division.in_two == {"2": "val and test"}
    assert division.notes == ["the list train has 1 line twice, counted once"]


EXPECTED = [
    ("VOC2007/000001", "train"),
    ("VOC2007/000002", "train"),
    ("VOC2007/000003", "val"),
    ("VOC2007/000004", "test"),
    ("VOC2007/000005", "test"),
]


def _in_capitals(match: re.Match[str]) -> str:
    return match[0].upper()


def layouts(tmp_path: Path) -> list[Path]:
    """The same small VOC2007 in all the ways it may lie."""
    root = written(tmp_path / "here", voc2007())
    bare = {name.removeprefix("VOCdevkit/VOC2007/"): content for name, content in voc2007().items()}
    later = ("test.txt", "000004", "000005")
    test = {name: content for name, content in voc2007().items() if any(part in name for part in later)}
    rest = {name: content for name, content in voc2007().items() if name not in test}
    tarred(tmp_path / "tars/VOCtrainval_06-Nov-2007.tar", rest)
    tarred(tmp_path / "tars/VOCtest_06-Nov-2007.tar", test)
    written(tmp_path / "apart/VOCtest", test)
    written(tmp_path / "apart/VOCtrainval", rest)
    written(tmp_path / "renamed", bare)
    return [
        root,
        root / "VOCdevkit",
        root / "VOCdevkit/VOC2007",
        tarred(tmp_path / "a.tar", voc2007()),
        tarred(tmp_path / "b.tar", bare),
        written(
            tmp_path / "capitals", {re.sub(r"\.(xml|txt)$", _in_capitals, n): c for n, c in bare.items()}
        ),
        tmp_path / "tars",
        tmp_path / "apart",
        tmp_path / "renamed",
    ]


def test_voc2007_wherever_it_lies(tmp_path):
    result = []
    for path in layouts(tmp_path):
        source = Voc2007(path)
        records = source.records()
        assert [(record.id, record.split) for record in records] == EXPECTED
        assert {record.wnid for record in records} == {""}
        assert source.read(records[0]) == jpeg()
        assert source.left_out == {"images in no list": 1}
        assert pickle.loads(pickle.dumps(source)).records() == records
        result.append([source.annotation(record) for record in records])
    assert result[0][0] == [
        AnnotatedObject("dog", DOG[1], truncated=True),
        AnnotatedObject("dog", (40, 2, 50, 9), difficult=True),
    ]
    assert result[0][3] == []
    assert all(one == result[0] for one in result)


def test_what_the_first_of_two_tars_leaves_out_is_counted(tmp_path):
    test = {name: content for name, content in voc2007().items() if "000004" in name or "000005" in name}
    lists = {name: content for name, content in voc2007().items() if "test.txt" in name}
    lost = {"VOCdevkit/VOC2007/JPEGImages/000009.jpg": "nowhere.jpg"}
    tarred(tmp_path / "VOC-1-test.tar", test | lists, **lost)
    tarred(
        tmp_path / "VOC-2-rest.tar",
        {name: voc2007()[name] for name in voc2007().keys() - test.keys() - lists.keys()},
    )
    assert Voc2007(tmp_path).left_out == {"images in no list": 1, "links that lead nowhere": 1}


def test_a_folder_and_a_tar_give_the_same_pack(tmp_path):
    paths = (written(tmp_path / "here", voc2007()), tarred(tmp_path / "voc.tar", voc2007()))
    packing = Packing("voc2007", size=30, fit="pad")
    packs = [Pack.build(packing, tmp_path / f"pack{number}", path=path) for number, path in enumerate(paths)]
    assert packs[0].digest == packs[1].digest
    mended = written(tmp_path / "mended", changed(voc2007(), **{"000003.xml": xml(thing(*DOG))}))
    with pytest.raises(ItlError, match="is the pack of voc2007"):
        Pack.build(packing, tmp_path / "pack0", path=mended)
    assert packs[0].summary["protocol"] == "VOC2007, 5 of 9,963 images"
    assert packs[0].summary["left_out"]["images in no list"] == 1
    assert set(zip(packs[0].table["width"], packs[0].table["height"], strict=True)) == {(60, 40)}
    assert not packs[0].images[:, 20:].any()  # 60 × 40 becomes 30 × 20, and black below
    table = packs[0].objects
    assert list(table["row"]) == [0, 0, 1, 2, 2, 4]
    assert table[["xmin", "ymin", "xmax", "ymax"]].to_numpy().tolist()[-1] == list(DOG[1])


TROUBLE = [
    ({"000002.xml": b"<annotation>"}, "Annotations/000002.xml, line 1: not valid XML"),
    ({"000002.xml": None}, "Annotations/000002.xml is missing, though 000002 is in train"),
    ({"000002.jpg": None}, "ImageSets/Main/train.txt lists '000002', but JPEGImages has no such image"),
    ({"000002.jpg": b"no image"}, "JPEGImages/000002.jpg cannot be read: not an image that Pillow can read"),
    ({"000002.jpg": jpeg(1, 1)}, "JPEGImages/000002.jpg is 1 × 1 pixels"),
    ({"000002.jpg": jpeg(50, 40)}, "such as VOC2007/000002, 50 × 40 pixels, not 60 × 40; set the option"),
    ({"000002.xml": xml(thing("dog", (50, 1, 61, 9)))}, "reaches outside its image of 60 × 40"),
    ({"000002.xml": xml(thing("dog", (9, 9, 9, 9)))}, "has no area"),
    (
        {"000002.xml": xml(thing("dgo", DOG[1]))},
        "no class called 'dgo'; did you mean 'dog'? There are aeroplane, ",
    ),
]


@pytest.mark.parametrize(("changes", "message"), TROUBLE)
def test_trouble_with_an_image_is_a_line_and_can_be_skipped(tmp_path, changes, message):
    root = written(tmp_path, changed(voc2007(), **changes))
    source = Voc2007(root)
    pattern = f"{re.escape(message)}.*`itl check voc2007 .*` lists all, and the option bad=skip leaves"
    with pytest.raises(ItlError, match=pattern):
        source.records()
    lines = [line for line in check_lines("voc2007", root) if line.startswith("problem: ")]
    assert lines == [f"problem: {text}" for text in problems_of(source)]
    assert len(lines) == 1
    skipping = Voc2007(root, bad="skip")
    assert [record.id for record in skipping.records()] == [
        name for name, _ in EXPECTED if "000002" not in name
    ]
    assert skipping.left_out["images with problems (bad=skip)"] == 1
    assert any(line.startswith("note: skipped: ") for line in check_lines("voc2007", root, bad="skip"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"Main__test.txt": b"000001\n000004\n"},
            "1 image is in train and test, such as 000001; leave each",
        ),
        (
            {"Main__val.txt": b"", "Main__test.txt": None},
            "the list trainval has 1 image that neither train nor val has, such as 000003; get all three",
        ),
        ({"Main": None}, "VOC2007/ImageSets/Main has no list of images; write train.txt"),
        ({"VOC2007": None}, "there is nothing at"),
    ],
)
def test_trouble_with_the_whole_cannot_be_skipped(tmp_path, changes, message):
    path = tmp_path / "voc"
    written(path, changed(voc2007(), **changes))
    with pytest.raises(ItlError, match=message):
        Voc2007(path, bad="skip").records()
    assert message in check_lines("voc2007", path)[0]


def test_every_problem_is_told_not_only_the_first(tmp_path):
    bad = xml(thing("dog", (1, 1, 1, 1)), thing(*DOG), thing("cat", (1, 1, 61, 9)))
    files = changed(
        voc2007(), **{"000001.xml": bad, "000003.jpg": None, "Main__test.txt": b"000004\n000007\n"}
    )
    source = Voc2007(written(tmp_path, files))
    assert len(problems_of(source)) == 4
    with pytest.raises(ItlError, match="4 problems, such as: "):
        source.records()
    many = changed(voc2007(), **{"Main__test.txt": "\n".join(map(str, range(900))).encode()})
    assert problems_of(Voc2007(written(tmp_path / "many", many))) == [
        "ImageSets/Main/test.txt lists '0', but JPEGImages has no such image; copy it again, or remove it "
        "from the list (900 problems of this kind, on VOC2007/0, VOC2007/1, VOC2007/10 …)"
    ]


def test_sizes_that_differ_by_a_pixel_are_taken_as_they_are(tmp_path):
    source = Voc2007(written(tmp_path, changed(voc2007(), **{"000001.jpg": jpeg(61, 41)})))
    assert len(source.records()) == 5
    assert source.scan.notes == []


def test_an_annotation_that_names_another_image_is_a_note(tmp_path):
    files = voc2007()
    named = {
        name: data.replace(b"<filename>x", b"<filename>a/000003.jpg")
        for name, data in files.items()
        if name.endswith(("000002.xml", "000003.xml"))
    }
    note = (
        "1 annotation has another image's name in <filename>, such as 000002.xml (000003); each is taken for "
    )
    source = Voc2007(written(tmp_path, files | named))
    assert source.scan.notes == [f"{note}the image that it is called after"]
    assert [record.id for record in source.records()] == [name for name, _ in EXPECTED]


def test_images_of_one_name_without_objects_or_with_one_twice(tmp_path):
    two = {"VOCdevkit/VOC2007/JPEGImages/000001.png": jpeg()}
    with pytest.raises(
        ItlError, match="000001.jpg and JPEGImages/000001.png both '000001'; leave one of them"
    ):
        Voc2007(written(tmp_path / "two", voc2007() | two)).records()
    bare = changed(voc2007(), **{"Annotations": xml()})
    with pytest.raises(ItlError, match="no training image has an annotation, so nothing can be learned"):
        Voc2007(written(tmp_path / "bare", bare)).records()
    twice = changed(voc2007(), **{"000002.xml": xml(thing(*DOG), thing(*DOG)), "Main__val.txt": b""})
    assert Voc2007(written(tmp_path / "twice", twice)).scan.notes == [
        "the list val is empty",
        "1 object is annotated twice with one box, such as on VOC2007/000002; of two, at most one can be "
        "detected",
    ]


def test_a_rotated_image_has_the_size_it_is_packed_with(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    rotated = encoded(smooth(60, 40), "JPEG", exif=exif)
    assert problems_of(Voc2007(written(tmp_path, changed(voc2007(), **{"000002.jpg": rotated})))) == []


def test_rotated_objects_are_noted_and_deleted_ones_left_out(tmp_path):
    rotation = "<attribute><name>rotation</name><value>{}</value></attribute>"
    objects = [thing(*DOG, attributes=rotation.format(angle)) for angle in ("45.0", "0.0")]
    files = changed(voc2007(), **{"000001.xml": xml(*objects, thing(*CAR, deleted=1))})
    scan = Voc2007(written(tmp_path, files)).scan
    assert [obj.name for obj in scan.objects["VOC2007/000001"]] == ["dog", "dog"]
    assert scan.notes[-1] == (
        "1 object with a rotation, which is not read, such as on VOC2007/000001; the box is taken as it is "
        "without it: write the upright box around the turned one"
    )


def test_boxes_outside_can_be_cut(tmp_path):
    files = changed(voc2007(), **{"000001.xml": xml(thing("dog", (0, 5, 66, 9))), "000002.jpg": jpeg(50, 40)})
    source = Voc2007(written(tmp_path, files), outside="cut", resized="keep")
    records = source.records()
    assert source.annotation(records[0])[0].box == (1, 5, 60, 9)
    assert source.annotation(records[1])[0].box == (1, 1, 50, 40)


def test_own_images_in_vocs_format(tmp_path):
    files = {
        "pets/ImageSets/Main/trainval.txt": b"my cat 1.png\nsub/b\n",
        "pets/ImageSets/Main/test.txt": b"c\n",
        "pets/Annotations/my cat 1.xml": xml(thing("cat", (1, 1, 9, 9))),
        "pets/Annotations/sub/b.xml": xml(thing("guinea pig", (1, 1, 9, 9))),
        "pets/Annotations/c.xml": xml(),
        "pets/JPEGImages/my cat 1.png": encoded(smooth(40, 60)),
        "pets/JPEGImages/sub/b.jpg": jpeg(),
        "pets/JPEGImages/c.jpg": jpeg(),
    }
    root = written(tmp_path, files)
    source = open_source("voc2007", root, classes="cat, guinea pig")
    assert [(record.id, record.split) for record in source.records()] == [
        ("VOC2007/c", "test"),
        ("VOC2007/my cat 1", "train"),
        ("VOC2007/sub/b", "train"),
    ]
    assert source.protocol == ""
    with pytest.raises(ItlError, match="no class called 'guinea pig'; there are cat"):
        Voc2007(root, classes="cat").records()
    with pytest.raises(ItlError, match="different names"):
        Voc2007(root, classes="cat,,dog").records()


def test_another_year_is_not_taken_for_this(tmp_path):
    with pytest.raises(ItlError, match="should hold a folder VOC2007 .* found only VOC2012"):
        Voc2007(written(tmp_path, voc2012()) / "VOCdevkit/VOC2012").records()


def test_voc2012_without_annotations_of_test_does_all_but_that(tmp_path):
    files = {name.replace("2007", "2012"): content for name, content in voc2007().items()}
    files = changed(files, **{"000004.xml": None})  # some of test's are there, for other tasks
    source = Voc2012(written(tmp_path, files))
    assert Counter(record.split for record in source.records()) == {"train": 2, "val": 1}
    assert source.scan.notes == [
        "1 of 2 test images have no annotation, so test is left out; scores are measured on val"
    ]
    lines = check_lines("voc2012", tmp_path)
    assert any(line.startswith("missing: test: its annotations are not public") for line in lines)
    assert any("2 images of a test split without annotations" in line for line in lines)


def test_voc2007_whose_test_lacks_annotations_lacks_all_or_is_refused(tmp_path):
    some = Voc2007(written(tmp_path / "some", changed(voc2007(), **{"000004.xml": None})))
    assert problems_of(some) == ["Annotations/000004.xml is missing, though 000004 is in test; copy it again"]
    none = changed(voc2007(), **{"000004.xml": None, "000005.xml": None})
    records = Voc2007(written(tmp_path / "none", none)).records()
    assert Counter(record.split for record in records) == {"train": 2, "val": 1}


def test_annotations_of_a_folder_or_a_tar(tmp_path):
    files = changed(voc2007(), **{"000009.xml": xml()})
    root = written(tmp_path / "here", files)
    for path in (root, root / "VOCdevkit/VOC2007/Annotations", tarred(tmp_path / "voc.tar", files)):
        result = dict(read_annotations(path))
        assert sorted(result) == ["000001", "000002", "000003", "000004", "000005", "000009"]
        assert result["000002"].objects == (AnnotatedObject("car", CAR[1]),)
    with pytest.raises(ItlError, match="holds no annotations"):
        list(read_annotations(root / "VOCdevkit/VOC2007/JPEGImages"))
    written(root, {"VOCdevkit/VOC2012/Annotations/000001.xml": xml()})
    with pytest.raises(ItlError, match="annotate one image"):
        list(read_annotations(root))


@pytest.mark.skipif(not VOC500.is_file(), reason="no real images in ../shared/data")
def test_real_images_against_a_literal_reading():
    source = Voc2007(VOC500)
    records = source.records()
    counts = Counter(record.split for record in records)
    assert (counts["train"] + counts["val"], counts["test"]) == (350, 150)
    expected = {}
    with open_tar(VOC500) as tar:
        for member in tar:
            if member.name.endswith(".xml"):
                root = ElementTree.parse(tar.extractfile(member)).getroot()
                expected[Path(member.name).stem] = [
                    (
                        one.find("name").text,
                        *(int(one.find(f"bndbox/{side}").text) for side in ("xmin", "ymin", "xmax", "ymax")),
                        one.find("difficult").text == "1",
                    )
                    for one in root.findall("object")
                ]
    assert {
        record.id.removeprefix("VOC2007/"): [
            (one.name, *one.box, one.difficult) for one in source.annotation(record)
        ]
        for record in records
    } == expected
    lines = check_lines("voc2007", VOC500)
    test = [name.id.removeprefix("VOC2007/") for name in records if name.split == "test"]
    dogs = sum(one[0] == "dog" and not one[-1] for name in test for one in expected[name])
    assert f"dog {dogs}" in " ".join(lines).partition("test: 150 images")[2]


def test_both_years_are_one_source(tmp_path, monkeypatch):
    files = voc2007() | {
        name.replace("VOC2007", "VOC2012"): data for name, data in voc2007().items() if "/000009" not in name
    }
    source = open_source("voc0712", written(tmp_path, files))
    scandir, folders = os.scandir, Counter()
    monkeypatch.setattr(os, "scandir", lambda path: folders.update([str(path)]) or scandir(path))
    splits = {record.id: record.split for record in source.records()}
    assert "VOC2012/JPEGImages/000001.jpg" in source.listing.files
    annotations = [f"{tmp_path}/VOCdevkit/VOC{year}/Annotations" for year in (2007, 2012)]
    assert [folders[folder] for folder in annotations] == [2, 2], "listed once by each year"
    assert splits == {
        **{f"VOC{year}/00000{number}": "train" for year in (2007, 2012) for number in (1, 2)},
        **{f"VOC{year}/000003": "val" for year in (2007, 2012)},
        **{f"VOC2007/00000{number}": "test" for number in (4, 5)},
    }
    assert source.left_out["test images of VOC2012"] == 2
    assert source.protocol == "VOC2007+2012, 8 of 21,503 images"
    by_id = {record.id: record for record in source.records()}
    assert source.annotation(by_id["VOC2012/000002"]) == [AnnotatedObject(*CAR)]
    assert source.read(by_id["VOC2012/000002"]) == jpeg()
    with pytest.raises(ItlError, match="should hold a folder VOC2012"):
        open_source("voc0712", written(tmp_path / "one", voc2007())).records()


@pytest.mark.parametrize("suffix", ["_train_val", "_trainval", "-train"])
def test_voc2012_as_kaggle_has_it(tmp_path, suffix):
    train, test = (f"VOC2012{part}/VOC2012{part}" for part in (suffix, "_test"))
    files = {name.replace("VOCdevkit/VOC2007", train): data for name, data in voc2007().items()}
    del files[f"{train}/ImageSets/Main/test.txt"]
    files |= {f"{test}/ImageSets/Main/test.txt": b"000008\n", f"{test}/JPEGImages/000008.jpg": jpeg()}
    source = open_source("voc2012", written(tmp_path, files))
    assert [record.split for record in source.records()] == ["train", "train", "val"]
    assert source.left_out["images of a test split without annotations"] == 1


def test_lists_are_called_as_folders_of_splits_may_be(tmp_path):
    main = "VOCdevkit/VOC2007/ImageSets/Main/"
    lists = {
        main + "Train.txt": b"000001\n000002\n",
        main + "Validation.txt": b"000003\n",
        main + "Testing.txt": b"000004\n",
    }
    path = written(tmp_path, changed(voc2007(), ImageSets=None) | lists)
    assert {record.id[-6:]: record.split for record in Voc2007(path).records()} == {
        **dict.fromkeys(("000001", "000002"), "train"),
        "000003": "val",
        "000004": "test",
    }
    (path / main / "valid.txt").write_bytes(b"000005\n")
    with pytest.raises(
        ItlError, match="Main/Validation.txt, .*/valid.txt are lists of one split; leave one of"
    ):
        Voc2007(path).records()
