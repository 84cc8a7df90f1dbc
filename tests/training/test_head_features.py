"""Features of the training examples, and the last layer that they end in."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import squares, squares_model
from tltk.errors import InvalidInput
from tltk.feature_cache.storage import Cache
from tltk.training.head_features import last_features, last_layer, pooled_features, read_weights
from tltk.training.prepared_data import prepare

MEMORY = Cache("memory")


def test_the_last_layer_turns_the_features_into_the_outputs():
    model, source = squares_model(head=tltk.head(hidden=(5,), zero_init=False)), squares(9)
    layer = last_layer(model, 3, "crt")
    data = prepare(source, model, "train", batch_size=4, cache=MEMORY)
    features = last_features(model, layer, data, MEMORY, length=None)
    assert (features.features.shape, features.rows.tolist(), features.groups) == ((9, 5), list(range(9)), None)
    logits = read_weights(layer).logits(features.features)
    expected = tltk.predict(model, source).probabilities
    np.testing.assert_allclose(keras.ops.softmax(logits), expected, atol=1e-6)
    pooled = pooled_features(model, data, MEMORY, length=None)
    assert pooled.features.shape == (9, 8)


def test_a_model_of_the_user_ends_in_its_own_layer(tmp_path):
    pixels = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(pixels))
    network = keras.Model(pixels, keras.layers.Dense(3, activation="softmax")(x))
    model = tltk.adopt(network, tltk.classification(squares().labels))
    cache = Cache(tmp_path)
    data = prepare(squares(6), model, "train", batch_size=4, cache=cache)
    layer = last_layer(model, 3, "crt")
    features = last_features(model, layer, data, cache, length=None).features
    assert features.shape == (6, 4)
    probabilities = tltk.predict(model, squares(6)).probabilities
    np.testing.assert_allclose(keras.ops.softmax(read_weights(layer).logits(features)), probabilities, atol=1e-5)
    assert list(tmp_path.iterdir()), "the features are stored for later calls"


def test_a_model_without_a_linear_last_layer_is_refused():
    model = squares_model()
    dense, inputs = keras.layers.Dense, keras.Input((4,))
    for layer in (dense(2), dense(3, use_bias=False), dense(3, activation="tanh")):
        network = keras.Model(inputs, layer(inputs))
        with pytest.raises(InvalidInput, match=r"not a Dense layer.*3 classes, which crt changes.*\"inverse\""):
            last_layer(replace(model, keras=network), 3, "crt")
