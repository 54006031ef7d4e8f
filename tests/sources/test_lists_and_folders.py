"""Lists beside class folders and beside each other: which one divides the images, and which labels them."""

import re
import shlex
import unicodedata
from pathlib import Path

import pytest

from itl import ItlError
from itl.sources.registry import open_source
from tests.annotated import check_lines, images, jpeg, written

CLASSES = ("cat", "dog")
IN_CLASSES = {f"images/{name}/{number}.jpg": jpeg() for name in CLASSES for number in range(4)}
HALF = {  # bare lists of both halves, as of UCF or Caltech
    "train.txt": b"cat/0.jpg\ncat/1.jpg\ndog/0.jpg\ndog/1.jpg\n",
    "test.txt": b"cat/2.jpg\ncat/3.jpg\ndog/2.jpg\ndog/3.jpg\n",
}
ROWS = "".join(f"{name}/{number}.jpg,{name},{{}}\n" for name in CLASSES for number in range(4))
NUMBERED_ALIKE = dict.fromkeys(("train_images/0.jpg", "train_images/1.jpg", "test_images/0.jpg"), jpeg()) | {
    "train.csv": b"image,label\n0.jpg,a\n1.jpg,b\n"
}


def read(kind: str, path: Path, **options) -> dict[str, tuple[str, str]]:
    """Return split and class of each image."""
    records = open_source(kind, path, **options).records()
    return {record.id: (record.split, record.wnid) for record in records}


def offered(error: ItlError) -> dict[str, str]:
    """Return the options that the refusal *error* offers first."""
    words = shlex.split(str(error).partition("choose one with ")[2])
    return dict(
        word.split("=", 1) for option, word in zip(words, words[1:], strict=False) if option == "--option"
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("split.json", '{"train": ["cat/0.jpg", "dog/0.jpg"], "test": ["cat/1.jpg", "dog/1.jpg"]}'),
        ("split.yaml", "train: [cat/0.jpg, dog/0.jpg]\ntest: [cat/1.jpg, dog/1.jpg]\n"),
        ("val.json", '["cat/1.jpg", "dog/1.jpg"]'),
    ],
)
def test_a_json_or_yaml_that_divides_the_images_of_a_list_is_not_passed_over(tmp_path, name, content):
    images = dict.fromkeys(("cat/0.jpg", "cat/1.jpg", "dog/0.jpg", "dog/1.jpg"), jpeg())
    rows = "".join(f"{image},{image[:3]}\n" for image in images)
    path = written(tmp_path, images | {"labels.csv": f"file,label\n{rows}".encode(), name: content.encode()})
    with pytest.raises(ItlError, match=f"^{name} divides images, but their labels are in another list"):
        read("lists", path)
    assert {split for split, _ in read("lists", path, train="labels.csv").values()} == {"train"}


def test_a_json_of_labels_beside_lists_is_said_to_be_unread(tmp_path):
    files = dict.fromkeys(("0.jpg", "1.jpg", "2.jpg", "3.jpg"), jpeg())
    files |= {"train.csv": b"file,label\n0.jpg,cat\n", "val.csv": b"file,label\n1.jpg,cat\n"}
    files["test.json"] = b'{"2.jpg": "cat", "3.jpg": "dog"}'
    says = "note: not read: test.json is JSON; write JSON lines (.jsonl) instead, each an object with"
    assert says in "\n".join(check_lines("lists", written(tmp_path, files)))


def test_lists_without_labels_divide_images_whose_folders_are_classes(tmp_path):
    path = written(tmp_path, IN_CLASSES | HALF)
    expected = {
        image: ("train" if int(image[-5]) < 2 else "test", image.split("/")[1])
        for image in sorted(IN_CLASSES)
    }
    assert read("lists", path) == expected
    assert read("lists", path, train="train.txt", test="test.txt") == expected
    assert "note: test.txt has no labels: the class of an image is its folder" in check_lines("lists", path)


