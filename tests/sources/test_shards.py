"""Shards of WebDataset: what labels their samples, and what is refused."""

import io
import pickle
import tarfile
import zipfile

import pytest

from itl import ItlError
from itl.sources.registry import open_source
from tests.annotated import check_lines
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


@pytest.mark.parametrize("key", ["name", "text", "title"])  # which are of images, or captions
def test_what_may_be_of_images_names_no_numbers(tmp_path, key):
    members = {}
    for image, number, name in zip("abc", (0, 1, 1), ("cat", "dog", "dog"), strict=True):
        members |= sample(f"{image}.png", DATA, json={key: name, "label": number})
    tarred(tmp_path / "train-0.tar", members)
    assert {record.wnid for record in open_source("webdataset", tmp_path).records()} == {"0", "1"}


def test_splits_that_number_texts_otherwise_are_refused(tmp_path):
    def records(folder: str, key: str, train: str, val: str) -> list[tuple[str, ...]]:
        for split, texts in (("train", train), ("val", val)):
            members = {}
            for image, text in enumerate(texts.split()):
                members |= sample(f"{image}.png", DATA, json={"label": image // 2, key: text})
            tarred(tmp_path / folder / f"{split}-0.tar", members)
        return read("webdataset", tmp_path / folder)

    for key in ("name", "text"):
        says = "the class 1 is 'dog' by 2 in train-0.tar, but 'fox' by 2 in val-0.tar; number the"
        with pytest.raises(ItlError, match=says):
            records(f"{key}-other", key, "cat other Dog dog fox fox", "dog dog fox")
        for number, texts in enumerate(
            [
                ("cat cat dog dog", "Cat cat dog"),
                ("a b c d", "b d a c"),  # of the images
                ("cat cat dog dog", "fox fox owl owl"),  # which name nothing that train has
            ]
        ):
            assert {row[1] for row in records(f"{key}-{number}", key, *texts)} == {"0", "1"}


@pytest.mark.parametrize("word", ["nan", "None"])
def test_words_for_no_label_are_noted(tmp_path, word):
    tarred(tmp_path / "train-0.tar", sample("a.png", DATA, cls="cat") | sample("b.png", DATA, cls=word))
    note = f"note: '{word}' is read as a class; leave images without a label out of the list"
    assert note in check_lines("webdataset", tmp_path)


def test_wnids_in_keys_name_numbers_before_what_may_be_of_the_images(tmp_path):
    members = {}
    for key, number in (f"{FOX}_1", 0), (f"{FOX}_2", 0), (f"{CAR}_1", 1):
        members |= sample(f"{key}.png", DATA, json={"label": number, "name": f"n{number}"})
    tarred(tmp_path / "train-0.tar", members)
    assert {record.wnid for record in open_source("webdataset", tmp_path).records()} == {FOX, CAR}


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
            {"train-0.tar": {"a.0.jpg": DATA, "a.1.jpg": DATA, "a.cls": b"1"}},
            "several images, a.0.jpg, a.1.jpg, as keys end at the first dot; .* image=0.jpg, or",
        ),
        (
            {"train-0.tar": {"a.0.jpg": DATA, "a.0.cls": b"0", "a.1.jpg": DATA, "a.1.cls": b"1"}},
            "a.0.jpg in train-0.tar has no label, as keys end at the first dot and a.0.cls is not read",
        ),
        (
            {"train-0.tar": {**TWO, "a.jpg": DATA}},
            "several images, a.png, a.jpg, as keys .* option image=png, or write",
        ),
        (
            {"train-0.tar": {**TWO, **sample("c.png", DATA, cls="cat")}},
            "c has the class 'cat', others .* KEY.cls of all samples, and take the option label=cls",
        ),
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
            "a.x.png in train-0.tar has no label, as keys end at the first dot and a.x.cls is not read",
        ),
        ({"train-0.tar": {"a.png": DATA}}, "no image has a label, .* up to the first dot; such as a.png"),
        (
            {"train-0.tar": {"a.x.png": DATA, "b.x.cls": b"0"}},
            "no image has a label, .* up to the first dot; such as a.x.png",
        ),
        (
            {"train-0.tar": sample("a.png", DATA, json={"label": 1, "class": 8})},
            "a.json: the class is 1 by its label, but 8 by its class; remove the others, or write the right",
        ),
        (
            {"train-0.tar": sample("a.png", DATA, json={"category": 1, "class": "02"})},
            "a.json: the class is 02 by its class, but 1 by its category; remove",
        ),
        (
            {"train-0.tar": sample("a.png", DATA, json={"fine_label": 3, "label": [1]})},
            r"no image has a label: a.json in train-0.tar has fine_label 3, label \[1\], and a class is "
            "read as text or a whole number by label, .* or category; write it so, or to KEY.cls",
        ),
        (
            {"train-0.tar": {**TWO, **sample("c.png", DATA, json={"label": True})}},
            "1 of 3 samples of train have no label, such as c: c.json in train-0.tar has label True, and a",
        ),
        *(
            (
                {
                    "train-0.tar": sample("a.png", DATA, json={"label": 0, "class_name": "cat"}),
                    "val-0.tar": sample("b.png", DATA, json={"label": 0, "class_name": name}),
                },
                f"the class 0 is 'cat' by a in train-0.tar, but '{name}' by b in val-0.tar; .* names=FILE",
            )
            for name in ("dog", "Cat, domestic", "n02121808")
        ),
        (
            {
                "train-0.tar": sample("a.png", DATA, json={"label": 0, "category": "cat"})
                | sample("b.png", DATA, json={"label": 0, "category": "dog"})
                | sample("c.png", DATA, json={"label": 1, "category": "dog"})
            },
            "the class 0 is 'cat' by a in train-0.tar, but 'dog' by b in train-0.tar; .* names=FILE",
        ),
    ],
)
def test_shards_that_are_refused(tmp_path, files, message):
    (tmp_path / "set").mkdir()
    for name, members in files.items():
        tarred(tmp_path / "set" / name, members)
    with pytest.raises(ItlError, match=message):
        open_source("webdataset", tmp_path / "set").records()


