"""A new source is one class and one entry of the table."""

import shlex
from dataclasses import dataclass

import numpy as np
import pytest

from itl import ItlError
from itl.arguments import parse_options
from itl.packs.pack import Pack
from itl.sources.check import check
from itl.sources.records import Record
from itl.sources.registry import SOURCES, open_source, reads_files
from itl.sources.source import Source
from itl.specs import Packing
from tests.annotated import check_lines, images, text, written


@dataclass(frozen=True)
class Greys(Source):
    """Grey squares, one level for each class."""

    levels: int = 3
    kind = "greys"

    def records(self) -> list[Record]:
        """Return two training images and one of val for each level."""
        records = []
        for split, count in (("train", 2), ("val", 1)):
            for level in range(self.levels):
                for number in range(count):
                    records.append(Record(f"{split}/{level}_{number}", f"grey{level}", split))
        return records

    def read(self, record: Record) -> np.ndarray:
        """Return the pixels of *record*, uint8 (4, 4, 3)."""
        return np.full((4, 4, 3), 50 * int(record.wnid[-1]), np.uint8)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(SOURCES, "greys", Greys)


def test_a_new_source_is_packed_and_checked(tmp_path):
    packing = Packing("greys", size=4, options={"levels": 2})
    pack = Pack.build(packing, tmp_path / "pack", workers=2)
    assert pack.images[:, 0, 0, 0].tolist() == [0, 0, 50, 50, 0, 50]
    assert pack.summary["splits"] == {"train": 4, "val": 2}
    assert check_lines("greys") == [
        "read as: greys: train 6 images, val 3 images",
        "labels: 3 classes, such as grey0; nothing left out",
        "val: 3 images in 3 classes, 1 for each class",
        "train: 6 images in 3 classes, 2 for each class",
        "classes: 3 plain names (grey0, grey1, grey2)",
        "  val: grey0 1, grey1 1, grey2 1",
        "  train: grey0 2, grey1 2, grey2 2",
        "next: itl pack greys --size 64 --out PACK",
    ]


@pytest.mark.parametrize("kind", [kind for kind in SOURCES if reads_files(kind)])
def test_every_source_of_files_says_what_it_recognised_and_what_labels_it(kind):
    source = SOURCES[kind]
    assert source.layout is not Source.layout
    assert source.labelled_by is not Source.labelled_by


def test_a_source_without_the_option_classes_says_how_classes_are_chosen():
    with pytest.raises(ItlError, match="source webdataset has no option classes; .* label set file@FILE"):
        open_source("webdataset", "shards", classes="100.txt")
    with pytest.raises(ItlError, match="no option of source coco called 'classes'"):
        open_source("coco", "images", classes="cat,dog")


@pytest.mark.parametrize(
    ("column", "option"),
    [("1", "label=1"), ("no", 'label="no"'), ("null", 'label="null"'), ("y z", "label=y z")],
)
def test_a_column_of_any_name_is_chosen(tmp_path, column, option):
    lines = text(f"image,{column}", "1.jpg,cat", "2.jpg,dog")
    root = written(tmp_path / "in", images("1.jpg", "2.jpg") | {"train.csv": lines})
    findings = check("lists", root, **dict(parse_options([option])))
    assert [record.wnid for record in open_source("lists", root, label=column).records()] == ["cat", "dog"]
    assert findings[-1].kind == "next"
    command = shlex.split(findings[-1].text)
    assert command[:6] == ["itl", "pack", "lists", str(root), "--option", option]


@pytest.mark.parametrize("value", [False, 1.5])
def test_what_yaml_takes_for_no_text_is_refused_with_the_way_to_write_one(value):
    says = (
        f"the option label is a text, not {value}; in quotes any value is a text: --option 'label=\"TEXT\"'"
    )
    with pytest.raises(ItlError, match=f"^{says}$"):
        open_source("lists", "pictures", label=value)


def test_its_options_are_its_fields():
    assert not reads_files("greys")
    with pytest.raises(ItlError, match="no option of source greys called 'level'; did you mean 'levels'"):
        open_source("greys", level=2)


def test_a_rendered_source_takes_no_path():
    with pytest.raises(ItlError, match="source demo renders its images and reads no files, so not /photos"):
        open_source("demo", "/photos")


def test_splits_have_as_many_images_together_as_papers_state_of_the_whole():
    totals = {
        **{
            "voc2007": 9963,
            "voc2012": 11540,
            "voc2012-action": 6278,
            "voc0712": 21503,
            "sun397": 39700,
            "mit67": 6700,
        },
        **{"food101": 101000, "dtd": 5640, "aircraft": 10000, "flowers102": 8189, "pets": 7349},
        **{"cub200": 11788, "stanford-cars": 16185, "stanford-dogs": 20580, "imagenet-lt": 185846},
        **{"places365": 1839960, "cifar10": 60000, "cifar100": 60000, "imagenet-downsampled": 1331167},
    }
    assert totals == {
        kind: sum(source.published_images.values())
        for kind, source in SOURCES.items()
        if source.published_images
    }
