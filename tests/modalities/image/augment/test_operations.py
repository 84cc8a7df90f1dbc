import numpy as np
import pytest
import tensorflow as tf

from tltk.modalities.image.augment.operations import draw_each, operations
from tltk.modalities.image.augment.stateless import from_layer

IMAGES = tf.constant(np.random.default_rng(0).uniform(0, 255, (6, 12, 12, 3)), tf.float32)
SEED = tf.constant([3, 4], tf.int64)


@pytest.mark.parametrize("index", range(len(operations(0.5))))
def test_every_operation_keeps_shape_and_range(index):
    change = from_layer(operations(0.5)[index])
    found, _ = change(IMAGES, tf.zeros([6]), SEED)
    assert found.shape == IMAGES.shape
    assert np.isfinite(np.asarray(found)).all()


def test_pictures_draw_their_operations_by_themselves():
    def shift(amount):
        return lambda images, seed: images + amount

    each = draw_each([shift(0.0), shift(50.0), shift(100.0)], count=1)
    dark = IMAGES / 4
    moved = np.asarray(each(dark, SEED) - dark).mean((1, 2, 3)).round()
    assert set(moved) <= {0.0, 50.0, 100.0}
    assert len(set(moved)) > 1
