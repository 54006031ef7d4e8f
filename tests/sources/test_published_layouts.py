"""Layouts as others publish them: masks, shards, ranks and splits that are no classes, and what is said."""

import json
import re
import shlex
from pathlib import Path

import pytest

from itl import ItlError
from itl.sources.folders.layout import Choice
from itl.sources.folders.layout_options import options_for_layout, recognise
from itl.sources.registry import open_source
from tests.annotated import check_lines, jpeg, written
from tests.pictures import encoded, smooth, tarred, tree
from tests.sources.containers import sample

PNG = encoded(smooth(6, 5))
CURE = (
    "put the images of each class into a folder of its own, or list each image with its class: source lists"
)
IN_CLASSES = {f"{name}/{name}_{number}.jpg": jpeg() for name in ("cat", "dog") for number in range(4)}
HALVES = {name: ["train", "test"][int(name[-5]) // 2] for name in IN_CLASSES}
DIVIDED = {name: (HALVES[name], name[:3]) for name in IN_CLASSES}
AS_CSV = (
    "write a CSV with the columns image, label and split, and the source lists reads it: `itl check lists "
)
READ = "the source lists reads it: `itl check lists "


def read(kind: str, path: Path, **options) -> dict[str, tuple[str, str]]:
    """Return split and class of each image."""
    records = open_source(kind, path, **options).records()
    return {record.id: (record.split, record.wnid) for record in records}


def refusal(kind: str, path: Path, **options) -> str:
    """Return why a source refuses *path*, without the path."""
    with pytest.raises(ItlError) as error:
        read(kind, path, **options)
    return str(error.value).removeprefix(f"{path}: ")


def options_in(text: str) -> dict[str, object]:
    """Return the first options that *text* offers, one after another."""
    words = shlex.split(re.search(r"(--option (?:'[^']+'|[^ ()]+) ?)+", text)[0])
    values = dict(word.split("=", 1) for word in words if word != "--option")
    return {name: int(value) if value.isdecimal() else value for name, value in values.items()}


@pytest.mark.parametrize(
    ("photos", "masks", "end"),
    [
        ("DUT-OMRON-image", "pixelwiseGT-new-PNG", ""),
        ("CelebA-HQ-img", "CelebAMask-HQ-mask-anno", "_hair"),
        ("Images_BMP", "GroundTruth_BMP", "_GT"),
        ("stare-images", "stare-labels-ah", ".ah"),
        ("Tissue Images", "Annotations", ""),
        ("NOISY", "GT", ""),
        ("rgb", "depth", ""),
    ],
)
@pytest.mark.parametrize("outer", ["", "train/"])
def test_a_folder_with_a_mask_for_each_image_is_no_class(tmp_path, photos, masks, end, outer):
    names = [f"{outer}{photos}/im_{n}.jpg" for n in (1, 2)] + [
        f"{outer}{masks}/im_{n}{end}.png" for n in (1, 2)
    ]
    tree(tmp_path, *names)
    text = refusal("folder", tmp_path)
    assert text == (
        f"{masks!r} is no class by its name, but where masks of {photos!r} lie (if both are classes: "
        f"--option class_level=1); {CURE}"
    )
    labels = {label for _, label in read("folder", tmp_path, **options_in(text)).values()}
    assert labels == {photos, masks}


@pytest.mark.parametrize(
    "names",
    [
        ("with_mask/1.jpg", "with_mask/2.jpg", "bare/1.jpg", "bare/2.jpg", "other/1.jpg", "other/2.jpg"),
        ("face/1.jpg", "face/2.jpg", "mask/1.jpg", "mask/3.jpg"),
        ("face/1.jpg", "face/2.jpg", "mask/1.jpg"),
        ("face/1.jpg", "mask/1.jpg"),
        ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg"),
        ("masked/1.jpg", "masked/2.jpg", "bare/1.jpg", "bare/2.jpg"),
    ],
)
def test_classes_with_such_a_word_and_images_of_their_own_are_read(tmp_path, names):
    tree(tmp_path, *names)
    assert {name: label for name, (_, label) in read("folder", tmp_path).items()} == {
        name: name.split("/")[0] for name in names
    }


def test_masks_below_a_folder_that_may_be_a_class_are_said(tmp_path):
    tree(tmp_path, *(f"DUTS-TR/DUTS-TR-{part}/{n}.png" for part in ("Image", "Mask") for n in (1, 2)))
    assert refusal("folder", tmp_path).endswith(
        "; 'DUTS-TR-Mask' is no class by its name, but where masks of 'DUTS-TR-Image' lie"
    )


@pytest.mark.parametrize("table", ["00000.parquet", "00001_stats.json"])
def test_shards_of_img2dataset_are_no_classes(tmp_path, table):
    tree(tmp_path, "00000/000000000.jpg", "00000/000000000.txt", "00001/000010000.jpg", table)
    text = refusal("folder", tmp_path)
    assert text == (
        f"'00000', '00001' are parts of one set of images, as {table} beside them tells (if both are "
        f"classes: --option class_level=1); {CURE}"
    )
    assert len(read("folder", tmp_path, **options_in(text))) == 2


def test_numbers_without_tables_are_classes_and_an_option_names_their_level(tmp_path):
    tree(tmp_path, "0/1.jpg", "1/2.jpg", "1.txt", "all.parquet")
    assert set(read("folder", tmp_path)) == {"0/1.jpg", "1/2.jpg"}
    counts = {"data/a/images": 1, "data/b/images": 1}
    assert options_for_layout(counts, Choice(), recognise(counts)) == "--option class_level=2"
    counts = {"a/airfield": 1, "b/bar/in": 1, "c/cafe": 1}  # under letters, which no level is
    assert options_for_layout(counts, Choice(), recognise(counts)) == "--option nested=true"


@pytest.mark.parametrize(
    "names",
    [("VG_100K", "VG_100K_2"), ("photo", "photo-2", "Photo_3"), ("set a", "set a part2"), ("x", "x_part_10")],
)
def test_a_folder_and_its_numbered_parts_are_no_classes(names):
    with pytest.raises(ItlError, match="differ by a number alone, as parts of one set of images do"):
        recognise(dict.fromkeys(names, 2))
    assert recognise(dict.fromkeys(names, 2), Choice(class_level=1)).classes == sorted(names)


@pytest.mark.parametrize("names", [("5", "5-10"), ("cat", "cat 2", "dog"), ("cat", "cat2"), ("cat", "cat_b")])
def test_other_names_that_begin_alike_are_classes(names):
    assert recognise(dict.fromkeys(names, 2)).classes == sorted(names)


@pytest.mark.parametrize(
    "name",
    ["unlabeled_images", "Unlabelled-Data", "unlabeled photos", "unsorted", "unclassified", "no_label"],
)
def test_unlabelled_images_in_other_words_are_left_out_and_counted(name):
    layout = recognise({"cat": 2, "dog": 2, name: 5})
    assert layout.classes == ["cat", "dog"]
    assert +layout.left_out == {f"images in folders called {name}": 5}


@pytest.mark.parametrize("name", ["unlabeled cats", "seg_pred", "no_labels_left", "casino_label"])
def test_with_words_of_a_class_they_are_one(name):
    assert recognise({"cat": 2, "dog": 2, name: 5}).classes == sorted(["cat", "dog", name])


RANKS = "kingdom,phylum,class,order,species"
ANIMALS = {"a.jpg": "Animalia,Chordata,Aves,x,one", "b.jpg": "Animalia,Chordata,Aves,x,two"}


def test_a_rank_called_class_is_not_taken_for_the_label_of_a_list(tmp_path):
    lines = [f"file_name,{RANKS}", *(f"{name},{row}" for name, row in ANIMALS.items())]
    path = written(tmp_path, dict.fromkeys(ANIMALS, jpeg()) | {"metadata.csv": "\n".join(lines).encode()})
    assert (
        "metadata.csv may have its label in class, order or species; choose one with the option label="
        in (refusal("lists", path))
    )
    assert read("lists", path, label="species") == {"a.jpg": ("train", "one"), "b.jpg": ("train", "two")}
    assert read("lists", path, label="class") == {"a.jpg": ("train", "Aves"), "b.jpg": ("train", "Aves")}


def test_a_rank_called_class_is_not_taken_for_the_label_of_a_sample(tmp_path):
    row = {"phylum": "Chordata", "class": "Aves", "species": "one"}
    of_other = sample("2.png", PNG, cls="two", json={**row, "species": "two"})
    tarred(tmp_path / "train-0.tar", sample("1.png", PNG, cls="one", json=row) | of_other)
    assert refusal("webdataset", tmp_path) == (
        "train-0.tar: 1.json may have its label in class or species; write it as KEY.cls, and take the "
        "option label=cls"
    )
    assert {label for _, label in read("webdataset", tmp_path, label="cls").values()} == {"one", "two"}


def test_a_label_beside_ranks_is_one(tmp_path):
    row = {"phylum": "Chordata", "class": "Aves", "species": "x"}
    tarred(
        tmp_path / "train-0.tar",
        sample("1.png", PNG, json={**row, "label": "one"})
        | sample("2.png", PNG, json={**row, "label": "two"}),
    )
    assert {label for _, label in read("webdataset", tmp_path).values()} == {"one", "two"}


SPLIT_FILES = {  # which divide, and whether the source lists reads them
    "split_zhou_Pets.json": (
        json.dumps({"train": [["cat/cat_0.jpg", 0, "cat"]], "test": [["cat/cat_2.jpg"]]}),
        False,
    ),
    "test.json": (json.dumps(["cat/cat_2.jpg", "cat/cat_3.jpg"]).replace("/", "\\/"), False),
    "splits.yaml": ("train: [cat/cat_0.jpg]\ntest:\n - cat/cat_2.jpg\n", False),
    "split.csv": ("image,split\ncat/cat_0.jpg,1\ncat/cat_2.jpg,0\n", False),
    "is_train.tsv": ("image\tis_train\ncat/cat_0.jpg\tTrue\ncat/cat_2.jpg\tFalse\n", False),
    "labels.csv": ("image,split\n" + "".join(f"{name},{HALVES[name]}\n" for name in HALVES), True),
    "splits.txt": ("".join(f"{name} {HALVES[name]}\n" for name in HALVES), True),
    "parts.csv": ("".join(f"{name},{HALVES[name]}\n" for name in HALVES), True),
}


def test_food_101_lists_its_images_in_json_without_their_suffix(tmp_path):
    images = {f"images/pie/{number}.png": PNG for number in range(4)}
    listed = {"meta/train.json": {"pie": ["pie/0", "pie/1"]}, "meta/test.json": {"pie": ["pie/2", "pie/3"]}}
    path = written(tmp_path, images | {name: json.dumps(text).encode() for name, text in listed.items()})
    assert "meta/test.json divides the images" in refusal("folder", path)


@pytest.mark.parametrize("name", SPLIT_FILES)
def test_files_of_splits_beside_class_folders_are_not_passed_over(tmp_path, name):
    text, is_list = SPLIT_FILES[name]
    path = written(tmp_path, IN_CLASSES | {name: text.encode()})
    assert refusal("folder", path) == (
        f"{name} divides the images, which by their folders alone would all be train; "
        f"{READ if is_list else AS_CSV}{path}{'' if is_list else ' --option train=FILE'}`; "
        f"for the folders alone, choose how to read it: "
        f"--option class_level=1 (2 classes, cat, dog; train 8 images)"
    )
    assert read("folder", path, class_level=1) == {name: ("train", name[:3]) for name in IN_CLASSES}
    if is_list:
        assert read("lists", path) == DIVIDED


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", json.dumps({"train": {"epochs": 3}, "test": {"epochs": 0}})),
        ("test.json", json.dumps({"images": [{"file_name": "cat_0.jpg"}], "annotations": [{"bbox": [1]}]})),
        ("val_predictions.json", json.dumps({"cat_0.jpg": 0.5, "cat_1.jpg": 0.1})),
        ("test_results.json", json.dumps({"cat_0.jpg": 0.5, "cat_1.jpg": 0.1})),
        (
            "texts.json",
            json.dumps([{"image": f"cat_{n}.jpg", "text": "a train at the test"} for n in range(3)]),
        ),
        ("run.yaml", "train: {lr: 0.1}\nval: {every: 1}\nshow: cat/cat_0.jpg\n"),
        ("data.yaml", "train: images/train\nval: images/val\nnames: [cat, dog]\n"),
        ("folds.csv", "image,fold\ncat_0.jpg,0\ncat_1.jpg,1\ncat_2.jpg,2\n"),
        ("notes.txt", "cat_0.jpg is of train\n"),
        ("cat/cat_0.json", json.dumps({"image": "cat_0.jpg", "split": "test"})),
    ],
)
def test_other_files_divide_nothing(tmp_path, name, text):
    path = written(tmp_path, IN_CLASSES | {name: text.encode()})
    assert set(read("folder", path).values()) == {("train", "cat"), ("train", "dog")}


