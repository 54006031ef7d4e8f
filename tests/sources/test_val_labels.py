"""What says the class of ImageNet's val images: numbers in lists, class folders against lists, devkits."""

import shutil
import tarfile

import numpy as np
import pytest
import scipy.io

from itl import ItlError
from itl.hierarchy.taxonomy import Taxonomy
from itl.sources.published.imagenet import ImageNet, TinyImageNet
from itl.sources.published.val_labels import DEVKIT, KNOWN_VAL_IMAGE, META, TRUTH, read_labels
from tests.annotated import written
from tests.pictures import CAR, FOX, listed, tarred, tree

TENCH = "n01440764"
VAL = [f"ILSVRC2012_val_0000000{number}.JPEG" for number in (1, 2)]
TRAIN = [f"train/{wnid}/{wnid}_1.JPEG" for wnid in (FOX, CAR)]
SNAKE = KNOWN_VAL_IMAGE[1]


def numbered(numbers: tuple[int, int]) -> bytes:
    """A list of two images with the numbers of their classes."""
    return "".join(f"{name}.JPEG {number}\n" for name, number in zip("ab", numbers, strict=True)).encode()


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((0, 2), [CAR, TENCH]),
        ((0, 1), [CAR, FOX]),  # the last class is absent
        ((1, 3), [CAR, TENCH]),
        ((2, 3), [FOX, TENCH]),
    ],
)
def test_numbers_of_val_images_count_from_0_or_1_where_they_tell(numbers, expected):
    assert list(read_labels(numbered(numbers), [CAR, FOX, TENCH]).values()) == expected


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ((1, 2), "neither the number 0 nor 3, so it is unclear whether it counts from 0 or from 1; write"),
        ((0, 3), "it has the number 3, which stands for none of 3 classes"),
        ((1, 4), "it has the number 4, which stands for none of 3 classes"),
    ],
)
def test_numbers_of_val_images_that_do_not_tell_are_refused(numbers, says):
    with pytest.raises(ItlError, match=says):
        read_labels(numbered(numbers), [CAR, FOX, TENCH])


@pytest.mark.parametrize("start", ["", "wnid,\n", "\n\n", "\ufeff"])
def test_a_wnid_for_each_image_in_order_counts_images_and_not_lines(start):
    """A header moved each label to the next image."""
    labels = read_labels(f"{start}{FOX}\n{SNAKE}\n{CAR}\n\n".encode())
    assert [(name[-2:], wnid) for name, wnid in labels.items()] == [("01", FOX), ("02", SNAKE), ("03", CAR)]


@pytest.mark.parametrize("between", ["\n", "val_9.JPEG n02119789\n"])
def test_an_order_of_wnids_with_something_between_is_refused(between):
    says = "^not each of its lines 1 to 3 is a wnid alone, so it is unclear which image each is of$"
    with pytest.raises(ItlError, match=says):
        read_labels(f"{SNAKE}\n{between}{FOX}\n".encode())


