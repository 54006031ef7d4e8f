"""Lists of one's own images and their classes, in the forms in which people have them."""

import pytest

from itl import ItlError
from itl.sources.listed.image_lists import read_list_file
from itl.sources.listed.list_files import ListedImage
from itl.sources.registry import open_source
from tests.annotated import check_lines, images, jpeg, text, written

MANY = {f"cat/{number}.jpg": jpeg() for number in range(3)} | {
    f"dog/{number}.jpg": jpeg() for number in range(3)
}


@pytest.mark.parametrize(
    ("lists", "options", "first"),
    [
        ({"train.txt": text("cat/0.jpg 0", "dog/1.jpg 1"), "test.txt": text("cat/2.jpg 0")}, {}, "cat"),
        ({"train.txt": text("cat/0.jpg,a", "dog/1.jpg,b"), "val.txt": text("cat/2.jpg\ta")}, {}, "a"),
        ({"train.csv": text("path,label,x", "cat/0.jpg,a,1", "dog/1.jpg,b,1")}, {}, "a"),
        ({"train.csv": text("cat/0.jpg,a", "dog/1.jpg,b")}, {}, "a"),
        ({"train.tsv": text("image\tclass", "cat/0.jpg\ta", "dog/1.jpg\tb")}, {}, "a"),
        ({"train.jsonl": text('{"file_name": "cat/0.jpg", "label": 0}')}, {}, "cat"),
        ({"train.txt": text("cat/0.jpg 0", "dog/1.jpg 1"), "classes.txt": text("tom", "rex")}, {}, "tom"),
        ({"splits/one.txt": text("./cat/0.jpg a")}, {"train": "splits/one.txt"}, "a"),
        ({"l/train.txt": text("../cat/0.jpg a")}, {}, "a"),
        ({"train.txt": text("\\cat\\0.jpg a")}, {}, "a"),
        ({"train.csv": text("img,a,b", "cat/0.jpg,x,y")}, {"label": "b"}, "y"),
        ({"labels.csv": text("file name;img;label", "x, y;cat/0.jpg;a", ";dog/0.jpg;b")}, {}, "a"),
        ({"labels.csv": text("cat/0.jpg;a", "dog/0.jpg;b")}, {}, "a"),
        ({"labels.csv": text("image|label", "cat/0.jpg|a", "dog/0.jpg|b")}, {}, "a"),
        ({"train.jsonl": text('{"image": "cat/0.jpg", "label": "a\u2028\x85b", "x": "\u2029"}')}, {}, "a b"),
        ({"train.csv": text("image,label", "cat/0.jpg,a\u2028b", '"cat/1.jpg",b')}, {}, "a b"),
        ({"train.txt": b"cat/0.jpg a\rdog/0.jpg b\r", "c.txt": b"\x0cc"}, {"train": "train.txt"}, "a"),
        ({"labels.csv": text("image\tlabel", "cat/0.jpg\ta, big", "dog/0.jpg\tb")}, {}, "a, big"),
    ],
)
def test_lists_of_ones_own(tmp_path, lists, options, first):
    records = open_source("lists", written(tmp_path, MANY | lists), **options).records()
    assert records[0].id == "cat/0.jpg"
    assert (records[0].wnid, records[0].split) == (first, "train")


