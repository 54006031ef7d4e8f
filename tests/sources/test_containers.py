"""Images in shards, tables and arrays: what is read, what is refused, and that nothing overflows."""

import contextlib
import os
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from itl import ItlError
from itl.packs.pack import Pack
from itl.sources.files import untrusted_files
from itl.sources.listed import parquet_images
from itl.sources.published import cifar, downsampled
from itl.sources.registry import open_source
from itl.specs import Packing
from tests.annotated import written
from tests.pictures import CAR, FOX, REAL, encoded, forked, tarred
from tests.sources import containers
from tests.sources.containers import (
    DATA,
    IMAGES,
    TWO,
    mutated,
    parquet_file,
    read,
    rows,
    sample,
    shards,
)

AS_FOLDERS = sorted((name, name.split("/")[1], name.split("/")[0]) for name in IMAGES)


@pytest.mark.parametrize(
    ("kind", "make"), [("webdataset", shards), ("parquet", containers.parquet), ("lists", containers.lists)]
)
def test_a_part_of_train_is_held_out_where_val_is_not_read(tmp_path, kind, make):
    make(tmp_path)
    for path in tmp_path.rglob("*val*.*"):
        path.unlink()
    whole = {record.id: record for record in open_source(kind, tmp_path).records()}
    assert {record.split for record in whole.values()} == {"train", "test"}
    source = open_source(kind, tmp_path, val_fraction=0.3)  # one of three
    held_out = {record.id: record for record in source.records()}
    assert held_out.keys() == whole.keys()
    of_val = [record for record in held_out.values() if record.split == "val"]
    assert len(of_val) == len({record.wnid for record in of_val}) == 2
    for record in held_out.values():
        assert np.array_equal(source.read(record), source.read(whole[record.id]))
        assert record.split == whole[record.id].split or record in of_val
    with pytest.raises(ItlError, match="val_fraction is a part of the training images, .* not 1"):
        open_source(kind, tmp_path, val_fraction=1).records()


DOWNSAMPLED = [
    ("train/01/000000", FOX, "train"),
    ("train/01/000001", CAR, "train"),
    ("train/02/000000", CAR, "train"),
    ("train/02/000001", FOX, "train"),
    ("val/00/000000", FOX, "val"),
    ("val/00/000001", CAR, "val"),
]


@pytest.mark.parametrize(
    ("kind", "make", "expected"),
    [
        ("webdataset", shards, AS_FOLDERS),
        ("parquet", containers.parquet, AS_FOLDERS),
        ("lists", containers.lists, AS_FOLDERS),
        ("imagenet-downsampled", containers.downsampled, DOWNSAMPLED),
        ("imagenet-downsampled", containers.downsampled_npz, DOWNSAMPLED),
        (
            "imagenet21k",
            containers.imagenet21k,
            [(f"{wnid}/{wnid}_{number}.JPEG", wnid, "train") for wnid in (FOX, CAR) for number in (1, 2)],
        ),
    ],
)
def test_layouts(tmp_path, kind, make, expected):
    assert read(kind, make(tmp_path / "set")) == expected


def test_the_folder_and_its_containers_give_one_pack(tmp_path):
    digests = {}
    sources = {"folder": lambda root: written(root, IMAGES), "lists": containers.lists}
    sources |= {"webdataset": shards, "parquet": containers.parquet}
    for kind, make in sources.items():
        path = make(tmp_path / kind)
        pack = Pack.build(Packing(kind, size=4), tmp_path / f"{kind}.pack", path=path, workers=2)
        digests[kind] = pack.digest
    assert len(set(digests.values())) == 1, digests


@pytest.mark.parametrize("kind", ["webdataset", "parquet"])
def test_names_that_hold_their_split_give_the_folders_ids(tmp_path, kind):
    for split in ("train", "val"):
        images = [(f"{split}/{name}", label, data) for name, label, data in rows(split)]
        if kind == "parquet":
            parquet_file(tmp_path / f"{split}-0.parquet", images)
        else:
            samples = [sample(name, data, cls=label) for name, label, data in images]
            tarred(
                tmp_path / f"{split}-0.tar", {name: data for files in samples for name, data in files.items()}
            )
    assert read(kind, tmp_path) == [image for image in AS_FOLDERS if image[2] != "test"]


