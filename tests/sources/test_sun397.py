"""SUN397 in small: nested classes, partitions in all the places people have them, and what is missing."""

import os
import zipfile

import pytest

from itl import ItlError
from itl.packs.pack import Pack
from itl.sources.folders.class_folders import ClassFolders
from itl.sources.published.sun397 import Sun397, class_of
from itl.sources.registry import open_source
from itl.specs import Packing
from tests.annotated import changed, check_lines, jpeg, problems_of, written
from tests.pictures import tarred

IMAGES = {
    f"SUN397/{name}.jpg": jpeg()
    for name in (
        "a/abbey/sun_1",
        "a/abbey/sun_2",
        "a/abbey/sun_3",
        "c/church/outdoor/sun_4",
        "c/church/outdoor/sun_5",
        "c/church/indoor/sun_6",
        "c/church/indoor/sun_7",
    )
}
LISTS = {
    "ClassName.txt": b"/a/abbey\r\n/c/church/indoor\r\n/c/church/outdoor\r\n",
    "Training_01.txt": b"/a/abbey/sun_1.jpg\n/c/church/outdoor/sun_4.jpg\n/c/church/indoor/sun_6.jpg\n",
    "Testing_01.txt": b"/a/abbey/sun_2.jpg\n/c/church/outdoor/sun_5.jpg\n/c/church/indoor/sun_7.jpg\n",
    "Training_10.txt": b"/a/abbey/sun_3.jpg\n/c/church/outdoor/sun_5.jpg\n/c/church/indoor/sun_6.jpg\n",
    "Testing_10.txt": b"/a/abbey/sun_2.jpg\n/c/church/outdoor/sun_4.jpg\n/c/church/indoor/sun_7.jpg\n",
}
EXPECTED = [
    ("a/abbey/sun_1.jpg", "abbey", "train"),
    ("a/abbey/sun_2.jpg", "abbey", "test"),
    ("c/church/indoor/sun_6.jpg", "church/indoor", "train"),
    ("c/church/indoor/sun_7.jpg", "church/indoor", "test"),
    ("c/church/outdoor/sun_4.jpg", "church/outdoor", "train"),
    ("c/church/outdoor/sun_5.jpg", "church/outdoor", "test"),
]


def below(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """*files* with *folder* around them."""
    return {f"{folder}/{name}": content for name, content in files.items()}


def layouts(root):
    """The same SUN397 in all the ways it may lie."""
    yield written(root / "beside", IMAGES | LISTS)
    yield written(root / "inside", IMAGES | below("SUN397", LISTS)) / "SUN397"
    yield written(root / "folder", IMAGES | below("Partitions", LISTS))
    yield written(root / "given", IMAGES | below("Partitions", LISTS)) / "SUN397"
    yield tarred(root / "whole.tar", below("data", IMAGES | below("Partitions", LISTS)))
    tarred(root / "tars/SUN397.tar", IMAGES)
    with zipfile.ZipFile(root / "tars/Partitions.zip", "w") as archive:
        for name, content in LISTS.items():
            archive.writestr(name, content)
    yield root / "tars"
    yield root / "tars/SUN397.tar"
    yield written(root / "small", {name.replace("SUN397", "sun397"): jpeg() for name in IMAGES} | LISTS)


def test_of_images_that_are_not_all_unpacked_those_of_one_letter_are_no_wrapper(tmp_path):
    some = {name: content for name, content in IMAGES.items() if name.startswith("SUN397/a/")}
    path = written(tmp_path, some | below("Partitions", LISTS)) / "SUN397"
    problems = "\n".join(problems_of(open_source("sun397", path)))
    assert "no such image; unpack the images again (4 problems of this kind, on c/church/" in problems


def test_a_pack_is_made_anew_where_lists_beside_the_images_have_changed(tmp_path):
    swapped = LISTS | {"Training_01.txt": LISTS["Testing_01.txt"], "Testing_01.txt": LISTS["Training_01.txt"]}
    zipped = tmp_path / "tars/Partitions.zip"
    written(tmp_path / "folder", IMAGES)
    tarred(tmp_path / "tars/SUN397.tar", IMAGES)
    for number, lists in enumerate((LISTS, swapped)):
        written(tmp_path / "folder", below("Partitions", lists))
        with zipfile.ZipFile(zipped, "w") as archive:
            for name, content in lists.items():
                archive.writestr(name, content)
        os.utime(zipped, (number, number))
        for name in ("folder/SUN397", "tars/SUN397.tar"):
            pack = Pack.build(Packing("sun397", size=8), tmp_path / f"{name}-pack", path=tmp_path / name)
            [first] = pack.table.loc[pack.table["image"] == "a/abbey/sun_1.jpg", "split"]
            assert first == ("train", "test")[number], name


def test_wherever_images_and_lists_lie(tmp_path):
    for path in layouts(tmp_path):
        source = Sun397(path)
        records = source.records()
        assert [(record.id, record.wnid, record.split) for record in records] == EXPECTED, path
        assert source.read(records[0]) == jpeg()
        assert source.left_out["images in neither list of partition 1"] == 1
        other = Sun397(path, partition=10)
        assert [record.id for record in other.records() if record.split == "train"] == [
            "a/abbey/sun_3.jpg",
            "c/church/indoor/sun_6.jpg",
            "c/church/outdoor/sun_5.jpg",
        ]
        assert other.protocol == "SUN397 partition 10, 6 of 39,700 images"


def test_of_two_folders_with_the_listed_images_neither_is_taken(tmp_path):
    masks = {f"SUN397_masks/{name}": jpeg(9, 9) for name in IMAGES}
    (problem,) = check_lines("sun397", written(tmp_path / "masks", IMAGES | LISTS | masks))[:1]
    assert problem == (
        f"problem: a/abbey/sun_1.jpg is there twice, and differs: {tmp_path}/masks/SUN397/a/abbey/sun_1.jpg "
        f"and {tmp_path}/masks/SUN397_masks/SUN397/a/abbey/sun_1.jpg; leave one of them"
    )
    copies = written(tmp_path / "copies", IMAGES | LISTS | below("copy", IMAGES))
    assert [record.id for record in Sun397(copies).records()] == [image for image, *_ in EXPECTED]


def test_a_folder_and_a_tar_give_the_same_pack(tmp_path):
    paths = [written(tmp_path / "here", IMAGES | LISTS), tarred(tmp_path / "sun.tar", IMAGES | LISTS)]
    packs = [
        Pack.build(Packing("sun397", size=8), tmp_path / f"pack{number}", path=path)
        for number, path in enumerate(paths)
    ]
    assert packs[0].digest == packs[1].digest
    assert packs[0].summary["protocol"] == "SUN397 partition 01, 6 of 39,700 images"
    assert packs[0].summary["splits"] == {"test": 3, "train": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"abbey__sun_1.jpg": None}, "partition 1 lists 'a/abbey/sun_1.jpg' for train, but there is no"),
        ({"Training_01": LISTS["Training_01.txt"] + b"/a/abbey/sun_2.jpg\n"}, "sun_2.jpg' is in both lists"),
        ({"ClassName": LISTS["ClassName.txt"].replace(b"abbey", b"abey")}, "'abbey'; did you mean 'abey'"),
        ({"Testing_01": b"/a/abbey/sun_2.jpg\n/c/church/indoor/sun_7.jpg\n"}, "'church/outdoor' has images"),
        ({"Training_01": None}, "has 7 images but not Training_01.txt and Testing_01.txt; Partitions.zip"),
        ({"Training": None, "Testing": None, "ClassName": None}, "the source folder reads the images"),
    ],
)
def test_trouble_is_a_line(tmp_path, changes, message):
    root = written(tmp_path / "sun", changed(IMAGES | LISTS, **changes))
    with pytest.raises(ItlError) as caught:
        Sun397(root).records()
    assert message in str(caught.value)
    lines = check_lines("sun397", root)
    assert message in lines[0]
    assert lines[0].startswith("problem: ")
    assert all("\n" not in line for line in lines)


