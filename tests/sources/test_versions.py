"""Versions and copies of photos in class folders: held out together, noted; and files that are no images."""

from collections import defaultdict
from pathlib import Path

import pytest

from itl import ItlError
from itl.sources.folders.class_folders import ClassFolders
from itl.sources.listed.shards import WebDataset
from itl.sources.records import split_off_val
from tests.pictures import tarred, tree

LABELS = ("cat", "dog")


def photos(root: Path, folders: tuple[str, ...], names: list[str]) -> Path:
    """Write cat and dog in each of *folders*, with the same *names*."""
    return tree(
        root, *(f"{folder}/{label}/{name}" for folder in folders for label in LABELS for name in names)
    )


def sides(source: ClassFolders) -> dict[tuple[str, str], set[str]]:
    """The splits that the versions of one photo are in, by class and the start of the name."""
    splits = defaultdict(set)
    for record in source.records():
        name = record.id.rpartition("/")[2]
        splits[record.wnid, name.split(".")[0]].add(record.split)
    return splits


@pytest.mark.parametrize(
    "options",
    [
        {"class_level": 2},
        {"splits": "train=color,train=grey,train=cut"},
        {"splits": "none", "class_level": 2},
    ],
)
def test_versions_in_several_folders_are_held_out_together(tmp_path, options):
    photos(tmp_path, ("color", "grey", "cut"), [f"{number}.png" for number in range(10)])
    source = ClassFolders(tmp_path, val_fraction=0.3, **options)
    splits = sides(source)
    assert len(splits) == 20
    assert all(len(of_photo) == 1 for of_photo in splits.values())
    assert sorted(record.split for record in source.records()) == ["train"] * 42 + ["val"] * 18


def test_versions_by_roboflow_are_held_out_together(tmp_path):
    names = [f"{number}_jpg.rf.{version}c.jpg" for number in range(10) for version in ("0a", "1b")]
    photos(tmp_path, ("train",), names)
    source = ClassFolders(tmp_path, val_fraction=0.2)
    assert all(len(of_photo) == 1 for of_photo in sides(source).values())
    assert [record.split for record in source.records()].count("val") == 8


def test_all_versions_of_the_one_photo_of_a_class_stay_in_train(tmp_path):
    tree(tmp_path, "a/cat/1.png", "b/cat/1.png", "a/dog/1.png", "a/dog/2.png", "b/dog/1.png", "b/dog/2.png")
    records = ClassFolders(tmp_path, class_level=2, val_fraction=0.5).records()
    assert {record.wnid for record in records if record.split == "val"} == {"dog"}
    assert [record.split for record in records].count("val") == 2


@pytest.mark.parametrize("around", ["", "set/train/"])
@pytest.mark.parametrize("slices", [1, 3])
def test_folders_of_one_case_each_are_held_out_as_a_whole(tmp_path, around, slices):
    cases = [f"case{number:02}" for number in range(10)]
    names = [f"{case}/slice_{number}.png" for case in cases for number in range(slices)]
    photos(tmp_path, (around or ".",), names)
    of_split = defaultdict(set)
    records = ClassFolders(tmp_path, class_level=1, val_fraction=0.2).records()
    for record in records:
        of_split[record.split].add((record.wnid, record.id.split("/")[-2]))
    assert [record.split for record in records].count("val") == 2 * 2 * slices
    assert [len(of_split[split]) for split in ("train", "val")] == [16, 4]
    assert not of_split["train"] & of_split["val"]


CASES = {  # the images of one case, the level of its class, and the option group
    ("{label}/TCGA-AB-{case}/img{number}.png", 1, "TCGA-[A-Z]+-[0-9]+"),
    ("{label}/patient_{case}/{label}{case}_{number}.png", 1, "patient_[0-9]+"),
    ("SOB/{label}/kind/SOB_B_A-{case}/40X/B-{case}-{number}.png", 2, "SOB_B_A-[^/]+"),
    ("{case}/{label}/{case}_x{number}.png", 2, "^[0-9]+"),
    ("train/clip{case}/{label}/{number}.png", 2, "clip[0-9]+"),
    ("{label}/p{case}_view{number}.png", None, "p[0-9]+(?=_)"),
}


@pytest.mark.parametrize(("name", "level", "group"), sorted(CASES, key=str))
def test_images_with_one_match_of_group_are_held_out_together(tmp_path, name, level, group):
    cases, of_case = [f"{number:02}" for number in range(1, 9)], {}
    for label in LABELS:
        for case in cases:
            of_case |= {name.format(label=label, case=case, number=number): case for number in range(3)}
    tree(tmp_path, *of_case)
    source = ClassFolders(tmp_path, class_level=level, val_fraction=0.25, group=group)
    records = source.records()
    of_split = defaultdict(set)
    for record in records:
        of_split[record.split] |= {case for name, case in of_case.items() if name.endswith(record.id)}
    assert sorted((record.wnid, record.split) for record in records).count(("cat", "val")) == 6
    assert [len(of_split[split]) for split in ("train", "val")] == [6, 2]
    assert not of_split["train"] & of_split["val"]
    assert list(source.notes) == []


