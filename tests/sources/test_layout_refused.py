"""A row for each layout that is refused, with what works instead; and which names are those of splits."""

import pytest

from itl import ItlError
from itl.sources.registry import open_source
from itl.sources.split_names import split_of_name
from tests.annotated import check_lines, jpeg, written
from tests.pictures import tree
from tests.sources.test_layout import FLAT, VAL, A, B, world

REFUSED = {  # name -> source, files, options, what the refusal says
    "one class": ("folder", ["cat/1.jpg", "cat/2.jpg"], {}, "one class, 'cat'; put the images of each"),
    "one class in parts, or a folder around classes": (
        "folder",
        ["Bus/a/1.jpg", "Bus/b/1.jpg"],
        {},
        r"'Bus', which may be one class, .*--option class_level=2 \(2 classes, a, b; train 2 images\)",
    ),
    "the same two levels down": (
        "folder",
        ["data/v2/cat/1.jpg", "data/v2/dog/1.jpg"],
        {},
        r"'v2', which may be one class, .*--option class_level=3 \(2 classes, cat, dog; ",
    ),
    "a tar of one class, unpacked in its folder too": (
        "folder",
        [f"train/{A}/1.jpg", f"train/{A}/{A}/1.jpg", f"train/{B}/2.jpg"],
        {},
        f"'train/{A}' and 'train/{A}/{A}' both hold images; if they are copies, move one away",
    ),
    "the same of ImageNet": (
        "imagenet",
        [f"train/{A}/1.jpg", f"train/{A}/{A}/1.jpg", f"train/{B}/2.jpg"],
        {},
        f"'train/{A}' and 'train/{A}/{A}' both hold images; if they are copies, move one away",
    ),
    "no class": ("folder", ["1.jpg", "2.jpg"], {}, ": it holds 2 images, but no class folders; put the"),
    "a split of another name": (
        "folder",
        ["train/cat/1.jpg", "train/dog/1.jpg", "eval/cat/1.jpg", "eval/dog/1.jpg"],
        {},
        r"\(if eval is a split, name it: --option splits=train=train,val=eval\); choose",
    ),
    "no train": (
        "folder",
        ["dev/cat/1.jpg", "dev/dog/1.jpg", "eval/cat/1.jpg", "eval/dog/1.jpg"],
        {},
        r"\(if eval is a split, name it: --option splits=val=dev,test=eval\)",
    ),
    "a second version of train": (
        "folder",
        ["train/cat/1.jpg", "train/dog/1.jpg", "train_aug/cat/1.jpg", "train_aug/dog/1.jpg"],
        {},
        "'train', lie beside others, 'train_aug'; choose how to read it: --option splits=train .2 classes",
    ),
    "a test of another name": (
        "folder",
        ["train/cat/1.jpg", "train/dog/1.jpg", "test_clean/cat/1.jpg"],
        {},
        r"\(if test_clean is a split, name it: --option splits=train=train,test=test_clean\); choose",
    ),
    "a class with a blank at its end": (
        "folder",
        ["train/cat/1.jpg", "train/dog/1.jpg", "val/cat /1.jpg"],
        {},
        "val has 1 class that train does not have, such as 'cat '; give",
    ),
    "splits as classes": (
        "folder",
        ["train/1.jpg", "test/1.jpg"],
        {},
        "'test' holds 1 image, but no class folders",
    ),
    "names like splits as classes": (
        "folder",
        ["flowers_train/1.jpg", "flowers_test/1.jpg"],
        {},
        "are named like splits",
    ),
    "the same in camel case": (
        "folder",
        ["trainA/1.jpg", "trainB/1.jpg", "testA/1.jpg", "GTSRBTest/1.jpg"],
        {},
        "'GTSRBTest', 'testA', 'trainA' … are named like splits",
    ),
    "half of the names like splits as classes": (
        "folder",
        ["bullet_train/1.jpg", "cat/1.jpg"],
        {},
        "'bullet_train' is named like a split",
    ),
    "images beside masks": (
        "folder",
        ["train/images/1.jpg", "train/masks/1.png", "val/images/2.jpg", "val/masks/2.png"],
        {},
        "'images' is no class by its name, but where images of any class lie; put the images of each class",
    ),
    "images beside masks in nnU-Net's folders": (
        "folder",
        ["imagesTr/1_0000.png", "imagesTs/2_0000.png", "labelsTr/1.png"],
        {},
        "'imagesTr' is no class by its name, but where images of any class lie",
    ),
    "classes in the names of files": (
        "folder",
        ["train/cat.1.jpg", "train/dog.1.jpg", "test1/1.jpg"],
        {},
        "'test1' holds 1 image, but no class folders; put the images of each class into a folder of its own",
    ),
    "a flat folder": (
        "folder",
        ["images/cat.jpg", "images/dog.jpg"],
        {},
        "one class, 'images'; put the images of each class into",
    ),
    "a flat val in one folder": (
        "folder",
        ["train/cat/1.jpg", "train/dog/1.jpg", "val/images/1.jpg"],
        {},
        "'val' holds 1 .*--option splits=train ",
    ),
    "a class beside splits": (
        "folder",
        ["train/cat/1.jpg", "train/dog/1.jpg", "fox/1.jpg"],
        {},
        "'train', lie beside others, 'fox'; .*--option splits=train ",
    ),
    "a split without a known name": (
        "folder",
        ["train/cat/1.jpg", "train/dog/1.jpg", "held/cat/1.jpg"],
        {},
        "lie beside others, 'held'",
    ),
    "classes inside classes": (
        "folder",
        ["beach/1.jpg", "church/indoor/1.jpg", "church/outdoor/1.jpg"],
        {},
        "--option class_level=1 .*beach, church; .*--option nested=true .*church/indoor",
    ),
    "classes that repeat below others": (
        "folder",
        ["photo/cat/1.jpg", "sketch/cat/1.jpg", "sketch/dog/1.jpg"],
        {},
        "--option class_level=1 .*photo, sketch.*--option class_level=2 .*cat, dog",
    ),
    "classes inside classes, under letters": (
        "folder",
        ["a/airfield/1.jpg", "a/airfield/apron/1.jpg", "b/beach/1.jpg"],
        {},
        "--option class_level=2 .*airfield, beach; .*--option nested=true .*a/airfield/apron",
    ),
    "classes beside letters": (
        "folder",
        ["a/airfield/1.jpg", "b/beach/1.jpg", "sea/1.jpg"],
        {},
        "folders lie inside the folders that may be classes: a/airfield, b/beach; ",
    ),
    "people in letters": (
        "folder",
        ["A/A_user1/1.jpg", "A/A_user2/1.jpg", "B/B2/1.jpg"],
        {},
        "A/A_user1, A/A_user2, B/B2; choose how to read it: --option class_level=1 .2 classes, A, "
        "B; train 3 images. or --option class_level=2 .3 classes, ",
    ),
    "a folder around wnids and names": (
        "folder",
        [f"subset/{A}/1.jpg", "subset/cat/1.jpg"],
        {},
        "all images lie in 'subset', which may be one class",
    ),
    "folders inside wnids beside names": (
        "folder",
        [f"{A}/images/1.jpg", "cat/1.jpg"],
        {},
        f"folders lie inside the folders that may be classes: {A}/images; ",
    ),
    "one class that holds a split": (
        "folder",
        ["cat/train/1.jpg"],
        {"splits": "inside"},
        ": 'train' is no split inside a class folder",
    ),
    "splits in classes": (
        "folder",
        ["cat/train/1.jpg", "dog/test/1.jpg"],
        {},
        "--option splits=inside .*cat, dog",
    ),
    "two trains": (
        "folder",
        ["train/cat/1.jpg", "train/dog/1.jpg", "training/cat/1.jpg"],
        {},
        "both named like train",
    ),
    "versions of a split": (
        "folder",
        ["train1/cat/1.jpg", "train1/dog/1.jpg", "train2/cat/1.jpg"],
        {},
        "versions of one train",
    ),
    "a flat val": (
        "folder",
        ["train/cat/1.jpg", "train/dog/1.jpg", "val/1.jpg"],
        {},
        "'val' holds 1 .*--option splits=train ",
    ),
    "more images beside classes than in them": (
        "folder",
        ["cat/1.jpg", "dog/1.jpg", "1.jpg", "2.jpg", "3.jpg"],
        {},
        "3 images lie beside class folders, which hold only 2",
    ),
    "more images beside the classes of val than in them": (
        "folder",
        [*(f"train/{name}/{n}.jpg" for name in ("cat", "dog") for n in range(9)), "val/cat/1.jpg"]
        + ["val/2.jpg", "val/3.jpg"],
        {},
        "2 images lie beside class folders in 'val', which hold only 1",
    ),
    "ImageNet, val half sorted": (
        "imagenet",
        [f"train/{A}/1.JPEG", f"train/{B}/1.JPEG", f"val/{A}/{VAL}3.JPEG", f"val/{B}/{VAL}4.JPEG"]
        + [f"val/{VAL}1.JPEG", f"val/{VAL}2.JPEG"],
        {},
        f"'val' is half sorted: 2 images lie in it, such as {VAL}1.JPEG, beside its class folders",
    ),
    "two folders of one wnid": (
        "folder",
        [f"{A}/1.jpg", f"{A}_tench/1.jpg", f"{B}/1.jpg"],
        {},
        "two folders of one class, n01440764",
    ),
    "a folder that the option does not find": (
        "folder",
        ["fit/cat/1.jpg", "fit/dog/1.jpg"],
        {"splits": "train=fitt"},
        "'fitt'.*did you mean 'fit'",
    ),
    "a level that is not there": (
        "folder",
        ["cat/1.jpg", "dog/1.jpg"],
        {"class_level": 3},
        "from 1 to 1 .* not 3",
    ),
    "val classes that train lacks": (
        "folder",
        ["train/cat/1.jpg", "train/dog/1.jpg", "val/fox/1.jpg"],
        {},
        "val has 1 class that train does",
    ),
    "test classes that train lacks": (
        "folder",
        ["train/cat/1.jpg", "train/dog/1.jpg", "test/fox/1.jpg"],
        {},
        "test has 1 class that train does",
    ),
    "an LMDB database": ("folder", ["train/data.mdb", "train/lock.mdb"], {}, "data.mdb is an LMDB database"),
    "TFRecord": ("folder", ["train-00000-of-01024"], {}, "train-00000-of-01024 is TFRecord"),
    "a list with a typo": (
        "folder",
        ["cat/1.jpg", "dog/1.jpg", ("list.txt", "cat\ndgo\n")],
        {"classes": "list.txt"},
        "list.txt, line 2",
    ),
    "ImageNet without labels of val": (
        "imagenet",
        [*FLAT],
        {},
        f"2 val images have no label, such as {VAL}1.*devkit_t12.tar.gz",
    ),
    "Tiny ImageNet, val half sorted or sorted by copying": (
        "tiny-imagenet",
        [f"train/{A}/images/1.JPEG", f"train/{B}/images/1.JPEG", f"val/{A}/1.JPEG", "val/images/2.JPEG"],
        {},
        f"'val' is half sorted: 1 image lies in 'val/images', beside the class folders {A} .if all are there "
        "too, as copies, move 'val/images' elsewhere.; put the images of each class into a folder of",
    ),
    "ImageNet, half a list": (
        "imagenet",
        [*FLAT, ("val_map.txt", f"{VAL}1.JPEG {B}\n")],
        {},
        f"val_map.txt lacks 1 of them, such as {VAL}2",
    ),
    "ImageNet, numbers without their order": (
        "imagenet",
        [*FLAT, ("val.txt", f"{VAL}1.JPEG 1\n{VAL}2.JPEG 0\n")],
        {},
        "val.txt: line 1, .* has no wnid",
    ),
    "ImageNet, folders of unknown images": (
        "imagenet",
        [f"{A}/1.jpg", f"{B}/2.jpg"],
        {},
        "splits=train=. or --option splits=test=.",
    ),
    "ImageNet of plain names": (
        "imagenet",
        ["train/cat/1.jpg", "train/dog/1.jpg"],
        {},
        "classes of imagenet are wnids, not cat, dog",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_layout_is_refused_in_one_line_with_the_way_on(tmp_path, name):
    kind, files, options, message = REFUSED[name]
    world(tmp_path, files)
    with pytest.raises(ItlError, match=message) as error:
        open_source(kind, tmp_path, **options).records()
    assert "\n" not in str(error.value)
    assert check_lines(kind, tmp_path, **options)[0] == f"problem: {error.value}"


@pytest.mark.parametrize(
    "name",
    [
        "train",
        "training",
        "Train",
        "train_set",
        "trainset",
        "seg_train",
        "train.X1",
        "TRAIN-images",
        "trainval",
        "train2017",
        "ILSVRC2012_img_train",
    ],
)
def test_names_of_train(name):
    assert split_of_name(name) == "train"


@pytest.mark.parametrize(
    "name",
    [
        "train_station",
        "bullet_train",
        "n04468005_train",
        "trainee",
        "retrain",
        "tested",
        "value",
        "evaluation",
        "trains",
    ],
)
def test_names_that_only_look_like_splits(name):
    assert split_of_name(name) is None


def test_links_that_lead_nowhere_are_counted(tmp_path):
    tree(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "gone/")
    for number in (2, 3):
        (tmp_path / f"train/cat/{number}.jpg").symlink_to("nowhere")
    assert "2 links that lead nowhere" in check_lines("folder", tmp_path)[1]
    (tmp_path / "gone/1.jpg").symlink_to("nowhere")
    assert "left out: 1 link that leads nowhere" in check_lines("folder", tmp_path / "gone")[0]


@pytest.mark.parametrize(
    "names", [("testTube", "beaker"), ("TestPositive", "TestNegative"), ("validID", "other")]
)
def test_classes_may_have_words_of_one_split_in_camel_case(tmp_path, names):
    for split in ("", "train/"):
        path = written(tmp_path / f"in{len(split)}", {f"{split}{name}/1.jpg": jpeg() for name in names})
        assert {record.wnid for record in open_source("folder", path).records()} == {*names}
