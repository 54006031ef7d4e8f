"""Boxes at the edges of images, on drawings of a few pixels."""

import re

import numpy as np
import pytest
from PIL import Image, ImageOps

from itl import ItlError
from itl.sources.boxes import (
    NO_SIDE,
    AnnotatedObject,
    box_text,
    box_with_area,
    clip_box,
    crop_with_context,
    first_invalid_box,
    iou_of,
    object_columns,
    padded_size,
    refuse_normalised,
    turn_box,
    voc_corners,
)


def clipped(*box: float, outside: str = "cut", width: int | None = 10, height: int | None = 6) -> tuple:
    return clip_box(AnnotatedObject("dog", box), width, height, "a.xml", outside).box


@pytest.mark.parametrize("outside", ["cut", "refuse"])
def test_a_box_that_touches_the_edges_is_inside(outside):
    assert clipped(1, 1, 10, 6, outside=outside) == (1, 1, 10, 6)
    assert clipped(1, 1, 99, 99, outside=outside, width=None, height=None) == (1, 1, 99, 99)


@pytest.mark.parametrize("side", range(4))
def test_a_box_that_reaches_further_is_cut_or_refused(side):
    box = [1, 1, 10, 6]
    box[side] += -0.5 if side < 2 else 0.5
    assert clipped(*box) == (1, 1, 10, 6)
    with pytest.raises(
        ItlError, match=r"^a.xml: the box .* of 'dog' reaches outside its image of 10 × 6 pix"
    ):
        clipped(*box, outside="refuse")


def test_a_box_without_size_has_bounds_on_two_sides():
    with pytest.raises(ItlError, match="reaches outside its image of any size"):
        clipped(0, 1, 5, 5, outside="refuse", width=None, height=None)
    with pytest.raises(ItlError, match="of any size"):
        clipped(1, 1, 11, 5, outside="refuse", height=None)
    assert clipped(0, 0, 50, 5, width=None) == (1, 1, 50, 5)


@pytest.mark.parametrize("box", [(11, 1, 20, 6), (1, 7, 10, 9), (-5, 1, 0, 6), (1, -5, 10, 0)])
def test_of_a_box_beyond_an_edge_nothing_is_left(box):
    text = re.escape(box_text(box))
    with pytest.raises(ItlError, match=f"of the box {text} of 'dog' nothing lies inside its image of 10 × 6"):
        clipped(*box)


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        ((10, 1, 20, 6), (10, 1, 10, 6)),
        ((1, 6, 10, 9), (1, 6, 10, 6)),
        ((-5, 1, 1, 6), (1, 1, 1, 6)),
        ((1, -5, 10, 1), (1, 1, 10, 1)),
        ((10.5, 1, 15, 6), (10.5, 1, 10, 6)),  # half of the last column
        ((9.5, 1, 15, 6), (9.5, 1, 10, 6)),
    ],
)
def test_a_row_or_column_of_pixels_inside_is_left(box, inside):
    assert clipped(*box) == inside
    assert first_invalid_box(np.array([inside])) is None


def test_sides_are_apart():
    assert box_with_area((3, 3, 4, 4), "a.xml", "dog") == (3, 3, 4, 4)
    for box in ((3, 3, 3, 9), (3, 3, 9, 3)):
        with pytest.raises(ItlError, match="has no area"):
            box_with_area(box, "a.xml", "dog")


def test_the_first_box_that_is_none_is_named():
    assert first_invalid_box(np.array([[3.0, 3, 3, 3], [1, 1, 2, 2]])) is None, "a pixel is a box"
    assert first_invalid_box(np.array([[1.0, 1, 9, 9], [3, 5, 4, 4]]))[0] == 1
    number, reason = first_invalid_box(np.array([[1, 1, 9, 9], [1, 1, np.nan, 9], [5, 5, 1, 1]]))
    assert (number, reason) == (1, "the box (1, 1, nan, 9) is not finite")


def test_a_detection_may_have_a_side_of_0_and_none_below():
    assert first_invalid_box(np.array([[3, 3, 2, 9], [3.3, 3, 3.3 - 1, 9]]), NO_SIDE) is None
    assert first_invalid_box(np.array([[3, 3, 2, 9], [3, 3, 1.9, 9]]), NO_SIDE)[0] == 1
    assert voc_corners([9, 9, 0, 5], "x", NO_SIDE) == (10, 10, 9, 14)
    with pytest.raises(ItlError, match="has no area"):
        voc_corners([9, 9, -0.1, 5], "x", NO_SIDE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_turns_with_its_image(orientation):
    box = (2, 1, 4, 2)
    pixels = np.zeros((5, 9), np.uint8)
    pixels[box[1] - 1 : box[3], box[0] - 1 : box[2]] = 255
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    rows, columns = np.nonzero(np.asarray(ImageOps.exif_transpose(image)))
    drawn = (columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1)
    assert turn_box(box, orientation, width=9, height=5) == drawn


@pytest.mark.parametrize("boxes", [[(0.1, 0.2, 0.5, 0.9)], [(0, 0, 1, 1), (0, 0, 0.5, 1)]])
def test_boxes_between_0_and_1_are_parts_of_their_image(boxes):
    says = re.escape(f"a.csv, row 1: the box {box_text(boxes[0])} and all others")
    with pytest.raises(ItlError, match=says):
        refuse_normalised(np.array(boxes, float), "a.csv, row 1")


@pytest.mark.parametrize(
    "boxes",
    [
        [(0, 0, 1, 1)],  # a pixel
        [(0.1, 0.2, 0.5, 0.9), (0, 0, 1, 1.5)],
        [(-0.1, 0.2, 0.5, 0.9)],
        [],
    ],
)
def test_other_boxes_are_in_pixels(boxes):
    assert refuse_normalised(np.array(boxes, float).reshape(-1, 4), "a.csv, row 1") is None, "not refused"


def test_boxes_that_touch_share_nothing():
    box = np.array([3, 3, 4, 4])
    beside = np.array([[5, 3, 6, 4], [1, 3, 2, 4], [3, 5, 4, 6], [3, 1, 4, 2], [5, 5, 6, 6], [4, 4, 5, 5]])
    assert iou_of(box, beside).tolist() == [0, 0, 0, 0, 0, 1 / 7]


def test_a_crop_with_context_ends_at_the_edges():
    assert crop_with_context((4, 3, 5, 4), 1.0, 10, 6) == (slice(2, 4), slice(3, 5))
    assert crop_with_context((4, 3, 5, 4), 2.0, 10, 6) == (slice(1, 5), slice(2, 6))
    assert crop_with_context((1, 1, 10, 6), 3.0, 10, 6) == (slice(0, 6), slice(0, 10))


def test_a_padded_image_keeps_its_shape():
    assert padded_size(4, 2, 8) == (8, 4)
    assert padded_size(2, 4, 8) == (4, 8)
    assert padded_size(1000, 1, 10) == (10, 1)
    assert padded_size(1, 1000, 10) == (1, 10)


def test_objects_of_a_pack_have_the_row_of_their_image():
    dog, cat = AnnotatedObject("dog", (1, 2, 3, 4), difficult=True), AnnotatedObject("cat", (5, 6, 7, 8))
    columns = object_columns([[dog, cat], [], [cat]])
    assert columns["row"] == [0, 0, 2]
    assert columns["name"] == ["dog", "cat", "cat"]
    assert columns["ymax"] == [4, 8, 8]
    assert columns["difficult"] == [True, False, False]
    assert not any(columns["truncated"])


def test_boxes_are_written_short():
    assert box_text((1, 2.5, 30.0, 1e6)) == "(1, 2.5, 30, 1e+06)"
