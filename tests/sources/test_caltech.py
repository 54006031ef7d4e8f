"""Caltech-101: its classes, its drawn splits, and folders that are no classes."""

import pytest

from itl import ItlError
from itl.sources.registry import open_source
from tests.annotated import check_lines, images, written
from tests.sources.test_target_sets import ANTS_AND_EMUS, OBJECTS, SETS


@pytest.mark.parametrize(("background", "classes"), [("keep", 102), ("drop", 101)])
def test_caltech_has_its_classes_with_the_background_or_without(tmp_path, background, classes):
    root = written(tmp_path, SETS["caltech101"][0] | images("101_ObjectCategories/BACKGROUND_Google/2.jpg"))
    lines = check_lines("caltech101", root, background=background, train_images=1)
    assert f"note: {classes - 99} of {classes} classes" in lines


def test_the_same_images_of_caltech_are_drawn_on_every_machine(tmp_path):
    files, options, *_ = SETS["caltech101"]
    one = open_source("caltech101", written(tmp_path / "a", files), **options).records()
    other = written(tmp_path / "b" / "around", files).parent
    assert [record.split for record in open_source("caltech101", other, **options).records()] == [
        record.split for record in one
    ]


def test_two_copies_of_caltech_are_refused_as_training_images_would_be_test_images_too(tmp_path):
    files, options, *_ = SETS["caltech101"]
    path = written(tmp_path, files | {f"caltech-101/{name}": data for name, data in files.items()})
    with pytest.raises(ItlError, match="may be classes: .*; give a folder with nothing but class folders"):
        open_source("caltech101", path, **options).records()


@pytest.mark.parametrize(
    ("top", "others", "reasons"),
    [
        (f"{OBJECTS}/", ["montage.jpg"], {"images in no class folder, or of one left out": 1}),
        (f"{OBJECTS}/", [f"{OBJECTS}/a{n}.jpg" for n in range(8)], {"images beside class folders": 8}),
        (f"set/{OBJECTS}/", ["Annotations/ant/1.png"], {"images in no class folder, or of one left out": 1}),
        ("renamed/", [], {}),
        ("", ["montage.jpg"], {"images beside class folders": 1}),
    ],
)
def test_images_of_caltech_outside_of_its_class_folders_are_left_out(tmp_path, top, others, reasons):
    path = written(tmp_path, images(*(top + name for name in ANTS_AND_EMUS), *others))
    source = open_source("caltech101", path, train_images=3)
    assert [(one.id, one.wnid) for one in source.records()] == [
        (top + name, name[:3]) for name in ANTS_AND_EMUS
    ]
    assert source.left_out == reasons


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            [*ANTS_AND_EMUS, "ant/flipped/1.jpg"],
            "may be classes: ant/flipped; give a folder with nothing but",
        ),
        ([*ANTS_AND_EMUS, "masks/ant/1.png"], "may be classes: masks/ant; give a folder with nothing but"),
        (
            [f"{split}/{name}" for split in ("train", "test") for name in ANTS_AND_EMUS],
            "has class folders in test, train, but Caltech-101 has no official splits, and this source draws "
            "its own from all images; the source folder reads those that you have",
        ),
        (
            [f"train/{OBJECTS}/{name}" for name in ANTS_AND_EMUS],
            f"all images lie in '{OBJECTS}', which may be one class",
        ),
        (["1.jpg", "2.jpg"], "it holds 2 images, but no class folders; give a folder with nothing but class"),
        (
            [*ANTS_AND_EMUS, "cow/1.jpg"],
            "class 'cow' has 1 image, and 3 of each class were asked for, so none",
        ),
        ([*ANTS_AND_EMUS, "cow/1.jpg"], "none would remain; add images, or remove it"),
        (
            [*ANTS_AND_EMUS, "cat/1.jpg", "cat/2.jpg", "cow/1.jpg", "cow/2.jpg", "cow/3.jpg"],
            "class 'cat' has 2 images, and 3 of each class were asked for, so none would remain; set the "
            "option train_images to 1 or fewer",
        ),
    ],
)
def test_folders_of_caltech_that_are_not_all_classes_are_refused(tmp_path, names, says):
    source = open_source("caltech101", written(tmp_path, images(*names)), train_images=3)
    with pytest.raises(ItlError) as error:
        source.records()
    assert says in str(error.value)
