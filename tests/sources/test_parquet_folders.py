"""Folders of Parquet files: splits, parts, and configurations of one data set."""

import shlex
import subprocess
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from itl import ItlError
from itl.sources.files.image_files import pixels_of
from itl.sources.registry import open_source
from tests.annotated import check_lines
from tests.pictures import encoded, tarred
from tests.sources.containers import DATA, parquet_file


def test_one_name_of_two_numbers_is_refused_wherever_it_stands(tmp_path):
    rows = [(f"{number}.png", number, DATA) for number in range(3)]
    parquet_file(tmp_path / "hub/train.parquet", rows, ["cat", "dog", "cat"])
    parquet_file(tmp_path / "card/train.parquet", rows)
    card = """---
dataset_info:
  features:
  - name: label
    dtype:
      class_label:
        names:
          '0': cat
          '1': dog
          '2': cat
---
"""
    (tmp_path / "card/README.md").write_text(card)
    for folder in ("hub", "card"):
        with pytest.raises(ItlError, match="gives 'cat' two numbers; give every class a name of its own"):
            open_source("parquet", tmp_path / folder).records()


def test_images_in_folders_of_splits_are_not_all_train(tmp_path):
    """Of one file, or of shards, whose names tell no split."""
    names = {"train": "train/cat/1.png", "test": "test/dog/2.png"}
    parquet_file(tmp_path / "table/0000.parquet", [(name, "cat", DATA) for name in names.values()])
    tarred((shards := tmp_path / "shards") / "0000.tar", {"train/cat/1.png": DATA, "train/cat/1.cls": b"cat"})
    tarred(shards / "0001.tar", {"test/dog/2.png": DATA, "test/dog/2.cls": b"cat"})
    for kind, path in (("parquet", tmp_path / "table"), ("webdataset", shards)):
        with pytest.raises(ItlError, match="tell no split, so all images would be train, but .* of train"):
            open_source(kind, path).records()
    (shards / "0000.tar").rename(shards / "train-0.tar")
    (shards / "0001.tar").rename(shards / "test-0.tar")
    assert {record.split for record in open_source("webdataset", shards).records()} == {"train", "test"}


def test_folders_of_splits_may_be_spelt_as_hive_does(tmp_path):
    for split in ("train", "test"):
        rows = [(f"{split}{number}.png", "cat", DATA) for number in range(2)]
        parquet_file(tmp_path / f"split={split}/0.parquet", rows)
    found = [(record.split, record.wnid) for record in open_source("parquet", tmp_path).records()]
    assert sorted(found) == [("test", "cat")] * 2 + [("train", "cat")] * 2


@pytest.mark.parametrize("folder", ["split={}/label={}", "{}/label={}", "😀 it's/split={}/label={}"])
def test_labels_in_names_of_folders_are_refused_with_a_command_that_makes_a_column_of_them(
    tmp_path, monkeypatch, folder
):
    image = [{"bytes": DATA, "path": None}]
    for split in ("train", "test"):
        for number, label in enumerate(("cat", "dog")):
            file = tmp_path / "hive" / folder.format(split, label) / f"part-{number}.parquet"
            file.parent.mkdir(parents=True)
            pq.write_table(pa.table({"image": image * 2}), file)
    (tmp_path / "tables").mkdir()
    monkeypatch.chdir(tmp_path / "tables")
    with pytest.raises(ItlError, match="has its label in the name of a folder, which is not read") as refused:
        open_source("parquet", tmp_path / "hive").records()
    python, _, code = shlex.split(str(refused.value).split("`")[1])
    for split in ("train", "test"):  # the command is of the first, test
        of_split = code.replace("hive/test", f"hive/{split}").replace("test.parquet", f"{split}.parquet")
        subprocess.run([sys.executable, "-c", of_split], check=True)
    assert python == "python"
    records = open_source("parquet", tmp_path / "tables").records()
    assert Counter((record.split, record.wnid) for record in records) == {
        (split, label): 2 for split in ("train", "test") for label in ("cat", "dog")
    }


@pytest.mark.parametrize(
    ("folder", "options"), [("label={}", {}), ("class=animals", {}), ("class=7", {"label": "use"})]
)
def test_labels_in_names_of_folders_do_not_matter_to_files_with_a_column_of_them(tmp_path, folder, options):
    column = options.get("label", "label")
    for number, split in enumerate(("train", "train", "test", "test")):
        label = ("cat", "dog")[number % 2]
        file = tmp_path / folder.format(label) / f"{split}-{number % 2}.parquet"
        file.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"image": [{"bytes": DATA, "path": None}] * 2, column: [label] * 2}), file)
    records = open_source("parquet", tmp_path, **options).records()
    assert Counter((record.split, record.wnid) for record in records) == {
        (split, label): 2 for split in ("train", "test") for label in ("cat", "dog")
    }


