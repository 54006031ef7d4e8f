"""Images in arrays, CIFAR's and downsampled ImageNet's, and the pickles that hold them: nothing runs."""

import contextlib
import gzip
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from itl import ItlError
from itl.sources.files.plain_pickle import load_plain
from itl.sources.published import cifar
from itl.sources.registry import open_source
from tests.annotated import check_lines, written
from tests.sources import containers
from tests.sources.containers import read


@pytest.mark.parametrize("hundred", [False, True])
def test_cifar_as_published(tmp_path, hundred):
    kind = "cifar100" if hundred else "cifar10"
    source = open_source(kind, containers.cifar(tmp_path, hundred))
    apple = "n07739125" if hundred else "apple"
    images = [(record.id, record.wnid, record.split) for record in source.records()]
    assert images[:2] == [("test/apple/00001", apple, "test"), ("test/baby/00000", "baby", "test")]
    assert len(images) == (4 if hundred else 12)
    pixels = np.arange(6144).astype(np.uint8)[3072:].reshape(3, 32, 32).transpose(1, 2, 0)
    assert np.array_equal(source.read(source.records()[0]), pixels)


def test_a_cifar_that_has_changed_is_read_anew(tmp_path):
    """In one process, as in a notebook: the pack would be said to be new, and hold the earlier pixels."""
    root = containers.cifar(tmp_path, hundred=False)
    file = next(root.rglob("test_batch"))
    earlier = open_source("cifar10", root)
    record = earlier.records()[0]
    before = earlier.read(record)
    batch = pickle.loads(file.read_bytes())
    file.write_bytes(pickle.dumps(batch | {"data": 255 - batch["data"]}, 2))
    os.utime(file, ns=(0, 1 + file.stat().st_mtime_ns))
    assert np.array_equal(open_source("cifar10", root).read(record), 255 - before)


def test_cifar_in_its_published_archive(tmp_path):
    folder = containers.cifar(tmp_path / "unpacked") / "cifar-100-python"
    with tarfile.open(tmp_path / "cifar-100-python.tar.gz", "w:gz") as tar:
        tar.add(folder, "cifar-100-python")
    assert read("cifar100", tmp_path) == read("cifar100", folder) == read("cifar100", folder.parent)


def test_each_damaged_byte_of_a_packed_cifar_is_found(tmp_path):
    """Also one of the pixels, which the checksum at the end of the file alone tells."""
    folder = containers.cifar(tmp_path / "unpacked", hundred=False) / "cifar-10-batches-py"
    with tarfile.open(tmp_path / "whole.tar", "w") as tar:
        tar.add(folder, "cifar-10-batches-py")
    path = tmp_path / "cifar-10-python.tar.gz"
    refusals = set()
    for level in (0, 9):  # 0: stored as it is, so that nothing is redundant
        whole = gzip.compress((tmp_path / "whole.tar").read_bytes(), level, mtime=0)
        for at in range(10, len(whole), len(whole) // 30):  # behind the header, which has no content
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
            cifar.load_split.cache_clear()
            with pytest.raises(ItlError) if level == 0 else contextlib.suppress(ItlError) as refused:
                open_source("cifar10", path).records()
            refusals |= {str(refused.value).partition(" (")[0]} if refused else set()
    assert refusals == {f"{path} is damaged, or not a compressed tar"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Imagenet16_train/train_data_batch_1", "Imagenet8_train/train_data_batch_1"),
        ("16/val_data.npz", "8/val_data"),
        ("train_data_batch_01", "train_data_batch_1"),
        ("train_data", "train_data_batch_1"),
        ("train/train_data.npz", "train/train_data_batch_2"),
    ],
)
def test_two_batches_that_would_be_the_same_images_are_refused(tmp_path, one, other):
    path = written(tmp_path, {one: b"", other: b"", "map_clsloc.txt": containers.MAP})
    with pytest.raises(ItlError) as refused:
        open_source("imagenet-downsampled", path).records()
    assert str(refused.value) == (
        f"{path}: {one} and {other} would be the same images; move one of them elsewhere, or give the "
        f"folder of one set"
    )


def test_batches_of_two_sizes_are_refused(tmp_path):
    small, large = (containers.arrays(side) for side in (8, 16))
    batches = {"8/train_data": small["train_data_batch_1"], "16/val_data": large["val_data"]}
    files = {name: pickle.dumps(batch) for name, batch in batches.items()}
    path = written(tmp_path, {**files, "map_clsloc.txt": containers.MAP})
    refusal = f"{path}/8/train_data has images of 8 pixels, but {path}/16/val_data of 16; give batches of one"
    with pytest.raises(ItlError, match=refusal):
        open_source("imagenet-downsampled", path).records()


def test_an_npz_goes_before_the_pickle_of_the_same_name(tmp_path):
    path = containers.downsampled_npz(tmp_path)
    written(path, {"val_data": b"no pickle"})
    source = open_source("imagenet-downsampled", path)
    assert len(source.records()) == 6
    assert source.left_out == {"pickles beside an .npz of the same name": 1}


