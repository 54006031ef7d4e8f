"""ImageNet, Tiny ImageNet and CIFAR-100 as their authors publish them, in small."""

import contextlib
import gzip
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import scipy.io

from itl import ItlError
from itl.hierarchy.taxonomy import Taxonomy
from itl.sources.published.cifar import WNIDS, Cifar100
from itl.sources.published.imagenet import TRAIN_TAR, VAL_TAR, ImageNet, ImageNet21k, TinyImageNet
from itl.sources.published.val_labels import DEVKIT, META, TRUTH, read_labels
from itl.sources.registry import open_source
from tests.annotated import check_lines, jpeg
from tests.pictures import CAR, FOX, listed, tarred, tree


@pytest.fixture
def ilsvrc(tmp_path):
    """The tars as published, in small: two classes of two images, two val images, and their truth."""
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
    ("val/ILSVRC2012_val_00000001.JPEG", FOX, "val"),
    ("val/ILSVRC2012_val_00000002.JPEG", CAR, "val"),
]


def test_imagenet_as_published(ilsvrc):
    source = ImageNet(ilsvrc)
    assert listed(source) == EXPECTED
    content = [source.read(record) for record in source.records()]
    assert content[-3:] == [f"{CAR} 2".encode(), b"val 1", b"val 2"]
    assert source.left_out == {"names that leave the archive": 2}


@pytest.mark.parametrize(
    "lines",
    [
        "ILSVRC2012_val_00000001.JPEG n02119022\nILSVRC2012_val_00000002.JPEG n04285008\n",
        "ImageId,Prediction\nILSVRC2012_val_00000002,n04285008 8 1 4 2\n"
        "ILSVRC2012_val_00000001,n02119022 1\n",
        "n02119022\nn04285008\n",
    ],
)
def test_imagenet_with_a_label_list(ilsvrc, lines):
    (ilsvrc / f"{DEVKIT}.tar.gz").unlink()
    with pytest.raises(ItlError, match="2 val images have no label, such as ILSVRC2012_val_00000001"):
        ImageNet(ilsvrc).records()
    (ilsvrc / "val_map.txt").write_text(lines)
    assert listed(ImageNet(ilsvrc)) == EXPECTED
    assert listed(ImageNet(ilsvrc, val_labels=str(ilsvrc / "val_map.txt"))) == EXPECTED


def test_half_a_devkit_is_named(ilsvrc):
    (ilsvrc / f"{DEVKIT}.tar.gz").unlink()
    (ilsvrc / TRUTH).write_text("1\n2\n")
    said = f"such as ILSVRC2012_val_00000001; the devkit's {TRUTH}: its numbers need meta.mat of the devkit"
    with pytest.raises(ItlError, match=said) as caught:
        ImageNet(ilsvrc).records()
    assert str(caught.value).count(TRUTH) == 1


@pytest.mark.parametrize("tar", [TRAIN_TAR, VAL_TAR])
def test_of_a_published_tar_alone_its_folder_is_named(ilsvrc, tar):
    path = tarred(ilsvrc / tar, {"n01440764.tar": b""} if tar == TRAIN_TAR else {"a.JPEG": jpeg()})
    with pytest.raises(
        ItlError, match=f"{tar} has one split alone; give the folder that holds it: {ilsvrc}$"
    ):
        ImageNet(path).records()


def test_two_label_lists_that_contradict_each_other_are_refused(ilsvrc):
    (ilsvrc / "val_map.txt").write_text(f"{FOX}\n{CAR}\n")
    (ilsvrc / "other.csv").write_text(f"ILSVRC2012_val_00000001,{FOX}\nILSVRC2012_val_00000002,{CAR}\n")
    assert ImageNet(ilsvrc).labelled_by == "their folders, val by val_map.txt", "both say the same"
    (ilsvrc / "other.csv").write_text(f"ILSVRC2012_val_00000001,{CAR}\nILSVRC2012_val_00000002,{CAR}\n")
    message = (
        f"val_map.txt gives ILSVRC2012_val_00000001 the class {FOX}, but other.csv gives it {CAR}; remove"
    )
    with pytest.raises(ItlError, match=message):
        ImageNet(ilsvrc).records()
    assert listed(ImageNet(ilsvrc, val_labels=ilsvrc / "val_map.txt")) == EXPECTED


