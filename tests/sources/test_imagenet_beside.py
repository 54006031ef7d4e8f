"""ImageNet's tars in a folder beside others: read all the same, or refused, never passed over."""

import re
from pathlib import Path

import pytest

from itl import ItlError
from itl.sources.published.imagenet import TRAIN_TAR, VAL_TAR, ImageNet
from tests.pictures import CAR, FOX, listed, tarred, tree

IMAGES = {f"ILSVRC2012_val_0000000{number}.JPEG": wnid for number, wnid in enumerate((FOX, CAR), 1)}


@pytest.fixture
def ilsvrc(tmp_path):
    """Train in class folders and val as its tar, with a list of its labels, in a folder of the path."""
    root = tree(tmp_path / "ILSVRC2012", *(f"train/{wnid}/{wnid}_1.JPEG" for wnid in (FOX, CAR)))
    tarred(root / VAL_TAR, dict.fromkeys(IMAGES, b"x"))
    (root / "val_map.txt").write_text("".join(f"{name} {wnid}\n" for name, wnid in IMAGES.items()))
    return root


@pytest.mark.parametrize("beside", ["lost+found", "@eaDir", "ILSVRC2012_devkit_t12", "meta"])
def test_a_folder_beside_that_of_the_tars_changes_no_record(ilsvrc, beside):
    alone = listed(ImageNet(ilsvrc.parent))
    assert [record[1:] for record in alone] == [(FOX, "train"), (CAR, "train"), (FOX, "val"), (CAR, "val")]
    (ilsvrc.parent / beside).mkdir()
    source = ImageNet(ilsvrc.parent)
    assert listed(source) == alone
    of_others = {"folders beside those of splits (meta)": 1} if beside == "meta" else {}
    assert source.left_out == of_others


def test_tars_that_are_not_opened_are_refused(ilsvrc):
    path = ilsvrc.parent
    tree(path, f"other/val/{FOX}/1.JPEG", f"other/val/{CAR}/1.JPEG")
    with pytest.raises(ItlError, match="2 folders with splits of their own, ILSVRC2012, other; give one"):
        ImageNet(path).records()
    tarred(path / "other/more" / TRAIN_TAR, {f"{FOX}/1.JPEG": b"x"})
    (path / "other/val").rename(path / "of_val")
    (path / "ILSVRC2012").rename(path / "of_val/set")
    text = f"of_val/set/{VAL_TAR} is opened in the folder of its splits alone; give {path}/of_val/set as"
    with pytest.raises(ItlError, match=re.escape(text)):
        ImageNet(path).records()


def test_a_tar_in_an_archive_of_both_splits_is_to_be_unpacked(tmp_path):
    classes = {f"train/{wnid}/{wnid}_1.JPEG": b"x" for wnid in (FOX, CAR)}
    path = tarred(tmp_path / "set.tar", classes | {VAL_TAR: b"x"})
    command = f"mkdir -p {tmp_path}/set && tar xf {path} -C {tmp_path}/set"
    with pytest.raises(ItlError, match=re.escape(f"alone; unpack {path}, `{command}`, and give that folder")):
        ImageNet(path).records()


@pytest.mark.parametrize("beside", ["annotations/train/{}/1.xml", "code/train/train.py", "code/test/t.py"])
def test_a_folder_called_like_a_split_without_images_holds_no_split(tmp_path, beside):
    names = [f"{wnid}/sketch_{number}.JPEG" for wnid in (FOX, CAR) for number in (1, 2)]
    alone = listed(ImageNet(tree(tmp_path / "alone", *(f"sketch/{name}" for name in names))))
    assert [record[1:] for record in alone] == [(FOX, "test")] * 2 + [(CAR, "test")] * 2
    path = tree(tmp_path / "x", *(f"sketch/{name}" for name in names))
    for wnid in (FOX, CAR):
        file = path / beside.format(wnid)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("text")
    assert [record[1:] for record in listed(ImageNet(path))] == [record[1:] for record in alone]


def test_class_folders_beside_a_folder_with_a_split_are_not_passed_over(tmp_path):
    path = tree(tmp_path, f"{FOX}/1.JPEG", f"{CAR}/1.JPEG", f"extra/train/{FOX}/2.JPEG")
    with pytest.raises(ItlError, match="extra"):
        ImageNet(path).records()


def test_a_folder_that_cannot_be_read_beside_those_of_images_changes_no_record(ilsvrc, monkeypatch):
    locked, iterdir = ilsvrc.parent / "locked", Path.iterdir

    def refuse(path):
        if path.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    alone = listed(ImageNet(ilsvrc.parent))
    for folder in (locked, ilsvrc / "locked"):
        folder.mkdir()
    monkeypatch.setattr(Path, "iterdir", refuse)
    source = ImageNet(ilsvrc.parent)
    assert (listed(source), [*source.notes]) == (alone, [])
    assert source.left_out.total() == 2


def test_tars_that_are_kept_after_unpacking_are_not_missing(ilsvrc):
    set_, path = ilsvrc.parent / "set", ilsvrc.parent
    ilsvrc.rename(set_)
    (path / "archives").mkdir()
    (set_ / VAL_TAR).rename(path / "archives" / VAL_TAR)
    with pytest.raises(ItlError, match="2 folders with splits of their own, archives, set; give one"):
        ImageNet(path).records()
    tree(set_, *(f"val/{wnid}/{name}" for name, wnid in IMAGES.items()))
    assert [record[1:] for record in listed(ImageNet(path))] == [
        record[1:] for record in listed(ImageNet(set_))
    ]
    tarred(path / "archives" / TRAIN_TAR, {f"{FOX}.tar": b"x"})
    assert len(listed(ImageNet(path))) == 4


def test_links_in_a_circle_beside_the_splits_end(ilsvrc):
    code = ilsvrc / "code/train"
    code.mkdir(parents=True)
    for name in ("one", "two"):
        (code / name).symlink_to("..")
    before = len(ImageNet(ilsvrc).records())
    assert not [note for note in ImageNet(ilsvrc).notes if "code" in note]
    assert before == len(ImageNet(ilsvrc).records())
