"""The usual transfer targets with their official lists, each in small."""

import numpy as np
import pytest

from itl import ItlError
from itl.sources.files import untrusted_files
from itl.sources.published.target_sets import TARGET_SETS, TargetSet
from itl.sources.registry import SOURCES, open_source
from tests.annotated import check_lines, images, jpeg, text, written
from tests.pictures import CAR, FOX, REAL, tarred
from tests.sources import containers
from tests.sources.containers import cells, mat, mutated

CASES = REAL.parent / "cases"


def cars_rows(*rows: tuple[int, str]) -> bytes:
    kind = [("bbox_x1", "O"), ("class", "O"), ("fname", "O")]
    return mat(annotations=np.array([(1, *row) for row in rows], kind)[None])


SETS = {  # kind: files, options, images by split, classes, one image and its class
    "food101": (
        images("images/apple_pie/1.jpg", "images/apple_pie/2.jpg", "images/ramen/3.jpg", "images/ramen/4.jpg")
        | {"meta/train.txt": text("apple_pie/1", "ramen/3"), "meta/test.txt": text("apple_pie/2", "ramen/4")},
        {},
        {"train": 2, "test": 2},
        {"apple_pie", "ramen"},
        ("images/ramen/4.jpg", "ramen"),
    ),
    "dtd": (
        images("images/banded/banded_1.jpg", "images/banded/banded_2.jpg", "images/banded/banded_3.jpg")
        | {
            "labels/train3.txt": text("banded/banded_1.jpg"),
            "labels/val3.txt": text("banded/banded_2.jpg"),
            "labels/test3.txt": text("banded/banded_3.jpg"),
            "imdb/imdb.mat": b"x",
        },
        {"fold": 3},
        {"train": 1, "val": 1, "test": 1},
        {"banded"},
        ("images/banded/banded_2.jpg", "banded"),
    ),
    "mit67": (
        images("Images/bar/a b.jpg", "Images/bar/c.jpg")
        | {"TrainImages.txt": text("bar/a b.jpg"), "TestImages.txt": text("bar/c.jpg")},
        {},
        {"train": 1, "test": 1},
        {"bar"},
        ("Images/bar/c.jpg", "bar"),
    ),
    "pets": (
        images("images/yorkshire_terrier_1.jpg", "images/yorkshire_terrier_2.jpg", "images/Abyssinian_1.jpg")
        | {
            "annotations/trainval.txt": text("yorkshire_terrier_1 1 2 1"),
            "annotations/test.txt": text("yorkshire_terrier_2 1 2 1"),
            "annotations/list.txt": text("#Image CLASS-ID SPECIES BREED ID"),
        },
        {},
        {"train": 1, "test": 1},
        {"yorkshire_terrier"},
        ("images/yorkshire_terrier_2.jpg", "yorkshire_terrier"),
    ),
    "aircraft": (
        images("data/images/0001.jpg", "data/images/0002.jpg", "data/images/0003.jpg")
        | {
            "data/images_family_train.txt": text("0001 Boeing 707"),
            "data/images_family_val.txt": text("0002 Boeing 707"),
            "data/images_family_test.txt": text("0003 Boeing 707"),
        },
        {"labels": "family"},
        {"train": 1, "val": 1, "test": 1},
        {"Boeing 707"},
        ("data/images/0002.jpg", "Boeing 707"),
    ),
    "imagenet-lt": (
        images(f"train/{FOX}/{FOX}_1.JPEG", f"train/{FOX}/{FOX}_2.JPEG", "val/ILSVRC2012_val_00000001.JPEG")
        | {
            "ImageNet_LT_train.txt": text(f"train/{FOX}/{FOX}_1.JPEG 0"),
            "ImageNet_LT_val.txt": text(f"train/{FOX}/{FOX}_2.JPEG 0"),
            "ImageNet_LT_test.txt": text(f"val/{FOX}/ILSVRC2012_val_00000001.JPEG 0"),
        },
        {},
        {"train": 1, "val": 1, "test": 1},
        {FOX},
        ("val/ILSVRC2012_val_00000001.JPEG", FOX),
    ),
    "places365": (
        images("data_256/a/bar/0.jpg", "data_256/c/church/indoor/0.jpg", "val_256/Places365_val_1.jpg")
        | {
            "categories_places365.txt": text("/a/bar 0", "/c/church/indoor 1"),
            "places365_train_standard.txt": text("/a/bar/0.jpg 0", "/c/church/indoor/0.jpg 1"),
            "places365_val.txt": text("Places365_val_1.jpg 1"),
        },
        {},
        {"train": 2, "val": 1},
        {"bar", "church/indoor"},
        ("val_256/Places365_val_1.jpg", "church/indoor"),
    ),
    "cub200": (
        images("images/001.Ibis/Ibis_1.jpg", "images/001.Ibis/Ibis_2.jpg")
        | {
            "images.txt": text("1 001.Ibis/Ibis_1.jpg", "2 001.Ibis/Ibis_2.jpg"),
            "train_test_split.txt": text("1 1", "2 0"),
            "image_class_labels.txt": text("1 1", "2 1"),
            "classes.txt": text("1 001.Ibis"),
        },
        {},
        {"train": 1, "test": 1},
        {"001.Ibis"},
        ("images/001.Ibis/Ibis_2.jpg", "001.Ibis"),
    ),
    "flowers102": (
        images("jpg/image_00001.jpg", "jpg/image_00002.jpg", "jpg/image_00003.jpg")
        | {
            "imagelabels.mat": mat(labels=[[77, 77, 77]]),
            "setid.mat": mat(trnid=[[2]], valid=[[1]], tstid=[[3]]),
        },
        {},
        {"train": 1, "val": 1, "test": 1},
        {"77"},
        ("jpg/image_00001.jpg", "77"),
    ),
    "stanford-dogs": (
        images("Images/n02085620-Chihuahua/n02085620_1.jpg", "Images/n02085620-Chihuahua/n02085620_2.jpg")
        | {
            "train_list.mat": mat(file_list=cells("n02085620-Chihuahua/n02085620_1.jpg")),
            "test_list.mat": mat(file_list=cells("n02085620-Chihuahua/n02085620_2.jpg")),
        },
        {},
        {"train": 1, "test": 1},
        {"n02085620"},
        ("Images/n02085620-Chihuahua/n02085620_2.jpg", "n02085620"),
    ),
    "stanford-cars": (
        images("cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg")
        | {
            "devkit/cars_meta.mat": mat(class_names=cells("AM General Hummer", "Acura TL").T),
            "devkit/cars_train_annos.mat": cars_rows((2, "00001.jpg"), (1, "00002.jpg")),
            "devkit/cars_test_annos_withlabels.mat": cars_rows((2, "00001.jpg")),
        },
        {},
        {"train": 2, "test": 1},
        {"AM General Hummer", "Acura TL"},
        ("cars_test/00001.jpg", "Acura TL"),
    ),
    "mini-imagenet": (
        images("images/n01.jpg", "images/n02.jpg", "images/n03.jpg")
        | {
            "train.csv": text("filename,label", f"n01.jpg,{FOX}", f"n02.jpg,{FOX}"),
            "val.csv": text("filename,label", f"n03.jpg,{CAR}"),
        },
        {"test_images": 1},
        {"train": 1, "test": 1},
        {FOX},
        ("images/n01.jpg", FOX),
    ),
    "caltech101": (
        images(*(f"101_ObjectCategories/{name}/image_{n}.jpg" for name in ("ant", "emu") for n in (1, 2, 3)))
        | images("101_ObjectCategories/BACKGROUND_Google/image_1.jpg"),
        {"train_images": 2, "background": "drop"},
        {"train": 4, "test": 2},
        {"ant", "emu"},
        ("101_ObjectCategories/emu/image_1.jpg", "emu"),
    ),
}


