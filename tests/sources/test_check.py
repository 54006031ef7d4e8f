"""`itl check` before anything is packed: counts, what is missing, every problem; damage crashes nothing."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from itl import ItlError
from itl.__main__ import main
from itl.packs.pack import Pack
from itl.sources import check as checking
from itl.sources.annotated.voc_xml import read_annotation
from itl.sources.boxes import AnnotatedObject
from itl.sources.check_lines import CheckLine, split_problems
from itl.sources.registry import open_source
from itl.sources.scan import image_header
from itl.specs import Packing
from tests.annotated import changed, check_lines, jpeg, thing, voc2007, voc2012, written, xml
from tests.pictures import encoded, smooth
from tests.sources.containers import parquet, shards
from tests.sources.test_coco import PLAIN, coco_json, row
from tests.sources.test_sun397 import IMAGES, LISTS

MAIN = "VOCdevkit/VOC2007/ImageSets/Main/"
DOG = row(3, 1, [0, 0, 9, 9])


def test_a_number_may_be_the_name_of_a_file_as_for_sources(tmp_path):
    lines = check_lines("detections", tmp_path / "x", annotations=5)
    assert lines == check_lines("detections", tmp_path / "x", annotations=Path("5"))
    assert lines == ["problem: there is nothing at 5; give a folder, a .tar or a .zip"]


def test_coco_results_that_are_not_there_or_name_half_a_character_are_refused(tmp_path):
    root, file = written(tmp_path, changed(voc2007(), __000009=None)), tmp_path / "results.json"

    def problem() -> str:
        return next(iter(check_lines("detections", file, annotations=str(root))))

    assert problem() == f"problem: cannot read {file}: No such file or directory"
    file.write_text('[{"image_id": "\\ud800", "category_id": "dog", "bbox": [1, 1, 9, 9], "score": 1}]')
    reason = "'\\ud800' is half of a character"
    assert problem() == f"problem: {file} is not valid JSON ({reason}); write it again"
    file.write_text(
        '[{"image_id": "\\ud83d\\ude00", "category_id": "dog", "bbox": [1, 1, 9, 9], "score": 1}]'
    )
    assert "row 1: no image called '😀' is annotated" in problem()


def test_a_file_of_the_kits_results_that_cannot_be_read_is_named(tmp_path):
    root = written(tmp_path, changed(voc2007(), __000009=None))
    written(root / "results", {"comp4_det_test_car.txt/x": b"", "comp4_det_test_dog.txt": b""})
    file = root / "results/comp4_det_test_car.txt"
    lines = check_lines("detections", root / "results", annotations=str(root / "VOCdevkit"))
    assert lines == [f"problem: cannot read {file}: Is a directory"]


def test_objects_are_counted_by_split_and_class(tmp_path):
    root = written(tmp_path, voc2007())
    assert check_lines("voc2007", root) == [
        "read as: VOC2007 by the lists in ImageSets/Main: train 2 images, val 1 image, test 2 images",
        "labels: 2 classes, such as car; by the XML files in Annotations; left out: 1 image in no list",
        "note: test has no object of 1 class to be scored, such as car",
        "note: 2 of 2,501 train images, 1 of 2,510 val images, 2 of 4,952 test images as published; scores "
        "cannot be compared with those of papers",
        "val: 1 image, 2 objects",
        "    car 1, dog 1",
        "train: 2 images, 2 objects and 1 difficult",
        "    car 1, dog 1 (+ 1)",
        "test: 2 images, 1 object, 1 with none",
        "    dog 1",
        "note: of images only headers were read; damage further in shows when they are packed",
        f"next: itl pack voc2007 {root} --size 500 --fit pad --out PACK",
    ]


def test_a_part_of_what_was_published_is_said_wherever_a_reading_is(tmp_path):
    """So it stands in plans, packs and pages too, whose scores are not those of papers."""
    packing, root = Packing("voc2007", size=32, fit="pad"), written(tmp_path / "voc", voc2007())
    pack = Pack.build(packing, tmp_path / "pack", path=root)
    assert "note: 2 of 2,501 train images, 1 of 2,510 val" in pack.summary["reading"]


@pytest.mark.parametrize(
    ("gone", "line"),
    [
        (
            "test.txt",
            "missing: test: PASCAL VOC's project page has it, in VOCtest_06-Nov-2007.tar; without it",
        ),
        (
            "train",
            "missing: train: PASCAL VOC's project page has it, in VOCtrainval_06-Nov-2007.tar; without it",
        ),
    ],
)
def test_what_is_missing_is_told_with_where_people_get_it(tmp_path, gone, line):
    lines = check_lines("voc2007", written(tmp_path, changed(voc2007(), **{gone: None})))
    assert any(other.startswith(line) for other in lines)
    assert not any(other.startswith("problem: ") for other in lines)


def test_of_many_classes_the_smallest_and_the_largest_are_named(tmp_path):
    files = {
        f"train/class{number:02d}/{image}.png": encoded(smooth(8, 8))
        for number in range(21)
        for image in range(number + 1)
    }
    assert "  train: fewest: class00 1, class01 2, class02 3; most: class20 21" in check_lines(
        "folder", written(tmp_path, files)
    )


def test_labels_that_no_two_images_share_are_noted(tmp_path):
    files = {f"{name}.png": encoded(smooth(8, 8)) for name in "abc"}
    captions = "".join(f"{name}.png,a photo of {name}\n" for name in "abc")
    note = (
        "note: every training image has a class of its own; where these are captions or ids, give its classes"
    )
    assert note in check_lines("lists", written(tmp_path, files | {"train.csv": captions.encode()}))
    two = captions.replace("of c", "of a").encode()
    assert note not in check_lines("lists", written(tmp_path, {"train.csv": two}))


def test_images_on_which_nothing_can_be_seen_are_told_before_packing(tmp_path, monkeypatch):
    files = {f"cat/{number:03d}.jpg": jpeg() for number in range(299)} | {"fox/0.jpg": jpeg()}
    root = written(tmp_path, files | {"cat/strip.png": encoded(smooth(9, 1))})
    assert check_lines("folder", root)[-2:-1] == [
        "note: 1 of 301 images are only one pixel wide or high, such as cat/strip.png"
    ]
    (root / "cat/007.jpg").write_bytes(b"broken")
    assert check_lines("folder", root)[-2].startswith(
        "note: 1 of 301 images cannot be read, such as cat/007.jpg (not an image that Pillow can read); a"
    )
    for number in (0, 40, 80, 120):
        (root / f"cat/{number:03d}.jpg").write_bytes(b"")
    assert check_lines("folder", root)[-1].startswith(
        "problem: 5 of 301 images cannot be read, such as cat/000.jpg (the file is empty)"
    )
    monkeypatch.setattr(checking, "MAX_HEADERS", 10)
    assert "problem: 1 of 10 images (one in 31 was checked) cannot be read" in check_lines("folder", root)[-1]


def test_images_that_may_not_be_read_are_a_problem_though_they_are_few(tmp_path, monkeypatch):
    files = {f"cat/{number:03d}.jpg": jpeg() for number in range(299)} | {"fox/0.jpg": jpeg()}
    root, header = written(tmp_path, files), image_header

    def denied(member):
        if member.path.endswith("007.jpg"):
            raise PermissionError(13, "Permission denied")
        return header(member)

    monkeypatch.setattr(checking, "image_header", denied)
    assert check_lines("folder", root)[-1] == (
        "problem: 1 of 300 images cannot be read, such as cat/007.jpg ([Errno 13] Permission denied); this "
        "says nothing of them, so packing ends there: correct the cause, or move them elsewhere"
    )


def test_the_command_line_counts_problems_of_one_kind_and_fails(tmp_path, capsys):
    bad = xml(*(thing("dog", (9, 9, 9, number)) for number in range(1, 9)))
    root = written(tmp_path, changed(voc2007(), **{"000001.xml": bad}))
    assert main(["check", "voc2007", str(root)]) == 1
    output = capsys.readouterr()
    assert output.err.startswith(
        "itl: Annotations/000001.xml, object 1: the box (9, 9, 9, 1) of 'dog' has no area"
    )
    assert output.err.endswith("(8 problems of this kind, on VOC2007/000001)\n")
    assert "test: 2 images, 1 object" in output.out
    assert main(["check", "voc2007", str(root), "--option", "bad=skip"]) == 0
    written(root, changed(voc2007(), **{"000001.xml": xml(thing("dog", (9, 9, 9, 9)))}))
    assert main(["check", "voc2007", str(root)]) == 1
    assert "object 1: the box (9, 9, 9, 9) of 'dog' has no area" in capsys.readouterr().err
    lines = [CheckLine("count", "train: 1"), CheckLine("problem", "a"), CheckLine("problem", "b")]
    assert split_problems(lines) == (["train: 1"], "a; b")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("voc2007", {"clases": "a"}, "did you mean 'classes'"),
        ("voc2007", {"bad": "skp"}, "did you mean 'skip'"),
        ("voc2007", {"outside": "clip"}, "no value of the option outside called 'clip'"),
        ("voc2012", {}, "should hold a folder VOC2012"),
        ("sun397", {}, "but not Training_01.txt"),
        ("coco", {}, "train/_annotations.coco.json, but no JSON file"),
        ("voc2007", {"classes": "cat,cat"}, "classes are different names"),
    ],
)
def test_what_is_not_there_is_told_in_one_line_with_what_is_taken(tmp_path, kind, options, message):
    lines = check_lines(kind, written(tmp_path, voc2007()), **options)
    assert message in lines[0]
    assert lines[0].startswith("problem: ")


def test_the_next_step_is_a_command_that_is_not_refused(tmp_path, capsys):
    zero = xml(thing("dog", (5, 6, 30, 35)), thing("dog", (9, 9, 9, 1)))
    root = written(tmp_path / "in", changed(voc2007(), **{"000001.xml": zero}))
    lines = check_lines("voc2007", root, outside="cut")
    assert lines[-2:] == [
        "note: the option bad=skip leaves out 1 image with problems",
        f"next: itl pack voc2007 {root} --option outside=cut --option bad=skip --size 500 --fit pad "
        "--out PACK",
    ]
    command = lines[-1].removeprefix("next: itl ").replace("--out PACK", f"--out {tmp_path / 'pack'}")
    assert main(command.split()) == 0
    assert "4 images" in capsys.readouterr().out
    both = {"train.txt": b"000001", "test.txt": b"000001"}  # no image can be left out for that
    for hopeless in ({"000001.xml": zero, "000002.xml": zero}, {"000001.xml": zero} | both):
        written(root, changed(voc2007(), **hopeless))
        texts = check_lines("voc2007", root)
        assert [text for text in texts if text.startswith("problem: ")]
        assert not [text for text in texts if text.startswith("next: ") or "bad=skip" in text]


def test_detections_of_other_classes_are_no_step_to_a_score(tmp_path):
    root = written(tmp_path, {"xml/a.xml": xml(thing("fox", (5, 6, 30, 35)))})
    for name, step in (
        ("fox", [f"next: itl voc-ap --annotations {root}/xml --detections {root}/d.csv"]),
        ("dog", []),
    ):
        (root / "d.csv").write_text(f"image,class,score,xmin,ymin,xmax,ymax\na,{name},.5,5,6,30,35\n")
        lines = check_lines("detections", root / "d.csv", annotations=str(root / "xml"))
        assert [line for line in lines if line.startswith("next: ")] == step


def mutated(data: bytes, chance: random.Random) -> bytes:
    """*data* damaged in one of the ways that disks, editors and scripts damage files."""
    lines, at = data.split(b"\n"), chance.randrange(max(1, len(data)))
    number = chance.randrange(len(lines))
    ways = [
        lambda: data[:at],
        lambda: data[at:],
        lambda: b"",
        lambda: data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :],
        lambda: data[:at] + data[at + 1 + chance.randrange(9) :],
        lambda: data[:at] + bytes(chance.randrange(256) for _ in range(4)) + data[at:],
        lambda: b"\n".join(lines[:number] + lines[number + 1 :]),
        lambda: b"\n".join(lines[:number] + [lines[number]] * 2 + lines[number + 1 :]),
        lambda: b"\n".join(chance.sample(lines, len(lines))),
        lambda: data.replace(chance.choice(FROM), chance.choice(TO)),
        lambda: data.replace(chance.choice(FROM), chance.choice(TO), 1),
        lambda: data.decode("latin-1").encode("utf-16"),
    ]
    return chance.choice(ways)()


FROM = [b"1", b"2", b"40", b"60", b"5", b"0", b"dog", b"xmin", b'"', b"[", b"/", b" "]
TO = [
    b"-1",
    b"0",
    b"99999999999999999999",
    b"1e308",
    b"nan",
    b"Infinity",
    b"",
    b"0x10",
    b"1_0",
    b"\xd9\xa3",
    b"1.5",
    b"null",
    b"\n",
    b"{}",
]
WORLDS = {
    "voc2007": voc2007(),
    "voc2012-action": voc2012(),
    "voc2012": {name.replace("2007", "2012"): content for name, content in voc2007().items()},
    "sun397": IMAGES | LISTS,
    "coco": PLAIN,
}


@pytest.mark.parametrize(
    ("kind", "times"),
    [("voc2007", 130), ("voc2012-action", 90), ("voc2012", 40), ("sun397", 60), ("coco", 80)],
)
def test_damaged_files_crash_nothing(tmp_path, kind, times):
    """Each of 400 works or is refused in one line, and check says the same beforehand."""
    chance, outcomes = random.Random(kind), Counter()
    names = [name for name in WORLDS[kind] if name.endswith((".xml", ".txt", ".json"))]
    root = written(tmp_path, WORLDS[kind])
    for _ in range(times):
        name = chance.choice(names)
        (root / name).write_bytes(mutated(WORLDS[kind][name], chance))
        lines = check_lines(kind, root)
        assert all(line.isprintable() for line in lines)
        fault = outcome(kind, root) or ""
        assert fault.isprintable()
        assert any(line.startswith("problem: ") for line in lines) == bool(fault)
        outcomes["refused" if fault else "works"] += 1
        if name.endswith(".xml"):
            annotation_or_error((root / name).read_bytes())
        (root / name).write_bytes(WORLDS[kind][name])
    assert min(outcomes["refused"], outcomes["works"]) > times / 8


def outcome(kind: str, root) -> str | None:
    """Read all that the source has; the error where it refuses."""
    try:
        source = open_source(kind, root)
        for record in source.records():
            objects = source.annotation(record) if kind != "sun397" else []
            assert all(isinstance(one, AnnotatedObject) and all(np.isfinite(one.box)) for one in objects)
            assert len(source.read(record))
    except ItlError as error:
        return str(error)


def annotation_or_error(data: bytes) -> None:
    """Read a damaged annotation, as `itl voc-ap` does."""
    try:
        read_annotation(data, "x.xml")
    except ItlError as error:
        message = str(error)
        assert message.isprintable(), message


ONE_SPLIT = {  # of each source: images of train alone, and files that give it another split as the note says
    "lists": (
        {"1.jpg": jpeg(), "2.jpg": jpeg(), "all.csv": b"file,label\n1.jpg,a\n2.jpg,b\n"},
        {"all.csv": b"file,label,split\n1.jpg,a,train\n2.jpg,a,test\n"},
        "a column split of train, val or test in the list divides it, or a second list, such as test.csv, or "
        "the option val_fraction=0.1 makes a tenth of each class val",
    ),
    "coco": (
        {"1.jpg": jpeg(), "2.jpg": jpeg(), "annotations.json": coco_json({3: "1.jpg", 4: "2.jpg"}, DOG)},
        {
            "annotations.json": coco_json({3: "1.jpg", 4: "2.jpg"}, DOG)
            .replace(b'"1.jpg",', b'"1.jpg", "split": "train",')
            .replace(b'"2.jpg",', b'"2.jpg", "split": "test",')
        },
        "a field split of train, val or test in each of the images of one JSON, whose name tells no split "
        "(annotations.json, without the option annotations), divides them, or write a second JSON, such as "
        "val.json",
    ),
    "voc2007": (
        changed(voc2007(), ImageSets=None) | {f"{MAIN}train.txt": b"000001\n000002\n"},
        {f"{MAIN}train.txt": b"000001\n", f"{MAIN}val.txt": b"000002\n"},
        "list some of them in ImageSets/Main/val.txt, and no longer in train.txt",
    ),
}


@pytest.mark.parametrize("kind", ONE_SPLIT)
def test_images_of_train_alone_are_divided_as_the_note_says(tmp_path, kind):
    files, others, cure = ONE_SPLIT[kind]
    note = "note: no val or test images; nothing can be measured on this source alone; "
    assert note + cure in check_lines(kind, written(tmp_path, files))
    assert len({record.split for record in open_source(kind, written(tmp_path, others)).records()}) == 2


def test_shards_and_tables_of_train_alone_say_what_divides_them(tmp_path):
    for kind, make, cure in (
        ("webdataset", shards, "write shards of another split, whose names tell it, such as val-000000.tar"),
        ("parquet", parquet, "a column split of train, val or test divides files whose names tell none, or "),
    ):
        for file in make(tmp_path / kind).rglob("*-*"):
            if not {"val", "test"}.isdisjoint(file.name.split("-")):
                file.unlink()
        assert any(f"this source alone; {cure}" in line for line in check_lines(kind, tmp_path / kind))
