"""`itl voc-ap` on COCO results in JSON: which image and class their numbers stand for."""

import json

import pytest

from itl.__main__ import main
from itl.hierarchy.voc_classes import COCO_IDS, PASCAL
from tests.evaluation.test_voc_ap import DOG, detections, objects
from tests.evaluation.test_voc_ap_command import HEADER, SCORED, WORLD, result, run_on, write_world

CATEGORIES = {
    "images": [{"id": 1, "file_name": "JPEGImages/a.jpg"}, {"id": 2, "file_name": "000007.jpg"}],
    "categories": [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}],
}


@pytest.mark.parametrize(
    ("rows", "categories", "words"),
    [
        ([result(1, 18), result(2, 17)], CATEGORIES, ""),
        ([result("a", 18), result(7, 17)], {"categories": CATEGORIES["categories"]}, ""),
        ([result(1.0, 18.0), result(2.0, 17.0)], CATEGORIES, ""),
        ([result(1.5, 18), result(2, 17)], CATEGORIES, "no image called '1.5' is annotated"),
        ([result("a", 12), result(7, 8)], None, "taken for 1 aeroplane, 2 bicycle, 3 bird … 20 tvmonitor"),
        ([result("a", "dog"), result("000007", "cat")], ["cat", "dog"], ""),
        ([result("a", 2), result(7, 1)], None, "category ids are taken for 1 cat, 2 dog"),
        ([result("a", 1), result(7, 0)], None, "category ids are taken for 0 cat, 1 dog"),
        ([result("a", 11), result(7, 7)], None, "taken for 0 aeroplane, 1 bicycle, 2 bird … 19 tvmonitor"),
        ([result("a", 12), result(7, 21)], None, "category_id 12; nothing says which class has which id"),
        ([result("a", 3), result(7, 5)], None, "category_id 3; nothing says which class has which id"),
        (
            [result("a", 1)],
            ["cat", "dog"],
            "no category_id is 0, for which 'cat' stands in {categories}; if category_ids count from 1",
        ),
        ([result("a", 3)], ["cat", "dog"], "no class has the category_id 3; ids are 0 cat, 1 dog"),
        ([result("a", 1, (1, 1, -1, 5))], None, "has no area"),
        ([result("a", 1, (1, 1, 5))], None, "bbox is [1, 1, 5]"),
        (
            [result("a", 12, (0.1, 0.1, 0.4, 0.4))],
            None,
            "all others lie between 0 and 1, as parts of the image",
        ),
        ([result("a", 1, score="high")], None, "score is 'high'"),
        ([result(5, 1)], None, "no image called '5' is annotated"),
        ([{"image_id": 1}], None, "is no object with image_id, category_id, bbox, score"),
        ([], None, "holds no detections"),
        ({"annotations": []}, None, "annotations, not results"),
        ("no JSON", None, "not valid JSON"),
    ],
)
def test_coco_results(rows, categories, words, tmp_path, capsys):
    answers = tmp_path / "answers.json"
    answers.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    (tmp_path / "categories.json").write_text(json.dumps(categories))
    more = ["--categories", tmp_path / "categories.json"] if categories else []
    status, out, err = run_on(tmp_path, answers, capsys, *more)
    assert words.format(categories=tmp_path / "categories.json") in err
    assert (status, out) == ((0, SCORED) if not words or "taken for" in words else (1, ""))
    names_an_image_by_digits = status == 0 and 7 in [row["image_id"] for row in rows]
    assert ("image ids are taken for the digits" in err) == names_an_image_by_digits


def test_a_number_that_may_be_two_images_is_refused(tmp_path, capsys):
    """As of frames of videos: 1_12 and 11_2."""
    notes = write_world(tmp_path, WORLD.replace({"image": {"a": "1_12", "000007": "11_2"}}), detections())
    (answers := tmp_path / "answers.json").write_text(json.dumps([result(112, 12)]))
    assert main(["voc-ap", *notes[:2], "--detections", str(answers)]) == 1
    assert "the image_id 112 may be 11_2 or 1_12; give the JSON of the" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "note"),
    [
        ([], ""),
        ([result("a", 12, score=0.4)] * 2, "1 detection is there twice, such as number 4; all are scored"),
        (
            [result("a", 12, (-3, 0, 9, 9), 0.1)],
            "1 detection is partly outside the image, such as number 3; all are scored",
        ),
    ],
)
def test_odd_boxes_are_scored_and_said(more, note, tmp_path, capsys):
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps([result("a", 12), result(7, 8), *more]))
    status, out, err = run_on(tmp_path, answers, capsys)
    assert (status, out) == (0, SCORED)
    assert note in err
    assert "note: image ids are taken for the digits of names, such as 7 for 000007; --categories FILE" in err
    assert err.count("note: ") == 2 + bool(note)  # also of what the category ids were taken for


