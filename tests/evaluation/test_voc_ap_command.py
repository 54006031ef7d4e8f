"""`itl voc-ap`: the command scores as the pieces do, and says in one line what is wrong with its files."""

import csv
import json

import numpy as np
import pandas as pd
import pytest

from itl import ItlError
from itl.__main__ import main
from itl.sources.annotated.detection_files import read_detections
from itl.sources.annotated.proposal_files import write_regions
from itl.sources.boxes import SIDES
from tests.annotated import thing, written, xml
from tests.evaluation.test_voc_ap import DOG, METRICS, detections, objects, random_world, slow_ap
from tests.sources.containers import mutated


def write_world(folder, world: pd.DataFrame, answers: pd.DataFrame, side: int = 500) -> list[str]:
    """Write annotations of square images and detections as files; returns the arguments that name them."""
    notes = folder / "Annotations"
    notes.mkdir(parents=True)
    for image in sorted({*world["image"], *answers["image"]}):
        things = "".join(
            f"<object><name>{row['name']}</name><difficult>{int(row['difficult'])}</difficult><bndbox>"
            + "".join(f"<{side}>{row[side]}</{side}>" for side in SIDES)
            + "</bndbox></object>"
            for row in world[world["image"] == image].to_dict("records")
        )
        size = f"<size><width>{side}</width><height>{side}</height></size>"
        (notes / f"{image}.xml").write_text(f"<annotation>{size}{things}</annotation>")
    answers.to_csv(folder / "detections.csv", index=False)
    return ["--annotations", str(folder), "--detections", str(folder / "detections.csv")]


def result(image, category, bbox=(0, 0, 10, 10), score=0.5) -> dict:
    """One row of COCO results."""
    return {"image_id": image, "category_id": category, "bbox": list(bbox), "score": score}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(5))
def test_the_command_scores_alike(seed, metric, tmp_path, capsys):
    world, answers = random_world(seed)
    world = world[(world["xmin"] < world["xmax"]) & (world["ymin"] < world["ymax"])]  # as the reader asks
    answers = answers[answers["class"].isin(world["name"])]
    assert main(["voc-ap", *write_world(tmp_path, world, answers), "--metric", metric]) == 0
    header, *rows, mean = csv.reader(capsys.readouterr().out.splitlines())
    slow = {name: slow_ap(world, answers, name)[metric] for name in sorted(set(world["name"]))}
    assert header == ["class", "ap"]
    assert {name: float(value) for name, value in rows} == pytest.approx(slow, rel=0, abs=1e-6, nan_ok=True)
    assert mean[0] == "mean"
    assert float(mean[1]) == pytest.approx(np.nanmean([*slow.values(), np.nan]), abs=1e-6)


def slow_cut(rows: pd.DataFrame, side: int) -> pd.DataFrame:
    """The boxes of *rows* without what lies outside of a square image; all of a box that shows nothing."""
    result = []
    for row in rows.to_dict("records"):
        low = [max(row["xmin"], 1), max(row["ymin"], 1)]
        high = [min(row["xmax"], side), min(row["ymax"], side)]
        shows = low[0] < high[0] + 1 and low[1] < high[1] + 1
        result.append(row | (dict(zip(SIDES, low + high, strict=True)) if shows else {}))
    return pd.DataFrame(result, columns=rows.columns)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(20, 30))