@pytest.mark.parametrize(
    "name",
    ["train_test_split.mat", "test.xlsx", "test.lst", "holdout.csv", "eval.txt", "query_list.txt"],
)
def test_a_division_that_is_not_read_is_a_note(tmp_path, name):
    files = {
        name: b"cat/cat_0.jpg\n",
        "features.npy": b"x",
        "eval_scores.csv": b"epoch,x\n",
        "list.txt": b"x",
    }
    path = written(tmp_path, IN_CLASSES | files)
    note = f"not read: {name}, by the name a division of the images, which are all train"
    assert f"note: {note}" in check_lines("folder", path)
    apart = {f"{HALVES[name]}/{name}": jpeg() for name in IN_CLASSES}
    assert not any("not read" in line for line in check_lines("folder", written(tmp_path / "b", apart)))


@pytest.mark.parametrize("codes", [("0", "2"), ("fit", "eval")])
def test_codes_of_splits_in_another_list_are_not_passed_over(tmp_path, codes):
    rows = {
        "labels.csv": "image,label\n" + "".join(f"{name},{name[:3]}\n" for name in IN_CLASSES),
        "division.csv": "image,split\n" + "".join(f"{n},{codes[HALVES[n] == 'test']}\n" for n in IN_CLASSES),
    }
    path = written(tmp_path, IN_CLASSES | {name: text.encode() for name, text in rows.items()})
    assert "division.csv divides images, but their labels are in another list" in refusal("lists", path)
    assert set(read("lists", path, train="labels.csv").values()) == {("train", "cat"), ("train", "dog")}