def test_files_of_several_splits_in_folders_of_labels_are_not_made_one_file(tmp_path):
    for split in ("train", "test"):
        file = tmp_path / "label=cat" / f"{split}.parquet"
        file.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"image": [{"bytes": DATA, "path": None}]}), file)
    with pytest.raises(ItlError, match="not read; write one file for each split, with a column label$"):
        open_source("parquet", tmp_path).records()


def test_rows_of_one_file_are_no_links(tmp_path):
    for split in ("train", "test"):
        rows = [(f"{label}/{split}.png", label, DATA) for label in ("cat", "dog")]
        parquet_file(tmp_path / f"{split}.parquet", rows)
    assert not [line for line in check_lines("parquet", tmp_path) if "by a link" in line]


def test_two_columns_of_images_of_a_file_are_told_apart(tmp_path):
    """In one process, as for two targets on one table: the second would have the pixels of the first."""
    values = (("left", 10), ("right", 200))
    grey = {name: encoded(np.full((8, 8, 3), value, np.uint8), "PNG") for name, value in values}
    table = pa.table({name: [image] * 2 for name, image in grey.items()} | {"label": ["a", "b"]})
    pq.write_table(table, tmp_path / "train.parquet")
    for name, value in (*values, *values):
        source = open_source("parquet", tmp_path, image=name)
        pixels = [pixels_of(source.read(record), "it")[0] for record in source.records()]
        assert [np.unique(image).tolist() for image in pixels] == [[value], [value]]


def test_names_of_columns_may_have_dots(tmp_path):
    """As Spark flattens a struct; another column begins like each."""
    one, two = (encoded(np.full((8, 8, 3), value, np.uint8), "PNG") for value in (10, 200))
    columns = {
        "label.id": [7, 8],
        "label": ["cat", "dog"],
        "image.data": [one, one],
        "image": [{"bytes": two, "path": "1.png"}, {"bytes": two, "path": "2.png"}],
    }
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    flat = open_source("parquet", tmp_path, image="image.data", label="label.id")
    assert [(record.id, record.wnid) for record in flat.records()] == [
        ("train/00000000", "7"),
        ("train/00000001", "8"),
    ]
    assert [flat.read(record) for record in flat.records()] == [one, one]
    nested = open_source("parquet", tmp_path, image="image", label="label")
    assert [record.id for record in nested.records()] == ["train/cat/1.png", "train/dog/2.png"]
    assert [nested.read(record) for record in nested.records()] == [two, two]


def test_a_label_without_a_name_is_said_of_its_file(tmp_path):
    names = ["cat", "dog", "cow"]
    parquet_file(tmp_path / "test.parquet", [("a.png", 0, DATA)], names)
    parquet_file(tmp_path / "train-0.parquet", [("a.png", 0, DATA)], names)
    parquet_file(tmp_path / "train-1.parquet", [("b.png", 2, DATA)], names)
    labels = {record.wnid for record in open_source("parquet", tmp_path).records()}
    assert labels == {"cat", "cow"}
    parquet_file(tmp_path / "train-1.parquet", [("b.png", 7, DATA)], names)
    with pytest.raises(ItlError) as refused:
        open_source("parquet", tmp_path).records()
    assert str(refused.value) == (
        f"{tmp_path}: train-1.parquet has the label 7, but test.parquet names 3 classes and none has that "
        f"number; correct the names, or the label"
    )


def test_a_list_of_labels_is_said_of_its_file(tmp_path):
    for number, label in enumerate(("cat", "['cat', 'dog']")):
        parquet_file(tmp_path / f"train-{number}.parquet", [(f"{number}.png", label, DATA)])
    with pytest.raises(ItlError, match="^train-1.parquet, column label: "):
        open_source("parquet", tmp_path).records()


def test_columns_of_a_table_that_are_not_read_are_named(tmp_path):
    image = pa.array([{"bytes": DATA, "path": f"{number}.png"} for number in range(3)])
    columns = {"camera": [0, 1, 0], "x": [0.5, 1.0, 2.0], "use": ["train", "test", "train"]}
    table = pa.table({"image": image, "label": ["a", "a", "b"], **columns})
    pq.write_table(table, tmp_path / "data.parquet")
    notes = [line for line in check_lines("parquet", tmp_path) if "not read" in line]
    assert notes == ["note: data.parquet: columns that are not read: camera, x"]
    options = {"val_fraction": 0.5, "group": "camera"}
    pq.write_table(table.drop(["use"]), tmp_path / "data.parquet")
    notes = [line for line in check_lines("parquet", tmp_path, **options) if "not read" in line]
    assert notes == ["note: data.parquet: columns that are not read: x"]
