"""Folders of Parquet files: splits, parts, and configurations of one data set."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from itl import ItlError
from itl.sources.image_files import pixels_of
from itl.sources.registry import open_source
from tests.annotated import check_lines
from tests.pictures import encoded
from tests.sources.containers import DATA, parquet_file


def test_two_configurations_of_one_data_set_are_refused(tmp_path):
    """As the hub keeps them: the same images under fine and under coarse labels."""
    for folder, label in (("fine", "tabby"), ("coarse", "cat")):
        for split in ("train", "test"):
            rows = [(f"{number}.png", f"{label} {number}", DATA) for number in range(2)]
            parquet_file(tmp_path / folder / split / "0000.parquet", rows)
    with pytest.raises(
        ItlError, match="coarse and fine have files of the same names and rows, as of one data"
    ):
        open_source("parquet", tmp_path).records()
    assert len(open_source("parquet", tmp_path / "fine").records()) == 4
    rows = [(f"{number + 5}.png", f"cat {number % 2}", DATA) for number in range(3)]
    parquet_file(tmp_path / "coarse/train/0000.parquet", rows)  # another part, as it may be
    assert len(open_source("parquet", tmp_path).records()) == 9
    (tmp_path / "coarse/train/0000.parquet").rename(tmp_path / "coarse/train.parquet")
    (tmp_path / "fine/train/0000.parquet").rename(tmp_path / "fine/train.parquet")
    with pytest.raises(ItlError, match="both have train.parquet, as two configurations of one data set do"):
        open_source("parquet", tmp_path).records()
    (tmp_path / "fine/train.parquet").rename(tmp_path / "fine/train-2.parquet")
    assert len(open_source("parquet", tmp_path).records()) == 9


def test_folders_of_splits_may_be_spelt_as_hive_does(tmp_path):
    for split in ("train", "test"):
        rows = [(f"{split}{number}.png", "cat", DATA) for number in range(2)]
        parquet_file(tmp_path / f"split={split}/0.parquet", rows)
    found = [(record.split, record.wnid) for record in open_source("parquet", tmp_path).records()]
    assert sorted(found) == [("test", "cat")] * 2 + [("train", "cat")] * 2


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
