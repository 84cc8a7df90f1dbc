"""Mosaic: rows for all boxes, pictures that stay as they are, and blended targets."""

import numpy as np
import pytest
import tensorflow as tf

from tests.modalities.image.augment.test_safe_crop import RECORDS, SIZE, apply, example
from tltk import augment as a
from tltk.errors import InvalidInput
from tltk.modalities.image.augment import copies


def test_a_mosaic_has_rows_for_all_objects_of_its_four_examples():
    boxes = [[16, 16, 20, 20]] * 10  # at the centre of a picture that is not cut off
    images, targets = example([*boxes, [0, 0, 0, 0]], [*range(10), -1], count=8, areas=np.arange(11, dtype="float32"))
    whole = a.mosaic(probability=1.0, scale_range=(0.3, 0.5), center_range=(0.5, 0.5))
    _, moved = apply(whole, images, targets)
    assert moved["boxes"].shape == (8, 40, 4)
    assert all(sorted(row) == sorted(4 * list(range(10))) for row in moved["labels"].tolist())
    np.testing.assert_array_equal(moved["areas"], moved["labels"])


def test_a_picture_that_is_no_mosaic_stays_as_it_is():
    images, targets = example([[3.25, 4, 10, 21.5], [0, 0, 0, 0]], [7, -1], count=32)
    changed, moved = apply(a.mosaic(probability=0.5), images, targets)
    is_same = (np.abs(changed - images) < 1e-3).all((1, 2, 3))
    assert 6 < is_same.sum() < 26
    np.testing.assert_allclose(moved["boxes"][is_same, 0], targets["boxes"].numpy()[is_same, 0])
    assert (moved["labels"][is_same, 1:] == -1).all()


def test_a_mosaic_blends_classes_and_weights_by_area():
    images = (
        np.repeat(np.arange(8, dtype="float32")[:, None, None, None] * 30 + 20, SIZE, 1).repeat(SIZE, 2).repeat(3, 3)
    )
    vectors, weights = np.eye(8, dtype="float32"), np.arange(8, dtype="float32")
    full = a.mosaic(probability=0.9, scale_range=(2.0, 2.0))
    changed, blended = apply(full, tf.constant(images), tf.constant(vectors))
    shown = (changed[..., 0][:, None] == images[:, 0, 0, 0][None, :, None, None]).mean((2, 3))
    np.testing.assert_allclose(blended, shown, atol=1e-6)
    assert (blended.max(1) < 0.9).sum() >= 5
    _, moved = apply(
        full, tf.constant(images), {"masks": tf.zeros([8, SIZE, SIZE], tf.uint8), "weight": tf.constant(weights)}
    )
    np.testing.assert_allclose(moved["weight"], shown @ weights, rtol=1e-5)
    with pytest.raises(InvalidInput, match=r"mosaic needs boxes or masks.*int32.*Pass `encode`"):
        apply(full, tf.constant(images), tf.range(8))
    with pytest.raises(InvalidInput, match=r"mosaic cannot join 'name'"):
        apply(full, tf.constant(images), {"masks": tf.zeros([8, SIZE, SIZE], tf.uint8), "name": tf.range(8)})
    with pytest.raises(InvalidInput, match=r"must not blend different examples.*mosaic"):
        copies(full, 2)


def test_a_batch_of_one_is_a_mosaic_of_itself():
    images, targets = example([[1, 1, 30, 30]], count=1)
    changed, moved = apply(RECORDS[2], images, targets)
    assert changed.shape == images.shape and 1 <= (moved["labels"] == 0).sum() <= 4
