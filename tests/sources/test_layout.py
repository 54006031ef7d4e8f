"""A row for each layout that is read: from names of files to splits, classes and labels."""

import zipfile
from collections import Counter
from pathlib import Path

import pytest

from itl.sources.folders import left_out
from itl.sources.folders.layout import Choice
from itl.sources.folders.layout_options import recognise
from itl.sources.registry import open_source
from itl.words import counted
from tests.annotated import check_lines
from tests.pictures import tree

A, B = "n01440764", "n01443537"  # tench, goldfish
VAL = "ILSVRC2012_val_0000000"
IMAGENET = (f"train/{A}/{A}_1.JPEG", f"train/{B}/{B}_1.JPEG")
FLAT = (*IMAGENET, f"val/{VAL}1.JPEG", f"val/{VAL}2.JPEG")
XML = "<annotation><object><name>{}</name></object><object><name>{}</name></object></annotation>"


def world(root: Path, files: list[str | tuple[str, str]]) -> Path:
    """Write *files*: names, or names with their contents."""
    for file in files:
        name, content = file if isinstance(file, tuple) else (file, None)
        tree(root, name)
        if content is not None:
            (root / name).write_text(content)
    return root


def read(kind: str, path: Path, **options: object) -> tuple[dict[str, int], list[str], dict[str, str]]:
    """Images of each split, all classes, and the class of each image that is not in train."""
    records = open_source(kind, path, **options).records()
    splits = Counter(record.split for record in records)
    labels = {record.id: record.wnid for record in records if record.split != "train"}
    return dict(splits), sorted({record.wnid for record in records}), labels


