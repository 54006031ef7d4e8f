"""Sources on small trees and archives: what is listed, what is left out, and what is refused."""

import pickle
import zipfile
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest

from itl import ItlError
from itl.sources.folders.class_folders import ClassFolders
from itl.sources.registry import open_source
from tests.annotated import check_lines, jpeg, written
from tests.pictures import CAR, FOX, listed, tarred, tree

SPLIT = ["train/cat/1.jpg", "train/dog/2.PNG", "validation/cat/3.jpeg", "validation/dog/4.jpg"]


def test_a_folder_with_splits(tmp_path):
    tree(
        tmp_path,
        *SPLIT,
        "train/.DS_Store",
        "train/cat/Thumbs.db",
        "__MACOSX/train/cat/._1.jpg",
        "train/cat/notes.txt",
        "readme.jpg",
        ".cache/",
    )
    assert listed(open_source("folder", tmp_path)) == [
        ("train/cat/1.jpg", "cat", "train"),
        ("train/dog/2.PNG", "dog", "train"),
        ("validation/cat/3.jpeg", "cat", "val"),
        ("validation/dog/4.jpg", "dog", "val"),
    ]


def test_a_class_called_train_is_read_where_the_user_says_that_no_folder_is_a_split(tmp_path):
    tree(tmp_path, "car/1.jpg", "train/2.jpg", "train/deep/er/3.jpg")
    with pytest.raises(
        ItlError, match="--option splits=none --option class_level=1 .2 classes, car, train; tr"
    ):
        ClassFolders(tmp_path).records()
    assert listed(ClassFolders(tmp_path, splits="none", class_level=1)) == [
        ("car/1.jpg", "car", "train"),
        ("train/2.jpg", "train", "train"),
        ("train/deep/er/3.jpg", "train", "train"),
    ]


@pytest.mark.parametrize("prefix", ["", "./", "photos/", "./photos/"])
@pytest.mark.parametrize("make", ["tar", "zip"])
def test_archives_give_the_same_records_as_folders(tmp_path, prefix, make):
    path = tmp_path / f"photos.{make}"
    if make == "tar":
        tarred(path, {prefix + name: name.encode() for name in SPLIT})
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in SPLIT:
                archive.writestr(prefix + name, name.encode() * 9)
    source = ClassFolders(path)
    assert listed(source) == listed(ClassFolders(tree(tmp_path / "plain", *SPLIT)))
    assert source.read(source.records()[0]).startswith(b"train/cat/1.jpg")
    assert pickle.loads(pickle.dumps(source)).records() == source.records()


def test_folders_of_one_name_are_not_one_class(tmp_path):
    tree(tmp_path, "caf\u00e9/1.jpg", "cafe\u0301/2.jpg", "fox/1.jpg")
    with pytest.raises(
        ItlError, match=r"cafe\\u0301' and '.*caf\\xe9' are one name, with accents written in"
    ):
        ClassFolders(tmp_path).records()


def test_archives_among_class_folders_are_named(tmp_path):
    tree(tmp_path / "in", "cat/1.jpg", "dog/1.jpg", "dog/more.tar.gz", "fox.zip")
    assert ClassFolders(tmp_path / "in").left_out == {"archives that are not opened (dog/more.tar.gz …)": 2}
    tree(tmp_path / "cat", "cat/1.jpg", "dog.zip", "fox.zip")
    with pytest.raises(
        ItlError,
        match="all images are of one class, 'cat'.*; dog.zip, fox.zip in this folder are not opened",
    ):
        ClassFolders(tmp_path / "cat").records()


def test_hidden_folders_of_images_that_may_be_classes_are_named(tmp_path):
    tree(tmp_path, "9mm/1.jpg", "12 gauge/1.jpg", ".22 LR/a/1.jpg", ".22 LR/.22 LR_2.jpg", ".22 LR/._3.jpg")
    tree(tmp_path, ".Trash-1000/files/9mm/1.jpg", ".ipynb_checkpoints/1-checkpoint.jpg", ".a/readme.txt")
    reason = "images in the hidden folder .22 LR (if it is a class, rename it and them, without a first dot)"
    assert ClassFolders(tmp_path).left_out == {reason: 2, "stray files": 4}
    with zipfile.ZipFile(tmp_path.parent / "a.zip", "w") as archive:
        for file in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
            archive.write(file, file.relative_to(tmp_path))
    assert ClassFolders(tmp_path.parent / "a.zip").left_out == {reason: 2, "stray files": 4}


