"""Scanning a source before any image is decoded: its records, their objects, and every problem."""

import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from itl.errors import ItlError, no_such
from itl.hierarchy.class_lists import LIKE_MISSING
from itl.iteration import grouped
from itl.sources.boxes import AnnotatedObject, Size, float_or_nan, is_finite_number, turn_box, whole_pixel
from itl.sources.files.archives import Member
from itl.sources.files.image_files import ImageHeader, read_header
from itl.sources.records import Record, classes_by_split
from itl.words import counted, examples, plain_line

IMAGE_HEADER_BYTES = 64 << 10  # nearly always hold the header of an image file
SKIPPED = "images with problems (bad=skip)"
MAX_QUOTED_PROBLEMS = 2  # quoted in an error, which is one line
SIZE_TOLERANCE = 0.02  # or two pixels: by which a stated side may differ from that of the file
MAX_SINGLE_PROBLEMS = 3  # with more images than this, one line stands for all
CHANGED_OBJECTS = {  # notes by the flag of an AnnotatedObject, with how many objects, and images
    "is_cut": "{} cut to what lies inside the image (outside=cut), such as on {}; pixels count from 1, and "
    "sides may have another order, or be corners",
    "is_rotated": "{} with a rotation, which is not read, such as on {}; the box is taken as it is without "
    "it: write the upright box around the turned one",
}
Pixels = Literal["upright", "stored", "unclear"]  # that boxes are of, by sizes; unclear: taken as upright
Resized = Literal["refuse", "scale", "keep"]  # boxes of another stated size; keep: they are those of the file


@dataclass(frozen=True)
class Problem:
    """One line on something wrong, and the ids of the images to leave out for it."""

    text: str
    images: tuple[str, ...] = ()  # empty: leaving images out does not help
    kind: str = ""  # many of one kind are one line; empty: those whose texts differ in names and numbers


