"""Words of messages: one image is no 1 images."""

import re
from pathlib import Path

from itl.words import counted

ROOMS = ("sources", "packs", "runs")
PROTOCOL = "return protocol + "  # what results of other versions say, so that it stays as it is
NOUNS = "images|runs|files|classes|folders|objects|shards|samples|trainings|evaluations|packs|wnids"
# {count:,} images, {len(rows)} files: a number and a plural; not: 2 of {count} images
PLURAL_OF_ANY_NUMBER = re.compile(
    rf"(?<!of )(?<!of the )\{{(?:[^{{}}]*:,|len\([^{{}}]*\))\}} (?:[a-z]+ )?(?:{NOUNS})\b"
)


def test_numbers_of_things_are_written_by_one_function():
    root = Path(__file__).parents[1] / "itl"
    files = [root / "commands.py", *(file for room in ROOMS for file in sorted((root / room).rglob("*.py")))]
    lines = [(file.name, line) for file in files for line in file.read_text("utf-8").splitlines()]
    assert len(lines) > 5000
    assert [one for one in lines if PLURAL_OF_ANY_NUMBER.search(one[1]) and PROTOCOL not in one[1]] == []
    assert PLURAL_OF_ANY_NUMBER.search('f"{len(rows):,} other files"'), "which it would find"


def test_one_of_a_thing_is_in_the_singular():
    several = {
        "images": "image",
        "classes": "class",
        "boxes": "box",
        "entries": "entry",
        "class folders hold": "class folder holds",
        "people are": "person is",
        "images that are": "image that is",
        "images of classes that a list does not have": "image of classes that a list does not have",
        "val images have": "val image has",
    }
    assert {words: counted(1, words) for words in several} == {
        words: f"1 {one}" for words, one in several.items()
    }
    assert [counted(count, "class folders hold") for count in (0, 2, 1000)] == [
        "0 class folders hold",
        "2 class folders hold",
        "1,000 class folders hold",
    ]