def test_every_file_in_a_stray_folder_counts(tmp_path):
    tree(
        tmp_path, "cat/1.jpg", "cat/.cache/a/1.jpg", "cat/.cache/2.jpg", "$RECYCLE.BIN/3.jpg", "dog/.DS_Store"
    )
    tree(tmp_path, "dog/1.pnm", "dog/2.mpo")
    source = ClassFolders(tmp_path)
    assert [record.id for record in source.records()] == ["cat/1.jpg", "dog/1.pnm", "dog/2.mpo"]
    assert source.left_out == {"stray files": 4}


def test_a_link_among_images_in_the_current_folder_is_one_of_them(tmp_path, monkeypatch):
    tree(tmp_path, "0.jpg", "1.jpg", "2.jpg")
    (tmp_path / "3.jpg").symlink_to("0.jpg")
    (tmp_path / "train.csv").write_text("image,label\n0.jpg,cat\n1.jpg,dog\n")
    (tmp_path / "test.csv").write_text("image,label\n3.jpg,cat\n2.jpg,dog\n")
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path, Path()):
        assert len(open_source("lists", path).records()) == 4


def test_links_in_folders_are_followed_but_not_round_in_circles(tmp_path):
    tree(tmp_path, "far/1.jpg", "here/dog/2.jpg")
    (tmp_path / "here/cat").symlink_to(tmp_path / "far")
    (tmp_path / "here/dog/loop").symlink_to(tmp_path / "here")
    (tmp_path / "here/dog/3.jpg").symlink_to("nowhere")
    source = ClassFolders(tmp_path / "here")
    assert [record.id for record in source.records()] == ["cat/1.jpg", "dog/2.jpg"]
    assert source.left_out == {"links to a folder they are in": 1, "links that lead nowhere": 1}


def test_names_map_to_wnids(tmp_path):
    tree(tmp_path, "red fox/1.jpg", "sofa/2.jpg")
    (tmp_path / "names.csv").write_text(f"name,wnid\nred fox,{FOX}\nsofa,{CAR}\n")
    for path in ("names.csv", str(tmp_path / "names.csv")):
        source = open_source("folder", tmp_path, classes=path)
        assert [record.wnid for record in source.records()] == [FOX, CAR]
    (tmp_path / "names.csv").write_text("name,wnid\nred fox,\n")
    with pytest.raises(ItlError, match="names.csv, line 2: 'red fox,' lacks a class or its label"):
        open_source("folder", tmp_path, classes="names.csv").records()
    with pytest.raises(
        ItlError, match="the option classes names the file gone.csv, which is neither in .* nor in"
    ):
        open_source("folder", tmp_path, classes="gone.csv")


def test_val_fraction_is_a_part_of_each_class_chosen_by_name(tmp_path):
    names = [f"{kind}/{number}.jpg" for kind in "ab" for number in range(10)] + ["c/0.jpg"]
    tree(tmp_path, *names)
    source = ClassFolders(tmp_path, val_fraction=0.2)
    splits = {record.id: record.split for record in source.records()}
    assert [sum(splits[name] == "val" for name in names if name[0] == kind) for kind in "abc"] == [2, 2, 0]
    assert splits == {record.id: record.split for record in source.records()}
    few = Counter(record.split for record in ClassFolders(tmp_path, val_fraction=0.01).records())
    assert few == {"train": 19, "val": 2}, "one of each class that has two"
    with pytest.raises(ItlError, match="0 or more and less than 1, not 20"):
        ClassFolders(tmp_path, val_fraction=20).records()


