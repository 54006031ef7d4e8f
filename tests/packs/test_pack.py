"""Packs: kills at any moment, two at once, full disks: the same bytes or one clear line."""

import errno
import json
import os
import pickle
import resource
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from itl import ItlError, __version__
from itl.notes import log_lines
from itl.packs import source_state, writer
from itl.packs.fit import decode
from itl.packs.journal import Journal
from itl.packs.pack import Pack
from itl.packs.source_state import read_files
from itl.packs.writer import npy_header
from itl.sources.folders.class_folders import ClassFolders
from itl.specs import Packing
from itl.storage import hold_lock
from tests.annotated import jpeg, written
from tests.pictures import CAR, FOX, encoded, forked, same, smooth, tree
from tests.worlds import no_more_files

COUNT = 240
PACKING = Packing("folder", size=24)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Two classes of small PNGs, two of them unreadable."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(COUNT):
        path = folder / "train" / ("cat", "dog")[number % 2] / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(np.roll(smooth(32, 32), number, axis=1)))
    for name in ("dog/007.png", "cat/150.png"):
        (folder / "train" / name).write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def undisturbed(photos, tmp_path_factory) -> Pack:
    """The pack as it should be."""
    return Pack.build(PACKING, tmp_path_factory.mktemp("packs") / "whole", path=photos, workers=2)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Write many chunks, so that there are many moments to die at."""
    monkeypatch.setattr(writer, "CHUNK_IMAGES", 7)


def test_a_pack_inside_another_pack_is_refused(undisturbed, photos):
    with pytest.raises(
        ItlError, match="whole/inside lies in .*whole, which is a pack itself; pack to a folder"
    ):
        Pack.build(PACKING, undisturbed.folder / "inside", path=photos)


def test_a_pack_inside_its_own_source_is_refused(tmp_path):
    tree(tmp_path / "pets", "cat/1.png", "dog/1.png")
    with pytest.raises(ItlError, match="pets/pack lies in .*pets, whose images are to be packed, .* outside"):
        Pack.build(Packing("folder", size=8), tmp_path / "pets/pack", path=tmp_path / "pets")
    assert not (tmp_path / "pets/pack.partial").exists()


def test_a_pack_holds_what_was_decoded(undisturbed, photos):
    pack = Pack.open(undisturbed.folder)
    assert pack.images.shape == (COUNT - 2, 24, 24, 3) == (len(pack), *pack.images.shape[1:])
    assert list(pack.table.columns) == ["image", "wnid", "split", "width", "height", "checksum"]
    assert list(pack.table["image"]) == sorted(pack.table["image"])
    for row in (0, 100, COUNT - 3):
        image = pack.table["image"][row]
        assert (pack.images[row] == decode((photos / image).read_bytes(), image, 24, "squash").pixels).all()
    assert pack.summary["kinds"] == {"PNG": COUNT - 2}
    assert pack.summary["unreadable"] == 2
    assert (pack.folder / "unreadable.csv").read_text() == (
        "image,reason\ntrain/cat/150.png,not an image that Pillow can read\n"
        "train/dog/007.png,not an image that Pillow can read\n"
    )
    assert sorted(os.listdir(pack.folder)) == [
        "files.parquet",
        "images.npy",
        "index.parquet",
        "pack.json",
        "unreadable.csv",
    ]
    assert pack.damaged() == []
    clone = pickle.loads(pickle.dumps(pack))
    assert clone.digest == pack.digest
    assert len(pickle.dumps(pack)) < 1000


def test_the_same_pack_again_is_opened_and_another_is_refused(undisturbed, photos, monkeypatch):
    monkeypatch.setattr(writer.ImageWriter, "write", None)  # would fail if it were called
    assert Pack.build(PACKING, undisturbed.folder, path=photos).digest == undisturbed.digest
    with pytest.raises(ItlError, match=r"is the pack of folder at 24 pixels .* not of folder at 32 pixels"):
        Pack.build(Packing("folder", size=32), undisturbed.folder, path=photos)


def test_images_at_another_path_are_another_pack_though_they_may_be_a_copy(undisturbed, photos, tmp_path):
    (tmp_path / "link").symlink_to(photos)
    assert same(Pack.build(PACKING, undisturbed.folder, path=tmp_path / "link"), undisturbed)
    copied = tmp_path / "copy"
    subprocess.run(["cp", "-rp", photos, copied], check=True)
    with pytest.raises(ItlError) as refused:
        Pack.build(PACKING, undisturbed.folder, path=copied)
    assert str(refused.value) == (
        f"{undisturbed.folder} is the pack of folder at 24 pixels (squash) from {photos}, not of folder at "
        f"24 pixels (squash) from {copied}; pack to another folder"
    )


def test_an_unfinished_pack_of_images_at_another_path_is_refused(photos, tmp_path, monkeypatch):
    half_built(tmp_path / "pack", photos, monkeypatch)
    copied = tmp_path / "copy"
    subprocess.run(["cp", "-rp", photos, copied], check=True)
    with pytest.raises(ItlError, match="is the unfinished pack of other images, not of folder at 24 pixels"):
        Pack.build(PACKING, tmp_path / "pack", path=copied)


@pytest.mark.parametrize("place", ["", "ILSVRC", "ILSVRC/Data", "ILSVRC/Data/CLS-LOC"])
def test_a_list_of_val_in_any_folder_around_the_images_is_watched(tmp_path, place):
    images = tmp_path / "ILSVRC/Data/CLS-LOC"
    tree(images, *(f"{part}.JPEG" for part in (f"train/{FOX}/1", f"train/{CAR}/1", "val/v_1", "val/v_2")))
    for path in images.rglob("*.JPEG"):
        path.write_bytes(encoded(smooth(9, 9)))
    labels = []
    for number, (first, second) in enumerate(((FOX, CAR), (CAR, FOX))):
        solution = f"ImageId,PredictionString\nv_1,{first} 1 2 3 4\nv_2,{second} 1 2 3 4\n"
        (listed := tmp_path / place / "LOC_val_solution.csv").write_text(solution)
        os.utime(listed, (number, number))
        table = Pack.build(Packing("imagenet", size=8), tmp_path / "pack", path=images).table
        labels.append(table.loc[table["split"] == "val", "wnid"].tolist())
    assert labels == [[FOX, CAR], [CAR, FOX]]


def test_xml_of_val_in_a_folder_above_the_images_is_watched(tmp_path):
    images, xml = tmp_path / "ILSVRC/Data/CLS-LOC", tmp_path / "ILSVRC/Annotations/CLS-LOC/val"
    tree(images, *(f"{part}.JPEG" for part in (f"train/{FOX}/1", f"train/{CAR}/1", "val/v_1", "val/v_2")))
    for path in images.rglob("*.JPEG"):
        path.write_bytes(encoded(smooth(9, 9)))
    xml.mkdir(parents=True)
    labels = []
    for seconds, wnids in enumerate(((FOX, CAR), (CAR, FOX))):
        for number, wnid in enumerate(wnids, 1):
            (xml / f"v_{number}.xml").write_text(f"<object><name>{wnid}</name></object>")
            os.utime(xml / f"v_{number}.xml", (seconds, seconds))
        table = Pack.build(Packing("imagenet", size=8), tmp_path / "pack", path=images).table
        labels.append(table.loc[table["split"] == "val", "wnid"].tolist())
    assert labels == [[FOX, CAR], [CAR, FOX]]


@pytest.mark.parametrize("folder", ["labels", "my devkit", ""])
def test_a_devkit_in_any_folder_above_the_images_is_watched(tmp_path, folder):
    images = tmp_path / "ILSVRC/Data/CLS-LOC"
    (devkit := tmp_path / "ILSVRC" / folder / "ILSVRC2012_devkit_t12/data").mkdir(parents=True)
    images.mkdir(parents=True)
    request, states = source_state.PackRequest(Packing("imagenet", size=8), images), []
    for seconds in (1, 2):
        (devkit / "ILSVRC2012_validation_ground_truth.txt").write_text(f"{seconds}\n")
        os.utime(devkit / "ILSVRC2012_validation_ground_truth.txt", (seconds, seconds))
        states.append(request.source_state())
    assert states[0] != states[1]


def test_kills_at_any_write_end_in_the_same_bytes(undisturbed, photos, tmp_path):
    out, rows = tmp_path / "pack", []

    def work():
        Pack.build(PACKING, out, path=photos, workers=2)

    def work_until_write(number: int):
        write, calls = os.pwrite, iter(range(1, number + 1))

        def kill_at_last(*arguments):
            if next(calls) == number:
                write(arguments[0], arguments[1][:5], arguments[2])  # a part of it is written
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*arguments)

        os.pwrite = kill_at_last
        work()

    for number in (1, 2, 3, 4, 5, 8, 13, 30):
        _, status = os.waitpid(forked(partial(work_until_write, number)), 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        with pytest.raises(ItlError, match="interrupted or is still running"):
            Pack.open(out)
        rows.append(len(Journal(tmp_path / "pack.partial/journal").rows))
    assert rows == sorted(rows)  # nothing that was done is lost
    assert 0 < rows[-1] < COUNT
    work()
    assert same(Pack.open(out), undisturbed)
    assert not (tmp_path / "pack.partial").exists()


@pytest.mark.parametrize("call", ["posix_fallocate", "truncate", "fsync", "replace", "unlink", "rename"])
def test_kills_while_finishing_end_in_the_same_bytes(undisturbed, photos, tmp_path, call):
    out = tmp_path / "pack"

    def work():
        setattr(os, call, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        Pack.build(PACKING, out, path=photos, workers=2)

    _, status = os.waitpid(forked(work), 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert not out.exists()
    assert same(Pack.build(PACKING, out, path=photos, workers=1), undisturbed)


def test_of_a_pack_of_readable_images_no_image_is_blamed(tmp_path):
    for name in ("a/0.png", "b/1.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        (tmp_path / "set" / name).write_bytes(encoded(smooth(20, 20)))
    pack = Pack.build(PACKING, tmp_path / "pack", path=tmp_path / "set")
    pack.folder.rename(tmp_path / "pack.partial")  # as before the last step
    with pytest.raises(ItlError, match="was interrupted or is still running; run the same `itl pack` again"):
        Pack.open(tmp_path / "pack")


def half_built(out: Path, photos: Path, monkeypatch) -> int:
    """Stop a build with an exception in the middle; returns how many rows its journal has."""
    append = Journal.append

    def stop_at_half(journal, rows):
        append(journal, rows)
        if len(journal.rows) > COUNT / 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", stop_at_half)
        with pytest.raises(KeyboardInterrupt):
            Pack.build(PACKING, out, path=photos, workers=2)
    return len(Journal(out.with_name("pack.partial") / "journal").rows)


def test_what_is_done_is_not_decoded_again(undisturbed, photos, tmp_path, monkeypatch):
    done = half_built(tmp_path / "pack", photos, monkeypatch)
    with pytest.raises(ItlError, match="interrupted"):
        Pack.open(tmp_path / "pack.partial")
    with pytest.raises(ItlError, match="unfinished pack of folder at 24 pixels"):
        Pack.build(Packing("folder", size=20), tmp_path / "pack", path=photos)
    read, read_again = ClassFolders.read, []
    monkeypatch.setattr(
        ClassFolders, "read", lambda self, record: read_again.append(record) or read(self, record)
    )
    assert same(Pack.build(PACKING, tmp_path / "pack", path=photos), undisturbed)
    assert COUNT / 2 < done < COUNT
    assert len(read_again) == COUNT - done + 2  # and the broken ones: they may be repaired now


@pytest.mark.parametrize("harm", ["pixels", "torn line", "flipped line"])
def test_a_crash_of_the_machine_costs_only_what_was_lost(undisturbed, photos, tmp_path, monkeypatch, harm):
    half_built(tmp_path / "pack", photos, monkeypatch)
    journal, images = tmp_path / "pack.partial/journal", tmp_path / "pack.partial/images.npy"
    if harm == "pixels":
        with images.open("r+b") as file:
            file.seek(len(npy_header(1, 24)) + 50 * 3 * 24 * 24)
            file.write(bytes(100))
    else:
        data = bytearray(journal.read_bytes())
        data[-20:] = b"" if harm == "torn line" else b"0" * 20
        journal.write_bytes(data)
    assert same(Pack.build(PACKING, tmp_path / "pack", path=photos), undisturbed)


def test_two_processes_build_one_pack_once(undisturbed, photos, tmp_path):
    out, counts = tmp_path / "pack", tmp_path / "counts"
    read = ClassFolders.read

    def counted(source, record):
        with counts.open("a") as file:
            file.write("x")
        return read(source, record)

    def work():
        ClassFolders.read = counted
        assert same(Pack.build(PACKING, out, path=photos, workers=2), undisturbed)

    children = [forked(work), forked(work)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert len(counts.read_text()) == COUNT


def test_a_second_process_says_that_it_waits(photos, tmp_path):
    def tell(line):
        (tmp_path / "message").write_text(line)
        os._exit(3)

    with hold_lock(tmp_path / "pack.lock", "packing"), log_lines(tell):
        child = forked(lambda: Pack.build(PACKING, tmp_path / "pack", path=photos))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    message = (tmp_path / "message").read_text()
    assert (
        message
        == f"process {os.getpid()} on {socket.gethostname()} is packing {tmp_path / 'pack'}; waiting for it"
    )


def test_more_than_one_percent_unreadable_stops_and_mending_helps(tmp_path, caplog):
    photos, packing = tmp_path / "photos", Packing("folder", size=8, options={"class_level": 1})
    for number in range(30):
        path = photos / "cat" / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(smooth(8, 8) + number))
    (photos / "cat/03.png").write_bytes(b"broken")
    caplog.set_level("INFO")
    for out in (tmp_path / "pack", tmp_path / "other"):
        reasons = out.with_name(out.name + ".partial") / "unreadable.csv"  # there is no pack
        with pytest.raises(
            ItlError, match=r"^1 of 30 images cannot be read, more than 1 %, such as cat/03.png \(not an"
        ) as caught:
            Pack.build(packing, out, path=photos)
        assert f"); {reasons} lists all; repair them, after which all are packed anew, or allow more" in str(
            caught.value
        )
        assert f"1 image cannot be read; {reasons} says why" in caplog.messages
        assert reasons.read_text() == "image,reason\ncat/03.png,not an image that Pillow can read\n"
        with pytest.raises(ItlError, match="1 image cannot be read, as .*csv says; repair .*--allow-unread"):
            Pack.open(out)
    allowed = Pack.build(replace(packing, unreadable=0.05), tmp_path / "other", path=photos)
    assert "29 of 30 images are packed, after 0 s" in caplog.messages
    assert "1 image cannot be read; unreadable.csv in the pack says why" in caplog.messages
    assert len(allowed) == 29
    assert "cat/03.png" not in set(allowed.table["image"])
    assert allowed.summary["left_out"] == {"images that cannot be read": 1}
    assert "train 29 images" in allowed.summary["reading"]
    assert allowed.summary["reading"].endswith("left out: 1 image that cannot be read")
    (photos / "cat/03.png").write_bytes(encoded(smooth(8, 8) + 3))
    assert len(Pack.build(packing, tmp_path / "pack", path=photos)) == 30
    for path in (photos / "cat").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(
        ItlError, match="none of 30 images can be read.*/none.partial/unreadable.csv lists all"
    ):
        Pack.build(replace(packing, unreadable=1.0), tmp_path / "none", path=photos)


def test_all_unreadable_images_are_named_before_the_first_are_too_many(tmp_path):
    photos, packing = tmp_path / "photos/train", Packing("folder", size=8, unreadable=0.0)
    for number in range(200):  # several tasks of the pool
        path = photos / "ab"[number % 2] / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"broken" if number % 60 == 9 else encoded(smooth(8, 8) + number))
    with pytest.raises(ItlError, match="^4 of 200 images cannot be read, more than 0 %"):
        Pack.build(packing, tmp_path / "pack", path=photos.parent, workers=1)
    _, *rows = (tmp_path / "pack.partial/unreadable.csv").read_text().splitlines()
    names = ["train/b/009.png", "train/b/069.png", "train/b/129.png", "train/b/189.png"]
    assert [row.partition(",")[0] for row in rows] == names


def test_a_full_disk_is_one_line_and_loses_nothing(undisturbed, photos, tmp_path, monkeypatch):
    """A limit on file sizes stands for the disk: first nothing can be reserved, then writes fail midway."""
    out = tmp_path / "pack"

    def limited(reserve: bool):
        def work():
            if not reserve:
                os.posix_fallocate = lambda *_: None
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
            try:
                Pack.build(PACKING, out, path=photos, workers=1)
            except ItlError as error:
                (tmp_path / "message").write_text(str(error))

        return work

    for reserve, rows in ((True, range(1)), (False, range(80, 120))):
        os.waitpid(forked(limited(reserve)), 0)
        message = (tmp_path / "message").read_text()
        assert message.startswith(f"cannot pack to {out}: File too large (")
        assert "\n" not in message
        assert len(Journal(tmp_path / "pack.partial/journal").rows) in rows
        assert not out.exists()
    assert same(Pack.build(PACKING, out, path=photos), undisturbed)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, r"cannot pack to .*: No space left on device \(.* free\); make room"),
        (errno.EDQUOT, "cannot pack to .*: Disk quota exceeded .*; make room, or raise your quota or ulimit"),
        (errno.EROFS, "no permission to write"),
        (errno.EIO, "cannot be written"),
    ],
)
def test_what_the_system_refuses_is_one_line(photos, tmp_path, monkeypatch, number, message):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(ItlError, match=message):
        Pack.build(PACKING, tmp_path / "pack", path=photos)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_one_line(photos, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ItlError, match="no permission to write"):
        Pack.build(PACKING, tmp_path / "pack", path=photos)


def test_opening_what_is_no_pack_says_what_to_do(undisturbed, tmp_path):
    with pytest.raises(ItlError, match="no pack at .*; make one with `itl pack"):
        Pack.open(tmp_path / "gone")
    with pytest.raises(ItlError, match="is not a pack; if it holds images"):
        Pack.open(tmp_path)
    with pytest.raises(ItlError, match="something else is there"):
        Pack.build(PACKING, tmp_path, path=tmp_path)
    subprocess.run(["cp", "-r", undisturbed.folder, tmp_path / "cut"], check=True)
    with pytest.raises(ItlError, match=f"is not a pack, but holds {tmp_path}/cut; give that"):
        Pack.open(tmp_path)
    summary = json.loads((tmp_path / "cut/pack.json").read_text())
    (tmp_path / "cut/pack.json").write_text(json.dumps(summary | {"images": 3}))
    with pytest.raises(ItlError, match="is damaged: 3 images were packed, images.npy is"):
        Pack.open(tmp_path / "cut")
    for field, value in (("files", []), ("files", 3), ("request", []), ("digest", ...)):
        kept = {name: kind for name, kind in summary.items() if name != field}
        (tmp_path / "cut/pack.json").write_text(json.dumps(kept if value is ... else kept | {field: value}))
        with pytest.raises(
            ItlError, match=r"cut should be a pack but is not one, or is damaged \(.*; move the"
        ):
            Pack.open(tmp_path / "cut")


def test_a_pack_that_cannot_be_read_for_now_is_not_called_damaged(undisturbed):
    for read, name in ((Pack.open, "pack.json"), (read_files, "files.parquet")):
        read(undisturbed.folder)  # imports what it needs
        message = f"^cannot read {undisturbed.folder / name}: Too many open files; correct that, then repeat$"
        with no_more_files(), pytest.raises(ItlError, match=message):
            read(undisturbed.folder)


@pytest.mark.parametrize(("folder", "path"), [("pack", "."), ("pack/inside", "..")])
def test_a_pack_is_named_from_inside_it_too(tmp_path, monkeypatch, folder, path):
    packing = Packing("demo", size=16, options={"classes": 2, "train": 1, "val": 1, "size": 16})
    pack = Pack.build(packing, tmp_path / "pack", workers=1)
    (tmp_path / folder).mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / folder)
    for same_pack in (Pack.build(packing, path), Pack.open(path)):
        assert (same_pack.folder, same_pack.digest) == (tmp_path / "pack", pack.digest)
    with pytest.raises(ItlError, match=r"is the pack of demo [^;]* \(squash\), not of [^;]* \(squash\);"):
        Pack.build(replace(packing, size=8), path)


def test_reading_a_pack_takes_no_torch(undisturbed):
    code = (
        f"import sys; from itl.packs.pack import Pack; pack = Pack.open({str(undisturbed.folder)!r}); "
        "pack.images[0].sum(); pack.table; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_rendered_images_are_packed_by_processes_to_the_same_bytes(tmp_path):
    packing = Packing("demo", size=16, options={"classes": 2, "train": 5, "val": 2, "size": 16})
    packs = [Pack.build(packing, tmp_path / f"{workers}", workers=workers) for workers in (1, 2)]
    assert same(*packs)
    assert packs[0].summary["splits"] == {"train": 10, "val": 4}


def test_an_unfinished_pack_of_what_has_changed_is_begun_anew(photos, tmp_path, monkeypatch, caplog):
    moved = tmp_path / "photos"
    shutil.copytree(photos, moved)
    half_built(tmp_path / "pack", moved, monkeypatch)
    (moved / "train/cat/000.png").write_bytes(encoded(smooth(32, 33)))
    caplog.clear()
    pack = Pack.build(PACKING, tmp_path / "pack", path=moved)
    assert caplog.messages[0].endswith("was begun, and its source has changed since; it is begun anew")
    assert same(pack, Pack.build(PACKING, tmp_path / "whole", path=moved))


def test_an_unfinished_pack_of_another_version_is_begun_anew(photos, tmp_path, monkeypatch, caplog):
    """It may decode images otherwise, and their pixels would be of both."""
    with monkeypatch.context() as earlier:
        earlier.setattr("itl.packs.build.__version__", "0.0.1")
        half_built(tmp_path / "pack", photos, earlier)
    caplog.clear()
    pack = Pack.build(PACKING, tmp_path / "pack", path=photos)
    assert caplog.messages[0].endswith("was begun, and itl has changed since; it is begun anew")
    assert pack.summary["itl"] == __version__


def test_what_is_refused_is_not_begun(tmp_path):
    """Who asks for the pack then is not told to go on with it."""
    root = written(tmp_path / "set", {"a.png": jpeg(), "train.csv": b"image,label,class\na.png,x,y\n"})
    with pytest.raises(ItlError, match="choose one with the option label=COLUMN"):
        Pack.build(Packing("lists", size=8), tmp_path / "pack", path=root, workers=1)
    with pytest.raises(ItlError, match="no pack at"):
        Pack.open(tmp_path / "pack")
