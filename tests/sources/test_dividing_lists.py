"""Files that divide images whose labels are in lists that do not: which are refused, and which are noted."""

from pathlib import Path

import pytest

from itl import ItlError
from itl.sources.registry import open_source
from tests.annotated import check_lines, images, text, written


def read(path: Path, **options) -> dict[str, tuple[str, str]]:
    """Return split and class of each image."""
    return {
        record.id: (record.split, record.wnid) for record in open_source("lists", path, **options).records()
    }


TWO_LABELLINGS = images("im/0.jpg", "im/1.jpg", "im/2.jpg") | {
    name: text("image,label", "0.jpg,a", "1.jpg,b", "2.jpg,a") for name in ("color.csv", "shape.csv")
}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("test.txt", ["2.jpg"]),
        ("split.csv", ["image,split", "0.jpg,train", "1.jpg,train", "2.jpg,test"]),
        ("split.json", ['{"train": ["im/0.jpg", "im/1.jpg"], "test": ["im/2.jpg"]}']),
        ("list_eval_partition.txt", ["0.jpg 0", "1.jpg 1", "2.jpg 2"]),
    ],
)
def test_what_divides_the_images_is_named_beside_several_lists_and_where_options_name_train_alone(
    tmp_path, name, lines
):
    path = written(tmp_path, TWO_LABELLINGS | {name: text(*lines)})
    with pytest.raises(
        ItlError, match=f"has 2 lists for train, color.csv, .*; {name} divides images.* train=color.csv to"
    ):
        read(path)
    note = f"note: not read: {name}, which divides images that are all train by the options"
    assert note in check_lines("lists", path, train="color.csv")
    rows = text("image,label,split", "0.jpg,a,train", "1.jpg,b,train", "2.jpg,a,test")
    written(path, {"color.csv": rows})
    with pytest.raises(ItlError, match="choose one with --option train=color.csv$"):
        read(path)
    assert read(path, train="color.csv")["im/2.jpg"] == ("test", "a")
    assert not any("not read" in line for line in check_lines("lists", path, train="color.csv"))


def test_of_several_lists_one_is_chosen_where_nothing_divides_the_images(tmp_path):
    path = written(tmp_path, TWO_LABELLINGS | {"test.txt": b"7.jpg\n", "notes.txt": b"a test of 0.jpg\n"})
    with pytest.raises(ItlError, match="shape.csv; choose one with --option train=color.csv$"):
        read(path)
    assert not any("not read" in line for line in check_lines("lists", path, train="color.csv"))


def test_lines_of_an_image_and_its_split_beside_labelled_lists_are_said_to_be_unread(tmp_path):
    lists = {
        "train.csv": text("image,label", "0.jpg,a", "1.jpg,b"),
        "test.csv": text("image,label", "2.jpg,a"),
    }
    path = written(tmp_path, images("0.jpg", "1.jpg", "2.jpg") | lists)
    assert not any("not read" in line for line in check_lines("lists", path))
    written(path, {"parts.txt": text("0.jpg train", "1.jpg val")})
    assert "note: not read: parts.txt, line 1: no label" in check_lines("lists", path)
