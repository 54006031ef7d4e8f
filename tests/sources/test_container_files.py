"""Files that hold many images: no split is left out without a word."""

import shutil

import pytest

from itl import ItlError
from itl.sources.registry import open_source
from tests.annotated import check_lines, written
from tests.pictures import tarred
from tests.sources.containers import DATA, TWO, parquet_file, read

ROWS = [("1.png", "cat", DATA), ("2.png", "dog", DATA)]
VERSIONS = "may be of two versions of one data set"
DIVISIONS = "are of two divisions into parts"


def test_suffixes_may_be_in_upper_case(tmp_path):
    tarred(tmp_path / "shards/train-0.tar", TWO)
    tarred(tmp_path / "shards/test-0.TAR", TWO)
    parquet_file(tmp_path / "tables/train-00000.parquet", ROWS)
    parquet_file(tmp_path / "tables/test-00000.PARQUET", ROWS)
    assert read("webdataset", tmp_path / "shards") == [
        (f"{split}/{label}/{name}.png", label, split)
        for split in ("test", "train")
        for label, name in (("0", "a"), ("1", "b"))
    ]
    assert read("parquet", tmp_path / "tables") == [
        (f"{split}/{label}/{name}", label, split) for split in ("test", "train") for name, label, _ in ROWS
    ]
    parquet_file(tmp_path / "parts/train-00000-of-00002.parquet", ROWS)
    parquet_file(tmp_path / "parts/train-00000-of-00003.PARQUET", ROWS)
    with pytest.raises(ItlError, match="are of two divisions into parts"):
        open_source("parquet", tmp_path / "parts").records()


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("val-0.tar.gz", "gunzip"),
        ("val-0.TAR.BZ2", "bunzip2"),
        ("val-0.tar.xz", "unxz"),
        ("val-0.tar.zst", "unzstd"),
        ("val-0.tgz", "gunzip"),
        ("val-0.txz", "unxz"),
        ("val.parquet.zst", "unzstd"),
        ("val.Parquet.gz", "gunzip"),
    ],
)
def test_compressed_files_beside_plain_ones_are_refused(tmp_path, name, command):
    kind, suffix = ("parquet", ".parquet") if "parquet" in name.lower() else ("webdataset", ".tar")
    tarred(tmp_path / "train-0.tar", TWO)
    parquet_file(tmp_path / "train.parquet", ROWS)
    written(tmp_path, {name: b"x"})
    with pytest.raises(ItlError) as refused:
        open_source(kind, tmp_path).records()
    assert str(refused.value) == (
        f"{tmp_path} has compressed files, such as {name}, whose images cannot be read in place; "
        f"`{command} {tmp_path}/{name}` leaves a plain {suffix}"
    )


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({}, "nothing left out"),
        ({"README.md": b"", "LICENSE": b"", "names.txt": b"cat\ndog\n"}, "nothing left out"),
        ({"test.pq": b""}, "left out: 1 file other than {} (test.pq)"),
        ({"a.json": b"", "val.arrow": b""}, "left out: 2 files other than {} (val.arrow …)"),
    ],
)
def test_other_files_are_counted(tmp_path, others, words):
    tarred(tmp_path / "shards/train-0.tar", TWO)
    parquet_file(tmp_path / "tables/train.parquet", [("1.png", 0, DATA), ("2.png", 1, DATA)])
    for kind, folder, suffix in (("webdataset", "shards", ".tar"), ("parquet", "tables", ".parquet")):
        path = written(tmp_path / folder, others)
        options = {"names": str(path / "names.txt")} if "names.txt" in others else {}
        labels = next(line for line in check_lines(kind, path, **options) if line.startswith("labels: "))
        assert labels.endswith(f"; {words.format(suffix)}"), labels


def test_beside_a_file_that_is_the_path_nothing_is_counted(tmp_path):
    tarred(tmp_path / "train-0.tar", TWO)
    shutil.copy(tmp_path / "train-0.tar", tmp_path / "test.pq")
    source = open_source("webdataset", tmp_path / "train-0.tar")
    assert not source.count_left_out(source.records())


