"""Batch norms are folded into convolutions only where the result is equal up to rounding."""

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import squares, squares_model
from tltk.serving.folding import fold_batch_norms

pytestmark = pytest.mark.usefixtures("replay_here")


def randomize_weights(model, seed=0):
    """Set every weight to random positive values."""
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        layer.set_weights([generator.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


def outputs_before_and_after(model, shape=(4, 12, 12, 3)):
    x = np.random.default_rng(1).normal(size=shape).astype("float32")
    folded, count = fold_batch_norms(model)
    return model(x, training=False), folded(x, training=False), folded, count


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("scale", "center"), [(True, True), (False, True), (True, False), (False, False)])
@pytest.mark.parametrize("depth", [1, 2])
def test_folding_changes_outputs_only_by_rounding(bias, scale, center, depth):
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(4, 3, use_bias=bias)(inputs)
    x = keras.layers.BatchNormalization(scale=scale, center=center, epsilon=0.01)(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=depth, use_bias=bias)(x)
    x = keras.layers.BatchNormalization(scale=scale, center=center)(x)
    model = randomize_weights(keras.Model(inputs, x))
    before, after, folded, count = outputs_before_and_after(model)
    assert count == 2
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)
    np.testing.assert_allclose(after, before, rtol=2e-5, atol=1e-4)
    assert np.abs(np.asarray(before)).max() > 10  # the absolute tolerance is small against the outputs


def test_batch_norms_that_cannot_be_merged_are_kept():
    inputs = keras.Input((12, 12, 3))
    first = keras.layers.Conv2D(3, 3, padding="same", activation="relu")(
        inputs
    )  # an activation between convolution and batch norm
    first = keras.layers.BatchNormalization()(first)
    second = keras.layers.Conv2D(3, 3, padding="same")(first)
    normed = keras.layers.BatchNormalization()(second)
    x = keras.layers.Add()([second, normed])  # another consumer of the convolution
    shared = keras.layers.BatchNormalization()
    x = keras.layers.Add()([shared(keras.layers.Conv2D(3, 1)(x)), shared(keras.layers.Conv2D(3, 1)(x))])
    x = keras.layers.BatchNormalization()(keras.layers.MaxPooling2D()(x))
    model = randomize_weights(keras.Model(inputs, x))
    before, after, folded, count = outputs_before_and_after(model)
    assert count == 0 and folded is model
    np.testing.assert_array_equal(before, after)
    assert fold_batch_norms(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))[1] == 0


def test_a_convolution_that_is_also_a_model_output_is_kept():
    inputs = keras.Input((12, 12, 3))
    raw = keras.layers.Conv2D(3, 3)(inputs)
    model = randomize_weights(keras.Model(inputs, [raw, keras.layers.BatchNormalization()(raw)]))
    assert fold_batch_norms(model)[1] == 0


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_lite0"])
def test_all_batch_norms_of_a_backbone_are_folded(name):
    backbone = tltk.backbone(name, weights="random", image_size=32)
    task = tltk.classification(squares().labels, head=tltk.head(zero_init=False))
    model = tltk.assemble(backbone, task, precision="float32").keras
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    before, after, folded, count = outputs_before_and_after(model, (2, 32, 32, 3))
    assert count == len([layer for layer in norms if not layer.name.startswith("head")]) > 40
    assert folded.count_params() < model.count_params()
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_an_export_is_folded_and_verified(tmp_path, replay_here):
    model = squares_model(head=tltk.head(zero_init=False))
    generator = np.random.default_rng(0)
    for layer in model.keras.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    folded, unfolded = (
        max(tltk.export(model, tmp_path / str(fold), fold_batch_norm=fold).largest_differences.values())
        for fold in (True, False)
    )
    assert unfolded == 0 < folded <= 1e-4


@pytest.mark.parametrize(("precision", "file_format"), [("mixed_bfloat16", "saved_model"), ("float32", "onnx")])
def test_folding_requires_a_saved_model_in_float32(tmp_path, precision, file_format):
    with pytest.raises(ValueError, match='`fold_batch_norm=True` requires format="saved_model" and float32'):
        tltk.export(squares_model(precision=precision), tmp_path / "x", format=file_format, fold_batch_norm=True)
    assert not (tmp_path / "x").exists()
