"""Archives inside folders and archives, with advice that works from anywhere, and names in zips of macOS."""

import io
import re
import shlex
import subprocess
import zipfile
from pathlib import Path

import pytest

from itl import ItlError
from itl.sources.registry import SOURCES, open_source, reads_files
from tests.annotated import jpeg, text, written
from tests.pictures import tarred

IMAGES = {"cat/1.jpg": jpeg(), "dog/1.jpg": jpeg()}


def zipped(members: dict[str, bytes], macos: bool = False) -> bytes:
    """Return a zip; of *macos*, whose names are UTF-8 without the flag that says so."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    data = bytearray(file.getvalue())
    for start, flags in ((b"PK\3\4", 7), (b"PK\1\2", 9)) if macos else ():
        for match in re.finditer(re.escape(start), bytes(data)):
            data[match.start() + flags] &= ~8
    return bytes(data)


def problem(kind: str, path: Path) -> str:
    """Return why the source is refused."""
    with pytest.raises(ItlError) as caught:
        open_source(kind, path).records()
    return str(caught.value)


def follow(message: str) -> None:
    """Run the last command that a message names."""
    command = re.findall("`([^`]*)`", message)[-1]
    if match := re.fullmatch("unzip (.*) -d (.*)", command):
        path, folder = shlex.split(f"{match[1]} {match[2]}")
        with zipfile.ZipFile(path) as archive:  # as unzip does
            archive.extractall(folder)
    else:
        subprocess.run(["bash", "-c", command], check=True)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
def test_archives_of_one_class_each_are_unpacked_into_folders_of_their_names(tmp_path, monkeypatch, suffix):
    path = tmp_path / "my set"
    for label in ("cat", "dog"):
        file = path / f"train/{label}{suffix}"
        tarred(file, {f"./{label}_0.jpg": jpeg()})  # tar sees that it is plain
        if suffix == ".zip":
            file.write_bytes(zipped({f"{label}_0.jpg": jpeg()}))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    unpack = f"mkdir -p '{path}/train/cat' && tar xf '{path}/train/cat{suffix}' -C '{path}/train/cat'"
    if suffix == ".zip":
        unpack = f"unzip '{path}/train/cat.zip' -d '{path}/train/cat'"
    both = f"train/cat{suffix}, train/dog{suffix} in this folder are not opened; unpack each: `{unpack}`"
    message = problem("folder", path)
    assert message.endswith(both)
    follow(message)
    rest = problem("folder", path)
    assert f"train/dog{suffix} in this folder is not opened; unpack it: `" in rest
    assert f"cat{suffix}" not in rest
    follow(rest)
    assert [record.wnid for record in open_source("folder", path).records()] == ["cat", "dog"]


def test_tars_may_be_shards_or_class_folders(tmp_path):
    for label in ("cat", "dog"):
        tarred(tmp_path / f"{label}.tar", {f"{label}/0.jpg": jpeg()})
    assert problem("folder", tmp_path) == (
        f"{tmp_path} holds no images in class folders; cat.tar is a file of the source webdataset: "
        f"`itl check webdataset {tmp_path}`; if that is no shard, cat.tar, dog.tar in this folder are not "
        f"opened; unpack each: `mkdir -p {tmp_path}/cat && tar xf {tmp_path}/cat.tar -C {tmp_path}/cat`"
    )
    unpacked = "if folders are classes, unpack the tars and take the source folder"
    assert unpacked in problem("webdataset", tmp_path)
    follow(problem("folder", tmp_path))
    follow(problem("folder", tmp_path))
    records = open_source("folder", tmp_path).records()
    assert [record.id for record in records] == ["cat/cat/0.jpg", "dog/dog/0.jpg"]
    assert [record.wnid for record in records] == ["cat", "dog"]


def test_imagenet21k_that_is_compressed_is_unpacked_first(tmp_path):
    path, folder = written(tmp_path / "21k", {"fall11_whole.tar.gz": b""}), tmp_path / "21k/fall11_whole"
    assert problem("imagenet21k", path).endswith(
        f"`mkdir -p {folder} && tar xf {folder}.tar.gz -C {folder}` leaves a plain tar for each wnid; then "
        f"give that folder"
    )


def test_names_in_a_zip_of_macos_are_those_of_the_folder(tmp_path):
    names = "caf\u00e9", "th\u00e9", "bus"
    path = written(tmp_path, {"classes.txt": text("caf\u00e9", "bus")})
    members = {f"{name}/1.jpg": jpeg() for name in ("cafe\u0301", "the\u0301", "bus")}
    for name, macos in (("mac.zip", True), ("flagged.zip", False)):
        (path / name).write_bytes(zipped(members, macos))
        source = open_source("folder", path / name)
        assert [record.wnid for record in source.records()] == sorted(names)
        chosen = open_source("folder", path / name, classes=path / "classes.txt").records()
        assert [record.id for record in chosen] == ["bus/1.jpg", "caf\u00e9/1.jpg"]
    of_dos = zipped({"caf\u00e9/1.jpg": jpeg(), "bus/1.jpg": jpeg()}, macos=True)
    (path / "dos.zip").write_bytes(of_dos.replace("\u00e9".encode(), b"\x82\x83"))  # é and â in its code page
    records = open_source("folder", path / "dos.zip").records()
    assert [record.wnid for record in records] == ["bus", "caf\u00e9\u00e2"]


def tar_of(members: dict[str, bytes], folder: Path) -> bytes:
    """Return a plain tar."""
    return tarred(folder / "inner.tar", members).read_bytes()


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_tar_of_class_folders_in_an_archive_is_read_after_what_each_message_says(tmp_path, suffix, depth):
    inner = {f"in/{split}/{name}": data for split in ("train", "val") for name, data in IMAGES.items()}
    members = {"inner.tar": tar_of(inner, tmp_path / "a")}
    if depth == 2:
        members = {"middle.tar": tar_of(members, tmp_path / "b")}
    path, folder = tmp_path / f"my set/outer{suffix}", f"'{tmp_path}/my set/outer'"
    if suffix == ".tar":
        tarred(path, members)
    else:
        path.parent.mkdir()
        path.write_bytes(zipped(members))
    first = next(iter(members))
    file = f"'{path}'"
    unpack = {".tar": f"mkdir -p {folder} && tar xf {file} -C {folder}", ".zip": f"unzip {file} -d {folder}"}
    says = f"{first} is packed in {path}; unpack that, `{unpack[suffix]}`, and give that folder"
    message = problem("folder", path)
    assert message == f"{path} holds no images in class folders; {says}"
    follow(message)
    outer = path.with_suffix("")
    for tar in (first, "middle/inner.tar")[:depth]:
        message = problem("folder", outer)
        assert f"; if that is no shard, {tar} in this folder is not opened; unpack it: " in message
        follow(message)
    records = open_source("folder", outer).records()
    assert [(one.split, one.wnid) for one in records] == [
        *(("train", name) for name in ("cat", "dog")),
        *(("val", name) for name in ("cat", "dog")),
    ]


def test_shards_in_an_archive_are_read_where_it_is_unpacked(tmp_path):
    shard = tar_of({"0.jpg": jpeg(), "0.cls": b"0", "1.jpg": jpeg(), "1.cls": b"1"}, tmp_path / "a")
    path = tarred(tmp_path / "outer.tar", {"train-0.tar": shard})
    follow(problem("folder", path))
    check = f"train-0.tar is a file of the source webdataset: `itl check webdataset {tmp_path}/outer`; if "
    assert check in problem("folder", tmp_path / "outer")
    assert len(open_source("webdataset", tmp_path / "outer").records()) == 2


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("data/train.parquet", "parquet"),
        ("cifar-10-batches-py/test_batch", "cifar10"),
        ("cifar-100-python/test", "cifar100"),
        ("train_data_batch_1", "imagenet-downsampled"),
        ("ILSVRC2012_img_train.tar", "imagenet"),
        ("VOCtrainval_06-Nov-2007.tar", "voc2007"),
        ("VOCtrainval_11-May-2012.tar", "voc2012"),
    ],
)
def test_files_of_sources_that_open_no_archive_are_unpacked_first(tmp_path, file, kind):
    path, folder = tarred(tmp_path / "set.tar", {file: b"x"}), tmp_path / "set"
    start = f"{file} is a file of the source {kind}"
    unpack = f"mkdir -p {folder} && tar xf {path} -C {folder}"
    assert problem("folder", path).endswith(
        f"{start}, which reads it unpacked: `{unpack} && itl check {kind} {folder}`"
    )
    follow(f"`{unpack}`")
    assert problem("folder", folder).endswith(f"{start}: `itl check {kind} {folder}`")


def test_tars_of_wnids_are_read_in_a_tar_and_not_in_a_zip(tmp_path):
    members = {
        f"{wnid}.tar": tar_of({"0.jpg": jpeg()}, tmp_path / wnid) for wnid in ("n01440764", "n01443537")
    }
    path, packed = tarred(tmp_path / "21k.tar", members), tmp_path / "21k.zip"
    packed.write_bytes(zipped(members))
    start = "n01440764.tar is a file of the source imagenet21k"
    assert problem("folder", path).endswith(f"{start}: `itl check imagenet21k {path}`")
    assert len(open_source("imagenet21k", path).records()) == 2
    command = f"unzip {packed} -d {tmp_path}/21k && itl check imagenet21k {tmp_path}/21k"
    assert problem("folder", packed).endswith(f"{start}, which reads it unpacked: `{command}`")


def test_several_zips_of_one_class_each_in_a_tar_are_not_mixed(tmp_path):
    members = {f"{label}.zip": zipped({"0.jpg": jpeg()}) for label in ("cat", "dog")}
    path, folder = tarred(tmp_path / "outer.tar", members), tmp_path / "outer"
    unpack = f"mkdir -p {folder} && tar xf {path} -C {folder}"
    says = f"cat.zip, dog.zip are packed in {path}; unpack that, `{unpack}`, and give that folder"
    assert problem("folder", path) == f"{path} holds no images: {says}"
    follow(says)
    assert "cat.zip, dog.zip in this folder are not opened; unpack each: `" in problem("folder", folder)


def test_an_archive_without_a_suffix_is_unpacked_beside_its_own_name(tmp_path):
    path = tarred(tmp_path / "outer.tar", {"in.tar": tar_of(IMAGES, tmp_path / "a")}).rename(
        tmp_path / "outer"
    )
    follow(problem("folder", path))
    assert (tmp_path / "outer-unpacked/in.tar").is_file()


@pytest.mark.parametrize("kind", [kind for kind in SOURCES if reads_files(kind)])
def test_every_source_says_of_a_folder_with_a_zip_alone_how_to_unpack_it(tmp_path, kind):
    (tmp_path / "data.zip").write_bytes(zipped(IMAGES))
    with pytest.raises(ItlError, match="data.zip in this folder is not opened; unpack it: `unzip "):
        open_source(kind, tmp_path).records()


def test_cifar_in_a_zip_of_any_name_is_to_be_unpacked_and_a_published_tar_of_the_other_set_is_not(tmp_path):
    (tmp_path / "archive.zip").write_bytes(zipped({"cifar-10-batches-py/data_batch_1": b""}))
    with pytest.raises(
        ItlError, match="no complete CIFAR-10 in .*archive.zip; .* unpack it: `unzip .*, then give"
    ):
        open_source("cifar10", tmp_path / "archive.zip").records()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/cifar-10-python.tar.gz").write_bytes(b"")
    with pytest.raises(ItlError, match="no complete CIFAR-100 in .*other; give the folder"):
        open_source("cifar100", tmp_path / "other").records()
