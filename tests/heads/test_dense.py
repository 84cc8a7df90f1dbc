"""The dense head of a detector: shapes, sharing, and first outputs."""

import keras
import numpy as np

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


def test_levels_share_their_convolutions_and_not_their_batch_norms():
    levels = inputs({8: (4, 4, 6), 16: (2, 2, 6)})
    model = keras.Model(list(levels.values()), dense_head(levels, classes=3, channels=6, depth=1, strides=(8, 16)))
    counts = {
        kind: sum(isinstance(layer, kind) for layer in model.layers)
        for kind in (keras.layers.SeparableConv2D, keras.layers.BatchNormalization)
    }
    assert list(counts.values()) == [2, 4]
