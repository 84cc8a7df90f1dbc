"""The dense head of a detector: shapes, sharing, and first outputs."""

import keras
import numpy as np
import tensorflow as tf

from tests.heads.test_pyramid import inputs
from tltk.heads.dense import dense_head


def test_the_head_gives_every_position_rare_classes_and_boxes_of_the_size_of_its_level():
    levels = inputs({8: (4, 4, 6), 16: (2, 2, 6)})
    outputs = dense_head(levels, classes=3, channels=6, depth=2, strides=(8.0, 16.0))
    model = keras.Model(list(levels.values()), outputs)
    values = model.predict([np.zeros((2, 4, 4, 6)), np.zeros((2, 2, 2, 6))], verbose=0)
    assert {name: array.shape for name, array in values.items()} == {
        "classes": (2, 20, 3),
        "distances": (2, 20, 4),
        "centreness": (2, 20, 1),
    }
    np.testing.assert_allclose(values["classes"], 0.01, atol=1e-5)
    np.testing.assert_allclose(values["distances"][0, :, 0], [32] * 16 + [64] * 4, rtol=1e-4)
    np.testing.assert_allclose(values["centreness"], 0.5, atol=1e-5)


def test_levels_share_all_layers_so_that_every_weight_learns_from_the_objects_of_any_level():
    levels = inputs({8: (4, 4, 6), 16: (2, 2, 6)})
    model = keras.Model(list(levels.values()), dense_head(levels, classes=3, channels=6, depth=1, strides=(8, 16)))
    generator = np.random.default_rng(0)
    features = [tf.constant(generator.normal(size=(2, side, side, 6)), tf.float32) for side in (4, 2)]
    with tf.GradientTape() as tape:
        outputs = model(features)
        first_level = tf.reduce_sum(outputs["distances"][:, :16]) + tf.reduce_sum(outputs["classes"][:, :16])
        loss = first_level + tf.reduce_sum(outputs["centreness"][:, :16])
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)