@pytest.mark.parametrize(
    ("train", "val"),
    [
        (
            [(0, "a cat sleeps"), (0, "a cat eats"), (1, "dogs")],
            [(0, "a cat jumps"), (1, "a dog")],
        ),  # captions
        ([(0, "indoor"), (1, "indoor"), (2, "outdoor")], [(0, "outdoor"), (1, "indoor"), (2, "indoor")]),
    ],
)
def test_names_that_contradict_each_other_are_refused(tmp_path, train, val):
    for split, labels in (("train", train), ("val", val)):
        members = [
            sample(f"{split}{n}.png", DATA, json={"label": number, "label_name": name})
            for n, (number, name) in enumerate(labels)
        ]
        tarred(tmp_path / f"{split}-0.tar", {name: data for files in members for name, data in files.items()})
    with pytest.raises(
        ItlError, match="the class 0 is '.*' by train0 in train-0.tar, but '.*' by .* names=FILE"
    ):
        open_source("webdataset", tmp_path).records()
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\nfox\n")
    records = open_source("webdataset", tmp_path, names=names).records()
    assert {record.wnid for record in records} <= {"cat", "dog", "fox"}, "as the message says"


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


@pytest.mark.parametrize(
    ("content", "label"),
    [
        ({"label": 1, "class": "01", "category": 1}, "1"),
        ({"class": 8}, "8"),
        ({"label": 1, "class": "cat"}, "cat"),  # the name of number 1
        ({"label": 1, "class": -1}, "1"),
        ({"label": 1, "width": 640}, "1"),
    ],
)
def test_numbers_in_json_that_agree(tmp_path, content, label):
    tarred(tmp_path / "train-0.tar", sample("a.png", DATA, json=content))
    assert [record.wnid for record in open_source("webdataset", tmp_path).records()] == [label]


def test_the_option_label_chooses_the_file_where_json_contradicts_itself(tmp_path):
    tarred(tmp_path / "train-0.tar", sample("a.png", DATA, cls=8, json={"label": 1, "class": 8}))
    records = open_source("webdataset", tmp_path, label="cls").records()
    assert [record.wnid for record in records] == ["8"]


def test_a_split_whose_keys_have_dots_is_refused(tmp_path):
    train = {**sample("A0.x.jpg", DATA, cls=0), **sample("A1.x.jpg", DATA, cls=1)}
    tarred(tmp_path / "train-0.tar", train)
    tarred(tmp_path / "test-0.tar", TWO)
    with pytest.raises(ItlError) as refused:
        open_source("webdataset", tmp_path).records()
    assert str(refused.value) == (
        f"{tmp_path}: A0.x.jpg in train-0.tar has no label, as keys end at the first dot and A0.x.cls is not "
        f"read; write the shards again with keys without dots"
    )