READ = {  # name -> source, files, options, splits, classes, one image that is not in train and its class
    "plain class folders": (
        "folder",
        ["cat/1.jpg", "dog/1.jpg", "dog/2.png"],
        {},
        {"train": 3},
        ["cat", "dog"],
        None,
    ),
    "capital splits": (
        "folder",
        ["Train/cat/1.jpg", "Train/dog/1.jpg", "Valid/cat/2.jpg", "Valid/dog/2.jpg"],
        {},
        {"train": 2, "val": 2},
        ["cat", "dog"],
        ("Valid/cat/2.jpg", "cat"),
    ),
    "numbered parts of train": (
        "folder",
        [f"i/train.X1/{A}/1.JPEG", f"i/train.X2/{B}/1.JPEG", f"i/val.X/{A}/2.JPEG", f"i/val.X/{B}/2.JPEG"],
        {},
        {"train": 2, "val": 2},
        [A, B],
        (f"val.X/{A}/2.JPEG", A),
    ),
    "splits inside themselves, and unlabelled images": (
        "folder",
        [
            "seg_train/seg_train/sea/1.jpg",
            "seg_train/seg_train/ice/1.jpg",
            "seg_test/seg_test/sea/1.jpg",
            "seg_test/seg_test/ice/1.jpg",
            "seg_pred/seg_pred/1.jpg",
        ],
        {},
        {"train": 2, "test": 2},
        ["ice", "sea"],
        ("seg_test/seg_test/sea/1.jpg", "sea"),
    ),
    "an image beside class folders": (
        "folder",
        ["train/cat/1.jpg", "train/dog/1.jpg", "val/cat/1.jpg", "val/dog/1.jpg", "val/preview.jpg"],
        {},
        {"train": 2, "val": 2},
        ["cat", "dog"],
        ("val/dog/1.jpg", "dog"),
    ),
    "a flat test beside train": (
        "folder",
        ["train/cat/1.jpg", "train/dog/1.jpg", "test/1.jpg", "test/2.jpg", "test/3.jpg"],
        {},
        {"train": 2},
        ["cat", "dog"],
        None,
    ),
    "a flat test in a folder of its own": (
        "folder",
        ["train/cat/1.jpg", "train/dog/1.jpg", "test/images/1.jpg"],
        {},
        {"train": 2},
        ["cat", "dog"],
        None,
    ),
    "names after wnids": (
        "folder",
        [f"train/{A}_tench/1.JPEG", f"train/{B}-goldfish/1.JPEG", f"val/{A}_tench/1.JPEG"],
        {},
        {"train": 2, "val": 1},
        [A, B],
        (f"val/{A}_tench/1.JPEG", A),
    ),
    "class folders beside other folders": (
        "folder",
        [f"Images/{A}-tench/1.jpg", f"Images/{B}-goldfish/1.jpg", "Annotation/x/a.xml"],
        {},
        {"train": 2},
        [A, B],
        None,
    ),
    "a folder around wnids": (
        "folder",
        [f"subset/{A}/1.JPEG", f"subset/{B}/1.JPEG"],
        {},
        {"train": 2},
        [A, B],
        None,
    ),
    "a folder of any name around classes": (
        "folder",
        ["Bus/a/1.jpg", "Bus/b/1.jpg"],
        {"class_level": 2},
        {"train": 2},
        ["a", "b"],
        None,
    ),
    "a folder around splits": (
        "folder",
        ["photos/train/cat/1.jpg", "photos/train/dog/1.jpg", "photos/val/cat/1.jpg"],
        {},
        {"train": 2, "val": 1},
        ["cat", "dog"],
        ("val/cat/1.jpg", "cat"),
    ),
    "one folder in each class": (
        "folder",
        ["cat/images/1.jpg", "dog/images/1.jpg", "dog/boxes.txt"],
        {},
        {"train": 2},
        ["cat", "dog"],
        None,
    ),
    "a folder of images around the classes of one split": (
        "folder",
        ["train/cat/1.jpg", "train/dog/1.jpg", "val/images/cat/2.jpg", "val/images/dog/2.jpg"],
        {},
        {"train": 2, "val": 2},
        ["cat", "dog"],
        ("val/images/dog/2.jpg", "dog"),
    ),
    "Tiny ImageNet, val sorted inside its folder of images": (
        "tiny-imagenet",
        [
            *(f"train/{wnid}/images/{wnid}_0.JPEG" for wnid in (A, B)),
            *(f"val/images/{wnid}/{name}" for wnid, name in ((A, "val_0.JPEG"), (B, "val_1.JPEG"))),
            ("val/val_annotations.txt", f"val_0.JPEG\t{A}\t0\t0\t1\t1\nval_1.JPEG\t{B}\t0\t0\t1\t1\n"),
        ],
        {},
        {"train": 2, "val": 2},
        [A, B],
        (f"val/images/{B}/val_1.JPEG", B),
    ),
    "classes under their letters": (
        "folder",
        ["a/airfield/1.jpg", "t/t-shirt/1.jpg", "c/church/indoor/1.jpg", "c/church/outdoor/1.jpg"],
        {},
        {"train": 4},
        ["airfield", "church/indoor", "church/outdoor", "t-shirt"],
        None,
    ),
    "paths as classes": (
        "folder",
        ["beach/1.jpg", "church/indoor/1.jpg", "church/outdoor/1.jpg"],
        {"nested": True},
        {"train": 3},
        ["beach", "church/indoor", "church/outdoor"],
        None,
    ),
    "domains above classes": (
        "folder",
        ["photo/cat/1.jpg", "photo/dog/1.jpg", "sketch/cat/1.jpg"],
        {"class_level": 2},
        {"train": 3},
        ["cat", "dog"],
        None,
    ),
    "splits with other names": (
        "folder",
        ["fit/cat/1.jpg", "fit/dog/1.jpg", "held/cat/1.jpg"],
        {"splits": "train=fit,val=held"},
        {"train": 2, "val": 1},
        ["cat", "dog"],
        ("held/cat/1.jpg", "cat"),
    ),
    "splits inside class folders": (
        "folder",
        ["cat/train/1.jpg", "cat/test/2.jpg", "dog/train/1.jpg"],
        {"splits": "inside"},
        {"train": 2, "test": 1},
        ["cat", "dog"],
        ("cat/test/2.jpg", "cat"),
    ),
    "splits inside folders of wnids": (
        "folder",
        [f"{A}_tench/train/1.JPEG", f"{A}_tench/val/2.JPEG", f"{B}_goldfish/train/3.JPEG"],
        {"splits": "inside"},
        {"train": 2, "val": 1},
        [A, B],
        (f"{A}_tench/val/2.JPEG", A),
    ),
    "a class with the word of a split among others": (
        "folder",
        ["bus/1.jpg", "bullet_train/1.jpg", "cat/1.jpg"],
        {},
        {"train": 3},
        ["bullet_train", "bus", "cat"],
        None,
    ),
    "a class called train": (
        "folder",
        ["bus/1.jpg", "train/1.jpg"],
        {"splits": "none"},
        {"train": 2},
        ["bus", "train"],
        None,
    ),
    "accents of two kinds": (
        "folder",
        ["train/cafe\u0301/1.jpg", "train/dog/1.jpg", "val/caf\u00e9/1.jpg"],
        {},
        {"train": 2, "val": 1},
        ["caf\u00e9", "dog"],
        ("val/caf\u00e9/1.jpg", "caf\u00e9"),
    ),
    "classes of a list": (
        "folder",
        [f"{A}/1.JPEG", f"{B}/1.JPEG", "n02085620/1.JPEG", ("100.txt", f"{A}\r\n{B}\r\n")],
        {"classes": "100.txt"},
        {"train": 2},
        [A, B],
        None,
    ),
    "superclasses of a list": (
        "imagenet",
        [*IMAGENET, f"val/{A}/1.JPEG", ("map.csv", f"wnid,label\n{A},fish\n{B},fish\n")],
        {"classes": "map.csv"},
        {"train": 2, "val": 1},
        ["fish"],
        (f"val/{A}/1.JPEG", "fish"),
    ),
    "ImageNet, validation/": (
        "imagenet",
        [*IMAGENET, f"validation/{A}/1.JPEG"],
        {},
        {"train": 2, "val": 1},
        [A, B],
        (f"validation/{A}/1.JPEG", A),
    ),
    "ImageNet, unpacked as named": (
        "imagenet",
        [
            f"ILSVRC2012_img_train/{A}/1.JPEG",
            f"ILSVRC2012_img_train/{B}/1.JPEG",
            f"ILSVRC2012_img_val/{VAL}1.JPEG",
            ("val_labels.txt", f"{B}\n"),
        ],
        {},
        {"train": 2, "val": 1},
        [A, B],
        (f"ILSVRC2012_img_val/{VAL}1.JPEG", B),
    ),
    "ImageNet, Caffe's lists": (
        "imagenet",
        [*FLAT, ("val.txt", f"{VAL}1.JPEG 1\n{VAL}2.JPEG 0\n"), ("synsets.txt", f"{A}\n{B}\n")],
        {},
        {"train": 2, "val": 2},
        [A, B],
        (f"val/{VAL}1.JPEG", B),
    ),
    "ImageNet, a list that does not fit beside one that does": (
        "imagenet",
        [
            *FLAT,
            ("LOC_val_solution.csv", "ImageId,PredictionString\nother_1,n01440764 1 1 2 2\n"),
            ("val_map.txt", f"{VAL}1.JPEG {B}\n{VAL}2.JPEG {A}\n"),
        ],
        {},
        {"train": 2, "val": 2},
        [A, B],
        (f"val/{VAL}1.JPEG", B),
    ),
    "ImageNet, a list among the images": (
        "imagenet",
        [*FLAT, ("val/labels.csv", f"ImageId,Class\n{VAL}1,{B}\n{VAL}2,{A}\n")],
        {},
        {"train": 2, "val": 2},
        [A, B],
        (f"val/{VAL}2.JPEG", A),
    ),
    "ImageNet, val in one folder": (
        "imagenet",
        [*IMAGENET, f"val/all/{VAL}1.JPEG", ("val_map.txt", f"{VAL}1.JPEG\t{B}\n")],
        {},
        {"train": 2, "val": 1},
        [A, B],
        (f"val/all/{VAL}1.JPEG", B),
    ),
    "ImageNet, Kaggle's": (
        "imagenet",
        [
            *(f"k/ILSVRC/Data/CLS-LOC/{name}" for name in (*FLAT, "test/ILSVRC2012_test_1.JPEG")),
            ("k/LOC_val_solution.csv", f"ImageId,P\n{VAL}1,{B} 1 1 9 9\n{VAL}2,{A} 1 1 9 9 {A} 1 1 2 2\n"),
            "k/ILSVRC/ImageSets/CLS-LOC/val.txt",
        ],
        {},
        {"train": 2, "val": 2},
        [A, B],
        (f"val/{VAL}1.JPEG", B),
    ),
    "ImageNet, Kaggle's of 2019 with XML files": (
        "imagenet",
        [
            *(f"ILSVRC/Data/CLS-LOC/{name}" for name in FLAT),
            (f"ILSVRC/Annotations/CLS-LOC/val/{VAL}1.xml", XML.format(B, B)),
            (f"ILSVRC/Annotations/CLS-LOC/val/{VAL}2.xml", XML.format(A, A)),
        ],
        {},
        {"train": 2, "val": 2},
        [A, B],
        (f"val/{VAL}2.JPEG", A),
    ),
    "ImageNet-R": (
        "imagenet",
        [f"imagenet-r/{A}/art_0.jpg", f"imagenet-r/{B}/toy_3.jpg", "imagenet-r/README.txt"],
        {},
        {"test": 2},
        [A, B],
        (f"{A}/art_0.jpg", A),
    ),
    "ImageNet-Sketch": (
        "imagenet",
        [f"sketch/{A}/sketch_0.JPEG", f"sketch/{B}/sketch_1.JPEG"],
        {},
        {"test": 2},
        [A, B],
        (f"{A}/sketch_0.JPEG", A),
    ),
    "ImageNet-A": (
        "imagenet",
        [f"{A}/0.000116_digital clock _ digital clock_0.865662.jpg", f"{B}/0.1_x_0.2.jpg"],
        {},
        {"test": 2},
        [A, B],
        (f"{B}/0.1_x_0.2.jpg", B),
    ),
    "ImageNet-V2": (
        "imagenet",
        [f"v2/0/{40 * 'a'}.jpeg", f"v2/1/{40 * 'b'}.jpeg"],
        {},
        {"test": 2},
        [A, B],
        (f"1/{40 * 'b'}.jpeg", B),
    ),
    "training images of ImageNet alone": (
        "imagenet",
        [f"{A}/{A}_1.JPEG", f"{B}/{B}_2.JPEG"],
        {},
        {"train": 2},
        [A, B],
        None,
    ),
    "Tiny ImageNet inside itself": (
        "tiny-imagenet",
        [
            f"t/t/train/{A}/images/{A}_0.JPEG",
            f"t/t/train/{B}/images/{B}_0.JPEG",
            "t/t/val/images/val_0.JPEG",
            ("t/t/val/val_annotations.txt", f"val_0.JPEG\t{B}\t0\t0\n"),
            "t/t/test/images/test_0.JPEG",
        ],
        {},
        {"train": 2, "val": 1},
        [A, B],
        ("val/images/val_0.JPEG", B),
    ),
    "Tiny ImageNet, val sorted": (
        "tiny-imagenet",
        [
            f"train/{A}/images/{A}_0.JPEG",
            f"train/{B}/images/{B}_0.JPEG",
            f"val/{A}/val_0.JPEG",
            f"val/{B}/images/val_1.JPEG",
        ],
        {},
        {"train": 2, "val": 2},
        [A, B],
        (f"val/{A}/val_0.JPEG", A),
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_layout_is_read(tmp_path, name):
    kind, files, options, splits, classes, example = READ[name]
    actual, names, labels = read(kind, world(tmp_path, files), **options)
    assert (actual, names) == (splits, classes)
    assert (dict([example]) if example else {}).items() <= labels.items()
    lines = [
        line for line in check_lines(kind, tmp_path, **options) if line.startswith(("read as: ", "labels: "))
    ]
    assert len(lines) == 2
    assert all(f"{split} {counted(count, 'images')}" in lines[0] for split, count in splits.items())


@pytest.mark.parametrize(
    ("counts", "flat_val", "beside", "flat_test", "outside"),
    [
        ({"train/cat": 3, "train/dog": 2}, False, 0, 0, 0),
        ({"train/cat": 3, "train/dog": 2, "train": 1, "test": 4}, False, 1, 4, 0),
        ({"train/cat": 3, "train/dog": 2, "val": 4, "pred": 5}, True, 0, 0, 5),
        ({"train/cat": 3, "train/dog": 2, "val/all": 4, "test/all": 5}, True, 0, 5, 0),
        ({"cat": 2, "dog": 1, "": 3}, False, 3, 0, 0),
        ({"images/cat": 2, "images/dog": 1, "images": 3}, False, 3, 0, 0),
    ],
)
def test_images_that_are_not_read_are_counted(counts, flat_val, beside, flat_test, outside):
    layout = recognise(counts, flat_val=flat_val)
    expected = {
        "images beside class folders": beside,
        "images of test without class folders": flat_test,
        "images outside the splits": outside,
    }
    assert layout.left_out == Counter(expected)
    assert layout.classes == ["cat", "dog"]


def test_a_folder_that_holds_images_is_a_class_of_paths():
    layout = recognise({"church": 1, "church/in": 2}, Choice(nested=True))
    assert layout.classes == ["church", "church/in"]
    assert recognise({"images/cat": 1, "images/dog": 1}, Choice(nested=True)).classes == ["cat", "dog"]


@pytest.mark.parametrize(
    ("counts", "choice", "root", "containers", "words"),
    [
        ({"a/x/cat": 1, "a/x/dog": 1}, Choice(class_level=3), "a/x", {"a/x"}, "class folders in a/x"),
        ({"cat": 1, "dog": 1}, Choice(), "", {""}, "class folders"),
        (
            {"p/train/cat": 1, "p/train/dog": 1, "p/val/cat": 1},
            Choice(),
            "p",
            {"p/train", "p/val"},
            "class folders in p/train, p/val",
        ),
        (
            {"church/in": 1, "church/out": 1, "sea": 1},
            Choice(nested=True),
            "",
            {"", "church"},
            "each folder a class",
        ),
        (
            {"train/church/in": 1, "train/sea": 1},
            Choice(nested=True),
            "",
            {"train/church", "train"},
            "each folder a class in train",
        ),
        ({"cat": 1, "dog": 1}, Choice(splits="train=."), "", {""}, "class folders"),
    ],
)
def test_a_layout_is_told_with_the_folders_around_its_classes(counts, choice, root, containers, words):
    layout = recognise(counts, choice)
    assert (layout.root, layout.containers, layout.words) == (root, containers, words)
    one = next(iter(layout.class_of))
    assert layout.id_of(f"{one}/1.jpg") == f"{one}/1.jpg".removeprefix(f"{root}/" if root else "")


def test_no_name_of_many_classes_is_compared_with_all_others(monkeypatch):
    names = []
    is_unlabelled = left_out.is_unlabelled
    monkeypatch.setattr(left_out, "is_unlabelled", lambda name: names.append(name) or is_unlabelled(name))
    classes = [f"class {number}" for number in range(100)]
    folders = [f"{split}/{name}" for split in ("train", "val") for name in (*classes, "unlabeled")]
    layout = recognise(dict.fromkeys(folders, 1), Choice())
    assert (sorted(classes), len(names)) == (layout.classes, 101)
    assert layout.left_out["images in folders called unlabeled"] == 2


def test_a_zip_made_on_windows(tmp_path):
    with zipfile.ZipFile(tmp_path / "scenes.zip", "w") as archive:
        for name in ("train\\sea\\1.jpg", "train\\ice\\1.jpg", "val\\sea\\1.jpg"):
            archive.writestr(name, name)
    assert read("folder", tmp_path / "scenes.zip")[2] == {"val/sea/1.jpg": "sea"}
