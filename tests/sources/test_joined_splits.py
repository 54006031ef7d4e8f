"""Splits that are joined to other words, or that the names of images or a list of train alone tell."""

import pytest

from itl import ItlError
from itl.sources.registry import open_source
from tests.annotated import check_lines, images, text, written
from tests.pictures import tarred
from tests.sources.containers import DATA, TWO, parquet_file

FOUR = images("a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg")
LINES = {"train": ("a/1.jpg 0", "b/3.jpg 1"), "test": ("a/2.jpg 0", "b/4.jpg 1")}
SPLITS = {"a/1.jpg": "train", "a/2.jpg": "test", "b/3.jpg": "train", "b/4.jpg": "test"}


def splits(kind: str, path, **options) -> dict[str, str]:
    return {record.id: record.split for record in open_source(kind, path, **options).records()}


def lists(form: str, lines=LINES) -> dict[str, bytes]:
    return {form.format(split): text(*rows) for split, rows in lines.items()}


@pytest.mark.parametrize("form", ["{}list01.txt", "{}ids.txt", "my{}.txt", "a{}_1.txt", "lists/{}files.txt"])
def test_lists_whose_names_join_a_split_to_a_word_are_of_that_split(tmp_path, form):
    path = written(tmp_path, FOUR | lists(form))
    assert splits("lists", path) == SPLITS
    assert not [line for line in check_lines("lists", path) if "is read as train" in line]


def test_one_list_alone_tells_its_split_too(tmp_path):
    path = written(tmp_path, FOUR | {"testlist01.txt": text(*LINES["test"])})
    assert splits("lists", path) == {"a/2.jpg": "test", "b/4.jpg": "test"}


@pytest.mark.parametrize(("train", "test"), [("trainshard-0", "testshard-0"), ("trainset-0", "testset-0")])
def test_containers_are_of_the_split_that_begins_a_word(tmp_path, train, test):
    for name in (train, test):
        tarred(tmp_path / f"shards/{name}.tar", TWO)
        parquet_file(tmp_path / f"tables/{name}.parquet", [(f"{name}.png", "cat", DATA)])
    for kind, folder in (("webdataset", "shards"), ("parquet", "tables")):
        assert set(splits(kind, tmp_path / folder).values()) == {"train", "test"}


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (("imagenettrain000", "imagenetval000"), "train, val"),
        (("mytest", "mytrain"), "test, train"),
        (("constrained", "contest"), ""),  # alike but for more than a split
        (("mytrain-0", "mytrain-1"), ""),
    ],
)
def test_containers_that_differ_by_a_split_at_the_end_of_a_word_are_refused(tmp_path, names, refused):
    for number, name in enumerate(names):
        tarred(tmp_path / f"shards/{name}.tar", {f"{number}.png": DATA, f"{number}.cls": b"cat"})
        parquet_file(tmp_path / f"tables/{name}.parquet", [(f"{number}.png", "cat", DATA)])
    for kind, folder, suffix in (("webdataset", "shards", "tar"), ("parquet", "tables", "parquet")):
        if not refused:
            assert set(splits(kind, tmp_path / folder).values()) == {"train"}
            continue
        both = ", ".join(f"{name}.{suffix}" for name in names)
        with pytest.raises(ItlError, match=f"the names of {both} tell no split, but may mean {refused}; put"):
            open_source(kind, tmp_path / folder).records()


NAMED = images("a/train_1.jpg", "a/test_2.jpg", "b/train_3.jpg", "b/test_4.jpg")


def test_images_that_are_all_named_after_splits_are_not_all_train(tmp_path):
    """As those of RAF-DB are."""
    path = written(tmp_path / "folder", NAMED)
    with pytest.raises(
        ItlError, match="by their names images are of several splits, as .* --option class_level=1"
    ):
        splits("folder", path)
    assert set(splits("folder", path, class_level=1).values()) == {"train"}
    rows = [f"{name},{name[0]}" for name in NAMED]
    path = written(tmp_path / "lists", NAMED | {"labels.csv": text("image,label", *rows)})
    with pytest.raises(
        ItlError, match="labels.csv names no split, and all images have one in their names, as "
    ):
        splits("lists", path)
    assert set(splits("lists", path, train="labels.csv").values()) == {"train"}
    parquet_file(tmp_path / "table/0000.parquet", [(name, name[0], DATA) for name in NAMED])
    with pytest.raises(
        ItlError, match="would be train, but by its name a/train_1.jpg is of train and a/test_2"
    ):
        splits("parquet", tmp_path / "table")


@pytest.mark.parametrize("extra", [{}, {"a/5.jpg": b""}])
def test_images_of_one_split_or_some_without_are_read(tmp_path, extra):
    """As the published images of val, sorted into folders of classes."""
    names = ["a/ILSVRC2012_val_1.JPEG", "b/ILSVRC2012_val_2.JPEG"] if not extra else [*NAMED, *extra]
    assert set(splits("folder", written(tmp_path, images(*names))).values()) == {"train"}


@pytest.mark.parametrize(
    ("lines", "divides"),
    [
        (("a/1.jpg", "b/3.jpg"), True),
        (("a/1.jpg 0", "a/2.jpg 0", "b/3.jpg 1"), True),
        (tuple(FOUR), False),
        (("x/8.jpg", "x/9.jpg"), False),  # of other images
    ],
)
def test_a_list_of_train_that_leaves_out_images_beside_class_folders_is_refused(tmp_path, lines, divides):
    logs = {
        "train_log.txt": text("epoch 1", "wrong: a/1.jpg"),
        "train.csv": text("epoch,loss", "1,.5", "2,.4"),
    }
    path = written(tmp_path, FOUR | {"train.txt": text(*lines)})
    if not divides:
        written(tmp_path, logs)
        assert set(splits("folder", path).values()) == {"train"}
        return
    with pytest.raises(
        ItlError, match="train.txt divides the images, which by their folders alone would all be"
    ):
        splits("folder", path)
    assert len(splits("lists", path)) == len(lines)
    assert len(splits("folder", path, class_level=1)) == len(FOUR)