def test_a_split_without_labels_is_named(tmp_path):
    tarred(tmp_path / "train-0.tar", TWO)
    tarred(tmp_path / "test-0.tar", {"1.2.png": DATA, "2.seg.png": DATA, "3.png": DATA})
    source = open_source("webdataset", tmp_path)
    assert {record.split for record in source.records()} == {"train"}
    assert source.left_out == {"unlabelled samples of test": 3}


def test_suffixes_beside_a_label_need_none_of_their_own(tmp_path):
    files = {**sample("a.seg.png", DATA, json={"area": 3}), "a.cls": b"0"}
    tarred(tmp_path / "train-0.tar", files)
    assert [record.wnid for record in open_source("webdataset", tmp_path).records()] == ["0"]


@pytest.mark.parametrize("image", ["png", ".png", "PNG", "seg.png"])
def test_the_option_image_is_a_suffix_in_any_spelling(tmp_path, image):
    files = {**sample("a.jpg", DATA, cls=0), "a.png": DATA, "a.seg.png": DATA}
    tarred(tmp_path / "train-0.tar", files)
    (record,) = open_source("webdataset", tmp_path, image=image).records()
    assert record.id == ("train/0/a.seg.png" if image == "seg.png" else "train/0/a.png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"image": "jpgg"},
            "no suffix of images in {} called 'jpgg'; did you mean 'jpg'? There are jpg, png",
        ),
        ({"image": ""}, "no suffix of images in {} called ''; there are jpg, png"),
        (
            {"label": "clss"},
            "no value of the option label called 'clss'; did you mean 'cls'? There are cls, json, txt",
        ),
        (
            {"label": ".cls"},
            "no value of the option label called '.cls'; did you mean 'cls'? There are cls, json, txt",
        ),
    ],
)
def test_options_that_no_sample_has_are_refused(tmp_path, options, message):
    tarred(tmp_path / "train-0.tar", {**sample("a.jpg", DATA, cls=0), "a.png": DATA})
    with pytest.raises(ItlError) as refused:
        open_source("webdataset", tmp_path, **options).records()
    assert str(refused.value) == message.format(tmp_path)


def binary(labels):
    """The files of a sample for each of *labels*, the bytes of its .cls."""
    return {
        f"{n}.{end}": data for n, label in enumerate(labels) for end, data in (("png", DATA), ("cls", label))
    }


@pytest.mark.parametrize(
    "labels",
    [
        [pickle.dumps(number) for number in (3, 200)],
        [number.to_bytes(8, "little") for number in (65, 97)],
        [bytes([number]) for number in (3, 4)],
        ["Café".encode("latin-1"), b"bar"],
        ["0".encode("utf-16-le"), "1".encode("utf-16-le")],
    ],
)
def test_labels_that_are_bytes_of_numbers_are_refused(tmp_path, labels):
    tarred(tmp_path / "train-0.tar", binary(labels))
    with pytest.raises(
        ItlError, match="label of 0 in train-0.tar is no text, but the bytes b'.*' of its .cls; wr"
    ):
        open_source("webdataset", tmp_path).records()


def test_labels_are_text_with_blanks_around_them_and_other_letters(tmp_path):
    tarred(tmp_path / "train-0.tar", binary([b"Caf\xc3\xa9\tau lait\r\n", b" bar "]))
    assert {record.wnid for record in open_source("webdataset", tmp_path).records()} == {
        "Café au lait",
        "bar",
    }


def test_the_json_of_samples_may_have_whole_floats_and_captions_that_are_no_utf8(tmp_path):
    files = {**sample("a.png", DATA, json={"label": 0.0}), **sample("b.png", DATA, json={"label": 1})}
    tarred(tmp_path / "train-0.tar", files | {"a.txt": "a Café".encode("latin-1")})
    assert [record.wnid for record in open_source("webdataset", tmp_path).records()] == ["0", "1"]


def test_two_numbers_of_one_name_stay_two_classes(tmp_path):
    files = [
        sample(f"{number}.png", DATA, json={"label": number, "class_name": "crane"}) for number in (0, 1)
    ]
    tarred(tmp_path / "train-0.tar", files[0] | files[1])
    assert {record.wnid for record in open_source("webdataset", tmp_path).records()} == {"0", "1"}


