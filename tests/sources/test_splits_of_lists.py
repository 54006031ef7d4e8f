"""Lists whose images or columns say the splits, and labels that are more than one class."""

import json
import re

import pytest

from itl import ItlError
from itl.sources.registry import open_source
from tests.annotated import check_lines, jpeg, written

IN_SPLITS = dict.fromkeys(("train/1.jpg", "train/2.jpg", "test/3.jpg", "test/4.jpg"), jpeg())
BY_FOLDER = b"file_name,label\ntrain/1.jpg,a\ntrain/2.jpg,b\ntest/3.jpg,a\n4.jpg,b\n"


def splits(path, **options) -> dict[str, str]:
    return {record.id: record.split for record in open_source("lists", path, **options).records()}


def table(column: str, *cells: str) -> bytes:
    """Return a list of the first images of `IN_SPLITS` with a further *column*."""
    rows = [f"{image},a,{cell}" for image, cell in zip(IN_SPLITS, cells, strict=False)]
    return "\n".join([f"file,label,{column}", *rows]).encode()


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
            "has a column is_valid with 'True', which",
        ),
        ("all.csv", b"file,label,is_valid\ntrain/1.jpg,a,x\n", "has a column is_valid with 'x', which is no"),
        (
            "all.csv",
            b"file,label,train\ntrain/1.jpg,a,1\ntrain/2.jpg,a,0\n",
            "a column train with '0', which",
        ),
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
        (
            "all.csv",
            table("subset", "train", "test", "extra"),
            "column subset with 'extra', which is no split",
        ),
        ("all.csv", table("phase", "train", "eval"), "phase with 'eval', .* or leave phase out"),
        ("all.csv", table("kind", "train", "held-out", "holdout"), "kind with 'held-out', which is no split"),
        ("all.csv", table("usage", "Training", "PublicTest"), "usage with 'PublicTest', which is no split"),
        ("all.csv", table("partition", "0", "1"), "column partition with '0', which is no split"),
        ("all.csv", table("is_training_image", "0", "1"), "column is_training_image with '0', which"),
        ("all.csv", table("holdout", "0", "1"), "has a column holdout with '0', which is no split"),
        ("all.csv", table("is_query", "no", "yes"), "has a column is_query with 'no', which is no split"),
        (
            "all.csv",
            table("status", "train", "query", "gallery"),
            "status with '(query|gallery)', which is no",
        ),
        ("all.csv", table("split_id", "0", "1", "2"), "column split_id with '0', which is no split"),
        ("all.csv", table("train_val", "t", "v", "t"), "column train_val with 't', which is no split"),
        ("all.csv", table("set", "trn", "tst"), "column set with 'trn', which is no split"),
        ("all.csv", table("set", "left", "right"), "column set with 'left', which is no split"),
        ("all.csv", table("phase", "tr", "te"), "column phase with 'te', which is no split"),
        ("all.csv", table("mode", "tr", "Va", "te"), "column mode with '(tr|Va|te)', which is no split"),
        ("all.csv", table("dataset", "trn", "test"), "column dataset with 'trn', which is no split"),
        ("all.csv", table("stage", "T", "V"), "column stage with 'T', which is no split"),
        ("all.csv", table("test_fold", "t", "v"), "column test_fold with 't', which is no split"),
        ("all.csv", table("test_fold", "trn", "test"), "column test_fold with 'trn', which is no split"),
        ("all.csv", table("partition", "0", "1", "2", "3"), "column partition with '0', which is no split"),
        ("all.csv", table("is_train", *"0123"), "column is_train with '0', which is no split"),
        ("all.csv", table("Usage", "Public", "Private"), "column Usage with 'Private', which is no split"),
        ("all.csv", table("split", "train", "test", ""), "column split with empty cells, which is no split"),
        (
            "all.csv",
            table("dataset", "train", "test", ""),
            "column dataset with empty cells, which is no spl",
        ),
        ("all.csv", table("imset", "train_1", "test_1"), "column imset with 'test_1', which is no split"),
        (
            "all.csv",
            table("origin", "ISIC train", "ISIC test"),
            "column origin with 'ISIC test', which is no",
        ),
        ("all.csv", table("held_out", "True", "False"), "has a column held_out with 'False', which is no"),
        ("all.csv", table("hold-out", "1", "0"), "has a column hold-out with '0', which is no split"),
        ("all.csv", table("splits", "0", "1"), "column splits with '0', which is no split"),
        ("all.csv", table("set_id", "1", "2", "3"), "column set_id with '1', which is no split"),
        ("all.csv", table("use", "TRAIN", "UNASSIGNED"), "column use with 'UNASSIGNED', which is no split"),
        ("all.csv", table("phase", "test", ""), "column phase with empty cells, which is no split"),
        (
            "all.jsonl",
            b'{"image": "1.jpg", "label": "a"}\n{"image": "2.jpg", "label": "a", "split": "test"}\n',
            "column split with empty cells",
        ),
        (
            "train.csv",
            b"file,label\ntrain/1.jpg,['a']\n",
            r"line 2: .\['a'\]. is a list of labels, but an im",
        ),
        ("train.csv", b'file,label\ntrain/1.jpg,"[0, 1]"\n', r"line 2: '\[0, 1\]' is a list of labels"),
        (
            "all.csv",
            table("Confidence", "1", "0", "1"),
            "line 3: Confidence 0 says that the image is not of this label; remove such lines, here ",
        ),
        ("train.csv", b"file,label\ntrain/1.jpg,NaN\n", "line 2: file is 'train/1.jpg' and label is 'NaN'"),
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
    assert read("imset", "Training set", "test-set") == {"train", "test"}
    assert read("origin", "trainset", "validation data") == {"train", "val"}
    others = (
        ("source", "train", "web"),
        ("quality", "valid", "valid"),
        ("valid", "0", "1"),
        ("made", "1", "0"),
        ("fold", "0", "1"),
        ("split", "", ""),
        ("site", "t", "v"),
        ("state", "va", "va"),
        ("language", "tr", "de"),
        ("test_kind", "t", "v"),
        ("set", "t", "t"),
        ("used", "1", "0"),
        ("caption", "a train at night", "a test tube and a train"),
    )
    for cells in others:
        assert read(*cells) == {"train"}, "by the folder"


