"""Annotated targets, detections and proposals from the field: what the command says of each of them."""

import pytest

from itl.__main__ import main
from tests.pictures import REAL

CASES = REAL.parent / "cases"
VOC_AP = "voc-ap --annotations 18-voc-ap-inputs/VOC2007 --detections 18-voc-ap-inputs/"
CHECKED = {  # arguments: exit status, and words of the output
    "check voc2007 16-voc-kaggle/pascal-voc-2007": (0, "test 2 images"),
    "check voc2012 16-voc-kaggle/pascal-voc-2012": (0, "train 2 images, val 2 images"),
    "check voc0712 16-voc-kaggle": (0, "train 4 images, val 4 images, test 2 images"),
    "check voc2007 16-voc-kaggle/labelimg-flat": (1, "has XML files beside their images"),
    "check voc2007 16-voc-kaggle/roboflow-voc": (1, "has XML files beside their images"),
    "check voc2007 16-voc-kaggle/labelimg-own": (1, "4 problems of this kind, on VOC2007/a1"),
    "check voc2007 16-voc-kaggle/yolo": (1, "boxes as YOLO's text files"),
    "check coco 25-coco/coco2017": (0, "train 2 images, val 2 images"),
    "check coco 25-coco/fiftyone": (0, "train 2 images, val 2 images"),
    "check coco 25-coco/roboflow": (0, "train 2 images, val 2 images, test 2 images"),
    "check coco coco-many-missing": (1, "or remove it (200 problems of this kind, on 000000.jpg,"),
    "check sun397 sun-gz-beside": (1, "is compressed, so single images cannot be read in place"),
    f"{VOC_AP}good.csv": (0, "cat,1.0\ndog,1.0\nmean,1.0"),
    f"{VOC_AP}jpgnames.csv": (0, "cat,1.0\ndog,0.0\nmean,0.5"),
    f"{VOC_AP}results": (0, "cat,1.0\ndog,1.0\nmean,1.0"),
    f"{VOC_AP}coco-results.json": (0, "category ids are taken for 1 cat, 2 dog"),
    f"{VOC_AP}rel.csv": (1, "lie between 0 and 1, as parts of the image"),
    f"{VOC_AP}empty.csv": (1, "holds no detections"),
    f"{VOC_AP}ints.csv": (1, "did you mean '000001'"),
    f"{VOC_AP}semicolon.csv": (1, "should have one column image"),
    f"{VOC_AP}background.csv": (1, "no annotated class"),
    f"{VOC_AP}case.csv": (1, "did you mean 'cat'"),
    f"{VOC_AP}coconame.csv": (1, "did you mean 'diningtable'"),
    f"{VOC_AP}clsindex.csv": (1, "no annotated class"),
    f"{VOC_AP}results/comp4_det_test_cat.txt": (1, "give the folder with those of all classes"),
    "proposals 19-proposals/perimage": (0, "4 regions of 2 images"),
    "proposals 19-proposals/edgeboxes.mat": (0, "4 regions of 2 images"),
    "proposals 19-proposals/mcg-2008_000001.mat": (0, "2 regions of 1 images"),
    "proposals 19-proposals/voc_2007_trainval.mat": (0, "4 regions of 2 images"),
    "proposals 19-proposals/voc_2007_train.pkl": (1, "is a pickle, which may run anything"),
    "proposals 19-proposals/SelectiveSearch-v.pkl": (1, "is a pickle, which may run anything"),
    "proposals 19-proposals/v73.mat": (1, "save it again with -v7"),
    "proposals 19-proposals/html.mat": (1, "not a .mat file"),
    "proposals 19-proposals/all_boxes.mat": (1, "has no images, but all_boxes"),
}


@pytest.mark.skipif(not CASES.is_dir(), reason="no folder of cases in ../shared")
@pytest.mark.parametrize("arguments", CHECKED)
def test_what_the_command_says(arguments, monkeypatch, capsys):
    monkeypatch.chdir(CASES)
    status, words = CHECKED[arguments]
    assert main(arguments.split()) == status
    output = capsys.readouterr()
    assert words in output.out + output.err
    assert output.err.count("\n") == status + output.err.count("note: ")
