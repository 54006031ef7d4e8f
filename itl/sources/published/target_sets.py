"""The usual transfer targets, each with its official lists; a data set is one small class here.

To add one, say which lists it has and how a line names its image and class, and name it in TARGET_SETS.
Texts in braces, such as {0.fold}, are its options.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from posixpath import dirname, join
from typing import ClassVar, Literal

import numpy as np

from itl.errors import ItlError
from itl.hierarchy.taxonomy import WNID
from itl.sources.files.archives import Listing
from itl.sources.files.mat_files import load_mat
from itl.sources.folders.class_folders import no_images
from itl.sources.folders.layout import Choice, Tree, read_tree
from itl.sources.listed.image_lists import read_list_file
from itl.sources.listed.list_files import ListedImage
from itl.sources.listed.listed_source import ListedSource
from itl.sources.listed.numbered_classes import contradiction, name_of, names_of_numbers, read_names
from itl.sources.published.imagenet import ImageNet
from itl.sources.records import is_image
from itl.sources.scan import Scan
from itl.sources.source import Source
from itl.sources.split_names import SPLIT_ORDER, split_of_last
from itl.words import counted

Images = Iterable[ListedImage]  # with their classes as labels


@dataclass(frozen=True)
class TargetSet(ListedSource):
    """A published data set: a folder, tar or zip with its images and its official lists."""

    lists: ClassVar[Mapping[str, str]] = {}  # split -> name of its list, with its options in braces
    optional: ClassVar[tuple[str, ...]] = ()  # splits that need no list
    title: ClassVar[str] = "{0.kind}"  # its name in papers, with its options in braces too
    image_of_line: ClassVar[str] = "{}"  # the image that a line CLASS/NAME names, whatever is before these
    pack_options = "--size 256"
    labelled_by = "its official lists"

    @property
    def protocol(self) -> str:
        """The name of the division into splits."""
        name = self.scan.protocol_name(self.layout, self.published_images)
        return name + (", mean of the classes' accuracies" if self.metric == "per_class" else "")

    @property
    def layout(self) -> str:
        """The data set, by its name."""
        return self.title.format(self)

    def entries(self, scan: Scan) -> Iterator[tuple[str, str, Images]]:
        """Yield the images of each list."""
        for split, template in self.lists.items():
            name = template.format(self)
            if split not in self.optional or self.optional_file(name):
                yield split, name, map(self.entry, self.lines(name))

    def entry(self, line: str) -> ListedImage:
        """Return image and class that a line of a list names, CLASS/NAME unless overridden; else ItlError."""
        folder, _, name = line.replace("\\", "/").rpartition("/")
        label = folder.rpartition("/")[2]
        if not label:
            raise ItlError(f"{self.path}: {line[:60]!r} in a list of {self.layout} is not CLASS/NAME")
        return ListedImage(self.image_of_line.format(f"{label}/{name}"), label)


@dataclass(frozen=True)
class Food101(TargetSet):
    """Food-101."""

    kind = "food101"
    title = "Food-101"
    expected = "the folder food-101 with images/ and meta/train.txt and test.txt, from ETH Zurich's page"
    lists = {"train": "meta/train.txt", "test": "meta/test.txt"}
    image_of_line = "images/{}.jpg"
    published_images = {"train": 75750, "test": 25250}


@dataclass(frozen=True)
class Dtd(TargetSet):
    """Describable Textures, divided by one of ten folds."""

    fold: int = 1  # 1 to 10
    kind = "dtd"
    title = "DTD fold {0.fold}"
    expected = (
        "the folder dtd with images/ and labels/train1.txt, val1.txt and test1.txt, from Oxford VGG's page"
    )
    lists = {split: f"labels/{split}{{0.fold}}.txt" for split in SPLIT_ORDER}
    optional = ("val",)
    image_of_line = "images/{}"
    published_images = {"train": 1880, "val": 1880, "test": 1880}

    def __post_init__(self) -> None:
        """Raise ItlError for a fold that does not exist."""
        if not 1 <= self.fold <= 10:
            raise ItlError(f"DTD has folds 1 to 10, not {self.fold!r}")


@dataclass(frozen=True)
class Mit67(TargetSet):
    """MIT's 67 indoor scenes."""

    kind = "mit67"
    title = "MIT-67"
    expected = "a folder with Images/, TrainImages.txt and TestImages.txt, from MIT's page on indoor scenes"
    lists = {"train": "TrainImages.txt", "test": "TestImages.txt"}
    image_of_line = "Images/{}"
    published_images = {"train": 5360, "test": 1340}


