"""Columns that say yes or no of one split, in whatever cells: no image that they hold out becomes train."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from itl import ItlError
from itl.sources.registry import open_source
from tests.annotated import images, text, written
from tests.pictures import encoded, smooth

HELD_OUT = {  # column -> its cells
    "test": ("", "", "", "x"),
    "val": ("", "", "", "yes"),
    "holdout": ("TRUE", "", "", ""),
    "Test?": ("N", "N", "N", "Y"),
    "train": ("T", "T", "T", "F"),
    "test set": ("", "", "", "1.0"),
    "use": ("Train", "Train", "Train", "Hold-out"),
    "group": ("dev", "held-out", "held-out", "held-out"),
    "role": ("training", "training", "training", "held out"),
}
OTHERS = {
    "test": ("", "", "", ""),
    "train": ("diesel", "steam", "T", "electric"),
    "use": ("out", "out", "hold", "hold"),
    "val": ("z", "x", "y", ""),
    "test_score": ("low", "low", "high", "high"),
}


def listed(column, cells):
    rows = [f"{number}.jpg,{'ab'[number % 2]},{cell}" for number, cell in enumerate(cells)]
    files = images(*(f"{number}.jpg" for number in range(4)))
    return files | {"all.csv": text(f"image,label,{column}", *rows)}


@pytest.mark.parametrize("column", HELD_OUT)
def test_a_column_that_holds_images_out_is_refused_whatever_its_cells(tmp_path, column):
    path = written(tmp_path, listed(column, HELD_OUT[column]))
    with pytest.raises(ItlError, match=f"all.csv has a column {column.replace('?', '.')}"):
        open_source("lists", path).records()


@pytest.mark.parametrize(("column", "cells"), [("set", ("left", "right")), ("holdout", ("0", "1"))])
def test_a_list_with_such_a_column_is_refused_beside_another_and_a_table_without_labels_is_no_list(
    tmp_path, column, cells
):
    files = images(*(f"{number}.jpg" for number in range(4)))
    files |= {"test.csv": text("image,label", "2.jpg,a", "3.jpg,b")}
    rows = [f"0.jpg,a,{cells[0]}", f"1.jpg,b,{cells[1]}"]
    labelled = files | {"labels.csv": text(f"image,label,{column}", *rows)}
    with pytest.raises(
        ItlError, match=f"^labels.csv has a column {column} with '{cells[0]}', which is no split"
    ):
        open_source("lists", written(tmp_path / "a", labelled)).records()
    bare = {"train.csv": text("image,label", "0.jpg,a", "1.jpg,b")}
    bare |= {"table.csv": text(f"image,{column}", f"0.jpg,{cells[0]}", f"1.jpg,{cells[1]}")}
    records = open_source("lists", written(tmp_path / "b", files | bare)).records()
    assert [record.split for record in records] == ["train", "train", "test", "test"]


@pytest.mark.parametrize("column", OTHERS)
def test_a_column_of_such_a_name_with_other_cells_divides_nothing(tmp_path, column):
    path = written(tmp_path, listed(column, OTHERS[column]))
    assert {record.split for record in open_source("lists", path).records()} == {"train"}


@pytest.mark.parametrize("cells", [[None, None, 1.0, 1.0], [None, True, True, None], ["", "x", None, ""]])
def test_empty_cells_of_a_table_are_no_other_flag(tmp_path, cells):
    image = pa.array([{"bytes": encoded(smooth(6, 5)), "path": f"{number}.png"} for number in range(4)])
    table = pa.table({"image": image, "label": [*"abab"], "test": cells})
    pq.write_table(table, tmp_path / "data.parquet")
    with pytest.raises(
        ItlError, match="has a column test with .*, which is no split; write train, val or test"
    ):
        open_source("parquet", tmp_path).records()
