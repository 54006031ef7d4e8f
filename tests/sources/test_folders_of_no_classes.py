"""Folders that are no classes by their names: parts of one set, masks beside images, unlabelled images."""

import pytest

from itl import ItlError
from itl.sources.folders.layout import Choice
from itl.sources.folders.layout_options import recognise
from tests.annotated import check_lines
from tests.pictures import tree

CURE = "put the images of each class into a folder of its own"


def in_each(*folders: str, images: int = 3) -> dict[str, int]:
    """Return that there are so many *images* in each of *folders*."""
    return dict.fromkeys(folders, images)


@pytest.mark.parametrize(
    "folders",
    [
        ("HAM10000_images_part_1", "HAM10000_images_part_2"),
        ("part1", "part2", "part3"),
        ("Batch_1", "batch_2"),
        ("chunk_00", "chunk_01"),
        ("fold0", "fold1"),
        ("shard-0001", "shard-0002"),
        ("train/HAM_part_1", "train/HAM_part_2", "test/HAM_part_1", "test/HAM_part_2"),
        ("data/part1", "data/part2"),
    ],
)
def test_numbered_parts_of_one_set_of_images_are_refused(folders):
    with pytest.raises(ItlError, match="differ by a number alone, as parts of one set of images do") as error:
        recognise(in_each(*folders))
    names = sorted({folder.rpartition("/")[2] for folder in folders})
    level = 1 + folders[0].startswith("data/")
    offer = f"--option class_level={level} ({len(names)} classes, {', '.join(names)}; "
    assert offer in str(error.value)
    assert recognise(in_each(*folders), Choice(class_level=level)).classes == names


def test_folders_that_differ_in_case_alone_are_refused_for_that():
    says = "^'PlantVillage', 'plantvillage' differ in case alone, as parts of one set of images do "
    with pytest.raises(ItlError, match=says):
        recognise(in_each("PlantVillage", "plantvillage"))


def test_folders_called_query_and_gallery_are_offered_as_no_classes():
    """As in Market-1501; of a class beside them they are."""
    folders = ("m/bounding_box_test", "m/bounding_box_train", "m/query")
    assert "bounding_box" not in str(pytest.raises(ItlError, recognise, in_each(*folders)).value)
    assert "--option class_level=2 (4 classes, bounding_box_test" in str(
        pytest.raises(ItlError, recognise, in_each(*folders, "m/cat")).value
    )


@pytest.mark.parametrize(
    "folders",
    [
        ("part1", "part2", "cat"),  # one differs by more
        ("1", "2"),
        ("class1", "class2"),
        ("stage_1", "stage_2"),
        ("part_a", "part_b"),
        ("party1", "party2"),
        ("body part", "spare part"),
    ],
)
def test_other_numbered_folders_are_classes(folders):
    assert recognise(in_each(*folders)).classes == sorted(folders)


@pytest.mark.parametrize(
    ("photos", "masks"),
    [
        ("photos", "masks"),
        ("photo", "labels"),
        ("pictures", "gt"),
        ("Original_Images", "Masks"),
        ("original", "mask"),
        ("frames", "Ground Truth"),
        ("raw", "segmentations"),
    ],
)
@pytest.mark.parametrize(("outer", "level"), [("", 1), ("train/", 1), ("data/", 2)])
def test_photos_and_their_masks_are_no_two_classes(photos, masks, outer, level):
    counts = in_each(outer + photos, outer + masks)
    with pytest.raises(ItlError) as error:
        recognise(counts)
    assert str(error.value).startswith(
        f"{masks!r} is no class by its name, but where masks of {photos!r} lie (if both are classes: "
        f"--option class_level={level}); {CURE}"
    )
    assert recognise(counts, Choice(class_level=level)).classes == sorted([photos, masks])


@pytest.mark.parametrize(
    "folders",
    [("hats", "masks"), ("cat", "labels"), ("original", "fake"), ("photo", "sketch"), ("raw", "ripe")],
)
def test_one_of_both_alone_is_a_class(folders):
    assert recognise(in_each(*folders)).classes == sorted(folders)


@pytest.mark.parametrize("photos", ["photos", "pictures", "frames", "original", "raw", "images"])
def test_masks_inside_class_folders_are_left_out_beside_folders_of_any_such_name(photos):
    folders = [f"{label}/{inner}" for label in ("cat", "dog") for inner in (photos, "masks")]
    layout = recognise(in_each(*folders), Choice(class_level=1))
    assert layout.classes == ["cat", "dog"]
    assert sorted(layout.class_of) == [f"cat/{photos}", f"dog/{photos}"]
    assert +layout.left_out == {"images in folders of masks": 6}


@pytest.mark.parametrize("name", ["unlabeled", "Unlabelled", "predictions", "pred"])
@pytest.mark.parametrize("outer", ["", "train/", "images/"])
def test_unlabelled_images_beside_classes_are_left_out_and_counted(name, outer):
    counts = in_each(f"{outer}cat", f"{outer}dog", f"{outer}unknown") | {f"{outer}{name}": 50}
    layout = recognise(counts)
    assert layout.classes == ["cat", "dog", "unknown"]
    assert +layout.left_out == {f"images in folders called {name}": 50}
    level = 1 + (outer == "images/")
    assert recognise(counts, Choice(class_level=level)).classes == sorted(["cat", "dog", "unknown", name])


def test_they_are_left_out_with_the_folders_in_them_and_said(tmp_path):
    tree(tmp_path, "cat/1.jpg", "dog/1.jpg", "predictions/cat/1.jpg", "predictions/dog/1.jpg")
    lines = check_lines("folder", tmp_path)
    assert lines[0] == "read as: class folders: train 2 images"
    assert lines[1].endswith("; left out: 2 images in folders called predictions")


@pytest.mark.parametrize("folders", [("labeled", "unlabeled"), ("seg_pred", "cat", "dog")])
def test_beside_one_folder_or_with_other_words_they_are_classes(folders):
    assert recognise(in_each(*folders)).classes == sorted(folders)


def test_folders_named_like_a_copy_of_another_class_are_said(tmp_path):
    copies = ["Copy of cat", "cat (1)", "cat (another copy)", "cat - Copy", "cat - Copy (2)", "cat copy 2"]
    others = ["cat", "cat 2", "crane (2)", "dog copycat", "hard copy"]
    assert not any("like a copy" in note for note in notes(tmp_path / "none", *copies, *others[1:]))
    says = (
        f"6 classes are named like a copy of another class: {', '.join(copies[:3])} …; move copies elsewhere"
    )
    assert f"note: {says}" in notes(tmp_path / "all", *copies, *others)


def notes(root, *classes):
    """What is said of an image in each of *classes*."""
    return check_lines("folder", tree(root, *(f"{name}/{name}.jpg" for name in classes)))