@pytest.mark.parametrize(
    ("images", "listed"),
    [
        (IN_CLASSES, b"0 cat/0.jpg\n1 dog/0.jpg\n"),  # label first
        (dict.fromkeys(("images/0.jpg", "images/1.jpg"), jpeg()), b"0.jpg\n1.jpg\n"),
        (IN_CLASSES, b"cat/0.jpg\ncat/1.jpg\n"),
        (IN_CLASSES, b"cat/0.jpg cat\ndog/1.jpg\n"),
    ],
)
def test_a_list_without_labels_needs_folders_of_classes(tmp_path, images, listed):
    path = written(tmp_path, images | {"train.txt": listed})
    for options in ({}, {"train": "train.txt"}):
        with pytest.raises(ItlError, match=r"train.txt, line \d(: no label|.* has no label)"):
            read("lists", path, **options)


BARE = {f"{name}/{name}{number}.jpg": jpeg() for name in CLASSES for number in range(3)}
BARE_LISTS = {
    "train.txt": b"cat0.jpg\ncat1.jpg\ndog0.jpg\ndog1.jpg\n",
    "test.txt": b"cat2.jpg\ndog2.jpg\n",
}
BARE_TABLE = b"image,split\n" + b"".join(
    b"%s%d.jpg,%s\n" % (name.encode(), number, b"test" if number == 2 else b"train")
    for name in CLASSES
    for number in range(3)
)


@pytest.mark.parametrize(
    ("lists", "missing"),
    [
        (BARE_LISTS | {"test.txt": b"cat2.jpg\ndog2.jpg\ncat9.jpg\n"}, "test.txt, line 3: lists 'cat9.jpg'"),
        (BARE_LISTS | {"test.txt": b"cat9.jpg\n"}, "test.txt, line 1: lists 'cat9.jpg'"),
        (
            BARE_LISTS | {"train.txt": b"dog9.jpg\n" + BARE_LISTS["train.txt"]},
            "train.txt, line 1: lists 'dog9.jpg'",
        ),
        ({"split.csv": BARE_TABLE + b"cat9.jpg,test\n"}, "split.csv, line 8: lists 'cat9.jpg'"),
    ],
)
def test_an_image_that_is_missing_hides_no_list_without_labels(tmp_path, lists, missing):
    lines = check_lines("lists", written(tmp_path, BARE | lists))
    problems = [line for line in lines if line.startswith("problem")]
    assert problems == [f"problem: {missing}, but there is no such image; copy it again, or remove it"]
    assert any(line.startswith("labels: 2 classes, such as cat") for line in lines)


def test_images_in_folders_of_numbers_are_named_where_one_is_missing(tmp_path):
    files = {f"{name}/{name}{number}.jpg": jpeg() for name in "01" for number in range(3)}
    files |= {"train.txt": b"00.jpg\n01.jpg\n10.jpg\n11.jpg\n", "test.txt": b"02.jpg\n12.jpg\n13.jpg\n"}
    (problem,) = [
        line for line in check_lines("lists", written(tmp_path, files)) if line.startswith("problem")
    ]
    assert problem.startswith("problem: test.txt, line 3: lists '13.jpg', but there is no such image")


def test_a_list_without_labels_may_have_images_of_one_class_of_another_list(tmp_path):
    path = written(tmp_path, BARE | BARE_LISTS | {"test.txt": b"dog2.jpg\n"})
    assert read("lists", path)["dog/dog2.jpg"] == ("test", "dog")
    assert read("lists", path, train="train.txt", test="test.txt")["dog/dog2.jpg"] == ("test", "dog")
    (path / "dog").joinpath("dog2.jpg").unlink()
    written(path, {"shots/dog2.jpg": jpeg()})
    assert {split for split, _ in read("lists", path).values()} == {"train"}, "shots are of any class"
    assert "note: not read: test.txt, line 1: no label" in check_lines("lists", path)
    with pytest.raises(ItlError, match=r"^test.txt, line 1: 'dog2.jpg' has no label; write `IMAGE LABEL`$"):
        read("lists", path, train="train.txt", test="test.txt")