def test_two_or_three_numbers_may_be_splits_and_four_are_groups(tmp_path):
    images = {f"train/{number}.jpg": jpeg() for number in range(4)}
    rows = "".join(f"train/{number}.jpg,a,{number}\n" for number in range(4))
    path = written(tmp_path, images | {"all.csv": f"file,label,split_group\n{rows}".encode()})
    assert set(splits(path, train="all.csv").values()) == {"train"}
    (path / "all.csv").write_text((path / "all.csv").read_text().replace("a,3", "a,2"))
    with pytest.raises(ItlError, match="column split_group with '0', which is no split"):
        splits(path, train="all.csv")


def test_rows_that_end_with_a_comma_have_no_other_value(tmp_path):
    path = written(tmp_path, IN_SPLITS | {"train.csv": b"train/1.jpg,a,\ntrain/2.jpg,b,\n"})
    assert splits(path) == {"train/1.jpg": "train", "train/2.jpg": "train"}


def test_a_column_of_flags_is_passed_over_beside_one_of_splits(tmp_path):
    table = b"file,label,is_valid,split\ntrain/1.jpg,a,True,val\ntrain/2.jpg,a,False,train\n"
    assert set(splits(written(tmp_path, IN_SPLITS | {"all.csv": table})).values()) == {"train", "val"}


@pytest.mark.parametrize(
    ("train", "test"),
    [("train_images", "test_images"), ("training_set", "test_set"), ("trainImages", "testImages")],
)
def test_folders_whose_names_have_a_split_among_their_words_divide_as_those_of_splits(tmp_path, train, test):
    def divided(name: str, content: bytes, *images: str) -> dict[str, str]:
        return splits(written(tmp_path / name, dict.fromkeys(images, jpeg()) | {name: content}))

    images = f"{train}/1.jpg", f"{test}/2.jpg"
    listed = f"file,label\n{images[0]},a\n{images[1]},a\n".encode()
    assert divided("all.csv", listed, *images) == dict(zip(images, ("train", "test"), strict=True))
    with pytest.raises(ItlError, match=f"lists '{train}/1.jpg', which is not there, though {test}/1.jpg is"):
        divided("train.csv", f"file,label\n{images[0]},a\n".encode(), f"{test}/1.jpg")


