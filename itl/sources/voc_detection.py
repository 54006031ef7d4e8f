"""VOC 2007 and 2012 detection, and a user's own images in VOC's format: whole images with boxes."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from itl import ItlError
from itl.hierarchy.voc_classes import PASCAL
from itl.sources import archives
from itl.sources.annotated import Annotated, Survey, size_at
from itl.sources.archives import Listing
from itl.sources.proposals import find_regions
from itl.sources.records import Record, is_image, some
from itl.sources.voc_xml import devkit, divided, look_at, read_list, within

LISTS = ("train", "val", "trainval", "test")


@dataclass(frozen=True)
class Voc2007(Annotated):
    """VOC 2007 in place: VOCdevkit, a folder around it, VOC2007 itself, or the published tars in one folder.

    An image has objects of several classes, so a record's class is empty; `annotation` has them.
    """

    path: Path
    classes: str | None = None              # a,b,c: class names, instead of PASCAL's 20
    bad: str = "refuse"                     # refuse or skip: what to do about images with problems
    outside: str = "refuse"                 # refuse or cut: what to do about boxes that leave their image
    proposals: str | None = None            # file of region proposals, to be packed with the images
    kind = "voc2007"
    year = "VOC2007"

    @property
    def protocol(self) -> str:
        """Name the division of the images; that of one's own classes has no name."""
        return "" if self.classes else self.survey.following(self.year)

    @cached_property
    def survey(self) -> Survey:
        """All that was found, good and bad; reads lists, annotations and the images' headers, once."""
        found = Survey(self.kind, Path(self.path))
        images = images_of(self._files)
        split_of = self._splits(found, images)
        found.left_out["images in no list"] += len(images.keys() - split_of.keys())
        self._leave_unannotated_test(found, split_of)
        odd = [image for image in split_of if not self._take(found, image, split_of[image], images[image])]
        if odd:
            found.notes.append(f"{len(odd):,} annotations tell another size than their images have, such as "
                               f"{some(odd)}; all boxes lie inside the images")
        names = class_names(self.classes)
        found.refuse_unknown(names, "for other classes than PASCAL's, set the option classes=a,b,c")
        if self.proposals:
            found.regions = find_regions(found, self.proposals, self.outside)
        return found.settled(self.bad)

    @cached_property
    def _files(self) -> Listing:
        return devkit(Path(self.path), self.year)

    def _splits(self, found: Survey, images: dict[str, tuple]) -> dict[str, str]:
        """Which images are in which split, by the lists; those that are not there are refused."""
        lists = {}
        for name in LISTS:
            place = self._files.files.get(f"ImageSets/Main/{name}.txt")
            if place:
                lists[name] = [named(line, images) for line in read_list(archives.read(place))]
        if not lists:
            raise ItlError(f"{self.path}: {self.year}/ImageSets/Main has no list of images; write train.txt "
                           f"and test.txt there, an image's name without its suffix on each line")
        split_of, twice = divided(lists, found.notes)
        refuse_twice(found, twice, "images")
        for name, listed in lists.items():
            gone = sorted({image for image in listed if image not in images and split_of.pop(image, None)})
            found.refuse_each(
                {self._id(image): f"ImageSets/Main/{name}.txt lists {image[:60]!r}, but JPEGImages has no "
                                  f"such image; copy it again, or take it off the list" for image in gone},
                f"ImageSets/Main/{name}.txt lists {len(gone):,} images that JPEGImages does not have")
        return split_of

    def _leave_unannotated_test(self, found: Survey, split_of: dict[str, str]) -> None:
        """Drop the test split where not all of it is annotated, as in 2012's, whose truth is not public."""
        test = [image for image, split in split_of.items() if split == "test"]
        bare = [image for image in test if f"Annotations/{image}.xml" not in self._files.files]
        if bare and (len(bare) == len(test) or self.year != "VOC2007"):
            found.left_out["images of a test split without annotations"] += len(test)
            found.notes.append(f"{len(bare):,} of {len(test):,} test images have no annotation, so test is "
                               f"left out; scores are measured on val")
            for image in test:
                del split_of[image]

    def _take(self, found: Survey, image: str, split: str, image_place: tuple[str, tuple]) -> bool:
        """Take in one image with its objects, or its problems; False where sizes differ for no harm."""
        name, place = image_place
        xml = f"Annotations/{image}.xml"
        record, things, same = Record(self._id(image), "", split, place), [], True
        try:
            if xml not in self._files.files:
                raise ItlError(f"{xml} is missing, though {image} is in {split}; copy the annotations again")
            annotation, trouble = look_at(archives.read(self._files.files[xml]), xml, self.outside)
            for line in trouble:
                found.refuse(line, record.id)
            found.sizes[record.id] = size = size_at(place, name)
            said = (annotation.width, annotation.height)
            same = None in said or said == size
            for thing in annotation.things:
                things.append(within(thing, *size, f"{xml} (by the size of {name})", self.outside))
        except ItlError as error:
            found.refuse(str(error), record.id)
        found.add(record, things)
        return same

    def _id(self, image: str) -> str:
        return f"{self.year}/{image}"


@dataclass(frozen=True)
class Voc2012(Voc2007):
    """VOC 2012 in place, as VOC 2007 is; its test images have no public annotations, so val is scored."""

    kind = "voc2012"
    year = "VOC2012"


def images_of(files: Listing) -> dict[str, tuple[str, tuple]]:
    """Name and place of each file in JPEGImages, by the name that lists and annotations know it by.

    >>> images_of(Listing({"JPEGImages/000005.jpg": ("here",), "JPEGImages/notes.txt": ("there",)}))
    {'000005': ('JPEGImages/000005.jpg', ('here',))}
    """
    names = [name for name in sorted(files.files) if name.startswith("JPEGImages/") and is_image(name)]
    return {name.removeprefix("JPEGImages/").rpartition(".")[0]: (name, files.files[name]) for name in names}


def named(line: str, images: Iterable[str]) -> str:
    """The image that a *line* of a list means: its first word, unless names have spaces or suffixes.

    >>> named("000005 -1", ["000005"]), named("my cat.jpg", ["my cat"])
    ('000005', 'my cat')
    """
    word = (line.split() or [line])[0]
    for name in (line, word, *(each.rpartition(".")[0] for each in (line, word) if is_image(each))):
        if name in images:
            return name
    return word


def class_names(told: str | Iterable[str] | None) -> list[str]:
    """The class names of the option *told*, a,b,c or a list; PASCAL's 20 without it."""
    if told is None:
        return list(PASCAL)
    names = [name.strip() for name in (told.split(",") if isinstance(told, str) else map(str, told))]
    if not all(names) or len(set(names)) < len(names):
        raise ItlError(f"classes are different names, as in classes=cat,dog; got {told!r}")
    return names


def refuse_twice(found: Survey, twice: dict[str, str], what: str) -> None:
    """Refuse what two splits claim, a line for each two: a score on images learned from says nothing."""
    for splits in sorted(set(twice.values())):
        names = [name for name, both in twice.items() if both == splits]
        found.refuse(f"{len(names):,} {what} are in {splits}, such as {some(names)}; leave each in one")