def test_ids_of_own_classes_are_not_guessed(tmp_path, capsys):
    world, answers = objects(("a", "fox", DOG, False)), tmp_path / "answers.json"
    arguments = [
        *write_world(tmp_path, world, detections())[:2],
        "--metric",
        "area",
        "--detections",
        str(answers),
    ]
    answers.write_text(json.dumps([result("a", 1)]))
    assert main(["voc-ap", *arguments]) == 1
    assert "category_id 1; nothing says which class has which id; give " in capsys.readouterr().err
    answers.write_text(json.dumps([result("a", "fox")]))
    assert main(["voc-ap", *arguments]) == 0
    assert capsys.readouterr() == ("class,ap\nfox,1.0\nmean,1.0\n", "")


@pytest.mark.parametrize(("first", "lacking"), [(1, 19), (0, 0), (0, 7), (1, 7)])
def test_numbers_of_all_classes_of_pascal_are_read_where_they_tell_the_first(
    first, lacking, tmp_path, capsys
):
    """Without the class of the first or the last number, either could be meant."""
    names = [*PASCAL]
    world = objects(*(("a", name, DOG, False) for name in names))
    (answers := tmp_path / "answers.json").write_text(
        json.dumps([result("a", first + number) for number in range(20) if number != lacking])
    )
    status = main(["voc-ap", *write_world(tmp_path, world, detections())[:2], "--detections", str(answers)])
    out, err = capsys.readouterr()
    if lacking in (0, 19):
        assert (status, out) == (1, "")
        assert "category_id 1; nothing says which class has which id" in err
    else:
        assert status == 0
        assert f"category ids are taken for {first} aeroplane, {first + 1} bicycle" in err
        assert dict(line.split(",") for line in out.splitlines()[1:]) == {
            name: "0.0" if name == names[lacking] else "1.0" for name in names
        } | {"mean": "0.95"}


def test_ids_that_fit_two_orders_are_not_guessed(tmp_path, capsys):
    world, answers = (
        objects(("a", "bicycle", DOG, False), ("a", "bird", DOG, False)),
        tmp_path / "answers.json",
    )
    arguments = [*write_world(tmp_path, world, detections())[:2], "--detections", str(answers)]
    answers.write_text(json.dumps([result("a", 2)]))  # the second of PASCAL's classes, or of the annotated
    assert main(["voc-ap", *arguments]) == 1
    assert "category_id 2; nothing says which class has which id" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("annotated", "ids", "taken"),
    [
        (["cat", "dog"], [15, 16], "taken for 0 person, 1 bicycle, 2 car … 62 tvmonitor"),
        (["cat", "dog"], [17, 18], "taken for 1 person, 2 bicycle, 3 car … 72 tvmonitor"),
        (["cat", "dog", "person", "pottedplant"], [15, 16], ""),  # either pair, by COCO's numbers or PASCAL's
        (["person", "pottedplant"], [15, 16], "taken for 1 aeroplane, 2 bicycle"),
        (["person"], [15, 16], ""),  # one of the two would be no annotated class
        (["cat", "dog"], [8, 12, 15], "taken for 1 aeroplane, 2 bicycle"),  # and a wrong person
        (["cat", "dog"], [16, 17], "taken for 1 person, 2 bicycle, 3 car … 63 tvmonitor"),  # 80 from 1
        (["bird", "cat", "dog"], [16, 17], ""),  # bird and cat by COCO's numbers, cat and dog of 80 from 1
        (["cat", "dog"], range(1, 21), "taken for 1 aeroplane, 2 bicycle"),  # no others have these 20
        (["cat", "dog"], range(20), "taken for 0 aeroplane, 1 bicycle"),
        (
            ["cat", "dog"],
            [id91 for id91, _ in COCO_IDS.values()],
            "1 person, 2 bicycle, 3 car … 72 tvmonitor",
        ),
        (["cat", "dog"], [7, 8, 11, 15, *range(16, 20)], ""),
    ],
)
def test_numbers_of_coco_are_orders_too(annotated, ids, taken, tmp_path, capsys):
    world = objects(*(("a", name, DOG, False) for name in annotated))
    (answers := tmp_path / "answers.json").write_text(json.dumps([result("a", number) for number in ids]))
    status = main(["voc-ap", *write_world(tmp_path, world, detections())[:2], "--detections", str(answers)])
    out, err = capsys.readouterr()
    assert (taken or "nothing says which class has which id") in err
    assert status == (0 if taken else 1)
    if taken:
        scores = [line for line in out.splitlines() if not line.endswith(",nan")]
        assert scores == ["class,ap", *(f"{name},1.0" for name in [*annotated, "mean"])]


@pytest.mark.parametrize("name", ["answers.csv", "."])
def test_categories_are_refused_where_classes_have_names(tmp_path, capsys, name):
    answers = tmp_path / name
    (tmp_path / "answers.csv").write_text("\n".join([HEADER, "a,dog,0.5,1,1,10,10"]))
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    status, out, err = run_on(tmp_path, answers, capsys, "--categories", tmp_path / "names.txt")
    says = f"categories say what COCO's category ids are, and {answers} is no COCO results JSON"
    assert (status, out, err.count("\n"), says in err) == (1, "", 1, True)