@pytest.mark.parametrize(
    ("lists", "options", "message"),
    [
        ({}, {}, "has no list of images with labels"),
        ({"train.txt": b"cat/0.jpg a", "my_train.csv": b"cat/1.jpg,a"}, {}, "2 lists for train"),
        ({"train.txt": b"cat/0.jpg a", "test.txt": b"cat/0.jpg a"}, {}, "1 image is in train and test"),
        (
            {"train.txt": b"cat/0.jpg a\ncat/0.jpg b"},
            {},
            r"cat/0.jpg is of a \(train.txt, line 1\) and of b \(train.txt, line 2\); correct one of them",
        ),
        (
            {"train.csv": b"image,label\n"},
            {"train": "train.csv"},
            "train.csv lists no images: it is empty, or",
        ),
        (
            {"train.csv": b""},
            {"train": "train.csv"},
            "train.csv lists no images: it is empty, or only a header",
        ),
        (
            {"a.csv": b"path,label,split\ncat/0.jpg,a,train\ncat/1.jpg,a,val"},
            {"test": "a.csv"},
            "option test names a.csv, but its column of splits has no test, only train and val; "
            ".* train=a.csv",
        ),
        ({"train.txt": b"cat/0.jpg a\ncat/1.jpg"}, {}, "line 2: 'cat/1.jpg' has no label"),
        (
            {"train.txt": b"cat/0.jpg a", "test.txt": b"cat/1.jpg b"},
            {},
            "test has 1 class that train does not",
        ),
        (
            {"train.csv": b"image,label\n0.jpg,a"},
            {},
            "train.csv, line 2: '0.jpg' could be any of cat/0.jpg, dog/0.jpg; write its "
            "folder too, as in cat/0",
        ),
        ({"train.csv": b"path,x\ncat/0.jpg,1"}, {}, "no list of images"),
        (
            {"train.txt": b"cat/0.jpg a", "val.csv": b"image,label\n"},
            {},
            "val.csv lists no images: it is empty",
        ),
        (
            {"train.csv": b"path,x\ncat/0.jpg,1"},
            {"train": "train.csv"},
            "no column of the label .* it has path, x",
        ),
        ({"train.csv": b"path,label\ncat/0.jpg"}, {"train": "train.csv"}, "line 2: 1 value, but the header"),
        ({"train.txt": b"cat/0.jpg a"}, {"train": "trian.txt"}, "there is no list 'trian.txt'"),
        ({"train.txt": b"cat/0.jpg 5", "classes.txt": b"a\nb"}, {}, "none has the number 5"),
        (
            {"train/metadata.csv": b"name,label\nx,1"},
            {},
            "no column of the image with a usual name, such as file_name; it has name, label; say",
        ),
        ({"train.txt": b"\xff\xfe"}, {"train": "train.txt"}, "not text in UTF-8"),
        (
            {"train.txt": b"cat/0.jpg a", "val.csv": "path,label\ncat/1.jpg,a".encode("utf-16")},
            {},
            "^val.csv is not text in UTF-8",
        ),
        (
            {"a.csv": "path,label\ncat/0.jpg,a".encode("utf-16")},
            {},
            r"^a.csv is not text in UTF-8, but in UTF-16; save it as UTF-8$",
        ),
        (
            {"a.jsonl": '{"image": "cat/0.jpg", "label": "a"}'.encode("utf-16")},
            {},
            "^a.jsonl is not text in UTF-8, but in UTF-16; save",
        ),
        (
            {"a.csv": "path,label\ncat/0.jpg,a".encode("utf-16"), "train.txt": b"cat/0.jpg a"},
            {},
            "2 lists for train, a.csv, train.txt",
        ),
        (
            {"a.csv": b"path,label\ncat/0.jpg,\xe9"},
            {},
            r"^a.csv is not text in UTF-8 \(unexpected end of data\); save it as",
        ),
        (
            {"a.txt": "A text of 2020.\n".encode("utf-16")},
            {},
            r"\(a.txt is not text in UTF-8, but in UTF-16; save",
        ),
        (
            {"a.csv": b"nr,label\n0,a"},
            {},
            r"\(a.csv has no column of the image .* it has nr, label; say which",
        ),
        ({"a.csv": b"path,label\n7,a"}, {}, r"\(a.csv, line 2: '7' is no name of an image, with its suffix"),
        (
            {"a.csv": b"path,label\nim/7,a", "im/7": b"x"},
            {},
            r"'im/7' is no name of an image, which ends as .jpg does; give each file of an image such a suff",
        ),
        ({"a.csv": b"0,a\n1,a"}, {}, r"\(a.csv has no header: its first line names the image '0'; write one"),
        ({"a.csv": b"0,a\n1,a"}, {"train": "a.csv", "image": "0", "label": "a"}, "^a.csv has no header"),
        (
            {"train.jsonl": b'{"image": "cat/0.jpg", "label": 1, "label": 2}'},
            {},
            "line 1: .* 'label' is twice",
        ),
        (
            {"train.jsonl": b'{"image": "cat/0.jpg", "label": "\\ud800"}'},
            {},
            r"\(train.jsonl, line 1: not valid JSON \('\\ud800' is half of a character\)\); correct it",
        ),
        (
            {"train.csv": b'path,label,words\ncat/0.jpg,a,"two\nlines"\n\ncat/1.jpg,nan,x'},
            {},
            "^train.csv, line 5: path is 'cat/1.jpg' and label is 'nan'",
        ),
        (
            {"train.csv": b'path,label\n"cat/0\n.jpg",a\ncat/1.jpg,a,x'},
            {},
            "^train.csv, line 4: 3 values, but the header names 2$",
        ),
        ({"a.csv": b"id,label\n0,a"}, {}, "'0.jpg' could be any of cat/0.jpg, dog/0.jpg"),
        ({"a.csv": b"id,label\ncat/0,a", "cat/0.png": jpeg()}, {}, "could be any of .jpg, .png; add the suf"),
        ({"a.csv": b"id,label\ncat/0,a\ncat/7,a"}, {}, "lists 'cat/7', but there is no such image"),
        (
            {"a.csv": b"id,label\nfar/7.jpg,a\nfar/8.jpg,a", "far.tar": b""},
            {},
            "no such image; far.tar in this folder is not opened; unpack it: `mkdir -p",
        ),
        ({"a.txt": b"0 a"}, {}, r"\(a.txt, line 1: '0' is no name of an image, with its suffix"),
        *(
            (
                {file: line},
                {},
                "path is 'cat/0.jpg' and label is '(nan|NaN||None)'; an empty cell .nan, as pandas writes it."
                " says nothing; leave such lines out of the list",
            )
            for file, line in (
                ("a.csv", b"path,label\ncat/0.jpg,nan\ncat/1.jpg,a"),
                ("a.csv", b"path,label\ncat/0.jpg,\ncat/1.jpg,a"),
                ("a.jsonl", b'{"path": "cat/0.jpg", "label": null}\n{"path": "cat/1.jpg", "label": 0}'),
                ("a.jsonl", b'{"path": "cat/0.jpg", "label": NaN}\n{"path": "cat/1.jpg", "label": 0}'),
            )
        ),
        (
            {"a.jsonl": b'{"path": "cat/0.jpg", "label": 0.5}'},
            {},
            "label is '0.5'; an image and its label are text or a whole number",
        ),
        ({"a.csv": b"path,label,split\ncat/0.jpg,a,x"}, {}, "a column split with 'x', which is no split"),
        (
            {"a.csv": b"path,label,split,subset\ncat/0.jpg,a,train,val"},
            {},
            "may have its splits in split or subset; leave one of them out",
        ),
    ],
)
def test_lists_that_are_refused(tmp_path, lists, options, message):
    with pytest.raises(ItlError, match=message):
        open_source("lists", written(tmp_path, MANY | lists), **options).records()


