"""SUN397 scenes: nested class folders, divided by one of the ten official partitions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import eq

from itl.errors import ItlError, did_you_mean
from itl.iteration import grouped
from itl.sources.annotated.voc_devkit import assign_splits, read_list, split_line
from itl.sources.files.archives import Listing, Member, open_listing
from itl.sources.records import Record, is_image
from itl.sources.scan import Scan
from itl.sources.source import ScannedSource
from itl.sources.unopened_archives import describe_unopened
from itl.words import examples

IMAGE_FOLDER = "SUN397"  # holds a folder for each letter, in the published archive
BEFORE_IMAGES = re.compile(f"^.*(?<![^/]){IMAGE_FOLDER}/", re.IGNORECASE)
PARTITIONS = "Partitions"  # the folder or zip of the lists
CLASS_NAMES = "ClassName.txt"


@dataclass(frozen=True)
class Sun397(ScannedSource):
    """SUN397, a folder, a tar or a zip, with the lists of a partition in it or beside it.

    A class is its folder without the letter at the start: ``abbey``, ``church/outdoor``.
    """

    partition: int = 1  # 1 to 10
    kind = "sun397"
    label_folders = (PARTITIONS,)
    expected = (
        "the folder SUN397 or a plain tar of it, with Training_01.txt and Testing_01.txt in it or beside it "
        "(Partitions.zip); both are on the SUN database's project page"
    )
    published_images = {"train": 19850, "test": 19850}
    pack_options = "--size 256"
    labelled_by = "their folders"

    def __post_init__(self) -> None:
        """Raise ItlError for a partition that does not exist."""
        if not 1 <= self.partition <= 10:
            raise ItlError(f"SUN397 has partitions 1 to 10, not {self.partition!r}")

    @property
    def layout(self) -> str:
        """The data set, and which lists divide it."""
        return f"SUN397 by the lists of partition {self.partition}"

    @property
    def protocol(self) -> str:
        """The name of the division into splits."""
        return self.scan.protocol_name(f"SUN397 partition {self.partition:02d}", self.published_images)

    @cached_property
    def scan(self) -> Scan:
        """Records and problems; reads the lists."""
        scan = Scan(self.kind, self.path)
        images, partition = self._images(), f"partition {self.partition}"
        texts = self._lists(len(images))
        lists = {split: _names(read_list(text)) for split, text in texts.items()}
        division = assign_splits(lists)
        scan.notes += division.notes
        for image in division.in_two:
            scan.add_problem(f"{image[:80]!r} is in both lists of {partition}; download them again")
        missing = {}
        for image, split in division.split_of.items():
            if image in images:
                scan.records.append(Record(image, class_of(image), split, images[image]))
            else:
                scan.refused_splits.add(split)
                missing[image] = (
                    f"{partition} lists {image[:80]!r} for {split}, but there is no such image; unpack the "
                    f"images again"
                )
        scan.add_problems(missing, f"missing images of {partition}")
        self._compare_classes(scan)
        scan.left_out[f"images in neither list of {partition}"] += len(images.keys() - division.split_of)
        return scan.finish(self.bad)

    @cached_property
    def listing(self) -> Listing:
        """All files."""
        listing = open_listing(self.path)
        if not self.path.is_dir():
            return listing
        archives = [file for file in sorted(self.path.iterdir()) if IMAGE_FOLDER.lower() in file.name.lower()]
        is_unpacked = any(is_image(name) and "/" in name for name in listing.files)
        suffixes = (".tar",) if is_unpacked else (".tar", ".zip")  # a zip is what is unpacked to folders
        for archive in (file for file in archives if file.suffix.lower() in suffixes):  # of the images
            inner = open_listing(archive)
            listing.add_copies(inner.files.items())
            listing.folders |= inner.folders
        compressed = [file for file in archives if file.suffix == ".gz"]
        if compressed and not any(map(is_image, listing.files)):
            open_listing(compressed[0])  # which says how to make a plain tar of it
        return listing

    def _images(self) -> dict[str, Member]:
        """Return the images by the names that the lists use, without the slash at the start."""
        names = {name: BEFORE_IMAGES.sub("", name) for name in self.listing.files if is_image(name)}
        if all(map(eq, names, names.values())):
            files = self._without_wrapper().files
            return {name: member for name, member in files.items() if is_image(name)}
        images = Listing()  # of two folders, as of masks or a smaller size, nobody can know which counts
        images.add_copies((short, self.listing.files[name]) for name, short in names.items())
        return images.files

    def _without_wrapper(self) -> Listing:
        """Step into the one folder around all class folders, as archives have it."""
        tops = self.listing.top_folders()
        wrapped = len(tops) == 1 < len(tops[0])  # a letter is above classes
        wrapped = wrapped and all(name.count("/") > 1 for name in self.listing.files if is_image(name))
        return self.listing.inside(tops[0]) if wrapped else self.listing

    def _lists(self, images: int) -> dict[str, bytes]:
        """Return the contents of the lists of train and test; ItlError if they are nowhere."""
        names = {"train": f"Training_{self.partition:02d}.txt", "test": f"Testing_{self.partition:02d}.txt"}
        lists: dict[str, bytes] = {}
        for split, name in names.items():
            for file in self._text_files.get(name, ()):
                if lists.setdefault(split, content := file.read()) != content:
                    raise ItlError(
                        f"{self.path} and what lies beside it have two files {name} that differ, one of them "
                        f"{file.path}; leave the one that is meant"
                    )
        if len(lists) == len(names):
            return lists
        if not images and (unopened := describe_unopened(self.listing.files)):
            raise ItlError(f"{self.path} holds no images: {unopened}")
        raise ItlError(
            f"{self.path} has {images or 'no'} images but not {names['train']} and {names['test']}; "
            f"{PARTITIONS}.zip from the SUN database's project page has them: put it, or its contents, "
            f"beside the images. Without them the source folder reads the images: --option nested=true "
            f"--option val_fraction=0.5"
        )

    @cached_property
    def _text_files(self) -> Mapping[str, list[Member]]:
        """Text files by their last name, from all locations where lists may be, the nearest first."""
        path, files = self.path.absolute(), list(self.listing.files.items())
        for folder in [path, path.parent] if path.is_dir() else [path.parent]:
            files += [(file.name, Member(str(file))) for file in sorted(folder.glob("*.txt"))]
            for name in (PARTITIONS, f"{PARTITIONS}.zip", f"{PARTITIONS}.tar"):
                if (folder / name).exists():
                    files += open_listing(folder / name).files.items()
        return grouped((name.rpartition("/")[2], file) for name, file in files if name.endswith(".txt"))

    def _compare_classes(self, scan: Scan) -> None:
        """Add problems for classes that ClassName.txt lacks, and for those that only one split has."""
        files = self._text_files.get(CLASS_NAMES)
        lines = _names(read_list(files[0].read())) if files else []
        names = {class_of(f"{line.rstrip('/')}/x") for line in lines}
        images = grouped((record.wnid, record.id) for record in scan.records)
        splits = grouped({(record.wnid, record.split) for record in scan.records})
        for name in sorted(images):
            if names and name not in names:
                text = f"{CLASS_NAMES} has no class {name!r}; {did_you_mean(name, names)}"
                scan.add_problem(f"{text}take lists and {CLASS_NAMES} from one release", *images[name])
            elif len(splits[name]) == 1:
                text = f"class {name!r} has images for {splits[name].pop()} only; both splits need some"
                scan.add_problem(text, *images[name])
        empty = sorted(names - images.keys())
        if empty:
            scan.notes.append(f"{len(empty)} of {len(names)} classes have no image: {examples(empty)}")


def _names(lines: list[str]) -> list[str]:
    """Return what *lines* of a list name, without quotes around it and a slash before it."""
    return [(split_line(line)[0] if line[0] in "'\"" else line).lstrip("/") for line in lines]


def class_of(image: str) -> str:
    """Return the class of an image: its folders, without the letter under which SUN397 sorts classes.

    >>> class_of("a/abbey/sun_1.jpg"), class_of("c/church/outdoor/sun_2.jpg"), class_of("zoo/1.jpg")
    ('abbey', 'church/outdoor', 'zoo')
    """
    letter, _, name = image.rpartition("/")[0].partition("/")
    return name if name and letter == name[0] else image.rpartition("/")[0]