def test_folders_that_are_named_like_splits_with_other_words_are_refused(tmp_path):
    files = dict.fromkeys(("cars_train/1.jpg", "cars_test/2.jpg"), jpeg())
    listed = b"file,label\ncars_train/1.jpg,a\ncars_test/2.jpg,a\n"
    path = written(tmp_path, files | {"all.csv": listed})
    with pytest.raises(ItlError, match="like splits, as cars_test and cars_train; write a column split, or"):
        splits(path)
    assert splits(path, train="all.csv") == {"cars_train/1.jpg": "train", "cars_test/2.jpg": "train"}


IN_BOTH = {f"{split}/{number}.png": jpeg() for split in ("train", "test") for number in range(3)}
ONLY_TEST = {image: data for image, data in IN_BOTH.items() if image.startswith("test")}
BY_ID = b"id,label\n0,cat\n1,dog\n2,cat\n"


@pytest.mark.parametrize("name", ["trainLabels.csv", "train.csv"])
def test_an_id_is_never_an_image_of_another_split_that_has_the_same_names(tmp_path, name):
    files = IN_BOTH | {name: BY_ID}
    assert splits(written(tmp_path / "whole", files)) == {
        image: "train" for image in IN_BOTH if image.startswith("train")
    }
    for missing in ("train/0.png", "train/2.png"):  # the first, and the last
        left = {file: data for file, data in files.items() if file != missing}
        stem = missing[6]
        with pytest.raises(ItlError, match=f"lists '{stem}', but of that name there is only test/{stem}.png"):
            splits(written(tmp_path / stem, left))


@pytest.mark.parametrize("entries", ["0 1 2", "1.png", "data/1.png"])
@pytest.mark.parametrize("missing", ["", "train/0.png", "test/2.png"])
def test_a_list_of_no_split_is_refused_where_folders_of_several_have_an_image_of_it(
    tmp_path, entries, missing
):
    rows = "".join(f"{entry},x\n" for entry in entries.split())
    files = {image: data for image, data in IN_BOTH.items() if image != missing}
    path = written(tmp_path, files | {"labels.csv": f"id,label\n{rows}".encode()})
    says = (
        "^labels.csv names no split, and '.*' could be any of test/(.).png, train/(.).png; write a column "
        "split, or set the option train=labels.csv to take all as train$"
    )
    with pytest.raises(ItlError, match=says):
        splits(path)
    if missing != "train/0.png":
        assert set(splits(path, train="labels.csv").values()) == {"train"}


def test_a_list_of_train_is_not_read_from_a_folder_of_test_alone(tmp_path):
    with pytest.raises(
        ItlError, match=r"'0', but of that name there is only test/0\.png, .* of another split"
    ):
        splits(written(tmp_path / "ids", ONLY_TEST | {"trainLabels.csv": BY_ID}))
    told = BY_ID.replace(b"\n", b"\ntest/").rpartition(b"test/")[0]
    assert set(splits(written(tmp_path / "told", ONLY_TEST | {"train.csv": told})).values()) == {"train"}
    assert set(splits(written(tmp_path / "none", ONLY_TEST | {"labels.csv": BY_ID})).values()) == {"test"}


def test_a_column_of_images_goes_before_one_of_ids(tmp_path):
    rows = b"id,photo,label\n0,b.png,cat\n1,a.png,dog\n"
    images = dict.fromkeys(("0.png", "1.png", "a.png", "b.png"), jpeg())
    records = open_source("lists", written(tmp_path, images | {"train.csv": rows})).records()
    assert {record.id: record.wnid for record in records} == {"a.png": "dog", "b.png": "cat"}


def test_words_of_splits_end_where_another_script_begins(tmp_path):
    images = dict.fromkeys(("a.jpg", "b.jpg"), jpeg())
    lists = {"train标签.txt": b"a.jpg x\n", "test标签.txt": b"b.jpg x\n"}
    assert splits(written(tmp_path, images | lists)) == {"a.jpg": "train", "b.jpg": "test"}