LABELS = text(
    *("path,label,Subset", "cat/0.jpg,a,train", "dog/0.jpg,b,Training", "cat/1.jpg,a,TEST"),
    *("dog/1.jpg,b,test", "cat/2.jpg,a,valid", "dog/2.jpg,b,val"),
)


def test_a_column_of_splits_divides_the_images_of_one_list(tmp_path):
    path = written(tmp_path, MANY | {"labels.csv": LABELS})
    splits = {record.id: record.split for record in open_source("lists", path).records()}
    expected = {"0": "train", "1": "test", "2": "val"}
    assert splits == {f"{name}/{number}.jpg": expected[number] for name in ("cat", "dog") for number in "012"}
    assert "note: labels.csv says the split of each image in a column" in check_lines("lists", path)
    some = open_source("lists", path, train="labels.csv", val="labels.csv").records()
    assert {record.split: record.id for record in some} == {"train": "dog/0.jpg", "val": "dog/2.jpg"}
    assert "left out: 2 test images of labels.csv, which no option names for test" in "\n".join(
        check_lines("lists", path, train="labels.csv", val="labels.csv")
    )
    for split in ("train", "val", "test"):  # named for one split, the file is read whole: its column decides
        records = open_source("lists", path, **{split: "labels.csv"}).records()
        assert records == open_source("lists", path).records()
    two = written(path, {"own.csv": text("path,label", "cat/2.jpg,a")})
    records = open_source("lists", two, train="labels.csv", val="own.csv").records()
    assert [record.id for record in records if record.split == "val"] == ["cat/2.jpg"]
    assert "left out: 1 val image of labels.csv, which no option names for val" in "\n".join(
        check_lines("lists", two, train="labels.csv", val="own.csv")
    )
    renamed = LABELS.replace(b"Subset", b"size")
    other = open_source("lists", written(tmp_path / "other", MANY | {"labels.csv": renamed})).records()
    assert {record.id: record.split for record in other} == splits, "whatever it is called"


