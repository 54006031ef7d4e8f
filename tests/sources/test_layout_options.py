"""Readings offered for a tree that is unclear: none puts an image into two splits, or a mask into a class."""

import re
from contextlib import suppress
from pathlib import Path
from time import process_time

import pytest

from itl import ItlError
from itl.sources.folders.class_folders import ClassFolders
from itl.sources.folders.layout import Choice
from itl.sources.folders.layout_options import recognise
from itl.sources.published.imagenet import ImageNet
from tests.annotated import written
from tests.pictures import tarred


def tree(*folders: str, classes: tuple[str, ...] = ("cat", "dog"), images: int = 4) -> dict[str, int]:
    """Return how many images lie in the folders of *classes* in each of *folders*."""
    return {f"{folder}/{name}": images for folder in folders for name in classes}


def offers(counts: dict[str, int]) -> list[str]:
    """Return the values of the option splits in what is offered for a tree, but for none and inside."""
    with pytest.raises(ItlError) as error:
        recognise(counts)
    texts = re.findall(r"--option splits='?([^ ']*)'?", str(error.value))
    return [text for text in texts if text not in ("none", "inside")]


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (
            ("fold0/train", "fold0/val", "fold1/train", "fold1/val"),
            ["fold0/train,fold0/val", "fold1/train,fold1/val"],
        ),
        (("train1", "test1", "train2", "test2"), ["test1,train1", "test2,train2"]),
        (("a/train", "a/val", "b/a/train", "b/a/val"), ["a/train,a/val", "b/a/train,b/a/val"]),
        (("train", "val", "trainval", "test"), ["test,train,val", "trainval,test"]),
        (("trainval", "train", "test"), ["test,train", "trainval,test"]),
        (("clean_train", "noisy_train", "clean_val"), ["train=clean_train,val=clean_val"]),
        (("CRC-VAL-7K", "NCT-100K"), ["val=CRC-VAL-7K,train=NCT-100K"]),
        (
            [f"{split}{number}" for number in range(5) for split in ("train", "test")],
            [f"test{number},train{number}" for number in range(4)],  # no more are quoted
        ),
        (("tr", "te", "va"), ["test=te,train=tr,val=va"]),
        (("x/train", "x/x/train"), ["x/train", "x/x/train"]),
        (("trainval", "val", "test"), ["test,val", "trainval,test"]),
        (("training", "train", "test"), []),
    ],
)
def test_one_folder_is_offered_for_each_split(folders, expected):
    """Where several are of one split they may be versions of the same images, as folds are."""
    counts = tree(*folders)
    assert offers(counts) == expected
    for splits in expected:
        layout = recognise(counts, Choice(splits))
        assert layout.classes == ["cat", "dog"]
        assert len({split for split, _ in layout.class_of.values()}) == splits.count(",") + 1
        assert len(layout.class_of) == 2 * (splits.count(",") + 1)


def test_folders_of_other_classes_are_no_splits_by_a_word():
    counts = tree("food_train", classes=("pie", "tea")) | tree("food_test", classes=("bus", "car"))
    assert offers(counts) == []


def test_a_folder_that_differs_by_more_than_its_split_is_not_offered_with_others():
    named, *offered = offers(tree("train", "val", "clean_test"))
    assert (named, offered) == ("train=train,val=val,test=clean_test);", ["train,val"])


def test_parts_of_one_split_are_offered_together():
    counts = (
        tree("train.X1", classes=("ash", "elm")) | tree("train.X2", classes=("fir", "oak")) | {"more/yew": 1}
    )
    assert offers(counts) == ["train.X1,train.X2"]


@pytest.mark.parametrize(
    ("counts", "level", "classes"),
    [
        ({"cat/images": 4, "cat/masks": 4, "dog/images": 4, "dog/masks": 4}, 1, ["cat", "dog"]),
        ({"images/cat": 4, "images/dog": 4, "masks/cat": 4, "masks/dog": 4}, 2, ["cat", "dog"]),
        ({"train/img/cat": 4, "train/img/dog": 4, "train/Ground_Truth/cat": 8}, 2, ["cat", "dog"]),
        ({"s/cat/cat": 4, "s/cat/cat GT": 4, "s/dog/dog": 4, "s/dog/dog GT": 4}, 2, ["cat", "dog"]),
    ],
)
def test_masks_beside_images_are_left_out_where_a_level_is_chosen(counts, level, classes):
    layout = recognise(counts, Choice(class_level=level))
    assert layout.classes == classes
    assert not [folder for folder in layout.class_of if re.search("mask|truth|gt", folder, re.IGNORECASE)]
    assert +layout.left_out == {"images in folders of masks": 8}
    with pytest.raises(ItlError, match=rf"class_level={level} .2 classes, cat, dog; train 8 images"):
        recognise(counts)


