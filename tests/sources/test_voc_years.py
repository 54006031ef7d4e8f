"""VOC 2007 and 2012 as one source, and own images in their format: what is said of each."""

from itl.sources.registry import open_source
from tests.annotated import check_lines, jpeg, problems_of, text, thing, voc2007, written, xml
from tests.pictures import tarred

DOG = thing("dog", (5, 5, 20, 20))


def both(changes: dict[str, bytes], year: str = "VOC") -> dict[str, bytes]:
    """VOC2007 and a VOC2012 of the same files, with *changes* to the files of each *year*."""
    files = voc2007() | {name.replace("VOC2007", "VOC2012"): data for name, data in voc2007().items()}
    changed = {name: name.partition("/VOC20")[2][3:] for name in files if year in name}
    return files | {name: changes[inner] for name, inner in changed.items() if inner in changes}


def test_objects_that_are_annotated_twice_are_said_once(tmp_path):
    lines = check_lines("voc0712", written(tmp_path, both({"Annotations/000001.xml": xml(DOG, DOG)})))
    assert [line for line in lines if "annotated twice" in line] == [
        "note: 2 objects are annotated twice with one box, such as on VOC2007/000001, VOC2012/000001; of "
        "two, at most one can be detected"
    ]
    lines = check_lines("voc0712", written(tmp_path / "plain", both({})))
    assert not [line for line in lines if "annotated twice" in line]


def test_notes_of_one_year_name_it(tmp_path):
    changes = {"ImageSets/Main/trainval.txt": text("000001", "000002")}
    notes = open_source("voc0712", written(tmp_path, both(changes, "VOC2012"))).scan.notes
    assert notes == ["VOC2012: the list trainval lacks 1 image of train and val, such as 000003"]


def test_images_of_both_years_are_skipped_and_counted_once(tmp_path):
    path = written(tmp_path, both({"Annotations/000001.xml": xml(thing("dog", (5, 5, 5, 20)))}))
    assert len(problems_of(open_source("voc0712", path))) == 2
    source = open_source("voc0712", path, bad="skip")
    assert [record.id for record in source.records() if record.split == "train"] == [
        "VOC2007/000002",
        "VOC2012/000002",
    ]
    assert source.left_out["images with problems (bad=skip)"] == 2
    assert len([note for note in source.scan.notes if note.startswith("skipped: ")]) == 2


def test_a_year_without_an_object_in_training_is_refused(tmp_path):
    empty = {f"Annotations/00000{number}.xml": xml() for number in (1, 2)}
    for year, refused in (("VOC2007", True), ("VOC2012", True), ("none", False)):
        source = open_source("voc0712", written(tmp_path / year, both(empty, year)))
        lines = [problem.text for problem in source.scan.problems]
        assert lines == ["no training image has an annotation, so nothing can be learned; add them"] * refused


def test_annotations_of_another_size_are_counted_for_both_years(tmp_path):
    files = {"Annotations/000002.xml": xml(DOG, size=(400, 60))}
    (problem,) = open_source("voc0712", written(tmp_path, both(files))).scan.problems
    assert problem.images == ("VOC2007/000002", "VOC2012/000002")


def test_own_images_are_not_said_to_be_published(tmp_path):
    files = {f"JPEGImages/{name}.jpg": jpeg() for name in "abc"}
    files |= {f"Annotations/{name}.xml": xml(DOG) for name in "abc"}
    lists = {"ImageSets/Main/train.txt": b"a\nb", "ImageSets/Main/val.txt": b"c"}
    root = written(tmp_path / "own", files | lists)
    lines = check_lines("voc2007", root, classes="dog")
    assert [line for line in lines if line.startswith("missing: ")] == [
        "missing: test: without it scores are measured on val, if there is one"
    ]
    assert "missing: test: PASCAL VOC's project page has it" in "\n".join(check_lines("voc2007", root))
    bare = written(tmp_path / "bare", files | {"ImageSets/Main/default.txt": b"a"})
    says = f"problem: {bare}/ImageSets/Main has no list of images; write train.txt and test.txt there"
    assert check_lines("voc2007", bare, classes="dog")[0].startswith(says)
    packed = tarred(tmp_path / "bare.tar", {f"set/{name}": content for name, content in files.items()})
    says = f"problem: {packed}: ImageSets/Main has no list of images"
    assert check_lines("voc2007", packed, classes="dog")[0].startswith(says)