def test_a_test_list_without_labels_is_left_out_and_a_class_of_this_name_is_said(tmp_path):
    lists = {
        "train.txt": text("cat/0.jpg 0", "dog/0.jpg 1"),
        "test.txt": text("cat/1.jpg -1", "dog/1.jpg -1"),
    }
    path = written(tmp_path / "test", MANY | lists)
    assert {record.split for record in open_source("lists", path).records()} == {"train"}
    assert "left out: 2 images of test that test.txt does not label (-1)" in "\n".join(
        check_lines("lists", path)
    )
    signs = written(
        tmp_path / "signs", MANY | {"train.txt": text("cat/0.jpg -1", "dog/0.jpg 1", "dog/1.jpg 1")}
    )
    assert "note: train.txt has 1 image of the class -1, taken as it is" in check_lines("lists", signs)
    assert {record.wnid for record in open_source("lists", signs).records()} == {"cat", "dog"}


def test_ids_of_a_table_are_names_without_their_suffix(tmp_path):
    files = images("train/1.JPG", "train/2.png", "train/x.y.jpg", "test/1.JPG")
    for header in ("Id,Category", "ID,label", "id,label"):
        table = text(header, "1,a", "2,b", "x.y,b")
        path = written(tmp_path, files | {"trainLabels.csv": table})
        labels = {record.id: record.wnid for record in open_source("lists", path).records()}
        assert labels == {"train/1.JPG": "a", "train/2.png": "b", "train/x.y.jpg": "b"}
    assert "note: 3 images are listed by ids: their names without suffix" in check_lines("lists", path)
    both = text("id,file_name,label", "2,train/1.JPG,a")
    path = written(tmp_path / "both", files | {"train.csv": both})
    assert [record.id for record in open_source("lists", path).records()] == ["train/1.JPG"]


@pytest.mark.parametrize(
    ("val", "reason"),
    [
        (b"cat/1.jpg\n", "val.txt, line 1: no label"),
        (b"cat 1\n", "val.txt, line 1: 'cat' is no name of an image, with its suffix"),
    ],
)
def test_what_is_named_like_a_list_of_a_split_and_not_read_is_said(tmp_path, val, reason):
    path = written(tmp_path, MANY | {"train.txt": text("cat/0.jpg a"), "val.txt": val})
    assert f"note: not read: {reason}" in check_lines("lists", path)
    assert "not read" not in "\n".join(check_lines("lists", path, train="train.txt"))
    path = written(tmp_path, {"valid.csv": text("path,label", "cat/1.jpg,a")})
    assert "not read" not in "\n".join(check_lines("lists", path)), "another list is of that split"


