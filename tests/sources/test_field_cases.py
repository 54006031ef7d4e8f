"""Layouts that people have on disk, as shared/cases beside the checkout keeps them."""

from pathlib import Path

import pytest

from itl import ItlError
from itl.sources.registry import open_source
from tests.sources.test_layout import VAL, A, B, read

CASES = Path(__file__).parents[3] / "shared/cases"

FIELD = [  # folder of shared/cases, source, options, splits, classes, one image and its class; or the refusal
    ("01-kaggle-clsloc", "imagenet", {}, {"train": 12, "val": 8}, 4, (f"val/{VAL}2.JPEG", B)),
    (
        "01-kaggle-clsloc/imagenet-object-localization-challenge",
        "imagenet",
        {},
        {"train": 12, "val": 8},
        4,
        None,
    ),
    *(
        (
            f"01-kaggle-clsloc/imagenet-object-localization-challenge/{inner}",
            "imagenet",
            {},
            {"train": 12, "val": 8},
            4,
            (f"val/{VAL}2.JPEG", B),
        )
        for inner in ("ILSVRC", "ILSVRC/Data/CLS-LOC")
    ),
    ("02-clsloc-patched2019", "imagenet", {}, {"train": 12, "val": 8}, 4, (f"val/{VAL}2.JPEG", B)),
    ("03-caffe-val-txt/ilsvrc12", "imagenet", {}, {"train": 12, "val": 8}, 4, (f"val/{VAL}2.JPEG", B)),
    ("04-imagenet100-kaggle", "folder", {}, {"train": 12, "val": 8}, 4, (f"val.X/{A}/{VAL}1.JPEG", A)),
    (
        "04-imagenet100-kaggle/imagenet100",
        "imagenet",
        {},
        {"train": 12, "val": 8},
        4,
        (f"val.X/{A}/{VAL}1.JPEG", A),
    ),
    (
        "06-validation-folder/imagenet",
        "folder",
        {},
        {"train": 12, "val": 8},
        4,
        (f"validation/{B}/{VAL}1.JPEG", B),
    ),
    ("06-validation-folder/unpacked-as-named", "imagenet", {}, {"train": 12, "val": 8}, 4, None),
    (
        "06-validation-folder/unpacked-as-named",
        "folder",
        {},
        "'ILSVRC2012_img_val' holds 8 images, but no class",
    ),
    *(
        (
            f"08-tiny-imagenet-variants/{name}/tiny-imagenet-200",
            "tiny-imagenet",
            {},
            {"train": 12, "val": 8},
            4,
            None,
        )
        for name in ("nested-twice", "valprep", "valprep-images")
    ),
    ("11-hf-metadata", "folder", {}, "metadata.csv is a file of the source lists"),
    (
        "13-places365/places365-standard",
        "folder",
        {},
        "places365_train_standard.txt is a file of the source places365",
    ),
    (
        "14-zip-backslashes/my-scenes.zip",
        "folder",
        {},
        {"train": 6, "val": 6},
        2,
        ("val/beach/0.jpg", "beach"),
    ),
    ("21-wnid-name-folders/named", "folder", {}, {"train": 6, "val": 6}, 2, (f"val/{A}_tench/0.JPEG", A)),
    ("21-wnid-name-folders/stanford-dogs", "folder", {}, {"train": 12}, 3, None),
    ("24-next-line/my scenes", "folder", {}, "--option class_level=1 .*--option nested=true"),
    ("24-next-line/my scenes", "folder", {"nested": True}, {"train": 12}, 3, None),
    ("29-imagenet-val-variants/nested-train", "imagenet", {}, {"train": 12, "val": 4}, 4, None),
    (
        "29-imagenet-val-variants/redundant",
        "imagenet",
        {},
        {"train": 12, "val": 8},
        4,
        (f"val/all/{VAL}2.JPEG", B),
    ),
    (
        "29-imagenet-val-variants/valtxt-csv",
        "imagenet",
        {},
        {"train": 12, "val": 8},
        4,
        (f"val/{VAL}2.JPEG", B),
    ),
    ("32-standard-targets/intel", "folder", {}, {"train": 6, "test": 6}, 2, None),
    (
        "32-standard-targets/oxford-iiit-pet",
        "folder",
        {},
        "annotations/trainval.txt is a file of the source pets",
    ),
    (
        "33-flat-test-beside-train/one-stray",
        "folder",
        {},
        {"train": 4, "val": 4},
        2,
        ("val/cat/cat.0.jpg", "cat"),
    ),
    ("sun-gz-beside", "sun397", {}, "SUN397.tar.gz is compressed.*gunzip -k .*SUN397.tar.gz"),
]


@pytest.mark.skipif(not CASES.is_dir(), reason="no folder shared/cases beside the checkout")
@pytest.mark.parametrize("case", FIELD, ids=lambda case: f"{case[0]}, {case[1]}")
def test_inputs_from_the_field(case):
    name, kind, options, *expected = case
    path = CASES / name
    if not path.exists():
        pytest.skip(f"no {name} in shared/cases")
    if len(expected) == 1:
        with pytest.raises(ItlError, match=expected[0]):
            open_source(kind, path, **options).records()
        return
    splits, classes, example = expected
    actual, names, labels = read(kind, path, **options)
    assert (actual, len(names)) == (splits, classes)
    assert (dict([example]) if example else {}).items() <= labels.items()