@pytest.mark.skipif(not (REAL / "scenes-15.tar").is_file(), reason="no real images in ../shared/data")
def test_real_images_give_one_pack(tmp_path, monkeypatch):
    folder = open_source("folder", REAL / "scenes-15.tar")
    images = {
        record.id: folder.read(record)
        for record in folder.records()
        if record.wnid < "D" and record.id < "train"
    }
    images |= {name.replace("test/", "train/"): data for name, data in list(images.items())[::2]}
    assert len(images) > 50
    monkeypatch.setattr(containers, "IMAGES", images)
    classes = sorted({name.split("/")[1] for name in images})
    for split in ("train", "test"):
        members = {}
        for name, label, data in rows(split):
            members |= sample(name, data, cls=classes.index(label), json={"class_name": label})
        tarred(tmp_path / f"webdataset/{split}-000000.tar", members)
        table = [(name.partition("/")[2], classes.index(label), data) for name, label, data in rows(split)]
        parquet_file(tmp_path / f"parquet/{split}-0.parquet", table, classes, row_group=7)
    containers.lists(tmp_path / "lists")
    (tmp_path / "lists/val.txt").unlink()
    written(tmp_path / "folder", images)
    digests = {
        kind: Pack.build(
            Packing(kind, size=32), tmp_path / f"{kind}.pack", path=tmp_path / kind, workers=2
        ).digest
        for kind in ("folder", "webdataset", "parquet", "lists")
    }
    assert len(set(digests.values())) == 1, digests


def test_names_that_may_be_those_of_other_numbers_are_said(tmp_path):
    names = written(tmp_path, {"names.txt": b"fox\ncar\nbus\n"}) / "names.txt"
    tarred(tmp_path / "shards/train-0.tar", sample("a.png", DATA, cls=1) | sample("b.png", DATA, cls=2))
    parquet_file(tmp_path / "table/train.parquet", [("1.png", 1, DATA), ("2.png", 2, DATA)])
    written(tmp_path / "lists", {"a.png": DATA, "b.png": DATA, "train.txt": b"a.png 1\nb.png 2\n"})
    for kind, folder in (("webdataset", "shards"), ("parquet", "table"), ("lists", "lists")):
        source = open_source(kind, tmp_path / folder, names=names)
        assert {record.wnid for record in source.records()} == {"car", "bus"}
        note = (
            f"no label is 0, for which 'fox' stands in {names}; if labels count from 1, write `1 fox` … there"
        )
        assert source.notes[-1] == note
    names.write_text("1 fox\n2 car\n")
    assert open_source("webdataset", tmp_path / "shards", names=names).notes == []
    tarred(tmp_path / "shards/train-0.tar", sample("a.png", DATA, cls="0.0"))
    with pytest.raises(ItlError, match="the option names is for labels that are numbers, but one is '0.0'"):
        open_source("webdataset", tmp_path / "shards", names=names).records()