def test_a_list_whose_numbers_name_no_wnid_contradicts_nothing(ilsvrc):
    (ilsvrc / "val_map.txt").write_text(f"{FOX}\n{CAR}\n")
    (ilsvrc / "val.txt").write_text("ILSVRC2012_val_00000001.JPEG 1\nILSVRC2012_val_00000002.JPEG 0\n")
    (ilsvrc / "synsets.txt").write_text(f"{FOX.upper()}\n{CAR.upper()}\n")
    assert listed(ImageNet(ilsvrc)) == EXPECTED
    (ilsvrc / "synsets.txt").write_text(f"{FOX}\n{CAR}\n")
    with pytest.raises(ItlError, match="but val.txt and synsets.txt gives it"):
        ImageNet(ilsvrc).records()


def test_numbers_of_image_sets_are_those_of_lines(tmp_path):
    path = tarred(
        tmp_path / "kaggle.tar",
        {f"ILSVRC/Data/CLS-LOC/train/{wnid}/{wnid}_1.JPEG": b"" for wnid in (FOX, CAR)}
        | {f"ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_0000000{number}.JPEG": b"" for number in (1, 2)}
        | {
            "ILSVRC/ImageSets/CLS-LOC/val.txt": b"ILSVRC2012_val_00000001 1\nILSVRC2012_val_00000002 2\n",
            "LOC_synset_mapping.txt": f"{FOX} fox\n{CAR} car\nn02085620 Chihuahua\n".encode(),
            "LOC_val_solution.csv": (
                f"ILSVRC2012_val_00000001,{CAR} 1\nILSVRC2012_val_00000002,{FOX} 1\n".encode()
            ),
        },
    )
    source = ImageNet(path)
    val = [(record.id[-13:-5], record.wnid) for record in source.records() if record.split == "val"]
    assert val == [("00000001", CAR), ("00000002", FOX)]
    assert source.labelled_by == "their folders, val by LOC_val_solution.csv"


def test_check_says_how_many_of_the_classes_there_are(ilsvrc):
    assert "note: 2 of 1,000 classes" in check_lines("imagenet", ilsvrc)
    tiny = tarred(ilsvrc / "tiny.tar", TINY)
    assert "note: 2 of 200 classes" in check_lines("tiny-imagenet", tiny)
    (ilsvrc / "mine.csv").write_text(f"wnid,label\n{FOX},a\n{CAR},b\n")
    chosen = check_lines("tiny-imagenet", tiny, classes=str(ilsvrc / "mine.csv"))
    assert not [line for line in chosen if "of 200 classes" in line], "own classes, as many as were chosen"


def test_imagenet_with_an_unpacked_devkit(ilsvrc):
    with tarfile.open(ilsvrc / f"{DEVKIT}.tar.gz") as tar:
        tar.extractall(ilsvrc, filter="data")
    (ilsvrc / f"{DEVKIT}.tar.gz").unlink()
    assert listed(ImageNet(ilsvrc)) == EXPECTED


