"""Augmented scenes, compared with scenes that are drawn at the transformed coordinates.

The first two channels of an image hold the position of each pixel, so that the map of an augmented picture is read off
the picture itself. Objects, a rectangle and a disc, are in the third channel.
"""

from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from tests.modalities.image.augment.examples import IGNORE, name_of, seed_of
from tltk import augment as a

HEIGHT, WIDTH, COUNT = 48, 64, 8
OFFSET, STEP, SHADE, BRIGHT = 24.0, 3.0, 8.0, 250.0  # of positions; of backgrounds, which number the examples; objects
RECTANGLE, DISC, BACKGROUND = 1, 2, 0


class Scene(NamedTuple):
    rectangle: tuple[float, ...]  # y_min, x_min, y_max, x_max
    disc: tuple[float, ...]  # y, x, radius

    def distances(self, y, x):
        """Return how far points lie inside of rectangle and disc, negative outside."""
        top, left, bottom, right = self.rectangle
        disc_y, disc_x, radius = self.disc
        inside = np.minimum.reduce([y - top, bottom - y, x - left, right - x])
        return inside, radius - np.hypot(y - disc_y, x - disc_x)

    def boxes(self):
        y, x, radius = self.disc
        return np.array([self.rectangle, (y - radius, x - radius, y + radius, x + radius)])