def test_classes_of_a_table_may_be_text_numbers_or_named_by_its_card(tmp_path):
    images = [("1.png", 0, DATA), ("2.png", 1, DATA)]
    parquet_file(tmp_path / "text/train.parquet", [(None, "cat", DATA), (None, "dog", DATA)])
    assert read("parquet", tmp_path / "text") == [
        ("train/00000000", "cat", "train"),
        ("train/00000001", "dog", "train"),
    ]
    parquet_file(tmp_path / "plain/train.parquet", images)
    assert read("parquet", tmp_path / "plain")[0] == ("train/0/1.png", "0", "train")
    names = written(tmp_path, {"names.txt": b"fox\ncar\n"}) / "names.txt"
    assert read("parquet", tmp_path / "plain", names=names)[1] == ("train/fox/1.png", "fox", "train")
    card = (
        "---\ndataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n"
        "        names:\n          '0': ant\n          '1': bee\n---\n# A card\n"
    )
    for name in ("no", "a---b", "ant"):  # no is False to YAML
        written(tmp_path / "plain", {"README.md": card.replace("ant", name).encode()})
        assert (f"train/{name}/1.png", name, "train") in read("parquet", tmp_path / "plain")
    features = card[card.index("  features") : card.index("---\n# A")].replace("\n  ", "\n    ")
    configurations = [f"  - config_name: {name}\n  {features}" for name in ("one", "two")]
    for words, expected in (("ant", "ant"), ("wasp", "0")):  # where configurations differ, none is taken
        two = f"---\ndataset_info:\n{configurations[0]}{configurations[1].replace('ant', words)}---\n"
        written(tmp_path / "plain", {"README.md": two.encode()})
        assert read("parquet", tmp_path / "plain")[0][1] == expected


def test_text_that_a_table_has_as_bytes_is_text(tmp_path):
    """As writers without Parquet's UTF8 annotation leave it."""
    image = pa.array([{"bytes": DATA, "path": f"{number}.png".encode()} for number in (1, 2)])
    classes = [b"fox", "renard polaire à gorge".encode()]
    for labels in (pa.array(classes), pa.array(classes).dictionary_encode()):
        table = pa.table({"image": image, "label": labels, "split": [b"train", b"train"]})
        pq.write_table(table, tmp_path / "images.parquet")
        assert read("parquet", tmp_path) == [
            ("train/fox/1.png", "fox", "train"),
            ("train/renard polaire à gorge/2.png", "renard polaire à gorge", "train"),
        ]
    splits = pa.table({"image": image, "label": [b"fox", b"fox"], "split": [b"train", b"test"]})
    pq.write_table(splits, tmp_path / "images.parquet")
    assert [split for _, _, split in read("parquet", tmp_path)] == ["test", "train"]
    pq.write_table(pa.table({"image": image, "label": [b"fox", b"\xff"]}), tmp_path / "images.parquet")
    with pytest.raises(
        ItlError, match="column label of images.parquet is damaged, or not a valid one .'utf-8"
    ):
        open_source("parquet", tmp_path).records()


def test_a_table_that_has_changed_is_packed_anew(tmp_path):
    def digest(shade: int) -> str:
        image = encoded(np.full((4, 4, 3), shade, np.uint8))
        path = parquet_file(
            tmp_path / "set/train.parquet", [("1.png", "cat", image), ("2.png", "dog", DATA)]
        ).parent
        return Pack.build(Packing("parquet", size=4), tmp_path / "pack", path=path, workers=1).digest

    digests = [digest(1), digest(200), digest(1)]
    assert digests[0] == digests[2] != digests[1]


def test_one_file_alone_and_tars_in_a_tar(tmp_path):
    shards(tmp_path / "shards")
    parquet_file(tmp_path / "train.parquet", [("1.png", "cat", DATA)])
    assert read("webdataset", tmp_path / "shards/pets-train-0000.tar") == [
        (f"train/{name}", label, "train") for name, label, _ in rows("train")[::2]
    ]
    assert read("parquet", tmp_path / "train.parquet") == [("train/cat/1.png", "cat", "train")]
    tars = {path.name: path.read_bytes() for path in containers.imagenet21k(tmp_path / "21k").iterdir()}
    assert read("imagenet21k", tarred(tmp_path / "fall11_whole.tar", tars)) == read(
        "imagenet21k", tmp_path / "21k"
    )
    folders = {f"x/{name}": data for name, data in {f"{FOX}/1.png": DATA, f"{CAR}/2.png": DATA}.items()}
    halves = open_source("imagenet21k", written(tmp_path / "folders", folders))
    assert [(record.id, record.wnid) for record in halves.records()] == [
        (f"{FOX}/1.png", FOX),
        (f"{CAR}/2.png", CAR),
    ]