@pytest.mark.parametrize(
    "lines",
    [
        ("cat/1.jpg a 0.5", "dog/1.jpg b 0.7"),
        ("cat/1.jpg,a,0", "dog/1.jpg,b,1"),
        ("cat/1.jpg 0 1", "dog/1.jpg 1 0"),
    ],
)
def test_no_split_is_left_out_for_what_follows_its_labels(tmp_path, lines):
    lists = {"train.txt": text("cat/0.jpg a"), "val.txt": text(*lines)}
    path = written(tmp_path, MANY | lists)
    with pytest.raises(ItlError, match="val.txt, line 1: .*(may be more than a label|are several numbers)"):
        open_source("lists", path).records()
    assert len(open_source("lists", path, train="train.txt").records()) == 1
    scores = {"train_scores.txt": text(*lines), "val.txt": text("cat/1.jpg a")}
    path = written(tmp_path / "scores", MANY | lists | scores)
    assert len(open_source("lists", path).records()) == 2, "there is another list of that split"
    note = next(line for line in check_lines("lists", path) if "not read" in line)
    assert note.startswith("note: not read: train_scores.txt, line 1: ")


@pytest.mark.parametrize("name", ["train.jsonl", "train_split.csv", "sub/train.csv"])
@pytest.mark.parametrize("other", ["metadata.csv", "labels.txt"])
def test_a_list_of_a_split_that_is_unclear_is_not_passed_over_for_another(tmp_path, name, other):
    rows = ["image,label,in_test", "cat/0.jpg,a,no", "cat/1.jpg,b,yes"]
    objects = ['{"image": "cat/0.jpg", "label": "a", "in_test": "no"}']
    unclear = {name: text(*(objects if name == "train.jsonl" else rows))}
    with pytest.raises(ItlError, match="has a column in_test with 'no'"):
        open_source("lists", written(tmp_path / "alone", MANY | unclear)).records()
    lines = text("cat/0.jpg a") if other == "labels.txt" else text("image,label", "cat/0.jpg,a")
    path = written(tmp_path / "both", MANY | unclear | {other: lines})
    with pytest.raises(ItlError, match="has 2 lists for train, .*; choose one with --option train="):
        open_source("lists", path).records()
    assert len(open_source("lists", path, train=other).records()) == 1


def test_accents_of_lists_and_of_files_may_be_composed_or_not(tmp_path):
    files = {"caf\u00e9.jpg": jpeg(), "the\u0301.jpg": jpeg(), "x.jpg": jpeg()}
    lines = text("cafe\u0301.jpg cafe\u0301", "th\u00e9.jpg caf\u00e9", "x.jpg x")
    records = open_source("lists", written(tmp_path, files | {"train.txt": lines})).records()
    assert [record.wnid for record in records] == ["caf\u00e9", "caf\u00e9", "x"]


def test_labels_that_their_folders_contradict_are_said(tmp_path):
    files = images("cat/1.jpg", "cat/2.jpg", "dog/3.jpg", "dog/4.jpg")
    names = text("cat/1.jpg cat", "cat/2.jpg dog", "dog/3.jpg dog", "dog/4.jpg dog")
    source = open_source("lists", written(tmp_path / "names", files | {"train.txt": names}))
    assert [record.wnid for record in source.records()] == ["cat", "dog", "dog", "dog"]
    note = "1 image is of another class by the list than by the folder, such as cat/2.jpg; the list is taken"
    assert note in source.notes
    numbers = names.replace(b" cat", b" 0").replace(b" dog", b" 1")
    source = open_source("lists", written(tmp_path / "numbers", files | {"train.txt": numbers}))
    assert [record.wnid for record in source.records()] == ["0", "1", "1", "1"]
    note = "1 image has another label than most of the folder: 1 in cat; the list is taken"
    assert source.notes[-1] == note
    mixed = text("cat/1.jpg 0", "cat/2.jpg 1", "dog/3.jpg 1", "dog/4.jpg 0")  # folders that are no classes
    source = open_source(
        "lists", written(tmp_path / "mixed", files | {"train.txt": mixed.replace(b"dog/4.jpg 0", b"")})
    )
    assert len(source.records()) == 3