def test_very_many_missing_images_are_one_line_and_can_be_skipped(tmp_path):
    more = b"".join(b"/a/abbey/sun_%d.jpg\n" % number for number in range(100, 200))
    files = changed(IMAGES | LISTS, Training_01=LISTS["Training_01.txt"] + more)
    root = written(tmp_path, files)
    assert problems_of(Sun397(root)) == [
        "partition 1 lists 'a/abbey/sun_100.jpg' for train, but there is no such image; unpack the images "
        "again (100 problems of this kind, on a/abbey/sun_100.jpg, a/abbey/sun_101.jpg, "
        "a/abbey/sun_102.jpg …)"
    ]
    source = Sun397(root, bad="skip")
    assert len(source.records()) == 6
    assert source.protocol == "SUN397 partition 01, 6 of 39,700 images without 100 bad images"


def test_check_counts_what_is_there(tmp_path):
    root = written(tmp_path, changed(IMAGES, sun_7=jpeg(1, 1)) | LISTS)
    lines = check_lines("sun397", root)
    assert lines == [
        "read as: SUN397 by the lists of partition 1: train 3 images, test 3 images",
        "labels: 3 classes, such as abbey; by their folders; left out: 1 image in neither list of "
        "partition 1",
        "note: 3 of 19,850 train images, 3 of 19,850 test images as published; scores cannot be compared "
        "with those of papers",
        "train: 3 images in 3 classes, 1 for each class",
        "test: 3 images in 3 classes, 1 for each class",
        "classes: 3 plain names (abbey, church/indoor, church/outdoor)",
        "  train: abbey 1, church/indoor 1, church/outdoor 1",
        "  test: abbey 1, church/indoor 1, church/outdoor 1",
        "note: every training image has a class of its own; where these are captions or ids, give its "
        "classes",
        "note: of images only headers were read; damage further in shows when they are packed",
        "note: 1 of 6 images are only one pixel wide or high, such as c/church/indoor/sun_7.jpg",
        f"next: itl pack sun397 {root} --size 256 --out PACK",
    ]


def test_without_lists_the_folder_source_reads_nested_classes(tmp_path):
    source = ClassFolders(written(tmp_path, IMAGES), nested=True)
    assert {record.wnid for record in source.records()} == {"a/abbey", "c/church/indoor", "c/church/outdoor"}


@pytest.mark.parametrize("partition", [0, 11, "1", True, 1.5])
def test_partitions_are_1_to_10(partition):
    with pytest.raises(ItlError, match="partitions 1 to 10, not|partition is a whole number"):
        open_source("sun397", "anywhere", partition=partition)


def test_only_the_letter_of_its_own_class_is_taken_off():
    assert [class_of(name) for name in ("a/abbey/1.jpg", "b/abbey/1.jpg", "abbey/1.jpg", "1.jpg")] == [
        "abbey",
        "b/abbey",
        "abbey",
        "",
    ]