@dataclass(frozen=True)
class Pets(TargetSet):
    """Oxford-IIIT pets: breeds of cats and dogs."""

    kind = "pets"
    title = "Oxford-IIIT Pet"
    metric = "per_class"
    expected = "a folder with images/ and annotations/trainval.txt and test.txt, from Oxford VGG's page"
    lists = {"train": "annotations/trainval.txt", "test": "annotations/test.txt"}
    published_images = {"train": 3680, "test": 3669}

    def entries(self, scan: Scan) -> Iterator[tuple[str, str, Images]]:
        """Yield the images of each list."""
        words = [line.split() for line in chain.from_iterable(map(self.lines, self.lists.values()))]
        pairs = [(line[1].lstrip("0") or "0", self.entry(line[0]).label) for line in words if len(line) > 1]
        if unlike := contradiction(pairs):
            scan.notes.append(f"class {unlike} in the lists; breeds by the names of images are taken")
        yield from super().entries(scan)

    def entry(self, line: str) -> ListedImage:
        """Read `Abyssinian_100 1 1 1`: the breed is the name without its number."""
        name = line.split()[0]
        return ListedImage(f"images/{name}.jpg", name.rpartition("_")[0])


@dataclass(frozen=True)
class Aircraft(TargetSet):
    """FGVC-Aircraft: variants, families or manufacturers."""

    labels: Literal["variant", "family", "manufacturer"] = "variant"
    kind = "aircraft"
    title = "FGVC-Aircraft {0.labels}"
    metric = "per_class"
    expected = (
        "the folder data of fgvc-aircraft-2013b, with images/ and images_variant_train.txt, from VGG's page"
    )
    lists = {split: f"images_{{0.labels}}_{split}.txt" for split in SPLIT_ORDER}
    published_images = {"train": 3334, "val": 3333, "test": 3333}

    def entry(self, line: str) -> ListedImage:
        """Read `1025794 707-320`."""
        name, _, label = line.partition(" ")
        return ListedImage(f"images/{name}.jpg", label.strip())


@dataclass(frozen=True)
class ImageNetLT(TargetSet):
    """ImageNet-LT: a long-tailed part of ImageNet, by the lists of Liu et al."""

    kind = "imagenet-lt"
    title = "ImageNet-LT"
    unlisted = "images of ImageNet in no list of ImageNet-LT"
    expected = (
        "ImageNet, as the source imagenet takes it, with ImageNet_LT_train.txt, ImageNet_LT_val.txt and "
        "ImageNet_LT_test.txt of the OpenLongTailRecognition repository in it or beside it"
    )
    lists = {split: f"ImageNet_LT_{split}.txt" for split in SPLIT_ORDER}
    optional = ("val",)
    published_images = {"train": 115846, "val": 20000, "test": 50000}

    @cached_property
    def listing(self) -> Listing:
        """Files of ImageNet, from its tars too, and the lists."""
        images, own = ImageNet(self.path).listing, super().listing
        lists = {name: member for name, member in own.files.items() if name.endswith(".txt")}
        return Listing(images.files | lists, images.folders, images.left_out)

    def entry(self, line: str) -> ListedImage:
        """Read `train/n01440764/n01440764_190.JPEG 0`: the class is the wnid of the folder; else ItlError."""
        image = line.split()[0]
        wnid = image.split("/")[-2] if image.count("/") else ""
        if not WNID.fullmatch(wnid):
            raise ItlError(
                f"{self.path}: {line[:60]!r} in a list of ImageNet-LT has no folder that is a wnid"
            )
        flat = f"{image.partition('/')[0]}/{image.rpartition('/')[2]}"  # as val is published
        return ListedImage(flat if flat in self.listing.files else image, wnid)


@dataclass(frozen=True)
class Places365(TargetSet):
    """Places365: scenes, with the standard training list and the validation list."""

    kind = "places365"
    title = "Places365-Standard"
    expected = (
        "a folder with data_256/ or data_large/, val_256/ or val_large/, categories_places365.txt, "
        "places365_train_standard.txt and places365_val.txt, from MIT's Places page"
    )
    lists = {"train": "places365_train_standard.txt", "val": "places365_val.txt"}
    published_images = {"train": 1803460, "val": 36500}

    @cached_property
    def categories(self) -> dict[str, str]:
        """Names of scenes, without the letter under which they are sorted, by number."""
        names = read_names(self.file("categories_places365.txt").read(), "categories_places365.txt")
        return {number: name[2:] if name[1:2] == "/" else name for number, name in names.items()}

    def entry(self, line: str) -> ListedImage:
        """Read `/a/airfield/00000001.jpg 0`."""
        image, _, number = line.rpartition(" ")
        return ListedImage(image.strip(), name_of(number, self.categories, "categories_places365.txt"))


