"""Lists with a slip, a missing image or long rows at their start: no split is passed over."""

import pytest

from itl import ItlError
from itl.sources.registry import open_source
from tests.annotated import check_lines, images, text, written

IDS = images(*(f"images/{split}_{number}.jpg" for split in "abc" for number in range(4)))


def of_split(split: str, *lines: str) -> bytes:
    """Return a table of the images of IDS whose names begin with *split*, or that with *lines* instead."""
    return text(*(lines or ("id,label", *(f"{split}_{number},{'xy'[number % 2]}" for number in range(4)))))


@pytest.mark.parametrize("missing", ["images/a_0.jpg", "images/b_0.jpg", "images/b_1.jpg"])
def test_no_split_is_left_out_because_its_first_images_are_missing(tmp_path, missing):
    lists = {"train.csv": of_split("a"), "val.csv": of_split("b")}
    path = written(tmp_path, IDS | lists)
    assert len(open_source("lists", path).records()) == 8
    (path / missing).unlink()
    stem = missing[7:10]
    with pytest.raises(ItlError, match=f"line .: lists '{stem}', but there is no such image"):
        open_source("lists", path).records()
    assert len(open_source("lists", path, bad="skip").records()) == 7
    for number in range(4):
        (path / f"images/b_{number}.jpg").unlink(missing_ok=True)
    with pytest.raises(
        ItlError, match=r"^val.csv, line 2: 'b_0' is no name of an image, .* set as options tr"
    ):
        open_source("lists", path, bad="skip").records()


def test_a_list_without_a_split_in_its_name_is_one_though_its_first_image_is_missing(tmp_path):
    files = IDS | {"labels.csv": of_split("a"), "test.csv": of_split("b")}
    del files["images/a_0.jpg"]
    with pytest.raises(ItlError, match="labels.csv, line 2: lists 'a_0', but there is no such image"):
        open_source("lists", written(tmp_path / "ids", files)).records()
    numbers = images("images/1.jpg", "images/2.jpg") | {"train.csv": text("id,label", "1,a", "2,b")}
    classes = numbers | {"classes.csv": text("id,class", "0,a", "1,b")}
    assert len(open_source("lists", written(tmp_path / "numbers", classes)).records()) == 2


@pytest.mark.parametrize(
    ("name", "lines", "reason"),
    [
        ("val.csv", ("id,lable", "b_0,x", "b_1,y"), "val.csv has no column of the label"),
        ("val.csv", ("imgae,label", "b_0,x", "b_1,y"), "val.csv has no column of the image"),
        ("val.csv", ("id,label", "b_0,", "b_1,y"), "val.csv, line 2: id is 'b_0' and label is ''"),
        ("val.csv", ("id,label", "b_0,x,0.5", "b_1,y"), "val.csv, line 2: 3 values, but the header names 2"),
        ("val.csv", ("# of 2020", "id,label", "b_0,x"), "val.csv, line 2: 2 values, but the header names 1"),
        ("val.jsonl", ('{"id": "b_0", "label": "x"', ""), "val.jsonl, line 1: not valid JSON"),
        ("val.jsonl", ("",), "val.jsonl lists no images: it is empty"),
        ("train.csv", ("id,breed", "b_0,x", "b_1,y"), "train.csv has no column of the label"),
        ("train.txt", ("b_0.jpg", "b_1.jpg"), "train.txt, line 1: no label"),
    ],
)
def test_no_split_is_left_out_for_a_slip_in_the_first_lines_of_its_list(tmp_path, name, lines, reason):
    other = "test.csv" if name.startswith("train") else "train.csv"
    files = IDS | {name: text(*lines), other: of_split("a")}
    path = written(tmp_path, files)
    with pytest.raises(
        ItlError, match=f"^{reason}.*; (to leave it out, set as options .*={other}|.*leave it out)$"
    ):
        open_source("lists", path).records()
    assert len(open_source("lists", path, **{other[:-4]: other}).records()) == 4


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("test.csv", ("id", "b_0", "b_1")),
        ("test.csv", ("id,width", "b_0,3", "b_1,4")),
        ("test.csv", ("id,label", "b_0,", "b_1,")),
        ("test.jsonl", ('{"id": "b_0", "label": null}',)),
        ("test_scores.csv", ("epoch,accuracy", "0,0.5")),
        ("test/readme.csv", ("a,b,label", "0,0.5")),
        ("test.txt", ("b_0.jpg", "b_1.jpg")),
    ],
)
def test_a_test_without_labels_stops_no_lists(tmp_path, name, lines):
    path = written(tmp_path, IDS | {"train.csv": of_split("a"), "val.csv": of_split("c"), name: text(*lines)})
    assert len(open_source("lists", path).records()) == 8


