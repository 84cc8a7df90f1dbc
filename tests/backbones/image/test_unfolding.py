"""Nested models become one flat graph of copied layers; tests/backbones/image/test_kerashub_dense.py has KerasHub's."""

import keras
import numpy as np

from tltk.backbones.image.unfolding import Unfolding


def test_nested_models_are_flattened_and_layers_without_weights_are_called_once():
    inner_input = keras.Input((8, 8, 3))
    inner = keras.Model(inner_input, keras.layers.Conv2D(4, 3, padding="same", name="conv")(inner_input))
    pixels, upsample = keras.Input((8, 8, 3)), keras.layers.UpSampling2D(name="up")
    features = keras.layers.Identity()(inner(pixels))
    model = keras.Model(pixels, [upsample(features), upsample(upsample(features))])
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    expected = model.predict_on_batch(x)
    new_pixels, unfolding = keras.Input((8, 8, 3)), Unfolding()
    flat = keras.Model(new_pixels, unfolding.call(model, new_pixels))
    assert sorted(layer.name for layer in flat.layers[1:]) == ["conv", "up", "up_1", "up_2"]
    for one, other in zip(flat.predict_on_batch(x), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert flat.get_layer("conv") is not inner.get_layer("conv")
