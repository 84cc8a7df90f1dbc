"""A chain gives each augmentation pixels in 0..255, whatever the range of the inputs is."""

import numpy as np
import pytest
import tensorflow as tf

from tests.modalities.image.augment.examples import seed_of, smooth_batch
from tltk import augment as a


@pytest.mark.parametrize("low, high", [(0, 65535), (0.0, 1.0), (-1.0, 1.0)])
def test_images_of_another_range_are_changed_as_those_in_0_to_255(low, high):
    images, targets = map(tf.constant, smooth_batch())
    augmentations = (a.color_jitter(brightness=0.5, hue=0.1), a.rotate(20))
    expected = a.chain(augmentations)(images, targets, seed_of(1, 2))[0].numpy()
    scaled = images / 255 * (high - low) + low
    changed = a.chain(augmentations, value_range=(low, high))(scaled, targets, seed_of(1, 2))[0].numpy()
    np.testing.assert_allclose((changed - low) / (high - low) * 255, expected, atol=1e-2)
    assert changed.min() >= low and changed.max() <= high
    assert changed.max() > low + (high - low) / 2


def test_inputs_without_a_range_are_not_clipped():
    inputs = tf.constant([[[[-1e4]], [[1e4]]]])
    changed, _ = a.chain(a.flip(), value_range=None)(inputs, tf.zeros([1]), seed_of(0, 1))
    assert sorted(changed.numpy().ravel()) == [-1e4, 1e4]
    clipped, _ = a.chain(a.flip())(inputs, tf.zeros([1]), seed_of(0, 1))
    assert sorted(clipped.numpy().ravel()) == [0, 255]


@pytest.mark.parametrize("augmentation", [a.flip(), a.color_jitter(hue=0.1)], ids=["flip", "color_jitter"])
def test_a_mask_without_its_dict_is_refused(augmentation):
    images, masks = tf.zeros([2, 8, 8, 3]), tf.zeros([2, 8, 8], tf.uint8)
    with pytest.raises(ValueError, match=r'must be \[b\] or \[b, k\].*uint8 \(2, 8, 8\).*"masks"'):
        a.chain(augmentation)(images, masks, seed_of(0, 1))


def test_a_mask_of_unknown_rank_is_refused_when_it_is_read():
    apply = a.chain(a.flip())

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32)])
    def changed(targets):
        return apply(tf.zeros([2, 8, 8, 3]), targets, seed_of(0, 1))[1]

    assert changed(tf.eye(2)).shape == (2, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be"):
        changed(tf.zeros([2, 8, 8]))
