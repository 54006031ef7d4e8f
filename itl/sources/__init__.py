"""Images and annotations where they lie: archives, a module for each layout, boxes, proposals, detections."""
