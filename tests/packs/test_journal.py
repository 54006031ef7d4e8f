"""The journal of a pack: what it holds after a kill, a full disk and a cut."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from itl import ItlError
from itl.packs.journal import Journal, JournalRow, checksum, decode_record
from itl.sources.records import Record
from itl.specs import Packing

IDENTITY = {"source": "photos", "size": 8}
ROWS = [JournalRow(30, 20, "aa", ("jpeg",)), JournalRow(error="no image"), JournalRow(1, 2, "bb")]


@pytest.fixture
def journal(tmp_path):
    """A journal with its identity and two lines: of two rows and of one."""
    journal = Journal(tmp_path / "journal")
    journal.begin(IDENTITY)
    journal.append(ROWS[:2])
    journal.append(ROWS[2:])
    yield journal
    journal.close()


def test_lines_have_a_checksum_and_are_read_again(journal, tmp_path):
    identity, first, second = journal.path.read_bytes().splitlines()
    assert identity.split(b" ", 1)[1] == b'{"size":8,"source":"photos"}'
    assert first.split(b" ", 1)[1] == b'[[30,20,"aa",["jpeg"],null],[0,0,"",[],"no image"]]'
    assert [len(line.split(b" ")[0]) for line in (identity, first, second)] == [8, 8, 8]
    again = Journal(journal.path)
    assert (again.identity, len(again.rows)) == (IDENTITY, 3)
    assert again.rows[1] == JournalRow(0, 0, "", [], "no image")
    assert os.listdir(tmp_path) == ["journal"]
    umask = os.umask(0)
    os.umask(umask)
    assert journal.path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_no_file_is_an_empty_journal_that_has_nothing_to_close(tmp_path):
    empty = Journal(tmp_path / "journal")
    assert (empty.identity, empty.rows) == (None, [])
    empty.close()
    assert os.fstat(1), "standard output is still open"


def test_a_closed_journal_may_be_closed_again(journal):
    journal.close()
    journal.close()
    assert os.fstat(1), "standard output is still open"


@pytest.mark.parametrize("harm", ["no newline", "flipped digit", "no checksum"])
def test_what_follows_a_damaged_line_is_dropped_and_written_anew(journal, harm):
    whole = journal.path.read_bytes()
    journal.close()
    identity, first, second = whole.splitlines(keepends=True)
    damaged = {
        "no newline": identity + first + second[:-1],
        "flipped digit": identity + first + second.replace(b"1", b"7", 1) + second,
        "no checksum": identity + first + second.partition(b" ")[2],
    }[harm]
    journal.path.write_bytes(damaged)
    again = Journal(journal.path)
    assert len(again.rows) == 2
    again.begin({"another": "identity"})
    assert again.identity == IDENTITY, "that of the file stays"
    assert journal.path.read_bytes() == identity + first
    again.append(ROWS[2:])
    again.close()
    assert journal.path.read_bytes() == whole


def test_the_first_rows_may_be_kept_alone(journal):
    journal.keep_first(2)
    assert len(journal.rows) == 2
    journal.append(ROWS[2:])
    again = Journal(journal.path)
    assert (again.identity, [row.checksum for row in again.rows]) == (IDENTITY, ["aa", "", "bb"])
    assert os.listdir(journal.path.parent) == ["journal"]


def test_a_line_that_the_disk_takes_in_two_parts_is_whole(journal, monkeypatch):
    whole, write = journal.path.read_bytes(), os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda handle, data, offset: write(handle, data[:20], offset))
    journal.append([JournalRow(3, 4)])  # of 33 bytes: 20, then the rest
    assert journal.path.read_bytes()[len(whole) :].endswith(b' [[3,4,"",[],null]]\n')
    assert len(Journal(journal.path).rows) == 4


def test_pixels_are_named_by_sixteen_digits():
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert checksum(pixels) == checksum(pixels.tobytes()) == checksum(pixels[::-1][::-1])
    assert checksum(pixels) != checksum(pixels[::-1])
    assert (len(checksum(pixels)), int(checksum(pixels), 16) > 0) == (16, True)


def row_of(error: Exception) -> JournalRow:
    """Return the row of an image at whose reading *error* is raised."""

    def read(_):
        raise error

    row, pixels = decode_record(
        SimpleNamespace(read=read), Packing("folder"), Record("cat/1.png", "cat", "train")
    )
    assert pixels is None
    return row


def test_why_an_image_is_unreadable_is_kept():
    gone = FileNotFoundError(2, "No such file or directory", "/photos/cat/1.png")
    assert row_of(gone).error == "the file cannot be read: No such file or directory"
    assert row_of(OSError("unexpected end")).error == "the file cannot be read: unexpected end"
    assert row_of(ItlError("not an image")).error == "not an image"


def test_what_the_system_refuses_ends_the_packing_instead():
    denied, broken = PermissionError(13, "Permission denied"), ItlError("the table is damaged")
    broken.__cause__ = OSError(5, "Input/output error")
    for error, reason in ((denied, "Permission denied"), (broken, "Input/output error")):
        with pytest.raises(
            ItlError, match=f"cat/1.png cannot be read: {reason}; this says nothing of the image"
        ):
            row_of(error)
    with pytest.raises(
        ItlError, match=r"^cat/1.png needs more memory than there is; use fewer --workers, or"
    ):
        row_of(MemoryError())