def test_without_labels_a_name_in_folders_of_two_splits_has_the_class_of_its_own_split(tmp_path):
    files = ("train/cat/0.jpg", "train/dog/1.jpg", "test/dog/0.jpg", "test/cat/1.jpg")
    lists = {"train.txt": b"0.jpg\n1.jpg\n", "test.txt": b"0.jpg\n1.jpg\n"}
    expected = {name: tuple(name.split("/")[:2]) for name in files}
    path = written(tmp_path, dict.fromkeys(files, jpeg()) | lists)
    assert read("lists", path) == expected
    for name in lists:
        (path / name).rename(path / f"{name[:2]}.lst.txt")
    assert read("lists", path, train="tr.lst.txt", test="te.lst.txt") == expected


@pytest.mark.parametrize("folders", [("images_001", "images_002"), ("JPEGImages_1", "JPEGImages_2")])
def test_numbered_folders_of_files_are_parts_of_one_set(tmp_path, folders):
    images = [f"{folder}/{kind}/{folder}.jpg" for folder in folders for kind in ("cat", "dog")]
    path = written(tmp_path, dict.fromkeys(images, jpeg()) | {"train.txt": "\n".join(images).encode()})
    assert {record.wnid for record in open_source("lists", path).records()} == {"cat", "dog"}


@pytest.mark.parametrize(
    ("images", "alike"),
    [
        (
            ("church/indoor/0.jpg", "church/outdoor/1.jpg", "market/indoor/2.jpg"),
            "church/indoor and market/indoor",
        ),
        (("a/40X/0.jpg", "a/100X/1.jpg", "b/40X/2.jpg"), "a/40X and b/40X"),
        (("cat/0.jpg", "dog/1.jpg", "dog/poodle/2.jpg"), "dog and dog/poodle"),
        (("train/cat/0.jpg", "train/dog/1.jpg", "test/cat/tabby/2.jpg"), "train/cat and test/cat/tabby"),
    ],
)
def test_without_labels_folders_that_may_be_one_class_or_two_are_refused(tmp_path, images, alike):
    lists = {
        "train.txt": "\n".join(images[:2]).encode(),
        "test.txt": "\n".join(images[1:]).encode(),
        "split.csv": "\n".join(["image,split", *(f"{image},train" for image in images)]).encode(),
    }
    path = written(tmp_path, dict.fromkeys(images, jpeg()) | lists)
    first, second = alike.split(" and ")
    says = f"images of lists lie in {first} and {second}, which may be one class or two; write `IMAGE LABEL`"
    for options in ({"train": "split.csv"}, {"train": "train.txt", "test": "test.txt"}):
        with pytest.raises(ItlError, match=f"^{options['train']} has no labels, and {says}"):
            read("lists", path, **options)


@pytest.mark.parametrize(
    "images",
    [
        ("train_images/cat/0.jpg", "train_images/dog/1.jpg", "Testing_2/cat/2.jpg"),
        ("data/part1/cat/0.jpg", "data/part2/cat/1.jpg", "data/part2/dog/2.jpg"),
        ("pets_train/images/cat/0.jpg", "pets_train/images/dog/1.jpg", "pets_val/cat/2.jpg"),
        ("cats/cat/0.jpg", "dogs/dog/1.jpg", "dogs/dog/2.jpg"),
    ],
)
def test_without_labels_folders_in_splits_or_parts_are_one_class(tmp_path, images):
    lists = {"list.csv": "\n".join(["image,split", *(f"{image},train" for image in images)]).encode()}
    path = written(tmp_path, dict.fromkeys(images, jpeg()) | lists)
    labels = read("lists", path, train="list.csv")
    assert labels == {image: ("train", image.split("/")[-2]) for image in images}
    innermost = ", the innermost, such as cat in cats" if images[0].startswith("cats") else ""
    note = f"note: list.csv has no labels: the class of an image is its folder{innermost}"
    assert note in check_lines("lists", path, train="list.csv")