def test_folders_that_share_a_number_contradict_nothing(tmp_path):
    lines = text("cat/1.jpg 0", "dog/2.jpg 0", "fox/3.jpg 1")
    path = written(tmp_path, images("cat/1.jpg", "dog/2.jpg", "fox/3.jpg") | {"train.txt": lines})
    assert not any("another label" in note for note in open_source("lists", path).notes)


def test_labels_of_which_some_are_numbers_are_names(tmp_path):
    lines = text("cat/0.jpg 3", "cat/1.jpg 3", "cat/2.jpg trout")
    source = open_source("lists", written(tmp_path, MANY | {"train.txt": lines, "classes.txt": b"a\nb\n"}))
    assert [record.wnid for record in source.records()] == ["3", "3", "trout"]
    assert not any("classes are numbers" in note for note in source.notes)


def test_several_lists_of_a_split_are_named_in_the_refusal(tmp_path):
    path = written(tmp_path, MANY | dict.fromkeys(("a.txt", "b.txt"), text("cat/0.jpg a", "cat/1.jpg b")))
    with pytest.raises(ItlError, match=r"2 lists for train, a.txt, b.txt; choose one .* train=a.txt"):
        open_source("lists", path).records()
    with pytest.raises(ItlError, match="no list 'c.txt', .* its lists are a.txt, b.txt"):
        open_source("lists", path, train="c.txt").records()
    lists = dict.fromkeys(("a_submission.csv", "b.csv", "train.csv"), text("cat/0.jpg,a", "cat/1.jpg,b"))
    with pytest.raises(ItlError, match="2 lists for train, b.csv, train.csv; .* train=train.csv"):
        open_source("lists", written(tmp_path / "c", MANY | lists)).records()


@pytest.mark.parametrize(
    ("unclear", "content"),
    [
        ("train.csv", "path,label,phase\ncat/0.jpg,a,train\ncat/1.jpg,b,eval"),
        ("train.csv", "path,label\ncat/0.jpg,a\ncat/1.jpg,b\ndog/0.jpg,"),
        ("train.txt", "cat/0.jpg a 0.5\ncat/1.jpg b 0.5"),
        ("train.txt", ""),
    ],
)
def test_of_several_lists_of_a_split_one_that_can_be_read_is_offered(tmp_path, unclear, content):
    files = MANY | {unclear: content.encode(), "train_list_2.txt": text("cat/0.jpg a", "cat/1.jpg b")}
    path = written(tmp_path, files)
    with pytest.raises(ItlError, match="2 lists for train, .*--option train=train_list_2.txt$"):
        open_source("lists", path).records()
    assert len(open_source("lists", path, train="train_list_2.txt").records()) == 2, "as the message says"


def test_a_list_whose_name_ends_in_a_split_without_a_sign_before_it_is_noted(tmp_path):
    def notes(name: str) -> list[str]:
        path = written(tmp_path / name, MANY | {name: text("cat/0.jpg,a", "dog/0.jpg,b")})
        return [line for line in check_lines("lists", path) if "is read as train" in line]

    assert notes("boatsval.csv") == ["note: boatsval.csv is read as train; if it is of val, call it val.csv"]
    assert notes("boats_val.csv") == notes("value.csv") == notes("train_latest.csv") == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train_log.txt", "epoch 1 loss 0.1\n" * 5 + "durée 3 h\n"),
        ("test_scores.csv", "model,top1\nCamélia,70\n"),
        ("val_notes.txt", "these are blurred\nà revoir\n"),
    ],
)
def test_other_files_that_are_not_in_utf8_are_no_lists(tmp_path, name, content):
    labels = text("cat/0.jpg a", "dog/0.jpg b")
    path = written(tmp_path, MANY | {"train.txt": labels, name: content.encode("latin-1")})
    assert len(open_source("lists", path).records()) == 2


