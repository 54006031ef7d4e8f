"""One class, whose name is written in different ways, and classes whose names have signs of no width."""

import json
import unicodedata

import pytest

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
