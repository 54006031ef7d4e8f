"""Files that tell which source reads a data set, and archives of it that lie side by side."""

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from itl import ItlError
from itl.sources.registry import open_source
from tests.annotated import check_lines, images, jpeg, text, written
from tests.pictures import listed, tarred
from tests.sources.test_target_sets import SETS

DOG = "n02085620"
CLASSES = images("a/0.jpg", "a/1.jpg", "b/2.jpg", "b/3.jpg")
SIGNS = {  # source -> its file, and others called so which are of another set
    "food101": ("meta/train.txt", text("apple_pie/1"), text("n01440764/n01440764_1.JPEG 0")),
    "dtd": ("labels/train1.txt", text("banded/banded_1.jpg"), text("a/0.jpg")),
    "cub200": ("train_test_split.txt", text("9 0"), text("a/0.jpg train")),
    "pets": ("annotations/trainval.txt", text("Abyssinian_9 1 1 1"), text("a/0.jpg 0")),
}
SIGNS_OF_REFUSED = {  # likewise, but class folders beside them are read
    "tiny-imagenet": ("val_annotations.txt", text("val_9.JPEG\tn01443537\t0\t0\t9\t9"), text("9.jpg cat")),
    "mini-imagenet": (
        *("train.csv", text("filename,label", "n0153282900000005.jpg,n01532829")),
        text("filename,label", "9.jpg,cat"),
    ),
    "imagenet": ("ILSVRC/ImageSets/CLS-LOC/train_cls.txt", text("n01440764/n01440764_10026 1"), None),
}


def problem(kind: str, path: Path, **options: str) -> str:
    """Return why the source is refused."""
    with pytest.raises(ItlError) as caught:
        open_source(kind, path, **options).records()
    return str(caught.value)


@pytest.mark.parametrize("kind", SIGNS)
def test_a_file_tells_its_source_by_its_name_unless_it_lists_the_images(tmp_path, kind):
    name, content, other = SIGNS[kind]
    for number, start in enumerate([b"", b"\xef\xbb\xbf", b"\n"]):
        path = written(tmp_path / f"set{number}", CLASSES | {name: start + content})
        sign = f"{name} is a file of the source {kind}: `itl check {kind} {path}`"
        assert problem("folder", path).startswith(f"{sign}; for the folders alone, choose how to read it: ")
    assert problem("lists", path).endswith(f"; {sign}")
    path = written(tmp_path / "other", CLASSES | {name: other})
    assert kind not in "".join(check_lines("folder", path)) + "".join(check_lines("lists", path))


@pytest.mark.parametrize("kind", SIGNS_OF_REFUSED)
def test_beside_class_folders_a_file_tells_its_source_only_where_they_are_refused(tmp_path, kind):
    name, content, other = SIGNS_OF_REFUSED[kind]
    beside = written(tmp_path / "read", CLASSES | {name: content})
    assert len(open_source("folder", beside, empty="skip").records()) == 4
    flat = images("images/0.jpg", "images/1.jpg")
    path = written(tmp_path / "refused", flat | {name: content})
    assert problem("folder", path).endswith(
        f"; {name} is a file of the source {kind}: `itl check {kind} {path}`"
    )
    if other:
        path = written(tmp_path / "other", flat | {name: other})
        assert kind not in problem("folder", path)


def test_lists_of_images_in_other_folders_than_those_of_dtd_are_not_its(tmp_path):
    """As those of MINC-2500, of which one folder is around both."""
    sets = {f"minc/{name}": data for name, data in CLASSES.items()}
    lists = {"minc/labels/train1.txt": text("a/0.jpg", "b/2.jpg"), "minc/labels/test1.txt": text("a/1.jpg")}
    refused = problem("folder", written(tmp_path, sets | lists))
    assert "minc/labels/test1.txt divides the images" in refused
    assert "dtd" not in refused