def test_the_source_folder_does_not_send_to_lists_what_these_refuse(tmp_path):
    images = [
        f"{top}/{name}/{number}.jpg"
        for top in ("church", "market")
        for name in ("in", "out")
        for number in "01"
    ]
    rows = [f"{image},{'test' if image[-5] == '1' else 'train'}" for image in images]
    table = {"split.csv": "\n".join(["image,split", *rows]).encode()}
    path = written(tmp_path, dict.fromkeys(images, jpeg()) | table)
    with pytest.raises(ItlError, match="split.csv divides .*; write a CSV with the columns image, label and"):
        read("folder", path)


@pytest.mark.parametrize(
    "lists",
    [
        HALF,
        {"test_list_01.txt": b"cat/0.jpg 1\n"},
        {"labels.csv": ("image,label,split\n" + ROWS.format(*["train", "test"] * 4)).encode()},
        {"division.csv": b"id,part\n0,train\n3,val\n"},
        {"list.txt": b"cat/0.jpg train\ncat/1.jpg val\ndog/0.jpg test\n"},
        {"images.txt": b"image label split\ncat/0.jpg cat train\ncat/1.jpg cat train\ndog/0.jpg dog test\n"},
    ],
)
def test_class_folders_that_a_list_divides_are_not_all_train(tmp_path, lists):
    path = written(tmp_path, IN_CLASSES | lists)
    divider = min(name for name in lists if not name.startswith("train"))
    with pytest.raises(ItlError, match=f"{divider} divides the images, .* source lists reads it") as error:
        read("folder", path)
    option = re.search(r"--option class_level=(\d)", str(error.value))
    labels = read("folder", path, class_level=int(option[1]))
    assert set(labels.values()) == {("train", "cat"), ("train", "dog")}, (
        "the folders alone, where one says so"
    )


@pytest.mark.parametrize(
    "others",
    [
        {"labels.csv": ("image,label,camera\n" + ROWS.format(*["left"] * 8)).encode()},
        {"list.txt": b"cat/0.jpg bus\ncat/1.jpg train\ndog/0.jpg train\ndog/1.jpg bus\n"},
        {"notes.txt": b"We train on these:\n\ncat/0.jpg\ndog/1.jpg and test on these:\ndog/0.jpg\n"},
        {"README.txt": b"0 to 3 are photos; train and test are yours to choose\n"},
        {"images/cat/0.csv": b"word,tag\n0,test\n", "images/cat/1.jsonl": b'{"0": "train"}\n'},
        {"test.txt": b"bird/7.jpg\n"},
        {
            "log.csv": b"epoch,phase,loss\n0,train,2\n0,val,3\n1,train,1\n",
            "history-test.txt": b"epochs\n0\n1\n",
        },
        {"test/0.jpg": jpeg(), "test/1.jpg": jpeg(), "test.csv": b"id\n0\n1\n"},
    ],
)
def test_other_files_beside_class_folders_divide_nothing(tmp_path, others):
    images = {name.replace("images/", "train/"): image for name, image in IN_CLASSES.items()}
    files = {name.replace("images/", "train/"): content for name, content in others.items()}
    labels = read("folder", written(tmp_path, images | files))
    assert labels == {name: ("train", name.split("/")[1]) for name in images}


def test_where_folders_are_unclear_a_list_that_divides_their_images_is_named(tmp_path):
    """Else what is offered would read test images as train."""
    images = {name.replace("images/", "shots/"): image for name, image in IN_CLASSES.items()}
    path = written(tmp_path, images | {"shots/test.csv": ROWS.encode()})
    with pytest.raises(ItlError, match="hold the class folders; .*; shots/test.csv divides the images"):
        read("folder", path)
    (path / "shots/test.csv").rename(path / "shots/more.csv")
    with pytest.raises(ItlError) as error:
        read("folder", path)
    assert "divides" not in str(error.value)