@dataclass
class Scan:
    """What a source holds, good and bad."""

    kind: str
    path: Path
    records: list[Record] = field(default_factory=list)
    objects: dict[str, list[AnnotatedObject]] = field(default_factory=dict)  # by record id
    lines: dict[str, tuple[str, int]] = field(default_factory=dict)  # list and line of images to be divided
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)  # width and height, by record id
    regions: dict[str, np.ndarray] = field(default_factory=dict)  # by record id; from a file of proposals
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # worth knowing, but no reason to stop
    left_out: Counter = field(default_factory=Counter)  # reason -> how many files
    refused_splits: set[str] = field(default_factory=set)  # whose lists or JSON are there, but have problems
    size_doubts: dict[str, "BoxCoordinates"] = field(default_factory=dict)  # by record id
    other_image: list[str] = field(default_factory=list)  # annotations that name another image of the source

    def merge(self, part: "Scan", name: str) -> None:
        """Add all that *part*, not finished, has of other images; its notes are about *name*."""
        self.records += part.records
        self.objects |= part.objects
        self.sizes |= part.sizes
        self.regions |= part.regions
        self.problems += part.problems
        self.notes += [f"{name}: {note}" for note in part.notes]
        self.left_out += part.left_out
        self.refused_splits |= part.refused_splits
        self.size_doubts |= part.size_doubts
        self.other_image += part.other_image

    def add(self, record: Record, objects: list[AnnotatedObject]) -> None:
        """Add an image and the objects on it."""
        self.records.append(record)
        self.objects[record.id] = objects

    def add_problem(self, text: str, *images: str) -> None:
        """Add a problem of *images*, or of the whole source."""
        self.problems.append(Problem(plain_line(text), images))

    @contextmanager
    def problems_of(self, *images: str) -> Iterator[None]:
        """Add what is refused inside as a problem of *images*, or of the whole source."""
        try:
            yield
        except ItlError as error:
            self.add_problem(str(error), *images)

    def add_problems(self, texts: dict[str, str], kind: str) -> None:
        """Add a problem for each image of *texts*, all of one *kind* however these differ."""
        self.problems += [Problem(plain_line(text), (image,), kind) for image, text in texts.items()]

    def add_split_conflicts(self, in_two: dict[str, str], what: str, verb: str = "are") -> None:
        """Add a problem for each two splits that share names: a score on training images means nothing."""
        for splits in sorted(set(in_two.values())):
            names = [name for name, both in in_two.items() if both == splits]
            count = counted(len(names), f"{what} {verb}")
            self.add_problem(f"{count} in {splits}, such as {examples(names)}; leave each in one of them")

    def add_unknown_classes(self, names: Collection[str], hint: str) -> None:
        """Add a problem for each class of objects that is not among *names*."""
        pairs = ((obj.name, image) for image, objects in self.objects.items() for obj in objects)
        images = grouped((name, image) for name, image in pairs if name not in names)
        for name in sorted(images):
            ids, count = list(dict.fromkeys(images[name])), counted(len(images[name]), "objects")
            error = no_such(names, name, "class")
            self.add_problem(f"{error} ({count} on {examples(ids)}); {hint}", *ids)

    def add_size_doubt(self, ids: Sequence[str], boxes: "BoxCoordinates") -> None:
        """Keep what is doubtful about the boxes of an image, that of the records *ids*, for `finish`."""
        if boxes.stated or boxes.pixels != "upright":
            self.size_doubts |= dict.fromkeys(ids, boxes)

    def _images_of(self, pixels: "Pixels") -> list[str]:
        return [image for image, boxes in self.size_doubts.items() if boxes.pixels == pixels]

    def _judge_unclear_pixels(self) -> None:
        """Note boxes that may be of the stored pixels, or add a problem if boxes of other images are.

        A tool that annotates stored pixels does so on all images, but the sizes that it states tell it only
        of images whose sides EXIF swaps.
        """
        boxed = {image for image, objects in self.objects.items() if objects}
        boxed |= {record.id for record in self.records if record.box}  # people
        stored = self._images_of("stored")
        unclear = [image for image in self._images_of("unclear") if image in boxed]
        if unclear and not stored:
            self.notes.append(
                f"{counted(len(unclear), 'images are')} stored turned or mirrored, as EXIF says, such as "
                f"{examples(unclear)}, and no stated size tells whether boxes are of the stored pixels; they "
                f"are taken as of the upright images"
            )
        elif unclear:
            self.add_problem(
                f"no stated size tells whether boxes on {counted(len(unclear), 'images')} that EXIF turns or "
                f"mirrors, such as {examples(unclear)}, are of the stored pixels, as those on "
                f"{examples(stored)} are; save these images upright, with boxes of the upright pixels",
                *unclear,
            )

    def finish(self, bad: str, resized: str = "refuse") -> "Scan":
        """Sort the records, without those with problems if *bad* is "skip"; for *resized* see `Resized`."""
        self._judge_other_sizes(resized)
        self._judge_unclear_pixels()
        self.check_training()
        self._note_repeated_objects()
        self._note_changed_objects()
        if self.other_image:
            self.notes.append(
                f"{counted(len(self.other_image), 'annotations have')} another image's name in <filename>, "
                f"such as {examples(self.other_image)}; each is taken for the image that it is called after"
            )
        if turned := self._images_of("stored"):
            self.notes.append(
                f"{counted(len(turned), 'images are')} stored turned, as EXIF says, and annotated for the "
                f"stored pixels, such as {examples(turned)}; boxes are turned with the images"
            )
        self.notes = [plain_line(text) for text in self.notes]
        self.records.sort(key=lambda record: record.id)
        if bad == "skip":
            skipped = {image for problem in self.problems for image in problem.images}
            self.left_out[SKIPPED] += len(skipped)
            splits = self._listed_splits
            of_images = [problem for problem in self.problems if problem.images]
            self.notes += [f"skipped: {problem.text}" for problem in _merge_alike(of_images)]
            self.records = [record for record in self.records if record.id not in skipped]
            self.problems = [problem for problem in self.problems if not problem.images]
            remaining = {record.split for record in self.records}
            # Without val, a part of train is held out.
            if skipped and (lost := sorted(splits - remaining - {"val"})):
                self.add_problem(
                    f"the option bad=skip would leave out every image of {' and '.join(lost)}; without it "
                    f"`itl check` says what is wrong with them"
                )
        self.problems = list(_merge_alike(self.problems))
        return self

    def check_training(self) -> None:
        """Add a problem if no training image has an object that is learned: one that is not difficult."""
        training = [record.id for record in self.records if record.split == "train"]
        if not training or not self.objects or self.problems:
            return
        objects = [obj for image in training for obj in self.objects.get(image, ())]
        if not objects:
            self.add_problem("no training image has an annotation, so nothing can be learned; add them")
        elif all(obj.difficult for obj in objects):
            self.add_problem(
                "every object of the training images is difficult, so nothing can be learned; correct their "
                "flags (difficult, ignore or iscrowd)"
            )

    def _note_repeated_objects(self) -> None:
        twice = {image: len(objects) - len(set(objects)) for image, objects in self.objects.items()}
        if count := sum(twice.values()):
            images = [image for image in twice if twice[image]]
            self.notes.append(
                f"{counted(count, 'objects are')} annotated twice with one box, such as on "
                f"{examples(images)}; of two, at most one can be detected"
            )

    def _note_changed_objects(self) -> None:
        objects_on = self.objects.items()
        for flag, cure in CHANGED_OBJECTS.items():
            counts = {image: sum(getattr(obj, flag) for obj in objects) for image, objects in objects_on}
            if count := sum(counts.values()):
                images = examples([image for image in counts if counts[image]])
                self.notes.append(cure.format(counted(count, "objects"), images))

    def _judge_other_sizes(self, resized: str) -> None:
        others = [image for image, boxes in self.size_doubts.items() if boxes.stated]
        if not others:
            return
        first = self.size_doubts[others[0]]
        sizes = f"{first.image.width} × {first.image.height} pixels, not {first.stated}"
        count = counted(len(others), "images have")
        text = f"{count} another size than annotations state, such as {others[0]}, {sizes}"
        if resized == "refuse":
            text += (
                "; set the option resized=scale if their boxes are those of the stated size, or resized=keep "
                "if they are those of the files"
            )
            self.add_problem(text, *others)
        else:
            done = "scaled to the files" if resized == "scale" else "taken as they are"
            self.notes.append(f"{text}; their boxes are {done}")

    def protocol_name(self, protocol: str, published: Mapping[str, int], noun: str = "images") -> str:
        """Return *protocol* with how many of its *published* images are here, and how many were left out.

        *noun* says what is counted, if that is not images.
        """
        counts = Counter(record.split for record in self.records)
        if published and any(counts[split] != count for split, count in published.items()):
            present, total = sum(counts[split] for split in published), sum(published.values())
            protocol += f", {present:,} of {total:,} {noun}" if present != total else ", in other splits"
        skipped = self.left_out[SKIPPED]
        bad = "bad images" if noun == "images" else f"{noun} with problems"
        return protocol + (f" without {counted(skipped, bad)}" if skipped else "")

    @property
    def skippable(self) -> set[str]:
        """The images that bad=skip leaves out; none where more is wrong, or a split or class is lost."""
        if not all(problem.images for problem in self.problems):
            return set()
        images = {image for problem in self.problems for image in problem.images}
        classes = classes_by_split(record for record in self.records if record.id not in images)
        trained = classes.get("train", set().union(*classes.values()))
        are_all_trained = all(names <= trained for names in classes.values())
        return images if are_all_trained and not self._listed_splits - classes.keys() - {"val"} else set()

    @property
    def _listed_splits(self) -> set[str]:
        return {record.split for record in self.records} | self.refused_splits

    def valid_records(self) -> list[Record]:
        """Return the records; ItlError if there are problems, or no records."""
        if self.problems:
            quoted = "; ".join(problem.text for problem in self.problems[:MAX_QUOTED_PROBLEMS])
            count = len(self.problems)
            start = f"{counted(count, 'problems')}, such as: " if count > MAX_QUOTED_PROBLEMS else ""
            hint = ", and the option bad=skip leaves these images out" if self.skippable else ""
            raise ItlError(
                f"{self.path}: {start}{quoted}; `itl check {self.kind} {shlex.quote(str(self.path))}` lists "
                f"all{hint}"
            )
        if not self.records:
            raise ItlError(f"{self.path} holds no images for {self.kind}; `itl check` says what it expects")
        return self.records


