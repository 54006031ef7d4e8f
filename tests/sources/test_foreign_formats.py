"""What lies there instead of images that are read: formats of other tools, and images without a suffix."""

import re

import pandas as pd
import pytest

from itl import ItlError
from itl.sources.registry import open_source
from tests.annotated import images, jpeg, text, written
from tests.pictures import tarred
from tests.sources.test_packed_archives import zipped

OF_MNIST = "in the format of MNIST; write its images to class folders"
FORMATS = {  # the only file -> how it is described
    "train/data-00000-of-00001.arrow": "Arrow, as save_to_disk of the library datasets writes it",
    "x.h5.gz": "compressed HDF5; unpack it with gunzip, and write its images to class folders with h5py",
    "x.h5": "HDF5; write its images to class folders with h5py",
    "a.rar": "packed in a format that is not read; unpack it, as with 7z x",
    "a.7z": "packed in a format that is not read; unpack it, as with 7z x",
    "a.zip.001": "a part of an archive; join all with cat, and unpack the whole",
    "a.tar.gz.002": "a part of an archive; join all with cat, and unpack the whole",
    "a.z01": "a part of a zip; join all with zip -s 0 NAME.zip --out whole.zip, and unpack that",
    "train-images-idx3-ubyte": OF_MNIST,
    "train-images.idx3-ubyte.gz": OF_MNIST,
    "stl10_binary/train_X.bin": "in the format of STL-10; write its images to class folders",
    "cifar-10-batches-bin/test_batch.bin": "of CIFAR's binary version; get the Python version, cifar-10-",
    "pathmnist.npz": "a file of NumPy; write its images to class folders",
    "test_32x32.mat": "a file of MATLAB; write its images to class folders",
    "a/0.nii.gz": "NIfTI; write its slices to class folders",
    "a/0.AVI": "a video; write its frames to class folders, as with ffmpeg",
}


def problem(path, kind: str = "folder") -> str:
    """Return why the source is refused."""
    with pytest.raises(ItlError) as caught:
        open_source(kind, path).records()
    return str(caught.value)


@pytest.mark.parametrize("name", FORMATS)
def test_the_format_of_another_tool_is_named_with_the_way_from_there(tmp_path, name):
    path = written(tmp_path / "set", {name: b"x", "a_readme.txt": b"x"})
    assert problem(path).startswith(f"{path} holds no images in class folders; {name} is {FORMATS[name]}")
    assert problem(path / name).startswith(f"{path}/{name} is {FORMATS[name]}")


@pytest.mark.parametrize("kind", ["folder", "parquet", "webdataset"])
def test_a_pack_is_no_data_set(tmp_path, kind):
    files = ("images.npy", "index.parquet", "pack.json", "files.parquet")
    says = "pack.json is of a pack that itl wrote; give the images that were packed, whose path it has"
    assert says in problem(written(tmp_path, dict.fromkeys(files, b"")), kind)


@pytest.mark.parametrize("name", ["a.bin", "a.avif.txt", "a.r", "a.z1", "mp4"])
def test_other_files_are_only_said_to_be_there(tmp_path, name):
    path = written(tmp_path / "set", {name: b"x"})
    assert f"and found only {name}; give another path" in problem(path)


def test_archives_and_other_sources_go_before_what_may_lie_beside_them(tmp_path):
    beside = {"demo.mp4": b"x", "a.mat": b"x"}
    path = written(tmp_path / "packed", beside | {"set.zip": zipped(images("cat/1.jpg", "dog/1.jpg"))})
    assert problem(path).endswith(
        f"set.zip in this folder is not opened; unpack it: `unzip {path}/set.zip -d {path}/set`"
    )
    path = written(tmp_path / "table", beside | {"train.parquet": b"x"})
    assert problem(path).endswith(
        f"train.parquet is a file of the source parquet: `itl check parquet {path}`"
    )


@pytest.mark.parametrize(("name", "right"), [("a/0", "a/0.jpg"), ("a/0.jpg_large", "a/0.jpg_large.jpg")])
def test_images_without_a_suffix_are_to_get_one(tmp_path, name, right):
    path = written(tmp_path / "set", {"LICENSE": b"x", name: jpeg(), name.replace("a/", "b/"): jpeg()})
    assert problem(path) == (
        f"{path} holds no images by their names; {name!r} is an image without such a suffix; give each image "
        f"one, as in {right!r}"
    )
    for old, new in ((name, right), (name.replace("a/", "b/"), right.replace("a/", "b/"))):
        (path / old).rename(path / new)
    assert [record.wnid for record in open_source("folder", path).records()] == ["a", "b"]


