"""Packs of a source that has changed since: only what changed is decoded, to the bytes of a new pack."""

import json
import os
import pickle
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from itl import ItlError
from itl.packs import source_state, writer
from itl.packs.content import check_content
from itl.packs.fit import LOW_CONTRAST
from itl.packs.journal import Journal
from itl.packs.pack import Pack
from itl.packs.thumbnails import Gallery
from itl.sources.files.image_files import LATE_EXIF
from itl.sources.folders.class_folders import ClassFolders
from itl.specs import Packing
from tests.pictures import encoded, forked, same, smooth, tarred, with_late_exif
from tests.sources import containers

PACKING = Packing("folder", size=24, unreadable=0.1)


@pytest.fixture
def few(tmp_path, monkeypatch) -> Path:
    """Twelve PNGs of two classes, of which one is broken; they are packed in two chunks."""
    monkeypatch.setattr(writer, "CHUNK_IMAGES", 7)
    folder = tmp_path / "few"
    for number in range(12):
        path = folder / "train" / ("cat", "dog")[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"broken" if number == 5 else encoded(np.roll(smooth(32, 32), number, axis=1)))
    return folder


def change(photos: Path) -> None:
    """Add an image, remove one, change one under its name, move one to another class, mend the broken one."""
    train = photos / "train"
    (train / "cat/99.png").write_bytes(encoded(smooth(20, 20)))
    (train / "cat/00.png").unlink()
    (train / "dog/01.png").write_bytes(encoded(smooth(32, 32) // 2))
    (train / "dog/03.png").rename(train / "cat/03.png")
    (train / "dog/05.png").write_bytes(encoded(smooth(32, 32)))


def test_a_changed_source_is_packed_anew_and_only_what_changed_is_decoded(few, tmp_path, monkeypatch, caplog):
    before = Pack.build(PACKING, tmp_path / "pack", path=few)
    first = np.array(before.images[2])
    change(few)
    read, decoded = ClassFolders.read, []
    monkeypatch.setattr(
        ClassFolders, "read", lambda self, record: decoded.append(record.id) or read(self, record)
    )
    caplog.clear()
    after = Pack.build(PACKING, tmp_path / "pack", path=few)
    assert caplog.messages[0] == (
        f"the source has changed since {tmp_path / 'pack'} was packed: 2 images added (train/cat/03.png …), "
        "2 images gone (train/cat/00.png …), 2 images changed (train/dog/01.png …); packing these anew"
    )
    assert sorted(decoded) == [f"train/{name}.png" for name in ("cat/03", "cat/99", "dog/01", "dog/05")]
    assert same(after, Pack.build(PACKING, tmp_path / "whole", path=few))
    assert after.digest != before.digest
    assert (before.images[2] == first).all()  # who has the old one open reads on
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "few",
        "pack",
        "pack.lock",
        "whole",
        "whole.lock",
    ]
    assert after.summary["kinds"] == {"PNG": 12}
    decoded.clear()
    assert same(Pack.build(PACKING, tmp_path / "pack", path=few), after)
    assert not decoded


def test_what_files_were_like_is_counted_without_decoding_them_again(few, tmp_path):
    (exif := Image.Exif())[0x0112] = 6
    (few / "train/cat/98.png").write_bytes(with_late_exif(encoded(smooth(32, 32), exif=exif)))
    (few / "train/dog/97.png").write_bytes(encoded(np.zeros((32, 32), np.uint8)))
    kinds = Pack.build(PACKING, tmp_path / "pack", path=few).summary["kinds"]
    assert kinds == {"PNG": 13, LATE_EXIF: 1, "grey": 1, LOW_CONTRAST: 1}
    change(few)
    assert Pack.build(PACKING, tmp_path / "pack", path=few).summary["kinds"] == kinds | {"PNG": 14}


def test_an_image_that_may_not_be_read_is_in_the_pack_once_it_may(few, tmp_path, monkeypatch, caplog):
    """An earlier version left it out, for good: a file that may be read has the same size and time."""
    read = ClassFolders.read

    def denied(source, record):
        if record.id == "train/dog/09.png":
            raise PermissionError(13, "Permission denied")
        return read(source, record)

    whole = Pack.build(PACKING, tmp_path / "whole", path=few)
    monkeypatch.setattr(ClassFolders, "read", denied)
    with pytest.raises(
        ItlError, match="train/dog/09.png cannot be read: Permission denied; .* keeps what is done"
    ):
        Pack.build(PACKING, tmp_path / "pack", path=few, workers=1)
    assert len(Journal(tmp_path / "pack.partial/journal").rows) == 7, "the first chunk"
    with monkeypatch.context() as earlier:
        earlier.setattr("itl.packs.journal.system_error", lambda error: None)
        assert len(Pack.build(replace(PACKING, unreadable=0.2), tmp_path / "pack", path=few)) == 10
    with pytest.raises(ItlError, match="train/dog/09.png cannot be read: Permission denied"):
        Pack.build(PACKING, tmp_path / "pack", path=few)
    monkeypatch.setattr(ClassFolders, "read", read)
    caplog.clear()
    assert same(Pack.build(PACKING, tmp_path / "pack", path=few), whole)
    left_out = "1 image left out that the system did not let be read (train/dog/09.png)"
    assert f"packed: {left_out}; packing these anew" in caplog.messages[0]


def test_other_files_beside_the_images_change_nothing(few, tmp_path, monkeypatch):
    before = Pack.build(PACKING, tmp_path / "pack", path=few)
    (few / "notes.txt").write_text("nothing")
    monkeypatch.setattr(writer.ImageWriter, "write", None)  # would fail if it were called
    assert Pack.build(PACKING, tmp_path / "pack", path=few).digest == before.digest
    monkeypatch.setattr(ClassFolders, "records", None)  # the new state is kept: nothing is listed again
    assert Pack.build(PACKING, tmp_path / "pack", path=few).digest == before.digest


@pytest.mark.parametrize("archive", ["tar", "zip"])
def test_a_changed_archive_is_packed_anew(few, tmp_path, archive):
    path = tmp_path / f"few.{archive}"
    shutil.make_archive(str(tmp_path / "few"), archive, few)
    assert len(Pack.build(PACKING, tmp_path / "pack", path=path)) == 11
    change(few)
    shutil.make_archive(str(tmp_path / "few"), archive, few)
    after = Pack.build(PACKING, tmp_path / "pack", path=path)
    assert same(after, Pack.build(PACKING, tmp_path / "whole", path=path))
    assert "train/cat/99.png" in set(after.table["image"])


@pytest.mark.parametrize("call", ["rename", "fsync"])
def test_a_kill_while_a_pack_is_replaced_ends_in_the_same_bytes(few, tmp_path, call):
    out = tmp_path / "pack"
    Pack.build(PACKING, out, path=few)
    change(few)
    whole = Pack.build(PACKING, tmp_path / "whole", path=few)
    for last in (1, 2):

        def work(last=last):
            real, calls = getattr(os, call), iter(range(1, 9))

            def kill(*arguments, **options):
                if next(calls) == last:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **options)

            setattr(os, call, kill)
            Pack.build(PACKING, out, path=few)

        _, status = os.waitpid(forked(work), 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
    assert same(Pack.build(PACKING, out, path=few), whole)
    assert not list(tmp_path.glob("pack.*d"))  # neither replaced nor unfinished


def test_what_a_kill_left_of_an_older_pack_is_in_no_ones_way(few, tmp_path):
    Pack.build(PACKING, tmp_path / "pack", path=few)
    shutil.copytree(tmp_path / "pack", tmp_path / "pack.replaced")
    change(few)
    whole = Pack.build(PACKING, tmp_path / "whole", path=few)
    assert same(Pack.build(PACKING, tmp_path / "pack", path=few), whole)
    assert not (tmp_path / "pack.replaced").exists()


def test_what_lies_beside_a_pack_is_said_and_never_removed_where_nothing_is_to_do(few, tmp_path, caplog):
    caplog.set_level("INFO", "itl")
    whole = Pack.build(PACKING, tmp_path / "pack", path=few)
    for end in ("replaced", "partial"):
        shutil.copytree(tmp_path / "pack", tmp_path / f"pack.{end}")
        caplog.clear()
        assert same(Pack.build(PACKING, tmp_path / "pack", path=few), whole)
        assert f"{tmp_path}/pack.{end} is no part of this pack: a killed packing left it" in caplog.text
        assert (tmp_path / f"pack.{end}/pack.json").exists()


@pytest.mark.parametrize("kind", ["pack", "folder", "file", "link", "empty"])
@pytest.mark.parametrize("is_new", [True, False])
def test_what_is_called_as_a_pack_that_is_replaced_is_refused_and_kept(few, tmp_path, kind, is_new):
    other, out, beside = tmp_path / "other", tmp_path / "pack", tmp_path / "pack.replaced"
    shutil.copytree(few, other)
    if not is_new:
        Pack.build(PACKING, out, path=few)
        change(few)
    if kind == "pack":
        Pack.build(PACKING, beside, path=other)
    elif kind == "link":
        beside.symlink_to(other)
    elif kind == "file":
        beside.write_text("notes")
    else:
        beside.mkdir()
        (tmp_path / "pack.replaced/notes.txt").write_text("notes") if kind == "folder" else None
    before = sorted(beside.rglob("*"))
    with pytest.raises(
        ItlError, match=r"pack\.replaced is in the way, where an earlier pack lies while it is"
    ):
        Pack.build(PACKING, out, path=few)
    assert sorted(beside.rglob("*")) == before
    assert beside.exists()
    beside.rename(tmp_path / "elsewhere")
    assert len(Pack.build(PACKING, out, path=few)) == (11 if is_new else 12)


def test_thumbnails_are_never_those_of_the_pack_that_took_the_place(few, tmp_path):
    gallery = Gallery(Pack.build(PACKING, tmp_path / "pack", path=few))
    assert len(gallery.files(np.arange(3))) == 3
    change(few)
    Pack.build(PACKING, tmp_path / "pack", path=few)
    with pytest.raises(ItlError, match="has been packed anew since it was opened"):
        gallery.files(np.arange(3))


@pytest.mark.parametrize("name", ["notes.txt", ".gitignore", "figures/1.png"])
def test_a_pack_with_files_of_others_is_not_replaced(few, tmp_path, name):
    out = Pack.build(PACKING, tmp_path / "pack", path=few).folder
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("precious")
    assert len(Pack.build(PACKING, out, path=few)) == 11, "as it is, it serves"
    change(few)
    with pytest.raises(ItlError) as refused:
        Pack.build(PACKING, out, path=few)
    first = name.partition("/")[0]
    assert str(refused.value) == (
        f"{out} has {first}, which is no file of a pack, and is to be replaced, as its source has changed; "
        f"move that out of it and repeat"
    )
    assert (out / name).read_text() == "precious"
    (out / first).rename(tmp_path / "mine")
    assert len(Pack.build(PACKING, out, path=few)) == 12


def test_a_file_that_somebody_puts_into_a_pack_while_it_is_replaced_is_not_lost(few, tmp_path, monkeypatch):
    out = Pack.build(PACKING, tmp_path / "pack", path=few).folder
    change(few)
    write = writer.ImageWriter.write
    monkeypatch.setattr(
        writer.ImageWriter, "write", lambda self: write(self) or (out / "notes").write_text("precious")
    )
    with pytest.raises(ItlError, match="pack cannot be written: .* not empty: .*pack.replaced"):
        Pack.build(PACKING, out, path=few)
    assert (tmp_path / "pack.replaced/notes").read_text() == "precious"
    assert len(Pack.build(PACKING, out, path=few)) == 12


def test_a_folder_of_others_where_a_pack_would_be_built_is_refused_and_kept(few, tmp_path):
    partial = tmp_path / "pack.partial"
    (partial / "mine").mkdir(parents=True)
    (partial / "mine/precious.jpg").touch()
    says = (
        f"{partial} is in the way, where the pack is built until it is whole: it holds mine; move that folder"
    )
    with pytest.raises(ItlError, match=says):
        Pack.build(PACKING, tmp_path / "pack", path=few)
    assert [path.name for path in partial.rglob("*")] == ["mine", "precious.jpg"]
    partial.rename(tmp_path / "moved")
    partial.mkdir()  # as a kill at the very beginning leaves it
    assert len(Pack.build(PACKING, tmp_path / "pack", path=few)) == 11


def test_a_kill_while_an_earlier_pack_is_removed_is_in_no_ones_way(few, tmp_path):
    Pack.build(PACKING, tmp_path / "pack", path=few)
    change(few)
    for last in (1, 2, 3):

        def work(last=last):
            unlink, calls = os.unlink, iter(range(1, 99))

            def kill(path, *arguments, **options):
                if ".replaced" in str(path) and next(calls) == last:
                    os.kill(os.getpid(), signal.SIGKILL)
                return unlink(path, *arguments, **options)

            os.unlink = kill
            Pack.build(PACKING, tmp_path / "pack", path=few)

        _, status = os.waitpid(forked(work), 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        (few / f"train/cat/{last}.png").write_bytes(encoded(smooth(20, 20)))  # so that it is replaced again
    whole = Pack.build(PACKING, tmp_path / "whole", path=few)
    assert same(Pack.build(PACKING, tmp_path / "pack", path=few), whole)
    assert not (tmp_path / "pack.replaced").exists()


def test_a_pack_that_does_not_keep_its_groups_is_packed_again(few, tmp_path):
    packing = replace(PACKING, options={"class_level": 1, "val_fraction": 0.5, "group": "[0-9]"})
    pack = Pack.build(packing, tmp_path / "pack", path=few)
    assert set(pack.table["group"]) == set(pack.table["image"].str.extract("([0-9])", expand=False))
    index = tmp_path / "pack/index.parquet"
    pack.table.drop(columns="group").to_parquet(index, index=False)  # as of an older itl
    summary = json.loads((tmp_path / "pack/pack.json").read_text())
    summary["files"]["index.parquet"] = index.stat().st_size
    (tmp_path / "pack/pack.json").write_text(json.dumps(summary))
    assert "group" in Pack.build(packing, tmp_path / "pack", path=few).table


def test_packs_of_images_that_two_sources_score_differently_have_two_digests(few, tmp_path, monkeypatch):
    """A run knows its pack by the digest: the mean of the classes' accuracies is another result."""
    share = Pack.build(PACKING, tmp_path / "share", path=few)
    monkeypatch.setattr(ClassFolders, "metric", "per_class")
    mean = Pack.build(PACKING, tmp_path / "mean", path=few)
    assert np.array_equal(share.images, mean.images)
    assert share.digest != mean.digest
    for pack in (share, mean):
        check_content(pack)  # as a run does before it reads one


@pytest.mark.parametrize("target", ["pack", "other"])
def test_links_in_a_loop_are_no_pack(tmp_path, target):
    (tmp_path / "other").symlink_to(tmp_path / "pack")
    (tmp_path / "pack").symlink_to(tmp_path / target)
    with pytest.raises(ItlError, match="no pack at"):
        Pack.open(tmp_path / "pack")


def test_a_pack_behind_a_link_stays_there(few, tmp_path):
    disk, link = tmp_path / "disk", tmp_path / "pack"
    disk.mkdir()
    link.symlink_to(disk / "images")  # leads nowhere yet
    for number in range(3):
        (few / f"train/cat/9{number}.png").write_bytes(encoded(smooth(20, 20)))
        pack = Pack.build(PACKING, link, path=few)
        assert same(pack, Pack.build(PACKING, tmp_path / f"whole-{len(pack)}", path=few))
        assert link.is_symlink()
        assert sorted(path.name for path in tmp_path.glob("pack*")) == ["pack"]
        assert [path.name for path in disk.iterdir() if path.is_dir()] == ["images"]


DAMAGES = {
    "index gone": lambda pack: (pack / "index.parquet").unlink(),
    "index cut": lambda pack: (pack / "index.parquet").write_bytes(b"PAR1"),
    "index of zeros": lambda pack: blank(pack / "index.parquet"),
    "files gone": lambda pack: (pack / "files.parquet").unlink(),
    "files of zeros": lambda pack: blank(pack / "files.parquet"),
    "images gone": lambda pack: (pack / "images.npy").unlink(),
    "images cut": lambda pack: (pack / "images.npy").write_bytes((pack / "images.npy").read_bytes()[:200]),
    "summary gone": lambda pack: (pack / "pack.json").unlink(),
    "summary empty": lambda pack: (pack / "pack.json").write_text(""),
    "summary {}": lambda pack: (pack / "pack.json").write_text("{}"),
    "summary []": lambda pack: (pack / "pack.json").write_text("[]"),
}


def blank(file: Path) -> None:
    """Fill *file* with zeros, as power cuts do; its size stays."""
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_pack_of_a_changed_source_is_one_line_and_moving_it_away_helps(few, tmp_path, damage):
    pack = tmp_path / "pack"
    Pack.build(PACKING, pack, path=few)
    change(few)
    DAMAGES[damage](pack)
    with pytest.raises(ItlError, match="away.* repeat") as refusal:
        Pack.build(PACKING, pack, path=few)
    assert str(pack) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    pack.rename(tmp_path / "moved")
    assert same(Pack.build(PACKING, pack, path=few), Pack.build(PACKING, tmp_path / "whole", path=few))


@pytest.mark.parametrize("content", ["", "{}", "[]"])
def test_a_damaged_summary_of_an_unfinished_pack_is_one_line(few, tmp_path, content):
    partial = tmp_path / "pack.partial"
    partial.mkdir()
    (partial / "pack.json").write_text(content)
    with pytest.raises(ItlError, match=f"{partial}/pack.json is (empty|damaged).*; move that folder away"):
        Pack.build(PACKING, tmp_path / "pack", path=few)
    partial.rename(tmp_path / "moved")
    assert len(Pack.build(PACKING, tmp_path / "pack", path=few)) == 11


def test_a_list_beside_the_images_belongs_to_the_source(few, tmp_path, caplog):
    packing, lists = replace(PACKING, options={"classes": "names.csv"}), few / "names.csv"
    lists.write_text("cat,n02121808\ndog,n02084071\n")
    before = Pack.build(packing, tmp_path / "pack", path=few)
    lists.write_text("cat,n02121808\ndog,n02083346\n")
    caplog.clear()
    after = Pack.build(packing, tmp_path / "pack", path=few)
    assert "5 images of another class or split (train/dog/01.png …)" in caplog.messages[0]
    assert set(after.table["wnid"]) == {"n02121808", "n02083346"}
    with pytest.raises(ItlError, match="has been packed anew since it was opened"):
        _ = before.table
    with pytest.raises(ItlError, match="has been packed anew since it was opened"):
        pickle.loads(pickle.dumps(before))


@pytest.mark.parametrize(
    ("images", "file", "option"),
    [
        ("few.zip", "lists/names", "lists/names"),  # beside the archive, and below
        ("few", "home/names", "~/names"),
        ("few.zip", "home/names", "~/names"),
    ],
)
def test_a_list_that_an_option_names_belongs_to_the_source(
    few, tmp_path, monkeypatch, caplog, images, file, option
):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    shutil.make_archive(str(few), "zip", few)
    names = tmp_path / file
    names.parent.mkdir()
    packing = replace(PACKING, options={"classes": option})
    names.write_text("cat,n02121808\ndog,n02084071\n")
    Pack.build(packing, tmp_path / "pack", path=tmp_path / images)
    names.write_text("cat,n02121808\ndog,n02083346\n")
    caplog.clear()
    after = Pack.build(packing, tmp_path / "pack", path=tmp_path / images)
    assert "5 images of another class or split (train/dog/01.png …)" in caplog.messages[0]
    assert set(after.table["wnid"]) == {"n02121808", "n02083346"}


def test_a_list_of_images_beside_their_folder_belongs_to_the_source(few, tmp_path):
    packing = Packing("lists", size=24, options={"train": "lists/train.txt"})
    train = tmp_path / "lists/train.txt"
    train.parent.mkdir()
    train.write_text("train/cat/00.png cat\ntrain/dog/01.png dog\n")
    Pack.build(packing, tmp_path / "pack", path=few)
    train.write_text("train/cat/00.png tom\ntrain/dog/01.png dog\n")
    assert set(Pack.build(packing, tmp_path / "pack", path=few).table["wnid"]) == {"tom", "dog"}


@pytest.mark.parametrize("named", [Path.absolute, os.path.relpath])
def test_a_source_of_one_file_is_the_same_by_any_path(tmp_path, monkeypatch, named):
    """Beside itself it lists no images."""
    monkeypatch.chdir(tmp_path)
    images = {
        f"{name}/{number}.png": encoded(smooth(20, 20)) for name in ("cat", "dog") for number in range(2)
    }
    tar = tarred(tmp_path / "few.tar", images)
    assert source_state.PackRequest(PACKING, Path(named(tar))).source_state()["files"] == 1
    (tmp_path / "labels.csv").touch()
    assert source_state.PackRequest(PACKING, Path(named(tar))).source_state()["files"] == 2


def test_a_file_beside_arrays_of_images_changes_nothing(tmp_path, caplog):
    root = containers.cifar(tmp_path / "data")
    packing = Packing("cifar100", size=32)
    Pack.build(packing, tmp_path / "pack", path=root)
    caplog.clear()
    (root.parent / "README.md").write_text("mine")
    Pack.build(packing, tmp_path / "pack", path=root)
    assert not any("packing these anew" in message for message in caplog.messages)
