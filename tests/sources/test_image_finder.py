"""Images that a list names otherwise than they are called: what is said, and how soon."""

from time import process_time

import pytest

from itl import ItlError
from itl.sources.files.archives import Listing, Member
from itl.sources.listed.image_finder import ImageFinder, ImageNames


def find(name: str, *files: str) -> str:
    """Return the image of *files* that a list calls *name*."""
    listing = Listing()
    for file in files:
        listing.add(file, Member(file))
    return ImageNames(listing).find(name, "train")


def test_a_folder_that_is_there_by_another_spelling_is_named():
    files = "train/EMU/1.jpg", "train/OLD OWLS/1.jpg", "test/EMU/1.jpg"
    with pytest.raises(ItlError) as error:
        find("train/OLD OWL/1.jpg", *files)
    assert str(error.value) == (
        "lists 'train/OLD OWL/1.jpg', but there is no such image; copy it again, or remove it, or correct "
        "its name, if it is one of test/EMU/1.jpg, train/EMU/1.jpg, train/OLD OWLS/1.jpg"
    )
    assert find("train/OLD OWLS/1.jpg", *files) == files[1]


def test_an_image_of_another_suffix_is_offered_if_there_is_one():
    with pytest.raises(ItlError, match=r"there is no such image; did you mean cat/1.JPG\?"):
        find("cat/1.png", "cat/1.JPG", "cat/2.JPG")
    with pytest.raises(ItlError, match="there is no such image; copy it again, or remove it"):
        find("cat/1.png", "cat/1.JPG", "dog/1.JPG")


def test_of_other_folders_those_with_the_image_are_named():
    with pytest.raises(ItlError, match="or correct its name, if it is one of cat/1.jpg, dog/1.jpg$"):
        find("x/1.jpg", "cat/1.jpg", "dog/1.jpg")
    assert find("x/2.jpg", "cat/1.jpg", "dog/2.jpg") == "dog/2.jpg"


@pytest.mark.parametrize("listed", [["cat/1.jpg", "dog/2.jpg"], ["dog/2.jpg", "cat/1.jpg"]])
@pytest.mark.parametrize("folder", ["cat", "all"])
def test_an_image_in_a_folder_that_is_listed_itself_is_none_of_a_folder_that_is_not_there(listed, folder):
    """Else the photos of cats would be those of dogs, where the folder of dogs was not copied."""
    listing = Listing()
    for number in (1, 2):
        listing.add(f"images/{folder}/{number}.jpg", Member(""))
    names = ImageFinder(listing)
    images = [names.find(name, "train") for name in listed]
    assert sorted(images) == [f"images/{folder}/1.jpg", f"images/{folder}/2.jpg"]
    if folder == "all":  # as photos of several folders may be copied into one
        assert names.describe_elsewhere()[0].startswith("2 images are not in the folder that a list names")
        return
    with pytest.raises(ItlError) as refused:
        names.describe_elsewhere()
    assert str(refused.value) == (
        "a list has 'dog/2.jpg', which is not there, though images/cat/2.jpg is, in the folder of "
        "images/cat/1.jpg, which is listed too; copy the image again, or correct the list"
    )


REPEATED = {  # how names repeat in many folders: an image, and what a list calls it
    "files": ("train/c{:04}/1.jpg", "/home/me/data/train/c{:04}/1.jpg"),
    "folders": ("train/patient{:04}/study1/1.jpg", "/home/me/data/train/patient{:04}/study1/1.jpg"),
    "folders of two splits": ("train/clip{:04}/rgb/1.jpg", "/home/me/clip{:04}/rgb/1.jpg"),
    "ids": ("train/patient{:04}/study1/1.jpg", "data/patient{:04}/study1/1"),
}


@pytest.mark.parametrize("shape", REPEATED)
def test_names_that_repeat_in_many_folders_are_found_in_time_that_does_not_grow_with_these(shape):
    image, name = REPEATED[shape]
    listing = Listing()
    images = [image.format(number) for number in range(3000)]
    for file in [*images, *(file.replace("train", "val") for file in images if "two splits" in shape)]:
        listing.add(file, Member(file))
    names = ImageFinder(listing)
    start = process_time()
    assert [names.find(name.format(number), "train") for number in range(3000)] == images
    assert process_time() - start < 1, "a scan of all folders for each name takes four seconds or more"


@pytest.mark.parametrize(
    "name", ["data/train/patient{:04}/study1/1.jpg", "data/patient0000/study{:04}/1.jpg"]
)
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_very_many_images_that_are_not_there_are_refused_soon(name, suffix):
    listing = Listing()
    for number in range(3000):
        listing.add(f"train/patient{number:04}/study1/1.jpg", Member(""))
    names = ImageFinder(listing)
    start = process_time()
    for number in range(3000, 6000):
        with pytest.raises(ItlError):
            names.find(name.format(number).replace(".jpg", suffix), "train")
    assert process_time() - start < 2, "a scan of all folders for each name takes as long or longer"
