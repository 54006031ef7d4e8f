"""Duplicates: planted copies are found, other images are not; the fast search agrees with a literal one."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from itl.__main__ import main
from itl.packs import duplicates
from itl.packs.duplicates import (
    MAX_DIFFERENCE,
    MIN_CONTRAST,
    across_splits,
    between,
    count_text,
    is_compared,
    of_two_classes,
    thumbnails,
)
from itl.packs.pack import Pack
from itl.sources.registry import open_source
from itl.specs import Packing
from tests.pictures import REAL, encoded, smooth

VARIANTS = {
    "exact": lambda image: image,
    "q70": lambda image: Image.open(io.BytesIO(encoded(np.asarray(image), "JPEG", quality=70))),
    "smaller": lambda image: image.resize((40, 32), Image.Resampling.BICUBIC),
    "larger": lambda image: image.resize((150, 120), Image.Resampling.BICUBIC),
    "mirrored": ImageOps.mirror,
}


def picture(seed: int, width: int = 80, height: int = 64) -> Image.Image:
    """A picture of colour blobs, as different from others as photographs are."""
    cells = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)


def write(folder: Path, split: str, images: dict[str, Image.Image]) -> None:
    for number, (name, image) in enumerate(images.items()):
        path = folder / split / "ab"[number % 2] / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)


def packed(folder: Path, out: Path, size: int = 48, fit: str = "squash") -> Pack:
    return Pack.build(Packing("folder", size=size, fit=fit), out, path=folder)


def names(table: pd.DataFrame) -> set[tuple[str, str, str]]:
    return {(Path(row.image).stem, Path(row.other).stem, row.kind) for row in table.itertuples()}


@pytest.fixture(scope="module")
def leaky(tmp_path_factory) -> Pack:
    """Forty training images, and forty test images of which five are copies of training images."""
    folder = tmp_path_factory.mktemp("leaky")
    write(folder / "images", "train", {f"{seed}": picture(seed) for seed in range(40)})
    copies = {name: change(picture(seed)) for seed, (name, change) in enumerate(VARIANTS.items())}
    write(folder / "images", "test", copies | {f"{seed}": picture(seed) for seed in range(100, 135)})
    return packed(folder / "images", folder / "packs/leaky")


def test_planted_copies_are_found_and_nothing_else(leaky):
    table = across_splits(leaky)
    kinds = {name: "exact" if name == "exact" else "near" for name in VARIANTS}
    assert names(table) == {(str(seed), name, kinds[name]) for seed, name in enumerate(VARIANTS)}
    assert set(table["split"]) == {"train"}
    assert set(table["other_split"]) == {"test"}
    assert table["difference"].between(0, MAX_DIFFERENCE).all()
    assert count_text(table) == "5 (1 exact, 4 near)"


def test_the_table_is_kept_for_these_two_packs(leaky, monkeypatch):
    first = across_splits(leaky)
    monkeypatch.setattr(duplicates, "thumbnails", None)  # would fail if it were called
    pd.testing.assert_frame_equal(across_splits(leaky), first)


def test_kept_tables_and_thumbnails_that_a_power_cut_damaged_are_made_again(leaky):
    first = across_splits(leaky)
    tables = list(leaky.folder.parent.glob("duplicates-*"))
    thumbs = list(leaky.folder.glob("thumbnails-*"))
    assert tables
    assert thumbs
    for files in ([*tables], [*tables, *thumbs]):
        for part in (0, 2):
            for file in files:
                os.truncate(file, file.stat().st_size // part if part else 0)
            with pytest.warns(UserWarning, match="is damaged; it is made again") as notes:
                pd.testing.assert_frame_equal(across_splits(leaky), first)
            assert {str(note.message).split()[0] for note in notes} == {str(file) for file in files}


def test_where_nothing_can_be_written_images_are_compared_once_in_a_process(tmp_path, monkeypatch):
    write(tmp_path / "images", "train", {"one": picture(1), "two": picture(2)})
    write(tmp_path / "images", "test", {"copy": picture(1)})
    pack = packed(tmp_path / "images", tmp_path / "packs/read-only")
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    assert not is_compared(pack, "train", pack.digest, "test")
    first = across_splits(pack)
    assert is_compared(pack, "train", pack.digest, "test")
    assert thumbnails(pack, "whole") is thumbnails(pack, "whole")
    monkeypatch.setattr(duplicates, "between_rows", None)  # would fail if it were called
    pd.testing.assert_frame_equal(across_splits(pack), first)
    assert [path.name for path in (tmp_path / "packs").glob("duplicates-*")] == []


def test_thumbnails_of_a_pack_that_was_replaced_meanwhile_are_not_kept_as_those_of_the_new_one(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.png").write_bytes(encoded(smooth(40, 40)))
    packing, out = Packing("folder", size=32), tmp_path / "pack"
    old = Pack.build(packing, out, path=tmp_path / "photos")
    assert old.images.any(), "they are open"
    (tmp_path / "photos/cat/1.png").write_bytes(encoded(255 - smooth(40, 40)))
    new = Pack.build(packing, out, path=tmp_path / "photos")
    before = thumbnails(old, "whole")
    assert not np.array_equal(thumbnails(new, "whole")[0], before[0])


@pytest.mark.parametrize(("size", "fit"), [(64, "squash"), (48, "pad"), (33, "pad"), (40, "crop")])
def test_packs_of_other_size_and_fit_are_compared_in_the_part_that_both_show(leaky, tmp_path, size, fit):
    seeds = {"wide": 1, "other": 200}
    write(tmp_path / "target", "test", {name: picture(seed) for name, seed in seeds.items()})
    write(tmp_path / "target", "train", {"a": picture(300), "b": picture(301)})
    target = packed(tmp_path / "target", tmp_path / "packs/target", size, fit)
    assert names(between(leaky, "train", target, "test")) == {("1", "wide", "near")}


def test_of_packs_with_one_digest_whatever_their_fit_there_is_one_answer(tmp_path):
    """Of square images; the table is kept by digest, and so are the nets that leave duplicates out."""
    square = {f"{number}": picture(number, 64, 64) for number in range(6)}
    wide = {name: picture(100 + int(name), 128, 64) for name in square}
    for name, image in square.items():
        wide[name].paste(image, (32, 0))  # a crop of the wide one would show it alone
    write(tmp_path / "target", "test", square)
    write(tmp_path / "pre", "train", wide)
    pre = packed(tmp_path / "pre", tmp_path / "packs/pre")
    tables = []
    for fit in ("crop", "squash"):
        target = packed(tmp_path / "target", tmp_path / f"{fit}/target", fit=fit)
        tables.append((target.digest, between(target, "test", pre, "train").to_dict()))
    assert tables[0] == tables[1]


def test_plain_images_are_compared_exactly_only(tmp_path):
    grey = Image.new("RGB", (64, 64), (100, 100, 100))
    paler = Image.new("RGB", (64, 64), (101, 100, 100))
    write(tmp_path / "images", "train", {"one": grey, "two": picture(1)})
    write(tmp_path / "images", "test", {"same": grey, "paler": paler})
    table = across_splits(packed(tmp_path / "images", tmp_path / "packs/plain"))
    assert names(table) == {("one", "same", "exact")}


@pytest.mark.parametrize("tint", [(40, 90, 200), (200, 120, 170), (128, 128, 128)])
def test_a_tint_that_all_images_share_makes_none_a_duplicate(tmp_path, tint):
    """As underwater photos and stained slides have it: what differs is the texture, of little contrast."""
    random = np.random.default_rng(0)
    images = {}
    for number in range(24):
        texture = random.normal(0, 8, (8, 8, 1)).repeat(6, 0).repeat(6, 1)
        images[str(number)] = Image.fromarray(np.clip(texture + tint, 0, 255).astype(np.uint8))
    write(tmp_path / "images", "train", images)
    write(tmp_path / "images", "val", {"copy": images["3"].transpose(Image.Transpose.FLIP_LEFT_RIGHT)})
    table = across_splits(packed(tmp_path / "images", tmp_path / "packs/tinted"))
    assert names(table) == {("3", "copy", "near")}


def test_copies_in_one_split_under_two_classes_are_found(tmp_path, capsys):
    names_and_seeds = {
        "a": 0,
        "b": 1,
        "copy": 0,
        "again": 1,
        "of-a": 0,
        "of-a-too": 0,
    }  # classes a, b, a, b …
    write(tmp_path / "images", "train", {name: picture(seed) for name, seed in names_and_seeds.items()})
    write(tmp_path / "images", "val", {"other": picture(2), "in-val": picture(0)})
    pack = packed(tmp_path / "images", tmp_path / "packs/labels")
    assert names(of_two_classes(pack)) == {("a", "of-a-too", "exact")}
    assert main(["duplicates", str(pack.folder)]) == 0
    output = capsys.readouterr()
    assert "1 (1 exact, 0 near) of 8 images are in one split under two classes" in output.err
    assert "train/a/a.png,train,train/b/of-a-too.png,train,exact,0.0," in output.out


@pytest.mark.parametrize("names_of_classes", [("cat", "dog"), ("dog", "cat")])
def test_of_copies_under_two_classes_those_of_the_rarer_class_are_listed(tmp_path, names_of_classes):
    usual, rare = names_of_classes
    for number, (name, seed) in enumerate([(usual, 0), (usual, 0), (rare, 0), (usual, 1), (rare, 2)]):
        path = tmp_path / "images/train" / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(path)
    pairs = of_two_classes(packed(tmp_path / "images", tmp_path / "packs/labels"))
    assert pairs["other"].tolist() == [f"train/{rare}/2.png"]


@pytest.mark.parametrize("block", [8, 1024])
def test_the_search_finds_the_nearest_that_comparing_every_pair_finds(tmp_path, monkeypatch, block):
    """Pictures that are a little, and more and more, like one."""
    monkeypatch.setattr(duplicates, "BLOCK", block)
    base = np.asarray(picture(0), np.float32)
    mixed = {}
    for step in range(60):
        other = np.asarray(picture(1 + step % 7), np.float32)
        pixels = base + step / 200 * (other - base)
        mixed[f"{step}"] = Image.fromarray(pixels[:, :: -1 if step % 2 else 1].astype(np.uint8))
    write(tmp_path / "images", "train", {name: image for name, image in mixed.items() if int(name) % 3})
    write(tmp_path / "images", "val", {name: image for name, image in mixed.items() if not int(name) % 3})
    pack = packed(tmp_path / "images", tmp_path / "packs/mixed")
    thumbs, splits = thumbnails(pack, "whole").astype(np.float64), pack.table["split"]
    images = [Path(image).stem for image in pack.table["image"]]
    alike = {}
    for one in np.flatnonzero(splits == "train"):
        for two in np.flatnonzero(splits == "val"):
            contrast = min(np.sqrt(thumbs[row].var(axis=(0, 1)).mean()) for row in (one, two))
            differences = [
                np.sqrt(np.square(thumbs[one] - other).mean()) / contrast
                for other in (thumbs[two], thumbs[two][:, ::-1])
            ]
            if contrast >= MIN_CONTRAST and min(differences) <= MAX_DIFFERENCE:
                alike[images[one], images[two]] = round(min(differences), 4)
    nearest = set()
    for side in (0, 1):
        for image in {pair[side] for pair in alike}:
            nearest.add(min((pair for pair in alike if pair[side] == image), key=alike.__getitem__))
    assert len(alike) > len(nearest) > 20
    table = across_splits(pack)
    assert names(table) == {(one, two, "near") for one, two in nearest}
    listed = zip(table["image"], table["other"], strict=True)
    assert table["difference"].tolist() == pytest.approx(
        [alike[Path(one).stem, Path(two).stem] for one, two in listed], abs=1e-4
    )


def test_of_many_copies_each_is_listed_once_with_an_exact_one_before_a_near_one(tmp_path):
    """As placeholders, blank tiles and camera traps have them: their pairs are millions."""
    paler = ImageOps.mirror(picture(0).resize((150, 120), Image.Resampling.BICUBIC))
    copies = {f"copy{number}": picture(0) for number in range(30)}
    write(tmp_path / "images", "train", copies | {"near": paler, "other": picture(1)})
    write(tmp_path / "images", "test", dict(list(copies.items())[:20]) | {"near": paler, "else": picture(2)})
    table = across_splits(packed(tmp_path / "images", tmp_path / "packs/copies"))
    assert set(table["kind"]) == {"exact"}, "the nearest of each, although a near one is there as well"
    assert {Path(image).stem for image in table["image"]} == {*copies, "near"}
    assert count_text(table) == "21 (21 exact, 0 near)"
    assert len(table) == 30 + 20 - 1 + 1, "the first of either side are each other's"


@pytest.mark.parametrize("way", ["BILINEAR", "BICUBIC", "LANCZOS", "BOX"])
def test_rendered_images_at_half_their_size_are_found(way, tmp_path):
    """From 48 pixels to 24; without a filter that averages, other pixels would remain."""
    world = open_source("demo", classes=6, train=10, val=1, size=48)
    images = {str(number): Image.fromarray(world.read(one)) for number, one in enumerate(world.records())}
    write(tmp_path / "images", "train", images)
    small = {name: image.resize((24, 24), Image.Resampling[way]) for name, image in images.items()}
    write(tmp_path / "images", "val", small)
    table = across_splits(packed(tmp_path / "images", tmp_path / "packs/demo"))
    assert names(table) == {(name, name, "near") for name in images}


@pytest.mark.skipif(not REAL.is_dir(), reason="no real images in ../shared/data")
def test_copies_among_real_images_are_found(tmp_path):
    images = {}
    with tarfile.open(REAL / "tiny-imagenet-100.tar") as tar:
        for member in tar:
            if member.name.endswith(".JPEG") and len(images) < 1000:
                images[str(len(images))] = Image.open(io.BytesIO(tar.extractfile(member).read())).convert(
                    "RGB"
                )
    write(tmp_path / "images", "train", images)
    changes = list(VARIANTS.items())[1:]
    copies = {}
    for number in range(0, 1000, 5):
        name, change = changes[number // 5 % len(changes)]
        copies[f"{number}-{name}"] = change(images[str(number)])
    write(tmp_path / "images", "val", copies)
    table = across_splits(packed(tmp_path / "images", tmp_path / "packs/real"))
    planted = {(name.split("-")[0], name, "near") for name in copies}
    assert len(names(table) & planted) >= 0.95 * len(planted)
    assert names(table) <= planted