def test_a_batch_whose_damaged_shape_has_fewer_images_than_bytes_is_refused(tmp_path):
    file = written(tmp_path, {"map_clsloc.txt": containers.MAP}) / "val_data.npz"
    np.savez(file, data=np.zeros((2, 3 * 64 * 64), np.uint8), labels=[1, 2])
    file.write_bytes(file.read_bytes().replace(b"'shape': (2, 12288)", b"'shape': (1, 12288)"))
    reason = "data has more bytes than its shape says"
    with pytest.raises(ItlError, match=f"{file} is damaged, or not a .npz file .{reason}.; copy it again"):
        open_source("imagenet-downsampled", tmp_path).records()


def test_what_differs_from_published_cifar_is_said(tmp_path):
    path = containers.cifar(tmp_path, hundred=False)
    twice = (
        "4 files are the same as an earlier one, byte by byte, so that images count more than once: "
        "data_batch_2, data_batch_3, data_batch_4 …"
    )
    source = open_source("cifar10", path)
    assert source.layout == "CIFAR-10"
    assert source.notes[0] == twice
    lines = check_lines("cifar10", path)
    assert any(
        line.startswith("note: 10 of 50,000 train images, 2 of 10,000 test images as") for line in lines
    )
    meta = pickle.dumps({"label_names": ["baby", "apple"]}, 2)
    source = open_source("cifar10", written(tmp_path / "other", {**files_of(path), "batches.meta": meta}))
    order = "the names of the classes are not in the published, alphabetical order from 'apple' on"
    assert source.notes[-1] == f"{order}, so numbers may have the names of others"


@pytest.mark.parametrize(
    ("kind", "make", "one", "other"),
    [
        ("cifar100", containers.cifar, "train", "test"),
        ("cifar10", lambda root: containers.cifar(root, hundred=False), "data_batch_1", "test_batch"),
        ("imagenet-downsampled", containers.downsampled, "train_data_batch_1", "val_data"),
        ("imagenet-downsampled", containers.downsampled_npz, "train_data_batch_1.npz", "val_data.npz"),
    ],
)
def test_a_batch_that_is_also_one_of_another_split_is_refused(tmp_path, kind, make, one, other):
    path = make(tmp_path)
    open_source(kind, path).records()
    file = next(path.rglob(one))
    file.with_name(other).write_bytes(file.read_bytes())
    with pytest.raises(ItlError) as refused:
        open_source(kind, path).records()
    splits = "train and val" if "val" in other else "train and test"
    assert str(refused.value) == (
        f"{path}: {one} and {other} are the same, byte by byte, so that {splits} have the same images; get "
        f"both again"
    )


def test_batches_that_are_copies_or_missing_are_said(tmp_path):
    path = containers.downsampled(tmp_path)
    assert open_source("imagenet-downsampled", path).layout == "downsampled ImageNet in 3 batches"
    batch = (path / "train_data_batch_2").read_bytes()
    source = open_source("imagenet-downsampled", written(path, {"train_data_batch_4": batch}))
    assert source.layout == "downsampled ImageNet in 4 batches, without train_data_batch_3"
    same = "1 file is the same as an earlier one, byte by byte, so that images count more than once"
    assert source.notes == [f"{same}: train_data_batch_4"]


def test_cifar_pickled_anew_or_in_capitals(tmp_path):
    plain = read("cifar100", containers.cifar(tmp_path / "plain"))
    root = containers.cifar(tmp_path / "bytes")
    for file in (root / "cifar-100-python").iterdir():
        content = pickle.loads(file.read_bytes())
        names = content.get("fine_label_names")
        content = {"fine_label_names": [name.encode() for name in names]} if names else content
        file.write_bytes(pickle.dumps({key.encode(): value for key, value in content.items()}, 2))
    (root / "cifar-100-python").rename(root / "CIFAR-100-Python")
    assert read("cifar100", root) == plain