def test_every_target_has_a_row():
    assert SETS.keys() == {target.kind for target in TARGET_SETS}


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("form", ["folder", "tar", "around"])
def test_official_lists(tmp_path, kind, form):
    files, options, splits, classes, (image, label) = SETS[kind]
    if form == "tar" and kind != "imagenet-lt":
        path = tarred(tmp_path / "set.tar", {f"set/{name}": data for name, data in files.items()})
    else:
        path = written(tmp_path / "set", files)
    records = open_source(kind, path, **options).records()
    assert {split: sum(one.split == split for one in records) for split in splits} == splits
    assert len(records) == sum(splits.values())
    assert {record.wnid for record in records} == classes
    assert [record.wnid for record in records if record.id.endswith(image)] == [label]
    assert all(record.member.read() == jpeg() for record in records)


@pytest.mark.parametrize("kind", SETS)
def test_a_missing_list_and_missing_images_are_said(tmp_path, kind):
    files, options, *_ = SETS[kind]
    no_images = {name: data for name, data in files.items() if not name.lower().endswith(("jpg", "jpeg"))}
    path = written(tmp_path / "set", no_images | {"readme.md": b""})
    line = check_lines(kind, path, **options)[0]
    assert line.startswith("problem: ")
    assert "there is no such image" in line or "no images" in line or "ImageNet" in line or "train" in line


