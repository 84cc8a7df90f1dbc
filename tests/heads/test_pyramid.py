"""Feature pyramids: sizes, and what reaches what."""

import keras
import numpy as np
import pytest

from tltk.heads.pyramid import feature_pyramid


def inputs(shapes):
    return {stride: keras.Input(shape) for stride, shape in shapes.items()}


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({8: (8, 6, 5), 16: (4, 3, 7), 32: (2, 2, 9)}, [(8, 6), (4, 3), (2, 2)]),
        ({8: (9, 9, 5), 16: (4, 4, 7), 32: (1, 1, 9)}, [(10, 10), (5, 5), (3, 3)]),  # unpadded convolutions
        ({8: (8, 8, 5)}, [(8, 8), (4, 4), (2, 2)]),
        ({16: (4, 4, 5)}, [(8, 8), (4, 4), (2, 2)]),  # a vision transformer
        ({4: (16, 16, 3), 16: (4, 4, 5)}, [(8, 8), (4, 4), (2, 2)]),
    ],
    ids=["all", "odd sizes", "finest only", "one stride", "a finer one"],
)
def test_a_pyramid_has_all_levels_with_equal_channels(shapes, expected):
    features = inputs(shapes)
    sizes = dict(zip((8, 16, 32), expected, strict=True))
    levels = feature_pyramid(features, sizes=sizes, channels=6)
    assert {stride: tuple(level.shape[1:]) for stride, level in levels.items()} == {
        stride: (*size, 6) for stride, size in sizes.items()
    }
    model = keras.Model(list(features.values()), list(levels.values()))
    arrays = [np.ones((2, *shape), "float32") for shape in shapes.values()]
    assert all(np.isfinite(output).all() for output in model.predict(arrays, verbose=0))


def test_coarse_features_reach_every_finer_level():
    shapes = {8: (8, 8, 3), 16: (4, 4, 3), 32: (2, 2, 3)}
    features = inputs(shapes)
    model = keras.Model(
        list(features.values()),
        list(feature_pyramid(features, sizes={8: (8, 8), 16: (4, 4), 32: (2, 2)}, channels=4).values()),
    )
    arrays = [np.random.default_rng(0).normal(size=(1, *shape)).astype("float32") for shape in shapes.values()]
    changed = [arrays[0], arrays[1], arrays[2] + 1]
    for output, other in zip(model.predict(arrays, verbose=0), model.predict(changed, verbose=0), strict=True):
        assert np.abs(output - other).max() > 1e-4
