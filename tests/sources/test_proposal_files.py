"""Files of region proposals as people have them: read, written, refused in one line."""

import numpy as np
import pytest
import scipy.io

from itl import ItlError
from itl.__main__ import main
from itl.sources.annotated.proposal_files import describe_order, read_regions, write_regions

WHOLE, PART = (1, 1, 60, 40), (5, 6, 30, 20.5)
REGIONS = {f"{number:06}": np.array([WHOLE, PART][: 1 + number % 2], np.float32) for number in range(1, 6)}
KINDS = [".mat", ".npz"]


def same(one: dict, other: dict) -> bool:
    return list(one) == list(other) and all(np.array_equal(one[name], other[name]) for name in one)


def cells(*values) -> np.ndarray:
    """A cell array of MATLAB, as SciPy writes one."""
    regions = np.empty(len(values), object)
    regions[:] = values
    return regions


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read(tmp_path, kind):
    regions = REGIONS | {"an odd/ñame.jpg": np.array([[1, 1, 1, 1]], np.float32)}
    write_regions(tmp_path / f"regions{kind}", regions)
    result = read_regions(tmp_path / f"regions{kind}")
    assert same(result, regions)
    assert all(boxes.dtype == np.float32 for boxes in result.values())
    assert [path.name for path in tmp_path.iterdir()] == [f"regions{kind}"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_may_have_no_region(tmp_path, kind):
    regions = {"a": np.zeros((0, 4), np.float32), "b": np.array([PART], np.float32)}
    write_regions(tmp_path / f"regions{kind}", regions)
    assert same(read_regions(tmp_path / f"regions{kind}"), regions)


SCORED = {"a": [(1, 1, 9, 9), (2, 2, 8, 8)], "b": [(3, 3, 7, 7)]}


def scored_file(path, scores) -> None:
    """Write the boxes of SCORED with *scores*, a list for each image, as .npz or .mat."""
    if path.suffix == ".npz":
        boxes, flat = np.concatenate(list(SCORED.values())), np.concatenate(scores)
        np.savez(path, images=list(SCORED), offsets=[0, 2, 3], boxes=boxes, scores=flat)
    else:
        boxes = cells(*(np.array(boxes, float)[:, [1, 0, 3, 2]] for boxes in SCORED.values()))
        values = cells(*(np.array(one, float)[:, None] for one in scores))
        scipy.io.savemat(path, {"images": cells(*SCORED), "boxes": boxes, "scores": values})


@pytest.mark.parametrize("name", ["regions.npz", "regions.mat"])
def test_scores_beside_the_boxes_of_all_images_sort_them(tmp_path, name):
    path = tmp_path / name
    scored_file(path, [[0.1, 0.9], [0.5]])
    assert {image: boxes.tolist() for image, boxes in read_regions(path).items()} == {
        "a": [[2, 2, 8, 8], [1, 1, 9, 9]],
        "b": [[3, 3, 7, 7]],
    }
    for wrong in ([[0.1, 0.9], [np.nan]], [[0.1], [0.5]]):
        scored_file(path, wrong)
        with pytest.raises(
            ItlError, match="scores? of 1 box|1 score of 2 boxes|not one for each of 3 boxes|no number"
        ):
            read_regions(path)
    if path.suffix == ".mat":
        scored_file(path, [[0.1, 0.9]])
        with pytest.raises(ItlError, match="2 images, but scores of 1; "):
            read_regions(path)


@pytest.mark.parametrize("kind", KINDS)
def test_regions_that_are_parts_of_their_image_are_refused(tmp_path, kind):
    parts = {"a": np.zeros((0, 4)), "b": np.array([[0.1, 0.1, 0.5, 0.9]]), "c": np.array([[0, 0, 1, 1]])}
    write_regions(tmp_path / f"regions{kind}", parts)
    with pytest.raises(
        ItlError, match=r"'b', region 1: the box \(0.1, .* and all others lie between 0 and 1"
    ):
        read_regions(tmp_path / f"regions{kind}")
    write_regions(tmp_path / f"regions{kind}", parts | {"c": np.array([[1, 1, 1, 2]])})
    assert list(read_regions(tmp_path / f"regions{kind}"))[-1] == "c"


@pytest.mark.parametrize("names", [cells("000005", "000007")[:, None], np.array(["000005", "000007"])])
def test_selective_search_as_published(tmp_path, names):
    boxes = cells(np.array([[2, 1, 40, 30], [5, 6, 7, 8]], np.uint16), np.array([[1.0, 2.0, 3.0, 4.0]]))
    scipy.io.savemat(tmp_path / "voc_2007_test.mat", {"images": names, "boxes": boxes[None]})
    regions = read_regions(tmp_path / "voc_2007_test.mat")
    assert regions["000005"].tolist() == [[1, 2, 30, 40], [6, 5, 8, 7]]  # it has ymin, xmin, ymax, xmax
    assert regions["000007"].tolist() == [[2, 1, 4, 3]]


def test_a_folder_is_all_files_in_it(tmp_path):
    write_regions(tmp_path / "trainval.mat", {name: REGIONS[name] for name in ("000001", "000002")})
    write_regions(tmp_path / "train.npz", {"000001": REGIONS["000001"]})
    write_regions(tmp_path / "test.npz", {name: REGIONS[name] for name in ("000003", "000004", "000005")})
    (tmp_path / "README").write_text("not a file of regions")
    regions = read_regions(tmp_path)
    assert same(dict(sorted(regions.items())), REGIONS)
    write_regions(tmp_path / "train.npz", {"000001": REGIONS["000002"]})
    with pytest.raises(
        ItlError, match="trainval.mat and another file .* have other regions of '000001'; .* as train/000001$"
    ):
        read_regions(tmp_path)


def mat(path, **held) -> None:
    scipy.io.savemat(path / "x.mat", held)


def npz(path, images=("a",), offsets=(0, 1), boxes=(PART,)) -> None:
    np.savez(path / "x.npz", images=images, offsets=offsets, boxes=boxes)


V73 = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + b"\x89HDF\r\n\x1a\n" + bytes(500)
TWO = cells(np.ones((1, 4)), np.ones((1, 4)))[None]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "there is nothing at"),
        (lambda path: (path / "x.csv").write_text("image"), r"no kind of file for regions \(x.csv\)"),
        (lambda path: (path / "x.mat").write_bytes(V73), "saved as MATLAB v7.3, .* save it again with -v7"),
        (lambda path: (path / "x.mat").write_bytes(b"junk" * 99), "x.mat is damaged, or not a .mat file"),
        (lambda path: (path / "x.mat").write_bytes(b""), "x.mat is damaged, or not a .mat file"),
        (lambda path: mat(path, all_boxes=np.ones((2, 4))), "x.mat: has no images, but all_boxes"),
        (
            lambda path: mat(path, images=cells("a", "b"), boxes=np.ones((2, 3))),
            "K × 4 numbers for each image",
        ),
        (lambda path: mat(path, images=cells("a"), boxes=TWO), "1 image, but boxes of 2"),
        (lambda path: mat(path, images=cells("a", "a"), boxes=TWO), "it has 'a' twice"),
        (lambda path: mat(path, images=np.array([5.0, 7.0]), boxes=TWO), "images should hold a name"),
        (lambda path: (path / "x.npz").write_bytes(b"junk" * 99), "x.npz is damaged, or not a .npz file"),
        (lambda path: np.savez(path / "x.npz", boxes=[PART]), "x.npz has no images, but boxes"),
        (
            lambda path: npz(path, images=np.array(["a"], object)),
            r"images in .*x.npz holds Python objects, .* str",
        ),
        (lambda path: npz(path, offsets=(0, 2)), "2 whole numbers, one more than images, rising from 0 to 1"),
        (lambda path: npz(path, images=("a", "b"), offsets=(0, 2, 1)), "offsets should be 3 whole numbers"),
        (lambda path: npz(path, offsets=(0.0, 1.0)), "offsets should be 2 whole numbers"),
        (lambda path: npz(path, images=np.zeros(0, str), offsets=[0], boxes=np.zeros((0, 4))), "no regions"),
        (lambda path: npz(path, boxes=[(1, np.nan, 5, 5)]), r"image 'a', region 1: the box .* is not finite"),
        (lambda path: npz(path, boxes=[(9, 1, 8, 5)]), r"'a', region 1: the box \(9, 1, 8, 5\) has no area"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path, make, words):
    make(tmp_path)
    file = next(tmp_path.iterdir(), tmp_path / "x.mat")
    with pytest.raises(ItlError, match=words) as caught:
        read_regions(file)
    assert "\n" not in str(caught.value)


