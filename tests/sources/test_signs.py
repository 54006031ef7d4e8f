"""Files that tell which source reads a data set, and archives of it that lie side by side."""

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
    "dtd": ("labels/train1.txt", text("banded/banded_1.jpg"), text("images/brick/brick_1.jpg")),
    "cub200": ("train_test_split.txt", text("9 0"), text("a/0.jpg train")),
    "tiny-imagenet": ("val_annotations.txt", text("val_0.JPEG\tn01443537\t0"), text("0.jpg cat")),
    "mini-imagenet": (
        *("train.csv", text("filename,label", "n0153282900000005.jpg,n01532829")),
        text("filename,label", "a/0.jpg,a", "a/1.jpg,a", "b/2.jpg,b"),
    ),
    "imagenet": ("ILSVRC/ImageSets/CLS-LOC/train_cls.txt", text("n01440764/n01440764_10026 1"), None),
}


def problem(kind: str, path: Path, **options: str) -> str:
    """Return why the source is refused."""
    with pytest.raises(ItlError) as caught:
        open_source(kind, path, **options).records()
    return str(caught.value)


@pytest.mark.parametrize("kind", SIGNS)
def test_a_file_tells_its_source_by_its_name_and_its_first_line(tmp_path, kind):
    name, content, other = SIGNS[kind]
    path = written(tmp_path / "set", CLASSES | {name: content})
    sign = f"{name} is a file of the source {kind}: `itl check {kind} {path}`"
    assert problem("folder", path).startswith(f"{sign}; for its folders alone, choose how to read it: ")
    if kind != "mini-imagenet":  # whose list alone is read, and lacks an image here
        assert problem("lists", path).endswith(f"; {sign}")
    if other:
        path = written(tmp_path / "other", CLASSES | {name: other})
        assert kind not in "".join(check_lines("folder", path)) + "".join(check_lines("lists", path))


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


def test_the_archive_that_holds_a_missing_list_is_the_one_to_unpack(tmp_path):
    files, _, by_split, *_ = SETS["stanford-dogs"]
    parts = {
        "annotation.tar": {f"Annotation/{DOG}-Chihuahua/{DOG}_1": b"x"},
        "images.tar": {name: data for name, data in files.items() if name.startswith("Images/")},
        "lists.tar": {name: data for name, data in files.items() if name.endswith(".mat")},
    }
    path = tmp_path / "my dogs"
    for name, members in parts.items():
        tarred(path / name, members)
    assert "images.tar is a tar inside the folder, with images in folders, such as" in problem("folder", path)
    said = problem("stanford-dogs", path)
    assert said == (
        f"{path} has no train_list.mat; lists.tar holds it: unpack that, "
        f"`tar xf '{path}/lists.tar' -C '{path}'`"
    )
    subprocess.run(["bash", "-c", said.rpartition(", `")[2].rstrip("`")], check=True)
    source = open_source("stanford-dogs", path)
    assert "annotation.tar, images.tar in this folder were not opened; unpack them if images are missing" in (
        source.notes
    )
    subprocess.run(["tar", "xf", path / "images.tar", "-C", path], check=True)
    records = open_source("stanford-dogs", path).records()
    assert {split: sum(one.split == split for one in records) for split in by_split} == by_split


def test_what_is_unpacked_is_not_to_be_unpacked_again(tmp_path):
    path = written(tmp_path / "cars", {"devkit/cars_meta.mat": b"x"})
    shutil.make_archive(str(path / "car_devkit"), "gztar", path)  # of the devkit alone
    (path / "car_devkit.tar.gz").rename(path / "car_devkit.tgz")
    images_of = written(tmp_path / "train", images("cars_train/00001.jpg"))
    shutil.make_archive(str(path / "cars_train"), "gztar", images_of)
    assert problem("stanford-cars", path).endswith(f"unpack it: `tar xf {path}/cars_train.tar.gz -C {path}`")


def test_images_of_coco_may_be_in_zips_beside(tmp_path):
    coco = b'{"images": [{"id": 1, "file_name": "1.jpg", "width": 60, "height": 40}], "annotations": [], '
    coco += b'"categories": [{"id": 1, "name": "cat"}]}'
    path = written(tmp_path / "coco", {"annotations/instances_train2017.json": coco})
    archive = shutil.make_archive(
        str(path / "train2017"), "zip", written(tmp_path / "t", images("train2017/1.jpg"))
    )
    note = f"{Path(archive).name} in this folder was not opened; unpack it if images are missing"
    assert note in open_source("coco", path).notes
    shutil.unpack_archive(archive, path)
    assert note not in open_source("coco", path).notes


def numbered(first: int, *names: str) -> bytes:
    """Return the lines of a list that counts its images."""
    return text(*(f"{name} {number}" for number, name in enumerate(names, first)))


@pytest.mark.parametrize("first", [0, 1])
def test_numbers_that_count_the_lines_of_a_list_are_no_classes(tmp_path, first):
    many = [f"{number}.jpg" for number in range(10)]
    said = f"train.txt: the labels only count its lines, from {first} to {first + 3}; write the class of each"
    for options in ({}, {"train": "train.txt"}):
        path = written(tmp_path / "folders", CLASSES | {"train.txt": numbered(first, *CLASSES)})
        assert problem("lists", path, **options).startswith(said)
        path = written(tmp_path / "many", images(*many) | {"train.txt": numbered(first, *many)})
        assert "only count its lines" in problem("lists", path, **options)
    path = written(tmp_path / "header", images(*many))
    (path / "train.csv").write_bytes(b"image,label\n" + numbered(first, *many).replace(b" ", b","))
    assert len(open_source("lists", path).records()) == 10


@pytest.mark.parametrize(
    "lines",
    [
        numbered(0, "a/0.jpg", "b/1.jpg", "c/2.jpg", "d/3.jpg"),  # a class for each folder
        numbered(0, "0.jpg", "1.jpg", "2.jpg", "3.jpg"),  # few, in one folder
        numbered(5, *CLASSES),
        numbered(0, "a/0.jpg", "a/1.jpg", "b/2.jpg", "b/3.jpg", "b/4.jpg").replace(b" 4", b" 0"),
        text("a/0.jpg 0", "a/1.jpg 1", "b/2.jpg 2", "b/3.jpg 4"),
        numbered(0, "a/0.jpg", "a/1.jpg", "b/2.jpg"),
    ],
)
def test_other_numbers_may_be_classes(tmp_path, lines):
    names = [line.split()[0].decode() for line in lines.splitlines()]
    path = written(tmp_path / "set", images(*names) | {"train.txt": lines})
    expected = {(line.rpartition(b" ")[2].decode()) for line in lines.splitlines()}
    records = listed(open_source("lists", path))
    assert len(records) == len(set(names))
    assert len({wnid for _, wnid, _ in records}) == len(expected)
