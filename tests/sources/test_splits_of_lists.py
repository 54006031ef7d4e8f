"""Lists whose images or columns say the splits, and labels that are more than one class."""

import pytest

from itl import ItlError
from itl.sources.registry import open_source
from tests.annotated import check_lines, jpeg, written

IN_SPLITS = dict.fromkeys(("train/1.jpg", "train/2.jpg", "test/3.jpg", "test/4.jpg"), jpeg())
BY_FOLDER = b"file_name,label\ntrain/1.jpg,a\ntrain/2.jpg,b\ntest/3.jpg,a\n4.jpg,b\n"


def splits(path, **options) -> dict[str, str]:
    return {record.id: record.split for record in open_source("lists", path, **options).records()}


@pytest.mark.parametrize("name", ["metadata.csv", "labels.csv"])
def test_a_list_of_no_split_leaves_images_in_the_splits_of_their_folders(tmp_path, name):
    path = written(tmp_path, IN_SPLITS | {name: BY_FOLDER})
    assert splits(path) == {image: image.split("/")[0] for image in IN_SPLITS}
    assert f"note: {name} says no split; each image is in that of its folder" in check_lines("lists", path)
    assert set(splits(path, train=name).values()) == {"train"}, "as the option says"


def test_a_list_with_some_images_outside_folders_of_splits_is_refused(tmp_path):
    files = IN_SPLITS | {"5.jpg": jpeg(), "all.csv": BY_FOLDER + b"5.jpg,a\n"}
    with pytest.raises(
        ItlError, match="all.csv names no split, and 1 image lies outside .* option train=all"
    ):
        open_source("lists", written(tmp_path, files)).records()


def test_ids_in_the_text_list_of_a_split_are_names_without_their_suffix(tmp_path):
    files = dict.fromkeys(("1.jpg", "2.jpg"), jpeg())
    path = written(tmp_path, files | {"train.txt": b"1 cat\n2 dog\n", "classes.txt": b"1 cat\n2 dog\n"})
    assert splits(path) == {"1.jpg": "train", "2.jpg": "train"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "train.txt",
            b"train/1.jpg 0 1\n",
            "line 1: '0 1' are several numbers, but an image is of one class",
        ),
        ("train.csv", b'file,label\ntrain/1.jpg,"0,1"\n', "line 2: '0,1' are several numbers"),
        ("train.csv", b"file,label,label\ntrain/1.jpg,a,b\n", "has the column label twice"),
        ("train.csv", b"file,label,Label\ntrain/1.jpg,a,b\n", "may have its label in label or Label"),
        (
            "all.csv",
            b"file,label,is_valid\ntrain/1.jpg,a,True\n",
            "has a column is_valid, whose images would",
        ),
        ("all.csv", b"file,label,is_valid\ntrain/1.jpg,a,x\n", "has a column is_valid, whose images would"),
        ("all.csv", b"file,label,train\ntrain/1.jpg,a,1\ntrain/2.jpg,a,0\n", "has a column train, whose"),
        (
            "train.csv",
            b"train/1.jpg,a,b\n",
            "train.csv, line 1: more than an image and its label, and no header",
        ),
        (
            "all.csv",
            b"file,label,phase,use\ntrain/1.jpg,a,train,test\ntrain/2.jpg,a,test,train\n",
            "may have its splits in phase or use; leave one of them out",
        ),
    ],
)
def test_labels_and_columns_that_may_mean_two_things_are_refused(tmp_path, name, content, message):
    with pytest.raises(ItlError, match=message):
        open_source("lists", written(tmp_path, IN_SPLITS | {name: content})).records()


def test_a_column_of_two_splits_and_nothing_else_divides_whatever_its_name(tmp_path):
    table = "file,label,{}\ntrain/1.jpg,a,{}\ntrain/2.jpg,a,{}\n"

    def read(*cells: str) -> set[str]:
        return set(splits(written(tmp_path, IN_SPLITS | {"all.csv": table.format(*cells).encode()})).values())

    assert read("dataset", "TRAIN", "Test") == {"train", "test"}
    for cells in (("source", "train", "web"), ("quality", "valid", "valid"), ("train", "a", "b")):
        assert read(*cells) == {"train"}, "by the folder"


def test_rows_that_end_with_a_comma_have_no_other_value(tmp_path):
    path = written(tmp_path, IN_SPLITS | {"train.csv": b"train/1.jpg,a,\ntrain/2.jpg,b,\n"})
    assert splits(path) == {"train/1.jpg": "train", "train/2.jpg": "train"}


def test_a_column_of_flags_is_passed_over_beside_one_of_splits(tmp_path):
    table = b"file,label,is_valid,split\ntrain/1.jpg,a,True,val\ntrain/2.jpg,a,False,train\n"
    assert set(splits(written(tmp_path, IN_SPLITS | {"all.csv": table})).values()) == {"train", "val"}