PLAIN = np.array([[2, 1, 40, 30], [6, 5, 80, 70]], np.uint16)  # ymin first
TURNED = PLAIN[:, [1, 0, 3, 2]].tolist()


@pytest.mark.parametrize(
    ("name", "held", "expected"),
    [
        ("000005_boxes.mat", {"boxes": PLAIN}, TURNED),
        ("000005_boxes.mat", {"boxes": PLAIN, "scores": [0.1, 0.9]}, TURNED[::-1]),
        ("000005.mat", {"bboxes": PLAIN, "bboxes_scores": [[0.9], [0.1]]}, TURNED),
        ("x.mat", {"images": cells("000005"), "boxes": cells(np.hstack([PLAIN, [[1], [2]]]))}, TURNED[::-1]),
    ],
)
def test_files_of_one_image_and_scores(tmp_path, name, held, expected):
    scipy.io.savemat(tmp_path / name, held)
    regions = read_regions(tmp_path)
    assert {image: boxes.tolist() for image, boxes in regions.items()} == {"000005": expected}
    swapped = read_regions(tmp_path, "xyxy")["000005"]
    assert sorted(swapped.tolist()) == PLAIN.tolist()
    assert describe_order(tmp_path).startswith(
        f"boxes in {tmp_path} are taken as ymin, xmin, ymax, xmax, from 1"
    )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("voc_2007_train.pkl", b"\x80\x02", "is a pickle, which may run anything"),
        ("regions.parquet", b"PAR1", r"is a table, which is not read; .* numpy.savez\(FILE, images=NAMES"),
        ("a_boxes.mat", {"boxes": PLAIN, "scores": [1.0]}, "1 score of 2 boxes"),
        (
            "a_boxes.mat",
            {"boxes": PLAIN, "scores": [1.0, np.nan]},
            "2 scores of 2 boxes, or one is no number",
        ),
    ],
)
def test_scores_and_pickles_that_are_refused(tmp_path, name, content, words):
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        scipy.io.savemat(tmp_path / name, content)
    with pytest.raises(ItlError, match=words):
        read_regions(tmp_path / name)


