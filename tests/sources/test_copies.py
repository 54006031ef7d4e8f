"""Published data that lie twice below a path: copies are one, and copies that differ are refused."""

import re

import pytest

from itl import ItlError
from itl.sources.registry import open_source
from tests.annotated import jpeg, voc2007, voc2012, written
from tests.pictures import tarred
from tests.sources.test_sun397 import EXPECTED, IMAGES, LISTS, below

BARE = {name.removeprefix("VOCdevkit/"): content for name, content in voc2007().items()}
XML, LIST, IMAGE = (
    f"VOC2007/{name}"
    for name in ("Annotations/000001.xml", "ImageSets/Main/test.txt", "JPEGImages/000001.jpg")
)
CHANGES = {
    XML: BARE[XML].replace(b"<xmin>", b"<xmin>1"),
    LIST: BARE[LIST].replace(b"000005", b"000003"),
    IMAGE: jpeg() + b"\0",
}


def ids(kind, path):
    return [(record.id, record.split) for record in open_source(kind, path).records()]


def test_a_year_of_voc_that_lies_twice_is_read_once(tmp_path):
    alone = ids("voc2007", written(tmp_path / "alone", BARE))
    twice = written(tmp_path / "twice", below("a", BARE) | below("b", BARE))
    beside = written(tmp_path / "beside", BARE)
    tarred(beside / "VOC2007.tar", BARE | {"VOC2007/README.txt": b"of the tar"})
    written(beside, {"VOC2007/README.txt": b"of the folder"})
    assert ids("voc2007", twice) == ids("voc2007", beside) == alone


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("layout", ["folders", "tar"])
def test_copies_of_a_year_of_voc_that_differ_are_refused(tmp_path, name, layout):
    other = {name: CHANGES[name]}
    if layout == "tar":
        path = written(tmp_path, BARE)
        tarred(path / "VOC2007.tar", BARE | other)
        places = f"{path / name} and that in {path / 'VOC2007.tar'}"
    else:
        path = written(tmp_path, below("a", BARE) | below("b", BARE | other))
        places = f"{path / 'a' / name} and {path / 'b' / name}"
    with pytest.raises(ItlError, match=re.escape(f"differs: {places}; leave one of them")):
        ids("voc2007", path)


@pytest.mark.parametrize("name", [XML, LIST])
def test_a_file_in_two_spellings_that_differs_is_refused(tmp_path, name):
    spelt = re.sub("(xml|txt)$", lambda match: match[0].upper(), name)
    path = written(tmp_path, BARE | {spelt: CHANGES[name]})
    with pytest.raises(ItlError, match=re.escape(f"differs: {path / spelt} and {path / name}; leave one")):
        ids("voc2007", path)


def test_copies_of_the_people_of_voc_2012_that_differ_are_refused(tmp_path):
    lists = [name for name in voc2012() if "ImageSets/Action" in name]
    path = written(tmp_path, below("a", voc2012()) | below("b", voc2012()))
    assert ids("voc2012-action", path) == ids("voc2012-action", path / "a")
    (path / "b" / lists[0]).write_bytes(b"2010_1 1 1\n")
    with pytest.raises(ItlError, match=r"is there twice, and differs: .*a/VOC.* and .*b/VOC.*; leave one"):
        ids("voc2012-action", path)


@pytest.mark.parametrize("folder", ["SUN397", "Partitions", "other"])
def test_a_partition_of_sun397_in_two_files_is_read_where_they_are_the_same(tmp_path, folder):
    path = written(tmp_path / "sun", IMAGES | LISTS | below(folder, LISTS))
    assert [(*one,) for one in ids("sun397", path)] == [(id, split) for id, _, split in EXPECTED]
    (path / folder / "Training_01.txt").write_bytes(LISTS["Training_10.txt"])
    with pytest.raises(
        ItlError, match=r"two files Training_01\.txt that differ, one of them .*; leave the one"
    ):
        ids("sun397", path)
    assert len(open_source("sun397", path, partition=10).records()) == 6


def test_a_partition_beside_the_given_folder_may_not_differ_either(tmp_path):
    path = written(tmp_path, IMAGES | below("SUN397", LISTS) | below("Partitions", LISTS))
    (path / "Partitions/Testing_01.txt").write_bytes(LISTS["Testing_10.txt"])
    with pytest.raises(ItlError, match=r"two files Testing_01\.txt that differ, one of them .*Partitions"):
        ids("sun397", path / "SUN397")


def test_images_of_sun397_in_a_folder_and_a_tar_may_not_differ(tmp_path):
    path = written(tmp_path, IMAGES | LISTS)
    tarred(path / "SUN397.tar", IMAGES)
    assert len(ids("sun397", path)) == 6
    tarred(path / "SUN397.tar", IMAGES | {"SUN397/a/abbey/sun_1.jpg": jpeg() + b"\0"})
    with pytest.raises(
        ItlError, match=r"sun_1\.jpg is there twice, and differs: .* and that in .*SUN397\.tar"
    ):
        ids("sun397", path)
