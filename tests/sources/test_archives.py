"""Class folders in tars and zips: the same images, and what cannot be read in place."""

import gzip
import re
import struct
import subprocess
import tarfile
import zipfile

import pytest

from itl import ItlError
from itl.sources.files import archives
from itl.sources.folders.class_folders import ClassFolders
from tests.annotated import check_lines
from tests.pictures import REAL, tarred, tree


def test_members_that_leave_the_archive_are_left_out_and_counted(tmp_path):
    files = {
        "cat/1.jpg": b"1",
        "fox/1.jpg": b"1",
        "../cat/2.jpg": b"2",
        "/cat/3.jpg": b"3",
        "cat/../../4.jpg": b"4",
    }
    path = tarred(tmp_path / "evil.tar", files, **{"cat/5.jpg": "/etc/passwd", "dog": ".."})
    source = ClassFolders(path)
    assert [record.id for record in source.records()] == ["cat/1.jpg", "fox/1.jpg"]
    assert source.left_out == {"names that leave the archive": 3, "links that lead nowhere": 2}
    assert (
        "left out: 3 names that leave the archive, 2 links that lead nowhere"
        in check_lines("folder", path)[1]
    )


@pytest.mark.parametrize("make", ["tar", "zip"])
def test_links_to_files_of_an_archive_are_these_files(tmp_path, make):
    """Tools that store equal files once, and tars of linked trees, have images as links."""
    links = {
        "photos/cat/2.jpg": "../all/1.jpg",
        "photos/cat/3.jpg": "2.jpg",
        "photos/dog/4.jpg": "gone.jpg",
        "photos/dog/more": "../cat",
        "photos/dog/5.jpg": "5.jpg",
    }
    path = tmp_path / f"photos.{make}"
    if make == "tar":
        tarred(path, {"photos/all/1.jpg": b"one", "photos/dog/1.jpg": b"two"}, **links)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("photos/all/1.jpg", "one")
            archive.writestr("photos/dog/1.jpg", "two")
            for name, target in links.items():
                (link := zipfile.ZipInfo(name)).external_attr = 0o120777 << 16
                archive.writestr(link, target)
    source = ClassFolders(path)
    contents = {record.id: source.read(record) for record in source.records()}
    assert contents == {"all/1.jpg": b"one", "cat/2.jpg": b"one", "cat/3.jpg": b"one", "dog/1.jpg": b"two"}
    assert source.left_out == {"links that lead nowhere": 2, "links to folders": 1}


def test_hard_links_in_a_tar_are_files(tmp_path):
    first = tree(tmp_path / "t", "cat/1.jpg", "dog/2.jpg") / "cat/1.jpg"
    (tmp_path / "t/dog/1.jpg").hardlink_to(first)
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        tar.add(tmp_path / "t", ".")
    source = ClassFolders(tmp_path / "t.tar")
    assert [record.id for record in source.records()] == ["cat/1.jpg", "dog/1.jpg", "dog/2.jpg"]
    assert len({source.read(record) for record in source.records()}) == 2
    assert not source.left_out


def test_a_tar_behind_a_tar_is_not_passed_over(tmp_path):
    one = tarred(tmp_path / "one.tar", {"cat/1.jpg": b"1", "dog/1.jpg": b"1"}).read_bytes()
    two = tarred(tmp_path / "two.tar", {"fox/1.jpg": b"1"}).read_bytes()
    (tmp_path / "both.tar").write_bytes(one + two)
    with pytest.raises(ItlError, match="both.tar is several tars in one file.*--ignore-zeros -xf"):
        ClassFolders(tmp_path / "both.tar").records()
    (tmp_path / "padded.tar").write_bytes(one + bytes(512 * 4096) + b"signature".ljust(512))
    assert len(ClassFolders(tmp_path / "padded.tar").records()) == 2