def test_a_text_called_as_an_image_is_no_list_of_dtd(tmp_path):
    of_yolo = images("train/images/train1.jpg", "train/images/train2.jpg")
    path = written(tmp_path / "yolo", of_yolo | {"train/labels/train1.txt": text("0 0.5 0.5 0.1 0.1")})
    assert "dtd" not in problem(path)
    of_dtd = images("images/banded/banded_0001.jpg", "images/dotted/dotted_0001.jpg")
    path = written(tmp_path / "textures", of_dtd | {"labels/train1.txt": text("banded/banded_0001.jpg")})
    assert problem(path).startswith("labels/train1.txt is a file of the source dtd: `itl check dtd ")


def test_a_table_of_paths_is_written_as_a_list(tmp_path, monkeypatch):
    path = written(tmp_path / "set", images("images/0.jpg", "images/1.jpg"))
    (path / "data").mkdir()
    table = pd.DataFrame({"image": ["images/0.jpg", "images/1.jpg"], "label": ["cat", "dog"]})
    table.to_parquet(path / "data/test-00000-of-00001.parquet")
    said = problem(path, "parquet")
    assert re.match(
        r"data/test-00000-of-00001.parquet: the column image is (large_)?string, not the bytes of images; if "
        r"it has paths, write a CSV beside the images for the source lists: pandas.read_parquet\(",
        said,
    )
    monkeypatch.chdir(path)
    eval(said.partition("source lists: ")[2], {"pandas": pd})
    records = open_source("lists", path).records()
    assert [(record.id, record.wnid, record.split) for record in records] == [
        ("images/0.jpg", "cat", "test"),
        ("images/1.jpg", "dog", "test"),
    ]


def test_another_column_with_the_bytes_of_images_is_offered(tmp_path):
    table = pd.DataFrame({"image": ["a"], "pixels": [jpeg()], "label": ["cat"]})
    path = written(tmp_path / "set", {"readme.md": b""})
    table.to_parquet(path / "train.parquet")
    assert "not the bytes of images; set the option image=pixels, or if it has paths, write a" in problem(
        path, "parquet"
    )
    assert len(open_source("parquet", path, image="pixels").records()) == 1
    table.assign(image=[0]).drop(columns="pixels").to_parquet(path / "train.parquet")
    assert problem(path, "parquet").endswith(
        "is int64, not the bytes of images; write the bytes of each image's file"
    )


def test_a_tar_whose_first_name_begins_like_a_zip_is_a_tar(tmp_path):
    members = {f"PKdata/{name}/{number}.jpg": jpeg() for name in "ab" for number in range(2)}
    source = open_source("folder", tarred(tmp_path / "pk.tar", members), class_level=2)
    assert [record.wnid for record in source.records()] == ["a", "a", "b", "b"]
    (tmp_path / "pk.zip").write_bytes(zipped(members))
    assert len(open_source("folder", tmp_path / "pk.zip", class_level=2).records()) == 4
    (tmp_path / "none.zip").write_bytes(zipped({}))  # which begins with its end
    with pytest.raises(ItlError, match="no class folders|no images"):
        open_source("folder", tmp_path / "none.zip").records()


LABELME = b'{"version": "5", "shapes": [{"label": "cat"}], "imagePath": "a.jpg"}'
YOLO = ("data.yaml", "images/train/a.jpg", "labels/train/a.txt"), "boxes as YOLO's text files, which itl does"
BESIDE = ("train/a.jpg", "train/a.xml", "valid/b.jpg", "valid/b.xml"), "XML files beside their images"
FLAT = ("a.jpg", "a.json", "b.jpg", "b.json"), "boxes as labelme's JSON files, such as a.json, which itl does"
DIVIDED = (
    ("train/a.json", "train/b.json", "val/c.json"),
    "labelme's JSON files, such as train/a.json, which itl",
)


@pytest.mark.parametrize("kind", ["voc2007", "coco"])
@pytest.mark.parametrize(("names", "says"), [YOLO, BESIDE, FLAT, DIVIDED])
def test_boxes_in_other_layouts_are_named(tmp_path, kind, names, says):
    line = problem(written(tmp_path, dict.fromkeys(names, LABELME)), kind)
    assert says in line
    assert line.endswith("export them as COCO JSON and read them with the source coco")


def test_json_of_other_programs_is_not_taken_for_labelmes(tmp_path):
    path = written(tmp_path, dict.fromkeys(("a.json", "b.json"), b'{"shapes": 3}'))
    assert "but a.json, b.json; export the boxes as COCO JSON, a file for each split" in problem(path, "coco")
