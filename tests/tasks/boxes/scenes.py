"""Scenes of coloured rectangles on noise, with exact boxes and masks."""

import numpy as np

import tltk
from tltk.data.boxes import BoxTargets, as_objects
from tltk.data.masks import array_targets
from tltk.specs import Boxes, LabelSpec

NAMES = ("red", "green")


def scenes(count, *, size=(48, 64), seed=0, most=2):
    """Return images uint8 [n, h, w, 3] and the `Boxes` of each; boxes of 12 to 24 pixels that do not overlap much."""
    generator = np.random.default_rng(seed)
    images = generator.integers(60, 140, (count, *size, 3)).astype("uint8")
    values = []
    for image in images:
        boxes, classes = [], []
        for _ in range(generator.integers(1, most + 1)):
            height, width = generator.integers(12, 24, 2)
            top, left = generator.integers(0, size[0] - height), generator.integers(0, size[1] - width)
            number = int(generator.integers(len(NAMES)))
            if any(top < box[2] and box[0] < top + height and left < box[3] and box[1] < left + width for box in boxes):
                continue
            image[top : top + height, left : left + width] = (40, 40, 40)
            image[top : top + height, left : left + width, number] = 250
            boxes.append([top, left, top + height, left + width])
            classes.append(number)
        values.append(Boxes(boxes, classes))
    return images, values


def source(count=24, **options):
    """Return a source of scenes."""
    images, values = scenes(count, **options)
    sizes = np.tile(np.array(images.shape[1:3], np.int32), (count, 1))
    targets = BoxTargets(as_objects(values), sizes)
    return tltk.Source("image", "arrays", images, targets, LabelSpec(NAMES, "boxes"))


def masked_source(count=24, **options):
    """Return a source of scenes with masks: background, red, green."""
    images, values = scenes(count, **options)
    masks = np.zeros(images.shape[:3], "uint8")
    for mask, boxes in zip(masks, values, strict=True):
        for (top, left, bottom, right), number in zip(boxes.boxes.astype(int), boxes.classes, strict=True):
            mask[top:bottom, left:right] = number + 1
    names = ("background", *NAMES)
    return tltk.Source("image", "arrays", images, array_targets(masks, 3), LabelSpec(names, "masks"))
