"""Images with annotated objects, in the formats of PASCAL VOC and COCO, and their region proposals."""
