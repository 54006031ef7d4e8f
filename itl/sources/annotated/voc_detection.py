"""VOC 2007 and 2012 detection, and a user's own images in VOC's format: whole images with boxes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from itl.errors import ItlError
from itl.hierarchy.voc_classes import PASCAL
from itl.sources.annotated import voc_devkit
from itl.sources.annotated.proposals import add_regions
from itl.sources.annotated.voc_xml import Annotation, parse_annotation, parse_xml, size_in_xml
from itl.sources.boxes import AnnotatedObject
from itl.sources.files.archives import Listing
from itl.sources.records import Record, plain_label
from itl.sources.scan import Scan, box_coordinates, checked_header
from itl.sources.source import NO_TRAINING, AnnotatedSource

OWN_SPLITS = {
    "train": f"list its images in ImageSets/Main/train.txt; {NO_TRAINING}",
    "test": "without it scores are measured on val, if there is one",
}


class VocSource(AnnotatedSource):
    """A source in VOC's format."""

    year: ClassVar[str]  # its folder

    @cached_property
    def listing(self) -> Listing:
        """All files."""
        return voc_devkit.list_devkit(self.path, self.year)

    @cached_property
    def images(self) -> voc_devkit.ImagesByName:
        """The images, by the names that lists have."""
        return voc_devkit.images_by_name(self.listing)

    def record_id(self, name: str) -> str:
        """Return the id of what lists call *name*."""
        return f"{self.year}/{name}"

    def read_listed(self, scan: Scan, ids: Sequence[str], image: str) -> tuple[Annotation, list[str]]:
        """Return the annotation of *image*, with upright boxes, and a line for each invalid object.

        *scan* gets the size of the records *ids* of the image. ItlError if XML or image cannot be read.
        """
        xml = f"Annotations/{image}.xml"
        name, member = self.images[image]
        root, header = parse_xml(self.listing.files[xml].read(), xml), checked_header(member, name)
        scan.sizes |= dict.fromkeys(ids, header.size)
        boxes = box_coordinates(header, size_in_xml(root, xml), self.resized)
        scan.add_size_doubt(ids, boxes)
        annotation, problems = parse_annotation(root, xml, boxes.size, self.outside)
        if annotation.image != image and annotation.image in self.images:
            scan.other_image.append(f"{image}.xml ({annotation.image})")
        return replace(annotation, objects=tuple(map(boxes.upright, annotation.objects))), problems


@dataclass(frozen=True)
class Voc2007(VocSource):
    """VOC 2007: VOCdevkit, a folder that contains it, VOC2007 itself, or the published tars in one folder.

    An image has objects of several classes, so the class of a record is empty; `annotation` has the objects.
    """

    classes: str | None = None  # a,b,c: class names, instead of PASCAL's 20
    proposals: str | None = None  # file of region proposals, to be packed with the images
    kind = "voc2007"
    year = "VOC2007"
    expected = (
        "VOCdevkit, its folder VOC2007, a tar of it, or a folder with VOCtrainval_06-Nov-2007.tar and "
        "VOCtest_06-Nov-2007.tar from PASCAL VOC's project page; own images in that format with the option "
        "classes=a,b,c"
    )
    missing_splits = {
        "train": f"PASCAL VOC's project page has it, in VOCtrainval_06-Nov-2007.tar; {NO_TRAINING}",
        "test": "PASCAL VOC's project page has it, in VOCtest_06-Nov-2007.tar; without it scores are "
        "measured on val, not as papers report them",
    }
    how_to_add_splits = "list some of them in ImageSets/Main/val.txt, and no longer in train.txt"
    published_images = {"train": 2501, "val": 2510, "test": 4952}
    pack_options = "--size 500 --fit pad"
    labelled_by = "the XML files in Annotations"

    @property
    def layout(self) -> str:
        """The year, and which lists divide its images."""
        return f"{self.year} by the lists in ImageSets/Main"

    @property
    def protocol(self) -> str:
        """The name of the division into splits; own classes have none."""
        return "" if self.classes else self.scan.protocol_name(self.year, self.published_images)

    @property
    def comparable_images(self) -> Mapping[str, int]:
        """How many images each split should have; with own classes this is another data set."""
        return {} if self.classes else self.published_images

    @property
    def how_to_get_splits(self) -> Mapping[str, str]:
        """Where people get splits that are not there: with own classes nobody has published them."""
        return OWN_SPLITS if self.classes else self.missing_splits

    @cached_property
    def scan(self) -> Scan:
        """Records, objects and problems; reads lists, annotations and the images' headers."""
        scan = self.unfinished_scan()
        add_regions(scan, self.proposals, self.outside, self.resized)
        return scan.finish(self.bad, self.resized)

    def unfinished_scan(self) -> Scan:
        """Return the scan before region proposals, and notes on all images."""
        scan = Scan(self.kind, self.path)
        split_of = self._splits(scan)
        scan.left_out["images in no list"] += len(self.images.keys() - split_of.keys())
        self._leave_out_unannotated_test(scan, split_of)
        for image, split in split_of.items():
            self._scan_image(scan, image, split)
        names = classes_of_option(self.classes)
        scan.add_unknown_classes(names, "for other classes than PASCAL's, set the option classes=a,b,c")
        return scan

    def _splits(self, scan: Scan) -> dict[str, str]:
        """Return the split of each listed image; images that do not exist become problems."""
        images, files = self.images, self.listing.files
        file_of = voc_devkit.split_lists(files)
        lines = {name: voc_devkit.read_list(files[file].read()) for name, file in file_of.items()}
        lists = {name: voc_devkit.listed_images(lines[name], images) for name in lines}
        if not lists:
            name, first = next(iter(files.items()))
            folder = first.path.removesuffix(name) if first.path.endswith(f"/{name}") else f"{self.path}: "
            raise ItlError(
                f"{folder}ImageSets/Main has no list of images; write train.txt and test.txt there, with the "
                f"name of an image without its suffix on each line"
            )
        split_of = voc_devkit.splits_of_lists(scan, lists, "images")
        for name, listed in lists.items():
            start, texts = f"{file_of[name]} lists", {}
            for image in sorted(split_of.keys() & set(listed) - images.keys()):
                scan.refused_splits.add(split_of.pop(image))
                texts[self.record_id(image)] = (
                    f"{start} {image[:60]!r}, but JPEGImages has no such image; copy it again, or remove it "
                    f"from the list"
                )
            scan.add_problems(texts, f"missing images of {file_of[name]}")
        return split_of

    def _leave_out_unannotated_test(self, scan: Scan, split_of: dict[str, str]) -> None:
        """Drop a test split that is not annotated completely, such as VOC 2012's, which is not public."""
        test = [image for image, split in split_of.items() if split == "test"]
        bare = [image for image in test if f"Annotations/{image}.xml" not in self.listing.files]
        if bare and (len(bare) == len(test) or self.year != "VOC2007"):
            scan.left_out["images of a test split without annotations"] += len(test)
            scan.notes.append(
                f"{len(bare):,} of {len(test):,} test images have no annotation, so test is left out; scores "
                f"are measured on val"
            )
            for image in test:
                del split_of[image]

    def _scan_image(self, scan: Scan, image: str, split: str) -> None:
        """Add one image with its objects or problems."""
        record = Record(self.record_id(image), "", split, self.images[image][1])
        objects: list[AnnotatedObject] = []
        with scan.problems_of(record.id):
            if (xml := f"Annotations/{image}.xml") not in self.listing.files:
                raise ItlError(f"{xml} is missing, though {image} is in {split}; copy it again")
            annotation, problems = self.read_listed(scan, [record.id], image)
            for text in problems:
                scan.add_problem(text, record.id)
            objects = list(annotation.objects)
        scan.add(record, objects)


