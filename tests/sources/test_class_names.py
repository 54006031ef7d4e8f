"""One class, whose name is written in different ways, and classes whose names have signs of no width."""

import json
import unicodedata

import pytest

from itl import ItlError
from itl.sources.annotated.detection_files import Annotations, load_detections
from itl.sources.annotated.voc_xml import read_objects
from itl.sources.listed.numbered_classes import read_names
from itl.sources.registry import open_source
from tests.annotated import check_lines, images, problems_of, text, thing, written, xml
from tests.pictures import tarred
from tests.sources.containers import DATA, parquet_file, sample

CAFE = "caf\u00e9"
DECOMPOSED = unicodedata.normalize("NFD", CAFE)  # as macOS writes names
GOES = "\u0645\u06cc\u200c\u0631\u0648\u062f"  # Persian, with a joiner of no width
LABELS = [CAFE, DECOMPOSED, GOES]
THREE = [f"{number}.jpg" for number in range(3)]
BOX = (5, 6, 30, 35)


def json_lines(root):
    lines = [json.dumps({"image": name, "label": label}) for name, label in zip(THREE, LABELS, strict=True)]
    return written(root, images(*THREE) | {"train.jsonl": text(*lines)})


def csv_list(root):
    lines = [f"{name},{label}" for name, label in zip(THREE, LABELS, strict=True)]
    return written(root, images(*THREE) | {"train.csv": text("image,label", *lines)})


def folders(root):
    return written(root, images(f"{DECOMPOSED}/0.jpg", f"{DECOMPOSED}/1.jpg", f"{GOES}/2.jpg"))


def table(root):
    parquet_file(root / "train.parquet", zip(THREE, LABELS, [DATA] * 3, strict=True))
    return root


def shard(root):
    members = {}
    for name, label in zip(THREE, LABELS, strict=True):
        members |= sample(name, DATA, cls=label)
    tarred(root / "train-0.tar", members)
    return root


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("folder", folders),
        ("lists", json_lines),
        ("lists", csv_list),
        ("parquet", table),
        ("webdataset", shard),
    ],
)
def test_every_source_reads_the_class_that_a_folder_of_that_name_is(tmp_path, kind, make):
    path = make(tmp_path)
    classes = [record.wnid for record in open_source(kind, path).records()]
    assert sorted(classes) == sorted([CAFE, CAFE, GOES])
    shown = "\u0645\u06cc\\u200c\u0631\u0648\u062f"
    assert f"  train: {CAFE} 2, {shown} 1" in check_lines(kind, path)


@pytest.mark.parametrize("form", [CAFE, DECOMPOSED])
def test_names_of_numbered_classes_are_composed(tmp_path, form):
    numbered = [("1.jpg", 0, DATA), ("2.jpg", 1, DATA)]
    parquet_file(tmp_path / "train.parquet", numbered, [form, GOES])
    assert [record.wnid for record in open_source("parquet", tmp_path).records()] == [CAFE, GOES]
    assert read_names(json.dumps([form, GOES]).encode(), "names.json") == {"0": CAFE, "1": GOES}


@pytest.mark.parametrize("form", [CAFE, DECOMPOSED])
def test_classes_of_objects_are_composed(tmp_path, form):
    annotated = {"images": [{"id": 1, "file_name": "0.jpg"}], "categories": [{"id": 1, "name": form}]}
    annotated["annotations"] = [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}]
    path = written(tmp_path, images("0.jpg") | {"train.json": json.dumps(annotated).encode()})
    source = open_source("coco", path)
    assert [obj.name for record in source.records() for obj in source.annotation(record)] == [CAFE]
    voc = images("VOC2007/JPEGImages/1.jpg") | {"VOC2007/Annotations/1.xml": xml(thing(DECOMPOSED, BOX))}
    path = written(tmp_path / "voc", voc | {"VOC2007/ImageSets/Main/train.txt": b"1"})
    assert problems_of(open_source("voc2007", path, classes=form)) == []


def detections_csv(root, form):
    path = root / "detections.csv"
    path.write_text(f"image,class,score,xmin,ymin,xmax,ymax\n1,{form},.9,5,6,30,35\n", "utf-8")
    return path, None


def kit(root, form):
    return written(root / "kit", {f"comp4_det_test_{form}.txt": b"1 .9 5 6 30 35"}), None


