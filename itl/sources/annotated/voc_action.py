"""VOC 2012 actions: what the person in a given box is doing; one record for each person."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from itl.errors import ItlError, no_such
from itl.iteration import grouped
from itl.sources.annotated.voc_detection import VocSource
from itl.sources.annotated.voc_devkit import (
    LISTS,
    images_named,
    list_of_word,
    read_list,
    split_line,
    splits_of_lists,
)
from itl.sources.annotated.voc_xml import Annotation, parse_annotation, parse_xml
from itl.sources.boxes import AnnotatedObject, check_context, crop_with_context
from itl.sources.files.image_files import pixels_of
from itl.sources.records import Record
from itl.sources.scan import Scan
from itl.sources.source import NO_TRAINING
from itl.sources.split_names import SPLIT_ORDER
from itl.words import counted, examples

ACTIONS = (
    *("jumping", "phoning", "playinginstrument", "reading", "ridingbike"),
    *("ridinghorse", "running", "takingphoto", "usingcomputer", "walking"),
)
OTHER = "other"  # the annotations' word for none of these
LIST_FOLDER = "ImageSets/Action"

People = Mapping[str, list[str]]  # of each list
Flags = dict[str, dict[str, int]]  # person -> action -> 1 doing it, -1 not, 0 ignored


@dataclass(frozen=True)
class VocAction(VocSource):
    """VOC 2012's action task: a VOCdevkit, the folder VOC2012, or the published tars in one folder.

    A record is a person: ``VOC2012/2010_006215#1`` is the first object of that image's annotation. Its pixels
    are the person's box enlarged *context* times; its class is empty, as people do several things at once.
    """

    context: float = 1.25
    kind = "voc2012-action"
    year = "VOC2012"
    nouns = ("people", "actions")
    expected = (
        "VOCdevkit, its folder VOC2012 with ImageSets/Action, or VOCtrainval_11-May-2012.tar from PASCAL "
        "VOC's project page"
    )
    missing_splits = {
        "train": f"PASCAL VOC's project page has it, in VOCtrainval_11-May-2012.tar; {NO_TRAINING}",
        "test": "its labels are not public, only PASCAL VOC's server scores it; scores are measured on val",
    }
    published_images = {"train": 3134, "val": 3144}  # people, by the development kit's documentation
    pack_options = "--size 256"
    layout = "people in VOC2012 by the lists in ImageSets/Action"

    def __post_init__(self) -> None:
        """Raise ItlError for a context that leaves nothing of the box."""
        check_context(self.context)

    @property
    def labelled_by(self) -> str:
        """The lists of each action, if there are any, and the XML."""
        has_lists = any(action for action, *_ in self._list_files())
        return f"{'these lists and ' if has_lists else ''}the XML files in Annotations"

    @property
    def protocol(self) -> str:
        """The name of the division into splits."""
        return self.scan.protocol_name("VOC2012 Action", self.published_images, self.nouns[0])

    @cached_property
    def scan(self) -> Scan:
        """People, actions and problems; reads lists, annotations and the images' headers."""
        scan = Scan(self.kind, self.path)
        lists, flags = self._lists(scan)
        split_of = splits_of_lists(scan, lists, "people")
        add_people_in_two_splits(scan, split_of)
        people_on = grouped((person.rpartition("#")[0], person) for person in split_of)
        scan.left_out["images without a listed person"] += len(self.images.keys() - people_on.keys())
        contradicted: list[str] = []
        for image, people in people_on.items():
            ids = list(map(self.record_id, people))
            try:
                self._refuse_missing(image)
                annotation, problems = self.read_listed(scan, ids, image)
            except ItlError as error:
                problems = [str(error)]
            for text in problems:
                scan.add_problem(text, *ids)
            if not problems:
                numbers = {number for number, actions in enumerate(annotation.actions, 1) if actions}
                unlisted = numbers - {int(person.rpartition("#")[2]) for person in people}
                scan.left_out["people with actions in no list"] += len(unlisted)
            for person in people if not problems else ():
                record = Record(self.record_id(person), "", split_of[person], self.images[image][1])
                with scan.problems_of(record.id):
                    contradicted += self._scan_person(scan, record, annotation, flags.get(person, {}))
        if contradicted:
            scan.notes.append(
                f"{counted(len(contradicted), 'labels of lists contradict')} the XML, such as "
                f"{examples(contradicted)}; those of the lists are taken"
            )
        self._leave_out_unlabelled_test(scan)
        return scan.finish(self.bad, self.resized)

    def read(self, record: Record) -> np.ndarray:
        """Decode the person of *record* with its context: uint8 (H, W, 3)."""
        pixels, _ = pixels_of(record.member.read(), record.id)
        height, width = pixels.shape[:2]
        rows, columns = crop_with_context(record.box or (1, 1, width, height), self.context, width, height)
        return np.ascontiguousarray(pixels[rows, columns])

    def _lists(self, scan: Scan) -> tuple[dict[str, list[str]], Flags]:
        """Return people (IMAGE#OBJECT) by list, and their flags, from ImageSets/Action.

        ``train.txt`` has lines `IMAGE OBJECT`, ``jumping_train.txt`` lines `IMAGE OBJECT FLAG`, as the
        development kit reads them; objects count from 1. Without the former, the latter say who is listed.
        """
        lists: dict[str, list[str]] = {}
        people_with_flags: dict[str, dict[str, None]] = defaultdict(dict)  # the inner ones: ordered sets
        flags: Flags = defaultdict(dict)
        for action, split, name in self._list_files():
            rows = self._rows(scan, name, read_list(self.listing.files[name].read()), bool(action))
            if not action:
                lists[split] = [person for person, _ in rows]
                continue
            if action not in ACTIONS:
                scan.add_problem(f"{name}: {no_such(ACTIONS, action, 'action')}; rename or remove it")
                continue
            people = people_with_flags[split]  # made here: an empty list is a list, too
            for person, flag in rows:
                people[person] = None
                if flags[person].setdefault(action, flag) != flag:
                    text = f"{name}: {person} has flag {flag}, but another in another list of {action}"
                    scan.add_problem(f"{text}; correct one", self.record_id(person))
        lists = {split: list(people) for split, people in people_with_flags.items()} | lists
        if not lists and not scan.problems:
            raise ItlError(
                f"{self.path}: VOC2012/{LIST_FOLDER} has no list of people; the published "
                f"VOCtrainval_11-May-2012.tar has them, lines `IMAGE OBJECT` in train.txt"
            )
        self._note_extra(scan, lists, people_with_flags)
        _note_lacking_flags(scan, lists, flags)
        return {split: lists[split] for split in LISTS if split in lists}, flags

    def _list_files(self) -> list[tuple[str, str, str]]:
        """Return action ('' for all people), split and name of each list in ImageSets/Action, by name.

        ItlError if two files are of one list, as train.txt and Train.txt.
        """
        files: dict[tuple[str, str], str] = {}
        for name in sorted(self.listing.files):
            action, _, word = name.removeprefix(f"{LIST_FOLDER}/").removesuffix(".txt").rpartition("_")
            split = list_of_word(word)
            if not (name.startswith(f"{LIST_FOLDER}/") and name.endswith(".txt") and split):
                continue
            if (other := files.setdefault((action, split), name)) != name:
                raise ItlError(f"{other}, {name} are lists of one split; leave one of them")
        return [(action, split, name) for (action, split), name in files.items()]

    def _note_extra(self, scan: Scan, lists: People, with_flags: Mapping[str, Mapping[str, None]]) -> None:
        """Note where lists of actions, with the people *with_flags*, name others than the *lists* of splits.

        People that the XML lacks are a problem.
        """
        extra: dict[str, None] = {}  # each once
        for split, people in with_flags.items():
            extra |= dict.fromkeys(sorted(people.keys() - set(lists[split])))
        problems = {person: self._object_problem(person) for person in extra}
        for person, text in problems.items():
            if text:
                scan.add_problem(text, self.record_id(person))
        if others := [person for person, text in problems.items() if not text]:
            scan.notes.append(
                f"lists of actions have {counted(len(others), 'people')} that the list of their split lacks, "
                f"such as {examples(others)}; that list decides"
            )

    def _object_problem(self, person: str) -> str:
        """Say that image or XML of *person*, or this object in it, is not there; '' if all are."""
        image, _, number = person.rpartition("#")
        try:
            self._refuse_missing(image)
            xml = f"Annotations/{image}.xml"
            count = len(parse_xml(self.listing.files[xml].read(), xml).findall("object"))
            refuse_number(xml, count, image, int(number))
        except ItlError as error:
            return str(error)
        return ""

    def _rows(self, scan: Scan, name: str, lines: list[str], with_flags: bool) -> list[tuple[str, int]]:
        """Return people and flags of one list; other lines become problems."""
        rows = []
        named = images_named([split_line(line)[0] for line in lines], self.images)
        for number, line in enumerate(lines, 1):
            name_of_image, words = split_line(line)
            image = named.get(name_of_image, name_of_image)
            if not words and not with_flags:  # as in VOC 2010: all people on the image
                rows += [(f"{image}#{person}", 0) for person in self._people_with_actions(image)]
                continue
            try:
                numbers = [int(word) for word in words]
            except ValueError:
                numbers = []
            is_valid = len(numbers) == 1 + with_flags and numbers[0] >= 1
            if not is_valid or (with_flags and numbers[1] not in (-1, 0, 1)):
                form = "IMAGE OBJECT FLAG, the flag -1, 0 or 1" if with_flags else "IMAGE OBJECT"
                scan.add_problem(f"{name}, line {number}: {line[:60]!r} is not {form}, objects from 1")
                continue
            rows.append((f"{image}#{numbers[0]}", numbers[1] if with_flags else 0))
        return rows

    def _people_with_actions(self, image: str) -> list[int]:
        """Return the numbers of the objects of *image* whose actions are annotated; 1 if it is invalid."""
        try:
            root = parse_xml(self.listing.files[f"Annotations/{image}.xml"].read(), image)
            annotation, _ = parse_annotation(root, image, (None, None), "cut")
        except (KeyError, ItlError):
            return [1]
        return [number for number, actions in enumerate(annotation.actions, 1) if actions]

    def _refuse_missing(self, image: str) -> None:
        """Raise ItlError if *image* or its annotation is not there."""
        xml = f"Annotations/{image}.xml"
        exists_by_name = {f"JPEGImages/{image}.jpg": image in self.images, xml: xml in self.listing.files}
        for name, exists in exists_by_name.items():
            if not exists:
                raise ItlError(
                    f"{LIST_FOLDER} lists {image[:60]!r}, but {name[:80]!r} is missing; copy it again, or "
                    f"remove it from the lists"
                )

    def _scan_person(
        self, scan: Scan, record: Record, annotation: Annotation, flags: dict[str, int]
    ) -> list[str]:
        """Add the person of *record* with its box and actions; return where lists contradict the XML.

        An action that the XML of a person leaves out, while it has others, is one that they do not do.
        ItlError if lists and XML do not fit, or neither says whether they do an action.
        """
        image, _, number = record.id.removeprefix("VOC2012/").rpartition("#")
        xml = f"Annotations/{image}.xml"
        person, annotated = _person(annotation, xml, image, int(number))
        labels = {action: 1 if does else -1 for action, does in annotated.items() if action != OTHER}
        contradicted = [
            f"{action} of {image}#{number}"
            for action, flag in flags.items()
            if flag * labels.get(action, 0) < 0
        ]
        labels |= flags
        bare = [] if annotated else [action for action in ACTIONS if action not in labels]
        if bare and (labels or record.split != "test"):
            which = "what it does" if not labels else f"whether it is {examples(bare)}"
            raise ItlError(
                f"{image}#{number} is in {record.split}, but neither lists nor {xml} say {which}; get both "
                f"from one release"
            )
        actions = [
            AnnotatedObject(action, person.box, labels[action] == 0, person.truncated)
            for action in ACTIONS
            if labels.get(action, -1) >= 0
        ]
        scan.add(Record(record.id, "", record.split, record.member, person.box), actions)
        if not labels:
            scan.left_out["unlabelled people of test"] += 1
        return contradicted

    def _leave_out_unlabelled_test(self, scan: Scan) -> None:
        """Leave out a test split with unlabelled people, such as the published one."""
        test = [record.id for record in scan.records if record.split == "test"]
        unlabelled = scan.left_out["unlabelled people of test"]
        if unlabelled:
            scan.left_out["unlabelled people of test"] = len(test)
            scan.records = [record for record in scan.records if record.split != "test"]
            scan.notes.append(
                f"{unlabelled:,} of {len(test):,} people in test are not labelled, such as "
                f"{examples(test)}; test is left out, scores are measured on val"
            )