def test_a_test_of_images_alone_stops_no_lists_where_options_name_the_columns(tmp_path):
    lists = {"train.csv": text("id,breed", "a_0,x", "a_1,y"), "test.csv": text("id", "b_0", "b_1")}
    path = written(tmp_path, IDS | lists)
    assert len(open_source("lists", path, image="id", label="breed").records()) == 2
    written(path, {"test.csv": text("id,bred", "b_0,x", "b_1,y")})
    with pytest.raises(ItlError, match=r"no column of test.csv called 'breed'; did you mean 'bred'\?"):
        open_source("lists", path, image="id", label="breed").records()


CAPTION = "first\nsecond\nthird\nfourth"


@pytest.mark.parametrize("caption", [f'"{CAPTION}"', "w" * 100_000, "w" * 30_000])
def test_long_rows_and_cells_of_several_lines_hide_no_list(tmp_path, caption):
    rows = [f"{split}_{number},{caption},{'xy'[number % 2]}" for split in "ab" for number in range(4)]
    files = IDS | {"train.csv": text("id,caption,label", *rows), "test.csv": of_split("c")}
    splits = [record.split for record in open_source("lists", written(tmp_path, files)).records()]
    assert (splits.count("train"), splits.count("test")) == (8, 4)


def test_long_json_lines_are_a_list(tmp_path):
    line = '{{"caption": "{0}", "id": "a_{1}", "label": "{1}"}}'
    lines = [line.format("w" * 70_000, number) for number in range(4)]
    assert len(open_source("lists", written(tmp_path, IDS | {"labels.jsonl": text(*lines)})).records()) == 4


@pytest.mark.parametrize(("gone", "is_offered"), [((0,), True), ((0, 2), False)])
def test_bad_skip_is_offered_only_where_train_keeps_every_class(tmp_path, gone, is_offered):
    lists = {"train.csv": of_split("a"), "test.csv": of_split("b")}
    path = written(tmp_path, IDS | lists)
    for number in gone:  # of class x
        (path / f"images/a_{number}.jpg").unlink()
    lines = check_lines("lists", path)
    assert [line for line in lines if line.startswith("problem")]
    assert any("bad=skip" in line for line in lines) == is_offered
    with pytest.raises(ItlError, match="no such image") as refused:
        open_source("lists", path).records()
    assert ("bad=skip" in str(refused.value)) == is_offered
    if is_offered:
        assert len(open_source("lists", path, bad="skip").records()) == 7
    else:
        with pytest.raises(ItlError, match="test has 1 class that train does not have, such as x"):
            open_source("lists", path, bad="skip").records()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test.jsonl", b'{"image": "4.jpg"}\n{"image": "5.jpg"\n', "test.jsonl, line 2: not valid JSON"),
        ("test.csv", b"image,breed\n4.jpg,tabby\n5.jpg\n", "test.csv, line 3: 1 value"),
        ("test.csv", b'image,breed\n4.jpg,tabby\n5.jpg,"collie\n', "test.csv cannot be read as ','-sep"),
    ],
)
def test_a_test_with_a_broken_line_is_not_taken_for_one_without_labels(tmp_path, name, content, message):
    files = images(*(f"{number}.jpg" for number in range(6)))
    files |= {"train.csv": b"image,label\n0.jpg,cat\n1.jpg,dog\n", name: content}
    with pytest.raises(ItlError, match=f"^{message}.*set as options train=train.csv"):
        open_source("lists", written(tmp_path, files)).records()