def test_each_damaged_byte_of_the_devkit_is_found(ilsvrc):
    """Also one of a class number, which the checksum at the end of the file alone tells."""
    path = ilsvrc / f"{DEVKIT}.tar.gz"
    tar = gzip.decompress(path.read_bytes())
    refusal = f"val_00000001; {path.name}: it is damaged, or not a compressed tar"
    for level in (0, 9):  # 0: stored as it is, so that nothing is redundant
        whole = gzip.compress(tar, level, mtime=0)
        for at in range(10, len(whole), len(whole) // 30):  # behind the header, which has no content
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
            refused = pytest.raises(ItlError, match=refusal)
            with refused if level == 0 else contextlib.suppress(ItlError):
                ImageNet(ilsvrc).records()


def test_a_damaged_class_table_of_the_devkit_is_refused(ilsvrc):
    with tarfile.open(ilsvrc / f"{DEVKIT}.tar.gz") as tar:
        tar.extractall(ilsvrc, filter="data")
    (ilsvrc / f"{DEVKIT}.tar.gz").unlink()
    meta = ilsvrc / DEVKIT / "data" / META
    synsets = np.array([(7, CAR), (9, FOX)], [("ILSVRC2012_ID", "O"), ("WNID", "O")])
    scipy.io.savemat(meta, {"synsets": synsets}, do_compression=True)
    whole = meta.read_bytes()
    for at in range(140, len(whole) - 1, 5):  # of what is compressed, where not each bit counts
        meta.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with contextlib.suppress(ItlError):
            ImageNet(ilsvrc).records()
    meta.write_bytes(whole[:-1] + bytes([whole[-1] ^ 4]))  # of the checksum
    with pytest.raises(ItlError, match=f"{TRUTH}: {META} is damaged, or not a .mat file .Error -3"):
        ImageNet(ilsvrc).records()
    for table in ({"other": 1}, {"synsets": 1}, {"synsets": {"WNID": CAR}}):
        scipy.io.savemat(meta, table)
        with pytest.raises(ItlError, match=f"{TRUTH} or {META} is damaged, or not a list of the devkit"):
            ImageNet(ilsvrc).records()


def test_imagenet_in_folders(tmp_path):
    tree(tmp_path, f"train/{FOX}/1.JPEG", f"train/{CAR}/1.JPEG", f"val/{FOX}/v.JPEG", f"val/{CAR}/w.JPEG")
    assert [record[1:] for record in listed(ImageNet(tmp_path))] == [
        (FOX, "train"),
        (CAR, "train"),
        (FOX, "val"),
        (CAR, "val"),
    ]
    wrapped = [f"set/{split}/{wnid}/1.JPEG" for split in ("train", "val") for wnid in (FOX, CAR)]
    tree(tmp_path / "around", *wrapped)
    assert len(listed(ImageNet(tmp_path / "around"))) == 4, "a folder around all is stepped into"
    tree(tmp_path, "train/cat/1.JPEG")
    with pytest.raises(ItlError, match="classes of imagenet are wnids, not cat"):
        ImageNet(tmp_path).records()
    tree(tmp_path, "train/n00000001/")
    with pytest.raises(ItlError, match="such as train/n00000001"):
        ImageNet(tmp_path).records()


@pytest.mark.parametrize("folder", ["", "ILSVRC", "ILSVRC/Data"])
def test_the_list_of_val_may_lie_in_any_folder_around_the_images(tmp_path, folder):
    images = "ILSVRC/Data/CLS-LOC"
    train = [f"{images}/train/{wnid}/{wnid}_1.JPEG" for wnid in (FOX, CAR)]
    tree(tmp_path, *train, f"{images}/val/ILSVRC2012_val_00000001.JPEG")
    solution = f"ImageId,PredictionString\nILSVRC2012_val_00000001,{CAR} 1 2 3 4\n"
    (tmp_path / folder / "LOC_val_solution.csv").write_text(solution)
    assert [record[1:] for record in listed(ImageNet(tmp_path))] == [
        (FOX, "train"),
        (CAR, "train"),
        (CAR, "val"),
    ]


def test_tars_of_one_split_are_joined_and_what_is_there_twice_counts_once(tmp_path):
    for number, wnid in enumerate((FOX, CAR), 1):
        tarred(tmp_path / f"train.X{number}.tar", {f"{wnid}/{wnid}_1.JPEG": b"x"})
    for name in ("val.X.tar", "validation.tar"):
        tarred(tmp_path / name, {f"{FOX}/ILSVRC2012_val_00000001.JPEG": b"x"})
    source = ImageNet(tmp_path)
    assert [record[1:] for record in listed(source)] == [(FOX, "train"), (CAR, "train"), (FOX, "val")]
    assert source.left_out == {"files whose name comes again": 1}


def test_what_lies_beside_the_folders_of_splits_is_counted(tmp_path):
    tree(tmp_path, *(f"{split}/{wnid}/{wnid}_1.JPEG" for split in ("train", "val") for wnid in (FOX, CAR)))
    tree(tmp_path, f"extra/{FOX}/2.JPEG", "more/3.JPEG", "top.JPEG", "notes.txt", ".cache/4.JPEG")
    tarred(tmp_path / TRAIN_TAR, {f"{FOX}.tar": b""})
    source = ImageNet(tmp_path)
    assert len(source.records()) == 4
    assert source.left_out == {
        f"tars beside folders of the same split ({TRAIN_TAR})": 1,
        "images beside the folders of splits (top.JPEG)": 1,
        "folders beside those of splits (extra …)": 2,
    }


def test_images_of_val_beside_its_class_folders_may_be_copies(tmp_path):
    names = [f"ILSVRC2012_val_0000000{number}.JPEG" for number in range(7)]
    sorted_ones = {f"val/{wnid}/{name}" for wnid, name in zip((FOX, CAR) * 2, names[:4], strict=True)}
    tree(tmp_path, f"train/{FOX}/a.JPEG", f"train/{CAR}/a.JPEG", *sorted_ones, f"val/{names[0]}")
    source = ImageNet(tmp_path)
    assert {record.id for record in source.records() if record.split == "val"} == sorted_ones
    tree(tmp_path, f"val/{names[5]}")
    assert ImageNet(tmp_path).left_out["images beside class folders"] == 2, "one may be a stray"
    tree(tmp_path, f"val/{names[6]}")
    with pytest.raises(
        ItlError, match=f"'val' is half sorted: 2 images lie in it, such as {names[5]}, beside"
    ):
        ImageNet(tmp_path).records()


def test_a_train_tar_that_is_not_all_unpacked_is_said(ilsvrc):
    folder = ilsvrc / "train"
    tree(folder, f"{FOX}_fox/1.JPEG")
    (ilsvrc / TRAIN_TAR).rename(folder / TRAIN_TAR)
    lacks = (
        f"'train' lacks 1 class of train/{TRAIN_TAR}, such as {CAR}; unpack the rest, or move the tar out of"
    )
    with pytest.raises(ItlError, match=lacks):
        ImageNet(ilsvrc).records()
    tarred(folder / f"{CAR}.tar", {f"{CAR}_1.JPEG": b"x"})
    names = {record.id for record in ImageNet(ilsvrc).records() if record.split == "train"}
    assert names == {f"train/{FOX}_fox/1.JPEG", f"train/{CAR}/{CAR}_1.JPEG"}, "not those of the tar"
    (folder / TRAIN_TAR).write_bytes(b"cut short")
    assert len(ImageNet(ilsvrc).records()) == 4, "nobody reads it"


def test_a_tar_beside_an_empty_folder_of_its_split_is_read(ilsvrc):
    (ilsvrc / "val").mkdir()
    (ilsvrc / "val/.DS_Store").touch()
    assert listed(ImageNet(ilsvrc)) == EXPECTED


def test_what_macos_puts_into_zips_holds_no_splits(tmp_path):
    tree(tmp_path, *(f"{top}train/{wnid}/1.JPEG" for top in ("", "__MACOSX/", "old/") for wnid in (FOX, CAR)))
    (note,) = ImageNet(tmp_path).notes
    assert note.startswith("old beside train holds splits of its own (train), which are not read; ")


def test_files_named_after_another_class_or_split_are_said(tmp_path):
    names = [f"train/{FOX}/{name}_1.JPEG" for name in (FOX, CAR, "ILSVRC2012_val")]
    tree(tmp_path, *names, f"train/{CAR}/{CAR}_1.JPEG")
    lines = check_lines("imagenet", tmp_path)
    assert f"note: 1 image is named after another wnid than that of the folder: {names[1]}" in lines
    assert f"note: 1 training image has the name of a validation image: {names[2]}" in lines
    names = [f"train/{FOX}/images/{name}_1.JPEG" for name in (FOX, CAR)]  # of Tiny ImageNet
    lines = check_lines("folder", tree(tmp_path / "tiny", *names, f"train/{CAR}/images/{CAR}_1.JPEG"))
    assert f"note: 1 image is named after another wnid than that of the folder: {names[1]}" in lines
    names = [f"train/{FOX}_red_fox/{name}_1.JPEG" for name in (FOX, CAR)]
    lines = check_lines("imagenet", tree(tmp_path / "words", *names, f"train/{CAR}/{CAR}_1.JPEG"))
    assert f"note: 1 image is named after another wnid than that of the folder: {names[1]}" in lines
    tree(tmp_path / "merged", f"train/{FOX}/{FOX}_1.JPEG", f"train/{CAR}/{CAR}_1.JPEG")
    (tmp_path / "merged.csv").write_text(f"wnid,label\n{FOX},{FOX}\n{CAR},{FOX}\n")  # of one class, rightly
    lines = check_lines("imagenet", tmp_path / "merged", classes=str(tmp_path / "merged.csv"))
    assert not any("named after" in line for line in lines)


def test_a_damaged_inner_tar_is_named(ilsvrc):
    data = bytearray((ilsvrc / TRAIN_TAR).read_bytes())
    data[1024 + 512 : 1024 + 1024] = b"\xff" * 512  # the second header of the first class's tar
    (ilsvrc / TRAIN_TAR).write_bytes(data)
    with pytest.raises(ItlError, match=f"{TRAIN_TAR}:train/{FOX}.tar is not a whole tar"):
        ImageNet(ilsvrc).records()


def test_label_lists_may_have_quotes():
    quoted = b'"image","wnid"\r\n"a.JPEG","n02119022"\r\n'
    assert read_labels(quoted) == {"a": "n02119022"}


def test_label_lists_say_which_line_is_wrong():
    with pytest.raises(ItlError, match="line 2, 'b.JPEG 65', has no wnid"):
        read_labels(b"a.JPEG n02119022\nb.JPEG 65\n")
    with pytest.raises(
        ItlError, match="line 2 has several wnids, n02119022 and n04285008; leave that of the im"
    ):
        read_labels(b"image,predicted,wnid\na.JPEG,n02119022,n04285008\n")
    boxes = b"a,n02119022 1 2 3 4 n02119022 5 6 7 8\n"  # as ImageNet's own list on Kaggle has them
    assert read_labels(boxes) == {"a": "n02119022"}
    with pytest.raises(ItlError, match="line 2 gives a the class n04285008, after n02119022"):
        read_labels(b"a.JPEG n02119022\na.JPEG n04285008\n")
    with pytest.raises(ItlError, match="line 1, 'n02119022.*red fox', names no image"):
        read_labels(b"n02119022\tred fox\nn04285008\tsports car\n")


def test_label_lists_may_begin_with_wnids():
    assert read_labels(b"n02119022 b.JPEG\nn04285008 a.JPEG\n") == {"b": "n02119022", "a": "n04285008"}
    assert read_labels(b"n02119022\n")["ILSVRC2012_val_00000001"] == "n02119022", "in order"


def test_a_list_of_classes_is_none_of_val_labels():
    classes = b"n01440764\nn02119022\nn04285008\n"
    with pytest.raises(ItlError, match="its wnids are sorted, each once, as those of a list of classes"):
        read_labels(classes)
    assert list(read_labels(classes + b"n01440764\n").values())[3] == "n01440764"
    assert len(read_labels(b"n04285008\nn02119022\nn01440764\n")) == 3


TINY = {f"train/{wnid}/images/{wnid}_0.JPEG": b"t" for wnid in (FOX, CAR)} | {
    f"train/{FOX}/{FOX}_boxes.txt": b"",
    "val/images/val_0.JPEG": b"v",
    "test/images/test_0.JPEG": b"?",
    "val/val_annotations.txt": f"val_0.JPEG\t{CAR}\t0\t0\t62\t57\n".encode(),
}


def test_tiny_imagenet_as_published(tmp_path):
    with zipfile.ZipFile(tmp_path / "tiny.zip", "w") as archive:
        for name, content in TINY.items():
            archive.writestr(f"tiny-imagenet-200/{name}", content)
    with zipfile.ZipFile(tmp_path / "tiny.zip") as archive:
        archive.extractall(tmp_path)
    expected = [
        (f"train/{FOX}/images/{FOX}_0.JPEG", FOX, "train"),
        (f"train/{CAR}/images/{CAR}_0.JPEG", CAR, "train"),
        ("val/images/val_0.JPEG", CAR, "val"),
    ]
    for path in (tmp_path / "tiny.zip", tmp_path / "tiny-imagenet-200", tarred(tmp_path / "tiny.tar", TINY)):
        assert listed(TinyImageNet(path)) == expected
    (tmp_path / "tiny-imagenet-200/val/val_annotations.txt").write_text("")
    with pytest.raises(ItlError, match="1 val image has no label, such as val_0"):
        TinyImageNet(tmp_path / "tiny-imagenet-200").records()


def test_a_list_of_val_that_does_not_fit_the_images_is_said(tmp_path):
    labels = "val_0.JPEG\tn04285008\t0\t0\t9\t9\n"
    tree(
        tmp_path,
        *(name for name in TINY if "val" not in name),
        "val/images/val_0.JPEG",
        "val/images/val_1.JPEG",
    )
    (listed := tmp_path / "val/val_annotations.txt").write_text(labels)
    lacking = (
        "no list has a class for each of 2 val images; val_annotations.txt lacks 1 of them, such as val_1"
    )
    with pytest.raises(ItlError, match=f"{lacking}; complete it, or name another"):
        TinyImageNet(tmp_path).records()
    listed.write_text(labels + labels.replace("val_0", "val_1") + labels.replace("val_0", "val_2"))
    source = TinyImageNet(tmp_path)
    assert sum(record.split == "val" for record in source.records()) == 2
    assert source.labelled_by == "their folders, val by val_annotations.txt (1 image in it not there: val_2)"


def test_a_tar_of_imagenet_v2_with_a_folder_around_its_numbers(tmp_path):
    images = {f"imagenetv2-format-val/{number}/{40 * 'a'}.jpeg": b"v" for number in (0, 1)}
    records = ImageNet(tarred(tmp_path / "v2.tar", images)).records()
    assert [(one.id, one.wnid, one.split) for one in records] == [
        (f"0/{40 * 'a'}.jpeg", "n01440764", "test"),
        (f"1/{40 * 'a'}.jpeg", "n01443537", "test"),
    ]


def test_a_tar_of_one_split_is_that_split(tmp_path):
    images = {f"train/{wnid}/{wnid}_1.JPEG": b"x" for wnid in (FOX, CAR)}
    assert [record[1:] for record in listed(ImageNet(tarred(tmp_path / "train.tar", images)))] == [
        (FOX, "train"),
        (CAR, "train"),
    ]


def test_folders_and_tars_of_imagenet21k_may_have_words_behind_the_wnid(tmp_path):
    """As n02119022_red_fox; what lies in no folder of a wnid is counted."""
    names = [f"{FOX}_red_fox/1.jpg", f"{CAR}-test_car/2.jpg"]
    tree(tmp_path / "21k", *names, "loose.jpg", "more/3.jpg", "readme.txt")
    tarred(tmp_path / "21k/n01440764_tench.tar", {"4.jpg": b"4"})
    source = ImageNet21k(tmp_path / "21k")
    assert listed(source) == [
        ("n01440764/4.jpg", "n01440764", "train"),
        (f"{FOX}/1.jpg", FOX, "train"),
        (f"{CAR}/2.jpg", CAR, "train"),
    ]
    assert source.count_left_out(source.records()) == {
        "images in no folder or tar of a wnid (loose.jpg …)": 2,
        "other files": 1,
    }
    tree(tmp_path / "21k", f"{FOX}/5.jpg")
    assert len(ImageNet21k(tmp_path / "21k").records()) == 4
    tree(tmp_path / "21k", f"{FOX}/1.png")
    with pytest.raises(ItlError, match=f"{FOX}/1.png and {FOX}_red_fox/1.jpg, which are one image by their"):
        ImageNet21k(tmp_path / "21k").records()


@pytest.mark.parametrize(
    ("one", "other"), [("winter21", "winter21_small"), ("images", "masks"), ("train", "train_masks")]
)
def test_two_trees_of_the_same_images_in_one_split_of_imagenet21k_are_refused(tmp_path, one, other):
    tree(tmp_path, f"{one}/{FOX}/1.jpg", f"{one}/{CAR}/2.jpg", f"{other}/{CAR}/3.png")
    assert len(ImageNet21k(tmp_path).records()) == 3  # parts, as long as they share no image
    tree(tmp_path, f"{other}/{CAR}/2.png")
    refusal = f"has {one}/{CAR}/2.jpg and {other}/{CAR}/2.png, which are one image by their names; leave"
    with pytest.raises(ItlError, match=refusal):
        ImageNet21k(tmp_path).records()


def test_tars_of_classes_in_the_tar_of_train_may_have_words_behind_the_wnid(ilsvrc):
    tarred(
        ilsvrc / TRAIN_TAR,
        {
            f"{wnid}_words.tar": tarred(
                ilsvrc.parent / "inner.tar", {f"{wnid}_{n}.JPEG": b"x" for n in (1, 2)}
            ).read_bytes()
            for wnid in (FOX, CAR)
        },
    )
    assert [record[1:] for record in listed(ImageNet(ilsvrc))] == [one[1:] for one in EXPECTED]


def test_what_a_refusal_offers_are_options_of_imagenet(tmp_path):
    with pytest.raises(ItlError, match="choose how to read it: --option splits=train ") as error:
        ImageNet(
            tarred(
                tmp_path / "i.tar",
                {f"train/{FOX}/1.JPEG": b"", f"train/{CAR}/2.JPEG": b"", f"more/{FOX}/3.JPEG": b""},
            )
        ).records()
    assert "class_level" not in str(error.value)


def test_every_cifar_wnid_is_in_ilsvrcs_tree_and_means_one_class():
    snapshot = Taxonomy.snapshot()
    assert all(wnid in snapshot for wnid in WNIDS.values())
    assert len(set(WNIDS.values())) == len(WNIDS) == 69
    renamed = {"couch": "sofa", "keyboard": "computer keyboard", "pickup_truck": "pickup"}
    assert all(
        snapshot.class_name(wnid) == renamed.get(name, name.replace("_", " ")) for name, wnid in WNIDS.items()
    )


def test_cifar_through_torchvision(tmp_path, monkeypatch):
    datasets = pytest.importorskip("torchvision.datasets")
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    pixels = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072)
    for split in ("train", "test"):
        content = {"batch_label": split, "data": pixels, "fine_labels": [1, 0]}
        (folder / split).write_bytes(pickle.dumps(content))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": ["apple", "baby"]}))
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(datasets.CIFAR100, part, [[part.split("_")[0], None]])
    monkeypatch.setitem(datasets.CIFAR100.meta, "md5", None)
    source = Cifar100(tmp_path)
    records = source.records()
    assert [(record.id, record.wnid, record.split) for record in records] == [
        ("test/apple/00001", "n07739125", "test"),
        ("test/baby/00000", "baby", "test"),
        ("train/apple/00001", "n07739125", "train"),
        ("train/baby/00000", "baby", "train"),
    ]
    assert (source.read(records[0]) == pixels[1].reshape(3, 32, 32).transpose(1, 2, 0)).all()
    assert len(pickle.dumps(source)) < 1000
    assert Cifar100(tmp_path, plain="drop").records() == [records[0], records[2]]
    with pytest.raises(ItlError, match="did you mean 'drop'"):
        open_source("cifar100", tmp_path, plain="dropp")


def test_classes_that_imagenet21k_p_leaves_out_are_not_trained_on(tmp_path):
    names = [f"imagenet21k_{split}/{wnid}/1.jpg" for split in ("train", "val") for wnid in (FOX, CAR)]
    tree(tmp_path / "p", *names, "imagenet21k_small_classes/n00004475/1.jpg", "n00005787/2.jpg")
    source = ImageNet21k(tmp_path / "p")
    assert [record[2] for record in listed(source)] == ["train", "train", "val", "val"]
    reason = "images beside the folders of splits (imagenet21k_small_classes/n00004475/1.jpg …)"
    assert source.count_left_out(source.records()) == {reason: 2}
    tree(tmp_path / "whole", *names[2:], f"whole/{FOX}/3.jpg", f"{CAR}/3.jpg")  # without a split: train
    assert [record[2] for record in listed(ImageNet21k(tmp_path / "whole"))] == [
        "train",
        "train",
        "val",
        "val",
    ]