def test_a_list_of_no_split_is_divided_by_folders_whose_images_have_other_names(tmp_path):
    by_class = dict.fromkeys(("train/a/1.jpg", "test/b/1.jpg"), jpeg())
    path = written(tmp_path, by_class | {"all.csv": b"image,label\na/1.jpg,a\nb/1.jpg,a\n"})
    assert splits(path) == {"train/a/1.jpg": "train", "test/b/1.jpg": "test"}


def test_a_label_of_several_classes_is_noted(tmp_path):
    def notes(*labels: str) -> list[str]:
        rows = (f"{image},{label}\n" for image, label in zip(IN_SPLITS, labels, strict=True))
        path = written(tmp_path, IN_SPLITS | {"train.csv": f"image,label\n{''.join(rows)}".encode()})
        return [line for line in check_lines("lists", path) if "together" in line]

    joined = "note: 1 label is others together, such as '{}'; it is read as a class of its own"
    assert notes("cat", "dog", "cat|dog", "fox") == [joined.format("cat|dog")]
    assert notes("sea lion", "cat", "cat; sea lion", "fox") == [joined.format("cat; sea lion")]
    assert notes("cat", "dog", "cat dog", "big cat") == [joined.format("cat dog")]
    assert notes("cat", "dog", "cat dog", "dog + cat") == [
        "note: 2 labels are others together, such as 'cat dog', 'dog + cat'; each is read as a class of its "
        "own"
    ]


def test_nan_in_lines_of_text_is_noted(tmp_path):
    lines = "".join(f"{image} {label}\n" for image, label in zip(IN_SPLITS, "abcd", strict=True))
    path = written(tmp_path, IN_SPLITS | {"train.txt": lines.replace(" d", " nan").encode()})
    note = "note: 'nan' is read as a class; leave images without a label out of the list"
    assert note in list(check_lines("lists", path))


def test_labels_that_share_parts_and_words_for_no_label_are_noted(tmp_path):
    def notes(*labels: str) -> list[str]:
        rows = (f"{image},{label}\n" for image, label in zip(IN_SPLITS, labels, strict=True))
        path = written(tmp_path, IN_SPLITS | {"train.csv": f"image,label\n{''.join(rows)}".encode()})
        return [line for line in check_lines("lists", path) if re.search("read as (a class|classes)", line)]

    shared = "note: 2 labels have parts of others, such as 'a|b', 'b|c'; each is read as a class of its own"
    assert notes("a|b", "b|c", "d|e", "f") == [shared]
    assert notes("a|b", "c|d", "[other]", "none at all") == []
    missing = "note: 'NA', 'None' are read as classes; leave images without a label out of the list"
    assert notes("None", "NA", "cat", "dog") == [missing]


UNDIVIDED = dict.fromkeys(("img/1.jpg", "img/2.jpg"), jpeg()) | {
    "labels.csv": b"image,label\n1.jpg,a\n2.jpg,a\n"
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("split.csv", b"image,split\n1.jpg,train\n2.jpg,test\n"),
        ("division.jsonl", b'{"id": "1", "part": "train"}\n{"id": "2", "part": "val"}\n'),
        ("test.txt", b"2.jpg\n"),
        ("test_ids.csv", b"id\n2\n"),
        ("images.txt", b"1 train\n2 test\n"),
    ],
)
def test_a_division_in_another_file_than_the_labels_is_refused(tmp_path, name, content):
    message = f"{name} divides images, but their labels are in another list, which would all be train"
    with pytest.raises(ItlError, match=message):
        open_source("lists", written(tmp_path, UNDIVIDED | {name: content})).records()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cameras.csv", b"image,camera\n1.jpg,left\n2.jpg,right\n"),
        ("train.txt", b"1.jpg\n2.jpg\n"),
        ("test.txt", b"7.jpg\n8.jpg\n"),
    ],
)
def test_other_files_beside_the_labels_divide_nothing(tmp_path, name, content):
    path = written(tmp_path, UNDIVIDED | {name: content})
    assert splits(path) == {"img/1.jpg": "train", "img/2.jpg": "train"}