def test_labels_in_a_table_of_parquet_beside_images_are_not_passed_over(tmp_path):
    path = written(tmp_path, CLASSES | {"metadata.parquet": b"PAR1"})
    way = "write it as a CSV (pandas: read_parquet, to_csv) for the source lists"
    says = f"metadata.parquet may have labels: {way}"
    assert problem("folder", path).startswith(f"{says}; for the folders alone, choose how to read it: ")
    assert problem("lists", path).endswith(f"; {says}")
    assert len(open_source("folder", path, class_level=1).records()) == 4


@pytest.mark.parametrize("name", ["train_test_split.txt", "meta/train.txt", "annotations/trainval.txt"])
def test_refusals_of_lists_name_no_source_by_a_name_alone(tmp_path, name):
    path = written(tmp_path / "set", CLASSES | {name: text("seed 0", "fold 1")})
    assert "is a file of the source" not in problem("lists", path)
    assert "is a file of the source" in problem("folder", path), "whose classes it may divide"


@pytest.mark.parametrize(
    ("tars", "kind"),
    [
        (["VOCtrainval_06-Nov-2007.tar", "VOCtest_06-Nov-2007.tar"], "voc2007"),
        (["VOCtrainval_11-May-2012.tar"], "voc2012"),
        (["ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"], "imagenet"),
        (["train-000.tar", "train-001.tar"], "webdataset"),
    ],
)
def test_published_tars_are_told_from_shards(tmp_path, tars, kind):
    for tar in tars:
        tarred(tmp_path / "set" / tar, {"0.jpg": jpeg(), "0.cls": b"0"})
    assert f" is a file of the source {kind}: `itl check {kind} " in problem("folder", tmp_path / "set")


def test_archives_are_named_where_a_list_or_images_are_missing(tmp_path):
    files, _, by_split, *_ = SETS["stanford-dogs"]
    parts = {
        "annotation": {f"Annotation/{DOG}-Chihuahua/{DOG}_1": b"x"},
        "images": {name: data for name, data in files.items() if name.startswith("Images/")},
        "lists": {name: data for name, data in files.items() if name.endswith(".mat")},
    }
    path = tmp_path / "my dogs"
    for name, members in parts.items():
        tarred(path / f"{name}.tar", members)
    names = "annotation.tar, images.tar, lists.tar in this folder are not opened"
    folder = f"'{path}/annotation'"
    unpack = f"`mkdir -p {folder} && tar xf '{path}/annotation.tar' -C {folder}`"
    assert problem("stanford-dogs", path) == f"{path} holds no images: {names}; unpack each: {unpack}"
    for name in ("images", "lists"):
        (path / name).mkdir()
        subprocess.run(["tar", "xf", path / f"{name}.tar", "-C", path / name], check=True)
    records = open_source("stanford-dogs", path).records()
    assert {split: sum(one.split == split for one in records) for split in by_split} == by_split
    shutil.rmtree(path / "lists")
    assert problem("stanford-dogs", path).startswith(
        f"{path} has no train_list.mat; annotation.tar, lists.tar in this folder are not opened; unpack each"
    )


def test_images_of_coco_may_be_in_zips_beside(tmp_path):
    coco = b'{"images": [{"id": 1, "file_name": "1.jpg", "width": 60, "height": 40}], "annotations": [], '
    coco += b'"categories": [{"id": 1, "name": "cat"}]}'
    path = written(tmp_path / "coco", {"annotations/instances_train2017.json": coco})
    archive = shutil.make_archive(
        str(path / "train2017"), "zip", written(tmp_path / "t", images("train2017/1.jpg"))
    )
    note = f"train2017.zip in this folder is not opened; unpack it: `unzip {archive} -d {path}/train2017`"
    assert note in open_source("coco", path).notes
    shutil.unpack_archive(archive, path / "train2017")
    assert note not in open_source("coco", path).notes
    big = coco.replace(
        b'"annotations": []',
        b'"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 99, 9]}]',
    )
    (path / "annotations/instances_train2017.json").write_bytes(big)
    assert note not in open_source("coco", path).notes, "a box outside its image"