@pytest.mark.parametrize(
    ("counts", "options", "classes"),
    [
        ({"ann/face": 4, "ann/face mask": 3, "bob/face": 3, "bob/face mask": 3}, {"class_level": 1}, None),
        ({"ann/face": 4, "ann/face mask": 4}, {"class_level": 2}, ["face", "face mask"]),
        ({"ann/face": 4, "ann/face mask": 4}, {"nested": True}, ["face", "face mask"]),
        ({"face/ann": 4, "face mask/ann": 4}, {"class_level": 2}, ["ann"]),
    ],
)
def test_a_folder_called_after_another_is_no_mask_of_it_by_its_name_alone(counts, options, classes):
    layout = recognise(counts, Choice(**options))
    assert (layout.classes, layout.left_out.total()) == (classes or ["ann", "bob"], 0)


def test_a_folder_of_masks_alone_is_a_class():
    layout = recognise({"masks/a": 1, "hats/a": 1}, Choice(class_level=1))
    assert layout.classes == ["hats", "masks"]


def test_deep_levels_of_classes_are_offered():
    counts = {f"set/{name}/SOB/{kind}/40X": 2 for name in ("benign", "malignant") for kind in ("a", "b")}
    with pytest.raises(
        ItlError, match=r"class_level=2 \(2 classes, benign, malignant; train 8 images\)"
    ) as error:
        recognise(counts)
    assert "class_level=4 (2 classes, a, b; train 8 images)" in str(error.value)


def test_levels_are_tried_to_the_sixth():
    for outer, expected in (("a/b/c/d/e", True), ("a/b/c/d/e/f", False)):
        with pytest.raises(ItlError) as error:
            recognise(tree(outer) | {"other": 1})
        assert ("class_level=6 (2 classes, cat, dog; train 8" in str(error.value)) is expected
        assert "class_level=7" not in str(error.value)


def test_of_folders_with_the_same_wnids_one_is_to_be_the_path():
    """As the severities of ImageNet-C; folders of splits hold the same, too."""
    wnids = ("n01440764", "n02119789")
    counts = tree("blur/1", "blur/2", classes=wnids)
    with pytest.raises(
        ItlError, match="several folders hold the same classes: give one, such as blur/1, as the path"
    ):
        recognise(counts)
    with pytest.raises(ItlError) as error:
        recognise(tree("train", "other", classes=wnids))
    assert "as the path" not in str(error.value)


@pytest.mark.parametrize("read", [ImageNet, ClassFolders])
def test_the_folder_of_one_corruption_that_a_refusal_names_is_read(tmp_path, read):
    """As ImageNet-C is published: a tar of CORRUPTION/SEVERITY/WNID."""
    names = [
        f"blur/{severity}/{wnid}/ILSVRC2012_val_0000000{image}.JPEG"
        for severity in "12"
        for image, wnid in enumerate(("n01440764", "n02119789"))
    ]
    written(tmp_path / "c", dict.fromkeys(names, b"x"))
    for path in (tmp_path / "c", tmp_path / "c/blur"):
        with pytest.raises(ItlError) as error:
            read(path).records()
        advised = re.search(r"give one, such as (\S+), as the path", str(error.value))
        path_advised = advised[1] if advised else ""
        assert path_advised == str(tmp_path / "c/blur/1")
        assert len(read(Path(path_advised)).records()) == 2
    archive = tarred(tmp_path / "c.tar", dict.fromkeys(names, b"x"))
    unpack = f"unpack the archive, `mkdir -p {tmp_path}/c && tar xf {archive} -C {tmp_path}/c`, and give one"
    with pytest.raises(ItlError, match=unpack):
        read(archive).records()


def test_a_reading_that_is_refused_when_it_is_taken_is_not_offered():
    """Train has the classes of the other splits: not so by patient, nor where test holds itself."""
    patients = {"train/p1/normal": 2, "train/p2/ill": 2, "valid/p3/normal": 2, "valid/p4/ill": 2}
    with pytest.raises(ItlError) as error:
        recognise(patients)
    offered = re.findall(r"--option ([^(]*) \((\d+) classes", str(error.value))
    assert ("class_level=2", "2") in offered
    assert not {("class_level=1", "4"), ("nested=true", "4")} & {*offered}
    counts = tree("new/train", "new/valid") | {"test/test": 1}
    assert offers(counts) == ["new/train,new/valid"]
    assert "splits=new/train,new/valid (2 classes, cat, dog; train 8 images, val 8 images)" in refusal(counts)


def refusal(counts: dict[str, int]) -> str:
    """Return why a tree is refused, and what is offered."""
    with pytest.raises(ItlError) as error:
        recognise(counts)
    return str(error.value)


