"""The usual transfer targets with their official lists, each in small; and lists of one's own."""

import numpy as np
import pytest

from itl import ItlError
from itl.sources import limits
from itl.sources.list_files import ListedImage, read_list_file
from itl.sources.numbered_classes import read_names
from itl.sources.registry import SOURCES, open_source
from itl.sources.target_sets import TARGET_SETS
from tests.annotated import check_lines, jpeg, written
from tests.pictures import CAR, FOX, REAL, tarred
from tests.sources import containers
from tests.sources.containers import cells, mat, mutated

CASES = REAL.parent / "cases"


def images(*names: str) -> dict[str, bytes]:
    return dict.fromkeys(names, jpeg())


def text(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def cars_rows(*rows: tuple[int, str]) -> bytes:
    kind = [("bbox_x1", "O"), ("class", "O"), ("fname", "O")]
    return mat(annotations=np.array([(1, *row) for row in rows], kind)[None])


SETS = {  # kind: files, options, images by split, classes, one image and its class
    "food101": (
        images("images/apple_pie/1.jpg", "images/apple_pie/2.jpg", "images/ramen/3.jpg", "images/ramen/4.jpg")
        | {"meta/train.txt": text("apple_pie/1", "ramen/3"), "meta/test.txt": text("apple_pie/2", "ramen/4")},
        {},
        {"train": 2, "test": 2},
        {"apple_pie", "ramen"},
        ("images/ramen/4.jpg", "ramen"),
    ),
    "dtd": (
        images("images/banded/banded_1.jpg", "images/banded/banded_2.jpg", "images/banded/banded_3.jpg")
        | {
            "labels/train3.txt": text("banded/banded_1.jpg"),
            "labels/val3.txt": text("banded/banded_2.jpg"),
            "labels/test3.txt": text("banded/banded_3.jpg"),
            "imdb/imdb.mat": b"x",
        },
        {"fold": 3},
        {"train": 1, "val": 1, "test": 1},
        {"banded"},
        ("images/banded/banded_2.jpg", "banded"),
    ),
    "mit67": (
        images("Images/bar/a b.jpg", "Images/bar/c.jpg")
        | {"TrainImages.txt": text("bar/a b.jpg"), "TestImages.txt": text("bar/c.jpg")},
        {},
        {"train": 1, "test": 1},
        {"bar"},
        ("Images/bar/c.jpg", "bar"),
    ),
    "pets": (
        images("images/yorkshire_terrier_1.jpg", "images/yorkshire_terrier_2.jpg", "images/Abyssinian_1.jpg")
        | {
            "annotations/trainval.txt": text("yorkshire_terrier_1 1 2 1"),
            "annotations/test.txt": text("yorkshire_terrier_2 1 2 1"),
            "annotations/list.txt": text("#Image CLASS-ID SPECIES BREED ID"),
        },
        {},
        {"train": 1, "test": 1},
        {"yorkshire_terrier"},
        ("images/yorkshire_terrier_2.jpg", "yorkshire_terrier"),
    ),
    "aircraft": (
        images("data/images/0001.jpg", "data/images/0002.jpg", "data/images/0003.jpg")
        | {
            "data/images_family_train.txt": text("0001 Boeing 707"),
            "data/images_family_val.txt": text("0002 Boeing 707"),
            "data/images_family_test.txt": text("0003 Boeing 707"),
        },
        {"labels": "family"},
        {"train": 1, "val": 1, "test": 1},
        {"Boeing 707"},
        ("data/images/0002.jpg", "Boeing 707"),
    ),
    "imagenet-lt": (
        images(f"train/{FOX}/{FOX}_1.JPEG", f"train/{FOX}/{FOX}_2.JPEG", "val/ILSVRC2012_val_00000001.JPEG")
        | {
            "ImageNet_LT_train.txt": text(f"train/{FOX}/{FOX}_1.JPEG 0"),
            "ImageNet_LT_val.txt": text(f"train/{FOX}/{FOX}_2.JPEG 0"),
            "ImageNet_LT_test.txt": text(f"val/{FOX}/ILSVRC2012_val_00000001.JPEG 0"),
        },
        {},
        {"train": 1, "val": 1, "test": 1},
        {FOX},
        ("val/ILSVRC2012_val_00000001.JPEG", FOX),
    ),
    "places365": (
        images("data_256/a/bar/0.jpg", "data_256/c/church/indoor/0.jpg", "val_256/Places365_val_1.jpg")
        | {
            "categories_places365.txt": text("/a/bar 0", "/c/church/indoor 1"),
            "places365_train_standard.txt": text("/a/bar/0.jpg 0", "/c/church/indoor/0.jpg 1"),
            "places365_val.txt": text("Places365_val_1.jpg 1"),
        },
        {},
        {"train": 2, "val": 1},
        {"bar", "church/indoor"},
        ("val_256/Places365_val_1.jpg", "church/indoor"),
    ),
    "cub200": (
        images("images/001.Ibis/Ibis_1.jpg", "images/001.Ibis/Ibis_2.jpg")
        | {
            "images.txt": text("1 001.Ibis/Ibis_1.jpg", "2 001.Ibis/Ibis_2.jpg"),
            "train_test_split.txt": text("1 1", "2 0"),
            "image_class_labels.txt": text("1 1", "2 1"),
            "classes.txt": text("1 001.Ibis"),
        },
        {},
        {"train": 1, "test": 1},
        {"001.Ibis"},
        ("images/001.Ibis/Ibis_2.jpg", "001.Ibis"),
    ),
    "flowers102": (
        images("jpg/image_00001.jpg", "jpg/image_00002.jpg", "jpg/image_00003.jpg")
        | {
            "imagelabels.mat": mat(labels=[[77, 77, 77]]),
            "setid.mat": mat(trnid=[[2]], valid=[[1]], tstid=[[3]]),
        },
        {},
        {"train": 1, "val": 1, "test": 1},
        {"77"},
        ("jpg/image_00001.jpg", "77"),
    ),
    "stanford-dogs": (
        images("Images/n02085620-Chihuahua/n02085620_1.jpg", "Images/n02085620-Chihuahua/n02085620_2.jpg")
        | {
            "train_list.mat": mat(file_list=cells("n02085620-Chihuahua/n02085620_1.jpg")),
            "test_list.mat": mat(file_list=cells("n02085620-Chihuahua/n02085620_2.jpg")),
        },
        {},
        {"train": 1, "test": 1},
        {"n02085620"},
        ("Images/n02085620-Chihuahua/n02085620_2.jpg", "n02085620"),
    ),
    "stanford-cars": (
        images("cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg")
        | {
            "devkit/cars_meta.mat": mat(class_names=cells("AM General Hummer", "Acura TL").T),
            "devkit/cars_train_annos.mat": cars_rows((2, "00001.jpg"), (1, "00002.jpg")),
            "devkit/cars_test_annos_withlabels.mat": cars_rows((2, "00001.jpg")),
        },
        {},
        {"train": 2, "test": 1},
        {"AM General Hummer", "Acura TL"},
        ("cars_test/00001.jpg", "Acura TL"),
    ),
    "mini-imagenet": (
        images("images/n01.jpg", "images/n02.jpg", "images/n03.jpg")
        | {
            "train.csv": text("filename,label", f"n01.jpg,{FOX}", f"n02.jpg,{FOX}"),
            "val.csv": text("filename,label", f"n03.jpg,{CAR}"),
        },
        {"test_images": 1},
        {"train": 1, "test": 1},
        {FOX},
        ("images/n01.jpg", FOX),
    ),
    "caltech101": (
        images(*(f"101_ObjectCategories/{name}/image_{n}.jpg" for name in ("ant", "emu") for n in (1, 2, 3)))
        | images("101_ObjectCategories/BACKGROUND_Google/image_1.jpg"),
        {"train_images": 2, "background": "drop"},
        {"train": 4, "test": 2},
        {"ant", "emu"},
        ("101_ObjectCategories/emu/image_1.jpg", "emu"),
    ),
}


def test_every_target_has_a_row():
    assert SETS.keys() == {target.kind for target in TARGET_SETS}


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("form", ["folder", "tar", "around"])
def test_official_lists(tmp_path, kind, form):
    files, options, splits, classes, (image, label) = SETS[kind]
    if form == "tar" and kind != "imagenet-lt":
        path = tarred(tmp_path / "set.tar", {f"set/{name}": data for name, data in files.items()})
    else:
        path = written(tmp_path / "set", files)
    records = open_source(kind, path, **options).records()
    assert {split: sum(one.split == split for one in records) for split in splits} == splits
    assert len(records) == sum(splits.values())
    assert {record.wnid for record in records} == classes
    assert [record.wnid for record in records if record.id.endswith(image)] == [label]
    assert all(record.member.read() == jpeg() for record in records)


@pytest.mark.parametrize("kind", SETS)
def test_a_missing_list_and_missing_images_are_said(tmp_path, kind):
    files, options, *_ = SETS[kind]
    no_images = {name: data for name, data in files.items() if not name.lower().endswith(("jpg", "jpeg"))}
    path = written(tmp_path / "set", no_images | {"readme.md": b""})
    line = check_lines(kind, path, **options)[0]
    assert line.startswith("problem: ")
    assert "there is no such image" in line or "no images" in line or "ImageNet" in line or "train" in line


def test_archives_that_are_still_packed_are_named(tmp_path):
    path = written(
        tmp_path, {"images.tar.gz": b"", "annotations/trainval.txt": b"", "annotations/test.txt": b""}
    )
    assert "unpack it: `tar xf images.tar.gz`" in check_lines("pets", path)[0]
    assert "unpack it: `tar xf images.tar.gz`" in check_lines("food101", path)[0]


@pytest.mark.parametrize(
    ("kind", "protocol"),
    [
        ("dtd", "DTD fold 3, 3 of 5,640 images"),
        ("aircraft", "FGVC-Aircraft family, 3 of 10,000 images, mean of the classes' accuracies"),
        (
            "caltech101",
            "Caltech-101 without background, 2 training images a class, mean of the classes' accuracies",
        ),
        ("mini-imagenet", "mini-ImageNet train classes, 1 test images of each"),
        ("pets", "Oxford-IIIT Pet, 2 of 7,349 images, mean of the classes' accuracies"),
    ],
)
def test_the_protocol_says_what_is_scored(tmp_path, kind, protocol):
    files, options, *_ = SETS[kind]
    assert open_source(kind, written(tmp_path, files), **options).protocol == protocol


def test_papers_compare_these_by_the_mean_of_each_class():
    per_class = {kind for kind, source in SOURCES.items() if source.metric == "per_class"}
    assert per_class == {"aircraft", "caltech101", "flowers102", "pets"}


def test_the_same_images_of_caltech_are_drawn_on_every_machine(tmp_path):
    files, options, *_ = SETS["caltech101"]
    one = open_source("caltech101", written(tmp_path / "a", files), **options).records()
    other = written(tmp_path / "b" / "around", files).parent
    assert [record.split for record in open_source("caltech101", other, **options).records()] == [
        record.split for record in one
    ]


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
        ({"a.csv": "path,label\ncat/0.jpg,a".encode("utf-16")}, {}, r"\(a.csv is not text in UTF-8"),
        (
            {"a.csv": b"nr,label\n0,a"},
            {},
            r"\(a.csv has no column of the image .* it has nr, label; say which",
        ),
        ({"a.csv": b"path,label\n7,a"}, {}, r"\(a.csv, line 2: '7' is no name of an image, with its suffix"),
        ({"a.csv": b"id,label\n0,a"}, {}, "'0.jpg' could be any of cat/0.jpg, dog/0.jpg"),
        ({"a.csv": b"id,label\ncat/0,a", "cat/0.png": jpeg()}, {}, "could be any of .jpg, .png; add the suf"),
        ({"a.csv": b"id,label\ncat/0,a\ncat/7,a"}, {}, "lists 'cat/7', but there is no such image"),
        ({"a.txt": b"0 a"}, {}, r"\(a.txt, line 1: '0' is no name of an image, with its suffix"),
        ({"a.csv": b"path,label\ncat/0.jpg,nan"}, {}, "line 2: path is 'cat/0.jpg' and label is 'nan'"),
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
    renamed = LABELS.replace(b"Subset", b"size").replace(b"TEST", b"test")
    other = open_source("lists", written(tmp_path / "other", MANY | {"labels.csv": renamed})).records()
    assert {record.split for record in other} == {"train"}, "no other column is taken for splits"


def test_ids_of_a_table_are_names_without_their_suffix(tmp_path):
    files = images("train/1.JPG", "train/2.png", "train/x.y.jpg", "test/1.JPG")
    table = text("id,label", "1,a", "2,b", "x.y,b")
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


def test_accents_of_lists_and_of_files_may_be_composed_or_not(tmp_path):
    files = {"caf\u00e9.jpg": jpeg(), "the\u0301.jpg": jpeg(), "x.jpg": jpeg()}
    lines = text("cafe\u0301.jpg cafe\u0301", "th\u00e9.jpg caf\u00e9", "x.jpg x")
    records = open_source("lists", written(tmp_path, files | {"train.txt": lines})).records()
    assert [record.wnid for record in records] == ["caf\u00e9", "caf\u00e9", "x"]


def test_missing_images_are_one_line_and_can_be_skipped(tmp_path):
    lines = ["cat/0.jpg a", *(f"gone/{number}.jpg a" for number in range(200))]
    path = written(tmp_path, MANY | {"train.txt": text(*lines)})
    problems = [line for line in check_lines("lists", path) if line.startswith("problem")]
    assert len(problems) == 1
    assert "lists 200 images that are not there, such as gone/0.jpg, gone/1.jpg, gone/2.jpg" in problems[0]
    assert len(open_source("lists", path, bad="skip").records()) == 1


@pytest.mark.parametrize(
    ("file", "content", "names"),
    [
        ("a.txt", b"cat\ndog house\n", {"0": "cat", "1": "dog house"}),
        ("a.txt", b"\xef\xbb\xbf1 cat\r\n2 dog house\r\n", {"1": "cat", "2": "dog house"}),
        ("a.txt", b"cat, 1\ndog,2\n", {"1": "cat", "2": "dog"}),
        ("a.txt", b"n02119789 1 kit_fox\n", {"1": "n02119789"}),
        ("a.json", b'["cat", "dog"]', {"0": "cat", "1": "dog"}),
        ("a.json", b'{"0": "cat", "1": "dog"}', {"0": "cat", "1": "dog"}),
        ("a.json", b'{"cat": 0, "dog": 1}', {"0": "cat", "1": "dog"}),
    ],
)
def test_names_of_numbers(file, content, names):
    assert read_names(content, file) == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat 1\ndog\n", "'dog' does not"),
        (b"cat 1\ndog 1\n", "class 1 twice"),
        (b"cat 1\ncat 2\n", "two numbers"),
    ],
)
def test_names_that_are_refused(content, message):
    with pytest.raises(ItlError, match=message):
        read_names(content, "names.txt")


