"""PASCAL VOC's 20 classes, and their nodes in WordNet."""

PASCAL = {
    **{"aeroplane": "n02691156", "bicycle": "n02834778", "bird": "n01503061", "boat": "n02858304"},
    **{"bottle": "n02876657", "bus": "n02924116", "car": "n02958343", "cat": "n02121620"},
    **{"chair": "n03001627", "cow": "n01887787", "diningtable": "n03201208", "dog": "n02084071"},
    **{"horse": "n02374451", "motorbike": "n03769722", "person": "n00007846", "pottedplant": "n00017222"},
    **{"sheep": "n02411705", "sofa": "n04256520", "train": "n04468005", "tvmonitor": "n03782006"},
}