def every_class(first: int, number: int | None) -> bytes:
    """An image of each of 1000 classes, counted from *first*; before them ILSVRC's first, with *number*."""
    lines = [] if number is None else [f"{VAL[0]} {number}"]
    lines += [f"x{index}.JPEG {index + first}" for index in range(1000)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(("first", "number"), [(0, 65), (1, 66), (0, None)])
def test_numbers_of_sorted_wnids_are_read(first, number):
    """ILSVRC's first image of val is a sea snake: Caffe's 65."""
    order = sorted(Taxonomy.snapshot().leaves)
    labels = read_labels(every_class(first, number), order)
    assert [labels[f"x{index}"] for index in (0, 999)] == [order[0], order[999]]


@pytest.mark.parametrize(("first", "number"), [(1, 490), (1, None)])
def test_numbers_of_the_devkit_are_not_those_of_sorted_wnids(first, number):
    """The sea snake is the devkit's 490."""
    says = f"from {first} may be in the order of ILSVRC's devkit, .* {SNAKE}"
    with pytest.raises(ItlError, match=says):
        read_labels(every_class(first, number), sorted(Taxonomy.snapshot().leaves))


@pytest.mark.parametrize(("number", "expected"), [(65, 970), (66, 969)])
def test_one_known_image_tells_where_numbers_start(number, expected):
    """Where neither the first nor the last class has an image, as in a part of val."""
    order = sorted(Taxonomy.snapshot().leaves)
    lines = f"{VAL[0]} {number}\n{VAL[1]} 970\n".encode()
    assert read_labels(lines, order) == {VAL[0][:-5]: SNAKE, VAL[1][:-5]: order[expected]}


def test_a_known_image_of_another_number_tells_nothing():
    lines = f"{VAL[0]} 490\n{VAL[1]} 970\n".encode()
    with pytest.raises(ItlError, match="neither the number 0 nor 1000, so it is unclear"):
        read_labels(lines, sorted(Taxonomy.snapshot().leaves))


def devkit(folder, *numbers, packed=False):
    """Write a devkit in which FOX is class 9, and CAR class 7."""
    data = folder / DEVKIT / "data"
    data.mkdir(parents=True)
    rows = np.array([(7, CAR), (9, FOX)], [("ILSVRC2012_ID", "O"), ("WNID", "O")])
    scipy.io.savemat(data / META, {"synsets": rows})
    (data / TRUTH).write_text("".join(f"{number}\n" for number in numbers))
    if packed:
        with tarfile.open(folder / f"{DEVKIT}.tar.gz", "w:gz") as tar:
            tar.add(folder / DEVKIT, DEVKIT)
        shutil.rmtree(folder / DEVKIT)


def solution(*wnids):
    """The text of LOC_val_solution.csv."""
    lines = [f"{name[:-5]},{wnid} 1 2 3 4\n" for name, wnid in zip(VAL, wnids, strict=True)]
    return f"ImageId,PredictionString\n{''.join(lines)}"


def with_list(root, kind, *wnids):
    """Write a list of val that gives its images *wnids*, and return what it is called."""
    if kind == "devkit":
        devkit(root, *({FOX: 9, CAR: 7}[wnid] for wnid in wnids), packed=True)
        return f"{DEVKIT}.tar.gz"
    (root / "LOC_val_solution.csv").write_text(solution(*wnids))
    return "LOC_val_solution.csv"


@pytest.mark.parametrize("kind", ["devkit", "solution"])
def test_class_folders_of_val_that_a_list_contradicts_are_refused(tmp_path, kind):
    val = [f"val/{FOX}/{VAL[0]}", f"val/{CAR}_car/{VAL[1]}", f"val/{CAR}_car/own.JPEG"]
    tree(tmp_path / "set", *TRAIN, *val)
    words = with_list(tmp_path / "set", kind, FOX, FOX)
    reason = (
        f"1 val image is of another class by {words} than by the class folders, such as {val[1]}, "
        f"which is {FOX} there; to take the list, move the images of val out of their class folders into the "
        f"folder around these; to take the folders, move {words} elsewhere"
    )
    with pytest.raises(ItlError, match=reason):
        ImageNet(tmp_path / "set").records()
    (tmp_path / "set" / words).rename(tmp_path / words)
    assert [record[1] for record in listed(ImageNet(tmp_path / "set"))] == [FOX, CAR, FOX, CAR, CAR]
    (tmp_path / words).rename(tmp_path / "set" / words)
    for file in [*(tmp_path / "set/val").glob("*/ILSVRC*")]:
        file.rename(tmp_path / "set/val" / file.name)
    (tmp_path / f"set/val/{CAR}_car/own.JPEG").unlink()
    assert [record[1:] for record in listed(ImageNet(tmp_path / "set"))][2:] == [(FOX, "val"), (FOX, "val")]


@pytest.mark.parametrize("kind", ["devkit", "solution"])
def test_class_folders_of_val_that_a_list_confirms_are_read(tmp_path, kind):
    tree(tmp_path, *TRAIN, f"val/{FOX}/{VAL[0]}", f"val/{CAR}/{VAL[1]}")
    with_list(tmp_path, kind, FOX, CAR)
    assert [record[1] for record in listed(ImageNet(tmp_path))] == [FOX, CAR, FOX, CAR]


def test_class_folders_of_val_may_be_of_a_class_above_that_of_a_list(tmp_path):
    canine = Taxonomy.snapshot().path(FOX)[2]
    tree(tmp_path, f"train/{canine}/1.JPEG", f"train/{CAR}/1.JPEG", f"val/{canine}/{VAL[0]}")
    (tmp_path / "val_map.txt").write_text(f"{VAL[0]} {FOX}\n")
    assert [record[1] for record in listed(ImageNet(tmp_path))] == [canine, CAR, canine]


def test_a_folder_of_val_alone_an_archive_and_the_option_are_compared_too(tmp_path):
    tree(tmp_path / "set", f"val/{FOX}/{VAL[0]}", f"val/{CAR}/{VAL[1]}")
    other = tmp_path / "other.csv"
    other.write_text(solution(CAR, CAR))
    with pytest.raises(
        ItlError,
        match=f"by {other} than by the class folders, such as val/{FOX}/.*leave the option val_labels out",
    ):
        ImageNet(tmp_path / "set", val_labels=other).records()
    assert len(listed(ImageNet(tmp_path / "set/val"))) == 2
    (tmp_path / "set/LOC_val_solution.csv").write_text(solution(CAR, CAR))
    with pytest.raises(ItlError, match="1 val image is of another class by LOC_val"):
        ImageNet(tmp_path / "set/val").records()
    files = dict.fromkeys((*TRAIN, f"val/{FOX}/{VAL[0]}"), b"x")
    path = tarred(tmp_path / "set.tar", files | {"LOC_val_solution.csv": solution(CAR, CAR).encode()})
    with pytest.raises(ItlError, match="1 val image is of another class by LOC_val"):
        ImageNet(path).records()
    assert len(listed(ImageNet(tarred(tmp_path / "without.tar", files)))) == 3


def test_tiny_imagenet_without_its_list_is_told_which_that_is(tmp_path):
    tree(tmp_path, *TRAIN, "val/images/val_0.JPEG")
    with pytest.raises(
        ItlError, match="no label, such as val_0; put val/val_annotations.txt of tiny-imagenet-"
    ):
        TinyImageNet(tmp_path).records()
    (tmp_path / "val/val_annotations.txt").write_text(f"val_0.JPEG\t{FOX}\t0\t0\t1\t1\n")
    assert [record[1] for record in listed(TinyImageNet(tmp_path))] == [FOX, CAR, FOX]


def test_of_two_copies_of_a_data_set_one_is_to_be_the_path(tmp_path):
    tree(
        tmp_path,
        *(f"{copy}/{name}" for copy in ("tiny", "tiny copy") for name in (*TRAIN, f"val/{FOX}/1.JPEG")),
    )
    with pytest.raises(
        ItlError,
        match=f"2 folders with splits of their own, tiny, tiny copy; give one, such as {tmp_path}/tiny, as",
    ):
        TinyImageNet(tmp_path).records()
    assert len(listed(TinyImageNet(tmp_path / "tiny"))) == 3
    archive = tarred(tmp_path / "a.tar", {f"{copy}/{name}": b"x" for copy in "ab" for name in TRAIN})
    with pytest.raises(
        ItlError, match="2 folders .*, a, b; unpack the archive, .*, and give one, such as a in"
    ):
        TinyImageNet(archive).records()
    tree(tmp_path, *(f"tiny/tiny/{name}" for name in TRAIN))
    assert ImageNet(tmp_path / "tiny").notes == [
        f"tiny beside train holds splits of its own (train), which are not read; move what is to be read "
        f"beside train, or give {tmp_path}/tiny/tiny as the path"
    ]


@pytest.mark.parametrize("words", ["", " red fox"])
def test_two_orders_of_classes_beside_numbers_say_the_same(tmp_path, words):
    tree(tmp_path, *TRAIN, *(f"val/{name}" for name in VAL))
    (tmp_path / "val.txt").write_text(f"{VAL[0]} 0\n{VAL[1]} 1\n")
    (tmp_path / "synsets.txt").write_text(f"{FOX}\n{CAR}\n")
    for wnids in ((FOX, CAR), (FOX, CAR, SNAKE), (FOX,), ("red", "car")):  # the last names no classes
        (tmp_path / "synset_words.txt").write_text("".join(f"{wnid}{words}\n" for wnid in wnids))
        assert [record[1:] for record in listed(ImageNet(tmp_path))][2:] == [(FOX, "val"), (CAR, "val")]
    (tmp_path / "synsets.txt").write_text(f"{FOX}\n")
    (tmp_path / "synset_words.txt").write_text(f"{FOX}{words}\n{CAR}{words}\n")
    assert [record[1:] for record in listed(ImageNet(tmp_path))][2:] == [(FOX, "val"), (CAR, "val")]
    (tmp_path / "synsets.txt").write_text(f"{FOX}\n{CAR}\n")
    (tmp_path / "synset_words.txt").write_text(f"{CAR}{words}\n{FOX}{words}\n")
    says = (
        "val.txt: its numbers are of classes in the order of synsets.txt or of synset_words.txt, which differ"
    )
    with pytest.raises(ItlError, match=says):
        ImageNet(tmp_path).records()
    (tmp_path / "val_map.txt").write_text(f"{VAL[0]} {FOX}\n{VAL[1]} {CAR}\n")
    assert len(ImageNet(tmp_path).records()) == 4, "a list of wnids needs no order"


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("folder", ["", "val", "meta", "ILSVRC2012_devkit"])
def test_the_devkit_may_lie_in_a_folder_of_its_own(tmp_path, folder, packed):
    tree(tmp_path, *TRAIN, *(f"val/{name}" for name in VAL))
    devkit(tmp_path / folder, 9, 7, packed=packed)
    assert [record[1] for record in listed(ImageNet(tmp_path))] == [FOX, CAR, FOX, CAR]


def test_the_devkit_of_another_task_is_said(tmp_path):
    tree(tmp_path, *TRAIN, *(f"val/{name}" for name in VAL), "ILSVRC2012_devkit_t3.tar.gz")
    message = (
        f"ILSVRC2012_devkit_t3.tar.gz: it is of task 3, breeds of dogs; {DEVKIT} of tasks 1 and 2 has the"
    )
    with pytest.raises(ItlError, match=message):
        ImageNet(tmp_path).records()


def test_the_tar_of_a_split_may_lie_in_the_folder_of_the_split(tmp_path):
    tree(tmp_path, *TRAIN)
    tarred(tmp_path / "val/ILSVRC2012_img_val.tar", dict.fromkeys(VAL, b"x"))
    devkit(tmp_path, 9, 7)
    source = ImageNet(tmp_path)
    assert [record[:2] for record in listed(source)][2:] == [(f"val/{VAL[0]}", FOX), (f"val/{VAL[1]}", CAR)]
    tree(tmp_path, f"val/{CAR}/{VAL[1]}")  # unpacked beside the tar, which is left out then
    source = ImageNet(tmp_path)
    assert len(source.records()) == 3
    assert source.count_left_out(source.records()) == {"other files": 1}


@pytest.mark.parametrize("name", ["resnet50_predictions.csv", "val_preds.txt", "results.csv", "Output.txt"])
def test_predictions_beside_val_are_no_labels(tmp_path, name):
    tree(tmp_path, *TRAIN, *(f"val/{image}" for image in VAL))
    (tmp_path / name).write_text("".join(f"{image},{CAR}\n" for image in VAL))
    with pytest.raises(ItlError, match=f"^{tmp_path}: 2 val images have no label, such as .*_00000001; put "):
        ImageNet(tmp_path).records()
    devkit(tmp_path, 9, 7)
    source = ImageNet(tmp_path)
    assert [record[1] for record in listed(source)] == [FOX, CAR, FOX, CAR]
    assert source.labelled_by == f"their folders, val by the devkit's {TRUTH}"
    by_option = ImageNet(tmp_path, val_labels=tmp_path / name)
    assert [record[1] for record in listed(by_option)] == [FOX, CAR, CAR, CAR]


def test_a_list_of_val_that_xml_files_contradict_is_refused(tmp_path):
    tree(tmp_path, *TRAIN, *(f"val/{image}" for image in VAL))
    (tmp_path / "val_map.txt").write_text(f"{VAL[0]} {FOX}\n{VAL[1]} {CAR}\n")
    folder = "Annotations/CLS-LOC/val"
    two_classes = f"<name>{CAR}</name><name>{FOX}</name>"  # which say nothing
    for wnid in (FOX, CAR):
        texts = (f"<name>{wnid}</name>", two_classes)
        xml = {f"{folder}/{image[:-5]}.xml": text.encode() for image, text in zip(VAL, texts, strict=True)}
        written(tmp_path, xml)
        if wnid == FOX:
            assert [record[1] for record in listed(ImageNet(tmp_path))] == [FOX, CAR, FOX, CAR]
    says = f"{VAL[0][:-5]} the class {FOX}, but the XML in {folder} gives it {CAR}"
    with pytest.raises(ItlError, match=says):
        ImageNet(tmp_path).records()
    by_option = ImageNet(tmp_path, val_labels=tmp_path / "val_map.txt")
    assert [record[1] for record in listed(by_option)] == [FOX, CAR, FOX, CAR]


@pytest.mark.parametrize("packed", [True, False])
def test_a_list_of_val_that_the_devkit_contradicts_is_refused(tmp_path, packed):
    canine = Taxonomy.snapshot().path(FOX)[2]
    tree(tmp_path, *TRAIN, f"train/{canine}/1.JPEG", *(f"val/{image}" for image in VAL))
    devkit(tmp_path, 9, 7, packed=packed)
    file = tmp_path / "resnet50.csv"
    for wnid in (FOX, canine):  # a class above that of the devkit is none of its own
        file.write_text(f"{VAL[0]},{wnid}\n{VAL[1]},{CAR}\n")
        assert [record[1] for record in listed(ImageNet(tmp_path)) if record[2] == "val"] == [wnid, CAR]
    file.write_text(f"{VAL[0]},{FOX}\n{VAL[1]},{FOX}\n")
    name = f"{DEVKIT}.tar.gz" if packed else f"the devkit's {TRUTH}"
    says = (
        f"resnet50.csv gives {VAL[1][:-5]} the class {FOX}, but {name} gives it {CAR}; remove the wrong "
        f"list, or name the right one by the option val_labels"
    )
    with pytest.raises(ItlError, match=says):
        ImageNet(tmp_path).records()
    assert len(ImageNet(tmp_path, val_labels=file).records()) == 5


def test_the_wnid_in_the_name_of_each_image_is_its_class(tmp_path):
    """As the Hugging Face hub packs them; a list may have the names without, and must say the same."""
    names = [f"{stem[:-5]}_{wnid}.JPEG" for stem, wnid in zip(VAL, (FOX, CAR), strict=True)]
    tree(tmp_path, *TRAIN, *(f"val/{name}" for name in names))
    expected = [(f"val/{names[0]}", FOX), (f"val/{names[1]}", CAR)]
    assert [record[:2] for record in listed(ImageNet(tmp_path))][2:] == expected
    assert ImageNet(tmp_path).labelled_by == "their folders, val by the name of each image"
    file = tmp_path / with_list(tmp_path, "solution", FOX, CAR)
    assert [record[:2] for record in listed(ImageNet(tmp_path))][2:] == expected
    with_list(tmp_path, "solution", FOX, FOX)
    says = (
        f"^{tmp_path}: the name of each image gives {names[1][:-5]} the class {CAR}, but {file.name} gives "
        f"it {FOX}; remove the wrong list, or name the right one by the option val_labels$"
    )
    with pytest.raises(ItlError, match=says):
        ImageNet(tmp_path).records()
    by_option = ImageNet(tmp_path, val_labels=file)
    assert [record[1] for record in listed(by_option)][2:] == [FOX, FOX]
    (tmp_path / "val" / names[1]).rename(tmp_path / "val" / VAL[1])  # not all have it
    assert [record[1] for record in listed(ImageNet(tmp_path))][2:] == [FOX, FOX]
    assert ImageNet(tmp_path).labelled_by == f"their folders, val by {file.name}"
    file.unlink()
    with pytest.raises(ItlError, match=f"2 val images have no label, such as {names[0][:-5]}; put "):
        ImageNet(tmp_path).records()


def test_class_folders_are_compared_with_lists_whose_names_lack_the_wnid(tmp_path):
    tree(tmp_path, *TRAIN, f"val/{FOX}/{VAL[0][:-5]}_{FOX}.JPEG", f"val/{CAR}/{VAL[1][:-5]}_{CAR}.JPEG")
    with_list(tmp_path, "solution", FOX, FOX)
    with pytest.raises(ItlError, match="1 val image is of another class by LOC_val_solution.csv than by "):
        ImageNet(tmp_path).records()