def test_archives_that_are_still_packed_are_named(tmp_path):
    path = written(
        tmp_path, {"images.tar.gz": b"", "annotations/trainval.txt": b"", "annotations/test.txt": b""}
    )
    for kind in ("pets", "food101"):
        unpack = f"`mkdir -p {path}/images && tar xf {path}/images.tar.gz -C {path}/images`"
        assert (
            f"images.tar.gz in this folder is not opened; unpack it: {unpack}" in check_lines(kind, path)[0]
        )


@pytest.mark.parametrize(
    ("second", "unlike"),
    [("a_2 01 2 1", ""), ("a_2", ""), ("a_2 2 2 1", "1 and 2 are a"), ("b_1 1 2 1", "1 is a and b")],
)
def test_breeds_and_numbers_of_classes_go_together(tmp_path, second, unlike):
    files = images("images/a_1.jpg", "images/a_2.jpg", "images/a_3.jpg", "images/b_1.jpg")
    lists = {"trainval": text("a_1 1 2 1", second), "test": text("a_3 1 2 1")}
    files |= {f"annotations/{name}.txt": content for name, content in lists.items()}
    path = written(tmp_path, files)
    source = open_source("pets", path)
    assert {record.id: record.wnid for record in source.records()} == {
        f"images/{name}.jpg": name[0] for name in ("a_1", second[:3], "a_3")
    }
    assert [note for note in source.notes if "breeds" in note] == (
        [f"class {unlike} in the lists; breeds by the names of images are taken"] if unlike else []
    )


@pytest.mark.parametrize(
    ("kind", "protocol"),
    [
        ("dtd", "DTD fold 3, 3 of 5,640 images"),
        ("aircraft", "FGVC-Aircraft family, 3 of 10,000 images, mean of the classes' accuracies"),
        (
            "caltech101",
            "Caltech-101 without background, 2 training images a class, mean of the classes' accuracies",
        ),
        ("mini-imagenet", "mini-ImageNet train classes, 1 test images of each"),
        ("pets", "Oxford-IIIT Pet, 2 of 7,349 images, mean of the classes' accuracies"),
    ],
)
def test_the_protocol_says_what_is_scored(tmp_path, kind, protocol):
    files, options, *_ = SETS[kind]
    assert open_source(kind, written(tmp_path, files), **options).protocol == protocol


def test_a_set_needs_a_kind_and_its_lists(tmp_path):
    class Mine(TargetSet):
        kind = "mine"
        lists = {"train": "train.txt"}

    mine = Mine(written(tmp_path, {"train.txt": b"cat/1.jpg\n", "cat/1.jpg": jpeg()}))
    assert (mine.layout, [record.wnid for record in mine.records()]) == ("mine", ["cat"])


def test_papers_compare_these_by_the_mean_of_each_class():
    per_class = {kind for kind, source in SOURCES.items() if source.metric == "per_class"}
    assert per_class == {"aircraft", "caltech101", "flowers102", "pets"}


