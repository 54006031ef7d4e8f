"""A look at annotated images before any is decoded: what they are, what is on them, and all trouble found."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from itl import ItlError, pick
from itl.sources import archives
from itl.sources.archives import Listing
from itl.sources.boxes import Thing
from itl.sources.image_files import dimensions
from itl.sources.records import Record, some

HEAD = 64 << 10                             # bytes that nearly always hold an image's header
SKIPPED = "images with problems (bad=skip)"
EXAMPLES = 2                                # problems told where an error is one line
MANY = 50                                   # more missing files than this are told in one line


@dataclass(frozen=True)
class Problem:
    """Something that is wrong, in one line, and the ids of the images that would have to go."""

    text: str
    images: tuple[str, ...] = ()            # none: leaving images out does not help


@dataclass
class Survey:
    """What was found."""

    kind: str
    path: Path
    records: list[Record] = field(default_factory=list)
    things: dict[str, list[Thing]] = field(default_factory=dict)    # by record id
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)     # width and height, by record id
    regions: dict[str, np.ndarray] = field(default_factory=dict)    # from a file, if one was asked for
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)                  # worth knowing, but nothing stops
    left_out: Counter = field(default_factory=Counter)              # reason -> how many files

    def add(self, record: Record, things: list[Thing]) -> None:
        """Take in an image and what is on it."""
        self.records.append(record)
        self.things[record.id] = things

    def refuse(self, text: str, *images: str) -> None:
        """Take in a problem with *images*, or with the whole source."""
        self.problems.append(Problem(one_line(text), images))

    def refuse_each(self, texts: dict[str, str], together: str) -> None:
        """Take in a problem for each image of *texts*; very many are one line, *together*, with examples."""
        if len(texts) > MANY:
            self.refuse(f"{together}, such as {some(list(texts))}", *texts)
            return
        for image, text in texts.items():
            self.refuse(text, image)

    def refuse_unknown(self, names: list[str], hint: str) -> None:
        """Refuse things that are none of *names*: a line for each class that is not known."""
        images, counts = {}, Counter()
        for image, things in self.things.items():
            for thing in things:
                if thing.name not in names:
                    images.setdefault(thing.name, {})[image] = None
                    counts[thing.name] += 1
        for name in sorted(images):
            found = list(images[name])
            try:
                pick(dict.fromkeys(names), name, "class")
            except ItlError as error:
                self.refuse(f"{error} ({counts[name]:,} objects on {some(found)}); {hint}", *found)

    def settled(self, bad: str) -> "Survey":
        """Sort the records, and leave out the images with problems where *bad* is skip."""
        pick({"refuse": 0, "skip": 0}, bad, "way with bad images")
        self.notes = [one_line(text) for text in self.notes]
        self.records.sort(key=lambda record: record.id)
        if bad == "skip":
            gone = {image for problem in self.problems for image in problem.images}
            self.left_out[SKIPPED] += len(gone)
            self.notes += [f"skipped: {problem.text}" for problem in self.problems if problem.images]
            self.records = [record for record in self.records if record.id not in gone]
            self.problems = [problem for problem in self.problems if not problem.images]
        return self

    def following(self, protocol: str) -> str:
        """Name *protocol*, and how many images of it were left out because of problems."""
        gone = self.left_out[SKIPPED]
        return protocol + (f" without {gone:,} bad images" if gone else "")

    def usable(self) -> list[Record]:
        """The records; ItlError where there is trouble, or nothing."""
        if self.problems:
            few = "; ".join(problem.text for problem in self.problems[:EXAMPLES])
            count = len(self.problems)
            more = f"{count:,} problems, such as: " if count > EXAMPLES else ""
            skippable = all(problem.images for problem in self.problems)
            skip = ", and the option bad=skip leaves these images out" if skippable else ""
            raise ItlError(f"{self.path}: {more}{few}; `itl check {self.kind} {self.path}` lists all{skip}")
        if not self.records:
            raise ItlError(f"{self.path} holds no images for {self.kind}; `itl check` says what it expects")
        return self.records


class Surveyed:
    """What sources that are surveyed before anything is decoded share; each has its own ``survey``."""

    survey: Survey
    _files: Listing

    @cached_property
    def listing(self) -> Listing:
        """All files; what is left out of the records is counted in it."""
        return Listing(self._files.files, self._files.folders, self._files.left_out + self.survey.left_out)

    def records(self) -> list[Record]:
        """One record for each image, or person, sorted by id; ItlError where anything is wrong with them."""
        return self.survey.usable()

    def read(self, record: Record) -> bytes | np.ndarray:
        """Return the file of *record*."""
        return archives.read(record.place)

    def problems(self) -> list[str]:
        """Tell all that is wrong, a line each."""
        return [problem.text for problem in self.survey.problems]

    def notes(self) -> list[str]:
        """Tell what is worth knowing, a line each."""
        return self.survey.notes


class Annotated(Surveyed):
    """What surveyed sources with objects on their images share."""

    def annotation(self, record: Record) -> list[Thing]:
        """Return the objects on the image of *record*, in their file's order."""
        return self.survey.things[record.id]

    def regions(self, record: Record) -> np.ndarray | None:
        """Return the region proposals of *record*, float32 (n, 4); None where no file was asked for."""
        return self.survey.regions.get(record.id)


def one_line(text: str) -> str:
    """*text* without line ends, and with escapes for what no terminal shows, as damaged files have it.

    >>> one_line("line 1\\nline 2")
    'line 1 line 2'
    """
    text = " ".join(text.split())
    return text if text.isprintable() else "".join(
        each if each.isprintable() else repr(each)[1:-1] for each in text)


def header_size(place: tuple) -> tuple[int, int]:
    """Width and height of the image at *place*, from its first bytes; ItlError where it is none."""
    try:
        return dimensions(archives.start(place, HEAD))
    except ItlError:                        # a long comment or preview before the header
        return dimensions(archives.read(place))


def size_at(place: tuple, name: str) -> tuple[int, int]:
    """Width and height of the image *name* at *place*, from its first bytes.

    Raises ItlError, with *name*, where it is no image, or so narrow that nothing can be seen on it.
    """
    try:
        width, height = header_size(place)
    except ItlError as error:
        raise ItlError(f"{name} cannot be read: {error}") from None
    except OSError as error:
        raise ItlError(f"{name} cannot be read: {error.strerror or error}") from None
    if min(width, height) < 2:
        raise ItlError(f"{name} is {width} × {height} pixels: nothing can be seen on it; replace it")
    return width, height