@pytest.mark.parametrize("kind", ["webdataset", "parquet"])
def test_two_versions_in_a_cache_that_share_a_file_are_refused(tmp_path, kind):
    file = tmp_path / "blobs/0a1b"
    suffix = ".tar" if kind == "webdataset" else ".parquet"
    made = tarred(tmp_path / "a.tar", TWO) if suffix == ".tar" else parquet_file(tmp_path / "a.parquet", ROWS)
    file.parent.mkdir()
    made.rename(file)
    names = [f"snapshots/{version}/data/{name}{suffix}" for version, name in (("aa", "x-0"), ("bb", "x-1"))]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).symlink_to(file)
    with pytest.raises(ItlError) as refused:
        open_source(kind, tmp_path).records()
    assert str(refused.value) == (
        f"{tmp_path}: {names[0]} and {names[1]} are one file, as one is a link, so images would be there "
        f"twice; give the folder of one as the path, or remove the link"
    )
    assert len(open_source(kind, tmp_path / "snapshots/bb").records()) == 2


@pytest.mark.parametrize("kind", ["webdataset", "parquet"])
@pytest.mark.parametrize(
    ("first", "second", "are"),
    [
        ("aa/part-0", "bb/part-0", VERSIONS),  # as in a cache
        ("coarse/train/0", "fine/train/0", VERSIONS),
        ("train/coarse/0", "train/fine/0", VERSIONS),
        ("fine/train", "train", VERSIONS),
        ("aa/x-00000-of-00002-ab12", "bb/x-00000-of-00002-cd34", VERSIONS),
        ("x-00000-of-00001-ab12", "x-00000-of-00001", VERSIONS),
        ("aa/x-00000-of-00002", "bb/x-00000-of-00001", DIVISIONS),
        ("x-00000-of-00003", "x-00001-of-00002", DIVISIONS),
        ("aa/x-00000-of-00002", "bb/x-00001-of-00002", ""),
        ("aa/train-00000-of-00002", "bb/test-00000-of-00001", ""),
        ("train/00000-of-00002", "test/00000-of-00001", ""),
        ("a/train", "b/test", ""),
        ("train/0", "test/0", ""),
        ("aa/part-0", "bb/part-1", ""),
    ],
)
def test_two_versions_of_one_data_set_are_refused(tmp_path, kind, first, second, are):
    suffix = ".tar" if kind == "webdataset" else ".parquet"
    for number, name in enumerate((first, second)):
        if kind == "webdataset":
            tarred(tmp_path / f"{name}.tar", {f"{number}{file}": data for file, data in TWO.items()})
        else:
            parquet_file(tmp_path / f"{name}.parquet", [(f"{number}{file}", *row) for file, *row in ROWS])
    if not are:
        assert len(open_source(kind, tmp_path).records()) == 4
        return
    with pytest.raises(ItlError) as refused:
        open_source(kind, tmp_path).records()
    assert str(refused.value) == (
        f"{tmp_path}: {first}{suffix} and {second}{suffix} {are}, so images would be there twice; give the "
        f"folder of one as the path, or move one elsewhere, or, to read all, give the files other names"
    )


@pytest.mark.parametrize(
    ("names", "unclear", "of_split"),
    [
        ("part-0 eval-0", "part-0", "eval-0 may"),
        ("a/0 holdout/1", "a/0", "holdout/1 may"),
        ("pets_tr-0 pets_te-0", "pets_tr-0", "pets_te-0 may"),
        ("pets-0 train-0", "pets-0", "train-0 does"),
        ("validate-0 fit-0", "fit-0", "validate-0 does"),
        ("part-0 part-1", "", ""),
        ("eval-0 eval-1", "", ""),  # a set of its own
        ("en te tr", "", ""),  # languages
    ],
)
def test_files_of_no_split_beside_those_that_may_be_of_one_are_refused(tmp_path, names, unclear, of_split):
    for name in names.split():
        parquet_file(tmp_path / f"{name}.parquet", [(f"{name}{file}", *row) for file, *row in ROWS])
    if not unclear:
        assert {split for *_, split in read("parquet", tmp_path)} == {"train"}
        return
    example, verb = of_split.split()
    with pytest.raises(ItlError) as refused:
        open_source("parquet", tmp_path).records()
    assert str(refused.value) == (
        f"{tmp_path}: the name of {unclear}.parquet tells no split, though that of {example}.parquet {verb}; "
        f"put train, val or test into it"
    )


@pytest.mark.parametrize("names", [("train", "train-00000-of-00001"), ("train/0", "test/0"), ("val", "test")])
def test_a_link_that_makes_images_train_twice_or_of_two_splits_is_refused(tmp_path, names):
    first, second = (tmp_path / f"{name}.parquet" for name in names)
    for path in (first, second):
        path.parent.mkdir(exist_ok=True)
    parquet_file(first, ROWS)
    second.symlink_to(first)
    with pytest.raises(ItlError, match="are one file, as one is a link, .* or remove the link"):
        open_source("parquet", tmp_path).records()