def test_boxes_that_reach_outside_score_as_if_they_had_been_cut_before(seed, metric, tmp_path, capsys):
    world, answers = random_world(seed)
    world[SIDES], answers[SIDES] = world[SIDES] - 3, answers[SIDES] - 3  # from -2 to 9, and further
    world = world[(world["xmin"] < world["xmax"]) & (world["ymin"] < world["ymax"])]
    world = world[(world[["xmax", "ymax"]] >= 1).all(axis=1) & (world[["xmin", "ymin"]] <= 7).all(axis=1)]
    answers = answers[answers["class"].isin(world["name"])]
    arguments = write_world(tmp_path, world, answers, side=7)
    assert main(["voc-ap", *arguments, "--metric", metric, "--outside", "cut"]) == 0
    _, *rows, _ = csv.reader(capsys.readouterr().out.splitlines())
    world, answers = slow_cut(world, 7), slow_cut(answers, 7)
    slow = {name: slow_ap(world, answers, name)[metric] for name in sorted(set(world["name"]))}
    assert {name: float(value) for name, value in rows} == pytest.approx(slow, rel=0, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("kind", ["csv", "kit", "coco"])
def test_detections_are_cut_where_annotations_are(kind, tmp_path, capsys):
    """A perfect one stays perfect; one entirely outside is wrong, and ranks between two that are right."""
    left, inner, beside = (-41, 11, 40, 60), (50, 50, 60, 60), (101, 1, 120, 9)
    world = objects(("a", "cat", left, False), ("a", "cat", inner, False))
    answers = detections(("a", "cat", 0.9, left), ("a", "cat", 0.8, beside), ("a", "cat", 0.7, inner))
    arguments = write_world(tmp_path, world, answers, side=100)
    file = tmp_path / {"csv": "detections.csv", "kit": "results", "coco": "x.json"}[kind]
    if kind == "kit":
        file.mkdir()
        lines = [f"a {row.score} {row.xmin} {row.ymin} {row.xmax} {row.ymax}" for row in answers.itertuples()]
        (file / "comp4_det_test_cat.txt").write_text("\n".join(lines))
    if kind == "coco":
        boxes = [(-42, 10, 82, 50), (100, 0, 20, 9), (49, 49, 11, 11)]
        rows = [result("a", "cat", box, score) for box, score in zip(boxes, answers["score"], strict=True)]
        file.write_text(json.dumps(rows))
    assert main(["voc-ap", *arguments[:3], str(file), "--metric", "area", "--outside", "cut"]) == 0
    output = capsys.readouterr()
    assert output.out == "class,ap\ncat,0.8333333333333333\nmean,0.8333333333333333\n"
    notes = [
        "note: 1 detection is cut to the image, such as number 1; all are scored",
        "note: 1 detection is entirely outside the image, such as number 2; all are scored",
    ]
    assert output.err.splitlines() == notes
    options = ["--option", f"annotations={arguments[1]}", "--option", "outside=cut"]
    assert main(["check", "detections", str(file), *options]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == notes


HEADER, GOOD = "image,class,score,xmin,ymin,xmax,ymax", "a,dog,0.5,1,1,9,9"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "should have one column image; the header"),
        (f"{HEADER}\n\ud8ff", "cannot be read as a CSV in UTF-8"),
        ("image,score\na,1\n", "should have one column class"),
        (HEADER.replace(",", "\t"), "score xmin ymin xmax ymax, with tabs for commas"),
        (HEADER.replace(",", ";"), "with semicolons for commas"),
        (f"{HEADER}\n{GOOD}\na,dog,0.5,1,1,9\n", "row 2: 6 values, but the header names 7"),
        (f"{HEADER}\n{GOOD},7\n", "row 1: 8 values"),
        (f"{HEADER}\n{GOOD}\na,dog,nan,1,1,9,9\n", "row 2: score is 'nan'; it should be a finite number"),
        (f"{HEADER}\na,dog,high,1,1,9,9\n", "row 1: score is 'high'"),
        (f"{HEADER}\na,dog,0.5,,1,9,9\n", "row 1: xmin is ''"),
        (f"{HEADER}\na,dog,0.5,1,1,inf,9\n", "row 1: xmax is 'inf'"),
        (f"{HEADER}\n{GOOD}\na,dog,0.5,9,1,1,9\n", "row 2: the box (9, 1, 1, 9) has no area"),
        (
            f"{HEADER}\n{GOOD}\nb,dog,0.5,1,1,9,9\n",
            "row 2: no image called 'b' is annotated; 1 of 2 detections are on such images; annotate",
        ),
        (f"{HEADER}\n{GOOD}\nc.jpg,dog,0.5,1,1,9,9\n", "row 2: no image called 'c.jpg' is annotated"),
        (f"{HEADER}\n", "holds no detections, so there is nothing to score"),
        (
            f"{HEADER}\na,dog,0.5,0.1,0.1,0.5,1\n",
            "row 1: the box (0.1, 0.1, 0.5, 1) and all others lie between",
        ),
        (f"{HEADER}\n{GOOD}\n7,dog,0.5,1,1,9,9\n", "did you mean '000007'? 1 of 2"),
        (f"{HEADER}\na,dgo,0.5,1,1,9,9\n", "called 'dgo'; did you mean 'dog'?"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(text, words, tmp_path, capsys):
    world = objects(("a", "dog", DOG, False), ("000007", "dog", DOG, False))
    arguments = write_world(tmp_path, world, detections())
    (tmp_path / "detections.csv").write_text(text, errors="surrogatepass")
    assert main(["voc-ap", *arguments]) == 1
    output = capsys.readouterr()
    assert words in output.err
    assert output.err.count("\n") == 1
    assert not output.out


WORLD = objects(("a", "dog", DOG, False), ("000007", "cat", DOG, False))
MISSED = "have no detection, and their objects count as missed; if these were not to be scored, give"
WITHOUT_DETECTION = f"{MISSED} the list of those that were with --images FILE"
SCORED = "class,ap\ncat,1.0\ndog,1.0\nmean,1.0\n"


def run_on(folder, answers, capsys, *more) -> tuple[int, str, str]:
    """Status and output of the command on WORLD and the file or folder *answers*."""
    arguments = write_world(folder / "world", WORLD, detections())
    status = main(
        ["voc-ap", *arguments[:2], "--detections", str(answers), "--metric", "area", *map(str, more)]
    )
    output = capsys.readouterr()
    return status, output.out, output.err


def test_classes_without_objects_or_without_detections_are_noted(tmp_path, capsys):
    (tmp_path / "answers.csv").write_text("\n".join([HEADER, "a,dog,0.5,1,1,10,10", "a,cow,0.5,1,1,10,10"]))
    status, out, err = run_on(tmp_path, tmp_path / "answers.csv", capsys)
    assert (status, out) == (0, "class,ap\ncat,0.0\ncow,nan\ndog,1.0\nmean,0.5\n")
    assert err.splitlines() == [
        "note: no object of cow is scored: detections of it are in no mean",
        "note: nothing is detected as cat, which then has an AP of 0",
        f"note: 1 of 2 annotated images {WITHOUT_DETECTION}",
    ]


@pytest.mark.parametrize(
    ("bare", "objects_there", "listed", "says"),
    [
        (1, True, False, ""),  # a tenth: on such a detector may find nothing
        (2, True, False, f"note: 2 of 10 annotated images {WITHOUT_DETECTION}\n"),
        (9, True, False, f"note: 9 of 10 annotated images {WITHOUT_DETECTION}\n"),
        (9, False, False, ""),  # nothing is to be found on them
        (9, True, True, ""),  # as the note says
    ],
)
def test_many_images_without_a_detection_are_noted(tmp_path, capsys, bare, objects_there, listed, says):
    scored = [f"s{number}" for number in range(10 - bare)]
    others = [(f"t{number}", "dog", DOG, not objects_there) for number in range(bare)]
    world = objects(*((image, "dog", DOG, False) for image in scored), *others)
    arguments = write_world(tmp_path, world, detections(*((image, "dog", 0.5, DOG) for image in scored)))
    (tmp_path / "test.txt").write_text("\n".join(scored))
    images = ["--images", str(tmp_path / "test.txt")] if listed else []
    assert main(["voc-ap", *arguments, "--metric", "area", *images]) == 0
    found = len(scored) / (10 if objects_there and not listed else len(scored))
    assert capsys.readouterr() == (f"class,ap\ndog,{found}\nmean,{found}\n", says)


def test_a_list_that_has_too_many_images_is_named_as_such(tmp_path, capsys):
    world = objects(*((name, "dog", DOG, False) for name in "abc"))
    arguments = write_world(tmp_path, world, detections(("a", "dog", 0.5, DOG)))
    (tmp_path / "few.txt").write_text("a\nb\n")
    assert main(["voc-ap", *arguments, "--images", str(tmp_path / "few.txt")]) == 0
    assert capsys.readouterr().err == f"note: 1 of 2 listed images {MISSED} --images a list without them\n"


def test_a_class_of_difficult_objects_alone_has_no_ap_and_is_not_missed(tmp_path, capsys):
    arguments = write_world(tmp_path / "world", WORLD, detections())
    for path in (tmp_path / "world").rglob("*.xml"):
        if "<name>cat</name>" in path.read_text():
            path.write_text(path.read_text().replace("<difficult>0<", "<difficult>1<"))
    (tmp_path / "answers.csv").write_text("\n".join([HEADER, "a,dog,0.5,1,1,10,10"]))
    assert main(["voc-ap", *arguments[:2], "--detections", str(tmp_path / "answers.csv")]) == 0
    assert "detected as cat" not in capsys.readouterr().err


def test_images_may_be_named_with_their_suffix_or_path(tmp_path, capsys):
    rows = ["a.JPG,dog,0.5,1,1,10,10", "VOC2007/JPEGImages/000007.jpg,cat,0.5,1,1,10,10"]
    (tmp_path / "answers.csv").write_text("\n".join([HEADER, *rows]))
    assert run_on(tmp_path, tmp_path / "answers.csv", capsys) == (0, SCORED, "")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {
                "comp4_det_test_dog.txt": "a 0.5 1 1 10 10\n\n",
                "comp4_det_test_cat.txt": "000007 .5 1 1 10 10",
            },
            "",
        ),
        (
            {
                "comp4_1b2f-9c_det_test_dog.txt": "a 0.5 1 1 10 10",
                "comp4_1b2f-9c_det_test_cat.txt": "000007 .5 1 1 10 10",
            },
            "",
        ),
        (
            {
                "det_test_dog.txt": "a 0.5 1 1 10 10",
                "det_test_cat.txt": "000007 .5 1 1 10 10",
            },
            "",
        ),
        (
            {
                "comp4-44503_det_test_dog.txt": "a 0.5 1 1 10 10",
                "comp4-44503_det_test_cat.txt": "000007 .5 1 1 10 10",
            },
            "",
        ),
        (
            {"comp4_1b2f-9c_det_test_dog.txt": "", "comp4_77aa_det_test_cat.txt": ""},
            "has results of comp4_1b2f-9c_det_test and comp4_77aa_det_test; give a folder",
        ),
        ({"comp4_det_test_dog.txt": "a 0.5 1 1 10 10"}, "1 of 2 annotated classes have no file (cat)"),
        (
            {"comp4_det_test_dog.txt": "a 0.5 1 1 10", "comp4_det_test_cat.txt": ""},
            "line 1: 'a 0.5 1 1 10' is not",
        ),
        ({"comp4_det_test_dog.txt": "", "comp4_det_test_cat.txt": ""}, "holds no detections"),
        ({"comp4_det_test_dog.txt": "", "comp3_det_val_cat.txt": ""}, "comp3_det_val and comp4_det_test"),
        ({"dog.txt": ""}, "no results of the VOC development kit"),
    ],
)
def test_results_of_the_development_kit(files, words, tmp_path, capsys):
    (tmp_path / "results").mkdir()
    for name, text in files.items():
        (tmp_path / "results" / name).write_text(text)
    status, out, err = run_on(tmp_path, tmp_path / "results", capsys)
    assert (status, out) == ((1, "") if words else (0, SCORED))
    assert words in err
    assert err.count("\n") == bool(words)
    one = tmp_path / "results" / next(iter(files))
    if one.name.startswith("comp"):
        assert "give the folder with those of all classes" in run_on(tmp_path / "one", one, capsys)[2]


