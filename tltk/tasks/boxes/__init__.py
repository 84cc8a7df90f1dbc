"""Building blocks of object detection: boxes, FCOS targets and losses, non-maximum suppression, average precision.

Boxes are (y_min, x_min, y_max, x_max) in pixels: edges, so that an image of height h spans 0 to h.
"""