@pytest.mark.parametrize("missing", range(3))
def test_an_image_that_is_only_in_another_folder_decides_nothing_for_the_others(tmp_path, missing):
    """Whichever line it is on: the first one chose the folder of all, here that of masks."""
    images = [f"images/{number}.jpg" for number in range(3) if number != missing]
    masks = [f"masks/{number}.jpg" for number in range(3)]
    listed = b"image,label\n0.jpg,a\n1.jpg,a\n2.jpg,a\n"
    path = written(tmp_path, dict.fromkeys(images + masks, jpeg()) | {"train.csv": listed})
    with pytest.raises(ItlError, match=r"could be any of images/\d.jpg, masks/\d.jpg; write its folder too"):
        open_source("lists", path).records()


def test_a_list_of_val_that_is_a_part_of_the_folder_of_train_is_named_by_an_option(tmp_path):
    images = {f"train/{number}.png": jpeg() for number in range(3)} | {"test/0.png": jpeg()}
    lists = {"train.csv": b"image,label\n0.png,x\n", "val.csv": b"image,label\n1.png,x\n2.png,x\n"}
    path = written(tmp_path, images | lists)
    expected = {"train/0.png": "train", "train/1.png": "val", "train/2.png": "val"}
    says = (
        "lists '1.png', but of that name there is only train/1.png, in a folder of another split; copy .*, "
    )
    with pytest.raises(ItlError, match=f"{says}write its folder too, or name each list by an option"):
        splits(path)
    assert splits(path, train="train.csv", val="val.csv") == expected
    note = "val.csv: 2 images are in a folder of another split, such as train/1.png; they are val images, as"
    lines = check_lines("lists", path, train="train.csv", val="val.csv")
    assert any(line.startswith(f"note: {note}") for line in lines)
    written(path, {"val.csv": b"image,label\ntrain/1.png,x\ntrain/2.png,x\n"})
    assert splits(path) == expected


def test_an_option_says_that_images_of_another_folder_are_meant(tmp_path):
    path = written(tmp_path, ONLY_TEST | {"trainLabels.csv": BY_ID})
    assert set(splits(path, train="trainLabels.csv").values()) == {"train"}


@pytest.mark.parametrize(
    "name",
    [
        *("test/sample_submission.csv", "sampleSubmission.csv", "sample_submission_test.csv"),
        *("test_predictions.csv", "test_prediction.csv", "predicted_test.csv", "preds.csv"),
    ],
)
def test_labels_that_a_submission_or_a_model_made_up_are_no_truth(tmp_path, name):
    made_up, truth = (
        b"file,label\ntest/3.jpg,a\ntest/4.jpg,a\n",
        b"file,label\ntrain/1.jpg,a\ntrain/2.jpg,b\n",
    )
    path = written(tmp_path, IN_SPLITS | {"train.csv": truth, name: made_up})
    assert splits(path) == {"train/1.jpg": "train", "train/2.jpg": "train"}
    assert f"note: not read: {name}, by its name a submission or predictions" in "\n".join(
        check_lines("lists", path)
    )
    assert set(splits(path, train="train.csv", test=name).values()) == {"train", "test"}, "as options say"
    (path / "train.csv").unlink()
    with pytest.raises(ItlError, match=f"no list of images .*{name}, by its name a submission"):
        splits(path)


@pytest.mark.parametrize("names", [("age_prediction_{}.csv", "train", "test"), ("age_prediction.csv",)])
def test_lists_of_a_task_of_prediction_are_read(tmp_path, names):
    pattern, *parts = names
    rows = {"train": b"train/1.jpg,a\n", "test": b"test/3.jpg,a\n"}
    files = {pattern.format(part): b"file,label\n" + rows[part] for part in parts}
    files = files or {pattern: b"file,label\n" + b"".join(rows.values())}
    notice = {"submission_format.txt": b"write an image and its label"}
    path = written(tmp_path, IN_SPLITS | files | notice)
    assert splits(path) == {"train/1.jpg": "train", "test/3.jpg": "test"}
    assert not any("not read" in line for line in check_lines("lists", path))


