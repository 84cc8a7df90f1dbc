"""Feature pyramids and the dense head: shapes, sharing, and first outputs."""

import keras
import numpy as np
import pytest

from tltk.heads.dense import dense_head
from tltk.heads.pyramid import feature_pyramid


def inputs(shapes):
    return {stride: keras.Input(shape) for stride, shape in shapes.items()}


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({8: (8, 6, 5), 16: (4, 3, 7), 32: (2, 2, 9)}, [(8, 6), (4, 3), (2, 2)]),
        ({8: (9, 9, 5), 16: (4, 4, 7), 32: (2, 2, 9)}, [(9, 9), (4, 4), (2, 2)]),  # unpadded convolutions
        ({8: (8, 8, 5)}, [(8, 8), (4, 4), (2, 2)]),
        ({16: (4, 4, 5)}, [(8, 8), (4, 4), (2, 2)]),  # a vision transformer
        ({4: (16, 16, 3), 16: (4, 4, 5)}, [(8, 8), (4, 4), (2, 2)]),
    ],
    ids=["all", "odd sizes", "finest only", "one stride", "a finer one"],
)
def test_a_pyramid_has_all_levels_with_equal_channels(shapes, expected):
    features = inputs(shapes)
    levels = feature_pyramid(features, strides=(8, 16, 32), channels=6)
    assert {stride: tuple(level.shape[1:]) for stride, level in levels.items()} == {
        stride: (*size, 6) for stride, size in zip((8, 16, 32), expected, strict=True)
    }
    model = keras.Model(list(features.values()), list(levels.values()))
    arrays = [np.ones((2, *shape), "float32") for shape in shapes.values()]
    assert all(np.isfinite(output).all() for output in model.predict(arrays, verbose=0))


def test_coarse_features_reach_every_finer_level():
    shapes = {8: (8, 8, 3), 16: (4, 4, 3), 32: (2, 2, 3)}
    features = inputs(shapes)
    model = keras.Model(
        list(features.values()), list(feature_pyramid(features, strides=(8, 16, 32), channels=4).values())
    )
    arrays = [np.random.default_rng(0).normal(size=(1, *shape)).astype("float32") for shape in shapes.values()]
    changed = [arrays[0], arrays[1], arrays[2] + 1]
    for output, other in zip(model.predict(arrays, verbose=0), model.predict(changed, verbose=0), strict=True):
        assert np.abs(output - other).max() > 1e-4


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