def test_images_of_one_name_in_two_classes_that_are_merged_are_two_photos(tmp_path):
    tree(tmp_path, *(f"{kind}/{number}.jpg" for kind in ("cat", "dog", "car", "bus") for number in range(10)))
    merged = tmp_path.with_name("merged.csv")
    merged.write_text("class,label\ncat,pet\ndog,pet\ncar,vehicle\nbus,vehicle\n")
    records = open_source("folder", tmp_path, classes=str(merged), val_fraction=0.1).records()
    held_out = {record.id for record in records if record.split == "val"}
    ranked = sorted((record.id for record in records), key=lambda id: sha256(id.encode()).digest())
    pets, vehicles = ([id for id in ranked if id[:3] in kinds] for kinds in ({"cat", "dog"}, {"car", "bus"}))
    assert held_out == {*pets[:2], *vehicles[:2]}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["train/cat/1.jpg", "train/fox/1.jpg", "val/dog/2.jpg"],
            "val has 1 class that train does not have, such as dog",
        ),
        (
            ["train/cat/1.jpg", "train/fox/1.jpg", "train/dog/"],
            "1 class folder holds no images, such as train/dog",
        ),
        (
            ["train.zip", "val.zip"],
            "holds no images: train.zip, val.zip in this folder are not opened; unpack each: `unzip",
        ),
        (["cat/1.jpg", "fox/1.jpg", "dog/notes.txt"], "1 class folder holds no images, such as dog"),
        (["1.jpg"], "it holds 1 image, but no class folders; put the images of"),
        (["readme.txt"], "in folders of classes and found only readme.txt; give another path"),
        (["a.txt", "b.txt"], "and found 2 other files, such as a.txt; give another path, or put"),
        ([], ".tiff, .webp in folders of classes and found nothing; give another path, or put"),
        (["train.beton"], "train.beton is FFCV's format"),
    ],
)
def test_trouble_is_one_line_and_check_says_it_too(tmp_path, names, message):
    tree(tmp_path, *names)
    with pytest.raises(ItlError, match=message):
        ClassFolders(tmp_path).records()
    lines = check_lines("folder", tmp_path)
    assert lines[0].startswith("problem: ")
    assert message in lines[0]
    assert all("\n" not in line for line in lines)


def test_empty_classes_can_be_skipped(tmp_path):
    tree(tmp_path, "cat/1.jpg", "fox/1.jpg", "dog/")
    assert [record.wnid for record in ClassFolders(tmp_path, empty="skip").records()] == ["cat", "fox"]


def test_an_empty_folder_of_images_beside_classes_is_no_class(tmp_path):
    """As val/images of Tiny ImageNet, once its images are sorted; a class may be called so, or unknown."""
    tree(tmp_path, *(f"{split}/{label}/1.jpg" for split in ("train", "val") for label in ("cat", "fox")))
    tree(tmp_path, "val/images/")
    assert len(ClassFolders(tmp_path).records()) == 4
    tree(tmp_path, "val/unknown/")
    with pytest.raises(ItlError, match="1 class folder holds no images, such as val/unknown"):
        ClassFolders(tmp_path).records()


@pytest.mark.parametrize(
    ("train", "others", "splits"),
    [
        (["cat", "unknown"], ["test/unknown"], {"train": 2, "test": 1}),
        (["cat", "unknown"], ["val/unknown", "test/unknown"], {"train": 2, "val": 1, "test": 1}),
        (["cat", "unknown"], ["val/cat", "test/unknown"], {"train": 2, "val": 1, "test": 1}),
        (["cat", "unknown"], ["test/all"], {"train": 2}),
        (["cat", "dog"], ["test/unknown"], {"train": 2}),
        (["cat", "dog", "images"], ["test/images"], None),  # where images of any class lie
    ],
)
def test_a_folder_called_unknown_is_a_class_of_a_split_if_it_is_one_of_another(
    tmp_path, train, others, splits
):
    tree(tmp_path, *(f"train/{label}/1.jpg" for label in train), *(f"{folder}/2.jpg" for folder in others))
    source = ClassFolders(tmp_path)
    if splits:
        assert Counter(record.split for record in source.records()) == splits
    else:
        with pytest.raises(
            ItlError, match="'images' is no class by its name, but where images of any class lie"
        ):
            source.records()