ONE_HOT = (
    "image,MEL,NV,UNK\ntrain/1.jpg,{1},{0},{0}\ntrain/2.jpg,{0},{1},{0}\n"
    "test/3.jpg,{0},{1},{0}\ntest/4.jpg,{1},{0},{0}\n"
)


@pytest.mark.parametrize(("no", "yes"), [("0.0", "1.0"), ("0", "1"), ("False", "True")])
def test_a_column_for_each_class_is_no_label(tmp_path, no, yes):
    path = written(tmp_path, IN_SPLITS | {"all.csv": ONE_HOT.format(no, yes).encode()})
    cure = "has a column of 0 and 1 for each class, MEL, NV, UNK; write one column label with the name"
    for options in ({}, {"train": "all.csv"}, {"label": "MEL"}):
        with pytest.raises(ItlError, match=cure):
            splits(path, **options)


def test_a_flag_beside_others_may_be_chosen_as_the_label(tmp_path):
    several = ONE_HOT.replace("{1},{0},{0}\n", "{1},{1},{0}\n").format("0.0", "1.0").encode()
    path = written(tmp_path, IN_SPLITS | {"all.csv": several})
    assert set(splits(path, label="MEL").values()) == {"train", "test"}
    two = ONE_HOT.replace("UNK", "age").replace(",{0}\n", ",7\n").format("0.0", "1.0").encode()
    note = "note: all.csv: columns that are not read: NV, {}"
    assert note.format("UNK") in check_lines("lists", path, label="MEL")
    (path / "all.csv").write_bytes(two)
    assert note.format("age") in check_lines("lists", path, label="MEL"), "of two classes"
    usual = b"image,label,blurred\ntrain/1.jpg,0,1\ntrain/2.jpg,1,0\ntest/3.jpg,1,0\ntest/4.jpg,0,1\n"
    assert set(splits(written(tmp_path, {"all.csv": usual})).values()) == {"train", "test"}


@pytest.mark.parametrize(
    "rows",
    [
        ["1,0,0"] * 6 + ["0,0,0"] * 2,
        ["1,0,0"] * 6 + ["1,0,1"],
        ["0,0,0"] * 3 + ["1,0,0", "0,1,1", "1,1,1", "0,1,0"],
    ],
)
def test_columns_of_classes_of_which_not_one_is_1_in_each_line_are_refused(tmp_path, rows):
    """No matter how the first lines look, nor that a column has splits."""
    lines = [f"{number}.jpg,{row}" for number, row in enumerate(rows)]
    images = {f"images/{number}.jpg": jpeg() for number in range(len(rows))}
    table = "\n".join(["image,person,car,dog", *lines, ""])
    divided = "\n".join(["image,person,car,dog,split", *(f"{line},train" for line in lines), ""])
    objects = [dict(zip(("image", "person", "car", "dog"), line.split(","), strict=True)) for line in lines]
    jsonl = "".join(f"{json.dumps(one)}\n" for one in objects)
    for name, text in (("train.csv", table), ("all.csv", divided), ("train.jsonl", jsonl)):
        path = written(tmp_path / name, images | {name: text.encode()})
        for options in ({}, {"train": name}):
            with pytest.raises(ItlError) as caught:
                splits(path, **options)
            assert (
                f"{name} has a column of 0 and 1 for each class, person, car, dog; write one column label "
                f"with the name of the one that is 1 (pandas: table[columns].idxmax(axis=1)), and leave out "
                f"images of none or several, or give all classes of an image as boxes in COCO-style JSON "
                f"(source coco), for tasks actions@ or detection@"
            ) in str(caught.value)
    path = written(tmp_path / "kinds", images | {"train.csv": table.replace(",dog", ",age").encode()})
    assert set(splits(path, label="person").values()) == {"train"}
    other = "\n".join(["image,person,car,dog,kind", *(f"{line},cat" for line in lines), ""])
    with pytest.raises(
        ItlError, match="no column of the label with a usual name, such as label; it has image"
    ):
        splits(written(tmp_path / "other", images | {"train.csv": other.encode()}))
