"""SUN397 scenes: nested class folders, divided by one of the ten official partitions."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from itl import ItlError
from itl.sources import archives
from itl.sources.annotated import Survey, Surveyed
from itl.sources.archives import Listing
from itl.sources.records import Record, is_image, some, unwrapped
from itl.sources.voc_xml import divided, read_list

HOME = "SUN397"                             # the folder around the letters, in the published archive
PARTITIONS = "Partitions"                   # the folder or zip of the lists
CLASS_NAMES = "ClassName.txt"


@dataclass(frozen=True)
class Sun397(Surveyed):
    """SUN397 in place, a folder or a tar, with the lists of a partition in it or beside it.

    A class is its folder without the letter in front: ``abbey``, ``church/outdoor``.
    """

    path: Path
    partition: int = 1                      # 1 to 10
    bad: str = "refuse"                     # refuse or skip: what to do about listed images that are missing
    kind = "sun397"

    def __post_init__(self) -> None:
        """Refuse a partition that there is not."""
        if self.partition not in range(1, 11) or isinstance(self.partition, bool):
            raise ItlError(f"SUN397 has partitions 1 to 10, not {self.partition!r}")

    @property
    def protocol(self) -> str:
        """Name the division of the images."""
        return self.survey.following(f"SUN397 partition {int(self.partition):02d}")

    @cached_property
    def survey(self) -> Survey:
        """All that was found, good and bad; reads the lists, once."""
        found = Survey(self.kind, Path(self.path))
        images, partition = self._images(), f"partition {self.partition}"
        lists = {split: [line.lstrip("/") for line in read_list(data)]
                 for split, data in self._lists(len(images)).items()}
        split_of, twice = divided(lists, found.notes)
        for image in twice:
            found.refuse(f"{image[:80]!r} is in both lists of {partition}; download them again")
        gone = [image for image in split_of if image not in images]
        found.refuse_each(
            {image: f"{partition} lists {image[:80]!r} for {split_of[image]}, but there is no such image; "
                    f"unpack the images again" for image in gone},
            f"{len(gone):,} of {len(split_of):,} images of {partition} are not there")
        found.records = [Record(image, class_of(image), split, images[image])
                         for image, split in split_of.items() if image in images]
        self._compare_classes(found)
        found.left_out[f"images in neither list of {partition}"] += len(images.keys() - split_of)
        return found.settled(self.bad)

    @cached_property
    def _files(self) -> Listing:
        path = Path(self.path)
        found = archives.listing(path)
        if path.is_dir():                   # the images may still be in their tar
            for tar in sorted(each for each in path.glob("*.tar") if HOME.lower() in each.name.lower()):
                inner = archives.listing(tar)
                found = Listing(inner.files | found.files, found.folders | inner.folders, found.left_out)
        return found

    def _images(self) -> dict[str, tuple]:
        """Places of the images by the names that the lists use, without the slash in front."""
        if not any(HOME in name.split("/")[:-1] for name in self._files.files):
            return {name: place for name, place in unwrapped(self._files).files.items() if is_image(name)}
        return {name.rpartition(f"{HOME}/")[2]: place for name, place in self._files.files.items()
                if is_image(name)}

    def _lists(self, images: int) -> dict[str, bytes]:
        """Return the contents of the lists of train and test; ItlError where they are nowhere."""
        names = {"train": f"Training_{self.partition:02d}.txt", "test": f"Testing_{self.partition:02d}.txt"}
        for files in self._places:
            if all(name in files for name in names.values()):
                return {split: archives.read(files[name]) for split, name in names.items()}
        raise ItlError(
            f"{self.path} has {images or 'no'} images but not {names['train']} and {names['test']}; "
            f"{PARTITIONS}.zip of the SUN database's project page has them: put it, or what is in it, beside "
            f"the images. Without them the source folder reads the images: --option nested=true --option "
            f"val_fraction=0.5"
        )

    @cached_property
    def _places(self) -> list[Mapping[str, tuple]]:
        """Where lists may be, nearest first: files by their last name."""
        path = Path(self.path).absolute()
        found = [_by_last_name(self._files)]
        for folder in [path, path.parent] if path.is_dir() else [path.parent]:
            found.append({each.name: (str(each),) for each in folder.glob("*.txt")})
            around = [folder / name for name in (PARTITIONS, f"{PARTITIONS}.zip", f"{PARTITIONS}.tar")]
            found += [_by_last_name(archives.listing(each)) for each in around if each.exists()]
        return found

    def _compare_classes(self, found: Survey) -> None:
        """Refuse classes that ClassName.txt lacks, and those that are in one split only."""
        place = next((files[CLASS_NAMES] for files in self._places if CLASS_NAMES in files), None)
        lines = read_list(archives.read(place)) if place else []
        names = {class_of(f"{line.strip('/')}/x") for line in lines}
        images, splits = defaultdict(list), defaultdict(set)
        for record in found.records:
            images[record.wnid].append(record.id)
            splits[record.wnid].add(record.split)
        for name in sorted(images):
            if names and name not in names:
                near = get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                found.refuse(f"{CLASS_NAMES} has no class {name!r}; {hint}Get lists and {CLASS_NAMES} from "
                             f"one release", *images[name])
            elif len(splits[name]) == 1:
                found.refuse(f"class {name!r} has images for {splits[name].pop()} only; both need some",
                             *images[name])
        missing = sorted(names - images.keys())
        if missing:
            found.notes.append(f"{len(missing)} of {len(names)} classes have no image: {some(missing)}")


def class_of(image: str) -> str:
    """The class of an image: its folders, without the letter that SUN397 sorts classes by.

    >>> class_of("a/abbey/sun_1.jpg"), class_of("c/church/outdoor/sun_2.jpg"), class_of("zoo/1.jpg")
    ('abbey', 'church/outdoor', 'zoo')
    """
    letter, _, name = image.rpartition("/")[0].partition("/")
    return name if name and letter == name[0] else image.rpartition("/")[0]


def _by_last_name(listing: Listing) -> dict[str, tuple]:
    """Text files by their last name; of several, the outermost."""
    names = [name for name in listing.files if name.endswith(".txt")]
    names.sort(key=lambda name: -name.count("/"))
    return {name.rpartition("/")[2]: listing.files[name] for name in names}