def test_check_counts_and_names_what_val_lacks(tmp_path):
    tree(tmp_path, f"train/{FOX}/1.jpg", f"train/{FOX}/2.jpg", "train/cat/3.jpg", f"val/{FOX}/4.jpg")
    assert check_lines("folder", tmp_path)[2:6] == [
        "note: val has no image of 1 class, such as cat",
        "val: 1 image in 1 class, 1 for each class",
        "train: 3 images in 2 classes, 1 to 2 for each class",
        "classes: 1 ILSVRC class, 1 plain name (cat)",
    ]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("imagnet", {}, "did you mean 'imagenet'"),
        ("folder", {"clases": "x"}, "did you mean 'classes'"),
        ("folder", {}, "there is nothing at"),
        ("imagenet", {}, "there is nothing at"),
        ("tiny-imagenet", {}, "there is nothing at"),
        ("cifar100", {}, "no complete CIFAR-100"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(tmp_path, kind, options, message):
    lines = check_lines(kind, tmp_path / "gone", **options)
    assert message in lines[0]
    assert lines[0].startswith("problem: ")


def test_what_is_held_out_of_classes_of_one_image_is_nothing(tmp_path):
    tree(tmp_path, "cat/1.jpg", "dog/2.jpg")
    cure = "give classes more, or a split val or test instead"
    with pytest.raises(
        ItlError, match=f"val_fraction=0.5 holds out no image, as every class .* alone; {cure}"
    ):
        ClassFolders(tmp_path, val_fraction=0.5).records()


def test_images_of_other_formats_alone_are_named(tmp_path):
    tree(tmp_path, "cat/1.heic", "cat/2.heic")
    with pytest.raises(
        ItlError, match="holds 2 images in formats that are not read, such as cat/1.heic; convert"
    ):
        ClassFolders(tmp_path).records()


def test_a_source_that_can_make_a_val_names_the_option(tmp_path):
    tree(tmp_path, "cat/1.jpg", "dog/2.jpg")
    note = "this source alone; the option val_fraction=0.1 makes a tenth of each class val"
    assert f"note: no val or test images; nothing can be measured on {note}" in check_lines(
        "folder", tmp_path
    )


def test_a_class_that_is_called_unlabelled_is_said_where_options_make_it_one(tmp_path):
    tree(
        tmp_path, *(f"AID/{name}/{number}.jpg" for name in ("cat", "dog", "unlabeled") for number in range(2))
    )
    said = "note: 'unlabeled' is a class of its own; if its images have no label, move it elsewhere"
    assert said in check_lines("folder", tmp_path, class_level=2)
    inside = check_lines("folder", tmp_path / "AID")
    assert said not in inside
    assert "2 images in folders called unlabeled" in " ".join(inside)
    tree(tmp_path / "two", *(f"{name}/{number}.jpg" for name in ("cat", "unknown") for number in range(2)))
    assert "'unknown' is a class" not in " ".join(check_lines("folder", tmp_path / "two", class_level=1))


def test_a_list_that_keeps_one_class_of_several_is_refused(tmp_path):
    tree(tmp_path, "cat/1.jpg", "dog/1.jpg", "fox/1.jpg")
    (tmp_path / "one.txt").write_text("cat\n")
    with pytest.raises(
        ItlError, match="one.txt keeps one class of 3, cat, and one alone tells nothing apart"
    ):
        open_source("folder", tmp_path, classes="one.txt").records()
    (tmp_path / "merged.csv").write_text("name,label\ncat,pet\ndog,pet\n")
    merged = open_source("folder", tmp_path, classes="merged.csv").records()
    assert {record.wnid for record in merged} == {"pet"}, "which its lines say"
    (tmp_path / "two.txt").write_text("cat\nfox\n")
    assert [record.wnid for record in open_source("folder", tmp_path, classes="two.txt").records()] == [
        "cat",
        "fox",
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("crane", r"line 1: 'crane' may be n02012849 \(.*\) or n03126707 \(.*\); give the wnid"),
        ("gizmo", "line 1: the images have several classes 'gizmo'; give the wnid of one"),  # not in WordNet
        ("n02012849", ""),
        ("Tinca_tinca", ""),
    ],
)
def test_a_name_that_two_classes_of_the_images_have_is_none(tmp_path, line, says):
    folders = "n02012849_crane", "n03126707_crane", "n01440764_tench", "n00000001_gizmo", "n00000002_gizmo"
    tree(tmp_path, *(f"{folder}/1.jpg" for folder in folders))
    (tmp_path / "list.txt").write_text(f"{line}\nn03126707\n")
    source = open_source("folder", tmp_path, classes="list.txt")
    if not says:
        assert len({record.wnid for record in source.records()}) == 2
        return
    with pytest.raises(ItlError, match=says):
        source.records()


