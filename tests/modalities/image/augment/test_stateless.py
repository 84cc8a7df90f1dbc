import keras
import numpy as np
import tensorflow as tf

from tltk.modalities.image.augment.stateless import from_layer

IMAGES = np.random.default_rng(0).uniform(0, 255, (4, 6, 6, 3)).astype("float32")
TARGETS = np.eye(4, dtype="float32")


def test_a_layer_becomes_a_pure_function_of_batch_and_seed():
    change = from_layer(keras.layers.RandomContrast(0.5, value_range=(0, 255), seed=0, dtype="float32"))
    first, _ = change(IMAGES, TARGETS, tf.constant([1, 2], tf.int64))
    other, _ = change(IMAGES, TARGETS, tf.constant([1, 3], tf.int64))
    again, _ = change(IMAGES, TARGETS, tf.constant([1, 2], tf.int64))
    np.testing.assert_array_equal(first, again)
    assert np.any(np.asarray(first) != np.asarray(other))


def test_a_mixing_layer_mixes_targets_too():
    change = from_layer(keras.layers.MixUp(alpha=1.0, seed=0, dtype="float32"), mixes=True)
    _, targets = change(IMAGES, TARGETS, tf.constant([1, 2], tf.int64))
    np.testing.assert_allclose(np.asarray(targets).sum(-1), 1, rtol=1e-5)
    assert np.any(np.asarray(targets) != TARGETS)