def _merge_alike(problems: list[Problem]) -> Iterator[Problem]:
    """Yield *problems* with one line, its count and examples, for more than a few of one kind."""
    for alike in grouped((problem.kind or _kind_of(problem), problem) for problem in problems).values():
        if len(alike) <= MAX_SINGLE_PROBLEMS:
            yield from alike
            continue
        images = dict.fromkeys(image for problem in alike for image in problem.images)
        on = f", on {examples(images)}" if images else ""  # of some no image is left out
        text = f"{alike[0].text} ({counted(len(alike), 'problems')} of this kind{on})"
        yield Problem(text, tuple(images))


def _kind_of(problem: Problem) -> str:
    """Return the text of *problem* without what differs from image to image: names, numbers, quotations."""
    text = problem.text
    for image in problem.images:
        text = text.replace(image.rpartition("/")[2].rpartition(".")[0] or image.rpartition("/")[2], "")
    return re.sub(r"'[^']*'|[\d,.]+", "", text)


@dataclass(frozen=True)
class BoxCoordinates:
    """What boxes are measured in: the image upright, as it is stored, or before it was resized."""

    image: ImageHeader
    size: tuple[int, int]  # width and height there
    pixels: Pixels = "upright"
    stated: str = ""  # in words, if the image was resized

    @property
    def are_changed(self) -> bool:
        """Whether boxes are turned or scaled to the upright image."""
        return self.pixels == "stored" or self.size != self.image.size

    def upright(self, obj: AnnotatedObject) -> AnnotatedObject:
        """Return the object *obj*, whose box lies inside, with its box in the upright image."""
        width, height = self.image.stored_size if self.pixels == "stored" else self.image.size
        across, down = width / self.size[0], height / self.size[1]
        if not across == down == 1:
            xmin, ymin, xmax, ymax = obj.box
            box = (xmin - 1) * across + 1, (ymin - 1) * down + 1, xmax * across, ymax * down
            obj = replace(obj, box=box)
        if self.pixels == "stored":
            obj = replace(obj, box=turn_box(obj.box, self.image.orientation, *self.image.stored_size))
        return obj