def scenes(seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    drawn, images, masks = [], [], []
    for number in range(COUNT):
        top, left = rng.integers(2, 22, 2)
        height, width = rng.integers(8, 24, 2)
        scene = Scene((top, left, top + height, left + width), (rng.integers(30, 38), rng.integers(44, 52), 8))
        rectangle, disc = scene.distances(y, x)
        mask = np.where(disc > 0, DISC, np.where(rectangle > 0, RECTANGLE, BACKGROUND))
        objects = np.where(mask > 0, BRIGHT, SHADE * number)
        images.append(np.stack([OFFSET + STEP * (y - 0.5), OFFSET + STEP * (x - 0.5), objects], -1))
        drawn.append(scene)
        masks.append(mask)
    boxes = np.zeros((COUNT, 3, 4), "float32")
    boxes[:, :2] = [scene.boxes() for scene in drawn]
    targets = {
        "boxes": tf.constant(boxes),
        "labels": tf.constant([[RECTANGLE, DISC, -1]] * COUNT),
        "ignored": tf.zeros([COUNT, 3], tf.bool),
        "masks": tf.constant(np.array(masks, "uint8")),
    }
    return drawn, tf.constant(np.array(images, "float32")), targets


def measured_map(picture):
    """Read off how points of a picture, [:, (y, x, 1)], correspond to points of the scene: float [3, 2]."""
    shown = picture[..., 0] > OFFSET / 2
    for axis in (0, 1):  # the outermost pixels are blended with what lies around them
        for step in (-2, 2):
            shown = shown & np.roll(shown, step, axis)
    shown[[0, 1, -2, -1]], shown[:, [0, 1, -2, -1]] = False, False
    rows, columns = np.nonzero(shown)
    points = np.stack([rows + 0.5, columns + 0.5, np.ones(len(rows))], 1)
    values = (picture[rows, columns, :2] - OFFSET) / STEP + 0.5
    matrix, *_ = np.linalg.lstsq(points, values, rcond=None)
    assert (
        np.abs(points @ matrix - values).max() < 0.2
    )  # the centroid of an antialiasing kernel is not quite its centre
    return matrix


def assert_drawn(picture, masks, boxes, scene, *, bounds=(0, 0, HEIGHT, WIDTH)):
    """Assert that a part of a picture, its mask and its boxes are those of the scene, drawn at its place."""
    top, left, bottom, right = bounds
    part, mask = picture[top:bottom, left:right], masks[top:bottom, left:right]
    matrix = measured_map(part)
    y, x = np.mgrid[: bottom - top, : right - left] + 0.5
    source_y, source_x = np.moveaxis(np.stack([y, x, np.ones_like(y)], -1) @ matrix, -1, 0)
    beyond = np.maximum.reduce([-source_y, source_y - HEIGHT, -source_x, source_x - WIDTH])
    rectangle, disc = scene.distances(source_y, source_x)
    drawn = np.where(disc > 0, DISC, np.where(rectangle > 0, RECTANGLE, BACKGROUND))
    drawn = np.where(beyond > 0, IGNORE, drawn)
    zoom = np.abs(matrix[:2]).max()
    is_sure = np.minimum.reduce(np.abs([rectangle, disc, beyond])) > 0.8 + zoom
    assert is_sure.mean() > 0.4
    np.testing.assert_array_equal(mask[is_sure], drawn[is_sure])
    is_object = np.isin(drawn, (RECTANGLE, DISC))
    np.testing.assert_array_equal(part[is_sure & ~(beyond > 0)][:, 2] > 150, is_object[is_sure & ~(beyond > 0)])
    assert np.all(part[is_sure & (beyond > 0)] == 0), "padding is black"
    # Corners of boxes, by the inverse of the measured map.
    inverse, shift = np.linalg.inv(matrix[:2]), matrix[2]
    corners = np.sort((scene.boxes().reshape(2, 2, 2) - shift) @ inverse, axis=1) + np.array([top, left])
    full = corners.reshape(2, 4)
    clipped = np.clip(full, (top, left, top, left), (bottom, right, bottom, right))
    areas = [(box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) for box in (clipped, full)]
    expected = {
        label: box
        for label, box, left_over, area in zip((1, 2), clipped, *areas, strict=True)
        if left_over >= 0.3 * area
    }
    assert set(boxes) == set(expected)
    for label, box in expected.items():
        np.testing.assert_allclose(boxes[label], box, atol=0.1)


def by_label(targets, row):
    labels = targets["labels"].numpy()[row]
    return {int(label): box for label, box in zip(labels, targets["boxes"].numpy()[row], strict=True) if label >= 0}


MOVING = (
    a.flip(vertical=True),
    a.crop_resize(),
    a.safe_crop(scale=(0.2, 0.9)),
    a.scale_jitter(),
    a.scale_jitter(scale_range=(0.25, 0.5)),
    a.mosaic(probability=1.0, center_range=(0.5, 0.5)),
)


@pytest.mark.parametrize("augmentation", MOVING[:-1], ids=name_of)
def test_an_augmented_scene_is_the_scene_drawn_at_its_new_place(augmentation):
    drawn, images, targets = scenes()
    changed, moved = tf.function(a.chain(augmentation))(images, targets, seed_of(5, 6))
    for name, values in targets.items():
        assert moved[name].dtype == values.dtype and moved[name].shape == values.shape
    assert np.mean(moved["boxes"] != targets["boxes"]) > 0.2
    for row, scene in enumerate(drawn):
        assert_drawn(changed[row].numpy(), moved["masks"][row].numpy(), by_label(moved, row), scene)


def test_each_part_of_a_mosaic_is_a_scene_drawn_at_its_place():
    drawn, images, targets = scenes()
    changed, moved = tf.function(a.chain(MOVING[-1]))(images, targets, seed_of(5, 6))
    assert moved["masks"].dtype == tf.uint8 and moved["boxes"].dtype == tf.float32
    assert (
        moved["labels"].shape[1]
        == moved["ignored"].shape[1]
        == max(len(list(row[row >= 0])) for row in moved["labels"].numpy())
    )
    shown = np.zeros((COUNT, COUNT), int)
    for row in range(COUNT):
        picture, mask = changed[row].numpy(), moved["masks"][row].numpy()
        rows = list(zip(moved["labels"].numpy()[row], moved["boxes"].numpy()[row], strict=True))
        for top in (0, HEIGHT // 2):
            for left in (0, WIDTH // 2):
                bottom, right = top + HEIGHT // 2, left + WIDTH // 2
                part = picture[top:bottom, left:right]
                inside = part[(part[..., 0] > OFFSET) & (part[..., 2] < 150)]
                number = round(float(np.median(inside[:, 2])) / SHADE)
                shown[row, number] += 1
                own = {
                    int(label): box
                    for label, box in rows
                    if label >= 0 and top <= box[0] and box[2] <= bottom and left <= box[1] and box[3] <= right
                }
                assert_drawn(picture, mask, own, drawn[number], bounds=(top, left, bottom, right))
    assert (np.diag(shown) == 1).all() and (shown.sum(0) == 4).all() and shown.max() == 1