PAIR = ("n02085620-Chihuahua/n02085620_1.jpg", "n02085782-Japanese/n02085782_1.jpg")


@pytest.mark.parametrize(
    ("kind", "changes", "notes"),
    [
        (
            "flowers102",
            {"imagelabels.mat": mat(labels=[[77, 77, 77, 77]])},
            ["imagelabels.mat labels 4 images, of which setid.mat divides 3; take both from one release"],
        ),
        (
            "flowers102",
            {"imagelabels.mat": mat(labels=[[0, 0, 0]])},
            ["imagelabels.mat has classes from 0 on, but those of Flowers-102 count from 1"],
        ),
        ("stanford-dogs", {"train_list.mat": mat(file_list=cells(*PAIR), labels=[[5], [7]])}, []),
        *(
            (
                "stanford-dogs",
                {"train_list.mat": mat(file_list=cells(*PAIR), labels=labels)},
                ["the labels in train_list.mat do not fit its images' folders, which are taken"],
            )
            for labels in ([[1]], [[1], [1]], [[1], [2], [2]])
        ),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_a_note(tmp_path, kind, changes, notes):
    files, *_ = SETS[kind]
    source = open_source(kind, written(tmp_path, images(f"Images/{PAIR[1]}") | files | changes))
    assert source.scan.problems == []
    assert source.notes == notes


TWO_BIRDS = images("images/001.Ibis/Ibis_1.jpg", "images/002.Auk/Auk_1.jpg") | {
    "images.txt": text("1 001.Ibis/Ibis_1.jpg", "2 002.Auk/Auk_1.jpg"),
    "train_test_split.txt": text("1 1", "2 1"),
    "image_class_labels.txt": text("1 1", "2 2"),
    "classes.txt": text("1 001.Ibis", "2 002.Auk"),
}


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        (
            "cub200",
            {"image_class_labels.txt": text("1 2", "2 1")},
            "images/001.Ibis/Ibis_1.jpg is '002.Auk' by its list, and '001.Ibis' by its folder; correct one",
        ),
        ("cub200", {"image_class_labels.txt": text("1 1", "2 2", "1 2")}, "says both '1' and '2' of image 1"),
        ("cub200", {"train_test_split.txt": text("1 1", "2 1", "2 0")}, "says both '1' and '0' of image 2"),
        ("cub200", {"train_test_split.txt": text("1 1", "2 2")}, "has '2'; 1 is train, and 0 is test"),
        ("cub200", {"classes.txt": text("1 001.Ibis", "2 001.Ibis")}, "gives '001.Ibis' two numbers"),
        ("cub200", {"old/classes.txt": text("1 001.Ibis", "2 2")}, "classes.txt and old/classes.txt differ"),
        (
            "places365",
            {"categories_places365.txt": text("/a/bar 1", "/c/church/indoor 0")},
            "data_256/a/bar/0.jpg is 'church/indoor' by its list, and 'bar' by its folder; correct one",
        ),
        (
            "places365",
            {
                "data_256/c/church/indoor/0.jpg": None,
                **images("data_256/c/church/indoor/1.jpg", "data_256/z/zoo/0.jpg"),
            },
            "lists 'c/church/indoor/0.jpg', but there is no such image; copy it again, or remove it",
        ),
        (
            "places365",
            images("data_large/a/bar/0.jpg"),
            "could be any of data_256/a/bar/0.jpg, data_large/a/b",
        ),
        (
            "imagenet-lt",
            {f"train/{FOX}/{FOX}_1.JPEG": None, **images(f"train/{FOX}/{FOX}_1.jpg")},
            f"_1.JPEG', but there is no such image; did you mean train/{FOX}/{FOX}_1.jpg?",
        ),
        ("mini-imagenet", {"train.csv": text("filename,label", f"{FOX}1.jpg,{CAR}")}, f"its name says {FOX}"),
        ("mit67", {"TrainImages.txt": b""}, "TrainImages.txt is empty; copy it again"),
        ("mit67", {"TrainImages.txt": "bar/c.jpg".encode("utf-16")}, "TrainImages.txt is not text in UTF-8"),
        ("mit67", {"TrainImages.txt": text("c.jpg")}, "'c.jpg' in a list of MIT-67 is not CLASS/NAME"),
        (
            "mit67",
            {"TrainImages.txt": None, "all.tar": b""},
            "all.tar in this folder is not opened; unpack it: ",
        ),
        (
            "stanford-cars",
            {
                "devkit/cars_train_annos.mat": SETS["stanford-cars"][0][
                    "devkit/cars_test_annos_withlabels.mat"
                ]
            },
            "cars_train_annos.mat and cars_test_annos_withlabels.mat are the same file",
        ),
        (
            "stanford-cars",
            {"devkit/cars_meta.mat": mat(class_names=cells("Acura TL", "Acura TL").T)},
            "cars_meta.mat gives 'Acura TL' two numbers",
        ),
        (
            "stanford-cars",
            {"devkit/cars_train_annos.mat": cars_rows((2, "00001.jpg"), (np.zeros((0, 0)), "00002.jpg"))},
            "cars_train_annos.mat has a cell with [] instead of one value; copy it again",
        ),
        (
            "stanford-cars",
            {"devkit/cars_meta.mat": mat(class_names=cells("AM General Hummer", np.zeros((0, 0))).T)},
            "cars_meta.mat has a cell with [] instead of one value; copy it again",
        ),
        (
            "stanford-dogs",
            {"test_list.mat": mat(file_list=cells(np.zeros((0, 0))))},
            "test_list.mat has a cell with [] instead of one value; copy it again",
        ),
    ],
)
def test_lists_that_contradict_each_other_or_their_folders_are_refused(tmp_path, kind, changes, says):
    files, options, *_ = SETS[kind]
    files = (TWO_BIRDS if kind == "cub200" else files) | changes
    path = written(tmp_path / "set", {name: data for name, data in files.items() if data is not None})
    (problem,) = [line for line in check_lines(kind, path, **options) if line.startswith("problem: ")][:1]
    assert says in problem
    with pytest.raises(ItlError):
        open_source(kind, path, **options).records()