def test_a_folder_beside_splits_is_named_as_a_split_that_it_may_be():
    hint = "if entrainement is a split, name it: --option splits=val=validation,train=entrainement)"
    assert hint in refusal(tree("validation", "entrainement"))
    assert "(if held is a split, name it: --option splits=train=train,val=held)" in refusal(
        tree("train", "held")
    )


def test_parts_of_train_beside_a_test_are_named_together_and_never_offered_with_the_test_as_train():
    counts = tree("train_part1", "train_part2", "test")
    way = "--option splits=test=test,train=train_part1,train=train_part2"
    assert f"(if 'train_part1', 'train_part2' are one split: {way}); choose" in refusal(counts)
    layout = recognise(counts, Choice(way.partition("=")[2]))
    assert sorted(layout.class_of.values()) == [
        *(("test", name) for name in layout.classes),
        *(("train", name) for name in layout.classes for _ in range(2)),
    ]
    assert "splits=none" not in refusal(counts)
    one = "if train_clean is a split, name it: --option splits=test=test,train=train_clean)"
    assert one in refusal(tree("train_clean", "train_noisy", "test"))
    assert "splits=none --option class_level=2" in refusal(tree("train", "cats", "dogs"))


@pytest.mark.parametrize(
    "other",
    [tree("ground_truth"), tree("held", classes=("cat", "fox")), tree("held", classes=("emu", "fox"))],
)
def test_masks_and_folders_of_other_classes_are_named_as_no_split(other):
    assert "is a split, name it" not in refusal(tree("train", "test") | other)


def test_classes_that_are_called_after_one_split_are_offered():
    classes = {"blood_test": 2, "urine_test": 2}
    assert "splits=none (2 classes, blood_test, urine_test; train 4 images)" in refusal(classes)
    assert recognise(classes, Choice("none")).classes == ["blood_test", "urine_test"]
    for names in (("trainA", "testA"), ("flowers_train", "flowers_test"), ("train_set", "training images")):
        assert "splits=none" not in refusal(dict.fromkeys(names, 2)), names


def test_of_names_of_no_class_alone_no_reading_is_offered():
    assert "choose how to read it" not in refusal({"blood_test": 2})  # by its name a flat split
    assert "choose how to read it" not in refusal({"raw": 2}), "nor one class"
    market = dict.fromkeys(("set/bounding_box_train", "set/bounding_box_test", "set/query"), 2)
    assert "lie in 'set', which may be one class" in (text := refusal(market))
    assert "choose how to read it" not in text
    assert "; put the images of each class into a folder of its own, or list each image" in text
    assert "choose how to read it" not in refusal({"raw": 2, "masks": 2})
    assert "class_level=1 (2 classes, cat, images; train 4 images)" in refusal({"cat": 2, "images": 2})


def test_numbered_folders_of_the_same_classes_may_be_parts_of_a_split_if_the_user_says_so():
    counts = tree("train.X1", "train.X2", "val.X")
    way = "--option splits=train.X1,train.X2,val.X"
    assert f"versions of one train (if they are parts of it: {way}); put the images" in refusal(counts)
    layout = recognise(counts, Choice(way.partition("=")[2]))
    assert {split for split, _ in layout.class_of.values()} == {"train", "val"}
    assert len(layout.class_of) == 3 * len(layout.classes)
    assert "if they are parts" not in refusal(tree("train1", "test1", "train2", "test2"))


def test_classes_under_letters_have_a_second_letter():
    assert recognise({"m/mp3": 1, "o/ox": 1}).classes == ["mp3", "ox"]
    assert recognise({"m/mp3": 1, "t/tv2": 1, "x/x-ray": 1}).classes == ["mp3", "tv2", "x-ray"]
    assert "class_level=1 (2 classes, m, t; train 2 images)" in refusal({"m/m3": 1, "t/t-2": 1})


@pytest.mark.parametrize(
    ("folders", "split"),
    [
        ("{letter}/{letter}word{number:05}", None),
        ("c{number:05}/train c{number:05}/test", "inside"),
    ],
)
def test_thousands_of_classes_take_time_that_grows_with_their_number_alone(folders, split):
    names = [folders.format(letter="abcdefgh"[number % 8], number=number) for number in range(4000)]
    counts = dict.fromkeys(" ".join(names).split(), 1)
    start = process_time()
    with suppress(ItlError):
        recognise(counts)
    assert process_time() - start < 4, "a comparison of each folder with each takes far longer"
    if split:
        assert len(recognise(counts, Choice(split)).classes) == 4000
        assert f"--option splits={split} (4,000 classes, c00000, c00001, c00002 …;" in refusal(counts)