def test_labels_that_are_named_as_a_column_may_be_called_as_splits(tmp_path):
    text = "image,label\ncat/cat_0.jpg,train\ndog/dog_0.jpg,test\n"
    path = written(tmp_path, IN_CLASSES | {"train.csv": text.encode()})
    labels = read("lists", path, label="label")
    assert labels == {"cat/cat_0.jpg": ("train", "train"), "dog/dog_0.jpg": ("train", "test")}


def test_lines_of_text_in_a_csv_are_read(tmp_path):
    texts = {
        f"{split}_places.csv": "".join(f"{n} {n[:3]}\n" for n in HALVES if HALVES[n] == split)
        for split in ("train", "test")
    }
    assert read("lists", written(tmp_path, IN_CLASSES | {n: t.encode() for n, t in texts.items()})) == DIVIDED


@pytest.mark.parametrize(
    ("lines", "first", "header"),
    [
        ("TRAIN,cat_0.jpg,cat,\nTEST,cat_2.jpg,cat,\n", "cat_0.jpg", "split,image,label"),
        ("cat;gs://x/cat_0.jpg;1\ncat;gs://x/cat_2.jpg;2\n", "gs://x/cat_0.jpg", "label,image,label2"),
        ("TRAIN,cat_0,cat\nTEST,cat_2,cat\n", "cat_0", "split,id,label"),
        ("cat_0,cat\ncat_2,cat\n", "cat_0", "id,label"),
    ],
)
def test_a_first_line_that_names_an_image_is_no_header(tmp_path, lines, first, header):
    path = written(tmp_path, IN_CLASSES | {"list.csv": lines.encode()})
    for options in ({}, {"train": "list.csv", "image": first, "label": "cat"}):
        text = refusal("lists", path, **options)
        assert f"list.csv has no header: its first line names the image {first!r}; write one above it" in text
        assert re.search(rf"such as {header}[,)]?", text)