def test_a_list_named_after_test_whose_column_says_train_divides_no_other_images(tmp_path):
    path = written(tmp_path, images("dog/4.jpg", "dog/3.jpg", "cat/0.jpg"))
    bare = b"image,split\n4.jpg,train\n3.jpg,train\n0.jpg,train\n"
    (path / "test.csv").write_bytes(bare)
    lines = check_lines("lists", path)
    assert "read as: images in lists (test.csv): train 3 images" in lines
    assert not [line for line in lines if "not read" in line]
    (path / "test.csv").write_text("image,label,split\n4.jpg,a,train\n3.jpg,b,train\n")
    (path / "split.csv").write_text("image,split\n4.jpg,train\n3.jpg,val\n")
    with pytest.raises(ItlError, match="split.csv divides images, .* set the option train=test.csv to take"):
        open_source("lists", path).records()


@pytest.mark.parametrize("name", ["labels.txt", "labels.csv"])
def test_a_list_of_several_numbers_is_not_left_out_beside_another(tmp_path, name):
    header = "image,label\n" if name == "labels.csv" else ""
    sign = "," if header else " "
    rows = f"{header}0.jpg{sign}1 2\n1.jpg{sign}1 3\n"
    path = written(tmp_path, images("0.jpg", "1.jpg", "2.jpg", "3.jpg") | {name: rows.encode()})
    (path / "test.txt").write_text("2.jpg 1\n3.jpg 2\n")
    with pytest.raises(
        ItlError, match=rf"{name}, line \d: '1 2' are several numbers, but an image is of one"
    ):
        open_source("lists", path).records()
    (path / "train.txt").write_text("0.jpg 1\n1.jpg 2\n")
    with pytest.raises(ItlError, match=f"has 2 lists for train, {name}, train.txt; choose one with"):
        open_source("lists", path).records()
    assert len(open_source("lists", path, train="train.txt", test="test.txt").records()) == 4


def test_a_list_of_test_images_numbered_like_train_divides_nothing(tmp_path):
    """As Kaggle's test.csv, of images in a folder of their own, which has no labels."""
    path = written(tmp_path, NUMBERED_ALIKE | {"test.csv": b"image\n0.jpg\n"})
    assert read("lists", path) == {"train_images/0.jpg": ("train", "a"), "train_images/1.jpg": ("train", "b")}
    (path / "test_images/0.jpg").unlink()
    with pytest.raises(
        ItlError, match="test.csv divides images.* option train=train.csv to take all as train"
    ):
        read("lists", path)
    assert {split for split, _ in read("lists", path, train="train.csv").values()} == {"train"}


def test_a_text_beside_each_image_divides_nothing(tmp_path):
    files = dict.fromkeys(("img/0.jpg", "img/1.jpg"), jpeg())
    captions = {"img/0.txt": b"a test of photo 1\n", "img/1.txt": b"train at 0\n"}
    listed = {"train.csv": b"image,label\n0.jpg,a\n1.jpg,b\n", "train.jpg": jpeg()}  # a picture of many
    path = written(tmp_path, files | captions | listed)
    assert read("lists", path) == {"img/0.jpg": ("train", "a"), "img/1.jpg": ("train", "b")}