def test_an_archive_beside_images_and_their_list_is_left_closed(tmp_path):
    files = MANY | {"more.tar": b"", "train.txt": text("cat/0.jpg a", "cat/1.jpg b")}
    assert len(open_source("lists", written(tmp_path, files)).records()) == 2


def test_missing_images_are_one_line_and_can_be_skipped(tmp_path):
    lines = ["cat/0.jpg a", *(f"gone/{number}.jpg a" for number in range(200))]
    path = written(tmp_path, MANY | {"train.txt": text(*lines)})
    problems = [line for line in check_lines("lists", path) if line.startswith("problem")]
    assert len(problems) == 1
    assert (
        "train.txt, line 2: lists 'gone/0.jpg', but there is no such image; copy it again, or remove it, or "
        "correct its name, if it is one of cat/0.jpg, dog/0.jpg (200 problems of this kind, on "
        "gone/0.jpg, gone/1.jpg, gone/2.jpg …)" in problems[0]
    )
    assert len(open_source("lists", path, bad="skip").records()) == 1


def test_a_list_may_have_blanks_in_names_and_no_labels():
    assert read_list_file(b"\n my cat.JPG  tom \nb.png\n", "x.txt") == [
        ListedImage("my cat.JPG", "tom", 2),
        ListedImage("b.png", "", 3),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["0.jpg cat 0", "1.jpg cat 1", "2.jpg dog 0", "3.jpg dog 1"],  # a fold
        ["0.jpg,cat,0", "1.jpg,cat,1"],
        ["0.jpg\tcat\t0.5", "1.jpg\tcat\t0.6"],
        ["0.jpg cat 0.9", "1.jpg dog 0.8"],  # a score
        ["0.jpg cat 7 8 9", "1.jpg dog 5 6 3"],
        ["0.jpg,cat,good", "1.jpg,dog,bad"],
        ["0.jpg cat train", "1.jpg cat val", "2.jpg dog Test"],
        ["0.jpg cat 0", "1.jpg dog"],
        ["0.jpg cats of 2012 good", "1.jpg dog"],
        ["0.jpg cat, 0", "1.jpg dog, 1"],
    ],
)
def test_lines_of_more_than_an_image_and_its_label_are_refused(tmp_path, lines):
    with pytest.raises(ItlError, match="x.txt, line 1: 'cat.*' may be more than a label; write a CSV with a"):
        read_list_file("\n".join(lines).encode(), "x.txt")
    files = {f"{number}.jpg": jpeg() for number in range(6)}
    files |= {"x.txt": text(*lines), "test.txt": text("4.jpg cat", "5.jpg dog")}
    with pytest.raises(ItlError, match="^x.txt, line 1: 'cat.*' may be more than a label"):
        open_source("lists", written(tmp_path, files)).records()


@pytest.mark.parametrize("label", ["train cat", "0 train", "freight train", "grade 0", "Audi S4 Sedan 2012"])
def test_labels_with_words_that_are_splits_or_numbers_are_refused_in_lines_of_text(label):
    lines = f"0.jpg cat\n1.jpg {label}\n".encode()
    with pytest.raises(
        ItlError, match=f"x.txt, line 2: '{label}' may be more than a label; write a CSV with a"
    ):
        read_list_file(lines, "x.txt")
    table = f"image,label\n0.jpg,cat\n1.jpg,{label}\n".encode()
    assert [entry.label for entry in read_list_file(table, "x.csv")] == ["cat", label]


@pytest.mark.parametrize(
    "labels",
    [
        ("grade_0", "grade-1"),
        ("tench, Tinca tinca", "goldfish, Carassius"),
        ("747", "B747 of S4"),
        ("train", "bus"),
    ],
)
def test_labels_may_have_blanks_and_commas_or_be_one_word(labels):
    lines = "".join(f"{number}.jpg {label}\n" for number, label in enumerate(labels))
    assert [one.label for one in read_list_file(lines.encode(), "x.txt")] == [*labels]
