"""Boxes on images that EXIF turns, or that have another size than is stated."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from itl import ItlError
from itl.sources.boxes import turn_box
from itl.sources.files.image_files import pixels_of
from itl.sources.registry import open_source
from tests.annotated import thing, written, xml
from tests.pictures import encoded

BOX = (5, 9, 20, 17)  # on the image as stored, 36 × 24


def boxed(orientation: int) -> bytes:
    """A black PNG with one white box, stored with an EXIF orientation."""
    pixels = np.zeros((24, 36, 3), np.uint8)
    pixels[8:17, 4:20] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(pixels, exif=exif)


def white_box(data: bytes) -> tuple[int, ...]:
    """Where the upright image is white, as a box."""
    rows, columns = np.nonzero(pixels_of(data, "a.png")[0][:, :, 0])
    return tuple(int(side) + 1 for side in (columns.min(), rows.min(), columns.max(), rows.max()))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_turns_as_its_pixels_do(orientation):
    assert turn_box(BOX, orientation, 36, 24) == white_box(boxed(orientation))


Stated = tuple[int | str, int | str]


Boxed = tuple[bytes, tuple[int, ...], Stated]  # a file, its box, and the size that is stated


def boxed_images(folder: Path, images: dict[str, Boxed]) -> dict[str, Path]:
    """Write *images*, by name, in each annotated layout; folders by kind."""
    voc: dict[str, bytes] = {"ImageSets/Main/train.txt": "\n".join(images).encode()}
    voc["ImageSets/Action/train.txt"] = "\n".join(f"{name} 1" for name in images).encode()
    tables: dict[str, list] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    for name, (data, box, (width, height)) in images.items():
        person = thing("person", box, actions="<jumping>1</jumping>")
        voc |= {f"JPEGImages/{name}.png": data, f"Annotations/{name}.xml": xml(person, size=(width, height))}
        written(folder / "coco", {f"images/{name}.png": data})
        image = {"id": name, "file_name": f"{name}.png", "width": width, "height": height}
        sides = [box[0] - 1, box[1] - 1, box[2] - box[0] + 1, box[3] - box[1] + 1]
        tables["images"].append(image)
        tables["annotations"].append({"id": name, "image_id": name, "category_id": 1, "bbox": sides})
    written(folder / "coco", {"train.json": json.dumps(tables).encode()})
    written(folder / "voc/VOC2007", voc)
    written(folder / "action/VOC2012", voc)
    return {"voc2007": folder / "voc", "coco": folder / "coco", "voc2012-action": folder / "action"}


def one_box(folder: Path, data: bytes, box: tuple[int, ...], size: Stated) -> dict[str, Path]:
    """Write an image with one *box* in each annotated layout, which states its *size*; folders by kind."""
    return boxed_images(folder, {"1": (data, box, size)})


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("written_as", [int, str])
def test_boxes_are_of_the_image_whose_size_the_annotation_states(tmp_path, stored, written_as):
    data = boxed(6)
    upright = white_box(data)
    box, size = (BOX, (36, 24)) if stored else (upright, (24, 36))
    stated = written_as(size[0]), written_as(size[1])
    for kind, folder in one_box(tmp_path, data, box, stated).items():
        source = open_source(kind, folder)
        (record,) = source.records()
        assert source.annotation(record)[0].box == upright, kind
        notes = [note for note in source.scan.notes if "stored turned" in note]
        assert len(notes) == stored, kind
    assert (source.read(record)[6:-6, 6:-6] == 255).all()  # the crop shows the person's box


def boxes_of(source) -> list[tuple[float, ...]]:
    return [source.annotation(record)[0].box for record in source.records()]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(36, 24), (37, 24), (0, 0)])  # of both forms; rounded; not known
def test_boxes_on_images_whose_sizes_do_not_tell_are_refused_where_others_are_stored(
    tmp_path, orientation, size
):
    """A tool that annotates stored pixels does so on all images."""
    is_told = orientation == 1 or (orientation > 4 and size[0])  # by its stored size, or refused for another
    images = {"a": (boxed(6), BOX, (36, 24)), "b": (boxed(orientation), BOX, size)}
    for kind, folder in boxed_images(tmp_path, images).items():
        scan = open_source(kind, folder, bad="skip").scan
        skipped = [note for note in scan.notes if note.startswith("skipped: no stated size tells whether")]
        assert len(skipped) == (not is_told), kind
        assert boxes_of(open_source(kind, folder, bad="skip"))[0] == white_box(boxed(6)), kind
        if not is_told:
            assert len(scan.records) == 1
            says = (
                "on 1 image that EXIF turns or mirrors, such as .*b.*, are of the stored pixels, as those on "
            )
            with pytest.raises(ItlError, match=says):
                open_source(kind, folder).records()


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_boxes_of_mirrored_images_are_of_the_upright_image_where_no_other_is_stored(tmp_path, orientation):
    images = {"a": (boxed(6), white_box(boxed(6)), (24, 36)), "b": (boxed(orientation), BOX, (36, 24))}
    for kind, folder in boxed_images(tmp_path, images).items():
        source = open_source(kind, folder)
        assert boxes_of(source) == [white_box(boxed(6)), BOX], kind
        assert len([note for note in source.scan.notes if "no stated size tells" in note]) == 1, kind


def test_an_image_without_boxes_needs_no_size_that_tells_its_pixels(tmp_path):
    images = {"a": (boxed(6), BOX, (36, 24)), "b": (boxed(3), BOX, (36, 24))}
    folder = boxed_images(tmp_path, images)["voc2007"]
    written(folder / "VOC2007", {"Annotations/b.xml": xml(size=(36, 24))})
    assert len(open_source("voc2007", folder).records()) == 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_that_no_size_explains_are_of_the_upright_image(tmp_path, orientation):
    """Without width and height, and where nothing else is there to tell."""
    for size in ((0, 0), None):
        data = boxed(orientation)
        upright = white_box(data)
        stated = size or ((36, 24) if orientation < 5 else (24, 36))
        for kind, folder in one_box(tmp_path, data, upright, stated).items():
            assert boxes_of(open_source(kind, folder)) == [upright], kind


@pytest.mark.parametrize("orientation", range(5, 9))
def test_boxes_of_a_larger_image_as_stored_are_scaled_and_turned(tmp_path, orientation):
    twice = tuple(2 * side - (number < 2) for number, side in enumerate(BOX))  # in an image of 72 × 48
    data = boxed(orientation)
    for kind, folder in one_box(tmp_path, data, twice, (72, 48)).items():
        source = open_source(kind, folder, resized="scale")
        assert boxes_of(source) == [white_box(data)], kind
        source = open_source(kind, folder, resized="keep", outside="cut")
        assert boxes_of(source) == [(9, 17, 24, 34)], kind


def test_boxes_beside_swapped_sides_may_reach_to_the_edges_of_the_file(tmp_path):
    wide = (20, 3, 35, 9)  # outside of 24 × 36
    for kind, folder in one_box(tmp_path, boxed(1), wide, (24, 36)).items():
        for outside in ("refuse", "cut"):
            source = open_source(kind, folder, outside=outside)
            assert source.annotation(source.records()[0])[0].box == wide, kind


def test_boxes_of_an_image_that_was_resized_are_refused_scaled_or_kept(tmp_path):
    twice = tuple(2 * side - (number < 2) for number, side in enumerate(BOX))  # in an image of 72 × 48
    for kind, folder in one_box(tmp_path, boxed(1), twice, (72, 48)).items():
        with pytest.raises(
            ItlError, match="another size .* 36 × 24 pixels, not 72 × 48; set .*resized=scale"
        ):
            open_source(kind, folder).records()
        assert not open_source(kind, folder, bad="skip").scan.records
        source = open_source(kind, folder, resized="scale")
        (record,) = source.records()
        assert source.annotation(record)[0].box == BOX, kind
        assert "; their boxes are scaled to the files" in source.scan.notes[-1]
        with pytest.raises(ItlError, match="reaches outside its image of 36 × 24"):
            open_source(kind, folder, resized="keep").records()
    for kind, folder in one_box(tmp_path / "smaller", boxed(1), BOX, (12, 8)).items():
        for outside in ("refuse", "cut"):  # of the file, not of the size that is stated
            source = open_source(kind, folder, resized="keep", outside=outside)
            assert source.annotation(source.records()[0])[0].box == BOX, kind
        with pytest.raises(ItlError, match="there are keep, refuse, scale"):
            open_source(kind, folder, resized="yes").records()


@pytest.mark.parametrize(
    "size", [(24, 36), (36, 24), (37, 24), (0, 0)]
)  # swapped by a tool; rounded; not known
def test_boxes_of_sizes_that_are_stated_carelessly_are_taken_as_they_are(tmp_path, size):
    for kind, folder in one_box(tmp_path, boxed(1), BOX, size).items():
        source = open_source(kind, folder)
        assert boxes_of(source) == [BOX], kind
        assert source.scan.notes == []