def test_an_image_with_a_comma_in_quotes_is_one_cell(tmp_path):
    images = {name: jpeg() for name in ("a, b.jpg", "c.jpg")}
    path = written(tmp_path, images | {"train.csv": b'"a, b.jpg",cat\nc.jpg,dog\n'})
    assert read("lists", path) == {"a, b.jpg": ("train", "cat"), "c.jpg": ("train", "dog")}


def test_lists_that_are_offered_share_no_images(tmp_path):
    names = {split: [n for n in HALVES if HALVES[n] == split] for split in ("train", "test")}
    texts = {
        "art_train_kfold.txt": names["train"][::2],
        "art_crossval_kfold.txt": names["train"][1::2],
        "photo_train_kfold.txt": names["train"],
        "art_test_kfold.txt": [*IN_CLASSES],
    }
    lists = {file: "".join(f"{n} {n[:3]}\n" for n in images).encode() for file, images in texts.items()}
    path = written(tmp_path, IN_CLASSES | lists)
    text = refusal("lists", path)
    offer = "--option train=art_train_kfold.txt --option val=art_crossval_kfold.txt"
    assert text.endswith(f"choose one with {offer}")
    splits = [split for split, _ in read("lists", path, **options_in(text)).values()]
    assert (splits.count("train"), splits.count("val"), len(splits)) == (2, 2, 4)