BINARY = {
    "cifar10": (
        "cifar-10-batches-bin",
        [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"],
    ),
    "cifar100": ("cifar-100-binary", ["train.bin", "test.bin", "fine_label_names.txt"]),
}


@pytest.mark.parametrize("kind", BINARY)
def test_the_binary_version_of_cifar_is_refused_and_the_python_version_named(tmp_path, kind):
    folder, files = BINARY[kind]
    outer = written(tmp_path, {f"{folder}/{name}": b"" for name in files})
    for path in (outer, outer / folder):
        with pytest.raises(ItlError) as refused:
            open_source(kind, path).records()
        assert "of CIFAR's binary version; get the Python version, cifar-10-python.tar.gz" in str(
            refused.value
        )
    packed = written(tmp_path / "packed", {f"{folder.replace('batches-bin', 'binary')}.tar.gz": b""})
    for path in (packed, next(packed.iterdir())):
        with pytest.raises(ItlError, match=r"binary.tar.gz is of CIFAR's binary version; get the Python"):
            open_source(kind, path).records()


def test_cifar_whose_splits_have_other_classes_is_refused(tmp_path):
    root = containers.cifar(tmp_path)
    train = root / "cifar-100-python/train"
    train.write_bytes(pickle.dumps(pickle.loads(train.read_bytes()) | {"fine_labels": [1, 1]}, 2))
    with pytest.raises(ItlError, match="test has 1 class that train does not have, such as n07739125"):
        open_source("cifar100", root).records()


def files_of(cifar10: Path) -> dict[str, bytes]:
    """The files of CIFAR-10 in the folder *cifar10*."""
    return {file.name: file.read_bytes() for file in (cifar10 / "cifar-10-batches-py").iterdir()}


def test_images_are_read_as_their_array_is_laid_out():
    planar = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    for data in (planar, planar.reshape(2, 48), planar.transpose(0, 2, 3, 1)):
        assert np.array_equal(cifar.image_array(data, 4, "x"), planar)
    for data in (
        planar.reshape(-1),
        planar.reshape(4, 24),
        planar.reshape(2, 4, 12),
        planar[0],
        planar.astype(int),
    ):
        with pytest.raises(ItlError, match="x holds .*, not uint8 images of 4 × 4 pixels"):
            cifar.image_array(data, 4, "x")


def test_downsampled_numbers_need_their_wnids(tmp_path):
    path = containers.downsampled(tmp_path / "set")
    (path / "map_clsloc.txt").unlink()
    with pytest.raises(ItlError, match="not in the order of wnids, but no map_clsloc.txt"):
        open_source("imagenet-downsampled", path).records()


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        ([0, 1, 2], ["n3", "n1", "n2"], ["n3", "n1", "n2"]),
        ([0, 1, 1], ["n3", "n1", "n2"], ["n3", "n1", "n1"]),  # the last class is absent
        ([1, 2, 3], ["n3", "n1", "n2"], ["n3", "n1", "n2"]),
        ([2, 3, 3], ["n3", "n1", "n2"], ["n1", "n2", "n2"]),  # the first is
        ([1, 2, 2], ["1 n3", "2 n1", "3 n2"], ["n3", "n1", "n1"]),
        (
            [1, 2, 2],
            ["n3", "n1", "n2"],
            r"names.txt names 3 classes without .*, and no label is 0 or 3: they",
        ),
        (
            [1, 2, 4],
            ["n3", "n1", "n2"],
            "none has the number 4; write the number of each into it, on every line, as `4 NAME`",
        ),
        ([0, 2, 3], ["n3", "n1", "n2"], "names.txt names 3 classes, but none has the number 3"),
        ([1, 2, 3], ["n1", "n2", "n3"], "lists wnids in their order, without numbers, but labels that count"),
        ([0, 1, 2], ["n1", "n2", "n3"], ["n1", "n2", "n3"]),
        (
            [1, 2, 2],
            ["0 n1", "1 n2", "2 n3"],
            "lists wnids in their order from 0, and no label is 0; published",
        ),
        ([1, 2, 3], ["0 n1", "1 n2", "2 n3"], "none has the number 3"),  # so removing class 0 is no cure
        ([1, 2, 2], ["1 n2", "2 n3"], ["n2", "n3", "n3"]),
        ([0, 2, 2], ["0 n1", "1 n2", "2 n3"], ["n1", "n3", "n3"]),
    ],
)
def test_names_of_downsampled_imagenet_without_numbers_count_as_the_labels_do(
    tmp_path, labels, names, expected
):
    path = containers.downsampled(tmp_path / "set")
    for file in path.glob("train*"):
        file.unlink()
    pixels = np.zeros((3, 3 * 64), np.uint8)
    (path / "val_data").write_bytes(pickle.dumps({"data": pixels, "labels": labels}))
    (tmp_path / "names.txt").write_text("\n".join(names).replace("n", "n0000000"))
    source = open_source("imagenet-downsampled", path, names=str(tmp_path / "names.txt"))
    if isinstance(expected, str):
        with pytest.raises(ItlError, match=expected):
            source.records()
    else:
        assert [record.wnid.replace("n0000000", "n") for record in source.records()] == expected


class Runs:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return print, ("it ran",)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_runs_nothing(capsys, protocol):
    with pytest.raises(ItlError, match="names .*print, which would be run"):
        load_plain(pickle.dumps({"data": Runs()}, protocol), "batch")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_pickles_of_arrays_are_read_as_pickle_reads_them(protocol):
    values = {
        "data": np.arange(24, dtype=np.uint8).reshape(4, 6),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "labels": [3, np.int64(4), 5],
        "names": ["a", b"b"],
    }
    content = load_plain(pickle.dumps(values, protocol), "batch")
    for name, value in values.items():
        assert np.array_equal(content[name], value)
        assert type(content[name]) is type(value)
