"""Shards of WebDataset: what labels their samples, and what is refused."""

import zipfile

import pytest

from itl import ItlError
from itl.sources.registry import open_source
from tests.pictures import CAR, FOX, tarred
from tests.sources.containers import DATA, TWO, read, sample


@pytest.mark.parametrize(
    ("train", "val", "options", "classes"),
    [
        (TWO, {}, {}, {"0", "1"}),
        (
            {
                **sample(f"{FOX}_1.png", DATA, cls=0, json={"label": 0}),
                **sample(f"{CAR}_1.png", DATA, cls=1),
            },
            {**sample("v1.png", DATA, cls=0), **sample("v2.png", DATA, cls=1)},
            {},
            {FOX, CAR},
        ),
        (
            {
                **sample("1.png", DATA, json={"label": 0, "class_name": "cat"}),
                **sample("2.png", DATA, json={"label": 1, "class_name": "dog"}),
            },
            sample("v.png", DATA, cls=1),
            {},
            {"cat", "dog"},
        ),
        (
            {
                **sample("1.jpg", DATA, txt="cat"),
                **sample("1.seg.png", DATA),
                **sample("2.jpg", DATA, txt="dog"),
            },
            {},
            {"image": "jpg"},
            {"cat", "dog"},
        ),
        (TWO, {"t1.png": DATA, "t2.png": DATA}, {}, {"0", "1"}),
    ],
)
def test_what_labels_the_samples_of_shards(tmp_path, train, val, options, classes):
    tarred(tmp_path / "x-train-0.tar", train)
    if val:
        tarred(tmp_path / "x-val-0.tar", val)
    records = open_source("webdataset", tmp_path, **options).records()
    assert {record.wnid for record in records} == classes


def test_samples_without_the_image_that_is_chosen_are_counted(tmp_path):
    files = {**sample("a.jpg", DATA, cls=0), **sample("b.jpg", DATA, cls="00"), "info.json": b"{}"}
    tarred(tmp_path / "train-0.tar", {**files, **sample("c.png", DATA, cls=0)})
    source = open_source("webdataset", tmp_path, image="jpg")
    assert len(source.records()) == 2
    assert source.left_out == {"samples without an image jpg": 1, "files of no image": 1}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no .tar files"),
        ({"a b.tar.gz": {}}, "`gunzip '.*/a b.tar.gz'` leaves a plain .tar"),
        ({"train-0.tar": {**TWO, "c.png": DATA}}, "1 of 3 samples of train have no label, such as c"),
        ({"train-0.tar": TWO, "part-0.tar": TWO}, "part-0.tar tells no split"),
        (
            {"train-0.tar": {**TWO, "c.cls": b"0"}},
            "1 sample has no image in a format that is read, such as c.cls in t",
        ),
        (
            {"train-0.tar": {"a.0.jpg": DATA, "a.0.cls": b"0", "a.1.jpg": DATA, "a.1.cls": b"1"}},
            "several images, a.0.jpg, a.1.jpg; as keys end at the first dot: write the shards again",
        ),
        ({"train-0.tar": {**TWO, "a.jpg": DATA}}, "several images, a.png, a.jpg; .* option image=png"),
        ({"train-0.tar": {**TWO, **sample("c.png", DATA, cls="cat")}}, "c has the class 'cat'"),
        ({"train-0.tar": {"a.png": DATA, "a.json": b"{"}}, "not valid JSON"),
        ({"train-0.tar": {"a.png": DATA, "a.json": b'{"label": 0, "label": 1}'}}, "not valid JSON .*'label'"),
        (
            {"train-0.tar": sample("a.png", DATA, json={"label": 0, "cls": 1, "target": "00"})},
            "a.json: the class is 00 by its target, but 1 by its cls; remove the others, or write the right",
        ),
        (
            {
                "train-0.tar": {
                    f"{n}.{s}": t for n in "abcdef" for s, t in (("png", DATA), ("txt", n.encode()))
                }
            },
            "captions, not classes",
        ),
        (
            {"train-0.tar": {**TWO, "c.heic": DATA, "c.json": b'{"label": 0}'}},
            "1 sample has no image in a format that is read, such as c.json in t",
        ),
        (
            {"train-0.tar": sample("a.png", DATA, cls=0, json={"label": 1})},
            "the label of a in train-0.tar is '0' by its .cls and '1' by another file; correct one, or take",
        ),
        (
            {"train-0.tar": sample("a.png", DATA, cls="cat", json={"label": "car"})},
            "is 'cat' by its .cls and 'car' by another file",
        ),
        ({"train-0.tar": sample("a.png", DATA, cls=0, txt=1)}, "is '1' by its .txt and '0' by another file"),
        (
            {"train-0.tar": TWO | {"a.PNG": DATA}},
            "a.png and a.PNG of train-0.tar differ in case alone; write",
        ),
        ({"train-0.tar": {"a.npy": b"", "a.cls": b"0"}}, "its 1 shard holds no images"),
        (
            {"train-0.tar": sample("a.x.png", DATA, cls=0)},
            "no image has a label, .* up to the first dot; such as",
        ),
    ],
)
def test_shards_that_are_refused(tmp_path, files, message):
    (tmp_path / "set").mkdir()
    for name, members in files.items():
        tarred(tmp_path / "set" / name, members)
    with pytest.raises(ItlError, match=message):
        open_source("webdataset", tmp_path / "set").records()


def test_a_zip_that_is_called_a_shard_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "train-0.tar", "w") as archive:
        for name, data in TWO.items():
            archive.writestr(name, data)
    with pytest.raises(ItlError) as refused:
        open_source("webdataset", tmp_path).records()
    text = "train-0.tar is a zip by its content; write its files to a plain tar"
    assert str(refused.value) == f"{tmp_path}: {text}"


def test_keys_that_start_anew_in_each_shard(tmp_path):
    for number in (0, 1):
        tarred(tmp_path / f"train-{number}.tar", TWO)
    assert read("webdataset", tmp_path) == [
        (f"train-{shard}/train/{label}/{name}.png", str(label), "train")
        for shard in (0, 1)
        for label, name in enumerate("ab")
    ]