def test_a_list_may_have_blanks_in_names_and_no_labels():
    assert read_list_file(b"\n my cat.JPG  tom \nb.png\n", "x.txt") == [
        ListedImage("my cat.JPG", "tom", 2),
        ListedImage("b.png", "", 3),
    ]


@pytest.mark.parametrize("kind", [*SETS, "lists"])
def test_damaged_lists_raise_nothing_but_itl_error(tmp_path, kind):
    files, options, *_ = SETS.get(kind, (MANY | {"train.csv": b"path,label\ncat/0.jpg,a\n"}, {}))
    root = written(tmp_path / "set", files)
    damaged = sorted(name for name in files if not name.lower().endswith((".jpg", ".jpeg")))
    random = np.random.default_rng(0)
    refusals = []
    for number in range(100 if damaged else 0):
        name = damaged[number % len(damaged)]
        (root / name).write_bytes(mutated(files[name], random))
        try:
            open_source(kind, root, **options).records()
        except ItlError as error:
            refusals.append(str(error))
        (root / name).write_bytes(files[name])
    assert bool(refusals) == bool(damaged)
    assert not [text for text in refusals if "\n" in text]


def test_a_bomb_in_a_mat_file_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(ItlError, match="more than 0 MiB"):
        limits.refuse_large(1001, "it")


