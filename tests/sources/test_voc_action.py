"""VOC's action task as a source: a record for each person, whole and damaged."""

import numpy as np
import pytest

from itl import ItlError
from itl.packs.pack import Pack
from itl.sources.annotated.voc_action import ACTIONS, VocAction
from itl.sources.boxes import AnnotatedObject
from itl.sources.files.image_files import pixels_of
from itl.sources.records import Record
from itl.sources.synthetic import targets
from itl.specs import Packing
from tests.annotated import changed, check_lines, jpeg, problems_of, thing, voc2012, written, xml
from tests.pictures import tarred

TAKEN = "what their XML says is taken"
PEOPLE = ["VOC2012/2010_1#2", "VOC2012/2010_1#3", "VOC2012/2011_2#1"]


def test_actions_are_of_people_and_pixels_of_their_boxes(tmp_path):
    result = []
    for path in (written(tmp_path / "here", voc2012()), tarred(tmp_path / "voc.tar", voc2012())):
        source = VocAction(path, context=1.5)
        records = source.records()
        assert [(record.id, record.wnid, record.split) for record in records] == [
            (PEOPLE[0], "", "train"),
            (PEOPLE[1], "", "train"),
            (PEOPLE[2], "", "val"),
        ]
        pixels, _ = pixels_of(jpeg(), "2010_1")
        assert (source.read(records[0]) == pixels[4:34, 4:34]).all()
        assert source.read(records[1]).shape == (40, 26, 3)  # cut off at three edges
        assert source.left_out == {"images without a listed person": 1, "unlabelled people of test": 1}
        result.append([source.annotation(record) for record in records])
    person, other = (10, 10, 29, 29), (40, 5, 60, 40)
    assert (
        result[0]
        == result[1]
        == [
            [AnnotatedObject("jumping", person), AnnotatedObject("walking", person)],
            [AnnotatedObject("jumping", other, difficult=True), AnnotatedObject("phoning", other)],
            [],
        ]
    )
    assert tuple(targets.ACTION_POSES) == ACTIONS


def test_a_pack_has_warped_crops_and_a_row_for_each_action(tmp_path):
    path = tarred(tmp_path / "voc.tar", voc2012())
    built = Pack.build(Packing("voc2012-action", size=16), tmp_path / "pack", path=path)
    assert list(built.objects["name"]) == ["jumping", "walking", "jumping", "phoning"]
    assert list(built.objects["row"]) == [0, 0, 1, 1]
    assert built.images.shape == (3, 16, 16, 3)
    assert built.summary["protocol"] == "VOC2012 Action, 3 of 6,278 people"
    lines = check_lines("voc2012-action", path)
    assert [line for line in lines if not line.startswith("note: ")][:5] == [
        "read as: people in VOC2012 by the lists in ImageSets/Action: train 2 people, val 1 person",
        "labels: 3 classes, such as jumping; by these lists and the XML files in Annotations; left out: "
        "1 image without a listed person, 1 unlabelled person of test",
        "val: 1 person, 0 actions, 1 with none",
        "train: 2 people, 3 actions and 1 difficult",
        "    jumping 1 (+ 1), phoning 1, walking 1",
    ]
    assert any(line.startswith("missing: test: its labels are not public") for line in lines)
    assert (
        "note: 2 of 3,134 train people, 1 of 3,144 val people as published; scores cannot be compared with "
        "those of papers"
    ) in lines


def test_a_pack_is_built_again_once_the_box_of_a_person_without_an_action_is_another(tmp_path):
    path = written(tmp_path / "voc", voc2012())
    packing = Packing("voc2012-action", size=16)
    first = np.array(Pack.build(packing, tmp_path / "pack", path=path).images)
    other = xml(thing("person", (1, 1, 20, 20), actions="<other>1</other><jumping>0</jumping>"))
    written(path, {"VOCdevkit/VOC2012/Annotations/2011_2.xml": other})
    again = Pack.build(packing, tmp_path / "pack", path=path).images
    assert [(again[row] == first[row]).all() for row in range(3)] == [True, True, False]
    assert (again == Pack.build(packing, tmp_path / "new", path=path).images).all()


def test_all_published_people_have_the_protocol_of_papers(tmp_path, monkeypatch):
    monkeypatch.setattr(VocAction, "published_images", {"train": 2, "val": 1})
    path = written(tmp_path, voc2012())
    assert VocAction(path).protocol == "VOC2012 Action"
    assert not any("as published" in line for line in check_lines("voc2012-action", path))
    lists = {"train.txt": b"2010_1 2\n", "val.txt": b"2011_2 1\n", "trainval.txt": b"2010_1 2\n2011_2 1\n"}
    written(path, {f"VOCdevkit/VOC2012/ImageSets/Action/{name}": data for name, data in lists.items()})
    assert VocAction(path).protocol == "VOC2012 Action, 2 of 3 people"


