"""`itl labels`: label sets as CSV, of all leaves or some, and lists of the current folder."""

import csv
import io

import pytest

from itl.hierarchy.taxonomy import Taxonomy
from tests.test_main import itl


def test_labels_as_csv(capsys):
    status, out, err = itl(capsys, "labels", "bottom-up@9")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (status, err) == (0, "")
    assert [row["wnid"] for row in rows] == sorted(Taxonomy.snapshot().leaves)
    assert len({row["label"] for row in rows}) == 486


def test_labels_of_some_leaves(capsys, tmp_path):
    (tmp_path / "leaves").write_text("n02110185\nn02108915\n")
    assert itl(capsys, "labels", "original", "--leaves", str(tmp_path / "leaves")) == (
        0,
        "wnid,label\nn02108915,n02108915\nn02110185,n02110185\n",
        "",
    )


def test_labels_of_some_leaves_say_that_they_are_not_merged(capsys, tmp_path):
    (listed := tmp_path / "pets.csv").write_text("wnid,label\nn02110185,dogs\nn02108915,dogs\n")
    _, out, note = itl(capsys, "labels", "original", "--leaves", str(listed))
    assert out == "wnid,label\nn02108915,n02108915\nn02110185,n02110185\n"
    assert note == f"note: --leaves keeps the classes of {listed}; `itl labels file@{listed}` merges them\n"


def test_a_list_on_the_command_line_is_one_of_the_current_folder(capsys, tmp_path, monkeypatch):
    for folder in ("params", "notebooks", "lists"):
        (tmp_path / folder).mkdir()
    (tmp_path / "lists" / "some.txt").write_text("n02110185\n")
    monkeypatch.chdir(tmp_path / "lists")
    listed = "wnid,label\nn02110185,n02110185\n"
    assert itl(capsys, "labels", "original+file@some.txt") == (0, listed, "")
    assert itl(capsys, "labels", f"file@{tmp_path}/lists/some.txt") == (0, listed, "")
    monkeypatch.chdir(tmp_path)
    assert itl(capsys, "labels", "file@lists/some.txt") == (0, listed, "")


@pytest.mark.parametrize("name", ["c++", "c#1", "a+without@dog"])
def test_a_list_of_the_current_folder_is_read_whatever_is_above_it(capsys, tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "some.txt").write_text("n02110185\n")
    monkeypatch.chdir(tmp_path / name)
    assert itl(capsys, "labels", "file@some.txt") == (0, "wnid,label\nn02110185,n02110185\n", "")


def test_labels_of_a_list_say_what_of_it_is_no_class(capsys, tmp_path):
    (listed := tmp_path / "listed").write_text("n02110185\nn02084071\n")
    status, out, err = itl(capsys, "labels", f"file@{listed}")
    assert (status, out) == (0, "wnid,label\nn02110185,n02110185\n")
    said = "not among these 1,000 classes, such as n02084071 (dog)"
    assert err == f"itl: note: 1 class is in {listed} but {said}\n"