def test_folders_in_classes_that_are_divided_are_noted_and_group_is_checked(tmp_path):
    folders = [(label, case) for label in LABELS for case in "12"]
    tree(tmp_path, *(f"{label}/p{case}/{label}{case}_{n}.png" for label, case in folders for n in range(9)))
    source = ClassFolders(tmp_path, class_level=1, val_fraction=0.5)
    assert list(source.notes) == [
        "train and val share 4 folders in or around classes, such as cat/p1, cat/p2, dog/p1 …; if each is of "
        "one person or thing, set group to a regular expression for its name, and its images are held out "
        "together"
    ]
    one = ClassFolders(tmp_path, class_level=1, val_fraction=0.5, group="p1")
    assert list(one.notes) == ["group=p1 matches nothing in 18 images, held out one by one"]
    for group, error in (
        ("(", "is no regular expression"),
        ("q[0-9]", "matches no image, such as cat/p1/cat1_0.png"),
    ):
        with pytest.raises(ItlError, match=error):
            ClassFolders(tmp_path, class_level=1, val_fraction=0.5, group=group).records()
    with pytest.raises(
        ItlError, match="group=p1 says what val_fraction holds out together, which is not set"
    ):
        ClassFolders(tmp_path, class_level=1, group="p1").records()


def test_records_are_divided_once_for_all_notes(tmp_path, monkeypatch):
    fractions = []

    def count(records, fraction, *others):
        fractions.append(fraction)
        return split_off_val(records, fraction, *others)

    monkeypatch.setattr("itl.sources.folders.class_folders.split_off_val", count)
    photos(tmp_path, (".",), [f"p{case}/{number}.png" for case in "12" for number in range(5)])
    source = ClassFolders(tmp_path, class_level=1, val_fraction=0.2)
    assert source.records() == source.records()
    assert source.describe(source.records())
    assert fractions == [0.2]


def test_versions_in_folders_of_a_class_are_held_out_together(tmp_path):
    photos(tmp_path, (".",), [f"{kind}/{number}.png" for kind in ("color", "grey") for number in range(10)])
    source = ClassFolders(tmp_path, class_level=1, val_fraction=0.2)
    assert all(len(of_photo) == 1 for of_photo in sides(source).values())
    assert [record.split for record in source.records()].count("val") == 8
    photos(tmp_path / "one", (".",), ["color/0.png", "grey/0.png"])
    with pytest.raises(
        ItlError, match="as every class has versions of one photo alone, by their names; leave"
    ):
        ClassFolders(tmp_path / "one", class_level=1, val_fraction=0.2).records()


@pytest.mark.parametrize(
    "files", [("{}.jpg", "{}.png"), ("{}.jpg", "{}.JPG"), ("images/{}.jpg", "jpg/{}.jpg")]
)
def test_two_files_of_one_photo_are_held_out_together(tmp_path, files):
    photos(tmp_path, (".",), [file.format(number) for file in files for number in range(4)])
    source = ClassFolders(tmp_path, val_fraction=0.5)
    splits = sides(source)
    assert (len(splits), max(map(len, splits.values()))) == (8, 1)
    assert sorted(record.split for record in source.records()) == ["train"] * 8 + ["val"] * 8


def test_images_of_other_names_are_held_out_one_by_one_as_ever(tmp_path):
    """Of one class in two folders with other names, and of two classes of one name, each by its own hash."""
    names = [f"{number}.png" for number in range(6)]
    plain = ClassFolders(photos(tmp_path / "x", (".",), names), val_fraction=0.5).records()
    leveled = ClassFolders(tmp_path / "x", val_fraction=0.5, class_level=1).records()
    assert [record.id for record in plain if record.split == "val"] == [
        record.id for record in leveled if record.split == "val"
    ]
    assert [record.split for record in plain].count("val") == 6


UNREAD = {  # the files of bird -> how the refusal begins
    "heic": "3 files are in formats that are not read, such as train/bird/0.heic (convert them to one of ",
    "npy": "3 files are in formats that are not read, such as train/bird/0.npy (convert them to one of ",
    "txt": "1 class folder holds no images, such as train/bird; ",
}


@pytest.mark.parametrize("suffix", UNREAD)
def test_a_class_in_a_format_that_is_not_read_is_said_first(tmp_path, suffix):
    photos(tmp_path, ("train", "val"), ["1.png"])
    (tmp_path / "train" / "bird").mkdir()
    for number in range(3):
        (tmp_path / "train" / "bird" / f"{number}.{suffix}").write_bytes(b"x")
    error = str(pytest.raises(ItlError, ClassFolders(tmp_path).records).value)
    assert error.startswith(f"{tmp_path}: {UNREAD[suffix]}")
    assert "1 class folder holds no images, such as train/bird; fill them" in error


def test_shards_with_labels_are_those_of_webdataset(tmp_path):
    tarred(tmp_path / "train-0.tar", {"a/1.png": b"x", "a/1.cls": b"0"})
    with pytest.raises(ItlError, match="train-0.tar is a file of the source webdataset"):
        ClassFolders(tmp_path).records()
    tarred(tmp_path / "train-0.tar", {"1.png": b"x"})
    with pytest.raises(ItlError, match=r"such as 1.png in train-0.tar$"):
        WebDataset(tmp_path).records()


def test_folders_of_patients_around_classes_are_noted_and_those_held_out_whole_too(tmp_path):
    names = [
        f"patient{case}/{label}/{label}{case}_{n}.png" for case in range(4) for label in LABELS for n in "12"
    ]
    tree(tmp_path / "around", *names)
    (note,) = ClassFolders(tmp_path / "around", class_level=2, val_fraction=0.3).notes
    assert note.startswith("train and val share ")
    assert "in or around classes, such as patient" in note
    tree(
        tmp_path / "sizes",
        *(f"{label}/size{side}/{n}.png" for label in LABELS for side in (64, 128) for n in "12"),
    )
    (note,) = ClassFolders(tmp_path / "sizes", class_level=1, val_fraction=0.5).notes
    assert note == (
        "each numbered folder in cat, dog is held out whole, as of one person or thing, as images in several "
        "are called alike; else set group to a regular expression for what is one"
    )