def test_imagenet21k_in_folders_of_splits_keeps_them_and_no_image_takes_the_place_of_another(tmp_path):
    """As ImageNet-21K-P divides the classes."""
    names = [f"imagenet21k_{split}/{wnid}/1.png" for split in ("train", "val") for wnid in (FOX, CAR)]
    source = open_source("imagenet21k", written(tmp_path / "p", dict.fromkeys(names, DATA)))
    assert [(record.id, record.wnid, record.split) for record in source.records()] == [
        (f"{FOX}/1.png", FOX, "train"),
        (f"{CAR}/1.png", CAR, "train"),
        (f"val/{FOX}/1.png", FOX, "val"),
        (f"val/{CAR}/1.png", CAR, "val"),
    ]
    twice = {f"{FOX}/1.png": DATA, f"thumbs/{FOX}/1.png": DATA, f"{CAR}/1.png": DATA}
    with pytest.raises(ItlError, match=f"{FOX}/1.png and thumbs/{FOX}/1.png, which are one image by their"):
        open_source("imagenet21k", written(tmp_path / "twice", twice)).records()


def test_a_large_table_out_of_order_is_numbered_by_its_rows(tmp_path, monkeypatch):
    parquet_file(
        tmp_path / "train.parquet", [("2.png", "cat", DATA), ("1.png", "cat", IMAGES["val/cat/3.png"])]
    )
    assert [name for name, _, _ in read("parquet", tmp_path)] == ["train/cat/1.png", "train/cat/2.png"]
    monkeypatch.setattr(parquet_images, "CACHED_BYTES", 10)
    source = open_source("parquet", tmp_path)
    assert [record.id for record in source.records()] == ["train/00000000", "train/00000001"]
    assert [source.read(record) for record in source.records()] == [DATA, IMAGES["val/cat/3.png"]]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": [b"x"], "caption": ["a cat"]}, "no column of the label .* it has image, caption; say"),
        ({"image": ["x.png"], "label": [0]}, "image is string, not the bytes"),
        ({"image": [b"x"], "label": [0], "class": [1]}, "label or class; choose one with the option label="),
        ({"image": [b"x", b"y"], "label": [0, None]}, "1 of 2 rows"),
        (
            {"image": [b"x", b"y"], "label": [0.5, 1.5]},
            "label is double, not one class for each image; write",
        ),
        (
            {"image": [b"x", b"y"], "label": [[0], [0, 1]]},
            "label is list<.*, not one class for each image; set",
        ),
        (
            {"image": [b"x"], "label": [0], "split": ["test"]},
            "is of train by its name, and has rows of test by",
        ),
        ({"image": [b"x"], "label": [0], "split": ["held"]}, "a column split with 'held', which is no split"),
        (
            {"image": [b"x", b"y"], "label": [0, 1], "phase": ["train", "test"]},
            "is of train by its name, and has rows of test by its column phase",
        ),
        (
            {"image": [b"x"], "label": [0], "is_test": [True]},
            "has a column is_test with 'True', which is no split",
        ),
        (
            {"image": [b"x", b"y"], "label": ["a", "a"], "split": ["test", ""]},
            "split with empty cells, which",
        ),
        ({"image": [b"x"], "label": ["['a', 'b']"]}, r"column label: .* is a list of labels, but an image"),
        ({"image": [b"x", b"y"], "label": ["a", "nan"]}, "1 of 2 rows"),
    ],
)
def test_tables_that_are_refused(tmp_path, columns, message):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    with pytest.raises(ItlError, match=message):
        open_source("parquet", tmp_path).records()


def test_what_an_incomplete_cifar_lacks_is_named(tmp_path):
    containers.cifar(tmp_path, hundred=False)
    (tmp_path / "cifar-10-batches-py/data_batch_3").unlink()
    with pytest.raises(
        ItlError, match="no complete CIFAR-10 in .*: .*batches-py lacks data_batch_3; give the"
    ):
        open_source("cifar10", tmp_path).records()


