"""RandAugment draws operations for each image, and moves its targets."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from scipy import ndimage

from tests.modalities.image.augment.examples import assert_targets_follow, rectangles, seed_of
from tltk import augment as a
from tltk.modalities.image.augment.geometric import warp
from tltk.modalities.image.augment.rand_augment import GEOMETRIC, PHOTOMETRIC, geometric_matrices, photometric

PIXELS = np.random.default_rng(0).integers(0, 256, (1, 12, 16, 3)).astype("uint8")
IMAGES = tf.constant(PIXELS, tf.float32)
ZEROS = tf.zeros([1])


def matrix_of(name, *level):
    return geometric_matrices(tf.constant([GEOMETRIC.index(name)]), tf.constant([level]), IMAGES).numpy()[0]


def test_magnitudes_are_those_of_the_paper():
    np.testing.assert_allclose(matrix_of("shear", 1.0, 0.0)[:, :2], [[1, 0.3], [0, 1]], atol=1e-6)
    np.testing.assert_allclose(matrix_of("shear", 0.0, -0.5)[:, :2], [[1, 0], [-0.15, 1]], atol=1e-6)
    shift = -150 / 331
    np.testing.assert_allclose(matrix_of("translate", 1.0, 0.5), [[1, 0, shift * 16], [0, 1, shift * 6]], rtol=1e-5)
    assert np.degrees(np.arcsin(matrix_of("rotate", 1.0, 0.0)[1, 0])) == pytest.approx(30)


def test_photometric_operations_move_no_pixels():
    choices = tf.range(len(GEOMETRIC), len(GEOMETRIC + PHOTOMETRIC))
    images = tf.zeros([len(PHOTOMETRIC), 12, 16, 3])
    matrices = geometric_matrices(choices, tf.ones([len(PHOTOMETRIC), 2]), images)
    np.testing.assert_array_equal(matrices, np.tile([[1, 0, 0], [0, 1, 0]], (len(PHOTOMETRIC), 1, 1)))


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "sharpness"])
def test_a_level_of_zero_changes_nothing(name):
    np.testing.assert_allclose(photometric(name, 1.0)(IMAGES, ZEROS), IMAGES, atol=1e-3)
    assert np.abs(photometric(name, 1.0)(IMAGES, ZEROS + 1) - IMAGES).max() > 10


@pytest.mark.parametrize(
    ("name", "level", "by_pillow"),
    [
        ("solarize", 0.4, lambda image: ImageOps.solarize(image, 153)),
        ("posterize", 0.0, lambda image: ImageOps.posterize(image, 6)),
        ("auto_contrast", 0.0, ImageOps.autocontrast),
        ("equalize", 0.0, ImageOps.equalize),
    ],
)
def test_other_photometric_operations_equal_those_of_pillow(name, level, by_pillow):
    expected = np.asarray(by_pillow(Image.fromarray(PIXELS[0])), "float32")
    np.testing.assert_allclose(photometric(name, 0.5)(IMAGES, ZEROS + level)[0], expected, atol=1)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_geometric_operations_equal_those_of_scipy(name):
    matrix = matrix_of(name, 0.7, -0.4)
    warped, _ = warp(IMAGES, {}, tf.constant([matrix]), fill_mode="nearest")
    for channel in range(3):
        expected = ndimage.affine_transform(
            IMAGES.numpy()[0, ..., channel], matrix[::-1, 1::-1], matrix[::-1, 2], order=1, mode="nearest"
        )
        np.testing.assert_allclose(warped[0, ..., channel], expected, atol=0.05)


def test_operations_are_drawn_evenly_and_separately_for_each_image():
    images = tf.repeat(IMAGES, 200, 0)
    changed, _ = tf.function(a.rand_augment(operations=1, magnitude=1.0).build())(images, {}, seed_of(1, 2))
    # Three operations have no random strength, so that their results can be recognized.
    fractions = [
        np.isclose(changed, photometric(name, 1.0)(IMAGES, ZEROS), atol=1e-3).all((1, 2, 3)).mean()
        for name in PHOTOMETRIC[-3:]
    ]
    assert all(0.03 < fraction < 0.17 for fraction in fractions), "there are eleven operations"
    assert len(np.unique(np.asarray(changed).round(2).reshape(200, -1), axis=0)) > 120


def test_boxes_and_masks_follow_two_operations():
    images, targets = rectangles(24)
    apply = tf.function(a.chain(a.rand_augment(operations=2, magnitude=0.4)))
    _, moved = apply(images, targets, seed_of(5, 6))
    kept = np.asarray(moved["labels"][:, 0]) >= 0
    assert kept.mean() > 0.9
    # Compare with masks, as some operations invert or flatten the colors. Boxes moved twice are larger than the object.
    boxes, masks = np.asarray(moved["boxes"][:, 0]), np.asarray(moved["masks"])
    for box, mask in zip(boxes[kept], masks[kept], strict=True):
        rows, columns = np.nonzero(mask == 3)
        assert box[0] - 1.5 <= rows.min() and rows.max() + 1 <= box[2] + 1.5
        assert box[1] - 1.5 <= columns.min() and columns.max() + 1 <= box[3] + 1.5
        assert (box[2] - box[0]) * (box[3] - box[1]) < 2.5 * len(rows) + 60


def test_single_operations_move_targets_with_the_pixels():
    images, targets = rectangles(24)
    assert_targets_follow(*a.rand_augment(operations=1, magnitude=0.5).build()(images, targets, seed_of(0, 9)))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: a.rand_augment(operations=0), "`operations` must be a whole number above 0"),
        (lambda: a.rand_augment(magnitude=1.5), "`magnitude` must be at least 0 and at most 1"),
    ],
)
def test_values_out_of_range_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
