"""Grad-CAM, computed by hand."""

import keras
import numpy as np

import tltk
from tests.conftest import squares_model
from tltk.evaluation.attention import attention
from tltk.specs import AudioSpec


def test_the_map_is_the_sum_of_features_times_their_mean_gradient():
    spec = AudioSpec(1000, 0.004)
    waveform = keras.Input((4,), name="waveform")
    frames = keras.layers.Reshape((4, 1))(waveform)
    features = keras.layers.Conv1D(2, 1, use_bias=False, name="body")(frames)
    backbone = tltk.backbone(keras.Model(waveform, features), spec=spec)
    task = tltk.classification(tltk.LabelSpec(("a", "b"), "multilabel"), head=tltk.head(normalization=None))
    model = tltk.assemble(backbone, task, precision="float32")
    body, dense = [layer for layer in model.keras.layers if layer.weights]
    body.set_weights([np.array([[[1.0, -2.0]]])])
    dense.set_weights([np.array([[4.0, 0.0], [0.0, 1.0]]), np.zeros(2)])
    x = np.array([[0.5, 1.0, 0.0, 0.25], [-0.5, -1.0, 0.0, -0.25]], "float32")
    explained = attention(model, x)
    # The features are (x, -2 x). The first input has the highest output "a", by x; the second one "b", by -2 x.
    assert np.allclose(explained.maps[:, 0], [[0.5, 1, 0, 0.25], [0.5, 1, 0, 0.25]], atol=1e-6)
    assert explained.maps.shape == (2, 1, 4)


def test_images_have_maps_too_and_sure_predictions_do_not_lose_them():
    model = squares_model(head=tltk.head(zero_init=False))
    x = np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 3)).astype("float32")
    explained = attention(model, x)
    assert explained.maps.shape == (3, 4, 4) and explained.maps.min() >= 0 and explained.maps.max() <= 1
    dense = next(layer for layer in reversed(model.keras.layers) if layer.weights)
    dense.set_weights([weight * 1e4 for weight in dense.get_weights()])
    assert attention(model, x).maps.max() > 0.99