def test_a_table_of_paths_alone_is_refused(tmp_path):
    parquet_file(tmp_path / "train.parquet", [("1.png", "cat", None), ("2.png", "dog", None)])
    with pytest.raises(
        ItlError, match="train.parquet has no bytes of images, only their paths; save it with"
    ):
        open_source("parquet", tmp_path).records()


def test_a_column_of_splits_divides_the_rows_of_a_table(tmp_path):
    image = pa.array([{"bytes": DATA, "path": f"{number}.png"} for number in range(4)])
    columns = {"image": image, "label": [*"abab"], "Set": ["Train", "train", "test", "test"]}
    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    assert read("parquet", tmp_path) == [
        *(("test/a/2.png", "a", "test"), ("test/b/3.png", "b", "test")),
        *(("train/a/0.png", "a", "train"), ("train/b/1.png", "b", "train")),
    ]
    assert open_source("parquet", tmp_path).layout == "Parquet in 1 file, split by the column Set"


def test_tables_that_name_their_classes_differently_are_refused(tmp_path):
    parquet_file(tmp_path / "train.parquet", [("1.png", 0, DATA), ("2.png", 1, DATA)], ["cat", "dog"])
    parquet_file(tmp_path / "test.parquet", [("3.png", 1, DATA), ("4.png", 0, DATA)], ["dog", "cat"])
    with pytest.raises(ItlError, match="class 0 of label is dog in test.parquet, and cat in train.parquet"):
        open_source("parquet", tmp_path).records()


def test_tables_whose_labels_are_numbers_and_text_are_refused(tmp_path):
    parquet_file(tmp_path / "train-0.parquet", [("1.png", 0, DATA), ("2.png", 1, DATA)])
    parquet_file(tmp_path / "train-1.parquet", [("3.png", "cat", DATA), ("4.png", "dog", DATA)])
    with pytest.raises(
        ItlError, match="label is int64 in train-0.parquet, but string in train-1.parquet; give"
    ):
        open_source("parquet", tmp_path).records()


def test_parts_that_are_missing_are_named(tmp_path):
    parquet_file(tmp_path / "table/train-00000-of-00003-ab12.parquet", [("1.png", "cat", DATA)])
    layout = open_source("parquet", tmp_path / "table").layout
    assert layout == "Parquet in 1 file, without 2 of the 3 parts of train"
    parquet_file(tmp_path / "table/test-00000-of-00001.parquet", [("1.png", "dog", DATA)])
    says = r"test has 1 class .* the files were read without 2 of the 3 parts of train: get all$"
    with pytest.raises(ItlError, match=says):
        open_source("parquet", tmp_path / "table").records()
    (tmp_path / "table/train-00000-of-00003-ab12.parquet").rename(tmp_path / "table/train.parquet")
    with pytest.raises(ItlError, match=r"give both splits the same classes \(train has cat\)$"):
        open_source("parquet", tmp_path / "table").records()
    for number in (0, 1, 3):
        tarred(tmp_path / f"shards/pets-train-{number:04d}.tar", TWO)
    layout = open_source("webdataset", tmp_path / "shards").layout
    assert layout == "WebDataset in 3 shards, without 1 of the 4 numbers of pets-train"
    for name in ("cats-train-1", "dogs-train-3"):  # of two prefixes
        tarred(tmp_path / f"two/{name}.tar", {f"{name}{key}": data for key, data in TWO.items()})
    assert open_source("webdataset", tmp_path / "two").layout == "WebDataset in 2 shards"


def test_a_tar_that_is_cut_in_the_padding_of_its_last_file_is_not_whole(tmp_path):
    path = tarred(tmp_path / "train-0.tar", TWO)
    data = path.read_bytes()
    path.write_bytes(data[: 512 + len(DATA) + 1])
    with pytest.raises(ItlError, match="train-0.tar is not a whole tar: cut short after 1 file"):
        open_source("webdataset", path).records()