def test_names_of_numbered_classes_divide_nothing(tmp_path):
    files = dict.fromkeys(("0.png", "1.png"), jpeg()) | {"train.csv": b"image,label\n0.png,0\n1.png,1\n"}
    path = written(tmp_path, files | {"test_classes.txt": b"0 cat\n1 dog\n"})
    names = path / "test_classes.txt"
    assert read("lists", path, names=names) == {"0.png": ("train", "cat"), "1.png": ("train", "dog")}


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (
            ("a_train.txt", "a_test.txt", "bc_train.txt", "bc_test.txt"),
            {"train": "a_train.txt", "test": "a_test.txt"},
        ),
        (
            ("fold1/test.txt", "fold1/train.txt", "fold2/test.txt", "fold2/train.txt"),
            {"train": "fold1/train.txt", "test": "fold1/test.txt"},
        ),
        (
            ("old_train.csv", "train/metadata.csv", "test/metadata.csv"),
            {"train": "train/metadata.csv", "test": "test/metadata.csv"},
        ),
        (("Meta.csv", "Train.csv", "Test.csv"), {"train": "Train.csv", "test": "Test.csv"}),
        (
            ("train (1).csv", "train.csv", "test set.csv"),
            {"train": "train.csv", "test": "test set.csv"},
        ),
        (
            ("train.txt", "trainval.txt", "val.txt", "test.txt"),
            {"train": "train.txt", "val": "val.txt", "test": "test.txt"},
        ),
    ],
)
def test_where_a_split_has_several_lists_one_is_offered_for_each_split(tmp_path, names, chosen):
    numbers = {"train": 0, "val": 1, "test": 2}
    files = {}
    for name in names:
        number = next((number for split, number in numbers.items() if split in name.lower()), 0)
        rows = [f"images/{label}/{number}.jpg{{}}{label}\n" for label in CLASSES]
        is_table = name.endswith(".csv")
        text = "image,label\n" * is_table + "".join(rows).format(*"  " if not is_table else ",,")
        files[name] = text.encode()
    path = written(tmp_path, IN_CLASSES | files)
    with pytest.raises(
        ItlError, match=r"has 2 lists for (train|test), .*; choose one with --option "
    ) as error:
        read("lists", path)
    assert offered(error.value) == chosen
    assert {split for split, _ in read("lists", path, **chosen).values()} == chosen.keys()


def test_a_list_of_a_split_that_no_option_names_is_said(tmp_path):
    labelled = {name: content.replace(b".jpg", b".jpg 0") for name, content in HALF.items()}
    path = written(tmp_path, IN_CLASSES | labelled)
    assert {split for split, _ in read("lists", path, train="train.txt").values()} == {"train"}
    note = "note: not read: test.txt, named as a list of test; the option test=test.txt reads it"
    assert note in check_lines("lists", path, train="train.txt")
    assert not any("not read" in line for line in check_lines("lists", path))
    (path / "test.txt").write_bytes(b"cat/2.jpg -1\ndog/2.jpg -1\n")  # its labels are not public
    lines = check_lines("lists", path, train="train.txt", test="test.txt")
    assert not any("not read" in line for line in lines)


WITH_BLANKS = {  # lists of val for {0} and {1}, or of both splits
    "split.csv": "image,split\n{0},train\n{1},val\n",
    "split.tsv": "image\tsplit\n{0}\ttrain\n{1}\tval\n",
    "meta.csv": 'camera,image,set\n"left, high",{0},Training set\n"right",{1},Test set\n',
    "split.jsonl": '{{"image": "{0}", "split": "train"}}\n{{"image": "{1}", "split": "test"}}\n',
    "splits.txt": "{0} train\n{1} val\n",
    "test.txt": "{1}\n",
    "test_ids.csv": "id\n{1}\n",
}


@pytest.mark.parametrize("name", WITH_BLANKS)
@pytest.mark.parametrize(
    "image", ["cat_{}.jpg", "cat ({}).jpg", "cat's {}.jpg", "cat {}, big.jpg", "caf\u00e9 {}.jpg"]
)
def test_blanks_in_names_of_images_hide_no_list_that_divides_them(tmp_path, name, image):
    names = [image.format(number) for number in (1, 2)]
    listed = [f'"{one}"' if "," in one and name.endswith("csv") else one for one in names]
    listed = [unicodedata.normalize("NFD", one) for one in listed]  # as on a Mac
    listed = [one.replace(".jpg", "") for one in listed] if name == "test_ids.csv" else listed
    divider = {name: WITH_BLANKS[name].format(*listed).encode()}
    images = {f"{folder}/{one}": jpeg() for folder in CLASSES for one in names}
    with pytest.raises(
        ItlError, match=f": {name} divides the images, which by their folders alone would all"
    ):
        read("folder", written(tmp_path / "folder", images | divider))
    images = {f"img/{one}": jpeg() for one in names}
    labels = "image,label\n" + "".join(f'"{one}",{number}\n' for number, one in enumerate(names))
    path = written(tmp_path / "lists", images | divider | {"labels.csv": labels.encode()})
    with pytest.raises(ItlError, match=f"^{name} divides images, but their labels are in another list"):
        read("lists", path)


