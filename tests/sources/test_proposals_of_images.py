"""Region proposals and the images that they are for: matched, refused, measured and packed."""

import csv
import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from itl import ItlError
from itl.__main__ import main
from itl.packs.pack import Pack
from itl.sources.annotated.proposal_files import read_regions, write_regions
from itl.sources.annotated.proposals import match_images
from itl.sources.registry import open_source
from itl.specs import Packing
from tests.annotated import check_lines, jpeg, thing, voc2007, written, xml
from tests.sources.test_foreign_spellings import coco_file
from tests.sources.test_proposal_files import REGIONS, same


def test_images_go_by_id_or_by_a_name_that_is_theirs_alone():
    held = {name: np.ones((1, 4)) * number for number, name in enumerate(["000001", "b/2.jpg", "a/3", "c/3"])}
    regions = match_images(["VOC2007/000001", "a/2.png", "x/3", "c/3", "4"], held)
    numbers = {name: boxes[0, 0] for name, boxes in regions.items()}
    assert numbers == {"VOC2007/000001": 0, "a/2.png": 1, "c/3": 3}


@pytest.mark.parametrize(
    ("names", "matched"),
    [
        (["train/0.jpg", "test/0.jpg"], {"train/0.jpg": 0, "test/0.jpg": 1}),
        (["train/0", "test/0"], {"train/0.jpg": 0, "test/0.jpg": 1}),
        (["train/0", "test/0.jpg", "test/0"], {"train/0.jpg": 0, "test/0.jpg": 1}),
        (["0"], {}),
        (["x/0", "test/0"], {"test/0.jpg": 1}),
        (["test/1"], {}),  # of which there are two, with and without a suffix of their own
    ],
)
def test_images_of_two_splits_with_one_name_go_by_their_paths(names, matched):
    held = {name: np.full((1, 4), number) for number, name in enumerate(names)}
    regions = match_images(["train/0.jpg", "test/0.jpg", "test/1.jpg", "test/1.png"], held)
    assert {image: boxes[0, 0] for image, boxes in regions.items()} == matched


def test_names_that_several_images_share_are_refused_until_they_are_paths(tmp_path):
    files = {f"{split}/0.jpg": jpeg() for split in ("train", "test")}
    files |= {f"{split}.json": coco_file("0.jpg") for split in ("train", "test")}
    path, file = written(tmp_path / "coco", files), tmp_path / "regions.npz"
    write_regions(file, {"0": np.array([[1, 1, 9, 9]])})
    (line,) = [line for line in check_lines("coco", path, proposals=str(file)) if "no regions" in line]
    says = "images share this name, so let the file name them by their paths, as train/0.jpg"
    assert line.endswith(f"it is on 1 image, 0; {says}")
    write_regions(file, {"train/0": np.array([[1, 1, 9, 9]]), "test/0": np.array([[2, 2, 9, 9]])})
    regions = open_source("coco", path, proposals=str(file)).scan.regions
    assert (regions["train/0.jpg"][0, 0], regions["test/0.jpg"][0, 0]) == (1, 2)


@pytest.fixture
def world(tmp_path):
    """A VOC2007 of five images in a folder."""
    for name, content in voc2007().items():
        path = tmp_path / "world" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "world"


def packing(file) -> Packing:
    return Packing("voc2007", None, 32, "pad", {"proposals": str(file)})