def numbered(first: int, *names: str) -> bytes:
    """Return the lines of a list that counts its images."""
    return text(*(f"{name} {number}" for number, name in enumerate(names, first)))


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("folders", ["ab", [DOG, "n01440764"]])
def test_numbers_that_count_the_lines_of_a_training_list_are_no_classes(tmp_path, first, folders):
    names = [f"train/{folder}/{number}.jpg" for folder in folders for number in range(2)]
    listed_as = [name.removeprefix("train/") for name in names]  # as ILSVRC's list does
    files = images(*names) | {"train.txt": numbered(first, *listed_as), "val.txt": numbered(first, names[0])}
    path = written(tmp_path / "set", files)
    said = f"train.txt: the labels only count its lines, from {first} to {first + 3}; write the class of each"
    assert problem("lists", path).startswith(said)
    if DOG in folders:
        assert problem("lists", path, train="train.txt").startswith(said)
    else:
        assert problem("lists", path).endswith("or, if these are classes, set the option train=train.txt")
        assert len({wnid for _, wnid, _ in listed(open_source("lists", path, train="train.txt"))}) == 4


@pytest.mark.parametrize(
    "lines",
    [
        numbered(0, "a/0.jpg", "b/1.jpg", "c/2.jpg", "d/3.jpg"),  # a class for each folder
        numbered(0, *(f"{number}.jpg" for number in range(20))),  # one folder: faces, logos, letters
        numbered(5, *CLASSES),
        text("a/0.jpg 0", "a/1.jpg 1", "b/2.jpg 2", "b/3.jpg 4"),
        text("a/0.jpg 1", "a/1.jpg 0", "b/2.jpg 2", "b/3.jpg 3"),
    ],
)
def test_other_numbers_may_be_classes(tmp_path, lines):
    names = [line.split()[0].decode() for line in lines.splitlines()]
    path = written(tmp_path / "set", images(*names) | {"train.txt": lines})
    assert len(listed(open_source("lists", path))) == len(
        {wnid for _, wnid, _ in listed(open_source("lists", path))}
    )


def test_a_list_of_test_may_have_one_image_of_each_class_in_order(tmp_path):
    names = [f"{folder}/{number}.jpg" for folder in "ab" for number in range(4)]
    train = text(*(f"{name} {number % 4}" for number, name in enumerate(names)))
    tests = [f"test/{folder}/{number}.jpg" for folder in "cd" for number in range(2)]
    files = images(*names, *tests) | {"train.txt": train, "test.txt": numbered(0, *tests)}
    records = open_source("lists", written(tmp_path / "set", files)).records()
    assert {(one.split, one.wnid) for one in records if one.split == "test"} == {
        ("test", str(n)) for n in range(4)
    }


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_damaged_archives_beside_lists_change_nothing(tmp_path, name):
    many = tarred(
        tmp_path / "many.tar", {f"{'long' * 60}{number}.jpg": b"" for number in range(300)}
    ).read_bytes()
    for data in (
        b"",
        b"PK\3\4",
        os.urandom(600),
        many[:700] + b"\xff" * 300 + many[1000:],
        gzip.compress(many),
    ):
        files = CLASSES | {"train.txt": text(*(f"{one} {one[0]}" for one in CLASSES)), name: data}
        assert len(open_source("lists", written(tmp_path / "read", files)).records()) == 4
        refused = files | {"train.txt": text("a/none.jpg a", "b/none.jpg b")}
        assert "lists 'a/none.jpg'" in problem("lists", written(tmp_path / "refused", refused))
        assert "has no meta/train.txt" in problem("food101", tmp_path / "refused")
        assert "food101" not in problem("folder", written(tmp_path / "alone", {name: data, "a.txt": b"x"}))
