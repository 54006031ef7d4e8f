"""Random trees of folders: each is read as it was planted, or refused; and what a refusal offers works."""

import random
import shlex
import sys
from collections import Counter
from pathlib import Path

from itl import ItlError
from itl.sources.files.archives import Listing, Member
from itl.sources.folders.class_folders import ClassFolders
from itl.sources.folders.layout import Choice
from itl.sources.folders.layout_options import recognise
from itl.words import counted

SPELLINGS = {
    "train": ["train", "Train", "training", "train_set", "seg_train", "train.X1", "ILSVRC2012_img_train"],
    "val": ["val", "valid", "Validation", "dev", "val_images"],
    "test": ["test", "Testing", "test_set"],
}
NAMES = [
    "cat",
    "dog",
    "church",
    "train station",
    "caf\u00e9",
    "n01440764",
    "n02085620-Chihuahua",
    "Bus",
    "0",
    "val",
]
WRAPPERS = ["", "", "my-data", "Images", "data/v2"]
SHAPES = ["class", "class", "class/images", "group/class", "class/part", "class/split", "class+deeper"]


def planted(chance: random.Random) -> dict[str, tuple[str, str] | None]:
    """Plant a tree: images by name, with split and class, or None where the image belongs to no class."""
    shape = chance.choice(SHAPES)
    splits = chance.choice(
        [[], ["train"], ["train", "val"], ["train", "test"], ["train", "val", "test"], ["test"]]
    )
    names = chance.sample(NAMES, chance.randint(1, 4))
    groups = chance.sample(["animals", "places", "train", *NAMES[:-1]], 2)
    wrapper = chance.choice(WRAPPERS)
    images: dict[str, tuple[str, str] | None] = {}
    for split in splits or [""]:
        folder = chance.choice(SPELLINGS[split]) if split else ""
        folder = f"{folder}/{folder}" if folder and chance.random() < 0.15 else folder
        top = "/".join(filter(None, [wrapper, folder]))
        for name in names:
            inner = {
                "class": [name],
                "class/images": [f"{name}/images"],
                "group/class": [f"{chance.choice(groups)}/{name}"],
                "class/part": [f"{name}/{part}" for part in chance.sample(["a", "b", "dog", "test"], 2)],
                "class/split": [f"{name}/train"] if split in ("", "train") else [name],
                "class+deeper": [name, f"{name}/more"],
            }[shape]
            label = name.partition("-")[0] if name[:3] == "n02" else name
            for number, path in enumerate(inner):
                images["/".join(filter(None, [top, path, f"{number}.jpg"]))] = (split or "train", label)
        if chance.random() < 0.2:  # beside class folders
            images["/".join(filter(None, [top, "preview.jpg"]))] = None
    if splits and chance.random() < 0.2 and "test" not in splits:  # flat
        images["/".join(filter(None, [wrapper, "test/0.jpg"]))] = None
    if splits and chance.random() < 0.1:  # beside splits; without splits it would be one more class
        images["/".join(filter(None, [wrapper, chance.choice(["thumbs", "cat", "extra"]), "9.jpg"]))] = None
    return images


def test_no_random_tree_is_read_as_another_one():
    """Each of 2,000 trees is read as it was planted, or refused; one without all its images is another."""
    chance, outcomes = random.Random(13), Counter()
    for _ in range(2000):
        images = planted(chance)
        counts = Counter(name.rpartition("/")[0] for name in images)
        try:
            layout = recognise(counts)
        except ItlError:
            outcomes["refused"] += 1
            continue
        reading = {name: layout.class_of.get(name.rpartition("/")[0]) for name in images}
        assert reading == images, (layout, images)
        outcomes["read"] += 1
    assert min(outcomes["read"], outcomes["refused"]) > 300


def test_every_reading_that_a_refusal_offers_works_as_it_says():
    chance, offers = random.Random(7), 0
    for _ in range(300):
        counts = Counter(name.rpartition("/")[0] for name in planted(chance))
        try:
            recognise(counts)
        except ItlError as error:
            for offer in str(error).split("choose how to read it: ")[1:]:
                for text in offer.split(" or --option "):
                    words = shlex.split(text.partition(" (")[0])
                    options = dict(word.split("=", 1) for word in words if word != "--option")
                    level = options.get("class_level")
                    choice = Choice(options.get("splits"), int(level) if level else None, "nested" in options)
                    layout = recognise(counts, choice)
                    assert f"({counted(len(layout.classes), 'classes')}, " in text
                    offers += 1
    assert offers > 100


def calls_to_read(images: int) -> int:
    """Count the calls of functions, Python's and C's, that recognising *images* in 20 class folders takes."""
    files = {f"train/class{number % 20}/{number}.jpg": Member("x") for number in range(images)}
    source, count = ClassFolders(Path("x")), 0
    source.__dict__["listing"] = Listing(files, {name.rpartition("/")[0] for name in files} | {"train"})

    def count_calls(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(count_calls)
    try:
        records = source.records()
    finally:
        sys.setprofile(None)
    assert len(records) == images
    return count


def test_a_million_images_are_recognised_by_their_folders_alone():
    """The work for each image is a few calls, whatever their number: the rules see folders only."""
    few, many = calls_to_read(2000), calls_to_read(8000)
    assert (many - few) / 6000 < 20
    assert many < 4.2 * few