@pytest.mark.parametrize(
    ("train", "val", "test", "problem"),
    [
        (b"2010_1 2", b"2010_1 3", b"2012_3 1", "1 image has people in train and val, such as 2010_1"),
        (
            b"2010_1 2\n2010_1 3",
            b"2011_2 1",
            b"2010_1 1",
            "1 image has people in train and test, such as 2010_1",
        ),
        (b"2010_1 2\n2010_1 3", b"2010_1 3", b"2012_3 1", "1 person is in train and val, such as 2010_1#3"),
    ],
)
def test_people_of_one_image_are_in_one_split(tmp_path, train, val, test, problem):
    """As their crops overlap; leaving images out does not help."""
    lists = {"train.txt": train, "val.txt": val, "test.txt": test, "trainval.txt": None}
    files = changed(voc2012(), **{f"Action__{name}": data for name, data in lists.items()})
    for bad in ("refuse", "skip"):
        problems = problems_of(VocAction(written(tmp_path, files), bad=bad))
        assert [text for text in problems if " in train and " in text] == [
            f"{problem}; leave each in one of them"
        ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"Action__train.txt": b"2010_1 2\n2010_1 9\n", "Action__trainval.txt": None},
            "has 3 objects, but ImageSets/Action lists number 9",
        ),
        (
            {"Action__train.txt": b"2010_1 2\n"},
            "trainval has 1 person that neither train nor val has, such as",
        ),
        (
            {"Action__train.txt": b"2010_1 1\n", "Action__trainval.txt": None},
            "object 1 is listed as a person but is 'chair'",
        ),
        (
            {"Action__train.txt": b"2010_1 two\n", "Action__trainval.txt": None},
            "train.txt, line 1: '2010_1 two' is not IMAGE OBJECT",
        ),
        (
            {"jumping_train.txt": b"2010_1 2 7\n"},
            "line 1: '2010_1 2 7' is not IMAGE OBJECT FLAG, the flag -1",
        ),
        ({"Action__test.txt": b"2010_1 2\n"}, "1 person is in train and test, such as 2010_1#2"),
        ({"2010_1.jpg": None}, "lists '2010_1', but 'JPEGImages/2010_1.jpg' is missing"),
        ({"2010_1.xml": None}, "lists '2010_1', but 'Annotations/2010_1.xml' is missing"),
        ({"2010_1.xml": xml(thing("person", (1, 1, 1, 9)), thing("person", (1, 1, 9, 9)))}, "has no area"),
        ({"2010_1.jpg": jpeg(1, 1)}, "is 1 × 1 pixels"),
        ({"2010_1.jpg": jpeg(50, 40)}, "2 images have another size than annotations"),
        ({"2011_2.xml": xml(thing("person", (1, 1, 9, 9), actions="<juming>1</juming>"))}, "mean 'jumping'"),
        ({"Action": None}, "ImageSets/Action has no list of people"),
        (
            {"2011_2.xml": xml(thing("person", (11, 11, 50, 30)))},
            "2011_2#1 is in val, but neither lists nor Annotations/2011_2.xml say whether it is phoning, ",
        ),
        (
            {"2011_2.xml": xml(thing("person", (11, 11, 50, 30))), "jumping_val.txt": None},
            "2011_2#1 is in val, but neither lists nor Annotations/2011_2.xml say what it does; get both",
        ),
    ],
)
def test_trouble_is_a_line(tmp_path, changes, message):
    written(tmp_path, changed(voc2012(), **changes))
    with pytest.raises(ItlError) as caught:
        VocAction(tmp_path).records()
    assert message in str(caught.value)
    assert message in check_lines("voc2012-action", tmp_path)[0]


def test_people_with_trouble_can_be_skipped(tmp_path):
    written(tmp_path, changed(voc2012(), **{"2010_1.jpg": None}))
    source = VocAction(tmp_path, bad="skip")
    assert [record.id for record in source.records()] == PEOPLE[2:]
    assert source.left_out["images with problems (bad=skip)"] == 2
    assert source.protocol == "VOC2012 Action, 1 of 6,278 people without 2 people with problems"


def test_lists_of_each_action_alone_or_of_images(tmp_path):
    files = changed(
        voc2012(),
        **{
            "Action__train.txt": None,
            "Action__val.txt": None,
            "Action__trainval.txt": None,
            "Action__test.txt": None,
        },
    )
    assert [record.id for record in VocAction(written(tmp_path / "a", files)).records()] == PEOPLE
    files = changed(voc2012(), **{"Action__train.txt": b"2010_1\n"})  # as in 2010
    assert [record.id for record in VocAction(written(tmp_path / "b", files)).records()] == PEOPLE


def test_names_of_images_may_have_the_sign_before_a_person_s_number(tmp_path):
    files = {name.replace("2011_2", "2010_1#2"): data for name, data in voc2012().items()}
    files = {name: data.replace(b"2011_2", b"2010_1#2") for name, data in files.items()}
    source = VocAction(written(tmp_path, files))
    assert [record.id for record in source.records()] == [*PEOPLE[:1], "VOC2012/2010_1#2#1", *PEOPLE[1:2]]
    assert source.scan.problems == []


