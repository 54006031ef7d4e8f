"""VOC 2012 actions: what the person in a given box is doing; one record for each person."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from itl import ItlError, pick
from itl.sources import archives
from itl.sources.annotated import Annotated, Survey, size_at
from itl.sources.archives import Listing
from itl.sources.boxes import Thing, around
from itl.sources.image_files import pixels_of
from itl.sources.records import Record, some
from itl.sources.voc_detection import LISTS, images_of, refuse_twice
from itl.sources.voc_xml import Annotation, devkit, divided, look_at, read_list, within

ACTIONS = ("jumping", "phoning", "playinginstrument", "reading", "ridingbike", "ridinghorse", "running",
           "takingphoto", "usingcomputer", "walking")
OTHER = "other"                             # the annotations' word for none of these


@dataclass(frozen=True)
class VocAction(Annotated):
    """VOC 2012's action task in place: a VOCdevkit, the folder VOC2012, or the published tars in one folder.

    A record is a person, ``VOC2012/2010_006215#1``: the first object of that image's annotation. Its pixels
    are the person's box enlarged *context* times; its class is empty, as people do several things at once.
    """

    path: Path
    context: float = 1.25
    bad: str = "refuse"                     # refuse or skip: what to do about people on images with problems
    outside: str = "refuse"                 # refuse or cut: what to do about boxes that leave their image
    kind = "voc2012-action"
    counted = ("people", "actions")

    def __post_init__(self) -> None:
        """Refuse a crop that shows nothing."""
        context = self.context
        if not isinstance(context, int | float) or not (math.isfinite(context) and context > 0):
            raise ItlError(f"context enlarges a person's box: 1 is the box alone, not {context!r}")

    @property
    def protocol(self) -> str:
        """Name the division of the people."""
        return self.survey.following("VOC2012 Action")

    @cached_property
    def survey(self) -> Survey:
        """All that was found, good and bad; reads lists, annotations and the images' headers, once."""
        found = Survey(self.kind, Path(self.path))
        lists, flags = self._lists(found)
        split_of, twice = divided(lists, found.notes)
        refuse_twice(found, twice, "people")
        people = {}
        for person in split_of:
            people.setdefault(person.partition("#")[0], []).append(person)
        images = images_of(self._files)
        found.left_out["images without a listed person"] += len(images.keys() - people.keys())
        for image, persons in people.items():
            try:
                annotation = self._annotation(found, image, persons, images)
            except ItlError as error:
                found.refuse(str(error), *map(_id, persons))
                continue
            for person in persons:
                self._take(found, person, split_of[person], (annotation, images[image][1]), flags)
        self._tell_unlabelled_test(found)
        return found.settled(self.bad)

    def read(self, record: Record) -> np.ndarray:
        """Decode the person of *record* with its context: uint8 (H, W, 3)."""
        place, box = record.place
        pixels, _ = pixels_of(archives.read(place), record.id)
        return np.ascontiguousarray(pixels[around(box, self.context, pixels.shape[1], pixels.shape[0])])

    @cached_property
    def _files(self) -> Listing:
        return devkit(Path(self.path), "VOC2012")

    def _lists(self, found: Survey) -> tuple[dict[str, list[str]], dict[str, dict[str, int]]]:
        """People (image#object) by list, and each one's flags by action, from ImageSets/Action.

        ``train.txt`` has lines `IMAGE OBJECT`, ``jumping_train.txt`` lines `IMAGE OBJECT FLAG`, as the
        development kit reads them; objects count from 1. Without the former the latter say who is listed.
        """
        lists, listed, flags = {}, {}, {}
        for name, place in sorted(self._files.files.items()):
            action, _, split = name.removeprefix("ImageSets/Action/").removesuffix(".txt").rpartition("_")
            if not (name.startswith("ImageSets/Action/") and name.endswith(".txt") and split in LISTS):
                continue
            rows = self._rows(found, name, read_list(archives.read(place)), bool(action))
            if not action:
                lists[split] = [person for person, _ in rows]
                continue
            try:
                pick(dict.fromkeys(ACTIONS), action, "action")
            except ItlError as error:
                found.refuse(f"{name}: {error}; rename or remove it")
                continue
            listed.setdefault(split, {}).update(dict.fromkeys(person for person, _ in rows))
            for person, flag in rows:
                if flags.setdefault(person, {}).setdefault(action, flag) != flag:
                    found.refuse(f"{name}: {person} has flag {flag}, but another in another list of "
                                 f"{action}; mend one", _id(person))
        lists = {**{split: list(people) for split, people in listed.items()}, **lists}
        if not lists and not found.problems:
            raise ItlError(f"{self.path}: VOC2012/ImageSets/Action has no list of people; the published "
                           f"VOCtrainval_11-May-2012.tar has them, lines `IMAGE OBJECT` in train.txt")
        return {split: lists[split] for split in LISTS if split in lists}, flags

    def _rows(self, found: Survey, name: str, lines: list[str], flagged: bool) -> list[tuple[str, int]]:
        """People and flags of one list; lines that are otherwise are refused."""
        rows = []
        for number, line in enumerate(lines, 1):
            image, *numbers = line.split()
            if not numbers and not flagged:                 # as in VOC 2010: all people on the image
                rows += [(f"{image}#{place}", 0) for place in self._doing(image)]
                continue
            try:
                place, *rest = map(int, numbers)
                if place < 1 or len(rest) != flagged or (flagged and rest[0] not in (-1, 0, 1)):
                    raise ValueError
            except ValueError:
                form = "IMAGE OBJECT FLAG, the flag -1, 0 or 1" if flagged else "IMAGE OBJECT"
                found.refuse(f"{name}, line {number}: {line[:60]!r} is not {form}, objects from 1")
                continue
            rows.append((f"{image}#{place}", rest[0] if flagged else 0))
        return rows

    def _doing(self, image: str) -> list[int]:
        """Numbers of the objects of *image* of which the annotation says what they do; 1 where it is bad."""
        place = self._files.files.get(f"Annotations/{image}.xml")
        try:
            annotation = look_at(archives.read(place), image)[0] if place else None
        except ItlError:
            annotation = None
        said = annotation.actions if annotation else ({"": True},)
        return [number for number, actions in enumerate(said, 1) if actions]

    def _annotation(self, found: Survey, image: str, persons: list[str], images: Mapping) -> Annotation:
        """Read what is on *image*; ItlError with what is wrong, after all but the last have been told."""
        xml = f"Annotations/{image}.xml"
        for name, there in ((f"JPEGImages/{image}.jpg", image in images), (xml, xml in self._files.files)):
            if not there:
                raise ItlError(f"ImageSets/Action lists {image[:60]!r}, but {name[:80]!r} is missing; copy "
                               f"it again, or take it off the lists")
        name, place = images[image]
        annotation, trouble = look_at(archives.read(self._files.files[xml]), xml, self.outside)
        size = size_at(place, name)
        if not trouble:
            things = tuple(within(thing, *size, f"{xml} (by the size of {name})", self.outside)
                           for thing in annotation.things)
            return Annotation(*size, things, annotation.actions)
        for line in trouble[:-1]:
            found.refuse(line, *map(_id, persons))
        raise ItlError(trouble[-1])

    def _take(self, found: Survey, person: str, split: str, seen: tuple, flags: dict) -> None:
        """Take in one person of the image *seen* (annotation, place), or what is wrong with it."""
        annotation, place = seen
        image, _, number = person.partition("#")
        xml = f"Annotations/{image}.xml"
        if int(number) > len(annotation.things):
            found.refuse(f"{xml} has {len(annotation.things)} objects, but ImageSets/Action lists number "
                         f"{number} of {image}; get both from one release", _id(person))
            return
        thing, said = annotation.things[int(number) - 1], annotation.actions[int(number) - 1]
        if thing.name != "person":
            found.refuse(f"{xml}: object {number} is listed as a person but is {thing.name!r}; get lists and "
                         f"annotations from one release", _id(person))
            return
        known = {action: 1 if does else -1 for action, does in said.items() if action != OTHER}
        for action in known:
            try:
                pick(dict.fromkeys(ACTIONS), action, "action")
            except ItlError as error:
                found.refuse(f"{xml}, object {number}: {error}", _id(person))
                return
        known |= flags.get(person, {})
        if not known and split != "test":
            found.refuse(f"{person} is in {split}, but neither lists nor {xml} say what it does; get both "
                         f"from one release", _id(person))
            return
        record = Record(_id(person), "", split, (place, thing.box))
        found.add(record, [Thing(action, thing.box, known[action] == 0, thing.truncated)
                           for action in ACTIONS if known.get(action, -1) >= 0])
        if not known:
            found.left_out["unlabelled people of test"] += 1

    def _tell_unlabelled_test(self, found: Survey) -> None:
        """Leave out a test split of which nothing is known, as of the published one."""
        test = [record for record in found.records if record.split == "test"]
        bare = found.left_out["unlabelled people of test"]
        if bare:
            found.left_out["unlabelled people of test"] = len(test)
            found.records = [record for record in found.records if record.split != "test"]
            found.notes.append(f"{bare:,} of {len(test):,} people in test are not labelled, such as "
                               f"{some([each.id for each in test])}; test is left out, scores are measured "
                               f"on val")


def _id(person: str) -> str:
    return f"VOC2012/{person}"