@dataclass(frozen=True)
class Cub200(TargetSet):
    """CUB-200-2011: birds; four files, joined by the number of the image."""

    kind = "cub200"
    title = "CUB-200-2011"
    expected = (
        "the folder CUB_200_2011 with images/, images.txt, train_test_split.txt, image_class_labels.txt and "
        "classes.txt, from Caltech's page"
    )
    published_images = {"train": 5994, "test": 5794}

    def entries(self, scan: Scan) -> Iterator[tuple[str, str, Images]]:
        """Yield the images of train and test; ItlError if the lists number different images."""
        classes = read_names("\n".join(self.lines("classes.txt")).encode(), "classes.txt")
        images = self._numbered("images.txt")
        labels, is_train = self._numbered("image_class_labels.txt"), self._numbered("train_test_split.txt")
        if not images.keys() == labels.keys() == is_train.keys():
            raise ItlError(
                f"{self.path}: images.txt, image_class_labels.txt and train_test_split.txt number different "
                f"images; take all from one release"
            )
        if others := sorted(set(is_train.values()) - {"0", "1"}):
            raise ItlError(f"{self.path}: train_test_split.txt has {others[0]!r}; 1 is train, and 0 is test")
        for split, flag in (("train", "1"), ("test", "0")):
            numbers = [number for number in images if is_train[number] == flag]
            paths = [f"images/{images[number]}" for number in numbers]
            names = [name_of(labels[number], classes, "classes.txt") for number in numbers]
            yield split, "images.txt", map(ListedImage, paths, names)

    def _numbered(self, name: str) -> dict[str, str]:
        """Return what the lines `NUMBER VALUE` of a file say; ItlError if they contradict each other."""
        values: dict[str, str] = {}
        for line in self.lines(name):
            number, *rest = line.split(maxsplit=1)
            value = rest[0] if rest else ""
            if values.setdefault(number, value) != value:
                raise ItlError(
                    f"{self.path}: {name} says both {values[number]!r} and {value!r} of image {number}; "
                    f"remove one of the lines"
                )
        return values


@dataclass(frozen=True)
class Flowers102(TargetSet):
    """Oxford's 102 flowers, whose classes have numbers from 1."""

    kind = "flowers102"
    title = "Flowers-102"
    metric = "per_class"
    expected = "a folder with jpg/, imagelabels.mat and setid.mat, from Oxford VGG's page"
    published_images = {"train": 1020, "val": 1020, "test": 6149}

    def entries(self, scan: Scan) -> Iterator[tuple[str, str, Images]]:
        """Yield the images of each split; ItlError if one of them has no label."""
        labels = mat_numbers(self, "imagelabels.mat", "labels")
        names = {"train": "trnid", "val": "valid", "test": "tstid"}
        numbers = {split: mat_numbers(self, "setid.mat", name) for split, name in names.items()}
        divided = {number for of_split in numbers.values() for number in of_split}
        if wrong := sorted(number for number in divided if not 1 <= number <= len(labels)):
            raise ItlError(
                f"setid.mat names image {wrong[0]}, but imagelabels.mat labels "
                f"{counted(len(labels), 'images')}; take both from one release"
            )
        if len(divided) < len(labels):
            count = f"{counted(len(labels), 'images')}, of which setid.mat divides {len(divided):,}"
            scan.notes.append(f"imagelabels.mat labels {count}; take both from one release")
        if min(labels) < 1:
            scan.notes.append("imagelabels.mat has classes from 0 on, but those of Flowers-102 count from 1")
        for split, of_split in numbers.items():
            images = [ListedImage(f"image_{number:05d}.jpg", str(labels[number - 1])) for number in of_split]
            yield split, "setid.mat", images


@dataclass(frozen=True)
class StanfordDogs(TargetSet):
    """Stanford Dogs: breeds, named by their wnids."""

    kind = "stanford-dogs"
    title = "Stanford Dogs"
    expected = "a folder with Images/, train_list.mat and test_list.mat, from Stanford's page (lists.tar)"
    published_images = {"train": 12000, "test": 8580}

    def entries(self, scan: Scan) -> Iterator[tuple[str, str, Images]]:
        """Yield the images of train and test; ItlError for a list without file_list."""
        for split in ("train", "test"):
            name = f"{split}_list.mat"
            content = load_mat(self.file(name).read(), name, ["file_list", "labels"])
            if "file_list" not in content:
                raise ItlError(f"{name} has no file_list; take the lists from Stanford's page")
            images = [str(_one_value(cell, name)) for cell in content["file_list"].ravel()]
            folders = [image.partition("/")[0] for image in images]
            classes = [folder[:9] if WNID.match(folder) else folder for folder in folders]
            numbers = np.asarray(content.get("labels", ())).ravel().tolist()
            pairs = zip(map(str, numbers), classes, strict=False)
            if numbers and (len(numbers) != len(images) or not names_of_numbers(pairs)):
                scan.notes.append(f"the labels in {name} do not fit its images' folders, which are taken")
            paths = [f"Images/{image}" for image in images]
            yield split, name, map(ListedImage, paths, classes)