def test_an_image_without_detections_has_its_objects_missed(tmp_path, capsys):
    world = objects(("a", "dog", DOG, False), ("b", "dog", DOG, False))
    arguments = write_world(tmp_path, world, detections(("a", "dog", 0.5, DOG)))
    assert main(["voc-ap", *arguments, "--metric", "area"]) == 0
    assert capsys.readouterr().out == "class,ap\ndog,0.5\nmean,0.5\n"
    assert main(["voc-ap", "--annotations", str(tmp_path / "none"), *arguments[2:]]) == 1
    assert "none; give a folder, a .tar or a .zip" in capsys.readouterr().err


def test_only_listed_images_count(tmp_path, capsys):
    world = objects(("a", "dog", DOG, False), ("b", "dog", DOG, False), ("b", "cat", DOG, False))
    arguments = [*write_world(tmp_path, world, detections(("a", "dog", 0.5, DOG))), "--images"]
    for listed in ("a  1\n\n", "JPEGImages/a.jpg\n"):
        (tmp_path / "test.txt").write_text(listed)
        assert main(["voc-ap", *arguments, str(tmp_path / "test.txt")]) == 0
        assert capsys.readouterr().out == "class,ap\ndog,1.0\nmean,1.0\n"
    for text, words in [("a\nc\n", "lists 1 image that"), ("\n", "lists no image"), (None, "cannot read")]:
        (tmp_path / "test.txt").unlink()
        if text is not None:
            (tmp_path / "test.txt").write_text(text)
        assert main(["voc-ap", *arguments, str(tmp_path / "test.txt")]) == 1
        assert words in capsys.readouterr().err