@pytest.mark.skipif(not CASES.is_dir(), reason="no folder of cases in ../shared")
@pytest.mark.parametrize(
    ("kind", "folder", "splits", "val"),
    [
        ("webdataset", "10-webdataset/imagenet-1k-wds", {"train": 8, "val": 4}, "n01440764"),
        ("parquet", "12-hf-parquet/tiny-imagenet", {"train": 8, "val": 4}, "0"),
        ("lists", "11-hf-metadata/csv", {"train": 6, "test": 6}, "cat"),
        ("lists", "11-hf-metadata/jsonl", {"train": 6, "test": 6}, "cat"),
        ("places365", "13-places365/places365-standard", {"train": 15, "val": 5}, "airfield"),
        ("pets", "32-standard-targets/oxford-iiit-pet", {"train": 2, "test": 2}, "Abyssinian"),
        ("dtd", "32-standard-targets/dtd", {"train": 2, "test": 1}, "banded"),
    ],
)
def test_cases_from_the_field(kind, folder, splits, val):
    records = open_source(kind, CASES / folder).records()
    assert {split: sum(one.split == split for one in records) for split in splits} == splits
    assert min(record.wnid for record in records if record.split != "train") == val


SIGNED = {
    kind: row for kind, row in SETS.items() if kind not in ("caltech101", "imagenet-lt", "mini-imagenet")
}
SIGNED["dtd"] = (
    {name.replace("3.txt", "1.txt"): data for name, data in SETS["dtd"][0].items()},
    {},
    *SETS["dtd"][2:],
)
SIGNED["aircraft"] = (
    {name.replace("family", "variant"): data for name, data in SETS["aircraft"][0].items()},
    {},
    *SETS["aircraft"][2:],
)


@pytest.mark.parametrize("kind", SIGNED)
def test_the_folder_source_names_the_source_of_a_published_set(tmp_path, kind):
    files, options, *_ = SIGNED[kind]
    path = written(tmp_path / "my set", files)
    with pytest.raises(ItlError, match=f"of the source {kind}: `itl check {kind} '{path}'`"):
        open_source("folder", path).records()
    assert open_source(kind, path, **options).records()


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("webdataset", containers.shards),
        ("parquet", containers.parquet),
        ("imagenet-downsampled", containers.downsampled),
        ("imagenet-downsampled", containers.downsampled_npz),
        ("cifar100", containers.cifar),
        ("cifar10", lambda root: containers.cifar(root, binary=True, hundred=False)),
        ("imagenet21k", containers.imagenet21k),
    ],
)
def test_the_folder_source_names_the_source_of_a_container(tmp_path, kind, make):
    path = make(tmp_path / "set")
    for source in ("folder", "imagenet")[: 1 if kind == "cifar100" else 2]:
        with pytest.raises(ItlError, match=f"`itl check {kind} {path}`"):
            open_source(source, path).records()
    assert open_source(kind, path).records()