def test_classes_of_a_list_that_no_image_has_are_named(tmp_path):
    """A wnid with a slip is no error, since lists are often of more images than lie here; but it is said."""
    tree(tmp_path, f"{FOX}/1.jpg", "dog/1.jpg")
    (tmp_path / "list.txt").write_text(f"{FOX}\ndog\nbird\nn02085621\n")
    source = open_source("folder", tmp_path, classes="list.txt")
    assert {record.wnid for record in source.records()} == {FOX, "dog"}
    lacking = "no images of 2 classes that it lists: n01503061 (bird), n02085621"
    assert source.labelled_by == f"their folders and {tmp_path}/list.txt ({lacking})"
    assert f"by {source.labelled_by}" in check_lines("folder", tmp_path, classes="list.txt")[1]


def test_a_folder_that_a_link_brings_twice_is_refused(tmp_path):
    tree(tmp_path / "one", "cat/1.jpg", "dog/1.jpg")
    (tmp_path / "one/kitten").symlink_to("cat")
    with pytest.raises(
        ItlError, match="one/kitten and .*one/cat are one folder, as one is a link, so each of"
    ):
        open_source("folder", tmp_path / "one").records()
    (tmp_path / "one/kitten").unlink()
    tree(tmp_path / "two", "train/cat/1.jpg", "train/dog/1.jpg")
    (tmp_path / "two/val").symlink_to("train")
    with pytest.raises(ItlError, match="two/val/cat and .*two/train/cat are one folder"):
        open_source("folder", tmp_path / "two").records()
    (tmp_path / "two/val").unlink()
    (tmp_path / "two/val").symlink_to("../one")
    assert len(open_source("folder", tmp_path / "two").records()) == 4, "images of another folder"


def test_masks_beside_images_are_said(tmp_path):
    """As in BUSI: they are read as images of the class."""
    names = (
        "cat/a (1).png",
        "cat/a (1)_mask.png",
        "cat/a (1)_mask_1.png",
        "cat/cat_mask.png",
        "dog/mask.png",
        "dog/1.jpg",
        "dog/1_Seg.png",
    )
    tree(tmp_path, *names)
    said = "note: 3 images are called like a mask of another image beside it"
    masks = "cat/a (1)_mask.png, cat/a (1)_mask_1.png, dog/1_Seg.png"
    assert f"{said}: {masks}; move masks elsewhere" in check_lines("folder", tmp_path)


@pytest.mark.parametrize(
    "word",
    ["gt", "GT", "Segmentation", "segmentations_12", "ground_truth", "label", "labels_1", "superpixels"],
)
def test_masks_of_other_names_are_said(tmp_path, word):
    tree(
        tmp_path,
        "cat/a long name.jpeg",
        f"cat/a long name_{word}.jpeg",
        f"dog/{word}.jpeg",
        f"dog/b_{word}.jpeg",
    )
    said = "note: 1 image is called like a mask of another image beside it"
    assert f"{said}: cat/a long name_{word}.jpeg; move masks elsewhere" in check_lines("folder", tmp_path)


def test_an_image_with_another_word_behind_the_name_of_one_is_no_mask(tmp_path):
    tree(
        tmp_path,
        "cat/1.jpg",
        "cat/1_labelled.jpg",
        "cat/1gt.jpg",
        "cat/1_gte.jpg",
        "dog/1_pixels.jpg",
        "dog/1.jpg",
    )
    assert not [line for line in check_lines("folder", tmp_path) if "mask" in line]