@pytest.mark.parametrize("start", ["Images/", "./", "/home/me/mit67/Images/", "C:\\mit67\\"])
def test_the_class_of_a_line_is_its_folder_whatever_is_before(tmp_path, start):
    files, *_ = SETS["mit67"]
    lists = {name: text(start + files[name].decode()) for name in ("TrainImages.txt", "TestImages.txt")}
    lists["TestImages.txt"] = lists["TestImages.txt"].replace(b"/", b"\\")
    records = open_source("mit67", written(tmp_path, files | lists)).records()
    assert [(record.id, record.wnid, record.split) for record in records] == [
        ("Images/bar/a b.jpg", "bar", "train"),
        ("Images/bar/c.jpg", "bar", "test"),
    ]


def test_numbers_of_cars_may_be_stored_as_fractions(tmp_path):
    files, *_ = SETS["stanford-cars"]
    kind = [("class", object), ("fname", object)]
    row = np.array([(np.array([[2.0]]), "00001.jpg")], kind)
    path = written(tmp_path, files | {"devkit/cars_test_annos_withlabels.mat": mat(annotations=row[None])})
    assert [one.wnid for one in open_source("stanford-cars", path).records() if one.split == "test"] == [
        "Acura TL"
    ]


def test_a_published_list_that_is_not_there_is_said(tmp_path):
    files, options, *_ = SETS["dtd"]
    files = {name: data for name, data in files.items() if "/val" not in name}
    lines = check_lines("dtd", written(tmp_path, files), **options)
    assert any("0 of 1,880 val images" in line and " as published; scores cannot" in line for line in lines)


OBJECTS = "101_ObjectCategories"
ANTS_AND_EMUS = [f"{name}/image_{number}.jpg" for name in ("ant", "emu") for number in range(4)]