@dataclass(frozen=True)
class StanfordCars(TargetSet):
    """Stanford Cars, with the annotations of its development kit."""

    kind = "stanford-cars"
    title = "Stanford Cars"
    expected = (
        "a folder with cars_train/, cars_test/, cars_meta.mat, cars_train_annos.mat and "
        "cars_test_annos_withlabels.mat (of the development kit)"
    )
    lists = {"train": "cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    published_images = {"train": 8144, "test": 8041}

    def entries(self, scan: Scan) -> Iterator[tuple[str, str, Images]]:
        """Yield the images of train and test; ItlError for a file without class and fname."""
        meta = load_mat(self.file("cars_meta.mat").read(), "cars_meta.mat")
        cells = np.asarray(meta.get("class_names", ())).ravel()
        names = {str(number): str(_one_value(cell, "cars_meta.mat")) for number, cell in enumerate(cells, 1)}
        if twice := [name for name, count in Counter(names.values()).items() if count > 1]:
            raise ItlError(f"cars_meta.mat gives {twice[0]!r} two numbers; get it again")
        if len({self.file(name).read() for name in self.lists.values()}) == 1:
            raise ItlError(f"{' and '.join(self.lists.values())} are the same file; get the first again")
        for split, name in self.lists.items():
            rows = np.asarray(load_mat(self.file(name).read(), name).get("annotations", ())).ravel()
            if not len(rows) or not {"class", "fname"} <= set(rows.dtype.names or ()):
                raise ItlError(f"{name} has no annotations with class and fname; take the file with labels")
            images = []
            for row in rows:
                value, image = (_one_value(row[field], name) for field in ("class", "fname"))
                number = f"{value:g}" if value.dtype.kind == "f" else str(value)
                images.append(ListedImage(f"cars_{split}/{image}", name_of(number, names, "cars_meta.mat")))
            yield split, name, images


@dataclass(frozen=True)
class MiniImageNet(TargetSet):
    """mini-ImageNet; its lists divide classes, not images, so one of them is read."""

    part: Literal["train", "val", "test"] = "train"  # 64, 16 and 20 classes, of Ravi and Larochelle
    test_images: int = 100  # of the 600 of each class, chosen by a hash of their names
    kind = "mini-imagenet"
    title = "mini-ImageNet {0.part} classes, {0.test_images} test images of each"
    expected = "a folder with images/ and train.csv, val.csv and test.csv, header filename,label"
    pack_options = "--size 84"

    def entries(self, scan: Scan) -> Iterator[tuple[str, str, Images]]:
        """Yield train and test images of the classes of one part."""
        name = f"{self.part}.csv"
        images = read_list_file(self.file(name).read(), name)
        for image, label, *_ in images:
            wnid = image.rpartition("/")[2][:9]
            if WNID.fullmatch(wnid) and WNID.fullmatch(label) and wnid != label:
                raise ItlError(f"{self.path}: {name} says that {image} is {label}; its name says {wnid}")
        test, train = first_of_each_class(images, self.test_images, "test_images")
        scan.notes.append(f"mini-ImageNet divides its classes; these are those of {name}")
        yield "train", name, train
        yield "test", name, test


@dataclass(frozen=True)
class Caltech101(TargetSet):
    """Caltech-101, which has no official lists: 30 training images of each class, chosen by a hash."""

    train_images: int = 30  # of each class; the rest is test
    background: Literal["keep", "drop"] = "keep"  # the class BACKGROUND_Google
    kind = "caltech101"
    metric = "per_class"
    expected = "the folder 101_ObjectCategories, or one that contains it, from Caltech's page"
    labelled_by = "its folder"
    unlisted = "images in no class folder, or of one left out"
    published_classes = 102

    @property
    def comparable_classes(self) -> int:
        """How many classes there should be, with the background or without."""
        return self.published_classes - (self.background == "drop")

    @property
    def layout(self) -> str:
        """The name in papers, with the division."""
        without = "" if self.background == "keep" else " without background"
        return f"Caltech-101{without}, {self.train_images} training images a class"

    def entries(self, scan: Scan) -> Iterator[tuple[str, str, Images]]:
        """Yield training and test images of the class folders; ItlError if it is unclear which these are."""
        images = [name for name in self.listing.files if is_image(name)]
        images = [name for name in images if "/101_ObjectCategories/" in f"/{name}"] or images
        if not images:
            raise ItlError(no_images(self.listing, self.path))
        tree = Tree(Counter(map(dirname, images)))
        top = tree.descend("", lambda _, child: child in tree.children and not split_of_last(child))
        try:
            inside = Tree({"/".join(parts): count for parts, count in tree.below(top).items()})
            layout = read_tree(inside, Choice(), flat_val=False)
        except ItlError as error:
            raise ItlError(
                f"{self.path}: {error}; give a folder with nothing but class folders as the path"
            ) from None
        if layout.has_splits:
            raise ItlError(
                f"{self.path} has {layout.words}, but Caltech-101 has no official splits, and this source "
                f"draws its own from all images; the source folder reads those that you have"
            )
        scan.left_out += layout.left_out
        folders = {join(top, folder): name for folder, (_, name) in layout.class_of.items()}
        entries = [ListedImage(name, folders[dirname(name)]) for name in images if dirname(name) in folders]
        if self.background == "drop":
            entries = [entry for entry in entries if entry.label != "BACKGROUND_Google"]
        train, test = first_of_each_class(entries, self.train_images, "train_images")
        yield "train", "101_ObjectCategories", train
        yield "test", "101_ObjectCategories", test


TARGET_SETS: tuple[type[Source], ...] = (
    *(Aircraft, Caltech101, Cub200, Dtd, Flowers102, Food101, ImageNetLT),
    *(MiniImageNet, Mit67, Pets, Places365, StanfordCars, StanfordDogs),
)


def first_of_each_class(entries: Images, count: int, option: str) -> tuple[Images, Images]:
    """Divide images: *count* of each class, those of the lowest hashes, and the rest.

    ItlError, with the *option* that sets *count*, if that is below 1, or a class has no more images; also
    for two images of one class and name, as in two copies of a data set.

    >>> first, rest = first_of_each_class([ListedImage(name, "cat") for name in "123"], 1, "train_images")
    >>> len(first), len(rest)
    (1, 2)
    """
    if count < 1:
        raise ItlError(f"the option {option} is a whole number from 1 on, not {count!r}")
    by_class = defaultdict(list)
    named: dict[tuple[str, str], str] = {}
    for entry in sorted(entries, key=_hash_in_class):
        by_class[entry.label].append(entry)
        key = entry.label, entry.image.rpartition("/")[2]
        if (other := named.setdefault(key, entry.image)) != entry.image:
            raise ItlError(
                f"{entry.image} and {other} are of one class and name, as in two copies of a data set; give "
                f"the folder of one"
            )
    for label, images in sorted(by_class.items(), key=lambda item: len(item[1])):  # the smallest first
        if (most := len(images) - 1) < count:
            way = f"set the option {option} to {most} or fewer" if most else "add images, or remove it"
            raise ItlError(
                f"class {label!r} has {counted(len(images), 'images')}, and {count} of each class were asked "
                f"for, so none would remain; {way}"
            )
    first = [entry for images in by_class.values() for entry in images[:count]]
    return first, [entry for images in by_class.values() for entry in images[count:]]


def _hash_in_class(entry: ListedImage) -> bytes:
    """Return a hash of class and name, the same wherever the data set lies."""
    return hashlib.sha256(f"{entry.label}/{entry.image.rpartition('/')[2]}".encode()).digest()


def mat_numbers(source: ListedSource, name: str, variable: str) -> list[int]:
    """Return the whole numbers that *variable* of the file *name* of *source* holds; else ItlError."""
    values = np.asarray(load_mat(source.file(name).read(), name, [variable]).get(variable, ())).ravel()
    if not len(values) or values.dtype.kind not in "iuf" or not np.array_equal(values, np.rint(values)):
        raise ItlError(f"{name} has no {variable} with whole numbers; copy it again")
    return [int(value) for value in values]


def _one_value(cell: object, name: str) -> np.ndarray:
    """Return the one number or text in a *cell* of the .mat file *name*, without the sides of the cell."""
    value = np.asarray(cell).squeeze()
    if value.ndim:
        raise ItlError(f"{name} has a cell with {str(cell)[:40]} instead of one value; copy it again")
    return value
