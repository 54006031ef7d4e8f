"""Images that a list names in a folder which is not there, though one of almost that name is."""

from time import process_time

import pytest

from itl import ItlError
from itl.sources.files.archives import Listing, Member
from itl.sources.listed.image_finder import ImageNames


def find(name: str, *files: str) -> str:
    """Return the image of *files* that a list calls *name*."""
    listing = Listing()
    for file in files:
        listing.add(file, Member(file))
    return ImageNames(listing).find(name, "train")


@pytest.mark.parametrize(
    ("folder", "cure"),
    [
        ("OLD  OWL", "one is there that differs in its blanks: rename it"),
        ("OLD OWLS", "did you mean 'OLD OWLS'? Correct the list, or rename the folder"),
    ],
)
def test_a_folder_that_is_there_by_another_spelling_is_named(folder, cure):
    files = "train/EMU/1.jpg", f"train/{folder}/1.jpg", "test/EMU/1.jpg"
    with pytest.raises(ItlError) as error:
        find("train/OLD OWL/1.jpg", *files)
    assert str(error.value) == f"lists 'train/OLD OWL/1.jpg', but there is no folder 'OLD OWL'; {cure}"
    assert find(f"train/{folder}/1.jpg", *files) == files[1]


def test_of_other_folders_those_with_the_image_are_named():
    with pytest.raises(
        ItlError, match="'x/1.jpg' could be any of cat/1.jpg, dog/1.jpg; write its folder too"
    ):
        find("x/1.jpg", "cat/1.jpg", "dog/1.jpg")
    assert find("x/2.jpg", "cat/1.jpg", "dog/2.jpg") == "dog/2.jpg"


def test_names_that_repeat_in_many_folders_are_found_in_time_that_does_not_grow_with_these():
    listing = Listing()
    images = [f"train/c{number:04}/{name}.jpg" for number in range(3000) for name in (1, 2)]
    for image in images:
        listing.add(image, Member(image))
    names = ImageNames(listing)
    start = process_time()
    assert [names.find(f"/home/me/data/{image}", "train") for image in images] == images
    assert process_time() - start < 2, "a scan of all folders for each name takes ten seconds"
