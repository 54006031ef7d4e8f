"""Sources on small trees and archives: what is listed, what is left out, and what is refused."""

import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from itl import ItlError
from itl.data import archives
from itl.data.cifar import WNIDS, Cifar100
from itl.data.imagenet import DEVKIT, META, TRAIN_TAR, TRUTH, VAL_TAR, ImageNet, TinyImageNet, read_labels
from itl.data.open import check, open_source
from itl.data.sources import ClassFolders
from itl.wordnet import Taxonomy

FOX, CAR = "n02119022", "n04285008"
REAL = Path(__file__).parents[2] / "shared/data"


def tree(root: Path, *names: str) -> Path:
    """Write files whose content is their own name; a name that ends with a slash is an empty folder."""
    for name in names:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(name.encode())
    return root


def tarred(path: Path, members: dict[str, bytes | None], **links: str) -> Path:
    """Write a tar of files (None: a folder) and symbolic links."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            member.size = len(content or b"")
            tar.addfile(member, io.BytesIO(content or b""))
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return path


def told(source) -> list[tuple[str, str, str]]:
    """What the records of *source* say, after checking that each can be read."""
    assert all(source.read(record) for record in source.records())
    return [(record.id, record.wnid, record.split) for record in source.records()]


SPLIT = ["train/cat/1.jpg", "train/dog/2.PNG", "validation/cat/3.jpeg", "validation/dog/4.jpg"]


def test_a_folder_with_splits(tmp_path):
    tree(tmp_path, *SPLIT, "train/.DS_Store", "train/cat/Thumbs.db", "__MACOSX/train/cat/._1.jpg",
         "train/cat/notes.txt", "readme.jpg", ".cache/")
    assert told(open_source("folder", tmp_path)) == [
        ("train/cat/1.jpg", "cat", "train"), ("train/dog/2.PNG", "dog", "train"),
        ("validation/cat/3.jpeg", "cat", "val"), ("validation/dog/4.jpg", "dog", "val")]


def test_a_folder_without_splits_is_train_and_may_have_a_class_called_train(tmp_path):
    tree(tmp_path, "car/1.jpg", "train/2.jpg", "train/deep/er/3.jpg")
    assert told(ClassFolders(tmp_path)) == [
        ("car/1.jpg", "car", "train"), ("train/2.jpg", "train", "train"),
        ("train/deep/er/3.jpg", "train", "train")]


@pytest.mark.parametrize("prefix", ["", "./", "photos/", "./photos/"])
@pytest.mark.parametrize("make", ["tar", "zip"])
def test_archives_give_the_same_records_as_folders(tmp_path, prefix, make):
    path = tmp_path / f"photos.{make}"
    if make == "tar":
        tarred(path, {prefix + name: name.encode() for name in SPLIT})
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in SPLIT:
                archive.writestr(prefix + name, name.encode() * 9)
    source = ClassFolders(path)
    assert told(source) == told(ClassFolders(tree(tmp_path / "plain", *SPLIT)))
    assert source.read(source.records()[0]).startswith(b"train/cat/1.jpg")
    assert pickle.loads(pickle.dumps(source)).records() == source.records()


def test_members_that_leave_the_archive_are_left_out_and_counted(tmp_path):
    files = {"cat/1.jpg": b"1", "../cat/2.jpg": b"2", "/cat/3.jpg": b"3", "cat/../../4.jpg": b"4"}
    path = tarred(tmp_path / "evil.tar", files, **{"cat/5.jpg": "/etc/passwd", "dog": ".."})
    source = ClassFolders(path)
    assert [record.id for record in source.records()] == ["cat/1.jpg"]
    assert source.listing.left_out == {
        "names that leave the archive": 3, "links, devices and sparse files": 2}
    assert "left out: 3 names that leave the archive" in check("folder", path)


def test_links_in_folders_are_followed_but_not_round_in_circles(tmp_path):
    tree(tmp_path, "far/1.jpg", "here/dog/2.jpg")
    (tmp_path / "here/cat").symlink_to(tmp_path / "far")
    (tmp_path / "here/dog/loop").symlink_to(tmp_path / "here")
    (tmp_path / "here/dog/3.jpg").symlink_to("nowhere")
    source = ClassFolders(tmp_path / "here")
    assert [record.id for record in source.records()] == ["cat/1.jpg", "dog/2.jpg"]
    assert source.listing.left_out == {"links to a folder they are in": 1, "broken links and devices": 1}


def test_names_map_to_wnids(tmp_path):
    tree(tmp_path, "red fox/1.jpg", "sofa/2.jpg")
    (tmp_path / "names.csv").write_text(f"name,wnid\nred fox,{FOX}\nunused,{CAR}\n")
    for place in ("names.csv", str(tmp_path / "names.csv")):
        assert [record.wnid for record in ClassFolders(tmp_path, classes=place).records()] == [FOX, "sofa"]
    (tmp_path / "names.csv").write_text("red fox,fox\n")
    with pytest.raises(ItlError, match="row 1: 'red fox,fox' is not name,wnid"):
        ClassFolders(tmp_path, classes="names.csv").records()
    with pytest.raises(ItlError, match="mapping file gone.csv"):
        ClassFolders(tmp_path, classes="gone.csv").records()


def test_val_fraction_is_a_part_of_each_class_chosen_by_name(tmp_path):
    names = [f"{kind}/{number}.jpg" for kind in "ab" for number in range(10)] + ["c/0.jpg"]
    tree(tmp_path, *names)
    source = ClassFolders(tmp_path, val_fraction=0.2)
    splits = {record.id: record.split for record in source.records()}
    assert [sum(splits[name] == "val" for name in names if name[0] == kind) for kind in "abc"] == [2, 2, 0]
    assert splits == {record.id: record.split for record in source.records()}
    with pytest.raises(ItlError, match="between 0 and 1"):
        ClassFolders(tmp_path, val_fraction=20).records()


@pytest.mark.parametrize(("names", "message"), [
    (["train/cat/1.jpg", "val/dog/2.jpg"], "val has 1 classes that train does not have, such as dog"),
    (["train/cat/1.jpg", "train/dog/"], "1 of 2 class folders hold no images, such as train/dog"),
    (["cat/1.jpg", "dog/notes.txt"], "1 of 2 class folders hold no images, such as dog"),
    (["1.jpg"], "holds no images in class folders"),
])
def test_trouble_is_one_line_and_check_says_it_too(tmp_path, names, message):
    tree(tmp_path, *names)
    with pytest.raises(ItlError, match=message):
        ClassFolders(tmp_path).records()
    lines = check("folder", tmp_path)
    assert lines[0].startswith("problem: ")
    assert message in lines[0]
    assert all("\n" not in line for line in lines)


def test_empty_classes_can_be_skipped(tmp_path):
    tree(tmp_path, "cat/1.jpg", "dog/")
    assert [record.wnid for record in ClassFolders(tmp_path, empty="skip").records()] == ["cat"]


def test_check_counts_and_names_what_val_lacks(tmp_path):
    tree(tmp_path, f"train/{FOX}/1.jpg", f"train/{FOX}/2.jpg", "train/cat/3.jpg", f"val/{FOX}/4.jpg")
    assert check("folder", tmp_path)[:4] == [
        "val: 1 images in 1 classes, 1 for each class",
        "train: 3 images in 2 classes, 1 to 2 for each class",
        "classes: 1 ILSVRC classes, 1 plain names (cat)",
        "note: val has no image of 1 classes, such as cat",
    ]


@pytest.mark.parametrize(("kind", "options", "message"), [
    ("imagnet", {}, "did you mean 'imagenet'"),
    ("folder", {"clases": "x"}, "did you mean 'classes'"),
    ("folder", {}, "there is nothing there"),
    ("imagenet", {}, "is no folder"),
    ("tiny-imagenet", {}, "there is nothing there"),
    ("cifar100", {}, "no whole CIFAR-100"),
])
def test_what_is_not_there_is_told_in_one_line(tmp_path, kind, options, message):
    lines = check(kind, tmp_path / "gone", **options)
    assert message in lines[0]
    assert lines[0].startswith("problem: ")


def test_archives_that_cannot_be_read_in_place_say_why(tmp_path):
    whole = tarred(tmp_path / "whole.tar", {"cat/1.jpg": b"1" * 2000, "cat/2.jpg": b"2" * 2000}).read_bytes()
    cases = {
        "cut.tar": (whole[:3500], "no whole tar: cut short"), "garbage.tar": (b"x" * 2000, "no whole tar"),
        "damaged.tar": (whole[:2560] + b"\xff" * 512 + whole[3072:], "damaged at byte 2,560 after 1 files"),
        "packed.tar": (b"\x1f\x8b" + b"0" * 99, "gunzip"), "empty.tar": (b"", "no whole tar"),
        "bad.zip": (b"PK\3\4" + b"0" * 99, "cannot be read as a zip"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ItlError, match=message):
            archives.listing(tmp_path / name)


def test_a_damaged_zip_member_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("cat/1.jpg", b"sound")
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace(b"sound", b"bound"))
    source = ClassFolders(tmp_path / "a.zip")
    with pytest.raises(ItlError, match="checksum"):
        source.read(source.records()[0])


@pytest.fixture
def ilsvrc(tmp_path):
    """The tars as published, in small: two classes of two images, two val images, and their truth."""
    import scipy.io

    root = tmp_path / "ilsvrc"
    inner = {}
    for wnid in (FOX, CAR):
        images = {f"{wnid}_{number}.JPEG": f"{wnid} {number}".encode() for number in (1, 2)}
        tar = tarred(tmp_path / "inner.tar", images | {"../../evil.JPEG": b"evil"})
        inner[f"{wnid}.tar"] = tar.read_bytes()
    tarred(root / TRAIN_TAR, inner)
    val = {f"ILSVRC2012_val_0000000{number}.JPEG": f"val {number}".encode() for number in (1, 2)}
    tarred(root / VAL_TAR, val)
    synsets = np.array([(7, CAR), (9, FOX), (1001, "n00001740")], [("ILSVRC2012_ID", "O"), ("WNID", "O")])
    meta = tmp_path / "meta.mat"
    scipy.io.savemat(meta, {"synsets": synsets})
    truth = tmp_path / "truth.txt"
    truth.write_text("9\n7\n")
    with tarfile.open(root / f"{DEVKIT}.tar.gz", "w:gz") as devkit:
        devkit.add(truth, f"{DEVKIT}/data/{TRUTH}")
        devkit.add(meta, f"{DEVKIT}/data/{META}")
    return root


EXPECTED = [
    *((f"train/{wnid}/{wnid}_{number}.JPEG", wnid, "train") for wnid in (FOX, CAR) for number in (1, 2)),
    ("val/ILSVRC2012_val_00000001.JPEG", FOX, "val"), ("val/ILSVRC2012_val_00000002.JPEG", CAR, "val")]


def test_imagenet_as_published(ilsvrc):
    source = ImageNet(ilsvrc)
    assert told(source) == EXPECTED
    content = [source.read(record) for record in source.records()]
    assert content[-3:] == [f"{CAR} 2".encode(), b"val 1", b"val 2"]
    assert source.listing.left_out == {"names that leave the archive": 2}


@pytest.mark.parametrize("lines", [
    "ILSVRC2012_val_00000001.JPEG n02119022\nILSVRC2012_val_00000002.JPEG n04285008\n",
    "ImageId,Prediction\nILSVRC2012_val_00000002,n04285008 8 1 4 2\nILSVRC2012_val_00000001,n02119022 1\n",
    "n02119022\nn04285008\n",
])
def test_imagenet_with_a_label_list(ilsvrc, lines):
    (ilsvrc / f"{DEVKIT}.tar.gz").unlink()
    with pytest.raises(ItlError, match="2 of 2 val images have no label, such as ILSVRC2012_val_00000001"):
        ImageNet(ilsvrc).records()
    (ilsvrc / "val_map.txt").write_text(lines)
    assert told(ImageNet(ilsvrc)) == EXPECTED
    assert told(ImageNet(ilsvrc, val_labels=str(ilsvrc / "val_map.txt"))) == EXPECTED


def test_imagenet_with_an_unpacked_devkit(ilsvrc):
    with tarfile.open(ilsvrc / f"{DEVKIT}.tar.gz") as tar:
        tar.extractall(ilsvrc, filter="data")
    (ilsvrc / f"{DEVKIT}.tar.gz").unlink()
    assert told(ImageNet(ilsvrc)) == EXPECTED


def test_imagenet_in_folders(tmp_path):
    tree(tmp_path, f"train/{FOX}/1.JPEG", f"train/{CAR}/1.JPEG", f"val/{FOX}/v.JPEG", f"val/{CAR}/w.JPEG")
    assert [record[1:] for record in told(ImageNet(tmp_path))] == [
        (FOX, "train"), (CAR, "train"), (FOX, "val"), (CAR, "val")]
    tree(tmp_path, "train/cat/1.JPEG")
    with pytest.raises(ItlError, match="cat is no wnid"):
        ImageNet(tmp_path).records()
    tree(tmp_path, "train/n00000001/")
    with pytest.raises(ItlError, match="such as n00000001"):
        ImageNet(tmp_path).records()


def test_a_damaged_inner_tar_is_named(ilsvrc):
    data = bytearray((ilsvrc / TRAIN_TAR).read_bytes())
    data[1024 + 512:1024 + 1024] = b"\xff" * 512                # the second header of the first class's tar
    (ilsvrc / TRAIN_TAR).write_bytes(data)
    with pytest.raises(ItlError, match=f"{TRAIN_TAR}:{FOX}.tar is no whole tar"):
        ImageNet(ilsvrc).records()


def test_label_lists_say_which_line_is_wrong(tmp_path):
    (tmp_path / "list").write_text("a.JPEG n02119022\nb.JPEG 65\n")
    with pytest.raises(ItlError, match="line 2: 'b.JPEG 65' has no wnid"):
        read_labels(tmp_path / "list")


TINY = {f"train/{wnid}/images/{wnid}_0.JPEG": b"t" for wnid in (FOX, CAR)} | {
    f"train/{FOX}/{FOX}_boxes.txt": b"", "val/images/val_0.JPEG": b"v", "test/images/test_0.JPEG": b"?",
    "val/val_annotations.txt": f"val_0.JPEG\t{CAR}\t0\t0\t62\t57\n".encode()}


def test_tiny_imagenet_as_published(tmp_path):
    with zipfile.ZipFile(tmp_path / "tiny.zip", "w") as archive:
        for name, content in TINY.items():
            archive.writestr(f"tiny-imagenet-200/{name}", content)
    with zipfile.ZipFile(tmp_path / "tiny.zip") as archive:
        archive.extractall(tmp_path)
    expected = [(f"train/{FOX}/images/{FOX}_0.JPEG", FOX, "train"),
                (f"train/{CAR}/images/{CAR}_0.JPEG", CAR, "train"), ("val/images/val_0.JPEG", CAR, "val")]
    for path in (tmp_path / "tiny.zip", tmp_path / "tiny-imagenet-200", tarred(tmp_path / "tiny.tar", TINY)):
        assert told(TinyImageNet(path)) == expected
    (tmp_path / "tiny-imagenet-200/val/val_annotations.txt").write_text("")
    with pytest.raises(ItlError, match="no line for val/images/val_0.JPEG"):
        TinyImageNet(tmp_path / "tiny-imagenet-200").records()


def test_every_cifar_wnid_is_in_ilsvrcs_tree_and_means_one_class():
    snapshot = Taxonomy.snapshot()
    assert all(wnid in snapshot for wnid in WNIDS.values())
    assert len(set(WNIDS.values())) == len(WNIDS) == 69
    renamed = {"couch": "sofa", "keyboard": "computer keyboard", "pickup_truck": "pickup"}
    assert all(snapshot.class_name(wnid) == renamed.get(name, name.replace("_", " "))
               for name, wnid in WNIDS.items())


def test_cifar_through_torchvision(tmp_path, monkeypatch):
    datasets = pytest.importorskip("torchvision.datasets")
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    pixels = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072)
    for split in ("train", "test"):
        (folder / split).write_bytes(pickle.dumps({"data": pixels, "fine_labels": [1, 0]}))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": ["apple", "baby"]}))
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(datasets.CIFAR100, part, [[part.split("_")[0], None]])
    monkeypatch.setitem(datasets.CIFAR100.meta, "md5", None)
    source = Cifar100(tmp_path)
    records = source.records()
    assert [(record.id, record.wnid, record.split) for record in records] == [
        ("test/apple/00001", "n07739125", "test"), ("test/baby/00000", "baby", "test"),
        ("train/apple/00001", "n07739125", "train"), ("train/baby/00000", "baby", "train")]
    assert (source.read(records[0]) == pixels[1].reshape(3, 32, 32).transpose(1, 2, 0)).all()
    assert len(pickle.dumps(source)) < 1000


@pytest.mark.skipif(not REAL.is_dir(), reason="no real images in ../shared/data")
def test_real_archives():
    scenes = ClassFolders(REAL / "scenes-15.tar")
    counts = [sum(record.split == split for record in scenes.records()) for split in ("train", "test")]
    assert counts == [450, 450]
    assert scenes.read(scenes.records()[0]).startswith(b"\xff\xd8\xff")