def test_detections_on_images_that_are_not_listed_are_refused_without_a_guess(tmp_path, capsys):
    names, listed = [f"00000{number}" for number in range(1, 5)], tmp_path / "test.txt"
    world = objects(*((name, "dog", DOG, False) for name in names))
    arguments = write_world(tmp_path, world, detections(*((name, "dog", 0.5, DOG) for name in names)))
    listed.write_text("000001\n000002\n")
    assert main(["voc-ap", *arguments, "--images", str(listed)]) == 1
    assert capsys.readouterr().err.endswith(
        f"row 3: no image called '000003' is in {listed}; 2 of 4 detections are on such images; list these, "
        f"or leave them out\n"
    )


@pytest.mark.parametrize("kind", ["csv", "coco"])
def test_detections_without_a_width_are_wrong_as_the_kit_has_it(kind, tmp_path, capsys):
    """The second ranks between two that are right: precision 1 and 2/3."""
    far = (12.3, 3, 20, 40)
    arguments = write_world(
        tmp_path, objects(("a", "dog", DOG, False), ("a", "dog", far, False)), detections()
    )
    rows = [("a", "dog", 0.9, DOG), ("a", "dog", 0.8, (12.3, 3, 12.3 - 1, 40)), ("a", "dog", 0.7, far)]
    file = tmp_path / "detections.csv"
    detections(*rows).to_csv(file, index=False)
    if kind == "coco":
        boxes = [(0, 0, 10, 10), (11.3, 2, 0, 38), (11.3, 2, 8.7, 38)]
        file = tmp_path / "x.json"
        results = [result("a", "dog", box, row[2]) for box, row in zip(boxes, rows, strict=True)]
        file.write_text(json.dumps(results))
    assert main(["voc-ap", *arguments[:3], str(file), "--metric", "area"]) == 0
    output = capsys.readouterr()
    assert output.out == "class,ap\ndog,0.8333333333333333\nmean,0.8333333333333333\n"
    assert output.err == "note: 1 detection has no width or height, such as number 2; all are scored\n"


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("Annotations/b.xml", b"<annotation><object>", "Annotations/b.xml, line 1: not valid XML"),
        (
            "Annotations/b.xml",
            xml(thing("dog", (0, 1, 9, 9))),
            "Annotations/b.xml, object 1: the box (0, 1, 9, 9) of 'dog' reaches",
        ),
        ("VOC2012/Annotations/b.xml", xml(), "and VOC2012/Annotations/b.xml annotate one image; give one"),
    ],
)
def test_only_annotations_of_listed_images_are_read(name, data, says, tmp_path, capsys):
    """What is wrong with XML of another image does not matter, and does where that is listed."""
    world = objects(("a", "dog", DOG, False), ("b", "dog", DOG, False), ("c", "dog", DOG, False))
    arguments = write_world(tmp_path, world, detections(("c", "dog", 0.5, DOG)))
    written(tmp_path, {name: data})
    for listed, words in (("c", ""), ("a\nb\nc", says)):
        (tmp_path / "test.txt").write_text(listed)
        assert main(["voc-ap", *arguments, "--images", str(tmp_path / "test.txt")]) == bool(words)
        assert words in capsys.readouterr().err