@pytest.mark.parametrize("kind", [*SETS, "lists"])
def test_damaged_lists_raise_nothing_but_itl_error(tmp_path, kind):
    own = images("cat/0.jpg") | {"train.csv": text("path,label", "cat/0.jpg,a")}
    files, options, *_ = SETS.get(kind, (own, {}))
    root = written(tmp_path / "set", files)
    damaged = sorted(name for name in files if not name.lower().endswith((".jpg", ".jpeg")))
    random = np.random.default_rng(0)
    refusals = []
    for number in range(100 if damaged else 0):
        name = damaged[number % len(damaged)]
        (root / name).write_bytes(mutated(files[name], random))
        try:
            open_source(kind, root, **options).records()
        except ItlError as error:
            refusals.append(str(error))
        (root / name).write_bytes(files[name])
    assert bool(refusals) == bool(damaged)
    assert not [text for text in refusals if "\n" in text]


def test_a_bomb_in_a_mat_file_is_refused(monkeypatch):
    monkeypatch.setattr(untrusted_files, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(ItlError, match="more than 0 MiB"):
        untrusted_files.refuse_large(1001, "it")


@pytest.mark.skipif(not CASES.is_dir(), reason="no folder of cases in ../shared")
@pytest.mark.parametrize(
    ("kind", "folder", "splits", "val"),
    [
        ("webdataset", "10-webdataset/imagenet-1k-wds", {"train": 8, "val": 4}, "n01440764"),
        ("parquet", "12-hf-parquet/tiny-imagenet", {"train": 8, "val": 4}, "0"),
        ("lists", "11-hf-metadata/csv", {"train": 6, "test": 6}, "cat"),
        ("lists", "11-hf-metadata/jsonl", {"train": 6, "test": 6}, "cat"),
        ("places365", "13-places365/places365-standard", {"train": 15, "val": 5}, "airfield"),
        ("pets", "32-standard-targets/oxford-iiit-pet", {"train": 2, "test": 2}, "Abyssinian"),
        ("dtd", "32-standard-targets/dtd", {"train": 2, "test": 1}, "banded"),
    ],
)
def test_cases_from_the_field(kind, folder, splits, val):
    records = open_source(kind, CASES / folder).records()
    assert {split: sum(one.split == split for one in records) for split in splits} == splits
    assert min(record.wnid for record in records if record.split != "train") == val


SIGNED = {
    kind: row for kind, row in SETS.items() if kind not in ("caltech101", "imagenet-lt", "mini-imagenet")
}
SIGNED["dtd"] = (
    {name.replace("3.txt", "1.txt"): data for name, data in SETS["dtd"][0].items()},
    {},
    *SETS["dtd"][2:],
)
SIGNED["aircraft"] = (
    {name.replace("family", "variant"): data for name, data in SETS["aircraft"][0].items()},
    {},
    *SETS["aircraft"][2:],
)


@pytest.mark.parametrize("kind", SIGNED)
def test_the_folder_source_names_the_source_of_a_published_set(tmp_path, kind):
    files, options, *_ = SIGNED[kind]
    path = written(tmp_path / "my set", files)
    with pytest.raises(ItlError, match=f"of the source {kind}: `itl check {kind} '{path}'`"):
        open_source("folder", path).records()
    assert open_source(kind, path, **options).records()


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("webdataset", containers.shards),
        ("parquet", containers.parquet),
        ("imagenet-downsampled", containers.downsampled),
        ("imagenet-downsampled", containers.downsampled_npz),
        ("cifar100", containers.cifar),
        ("cifar10", lambda root: containers.cifar(root, hundred=False)),
        ("imagenet21k", containers.imagenet21k),
    ],
)
def test_the_folder_source_names_the_source_of_a_container(tmp_path, kind, make):
    path = make(tmp_path / "set")
    for source in ("folder", "imagenet")[: 1 if kind == "cifar100" else 2]:
        with pytest.raises(ItlError, match=f"`itl check {kind} {path}`"):
            open_source(source, path).records()
    assert open_source(kind, path).records()