def test_a_word_in_a_cell_of_text_divides_nothing(tmp_path):
    files = {"captions.csv": b'image,caption\ncat/1.jpg,"a train, at a test"\ndog/1.jpg,a dog\n'}
    labels = read("folder", written(tmp_path, IN_CLASSES | files))
    assert {split for split, _ in labels.values()} == {"train"}


@pytest.mark.parametrize(
    ("column", "train", "test"),
    [("is_train", 1, 0), ("partition", 0, 2), ("Phase", "train", "test"), ("set", "tr", "te")],
)
@pytest.mark.parametrize("others", [0, 5000])
def test_rows_sorted_by_their_split_hide_none(tmp_path, column, train, test, others):
    first = [image for image in IN_CLASSES if image[-5] < "2"]
    more = [f"images/cat/{number}.jpg" for number in range(4, 4 + others)]
    rows = [f"{image},{train}\n" for image in first + more]
    rows += [f"{image},{test}\n" for image in IN_CLASSES if image not in first]
    table = f"image,{column}\n{''.join(rows)}".encode()
    path = written(tmp_path / "folder", IN_CLASSES | {"meta.csv": table})
    with pytest.raises(
        ItlError, match="meta.csv divides the images, which by their folders alone would all be"
    ):
        read("folder", path)
    labels = f"image,label\n{ROWS.replace(',{}', '')}".encode()
    path = written(tmp_path / "lists", IN_CLASSES | {"meta.csv": table, "labels.csv": labels})
    with pytest.raises(ItlError, match="meta.csv divides images, but their labels are in another list"):
        read("lists", path)


@pytest.mark.parametrize("name", ["test.csv", "split.csv", "split.json", "train_test_split.txt"])
def test_an_image_that_is_called_like_a_list_does_not_hide_it(tmp_path, name):
    content = {
        "csv": "image,split\ncat/0.jpg,train\ncat/2.jpg,test\n",
        "txt": "cat/0.jpg train\ncat/2.jpg test\n",
    }
    content["json"] = '{"train": ["cat/0.jpg"], "test": ["cat/2.jpg"]}'
    suffix = name.rpartition(".")[2]
    files = IN_CLASSES | {name: content[suffix].encode(), f"images/dog/{name.replace(suffix, 'jpg')}": jpeg()}
    with pytest.raises(ItlError, match=f": {name} divides the images"):
        read("folder", written(tmp_path, files))


def test_texts_beside_images_that_are_called_like_a_split_divide_nothing(tmp_path):
    images = {name.replace("images/cat/", "images/cat/test_"): image for name, image in IN_CLASSES.items()}
    texts = {name.replace(".jpg", ".txt"): f"{name} of a cat".encode() for name in images}
    labels = read("folder", written(tmp_path, images | texts))
    assert {split for split, _ in labels.values()} == {"train"}


def test_many_other_files_do_not_hide_the_json_of_splits(tmp_path):
    others = {f"a/log_{number:02}.json": b'{"epoch": 1}' for number in range(30)} | {"a/z.yaml": b"a: 1"}
    others |= {f"log_{number:02}.json": b'{"epoch": 1}' for number in range(30)}
    files = others | {"a/split.json": b'{"train": ["cat/0.jpg"], "test": ["cat/2.jpg", "dog/2.jpg"]}'}
    with pytest.raises(ItlError, match="a/split.json divides the images"):
        read("folder", written(tmp_path, IN_CLASSES | files))
