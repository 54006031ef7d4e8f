"""The journal of a pack: what it holds after a kill, a full disk and a cut."""

import os

import numpy as np
import pytest

from itl.packs.journal import Journal, JournalRow, checksum

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