@pytest.mark.parametrize("inner", ["", "{}/"])
def test_a_folder_without_a_split_in_its_name_is_train_beside_one_of_test(tmp_path, inner):
    outer = [f"{name}/{inner.format(name)}" for name in ("rps", "rps-test-set")]
    tree(tmp_path, *(f"{folder}{label}/1.png" for folder in outer for label in ("paper", "rock")))
    tree(tmp_path, "rps-validation/paper1.png")
    text = refusal("folder", tmp_path)
    option = f"train={outer[0][:-1]},test={outer[1][:-1]}"
    assert f"choose how to read it: --option splits={option} (2 classes, paper, rock; " in text
    labels = read("folder", tmp_path, splits=option)
    assert sorted(labels.values()) == sorted(
        (split, label) for split in ("train", "test") for label in ("paper", "rock")
    )


def test_two_json_files_for_a_split_are_named(tmp_path):
    def of(image: str) -> bytes:
        row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}
        images = [{"id": 1, "file_name": image}]
        tables = {"images": images, "annotations": [row], "categories": [{"id": 1, "name": "cat"}]}
        return json.dumps(tables).encode()

    names = ["train", "cis_val", "trans_val", "cis_test", "trans_test"]
    files = {f"{name}_annotations.json": of(f"{name}.jpg") for name in names}
    path = written(tmp_path, files | {f"images/{name}.jpg": jpeg() for name in names})
    option = "train=train_annotations.json,val=cis_val_annotations.json,test=cis_test_annotations.json"
    with pytest.raises(ItlError) as refused:
        read("coco", path)
    assert ", ".join(f"{name}_annotations.json" for name in sorted(names)) in str(refused.value)
    assert sorted(split for split, _ in read("coco", path, annotations=option).values()) == [
        "test",
        "train",
        "val",
    ]


