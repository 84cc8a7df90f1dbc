"""Flip, crop and rotation, compared with NumPy, SciPy and the bright pixels of a rectangle."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tests.modalities.image.augment.examples import (
    GEOMETRIC,
    IGNORE,
    OBJECT,
    SIZE,
    assert_targets_follow,
    name_of,
    rectangles,
    seed_of,
    smooth_batch,
)
from tltk import augment as a
from tltk.modalities.image.augment.geometric import rotation, shear, translation

SEED = seed_of(3, 4)


def noise(count=6, height=17, width=23):
    return tf.constant(np.random.default_rng(1).uniform(0, 255, (count, height, width, 3)), tf.float32)


def fold(seed, number):
    return tf.random.experimental.stateless_fold_in(seed, number)


def test_the_random_values_of_flip_do_not_change_between_versions():
    images = noise()
    expected = images
    for axis in (2, 1):
        draws = tf.random.stateless_uniform([6, 1, 1, 1], fold(SEED, 100 + axis), 0.0, 1.0)
        expected = tf.where(draws < 0.5, tf.reverse(expected, [axis]), expected)
    changed, _ = a.flip(vertical=True).build()(images, tf.eye(6), SEED)
    np.testing.assert_array_equal(changed, expected)


def test_the_random_values_of_crop_resize_do_not_change_between_versions():
    images, scale, ratio = noise(), (0.3, 0.9), (0.6, 1.5)
    area = tf.random.stateless_uniform([6], fold(SEED, 0), *scale)
    aspect = tf.exp(tf.random.stateless_uniform([6], fold(SEED, 1), tf.math.log(ratio[0]), tf.math.log(ratio[1])))
    height, width = tf.minimum(tf.sqrt(area / aspect), 1.0), tf.minimum(tf.sqrt(area * aspect), 1.0)
    offsets = tf.random.stateless_uniform([2, 6], fold(SEED, 2))
    top, left = offsets[0] * (1 - height), offsets[1] * (1 - width)
    windows = tf.stack([top, left, top + height, left + width], 1)
    expected = tf.image.crop_and_resize(images, windows, tf.range(6), [17, 23])
    changed, _ = a.crop_resize(scale=scale, ratio=ratio).build()(images, tf.eye(6), SEED)
    np.testing.assert_array_equal(changed, expected)


def test_flips_mirror_some_images_along_the_given_axis():
    images, targets = smooth_batch()
    for augmentation, mirrored in (
        (a.flip(), images[:, :, ::-1]),
        (a.flip(horizontal=False, vertical=True), images[:, ::-1]),
    ):
        changed, _ = augmentation.build()(tf.constant(images), tf.constant(targets), seed_of(0, 1))
        is_same = np.array([np.array_equal(*pair) for pair in zip(changed, images, strict=True)])
        is_mirrored = np.array([np.array_equal(*pair) for pair in zip(changed, mirrored, strict=True)])
        assert (is_same != is_mirrored).all()
        assert is_mirrored.any() and is_same.any()


def test_a_crop_of_the_whole_image_changes_nothing():
    images, targets = rectangles()
    crop = a.crop_resize(scale=(1.0, 1.0), ratio=(1.0, 1.0)).build()
    changed, moved = crop(images, targets, SEED)
    np.testing.assert_allclose(changed, images, atol=1e-2)
    np.testing.assert_allclose(moved["boxes"], targets["boxes"], atol=1e-3)
    np.testing.assert_array_equal(moved["masks"], targets["masks"])


@pytest.mark.parametrize("augmentation", GEOMETRIC, ids=name_of)
def test_boxes_and_masks_follow_the_pixels(augmentation):
    images, targets = rectangles()
    changed, moved = tf.function(a.chain(augmentation))(images, targets, SEED)
    assert (np.abs(moved["boxes"] - targets["boxes"]).max((1, 2)) > 1).sum() >= 3, "some boxes were moved"
    assert moved["boxes"].shape == targets["boxes"].shape and moved["masks"].dtype == tf.uint8
    assert_targets_follow(changed, moved)


def test_the_boxes_of_a_crop_follow_its_pixels_exactly():
    rows, columns = np.mgrid[:SIZE, :SIZE].astype("float32")
    images = tf.repeat(tf.constant(np.stack([rows, columns, rows], -1))[None], 8, 0)  # pixels hold their position
    box = tf.constant([22.5, 21.5, 26.5, 24.5])  # the edges are centres of pixels 22, 21, 26, 24
    targets = {"boxes": tf.tile(box[None, None], [8, 1, 1]), "labels": tf.zeros([8, 1], tf.int32)}
    cropped, moved = a.crop_resize(scale=(0.5, 0.9)).build()(images, targets, SEED)
    centres = np.arange(SIZE) + 0.5
    kept = np.flatnonzero(moved["labels"][:, 0] >= 0)
    assert len(kept) >= 4
    for image, edges in zip(cropped.numpy()[kept], moved["boxes"].numpy()[kept, 0], strict=True):
        vertical = np.interp([22, 26], image[:, 0, 0], centres)
        horizontal = np.interp([21, 24], image[0, :, 1], centres)
        np.testing.assert_allclose(edges, [vertical[0], horizontal[0], vertical[1], horizontal[1]], atol=1e-3)


def test_a_flipped_mask_is_the_mirrored_mask():
    images, targets = rectangles()
    changed, moved = a.flip().build()(images, targets, SEED)
    np.testing.assert_array_equal(np.asarray(changed[..., 0]) == 220, moved["masks"] == OBJECT)
    top, left, bottom, right = np.moveaxis(np.asarray(targets["boxes"][:, 0]), -1, 0)
    mirrored = np.array(changed[:, :, ::-1] == images).all((1, 2, 3))
    expected = np.where(mirrored, [top, SIZE - right, bottom, SIZE - left], [top, left, bottom, right]).T
    np.testing.assert_array_equal(moved["boxes"][:, 0], expected)


def test_a_rotated_mask_is_ignored_in_corners_outside_the_original_image():
    images, targets = rectangles(1)
    _, moved = a.warp(images, targets, rotation(tf.constant([math.radians(30)]), images))
    corners = moved["masks"].numpy()[0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == IGNORE).all()


def test_a_quarter_turn_is_counter_clockwise():
    images = noise(1, 20, 20)
    rotated, _ = a.warp(images, {}, rotation(tf.constant([math.pi / 2]), images))
    np.testing.assert_allclose(rotated[0], np.rot90(images[0]), atol=0.05)


@pytest.mark.parametrize("fill_mode", ["reflect", "nearest"])
@pytest.mark.parametrize("map_name", ["rotation", "shear", "translation"])
def test_warped_images_equal_those_of_scipy(map_name, fill_mode):
    images = noise(2)
    first, second = tf.constant([0.3, -0.2]), tf.constant([0.1, 0.25])
    matrices = {
        "rotation": lambda: rotation(first, images),
        "shear": lambda: shear(first, second, images),
        "translation": lambda: translation(first * 15, second * 15),
    }[map_name]()
    warped, _ = a.warp(images, {}, matrices, fill_mode=fill_mode)
    for image, matrix, result in zip(images.numpy(), matrices.numpy(), warped.numpy(), strict=True):
        linear, shift = matrix[::-1, 1::-1], matrix[::-1, 2]  # SciPy counts (row, column)
        for channel in range(3):
            expected = ndimage.affine_transform(image[..., channel], linear, shift, order=1, mode=fill_mode)
            np.testing.assert_allclose(result[..., channel], expected, atol=0.05)


def test_a_sheared_image_keeps_its_centre():
    images = noise(1, 21, 21)
    sheared, _ = a.warp(images, {}, shear(tf.constant([0.3]), tf.constant([0.2]), images))
    np.testing.assert_allclose(sheared[0, 10, 10], images[0, 10, 10], atol=1e-3)


def test_fixed_copies_move_boxes_and_masks():
    images, targets = rectangles()
    make = tf.function(a.build_copies(a.copies(GEOMETRIC[:2], 2), seed=4))
    changed, moved = make(images, targets, tf.range(12, dtype=tf.int64), tf.constant(1, tf.int64))
    assert_targets_follow(changed, moved)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: a.flip(horizontal=False), "needs `horizontal` or `vertical`"),
        (lambda: a.crop_resize(scale=(0.9, 0.5), ratio=(0, 1)), r"(?s)`scale` must be.*`ratio` must be"),
        (lambda: a.crop_resize(scale=(0.5, 1.5)), r"`scale` must be \(low, high\) with 0 < low <= high <= 1"),
        (lambda: a.crop_resize(scale=(0.5,)), r"`scale` must be \(low, high\)"),
        (lambda: a.rotate(0), "`degrees` must be a number above 0"),
        (lambda: a.rotate(270), "`degrees` must be at least 0 and at most 180"),
        (lambda: a.warp(noise(), {}, tf.zeros([6, 2, 3]), fill_mode="mirror"), "`fill_mode` must be one of"),
    ],
)
def test_values_out_of_range_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
