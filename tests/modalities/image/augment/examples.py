"""Shared by the tests of augmentations: one record of each kind, and images with boxes and masks."""

import numpy as np
import tensorflow as tf

from tltk import augment as a

ALL = [
    a.flip(),
    a.flip(vertical=True),
    a.flip(horizontal=False, vertical=True),
    a.crop_resize(),
    a.rotate(30),
    a.color_jitter(brightness=0.3),
    a.color_jitter(contrast=0.5),
    a.color_jitter(saturation=0.5),
    a.color_jitter(hue=0.2),
    a.color_jitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1),
    a.rand_augment(),
    a.mixup(1.0),
    a.cutmix(),
    a.scale_jitter(),
    a.mosaic(probability=0.8),
]
GEOMETRIC = [a.flip(vertical=True), a.crop_resize(), a.rotate(40), a.rand_augment(operations=1, magnitude=1.0)]
SIZE = 48
NONE, OBJECT, IGNORE = 0, 3, 255


def name_of(augmentation: a.Augmentation) -> str:
    return "-".join(str(value) for value in augmentation.to_config().values())


def seed_of(*numbers: int) -> tf.Tensor:
    return tf.constant(numbers, tf.int64)


def smooth_batch(count: int = 8, size: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Return smooth colored images, all different, and one-hot targets."""
    gradient = np.linspace(0, 255, size)
    images = np.zeros((count, size, size, 3), "float32")
    images[..., 0], images[..., 1] = gradient, gradient[:, None]
    images[..., 2] = 30 * np.arange(count)[:, None, None]
    return images, np.eye(count, dtype="float32")


def rectangles(count: int = 12) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Return dark images with one bright rectangle each, and its box, its mask, and a row without an object."""
    images = np.full((count, SIZE, SIZE, 3), 20, "float32")
    masks = np.full((count, SIZE, SIZE), NONE, "uint8")
    boxes, labels = np.zeros((count, 2, 4), "float32"), np.full((count, 2), -1, "int32")
    rng = np.random.default_rng(0)
    for index in range(count):
        top, left = rng.integers(14, 20, 2)
        height, width = rng.integers(8, 16, 2)
        pixels = index, slice(top, top + height), slice(left, left + width)
        images[pixels], masks[pixels] = 220, OBJECT
        boxes[index, 0], labels[index, 0] = (top, left, top + height, left + width), OBJECT
    targets = {"boxes": boxes, "labels": labels, "masks": masks}
    return tf.constant(images), {key: tf.constant(value) for key, value in targets.items()}


def boxes_around(masks: np.ndarray) -> np.ndarray:
    """Compute the boxes around the true pixels of masks bool [b, h, w]: float [b, 4]."""
    boxes = []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        boxes.append([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
    return np.array(boxes, "float32")


def assert_targets_follow(images: np.ndarray, targets: dict, *, tolerance: float = 1.5) -> None:
    """Assert that boxes and masks of `rectangles` match the bright pixels."""
    images, masks = np.asarray(images)[..., 0], np.asarray(targets["masks"])
    boxes, labels = np.asarray(targets["boxes"]), np.asarray(targets["labels"])
    assert set(np.unique(masks)) <= {NONE, OBJECT, IGNORE}
    inside, outside = images[masks == OBJECT], images[masks == NONE]
    contrast = np.median(inside) - np.median(outside)
    assert contrast > 0
    threshold = np.median(outside) + contrast / 2
    assert np.mean(inside > threshold) > 0.93 and np.mean(outside < threshold) > 0.97
    np.testing.assert_allclose(boxes[:, 0], boxes_around(masks == OBJECT), atol=tolerance)
    np.testing.assert_array_equal(labels, np.tile([OBJECT, -1], (len(labels), 1)))
    np.testing.assert_array_equal(boxes[:, 1], 0)
