"""One image, called in different ways: by lists, annotations, detections and region proposals."""

import unicodedata

import numpy as np
import pytest

from itl import ItlError
from itl.__main__ import main
from itl.sources.annotated.proposal_files import read_regions, write_regions
from itl.sources.annotated.voc_devkit import images_named, listed_images, read_list
from itl.sources.annotated.voc_xml import read_annotations
from tests.annotated import DOG, check_lines, jpeg, text, thing, written, xml

COMPOSED = "\u00e9 1"  # an e with an accent: one letter, or as macOS writes it, a letter and its accent
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)
HEADER = "image,class,score,xmin,ymin,xmax,ymax"
BOX = DOG[1]
TREE = {"Annotations/1.xml": xml(thing(*DOG)), "Annotations/sub/1.xml": xml(thing("dog", (40, 2, 50, 9)))}


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("000005", "000005"),
        ("000005.jpg", "000005"),
        ("VOC2007/JPEGImages/000005.png", "000005"),
        ("/data/images/000005.jpg", "000005"),  # as no other image is called so
        (r"C:\data\000005.jpg", "000005"),
        ("7", "sub/7"),
        ("data/sub/7.jpg", "sub/7"),
        ("other/7.jpg", None),  # neither is the end of the other
        ("1.jpg", "1"),
        ("sub/1.jpg", "sub/1"),
        ("other/1.jpg", None),  # either, or none
        ("x.png", "x.png"),  # whose file is x.png.jpg
        (DECOMPOSED, COMPOSED),
        ("000006", None),
        ("", None),
        ("sub/", None),
    ],
)
def test_a_name_means_the_one_image_that_it_can_mean(name, image):
    images = ["000005", "sub/7", "1", "sub/1", "x.png", COMPOSED]
    assert images_named([name], images) == ({} if image is None else {name: image})


def test_names_in_several_folders_mean_one_image_only_where_one_of_them_is_its_own():
    assert images_named(["a/5.jpg", "b/5.jpg"], ["5"]) == {}
    assert images_named(["a/5.jpg", "5.jpg", "5"], ["5"]) == {"5.jpg": "5", "5": "5"}


def test_a_line_means_its_first_word_unless_names_have_spaces():
    lines = read_list(b"5.xml\n'5' -1\nmy cat\n\"sub/6.jpg\"\nrock'n'roll\n5.XML ,")
    assert listed_images(lines, ["5", "6", "my cat"]) == ["5", "5", "my cat", "6", "rock'n'roll", "5"]
    lines = ["5 -1", "my cat", "/my data/JPEGImages/my cat.jpg", "nothing here", "sub/6.jpg 1"]
    assert listed_images(lines, ["5", "6", "my cat"]) == ["5", "my cat", "my cat", "nothing", "6"]


@pytest.mark.parametrize(
    ("line", "image"),
    [
        ("'img 1' 1", "img 1"),
        ('"img 1"', "img 1"),
        ("img 1 -1", "img 1"),
        ("img 1\t-1", "img 1"),
        ("'img' 1", "img"),
        ("img -1", "img"),
        ("'img 2' 1", "img 2"),  # which is refused, and is not img
        ("'a/JPEGImages/img 1.jpg' 1", "img 1"),
    ],
)
def test_a_name_with_spaces_is_never_the_image_that_its_first_word_names(line, image):
    assert listed_images([line], ["img", "img 1"]) == [image]


def scores(capsys, tree, csv: str, *more: str) -> tuple[str, str]:
    """What `itl voc-ap` prints about the detections of a *csv* without its header."""
    (tree / "detections.csv").write_text(f"{HEADER}\n{csv}")
    words = ["voc-ap", "--annotations", str(tree / "Annotations"), "--detections"]
    main([*words, str(tree / "detections.csv"), *more])
    return capsys.readouterr()


