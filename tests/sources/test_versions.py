"""The option group of class folders, such as for versions of one photo; and files that are no images."""

from collections import defaultdict
from pathlib import Path

import pytest

from itl import ItlError
from itl.sources.folders.class_folders import ClassFolders
from itl.sources.held_out import split_off_val
from itl.sources.listed.shards import WebDataset
from tests.pictures import tarred, tree

LABELS = ("cat", "dog")


def photos(root: Path, folders: tuple[str, ...], names: list[str]) -> Path:
    """Write cat and dog in each of *folders*, with the same *names*."""
    return tree(
        root, *(f"{folder}/{label}/{name}" for folder in folders for label in LABELS for name in names)
    )


VERSIONS = {  # files of one photo, and the option group that holds them out together
    ("{}_jpg.rf.0ac.jpg", "{}_jpg.rf.1bc.jpg"): r"[^/]+(?=\.rf\.)",
    ("{}.jpg", "{}.png"): r"[^/]+(?=\.[a-z]+$)",
    ("color/{}.png", "grey/{}.png"): "[^/]+$",
}


@pytest.mark.parametrize("files", VERSIONS)
def test_versions_of_one_photo_are_held_out_one_by_one_or_by_the_option_group(tmp_path, files):
    photos(tmp_path, (".",), [file.format(number) for file in files for number in range(10)])
    divided = {}
    for group in (None, VERSIONS[files]):
        records = ClassFolders(tmp_path, class_level=1, val_fraction=0.2, group=group).records()
        assert sorted((record.wnid, record.split) for record in records).count(("cat", "val")) == 4
        splits = defaultdict(set)
        for record in records:
            splits[record.id.rpartition("/")[2][0]].add(record.split)
        divided[group] = any(len(of_photo) > 1 for of_photo in splits.values())
    assert divided == {None: True, VERSIONS[files]: False}


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


def test_the_option_group_is_checked(tmp_path):
    folders = [(label, case) for label in LABELS for case in "12"]
    tree(tmp_path, *(f"{label}/p{case}/{label}{case}_{n}.png" for label, case in folders for n in range(9)))
    one = ClassFolders(tmp_path, class_level=1, val_fraction=0.5, group="p1")
    assert list(one.notes) == ["18 images have no group, by the option group=p1, and are held out one by one"]
    for group, error in (
        ("(", "is no regular expression"),
        ("q[0-9]", "matches no image, such as cat/p1/cat1_0.png"),
        ("^", "matches no image, such as cat/p1/cat1_0.png"),
        ("cat|dog", "holds out no image, as every group has too much of a class"),
    ):
        with pytest.raises(ItlError, match=error):
            ClassFolders(tmp_path, class_level=1, val_fraction=0.5, group=group).records()
    with pytest.raises(
        ItlError, match="group=p1 says what val_fraction holds out together, which is not set"
    ):
        ClassFolders(tmp_path, class_level=1, group="p1").records()


def test_records_are_divided_once_for_notes_too(tmp_path, monkeypatch):
    fractions = []

    def count(records, fraction, *others):
        fractions.append(fraction)
        return split_off_val(records, fraction, *others)

    monkeypatch.setattr("itl.sources.folders.class_folders.split_off_val", count)
    photos(tmp_path, (".",), [f"p{case}/{number}.png" for case in "12" for number in range(5)])
    source = ClassFolders(tmp_path, class_level=1, val_fraction=0.2, group="p1/[01]")
    assert source.records() == source.records()
    assert source.describe(source.records())
    assert fractions == [0.2]


def test_images_are_held_out_alike_however_their_classes_are_told(tmp_path):
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


def test_a_paper_beside_the_images_is_no_reason(tmp_path):
    photos(tmp_path / "images", ("train", "other"), ["1.png"])
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers/x.pdf").write_bytes(b"x")
    error = str(pytest.raises(ItlError, ClassFolders(tmp_path).records).value)
    assert error.startswith(f"{tmp_path}: folders named like splits, 'images/train', lie beside others")


def test_shards_with_labels_are_those_of_webdataset(tmp_path):
    tarred(tmp_path / "train-0.tar", {"a/1.png": b"x", "a/1.cls": b"0"})
    with pytest.raises(ItlError, match="train-0.tar is a file of the source webdataset"):
        ClassFolders(tmp_path).records()
    tarred(tmp_path / "train-0.tar", {"1.png": b"x"})
    with pytest.raises(ItlError, match=r"such as 1.png in train-0.tar$"):
        WebDataset(tmp_path).records()