def test_a_table_with_a_damaged_footer_does_not_end_the_process(tmp_path):
    file = parquet_file(tmp_path / "train.parquet", [("1.png", "cat", DATA), ("2.png", "dog", DATA)])
    start, data_type = b"\x1c\x15", b"\x0c"  # of the image's bytes, as Thrift writes it: BYTE_ARRAY
    whole = file.read_bytes()
    file.write_bytes(whole.replace(start + data_type + b"\x19", start + b"\x1c\x19", 1))
    assert file.read_bytes() != whole

    def work() -> None:
        with contextlib.suppress(ItlError):
            assert [label for _, label, _ in read("parquet", tmp_path)] == ["cat", "dog"]

    assert os.waitpid(forked(work), 0)[1] == 0


def test_a_table_whose_bytes_are_text_has_unreadable_images(tmp_path):
    image = pa.array([{"bytes": "text", "path": "1.png"}])
    pq.write_table(pa.table({"image": image, "label": ["cat"]}), tmp_path / "train.parquet")
    source = open_source("parquet", tmp_path)
    with pytest.raises(ItlError, match="its row has no bytes of an image"):
        source.read(source.records()[0])


def bombs(root):
    """Files that unpack to far more than they are."""
    zeros = np.zeros(1 << 22, np.uint8)
    np.savez_compressed(root / "val_data.npz", data=zeros, labels=[1])
    yield "imagenet-downsampled", written(root / "npz", {"map_clsloc.txt": containers.MAP}), "val_data.npz"
    parquet_file(root / "parquet/train.parquet", [("1.png", 0, zeros.tobytes())])
    yield "parquet", root / "parquet", ""
    labels = containers.mat(labels=np.ones((1, 1 << 20)))
    import io

    import scipy.io

    file = io.BytesIO()
    scipy.io.savemat(file, {"labels": np.ones((1, 1 << 20))}, do_compression=True)
    assert len(file.getvalue()) < len(labels) / 50
    files = {"imagelabels.mat": file.getvalue(), "setid.mat": file.getvalue(), "jpg/image_00001.jpg": DATA}
    yield "flowers102", written(root / "mat", files), ""
    (root / "zip").mkdir()
    with zipfile.ZipFile(root / "zip/set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.txt", b"cat/1.png cat\n" + b" " * (1 << 22))
        archive.writestr("cat/1.png", DATA)
    yield "lists", root / "zip/set.zip", ""


def test_what_unpacks_to_more_than_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(untrusted_files, "MAX_UNPACKED_BYTES", 1 << 21)
    for kind, path, moved in bombs(tmp_path):
        if moved:
            (tmp_path / moved).rename(path / moved)
        with pytest.raises(ItlError, match="more than 2 MiB when it is unpacked"):
            read(kind, path)


MUTATED = {
    "webdataset": shards,
    "parquet": containers.parquet,
    "lists": containers.lists,
    "imagenet-downsampled": containers.downsampled,
    "cifar100": containers.cifar,
    "cifar10": lambda root: containers.cifar(root, hundred=False),
    "imagenet21k": containers.imagenet21k,
}

TIMES = 150


@pytest.mark.parametrize("kind", [*MUTATED, "npz"])
def test_damaged_containers_raise_nothing_but_itl_error(tmp_path, kind):
    root = (MUTATED | {"npz": containers.downsampled_npz})[kind](tmp_path / "set")
    kind = "imagenet-downsampled" if kind == "npz" else kind
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".png")
    random = np.random.default_rng(0)
    refusals = []
    for number in range(TIMES):
        file = files[number % len(files)]
        whole = file.read_bytes()
        file.write_bytes(mutated(whole, random))
        cifar.load_split.cache_clear()
        downsampled.load_batch.cache_clear()
        try:
            read(kind, root)
        except ItlError as error:
            refusals.append(str(error))
        file.write_bytes(whole)
    assert len(refusals) > TIMES // 10
    assert not [text for text in refusals if "\n" in text]
