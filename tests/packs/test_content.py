"""A pack that holds no longer what was packed is refused before runs learn from it."""

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq
import pytest

from itl import ItlError
from itl.packs import content
from itl.packs.content import check_content
from itl.packs.pack import Pack
from itl.specs import Packing
from tests.worlds import here, small_study


@pytest.fixture
def pack(tmp_path):
    options = {"classes": 2, "train": 3, "val": 1, "size": 16}
    return Pack.build(Packing("demo", size=16, options=options), tmp_path / "pack")


@pytest.fixture
def reads(monkeypatch):
    """The packs all of whose pixels were read."""
    read, damaged = [], Pack.damaged

    def counting(pack):
        read.append(pack.folder.name)
        return damaged(pack)

    monkeypatch.setattr(Pack, "damaged", counting)
    return read


def zero_end(path):
    """Write zeros over the second half of a file, whose size stays."""
    with path.open("r+b") as file:
        half = path.stat().st_size // 2
        file.seek(half)
        file.write(bytes(path.stat().st_size - half))


def test_pixels_are_read_once_and_again_where_the_files_are_others(pack, reads, tmp_path):
    for _ in range(2):
        check_content(pack)
    assert reads == ["pack"]
    shutil.copytree(pack.folder, tmp_path / "copy")
    for _ in range(2):
        check_content(Pack.open(tmp_path / "copy"))
    assert reads == ["pack", "copy"]
    os.utime(tmp_path / "copy/images.npy")
    check_content(Pack.open(tmp_path / "copy"))
    assert reads == ["pack", "copy", "copy"]


def test_zeros_at_the_end_of_the_pixels_are_named(pack):
    zero_end(pack.folder / "images.npy")
    for _ in range(2):
        with pytest.raises(ItlError, match="images are not what was packed, such as .*; move the pack away"):
            check_content(Pack.open(pack.folder))


def test_another_label_is_found(pack):
    table = pq.read_table(pack.folder / "index.parquet").to_pandas()
    table.loc[0, "wnid"] = table["wnid"].iloc[-1]
    table.to_parquet(pack.folder / "index.parquet")
    with pytest.raises(ItlError, match="its tables are not those of what was packed; move the pack away"):
        check_content(pack)


def test_annotated_objects_and_regions_are_content_too(tmp_path):
    packing = Packing("demo-detection", size=32, fit="pad", options={"train": 3, "test": 2, "size": 32})
    pack = Pack.build(packing, tmp_path / "pack")
    check_content(pack)
    table = pq.read_table(pack.folder / "objects.parquet").to_pandas()
    table.loc[0, "xmin"] += 1
    table.to_parquet(pack.folder / "objects.parquet")
    with pytest.raises(ItlError, match="its tables are not those of what was packed"):
        check_content(pack)


def test_of_processes_that_begin_at_once_one_reads(pack, reads, monkeypatch, caplog):
    """The jobs of an array would read ImageNet a hundred times over a network."""
    caplog.set_level("INFO")
    damaged = Pack.damaged

    def when_the_other_waits(pack):
        while not any("waiting for it" in message for message in caplog.messages):
            time.sleep(0.01)
        return damaged(pack)

    monkeypatch.setattr(Pack, "damaged", when_the_other_waits)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(check_content, [pack, Pack.open(pack.folder)]))
    assert reads == ["pack"]


def test_where_nothing_can_be_kept_it_is_read_once_in_each_process(pack, reads, monkeypatch):

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(content, "write_atomic", full)
    for _ in range(2):
        check_content(pack)
    assert len(reads) == 1
    os.utime(pack.folder / "images.npy")
    check_content(pack)
    assert len(reads) == 2, "its files are others"


def test_a_pack_that_may_only_be_read_is_used(pack, reads, monkeypatch):

    def read_only(path, write):
        raise ItlError(f"cannot write {path}: Read-only file system")  # as `itl.storage.write_atomic` says it

    monkeypatch.setattr(content, "write_atomic", read_only)
    for _ in range(2):
        check_content(pack)
    assert len(reads) == 1


def test_a_pack_beside_which_nothing_may_be_written_is_used(pack, reads, monkeypatch):
    """Its own folder may be written all the same."""
    access = os.access

    def allowed(path, mode):
        return access(path, mode) and path != pack.folder.parent

    monkeypatch.setattr(os, "access", allowed)
    (pack.folder.parent / "pack.lock").unlink()
    for _ in range(2):
        check_content(pack)
    assert reads == ["pack"]
    assert not (pack.folder.parent / "pack.lock").exists()


def test_runs_do_not_learn_from_a_damaged_pack(tmp_path):
    question, machine = small_study(), here(tmp_path)
    images = question.prepare(machine)["images"]
    zero_end(images.folder / "images.npy")
    with pytest.raises(ItlError, match=f"{images.folder} is damaged"):
        question.prepare(machine)
