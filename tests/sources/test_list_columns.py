"""Forms of lists and tables that people have: their columns, line ends and numbers, and what is no list."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from itl import ItlError
from itl.sources.listed.image_lists import read_list_file
from itl.sources.listed.list_tables import has_no_labels
from itl.sources.listed.numbered_classes import lists_names_alone, read_names
from itl.sources.registry import open_source
from tests.annotated import check_lines, jpeg, text, written

FLAT = dict.fromkeys(("images/0.jpg", "images/1.jpg", "images/2.jpg"), jpeg())
ROWS = [("0.jpg", "cat"), ("1.jpg", "dog"), ("2.jpg", "cat")]
IN_CLASSES = dict.fromkeys(("cat/0.jpg", "cat/1.jpg", "dog/2.jpg", "dog/3.jpg"), jpeg())
NUMBERS = text("0.jpg 0", "1.jpg 1", "2.jpg 2")
OF_GTSRB = {
    f"Images/{label:05}/GT-{label:05}.csv": f"Filename;Label\n0.jpg;{label}\n1.jpg;{label}\n".encode()
    for label in range(2)
}
PIXELS = "PIL.Image.fromarray(numpy.array(PIXELS, 'uint8').reshape(HEIGHT, WIDTH)).save(FILE)"


def classes(path, **options) -> dict[str, str]:
    """Return the class of each image of the lists at *path*."""
    return {record.id: record.wnid for record in open_source("lists", path, **options).records()}


def refusal(kind: str, path, **options) -> str:
    """Return why the source *kind* at *path* is refused."""
    with pytest.raises(ItlError) as error:
        open_source(kind, path, **options).records()
    return str(error.value)


def table(*columns: str, end: str = "\n") -> bytes:
    """Return a CSV of `ROWS` with *columns* of images and labels."""
    return end.join([",".join(columns), *map(",".join, ROWS), ""]).encode()


@pytest.mark.parametrize("name", ["list_eval_partition.txt", "lists/splits.txt", "train_test_split.txt"])
def test_numbers_in_a_list_that_is_named_after_splits_are_codes(tmp_path, name):
    path = written(tmp_path, FLAT | {name: NUMBERS})
    assert f"{name} is by its name a list of splits, and 0, 1, 2 may be their codes" in refusal("lists", path)
    other = written(tmp_path / "b", FLAT | {name: NUMBERS, "identity.txt": NUMBERS})
    assert f"{name} divides images, but their labels are in another list" in refusal("lists", other)


@pytest.mark.parametrize(
    "lists",
    [
        {"identity.txt": NUMBERS},
        {"train_split.txt": NUMBERS},
        {"splits.csv": b"image,label\n" + NUMBERS.replace(b" ", b",")},
        {"partition.txt": text("0.jpg 0", "1.jpg 0", "2.jpg a")},
        {"splits.txt": text("0.jpg 4", "1.jpg 5", "2.jpg 4")},
        {"train_val_list.txt": NUMBERS},
        {"train_val_list.txt": text("0.jpg 0", "1.jpg 1"), "test_list.txt": text("2.jpg 0")},
        {"train_valid.csv": text("0.jpg,0", "1.jpg,1"), "test.csv": text("2.jpg,0")},
        {"class_split.txt": text("cat 0", "dog 1"), "train.txt": NUMBERS},
    ],
)
def test_numbers_in_other_lists_are_labels(tmp_path, lists):
    assert len(classes(written(tmp_path, FLAT | lists))) == 3


@pytest.mark.parametrize("name", ["data_split.txt", "my_split.csv"])
def test_a_list_of_codes_is_refused_whatever_else_is_read(tmp_path, name):
    codes = text("0.jpg 0", "1.jpg 1").replace(b" ", b"," if name.endswith("csv") else b" ")
    path = written(tmp_path, FLAT | {name: codes, "test.txt": text("2.jpg 0")})
    message = refusal("lists", path)
    assert f"{name} is by its name a list of splits" in message
    option = f"train={name}"
    assert f"name the list with an option, such as {option}" in message
    assert len(classes(path, train=name, test="test.txt")) == 3, "as the message says"


def test_all_lines_say_whether_numbers_are_codes(tmp_path):
    images = {f"{number}.jpg": jpeg() for number in range(60)}
    lines = text(*(f"{number}.jpg {number // 2 % 10}" for number in range(60)))
    assert len(set(classes(written(tmp_path, images | {"split_1.txt": lines})).values())) == 10


@pytest.mark.parametrize(
    ("lines", "are_classes"),
    [
        (text("cat/0.jpg 0", "cat/1.jpg 0", "dog/2.jpg 1", "dog/3.jpg 1"), True),
        (text("0.jpg,0", "1.jpg,0", "2.jpg,1", "3.jpg,1"), True),
        (text("cat/0.jpg 0", "cat/1.jpg 1", "dog/2.jpg 0", "dog/3.jpg 1"), False),
        (text("cat/0.jpg 0", "cow/1.jpg 0", "dog/2.jpg 1", "dog/3.jpg 1"), False),
    ],
)
def test_numbers_of_class_folders_divide_nothing(tmp_path, lines, are_classes):
    path = written(tmp_path, IN_CLASSES | {"split.txt": lines})
    if are_classes:
        assert len(open_source("folder", path).records()) == 4
    else:
        assert "split.txt divides the images" in refusal("folder", path)


@pytest.mark.parametrize(
    ("label", "left_out"), [("-1.0", ["images of test that test.csv does not label (-1)"]), ("0.0", [])]
)
def test_unlabelled_images_may_be_a_whole_float(tmp_path, label, left_out):
    train = text("image,label", "0.jpg,0.0", "1.jpg,1.0")
    test = text("image,label", f"2.jpg,{label}")
    source = open_source("lists", written(tmp_path, FLAT | {"train.csv": train, "test.csv": test}))
    assert {record.wnid for record in source.records()} == {"0", "1"}
    assert list(source.left_out) == left_out


@pytest.mark.parametrize(
    ("name", "header", "row"),
    [
        ("list_eval_partition.csv", "image_id,partition\n", "{}.jpg,{}\n"),
        ("partition.txt", "", "{}.jpg {}\n"),
    ],
)
def test_codes_that_begin_behind_many_of_train_are_seen(tmp_path, name, header, row):
    count = 500
    images = {f"{number}.jpg": jpeg() for number in range(count)}
    labels = "".join(f"{number}.jpg {'ab'[number % 2]}\n" for number in range(count))
    codes = header + "".join(row.format(number, int(number > count - 4)) for number in range(count))
    path = written(tmp_path, images | {"labels.txt": labels.encode(), name: codes.encode()})
    assert f"{name} divides images, but their labels are in another list" in refusal("lists", path)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["0.0", "1.0", "0.0"], ["tom", "rex", "tom"]),
        (["0", "1", "0"], ["tom", "rex", "tom"]),
        (["0.0", "1.5", "0.0"], ["0.0", "1.5", "0.0"]),
        (["0.0", "1", "0.0"], ["0.0", "1", "0.0"]),
    ],
)
def test_whole_numbers_that_pandas_wrote_with_a_point_are_numbers(tmp_path, labels, expected):
    rows = "".join(f"{number}.jpg,{label}\n" for number, label in enumerate(labels))
    path = written(
        tmp_path, FLAT | {"train.csv": f"image,label\n{rows}".encode(), "classes.txt": b"tom\nrex"}
    )
    assert list(classes(path).values()) == expected


def test_lists_of_class_folders_point_to_the_folders(tmp_path):
    images = {f"Images/{label:05}/{number}.jpg": jpeg() for label in range(2) for number in range(2)}
    path = written(tmp_path, images | OF_GTSRB)
    assert f"the source folder reads these: `itl check folder {path}`" in refusal("lists", path)
    records = open_source("folder", path).records()
    read = {f"Images/{record.id}": record.wnid for record in records}
    assert read == {image: image.split("/")[1] for image in images}


@pytest.mark.parametrize(
    "other", [text("Filename;Label", "0.jpg;1", "1.jpg;1"), text("Filename;Label", "0.jpg;1", "1.jpg;0")]
)
def test_lists_of_folders_that_are_no_classes_are_to_be_chosen(tmp_path, other):
    images = {f"Images/{label:05}/{number}.jpg": jpeg() for label in range(2) for number in range(2)}
    path = written(tmp_path, images | OF_GTSRB | {"Images/00000/GT-00000.csv": other})
    assert "2 lists for train" in refusal("lists", path)


def test_lists_of_class_folders_beside_one_of_test_are_to_be_joined(tmp_path):
    files = {f"train/{label}/{number}.jpg": jpeg() for label in ("cat", "dog") for number in range(2)}
    files |= {
        f"train/{label}/list.csv": text("filename,label", f"0.jpg,{label}", f"1.jpg,{label}")
        for label in ("cat", "dog")
    }
    path = written(
        tmp_path, files | {"test/9.jpg": jpeg(), "test/list.csv": text("filename,label", "9.jpg,cat")}
    )
    message = refusal("lists", path)
    assert "2 lists for train" in message
    way = "join them to one FILE, with the folders of its images, and set --option train=FILE --option test="
    assert message.endswith(f"each is of one class: {way}test/list.csv")
    rows = [f"train/{label}/{number}.jpg,{label}" for label in ("cat", "dog") for number in range(2)]
    written(path, {"all.csv": text("filename,label", *rows)})
    records = open_source("lists", path, train="all.csv", test="test/list.csv").records()
    assert [(record.id, record.split, record.wnid) for record in records] == [
        ("test/9.jpg", "test", "cat"),
        *((row.partition(",")[0], "train", row.rpartition(",")[2]) for row in rows),
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.jsonl", b'{"file_name": "cat/0.jpg", "license": "CC"}\n'),
        ("metadata.jsonl", b'{"file_name": "cat/0.jpg", "license": "CC"}'),
        ("metadata.csv", b"file_name,license\ncat/0.jpg,CC\ncat/1.jpg,BY\n"),
    ],
)
def test_metadata_without_labels_beside_class_folders_is_no_list(tmp_path, name, content):
    path = written(tmp_path, IN_CLASSES | {name: content})
    assert {record.wnid for record in open_source("folder", path).records()} == {"cat", "dog"}
    assert any("left out: 1 other file" in line for line in check_lines("folder", path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.jsonl", b'{"file_name": "cat/0.jpg", "label": "tom"}\n'),
        ("metadata.csv", b"file_name,class_id\ncat/0.jpg,3\n"),
        ("metadata.csv", b"file_name,diagnosis\ncat/0.jpg,benign\n"),
        ("metadata.jsonl", b'{"file_name": "cat/0.jpg"}\n{"file_name": "cat/1.jpg", "breed": "tabby"}\n'),
        ("metadata.csv", b"file_name,MEL,NV\ncat/0.jpg,0,1\n"),
        ("metadata.csv", "file_name,license\ncat/0.jpg,CC\n".encode("utf-16")),
        ("metadata.csv", b"file_name,is_test\ncat/0.jpg,0\n"),
        ("metadata.csv", b"file_name,split\ncat/0.jpg,train\n"),
        ("metadata.csv", b"file_name,use\ncat/0.jpg,train\ncat/1.jpg,test\n"),
        ("metadata.csv", b"cat/0.jpg,tom\n"),
        ("metadata.csv", b""),
        ("metadata.jsonl", b"not JSON\n"),
    ],
)
def test_metadata_that_may_label_or_divide_is_a_list(tmp_path, name, content):
    assert not has_no_labels(content, name)
    path = written(tmp_path, IN_CLASSES | {name: content})
    assert f"{name} is a file of the source lists" in refusal("folder", path)


@pytest.mark.parametrize(
    ("name", "content", "shown"),
    [
        ("fer2013.csv", b"emotion,pixels\n0,1 2 3 4\n", "pixels"),
        ("train.csv", b"label,pixel0,pixel1,pixel2,pixel3\n0,1,2,3,4\n", "pixel0, pixel1, pixel2 …"),
        ("train.csv", b"label,1x1,1x2,2x1,2x2\n0,1,2,3,4\n", "1x1, 1x2, 2x1 …"),
    ],
)
def test_a_table_of_pixels_is_told_from_a_list(tmp_path, name, content, shown):
    message = refusal("lists", written(tmp_path, {name: content}))
    assert f"{name} holds pixels ({shown}) instead of names of images" in message
    assert PIXELS in message
    assert "choose it with the option image=COLUMN" in message
    image = Image.fromarray(np.array(["1", "2", "3", "4"], "uint8").reshape(2, 2))
    assert list(image.tobytes()) == [1, 2, 3, 4], "as the message says"


@pytest.mark.parametrize("columns", ["fname,pixels,label", "fname,224x224,448x448,label"])
def test_a_count_of_pixels_beside_images_is_no_table_of_pixels(tmp_path, columns):
    row = "0.jpg," + "1," * (columns.count(",") - 1) + "cat"
    message = refusal("lists", written(tmp_path, FLAT | {"train.csv": text(columns, row)}))
    assert "say which it is with the option image=COLUMN" in message
    assert "holds pixels" not in message


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["train.csv", "splits.csv"])
def test_every_line_end_is_read(tmp_path, end, name):
    path = written(tmp_path, FLAT | {name: table("filename", "label", end=end)})
    assert list(classes(path).values()) == ["cat", "dog", "cat"]
    lines = end.join(["0.jpg,cat", "1.jpg,dog", "2.jpg,cat", ""]).encode()
    assert [one.label for one in read_list_file(lines, name)] == ["cat", "dog", "cat"]
    divider = end.join(["image,part", "cat/0.jpg,train", "cat/1.jpg,test", ""]).encode()
    divided = written(tmp_path / "b", IN_CLASSES | {name: divider})
    assert "divides the images" in refusal("folder", divided)


@pytest.mark.parametrize(
    "header", ["id,name", "class_id,class_name", "class_index,class", "ClassId,Name", "y,name", '"id","name"']
)
def test_a_header_of_names_of_numbers_is_skipped(header):
    lines = (f"{header}\n0,cat\n1,dog\n").encode()
    assert read_names(lines, "names.csv") == {"0": "cat", "1": "dog"}
    turned = ",".join(header.split(",")[::-1])
    assert read_names(f"{turned}\ncat,0\ndog,1\n".encode(), "names.csv") == {"0": "cat", "1": "dog"}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b'id,name\n0,"cat, domestic"\n1,dog\n', {"0": "cat, domestic", "1": "dog"}),
        (b"class,label\n1,0\n2,1\n0,2\n", {"0": "1", "1": "2", "2": "0"}),
        (b"name,label\n1 apple,0\n0 plums,1\n", {"0": "1 apple", "1": "0 plums"}),
        (b"name;id\ncat;0\ndog;1\n", {"0": "cat", "1": "dog"}),
        (b'"id","name"\n"0","cat"\n"1","dog"\n', {"0": "cat", "1": "dog"}),
        (b"id,name\n0.0,cat\n1.0,dog\n", {"0": "cat", "1": "dog"}),
        (b"code name\npen name\n", {"0": "code name", "1": "pen name"}),
    ],
)
def test_a_header_says_which_column_has_the_numbers(lines, expected):
    assert read_names(lines, "names.csv") == expected
    assert lists_names_alone(lines, "names.csv") == (b"pen" in lines)


@pytest.mark.parametrize(
    ("text", "is_alone"),
    [
        ("['cat', 'dog']", True),
        ("{0: 'cat'}", False),
        ("'cat 1',", True),
        ("- 0: cat", False),
        ("'cat': 0,", False),
    ],
)
def test_names_that_python_or_yaml_writes_have_numbers_or_none(text, is_alone):
    assert lists_names_alone(text.encode(), "names.txt") == is_alone


@pytest.mark.parametrize(
    "lines", [b"id,name\n0,cat\ndog\n", b"id,name\n0,cat\ndog,1\n", b"id,name\n0.5,a\n", b"id,name\n0,\n"]
)
def test_rows_that_are_unlike_their_header_are_refused(lines):
    with pytest.raises(ItlError, match="is not a number and a name, as its header 'id,name' says"):
        read_names(lines, "names.csv")


@pytest.mark.parametrize("lines", [b"big,cat\n0,cat\n", b"id\n0,cat\n"])
def test_other_lines_without_a_number_are_refused(lines):
    with pytest.raises(ItlError, match="a number and a name, but"):
        read_names(lines, "names.csv")


def test_json_lines_are_read_and_other_json_is_named(tmp_path):
    rows = [{"image": image, "label": label} for image, label in ROWS]
    lines = "\n".join(map(json.dumps, rows)).encode()
    path = written(tmp_path, FLAT | {"train.ndjson": lines})
    assert list(classes(path).values()) == ["cat", "dog", "cat"]
    for number, content in enumerate((rows, dict(ROWS))):
        path = written(tmp_path / str(number), FLAT | {"train.json": json.dumps(content).encode()})
        assert "(train.json is JSON; write JSON lines (.jsonl) instead" in refusal("lists", path)
    others = {"package.json": b'{"icon": "0.jpg", "screenshots": ["no.jpg"]}'}
    others |= {"classes.json": b'["cat", "dog"]', "0.json": b'{"imagePath": "0.jpg"}'}
    coco = {"coco.json": b'{"images": [{"file_name": "0.jpg"}], "annotations": []}'}
    assert "JSON lines" not in refusal("lists", written(tmp_path / "c", FLAT | others | coco))


@pytest.mark.parametrize("kind", ["parquet", "lists", "folder"])
def test_arrow_is_told_by_each_source_with_the_way_from_there(tmp_path, kind):
    path = written(tmp_path, {"train/data-00000-of-00001.arrow": b"x", "train/state.json": b"{}"})
    assert "datasets.load_from_disk(FOLDER) reads it" in refusal(kind, path)


@pytest.mark.parametrize(
    "column", ["img_path", "file_path", "image_file", "File Name", "Image Path", "image"]
)
def test_columns_of_images_by_their_names(column):
    images = read_list_file(table(column, "label"), "train.csv")
    assert [(one.image, one.label) for one in images] == ROWS
    with_usual = b"filename,img_path,label\n0.jpg,x,cat\n"
    assert read_list_file(with_usual, "train.csv")[0].image == "0.jpg"


def test_columns_that_are_1_or_0_in_all_rows_are_no_classes(tmp_path):
    """As those of VIA, whose classes are in JSON; the one-hot label of each image would be region_count."""
    rows = [f"{number}.jpg,1,0,{{'class': 'cat'}}" for number in range(3)]
    tree = FLAT | {"via.csv": text("filename,region_count,region_id,region_attributes", *rows)}
    message = refusal("lists", written(tmp_path, tree))
    assert "no column of the label" in message
    assert "0 and 1" not in message


@pytest.mark.parametrize("label", [" {}", ""])
@pytest.mark.parametrize("suffix", [".jpg", ""])
def test_paths_of_windows_are_those_of_other_systems(tmp_path, suffix, label):
    results = []
    for sign in ("/", "\\"):
        lines = [
            f"{name}{sign}{number}{suffix}{label}".format(number)
            for number, name in enumerate(("cat", "dog"))
        ]
        tree = dict.fromkeys(("d/cat/0.jpg", "d/dog/1.jpg"), jpeg()) | {"train.txt": text(*lines)}
        source = open_source("lists", written(tmp_path / f"{len(results)}", tree))
        results.append(([(record.id, record.wnid) for record in source.records()], source.notes))
    assert results[0] == results[1]
    assert [label for _, label in results[0][0]] == ["cat", "dog"]


@pytest.mark.parametrize("sign", ["\t", ",", ";", " "])
def test_a_text_file_may_have_the_header_of_a_table(tmp_path, sign):
    columns = text(f"label{sign}image{sign}camera", f"cat{sign}0.jpg{sign}1", f"dog{sign}1.jpg{sign}2")
    path = written(tmp_path, FLAT | {"train.txt": columns, "notes.txt": b"id,label\n0,fox\n1,cow\n"})
    assert classes(path) == {"images/0.jpg": "cat", "images/1.jpg": "dog"}
    assert [note for note in open_source("lists", path).notes if "not read" in note] == [
        "train.txt: columns that are not read: camera"
    ]


@pytest.mark.parametrize(
    ("content", "image", "label"),
    [
        (b"filename,label,class\n0.jpg,cat,cat\n1.jpg,dog,dog\n", "0.jpg", "cat"),
        (b"filename,filepath,label\n0.jpg,0.jpg,cat\n1.jpg,1.jpg,dog\n", "0.jpg", "cat"),
    ],
)
def test_two_columns_that_agree_in_all_rows_are_one(content, image, label):
    assert read_list_file(content, "train.csv")[0][:2] == (image, label)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"filename,label,class\n0.jpg,cat,cat\n1.jpg,dog,cat\n", "may have its label in label or class"),
        (b"filename,label,class\n0.jpg,a/cat,b/cat\n", "may have its label in label or class"),
        (b"filename,path,label\n0.jpg,masks/0.jpg,cat\n", "may have its image in filename or path"),
        (b"file,image_path,label\na/0.jpg,b/0.jpg,cat\n", "may have its image in file or image_path"),
    ],
)
def test_two_columns_that_differ_are_refused(content, message):
    with pytest.raises(ItlError, match=re.escape(message)):
        read_list_file(content, "train.csv")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_columns_that_are_not_read_are_named(tmp_path, suffix):
    names = ("patient_id", "image", "cohort", "label", "use", "Roi.X1")
    rows = [
        (f"p{number}", f"{number}.jpg", "test", "ab"[number // 4], ("train", "test")[number % 2], "7")
        for number in range(8)
    ]
    if suffix == "jsonl":
        lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    else:
        lines = [("," if suffix == "csv" else "\t").join(row) for row in [names, *rows]]
    images = {f"{number}.jpg": jpeg() for number in range(8)}
    path = written(tmp_path, images | {f"all.{suffix}": "\n".join(lines).encode()})

    def notes(**options):
        return [line for line in check_lines("lists", path, **options) if "not read" in line]

    says = f"note: all.{suffix}: columns that are not read:"
    assert notes() == [f"{says} patient_id, cohort, Roi.X1"]
    assert notes(label="cohort") == [f"{says} patient_id, label, Roi.X1"]
    assert notes(val_fraction=0.5, group="patient_id") == [f"{says} cohort, Roi.X1"]


@pytest.mark.parametrize(
    ("column", "cells", "says"),
    [
        ("train_mask", "110", "has a column train_mask with '0', which is no split"),
        ("val_mask", "001", "has a column val_mask with '0', which is no split"),
        ("train_or_test", "110", "has a column train_or_test with '0', which is no split"),
        ("traintest", "110", "has a column traintest with '0', which is no split"),
        ("TrainVal", "110", "has a column TrainVal with '0', which is no split"),
        ("Train/Val", ("Tr", "Val", "Tr"), "has a column Train/Val with 'Tr', which is no split"),
    ],
)
def test_a_column_of_flags_or_short_words_of_splits_is_refused(tmp_path, column, cells, says):
    rows = "".join(f"{number}.jpg,{'ab'[number % 2]},{cell}\n" for number, cell in enumerate(cells))
    images = {f"{number}.jpg": jpeg() for number in range(3)}
    path = written(tmp_path, images | {"all.csv": f"image,label,{column}\n{rows}".encode()})
    with pytest.raises(ItlError, match=re.escape(f"all.csv {says}")):
        open_source("lists", path).records()