@dataclass(frozen=True)
class Voc2012(Voc2007):
    """VOC 2012, in the same layouts as VOC 2007; its test annotations are not public, so val is scored."""

    kind = "voc2012"
    year = "VOC2012"
    expected = "VOCdevkit, its folder VOC2012, or VOCtrainval_11-May-2012.tar from PASCAL VOC's project page"
    missing_splits = {
        "train": f"PASCAL VOC's project page has it, in VOCtrainval_11-May-2012.tar; {NO_TRAINING}",
        "test": "its annotations are not public, only PASCAL VOC's server scores it; scores are those on val",
    }
    published_images = {"train": 5717, "val": 5823}


@dataclass(frozen=True)
class Voc0712(Voc2007):
    """VOC 2007 and 2012 together, as papers train detectors: trainval of both years, test of 2007."""

    kind = "voc0712"
    year = "VOC2007+2012"
    expected = "a folder with VOC2007 and VOC2012, such as VOCdevkit, or with the published tars of both"
    missing_splits = Voc2007.missing_splits
    published_images = {"train": 2501 + 5717, "val": 2510 + 5823, "test": 4952}

    @cached_property
    def _years(self) -> tuple[Voc2007, Voc2012]:
        options = {name: getattr(self, name) for name in ("classes", "bad", "outside", "resized")}
        return Voc2007(self.path, **options), _Voc2012Training(self.path, **options)

    def unfinished_scan(self) -> Scan:
        """Return the scan of both years, before region proposals."""
        scan = Scan(self.kind, self.path)
        for year in self._years:
            part = year.unfinished_scan()
            part.check_training()
            scan.merge(part, year.year)
        return scan

    @cached_property
    def listing(self) -> Listing:
        """All files of both years, below the name of the year."""
        merged = Listing()
        for year in self._years:
            merged.files |= {f"{year.year}/{name}": member for name, member in year.listing.files.items()}
            merged.left_out += year.listing.left_out
        return merged


@dataclass(frozen=True)
class _Voc2012Training(Voc2012):
    """VOC 2012 without its test images."""

    def _leave_out_unannotated_test(self, scan: Scan, split_of: dict[str, str]) -> None:
        test = [image for image, split in split_of.items() if split == "test"]
        scan.left_out["test images of VOC2012"] += len(test)
        for image in test:
            del split_of[image]


def classes_of_option(option: str | None) -> list[str]:
    """Return the classes of the *option*, a,b,c, or PASCAL's 20; ItlError if one is empty or repeated."""
    if option is None:
        return list(PASCAL)
    names = [plain_label(name) for name in option.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise ItlError(f"classes are different names, such as classes=cat,dog; got {option!r}")
    return names
