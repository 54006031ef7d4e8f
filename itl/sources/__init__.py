"""Readers of images and annotations: archives, a module for each layout, boxes, proposals, detections."""