def test_regions_travel_with_their_pack(tmp_path, world):
    write_regions(tmp_path / "regions.npz", REGIONS)
    pack = Pack.build(packing(tmp_path / "regions.npz"), tmp_path / "pack", path=world)
    assert pack.summary["regions"] == 8
    for row, image in enumerate(pack.table["image"]):
        assert np.array_equal(pack.regions(row), REGIONS[image.removeprefix("VOC2007/")])
    bare = Pack.build(Packing("voc2007", None, 32, "pad"), tmp_path / "bare", path=world)
    with pytest.raises(ItlError, match="file needs region proposals, .* option proposals=FILE, or use"):
        bare.regions(0)
    other = REGIONS | {"000005": REGIONS["000002"]}
    write_regions(world / "beside.mat", other)  # found beside the images too
    moved = Pack.build(packing("beside.mat"), tmp_path / "moved", path=world)
    assert len({pack.digest, bare.digest, moved.digest}) == 3
    (tmp_path / "pack").rename(tmp_path / "first")
    again = Pack.build(packing(tmp_path / "regions.npz"), tmp_path / "pack", path=world)
    assert again.digest == pack.digest
    both = [(tmp_path / name / "regions.npz").read_bytes() for name in ("first", "pack")]
    assert both[0] == both[1]


def regions_as(kind: str, tmp_path: Path, world: Path) -> tuple[str, Path]:
    """The option proposals for a file, a folder, or a file beside the images, and the file in it."""
    option, file = {
        "file": (tmp_path / "regions.npz", tmp_path / "regions.npz"),
        "folder": (tmp_path / "regions", tmp_path / "regions/all.npz"),
        "beside": ("beside.npz", world / "beside.npz"),
    }[kind]
    file.parent.mkdir(exist_ok=True)
    return str(option), file


def stamps(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}


@pytest.mark.parametrize("kind", ["file", "folder", "beside"])
def test_changed_regions_are_packed_anew_and_unchanged_ones_are_not(tmp_path, world, kind, caplog):
    option, file = regions_as(kind, tmp_path, world)
    write_regions(file, REGIONS)
    first, before = Pack.build(packing(option), tmp_path / "pack", path=world), stamps(tmp_path / "pack")
    assert Pack.build(packing(option), tmp_path / "pack", path=world).digest == first.digest
    assert stamps(tmp_path / "pack") == before
    write_regions(file, REGIONS | {"000005": REGIONS["000002"]})
    os.utime(file, ns=(1, 1))  # another time, whatever the clock's steps
    caplog.clear()
    after = Pack.build(packing(option), tmp_path / "pack", path=world)
    assert f"{tmp_path / 'pack'} was packed: other annotations or region proposals; packing" in caplog.text
    fresh = Pack.build(packing(option), tmp_path / "fresh", path=world)
    assert np.array_equal(after.regions(4), REGIONS["000002"])
    assert (after.digest, after.summary["records"]) == (fresh.digest, fresh.summary["records"])
    assert after.digest != first.digest
    for name in ("regions.npz", "images.npy", "index.parquet", "objects.parquet"):
        assert (after.folder / name).read_bytes() == (fresh.folder / name).read_bytes()


@pytest.mark.parametrize("kind", ["file", "folder", "beside"])
def test_a_copy_of_the_same_regions_changes_no_more_than_what_files_there_are(tmp_path, world, kind):
    option, file = regions_as(kind, tmp_path, world)
    write_regions(file, REGIONS)
    first, before = Pack.build(packing(option), tmp_path / "pack", path=world), stamps(tmp_path / "pack")
    os.utime(file, ns=(1, 1))
    assert Pack.build(packing(option), tmp_path / "pack", path=world).digest == first.digest
    after = stamps(tmp_path / "pack")
    assert {name for name in before if before[name] != after[name]} == {"pack.json"}
    assert Pack.build(packing(option), tmp_path / "pack", path=world).digest == first.digest
    assert stamps(tmp_path / "pack") == after


def test_other_files_in_a_folder_of_regions_change_nothing(tmp_path, world):
    option, file = regions_as("folder", tmp_path, world)
    write_regions(file, REGIONS)
    Pack.build(packing(option), file.parent / "pack", path=world)  # beside them: it is none of them
    before = stamps(file.parent / "pack")
    (file.parent / "notes.txt").write_text("nothing")
    Pack.build(packing(option), file.parent / "pack", path=world)
    assert stamps(file.parent / "pack") == before


def problems(world, regions: dict, path, **options) -> list[str]:
    write_regions(path, regions)
    lines = check_lines("voc2007", world, proposals=str(path), **options)
    return [line for line in lines if line.startswith("problem: ")]