def test_classes_that_differ_in_case_or_blanks_are_named_and_images_that_are_not_read_too(tmp_path):
    tree(
        tmp_path,
        "Cat/1.jpg",
        "cat/1.jpg",
        "cat /1.jfif",
        "dog/1.jpg",
        "dog/2.HEIC",
        "dog/3.avif",
        "dog/a.txt",
    )
    lines = check_lines("folder", tmp_path)
    assert "note: Cat and cat and cat  differ in case or blanks alone" in lines
    assert (
        lines[1].partition("left out: ")[2]
        == "2 images in formats that are not read (.avif, .heic), 1 other file"
    )
    assert "note: 2 images are left out for their format; convert them to JPEG" in lines


def test_what_a_source_takes_is_said_of_paths_alone(tmp_path):
    tree(tmp_path, "cat/1.jpg", "dog/1.jpg")
    (tmp_path / "list.txt").write_text("cat\nzzz\n")
    assert check_lines("folder", tmp_path, classes="list.txt") == [
        f"problem: {tmp_path}/list.txt, line 2: neither the images nor the tree have a class 'zzz'; the "
        "images have cat, dog"
    ]
    assert [line[:19] for line in check_lines("folder", tmp_path, nestd=True)] == ["problem: no option "]
    assert [line[:13] for line in check_lines("folder", None)] == ["problem: sour", "folder takes "]
    (tmp_path / "text").write_text("root:x:0:0\n")
    problem, takes = check_lines("folder", tmp_path / "text")
    assert "text is no tar, or damaged from its first byte" in problem
    assert takes.startswith("folder takes ")


def test_a_class_with_a_line_end_in_its_name_breaks_no_line(tmp_path):
    tree(tmp_path, "train/a\nb/1.jpg", "train/c/1.jpg", "val/c/1.jpg")
    lines = check_lines("folder", tmp_path)
    assert not any("\n" in line for line in lines)
    assert "labels: 2 classes, such as a\\nb; by their folders; nothing left out" in lines
    assert "note: val has no image of 1 class, such as a\\nb" in lines
    assert "  train: a\\nb 1, c 1" in lines


@pytest.mark.parametrize("end", ["", ".jpg?w=640", ".jpg_large"])
def test_images_without_a_suffix_beside_others_are_noted(tmp_path, end):
    pictures = {f"{label}/{number}.jpg": jpeg() for label in ("cat", "dog") for number in range(2)}
    others = {"dog/notes.txt": b"x", "dog/2.json": b"{}", "dog/Makefile": b"x", "other": jpeg()}
    path = written(tmp_path, pictures | others)
    assert not [line for line in check_lines("folder", path) if "such as .jpg" in line], "as none is an image"
    written(tmp_path, {f"dog/x{number}{end}": jpeg() for number in range(3)})
    assert (
        f"note: without a suffix such as .jpg, 3 images are left out; give each one, as in 'dog/x0{end}.jpg'"
    ) in check_lines("folder", path)
    written(tmp_path, {f"dog/{number:02}.yaml": b"x" for number in range(18)})
    assert (
        f"note: without a suffix such as .jpg, 1 image is left out (of 22 such files 20 were opened); give "
        f"each one, as in 'dog/x0{end}.jpg'"
    ) in check_lines("folder", path)


@pytest.mark.parametrize("name", ["split.csv", "test.list", "test.parquet"])
def test_a_file_called_a_division_that_is_not_understood_is_noted(tmp_path, name):
    tree(tmp_path, "cat/1.jpg", "dog/1.jpg")
    (tmp_path / name).write_text("image,part\ncat/1.JPEG,A\ndog/2.jpg,B\n")
    assert ClassFolders(tmp_path).notes == [
        f"not read: {name}, by the name a division of the images, which are all train"
    ]


def test_lists_of_another_division_than_that_of_the_folders_are_noted(tmp_path):
    tree(
        tmp_path,
        *(f"{split}/{label}/{n}.jpg" for n in range(3) for split in ("train", "test") for label in "ab"),
    )
    for name in ("val.txt", "splits.csv", "test.txt", "train.txt"):  # the last two as the folders
        (tmp_path / name).write_text("image,split\ntrain/a/1.jpg,val\n")
    by_folders = "which are test and train by folder"
    note = f"not read: splits.csv, val.txt, by the name a division of the images, {by_folders}"
    assert ClassFolders(tmp_path).notes == [note]
