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


def test_lines_of_an_image_and_its_split_beside_labelled_lists_are_noted_or_refused(tmp_path):
    lists = {
        "train.csv": text("image,label", "0.jpg,a", "1.jpg,b"),
        "test.csv": text("image,label", "2.jpg,a"),
    }
    path = written(tmp_path, images("0.jpg", "1.jpg", "2.jpg") | lists)
    assert not any("not read" in line for line in check_lines("lists", path))
    written(path, {"parts.txt": text("0.jpg train", "2.jpg test")})
    assert "note: not read: parts.txt, line 1: no label" in check_lines("lists", path)
    written(path, {"parts.txt": text("0.jpg train", "1.jpg val")})
    with pytest.raises(ItlError, match="parts.txt says that '1.jpg' is of val, and it is read as train"):
        read(path)


IN_CLASSES = images(*(f"{name}/{name}{number}.jpg" for name in ("cat", "dog") for number in range(3)))
IN_LISTS = [(name, "test" if "2" in name else "train") for name in IN_CLASSES]


def rows(split: str = "", form: str = "{name}") -> list[str]:
    """Return a line of this *form* for each image in a class folder, or for those of a *split*."""
    return [form.format(name=name, label=name[:3], split=of) for name, of in IN_LISTS if split in ("", of)]


@pytest.mark.parametrize(
    ("lists", "is_read"),
    [
        ({"test.txt": text(*rows("test")), "train.txt": text(*rows("train"))}, True),
        ({"split.csv": text("image,split", *rows(form="{name},{split}"))}, True),
        ({"test.txt": text(*rows("test"))}, False),  # the images of train would be in no list
        ({"test.csv": text("image,label", *rows("test", "{name},{label}"))}, False),
        (
            {
                f"Ebay_{split}.txt": text("image_id class_id path", *rows(split, "0 1 {name}"))
                for split in ("test", "train")
            },
            False,
        ),
    ],
)
def test_beside_class_folders_what_divides_them_is_sent_to_lists_if_these_read_train_too(
    tmp_path, lists, is_read
):
    path = written(tmp_path, IN_CLASSES | lists)
    with pytest.raises(ItlError, match="divides the images, which by their folders alone") as error:
        open_source("folder", path).records()
    way = f"the source lists reads it: `itl check lists {path}"
    as_csv = f"; write a CSV with the columns image, label and split, and {way} --option train=FILE`"
    assert (f"; {way}`" if is_read else as_csv) in str(error.value)
    if not is_read:
        written(path, {"images.csv": text("image,label,split", *rows(form="{name},{label},{split}"))})
    options = {} if is_read else {"train": "images.csv"}
    assert read(path, **options) == {name: (split, name[:3]) for name, split in IN_LISTS}


@pytest.mark.parametrize(
    ("names", "header", "form"),
    [
        (["fold1.csv", "fold2.csv"], "image,label,split", "{name},{label},{split}"),
        (["fold.csv"], "image,label,class,split", "{name},{label},{split}y,{split}"),
    ],
)
def test_beside_class_folders_lists_from_which_an_option_chooses_are_read(tmp_path, names, header, form):
    path = written(tmp_path, IN_CLASSES | {name: text(header, *rows(form=form)) for name in names})
    with pytest.raises(ItlError, match="would all be train; the source lists reads it: `itl check lists "):
        open_source("folder", path).records()