def _note_lacking_flags(scan: Scan, lists: People, flags: Flags) -> None:
    """Note where lists of actions have not all people of the *lists* of splits."""
    listed_actions = [action for action in ACTIONS if any(action in given for given in flags.values())]
    lacking = {
        person: [action for action in listed_actions if action not in flags.get(person, {})]
        for split, people in lists.items()
        for person in people
        if split != "test"  # which may be unlabelled
    }
    if without := [f"{person} of {examples(actions)}" for person, actions in lacking.items() if actions]:
        scan.notes.append(
            f"{counted(len(without), 'people have')} no line in lists of actions, such as {without[0]}; what "
            f"their XML says is taken"
        )


def add_people_in_two_splits(scan: Scan, split_of: Mapping[str, str]) -> None:
    """Add a problem to *scan* for images whose people, in *split_of*, are in two splits: crops overlap."""
    splits = grouped((person.rpartition("#")[0], split) for person, split in split_of.items())
    in_two = {
        image: " and ".join(split for split in SPLIT_ORDER if split in several)
        for image, several in splits.items()
        if len(set(several)) > 1
    }
    scan.add_split_conflicts(in_two, "images", "have people")


def refuse_number(xml: str, count: int, image: str, number: int) -> None:
    """Raise ItlError if lists name object *number* of *image*, whose *xml* has *count* objects."""
    if number > count:
        raise ItlError(
            f"{xml} has {counted(count, 'objects')}, but {LIST_FOLDER} lists number {number} of {image}; get "
            f"both from one release"
        )


def _person(
    annotation: Annotation, xml: str, image: str, number: int
) -> tuple[AnnotatedObject, Mapping[str, bool]]:
    """Return the person of a *number* on an image, and its actions; ItlError where *xml* has no such."""
    refuse_number(xml, len(annotation.objects), image, number)
    person, actions = annotation.objects[number - 1], annotation.actions[number - 1]
    if person.name != "person":
        raise ItlError(
            f"{xml}: object {number} is listed as a person but is {person.name!r}; get lists and "
            f"annotations from one release"
        )
    if unknown := [action for action in actions if action not in (*ACTIONS, OTHER)]:
        raise ItlError(f"{xml}, object {number}: {no_such(ACTIONS, unknown[0], 'action')}")
    return person, actions
