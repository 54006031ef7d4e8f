"""Files that options name: ~ stands for the home folder, which no shell expands in a preset or in Python."""

import json
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest

from itl import ItlError
from itl.sources.annotated.proposal_files import write_regions
from itl.sources.files.option_files import find_file, paths_named
from itl.sources.registry import SOURCES, open_source
from tests.annotated import check_lines, jpeg, text, thing, voc2007, written, xml
from tests.sources import containers

OPENED = [  # options that are files by their type
    (kind, option)
    for kind, source in SOURCES.items()
    for option, hint in get_type_hints(source).items()
    if option != "path" and Path in get_args(hint)
]
IMAGES = {"cat/a.jpg": jpeg(), "dog/b.jpg": jpeg()}
COCO = {
    "images": [{"id": 1, "file_name": "000001.jpg"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 20, 20]}],
    "categories": [{"id": 1, "name": "dog"}],
}


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_most_sources_have_a_file_among_their_options():
    kinds = {kind for kind, _ in OPENED}
    assert {"folder", "imagenet", "lists", "webdataset", "parquet"} <= kinds
    assert ("imagenet", "val_labels") in OPENED


@pytest.mark.parametrize(("kind", "option"), OPENED)
def test_a_file_is_found_in_the_home_folder(home, tmp_path, kind, option):
    (home / "file.txt").touch()
    source = open_source(kind, tmp_path / "data", **{option: "~/file.txt"})
    assert getattr(source, option) == home / "file.txt"
    with pytest.raises(
        ItlError, match=f"the option {option} names the file {home}/gone.txt, which is neither"
    ):
        open_source(kind, tmp_path / "data", **{option: "~/gone.txt"})


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_list_is_found_in_the_home_folder(home, tmp_path, split):
    (home / "list.txt").write_bytes(text("cat/a.jpg cat", "dog/b.jpg dog"))
    source = open_source("lists", written(tmp_path / "data", IMAGES), **{split: "~/list.txt"})
    assert [record.split for record in source.records()] == [split, split]


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("voc2007", voc2007()),
        ("coco", {"000001.jpg": jpeg(), "train.json": json.dumps(COCO).encode()}),
    ],
)
def test_region_proposals_are_found_in_the_home_folder(home, tmp_path, kind, files):
    box = np.array([[1, 1, 9, 9]], np.float32)
    write_regions(home / "regions.npz", {f"{number:06}": box for number in range(1, 7)})
    source = open_source(kind, written(tmp_path / "data", files), proposals="~/regions.npz")
    assert all(np.array_equal(source.regions(record), box) for record in source.records())


def test_names_of_downsampled_imagenet_are_found_in_the_home_folder(home, tmp_path):
    path = containers.downsampled(tmp_path / "data")
    (path / "map_clsloc.txt").rename(home / "names.txt")
    source = open_source("imagenet-downsampled", path, names="~/names.txt")
    assert {record.wnid for record in source.records()} == {containers.CAR, containers.FOX}


def test_annotations_to_check_against_are_found_in_the_home_folder(home, tmp_path):
    written(home / "xml", {"1.xml": xml(thing("dog", (1, 1, 9, 9)))})
    (tmp_path / "det.csv").write_text("image,class,score,xmin,ymin,xmax,ymax\n1,dog,1,1,1,9,9\n")
    lines = check_lines("detections", tmp_path / "det.csv", annotations="~/xml")
    assert lines[-1] == f"next: itl voc-ap --annotations {home}/xml --detections {tmp_path}/det.csv"
    write_regions(tmp_path / "regions.npz", {"1": np.array([[1, 1, 9, 9]], np.float32)})
    lines = check_lines("proposals", tmp_path / "regions.npz", annotations="~/xml")
    assert any(line.startswith("recall at IoU 0.5: 100.0%") for line in lines)


def test_what_is_no_home_folder_stays_as_it_is(home, tmp_path):
    (tmp_path / "~a.csv").touch()
    assert find_file("~a.csv", tmp_path) == tmp_path / "~a.csv"
    assert find_file("n" * 5000, tmp_path) is None
    assert paths_named("~/a", tmp_path, Path()) == [home / "a", home / "a"]


@pytest.mark.parametrize("path", [".", "../data", "shots/.."])
def test_files_around_a_relative_path_are_those_around_the_folder(tmp_path, monkeypatch, path):
    images = {f"shots/{name}/{number}.jpg": jpeg() for name in ("bar", "gym") for number in range(2)}
    written(tmp_path, {f"data/{name}": image for name, image in images.items()})
    written(tmp_path, {"TrainImages.txt": text("bar/0.jpg", "gym/0.jpg")})
    written(tmp_path, {"TestImages.txt": text("bar/1.jpg", "gym/1.jpg")})
    monkeypatch.chdir(tmp_path / "data")
    splits = {record.id: record.split for record in open_source("mit67", path).records()}
    assert splits == {name: "train" if "0" in name else "test" for name in images}
    (tmp_path / "all.txt").write_bytes(text("shots/bar/0.jpg a", "shots/gym/0.jpg b"))
    assert len(open_source("lists", path, train="all.txt").records()) == 2


def test_a_card_above_the_current_folder_names_the_classes(tmp_path, monkeypatch):
    images = [(f"{number}.jpg", number, jpeg()) for number in range(2)]
    containers.parquet_file(tmp_path / "data/train.parquet", images)
    classes = {"class_label": {"names": {"0": "ant", "1": "bee"}}}
    card = {"dataset_info": {"features": [{"name": "label", "dtype": classes}]}}
    (tmp_path / "README.md").write_text(f"---\n{json.dumps(card)}\n---\n")  # JSON is YAML
    monkeypatch.chdir(tmp_path / "data")
    for path in (tmp_path / "data", "."):
        assert [record.wnid for record in open_source("parquet", path).records()] == ["ant", "bee"]


def test_names_of_downsampled_imagenet_may_lie_above_the_current_folder(tmp_path, monkeypatch):
    path = containers.downsampled(tmp_path / "data")
    (path / "map_clsloc.txt").rename(tmp_path / "map_clsloc.txt")
    monkeypatch.chdir(path)
    source = open_source("imagenet-downsampled", ".")
    assert {record.wnid for record in source.records()} == {containers.CAR, containers.FOX}
