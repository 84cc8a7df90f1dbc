import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import squares
from tests.modalities.image.augment.examples import assert_targets_follow, rectangles
from tltk.augment import build_copies, color_jitter, copies, crop_resize, flip, mixup, rand_augment, rotate
from tltk.modalities.batches import batches
from tltk.modalities.image.augment.fixed_copies import build_moves
from tltk.specs import ImageSpec

CHANGES = (flip(), crop_resize(), color_jitter(brightness=0.2))
SPEC = ImageSpec(16, 16)


def epoch_arrays(loader, epoch=0):
    loaded = [[part.numpy() for part in batch] for batch in loader.dataset(epoch)]
    return [np.concatenate(column) for column in zip(*loaded, strict=True)]


IDS = tf.range(6, dtype=tf.int64)


def test_a_copy_does_not_depend_on_the_rest_of_the_batch():
    images = tf.constant(np.random.default_rng(0).uniform(0, 255, (6, 8, 8, 3)), tf.float32)
    make = tf.function(build_copies(copies(CHANGES, 3), seed=4))
    copy, targets = tf.constant(2, tf.int64), tf.eye(6)
    of_batch, returned_targets = make(images, targets, IDS, copy)
    of_one_image, _ = make(images[4:5], targets[4:5], IDS[4:5], copy)
    np.testing.assert_array_equal(of_batch[4:5], of_one_image)
    assert np.abs(of_batch - images).max() > 1
    np.testing.assert_array_equal(returned_targets, targets)


@pytest.mark.parametrize("change", [CHANGES, (rotate(30), rand_augment(operations=1))], ids=["crop", "rotate"])
def test_boxes_and_masks_follow_and_do_not_depend_on_the_pixels(change):
    images, targets = rectangles(6)
    make = build_copies(copies(change, 2), seed=1)
    changed, moved = make(images, targets, IDS, tf.constant(1, tf.int64))
    if change is CHANGES:
        assert_targets_follow(changed, moved)
    _, of_black_images = make(tf.zeros_like(images), targets, IDS, tf.constant(1, tf.int64))
    for key, value in moved.items():
        assert value.dtype == targets[key].dtype and value.shape == targets[key].shape
        np.testing.assert_array_equal(value, of_black_images[key])
    assert np.any(moved["boxes"] != targets["boxes"])


def test_copies_can_be_made_without_targets():
    images = tf.ones([6, 8, 8, 3])
    changed, targets = tf.function(build_copies(copies(CHANGES, 2), seed=1))(images, {}, IDS, tf.constant(0, tf.int64))
    assert changed.shape == images.shape and targets == {}


def test_epochs_cycle_through_the_copies():
    source = squares(12)
    loader = batches(source, SPEC, batch_size=5, augment=copies(CHANGES, 2), seed=1)
    first, second, third = (epoch_arrays(loader, epoch)[0] for epoch in range(3))
    np.testing.assert_array_equal(first, third)
    assert (first != second).any(axis=(1, 2, 3)).all()


def test_shuffling_changes_the_order_and_not_the_copies():
    source = squares(12)
    in_order, shuffled = (
        [
            image.tobytes()
            for image in epoch_arrays(
                batches(source, SPEC, batch_size=4, augment=copies(CHANGES, 2), seed=1, shuffle=shuffle)
            )[0]
        ]
        for shuffle in (False, True)
    )
    assert sorted(in_order) == sorted(shuffled)
    assert in_order != shuffled


def test_copies_need_a_count_and_augmentations_that_do_not_blend():
    with pytest.raises(ValueError, match=r"(?s)at least one.*`count` must be a whole number above 0. Received: 0"):
        copies((), 0)
    with pytest.raises(ValueError, match=r"must not blend different examples.*Received: mixup"):
        copies((flip(), mixup()), 2)


def test_copies_of_a_tf_data_dataset_are_refused():
    dataset = tf.data.Dataset.from_tensor_slices((squares(6).examples, squares(6).targets.values))
    with pytest.raises(ValueError, match=r"fixed copies need a Source: a tf.data.Dataset has no example ids"):
        batches(dataset, SPEC, augment=copies(flip(), 2))


def test_boxes_and_masks_move_as_in_the_copies_without_the_pixels():
    generator = np.random.default_rng(0)
    images = tf.constant(generator.uniform(0, 255, (3, 16, 20, 3)), tf.float32)
    targets = {
        "boxes": tf.constant([[[2.0, 3.0, 9.0, 12.0]]] * 3),
        "labels": tf.constant([[1]] * 3),
        "masks": tf.constant(generator.integers(0, 3, (3, 16, 20)), tf.uint8),
    }
    spec = copies((flip(), crop_resize(), color_jitter(brightness=0.5)), 4)
    rows = tf.constant([5, 2, 9], tf.int64)
    for copy in range(3):
        _, expected = build_copies(spec, 7)(images, targets, rows, tf.constant(copy, tf.int64))
        moved = tf.function(build_moves(spec, 7, (16, 20, 3)))(targets, rows, tf.constant(copy, tf.int64))
        for name, values in expected.items():
            np.testing.assert_allclose(moved[name], values, rtol=1e-6)