@pytest.mark.parametrize(
    ("labels", "classes"),
    [("00 01 0 1", ["0", "0", "1", "1"]), ("00 01 10 11", ["00", "01", "10", "11"])],
)
def test_a_number_with_zeros_before_it_is_the_same_number(tmp_path, labels, classes):
    for number, label in enumerate(labels.split()):
        tarred(tmp_path / f"{number}.tar", sample(f"{number}.png", DATA, cls=label))
    assert sorted(label for _, label, _ in read("webdataset", tmp_path)) == classes


def test_a_split_that_only_json_tells_is_not_taken_as_train(tmp_path):
    """Names of shards decide, but a field of the samples' JSON that contradicts them is not passed over."""
    train = sample("1.png", DATA, json={"label": 0, "split": "train"})
    held_out = sample("2.png", DATA, json={"label": 1, "split": "Validation"})
    tarred(tmp_path / "plain/0.tar", train)
    assert [row[1:] for row in read("webdataset", tmp_path / "plain")] == [("0", "train")]
    tarred(tmp_path / "plain/1.tar", held_out)
    with pytest.raises(
        ItlError, match=r"tell no split, .* of 1.tar would be train, but 2.json .* split val; .*"
    ):
        open_source("webdataset", tmp_path / "plain").records()
    named = tmp_path / "named"
    tarred(named / "train-0.tar", {**train, **held_out})
    with pytest.raises(ItlError) as refused:
        open_source("webdataset", named).records()
    assert str(refused.value) == (
        f"{named}: the images of train-0.tar would be train, but 2.json in it has the split val; write "
        f"shards of each split, such as val-000000.tar"
    )
    held_out = sample("2.png", DATA, json={"label": 0, "split": "Validation"})
    tarred(named / "train-0.tar", train)
    tarred(named / "val-0.tar", held_out)
    assert [row[1:] for row in read("webdataset", named)] == [("0", "train"), ("0", "val")]


@pytest.mark.parametrize(
    ("end", "label", "says"),
    [
        (
            "png",
            "cls",
            "in train-0.tar 2 files have a name that came before, so several samples have",
        ),
        ("jpg", "cls", "in train-0.tar 1 file has a name that came before"),
        (
            "jpg",
            "txt",
            "several images, a.png, a.jpg, as keys|the label of a in .* is '1' by its .txt",
        ),
    ],
)
def test_samples_that_share_a_key_in_a_stream_are_refused(tmp_path, end, label, says):
    """The library webdataset takes them apart, as others lie between; by names both would be one."""
    parts = [
        sample("a.png", DATA, cls=0),
        sample("b.png", DATA, cls=0),
        sample(f"a.{end}", DATA, **{label: 1}),
    ]
    with tarfile.open(tmp_path / "train-0.tar", "w") as tar:
        for name, data in (item for part in parts for item in part.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    for options in ({}, {"image": "jpg"}):
        with pytest.raises(ItlError, match=says):
            open_source("webdataset", tmp_path, **options).records()


@pytest.mark.parametrize(
    ("name", "is_passed_over"),
    [("README", True), ("README.md", True), ("LICENSE.txt", True), ("a.npy", True), ("a.txt", False)]
    + [("a.png", False), ("a.json", False), ("z.cls", False)],
)
def test_files_of_no_sample_may_come_again_in_a_stream(tmp_path, name, is_passed_over):
    files = [*sample("a.png", DATA, cls=0, txt=0, json={"label": 0}).items(), *[(name, b"0")] * 2]
    with tarfile.open(tmp_path / "train-0.tar", "w") as tar:
        for member, data in files:
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    source = open_source("webdataset", tmp_path)
    if is_passed_over:
        assert [record.wnid for record in source.records()] == ["0"]
        assert source.left_out["files whose name comes again"] == 1
    else:
        with pytest.raises(ItlError, match="in train-0.tar . files? ha.* a name that came before"):
            source.records()


def test_files_of_a_sample_need_not_be_neighbours(tmp_path):
    files = {"a.png": DATA, "b.png": DATA, "a.cls": b"0", "b.cls": b"1"}
    tarred(tmp_path / "train-0.tar", files)
    records = open_source("webdataset", tmp_path).records()
    assert [(record.id, record.wnid) for record in records] == [
        ("train/0/a.png", "0"),
        ("train/1/b.png", "1"),
    ]