def stated_size(row: Mapping, where: str) -> Size:
    """Return width and height that *row*, of an image, states: None for null, 0, -1 and the like.

    Text is read as the number that it is, and fractions are rounded; ItlError, about *where*, for others.

    >>> stated_size({"width": "640", "height": -1}, "a.json, a.jpg")
    (640, None)
    """
    width, height = (_stated_side(row, side, where) for side in ("width", "height"))
    return width, height


def _stated_side(row: Mapping, side: str, where: str) -> int | None:
    value = row.get(side)
    if value is None or str(value).strip().lower() in ("", *LIKE_MISSING):  # also NaN, as pandas writes it
        return None
    number = float_or_nan(value) if isinstance(value, str) else value
    if not is_finite_number(number):
        raise ItlError(f"{where}: {side} is {str(value)[:40]!r}; it should be a number of pixels")
    return whole_pixel(number) if number > 0 else None


def box_coordinates(header: ImageHeader, stated: Size, resized: str) -> BoxCoordinates:
    """Return what the boxes of an annotation are measured in.

    Browsers, OpenCV, labelme and detectron2 turn an image before they show or use it, and state its upright
    size. Others, such as early versions of LabelImg, do not. So boxes are of the upright image, unless the
    annotation states the size of the stored one and the two differ.

    *stated* are width and height by the annotation, None where it has none; to one alone, the other is in
    proportion. If the file has by far others, *resized* "keep" takes the boxes for those of the file; for
    "scale", those of the stored image are told by the proportions that are stated.
    """
    size, stored = header.size, header.stored_size
    if stated == stored != size:
        return BoxCoordinates(header, stored, "stored")
    unclear: Pixels = "upright" if header.orientation == 1 else "unclear"
    if not any(stated):
        return BoxCoordinates(header, size, unclear)
    width, height = (side or 0 for side in stated)
    if 0 in (width, height):
        scale = max(width / size[0], height / size[1])
        width, height = (max(1, round(scale * side)) for side in size)
    if (width, height) == size != stored:
        return BoxCoordinates(header, size)
    sides = zip((width, height), size, strict=True)
    is_near = all(abs(side - other) <= max(2, SIZE_TOLERANCE * other) for side, other in sides)
    if is_near or (height, width) == size:  # rounded; or swapped by a tool, as the boxes are inside
        return BoxCoordinates(header, size, unclear)
    words = f"{width} × {height}"
    if resized == "keep":
        return BoxCoordinates(header, size, unclear, words)
    fits_upright, fits_stored = (_has_proportions((width, height), of) for of in (size, stored))
    pixels = unclear if fits_upright == fits_stored else "upright" if fits_upright else "stored"
    return BoxCoordinates(header, (width, height), pixels if resized == "scale" else "upright", words)


def _has_proportions(stated: tuple[int, int], size: tuple[int, int]) -> bool:
    """Say whether *stated* sides are in the proportion of *size*.

    >>> _has_proportions((200, 120), (100, 60)), _has_proportions((120, 200), (100, 60))
    (True, False)
    """
    one, other = stated[0] * size[1], stated[1] * size[0]
    return abs(one - other) <= SIZE_TOLERANCE * other


def image_header(member: Member) -> ImageHeader:
    """Return size and orientation of an image by its first bytes; ItlError if it is not an image."""
    try:
        return read_header(member.read_start(IMAGE_HEADER_BYTES))
    except ItlError:  # a long comment or preview comes before the header
        return read_header(member.read())


def checked_header(member: Member, name: str) -> ImageHeader:
    """Return what `image_header` does; ItlError, with *name*, also for a side of one pixel only."""
    try:
        header = image_header(member)
    except (ItlError, OSError) as error:
        raise ItlError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if min(header.width, header.height) < 2:
        raise ItlError(
            f"{name} is {header.width} × {header.height} pixels, too small to show anything; replace it"
        )
    return header