@pytest.mark.parametrize("name", ["sub/1", "sub/1.jpg"])
def test_an_image_of_a_folder_is_not_the_one_beside_it(name, tmp_path, capsys):
    tree = written(tmp_path, TREE | {"list.txt": text(name)})
    row = f"{name},dog,.9,40,2,50,9"
    assert scores(capsys, tree, row)[0] == "class,ap\ndog,0.5454545454545454\nmean,0.5454545454545454\n"
    assert scores(capsys, tree, row, "--images", str(tree / "list.txt")) == (
        "class,ap\ndog,1.0\nmean,1.0\n",
        "",
    )


def test_detections_on_two_images_of_one_name_are_not_of_one(tmp_path, capsys):
    tree = written(tmp_path, {"Annotations/1.xml": xml(thing(*DOG))})
    row = "dog,.9,5,6,30,35"
    assert (
        "no image called 'a/1.jpg' is annotated" in scores(capsys, tree, f"a/1.jpg,{row}\nb/1.jpg,{row}")[1]
    )
    assert scores(capsys, tree, f"a/1.jpg,{row}\na/1.jpg,{row}")[0] == "class,ap\ndog,1.0\nmean,1.0\n"


def test_lists_of_scored_images_may_have_spaces(tmp_path, capsys):
    files = {
        "Annotations/my cat.xml": xml(thing(*DOG)),
        "list.txt": text("my cat"),
        "other.txt": text("my dog"),
    }
    tree = written(tmp_path, files)
    row = "my cat,dog,.9,5,6,30,35"
    assert scores(capsys, tree, row, "--images", str(tree / "list.txt"))[0] == "class,ap\ndog,1.0\nmean,1.0\n"
    assert "such as 'my'" in scores(capsys, tree, row, "--images", str(tree / "other.txt"))[1]


def test_two_files_of_one_listed_image_are_refused(tmp_path):
    tree = written(tmp_path, {"A/Annotations/1.xml": xml(), "B/Annotations/1.xml": xml()})
    with pytest.raises(ItlError, match="A/Annotations/1.xml and B/Annotations/1.xml annotate one image"):
        list(read_annotations(tree))


@pytest.mark.parametrize("form", [COMPOSED, DECOMPOSED])
def test_names_with_accents_are_the_same_however_they_are_written(form, tmp_path, capsys):
    files = {
        f"Annotations/{DECOMPOSED}.xml": xml(thing(*DOG)),
        f"JPEGImages/{DECOMPOSED}.jpg": jpeg(),
        "ImageSets/Main/train.txt": form.encode(),
    }
    tree = written(tmp_path / "VOC2007", files)
    row = f"{form},dog,.9,5,6,30,35"
    assert scores(capsys, tree, row)[0] == "class,ap\ndog,1.0\nmean,1.0\n"
    write_regions(tmp_path / "regions.npz", {form: np.array([BOX])})
    lines = check_lines("voc2007", tmp_path, proposals=str(tmp_path / "regions.npz"))
    assert not [line for line in lines if line.startswith("problem")]


@pytest.mark.parametrize("kind", [".mat", ".npz", "_boxes.mat"])
def test_regions_are_of_composed_names(kind, tmp_path):
    import scipy.io

    if kind == "_boxes.mat":
        scipy.io.savemat(tmp_path / f"{DECOMPOSED}{kind}", {"boxes": np.array([BOX], float)[:, [1, 0, 3, 2]]})
    else:
        write_regions(tmp_path / f"a{kind}", {DECOMPOSED: np.array([BOX])})
    assert {name: boxes.tolist() for name, boxes in read_regions(tmp_path).items()} == {COMPOSED: [[*BOX]]}


def test_people_on_images_with_accents(tmp_path):
    people = xml(thing("person", BOX, actions="<jumping>1</jumping>"))
    name = DECOMPOSED.replace(" ", "")
    files = {
        f"{folder}/{name}{suffix}": content
        for folder, suffix, content in (("Annotations", ".xml", people), ("JPEGImages", ".jpg", jpeg()))
    }
    tree = written(tmp_path / "VOC2012", files | {"ImageSets/Action/train.txt": f"{name} 1".encode()})
    assert not [line for line in check_lines("voc2012-action", tree) if line.startswith("problem")]
