"""Sources by name."""

import inspect
from pathlib import Path

from itl import ItlError, pick
from itl.sources.cifar100 import Cifar100
from itl.sources.class_folders import ClassFolders
from itl.sources.coco import Coco
from itl.sources.imagenet import DEVKIT, TRAIN_TAR, VAL_TAR, ImageNet, TinyImageNet
from itl.sources.records import Source
from itl.sources.sun397 import Sun397
from itl.sources.synthetic.classes import DemoClasses
from itl.sources.synthetic.targets import DemoActions, DemoDetection, DemoScenes
from itl.sources.voc_action import VocAction
from itl.sources.voc_detection import Voc2007, Voc2012

SOURCES = {
    "imagenet": ImageNet,
    "tiny-imagenet": TinyImageNet,
    "folder": ClassFolders,
    "cifar100": Cifar100,
    "voc2007": Voc2007,
    "voc2012": Voc2012,
    "voc2012-action": VocAction,
    "sun397": Sun397,
    "coco": Coco,
    "demo": DemoClasses,
    "demo-scenes": DemoScenes,
    "demo-detection": DemoDetection,
    "demo-actions": DemoActions,
}
EXPECTED = {
    "imagenet": f"a folder with train/<wnid>/ and val/<wnid>/, or with {TRAIN_TAR}, {VAL_TAR} and "
                f"{DEVKIT}.tar.gz as image-net.org hands them out after registration",
    "tiny-imagenet": "tiny-imagenet-200, unpacked or as the .zip of cs231n.stanford.edu",
    "folder": "a folder, .tar or .zip with train/<class>/, val/<class>/ and test/<class>/, or <class>/ alone",
    "voc2007": "VOCdevkit, its folder VOC2007, a tar of it, or a folder with VOCtrainval_06-Nov-2007.tar and "
               "VOCtest_06-Nov-2007.tar of PASCAL VOC's project page; own images in that format with "
               "the option classes=a,b,c",
    "voc2012": "VOCdevkit, its folder VOC2012, or VOCtrainval_11-May-2012.tar of PASCAL VOC's project page",
    "voc2012-action": "VOCdevkit, its folder VOC2012 with ImageSets/Action, or VOCtrainval_11-May-2012.tar "
                      "of PASCAL VOC's project page",
    "sun397": "the folder SUN397 or a plain tar of it, with Training_01.txt and Testing_01.txt in it or "
              "beside it (Partitions.zip); both are on the SUN database's project page",
    "coco": "a folder, .tar or .zip with images and COCO-style JSON: annotations/instances_train.json, "
            "train.json or train/_annotations.coco.json, and the same for val or test",
    "cifar100": "the folder around cifar-100-python; the option download=true fetches it",
}


def reads_files(kind: str) -> bool:
    """Say whether the source *kind* takes a path; ItlError, with the near miss, for an unknown one."""
    return "path" in inspect.signature(pick(SOURCES, kind, "source")).parameters


def open_source(kind: str, path: str | Path | None = None, **options: object) -> Source:
    """Make the source *kind* of what lies at *path* (none where images are rendered); reads nothing yet.

    >>> open_source("folder", "pictures", val_fraction=0.1).kind
    'folder'

    Raises ItlError for an unknown kind or option, naming the nearest.
    """
    make = pick(SOURCES, kind, "source")
    known = inspect.signature(make).parameters
    for name in options:
        pick({each: each for each in known if each != "path"}, name, f"option of source {kind}")
    if not reads_files(kind):
        return make(**options)
    if path is None:
        raise ItlError(f"source {kind} reads files, but no path was given; it takes {EXPECTED[kind]}")
    return make(Path(path).expanduser(), **options)