def coco_results(root, form):
    row = {"image_id": 1, "category_id": 7, "bbox": [4, 5, 26, 30], "score": 0.9}
    named = {"results.json": [row], "names.json": {"categories": [{"id": 7, "name": form}]}}
    written(root, {name: json.dumps(content).encode() for name, content in named.items()})
    return root / "results.json", root / "names.json"


def coco_results_by_name(root, form):
    row = {"image_id": 1, "category_id": form, "bbox": [4, 5, 26, 30], "score": 0.9}
    return written(root, {"results.json": json.dumps([row]).encode()}) / "results.json", None


@pytest.mark.parametrize("make", [detections_csv, kit, coco_results, coco_results_by_name])
@pytest.mark.parametrize("form", [CAFE, DECOMPOSED])
def test_detections_are_of_the_classes_of_their_annotations(tmp_path, make, form):
    path = written(tmp_path / "Annotations", {"1.xml": xml(thing(DECOMPOSED, BOX))})
    annotations = Annotations(*read_objects(path))
    file, categories = make(tmp_path, form)
    detections, notes = load_detections(file, annotations, categories)
    assert (detections.values.tolist(), notes) == ([["1", CAFE, 0.9, *BOX]], [])


def test_two_categories_that_differ_by_the_form_of_an_accent_are_refused(tmp_path):
    categories = [{"id": number, "name": name} for number, name in enumerate(LABELS)]
    rows = [{"image_id": 1, "category_id": number, "bbox": [1, 1, 9, 9]} for number in (0, 1)]
    content = {"images": [{"id": 1, "file_name": "0.jpg"}], "annotations": rows, "categories": categories}
    path = written(tmp_path, images("0.jpg") | {"train.json": json.dumps(content).encode()})
    (problem,) = problems_of(open_source("coco", path))
    assert f"categories 0 and 1 are both {CAFE!r}; rename one" in problem


DOG = {"label": 0, "class_name": "dog", "wnid": "n02084071"}
CAT = {"label": 1, "class_name": "cat", "wnid": "n02121808"}


@pytest.mark.parametrize("number", [(), ("label",)])
@pytest.mark.parametrize("name", ["wnid", "class_name"])
def test_a_wnid_and_the_word_that_json_has_beside_it_are_one_class(tmp_path, number, name):
    shards = {"train-0": ("class_name", "wnid"), "train-1": (name,), "test-0": (name,)}
    for shard, names in shards.items():
        rows = {row["class_name"]: {key: row[key] for key in (*number, *names)} for row in (DOG, CAT)}
        samples = [sample(f"{shard}_{word}.png", DATA, json=row) for word, row in rows.items()]
        tarred(tmp_path / f"{shard}.tar", samples[0] | samples[1])
    records = open_source("webdataset", tmp_path).records()
    assert len(records) == 6
    assert all(record.id.endswith(f"_{record.wnid}.png") for record in records)


def test_a_word_beside_several_wnids_is_a_note_and_refused_where_a_wnid_stands_alone(tmp_path):
    for number, wnid in enumerate(("n02012849", "n03126707")):
        row = {"class_name": "crane", "wnid": wnid}
        tarred(tmp_path / f"train-{number}.tar", sample(f"{number}.png", DATA, json=row))
    source = open_source("webdataset", tmp_path)
    assert [record.wnid for record in source.records()] == ["crane", "crane"]
    both = "by the JSON of samples n02012849 and n03126707 are crane"
    assert f"{both}; classes are the words, not the wnids" in source.notes
    tarred(tmp_path / "train-2.tar", sample("2.png", DATA, json={"wnid": "n02012849"}))
    with pytest.raises(
        ItlError, match="2 has the wnid n02012849 alone, and by the JSON of others n02012849 and"
    ):
        open_source("webdataset", tmp_path).records()


def test_a_category_beside_a_wnid_is_no_class(tmp_path):
    for number, (category, wnid) in enumerate((("bird", "n02012849"), ("bird", "n01503061"))):
        row = {"category": category, "wnid": wnid}
        tarred(tmp_path / f"train-{number}.tar", sample(f"{number}.png", DATA, json=row))
    classes = {record.wnid for record in open_source("webdataset", tmp_path).records()}
    assert classes == {"n02012849", "n01503061"}