def test_check_tells_what_regions_lack(tmp_path, world):
    file = tmp_path / "regions.npz"
    assert problems(world, REGIONS, file) == []
    few = {name: REGIONS[name] for name in ("000001", "000002", "000005")} | {"000009": REGIONS["000001"]}
    (text,) = problems(world, few, file)
    assert "no regions of 2 of 5 images (1 of test, 1 of val), such as VOC2007/000003, VOC2007/000004" in text
    assert "it is on 4 images, 000001, 000002, 000005 …" in text
    (text,) = problems(world, {"2008_000001": REGIONS["000001"]}, file)
    assert "no regions of 5 of 5 images (2 of test, 2 of train, 1 of val)" in text
    (text,) = problems(world, REGIONS | {"000002": np.zeros((0, 4))}, file)
    assert "no regions of 1 of 5 images" in text
    assert problems(world, few, file, bad="skip") == []
    (first, *_) = check_lines("voc2007", world, proposals="nowhere.mat")
    assert f"neither {Path.cwd()} nor {world} has nowhere.mat; the option proposals takes" in first
    (first, *_) = check_lines("voc2007", world, proposals=str(tmp_path / "gone.mat"))
    assert f"there is no {tmp_path / 'gone.mat'}; the option" in first


def test_regions_outside_their_image_are_refused_or_cut(tmp_path, world):
    file = tmp_path / "regions.npz"
    zero = REGIONS | {"000003": REGIONS["000003"] - 1}  # as who counts pixels from 0 has them
    (text,) = problems(world, zero, file)
    assert "outside 1 image, such as 1 of 2 on VOC2007/000003, 60 × 40 pixels; count pixels from 1" in text
    assert problems(world, zero, file, outside="cut") == []
    assert (
        "note: 1 of 8 regions reach outside their image, such as 1 on VOC2007/000003; pixels count from 1, "
        "and sides may have another order; only what lies inside counts"
    ) in check_lines("voc2007", world, proposals=str(file), outside="cut")
    beyond = [(-9, -9, -1, -1), (50, 1, 70, 9), (61, 1, 70, 9), (1, -9, 9, 0), (1, 40.5, 9, 70)]
    write_regions(file, REGIONS | {"000004": np.array(beyond), "000005": np.array(beyond[:1])})
    scan = open_source("voc2007", world, proposals=str(file), outside="cut").scan
    cut = scan.regions["VOC2007/000004"]
    assert cut.tolist() == [[50, 1, 60, 9], [1, 40, 9, 40]], "three have no pixel of the image"
    assert cut.dtype == np.float32
    assert "VOC2007/000005" not in scan.regions
    (text,) = [
        line for line in check_lines("voc2007", world, proposals=str(file), outside="cut") if "lem: " in line
    ]
    assert "has no regions of 1 of 5 images (1 of test), such as VOC2007/000005" in text
    over = REGIONS | {"000004": np.array([[0.3, 1, 60.9, 40]])}  # less than a pixel: a fraction
    assert problems(world, over, file) == []
    pack = Pack.build(packing(file), tmp_path / "pack", path=world)
    assert pack.regions(3).tolist() == [[1, 1, 60, 40]]


def test_the_check_names_a_file_so_that_a_shell_takes_it(tmp_path):
    write_regions(tmp_path / "my regions.npz", REGIONS)
    *_, line = check_lines("proposals", tmp_path / "my regions.npz")
    assert shlex.split(line)[-4:-2] == ["--option", f"proposals={tmp_path}/my regions.npz"]