def test_damaged_detections_are_one_line_each(tmp_path):
    random, path, refused = np.random.default_rng(0), tmp_path / "detections.csv", []
    whole = "\n".join([HEADER, *(f"{number:06},dog,0.{number},1,2.5,{number + 3},9" for number in range(20))])
    for _ in range(300):
        damaged = bytearray(whole.encode()[: random.choice([len(whole), random.integers(1, len(whole))])])
        for position in random.integers(0, len(damaged), 4):
            damaged[position // random.choice([1, 16])] = random.choice(
                [*b'\n\r,"\0 -', random.integers(256)]
            )
        path.write_bytes(damaged)
        try:
            read_detections(path)
        except ItlError as error:
            refused.append(str(error))
    assert len(refused) > 200
    assert not [line for line in refused if "\n" in line]


@pytest.mark.parametrize("kind", ["kit", "coco"])
def test_damaged_results_are_one_line_each(kind, tmp_path, capsys):
    random, refused = np.random.default_rng(0), []
    files = {"comp4_det_test_dog.txt": "a 0.5 1 1 10 10\n", "comp4_det_test_cat.txt": "000007 .5 1 1 10 10\n"}
    if kind == "coco":
        files = {"x.json": json.dumps([result("a", 12), result(7, 8)])}
    folder = tmp_path / "results"
    folder.mkdir()
    answers = folder / "x.json" if kind == "coco" else folder
    arguments = write_world(tmp_path / "world", WORLD, detections())[:2]
    for _ in range(200):
        for name, text in files.items():
            (folder / name).write_bytes(mutated(text.encode(), random))
        status = main(["voc-ap", *arguments, "--detections", str(answers)])
        output = capsys.readouterr()
        if status:
            refused.append(output.err)
    assert len(refused) > 100
    assert not [text for text in refused if text.count("\n") - text.count("note: ") != 1]