def test_a_table_beside_files_of_regions_is_refused(tmp_path):
    write_regions(tmp_path / "train.npz", REGIONS)
    (tmp_path / "val.parquet").write_bytes(b"PAR1")
    with pytest.raises(ItlError, match="val.parquet is a table, which is not read; where it was made, save"):
        read_regions(tmp_path)


def test_edge_boxes_have_width_and_height(tmp_path, capsys):
    rows = np.array([[300, 200, 100, 50, 0.1], [1, 2, 255, 4, 0.9]])  # x, y, width, height, score
    scipy.io.savemat(tmp_path / "000005_boxes.mat", {"boxes": rows})
    with pytest.raises(ItlError, match="no area; .*; --order of `itl proposals` takes other columns"):
        read_regions(tmp_path)
    corners = [[1, 2, 255, 5], [300, 200, 399, 249]]
    assert read_regions(tmp_path, "xywh")["000005"].tolist() == corners
    scipy.io.savemat(tmp_path / "000005_boxes.mat", {"boxes": np.array([[200, 200, 100, 100]], np.uint8)})
    assert main(["proposals", str(tmp_path), str(tmp_path / "x.npz"), "--order", "xywh"]) == 0
    assert read_regions(tmp_path / "x.npz")["000005"].tolist() == [[200, 200, 299, 299]]


def test_the_command_says_which_order_it_took(tmp_path, capsys):
    scipy.io.savemat(tmp_path / "a_boxes.mat", {"boxes": PLAIN})
    assert main(["proposals", str(tmp_path)]) == 0
    assert "are taken as ymin, xmin, ymax, xmax" in capsys.readouterr().err
    assert main(["proposals", str(tmp_path), str(tmp_path / "x.npz"), "--order", "xyxy"]) == 0
    assert capsys.readouterr().err == ""
    assert read_regions(tmp_path / "x.npz")["a"].tolist() == PLAIN.tolist()


def test_damaged_files_crash_nothing(tmp_path):
    random, refused = np.random.default_rng(0), []
    for kind in KINDS:
        write_regions(tmp_path / f"whole{kind}", REGIONS)
        whole = (tmp_path / f"whole{kind}").read_bytes()
        for _ in range(60):
            damaged = bytearray(whole[: random.integers(1, len(whole))] if random.random() < 0.3 else whole)
            for position in random.integers(0, len(damaged), random.integers(1, 6)):
                damaged[position] = random.integers(256)
            (tmp_path / f"damaged{kind}").write_bytes(damaged)
            try:
                read_regions(tmp_path / f"damaged{kind}")
            except ItlError as error:
                refused.append(str(error))
    assert 40 < len(refused) < 120  # some damage leaves a file that can be read
    assert not [text for text in refused if "\n" in text]