def test_a_list_of_splits_that_calls_images_of_train_test_is_not_passed_over(tmp_path):
    files = images(*(f"{number}.jpg" for number in range(6)))
    files |= {"labels.csv": b"image,label\n" + b"".join(b"%d.jpg,%d\n" % (n, n % 2) for n in range(5))}
    files |= {"val.txt": b"5.jpg 1\n", "all.csv": b"0.jpg,train\n1.jpg,train\n2.jpg,train\n3.jpg,test\n"}
    path = written(tmp_path, files)
    with pytest.raises(
        ItlError, match="all.csv says that '3.jpg' is of test, .* options train=labels.csv and val=val.txt"
    ):
        open_source("lists", path).records()
    records = open_source("lists", path, train="labels.csv", val="val.txt").records()
    assert [record.split for record in records].count("train") == 5, "as the message says"


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("train.csv", ["image, label", 'my 0.jpg, "sea, salt"', '"my 1.jpg", "dog"']),
        (
            "train.csv",
            ['"image", "label", "split"', '"my 0.jpg", "sea, salt", "train"', "my 1.jpg, dog, train"],
        ),
        ("train.csv", ['my 0.jpg, "sea, salt"', '"my 1.jpg", dog']),
        ("train.tsv", ["image\tlabel", "'my 0.jpg'\t \"sea, salt\"", "my 1.jpg\t'dog'"]),
        ("train.txt", ["my 0.jpg 'sea, salt'", '"my 1.jpg" "dog"']),
        ("train.txt", ['"my 0.jpg", "sea, salt"', "'my 1.jpg', 'dog'"]),
    ],
)
def test_quotes_around_a_cell_or_a_word_of_a_line_are_no_part_of_it(tmp_path, name, lines):
    path = written(tmp_path, images("im/my 0.jpg", "im/my 1.jpg") | {name: text(*lines)})
    classes = {record.id: record.wnid for record in open_source("lists", path).records()}
    assert classes == {"im/my 0.jpg": "sea, salt", "im/my 1.jpg": "dog"}


def test_quotes_inside_a_cell_are_text(tmp_path):
    lines = ["image,label,note", '0.jpg, "Big" Bird, "dog"', '1.jpg, "dog", a "1" here']
    path = written(tmp_path, images("0.jpg", "1.jpg") | {"train.csv": text(*lines)})
    assert [record.wnid for record in open_source("lists", path).records()] == ['"Big" Bird', "dog"]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("splits.csv", ["split, image", '"train", "my 0.jpg"', '"test", "my 1.jpg"']),
        ("test.txt", ['"my 1.jpg" "b"']),
    ],
)
def test_quotes_behind_a_blank_hide_no_division_of_class_folders(tmp_path, name, lines):
    files = images("a/my 0.jpg", "b/my 1.jpg") | {name: text(*lines)}
    with pytest.raises(ItlError, match=f"{name} divides the images"):
        open_source("folder", written(tmp_path, files)).records()


def test_several_quoted_words_or_numbers_are_no_one_label(tmp_path):
    for line in ('0.jpg,"a","b"', '0.jpg "1 2"'):
        with pytest.raises(ItlError, match="train.txt, line 1: .* (may be more than|are several numbers)"):
            open_source("lists", written(tmp_path, images("0.jpg") | {"train.txt": text(line)})).records()


@pytest.mark.parametrize("sign", ["\u200b", "\ufeff", "\u2060", "\u00ad"])
@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("train.csv", ["image,label", "a_0.jpg,x", "a_1.jpg,{}"]),
        ("train.csv", ["a_0.jpg,x", "a_1.jpg,{}"]),
        ("train.txt", ["a_0.jpg x", "a_1.jpg {}"]),
        ("train.jsonl", ['{{"image": "a_0.jpg", "label": "x"}}', '{{"image": "a_1.jpg", "label": "{}"}}']),
    ],
)
def test_signs_that_nobody_sees_are_no_label_and_no_part_of_one(tmp_path, name, lines, sign):
    test = {"test.csv": of_split("b", "image,label", "b_0.jpg,x", "b_1.jpg,x")}
    marked = [line.format(f"{sign}x{sign}") for line in lines]
    path = written(tmp_path / "part", IDS | test | {name: text(*marked)})
    assert {record.wnid for record in open_source("lists", path).records()} == {"x"}
    alone = [line.format(sign) for line in lines]
    path = written(tmp_path / "alone", IDS | test | {name: text(*alone)})
    with pytest.raises(ItlError, match=rf"{name}, line \d: 'a_1.jpg' has no label; write `IMAGE LABEL`"):
        open_source("lists", path).records()