@pytest.mark.parametrize("command", ["voc-ap", "proposals", "check detections", "check proposals"])
def test_boxes_outside_of_annotated_images_can_be_cut_as_the_message_says(command, tmp_path, capsys):
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml/a.xml").write_bytes(xml(thing("dog", (0, 1, 9, 9))))
    detections(("a", "dog", 0.9, (1, 1, 9, 9))).to_csv(tmp_path / "detections.csv", index=False)
    write_regions(tmp_path / "regions.npz", {"a": np.array([[1.0, 1, 9, 9]])})
    file = {"voc-ap": "detections.csv", "check detections": "detections.csv"}.get(command, "regions.npz")
    annotations = {"voc-ap": "--annotations", "proposals": "--recall"}.get(command, "")
    if annotations:
        words = [command, *(["--detections"] if command == "voc-ap" else []), str(tmp_path / file)]
        words += [annotations, str(tmp_path / "xml")]
    else:
        words = [*command.split(), str(tmp_path / file), "--option", f"annotations={tmp_path / 'xml'}"]
    assert main(words) == 1
    advice = capsys.readouterr().err.strip().rpartition(", or set the option ")[2]
    assert advice == "outside=cut"
    assert main([*words, *([f"--{advice}"] if annotations else ["--option", advice])]) == 0
    assert {"voc-ap": "dog,1.0", "proposals": "300,0.5,1,1.0"}.get(
        command, "next: "
    ) in capsys.readouterr().out
