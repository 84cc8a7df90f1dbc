import numpy as np
import tensorflow as tf

from tests.modalities.image.augment.examples import assert_targets_follow, rectangles, seed_of, smooth_batch
from tltk import augment as a


def test_the_default_augmentations_change_images_only_mildly():
    assert [augmentation.name for augmentation in a.standard()] == ["flip", "crop_resize", "color_jitter"]
    assert [augmentation.name for augmentation in a.dense()] == ["flip", "scale_jitter", "color_jitter"]
    images, targets = map(tf.constant, smooth_batch())
    changed, _ = a.chain(a.standard())(images, targets, seed_of(1, 2))
    assert np.abs(changed.numpy().mean() - images.numpy().mean()) < 40


def test_the_default_augmentations_move_boxes_and_masks():
    assert_targets_follow(*a.chain(a.standard())(*rectangles(), seed_of(3, 1)))