def test_lists_that_contradict_the_annotations_are_a_note(tmp_path):
    lists = {"jumping_train.txt": b"2010_1 2 -1\n2010_1 3 0\n", "jumping_val.txt": b"2011_2 1 1\n"}
    source = VocAction(written(tmp_path, changed(voc2012(), **lists)))
    example = "such as jumping of 2010_1#2, jumping of 2011_2#1"
    assert f"2 labels of lists contradict the XML, {example}; those of the lists are taken" in source.notes
    actions = [[one.name for one in source.annotation(record)] for record in source.records()]
    assert actions == [["walking"], ["jumping", "phoning"], ["jumping"]]


def test_an_annotation_that_names_another_image_is_a_note(tmp_path):
    files = voc2012()
    swapped = {
        name: data.replace(b">x<", b">2011_2.jpg<") for name, data in files.items() if "2010_1.x" in name
    }
    source = VocAction(written(tmp_path, files | swapped))
    start = "1 annotation has another image's name in <filename>, such as 2010_1.xml (2011_2); "
    assert any(note.startswith(start) for note in source.notes)


def test_the_list_trainval_may_lack_what_train_or_val_has(tmp_path):
    source = VocAction(written(tmp_path, changed(voc2012(), **{"Action__trainval.txt": b"2010_1 2\n"})))
    assert [record.id for record in source.records()] == PEOPLE
    note = "the list trainval lacks 2 people of train and val, such as 2010_1#3, 2011_2#1"
    assert note in source.scan.notes


def test_a_person_is_shown_with_an_eighth_of_the_box_on_each_side(tmp_path):
    source = VocAction(written(tmp_path, voc2012()))
    pixels, _ = pixels_of(jpeg(), "2010_1")
    assert (source.read(source.records()[0]) == pixels[6:32, 6:32]).all()  # of the box from 10 to 29
    whole = Record("a", "", "train", source.records()[0].member)
    assert (source.read(whole) == pixels).all()
    assert VocAction("anywhere", context=0.5).context == 0.5


def test_a_context_that_shows_nothing_is_refused():
    with pytest.raises(ItlError, match="context enlarges a person's box, 1 is the box alone; it cannot be 0"):
        VocAction("anywhere", context=0)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({}, ""),
        ({"jumping_train.txt": None, "jumping_val.txt": None}, ""),  # labels of the XML alone
        (
            {"jumping_train.txt": b"2010_1 2 1\n"},
            f"1 person has no line in lists of actions, such as 2010_1#3 of jumping; {TAKEN}",
        ),
        (
            {"jumping_val.txt": None},
            f"1 person has no line in lists of actions, such as 2011_2#1 of jumping; {TAKEN}",
        ),
        (
            {"jumping_val.txt": b"2011_2 1 -1\n2010_1 2 1\n2010_1 1 1\n"},
            "lists of actions have 2 people that the list of their split lacks, such as 2010_1#1, 2010_1#2; "
            "that list decides",
        ),
    ],
)
def test_people_of_a_split_and_of_its_lists_of_actions_are_compared(tmp_path, changes, note):
    source = VocAction(written(tmp_path, changed(voc2012(), **changes)))
    assert [record.id for record in source.records()] == PEOPLE
    assert source.scan.notes[:-1] == ([note] if note else []), "the last is on test, which has no labels"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            b"2010_1 9 1",
            "Annotations/2010_1.xml has 3 objects, but ImageSets/Action lists number 9 of 2010_1; get both "
            "from one release",
        ),
        (
            b"2010_7 1 1",
            "ImageSets/Action lists '2010_7', but 'JPEGImages/2010_7.jpg' is missing; copy it again",
        ),
    ],
)
def test_a_person_in_a_list_of_an_action_that_the_xml_lacks_is_a_problem(tmp_path, line, problem):
    lists = {"jumping_train.txt": b"2010_1 2 1\n2010_1 3 0\n" + line}
    source = VocAction(written(tmp_path, changed(voc2012(), **lists)))
    assert [one.partition(", or remove")[0] for one in problems_of(source)] == [problem]
    skipping = VocAction(tmp_path, bad="skip")
    assert [record.id for record in skipping.records()] == PEOPLE


def test_people_with_actions_that_no_list_has_are_counted(tmp_path):
    source = VocAction(
        written(
            tmp_path,
            changed(
                voc2012(), Action__train=b"2010_1 2\n", jumping_train=b"2010_1 2 1\n", Action__trainval=None
            ),
        )
    )
    assert [record.id for record in source.records()] == [PEOPLE[0], PEOPLE[2]]
    assert source.left_out["people with actions in no list"] == 1
    assert VocAction(written(tmp_path / "all", voc2012())).left_out["people with actions in no list"] == 0


def test_labels_are_said_to_be_of_lists_only_where_there_are_lists_of_actions(tmp_path):
    alone = changed(voc2012(), **{"jumping_train.txt": None, "jumping_val.txt": None})
    for name, files, words in (
        ("both", voc2012(), "these lists and the XML files in Annotations"),
        ("alone", alone, "the XML files in Annotations"),
    ):
        lines = check_lines("voc2012-action", written(tmp_path / name, files))
        assert lines[1].startswith(f"labels: 3 classes, such as jumping; by {words}; left out")