def test_the_command_converts_and_measures(tmp_path, world, capsys):
    notes = world / "VOCdevkit" / "VOC2007" / "Annotations"
    (notes / "000009.xml").unlink()
    write_regions(tmp_path / "regions.mat", REGIONS)
    assert main(["proposals", str(tmp_path / "regions.mat"), str(tmp_path / "regions.npz")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'regions.npz'}: 8 regions of 5 images\n"
    assert same(read_regions(tmp_path / "regions.npz"), REGIONS)
    command = ["proposals", str(tmp_path / "regions.npz"), "--recall", str(notes), "--count"]
    assert main([*command, "1", "2"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    regions = {(row["count"], row["iou"]): (row["objects"], float(row["recall"])) for row in rows}
    assert regions["1", "0.5"] == regions["1", "0.9"] == ("5", 0.4)  # two cars, of the size of the image
    assert regions["2", "0.5"] == ("5", 0.8)  # and both dogs, by half
    assert regions["2", "0.6"] == ("5", 0.4)
    assert main(["proposals", "windows", "--recall", str(notes), "--count", "1"]) == 0
    assert "1,0.5,5,0.4" in capsys.readouterr().out
    option = ["--option", f"annotations={notes}"]
    assert main(["check", "proposals", str(tmp_path / "regions.mat"), *option]) == 0
    text = capsys.readouterr().out
    assert "8 on 5 images, 1 to 2 on each" in text
    assert "recall at IoU 0.5: 80.0% of 5 objects" in text


def test_the_command_says_in_one_line_what_is_wrong(tmp_path, world, capsys):
    notes = world / "VOCdevkit" / "VOC2007" / "Annotations"
    (notes / "000009.xml").unlink()
    write_regions(tmp_path / "few.npz", {"000001": REGIONS["000001"]})
    write_regions(tmp_path / "other.npz", {"2008_000001": REGIONS["000001"]})
    few, other = str(tmp_path / "few.npz"), str(tmp_path / "other.npz")
    for arguments, words in [
        (["windows"], "give --recall ANNOTATIONS, and no file"),
        (["windows", few], "give --recall ANNOTATIONS, and no file"),
        ([few, str(tmp_path / "x.csv")], "no kind of file for regions called '.csv'"),
        ([other, "--recall", str(notes)], "no annotated image, such as 000001, 000002, 000003 …, has"),
        ([few, "--recall", str(notes), "--count", "0"], "recall takes counts, from 1"),
        (
            [few, "--count", "5"],
            "--count has no effect without --recall ANNOTATIONS; add that, or leave --co",
        ),
        ([few, "--images", "x.txt"], "--images has no effect without --recall ANNOTATIONS"),
        ([few, "--outside", "cut"], "--outside has no effect without --recall ANNOTATIONS"),
        ([few, "--order", "xyxy"], f"the order xyxy is of boxes in a .mat, and {few} has none"),
        (["windows", "--recall", str(notes), "--order", "xyxy"], "--order has no effect without files of"),
        ([few, other], f"{other} exists already and is not overwritten; name another file"),
    ]:
        assert main(["proposals", *arguments]) == 1
        output = capsys.readouterr()
        assert words in output.err
        assert output.err.count("\n") == 1
    assert main(["proposals", few, "--recall", str(notes), "--count", "5"]) == 0
    assert capsys.readouterr().err == "note: 4 of 5 annotated images have no regions, and are left out\n"
    write_regions(
        tmp_path / "far.npz", REGIONS | {"000002": np.array([[0, 1, 9, 9], [1, 1, 62, 9], [1, 1, 60.5, 9]])}
    )
    far = str(tmp_path / "far.npz")
    assert main(["proposals", far, "--recall", str(notes), "--count", "5"]) == 0
    said = (
        "2 of 10 regions reach outside their image, such as 2 on 000002; pixels count from 1, and sides may"
    )
    assert said in capsys.readouterr().err
    assert any(said in line for line in check_lines("proposals", far, annotations=str(notes)))
    assert "note: 1 region is partly before pixel 1, such as on 000002; pixels count from 1" in check_lines(
        "proposals", far
    )
    shutil.copy(notes / "000001.xml", notes / "000008.xml")
    text = (notes / "000008.xml").read_text().replace("<size>", "<sizes>").replace("</size>", "</sizes>")
    (notes / "000008.xml").write_text(text)
    assert main(["proposals", "windows", "--recall", str(notes)]) == 1
    assert "tells no size of 1 images, 000008, which windows need" in capsys.readouterr().err


def test_regions_are_cut_where_annotations_are(tmp_path, capsys):
    """Of the two objects one is covered exactly, and reaches outside at the left."""
    box = (-20, 11, 20, 30)
    written(tmp_path, {"xml/a.xml": xml(thing("dog", box), thing("dog", (41, 1, 60, 10)))})
    write_regions(tmp_path / "regions.npz", {"a": np.array([[70, 1, 80, 9], box])})
    arguments = [
        "proposals",
        str(tmp_path / "regions.npz"),
        "--recall",
        str(tmp_path / "xml"),
        "--count",
        "1",  # as the region entirely outside is none
    ]
    assert main([*arguments, "--outside", "cut"]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines()[1::4] == ["1,0.5,2,0.5", "1,0.9,2,0.5"]
    assert output.err == (
        "note: 2 of 2 regions reach outside their image, such as 2 on a; pixels count from 1, and sides may "
        "have another order; only what lies inside counts\n"
    )


@pytest.mark.parametrize("suffix", [".mat", ".npz"])
def test_exchanged_x_and_y_are_told_from_regions_that_reach_outside(tmp_path, suffix):
    """The pictures are 60 × 40, so that x is too much for y; cutting would leave wrong regions."""
    right = {f"{number:06}": np.array([[1.0, 2, 58, 30], [20, 3, 60, 40]]) for number in range(1, 6)}
    exchanged = {image: boxes[:, [1, 0, 3, 2]] for image, boxes in right.items()}
    world, file = written(tmp_path / "voc", voc2007()), tmp_path / f"regions{suffix}"
    write_regions(file, exchanged)
    (line,) = [line for line in check_lines("voc2007", world, proposals=str(file)) if "reach outside" in line]
    converted = tmp_path / "regions.npz"
    says = f"convert them with `itl proposals {file} regions.npz --order xyxy` and use regions.npz"
    if suffix == ".npz":
        says = "save its boxes with the columns xmin, ymin, xmax, ymax"
        file.unlink()
        write_regions(converted, right)
    else:
        assert main(["proposals", str(file), str(converted), "--order", "xyxy"]) == 0
    assert f"60 × 40 pixels; if x and y are exchanged, as all would lie inside, {says}; else count" in line
    regions = open_source("voc2007", world, proposals=str(converted)).scan.regions
    assert same(regions, {f"VOC2007/{image}": boxes for image, boxes in right.items()})


@pytest.mark.parametrize(
    ("first", "far", "is_exchanged", "says"),
    [
        (1, 0, True, "if x and y are exchanged, as all would lie inside, "),
        (0, 0, True, "if x and y are exchanged, as all would lie inside, counted from 1, "),
        (1, 4, True, "if x and y are exchanged, as nearly all would lie inside, "),
        (0, 0, False, ""),
        (1, 4, False, ""),
    ],
)
def test_nearly_all_regions_tell_that_x_and_y_are_exchanged(tmp_path, first, far, is_exchanged, says):
    """All but one of 150 regions; the pictures are 60 × 40."""
    boxes = np.array([[1, 2, 58, 30], [20, 1, 60, 40], [41, 5, 59, 20]] * 10) + first - 1
    regions = {f"{number:06}": boxes.copy() for number in range(1, 6)}
    regions["000003"][1, 2] += far
    order = [1, 0, 3, 2] if is_exchanged else [0, 1, 2, 3]
    file = tmp_path / "regions.npz"
    write_regions(file, {image: boxes[:, order] for image, boxes in regions.items()})
    world = written(tmp_path / "voc", voc2007())
    (line,) = [line for line in check_lines("voc2007", world, proposals=str(file)) if "reach outside" in line]
    says += "save its boxes with the columns xmin, ymin, xmax, ymax; else " * is_exchanged
    assert line.endswith(f"60 × 40 pixels; {says}count pixels from 1, or set the option outside=cut")