def test_a_compressed_tar_without_its_suffix_is_made_plain_by_the_command_that_is_named(tmp_path):
    plain = tarred(tmp_path / "whole.tar", {"cat/1.jpg": b"1" * 2000}).read_bytes()
    for name in ("an archive.tar", "b.tar.gz", "c.tgz", "d"):
        (tmp_path / name).write_bytes(gzip.compress(plain))
        with pytest.raises(ItlError) as caught:
            archives.open_listing(tmp_path / name)
        subprocess.run(re.search("`(.*)`", str(caught.value))[1], shell=True, check=True)
    made = ("an archive.plain.tar", "b.tar", "c.tar", "d.plain.tar")
    assert [(tmp_path / name).read_bytes() == plain for name in made] == [True] * 4


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_is_not_deflated_is_to_be_unpacked(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("cat/1.jpg", b"1")
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("cat/2.jpg", b"2")
    with pytest.raises(ItlError, match="1 image that cannot be read here, such as cat/1.jpg: they are encr"):
        archives.open_listing(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", method) as archive:
        archive.writestr("README.txt", b"1")
    assert archives.open_listing(tmp_path / "b.zip").left_out == {"encrypted or oddly compressed members": 1}


def test_archives_that_cannot_be_read_in_place_say_why(tmp_path):
    whole = tarred(tmp_path / "whole.tar", {"cat/1.jpg": b"1" * 2000, "cat/2.jpg": b"2" * 2000}).read_bytes()
    cases = {
        "cut.tar": (whole[:3500], "not a whole tar: cut short"),
        "between.tar": (whole[:2560], "not a whole tar: no end mark after 1 file; copy it again, or, if it"),
        "garbage.tar": (b"x" * 2000, "is no tar, or damaged from its first byte"),
        "damaged.tar": (whole[:2560] + b"\xff" * 512 + whole[3072:], "damaged at byte 2,560 after 1 file"),
        "packed.tar": (b"\x1f\x8b" + b"0" * 99, "gunzip"),
        "empty.tar": (b"", "is no tar, or damaged"),
        "bad.zip": (
            b"PK\3\4" + b"0" * 99,
            "bad.zip is damaged, or not a zip .File is not a zip file.; copy it again",
        ),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ItlError, match=message):
            archives.open_listing(tmp_path / name)


def test_a_tar_that_was_written_without_an_end_is_read_once_it_has_one(tmp_path):
    whole = tarred(tmp_path / "whole.tar", {"cat/1.jpg": b"1" * 2000}).read_bytes()
    for blocks in (1, 2):  # a lone one is enough, as for other tools
        (tmp_path / "bare.tar").write_bytes(whole[:2560] + bytes(512 * blocks))
        assert archives.open_listing(tmp_path / "bare.tar").files.keys() == {"cat/1.jpg"}


def test_a_damaged_zip_member_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("cat/1.jpg", b"sound")
        archive.writestr("fox/1.jpg", b"quiet")
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace(b"sound", b"bound"))
    source = ClassFolders(tmp_path / "a.zip")
    with pytest.raises(ItlError, match="checksum"):
        source.read(source.records()[0])
    directory = data.index(b"PK\1\2")
    refusal = "^damaged in its zip: it is not where the zip's list of files says$"
    for offset in (1, directory + 9, 1 << 30):  # nothing, no header and no file there
        (tmp_path / "a.zip").write_bytes(with_bytes(data, directory + 42, struct.pack("<I", offset)))
        source = ClassFolders(tmp_path / "a.zip")
        with pytest.raises(ItlError, match=refusal):
            source.read(source.records()[0])
    (tmp_path / "a.zip").write_bytes(with_bytes(data, directory + 6, b"\xff"))  # the version that it needs
    reason = "zip file version 25.5"
    with pytest.raises(ItlError, match=f"a.zip is damaged, or not a zip .{reason}.; copy it again$"):
        ClassFolders(tmp_path / "a.zip").records()


def with_bytes(data: bytes, at: int, changed: bytes) -> bytes:
    """Return *data* with other bytes from *at* on."""
    return data[:at] + changed + data[at + len(changed) :]


@pytest.mark.skipif(not REAL.is_dir(), reason="no real images in ../shared/data")
def test_real_archives():
    scenes = ClassFolders(REAL / "scenes-15.tar")
    counts = [sum(record.split == split for record in scenes.records()) for split in ("train", "test")]
    assert counts == [450, 450]
    assert scenes.read(scenes.records()[0]).startswith(b"\xff\xd8\xff")
