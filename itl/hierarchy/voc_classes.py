"""PASCAL VOC's 20 classes, their nodes in WordNet, and their numbers in COCO."""

PASCAL = {
    **{"aeroplane": "n02691156", "bicycle": "n02834778", "bird": "n01503061", "boat": "n02858304"},
    **{"bottle": "n02876657", "bus": "n02924116", "car": "n02958343", "cat": "n02121620"},
    **{"chair": "n03001627", "cow": "n01887787", "diningtable": "n03201208", "dog": "n02084071"},
    **{"horse": "n02374451", "motorbike": "n03769722", "person": "n00007846", "pottedplant": "n00017222"},
    **{"sheep": "n02411705", "sofa": "n04256520", "train": "n04468005", "tvmonitor": "n03782006"},
}

COCO_IDS = {  # the category_id of COCO's annotations, from 1 to 90, and that of detectors of its 80 classes
    **{"person": (1, 0), "bicycle": (2, 1), "car": (3, 2), "motorbike": (4, 3), "aeroplane": (5, 4)},
    **{"bus": (6, 5), "train": (7, 6), "boat": (9, 8), "bird": (16, 14), "cat": (17, 15), "dog": (18, 16)},
    **{"horse": (19, 17), "sheep": (20, 18), "cow": (21, 19), "bottle": (44, 39), "chair": (62, 56)},
    **{"sofa": (63, 57), "pottedplant": (64, 58), "diningtable": (67, 60), "tvmonitor": (72, 62)},
}