def test_parts_beside_images_are_called_masks(tmp_path):
    images = [f"{label}/{n}{end}" for label in ("a", "b") for n in (1, 2) for end in (".jpg", "_parts_1.png")]
    path = written(tmp_path, {name: jpeg() if name.endswith("jpg") else PNG for name in images})
    assert any(
        line.startswith("note: 4 images are called like a mask of another image beside it: a/1_parts_1.png")
        for line in check_lines("folder", path)
    )


@pytest.mark.parametrize("other", ["nomask", "Unmask", "face"])
def test_people_with_a_mask_and_without_are_classes(tmp_path, other):
    path = written(tmp_path, {f"{name}/{number}.png": PNG for name in ("mask", other) for number in range(3)})
    assert {label for _, label in read("folder", path).values()} == {"mask", other}


def test_notes_on_images_are_no_list(tmp_path):
    images = {f"{number}.png": PNG for number in range(2)}
    table = b"image,label\n0.png,cat\n1.png,dog\n"
    path = written(tmp_path, images | {"train.csv": table, "notes.csv": b"0.png is broken\n1.png is small\n"})
    assert read("lists", path) == {"0.png": ("train", "cat"), "1.png": ("train", "dog")}


@pytest.mark.parametrize(
    "classes",
    [
        ["no label", "good label", "torn"],
        ["covid", "covid-19"],
        ["mask", "nomask"],
        ["Boeing 737", "Boeing 737-200"],
    ],
)
def test_names_of_ordinary_classes_are_read(tmp_path, classes):
    images = {f"{name}/{name[:2]}_{number}.png": PNG for name in classes for number in range(3)}
    assert {label for _, label in read("folder", written(tmp_path, images)).values()} == {*classes}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.json", json.dumps([{"file": f"cat_{n}.jpg", "split": "train"} for n in range(4)])),
        ("tags.json", json.dumps({f"cat_{n}.jpg": ["train", "outdoor"] for n in range(4)})),
        ("errors.json", json.dumps({"phase": "val", "wrong": ["cat_0.jpg", "cat_1.jpg"]})),
        ("test_config.yaml", "show: [cat_0.jpg, cat_1.jpg]\n"),
        ("texts.json", json.dumps({f"cat_{n}.jpg": "a train, dev, test" for n in range(4)})),
        ("cameras.csv", "image,camera\ncat_0.jpg,0\ncat_1.jpg,1\n"),
        ("used.csv", "image,is_train\ncat_0.jpg,1\ncat_1.jpg,1\n"),
        ("how_to_train_and_test.txt", "train as on cat_0.jpg\n"),
    ],
)
def test_files_that_say_one_split_or_something_else_divide_nothing(tmp_path, name, text):
    path = written(tmp_path, IN_CLASSES | {name: text.encode()})
    assert read("folder", path) == {image: ("train", image[:3]) for image in IN_CLASSES}


def test_digits_beside_a_table_of_one_are_classes(tmp_path):
    images = {f"{digit}/{number}.png": PNG for digit in range(1, 4) for number in range(10, 13)}
    path = written(tmp_path, images | {"1_stats.json": b"{}"})
    assert {label for _, label in read("folder", path).values()} == {"1", "2", "3"}


def test_train_may_be_a_label_where_a_header_says_so(tmp_path):
    table = b"image,label\n0.png,train\n1.png,test\n"
    path = written(tmp_path, {"0.png": PNG, "1.png": PNG, "photos.csv": table})
    assert read("lists", path) == {"0.png": ("train", "train"), "1.png": ("train", "test")}
